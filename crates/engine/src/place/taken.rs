//! The paths that the files of a run have, in the order of its input.
//!
//! Invariant: no two files of a run have the same target, partial file or journal, and none has the run's log. Which of
//! several files of one name gets which number depends on the order of the input alone.

use downhaul_core::event::JobId;
use downhaul_core::name::{JOURNAL, LONGEST, NEW_JOURNAL, PART, SafeName, same_file_key, side_files};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Beyond this many files of one name something else is wrong.
pub(super) const MOST_NUMBERED: u32 = 100_000;

/// What the names of files end in that belong to another one.
const ENDINGS: [&str; 3] = [PART, JOURNAL, NEW_JOURNAL];

/// The longest of them.
const LONGEST_ENDING: &str = NEW_JOURNAL;

/// What a job may have instead of the path that it wished for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// This path is the job's.
    Path,
    /// An earlier job asks for the same thing.
    Same,
    /// Another job has the path, and no other one will do.
    Taken,
}

/// The paths, as hashes: a run of a million files remembers them in some forty megabytes. Two paths that share a hash cost the
/// later one a number.
pub(super) struct Taken {
    names: Mutex<Names>,
    hasher: RandomState,
    /// What relative paths begin with: the folder that the run was started in.
    here: PathBuf,
}

#[derive(Default)]
struct Names {
    /// What each path was reserved for.
    taken: HashMap<u64, u64>,
    /// What got a number, by its path without it.
    numbered: HashSet<(u64, u64)>,
    /// The number to try next, for paths that were wished for more than once.
    next: HashMap<u64, u32>,
    /// The paths of jobs that are not over. The first is the one that was reserved.
    by: HashMap<JobId, Vec<PathBuf>>,
}

impl Taken {
    pub(super) fn new(reserved: &[PathBuf]) -> Self {
        let here = std::path::absolute(".").unwrap_or_default();
        let taken = Taken { names: Mutex::default(), hasher: RandomState::new(), here };
        for path in reserved {
            let hash = taken.hasher.hash_one(taken.key(path));
            taken.names().taken.insert(hash, 0);
        }
        taken
    }

    /// Reserves a path for a job. `what` it is for tells whether an earlier job is for the same. Where another job has the
    /// path, the next free number is taken if the name `may_change`.
    pub(super) fn reserve(&self, job: JobId, wished: &Path, what: u64, may_change: bool) -> Reserved {
        let key = self.key(wished);
        let base = self.hasher.hash_one(&key);
        let mut names = self.names();
        if self.is_free(&names, wished, key) {
            names.take(job, wished, base, what);
            return Reserved::Path;
        }
        if !may_change {
            return Reserved::Taken;
        }
        if names.taken.get(&base) == Some(&what) || !names.numbered.insert((base, what)) {
            return Reserved::Same;
        }
        let first = names.next.get(&base).copied().unwrap_or(1);
        for n in first..MOST_NUMBERED {
            let path = numbered(wished, n);
            if self.is_free(&names, &path, self.key(&path)) {
                names.next.insert(base, n + 1);
                names.take(job, &path, self.hash(&path), what);
                return Reserved::Path;
            }
        }
        Reserved::Taken
    }

    /// Takes a further path for a job. False if another job has it.
    pub(super) fn take(&self, job: JobId, path: &Path) -> bool {
        let mut names = self.names();
        if names.by.get(&job).is_some_and(|mine| mine.iter().any(|one| one == path)) {
            return true;
        }
        let free = self.is_free(&names, path, self.key(path));
        if free {
            names.take(job, path, self.hash(path), 0);
        }
        free
    }

    /// The path that was reserved for a job.
    pub(super) fn of(&self, job: JobId) -> Option<PathBuf> {
        self.names().by.get(&job)?.first().cloned()
    }

    /// The job is over: what it has taken stays so.
    pub(super) fn over(&self, job: JobId) {
        self.names().by.remove(&job);
    }

    /// Returns whether no other job has a path (of this key), or any that belongs to it while it is unfinished.
    fn is_free(&self, names: &Names, path: &Path, mut key: String) -> bool {
        let name = path.file_name().unwrap_or_default();
        if name.len() + LONGEST_ENDING.len() <= LONGEST {
            // As with nearly all files: the names of what belongs to it are its own with an ending.
            let base = key.len();
            let free = |key: &str| !names.taken.contains_key(&self.hasher.hash_one(key));
            let owners = ENDINGS.into_iter().filter_map(|ending| key.strip_suffix(ending));
            return owners.chain([key.as_str()]).all(free)
                && ENDINGS.into_iter().all(|ending| {
                    key.truncate(base);
                    key.push_str(ending);
                    free(&key)
                });
        }
        let side = side_files(path);
        let owner = path.to_string_lossy();
        let owners = ENDINGS.map(|ending| owner.strip_suffix(ending).map(PathBuf::from));
        let mut all =
            side.all().into_iter().chain([path]).chain(owners.iter().filter_map(|one| one.as_deref()));
        all.all(|path| !names.taken.contains_key(&self.hash(path)))
    }

    fn hash(&self, path: &Path) -> u64 {
        self.hasher.hash_one(self.key(path))
    }

    fn key(&self, path: &Path) -> String {
        // Without what says nothing: `./`, doubled slashes.
        let path: PathBuf = self.here.join(path).components().collect();
        same_file_key(&path.to_string_lossy())
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn take(&mut self, job: JobId, path: &Path, hash: u64, what: u64) {
        self.taken.insert(hash, what);
        self.by.entry(job).or_default().push(path.to_path_buf());
    }
}

/// `name (1).ext`; 0 is the name itself.
pub(super) fn numbered(base: &Path, n: u32) -> PathBuf {
    if n == 0 {
        return base.to_path_buf();
    }
    let file = base.file_name().unwrap_or_default().to_string_lossy();
    match SafeName::from_person(&file) {
        Ok(name) => base.with_file_name(name.numbered(n).as_str()),
        Err(_) => base.with_file_name(format!("{file} ({n})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path_of(taken: &Taken, job: JobId) -> String {
        taken.of(job).expect("a path").to_string_lossy().into_owned()
    }

    #[test]
    fn numbers_follow_the_order_of_the_input_and_equal_things_come_once() {
        let taken = Taken::new(&[PathBuf::from("log")]);
        let wished = Path::new("config.json");
        assert_eq!(taken.reserve(JobId::new(1), wished, 11, true), Reserved::Path);
        assert_eq!(taken.reserve(JobId::new(2), wished, 12, true), Reserved::Path);
        assert_eq!(taken.reserve(JobId::new(3), wished, 11, true), Reserved::Same);
        assert_eq!(taken.reserve(JobId::new(4), wished, 12, true), Reserved::Same);
        assert_eq!(taken.reserve(JobId::new(5), Path::new("./config.json"), 13, true), Reserved::Path);
        assert_eq!(taken.reserve(JobId::new(6), wished, 14, false), Reserved::Taken);
        assert_eq!(taken.reserve(JobId::new(7), Path::new("log"), 15, false), Reserved::Taken);
        assert_eq!(path_of(&taken, JobId::new(1)), "config.json");
        assert_eq!(path_of(&taken, JobId::new(2)), "config (1).json");
        assert_eq!(path_of(&taken, JobId::new(5)), "./config (2).json");
        assert!(taken.take(JobId::new(1), wished) && !taken.take(JobId::new(2), wished));
    }

    #[test]
    fn nothing_is_named_like_what_belongs_to_another_file_while_it_is_unfinished() {
        let taken = Taken::new(&[]);
        assert_eq!(taken.reserve(JobId::new(1), Path::new("a"), 1, false), Reserved::Path);
        assert_eq!(taken.reserve(JobId::new(2), Path::new("a.part"), 2, false), Reserved::Taken);
        assert_eq!(taken.reserve(JobId::new(3), Path::new("b.part.journal"), 3, false), Reserved::Path);
        assert_eq!(taken.reserve(JobId::new(4), Path::new("b"), 4, false), Reserved::Taken);
    }

    proptest! {
        #[test]
        fn no_two_jobs_share_a_path_and_the_same_input_gives_the_same_names(
            wishes in prop::collection::vec(("[ab]( \\(1\\))?(\\.part)?", 0..4_u64), 1..30),
        ) {
            let run = || {
                let taken = Taken::new(&[]);
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
            // What is left out is there already: the same thing was wished for before.
            for (n, path) in paths.iter().enumerate() {
                prop_assert!(path.is_some() || wishes[..n].iter().any(|(_, what)| *what == wishes[n].1));
            }
        }
    }
}
