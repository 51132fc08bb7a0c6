//! Reads XML safely.
//!
//! Invariant: a document is UTF-8 and at most [`LONGEST`] bytes long. A document type is refused, and so are
//! all entities that it could define. Therefore no text becomes longer than the document.

use crate::error::{Error, ErrorKind};
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use std::borrow::Cow;
use std::io::Cursor;

/// The longest document that is read, in bytes. A file with a hundred mirrors needs about 10 KiB, so a
/// document may have 1,600 such files.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// A document that is being read.
pub(super) struct Document {
    reader: Reader<Cursor<Vec<u8>>>,
    /// A position in bytes, and the number of its line. The next count of lines continues from this position.
    counted: (usize, u64),
    /// The reason why the whole document is refused, if it is refused.
    refused: Option<String>,
}

/// The next part of a document.
pub(super) enum Token<'a> {
    /// The start of an element. `End` follows even if the element is empty.
    Start(BytesStart<'a>),
    End,
    Text(Cow<'a, str>),
    /// A part that is not used, such as a comment.
    Nothing,
    Over,
}

impl Document {
    pub(super) fn new(document: Vec<u8>) -> Document {
        let refused = if document.len() > LONGEST {
            Some(format!("the document is longer than {} MiB", LONGEST / 1024 / 1024))
        } else if std::str::from_utf8(&document).is_err() {
            Some("the document is not UTF-8; save it as UTF-8".to_string())
        } else {
            None
        };
        let mut reader = Reader::from_reader(Cursor::new(document));
        reader.config_mut().expand_empty_elements = true;
        Document { reader, counted: (0, 1), refused }
    }

    /// Returns the next token, which borrows this buffer.
    pub(super) fn next<'a>(&mut self, buffer: &'a mut Vec<u8>) -> Result<Token<'a>, Error> {
        if let Some(why) = self.refused.take() {
            return Err(bad(why));
        }
        buffer.clear();
        Ok(match self.reader.read_event_into(buffer).map_err(broken)? {
            Event::Start(start) => Token::Start(start),
            Event::End(_) => Token::End,
            Event::Text(text) => Token::Text(text.xml10_content()),
            Event::CData(text) => Token::Text(text.xml10_content()),
            Event::GeneralRef(name) => Token::Text(character(&name)?.to_string().into()),
            Event::DocType(_) => {
                return Err(bad("a document type (<!DOCTYPE ...>) is refused: remove it"));
            }
            Event::Decl(declaration) => {
                check_encoding(declaration.encoding().transpose().map_err(broken)?.as_deref())?;
                Token::Nothing
            }
            Event::Eof => Token::Over,
            // `Empty` does not occur: the reader returns two events for an empty element.
            Event::PI(_) | Event::Comment(_) | Event::Empty(_) => Token::Nothing,
        })
    }

    /// Returns the number of the line that was read last. Each call counts only the lines that were read
    /// since the call before.
    pub(super) fn line(&mut self) -> u64 {
        let document = self.reader.get_ref().get_ref();
        let here = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX).min(document.len());
        let (counted, line) = self.counted;
        let new = document.get(counted..here).unwrap_or_default();
        let lines = new.iter().filter(|&&byte| byte == b'\n').count();
        self.counted = (here.max(counted), line + lines as u64);
        self.counted.1
    }
}

/// Returns the name of the root element without its namespace prefix. `bytes` are the beginning of a
/// document. Returns `None` if these bytes are not XML, or if the start tag of the root element does not end
/// within them.
pub(super) fn root(bytes: &[u8]) -> Option<String> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    if !text.starts_with(b"<") {
        return None;
    }
    // These bytes may end within a character.
    let text = String::from_utf8_lossy(text);
    let mut reader = Reader::from_str(&text);
    loop {
        match reader.read_event() {
            Ok(Event::Start(first) | Event::Empty(first)) => {
                return Some(first.name().local_name().as_ref().to_string());
            }
            Ok(Event::Eof) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Returns the value of an attribute. If there are several attributes of that name, the first one is used. A
/// search for duplicates would take long in an element with many attributes.
pub(super) fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, Error> {
    for one in start.attributes().with_checks(false) {
        let one = one.map_err(broken)?;
        if one.key.as_ref() == name {
            let value = one.normalized_value(XmlVersion::Implicit1_0).map_err(broken)?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

/// Returns the character that a reference such as `&amp;` or `&#10;` stands for. Entities that XML itself
/// does not define would need a definition, and definitions are refused.
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
        _ => Err(bad("the document uses an entity that XML itself does not define; this is not supported")),
    }
}

fn check_encoding(encoding: Option<&str>) -> Result<(), Error> {
    match encoding {
        None => Ok(()),
        // A document in UTF-16 was converted to UTF-8 before, but its declaration still says UTF-16.
        Some(name)
            if ["utf-8", "utf8", "us-ascii", "utf-16"].contains(&name.to_ascii_lowercase().as_str()) =>
        {
            Ok(())
        }
        Some(_) => Err(bad("the document states an encoding other than UTF-8; save it as UTF-8")),
    }
}

/// Returns an error that concerns the whole document. After this error, the rest of the document is not read,
/// so some of the files in the document may be missing.
pub(super) fn bad(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::ListUnreadable, "", why)
}

/// Returns the error for XML that is not well-formed. The reader's message is shortened, since it may contain
/// a whole document.
fn broken(why: impl std::fmt::Display) -> Error {
    bad(format!("this is not valid XML: {}", beginning(&why.to_string())))
}

/// Returns the beginning of a text in the document, for a message.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(200).collect()
}
