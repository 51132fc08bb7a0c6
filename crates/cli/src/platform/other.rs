//! Other systems (Windows): Ctrl-C is handled, and no questions are asked. This file is not tested.

use super::{Hidden, Key, Signal};

/// A terminal for questions. It is not implemented here, so failures are handled as with `--on-error retry`.
pub(crate) struct Terminal;

impl Terminal {
    pub(crate) fn open() -> Option<Terminal> {
        None
    }

    pub(crate) fn listen(&mut self) {}

    pub(crate) fn cook(&mut self) {}

    pub(crate) fn reset(&mut self) {}

    pub(crate) fn key(&mut self) -> Key {
        Key::None
    }
}

/// Returns false, because a pipe cannot be asked if it has bytes.
pub(crate) fn has_input_within(_pipe: Option<&std::fs::File>, _time: std::time::Duration) -> bool {
    false
}

/// Asks a question whose answer the terminal does not show. It is not implemented here.
pub(crate) fn ask_hidden(_question: &str) -> Hidden {
    Hidden::NoTerminal
}

pub(crate) fn is_in_front() -> bool {
    true
}

/// Returns a large number, because this system has no low limit for handles.
pub(crate) fn raise_file_limit() -> usize {
    usize::MAX
}

/// Returns false, because the end of the parent is not noticed on this system.
pub(crate) fn note_parent() -> bool {
    false
}

/// Returns false. A reader that has ended is noticed when something is written.
pub(crate) fn reader_is_gone() -> bool {
    false
}

pub(crate) struct Signals;

impl Signals {
    /// Begins to handle Ctrl-C. The end of the parent is not noticed on this system.
    pub(crate) fn listen(_stop_with_parent: bool) -> Signals {
        Signals
    }

    pub(crate) async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Makes a folder. Other users cannot read it, because it is below a folder of this user.
pub(crate) fn make_private_folder(path: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Creates a new file. The mode has no meaning on this system.
pub(super) fn create_new(path: &std::path::Path, _mode: u32) -> std::io::Result<std::fs::File> {
    std::fs::File::options().write(true).create_new(true).open(path)
}

/// Returns `None`, because the permissions of this system are not checked.
pub(crate) fn who_else_may_write(_path: &std::path::Path) -> Option<&'static str> {
    None
}

/// Returns false, because the owners of links are not checked on this system.
pub(crate) fn is_link_of_another_user(_path: &std::path::Path) -> bool {
    false
}

/// Returns false, because the permissions of this system are not checked.
pub(crate) fn others_may_read(_path: &std::path::Path) -> bool {
    false
}

pub(super) fn append(path: &std::path::Path, _mode: u32, new: bool) -> std::io::Result<std::fs::File> {
    std::fs::File::options().read(true).append(true).create(true).create_new(new).open(path)
}

/// Locks nothing. Here, a lock would also keep other programs from reading the file.
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Unix")]
pub(super) fn lock(_file: &std::fs::File) -> std::io::Result<bool> {
    Ok(true)
}

/// Returns true, because an open file cannot be replaced here.
pub(super) fn is_at(_file: &std::fs::File, _path: &std::path::Path) -> bool {
    true
}
