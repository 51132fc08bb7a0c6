//! Provides TLS for the daemon and its clients. Certificates and keys are read in the same way as for
//! downloads (`source/http/tls.rs`). [`Client::new`] trusts the same certificates as downloads do, and
//! [`Client::of_key`] trusts only one key.

use crate::source::http::tls::{self, Tls, Trust, failure, identity};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::Settings;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name in ALPN (RFC 7301) of the protocol that both sides speak over TLS.
const HTTP_1_1: &[u8] = b"http/1.1";

/// A client of servers that speak HTTP/1.1 over TLS.
#[derive(Clone)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// Returns a client. It trusts the certificates in `cacert`. Without `cacert`, it trusts those that the
    /// machine trusts.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or has no certificate or a malformed one. Without
    /// `cacert`, returns an error if the root certificates cannot be used.
    pub fn new(cacert: Option<&Path>) -> Result<Client, Error> {
        let mut settings = Settings::default();
        settings.cacert = cacert.map(Path::to_path_buf);
        Ok(Client::with(Tls::new(&settings)?.config(Trust::default())?))
    }

    /// Returns a client that trusts only the server with the key of this certificate, under any name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or has no certificate.
    pub fn of_key(certificate: &Path) -> Result<Client, Error> {
        tls::of_key(certificate).map(Client::with)
    }

    fn with(mut config: ClientConfig) -> Client {
        config.alpn_protocols = vec![HTTP_1_1.into()];
        Client(Arc::new(config))
    }

    /// Begins TLS on a connection to this host. If `host` is an IPv6 address, it has no brackets.
    ///
    /// # Errors
    /// Returns the reason why the handshake failed, for example that the certificate is not trusted. Also
    /// returns an error if `host` is not the name of a host or an IP address.
    pub async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Error> {
        let bad = |e: io::Error| failure::of_handshake(&e, host);
        let name = ServerName::try_from(host.to_string()).map_err(|e| bad(io::Error::other(e)))?;
        TlsConnector::from(self.0.clone()).connect(name, stream).await.map_err(bad)
    }
}

/// A server that speaks HTTP/1.1 over TLS. Clones share the certificate.
#[derive(Clone)]
pub struct Server {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    files: (PathBuf, PathBuf),
}

impl Server {
    /// Returns a server with the certificate in one file, and its key in another file.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, if it has no certificate or no usable key, or if the key
    /// does not belong to the certificate. The field `at` of the error is the file, and `detail` says what is
    /// wrong.
    pub fn new(certificate: &Path, key: &Path) -> Result<Server, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = Arc::new(Current(RwLock::new(read(certificate, key, &provider)?)));
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|e| Error::new(ErrorKind::TlsFailed, "", e.to_string()))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(current.clone());
        config.alpn_protocols = vec![HTTP_1_1.into()];
        let files = (certificate.to_path_buf(), key.to_path_buf());
        Ok(Server { acceptor: TlsAcceptor::from(Arc::new(config)), current, files })
    }

    /// Reads the files again. Connections that are accepted later get the new certificate.
    ///
    /// # Errors
    /// Returns an error as [`Server::new`] does. The old certificate then stays in use.
    pub fn reload(&self) -> Result<(), Error> {
        let new = read(&self.files.0, &self.files.1, &Arc::new(aws_lc_rs::default_provider()))?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Begins TLS on a connection of a client.
    ///
    /// # Errors
    /// Returns the error of the handshake.
    pub async fn accept<S>(&self, stream: S) -> io::Result<tokio_rustls::server::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.acceptor.accept(stream).await
    }
}

fn read(certificate: &Path, key: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<CertifiedKey>, Error> {
    identity::pair(certificate, Some(key), None, provider).map(|(pair, _)| Arc::new(pair))
}

/// The certificate that a server has at the moment.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
