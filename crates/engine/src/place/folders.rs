//! Remembers which names a folder contained when the run read the folder. Reading a folder once replaces
//! three checks for each file.
//!
//! Invariant: a path that is reported as free was free when its folder was read, and no job has found another
//! run or a file at the path since then. If a file appears there later, publishing the new file fails, unless
//! existing files are replaced, or the options accept an equal file. For a file with a journal, the path is
//! looked at again when the response arrives.

use super::taken::{MOST_NUMBERED, numbered};
use crate::disk::Disk;
use downhaul_core::identity::Identity;
use downhaul_core::name::{JOURNAL, LONGEST, NEW_JOURNAL, NumberForm, PART, same_file_key, unnumbered};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The highest number of names that are remembered for one folder, and for all folders together. More names
/// would take many megabytes, and reading them would take as long as thousands of checks.
const NAMES_MOST: usize = 200_000;

/// The longest tag in the name of a partial file, in bytes, with the dot before it
/// ([`tagged_side_files`](downhaul_core::name::tagged_side_files)).
const TAG_MOST: usize = 17;

/// The highest number of folders that are remembered. Few are needed, because files of one folder are usually
/// next to each other in a list.
const FOLDERS_MOST: usize = 256;

/// The numbers of equal names in containers (`name (1).ext`) are looked for one after the other. The search
/// ends after this many numbers in a row that no file has. Such gaps arise when a run is stopped: the files
/// in progress had numbers, but are not in a container. `-j auto` downloads up to 64 files at a time.
const GAP_MOST: u32 = 64;

pub(super) struct Folders {
    disk: Arc<dyn Disk>,
    /// The form of the numbers in names.
    numbers: NumberForm,
    hasher: RandomState,
    /// The folders by their paths. The keys are strings, because hashing a `Path` takes far longer.
    seen: Mutex<HashMap<OsString, Arc<Seen>>>,
    /// The hashes of the paths at which a job found a file, or found that another run uses the path. These
    /// paths no longer count as free. There are few of them.
    occupied: Mutex<HashSet<u64>>,
}

/// The names that were in a folder.
#[derive(Default)]
struct Seen {
    /// The hashes of all names, and of the names of the files to which partial files and journals belong. It
    /// is `None` if the folder could not be read or has too many names.
    names: Option<HashSet<u64>>,
    /// The numbers of names such as `name (1).ext`, by the hash of the name without the number. The name of a
    /// partial file counts as that of its file.
    numbers: HashMap<u64, Vec<u32>>,
    /// The numbers of the partial files with a tag, by the hash of the name without the number and the tag.
    /// The number of a name without a number is 0.
    tagged: HashMap<u64, Vec<u32>>,
}

impl Seen {
    /// Returns the number of names.
    fn len(&self) -> usize {
        self.names.as_ref().map_or(0, HashSet::len)
    }
}

impl Folders {
    pub(super) fn new(disk: Arc<dyn Disk>, numbers: NumberForm) -> Self {
        let (seen, occupied) = (Mutex::default(), Mutex::default());
        Folders { disk, numbers, hasher: RandomState::new(), seen, occupied }
    }

    /// Returns true if it is known that there was neither a file nor a partial file at this path when its
    /// folder was read, and if [`Folders::occupy`] was not called for the path. This reads nothing from the
    /// disk.
    pub(super) fn is_free(&self, path: &Path, identity: &Identity) -> bool {
        let occupied = self.occupied();
        if !occupied.is_empty() && occupied.contains(&self.hasher.hash_one(path)) {
            return false;
        }
        drop(occupied);
        if let Some(is_free) = self.disk.is_free(path, identity) {
            return is_free;
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let seen = self.seen().get(folder.as_os_str()).cloned();
        let Some(names) = seen.as_ref().and_then(|seen| seen.names.as_ref()) else { return false };
        if names.is_empty() {
            return true;
        }
        let name = name.to_string_lossy();
        // If a name is too long for a tag and an ending, the partial file and the journal have other names,
        // which are not checked here.
        name.len() + TAG_MOST + NEW_JOURNAL.len() < LONGEST && !names.contains(&self.hash(&name))
    }

    /// Records that this path is not free any more: another run uses it, or a file was found there.
    pub(super) fn occupy(&self, path: &Path) {
        self.occupied().insert(self.hasher.hash_one(path));
    }

    /// Returns true if the folder of a path was read.
    pub(super) fn has_read(&self, path: &Path) -> bool {
        path.parent().is_some_and(|folder| self.seen().contains_key(folder.as_os_str()))
    }

    /// Returns the sorted numbers of files and partial files whose names are that of `base` with a number.
    /// Blocks the thread, because this may read the folder.
    pub(super) fn numbers_of(&self, base: &Path, identity: &Identity) -> Vec<u32> {
        // On a disk of containers, no folder is read. So one number after the other is checked. Files that
        // were in progress when a run was stopped leave gaps.
        if self.disk.is_free(base, identity).is_some() {
            let is_used =
                |n: u32| self.disk.is_free(&numbered(base, n, self.numbers), identity) == Some(false);
            let mut numbers = Vec::new();
            let mut gap = 0;
            for n in 1..MOST_NUMBERED {
                gap = if is_used(n) { 0 } else { gap + 1 };
                match gap {
                    0 => numbers.push(n),
                    GAP_MOST => break,
                    _ => {}
                }
            }
            return numbers;
        }
        let (Some(folder), Some(name)) = (base.parent(), base.file_name()) else { return Vec::new() };
        let seen = self.seen_in(folder);
        seen.numbers.get(&self.hash(&name.to_string_lossy())).cloned().unwrap_or_default()
    }

    /// Returns the numbers of the files for which there was a partial file with the tag of this job when the
    /// folder was read. The names are those of `base`, without a number (0) or with one. Blocks the thread,
    /// because this may read the folder.
    pub(super) fn numbers_of_tagged(&self, base: &Path, identity: &Identity) -> Vec<u32> {
        let (Some(folder), Some(name)) = (base.parent(), base.file_name()) else { return Vec::new() };
        // In containers, the partial files of all names have other paths.
        if self.disk.is_free(base, identity).is_some() {
            return Vec::new();
        }
        let seen = self.seen_in(folder);
        if seen.tagged.is_empty() {
            return Vec::new();
        }
        let key = self.hash(&format!("{}.{}", name.to_string_lossy(), identity.tag()));
        seen.tagged.get(&key).cloned().unwrap_or_default()
    }

    /// Returns true if there were partial files with a tag when the folder of a path was read. This reads
    /// nothing from the disk.
    pub(super) fn has_tagged(&self, path: &Path) -> bool {
        let folder = path.parent().and_then(|folder| self.seen().get(folder.as_os_str()).cloned());
        folder.is_some_and(|seen| !seen.tagged.is_empty())
    }

    /// Reads the folder of a path, if it was not read yet. Blocks the thread.
    pub(super) fn look_through(&self, path: &Path) {
        if let Some(folder) = path.parent() {
            self.seen_in(folder);
        }
    }

    fn seen_in(&self, folder: &Path) -> Arc<Seen> {
        if let Some(seen) = self.seen().get(folder.as_os_str()) {
            return seen.clone();
        }
        // The mutex is not held while the disk is read, because other threads that use the mutex must not
        // wait for the disk.
        let mut seen = Seen::default();
        if let Some(names) = self.disk.names(folder, NAMES_MOST) {
            for name in &names {
                for whole in files_of(name) {
                    if let Some((base, number)) = unnumbered(whole, self.numbers) {
                        seen.numbers.entry(self.hash(&base)).or_default().push(number);
                    }
                }
                if let Some((file, tag)) = name.strip_suffix(PART).and_then(|part| part.rsplit_once('.')) {
                    let (base, number) = unnumbered(file, self.numbers).unwrap_or((file.into(), 0));
                    seen.tagged.entry(self.hash(&format!("{base}.{tag}"))).or_default().push(number);
                }
            }
            let mut hashes = HashSet::new();
            for name in names.iter().map(|name| same_file_key(name)) {
                hashes.extend(files_of(&name).map(|name| self.hash(name)));
            }
            seen.names = Some(hashes);
            for numbers in seen.numbers.values_mut() {
                numbers.sort_unstable();
                numbers.dedup();
            }
        }
        let mut all = self.seen();
        if let Some(seen) = all.get(folder.as_os_str()) {
            return seen.clone();
        }
        let names: usize = all.values().map(|seen| seen.len()).sum();
        if all.len() >= FOLDERS_MOST || names + seen.len() > NAMES_MOST {
            all.clear();
        }
        let seen = Arc::new(seen);
        all.insert(folder.into(), seen.clone());
        seen
    }

    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(same_file_key(name))
    }

    fn occupied(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.occupied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<OsString, Arc<Seen>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns this name, and if it is the name of a partial file or a journal, also the names of the files to
/// which the partial file or the journal may belong: the name without the ending, and the name without the
/// tag and the ending.
fn files_of(name: &str) -> impl Iterator<Item = &str> {
    let file = name.strip_suffix(PART).or_else(|| name.strip_suffix(JOURNAL));
    let untagged = file.and_then(|file| file.rsplit_once('.')).map(|(file, _)| file);
    [Some(name), file, untagged].into_iter().flatten()
}
