//! [`Checked`]: a list that was checked, or whose check ends during the run.

use super::list::List;
use super::so_far::{CheckedJobs, SoFar};
use downhaul_engine::core::list::AtLine;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// A list that was checked, or whose check ends during the run.
#[derive(Debug)]
pub struct Checked {
    pub(crate) list: List,
    pub(crate) count: Count,
    /// The jobs of a short list. A longer list is read again.
    kept: Option<Vec<AtLine>>,
}

/// How many jobs of a list belong to the shard of this run.
#[derive(Debug, Clone)]
pub(crate) enum Count {
    Known(u64),
    /// The check ends during the run. The first value is the state of the check. The second value is the
    /// position of the list among the checked lists, from 0.
    Later(Arc<SoFar>, usize),
}

impl Count {
    pub(crate) fn if_known(&self) -> Option<u64> {
        match self {
            Count::Known(number) => Some(*number),
            Count::Later(so_far, list) => so_far.count_if_known(*list),
        }
    }

    /// Returns the numbers of the lines that later lines replace. Until the check ends during the run, the
    /// result is empty. If the check ended before the run, the list leaves out these lines itself, so the
    /// result is empty too.
    pub(crate) fn replaced(&self) -> Arc<HashSet<u64>> {
        match self {
            Count::Known(_) => Arc::default(),
            Count::Later(so_far, list) => so_far.replaced(*list).unwrap_or_default(),
        }
    }

    /// Returns true if the lists have mistakes that were found during the run.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Count::Later(so_far, _) if so_far.is_refused())
    }

    /// Waits until the number is known. Returns `None` if the lists have mistakes.
    pub(crate) fn wait(&self) -> Option<u64> {
        match self {
            Count::Known(number) => Some(*number),
            Count::Later(so_far, list) => so_far.count(*list),
        }
    }
}

impl Checked {
    pub(super) fn new(list: List, count: Count, kept: Option<Vec<AtLine>>) -> Checked {
        Checked { list, count, kept }
    }

    pub(crate) fn jobs(self) -> (List, io::Result<Box<dyn Iterator<Item = AtLine>>>) {
        let jobs: io::Result<Box<dyn Iterator<Item = AtLine>>> = match (self.kept, self.count) {
            (Some(kept), _) => Ok(Box::new(kept.into_iter())),
            (None, Count::Known(_)) => self.list.jobs().map(|jobs| Box::new(jobs) as _),
            (None, Count::Later(so_far, number)) => {
                let jobs = self.list.jobs();
                jobs.map(|jobs| Box::new(CheckedJobs::new(jobs, so_far, number)) as _)
            }
        };
        (self.list, jobs)
    }
}
