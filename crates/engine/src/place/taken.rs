//! Reserves the paths of a run's files, in the order of its input.
//!
//! Invariant: no two files of a run have the same final path, partial file or journal, and none has the path
//! of the log. If lists or URLs give several files the same name, the numbers in their new names depend only
//! on the order of the input. If servers give the same name, the numbers depend on the order of the
//! responses. No file has the path of a folder that another file needs. If the name of the later one of these
//! two files may change, the name of this file or of its folder gets a number. The paths of a job that has
//! ended are free again with [`releases_names`](downhaul_core::settings::Settings::releases_names). Without
//! this setting, only its first path is free again, if no other job of the list can have it.

use super::hashes::Hashes;
use downhaul_core::event::JobId;
use downhaul_core::name::{JOURNAL, NEW_JOURNAL, NumberForm, PART, SafeName, same_file_key, side_files};
use foldhash::{HashMap, HashSet};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The highest number of files that may have the same name, apart from the number in it. More such files
/// are probably a mistake.
pub(super) const MOST_NUMBERED: u32 = 100_000;

/// The endings of side files (the partial file and the journals).
const ENDINGS: [&str; 3] = [PART, JOURNAL, NEW_JOURNAL];

/// The result of a reservation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// The job has a path.
    Path,
    /// An earlier job of the run downloads the same file, to this path.
    Same(PathBuf),
    /// The path or one of its folders is not free, and a numbered name is not possible: the name must not
    /// change, a folder of the path is a file or a side file of this run, or all numbered forms are in use.
    Taken,
}

/// The reserved paths, as hashes. A million files take 18 MiB. If two different paths have the same hash, the
/// second one counts as taken. With a million files, the probability of that is less than one in a million.
pub(super) struct ReservedPaths {
    names: Mutex<Names>,
    hasher: RandomState,
    /// The folder in which the run was started. Relative paths begin there.
    here: PathBuf,
    /// The form of the numbers in names.
    numbers: NumberForm,
}

#[derive(Default)]
struct Names {
    /// A number for the hash of each reserved path. If the path was reserved when a job was queued, the
    /// number is the hash of the job's download. For other paths, the number is 0.
    taken: Hashes,
    /// The hashes of the folders that the files at reserved paths need. If a folder is here, all folders
    /// above it are here too. The number of a folder counts the files at reserved paths and the folders of
    /// this map that are directly in it.
    folders: HashMap<u64, u32>,
    /// The number in the name of each download whose name got a number. The key is a pair: the hash of its
    /// path without the number, and the hash of the download.
    numbered: HashMap<(u64, u64), u32>,
    /// The keys in `numbered` of jobs that have not ended.
    number_of: HashMap<JobId, (u64, u64)>,
    /// The numbers that are tried next for a path. The key is the hash of the path without a number.
    next: HashMap<u64, NextNumbers>,
    /// The paths of jobs that have not ended. The first path of each job was reserved when the job was
    /// queued.
    by: HashMap<JobId, Vec<PathBuf>>,
    /// The jobs whose first paths are forgotten when the jobs end.
    forgotten: HashSet<JobId>,
    /// True if the path of a job that ended was forgotten. The jobs of [`ReservedPaths::forget`] do not
    /// count.
    has_forgotten: bool,
    /// True if there was a reserved path, or a folder of a reserved path, whose name has one of the
    /// [`ENDINGS`]. Only such a path can be equal to the path of a side file.
    has_endings: bool,
    last: LastFolder,
}

/// The numbers that are tried next for a name.
#[derive(Default)]
struct NextNumbers {
    /// The numbers of jobs that were removed. They are tried first.
    freed: BTreeSet<u32>,
    /// The highest number that was used.
    highest: u32,
}

/// The folder that was looked up last. Files of one folder are usually next to each other in a list, and
/// computing a key takes longer than all other work for a path.
#[derive(Default)]
struct LastFolder {
    path: PathBuf,
    /// The key of the path. It is empty if no folder was looked up.
    key: String,
    /// The hash of the key.
    hash: u64,
}

impl ReservedPaths {
    pub(super) fn new(reserved: &[PathBuf], numbers: NumberForm) -> Self {
        let here = std::path::absolute(".").unwrap_or_default();
        let taken = ReservedPaths { names: Mutex::default(), hasher: RandomState::new(), here, numbers };
        for path in reserved {
            let mut names = taken.names();
            let key = taken.key(&names, path);
            names.has_endings |= has_ending(&key);
            names.taken.insert(taken.hasher.hash_one(&key), 0);
        }
        taken
    }

    /// Reserves a path for a job, unless an earlier job downloads the same file. `what` is a hash of what the
    /// job downloads. If the path is not free, and `may_change` is true, the name gets the next free number.
    pub(super) fn reserve(&self, job: JobId, wished: &Path, what: u64, may_change: bool) -> Reserved {
        let mut names = self.names();
        let has_folders = self.has_folders(&mut names, wished);
        let key = self.key(&names, wished);
        let base = self.hasher.hash_one(&key);
        if has_folders && self.is_free(&names, wished, (&key, base)) {
            names.take(job, wished, (&key, base), what);
            return Reserved::Path;
        }
        if names.taken.get(base) == Some(what) {
            return Reserved::Same(wished.into());
        }
        if !may_change || !has_folders {
            return Reserved::Taken;
        }
        if let Some(&n) = names.numbered.get(&(base, what)) {
            return Reserved::Same(numbered(wished, n, self.numbers));
        }
        let mut next = names.next.remove(&base).unwrap_or_default();
        let mut all = next.freed.iter().copied().chain(next.highest + 1..MOST_NUMBERED);
        let found = all.find_map(|n| {
            let path = numbered(wished, n, self.numbers);
            let key = self.key(&names, &path);
            let hash = self.hasher.hash_one(&key);
            self.is_free(&names, &path, (&key, hash)).then_some((n, path, key, hash))
        });
        if let Some((n, path, key, hash)) = &found {
            next.freed.remove(n);
            next.highest = next.highest.max(*n);
            names.numbered.insert((base, what), *n);
            names.number_of.insert(job, (base, what));
            names.take(job, path, (key, *hash), what);
        }
        names.next.insert(base, next);
        if found.is_some() { Reserved::Path } else { Reserved::Taken }
    }

    /// Reserves the folders of the path of a job, so that no later file gets the path of such a folder.
    pub(super) fn keep_folders(&self, job: JobId) {
        let mut names = self.names();
        if let Some(path) = names.by.get(&job).and_then(|paths| paths.first()).cloned() {
            self.add_folders(&mut names, &path);
        }
    }

    /// Returns this path. A folder of the path gets a number if a file or a side file of this run has the
    /// path of the folder.
    pub(super) fn in_folders(&self, path: PathBuf) -> PathBuf {
        let mut names = self.names();
        if self.has_folders(&mut names, &path) { path } else { self.numbered_folders(&names, &path) }
    }

    /// Reserves a further path for a job. Returns true if this job can have the path, or has it already. If
    /// the job was removed or has ended in the meantime, nothing is reserved.
    pub(super) fn take(&self, job: JobId, path: &Path) -> bool {
        let mut names = self.names();
        if names.by.get(&job).is_some_and(|mine| mine.iter().any(|one| one == path)) {
            return true;
        }
        let has_folders = self.has_folders(&mut names, path);
        let key = self.key(&names, path);
        let hash = self.hasher.hash_one(&key);
        let free = has_folders && self.is_free(&names, path, (&key, hash));
        if free && names.by.contains_key(&job) {
            names.take(job, path, (&key, hash), 0);
            self.add_folders(&mut names, path);
        }
        free
    }

    /// Returns the first path that was reserved for a job. Returns `None` if it has no path, or has ended.
    pub(super) fn of(&self, job: JobId) -> Option<PathBuf> {
        self.names().by.get(&job)?.first().cloned()
    }

    /// Returns true if paths were reserved for more than one job, or if the path of a job that ended was
    /// forgotten. The jobs of [`ReservedPaths::forget`] do not count.
    pub(super) fn has_several(&self) -> bool {
        let names = self.names();
        // The hash 0 stands for the paths of `Settings::reserved`, such as the log, and for further paths.
        names.has_forgotten || names.taken.numbers().filter(|what| *what != 0).take(2).count() > 1
    }

    /// Notes that the first path of a job is forgotten when the job ends. No other job may need that path.
    pub(super) fn forget_at_end(&self, job: JobId) {
        self.names().forgotten.insert(job);
    }

    /// Forgets a job that has ended. Its paths stay reserved, except for the first path if
    /// [`ReservedPaths::forget_at_end`] was called.
    pub(super) fn over(&self, job: JobId) {
        let mut names = self.names();
        names.number_of.remove(&job);
        let paths = names.by.remove(&job);
        if names.forgotten.remove(&job)
            && let Some(first) = paths.iter().flatten().next()
        {
            let hash = self.hash(&names, first);
            names.taken.remove(hash);
            names.has_forgotten = true;
        }
    }

    /// Forgets a job that was removed, and all its paths, so that the job can be added again. The paths of
    /// other jobs that have ended stay reserved.
    pub(super) fn forget(&self, job: JobId) {
        let mut names = self.names();
        self.free_paths(&mut names, job);
        if let Some(key) = names.number_of.remove(&job)
            && let Some(n) = names.numbered.remove(&key)
        {
            names.next.entry(key.0).or_default().freed.insert(n);
        }
    }

    /// Forgets a job that has ended, and all its paths, so that other jobs can have these paths.
    pub(super) fn release(&self, job: JobId) {
        let mut names = self.names();
        self.free_paths(&mut names, job);
        names.has_forgotten = true;
        if let Some(key) = names.number_of.remove(&job) {
            names.numbered.remove(&key);
        }
        if names.by.is_empty() {
            names.next.clear();
        }
    }

    /// Makes the paths of a job free again.
    fn free_paths(&self, names: &mut Names, job: JobId) {
        // If a job is in `forgotten`, the folders of its first path were never added.
        let has_no_folders = names.forgotten.remove(&job);
        for (n, path) in names.by.remove(&job).into_iter().flatten().enumerate() {
            let hash = self.hash(names, &path);
            names.taken.remove(hash);
            if n > 0 || !has_no_folders {
                self.remove_folders(names, &path);
            }
        }
    }

    /// Adds the folders of a reserved path.
    fn add_folders(&self, names: &mut Names, path: &Path) {
        for folder in path.ancestors().skip(1) {
            let hash = self.look_up(names, folder);
            let number = names.folders.entry(hash).or_default();
            *number += 1;
            if *number > 1 {
                break;
            }
            names.has_endings |= has_ending(&names.last.key);
        }
    }

    /// Removes the folders that only this path needed.
    fn remove_folders(&self, names: &mut Names, path: &Path) {
        for folder in path.ancestors().skip(1) {
            let hash = self.look_up(names, folder);
            let Some(number) = names.folders.get_mut(&hash) else { break };
            *number -= 1;
            if *number > 0 {
                break;
            }
            names.folders.remove(&hash);
        }
    }

    /// Returns true if no folder of a path has the path of a file of this run, or of its side files.
    fn has_folders(&self, names: &mut Names, path: &Path) -> bool {
        for folder in path.ancestors().skip(1) {
            let hash = self.look_up(names, folder);
            if names.folders.contains_key(&hash) {
                return true;
            }
            if self.is_of_a_file(names, &names.last.key) {
                return false;
            }
        }
        true
    }

    /// Records that this folder was looked up last, and returns the hash of its key.
    fn look_up(&self, names: &mut Names, folder: &Path) -> u64 {
        if names.last.key.is_empty() || names.last.path.as_os_str() != folder.as_os_str() {
            let key = self.full_key(folder);
            names.last = LastFolder { path: folder.into(), hash: self.hasher.hash_one(&key), key };
        }
        names.last.hash
    }

    /// Returns the path with the numbers that [`ReservedPaths::in_folders`] describes.
    fn numbered_folders(&self, names: &Names, path: &Path) -> PathBuf {
        let (Some(folder), Some(file)) = (path.parent(), path.file_name()) else { return path.into() };
        let folder = self.numbered_folders(names, folder);
        let forms = (0..MOST_NUMBERED).map(|n| numbered(&folder, n, self.numbers));
        let free = forms.into_iter().find(|form| !self.is_of_a_file(names, &self.key(names, form)));
        free.unwrap_or(folder).join(file)
    }

    /// Returns true if the path with this key is reserved, or is the path of a side file of a reserved path.
    fn is_of_a_file(&self, names: &Names, key: &str) -> bool {
        names.taken.contains(self.hasher.hash_one(key)) || self.is_side_file(names, key)
    }

    /// Returns true if the path with this key is the path of a side file of a reserved path.
    fn is_side_file(&self, names: &Names, key: &str) -> bool {
        let mut owners = ENDINGS.into_iter().filter_map(|ending| key.strip_suffix(ending));
        owners.any(|owner| names.taken.contains(self.hasher.hash_one(owner)))
    }

    /// Returns true if a file can get this path. This path and the paths of its side files must be free: none
    /// of them is reserved, and none is a folder of a reserved path. This path must also not be the path of a
    /// side file of a reserved path. `key` is the key of this path, and `hash` is the hash of the key.
    fn is_free(&self, names: &Names, path: &Path, (key, hash): (&str, u64)) -> bool {
        let are_side_files_free = || {
            !names.has_endings
                || side_files(path).all().iter().all(|side| names.is_free(self.hash(names, side)))
        };
        names.is_free(hash) && !self.is_side_file(names, key) && are_side_files_free()
    }

    fn hash(&self, names: &Names, path: &Path) -> u64 {
        self.hasher.hash_one(self.key(names, path))
    }

    /// Returns the key of a path. These ways to write a path have the same key: `a`, `./a` and the absolute
    /// path, and on macOS and Windows also `A`.
    fn key(&self, names: &Names, path: &Path) -> String {
        let LastFolder { path: folder, key, .. } = &names.last;
        let is_in_it = path.parent().is_some_and(|parent| parent.as_os_str() == folder.as_os_str());
        let Some(name) = path.file_name().filter(|_| is_in_it && !key.is_empty()) else {
            return self.full_key(path);
        };
        let mut key = key.clone();
        if !key.ends_with(MAIN_SEPARATOR) {
            key.push(MAIN_SEPARATOR);
        }
        key + &same_file_key(&name.to_string_lossy())
    }

    /// Returns the key of a path without the help of the folder that was looked up last.
    fn full_key(&self, path: &Path) -> String {
        // Splitting a path into its components removes `./` and doubled slashes, which have no meaning.
        let path: PathBuf = self.here.join(path).components().collect();
        same_file_key(&path.to_string_lossy())
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    /// Returns true if the path with this hash is neither reserved nor a folder of a reserved path.
    fn is_free(&self, hash: u64) -> bool {
        !self.taken.contains(hash) && !self.folders.contains_key(&hash)
    }

    /// Reserves a path for a job. `key` is the key of the path, and `hash` is the hash of the key. `what` is
    /// a hash of what the job downloads, or 0 if the path is reserved after the job was queued.
    fn take(&mut self, job: JobId, path: &Path, (key, hash): (&str, u64), what: u64) {
        self.has_endings |= has_ending(key);
        self.taken.insert(hash, what);
        self.by.entry(job).or_default().push(path.to_path_buf());
    }
}

/// Returns true if the path with this key has one of the [`ENDINGS`].
fn has_ending(key: &str) -> bool {
    ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// Returns `base` with the number `n` in its name, such as `name (1).ext`. For 0, returns `base` itself.
pub(super) fn numbered(base: &Path, n: u32, form: NumberForm) -> PathBuf {
    if n == 0 {
        return base.to_path_buf();
    }
    let file = base.file_name().unwrap_or_default().to_string_lossy();
    match SafeName::from_person(&file) {
        Ok(name) => base.with_file_name(name.numbered(n, form).as_str()),
        Err(_) if form == NumberForm::Dot => base.with_file_name(format!("{file}.{n}")),
        Err(_) => base.with_file_name(format!("{file} ({n})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path_of(taken: &ReservedPaths, job: JobId) -> String {
        // On Windows, a path whose name got a number has a backslash before the name.
        taken.of(job).expect("a path").to_string_lossy().replace('\\', "/")
    }

    #[test]
    fn equal_names_are_numbered_in_the_order_of_the_input_and_equal_jobs_are_one() {
        let taken = ReservedPaths::new(&[PathBuf::from("log")], NumberForm::Parentheses);
        let wished = Path::new("config.json");
        assert_eq!(taken.reserve(JobId::new(1), wished, 11, true), Reserved::Path);
        assert_eq!(taken.reserve(JobId::new(2), wished, 12, true), Reserved::Path);
        let same = |path: &str| Reserved::Same(path.into());
        assert_eq!(taken.reserve(JobId::new(3), wished, 11, true), same("config.json"));
        assert_eq!(taken.reserve(JobId::new(4), wished, 12, true), same("config (1).json"));
        assert_eq!(taken.reserve(JobId::new(5), Path::new("./config.json"), 13, true), Reserved::Path);
        assert_eq!(taken.reserve(JobId::new(6), wished, 14, false), Reserved::Taken);
        assert_eq!(taken.reserve(JobId::new(7), Path::new("log"), 15, false), Reserved::Taken);
        assert_eq!(taken.reserve(JobId::new(8), wished, 11, false), same("config.json"));
        assert_eq!(path_of(&taken, JobId::new(1)), "config.json");
        assert_eq!(path_of(&taken, JobId::new(2)), "config (1).json");
        assert_eq!(path_of(&taken, JobId::new(5)), "./config (2).json");
        assert!(taken.take(JobId::new(1), wished) && !taken.take(JobId::new(2), wished));
    }

    #[test]
    fn a_path_is_forgotten_at_the_end_of_its_job_only_if_that_was_asked_for() {
        let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
        let (one, two, path) = (JobId::new(1), JobId::new(2), Path::new("a"));
        assert_eq!(taken.reserve(one, path, 1, false), Reserved::Path);
        taken.forget_at_end(one);
        assert!(!taken.take(two, path) && !taken.has_several());
        taken.over(one);
        assert_eq!(taken.reserve(two, Path::new("b"), 2, false), Reserved::Path);
        assert!(taken.take(two, path) && taken.has_several());
        taken.over(two);
        assert!(!taken.take(one, path));
    }

    #[test]
    fn no_job_gets_the_path_of_a_partial_file_or_a_journal_of_another_job() {
        let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
        assert_eq!(taken.reserve(JobId::new(1), Path::new("a"), 1, false), Reserved::Path);
        assert_eq!(taken.reserve(JobId::new(2), Path::new("a.part"), 2, false), Reserved::Taken);
        assert_eq!(taken.reserve(JobId::new(3), Path::new("b.part.journal"), 3, false), Reserved::Path);
        assert_eq!(taken.reserve(JobId::new(4), Path::new("b"), 4, false), Reserved::Taken);
    }

    #[test]
    fn no_file_gets_the_path_of_a_folder_of_another_file() {
        let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
        let reserve = |job: u64, path: &str, may_change: bool| {
            let (job, path) = (JobId::new(job), PathBuf::from(path));
            let path = if may_change { taken.in_folders(path) } else { path };
            let reserved = taken.reserve(job, &path, job.get(), may_change);
            taken.keep_folders(job);
            if reserved == Reserved::Path { path_of(&taken, job) } else { format!("{reserved:?}") }
        };
        for (job, (wished, may_change, path)) in [
            ("d/n", true, "d/n"),
            ("d/n/m", true, "d/n (1)/m"),
            ("d/n/o/p", true, "d/n (1)/o/p"),
            ("d/n/q", false, "Taken"),
            ("d/n (1)/o", true, "d/n (1)/o (1)"),
            ("d", true, "d (1)"),
            ("d/n.part/x", true, "d/n (1).part/x"),
            ("e.part/x", true, "e.part/x"),
            ("e", true, "e (1)"),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(reserve(job as u64 + 1, wished, may_change), path, "{wished}");
        }
        assert!(
            !taken.take(JobId::new(20), Path::new("d")) && !taken.take(JobId::new(20), Path::new("d/n/r"))
        );
    }

    #[test]
    fn released_jobs_leave_no_folders_behind() {
        let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
        let paths = ["a/b/c", "a/b/d", "a/e", "f", "a/b/c/g", "./a/h", "i/j"];
        for (n, path) in (1..).zip(paths) {
            if taken.reserve(JobId::new(n), Path::new(path), n, true) == Reserved::Path {
                taken.keep_folders(JobId::new(n));
            }
            assert!(taken.take(JobId::new(n), Path::new(&format!("k/{path}/l"))));
        }
        (1..).zip(paths).for_each(|(n, _)| taken.release(JobId::new(n)));
        let names = taken.names();
        assert_eq!((names.folders.len(), names.taken.numbers().count()), (0, 0));
    }

    #[test]
    fn the_key_of_a_path_does_not_depend_on_the_folder_that_was_looked_up_last() {
        let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
        let paths = [
            "a",
            "./a",
            "d/a",
            "d//a",
            "d/./a",
            "d/a/.",
            "d/../a",
            "d/..",
            "d/",
            "/",
            "/a",
            "/d/a",
            "\u{3a3}/A",
        ];
        for last in paths {
            for path in paths.map(Path::new) {
                let mut names = Names::default();
                taken.look_up(&mut names, Path::new(last).parent().unwrap_or(Path::new("")));
                assert_eq!(taken.key(&names, path), taken.full_key(path), "{} after {last}", path.display());
            }
        }
    }

    #[test]
    fn a_removed_job_can_be_added_again_and_other_paths_stay_reserved() {
        let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
        let reserve = |job: u64, what| match taken.reserve(JobId::new(job), Path::new("a"), what, true) {
            Reserved::Path => path_of(&taken, JobId::new(job)),
            other => format!("{other:?}"),
        };
        assert_eq!([reserve(1, 11), reserve(2, 12), reserve(3, 13)], ["a", "a (1)", "a (2)"]);
        taken.over(JobId::new(1));
        taken.over(JobId::new(3));
        taken.forget(JobId::new(2));
        assert_eq!(
            [reserve(4, 12), reserve(5, 11), reserve(6, 13)],
            ["a (1)", "Same(\"a\")", "Same(\"a (2)\")"]
        );
    }

    #[test]
    fn a_removed_job_reserves_no_path_and_does_not_count_as_another_job() {
        let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
        let (one, two, path) = (JobId::new(1), JobId::new(2), Path::new("a"));
        assert_eq!(taken.reserve(one, path, 11, false), Reserved::Path);
        taken.forget(one);
        // The job was removed while a path with the server's name for the file was being chosen.
        assert!(taken.take(one, Path::new("b")));
        assert_eq!(taken.reserve(two, path, 11, false), Reserved::Path);
        assert!(taken.take(two, Path::new("b")) && !taken.has_several());
    }

    #[test]
    fn the_numbers_of_removed_jobs_are_used_again() {
        let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
        let reserve = |job: u64| match taken.reserve(JobId::new(job), Path::new("a"), job, true) {
            Reserved::Path => path_of(&taken, JobId::new(job)),
            other => format!("{other:?}"),
        };
        assert_eq!([0, 1, 2, 3, 4].map(reserve), ["a", "a (1)", "a (2)", "a (3)", "a (4)"]);
        for job in [3, 1] {
            taken.forget(JobId::new(job));
        }
        assert_eq!([5, 6, 7].map(reserve), ["a (1)", "a (3)", "a (5)"]);
        (0..8).for_each(|job| taken.forget(JobId::new(job)));
        let names = taken.names();
        assert_eq!((names.numbered.len(), names.number_of.len(), names.by.len()), (0, 0, 0));
    }

    #[test]
    fn a_folder_that_only_a_released_job_needed_is_a_free_name() {
        let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
        let reserve = |job, path: &str| {
            let reserved = taken.reserve(JobId::new(job), Path::new(path), job, false);
            taken.keep_folders(JobId::new(job));
            reserved
        };
        assert_eq!(reserve(1, "a/b"), Reserved::Path);
        assert_eq!(reserve(2, "c/d"), Reserved::Path);
        assert_eq!(reserve(3, "a"), Reserved::Taken);
        taken.release(JobId::new(1));
        assert_eq!((reserve(4, "a"), reserve(5, "c")), (Reserved::Path, Reserved::Taken));
    }

    proptest! {
        #[test]
        fn no_two_jobs_share_a_path_and_the_same_input_gives_the_same_names(
            wishes in prop::collection::vec(("[ab]( \\(1\\))?(\\.part)?", 0..4_u64), 1..30),
        ) {
            let run = || {
                let taken = ReservedPaths::new(&[], NumberForm::Parentheses);
                let reserve = |(job, (name, what)): (usize, &(String, u64))| {
                    let job = JobId::new(job as u64);
                    let reserved = taken.reserve(job, Path::new(name), *what, true);
                    (reserved == Reserved::Path).then(|| taken.of(job)).flatten()
                };
                wishes.iter().enumerate().map(reserve).collect::<Vec<_>>()
            };
            let paths = run();
            prop_assert_eq!(&paths, &run());
            let mut all: Vec<&PathBuf> = paths.iter().flatten().collect();
            all.sort();
            let before = all.len();
            all.dedup();
            prop_assert_eq!(all.len(), before);
            // A job without a path downloads the same file as an earlier job.
            for (n, path) in paths.iter().enumerate() {
                prop_assert!(path.is_some() || wishes[..n].iter().any(|(_, what)| *what == wishes[n].1));
            }
        }
    }
}
