//! The forms of a line of a checksum list.
//!
//! `HEX  NAME`, `HEX *NAME`, `\HEX  ESCAPED NAME` (GNU); `SHA256 (NAME) = HEX` (BSD, `cksum`, openssl); `sha256:HEX NAME` and
//! `sha256-BASE64 NAME` (Subresource Integrity); `SHA256 HEX NAME` (PowerShell); `NAME  HEX`; and each digest alone. The algorithm is the one that is named, or
//! follows from the digest's length. Invariant: a digest is exactly as long as its algorithm's are.

use super::{Entry, base};
use crate::digest::{Algorithm, Digest};

/// Reads a line in any of the forms that are certain before it is known whether the line is the beginning of several.
pub(super) fn before_blocks(line: &str, list: &str) -> Option<Entry> {
    let (line, escaped) = match line.strip_prefix('\\') {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (name, digest) = gnu(line, list)
        .or_else(|| bsd(line, list))
        .or_else(|| with_algorithm(line))
        .or_else(|| table(line))
        .or_else(|| reversed_pair(line))?;
    let name = if escaped { unescaped(name)? } else { written(name) };
    Some(Entry { name: if name == "-" { String::new() } else { name }, digest })
}

/// A name as it is written in a list. A path of Windows (`C:\DIR\NAME`, `.\NAME`) gets slashes; in names of other systems, a
/// backslash is a letter like any other.
pub(super) fn written(name: &str) -> String {
    let has_drive = name.get(1..3) == Some(":\\") && name.starts_with(|c: char| c.is_ascii_alphabetic());
    match has_drive || name.starts_with(".\\") {
        true => name.replace('\\', "/"),
        false => name.into(),
    }
}

/// `NAME  HEX`.
pub(super) fn reversed(line: &str, list: &str) -> Option<Entry> {
    let (name, digits) = line.trim().rsplit_once([' ', '\t'])?;
    let name = name.trim_end();
    // Behind such a mark is a digest of an algorithm that is not known here: `SHA3-256 (NAME) = HEX`.
    let marked = name.ends_with(['=', ':']);
    Some(Entry { name: written(name), digest: hexadecimal(digits, list).filter(|_| !marked)? })
}

/// The digest that this is as hexadecimal digits, whose number says the algorithm. `B2SUMS` and `B3SUMS` have digests as long as
/// those of SHA-2.
pub(super) fn hexadecimal(digits: &str, list: &str) -> Option<Digest> {
    let list = base(list).to_ascii_lowercase();
    let says = |names: &[&str]| names.iter().any(|name| list.contains(name));
    let algorithm = match digits.len() {
        64 if says(&["b3sum", ".b3", "blake3"]) => Algorithm::Blake3,
        128 if says(&["b2sum", ".b2", "blake2"]) => Algorithm::Blake2b,
        digits => Algorithm::by_length(digits)?,
    };
    Digest::from_hex(algorithm, digits)
}

/// `HEX  NAME`, `HEX *NAME` (read as binary, which is the same), or `HEX` alone.
fn gnu<'l>(line: &'l str, list: &str) -> Option<(&'l str, Digest)> {
    let (digits, rest) = line.split_at(line.find([' ', '\t']).unwrap_or(line.len()));
    Some((behind(rest), hexadecimal(digits, list)?))
}

/// The name behind a digest. A blank or a star says how the file was read; a name may begin with either, but only behind one of
/// them.
fn behind(rest: &str) -> &str {
    let rest = rest.strip_prefix([' ', '\t']).unwrap_or(rest);
    rest.strip_prefix([' ', '*']).unwrap_or(rest)
}

/// `SHA256 (NAME) = HEX`, or without the blanks, as openssl writes it: of standard input, without a tag too.
fn bsd<'l>(line: &'l str, list: &str) -> Option<(&'l str, Digest)> {
    let (tag, rest) = line.split_once('(')?;
    let (name, digest) = rest.rsplit_once(')')?;
    let digest = digest.trim_start().strip_prefix('=')?.trim();
    if name == "stdin" && !tag.ends_with(' ') {
        let digest = match Algorithm::from_name(tag) {
            Some(algorithm) => Digest::from_text(algorithm, digest)?,
            None => hexadecimal(digest, list).filter(|_| tag.is_empty())?,
        };
        return Some(("", digest));
    }
    let digest = Digest::from_text(Algorithm::from_name(tag.trim_end())?, digest)?;
    (!name.is_empty()).then_some((name, digest))
}

/// `sha256:HEX NAME`, or with another mark between them; `SHA256 = HEX` without a name.
fn with_algorithm(line: &str) -> Option<(&str, Digest)> {
    if let Ok(digest) = Digest::from_pair(line) {
        return Some(("", digest));
    }
    let (digest, rest) = line.split_at(line.find([' ', '\t'])?);
    Some((behind(rest), Digest::from_pair(digest).ok()?))
}

/// `SHA256  HEX  NAME`, the table of PowerShell's `Get-FileHash`.
fn table(line: &str) -> Option<(&str, Digest)> {
    let (algorithm, rest) = line.split_once([' ', '\t'])?;
    let (digits, name) = rest.trim_start().split_once([' ', '\t'])?;
    Some((name.trim(), Digest::from_hex(Algorithm::from_name(algorithm)?, digits)?))
}

/// `NAME sha256:HEX`.
fn reversed_pair(line: &str) -> Option<(&str, Digest)> {
    let (name, pair) = line.trim().rsplit_once([' ', '\t'])?;
    Some((name.trim_end(), Digest::from_pair(pair).ok()?))
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
