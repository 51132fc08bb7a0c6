//! The record of a run (a lock file): a line of JSON for each file, which is also a line of a list, so that the same files
//! are had again or the run fails.
//!
//! Invariant: a record holds no secrets (its URLs are as [`crate::show::url`] shows them), and every line has a strong digest.

use crate::digest::{Algorithm, Digest};
use crate::event::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it was asked for, without secrets.
    pub url: String,
    /// Its name below the output folder.
    pub out: String,
    /// Its size in bytes.
    pub size: u64,
    /// The URL that answered, without secrets, if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_url: Option<String>,
    /// The server's word for this version: an entity tag or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// When it was complete: milliseconds since the Unix epoch; RFC 3339 in UTC in JSON.
    #[serde(with = "rfc3339")]
    pub date: u64,
    /// Its digests in hexadecimal, by names as lists have them: `sha256`.
    #[serde(flatten)]
    pub digests: Map<String, Value>,
}

impl Entry {
    /// The line, without a line end.
    pub fn to_json(&self) -> String {
        // Only maps with keys that are no texts cannot be written; here are none.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line. `None` unless it is one of a record, with a strong digest.
    pub fn from_json(line: &str) -> Option<Entry> {
        let entry: Entry = serde_json::from_str(line).ok()?;
        entry.digests().iter().any(|one| one.algorithm.is_strong()).then_some(entry)
    }

    /// Its digests; other keys, and what is no digest, are left out.
    pub fn digests(&self) -> Vec<Digest> {
        let digest =
            |(name, hex): (&String, &Value)| Digest::from_hex(Algorithm::from_name(name)?, hex.as_str()?);
        self.digests.iter().filter_map(digest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_a_record_is_a_line_of_a_list() {
        let digests = [("sha256".to_string(), Value::from("ab".repeat(32)))].into_iter().collect();
        let entry = Entry {
            url: "http://h/a?x=1".into(),
            out: "d/a b".into(),
            size: 5,
            final_url: None,
            validator: Some("\"e\"".into()),
            date: 1_795_333_200_123,
            digests,
        };
        let line = entry.to_json();
        assert_eq!(Entry::from_json(&line), Some(entry));
        let job = list::line(line.as_bytes()).expect("a line").expect("a job");
        assert_eq!((job.expected.len(), job.urls[0].as_str()), (1, "http://h/a?x=1"));
        for weak in [line.replace("sha256", "md5"), line.replace("ab", "zz"), "{}".into(), String::new()] {
            assert_eq!(Entry::from_json(&weak), None, "{weak}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "[{}a-z0-9\":,]{0,100}") {
            let _ = Entry::from_json(&line);
        }
    }
}
