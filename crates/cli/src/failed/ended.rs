//! [`Ended`]: the jobs for which nothing is left to do.

use super::PartSoFar;
use downhaul_engine::core::event::JobId;

/// The jobs for which nothing is left to do. Each job takes one bit.
#[derive(Default)]
pub(super) struct Ended {
    bits: Vec<u64>,
    /// The highest number among the jobs that had an event. Such a job may still have something left to do.
    pub(super) last: u64,
}

impl Ended {
    fn place(job: u64) -> (usize, u64) {
        (usize::try_from(job / 64).unwrap_or(usize::MAX), 1 << (job % 64))
    }

    /// Stores that a job had an event. `is_done` is true if nothing is left to do for the job.
    pub(super) fn note(&mut self, job: JobId, is_done: bool) {
        self.last = self.last.max(job.get());
        if is_done {
            let (at, bit) = Ended::place(job.get());
            if at >= self.bits.len() {
                self.bits.resize(at + 1, 0);
            }
            self.bits[at] |= bit;
        }
    }

    /// Returns true if all jobs of this part, which is a list, were read, and nothing is left to do for them.
    pub(super) fn has_all(&self, part: &PartSoFar) -> bool {
        part.is_whole
            && (1..=part.passed.jobs() as u64).all(|place| self.has(part.before.saturating_add(place)))
    }

    /// Returns true if nothing is left to do for the job with this number.
    pub(super) fn has(&self, job: u64) -> bool {
        let (at, bit) = Ended::place(job);
        self.bits.get(at).is_some_and(|bits| bits & bit != 0)
    }
}
