//! What the controller is doing, and what it decides after each measurement.
//!
//! Invariant: in [`Phase::TryMore`] the target is above `from`, in [`Phase::TryFewer`] below it. See the
//! table in the module's documentation.

use super::controller::FAR_TARGET;
use super::window::Measurement;
use super::{Controller, StepReason};
use std::time::Duration;

/// More connections are worth it if they bring this share of the ideal gain. Two doublings that bring a
/// little less, a seventh in all, are given up. With a third, which is more polite to others on the line, a
/// tenth fewer of the simulated lines come within a tenth of the best fixed number.
const WORTH_IT: f64 = 0.08;

/// A gain of this share is believed at once. A smaller one is believed only when slow start is over.
const OBVIOUS: f64 = 1.0 / 3.0;

/// With this share, each connection has a limit of its own. From [`FAR_TARGET`] on, the
/// next step is then two doublings.
const NEARLY_IDEAL: f64 = 0.8;

/// Fewer connections stay if they bring this share of what more brought: two windows at the same target
/// differ by as much. With the measure for a doubling, each step down would give away a tenth.
const AS_GOOD: f64 = 0.95;

/// Fewer connections are given up at once if they bring less than this share: nothing makes up for that.
const MUCH_WORSE: f64 = 0.7;

/// A target is held as long as the line gives this share of what it gave then: on a line with losses, the
/// first seconds are not what follows.
const FELL: f64 = 0.85;

/// If fewer connections bring more than so many times what more brought, measured before and after, the host
/// punishes. More are tried once again after the longest hold, and then never.
const COLLAPSE: f64 = 2.0;

/// How long a target is held before another one is tried, at first and at most. Doubled each time that
/// nothing better was found.
pub(super) const HOLD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(32));

/// What the controller is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Phase {
    /// The first target is measured. Nothing was tried before.
    Ramp,
    /// More connections are tried.
    TryMore {
        /// The target before.
        from: usize,
        /// Bytes a second that it brought.
        before: f64,
    },
    /// More connections brought too little, and the target is again what it was before.
    Recheck {
        /// The larger target.
        tried: usize,
        /// Bytes a second that it brought.
        brought: f64,
    },
    /// Fewer connections are tried.
    TryFewer {
        /// The target before.
        from: usize,
        /// Bytes a second that it brought.
        before: f64,
    },
    /// No other target is tried before `until`, unless the goodput falls.
    Hold {
        /// When the next one may be tried.
        until: Duration,
        /// Bytes a second that the target brought.
        goodput: f64,
    },
}

/// Which targets are tried next, after a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    More,
    Fewer,
}

impl Controller {
    /// Returns true if what a short window shows is beyond doubt: more connections bring nearly the ideal
    /// gain.
    pub(super) fn is_beyond_doubt(&self, goodput: f64) -> bool {
        matches!(self.phase, Phase::TryMore { from, before }
            if gain(from, before, self.target, goodput) >= NEARLY_IDEAL)
    }

    /// Decides what follows from a measurement of the target.
    pub(super) fn decide(&mut self, now: Duration, measured: Measurement) {
        match self.phase {
            Phase::TryMore { from, before } => self.decide_more(now, (from, before), measured),
            Phase::TryFewer { from, before } => self.decide_fewer(now, (from, before), measured),
            Phase::Hold { until, goodput } if now < until => self.watch(now, goodput, measured),
            Phase::Recheck { tried, brought } if measured.settled => {
                self.decide_recheck(now, (tried, brought), measured.goodput);
            }
            Phase::Ramp | Phase::Hold { .. } if measured.settled => self.begin_trial(now, measured.goodput),
            Phase::Recheck { .. } | Phase::Ramp | Phase::Hold { .. } => {}
        }
    }

    /// More connections were tried.
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
            if self.may_rise() {
                let factor = if gain >= NEARLY_IDEAL && target >= FAR_TARGET { 4 } else { 2 };
                self.try_more(now, target * factor, goodput);
            } else {
                self.hold(now, goodput, Direction::Fewer);
            }
        } else if settled && caught_up {
            self.phase = Phase::Recheck { tried: target, brought: goodput };
            self.set_target(now, from, goodput, StepReason::NoGain);
        }
    }

    /// More connections brought too little, and what fewer bring was measured again.
    fn decide_recheck(&mut self, now: Duration, (tried, brought): (usize, f64), goodput: f64) {
        let target = self.target;
        if gain(target, goodput, tried, brought) >= WORTH_IT {
            // The line does not give any more what it gave before.
            self.set_target(now, tried, goodput, StepReason::Better);
            self.next_hold = HOLD.0;
            self.hold(now, brought, Direction::Fewer);
        } else if goodput > brought * COLLAPSE {
            // The first time, it may have been other traffic.
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

    /// Fewer connections were tried.
    fn decide_fewer(
        &mut self,
        now: Duration,
        (from, before): (usize, f64),
        Measurement { goodput, previous, settled, .. }: Measurement,
    ) {
        let enough = before * AS_GOOD;
        if goodput < before * MUCH_WORSE || (settled && goodput.max(previous) < enough) {
            self.steps_down = false;
            self.set_target(now, from, goodput, StepReason::Better);
            self.hold(now, goodput.max(before), Direction::More);
        } else if settled && goodput >= enough {
            if self.steps_down && self.target > self.least() {
                // The next one is compared with the best goodput, or many small losses would become a large
                // one.
                self.try_fewer(now, self.target.div_ceil(2), before);
            } else {
                self.hold(now, goodput, Direction::More);
            }
        }
    }

    /// Ends a hold early if the line gives less than it did.
    fn watch(&mut self, now: Duration, held: f64, Measurement { goodput, previous, .. }: Measurement) {
        if goodput.max(previous) < held * FELL && previous > 0.0 {
            (self.next_hold, self.next_trial) = (HOLD.0, Direction::More);
            self.phase = Phase::Hold { until: now, goodput: held };
        }
    }

    /// Nothing is known of other targets, or a hold is over: tries another one, if there is one to try.
    fn begin_trial(&mut self, now: Duration, goodput: f64) {
        let target = self.target;
        if self.next_trial == Direction::Fewer && target > self.least() {
            let fewer = (target * 3 / 4).max(target.div_ceil(2));
            self.try_fewer(now, fewer, goodput);
        } else if self.may_rise() {
            self.try_more(now, target * 2, goodput);
        } else {
            self.hold(now, goodput, Direction::Fewer);
        }
    }

    fn try_more(&mut self, now: Duration, to: usize, goodput: f64) {
        self.phase = Phase::TryMore { from: self.target, before: goodput };
        self.set_target(now, to, goodput, StepReason::TryMore);
    }

    /// Tries fewer connections than the target, to be compared with `before`.
    fn try_fewer(&mut self, now: Duration, to: usize, before: f64) {
        self.phase = Phase::TryFewer { from: self.target, before };
        self.set_target(now, to.max(self.least()), before, StepReason::TryFewer);
    }

    /// Nothing better was found: the target stays for a while.
    pub(super) fn hold(&mut self, now: Duration, goodput: f64, next: Direction) {
        self.phase = Phase::Hold { until: now + self.next_hold, goodput };
        self.next_hold = (self.next_hold * 2).min(HOLD.1);
        (self.has_held, self.next_trial, self.window) = (true, next, None);
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

/// Returns the share of the ideal gain that `more` connections bring over `fewer`.
fn gain(fewer: usize, their_goodput: f64, more: usize, goodput: f64) -> f64 {
    let ideal = more as f64 / fewer as f64 - 1.0;
    if their_goodput > 0.0 { (goodput / their_goodput - 1.0) / ideal } else { f64::from(goodput > 0.0) }
}
