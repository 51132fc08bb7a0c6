//! How many connections a host gets, over all files: each file's first one is the download itself, and more are added
//! only while they help.
//!
//! Arithmetic only: [`Pace::brought`] is told what came, [`Pace::room`] answers. A level is doubled as long as the gain
//! is at least a third of the ideal one (twice the connections, twice the bytes); what did not help is taken back and
//! measured again, since what the line gave a moment ago may be what it does not give any more; and now and then a
//! quarter fewer are tried. Only what was measured while a level was really in use counts. Invariant: never more than the
//! ceiling, nor than what a host that refused one, or that slowed everything down, allows; never less than one.

use std::time::Duration;

/// The most connections to a host when nobody named a number, if each doubling up to there helped: what a line that
/// loses one packet in a hundred needs to be filled. The default of `--max-per-host`.
const AUTO_MOST: usize = 64;

/// A level is judged over at least this long: shorter, and a loopback or LAN transfer is judged by the scheduler's
/// moods.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);

/// Goodput that grew by more than this between two looks is still TCP's own slow start, which says nothing about the
/// number of connections.
const STILL_GROWING: f64 = 1.15;

/// But for no longer than so many looks after the first: each takes three round trips, in which slow start grows by eight, and
/// from ten packets it is beyond the largest receive window by then. What still grows is congestion avoidance, which on a
/// long line takes minutes: more connections are quicker.
const SLOW_START_LOOKS: u32 = 3;

/// The share of the ideal gain that makes a doubling worth it.
const WORTH_IT: f64 = 1.0 / 3.0;

/// Fewer connections are kept if they bring this much of what more did: the difference is what two looks at the same level
/// differ by. With the measure for a doubling, each step down would give away a tenth.
const AS_GOOD: f64 = 0.95;

/// Where half as many bring so many times more, measured before and after (goodput halved after a step up), the host
/// punishes: more are tried after the longest rest, once, and then not again.
const COLLAPSE: f64 = 2.0;

/// A file from a host that takes this long to answer begins with [`FAR_LEVEL`] connections, as soon as parts are known to
/// work: on such lines a single one needs seconds to be up to speed, and every loss throws it back.
const FAR: Duration = Duration::from_millis(10);

/// Half of what people set aria2 to by hand; what does not help is taken back.
const FAR_LEVEL: usize = 8;

/// What was measured at another level holds for so long.
const FRESH: Duration = Duration::from_secs(5);

/// How long a level that turned out best is kept before another one is tried, at first and at most; doubled each time that
/// nothing better was found.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(32));

/// Steps that are remembered, to be told when somebody asks why: the first of them are the ramp, the last what came of it.
const STEPS_MOST: usize = 64;

/// The connections of one host.
#[derive(Debug)]
pub struct Pace {
    ceiling: usize,
    /// The ceiling is what the host allows.
    limited: bool,
    level: usize,
    /// Connections that there are.
    in_use: usize,
    /// Bytes that came over all of them.
    bytes: u64,
    /// What was measured: level, bytes a second, when.
    measured: Vec<(usize, f64, Duration)>,
    look: Option<Look>,
    /// No other level before this, and how long that is the next time.
    rest_until: Duration,
    rest: Duration,
    /// The next level to try is a lower one.
    down_next: bool,
    /// Fewer connections are tried than these, which brought so much.
    tried_from: Option<(usize, f64)>,
    /// The distance of the host was taken into account.
    placed: bool,
    /// With more than these, everything was slower the last time.
    collapsed: usize,
    /// No further connection before this.
    closed_until: Duration,
    /// Refusals since bytes last came over a further connection.
    refusals: u32,
    steps: Vec<Step>,
}

/// A span of time in which a level is really in use.
#[derive(Debug, Clone, Copy)]
struct Look {
    from: Duration,
    bytes: u64,
    /// Bytes a second in the look before.
    last: Option<f64>,
    /// Looks at this level before.
    before: u32,
}

/// What a plan may do about connections now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// So many more may be opened, by all bounds.
    pub most: usize,
    /// So many more are worth it, for a file that has one already; at most `most`.
    pub worth: usize,
    /// But none beside others before this.
    pub not_before: Duration,
}

/// What a plan learns about the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Bytes came, from a host that takes so long to bring the first one.
    Brought(u64, Duration),
    /// A connection brought enough bytes to be worth it.
    Works,
    /// A connection broke in the middle of its work, and the host asked for such a wait (or none): another may take its
    /// place, soon.
    Broke(Duration),
    /// A connection was refused, or brought next to nothing, and the host asked for such a wait (or none).
    Refused {
        /// No connection before this is over.
        wait: Duration,
        /// It is no accident.
        meant: bool,
    },
}

/// A change of the number of connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// From so many.
    pub from: usize,
    /// To so many.
    pub to: usize,
    /// Bytes a second, at the number before; 0 if that says nothing.
    pub goodput: f64,
    /// Why.
    pub why: Why,
}

/// Why the number of connections was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The host is far away: a single one would need seconds to be up to speed.
    Far,
    /// Twice as many are tried.
    Try,
    /// What was tried is better.
    Better,
    /// More brought too little.
    NoGain,
    /// Fewer are tried.
    Less,
    /// The host refuses more.
    Refused,
    /// With more, everything was slower.
    Collapse,
}

impl Pace {
    /// Begins with one, and never goes beyond `most`.
    pub fn new(most: usize) -> Self {
        Pace::from(1, most.clamp(1, AUTO_MOST))
    }

    /// Finds out how many files at once are worth it: begins with `least`, and never goes beyond `most`.
    pub fn of_files(least: usize, most: usize) -> Self {
        Pace::from(least, most.max(least))
    }

    fn from(level: usize, ceiling: usize) -> Self {
        Pace {
            ceiling,
            limited: false,
            level,
            in_use: 0,
            bytes: 0,
            measured: Vec::new(),
            look: None,
            rest_until: Duration::ZERO,
            rest: REST.0,
            down_next: false,
            tried_from: None,
            placed: false,
            collapsed: 0,
            closed_until: Duration::ZERO,
            refusals: 0,
            steps: Vec::new(),
        }
    }

    /// How many there should be.
    pub fn lanes(&self) -> usize {
        self.level
    }

    /// How many there are.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// One was opened.
    pub fn opened(&mut self) {
        self.in_use += 1;
    }

    /// One is through.
    pub fn closed(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// What a file may do, if by other bounds it may open `most` more. `named`: the person said how many it shall have.
    pub fn room(&self, most: usize, named: bool) -> Room {
        let limit = if !named {
            self.level
        } else if self.limited {
            self.ceiling
        } else {
            usize::MAX
        };
        Room { most, worth: limit.saturating_sub(self.in_use).min(most), not_before: self.closed_until }
    }

    /// What was done about it, oldest first.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Takes in what a plan learned.
    pub fn hear(&mut self, now: Duration, news: News) {
        match news {
            News::Brought(bytes, latency) => self.brought(now, bytes, latency),
            News::Works => self.refusals = 0,
            News::Broke(wait) => self.broke(now, wait),
            News::Refused { wait, meant } => self.refused(now, wait, meant),
        }
    }

    /// So many bytes came, and a request takes `latency` to bring its first one.
    pub fn brought(&mut self, now: Duration, bytes: u64, latency: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        if !std::mem::replace(&mut self.placed, true) && latency >= FAR && self.level < FAR_LEVEL {
            self.step(now, FAR_LEVEL, 0.0, Why::Far);
        }
        // As many files as the person wants at once have one each, whatever else is worth it.
        if self.in_use > self.level && self.tried_from.is_none() {
            self.level = self.in_use.min(self.ceiling);
            self.look = None;
        }
        if self.in_use < self.level || now < self.rest_until {
            self.look = None;
            return;
        }
        let Some(look) = self.look else {
            self.look = Some(Look { from: now, bytes: self.bytes, last: None, before: 0 });
            return;
        };
        let time = now.saturating_sub(look.from);
        if time < (latency * 3).max(SHORTEST_LOOK) {
            return;
        }
        let goodput = self.bytes.saturating_sub(look.bytes) as f64 / time.as_secs_f64();
        // The first look of a level is its slow start.
        let settled = look.last.is_some_and(|last| goodput <= last * STILL_GROWING);
        let (last, before) = (Some(goodput), look.before + 1);
        self.look = Some(Look { from: now, bytes: self.bytes, last, before });
        if settled || before > SLOW_START_LOOKS {
            self.judge(now, goodput);
        }
    }

    fn judge(&mut self, now: Duration, goodput: f64) {
        self.look = None;
        if let Some((more, before)) = self.tried_from.take() {
            if goodput < before * AS_GOOD {
                self.step(now, more, goodput, Why::Better);
            }
            return self.keep(now, false);
        }
        self.measured.retain(|(level, _, at)| *level != self.level && now < *at + FRESH);
        let (half, twice) = (self.level.div_ceil(2), (self.level * 2).min(self.ceiling));
        let of = |level: usize| self.measured.iter().find(|one| one.0 == level).map(|one| one.1);
        let (lower, upper) = (of(half), of(twice));
        self.measured.push((self.level, goodput, now));
        match (lower, upper) {
            (_, Some(upper)) if twice > self.level => {
                if is_worth_it(self.level, goodput, twice, upper) {
                    self.step(now, twice, goodput, Why::Better);
                    self.rest = REST.0;
                } else if goodput > upper * COLLAPSE {
                    // Once may have been other traffic's doing.
                    if std::mem::replace(&mut self.collapsed, self.level) == self.level {
                        self.ceiling = self.level;
                    }
                    self.note(now, self.level, goodput, Why::Collapse);
                    self.rest = REST.1;
                    self.keep(now, true);
                } else {
                    self.keep(now, true);
                }
            }
            // Fewer connections at equal goodput are better, if that is what they still bring.
            (Some(lower), _) if half < self.level && !is_worth_it(half, lower, self.level, goodput) => {
                self.step(now, half, goodput, Why::NoGain);
            }
            // After a rest, not on the way up.
            (None, None) if self.down_next && half < self.level => {
                self.tried_from = Some((self.level, goodput));
                self.step(now, (self.level * 3 / 4).max(half), goodput, Why::Less);
            }
            _ if twice > self.level => self.step(now, twice, goodput, Why::Try),
            _ => self.keep(now, true),
        }
    }

    fn step(&mut self, now: Duration, to: usize, goodput: f64, why: Why) {
        let to = to.clamp(1, self.ceiling);
        if to != self.level {
            self.note(now, to, goodput, why);
            self.level = to;
        }
    }

    fn note(&mut self, at: Duration, to: usize, goodput: f64, why: Why) {
        if self.steps.len() == STEPS_MOST {
            // The ramp stays.
            self.steps.remove(STEPS_MOST / 2);
        }
        self.steps.push(Step { at, from: self.level, to, goodput, why });
    }

    /// Nothing better was found: this level stays for a while. The next one to try is a lower one, or a higher one.
    fn keep(&mut self, now: Duration, down_next: bool) {
        self.rest_until = now + self.rest;
        self.rest = (self.rest * 2).min(REST.1);
        self.down_next = down_next;
        self.measured.clear();
    }

    /// After a wait that grows, the host is asked for no more than there are now. What may be an accident (not `meant`)
    /// has to happen twice in a row for that.
    fn refused(&mut self, now: Duration, wait: Duration, meant: bool) {
        self.broke(now, wait);
        // Where nobody is left, the number of connections was not what was wrong.
        if self.in_use > 0 && (meant || self.refusals > 1) && self.in_use < self.ceiling {
            self.ceiling = self.in_use;
            self.step(now, self.level.min(self.ceiling), 0.0, Why::Refused);
            self.measured.clear();
            self.tried_from = None;
            self.limited = true;
        }
    }

    fn broke(&mut self, now: Duration, wait: Duration) {
        self.refusals = self.refusals.saturating_add(1);
        self.look = None;
        self.closed_until = self.closed_until.max(now + wait.max(self.pause()));
    }

    /// A tenth of a second, doubled with each failure in a row, at most 13 s: the third of a minute that a host which
    /// counts requests by the minute may need.
    fn pause(&self) -> Duration {
        Duration::from_millis(50 << self.refusals.min(8))
    }
}

/// Whether `more` connections bring enough more than `fewer`.
fn is_worth_it(fewer: usize, their_goodput: f64, more: usize, goodput: f64) -> bool {
    let ideal = more as f64 / fewer as f64 - 1.0;
    goodput >= their_goodput * (1.0 + WORTH_IT * ideal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a pace see a line on which `n` connections together get `goodput(n)` bytes a second.
    fn settle(pace: &mut Pace, seconds: u64, goodput: impl Fn(usize) -> f64) -> Vec<usize> {
        let mut levels = vec![pace.lanes()];
        let start = pace.rest_until.max(pace.measured.last().map_or(Duration::ZERO, |one| one.2));
        for step in 0..seconds * 50 {
            let now = start + Duration::from_millis(step * 20);
            pace.in_use = pace.lanes();
            let bytes = (goodput(pace.lanes()) / 50.0) as u64;
            pace.hear(now, News::Brought(bytes, Duration::from_millis(5)));
            if levels.last() != Some(&pace.lanes()) {
                levels.push(pace.lanes());
            }
        }
        levels
    }

    #[test]
    fn a_full_line_keeps_one_connection() {
        let mut pace = Pace::new(64);
        assert!(settle(&mut pace, 3, |_| 1e8).starts_with(&[1, 2, 1]));
        let levels = settle(&mut Pace::new(64), 60, |_| 1e8);
        assert!(levels.iter().all(|&level| level < 3) && levels.len() < 15, "{levels:?}");
    }

    #[test]
    fn what_the_line_gave_before_is_not_what_it_gives_now() {
        // The first connection is fast until it meets its first loss.
        let mut pace = Pace::new(64);
        settle(&mut pace, 1, |n| if n == 1 { 3e7 } else { 1e6 * n as f64 });
        let levels = settle(&mut pace, 20, |n| 1e6 * n as f64);
        assert!(pace.lanes() > 16, "{levels:?}");
    }

    #[test]
    fn a_cap_for_each_connection_is_met_with_many() {
        let mut pace = Pace::new(64);
        let levels = settle(&mut pace, 9, |n| 1e6 * n as f64);
        assert!(levels.starts_with(&[1, 2, 4, 8, 16, 32, 64]), "{levels:?}");
        assert!(levels[7..].iter().all(|&level| level >= 48), "{levels:?}");
        let mut pace = Pace::new(64);
        settle(&mut pace, 9, |n| 1e6 * n.min(4) as f64);
        assert_eq!(pace.lanes(), 4);
    }

    #[test]
    fn a_host_that_punishes_is_not_provoked_again() {
        let mut pace = Pace::new(64);
        let levels = settle(&mut pace, 120, |n| if n > 4 { 1e6 } else { 1e6 * n as f64 });
        assert_eq!(levels.iter().filter(|&&level| level > 4).count(), 2, "{levels:?}");
        assert!(pace.steps().iter().any(|step| step.why == Why::Collapse));
    }

    #[test]
    fn what_grows_for_long_is_not_waited_for() {
        // Congestion avoidance on a long line: a fifth more in each look.
        let (mut pace, steps) = (Pace::new(64), std::cell::Cell::new(0));
        let levels = settle(&mut pace, 5, |n| {
            steps.set(steps.get() + 1);
            1e6 * n as f64 * 1.2_f64.powi(steps.get() / 5)
        });
        assert!(pace.lanes() >= 8, "{levels:?}");
    }

    #[test]
    fn fewer_are_kept_only_if_they_are_as_good() {
        // Below eight connections, each one less costs 4 %: too little for a doubling, too much to give away.
        let mut pace = Pace::new(64);
        settle(&mut pace, 2, |n| 1e6 * n.min(8) as f64);
        let levels = settle(&mut pace, 100, |n| 1e8 * (1.0 - 0.04 * 8_usize.saturating_sub(n) as f64));
        assert!(levels.contains(&6), "{levels:?}");
        assert_eq!(pace.lanes(), 8, "{levels:?}");
    }

    #[test]
    fn what_a_person_names_is_kept_to_and_a_refusal_is_remembered() {
        let mut pace = Pace::new(64);
        assert_eq!(pace.room(100, true).worth, 100);
        pace.in_use = 6;
        pace.hear(Duration::ZERO, News::Refused { wait: Duration::ZERO, meant: false });
        assert_eq!(pace.room(100, true).worth, 100, "once may be an accident");
        pace.in_use = 4;
        pace.hear(Duration::ZERO, News::Refused { wait: Duration::ZERO, meant: true });
        assert_eq!(pace.room(100, true).worth, 0);
        assert!(pace.room(100, true).not_before > Duration::ZERO);
        settle(&mut pace, 30, |n| 1e6 * n as f64);
        assert_eq!(pace.lanes(), 4);
    }

    #[test]
    fn files_at_once_share_what_is_worth_it() {
        let mut pace = Pace::new(64);
        (0..3).for_each(|_| pace.opened());
        assert_eq!(pace.room(10, false).worth, 0, "each has its own already");
        settle(&mut pace, 9, |n| 1e6 * n.min(8) as f64);
        pace.in_use = 5;
        assert_eq!(pace.room(10, false).worth, 3);
        assert_eq!(pace.room(2, false).worth, 2);
    }
}
