//! The output for people and programs. The screen, the log and the JSON output each read the session's events
//! on a thread of their own. So a stopped terminal or a slow pipe delays nothing else.

pub(crate) mod bars;
pub(crate) mod explain;
pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod painter;
pub(crate) mod plan;
pub(crate) mod prompt;
pub(crate) mod screen;
pub(crate) mod trace;
pub(crate) mod units;

use downhaul_engine::Events;
use downhaul_engine::core::event::Event;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;

/// The result of waiting for an event.
pub(crate) enum Next {
    Event(Arc<Event>),
    Nothing,
    End,
}

/// The events of a session, for a reader on its own thread.
pub(crate) struct EventReader {
    runtime: Handle,
    pub(crate) reader: Events,
    /// The number of events that have arrived without a pause.
    in_a_row: u32,
}

/// If this many events arrive without a pause, they are a flood.
const FLOOD: u32 = 16;

/// The most bytes of output that are collected before they are written. In a flood, many lines are written at
/// once.
pub(crate) const AT_ONCE: usize = 64 * 1024;

/// In a flood, a reader wakes up only a few hundred times a second. Waking it for each event would cost more
/// than everything else that is done for a small file.
const NAP: Duration = Duration::from_millis(2);

impl EventReader {
    pub(crate) fn new(runtime: &Handle, reader: Events) -> EventReader {
        EventReader { runtime: runtime.clone(), reader, in_a_row: 0 }
    }

    /// Returns true if the next event would have to be waited for. Then the output so far should be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    /// Waits for the next event.
    pub(crate) fn next(&mut self, patience: Duration) -> Next {
        let mut next = self.reader.try_next();
        if next.is_pending() {
            if std::mem::take(&mut self.in_a_row) >= FLOOD {
                std::thread::sleep(NAP.min(patience));
                next = self.reader.try_next();
            }
            if next.is_pending() {
                let waited = async { tokio::time::timeout(patience, self.reader.next()).await };
                let Ok(event) = self.runtime.block_on(waited) else { return Next::Nothing };
                next = Poll::Ready(event);
            }
        }
        self.in_a_row += 1;
        match next {
            Poll::Ready(Some(event)) => Next::Event(event),
            Poll::Ready(None) => Next::End,
            Poll::Pending => Next::Nothing,
        }
    }
}
