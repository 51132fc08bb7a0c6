//! Reads the headers of an HTTP response strictly, and fills a [`Remote`] with the facts in them.
//!
//! The engine's HTTP source calls these functions. They are in this crate so that property tests and fuzzing
//! can call them without a network. The plan gets a [`Remote`] and no headers. A response that is not usable
//! HTTP is refused here, such as a response with an unreadable range, or with several ranges in one body.
//! [`crate::head`] refuses a response that states two different lengths.

mod digests;
mod disposition;
mod encoded_words;
mod links;

pub use digests::{Linked, linked};

use crate::error::{Error, ErrorKind};
use crate::head::{self, Refused};
use crate::remote::{Remote, Span, StatedSize, Validator};
use crate::show;
use http::header::{self, HeaderMap, HeaderName};
use std::time::{Duration, SystemTime};
use url::Url;

/// A Last-Modified date is a strong validator if it is at least this much earlier than the Date of the
/// response. The number is from RFC 7232, section 2.2.2. RFC 9110, section 8.8.2.2, requires only one second,
/// but also a reason to believe that the two times come from the same clock.
const STRONG_AFTER: Duration = Duration::from_secs(60);

/// `Content-Range: bytes first-last/total` (RFC 9110, section 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The offset of the first byte.
    pub first: u64,
    /// The offset of the last byte. It is not below `first`.
    pub last: u64,
    /// The size of the whole file in bytes, if known. It is above `last`.
    pub total: Option<u64>,
}

/// Returns the kind of failure for an HTTP status, or `None` if the body is the file or a range of it. An
/// unknown 2xx is treated as 200 (RFC 9110, section 15). A known 2xx other than 200, 203 and 206 is a
/// failure, because its body is not the file. `asked_for_range` is true if the request was for a range.
pub fn failure_of_status(status: u16, asked_for_range: bool) -> Option<ErrorKind> {
    Some(match status {
        200 | 203 | 206 | 209..=225 | 227..=299 => return None,
        401 => ErrorKind::HttpUnauthorized,
        403 => ErrorKind::HttpForbidden,
        404 => ErrorKind::HttpNotFound,
        410 => ErrorKind::HttpGone,
        416 if asked_for_range => ErrorKind::HttpRangePast,
        425 | 429 | 503 => ErrorKind::HttpBusy,
        // 501 (Not Implemented) and 505 (HTTP Version Not Supported) are permanent.
        501 | 505 => ErrorKind::HttpStatus,
        408 | 500..=599 => ErrorKind::HttpServer,
        _ => ErrorKind::HttpStatus,
    })
}

/// Reads a response of `url` whose status [is not a failure](failure_of_status). `asked_for_all` is true if
/// the request was for the whole file. In response to such a request, a 206 whose range is the whole file
/// means the same as a 200. So does a 206 that begins with byte 0 and does not state the size of the file
/// (`bytes 0-5/*`), as in curl. If the size is not stated, a note is added.
///
/// # Errors
/// - `http.malformed`: the head contradicts itself or cannot be read.
/// - `http.range_wrong`: the range of a 206 is missing, cannot be read, or contradicts another stated range
///   or the length of the body; the body has several ranges; or the response to a request for a range is a
///   200 without a length that names a part of the file.
pub fn read(status: u16, url: &Url, headers: &HeaderMap, asked_for_all: bool) -> Result<Remote, Error> {
    let bad = |why: &str| Error::new(ErrorKind::HttpMalformed, show::url(url), why);
    let length = length(headers).map_err(|why| bad(why.0))?;
    // A 203 is treated as 200, and so is an unknown 2xx (RFC 9110, sections 15 and 15.3.4). Some scripts send
    // the requested range with the status 200, and name this range in `Content-Range`. Such a body must not
    // count as the whole file.
    let is_everything =
        |range: &ContentRange| range.first == 0 && range.total.is_none_or(|total| range.last + 1 == total);
    let range = match status {
        206 => Some(content_range(url, headers, length)?),
        200 if !asked_for_all => content_range(url, headers, length).ok().filter(|one| !is_everything(one)),
        _ => None,
    };
    if status == 200 && range.is_some() && length.is_none() {
        let why = "the status says that the body is the whole file, and Content-Range says that it is a part";
        return Err(Error::new(ErrorKind::HttpRangeWrong, show::url(url), why));
    }
    let mut stated = digests::read(range.is_some(), headers, length);
    let everything = range.filter(|range| asked_for_all && is_everything(range));
    if let Some(range) = everything {
        stated.whole.append(&mut stated.range);
        if range.total.is_none() {
            let note = "the server sent the file as a range and did not say how large the file is";
            stated.notes.push(note.into());
        }
    }
    let (modified, coding) = (date(headers, &header::LAST_MODIFIED), coding(headers));
    let validator = validator(headers, modified);
    let size = match (everything, range) {
        // If a 206 has the whole file, the file ends with the last byte of its range, even if the 206 does
        // not state the size.
        (Some(range), _) => Some(range.last + 1),
        (None, Some(range)) => range.total,
        (None, None) => length,
    };
    // Two compressed bodies of one file may differ in their bytes, even with equal sizes and dates. Only a
    // strong ETag belongs to exactly one of these bodies (RFC 9110, section 8.8.3.3). A body without a size
    // is usually compressed while it is sent, and its ETag may then be wrong.
    let can_be_joined = coding.is_none() || (matches!(validator, Validator::Etag(_)) && size.is_some());
    let mut remote = Remote::whole(url.clone());
    if let Some(range) = range.filter(|_| everything.is_none()) {
        remote.span = Span::Range(range.first..range.last + 1);
    }
    remote.can_resume = can_be_joined && !(remote.is_whole() && refuses_ranges(headers));
    (remote.size, remote.validator, remote.modified, remote.coding) = (size, validator, modified, coding);
    remote.content_type = header_text(headers, &header::CONTENT_TYPE).map(str::to_string);
    remote.name =
        headers.get(header::CONTENT_DISPOSITION).and_then(|v| disposition::file_name(v.as_bytes(), url));
    (remote.digests, remote.range_digests, remote.notes) = (stated.whole, stated.range, stated.notes);
    remote.links = links::read(url, headers);
    Ok(remote)
}

/// Adds the digest and the size that a redirect stated for the file. They belong to the whole file, even if
/// the response is a range. If the response has a content coding, a note is added instead.
pub fn learn(remote: &mut Remote, linked: Linked) {
    if remote.coding.is_some() {
        let from = linked.digest.from;
        let note = format!("{from} was not used, because it belongs to the uncompressed file");
        return remote.notes.push(note);
    }
    remote.stated_size = Some(StatedSize { size: linked.size, from: "X-Linked-Size".into() });
    remote.digests.push(linked.digest);
}

/// Reads the range in the `Content-Range` of a 206 or a 200. `length` is the length of the body, if known.
///
/// # Errors
/// Returns `http.range_wrong` with the reason.
fn content_range(url: &Url, headers: &HeaderMap, length: Option<u64>) -> Result<ContentRange, Error> {
    let wrong = |why: &str| Error::new(ErrorKind::HttpRangeWrong, show::url(url), why);
    if contradicts_itself(headers, &header::CONTENT_RANGE) {
        return Err(wrong("the response states two different ranges"));
    }
    let content_type = header_text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    if content_type.to_ascii_lowercase().starts_with("multipart/byteranges") {
        return Err(wrong("the response has several ranges in one body"));
    }
    let text =
        header_text(headers, &header::CONTENT_RANGE).ok_or_else(|| wrong("the response names no range"))?;
    let range = ContentRange::parse(text).ok_or_else(|| wrong("Content-Range cannot be read"))?;
    match length {
        Some(length) if range.last - range.first + 1 != length => {
            Err(wrong("Content-Range and Content-Length contradict each other"))
        }
        _ => Ok(range),
    }
}

fn refuses_ranges(headers: &HeaderMap) -> bool {
    header_text(headers, &header::ACCEPT_RANGES).is_some_and(|value| value.eq_ignore_ascii_case("none"))
}

impl ContentRange {
    /// Reads a `Content-Range` value. Returns `None` if the value cannot be read, contradicts itself, or has
    /// no range (`bytes */10`). Some servers leave out the unit, or put a colon after it.
    pub fn parse(text: &str) -> Option<ContentRange> {
        let text = text.trim();
        let rest = match text.split_once([' ', ':']) {
            Some((unit, rest)) if unit.eq_ignore_ascii_case("bytes") => rest,
            _ => text,
        };
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (digits(first)?, digits(last)?);
        let total = if total == "*" { None } else { Some(digits(total)?) };
        let sane = first <= last && last < u64::MAX && total.is_none_or(|total| last < total);
        sane.then_some(ContentRange { first, last, total })
    }
}

/// Returns the size of the file that a 416 states (`Content-Range: bytes */SIZE`).
pub fn size_of_refusal(headers: &HeaderMap) -> Option<u64> {
    let text = header_text(headers, &header::CONTENT_RANGE)?;
    let (unit, size) = text.split_once(' ')?;
    if unit.eq_ignore_ascii_case("bytes") { digits(size.trim().strip_prefix("*/")?) } else { None }
}

/// Returns the wait that a `Retry-After` asks for, or `None` if there is no such header or it cannot be read.
///
/// A date is compared with the Date of the response, if the response has one, because the clocks of server
/// and client may differ. `now` is the wall clock of the client. A date in the past means no wait.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = header_text(headers, &header::RETRY_AFTER)?;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // A number that overflows is treated as a very long wait.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let server_now = date(headers, &header::DATE).unwrap_or(now);
    Some(until.duration_since(server_now).unwrap_or_default())
}

/// Returns the length of the body that a head announces.
///
/// # Errors
/// Returns the reason why the headers that state the end of the body cannot be used.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let values = |name| headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    let codings = values(header::TRANSFER_ENCODING).filter(|one| !one.eq_ignore_ascii_case(b"identity"));
    let (length, chunked) = (head::length(values(header::CONTENT_LENGTH))?, head::chunked(codings)?);
    if chunked && length.is_some() {
        return Err(head::TWO_ENDS);
    }
    Ok(length)
}

/// Returns the server's time, from the header `Date`.
pub fn date_of(headers: &HeaderMap) -> Option<SystemTime> {
    date(headers, &header::DATE)
}

fn validator(headers: &HeaderMap, modified: Option<SystemTime>) -> Validator {
    if let Some(tag) = header_text(headers, &header::ETAG)
        && !contradicts_itself(headers, &header::ETAG)
        && tag.len() >= 2
        && tag.starts_with('"')
        && tag.ends_with('"')
    {
        return Validator::Etag(tag.to_string());
    }
    match (modified, date(headers, &header::DATE)) {
        (Some(modified), Some(date))
            if date.duration_since(modified).is_ok_and(|age| age >= STRONG_AFTER) =>
        {
            Validator::Modified(modified)
        }
        _ => Validator::Unknown,
    }
}

fn coding(headers: &HeaderMap) -> Option<String> {
    let all: Vec<&str> =
        headers.get_all(header::CONTENT_ENCODING).iter().filter_map(|v| v.to_str().ok()).collect();
    let all = all.join(", ");
    let identity = all.split(',').all(|c| matches!(c.trim().to_ascii_lowercase().as_str(), "" | "identity"));
    (!identity).then_some(all)
}

/// Returns true if a header occurs twice with different values.
fn contradicts_itself(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut all = headers.get_all(name).iter();
    all.next().is_some_and(|first| all.any(|other| other != first))
}

fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    header_text(headers, name).and_then(|text| httpdate::parse_http_date(text).ok())
}

/// Reads a number of ASCII digits. `u64::from_str` would accept a plus sign.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests;
