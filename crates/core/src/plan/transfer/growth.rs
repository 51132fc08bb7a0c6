//! Decides whether a source may be asked for one more connection to the same file.
//!
//! A refusal lowers the limit to the connections that work and stops the search for a while; the third in a
//! row ends it. Invariant: how many requests a source refuses does not depend on the size of the file.

use crate::plan::WorkerId;
use std::time::Duration;

/// So many refusals in a row end the search for the rest of the file: one may be an accident, two a bad
/// moment.
const REFUSALS: u32 = 3;

/// The wait after the first refusal, doubled with each further one. It is long beside a round trip, and short
/// beside a file that is worth several connections.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// How a source answered requests for more connections. It has no limit until it refuses one.
#[derive(Debug, Default)]
pub(in crate::plan) struct Growth {
    /// So many connections worked when the last one was refused.
    limit: Option<usize>,
    /// Refusals in a row. Refusals of requests that were sent together count as one.
    refusals: u32,
    /// The newest worker at the last refusal: earlier requests were sent without knowing of it.
    newest: WorkerId,
    /// No further connection is asked for before this moment.
    opens: Duration,
}

impl Growth {
    /// The source refused a connection while `others` of its connections delivered bytes. `newest` is the
    /// last worker that was started.
    pub(in crate::plan) fn refused(
        &mut self,
        now: Duration,
        worker: WorkerId,
        newest: WorkerId,
        others: usize,
    ) {
        self.limit = Some(self.limit.map_or(others, |limit| limit.min(others)).max(1));
        if worker > self.newest {
            self.newest = newest;
            self.opens = now + FIRST_WAIT.saturating_mul(1 << self.refusals.min(16));
            self.refusals = self.refusals.saturating_add(1);
        }
    }

    /// So many connections deliver bytes at once.
    pub(in crate::plan) fn works(&mut self, count: usize) {
        if !self.has_ended() && self.limit.is_some_and(|limit| count > limit) {
            (self.limit, self.refusals, self.opens) = (None, 0, Duration::ZERO);
        }
    }

    /// Returns how many more than `active` may be asked for now. Those that replace others need no wait.
    pub(in crate::plan) fn allowed(&self, now: Duration, active: usize) -> usize {
        match self.limit {
            None => usize::MAX,
            Some(limit) if active < limit => limit - active,
            Some(_) => usize::from(!self.has_ended() && now >= self.opens),
        }
    }

    /// Returns true if more than `active` may be asked for, now or later.
    pub(in crate::plan) fn may_grow(&self, active: usize) -> bool {
        !self.has_ended() || self.limit.is_none_or(|limit| active < limit)
    }

    /// Returns when one more may be asked for, if that is in the future.
    pub(in crate::plan) fn opens(&self, now: Duration) -> Option<Duration> {
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
        assert_eq!(growth.allowed(SECOND, 1), usize::MAX);
        let mut now = SECOND;
        for (worker, wait) in [(2, 1), (3, 2)] {
            growth.refused(now, worker, worker, 1);
            assert_eq!(growth.opens(now), Some(now + SECOND * wait));
            assert_eq!((growth.allowed(now, 1), growth.allowed(now + SECOND * wait, 1)), (0, 1));
            now += SECOND * wait;
        }
        growth.refused(now, 4, 4, 1);
        assert_eq!(growth.allowed(now + SECOND * 1000, 1), 0);
        assert!(!growth.may_grow(1));
        growth.works(2);
        assert!(!growth.may_grow(1), "the search has ended for good");
    }

    #[test]
    fn refusals_of_requests_sent_together_count_once() {
        let mut growth = Growth::default();
        for worker in 2..=8 {
            growth.refused(SECOND, worker, 8, 4);
        }
        assert!(growth.may_grow(4));
        assert_eq!(
            (growth.allowed(SECOND, 3), growth.allowed(SECOND, 4)),
            (1, 0),
            "another one may replace one that is gone"
        );
        growth.works(5);
        assert_eq!(growth.allowed(SECOND, 5), usize::MAX, "one more delivers bytes");
    }
}
