//! Ranges of a remote file, for the file object of the package.
//!
//! Invariant: ranges are fetched in the background, while Python code runs. Python code waits only to open a
//! file, and to take the bytes of a range.

use crate::options::{self, Options};
use crate::session::lock;
use crate::threads::{Process, Threads};
use crate::wait;
use downhaul_engine::core::job;
use downhaul_engine::{Error, RangeReader};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::future::Future;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use tokio::task::AbortHandle;

/// A remote file. The file object of the package uses this class.
#[pyclass(frozen)]
pub(crate) struct RemoteFile {
    threads: Threads,
    reader: Arc<RangeReader>,
    first: Vec<u8>,
}

#[pymethods]
impl RemoteFile {
    /// Opens the file at a URL, and fetches at most `first` bytes from its beginning.
    #[new]
    fn new(py: Python<'_>, options: Options, url: &str, first: u64) -> PyResult<RemoteFile> {
        let settings = options::settings(options).map_err(PyValueError::new_err)?;
        let url = job::parse_url(url).map_err(|error| crate::exception(&error))?;
        let threads = Threads::start()?;
        let opened = Pending::start(&threads, async move { RangeReader::open(settings, &url, first).await });
        let (reader, first) = opened.get(py)?;
        Ok(RemoteFile { threads, reader: Arc::new(reader), first })
    }

    #[getter]
    fn size(&self) -> u64 {
        self.reader.size()
    }

    #[getter]
    fn first<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.first)
    }

    /// Begins to fetch the bytes from `start` up to, but not including, `end`.
    fn fetch(&self, start: u64, end: u64) -> PyResult<Fetch> {
        self.threads.process().check("file")?;
        let reader = self.reader.clone();
        Ok(Fetch(Pending::start(&self.threads, async move { reader.read(start..end).await })))
    }
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        if self.threads.process().is_elsewhere() {
            std::mem::forget(self.reader.clone());
        }
    }
}

/// A range that is being fetched. The request is cancelled when this object is dropped.
#[pyclass(frozen)]
pub(crate) struct Fetch(Pending<Vec<u8>>);

#[pymethods]
impl Fetch {
    /// Waits for the bytes, and returns them. The bytes can be taken only once.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.0.get(py).map(|bytes| PyBytes::new(py, &bytes))
    }
}

/// The result of a task, which may not have ended yet.
struct Pending<T> {
    process: Process,
    /// `None` only while this object is dropped.
    task: Mutex<Option<Task<T>>>,
}

type Task<T> = (Receiver<Result<T, Error>>, Option<AbortHandle>);

impl<T: Send + 'static> Pending<T> {
    fn start(threads: &Threads, work: impl Future<Output = Result<T, Error>> + Send + 'static) -> Pending<T> {
        let (to, result) = mpsc::channel();
        let task = threads.spawn(async move { to.send(work.await).unwrap_or_default() });
        let task = Mutex::new(Some((result, task.map(|task| task.abort_handle()))));
        Pending { process: threads.process(), task }
    }

    fn get(&self, py: Python<'_>) -> PyResult<T> {
        self.process.check("file")?;
        let got = wait::until(py, None, |left| {
            let task = lock(&self.task);
            match task.as_ref().map(|(result, _)| result.recv_timeout(left)) {
                Some(Ok(result)) => Some(Some(result)),
                Some(Err(RecvTimeoutError::Timeout)) => None,
                Some(Err(RecvTimeoutError::Disconnected)) | None => Some(None),
            }
        })?;
        let why = "the bytes were taken, or downhaul stopped because of a bug in downhaul";
        let over = || PyRuntimeError::new_err(why);
        got.flatten().ok_or_else(over)?.map_err(|error| crate::exception(&error))
    }
}

/// A forked process leaks the task, because a thread of the parent may have been changing the task at the
/// moment of the fork.
impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        let task = self.task.get_mut().map_or(None, |task| task.take());
        if self.process.is_elsewhere() {
            std::mem::forget(task);
        } else if let Some((_, Some(task))) = task {
            task.abort();
        }
    }
}
