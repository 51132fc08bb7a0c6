//! [`Pass`]: the first reading of the lists of a run, which may be done in parts.

use super::check::Checks;
use super::list::{Jobs, List};
use super::mistakes::Mistakes;
use downhaul_engine::core::list::AtLine;

pub(super) struct Pass {
    pub(super) lists: Vec<Reading>,
    /// The list that is read now.
    at: usize,
}

impl Pass {
    pub(super) fn new(lists: Vec<Reading>) -> Pass {
        Pass { lists, at: 0 }
    }

    /// Reads up to `most` further lines.
    pub(super) fn read(&mut self, checks: &mut Checks, most: u64) {
        let mut left = most;
        while let Some(list) = self.lists.get_mut(self.at) {
            left -= checks.read(list, left);
            if !list.is_read {
                return;
            }
            self.at += 1;
        }
    }

    /// Returns true if all lists were read.
    pub(super) fn is_over(&self) -> bool {
        self.at >= self.lists.len()
    }

    pub(super) fn has_mistakes(&self) -> bool {
        self.lists.iter().any(|list| !list.mistakes.is_empty())
    }

    /// Returns the mistakes that were found, in words for the user.
    pub(super) fn mistakes(self) -> String {
        let of_list =
            |list: Reading| list.mistakes.result().map_err(|all| list.list.has_mistakes(&all)).err();
        self.lists.into_iter().filter_map(of_list).collect::<Vec<String>>().join("\n")
    }
}

/// The first reading of a list.
pub(super) struct Reading {
    /// The number of the list, from 1.
    pub(super) number: usize,
    pub(super) list: List,
    /// The jobs that were not read yet.
    pub(super) jobs: Jobs,
    pub(super) is_read: bool,
    /// The line that was read last.
    pub(super) line: u64,
    /// The number of jobs that were read, in all shards. A line that has a mistake is not a job, unless the
    /// mistake concerns only one file of a document or only one line of a lock file.
    pub(super) count: u64,
    /// The number of these jobs in the shard of this run.
    pub(super) of_shard: u64,
    /// The jobs that were read and belong to the shard of this run, if the list is short.
    pub(super) kept: Option<Vec<AtLine>>,
    pub(super) mistakes: Mistakes,
    /// Mistakes in lines that are left out.
    pub(super) skipped: Mistakes,
}

impl Reading {
    pub(super) fn new(number: usize, list: List, jobs: Jobs, is_short: bool) -> Reading {
        Reading {
            number,
            list,
            jobs,
            is_read: false,
            line: 0,
            count: 0,
            of_shard: 0,
            kept: is_short.then(Vec::new),
            mistakes: Mistakes::default(),
            skipped: Mistakes::default(),
        }
    }
}
