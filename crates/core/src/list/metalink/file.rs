//! Makes a job from one file in a Metalink document.
//!
//! The user usually did not write the document, so unusable elements of a file are left out, most of them
//! with a note. Only a file whose name is unusable, or which has no usable URL, becomes an error.
//!
//! Invariant: a job has a name that stays below the output folder, at least one URL, and complete digests.
//! The memory in use for a file is limited.

use super::xml::beginning;
use crate::digest::{Algorithm, Digest, Expected};
use crate::error::{Error, ErrorKind};
use crate::job::{self, ChunkHashes, Destination, Headers, Job, NamedBy, fragment};
use crate::name::SafeName;
use std::collections::BTreeSet;
use url::Url;

/// The highest number of URLs of a file. The largest sets of mirrors have a few hundred URLs.
pub const MOST_URLS: usize = 1000;

/// The highest number of digests of a file. It is several times the number of supported algorithms.
const MOST_DIGESTS: usize = 64;

/// The highest number of notes about a file. A user would not read more notes.
const MOST_NOTES: usize = 8;

/// The longest name in bytes, with its folders. Linux does not accept longer paths.
const LONGEST_NAME: usize = 4096;

/// The place where the digests were found, in words for the user.
const FROM: &str = "the Metalink file";

/// An element whose text is read.
pub(super) enum Leaf {
    Hash(Algorithm),
    /// A hash of an algorithm that is not supported.
    UnknownHash,
    /// A chunk hash of the open `pieces`.
    Piece,
    Size,
    /// A URL, and its rank among the URLs of the file. The lowest rank is the best.
    Url(u32),
}

/// A `file` element that is being read.
pub(super) struct File {
    pub(super) line: u64,
    name: String,
    urls: Vec<(u32, Url)>,
    /// The number of `url` elements, including the unused ones.
    urls_seen: usize,
    expected: Vec<Expected>,
    /// The number of hashes of the file plus the number of sets of chunk hashes, including the unused ones.
    hashes_seen: usize,
    /// The best set of chunk hashes among the `pieces` elements that were read.
    pieces: Option<ChunkHashes>,
    /// The chunk hashes of the open `pieces` element.
    open: Option<ChunkHashes>,
    /// True if one of the chunk hashes of the open `pieces` element is malformed.
    open_is_wrong: bool,
    size: Option<u64>,
    notes: Vec<String>,
}

impl File {
    pub(super) fn new(line: u64, name: String) -> File {
        File {
            line,
            name,
            urls: Vec::new(),
            urls_seen: 0,
            expected: Vec::new(),
            hashes_seen: 0,
            pieces: None,
            open: None,
            open_is_wrong: false,
            size: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn count_url(&mut self) {
        self.urls_seen += 1;
    }

    /// Adds the text of a hash, a size or a URL.
    pub(super) fn add(&mut self, leaf: &Leaf, text: &str) {
        match leaf {
            Leaf::Hash(algorithm) => {
                self.hashes_seen += 1;
                self.add_hash(*algorithm, text);
            }
            Leaf::UnknownHash => self.hashes_seen += 1,
            Leaf::Piece => {
                let Some(open) = &mut self.open else { return };
                match Digest::from_hex(open.algorithm, text) {
                    Some(digest) => open.digests.push(digest),
                    None => self.open_is_wrong = true,
                }
            }
            Leaf::Size => match text.parse() {
                Ok(size) => self.size = Some(size),
                Err(_) => self.note("its size in the Metalink file is not a number and was ignored".into()),
            },
            Leaf::Url(_) if self.urls.len() >= MOST_URLS => {
                self.note(format!("it has more than {MOST_URLS} URLs; the further URLs were left out"));
            }
            // A URL that is neither http nor https, or a text that is not a URL, is left out. The other URLs
            // are used.
            Leaf::Url(rank) => self.add_url(*rank, text),
        }
    }

    fn add_hash(&mut self, algorithm: Algorithm, text: &str) {
        match Digest::from_hex(algorithm, text) {
            None => self.note(format!(
                "its {} in the Metalink file is malformed and was ignored: it must be {} hexadecimal digits",
                algorithm.name(),
                algorithm.size() * 2
            )),
            Some(_) if self.expected.len() >= MOST_DIGESTS => {
                self.note(format!("it has more than {MOST_DIGESTS} hashes; the further hashes were ignored"));
            }
            Some(digest) => self.expected.push(Expected { digest, from: FROM.into() }),
        }
    }

    fn add_url(&mut self, rank: u32, text: &str) {
        let Ok(mut url) = job::parse_url(text) else { return };
        match fragment::take_digests(&mut url) {
            Ok(digests) => {
                let room = MOST_DIGESTS.saturating_sub(self.expected.len());
                let digests = digests.into_iter().take(room);
                self.expected.extend(digests.map(|digest| Expected { digest, from: FROM.into() }));
            }
            Err(why) => self.note(format!("{why}; that digest was ignored")),
        }
        if let Some(note) = fragment::note(&url) {
            self.note(note);
        }
        self.urls.push((rank, url));
    }

    /// Starts a set of chunk hashes (a `pieces` element). The set is used only if the length of its chunks is
    /// stated and its algorithm is strong or SHA-1. SHA-1 is accepted because older documents have no other
    /// chunk hashes.
    pub(super) fn open_pieces(&mut self, algorithm: Option<Algorithm>, length: Option<u64>) {
        self.hashes_seen += 1;
        let good = algorithm.filter(|one| one.is_strong() || *one == Algorithm::Sha1);
        self.open = good.zip(length.filter(|&length| length > 0)).map(|(algorithm, length)| ChunkHashes {
            length,
            algorithm,
            digests: Vec::new(),
            from: FROM.into(),
        });
    }

    /// Ends a set of chunk hashes. If a file has several sets, the first one with a strong algorithm is used.
    /// If all sets have SHA-1, the first set is used. A set that is empty or has a malformed hash is not
    /// used.
    pub(super) fn close_pieces(&mut self) {
        if std::mem::take(&mut self.open_is_wrong) {
            // If one hash is malformed, it is not certain which chunks the other hashes of the set belong to.
            self.note("one of its chunk hashes is malformed; this set of chunk hashes was ignored".into());
            self.open = None;
        }
        let better = |one: &ChunkHashes, other: &ChunkHashes| {
            one.algorithm.is_strong() && !other.algorithm.is_strong()
        };
        if let Some(open) = self.open.take().filter(|open| !open.digests.is_empty())
            && self.pieces.as_ref().is_none_or(|kept| better(&open, kept))
        {
            self.pieces = Some(open);
        }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MOST_NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn job(mut self) -> Result<Job, Error> {
        let name = match self.name.len() {
            0..=LONGEST_NAME => SafeName::from_publisher(&self.name),
            _ => Err("it is longer than 4096 bytes"),
        };
        let name = name.map_err(|why| Error::new(ErrorKind::NameUnsafe, beginning(&self.name), why))?;
        if self.urls.is_empty() {
            let why = match self.urls_seen {
                0 => "it has no URL".into(),
                1 => "its URL is not a usable http or https URL".into(),
                n => format!("none of its {n} URLs is a usable http or https URL"),
            };
            return Err(Error::new(ErrorKind::ListFile, beginning(&self.name), why));
        }
        if self.expected.is_empty() && self.pieces.is_none() && self.hashes_seen > 0 {
            self.notes.insert(0, "the Metalink file has no usable digest of this file".into());
        }
        // The sort is stable: among equal ranks, the first URL in the document is preferred.
        self.urls.sort_by_key(|(rank, _)| *rank);
        Ok(Job {
            urls: self.urls.into_iter().map(|(_, url)| url).collect(),
            named_by: NamedBy::Document,
            assumed_https: false,
            destination: Destination::Name(name),
            expected: self.expected,
            chunks: self.pieces,
            size: self.size,
            notes: self.notes,
            extra: serde_json::Map::new(),
            line: 0,
            is_recorded: false,
            is_left_over: false,
            url_name: None,
            done: None,
            archived: Vec::new(),
            connections: None,
            limit_rate: None,
            if_exists: None,
            sends: None,
            range: None,
            network: 0,
            headers: Headers::default(),
            user_headers: Headers::default(),
            given_origins: BTreeSet::new(),
            folder: None,
            output: None,
            login_of: None,
            priority: 0,
        })
    }
}
