//! Recognises hosts that ban a client for too many connections, and limits the connections to them. Such a
//! host closes all connections of the client, and refuses new ones for a while.
//!
//! Only the failure of the last connection of a file counts. Such a failure, a refusal or a broken
//! connection, counts as a ban if the number of connections had reached a new maximum at most ten seconds
//! before, and if bytes of that file had arrived. If the newest connection was the first one of its file,
//! only a refusal counts. While a ban lasts, each failure of the last connection of a file belongs to the
//! ban.
//!
//! After a ban, the limit is the highest number of connections that had received bytes at the same time
//! before the new connections were added, but not more than an earlier limit. No request is sent to the host
//! for a while. After that, only one connection to the host is open until bytes arrive.
//!
//! Invariant: a confirmed limit is never raised or removed. A limit that is not confirmed is removed only if
//! this run found it more than a minute ago and no ban lasts. If there was a confirmed limit before, that
//! limit then applies again. A limit is confirmed if an earlier run found it, if the host had banned the
//! client in this run before, or if the host refused a connection and did not only close connections.

use crate::error::ErrorKind;
use crate::throttle;
use std::time::Duration;

/// A failure within this time after connections were added may be caused by the new connections. Programs
/// that search log files for clients to ban need some seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The first wait after a ban, and the longest wait. The wait doubles if a connection fails after the wait
/// has ended.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A limit is removed after this time, unless it is confirmed or the ban has not ended. The network may have
/// broken the connections, so a limit that is not confirmed may be wrong.
const ACCIDENT: Duration = Duration::from_secs(60);

/// The time for which a host still counts a connection that was closed in the middle of a response. The host
/// notices the end of the connection when its next write fails. This takes a round trip, or longer if the
/// disk of the host is slow.
const NOTICED: Duration = Duration::from_millis(300);

/// The bans by one host in this run, and the limit that follows from them.
#[derive(Debug, Default)]
pub(super) struct Bans {
    /// The number of open connections that have received bytes.
    flowing: usize,
    /// The highest value that `flowing` had in this run. A new ban sets this number to the limit.
    most_flowing: usize,
    /// The highest number of connections that were open at one time in this run. A new ban sets this number
    /// to the limit.
    most: usize,
    growth: Option<Growth>,
    /// The time when a connection was last closed in the middle of a response.
    cut: Option<Duration>,
    limit: Option<Limit>,
    ban: Option<Ban>,
    /// The number of bans in this run.
    count: u32,
}

/// An increase of the number of connections above [`Bans::most`]. An increase before the first bytes of the
/// host is not recorded.
#[derive(Debug, Clone, Copy)]
struct Growth {
    at: Duration,
    /// The value of [`Bans::most_flowing`] before the increase.
    flowed: usize,
    /// True if the file of the newest connection had another connection to the same source already.
    further: bool,
}

/// The highest number of connections that the host tolerates.
#[derive(Debug, Clone, Copy)]
struct Limit {
    most: usize,
    since: Duration,
    /// True if the host refused a connection, if it banned the client twice in this run, or if an earlier run
    /// found the limit.
    confirmed: bool,
    /// The confirmed limit before this limit.
    earlier: Option<usize>,
}

impl Limit {
    fn confirmed(most: usize) -> Limit {
        Limit { most: most.max(1), since: Duration::ZERO, confirmed: true, earlier: None }
    }
}

/// A ban that has not ended. It ends when a connection that was opened after its start receives bytes.
#[derive(Debug, Clone, Copy)]
struct Ban {
    since: Duration,
    until: Duration,
    waits: u32,
}

impl Bans {
    /// Returns the state at the start of a run. `limit` is the limit that an earlier run found, if any.
    pub(super) fn known(limit: Option<usize>) -> Self {
        Bans { limit: limit.map(Limit::confirmed), ..Bans::default() }
    }

    /// Records that a connection was opened. `in_use` is the number of connections now. `further` is true if
    /// the file of the new connection had another connection to the same source already.
    pub(super) fn on_opened(&mut self, now: Duration, in_use: usize, further: bool) {
        if in_use > self.most {
            if self.most_flowing > 0 {
                // Connections that are opened at the same time count as one increase.
                let same = self.growth.filter(|growth| now == growth.at);
                let flowed = same.map_or(self.most_flowing, |growth| growth.flowed);
                self.growth = Some(Growth { at: now, flowed, further });
            }
            self.most = in_use;
        }
    }

    /// Records that the connection that was opened at `opened` received its first bytes.
    pub(super) fn on_first_bytes(&mut self, opened: Duration) {
        self.flowing += 1;
        self.most_flowing = self.most_flowing.max(self.flowing);
        if self.ban.is_some_and(|ban| opened > ban.since) {
            self.ban = None;
        }
    }

    /// Records that a connection that is used for several files received bytes. `opened` is the time when the
    /// file was requested, and `in_use` is the number of connections. A connection that has received bytes
    /// before is not counted again.
    pub(super) fn on_bytes_of_small_file(&mut self, opened: Duration, in_use: usize) {
        self.flowing = self.flowing.min(in_use.saturating_sub(1));
        self.on_first_bytes(opened);
    }

    /// Records that a connection was closed. `flowed` is true if the connection had received bytes. `cut` is
    /// true if the connection was closed in the middle of a response.
    pub(super) fn on_closed(&mut self, now: Duration, flowed: bool, cut: bool) {
        self.flowing = self.flowing.saturating_sub(usize::from(flowed));
        self.cut = if cut { Some(now) } else { self.cut };
    }

    /// Records a failure that counts as a ban, or that belongs to a ban that has not ended. Returns how long
    /// the job must wait.
    pub(super) fn on_ban(&mut self, now: Duration, kind: ErrorKind) -> Duration {
        let refused = throttle::is_refusal(kind);
        match &mut self.ban {
            Some(ban) if now < ban.until => {}
            Some(ban) => {
                ban.waits = ban.waits.saturating_add(1);
                ban.until = now + WAIT.0.saturating_mul(1 << ban.waits.min(16)).min(WAIT.1);
            }
            None => {
                self.count += 1;
                self.ban = Some(Ban { since: now, until: now + WAIT.0, waits: 0 });
                let flowed = self.growth.take().map_or(1, |growth| growth.flowed).max(1);
                let most = self.limit.map_or(flowed, |limit| limit.most.min(flowed));
                let earlier =
                    self.limit.and_then(|old| if old.confirmed { Some(old.most) } else { old.earlier });
                let confirmed = self.count > 1 || earlier == Some(most);
                self.limit = Some(Limit { most, since: now, confirmed, earlier });
                (self.most, self.most_flowing) = (most, most);
            }
        }
        if let Some(limit) = &mut self.limit {
            limit.confirmed |= refused;
        }
        self.ban.map_or(Duration::ZERO, |ban| ban.until.saturating_sub(now))
    }

    /// Returns true if a failure of this kind may be a ban, or belongs to a ban that has not ended. `flowed`
    /// is true if bytes of the file had arrived.
    pub(super) fn is_likely(&self, now: Duration, kind: ErrorKind, flowed: bool) -> bool {
        let growth = self.growth.filter(|growth| now.saturating_sub(growth.at) <= ANSWER_WITHIN);
        // If the newest connection is the first one of its file, only a refusal counts as a ban, because a
        // broken connection may be a fault of the network.
        let answers = growth.is_some_and(|growth| growth.further || throttle::is_refusal(kind));
        self.ban.is_some() || (flowed && answers)
    }

    /// Returns the highest number of connections that the host may have now, or [`usize::MAX`] if no limit is
    /// known.
    pub(super) fn tolerated(&self) -> usize {
        if self.ban.is_some() { 1 } else { self.limit().unwrap_or(usize::MAX) }
    }

    /// Returns the highest number of connections that the host tolerates, if this number is known.
    pub(super) fn limit(&self) -> Option<usize> {
        self.limit.map(|limit| limit.most)
    }

    /// Returns the limit for later runs: a confirmed limit that this run found. A limit of an earlier run is
    /// returned only if that many connections of this run received bytes at one time without a ban.
    pub(super) fn learned(&self) -> Option<usize> {
        let is_found = |limit: &Limit| limit.since > Duration::ZERO || self.most_flowing >= limit.most;
        self.limit.filter(|limit| limit.confirmed && is_found(limit)).map(|limit| limit.most)
    }

    /// Returns the time before which the host gets no request.
    pub(super) fn not_before(&self) -> Duration {
        let banned = self.ban.map_or(Duration::ZERO, |ban| ban.until);
        let noticed = self.cut.filter(|_| self.limit.is_some()).map_or(Duration::ZERO, |cut| cut + NOTICED);
        banned.max(noticed)
    }

    /// Removes a limit that may come from a fault of the network ([`ACCIDENT`]). If there was a confirmed
    /// limit before, that limit applies again. Returns true if a limit was removed.
    pub(super) fn forget_accident(&mut self, now: Duration) -> bool {
        let is_old = |limit: &Limit| !limit.confirmed && now.saturating_sub(limit.since) > ACCIDENT;
        let Some(limit) = self.limit.filter(|limit| self.ban.is_none() && is_old(limit)) else {
            return false;
        };
        self.limit = limit.earlier.map(Limit::confirmed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns the state after two connections have received bytes and two more were added.
    fn after_growth() -> Bans {
        let mut bans = Bans::default();
        bans.on_opened(SECOND, 1, false);
        bans.on_first_bytes(SECOND);
        bans.on_opened(SECOND * 2, 2, true);
        bans.on_first_bytes(SECOND * 2);
        bans.on_opened(SECOND * 3, 3, true);
        bans.on_opened(SECOND * 3, 4, true);
        bans
    }

    #[test]
    fn a_refusal_after_added_connections_sets_the_earlier_number_as_limit_and_each_wait_is_longer() {
        let mut bans = after_growth();
        let mut now = SECOND * 4;
        assert!(bans.is_likely(now, ErrorKind::HttpForbidden, true));
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(bans.on_ban(now, ErrorKind::HttpForbidden), SECOND * wait);
            assert_eq!(
                bans.on_ban(now + SECOND / 2, ErrorKind::HttpForbidden),
                SECOND * wait - SECOND / 2,
                "a second job waits until the same time"
            );
            assert_eq!(bans.tolerated(), 1, "one connection shows if the ban has ended");
            now += SECOND * wait;
        }
        bans.on_first_bytes(now);
        assert_eq!((bans.tolerated(), bans.learned()), (2, Some(2)));
    }

    #[test]
    fn a_failure_is_no_ban_if_no_connection_was_added_before() {
        let bans = after_growth();
        assert!(
            !bans.is_likely(SECOND * 14, ErrorKind::HttpForbidden, true),
            "the connections received bytes for a long time"
        );
        assert!(
            !bans.is_likely(SECOND * 4, ErrorKind::HttpForbidden, false),
            "no byte of the file has arrived"
        );
        let mut bans = Bans::default();
        bans.on_opened(SECOND, 1, false);
        bans.on_first_bytes(SECOND);
        assert!(!bans.is_likely(SECOND, ErrorKind::NetReset, true), "no connection was added");
        bans.on_opened(SECOND, 2, false);
        assert!(
            !bans.is_likely(SECOND, ErrorKind::NetReset, true),
            "the added connection belongs to another file"
        );
    }

    #[test]
    fn after_a_connection_was_cut_a_host_with_a_limit_gets_no_request_for_a_moment() {
        let mut bans = Bans::default();
        bans.on_closed(SECOND, true, true);
        assert_eq!(bans.not_before(), Duration::ZERO, "no limit is known");
        let mut bans = Bans::known(Some(2));
        bans.on_closed(SECOND, true, false);
        assert_eq!(
            bans.not_before(),
            Duration::ZERO,
            "the response had ended before the connection was closed"
        );
        bans.on_closed(SECOND, true, true);
        assert_eq!(bans.not_before(), SECOND + NOTICED);
    }

    #[test]
    fn a_limit_of_an_earlier_run_stays_after_a_ban_that_may_be_an_accident() {
        for (known, during) in [(2, 2), (3, 2)] {
            let mut bans = Bans { limit: Bans::known(Some(known)).limit, ..after_growth() };
            bans.on_ban(SECOND * 4, ErrorKind::NetReset);
            (0..2).for_each(|_| bans.on_closed(SECOND * 4, true, true));
            bans.on_first_bytes(SECOND * 6);
            assert_eq!(bans.tolerated(), during);
            bans.forget_accident(SECOND * 70);
            // A limit that this run did not reach is not stored again.
            let learned = Some(known).filter(|_| known == during);
            assert_eq!((bans.tolerated(), bans.learned()), (known, learned));
        }
    }

    #[test]
    fn a_limit_that_only_broken_connections_showed_is_removed_after_a_minute() {
        let mut bans = after_growth();
        bans.on_ban(SECOND * 4, ErrorKind::NetReset);
        bans.on_first_bytes(SECOND * 6);
        assert!(!bans.forget_accident(SECOND * 60));
        assert_eq!((bans.tolerated(), bans.learned()), (2, None));
        assert!(bans.forget_accident(SECOND * 70));
        assert_eq!(bans.tolerated(), usize::MAX);
    }
}
