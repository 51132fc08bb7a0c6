//! Decides which jobs start, and when.
//!
//! Invariant: jobs start in the order of the queue, and only while the limit of active jobs allows it.

use super::job_facts::listed_size;
use super::running::{Responded, Running};
use super::{Director, Ready};
use crate::limit::{Limit, Limits};
use crate::place::Reserved;
use crate::session::Added;
use crate::source::{GivenBy, Slice, Source};
use crate::trace;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::{EventKind, JobId};
use downhaul_core::identity::Identity;
use downhaul_core::job::{Job, NamedBy};
use downhaul_core::name::SafeName;
use downhaul_core::plan::{Answer, Input, Plan, Rules, Sizes};
use downhaul_core::run_limits::RunLimits;
use downhaul_core::show;
use std::sync::Arc;
use std::time::Duration;

/// If this many jobs wait for the user, a host or another run, or are paused, no further job starts. So a
/// user who was away for a long time has only a limited number of questions to answer.
pub const IDLE_MOST: usize = 64;

/// The number of active jobs, until a measurement shows if more active jobs are faster.
pub(super) const FILES_LEAST: usize = 4;

impl Director {
    /// Adds these jobs to the queue. Adds none of them while the threads for small files still have a removed
    /// job. The name of the removed job is still reserved, and one of the new jobs may be the same job again.
    pub(super) fn enqueue_all(&mut self, added: &mut Vec<Added>) {
        if !added.is_empty() && !self.lending.lent().any(|id| self.queue.is_removed_early(id)) {
            added.drain(..).for_each(|job| self.enqueue(job));
        }
    }

    /// Adds a job to the queue and reserves its name. If no job starts any more, the job fails, unless an
    /// earlier run has completed it.
    fn enqueue(&mut self, (id, job): Added) {
        self.queue.count();
        let queued = match &job {
            Ok(job) => EventKind::queued(job),
            Err(error) => EventKind::queued_without_job(error),
        };
        self.reporter.tell(Some(id), queued);
        match job {
            Ok(spec) if self.queue.is_closed() && spec.done.is_none() => {
                let stopped = Error::new(ErrorKind::RunStopped, "", "");
                self.fail_unstarted(id, Some(&spec), &stopped);
            }
            Ok(mut spec) => {
                spec.forget_whole();
                self.start_at_known_files(&spec);
                self.reserve(id, spec);
            }
            Err(error) => self.fail_unstarted(id, None, &error),
        }
    }

    /// Sets the number of active jobs, at the start of the run, to the number that an earlier run found at
    /// the host of the first job.
    fn start_at_known_files(&mut self, spec: &Job) {
        if let Some(files) = self.files.as_mut().filter(|_| self.queue.arrived() == 1)
            && let Some(url) = spec.urls.first()
            && let Some(level) = self.connections.memory.known(&url.origin().ascii_serialization()).files
        {
            files.start_at(level);
        }
    }

    /// Reserves the name of a job. The job then waits for its turn, unless its file need not be downloaded or
    /// the name is taken.
    fn reserve(&mut self, id: JobId, mut spec: Box<Job>) {
        let reserved = self.places.reserve(id, &spec);
        // The name of a file that an earlier run fetched stays reserved, so that the names of the other files
        // do not depend on which files earlier runs fetched.
        if let Some(done) = spec.done.take() {
            self.reporter.tell(Some(id), EventKind::skipped(done).with_extra(&spec.extra));
            self.places.over(id, &spec, false);
            self.summary.skipped += 1;
            return;
        }
        match reserved {
            Reserved::Path => {
                self.queue.push(id, spec);
                self.catch_up(id);
            }
            Reserved::Same(_) => {
                let by_url = || SafeName::from_url(&spec.urls[0]).to_string();
                let path = spec.destination.given_name().unwrap_or_else(by_url);
                self.reporter.tell(Some(id), EventKind::same_as_other_job(path).with_extra(&spec.extra));
                self.summary.skipped += 1;
            }
            Reserved::Taken => {
                let at = spec.destination.given_name().unwrap_or_default();
                self.fail_unstarted(id, Some(&spec), &Error::new(ErrorKind::NameTaken, at, ""));
            }
        }
    }

    /// Returns true if the queue has space for further jobs and no reader of events is behind, or if further
    /// jobs fail at once.
    pub(super) fn wants_jobs(&mut self) -> bool {
        self.queue.is_closed() || (self.queue.has_space() && !self.reporter.is_behind())
    }

    /// Starts no more jobs, if a limit of the run is reached and some jobs were not started or may still be
    /// added. `more_jobs` is true if further jobs may be added.
    pub(super) fn check_limits(&mut self, now: Duration, more_jobs: bool) {
        let limits = self.settings.limits;
        let has_more = more_jobs || !self.queue.is_empty() || self.lending.has_waiting();
        if limits == RunLimits::default() || self.queue.is_closed() || !has_more {
            return;
        }
        let coming = self.running.values().map(|one| one.plan.expected_transfer());
        let bytes = coming.fold(self.received, u64::saturating_add);
        if let Some(reached) = limits.reached(now, bytes, self.queue.has_next()) {
            self.summary.reached = Some(reached);
            self.start_no_more();
        }
    }

    /// Returns true if the active jobs would reach the limit of `--max-total` according to the sizes in the
    /// list. If so, no job starts until the responses show how many bytes the active jobs still need. The
    /// limit itself does not count sizes from a list, because some of the files may exist already.
    fn may_reach_max_total(&self) -> bool {
        let Some(most) = self.settings.limits.max_total else { return false };
        let expected = |one: &Running| match one.plan.size() {
            None => listed_size(&one.spec).unwrap_or(0),
            Some(_) => one.plan.expected_transfer(),
        };
        // An idle job may wait for an answer of the user, so other jobs do not wait for it.
        let mut active = self.running.values().filter(|one| !one.plan.is_idle()).map(expected).peekable();
        active.peek().is_some() && active.fold(self.received, u64::saturating_add) >= most
    }

    /// Continues idle jobs, and starts jobs from the queue, as far as the limit of active jobs allows.
    pub(super) fn start_files(&mut self) {
        while self.has_room() {
            let Some((id, why)) = self.ready.pop_front() else { break };
            match why {
                Ready::Waited => self.drive(id),
                Ready::Answered => self.on_input(id, Input::Answer(Answer::Retry)),
                Ready::Resumed => self.on_input(id, Input::Pause(false)),
            }
        }
        while !self.lending.has_waiting()
            && self.queue.has_next()
            && self.may_start()
            && !self.may_reach_max_total()
        {
            // The job that was started last may have reached a limit of the run.
            self.check_limits(self.clock.now(), false);
            let Some((id, spec)) = self.queue.pop() else { return };
            self.start(id, *spec);
        }
    }

    /// Starts a job.
    fn start(&mut self, id: JobId, spec: Job) {
        self.prepare(id, spec, None);
        self.drive(id);
    }

    /// Makes the plan of a job, and adds the job to the running jobs. If a thread for small files has sent
    /// the first request, `responded` has the response or the error. The caller drives the job.
    pub(super) fn prepare(&mut self, id: JobId, spec: Job, responded: Option<Responded>) {
        let name = spec.destination.given_name().unwrap_or_else(|| show::url(&spec.urls[0]));
        let since = responded.as_ref().map_or_else(|| self.clock.now(), |one| one.first.0);
        let meter = self.reporter.meter(id, name, since);
        self.lending.on_started(id);
        if let Some(files) = &mut self.files {
            files.on_opened(false);
        }
        let mut plan = Plan::new(self.rules(id, &spec));
        let network = self.networks.get(spec.network);
        let by = |url| GivenBy::of(&self.settings, url, &spec);
        let source = |url| {
            let source = network.sources.source(url, by(url));
            spec.range.map_or(source.clone(), |range| Arc::new(Slice::new(source, range)))
        };
        let mut sources: Vec<Arc<dyn Source>> = spec.urls.iter().map(source).collect();
        let (mut first, mut came) = (None, None);
        if let Some(responded) = responded {
            plan.on_first_request(since);
            (first, came) = (Some(responded.first), responded.came);
            if let Some(source) = sources.first_mut() {
                *source = responded.source;
            }
        }
        let job = Arc::new(Limit::new(spec.limit_rate));
        let host = spec.urls.first().and_then(|url| self.connections.limits.of(url)).cloned();
        let limits = Limits { session: self.limit.clone(), job, host };
        let running = Running::new(spec, plan, trace::job(id), meter, limits, sources, since);
        self.running.insert(id, Running { first, came, ..running });
    }

    /// Returns the parts of a job and of the settings that its plan needs.
    pub(super) fn rules(&self, id: JobId, spec: &Job) -> Rules {
        let origins: Vec<_> = spec.urls.iter().map(|url| self.places.origin(spec, url)).collect();
        let identity = Identity { origins, has_strong_digest: false };
        // If it is known that there is no file at the path, the disk is not checked first. It is still
        // checked if the file may be made from another file with the same bytes.
        let may_be_made = self.duplicates.is_on()
            && (!spec.archived.is_empty()
                || spec.expected.iter().any(|one| one.digest.algorithm.is_strong()));
        let is_free = self.places.is_free(id, &identity) && !may_be_made;
        let network = self.networks.get(spec.network);
        let look_first = !spec.destination.is_in_order() && !is_free;
        Rules {
            origins: identity.origins,
            size: spec.size,
            chunks: spec.chunks.clone(),
            look_first,
            retries: network.settings.retries,
            retry_wait: network.settings.retry_wait,
            sends_once: spec.sends.is_some() && network.settings.retries == 0,
            on_error: self.on_error,
            if_locked: self.settings.if_locked,
            max_time: self.settings.max_time,
            verify: self.settings.verify,
            record: self.settings.record,
            expected: spec.expected.clone(),
            notes: spec.notes.clone(),
            connections: self.most_connections(spec),
            sizes: if spec.destination.is_in_order() { Sizes::IN_ORDER } else { Sizes::FILE },
            seed: self.seed.wrapping_add(id.get()),
        }
    }

    /// Returns the highest number of connections for a job, if a number is set for the job, for its host or
    /// for all jobs. A job whose request is not a plain GET gets one connection.
    pub(super) fn most_connections(&self, spec: &Job) -> Option<usize> {
        if spec.sends.is_some() {
            return Some(1);
        }
        let of_host = || self.settings.for_hosts.connections(spec.urls.first()?);
        let of_settings = || of_host().or(self.settings.connections);
        let most = spec.connections.or_else(of_settings)?;
        // A list that someone else wrote can only lower the number that the user set.
        let limit = of_settings().filter(|_| spec.named_by == NamedBy::Document);
        Some(limit.map_or(most, |limit| most.min(limit)))
    }

    pub(super) fn has_room(&self) -> bool {
        self.running.len() - self.idle() + self.lending.at_work() < self.parallel()
    }

    /// Returns how many jobs may be active at once.
    pub(super) fn parallel(&self) -> usize {
        match (self.parallel, &self.files) {
            (None, Some(files)) => files.target(),
            (parallel, _) => parallel.unwrap_or(FILES_LEAST),
        }
    }

    /// Returns true if a job of the queue may start.
    pub(super) fn may_start(&self) -> bool {
        self.has_room() && self.idle() < IDLE_MOST && !self.reporter.is_behind()
    }

    /// Returns how many running jobs wait for the user, a host or another run, or are paused.
    pub(super) fn idle(&self) -> usize {
        self.running.values().filter(|one| one.plan.is_idle()).count()
    }
}
