//! How many files a host is asked for in a second, once it has refused some for their number.
//!
//! Additive increase, multiplicative decrease, as TCP finds its share (Chiu and Jain 1989): a refusal halves the rate of what the
//! host served lately, each file that it serves raises it, by one a second in a second. Invariant: no limit before the first refusal, and
//! never less than [`SLOWEST`].

use std::time::Duration;

/// Requests a second, at least. Hosts that count by the minute allow ten or more.
const SLOWEST: f64 = 0.1;

/// What a refusal leaves of the rate.
const DECREASE: f64 = 0.5;

/// What is added in a second, in requests a second.
const INCREASE: f64 = 1.0;

/// The span in which served requests are counted.
const SPAN: Duration = Duration::from_secs(1);

/// For so long after something came from it, a host that refuses a file without a word is one that is asked too much. Longer than
/// what lies between two files at common limits, shorter than what servers need to restart.
const SERVES: Duration = Duration::from_secs(10);

/// The rate of requests for files to one host.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Requests a second; `None`: no limit is known.
    rate: Option<f64>,
    /// No request before this.
    next: Duration,
    /// Refusals of what was sent before this are answered already.
    lowered: Option<Duration>,
    /// Served in the span that began then, and in the one before.
    span: (Duration, u32),
    before: u32,
    /// When something last came.
    came: Option<Duration>,
}

impl Requests {
    /// Begins with what an earlier run found out.
    pub(super) fn known(rate: Option<f64>) -> Self {
        Requests { rate: rate.map(|rate| rate.max(SLOWEST)), ..Requests::default() }
    }

    /// Requests a second, where this run was refused some.
    pub(super) fn learned(&self) -> Option<f64> {
        self.rate.filter(|_| self.lowered.is_some())
    }

    /// No request for a file before this.
    pub(super) fn not_before(&self) -> Duration {
        self.next
    }

    /// A file is asked for.
    pub(super) fn sent(&mut self, now: Duration) {
        if let Some(rate) = self.rate {
            self.next = self.next.max(now) + Duration::from_secs_f64(1.0 / rate);
        }
    }

    /// A request was answered with what it was for.
    pub(super) fn served(&mut self, now: Duration) {
        self.came(now);
        if now.saturating_sub(self.span.0) >= SPAN {
            let follows = now.saturating_sub(self.span.0) < SPAN * 2;
            self.before = if follows { self.span.1 } else { 0 };
            self.span = (now, 0);
        }
        self.span.1 += 1;
        self.rate = self.rate.map(|rate| rate + INCREASE / rate.max(1.0));
    }

    /// Bytes came.
    pub(super) fn came(&mut self, now: Duration) {
        self.came = Some(now);
    }

    /// Whether it serves at all.
    pub(super) fn serves(&self, now: Duration) -> bool {
        self.came.is_some_and(|came| now.saturating_sub(came) <= SERVES)
    }

    /// A file that was asked for at `sent` was refused: how long it waits.
    pub(super) fn refused(&mut self, now: Duration, sent: Duration) -> Duration {
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

    /// A host with a bucket of tokens, and files that ask one after the other as soon as they may: requests in all, and when
    /// the last file is there.
    fn fetch(files: usize, a_second: f64, burst: f64, requests: &mut Requests) -> (usize, Duration) {
        let (mut tokens, mut now, mut asked, mut left) = (burst, Duration::ZERO, 0, files);
        let step = Duration::from_millis(10);
        while left > 0 {
            tokens = (tokens + a_second * step.as_secs_f64()).min(burst);
            while left > 0 && now >= requests.not_before() {
                asked += 1;
                requests.sent(now);
                if tokens >= 1.0 {
                    tokens -= 1.0;
                    left -= 1;
                    requests.served(now + step);
                } else {
                    assert!(requests.serves(now));
                    requests.refused(now + step, now);
                    break;
                }
            }
            now += step;
            assert!(now < Duration::from_secs(600), "it takes for ever");
        }
        (asked, now)
    }

    #[test]
    fn a_limited_host_is_asked_little_more_than_it_allows() {
        let (asked, took) = fetch(40, 5.0, 4.0, &mut Requests::default());
        assert!(asked < 60 && took < Duration::from_secs(20), "{asked} requests in {took:?}");
        let (asked, took) = fetch(1000, 50.0, 20.0, &mut Requests::default());
        assert!(asked < 1100 && took < Duration::from_secs(60), "{asked} requests in {took:?}");
    }

    #[test]
    fn what_was_found_out_is_begun_with() {
        let mut first = Requests::default();
        fetch(40, 5.0, 4.0, &mut first);
        let rate = first.learned().expect("a limit");
        assert!((1.0..12.0).contains(&rate), "{rate}");
        let (asked, _) = fetch(10, 5.0, 4.0, &mut Requests::known(Some(3.0)));
        assert!(asked <= 11, "{asked}");
    }

    #[test]
    fn a_host_without_limits_has_none() {
        let (asked, took) = fetch(1000, 1e6, 1e6, &mut Requests::default());
        assert_eq!((asked, took), (1000, Duration::from_millis(10)));
    }
}
