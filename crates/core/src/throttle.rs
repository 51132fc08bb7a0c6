//! Decides what to do if a host says that it gets too many requests: *pause*, use *fewer* connections, or
//! *fail*.
//!
//! [`read_waits`] reads how long a client must wait after a response, and [`decide`] makes the decision.
//! These are signs of too many requests:
//!
//! - the statuses 425, 429 and 503;
//! - `Retry-After` with 202, 403, 408, 413, 425, 429 or 5xx;
//! - quotas that are used up (`RateLimit` and its older forms);
//! - bans by hosts that count connections.
//!
//! Invariant: [`decide`] returns no pause that is longer than [`LONGEST_PAUSE`]. If a host names a longer
//! wait, the decision is to fail.

use crate::error::ErrorKind;
use crate::http_response;
use crate::retry::LONGEST_PAUSE;
use http::HeaderMap;
use sfv::{BareItem, Item, List, ListEntry, Parser};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A number in `X-RateLimit-Reset` or a similar header is a time in seconds since 1970, and not a wait, if it
/// is at least this number. As a wait, the number would be more than thirty years.
const EPOCH_FROM: u64 = 1_000_000_000;

/// A number in `X-RateLimit-Reset` or a similar header is a time in milliseconds since 1970 if it is at least
/// this number. In seconds, the number would be more than thirty thousand years.
const EPOCH_MILLIS_FROM: u64 = 1_000_000_000_000;

/// The waits that a response asks for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// The wait before the failed request may be sent again.
    pub again: Option<Duration>,
    /// The wait before any further request to the host, even if the present request succeeded. It is longer
    /// than [`LONGEST_PAUSE`] only if the host refused the request because of too many requests. A 503 with a
    /// long wait may concern only one file.
    pub next: Option<Duration>,
}

/// The reaction to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Pause, because the host named a time. The next request does not count as a retry.
    Pause(Duration),
    /// Use fewer connections or send fewer requests, because their number is the likely cause and the host
    /// named no time. The next request does not count as a retry either.
    Fewer,
    /// Treat the failure as a failure of this kind.
    Fail(ErrorKind),
}

/// The state of a host when a request to it failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// True if the host sent bytes a moment ago.
    pub serves_others: bool,
    /// True if the failure may be a ban, because the number of connections reached a new maximum a moment
    /// ago, or because an earlier ban has not ended.
    pub bans: bool,
}

/// Returns the waits that the head of a response asks for. `now` is the wall clock.
pub fn read_waits(status: u16, headers: &HeaderMap, now: SystemTime) -> Waits {
    // Some servers send `Retry-After` with every error. A file that is missing now is still missing a few
    // seconds later.
    let is_for_now = matches!(status, 202 | 403 | 408 | 413 | 425 | 429 | 500..);
    let used_up = used_up(headers, now);
    // A 404 means that there is no such file, even if a quota is used up.
    let refused = matches!(status, 403 | 425 | 429 | 503);
    let again =
        http_response::retry_after(headers, now).filter(|_| is_for_now).or(used_up.filter(|_| refused));
    let is_for_the_host = status == 429 || (refused && used_up.is_some());
    let next = again.or(used_up).filter(|wait| is_for_the_host || *wait <= LONGEST_PAUSE);
    Waits { again, next }
}

/// Decides what to do after a failure of this kind. `again` is the wait that the host named, and `host` is
/// the state of the host when the request failed.
pub fn decide(kind: ErrorKind, again: Option<Duration>, host: Circumstances) -> Decision {
    match again {
        Some(wait) if wait > LONGEST_PAUSE => Decision::Fail(ErrorKind::HttpLater),
        Some(wait) => Decision::Pause(wait),
        None if host.bans && may_be_a_ban(kind) => Decision::Fewer,
        None if host.serves_others && kind == ErrorKind::HttpBusy => Decision::Fewer,
        None => Decision::Fail(kind),
    }
}

/// Returns true if a failure of this kind may be a refusal by a host that counts connections. Such a host
/// forbids the request, answers that it is busy, or refuses or closes the connection.
pub fn may_be_a_ban(kind: ErrorKind) -> bool {
    is_refusal(kind) || matches!(kind, ErrorKind::NetReset | ErrorKind::HttpTruncated | ErrorKind::TlsFailed)
}

/// Returns true if a failure of this kind may be a refusal by a host that serves only a certain number of
/// connections at the same time. Such a host refuses, ignores or closes further connections. An answer that
/// the host is busy does not count, because it may limit the requests in a second.
pub fn may_be_too_many(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectRefused
            | ErrorKind::ConnectTimeout
            | ErrorKind::ConnectFailed
            | ErrorKind::NetReset
            | ErrorKind::TlsFailed
    )
}

/// Returns true if a failure of this kind is a refusal by the host, and not a fault of the network.
pub fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::HttpForbidden | ErrorKind::HttpBusy | ErrorKind::ConnectRefused)
}

/// Returns the time until a quota is renewed, if it is used up. These headers are read: `RateLimit:
/// "api";r=0;t=55` (draft-ietf-httpapi-ratelimit-headers-10), `RateLimit: limit=9, remaining=0, reset=55`
/// (draft 07), and `RateLimit-Remaining: 0` with `RateLimit-Reset` (draft 02). The last form also occurs with
/// names that begin with `X-RateLimit-` or `X-Rate-Limit-`. These names are older than the drafts, and their
/// reset value is either a wait or a time.
fn used_up(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    // Most responses have no such header. For these responses, none of the names is looked up.
    headers.keys().find(|name| name.as_str().as_bytes().windows(4).any(|part| part == b"rate"))?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let structured = headers.get_all("ratelimit").iter().filter_map(|value| of_list(value.as_bytes())).max();
    if structured.is_some() {
        return structured;
    }
    let forms = ["ratelimit", "x-ratelimit", "x-rate-limit"].into_iter().filter_map(|form| {
        let left: u64 = text(&format!("{form}-remaining"))?.parse().ok()?;
        let reset: u64 = text(&format!("{form}-reset"))?.parse().ok()?;
        (left == 0).then(|| until(reset, headers, now))
    });
    forms.max()
}

/// Returns the wait for the value `reset` of a header. A small number is a wait in seconds, and a large
/// number is a time since 1970.
fn until(reset: u64, headers: &HeaderMap, now: SystemTime) -> Duration {
    let since_1970 = match reset {
        EPOCH_MILLIS_FROM.. => Duration::from_millis(reset),
        EPOCH_FROM.. => Duration::from_secs(reset),
        _ => return Duration::from_secs(reset),
    };
    // The server's clock may differ from the local one.
    let now = http_response::date_of(headers).unwrap_or(now);
    let passed = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    since_1970.saturating_sub(passed)
}

/// Reads the value of a `RateLimit` header. Returns the longest of the waits for quotas that are used up.
fn of_list(value: &[u8]) -> Option<Duration> {
    let number = |item: Option<&BareItem>| item.and_then(BareItem::as_integer).map(i64::from);
    let seconds = |wait: i64| Duration::from_secs(u64::try_from(wait).unwrap_or_default());
    if let Ok(list) = Parser::new(value).parse::<List>() {
        let items = list.iter().filter_map(|entry| match entry {
            ListEntry::Item(item) if number(item.params.get("r")) == Some(0) => number(item.params.get("t")),
            _ => None,
        });
        return items.max().map(seconds);
    }
    let dictionary = Parser::new(value).parse::<sfv::Dictionary>().ok()?;
    let member = |key: &str| match dictionary.get(key) {
        Some(ListEntry::Item(Item { bare_item, .. })) => number(Some(bare_item)),
        _ => None,
    };
    (member("remaining") == Some(0)).then(|| member("reset")).flatten().map(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    const NOW: u64 = 1_800_000_000;

    fn read(status: u16, pairs: &[(&'static str, &str)]) -> (Option<u64>, Option<u64>) {
        let pairs = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().expect("a value")));
        let waits = read_waits(status, &pairs.collect(), UNIX_EPOCH + Duration::from_secs(NOW));
        (waits.again.map(|wait| wait.as_secs()), waits.next.map(|wait| wait.as_secs()))
    }

    #[test]
    fn every_form_of_a_used_up_quota_is_read() {
        let soon = (NOW + 55).to_string();
        let soon_ms = ((NOW + 55) * 1000).to_string();
        for pairs in [
            vec![("retry-after", "55")],
            vec![("ratelimit", "\"api\";r=0;t=55")],
            vec![("ratelimit", "\"day\";r=9;t=9999, \"api\";r=0;t=55")],
            vec![("ratelimit", "limit=100, remaining=0, reset=55")],
            vec![("ratelimit-remaining", "0"), ("ratelimit-reset", "55")],
            vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "55")],
            vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", soon.as_str())],
            vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", soon_ms.as_str())],
            vec![("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", soon.as_str())],
        ] {
            for status in [403, 429, 503] {
                assert_eq!(read(status, &pairs), (Some(55), Some(55)), "{status} {pairs:?}");
            }
            let wait = pairs[0].0 != "retry-after";
            assert_eq!(
                read(200, &pairs),
                (None, wait.then_some(55)),
                "only the next request must wait: {pairs:?}"
            );
        }
        assert_eq!(read(202, &[("retry-after", "5")]), (Some(5), Some(5)));
        assert_eq!(
            read(404, &[("ratelimit", "\"api\";r=0;t=5")]),
            (None, Some(5)),
            "a request whose response is 404 is not sent again"
        );
        for status in [404, 405, 410, 416] {
            assert_eq!(read(status, &[("retry-after", "5")]), (None, None), "{status}");
        }
    }

    #[test]
    fn a_long_wait_applies_to_the_whole_host_only_after_too_many_requests() {
        let quota = ("x-ratelimit-remaining", "0");
        for (status, pairs, next) in [
            (429, vec![("retry-after", "3600")], Some(3600)),
            (403, vec![quota, ("x-ratelimit-reset", "3600")], Some(3600)),
            (403, vec![quota, ("retry-after", "3600"), ("x-ratelimit-reset", "3600")], Some(3600)),
            (503, vec![("retry-after", "3600")], None),
            (404, vec![("retry-after", "3600")], None),
            (200, vec![quota, ("x-ratelimit-reset", "3600")], None),
            (503, vec![("retry-after", "120")], Some(120)),
        ] {
            assert_eq!(read(status, &pairs).1, next, "{status} {pairs:?}");
        }
    }

    #[test]
    fn a_quota_that_is_left_or_cannot_be_read_needs_no_wait() {
        for pairs in [
            vec![("ratelimit", "\"api\";r=1;t=55")],
            vec![("ratelimit", "\"api\";r=0")],
            vec![("ratelimit", "0, 5, ;;")],
            vec![("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "55")],
            vec![("x-ratelimit-remaining", "0")],
            vec![("x-ratelimit-remaining", "none"), ("x-ratelimit-reset", "soon")],
        ] {
            assert_eq!(read(429, &pairs), (None, None), "{pairs:?}");
        }
    }

    #[test]
    fn a_failure_leads_to_a_pause_to_fewer_connections_or_stays_a_failure() {
        let (second, none) = (Duration::from_secs(1), Circumstances::default());
        let serves = Circumstances { serves_others: true, ..none };
        let bans = Circumstances { bans: true, ..none };
        assert_eq!(decide(ErrorKind::HttpForbidden, Some(second), none), Decision::Pause(second));
        assert_eq!(
            decide(ErrorKind::HttpBusy, Some(LONGEST_PAUSE * 2), bans),
            Decision::Fail(ErrorKind::HttpLater)
        );
        assert_eq!(decide(ErrorKind::HttpBusy, None, none), Decision::Fail(ErrorKind::HttpBusy));
        assert_eq!(decide(ErrorKind::HttpBusy, None, serves), Decision::Fewer);
        assert_eq!(decide(ErrorKind::HttpForbidden, None, serves), Decision::Fail(ErrorKind::HttpForbidden));
        assert_eq!(decide(ErrorKind::HttpForbidden, None, bans), Decision::Fewer);
        assert_eq!(decide(ErrorKind::NetReset, None, bans), Decision::Fewer);
        assert_eq!(decide(ErrorKind::HttpNotFound, None, bans), Decision::Fail(ErrorKind::HttpNotFound));
    }
}
