//! What a server said: a reply's head, read strictly, into facts that can be trusted as facts about the reply
//! (not as truth about the file: see [`crate::plan`] for what is accepted).

mod digests;
mod disposition;
mod encoded_words;
mod links;

pub use digests::{Linked, linked};
pub use links::Links;

use crate::digest::Expected;
use crate::error::{Error, ErrorKind};
use crate::head::{self, Refused};
use crate::name::SafeName;
use crate::show;
use http::header::{self, HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};
use url::Url;

/// The head of a reply that brings the file, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// 206, or 200 for every other status that brings all of the file.
    pub status: u16,
    /// The URL that answered, after redirects.
    pub url: Url,
    /// Whether that is another URL than the one asked for first.
    pub redirected: bool,
    /// Bytes of this body, when announced.
    pub length: Option<u64>,
    /// What part of the file this is (206 only).
    pub range: Option<ContentRange>,
    /// `Accept-Ranges: none` was said: parts are not to be had.
    pub refuses_ranges: bool,
    /// What tells one version of the file from another.
    pub version: Validator,
    /// When the file last changed, by the server's word.
    pub last_modified: Option<SystemTime>,
    /// A content coding other than identity.
    pub coding: Option<String>,
    /// Several parts in one body (`multipart/byteranges`), which we never ask for.
    pub multipart: bool,
    /// It says to be an HTML page.
    pub html: bool,
    /// The name the server gives (Content-Disposition).
    pub name: Option<SafeName>,
    /// Digests of the whole file.
    pub digests: Vec<Expected>,
    /// What a redirect on the way here said of the size of the whole file, in bytes.
    pub promised_size: Option<u64>,
    /// Digests of this body, which is a part of the file (206 only). It counts when all of it came and was checked.
    pub part_digests: Vec<Expected>,
    /// Where the same file is elsewhere, by the server's word.
    pub links: Links,
    /// What of the head was ignored and may interest a person.
    pub notes: Vec<String>,
    /// Lines of the head that could not be read, for a person who looks closely. Whoever read the bytes fills it in.
    pub dropped: Vec<String>,
}

/// A strong validator of RFC 9110, section 8.8, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Validator {
    /// A strong entity tag, quotes included.
    Etag(String),
    /// A Last-Modified that is far enough before the reply's Date to be strong (section 8.8.2.2).
    Modified(SystemTime),
    /// Nothing that tells two versions apart.
    Unknown,
}

impl Validator {
    /// As the server wrote it; a date in the form of HTTP.
    pub fn text(&self) -> Option<String> {
        match self {
            Validator::Etag(tag) => Some(tag.clone()),
            Validator::Modified(at) => Some(httpdate::fmt_http_date(*at)),
            Validator::Unknown => None,
        }
    }
}

/// How much earlier than Date a Last-Modified must be to count as strong: what RFC 7232, section 2.2.2 names;
/// RFC 9110 leaves it to the reader.
const STRONG_AFTER: Duration = Duration::from_secs(60);

/// `Content-Range: bytes first-last/total` (RFC 9110, section 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte; not below `first`.
    pub last: u64,
    /// Size of the whole file, if known; above `last`.
    pub total: Option<u64>,
}

impl Reply {
    /// Reads the head of a reply whose status [is no failure](crate::retry::of_status).
    ///
    /// # Errors
    /// `http.malformed` when the head contradicts itself or cannot be read; `http.range_wrong` when only what it says
    /// of its range does.
    pub fn read(status: u16, url: &Url, redirected: bool, headers: &HeaderMap) -> Result<Reply, Error> {
        let bad = |why: &str| Error::new(ErrorKind::HttpMalformed, show::url(url), why);
        let wrong = |why: &str| Error::new(ErrorKind::HttpRangeWrong, show::url(url), why);
        // 203 is the file by way of a proxy; an unknown 2xx counts as 200 (RFC 9110, sections 15 and 15.3.4).
        let status = if status == 206 { 206 } else { 200 };
        let length = length(headers).map_err(|why| bad(why.0))?;
        if status == 206 && contradicts_itself(headers, &header::CONTENT_RANGE) {
            return Err(wrong("it has two ranges"));
        }
        let range = match (status, header_text(headers, &header::CONTENT_RANGE)) {
            (206, Some(text)) => {
                Some(ContentRange::parse(text).ok_or_else(|| wrong("Content-Range cannot be read"))?)
            }
            _ => None,
        };
        if let (Some(range), Some(length)) = (range, length)
            && range.last - range.first + 1 != length
        {
            return Err(wrong("Content-Range and Content-Length contradict each other"));
        }
        let modified = date(headers, &header::LAST_MODIFIED);
        let stated = digests::read(status, headers, length);
        let content_type = header_text(headers, &header::CONTENT_TYPE).unwrap_or_default();
        Ok(Reply {
            status,
            url: url.clone(),
            redirected,
            length,
            range,
            refuses_ranges: header_text(headers, &header::ACCEPT_RANGES)
                .is_some_and(|v| v.eq_ignore_ascii_case("none")),
            version: version(headers, modified),
            last_modified: modified,
            coding: coding(headers),
            html: ["text/html", "application/xhtml+xml"].iter().any(|page| {
                content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(page)
            }),
            multipart: content_type.to_ascii_lowercase().starts_with("multipart/byteranges"),
            name: headers
                .get(header::CONTENT_DISPOSITION)
                .and_then(|v| disposition::file_name(v.as_bytes(), url)),
            digests: stated.whole,
            promised_size: None,
            part_digests: stated.part,
            links: Reply::links(url, headers),
            notes: stated.notes,
            dropped: Vec::new(),
        })
    }

    /// The answer to a request for everything. A 206 that brings the whole file, from the first byte to the last of a known
    /// total, says the same as a 200; any other stays what it is.
    #[must_use]
    pub fn to_everything(mut self) -> Reply {
        let whole = self.range.filter(|range| range.first == 0 && Some(range.last + 1) == range.total);
        if let Some(range) = whole.filter(|_| !self.multipart) {
            self.status = 200;
            self.length = Some(range.last + 1);
            self.range = None;
            // What is of this body is of the file.
            self.digests.append(&mut self.part_digests);
        }
        self
    }

    /// Takes over what a redirect on the way here said of the file. It holds for this reply, whole or part.
    pub fn learn(&mut self, linked: Linked) {
        if self.coding.is_some() {
            let from = linked.digest.from;
            return self
                .notes
                .push(format!("{from} is of the file before it was compressed and was not used"));
        }
        self.promised_size = Some(linked.size);
        self.digests.push(linked.digest);
    }

    /// The size of the whole file, if this reply tells.
    pub fn size(&self) -> Option<u64> {
        match self.range {
            Some(range) => range.total,
            None => self.length,
        }
    }
}

impl ContentRange {
    /// Reads a `Content-Range` value. `None` unless it is one satisfied byte range that makes sense.
    pub fn parse(text: &str) -> Option<ContentRange> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (digits(first)?, digits(last)?);
        let total = if total == "*" { None } else { Some(digits(total)?) };
        let sane = unit.eq_ignore_ascii_case("bytes")
            && first <= last
            && last < u64::MAX
            && total.is_none_or(|total| last < total);
        sane.then_some(ContentRange { first, last, total })
    }
}

/// The size of the file that a 416 names (`Content-Range: bytes */SIZE`), if it does.
pub fn size_of_refusal(headers: &HeaderMap) -> Option<u64> {
    let text = header_text(headers, &header::CONTENT_RANGE)?;
    let (unit, size) = text.split_once(' ')?;
    if unit.eq_ignore_ascii_case("bytes") { digits(size.trim().strip_prefix("*/")?) } else { None }
}

/// The wait that a `Retry-After` asks for, `None` if there is none or it cannot be read.
///
/// A date is compared with the reply's own Date if it has one, since the server's clock need not be ours;
/// `now` is the wall clock here. A date in the past is no wait.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = header_text(headers, &header::RETRY_AFTER)?;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // So many digits that they overflow are as good as for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let server_now = date(headers, &header::DATE).unwrap_or(now);
    Some(until.duration_since(server_now).unwrap_or_default())
}

/// The length of the body that a head announces.
///
/// # Errors
/// Where there is more than one answer to where the body ends.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let values = |name| headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    let codings = values(header::TRANSFER_ENCODING).filter(|one| !one.eq_ignore_ascii_case(b"identity"));
    let (length, chunked) = (head::length(values(header::CONTENT_LENGTH))?, head::chunked(codings)?);
    if chunked && length.is_some() {
        return Err(head::TWO_ENDS);
    }
    Ok(length)
}

/// The server's own time, if it tells.
pub fn date_of(headers: &HeaderMap) -> Option<SystemTime> {
    date(headers, &header::DATE)
}

fn version(headers: &HeaderMap, modified: Option<SystemTime>) -> Validator {
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

/// Whether a header comes twice and says two things.
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

/// ASCII digits only: `u64::from_str` would take a plus sign.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().expect("a value")));
        pairs.collect()
    }

    fn read(status: u16, pairs: &[(&'static str, &str)]) -> Result<Reply, Error> {
        Reply::read(status, &Url::parse("http://h/f").expect("a URL"), false, &head(pairs))
    }

    #[test]
    fn content_range_is_strict() {
        let some = |first, last, total| Some(ContentRange { first, last, total });
        assert_eq!(ContentRange::parse("bytes 0-9/10"), some(0, 9, Some(10)));
        assert_eq!(ContentRange::parse("Bytes 5-9/*"), some(5, 9, None));
        for bad in [
            "",
            "bytes",
            "bytes */10",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes +0-9/10",
            "bytes -1-9/10",
            "items 0-9/10",
            "bytes 0-18446744073709551615/*",
            "bytes 0-99999999999999999999/*",
            "bytes 0-9",
            "bytes=0-9/10",
        ] {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn versions_are_strong_or_unknown() {
        let version = |pairs: &[_]| read(200, pairs).expect("readable").version;
        assert_eq!(version(&[("etag", "\"a\"")]), Validator::Etag("\"a\"".into()));
        assert_eq!(version(&[("etag", "W/\"a\"")]), Validator::Unknown);
        let modified = ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(version(&[modified]), Validator::Unknown, "no Date");
        assert_eq!(version(&[modified, ("date", "Wed, 21 Oct 2015 07:28:59 GMT")]), Validator::Unknown);
        assert!(matches!(
            version(&[modified, ("date", "Wed, 21 Oct 2015 07:29:00 GMT")]),
            Validator::Modified(_)
        ));
    }

    #[test]
    fn a_malformed_or_contradictory_checksum_is_noted_and_ignored() {
        let good = "ab".repeat(32);
        let reply = read(200, &[("x-checksum-sha256", &good.to_uppercase())]).expect("readable");
        assert_eq!(reply.digests[0].digest.to_string(), good);
        assert!(read(206, &[("x-checksum-sha256", &good)]).expect("readable").digests.is_empty());
        for pairs in [
            vec![("x-checksum-sha256", "zz".to_string())],
            vec![("x-checksum-sha256", good.clone()), ("x-checksum-sha256", "cd".repeat(32))],
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name, value.parse().expect("a value"));
            }
            let reply = Reply::read(200, &Url::parse("http://h/f").expect("a URL"), false, &headers)
                .expect("readable");
            assert!(reply.digests.is_empty() && reply.notes.len() == 1);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(read(206, &[("content-range", "bytes 0-9/10"), ("content-length", "9")]).is_err());
        assert!(read(206, &[("content-range", "bytes 9-0/10")]).is_err());
        assert!(read(200, &[("content-length", "-5")]).is_err());
        assert_eq!(read(206, &[("content-range", "bytes 5-9/10")]).expect("readable").size(), Some(10));
    }

    #[test]
    fn there_is_one_answer_to_where_a_body_ends() {
        let size = |pairs: &[_]| read(200, pairs).map(|reply| reply.size()).map_err(|e| e.detail);
        assert_eq!(size(&[("transfer-encoding", "Chunked")]), Ok(None));
        assert_eq!(size(&[("content-length", "4, 4")]), Ok(Some(4)));
        assert_eq!(size(&[("content-length", "4"), ("transfer-encoding", "identity")]), Ok(Some(4)));
        assert!(size(&[("content-length", "4, 5")]).is_err());
        assert!(size(&[("content-length", "5"), ("transfer-encoding", "chunked")]).is_err());
        assert!(size(&[("transfer-encoding", "gzip, chunked")]).is_err());
    }

    #[test]
    fn a_part_that_is_everything_is_the_file() {
        let digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        let reply =
            |range| read(206, &[("content-range", range), ("content-digest", digest)]).expect("readable");
        let whole = reply("bytes 0-5/6").to_everything();
        assert_eq!((whole.status, whole.range, whole.length), (200, None, Some(6)));
        assert_eq!((whole.digests.len(), whole.part_digests.len()), (1, 0), "its digest is of the file now");
        for part in ["bytes 0-5/*", "bytes 0-4/6", "bytes 1-5/6"] {
            assert_eq!(reply(part).to_everything(), reply(part), "{part}");
        }
        assert_eq!(read(299, &[]).expect("readable").status, 200);
    }

    #[test]
    fn codings_but_identity_are_told() {
        assert_eq!(read(200, &[("content-encoding", "identity")]).expect("readable").coding, None);
        assert_eq!(read(200, &[("content-encoding", "gzip")]).expect("readable").coding, Some("gzip".into()));
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").expect("a date");
        let wait = |pairs: &[_]| retry_after(&head(pairs), now).map(|d| d.as_secs());
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[("retry-after", "5")]), Some(5));
        assert_eq!(wait(&[("retry-after", "-5")]), None);
        assert_eq!(wait(&[("retry-after", "")]), None);
        assert_eq!(wait(&[("retry-after", "soon")]), None);
        assert_eq!(wait(&[("retry-after", "99999999999999999999999")]), Some(u64::from(u32::MAX)));
        assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:09 GMT")]), Some(9));
        assert_eq!(wait(&[("retry-after", "Tue, 21 Oct 2014 07:28:09 GMT")]), Some(0));
        let by_the_servers_clock =
            [("retry-after", "Wed, 21 Oct 2020 07:28:09 GMT"), ("date", "Wed, 21 Oct 2020 07:28:00 GMT")];
        assert_eq!(wait(&by_the_servers_clock), Some(9));
    }

    proptest! {
        #[test]
        fn content_range_never_panics_and_never_lies(text in "(bytes )?[0-9*+-]{0,22}-?[0-9]{0,22}/?[0-9*]{0,22}") {
            if let Some(range) = ContentRange::parse(&text) {
                prop_assert!(range.first <= range.last && range.total.is_none_or(|t| range.last < t));
            }
        }
    }
}
