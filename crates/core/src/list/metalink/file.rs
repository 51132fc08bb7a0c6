//! One file of a document, until it is a job.
//!
//! Invariant: a job has a name that stays below the output folder, at least one URL, and whole digests; what is kept of a file is
//! bounded. The first thing that is wrong with it is its error.

use super::xml::beginning;
use crate::digest::{Algorithm, Digest, Expected};
use crate::error::{Error, Kind};
use crate::job::{self, JobSpec, Pieces, Target};
use crate::name::SafeName;
use url::Url;

/// The most URLs of a file; the largest sets of mirrors have some hundreds.
pub const MOST_URLS: usize = 1000;

/// The most digests of a file: several times the algorithms that there are.
const MOST_DIGESTS: usize = 64;

/// The longest name in bytes, folders and all: systems take no longer paths.
const LONGEST_NAME: usize = 4096;

/// Whose word a digest is, for people.
const FROM: &str = "the Metalink file";

/// An element whose text matters.
pub(super) enum Leaf {
    Hash(Algorithm),
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
    /// The best digests of pieces so far, and those that are open.
    pieces: Option<Pieces>,
    open: Option<Pieces>,
    size: Option<u64>,
    /// The first thing that was wrong with it.
    wrong: Option<Error>,
}

impl File {
    pub(super) fn new(line: u64, name: String) -> File {
        File {
            line,
            name,
            urls: Vec::new(),
            urls_seen: 0,
            expected: Vec::new(),
            pieces: None,
            open: None,
            size: None,
            wrong: None,
        }
    }

    /// A `url` element begins.
    pub(super) fn sees_url(&mut self) {
        self.urls_seen += 1;
    }

    /// Takes in the text of a hash or a URL.
    pub(super) fn add(&mut self, leaf: &Leaf, text: &str) {
        match leaf {
            Leaf::Hash(algorithm) => match Digest::from_hex(*algorithm, text) {
                // What is known to be meant and cannot be checked must not pass.
                None => self.found(format!(
                    "its {} must be {} hexadecimal digits",
                    algorithm.name(),
                    algorithm.size() * 2
                )),
                Some(_) if self.expected.len() >= MOST_DIGESTS => {
                    self.found(format!("it has more than {MOST_DIGESTS} hashes"));
                }
                Some(digest) => self.expected.push(Expected { digest, from: FROM.into() }),
            },
            Leaf::Piece => {
                let Some(open) = &mut self.open else { return };
                match Digest::from_hex(open.algorithm, text) {
                    Some(digest) => open.digests.push(digest),
                    None => {
                        let (name, digits) = (open.algorithm.name(), open.algorithm.size() * 2);
                        self.found(format!("the {name} of its pieces must be {digits} hexadecimal digits"));
                    }
                }
            }
            // What is no number says nothing.
            Leaf::Size => self.size = text.parse().ok(),
            Leaf::Url(_) if self.urls.len() >= MOST_URLS => {
                self.found(format!("it has more than {MOST_URLS} URLs"));
            }
            // Other protocols, and what is no URL at all: a further mirror stands in for them.
            Leaf::Url(rank) => self.urls.extend(job::parse_url(text).ok().map(|url| (*rank, url))),
        }
    }

    /// Digests of pieces begin, of which those are of use that cannot be met on purpose or by accident; for a piece, SHA-1
    /// will do: the older documents have nothing else.
    pub(super) fn open_pieces(&mut self, algorithm: Option<Algorithm>, length: Option<u64>) {
        let good = algorithm.filter(|one| one.is_strong() || *one == Algorithm::Sha1);
        self.open = good.zip(length.filter(|&length| length > 0)).map(|(algorithm, length)| Pieces {
            length,
            algorithm,
            digests: Vec::new(),
            from: FROM.into(),
        });
    }

    /// The strongest are kept.
    pub(super) fn close_pieces(&mut self) {
        let better = |one: &Pieces, other: &Pieces| one.algorithm.is_strong() && !other.algorithm.is_strong();
        if let Some(open) = self.open.take().filter(|open| !open.digests.is_empty())
            && self.pieces.as_ref().is_none_or(|kept| better(&open, kept))
        {
            self.pieces = Some(open);
        }
    }

    fn found(&mut self, why: String) {
        if self.wrong.is_none() {
            self.wrong = Some(Error::new(Kind::ListLine, beginning(&self.name), why));
        }
    }

    pub(super) fn job(mut self) -> Result<JobSpec, Error> {
        let name = match self.name.len() {
            0..=LONGEST_NAME => SafeName::from_publisher(&self.name),
            _ => Err("it is longer than 4096 bytes"),
        };
        let name = name.map_err(|why| Error::new(Kind::NameUnsafe, beginning(&self.name), why))?;
        if self.urls.is_empty() {
            self.found(match self.urls_seen {
                0 => "it has no URL".into(),
                1 => "its URL is neither http nor https".into(),
                n => format!("none of its {n} URLs is http or https"),
            });
        }
        if let Some(error) = self.wrong {
            return Err(error);
        }
        // Stable: of equals, the one that the document has first.
        self.urls.sort_by_key(|(rank, _)| *rank);
        Ok(JobSpec {
            urls: self.urls.into_iter().map(|(_, url)| url).collect(),
            assumed_https: false,
            target: Target::Name(name),
            expected: self.expected,
            pieces: self.pieces,
            size: self.size,
            extra: serde_json::Map::new(),
        })
    }
}
