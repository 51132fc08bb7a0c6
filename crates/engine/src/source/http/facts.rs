//! Requests only the facts about the file of an [`HttpFile`], without its bytes.

use super::decode;
use super::file::HttpFile;
use crate::source::{Opened, Request};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::remote::Span;
use futures_util::stream;

impl HttpFile {
    /// Requests only the facts, with HEAD. Some servers refuse HEAD, for example for links that are signed
    /// for GET only, and some state no size, or the size 0. In these cases, the first byte is requested. If
    /// the response to this request does not have enough facts, or if the failure of this request may concern
    /// only the range, a GET for the whole file is sent. The body of its response is not read.
    pub(super) async fn open_about(&self, request: Request) -> Result<Opened, Error> {
        match self.follow(self.given.url.clone(), &request).await {
            Ok(mut opened) if says_what_it_is(&opened) => {
                let remote = &mut opened.remote;
                // After HEAD, `Content-Digest` is the digest of no bytes (RFC 9530, appendix B.2).
                remote.digests.retain(|one| one.from != "Content-Digest");
                if self.client.settings.decode {
                    decode::forget_coded(remote);
                }
                return Ok(opened);
            }
            Err((error, _)) if !is_an_answer(error.kind) || error.pause.is_some() => return Err(error),
            _ => {}
        }
        let first_byte = Request { headers: request.headers.clone(), ..Request::range(0, Some(1)) };
        match self.follow(self.given.url.clone(), &first_byte).await.map(of_first_byte) {
            Ok(Some(opened)) => return Ok(opened),
            Err((error, _)) if !is_about_ranges(error.kind) => return Err(error),
            _ => {}
        }
        let everything = Request { headers: request.headers, ..Request::EVERYTHING };
        self.follow(self.given.url.clone(), &everything).await.map_err(|(error, _)| error)
    }
}

/// Returns true if a response to a request for the facts says that the file is unchanged, or states a size
/// above 0.
fn says_what_it_is(opened: &Opened) -> bool {
    opened.remote.span == Span::Unchanged || opened.remote.size > Some(0)
}

/// Returns the facts about a file from the response to a request for its first byte. Returns `None` if the
/// response is a range of a file of unknown size.
fn of_first_byte(mut opened: Opened) -> Option<Opened> {
    if let Span::Range(_) = opened.remote.span {
        opened.remote.size?;
        opened.remote.span = Span::Whole;
        opened.remote.range_digests.clear();
    }
    opened.body = Box::pin(stream::empty());
    Some(opened)
}

/// Returns true if an error may concern only the requested range. For example, an empty file has no first
/// byte.
fn is_about_ranges(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::HttpRangePast
            | ErrorKind::HttpRangeWrong
            | ErrorKind::HttpNoRanges
            | ErrorKind::HttpMalformed
            | ErrorKind::HttpStatus
            // With `--decode auto`, a range of a compressed body cannot be decoded.
            | ErrorKind::HttpEncoding
    )
}

/// Returns true if the server refused a HEAD request in a way that does not show how it would answer a GET.
fn is_an_answer(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::HttpUnauthorized
            | ErrorKind::HttpForbidden
            | ErrorKind::HttpNotFound
            | ErrorKind::HttpGone
            | ErrorKind::HttpStatus
            | ErrorKind::HttpServer
            | ErrorKind::HttpMalformed
            | ErrorKind::HttpRangeWrong
    )
}
