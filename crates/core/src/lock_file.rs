//! The format of lock files (`--record`). A lock file has one line of JSON for each file of a run. Each line
//! is also a line of a list of jobs, so a later run downloads the same files or fails.
//!
//! Invariant: a lock file has no secrets (its URLs pass through [`crate::show::url`]), and every line has a
//! strong digest.

use crate::digest::{Algorithm, Digest};
use crate::event::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The line of one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The URL that was given, without secrets.
    pub url: String,
    /// The name of the file below the output folder.
    pub out: String,
    /// The size of the file in bytes.
    pub size: u64,
    /// The URL after redirects, without secrets, if it differs from `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_url: Option<String>,
    /// The validator: an ETag or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// The time when the file was complete, in milliseconds since the Unix epoch. In JSON it is RFC 3339 in
    /// UTC.
    #[serde(with = "rfc3339")]
    pub date: u64,
    /// The digests of the file in hexadecimal. The keys are the names that lists use, such as `sha256`.
    #[serde(flatten)]
    pub digests: Map<String, Value>,
}

impl Entry {
    /// Returns the line, without a line end.
    pub fn to_json(&self) -> String {
        // Serialization fails only for maps whose keys are not text, and an entry contains no such map.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line. Returns `None` if it is not a line of a lock file with a strong digest.
    pub fn from_json(line: &str) -> Option<Entry> {
        let entry: Entry = serde_json::from_str(line).ok()?;
        entry.digests().iter().any(|one| one.algorithm.is_strong()).then_some(entry)
    }

    /// Returns the digests. Other keys and malformed digests are left out.
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
    fn a_line_of_a_lock_file_is_a_line_of_a_list() {
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
        fn no_line_causes_a_panic(line in "[{}a-z0-9\":,]{0,100}") {
            let _ = Entry::from_json(&line);
        }
    }
}
