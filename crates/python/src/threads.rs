//! The threads of one session or one remote file.
//!
//! Invariant: a forked process leaks the runtime instead of shutting it down, because the threads of the
//! runtime exist only in the parent process.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::future::Future;
use std::thread;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// A runtime, and the process that started it.
pub(crate) struct Threads {
    process: Process,
    /// `None` only while the threads end.
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts threads. As in the program `downhaul`, there are few threads: one thread receives more than a
    /// GB/s over TLS, and on two cores, one thread was faster than two. The disk and the hashing have threads
    /// of their own.
    ///
    /// # Errors
    /// Returns an exception if the system cannot start the threads.
    pub(crate) fn start() -> PyResult<Threads> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let number = (cores / 4).clamp(1, 4);
        let runtime =
            Builder::new_multi_thread().worker_threads(number).thread_name("downhaul").enable_all().build();
        let cannot = |e| PyRuntimeError::new_err(format!("the threads of downhaul cannot start: {e}"));
        Ok(Threads { process: Process::this(), runtime: Some(runtime.map_err(cannot)?) })
    }

    /// Returns the handle of the runtime. It is `None` only while the threads end.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.runtime.as_ref().map(Runtime::handle)
    }

    /// Starts a task, which runs until it ends or until the threads end. Returns `None` only while the
    /// threads end.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<JoinHandle<()>> {
        self.handle().map(|handle| handle.spawn(task))
    }

    pub(crate) fn process(&self) -> Process {
        self.process
    }
}

/// The process that made an object. The object must not be used in another process, for example in one that
/// was forked later.
#[derive(Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    fn this() -> Process {
        Process(std::process::id())
    }

    /// Returns true if the current process is not this one.
    pub(crate) fn is_elsewhere(self) -> bool {
        std::process::id() != self.0
    }

    /// Checks that an object of this process is not used in another process. `what` names the object.
    ///
    /// # Errors
    /// Returns an exception if the current process is not this one.
    pub(crate) fn check(self, what: &str) -> PyResult<()> {
        let why =
            || format!("this {what} belongs to the process that opened it; open another one in this process");
        if self.is_elsewhere() { Err(PyRuntimeError::new_err(why())) } else { Ok(()) }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        match self.runtime.take() {
            Some(runtime) if self.process.is_elsewhere() => std::mem::forget(runtime),
            Some(runtime) => runtime.shutdown_background(),
            None => {}
        }
    }
}
