//! Has the rules that show if a file that already exists on the disk is the wanted file. The engine applies
//! these rules. The file may be a partial file, a finished file, or a file of another tool.
//!
//! A validator applies to one URL only (RFC 9110, section 8.8.3). On many servers, two files with the same
//! size and date have the same entity tag. Headers such as `Host` and options such as `--connect-to` change
//! which file a URL means ([`Variant`]). Therefore a partial file is resumed only for the URL and the request
//! that it came from, or if a strong digest is known ([`Identity::may_resume`]). The signature of the URL and
//! the facts about who sends the request may differ, because they change often. A finished file is
//! recognised only by the record that was attached to it ([`ExistingFile::recognise`]). Any other file is
//! compared with the facts that the server states ([`compare`]).
//!
//! Invariant: the secrets of a URL and the facts of its request are recorded only in keyed hashes. Every byte
//! of the URL changes the hash of the URL, except the bytes of its password and fragment. Hashes with
//! different keys cannot be compared: such hashes show neither that two URLs are equal nor that two URLs
//! differ. Each user has a key of their own. Users without a home folder share a known key.

mod existing;
mod origin;
mod record;
#[cfg(test)]
mod tests;
mod variant;

pub use existing::{Compared, ExistingFile, IS_FINISHED, IS_NOT_WHAT, Recognised, compare};
pub use origin::{Hashes, Key, Origin, Relation, file_hash, is_signed};
pub(crate) use origin::{is_same_place, is_same_url};
pub use record::{Conditions, Further, Record, seconds};
pub use variant::Variant;

/// The facts that decide if a partial file belongs to a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The origins of the sources of the job.
    pub origins: Vec<Origin>,
    /// True if a strong digest of the whole file is known. The digest verifies the bytes, even if they came
    /// from another URL.
    pub has_strong_digest: bool,
}

impl Identity {
    /// Returns true if a partial file from the origin `from` may be resumed. If the origin is not known
    /// (`None`), only a strong digest allows this. The validator of the partial file is compared later, when
    /// there is a response.
    pub fn may_resume(&self, from: Option<Origin>) -> bool {
        self.has_strong_digest
            || from.is_some_and(|from| self.origins.iter().any(|origin| origin.may_resume(from)))
    }

    /// Returns the tag of a partial file that cannot have the usual name (see [`Origin::tag`]).
    pub fn tag(&self) -> String {
        self.origins.first().map(|origin| origin.tag()).unwrap_or_default()
    }
}
