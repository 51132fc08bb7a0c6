//! Ends jobs and the session, and counts the results.
//!
//! Invariant: each job is counted once, as finished, skipped, planned or failed.

use super::job_facts::{host_of, name_of};
use super::running::Stage;
use super::{Director, Report};
use crate::disk::Part;
use crate::explain::{self, Explanation, FileStory};
use crate::trace::CONCURRENCY;
use downhaul_core::concurrency::{AUTO_MOST, Controller, FILE_COUNTS, Host, Level};
use downhaul_core::error::{Blame, Error, ErrorKind};
use downhaul_core::event::{EventKind, JobId, State};
use downhaul_core::job::Job;
use downhaul_core::plan::Outcome;
use downhaul_core::run_limits::Reached;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// The result of a session.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The number of files that were queued.
    pub files: u64,
    /// The number of files that were downloaded completely.
    pub finished: u64,
    /// The number of files that were skipped, because they need not be downloaded, or because another run is
    /// working on them ([`Summary::left`]).
    pub skipped: u64,
    /// The number of files that would be downloaded, in a preview.
    pub planned: u64,
    /// The number of skipped files that were left to another run, and may be incomplete.
    pub left: u64,
    /// The number of files that failed. It includes `resumable` and `stopped`.
    pub failed: u64,
    /// The number of failed files that the next run can resume.
    pub resumable: u64,
    /// The number of files that were not complete when the run was stopped, or were not started because of a
    /// limit of the run or a failure.
    pub stopped: u64,
    /// The number of files in `stopped` whose jobs had not started.
    pub unstarted: u64,
    /// The number of bytes of unfinished files that the next run can use. The partial file of an earlier run
    /// counts only if this run started its job.
    pub kept: u64,
    /// The areas in which failures happened (such as the disk), each area once. The exit
    /// status depends on them and on other facts.
    pub blames: Vec<Blame>,
    /// True if `--on-error exit` stopped the run.
    pub stopped_on_error: bool,
    /// The limit of the run that was reached while some jobs had not started, or further jobs could still be
    /// added.
    pub reached: Option<Reached>,
    /// True if the reader of an output, such as standard output or a pipe, has closed it.
    pub output_closed: bool,
    /// Notes about the whole run for the user.
    pub notes: Vec<String>,
    /// The facts that explain how long the run took.
    pub explanation: Explanation,
}

impl Summary {
    /// Returns the summary of a session that ended in this state without ending its jobs, for example because
    /// its runtime was shut down. The jobs that have not ended count as stopped. `files` is the number of
    /// jobs that were added.
    pub(crate) fn of_stopped(state: &State, files: u64) -> Summary {
        let &State { finished, skipped, failed, planned, .. } = state;
        let stopped = files.saturating_sub(state.ended());
        let failed = failed + stopped;
        // The areas of earlier failures are not known here.
        let blames = if failed > 0 { vec![Blame::Stopped] } else { Vec::new() };
        Summary { files, finished, skipped, planned, failed, stopped, blames, ..Summary::default() }
    }
}

impl Director {
    /// Ends a job that has not started, with this error.
    pub(super) fn fail_unstarted(&mut self, id: JobId, spec: Option<&Job>, error: &Error) {
        let failed = EventKind::failed(error);
        let failed = spec.map_or(failed.clone(), |spec| failed.with_extra(&spec.extra));
        self.reporter.tell(Some(id), failed);
        if let Some(spec) = spec {
            self.places.over(id, spec, error.kind == ErrorKind::JobRemoved);
        }
        self.summary.unstarted += u64::from(error.kind == ErrorKind::RunStopped);
        self.count_failure(error.kind);
    }

    pub(super) fn finish(&mut self, id: JobId, outcome: Outcome) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.wake = None;
        if let Some(file) = running.file_mut() {
            file.stop_checking();
        }
        if matches!(outcome, Outcome::Finished) {
            self.explain(id);
        }
        let Some(running) = self.running.get_mut(&id) else { return };
        if matches!(&running.stage, Stage::Placing(placing) if placing.is_opening) {
            // Later jobs wait for this partial file. A pipe has none, and opening a pipe may never end.
            if !running.spec.destination.is_in_order() {
                self.closing.add_opening(id);
            }
            self.discarded.extend(running.discard.then_some(id));
        }
        let file = std::mem::replace(&mut running.stage, Stage::Over).into_file();
        let part = file.map(|file| (file.path, file.part));
        let (bytes, kept) = (running.plan.bytes(), running.plan.kept());
        self.received += running.plan.received();
        self.reporter.drop_meter(id);
        self.space.release(id);
        let is_removed = matches!(outcome, Outcome::Failed { kind: ErrorKind::JobRemoved, .. });
        self.places.over(id, &running.spec, is_removed);
        let keep = matches!(outcome, Outcome::Failed { resumable: true, .. }) && !running.discard;
        self.summary.resumable += u64::from(keep);
        self.summary.kept += if keep { kept } else { 0 };
        let finished = matches!(outcome, Outcome::Finished);
        match outcome {
            Outcome::Finished => {
                self.lending.on_size(bytes);
                self.count_finished(bytes);
            }
            Outcome::Skipped => self.summary.skipped += 1,
            Outcome::Left => {
                self.summary.skipped += 1;
                self.summary.left += 1;
            }
            Outcome::Failed { kind, exhausted, stop_all, .. } => {
                self.count_failure(kind);
                if exhausted {
                    self.start_no_more();
                }
                if stop_all {
                    self.summary.stopped_on_error = true;
                    self.stop_all();
                }
            }
        }
        match part {
            Some((path, part)) if !finished => self.close(id, path, part, keep),
            Some((_, part)) => {
                // The drop closes the file and may block, so it runs on another thread.
                self.short_calls.run(move || drop(part));
                self.forget(id);
            }
            None => self.forget(id),
        }
    }

    /// Closes the partial file of a job that has ended. If `keep` is false, removes the partial file. This
    /// may block, so a task does it.
    pub(super) fn close(&self, id: JobId, path: PathBuf, part: Arc<dyn Part>, keep: bool) {
        self.closing.add(id, path, &part);
        self.block(id, false, move || {
            if !keep {
                part.discard();
            }
            drop(part);
            Report::Gone
        });
    }

    /// Counts a file that is complete.
    pub(super) fn count_finished(&mut self, bytes: u64) {
        self.summary.finished += 1;
        self.count_progress(bytes);
    }

    /// Tells the controller that a job with a file of this size has ended. This controller decides how many
    /// jobs are active at once.
    pub(super) fn count_progress(&mut self, bytes: u64) {
        let Some(files) = &mut self.files else { return };
        let before = files.target();
        files.on_progress(self.clock.now(), FILE_COUNTS + bytes, Duration::ZERO);
        if files.target() != before {
            debug!(target: CONCURRENCY, from = before, to = files.target(), "changed the number of files at once");
        }
    }

    /// Removes a job that is over from the running jobs.
    pub(super) fn forget(&mut self, id: JobId) {
        self.running.remove(&id);
        if let Some(files) = &mut self.files {
            files.on_closed(false);
        }
    }

    /// Records how the time for a finished file was spent, if the file is one of the slowest.
    pub(super) fn explain(&mut self, id: JobId) {
        let now = self.clock.now();
        let Some(running) = self.running.get(&id) else { return };
        let took = now.saturating_sub(running.since);
        if !self.summary.explanation.wants(took) {
            return;
        }
        let mut spent = *running.meter.spent();
        let Stage::Publishing { file, complete, verified } = &running.stage else { return };
        spent.body = complete.saturating_sub(file.came.unwrap_or(*complete));
        (spent.verify, spent.publish) = (verified.saturating_sub(*complete), now.saturating_sub(*verified));
        let host = host_of(&running.spec, running.plan.source());
        let steps = self.connections.hosts.get(host).map_or(&[][..], Host::steps);
        let named = self.most_connections(&running.spec);
        let limit =
            explain::limiter(took, &spent, running.limits.is_set(), named, running.most_workers, steps);
        let name = name_of(&file.path);
        let (bytes, connections) = (running.plan.bytes(), running.most_workers);
        self.summary.explanation.add(FileStory { name, bytes, took, connections, spent, limit });
    }

    pub(super) fn count_failure(&mut self, kind: ErrorKind) {
        self.summary.failed += 1;
        self.summary.stopped += u64::from(kind == ErrorKind::RunStopped);
        if !self.summary.blames.contains(&kind.blame()) {
            self.summary.blames.push(kind.blame());
        }
        self.summary.output_closed |= kind == ErrorKind::OutputClosed;
    }

    /// Saves the facts that this run learned about hosts, for later runs.
    pub(super) async fn remember(&mut self) {
        let files = self.files.as_ref().and_then(Controller::best);
        let is_free = |level: &Level| !self.limit.is_set() && level.number < self.settings.max_per_host;
        let files = files.filter(|level| is_free(level) || self.settings.max_per_host >= AUTO_MOST);
        let (memory, learned) = self.connections.take_learned(files);
        let kept = tokio::task::spawn_blocking(move || memory.keep(&learned)).await;
        self.summary.notes.extend(kept.ok().flatten());
    }

    pub(super) fn sum_up(&mut self) -> Summary {
        self.summary.files = self.queue.arrived();
        self.summary.notes.extend(self.duplicates.note());
        let mut hosts: Vec<_> = std::mem::take(&mut self.connections.hosts).into_iter().collect();
        hosts.sort_by(|a, b| a.0.cmp(&b.0));
        let limit = |(host, one): &(String, Host)| Some((host.clone(), one.request_limit()?));
        self.summary.explanation.request_limits = hosts.iter().filter_map(limit).collect();
        let steps = hosts.into_iter().map(|(host, one)| (host, one.steps().to_vec()));
        self.summary.explanation.hosts = steps.filter(|(_, steps)| !steps.is_empty()).collect();
        self.summary.explanation.at_once =
            self.files.as_ref().map(|files| files.steps().to_vec()).unwrap_or_default();
        self.summary.explanation.proxies =
            std::mem::take(&mut self.connections.proxies).into_iter().collect();
        self.reporter.tell(None, EventKind::summary(&self.reporter.state(), self.clock.now()));
        std::mem::take(&mut self.summary)
    }
}
