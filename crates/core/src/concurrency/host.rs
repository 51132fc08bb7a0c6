//! The limits of one host: how many connections may be open to the host ([`Controller`]), how many files may
//! be requested from it in a second ([`RequestRate`]), above how many connections it bans the client
//! ([`Bans`]), and above how many connections it refuses further files ([`Accepted`]).
//!
//! Invariant: if several of these limits apply, the strictest one decides.

use super::accepted::Accepted;
use super::bans::Bans;
use super::controller::AUTO_MOST;
use super::learned::{Learned, Spoke};
use super::requests::{RequestLimit, RequestRate};
use super::{Allowance, Controller, Level, Observation, Step};
use crate::error::{Error, ErrorKind, Pause, Why};
use crate::throttle::{self, Circumstances, Decision};
use std::time::Duration;

/// A failed connection of a file.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// The time when the connection was opened.
    pub sent: Duration,
    /// True if the file has no other connection.
    pub last: bool,
    /// True if bytes of the file arrived in this run.
    pub flowed: bool,
    /// True if the host refused the previous request for this file while it served other files, and no byte
    /// of the file has arrived since.
    pub again: bool,
    /// The time when the connection failed. It may be earlier than the time when the failure is recorded.
    pub at: Duration,
}

/// Everything that limits the connections and requests to one host.
#[derive(Debug)]
pub struct Host {
    pub(super) controller: Controller,
    requests: RequestRate,
    bans: Bans,
    accepted: Accepted,
    /// The highest number of connections that the user allows.
    most: usize,
    /// True if a limit of the user affected the goodput, so that the best target is not known.
    is_slowed: bool,
    /// The HTTP version over which the last list of small files came, as an earlier run stored it.
    known_http: Option<Spoke>,
    /// The HTTP version of the small files of this run. It is HTTP/2 if at least one of these files came over
    /// HTTP/2, because the first of these files may come over HTTP/1.1.
    http: Option<Spoke>,
}

impl Host {
    /// Returns a host that starts with the limits and numbers in `known`. `most` is the highest number of
    /// connections that the user allows.
    pub fn new(most: usize, known: Learned) -> Self {
        let (requests, bans) = (RequestRate::known(known.requests), Bans::known(known.connections));
        let controller = Controller::new(most);
        let known_http = known.http;
        let accepted = Accepted::default();
        let mut host =
            Host { controller, requests, bans, accepted, most, is_slowed: false, known_http, http: None };
        if let Some(connections) = known.connections {
            host.controller.set_tolerated(Duration::ZERO, Some(connections));
        }
        if let Some(best) = known.best {
            host.controller.start_at(best);
        }
        host
    }

    /// Returns the number of open connections.
    pub fn in_use(&self) -> usize {
        self.controller.in_use()
    }

    /// Returns the steps of the controller of connections, oldest first. See [`Controller::steps`].
    pub fn steps(&self) -> &[Step] {
        self.controller.steps()
    }

    /// Returns the limit of requests for files, if there is one.
    pub fn request_limit(&self) -> Option<RequestLimit> {
        self.requests.limit()
    }

    /// Returns the limits and numbers that this run found, or `None` if it found none.
    pub fn learned(&self) -> Option<Learned> {
        let connections = [self.bans.learned(), self.accepted.learned()].into_iter().flatten().min();
        let requests = self.requests.learned();
        let (best, http, refused) = (self.best(), self.http(), self.requests.was_lowered());
        let learned = Learned { connections, requests, refused, best, http, ..Learned::default() };
        (learned != Learned::default()).then_some(learned)
    }

    /// Returns the best number of connections, unless a limit of the user decided it.
    fn best(&self) -> Option<Level> {
        let is_free = |level: &Level| !self.is_slowed && (level.number < self.most || self.most >= AUTO_MOST);
        self.controller.best().filter(is_free)
    }

    /// Returns the HTTP version to store. HTTP/1.1 is stored only if an earlier run stored HTTP/2, because
    /// runs expect HTTP/1.1 if no version is stored.
    fn http(&self) -> Option<Spoke> {
        self.http.filter(|&http| http == Spoke::Http2 || self.known_http == Some(Spoke::Http2))
    }

    /// Returns true if a small file of this run came over HTTP/2. If no HTTP version is known from this run,
    /// returns true if the small files of an earlier run came over HTTP/2.
    pub fn is_known_for_http2(&self) -> bool {
        self.http.or(self.known_http) == Some(Spoke::Http2)
    }

    /// Records that a limit of the user affects the goodput of the host.
    pub fn on_slowed(&mut self) {
        self.is_slowed = true;
    }

    /// Returns true if the host limits its connections or requests, as this run or an earlier run found out.
    pub fn is_limited(&self) -> bool {
        self.bans.limit().is_some() || self.requests.is_limited()
    }

    /// Records that a connection was opened. `first` is true if its file had no other connection to the same
    /// source.
    pub fn on_opened(&mut self, now: Duration, first: bool) {
        self.controller.on_opened(first);
        self.bans.on_opened(now, self.controller.in_use(), !first);
        self.accepted.on_number(now, self.controller.in_use());
        if first {
            self.requests.on_sent(now);
        }
    }

    /// Records that a connection was closed. `last` is true if its file has no other connection to the same
    /// source. `flowed` is true if the connection had received bytes. `cut` is true if the connection was
    /// closed in the middle of a response.
    pub fn on_closed(&mut self, now: Duration, last: bool, flowed: bool, cut: bool) {
        self.controller.on_closed(last);
        self.bans.on_closed(now, flowed, cut);
        self.accepted.on_number(now, self.controller.in_use());
        if flowed {
            self.accepted.on_closed();
        }
    }

    /// Records that the threads for small files have one connection less.
    pub fn on_lent_closed(&mut self, now: Duration) {
        self.controller.on_closed(true);
        self.bans.on_closed(now, true, false);
        self.accepted.on_number(now, self.controller.in_use());
    }

    /// Records that a request got a usable response. `refused` is the reason for which the host refused the
    /// previous request for this file while it served other files, if it did so and no byte of the file has
    /// arrived since.
    pub fn on_served(&mut self, now: Duration, refused: Option<Why>) {
        self.requests.on_served(now, refused == Some(Why::Shared));
        if self.accepted.on_served(now, 0, refused == Some(Why::Full)) {
            self.limit_connections(now);
        }
    }

    /// Records that the connection that was opened at `opened` received its first bytes.
    pub fn on_first_bytes(&mut self, now: Duration, opened: Duration) {
        self.bans.on_first_bytes(opened);
        if self.accepted.on_first_bytes() {
            self.limit_connections(now);
        }
    }

    /// Records that a small file was requested at `sent` and had arrived at `done`. Its connection was open
    /// before the request, and may be used for further files. `reserved` is the number of connections that
    /// are counted for small files and are not in use. `http` is the HTTP version, if downhaul chose it. It
    /// is `None` if the user chose the version, or if the URL is not https.
    pub fn on_small_file(&mut self, sent: Duration, done: Duration, reserved: usize, http: Option<Spoke>) {
        self.http = if self.http == Some(Spoke::Http2) { self.http } else { http.or(self.http) };
        self.requests.on_served(done, false);
        if self.accepted.on_served(done, reserved, false) {
            self.limit_connections(done);
        }
        self.bans.on_bytes_of_small_file(sent, self.controller.in_use());
    }

    /// Records an observation of a plan.
    pub fn on(&mut self, now: Duration, observation: Observation) {
        if matches!(observation, Observation::Progress { .. }) {
            self.requests.on_bytes(now);
        }
        let observation = match observation {
            // The limit is known, and the number of connections is below it, so it is not the reason for the
            // refusal.
            Observation::Refused { wait, .. }
                if self.accepted.limit().is_some_and(|most| self.in_use() < most) =>
            {
                Observation::Broken { wait }
            }
            other => other,
        };
        self.controller.on(now, observation);
    }

    /// Records a failed connection, unless `error` already has a pause or the file has another connection.
    /// Returns how long the job pauses and why, or `None` if the failure needs no pause.
    pub fn on_failure(&mut self, now: Duration, error: &Error, lost: Lost) -> Option<Pause> {
        if !lost.last && throttle::may_be_too_many(error.kind) {
            self.accepted.on_refused_further(lost.sent);
        }
        if error.pause.is_some() || !lost.last {
            return error.pause;
        }
        let host = Circumstances {
            serves_others: self.requests.is_serving(lost.at),
            bans: self.bans.is_likely(now, error.kind, lost.flowed),
        };
        match throttle::decide(error.kind, None, host) {
            Decision::Fewer if host.bans => {
                let wait = self.bans.on_ban(now, error.kind);
                self.limit_connections(now);
                Some(Pause { wait, why: Why::Banned })
            }
            Decision::Fewer => {
                let wait = self.requests.on_refused(now, lost.sent, lost.again);
                Some(Pause { wait, why: Why::Shared })
            }
            Decision::Pause(_) | Decision::Fail(_) => self
                .is_refused_for_connections(now, error.kind, lost)
                .then_some(Pause { wait: Duration::ZERO, why: Why::Full }),
        }
    }

    /// Records a failure that may be a refusal because of the number of connections. Returns true if this
    /// number is probably the reason for the failure.
    fn is_refused_for_connections(&mut self, now: Duration, kind: ErrorKind, lost: Lost) -> bool {
        let serves = self.requests.is_receiving(lost.at);
        if lost.flowed || self.accepted.is_disproved() || !serves || !throttle::may_be_too_many(kind) {
            return false;
        }
        let before = self.accepted.limit();
        let is_explained = self.accepted.on_refused(now, lost.sent);
        if self.accepted.limit() != before {
            self.limit_connections(now);
        }
        is_explained
    }

    /// Passes the highest number of connections that the host accepts to the controller.
    fn limit_connections(&mut self, now: Duration) {
        let limit = [self.bans.limit(), self.accepted.limit()].into_iter().flatten().min();
        self.controller.set_tolerated(now, limit);
    }

    /// Returns the allowance for the first connection of a file. Other limits allow at most `most` more
    /// connections.
    pub fn allowance_for_new_file(&mut self, now: Duration, most: usize) -> Allowance {
        let most = most.min(self.tolerated(now).saturating_sub(self.controller.in_use()));
        let not_before = self.requests.not_before().max(self.not_before());
        Allowance { most, worth: 0, replaces: false, surplus: 0, not_before }
    }

    /// Returns the allowance for further connections of a file. See [`Controller::allowance`].
    pub fn allowance(&mut self, now: Duration, most: usize, named: bool) -> Allowance {
        let most = most.min(self.tolerated(now).saturating_sub(self.controller.in_use()));
        let allowance = self.controller.allowance(most, named);
        Allowance { not_before: allowance.not_before.max(self.not_before()), ..allowance }
    }

    /// Returns the time before which no connection is opened, whichever file it is for.
    fn not_before(&self) -> Duration {
        self.bans.not_before().max(self.accepted.not_before())
    }

    /// Returns the highest number of connections that the host accepts now, or [`usize::MAX`] if no limit is
    /// known. During a ban, the number is 1. A limit that may have been set because of a fault of the network
    /// is removed first.
    pub fn tolerated(&mut self, now: Duration) -> usize {
        let forgets = self.bans.forget_accident(now);
        if self.accepted.check(now) || forgets {
            self.limit_connections(now);
        }
        self.bans.tolerated().min(self.accepted.limit().unwrap_or(usize::MAX))
    }
}
