//! Makes jobs from what Python passes: a URL, or a JSON line with the same keys as in a list.

use crate::options;
use downhaul_engine::core::{list, show};
use downhaul_engine::{Error, ErrorKind, Job};
use pyo3::prelude::*;
use std::path::PathBuf;

/// An item that Python passes.
#[derive(FromPyObject)]
pub(crate) enum Given {
    /// A URL as a person writes it.
    Url(String),
    /// A URL or a JSON line, with options.
    Line(Line),
}

/// A URL or a JSON line, with the options of the caller.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Line {
    text: String,
    /// True if the text is a URL that cannot be written as UTF-8. Question marks then replace the characters
    /// that cannot be written.
    #[pyo3(default)]
    is_not_utf8: bool,
    /// The reason why the code in Python cannot use the item. If there is a reason, the job fails like a line
    /// with a mistake.
    #[pyo3(default)]
    mistake: Option<String>,
    /// The path of the file, absolute or below the folder of the session.
    #[pyo3(default)]
    path: Option<PathBuf>,
    #[pyo3(default)]
    priority: Option<i32>,
    #[pyo3(default)]
    connections: Option<usize>,
    #[pyo3(default)]
    limit_rate: Option<u64>,
    #[pyo3(default)]
    size: Option<u64>,
    #[pyo3(default)]
    if_exists: Option<String>,
    /// A user name and a password.
    #[pyo3(default)]
    user: Option<(String, String)>,
}

/// Returns the job for an item.
pub(crate) fn job(given: Given) -> Result<Job, Error> {
    match given {
        Given::Url(url) => Job::given(&url),
        Given::Line(line) => with_options(line),
    }
}

fn with_options(line: Line) -> Result<Job, Error> {
    let wrong = |why| Error::new(ErrorKind::ListLine, "", why);
    if line.is_not_utf8 {
        let why = "the URL has characters that cannot be written as UTF-8";
        return Err(Error::new(ErrorKind::UrlInvalid, show::escaped(&show::given(&line.text)), why));
    }
    if let Some(mistake) = line.mistake {
        return Err(wrong(mistake));
    }
    let mut job = match line.text.starts_with('{') {
        true => list::line(line.text.as_bytes())?.ok_or_else(|| wrong("the line has no URL".into()))?,
        false => Job::given(&line.text)?,
    };
    // This field names a login that only the program `downhaul` looks up. A session does not read the field.
    if job.login_of.is_some() {
        return Err(wrong(
            "only the program downhaul can use the key `credentials`; in Python, use `user` or a netrc file"
                .into(),
        ));
    }
    if let Some(path) = line.path {
        job = job.to_path(path);
    }
    if let Some(connections) = line.connections {
        job = job.with_connections(connections);
    }
    if let Some(rate) = line.limit_rate {
        job = job.with_rate_limit(rate);
    }
    if let Some(size) = line.size {
        job = job.with_size(size);
    }
    if let Some(text) = line.if_exists {
        job = job.with_if_exists(options::if_exists(&text).map_err(wrong)?);
    }
    if let Some((user, password)) = line.user {
        job = job.with_credentials(&user, &password);
    }
    if let Some(priority) = line.priority {
        job = job.with_priority(priority);
    }
    Ok(job)
}
