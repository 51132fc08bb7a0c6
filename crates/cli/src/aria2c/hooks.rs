//! Starts the programs of `--on-download-complete` and similar options, as aria2 does: with the identifier of
//! the download, the number of its files, and the path of the first file.
//!
//! Invariant: only the command line and the configuration file name programs. Clients never do.

use crate::printer;
use downhaul_daemon::entry::Entry;
use downhaul_daemon::options::Options;
use downhaul_daemon::state::Notice;
use std::process::{Command, Stdio};
use std::thread;

/// The program of each of these options, if the option was given.
pub(super) struct Hooks {
    start: Option<String>,
    pause: Option<String>,
    stop: Option<String>,
    complete: Option<String>,
    error: Option<String>,
}

impl Hooks {
    pub(super) fn of(options: &Options) -> Hooks {
        let of = |event: &str| options.get(&format!("on-download-{event}")).map(String::from);
        Hooks {
            start: of("start"),
            pause: of("pause"),
            stop: of("stop"),
            complete: of("complete"),
            error: of("error"),
        }
    }

    /// Starts the program for a notice, if the options name one, and does not wait for the end of the
    /// program.
    pub(super) fn on(&self, notice: Notice, entry: &Entry) {
        let program = match notice {
            Notice::Start => &self.start,
            Notice::Pause => &self.pause,
            Notice::Stop => &self.stop,
            // If a download is complete or has failed, and no other option names a program for this, the
            // program of `--on-download-stop` is started.
            Notice::Complete if self.complete.is_some() => &self.complete,
            Notice::Error if self.error.is_some() => &self.error,
            Notice::Complete | Notice::Error => &self.stop,
            Notice::Changed | Notice::Gone => &None,
        };
        let Some(program) = program else { return };
        let path = entry.path.clone().unwrap_or_default();
        let mut command = Command::new(program);
        command.arg(entry.gid.to_string()).arg("1").arg(path).stdin(Stdio::null());
        match command.spawn() {
            // The system keeps an ended process until this program waits for it.
            Ok(mut child) => drop(thread::spawn(move || child.wait())),
            // aria2 prints this on standard error, also with `-q`.
            Err(e) => printer::err(&format!("Could not execute user command: {program}: {e}\n")),
        }
    }
}
