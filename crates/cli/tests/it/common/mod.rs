//! Runs the real program in a folder of its own, with a bound on its time.

pub mod terminal;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No run of a test takes longer.
const LONGEST: Duration = Duration::from_secs(100);

/// A folder for runs.
pub struct Place {
    folder: tempfile::TempDir,
    /// For what runs remember of hosts: never the real one.
    state: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Out {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
}

impl Place {
    pub fn new() -> Place {
        undo_ignored_ctrl_c();
        Place {
            folder: tempfile::tempdir().expect("a folder"),
            state: tempfile::tempdir().expect("a folder"),
        }
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
            .env("XDG_STATE_HOME", self.state.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The folder for what runs remember.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The file in which runs remember hosts.
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

    pub fn log(&self) -> String {
        self.file("download_log.txt").map(|log| String::from_utf8(log).expect("UTF-8")).unwrap_or_default()
    }

    /// Names of all files below the folder but the log, sorted.
    pub fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, base: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                if entry.file_type().expect("a type").is_dir() {
                    walk(&entry.path(), base, found);
                } else {
                    let path = entry.path();
                    found.push(path.strip_prefix(base).expect("below").to_string_lossy().into_owned());
                }
            }
        }
        let mut found = Vec::new();
        walk(self.path(), self.path(), &mut found);
        found.retain(|name| name != "download_log.txt");
        found.sort();
        found
    }

    /// The run must succeed and the file be exactly this.
    #[track_caller]
    pub fn assert_exact(&self, out: &Out, name: &str, bytes: &[u8]) {
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(
            self.file(name).as_deref() == Some(bytes),
            "{name} is not exact; {:?}\n{}",
            self.files(),
            out.stderr
        );
        assert!(!self.path().join(format!("{name}.part")).exists(), "a part file is left");
    }

    /// The run must fail like this and leave no file behind.
    #[track_caller]
    pub fn assert_failed(&self, out: &Out, status: i32, says: &str) {
        assert_eq!(out.status, status, "{}", out.stderr);
        assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
        assert_eq!(self.files(), Vec::<String>::new());
    }
}

/// Sees to it that programs which a test starts are told of Ctrl-C, although the test may have been started with it ignored
/// (`trap '' INT`, a job in the background of a script): an ignored signal stays ignored in a program that is started, as
/// the program should respect, while one that is caught has its usual effect there (POSIX, `exec`).
pub fn undo_ignored_ctrl_c() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        static CAUGHT: std::sync::Once = std::sync::Once::new();
        CAUGHT.call_once(|| {
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
            let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
            if mask >> (SignalKind::interrupt().as_raw_value() - 1) & 1 == 0 {
                return;
            }
            // Caught from now on for as long as this process lives, whatever becomes of the runtime.
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let _guard = runtime.enter();
            drop(signal(SignalKind::interrupt()).expect("a signal that can be caught"));
        });
    }
}

/// Waits for a run, but not for ever.
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
    let status = loop {
        if let Some(status) = child.try_wait().expect("waits") {
            break status;
        }
        if start.elapsed() > LONGEST {
            let _ = child.kill();
            panic!("the program did not end: {}", String::from_utf8_lossy(&stderr.join().expect("reads")));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Out {
        status: status.code().unwrap_or(-1),
        stdout: stdout.join().expect("reads"),
        stderr: String::from_utf8(stderr.join().expect("reads")).expect("UTF-8"),
        took: start.elapsed(),
    }
}

/// The JSON events of a run.
pub fn events(out: &Out) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&out.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Says something that a reader of the test's output should know.
#[expect(clippy::disallowed_macros, reason = "a test speaks to its runner")]
pub fn note(text: &str) {
    eprintln!("note: {text}");
}
