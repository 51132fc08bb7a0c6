//! The parts of the program that differ between systems: terminal, signals, files and limits.

mod service;
#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

#[cfg(unix)]
pub use system::keep_closed_stdout_unwritable;

pub(crate) use service::{monotonic_micros, passed_listeners, send_datagram};
pub(crate) use system::{
    CtrlZ, Hangups, Signals, Terminal, ask_hidden, has_input_within, is_in_front, is_link_of_another_user,
    is_running, keep_while_replaced, leave_terminal, make_private_folder, note_parent, others_have_rights,
    pipe_or_device, raise_file_limit, reader_is_gone, stop_until_continued, who_else_may_write,
    why_not_private,
};
use system::{append, create, create_new, is_at, lock, rename, unnamed};

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The answer to a question for a secret, which the terminal does not show.
#[cfg_attr(windows, expect(dead_code, reason = "questions are not asked on Windows"))]
pub(crate) enum Hidden {
    Line(String),
    /// Ctrl-C, or Ctrl-D on an empty line.
    Interrupted,
    NoTerminal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(windows, expect(dead_code, reason = "questions are not asked on Windows"))]
pub(crate) enum Key {
    Char(char),
    /// Ctrl-D, or the terminal was closed.
    End,
    None,
}

/// A signal that this program handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(windows, expect(dead_code, reason = "Windows has neither of the last two"))]
pub(crate) enum Signal {
    /// Ctrl-C, or Ctrl-Break on Windows.
    Interrupt,
    /// SIGTERM, or SIGHUP, which the system sends when the terminal is closed. On Windows: the window was
    /// closed, the user logs off, or the machine shuts down.
    Terminate,
    /// The process that started the program has ended (`--stop-with-parent`).
    ParentEnded,
    /// The program was stopped and continues.
    Continue,
}

/// The highest number of attempts to open a file that other runs replace. A run replaces the file only once,
/// at its end, so a few attempts are usually enough.
const REPLACED_MOST: usize = 100;

/// The mode of a file that only its owner may read.
pub(crate) const FOR_THE_OWNER: u32 = 0o600;

/// The mode of a file that all users may read and write, except for what the umask forbids.
pub(crate) const FOR_ALL: u32 = 0o666;

/// Writes a file with this mode. An older file is replaced in one step. Links to existing files are followed,
/// and pipes and devices are written to.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_with(path, mode, |to| to.write_all(bytes))
}

/// Writes a file as [`replace`] does. `write` writes the content of the file. If `write` fails, an older file
/// stays.
pub(crate) fn replace_with(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return write_to(&File::options().write(true).open(path)?, write);
    }
    let (path, new) = place_of_new(path);
    let file = create_new(&new, mode);
    let written = file.and_then(|file| write_to(&file, write).and_then(|()| file.sync_all()));
    written.and_then(|()| rename(&new, &path)).inspect_err(|e| {
        // The incomplete file is removed, but not a file that existed before, because this run did not write
        // it.
        if e.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&new);
        }
    })
}

/// Follows the links of a path. Returns the path of the file to which they lead, and an unused path beside
/// this file for its new content.
fn place_of_new(path: &Path) -> (PathBuf, PathBuf) {
    // A link whose target does not exist is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{:016x}.tmp", random_number()));
    (path, PathBuf::from(new))
}

/// Checks that [`replace_with`] can write a file, by creating an empty file beside it for a moment. A pipe or
/// a device is not opened.
pub(crate) fn check_replace(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Ok(());
    }
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let (_, new) = place_of_new(path);
    create_new(&new, FOR_THE_OWNER)?;
    fs::remove_file(&new)
}

/// Opens a file to read it and to add to it, and locks it, so that no other run writes it. Creates the file
/// if it does not exist. Links are followed.
///
/// # Errors
/// Returns why the file cannot be opened, for example because another run is writing it.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    // Another run may replace the file while it is being opened. In this case, the new file is opened.
    for _ in 0..REPLACED_MOST {
        let file = append(path, FOR_ALL, false)?;
        if !lock(&file)? {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another run is writing it"));
        }
        if is_at(&file, path) {
            return Ok(file);
        }
    }
    Err(io::Error::other("it is being replaced again and again"))
}

/// Creates a new file, to add to it and to read it.
///
/// # Errors
/// Returns why the file cannot be created, for example because it exists.
pub(crate) fn create_new_to_append(path: &Path) -> io::Result<File> {
    append(path, FOR_ALL, true)
}

/// Creates an empty file that only its owner may read, if there is no file at this path.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    create(path, FOR_THE_OWNER).map(drop)
}

/// Creates a temporary file in a folder, to write it and to read it. The system deletes the file when it is
/// closed.
pub(crate) fn unnamed_file(folder: &Path) -> io::Result<File> {
    unnamed(&folder.join(format!(".downhaul-{:016x}.tmp", random_number())))
}

/// Returns a number for the name of a temporary file, so that no other run uses the same name. The process ID
/// is not enough: in a Linux container, each run may have the same process ID, and a run that was killed
/// leaves its files behind.
pub(crate) fn random_number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Writes a new file with this mode, and forces it to disk.
///
/// # Errors
/// Returns why the file cannot be written, for example because it exists.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let file = create_new(path, mode)?;
    write_to(&file, |to| to.write_all(bytes))?;
    file.sync_all()
}

fn write_to(file: &File, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    let mut buffered = BufWriter::new(file);
    write(&mut buffered)?;
    buffered.flush()
}

/// Returns the columns of the terminal on standard output, or `None` if it is not a terminal.
pub(crate) fn columns_of_stdout() -> Option<usize> {
    let (columns, _) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(usize::from(columns.0)).filter(|columns| *columns > 0)
}

/// Returns the columns and rows of the terminal on standard error, or 80 x 24 if they are unknown.
pub(crate) fn terminal_size() -> (usize, usize) {
    match terminal_size::terminal_size_of(std::io::stderr()) {
        Some((columns, rows)) if columns.0 > 0 && rows.0 > 0 => (columns.0.into(), rows.0.into()),
        _ => (80, 24),
    }
}
