//! Waits on behalf of Python. During a wait, other threads of Python run, and Ctrl-C and other signals have
//! an effect.

use pyo3::prelude::*;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A wait looks for signals once in this time, which is half of the 100 ms within which Ctrl-C must end it.
const EVERY: Duration = Duration::from_millis(50);

/// Calls `step` with short times to wait, until it returns a value or the time is over. Other threads of
/// Python run in the meantime.
///
/// # Errors
/// Returns the exception that a handler of a signal raises, such as `KeyboardInterrupt`.
pub(crate) fn until<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut step: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    // A timeout that the clock cannot represent counts as no timeout.
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = end.map_or(EVERY, |end| end.saturating_duration_since(Instant::now()).min(EVERY));
        let is_last = end.is_some_and(|end| Instant::now() + left >= end);
        let got = py.detach(|| step(left));
        py.check_signals()?;
        if got.is_some() || is_last {
            return Ok(got);
        }
    }
}

/// Returns a timeout in seconds as a duration. Python never passes a negative number.
pub(crate) fn duration(seconds: Option<f64>) -> Option<Duration> {
    seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// The result of an attempt to take values from a queue.
pub(crate) enum Got<T> {
    /// At least one value.
    Some(Vec<T>),
    /// No more values follow.
    End,
}

/// Returns up to `most` values of a queue, after a wait for the first one. Returns `None` if no value
/// arrives within the time.
pub(crate) fn take<T>(queue: &Receiver<T>, most: usize, wait: Duration) -> Option<Got<T>> {
    let first = match queue.recv_timeout(wait) {
        Ok(first) => first,
        Err(RecvTimeoutError::Timeout) => return None,
        Err(RecvTimeoutError::Disconnected) => return Some(Got::End),
    };
    let mut all = vec![first];
    all.extend(queue.try_iter().take(most.saturating_sub(1)));
    Some(Got::Some(all))
}
