//! The record that is attached to a finished file.
//!
//! Invariant: a record has no secret, and a record of another format is not read.

use super::{Hashes, Origin};
use crate::journal::crc32c;
use crate::remote::Validator;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// The record of a finished file. A later run recognises the file by its record, without a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The hashes of the URL and the request that the file came from.
    pub origin: Hashes,
    /// The size of the file in bytes.
    pub size: u64,
    /// The modification time of the file on the disk, in seconds and nanoseconds since the Unix epoch. It is
    /// often the server's Last-Modified.
    pub modified: (i64, u32),
    /// The time when the file was complete, in seconds since the Unix epoch.
    pub at: u64,
    /// The validator that the server sent with the file. It is [`Validator::Unknown`] if the server sent
    /// none, or if its entity tag is longer than 128 bytes.
    pub validator: Validator,
}

/// The record for a further name of a file, which is a hard link to the same bytes (`--dedup hardlink`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Further {
    /// A checksum of the file name.
    name: u32,
    /// The record of the job whose file has this name.
    pub record: Record,
}

impl Further {
    /// Returns the record of the job whose file has this name.
    pub fn new(name: &str, record: Record) -> Further {
        Further { name: crc32c(name.as_bytes()), record }
    }

    /// Returns true if this is the record of a job whose file has this name.
    pub fn is_of(&self, name: &str) -> bool {
        self.name == crc32c(name.as_bytes())
    }

    /// Returns the bytes in which several records are stored together.
    pub fn list_to_bytes(all: &[Further]) -> Vec<u8> {
        let mut bytes = postcard::to_stdvec(all).unwrap_or_default();
        bytes.insert(0, FURTHER_FORMAT);
        bytes
    }

    /// Reads the bytes that [`Further::list_to_bytes`] returned. Returns no records if the bytes have another
    /// format or cannot be decoded.
    pub fn list_from_bytes(bytes: &[u8]) -> Vec<Further> {
        match bytes.split_first() {
            Some((&FURTHER_FORMAT, rest)) => postcard::from_bytes(rest).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

/// The format of a record. In format 1, the headers and the server of a request were not hashed.
const FORMAT: u8 = 2;

/// The format of a list of [`Further`]. Up to format 2, the list had records without the names.
const FURTHER_FORMAT: u8 = 3;

/// The longest entity tag that is recorded, in bytes. It is about three times as long as the longest common
/// tags, since servers of static files use tags of 15 to 40 bytes. With most of these tags, a record fits
/// into the inode of its file, where about 60 bytes are free (ext4 with inodes of 256 bytes). Longer records
/// need a block of their own.
const LONGEST_TAG: usize = 128;

impl Record {
    /// Returns the record of a file that is complete now.
    pub fn new(
        origin: Origin,
        size: u64,
        modified: SystemTime,
        now: SystemTime,
        validator: &Validator,
    ) -> Record {
        let validator = match validator {
            Validator::Etag(tag) if tag.len() > LONGEST_TAG => Validator::Unknown,
            validator => validator.clone(),
        };
        Record { origin: origin.hashes, size, modified: since_epoch(modified), at: seconds(now), validator }
    }

    /// Returns the bytes in which the record is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        // If the serialization fails, the record cannot be read, and a later run does not recognise the file.
        // The failure has no other effect.
        let mut bytes = postcard::to_stdvec(self).unwrap_or_default();
        bytes.insert(0, FORMAT);
        bytes
    }

    /// Reads the bytes that [`Record::to_bytes`] returned. Returns `None` if the bytes have another format or
    /// cannot be decoded.
    pub fn from_bytes(bytes: &[u8]) -> Option<Record> {
        let (format, rest) = bytes.split_first()?;
        if *format != FORMAT { None } else { postcard::from_bytes(rest).ok() }
    }

    /// Returns true if this size and this modification time are the recorded ones. The file then counts as
    /// unchanged. `modified` is `None` if the modification time cannot be read.
    pub fn is_intact(&self, size: u64, modified: Option<SystemTime>) -> bool {
        self.size == size && modified.map(since_epoch) == Some(self.modified)
    }

    /// Returns the day on which the file was complete, in UTC, such as `2026-11-27`.
    pub fn day(&self) -> String {
        let at = i64::try_from(self.at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        at.unwrap_or_default().strftime("%Y-%m-%d").to_string()
    }

    /// Returns conditions for a request. With them, the server says if its file has changed since it was
    /// downloaded. If no validator is recorded, there are no conditions.
    pub fn conditions(&self) -> Conditions {
        match &self.validator {
            Validator::Etag(tag) => Conditions { etag: Some(tag.clone()), modified: None },
            Validator::Modified(at) => Conditions { etag: None, modified: Some(*at) },
            Validator::Unknown => Conditions::default(),
        }
    }
}

/// The conditions of a request. The server responds with the status 304 if its file has not changed (RFC
/// 9110, section 13.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The value of If-None-Match.
    pub etag: Option<String>,
    /// The value of If-Modified-Since.
    pub modified: Option<SystemTime>,
}

/// Returns the whole seconds since the Unix epoch, and 0 for a time before the epoch.
pub fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Returns the seconds and nanoseconds since the Unix epoch. For a time before the epoch, the seconds are
/// negative or 0, and the nanoseconds count backwards.
pub(super) fn since_epoch(at: SystemTime) -> (i64, u32) {
    let pair = |since: Duration| (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos());
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => pair(since),
        Err(before) => {
            let (seconds, nanos) = pair(before.duration());
            (-seconds, nanos)
        }
    }
}
