//! [`AllNames`]: the names of all jobs of long lists, as hashes (keys). It finds the names that several jobs
//! have, and the jobs whose names may clash.
//!
//! Invariant: if a temporary file can be written, at most a few MiB of keys are in memory, apart from the
//! keys of the names that several jobs have. Otherwise, all keys are in memory.

use super::clashes::{download_hash, folders, given_name};
use super::sorter::{Pair, Sorter};
use downhaul_engine::core::job::{Destination, Job};
use downhaul_engine::core::listed_names::{ListedNames, UNUSED, key};
use downhaul_engine::core::name::Naming;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;

/// The kind of the name of a folder. The kind of a name is stored in those bits of its key that the hash does
/// not use ([`UNUSED`]).
const FOLDER: u64 = 0;
/// The kind of the name of a file if the user did not give the name, or if a document gives the name.
const FILE: u64 = 1;
/// The kind of the name of a file that the user gave.
const GIVEN: u64 = 2;

/// The hash for a download that is never counted as equal to another download.
const UNIQUE: u64 = 0;

/// The names of all jobs of long lists.
pub(super) struct AllNames {
    /// The keys of the names. If the user gave the name, the key is paired with a hash of the download. All
    /// other keys are paired with [`UNIQUE`], and so are paths of `-o` and the names of jobs with headers.
    keys: Sorter,
    /// The number of names of files that were added.
    files: u64,
    /// The folder of the name that was added last.
    last_folder: String,
    hasher: RandomState,
    naming: Naming,
}

/// The keys of the names that may clash, in ascending order. A name may clash if the user gave it to
/// different downloads, or if the user gave it to a file and it is also the name of a folder.
pub(super) struct Suspects(Vec<u64>);

impl AllNames {
    /// Returns an empty set of names. The temporary file is in one of these `folders`.
    pub(super) fn new(folders: Vec<PathBuf>, naming: Naming) -> AllNames {
        let keys = Sorter::new(folders, |(key, _)| key & UNUSED == FOLDER);
        AllNames { keys, files: 0, last_folder: String::new(), hasher: RandomState::new(), naming }
    }

    pub(super) fn add(&mut self, job: &Job) {
        let given = given_name(job);
        let listed = self.naming.name_for(job, None);
        if let Some(listed) = listed.filter(|listed| given.as_deref() != Some(listed.as_str())) {
            self.add_file(listed.as_str(), FILE, UNIQUE);
            self.add_folders(listed.as_str());
        }
        let Some(given) = given else { return };
        // Two jobs never share a path of `-o`, even if they download the same file.
        let may_be_same = matches!(job.destination, Destination::Name(_));
        let what = if may_be_same { download_hash(&self.hasher, job) } else { UNIQUE };
        let what = if what == UNIQUE { UNIQUE } else { self.hasher.hash_one((&given, what)).max(1) };
        self.add_file(&given, GIVEN, what);
        self.add_folders(&given);
    }

    fn add_folders(&mut self, name: &str) {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        if folder != self.last_folder {
            folders(name).for_each(|folder| self.keys.add((key(folder) | FOLDER, UNIQUE)));
            self.last_folder = folder.into();
        }
    }

    /// Adds the names of a job of a document. A clash of such a name is never a mistake of the list: if
    /// another file has the same name, only the file of the document fails, during the run.
    pub(super) fn add_of_a_document(&mut self, job: &Job) {
        let given = given_name(job);
        let listed = self.naming.name_for(job, None).map(|name| name.to_string());
        let listed = listed.filter(|listed| given.as_ref() != Some(listed));
        for name in given.into_iter().chain(listed) {
            self.add_file(&name, FILE, UNIQUE);
            self.add_folders(&name);
        }
    }

    fn add_file(&mut self, name: &str, kind: u64, what: u64) {
        self.files += 1;
        self.keys.add((key(name) | kind, what));
    }

    /// Returns the names for the run, and the names that may clash.
    ///
    /// # Errors
    /// Returns an error if the temporary file cannot be read.
    pub(super) fn end(self) -> io::Result<(ListedNames, Suspects)> {
        let mut names = ListedNames::with_room_for(self.files, self.naming);
        let mut suspects = Vec::new();
        let mut group = Group::default();
        for pair in self.keys.sorted() {
            let pair = pair?;
            if pair.0 & !UNUSED != group.key {
                group.end(&mut names, &mut suspects);
                group = Group { key: pair.0 & !UNUSED, ..Group::default() };
            }
            group.add(pair);
        }
        group.end(&mut names, &mut suspects);
        Ok((names, Suspects(suspects)))
    }
}

impl Suspects {
    /// Returns true if no name may clash.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the user gave a job a name that may clash with the name of another job.
    pub(super) fn has(&self, job: &Job) -> bool {
        let is_one = |name: &str| self.0.binary_search(&key(name)).is_ok();
        given_name(job).is_some_and(|name| is_one(&name) || folders(&name).any(is_one))
    }
}

/// The folders and files whose names have the same key.
#[derive(Default)]
struct Group {
    key: u64,
    has_folder: bool,
    files: u64,
    /// The hash of the download of the last file to which the user gave the name.
    given: Option<u64>,
    /// True if the user gave the name to files with different downloads.
    has_others: bool,
}

impl Group {
    fn add(&mut self, (key, what): Pair) {
        match key & UNUSED {
            FOLDER => self.has_folder = true,
            GIVEN => {
                self.has_others |= self.given.is_some_and(|first| first != what || what == UNIQUE);
                self.given = Some(what);
                self.files += 1;
            }
            _ => self.files += 1,
        }
    }

    fn end(&self, names: &mut ListedNames, suspects: &mut Vec<u64>) {
        if self.files > 0 {
            names.add(self.key, self.files > 1 || self.has_folder);
        }
        if self.has_others || (self.has_folder && self.given.is_some()) {
            suspects.push(self.key);
        }
    }
}
