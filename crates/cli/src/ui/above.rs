//! Lines that are printed above the bars: warnings, errors and the output of `-vv`.
//!
//! Invariant: while there is a screen, only the screen prints these lines, so that they do not damage the
//! bars. There is one exception: if [`MOST_LINES`] lines wait for the screen, further warnings and errors are
//! printed immediately, so that no more lines wait. Lines that wait are lost if the program ends immediately,
//! for example at a second signal.

use crate::printer;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most lines that wait for the screen. The screen takes the waiting lines at each event, and about ten
/// times a second without events. A person cannot read more lines in that time. This many lines of usual
/// length take less than a megabyte of memory.
const MOST_LINES: usize = 4096;

/// The lines that wait for the screen. A process has at most one screen.
static WAITING: Mutex<Waiting> = Mutex::new(Waiting { is_held: false, lines: Vec::new(), left_out: 0 });

struct Waiting {
    /// True while there is a screen.
    is_held: bool,
    lines: Vec<String>,
    left_out: usize,
}

/// From now on, keeps the lines until the screen takes them.
pub(crate) fn hold() {
    waiting().is_held = true;
}

/// Returns the waiting lines. If some lines were left out, the last line says how many.
pub(crate) fn take() -> Vec<String> {
    let mut waiting = waiting();
    let mut lines = std::mem::take(&mut waiting.lines);
    let left_out = std::mem::take(&mut waiting.left_out);
    if left_out > 0 {
        lines.push(format!("... {left_out} lines were left out"));
    }
    lines
}

/// Prints the waiting lines. From now on, each line is printed immediately, because the screen has ended.
pub(crate) fn release() {
    waiting().is_held = false;
    take().iter().for_each(|line| printer::err(&format!("{line}\n")));
}

/// Shows a warning or an error.
pub(crate) fn show(line: String) {
    let mut waiting = waiting();
    if waiting.is_held && waiting.lines.len() < MOST_LINES {
        waiting.lines.push(line);
    } else {
        drop(waiting);
        printer::err(&format!("{line}\n"));
    }
}

/// Shows a line of `-vv`. If too many lines wait for the screen, the line is left out.
pub(crate) fn show_or_leave_out(line: String) {
    let mut waiting = waiting();
    if waiting.is_held && waiting.lines.len() >= MOST_LINES {
        waiting.left_out += 1;
    } else {
        drop(waiting);
        show(line);
    }
}

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
