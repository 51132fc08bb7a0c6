//! Makes the TLS settings of connections. These settings decide which servers are trusted, and which servers
//! get the client certificate.
//!
//! Invariant: connections with different [`Trust`] have different TLS settings, and never share a TLS
//! session. So a connection never resumes a session whose certificate was checked by other rules.

mod any_key;
mod certificate;
mod encrypted_key;
pub(crate) mod failure;
pub(crate) mod identity;
mod pem;
mod verify;

use super::dial;
use crate::credentials::Peer;
use ::aws_lc_rs::digest;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{Settings, TlsVersion};
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use url::Host;
use verify::{Trusted, Verifier};

/// The rules by which a server is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Trust {
    /// True if the server gets the client certificate.
    identifies: bool,
    /// True if the server must have a pinned key.
    is_pinned: bool,
    /// True if the certificate of the server is not checked.
    is_insecure: bool,
    /// True if the server is a proxy. A proxy and another server of the same name share no TLS session.
    is_proxy: bool,
}

impl Trust {
    /// Returns these rules for a server that is a proxy.
    pub(super) fn of_proxy(self) -> Trust {
        Trust { is_proxy: true, ..self }
    }

    pub(super) fn is_insecure(self) -> bool {
        self.is_insecure
    }
}

/// Returns the TLS settings with which only one server is trusted: the server that has the key of the first
/// certificate in this file. Nothing else in the certificate is checked.
///
/// # Errors
/// Returns an error if the file cannot be read, or holds no certificate.
pub(crate) fn of_key(certificate: &Path) -> Result<ClientConfig, Error> {
    let bad = |why: &str| Error::new(ErrorKind::TlsUntrusted, certificate.to_string_lossy(), why);
    let text = pem::read_file(certificate).map_err(|e| bad(&dial::plain(&e)))?;
    let chain = pem::certificates(&text).map_err(|_| bad("the file is not in PEM form"))?;
    let key = chain.first().and_then(|first| certificate::public_key(first));
    let key = key.ok_or_else(|| bad("the file holds no certificate in PEM form"))?;
    let mut settings = Settings::default();
    settings.insecure = true;
    settings.pinned_keys.extend(<[u8; 32]>::try_from(digest::digest(&digest::SHA256, key.info).as_ref()));
    Tls::new(&settings)?.config(Trust { is_pinned: true, is_insecure: true, ..Trust::default() })
}

/// Makes the TLS settings for each [`Trust`], and keeps those that were made.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    min: TlsVersion,
    /// The servers that are trusted because of `--cacert` or `--insecure`, or `None` without these options.
    given: Option<Trusted>,
    pinned: Vec<[u8; 32]>,
    insecure: bool,
    insecure_hosts: Vec<String>,
    identity: Option<identity::Identity>,
    made: Mutex<HashMap<Trust, ClientConfig>>,
}

impl Tls {
    /// Reads the certificates and the key that the settings name.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, or if a certificate or a key is missing or cannot be used.
    pub(crate) fn new(settings: &Settings) -> Result<Tls, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let given = match &settings.cacert {
            _ if settings.insecure => Some(Trusted::All),
            Some(path) => Some(Trusted::by_file(path, provider.clone())?),
            None => None,
        };
        let identity = settings.client_certificate.as_deref();
        let identity = identity
            .map(|file| {
                identity::read(
                    file,
                    settings.client_key.as_deref(),
                    settings.client_key_password.as_ref(),
                    &provider,
                )
            })
            .transpose()?;
        Ok(Tls {
            given,
            min: settings.tls_min,
            pinned: settings.pinned_keys.clone(),
            insecure: settings.insecure,
            insecure_hosts: settings.insecure_hosts.clone(),
            identity,
            made: Mutex::default(),
            provider,
        })
    }

    /// Returns the rules by which a server is trusted.
    pub(super) fn trust(&self, host: &Host<String>, port: u16, peer: Peer) -> Trust {
        Trust {
            identifies: peer.gets_certificate && self.identity.is_some(),
            is_pinned: peer.is_given_host && !self.pinned.is_empty(),
            is_proxy: false,
            is_insecure: self.insecure || self.insecure_hosts.iter().any(|named| is_host(named, host, port)),
        }
    }

    /// Returns the error, with a detail about the TLS settings if they may be the cause. If the server may
    /// have refused the client certificate, the error becomes `tls.client_refused`.
    pub(super) fn explained(&self, trust: Trust, mut error: Error) -> Error {
        if error.kind == ErrorKind::TlsFailed && error.detail == failure::UNVERIFIED && trust.identifies {
            error.kind = ErrorKind::TlsClientRefused;
        }
        match (error.kind, &self.identity) {
            (ErrorKind::TlsClientRefused, Some(identity)) if trust.identifies => {
                error.detail = format!("it did not accept the certificate of --cert ({})", identity.text);
            }
            (ErrorKind::TlsClientRefused, Some(_)) => {
                error.detail =
                    "no client certificate was sent, because --cert is only for the origins of the given URLs".into();
            }
            (ErrorKind::TlsClientRefused, None) => error.detail = "no client certificate was sent".into(),
            (ErrorKind::TlsOutdated, _) if self.min == TlsVersion::V13 => {
                error.detail = "--tls-min 1.3 allows no older version".into();
            }
            _ => {}
        }
        error
    }

    /// Returns the settings for connections to servers that are trusted by these rules.
    ///
    /// # Errors
    /// Returns `tls.failed` if these settings cannot be made, or `tls.untrusted` if the root certificates
    /// cannot be used.
    pub(crate) fn config(&self, trust: Trust) -> Result<ClientConfig, Error> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = made.get(&trust) {
            return Ok(config.clone());
        }
        let versions = match self.min {
            TlsVersion::V12 => &[&TLS13, &TLS12][..],
            TlsVersion::V13 => &[&TLS13],
        };
        // Reading the certificates of the machine takes some milliseconds, so they are read only when the
        // first https connection by these rules is made.
        let trusted = match &self.given {
            _ if trust.is_insecure => Trusted::All,
            Some(given) => given.clone(),
            None => Trusted::by_machine(&self.provider)?,
        };
        let verifier = Verifier {
            trusted,
            keys: if trust.is_pinned { self.pinned.clone() } else { Vec::new() },
            provider: self.provider.clone(),
        };
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .map_err(|e| Error::new(ErrorKind::TlsFailed, "", e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        // Each `ClientConfig` has a store of TLS sessions. Only its clones share the store.
        let config = match self.identity.as_ref().filter(|_| trust.identifies) {
            Some(identity) => builder.with_client_cert_resolver(identity.resolver.clone()),
            None => builder.with_no_client_auth(),
        };
        made.insert(trust, config.clone());
        Ok(config)
    }
}

/// Returns true if `named` is this host, as `HOST` (with any port) or `HOST:PORT`.
fn is_host(named: &str, host: &Host<String>, port: u16) -> bool {
    let host = host.to_string();
    let same = |named: &str| named.eq_ignore_ascii_case(&host);
    same(named) || same(&format!("[{named}]")) || named.eq_ignore_ascii_case(&format!("{host}:{port}"))
}
