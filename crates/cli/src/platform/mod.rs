//! The parts of the program that differ between systems: terminal, signals and limits.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(crate) use other::{
    Signals, Terminal, ask_hidden, is_in_front, is_link_of_another_user, make_private_folder,
    others_may_read, raise_file_limit, who_else_may_write, write_new,
};
#[cfg(unix)]
pub(crate) use unix::{
    Signals, Terminal, ask_hidden, is_in_front, is_link_of_another_user, make_private_folder,
    others_may_read, raise_file_limit, who_else_may_write, write_new,
};

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The answer to a question for a secret, which the terminal does not show.
pub(crate) enum Hidden {
    Line(String),
    /// Ctrl-C.
    Interrupted,
    NoTerminal,
}

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    /// Ctrl-D, or the terminal was closed.
    End,
    /// No key was pressed.
    None,
}

/// A signal that this program handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, or the terminal was closed.
    Terminate,
    /// The program was stopped and continues.
    Continue,
}

/// The mode of a file that only its owner may read.
pub(crate) const FOR_THE_OWNER: u32 = 0o600;

/// The mode of a file that others may read too, unless the umask forbids it.
pub(crate) const FOR_ALL: u32 = 0o666;

/// Writes a file with this mode. An older file is replaced in one step. Links are followed, and pipes and
/// devices are written to.
///
/// # Errors
/// Returns why the file cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return fs::write(path, bytes);
    }
    // A link whose target does not exist is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.tmp", std::process::id()));
    let new = PathBuf::from(new);
    write_new(&new, bytes, mode).and_then(|()| fs::rename(&new, &path)).inspect_err(|e| {
        // An incomplete file must not stay. A file that was there before is not ours.
        if e.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&new);
        }
    })
}

/// Returns the columns and rows of the terminal on standard error, or 80 x 24 if they are unknown.
pub(crate) fn terminal_size() -> (usize, usize) {
    match terminal_size::terminal_size_of(std::io::stderr()) {
        Some((columns, rows)) if columns.0 > 0 && rows.0 > 0 => (columns.0.into(), rows.0.into()),
        _ => (80, 24),
    }
}
