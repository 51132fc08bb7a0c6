//! Locks a set of containers for the runs that write it.
//!
//! All runs that write a set at the same time must have the same number of shards, and each shard has one
//! run. A run without `--shard` counts as the run of the only shard. So a run holds two locks: it shares the
//! lock of the set with the runs of the other shards, and it alone holds the lock of its shard.
//!
//! Invariant: while runs share the lock of the set, the locked file states their number of shards. The file
//! is written only under an exclusive lock, which a run holds only at its start and at its end.

use crate::disk::file::{LockState, is_still_at, lock_state, open_and_lock, remove};
use crate::disk::{failure, platform};
use downhaul_core::containers::Numbers;
use downhaul_core::error::{Error, ErrorKind};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The time between two attempts to lock the set or a shard. Another run holds its locks for minutes or
/// hours, so a second does not matter.
const BETWEEN_RUNS: Duration = Duration::from_secs(1);

/// The time between two attempts while another run starts or ends.
const BETWEEN_STEPS: Duration = Duration::from_millis(50);

/// The highest number of attempts while another run starts or ends, without `--if-locked wait`. The other run
/// may first complete the unfinished containers of earlier runs, which may take minutes. With this number,
/// the attempts end after ten minutes.
const STEPS_MOST: u32 = 12_000;

/// The name of the locked file of the set.
const SET: &str = "set";

/// The locks of a run.
pub(super) struct SetLock {
    state: PathBuf,
    set: File,
    _shard: File,
}

/// The result of one attempt to share the lock of the set.
enum Attempt {
    Shared(File),
    /// Runs with another number of shards write the set.
    OtherShards,
    /// Another run starts or ends. The next attempt may succeed.
    Step,
}

impl SetLock {
    /// Locks a set for a run with these numbers. `state` is the folder of the locks, and `shown` names the
    /// set in messages. If earlier runs had another number of shards, or if that number is not known,
    /// `settle` is called to complete their containers. No other run writes the set during this call.
    ///
    /// # Errors
    /// Returns `file.locked` if another run excludes this one and `waits` is false, and otherwise the error
    /// of the system or of `settle`.
    pub(super) fn take(
        state: &Path,
        numbers: Numbers,
        shown: &Path,
        waits: bool,
        settle: impl Fn() -> Result<(), Error>,
    ) -> Result<SetLock, Error> {
        let locked = |why: &str| Error::new(ErrorKind::FileLocked, shown.to_string_lossy(), why);
        let mut steps = 0_u32;
        let set = loop {
            match attempt(state, numbers, &settle)? {
                Attempt::Shared(set) => break set,
                Attempt::OtherShards if waits => thread::sleep(BETWEEN_RUNS),
                Attempt::OtherShards => return Err(locked("the other run has another number of shards")),
                Attempt::Step if steps >= STEPS_MOST && !waits => return Err(locked("")),
                Attempt::Step => {
                    steps = steps.saturating_add(1);
                    thread::sleep(BETWEEN_STEPS);
                }
            }
        };
        let path = state.join(numbers.to_string());
        loop {
            match open_and_lock(&path, &path) {
                Ok((shard, _)) => return Ok(SetLock { state: state.into(), set, _shard: shard }),
                Err(error) if error.kind != ErrorKind::FileLocked => return Err(error),
                Err(_) if waits => thread::sleep(BETWEEN_RUNS),
                Err(_) => return Err(locked("")),
            }
        }
    }

    /// Releases the lock of the set at the end of the run. If no other run writes the set, calls `tidy`. If
    /// `tidy` returns true, removes the locks with their folders.
    pub(super) fn end(&self, tidy: impl FnOnce() -> bool) {
        // A file system without locks returns an error. On such a file system, other runs are not detected.
        let _ = self.set.unlock();
        if is_exclusive(&self.set, &self.state.join(SET)) && tidy() {
            remove_locks(&self.state);
        }
    }
}

/// Removes the locks with their folders. The caller makes sure that no other run uses them.
fn remove_locks(state: &Path) {
    let set = state.join(SET);
    let entries = fs::read_dir(state).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    files.map(|file| file.path()).filter(|file| *file != set).for_each(|file| remove(&file));
    remove(&set);
    let _ = fs::remove_dir(state);
    let _ = fs::remove_dir(state.parent().unwrap_or(state));
}

/// Tries to share the lock of the set.
fn attempt(state: &Path, numbers: Numbers, settle: impl Fn() -> Result<(), Error>) -> Result<Attempt, Error> {
    let path = &state.join(SET);
    let failed = |e| failure(&e, path);
    let shards = numbers.shards().to_string();
    match open_and_lock(path, path) {
        Ok((mut file, _)) => {
            let mut stated = String::new();
            let is_known = file.read_to_string(&mut stated).is_ok() && stated == shards;
            if !is_known {
                // An empty file states no number of shards, so no later run needs the file. Without the file,
                // a later run also calls `settle`.
                settle().inspect_err(|_| {
                    if stated.is_empty() {
                        remove_locks(state)
                    }
                })?;
                file.set_len(0).map_err(failed)?;
                platform::write_all_at(&file, 0, &[shards.clone().into()]).map_err(failed)?;
            }
            // The exclusive lock cannot become a shared one in one step, so another run may lock the set in
            // between.
            let _ = file.unlock();
        }
        Err(error) if error.kind != ErrorKind::FileLocked => return Err(error),
        Err(_) => {}
    }
    let mut file = match platform::open_part(path) {
        // Another run has ended, and has removed the file.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Attempt::Step),
        other => other.map_err(failed)?,
    };
    let is_shared = lock_state(file.try_lock_shared(), path)? == LockState::Ours;
    let meta = file.metadata().map_err(failed)?;
    if !is_shared || !platform::is_at(&file, &meta, path).map_err(failed)? {
        return Ok(Attempt::Step);
    }
    let mut stated = String::new();
    Ok(match file.read_to_string(&mut stated) {
        Ok(_) if stated == shards => Attempt::Shared(file),
        Ok(_) if stated.is_empty() => Attempt::Step,
        _ => Attempt::OtherShards,
    })
}

/// Tries to lock the set for this run only. Returns true if this run has the lock, and the path still leads
/// to the locked file.
fn is_exclusive(file: &File, path: &Path) -> bool {
    lock_state(file.try_lock(), path).is_ok_and(|state| state == LockState::Ours) && is_still_at(file, path)
}
