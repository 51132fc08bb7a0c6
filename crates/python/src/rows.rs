//! Turns the events of a session into rows: one for each job, when the job has ended. Also passes events on
//! as JSON.
//!
//! Tasks of the session read the events, and put rows or JSON into queues without a limit. So a caller that
//! adds jobs without end must read the rows of earlier jobs before it adds further jobs. The rows of all
//! readers come from one task, which reads all events of the session. So a row has all its fields, even if
//! its reader was added after the first events of the job.

use crate::session::Live;
use crate::wait::{self, Got};
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::{Event, EventKind, Events as Stream, Failure, JobId};
use pyo3::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

/// The result of a job that has ended. In Python, it is a dictionary.
#[derive(Clone, Default, IntoPyObject)]
pub(crate) struct Row {
    /// The number of the job, from 1.
    pub(crate) number: u64,
    /// The URL of the job, without secrets.
    url: String,
    status: &'static str,
    /// True if the complete file is at the path.
    is_complete: bool,
    path: Option<String>,
    bytes: Option<u64>,
    fetched: u64,
    seconds: f64,
    proven: Option<String>,
    digests: BTreeMap<String, String>,
    /// The URL of the response, without secrets.
    final_url: Option<String>,
    reason: Option<String>,
    warnings: Vec<String>,
    retries: u32,
    /// The code, the message and the place of the failure.
    error: Option<(String, String, String)>,
}

impl Row {
    /// Returns the row of a job that had not ended when the session ended.
    pub(crate) fn stopped(number: u64) -> Row {
        let failure = Failure::from(&Error::new(ErrorKind::RunStopped, "", ""));
        Row { number, ..Row::failed(&failure, 0) }
    }

    fn failed(failure: &Failure, retries: u32) -> Row {
        let Failure { code, message, at, .. } = failure.clone();
        Row { status: "failed", error: Some((code, message, at)), retries, ..Row::default() }
    }
}

/// For each job that has not ended: the URL of the job, and the URL of its response if that URL is known.
#[derive(Default)]
pub(crate) struct Tracker {
    urls: HashMap<JobId, (String, Option<String>)>,
}

impl Tracker {
    /// Returns the row of a job, if this event is the last one of the job.
    pub(crate) fn row(&mut self, event: &Event) -> Option<Row> {
        let job = event.job?;
        let row = match &event.kind {
            EventKind::Queued { url, .. } => {
                self.urls.insert(job, (url.clone(), None));
                return None;
            }
            EventKind::Started { url, .. } => {
                self.urls.entry(job).or_default().1 = Some(url.clone());
                return None;
            }
            EventKind::Finished { path, bytes, fetched, seconds, proven, digests, warnings, .. } => Row {
                status: "finished",
                is_complete: true,
                path: Some(path.clone()),
                bytes: Some(*bytes),
                fetched: *fetched,
                seconds: *seconds,
                proven: Some(proven.clone()),
                digests: digests.clone(),
                warnings: warnings.clone(),
                ..Row::default()
            },
            EventKind::Skipped { path, reason, digests, .. } => Row {
                status: "skipped",
                is_complete: event.kind.is_complete(),
                path: Some(path.clone()),
                digests: digests.clone(),
                reason: Some(reason.clone()),
                ..Row::default()
            },
            EventKind::Failed { error, retries, .. } => Row::failed(error, *retries),
            _ => return None,
        };
        let (url, final_url) = self.urls.remove(&job).unwrap_or_default();
        Some(Row { number: job.get(), url, final_url, ..row })
    }
}

/// A queue that a task of the session fills.
struct Queue<T> {
    live: Arc<Live>,
    /// `None` only while the queue is dropped.
    values: Mutex<Option<Receiver<T>>>,
}

impl<T: Send + 'static> Queue<T> {
    fn new(live: Arc<Live>, values: Receiver<T>) -> Queue<T> {
        Queue { live, values: Mutex::new(Some(values)) }
    }

    /// Waits for values. Returns `None` if no more values follow, and an empty list if no value came in
    /// time.
    fn next(&self, py: Python<'_>, timeout: Option<f64>, most: usize) -> PyResult<Option<Vec<T>>> {
        self.live.check()?;
        let got = wait::until(py, wait::duration(timeout), |left| {
            let values = crate::session::lock(&self.values);
            let got = values.as_ref().map_or(Some(Got::End), |values| wait::take(values, most, left));
            got.or_else(|| self.live.is_broken().then_some(Got::End))
        })?;
        match got {
            Some(Got::Some(values)) => Ok(Some(values)),
            Some(Got::End) => self.live.check().map(|()| None),
            None => Ok(Some(Vec::new())),
        }
    }
}

/// A forked process leaks the queue, because a thread of the parent may have been changing the queue at the
/// moment of the fork.
impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        if self.live.is_elsewhere() {
            std::mem::forget(self.values.get_mut().map_or(None, |values| values.take()));
        }
    }
}

/// The rows of the jobs that end after this object was made.
#[pyclass(frozen)]
pub(crate) struct Rows(Queue<Row>);

impl Rows {
    pub(crate) fn new(live: Arc<Live>) -> Rows {
        let rows = live.rows();
        Rows(Queue::new(live, rows))
    }
}

#[pymethods]
impl Rows {
    /// Waits for rows. Returns None if no more rows follow, and an empty list if no row came in time.
    #[pyo3(signature = (timeout, most))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>, most: usize) -> PyResult<Option<Vec<Row>>> {
        self.0.next(py, timeout, most)
    }
}

/// The events of a session that happen after this object was made, as JSON.
#[pyclass(frozen)]
pub(crate) struct Events(Queue<Vec<u8>>);

impl Events {
    pub(crate) fn new(live: Arc<Live>) -> Events {
        let (to, texts) = mpsc::channel();
        let mut events: Stream = live.session.events();
        live.spawn(async move {
            while let Some(event) = events.next().await {
                let mut text = Vec::new();
                event.write_json(&mut text);
                if to.send(text).is_err() {
                    return;
                }
            }
        });
        Events(Queue::new(live, texts))
    }
}

#[pymethods]
impl Events {
    /// Waits for events. Returns None if no more events follow, and an empty list if no event came in time.
    #[pyo3(signature = (timeout, most))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>, most: usize) -> PyResult<Option<Vec<String>>> {
        let texts = self.0.next(py, timeout, most)?;
        // JSON is UTF-8.
        Ok(texts.map(|all| all.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()))
    }
}
