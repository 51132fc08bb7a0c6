//! Reads the client certificate (`--cert`, `--key`).

use super::{certificate, pem};
use crate::source::http::dial;
use downhaul_core::error::{Error, ErrorKind};
use rustls::InconsistentKeys;
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
    /// Says whose certificate it is and which authority issued it, such as `for ann, issued by Example CA`.
    pub(super) text: String,
}

/// Reads a certificate with its chain, and the key of the certificate. The key may be in the same file.
///
/// # Errors
/// Returns `tls.client` if a file cannot be read, or does not contain a certificate and its key. The message
/// contains no part of the key.
pub(super) fn read(
    file: &Path,
    key_file: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Identity, Error> {
    let text = read_file(file)?;
    let chain = pem::certificates(&text).map_err(|_| bad(file, "it is not in PEM form"))?;
    let Some(first) = chain.first() else {
        return Err(bad(file, "it holds no certificate in PEM form"));
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
    if is_encrypted(&key) {
        let name = of.to_string_lossy();
        let why =
            format!("its key is encrypted: \"openssl pkey -in {name} -out plain.pem\" decrypts it for --key");
        return Err(bad(of, &why));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| match (e, key_file) {
        (PemError::NoItemsFound, None) => bad(of, "it holds no private key; --key names the file of the key"),
        (PemError::NoItemsFound, Some(_)) => bad(of, "it holds no private key in PEM form"),
        _ => bad(of, "its key is malformed"),
    })?;
    let unsupported = "the certificate or its key is of a kind that is not supported";
    let key = provider.key_provider.load_private_key(key).map_err(|_| bad(of, unsupported))?;
    let certified = CertifiedKey::new(chain, key);
    // The TLS library cannot read certificates of X.509 version 1, but it can send them. `openssl x509 -req`
    // writes such certificates by default.
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            return Err(bad(of, "the key does not belong to the certificate"));
        }
        Err(_) if described.is_none() => return Err(bad(file, unsupported)),
        _ => {}
    }
    Ok(Identity {
        resolver: Arc::new(SingleCertAndKey::from(certified)),
        text: described.unwrap_or_default(),
    })
}

/// Returns true if a key is encrypted, in the form of PKCS #8 (RFC 5958, section 3) or in the older form of
/// OpenSSL (RFC 1421, section 4.6.1.1).
fn is_encrypted(text: &str) -> bool {
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn read_file(path: &Path) -> Result<String, Error> {
    pem::read_file(path).map_err(|e| bad(path, &dial::plain(&e)))
}

fn bad(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::TlsClient, path.to_string_lossy(), why)
}
