//! Signs files as minisign does. Each key pair is made from a number.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::prelude::{BASE64_STANDARD, Engine};
use blake2::{Blake2b512, Digest};

/// A key pair.
pub struct Signer {
    id: [u8; 8],
    pair: Ed25519KeyPair,
}

impl Signer {
    /// Returns the key pair of this number.
    pub fn new(number: u8) -> Signer {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).expect("any 32 bytes are a seed");
        Signer { id: [number; 8], pair }
    }

    /// Returns the public key in the form for `--signed-by`.
    pub fn key(&self) -> String {
        BASE64_STANDARD.encode([b"Ed", &self.id[..], self.pair.public_key().as_ref()].concat())
    }

    /// Returns the text of the `.pub` file.
    pub fn key_file(&self) -> String {
        format!("untrusted comment: minisign public key\n{}\n", self.key())
    }

    /// Returns the text of the `.minisig` file for this content.
    pub fn sign(&self, content: &[u8]) -> String {
        self.signature(b"ED", &Blake2b512::digest(content))
    }

    /// Returns the signature file in the old form, in which the content itself is signed and not its digest.
    pub fn sign_as_of_old(&self, content: &[u8]) -> String {
        self.signature(b"Ed", content)
    }

    fn signature(&self, algorithm: &[u8], signed: &[u8]) -> String {
        let signature = self.pair.sign(signed);
        let comment = "timestamp:1700000000";
        let of_comment = self.pair.sign(&[signature.as_ref(), comment.as_bytes()].concat());
        let line = BASE64_STANDARD.encode([algorithm, &self.id, signature.as_ref()].concat());
        let last = BASE64_STANDARD.encode(of_comment.as_ref());
        format!("untrusted comment: signature\n{line}\ntrusted comment: {comment}\n{last}\n")
    }
}
