//! The controller: its inputs, its output and its limits. Its decisions are in [`super::phase`].
//!
//! Invariant: the target is at least 1 and at most the ceiling. The goodput is measured only while at least
//! as many connections are open as the target says. If surplus connections can be stopped, exactly as many
//! connections must be open as the target says.

use super::backoff::Backoff;
use super::phase::{Direction, HOLD, Phase};
use super::queue::Queue;
use super::window::{Measurement, MeasurementWindow};
use super::{Allowance, Level, Observation, Step, StepReason};
use std::time::Duration;

/// The highest number of connections to one host if the user set no number (the default of `--max-per-host`).
/// On a line that loses one packet in a hundred, about this many connections are needed to use the whole
/// line.
pub const AUTO_MOST: usize = 64;

/// A host is far away if its first byte takes at least this time, including the time to connect. A file then
/// gets [`FAR_TARGET`] connections as soon as the host has shown that it serves ranges, unless one connection
/// fills the line. If a host is so far away, every lost packet slows a connection down for seconds.
const FAR: Duration = Duration::from_millis(10);

/// If the first byte of a far host needs at least this time, [`FAR_TARGET`] connections start at once. The
/// reason is that the slow start of the first connection would take half a second or more. The time to the
/// first byte includes at least two round trips, because the connection is made first.
const SHORT_ENOUGH: Duration = Duration::from_millis(150);

/// The first target for a host that is far away, unless one connection alone fills the line. It is half of
/// the number that people usually set for aria2 (16). If eight connections do not help, the target is halved
/// again and again, without a hold between the steps.
pub(super) const FAR_TARGET: usize = 8;

/// At the beginning, the number of files at once doubles up to this number, without measurements. It doubles
/// when as many files have arrived as may be downloaded at once. If it starts at 4, it is 8 after 4 files,
/// and 16 after 8 more files. The number is low enough that only a few files fail if the host refuses
/// requests because it gets too many. People usually set this number for aria2 (`-j16`), and curl uses 50 by
/// default (`--parallel-max`).
const FILES_QUICKLY: usize = 16;

/// The number of steps that are kept for `--explain`. If there are more steps, steps in the middle are
/// removed, because the first steps show how the number of connections rose, and the last steps show the
/// result.
const STEPS_MOST: usize = 64;

/// Decides the number of connections to one host, or the number of files at once. A controller of files
/// counts each file as a connection.
///
/// Call [`on_opened`](Self::on_opened) and [`on_closed`](Self::on_closed) for each connection, and
/// [`on`](Self::on) for each observation of a plan. Call [`allowance`](Self::allowance) before you open or
/// stop a connection.
#[derive(Debug)]
pub struct Controller {
    /// The highest target. It starts at the limit of the user. It is lowered if the host refuses connections,
    /// or if more connections made the whole download slower.
    ceiling: usize,
    /// The number of connections above which the host bans the client, if this number is known. The target is
    /// never above this number either.
    tolerated: Option<usize>,
    /// True if the host refused more connections than `ceiling`. Then `ceiling` is also a limit for the
    /// number of connections that the user set for each file. Otherwise, that number may be above `ceiling`.
    limited: bool,
    pub(super) target: usize,
    /// In [`Phase::Ramp`], the target doubles without a measurement while it is lower than this number. The
    /// number is 0 in a controller of connections.
    quickly_to: usize,
    /// The number of files that arrived since the target was last doubled.
    arrived: usize,
    pub(super) phase: Phase,
    pub(super) window: Option<MeasurementWindow>,
    /// The length of the next hold.
    pub(super) next_hold: Duration,
    pub(super) has_held: bool,
    /// The direction of the trial after the next hold.
    pub(super) next_trial: Direction,
    /// True if fewer connections were never measured, and the target started at [`FAR_TARGET`] or at a number
    /// of an earlier run that the first measurement did not confirm. Steps down then follow each other
    /// without a hold.
    pub(super) steps_down: bool,
    /// The last target above which the whole download became slower, or 0 if there was no such target.
    pub(super) collapsed_above: usize,
    /// The level of an earlier run, until the first measurement shows if it is still right.
    pub(super) known: Option<Level>,
    /// The target of the last hold, or of the last successful trial after it. A trial of more connections
    /// counts only if its gain was at least a third of the ideal gain. It is `None` before the first of them.
    best: Option<Level>,
    backoff: Backoff,
    pub(super) queue: Queue,
    pub(super) usage: Usage,
    steps: Vec<Step>,
}

/// The open connections, and the bytes that were received in this run.
#[derive(Debug)]
pub(super) struct Usage {
    /// True if this controller counts connections, since it may stop them. It is false if the controller
    /// counts files, since it must not stop the download of a file.
    may_stop: bool,
    /// The number of open connections.
    pub(super) connections: usize,
    /// The number of files that have at least one connection. Two sources of one file at the host count as
    /// two files.
    pub(super) files: usize,
    /// The number of bytes that all connections have received in this run.
    pub(super) bytes: u64,
    /// True after the latency of the host was used to choose the first target.
    latency_known: bool,
    pub(super) is_far: bool,
}

impl Controller {
    /// Returns a controller of connections. Its target starts at 1 and is never above `most` or
    /// [`AUTO_MOST`].
    pub fn new(most: usize) -> Self {
        Controller::starting_at(1, most.clamp(1, AUTO_MOST), true)
    }

    /// Returns a controller of the number of files at once. Its target starts at `least` and is never above
    /// the larger of `least` and `most`. It never stops the download of a file.
    pub fn for_files(least: usize, most: usize) -> Self {
        let most = most.max(least);
        Controller { quickly_to: FILES_QUICKLY.min(most), ..Controller::starting_at(least, most, false) }
    }

    fn starting_at(target: usize, ceiling: usize, may_stop: bool) -> Self {
        Controller {
            ceiling,
            tolerated: None,
            limited: false,
            target,
            quickly_to: 0,
            arrived: 0,
            phase: Phase::Ramp,
            window: None,
            next_hold: HOLD.0,
            has_held: false,
            next_trial: Direction::More,
            steps_down: false,
            collapsed_above: 0,
            known: None,
            best: None,
            backoff: Backoff::default(),
            queue: Queue::default(),
            usage: Usage {
                may_stop,
                connections: 0,
                files: 0,
                bytes: 0,
                latency_known: false,
                is_far: false,
            },
            steps: Vec::new(),
        }
    }

    /// Starts at the level that an earlier run found. A controller of files starts at this level at once. A
    /// controller of connections waits for the first bytes, which show if the host is as far away as it was
    /// in the earlier run. A number that is not above the usual first target is not used: a wrong number
    /// would make the start slow, and the search finds a right number soon. Call this function before all
    /// other functions.
    pub fn start_at(&mut self, level: Level) {
        self.known = Some(level);
        if !self.usage.may_stop {
            self.set_first_target(Duration::ZERO, Duration::ZERO);
        }
    }

    /// Returns the best target so far: the target of the last hold, or of the last successful trial after it.
    /// A trial of more connections counts only if its gain was at least a third of the ideal gain, because a
    /// smaller gain may be chance.
    pub fn best(&self) -> Option<Level> {
        self.best
    }

    /// Returns the target: the number of connections that the controller wants now.
    pub fn target(&self) -> usize {
        self.target
    }

    /// Returns the number of open connections.
    pub fn in_use(&self) -> usize {
        self.usage.connections
    }

    /// Returns the steps, oldest first: the changes of the target, and each [`StepReason::Collapse`], which
    /// does not change the target. If there were more than 64 steps, some steps in the middle are missing.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns how many more connections a file may have, if other limits allow `most` more. `named` is true
    /// if the user set the number of connections of each file.
    pub fn allowance(&self, most: usize, named: bool) -> Allowance {
        let refused = if self.limited { self.ceiling } else { usize::MAX };
        let accepted = refused.min(self.tolerated.unwrap_or(usize::MAX));
        let limit = if named { accepted } else { self.target };
        let in_use = self.in_use();
        let surplus = if named || !self.may_stop() { 0 } else { in_use.saturating_sub(limit) };
        let worth = limit.saturating_sub(in_use).min(most);
        let replaces = most > 0 && in_use < accepted;
        Allowance { most, worth, replaces, surplus, not_before: self.backoff.not_before() }
    }

    /// Records that a connection was opened. `first` is true if its file had no other connection to the same
    /// source. In a controller of files, `first` is always false.
    pub fn on_opened(&mut self, first: bool) {
        self.usage.connections += 1;
        self.usage.files += usize::from(first);
    }

    /// Records that a connection was closed. `last` is true if its file has no other connection to the same
    /// source. In a controller of files, `last` is always false.
    pub fn on_closed(&mut self, last: bool) {
        self.usage.connections = self.usage.connections.saturating_sub(1);
        self.usage.files = self.usage.files.saturating_sub(usize::from(last));
    }

    /// Records an observation of a plan, and changes the target if the observation is a reason for a change.
    pub fn on(&mut self, now: Duration, observation: Observation) {
        match observation {
            Observation::Progress { bytes, latency } => self.on_progress(now, bytes, latency),
            Observation::Responded { waited } => self.queue.on_response(waited),
            Observation::RoundTrip { took } => self.queue.on_round_trip(took),
            Observation::Works => self.backoff.on_success(),
            Observation::Broken { wait } => self.on_broken(now, wait),
            Observation::Refused { wait, deliberate } => self.on_refused(now, wait, deliberate),
        }
    }

    /// Counts `bytes` more bytes from a host that needs `latency` for the first byte of a response. Changes
    /// the target if there is a reason, such as the end of a measurement.
    pub fn on_progress(&mut self, now: Duration, bytes: u64, latency: Duration) {
        self.usage.bytes = self.usage.bytes.saturating_add(bytes);
        self.set_first_target(now, latency);
        self.watch_slow_start(now);
        self.double(now);
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

    /// Records a connection that ended early. `wait` is the time that the host asked for, or zero.
    fn on_broken(&mut self, now: Duration, wait: Duration) {
        self.backoff.on_failure(now, wait);
        self.window = None;
    }

    /// Records a refused connection. If the number of open connections is below the ceiling and not 0, it
    /// becomes the ceiling. If the refusal may be a fault of the network (`deliberate` is false), the ceiling
    /// changes only after two failures in a row.
    fn on_refused(&mut self, now: Duration, wait: Duration, deliberate: bool) {
        self.on_broken(now, wait);
        let in_use = self.in_use();
        // If no connection is left, the number of connections was not the reason for the refusal.
        if in_use > 0 && (deliberate || self.backoff.is_repeated()) && in_use < self.ceiling() {
            (self.ceiling, self.limited) = (in_use, true);
            self.ceiling_changed(now);
        }
    }

    /// Sets the number of connections above which the host bans the client. `None` removes this limit.
    pub(super) fn set_tolerated(&mut self, now: Duration, tolerated: Option<usize>) {
        self.tolerated = tolerated.map(|most| most.max(1));
        self.ceiling_changed(now);
    }

    /// Ends a trial. If the target is above the new ceiling, lowers it to the ceiling.
    fn ceiling_changed(&mut self, now: Duration) {
        (self.known, self.quickly_to) = (None, 0);
        self.end_trial(now);
        self.set_target(now, self.target, 0.0, StepReason::Refused);
    }

    /// Returns the highest target that is allowed now.
    fn ceiling(&self) -> usize {
        self.tolerated.map_or(self.ceiling, |most| most.min(self.ceiling))
    }

    /// Makes the present target the ceiling, for a host that becomes slower with more connections. After
    /// that, no trial has more connections.
    pub(super) fn lower_ceiling_to_target(&mut self) {
        self.ceiling = self.target;
    }

    pub(super) fn may_rise(&self) -> bool {
        self.target < self.ceiling()
    }

    /// Returns the lowest target to try: one connection for each file, but not more than the ceiling.
    pub(super) fn least(&self) -> usize {
        self.usage.files.clamp(1, self.ceiling())
    }

    /// Changes the target, within its limits. The current measurement is dropped.
    pub(super) fn set_target(&mut self, now: Duration, to: usize, goodput: f64, why: StepReason) {
        let to = to.clamp(1, self.ceiling());
        self.window = None;
        if to != self.target {
            self.record(now, to, goodput, why);
            self.target = to;
        }
    }

    /// Records a step for `--explain`.
    pub(super) fn record(&mut self, at: Duration, to: usize, goodput: f64, why: StepReason) {
        if self.steps.len() == STEPS_MOST {
            self.steps.remove(STEPS_MOST / 2);
        }
        self.steps.push(Step { at, from: self.target, to, goodput, why });
    }

    /// Chooses the first target when the latency of the host is known. For a host that is far away, this is
    /// [`FAR_TARGET`]. If the response of such a host begins within [`SHORT_ENOUGH`], the slow start of the
    /// first connection is watched first, and the target stays at 1 if this connection fills the line. If an
    /// earlier run found a higher number to be the best, that number becomes the first target at once.
    fn set_first_target(&mut self, now: Duration, latency: Duration) {
        if std::mem::replace(&mut self.usage.latency_known, true) {
            return;
        }
        self.usage.is_far = latency >= FAR;
        let usual = if self.usage.is_far { self.target.max(FAR_TARGET) } else { self.target };
        self.known = self.known.filter(|level| level.far == self.usage.is_far && level.number > usual);
        match self.known {
            Some(level) => self.set_target(now, level.number, 0.0, StepReason::Remembered),
            None if usual > self.target && latency < SHORT_ENOUGH => {
                let bytes = self.usage.bytes;
                self.phase = Phase::SlowStart { since: now, bytes, goodput: 0.0 };
            }
            None => {
                self.steps_down = self.target < usual;
                self.set_target(now, usual, 0.0, StepReason::FarHost);
            }
        }
    }

    /// Counts a file that arrived. Doubles the number of files at once if as many files have arrived since
    /// the last doubling as may be downloaded at once. A measurement would take 0.1 s or more. In this time,
    /// a near host can send a thousand small files.
    fn double(&mut self, now: Duration) {
        if self.target >= self.quickly_to || self.phase != Phase::Ramp {
            return;
        }
        self.arrived += 1;
        if self.arrived >= self.target {
            self.arrived = 0;
            self.set_target(now, (self.target * 2).min(self.quickly_to), 0.0, StepReason::Arrived);
        }
    }

    /// Records that the target is the best one so far. `settled` is true if no other target is tried for now.
    /// While the connections belong to several files, nothing is recorded, because the number of files
    /// affects the comparison.
    pub(super) fn keep_best(&mut self, goodput: f64, settled: bool) {
        if self.usage.files < 2 {
            let goodput = settled.then_some(goodput);
            self.best = Some(Level { number: self.target, goodput, far: self.usage.is_far });
        }
    }

    /// Raises the target to the number of files, but not above the ceiling, so that each file has one
    /// connection. This controller does not decide how many files are downloaded at once.
    fn grant_each_file_one(&mut self, now: Duration) {
        if self.usage.files <= self.target {
            return;
        }
        let phase = self.phase;
        self.end_trial(now);
        (self.target, self.window) = (self.usage.files.min(self.ceiling()), None);
        if let Phase::TryFewer { before, .. } = phase {
            self.steps_down = false;
            self.hold(now, before, Direction::More);
        }
    }

    /// Returns true if surplus connections may be stopped. They are stopped only if all connections belong to
    /// one file. With several files, each new file would stop connections of the other files. When the new
    /// file ends, these connections would be needed again.
    fn may_stop(&self) -> bool {
        self.usage.may_stop && self.usage.files < 2
    }
}
