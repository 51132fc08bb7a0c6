//! Scripts that answer with an unusual status: the server is busy or refuses, it redirects, or the file is
//! gone.

use super::pace::capped;
use crate::server::exchange::Exchange;
use std::io;
use std::time::{Duration, SystemTime};

/// Answers the first request as [`busy_always`] does, and sends the file for later requests.
pub(super) fn busy_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { busy_always(x) } else { x.file(&[]) }
}

/// Answers with the status `?status=N` (503 by default). With `&after=VALUE`, the response has the header
/// Retry-After with this value. With `&after=dateN`, the value is the date N seconds in the future. N
/// may be negative.
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
        x.respond(&status, &[], b"busy")
    } else {
        x.respond(&status, &[("Retry-After", &after)], b"busy")
    }
}

/// Answers the first request with the status `?status=N` (500 by default), and sends the file for later
/// requests.
pub(super) fn fails_once(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { fails_always(x) } else { x.file(&[]) }
}

/// Answers the first `&times=N` requests with the status `?status=N` (500 by default). Without `times`,
/// answers all requests with this status.
pub(super) fn fails_always(x: &mut Exchange) -> io::Result<bool> {
    let times = x.request.query("times").and_then(|times| times.parse().ok()).unwrap_or(usize::MAX);
    if x.visit >= times {
        return x.file(&[]);
    }
    status(x)
}

/// Always answers with the status `?status=N` (500 by default), the body `&body=TEXT`, and the header
/// `&header=Name: value`.
pub(super) fn status(x: &mut Exchange) -> io::Result<bool> {
    let status = x.request.query("status").unwrap_or_else(|| "500".into());
    let body = x.request.query("body").unwrap_or_else(|| "sorry\n".into());
    let header = x.request.query("header").unwrap_or_else(|| "X-Sin: status".into());
    let header = header.split_once(": ").unwrap_or(("X-Sin", "status"));
    x.respond(&format!("{status} Sin"), &[header], body.as_bytes())
}

/// Redirects each request to a new signed link. The first link has expired already.
pub(super) fn expired_link(x: &mut Exchange) -> io::Result<bool> {
    match x.request.query("link") {
        None => {
            let link = format!("/expired_link/{}/{}?link={}", x.size, x.name, x.visit);
            x.respond("302 Found", &[("Location", &link)], b"")
        }
        Some(link) if link == "0" => x.respond("403 Forbidden", &[], b"expired"),
        Some(_) => x.file(&[]),
    }
}

/// Redirects each request to another mirror. The first `?missing=N` mirrors (1 by default) do not have the
/// file, and answer with `&status=N` (404 by default).
pub(super) fn picks_mirrors(x: &mut Exchange) -> io::Result<bool> {
    let number = |key| x.request.query(key).and_then(|number| number.parse::<usize>().ok());
    let (missing, status) = (number("missing").unwrap_or(1), number("status").unwrap_or(404));
    match number("mirror") {
        None => {
            let query = format!("mirror={}&missing={missing}&status={status}", x.visit);
            let mirror = format!("/picks_mirrors/{}/{}?{query}", x.size, x.name);
            x.respond("302 Found", &[("Location", &mirror)], b"")
        }
        Some(mirror) if mirror < missing => x.respond(&format!("{status} Sin"), &[], b"not here\n"),
        Some(_) => x.file(&[]),
    }
}

/// Redirects to the URL in `?to=URL`, with the status `&status=N` (302 by default).
pub(super) fn redirect(x: &mut Exchange) -> io::Result<bool> {
    let to = x.request.query("to").unwrap_or_default();
    let status = x.request.query("status").unwrap_or_else(|| "302".into());
    x.respond(&format!("{status} Elsewhere"), &[("Location", &to)], b"elsewhere")
}

/// Sends `?hops=N` relative redirects and then the file. Without `hops`, the redirects never end.
pub(super) fn redirect_chain(x: &mut Exchange) -> io::Result<bool> {
    match x.request.query("hops").map(|hops| hops.parse::<u32>().unwrap_or(0)) {
        Some(0) => x.file(&[]),
        Some(hops) => {
            let to = format!("{}?hops={}", x.name, hops - 1);
            x.respond("301 Moved Permanently", &[("Location", &to)], b"")
        }
        None => {
            let to = x.request.target.clone();
            x.respond("302 Found", &[("Location", &to)], b"")
        }
    }
}

/// Refuses each further connection while four are open. `?how=` is the status of the refusal, or `reset`. The
/// other connections have a limited rate.
pub(super) fn refuses_the_fifth(x: &mut Exchange) -> io::Result<bool> {
    if x.open <= 4 {
        return capped(x);
    }
    match x.request.query("how").unwrap_or_default().as_str() {
        "reset" => x.wire.reset(),
        status => {
            let status = format!("{status} Too Many");
            x.respond(&status, &[("Connection", "close")], b"too many connections\n")?;
        }
    }
    Ok(false)
}

/// Sends the file for the first request to a URL, and refuses all later requests to this URL.
pub(super) fn one_request_only(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { capped(x) } else { x.respond("403 Forbidden", &[], b"used up\n") }
}

/// For the first request, sends half of the body. Answers later requests with 404.
pub(super) fn gone_after_half(x: &mut Exchange) -> io::Result<bool> {
    if x.visit == 0 { x.only(x.half(), &[]) } else { x.respond("404 Not Found", &[], b"") }
}

/// Serves only requests with GET, as small server programs do.
pub(super) fn get_only(x: &mut Exchange) -> io::Result<bool> {
    match x.request.method.as_str() {
        "GET" => x.file(&[]),
        _ => x.respond("405 Method Not Allowed", &[("Allow", "GET")], b""),
    }
}

/// Answers HEAD as if the file were empty. Some programs do this, because they count the bytes of the body
/// that they send.
pub(super) fn head_says_nothing(x: &mut Exchange) -> io::Result<bool> {
    match x.request.method.as_str() {
        "HEAD" => x.respond("200 OK", &[], b""),
        _ => x.file(&[]),
    }
}
