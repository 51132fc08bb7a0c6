//! One host: how many connections it gets ([`Controller`]), how many files it is asked for in a second ([`Requests`]), and how many connections
//! it stands ([`Bans`]).
//!
//! Invariant: each of the three decides on its own, and a host gets what all of them allow.

use super::bans::Bans;
use super::requests::Requests;
use super::{Allowance, Controller, Observation, Step};
use crate::error::{Error, Pause, Why};
use crate::throttle::{self, Circumstances, Wish};
use std::time::Duration;

/// What a host does not like, for later runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Learned {
    /// It takes no more connections than these.
    pub connections: Option<usize>,
    /// It takes no more files in a second than these.
    pub requests: Option<f64>,
}

/// A connection that a file lost.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// When it was opened.
    pub sent: Duration,
    /// The file has no other one.
    pub last: bool,
    /// Bytes of the file came in this run.
    pub flowed: bool,
}

/// The controller of one host.
#[derive(Debug)]
pub struct Host {
    pace: Controller,
    requests: Requests,
    bans: Bans,
    /// The most connections by other bounds.
    most: usize,
}

impl Host {
    /// Begins with what is known of it, and never goes beyond `most` connections.
    pub fn new(most: usize, known: Learned) -> Self {
        let (requests, bans) = (Requests::known(known.requests), Bans::known(known.connections));
        let mut host = Host { pace: Controller::new(most), requests, bans, most };
        if let Some(connections) = known.connections {
            host.pace.limit(Duration::ZERO, connections.min(most), true);
        }
        host
    }

    /// Connections that there are.
    pub fn in_use(&self) -> usize {
        self.pace.in_use()
    }

    /// What was done about the number of connections, oldest first.
    pub fn steps(&self) -> &[Step] {
        self.pace.steps()
    }

    /// What a later run shall begin with, if the host said so itself.
    pub fn learned(&self) -> Option<Learned> {
        let learned = Learned { connections: self.bans.learned(), requests: self.requests.learned() };
        (learned != Learned::default()).then_some(learned)
    }

    /// A connection was opened, which may be the first one of a file.
    pub fn opened(&mut self, now: Duration, first: bool) {
        self.pace.opened(first);
        self.bans.opened(now, self.pace.in_use(), !first);
        if first {
            self.requests.sent(now);
        }
    }

    /// A connection is through, which may have been the last one of a file. `flowed`: it had brought bytes; `cut`: there were more to
    /// come.
    pub fn closed(&mut self, now: Duration, last: bool, flowed: bool, cut: bool) {
        self.pace.closed(last);
        self.bans.closed(now, flowed, cut);
    }

    /// A request was answered with what it was for.
    pub fn served(&mut self, now: Duration) {
        self.requests.served(now);
    }

    /// A connection that was opened at `since` brought its first bytes.
    pub fn flows(&mut self, since: Duration) {
        self.bans.flows(since);
    }

    /// Takes in what a plan learned.
    pub fn hear(&mut self, now: Duration, news: Observation) {
        if matches!(news, Observation::Brought(..)) {
            self.requests.came(now);
        }
        self.pace.hear(now, news);
    }

    /// What room there is for the first connection of a file, if by other bounds there may be `most` more.
    pub fn room_for_a_file(&mut self, now: Duration, most: usize) -> Allowance {
        let most = most.min(self.allowed(now).saturating_sub(self.pace.in_use()));
        let not_before = self.requests.not_before().max(self.bans.not_before());
        Allowance { most, worth: 0, surplus: 0, not_before }
    }

    /// What room there is for further connections of a file. See [`Controller::room`].
    pub fn room(&mut self, now: Duration, most: usize, named: bool) -> Allowance {
        let most = most.min(self.allowed(now).saturating_sub(self.pace.in_use()));
        let room = self.pace.room(most, named);
        Allowance { not_before: room.not_before.max(self.bans.not_before()), ..room }
    }

    /// The most connections that the host stands.
    fn allowed(&mut self, now: Duration) -> usize {
        if self.bans.lapses(now) {
            self.pace.limit(now, self.most, false);
        }
        self.bans.allowed()
    }

    /// A connection failed: the pause that this is, if it is one.
    pub fn failed(&mut self, now: Duration, error: &Error, lost: Lost) -> Option<Pause> {
        if error.pause.is_some() || !lost.last {
            return error.pause;
        }
        let host = Circumstances {
            serves_others: self.requests.serves(now),
            bans: self.bans.is_likely(now, error.kind, lost.flowed),
        };
        match throttle::wish(error.kind, None, host) {
            Wish::Fewer if host.bans => {
                let wait = self.bans.happened(now, error.kind);
                if let Some(limit) = self.bans.limit() {
                    self.pace.limit(now, limit.min(self.most), true);
                }
                Some(Pause { wait, why: Why::Banned })
            }
            Wish::Fewer => {
                let wait = self.requests.refused(now, lost.sent);
                Some(Pause { wait, why: Why::Shared })
            }
            Wish::Pause(_) | Wish::Fail(_) => None,
        }
    }
}
