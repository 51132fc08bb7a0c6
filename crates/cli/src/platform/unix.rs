//! Unix: the controlling terminal, POSIX signals, RLIMIT_NOFILE.

use super::{Key, Signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getpgrp, getrlimit, setrlimit};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// The controlling terminal, from which answers come, whatever standard input is.
pub(crate) struct Terminal {
    tty: File,
    /// How it was before we listened to single keys.
    before: Option<Termios>,
}

impl Terminal {
    /// `None` if there is none, or we are not in front of it.
    pub(crate) fn open() -> Option<Terminal> {
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        is_in_front_of(&tty).then_some(Terminal { tty, before: None })
    }

    /// Takes single keys, without Enter and without echo. Ctrl-C and Ctrl-Z stay signals.
    pub(crate) fn listen(&mut self) {
        if self.before.is_some() || !is_in_front_of(&self.tty) {
            return;
        }
        let Ok(before) = tcgetattr(&self.tty) else { return };
        let mut single = before.clone();
        single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // What was typed before the question was no answer to it.
        if tcsetattr(&self.tty, OptionalActions::Flush, &single).is_ok() {
            self.before = Some(before);
        }
    }

    /// Puts the terminal back as it was.
    pub(crate) fn cook(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &before);
        }
    }

    /// Makes sure that keys are shown and lines are lines, whoever changed that.
    pub(crate) fn reset(&mut self) {
        if let Ok(mut modes) = tcgetattr(&self.tty) {
            modes.local_modes.insert(LocalModes::ICANON | LocalModes::ECHO);
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &modes);
        }
    }

    /// A key, if one was pressed.
    pub(crate) fn key(&mut self) -> Key {
        // Reading from behind the shell would stop us.
        if !is_in_front_of(&self.tty) {
            return Key::None;
        }
        let mut fds = [PollFd::new(&self.tty, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut fds, Some(&now)) {
            Ok(n) if n > 0 => {}
            _ => return Key::None,
        }
        let mut byte = [0];
        match self.tty.read(&mut byte) {
            // Ctrl-D comes as itself when keys come one by one.
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
        self.cook();
    }
}

/// Whether the terminal is ours to paint on. True where there is none: then nothing is painted anyway.
pub(crate) fn is_in_front() -> bool {
    static TTY: OnceLock<Option<File>> = OnceLock::new();
    TTY.get_or_init(|| File::open("/dev/tty").ok()).as_ref().is_none_or(is_in_front_of)
}

fn is_in_front_of(tty: &File) -> bool {
    // A terminal that was closed has no foreground any more.
    tcgetpgrp(tty).is_ok_and(|front| front == getpgrp())
}

/// Every connection and file is a descriptor; the soft limit is often 1024, and only a historical default.
/// How many there may be now.
pub(crate) fn raise_file_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Some systems (macOS) refuse "unlimited"; the old limit still holds then.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// The signals that mean something to us, but those that we were told to ignore (nohup, background jobs).
pub(crate) struct Signals {
    interrupt: Option<Stream>,
    terminate: Option<Stream>,
    hangup: Option<Stream>,
    go_on: Option<Stream>,
    /// Taken so that a file beyond the limit is an error of that file, and not the end of the program.
    _file_size: Option<Stream>,
}

impl Signals {
    pub(crate) fn listen() -> Signals {
        let ignored = ignored();
        let stream = |kind: SignalKind| {
            let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or_default();
            if ignored >> bit & 1 == 1 { None } else { signal(kind).ok() }
        };
        Signals {
            interrupt: stream(SignalKind::interrupt()),
            terminate: stream(SignalKind::terminate()),
            hangup: stream(SignalKind::hangup()),
            go_on: stream(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())),
            _file_size: stream(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())),
        }
    }

    pub(crate) async fn next(&mut self) -> Signal {
        async fn one(stream: &mut Option<Stream>) {
            match stream {
                Some(stream) => drop(stream.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = one(&mut self.interrupt) => Signal::Interrupt,
            () = one(&mut self.terminate) => Signal::Terminate,
            () = one(&mut self.hangup) => Signal::Terminate,
            () = one(&mut self.go_on) => Signal::Continue,
        }
    }
}

/// The mask of ignored signals. Only Linux tells without unsafe code; elsewhere none are taken for ignored.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Makes a folder that only its user may look into, and those above it.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a new file that only its user may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}
