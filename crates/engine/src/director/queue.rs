//! The jobs that have not started.
//!
//! Invariant: each job is here once. It either waits for its turn or is paused.

use downhaul_core::event::JobId;
use downhaul_core::job::Job;
use std::cmp::Reverse;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Queue {
    /// Jobs that may start, the next one first: by priority, then in the order in which they were added.
    waiting: BTreeMap<(Reverse<i32>, JobId), Job>,
    paused: BTreeMap<JobId, Job>,
}

impl Queue {
    pub(super) fn push(&mut self, id: JobId, job: Job) {
        self.waiting.insert((Reverse(job.priority), id), job);
    }

    /// Removes the job that starts next, and returns it.
    pub(super) fn pop(&mut self) -> Option<(JobId, Job)> {
        self.waiting.pop_first().map(|((_, id), job)| (id, job))
    }

    /// Returns the number of jobs that may start.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.paused.is_empty()
    }

    /// Returns the identifiers of all jobs that have not started.
    pub(super) fn ids(&self) -> Vec<JobId> {
        self.waiting.keys().map(|(_, id)| *id).chain(self.paused.keys().copied()).collect()
    }

    pub(super) fn pause(&mut self, id: JobId) {
        if let Some(job) = self.take_waiting(id) {
            self.paused.insert(id, job);
        }
    }

    pub(super) fn resume(&mut self, id: JobId) {
        if let Some(job) = self.paused.remove(&id) {
            self.push(id, job);
        }
    }

    pub(super) fn remove(&mut self, id: JobId) -> Option<Job> {
        self.paused.remove(&id).or_else(|| self.take_waiting(id))
    }

    /// Changes a job that has not started. Returns false if it is not here.
    pub(super) fn change(&mut self, id: JobId, change: impl FnOnce(&mut Job)) -> bool {
        if let Some(job) = self.paused.get_mut(&id) {
            change(job);
            return true;
        }
        let Some(mut job) = self.take_waiting(id) else { return false };
        change(&mut job);
        self.push(id, job);
        true
    }

    fn take_waiting(&mut self, id: JobId) -> Option<Job> {
        let key = *self.waiting.keys().find(|(_, other)| *other == id)?;
        self.waiting.remove(&key)
    }
}
