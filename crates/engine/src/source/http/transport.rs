//! Connections before any HTTP is sent on them: TCP, and TLS for https.
//!
//! The only fact about HTTP in this file is the names of its versions, which TLS negotiates (ALPN, RFC 7301).
//! Invariant: there is one TLS configuration for each set of names, and all share one store of TLS sessions.
//! A further connection to a host resumes the session of an earlier one, without sending and checking
//! certificates again.

use super::{dial, tls};
use crate::clock;
use crate::explain::{Stage, spend};
use crate::trace::NET;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{Family, Settings};
use downhaul_core::show;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;
use url::Url;

/// The most bytes that one read takes from a connection. It is less with many files at once (see
/// [`read_size`]). Reads of 16 KiB cost three times the processor time of reads of 256 KiB (measured). hyper
/// makes its reads longer, up to this limit, while they fill up. It also limits the head of a response.
const READ_MOST: usize = 256 * 1024;

/// The read buffers of all connections together: a quarter of the 64 MiB that all buffers may take.
const READS_TOGETHER: usize = 16 * 1024 * 1024;

/// A response head of up to this length can always be read, even with many files at once. Heads of nginx and
/// Apache are far shorter.
const READ_LEAST: usize = 32 * 1024;

/// The names of the HTTP versions in ALPN.
const ALPN_HTTP1: &[u8] = b"http/1.1";
const ALPN_HTTP2: &[u8] = b"h2";

/// Opens connections.
pub(super) struct Connector {
    http1: Arc<ClientConfig>,
    both: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    family: Family,
    connect_timeout: Duration,
    pub(super) read_size: usize,
}

/// The versions of HTTP that are offered to an https server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Http1,
    Both,
    Http2,
}

/// A new connection.
pub(super) enum Transport {
    Plain(TcpStream),
    Secure(Box<TlsStream<BufReader<TcpStream>>>),
}

impl Connector {
    /// Creates the connector.
    ///
    /// # Errors
    /// The certificates to trust cannot be read.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let config = tls::config(settings)?;
        let offering = |names: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Connector {
            http1: offering(&[ALPN_HTTP1]),
            both: offering(&[ALPN_HTTP2, ALPN_HTTP1]),
            http2: offering(&[ALPN_HTTP2]),
            family: settings.family,
            connect_timeout: settings.connect_timeout,
            read_size: read_size(settings.max_connections),
        })
    }

    /// Connects to the host and port of the URL.
    ///
    /// # Errors
    /// `dns.unresolved`, `connect.*` or `tls.*`.
    pub(super) async fn connect(&self, url: &Url, offer: Offer) -> Result<Transport, Error> {
        let at = show::url(url);
        let stream = dial::connect(url, self.family, self.connect_timeout).await?;
        if url.scheme() != "https" {
            return Ok(Transport::Plain(stream));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_string();
        let name = ServerName::try_from(host)
            .map_err(|e| Error::new(ErrorKind::UrlInvalid, at.clone(), e.to_string()))?;
        let config = match offer {
            Offer::Http1 => &self.http1,
            Offer::Both => &self.both,
            Offer::Http2 => &self.http2,
        };
        // rustls reads 4 KiB at a time. From a buffer, that costs no system call.
        let buffered = BufReader::with_capacity(self.read_size, stream);
        let since = clock::instant();
        let connecting = TlsConnector::from(config.clone()).connect(name, buffered);
        let secured = timeout(self.connect_timeout, connecting).await;
        spend(Stage::Tls, since);
        match secured {
            Ok(Ok(secured)) => {
                let tls = secured.get_ref().1;
                debug!(
                    target: NET,
                    version = ?tls.protocol_version(),
                    alpn = tls.alpn_protocol().map(String::from_utf8_lossy).as_deref(),
                    handshake = ?tls.handshake_kind(),
                    took = ?since.elapsed(),
                    "made TLS"
                );
                Ok(Transport::Secure(Box::new(secured)))
            }
            Ok(Err(e)) => Err(tls::failure::of_handshake(&e, &at)),
            Err(_) => {
                let detail = format!("no TLS handshake within {} s", self.connect_timeout.as_secs_f64());
                Err(Error::new(ErrorKind::ConnectTimeout, at, detail))
            }
        }
    }
}

impl Transport {
    /// Returns true if TLS negotiated HTTP/2.
    pub(super) fn negotiated_http2(&self) -> bool {
        matches!(self, Transport::Secure(stream) if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2))
    }
}

fn read_size(connections: usize) -> usize {
    (READS_TOGETHER / connections.max(1)).clamp(READ_LEAST, READ_MOST)
}
