//! Does what is quick and asks the disk: looking, opening, a small write, a rename. One thread does all of it, one thing
//! after the other, so that with many small files nobody is woken for each; while it is stuck, another takes its place.
//!
//! What is not quick (large writes, forcing to disk, reading back) takes a thread of its own and does not come here.
//! Invariant: while errands wait there is a clerk, and somebody who watches whether it gets on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

type Errand = Box<dyn FnOnce() + Send>;

/// A clerk that does not get on for so long is stuck: a local disk answers in some ten microseconds, a network one in a
/// few milliseconds.
const STUCK: Duration = Duration::from_millis(5);

/// How often a clerk without an errand lets others run and looks again before it leaves: a few microseconds in all. With
/// many small files the next errand often comes within those, and waking a thread takes both sides longer (10,000 files:
/// 0.39 s instead of 0.41 s with one look; more than five only take more of the processor).
const LOOKS: u32 = 5;

/// The clerks of a session.
#[derive(Default)]
pub(crate) struct Clerks(Mutex<State>);

#[derive(Default)]
struct State {
    errands: VecDeque<Errand>,
    at_work: bool,
    /// The number of the clerk that takes errands; whoever has another number was replaced, and leaves.
    clerk: u64,
    /// How many errands were taken up.
    taken: u64,
    watched: bool,
}

impl Clerks {
    /// Has this done soon, on a thread that may wait for the disk.
    pub(crate) fn run(self: &Arc<Self>, errand: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        state.errands.push_back(Box::new(errand));
        if !std::mem::replace(&mut state.at_work, true) {
            self.send_for_another(&mut state);
        }
        if !std::mem::replace(&mut state.watched, true) {
            tokio::spawn(self.clone().watch());
        }
    }

    fn send_for_another(self: &Arc<Self>, state: &mut State) {
        state.clerk += 1;
        let (clerks, number) = (self.clone(), state.clerk);
        tokio::task::spawn_blocking(move || {
            while let Some(errand) = clerks.next(number) {
                errand();
            }
        });
    }

    /// The next errand, if this clerk still has the place and one comes soon.
    fn next(&self, number: u64) -> Option<Errand> {
        for look in 1..=LOOKS {
            let mut state = self.state();
            if state.clerk != number {
                return None;
            }
            if let Some(errand) = state.errands.pop_front() {
                state.taken += 1;
                return Some(errand);
            }
            state.at_work = look < LOOKS;
            drop(state);
            thread::yield_now();
        }
        None
    }

    /// Looks whether the clerk gets on, until there is nothing to do.
    async fn watch(self: Arc<Self>) {
        let mut before = None;
        loop {
            tokio::time::sleep(STUCK).await;
            let mut state = self.state();
            if !state.at_work {
                state.watched = false;
                return;
            }
            if before.replace(state.taken) == Some(state.taken) && !state.errands.is_empty() {
                self.send_for_another(&mut state);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Consistent between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn everything_is_done_in_order_also_behind_what_is_stuck() {
        let clerks = Arc::new(Clerks::default());
        let (let_go, stuck) = std::sync::mpsc::channel::<()>();
        clerks.run(move || assert!(stuck.recv().is_err()));
        for round in 0..3 {
            let (done, mut all) = mpsc::unbounded_channel();
            for n in 0..1000 {
                let done = done.clone();
                clerks.run(move || done.send(n).expect("somebody listens"));
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
