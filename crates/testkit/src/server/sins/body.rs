//! Scripts for unusual bodies: the body ends at the wrong place, is interrupted, or has a framing that makes
//! its end hard to find. Some of these bodies follow HTTP, but not every client can read them.

use crate::server::exchange::Exchange;
use crate::shared_content;
use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// For the first request, sends half of the announced bytes and then closes the connection.
pub(super) fn truncated_body(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { x.only(x.half(), &[]) } else { x.file(&[]) }
}

/// Sends at most 1000 bytes in each response and then closes the connection.
pub(super) fn truncated_body_always(x: &mut Exchange) -> io::Result<bool> {
    x.only(1000, &[])
}

/// For the first request, sends half of the announced bytes and then closes the connection. Ranges are
/// ignored in every response.
pub(super) fn truncated_body_without_ranges(x: &mut Exchange) -> io::Result<bool> {
    let (size, etag, body) = (x.size.to_string(), x.etag(), x.content());
    let bytes = if x.visit == 0 { x.half() } else { body.len() };
    x.head("200 OK", &[("Content-Length", &size), ("ETag", &etag)])?;
    x.wire.write_all(&body[..bytes])?;
    Ok(false)
}

/// For the first request, sends half of the file as one chunk of a chunked body, and then closes the
/// connection without the last chunk.
pub(super) fn truncated_chunked_body(x: &mut Exchange) -> io::Result<bool> {
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

/// For the first request, resets the connection after half of the body.
pub(super) fn reset_in_mid_body(x: &mut Exchange) -> io::Result<bool> {
    if x.visit > 0 {
        return x.file(&[]);
    }
    x.only(x.half(), &[])?;
    // The bytes must arrive before the reset, because a reset discards bytes that are on their way.
    x.sleep(Duration::from_millis(300));
    x.wire.reset();
    Ok(false)
}

/// Sends the file in a chunked body, with chunk extensions and a trailer.
pub(super) fn chunked_body(x: &mut Exchange) -> io::Result<bool> {
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

/// Sends a chunk whose size has no end. The size begins with the value of `?line=`. The value of `&again=`
/// is then repeated without end.
pub(super) fn endless_chunk_size(x: &mut Exchange) -> io::Result<bool> {
    x.head("200 OK", &[("Transfer-Encoding", "chunked")])?;
    let again = x.request.query("again").unwrap_or("0".into()).repeat(10_000);
    x.wire.write_all(x.request.query("line").unwrap_or_default().as_bytes())?;
    while !x.over.load(Ordering::Relaxed) {
        x.wire.write_all(again.as_bytes())?;
    }
    Ok(false)
}

/// Sends the file. After the announced end of the body, sends bytes that look like another response.
pub(super) fn body_longer_than_announced(x: &mut Exchange) -> io::Result<bool> {
    x.file(&[])?;
    x.wire.write_all(b"surplus HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX")?;
    x.wire.flush()?;
    // The connection stays open for two seconds, so that the client is the first to close it.
    x.sleep(Duration::from_secs(2));
    Ok(false)
}

/// Sends the file without a length. The end of the connection is the end of the file.
pub(super) fn no_length(x: &mut Exchange) -> io::Result<bool> {
    x.raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
}

/// Sends the file slowly and without a length, if it is requested from its first byte on. Other ranges are
/// served as usual.
pub(super) fn grows(x: &mut Exchange) -> io::Result<bool> {
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
