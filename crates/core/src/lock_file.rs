//! The format of lock files (`--record`). A lock file has one JSON line for each file that a run was asked
//! for, even if the file was skipped or its job failed. A lock file whose name ends in `.csv` is a table
//! instead ([`csv`]).
//!
//! If a job did not fail, its line can also be read as a line of a list of jobs. If this line has a strong
//! digest, a later run that reads the line downloads the same file, or its job for this line fails. If
//! several lines are about one file, the last line counts, unless it adds nothing to an earlier line
//! ([`Line::adds_nothing_to`]).
//!
//! Invariant: a lock file has no secrets: its URLs pass through [`crate::show::url`], and the reader of
//! lists hides the values of keys such as `password`.

pub mod csv;

use crate::digest::{Algorithm, Digest};
use crate::event::rfc3339;
use crate::unique_keys;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The way in which a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The file was downloaded.
    Finished,
    /// The file was not downloaded, because a download was not necessary.
    Skipped,
    /// The file could not be downloaded, or it was left to another run (`--if-locked skip`).
    Failed,
}

impl Status {
    /// Returns the word for the status in a lock file, such as `finished`.
    pub fn name(self) -> &'static str {
        match self {
            Status::Finished => "finished",
            Status::Skipped => "skipped",
            Status::Failed => "failed",
        }
    }

    fn from_name(name: &str) -> Option<Status> {
        [Status::Finished, Status::Skipped, Status::Failed].into_iter().find(|one| one.name() == name)
    }
}

/// The facts about one file and its job, which are written as one line of a lock file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The first URL of the job, before any redirect and without secrets. If an entry of a list could not
    /// become a job, this is the place of the mistake.
    pub url: String,
    /// The path of the file, relative to the output folder. With `-o`, the file may be outside of this
    /// folder. `out` is empty if the job failed before the file had a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub out: String,
    /// The size of the file in bytes, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The URL after redirects, without secrets, if it differs from `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_url: Option<String>,
    /// The validator of the file: its ETag or its Last-Modified date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// The time when the job ended, in milliseconds since the Unix epoch. In JSON, the time is written in the
    /// form of RFC 3339, in UTC.
    #[serde(with = "rfc3339")]
    pub date: u64,
    /// The way in which the job ended. Lines that early versions of downhaul wrote have no status. All those
    /// lines are about finished files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The path of the file, as events report it. It is empty if the job failed before the file had a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The code of the error with which the job failed, such as `http.busy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The HTTP status of the response with which a server refused to send the file, such as 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The number of bytes that were received for the file in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<u64>,
    /// The time from the first request for the file to the end of the job, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The number of tries of the job in this run: the first try, and each try that used up one of the
    /// allowed retries. After 64 KiB of new bytes, all retries are allowed again, but this number is not
    /// reset. It is 0 for a file that was skipped or left to another run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// The record by which a later run recognises the file ([`crate::identity::Record`]), in hexadecimal.
    /// Only descriptions in containers have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The values that the list of jobs has for this file but that downhaul does not use, such as an `id`.
    /// Their keys are the keys of the JSON line, or the names of the columns of the table.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
    /// The digests of the file in hexadecimal. The keys are the names that lists use, such as `sha256`.
    #[serde(flatten, deserialize_with = "unique_keys::map")]
    pub digests: Map<String, Value>,
}

/// The keys of a line that are not about the file but about the run, and the keys `record` and `extra`. When
/// a line is read as a job, all these keys are removed, and the keys within `extra` become keys of the line.
const OF_A_RUN: [&str; 12] = [
    "date",
    "status",
    "path",
    "error",
    "http_status",
    "fetched",
    "seconds",
    "tries",
    "final_url",
    "validator",
    "record",
    "extra",
];

impl Entry {
    /// Returns the line of a lock file in JSON, without a line end.
    pub fn to_json(&self) -> String {
        // Serialization fails only for maps whose keys are not text, and an entry contains no such map.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line that has a strong digest. Returns `None` if the line has no strong digest, or if
    /// [`Entry::read`] returns `None`.
    pub fn from_json(line: &str) -> Option<Entry> {
        Entry::read(line).filter(Entry::has_strong_digest)
    }

    /// Reads a line. Returns `None` if the line is not a line of a lock file, or if one of its digests is
    /// malformed. A line of a lock file has a status and a number of tries. A line without one of them may
    /// come from an early version of downhaul, and is read only if it has a strong digest.
    pub fn read(line: &str) -> Option<Entry> {
        let entry: Entry = serde_json::from_str(line).ok()?;
        let is_digest = |(name, hex): (&String, &Value)| {
            let Some(algorithm) = Algorithm::from_name(name) else { return true };
            hex.as_str().is_some_and(|hex| Digest::from_hex(algorithm, hex).is_some())
        };
        entry.digests.iter().all(is_digest).then_some(())?;
        (entry.is_recorded() || entry.has_strong_digest()).then_some(entry)
    }

    /// Returns true if the line has the keys that this version writes into every line of a lock file, and
    /// that other lists do not have.
    fn is_recorded(&self) -> bool {
        self.status.is_some() && self.tries.is_some()
    }

    /// Returns true if one of the digests is strong.
    pub fn has_strong_digest(&self) -> bool {
        self.digests().iter().any(|one| one.algorithm.is_strong())
    }

    /// Returns the digests of the file. Malformed digests, and keys that are not for digests, are left out.
    pub fn digests(&self) -> Vec<Digest> {
        let digest =
            |(name, hex): (&String, &Value)| Digest::from_hex(Algorithm::from_name(name)?, hex.as_str()?);
        self.digests.iter().filter_map(digest).collect()
    }

    /// Returns the facts of the line that decide which of two lines about a file counts.
    pub fn line(&self) -> Line {
        match self.status {
            Some(Status::Failed) => Line::Failed,
            _ if self.has_strong_digest() => Line::Known(self.size),
            _ => Line::Unknown(self.size),
        }
    }
}

/// Returns the key of a lock file for digests of this algorithm, such as `sha256`.
pub fn digest_key(algorithm: Algorithm) -> String {
    algorithm.name().replace('-', "")
}

/// Returns the digests under the keys that lock files use, such as `sha256`. In `digests`, the keys are the
/// names of algorithms that events use, such as `sha-256`. A digest of an unknown algorithm is left out.
pub fn by_key(digests: &BTreeMap<String, String>) -> Map<String, Value> {
    let digest = |(name, hex): (&String, &String)| {
        Some((digest_key(Algorithm::from_name(name)?), hex.as_str().into()))
    };
    digests.iter().filter_map(digest).collect()
}

/// The keys, besides `url`, that this version writes into every line and every row of a lock file.
const IN_ALL: [&str; 3] = ["status", "tries", "date"];

/// Returns true if a table with these columns is a lock file. The table may have further columns.
pub(crate) fn is_table(columns: &[&str]) -> bool {
    IN_ALL.iter().all(|key| columns.contains(key))
}

/// If `keys` are the keys of a line or a row of a lock file, removes the keys that are not about the file and
/// returns the status of the line or row. The keys within `extra` become keys of the line or row. If `keys`
/// are not from a lock file, returns `None` and removes nothing.
pub(crate) fn take_keys(keys: &mut Map<String, Value>) -> Option<Status> {
    let status = Status::from_name(keys.get("status")?.as_str()?)?;
    if !IN_ALL.iter().all(|key| keys.contains_key(*key)) {
        return None;
    }
    let extra = keys.remove("extra");
    OF_A_RUN.iter().for_each(|key| drop(keys.remove(*key)));
    let extra = match extra {
        Some(Value::Object(extra)) => extra,
        // In a table, the value of `extra` is a text that contains the object in JSON.
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
        _ => Map::new(),
    };
    for (key, value) in extra {
        keys.entry(key).or_insert(value);
    }
    Some(status)
}

/// The statement that a line of a lock file makes about its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The line has a strong digest of the file. The value is the size of the file, if the line has it.
    Known(Option<u64>),
    /// The line has no strong digest of the file. The value is the size of the file, if the line has it.
    Unknown(Option<u64>),
    /// The job failed. Such a line says nothing about an existing file.
    Failed,
}

impl Line {
    /// Returns true if the `earlier` line about the same file counts, although this line is newer. This is so
    /// if `earlier` has a strong digest, this line has none and its job did not fail, and this line has no
    /// size or the size that `earlier` has.
    pub fn adds_nothing_to(self, earlier: Line) -> bool {
        matches!((self, earlier), (Line::Unknown(size), Line::Known(known)) if size.is_none() || size == known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list;
    use proptest::prelude::*;

    fn entry() -> Entry {
        Entry {
            url: "http://h/a?x=1".into(),
            out: "d/a b".into(),
            size: Some(5),
            validator: Some("\"e\"".into()),
            final_url: Some("http://m/a".into()),
            date: 1_795_333_200_123,
            digests: [("sha256".to_string(), Value::from("ab".repeat(32)))].into_iter().collect(),
            ..Entry::default()
        }
    }

    #[test]
    fn a_line_of_a_lock_file_is_a_line_of_a_list() {
        let old = entry();
        let new =
            Entry { status: Some(Status::Finished), tries: Some(1), path: "x/d/a b".into(), ..old.clone() };
        let new = Entry { extra: [("id".to_string(), 7.into())].into_iter().collect(), ..new };
        for entry in [old, new] {
            let line = entry.to_json();
            assert_eq!(Entry::from_json(&line), Some(entry.clone()));
            let job = list::line(line.as_bytes()).expect("a line").expect("a job");
            assert_eq!((job.expected.len(), job.urls[0].as_str()), (1, "http://h/a?x=1"));
            assert_eq!((job.is_recorded, job.extra.get("id")), (entry.is_recorded(), entry.extra.get("id")));
            let repeats = ["validator", "final_url"].iter().any(|key| job.extra.contains_key(*key));
            assert!(!repeats || !job.is_recorded, "facts about the earlier download are not copied");
            for weak in [line.replace("sha256", "md5"), line.replace("ab", "zz"), "{}".into(), String::new()]
            {
                assert_eq!(Entry::from_json(&weak), None, "{weak}");
            }
        }
    }

    #[test]
    fn a_failed_job_is_no_job_of_a_list() {
        let failed = Entry { status: Some(Status::Failed), tries: Some(4), size: None, ..entry() };
        let failed = Entry { error: Some("http.busy".into()), http_status: Some(503), ..failed };
        let line = failed.to_json();
        assert_eq!(Entry::read(&line), Some(failed));
        assert_eq!(list::line(line.as_bytes()), Ok(None));
    }

    #[test]
    fn a_line_that_knows_less_does_not_count() {
        let known = Line::Known(Some(5));
        assert!(Line::Unknown(Some(5)).adds_nothing_to(known) && Line::Unknown(None).adds_nothing_to(known));
        for (line, earlier) in [
            (Line::Unknown(Some(6)), known),
            (known, known),
            (known, Line::Unknown(Some(5))),
            (Line::Unknown(Some(5)), Line::Unknown(Some(5))),
            (Line::Failed, known),
        ] {
            assert!(!line.adds_nothing_to(earlier), "{line:?} {earlier:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_causes_a_panic(line in "[{}a-z0-9\":,]{0,100}") {
            let _ = Entry::read(&line);
        }
    }
}
