//! Sins of the status: busy, refused, elsewhere, gone.

use super::pace::capped;
use crate::server::exchange::Exchange;
use std::io;
use std::time::{Duration, SystemTime};

/// `?status=503&after=VALUE` once: a Retry-After of that value. `after=+N` is a date N seconds from now.
pub(super) fn busy_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { busy_always(x) } else { x.file(&[]) }
}

pub(super) fn busy_always(x: &mut Exchange) -> io::Result<bool> {
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
pub(super) fn fails_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { fails_always(x) } else { x.file(&[]) }
}

/// `?status=502&times=2`: so many times, or always.
pub(super) fn fails_always(x: &mut Exchange) -> io::Result<bool> {
    let times = x.request.query("times").and_then(|times| times.parse().ok()).unwrap_or(usize::MAX);
    if x.visit >= times {
        return x.file(&[]);
    }
    status(x)
}

/// `?status=404`, always.
pub(super) fn status(x: &mut Exchange) -> io::Result<bool> {
    let status = x.request.query("status").unwrap_or_else(|| "500".into());
    x.reply(&format!("{status} Sin"), &[], b"sorry\n")
}

/// Redirects to a signed link; the first link that it gives has expired.
pub(super) fn expired_link(x: &mut Exchange) -> io::Result<bool> {
    match x.request.query("link") {
        None => {
            let link = format!("/expired_link/{}/{}?link={}", x.size, x.name, x.visit);
            x.reply("302 Found", &[("Location", &link)], b"")
        }
        Some(link) if link == "0" => x.reply("403 Forbidden", &[], b"expired"),
        Some(_) => x.file(&[]),
    }
}

/// Redirects to a mirror; the first `?missing=N` that it picks do not have the file, and answer with `&status=404`.
pub(super) fn picks_mirrors(x: &mut Exchange) -> io::Result<bool> {
    let number = |key| x.request.query(key).and_then(|number| number.parse::<usize>().ok());
    let (missing, status) = (number("missing").unwrap_or(1), number("status").unwrap_or(404));
    match number("mirror") {
        None => {
            let query = format!("mirror={}&missing={missing}&status={status}", x.visit);
            let mirror = format!("/picks_mirrors/{}/{}?{query}", x.size, x.name);
            x.reply("302 Found", &[("Location", &mirror)], b"")
        }
        Some(mirror) if mirror < missing => x.reply(&format!("{status} Sin"), &[], b"not here\n"),
        Some(_) => x.file(&[]),
    }
}

/// `?to=URL`.
pub(super) fn redirect(x: &mut Exchange) -> io::Result<bool> {
    let to = x.request.query("to").unwrap_or_default();
    x.reply("302 Found", &[("Location", &to)], b"elsewhere")
}

/// `?hops=N`: N redirects, relative ones, then the file. Without it: for ever.
pub(super) fn redirect_chain(x: &mut Exchange) -> io::Result<bool> {
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

/// Who comes fifth is refused: `?how=503`, `429`, or `reset`. The others are capped.
pub(super) fn refuses_the_fifth(x: &mut Exchange) -> io::Result<bool> {
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
pub(super) fn one_request_only(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { capped(x) } else { x.reply("403 Forbidden", &[], b"used up\n") }
}

/// Half of it, and then nobody has ever heard of it.
pub(super) fn gone_after_half(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { x.only(x.half(), &[]) } else { x.reply("404 Not Found", &[], b"") }
}

/// It knows GET alone, as programs do that answer by themselves.
pub(super) fn get_only(x: &mut Exchange) -> io::Result<bool> {
    match x.request.method.as_str() {
        "GET" => x.file(&[]),
        _ => x.reply("405 Method Not Allowed", &[("Allow", "GET")], b""),
    }
}

/// It answers HEAD as if the file were empty, as programs do that count what they send.
pub(super) fn head_says_nothing(x: &mut Exchange) -> io::Result<bool> {
    match x.request.method.as_str() {
        "HEAD" => x.reply("200 OK", &[], b""),
        _ => x.file(&[]),
    }
}
