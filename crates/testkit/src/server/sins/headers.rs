//! Scripts that send malformed headers, wrong headers, or headers that the query names.

use crate::server::exchange::Exchange;
use std::io;
use std::time::Duration;

pub(super) fn gzip_although_identity(x: &mut Exchange) -> io::Result<bool> {
    x.file(&[("Content-Encoding", "gzip")])
}

/// For the first request, sends half of the body. Answers a later request for the rest with
/// `Content-Encoding: gzip`.
pub(super) fn gzip_when_continued(x: &mut Exchange) -> io::Result<bool> {
    match (x.visit, x.is_continued()) {
        (0, _) => x.only(x.half(), &[]),
        (_, true) => x.file(&[("Content-Encoding", "gzip")]),
        _ => x.file(&[]),
    }
}

/// Sends `?lines=N` header lines, each with a value of a thousand bytes. Without `lines`, there are 1,024
/// lines.
pub(super) fn huge_headers(x: &mut Exchange) -> io::Result<bool> {
    let (size, lines) = (x.size, x.number("lines").unwrap_or(1024));
    x.wire.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n").as_bytes())?;
    for n in 0..lines {
        x.wire.write_all(format!("X-Padding-{n}: {}\r\n", "x".repeat(1000)).as_bytes())?;
    }
    x.raw("\r\n")
}

pub(super) fn folded_header(x: &mut Exchange) -> io::Result<bool> {
    let size = x.size;
    x.raw(&format!("HTTP/1.1 200 OK\r\nX-Folded: a\r\n  b\r\nContent-Length: {size}\r\n\r\n"))
}

pub(super) fn two_lengths(x: &mut Exchange) -> io::Result<bool> {
    let size = x.size;
    x.raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nContent-Length: {}\r\n\r\n", size / 2))
}

pub(super) fn negative_length(x: &mut Exchange) -> io::Result<bool> {
    x.raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
}

pub(super) fn huge_length(x: &mut Exchange) -> io::Result<bool> {
    x.raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n")
}

pub(super) fn nul_in_header(x: &mut Exchange) -> io::Result<bool> {
    let size = x.size;
    x.raw(&format!("HTTP/1.1 200 OK\r\nX-Bad: a\0b\r\nContent-Length: {size}\r\n\r\n"))
}

pub(super) fn cr_in_header(x: &mut Exchange) -> io::Result<bool> {
    let size = x.size;
    x.raw(&format!("HTTP/1.1 200 OK\r\nX-Bad: a\rContent-Length: 1\r\nContent-Length: {size}\r\n\r\n"))
}

/// Sends the text of `?head=TEXT` as the head, then the empty line that ends a head, and then the file. The
/// text must end with a line end. Each character is sent as one byte. The connection stays open, so that a
/// client waits if it does not find the end of the body.
pub(super) fn head_as_given(x: &mut Exchange) -> io::Result<bool> {
    let head = x.request.query("head").unwrap_or_default();
    let bytes: Vec<u8> = head.chars().map(|one| u8::try_from(u32::from(one)).unwrap_or(b'?')).collect();
    x.wire.write_all(&bytes)?;
    x.raw("\r\n")?;
    Ok(true)
}

/// Sends `?disposition=VALUE` as the Content-Disposition, unchanged. The response begins after
/// `?wait=SECONDS`.
pub(super) fn named(x: &mut Exchange) -> io::Result<bool> {
    let wait = x.request.query("wait").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    x.sleep(Duration::from_secs(wait));
    let value = x.request.query("disposition").unwrap_or_default();
    x.file(&[("Content-Disposition", &value)])
}

/// Sends each `NAME=VALUE` of the query as an additional header. With `&break=1`, the first response ends
/// after half of the body.
pub(super) fn headers(x: &mut Exchange) -> io::Result<bool> {
    let more = x.request.queries();
    let broken = more.iter().any(|(name, _)| name == "break") && x.visit == 0;
    let more = more.iter().filter(|(name, _)| name != "break");
    let more: Vec<(&str, &str)> = more.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if broken { x.only(x.half(), &more) } else { x.file(&more) }
}

/// Sends the text of `?body=TEXT`. `&type=TYPE` is its Content-Type. With `&wide=1`, the text is sent in
/// UTF-16.
pub(super) fn text(x: &mut Exchange) -> io::Result<bool> {
    let body = x.request.query("body").unwrap_or_default();
    let kind = x.request.query("type").unwrap_or_else(|| "application/octet-stream".into());
    let bytes = match x.request.query("wide") {
        Some(_) => format!("\u{feff}{body}").encode_utf16().flat_map(u16::to_le_bytes).collect(),
        None => body.into_bytes(),
    };
    x.respond("200 OK", &[("Content-Type", &kind)], &bytes)
}
