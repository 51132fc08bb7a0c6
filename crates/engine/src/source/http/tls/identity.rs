//! Reads a certificate with its key: the client certificate (`--cert`, `--key`), or the certificate of the
//! daemon.

use super::encrypted_key::{self, Undecrypted};
use super::{certificate, pem};
use crate::source::http::dial;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::secret::Secret;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::path::Path;
use std::sync::Arc;

/// The client certificate.
pub(super) struct Identity {
    pub(super) resolver: Arc<dyn ResolvesClientCert>,
    /// The names in the certificate and the authority that issued it, such as `for ann, issued by Example
    /// CA`.
    pub(super) text: String,
}

/// Reads the client certificate. The parameters are those of [`pair`].
///
/// # Errors
/// Returns the errors of [`pair`].
pub(super) fn read(
    file: &Path,
    key_file: Option<&Path>,
    password: Option<&Secret>,
    provider: &Arc<CryptoProvider>,
) -> Result<Identity, Error> {
    let (pair, text) = pair(file, key_file, password, provider)?;
    Ok(Identity { resolver: Arc::new(SingleCertAndKey::from(pair)), text })
}

/// Reads a certificate with its chain, and the key of the certificate. If `key_file` is `None`, the key is in
/// `file`. `password` decrypts the key. Also returns the names in the certificate and the authority that
/// issued it, as a text for the user.
///
/// # Errors
/// Returns `tls.client` if a file cannot be read, or if the certificate or its key is missing or cannot be
/// used, for example because `password` is wrong. The message contains no part of the key.
pub(crate) fn pair(
    file: &Path,
    key_file: Option<&Path>,
    password: Option<&Secret>,
    provider: &Arc<CryptoProvider>,
) -> Result<(CertifiedKey, String), Error> {
    let text = read_file(file)?;
    let chain = pem::certificates(&text).map_err(|_| bad(file, "the file is not in PEM form"))?;
    let Some(first) = chain.first() else {
        return Err(bad(file, "the file holds no certificate in PEM form"));
    };
    let facts = certificate::facts(first);
    let described = facts.map(|facts| {
        let name =
            Some(facts.names.join(", ")).filter(|name| !name.is_empty()).map(|name| format!("for {name}"));
        let issuer = facts.issuer.map(|issuer| format!("issued by {issuer}"));
        Vec::from_iter(name.into_iter().chain(issuer)).join(", ")
    });
    let (of, key) = match key_file {
        Some(key_file) => (key_file, read_file(key_file)?),
        None => (file, text),
    };
    let key = private_key(&key, password, key_file.is_some()).map_err(|why| bad(of, &why))?;
    let unsupported = "the certificate or its key is of a kind that is not supported";
    let key = provider.key_provider.load_private_key(key).map_err(|_| bad(of, unsupported))?;
    // The TLS library cannot read certificates of X.509 version 1, but it can send them. `openssl x509 -req`
    // writes such certificates by default. So the certificate is read here, to compare its key with `key`.
    let certified_key = certificate::public_key(first).ok_or_else(|| bad(file, unsupported))?;
    if key.public_key().is_some_and(|key| key.as_ref() != certified_key.info) {
        let why = format!("the key does not belong to the certificate in {}", file.display());
        return Err(bad(of, &why));
    }
    Ok((CertifiedKey::new(chain, key), described.unwrap_or_default()))
}

/// Returns the key in a text. `is_file_of_key` is true if the text is that of the file of `--key`.
///
/// # Errors
/// Returns a text for the user that says why there is no usable key.
fn private_key(
    text: &str,
    password: Option<&Secret>,
    is_file_of_key: bool,
) -> Result<PrivateKeyDer<'static>, String> {
    let other_form = "encrypted in a form that is not supported: \
                      \"openssl pkey -in FILE -out plain.pem\" decrypts it";
    if encrypted_key::is_in(text) {
        let password = password.ok_or("the key is encrypted, and its password is not known")?;
        return encrypted_key::decrypt(text, password).map_err(|why| match why {
            Undecrypted::WrongPassword => "the password of the key is wrong".into(),
            Undecrypted::Unsupported => format!("the key is malformed, or {other_form}"),
        });
    }
    // This text occurs in the older form of encrypted keys of OpenSSL (RFC 1421, section 4.6.1.1).
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(format!("the key is {other_form}"));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|e| {
        let why = match (e, is_file_of_key) {
            (PemError::NoItemsFound, false) => {
                "the file holds no private key; --key names the file of the key"
            }
            (PemError::NoItemsFound, true) => "the file holds no private key in PEM form",
            _ => "the key is malformed",
        };
        why.into()
    })
}

/// Returns true if `file` is a regular file with an encrypted key in the form PKCS #8, so that a password is
/// needed.
pub(crate) fn needs_password(file: &Path) -> bool {
    // A pipe can be read only once, so it is not read here.
    file.is_file() && pem::read_file(file).is_ok_and(|text| encrypted_key::is_in(&text))
}

fn read_file(path: &Path) -> Result<String, Error> {
    pem::read_file(path).map_err(|e| bad(path, &dial::plain(&e)))
}

fn bad(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::TlsClient, path.to_string_lossy(), why)
}
