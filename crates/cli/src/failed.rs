//! Writes the list of `--failed FILE`. The list has the files that failed, and `-i` can read the list.
//!
//! Invariant: FILE is written at the end of the run, as a whole. It is empty if nothing failed. It does not
//! contain files that were only stopped, because the same command resumes them. A line says if a document
//! named the URLs of the file. So a run with this list sends a secret of the user to no server to which this
//! run did not send it.

use crate::platform;
use crate::ui::{EventReader, Next};
use downhaul_engine::core::event::{EventKind, JobId};
use downhaul_engine::core::job::{Destination, Job, Url};
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::settings::Settings;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The line of one job.
pub(crate) struct Line {
    json: String,
    /// The name given with `-o`, if a list cannot contain it.
    lost_name: Option<String>,
}

/// The lines of the jobs that have not ended. The lines are kept here because they may contain secrets, which
/// events do not contain.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<BTreeMap<JobId, Line>>>);

impl Pending {
    /// Keeps the line of a job.
    pub(crate) fn insert(&self, job: JobId, line: Line) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job, line);
    }

    fn remove(&self, job: JobId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }
}

/// Reads events until the run is over, and writes the list. Only the user may read the list, because its URLs
/// may have passwords. Returns warnings about names that the list cannot contain.
///
/// # Errors
/// Returns why the list cannot be written, in words for the user.
pub(crate) fn run(path: &Path, pending: &Pending, mut events: EventReader) -> Result<Vec<String>, String> {
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
    let lines: Vec<&Line> = failed.iter().filter_map(|job| lines.get(job)).collect();
    let text: String = lines.iter().map(|line| format!("{}\n", line.json)).collect();
    let shown = path.display();
    platform::replace_private(path, text.as_bytes())
        .map_err(|e| format!("--failed {shown}: it cannot be written: {e}"))?;
    let lost_names = lines.into_iter().filter_map(|line| line.lost_name.as_ref());
    let warning = |name| format!("--failed {shown}: a list cannot contain the name {name} that -o gives");
    Ok(lost_names.map(warning).collect())
}

/// Returns a job as a line of a list. Chunk hashes are left out, because a line cannot contain them.
/// `settings` are the settings of the session.
pub(crate) fn line(job: &Job, settings: &Settings) -> Line {
    let mut keys = Map::new();
    let mut urls: Vec<Value> = job.urls.iter().map(|url| Value::from(url.as_str())).collect();
    match urls.len() {
        1 => keys.insert("url".into(), urls.remove(0)),
        _ => keys.insert("urls".into(), urls.into()),
    };
    let name = match &job.destination {
        Destination::Server | Destination::Writer(_) => None,
        Destination::Name(name) => Some(Ok(name.to_string())),
        Destination::Stdout => Some(Err("-".into())),
        Destination::Stream(path) => Some(Err(path.to_string_lossy().into_owned())),
        Destination::Path(path) => Some(name_of_path(path)),
    };
    if let Some(Ok(name)) = &name {
        keys.insert("out".into(), name.as_str().into());
    }
    let is_of_the_user = |url: &Url| settings.sends_headers_to(url, job.named_by);
    if !job.urls.iter().all(is_of_the_user) {
        keys.insert("named_by".into(), "document".into());
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
    Line { json: Value::Object(keys).to_string(), lost_name: name.and_then(Result::err) }
}

/// Returns the path given with `-o` as a name for a list. The error is the path as a text.
fn name_of_path(path: &Path) -> Result<String, String> {
    let name = path.to_str().and_then(|text| SafeName::from_person(text).ok());
    name.map(|name| name.to_string()).ok_or_else(|| path.to_string_lossy().into_owned())
}
