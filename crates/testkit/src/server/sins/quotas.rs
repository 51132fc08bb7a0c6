//! Scripts that count the requests or transfers of all connections. If there are too many, they refuse
//! requests, cut off transfers, or ban the client for a while.

use super::logins::Nonces;
use crate::server::exchange::Exchange;
use crate::shared_content;
use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The counters of a host, over all its connections.
#[derive(Default)]
pub(in crate::server) struct Counted {
    /// The number of requests that may still be served before the next one is refused, and the time when this
    /// number was computed. The number grows with time.
    bucket: Option<(f64, Instant)>,
    /// The number of running transfers.
    transfers: usize,
    banned_until: Option<Instant>,
    pub(in crate::server) bans: usize,
    pub(in crate::server) nonces: Nonces,
}

/// With `?rate=5&burst=3` (the default), behaves like nginx with `limit_req rate=5r/s burst=3 nodelay` and
/// `limit_req_status 429`. `&status=N` sets another status.
pub(super) fn limits_requests(x: &mut Exchange) -> io::Result<bool> {
    let rate = x.number("rate").unwrap_or(5) as f64;
    // As in nginx, one request is allowed in addition to the burst.
    let most = x.number("burst").unwrap_or(3) as f64 + 1.0;
    let served = {
        let mut counted = x.counted.lock().expect("no panic");
        let now = Instant::now();
        let (tokens, at) = counted.bucket.unwrap_or((most, now));
        let tokens = (tokens + now.duration_since(at).as_secs_f64() * rate).min(most);
        let served = tokens >= 1.0;
        counted.bucket = Some((if served { tokens - 1.0 } else { tokens }, now));
        served
    };
    if served {
        return x.file(&[]);
    }
    let status = x.request.query("status").unwrap_or_else(|| "429".into());
    x.respond(&format!("{status} Too Many Requests"), &[], b"slow down\n")
}

/// Bans the client when it has more than `?most=N` transfers at once (2 by default). The ban lasts
/// `&millis=N` milliseconds (20,000 by default). During the ban, all transfers break off, and every request
/// gets a 403, or a reset if `&how=reset` is set. `&rate=N` limits each transfer, in bytes a second
/// (1,000,000 by default).
pub(super) fn bans(x: &mut Exchange) -> io::Result<bool> {
    let most = x.number("most").and_then(|most| usize::try_from(most).ok()).unwrap_or(2);
    let ban = Duration::from_millis(x.number("millis").unwrap_or(20_000));
    let banned = {
        let mut counted = x.counted.lock().expect("no panic");
        let now = Instant::now();
        let mut banned = counted.banned_until.is_some_and(|until| now < until);
        if !banned && counted.transfers >= most {
            counted.banned_until = Some(now + ban);
            counted.bans += 1;
            banned = true;
        }
        counted.transfers += usize::from(!banned);
        banned
    };
    if banned {
        if x.request.query("how").as_deref() == Some("reset") {
            x.wire.reset();
            return Ok(false);
        }
        return x.respond("403 Forbidden", &[("Connection", "close")], b"banned\n").map(|_| false);
    }
    let sent = send_until_banned(x);
    x.counted.lock().expect("no panic").transfers -= 1;
    sent
}

fn send_until_banned(x: &mut Exchange) -> io::Result<bool> {
    let rate = x.number("rate").unwrap_or(1_000_000) as f64;
    x.only(0, &[])?;
    let body = x.part().2;
    for some in body.chunks(16_384) {
        if x.counted.lock().expect("no panic").banned_until.is_some_and(|until| Instant::now() < until) {
            x.wire.reset();
            return Ok(false);
        }
        x.wire.write_all(some)?;
        thread::sleep(Duration::from_secs_f64(some.len() as f64 / rate));
    }
    x.wire.flush()?;
    Ok(true)
}

/// Refuses the first request for a file, and requests a pause of `?wait=N` seconds (2 by default).
/// `&how=ratelimit`, `older`, `x` or `202` sets the status and the header of the refusal. The default is a
/// 403 with `Retry-After`.
pub(super) fn says_too_much(x: &mut Exchange) -> io::Result<bool> {
    if x.visit > 0 {
        return x.file(&[]);
    }
    let wait = x.number("wait").unwrap_or(2);
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() + wait;
    let (seconds, time) = (wait.to_string(), at.to_string());
    let list = format!("\"day\";r=9;t=9999, \"api\";r=0;t={wait}");
    let (status, headers): (&str, Vec<(&str, &str)>) =
        match x.request.query("how").unwrap_or_default().as_str() {
            "ratelimit" => ("429 Too Many Requests", vec![("RateLimit", &list)]),
            "older" => {
                ("429 Too Many Requests", vec![("RateLimit-Remaining", "0"), ("RateLimit-Reset", &seconds)])
            }
            "x" => ("403 Forbidden", vec![("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", &time)]),
            "202" => ("202 Accepted", vec![("Retry-After", &seconds)]),
            _ => ("403 Forbidden", vec![("Retry-After", &seconds)]),
        };
    x.respond(status, &headers, b"too much\n")
}

/// Sends the file, and states that the quota is used up for the next `?wait=N` seconds (2 by default).
pub(super) fn uses_up_the_quota(x: &mut Exchange) -> io::Result<bool> {
    let list = format!("\"api\";r=0;t={}", x.number("wait").unwrap_or(2));
    let body = shared_content(&x.name, x.size);
    let etag = x.etag();
    x.respond("200 OK", &[("ETag", &etag), ("RateLimit", &list)], &body)
}
