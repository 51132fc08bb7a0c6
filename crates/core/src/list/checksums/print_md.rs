//! Reads entries that may span several lines, as `gpg --print-md` and `certutil -hashfile` write them.
//!
//! GnuPG writes `NAME: 98EA6E4F 216F2FB4 ...` or `NAME: SHA256 = 98EA6E4F ...`. The digest is in groups and
//! may continue on further lines. After a long name, the digest begins on the next line. `certutil` of
//! Windows writes the digest on the line after `SHA256 hash of NAME:`.
//!
//! Invariant: an entry never keeps more digits than the longest supported digest has.

use super::{Entry, forms};
use crate::digest::{Algorithm, Digest};

/// The number of hexadecimal digits of the longest supported digest (SHA-512).
const MOST_DIGITS: usize = 128;

/// An entry whose lines are being read.
pub(super) struct Block {
    name: String,
    algorithm: Tag,
    digits: String,
}

/// The name of an algorithm before the digits of an entry, such as `SHA256 =`.
enum Tag {
    /// The entry names no algorithm.
    None,
    /// The entry names this algorithm.
    Known(Algorithm),
    /// The entry names an algorithm that is not supported.
    Unknown,
}

impl Block {
    /// Starts an entry with this line. Returns `None` if the line cannot be the first line of an entry.
    pub(super) fn begin(line: &str) -> Option<Block> {
        let (name, rest) = line.rsplit_once(':')?;
        let name = name.trim().to_string();
        let mut block = Block { name, algorithm: Tag::None, digits: String::new() };
        if let Some((algorithm, name)) = of_certutil(&block.name) {
            block = Block { name, algorithm: Tag::Known(algorithm), digits: String::new() };
        }
        (!block.name.is_empty() && (rest.trim().is_empty() || block.takes_tagged(rest))).then_some(block)
    }

    /// Adds the digits of a line if the line begins or continues the digest. Returns true if they were added.
    pub(super) fn takes(&mut self, line: &str) -> bool {
        match self.digits.is_empty() {
            true => self.takes_tagged(line),
            // Further lines are indented.
            false => line.starts_with(' ') && self.takes_groups(line),
        }
    }

    /// Returns the name and the digits that were read, as one line. This line stands for the entry if the
    /// digest turns out to be unreadable.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.name, self.digits)
    }

    /// Returns the entry. Returns `None` if its digest is incomplete, or if its algorithm is not supported.
    /// `list` is the name of the list.
    pub(super) fn entry(self, list: &str) -> Option<Entry> {
        let digest = match self.algorithm {
            Tag::None => forms::hexadecimal(&self.digits, list),
            Tag::Known(algorithm) => Digest::from_hex(algorithm, &self.digits),
            Tag::Unknown => None,
        };
        Some(Entry { name: forms::written(&self.name), digest: digest? })
    }

    /// Adds groups of digits. A text such as `SHA256 =` may come before them. Returns false, and adds
    /// nothing, if the text does not have this form, or if the digest would have too many digits.
    fn takes_tagged(&mut self, text: &str) -> bool {
        let Some((tag, groups)) = text.split_once('=') else { return self.takes_groups(text) };
        let tag = tag.trim();
        if tag.is_empty() || tag.contains([' ', '\t']) || !self.takes_groups(groups) {
            return false;
        }
        self.algorithm = Algorithm::from_name(tag).map_or(Tag::Unknown, Tag::Known);
        true
    }

    /// Adds groups of hexadecimal digits, each with an even number of digits, and returns true. Returns
    /// false, and adds nothing, if the text is blank or contains anything else, or if the digest would have
    /// too many digits.
    fn takes_groups(&mut self, text: &str) -> bool {
        let bytes =
            |group: &str| group.len().is_multiple_of(2) && group.bytes().all(|b| b.is_ascii_hexdigit());
        let groups = || text.split_ascii_whitespace();
        let digits: usize = groups().map(str::len).sum();
        let most = match &self.algorithm {
            Tag::Known(algorithm) => algorithm.size() * 2,
            Tag::None | Tag::Unknown => MOST_DIGITS,
        };
        if digits == 0 || self.digits.len() + digits > most || !groups().all(bytes) {
            return false;
        }
        groups().for_each(|group| self.digits.push_str(group));
        true
    }
}

/// Reads the line that `certutil` writes before a digest: `SHA256 hash of NAME`. Older versions write `SHA256
/// hash of file NAME`.
fn of_certutil(text: &str) -> Option<(Algorithm, String)> {
    let (algorithm, name) = text.split_once(" hash of ")?;
    Some((Algorithm::from_name(algorithm)?, name.strip_prefix("file ").unwrap_or(name).into()))
}
