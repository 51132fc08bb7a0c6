//! Runs the writes of one worker, except the quick ones, one after the other on a thread that may block.
//!
//! Invariant: at most one thread runs the writes of a queue. The thread ends when no write is left, and the
//! next write starts another thread.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Write = Box<dyn FnOnce() + Send>;

/// The writes that have not begun. The worker limits the number of these writes.
#[derive(Default)]
pub(super) struct WriteQueue(Mutex<State>);

#[derive(Default)]
struct State {
    writes: VecDeque<Write>,
    /// True if a thread runs the writes.
    is_at_work: bool,
}

impl WriteQueue {
    /// Adds `write` to the queue and returns at once. A thread runs it after all writes that were added
    /// before.
    pub(super) fn run(self: &Arc<Self>, write: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        state.writes.push_back(Box::new(write));
        if !std::mem::replace(&mut state.is_at_work, true) {
            drop(state);
            let queue = self.clone();
            tokio::task::spawn_blocking(move || {
                while let Some(write) = queue.next() {
                    // If a write panics, the sender of its result is dropped. The worker that waits for the
                    // result then fails. The next writes still run.
                    let _ = panic::catch_unwind(AssertUnwindSafe(write));
                }
            });
        }
    }

    fn next(&self) -> Option<Write> {
        let mut state = self.state();
        let next = state.writes.pop_front();
        state.is_at_work = next.is_some();
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock can be used, because the state is consistent between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writes_run_in_order_and_one_at_a_time() {
        let (queue, written) = (Arc::new(WriteQueue::default()), Arc::new(Mutex::new(Vec::new())));
        for n in 0..1000 {
            let written = written.clone();
            queue.run(move || written.try_lock().expect("no other write runs").push(n));
            if n % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
        queue.run(|| panic!("a write that panics"));
        let (done, all) = tokio::sync::oneshot::channel();
        queue.run(move || done.send(()).expect("a receiver"));
        all.await.expect("is sent");
        assert!(written.lock().expect("no other write runs").iter().copied().eq(0..1000));
    }
}
