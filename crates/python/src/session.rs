//! A session of the library with its own threads, for Python.
//!
//! Each session has threads of its own (`threads.rs`). Threads that all sessions share would not work in a
//! forked process, because they exist only in its parent. In a forked process, an object of the parent raises
//! an exception for each call that uses the session, except for `stop` and `wait`, which do nothing. The
//! object is leaked when it is dropped, because the threads that could end the session are not in the forked
//! process, and one of them may have held a lock at the fork.
//!
//! Adding a job never waits. A task passes the jobs to the session in the order of their numbers, as fast as
//! the session accepts them.

use crate::options::{self, Options};
use crate::rows::{Row, Tracker};
use crate::threads::Threads;
use crate::wait;
use downhaul_engine::{Error, Events, Job, Session};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// The highest number of jobs that are passed to the session at once.
const AT_ONCE: usize = 64;

/// A job, or the error with which it fails before it begins.
pub(crate) type Added = Result<Job, Error>;

/// A value that is set once, and that threads wait for.
pub(crate) struct Slot<T> {
    value: Mutex<Option<T>>,
    changed: Condvar,
}

impl<T: Clone + Send> Slot<T> {
    pub(crate) fn new() -> Arc<Slot<T>> {
        Arc::new(Slot { value: Mutex::new(None), changed: Condvar::new() })
    }

    pub(crate) fn set(&self, value: T) {
        *lock(&self.value) = Some(value);
        self.changed.notify_all();
    }

    /// Waits for the value. Returns `None` if the value is not set in time.
    pub(crate) fn get(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<T>> {
        wait::until(py, wait::duration(timeout), |left| {
            let value = lock(&self.value);
            let waited = self.changed.wait_timeout_while(value, left, |value| value.is_none());
            waited.unwrap_or_else(PoisonError::into_inner).0.clone()
        })
    }
}

/// The receivers of rows. `None` means that the session is over.
pub(crate) type Watched = Mutex<Option<Watchers>>;

/// The receivers of rows.
#[derive(Default)]
pub(crate) struct Watchers {
    /// The jobs of which Python has a handle, by number.
    pub(crate) slots: HashMap<u64, Weak<Slot<Row>>>,
    /// The readers of all rows.
    readers: Vec<Sender<Row>>,
}

/// A session and its threads.
pub(crate) struct Live {
    pub(crate) session: Arc<Session>,
    threads: Threads,
    feed: Mutex<Feed>,
    pub(crate) watched: Arc<Watched>,
    pub(crate) over: Arc<Slot<()>>,
    is_broken: Arc<AtomicBool>,
}

/// The queue through which jobs get into the session.
struct Feed {
    /// The number of jobs that were added.
    added: u64,
    /// `None` means that no more jobs are accepted.
    to: Option<UnboundedSender<Added>>,
}

impl Live {
    pub(crate) fn start(options: Options) -> PyResult<Live> {
        let settings = options::settings(options).map_err(PyValueError::new_err)?;
        let threads = Threads::start()?;
        let session = {
            let _here = threads.handle().map(Handle::enter);
            Arc::new(Session::start(settings).map_err(|error| crate::exception(&error))?)
        };
        let (to, from) = mpsc::unbounded_channel();
        threads.spawn(feed(session.clone(), from));
        let watched = Arc::new(Mutex::new(Some(Watchers::default())));
        threads.spawn(watch(session.events(), watched.clone()));
        let (over, is_broken) = (Slot::new(), Arc::new(AtomicBool::new(false)));
        let ended = (session.clone(), over.clone(), is_broken.clone());
        threads.spawn(async move {
            let (session, over, is_broken) = ended;
            // A panic of the library ends this task, but not the task that awaits it.
            let result = tokio::spawn(async move { session.wait().await }).await;
            is_broken.store(result.is_err(), Ordering::Relaxed);
            over.set(());
        });
        let feed = Mutex::new(Feed { added: 0, to: Some(to) });
        Ok(Live { session, threads, feed, watched, over, is_broken })
    }

    /// Runs a task until it ends, or until the session is dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.threads.spawn(task);
    }

    /// Returns true if the session ended because of a panic in the library, which is a bug.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Returns true in a process that was forked from the process that started the session.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.threads.process().is_elsewhere()
    }

    /// Checks that the session can be used.
    ///
    /// # Errors
    /// Returns an exception in a forked process, and after a panic.
    pub(crate) fn check(&self) -> PyResult<()> {
        self.threads.process().check("session")?;
        if self.is_broken() {
            let why = "downhaul stopped because of a bug in downhaul; the message is on standard error";
            return Err(PyRuntimeError::new_err(why));
        }
        Ok(())
    }

    /// Adds a job. `watch` gets the number of the job before its first event.
    pub(crate) fn add(&self, job: Added, watch: impl FnOnce(u64)) -> PyResult<u64> {
        let mut feed = lock(&self.feed);
        let number = feed.added + 1;
        let closed = || PyRuntimeError::new_err("the session accepts no more files");
        let to = feed.to.as_ref().ok_or_else(closed)?;
        watch(number);
        to.send(job).map_err(|_| closed())?;
        feed.added = number;
        Ok(number)
    }

    /// Returns a receiver of the rows of all jobs that end from now on.
    pub(crate) fn rows(&self) -> Receiver<Row> {
        let (to, rows) = std::sync::mpsc::channel();
        if let Some(watchers) = lock(&self.watched).as_mut() {
            watchers.readers.push(to);
        }
        rows
    }

    /// Makes the session accept no more jobs.
    pub(crate) fn close(&self) {
        lock(&self.feed).to = None;
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.is_elsewhere() {
            let to = self.feed.get_mut().map_or(None, |feed| feed.to.take());
            std::mem::forget((self.session.clone(), to));
        } else {
            self.session.stop();
        }
    }
}

/// Passes jobs to the session, and closes it when no more jobs follow.
async fn feed(session: Arc<Session>, mut from: UnboundedReceiver<Added>) {
    let mut jobs = Vec::new();
    while from.recv_many(&mut jobs, AT_ONCE).await > 0 {
        session.add_all(std::mem::take(&mut jobs)).await;
    }
    session.close().await;
}

/// Passes the row of each job to its handle and to all readers.
async fn watch(mut events: Events, watched: Arc<Watched>) {
    let mut tracker = Tracker::default();
    while let Some(event) = events.next().await {
        let Some(row) = tracker.row(&event) else { continue };
        let mut watched = lock(&watched);
        let Some(watchers) = watched.as_mut() else { return };
        watchers.readers.retain(|to| to.send(row.clone()).is_ok());
        let slot = watchers.slots.remove(&row.number);
        drop(watched);
        if let Some(slot) = slot.and_then(|slot| slot.upgrade()) {
            slot.set(row);
        }
    }
    let watchers = lock(&watched).take().unwrap_or_default();
    for (number, slot) in watchers.slots {
        if let Some(slot) = slot.upgrade() {
            slot.set(Row::stopped(number));
        }
    }
}

/// Locks a mutex, even if a thread panicked while it held the lock. The data that these mutexes protect is
/// consistent even in this case.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
