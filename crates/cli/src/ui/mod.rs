//! What people and programs are told. Each face is one reader of the session's facts, on a thread of its own, so that
//! a stopped terminal or a slow pipe holds up nothing else.

pub(crate) mod bars;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod painter;
pub(crate) mod prompt;
pub(crate) mod screen;
pub(crate) mod units;

use downhaul_engine::core::event::Event;
use downhaul_engine::report::Reader;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// What came within the time a face was willing to wait.
pub(crate) enum Next {
    Event(Arc<Event>),
    Nothing,
    End,
}

/// Waits on a face's own thread for the next fact.
pub(crate) fn next(runtime: &Handle, facts: &mut Reader, patience: Duration) -> Next {
    match runtime.block_on(async { tokio::time::timeout(patience, facts.next()).await }) {
        Ok(Some(event)) => Next::Event(event),
        Ok(None) => Next::End,
        Err(_) => Next::Nothing,
    }
}
