//! Reads Metalink documents of versions 4 (RFC 5854) and 3, which list files with their mirrors and digests.
//!
//! Each `file` is a job with its name, its `size`, its `url`s (the best first, by `priority` or
//! `preference`), its `hash`es and its chunk hashes (`pieces`). Malformed hashes and hashes of unknown
//! algorithms are left out. Torrents, signatures, and URLs that are neither http nor https are left out too.
//!
//! `xml` reads XML safely, `format` says what each element means, and `file` makes a job of a file.
//!
//! Invariant: the memory in use is limited to the document and one of its files.

mod file;
mod format;
#[cfg(test)]
mod tests;
mod xml;

pub use file::MOST_URLS;
pub use xml::LONGEST;

use crate::digest::Algorithm;
use crate::error::Error;
use crate::list::AtLine;
use crate::list::addresses::Addresses;
use file::{File, Leaf};
use format::{Element, Root};
use quick_xml::events::BytesStart;
use xml::{Document, Token, attribute, bad};

/// The highest number of files in a document. Real documents have far fewer files. A user who needs more
/// files can write a list of lines.
const MOST_FILES: u64 = 50_000;

/// The deepest nesting of elements. The format needs six levels, and its extensions need a few more.
const DEEPEST: usize = 32;

/// The longest URL, hash or size in the document, in bytes. Most servers do not accept longer URLs.
const LONGEST_TEXT: usize = 64 * 1024;

/// The jobs of a document, which are read one at a time, each with the line of its `file` element.
///
/// For a file that cannot be downloaded, the item is the error `name.unsafe` or `list.file`, and the next
/// file is still read. If the document cannot be read further, the last item is the error `list.unreadable`.
pub struct Metalink {
    document: Document,
    addresses: Addresses,
    /// The buffer for tokens.
    buffer: Vec<u8>,
    root: Option<Root>,
    /// The open elements, the root first.
    path: Vec<Element>,
    file: Option<File>,
    /// The open hash, size or URL, and the text in it that was read already.
    leaf: Option<(Leaf, String)>,
    files: u64,
    over: bool,
}

/// Returns true if these bytes are the beginning of a Metalink document. The first element of such a document
/// is `metalink`.
pub fn begins(bytes: &[u8]) -> bool {
    xml::root(bytes).is_some_and(|name| name == "metalink")
}

impl Metalink {
    /// Returns the jobs of a document. If the document is longer than [`LONGEST`] or is not UTF-8, the only
    /// item is the error `list.unreadable`.
    pub fn new(document: Vec<u8>) -> Metalink {
        Metalink {
            document: Document::new(document),
            addresses: Addresses::default(),
            buffer: Vec::new(),
            root: None,
            path: Vec::new(),
            file: None,
            leaf: None,
            files: 0,
            over: false,
        }
    }

    /// Sets the rules for the URLs in the document.
    #[must_use]
    pub fn with_addresses(self, addresses: Addresses) -> Metalink {
        Metalink { addresses, ..self }
    }

    /// Reads up to the end of the next `file` element, and returns its job. Returns `None` at the end of the
    /// document. After an error, the rest of the document cannot be read.
    fn next_job(&mut self) -> Result<Option<AtLine>, Error> {
        loop {
            let mut finished = None;
            // The buffer is taken out of `self` because the token borrows it.
            let mut buffer = std::mem::take(&mut self.buffer);
            match self.document.next(&mut buffer)? {
                Token::Start(start) => self.opened(&start)?,
                Token::End => finished = self.closed(),
                Token::Text(text) => self.text(&text)?,
                Token::Nothing => {}
                Token::Over => return self.at_the_end().map(|()| None),
            }
            self.buffer = buffer;
            if finished.is_some() {
                return Ok(finished);
            }
        }
    }

    fn opened(&mut self, start: &BytesStart<'_>) -> Result<(), Error> {
        if self.path.len() >= DEEPEST {
            return Err(bad(format!("elements are nested deeper than {DEEPEST}")));
        }
        let element = match &self.root {
            None => {
                self.root = Some(Root::of(start)?);
                Element::Metalink
            }
            Some(_) if self.path.is_empty() => return Err(bad("there is more than one root element")),
            Some(root) => root.element(start)?,
        };
        self.path.push(element);
        let leaf = match self.place() {
            Element::File => {
                self.file_opened(start)?;
                None
            }
            Element::Hash => Some(algorithm(start)?.map_or(Leaf::UnknownHash, Leaf::Hash)),
            Element::Pieces => {
                let (algorithm, length) = (algorithm(start)?, attribute(start, "length")?);
                if let Some(file) = &mut self.file {
                    file.open_pieces(algorithm, length.and_then(|length| length.trim().parse().ok()));
                }
                None
            }
            Element::PieceHash => Some(Leaf::Piece),
            Element::Size => Some(Leaf::Size),
            Element::Url => {
                let rank = self.root.as_ref().map_or(Ok(None), |root| root.rank(start))?;
                if let Some(file) = &mut self.file {
                    file.count_url();
                }
                rank.map(Leaf::Url)
            }
            _ => None,
        };
        if let Some(leaf) = leaf {
            self.leaf = Some((leaf, String::new()));
        }
        Ok(())
    }

    fn file_opened(&mut self, start: &BytesStart<'_>) -> Result<(), Error> {
        self.files += 1;
        if self.files > MOST_FILES {
            return Err(bad(format!("the document has more than {MOST_FILES} files: split it")));
        }
        let name = attribute(start, "name")?.unwrap_or_default();
        self.file = Some(File::new(self.document.line(), name));
        Ok(())
    }

    /// Returns the meaning of the innermost open element. The meaning depends on the elements around this
    /// element.
    fn place(&self) -> Element {
        self.root.as_ref().map_or(Element::Other, |root| root.place(&self.path))
    }

    /// Ends the innermost open element. Returns a job if the element is a `file`.
    fn closed(&mut self) -> Option<AtLine> {
        let place = self.place();
        self.path.pop();
        match place {
            Element::Hash | Element::PieceHash | Element::Size | Element::Url => {
                if let (Some((leaf, text)), Some(file)) = (self.leaf.take(), &mut self.file) {
                    let text = text.trim();
                    let is_url = matches!(leaf, Leaf::Url(_));
                    let url = is_url.then(|| self.addresses.replaced(text));
                    file.add(&leaf, url.as_deref().unwrap_or(text));
                }
                None
            }
            Element::Pieces => {
                if let Some(file) = &mut self.file {
                    file.close_pieces();
                }
                None
            }
            Element::File => self.file.take().map(|file| (file.line, file.job().map(Box::new))),
            _ => None,
        }
    }

    /// Adds text to the open hash, size or URL. Text of other elements is ignored.
    fn text(&mut self, more: &str) -> Result<(), Error> {
        if !matches!(self.place(), Element::Hash | Element::PieceHash | Element::Size | Element::Url) {
            return Ok(());
        }
        if let Some((_, text)) = &mut self.leaf {
            if text.len() + more.len() > LONGEST_TEXT {
                return Err(bad(format!(
                    "a URL, a hash or a size is longer than {} KiB",
                    LONGEST_TEXT / 1024
                )));
            }
            text.push_str(more);
        }
        Ok(())
    }

    fn at_the_end(&self) -> Result<(), Error> {
        if self.root.is_none() {
            return Err(bad("there is no <metalink> element"));
        }
        if !self.path.is_empty() {
            return Err(bad("the document ends too early: get it again"));
        }
        Ok(())
    }
}

impl Iterator for Metalink {
    type Item = AtLine;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.next_job() {
            Ok(Some(job)) => Some(job),
            Ok(None) => {
                self.over = true;
                None
            }
            Err(error) => {
                self.over = true;
                Some((self.document.line(), Err(error)))
            }
        }
    }
}

/// Returns the algorithm that the attribute `type` of an element names. Returns `None` if the attribute is
/// missing, or if the algorithm is unknown.
fn algorithm(start: &BytesStart<'_>) -> Result<Option<Algorithm>, Error> {
    Ok(attribute(start, "type")?.as_deref().and_then(Algorithm::from_name))
}
