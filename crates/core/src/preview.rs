//! Previews (`downhaul plan`). A preview says what a run would do, without doing it.
//!
//! A preview takes the same decisions as a run: the plan of each job chooses the name, looks at existing
//! files, and validates the response. The preview ends where the first byte would be written. This module
//! decides which jobs need a request, and adds up the sizes and times of all files.
//!
//! Invariant: the memory in use is limited, even for a very long list.

use crate::concurrency::{FILE_COUNTS, Learned};
use crate::job::{Destination, Job};
use crate::name::{NameSource, Naming, Template};
use crate::settings::{Settings, Verify};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The highest number of hosts for which a preview keeps separate sums. The files of all other hosts are
/// added up together.
const HOSTS_MOST: usize = 1_000;

/// If the files of a host have this average size or more, the duration is estimated from the speed of the
/// host for large files.
const LARGE: u64 = 1024 * 1024;

/// The requests that a preview may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preview {
    /// The preview may request the facts about a file. It requests them if the list does not state the size,
    /// if `--verify require` needs a strong digest and none is known, or if the server may choose the name.
    /// Existing files are also compared with the server's files.
    Ask,
    /// The preview sends no requests.
    Offline,
}

impl Preview {
    /// Returns true if a preview requests the facts about the file of this job. `size` is the size that the
    /// list states. A request that is not a plain GET may change something on the server, so a preview never
    /// sends it.
    pub fn asks(self, job: &Job, settings: &Settings, size: Option<u64>) -> bool {
        let has_strong = job.expected.iter().any(|one| one.digest.algorithm.is_strong());
        let needs_digest = settings.verify == Verify::Require && !has_strong;
        let lacks_facts = size.is_none() || needs_digest || may_be_renamed(job, &settings.naming);
        self == Preview::Ask && job.sends.is_none() && lacks_facts
    }
}

/// Returns true if the server may choose the name of the file of this job.
pub fn may_be_renamed(job: &Job, naming: &Naming) -> bool {
    let needs_name = naming.template.as_deref().is_none_or(Template::needs_name);
    job.destination == Destination::Server && naming.source != NameSource::Url && needs_name
}

/// The step that a run would take for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Download the whole file.
    Download,
    /// Continue the partial file of an earlier run, or a file that another tool left unfinished.
    Resume,
    /// Replace the existing file.
    Replace,
    /// Compare the existing file with the server's file. If the preview sends no requests, it does not know
    /// the result of this comparison.
    Compare,
    /// Wait for another run that works on the file, and then look at the file again.
    Wait,
}

/// The place where the size of a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SizeFrom {
    /// The list states the size.
    List,
    /// The server stated the size in this run.
    Server,
    /// The journal of the partial file states the size.
    Journal,
}

/// The sums over all files that a run would download.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Forecast {
    /// The number of files.
    pub files: u64,
    /// The number of bytes that would be fetched, as far as the sizes are known.
    pub bytes: u64,
    /// The number of files whose size is not known.
    pub unknown: u64,
    /// The number of bytes that are on the disk already and would not be fetched again.
    pub kept: u64,
    /// The number of free bytes on the disk of the output folder, if that is known.
    pub free: Option<u64>,
    /// The estimated duration of the run in seconds, from the last known speeds of the hosts and the limit of
    /// the run. It is `None` if a size or a speed is not known, or if there are too many hosts
    /// ([`OTHER_HOSTS`]).
    pub seconds: Option<f64>,
    /// The sums for each host. The key is the origin, or [`OTHER_HOSTS`].
    pub hosts: BTreeMap<String, HostForecast>,
}

/// The sums over the files of one host that a run would download.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HostForecast {
    /// The number of files.
    pub files: u64,
    /// The number of bytes that would be fetched, as far as the sizes are known.
    pub bytes: u64,
    /// The number of files whose size is not known.
    pub unknown: u64,
    /// The estimated time for the files of this host in seconds, at the last known speed. It is `None` if a
    /// size or the speed is not known.
    pub seconds: Option<f64>,
}

/// The key in [`Forecast::hosts`] for the sums over all hosts after the first thousand.
pub const OTHER_HOSTS: &str = "others";

impl Forecast {
    /// Adds a file from the host with this origin. `missing` is the number of bytes that would be fetched, if
    /// the size is known. `kept` is the number of bytes that are on the disk already.
    pub fn add(&mut self, origin: &str, missing: Option<u64>, kept: u64) {
        let is_known = self.hosts.len() < HOSTS_MOST || self.hosts.contains_key(origin);
        let host = self.hosts.entry(if is_known { origin } else { OTHER_HOSTS }.to_string()).or_default();
        let (bytes, unknown) = (missing.unwrap_or(0), u64::from(missing.is_none()));
        (host.files, host.bytes) = (host.files + 1, host.bytes.saturating_add(bytes));
        host.unknown += unknown;
        (self.files, self.bytes) = (self.files + 1, self.bytes.saturating_add(bytes));
        self.unknown += unknown;
        self.kept = self.kept.saturating_add(kept);
    }

    /// Computes the estimated times. `known` returns the facts that earlier runs learned about an origin.
    /// `limit` is the limit of the whole run in bytes a second. `None` means no limit, and 0 counts as 1. The
    /// hosts are assumed to send at the same time.
    pub fn estimate(&mut self, known: impl Fn(&str) -> Learned, limit: Option<u64>) {
        let mut longest = Some(0.0_f64);
        for (origin, host) in &mut self.hosts {
            host.seconds = host.estimate(known(origin));
            longest = longest.zip(host.seconds).map(|(longest, seconds)| longest.max(seconds));
        }
        let by_limit = limit.map(|limit| self.bytes as f64 / limit.max(1) as f64);
        self.seconds = longest.map(|longest| by_limit.map_or(longest, |by_limit| longest.max(by_limit)));
    }
}

impl HostForecast {
    fn estimate(&self, known: Learned) -> Option<f64> {
        let of_large = known.best.and_then(|level| level.goodput);
        let of_many = known.files.and_then(|level| level.goodput);
        let large = of_large.map(|goodput| self.bytes as f64 / goodput);
        let many = of_many.map(|goodput| (self.bytes + self.files * FILE_COUNTS) as f64 / goodput);
        let is_large = self.bytes / self.files.max(1) >= LARGE;
        let by_bytes = if is_large { large.or(many) } else { many.or(large) };
        let by_requests = known.requests.filter(|most| *most > 0.0).map(|most| self.files as f64 / most);
        let seconds = by_bytes.filter(|_| self.unknown == 0)?;
        Some(by_requests.map_or(seconds, |by_requests| seconds.max(by_requests)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concurrency::Level;

    fn level(goodput: f64) -> Level {
        Level { number: 4, goodput: Some(goodput), far: false }
    }

    #[test]
    fn the_time_is_that_of_the_slowest_host_and_unknown_if_a_speed_or_a_size_is() {
        let fast = Learned { best: Some(level(1e6)), ..Learned::default() };
        let slow = Learned { best: Some(level(1e5)), ..Learned::default() };
        let known = |origin: &str| match origin {
            "https://fast" => fast,
            "https://slow" => slow,
            _ => Learned::default(),
        };
        let mut forecast = Forecast::default();
        forecast.add("https://fast", Some(20_000_000), 0);
        forecast.add("https://slow", Some(5_000_000), 7);
        forecast.estimate(known, None);
        assert_eq!((forecast.bytes, forecast.kept, forecast.seconds), (25_000_000, 7, Some(50.0)));
        forecast.estimate(known, Some(250_000));
        assert_eq!(forecast.seconds, Some(100.0));
        // The limit 0 counts as 1, as in a download.
        forecast.estimate(known, Some(0));
        assert_eq!(forecast.seconds, Some(25_000_000.0));
        forecast.add("https://slow", None, 0);
        forecast.estimate(known, None);
        assert_eq!(
            (forecast.seconds, forecast.unknown, forecast.hosts["https://slow"].seconds),
            (None, 1, None)
        );
        let mut elsewhere = Forecast::default();
        elsewhere.add("https://new", Some(1), 0);
        elsewhere.estimate(known, None);
        assert_eq!(elsewhere.seconds, None);
    }

    #[test]
    fn a_host_that_serves_few_files_a_second_takes_longer() {
        let known = Learned { files: Some(level(1e6)), requests: Some(2.0), ..Learned::default() };
        let mut forecast = Forecast::default();
        (0..100).for_each(|_| forecast.add("https://h", Some(1000), 0));
        forecast.estimate(|_| known, None);
        assert_eq!(forecast.seconds, Some(50.0));
    }

    #[test]
    fn very_many_hosts_are_added_up() {
        let mut forecast = Forecast::default();
        (0..HOSTS_MOST + 500).for_each(|n| forecast.add(&format!("https://h{n}"), Some(1), 0));
        assert_eq!((forecast.hosts.len(), forecast.files), (HOSTS_MOST + 1, HOSTS_MOST as u64 + 500));
        assert_eq!(forecast.hosts[OTHER_HOSTS].files, 500);
    }
}
