//! Decides when a run starts no more jobs: after a number of bytes (`--max-total`), or at a time
//! (`--deadline`).
//!
//! Invariant: a job that was started is never stopped by these limits.

use std::time::Duration;

/// The limits of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// The number of bytes after which no job starts. The bytes that the jobs in progress still need are
    /// counted too, as far as the sizes of their files are known.
    pub max_total: Option<u64>,
    /// The time since the start of the session after which no job starts.
    pub deadline: Option<Duration>,
}

/// A limit of a run that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reached {
    /// The number of bytes in [`RunLimits::max_total`].
    Total,
    /// The time in [`RunLimits::deadline`].
    Deadline,
}

impl RunLimits {
    /// Returns the limit that was reached. `now` is the time since the start of the session. `bytes` is the
    /// number of bytes that the run has received, plus the number of bytes that the jobs in progress still
    /// need. `waits` is true if a job waits for its start. If no job waits, [`Reached::Total`] is not
    /// returned, because all jobs may fit within the limit.
    pub fn reached(&self, now: Duration, bytes: u64, waits: bool) -> Option<Reached> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Reached::Deadline);
        }
        self.max_total.filter(|most| waits && bytes >= *most).map(|_| Reached::Total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_by_time_or_if_a_file_waits_for_bytes() {
        let second = Duration::from_secs(1);
        let limits = RunLimits { max_total: Some(10), deadline: Some(second) };
        assert_eq!(limits.reached(Duration::ZERO, 9, true), None);
        assert_eq!(limits.reached(Duration::ZERO, 10, true), Some(Reached::Total));
        assert_eq!(limits.reached(Duration::ZERO, 10, false), None);
        assert_eq!(limits.reached(second, 0, false), Some(Reached::Deadline));
        assert_eq!(RunLimits::default().reached(second, u64::MAX, true), None);
    }
}
