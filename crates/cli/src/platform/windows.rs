//! The console, its signals and the sharing of files, for Windows. Questions are not asked here.

use super::{Hidden, Key, Signal};
use downhaul_engine::disk::patiently;
use std::fs::File;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown};
use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};

/// While this program has the file open, other programs can read it, but cannot write to it or remove it
/// (`FILE_SHARE_READ` of `CreateFile`).
const SHARED_FOR_READING: u32 = 1;

/// `FILE_FLAG_DELETE_ON_CLOSE` of `CreateFile`.
const DELETE_ON_CLOSE: u32 = 0x0400_0000;

/// A terminal for questions. Questions are not implemented on Windows, so failures are handled as with
/// `--on-error retry`.
pub(crate) struct Terminal;

impl Terminal {
    pub(crate) fn open() -> Option<Terminal> {
        None
    }

    pub(crate) fn listen(&mut self) {}

    pub(crate) fn restore(&mut self) {}

    pub(crate) fn reset(&mut self) {}

    pub(crate) fn key(&mut self) -> Key {
        Key::None
    }
}

/// Returns false, because it is not checked on this system if a pipe has bytes.
pub(crate) fn has_input_within(_pipe: Option<&File>, _time: Duration) -> bool {
    false
}

/// Returns [`Hidden::NoTerminal`], because questions are not implemented on Windows.
pub(crate) fn ask_hidden(_question: &str) -> Hidden {
    Hidden::NoTerminal
}

/// Returns true, because a console has no programs in the background.
pub(crate) fn is_in_front() -> bool {
    true
}

/// The system has no Ctrl-Z that stops a program.
pub(crate) struct CtrlZ;

impl CtrlZ {
    pub(crate) fn listen() -> CtrlZ {
        CtrlZ
    }

    /// Never returns.
    pub(crate) async fn next(&mut self) {
        std::future::pending().await
    }
}

/// Returns false, because programs are not stopped and continued on this system.
pub(crate) fn stop_until_continued() -> bool {
    false
}

/// Returns a large number, because this system has no low limit for handles.
pub(crate) fn raise_file_limit() -> usize {
    usize::MAX
}

/// Returns false, because the end of the parent is not noticed on this system.
pub(crate) fn note_parent() -> bool {
    false
}

/// Does nothing. A program without a console continues after the console of its caller is closed.
pub(crate) fn leave_terminal() {}

/// Returns true, because other processes are not checked on this system.
pub(crate) fn is_running(_process: u32) -> bool {
    true
}

/// Returns false. On this system, the end of a reader is noticed when something is written.
pub(crate) fn reader_is_gone() -> bool {
    false
}

/// The signals of the console that this program handles.
pub(crate) struct Signals {
    interrupt: Option<CtrlC>,
    interrupt_by_break: Option<CtrlBreak>,
    /// The window was closed. The system ends the program 5 seconds later (Microsoft, `HandlerRoutine`).
    close: Option<CtrlClose>,
    logoff: Option<CtrlLogoff>,
    shutdown: Option<CtrlShutdown>,
}

impl Signals {
    /// Begins to handle signals. The end of the parent process is not noticed on this system.
    pub(crate) fn listen(_stop_with_parent: bool) -> Signals {
        Signals {
            interrupt: ctrl_c().ok(),
            interrupt_by_break: ctrl_break().ok(),
            close: ctrl_close().ok(),
            logoff: ctrl_logoff().ok(),
            shutdown: ctrl_shutdown().ok(),
        }
    }

    /// Returns the same signals, because this system has no SIGHUP.
    pub(crate) fn without_hangup(self) -> Signals {
        self
    }

    pub(crate) async fn next(&mut self) -> Signal {
        macro_rules! received {
            ($signal:expr) => {
                async {
                    match $signal {
                        Some(signal) => drop(signal.recv().await),
                        None => std::future::pending().await,
                    }
                }
            };
        }
        tokio::select! {
            () = received!(&mut self.interrupt) => Signal::Interrupt,
            () = received!(&mut self.interrupt_by_break) => Signal::Interrupt,
            () = received!(&mut self.close) => Signal::Terminate,
            () = received!(&mut self.logoff) => Signal::Terminate,
            () = received!(&mut self.shutdown) => Signal::Terminate,
        }
    }
}

/// Makes a folder, and the folders above it, if they do not exist. A new folder gets the permissions of the
/// folder above it, which is usually a folder of the user. So other users cannot read the new folder.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Creates a new file. The mode is ignored, because files have no mode on this system.
pub(super) fn create_new(path: &Path, _mode: u32) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

/// Opens a file, to add to it. Creates the file if it does not exist. Other programs may have it open at the
/// same time.
pub(super) fn create(path: &Path, _mode: u32) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// Returns `None`, because the permissions of this system are not checked.
pub(crate) fn who_else_may_write(_path: &Path) -> Option<&'static str> {
    None
}

/// Returns false, because the owners of links are not checked on this system.
pub(crate) fn is_link_of_another_user(_path: &Path) -> bool {
    false
}

/// Returns false, because the permissions of this system are not checked.
pub(crate) fn others_have_rights(_path: &Path) -> bool {
    false
}

/// Returns `Ok(None)`, because the permissions of this system are not checked.
pub(crate) fn why_not_private(_file: &File) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// Creates a file that the system removes when it is closed.
pub(super) fn unnamed(path: &Path) -> io::Result<File> {
    File::options().read(true).append(true).create_new(true).custom_flags(DELETE_ON_CLOSE).open(path)
}

/// Opens a file, to read it and to add to it. A file that does not exist is created. While the file is open,
/// other programs can read it, but they can neither write to it nor replace it. Returns an error if another
/// program has opened the file for writing, or if `new` is true and the file exists.
pub(super) fn append(path: &Path, _mode: u32, new: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).append(true).create(true).create_new(new).share_mode(SHARED_FOR_READING);
    options.open(path).map_err(|e| match e.raw_os_error() {
        Some(32) => io::Error::new(io::ErrorKind::WouldBlock, "another run is writing it"),
        _ => e,
    })
}

/// Returns true, because [`append`] opens a file for one run only. A lock is not used, because it would keep
/// other programs from reading the file.
pub(super) fn lock(_file: &File) -> io::Result<bool> {
    Ok(true)
}

/// Returns true, which means that the open file is still the file at this path: a file that [`append`] opened
/// cannot be replaced.
pub(super) fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// Renames a file. A file that has the new name is replaced.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let rename = || std::fs::rename(from, to);
    // A file can never replace a folder, so the rename is not tried again.
    if to.is_dir() { rename() } else { patiently(rename) }
}

/// Closes a file, because this system cannot replace a file that [`append`] opened. If another run opens the
/// file before it is replaced, the replacement fails. Returns `None`, because no file stays open.
pub(crate) fn keep_while_replaced(_file: File) -> Option<File> {
    None
}

/// Returns the path of a device, which is written to and not replaced: `NUL`, or a path that begins with
/// `\\.\`. Returns `None` for all other paths.
pub(crate) fn pipe_or_device(path: &Path, _folder: &Path) -> Option<PathBuf> {
    let text = path.to_string_lossy();
    match text.strip_prefix(r"\\.\") {
        Some(_) => Some(path.into()),
        None => text.eq_ignore_ascii_case("nul").then(|| r"\\.\NUL".into()),
    }
}

/// SIGHUP, which this system does not have.
pub(crate) struct Hangups;

impl Hangups {
    pub(crate) fn listen() -> Hangups {
        Hangups
    }

    /// Never returns.
    pub(crate) async fn next(&mut self) {
        std::future::pending().await
    }
}
