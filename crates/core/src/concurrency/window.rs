//! One measurement of the goodput at one target.
//!
//! Invariant: a window covers one target only. The controller drops it when the target changes, when a
//! connection breaks, and when the number of connections does not fit the target.

use std::time::Duration;

/// A window has at least this length, unless [`SHORTEST`] or [`RAMP_LATENCIES`] applies. On the line to a
/// near host, a queue commonly delays packets by up to 100 ms, and this length is three times as much. A
/// shorter window would mainly measure changes of the queue.
const LENGTH: Duration = Duration::from_millis(300);

/// A window is also at least this many times as long as the time from a request to the first byte of its
/// response.
const LATENCIES: f64 = 1.5;

/// If the goodput grows almost in proportion to the number of connections, a window of this length already
/// shows it. In a shorter one, delays of the scheduler distort the measurement of a transfer over loopback or
/// a LAN.
const SHORTEST: Duration = Duration::from_millis(100);

/// Before the controller first keeps a target for a while (the phase `Hold`), a window in the phases `Ramp`
/// and `Recheck` may be shorter than [`LENGTH`]. It then has this many times the time from a request to the
/// first byte of its response, but at least [`SHORTEST`]. Slow start takes about eight round trips. If the
/// host is near, these round trips pass quickly, and a trial costs little.
const RAMP_LATENCIES: u32 = 8;

/// If the goodput grew by more than this factor between two windows, TCP is still in slow start. Such a
/// goodput does not show the effect of the number of connections.
const STILL_GROWING: f64 = 1.15;

/// After this many windows at one target, slow start is treated as over, even on a long line. If the goodput
/// still grows after that, the reason is congestion avoidance. On a long line, congestion avoidance takes
/// minutes, and adding connections is faster.
const SLOW_START_WINDOWS: u32 = 3;

/// The number of bytes that a server sends over a new connection in the first round trip (RFC 6928). The
/// number doubles with each round trip.
const FIRST_FLIGHT: f64 = 14600.0;

/// A span of time in which the goodput at one target is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct MeasurementWindow {
    /// The start of the first window at this target.
    first: Duration,
    /// The start of this window.
    start: Duration,
    /// The number of bytes that had arrived at the start of this window.
    bytes: u64,
    /// The goodput of the window before, in bytes a second.
    previous: Option<f64>,
    /// The number of earlier windows at this target.
    windows_before: u32,
}

/// The result of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measurement {
    /// The goodput in bytes a second.
    pub(super) goodput: f64,
    /// The goodput in the window before, at the same target, in bytes a second. It is 0 in the first window.
    pub(super) previous: f64,
    /// True if slow start is over.
    pub(super) settled: bool,
    /// True if new connections had the time to become as fast as the older ones.
    pub(super) caught_up: bool,
}

impl MeasurementWindow {
    /// Begins the first window at a target.
    pub(super) fn begin(now: Duration, bytes: u64) -> Self {
        MeasurementWindow { first: now, start: now, bytes, previous: None, windows_before: 0 }
    }

    /// Returns the goodput since the start of this window. Returns `None` if the window is too short to show
    /// a nearly ideal gain.
    pub(super) fn goodput(&self, now: Duration, bytes: u64, latency: Duration) -> Option<f64> {
        let time = self.time(now);
        let long_enough = time >= latency.mul_f64(LATENCIES).max(SHORTEST);
        long_enough.then(|| bytes.saturating_sub(self.bytes) as f64 / time.as_secs_f64())
    }

    /// Returns true if the window is long enough for every decision. `ramp` is true if [`RAMP_LATENCIES`]
    /// applies to this window.
    pub(super) fn is_full(&self, now: Duration, latency: Duration, ramp: bool) -> bool {
        let length = if ramp { (latency * RAMP_LATENCIES).clamp(SHORTEST, LENGTH) } else { LENGTH };
        self.time(now) >= length
    }

    /// Ends this window with this goodput, and starts the next window at the same target. Returns the result
    /// of the window that ended.
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
        // In slow start, the number of bytes that a connection receives doubles with each round trip, up to
        // the connection's share of the goodput.
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
