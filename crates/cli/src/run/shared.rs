//! State that the threads of a run share: how many files it has, and how it ends.

use super::ending::{leave_after, leave_at_once};
use crate::args::Args;
use crate::exit::Exit;
use crate::failed::Pending;
use crate::input::SoFar;
use crate::platform::{self, CtrlZ, Signal};
use crate::settings::{OutputSettings, Shown};
use crate::ui::bars::Total;
use downhaul_engine::Summary;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time in which the screen must remove the bars after Ctrl-Z. The screen paints ten times a second.
const LONGEST_HIDE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(crate) struct Shared {
    /// The number of files of the run, as far as it is known.
    files: AtomicU64,
    /// True while the input may have more files.
    more: AtomicBool,
    /// True if the program was stopped and continued, so that the screen must be painted again.
    repaint: AtomicBool,
    /// True if the screen needs no repaint at the next SIGCONT, the signal that continues the program.
    ignore_continue: AtomicBool,
    /// True after Ctrl-Z, until [`Shared::take_hide`] is called.
    hide: AtomicBool,
    /// The exit status, if the run ends early.
    ending: Arc<Mutex<Option<Exit>>>,
    /// True after the first signal that ends the run.
    signalled: AtomicBool,
    /// True if the program ends soon, without waiting for more commands of `--on-complete` or
    /// `--on-error-run`.
    in_a_hurry: Arc<AtomicBool>,
    /// The worst failure outside of the session, such as a list that became unreadable. After such a failure,
    /// the run continues.
    failure: Mutex<Option<Exit>>,
    /// The facts about the jobs of the run, if there is a list of `--failed`.
    pending: Option<Pending>,
    last: Mutex<Vec<String>>,
    /// True if the command that runs the downloads again is printed at the end.
    suggests_another_run: AtomicBool,
    /// The state of the check of long lists, if the check ends during the run.
    check: Option<Arc<SoFar>>,
}

impl Shared {
    pub(super) fn new(pending: Option<Pending>, check: Option<Arc<SoFar>>) -> Shared {
        Shared { pending, check, ..Shared::default() }
    }

    /// Stores that the run ends early, and with which exit status. If the run ends for several reasons, the
    /// most important exit status is kept.
    pub(crate) fn end(&self, exit: Exit) {
        let mut ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        *ending = Some(ending.map_or(exit, |earlier| earlier.min(exit)));
    }

    /// Handles a signal. The second SIGINT, SIGTERM or SIGHUP ends the program immediately.
    pub(super) fn on_signal(&self, signal: Signal, args: &Args) {
        let exit = match signal {
            Signal::Interrupt => Exit::Interrupted,
            Signal::Terminate => Exit::Terminated,
            // Often, the parent ends for the same reason for which this run received an earlier signal.
            Signal::ParentEnded if self.ending().is_some() => return,
            Signal::ParentEnded => {
                self.in_a_hurry.store(true, Ordering::Relaxed);
                return self.stop(Exit::Terminated, args);
            }
            Signal::Continue => {
                let needs_repaint = !self.ignore_continue.swap(false, Ordering::Relaxed);
                return self.repaint.store(needs_repaint, Ordering::Relaxed);
            }
        };
        if self.signalled.swap(true, Ordering::Relaxed) {
            leave_at_once(self.most_important(exit));
        }
        self.in_a_hurry.store(true, Ordering::Relaxed);
        // After `cut`, the check of the lists ends as soon as it has found a mistake. So the mistakes that
        // were found are shown before the program ends.
        self.check.iter().for_each(|check| check.cut());
        match exit {
            Exit::Terminated => self.stop(exit, args),
            _ => self.end(exit),
        }
    }

    /// Returns the exit status of a run that ends immediately, with `exit` as the last reason. An earlier
    /// reason may be more important. For example, a mistake in a list decides the exit status even after a
    /// signal.
    pub(super) fn most_important(&self, exit: Exit) -> Exit {
        self.ending().map_or(exit, |earlier| earlier.min(exit))
    }

    /// Stores that the run ends early, and with which exit status. The program then ends within the time of
    /// `--grace`.
    pub(super) fn stop(&self, exit: Exit, args: &Args) {
        self.end(exit);
        leave_after(args.options.ending.grace, self.ending.clone(), self.in_a_hurry.clone());
    }

    /// Returns true if the program ends soon, so that no further command of `--on-complete` or
    /// `--on-error-run` may start. This is the case after a signal, if the parent process has ended
    /// (`--stop-with-parent`), and when the time of `--grace` is over.
    pub(super) fn is_in_a_hurry(&self) -> bool {
        self.in_a_hurry.load(Ordering::Relaxed)
    }

    /// Stores a failure for the exit status. The run continues. Returns true if there was a failure before.
    pub(crate) fn fail(&self, exit: Exit) -> bool {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_further = failure.is_some();
        *failure = Some(failure.map_or(exit, |worst| worst.min(exit)));
        is_further
    }

    /// Sets how many files the run has. `None` means that the number is known only at the end of the input.
    pub(crate) fn expect_files(&self, count: Option<u64>) {
        self.files.store(count.unwrap_or(0), Ordering::Relaxed);
        self.more.store(count.is_none(), Ordering::Relaxed);
    }

    /// Stores that the input has been read to its end, and how many files it has.
    pub(crate) fn has_all_files(&self, files: u64) {
        self.files.fetch_max(files, Ordering::Relaxed);
        self.more.store(false, Ordering::Relaxed);
    }

    pub(crate) fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// Adds lines that are printed at the end of the run, after the screen has ended.
    pub(crate) fn print_last(&self, lines: Vec<String>) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }

    pub(crate) fn suggest_another_run(&self) {
        self.suggests_another_run.store(true, Ordering::Relaxed);
    }

    pub(super) fn suggests_another_run(&self) -> bool {
        self.suggests_another_run.load(Ordering::Relaxed)
    }

    pub(super) fn take_last(&self) -> Vec<String> {
        std::mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take_repaint(&self) -> bool {
        self.repaint.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn ignore_next_continue(&self, ignores: bool) {
        self.ignore_continue.store(ignores, Ordering::Relaxed);
    }

    /// Returns true once after each Ctrl-Z. The caller then stops the program until it is continued.
    pub(crate) fn take_hide(&self) -> bool {
        self.hide.swap(false, Ordering::Relaxed)
    }

    /// Starts the task that stops the program at each Ctrl-Z, until it is continued. Before the program is
    /// stopped, the screen removes the bars and the question, unless the terminal accepts no bytes. For a
    /// plan, with `--progress json`, and if the screen does not repaint its lines, this function does
    /// nothing, because the system itself then stops the program. With `TERM=dumb`, the system stops the
    /// program even while a question is open. The shell must then restore the settings of the terminal.
    pub(super) fn start_ctrl_z(shared: &Arc<Shared>, args: &Args, output: &OutputSettings) {
        if !output.repaints || output.progress == Shown::Json || args.plan().is_some() {
            return;
        }
        let shared = shared.clone();
        let mut ctrl_z = CtrlZ::listen();
        tokio::spawn(async move {
            loop {
                ctrl_z.next().await;
                shared.hide.store(true, Ordering::Relaxed);
                tokio::time::sleep(LONGEST_HIDE).await;
                if shared.take_hide() {
                    platform::stop_until_continued();
                }
            }
        });
    }

    pub(crate) fn total(&self) -> Total {
        Total { files: self.files.load(Ordering::Relaxed), more: self.more.load(Ordering::Relaxed) }
    }

    pub(super) fn ending(&self) -> Option<Exit> {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if a signal, the user, the end of the parent process or a mistake in a list ended the
    /// run. Also returns true if files of the input were not tried for another reason: the program that reads
    /// the events has ended, a limit of the run was reached, or the retries of a file were used up with
    /// `--on-error ask`.
    pub(super) fn is_stopped(&self, summary: &Summary) -> bool {
        let total = self.total();
        let has_rest = total.more || summary.files < total.files;
        match self.ending() {
            Some(Exit::Success) => has_rest,
            Some(_) => true,
            // If a list became unreadable, the rest of its files was not tried, but this did not end the run.
            None => summary.stopped > 0 || (has_rest && self.failure().is_none()),
        }
    }

    pub(super) fn failure(&self) -> Option<Exit> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last_line_of_the_log(&self) -> Option<&'static str> {
        match self.ending()? {
            Exit::Chosen => Some("the user chose to exit"),
            Exit::Interrupted => Some("the user ended the run (Ctrl-C)"),
            Exit::Terminated if self.signalled.load(Ordering::Relaxed) => Some("stopped by a signal"),
            Exit::Terminated => Some("stopped, because the program that started downhaul has ended"),
            _ => None,
        }
    }
}
