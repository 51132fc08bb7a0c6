//! Whether one more connection of a source may be asked for beside those that are at work for the file.
//!
//! A refusal lowers the limit to what is at work and closes the search for a while; the third in a row ends it. Invariant: the
//! number of requests that a source refuses does not depend on the size of the file.

use super::WorkerId;
use std::time::Duration;

/// So many refusals in a row end the search for the rest of the file: one may be an accident, and two a bad moment.
const REFUSALS: u32 = 3;

/// The wait after the first refusal, doubled with each further one: long beside a round trip, short beside a file that is worth
/// several connections.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What a source did when further connections were asked for. A source that was never refused anything has no limit.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// So many were at work beside the one that was refused last.
    limit: Option<usize>,
    /// Refusals in a row, of which those that were asked for together count as one.
    refusals: u32,
    /// The newest worker at the last refusal: what was sent earlier was sent without knowing of it.
    newest: WorkerId,
    opens: Duration,
}

impl Growth {
    /// A connection was refused while `others` of the same source brought bytes; `newest` was the last one that was sent.
    pub(super) fn refused(&mut self, now: Duration, worker: WorkerId, newest: WorkerId, others: usize) {
        self.limit = Some(self.limit.map_or(others, |limit| limit.min(others)).max(1));
        if worker > self.newest {
            self.newest = newest;
            self.opens = now + FIRST_WAIT.saturating_mul(1 << self.refusals.min(16));
            self.refusals = self.refusals.saturating_add(1);
        }
    }

    /// So many bring bytes at once.
    pub(super) fn works(&mut self, count: usize) {
        if !self.has_ended() && self.limit.is_some_and(|limit| count > limit) {
            (self.limit, self.refusals, self.opens) = (None, 0, Duration::ZERO);
        }
    }

    /// How many more than `active` may be asked for now. Those that take the place of others need no wait.
    pub(super) fn room(&self, now: Duration, active: usize) -> usize {
        match self.limit {
            None => usize::MAX,
            Some(limit) if active < limit => limit - active,
            Some(_) => usize::from(!self.has_ended() && now >= self.opens),
        }
    }

    /// Whether more than `active` may ever be asked for.
    pub(super) fn may_grow(&self, active: usize) -> bool {
        !self.has_ended() || self.limit.is_none_or(|limit| active < limit)
    }

    /// When to look again, if nothing more may be asked for until then.
    pub(super) fn opens(&self, now: Duration) -> Option<Duration> {
        Some(self.opens).filter(|&opens| opens > now && !self.has_ended())
    }

    fn has_ended(&self) -> bool {
        self.refusals >= REFUSALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_refusals_in_a_row_end_the_search_and_waits_double() {
        let mut growth = Growth::default();
        assert_eq!(growth.room(SECOND, 1), usize::MAX);
        let mut now = SECOND;
        for (worker, wait) in [(2, 1), (3, 2)] {
            growth.refused(now, worker, worker, 1);
            assert_eq!(growth.opens(now), Some(now + SECOND * wait));
            assert_eq!((growth.room(now, 1), growth.room(now + SECOND * wait, 1)), (0, 1));
            now += SECOND * wait;
        }
        growth.refused(now, 4, 4, 1);
        assert_eq!(growth.room(now + SECOND * 1000, 1), 0);
        assert!(!growth.may_grow(1));
        growth.works(2);
        assert!(!growth.may_grow(1), "what has ended stays so");
    }

    #[test]
    fn refusals_of_what_was_asked_for_together_count_once() {
        let mut growth = Growth::default();
        for worker in 2..=8 {
            growth.refused(SECOND, worker, 8, 4);
        }
        assert!(growth.may_grow(4));
        assert_eq!(
            (growth.room(SECOND, 3), growth.room(SECOND, 4)),
            (1, 0),
            "another may take a place that is free"
        );
        growth.works(5);
        assert_eq!(growth.room(SECOND, 5), usize::MAX, "one more works");
    }
}
