//! The scripts, one for each sin, each named after it. A script answers one request; `true` keeps the connection.
//!
//! Sins that pass ("once") depend on how often the same target was asked for.

use super::{Exchange, Request, h2};
use crate::{content, content_digest, sha256, shared_content};
use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

type Script = fn(&mut Exchange) -> io::Result<bool>;

/// Every sin, by name.
pub(crate) const SINS: &[(&str, Script)] = &[
    ("well_behaved", well_behaved),
    ("no_validator", no_validator),
    ("no_ranges", no_ranges),
    ("truncated_body", truncated_body),
    ("truncated_body_always", truncated_body_always),
    ("truncated_body_without_ranges", truncated_body_without_ranges),
    ("truncated_chunked_body", truncated_chunked_body),
    ("reset_in_mid_body", reset_in_mid_body),
    ("chunked_body", chunked_body),
    ("body_longer_than_announced", body_longer_than_announced),
    ("no_length", no_length),
    ("gzip_although_identity", gzip_although_identity),
    ("gzip_when_continued", gzip_when_continued),
    ("changed_when_continued", changed_when_continued),
    ("wrong_range_when_continued", wrong_range_when_continued),
    ("busy_once", busy_once),
    ("busy_always", busy_always),
    ("fails_once", fails_once),
    ("fails_always", fails_always),
    ("status", status),
    ("expired_link", expired_link),
    ("redirect", redirect),
    ("redirect_chain", redirect_chain),
    ("slow_first_byte", slow_first_byte),
    ("slow_first_byte_once", slow_first_byte_once),
    ("one_byte_a_second", one_byte_a_second),
    ("silence_in_mid_body", silence_in_mid_body),
    ("silence_in_mid_body_once", silence_in_mid_body_once),
    ("slow", slow),
    ("without_validator", without_validator),
    ("grows", grows),
    ("capped", capped),
    ("silent_connection", silent_connection),
    ("crawling_connection", crawling_connection),
    ("refuses_the_fifth", refuses_the_fifth),
    ("one_request_only", one_request_only),
    ("gone_after_half", gone_after_half),
    ("ranges_ignored", ranges_ignored),
    ("ranges_ignored_later", ranges_ignored_later),
    ("wrong_part", wrong_part),
    ("superset", superset),
    ("changes_after", changes_after),
    ("changes_always", changes_always),
    ("shrinks", shrinks),
    ("huge_headers", huge_headers),
    ("folded_header", folded_header),
    ("two_lengths", two_lengths),
    ("negative_length", negative_length),
    ("huge_length", huge_length),
    ("nul_in_header", nul_in_header),
    ("cr_in_header", cr_in_header),
    ("named", named),
    ("headers", headers),
    ("part_digests", part_digests),
    ("checksum", checksum),
    ("checksum_wrong", checksum_wrong),
    ("checksum_malformed", checksum_malformed),
    ("checksum_after_a_break", checksum_after_a_break),
];

/// The names of all sins.
pub fn names() -> Vec<&'static str> {
    SINS.iter().map(|(name, _)| *name).chain(h2::SINS.iter().copied()).collect()
}

/// When all test files were last changed: long enough ago to be a strong validator.
pub const LAST_MODIFIED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// Answers with the script of that name; 404 if there is none.
pub(super) fn answer(sin: &str, mut exchange: Exchange) -> io::Result<bool> {
    match SINS.iter().find(|(name, _)| *name == sin) {
        Some((_, script)) => script(&mut exchange),
        None if h2::SINS.contains(&sin) => well_behaved(&mut exchange),
        None => exchange.reply("404 Not Found", &[], b"no such sin\n"),
    }
}

/// Answers with what was put there.
pub(super) fn answer_with(bytes: &[u8], mut exchange: Exchange) -> io::Result<bool> {
    exchange.reply("200 OK", &[], bytes)
}

/// Status, headers and body of the file or the part of it that was asked for.
pub(super) fn part(
    request: &Request,
    name: &str,
    size: u64,
) -> (String, Vec<(&'static str, String)>, Vec<u8>) {
    let body = shared_content(name, size);
    // `?lies=N`: byte N is another one, whatever the rest of the script.
    let lie: Option<usize> = request.query("lies").and_then(|at| at.parse().ok());
    let some = |range: std::ops::Range<usize>| {
        let mut some = body[range.clone()].to_vec();
        if let Some(byte) = lie.and_then(|at| some.get_mut(at.checked_sub(range.start)?)) {
            *byte ^= 1;
        }
        some
    };
    let now = httpdate::fmt_http_date(SystemTime::now());
    let mut headers = vec![
        ("Date", now),
        ("Last-Modified", LAST_MODIFIED.to_string()),
        ("Accept-Ranges", "bytes".to_string()),
    ];
    let Some((first, last)) = request.range() else {
        return ("200 OK".into(), headers, some(0..body.len()));
    };
    let last = last.unwrap_or(u64::MAX).min(size.saturating_sub(1));
    if first >= size || first > last {
        headers.push(("Content-Range", format!("bytes */{size}")));
        return ("416 Range Not Satisfiable".into(), headers, Vec::new());
    }
    headers.push(("Content-Range", format!("bytes {first}-{last}/{size}")));
    let range = usize::try_from(first).unwrap_or(0)..usize::try_from(last).unwrap_or(0) + 1;
    ("206 Partial Content".into(), headers, some(range))
}

pub(super) fn etag(name: &str, size: u64) -> String {
    format!("\"{}-{size}\"", name.len())
}

impl Exchange<'_> {
    fn content(&self) -> Vec<u8> {
        content(&self.name, self.size)
    }

    fn etag(&self) -> String {
        etag(&self.name, self.size)
    }

    /// A reply with a body of known length.
    fn reply(&mut self, status: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<bool> {
        let length = body.len().to_string();
        let mut all = vec![("Content-Length", length.as_str())];
        all.extend(headers);
        self.head(status, &all)?;
        self.wire.write_all(body)?;
        self.wire.flush()?;
        Ok(true)
    }

    fn head(&mut self, status: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        self.wire.write_all((text + "\r\n").as_bytes())
    }

    /// The file or the part that was asked for, as a good server gives it, with further headers.
    fn file(&mut self, more: &[(&str, &str)]) -> io::Result<bool> {
        let etag = self.etag();
        let mut headers = vec![("ETag", etag.as_str())];
        headers.extend(more);
        self.file_as(&headers)
    }

    fn file_as(&mut self, more: &[(&str, &str)]) -> io::Result<bool> {
        let (status, headers, body) = self.part();
        let mut all: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.extend(more);
        self.reply(&status, &all, &body)
    }

    /// A number of the query.
    fn number(&self, key: &str) -> Option<u64> {
        self.request.query(key)?.parse().ok()
    }

    /// The part that was asked for, at so many bytes a second over this connection, at most 64 KiB of it at once.
    fn trickle(&mut self, rate: f64, more: &[(&str, &str)]) -> io::Result<bool> {
        const BURST: f64 = 65_536.0;
        self.only(0, more)?;
        let body = self.part().2;
        let (tokens, at) = &mut *self.bucket;
        *tokens = tokens.min(BURST);
        for some in body.chunks(16_384) {
            loop {
                let now = Instant::now();
                *tokens = (*tokens + now.duration_since(*at).as_secs_f64() * rate).min(BURST);
                *at = now;
                if *tokens >= some.len() as f64 || self.over.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(
                    Duration::from_secs_f64((some.len() as f64 - *tokens) / rate).min(Duration::from_secs(1)),
                );
            }
            *tokens -= some.len() as f64;
            self.wire.write_all(some)?;
        }
        self.wire.flush()?;
        Ok(true)
    }

    /// Status, headers and body of the part that was asked for.
    fn part(&self) -> (String, Vec<(&'static str, String)>, Vec<u8>) {
        part(self.request, &self.name, self.size)
    }

    /// The head that announces all of what was asked for, and so many bytes of it.
    fn only(&mut self, bytes: usize, more: &[(&str, &str)]) -> io::Result<bool> {
        let etag = self.etag();
        let (status, headers, body) = self.part();
        let length = body.len().to_string();
        let mut all: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.extend([("Content-Length", length.as_str()), ("ETag", etag.as_str())]);
        all.extend(more);
        self.head(&status, &all)?;
        self.wire.write_all(&body[..bytes.min(body.len())])?;
        self.wire.flush()?;
        Ok(false)
    }

    fn half(&self) -> usize {
        usize::try_from(self.size / 2).unwrap_or(0)
    }

    fn is_continued(&self) -> bool {
        self.request.range().is_some_and(|(first, _)| first > 0)
    }

    /// Sleeps, but not beyond the server's end.
    fn sleep(&self, time: Duration) {
        let steps = time.as_millis() / 20;
        for _ in 0..steps {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Raw text as the reply's head, then the file.
    fn raw(&mut self, head: &str) -> io::Result<bool> {
        let body = self.content();
        self.wire.write_all(head.as_bytes())?;
        self.wire.write_all(&body)?;
        self.wire.flush()?;
        Ok(false)
    }
}

fn well_behaved(x: &mut Exchange) -> io::Result<bool> {
    x.file(&[])
}

/// Nothing tells two versions apart.
fn no_validator(x: &mut Exchange) -> io::Result<bool> {
    let (size, body) = (x.size.to_string(), x.content());
    if x.visit == 0 {
        x.head("200 OK", &[("Content-Length", &size), ("Accept-Ranges", "bytes")])?;
        x.wire.write_all(&body[..body.len() / 2])?;
        return Ok(false);
    }
    x.reply("200 OK", &[("Accept-Ranges", "bytes")], &body)
}

fn no_ranges(x: &mut Exchange) -> io::Result<bool> {
    let body = x.content();
    x.reply("200 OK", &[("Accept-Ranges", "none"), ("ETag", "\"a\"")], &body)
}

/// Half of what was announced, then a clean close. Once.
fn truncated_body(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { x.only(x.half(), &[]) } else { x.file(&[]) }
}

/// Never more than 1000 bytes at a time.
fn truncated_body_always(x: &mut Exchange) -> io::Result<bool> {
    x.only(1000, &[])
}

/// Half of it, and ranges are ignored. Once.
fn truncated_body_without_ranges(x: &mut Exchange) -> io::Result<bool> {
    let (size, etag, body) = (x.size.to_string(), x.etag(), x.content());
    let bytes = if x.visit == 0 { x.half() } else { body.len() };
    x.head("200 OK", &[("Content-Length", &size), ("ETag", &etag)])?;
    x.wire.write_all(&body[..bytes])?;
    Ok(false)
}

/// No last chunk. Once.
fn truncated_chunked_body(x: &mut Exchange) -> io::Result<bool> {
    if x.visit > 0 {
        return x.file(&[]);
    }
    let (etag, body) = (x.etag(), x.content());
    x.head("200 OK", &[("Transfer-Encoding", "chunked"), ("ETag", &etag)])?;
    let half = &body[..body.len() / 2];
    x.wire.write_all(format!("{:x}\r\n", half.len()).as_bytes())?;
    x.wire.write_all(half)?;
    x.wire.write_all(b"\r\n")?;
    Ok(false)
}

fn chunked_body(x: &mut Exchange) -> io::Result<bool> {
    let body = x.content();
    x.head("200 OK", &[("Transfer-Encoding", "chunked")])?;
    for chunk in body.chunks(10_000) {
        x.wire.write_all(format!("{:X};extension=1\r\n", chunk.len()).as_bytes())?;
        x.wire.write_all(chunk)?;
        x.wire.write_all(b"\r\n")?;
    }
    x.wire.write_all(b"0\r\nTrailer: x\r\n\r\n")?;
    Ok(true)
}

/// A reset after half of it. Once.
fn reset_in_mid_body(x: &mut Exchange) -> io::Result<bool> {
    if x.visit > 0 {
        return x.file(&[]);
    }
    x.only(x.half(), &[])?;
    // What was sent shall arrive before the reset takes it back.
    x.sleep(Duration::from_millis(300));
    x.wire.reset();
    Ok(false)
}

/// The body goes on after its announced end, with bytes that look like another reply.
fn body_longer_than_announced(x: &mut Exchange) -> io::Result<bool> {
    x.file(&[])?;
    x.wire.write_all(b"surplus HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX")?;
    x.wire.flush()?;
    // The connection stays open: it is for the client to close it.
    x.sleep(Duration::from_secs(2));
    Ok(false)
}

/// The end of the connection is the end of the file.
fn no_length(x: &mut Exchange) -> io::Result<bool> {
    x.raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
}

fn gzip_although_identity(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 && x.request.query("break").is_some() {
        return x.only(x.half(), &[("Content-Encoding", "gzip")]);
    }
    x.file(&[("Content-Encoding", "gzip")])
}

/// The first half plain, the rest in a coding. Once; then plain again.
fn gzip_when_continued(x: &mut Exchange) -> io::Result<bool> {
    match (x.visit, x.is_continued()) {
        (0, _) => x.only(x.half(), &[]),
        (_, true) => x.file(&[("Content-Encoding", "gzip")]),
        _ => x.file(&[]),
    }
}

/// The rest is of another version, of the same size.
fn changed_when_continued(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 {
        return x.only(x.half(), &[]);
    }
    x.name = "changed".into();
    x.file_as(&[("ETag", "\"changed\"")])
}

/// Asked for the rest, it gives something else and says so.
fn wrong_range_when_continued(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 {
        return x.only(x.half(), &[]);
    }
    if !x.is_continued() {
        return x.file(&[]);
    }
    let (etag, size, body) = (x.etag(), x.size, x.content());
    let range = format!("bytes 0-{}/{size}", size - 1);
    x.reply("206 Partial Content", &[("ETag", &etag), ("Content-Range", &range)], &body)
}

/// `?status=503&after=VALUE` once: a Retry-After of that value. `after=+N` is a date N seconds from now.
fn busy_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { busy_always(x) } else { x.file(&[]) }
}

fn busy_always(x: &mut Exchange) -> io::Result<bool> {
    let status = x.request.query("status").unwrap_or_else(|| "503".into()) + " Busy";
    let after = x.request.query("after").unwrap_or_default();
    let after = match after.strip_prefix("date") {
        Some(seconds) => {
            let shift: i64 = seconds.parse().unwrap_or(0);
            let now = SystemTime::now();
            let by = Duration::from_secs(shift.unsigned_abs());
            httpdate::fmt_http_date(if shift < 0 { now - by } else { now + by })
        }
        None => after,
    };
    if after.is_empty() {
        x.reply(&status, &[], b"busy")
    } else {
        x.reply(&status, &[("Retry-After", &after)], b"busy")
    }
}

/// `?status=502` once.
fn fails_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { fails_always(x) } else { x.file(&[]) }
}

/// `?status=502&times=2`: so many times, or always.
fn fails_always(x: &mut Exchange) -> io::Result<bool> {
    let times = x.request.query("times").and_then(|times| times.parse().ok()).unwrap_or(usize::MAX);
    if x.visit >= times {
        return x.file(&[]);
    }
    status(x)
}

/// `?status=404`, always.
fn status(x: &mut Exchange) -> io::Result<bool> {
    let status = x.request.query("status").unwrap_or_else(|| "500".into());
    x.reply(&format!("{status} Sin"), &[], b"sorry\n")
}

/// Redirects to a signed link; the first link that it gives has expired.
fn expired_link(x: &mut Exchange) -> io::Result<bool> {
    match x.request.query("link") {
        None => {
            let link = format!("/expired_link/{}/{}?link={}", x.size, x.name, x.visit);
            x.reply("302 Found", &[("Location", &link)], b"")
        }
        Some(link) if link == "0" => x.reply("403 Forbidden", &[], b"expired"),
        Some(_) => x.file(&[]),
    }
}

/// `?to=URL`.
fn redirect(x: &mut Exchange) -> io::Result<bool> {
    let to = x.request.query("to").unwrap_or_default();
    x.reply("302 Found", &[("Location", &to)], b"elsewhere")
}

/// `?hops=N`: N redirects, relative ones, then the file. Without it: for ever.
fn redirect_chain(x: &mut Exchange) -> io::Result<bool> {
    match x.request.query("hops").map(|hops| hops.parse::<u32>().unwrap_or(0)) {
        Some(0) => x.file(&[]),
        Some(hops) => {
            let to = format!("{}?hops={}", x.name, hops - 1);
            x.reply("301 Moved Permanently", &[("Location", &to)], b"")
        }
        None => {
            let to = x.request.target.clone();
            x.reply("302 Found", &[("Location", &to)], b"")
        }
    }
}

fn slow_first_byte(x: &mut Exchange) -> io::Result<bool> {
    x.sleep(Duration::from_secs(30));
    Ok(false)
}

fn slow_first_byte_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { slow_first_byte(x) } else { x.file(&[]) }
}

fn one_byte_a_second(x: &mut Exchange) -> io::Result<bool> {
    x.only(0, &[])?;
    for byte in x.content() {
        x.wire.write_all(&[byte])?;
        x.wire.flush()?;
        if x.over.load(Ordering::Relaxed) {
            break;
        }
        x.sleep(Duration::from_secs(1));
    }
    Ok(false)
}

fn silence_in_mid_body(x: &mut Exchange) -> io::Result<bool> {
    x.only(1000, &[])?;
    x.sleep(Duration::from_secs(60));
    Ok(false)
}

fn silence_in_mid_body_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit > 0 {
        return x.file(&[]);
    }
    x.only(x.half(), &[])?;
    x.sleep(Duration::from_secs(60));
    Ok(false)
}

/// `?rate=N`: N bytes a second, and `?chunked=1` without a length.
fn slow(x: &mut Exchange) -> io::Result<bool> {
    let rate: usize = x.request.query("rate").and_then(|rate| rate.parse().ok()).unwrap_or(100_000);
    let chunked = x.request.query("chunked").is_some();
    let body = if chunked {
        x.head("200 OK", &[("Transfer-Encoding", "chunked")])?;
        x.content()
    } else {
        x.only(0, &[])?;
        x.part().2
    };
    for some in body.chunks((rate / 20).max(1)) {
        if chunked {
            x.wire.write_all(format!("{:x}\r\n", some.len()).as_bytes())?;
        }
        x.wire.write_all(some)?;
        if chunked {
            x.wire.write_all(b"\r\n")?;
        }
        x.wire.flush()?;
        if x.over.load(Ordering::Relaxed) {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(50));
    }
    if chunked {
        x.wire.write_all(b"0\r\n\r\n")?;
    }
    Ok(true)
}

/// The first time nobody knows how long it is; parts of it are to be had all the same.
fn grows(x: &mut Exchange) -> io::Result<bool> {
    if x.is_continued() {
        return x.file(&[]);
    }
    let (etag, body) = (x.etag(), shared_content(&x.name, x.size));
    x.head("200 OK", &[("ETag", &etag), ("Connection", "close")])?;
    for some in body.chunks(200_000) {
        x.wire.write_all(some)?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

/// Slow, and nothing tells two versions apart.
fn without_validator(x: &mut Exchange) -> io::Result<bool> {
    let (status, headers, body) = x.part();
    let length = body.len().to_string();
    let mut all = vec![("Content-Length", length.as_str())];
    all.extend(
        headers
            .iter()
            .filter(|(name, _)| *name == "Content-Range")
            .map(|(name, value)| (*name, value.as_str())),
    );
    x.head(&status, &all)?;
    for some in body.chunks(100_000) {
        x.wire.write_all(some)?;
        thread::sleep(Duration::from_millis(25));
    }
    Ok(true)
}

/// `?rate=N`: N bytes a second over each connection, whatever the requests on it; `?sha256=1` with its digest; `?link=...`
/// with that for a Link.
fn capped(x: &mut Exchange) -> io::Result<bool> {
    let rate = x.number("rate").unwrap_or(1_000_000) as f64;
    let digest = x.request.query("sha256").map(|_| sha256(&shared_content(&x.name, x.size)));
    let link = x.request.query("link");
    let mut more: Vec<(&str, &str)> = Vec::new();
    more.extend(digest.as_ref().map(|digest| ("X-Checksum-SHA256", digest.as_str())));
    more.extend(link.as_ref().map(|link| ("Link", link.as_str())));
    x.trickle(rate, &more)
}

/// Of four connections one goes silent after 100,000 bytes; the others are capped.
fn silent_connection(x: &mut Exchange) -> io::Result<bool> {
    if x.request.connection % 4 != 2 {
        return capped(x);
    }
    x.only(100_000, &[])?;
    x.sleep(Duration::from_secs(60));
    Ok(false)
}

/// Of four connections one runs at a fortieth of the speed of the others.
fn crawling_connection(x: &mut Exchange) -> io::Result<bool> {
    let rate = x.number("rate").unwrap_or(1_000_000) as f64;
    let slow = x.request.connection % 4 == 2;
    x.trickle(if slow { rate / 40.0 } else { rate }, &[])
}

/// Who comes fifth is refused: `?how=503`, `429`, or `reset`. The others are capped.
fn refuses_the_fifth(x: &mut Exchange) -> io::Result<bool> {
    if x.open <= 4 {
        return capped(x);
    }
    match x.request.query("how").unwrap_or_default().as_str() {
        "reset" => x.wire.reset(),
        status => {
            let status = format!("{status} Too Many");
            x.reply(&status, &[("Connection", "close")], b"too many connections\n")?;
        }
    }
    Ok(false)
}

/// A link that is good for one request.
fn one_request_only(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { capped(x) } else { x.reply("403 Forbidden", &[], b"used up\n") }
}

/// Everything, whatever was asked for, though parts are promised.
/// Half of it, and then nobody has ever heard of it.
fn gone_after_half(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { x.only(x.half(), &[]) } else { x.reply("404 Not Found", &[], b"") }
}

fn ranges_ignored(x: &mut Exchange) -> io::Result<bool> {
    let (etag, body) = (x.etag(), shared_content(&x.name, x.size));
    let whole = if x.visit == 0 && x.request.query("break").is_some() { body.len() / 2 } else { body.len() };
    let length = body.len().to_string();
    x.head("200 OK", &[("Content-Length", &length), ("ETag", &etag), ("Accept-Ranges", "bytes")])?;
    let rate = x.number("rate").unwrap_or(20_000_000);
    for some in body[..whole].chunks(65_536) {
        x.wire.write_all(some)?;
        thread::sleep(Duration::from_secs_f64(some.len() as f64 / rate as f64));
    }
    Ok(whole == body.len())
}

/// Parts are had at first, and later everything comes.
fn ranges_ignored_later(x: &mut Exchange) -> io::Result<bool> {
    if x.visit < 2 { capped(x) } else { ranges_ignored(x) }
}

/// `?how=start|end|total|validator|none|multipart|length|coding`: what is wrong with every part.
fn wrong_part(x: &mut Exchange) -> io::Result<bool> {
    let Some((first, last)) = x.request.range() else {
        if x.visit == 0 && x.request.query("break").is_some() {
            return x.only(x.half(), &[]);
        }
        return capped(x);
    };
    let (size, etag) = (x.size, x.etag());
    let last = last.unwrap_or(size - 1).min(size - 1);
    let how = x.request.query("how").unwrap_or_default();
    let good = format!("bytes {first}-{last}/{size}");
    let (range, etag, kind, coding) = match how.as_str() {
        "start" => (format!("bytes {}-{last}/{size}", first + 1), etag.as_str(), "a/b", ""),
        "end" => (format!("bytes {first}-{size}/{size}"), etag.as_str(), "a/b", ""),
        "total" => (format!("bytes {first}-{last}/{}", size + 1), etag.as_str(), "a/b", ""),
        "validator" => (good, "\"another\"", "a/b", ""),
        "multipart" => (good, etag.as_str(), "multipart/byteranges; boundary=x", ""),
        "coding" => (good, etag.as_str(), "a/b", "gzip"),
        _ => (String::new(), etag.as_str(), "a/b", ""),
    };
    // Wrong bytes, so that whoever takes them has a wrong file.
    let body = vec![b'!'; usize::try_from(last - first + 1).unwrap_or(0)];
    let mut headers = vec![("ETag", etag), ("Content-Type", kind)];
    if !range.is_empty() {
        headers.push(("Content-Range", &range));
    }
    if !coding.is_empty() {
        headers.push(("Content-Encoding", coding));
    }
    x.reply("206 Partial Content", &headers, &body)
}

/// Every part begins 1000 bytes early and ends 1000 bytes late.
fn superset(x: &mut Exchange) -> io::Result<bool> {
    let Some((first, last)) = x.request.range() else { return capped(x) };
    let (size, etag) = (x.size, x.etag());
    let (first, last) = (first.saturating_sub(1000), (last.unwrap_or(size) + 1000).min(size - 1));
    let body = shared_content(&x.name, x.size);
    let part = &body[usize::try_from(first).unwrap_or(0)..=usize::try_from(last).unwrap_or(0)];
    let range = format!("bytes {first}-{last}/{size}");
    x.reply("206 Partial Content", &[("ETag", &etag), ("Content-Range", &range)], part)
}

/// `?requests=N`: after so many, the file is another one of the same size.
fn changes_after(x: &mut Exchange) -> io::Result<bool> {
    if x.visit as u64 >= x.number("requests").unwrap_or(2) {
        x.name = "changed".into();
    }
    capped(x)
}

/// Every request finds a new version, of the same size.
fn changes_always(x: &mut Exchange) -> io::Result<bool> {
    x.name = "v".repeat(x.visit + 1);
    capped(x)
}

/// Half of it; who comes back finds a file of a third of the size.
fn shrinks(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 {
        return x.only(x.half(), &[]);
    }
    x.size /= 3;
    x.file(&[])
}

fn huge_headers(x: &mut Exchange) -> io::Result<bool> {
    let size = x.size;
    x.wire.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n").as_bytes())?;
    for n in 0..1024 {
        x.wire.write_all(format!("X-Padding-{n}: {}\r\n", "x".repeat(1000)).as_bytes())?;
    }
    x.raw("\r\n")
}

fn folded_header(x: &mut Exchange) -> io::Result<bool> {
    let size = x.size;
    x.raw(&format!("HTTP/1.1 200 OK\r\nX-Folded: a\r\n  b\r\nContent-Length: {size}\r\n\r\n"))
}

fn two_lengths(x: &mut Exchange) -> io::Result<bool> {
    let size = x.size;
    x.raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nContent-Length: {}\r\n\r\n", size / 2))
}

fn negative_length(x: &mut Exchange) -> io::Result<bool> {
    x.raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
}

fn huge_length(x: &mut Exchange) -> io::Result<bool> {
    x.raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n")
}

fn nul_in_header(x: &mut Exchange) -> io::Result<bool> {
    let size = x.size;
    x.raw(&format!("HTTP/1.1 200 OK\r\nX-Bad: a\0b\r\nContent-Length: {size}\r\n\r\n"))
}

fn cr_in_header(x: &mut Exchange) -> io::Result<bool> {
    let size = x.size;
    x.raw(&format!("HTTP/1.1 200 OK\r\nX-Bad: a\rContent-Length: 1\r\nContent-Length: {size}\r\n\r\n"))
}

/// `?disposition=VALUE`: a Content-Disposition, as it is.
fn named(x: &mut Exchange) -> io::Result<bool> {
    let value = x.request.query("disposition").unwrap_or_default();
    x.file(&[("Content-Disposition", &value)])
}

/// `?NAME=VALUE...`: these headers too. `break=1`: half of it, the first time.
fn headers(x: &mut Exchange) -> io::Result<bool> {
    let more = x.request.queries();
    let broken = more.iter().any(|(name, _)| name == "break") && x.visit == 0;
    let more = more.iter().filter(|(name, _)| name != "break");
    let more: Vec<(&str, &str)> = more.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if broken { x.only(x.half(), &more) } else { x.file(&more) }
}

/// Every part comes with its digest. Of the parts, number `bad=N` (from 1) has a wrong byte in its middle;
/// `always=1`: all of them from there on. The whole breaks off in the middle, without a digest.
fn part_digests(x: &mut Exchange) -> io::Result<bool> {
    if x.request.range().is_none() {
        return x.only(x.half(), &[]);
    }
    let (etag, (status, headers, mut body)) = (x.etag(), x.part());
    let of_part = content_digest(&body);
    // The first visit was to the whole.
    let (visit, bad) = (x.visit as u64, x.number("bad").unwrap_or(u64::MAX));
    if visit == bad || (visit > bad && x.request.query("always").is_some()) {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    let mut all: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.extend([("ETag", etag.as_str()), ("Content-Digest", of_part.as_str())]);
    x.reply(&status, &all, &body)
}

/// The right digest; `?upper=1` in capitals.
fn checksum(x: &mut Exchange) -> io::Result<bool> {
    let mut digest = sha256(&x.content());
    if x.request.query("upper").is_some() {
        digest = digest.to_uppercase();
    }
    x.file(&[("X-Checksum-SHA256", &digest)])
}

fn checksum_wrong(x: &mut Exchange) -> io::Result<bool> {
    let digest = sha256(b"something else");
    x.file(&[("X-Checksum-SHA256", &digest)])
}

fn checksum_malformed(x: &mut Exchange) -> io::Result<bool> {
    x.file(&[("X-Checksum-SHA256", "not hexadecimal")])
}

/// The right digest, and a break in the middle. Once.
fn checksum_after_a_break(x: &mut Exchange) -> io::Result<bool> {
    let digest = sha256(&x.content());
    if x.visit == 0 {
        x.only(x.half(), &[("X-Checksum-SHA256", &digest)])
    } else {
        x.file(&[("X-Checksum-SHA256", &digest)])
    }
}
