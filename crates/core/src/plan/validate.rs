//! Promise 2: whether a reply is what was asked for, before a byte of its body is used.

use crate::digest::Expected;
use crate::error::{Error, ErrorKind};
use crate::journal::Start;
use crate::remote::{Remote, Span, Validator};
use crate::show;

/// A part that begins earlier than asked is accepted, and its first bytes are skipped, if they are no more than this:
/// beyond it, asking again is cheaper.
const SKIPPED_MOST: u64 = 1024 * 1024;

/// What a good reply to a request for a part is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Bytes of its body to leave out at the beginning.
    pub(super) skip: u64,
    /// One past its last byte, at most one past what was asked for.
    pub(super) end: u64,
}

/// The reply to a request for the bytes from `from` on, if it is a 206.
///
/// # Errors
/// Why no byte of it may be written.
pub(super) fn part(known: &Start, from: u64, end: Option<u64>, remote: &Remote) -> Result<Part, Error> {
    let refuse = |kind, why: &str| Err(Error::new(kind, show::url(&remote.url), why));
    let Span::Range(range) = &remote.span else {
        return refuse(ErrorKind::HttpRangeWrong, "it names no range");
    };
    if range.start > from || range.end <= from || from - range.start > SKIPPED_MOST {
        let last = range.end.saturating_sub(1);
        let sent = format!("byte {from} was asked for, and {} to {last} came", range.start);
        return refuse(ErrorKind::HttpRangeWrong, &sent);
    }
    if remote.coding != known.coding || !remote.can_resume {
        let coding = |one: &Option<String>| one.clone().unwrap_or_else(|| "none".into());
        let codings = format!("{} before, {} now", coding(&known.coding), coding(&remote.coding));
        return refuse(ErrorKind::HttpEncoding, &codings);
    }
    // Where nothing tells two versions apart, only a digest can, at the end.
    if known.version != Validator::Unknown && remote.validator != known.version {
        return refuse(ErrorKind::RemoteChanged, "");
    }
    let contradicts = |one: &Expected, other: &Expected| {
        one.digest.algorithm == other.digest.algorithm && one.digest != other.digest
    };
    if remote.digests.iter().any(|one| known.digests.iter().any(|other| contradicts(one, other))) {
        return refuse(ErrorKind::RemoteChanged, "its digest is another");
    }
    if let (Some(size), Some(total)) = (known.size, remote.size)
        && size != total
    {
        return refuse(ErrorKind::RemoteChanged, "its size is another");
    }
    if known.size.or(remote.size).is_none() && end.is_some() {
        return refuse(ErrorKind::HttpRangeWrong, "it does not say where the file ends");
    }
    if known.size.or(remote.size).is_some_and(|size| range.end > size) {
        return refuse(ErrorKind::HttpRangeWrong, "it goes beyond the end of the file");
    }
    Ok(Part { skip: from - range.start, end: end.map_or(range.end, |end| end.min(range.end)) })
}
