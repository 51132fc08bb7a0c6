//! Carries out the commands of the program while the session runs.
//!
//! Invariant: a command for a job that has not reached the director yet is carried out when the job arrives.
//! A command for a job that is lent to the threads for small files ([`super::lending`]) calls all lent jobs
//! back, and is carried out if the job is given back unfinished. If such a command removes the job, jobs that
//! were added later wait until the job is given back. A command for a job that has ended has no effect.

use super::{Director, Ready};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use downhaul_core::plan::{Answer, Input};
use downhaul_core::settings::OnError;

/// A command from the session to the director.
pub(crate) enum Command {
    Job(JobId, Control),
    PauseAll,
    ResumeAll,
    /// The user answered "retry all", so there are no more questions.
    RetryAll,
    /// From now on, a job becomes active only while fewer than this many jobs are active.
    Parallel(usize),
    Stop,
}

/// A command for one job.
pub(crate) enum Control {
    Answer(Answer),
    Pause,
    Resume,
    Remove(Remove),
    Priority(i32),
    RateLimit(Option<u64>),
}

/// Decides what happens to the partial file of a job that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remove {
    /// Keep the partial file if a later run can resume it, and delete it otherwise.
    KeepPartial,
    /// Delete the partial file, if the job has opened it or is opening it. Otherwise nothing was written in
    /// this session, and the partial file of an earlier session is kept.
    Discard,
}

impl Director {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Job(id, control) => {
                if self.lending.has(id) {
                    self.queue.keep_early(id, control);
                    self.call_back();
                } else if self.queue.expects(id) {
                    self.queue.keep_early(id, control);
                } else {
                    self.control(id, control);
                }
            }
            Command::PauseAll => {
                self.queue.pause_all(true);
                self.call_back();
                self.ids().into_iter().for_each(|id| self.control(id, Control::Pause));
            }
            Command::ResumeAll => {
                self.queue.pause_all(false);
                // A job that has not arrived yet must not be paused by an earlier command when it arrives.
                self.queue.resume_early();
                let queued = self.queue.ids();
                self.ids().into_iter().chain(queued).for_each(|id| self.control(id, Control::Resume));
            }
            Command::RetryAll => {
                self.on_error = OnError::Retry;
                self.networks.forget_failures();
                for id in self.ids() {
                    self.on_input(id, Input::OnError(OnError::Retry));
                    self.ready.push_back((id, Ready::Answered));
                }
            }
            Command::Parallel(files) => self.parallel = Some(files),
            Command::Stop => self.stop_all(),
        }
    }

    /// Carries out the commands for a job that were sent before it arrived, or while it was lent.
    pub(super) fn catch_up(&mut self, id: JobId) {
        for control in self.queue.take_early(id) {
            self.control(id, control);
        }
    }

    pub(super) fn control(&mut self, id: JobId, control: Control) {
        match control {
            Control::Answer(Answer::Retry) => {
                // An answer without a question must not answer a later question.
                let is_asking = self.running.get(&id).is_some_and(|running| running.plan.is_asking());
                let answer = (id, Ready::Answered);
                if is_asking && !self.ready.contains(&answer) {
                    // The failure may be that of a checksum list, which is requested again.
                    self.networks.forget_failures();
                    self.ready.push_back(answer);
                }
            }
            Control::Answer(Answer::Skip) => self.on_input(id, Input::Answer(Answer::Skip)),
            Control::Pause => {
                self.queue.pause(id);
                self.ready.retain(|one| *one != (id, Ready::Resumed));
                self.on_input(id, Input::Pause(true));
            }
            Control::Resume => {
                self.queue.resume(id);
                self.ready.push_back((id, Ready::Resumed));
            }
            Control::Remove(remove) => self.remove(id, remove),
            Control::Priority(priority) => {
                if !self.queue.change(id, |job| job.priority = priority)
                    && let Some(running) = self.running.get_mut(&id)
                {
                    running.priority = priority;
                }
            }
            Control::RateLimit(rate) => {
                if !self.queue.change(id, |job| job.limit_rate = rate)
                    && let Some(running) = self.running.get(&id)
                {
                    running.limits.job.set(rate);
                }
            }
        }
    }

    pub(super) fn ids(&self) -> Vec<JobId> {
        self.running.keys().copied().collect()
    }

    fn remove(&mut self, id: JobId, remove: Remove) {
        if let Some(spec) = self.queue.remove(id) {
            self.fail_unstarted(id, Some(&spec), &Error::new(ErrorKind::JobRemoved, "", ""));
        }
        if let Some(running) = self.running.get_mut(&id) {
            running.discard = remove == Remove::Discard;
            self.on_input(id, Input::Remove);
        }
    }

    /// Ends all jobs in progress, and all jobs of the queue. A job whose file is getting its final name
    /// still finishes.
    pub(super) fn stop_all(&mut self) {
        self.queue.stop();
        self.start_no_more();
        self.call_back();
        for id in self.ids() {
            self.on_input(id, Input::Stop);
        }
    }

    /// Ends all jobs that have not started. The jobs in progress continue.
    pub(super) fn start_no_more(&mut self) {
        let stopped = Error::new(ErrorKind::RunStopped, "", "");
        for (id, spec) in self.queue.close() {
            self.fail_unstarted(id, Some(&spec), &stopped);
        }
        self.withdraw();
    }
}
