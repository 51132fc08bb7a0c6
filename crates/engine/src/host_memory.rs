//! Reads and writes the file in which runs remember what they learned about hosts ([`downhaul_core::hosts`]).
//! The file is read at the start of a run. It is written at the end, if the run learned something new or the
//! file could not be read.
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

/// The facts that earlier runs learned about hosts.
#[derive(Default)]
pub(crate) struct Memory {
    /// The path of the file, or `None` if runs store no facts about hosts.
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

    /// Returns what earlier runs learned about this origin.
    pub(crate) fn known(&self, origin: &str) -> Learned {
        self.hosts.known(origin, clock::wall())
    }

    /// Writes what the run learned, if that is new or if the file could not be read. Returns a note for the
    /// user, if there is one. Blocks the thread.
    pub(crate) fn keep(self, learned: &[(String, Learned)]) -> Option<String> {
        let is_new =
            self.wrong.is_some() || (!learned.is_empty() && after(&self.hosts, learned) != self.hosts);
        let Some(path) = self.path.filter(|_| is_new) else { return self.wrong };
        let kept = keep(&path, learned);
        let failed = |e| format!("could not write what was learned about hosts to {}: {e}", path.display());
        kept.map_err(failed).err().or(self.wrong)
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

/// Returns a copy of `hosts` to which the facts that a run learned are added.
fn after(hosts: &Hosts, learned: &[(String, Learned)]) -> Hosts {
    let mut hosts = hosts.clone();
    for (origin, learned) in learned {
        hosts.learn(origin, *learned, clock::wall());
    }
    hosts
}

/// Adds what a run learned to the facts in the file at `path`. Waits while another run writes the file.
///
/// # Errors
/// Returns an error if the file cannot be written, or if other runs do not finish writing it in time.
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
    let hosts = after(&read(path).unwrap_or_default(), learned);
    let new = beside(".new");
    // A run that was killed may have left this file.
    let _ = fs::remove_file(&new);
    let mut file = private().create_new(true).open(&new)?;
    file.write_all(&hosts.text())?;
    drop(file);
    crate::disk::file::rename(&new, path)
}

/// Returns the options for opening a file for writing. On Unix, only the owner may use a file that is created
/// with them.
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
    Err(io::Error::new(io::ErrorKind::WouldBlock, "other runs are writing this file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_core::concurrency::Level;

    const HOST: &str = "http://h:81";

    fn learned(connections: usize) -> Learned {
        Learned { connections: Some(connections), ..Learned::default() }
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
    fn a_malformed_hosts_file_is_reported_and_replaced() {
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
    fn a_run_that_learned_nothing_new_does_not_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.json");
        let level = |number| Level { number, goodput: Some(1e7), far: true };
        let best = |number| Learned { best: Some(level(number)), ..Learned::default() };
        assert_eq!(Memory::read(Some(&path)).keep(&[(HOST.into(), best(16))]), None);
        let written = || fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("it is there");
        let before = written();
        assert_eq!(Memory::read(Some(&path)).keep(&[(HOST.into(), best(16))]), None);
        assert_eq!(written(), before);
        assert_eq!(Memory::read(Some(&path)).keep(&[(HOST.into(), best(8))]), None);
        assert_eq!(Memory::read(Some(&path)).known(HOST), best(8));
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
