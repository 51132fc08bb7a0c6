//! Checks the certificates of servers.
//!
//! Invariants: a server must prove that it has the private key of its certificate. With `--insecure`, this
//! proof is not required if aws-lc-rs cannot verify signatures by the key, unless a key is pinned.
//! A pinned key is an additional condition, and never replaces another condition.

use super::certificate::{self, Facts};
use super::{any_key, pem};
use crate::source::http::dial;
use base64::prelude::{BASE64_STANDARD, Engine};
use downhaul_core::error::{Error, ErrorKind};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The servers that are trusted.
#[derive(Debug, Clone)]
pub(super) enum Trusted {
    /// All servers (`--insecure`), with any certificate.
    All,
    /// Servers that have one of the certificates in the file of `--cacert`, and servers whose certificates
    /// were signed by an authority in this file.
    Given(Arc<[CertificateDer<'static>]>, Arc<WebPkiServerVerifier>),
    /// Servers that the machine trusts, or that `webpki_roots` trusts if the machine has no root
    /// certificates.
    Machine(Arc<dyn ServerCertVerifier>),
}

impl Trusted {
    /// Returns the servers that the machine trusts, or those that `webpki_roots` trusts if the machine has no
    /// root certificates.
    ///
    /// # Errors
    /// Returns `tls.untrusted` if the root certificates cannot be used.
    pub(super) fn by_machine(provider: &Arc<CryptoProvider>) -> Result<Trusted, Error> {
        if let Ok(verifier) = rustls_platform_verifier::Verifier::new(provider.clone()) {
            return Ok(Trusted::Machine(Arc::new(verifier)));
        }
        // A machine, such as a minimal container, may have no root certificates.
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let verifier = built.map_err(|e| Error::new(ErrorKind::TlsUntrusted, "", e.to_string()))?;
        Ok(Trusted::Machine(verifier))
    }

    /// Reads the file of `--cacert`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or contains no certificate or a malformed one.
    pub(super) fn by_file(path: &Path, provider: Arc<CryptoProvider>) -> Result<Trusted, Error> {
        let bad = |why: &str| Error::new(ErrorKind::TlsUntrusted, path.to_string_lossy(), why);
        let text = pem::read_file(path).map_err(|e| bad(&dial::plain(&e)))?;
        let given = pem::certificates(&text).map_err(|_| bad("the file is not in PEM form"))?;
        let mut roots = RootCertStore::empty();
        for certificate in &given {
            roots.add(certificate.clone()).map_err(|_| bad("the file contains a malformed certificate"))?;
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let authorities = authorities.map_err(|_| bad("the file contains no certificate in PEM form"))?;
        Ok(Trusted::Given(given.into(), authorities))
    }
}

/// Checks the certificate of a server, and checks that the server has the private key.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) trusted: Trusted,
    /// The pinned keys, each as the SHA-256 of its SubjectPublicKeyInfo (RFC 7469, section 2.4). If the list
    /// is not empty, the server must have one of these keys.
    pub(super) keys: Vec<[u8; 32]>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Returns `Some` if the certificate is accepted even if its form is one that the TLS library refuses.
    /// The value is true if the signature of the handshake must be verified.
    fn accepts_any_form(&self, certificate: &CertificateDer<'_>) -> Option<bool> {
        match &self.trusted {
            Trusted::All => Some(!self.keys.is_empty()),
            // A certificate that the user gave may be of X.509 version 1. `openssl x509 -req` writes such
            // certificates by default.
            Trusted::Given(given, _) => {
                (given.contains(certificate) && !any_key::is_short(certificate)).then_some(true)
            }
            Trusted::Machine(_) => None,
        }
    }
}

/// A certificate that was refused, the reason, and the facts about the certificate for the message.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) why: CertificateError,
    pub(super) facts: Facts,
}

/// The error for a certificate whose key is not pinned. It contains the SHA-256 of the key, in base64.
#[derive(Debug)]
pub(super) struct NotPinned(pub(super) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl fmt::Display for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl std::error::Error for NotPinned {}

impl ServerCertVerifier for Verifier {
    /// If the certificate can be read, the error for a certificate that is not trusted contains [`Facts`].
    /// The error [`NotPinned`] does not contain them.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = match &self.trusted {
            Trusted::All => Ok(ServerCertVerified::assertion()),
            // A server certificate that the user gave needs no authority. Most such certificates (`openssl
            // req -x509`) state that they are certificates of an authority, so the usual verification would
            // refuse them.
            Trusted::Given(given, _) if given.iter().any(|one| one == end_entity) => {
                certificate::check(end_entity, name, now).map(|()| ServerCertVerified::assertion())
            }
            Trusted::Given(_, authorities) => {
                authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now)
            }
            Trusted::Machine(machine) => {
                machine.verify_server_cert(end_entity, intermediates, name, ocsp, now)
            }
        };
        let verified = verified.map_err(|e| match (e, certificate::facts(end_entity)) {
            (rustls::Error::InvalidCertificate(why), Some(facts)) => {
                CertificateError::Other(OtherError(Arc::new(Refused { why, facts }))).into()
            }
            (e, _) => e,
        })?;
        if !self.keys.is_empty() {
            let key = certificate::public_key(end_entity).ok_or(CertificateError::BadEncoding)?;
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.info);
            if !self.keys.iter().any(|pinned| pinned == digest.as_ref()) {
                let found = NotPinned(BASE64_STANDARD.encode(digest));
                return Err(CertificateError::Other(OtherError(Arc::new(found))).into());
            }
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if let Some(must_verify) = self.accepts_any_form(cert) {
            return any_key::verify(message, cert, dss, must_verify);
        }
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if let Some(must_verify) = self.accepts_any_form(cert) {
            return match dss.scheme {
                // TLS 1.3 has no such signatures in handshakes (RFC 8446, section 4.2.3).
                SignatureScheme::RSA_PKCS1_SHA256
                | SignatureScheme::RSA_PKCS1_SHA384
                | SignatureScheme::RSA_PKCS1_SHA512 => Err(CertificateError::BadSignature.into()),
                _ => any_key::verify(message, cert, dss, must_verify),
            };
        }
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
