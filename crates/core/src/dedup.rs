//! Decides which complete files have the same bytes as another file (`--dedup`).
//!
//! Invariant: two files count as the same only if they have an equal strong digest. The memory in use is
//! limited.

use crate::digest::{Digest, Expected};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// The highest number of digests that are remembered. Together with their paths, they take about 25 MiB. If
/// there are more digests, the oldest digests are forgotten, and later duplicates of the files with these
/// digests are downloaded.
const MOST: usize = 65_536;

/// The handling of files that have the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedup {
    /// Each file is downloaded and has its own bytes.
    Off,
    /// The files share their blocks on the disk, until one of the files is changed. If the file system cannot
    /// share blocks, each file has its own bytes.
    Reflink,
    /// The files are hard links to the same bytes. If hard links are not possible, each file has its own
    /// bytes.
    Hardlink,
}

/// The method by which a file was made from another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// The file shares the blocks of the other file.
    Reflink,
    /// The file is a hard link to the other file.
    Hardlink,
    /// The file is a copy of the other file.
    Copy,
}

/// The file from which another file was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MadeFrom {
    /// The method by which the other file was made from this file.
    pub method: Method,
    /// The path of this file.
    pub path: String,
}

impl MadeFrom {
    /// Returns the file at `path`, from which another file was made by this method.
    pub fn new(method: Method, path: impl Into<String>) -> MadeFrom {
        MadeFrom { method, path: path.into() }
    }

    /// Returns the way in which the other file was made, in words for the user.
    pub fn reason(&self) -> String {
        let what = match self.method {
            Method::Reflink => "shares its blocks with",
            Method::Hardlink => "is a hard link to",
            Method::Copy => "is a copy of",
        };
        format!("{what} {}, which has the same digest", self.path)
    }
}

/// The known requirements for the bytes of a complete file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demands {
    /// The digests of the whole file.
    pub expected: Vec<Expected>,
    /// The size in bytes, if it is known.
    pub size: Option<u64>,
    /// True if the digests that the user or a list gave satisfy `--verify listed`.
    pub is_listed: bool,
    /// True if there are further requirements: a signature of the file, or digests of chunks.
    pub has_more: bool,
}

/// A complete file from which other files can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// The path of the file.
    pub path: PathBuf,
    /// The size of the file in bytes.
    pub size: u64,
    /// The modification time of the file when it was complete. With `None`, this time is not known, so the
    /// bytes must be compared with the digests again.
    pub modified: Option<SystemTime>,
    /// The digests that were computed from the bytes of the file. There are no digests for a file that is
    /// known only from an archive (`--archive`), because the archive may be wrong about the file.
    pub digests: Arc<[Digest]>,
}

impl Original {
    /// Returns those of `digests` that are not in [`Original::digests`]. Such a digest was not computed from
    /// this file, or it belongs to other bytes.
    pub fn lacks(&self, digests: &[Digest]) -> Vec<Digest> {
        digests.iter().filter(|digest| !self.digests.contains(digest)).cloned().collect()
    }
}

/// The complete files of a run, by their digests.
#[derive(Debug, Default)]
pub struct Originals {
    by_digest: HashMap<Digest, Original>,
    /// The digests, in the order in which they were added.
    order: VecDeque<Digest>,
}

impl Originals {
    /// Adds a file. If several files have the same digest, only the first of these files is kept. Digests
    /// that are not strong are ignored.
    pub fn add(&mut self, original: &Original) {
        for digest in original.digests.iter().filter(|digest| digest.algorithm.is_strong()) {
            if !self.by_digest.contains_key(digest) {
                self.by_digest.insert(digest.clone(), original.clone());
                self.order.push_back(digest.clone());
            }
        }
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.by_digest.remove(&oldest);
            }
        }
    }

    /// Returns a file that has one of these digests, together with this digest. Only strong digests are
    /// compared.
    pub fn find(&self, digests: &[Digest]) -> Option<(Original, Digest)> {
        let strong = digests.iter().filter(|digest| digest.algorithm.is_strong());
        strong.filter_map(|digest| Some((self.by_digest.get(digest)?.clone(), digest.clone()))).next()
    }

    /// Forgets the file of a digest, because the file was changed or removed. The other digests of this file
    /// are kept.
    pub fn forget(&mut self, digest: &Digest) {
        self.by_digest.remove(digest);
        self.order.retain(|one| one != digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    fn original(path: &str, digests: &[Digest]) -> Original {
        Original { path: path.into(), size: 1, modified: None, digests: digests.into() }
    }

    fn digest(algorithm: Algorithm, number: u32) -> Digest {
        Digest { algorithm, bytes: number.to_be_bytes().to_vec() }
    }

    #[test]
    fn only_an_equal_strong_digest_finds_a_file() {
        let mut originals = Originals::default();
        let (strong, weak) = (digest(Algorithm::Sha256, 1), digest(Algorithm::Md5, 1));
        let first = original("a", &[weak.clone(), strong.clone()]);
        originals.add(&first);
        originals.add(&original("b", std::slice::from_ref(&strong)));
        assert_eq!(originals.find(std::slice::from_ref(&weak)), None);
        let other = digest(Algorithm::Md5, 2);
        assert_eq!(first.lacks(&[other.clone(), weak.clone()]), [other]);
        assert_eq!(originals.find(&[weak, strong.clone()]), Some((first, strong.clone())));
        originals.forget(&strong);
        assert_eq!(originals.find(&[strong]), None);
    }

    #[test]
    fn the_oldest_files_are_forgotten() {
        let mut originals = Originals::default();
        let number = |n: usize| digest(Algorithm::Sha256, u32::try_from(n).unwrap_or(0));
        (0..MOST + 3).for_each(|n| originals.add(&original("a", &[number(n)])));
        assert_eq!((originals.find(&[number(2)]), originals.order.len()), (None, MOST));
        assert!(originals.find(&[number(3)]).is_some());
    }
}
