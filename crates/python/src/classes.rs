//! The classes of a session and of a job, as the package uses them.
//!
//! Invariant: each call that uses the session first checks that it runs in the process that started the
//! session.

use crate::jobs::{self, Given};
use crate::options::Options;
use crate::rows::{Events, Row, Rows};
use crate::session::{Live, Slot, lock};
use downhaul_engine::{JobId, Remove};
use pyo3::prelude::*;
use std::sync::Arc;

/// The sums over all files of a session.
#[derive(IntoPyObject)]
struct Totals {
    files: u64,
    finished: u64,
    skipped: u64,
    failed: u64,
    /// The bytes of the finished files, and the bytes that the session has of the files in progress.
    bytes: u64,
    /// The sizes of the finished files and of the files in progress. While the size of a file is not known,
    /// the bytes that the session has of this file count instead.
    expected: u64,
    running: usize,
    /// The name of a file in progress.
    name: Option<String>,
}

/// The progress of a file.
#[derive(IntoPyObject)]
struct Sample {
    number: u64,
    name: String,
    phase: String,
    bytes: u64,
    total: Option<u64>,
    seconds: f64,
    wait: f64,
}

/// A session. The class `Session` of the package uses this class.
#[pyclass(frozen)]
pub(crate) struct Core(Arc<Live>);

#[pymethods]
impl Core {
    /// Starts a session.
    #[new]
    fn new(py: Python<'_>, options: Options) -> PyResult<Core> {
        py.detach(|| Live::start(options)).map(|live| Core(Arc::new(live)))
    }

    /// Adds jobs. An item that cannot be understood becomes a job that fails. Raises an exception if the
    /// session accepts no more jobs.
    fn add_all(&self, jobs: Vec<Given>) -> PyResult<()> {
        self.0.check()?;
        jobs.into_iter().try_for_each(|given| self.0.add(jobs::job(given), |_| ()).map(drop))
    }

    /// Adds a job, and returns a handle of it. Raises an exception if the item cannot be understood, or if
    /// the session accepts no more jobs.
    fn add(&self, given: Given) -> PyResult<JobHandle> {
        self.0.check()?;
        let job = jobs::job(given).map_err(|error| crate::exception(&error))?;
        let slot = Slot::new();
        let number = self.0.add(Ok(job), |number| match lock(&self.0.watched).as_mut() {
            Some(watched) => drop(watched.slots.insert(number, Arc::downgrade(&slot))),
            None => slot.set(Row::stopped(number)),
        })?;
        Ok(JobHandle { live: self.0.clone(), number, slot })
    }

    /// Returns a reader of the rows (the results) of all jobs that end from now on.
    fn rows(&self) -> PyResult<Rows> {
        self.0.check()?;
        Ok(Rows::new(self.0.clone()))
    }

    /// Returns a reader of the events that happen from now on.
    fn events(&self) -> PyResult<Events> {
        self.0.check()?;
        Ok(Events::new(self.0.clone()))
    }

    /// Makes the session accept no more jobs.
    fn close(&self) -> PyResult<()> {
        self.0.check()?;
        self.0.close();
        Ok(())
    }

    /// Stops the session, and does not wait for its end. Does nothing in a forked process.
    fn stop(&self) {
        if !self.0.is_elsewhere() {
            self.0.close();
            self.0.session.stop();
        }
    }

    /// Waits for the end of the session. Returns false if it does not end in time. Returns true at once in a
    /// forked process.
    #[pyo3(signature = (timeout))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        if self.0.is_elsewhere() {
            return Ok(true);
        }
        Ok(self.0.over.get(py, timeout)?.is_some())
    }

    fn pause(&self) -> PyResult<()> {
        self.0.check()?;
        self.0.session.pause_all();
        Ok(())
    }

    fn resume(&self) -> PyResult<()> {
        self.0.check()?;
        self.0.session.resume_all();
        Ok(())
    }

    /// Limits the bytes a second of all jobs together. None removes the limit.
    #[pyo3(signature = (rate))]
    fn set_limit_rate(&self, rate: Option<u64>) -> PyResult<()> {
        self.0.check()?;
        self.0.session.set_rate_limit(rate);
        Ok(())
    }

    fn totals(&self) -> PyResult<Totals> {
        self.0.check()?;
        let (state, samples) = (self.0.session.state(), self.0.session.samples());
        let received: u64 = samples.iter().map(|sample| sample.bytes).sum();
        let expected: u64 = samples.iter().map(|sample| sample.total.unwrap_or(sample.bytes)).sum();
        Ok(Totals {
            files: state.queued,
            finished: state.finished,
            skipped: state.skipped,
            failed: state.failed,
            bytes: state.bytes + received,
            expected: state.bytes + expected,
            running: samples.len(),
            name: samples.into_iter().next().map(|sample| sample.name),
        })
    }

    fn samples(&self) -> PyResult<Vec<Sample>> {
        self.0.check()?;
        let samples = self.0.session.samples().into_iter();
        let sample = |one: downhaul_engine::Progress| Sample {
            number: one.job.get(),
            name: one.name,
            phase: format!("{:?}", one.phase).to_lowercase(),
            bytes: one.bytes,
            total: one.total,
            seconds: one.seconds,
            wait: one.wait,
        };
        Ok(samples.map(sample).collect())
    }
}

/// One job of a session. The class `Job` of the package uses this class.
#[pyclass(frozen)]
pub(crate) struct JobHandle {
    live: Arc<Live>,
    number: u64,
    slot: Arc<Slot<Row>>,
}

impl JobHandle {
    fn id(&self) -> PyResult<JobId> {
        self.live.check()?;
        Ok(JobId::new(self.number))
    }
}

#[pymethods]
impl JobHandle {
    #[getter]
    fn number(&self) -> u64 {
        self.number
    }

    /// Waits for the end of the job, and returns its row (its result). Returns None if the job does not end
    /// in time.
    #[pyo3(signature = (timeout))]
    fn row(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Row>> {
        self.live.check()?;
        self.slot.get(py, timeout)
    }

    fn pause(&self) -> PyResult<()> {
        self.live.session.pause(self.id()?);
        Ok(())
    }

    fn resume(&self) -> PyResult<()> {
        self.live.session.resume(self.id()?);
        Ok(())
    }

    fn remove(&self, keep_partial: bool) -> PyResult<()> {
        let partial_file = if keep_partial { Remove::KeepPartial } else { Remove::Discard };
        self.live.session.remove(self.id()?, partial_file);
        Ok(())
    }

    fn set_priority(&self, priority: i32) -> PyResult<()> {
        self.live.session.set_priority(self.id()?, priority);
        Ok(())
    }

    #[pyo3(signature = (rate))]
    fn set_limit_rate(&self, rate: Option<u64>) -> PyResult<()> {
        self.live.session.set_job_rate_limit(self.id()?, rate);
        Ok(())
    }
}
