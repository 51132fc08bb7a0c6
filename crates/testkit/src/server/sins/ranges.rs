//! Scripts with unusual responses that concern ranges. They send, for example, the whole file, or other
//! bytes than the requested ones.

use super::pace::capped;
use crate::server::exchange::Exchange;
use crate::shared_content;
use std::io;
use std::thread;
use std::time::Duration;

pub(super) fn no_ranges(x: &mut Exchange) -> io::Result<bool> {
    let body = x.content();
    x.respond("200 OK", &[("Accept-Ranges", "none"), ("ETag", "\"a\"")], &body)
}

/// Always sends the whole file, although its headers say that it accepts ranges. With `?break=1`, the first
/// response ends after half of the body. `?rate=N` limits the speed to N bytes a second.
pub(super) fn ranges_ignored(x: &mut Exchange) -> io::Result<bool> {
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

/// Serves ranges in its first two responses, and later always sends the whole file.
pub(super) fn ranges_ignored_later(x: &mut Exchange) -> io::Result<bool> {
    if x.visit < 2 { capped(x) } else { ranges_ignored(x) }
}

/// For the first request, sends half of the body. Answers a later request for the rest of the file with all
/// bytes. The Content-Range states the range that is sent.
pub(super) fn wrong_range_when_continued(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 {
        return x.only(x.half(), &[]);
    }
    if !x.is_continued() {
        return x.file(&[]);
    }
    let (etag, size, body) = (x.etag(), x.size, x.content());
    let range = format!("bytes 0-{}/{size}", size - 1);
    x.respond("206 Partial Content", &[("ETag", &etag), ("Content-Range", &range)], &body)
}

/// Sends every range with a mistake. `?how=start|end|total|validator|multipart|coding` chooses the mistake.
/// With any other value, there is no Content-Range. With `?break=1`, the first response ends after half of
/// the body.
pub(super) fn wrong_part(x: &mut Exchange) -> io::Result<bool> {
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
    // The bytes are wrong, so that the file of a client that accepts them is wrong too.
    let body = vec![b'!'; usize::try_from(last - first + 1).unwrap_or(0)];
    let mut headers = vec![("ETag", etag), ("Content-Type", kind)];
    if !range.is_empty() {
        headers.push(("Content-Range", &range));
    }
    if !coding.is_empty() {
        headers.push(("Content-Encoding", coding));
    }
    x.respond("206 Partial Content", &headers, &body)
}

/// Sends up to 1000 more bytes at each end of every range.
pub(super) fn superset(x: &mut Exchange) -> io::Result<bool> {
    let Some((first, last)) = x.request.range() else { return capped(x) };
    let (size, etag) = (x.size, x.etag());
    let (first, last) = (first.saturating_sub(1000), (last.unwrap_or(size) + 1000).min(size - 1));
    let body = shared_content(&x.name, x.size);
    let part = &body[usize::try_from(first).unwrap_or(0)..=usize::try_from(last).unwrap_or(0)];
    let range = format!("bytes {first}-{last}/{size}");
    x.respond("206 Partial Content", &[("ETag", &etag), ("Content-Range", &range)], part)
}

/// Answers a request without a range correctly, at a limited rate. A request for a range gets another
/// response, which `?how=` chooses: `page`, `login` (a redirect to a page), `quota` (a few bytes of JSON),
/// `ignored` (the whole file), or a status. With `?break=N` the first response ends after half of the body,
/// the next N responses are wrong, and later responses are correct.
pub(super) fn second_connection_gets(x: &mut Exchange) -> io::Result<bool> {
    if x.request.query("login").is_some() {
        return x.respond("200 OK", &[("Content-Type", "text/html; charset=utf-8")], LOGIN);
    }
    let wrong = x
        .number("break")
        .map_or(x.request.range().is_some(), |times| (1..=times).contains(&(x.visit as u64)));
    if x.visit == 0 && x.request.query("break").is_some() {
        return x.only(x.half(), &[("Content-Type", "application/zip")]);
    }
    if !wrong {
        return capped(x);
    }
    match x.request.query("how").unwrap_or_default().as_str() {
        "page" => x.respond("200 OK", &[("Content-Type", "text/html")], LOGIN),
        "login" => {
            let to = format!("/second_connection_gets/{}/{}?login=1", x.size, x.name);
            x.respond("302 Found", &[("Location", &to)], b"")
        }
        "quota" => x.respond(
            "200 OK",
            &[("Content-Type", "application/json")],
            br#"{"error":"quota exceeded","connections":1,"used":1}"#,
        ),
        "ignored" => ranges_ignored(x),
        status => x.respond(&format!("{status} Sin"), &[], b"sorry\n"),
    }
}

const LOGIN: &[u8] = b"<!DOCTYPE html><html><body><form action=/login>Sign in</form></body></html>";

/// Answers a request for the whole file with a 206 that has all bytes. `?total=N` states another total size.
pub(super) fn everything_as_a_part(x: &mut Exchange) -> io::Result<bool> {
    if x.request.range().is_some() {
        return x.file(&[]);
    }
    let total = x.request.query("total").unwrap_or_else(|| x.size.to_string());
    let (range, etag) = (format!("bytes 0-{}/{total}", x.size - 1), x.etag());
    let body = x.content();
    x.respond("206 Partial Content", &[("Content-Range", &range), ("ETag", &etag)], &body)
}

/// Sends ranges without the total size. With `?most=N`, each range has at most N bytes. With `&tag=0`, the
/// responses have no ETag.
pub(super) fn unknown_total(x: &mut Exchange) -> io::Result<bool> {
    let (status, _, mut body) = x.part();
    let Some((first, _)) = x.request.range().filter(|_| status.starts_with("206")) else {
        return x.respond(&status, &[], &body);
    };
    body.truncate(x.number("most").map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)));
    let (range, etag) = (format!("bytes {first}-{}/*", first + body.len() as u64 - 1), x.etag());
    let mut headers = vec![("Content-Range", range.as_str())];
    if x.number("tag") != Some(0) {
        headers.push(("ETag", etag.as_str()));
    }
    x.respond(&status, &headers, &body)
}
