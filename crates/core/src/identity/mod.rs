//! The one place that decides if a file that is already here is the wanted one. It may be a partial file, a
//! finished file, or a file of another tool.
//!
//! A validator holds for one URL only (RFC 9110, section 8.8.3): at many servers, two files of one size and
//! date have the same entity tag. So a partial file is resumed only for the URL that it came from
//! ([`Identity::may_resume`]). A finished file is recognised only by the record that was attached to it
//! ([`ExistingFile::recognise`]). Any other file is compared with what the server says ([`compare`]).
//!
//! Invariant: only keyed hashes of a URL are recorded, so that every byte of it counts and no secret is
//! stored. Hashes by different keys say nothing of each other: neither that two URLs are equal nor that they
//! differ. (Another user has another key, and so has a user without a home folder.)

mod existing;
mod origin;
mod record;
#[cfg(test)]
mod tests;

pub use existing::{Compared, ExistingFile, Recognised, compare};
pub use origin::{Hashes, Key, Origin, Relation};
pub(crate) use origin::{is_same_place, is_same_url};
pub use record::{Conditions, Record, seconds};

/// What decides if a partial file belongs to a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The origin of each of its sources.
    pub origins: Vec<Origin>,
    /// A strong digest of the whole file is known, which proves the bytes, wherever they came from.
    pub proven: bool,
}

impl Identity {
    /// Returns true if a partial file from that origin may be resumed. (Its validator is compared too, once
    /// there is a response.)
    pub fn may_resume(&self, from: Option<Origin>) -> bool {
        self.proven || from.is_some_and(|from| self.origins.iter().any(|origin| origin.may_resume(from)))
    }

    /// Returns the tag of a partial file of its own (see [`Origin::tag`]).
    pub fn tag(&self) -> String {
        self.origins.first().map(|origin| origin.tag()).unwrap_or_default()
    }
}
