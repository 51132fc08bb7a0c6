//! Whether a signature is of some content and by a key that is trusted, whatever its form.
//!
//! Invariant: what is wrong with a signature is `signature.wrong`; no form makes less of it than the others.

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

/// Keys, read.
pub(crate) enum Trusted {
    Minisign(Key),
    OpenPgp(openpgp::Certificates),
}

/// A signature by one of them, of what is yet to be seen.
pub(crate) enum Signature {
    Minisign(Key, signature::Signature),
    OpenPgp(Box<openpgp::Signature>),
}

/// What is signed of a text, and by whom.
type Said<'t> = (Cow<'t, [u8]>, String);

impl Trusted {
    /// # Errors
    /// Why they are of no use, for a person.
    pub(crate) fn new(keys: &Keys) -> Result<Trusted, &'static str> {
        match keys {
            Keys::Minisign(key) => Ok(Trusted::Minisign(key.clone())),
            Keys::OpenPgp(file) => Ok(Trusted::OpenPgp(openpgp::Certificates::read(file)?)),
        }
    }

    /// Whether a file's own signature can be checked only by reading all of the file again.
    pub(crate) fn reads_again(&self) -> bool {
        !matches!(self, Trusted::Minisign(_))
    }

    /// Reads the signature file at `at`.
    ///
    /// # Errors
    /// `signature.wrong`, and how.
    pub(crate) fn signature(&self, text: &[u8], at: &str) -> Result<Signature, Error> {
        match self {
            Trusted::Minisign(key) => Ok(Signature::Minisign(key.clone(), minisign::read(key, text, at)?)),
            Trusted::OpenPgp(keys) => {
                let signature = keys.signature(text).map_err(|why| wrong(at, why))?;
                Ok(Signature::OpenPgp(Box::new(signature)))
            }
        }
    }

    /// What is signed of the text `name`, by the signature file beside it (where that is, and what it says), and by whom.
    /// Where either of the two is a text with its signature around it, that is what is signed, whatever else is there.
    /// `None` where there is no signature.
    ///
    /// # Errors
    /// `signature.wrong`, and how.
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
        Ok(Some((Cow::Borrowed(text), signature.told().by)))
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
    /// What is to be told of it, and what must be computed of a file that it is of.
    pub(crate) fn told(&self) -> Signed {
        match self {
            Signature::Minisign(key, _) => Signed { by: key.to_string(), digest: Some(minisign::SIGNED) },
            Signature::OpenPgp(signature) => Signed { by: signature.by().to_string(), digest: None },
        }
    }

    /// Checks that it is of these bytes.
    ///
    /// # Errors
    /// `signature.wrong`, and how.
    pub(crate) fn check_text(&self, text: &[u8], at: &str) -> Result<(), Error> {
        match self {
            Signature::Minisign(key, signature) => minisign::check_text(key, signature, text, at),
            Signature::OpenPgp(signature) => signature.check_text(text, at),
        }
    }

    /// Checks that it is of the file that has these digests, and may be opened to be read. May block.
    ///
    /// # Errors
    /// `signature.wrong`, and how; or what kept the file from being read.
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

/// A signature that does not count.
fn wrong(at: &str, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::SignatureWrong, at, why)
}
