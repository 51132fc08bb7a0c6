//! Reads entries of checksum lists that consist of one line, in these forms:
//!
//! - GNU: `HEX  NAME`, `HEX *NAME`, `\HEX  ESCAPED NAME`
//! - BSD, `cksum` and openssl: `SHA256 (NAME) = HEX`
//! - Subresource Integrity: `sha256-BASE64 NAME`, and likewise `sha256:HEX NAME`
//! - PowerShell: `SHA256 HEX NAME`
//! - reversed: `NAME  HEX`, `NAME sha256:HEX`
//! - a digest without a name, in most of these forms
//!
//! If a line does not name the algorithm, the algorithm follows from the length of the digest and the name
//! of the list.
//!
//! Invariant: each digest has the length that its algorithm requires.

use super::{Entry, base};
use crate::digest::{Algorithm, Digest};

/// Reads a line that is certainly a complete entry. Returns `None` for all other lines, such as a line that
/// may be the first line of an entry with several lines.
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
    let names_nothing = name == "-" || (!escaped && matches!(name.trim_end(), "" | "-"));
    Some(Entry { name: if names_nothing { String::new() } else { name }, digest })
}

/// Returns `name`. If it is a Windows path (`C:\DIR\NAME`, `.\NAME`), its backslashes become slashes. In
/// other names, a backslash is an ordinary character.
pub(super) fn written(name: &str) -> String {
    let has_drive = name.get(1..3) == Some(":\\") && name.starts_with(|c: char| c.is_ascii_alphabetic());
    match has_drive || name.starts_with(".\\") {
        true => name.replace('\\', "/"),
        false => name.into(),
    }
}

/// Reads `NAME  HEX`.
pub(super) fn reversed(line: &str, list: &str) -> Option<Entry> {
    let (name, digits) = line.trim().rsplit_once([' ', '\t'])?;
    let name = name.trim_end();
    // If the text before the digits ends with one of these characters, the text names an unknown algorithm,
    // as in `SHA3-256 (NAME) = HEX`.
    let marked = name.ends_with(['=', ':']);
    Some(Entry { name: written(name), digest: hexadecimal(digits, list).filter(|_| !marked)? })
}

/// Reads hexadecimal digits as a digest. The number of digits gives the algorithm. `list` is the name of the
/// list. If it is a name such as `B3SUMS`, 64 digits are BLAKE3. If it is a name such as `B2SUMS`, 128 digits
/// are BLAKE2b. In other lists, 64 digits are SHA-256, and 128 digits are SHA-512.
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

/// Reads `HEX NAME`, `HEX *NAME` (the star means that the file was read as binary), or `HEX` alone.
fn gnu<'l>(line: &'l str, list: &str) -> Option<(&'l str, Digest)> {
    let (digits, rest) = line.split_at(line.find([' ', '\t']).unwrap_or(line.len()));
    Some((behind(rest), hexadecimal(digits, list)?))
}

/// Returns the name after a digest. The separator is a blank or a tab, which another blank or a star may
/// follow. Further blanks belong to the name.
fn behind(rest: &str) -> &str {
    let rest = rest.strip_prefix([' ', '\t']).unwrap_or(rest);
    rest.strip_prefix([' ', '*']).unwrap_or(rest)
}

/// Reads `SHA256 (NAME) = HEX`. openssl writes no blanks around `(NAME)`. For standard input, some versions
/// of openssl leave out the algorithm.
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

/// Reads `sha256:HEX NAME`, `sha256=HEX NAME` and `sha256-BASE64 NAME`, and `SHA256 = HEX` without a name.
fn with_algorithm(line: &str) -> Option<(&str, Digest)> {
    if let Ok(digest) = Digest::from_pair(line) {
        return Some(("", digest));
    }
    let (digest, rest) = line.split_at(line.find([' ', '\t'])?);
    Some((behind(rest), Digest::from_pair(digest).ok()?))
}

/// Reads `SHA256  HEX  NAME`, a row of the table that PowerShell's `Get-FileHash` writes.
fn table(line: &str) -> Option<(&str, Digest)> {
    let (algorithm, rest) = line.split_once([' ', '\t'])?;
    let (digits, name) = rest.trim_start().split_once([' ', '\t'])?;
    Some((name.trim(), Digest::from_hex(Algorithm::from_name(algorithm)?, digits)?))
}

/// Reads `NAME sha256:HEX`.
fn reversed_pair(line: &str) -> Option<(&str, Digest)> {
    let (name, pair) = line.trim().rsplit_once([' ', '\t'])?;
    Some((name.trim_end(), Digest::from_pair(pair).ok()?))
}

/// Undoes the escapes of GNU (`\n`, `\r` and `\\`) in a name whose line begins with a backslash. Returns
/// `None` if the name has another escape.
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
