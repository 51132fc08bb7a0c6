//! Finds names that two jobs cannot both have: the same name twice, a file and a folder of the same name, or
//! the name of one job that is also the name of a side file (a partial file or journal) of the other job.

use downhaul_engine::core::job::{Destination, Job, Url};
use downhaul_engine::core::name::{JOURNAL, NEW_JOURNAL, PART, same_file_key, side_files};
use downhaul_engine::core::show;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

/// Describes the clash of two jobs with the same name. The text follows the word `would`.
pub(super) const SAME: &str = "have the same name";

/// Describes the clash of two jobs if the name of one job is a folder in the name of the other job. The text
/// follows the word `would`.
const A_FILE_AND_A_FOLDER: &str = "need a file and a folder of the same name";

/// Describes the clash of two jobs if the file of one job would have the name of a side file (a partial file
/// or journal) of the other job. The text follows the word `would`.
const A_SIDE_FILE: &str =
    "clash, because the partial file or the journal of one file would have the name of the other file";

/// The place of a job in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the list, from 1. It is 0 for arguments.
    pub(super) list: usize,
    /// The number of the line, or of the argument.
    pub(super) line: u64,
}

/// The names that were added. They are kept as hashes of 64 bits, so that long lists need little memory. Two
/// different names with the same hash would be refused like equal names. For a million names, the probability
/// of such a mistake is less than one in a million.
#[derive(Default)]
pub(super) struct Names {
    /// The names, each with the place of its job and a hash of what the job downloads. The hash is 0 for jobs
    /// with headers, and for the names of side files (the partial file and the journal of an unfinished
    /// file). Two jobs with the hash 0 do not count as the same download.
    seen: HashMap<u64, (Place, u64)>,
    /// The folders in the names, each with the place of the first job that needs it.
    folders: HashMap<u64, Place>,
    hasher: RandomState,
}

/// A name that clashes with the name of an earlier job.
pub(super) struct Clash {
    pub(super) name: String,
    /// The place of the earlier job in the input.
    pub(super) first: Place,
    /// Describes the clash. The text follows the word `would`.
    pub(super) what: &'static str,
}

impl Names {
    /// Adds the name of a job, if the user gave one. Two jobs may have the same name if they download the
    /// same file, because the file is then fetched only once. This exception does not apply to jobs with
    /// headers, to names of `-o`, or to two jobs that are both from the arguments.
    ///
    /// # Errors
    /// Returns the clash, if the name clashes with the name of an earlier job.
    pub(super) fn add(&mut self, job: &Job, place: Place) -> Result<(), Clash> {
        let Some(name) = given_name(job) else { return Ok(()) };
        let what = download_hash(&self.hasher, job);
        let of_lists =
            |(first, other): &(Place, u64)| *other == what && what != 0 && (first.list, place.list) != (0, 0);
        let is_same = self.seen.get(&self.hash(Path::new(&name))).is_some_and(of_lists);
        if is_same && matches!(job.destination, Destination::Name(_)) {
            return Ok(());
        }
        let clash =
            |first: &Place, what| Err(Clash { name: show::escaped(&name).into_owned(), first: *first, what });
        let path = Path::new(&name);
        let needed: Vec<&Path> = path.ancestors().skip(1).collect();
        if let Some(first) = needed.iter().find_map(|folder| self.owner(folder)) {
            return clash(first, A_FILE_AND_A_FOLDER);
        }
        // While a file is unfinished, its side files exist, so their names must not clash either.
        let side = side_files(path);
        if let Some(first) = self.get(path) {
            return clash(first, SAME);
        }
        if let Some(first) = self.owner(path).or_else(|| side.all().iter().find_map(|path| self.get(path))) {
            return clash(first, A_SIDE_FILE);
        }
        let mut own = side.all().into_iter().chain([path]);
        if let Some(first) = own.find_map(|path| self.folders.get(&self.hash(path))) {
            return clash(first, A_FILE_AND_A_FOLDER);
        }
        self.seen.insert(self.hash(path), (place, what));
        // The side files of a file with a very long name have shortened names. `owner` cannot find these
        // names by their endings, so they are stored.
        if self.owner(&side.part).is_none() {
            for path in side.all() {
                self.seen.insert(self.hash(path), (place, 0));
            }
        }
        for folder in needed {
            self.folders.entry(self.hash(folder)).or_insert(place);
        }
        Ok(())
    }

    /// Stores this place for the name of a job, instead of the place of the earlier job with this name.
    pub(super) fn replace(&mut self, job: &Job, place: Place) {
        let Some(name) = given_name(job) else { return };
        let (hash, what) = (self.hash(Path::new(&name)), download_hash(&self.hasher, job));
        self.seen.insert(hash, (place, what));
    }

    /// Returns the place of the job that has this name, or of the job with a side file of this name.
    fn owner(&self, path: &Path) -> Option<&Place> {
        let text = path.to_str()?;
        let owners = [PART, JOURNAL, NEW_JOURNAL].into_iter().filter_map(|ending| text.strip_suffix(ending));
        [text].into_iter().chain(owners).find_map(|path| self.get(Path::new(path)))
    }

    fn get(&self, path: &Path) -> Option<&Place> {
        self.seen.get(&self.hash(path)).map(|(place, _)| place)
    }

    fn hash(&self, path: &Path) -> u64 {
        self.hasher.hash_one(same_file_key(&path.to_string_lossy()))
    }
}

/// Returns a hash of what a job downloads. It is 0 for a job with headers, since the headers may decide which
/// file the server sends.
pub(super) fn download_hash(hasher: &RandomState, job: &Job) -> u64 {
    if !job.headers.0.is_empty() {
        return 0;
    }
    let urls: Vec<&str> = job.urls.iter().map(Url::as_str).collect();
    let digests: Vec<String> = job.expected.iter().map(|one| one.digest.to_string()).collect();
    let chunks = job.chunks.as_ref().map(|chunks| (chunks.length, &chunks.digests));
    hasher.hash_one((urls, digests, job.size, chunks)).max(1)
}

/// Returns the name that the user gave the file of a job.
pub(super) fn given_name(job: &Job) -> Option<String> {
    match &job.destination {
        Destination::Name(name) => Some(name.to_string()),
        Destination::Path(path) => Some(path.to_string_lossy().into_owned()),
        Destination::Server | Destination::Stdout | Destination::Stream(_) | Destination::Writer(_) => None,
    }
}

/// Returns the folders in a name, such as `a` and `a/b` for `a/b/c`.
pub(super) fn folders(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}
