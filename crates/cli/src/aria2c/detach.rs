//! `-D`: the program starts a second process of itself in the background, and then the first process ends.

use super::NAME;
use crate::{platform, printer};
use std::ffi::OsString;
use std::process::{Command, Stdio};

/// The first argument of the process in the background. aria2 has no such option.
const MARK: &str = "--started-in-background";

/// Returns the arguments without [`MARK`], and true if they began with [`MARK`]. In this case, this process
/// is also detached from its terminal.
pub(super) fn marked(words: &[OsString]) -> (&[OsString], bool) {
    match words.split_first() {
        Some((first, rest)) if first == MARK => {
            platform::leave_terminal();
            (rest, true)
        }
        _ => (words, false),
    }
}

/// Starts the second process, in the background. Returns the exit status of the first process.
pub(super) fn start(words: &[String]) -> u8 {
    let started = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.args([NAME, MARK]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    });
    match started {
        Ok(_) => 0,
        Err(e) => {
            printer::err(&format!("{NAME}: the program could not be started in the background: {e}\n"));
            1
        }
    }
}
