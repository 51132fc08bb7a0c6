//! Downloads ordinary small files on a separate thread, each from the request to the final name.
//!
//! In the usual way, most of the time for a small file is spent on waking other threads: the director, a
//! worker, and the thread for the disk. Here, one thread does all of this work ([`file`]). The director lends
//! jobs to this thread and gets the results back, many at a time. The thread has a runtime and connections of
//! its own, and several files are in progress on it at once.
//!
//! The plan of a lent job makes the same decisions as the plan of any other job. If a job is not ordinary,
//! for example because of an error, a large file, or a name that is in use, the thread writes no byte of the
//! file to the disk. It gives the job back, with the response if there is one, and the director continues the
//! job.
//!
//! If a disk makes the thread wait, [`SmallFiles::watch`] chooses another thread, which takes the jobs that
//! no thread has taken yet. So a disk that does not answer stops only the jobs that are in progress on the
//! first thread, and the larger downloads whose first response this thread received, because this thread
//! reads the bytes of these responses.
//!
//! Invariant: a job that was lent is given back exactly once: finished, with a response or an error, or
//! without a response.

mod file;

pub(crate) use file::{SMALL, Saved};

use crate::clock::Clock;
use crate::disk::Disk;
use crate::explain::Spent;
use crate::place::Places;
use crate::report::Reporter;
use crate::source::{Opened, Source};
use downhaul_core::error::Error;
use downhaul_core::event::JobId;
use downhaul_core::job::Job;
use downhaul_core::plan::Rules;
use downhaul_core::settings::Settings;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::MissedTickBehavior;
use tracing::{Instrument, Span};

/// A thread that uses the disk for one file for longer than this counts as waiting for the disk. Saving a
/// small file takes about 50 microseconds on a local disk, and some milliseconds on a network disk.
pub(crate) const STUCK: Duration = Duration::from_millis(100);

/// The highest number of threads. If all of them wait for disks, the next jobs must wait too.
const THREADS_MOST: usize = 8;

/// The highest number of lent jobs that no thread has taken yet. With this many jobs, the director is needed
/// only once for several dozen files.
pub(crate) const LENT_MOST: usize = 128;

/// When fewer jobs than this wait, the results are given back, so that the director lends more.
const LENT_LEAST: usize = 32;

/// The highest number of results that are given back at once.
const RESULTS_MOST: usize = 64;

/// The longest time until a result is given back, unless the thread waits for a disk. A user does not notice
/// this delay.
const RESULTS_AFTER: Duration = Duration::from_millis(20);

/// A job that is lent.
pub(crate) struct Lent {
    pub(crate) id: JobId,
    pub(crate) spec: Arc<Job>,
    pub(crate) rules: Rules,
    /// See [`Request::likely_small`](crate::source::Request::likely_small).
    pub(crate) likely_small: bool,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) span: Span,
}

/// A job that is given back, with its result.
pub(crate) enum Returned {
    /// A file or a partial file is at the path of the file, or the folder could not be read. No request was
    /// sent.
    Occupied(Box<Lent>),
    /// The file has its final name.
    Finished(Box<Finished>),
    /// There is a response or an error. Nothing was written.
    Responded(Box<Response>),
    /// No request was sent, or the request was cancelled.
    Untouched(Box<Lent>),
}

/// A job with the response to its first request.
pub(crate) struct Response {
    pub(crate) job: Lent,
    pub(crate) response: Result<Opened, Error>,
    /// The time when the request was sent.
    pub(crate) sent: Duration,
    /// The time when the response arrived, or when the request failed.
    pub(crate) done: Duration,
    /// The time of each stage before the response.
    pub(crate) spent: Spent,
}

/// A file that has its final name.
pub(crate) struct Finished {
    pub(crate) id: JobId,
    pub(crate) spec: Arc<Job>,
    pub(crate) saved: Saved,
    /// The time when the request was sent.
    pub(crate) sent: Duration,
    /// The time from the request to the final name.
    pub(crate) took: Duration,
    pub(crate) spent: Spent,
    /// True if many requests share the connection, as with HTTP/2.
    pub(crate) is_shared: bool,
}

/// The objects of the session that the threads use.
pub(crate) struct Tools {
    pub(crate) settings: Arc<Settings>,
    pub(crate) places: Arc<Places>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) clock: Clock,
}

/// The threads that download small files. They end when this value is dropped.
pub(crate) struct SmallFiles {
    shared: Arc<Shared>,
    /// The value of [`Thread::saves`] that [`SmallFiles::watch`] read last, from the thread that took jobs.
    seen: u64,
}

struct Shared {
    tools: Tools,
    state: Mutex<State>,
    results: mpsc::UnboundedSender<Vec<Returned>>,
}

#[derive(Default)]
struct State {
    /// The lent jobs that no thread has taken yet.
    waiting: VecDeque<Lent>,
    /// The results that are not given back yet. The threads themselves do not keep results, because a thread
    /// may wait for a disk.
    results: Vec<Returned>,
    /// The highest number of files in progress on all threads together.
    at_once: usize,
    /// The number of responses that were given back, and that the director does not count as files in
    /// progress yet. The connections of these responses are open.
    responded: usize,
    /// The last thread takes jobs. The other threads waited for a disk when they were replaced.
    threads: Vec<Arc<Thread>>,
    /// True if the director knows that fewer than [`LENT_LEAST`] jobs wait.
    knows: bool,
    closed: bool,
}

/// The state of a thread that other threads read and change.
#[derive(Default)]
struct Thread {
    wake: Notify,
    /// True if the thread waits for jobs.
    is_hungry: AtomicBool,
    /// The number of files in progress.
    at_work: AtomicUsize,
    /// The number of times that the thread began or stopped using the disk. The number is odd while the
    /// thread uses the disk.
    saves: AtomicU64,
    /// Changes when the director wants the jobs in progress back ([`SmallFiles::call_back`]).
    recalls: watch::Sender<()>,
}

impl SmallFiles {
    /// Starts the first thread. Returns `None` if the system cannot start one.
    pub(crate) fn start(tools: Tools, results: mpsc::UnboundedSender<Vec<Returned>>) -> Option<SmallFiles> {
        let shared = Arc::new(Shared { tools, state: Mutex::default(), results });
        let small_files = SmallFiles { shared, seen: 0 };
        small_files.start_thread().then_some(small_files)
    }

    /// Starts a thread, which takes all further jobs. Returns false if the system cannot start one.
    fn start_thread(&self) -> bool {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return false;
        };
        let thread = Arc::<Thread>::default();
        let (shared, own) = (self.shared.clone(), thread.clone());
        let run = move || runtime.block_on(shared.run(own));
        let has_started = thread::Builder::new().name("small files".into()).spawn(run).is_ok();
        if has_started {
            self.shared.state().threads.push(thread.clone());
            thread.wake.notify_one();
        }
        has_started
    }

    /// If the thread that takes jobs waits for the disk, another thread takes the further jobs: one that no
    /// longer waits, or else a new one. The director calls this every [`STUCK`] while jobs are lent.
    pub(crate) fn watch(&mut self) {
        let mut state = self.shared.state();
        let Some(thread) = state.threads.last() else { return };
        let now = thread.saves.load(Ordering::Relaxed);
        let is_stuck = now == self.seen && now % 2 == 1;
        if !is_stuck {
            drop(state);
            self.seen = now;
            return;
        }
        self.shared.report(&mut state);
        let free = state.threads.iter().position(|one| one.saves.load(Ordering::Relaxed) % 2 == 0);
        if let Some(free) = free {
            let thread = state.threads.remove(free);
            thread.wake.notify_one();
            state.threads.push(thread);
        }
        let may_start = free.is_none() && state.threads.len() < THREADS_MOST;
        drop(state);
        if may_start {
            // If no thread can be started, the jobs wait for the disk.
            let _ = self.start_thread();
        }
    }

    /// Returns the number of further jobs that may be lent.
    pub(crate) fn room(&self) -> usize {
        LENT_MOST.saturating_sub(self.shared.state().waiting.len())
    }

    /// Returns true if no thread has taken some of the lent jobs yet.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.shared.state().waiting.is_empty()
    }

    /// Lends jobs to the threads. At most `at_once` files are in progress. `started` is the number of
    /// responses that were given back, and that the caller has begun to count as files in progress since the
    /// last call.
    pub(crate) fn lend(&self, jobs: Vec<Lent>, at_once: usize, started: usize) {
        let mut state = self.shared.state();
        state.responded = state.responded.saturating_sub(started);
        state.waiting.extend(jobs);
        state.knows = state.waiting.len() < LENT_LEAST;
        state.at_once = at_once;
        if let Some(thread) = state.threads.last().filter(|_| !state.waiting.is_empty())
            && thread.is_hungry.swap(false, Ordering::Relaxed)
        {
            thread.wake.notify_one();
        }
    }

    /// Takes back the lent jobs that no thread has taken yet.
    pub(crate) fn withdraw(&self) -> Vec<Lent> {
        std::mem::take(&mut self.shared.state().waiting).into()
    }

    /// Calls back the jobs in progress. Each job is given back, or finished if all its bytes have arrived, as
    /// soon as its thread does not wait for the disk.
    pub(crate) fn call_back(&self) {
        for thread in &self.shared.state().threads {
            thread.recalls.send_replace(());
        }
    }

    /// Returns the number of files in progress.
    pub(crate) fn at_work(&self) -> usize {
        self.shared.state().at_work()
    }
}

impl Drop for SmallFiles {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.threads.iter().for_each(|thread| thread.wake.notify_one());
    }
}

impl State {
    /// Returns the number of files in progress. A thread that was replaced because it waits for the disk
    /// counts as one file, because its other files do not use the network while it waits.
    fn at_work(&self) -> usize {
        let last = self.threads.last().map_or(0, |thread| thread.at_work.load(Ordering::Relaxed));
        let others = self.threads.iter().rev().skip(1);
        let waits = others.filter(|thread| thread.at_work.load(Ordering::Relaxed) > 0);
        last + waits.count() + self.responded
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

impl Shared {
    /// Runs one thread until [`SmallFiles`] is dropped.
    async fn run(self: Arc<Self>, thread: Arc<Thread>) {
        let mut at_work = FuturesUnordered::new();
        let mut tick = tokio::time::interval(RESULTS_AFTER);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_results = match &*self.state() {
                State { closed: true, .. } => return,
                state => !state.results.is_empty(),
            };
            loop {
                // The receiver is made before the job is taken, so that a call back right after that is
                // noticed.
                let recalls = thread.recalls.subscribe();
                let Some(job) = self.take(&thread) else { break };
                let span = job.span.clone();
                let download = file::download(&self.tools, &thread.saves, job, recalls);
                at_work.push(download.instrument(span));
            }
            tokio::select! {
                biased;
                Some(result) = at_work.next(), if !at_work.is_empty() => {
                    thread.at_work.fetch_sub(1, Ordering::Relaxed);
                    let mut state = self.state();
                    let has_responded = matches!(result, Returned::Responded(_));
                    state.responded += usize::from(has_responded);
                    state.results.push(result);
                    if has_responded || state.should_report() {
                        self.report(&mut state);
                    }
                }
                () = thread.wake.notified() => {}
                _ = tick.tick(), if has_results => self.report(&mut self.state()),
            }
        }
    }

    /// Removes the next job from the queue and returns it. Returns `None` if this thread should begin no job.
    fn take(&self, thread: &Arc<Thread>) -> Option<Lent> {
        let mut state = self.state();
        let is_last = state.threads.last().is_some_and(|last| Arc::ptr_eq(last, thread));
        let job = match is_last && state.at_work() < state.at_once {
            true => state.waiting.pop_front(),
            false => None,
        };
        thread.is_hungry.store(job.is_none(), Ordering::Relaxed);
        thread.at_work.fetch_add(usize::from(job.is_some()), Ordering::Relaxed);
        job
    }

    /// Gives back the results.
    fn report(&self, state: &mut State) {
        if !state.results.is_empty() {
            // Sending fails only if the director has ended.
            let _ = self.results.send(std::mem::take(&mut state.results));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock can be used, because the state is consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
