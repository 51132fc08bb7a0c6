//! What differs between systems: the terminal, signals, limits.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(crate) use other::{
    Signals, Terminal, is_in_front, make_private_folder, raise_file_limit, write_private,
};
#[cfg(unix)]
pub(crate) use unix::{Signals, Terminal, is_in_front, make_private_folder, raise_file_limit, write_private};

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    /// The terminal is gone, or Ctrl-D.
    End,
    /// None was pressed.
    None,
}

/// What the system wants of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, or the terminal was closed.
    Terminate,
    /// We were stopped and go on.
    Continue,
}

/// Columns and rows of the terminal behind standard error; 80 x 24 where that is not to be had.
pub(crate) fn terminal_size() -> (usize, usize) {
    match terminal_size::terminal_size_of(std::io::stderr()) {
        Some((columns, rows)) if columns.0 > 0 && rows.0 > 0 => (columns.0.into(), rows.0.into()),
        _ => (80, 24),
    }
}
