//! Compares a file that already exists under a final name with the record of this file, and with the facts
//! that the server states about its own file.

use super::record::since_epoch;
use super::{Origin, Record, Relation, seconds};
use crate::remote::Remote;
use std::time::SystemTime;

/// The beginning of the error message for an existing file with a wrong digest. The source of the digest
/// follows.
pub const IS_NOT_WHAT: &str = "the existing file does not match";

/// A file that exists under a final name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingFile {
    /// The records of further jobs whose files are hard links to the same bytes (`--dedup hardlink`).
    pub further: Vec<Record>,
    /// The size of the file in bytes.
    pub size: u64,
    /// The date of the last change of the file, if the disk records such dates.
    pub modified: Option<SystemTime>,
    /// The record that is attached to the file, if there is one.
    pub record: Option<Record>,
}

/// The result of comparing the record of an existing file with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognised<'r> {
    /// The file was downloaded by the same request for a URL of this job, and has not changed since.
    Ours(&'r Record),
    /// The file was downloaded from a URL of this job that had another signature, or by another visitor. Only
    /// the server can say if this is the same file.
    SignedDifferently(&'r Record),
    /// The file was downloaded from another URL, or by another request.
    OtherUrl,
    /// The file has no record, its record was made with another key, or the file was changed later.
    Unknown,
}

impl ExistingFile {
    /// Compares the record of the file with the origins of a job.
    pub fn recognise(&self, origins: &[Origin]) -> Recognised<'_> {
        let Some(record) = &self.record else { return Recognised::Unknown };
        let intact = record.size == self.size && self.modified.map(since_epoch) == Some(record.modified);
        if !intact {
            return Recognised::Unknown;
        }
        let all = || std::iter::once(record).chain(&self.further);
        let some = |wanted| {
            let is_wanted = |record: &&Record| {
                origins.iter().any(|origin| origin.hashes.compare(record.origin) == wanted)
            };
            all().find(is_wanted)
        };
        if let Some(record) = some(Relation::Same) {
            return Recognised::Ours(record);
        }
        match some(Relation::SignedDifferently) {
            Some(record) => Recognised::SignedDifferently(record),
            None if some(Relation::Unknown).is_some() => Recognised::Unknown,
            None => Recognised::OtherUrl,
        }
    }
}

/// The result of comparing an existing file with the server's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// Nothing shows that the files differ. The text says what was compared.
    Same(&'static str),
    /// The files differ. The text says how.
    Different(String),
    /// The server stated nothing that could be compared.
    Unknown,
}

/// Compares an existing file with the facts that a source states about its own file. Digests are not compared
/// here, because that needs the bytes of the existing file.
pub fn compare(existing: &ExistingFile, remote: &Remote) -> Compared {
    let Some(size) = remote.size else { return Compared::Unknown };
    if size != existing.size {
        let here = existing.size;
        return Compared::Different(format!("it has {here} bytes, and the server's file has {size}"));
    }
    match (remote.modified, existing.modified) {
        // HTTP dates have whole seconds.
        (Some(there), Some(here)) if seconds(there) == seconds(here) => Compared::Same("same size and date"),
        (Some(there), Some(here)) if there > here => {
            Compared::Different("the server's file has the same size and is newer".into())
        }
        (Some(_), Some(_)) => Compared::Same("same size, and the server's file is not newer"),
        _ => Compared::Same("same size"),
    }
}
