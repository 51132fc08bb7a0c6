//! The limits of hosts. These limits are stored for later runs in one small JSON text, `hosts.json`.
//!
//! Invariant: the text contains origins (scheme, host, port) and numbers, and nothing else. It has no path,
//! no user name and no secret, and its length is limited. A limit is used unchanged for the time `FRESH`,
//! and it is removed after the time `KEPT`.

use crate::concurrency::Learned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

/// The version of the format. A text of another version is ignored and replaced.
const VERSION: u32 = 1;

/// The highest number of hosts that are remembered. The oldest ones are removed first. Few users meet so many
/// hosts with limits, and the text stays below 100 KiB.
const MOST: usize = 500;

/// The longest text that is read, in bytes. A longer text was not written by downhaul.
pub const LONGEST: u64 = 256 * 1024;

/// After this time a host may have other limits. One more connection than the limit is then tried.
const FRESH: Duration = Duration::from_secs(86_400);

/// After this time a limit is removed, and a run has to find it again.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The limits of hosts, by origin.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Hosts(BTreeMap<String, Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The highest number of connections that the host accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connections: Option<usize>,
    /// The highest number of files that the host serves in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests: Option<f64>,
    /// The time when the limit was found, in seconds since 1970.
    at: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    hosts: BTreeMap<String, Entry>,
}

impl Hosts {
    /// Reads a text. Entries that are too old or have no valid origin are left out.
    ///
    /// # Errors
    /// Returns why the text cannot be read, in words for the user.
    pub fn read(text: &[u8], now: SystemTime) -> Result<Hosts, &'static str> {
        if text.len() as u64 > LONGEST {
            return Err("it is too long");
        }
        let text: Text = serde_json::from_slice(text).map_err(|_| "it cannot be understood")?;
        if text.version != VERSION {
            return Err("its format has another version");
        }
        let mut hosts = Hosts(text.hosts);
        hosts.0.retain(|origin, entry| is_origin(origin) && entry.is_valid() && entry.age(now) <= KEPT);
        Ok(hosts)
    }

    /// Returns the limits of this origin with which a run starts.
    pub fn known(&self, origin: &str, now: SystemTime) -> Learned {
        let Some(entry) = self.0.get(origin) else { return Learned::default() };
        let more = usize::from(entry.age(now) > FRESH);
        Learned {
            connections: entry.connections.map(|most| most.saturating_add(more)),
            requests: entry.requests,
        }
    }

    /// Records the limits that a run found.
    pub fn learn(&mut self, origin: &str, learned: Learned, now: SystemTime) {
        let old = self.0.get(origin);
        // If the limit of connections is found again within a day, it keeps its date. With a new
        // date each time, a host that is used every hour would never get one more connection.
        let is_same_limit = |old: &&Entry| {
            old.age(now) <= FRESH && old.connections == learned.connections && learned.requests.is_none()
        };
        let at = old.filter(is_same_limit).map_or(seconds(now), |old| old.at);
        let entry = Entry {
            connections: learned.connections.or(old.and_then(|old| old.connections)),
            requests: learned
                .requests
                .or(old.and_then(|old| old.requests))
                .map(|rate| (rate * 100.0).round() / 100.0),
            at,
        };
        if is_origin(origin) && entry.is_valid() {
            self.0.insert(origin.into(), entry);
        }
        while self.0.len() > MOST {
            let oldest = self.0.iter().min_by_key(|(_, entry)| entry.at).map(|(origin, _)| origin.clone());
            oldest.and_then(|origin| self.0.remove(&origin));
        }
    }

    /// Returns the content of `hosts.json`.
    pub fn text(&self) -> Vec<u8> {
        let text = Text { version: VERSION, hosts: self.0.clone() };
        let mut text = serde_json::to_vec_pretty(&text).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

impl Entry {
    /// Returns the age of the entry. A date in the future is from a wrong clock, so such an entry counts as
    /// very old.
    fn age(&self, now: SystemTime) -> Duration {
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(self.at));
        at.and_then(|at| now.duration_since(at).ok()).unwrap_or(Duration::MAX)
    }

    fn is_valid(&self) -> bool {
        self.connections != Some(0) && self.requests.is_none_or(|rate| rate > 0.0 && rate.is_finite())
    }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns true if a text consists of the scheme, host and port of a URL, and of nothing else.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.origin().is_tuple() && url.origin().ascii_serialization() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOST: &str = "https://example.com:8443";

    fn at(days: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(86_400.0 * (20_000.0 + days))
    }

    fn both_limits() -> Learned {
        Learned { connections: Some(2), requests: Some(4.5) }
    }

    #[test]
    fn limits_are_used_unchanged_for_a_day_and_kept_for_a_month() {
        let mut hosts = Hosts::default();
        hosts.learn(HOST, both_limits(), at(0.0));
        let text = hosts.text();
        let known = |days: f64| Hosts::read(&text, at(days)).expect("readable").known(HOST, at(days));
        assert_eq!(known(0.9), both_limits());
        assert_eq!(
            known(2.0),
            Learned { connections: Some(3), ..both_limits() },
            "one more connection is tried"
        );
        assert_eq!(known(31.0), Learned::default());
        assert_eq!(known(-1.0), Learned::default(), "the date is in the future");
    }

    #[test]
    fn after_a_day_one_more_connection_is_tried_even_if_the_host_is_used_every_hour() {
        let (mut hosts, limit) = (Hosts::default(), Learned { connections: Some(2), requests: None });
        for hour in 0..30 {
            let now = at(f64::from(hour) / 24.0);
            let known = hosts.known(HOST, now).connections.unwrap_or(2);
            assert_eq!(known, if hour == 25 { 3 } else { 2 }, "hour {hour}");
            // The host bans the client for the additional connection, and the same limit is found again.
            hosts.learn(HOST, limit, now);
        }
    }

    #[test]
    fn only_origins_and_numbers_are_kept() {
        let mut hosts = Hosts::default();
        for wrong in
            ["https://u:p@example.com", "https://example.com/secret", "example.com", "file:///etc", ""]
        {
            hosts.learn(wrong, both_limits(), at(0.0));
        }
        hosts.learn(HOST, Learned { connections: None, requests: Some(f64::NAN) }, at(0.0));
        assert_eq!(hosts, Hosts::default());
        let planted =
            br#"{"version":1,"hosts":{"https://h/path?token=x":{"connections":1,"at":1728000000}}}"#;
        assert_eq!(Hosts::read(planted, at(0.0)), Ok(Hosts::default()));
    }

    #[test]
    fn different_limits_of_two_runs_are_both_kept() {
        let mut hosts = Hosts::default();
        hosts.learn(HOST, Learned { connections: Some(2), requests: None }, at(0.0));
        hosts.learn(HOST, Learned { connections: None, requests: Some(4.5) }, at(0.5));
        assert_eq!(hosts.known(HOST, at(0.5)), both_limits());
    }

    #[test]
    fn the_number_of_hosts_is_limited() {
        let mut hosts = Hosts::default();
        for n in 0..MOST + 20 {
            hosts.learn(&format!("https://host{n}.example"), both_limits(), at(n as f64 / 1000.0));
        }
        assert_eq!(hosts.0.len(), MOST);
        assert!(!hosts.0.contains_key("https://host0.example"), "the oldest host is removed");
        assert!((hosts.text().len() as u64) < LONGEST);
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,200}") {
            let _ = Hosts::read(text.as_bytes(), at(0.0));
        }
    }
}
