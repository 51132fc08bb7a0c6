//! Runs the real program in a folder of its own, for a limited time.

#[cfg(unix)]
pub mod daemon;
pub mod tcp;
#[cfg(unix)]
pub mod terminal;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest time that [`finish`] waits for the end of a run.
const LONGEST: Duration = Duration::from_secs(100);

/// The longest time that a test waits for a step of a run.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The time between two checks of a condition. It is short, because a test must often act before the run
/// continues.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A folder in which runs take place. It is deleted when this value is dropped.
pub struct Place {
    folder: tempfile::TempDir,
    /// The state folder of the runs. It replaces the state folder of the user.
    state: tempfile::TempDir,
}

/// The result of a run.
#[derive(Debug)]
pub struct Out {
    /// The exit status, or -1 if a signal ended the run.
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// The time that [`finish`] waited.
    pub took: Duration,
}

impl Place {
    pub fn new() -> Place {
        undo_ignored_signals();
        Place {
            folder: tempfile::tempdir().expect("a folder"),
            state: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Returns a place in memory, or on the disk if the system has no folder in memory. While a run waits for
    /// the disk, it opens no further connections, and other tests use the disk at the same time. So a test
    /// that counts connections uses a place in memory.
    pub fn in_memory() -> Place {
        let memory = Path::new("/dev/shm");
        if !memory.is_dir() {
            return Place::new();
        }
        undo_ignored_signals();
        Place {
            folder: tempfile::tempdir_in(memory).expect("a folder"),
            state: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Returns a place on a disk with this many free bytes, or in memory. If there is no such place, this
    /// function prints a note and returns `None`.
    #[cfg(unix)]
    pub fn with_room_for(bytes: u64) -> Option<Place> {
        undo_ignored_signals();
        let has_room = |folder: &PathBuf| {
            rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) > bytes)
        };
        let folders = [std::env::temp_dir(), PathBuf::from("/dev/shm")];
        let Some(folder) = folders.iter().find(|folder| has_room(folder)) else {
            note(&format!("neither the disk nor the memory has {bytes} free bytes: the test is skipped"));
            return None;
        };
        let folder = tempfile::tempdir_in(folder).expect("a folder");
        Some(Place { folder, state: tempfile::tempdir().expect("a folder") })
    }

    /// Makes a named pipe, and returns its path.
    #[cfg(unix)]
    pub fn make_pipe(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo starts").success());
        path
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_downhaul"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("XDG_STATE_HOME", self.state.path())
            .env("LOCALAPPDATA", self.state.path());
        // Without this variable, programs for Windows have no network.
        #[cfg(windows)]
        command.env("SystemRoot", r"C:\windows");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Returns the state folder of the runs.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Returns the file in which runs store what they learned about hosts.
    pub fn hosts(&self) -> PathBuf {
        self.state.path().join("downhaul/hosts.json")
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Out {
        finish(self.start(args))
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().expect("the program starts")
    }

    /// Runs the program with this standard input.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Out {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input).expect("it reads");
        drop(stdin);
        finish(child)
    }

    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path().join(name)).ok()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, bytes).expect("writes");
        path
    }

    /// Waits until a file has at least this many bytes. Some bytes of a partial file may be holes.
    #[track_caller]
    pub fn wait_for_bytes(&self, name: &str, bytes: u64) {
        let path = self.path().join(name);
        wait_until(&format!("{name} has {bytes} bytes"), || {
            fs::metadata(&path).is_ok_and(|metadata| metadata.len() >= bytes)
        });
    }

    pub fn log(&self) -> String {
        self.file("download_log.txt").map(|log| String::from_utf8(log).expect("UTF-8")).unwrap_or_default()
    }

    /// Returns the sorted names of all files below the folder, without the log.
    pub fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, base: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                if entry.file_type().expect("a type").is_dir() {
                    walk(&entry.path(), base, found);
                } else {
                    let path = entry.path();
                    let name = path.strip_prefix(base).expect("below").to_string_lossy().into_owned();
                    found.push(if cfg!(windows) { name.replace('\\', "/") } else { name });
                }
            }
        }
        let mut found = Vec::new();
        walk(self.path(), self.path(), &mut found);
        found.retain(|name| name != "download_log.txt");
        found.sort();
        found
    }

    /// Asserts that the run succeeded, that the file has exactly these bytes, and that there is neither a
    /// file `NAME.part` nor the partial file of a small file ([`Place::small_parts`]).
    #[track_caller]
    pub fn assert_exact(&self, out: &Out, name: &str, bytes: &[u8]) {
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(
            self.file(name).as_deref() == Some(bytes),
            "{name} is not exact; {:?}\n{}",
            self.files(),
            out.stderr
        );
        assert!(!self.path().join(format!("{name}.part")).exists(), "a partial file is left");
        assert_eq!(self.small_parts(name), Vec::<String>::new(), "a partial file is left");
    }

    /// Returns the names of the partial files `NAME.TAG.part` that have no journal. The tag has eight
    /// hexadecimal digits. A file `NAME.TAG.part` with a journal may belong to another URL.
    fn small_parts(&self, name: &str) -> Vec<String> {
        let path = self.path().join(name);
        let stem = path.file_name().expect("a name").to_string_lossy().into_owned();
        let folder = path.parent().expect("a folder");
        let is_tag = |tag: &str| tag.len() == 8 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_small_part = |file: &String| {
            let between = file.strip_prefix(&stem).and_then(|rest| rest.strip_suffix(".part"));
            let is_tagged = between.and_then(|tag| tag.strip_prefix('.')).is_some_and(is_tag);
            is_tagged && !folder.join(format!("{file}.journal")).exists()
        };
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(is_small_part).collect()
    }

    /// Asserts that the run failed with this exit status and message, and left no file but the log.
    #[track_caller]
    pub fn assert_failed(&self, out: &Out, status: i32, says: &str) {
        assert_eq!(out.status, status, "{}", out.stderr);
        assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
        assert_eq!(self.files(), Vec::<String>::new());
    }
}

/// On Linux, lets Ctrl-C and SIGHUP have their usual effect in the programs that a test starts, even if the
/// test was started with them ignored (`nohup`, `trap '' INT`, or a background job of a script). A program
/// that is started inherits an ignored signal, and downhaul respects that. A signal that is caught is not
/// inherited (POSIX, `exec`), so the signals are caught here.
pub fn undo_ignored_signals() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        static CAUGHT: std::sync::Once = std::sync::Once::new();
        CAUGHT.call_once(|| {
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
            let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
            let is_ignored = |kind: &SignalKind| mask >> (kind.as_raw_value() - 1) & 1 == 1;
            // The signal stays caught until this process ends, even after the runtime has ended.
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let _guard = runtime.enter();
            for kind in [SignalKind::interrupt(), SignalKind::hangup()].into_iter().filter(is_ignored) {
                drop(signal(kind).expect("a signal that can be caught"));
            }
        });
    }
}

/// Calls `look` again and again until it returns a value, and returns that value. Returns `None` after the
/// time `longest`.
pub fn poll<T>(longest: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = look();
        if found.is_some() || start.elapsed() > longest {
            return found;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// Waits until the condition is true. Fails if it is not true within [`PATIENCE`]. `what` describes the
/// condition.
#[track_caller]
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    assert!(poll(PATIENCE, || condition().then_some(())).is_some(), "after {PATIENCE:?}, not yet: {what}");
}

/// Sends a signal to a run.
#[cfg(unix)]
pub fn send(signal: rustix::process::Signal, child: &Child) {
    send_to(signal, rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a process number"));
}

/// Sends a signal to a process.
#[cfg(unix)]
pub fn send_to(signal: rustix::process::Signal, process: rustix::process::Pid) {
    rustix::process::kill_process(process, signal).expect("the program runs");
}

/// Returns true if this program is installed. If it is not, a note is printed and the test must be skipped.
/// In CI, which installs all programs, the test fails instead.
#[cfg(unix)]
pub fn is_installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    #[expect(clippy::disallowed_methods, reason = "a test may ask where it runs")]
    let in_ci = std::env::var("CI").is_ok();
    assert!(found || !in_ci, "{program} must be installed in CI");
    if !found {
        note(&format!("{program} is not installed: the test is skipped"));
    }
    found
}

/// Waits for the end of a run. Fails if the run does not end within [`LONGEST`].
pub fn finish(mut child: Child) -> Out {
    let start = Instant::now();
    let reader = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let stdout = reader(child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
    let stderr = reader(child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
    let Some(status) = poll(LONGEST, || child.try_wait().expect("waits")) else {
        let _ = child.kill();
        panic!("the program did not end: {}", String::from_utf8_lossy(&stderr.join().expect("reads")));
    };
    Out {
        status: status.code().unwrap_or(-1),
        stdout: stdout.join().expect("reads"),
        stderr: String::from_utf8(stderr.join().expect("reads")).expect("UTF-8"),
        took: start.elapsed(),
    }
}

/// Returns the JSON events of a run.
pub fn events(out: &Out) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&out.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Prints a note for the reader of the test's output.
#[cfg(unix)]
#[expect(clippy::disallowed_macros, reason = "a test may print")]
pub fn note(text: &str) {
    eprintln!("note: {text}");
}
