//! The congestion control of one simulated TCP connection.

use super::{Host, Line};
use fastrand::Rng;

/// The bytes that a packet without TCP options carries over Ethernet.
const SEGMENT: f64 = 1460.0;

/// The first congestion window (RFC 6928), in packets.
const FIRST_WINDOW: f64 = 10.0;

/// The largest receive window, in packets. The model uses the largest receive buffer of Linux (`tcp_rmem`, 6
/// MiB by default) as the window. In Linux, the window is smaller than the buffer.
const RECEIVE_WINDOW: f64 = 6.0 * 1024.0 * 1024.0 / SEGMENT;

/// CUBIC's constants C and beta (RFC 9438). C decides how fast a window grows. A loss multiplies a window by
/// beta.
const CUBIC: (f64, f64) = (0.4, 0.7);

/// The shortest timeout in seconds, as in Linux. If a window is too small for three duplicate
/// acknowledgements, a loss is noticed only by a timeout.
const TIMEOUT: f64 = 0.2;

/// The length of the queue in front of the line, in seconds. The line needs this time to carry a full queue.
pub(super) const QUEUE: f64 = 0.1;

/// The congestion control of one connection. Windows are in packets.
pub(super) struct Tcp {
    window: f64,
    /// The window at which slow start ends.
    threshold: f64,
    /// The window to which CUBIC grows back after the last loss.
    before: f64,
    /// The time of the last loss.
    lost_at: f64,
    /// The seconds after the last loss until CUBIC reaches `before` again.
    back: f64,
    /// The number of packets until the next one is lost by chance.
    until_loss: f64,
    /// Before this time, the connection sends nothing, because it waits for a timeout.
    silent: f64,
    /// Before this time, further losses count as part of the last loss.
    recovers: f64,
    /// The highest number of bytes a second that the host sends over the connection.
    cap: f64,
    /// The bytes that are sent in this step.
    pub(super) sent: f64,
}

impl Tcp {
    /// Returns a new connection over this line.
    pub(super) fn new(line: Line, rng: &mut Rng) -> Tcp {
        let cap = match line.host {
            Host::Caps(share) => share * line.rate,
            Host::Lottery if rng.bool() => line.rate / 50.0,
            Host::Lottery => line.rate / 4.0,
            _ => f64::MAX,
        };
        Tcp {
            window: FIRST_WINDOW,
            threshold: f64::MAX,
            before: 0.0,
            lost_at: 0.0,
            back: 0.0,
            until_loss: packets_until_loss(line.loss, rng),
            silent: 0.0,
            recovers: 0.0,
            cap,
            sent: 0.0,
        }
    }

    /// Returns the connection after a pause of this many seconds. If the pause is longer than one second, the
    /// window starts again with its first size. TCP does this after a pause that is longer than a timeout
    /// (RFC 5681, section 4.1).
    pub(super) fn rested(mut self, time: f64) -> Tcp {
        if time > 1.0 {
            self.threshold = self.threshold.min(self.window * 0.75);
            self.window = FIRST_WINDOW;
        }
        self
    }

    /// Sends for `step` seconds.
    pub(super) fn send(&mut self, now: f64, round_trip: f64, step: f64) {
        let rate = (self.window.min(RECEIVE_WINDOW) * SEGMENT / round_trip).min(self.cap);
        self.sent = if now < self.silent { 0.0 } else { rate * step };
    }

    /// Handles the result of the bytes that were sent. `share` is the share of them that arrives in this
    /// step, and `dropped` is the share that is lost because the queue was full. Some more packets are lost
    /// by chance. All other packets are acknowledged.
    pub(super) fn acknowledged(
        &mut self,
        now: f64,
        round_trip: f64,
        loss: f64,
        dropped: f64,
        share: f64,
        rng: &mut Rng,
    ) {
        let packets = self.sent * share / SEGMENT;
        self.until_loss -= packets;
        let by_chance = self.until_loss <= 0.0;
        if by_chance {
            self.until_loss = packets_until_loss(loss, rng);
        }
        let lost = by_chance || (dropped > 0.0 && rng.f64() > (1.0 - dropped).powf(packets));
        if lost && now >= self.recovers {
            self.lose(now, round_trip);
        } else if self.window < self.threshold {
            self.window = (self.window + packets).min(self.threshold);
        } else {
            self.grow(now, round_trip);
        }
        self.window = self.window.min(RECEIVE_WINDOW * 2.0);
    }

    fn lose(&mut self, now: f64, round_trip: f64) {
        let (growth, kept) = CUBIC;
        let window = self.window.min(RECEIVE_WINDOW);
        // This is the fast convergence of CUBIC. If a loss comes before the window has grown back to
        // `before`, the connection leaves more of the line to other connections.
        self.before = if window < self.before { window * (1.0 + kept) / 2.0 } else { window };
        self.threshold = (window * kept).max(2.0);
        self.recovers = now + round_trip;
        self.window = self.threshold;
        if window < 4.0 {
            self.silent = now + TIMEOUT.max(2.0 * round_trip);
            self.window = 1.0;
        }
        self.lost_at = now;
        self.back = ((self.before - self.threshold).max(0.0) / growth).cbrt();
    }

    fn grow(&mut self, now: f64, round_trip: f64) {
        let since = now - self.lost_at;
        let cubic = CUBIC.0 * (since - self.back).powi(3) + self.before;
        let reno = self.threshold + 0.53 * since / round_trip;
        // In a step, the window grows by at most half of the packets that were sent.
        let fastest = self.window * (1.0 + 0.5 * (self.sent / SEGMENT / self.window).min(1.0));
        self.window = cubic.max(reno).clamp(self.window, fastest);
    }
}

/// Returns how many packets pass until the next one is lost by chance.
fn packets_until_loss(loss: f64, rng: &mut Rng) -> f64 {
    if loss > 0.0 { -(1.0 - rng.f64()).ln() / loss } else { f64::MAX }
}
