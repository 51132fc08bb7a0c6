//! Decides if one more connection for the same file may be opened to a source.
//!
//! After a refusal, the limit is the number of connections that work, and no more connections are tried for a
//! while. After the third refusal in a row, no more connections are tried for the rest of the file.
//!
//! Invariant: the number of refused requests does not depend on the size of the file. There is one exception:
//! if more connections than the limit work later, more connections are tried again.

use crate::plan::WorkerId;
use std::time::Duration;

/// After this many refusals in a row, no more connections are tried for the rest of the file. One or two
/// refusals may be accidents.
const REFUSALS: u32 = 3;

/// The wait after the first refusal. The wait doubles with each further refusal. The first wait is long
/// compared with a round trip, and short compared with the download of a file that needs several connections.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The results of requests for more connections. There is no limit until a source refuses a connection.
#[derive(Debug, Default)]
pub(in crate::plan) struct Growth {
    /// The lowest number of connections that worked when a further one was refused.
    limit: Option<usize>,
    /// The refusals in a row. Refusals of requests that were sent together are counted once.
    refusals: u32,
    /// The newest worker at the last refusal. Requests of this and older workers were sent before the
    /// refusal.
    newest: WorkerId,
    /// The time before which no connection beyond the limit is opened.
    opens: Duration,
}

impl Growth {
    /// Records that the source refused the connection of `worker` while `others` of its connections delivered
    /// bytes. `newest` is the last worker that was started.
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

    /// Records that `count` connections deliver bytes at the same time.
    pub(in crate::plan) fn works(&mut self, count: usize) {
        if !self.has_ended() && self.limit.is_some_and(|limit| count > limit) {
            (self.limit, self.refusals, self.opens) = (None, 0, Duration::ZERO);
        }
    }

    /// Returns how many connections may be opened now in addition to the `active` ones. Connections that
    /// replace ended connections need no wait.
    pub(in crate::plan) fn allowed(&self, now: Duration, active: usize) -> usize {
        match self.limit {
            None => usize::MAX,
            Some(limit) if active < limit => limit - active,
            Some(_) => usize::from(!self.has_ended() && now >= self.opens),
        }
    }

    /// Returns true if more connections than the `active` ones may be opened, now or later.
    pub(in crate::plan) fn may_grow(&self, active: usize) -> bool {
        !self.has_ended() || self.limit.is_none_or(|limit| active < limit)
    }

    /// Returns the time when one more connection may be opened, if that is in the future.
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
    fn after_each_refusal_the_wait_doubles_and_the_third_one_ends_the_search() {
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
        assert!(!growth.may_grow(1), "no more connections are tried for this file");
    }

    #[test]
    fn refusals_of_requests_that_were_sent_together_count_once() {
        let mut growth = Growth::default();
        for worker in 2..=8 {
            growth.refused(SECOND, worker, 8, 4);
        }
        assert!(growth.may_grow(4));
        assert_eq!(
            (growth.allowed(SECOND, 3), growth.allowed(SECOND, 4)),
            (1, 0),
            "a connection that has ended may be replaced at once"
        );
        growth.works(5);
        assert_eq!(
            growth.allowed(SECOND, 5),
            usize::MAX,
            "five connections deliver bytes, so the limit is removed"
        );
    }
}
