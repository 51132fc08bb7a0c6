//! One measurement of the goodput, while exactly the target's number of connections is in use.
//!
//! Invariant: a window covers one target only. The controller drops it when the target or the number of
//! connections changes.

use std::time::Duration;

/// A window is at least this long. On a near line this is three times the deepest queue that is common (100
/// ms): a shorter window would measure the queue.
const LENGTH: Duration = Duration::from_millis(300);

/// A window is also at least so many times as long as a request takes to bring its first byte.
const LATENCIES: f64 = 1.5;

/// A gain that is nearly ideal is seen in a window of this length already. In a shorter one, delays of the
/// scheduler distort the measurement of a transfer over loopback or a LAN.
const SHORTEST: Duration = Duration::from_millis(100);

/// While nothing was tried yet, a window lasts so many latencies, if that is less than [`LENGTH`]: on a near
/// line a try costs little, and on a long one slow start takes eight round trips.
const RAMP_LATENCIES: u32 = 8;

/// A goodput that grew by more than this factor between two windows is still in TCP's slow start, which says
/// nothing about the number of connections.
const STILL_GROWING: f64 = 1.15;

/// After so many windows at one target, slow start is over, also on a long line. What still grows then is
/// congestion avoidance, which on such a line takes minutes: more connections are quicker.
const SLOW_START_WINDOWS: u32 = 3;

/// What a new connection sends in its first round trip (RFC 6928), in bytes. It doubles with each.
const FIRST_FLIGHT: f64 = 14600.0;

/// A span of time in which the target is really in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct MeasurementWindow {
    /// When the first window at this target began.
    first: Duration,
    /// When this window began, and how many bytes had come by then.
    start: Duration,
    bytes: u64,
    /// Bytes a second in the window before, and how many windows at this target there were.
    previous: Option<f64>,
    windows_before: u32,
}

/// What a window measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measurement {
    /// Bytes a second.
    pub(super) goodput: f64,
    /// Bytes a second in the window before, at the same target; 0 if this is the first one.
    pub(super) previous: f64,
    /// Slow start is over.
    pub(super) settled: bool,
    /// New connections had the time to become as fast as the older ones.
    pub(super) caught_up: bool,
}

impl MeasurementWindow {
    /// Begins the first window at a target.
    pub(super) fn begin(now: Duration, bytes: u64) -> Self {
        MeasurementWindow { first: now, start: now, bytes, previous: None, windows_before: 0 }
    }

    /// Returns the goodput so far, once the window is long enough for a gain that cannot be overlooked.
    pub(super) fn goodput(&self, now: Duration, bytes: u64, latency: Duration) -> Option<f64> {
        let time = self.time(now);
        let long_enough = time >= latency.mul_f64(LATENCIES).max(SHORTEST);
        long_enough.then(|| bytes.saturating_sub(self.bytes) as f64 / time.as_secs_f64())
    }

    /// Returns true if the window is long enough for any decision. `ramp`: nothing was tried before.
    pub(super) fn is_full(&self, now: Duration, latency: Duration, ramp: bool) -> bool {
        let length = if ramp { (latency * RAMP_LATENCIES).clamp(SHORTEST, LENGTH) } else { LENGTH };
        self.time(now) >= length
    }

    /// Ends this window with that goodput, and begins the next one at the same target.
    pub(super) fn end(
        &mut self,
        now: Duration,
        bytes: u64,
        goodput: f64,
        target: usize,
        latency: Duration,
    ) -> Measurement {
        let previous = self.previous.unwrap_or(0.0);
        let settled = goodput <= previous * STILL_GROWING || self.windows_before >= SLOW_START_WINDOWS;
        // Slow start doubles what a connection sends with each round trip, up to its share of the goodput.
        let flights = goodput / target as f64 * latency.as_secs_f64() / FIRST_FLIGHT;
        let slow_start = latency.mul_f64(2.0 + flights.max(1.0).log2());
        let caught_up = now >= self.first + slow_start;
        *self = MeasurementWindow {
            first: self.first,
            start: now,
            bytes,
            previous: Some(goodput),
            windows_before: self.windows_before + 1,
        };
        Measurement { goodput, previous, settled, caught_up }
    }

    #[cfg(test)]
    pub(super) fn start(&self) -> Duration {
        self.start
    }

    fn time(&self, now: Duration) -> Duration {
        now.saturating_sub(self.start)
    }
}
