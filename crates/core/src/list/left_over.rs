//! Reads and writes the keys by which a line of a list of `--failed` differs from other JSON lines.
//!
//! Invariant: a later run with the same options downloads the same URLs under the same names. So the line has
//! the URLs and the given name after all options were applied, and the options are not applied to the line
//! again. If the server may state the name, the line has the facts from which the options make the name.

use super::bad;
use super::jsonl::hide;
use crate::error::Error;
use crate::job::Job;
use crate::name::SafeName;
use serde_json::{Map, Value};

/// A key that each line of a list of `--failed` has, and the value of the key. Together, they show that
/// `--failed` wrote the line.
const LISTED_BY: (&str, &str) = ("listed_by", "--failed");

/// The beginning of each line that `--failed` writes, except for comments.
const BEGINNING: &str = "{\"listed_by\":\"--failed\",";

/// The beginning of each comment that `--failed` writes.
pub const COMMENT: &str = "# --failed: ";

/// The key for [`Job::url_name`].
const URL_NAME: &str = "url_name";

/// The key for [`Job::line`].
const LINE: &str = "line";

/// The key for [`Job::extra`]. The keys and columns that downhaul does not know are in an object of their
/// own, because a column of a table may have the same name as a key of JSON lines that downhaul knows.
const EXTRA: &str = "extra";

/// The values of [`URL_NAME`], [`LINE`] and [`EXTRA`] in one line.
pub(super) struct LeftOver {
    url_name: Option<SafeName>,
    line: u64,
    extra: Map<String, Value>,
}

/// Returns true if `--failed` wrote the line with these keys.
fn is_left_over(keys: &Map<String, Value>) -> bool {
    let (key, value) = LISTED_BY;
    keys.get(key).is_some_and(|by| by == value)
}

/// Returns true if `--failed` wrote this line or comment.
pub fn is_line(text: &str) -> bool {
    text.starts_with(COMMENT) || serde_json::from_str(text).is_ok_and(|keys| is_left_over(&keys))
}

/// Returns true if a list with this beginning is a list of `--failed`. Such a list has JSON lines, even if
/// the options state another form, because the options describe the list of the earlier run.
pub(super) fn begins(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with(BEGINNING) || text.starts_with(COMMENT)
}

/// Returns the line with these keys, and with the key by which [`is_line`] recognises the line.
pub fn line(mut keys: Map<String, Value>) -> String {
    keys.remove(LISTED_BY.0);
    let text = Value::Object(keys).to_string();
    format!("{BEGINNING}{}", text.strip_prefix('{').unwrap_or_default())
}

/// Removes the keys of this module from a line, and returns their values. Returns `None` if `--failed` did
/// not write the line.
///
/// # Errors
/// Returns `list.line` if the value of `url_name` is not a safe name.
pub(super) fn take(keys: &mut Map<String, Value>) -> Result<Option<LeftOver>, Error> {
    if !is_left_over(keys) {
        return Ok(None);
    }
    keys.remove(LISTED_BY.0);
    let url_name = match keys.remove(URL_NAME) {
        None => None,
        Some(Value::String(name)) => {
            Some(SafeName::from_person(&name).map_err(|why| bad(format!("`{URL_NAME}`: {why}")))?)
        }
        Some(_) => return Err(bad(format!("`{URL_NAME}` must be a string"))),
    };
    let line = keys.remove(LINE).and_then(|line| line.as_u64()).unwrap_or_default();
    let extra = match keys.remove(EXTRA) {
        Some(Value::Object(extra)) => extra,
        _ => Map::new(),
    };
    Ok(Some(LeftOver { url_name, line, extra }))
}

impl LeftOver {
    pub(super) fn apply(mut self, job: &mut Job) {
        self.extra.iter_mut().for_each(|(name, value)| hide(name, value));
        (job.is_left_over, job.url_name, job.line) = (true, self.url_name, self.line);
        job.extra.extend(self.extra);
    }
}

/// Returns the keys that `take` reads. `has_template` is true if a template makes the names.
pub fn keys(job: &Job, has_template: bool) -> Map<String, Value> {
    let mut keys = Map::new();
    if let Some(name) = &job.url_name {
        keys.insert(URL_NAME.into(), name.as_str().into());
    }
    if has_template && job.line > 0 {
        keys.insert(LINE.into(), job.line.into());
    }
    if !job.extra.is_empty() {
        keys.insert(EXTRA.into(), job.extra.clone().into());
    }
    keys
}
