//! Handles the reports of workers and of blocking tasks.
//!
//! Invariant: a report about a job that has ended concerns only the partial file of the job. If this file was
//! opened after the end of the job, it is closed, and is removed if the job was removed together with it.

use super::Director;
use super::job_facts::name_of;
use super::placement::Placement;
use super::placing::Looked;
use super::running::add_mirrors;
use crate::disk::Generation;
use crate::known::Known;
use downhaul_core::concurrency::{Lost, Observation};
use downhaul_core::dedup::MadeFrom;
use downhaul_core::error::Error;
use downhaul_core::event::JobId;
use downhaul_core::plan::{Findings, Input, WorkerId};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A report of a blocking task or a worker about a job.
pub(super) enum Report {
    Input(Input),
    /// The facts about the file from checksum lists and signatures.
    Known(Known),
    /// The name of the file was checked, and an existing file was compared, if there is one.
    Looked(Result<Looked, Error>),
    /// The path of the file was chosen, and its partial file was opened if one is needed.
    Placed(Result<Placement, Error>),
    /// The file is at this final path. It may have been made from another file with the same bytes.
    Published(Result<(String, Option<MadeFrom>), Error>),
    /// The partial file was started.
    Begun(Result<Generation, Error>),
    /// The partial file of a job that is over has been closed or removed.
    Gone,
}

impl Director {
    /// Passes a report to the plan of its job.
    pub(super) fn on_report(&mut self, id: JobId, report: Report) {
        let Some(running) = self.running.get_mut(&id) else { return self.on_late_report(id, report) };
        let mut input = match report {
            Report::Gone => return self.on_gone(id),
            Report::Input(input) => input,
            Report::Known(known) => {
                running.on_known(known.clone());
                let sources = self.networks.get(running.spec.network).sources;
                let more = add_mirrors(running, &sources, known.mirrors);
                let more = more.iter().map(|url| self.places.origin(&running.spec, url)).collect();
                running.plan.on(self.clock.now(), Input::Sources(more));
                Input::Found(known.findings)
            }
            Report::Looked(result) => Input::Looked(result.map(|looked| running.on_looked(looked))),
            Report::Placed(Ok(mut placement)) => {
                running.meter.set_name(name_of(&placement.path));
                running.previewed.replaces = placement.replaces;
                if let Some(renamed) = placement.renamed.take() {
                    let findings = Findings { renamed: Some(renamed), ..Findings::default() };
                    running.plan.on(self.clock.now(), Input::Found(findings));
                }
                let (place, left) = (placement.place.clone(), placement.left.take());
                running.on_placed(placement);
                Input::Placed(Ok(place), left)
            }
            Report::Placed(Err(error)) => running.on_not_opened(error),
            Report::Published(result) => Input::Published(result.map(|(path, made_from)| {
                running.made_from = made_from;
                path
            })),
            Report::Begun(result) => Input::Begun(result.map(|generation| running.on_begun(generation))),
        };
        match &mut input {
            Input::Opened { worker, remote } => {
                // The modification time is kept with the worker, and is used once the response is accepted.
                if let Some(at_work) = running.workers.get_mut(worker) {
                    at_work.modified = remote.modified;
                }
                self.on_served(id, *worker);
            }
            Input::Verified(Ok(digests)) if self.duplicates.is_on() => running.digests.clone_from(digests),
            Input::Wrote { worker, upto, .. } => {
                self.on_bytes(id, *worker, *upto);
                self.on_round_trip(id, *worker);
            }
            Input::Ended { worker, result } => {
                // A host that refused the connection does not serve it any more.
                let flowed = running.workers.get(worker).is_some_and(|at_work| at_work.flowed);
                let cut = result.is_err() && flowed;
                if let Err(error) = result {
                    running.locate(*worker, error);
                    self.on_lost(id, *worker, error);
                }
                self.remove_worker(id, *worker, cut);
            }
            _ => {}
        }
        self.on_input(id, input);
    }

    fn on_gone(&mut self, id: JobId) {
        self.closing.on_closed(id);
        self.forget(id);
    }

    /// Records that a worker has a usable response.
    fn on_served(&mut self, id: JobId, worker: WorkerId) {
        let Some(running) = self.running.get(&id) else { return };
        let Some(at_work) = running.workers.get(&worker) else { return };
        let (now, refused) = (self.clock.now(), running.plan.was_refused_for());
        self.connections.at_host(&at_work.host, |host| host.on_served(now, refused));
    }

    /// Records that a worker received bytes, and has written all bytes up to the offset `upto`.
    fn on_bytes(&mut self, id: JobId, worker: WorkerId, upto: u64) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let size = running.plan.size();
        let Some(at_work) = running.workers.get_mut(&worker) else { return };
        at_work.complete |= at_work.to.or(size).is_some_and(|end| upto >= end);
        if std::mem::replace(&mut at_work.flowed, true) {
            return;
        }
        if let Some(host) = self.connections.hosts.get_mut(&at_work.host) {
            host.on_first_bytes(self.clock.now(), at_work.sent);
        }
    }

    /// Passes the failure of a worker to the controller of its host, which decides if the job pauses.
    fn on_lost(&mut self, id: JobId, worker: WorkerId, error: &mut Error) {
        let Some(running) = self.running.get(&id) else { return };
        let Some(at_work) = running.workers.get(&worker) else { return };
        let (now, last) = (self.clock.now(), running.workers.len() == 1);
        let (flowed, again) = (running.plan.has_received_bytes(), running.plan.was_refused_for().is_some());
        let at = at_work.failed.unwrap_or(now);
        let lost = Lost { sent: at_work.sent, last, flowed, again, at };
        let pause = self.connections.at_host(&at_work.host, |host| host.on_failure(now, error, lost));
        error.pause = pause.unwrap_or(error.pause);
    }

    /// Passes the round-trip time of the connection of a worker to the controller of its host.
    fn on_round_trip(&mut self, id: JobId, worker: WorkerId) {
        let Some(running) = self.running.get(&id) else { return };
        let Some(at_work) = running.workers.get(&worker) else { return };
        // The code of a protocol may panic, which must end no other job.
        let Some(source) = running.sources.get(at_work.source) else { return };
        let round_trip = catch_unwind(AssertUnwindSafe(|| source.round_trip())).ok().flatten();
        let Some(took) = round_trip else { return };
        let at = self.clock.now();
        self.connections.at_host(&at_work.host, |host| host.on(at, Observation::RoundTrip { took }));
    }

    /// Handles a report about a job that is over. A partial file that was opened after the end of the job is
    /// closed. If the job was removed together with its partial file, that file is removed.
    fn on_late_report(&mut self, id: JobId, report: Report) {
        let placed = match report {
            Report::Placed(placed) => placed,
            Report::Gone => return self.closing.on_closed(id),
            _ => return,
        };
        let discards = self.discarded.remove(&id);
        match placed {
            Ok(Placement { part: Some(part), path, .. }) => self.close(id, path, part, !discards),
            _ => self.closing.on_closed(id),
        }
    }

    /// Passes an input to the plan of a job, and carries out the actions that follow.
    pub(super) fn on_input(&mut self, id: JobId, input: Input) {
        let now = self.clock.now();
        if let Some(running) = self.running.get_mut(&id) {
            running.plan.on(now, input);
            running.meter.set_bytes(running.plan.bytes());
            running.meter.set_ranges(running.plan.written());
            if let Some(verifier) = running.file().and_then(|file| file.verifier.as_ref()) {
                verifier.written(running.plan.prefix());
            }
            self.drive(id);
        }
    }
}
