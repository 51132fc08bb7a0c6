//! How many connections a host gets, over all files: each file's first one is the download itself, and more are added
//! only while they help.
//!
//! Arithmetic only: [`Controller::brought`] is told what came, [`Controller::room`] answers. A level is doubled as long as the gain
//! is at least a twelfth of the ideal one (twice the connections, twice the bytes), and a large one quadrupled while it is nearly
//! ideal; what did not help is taken back at once and measured again, since what the line gave a moment ago may be what it
//! does not give any more. Then a level is kept for a while, or until the line gives less than it did, and now and then
//! fewer are tried. Only what was measured while a level was really in use counts: those of a file that is alone who are too
//! many are stopped; where there are several, they end by themselves. Invariant: never more than the ceiling, nor than what a host that refused one, or that slowed everything down, allows;
//! never less than one for each file.

mod bans;
mod contract;
mod host;
mod requests;

pub use contract::{Allowance, Observation, Step, Why};
pub use host::{Host, Learned, Lost};
use std::time::Duration;

/// The most connections to a host when nobody named a number, if each doubling up to there helped: what a line that
/// loses one packet in a hundred needs to be filled. The default of `--max-per-host`.
const AUTO_MOST: usize = 64;

/// A level is judged over looks of at least this, and of so many times what a request takes to bring its first byte. On a
/// near line it is three times the deepest queue that is common (100 ms): with shorter ones, what is seen is the queue.
const LOOK: (Duration, f64) = (Duration::from_millis(300), 1.5);

/// A gain that is nearly ideal is seen in a look of this already: shorter, and a loopback or LAN transfer is judged by the
/// scheduler's moods.
const GLANCE: Duration = Duration::from_millis(100);

/// Goodput that grew by more than this between two looks is still TCP's own slow start, which says nothing about the
/// number of connections.
const STILL_GROWING: f64 = 1.15;

/// But for no longer than so many looks after the first: slow start is over by then, also on a long line. What still grows
/// is congestion avoidance, which on such a line takes minutes: more connections are quicker.
const SLOW_START_LOOKS: u32 = 3;

/// What a new connection sends in its first round trip (RFC 6928), in bytes; doubled with each.
const FIRST_WINDOW: f64 = 14600.0;

/// The share of the ideal gain that makes more connections worth it. Two doublings that bring a little less are given up, a
/// seventh in all. With a third, which is more polite to others on the line, a tenth fewer of the simulated lines come within a
/// tenth of the best fixed number.
const WORTH_IT: f64 = 0.08;

/// A gain of this share is believed at once; a smaller one only when slow start is over.
const OBVIOUS: f64 = 1.0 / 3.0;

/// With this share, each connection has a limit of its own, and from [`FAR_LEVEL`] on the next step is two doublings.
const NEARLY_IDEAL: f64 = 0.8;

/// Fewer connections are kept if they bring this much of what more did: the difference is what two looks at the same level
/// differ by. With the measure for a doubling, each step down would give away a tenth.
const AS_GOOD: f64 = 0.95;

/// And they are given up at once if they bring less than this: nothing makes up for that.
const MUCH_WORSE: f64 = 0.7;

/// What was decided holds as long as the line gives this share of what it gave then: on a line with losses, the first
/// seconds are not what follows.
const FELL: f64 = 0.85;

/// Where half as many bring so many times more, measured before and after (goodput halved after a step up), the host
/// punishes: more are tried after the longest rest, once, and then not again.
const COLLAPSE: f64 = 2.0;

/// A file from a host that takes this long to answer begins with [`FAR_LEVEL`] connections, as soon as parts are known to
/// work: on such lines a single one needs seconds to be up to speed, and every loss throws it back.
const FAR: Duration = Duration::from_millis(10);

/// Half of what people set aria2 to by hand; what does not help is halved again without a rest.
const FAR_LEVEL: usize = 8;

/// How long a level that turned out best is kept before another one is tried, at first and at most; doubled each time that
/// nothing better was found.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(32));

/// Steps that are remembered, to be told when somebody asks why: the first of them are the ramp, the last what came of it.
const STEPS_MOST: usize = 64;

/// The connections of one host.
#[derive(Debug)]
pub struct Controller {
    ceiling: usize,
    /// The ceiling is what the host allows.
    limited: bool,
    level: usize,
    /// Connections are counted, of which some may be stopped; not files.
    stops: bool,
    /// Connections that there are, and files that have one of them or more.
    in_use: usize,
    files: usize,
    /// Bytes that came over all of them.
    bytes: u64,
    look: Option<Look>,
    /// No other level before this unless the line gives less than it did (bytes a second), and how long that is the next
    /// time.
    rest_until: Duration,
    rest: Duration,
    kept: f64,
    /// The next level to try is a lower one.
    down_next: bool,
    /// The level is a trial: it was so many before, which brought so much.
    trial_from: Option<(usize, f64)>,
    /// More were tried, and brought so much, which was not enough.
    more: Option<(usize, f64)>,
    /// Nothing was measured below: one step down follows another.
    descends: bool,
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
    /// When the first look at this level began, and this one.
    first: Duration,
    from: Duration,
    bytes: u64,
    /// Bytes a second in the look before.
    last: Option<f64>,
    /// Looks at this level before.
    before: u32,
}

impl Controller {
    /// Begins with one, and never goes beyond `most`.
    pub fn new(most: usize) -> Self {
        Controller::from(1, most.clamp(1, AUTO_MOST))
    }

    /// Finds out how many files at once are worth it: begins with `least`, and never goes beyond `most`. None that has begun is
    /// stopped.
    pub fn of_files(least: usize, most: usize) -> Self {
        Controller { stops: false, ..Controller::from(least, most.max(least)) }
    }

    fn from(level: usize, ceiling: usize) -> Self {
        Controller {
            ceiling,
            limited: false,
            level,
            stops: true,
            in_use: 0,
            files: 0,
            bytes: 0,
            look: None,
            rest_until: Duration::ZERO,
            rest: REST.0,
            kept: 0.0,
            down_next: false,
            trial_from: None,
            more: None,
            descends: false,
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

    /// One was opened, which may be the first one of a file.
    pub fn opened(&mut self, first: bool) {
        self.in_use += 1;
        self.files += usize::from(first);
    }

    /// One is through, which may have been the last one of a file.
    pub fn closed(&mut self, last: bool) {
        self.in_use = self.in_use.saturating_sub(1);
        self.files = self.files.saturating_sub(usize::from(last));
    }

    /// What a file may do, if by other bounds it may open `most` more. `named`: the person said how many it shall have.
    pub fn room(&self, most: usize, named: bool) -> Allowance {
        let limit = if !named {
            self.level
        } else if self.limited {
            self.ceiling
        } else {
            usize::MAX
        };
        let surplus = if named || !self.may_stop() { 0 } else { self.in_use.saturating_sub(limit) };
        let worth = limit.saturating_sub(self.in_use).min(most);
        Allowance { most, worth, surplus, not_before: self.closed_until }
    }

    /// Those that are too many are stopped only where one file has them all: of several, each would stop some, and files that
    /// come and go would have connections of others ended that are needed again at once.
    fn may_stop(&self) -> bool {
        self.stops && self.files < 2
    }

    /// The host stands no more than these; or it does, after all, up to `most`.
    pub(super) fn limit(&mut self, now: Duration, most: usize, limited: bool) {
        (self.ceiling, self.limited) = (most.max(1), limited);
        (self.trial_from, self.more) = (None, None);
        self.step(now, self.level.min(self.ceiling), 0.0, Why::Refused);
    }

    /// The lowest level to try.
    fn least(&self) -> usize {
        self.files.clamp(1, self.ceiling)
    }

    /// What was done about it, oldest first.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Takes in what a plan learned.
    pub fn hear(&mut self, now: Duration, news: Observation) {
        match news {
            Observation::Brought(bytes, latency) => self.brought(now, bytes, latency),
            Observation::Works => self.refusals = 0,
            Observation::Broke(wait) => self.broke(now, wait),
            Observation::Refused { wait, meant } => self.refused(now, wait, meant),
        }
    }

    /// So many bytes came, and a request takes `latency` to bring its first one.
    pub fn brought(&mut self, now: Duration, bytes: u64, latency: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        if !std::mem::replace(&mut self.placed, true) && latency >= FAR && self.level < FAR_LEVEL {
            self.step(now, FAR_LEVEL, 0.0, Why::Far);
            self.descends = true;
        }
        // As many files as the person wants at once have one each, whatever else is worth it.
        if self.files > self.level {
            let trial = self.trial_from.take().filter(|(from, _)| *from > self.level);
            (self.level, self.more, self.look) = (self.files.min(self.ceiling), None, None);
            // Fewer than that were tried: that is over.
            if let Some((_, before)) = trial {
                self.descends = false;
                self.keep(now, before, false);
            }
        }
        if self.in_use < self.level || (self.may_stop() && self.in_use > self.level) {
            self.look = None;
            return;
        }
        let Some(look) = self.look else {
            self.look = Some(Look { first: now, from: now, bytes: self.bytes, last: None, before: 0 });
            return;
        };
        let time = now.saturating_sub(look.from);
        if time < latency.mul_f64(LOOK.1).max(GLANCE) {
            return;
        }
        let goodput = self.bytes.saturating_sub(look.bytes) as f64 / time.as_secs_f64();
        // Nothing was tried yet, and on a near line a try costs little; on a long one, slow start takes eight round trips.
        let first = self.trial_from.is_none() && self.rest_until.is_zero();
        let shortest = if first { (latency * 8).clamp(GLANCE, LOOK.0) } else { LOOK.0 };
        if time < shortest {
            if let Some((fewer, before)) = self.trial_from
                && fewer < self.level
                && gain(fewer, before, self.level, goodput) >= NEARLY_IDEAL
            {
                self.judge_more(now, (fewer, before), goodput, false, false);
            }
            return;
        }
        let next =
            Look { from: now, bytes: self.bytes, last: Some(goodput), before: look.before + 1, ..look };
        self.look = Some(next);
        // The first look of a level is its slow start.
        let last = look.last.unwrap_or(0.0);
        let settled = goodput <= last * STILL_GROWING || look.before >= SLOW_START_LOOKS;
        if now >= self.rest_until {
            // Those that are new need so long to be where the others are.
            let windows = goodput / self.level as f64 * latency.as_secs_f64() / FIRST_WINDOW;
            let new = latency.mul_f64(2.0 + windows.max(1.0).log2());
            let caught_up = now >= look.first + new;
            self.judge(now, (last, goodput), settled, caught_up);
        } else if goodput.max(last) < self.kept * FELL && last > 0.0 {
            (self.rest, self.rest_until, self.down_next) = (REST.0, now, false);
        }
    }

    /// What the last two looks say about the level.
    fn judge(&mut self, now: Duration, looks: (f64, f64), settled: bool, caught_up: bool) {
        match self.trial_from {
            Some((fewer, before)) if fewer < self.level => {
                self.judge_more(now, (fewer, before), looks.1, settled, caught_up);
            }
            Some((more, before)) => self.judge_fewer(now, (more, before), looks, settled),
            None if settled => self.judge_kept(now, looks.1),
            None => {}
        }
    }

    /// More were tried.
    fn judge_more(
        &mut self,
        now: Duration,
        (fewer, before): (usize, f64),
        goodput: f64,
        settled: bool,
        caught_up: bool,
    ) {
        let level = self.level;
        let gain = gain(fewer, before, level, goodput);
        if gain >= if settled { WORTH_IT } else { OBVIOUS } {
            let times = if gain >= NEARLY_IDEAL && level >= FAR_LEVEL { 4 } else { 2 };
            (self.trial_from, self.rest, self.descends) = (None, REST.0, false);
            if level < self.ceiling {
                self.attempt(now, level * times, goodput, Why::Try);
            } else {
                self.keep(now, goodput, true);
            }
        } else if settled && caught_up {
            (self.trial_from, self.more) = (None, Some((level, goodput)));
            self.step(now, fewer, goodput, Why::NoGain);
        }
    }

    /// Fewer were tried.
    fn judge_fewer(
        &mut self,
        now: Duration,
        (more, before): (usize, f64),
        (last, goodput): (f64, f64),
        settled: bool,
    ) {
        let worse = before * AS_GOOD;
        if goodput < before * MUCH_WORSE || (settled && goodput.max(last) < worse) {
            (self.trial_from, self.descends) = (None, false);
            self.step(now, more, goodput, Why::Better);
            self.keep(now, goodput.max(before), false);
        } else if settled && goodput >= worse {
            self.trial_from = None;
            if self.descends && self.level > self.least() {
                // Against what was best, or many small losses would be a large one.
                self.attempt(now, self.level.div_ceil(2).max(self.least()), before, Why::Less);
            } else {
                self.keep(now, goodput, false);
            }
        }
    }

    /// No trial goes on, or one is over that brought too little.
    fn judge_kept(&mut self, now: Duration, goodput: f64) {
        let level = self.level;
        match self.more.take() {
            // The line does not give any more what it gave before.
            Some((more, theirs)) if gain(level, goodput, more, theirs) >= WORTH_IT => {
                self.step(now, more, goodput, Why::Better);
                self.rest = REST.0;
                self.keep(now, theirs, true);
            }
            Some((_, theirs)) if goodput > theirs * COLLAPSE => {
                // Once may have been other traffic's doing.
                if std::mem::replace(&mut self.collapsed, level) == level {
                    self.ceiling = level;
                }
                self.note(now, level, goodput, Why::Collapse);
                self.rest = REST.1;
                self.keep(now, goodput, true);
            }
            Some(_) if self.descends && level > self.least() => {
                self.attempt(now, level.div_ceil(2).max(self.least()), goodput, Why::Less);
            }
            Some(_) => self.keep(now, goodput, true),
            None if self.down_next && level > self.least() => {
                let fewer = (level * 3 / 4).max(level.div_ceil(2)).max(self.least());
                self.attempt(now, fewer, goodput, Why::Less);
            }
            None if level < self.ceiling => self.attempt(now, level * 2, goodput, Why::Try),
            None => self.keep(now, goodput, true),
        }
    }

    /// Tries another level than this one, which brings so much.
    fn attempt(&mut self, now: Duration, to: usize, goodput: f64, why: Why) {
        self.trial_from = Some((self.level, goodput));
        self.step(now, to, goodput, why);
    }

    fn step(&mut self, now: Duration, to: usize, goodput: f64, why: Why) {
        let to = to.clamp(1, self.ceiling);
        self.look = None;
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
    fn keep(&mut self, now: Duration, goodput: f64, down_next: bool) {
        self.rest_until = now + self.rest;
        self.rest = (self.rest * 2).min(REST.1);
        (self.kept, self.down_next, self.look) = (goodput, down_next, None);
    }

    /// After a wait that grows, the host is asked for no more than there are now. What may be an accident (not `meant`)
    /// has to happen twice in a row for that.
    fn refused(&mut self, now: Duration, wait: Duration, meant: bool) {
        self.broke(now, wait);
        // Where nobody is left, the number of connections was not what was wrong.
        if self.in_use > 0 && (meant || self.refusals > 1) && self.in_use < self.ceiling {
            self.ceiling = self.in_use;
            self.step(now, self.level.min(self.ceiling), 0.0, Why::Refused);
            (self.trial_from, self.more) = (None, None);
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

/// The share of the ideal gain that `more` connections bring over `fewer`.
fn gain(fewer: usize, their_goodput: f64, more: usize, goodput: f64) -> f64 {
    let ideal = more as f64 / fewer as f64 - 1.0;
    if their_goodput > 0.0 { (goodput / their_goodput - 1.0) / ideal } else { f64::from(goodput > 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a pace see a line on which `n` connections together get `goodput(n)` bytes a second.
    fn settle(pace: &mut Controller, seconds: u64, goodput: impl Fn(usize) -> f64) -> Vec<usize> {
        let mut levels = vec![pace.lanes()];
        let start = pace.rest_until.max(pace.look.map_or(Duration::ZERO, |look| look.from));
        pace.look = None;
        for step in 0..seconds * 50 {
            let now = start + Duration::from_millis(step * 20);
            pace.in_use = pace.lanes();
            let bytes = (goodput(pace.lanes()) / 50.0) as u64;
            pace.hear(now, Observation::Brought(bytes, Duration::from_millis(5)));
            if levels.last() != Some(&pace.lanes()) {
                levels.push(pace.lanes());
            }
        }
        levels
    }

    #[test]
    fn a_full_line_keeps_one_connection() {
        let mut pace = Controller::new(64);
        assert!(settle(&mut pace, 3, |_| 1e8).starts_with(&[1, 2, 1]));
        let levels = settle(&mut Controller::new(64), 60, |_| 1e8);
        assert!(levels.iter().all(|&level| level < 3) && levels.len() < 15, "{levels:?}");
    }

    #[test]
    fn what_the_line_gave_before_is_not_what_it_gives_now() {
        // The first connection is fast until it meets its first loss.
        let mut pace = Controller::new(64);
        settle(&mut pace, 1, |n| if n == 1 { 3e7 } else { 1e6 * n as f64 });
        let levels = settle(&mut pace, 20, |n| 1e6 * n as f64);
        assert!(pace.lanes() > 16, "{levels:?}");
    }

    #[test]
    fn a_cap_for_each_connection_is_met_with_many() {
        let mut pace = Controller::new(64);
        let levels = settle(&mut pace, 9, |n| 1e6 * n as f64);
        assert!(levels.starts_with(&[1, 2, 4, 8, 32, 64]), "{levels:?}");
        assert!(levels[6..].iter().all(|&level| level >= 48), "{levels:?}");
        let mut pace = Controller::new(64);
        settle(&mut pace, 9, |n| 1e6 * n.min(4) as f64);
        assert_eq!(pace.lanes(), 4);
    }

    #[test]
    fn a_host_that_punishes_is_not_provoked_again() {
        let mut pace = Controller::new(64);
        let levels = settle(&mut pace, 120, |n| if n > 4 { 1e6 } else { 1e6 * n as f64 });
        assert_eq!(levels.iter().filter(|&&level| level > 4).count(), 2, "{levels:?}");
        assert!(pace.steps().iter().any(|step| step.why == Why::Collapse));
    }

    #[test]
    fn what_grows_for_long_is_not_waited_for() {
        // Congestion avoidance on a long line: a fifth more in each look.
        let (mut pace, steps) = (Controller::new(64), std::cell::Cell::new(0));
        let levels = settle(&mut pace, 5, |n| {
            steps.set(steps.get() + 1);
            1e6 * n as f64 * 1.2_f64.powi(steps.get() / 5)
        });
        assert!(pace.lanes() >= 8, "{levels:?}");
    }

    #[test]
    fn fewer_are_kept_only_if_they_are_as_good() {
        // Below eight connections, each one less costs 4 %: too little for a doubling, too much to give away.
        let mut pace = Controller::new(64);
        settle(&mut pace, 2, |n| 1e6 * n.min(8) as f64);
        let levels = settle(&mut pace, 100, |n| 1e8 * (1.0 - 0.04 * 8_usize.saturating_sub(n) as f64));
        assert!(levels.contains(&6), "{levels:?}");
        assert_eq!(pace.lanes(), 8, "{levels:?}");
    }

    #[test]
    fn what_a_person_names_is_kept_to_and_a_refusal_is_remembered() {
        let mut pace = Controller::new(64);
        assert_eq!(pace.room(100, true).worth, 100);
        pace.in_use = 6;
        pace.hear(Duration::ZERO, Observation::Refused { wait: Duration::ZERO, meant: false });
        assert_eq!(pace.room(100, true).worth, 100, "once may be an accident");
        pace.in_use = 4;
        pace.hear(Duration::ZERO, Observation::Refused { wait: Duration::ZERO, meant: true });
        assert_eq!(pace.room(100, true).worth, 0);
        assert!(pace.room(100, true).not_before > Duration::ZERO);
        settle(&mut pace, 30, |n| 1e6 * n as f64);
        assert_eq!(pace.lanes(), 4);
    }

    #[test]
    fn files_at_once_share_what_is_worth_it() {
        let mut pace = Controller::new(64);
        (0..3).for_each(|_| pace.opened(true));
        assert_eq!(pace.room(10, false).worth, 0, "each has its own already");
        assert_eq!(pace.room(10, false).surplus, 0, "and keeps it");
        settle(&mut pace, 9, |n| 1e6 * n.min(12) as f64);
        pace.in_use = 9;
        assert_eq!(pace.room(10, false).worth, 3);
        assert_eq!(pace.room(2, false).worth, 2);
    }

    #[test]
    fn who_is_too_many_is_stopped_at_once() {
        let mut pace = Controller::new(64);
        settle(&mut pace, 9, |n| 1e6 * n.min(4) as f64);
        assert_eq!(pace.lanes(), 4);
        pace.in_use = 6;
        assert_eq!(
            pace.room(10, false),
            Allowance { most: 10, worth: 0, surplus: 2, not_before: Duration::ZERO }
        );
        assert_eq!(pace.room(10, true).surplus, 0, "a person named their number");
        let bytes = Observation::Brought(1, Duration::ZERO);
        pace.hear(Duration::from_secs(99), bytes);
        assert_eq!(pace.lanes(), 4, "who is not stopped yet is no reason for more");
        pace.files = 6;
        assert_eq!(pace.room(10, false).surplus, 0, "each file keeps one");
    }

    #[test]
    fn a_far_host_that_one_connection_empties_has_one_soon() {
        let mut pace = Controller::new(64);
        let (mut now, far) = (Duration::ZERO, Duration::from_millis(40));
        while now < Duration::from_secs(6) {
            pace.in_use = pace.lanes();
            pace.hear(now, Observation::Brought(2_000_000, far));
            now += Duration::from_millis(20);
        }
        let levels: Vec<_> = pace.steps().iter().map(|step| step.to).collect();
        assert!(levels.starts_with(&[8, 16, 8, 4, 2, 1]), "{levels:?}");
    }

    #[test]
    fn a_line_that_gives_less_than_it_did_is_looked_at_anew() {
        // Two are enough until the first losses; the rest that is over sooner is up to 32 s long.
        let mut pace = Controller::new(64);
        settle(&mut pace, 60, |n| 1e6 * n.min(2) as f64);
        assert_eq!(pace.lanes(), 2);
        let before = pace.rest_until;
        pace.in_use = 2;
        for step in 0..100 {
            let now = before - Duration::from_secs(3) + Duration::from_millis(step * 20);
            pace.hear(now, Observation::Brought(5_000 * pace.lanes() as u64, Duration::from_millis(5)));
            pace.in_use = pace.lanes();
        }
        assert!(pace.lanes() > 2);
    }

    /// On a line that is full whatever the number, there is little to try, and ever more rarely.
    #[test]
    fn several_files_do_not_make_it_swing() {
        for latency in [1, 40] {
            let mut pace = Controller::new(64);
            (0..4).for_each(|_| pace.opened(true));
            let step = Duration::from_millis(50);
            for n in 1..=1200 {
                while pace.room(100, false).worth > 0 {
                    pace.opened(false);
                }
                while pace.in_use() > pace.lanes().max(4) {
                    pace.closed(false);
                }
                pace.brought(step * n, 1_000_000, Duration::from_millis(latency));
            }
            assert!(pace.steps().len() < 24, "{latency} ms: {:?}", pace.steps());
            assert!(pace.lanes() >= 4);
        }
    }
}
