//! Scripts whose file changes or has no validator.

use super::pace::capped;
use crate::server::exchange::Exchange;
use std::io;
use std::thread;
use std::time::Duration;

/// Sends the file without a validator. The first response ends after half of the body.
pub(super) fn no_validator(x: &mut Exchange) -> io::Result<bool> {
    let (size, body) = (x.size.to_string(), x.content());
    if x.visit == 0 {
        x.head("200 OK", &[("Content-Length", &size), ("Accept-Ranges", "bytes")])?;
        x.wire.write_all(&body[..body.len() / 2])?;
        return Ok(false);
    }
    x.respond("200 OK", &[("Accept-Ranges", "bytes")], &body)
}

/// Sends the file slowly and without a validator.
pub(super) fn without_validator(x: &mut Exchange) -> io::Result<bool> {
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

/// With `?header=NAME`, sends the file whose name is the value of the request header NAME. `?rate=N` limits
/// the bytes a second. Files whose names have the same length have the same ETag. With `?bare=1`, the
/// response has neither an ETag nor a date.
pub(super) fn chosen_by(x: &mut Exchange) -> io::Result<bool> {
    let header = x.request.query("header").unwrap_or_default();
    x.name = x.request.header(&header).unwrap_or("none").into();
    match (x.number("bare"), x.number("rate")) {
        (Some(_), _) => x.respond("200 OK", &[], &x.content()),
        (None, Some(_)) => capped(x),
        (None, None) => x.file(&[]),
    }
}

/// For the first request, sends half of the body. Later requests get another version of the same size.
pub(super) fn changed_when_continued(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 {
        return x.only(x.half(), &[]);
    }
    x.name = "changed".into();
    x.file_as(&[("ETag", "\"changed\"")])
}

/// Sends another file of the same size after `?requests=N` requests.
pub(super) fn changes_after(x: &mut Exchange) -> io::Result<bool> {
    if x.visit as u64 >= x.number("requests").unwrap_or(2) {
        x.name = "changed".into();
    }
    capped(x)
}

/// Answers every request with a new version of the same size.
pub(super) fn changes_always(x: &mut Exchange) -> io::Result<bool> {
    x.name = "v".repeat(x.visit + 1);
    capped(x)
}

/// Answers the first request with a short page and status 200.
pub(super) fn page_at_first(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 {
        return x.respond("200 OK", &[("Content-Type", "text/html")], b"<html>maintenance</html>");
    }
    x.file(&[])
}

/// For the first request, sends half of the body. In later responses, the file has a third of the size.
pub(super) fn shrinks(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 {
        return x.only(x.half(), &[]);
    }
    x.size /= 3;
    x.file(&[])
}
