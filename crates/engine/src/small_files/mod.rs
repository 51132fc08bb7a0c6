//! Downloads ordinary small files on one or two separate threads, each file from the request to the final
//! name.
//!
//! Without these threads, most of the time for a small file would be spent on waking other threads: the
//! director, a worker, and the thread for the disk. Here, one thread does all of this work for a file
//! ([`file`]). The director lends jobs to these threads and gets the results back, many at a time. Each
//! thread has a runtime and connections of its own, and several files are in progress on it at once.
//!
//! There is a second thread if many files are downloaded at once and their URLs begin with `http:`.
//!
//! The plan of a lent job makes the same decisions as the plan of any other job. If a job is not ordinary,
//! for example because of an error, a large file, or a name that is in use, the thread writes no byte of the
//! file to the disk. It gives the job back, with the response if there is one, and the director continues the
//! job.
//!
//! If a disk makes a thread wait, [`SmallFiles::watch`] chooses another thread, which takes jobs instead. So
//! a disk that does not answer stops only the jobs that are in progress on the thread that waits, and the
//! larger downloads whose first response this thread received, because this thread reads the bytes of these
//! responses.
//!
//! Invariant: a job that was lent is given back exactly once: finished, with a response or an error, or
//! without a response.

mod file;
mod state;

pub(crate) use file::Saved;

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
use state::{State, Thread};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::{Instrument, Span};

/// A thread that uses the disk for one file for longer than this counts as waiting for the disk. Saving a
/// small file takes about 50 microseconds on a local disk, and some milliseconds on a network disk.
pub(crate) const STUCK: Duration = Duration::from_millis(100);

/// The highest number of lent jobs that no thread has taken yet. With this many jobs, the director is needed
/// only once for several dozen files.
pub(crate) const LENT_MOST: usize = 128;

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
    /// The path of the file is not known to be free. No request was sent.
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
}

struct Shared {
    tools: Tools,
    state: Mutex<State>,
    results: mpsc::UnboundedSender<Vec<Returned>>,
}

impl SmallFiles {
    /// Starts the first thread. Returns `None` if the system cannot start one.
    pub(crate) fn start(tools: Tools, results: mpsc::UnboundedSender<Vec<Returned>>) -> Option<SmallFiles> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let state = Mutex::new(State::new(cores.min(2)));
        let small_files = SmallFiles { shared: Arc::new(Shared { tools, state, results }) };
        small_files.add_taker();
        let has_thread = !small_files.shared.state().takers.is_empty();
        has_thread.then_some(small_files)
    }

    /// Starts one more thread that takes jobs. If the system cannot start it, no further thread is started
    /// for this purpose.
    fn add_taker(&self) {
        let thread = self.start_thread();
        let mut state = self.shared.state();
        match thread {
            Some(thread) => state.add_taker(thread),
            None => state.takers_most = state.takers.len(),
        }
    }

    /// Starts a thread. It takes no job before it is one of the takers. Returns `None` if the system cannot
    /// start one.
    fn start_thread(&self) -> Option<Arc<Thread>> {
        let thread = Arc::<Thread>::default();
        let (shared, own) = (self.shared.clone(), thread.clone());
        // The thread makes its runtime itself, because a runtime must not be dropped on a thread of another
        // runtime. The runtime would be dropped here if the thread could not be started.
        let (sender, has_started) = std::sync::mpsc::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let _ = sender.send(runtime.is_ok());
            if let Ok(runtime) = runtime {
                runtime.block_on(shared.run(own));
            }
        };
        thread::Builder::new().name("small files".into()).spawn(run).ok()?;
        has_started.recv().unwrap_or(false).then_some(thread)
    }

    /// If a thread that takes jobs waits for the disk, another thread takes its place: one that no longer
    /// waits, or else a new one. If no thread can be started and all threads wait, the jobs wait too. The
    /// director calls this method every [`STUCK`] while jobs are lent.
    pub(crate) fn watch(&self) {
        let mut state = self.shared.state();
        let stuck: Vec<_> = state.takers.iter().filter(|one| one.is_stuck()).cloned().collect();
        for thread in stuck {
            self.shared.report(&mut state);
            let mut other = state.take_free();
            if other.is_none() && state.may_start_thread() {
                drop(state);
                other = self.start_thread();
                state = self.shared.state();
            }
            state.replace(&thread, other);
        }
    }

    /// Returns the number of further jobs that may be lent.
    pub(crate) fn room(&self) -> usize {
        LENT_MOST.saturating_sub(self.shared.state().waiting.len())
    }

    /// Returns true if there are lent jobs that no thread has taken yet.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.shared.state().waiting.is_empty()
    }

    /// Lends jobs to the threads. At most `at_once` files are in progress. `started` is the number of jobs
    /// that were given back as [`Returned::Responded`] or [`Returned::Untouched`], and that the caller has
    /// handled since the last call.
    pub(crate) fn lend(&self, jobs: Vec<Lent>, at_once: usize, started: usize) {
        let mut state = self.shared.state();
        state.lend(jobs, at_once, started);
        let lacks_taker = state.lacks_taker();
        drop(state);
        if lacks_taker {
            self.add_taker();
        }
    }

    /// Takes back the lent jobs that no thread has taken yet.
    pub(crate) fn withdraw(&self) -> Vec<Lent> {
        std::mem::take(&mut self.shared.state().waiting).into()
    }

    /// Calls back the jobs in progress. Each job is given back, or finished if all its bytes have arrived, as
    /// soon as its thread does not wait for the disk.
    pub(crate) fn call_back(&self) {
        for thread in self.shared.state().threads() {
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
        state.threads().for_each(|thread| thread.wake.notify_one());
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
                // The receiver is made before the job is taken. So the thread notices if the job is called
                // back immediately after it was taken.
                let recalls = thread.recalls.subscribe();
                let Some(job) = self.state().take(&thread) else { break };
                let span = job.span.clone();
                let download = file::download(&self.tools, &thread.saves, job, recalls);
                at_work.push(download.instrument(span));
            }
            tokio::select! {
                biased;
                Some(result) = at_work.next(), if !at_work.is_empty() => {
                    let mut state = self.state();
                    if state.add_result(&thread, result) {
                        self.report(&mut state);
                    }
                }
                () = thread.wake.notified() => {}
                _ = tick.tick(), if has_results => self.report(&mut self.state()),
            }
        }
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
