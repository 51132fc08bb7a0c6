//! Keeps the jobs that have not started. Decides if further jobs are accepted, and if a job may start.
//!
//! Invariant: a job is in the queue at most once, and there it is either waiting or paused. A closed queue is
//! empty and stays empty.

use super::QUEUE_AHEAD;
use super::control::Control;
use downhaul_core::event::JobId;
use downhaul_core::job::Job;
use std::cmp::Reverse;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Queue {
    /// Jobs that may start. They are sorted by priority, and then by the order in which they were added. The
    /// next job is first.
    waiting: BTreeMap<(Reverse<i32>, JobId), Box<Job>>,
    paused: BTreeMap<JobId, Box<Job>>,
    /// Commands for jobs that are not in the queue, because they have not reached the director yet, or
    /// because they are lent to the threads for small files.
    early: BTreeMap<JobId, Vec<Control>>,
    /// The number of jobs that have arrived.
    arrived: u64,
    /// True if the whole session is paused, so that no job starts.
    all_paused: bool,
    /// True while the queue is full enough. The queue is filled again when it is half empty. So the task that
    /// fills the queue does not wake up for each job.
    full: bool,
    /// True if no job starts any more.
    closed: bool,
    /// True if the jobs in progress end too.
    stopped: bool,
}

impl Queue {
    /// Counts a job that has arrived. Identifiers are numbers in the order of arrival, from 1 on.
    pub(super) fn count(&mut self) {
        self.arrived += 1;
    }

    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Returns true if the job with this identifier has not arrived yet.
    pub(super) fn expects(&self, id: JobId) -> bool {
        id.get() > self.arrived
    }

    /// Keeps a command for a job that has not arrived yet or is lent.
    pub(super) fn keep_early(&mut self, id: JobId, control: Control) {
        self.early.entry(id).or_default().push(control);
    }

    /// Adds the command `Resume` for each job for which commands were kept, after these commands.
    pub(super) fn resume_early(&mut self) {
        self.early.values_mut().for_each(|controls| controls.push(Control::Resume));
    }

    /// Removes the commands that were kept for a job, and returns them.
    pub(super) fn take_early(&mut self, id: JobId) -> Vec<Control> {
        self.early.remove(&id).unwrap_or_default()
    }

    /// Returns true if [`Queue::keep_early`] has kept a command that removes this job.
    pub(super) fn is_removed_early(&self, id: JobId) -> bool {
        let is_removal = |control: &Control| matches!(control, Control::Remove(_));
        self.early.get(&id).is_some_and(|kept| kept.iter().any(is_removal))
    }

    /// Returns true if further jobs should be added.
    pub(super) fn has_space(&mut self) -> bool {
        self.full = self.waiting.len() >= if self.full { QUEUE_AHEAD / 2 } else { QUEUE_AHEAD };
        !self.full
    }

    /// Returns true if no job may start, because the whole session is paused.
    pub(super) fn is_all_paused(&self) -> bool {
        self.all_paused
    }

    /// Pauses or resumes the start of all jobs. Jobs that were paused one by one stay paused.
    pub(super) fn pause_all(&mut self, paused: bool) {
        self.all_paused = paused;
    }

    /// Removes all jobs, and returns them. No job starts any more.
    pub(super) fn close(&mut self) -> Vec<(JobId, Box<Job>)> {
        self.closed = true;
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|((_, id), job)| (id, job));
        waiting.chain(std::mem::take(&mut self.paused)).collect()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Records that the jobs in progress end too.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Returns true if the jobs in progress end too. If only a limit of the run or a failure has closed the
    /// queue, they continue.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn push(&mut self, id: JobId, job: Box<Job>) {
        self.waiting.insert((Reverse(job.priority), id), job);
    }

    /// Returns true if a job may start.
    pub(super) fn has_next(&self) -> bool {
        !self.closed && !self.all_paused && !self.waiting.is_empty()
    }

    /// Returns the job that starts next. Returns `None` if the queue is closed, if all jobs are paused
    /// together, or if no job waits.
    pub(super) fn peek(&self) -> Option<(JobId, &Job)> {
        self.waiting.first_key_value().filter(|_| self.has_next()).map(|((_, id), job)| (*id, &**job))
    }

    /// Returns the number of jobs in the queue. Jobs that were paused one by one do not count.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Removes the first job of the queue, and returns it. Leaves out jobs that were paused one by one.
    pub(super) fn pop(&mut self) -> Option<(JobId, Box<Job>)> {
        self.waiting.pop_first().map(|((_, id), job)| (id, job))
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

    pub(super) fn remove(&mut self, id: JobId) -> Option<Box<Job>> {
        self.paused.remove(&id).or_else(|| self.take_waiting(id))
    }

    /// Changes a job that has not started. Returns false if the job is not in the queue.
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

    fn take_waiting(&mut self, id: JobId) -> Option<Box<Job>> {
        let key = *self.waiting.keys().find(|(_, other)| *other == id)?;
        self.waiting.remove(&key)
    }
}
