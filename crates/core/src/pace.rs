//! How many connections one file gets: the first one is the download itself, and more are added only while they help.
//!
//! Arithmetic only: [`Pace::observe`] is told how many bytes there are, [`Pace::lanes`] answers. A number that the
//! person named is used at once. Otherwise the number is doubled as long as the gain is at least a third of the ideal
//! one (twice the connections, twice the bytes), and what did not help is taken back. Invariant: never more than the
//! ceiling, nor than what a host that refused one allows; never less than one.

use std::time::Duration;

/// The most connections for one file when nobody named a number: what people set aria2 to by hand.
const AUTO_MOST: usize = 16;

/// A level is judged over at least this long: shorter, and a loopback or LAN transfer is judged by the scheduler's
/// moods.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);

/// Goodput that grew by more than this between two looks is still TCP's own slow start, which says nothing about the
/// number of connections.
const STILL_GROWING: f64 = 1.15;

/// The share of the ideal gain that makes a doubling worth it.
const WORTH_IT: f64 = 1.0 / 3.0;

/// How long a level that turned out best is kept before a higher one is tried again: lines change by the minute, not by
/// the second.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The number of connections of one file.
#[derive(Debug)]
pub struct Pace {
    ceiling: usize,
    auto: bool,
    level: usize,
    /// The level below that was judged before, and its bytes a second.
    before: Option<(usize, f64)>,
    look: Option<Look>,
    /// No higher level before this.
    rest_until: Duration,
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
            before: None,
            look: None,
            rest_until: Duration::ZERO,
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
        if !self.auto || active < self.level || now < self.rest_until {
            self.look = None;
            return;
        }
        let Some(look) = self.look else {
            self.look = Some(Look { from: now, bytes, last: None });
            return;
        };
        let time = now.saturating_sub(look.from);
        if time < (latency * 2).max(SHORTEST_LOOK) {
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
        let helped = self.before.is_none_or(|(level, before)| {
            let ideal = self.level as f64 / level as f64 - 1.0;
            goodput >= before * (1.0 + WORTH_IT * ideal)
        });
        match self.before {
            Some((level, _)) if !helped => {
                // Fewer connections at equal goodput are better.
                self.level = level;
                self.before = None;
                self.rest_until = now + TRY_AGAIN_AFTER;
            }
            _ if self.level >= self.ceiling => self.rest_until = now + TRY_AGAIN_AFTER,
            _ => {
                self.before = Some((self.level, goodput));
                self.level = (self.level * 2).min(self.ceiling);
            }
        }
    }

    /// A connection was refused, or brought next to nothing, while `others` are there: after a wait that grows, the host
    /// is asked for no more than these. What may be an accident (not `meant`) has to happen twice in a row for that.
    pub fn refused(&mut self, now: Duration, others: usize, wait: Duration, meant: bool) {
        self.broke(now, wait);
        // Where nobody is left, the number of connections was not what was wrong.
        if others > 0 && (meant || self.refusals > 1) {
            self.ceiling = others.clamp(1, self.ceiling);
            self.level = self.level.min(self.ceiling);
            self.before = None;
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
        (self.before, self.look) = (None, None);
    }

    /// A tenth of a second, doubled with each failure in a row, at most 13 s: the third of a minute that a host which
    /// counts requests by the minute may need.
    fn pause(&self) -> Duration {
        Duration::from_millis(50 << self.refusals.min(8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a pace see a line on which `n` connections together get `goodput(n)` bytes a second.
    fn settle(pace: &mut Pace, seconds: u64, goodput: impl Fn(usize) -> f64) -> Vec<usize> {
        let (mut bytes, mut levels) = (0.0, vec![pace.lanes()]);
        for step in 0..seconds * 50 {
            let now = Duration::from_millis(step * 20);
            bytes += goodput(pace.lanes()) / 50.0;
            pace.observe(now, bytes as u64, pace.lanes(), Duration::from_millis(10));
            if levels.last() != Some(&pace.lanes()) {
                levels.push(pace.lanes());
            }
        }
        levels
    }

    #[test]
    fn a_full_line_keeps_one_connection() {
        let mut pace = Pace::new(None);
        assert_eq!(settle(&mut pace, 3, |_| 1e8), [1, 2, 1]);
    }

    #[test]
    fn a_cap_for_each_connection_is_met_with_many() {
        let mut pace = Pace::new(None);
        assert_eq!(settle(&mut pace, 5, |n| 1e6 * n as f64), [1, 2, 4, 8, 16]);
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
