//! One host: how many connections it gets ([`Controller`]), how many files it is asked for in a second
//! ([`RequestRate`]), and how many connections it tolerates before it bans ([`Bans`]).
//!
//! Invariant: each of the three decides on its own, and the host gets what all of them allow.

use super::bans::Bans;
use super::requests::RequestRate;
use super::{Allowance, Controller, Observation, Step};
use crate::error::{Error, Pause, Why};
use crate::throttle::{self, Circumstances, Wish};
use std::time::Duration;

/// The limits of a host, which a later run begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Learned {
    /// The host tolerates no more connections than these.
    pub connections: Option<usize>,
    /// The host serves no more files in a second than these.
    pub requests: Option<f64>,
}

/// A connection that a file lost.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// When it was opened.
    pub sent: Duration,
    /// The file has no other connection.
    pub last: bool,
    /// Bytes of the file came in this run.
    pub flowed: bool,
}

/// Everything that limits how much one host is used.
#[derive(Debug)]
pub struct Host {
    controller: Controller,
    requests: RequestRate,
    bans: Bans,
    /// The most connections by other bounds.
    most: usize,
}

impl Host {
    /// Returns a host that begins with what is known of it, and never gets more than `most` connections.
    pub fn new(most: usize, known: Learned) -> Self {
        let (requests, bans) = (RequestRate::known(known.requests), Bans::known(known.connections));
        let mut host = Host { controller: Controller::new(most), requests, bans, most };
        if let Some(connections) = known.connections {
            host.controller.set_ceiling(Duration::ZERO, connections.min(most), true);
        }
        host
    }

    /// Returns how many connections there are.
    pub fn in_use(&self) -> usize {
        self.controller.in_use()
    }

    /// Returns the changes of the target, oldest first.
    pub fn steps(&self) -> &[Step] {
        self.controller.steps()
    }

    /// Returns the limits that this run met, or `None` if it met none.
    pub fn learned(&self) -> Option<Learned> {
        let learned = Learned { connections: self.bans.learned(), requests: self.requests.learned() };
        (learned != Learned::default()).then_some(learned)
    }

    /// A connection was opened. `first`: its file had none.
    pub fn on_opened(&mut self, now: Duration, first: bool) {
        self.controller.on_opened(first);
        self.bans.on_opened(now, self.controller.in_use(), !first);
        if first {
            self.requests.on_sent(now);
        }
    }

    /// A connection was closed. `last`: its file has no other one. `flowed`: it had brought bytes. `cut`: it
    /// was closed in the middle of a response.
    pub fn on_closed(&mut self, now: Duration, last: bool, flowed: bool, cut: bool) {
        self.controller.on_closed(last);
        self.bans.on_closed(now, flowed, cut);
    }

    /// A request had the response that it was sent for.
    pub fn on_served(&mut self, now: Duration) {
        self.requests.on_served(now);
    }

    /// A connection that was opened at `opened` brought its first bytes.
    pub fn on_first_bytes(&mut self, opened: Duration) {
        self.bans.on_first_bytes(opened);
    }

    /// Takes in what a plan observed.
    pub fn on(&mut self, now: Duration, observation: Observation) {
        if matches!(observation, Observation::Progress { .. }) {
            self.requests.on_bytes(now);
        }
        self.controller.on(now, observation);
    }

    /// A connection failed. Returns the pause for its file, if the failure asks for one instead of costing a
    /// retry.
    pub fn on_failure(&mut self, now: Duration, error: &Error, lost: Lost) -> Option<Pause> {
        if error.pause.is_some() || !lost.last {
            return error.pause;
        }
        let host = Circumstances {
            serves_others: self.requests.is_serving(now),
            bans: self.bans.is_likely(now, error.kind, lost.flowed),
        };
        match throttle::wish(error.kind, None, host) {
            Wish::Fewer if host.bans => {
                let wait = self.bans.on_ban(now, error.kind);
                if let Some(limit) = self.bans.limit() {
                    self.controller.set_ceiling(now, limit.min(self.most), true);
                }
                Some(Pause { wait, why: Why::Banned })
            }
            Wish::Fewer => {
                let wait = self.requests.on_refused(now, lost.sent);
                Some(Pause { wait, why: Why::Shared })
            }
            Wish::Pause(_) | Wish::Fail(_) => None,
        }
    }

    /// Returns what is allowed for the first connection of a file, if other bounds allow `most` more
    /// connections.
    pub fn allowance_for_new_file(&mut self, now: Duration, most: usize) -> Allowance {
        let most = most.min(self.tolerated(now).saturating_sub(self.controller.in_use()));
        let not_before = self.requests.not_before().max(self.bans.not_before());
        Allowance { most, worth: 0, surplus: 0, not_before }
    }

    /// Returns what is allowed for further connections of a file. See [`Controller::allowance`].
    pub fn allowance(&mut self, now: Duration, most: usize, named: bool) -> Allowance {
        let most = most.min(self.tolerated(now).saturating_sub(self.controller.in_use()));
        let allowance = self.controller.allowance(most, named);
        Allowance { not_before: allowance.not_before.max(self.bans.not_before()), ..allowance }
    }

    /// Returns the most connections that the host tolerates now.
    fn tolerated(&mut self, now: Duration) -> usize {
        if self.bans.forget_accident(now) {
            self.controller.set_ceiling(now, self.most, false);
        }
        self.bans.tolerated()
    }
}
