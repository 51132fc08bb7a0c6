//! Defines the options and results of making a file from another file that has the same bytes.

use super::Publishing;
use downhaul_core::dedup::{Dedup, Method};
use downhaul_core::digest::Digest;
use downhaul_core::identity::Identity;

/// The result of [`Disk::duplicate`](super::Disk::duplicate).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicated {
    /// The file was made in this way.
    Made(Method),
    /// The original was changed or removed, or cannot be opened.
    Changed,
    /// The disk cannot make the file in this way.
    Unable,
    /// All bytes of the original were read, and its digest differs from the digest that the file must have.
    Different,
    /// The file was not made, for another reason that concerns only this file: the original cannot be read to
    /// its end, the file exists already or another run is making it, or later runs would not recognise it.
    NotMade,
}

/// The options for making a file from another one that has the same bytes.
#[derive(Debug, Clone)]
pub struct Duplicating<'a> {
    /// The way in which the file is made.
    pub dedup: Dedup,
    /// True if the file may become a copy when the file system cannot share blocks.
    pub may_copy: bool,
    /// The digests that the file must have.
    pub digests: &'a [Digest],
    /// The identity of the job.
    pub identity: &'a Identity,
    /// The options for publishing the file.
    pub publishing: Publishing,
}
