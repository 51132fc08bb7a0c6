//! Checksum lists: the forms of `sha256sum` and friends (GNU and BSD), and what a list says of a file.
//!
//! `HEX  NAME`, `HEX *NAME`, `\HEX  ESCAPED NAME`; `SHA256 (NAME) = HEX`, also as openssl writes it; a digest alone. The
//! algorithm is that of the tag, or follows from the digest's length. Invariant: a line is one digest of one file, or
//! it is not read at all; memory is a small multiple of the text's.

use crate::digest::{Algorithm, Digest};

/// The longest list that is read: a distribution's list of every package has some megabytes.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// What a list says, by the last part of the names.
#[derive(Debug, Default)]
pub struct Checksums {
    /// Sorted by [`base`] of their names.
    entries: Vec<Entry>,
    unread: usize,
}

/// A line: a digest, and the name of the file as the list has it (empty when the digest stands alone).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, unescaped; a path when the list has one.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
}

/// What a list says of one file.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// These are its digests; never empty.
    As(Vec<Digest>),
    /// It is not in the list.
    Not,
    /// The list has several files of that name in different folders.
    Several,
}

impl Checksums {
    /// Reads a whole list. `name` is its file name: `B2SUMS` and `B3SUMS` have digests as long as those of SHA-2.
    pub fn read(text: &[u8], name: &str) -> Checksums {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let (mut entries, mut unread) = (Vec::new(), 0);
        for line in text.split(|&byte| byte == b'\n') {
            match entry(line, name) {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => {}
                Err(Unreadable) => unread += 1,
            }
        }
        entries.sort_by(|a, b| base(&a.name).cmp(base(&b.name)));
        Checksums { entries, unread }
    }

    /// Lines that could not be read: signatures around the list, digests of other algorithms.
    pub fn unread(&self) -> usize {
        self.unread
    }

    /// Every line that was read.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What it says of a file that goes by these names, the best known first: the first of them that it has is meant. A
    /// path that is the same counts before a last part that is.
    pub fn of(&self, names: &[String]) -> Named {
        names.iter().map(|name| self.of_one(name)).find(|named| *named != Named::Not).unwrap_or(Named::Not)
    }

    /// The digest of a list that has nothing else, not even a name: `NAME.sha256`.
    pub fn alone(&self) -> Option<&Digest> {
        match self.entries.as_slice() {
            [Entry { name, digest }] if name.is_empty() => Some(digest),
            _ => None,
        }
    }

    fn of_one(&self, name: &str) -> Named {
        let name = plain(name);
        if name.is_empty() {
            return Named::Not;
        }
        let wanted = base(name);
        let first = self.entries.partition_point(|entry| base(&entry.name) < wanted);
        let all = self.entries[first..].iter().take_while(|entry| base(&entry.name) == wanted);
        let all: Vec<&Entry> = all.collect();
        let digests = |of: &str| {
            let those = all.iter().filter(|entry| plain(&entry.name) == of);
            Named::As(those.map(|entry| entry.digest.clone()).collect())
        };
        let mut paths: Vec<&str> = all.iter().map(|entry| plain(&entry.name)).collect();
        paths.dedup();
        match paths.as_slice() {
            [] => Named::Not,
            _ if paths.contains(&name) => digests(name),
            [one] => digests(one),
            _ => Named::Several,
        }
    }
}

/// The last part of a path.
fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn plain(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}

struct Unreadable;

/// Reads one line. `None` for blank lines and comments.
fn entry(line: &[u8], list: &str) -> Result<Option<Entry>, Unreadable> {
    let line = std::str::from_utf8(line).map_err(|_| Unreadable)?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (line, escaped) = match line.strip_prefix('\\') {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (name, digest) = gnu(line, list).or_else(|| bsd(line)).ok_or(Unreadable)?;
    let name = if escaped { unescaped(name).ok_or(Unreadable)? } else { name.to_string() };
    Ok(Some(Entry { name, digest }))
}

/// `HEX  NAME`, `HEX *NAME` (read as binary, which is the same), or `HEX` alone.
fn gnu<'l>(line: &'l str, list: &str) -> Option<(&'l str, Digest)> {
    let (hex, rest) = line.split_at(line.find([' ', '\t']).unwrap_or(line.len()));
    let digest = Digest::from_hex(by_length(hex.len(), list)?, hex)?;
    // A blank or a star says how it was read; a name may begin with either, but only behind one of them.
    let rest = rest.strip_prefix([' ', '\t']).unwrap_or(rest);
    Some((rest.strip_prefix([' ', '*']).unwrap_or(rest), digest))
}

/// `SHA256 (NAME) = HEX`, or without the blanks.
fn bsd(line: &str) -> Option<(&str, Digest)> {
    let (tag, rest) = line.split_once('(')?;
    let (name, hex) = rest.rsplit_once(')')?;
    let hex = hex.trim_start().strip_prefix('=')?.trim();
    let tag = tag.trim_end().to_ascii_lowercase();
    // OpenSSL says which SHA it is of.
    let algorithm = Algorithm::from_name(&tag.replace("sha2-", "sha"))?;
    let digest = Digest::from_hex(algorithm, hex)?;
    (!name.is_empty()).then_some((name, digest))
}

fn by_length(digits: usize, list: &str) -> Option<Algorithm> {
    let list = base(list).to_ascii_lowercase();
    let says = |names: &[&str]| names.iter().any(|name| list.contains(name));
    Some(match digits {
        32 => Algorithm::Md5,
        40 => Algorithm::Sha1,
        64 if says(&["b3sum", ".b3", "blake3"]) => Algorithm::Blake3,
        64 => Algorithm::Sha256,
        96 => Algorithm::Sha384,
        128 if says(&["b2sum", ".b2", "blake2"]) => Algorithm::Blake2b,
        128 => Algorithm::Sha512,
        _ => return None,
    })
}

/// GNU writes a line feed, a carriage return and a backslash of a name like this, and a backslash before the line.
fn unescaped(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(line: &str, list: &str) -> Option<(String, &'static str)> {
        let read = Checksums::read(line.as_bytes(), list);
        assert!(read.entries.len() <= 1);
        read.entries.first().map(|entry| (entry.name.clone(), entry.digest.algorithm.name()))
    }

    #[test]
    fn every_form() {
        let hex = |digits: usize| "aB".repeat(digits / 2);
        let (md5, sha1, sha256, sha384, sha512) = (hex(32), hex(40), hex(64), hex(96), hex(128));
        let some = |name: &str, algorithm| Some((name.to_string(), algorithm));
        for (line, list, expected) in [
            (format!("{sha256}  a b.iso"), "SHA256SUMS", some("a b.iso", "sha-256")),
            (format!("{sha256} *a.iso\r"), "x", some("a.iso", "sha-256")),
            (format!("{sha256}  *a.iso"), "x", some("*a.iso", "sha-256")),
            (format!("{sha256}   a.iso"), "x", some(" a.iso", "sha-256")),
            (format!("{sha256} a.iso"), "x", some("a.iso", "sha-256")),
            (format!("{sha256}\ta.iso"), "x", some("a.iso", "sha-256")),
            (sha256.clone(), "x", some("", "sha-256")),
            (format!("\u{feff}{sha256}  a"), "x", some("a", "sha-256")),
            (format!("{sha256}  a"), "B3SUMS", some("a", "blake3")),
            (format!("{md5}  a"), "MD5SUMS", some("a", "md5")),
            (format!("{sha1}  ./d/a"), "x", some("./d/a", "sha-1")),
            (format!("{sha384}  a"), "x", some("a", "sha-384")),
            (format!("{sha512}  a"), "SHA512SUMS", some("a", "sha-512")),
            (format!("{sha512}  a"), "dir/a.b2", some("a", "blake2b")),
            (format!("{sha512}  a"), "B2SUMS", some("a", "blake2b")),
            (format!("\\{sha256}  a\\nb\\\\c"), "x", some("a\nb\\c", "sha-256")),
            (format!("{sha256}  a\\nb"), "x", some("a\\nb", "sha-256")),
            (format!("SHA256 (a (1).iso) = {sha256}"), "x", some("a (1).iso", "sha-256")),
            (format!("SHA2-256(a)= {sha256}"), "x", some("a", "sha-256")),
            (format!("\\SHA512 (a\\\\b) = {sha512}"), "x", some("a\\b", "sha-512")),
            (format!("BLAKE2b (a) = {sha512}"), "x", some("a", "blake2b")),
            (format!("MD5 (a) = {md5}"), "x", some("a", "md5")),
            ("# comment".into(), "x", None),
            (String::new(), "x", None),
            (format!("{sha256}f  a"), "x", None),
            (format!("zz{}  a", hex(62)), "x", None),
            (format!("\\{sha256}  a\\xb"), "x", None),
            (format!("SHA3-256 (a) = {sha256}"), "x", None),
            (format!("SHA512/256 (a) = {sha256}"), "x", None),
            (format!("SHA256 (a) = {md5}"), "x", None),
            (format!("SHA256 () = {sha256}"), "x", None),
            ("-----BEGIN PGP SIGNED MESSAGE-----".into(), "x", None),
            ("<!doctype html>".into(), "x", None),
        ] {
            assert_eq!(one(&line, list), expected, "{line}");
        }
    }

    #[test]
    fn names_are_found_by_path_and_then_by_their_last_part() {
        let hex = |digit: &str| digit.repeat(64);
        let text =
            format!("{} a/f\n{} b/f\n{} ./c/g\n{} f2\nnoise\n", hex("1"), hex("2"), hex("3"), hex("4"));
        let list = Checksums::read(text.as_bytes(), "x");
        assert_eq!(list.unread(), 1);
        let first = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            match list.of(&names) {
                Named::As(digests) => digests[0].to_string()[..1].to_string(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(first(&["b/f"]), "2");
        assert_eq!(first(&["f"]), "Several");
        assert_eq!(first(&["x/f"]), "Several");
        assert_eq!(first(&["g"]), "3");
        assert_eq!(first(&["./f2"]), "4");
        assert_eq!(first(&["mine", "f2"]), "4");
        assert_eq!(first(&["mine", ""]), "Not");
        assert!(Checksums::read(hex("1").as_bytes(), "x").alone().is_some());
        assert_eq!(Checksums::read(format!("{}  f", hex("1")).as_bytes(), "x").alone(), None);
    }

    #[test]
    fn two_digests_of_a_file_are_both_meant() {
        let text = format!("{}  f\n{}  f\n", "1".repeat(64), "2".repeat(128));
        let Named::As(digests) = Checksums::read(text.as_bytes(), "x").of(&["f".into()]) else {
            panic!("named")
        };
        assert_eq!(digests.len(), 2);
    }

    proptest! {
        #[test]
        fn no_list_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), list in "[a-z0-9.]{0,8}") {
            let read = Checksums::read(&bytes, &list);
            prop_assert!(read.entries().len() <= bytes.len());
            for entry in read.entries() {
                prop_assert!(entry.name.is_empty() || read.of(std::slice::from_ref(&entry.name)) != Named::Not
                    || plain(&entry.name).is_empty());
            }
        }

        #[test]
        fn what_is_written_is_read(name in "[a-z\\\\\n *().=/]{1,20}", digit in "[0-9a-f]") {
            let escaped = name.replace('\\', "\\\\").replace('\n', "\\n");
            let mark = if escaped == name { "" } else { "\\" };
            let line = format!("{mark}{}  {escaped}", digit.repeat(64));
            let read = Checksums::read(line.as_bytes(), "x");
            prop_assert_eq!(read.entries().first().map(|entry| entry.name.as_str()), Some(name.as_str()));
        }
    }
}
