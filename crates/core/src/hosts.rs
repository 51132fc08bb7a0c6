//! Reads and writes the facts that runs learned about hosts: their limits, and the numbers with which later
//! runs start. All of these facts are stored in one small JSON text, `hosts.json`.
//!
//! Invariant: the text contains origins (scheme, host, port), numbers and fixed words, and nothing else. It
//! has no path, no user name and no secret, and its length is limited. A run starts with the stored limits.
//! If a limit is older than `FRESH`, the run may use one more connection. Limits and numbers that are older
//! than `KEPT` are removed.

use crate::concurrency::{Learned, Level, Spoke};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

/// The version of the format that is written. Version 1 had limits only. A text of a later version is ignored
/// and replaced.
const VERSION: u32 = 2;

/// The highest number of hosts that are remembered. If there are more, the oldest host without limits is
/// removed, or the oldest of all hosts if each has limits.
const MOST: usize = 500;

/// The longest text that is read and written, in bytes. A longer text was not written by downhaul.
pub const LONGEST: u64 = 256 * 1024;

/// After this time, the limits of a host may have changed. A run then tries one more connection than the
/// stored limit.
const FRESH: Duration = Duration::from_secs(86_400);

/// After this time the limits or the other numbers of an entry are removed, and a run has to find them again.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The known facts about hosts, by origin.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Hosts(BTreeMap<String, Entry>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The highest number of connections that the host accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connections: Option<usize>,
    /// The highest number of files that the host serves in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests: Option<f64>,
    /// The time when the limits were found, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    /// The best numbers of connections and of files at once, and the HTTP version that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Start>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    /// See [`Learned::best`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    best: Option<Level>,
    /// See [`Learned::files`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Level>,
    /// See [`Learned::http`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<Spoke>,
    /// The time when these numbers were found, in seconds since 1970.
    at: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    hosts: BTreeMap<String, Entry>,
}

impl Hosts {
    /// Reads a text. Parts of entries that are too old are left out, and so are entries that are not valid or
    /// have no valid origin.
    ///
    /// # Errors
    /// Returns the reason why the text cannot be read, in words for the user.
    pub fn read(text: &[u8], now: SystemTime) -> Result<Hosts, &'static str> {
        if text.len() as u64 > LONGEST {
            return Err("it is too long");
        }
        let text: Text = serde_json::from_slice(text).map_err(|_| "it cannot be understood")?;
        if !(1..=VERSION).contains(&text.version) {
            return Err("its format has another version");
        }
        let kept = text.hosts.into_iter().filter(|(origin, _)| is_origin(origin));
        let kept = kept.map(|(origin, entry)| (origin, entry.without_old(now)));
        Ok(Hosts(kept.filter(|(_, entry)| *entry != Entry::default() && entry.is_valid()).collect()))
    }

    /// Returns the limits and numbers with which a run starts at this origin.
    pub fn known(&self, origin: &str, now: SystemTime) -> Learned {
        let Some(entry) = self.0.get(origin) else { return Learned::default() };
        let more = usize::from(entry.at.is_some_and(|at| age(at, now) > FRESH));
        let start = entry.start.unwrap_or_default();
        Learned {
            connections: entry.connections.map(|most| most.saturating_add(more)),
            requests: entry.requests,
            refused: false,
            best: start.best,
            files: start.files,
            http: start.http,
        }
    }

    /// Records what a run found. Facts that the run did not find stay as they were. If the origin or a number
    /// is not valid, nothing is recorded.
    pub fn learn(&mut self, origin: &str, learned: Learned, now: SystemTime) {
        let old = self.0.get(origin).copied().unwrap_or_default();
        let entry = Entry { start: old.start_after(learned, now), ..old.limits_after(learned, now) };
        if is_origin(origin) && entry != Entry::default() && entry.is_valid() {
            self.0.insert(origin.into(), entry);
        }
        while self.0.len() > MOST {
            self.remove_oldest();
        }
    }

    /// Returns the content of `hosts.json`. If it would be longer than [`LONGEST`], the oldest hosts are left
    /// out.
    pub fn text(&self) -> Vec<u8> {
        let mut hosts = self.clone();
        loop {
            let text = Text { version: VERSION, hosts: hosts.0.clone() };
            let mut text = serde_json::to_vec_pretty(&text).unwrap_or_default();
            text.push(b'\n');
            if text.len() as u64 <= LONGEST || hosts.0.is_empty() {
                return text;
            }
            hosts.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        let oldest = self.0.iter().min_by_key(|(_, entry)| (entry.at, entry.start.map(|start| start.at)));
        let oldest = oldest.map(|(origin, _)| origin.clone());
        oldest.and_then(|origin| self.0.remove(&origin));
    }
}

impl Entry {
    /// Returns the entry without its parts that are too old.
    fn without_old(self, now: SystemTime) -> Entry {
        let start = self.start.filter(|start| age(start.at, now) <= KEPT);
        match self.at.is_some_and(|at| age(at, now) <= KEPT) {
            true => Entry { start, ..self },
            false => Entry { start, ..Entry::default() },
        }
    }

    /// Returns the entry after a run that found the limits in `learned`.
    fn limits_after(self, learned: Learned, now: SystemTime) -> Entry {
        if learned.connections.is_none() && learned.requests.is_none() {
            return self;
        }
        // The stored date stays if it is at most a day old, unless another limit of connections was found. If
        // each run wrote a new date, a host that is used every hour would never get one more connection. An
        // older date also stays if the run found no limit of connections and no file was refused: such a run
        // has only raised the rate of requests.
        let keeps_date = |at: &u64| {
            let is_fresh = age(*at, now) <= FRESH;
            match learned.connections {
                None => is_fresh || !learned.refused,
                found => is_fresh && self.connections == found,
            }
        };
        let rounded = |rate: f64| (rate * 100.0).round() / 100.0;
        Entry {
            connections: learned.connections.or(self.connections),
            requests: learned.requests.or(self.requests).map(rounded),
            at: self.at.filter(keeps_date).or(Some(seconds(now))),
            ..self
        }
    }

    /// Returns the numbers with which the next run starts, after a run that found the numbers in `learned`.
    /// If these are about the same as the stored numbers, the stored date stays for a day. If each run wrote
    /// a new date, every run would write the file.
    fn start_after(self, learned: Learned, now: SystemTime) -> Option<Start> {
        let old = self.start.unwrap_or_default();
        let level = |old: Option<Level>, new: Option<Level>| match (old, new) {
            (Some(old), Some(new)) if old.is_similar(&new) => Some(old),
            (old, new) => new.map(rounded).or(old),
        };
        let found = learned.best.is_some() || learned.files.is_some() || learned.http.is_some();
        let new = Start {
            best: level(old.best, learned.best),
            files: level(old.files, learned.files),
            http: learned.http.or(old.http),
            ..old
        };
        let is_new = new != old || age(old.at, now) > FRESH;
        if found && is_new { Some(Start { at: seconds(now), ..new }) } else { self.start }
    }

    fn is_valid(&self) -> bool {
        let start = self.start.unwrap_or_default();
        self.connections != Some(0)
            && self.requests.is_none_or(|rate| rate > 0.0 && rate.is_finite())
            && start.best.iter().chain(&start.files).all(Level::is_valid)
    }
}

/// Returns a level whose goodput is a whole number.
fn rounded(level: Level) -> Level {
    Level { goodput: level.goodput.map(f64::round), ..level }
}

/// Returns the time since `at`, which is in seconds since 1970. A date in the future is from a wrong clock,
/// so it counts as very old.
fn age(at: u64, now: SystemTime) -> Duration {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(at));
    at.and_then(|at| now.duration_since(at).ok()).unwrap_or(Duration::MAX)
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
        Learned { connections: Some(2), requests: Some(4.5), ..Learned::default() }
    }

    /// Returns the result of a run that found this number of connections with this goodput, and HTTP/2.
    fn best(number: usize, goodput: f64) -> Learned {
        let best = Some(Level { number, goodput: Some(goodput), far: true });
        Learned { best, http: Some(Spoke::Http2), ..Learned::default() }
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
        let (mut hosts, limit) = (Hosts::default(), Learned { connections: Some(2), ..Learned::default() });
        for hour in 0..30 {
            let now = at(f64::from(hour) / 24.0);
            let known = hosts.known(HOST, now).connections.unwrap_or(2);
            assert_eq!(known, if hour == 25 { 3 } else { 2 }, "hour {hour}");
            // The host bans the client for the additional connection, and the same limit is found again.
            hosts.learn(HOST, limit, now);
        }
    }

    #[test]
    fn a_higher_rate_of_requests_is_stored_and_does_not_make_a_limit_last_longer() {
        let mut hosts = Hosts::default();
        hosts.learn(HOST, both_limits(), at(0.0));
        for day in 1..30 {
            let rate = Some(4.5 + f64::from(day));
            hosts.learn(HOST, Learned { requests: rate, ..Learned::default() }, at(f64::from(day)));
        }
        assert_eq!(hosts.known(HOST, at(29.0)).requests, Some(33.5));
        assert_eq!(Hosts::read(&hosts.text(), at(31.0)), Ok(Hosts::default()));
    }

    #[test]
    fn refused_requests_do_not_keep_a_host_from_getting_one_more_connection() {
        let mut hosts = Hosts::default();
        hosts.learn(HOST, both_limits(), at(0.0));
        for hour in 1..30 {
            let now = at(f64::from(hour) / 24.0);
            let known = hosts.known(HOST, now).connections;
            assert_eq!(known, Some(if hour == 25 { 3 } else { 2 }), "hour {hour}");
            hosts.learn(HOST, Learned { requests: Some(4.5), refused: true, ..Learned::default() }, now);
        }
    }

    #[test]
    fn a_limit_that_a_host_still_enforces_is_not_forgotten() {
        let mut hosts = Hosts::default();
        for day in 0..40 {
            let run = Learned { requests: Some(4.5 + f64::from(day)), refused: true, ..Learned::default() };
            hosts.learn(HOST, run, at(f64::from(day)));
        }
        let read = Hosts::read(&hosts.text(), at(45.0)).expect("readable");
        assert_eq!(read.known(HOST, at(45.0)).requests, Some(43.5));
    }

    #[test]
    fn only_origins_and_numbers_are_kept() {
        let mut hosts = Hosts::default();
        for wrong in
            ["https://u:p@example.com", "https://example.com/secret", "example.com", "file:///etc", ""]
        {
            hosts.learn(wrong, both_limits(), at(0.0));
        }
        hosts.learn(HOST, best(0, 1.0), at(0.0));
        hosts.learn(HOST, best(1, f64::INFINITY), at(0.0));
        hosts.learn(HOST, Learned { requests: Some(f64::NAN), ..Learned::default() }, at(0.0));
        assert_eq!(hosts, Hosts::default());
        let planted =
            br#"{"version":1,"hosts":{"https://h/path?token=x":{"connections":1,"at":1728000000}}}"#;
        assert_eq!(Hosts::read(planted, at(0.0)), Ok(Hosts::default()));
    }

    #[test]
    fn different_limits_of_two_runs_are_both_kept() {
        let mut hosts = Hosts::default();
        hosts.learn(HOST, Learned { connections: Some(2), ..Learned::default() }, at(0.0));
        hosts.learn(HOST, Learned { requests: Some(4.5), ..Learned::default() }, at(0.5));
        assert_eq!(hosts.known(HOST, at(0.5)), both_limits());
    }

    #[test]
    fn a_start_is_kept_for_a_month_and_does_not_touch_the_limits() {
        let mut hosts = Hosts::default();
        hosts.learn(HOST, both_limits(), at(0.0));
        hosts.learn(HOST, best(16, 1e7), at(1.5));
        let text = hosts.text();
        let known = |days: f64| Hosts::read(&text, at(days)).expect("readable").known(HOST, at(days));
        assert_eq!(known(0.5), both_limits(), "the date of the numbers in `start` is in the future");
        assert_eq!(known(1.5), Learned { connections: Some(3), requests: Some(4.5), ..best(16, 1e7) });
        assert_eq!(known(31.0), best(16, 1e7));
        assert_eq!(known(32.0), Learned::default());
    }

    #[test]
    fn a_start_that_is_about_the_same_changes_nothing_for_a_day() {
        let mut hosts = Hosts::default();
        hosts.learn(HOST, best(16, 1e7), at(0.0));
        let first = hosts.clone();
        hosts.learn(HOST, best(16, 1.2e7), at(0.9));
        assert_eq!(hosts, first);
        hosts.learn(HOST, best(16, 1.2e7), at(1.1));
        assert_ne!(hosts, first, "the numbers get a new date");
        assert_eq!(hosts.known(HOST, at(1.1)), first.known(HOST, at(1.1)));
        hosts.learn(HOST, best(16, 2e7), at(1.2));
        assert_eq!(hosts.known(HOST, at(1.2)), best(16, 2e7));
        hosts.learn(HOST, best(8, 2e7), at(1.3));
        assert_eq!(hosts.known(HOST, at(1.3)), best(8, 2e7));
    }

    #[test]
    fn a_text_of_the_first_version_is_read() {
        let text =
            br#"{"version":1,"hosts":{"https://example.com:8443":{"connections":2,"requests":4.5,"at":1728000000}}}"#;
        let hosts = Hosts::read(text, at(0.5)).expect("readable");
        assert_eq!(hosts.known(HOST, at(0.5)), both_limits());
        assert_eq!(Hosts::read(&hosts.text(), at(0.5)), Ok(hosts));
        let later = br#"{"version":3,"hosts":{}}"#;
        assert!(Hosts::read(later, at(0.0)).is_err());
    }

    #[test]
    fn the_longest_text_that_is_written_can_be_read() {
        let mut hosts = Hosts::default();
        let long = format!("{0}.{0}.{0}.{0}", "x".repeat(60));
        for n in 0..MOST {
            let learned = Learned { files: best(64, 1e9).best, ..both_limits() };
            hosts.learn(&format!("https://{n}.{long}:12345"), learned, at(0.0));
            hosts.learn(&format!("https://{n}.{long}:12345"), best(64, 123_456_789_012.0), at(0.0));
        }
        let read = Hosts::read(&hosts.text(), at(0.0)).expect("readable");
        assert!(read.0.len() > MOST / 2, "{}", read.0.len());
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
        for n in 0..20 {
            hosts.learn(&format!("https://fast{n}.example"), best(16, 1e7), at(2.0));
        }
        assert!(
            hosts.0.contains_key("https://host20.example"),
            "a host with limits is not removed for a host without limits"
        );
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,200}") {
            let _ = Hosts::read(text.as_bytes(), at(0.0));
        }
    }
}
