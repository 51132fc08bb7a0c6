//! Runs short blocking calls to the disk, such as a check, an open, a small write or a rename.
//!
//! One thread runs all of these calls, one after the other. So it is not necessary to wake a thread for each
//! small file. If a call is stuck, another thread runs the next calls. Calls that are expected to be long
//! (large writes, forcing a file to the disk, reading it back) use other threads.
//!
//! Invariant: while calls wait, there is a thread that runs them, and a task that checks that this thread
//! makes progress.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

type Call = Box<dyn FnOnce() + Send>;

/// A thread that makes no progress for this long counts as stuck. A local disk answers within about ten
/// microseconds, and a network disk within a few milliseconds.
const STUCK: Duration = Duration::from_millis(5);

/// The number of times that a thread looks for a call before it ends. Between two of these checks, the thread
/// yields to other threads. All checks together take a few microseconds. With many small files, the next call
/// often arrives within that time, and waking a thread would take longer. With one check, 10,000 files took
/// 0.41 s, and with five checks 0.39 s. More checks only take more processor time.
const LOOKS: u32 = 5;

/// The short calls of a session, and the thread that runs them.
#[derive(Default)]
pub(crate) struct ShortCalls(Mutex<State>);

#[derive(Default)]
struct State {
    calls: VecDeque<Call>,
    /// True if there is a thread that takes calls.
    at_work: bool,
    /// The number of the current thread. A thread with another number was replaced, and ends.
    thread: u64,
    /// The number of calls that threads have taken from the queue. It shows whether the current thread
    /// makes progress.
    taken: u64,
    /// True if a task checks that the current thread makes progress.
    watched: bool,
}

impl ShortCalls {
    /// Runs `call` soon, on a thread that is allowed to block.
    pub(crate) fn run(self: &Arc<Self>, call: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        state.calls.push_back(Box::new(call));
        if !std::mem::replace(&mut state.at_work, true) {
            self.start_another_thread(&mut state);
        }
        if !std::mem::replace(&mut state.watched, true) {
            tokio::spawn(self.clone().watch());
        }
    }

    fn start_another_thread(self: &Arc<Self>, state: &mut State) {
        state.thread += 1;
        let (short_calls, number) = (self.clone(), state.thread);
        tokio::task::spawn_blocking(move || {
            while let Some(call) = short_calls.next(number) {
                // A call may run code of the program, such as a writer. If that code panics, the further
                // calls still run.
                let _ = catch_unwind(AssertUnwindSafe(call));
            }
        });
    }

    /// Returns the next call, if this thread was not replaced and a call arrives soon.
    fn next(&self, number: u64) -> Option<Call> {
        for look in 1..=LOOKS {
            let mut state = self.state();
            if state.thread != number {
                return None;
            }
            if let Some(call) = state.calls.pop_front() {
                state.taken += 1;
                return Some(call);
            }
            state.at_work = look < LOOKS;
            drop(state);
            thread::yield_now();
        }
        None
    }

    /// Starts another thread whenever the current one makes no progress while calls wait. Ends when no thread
    /// takes calls any more.
    async fn watch(self: Arc<Self>) {
        let mut before = None;
        loop {
            tokio::time::sleep(STUCK).await;
            let mut state = self.state();
            if !state.at_work {
                state.watched = false;
                return;
            }
            if before.replace(state.taken) == Some(state.taken) && !state.calls.is_empty() {
                self.start_another_thread(&mut state);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock can be used, because the state is consistent between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn calls_run_in_order_also_after_a_stuck_call() {
        let short_calls = Arc::new(ShortCalls::default());
        let (let_go, stuck) = std::sync::mpsc::channel::<()>();
        short_calls.run(move || assert!(stuck.recv().is_err()));
        for round in 0..3 {
            let (done, mut all) = mpsc::unbounded_channel();
            for n in 0..1000 {
                let done = done.clone();
                short_calls.run(move || done.send(n).expect("a receiver"));
                if n % 100 == round {
                    tokio::task::yield_now().await;
                }
            }
            drop(done);
            for n in 0..1000 {
                assert_eq!(all.recv().await, Some(n));
            }
            assert_eq!(all.recv().await, None);
        }
        drop(let_go);
    }
}
