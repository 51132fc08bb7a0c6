//! Opens connections before any request is sent on them: TCP or a Unix socket, the tunnel of a proxy, and TLS
//! for https.
//!
//! The HTTP versions that TLS negotiates (ALPN, RFC 7301) are the only part of HTTP in this module.
//! Invariant: there is one TLS configuration for each way to trust a server and each set of HTTP versions.
//! The configurations of one way to trust a server share one store of TLS sessions. So a further connection
//! to a host can resume an earlier TLS session, without sending and checking certificates again.

use super::dial::{self, Dialer};
use super::proxy::{Gateway, Tunnel};
use super::route::{Endpoint, Route};
use super::socket::{RoundTrips, Socket, connect_unix};
use super::tls::{self, Tls, Trust};
use crate::clock;
use crate::credentials::Peer;
use crate::explain::{Stage, spend};
use crate::trace::NET;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::names::ConnectTo;
use downhaul_core::proxy::{Protocol, Proxies};
use downhaul_core::settings::{HttpVersion, Settings};
use downhaul_core::show;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;
use url::{Host, Url};

/// The highest number of bytes that one read takes from a connection. If many connections are allowed, the
/// limit is lower (see [`read_size`]). Reads of 16 KiB cost three times the processor time of reads of 256
/// KiB (measured). hyper makes its reads longer, up to this limit, as long as each read fills its buffer
/// completely. The head of a response has the same limit as a read.
const READ_MOST: usize = 256 * 1024;

/// The memory for the read buffers of all connections together, in bytes, if at most 512 connections are
/// allowed. The batches of workers take up to 48 MiB more (`worker/writer.rs`).
const READS_TOGETHER: usize = 16 * 1024 * 1024;

/// The smallest limit for a read. So a response head below this length can always be read, even if many
/// connections are allowed. Heads of nginx and Apache are far shorter.
const READ_LEAST: usize = 32 * 1024;

/// The names of the HTTP versions in ALPN.
const ALPN_HTTP1: &[u8] = b"http/1.1";
const ALPN_HTTP2: &[u8] = b"h2";

pub(super) struct Connector {
    tls: Tls,
    /// The TLS settings that have been made. They depend on the way to trust the server and on the HTTP
    /// versions that are offered.
    configs: Mutex<HashMap<(Trust, Offer), Arc<ClientConfig>>>,
    dialer: Dialer,
    connect_to: Vec<ConnectTo>,
    unix_socket: Option<PathBuf>,
    proxies: Proxies,
    gateways: Vec<Arc<Gateway>>,
    http2_only: bool,
    connect_timeout: Duration,
    round_trips: RoundTrips<Endpoint>,
    pub(super) read_size: usize,
}

/// The versions of HTTP that are offered to an https server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Offer {
    Http1,
    Both,
    Http2,
}

pub(super) enum Transport {
    Plain(Socket),
    Secure(Box<TlsStream<BufReader<Socket>>>),
}

impl Connector {
    /// Creates the connector.
    ///
    /// # Errors
    /// Returns an error if the certificates or keys of the settings cannot be read, or if DNS over HTTPS
    /// cannot be set up.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Connector {
            tls: Tls::new(settings)?,
            configs: Mutex::default(),
            dialer: Dialer::new(settings)?,
            connect_to: settings.connect_to.clone(),
            unix_socket: settings.unix_socket.clone(),
            gateways: settings.proxies.each().map(|proxy| Arc::new(Gateway::new(proxy.clone()))).collect(),
            proxies: settings.proxies.clone(),
            http2_only: settings.http_version == HttpVersion::Two,
            connect_timeout: settings.connect_timeout,
            round_trips: RoundTrips::new(),
            read_size: read_size(settings.max_connections),
        })
    }

    /// Returns the route of a request for this URL.
    pub(super) fn route(&self, url: &Url, peer: Peer) -> Route {
        // A Unix socket is on this machine, so no proxy is used for it.
        let proxy = self.proxies.of(url).filter(|_| self.unix_socket.is_none());
        let gateway = proxy.and_then(|proxy| self.gateways.iter().find(|one| one.proxy == *proxy)).cloned();
        match gateway {
            // An HTTP proxy forwards a request only if its URL is an http URL, only over HTTP/1.1, and only
            // to the server that the URL names. All other requests need a tunnel.
            Some(gateway)
                if gateway.proxy.forwards(url) && !self.http2_only && self.other_target(url).is_none() =>
            {
                Route::forwarded(url, gateway)
            }
            Some(gateway) => Route::to(url, Some(gateway), self.trust(url, peer)),
            None if peer.is_guarded => Route::to(url, None, self.trust(url, peer)).guarded(),
            None => Route::to(url, None, self.trust(url, peer)),
        }
    }

    /// Returns true if the host of the URL was reached at a public address, false if it was reached at a
    /// private one, and `None` if the address is not known.
    pub(super) fn is_public(&self, url: &Url) -> Option<bool> {
        self.dialer.is_public(&Endpoint::of(url)?.host)
    }

    /// Returns the last round-trip time of the direct connections to the server of a URL, if TCP measured it.
    pub(super) fn round_trip(&self, url: &Url) -> Option<Duration> {
        let server = self.other_target(url).or_else(|| Endpoint::of(url))?;
        self.round_trips.latest(&server)
    }

    /// Returns true if the URL has the scheme https, and the certificate of its server is checked.
    pub(super) fn is_verified(&self, url: &Url) -> bool {
        url.scheme() == "https" && !self.trust(url, Peer::default()).is_insecure()
    }

    /// Returns the rules by which the server of a URL is trusted. For a URL without TLS, these are the
    /// default rules.
    fn trust(&self, url: &Url, peer: Peer) -> Trust {
        match Endpoint::of(url).filter(|_| url.scheme() == "https") {
            Some(server) => self.tls.trust(&server.host, server.port, peer),
            None => Trust::default(),
        }
    }

    /// Returns the error of a request, with a detail about the TLS settings if they may be the cause.
    pub(super) fn explained(&self, route: &Route, mut error: Error) -> Error {
        match route.gateway() {
            // The handshake was with the proxy, which gets no client certificate.
            Some(gateway) if route.forwarder().is_some() || gateway.is_named_by(&error) => {
                if error.kind == ErrorKind::TlsClientRefused {
                    error.detail = format!(
                        "the proxy requires a client certificate, and downhaul sends none to {}",
                        gateway.proxy
                    );
                }
                error
            }
            _ => self.tls.explained(route.trust(), error),
        }
    }

    fn config(&self, trust: Trust, offer: Offer) -> Result<Arc<ClientConfig>, Error> {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(&(trust, offer)) {
            return Ok(config.clone());
        }
        let mut config = self.tls.config(trust)?;
        let names = match offer {
            Offer::Http1 => &[ALPN_HTTP1][..],
            Offer::Both => &[ALPN_HTTP2, ALPN_HTTP1],
            Offer::Http2 => &[ALPN_HTTP2],
        };
        config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
        let config = Arc::new(config);
        configs.insert((trust, offer), config.clone());
        Ok(config)
    }

    /// Connects to the server of the URL, or to the proxy that forwards its requests.
    ///
    /// # Errors
    /// Returns why there is no connection.
    pub(super) async fn connect(&self, route: &Route, url: &Url, offer: Offer) -> Result<Transport, Error> {
        let at = show::url(url);
        let server = Endpoint::of(url)
            .ok_or_else(|| Error::new(ErrorKind::UrlInvalid, at.clone(), "it has no host"))?;
        let socket = self.socket(route, url, &server, &at).await?;
        if url.scheme() != "https" {
            return Ok(Transport::Plain(socket));
        }
        let config = self.config(route.trust(), offer)?;
        Ok(Transport::Secure(Box::new(self.secure(socket, &server.host, &config, &at).await?)))
    }

    /// Opens the socket below HTTP and TLS. The socket may be a TCP connection, a tunnel through a proxy, or
    /// a Unix socket.
    async fn socket(&self, route: &Route, url: &Url, server: &Endpoint, at: &str) -> Result<Socket, Error> {
        if let Some(path) = &self.unix_socket {
            let connecting = timeout(self.connect_timeout, connect_unix(path)).await;
            let connected = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            return connected.map(Socket::Unix).map_err(|e| {
                let detail = format!("--unix-socket {}: {}", path.to_string_lossy(), dial::plain(&e));
                Error::new(ErrorKind::ConnectFailed, at, detail)
            });
        }
        if let Some(why) = self.proxies.why_unusable(url) {
            return Err(Error::new(ErrorKind::ProxyInvalid, at, why));
        }
        let other = self.other_target(url);
        let (host, server) = (&server.host, other.as_ref().unwrap_or(server));
        match route.gateway() {
            None => {
                let stream = self.dialer.connect_for(host, server, route.is_guarded()).await?;
                Ok(Socket::Tcp(stream, self.round_trips.meter(server.clone(), clock::instant())))
            }
            Some(gateway) if route.forwarder().is_some() => self.dial_proxy(gateway, at).await,
            Some(gateway) => {
                let (dialer, patience) = (&self.dialer, self.connect_timeout);
                let tunnel = Tunnel { gateway, server, at, dialer, patience };
                tunnel.open(|| self.dial_proxy(gateway, at)).await
            }
        }
    }

    /// Returns the host and the port that a rule of `--connect-to` names for the connections of a URL.
    /// Returns `None` if no rule is for this URL.
    fn other_target(&self, url: &Url) -> Option<Endpoint> {
        let Endpoint { host, port } = Endpoint::of(url)?;
        let target = self.connect_to.iter().find_map(|rule| rule.target(&host, port));
        target.map(|(host, port)| Endpoint { host, port })
    }

    /// Connects to a proxy, with TLS if its URL has the scheme `https`.
    async fn dial_proxy(&self, gateway: &Gateway, at: &str) -> Result<Socket, Error> {
        let proxy = &gateway.proxy;
        let stream = self.dialer.connect(&gateway.endpoint()).await.map_err(|e| {
            let why = format!("{proxy}: {}: {}", e.kind.meaning(), e.detail);
            Error::new(ErrorKind::ProxyUnreachable, at, why)
        })?;
        if proxy.protocol != Protocol::Https {
            return Ok(Socket::Tcp(stream, None));
        }
        let trust = self.tls.trust(&proxy.host, proxy.port, Peer::default()).of_proxy();
        let config = self.config(trust, Offer::Http1)?;
        let secured = self.secure(stream, &proxy.host, &config, &proxy.to_string()).await;
        secured.map(|stream| Socket::Proxy(Box::new(stream))).map_err(|mut e| {
            e.detail = format!("the proxy's connection: {}", e.detail);
            e
        })
    }

    async fn secure<S>(
        &self,
        stream: S,
        host: &Host<String>,
        config: &Arc<ClientConfig>,
        at: &str,
    ) -> Result<TlsStream<BufReader<S>>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|e| Error::new(ErrorKind::UrlInvalid, at, e.to_string()))?,
            Host::Ipv4(address) => IpAddr::V4(*address).into(),
            Host::Ipv6(address) => IpAddr::V6(*address).into(),
        };
        // rustls reads 4 KiB at a time. With a buffer, not every read needs a system call.
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
                    "completed the TLS handshake"
                );
                Ok(secured)
            }
            Ok(Err(e)) => Err(tls::failure::of_handshake(&e, at)),
            Err(_) => {
                let detail = format!("no TLS handshake within {} s", self.connect_timeout.as_secs_f64());
                Err(Error::new(ErrorKind::ConnectTimeout, at, detail))
            }
        }
    }
}

impl Transport {
    /// Returns the address at the other end of the TCP connection. Returns `None` for a Unix socket, and for
    /// a connection that goes through TLS to a proxy.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        let socket = match self {
            Transport::Plain(socket) => socket,
            Transport::Secure(stream) => stream.get_ref().0.get_ref(),
        };
        match socket {
            Socket::Tcp(stream, _) => stream.peer_addr().ok().map(|address| address.ip()),
            Socket::Proxy(_) | Socket::Unix(_) => None,
        }
    }

    /// Returns true if TLS negotiated HTTP/2.
    pub(super) fn negotiated_http2(&self) -> bool {
        matches!(self, Transport::Secure(stream) if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2))
    }
}

fn read_size(connections: usize) -> usize {
    (READS_TOGETHER / connections.max(1)).clamp(READ_LEAST, READ_MOST)
}
