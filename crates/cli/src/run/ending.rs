//! Ends a run: after a signal before the downloads begin, after the last output, or when the time of
//! `--grace` is over.

use super::{Shared, notes};
use crate::args::Args;
use crate::containers;
use crate::exit::{self, Exit};
use crate::platform::{Signal, Signals, Terminal};
use crate::printer::{self, Paint, Style};
use crate::settings::{OutputSettings, Shown};
use crate::ui::bars::Total;
use crate::ui::{explain, messages};
use downhaul_engine::core::show::escaped;
use downhaul_engine::{Containers, Summary};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// If a run is stopped, the screen, the log and the JSON output get this much time to end. If the program
/// ends soon ([`Shared::is_in_a_hurry`]), a running command of `--on-complete` or `--on-error-run` gets this
/// much time, too. Ctrl-C must work even if a terminal or a pipe accepts no bytes.
pub(super) const LAST_OUTPUT_LIMIT: Duration = Duration::from_secs(1);

/// The time for writing the files of `--failed`, `--record`, `--archive` and `--save-cookies`, the marker of
/// a shard, and the containers, if a run is stopped. For the list of `--failed`, a long input must be read
/// again. For ten million lines, that takes about a minute. A second signal ends the program immediately.
pub(super) const LAST_FILES_LIMIT: Duration = Duration::from_secs(120);

/// The longest time for the rest of the check of a list, after a mistake in it has stopped the run. The
/// mistakes are shown at the end of the check. A billion lines are checked in less time.
pub(super) const LAST_CHECK_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// The time for showing the last warning. A terminal needs much less.
const LAST_WARNING_LIMIT: Duration = Duration::from_millis(100);

/// Ends the program at the first signal, until the downloads begin. Until then, a list may be read or fetched
/// for a long time, and no file has been requested.
pub(super) struct Early(Arc<AtomicBool>);

impl Early {
    /// Starts to wait for signals. Also shows the warnings about the configuration.
    pub(super) fn start(args: &Args) -> Early {
        notes(args);
        let stop_with_parent = args.options.ending.stop_with_parent;
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        thread::spawn(move || {
            // Without this runtime, a signal ends the program in the usual way, so no message is needed.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let mut signals = Signals::listen(stop_with_parent);
                loop {
                    let exit = match signals.next().await {
                        Signal::Interrupt => Exit::Interrupted,
                        Signal::Terminate | Signal::ParentEnded => Exit::Terminated,
                        Signal::Continue => continue,
                    };
                    if seen.load(Ordering::Relaxed) {
                        return;
                    }
                    leave_at_once(exit);
                }
            });
        });
        Early(over)
    }

    /// Stores that the downloads begin. After that, a signal has no effect here, because the run handles it.
    pub(super) fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Returns a function that ends the containers of `--to-tar` or `--to-warc`. The last container gets its
/// final name only if every file of the input was tried, and no list and no output of the run failed.
pub(super) fn end_of_containers(
    containers: Arc<Containers>,
    summary: &Summary,
    shared: &Arc<Shared>,
) -> impl FnOnce() + Send + use<> {
    let is_stopped = summary.stopped_on_error || summary.stopped > 0 || summary.reached.is_some();
    let is_stopped = is_stopped || shared.is_stopped(summary);
    let no_more_files = !is_stopped && shared.failure().is_none();
    let shared = shared.clone();
    move || {
        if let Err(exit) = containers::end(&containers, no_more_files) {
            shared.fail(exit);
        }
    }
}

/// Returns the text that is written to standard error after the screen has ended.
pub(super) fn closing(summary: &Summary, output: &OutputSettings, shared: &Shared, args: &Args) -> String {
    let mut text: String = summary.notes.iter().map(|note| format!("warning: {}\n", escaped(note))).collect();
    if output.explain {
        text += &explain::text(summary, output.verbose);
    }
    shared.take_last().iter().for_each(|line| text += &format!("{line}\n"));
    let is_ended_early = match shared.ending() {
        Some(exit) => matches!(exit, Exit::Chosen | Exit::Interrupted | Exit::Terminated),
        None => shared.is_stopped(summary),
    };
    let is_stopped = is_ended_early || summary.stopped_on_error || summary.reached.is_some();
    let shows_stop = is_stopped && !output.quiet && output.progress != Shown::Json;
    // If `--max-total` or `--deadline` ended the run, [`messages::stopped`] shows the command for another
    // run. The command must not be shown twice.
    let is_shown_below = shows_stop && summary.reached.is_some();
    if shared.suggests_another_run() && !is_shown_below {
        let (label, command) = args.again.to_run_again(summary.finished > 0 || summary.resumable > 0);
        text += &format!("{}{command}\n", Paint(output.color).show(Style::Note, &label));
    }
    if shows_stop {
        if args.plan().is_some() {
            return text + "The plan is not complete, because it was stopped or reached a limit.\n";
        }
        let Total { files, more } = shared.total();
        text += &messages::stopped(summary, Some(files).filter(|_| !more), &args.again);
    }
    text
}

/// Writes the last output on a separate thread, and waits until it is written. If the run was stopped, this
/// function waits at most for `limit`. A signal during the wait starts this time again. During the wait,
/// Ctrl-C ends the program immediately. There is one exception: if a mistake in a list stopped the run, only
/// the second signal ends the program immediately. SIGTERM and SIGHUP end the program immediately only as the
/// second signal.
pub(super) async fn write_last_output(
    write: impl FnOnce() + Send + 'static,
    limit: Duration,
    (shared, args): (&Shared, &Args),
    signals: &mut Signals,
) {
    let written = tokio::task::spawn_blocking(write);
    tokio::pin!(written);
    loop {
        let stopping = shared.ending().is_some();
        tokio::select! {
            _ = &mut written => return,
            () = tokio::time::sleep(limit), if stopping => return,
            signal = signals.next() => match signal {
                Signal::Interrupt if shared.ending() != Some(Exit::Usage) => {
                    leave_at_once(shared.most_important(Exit::Interrupted));
                }
                signal => shared.on_signal(signal, args),
            }
        }
    }
}

/// Waits for the end of the commands of `--on-complete` and `--on-error-run`. If the program ends soon
/// ([`Shared::is_in_a_hurry`]), no further command starts, and this function waits at most for
/// [`LAST_OUTPUT_LIMIT`]. A second signal ends the program immediately.
pub(super) async fn wait_for_commands(
    commands: JoinHandle<()>,
    (shared, args): (&Shared, &Args),
    signals: &mut Signals,
) {
    let ended = tokio::task::spawn_blocking(move || commands.join());
    tokio::pin!(ended);
    loop {
        tokio::select! {
            _ = &mut ended => return,
            () = tokio::time::sleep(LAST_OUTPUT_LIMIT), if shared.is_in_a_hurry() => return,
            signal = signals.next() => shared.on_signal(signal, args),
        }
    }
}

/// Ends the program after the time that `--grace` allows, if it is still running then. A separate thread
/// waits for that time, because a disk or standard error may block all other threads. `in_a_hurry` becomes
/// true when the time is over. `ending` has the exit status of the run, which may change until the program
/// ends.
pub(super) fn leave_after(grace: Duration, ending: Arc<Mutex<Option<Exit>>>, in_a_hurry: Arc<AtomicBool>) {
    thread::spawn(move || {
        thread::sleep(grace);
        in_a_hurry.store(true, Ordering::Relaxed);
        // This warning does not wait for the screen, because the screen may be blocked.
        thread::spawn(|| {
            printer::err("warning: not everything could be written within the time of --grace\n");
        });
        thread::sleep(LAST_WARNING_LIMIT);
        let ending = *ending.lock().unwrap_or_else(PoisonError::into_inner);
        exit::at_once(ending.map_or(Exit::Terminated, |exit| exit.min(Exit::Terminated)))
    });
}

/// Resets the terminal, and ends the program immediately.
pub(super) fn leave_at_once(exit: Exit) -> ! {
    if let Some(mut terminal) = Terminal::open() {
        terminal.reset();
    }
    exit::at_once(exit)
}
