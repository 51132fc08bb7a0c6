//! The controller: what it is told, what it answers, and its bounds. What it decides is in [`super::phase`].
//!
//! Invariant: the target is at least 1 and at most the ceiling, and a window is measured only while exactly
//! the target's number of connections is in use.

use super::backoff::Backoff;
use super::phase::{Direction, HOLD, Phase};
use super::window::{Measurement, MeasurementWindow};
use super::{Allowance, Observation, Step, StepReason};
use std::time::Duration;

/// The most connections to a host when the user named no number: what a line that loses one packet in a
/// hundred needs to be filled. The default of `--max-per-host`.
pub const AUTO_MOST: usize = 64;

/// A host that takes this long to answer begins with [`FAR_TARGET`] connections for a file, as soon as it is
/// known to serve ranges: on such lines a single connection needs seconds to be up to speed, and every loss
/// throws it back.
const FAR: Duration = Duration::from_millis(10);

/// Half of what people set aria2 to by hand. What does not help is halved again without a hold.
pub(super) const FAR_TARGET: usize = 8;

/// How many steps are kept, for `--explain`. The first ones are the ramp, the last ones the
/// result.
const STEPS_MOST: usize = 64;

/// Decides the number of connections to one host, or the number of files at once.
///
/// Tell it [`opened`](Self::on_opened) and [`closed`](Self::on_closed) connections, and what the plans
/// [observe](Self::on); ask for the [`allowance`](Self::allowance) before a connection is opened or stopped.
#[derive(Debug)]
pub struct Controller {
    /// The highest target.
    ceiling: usize,
    /// The host itself refused more than the ceiling, which then counts for a user's own number too.
    limited: bool,
    pub(super) target: usize,
    pub(super) phase: Phase,
    /// The measurement that goes on.
    pub(super) window: Option<MeasurementWindow>,
    /// How long the next hold is.
    pub(super) next_hold: Duration,
    /// There was a hold.
    pub(super) has_held: bool,
    /// Which way the trial after the hold goes.
    pub(super) next_trial: Direction,
    /// Nothing is known of fewer connections: one step down follows another.
    pub(super) steps_down: bool,
    /// With more connections than these, everything was slower the last time; 0 if that never happened.
    pub(super) collapsed_above: usize,
    backoff: Backoff,
    pub(super) usage: Usage,
    steps: Vec<Step>,
}

/// What there is now.
#[derive(Debug)]
pub(super) struct Usage {
    /// Connections may be stopped. Files may not.
    may_stop: bool,
    /// Open connections.
    pub(super) connections: usize,
    /// Files that have one connection or more.
    pub(super) files: usize,
    /// Bytes that all connections brought so far.
    bytes: u64,
    /// The latency of the host was taken into account.
    latency_known: bool,
}

impl Controller {
    /// Returns a controller of connections that begins with one, and never wants more than `most` or
    /// [`AUTO_MOST`].
    pub fn new(most: usize) -> Self {
        Controller::starting_at(1, most.clamp(1, AUTO_MOST), true)
    }

    /// Returns a controller of files at once that begins with `least`, and never wants more than `most`. No
    /// file that has begun is stopped.
    pub fn for_files(least: usize, most: usize) -> Self {
        Controller::starting_at(least, most.max(least), false)
    }

    fn starting_at(target: usize, ceiling: usize, may_stop: bool) -> Self {
        Controller {
            ceiling,
            limited: false,
            target,
            phase: Phase::Ramp,
            window: None,
            next_hold: HOLD.0,
            has_held: false,
            next_trial: Direction::More,
            steps_down: false,
            collapsed_above: 0,
            backoff: Backoff::default(),
            usage: Usage { may_stop, connections: 0, files: 0, bytes: 0, latency_known: false },
            steps: Vec::new(),
        }
    }

    /// Returns how many connections there should be.
    pub fn target(&self) -> usize {
        self.target
    }

    /// Returns how many connections there are.
    pub fn in_use(&self) -> usize {
        self.usage.connections
    }

    /// Returns the changes of the target, oldest first.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns how many more connections a file may have, if other bounds allow `most` more. `named`: the
    /// user said how many connections each file has.
    pub fn allowance(&self, most: usize, named: bool) -> Allowance {
        let limit = match (named, self.limited) {
            (false, _) => self.target,
            (true, true) => self.ceiling,
            (true, false) => usize::MAX,
        };
        let in_use = self.in_use();
        let surplus = if named || !self.may_stop() { 0 } else { in_use.saturating_sub(limit) };
        let worth = limit.saturating_sub(in_use).min(most);
        Allowance { most, worth, surplus, not_before: self.backoff.not_before() }
    }

    /// A connection was opened. `first`: its file had none.
    pub fn on_opened(&mut self, first: bool) {
        self.usage.connections += 1;
        self.usage.files += usize::from(first);
    }

    /// A connection was closed. `last`: its file has no other one.
    pub fn on_closed(&mut self, last: bool) {
        self.usage.connections = self.usage.connections.saturating_sub(1);
        self.usage.files = self.usage.files.saturating_sub(usize::from(last));
    }

    /// Takes in what a plan observed.
    pub fn on(&mut self, now: Duration, observation: Observation) {
        match observation {
            Observation::Progress { bytes, latency } => self.on_progress(now, bytes, latency),
            Observation::Works => self.backoff.on_success(),
            Observation::Broken { wait } => self.on_broken(now, wait),
            Observation::Refused { wait, deliberate } => self.on_refused(now, wait, deliberate),
        }
    }

    /// So many more bytes came, from a host that takes `latency` to bring the first byte of a response.
    pub fn on_progress(&mut self, now: Duration, bytes: u64, latency: Duration) {
        self.usage.bytes = self.usage.bytes.saturating_add(bytes);
        self.start_far_host(now, latency);
        self.grant_each_file_one(now);
        if self.in_use() < self.target || (self.may_stop() && self.in_use() > self.target) {
            self.window = None;
            return;
        }
        let bytes = self.usage.bytes;
        let Some(window) = &mut self.window else {
            self.window = Some(MeasurementWindow::begin(now, bytes));
            return;
        };
        let Some(goodput) = window.goodput(now, bytes, latency) else { return };
        let ramp = !self.has_held && matches!(self.phase, Phase::Ramp | Phase::Recheck { .. });
        if window.is_full(now, latency, ramp) {
            let measured = window.end(now, bytes, goodput, self.target, latency);
            self.decide(now, measured);
        } else if self.is_beyond_doubt(goodput) {
            self.decide(now, Measurement { goodput, previous: 0.0, settled: false, caught_up: false });
        }
    }

    /// A connection broke in the middle of its work. `wait` is what the host asked for.
    fn on_broken(&mut self, now: Duration, wait: Duration) {
        self.backoff.on_failure(now, wait);
        self.window = None;
    }

    /// The host refused a connection: it gets no more than there are now. What may be an accident (not
    /// `deliberate`) has to happen twice in a row for that.
    fn on_refused(&mut self, now: Duration, wait: Duration, deliberate: bool) {
        self.on_broken(now, wait);
        let in_use = self.in_use();
        // Where no connection is left, their number was not what was wrong.
        if in_use > 0 && (deliberate || self.backoff.is_repeated()) && in_use < self.ceiling {
            self.set_ceiling(now, in_use, true);
        }
    }

    /// Sets the highest target. `limited`: the host itself does not take more.
    pub(super) fn set_ceiling(&mut self, now: Duration, most: usize, limited: bool) {
        (self.ceiling, self.limited) = (most.max(1), limited);
        self.end_trial(now);
        self.set_target(now, self.target.min(self.ceiling), 0.0, StepReason::Refused);
    }

    /// No more connections than the target bring anything: a host that punishes more of them is not provoked
    /// again.
    pub(super) fn lower_ceiling_to_target(&mut self) {
        self.ceiling = self.target;
    }

    /// Returns true if the target may be raised.
    pub(super) fn may_rise(&self) -> bool {
        self.target < self.ceiling
    }

    /// Returns the lowest target to try: each file has one connection.
    pub(super) fn least(&self) -> usize {
        self.usage.files.clamp(1, self.ceiling)
    }

    /// Changes the target, and begins to measure anew.
    pub(super) fn set_target(&mut self, now: Duration, to: usize, goodput: f64, why: StepReason) {
        let to = to.clamp(1, self.ceiling);
        self.window = None;
        if to != self.target {
            self.record(now, to, goodput, why);
            self.target = to;
        }
    }

    /// Keeps a step, for `--explain`.
    pub(super) fn record(&mut self, at: Duration, to: usize, goodput: f64, why: StepReason) {
        if self.steps.len() == STEPS_MOST {
            // The ramp stays.
            self.steps.remove(STEPS_MOST / 2);
        }
        self.steps.push(Step { at, from: self.target, to, goodput, why });
    }

    /// Begins with several connections where a single one would be slow for seconds.
    fn start_far_host(&mut self, now: Duration, latency: Duration) {
        let known = std::mem::replace(&mut self.usage.latency_known, true);
        if !known && latency >= FAR && self.target < FAR_TARGET {
            self.set_target(now, FAR_TARGET, 0.0, StepReason::FarHost);
            self.steps_down = true;
        }
    }

    /// Raises the target to the number of files: as many files as the user wants at once have one connection
    /// each.
    fn grant_each_file_one(&mut self, now: Duration) {
        if self.usage.files <= self.target {
            return;
        }
        let phase = self.phase;
        self.end_trial(now);
        (self.target, self.window) = (self.usage.files.min(self.ceiling), None);
        if let Phase::TryFewer { before, .. } = phase {
            self.steps_down = false;
            self.hold(now, before, Direction::More);
        }
    }

    /// Surplus connections are stopped only where one file has them all. Of several files each would stop
    /// some, and files that come and go would end connections of others that are needed again at once.
    fn may_stop(&self) -> bool {
        self.usage.may_stop && self.usage.files < 2
    }
}
