//! The limits of one host: how many connections it gets ([`Controller`]), how many files are requested from
//! it in a second ([`RequestRate`]), and the number of connections above which it bans the client ([`Bans`]).
//!
//! Invariant: the lowest of their limits applies.

use super::bans::Bans;
use super::requests::RequestRate;
use super::{Allowance, Controller, Observation, Step};
use crate::error::{Error, Pause, Why};
use crate::throttle::{self, Circumstances, Decision};
use std::time::Duration;

/// The limits of a host. A later run starts with these limits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Learned {
    /// The highest number of connections that the host accepts.
    pub connections: Option<usize>,
    /// The highest number of files that the host serves in a second.
    pub requests: Option<f64>,
}

/// A failed connection of a file.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// The time when the connection was opened.
    pub sent: Duration,
    /// True if the file has no other connection.
    pub last: bool,
    /// True if bytes of the file arrived in this run.
    pub flowed: bool,
    /// The time when the connection failed. It may be earlier than the time when the failure is handled.
    pub at: Duration,
}

/// Everything that limits the connections and requests to one host.
#[derive(Debug)]
pub struct Host {
    controller: Controller,
    requests: RequestRate,
    bans: Bans,
    /// The highest number of connections that the user allows.
    most: usize,
}

impl Host {
    /// Returns a host that starts with the limits `known` and never gets more than `most` connections.
    pub fn new(most: usize, known: Learned) -> Self {
        let (requests, bans) = (RequestRate::known(known.requests), Bans::known(known.connections));
        let mut host = Host { controller: Controller::new(most), requests, bans, most };
        if let Some(connections) = known.connections {
            host.controller.set_ceiling(Duration::ZERO, connections.min(most), true);
        }
        host
    }

    /// Returns the number of open connections.
    pub fn in_use(&self) -> usize {
        self.controller.in_use()
    }

    /// Returns the changes of the target, oldest first.
    pub fn steps(&self) -> &[Step] {
        self.controller.steps()
    }

    /// Returns the limits that this run found, or `None` if it found none.
    pub fn learned(&self) -> Option<Learned> {
        let learned = Learned { connections: self.bans.learned(), requests: self.requests.learned() };
        (learned != Learned::default()).then_some(learned)
    }

    /// Returns true if the host limits its connections or requests, as this run or an earlier one found out.
    pub fn is_limited(&self) -> bool {
        self.bans.limit().is_some() || self.requests.is_limited()
    }

    /// Records that a connection was opened. `first` is true if its file had no other connection.
    pub fn on_opened(&mut self, now: Duration, first: bool) {
        self.controller.on_opened(first);
        self.bans.on_opened(now, self.controller.in_use(), !first);
        if first {
            self.requests.on_sent(now);
        }
    }

    /// Records that a connection was closed. `last` is true if its file has no other connection. `flowed` is
    /// true if the connection had received bytes. `cut` is true if the connection was closed in the middle of
    /// a response.
    pub fn on_closed(&mut self, now: Duration, last: bool, flowed: bool, cut: bool) {
        self.controller.on_closed(last);
        self.bans.on_closed(now, flowed, cut);
    }

    /// Records that a request got a usable response.
    pub fn on_served(&mut self, now: Duration) {
        self.requests.on_served(now);
    }

    /// Records that the connection that was opened at `opened` received its first bytes.
    pub fn on_first_bytes(&mut self, opened: Duration) {
        self.bans.on_first_bytes(opened);
    }

    /// Records that a small file was requested at `sent` and had arrived at `done`. Its connection was opened
    /// before, and is used for further files.
    pub fn on_small_file(&mut self, sent: Duration, done: Duration) {
        self.requests.on_served(done);
        self.bans.on_bytes_of_small_file(sent, self.controller.in_use());
    }

    /// Handles an observation of a plan.
    pub fn on(&mut self, now: Duration, observation: Observation) {
        if matches!(observation, Observation::Progress { .. }) {
            self.requests.on_bytes(now);
        }
        self.controller.on(now, observation);
    }

    /// Handles a failed connection. Some failures need a pause and do not count as a retry. For such a
    /// failure, this function returns how long the file pauses and why. For any other failure it returns
    /// `None`.
    pub fn on_failure(&mut self, now: Duration, error: &Error, lost: Lost) -> Option<Pause> {
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
                if let Some(limit) = self.bans.limit() {
                    self.controller.set_ceiling(now, limit.min(self.most), true);
                }
                Some(Pause { wait, why: Why::Banned })
            }
            Decision::Fewer => {
                let wait = self.requests.on_refused(now, lost.sent);
                Some(Pause { wait, why: Why::Shared })
            }
            Decision::Pause(_) | Decision::Fail(_) => None,
        }
    }

    /// Returns the allowance for the first connection of a file, if other limits allow `most` more
    /// connections.
    pub fn allowance_for_new_file(&mut self, now: Duration, most: usize) -> Allowance {
        let most = most.min(self.tolerated(now).saturating_sub(self.controller.in_use()));
        let not_before = self.requests.not_before().max(self.bans.not_before());
        Allowance { most, worth: 0, surplus: 0, not_before }
    }

    /// Returns the allowance for further connections of a file. See [`Controller::allowance`].
    pub fn allowance(&mut self, now: Duration, most: usize, named: bool) -> Allowance {
        let most = most.min(self.tolerated(now).saturating_sub(self.controller.in_use()));
        let allowance = self.controller.allowance(most, named);
        Allowance { not_before: allowance.not_before.max(self.bans.not_before()), ..allowance }
    }

    /// Returns the highest number of connections that the host accepts now.
    pub fn tolerated(&mut self, now: Duration) -> usize {
        if self.bans.forget_accident(now) {
            self.controller.set_ceiling(now, self.most, false);
        }
        self.bans.tolerated()
    }
}
