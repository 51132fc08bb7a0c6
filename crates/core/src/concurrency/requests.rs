//! How many files a host is asked for in a second, once it has refused some because there were too many.
//!
//! Additive increase, multiplicative decrease, as TCP finds its share (Chiu and Jain 1989). A refusal halves
//! the rate at which the host served lately. Each file that it serves raises the rate, by one a second in a
//! second. Invariant: there is no limit before the first refusal, and the limit is never below [`SLOWEST`].

use std::time::Duration;

/// The lowest limit, in requests a second. Hosts that count by the minute allow ten or more.
const SLOWEST: f64 = 0.1;

/// What a refusal leaves of the rate.
const DECREASE: f64 = 0.5;

/// What is added in a second, in requests a second.
const INCREASE: f64 = 1.0;

/// The span in which served requests are counted.
const SPAN: Duration = Duration::from_secs(1);

/// A host that refuses a file without a reason within this time after it sent something gets too many
/// requests. This is longer than the time between two files at common limits, and shorter than servers need
/// to restart.
const SERVES: Duration = Duration::from_secs(10);

/// The rate of requests for files to one host.
#[derive(Debug, Default)]
pub(super) struct RequestRate {
    /// The limit in requests a second, if there is one.
    rate: Option<f64>,
    /// No request before this time.
    next: Duration,
    /// When the rate was last lowered. Refusals of what was sent before are answered by that.
    lowered: Option<Duration>,
    /// When the current span began and what was served in it, and what was served in the one before.
    span: (Duration, u32),
    before: u32,
    /// When bytes last came.
    came: Option<Duration>,
}

impl RequestRate {
    /// Begins with the limit that an earlier run found.
    pub(super) fn known(rate: Option<f64>) -> Self {
        RequestRate { rate: rate.map(|rate| rate.max(SLOWEST)), ..RequestRate::default() }
    }

    /// Returns the limit in requests a second, if this run met it.
    pub(super) fn learned(&self) -> Option<f64> {
        self.rate.filter(|_| self.lowered.is_some())
    }

    /// Returns the time before which no file is asked for.
    pub(super) fn not_before(&self) -> Duration {
        self.next
    }

    /// Returns true if something came from the host a moment ago.
    pub(super) fn is_serving(&self, now: Duration) -> bool {
        self.came.is_some_and(|came| now.saturating_sub(came) <= SERVES)
    }

    /// A file is asked for.
    pub(super) fn on_sent(&mut self, now: Duration) {
        if let Some(rate) = self.rate {
            self.next = self.next.max(now) + Duration::from_secs_f64(1.0 / rate);
        }
    }

    /// A request had the response that it was sent for.
    pub(super) fn on_served(&mut self, now: Duration) {
        self.on_bytes(now);
        if now.saturating_sub(self.span.0) >= SPAN {
            let follows = now.saturating_sub(self.span.0) < SPAN * 2;
            self.before = if follows { self.span.1 } else { 0 };
            self.span = (now, 0);
        }
        self.span.1 += 1;
        self.rate = self.rate.map(|rate| rate + INCREASE / rate.max(1.0));
    }

    /// Bytes came.
    pub(super) fn on_bytes(&mut self, now: Duration) {
        self.came = Some(now);
    }

    /// A file that was asked for at `sent` was refused. Returns how long it waits.
    pub(super) fn on_refused(&mut self, now: Duration, sent: Duration) -> Duration {
        if self.lowered.is_none_or(|lowered| sent > lowered) {
            let served = f64::from(self.span.1.max(self.before).max(1));
            let rate = self.rate.map_or(served, |rate| rate.min(served)) * DECREASE;
            self.rate = Some(rate.max(SLOWEST));
            self.lowered = Some(now);
            self.next = now + Duration::from_secs_f64(1.0 / rate.max(SLOWEST));
        }
        self.next.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fetches files, one after the other and as soon as allowed, from a host with a bucket of tokens.
    /// Returns the number of requests, and when the last file has come.
    fn fetch(files: usize, a_second: f64, burst: f64, requests: &mut RequestRate) -> (usize, Duration) {
        let (mut tokens, mut now, mut asked, mut left) = (burst, Duration::ZERO, 0, files);
        let step = Duration::from_millis(10);
        while left > 0 {
            tokens = (tokens + a_second * step.as_secs_f64()).min(burst);
            while left > 0 && now >= requests.not_before() {
                asked += 1;
                requests.on_sent(now);
                if tokens >= 1.0 {
                    tokens -= 1.0;
                    left -= 1;
                    requests.on_served(now + step);
                } else {
                    assert!(requests.is_serving(now));
                    requests.on_refused(now + step, now);
                    break;
                }
            }
            now += step;
            assert!(now < Duration::from_secs(600), "it takes for ever");
        }
        (asked, now)
    }

    #[test]
    fn a_limited_host_gets_few_requests_beyond_its_limit() {
        let (asked, took) = fetch(40, 5.0, 4.0, &mut RequestRate::default());
        assert!(asked < 60 && took < Duration::from_secs(20), "{asked} requests in {took:?}");
        let (asked, took) = fetch(1000, 50.0, 20.0, &mut RequestRate::default());
        assert!(asked < 1100 && took < Duration::from_secs(60), "{asked} requests in {took:?}");
    }

    #[test]
    fn a_known_limit_is_used_from_the_start() {
        let mut first = RequestRate::default();
        fetch(40, 5.0, 4.0, &mut first);
        let rate = first.learned().expect("a limit");
        assert!((1.0..12.0).contains(&rate), "{rate}");
        let (asked, _) = fetch(10, 5.0, 4.0, &mut RequestRate::known(Some(3.0)));
        assert!(asked <= 11, "{asked}");
    }

    #[test]
    fn a_host_without_limits_gets_none() {
        let (asked, took) = fetch(1000, 1e6, 1e6, &mut RequestRate::default());
        assert_eq!((asked, took), (1000, Duration::from_millis(10)));
    }
}
