//! [`SoFar`]: the state of the check of long lists, while their first files are downloaded.
//!
//! Invariant: a job is passed to the session only after its line and all lines before it were checked.

use super::list::Jobs;
use downhaul_engine::core::list::AtLine;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The most jobs that are passed to the session before the check ends. The session keeps the names of these
/// jobs in memory, which takes 9 MiB.
const PASSED_MOST: u64 = 500_000;

/// The state of the check of the lists of a run.
#[derive(Debug, Default)]
pub(crate) struct SoFar {
    state: Mutex<State>,
    changed: Condvar,
    is_cancelled: AtomicBool,
    is_cut: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    lists: Vec<OfList>,
    end: Option<End>,
}

/// The state of the check of one list.
#[derive(Debug, Default, Clone)]
pub(super) struct OfList {
    /// The number of jobs that were checked and have no mistakes.
    pub(super) jobs: u64,
    /// True if the list was read to its end.
    pub(super) is_read: bool,
    /// The numbers of the lines that later lines replace. They are known when the check ends.
    pub(super) replaced: Arc<HashSet<u64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Right,
    /// The lists have mistakes, so no more jobs are passed. The rest may still be checked.
    Wrong,
}

impl SoFar {
    /// Sets the state of the check of each list.
    pub(super) fn set(&self, lists: Vec<OfList>) {
        self.change(|state| state.lists = lists);
    }

    /// Stores that the check has ended, and that the lists have no mistakes.
    pub(super) fn end(&self, lists: Vec<OfList>) {
        self.change(|state| *state = State { lists, end: Some(End::Right) });
    }

    /// Stores that a mistake in the lists was found. From now on, no more jobs are passed to the session.
    pub(super) fn refuse(&self) {
        self.change(|state| state.end = Some(End::Wrong));
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.state().end == Some(End::Wrong)
    }

    /// Returns true if the check has ended, or has found a mistake.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().end.is_some()
    }

    /// Ends the check early, because the run ends. A check that has found a mistake continues, so that it
    /// finds the other mistakes too.
    pub(crate) fn cancel(&self) {
        if !self.is_refused() {
            self.is_cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Stores that a signal stopped the run. After that, the search for mistakes ends as soon as one mistake
    /// was found.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// Returns true if the search for further mistakes must end, because a signal stopped the run and one
    /// mistake was found.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed) && self.is_refused()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    /// Waits until the check has ended or has found a mistake. Returns true if the lists have no mistakes.
    pub(crate) fn wait_for_end(&self) -> bool {
        self.wait(|state| state.end) == End::Right
    }

    /// Waits until a list was read to its end, or until a mistake was found in any list. Returns the number
    /// of jobs of the list, or `None` after a mistake.
    pub(super) fn count(&self, list: usize) -> Option<u64> {
        self.wait(|state| match (&state.lists[list], state.end) {
            (_, Some(End::Wrong)) => Some(None),
            (of_list, _) => of_list.is_read.then(|| Some(of_list.count())),
        })
    }

    /// Returns the number of the jobs of a list, if it is known.
    pub(super) fn count_if_known(&self, list: usize) -> Option<u64> {
        self.state().lists.get(list).filter(|of_list| of_list.is_read).map(OfList::count)
    }

    /// Waits until the job at this position of a list may be passed. Returns how many jobs from the beginning
    /// of the list may be passed now, or `None` if no more may be passed.
    fn limit(&self, list: usize, position: u64) -> Option<u64> {
        self.wait(|state| {
            let before: u64 = state.lists[..list].iter().map(|of_list| of_list.jobs).sum();
            let of_list = &state.lists[list];
            let limit = match state.end {
                Some(End::Wrong) => return Some(None),
                Some(End::Right) => of_list.jobs,
                None => of_list.jobs.min(PASSED_MOST.saturating_sub(before)),
            };
            let is_over = of_list.is_read && position >= of_list.jobs;
            if is_over { Some(None) } else { (position < limit).then_some(Some(limit)) }
        })
    }

    /// Returns the numbers of the lines of a list that later lines replace, if the check has ended or has
    /// found a mistake. After a mistake, lines may be missing.
    pub(super) fn replaced(&self, list: usize) -> Option<Arc<HashSet<u64>>> {
        let state = self.state();
        state.end.and_then(|_| Some(state.lists.get(list)?.replaced.clone()))
    }

    /// Waits until `answer` returns a value for the state, and returns this value.
    fn wait<T>(&self, answer: impl Fn(&State) -> Option<T>) -> T {
        let mut state = self.state();
        loop {
            match answer(&state) {
                Some(answer) => return answer,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfList {
    /// Returns the number of jobs without those of lines that later lines replace.
    fn count(&self) -> u64 {
        self.jobs - self.replaced.len() as u64
    }
}

/// The jobs of a list. Each job is returned only after it was checked.
pub(super) struct CheckedJobs {
    jobs: Jobs,
    so_far: Arc<SoFar>,
    list: usize,
    /// The number of jobs that were read.
    position: u64,
    /// The number of jobs from the beginning of the list that may be passed.
    limit: u64,
    replaced: Option<Arc<HashSet<u64>>>,
}

impl CheckedJobs {
    pub(super) fn new(jobs: Jobs, so_far: Arc<SoFar>, list: usize) -> CheckedJobs {
        CheckedJobs { jobs, so_far, list, position: 0, limit: 0, replaced: None }
    }
}

impl Iterator for CheckedJobs {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        loop {
            if self.position >= self.limit {
                self.limit = self.so_far.limit(self.list, self.position)?;
                self.replaced = self.so_far.replaced(self.list);
            }
            let (line, job) = self.jobs.next()?;
            self.position += 1;
            if self.replaced.as_ref().is_none_or(|lines| !lines.contains(&line)) {
                return Some((line, job));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Returns jobs with line numbers from 1.
    fn jobs(number: u64) -> Jobs {
        let job = || downhaul_engine::core::list::line(b"http://h/a").expect("a line").expect("a job");
        let all = (1..=number).map(move |line| (line, Ok(Box::new(job()))));
        Jobs { all: Box::new(all), ..Jobs::new(false, None) }
    }

    fn of_list(jobs: u64, is_read: bool, replaced: &[u64]) -> OfList {
        OfList { jobs, is_read, replaced: Arc::new(replaced.iter().copied().collect()) }
    }

    #[test]
    fn a_job_is_passed_after_it_was_checked() {
        let so_far = Arc::new(SoFar::default());
        so_far.set(vec![of_list(2, true, &[]), of_list(1, false, &[])]);
        let lines = |list, number| {
            let jobs = CheckedJobs::new(jobs(number), so_far.clone(), list);
            thread::spawn(move || jobs.map(|(line, _)| line).collect::<Vec<u64>>())
        };
        assert_eq!(
            lines(0, 3).join().expect("ends"),
            [1, 2],
            "a line that was added to the list after the check is not passed"
        );
        assert_eq!(so_far.count(0), Some(2));
        let second = lines(1, 5);
        so_far.set(vec![of_list(2, true, &[]), of_list(3, false, &[])]);
        assert_eq!(so_far.count_if_known(1), None);
        so_far.end(vec![of_list(2, true, &[]), of_list(5, true, &[4])]);
        assert_eq!(second.join().expect("ends"), [1, 2, 3, 5]);
        assert!(so_far.wait_for_end() && so_far.count(1) == Some(4));
        so_far.refuse();
        assert_eq!(lines(1, 5).join().expect("ends"), Vec::<u64>::new());
        assert!(so_far.is_refused() && so_far.count(1).is_none());
    }

    #[test]
    fn no_more_jobs_are_passed_than_the_session_may_remember() {
        let so_far = SoFar::default();
        so_far.set(vec![of_list(10, true, &[]), of_list(PASSED_MOST, false, &[])]);
        assert_eq!(so_far.limit(0, 3), Some(10));
        assert_eq!(so_far.limit(1, 0), Some(PASSED_MOST - 10));
        so_far.end(vec![of_list(10, true, &[]), of_list(PASSED_MOST, true, &[])]);
        assert_eq!(so_far.limit(1, PASSED_MOST - 10), Some(PASSED_MOST));
    }
}
