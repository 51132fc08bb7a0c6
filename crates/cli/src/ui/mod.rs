//! The output for people and programs. The screen, the log and the JSON output each read the events of the
//! session on a separate thread, so that a stopped terminal or a slow pipe does not delay the other outputs.

pub(crate) mod above;
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
pub(crate) mod working;

use downhaul_engine::Events;
use downhaul_engine::core::event::Event;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

pub(crate) enum Next {
    Event(Arc<Event>),
    /// No event arrived in time.
    Nothing,
    /// The session is over.
    End,
}

/// The events of a session, for a reader on its own thread.
pub(crate) struct EventReader {
    runtime: Handle,
    pub(crate) reader: Events,
    /// The number of events that have arrived since the last pause of [`PAUSE`] or longer.
    in_a_row: u32,
}

/// If at least this many events have arrived since the last pause of [`PAUSE`] or longer, the reader sleeps
/// for [`NAP`] before it looks for more events.
const MANY: u32 = 16;

/// After a pause of this length without an event, the reader counts the events from 0 again. While many small
/// files are downloaded, several events arrive in each millisecond.
const PAUSE: Duration = Duration::from_millis(20);

/// Output is written as soon as it has this many bytes, even if more events wait. If many events arrive, many
/// lines are written at once.
pub(crate) const AT_ONCE: usize = 64 * 1024;

/// While many events arrive, the reader sleeps for this time after it has read all events that have arrived.
/// So it wakes up only a few hundred times a second. To wake up for each event would take more processor time
/// than all other work for a small file.
const NAP: Duration = Duration::from_millis(2);

impl EventReader {
    pub(crate) fn new(runtime: &Handle, reader: Events) -> EventReader {
        EventReader { runtime: runtime.clone(), reader, in_a_row: 0 }
    }

    /// Returns true if no event waits to be read. In this case, the caller should write the output that it
    /// has collected.
    pub(crate) fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    /// Waits for the next event, at most for the time `patience`.
    pub(crate) fn next(&mut self, patience: Duration) -> Next {
        let mut next = self.reader.try_next();
        if next.is_pending() {
            let since = Instant::now();
            if self.in_a_row >= MANY {
                std::thread::sleep(NAP.min(patience));
                next = self.reader.try_next();
            }
            if next.is_pending() {
                let waited = async { tokio::time::timeout(patience, self.reader.next()).await };
                let event = self.runtime.block_on(waited);
                if since.elapsed() >= PAUSE {
                    self.in_a_row = 0;
                }
                let Ok(event) = event else { return Next::Nothing };
                next = Poll::Ready(event);
            }
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        match next {
            Poll::Ready(Some(event)) => Next::Event(event),
            Poll::Ready(None) => Next::End,
            Poll::Pending => Next::Nothing,
        }
    }
}
