//! Compares a file that already exists under a final name with the record of this file, and with the facts
//! that the server states about its own file.

use super::{Origin, Record, Relation, seconds};
use crate::remote::Remote;
use std::time::SystemTime;

/// The beginning of the error message for an existing file with a wrong digest or size. The message continues
/// with the place where the digest was found, or with a colon and a text that has both digests or both sizes.
pub const IS_NOT_WHAT: &str = "the existing file does not match";

/// The end of the error message for an existing file that differs from the server's file and has a record of
/// a finished download.
pub const IS_FINISHED: &str = "and a record shows that downhaul finished the existing file";

/// A file that exists under a final name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingFile {
    /// The size of the file in bytes.
    pub size: u64,
    /// The date of the last change of the file, if the disk records such dates.
    pub modified: Option<SystemTime>,
    /// The record that is attached to the file, if there is one.
    pub record: Option<Record>,
    /// The records of hard links to the same bytes (`--dedup hardlink`). The first value of a pair is true if
    /// the record belongs to a file with the same name as this file. It may be true for several records,
    /// because files in several folders may have the same name. If it is true for no record, the attached
    /// record is used.
    pub further: Vec<(bool, Record)>,
}

/// The result of comparing the record of an existing file with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognised<'r> {
    /// The file was downloaded by the same request for a URL of this job, and has not changed since.
    Ours(&'r Record),
    /// The file was downloaded from a URL of this job that had other signing parameters (a signed URL), or by
    /// a request with other facts about who sends it, such as another token or cookie. Only the server can
    /// say if this is the same file.
    SignedDifferently(&'r Record),
    /// The file was downloaded from another URL, or by another request.
    OtherUrl,
    /// It is not known where the file came from. It has no record, or the hashes in its record were made with
    /// another key, or the file was changed later. Or the record that fits this job belongs to another name
    /// of the same bytes.
    Unknown,
}

impl ExistingFile {
    /// Returns true if a record shows that downhaul finished the file, and the file has not changed since.
    pub fn is_finished(&self) -> bool {
        let mut all = self.record.iter().chain(self.further.iter().map(|(_, record)| record));
        all.any(|record| record.is_intact(self.size, self.modified))
    }

    /// Compares the record of the file with the origins of a job.
    pub fn recognise(&self, origins: &[Origin]) -> Recognised<'_> {
        let Some(attached) = &self.record else { return Recognised::Unknown };
        let of_name = self.further.iter().filter(|(has_name, _)| *has_name).map(|(_, record)| record);
        let mut own: Vec<&Record> = of_name.collect();
        if own.is_empty() {
            own.push(attached);
        }
        own.retain(|record| record.is_intact(self.size, self.modified));
        let is = |record: &Record, wanted| {
            origins.iter().any(|origin| origin.hashes.compare(record.origin) == wanted)
        };
        let find = |wanted| own.iter().copied().find(|record| is(record, wanted));
        if let Some(record) = find(Relation::Same) {
            return Recognised::Ours(record);
        }
        if let Some(record) = find(Relation::SignedDifferently) {
            return Recognised::SignedDifferently(record);
        }
        // If a record of another name fits the job, the file with that name may have been renamed to this
        // name.
        let mut all = self.further.iter().map(|(_, record)| record).chain([attached]);
        let is_renamed = all.any(|one| is(one, Relation::Same) || is(one, Relation::SignedDifferently));
        if own.is_empty() || find(Relation::Unknown).is_some() || is_renamed {
            return Recognised::Unknown;
        }
        Recognised::OtherUrl
    }
}

/// The result of comparing an existing file with the server's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// Nothing shows that the files differ. The text says what was compared.
    Same(&'static str),
    /// The files differ. The text says how they differ.
    Different(String),
    /// The server did not state the size of its file, so nothing was compared.
    Unknown,
}

/// Compares an existing file with the facts that a source states about its file. Digests are not compared
/// here, because their comparison needs the bytes of the existing file.
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
