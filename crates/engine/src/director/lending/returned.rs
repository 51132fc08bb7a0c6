//! Handles the jobs that the threads for small files give back: finished jobs, jobs with an open response or
//! an error, and jobs without a response.
//!
//! Invariant: a job whose request was sent ends only if its file is complete, if the job itself fails or is
//! removed, or if the whole session is stopped. A limit of the run does not end it.

use crate::director::job_facts::{host_of, name_of};
use crate::director::running::Responded;
use crate::director::{Control, Director};
use crate::explain::{self, FileStory};
use crate::small_files::{Finished, Lent, Response, Returned};
use crate::source;
use downhaul_core::concurrency::Spoke;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use downhaul_core::job::Job;
use downhaul_core::run_limits::RunLimits;
use downhaul_core::settings::HttpVersion;
use std::sync::Arc;

impl Director {
    pub(in crate::director) fn on_returned(&mut self, returned: Returned) {
        match returned {
            Returned::Finished(finished) => self.on_small_file(*finished),
            Returned::Occupied(lent) => {
                self.lending.usual.insert(lent.id);
                self.on_untouched(*lent);
            }
            Returned::Untouched(lent) => {
                self.lending.started += 1;
                self.on_unanswered(*lent);
            }
            Returned::Responded(response) => {
                let Response { job: Lent { id, spec, source, .. }, response, sent, done, spent } = *response;
                self.lending.unusual += u32::from(response.is_ok());
                self.lending.started += 1;
                let first = (sent, response.is_err().then_some(done));
                let came = response.is_ok().then(|| done.saturating_sub(spent.body));
                let source = Arc::new(source::Responded::new(source, response, spent));
                self.start_returned(id, spec, Some(Responded { source, first, came }));
            }
        }
    }

    /// Handles a job that was in progress on a thread and has no response. The job returns to the queue,
    /// unless a limit of the run has closed the queue or may close it. Such a limit ends the jobs of the
    /// queue, but not the jobs in progress.
    fn on_unanswered(&mut self, lent: Lent) {
        let Lent { id, spec, .. } = &lent;
        if self.queue.is_removed_early(*id) {
            self.lending.out.remove(id);
            drop(self.queue.take_early(*id));
            self.fail_unstarted(*id, Some(spec), &Error::new(ErrorKind::JobRemoved, "", ""));
        } else if self.queue.is_closed() || self.settings.limits != RunLimits::default() {
            self.start_returned(lent.id, lent.spec, None);
        } else {
            self.on_untouched(lent);
        }
    }

    /// Starts a job in the usual way that was in progress on a thread. If the session was stopped, the job
    /// fails instead.
    fn start_returned(&mut self, id: JobId, spec: Arc<Job>, responded: Option<Responded>) {
        self.lending.out.remove(&id);
        // The job is counted as a running job from now on, so it is no longer counted as a lent job.
        self.count_lent(self.lending.counted.saturating_sub(1));
        if self.queue.is_stopped() {
            return self.fail_unstarted(id, Some(&spec), &Error::new(ErrorKind::RunStopped, "", ""));
        }
        let has_response = responded.is_some();
        self.prepare(id, Arc::unwrap_or_clone(spec), responded);
        // The plan gets a response before it gets a command, because a command may close the connection of
        // the response. Without a response, a command comes before the first request.
        if has_response {
            self.drive(id);
        }
        if self.queue.is_all_paused() {
            self.control(id, Control::Pause);
        }
        self.catch_up(id);
        self.drive(id);
    }

    /// Puts a job that is not in progress back into the queue. If no job starts any more, the job fails.
    pub(super) fn on_untouched(&mut self, Lent { id, spec, .. }: Lent) {
        self.lending.out.remove(&id);
        if self.queue.is_closed() {
            return self.fail_unstarted(id, Some(&spec), &Error::new(ErrorKind::RunStopped, "", ""));
        }
        self.queue.push(id, Box::new(Arc::unwrap_or_clone(spec)));
        self.catch_up(id);
    }

    /// Records the end of a lent job whose file has its final name. The same facts are recorded as for a job
    /// that was not lent.
    fn on_small_file(&mut self, finished: Finished) {
        let Finished { id, spec, saved, sent, took, spent, is_shared } = finished;
        let now = self.clock.now();
        let is_chosen = self.settings.http_version == HttpVersion::Auto && spec.urls[0].scheme() == "https";
        let http = is_chosen.then_some(if is_shared { Spoke::Http2 } else { Spoke::Http1 });
        self.lending.out.remove(&id);
        drop(self.queue.take_early(id));
        self.lending.unusual = 0;
        // The file that has just arrived was in progress too.
        let reserved = self.lending.counted.saturating_sub(self.lending.at_work() + 1);
        self.connections.at_host(host_of(&spec, 0), |host| {
            host.on_small_file(sent, sent + took, reserved, http);
            saved.observations.into_iter().for_each(|observation| host.on(now, observation));
        });
        if self.summary.explanation.wants(took) {
            let limit = explain::limiter(took, &spent, false, self.most_connections(&spec), 1, &[]);
            let (name, bytes) = (name_of(&saved.path), saved.bytes);
            self.summary.explanation.add(FileStory { name, bytes, took, connections: 1, spent, limit });
        }
        saved
            .events
            .into_iter()
            .for_each(|event| self.reporter.tell(Some(id), event.with_extra(&spec.extra)));
        self.places.over(id, &spec, false);
        self.count_finished(saved.bytes);
    }
}
