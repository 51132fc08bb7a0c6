//! Verifies signatures of files and texts with the given keys, in all supported formats.
//!
//! Invariant: the error for a signature that is not accepted has the code `signature.wrong`, in every format.

mod minisign;
#[cfg_attr(not(feature = "openpgp"), path = "signed/no_openpgp.rs")]
mod openpgp;

use downhaul_core::digest::Digest;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::plan::Signed;
use downhaul_core::signature::{self, Key, Keys};
use std::borrow::Cow;
use std::io::Read;
use std::iter;

/// The keys whose signatures are accepted.
pub(crate) enum Trusted {
    Minisign(Key),
    OpenPgp(openpgp::Certificates),
}

/// A signature that names one of the given keys. It is compared with the signed content later.
pub(crate) enum Signature {
    Minisign(Key, signature::Signature),
    OpenPgp(Box<openpgp::Signature>),
}

/// The signed content of a text, and the name of the key.
type Said<'t> = (Cow<'t, [u8]>, String);

impl Trusted {
    /// Reads the keys.
    ///
    /// # Errors
    /// Returns why the keys cannot be used, in words for the user.
    pub(crate) fn new(keys: &Keys) -> Result<Trusted, &'static str> {
        match keys {
            Keys::Minisign(key) => Ok(Trusted::Minisign(key.clone())),
            Keys::OpenPgp(file) => Ok(Trusted::OpenPgp(openpgp::Certificates::read(file)?)),
        }
    }

    /// Returns true if a signature of a file can be verified only by reading the whole file again. For other
    /// signatures, the digest that is computed while the file arrives is enough.
    pub(crate) fn reads_again(&self) -> bool {
        !matches!(self, Trusted::Minisign(_))
    }

    /// Reads a signature file. `text` is its content, and `at` is its path or URL.
    ///
    /// # Errors
    /// Returns `signature.wrong`, with the reason.
    pub(crate) fn signature(&self, text: &[u8], at: &str) -> Result<Signature, Error> {
        match self {
            Trusted::Minisign(key) => Ok(Signature::Minisign(key.clone(), minisign::read(key, text, at)?)),
            Trusted::OpenPgp(keys) => {
                let signature = keys.signature(text).map_err(|why| wrong(at, why))?;
                Ok(Signature::OpenPgp(Box::new(signature)))
            }
        }
    }

    /// Returns the signed content of `text` and the name of the key, or `None` if there is no signature.
    /// `name` is the name of the text, for errors. `beside` contains the path or URL of the signature
    /// file, and the content of that file. If the text or the signature file contains both signed content and
    /// its signature, this content is returned.
    ///
    /// # Errors
    /// Returns `signature.wrong`, with the reason.
    pub(crate) fn signed<'t>(
        &self,
        text: &'t [u8],
        name: &str,
        beside: Option<(&str, &[u8])>,
    ) -> Result<Option<Said<'t>>, Error> {
        for (at, text) in iter::once((name, text)).chain(beside) {
            if let Some((said, by)) = self.message(text, at)? {
                return Ok(Some((Cow::Owned(said), by)));
            }
        }
        let Some((at, signature)) = beside else { return Ok(None) };
        let signature = self.signature(signature, at)?;
        signature.check_text(text, at)?;
        Ok(Some((Cow::Borrowed(text), signature.description().by)))
    }

    fn message(&self, text: &[u8], at: &str) -> Result<Option<(Vec<u8>, String)>, Error> {
        let Trusted::OpenPgp(keys) = self else { return Ok(None) };
        let Some((said, signature)) = keys.message(text).map_err(|why| wrong(at, why))? else {
            return Ok(None);
        };
        signature.check_text(&said, at)?;
        Ok(Some((said, signature.by().to_string())))
    }
}

impl Signature {
    /// Returns the name of the key, and the algorithm of the digest that must be computed for a signed file,
    /// if a digest is needed.
    pub(crate) fn description(&self) -> Signed {
        match self {
            Signature::Minisign(key, _) => Signed { by: key.to_string(), digest: Some(minisign::SIGNED) },
            Signature::OpenPgp(signature) => Signed { by: signature.by().to_string(), digest: None },
        }
    }

    /// Verifies that these bytes were signed. `at` is the path or URL that an error shows.
    ///
    /// # Errors
    /// Returns `signature.wrong`, with the reason.
    pub(crate) fn check_text(&self, text: &[u8], at: &str) -> Result<(), Error> {
        match self {
            Signature::Minisign(key, signature) => minisign::check_text(key, signature, text, at),
            Signature::OpenPgp(signature) => signature.check_text(text, at),
        }
    }

    /// Verifies that a file was signed. `digests` are the digests of the file, and `open` opens the file for
    /// reading. `at` is the path or URL that an error shows. May block the thread.
    ///
    /// # Errors
    /// Returns `signature.wrong`, with the reason, or the error of reading the file.
    pub(crate) fn check_file(
        &self,
        digests: &[Digest],
        open: impl FnOnce() -> Result<Box<dyn Read>, Error>,
        at: &str,
    ) -> Result<(), Error> {
        match self {
            Signature::Minisign(key, signature) => minisign::check_file(key, signature, digests, at),
            Signature::OpenPgp(signature) => signature.check_file(open()?, at),
        }
    }
}

/// Returns the error for a signature that is not accepted.
fn wrong(at: &str, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::SignatureWrong, at, why)
}
