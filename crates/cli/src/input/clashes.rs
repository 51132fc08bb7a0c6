//! Finds names that two jobs cannot both have: the same name twice, or a file and a folder of the same name.

use downhaul_engine::core::job::{Destination, Job};
use downhaul_engine::core::name::{same_file_key, side_files};
use downhaul_engine::core::show;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

/// Describes the clash of two jobs with the same name. The text follows the word `would`.
pub(super) const SAME: &str = "have the same name";

/// Describes the clash of two jobs if the name of one job is a folder in the name of the other job. The text
/// follows the word `would`.
const A_FILE_AND_A_FOLDER: &str = "need a file and a folder of the same name";

/// The names that were added. They are kept as hashes of 64 bits, so that long lists need little memory. Two
/// different names with the same hash would be refused like equal names. For a million hashes, the
/// probability of that is one in 37 million.
#[derive(Default)]
pub(super) struct Names {
    seen: HashMap<u64, u64>,
    /// The folders in the names, each with the place of the first job that needs it.
    folders: HashMap<u64, u64>,
    hasher: RandomState,
}

/// A name that clashes with an earlier one.
pub(super) struct Clash {
    pub(super) name: String,
    /// The place of the earlier job in the input.
    pub(super) first: u64,
    /// Describes the clash. The text follows the word `would`.
    pub(super) what: &'static str,
}

impl Names {
    /// Adds the name of a job, if the user gave one.
    pub(super) fn add(&mut self, job: &Job, place: u64) -> Result<(), Clash> {
        let name = match &job.destination {
            Destination::Name(name) => name.to_string(),
            Destination::Path(path) => path.to_string_lossy().into_owned(),
            Destination::Server | Destination::Stdout | Destination::Stream(_) | Destination::Writer(_) => {
                return Ok(());
            }
        };
        let clash =
            |first: &u64, what| Err(Clash { name: show::escaped(&name).into_owned(), first: *first, what });
        let path = Path::new(&name);
        let needed: Vec<u64> = path.ancestors().skip(1).map(|folder| hash(&self.hasher, folder)).collect();
        if let Some(first) = needed.iter().find_map(|folder| self.seen.get(folder)) {
            return clash(first, A_FILE_AND_A_FOLDER);
        }
        // The names of the side files of an unfinished file are reserved too.
        for path in [path].into_iter().chain(side_files(path).all()) {
            let hash = hash(&self.hasher, path);
            if let Some(first) = self.seen.get(&hash) {
                return clash(first, SAME);
            }
            if let Some(first) = self.folders.get(&hash) {
                return clash(first, A_FILE_AND_A_FOLDER);
            }
            self.seen.insert(hash, place);
        }
        for folder in needed {
            self.folders.entry(folder).or_insert(place);
        }
        Ok(())
    }
}

fn hash(hasher: &RandomState, path: &Path) -> u64 {
    hasher.hash_one(same_file_key(&path.to_string_lossy()))
}
