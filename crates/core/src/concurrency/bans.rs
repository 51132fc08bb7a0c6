//! Hosts that ban who opens too many connections: all are cut, and everything is refused for a while.
//!
//! What tells a ban from another failure is when it happens: right after connections were added, to a file that flowed. Then the
//! number that flowed before is the limit, nothing is asked of the host for a while, and after that by one connection alone until
//! bytes come. Invariant: a limit once found only falls, unless nothing but broken connections spoke for it and it is old.

use crate::error::ErrorKind;
use crate::throttle;
use std::time::Duration;

/// A failure so soon after connections were added may be an answer to them. Watchers of log files need some seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The first wait, doubled with each refusal up to the longest.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Where connections only broke and the host never refused anything, it may have been the line: the limit is kept for so long.
const ACCIDENT: Duration = Duration::from_secs(60);

/// A connection that is closed in the middle of a reply counts for its host until that finds out, when it writes on: a round trip, or a
/// write to a slow disk.
const NOTICED: Duration = Duration::from_millis(300);

/// What is known of a host's bans.
#[derive(Debug, Default)]
pub(super) struct Bans {
    /// Connections in use that brought bytes, and the most of them at once.
    flowing: usize,
    stood: usize,
    /// The most connections in use at once.
    most: usize,
    grown: Option<Grown>,
    /// When a connection was last closed in the middle of a reply.
    cut: Option<Duration>,
    limit: Option<Limit>,
    ban: Option<Ban>,
    /// How many there were.
    count: u32,
}

/// More connections than ever were added.
#[derive(Debug, Clone, Copy)]
struct Grown {
    at: Duration,
    /// So many stood before.
    stood: usize,
    /// A file that had one already has another one.
    further: bool,
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    most: usize,
    since: Duration,
    /// The host said so, or it happened twice.
    proven: bool,
}

#[derive(Debug, Clone, Copy)]
struct Ban {
    since: Duration,
    until: Duration,
    waits: u32,
}

impl Bans {
    /// Begins with the limit that an earlier run found.
    pub(super) fn known(limit: Option<usize>) -> Self {
        let limit = limit.map(|most| Limit { most: most.max(1), since: Duration::ZERO, proven: true });
        Bans { limit, ..Bans::default() }
    }

    /// A connection was opened: there are so many now.
    pub(super) fn opened(&mut self, now: Duration, in_use: usize, further: bool) {
        if in_use > self.most {
            if self.stood > 0 {
                // Several at once are one step.
                let stood =
                    self.grown.filter(|grown| now == grown.at).map_or(self.stood, |grown| grown.stood);
                self.grown = Some(Grown { at: now, stood, further });
            }
            self.most = in_use;
        }
    }

    /// A connection that was opened at `since` brought its first bytes.
    pub(super) fn flows(&mut self, since: Duration) {
        self.flowing += 1;
        self.stood = self.stood.max(self.flowing);
        if self.ban.is_some_and(|ban| since > ban.since) {
            self.ban = None;
        }
    }

    /// A connection is closed that had brought bytes (`flowed`), or in the middle of a reply (`cut`).
    pub(super) fn closed(&mut self, now: Duration, flowed: bool, cut: bool) {
        self.flowing = self.flowing.saturating_sub(usize::from(flowed));
        self.cut = if cut { Some(now) } else { self.cut };
    }

    /// The most connections that the host may have now.
    pub(super) fn allowed(&self) -> usize {
        if self.ban.is_some() { 1 } else { self.limit().unwrap_or(usize::MAX) }
    }

    /// The most connections that it stands, if that is known.
    pub(super) fn limit(&self) -> Option<usize> {
        self.limit.map(|limit| limit.most)
    }

    /// Forgets a limit that was nothing but an accident, perhaps. Whether there was one.
    pub(super) fn lapses(&mut self, now: Duration) -> bool {
        let lapsed = |limit: &Limit| !limit.proven && now.saturating_sub(limit.since) > ACCIDENT;
        self.ban.is_none() && self.limit.take_if(|limit| lapsed(limit)).is_some()
    }

    /// Nothing is asked of it before this.
    pub(super) fn not_before(&self) -> Duration {
        let banned = self.ban.map_or(Duration::ZERO, |ban| ban.until);
        let noticed = self.cut.filter(|_| self.limit.is_some()).map_or(Duration::ZERO, |cut| cut + NOTICED);
        banned.max(noticed)
    }

    /// The limit that a later run shall begin with: one that this run met, or that was known and that it found to hold.
    pub(super) fn learned(&self) -> Option<usize> {
        let found = |limit: &Limit| limit.proven && (self.count > 0 || self.stood >= limit.most);
        self.limit.filter(found).map(|limit| limit.most)
    }

    /// Whether a failure of this kind may be a ban. `flowed`: of a file that had bytes.
    pub(super) fn is_likely(&self, now: Duration, kind: ErrorKind, flowed: bool) -> bool {
        let grown = self.grown.filter(|grown| now.saturating_sub(grown.at) <= ANSWER_WITHIN);
        // Who only has more files in flight is told so: one of them that breaks is an accident.
        let answers = grown.is_some_and(|grown| grown.further || throttle::is_a_refusal(kind));
        self.ban.is_some() || (flowed && answers)
    }

    /// All connections of a file are gone, and that is a ban: how long the file waits.
    pub(super) fn happened(&mut self, now: Duration, kind: ErrorKind) -> Duration {
        let refused = throttle::is_a_refusal(kind);
        match &mut self.ban {
            Some(ban) if now < ban.until => {}
            Some(ban) => {
                ban.waits = ban.waits.saturating_add(1);
                ban.until = now + WAIT.0.saturating_mul(1 << ban.waits.min(16)).min(WAIT.1);
            }
            None => {
                self.count += 1;
                self.ban = Some(Ban { since: now, until: now + WAIT.0, waits: 0 });
                let stood = self.grown.take().map_or(1, |grown| grown.stood).max(1);
                let most = self.limit.map_or(stood, |limit| limit.most.min(stood));
                self.limit = Some(Limit { most, since: now, proven: self.count > 1 });
                (self.most, self.stood) = (most, most);
            }
        }
        if let Some(limit) = &mut self.limit {
            limit.proven |= refused;
        }
        self.ban.map_or(Duration::ZERO, |ban| ban.until.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Two connections flow, and two more are added.
    fn grown() -> Bans {
        let mut bans = Bans::default();
        bans.opened(SECOND, 1, false);
        bans.flows(SECOND);
        bans.opened(SECOND * 2, 2, true);
        bans.flows(SECOND * 2);
        bans.opened(SECOND * 3, 3, true);
        bans.opened(SECOND * 3, 4, true);
        bans
    }

    #[test]
    fn a_refusal_right_after_growth_falls_back_to_the_level_before_and_waits_longer_and_longer() {
        let mut bans = grown();
        let mut now = SECOND * 4;
        assert!(bans.is_likely(now, ErrorKind::HttpForbidden, true));
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(bans.happened(now, ErrorKind::HttpForbidden), SECOND * wait);
            assert_eq!(
                bans.happened(now + SECOND / 2, ErrorKind::HttpForbidden),
                SECOND * wait - SECOND / 2,
                "another file waits as long"
            );
            assert_eq!(bans.allowed(), 1, "one connection finds out");
            now += SECOND * wait;
        }
        bans.flows(now);
        assert_eq!((bans.allowed(), bans.learned()), (2, Some(2)));
    }

    #[test]
    fn what_has_nothing_to_do_with_growth_is_no_ban() {
        let bans = grown();
        assert!(!bans.is_likely(SECOND * 14, ErrorKind::HttpForbidden, true), "it stood for long");
        assert!(
            !bans.is_likely(SECOND * 4, ErrorKind::HttpForbidden, false),
            "another file, that never flowed"
        );
        let mut bans = Bans::default();
        bans.opened(SECOND, 1, false);
        bans.flows(SECOND);
        assert!(!bans.is_likely(SECOND, ErrorKind::NetReset, true), "nothing was added");
        bans.opened(SECOND, 2, false);
        assert!(!bans.is_likely(SECOND, ErrorKind::NetReset, true), "another file");
    }

    #[test]
    fn where_connections_are_counted_one_that_is_cut_counts_a_moment_longer() {
        let mut bans = Bans::default();
        bans.closed(SECOND, true, true);
        assert_eq!(bans.not_before(), Duration::ZERO, "nobody counts");
        let mut bans = Bans::known(Some(2));
        bans.closed(SECOND, true, false);
        assert_eq!(bans.not_before(), Duration::ZERO, "it was through");
        bans.closed(SECOND, true, true);
        assert_eq!(bans.not_before(), SECOND + NOTICED);
    }

    #[test]
    fn broken_connections_alone_are_believed_for_a_minute() {
        let mut bans = grown();
        bans.happened(SECOND * 4, ErrorKind::NetReset);
        bans.flows(SECOND * 6);
        assert!(!bans.lapses(SECOND * 60));
        assert_eq!((bans.allowed(), bans.learned()), (2, None));
        assert!(bans.lapses(SECOND * 70));
        assert_eq!(bans.allowed(), usize::MAX);
    }
}
