//! Scripts that send slowly, stop sending, or limit the rate of a connection.

use crate::server::exchange::Exchange;
use crate::{sha256, shared_content};
use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

pub(super) fn slow_first_byte(x: &mut Exchange) -> io::Result<bool> {
    x.sleep(Duration::from_secs(30));
    Ok(false)
}

pub(super) fn slow_first_byte_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { slow_first_byte(x) } else { x.file(&[]) }
}

pub(super) fn one_byte_a_second(x: &mut Exchange) -> io::Result<bool> {
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

/// Sends 1000 bytes, and then nothing. `?disposition=VALUE` is the `Content-Disposition`.
pub(super) fn silence_in_mid_body(x: &mut Exchange) -> io::Result<bool> {
    let value = x.request.query("disposition").unwrap_or_else(|| "inline".into());
    x.only(1000, &[("Content-Disposition", &value)])?;
    x.sleep(Duration::from_secs(60));
    Ok(false)
}

pub(super) fn silence_in_mid_body_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit > 0 {
        return x.file(&[]);
    }
    x.only(x.half(), &[])?;
    x.sleep(Duration::from_secs(60));
    Ok(false)
}

/// Pauses after `?after=N` bytes of the first response, and sends the rest of this response `?pause=MS`
/// milliseconds later. With `?times=N`, each of the first N responses has such a pause. Later requests get
/// the requested bytes. With `?others=whole` they get the whole file, and with `?others=STATUS` this status.
pub(super) fn pause_in_first_body(x: &mut Exchange) -> io::Result<bool> {
    if x.visit >= x.number("times").map_or(1, |times| usize::try_from(times).unwrap_or(usize::MAX)) {
        return match x.request.query("others").as_deref() {
            None => x.file(&[]),
            Some("whole") => super::ranges::ranges_ignored(x),
            Some(status) => x.respond(&format!("{status} No"), &[], b"not now\n"),
        };
    }
    let body = x.part().2;
    let after = usize::try_from(x.number("after").unwrap_or(0)).unwrap_or(usize::MAX).min(body.len());
    x.only(after, &[])?;
    x.sleep(Duration::from_millis(x.number("pause").unwrap_or(60_000)));
    x.wire.write_all(&body[after..])?;
    x.wire.flush()?;
    Ok(true)
}

/// Sends `?rate=N` bytes a second. With `?chunked=1`, the whole file is sent without a length.
pub(super) fn slow(x: &mut Exchange) -> io::Result<bool> {
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

/// Sends at most `?rate=N` bytes a second over each connection, for all requests of the connection together.
/// `?sha256=1` adds a header with the digest of the file, and `?link=VALUE` adds a Link header. With
/// `?wait=MS`, each response begins after this many milliseconds.
pub(super) fn capped(x: &mut Exchange) -> io::Result<bool> {
    let rate = x.number("rate").unwrap_or(1_000_000) as f64;
    x.sleep(Duration::from_millis(x.number("wait").unwrap_or(0)));
    let digest = x.request.query("sha256").map(|_| sha256(&shared_content(&x.name, x.size)));
    let link = x.request.query("link");
    let mut more: Vec<(&str, &str)> = Vec::new();
    more.extend(digest.as_ref().map(|digest| ("X-Checksum-SHA256", digest.as_str())));
    more.extend(link.as_ref().map(|link| ("Link", link.as_str())));
    x.trickle(rate, &more)
}

/// Sends 100,000 bytes and then no more on the connections 2, 6, 10 and so on. On the other connections, it
/// does the same as [`capped`].
pub(super) fn silent_connection(x: &mut Exchange) -> io::Result<bool> {
    if x.request.connection % 4 != 2 {
        return capped(x);
    }
    x.only(100_000, &[])?;
    x.sleep(Duration::from_secs(60));
    Ok(false)
}

/// Sends at most `?rate=N` bytes a second over each connection. The connections 2, 6, 10 and so on get a
/// fortieth of this rate.
pub(super) fn crawling_connection(x: &mut Exchange) -> io::Result<bool> {
    let rate = x.number("rate").unwrap_or(1_000_000) as f64;
    let slow = x.request.connection % 4 == 2;
    x.trickle(if slow { rate / 40.0 } else { rate }, &[])
}
