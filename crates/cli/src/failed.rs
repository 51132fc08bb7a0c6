//! Writes the list of `--failed FILE`. The list has the files that are not complete after the run: those that
//! failed, and those that were stopped or not started. `-i` can read the list.
//!
//! Invariant: FILE is written at the end of the run, as a whole. It is empty only if every file is complete,
//! so a script can take an empty list for a success. An entry that cannot be a line of a list becomes a
//! comment. If FILE is also the input, it is replaced only by a list of all files that are not complete. A
//! line says if a document named the URLs of the file. So a run with this list sends the user's secrets only
//! to servers to which this run may send them.

use crate::args::Args;
use crate::outputs;
use crate::platform;
use crate::ui::{EventReader, Next};
use downhaul_engine::core::error::Error;
use downhaul_engine::core::event::{EventKind, JobId};
use downhaul_engine::core::job::{Destination, Job, Url};
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::settings::Settings;
use downhaul_engine::core::show::escaped;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The key of each line, and its value. They show that this file wrote the line.
const LISTED_BY: (&str, &str) = ("listed_by", "--failed");

/// The beginning of each comment.
const COMMENT: &str = "# --failed: ";

/// The line of one job. It is a comment if the job is an error.
pub(crate) struct Line {
    text: String,
    /// The name given with `-o`, if a list cannot contain it.
    lost_name: Option<String>,
}

/// The most jobs that are read after a run was stopped, to write them into the list. Their lines are kept in
/// memory, and a pattern such as `[1-9999999999]` may stand for very many jobs.
const REST_MOST: usize = 1_000_000;

/// The longest wait for the rest of the input after the run was stopped. Reading a million lines takes some
/// seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The files of the run that are not complete yet.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<(Mutex<Files>, Condvar)>);

/// The lines are kept here because they may contain secrets, which events do not contain.
#[derive(Default)]
struct Files {
    /// The lines of the jobs of the session.
    started: BTreeMap<JobId, Line>,
    /// Jobs that were complete before their line was known.
    done: BTreeSet<JobId>,
    /// The lines of the jobs that the session did not accept, because the run was stopped.
    rest: Vec<Line>,
    /// True if all jobs were read. This is `None` until the reader of the input has ended.
    is_whole: Option<bool>,
}

impl Pending {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the line of a job of the session.
    pub(crate) fn insert(&self, job: JobId, line: Line) {
        let mut files = self.files();
        if !files.done.remove(&job) {
            files.started.insert(job, line);
        }
    }

    /// Keeps the line of a job that the session did not accept. Returns false if no more lines are kept.
    pub(crate) fn keep(&self, line: Line) -> bool {
        let mut files = self.files();
        files.rest.push(line);
        files.rest.len() < REST_MOST
    }

    /// Notes that no more jobs are read. `is_whole` is true if all jobs were read.
    pub(crate) fn end(&self, is_whole: bool) {
        self.files().is_whole = Some(is_whole);
        self.0.1.notify_all();
    }

    /// Notes that the file of a job is complete.
    fn remove(&self, job: JobId) {
        let mut files = self.files();
        if files.started.remove(&job).is_none() {
            files.done.insert(job);
        }
    }

    /// Returns all files that are not complete, and true if these are the files of the whole input. Waits
    /// until the reader of the input has ended, but not longer than `wait`.
    fn all(&self, wait: Duration) -> (Vec<Line>, bool) {
        let is_reading = |files: &mut Files| files.is_whole.is_none();
        let waited = self.0.1.wait_timeout_while(self.files(), wait, is_reading);
        let (mut files, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let files = std::mem::take(&mut *files);
        (files.started.into_values().chain(files.rest).collect(), files.is_whole == Some(true))
    }
}

/// Returns true if a line is one of a list that this file wrote.
pub(crate) fn is_line(text: &str) -> bool {
    let (key, value) = LISTED_BY;
    let line: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    text.starts_with(COMMENT) || line.is_some_and(|keys| keys.get(key).is_some_and(|by| by == value))
}

/// The list that is written at the end of the run.
pub(crate) struct List {
    path: PathBuf,
    /// True if the input has the same path.
    is_input: bool,
    /// The longest wait for the rest of the input after the run has ended.
    wait: Duration,
}

impl List {
    /// Returns the list of `--failed`, if that option is given. `is_stream` is true if the input may never
    /// end.
    pub(crate) fn of(args: &Args, is_stream: bool) -> Option<List> {
        let path = args.options.failure.failed.clone()?;
        let is_input = args.output.input.as_deref().is_some_and(|input| outputs::is_same(input, &path));
        Some(List { path, is_input, wait: if is_stream { Duration::ZERO } else { LONGEST_WAIT } })
    }

    /// Reads events until the run is over, and writes the list. Only the user may read the list, because its
    /// URLs may have passwords. Returns warnings about what the list does not contain.
    ///
    /// # Errors
    /// Returns why the list is not written, in words for the user.
    pub(crate) fn run(&self, pending: &Pending, mut events: EventReader) -> Result<Vec<String>, String> {
        loop {
            let event = match events.next(Duration::from_secs(3600)) {
                Next::Event(event) => event,
                Next::Nothing => continue,
                Next::End => break,
            };
            let Some(job) = event.job else { continue };
            if matches!(event.kind, EventKind::Finished { .. } | EventKind::Skipped { .. }) {
                pending.remove(job);
            }
        }
        let (lines, is_whole) = pending.all(self.wait);
        let shown = self.path.display();
        if self.is_input && !is_whole {
            return Err(format!(
                "--failed {shown}: it was not changed, because it is also the input, whose end was not read"
            ));
        }
        let mut text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
        if !is_whole {
            text += &format!("{COMMENT}the end of the input was not read\n");
        }
        platform::replace(&self.path, text.as_bytes(), platform::FOR_THE_OWNER)
            .map_err(|e| format!("--failed {shown}: it cannot be written: {e}"))?;
        let lost_names = lines.into_iter().filter_map(|line| line.lost_name);
        let warning = |name| format!("--failed {shown}: a list cannot contain the name {name} that -o gives");
        let cut = || format!("--failed {shown}: it lacks the end of the input, which was not read");
        Ok(lost_names.map(warning).chain((!is_whole).then(cut)).collect())
    }
}

/// Returns a job as a line of a list. An error becomes a comment. `settings` are the settings of the session.
pub(crate) fn line(job: &Result<Job, Error>, settings: &Settings) -> Line {
    match job {
        Ok(job) => line_of(job, settings),
        Err(error) => Line { text: format!("{COMMENT}{}", escaped(&error.to_string())), lost_name: None },
    }
}

/// Returns the line of a job. Chunk hashes are left out, because a line cannot contain them.
fn line_of(job: &Job, settings: &Settings) -> Line {
    let mut keys = Map::new();
    keys.insert(LISTED_BY.0.into(), LISTED_BY.1.into());
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
    Line { text: Value::Object(keys).to_string(), lost_name: name.and_then(Result::err) }
}

/// Returns the path given with `-o` as a name for a list. The error is the path as a text.
fn name_of_path(path: &Path) -> Result<String, String> {
    let name = path.to_str().and_then(|text| SafeName::from_person(text).ok());
    name.map(|name| name.to_string()).ok_or_else(|| path.to_string_lossy().into_owned())
}
