//! Validates a response with a range against the request, before a byte of its body is used, and says what
//! the response of each source must agree with.
//!
//! Invariant: a range is used only if it is of the same state of the file as the bytes that are already here,
//! starts where it was requested, and ends within the file.

use super::identity::Joining;
use crate::adopt::Adopted;
use crate::digest::Expected;
use crate::error::{Error, ErrorKind};
use crate::identity::Origin;
use crate::journal::Start;
use crate::remote::{Remote, Span, Validator};
use crate::show;

/// A range that begins earlier than requested is accepted if it begins by no more than this too early: beyond
/// it, another request is cheaper than skipping the first bytes.
const SKIPPED_MOST: u64 = 1024 * 1024;

/// Which bytes of a response are used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Bytes of the body to leave out at its beginning.
    pub(super) skip: u64,
    /// One past the last byte of the file, at most one past the last requested byte.
    pub(super) end: u64,
}

/// Validates a response to a request for the bytes from `from` to before `end` of the file that is `known`.
///
/// # Errors
/// The reason why no byte of it may be written.
pub(super) fn range(known: &Start, from: u64, end: Option<u64>, remote: &Remote) -> Result<Segment, Error> {
    let refuse = |kind, why: &str| Err(Error::new(kind, show::url(&remote.url), why));
    let Span::Range(range) = &remote.span else {
        return refuse(ErrorKind::HttpRangeWrong, "it names no range");
    };
    if range.start > from || range.end <= from || from - range.start > SKIPPED_MOST {
        let last = range.end.saturating_sub(1);
        let sent = format!("byte {from} was requested, and {} to {last} were sent", range.start);
        return refuse(ErrorKind::HttpRangeWrong, &sent);
    }
    if remote.coding != known.coding || !remote.can_resume {
        let coding = |one: &Option<String>| one.clone().unwrap_or_else(|| "none".into());
        let codings = format!("{} before, {} now", coding(&known.coding), coding(&remote.coding));
        return refuse(ErrorKind::HttpEncoding, &codings);
    }
    // Without a validator only a digest can tell two states of the file apart, when all of it is here.
    if known.version != Validator::Unknown && remote.validator != known.version {
        return refuse(ErrorKind::RemoteChanged, "");
    }
    let contradicts = |one: &Expected, other: &Expected| {
        one.digest.algorithm == other.digest.algorithm && one.digest != other.digest
    };
    if remote.digests.iter().any(|one| known.digests.iter().any(|other| contradicts(one, other))) {
        return refuse(ErrorKind::RemoteChanged, "its digest is different");
    }
    if let (Some(size), Some(total)) = (known.size, remote.size)
        && size != total
    {
        return refuse(ErrorKind::RemoteChanged, "its size is different");
    }
    let size = known.size.or(remote.size);
    if size.is_none() && end.is_some() {
        return refuse(ErrorKind::HttpRangeWrong, "it does not say where the file ends");
    }
    if size.is_some_and(|size| range.end > size) {
        return refuse(ErrorKind::HttpRangeWrong, "it goes beyond the end of the file");
    }
    Ok(Segment { skip: from - range.start, end: end.map_or(range.end, |end| end.min(range.end)) })
}

/// Returns what the journal says of a file that this response brings.
pub(super) fn start_of(remote: &Remote, origin: Option<Origin>) -> Start {
    Start {
        url: show::url(&remote.url),
        origin,
        size: remote.size,
        version: remote.validator.clone(),
        coding: remote.coding.clone(),
        digests: remote.digests.clone(),
    }
}

/// Returns what a response of this source must agree with: each mirror has a validator of its own, and all
/// have the same digests.
pub(super) fn start_at(known: &Start, source: usize, joining: Joining<'_>) -> Start {
    if !joining.mixes {
        return known.clone();
    }
    let same = joining.sources.origin(source) == known.origin;
    let version = joining.sources.validator(source).or(Some(&known.version).filter(|_| same));
    let version = version.cloned().unwrap_or(Validator::Unknown);
    Start { version, digests: joining.expected.to_vec(), ..known.clone() }
}

/// Returns what a partial file of another tool becomes, by a response about its end.
pub(super) fn adopted_start(remote: &Remote, origin: Option<Origin>, left: &Adopted) -> Result<Start, Error> {
    let start = start_of(remote, origin);
    match remote.size {
        Some(size) if size < left.end() || left.size.is_some_and(|whole| whole != size) => {
            Err(is_no_beginning(left, Some(size), &start.url))
        }
        // If the server does not say how large its file is, the other tool may have known.
        size => Ok(Start { size: size.or(left.size), ..start }),
    }
}

/// Returns the error that a partial file of another tool is not of the server's file, by the sizes of both.
pub(super) fn is_no_beginning(left: &Adopted, size: Option<u64>, url: &str) -> Error {
    let here = match left.size {
        Some(size) => format!("it is of a file of {size} bytes"),
        None => format!("it has {} bytes", left.end()),
    };
    let there = size.map_or("is shorter".to_string(), |size| format!("has {size} bytes"));
    Error::new(ErrorKind::ResumeDamaged, url, format!("{here}, and the server's file {there}"))
}
