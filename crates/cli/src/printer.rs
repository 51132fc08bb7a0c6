//! Writes to standard output and standard error. A closed pipe or terminal must not stop a transfer. So a
//! failure to write to standard error is ignored, and a failure to write to standard output is returned. The
//! print macros of std would panic after such a failure.

use crate::exit::Exit;
use downhaul_engine::disk::check_stdout;
use std::io::{self, IsTerminal, Write};

/// Writes text for the user to standard error, in one call.
pub(crate) fn err(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes());
    let _ = err.flush();
}

/// The keys that end the input of a terminal.
pub(crate) const END_OF_INPUT: &str = if cfg!(windows) { "Ctrl-Z and Enter" } else { "Ctrl-D" };

/// Tells the user how to enter text, if standard input is a terminal. Otherwise does nothing.
pub(crate) fn ask_for_input(text: &str) {
    if io::stdin().is_terminal() {
        err(&format!("{text}\n"));
    }
}

/// Writes the result of a command to standard output. If the result cannot be written, prints the reason,
/// unless the program that reads standard output has ended. Returns [`Exit::Success`], or the exit status for
/// a result that could not be written.
pub(crate) fn out(text: &str) -> Exit {
    match write(text.as_bytes()) {
        Ok(()) => Exit::Success,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::Failed,
        Err(e) => {
            err(&format!("error: standard output cannot be written: {e}\n"));
            Exit::Disk
        }
    }
}

/// Writes to standard output, in one call. Returns an error if standard output is closed, or if it cannot be
/// written.
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    check_stdout()?;
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

/// The style of a text. Each style is named after the kind of text that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Success,
    Warning,
    Failure,
    /// The text is less important than the text around it.
    Note,
    /// The filled part of a bar.
    Progress,
    /// A question to the user.
    Question,
}

impl Style {
    /// Returns the code of the style (ECMA-48, SGR): a colour, perhaps in bold, or faint text. Only the eight
    /// basic colours are used, because every theme of a terminal chooses them so that they are readable.
    /// Yellow and cyan are never bold, because many terminals show bold text in these colours too bright for
    /// a light screen.
    fn code(self) -> &'static str {
        match self {
            Style::Success => "32",
            Style::Warning => "33",
            Style::Failure => "31",
            Style::Note => "2",
            Style::Progress => "36",
            Style::Question => "1;35",
        }
    }
}

/// Adds colours to text if its value is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn show(self, style: Style, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.into() }
    }
}
