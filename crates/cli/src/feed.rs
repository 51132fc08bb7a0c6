//! Passes the jobs of a run to its session, on a separate thread.
//!
//! Invariant: every job gets the method, the body and the range that the options set. A job fails if it
//! cannot have them.

use crate::archive::{Finder, Looked};
use crate::asks::Asks;
use crate::exit::Exit;
use crate::failed;
use crate::input::{Input, Part};
use crate::logins;
use crate::plain_http;
use crate::run::{self, Shared};
use crate::survey;
use downhaul_engine::Session;
use downhaul_engine::core::error::Error;
use downhaul_engine::core::job::Job;
use downhaul_engine::core::list::AtLine;
use downhaul_engine::core::settings::{Settings, Verify};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use tokio::runtime::Handle;

/// The number of jobs of the arguments or of a list that are passed to the session at a time. The session
/// wakes once for all of them. The jobs of a stream are passed one by one, because the next job may arrive
/// much later.
const AT_ONCE: usize = 32;

/// The session of a run, and the data that is added to each of its jobs.
pub(crate) struct Feed {
    pub(crate) session: Arc<Session>,
    pub(crate) shared: Arc<Shared>,
    /// The settings of the session.
    pub(crate) settings: Settings,
    pub(crate) asks: Asks,
    /// Finds the jobs in the archive, if there is one.
    pub(crate) archive: Option<Finder>,
}

impl Feed {
    /// Passes the jobs to the session, as fast as the session accepts them.
    pub(crate) fn start(self, input: Input) {
        let runtime = Handle::current();
        self.shared.expect_files(input.count());
        // The end of the program does not wait for this thread, because the thread may be blocked in a read
        // from an empty pipe.
        thread::spawn(move || {
            if let Some(added) = self.pass(input, &runtime) {
                self.shared.has_all_files(added);
            }
            runtime.block_on(self.session.close());
        });
    }

    /// Passes the parts of the input to the session, one after the other. Returns the number of jobs, or
    /// `None` if the session ended early or if the lists have mistakes.
    fn pass(&self, input: Input, runtime: &Handle) -> Option<u64> {
        let mut added = 0;
        let check = input.check;
        for (number, part) in input.parts.into_iter().enumerate() {
            let kind = match &part {
                Part::Arguments(_) => Kind::Arguments,
                Part::List(_) => Kind::List,
                Part::Stream(_) => Kind::Stream,
            };
            let of_part = OfPart { number, kind };
            if let Some(pending) = self.shared.pending() {
                pending.begin(number, added);
            }
            let passed = self.pass_part(part, of_part, runtime);
            if let Some(pending) = self.shared.pending() {
                pending.end(number, passed.is_whole);
            }
            added += passed.added;
            if passed.is_closed {
                return None;
            }
        }
        // Without this wait, the run could end before a mistake is found.
        check.is_none_or(|check| check.wait_for_end()).then_some(added)
    }

    /// Passes the jobs of a part to the session.
    fn pass_part(&self, part: Part, of_part: OfPart, runtime: &Handle) -> Passed {
        match part {
            Part::Arguments(arguments) => {
                // These jobs do not come from a list, so they have no line number.
                self.pass_all(arguments.jobs().map(|job| (0, job)), of_part, runtime)
            }
            Part::List(checked) => {
                let count = checked.count.clone();
                match checked.jobs() {
                    (list, Ok(jobs)) => {
                        let passed = self.pass_all(jobs, of_part, runtime);
                        if passed.is_closed {
                            return passed;
                        }
                        let Passed { added, .. } = passed;
                        match count.wait() {
                            None => Passed { added, is_closed: true, is_whole: false },
                            Some(count) if added < count => self.unreadable(
                                added,
                                &format!("the list {list} became shorter while it was read"),
                            ),
                            Some(_) => passed,
                        }
                    }
                    (list, Err(e)) => {
                        self.unreadable(0, &format!("the list {list} cannot be read any more: {e}"))
                    }
                }
            }
            Part::Stream(stream) => {
                let mut warned = self.settings.verify != Verify::Off;
                let warn_once = |(_, job): &AtLine| {
                    if !warned && job.as_ref().is_ok_and(|job| !job.expected.is_empty()) {
                        warned = true;
                        run::warn(survey::NOT_CHECKED);
                    }
                };
                let shown = stream.to_string();
                match stream.jobs() {
                    Ok(jobs) => {
                        let left_out = jobs.left_out();
                        let passed = self.pass_all(jobs.inspect(warn_once), of_part, runtime);
                        if let Some(pending) = self.shared.pending() {
                            pending.leave_out(of_part.number, left_out.load(Ordering::Relaxed));
                        }
                        passed
                    }
                    Err(e) => self.unreadable(0, &format!("the list {shown} cannot be read: {e}")),
                }
            }
        }
    }

    /// Passes jobs to the session. If the session ends early, the jobs that were read from a stream are kept
    /// for `--failed`. No more jobs are read, because a stream may never end.
    fn pass_all(
        &self,
        mut jobs: impl Iterator<Item = AtLine>,
        OfPart { number, kind }: OfPart,
        runtime: &Handle,
    ) -> Passed {
        let of_list = self.shared.pending().filter(|_| kind == Kind::List);
        let pending = self.shared.pending().filter(|_| kind == Kind::Stream);
        let at_once = if kind == Kind::Stream { 1 } else { AT_ONCE };
        let mut passed = Passed { added: 0, is_closed: false, is_whole: true };
        let mut is_warned = false;
        loop {
            let (mut lines, mut some, mut looked) = (Vec::new(), Vec::new(), Vec::new());
            let read: Vec<AtLine> = jobs.by_ref().take(at_once).collect();
            let hashes: Vec<u64> =
                read.iter().filter(|_| of_list.is_some()).map(|(_, job)| failed::hash_of(job)).collect();
            for (_, job) in read {
                if !is_warned
                    && let Some(warning) =
                        job.as_ref().ok().and_then(|job| plain_http::cert_warning(job, &self.settings))
                {
                    is_warned = true;
                    run::warn(&warning);
                }
                let as_given = pending.map(|_| job.clone());
                let job = self.prepared(job);
                let name = self.shared.pending().and_then(|pending| pending.reserve(&job));
                lines.extend(as_given.map(|job| failed::line(&job, name, &self.settings)));
                some.push(job);
            }
            if some.is_empty() {
                return passed;
            }
            if let Some(archive) = &self.archive {
                let reading = archive.begin_reading();
                looked.extend(some.iter_mut().map(|job| self.look(archive, job)));
                drop(reading);
            }
            let asked = some.len();
            let ids = runtime.block_on(self.session.add_all(some));
            passed.added += ids.len() as u64;
            let is_closed = ids.len() < asked;
            if let Some(pending) = of_list {
                pending.pass(number, hashes.into_iter().take(ids.len()));
            }
            if let Some(archive) = &self.archive {
                ids.iter().zip(looked).for_each(|(id, looked)| archive.added(*id, looked));
            }
            if let Some(pending) = pending {
                let mut lines = lines.into_iter();
                // `zip` takes only the lines of the jobs that were added. The other lines are kept for
                // `--failed`.
                ids.into_iter().zip(lines.by_ref()).for_each(|(id, line)| pending.insert(number, id, line));
                lines.for_each(|line| pending.keep(number, line));
            }
            if is_closed {
                return Passed { is_closed, is_whole: false, ..passed };
            }
        }
    }

    /// Returns a job as the session gets it: without http URLs of hosts whose key is pinned, with the login
    /// that its line requests, and with the method, the body and the range of the options.
    ///
    /// # Errors
    /// Returns the error in `job`, or an error if one of these changes is not possible for the job.
    fn prepared(&self, job: Result<Box<Job>, Error>) -> Result<Box<Job>, Error> {
        let job = plain_http::without_unpinned(job?, &self.settings)?;
        self.asks.apply(logins::with_login_of(job, &self.settings)?, &self.settings)
    }

    /// Looks up a job in the archive. If the archive cannot be read, the job is downloaded, and the run ends
    /// with an error.
    fn look(&self, archive: &Finder, job: &mut Result<Box<Job>, Error>) -> Looked {
        let looked = job.as_mut().ok().map_or(Ok(Looked::nothing()), |job| archive.look(job));
        looked.unwrap_or_else(|why| {
            if !self.shared.fail(Exit::Disk) {
                run::error(&why);
            }
            Looked::nothing()
        })
    }

    /// Shows that a list could not be read completely, and makes the run end with an error. `added` is the
    /// number of jobs that were added before the error.
    fn unreadable(&self, added: u64, why: &str) -> Passed {
        run::error(why);
        self.shared.fail(Exit::Disk);
        Passed { added, is_closed: false, is_whole: false }
    }
}

/// The facts about a part of the input.
#[derive(Clone, Copy)]
struct OfPart {
    /// The index of the part in the input, from 0.
    number: usize,
    kind: Kind,
}

/// How `--failed` gets the jobs of a part of the input at the end of the run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The arguments are still in memory.
    Arguments,
    /// The list is read again. It may be changed during the run, so hashes of its jobs are kept, and are
    /// compared with the jobs of the second reading.
    List,
    /// A stream cannot be read again, so its lines are kept.
    Stream,
}

/// The jobs of a part that were passed to the session.
struct Passed {
    added: u64,
    /// True if the session ended early, or if the lists have mistakes.
    is_closed: bool,
    /// True if the whole part was read.
    is_whole: bool,
}
