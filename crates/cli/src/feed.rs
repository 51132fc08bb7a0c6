//! Passes the jobs of a run to its session, on a thread of its own.
//!
//! Invariant: every job gets the method, the body and the range that the options set. A job that cannot have
//! them fails.

use crate::asks::Asks;
use crate::exit::Exit;
use crate::failed::{self, Line};
use crate::input::Input;
use crate::plain_http;
use crate::run::{self, Shared};
use crate::survey;
use downhaul_engine::Session;
use downhaul_engine::core::list::AtLine;
use downhaul_engine::core::settings::{Settings, Verify};
use std::sync::Arc;
use std::thread;
use tokio::runtime::Handle;

/// The number of jobs that are passed to the session at a time, if the next jobs can be read without waiting.
/// For each call, the session wakes once.
const AT_ONCE: usize = 32;

/// The session of a run, and the data that is added to each of its jobs.
pub(crate) struct Feed {
    pub(crate) session: Arc<Session>,
    pub(crate) shared: Arc<Shared>,
    /// The settings of the session.
    pub(crate) settings: Settings,
    pub(crate) asks: Asks,
}

impl Feed {
    /// Passes the jobs to the session, as fast as the session accepts them.
    pub(crate) fn start(self, input: Input) {
        let runtime = Handle::current();
        self.shared.expect_files(input.count());
        // The end of the program does not wait for this thread, because the thread may be blocked in a read
        // from an empty pipe.
        thread::spawn(move || {
            if let (Some(pending), Input::Stream(_)) = (self.shared.pending(), &input) {
                pending.may_wait();
            }
            self.pass(input, &runtime);
            if let Some(pending) = self.shared.pending() {
                // The input may have become unreadable.
                pending.end(false);
            }
            self.shared.has_all_files();
            runtime.block_on(self.session.close());
        });
    }

    fn pass(&self, input: Input, runtime: &Handle) {
        match input {
            Input::Arguments(arguments) => {
                // These jobs do not come from a list, so they have no line number.
                self.pass_all(arguments.jobs().map(|job| (0, job)), AT_ONCE, runtime);
            }
            Input::List(list, count) => match list.jobs() {
                Ok(jobs) => {
                    let passed = self.pass_all(jobs, AT_ONCE, runtime);
                    if passed.is_some_and(|passed| passed < count) {
                        self.lost(&format!("the list {list} became shorter while it was read"));
                    }
                }
                Err(e) => self.lost(&format!("the list {list} cannot be read any more: {e}")),
            },
            Input::Stream(stream) => {
                let mut warned = self.settings.verify != Verify::Off;
                let warn_once = |(_, job): &AtLine| {
                    if !warned && job.as_ref().is_ok_and(|job| !job.expected.is_empty()) {
                        warned = true;
                        run::warn(survey::NOT_CHECKED);
                    }
                };
                let shown = stream.to_string();
                match stream.jobs() {
                    Ok(jobs) => drop(self.pass_all(jobs.inspect(warn_once), 1, runtime)),
                    Err(e) => self.lost(&format!("the list {shown} cannot be read: {e}")),
                }
            }
        }
    }

    /// Passes jobs to the session, up to `at_once` at a time, and returns their number. Returns `None` if the
    /// session ended before all jobs were passed.
    fn pass_all(
        &self,
        mut jobs: impl Iterator<Item = AtLine>,
        at_once: usize,
        runtime: &Handle,
    ) -> Option<u64> {
        let pending = self.shared.pending();
        let mut passed = 0;
        let mut is_warned = false;
        loop {
            let (mut lines, mut some) = (Vec::new(), Vec::new());
            for (_, job) in jobs.by_ref().take(at_once) {
                let line = job.as_ref().ok().filter(|_| pending.is_some());
                lines.push(line.map(|job| failed::line(job, &self.settings)));
                if !is_warned
                    && let Some(warning) =
                        job.as_ref().ok().and_then(|job| plain_http::cert_warning(job, &self.settings))
                {
                    is_warned = true;
                    run::warn(&warning);
                }
                let job = job.and_then(|job| plain_http::without_unpinned(job, &self.settings));
                some.push(job.and_then(|job| self.asks.apply(job, &self.settings)));
            }
            if some.is_empty() {
                break;
            }
            let ids = runtime.block_on(self.session.add_all(some));
            passed += ids.len() as u64;
            let is_closed = ids.len() < lines.len();
            let mut lines = lines.into_iter();
            // The zip takes no line beyond those of the jobs that were added.
            for (id, line) in ids.into_iter().zip(lines.by_ref()) {
                if let (Some(pending), Some(line)) = (pending, line) {
                    pending.insert(id, line);
                }
            }
            if is_closed {
                self.keep_rest(lines.flatten(), jobs);
                return None;
            }
        }
        if let Some(pending) = pending {
            pending.end(true);
        }
        Some(passed)
    }

    /// Keeps the jobs that the session did not accept, for `--failed`. `first` has the lines of the first
    /// ones.
    fn keep_rest(&self, mut first: impl Iterator<Item = Line>, jobs: impl Iterator<Item = AtLine>) {
        let Some(pending) = self.shared.pending() else { return };
        let has_room = first.all(|line| pending.keep(line));
        let mut lines = jobs.filter_map(|(_, job)| Some(failed::line(&job.ok()?, &self.settings)));
        // No more of a pipe is read, because it may never end.
        let is_whole = !pending.waits() && has_room && lines.all(|line| pending.keep(line));
        pending.end(is_whole);
    }

    /// Reports that a part of a list could not be read, and lets the run end with an error.
    fn lost(&self, why: &str) {
        run::error(why);
        self.shared.fail(Exit::Disk);
    }
}
