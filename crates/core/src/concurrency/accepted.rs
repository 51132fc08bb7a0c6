//! Finds how many connections a host accepts at the same time, if it refuses the first connection of a file
//! while it serves other files. Such a host closes, refuses or ignores the connection.
//!
//! A number of connections *works* if so many connections received bytes at the same time. It also works if
//! the host served as many files in a row as there were connections, and refused none of the requests that
//! were sent before. If the host refuses files while more connections are open than ever worked, their number
//! is probably the reason. The limit then falls to the highest number that worked. If no number worked
//! before, it falls to the number of connections that are left. If the host refuses a file although the
//! number of connections worked before, there is another reason. For example, the network may break
//! connections, or the file itself may not be available. After a few such refusals, no number of connections
//! explains a refusal of this host any more.
//!
//! When the number of the limit works, one more connection is tried from time to time. After each trial that
//! fails, the time and the number of served files before the next trial are doubled, up to 16 times.
//!
//! Invariant: the limit is at least 1. A limit is stored for later runs only if its number works, if a
//! refused file was served later, if the host refused files again after one more connection was tried, and if
//! there is no doubt.

use std::time::Duration;

/// The number of refusals after which there is a first limit. A single refusal may be an accident, and a
/// wrong limit could make a file wait until a large file is complete.
const REFUSALS: u32 = 2;

/// The number of refusals with another reason after which numbers of connections explain no refusal of this
/// host any more. The first ones may be accidents: the host may be slow to notice the end of other
/// connections.
const DOUBTS: u32 = 4;

/// After each trial that fails, the wait before the next trial doubles, but at most this often.
const DOUBLED_MOST: u32 = 4;

/// A limit is removed after this time, unless a refused file was served within the limit. Without such a
/// file, the limit may be wrong.
const UNPROVEN: Duration = Duration::from_secs(60);

/// One more connection is tried after this time, doubled once for each trial that failed. The time is long
/// compared with the download of a small file, and short compared with that of a large list.
const TRIAL: Duration = Duration::from_secs(2);

/// The time for which a host may still count a connection that was closed. The host notices the end of the
/// connection after a round trip, or later if it is busy.
const NOTICED: Duration = Duration::from_millis(300);

/// The connections that one host accepts from this client, as far as refusals show it.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    limit: Option<Limit>,
    /// The numbers of connections that worked, in ascending order. With each number is the time when it was
    /// found. The time is 0 if so many connections received bytes at the same time. Otherwise, a refusal of
    /// an earlier request removes the number.
    works: Vec<(usize, Duration)>,
    /// The number of open connections that have received bytes, without those of the threads for small files.
    receiving: usize,
    /// The number of open connections.
    in_use: usize,
    /// The start of the current span of the length [`NOTICED`], and the highest number of connections in it.
    span: (Duration, usize),
    /// The highest number of connections in the span before the current one.
    before: usize,
    /// The number of files that were served in a row since the last refusal, or since a number of connections
    /// was last found to work, and the lowest number of connections in this time.
    run: (usize, usize),
    /// The number of files that were served since the limit changed or a file was refused.
    served: usize,
    /// The number of refusals that the number of connections explains, since the limit changed or a number
    /// of connections was found to work.
    refused: u32,
    /// The number of refusals that the number of connections does not explain.
    doubts: u32,
    /// The time of the last refusal that the number of connections does not explain.
    doubted: Option<Duration>,
    /// The number of limits that refusals set since there was no limit.
    count: u32,
    /// True if a file that was refused because of the number of connections was served later.
    served_later: bool,
    /// True if a limit was removed because the host also refused files over numbers of connections that
    /// worked.
    is_disproved: bool,
}

/// The highest number of connections that the host accepts.
#[derive(Debug, Clone, Copy)]
struct Limit {
    most: usize,
    /// The time since when there is a limit.
    first: Duration,
    /// The time of the last refusal that set the limit.
    since: Duration,
    /// The time when the limit last changed.
    changed: Duration,
    /// True if one more connection is tried than worked so far.
    is_trial: bool,
    /// True if this number worked once. Later refusals of earlier requests do not change that.
    has_worked: bool,
}

impl Accepted {
    /// Records that the number of connections has changed to `in_use`.
    pub(super) fn on_number(&mut self, now: Duration, in_use: usize) {
        let age = now.saturating_sub(self.span.0);
        if age >= NOTICED {
            self.before = if age < NOTICED * 2 { self.span.1 } else { self.in_use };
            self.span = (now, self.in_use);
        }
        self.in_use = in_use;
        self.span.1 = self.span.1.max(in_use);
    }

    /// Records that a connection received its first bytes. It is not a connection of the threads for small
    /// files. Returns true if the limit has changed.
    pub(super) fn on_first_bytes(&mut self) -> bool {
        self.receiving += 1;
        if self.receiving < self.works() {
            return false;
        }
        self.works.clear();
        self.found(self.receiving, Duration::ZERO)
    }

    /// Records that a connection was closed that had received bytes.
    pub(super) fn on_closed(&mut self) {
        self.receiving = self.receiving.saturating_sub(1);
    }

    /// Records that a request got a usable response. `reserved` is the number of connections that are counted
    /// and not in use. `again` is true if the previous request for the file was refused because of the number
    /// of connections. Returns true if the limit has changed.
    pub(super) fn on_served(&mut self, now: Duration, reserved: usize, again: bool) -> bool {
        self.served_later |= again;
        let in_use = self.in_use.saturating_sub(reserved);
        let (files, least) = self.run;
        let (files, least) = (files + 1, if files == 0 { in_use } else { least.min(in_use) });
        self.run = (files, least);
        self.served = self.served.saturating_add(1);
        let mut has_changed = false;
        if files >= least {
            self.run = (0, 0);
            has_changed = least > self.works() && self.found(least, now);
        }
        let rounds = 1_usize << self.count.min(DOUBLED_MOST);
        let has_served = self.limit.is_some_and(|limit| self.served >= limit.most.saturating_mul(rounds));
        (has_served && self.try_more(now)) || has_changed
    }

    /// Records that this number of connections works. Returns true if the limit was lower, and was raised.
    fn found(&mut self, number: usize, at: Duration) -> bool {
        self.works.push((number, at));
        self.refused = 0;
        let Some(limit) = self.limit.as_mut().filter(|limit| number >= limit.most) else { return false };
        let rises = number > limit.most;
        *limit = Limit { most: number, has_worked: true, is_trial: limit.is_trial && !rises, ..*limit };
        rises
    }

    /// Records that the host may have refused a further connection of a file. The request was sent at `sent`.
    pub(super) fn on_refused_further(&mut self, sent: Duration) {
        self.run = (0, 0);
        self.forget_later(sent);
    }

    /// Removes the numbers that were found to work after the time `sent` of a refused request. The refused
    /// connection was counted although it did not work.
    fn forget_later(&mut self, sent: Duration) {
        while self.works.last().is_some_and(|(_, at)| *at > sent) {
            self.works.pop();
        }
    }

    /// Records that the host refused the first connection of a file while it served other files. The request
    /// was sent at `sent`. Returns true if the number of connections is probably the reason, so that the file
    /// must wait.
    pub(super) fn on_refused(&mut self, now: Duration, sent: Duration) -> bool {
        self.on_number(now, self.in_use);
        self.forget_later(sent);
        let (others, works) = (self.in_use.saturating_sub(1), self.works());
        let is_late = self.limit.is_some_and(|limit| sent <= limit.since);
        if let Some(limit) = self.limit.as_mut().filter(|_| is_late && others.max(works) > 0) {
            limit.most = limit.most.min(others.max(works));
            return true;
        }
        self.run = (0, 0);
        self.served = 0;
        let worked = self.limit.filter(|limit| limit.has_worked && !limit.is_trial);
        let worked = worked.map_or(works, |limit| limit.most.max(works));
        if others == 0 || self.span.1.max(self.before) <= worked {
            return self.on_unexplained(now, sent, is_late);
        }
        self.refused += 1;
        if self.refused >= REFUSALS || self.limit.is_some() {
            let most = if works > 0 { works } else { others };
            let is_counted = self.limit.is_none_or(|limit| limit.is_trial);
            let first = self.limit.map_or(now, |limit| limit.first);
            let has_worked = works > 0;
            self.limit = Some(Limit { most, first, since: now, changed: now, is_trial: false, has_worked });
            self.count = self.count.saturating_add(u32::from(is_counted));
            self.refused = 0;
        }
        true
    }

    /// Records a refusal that the number of connections does not explain. Returns true if the file must wait.
    fn on_unexplained(&mut self, now: Duration, sent: Duration, is_late: bool) -> bool {
        // Requests that were sent before the last such refusal were refused together with it.
        if self.limit.is_some() && self.doubted.is_none_or(|doubted| sent > doubted) {
            self.doubted = Some(now);
            self.doubts += 1;
            if is_late || self.doubts >= DOUBTS {
                (self.limit, self.is_disproved) = (None, true);
            }
        }
        self.limit.is_some()
    }

    /// Removes a limit that no served file has proved ([`UNPROVEN`]), or tries one more connection if it is
    /// time ([`TRIAL`]). Returns true if the limit has changed.
    pub(super) fn check(&mut self, now: Duration) -> bool {
        let Some(limit) = self.limit else { return false };
        if !self.served_later && now.saturating_sub(limit.first) > UNPROVEN {
            (self.limit, self.count) = (None, 0);
            return true;
        }
        let wait = TRIAL.saturating_mul(1 << self.count.min(DOUBLED_MOST));
        now.saturating_sub(limit.changed) >= wait && self.try_more(now)
    }

    /// Raises the limit by one if its number works. Returns true if it was raised.
    fn try_more(&mut self, now: Duration) -> bool {
        let works = self.works();
        let Some(limit) = self.limit.as_mut().filter(|limit| works >= limit.most) else { return false };
        *limit = Limit { most: limit.most + 1, changed: now, is_trial: true, has_worked: false, ..*limit };
        self.served = 0;
        true
    }

    /// Returns the time before which the host gets no request.
    pub(super) fn not_before(&self) -> Duration {
        // The host may still count connections that were closed.
        let last = self.doubted.filter(|_| self.limit.is_some());
        last.map_or(Duration::ZERO, |doubted| doubted + NOTICED)
    }

    /// Returns the highest number of connections that worked in this run, or 0.
    fn works(&self) -> usize {
        self.works.last().map_or(0, |(number, _)| *number)
    }

    /// Returns true if a limit was removed because the host refused files for another reason than the number
    /// of connections.
    pub(super) fn is_disproved(&self) -> bool {
        self.is_disproved
    }

    /// Returns the highest number of connections that the host accepts, if a refusal showed one.
    pub(super) fn limit(&self) -> Option<usize> {
        self.limit.map(|limit| limit.most)
    }

    /// Returns the limit for later runs. A number that is tried now is not part of it.
    pub(super) fn learned(&self) -> Option<usize> {
        let limit = self.limit?;
        let most = limit.most - usize::from(limit.is_trial);
        let is_proven = self.served_later && self.count > 1 && self.doubts == 0;
        (is_proven && most > 0 && most <= self.works()).then_some(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    /// A connection of the simulated client: the step of its request, the step of the result, and whether the
    /// host has accepted the connection.
    #[derive(Clone, Copy)]
    struct Open {
        sent: u32,
        result: u32,
        is_accepted: bool,
    }

    /// Downloads `files` small files from a host that serves `most` connections at the same time. A response
    /// takes five steps, and a new connection is accepted or refused `delay` steps after its request. At most
    /// `at_once` connections are open. Returns the number of refused requests, the number of refusals without
    /// an explanation, and the number of steps.
    fn fetch(
        files: usize,
        most: usize,
        at_once: usize,
        delay: u32,
        accepted: &mut Accepted,
    ) -> (u32, u32, u32) {
        let (mut left, mut open, mut waiting) = (files, Vec::<Open>::new(), 0_usize);
        let (mut refused, mut unexplained, mut step) = (0, 0, 0);
        while left > 0 {
            let now = STEP * step;
            accepted.check(now);
            let mut next = Vec::new();
            for one in std::mem::take(&mut open) {
                let is_kept = next.iter().filter(|other: &&Open| other.is_accepted).count();
                if one.result > step {
                    next.push(one);
                } else if one.is_accepted {
                    left = left.saturating_sub(1);
                    accepted.on_served(now, 0, waiting > 0);
                    waiting = waiting.saturating_sub(1);
                    next.push(Open { sent: step, result: step + 5, is_accepted: true });
                } else if is_kept < most {
                    next.push(Open { result: step + 5, is_accepted: true, ..one });
                } else {
                    let is_explained = accepted.on_refused(now, STEP * one.sent);
                    (refused, waiting) = (refused + 1, waiting + 1);
                    unexplained += u32::from(!is_explained);
                    accepted.on_number(now, accepted.in_use - 1);
                }
            }
            // The connections that the host accepted first stay first.
            next.sort_by_key(|one| !one.is_accepted);
            open = next;
            while open.len() < at_once.min(accepted.limit().unwrap_or(at_once))
                && now >= accepted.not_before()
            {
                open.push(Open { sent: step, result: step + delay, is_accepted: false });
                accepted.on_number(now, open.len());
            }
            step += 1;
        }
        (refused, unexplained, step)
    }

    #[test]
    fn the_number_of_a_host_is_found_with_few_refusals_and_used_almost_all_the_time() {
        for (most, at_once, delay) in [1, 2, 3, 4, 6, 12, 30]
            .into_iter()
            .flat_map(|most| [8, 16, 64].map(|at_once| (most, at_once)))
            .filter(|(most, at_once)| most < at_once)
            .flat_map(|(most, at_once)| [1, 5, 10, 15, 40].map(|delay| (most, at_once, delay)))
        {
            let mut accepted = Accepted::default();
            let (refused, unexplained, steps) = fetch(most * 200, most, at_once, delay, &mut accepted);
            let what =
                format!("{most} of {at_once} with a delay of {delay}: {refused} refusals, {steps} steps");
            assert!(refused as usize <= at_once - most + 14, "{what}");
            assert!(unexplained <= 1, "{what}, {unexplained} without an explanation");
            assert!(steps <= 1200, "{what}");
            assert_eq!(accepted.learned(), Some(most), "{what}");
        }
    }

    #[test]
    fn a_file_that_is_always_refused_sets_no_limit_for_later_runs() {
        let mut accepted = Accepted::default();
        accepted.on_number(Duration::ZERO, 2);
        (0..2).for_each(|_| assert!(!accepted.on_first_bytes()));
        accepted.on_number(Duration::ZERO, 3);
        for step in 1..REFUSALS {
            assert!(accepted.on_refused(STEP * step, STEP * (step - 1)), "two connections are receiving");
            assert_eq!(accepted.limit(), None);
        }
        assert!(accepted.on_refused(STEP * 60, STEP * 50));
        assert_eq!((accepted.limit(), accepted.learned()), (Some(2), None));
        assert!(accepted.check(STEP * 60 + TRIAL * 2) && accepted.limit() == Some(3), "one more is tried");
        assert!(accepted.check(STEP * 61 + UNPROVEN));
        assert_eq!(accepted.limit(), None);
    }

    #[test]
    fn refusals_at_a_number_that_worked_remove_the_limit() {
        let mut accepted = Accepted::default();
        fetch(800, 4, 8, 1, &mut accepted);
        assert_eq!(accepted.learned(), Some(4));
        let later = STEP * 100_000;
        accepted.on_number(later, 4);
        for time in 1..DOUBTS {
            let now = later + STEP * time;
            assert!(accepted.on_refused(now, now - STEP / 2), "a few such refusals may be accidents");
            assert!(accepted.on_refused(now, now - STEP / 2), "it was refused together with the last one");
        }
        assert!(!accepted.on_refused(later * 2, later * 2 - STEP) && accepted.is_disproved());
        assert_eq!((accepted.limit(), accepted.learned()), (None, None));
    }

    #[test]
    fn a_host_that_closes_one_connection_in_twenty_has_no_limit_for_long() {
        let (mut accepted, mut limited, mut random) = (Accepted::default(), 0, 1_u64);
        for file in 0..2000_u32 {
            let now = STEP * (file + 1);
            accepted.check(now);
            accepted.on_number(now, accepted.limit().unwrap_or(16).min(16));
            // A linear congruential generator (Knuth, The Art of Computer Programming, volume 2).
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let _ = match (random >> 33) % 20 == 0 && !accepted.is_disproved() {
                true => accepted.on_refused(now, now - STEP),
                false => accepted.on_served(now, 0, true),
            };
            limited += u32::from(accepted.limit().is_some());
        }
        assert!(limited < 400, "{limited}");
        assert_eq!((accepted.limit(), accepted.learned()), (None, None));
    }

    #[test]
    fn connections_that_break_all_at_once_set_no_limit() {
        let mut accepted = Accepted::default();
        for in_use in (1..=8).rev() {
            accepted.on_number(STEP, in_use);
            accepted.on_refused(STEP, Duration::ZERO);
        }
        assert_eq!(accepted.limit(), None);
    }

    #[test]
    fn a_limit_that_is_lower_than_the_connections_that_worked_is_not_stored() {
        let mut accepted = Accepted::default();
        accepted.on_number(Duration::ZERO, 5);
        for _ in 0..4 {
            accepted.on_served(Duration::ZERO, 0, false);
        }
        (1..=REFUSALS).for_each(|step| assert!(accepted.on_refused(STEP * step, STEP * (step - 1))));
        assert_eq!(accepted.limit(), Some(4));
        accepted.on_number(STEP * 4, 1);
        accepted.on_served(STEP * 4, 0, true);
        assert_eq!(accepted.learned(), None);
    }

    #[test]
    fn a_connection_that_is_only_reserved_does_not_work() {
        let mut accepted = Accepted::default();
        accepted.on_number(Duration::ZERO, 16);
        for _ in 0..100 {
            accepted.on_served(Duration::ZERO, 15, false);
        }
        assert_eq!(accepted.works(), 1);
    }

    #[test]
    fn a_limit_rises_at_once_if_more_connections_receive_bytes() {
        let mut accepted = Accepted::default();
        (0..4).for_each(|_| assert!(!accepted.on_first_bytes()));
        accepted.on_number(Duration::ZERO, 8);
        for _ in 0..REFUSALS {
            assert!(accepted.on_refused(STEP, Duration::ZERO));
        }
        assert_eq!(accepted.limit(), Some(4));
        assert!(accepted.on_first_bytes() && accepted.on_first_bytes());
        assert_eq!(accepted.limit(), Some(6));
    }

    #[test]
    fn late_refusals_after_all_files_were_served_keep_the_number_that_worked() {
        let mut accepted = Accepted::default();
        (0..4).for_each(|_| assert!(!accepted.on_first_bytes()));
        for in_use in [10, 9, 8, 7, 2, 1] {
            accepted.on_number(STEP, in_use);
            assert!(accepted.on_refused(STEP * 2, Duration::ZERO));
        }
        assert!(accepted.limit() == Some(4) && !accepted.is_disproved());
    }
}
