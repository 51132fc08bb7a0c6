//! The lines of the list of `--failed`.
//!
//! Invariant: `-i` reads a line as the job that it was written for, except for the parts that a line cannot
//! contain: chunk hashes, the size that a document states, and some names of `-o`. An error becomes a
//! comment.

use super::COMMENT;
use downhaul_engine::core::error::Error;
use downhaul_engine::core::job::{Destination, Job};
use downhaul_engine::core::list::option_keys;
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::settings::Settings;
use downhaul_engine::core::show::escaped;
use serde_json::{Map, Value};
use std::path::Path;

/// A key that each line has, and its value. The two show that this module wrote the line.
const LISTED_BY: (&str, &str) = ("listed_by", "--failed");

/// The line of one job. It is a comment if the job is an error.
pub(crate) struct Line {
    pub(super) text: String,
    /// The name given with `-o`, if a list cannot contain it.
    pub(super) lost_name: Option<String>,
}

/// Returns true if this module wrote the line.
pub(crate) fn is_line(text: &str) -> bool {
    let (key, value) = LISTED_BY;
    let line: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    text.starts_with(COMMENT) || line.is_some_and(|keys| keys.get(key).is_some_and(|by| by == value))
}

/// Returns a job as a line of a list. An error becomes a comment. `settings` are the settings of the session.
pub(crate) fn line(job: &Result<Job, Error>, settings: &Settings) -> Line {
    match job {
        Ok(job) => line_of(job, settings),
        Err(error) => Line { text: format!("{COMMENT}{}", escaped(&error.to_string())), lost_name: None },
    }
}

/// Returns the line of a job. Chunk hashes and the size are left out, because a line cannot contain them.
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
    keys.extend(options(job));
    if !job.urls.iter().all(|url| job.is_given(settings, url)) {
        keys.insert("named_by".into(), "document".into());
    }
    for one in &job.expected {
        keys.insert(one.digest.algorithm.name().into(), one.digest.to_string().into());
    }
    let header = |(name, value): &(String, Secret)| Value::from(format!("{name}: {}", value.expose()));
    if !job.headers.0.is_empty() {
        keys.insert("headers".into(), job.headers.0.iter().map(header).collect());
    }
    // A column of a table may have the name of an option by chance. A list would read it as the option.
    for (key, value) in job.extra.iter().filter(|(key, _)| !option_keys::is_option(key)) {
        keys.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Line { text: Value::Object(keys).to_string(), lost_name: name.and_then(Result::err) }
}

/// Returns the keys for the options of a job.
fn options(job: &Job) -> Map<String, Value> {
    let dir = job.folder.as_ref().map(|folder| Value::from(folder.as_str()));
    let priority = Some(job.priority).filter(|priority| *priority != 0);
    let all = [
        ("dir", dir),
        ("connections", job.connections.map(Value::from)),
        ("limit_rate", job.limit_rate.map(Value::from)),
        ("if_exists", job.if_exists.map(|what| what.name().into())),
        ("priority", priority.map(Value::from)),
        ("credentials", job.login_of.as_deref().map(Value::from)),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?))).collect()
}

/// Returns the path given with `-o` as a name for a list. The error is the path as a text.
fn name_of_path(path: &Path) -> Result<String, String> {
    let name = path.to_str().and_then(|text| SafeName::from_person(text).ok());
    name.map(|name| name.to_string()).ok_or_else(|| path.to_string_lossy().into_owned())
}
