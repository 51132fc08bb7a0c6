//! Presents a part of a file as a separate file (`--range`). Offsets and ranges are counted from the
//! beginning of the part, and sizes are those of the part.
//!
//! Invariant: facts that hold only for the whole file, such as its digests, are not passed on for the part.
//! The digests of the range in a response are passed on.

use super::{Opened, Request, Source};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::job::ByteRange;
use downhaul_core::remote::{Links, Remote, Span};
use downhaul_core::settings::{Settings, Verify};
use downhaul_core::show;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Checks that a part of a file may be downloaded without verification. A part cannot be verified, because
/// checksum lists and signatures are for whole files. `name` is the name of the file.
///
/// # Errors
/// Returns an error if the settings require a digest or a signature.
pub(crate) fn check_unverified(settings: &Settings, name: &str) -> Result<(), Error> {
    let why = |what: &str| format!("{what} whole files, and only a range of this file was requested");
    if settings.signed_by.is_some() {
        return Err(Error::new(ErrorKind::SignatureMissing, name, why("signatures belong to")));
    }
    let kind = match settings.verify {
        Verify::Require => ErrorKind::DigestMissing,
        Verify::Listed => ErrorKind::DigestUnlisted,
        Verify::Off | Verify::Auto | Verify::Find => return Ok(()),
    };
    Err(Error::new(kind, name, why("checksum lists have the digests of")))
}

/// A source for a part of a file. `whole` is the source for the whole file.
pub(crate) struct Slice {
    whole: Arc<dyn Source>,
    range: ByteRange,
}

impl Slice {
    pub(crate) fn new(whole: Arc<dyn Source>, range: ByteRange) -> Slice {
        Slice { whole, range }
    }

    /// Changes a request for bytes of the part into the request for the same bytes of the whole file.
    fn of_whole(&self, mut request: Request) -> Request {
        let ByteRange { first, last } = self.range;
        let end = last.map(|last| last.saturating_add(1));
        request.from = request.from.saturating_add(first);
        request.to = match request.to.map(|to| to.saturating_add(first)) {
            Some(to) => Some(end.map_or(to, |end| end.min(to))),
            None => end,
        };
        // The size in a list is the size of the whole file, and says nothing about the size of the part.
        request.size = None;
        request
    }

    /// Changes the facts about the whole file into those about the part. `is_about` is true if only the facts
    /// were requested. `wants_all` is true if the whole part was requested.
    ///
    /// # Errors
    /// Returns `http.no_ranges` if a body was requested and the source sends the whole file, unless the part
    /// is known to be the whole file. Returns `http.range_beyond` if the part begins at or after the end of
    /// the file, and `http.range_wrong` if the response begins before the part.
    fn of_part(&self, mut remote: Remote, is_about: bool, wants_all: bool) -> Result<Remote, Error> {
        let ByteRange { first, last } = self.range;
        let fail = |kind, why: &str| Error::new(kind, show::url(&remote.url), why);
        let past = || fail(ErrorKind::HttpRangeBeyond, "");
        let end = match (remote.size, last) {
            (Some(size), Some(last)) => Some(size.min(last.saturating_add(1))),
            (size, last) => size.or(last.map(|last| last.saturating_add(1))),
        };
        let size =
            end.map(|end| end.checked_sub(first).filter(|size| *size > 0).ok_or_else(past)).transpose()?;
        let span = match &remote.span {
            Span::Unchanged => Span::Unchanged,
            Span::Whole if is_about => Span::Whole,
            Span::Whole if first == 0 && last.is_none() => Span::Whole,
            Span::Whole if first == 0 && remote.size.is_some_and(|size| Some(size) == end) => Span::Whole,
            Span::Whole => return Err(fail(ErrorKind::HttpNoRanges, "")),
            Span::Range(range) => {
                let wrong =
                    || fail(ErrorKind::HttpRangeWrong, "the response begins before the requested part");
                let from = range.start.checked_sub(first).ok_or_else(wrong)?;
                let to = range.end.checked_sub(first).ok_or_else(wrong)?;
                match wants_all && from == 0 && size == Some(to) {
                    true => Span::Whole,
                    false => Span::Range(from..to),
                }
            }
        };
        // If the range of the response is the whole part, the digests of the range are digests of the part.
        remote.digests = match (&remote.span, &span) {
            (Span::Range(_), Span::Whole) => std::mem::take(&mut remote.range_digests),
            _ => Vec::new(),
        };
        remote.span = span;
        remote.size = size;
        remote.stated_size = None;
        remote.links = Links::default();
        // The HTTP messages in the transcript have the offsets and the size of the whole file, so the
        // transcript is not kept for the part.
        remote.transcript = None;
        Ok(remote)
    }
}

impl Source for Slice {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        async move {
            let (is_about, wants_all) = (request.about.is_some(), request.is_for_everything());
            let is_at_start = request.from == 0;
            let request = if is_about { request } else { self.of_whole(request) };
            let Opened { remote, body } = self.whole.open(request).await.map_err(|mut error| {
                // If the first byte of the part is beyond the end of the file, another attempt has the same
                // result.
                if error.kind == ErrorKind::HttpRangePast && is_at_start {
                    error.kind = ErrorKind::HttpRangeBeyond;
                }
                error.size = error.size.and_then(|size| size.checked_sub(self.range.first));
                error
            })?;
            Ok(Opened { remote: self.of_part(remote, is_about, wants_all)?, body })
        }
        .boxed()
    }

    fn round_trip(&self) -> Option<Duration> {
        self.whole.round_trip()
    }
}
