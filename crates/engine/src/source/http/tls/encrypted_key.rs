//! Decrypts private keys that need a password: PKCS #8 with PBES2 (RFC 5958, section 3; RFC 8018, section
//! 6.2). Since version 1.1, `openssl genpkey` and `openssl pkcs8` write this form by default if they encrypt
//! a key.
//!
//! Invariant: neither the password nor the key is in an error.

use super::certificate::{Der, INTEGER, OCTETS, OID, SEQUENCE};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm as Cipher, DecryptionContext, PaddedBlockDecryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::pbkdf2::{
    self, Algorithm as Prf, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512,
};
use base64::prelude::{BASE64_STANDARD, Engine};
use downhaul_core::secret::Secret;
use rustls::pki_types::PrivateKeyDer;
use std::num::NonZeroU32;

/// The lines around an encrypted key (RFC 7468, section 11).
const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// Object identifiers of PBES2 and PBKDF2 (RFC 8018, appendix A).
const PBES2: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];

/// The beginning of the object identifiers of HMAC functions (RFC 8018, appendix B.1.2).
const HMAC: [u8; 7] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];

/// The beginning of the object identifiers of AES (RFC 8018, appendix B.2.5).
const AES: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];

/// The reason why a key was not decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecrypted {
    /// The password is wrong, or the encrypted bytes are damaged.
    WrongPassword,
    /// The encrypted bytes or the parameters of the encryption cannot be read, or the key is encrypted in
    /// another way.
    Unsupported,
}

/// Returns true if a text has an encrypted key in the form PKCS #8. [`decrypt`] fails if the key is encrypted
/// in an unusual way.
pub(super) fn is_in(text: &str) -> bool {
    text.contains(BEGIN)
}

/// Decrypts the first encrypted key in a text.
///
/// # Errors
/// Returns why the key was not decrypted.
pub(super) fn decrypt(text: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, Undecrypted> {
    let block = text.split_once(BEGIN).and_then(|(_, after)| after.split_once(END));
    let (base64, _) = block.ok_or(Undecrypted::Unsupported)?;
    let base64: String = base64.split_whitespace().collect();
    let der = BASE64_STANDARD.decode(base64).map_err(|_| Undecrypted::Unsupported)?;
    let encrypted = Encrypted::read(&der).ok_or(Undecrypted::Unsupported)?;
    let key = encrypted.decrypt(password.expose().as_bytes()).ok_or(Undecrypted::WrongPassword)?;
    // With a wrong password, the padding is right by chance in about 1 of 256 cases. The bytes are then not a
    // key.
    PrivateKeyDer::try_from(key).map_err(|_| Undecrypted::WrongPassword)
}

/// An encrypted key, with the parameters of its encryption.
struct Encrypted<'a> {
    prf: Prf,
    salt: &'a [u8],
    iterations: NonZeroU32,
    cipher: &'static Cipher,
    key_length: usize,
    iv: [u8; 16],
    data: &'a [u8],
}

impl<'a> Encrypted<'a> {
    fn read(der: &'a [u8]) -> Option<Encrypted<'a>> {
        let mut whole = Der(Der(der).expect(SEQUENCE)?);
        let mut scheme = Der(whole.expect(SEQUENCE)?);
        let data = whole.expect(OCTETS)?;
        if scheme.expect(OID)? != PBES2 {
            return None;
        }
        let mut parameters = Der(scheme.expect(SEQUENCE)?);
        let (mut derivation, mut encryption) =
            (Der(parameters.expect(SEQUENCE)?), Der(parameters.expect(SEQUENCE)?));
        if derivation.expect(OID)? != PBKDF2 {
            return None;
        }
        let mut derivation = Der(derivation.expect(SEQUENCE)?);
        let salt = derivation.expect(OCTETS)?;
        let iterations = number(derivation.expect(INTEGER)?)?;
        if derivation.peek() == Some(INTEGER) {
            // This is the length of the key. It is not used, because the cipher also states it.
            derivation.expect(INTEGER)?;
        }
        let prf = match derivation.peek() {
            None => PBKDF2_HMAC_SHA1,
            Some(_) => match Der(derivation.expect(SEQUENCE)?).expect(OID)?.strip_prefix(&HMAC)? {
                [7] => PBKDF2_HMAC_SHA1,
                [9] => PBKDF2_HMAC_SHA256,
                [10] => PBKDF2_HMAC_SHA384,
                [11] => PBKDF2_HMAC_SHA512,
                _ => return None,
            },
        };
        let (cipher, key_length) = match encryption.expect(OID)?.strip_prefix(&AES)? {
            [2] => (&AES_128, 16),
            [22] => (&AES_192, 24),
            [42] => (&AES_256, 32),
            _ => return None,
        };
        let iv = encryption.expect(OCTETS)?.try_into().ok()?;
        Some(Encrypted { prf, salt, iterations, cipher, key_length, iv, data })
    }

    /// Returns the decrypted bytes, or `None` if their padding is wrong. A wrong password or damaged data is
    /// usually noticed in this way, but not always.
    fn decrypt(&self, password: &[u8]) -> Option<Vec<u8>> {
        let mut key = vec![0; self.key_length];
        pbkdf2::derive(self.prf, self.iterations, self.salt, password, &mut key);
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(self.cipher, &key).ok()?).ok()?;
        let mut data = self.data.to_vec();
        let decrypted = key.decrypt(&mut data, DecryptionContext::Iv128(self.iv.into())).ok()?;
        Some(decrypted.to_vec())
    }
}

/// Reads a positive number from the content of a DER INTEGER.
fn number(bytes: &[u8]) -> Option<NonZeroU32> {
    let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
    let value =
        bytes.iter().try_fold(0_u32, |value, byte| value.checked_mul(256)?.checked_add((*byte).into()));
    value.and_then(NonZeroU32::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_keys_are_unsupported_and_show_nothing() {
        let password = Secret::new("hush");
        for base64 in ["", "AAAA", "!", "MAA=", "MIIBIjANBgkqhkiG9w0BAQ=="] {
            let text = format!("{BEGIN}\n{base64}\n{END}\n");
            assert_eq!(decrypt(&text, &password).err(), Some(Undecrypted::Unsupported), "{base64}");
        }
        assert_eq!(decrypt(BEGIN, &password).err(), Some(Undecrypted::Unsupported));
    }

    #[test]
    fn numbers_are_positive_and_have_32_bits() {
        assert_eq!(number(&[8, 0]), NonZeroU32::new(2048));
        assert_eq!(number(&[0, 0xff, 0xff, 0xff, 0xff]), NonZeroU32::new(u32::MAX));
        for bad in [&[][..], &[0], &[1, 0, 0, 0, 0]] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
