//! Promise 2: whether a reply is what was asked for, before a byte of its body is used.

use crate::digest::Expected;
use crate::error::{Error, ErrorKind};
use crate::journal::Start;
use crate::reply::{Reply, Validator};
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
pub(super) fn part(known: &Start, from: u64, end: Option<u64>, reply: &Reply) -> Result<Part, Error> {
    let refuse = |kind, why: &str| Err(Error::new(kind, show::url(&reply.url), why));
    let Some(range) = reply.range else { return refuse(ErrorKind::HttpRangeWrong, "it names no range") };
    if reply.multipart {
        return refuse(ErrorKind::HttpRangeWrong, "it has several parts");
    }
    if range.first > from || range.last < from || from - range.first > SKIPPED_MOST {
        let sent = format!("byte {from} was asked for, and {} to {} came", range.first, range.last);
        return refuse(ErrorKind::HttpRangeWrong, &sent);
    }
    if reply.coding != known.coding || !may_be_joined(reply) {
        let coding = |one: &Option<String>| one.clone().unwrap_or_else(|| "none".into());
        let codings = format!("{} before, {} now", coding(&known.coding), coding(&reply.coding));
        return refuse(ErrorKind::HttpEncoding, &codings);
    }
    // Where nothing tells two versions apart, only a digest can, at the end.
    if known.version != Validator::Unknown && reply.version != known.version {
        return refuse(ErrorKind::RemoteChanged, "");
    }
    let contradicts = |one: &Expected, other: &Expected| {
        one.digest.algorithm == other.digest.algorithm && one.digest != other.digest
    };
    if reply.digests.iter().any(|one| known.digests.iter().any(|other| contradicts(one, other))) {
        return refuse(ErrorKind::RemoteChanged, "its digest is another");
    }
    if let (Some(size), Some(total)) = (known.size, range.total)
        && size != total
    {
        return refuse(ErrorKind::RemoteChanged, "its size is another");
    }
    if known.size.or(range.total).is_none() && end.is_some() {
        return refuse(ErrorKind::HttpRangeWrong, "it does not say where the file ends");
    }
    if known.size.or(range.total).is_some_and(|size| range.last >= size) {
        return refuse(ErrorKind::HttpRangeWrong, "it goes beyond the end of the file");
    }
    let sent = range.last + 1;
    Ok(Part { skip: from - range.first, end: end.map_or(sent, |end| end.min(sent)) })
}

/// Whether parts of what this reply is of can be told to belong together. Of what was compressed on the way, two replies may be
/// two different texts, however equal their names, sizes and dates: only a strong entity tag is of one of them alone (RFC
/// 9110, section 8.8.3.3). What has no size beforehand is being compressed right now, and an entity tag may then be a wrong one.
pub(super) fn may_be_joined(reply: &Reply) -> bool {
    reply.coding.is_none() || (matches!(reply.version, Validator::Etag(_)) && reply.size().is_some())
}
