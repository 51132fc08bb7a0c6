//! Writes to standard output and standard error. A closed pipe or terminal must not stop a transfer, so
//! errors are ignored here. The print macros of std would panic.

use std::io::{self, Write};

/// Writes text for people to standard error, in one call.
pub(crate) fn err(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes());
    let _ = err.flush();
}

/// Writes text to standard output, in one call. Returns false if its reader is gone.
pub(crate) fn out(text: &str) -> bool {
    write(text).is_ok()
}

/// Writes to standard output.
///
/// # Errors Returns the error of the system.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Colours, if they are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// Colours a line that is painted again and again: its bar, a question, and the number of failed files.
    pub(crate) fn block(self, line: &str) -> String {
        if let Some(question) = line.strip_prefix("Retry (r)") {
            return self.with("1;33", &format!("Retry (r){question}"));
        }
        if let (Some(from), Some(to)) = (line.find("%|"), line.rfind('|'))
            && from + 2 < to
        {
            return format!("{}{}{}", &line[..from + 2], self.with("36", &line[from + 2..to]), &line[to..]);
        }
        match line.rsplit_once(", ") {
            Some((before, failed)) if is_failures(failed) => format!("{before}, {}", self.red(failed)),
            _ if is_failures(line) => self.red(line),
            _ => line.to_string(),
        }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// `3 failed`, but not `0 failed`.
fn is_failures(text: &str) -> bool {
    text.strip_suffix(" failed").is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count > 0))
}
