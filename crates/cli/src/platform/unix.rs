//! The controlling terminal, files, processes and RLIMIT_NOFILE, for Unix. The signals are in
//! [`signals`].

#[path = "unix_signals.rs"]
mod signals;

pub(crate) use signals::{CtrlZ, Hangups, Signals, note_parent, stop_until_continued};

use super::{Hidden, Key};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getpgrp, getrlimit, setrlimit};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The first byte of a key that sends several bytes, and the byte of the key Esc.
const ESCAPE: char = '\x1b';

/// The time in which the other bytes of a key follow after ESC. They are sent together, but they may arrive
/// separately over a slow line. A person needs longer from one key to the next one.
const SEQUENCE_LIMIT: Duration = Duration::from_millis(50);

/// The controlling terminal. Answers are read from it, even if standard input is something else.
pub(crate) struct Terminal {
    tty: File,
    /// The settings that the terminal had before this program changed them.
    before: Option<Termios>,
    /// True if this program was in the background when [`Self::key`] was called last. In the meantime,
    /// another program may have changed the settings of the terminal.
    was_behind: bool,
}

impl Terminal {
    /// Opens the terminal. Returns `None` if there is no terminal, or if this program is not in the
    /// foreground of the terminal.
    pub(crate) fn open() -> Option<Terminal> {
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        is_in_front_of(&tty).then_some(Terminal { tty, before: None, was_behind: false })
    }

    /// Makes the terminal pass on single keys, without Enter and without echo. Ctrl-C and Ctrl-Z still send
    /// signals.
    pub(crate) fn listen(&mut self) {
        if self.before.is_some() || !is_in_front_of(&self.tty) {
            return;
        }
        let Ok(before) = tcgetattr(&self.tty) else { return };
        let mut single = before.clone();
        single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // Keys that were typed before the question are not answers to it.
        if tcsetattr(&self.tty, OptionalActions::Flush, &single).is_ok() {
            self.before = Some(before);
        }
    }

    /// Restores the settings of the terminal. In the background, does nothing, because the system would stop
    /// this program. The settings then belong to the program in the foreground.
    pub(crate) fn restore(&mut self) {
        if !is_in_front_of(&self.tty) {
            return;
        }
        if let Some(before) = self.before.take() {
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &before);
        }
    }

    /// Turns echo and line input on, even if another program turned them off.
    pub(crate) fn reset(&mut self) {
        if let Ok(mut modes) = tcgetattr(&self.tty) {
            modes.local_modes.insert(LocalModes::ICANON | LocalModes::ECHO);
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &modes);
        }
    }

    /// Returns the key that was pressed, or [`Key::None`] if no key was pressed or this program is in the
    /// background. For a key that sends ESC and other bytes, such as an arrow key or a function key, returns
    /// [`ESCAPE`]. Returns [`Key::End`] if the input has ended.
    pub(crate) fn key(&mut self) -> Key {
        // If this program read from the terminal in the background, the system would stop it.
        if !is_in_front_of(&self.tty) {
            self.was_behind = true;
            return Key::None;
        }
        // A shell may bring this program to the foreground without a signal.
        if std::mem::take(&mut self.was_behind) {
            self.restore();
            self.listen();
        }
        match self.byte(Duration::ZERO) {
            Key::Char(ESCAPE) => self.end_of_sequence(),
            key => key,
        }
    }

    /// Reads the bytes that an arrow key, a function key, or a key with Alt sends after ESC
    /// (ECMA-48). The last of these bytes may be a letter, which is not an answer to a question. Returns
    /// [`Key::End`] if the input has ended, and otherwise [`ESCAPE`].
    fn end_of_sequence(&mut self) -> Key {
        let until = Instant::now() + SEQUENCE_LIMIT;
        let mut next = || self.byte(until.saturating_duration_since(Instant::now()));
        let mut last = next();
        while last == Key::Char(ESCAPE) {
            last = next();
        }
        if let Key::Char('[' | 'O') = last {
            last = next();
            // The bytes from the space to `?`, such as digits, are not the last byte. The Linux console sends
            // `ESC [ [ A` for F1, so `[` is not the last byte either.
            while let Key::Char(' '..='?' | '[') = last {
                last = next();
            }
        }
        if last == Key::End { Key::End } else { Key::Char(ESCAPE) }
    }

    /// Returns the next byte of the input as a key, or [`Key::None`] if no byte arrives within this time.
    /// Returns [`Key::End`] at the end of the input, for Ctrl-D, and after an error of the read, unless a
    /// signal interrupted the read.
    fn byte(&mut self, limit: Duration) -> Key {
        if !has_input_within(Some(&self.tty), limit) {
            return Key::None;
        }
        let mut byte = [0];
        match self.tty.read(&mut byte) {
            // When single keys are read, Ctrl-D does not end the input, but is read as the byte 4.
            Ok(0) => Key::End,
            Ok(_) if byte[0] == 4 => Key::End,
            Ok(_) => Key::Char(char::from(byte[0])),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Key::None,
            Err(_) => Key::End,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Returns true if bytes can be read from a pipe within this time, or if the pipe has ended. `None` is
/// standard input.
pub(crate) fn has_input_within(pipe: Option<&File>, time: Duration) -> bool {
    let stdin = io::stdin();
    let fd = pipe.map_or(stdin.as_fd(), AsFd::as_fd);
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let nanoseconds = time.subsec_nanos().into();
    let limit = Timespec { tv_sec: time.as_secs().try_into().unwrap_or(0), tv_nsec: nanoseconds };
    poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
}

/// Asks a question on the terminal, and reads a line without showing it. Backspace and Ctrl-U work. Ctrl-C
/// and Ctrl-Z are read as characters, so that they cannot end or stop the program while the echo is off.
pub(crate) fn ask_hidden(question: &str) -> Hidden {
    loop {
        let Some(mut terminal) = Terminal::open() else { return Hidden::NoTerminal };
        let Ok(before) = tcgetattr(&terminal.tty) else { return Hidden::NoTerminal };
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        if tcsetattr(&terminal.tty, OptionalActions::Flush, &hidden).is_err() {
            return Hidden::NoTerminal;
        }
        // The settings are restored when `terminal` is dropped.
        terminal.before = Some(before);
        let _ = terminal.tty.write_all(question.as_bytes());
        let line = hidden_line(&mut terminal);
        let _ = terminal.tty.write_all(b"\n");
        drop(terminal);
        match line {
            Some(line) => return line,
            None => stop_until_continued(),
        };
    }
}

/// Reads a line. Returns `None` at Ctrl-Z. The bytes before Ctrl-Z are forgotten.
fn hidden_line(terminal: &mut Terminal) -> Option<Hidden> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match terminal.tty.read(&mut byte) {
            Ok(1) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => return Some(Hidden::NoTerminal),
        }
        match byte[0] {
            b'\r' | b'\n' => return Some(Hidden::Line(String::from_utf8_lossy(&line).into_owned())),
            // Ctrl-C, and Ctrl-D on an empty line.
            3 => return Some(Hidden::Interrupted),
            4 if line.is_empty() => return Some(Hidden::Interrupted),
            26 => return None,
            // Backspace takes one character, which may be several bytes of UTF-8.
            8 | 127 => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U.
            21 => line.clear(),
            // The bytes of an arrow key are not part of the line.
            27 => {
                terminal.end_of_sequence();
            }
            control if control < 32 => {}
            byte => line.push(byte),
        }
    }
}

/// Returns true if this program is in the foreground of its terminal, so that it may paint there. If there is
/// no terminal, this function also returns true, because nothing is painted in this case.
pub(crate) fn is_in_front() -> bool {
    static TTY: OnceLock<Option<File>> = OnceLock::new();
    TTY.get_or_init(|| File::open("/dev/tty").ok()).as_ref().is_none_or(is_in_front_of)
}

fn is_in_front_of(tty: &File) -> bool {
    // A closed terminal has no foreground process.
    tcgetpgrp(tty).is_ok_and(|front| front == getpgrp())
}

/// Raises the soft limit of file descriptors, which is often 1024 for historical reasons. Each connection and
/// each file needs a descriptor. Returns the limit that is in effect after the call.
pub(crate) fn raise_file_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Some systems (macOS) refuse "unlimited". In this case, the old limit stays.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// If standard output is closed, makes writes to it fail, by opening `/dev/null` for reading in its place.
/// This function must be called before the runtime of Rust starts. That runtime opens `/dev/null` in place of
/// a closed standard output, so that writes to it succeed and the bytes are lost.
pub extern "C" fn keep_closed_stdout_unwritable() {
    use rustix::fs::{Mode, OFlags, open};
    use std::os::fd::IntoRawFd;
    let stdout = rustix::stdio::stdout();
    if rustix::io::fcntl_getfd(stdout).is_err()
        && let Ok(null) = open("/dev/null", OFlags::RDONLY, Mode::empty())
    {
        // If standard input is open, the descriptor `null` already has the number of standard output. If
        // standard input is closed too, `null` has the number of standard input. In both cases, `null` must
        // stay open.
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = null.into_raw_fd();
    }
}

/// Leaves the session of the terminal, so that the program continues after the terminal is closed.
pub(crate) fn leave_terminal() {
    // This fails only if the program leads a process group. The program that `-D` starts leads no process
    // group.
    let _ = rustix::process::setsid();
}

pub(crate) fn is_running(process: u32) -> bool {
    let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| {
        // If the process belongs to another user, this call fails with another error, but the process exists.
        rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
    })
}

/// Returns true if standard output is a pipe whose reader has ended.
pub(crate) fn reader_is_gone() -> bool {
    let stdout = io::stdout();
    let mut all = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut all, Some(&now)).is_ok() && all[0].revents().contains(PollFlags::ERR)
}

/// Makes a folder that only its user may read, and the folders above it, if they do not exist.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(super) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(mode).open(path)
}

/// Opens a file, to add to it. Creates the file with this mode if it does not exist. Links are followed.
pub(super) fn create(path: &Path, mode: u32) -> io::Result<File> {
    append(path, mode, false)
}

/// Creates a file that only its owner may read, and removes its name.
pub(super) fn unnamed(path: &Path) -> io::Result<File> {
    let file = append(path, super::FOR_THE_OWNER, true)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

/// Opens a file, to read it and to add to it. A file that does not exist is created with this mode. If `new`
/// is true and the file exists, returns an error.
pub(super) fn append(path: &Path, mode: u32, new: bool) -> io::Result<File> {
    File::options().read(true).append(true).create(true).create_new(new).mode(mode).open(path)
}

/// Renames a file. A file that has the new name is replaced.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Returns the locked file, so that it stays locked while another file replaces it.
pub(crate) fn keep_while_replaced(file: File) -> Option<File> {
    Some(file)
}

/// Returns the path of a pipe or a device, which is written to and not replaced. Returns `None` for all other
/// paths. `path` may be relative to the folder.
pub(crate) fn pipe_or_device(path: &Path, folder: &Path) -> Option<PathBuf> {
    let is_special = folder.join(path).metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
    is_special.then(|| path.to_path_buf())
}

/// Locks a file until it is closed. Returns false if another run has locked it. Some network file systems
/// have no locks. There, another run is not noticed.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(false),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(true),
    }
}

/// Returns true if the open file is the file at this path.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |meta: io::Result<std::fs::Metadata>| meta.map(|meta| (meta.dev(), meta.ino())).ok();
    id(file.metadata()) == id(std::fs::metadata(path))
}

/// Returns the reason why other users can change a regular file. Returns `None` if they cannot change it, or
/// if the path leads to no regular file. Others can change a file if another user (except root) owns it, or
/// if its mode lets all users write. A mode that lets a group write is accepted, because many systems give
/// each user a separate group.
pub(crate) fn who_else_may_write(path: &Path) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let own = rustix::process::getuid().as_raw();
    match (meta.mode() & 0o002, meta.uid()) {
        (0, user) if user == 0 || user == own => None,
        (0, _) => Some("the file belongs to another user"),
        _ => Some("all users may write to the file"),
    }
}

/// Returns true if a path is a symbolic link of another user, except root. In a folder to which all users may
/// write, another user can make such a link to damage a file of this user.
pub(crate) fn is_link_of_another_user(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::getuid().as_raw();
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink() && ![0, own].contains(&meta.uid()))
}

/// Returns true if the mode of a regular file gives its group or all users any right.
pub(crate) fn others_have_rights(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o077 != 0)
}

/// Returns why an open file is not private, or `None` if it is private. A file is not private if another user
/// (except root) owns it, or if its mode gives its group or all users any right.
pub(crate) fn why_not_private(file: &File) -> io::Result<Option<&'static str>> {
    use std::os::unix::fs::MetadataExt;
    let (meta, own) = (file.metadata()?, rustix::process::getuid().as_raw());
    Ok(match (meta.uid(), meta.mode() & 0o077) {
        (user, _) if ![0, own].contains(&user) => Some("the file belongs to another user"),
        (_, 0) => None,
        _ => Some("other users have rights to the file (chmod 600 makes it private)"),
    })
}
