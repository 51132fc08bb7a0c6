//! Whose signatures are believed, where they stand, and the form of minisign: its keys and signature files. The arithmetic
//! is the engine's, and so is all of OpenPGP, which is only recognised here.
//!
//! A minisign key is a line of base64, or the two lines of a `.pub` file. A signature file has four lines: a comment, the
//! signature, a trusted comment, and a signature of the former two. Invariant: what is read has exactly these parts.
//! (The form: <https://jedisct1.github.io/minisign/>.)

use base64::prelude::{BASE64_STANDARD, Engine};
use std::fmt;

/// A signature file is four short lines; comments may be long, but not like this.
pub const LONGEST: usize = 64 * 1024;

/// The longest file of keys that is read: what a project has of OpenPGP keys, with all that others said of them, has some
/// hundred KiB.
pub const LONGEST_KEYS: usize = 4 * 1024 * 1024;

/// How OpenPGP keys begin in ASCII (RFC 9580, 6.2.1).
const OPENPGP_ARMOR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The packet of a public key (RFC 9580, 5: type 6), and its place in the first byte of the two forms of a packet (4.2.1
/// and 4.2.2; in the old one, the last two bits are the form of its length).
const OPENPGP_KEY: u8 = 6;
const OPENPGP_NEW: u8 = 0b1100_0000;
const OPENPGP_OLD: u8 = 0b1000_0000;

/// The algorithm of a key and of a signature of the content itself, and that of a signature of its BLAKE2b digest.
const PLAIN: &[u8] = b"Ed";
const PREHASHED: &[u8] = b"ED";

/// How the third line begins.
const TRUSTED: &str = "trusted comment: ";

/// Whose signatures are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// Those of this minisign key.
    Minisign(Key),
    /// Those of these OpenPGP keys, as their file has them; the engine reads them, if it was built to.
    OpenPgp(Vec<u8>),
}

impl Keys {
    /// Reads a file of keys, whose content says of which kind they are.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(file: &[u8]) -> Result<Keys, &'static str> {
        if is_openpgp(file) {
            return Ok(Keys::OpenPgp(file.to_vec()));
        }
        Key::read(&String::from_utf8_lossy(file)).map(Keys::Minisign)
    }

    /// What the name of a file's own signature ends with, in the order in which they are looked for.
    pub fn endings(&self) -> &'static [&'static str] {
        match self {
            Keys::Minisign(_) => &[".minisig"],
            Keys::OpenPgp(_) => &[".asc", ".sig"],
        }
    }

    /// And that of a list's signature.
    pub fn list_endings(&self) -> &'static [&'static str] {
        match self {
            Keys::Minisign(_) => &[".minisig"],
            Keys::OpenPgp(_) => &[".gpg", ".asc", ".sig", ".sign"],
        }
    }

    /// And that of a list with its signature around it, which may stand for the list itself: as `gpg --clearsign` calls it, and
    /// as some call all that is of GnuPG.
    pub fn signed_list_endings(&self) -> &'static [&'static str] {
        match self {
            Keys::Minisign(_) => &[],
            Keys::OpenPgp(_) => &[".asc", ".gpg"],
        }
    }
}

fn is_openpgp(file: &[u8]) -> bool {
    let first = file.first().copied().unwrap_or_default();
    first == (OPENPGP_NEW | OPENPGP_KEY)
        || (first & !0b11) == (OPENPGP_OLD | (OPENPGP_KEY << 2))
        || file.windows(OPENPGP_ARMOR.len()).any(|some| some == OPENPGP_ARMOR)
}

/// An Ed25519 key and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    id: [u8; 8],
    /// The Ed25519 public key.
    pub ed25519: [u8; 32],
}

/// A signature as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    id: [u8; 8],
    /// It is of the content's BLAKE2b-512 digest; else, in the old form, of the content itself.
    pub prehashed: bool,
    /// The Ed25519 signature of that.
    pub of_content: [u8; 64],
    /// What the signer said with it.
    pub comment: String,
    /// The Ed25519 signature of `of_content` followed by `comment`.
    pub of_comment: [u8; 64],
}

impl Key {
    /// Reads a key: its base64 form, or the text of a `.pub` file.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(text: &str) -> Result<Key, &'static str> {
        let line = text.trim().lines().last().unwrap_or_default().trim();
        let bytes = BASE64_STANDARD.decode(line).map_err(|_| "it is not a minisign key")?;
        let rest = bytes.strip_prefix(PLAIN).ok_or("it is not a minisign key")?;
        let (id, ed25519) = rest.split_first_chunk::<8>().ok_or("it is too short for a minisign key")?;
        let ed25519 = ed25519.try_into().map_err(|_| "it has not the length of a minisign key")?;
        Ok(Key { id: *id, ed25519 })
    }

    /// Whether that signature says to be of this key.
    pub fn made(&self, signature: &Signature) -> bool {
        self.id == signature.id
    }
}

/// The key's number, as minisign shows it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.id))
    }
}

impl Signature {
    /// Reads the text of a `.minisig` file.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(text: &[u8]) -> Result<Signature, &'static str> {
        let bad = "it is not a minisign signature";
        let text = std::str::from_utf8(text).map_err(|_| bad)?;
        let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
        let (_, first, comment, second) = (
            lines.next().ok_or(bad)?,
            lines.next().ok_or(bad)?,
            lines.next().ok_or(bad)?,
            lines.next().ok_or(bad)?,
        );
        let decode = |line: &str| BASE64_STANDARD.decode(line.trim()).map_err(|_| bad);
        let (first, second) = (decode(first)?, decode(second)?);
        let (algorithm, rest) = first.split_at_checked(2).ok_or(bad)?;
        let prehashed = match algorithm {
            PREHASHED => true,
            PLAIN => false,
            _ => return Err(bad),
        };
        let (id, of_content) = rest.split_first_chunk::<8>().ok_or(bad)?;
        Ok(Signature {
            id: *id,
            prehashed,
            of_content: of_content.try_into().map_err(|_| bad)?,
            comment: comment.strip_prefix(TRUSTED).ok_or(bad)?.to_string(),
            of_comment: second.try_into().map_err(|_| bad)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key_line() -> String {
        BASE64_STANDARD.encode([PLAIN, &[1, 2, 3, 4, 5, 6, 7, 0xab], &[9; 32]].concat())
    }

    fn signature_text() -> String {
        let first = BASE64_STANDARD.encode([PREHASHED, &[1, 2, 3, 4, 5, 6, 7, 0xab], &[9; 64]].concat());
        let second = BASE64_STANDARD.encode([7; 64]);
        format!("untrusted comment: x\n{first}\ntrusted comment: file:a\n{second}\n")
    }

    #[test]
    fn keys_are_lines_or_files() {
        let key = Key::read(&key_line()).expect("a key");
        assert_eq!(key.to_string(), "AB07060504030201");
        assert_eq!(Key::read(&format!("untrusted comment: y\r\n{}\r\n", key_line())), Ok(key));
        for bad in ["", "x", "RWQ=", &key_line()[..40], &BASE64_STANDARD.encode([0; 42])] {
            assert!(Key::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signatures_are_four_lines() {
        let signature = Signature::read(signature_text().as_bytes()).expect("a signature");
        assert!(signature.prehashed && signature.comment == "file:a");
        assert!(Key::read(&key_line()).expect("a key").made(&signature));
        let windows = signature_text().replace('\n', "\r\n");
        assert_eq!(Signature::read(windows.as_bytes()), Ok(signature));
        for (from, to) in
            [("trusted comment: f", "comment: f"), ("RU", "RX"), ("\ntrusted", "\n\ntrusted"), ("BwcH", "B")]
        {
            let bad = signature_text().replacen(from, to, 2);
            assert_ne!(bad, signature_text());
            assert!(Signature::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_known_by_their_content() {
        assert!(matches!(Keys::read(key_line().as_bytes()), Ok(Keys::Minisign(_))));
        let armor = "Some words.\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n";
        for file in [armor.as_bytes(), b"\x98\x33", b"\x99\x01", b"\xc6\x33"] {
            assert_eq!(Keys::read(file), Ok(Keys::OpenPgp(file.to_vec())));
        }
        // A signature, a secret key, a user id.
        for file in [&b"\x88\x33"[..], b"\xc5\x33", b"\xb4\x33", b""] {
            assert!(Keys::read(file).is_err(), "{file:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), lines in "[A-Za-z0-9+/=\n: ]{0,300}") {
            let _ = (Signature::read(&bytes), Signature::read(lines.as_bytes()), Key::read(&lines));
        }
    }
}
