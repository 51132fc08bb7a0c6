//! POSIX signals, and the end of the process that started the program.
//!
//! Invariant: one request to end the program is returned as one [`Signal`], even if its signal arrives twice.

use super::super::Signal;
use rustix::process::{getpgrp, getpid, getsid, kill_process};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// The process that started the program. It is `None` if that process is not visible, for example because it
/// is outside of the Linux container in which this program runs.
static PARENT: OnceLock<Option<rustix::process::Pid>> = OnceLock::new();

/// Stores which process started the program. This function must be called early, because after the end of the
/// parent, the system names another parent. Returns false if the parent is not visible.
pub(crate) fn note_parent() -> bool {
    PARENT.get_or_init(rustix::process::getppid).is_some()
}

/// The time between two checks of the parent. A new run may start on the same files about a second after the
/// end of the parent. The run of this process should have stopped before that.
const PARENT_CHECKED: Duration = Duration::from_millis(250);

/// A signal that follows another signal within this time belongs to the same request to end the program.
/// `timeout` sends its signal to the program and then to its group, and other programs pass on a signal that
/// the terminal has already sent. People who press Ctrl-C twice need longer.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// The signals that this program handles. On Linux, signals that were ignored when the program started stay
/// ignored. For example, a program that `nohup` starts ignores SIGHUP, and a program that a shell script
/// starts in the background ignores SIGINT.
pub(crate) struct Signals {
    interrupt: Option<Stream>,
    terminate: Option<Stream>,
    hangup: Option<Stream>,
    go_on: Option<Stream>,
    /// The process that started the program, if [`Self::next`] must report its end.
    parent: Option<rustix::process::Pid>,
    /// The time of the last signal that asked the program to end and was returned.
    last: Option<Instant>,
    /// SIGXFSZ is handled, so that it does not end the program: a write above the size limit for files then
    /// returns an error.
    _file_size: Option<Stream>,
}

impl Signals {
    /// Begins to handle signals. If `stop_with_parent` is true, the end of the process that [`note_parent`]
    /// stored is handled too.
    pub(crate) fn listen(stop_with_parent: bool) -> Signals {
        Signals {
            interrupt: stream(SignalKind::interrupt()),
            terminate: stream(SignalKind::terminate()),
            hangup: stream(SignalKind::hangup()),
            go_on: stream(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())),
            parent: PARENT.get().copied().flatten().filter(|_| stop_with_parent),
            last: None,
            _file_size: stream(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())),
        }
    }

    /// Stops the handling of SIGHUP here, because [`Hangups`] handles it.
    pub(crate) fn without_hangup(self) -> Signals {
        Signals { hangup: None, ..self }
    }

    /// Returns the next signal. After a signal that asks the program to end, other such signals are not
    /// returned for the time [`SAME_REQUEST`].
    pub(crate) async fn next(&mut self) -> Signal {
        loop {
            let signal = self.received().await;
            let asks_to_end = matches!(signal, Signal::Interrupt | Signal::Terminate);
            let before = self.last.filter(|_| asks_to_end);
            if before.is_none_or(|before| before.elapsed() >= SAME_REQUEST) {
                self.last = if asks_to_end { Some(Instant::now()) } else { self.last };
                return signal;
            }
        }
    }

    async fn received(&mut self) -> Signal {
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
            () = end_of(&mut self.parent) => Signal::ParentEnded,
        }
    }
}

/// SIGHUP, at which a daemon reads its configuration again.
pub(crate) struct Hangups(Option<Stream>);

impl Hangups {
    /// Begins to listen, unless SIGHUP was ignored when the program started (on Linux).
    pub(crate) fn listen() -> Hangups {
        Hangups(stream(SignalKind::hangup()))
    }

    /// Returns at the next SIGHUP.
    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(stream) => drop(stream.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// SIGTSTP, which the terminal sends at Ctrl-Z.
pub(crate) struct CtrlZ(Option<Stream>);

impl CtrlZ {
    /// Begins to listen, unless SIGTSTP was ignored when the program started (on Linux). After that, SIGTSTP
    /// itself does not stop the program, so the caller must call [`stop_until_continued`] each time
    /// [`Self::next`] returns.
    pub(crate) fn listen() -> CtrlZ {
        CtrlZ(stream(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw())))
    }

    /// Returns at the next SIGTSTP.
    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(stream) => drop(stream.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Stops this program, as Ctrl-Z does. Returns true after the program was continued. Returns false at once if
/// this program and the first process of its session are in one process group, because then no shell could
/// continue the program. POSIX ignores SIGTSTP for such a group too.
pub(crate) fn stop_until_continued() -> bool {
    let group = getpgrp();
    if getsid(None).is_ok_and(|session| session == group) {
        return false;
    }
    let stopped = kill_process(getpid(), rustix::process::Signal::STOP).is_ok();
    // `kill_process` may return shortly before the system stops this thread, so this function waits.
    std::thread::sleep(Duration::from_millis(20));
    stopped
}

/// Returns when the process that started this process has ended. The system then gives this process another
/// parent. This change can be seen on all Unix systems. Linux can also send a signal, but this signal already
/// comes when the thread that started this process ends.
async fn end_of(parent: &mut Option<rustix::process::Pid>) {
    let Some(started_by) = *parent else { return std::future::pending().await };
    while rustix::process::getppid() == Some(started_by) {
        tokio::time::sleep(PARENT_CHECKED).await;
    }
    // The end of the parent is reported once.
    *parent = None;
}

/// Begins to handle a signal. Returns `None` if the signal was ignored when the program started (on Linux),
/// or if it cannot be handled.
fn stream(kind: SignalKind) -> Option<Stream> {
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or_default();
    if ignored() >> bit & 1 == 1 { None } else { signal(kind).ok() }
}

/// Returns the mask of ignored signals. Without unsafe code, the mask is known only on Linux. On other
/// systems, it is empty.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
