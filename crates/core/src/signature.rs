//! Reads keys and signature files of minisign, and has the endings of the names of signature files. The
//! engine does the cryptography. It also does everything about OpenPGP, except that this module recognises
//! OpenPGP keys.
//!
//! A minisign key is a line of base64, or the two lines of a `.pub` file. A signature file has four lines: a
//! comment, the signature, a trusted comment, and a signature of both the signature and the trusted comment.
//! <https://jedisct1.github.io/minisign/> describes the format.
//!
//! Invariant: the last line of a minisign key, and the second to fourth lines of a signature file, are
//! accepted only in this form. Other lines are not examined.

use base64::prelude::{BASE64_STANDARD, Engine};
use std::fmt;

/// The longest signature file of minisign or OpenPGP, in bytes. The two comments in a file of minisign may be
/// long.
pub const LONGEST: usize = 64 * 1024;

/// The longest file of keys that is read, in bytes. The OpenPGP keys of a project, with the signatures on
/// them, have several hundred KiB.
pub const LONGEST_KEYS: usize = 4 * 1024 * 1024;

/// The first line of OpenPGP keys in ASCII (RFC 9580, section 6.2.1).
const OPENPGP_ARMOR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The type of a public key packet (RFC 9580, section 5).
const OPENPGP_KEY: u8 = 6;
/// The first bits of a packet in the OpenPGP format (RFC 9580, section 4.2), also called the new format.
const OPENPGP_NEW: u8 = 0b1100_0000;
/// The first bits of a packet in the legacy format (RFC 9580, section 4.2). The last two bits of the same
/// byte tell the form of the length.
const OPENPGP_OLD: u8 = 0b1000_0000;

/// The identifier of the algorithm in keys, and in signatures of the content itself.
const PLAIN: &[u8] = b"Ed";
/// The identifier of the algorithm in signatures of the BLAKE2b digest of the content.
const PREHASHED: &[u8] = b"ED";

/// The beginning of the third line of a signature file.
const TRUSTED: &str = "trusted comment: ";

/// The endings of signature files for a checksum list, in the order in which they are tried.
const MINISIGN_LISTS: &[&str] = &[".minisig"];
const OPENPGP_LISTS: &[&str] = &[".gpg", ".asc", ".sig", ".sign"];

/// The keys whose signatures are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// A minisign key.
    Minisign(Key),
    /// A file of OpenPGP keys. The engine can use these keys only if it was built with the feature `openpgp`.
    OpenPgp(Vec<u8>),
}

impl Keys {
    /// Reads a file of keys. The content of the file shows if the keys are for minisign or for OpenPGP.
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong with the file.
    pub fn read(file: &[u8]) -> Result<Keys, &'static str> {
        if is_openpgp(file) {
            return Ok(Keys::OpenPgp(file.to_vec()));
        }
        Key::read(&String::from_utf8_lossy(file)).map(Keys::Minisign)
    }

    /// Returns the endings of signature files for a single file, in the order in which they are tried.
    pub fn endings(&self) -> &'static [&'static str] {
        match self {
            Keys::Minisign(_) => &[".minisig"],
            Keys::OpenPgp(_) => &[".asc", ".sig"],
        }
    }

    /// Returns the endings of signature files for a checksum list, in the order in which they are tried.
    pub fn list_endings(&self) -> &'static [&'static str] {
        match self {
            Keys::Minisign(_) => MINISIGN_LISTS,
            Keys::OpenPgp(_) => OPENPGP_LISTS,
        }
    }

    /// Returns the endings of signature files for a checksum list, for keys of any kind.
    pub fn all_list_endings() -> impl Iterator<Item = &'static str> {
        MINISIGN_LISTS.iter().chain(OPENPGP_LISTS).copied()
    }

    /// Returns the endings of a checksum list that contains its own signature. Such a file can be used
    /// instead of the plain checksum list. `gpg --clearsign` writes `.asc`, and some projects use `.gpg`.
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

/// An Ed25519 key and its identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    id: [u8; 8],
    /// The Ed25519 public key.
    pub ed25519: [u8; 32],
}

/// The content of a signature file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    id: [u8; 8],
    /// True if the BLAKE2b-512 digest of the content is signed. In the old form, the content itself is
    /// signed.
    pub prehashed: bool,
    /// The Ed25519 signature of the content, or of its digest.
    pub of_content: [u8; 64],
    /// The trusted comment.
    pub comment: String,
    /// The Ed25519 signature of `of_content` followed by `comment`.
    pub of_comment: [u8; 64],
}

impl Key {
    /// Reads a key: its base64 form, or the text of a `.pub` file.
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong with the text.
    pub fn read(text: &str) -> Result<Key, &'static str> {
        let line = text.trim().lines().last().unwrap_or_default().trim();
        let bytes = BASE64_STANDARD.decode(line).map_err(|_| "it is not a minisign key")?;
        let rest = bytes.strip_prefix(PLAIN).ok_or("it is not a minisign key")?;
        let (id, ed25519) = rest.split_first_chunk::<8>().ok_or("it is too short for a minisign key")?;
        let ed25519 = ed25519.try_into().map_err(|_| "it does not have the length of a minisign key")?;
        Ok(Key { id: *id, ed25519 })
    }

    /// Returns true if a signature names this key. The signature may still be wrong.
    pub fn made(&self, signature: &Signature) -> bool {
        self.id == signature.id
    }
}

/// Writes the identifier of the key in the form in which minisign shows it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.id))
    }
}

impl Signature {
    /// Reads the text of a `.minisig` file.
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong with the text.
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
    fn a_key_is_read_from_a_line_or_a_file() {
        let key = Key::read(&key_line()).expect("a key");
        assert_eq!(key.to_string(), "AB07060504030201");
        assert_eq!(Key::read(&format!("untrusted comment: y\r\n{}\r\n", key_line())), Ok(key));
        for bad in ["", "x", "RWQ=", &key_line()[..40], &BASE64_STANDARD.encode([0; 42])] {
            assert!(Key::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_signature_file_has_four_lines() {
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
    fn the_kind_of_keys_is_recognised_by_their_content() {
        assert!(matches!(Keys::read(key_line().as_bytes()), Ok(Keys::Minisign(_))));
        let armor = "Some words.\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n";
        for file in [armor.as_bytes(), b"\x98\x33", b"\x99\x01", b"\xc6\x33"] {
            assert_eq!(Keys::read(file), Ok(Keys::OpenPgp(file.to_vec())));
        }
        // These are the first bytes of a signature, a secret key and a user id, and an empty file.
        for file in [&b"\x88\x33"[..], b"\xc5\x33", b"\xb4\x33", b""] {
            assert!(Keys::read(file).is_err(), "{file:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), lines in "[A-Za-z0-9+/=\n: ]{0,300}") {
            let _ = (Signature::read(&bytes), Signature::read(lines.as_bytes()), Key::read(&lines));
        }
    }
}
