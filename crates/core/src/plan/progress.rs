//! What workers bring: bytes, until their task ends.
//!
//! Invariant: a task is done when all of its bytes are written, or the end of the reply is the end of the file; whatever else
//! ends a worker is a failure.

use super::{Action, Plan, WorkerId};
use crate::concurrency::Observation;
use crate::error::{Error, ErrorKind};
use crate::retry::PROGRESS;
use std::time::Duration;

impl Plan {
    pub(super) fn wrote(&mut self, now: Duration, worker: WorkerId, upto: u64, fresh: bool) {
        let Some(held) = self.ledger.get(worker) else { return };
        let (before, source) = (held.at, held.source);
        self.ledger.wrote(now, worker, upto, fresh);
        let new = upto.saturating_sub(before);
        self.fetched = self.fetched.saturating_add(new);
        let news = Observation::Progress { bytes: new, latency: self.ledger.latency };
        self.actions.push_back(Action::Observe { source, news });
        if self.ledger.get(worker).is_some_and(|held| held.brought() >= PROGRESS) {
            self.works(source, 0);
            self.actions.push_back(Action::Observe { source, news: Observation::Works });
        }
        self.grew();
        if self.comparing.as_ref().is_some_and(|left| self.ledger.written.contains(&left.overlap())) {
            self.comparing = None;
        }
        self.complete();
    }

    pub(super) fn ended(&mut self, now: Duration, worker: WorkerId, result: Result<(), Error>) {
        let Some(held) = self.ledger.get(worker) else { return };
        let (at, end, receiving, source, rate) =
            (held.at, held.end, held.receiving, held.source, held.rate());
        let crumb = held.is_a_crumb(PROGRESS);
        match result {
            // It broke behind the end of its task.
            Err(_) if receiving && end.is_some_and(|end| at >= end) => self.ended(now, worker, Ok(())),
            Err(error) => self.worker_failed(now, worker, error),
            // A worker that was never told to go on cannot be through.
            Ok(()) if !receiving => {
                let error = Error::new(ErrorKind::HttpTruncated, self.place(), "no reply");
                self.worker_failed(now, worker, error);
            }
            Ok(()) if end.is_some_and(|end| at < end) => {
                let missing = format!("{} bytes are missing", end.unwrap_or(at) - at);
                self.worker_failed(now, worker, Error::new(ErrorKind::HttpTruncated, self.place(), missing));
            }
            Ok(()) => {
                let (_, twin) = self.ledger.release(worker).unzip();
                if let Some(worker) = twin.flatten() {
                    self.actions.push_back(Action::Drop { worker });
                }
                self.grew();
                if end.is_none() {
                    self.ledger.size = Some(at);
                    self.proven = Some("end of transfer only".into());
                }
                if !crumb {
                    self.works(source, 1);
                } else {
                    let news = Observation::Broken { wait: Duration::ZERO };
                    self.actions.push_back(Action::Observe { source, news });
                }
                if self.sources.worked(source, rate) && self.mixes() {
                    let why = "other mirrors bring many times more";
                    self.leave(source, &Error::new(ErrorKind::NetSlow, self.sources.url(source), why));
                }
                let sized = self.ledger.size.is_some();
                if !self.complete() && self.ledger.assignments().is_empty() && sized && !self.is_provable() {
                    let why = "only a part came, and nothing tells whether the next one belongs to it";
                    self.failed(now, Error::new(ErrorKind::HttpTruncated, self.place(), why));
                }
            }
        }
    }

    /// Connections of a source bring what they were asked for: those at work, and so many that just ended.
    fn works(&mut self, source: usize, ended: usize) {
        let at_work =
            self.ledger.assignments().iter().filter(|one| one.source == source && one.receiving).count();
        if let Some(growth) = self.sources.growth_mut(source) {
            growth.works(at_work + ended);
        }
    }

    pub(super) fn grew(&mut self) {
        self.best = self.best.max(self.ledger.written.len().saturating_sub(self.left_good));
    }
}
