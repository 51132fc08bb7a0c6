//! The phases of the controller, and its decision after each measurement.
//!
//! Invariant: in [`Phase::TryMore`] the target is above `from`, and in [`Phase::TryFewer`] it is below
//! `from`. The documentation of the module `concurrency` has the list of phases.

use super::controller::FAR_TARGET;
use super::window::Measurement;
use super::{Controller, StepReason};
use std::time::Duration;

/// A larger target stays if its gain is at least this share of the ideal gain, which the documentation of the
/// module `concurrency` explains. The number was found with simulated lines. With a share of 0.07, 0.8 %
/// fewer of the lines come close to the goodput of the best fixed number of connections (within a tenth).
/// With a share of 0.04, 0.8 % more of the lines get more than twice the connections that are enough. With a
/// share of one third, other traffic on the same line would be slowed down less, but a tenth fewer of the
/// lines would come close to this goodput.
const WORTH_IT: f64 = 0.05;

/// A gain of at least this share of the ideal gain is accepted at once, and later runs may start with the new
/// target. A smaller gain is accepted only when slow start is over, and later runs may start with the new
/// target only after a hold of it.
const OBVIOUS: f64 = 1.0 / 3.0;

/// A gain of at least this share of the ideal gain shows that each connection has a speed limit of its own.
/// From [`FAR_TARGET`] on, the next step then tries four times as many connections.
const NEARLY_IDEAL: f64 = 0.8;

/// A smaller target stays if its goodput is at least this share of the goodput before the first step down.
/// The rest, 5 %, is the usual difference between two measurements at the same target. With a share of 0.9, a
/// series of steps down could lose a tenth of the goodput.
const AS_GOOD: f64 = 0.95;

/// A trial of fewer connections ends at once if the connections have less than this share of the earlier
/// goodput.
const MUCH_WORSE: f64 = 0.7;

/// A hold ends early if two measurements in a row are below this share of the goodput at its start. On a line
/// that loses packets, the goodput is higher in the first seconds of a download than later. A hold that began
/// in those seconds must not last its whole length.
const FELL: f64 = 0.9;

/// If the first connections to a far host leave room on the line, the next target is this many times as high.
/// The room shows that each connection has a speed limit of its own, or loses packets. Several doublings
/// would take longer, because each doubling takes a second or more.
const FROM_AFAR: usize = 4;

/// After a trial of a larger target that gained too little, the smaller target is measured again. If its
/// goodput is then more than this many times the goodput of the larger target, the host seems to become
/// slower with many connections. A larger target is tried again only after the longest hold, or earlier if
/// the goodput falls. If the same happens again at the same smaller target, no larger target is tried after
/// that.
const COLLAPSE: f64 = 2.0;

/// The length of the first hold, and the greatest length of a hold. The length doubles with each hold. After
/// a better target was found, or after the goodput fell, the next hold is as short as the first one.
pub(super) const HOLD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(32));

/// The length of the first hold if the goodput is about the same as in an earlier run. Two runs then agree on
/// the target, so the next trial is less urgent.
const CONFIRMED_HOLD: Duration = Duration::from_secs(4);

/// If the line has room and the next hold is shorter than this, that hold follows instead of a trial of fewer
/// connections. The trial would close connections, and new ones need many round trips to become as fast.
const LONG_HOLD: Duration = Duration::from_secs(5);

/// Slow start is observed in windows of this many round trips, but of at least [`SLOW_START_SHORTEST`]. With
/// 2 round trips, 0.2 % fewer of the simulated lines come close to the goodput of the best fixed number of
/// connections.
const SLOW_START_ROUND_TRIPS: f64 = 1.5;

/// The length of the shortest window in slow start. Workers report their progress ten times a second, so a
/// shorter window might have no reports.
const SLOW_START_SHORTEST: Duration = Duration::from_millis(100);

/// Slow start doubles the goodput in each round trip. Slow start is over if the goodput of a window is less
/// than this many times the goodput of the window before.
const SLOW_START_GROWTH: f64 = 1.5;

/// The phases. The documentation of the module `concurrency` explains each phase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Phase {
    /// The first target is measured, and there was no hold before.
    Ramp,
    /// The first connection to a far host is in the slow start of TCP.
    SlowStart {
        /// The start of the window.
        since: Duration,
        /// The number of bytes that had arrived at the start of the window.
        bytes: u64,
        /// The goodput in the window before, in bytes a second.
        goodput: f64,
    },
    /// More connections are tried.
    TryMore {
        /// The earlier target.
        from: usize,
        /// The goodput at the earlier target, in bytes a second.
        before: f64,
    },
    /// More connections gained too little, and the earlier target is measured again.
    Recheck {
        /// The larger target.
        tried: usize,
        /// The goodput at the larger target, in bytes a second.
        tried_goodput: f64,
    },
    /// Fewer connections are tried.
    TryFewer {
        /// The earlier target.
        from: usize,
        /// The goodput before the first step down, in bytes a second.
        before: f64,
    },
    /// No other target is tried before `until`, unless the goodput falls.
    Hold {
        /// The time when the next target may be tried.
        until: Duration,
        /// The goodput at the start of the hold, in bytes a second. It is 0 if it was not measured.
        goodput: f64,
    },
}

/// The direction of the next trial after a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    More,
    Fewer,
}

impl Controller {
    /// Returns true if a short window is enough to decide, because the gain is close to the ideal one.
    pub(super) fn is_beyond_doubt(&self, goodput: f64) -> bool {
        matches!(self.phase, Phase::TryMore { from, before }
            if gain(from, before, self.target, goodput) >= NEARLY_IDEAL)
    }

    /// Makes the decision after a measurement of the target.
    pub(super) fn decide(&mut self, now: Duration, measured: Measurement) {
        match self.phase {
            Phase::TryMore { from, before } => self.decide_more(now, (from, before), measured),
            Phase::TryFewer { from, before } => self.decide_fewer(now, (from, before), measured),
            Phase::Hold { until, goodput } if now < until => self.watch(now, goodput, measured),
            Phase::Recheck { tried, tried_goodput } if measured.settled => {
                self.decide_recheck(now, (tried, tried_goodput), measured.goodput);
            }
            Phase::Ramp if self.known.is_some_and(|level| level.is_confirmed_by(measured.goodput)) => {
                (self.known, self.next_hold) = (None, CONFIRMED_HOLD);
                self.hold(now, measured.goodput, Direction::Fewer);
            }
            Phase::Ramp if measured.settled && self.known.is_some() => {
                // The line has changed, or its goodput was not stored. So the search begins. The goodput of
                // fewer connections was never measured.
                (self.known, self.steps_down) = (None, true);
                self.begin_trial(now, measured.goodput);
            }
            Phase::Ramp | Phase::Hold { .. } if measured.settled => self.begin_trial(now, measured.goodput),
            Phase::SlowStart { .. } | Phase::Recheck { .. } | Phase::Ramp | Phase::Hold { .. } => {}
        }
    }

    /// Watches the first connection to a far host, until its slow start is over. If packets then wait before
    /// the line, this connection alone fills the line, and more connections are tried after a hold. Otherwise
    /// packets were lost, or the connection has a limit of its own, or this system does not measure the round
    /// trip. Several connections then start at once.
    pub(super) fn watch_slow_start(&mut self, now: Duration) {
        let Phase::SlowStart { since, bytes, goodput: before } = self.phase else { return };
        let (time, round_trip) = (now.saturating_sub(since), self.queue.shortest_round_trip());
        let length = round_trip.unwrap_or_default().mul_f64(SLOW_START_ROUND_TRIPS).max(SLOW_START_SHORTEST);
        if time < length {
            return;
        }
        let goodput = self.usage.bytes.saturating_sub(bytes) as f64 / time.as_secs_f64();
        if self.queue.has_grown() {
            self.hold(now, goodput, Direction::More);
        } else if round_trip.is_none() || goodput < before * SLOW_START_GROWTH {
            (self.phase, self.steps_down) = (Phase::Ramp, true);
            self.set_target(now, self.target.max(FAR_TARGET), goodput, StepReason::FarHost);
        } else {
            self.phase = Phase::SlowStart { since: now, bytes: self.usage.bytes, goodput };
        }
    }

    fn decide_more(
        &mut self,
        now: Duration,
        (from, before): (usize, f64),
        Measurement { goodput, settled, caught_up, .. }: Measurement,
    ) {
        let target = self.target;
        let gain = gain(from, before, target, goodput);
        if gain >= if settled { WORTH_IT } else { OBVIOUS } {
            (self.next_hold, self.steps_down) = (HOLD.0, false);
            // A small gain may be chance. If short runs stored it, they would store higher and higher
            // numbers, because each run would begin with the number of the run before, and try more.
            if gain >= OBVIOUS {
                self.keep_best(goodput, false);
            }
            if self.may_rise() {
                let was_watched = self.usage.is_far && target < FAR_TARGET;
                let factor =
                    if was_watched || (gain >= NEARLY_IDEAL && target >= FAR_TARGET) { 4 } else { 2 };
                self.try_more(now, target * factor, goodput);
            } else {
                self.hold(now, goodput, Direction::Fewer);
            }
        } else if settled && caught_up {
            self.phase = Phase::Recheck { tried: target, tried_goodput: goodput };
            self.set_target(now, from, goodput, StepReason::NoGain);
        }
    }

    /// Makes the decision after the smaller target was measured again.
    fn decide_recheck(&mut self, now: Duration, (tried, tried_goodput): (usize, f64), goodput: f64) {
        let target = self.target;
        if gain(target, goodput, tried, tried_goodput) >= WORTH_IT {
            // The goodput at the smaller target is lower than it was before.
            self.set_target(now, tried, goodput, StepReason::Better);
            self.next_hold = HOLD.0;
            self.hold(now, tried_goodput, Direction::Fewer);
        } else if goodput > tried_goodput * COLLAPSE {
            // If this happens for the first time, other traffic may be the reason.
            if std::mem::replace(&mut self.collapsed_above, target) == target {
                self.lower_ceiling_to_target();
            }
            self.record(now, target, goodput, StepReason::Collapse);
            self.next_hold = HOLD.1;
            self.hold(now, goodput, Direction::Fewer);
        } else if self.steps_down && target > self.least() {
            self.try_fewer(now, target.div_ceil(2), goodput);
        } else {
            self.hold(now, goodput, Direction::Fewer);
        }
    }

    fn decide_fewer(
        &mut self,
        now: Duration,
        (from, before): (usize, f64),
        Measurement { goodput, previous, settled, .. }: Measurement,
    ) {
        let enough = before * AS_GOOD;
        if goodput < before * MUCH_WORSE || (settled && goodput.max(previous) < enough) {
            // Before the first hold, more connections are tried next.
            let tries_more = std::mem::take(&mut self.steps_down) && !self.has_held;
            self.set_target(now, from, goodput, StepReason::Better);
            if tries_more && self.may_rise() {
                self.try_more(now, from * 2, goodput.max(before));
            } else {
                self.hold(now, goodput.max(before), Direction::More);
            }
        } else if settled && goodput >= enough {
            if self.steps_down && self.target > self.least() {
                // The next trial is compared with the best goodput, so that many small losses cannot add up
                // to a large one.
                self.keep_best(goodput, false);
                self.try_fewer(now, self.target.div_ceil(2), before);
            } else {
                self.hold(now, goodput, Direction::More);
            }
        }
    }

    /// Ends a hold early if the goodput is lower than at its start ([`FELL`]).
    fn watch(&mut self, now: Duration, at_start: f64, Measurement { goodput, previous, .. }: Measurement) {
        if goodput.max(previous) < at_start * FELL && previous > 0.0 {
            (self.next_hold, self.next_trial) = (HOLD.0, Direction::More);
            self.phase = Phase::Hold { until: now, goodput: at_start };
        }
    }

    /// Tries another target, or keeps the target for a while. This function is called after the first
    /// measurement and after a hold.
    fn begin_trial(&mut self, now: Duration, goodput: f64) {
        let target = self.target;
        let fewer = self.next_trial == Direction::Fewer;
        if self.phase == Phase::Ramp && self.fills_line_from_afar() {
            self.try_fewer(now, target.div_ceil(2), goodput);
        } else if fewer && self.queue.has_room() && self.next_hold < LONG_HOLD {
            self.hold(now, goodput, Direction::More);
        } else if fewer && target > self.least() {
            let fewer = (target * 3 / 4).max(target.div_ceil(2));
            self.try_fewer(now, fewer, goodput);
        } else if self.may_rise() {
            let leaves_room = self.phase == Phase::Ramp && self.usage.is_far && self.queue.has_room();
            self.try_more(now, target * if leaves_room { FROM_AFAR } else { 2 }, goodput);
        } else {
            self.hold(now, goodput, Direction::Fewer);
        }
    }

    /// Returns true if the connections to a far host fill the line, and the goodput of a smaller number of
    /// connections was never measured.
    fn fills_line_from_afar(&self) -> bool {
        self.usage.is_far && self.steps_down && self.queue.is_full() && self.target > self.least()
    }

    fn try_more(&mut self, now: Duration, to: usize, goodput: f64) {
        self.phase = Phase::TryMore { from: self.target, before: goodput };
        self.set_target(now, to, goodput, StepReason::TryMore);
    }

    /// Tries fewer connections than the target. The goodput of these connections will be compared with
    /// `before`.
    fn try_fewer(&mut self, now: Duration, to: usize, before: f64) {
        self.phase = Phase::TryFewer { from: self.target, before };
        self.set_target(now, to.max(self.least()), before, StepReason::TryFewer);
    }

    /// Keeps the target for a while. `goodput` is its goodput, and `next` is the direction of the next trial.
    pub(super) fn hold(&mut self, now: Duration, goodput: f64, next: Direction) {
        self.phase = Phase::Hold { until: now + self.next_hold, goodput };
        self.next_hold = (self.next_hold * 2).min(HOLD.1);
        (self.has_held, self.next_trial, self.window) = (true, next, None);
        self.keep_best(goodput, true);
    }

    /// Ends a trial without a result.
    pub(super) fn end_trial(&mut self, now: Duration) {
        self.phase = match self.phase {
            phase @ (Phase::Ramp | Phase::Hold { .. }) => phase,
            _ if self.has_held => Phase::Hold { until: now, goodput: 0.0 },
            _ => Phase::Ramp,
        };
    }
}

/// Returns the share of the ideal gain that `more` connections have over `fewer` connections. `their_goodput`
/// is the goodput of `fewer` connections, and `goodput` is the goodput of `more` connections.
fn gain(fewer: usize, their_goodput: f64, more: usize, goodput: f64) -> f64 {
    let ideal = more as f64 / fewer as f64 - 1.0;
    if their_goodput > 0.0 { (goodput / their_goodput - 1.0) / ideal } else { f64::from(goodput > 0.0) }
}
