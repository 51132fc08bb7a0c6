//! Limits the number of files that are requested from a host in a second, after the host refused some files
//! because it got too many requests.
//!
//! The rate changes by additive increase and multiplicative decrease, in the way in which TCP connections
//! find their share of a line (Chiu and Jain 1989). A refusal sets the rate to half of the rate at which the
//! host served files recently, or to half of the present limit, if the present limit is lower than this rate.
//! If a file is refused again while the host serves more files than it refuses, the reason is probably this
//! file. The rate then does not change. If at most two files were refused in this run, and no refused file
//! was served later, the limit that this run set is removed. The first refusal of a run sets no limit,
//! because it may be an accident. Usually, each file that the host serves raises the rate a little. If the
//! host serves files at the full rate, all increases within a second together add one request a second to the
//! rate. A rate below one request a second doubles with each served file. If several refusals in a row
//! lowered the rate, the host was probably not available for a while. Each served file then doubles the rate,
//! up to the rate that the first of these refusals had set.
//!
//! Invariant: there is no limit before the first refusal, unless an earlier run found one. The limit is never
//! below [`SLOWEST`]. A limit that this run set or lowered is stored only if at least two files were refused,
//! and if one of them was served later. Otherwise, the reason may be the files.

use std::time::Duration;

/// The lowest limit, in requests a second. This is six requests a minute. Hosts that count by the minute
/// allow ten requests a minute or more.
const SLOWEST: f64 = 0.1;

/// A refusal multiplies the rate by this factor.
const DECREASE: f64 = 0.5;

/// If files are served at the full rate, the rate grows by this many requests a second in each second. A rate
/// below one request a second doubles with each served file.
const INCREASE: f64 = 1.0;

/// The length of the spans of time in which served requests are counted.
const SPAN: Duration = Duration::from_secs(1);

/// If a host refuses a file with status 425, 429 or 503 and states no time to wait, it may have got too many
/// requests. downhaul assumes this if the host sent bytes at most this long before the refusal. The time is
/// longer than the gap between two files at common limits, and shorter than the restart of most servers.
const SERVES: Duration = Duration::from_secs(10);

/// If a connection fails at most this long after bytes arrived over others, the network is probably not
/// interrupted. Workers report their progress ten times a second.
const RECEIVES: Duration = Duration::from_secs(1);

/// If at most this many files were refused in a run, and one of them is refused again while others are
/// served, the limit that these refusals set is removed. If more files were refused, it may be right.
const FEW: u32 = 2;

/// The limit of requests for files to a host, as it is explained to the user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestLimit {
    /// The limit that an earlier run found, in requests a second. This run started with it.
    pub known: Option<f64>,
    /// The present limit in requests a second.
    pub now: f64,
}

/// The rate of requests for files to one host.
#[derive(Debug, Default)]
pub(super) struct RequestRate {
    /// The limit that an earlier run found, if there is one.
    known: Option<f64>,
    /// The limit in requests a second, if there is one.
    rate: Option<f64>,
    /// Before this time, no request is sent for a file that has no connection. Requests for further
    /// connections of a file do not wait.
    next: Duration,
    /// While the limit is below this number, each served file doubles the limit. The number is the limit that
    /// the first refusal after the last served file has set.
    doubles_to: f64,
    /// The time when the rate was last lowered. A refusal of a request that was sent before this time does
    /// not lower the rate again.
    lowered: Option<Duration>,
    /// The number of usable responses since the rate was last lowered, or since the start of the run.
    served: u32,
    /// The number of refused requests that were sent since the rate was last lowered, or since the start of
    /// the run.
    refused: u32,
    /// The number of files that were refused in this run. A file counts again if bytes of it arrived since
    /// its last refusal.
    refused_files: u32,
    /// True if a refused file was served later in this run.
    served_later: bool,
    /// The start of the current span, and the number of requests that were served in it.
    span: (Duration, u32),
    /// The number of requests that were served in the span before the current one.
    before: u32,
    /// The time when bytes first arrived.
    first_bytes: Option<Duration>,
    /// The time when bytes last arrived.
    last_bytes: Option<Duration>,
}

impl RequestRate {
    /// Returns the rate for a host. `rate` is the limit that an earlier run found, if there is one.
    pub(super) fn known(rate: Option<f64>) -> Self {
        let known = rate.map(|rate| rate.max(SLOWEST));
        RequestRate { known, rate: known, ..RequestRate::default() }
    }

    /// Returns the limit in requests a second for later runs, if this run found or raised it.
    pub(super) fn learned(&self) -> Option<f64> {
        let is_found = match self.was_lowered() {
            true => self.served_later && self.refused_files > 1,
            false => self.served > 0,
        };
        self.rate.filter(|_| is_found)
    }

    /// Returns true if a refusal lowered the rate in this run.
    pub(super) fn was_lowered(&self) -> bool {
        self.lowered.is_some()
    }

    /// Returns the limit, if there is one.
    pub(super) fn limit(&self) -> Option<RequestLimit> {
        self.rate.map(|now| RequestLimit { known: self.known, now })
    }

    /// Removes the limit that this run set, unless a refused file was served later.
    fn forget_unproven(&mut self, now: Duration) {
        if !self.served_later {
            (self.rate, self.doubles_to, self.next) = (self.known, 0.0, now);
        }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// Returns the time before which no request is sent for a file that has no connection.
    pub(super) fn not_before(&self) -> Duration {
        self.next
    }

    /// Returns true if the host sent its first bytes at the time `at` or earlier, and its last bytes at most
    /// [`SERVES`] before `at`, or later.
    pub(super) fn is_serving(&self, at: Duration) -> bool {
        let had_begun = self.first_bytes.is_some_and(|first| first <= at);
        had_begun && self.last_bytes.is_some_and(|last| at.saturating_sub(last) <= SERVES)
    }

    /// Returns true if the host sent bytes at most [`RECEIVES`] before `at`, or later.
    pub(super) fn is_receiving(&self, at: Duration) -> bool {
        self.last_bytes.is_some_and(|last| at.saturating_sub(last) <= RECEIVES)
    }

    /// Records that a request is sent for a file that has no other connection.
    pub(super) fn on_sent(&mut self, now: Duration) {
        if let Some(rate) = self.rate {
            self.next = self.next.max(now) + Duration::from_secs_f64(1.0 / rate);
        }
    }

    /// Records that a request got a usable response. `again` is true if the previous request for the file was
    /// refused while the host served other files.
    pub(super) fn on_served(&mut self, now: Duration, again: bool) {
        self.on_bytes(now);
        self.served_later |= again;
        if now.saturating_sub(self.span.0) >= SPAN {
            let follows = now.saturating_sub(self.span.0) < SPAN * 2;
            self.before = if follows { self.span.1 } else { 0 };
            self.span = (now, 0);
        }
        self.span.1 += 1;
        self.served = self.served.saturating_add(1);
        if let Some(rate) = &mut self.rate {
            let (slower, left) = (*rate, self.next.saturating_sub(now));
            *rate += (self.doubles_to - slower).max(INCREASE / slower).min(slower);
            self.next = now.min(self.next) + left.mul_f64(slower / *rate);
        }
    }

    pub(super) fn on_bytes(&mut self, now: Duration) {
        self.first_bytes.get_or_insert(now);
        self.last_bytes = self.last_bytes.max(Some(now));
    }

    /// Records that the host refused a request for a file. The request was sent at `sent`. `again` is true if
    /// the previous request for this file was also refused while the host served other files, and no byte of
    /// the file has arrived since. Returns the time to wait before the file is requested again.
    pub(super) fn on_refused(&mut self, now: Duration, sent: Duration, again: bool) -> Duration {
        let is_counted = self.lowered.is_none_or(|lowered| sent > lowered);
        let is_of_file = again && self.served > self.refused;
        self.refused = self.refused.saturating_add(u32::from(is_counted));
        if is_counted && is_of_file && self.refused_files <= FEW {
            self.forget_unproven(now);
        }
        self.refused_files = self.refused_files.saturating_add(u32::from(!again));
        // A single refusal may be an accident.
        let is_single = self.rate.is_none() && !again && self.refused_files < 2;
        if is_counted && !is_of_file && !is_single {
            let served = f64::from(self.span.1.max(self.before).max(1));
            let rate = (self.rate.map_or(served, |rate| rate.min(served)) * DECREASE).max(SLOWEST);
            if self.served > 0 || self.lowered.is_none() {
                self.doubles_to = rate;
            }
            self.rate = Some(rate);
            (self.lowered, self.served, self.refused) = (Some(now), 0, 0);
            self.next = now + Duration::from_secs_f64(1.0 / rate);
        }
        self.next.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

    /// Fetches files one after the other, as soon as the rate allows it, from a host with a token bucket. The
    /// bucket holds `burst` tokens and gets `a_second` tokens a second, and each served file costs one token.
    /// After the first refusal, another file is requested at once, as several files are usually in progress.
    /// Returns the number of requests, and the time when the last file arrives.
    fn fetch(files: usize, a_second: f64, burst: f64, requests: &mut RequestRate) -> (usize, Duration) {
        fetch_with_outage(files, a_second, burst, Duration::ZERO..Duration::ZERO, requests)
    }

    /// Fetches files as `fetch` does, but from a host that refuses all requests during the outage.
    fn fetch_with_outage(
        files: usize,
        a_second: f64,
        burst: f64,
        outage: Range<Duration>,
        requests: &mut RequestRate,
    ) -> (usize, Duration) {
        let (mut tokens, mut now, mut asked, mut left) = (burst, Duration::ZERO, 0, files);
        let mut again = false;
        let step = Duration::from_millis(10);
        while left > 0 {
            tokens = (tokens + a_second * step.as_secs_f64()).min(burst);
            while left > 0 && now >= requests.not_before() {
                asked += 1;
                requests.on_sent(now);
                if tokens >= 1.0 && !outage.contains(&now) {
                    tokens -= 1.0;
                    left -= 1;
                    requests.on_served(now + step, again);
                    again = false;
                } else {
                    assert!(requests.is_serving(now + step) || outage.contains(&now));
                    requests.on_refused(now + step, now, again);
                    again = requests.is_limited();
                    break;
                }
            }
            now += step;
            assert!(now < Duration::from_secs(600), "the files are not fetched within ten minutes");
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
    fn after_an_outage_a_host_soon_gets_as_many_requests_as_before() {
        let outage = SPAN * 2..SPAN * 12;
        let (asked, took) = fetch_with_outage(1000, 50.0, 20.0, outage, &mut RequestRate::default());
        // The files alone take 20 s, the outage takes 10 s, and the waits at the lowest rate about 20 s.
        assert!(asked < 1150 && took < Duration::from_secs(65), "{asked} requests in {took:?}");
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

    /// Returns the state after nine seconds in which a file is requested once a second and always refused. If
    /// `serves` is true, the host also serves another file in each second.
    fn after_refusals(serves: bool) -> RequestRate {
        let mut requests = RequestRate::default();
        requests.on_bytes(Duration::ZERO);
        for second in 1..10 {
            let now = SPAN * second;
            if serves {
                requests.on_served(now, false);
            }
            requests.on_refused(now, now - SPAN / 2, second > 1);
        }
        requests
    }

    #[test]
    fn a_file_that_is_always_refused_does_not_limit_the_files_that_are_served() {
        let requests = after_refusals(true);
        assert_eq!((requests.limit(), requests.learned()), (None, None));
    }

    #[test]
    fn a_host_that_refuses_everything_gets_fewer_and_fewer_requests_and_nothing_is_stored() {
        let requests = after_refusals(false);
        let rate = requests.limit().expect("a limit").now;
        assert!((rate - SLOWEST).abs() < 0.01, "{rate}");
        assert_eq!(requests.learned(), None);
    }

    #[test]
    fn a_low_rate_of_an_earlier_run_rises_at_once_and_is_stored() {
        let mut requests = RequestRate::known(Some(SLOWEST));
        requests.on_sent(Duration::ZERO);
        assert_eq!(requests.not_before(), SPAN * 10);
        requests.on_served(Duration::ZERO, false);
        assert_eq!(requests.not_before(), SPAN * 5);
        assert_eq!(requests.learned(), Some(SLOWEST * 2.0));
        let (_, took) = fetch(4, 1e6, 1e6, &mut RequestRate::known(Some(SLOWEST)));
        assert!(took < SPAN * 10, "{took:?}");
    }

    #[test]
    fn a_host_without_limits_gets_requests_without_a_limit() {
        let (asked, took) = fetch(1000, 1e6, 1e6, &mut RequestRate::default());
        assert_eq!((asked, took), (1000, Duration::from_millis(10)));
    }
}
