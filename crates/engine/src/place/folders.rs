//! What stood in the folders of a run when its first file came there: one look at a folder instead of three for each file.
//!
//! Invariant: what is said to be free was free when the folder was looked through. What appears later is found out by the
//! call that gives a file its name.

use crate::disk::Disk;
use downhaul_core::identity::Identity;
use downhaul_core::name::{LONGEST, PART, same_file_key, unnumbered};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A folder with more names is not remembered: that is some megabytes, and as long as a look at some thousand files takes.
const NAMES_MOST: usize = 200_000;

/// So many folders are remembered: lists name files of one folder next to each other.
const FOLDERS_MOST: usize = 256;

pub(super) struct Folders {
    disk: Arc<dyn Disk>,
    hasher: RandomState,
    seen: Mutex<HashMap<PathBuf, Arc<Seen>>>,
}

/// What was in a folder.
#[derive(Default)]
struct Seen {
    /// The hashes of all names; `None` if they are not known.
    names: Option<HashSet<u64>>,
    /// The numbers of names such as `name (1).ext`, by the hash of the name without it.
    numbers: HashMap<u64, Vec<u32>>,
}

impl Folders {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Folders { disk, hasher: RandomState::new(), seen: Mutex::default() }
    }

    /// Returns whether it is known that nothing stood at a path, nor a partial file of it. Asks no disk.
    pub(super) fn is_free(&self, path: &Path, identity: &Identity) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let seen = self.seen().get(folder).cloned();
        let Some(names) = seen.as_ref().and_then(|seen| seen.names.as_ref()) else { return false };
        if names.is_empty() {
            return true;
        }
        let (name, tag) = (name.to_string_lossy(), identity.tag());
        // Names without room for an ending have side files of other names.
        if name.len() + tag.len() + ".part.journal.new".len() >= LONGEST {
            return false;
        }
        let all = [name.to_string(), format!("{name}{PART}"), format!("{name}.{tag}{PART}")];
        all.iter().all(|name| !names.contains(&self.hash(name)))
    }

    /// The numbers of the files that stood beside `base` under its name and a number, in order. Looks the folder through if
    /// that was not done yet, and blocks.
    pub(super) fn numbers_of(&self, base: &Path) -> Vec<u32> {
        let (Some(folder), Some(name)) = (base.parent(), base.file_name()) else { return Vec::new() };
        let seen = self.seen_in(folder);
        seen.numbers.get(&self.hash(&name.to_string_lossy())).cloned().unwrap_or_default()
    }

    /// Looks the folder of a path through, once. Blocks.
    pub(super) fn look_through(&self, path: &Path) {
        if let Some(folder) = path.parent() {
            self.seen_in(folder);
        }
    }

    fn seen_in(&self, folder: &Path) -> Arc<Seen> {
        if let Some(seen) = self.seen().get(folder) {
            return seen.clone();
        }
        // Nothing is locked meanwhile: a disk may take its time, and what is known of other folders is asked for where no
        // disk may be waited for.
        let mut seen = Seen::default();
        if let Some(names) = self.disk.names(folder, NAMES_MOST) {
            for name in &names {
                // A partial file stands for its file.
                let whole = name.strip_suffix(PART).unwrap_or(name);
                if let Some((base, number)) = unnumbered(whole) {
                    seen.numbers.entry(self.hash(&base)).or_default().push(number);
                }
            }
            seen.names = Some(names.iter().map(|name| self.hash(name)).collect());
            for numbers in seen.numbers.values_mut() {
                numbers.sort_unstable();
                numbers.dedup();
            }
        }
        let mut all = self.seen();
        if let Some(seen) = all.get(folder) {
            return seen.clone();
        }
        if all.len() >= FOLDERS_MOST {
            all.clear();
        }
        let seen = Arc::new(seen);
        all.insert(folder.to_path_buf(), seen.clone());
        seen
    }

    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(same_file_key(name))
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Seen>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
