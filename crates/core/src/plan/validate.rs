//! Validates a response with a range against the request, before a byte of its body is used. This file also
//! decides which facts a response of each source is compared with.
//!
//! Invariant: a range that is used contains the first requested byte, and does not end beyond the known size.
//! Nothing shows that the range and the written bytes belong to different versions of the file.

use super::identity::Joining;
use crate::adopt::Adopted;
use crate::digest::Expected;
use crate::error::{Error, ErrorKind};
use crate::identity::Origin;
use crate::journal::Start;
use crate::remote::{Remote, Span, Validator};
use crate::show;

/// A range may begin at most this many bytes before the first requested byte. If it begins earlier, another
/// request is cheaper than skipping the bytes.
const SKIPPED_MOST: u64 = 1024 * 1024;

/// The bytes of a response that are used.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number of bytes to skip at the beginning of the body.
    pub skip: u64,
    /// The offset in the file after the last used byte. It is never beyond the end of the requested range.
    pub end: u64,
}

/// Validates a response to a request for the bytes from `from` up to, but not including, `end`. If `end` is
/// `None`, all bytes from `from` on were requested. `known` has the known facts about the file.
///
/// # Errors
/// Returns an error with the reason why no byte of the response may be written.
pub fn range(known: &Start, from: u64, end: Option<u64>, remote: &Remote) -> Result<Segment, Error> {
    let refuse = |kind, why: &str| Err(Error::new(kind, show::url(&remote.url), why));
    let Span::Range(range) = &remote.span else {
        return refuse(ErrorKind::HttpRangeWrong, "the response names no range");
    };
    if range.start > from || range.end <= from || from - range.start > SKIPPED_MOST {
        let last = range.end.saturating_sub(1);
        let sent =
            format!("the request begins at byte {from}, but bytes {} to {last} were sent", range.start);
        return refuse(ErrorKind::HttpRangeWrong, &sent);
    }
    if remote.coding == known.coding && !remote.can_resume {
        let why = "the server does not state which version of the file it sends";
        return refuse(ErrorKind::HttpEncoding, why);
    }
    if remote.coding != known.coding {
        let coding = |one: &Option<String>| one.clone().unwrap_or_else(|| "none".into());
        let codings =
            format!("it was {} before, and is {} now", coding(&known.coding), coding(&remote.coding));
        return refuse(ErrorKind::HttpEncoding, &codings);
    }
    // Without a validator, only digests and the size can tell two versions of the file apart.
    if known.validator != Validator::Unknown && remote.validator != known.validator {
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
        return refuse(ErrorKind::HttpRangeWrong, "the size of the whole file is not known");
    }
    if size.is_some_and(|size| range.end > size) {
        return refuse(ErrorKind::HttpRangeWrong, "the range ends beyond the end of the file");
    }
    Ok(Segment { skip: from - range.start, end: end.map_or(range.end, |end| end.min(range.end)) })
}

/// Returns the description of the file in this response, as a journal stores it. `origin` is the origin of
/// the source that sent the response, if known.
pub fn start_of(remote: &Remote, origin: Option<Origin>) -> Start {
    Start {
        url: show::url(&remote.url),
        origin,
        size: remote.size,
        validator: remote.validator.clone(),
        coding: remote.coding.clone(),
        digests: remote.digests.clone(),
    }
}

/// Returns the facts that a response of this source is compared with. Each mirror has a validator of its own,
/// but the digests are the same for all mirrors.
pub(super) fn start_at(known: &Start, source: usize, joining: Joining<'_>) -> Start {
    if !joining.mixes {
        return known.clone();
    }
    let same = joining.sources.origin(source) == known.origin;
    let validator = joining.sources.validator(source).or(Some(&known.validator).filter(|_| same));
    let validator = validator.cloned().unwrap_or(Validator::Unknown);
    Start { validator, digests: joining.expected.to_vec(), ..known.clone() }
}

/// Returns the facts about the server's file from a response. The bytes of this response are compared with
/// the end of `left`, a file that another tool left unfinished and that downhaul continues (adopts).
///
/// # Errors
/// Returns `resume.damaged` if the adopted file cannot be a beginning of the server's file. Also returns it
/// if the adopted file may be replaced, the other tool recorded no size, and the two files have the same
/// size. An equal end would not show that such a file is complete.
pub(super) fn adopted_start(remote: &Remote, origin: Option<Origin>, left: &Adopted) -> Result<Start, Error> {
    let start = start_of(remote, origin);
    let is_of_size = left.may_be_replaced && left.size.is_none() && remote.size == Some(left.end());
    match remote.size {
        Some(size) if is_of_size || size < left.end() || left.size.is_some_and(|whole| whole != size) => {
            Err(is_no_beginning(left, Some(size), &start.url))
        }
        // If the server does not state the size of its file, the size that the other tool recorded is used.
        size => Ok(Start { size: size.or(left.size), ..start }),
    }
}

/// Returns the error for an unfinished file of another tool whose size does not fit the server's file. `size`
/// is the size of the server's file. With `None`, it is only known that the server's file is shorter.
pub(super) fn is_no_beginning(left: &Adopted, size: Option<u64>, url: &str) -> Error {
    let here = match left.size {
        Some(size) => format!("the unfinished file belongs to a file of {size} bytes"),
        None => format!("the unfinished file has {} bytes", left.end()),
    };
    let there = size.map_or("is shorter".to_string(), |size| format!("has {size} bytes"));
    Error::new(ErrorKind::ResumeDamaged, url, format!("{here}, and the server's file {there}"))
}
