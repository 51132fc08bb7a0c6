//! Finds how many connections a host accepts at the same time, if it refuses the first connection of a file
//! while it serves other files. Such a host closes or refuses the connection, or answers with 503.
//!
//! A number of connections *works* if the host served as many files in a row as there were connections, and
//! refused none of them. If the host refuses files while more connections are open than ever worked, their
//! number is probably the reason. The limit then falls to the highest number that worked. If no number worked
//! before, it falls to the number of connections that are left. If the host refuses a file although the
//! number of connections worked before, there is another reason. For example, the host may count the requests
//! in a second, or the file itself may not be available. After two such refusals, there is no limit.
//!
//! When the number of the limit works, one more connection is tried. After each limit, this takes twice as
//! many served files as after the limit before.
//!
//! Invariant: the limit is at least 1. A limit is stored for later runs only if a refused file was served
//! later, and if one connection more than the limit was refused after that.

use std::time::Duration;

/// The number of refusals after which there is a first limit, and the number of refusals with another reason
/// after which there is no limit. A single refusal may be an accident, and a wrong limit could make a file
/// wait until a large file is complete.
const REFUSALS: u32 = 2;

/// A limit is removed after this time, unless a refused file was served within the limit. Without such a
/// file, the limit may be wrong.
const UNPROVEN: Duration = Duration::from_secs(60);

/// The time for which a host may still count a connection that was closed. The host notices the end of the
/// connection a round trip later, or when it has time.
const NOTICED: Duration = Duration::from_millis(300);

/// The connections that one host accepts from this client, as far as refusals show it.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    limit: Option<Limit>,
    /// The highest number of connections that worked in this run.
    works: usize,
    /// The start of the current span of the length [`NOTICED`], and the highest number of connections in it.
    span: (Duration, usize),
    /// The highest number of connections in the span before the current one.
    before: usize,
    /// The number of files that were served in a row since the last refusal, or since a number of connections
    /// was last found to work, and the lowest number of connections in this time.
    run: (usize, usize),
    /// The number of files that were served since the limit changed or a file was refused.
    served: usize,
    /// The number of refusals since the limit changed or a number of connections was found to work.
    refused: u32,
    /// The number of limits that refusals set in this run.
    count: u32,
    /// True if a refused file was served later.
    served_later: bool,
    /// The time before which no request is sent, because the host may still count closed connections.
    not_before: Duration,
}

/// The highest number of connections that the host accepts.
#[derive(Debug, Clone, Copy)]
struct Limit {
    most: usize,
    since: Duration,
}

impl Accepted {
    /// Records that the number of connections has changed to `in_use`.
    pub(super) fn on_number(&mut self, now: Duration, in_use: usize) {
        if now.saturating_sub(self.span.0) >= NOTICED {
            (self.before, self.span) = (self.span.1, (now, 0));
        }
        self.span.1 = self.span.1.max(in_use);
    }

    /// Records that a request got a usable response. `in_use` is the number of connections. `again` is true
    /// if the previous request for the file was refused while the host served other files. Returns true if
    /// the limit has changed.
    pub(super) fn on_served(&mut self, in_use: usize, again: bool) -> bool {
        self.served_later |= again;
        let (files, least) = self.run;
        let (files, least) = (files + 1, if files == 0 { in_use } else { least.min(in_use) });
        self.run = (files, least);
        if files >= least {
            self.run = (0, 0);
            if least > self.works {
                (self.works, self.refused) = (least, 0);
            }
        }
        self.served = self.served.saturating_add(1);
        let Some(limit) = &mut self.limit else { return false };
        let rounds = 1_usize << self.count.min(16);
        let tries_more = self.works >= limit.most && self.served >= limit.most.saturating_mul(rounds);
        if tries_more {
            limit.most += 1;
            self.served = 0;
        }
        tries_more
    }

    /// Records that the host may have refused a further connection of a file.
    pub(super) fn on_refused_further(&mut self) {
        self.run = (0, 0);
    }

    /// Records that the host refused the first connection of a file while it served other files. The request
    /// was sent at `sent`, and `in_use` is the number of connections, with the refused one. Returns true if
    /// the number of connections is probably the reason, so that the file must wait.
    pub(super) fn on_refused(&mut self, now: Duration, sent: Duration, in_use: usize) -> bool {
        let others = in_use.saturating_sub(1);
        let is_late = self.limit.is_some_and(|limit| sent <= limit.since);
        if let Some(limit) = self.limit.as_mut().filter(|_| is_late && others > 0) {
            limit.most = limit.most.min(others.max(self.works));
            return true;
        }
        self.run = (0, 0);
        self.served = 0;
        self.refused += 1;
        if others == 0 || in_use.max(self.span.1).max(self.before) <= self.works {
            if is_late || self.refused >= REFUSALS {
                (self.limit, self.count, self.served_later) = (None, 0, false);
            }
            self.not_before = now + NOTICED;
            return self.limit.is_some();
        }
        if self.refused >= REFUSALS || self.limit.is_some() {
            let most = if self.works > 0 { self.works } else { others };
            self.limit = Some(Limit { most, since: now });
            self.count = self.count.saturating_add(1);
            self.refused = 0;
        }
        true
    }

    /// Removes a limit that no served file has proved ([`UNPROVEN`]). Returns true if a limit was removed.
    pub(super) fn forget_unproven(&mut self, now: Duration) -> bool {
        let is_old = |limit: Limit| !self.served_later && now.saturating_sub(limit.since) > UNPROVEN;
        let forgets = self.limit.is_some_and(is_old);
        self.limit = self.limit.filter(|_| !forgets);
        forgets
    }

    /// Returns the time before which the host gets no request.
    pub(super) fn not_before(&self) -> Duration {
        if self.limit.is_some() { self.not_before } else { Duration::ZERO }
    }

    /// Returns the highest number of connections that worked in this run.
    pub(super) fn works(&self) -> usize {
        self.works
    }

    /// Returns the highest number of connections that the host accepts, if a refusal showed one.
    pub(super) fn limit(&self) -> Option<usize> {
        self.limit.map(|limit| limit.most)
    }

    /// Returns the limit for later runs.
    pub(super) fn learned(&self) -> Option<usize> {
        let is_proven = self.served_later && self.count > 1;
        self.limit.filter(|_| is_proven).map(|limit| limit.most.min(self.works.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    /// Downloads `files` files from a host that serves `most` connections at the same time, each file in one
    /// step. At most `at_once` connections are open at the same time. Returns the number of refused requests
    /// and the number of steps.
    fn fetch(files: usize, most: usize, at_once: usize, accepted: &mut Accepted) -> (usize, u32) {
        let (mut left, mut refused, mut waiting, mut step) = (files, 0, 0_usize, 0);
        while left > 0 {
            let sent = STEP * step;
            let open = left.min(at_once).min(accepted.limit().unwrap_or(usize::MAX));
            (1..=open).for_each(|in_use| accepted.on_number(sent, in_use));
            let served = open.min(most);
            for in_use in (served + 1..=open).rev() {
                assert!(accepted.on_refused(sent + STEP / 2, sent, in_use), "the number is the reason");
                (refused, waiting) = (refused + 1, waiting + 1);
            }
            for _ in 0..served {
                accepted.on_served(served, waiting > 0);
                waiting = waiting.saturating_sub(1);
            }
            (left, step) = (left - served, step + 1);
        }
        (refused, step)
    }

    #[test]
    fn the_number_of_a_host_is_found_with_few_refusals_and_used_almost_all_the_time() {
        for most in 1..40 {
            let mut accepted = Accepted::default();
            let (refused, steps) = fetch(most * 50, most, 64, &mut accepted);
            let beyond = 64 - most;
            assert!(refused <= beyond + 8, "{most}: {refused} refusals");
            assert!(steps <= 52, "{most}: {steps} steps");
            assert_eq!(accepted.learned(), Some(most));
        }
    }

    #[test]
    fn a_file_that_is_always_refused_sets_no_limit_for_later_runs() {
        let mut accepted = Accepted::default();
        accepted.on_served(2, false);
        accepted.on_served(2, false);
        assert!(accepted.on_refused(STEP, Duration::ZERO, 3), "two connections are receiving");
        assert_eq!(accepted.limit(), None);
        assert!(accepted.on_refused(STEP * 6, STEP * 5, 3));
        assert_eq!((accepted.limit(), accepted.learned()), (Some(2), None));
        assert!(!accepted.forget_unproven(STEP * 6 + UNPROVEN));
        assert!(accepted.forget_unproven(STEP * 7 + UNPROVEN));
        assert_eq!(accepted.limit(), None);
    }

    #[test]
    fn refusals_at_a_number_that_worked_remove_the_limit() {
        let mut accepted = Accepted::default();
        fetch(100, 4, 8, &mut accepted);
        assert_eq!(accepted.learned(), Some(4));
        let later = STEP * 1000;
        assert!(accepted.on_refused(later, later, 4), "one such refusal may be an accident");
        assert!(!accepted.on_refused(later, later, 4));
        assert_eq!((accepted.limit(), accepted.learned()), (None, None));
    }

    #[test]
    fn connections_that_break_all_at_once_set_no_limit() {
        let mut accepted = Accepted::default();
        for in_use in (1..=8).rev() {
            accepted.on_refused(STEP, Duration::ZERO, in_use);
        }
        assert_eq!(accepted.limit(), None);
    }
}
