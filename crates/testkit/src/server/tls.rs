//! Makes valid and invalid certificates for tests.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

/// A certificate authority for tests.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Returns a self-signed certificate in PEM form, and the TLS settings of a server that uses it. The
/// certificate claims to be an authority, as certificates of `openssl req -x509` do. It has the common name,
/// and `names` as its subject alternative names. Only the flaw `Expired` has an effect.
pub fn self_signed(common_name: &str, names: &[&str], flaw: Flaw) -> (String, Arc<ServerConfig>) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("good names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, common_name);
    flaw.expire(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), config(&certificate, &key))
}

fn config(certificate: &Certificate, key: &KeyPair) -> Arc<ServerConfig> {
    config_with(certificate, key, rustls::DEFAULT_VERSIONS, Arc::new(NoClientAuth))
}

fn config_with(
    certificate: &Certificate,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
    clients: Arc<dyn ClientCertVerifier>,
) -> Arc<ServerConfig> {
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    Arc::new(config)
}

/// The flaw of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The certificate has no flaw. If an authority issues it and no names are given, it is for 127.0.0.1 and
    /// localhost.
    None,
    /// The certificate expired in 2001.
    Expired,
    /// The certificate is for another host.
    WrongHost,
    /// The certificate is self-signed.
    SelfSigned,
}

impl Flaw {
    fn expire(self, params: &mut CertificateParams) {
        if self == Flaw::Expired {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // If the authority had the same name as the certificates that it signs, OpenSSL would take these
        // certificates for self-signed ones.
        params.distinguished_name.push(DnType::CommonName, "authority of tests");
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }
}

impl Authority {
    /// Returns the certificate of the authority, for `--cacert`.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Returns the TLS settings of a server whose certificate has this flaw.
    pub fn config(&self, flaw: Flaw) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(flaw);
        config(&certificate, &key)
    }

    /// Returns the TLS settings of a server that supports only this version of TLS.
    pub fn config_of_version(&self, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(Flaw::None);
        config_with(&certificate, &key, &[version], Arc::new(NoClientAuth))
    }

    /// Returns the TLS settings of a server that asks clients for certificates that this authority has
    /// signed. Clients without a certificate are served only if `required` is false.
    pub fn config_for_clients(&self, required: bool) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(Flaw::None);
        self.with_clients(&certificate, &key, rustls::DEFAULT_VERSIONS, required)
    }

    /// Returns the TLS settings of a server that supports only TLS 1.2, and serves only clients with
    /// certificates that this authority has signed.
    pub fn config_for_clients_of_tls12(&self) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(Flaw::None);
        self.with_clients(&certificate, &key, &[&rustls::version::TLS12], true)
    }

    /// Returns the TLS settings of a server whose certificate has these names. The server asks clients for
    /// certificates, and also serves clients without one.
    pub fn config_named(&self, names: &[&str]) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue_to(names, Flaw::None);
        self.with_clients(&certificate, &key, rustls::DEFAULT_VERSIONS, false)
    }

    fn with_clients(
        &self,
        certificate: &Certificate,
        key: &KeyPair,
        versions: &[&'static SupportedProtocolVersion],
        required: bool,
    ) -> Arc<ServerConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let clients = if required { clients } else { clients.allow_unauthenticated() };
        config_with(certificate, key, versions, clients.build().expect("a verifier"))
    }

    /// Returns a certificate without a flaw and its key in PEM form, for servers that read files.
    pub fn pem_pair(&self) -> (String, String) {
        let (certificate, key) = self.issue(Flaw::None);
        (certificate.pem(), key.serialize_pem())
    }

    /// Returns a certificate with these names and its key in PEM form.
    pub fn pem_pair_named(&self, names: &[&str]) -> (String, String) {
        let (certificate, key) = self.issue_to(names, Flaw::None);
        (certificate.pem(), key.serialize_pem())
    }

    fn issue(&self, flaw: Flaw) -> (Certificate, KeyPair) {
        match flaw {
            Flaw::WrongHost => self.issue_to(&["other.example"], flaw),
            _ => self.issue_to(&["127.0.0.1", "localhost"], flaw),
        }
    }

    fn issue_to(&self, names: &[&str], flaw: Flaw) -> (Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("good names");
        flaw.expire(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        };
        (certificate.expect("a certificate"), key)
    }
}
