//! Reads and writes the file in which runs remember the limits of hosts ([`downhaul_core::hosts`]). The file
//! is read at the start of a run and written at the end.
//!
//! Invariant: a reader always finds one complete text. One run at a time replaces the file by a rename, and
//! keeps what other runs wrote in the meantime. If the file cannot be read or written, the run reports that,
//! and no download fails.

use crate::clock;
use downhaul_core::concurrency::Learned;
use downhaul_core::hosts::{Hosts, LONGEST};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The highest number of times that a run waits because another run is writing, and the time of each wait.
/// Writing takes a few milliseconds.
const WAITS: (u32, Duration) = (50, Duration::from_millis(20));

/// The remembered limits of hosts.
#[derive(Default)]
pub(crate) struct Memory {
    /// The path of the file, or `None` if limits are not stored.
    path: Option<PathBuf>,
    hosts: Hosts,
    /// The reason why the file could not be read.
    wrong: Option<String>,
}

impl Memory {
    /// Reads the file, if there is one.
    pub(crate) fn read(path: Option<&Path>) -> Memory {
        let Some(path) = path else { return Memory::default() };
        let (hosts, wrong) = match read(path) {
            Ok(hosts) => (hosts, None),
            Err(why) => {
                (Hosts::default(), Some(format!("{} is ignored and replaced: {why}", path.display())))
            }
        };
        Memory { path: Some(path.into()), hosts, wrong }
    }

    /// Returns the limits with which a run starts for this origin.
    pub(crate) fn known(&self, origin: &str) -> Learned {
        self.hosts.known(origin, clock::wall())
    }

    /// Writes the limits that the run found. Returns a note for the user, if there is one. Blocks the thread.
    pub(crate) fn keep(self, learned: &[(String, Learned)]) -> Option<String> {
        let Some(path) = self.path.filter(|_| !learned.is_empty() || self.wrong.is_some()) else {
            return self.wrong;
        };
        let kept = keep(&path, learned).map_err(|e| format!("could not remember the limits of hosts: {e}"));
        self.wrong.or(kept.err())
    }
}

fn read(path: &Path) -> Result<Hosts, String> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text));
    match read {
        Ok(_) => Hosts::read(&text, clock::wall()).map_err(String::from),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Hosts::default()),
        Err(e) => Err(e.to_string()),
    }
}

#[expect(clippy::disallowed_methods, reason = "this file is not a download, and is only written here")]
fn keep(path: &Path, learned: &[(String, Learned)]) -> io::Result<()> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let lock = private().open(beside(".lock"))?;
    wait_for(&lock)?;
    let mut hosts = read(path).unwrap_or_default();
    for (origin, learned) in learned {
        hosts.learn(origin, *learned, clock::wall());
    }
    let new = beside(".new");
    // A run that was killed may have left this file.
    let _ = fs::remove_file(&new);
    let mut file = private().create_new(true).open(&new)?;
    file.write_all(&hosts.text())?;
    drop(file);
    fs::rename(new, path)
}

/// Returns the options for a file that only its owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn wait_for(lock: &File) -> io::Result<()> {
    for _ in 0..WAITS.0 {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(WAITS.1),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "http://h:81";

    fn learned(connections: usize) -> Learned {
        Learned { connections: Some(connections), requests: None }
    }

    #[test]
    fn many_runs_at_once_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/hosts.json");
        std::thread::scope(|scope| {
            for n in 0..16 {
                let path = &path;
                scope.spawn(move || {
                    let memory = Memory::read(Some(path));
                    assert_eq!(memory.keep(&[(format!("http://h{n}"), learned(n + 1))]), None);
                });
            }
        });
        let memory = Memory::read(Some(&path));
        for n in 0..16 {
            assert_eq!(memory.known(&format!("http://h{n}")), learned(n + 1));
        }
    }

    #[test]
    fn garbage_is_reported_and_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.json");
        for garbage in [&b"garbage"[..], b"", b"{\"version\":99,\"hosts\":{}}"] {
            fs::write(&path, garbage).expect("writes");
            let note = Memory::read(Some(&path)).keep(&[]).expect("a note");
            assert!(note.contains("hosts.json is ignored and replaced"), "{note}");
            assert_eq!(Memory::read(Some(&path)).keep(&[]), None);
        }
        assert_eq!(Memory::read(Some(&path)).keep(&[(HOST.into(), learned(2))]), None);
        assert_eq!(Memory::read(Some(&path)).known(HOST), learned(2));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_run_that_learned_nothing_leaves_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/hosts.json");
        assert_eq!(Memory::read(Some(&path)).keep(&[]), None);
        assert_eq!(Memory::read(None).keep(&[(HOST.into(), learned(2))]), None);
        assert!(!path.exists() && !folder.path().join("state").exists());
    }
}
