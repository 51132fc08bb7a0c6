//! Verifies minisign signatures, which [`downhaul_core::signature`] reads.
//!
//! The signed digest is computed while the file arrives, so the file usually does not have to be read again.
//! Invariant: a signature file has a signature of the content and a signature of the comment, and both must
//! be valid.

use crate::hashers::Hashers;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::signature::{Key, Signature};

/// The algorithm of the digest that is signed.
pub(super) const SIGNED: Algorithm = Algorithm::Blake2b;

/// Reads a signature file, and checks that it names the key. `text` is the content of the signature file, and
/// `at` is its path or URL.
///
/// # Errors
/// Returns `signature.wrong`, with the reason.
pub(super) fn read(key: &Key, text: &[u8], at: &str) -> Result<Signature, Error> {
    let wrong = |why: &str| Error::new(ErrorKind::SignatureWrong, at, why);
    let signature = Signature::read(text).map_err(wrong)?;
    if !key.made(&signature) {
        return Err(wrong(&format!("it was made with a key other than {key}")));
    }
    Ok(signature)
}

/// Verifies a signature of these bytes, such as a checksum list. `at` is the path or URL that an error shows.
/// Both forms of signatures are accepted: those of the bytes themselves, and those of their digest.
///
/// # Errors
/// Returns `signature.wrong`, with the reason.
pub(super) fn check_text(key: &Key, signature: &Signature, text: &[u8], at: &str) -> Result<(), Error> {
    if !signature.prehashed {
        return check(key, signature, text, at);
    }
    let mut hashers = Hashers::new(&[SIGNED]);
    hashers.update(&[text]);
    check_file(key, signature, &hashers.finish(), at)
}

/// Verifies a signature of the file that has these digests. `at` is the path or URL that an error shows. A
/// signature of the content itself (minisign's old form) is refused, because the whole file would have to be
/// in memory.
///
/// # Errors
/// Returns `signature.wrong`, with the reason.
pub(super) fn check_file(
    key: &Key,
    signature: &Signature,
    digests: &[Digest],
    at: &str,
) -> Result<(), Error> {
    if !signature.prehashed {
        let why = "it is in minisign's old form, which needs the whole file at once; sign again with a newer minisign";
        return Err(Error::new(ErrorKind::SignatureWrong, at, why));
    }
    match digests.iter().find(|digest| digest.algorithm == SIGNED) {
        Some(digest) => check(key, signature, &digest.bytes, at),
        None => Err(Error::new(ErrorKind::SignatureWrong, at, "the digest of the file was not computed")),
    }
}

fn check(key: &Key, signature: &Signature, signed: &[u8], at: &str) -> Result<(), Error> {
    let key = UnparsedPublicKey::new(&ED25519, &key.ed25519);
    let comment = [&signature.of_content[..], signature.comment.as_bytes()].concat();
    let wrong = |why: &str| Error::new(ErrorKind::SignatureWrong, at, why);
    key.verify(signed, &signature.of_content).map_err(|_| wrong("the content is not what was signed"))?;
    key.verify(&comment, &signature.of_comment).map_err(|_| wrong("its comment is not what was signed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signatures of the content `test` by minisign, in both forms. The author of minisign uses this key in
    /// examples.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const NEW: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1556193335\tfile:test\n\
        y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n";
    const OLD: &str = "untrusted comment: signature from minisign secret key\n\
        RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n\
        trusted comment: timestamp:1555779966\tfile:test\n\
        QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n";

    #[test]
    fn only_valid_signatures_of_minisign_are_accepted() {
        let key = Key::read(KEY).expect("a key");
        assert_eq!(key.to_string(), "E7620F1842B4E81F");
        for text in [NEW, OLD] {
            let check = |signature: &str, content: &[u8]| {
                let signature = read(&key, signature.as_bytes(), "x")?;
                check_text(&key, &signature, content, "x")
            };
            assert_eq!(check(text, b"test"), Ok(()));
            for (signature, content) in [
                (text.to_string(), &b"Test"[..]),
                (text.replace("timestamp:1", "timestamp:2"), b"test"),
                (text.replace("NCisQ", "NCisR").replace("SfNQ", "SfNR"), b"test"),
            ] {
                assert_eq!(
                    check(&signature, content).map_err(|error| error.kind),
                    Err(ErrorKind::SignatureWrong)
                );
            }
        }
        let signature = read(&key, OLD.as_bytes(), "x").expect("a signature");
        assert!(
            check_file(&key, &signature, &[], "x").is_err(),
            "of a file, only the new form can be checked"
        );
        let another = Key::read(&KEY.replacen("RWQf", "RWQg", 1)).expect("a key");
        assert!(read(&another, NEW.as_bytes(), "x").is_err());
    }
}
