//! Keeps the lent jobs that wait, their results, and the list of the threads for small files. Decides which
//! thread takes the next job.
//!
//! Invariant: when a thread takes a job, fewer than [`State::at_once`] files are in progress on all threads
//! together. All files of a thread that was replaced because it waits for a disk count as one file.

use super::{Lent, Returned};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{Notify, watch};

/// When fewer jobs than this wait, the results are given back, so that the director lends more.
const LENT_LEAST: usize = 32;

/// The highest number of results that are given back at once.
const RESULTS_MOST: usize = 64;

/// The highest number of threads. If all of them wait for disks, the next jobs must wait too.
const THREADS_MOST: usize = 8;

/// If at least this many files may be in progress, and the next URL begins with `http:`, two threads take
/// jobs. On two cores, 10,000 files of 10 KiB from a server on the same machine then take 15 % less time,
/// and 9 % more processor time. With fewer files for each thread, the threads sleep and wake more often. For
/// https, the time was at most 10 % less with two threads, and the processor time up to 17 % more. Files over
/// https may also share one HTTP/2 connection, and this connection belongs to one thread.
const SECOND_FROM: usize = 16;

/// If fewer files than this may be in progress, one thread takes all jobs. This number is lower than
/// [`SECOND_FROM`], because a thread cannot use the connections of the other thread. Each time the second
/// thread begins or stops, connections are closed and opened.
const ALONE_BELOW: usize = 8;

#[derive(Default)]
pub(super) struct State {
    /// The lent jobs that no thread has taken yet.
    pub(super) waiting: VecDeque<Lent>,
    /// The results that are not given back yet. The threads themselves do not keep results, because a thread
    /// may wait for a disk.
    pub(super) results: Vec<Returned>,
    /// The highest number of files in progress on all threads together.
    at_once: usize,
    /// The number of jobs that were given back as [`Returned::Responded`] or [`Returned::Untouched`], and
    /// that the director has not handled yet. The connections of the responses are open.
    given_back: usize,
    /// True if enough files may be in progress for two threads ([`SECOND_FROM`]).
    are_many: bool,
    /// The highest number of threads that take jobs.
    pub(super) takers_most: usize,
    /// The threads that take jobs.
    pub(super) takers: Vec<Arc<Thread>>,
    /// The threads that waited for a disk when another thread took their place.
    replaced: Vec<Arc<Thread>>,
    /// True if the director knows that fewer than [`LENT_LEAST`] jobs wait.
    knows: bool,
    pub(super) closed: bool,
}

/// The state of a thread that other threads read and change.
#[derive(Default)]
pub(super) struct Thread {
    pub(super) wake: Notify,
    /// True if the thread waits for jobs.
    pub(super) is_hungry: AtomicBool,
    /// The number of files in progress.
    pub(super) at_work: AtomicUsize,
    /// The number of times that the thread began or stopped using the disk. The number is odd while the
    /// thread uses the disk.
    pub(super) saves: AtomicU64,
    /// The value of `saves` at the last call of [`Thread::is_stuck`].
    seen: AtomicU64,
    /// Changes when the director wants the jobs in progress back
    /// ([`SmallFiles::call_back`](super::SmallFiles::call_back)).
    pub(super) recalls: watch::Sender<()>,
}

impl Thread {
    /// Returns true if the thread has used the disk for the same file all the time since the last call.
    pub(super) fn is_stuck(&self) -> bool {
        let now = self.saves.load(Ordering::Relaxed);
        self.seen.swap(now, Ordering::Relaxed) == now && now % 2 == 1
    }
}

impl State {
    /// Returns a state without threads and jobs. At most `takers_most` threads will take jobs.
    pub(super) fn new(takers_most: usize) -> State {
        State { takers_most, ..State::default() }
    }

    /// Adds lent jobs, and wakes the threads that may take them. At most `at_once` files may be in progress.
    /// `started` is the number of the jobs in `given_back` that the director has handled since the last call.
    pub(super) fn lend(&mut self, jobs: Vec<Lent>, at_once: usize, started: usize) {
        self.given_back = self.given_back.saturating_sub(started);
        self.waiting.extend(jobs);
        self.knows = self.waiting.len() < LENT_LEAST;
        self.at_once = at_once;
        self.are_many = at_once >= if self.are_many { ALONE_BELOW } else { SECOND_FROM };
        if self.waiting.is_empty() {
            return;
        }
        let takers = if self.is_for_two() { 2 } else { 1 };
        for thread in self.takers.iter().take(takers) {
            if thread.is_hungry.swap(false, Ordering::Relaxed) {
                thread.wake.notify_one();
            }
        }
    }

    /// Returns true if a second thread should take jobs, and there is none.
    pub(super) fn lacks_taker(&self) -> bool {
        self.takers.len() < 2 && self.is_for_two()
    }

    /// Returns true if another thread may be started.
    pub(super) fn may_start_thread(&self) -> bool {
        self.threads().count() < THREADS_MOST
    }

    /// Makes a new thread a taker.
    pub(super) fn add_taker(&mut self, thread: Arc<Thread>) {
        thread.wake.notify_one();
        self.takers.push(thread);
    }

    /// Removes the next job from the queue and returns it. Returns `None` if no job waits, or if this thread
    /// should begin no job.
    pub(super) fn take(&mut self, thread: &Arc<Thread>) -> Option<Lent> {
        let has_room = thread.at_work.load(Ordering::Relaxed) < self.share_of(thread);
        let job = match has_room && self.at_work() < self.at_once {
            true => self.waiting.pop_front(),
            false => None,
        };
        thread.is_hungry.store(job.is_none(), Ordering::Relaxed);
        thread.at_work.fetch_add(usize::from(job.is_some()), Ordering::Relaxed);
        job
    }

    /// Adds the result of a job that this thread took. Returns true if the results should be given back.
    pub(super) fn add_result(&mut self, thread: &Thread, result: Returned) -> bool {
        thread.at_work.fetch_sub(1, Ordering::Relaxed);
        let has_responded = matches!(result, Returned::Responded(_));
        let is_untouched = matches!(result, Returned::Untouched(_));
        self.given_back += usize::from(has_responded || is_untouched);
        self.results.push(result);
        has_responded || self.should_report()
    }

    /// Returns all threads.
    pub(super) fn threads(&self) -> impl Iterator<Item = &Arc<Thread>> {
        self.takers.iter().chain(&self.replaced)
    }

    /// Returns the number of files in progress. A thread that was replaced because it waited for the disk
    /// counts as one file as long as it has files, because its other files do not use the network while it
    /// waits. Each job in `given_back` counts as one file.
    pub(super) fn at_work(&self) -> usize {
        let at_work = |thread: &Arc<Thread>| thread.at_work.load(Ordering::Relaxed);
        let taken: usize = self.takers.iter().map(at_work).sum();
        taken + self.replaced.iter().filter(|one| at_work(one) > 0).count() + self.given_back
    }

    /// Returns true if two threads should take jobs ([`SECOND_FROM`]), and if there are two or a second one
    /// may be started.
    fn is_for_two(&self) -> bool {
        let is_plain = || self.waiting.front().is_some_and(|job| job.spec.urls[0].scheme() == "http");
        let can_be_two = self.takers.len() > 1 || (self.takers_most > 1 && self.may_start_thread());
        self.are_many && can_be_two && is_plain()
    }

    /// Returns how many files may be in progress on this thread.
    fn share_of(&self, thread: &Arc<Thread>) -> usize {
        let second = if self.is_for_two() { self.at_once / 2 } else { 0 };
        match self.takers.iter().position(|one| Arc::ptr_eq(one, thread)) {
            Some(0) => self.at_once - second,
            Some(_) => second,
            None => 0,
        }
    }

    /// Removes a thread that no longer waits for the disk from the replaced threads, and returns it.
    pub(super) fn take_free(&mut self) -> Option<Arc<Thread>> {
        let free = self.replaced.iter().position(|one| one.saves.load(Ordering::Relaxed) % 2 == 0);
        free.map(|at| self.replaced.swap_remove(at))
    }

    /// Makes `other` a taker in place of a thread that waits for the disk. If there is no other thread, and
    /// the first taker waits, the second taker becomes the first one, because at times only the first taker
    /// gets jobs.
    pub(super) fn replace(&mut self, thread: &Arc<Thread>, other: Option<Arc<Thread>>) {
        let Some(place) = self.takers.iter().position(|one| Arc::ptr_eq(one, thread)) else { return };
        match other {
            Some(other) => {
                other.wake.notify_one();
                self.replaced.push(std::mem::replace(&mut self.takers[place], other));
            }
            None if place == 0 => self.takers.rotate_left(1),
            None => {}
        }
    }

    /// Returns true if the results should be given back, because there are many, or because so few jobs wait
    /// that the director should lend more.
    fn should_report(&mut self) -> bool {
        let few = self.waiting.len() < LENT_LEAST;
        self.results.len() >= RESULTS_MOST
            || self.waiting.is_empty()
            || (few && !std::mem::replace(&mut self.knows, true))
    }
}
