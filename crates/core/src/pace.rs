//! How many connections one file gets: the first one is the download itself, and more are added only while they help.
//!
//! Arithmetic only: [`Pace::observe`] is told how many bytes there are, [`Pace::lanes`] answers. A number that the
//! person named is used at once. Otherwise a level is doubled as long as the gain is at least a third of the ideal one
//! (twice the connections, twice the bytes); what did not help is taken back and measured again, since what the line gave
//! a moment ago may be what it does not give any more; and now and then a quarter fewer are tried. Invariant: never more than
//! the ceiling, nor than what a host that refused one allows; never less than one.

use std::time::Duration;

/// The most connections for one file when nobody named a number, if each doubling up to there helped: what a line that
/// loses one packet in a hundred needs to be filled. The default of `--max-per-host`.
const AUTO_MOST: usize = 64;

/// A level is judged over at least this long: shorter, and a loopback or LAN transfer is judged by the scheduler's
/// moods.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);

/// Goodput that grew by more than this between two looks is still TCP's own slow start, which says nothing about the
/// number of connections.
const STILL_GROWING: f64 = 1.15;

/// The share of the ideal gain that makes a doubling worth it.
const WORTH_IT: f64 = 1.0 / 3.0;

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

/// The number of connections of one file.
#[derive(Debug)]
pub struct Pace {
    ceiling: usize,
    auto: bool,
    level: usize,
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
    /// No further connection before this.
    closed_until: Duration,
    /// Refusals since bytes last came over a further connection.
    refusals: u32,
}

/// A span of time in which a level is really in use.
#[derive(Debug, Clone, Copy)]
struct Look {
    from: Duration,
    bytes: u64,
    /// Bytes a second in the look before.
    last: Option<f64>,
}

impl Pace {
    /// `connections`: the person's ceiling, or `None` to find out.
    pub fn new(connections: Option<usize>) -> Self {
        match connections {
            Some(ceiling) => Pace::from(ceiling.max(1), ceiling.max(1), false),
            None => Pace::from(1, AUTO_MOST, true),
        }
    }

    /// Finds out how many files at once are worth it: begins with `least`, and never goes beyond `most`.
    pub fn of_files(least: usize, most: usize) -> Self {
        Pace::from(least, most.max(least), true)
    }

    fn from(level: usize, ceiling: usize, auto: bool) -> Self {
        Pace {
            ceiling,
            auto,
            level,
            measured: Vec::new(),
            look: None,
            rest_until: Duration::ZERO,
            rest: REST.0,
            down_next: false,
            tried_from: None,
            placed: false,
            closed_until: Duration::ZERO,
            refusals: 0,
        }
    }

    /// How many connections there should be.
    pub fn lanes(&self) -> usize {
        self.level
    }

    /// Whether a further connection may be opened beside others.
    pub fn is_open(&self, now: Duration) -> bool {
        now >= self.closed_until
    }

    /// When one may, if not now.
    pub fn opens_at(&self) -> Duration {
        self.closed_until
    }

    /// So many bytes are there now, so many connections carry them, and a request takes `latency` to bring its first
    /// byte.
    pub fn observe(&mut self, now: Duration, bytes: u64, active: usize, latency: Duration) {
        if !self.auto {
            return;
        }
        if !std::mem::replace(&mut self.placed, true) && latency >= FAR {
            self.level = self.level.max(FAR_LEVEL).min(self.ceiling);
        }
        if active < self.level || now < self.rest_until {
            self.look = None;
            return;
        }
        let Some(look) = self.look else {
            self.look = Some(Look { from: now, bytes, last: None });
            return;
        };
        let time = now.saturating_sub(look.from);
        if time < (latency * 3).max(SHORTEST_LOOK) {
            return;
        }
        let goodput = bytes.saturating_sub(look.bytes) as f64 / time.as_secs_f64();
        // The first look of a level is its slow start.
        let settled = look.last.is_some_and(|last| goodput <= last * STILL_GROWING);
        self.look = Some(Look { from: now, bytes, last: Some(goodput) });
        if settled {
            self.judge(now, goodput);
        }
    }

    fn judge(&mut self, now: Duration, goodput: f64) {
        self.look = None;
        if let Some((more, before)) = self.tried_from.take() {
            if is_worth_it(self.level, goodput, more, before) {
                self.level = more.min(self.ceiling);
            }
            return self.keep(now);
        }
        self.measured.retain(|(level, _, at)| *level != self.level && now < *at + FRESH);
        let (half, twice) = (self.level.div_ceil(2), (self.level * 2).min(self.ceiling));
        let of = |level: usize| self.measured.iter().find(|one| one.0 == level).map(|one| one.1);
        let (lower, upper) = (of(half), of(twice));
        self.measured.push((self.level, goodput, now));
        match (lower, upper) {
            (_, Some(upper)) if twice > self.level => {
                if is_worth_it(self.level, goodput, twice, upper) {
                    self.level = twice;
                    self.rest = REST.0;
                } else {
                    self.keep(now);
                }
            }
            // Fewer connections at equal goodput are better, if that is what they still bring.
            (Some(lower), _) if half < self.level && !is_worth_it(half, lower, self.level, goodput) => {
                self.level = half;
            }
            // After a rest, not on the way up.
            (None, None) if self.down_next && half < self.level => {
                self.down_next = false;
                self.tried_from = Some((self.level, goodput));
                self.level = (self.level * 3 / 4).max(half);
            }
            _ if twice > self.level => self.level = twice,
            _ => self.keep(now),
        }
    }

    /// Nothing better was found: this level stays for a while.
    fn keep(&mut self, now: Duration) {
        self.rest_until = now + self.rest;
        self.rest = (self.rest * 2).min(REST.1);
        self.down_next = !self.down_next;
        self.measured.clear();
    }

    /// A connection was refused, or brought next to nothing, while `others` are there: after a wait that grows, the host
    /// is asked for no more than these. What may be an accident (not `meant`) has to happen twice in a row for that.
    pub fn refused(&mut self, now: Duration, others: usize, wait: Duration, meant: bool) {
        self.broke(now, wait);
        // Where nobody is left, the number of connections was not what was wrong.
        if others > 0 && (meant || self.refusals > 1) {
            self.ceiling = others.clamp(1, self.ceiling);
            self.level = self.level.min(self.ceiling);
            self.measured.clear();
            self.tried_from = None;
        }
    }

    /// A connection broke in the middle of its work: another may take its place, soon.
    pub fn broke(&mut self, now: Duration, wait: Duration) {
        self.refusals = self.refusals.saturating_add(1);
        self.look = None;
        self.closed_until = self.closed_until.max(now + wait.max(self.pause()));
    }

    /// A connection brought enough bytes to be worth it.
    pub fn works(&mut self) {
        self.refusals = 0;
    }

    /// From now on one connection only.
    pub fn only_one(&mut self) {
        (self.ceiling, self.level) = (1, 1);
        self.look = None;
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
        let (mut bytes, mut levels) = (0.0, vec![pace.lanes()]);
        let start = pace.rest_until.max(pace.measured.last().map_or(Duration::ZERO, |one| one.2));
        for step in 0..seconds * 50 {
            let now = start + Duration::from_millis(step * 20);
            bytes += goodput(pace.lanes()) / 50.0;
            pace.observe(now, bytes as u64, pace.lanes(), Duration::from_millis(5));
            if levels.last() != Some(&pace.lanes()) {
                levels.push(pace.lanes());
            }
        }
        levels
    }

    #[test]
    fn a_full_line_keeps_one_connection() {
        let mut pace = Pace::new(None);
        assert!(settle(&mut pace, 3, |_| 1e8).starts_with(&[1, 2, 1]));
        let levels = settle(&mut Pace::new(None), 60, |_| 1e8);
        assert!(levels.iter().all(|&level| level < 3) && levels.len() < 15, "{levels:?}");
    }

    #[test]
    fn what_the_line_gave_before_is_not_what_it_gives_now() {
        // The first connection is fast until it meets its first loss.
        let mut pace = Pace::new(None);
        settle(&mut pace, 1, |n| if n == 1 { 3e7 } else { 1e6 * n as f64 });
        let levels = settle(&mut pace, 20, |n| 1e6 * n as f64);
        assert!(pace.lanes() > 16, "{levels:?}");
    }

    #[test]
    fn a_cap_for_each_connection_is_met_with_many() {
        let mut pace = Pace::new(None);
        let levels = settle(&mut pace, 9, |n| 1e6 * n as f64);
        assert!(levels.starts_with(&[1, 2, 4, 8, 16, 32, 64]), "{levels:?}");
        assert!(levels[7..].iter().all(|&level| level >= 48), "{levels:?}");
        let mut pace = Pace::new(None);
        settle(&mut pace, 9, |n| 1e6 * n.min(4) as f64);
        assert_eq!(pace.lanes(), 4);
    }

    #[test]
    fn a_named_number_is_used_at_once_and_a_refusal_is_remembered() {
        let mut pace = Pace::new(Some(8));
        assert_eq!(pace.lanes(), 8);
        pace.refused(Duration::ZERO, 6, Duration::ZERO, false);
        assert_eq!(pace.lanes(), 8, "once may be an accident");
        pace.refused(Duration::ZERO, 4, Duration::ZERO, true);
        assert_eq!(pace.lanes(), 4);
        assert!(!pace.is_open(Duration::ZERO) && pace.is_open(Duration::from_secs(1)));
        settle(&mut pace, 30, |n| 1e6 * n as f64);
        assert_eq!(pace.lanes(), 4);
    }
}
