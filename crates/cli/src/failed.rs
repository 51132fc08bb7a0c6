//! Writes the list of `--failed FILE`. The list has the files that failed, and `-i` can read the list.
//!
//! Invariant: FILE is written at the end of the run, as a whole. It is empty if nothing failed. It does not
//! contain files that were only stopped, because the same command resumes them.

use crate::platform;
use crate::ui::{EventReader, Next};
use downhaul_engine::core::event::{EventKind, JobId};
use downhaul_engine::core::job::{Destination, Job};
use downhaul_engine::core::secret::Secret;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The lines of the jobs that are not over. The lines are kept here because they may contain secrets, which
/// events do not contain.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<BTreeMap<JobId, String>>>);

impl Pending {
    /// Keeps the line of a job.
    pub(crate) fn insert(&self, job: JobId, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job, line);
    }

    fn remove(&self, job: JobId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }
}

/// Reads events until the run is over, and writes the list. Only the user may read it, because the URLs may
/// have passwords.
///
/// # Errors
/// Returns why the list cannot be written, in words for the user.
pub(crate) fn run(path: &Path, pending: &Pending, mut events: EventReader) -> Result<(), String> {
    let mut failed = BTreeSet::new();
    loop {
        let event = match events.next(Duration::from_secs(3600)) {
            Next::Event(event) => event,
            Next::Nothing => continue,
            Next::End => break,
        };
        let Some(job) = event.job else { continue };
        match &event.kind {
            EventKind::Finished { .. } | EventKind::Skipped { .. } => pending.remove(job),
            EventKind::Failed { error, .. } if error.code == "run.stopped" => pending.remove(job),
            EventKind::Failed { .. } => drop(failed.insert(job)),
            _ => {}
        }
    }
    let lines = pending.0.lock().unwrap_or_else(PoisonError::into_inner);
    let text: String =
        failed.iter().filter_map(|job| lines.get(job)).map(|line| format!("{line}\n")).collect();
    platform::replace_private(path, text.as_bytes())
        .map_err(|e| format!("--failed {}: it cannot be written: {e}", path.display()))
}

/// Returns a job as a line of a list. Chunk hashes are left out, because a line cannot have them.
pub(crate) fn line(job: &Job) -> String {
    let mut keys = Map::new();
    let mut urls: Vec<Value> = job.urls.iter().map(|url| Value::from(url.as_str())).collect();
    match urls.len() {
        1 => keys.insert("url".into(), urls.remove(0)),
        _ => keys.insert("urls".into(), urls.into()),
    };
    if let Destination::Name(name) = &job.destination {
        keys.insert("out".into(), name.to_string().into());
    }
    for one in &job.expected {
        keys.insert(one.digest.algorithm.name().into(), one.digest.to_string().into());
    }
    let header = |(name, value): &(String, Secret)| Value::from(format!("{name}: {}", value.expose()));
    if !job.headers.0.is_empty() {
        keys.insert("headers".into(), job.headers.0.iter().map(header).collect());
    }
    for (key, value) in &job.extra {
        keys.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Value::Object(keys).to_string()
}
