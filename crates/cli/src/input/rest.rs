//! [`Rest`]: the rest of the check of long lists, which continues while their first files are downloaded.
//!
//! Invariant: after a mistake was found, no more jobs are passed to the session, and the rest of the lists is
//! read only to find more mistakes.

use super::check::Checks;
use super::checked::{Checked, Count};
use super::pass::{Pass, Reading};
use super::so_far::{OfList, SoFar};
use std::sync::Arc;

/// The number of jobs that are checked at a time. The session may get these jobs before the next ones are
/// checked.
const AT_ONCE: u64 = 1024;

/// The last line of the message about the mistakes, if a signal came while the rest of the lists was read.
const CUT: &str =
    "The rest of the lists was not read, because a signal stopped the run. The rest may have more mistakes.";

pub(crate) struct Rest {
    checks: Checks,
    pass: Pass,
    so_far: Arc<SoFar>,
    /// The number of jobs that are not from lists, if it is known before the run.
    others: Option<u64>,
    /// True if one of the jobs that were checked before the run has a digest.
    had_digests: bool,
}

pub(crate) enum Ended {
    /// The lists have no mistakes.
    Right(Whole),
    /// The mistakes, in words for the user.
    Wrong(String),
    /// The run ended before the end of the check.
    Cancelled,
}

/// The facts that are known after all lists were checked.
pub(crate) struct Whole {
    /// The number of jobs of the run, if this number is known before the end of the run.
    pub(crate) files: Option<u64>,
    /// True if a job has a digest, but none of the jobs that were checked before the run has one.
    pub(crate) has_new_digests: bool,
    pub(crate) warnings: Vec<String>,
}

impl Rest {
    /// Returns the lists after the first part of their check, and the rest of the check. `others` is the
    /// number of jobs that are not from lists, if it is known.
    pub(super) fn new(mut checks: Checks, mut pass: Pass, others: Option<u64>) -> (Vec<Checked>, Rest) {
        let so_far = Arc::new(SoFar::default());
        so_far.set(pass_on(&mut checks, &pass));
        let mut lists = Vec::new();
        for (number, reading) in pass.lists.iter_mut().enumerate() {
            // The thread that passes the jobs to the session reads them again, so they are not kept here.
            reading.kept = None;
            let list = reading.list.with_own_count();
            lists.push(Checked::new(list, Count::Later(so_far.clone(), number), None));
        }
        let had_digests = checks.survey.has_digests();
        (lists, Rest { checks, pass, so_far, others, had_digests })
    }

    pub(crate) fn so_far(&self) -> Arc<SoFar> {
        self.so_far.clone()
    }

    /// Checks the rest of the lists. Calls `on_mistake` when the first mistake is found.
    pub(crate) fn run(self, on_mistake: impl Fn()) -> Ended {
        let Rest { mut checks, mut pass, so_far, others, had_digests } = self;
        let refuse = || {
            if !so_far.is_refused() {
                so_far.refuse();
                on_mistake();
            }
        };
        while !pass.is_over() {
            pass.read(&mut checks, AT_ONCE);
            if so_far.is_cancelled() {
                return Ended::Cancelled;
            }
            if so_far.is_cut() {
                return Ended::Wrong(format!("{}\n{CUT}", pass.mistakes()));
            }
            if pass.has_mistakes() {
                refuse();
            } else if !checks.needs_all {
                so_far.set(pass_on(&mut checks, &pass));
            }
        }
        let mut ends = of_lists(&pass);
        let goes_on = |is_wrong: bool| {
            if is_wrong {
                refuse();
            }
            !so_far.is_cancelled() && !so_far.is_cut()
        };
        let lists = match checks.end(pass, &goes_on) {
            _ if so_far.is_cancelled() => return Ended::Cancelled,
            Ok(lists) => lists,
            Err(why) => {
                refuse();
                return Ended::Wrong(if so_far.is_cut() { format!("{why}\n{CUT}") } else { why });
            }
        };
        for (end, checked) in ends.iter_mut().zip(&lists) {
            end.replaced = checked.list.replaced();
        }
        so_far.end(ends);
        let counts: Option<u64> = lists.iter().map(|checked| checked.count.if_known()).sum();
        let files = others.zip(counts).map(|(others, counts)| others + counts);
        let has_new_digests = checks.survey.has_digests() && !had_digests;
        Ended::Right(Whole { files, has_new_digests, warnings: checks.survey.warnings })
    }
}

/// Marks the checked jobs as passed to the session, and returns how far the lists were read. From now on, no
/// later line replaces the line of one of these jobs.
fn pass_on(checks: &mut Checks, pass: &Pass) -> Vec<OfList> {
    checks.passed = pass.lists.iter().map(|list| list.line).collect();
    of_lists(pass)
}

/// Returns how far the lists were read.
fn of_lists(pass: &Pass) -> Vec<OfList> {
    let of_list = |list: &Reading| OfList { jobs: list.count, is_read: list.is_read, ..OfList::default() };
    pass.lists.iter().map(of_list).collect()
}
