//! One file of a document, until it is a job.
//!
//! A document is another's work: what cannot be used of a file is left out with a note, and a file is an error only where it has
//! no usable name or URL. Invariant: a job has a name that stays below the output folder, at least one URL, and whole digests; what
//! is kept of a file is bounded.

use super::xml::beginning;
use crate::digest::{Algorithm, Digest, Expected};
use crate::error::{Error, ErrorKind};
use crate::job::{self, ChunkHashes, Destination, Headers, Job, NamedBy, fragment};
use crate::name::SafeName;
use url::Url;

/// The most URLs of a file; the largest sets of mirrors have some hundreds.
pub const MOST_URLS: usize = 1000;

/// The most digests of a file: several times the algorithms that there are.
const MOST_DIGESTS: usize = 64;

/// The most notes of a file: a person reads no more.
const MOST_NOTES: usize = 8;

/// The longest name in bytes, folders and all: systems take no longer paths.
const LONGEST_NAME: usize = 4096;

/// Whose word a digest is, for people.
const FROM: &str = "the Metalink file";

/// An element whose text matters.
pub(super) enum Leaf {
    Hash(Algorithm),
    /// A hash of an algorithm that cannot be checked here.
    UnknownHash,
    /// Of the pieces that are open.
    Piece,
    Size,
    /// With its place among the URLs of the file: the lowest is the best.
    Url(u32),
}

/// A file that is being read.
pub(super) struct File {
    pub(super) line: u64,
    name: String,
    urls: Vec<(u32, Url)>,
    /// All `url` elements, those that are of no use here too.
    urls_seen: usize,
    expected: Vec<Expected>,
    /// All hashes of the whole file and sets of those of its pieces, those that are of no use here too.
    hashes_seen: usize,
    /// The best digests of pieces so far, and those that are open.
    pieces: Option<ChunkHashes>,
    open: Option<ChunkHashes>,
    /// A hash of the open pieces is malformed.
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

    /// A `url` element begins.
    pub(super) fn sees_url(&mut self) {
        self.urls_seen += 1;
    }

    /// Takes in the text of a hash or a URL.
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
                Err(_) => self.note("its size is no number and was ignored".into()),
            },
            Leaf::Url(_) if self.urls.len() >= MOST_URLS => {
                self.note(format!("it has more than {MOST_URLS} URLs; the others were left out"));
            }
            // Other protocols, and what is no URL at all: a further mirror stands in for them.
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
                self.note(format!("it has more than {MOST_DIGESTS} hashes; the others were ignored"));
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
        self.urls.push((rank, url));
    }

    /// Digests of pieces begin, of which those are of use that cannot be met on purpose or by accident; for a piece, SHA-1
    /// will do: the older documents have nothing else.
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

    /// The strongest are kept.
    pub(super) fn close_pieces(&mut self) {
        if std::mem::take(&mut self.open_is_wrong) {
            // Which piece it would be of is not certain.
            self.note("a hash of its pieces is malformed; those hashes were ignored".into());
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
                1 => "its URL is neither http nor https".into(),
                n => format!("none of its {n} URLs is http or https"),
            };
            return Err(Error::new(ErrorKind::ListFile, beginning(&self.name), why));
        }
        if self.expected.is_empty() && self.pieces.is_none() && self.hashes_seen > 0 {
            self.notes.insert(0, "the Metalink file has no hash of it that can be checked".into());
        }
        // Stable: of equals, the one that the document has first.
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
            connections: None,
            limit_rate: None,
            if_exists: None,
            headers: Headers::default(),
            priority: 0,
        })
    }
}
