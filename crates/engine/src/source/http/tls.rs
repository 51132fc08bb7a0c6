//! Decides which servers are trusted.
//!
//! Invariant: in every mode, a server must prove that it has the key of the certificate that it sends.

mod certificate;
pub(super) mod failure;

use super::dial;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::Settings;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// Returns the TLS settings of a session.
///
/// # Errors
/// The file of `--cacert` cannot be read.
pub(super) fn config(settings: &Settings) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let internal = |_| Error::new(ErrorKind::TlsFailed, "", "no version of TLS is available");
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(internal)?;
    Ok(if settings.insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider)))
            .with_no_client_auth()
    } else if let Some(path) = &settings.cacert {
        let trust = Arc::new(TrustGiven::read(path, provider)?);
        builder.dangerous().with_custom_certificate_verifier(trust).with_no_client_auth()
    } else {
        match rustls_platform_verifier::Verifier::new(provider) {
            Ok(verifier) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
            }
            // The machine has no root certificates, as in a minimal container.
            Err(_) => {
                let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        }
    })
}

/// Trusts the certificates of `--cacert`: those of authorities, which sign the certificates of servers, or
/// those of servers.
#[derive(Debug)]
struct TrustGiven {
    given: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl TrustGiven {
    fn read(path: &Path, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let bad = |why: &str| Error::new(ErrorKind::TlsUntrusted, path.to_string_lossy(), why);
        let unreadable = |e: pem::Error| match e {
            pem::Error::Io(e) => bad(&dial::plain(&e)),
            _ => bad("it is not in PEM form"),
        };
        let (mut given, mut roots) = (Vec::new(), RootCertStore::empty());
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            let certificate = certificate.map_err(unreadable)?;
            roots.add(certificate.clone()).map_err(|_| bad("it holds a malformed certificate"))?;
            given.push(certificate);
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let authorities = authorities.map_err(|_| bad("it holds no certificate in PEM form"))?;
        Ok(TrustGiven { given, authorities })
    }
}

impl ServerCertVerifier for TrustGiven {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // A server certificate that was given needs no authority. Most of them (`openssl req -x509`) claim to
        // be an authority, and the usual verification refuses such a certificate for a server.
        if self.given.iter().any(|one| one == end_entity) {
            return certificate::check(end_entity, name, now).map(|()| ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Trusts every certificate (`--insecure`). The server must still have the key of its certificate.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
