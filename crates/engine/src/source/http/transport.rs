//! A wire is a connection before anything is said on it: dialled, and for https secured.
//!
//! Knows of HTTP only the names of its dispatcher, which TLS negotiates (ALPN, RFC 7301). Invariant: one set of TLS
//! settings for each set of names, all sharing one store of TLS sessions, so that a further connection to a host
//! resumes the session of one before it: no certificates are sent or checked again.

use super::{dial, tls};
use crate::clock;
use crate::explain::{Stage, spend};
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
use url::Url;

/// Bytes read from a connection at a time, at most; less with many files in flight (see [`read_size`]). 16 KiB reads
/// cost three times the processor time of 256 KiB ones (measured); hyper grows towards this while reads
/// fill up. It also bounds a reply's head.
const READ_MOST: usize = 256 * 1024;

/// What the read buffers of all lanes may take together: a quarter of the 64 MiB of promise 7.
const READS_TOGETHER: usize = 16 * 1024 * 1024;

/// The longest head of a reply that is read even with many files in flight: what nginx and Apache send at most is
/// far below.
const READ_LEAST: usize = 32 * 1024;

/// The names of the dispatcher in ALPN.
const ONE: &[u8] = b"http/1.1";
const TWO: &[u8] = b"h2";

/// What it takes to make connections.
pub(super) struct Connector {
    one: Arc<ClientConfig>,
    either: Arc<ClientConfig>,
    two: Arc<ClientConfig>,
    family: Family,
    connect_timeout: Duration,
    pub(super) read_size: usize,
}

/// Which dispatcher of HTTP are offered to a server of https.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    One,
    Either,
    Two,
}

/// A connection.
pub(super) enum Transport {
    Plain(TcpStream),
    Secure(Box<TlsStream<BufReader<TcpStream>>>),
}

impl Connector {
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let config = tls::config(settings)?;
        let offering = |names: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Connector {
            one: offering(&[ONE]),
            either: offering(&[TWO, ONE]),
            two: offering(&[TWO]),
            family: settings.family,
            connect_timeout: settings.connect_timeout,
            read_size: read_size(settings.max_connections),
        })
    }

    /// A connection to the URL's host and port.
    pub(super) async fn connect(&self, url: &Url, offer: Offer) -> Result<Transport, Error> {
        let at = show::url(url);
        let stream = dial::dial(url, self.family, self.connect_timeout).await?;
        if url.scheme() != "https" {
            return Ok(Transport::Plain(stream));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_string();
        let name = ServerName::try_from(host)
            .map_err(|e| Error::new(ErrorKind::UrlInvalid, at.clone(), e.to_string()))?;
        let config = match offer {
            Offer::One => &self.one,
            Offer::Either => &self.either,
            Offer::Two => &self.two,
        };
        // rustls reads 4 KiB at a time from what it is given; from a buffer that costs no system call.
        let buffered = BufReader::with_capacity(self.read_size, stream);
        let since = clock::instant();
        let connecting = TlsConnector::from(config.clone()).connect(name, buffered);
        let secured = timeout(self.connect_timeout, connecting).await;
        spend(Stage::Tls, since);
        match secured {
            Ok(Ok(secured)) => Ok(Transport::Secure(Box::new(secured))),
            Ok(Err(e)) => Err(tls::failure::of_handshake(&e, &at)),
            Err(_) => {
                let detail = format!("no TLS handshake within {} s", self.connect_timeout.as_secs_f64());
                Err(Error::new(ErrorKind::ConnectTimeout, at, detail))
            }
        }
    }
}

impl Transport {
    /// TLS agreed on HTTP/2.
    pub(super) fn agreed_on_two(&self) -> bool {
        matches!(self, Transport::Secure(stream) if stream.get_ref().1.alpn_protocol() == Some(TWO))
    }
}

fn read_size(lanes: usize) -> usize {
    (READS_TOGETHER / lanes.max(1)).clamp(READ_LEAST, READ_MOST)
}
