//! Metalink documents, versions 4 (RFC 5854) and 3: files with their mirrors and digests.
//!
//! Owns what is taken from a document and how much of it at most. Each `file` is a job: its name, its `url`s (the best first,
//! by `priority` or `preference`), and its `hash`es. Hashes of algorithms that are not known here are left out, and so are
//! URLs that are neither http nor https, torrents, signatures, sizes and the hashes of pieces.
//!
//! Invariant: a job has a name that stays below the output folder, at least one URL, and whole digests. Whatever the document,
//! what is kept at a time is the document and one file of it; a document type is refused, and with it every entity that a
//! document could define.

use crate::digest::{Algorithm, Digest, Expected};
use crate::error::{Error, Kind};
use crate::job::{self, JobSpec, Pieces, Target};
use crate::list::AtLine;
use crate::name::SafeName;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use std::io::Cursor;
use url::Url;

/// The longest document that is read: a file with a hundred mirrors takes some 10 KiB.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// The most files of a document: far more than are published together. Longer sets are lists of lines.
pub const MOST_FILES: u64 = 50_000;

/// The most URLs of a file; the largest sets of mirrors have some hundreds.
pub const MOST_URLS: usize = 1000;

/// The most digests of a file: several times the algorithms that there are.
const MOST_DIGESTS: usize = 64;

/// The deepest nesting of elements: the format needs five, its extensions a few more.
const DEEPEST: usize = 32;

/// The longest name in bytes, folders and all: systems take no longer paths.
const LONGEST_NAME: usize = 4096;

/// The longest URL or hash in bytes: no server takes URLs that are longer.
const LONGEST_TEXT: usize = 64 * 1024;

/// Whose word a digest is, for people.
const FROM: &str = "the Metalink file";

const NAMESPACE_4: &str = "urn:ietf:params:xml:ns:metalink";
const NAMESPACE_3: &str = "http://www.metalinker.org/";

/// Where a URL without a priority stands: behind all others (RFC 5854, section 4.2.16.2).
const LAST: u32 = 999_999;

/// The jobs of a document, one at a time, each with the line of its `file` element.
///
/// A file that cannot be had as the document says is an error, and the next one follows. A document that cannot be read further
/// is an error too, and the last item.
pub struct Metalink {
    reader: Reader<Cursor<Vec<u8>>>,
    /// What the reader reads an event into.
    buffer: Vec<u8>,
    root: Option<Root>,
    /// The elements that are open, the root first.
    path: Vec<Element>,
    file: Option<File>,
    /// The URL or hash that is open, and its text so far.
    leaf: Option<(Leaf, String)>,
    files: u64,
    /// The line of a place in bytes: where counting goes on.
    counted: (usize, u64),
    /// Known before the first element: what is wrong with the document as a whole.
    refused: Option<String>,
    over: bool,
}

/// What the root element says of all others.
struct Root {
    version: Version,
    /// Before the names of elements that are Metalink's: `m:` or nothing.
    prefix: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Three,
    Four,
}

/// An element that matters, or one that does not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Metalink,
    Files,
    File,
    Verification,
    Resources,
    Hash,
    Pieces,
    PieceHash,
    Size,
    Url,
    Other,
}

/// An element whose text matters.
enum Leaf {
    Hash(Algorithm),
    /// Of the pieces that are open.
    Piece,
    Size,
    /// With its place among the URLs of the file: the lowest is the best.
    Url(u32),
}

/// A file that is being read.
struct File {
    line: u64,
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

/// Whether this is the beginning of a Metalink document: its first element says so, as far as these bytes go.
pub fn begins(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    if !text.starts_with(b"<") {
        return false;
    }
    // The end may be in the middle of a character.
    let text = String::from_utf8_lossy(text);
    let mut reader = Reader::from_str(&text);
    loop {
        match reader.read_event() {
            Ok(Event::Start(first) | Event::Empty(first)) => {
                return first.name().local_name().as_ref() == "metalink";
            }
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

impl Metalink {
    /// Reads a whole document, which should be no longer than [`LONGEST`].
    pub fn new(document: Vec<u8>) -> Metalink {
        let refused = if document.len() > LONGEST {
            Some(format!("the document is longer than {} MiB", LONGEST / 1024 / 1024))
        } else if std::str::from_utf8(&document).is_err() {
            Some("the document is not UTF-8; save it as UTF-8".to_string())
        } else {
            None
        };
        let mut reader = Reader::from_reader(Cursor::new(document));
        reader.config_mut().expand_empty_elements = true;
        Metalink {
            reader,
            buffer: Vec::new(),
            root: None,
            path: Vec::new(),
            file: None,
            leaf: None,
            files: 0,
            counted: (0, 1),
            refused,
            over: false,
        }
    }

    /// Reads to the end of the next file. An error is of the whole document.
    fn next_job(&mut self) -> Result<Option<AtLine>, Error> {
        if let Some(why) = self.refused.take() {
            return Err(bad(why));
        }
        loop {
            let mut finished = None;
            // Taken out, so that the event does not borrow the rest of us.
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            let event = self.reader.read_event_into(&mut buffer).map_err(broken)?;
            match event {
                Event::Start(start) => self.opened(&start)?,
                Event::End(_) => finished = self.closed(),
                Event::Text(text) => self.text(&text.xml10_content())?,
                Event::CData(text) => self.text(&text.xml10_content())?,
                Event::GeneralRef(name) => self.text(character(&name)?.encode_utf8(&mut [0; 4]))?,
                Event::DocType(_) => {
                    return Err(bad("a document type (<!DOCTYPE ...>) is refused: remove it"));
                }
                Event::Decl(declaration) => {
                    check_encoding(declaration.encoding().transpose().map_err(broken)?.as_deref())?;
                }
                Event::Eof => return self.at_the_end().map(|()| None),
                // Instructions and comments; elements that are empty come as two events.
                Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
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
        match self.place() {
            Element::File => self.file_opened(start),
            Element::Hash => {
                if let Some(algorithm) = attribute(start, "type")?.as_deref().and_then(Algorithm::from_name) {
                    self.leaf = Some((Leaf::Hash(algorithm), String::new()));
                }
                Ok(())
            }
            Element::Pieces => {
                let algorithm = attribute(start, "type")?.as_deref().and_then(Algorithm::from_name);
                let length = attribute(start, "length")?.and_then(|length| length.trim().parse().ok());
                if let Some(file) = &mut self.file {
                    file.open_pieces(algorithm, length);
                }
                Ok(())
            }
            Element::PieceHash => {
                self.leaf = Some((Leaf::Piece, String::new()));
                Ok(())
            }
            Element::Size => {
                self.leaf = Some((Leaf::Size, String::new()));
                Ok(())
            }
            Element::Url => {
                if let Some(rank) = self.rank(start)? {
                    self.leaf = Some((Leaf::Url(rank), String::new()));
                }
                if let Some(file) = &mut self.file {
                    file.urls_seen += 1;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn file_opened(&mut self, start: &BytesStart<'_>) -> Result<(), Error> {
        self.files += 1;
        if self.files > MOST_FILES {
            return Err(bad(format!("the document has more than {MOST_FILES} files: split it")));
        }
        let name = attribute(start, "name")?.unwrap_or_default();
        self.file = Some(File {
            line: self.line(),
            name,
            urls: Vec::new(),
            urls_seen: 0,
            expected: Vec::new(),
            pieces: None,
            open: None,
            size: None,
            wrong: None,
        });
        Ok(())
    }

    /// The place of a URL among those of its file. `None` if it is not the file's: version 3 has torrents among them.
    fn rank(&self, start: &BytesStart<'_>) -> Result<Option<u32>, Error> {
        let number = |text: Option<String>| text.and_then(|text| text.trim().parse::<u32>().ok());
        if self.root.as_ref().is_some_and(|root| root.version == Version::Four) {
            return Ok(Some(number(attribute(start, "priority")?).unwrap_or(LAST)));
        }
        let is_the_file = match attribute(start, "type")? {
            None => true,
            Some(kind) => ["http", "https"].contains(&kind.trim().to_ascii_lowercase().as_str()),
        };
        let preference = number(attribute(start, "preference")?);
        let rank = preference.map_or(LAST, |preference| 100_u32.saturating_sub(preference));
        Ok(is_the_file.then_some(rank))
    }

    /// An element ended; if it is a file, here is its job.
    fn closed(&mut self) -> Option<AtLine> {
        let place = self.place();
        self.path.pop();
        match place {
            Element::Hash | Element::PieceHash | Element::Size | Element::Url => {
                if let (Some((leaf, text)), Some(file)) = (self.leaf.take(), &mut self.file) {
                    file.add(&leaf, text.trim());
                }
                None
            }
            Element::Pieces => {
                if let Some(file) = &mut self.file {
                    file.close_pieces();
                }
                None
            }
            Element::File => self.file.take().map(|file| (file.line, file.job())),
            _ => None,
        }
    }

    /// Text of whatever element is open.
    fn text(&mut self, more: &str) -> Result<(), Error> {
        if !matches!(self.place(), Element::Hash | Element::PieceHash | Element::Size | Element::Url) {
            return Ok(());
        }
        if let Some((_, text)) = &mut self.leaf {
            if text.len() + more.len() > LONGEST_TEXT {
                return Err(bad(format!("a URL or a hash is longer than {} KiB", LONGEST_TEXT / 1024)));
            }
            text.push_str(more);
        }
        Ok(())
    }

    /// What the innermost element is, if it is where the format has it.
    fn place(&self) -> Element {
        use Element::{
            File, Files, Hash, Metalink, Other, PieceHash, Pieces, Resources, Size, Url, Verification,
        };
        let version = self.root.as_ref().map(|root| root.version);
        match (version, self.path.as_slice()) {
            (Some(Version::Four), [Metalink, File]) => File,
            (Some(Version::Four), [Metalink, File, Hash]) => Hash,
            (Some(Version::Four), [Metalink, File, Url]) => Url,
            (Some(Version::Four), [Metalink, File, Size]) => Size,
            (Some(Version::Four), [Metalink, File, Pieces]) => Pieces,
            (Some(Version::Four), [Metalink, File, Pieces, Hash]) => PieceHash,
            (Some(Version::Three), [Metalink, Files, File]) => File,
            (Some(Version::Three), [Metalink, Files, File, Verification, Hash]) => Hash,
            (Some(Version::Three), [Metalink, Files, File, Resources, Url]) => Url,
            (Some(Version::Three), [Metalink, Files, File, Size]) => Size,
            (Some(Version::Three), [Metalink, Files, File, Verification, Pieces]) => Pieces,
            (Some(Version::Three), [Metalink, Files, File, Verification, Pieces, Hash]) => PieceHash,
            _ => Other,
        }
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

    /// The line that was read last. Every line is counted once.
    fn line(&mut self) -> u64 {
        let document = self.reader.get_ref().get_ref();
        let here = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX).min(document.len());
        let (counted, line) = self.counted;
        let new = document.get(counted..here).unwrap_or_default();
        let lines = new.iter().filter(|&&byte| byte == b'\n').count();
        self.counted = (here.max(counted), line + lines as u64);
        self.counted.1
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
                Some((self.line(), Err(error)))
            }
        }
    }
}

impl Root {
    fn of(start: &BytesStart<'_>) -> Result<Root, Error> {
        let name = start.name();
        let prefix = name.prefix().map(|prefix| format!("{}:", prefix.as_ref())).unwrap_or_default();
        let version = match declared(start, &prefix)?.as_deref() {
            Some(NAMESPACE_4) => Version::Four,
            Some(NAMESPACE_3) => Version::Three,
            _ => return Err(bad("it is neither Metalink 4 nor 3: the namespace of its root is another")),
        };
        if name.local_name().as_ref() != "metalink" {
            return Err(bad("there is no <metalink> element"));
        }
        Ok(Root { version, prefix })
    }

    /// Which element this is, by its name in the root's namespace.
    fn element(&self, start: &BytesStart<'_>) -> Result<Element, Error> {
        let name = start.name();
        let Some(local) = name.as_ref().strip_prefix(self.prefix.as_str()) else { return Ok(Element::Other) };
        let element = match local {
            "files" => Element::Files,
            "file" => Element::File,
            "verification" => Element::Verification,
            "resources" => Element::Resources,
            "hash" => Element::Hash,
            "pieces" => Element::Pieces,
            "size" => Element::Size,
            "url" => Element::Url,
            _ => Element::Other,
        };
        let namespace = match self.version {
            Version::Three => NAMESPACE_3,
            Version::Four => NAMESPACE_4,
        };
        let renamed = declared(start, &self.prefix)?.is_some_and(|other| other != namespace);
        Ok(if renamed { Element::Other } else { element })
    }
}

impl File {
    /// Takes in the text of a hash or a URL.
    fn add(&mut self, leaf: &Leaf, text: &str) {
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
    fn open_pieces(&mut self, algorithm: Option<Algorithm>, length: Option<u64>) {
        let good = algorithm.filter(|one| one.is_strong() || *one == Algorithm::Sha1);
        self.open = good.zip(length.filter(|&length| length > 0)).map(|(algorithm, length)| Pieces {
            length,
            algorithm,
            digests: Vec::new(),
            from: FROM.into(),
        });
    }

    /// The strongest are kept.
    fn close_pieces(&mut self) {
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

    fn job(mut self) -> Result<JobSpec, Error> {
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
            target: Target::Name(name),
            expected: self.expected,
            pieces: self.pieces,
            size: self.size,
            extra: serde_json::Map::new(),
        })
    }
}

/// The namespace that an element declares for a prefix (`m:` or nothing).
fn declared(start: &BytesStart<'_>, prefix: &str) -> Result<Option<String>, Error> {
    match prefix.strip_suffix(':') {
        Some(prefix) => attribute(start, &format!("xmlns:{prefix}")),
        None => attribute(start, "xmlns"),
    }
}

/// The value of an attribute. The first counts: to compare each with all others would take long where there are many.
fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, Error> {
    for one in start.attributes().with_checks(false) {
        let one = one.map_err(broken)?;
        if one.key.as_ref() == name {
            let value = one.normalized_value(XmlVersion::Implicit1_0).map_err(broken)?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

/// What `&NAME;` stands for: a character. Anything else would need a definition, and those are refused.
fn character(reference: &BytesRef<'_>) -> Result<char, Error> {
    if let Some(character) = reference.resolve_char_ref().map_err(broken)? {
        return Ok(character);
    }
    match reference.as_ref() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(bad("it uses an entity, and only those of XML itself are read")),
    }
}

fn check_encoding(encoding: Option<&str>) -> Result<(), Error> {
    match encoding {
        None => Ok(()),
        Some(name) if ["utf-8", "utf8", "us-ascii"].contains(&name.to_ascii_lowercase().as_str()) => Ok(()),
        Some(_) => Err(bad("it says that it is not in UTF-8; save it as UTF-8")),
    }
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Kind::ListLine, "", why)
}

/// Not well-formed XML. What the reader says of it may quote all of a document.
fn broken(why: impl std::fmt::Display) -> Error {
    bad(format!("this is not proper XML: {}", beginning(&why.to_string())))
}

/// As much of a text of the document as a message needs.
fn beginning(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHA256: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    const SHA1: &str = "0123456789abcdef0123456789abcdef01234567";

    fn four(inner: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metalink xmlns=\"{NAMESPACE_4}\">\n{inner}\n</metalink>\n"
        )
    }

    fn three(inner: &str) -> String {
        format!("<metalink version=\"3.0\" xmlns=\"{NAMESPACE_3}\"><files>{inner}</files></metalink>")
    }

    /// Each file as `LINE NAME: URLS; DIGESTS` or `LINE error`.
    fn read(document: &str) -> Vec<String> {
        Metalink::new(document.into()).map(|(line, job)| format!("{line} {}", shown(job))).collect()
    }

    fn shown(job: Result<JobSpec, Error>) -> String {
        let job = match job {
            Ok(job) => job,
            Err(error) => return error.to_string(),
        };
        let Target::Name(name) = &job.target else { panic!("a name") };
        let urls: Vec<&str> = job.urls.iter().map(Url::as_str).collect();
        let digests: Vec<&str> = job.expected.iter().map(|one| one.digest.algorithm.name()).collect();
        let pieces = job.pieces.map_or(String::new(), |pieces| {
            format!(" {} x {} {}", pieces.digests.len(), pieces.length, pieces.algorithm.name())
        });
        let size = job.size.map_or(String::new(), |size| format!("; {size} bytes"));
        format!("{name}: {}; {}{size}{pieces}", urls.join(" "), digests.join(" "))
    }

    #[test]
    fn version_4() {
        let document = four(&format!(
            r#"<generator>x &amp; y</generator>
<file name="dir/a&#32;b.iso">
  <size>5</size>
  <hash type="sha-256"> {SHA256}
  </hash>
  <hash type="sha3-256">00</hash>
  <hash type="md5">0123456789ABCDEF0123456789abcdef</hash>
  <pieces length="4" type="sha-256"><hash>{SHA256}</hash></pieces>
  <url>http://last/</url>
  <url priority="2" location="de">http://second/?a=1&amp;b=&#x32;</url>
  <url priority="1">ftp://first/</url>
  <metaurl priority="1" mediatype="torrent">http://torrent/</metaurl>
  <url priority="2"><![CDATA[https://third/?a&b]]></url>
  <url priority="1"><!-- no -->  http://first/
  </url>
  <x:more xmlns:x="x"><url>http://no/</url></x:more>
  <url xmlns="x">http://no/</url>
  <x:url xmlns:x="x">http://no/</x:url>
</file>
<file name="c"><url>http://h/c</url></file>"#
        ));
        assert_eq!(
            read(&document),
            [
                "4 dir/a b.iso: http://first/ http://second/?a=1&b=2 https://third/?a&b http://last/; sha-256 md5; 5 bytes 1 x 4 sha-256",
                "22 c: http://h/c; ",
            ]
        );
    }

    #[test]
    fn version_3() {
        let document = three(&format!(
            r#"<file name="a"><verification><hash type="sha256">{SHA256}</hash>
            <pieces type="sha1" length="4"><hash piece="0">{SHA1}</hash></pieces></verification>
            <resources maxconnections="2"><url>http://last/</url><url type="http" preference="10">http://second/</url>
            <url type="bittorrent" preference="100">http://torrent/</url><url type="HTTPS" preference="100">https://first/</url>
            </resources></file><file name="b"><url>http://not-here/</url><resources/></file>"#
        ));
        assert_eq!(
            read(&document),
            [
                "1 a: https://first/ http://second/ http://last/; sha-256 1 x 4 sha-1",
                "5 this line of the list cannot be understood: it has no URL (b)",
            ]
        );
    }

    #[test]
    fn what_extensions_hold_is_not_of_the_file() {
        // As mirror managers write it: the digests of older versions of the file, in elements of their own.
        let md5 = "0123456789abcdef0123456789abcdef";
        let document = three(&format!(
            "<file name='repomd.xml'><mm0:timestamp>1</mm0:timestamp><verification><hash type='sha256'>{SHA256}</hash>\
             </verification><mm0:alternates xmlns:mm0='http://fedorahosted.org/mirrormanager'><mm0:alternate><verification>\
             <hash type='md5'>{md5}</hash></verification></mm0:alternate></mm0:alternates><resources maxconnections='1'>\
             <url protocol='rsync' type='rsync' preference='100'>rsync://h/</url>\
             <url protocol='https' type='https' location='DE' preference='99'>https://h/</url></resources></file>"
        ));
        assert_eq!(read(&document), ["1 repomd.xml: https://h/; sha-256"]);
    }

    #[test]
    fn prefixes_are_as_good_as_none() {
        let document = format!(
            "<m:metalink xmlns:m='{NAMESPACE_4}' xmlns='x'><file/><m:file name='a'><m:url>http://h/</m:url></m:file></m:metalink>"
        );
        assert_eq!(read(&document), ["1 a: http://h/; "]);
        assert_eq!(read(&format!("\u{feff}{document}")), ["1 a: http://h/; "]);
    }

    #[test]
    fn a_file_that_is_wrong_does_not_hide_the_next() {
        let url = "<url>http://h/</url>";
        for (file, says) in [
            (format!("<file name='../a'>{url}</file>"), "leads out of the output folder"),
            (format!("<file name='/a'>{url}</file>"), "it is an absolute path"),
            (format!("<file>{url}</file>"), "it is empty"),
            (format!("<file name='{}'>{url}</file>", "a/".repeat(3000) + "a"), "longer than 4096 bytes"),
            ("<file name='a'/>".into(), "it has no URL (a)"),
            ("<file name='a'><url>ftp://h/</url></file>".into(), "its URL is neither http nor https (a)"),
            (
                "<file name='a'><url>ftp://h/</url><url>x</url></file>".into(),
                "none of its 2 URLs is http or https",
            ),
            (
                format!("<file name='a'><hash type='md5'>00</hash>{url}</file>"),
                "its md5 must be 32 hexadecimal digits",
            ),
            (format!("<file name='a'>{}</file>", url.repeat(MOST_URLS + 1)), "more than 1000 URLs"),
            (
                format!(
                    "<file name='a'>{}{url}</file>",
                    format!("<hash type='sha256'>{SHA256}</hash>").repeat(65)
                ),
                "more than 64 hashes",
            ),
        ] {
            let read = read(&four(&format!("{file}<file name='b'>{url}</file>")));
            assert!(read.len() == 2 && read[0].contains(says), "{says}: {read:?}");
            assert_eq!(read[1], "3 b: http://h/; ");
        }
    }

    #[test]
    fn a_document_that_is_wrong_ends_there() {
        let fine = "<file name='a'><url>http://h/</url></file>";
        let deep = "<x>".repeat(DEEPEST);
        let bomb = format!(
            "<!DOCTYPE m [<!ENTITY a \"{}\"><!ENTITY b \"&a;&a;&a;\">]>{}",
            "x".repeat(99),
            four("&b;")
        );
        for (document, says) in [
            (String::new(), "there is no <metalink> element"),
            ("http://h/a\n".into(), "there is no <metalink> element"),
            ("<html/>".into(), "neither Metalink 4 nor 3"),
            ("<metalink/>".into(), "neither Metalink 4 nor 3"),
            (format!("<x xmlns='{NAMESPACE_4}'/>"), "there is no <metalink> element"),
            (bomb, "document type"),
            ("<!DOCTYPE metalink SYSTEM 'file:///etc/passwd'>".to_string() + &four(fine), "document type"),
            (four("&who;"), "it uses an entity"),
            (four("<file name='&who;'/>"), "not proper XML"),
            (four("&#xFFFFFFFF;"), "not proper XML"),
            (four("<file name='a'></metalink>"), "not proper XML"),
            (four("<file name='a'").replace("</metalink>", ""), "not proper XML"),
            (four(fine).replace("</metalink>", ""), "ends too early"),
            (four(fine) + &four(fine).split_off(39), "more than one root"),
            (four(&deep), "nested deeper than 32"),
            (four(fine).replace("UTF-8", "latin1"), "not in UTF-8"),
            (
                four(&format!("<file name='a'><url>http://h/{}</url></file>", "x".repeat(LONGEST_TEXT))),
                "longer than 64 KiB",
            ),
            (four(&"<file/>".repeat(50_001)), "more than 50000 files"),
            (" ".repeat(LONGEST + 1), "longer than 16 MiB"),
        ] {
            let read = read(&document);
            let last = read.last().cloned().unwrap_or_default();
            assert!(last.contains(says), "{says}: {last}");
        }
        let latin1 = Metalink::new(b"<metalink>\xe9".to_vec()).next().expect("an error").1;
        assert!(latin1.expect_err("refused").to_string().contains("not UTF-8"));
    }

    #[test]
    fn it_is_known_by_its_root() {
        for document in [
            four("").as_str(),
            &three(""),
            "\u{feff} <!-- <a/> --><?x?><m:metalink>",
            "<metalink a='1'/>",
            "<!DOCTYPE x [<!ENTITY a 'b'>]><metalink>",
        ] {
            assert!(begins(document.as_bytes()), "{document}");
        }
        for other in ["", "http://h/a", "{}", "<html><metalink/></html>", "<metalin", "# <metalink>", "<"] {
            assert!(!begins(other.as_bytes()), "{other}");
        }
        assert!(!begins(&[0xff, b'<', 0xff]));
    }

    fn check(document: Vec<u8>) -> Result<(), TestCaseError> {
        let _ = begins(&document);
        let lines = document.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        for (line, job) in Metalink::new(document) {
            prop_assert!((1..=lines).contains(&line));
            let Ok(job) = job else { continue };
            prop_assert!(
                !job.urls.is_empty() && job.urls.iter().all(|url| ["http", "https"].contains(&url.scheme()))
            );
            prop_assert!(
                job.expected.iter().all(|one| one.digest.bytes.len() == one.digest.algorithm.size())
            );
            let Target::Name(name) = job.target else { panic!("a name") };
            prop_assert!(
                !name.as_str().starts_with('/')
                    && name.as_str().split('/').all(|part| !part.starts_with('.'))
            );
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            check(bytes)?;
        }

        #[test]
        fn no_changed_document_panics(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[<>&;/\"'!a-z\\[\\]\n-]{0,4}"), 0..6),
            version in any::<bool>(),
        ) {
            let file = format!("<file name='a/b'><hash type='md5'>{}</hash><!-- c --><url priority='1'>http://h/&amp;</url><url/>\
                <verification><hash type='sha256'>{SHA256}</hash></verification><resources><url type='http' \
                preference='5'><![CDATA[http://h/]]></url></resources></file>", "0".repeat(32));
            let mut document = if version { four(&file) } else { three(&file) }.into_bytes();
            for (from, length, text) in changes {
                let from = from.index(document.len() + 1);
                let upto = (from + length.index(8)).min(document.len());
                document.splice(from..upto, text.bytes());
            }
            check(document)?;
        }
    }
}
