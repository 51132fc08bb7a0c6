//! Sins of the body: where it ends, and how it breaks off.

use crate::server::exchange::Exchange;
use crate::shared_content;
use std::io;
use std::thread;
use std::time::Duration;

/// Half of what was announced, then a clean close. Once.
pub(super) fn truncated_body(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { x.only(x.half(), &[]) } else { x.file(&[]) }
}

/// Never more than 1000 bytes at a time.
pub(super) fn truncated_body_always(x: &mut Exchange) -> io::Result<bool> {
    x.only(1000, &[])
}

/// Half of it, and ranges are ignored. Once.
pub(super) fn truncated_body_without_ranges(x: &mut Exchange) -> io::Result<bool> {
    let (size, etag, body) = (x.size.to_string(), x.etag(), x.content());
    let bytes = if x.visit == 0 { x.half() } else { body.len() };
    x.head("200 OK", &[("Content-Length", &size), ("ETag", &etag)])?;
    x.wire.write_all(&body[..bytes])?;
    Ok(false)
}

/// No last chunk. Once.
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

/// A reset after half of it. Once.
pub(super) fn reset_in_mid_body(x: &mut Exchange) -> io::Result<bool> {
    if x.visit > 0 {
        return x.file(&[]);
    }
    x.only(x.half(), &[])?;
    // What was sent shall arrive before the reset takes it back.
    x.sleep(Duration::from_millis(300));
    x.wire.reset();
    Ok(false)
}

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

/// The body goes on after its announced end, with bytes that look like another reply.
pub(super) fn body_longer_than_announced(x: &mut Exchange) -> io::Result<bool> {
    x.file(&[])?;
    x.wire.write_all(b"surplus HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX")?;
    x.wire.flush()?;
    // The connection stays open: it is for the client to close it.
    x.sleep(Duration::from_secs(2));
    Ok(false)
}

/// The end of the connection is the end of the file.
pub(super) fn no_length(x: &mut Exchange) -> io::Result<bool> {
    x.raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
}

/// The first time nobody knows how long it is; parts of it are to be had all the same.
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
