//! Connects through proxies. [`connect`] and [`socks`] open tunnels, and [`forward`] sends requests that a
//! proxy forwards.
//!
//! Invariants: the user name and the password for a proxy are sent only to that proxy. A request that opens a
//! tunnel contains nothing of the request to the server, except the host and port of the server. A response
//! that is known to come from the proxy is never treated as a response of the server.

mod connect;
pub(super) mod forward;
mod socks;

use super::dial::{self, Dialer};
use super::route::Endpoint;
use super::socket::Socket;
use super::tls;
use crate::clock;
use crate::credentials::{Nonce, Sent};
use crate::trace::NET;
use downhaul_core::credentials;
use downhaul_core::credentials::challenge::{self, Challenge, Schemes};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::proxy::{Protocol, Proxy};
use http::HeaderValue;
use std::hash::{Hash, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use tracing::debug;
use url::Host;

/// The highest number of addresses of a server that are tried through a SOCKS5 proxy, if names are resolved
/// on this machine. Each attempt needs a new connection to the proxy.
const ADDRESSES_MOST: usize = 4;

/// A proxy, and the last challenge whose answer the proxy accepted.
pub(super) struct Gateway {
    pub(super) proxy: Proxy,
    /// Later requests answer this challenge immediately (RFC 7616, section 3.6). So the proxy usually refuses
    /// only the requests of a run that were sent before it accepted an answer.
    challenge: Mutex<Option<Accepted>>,
    random: RandomState,
}

/// The state of the login to the proxy for one request or tunnel. Only the first challenge is answered,
/// because a second one means that the proxy did not accept the answer. When the proxy has accepted the
/// answer, other requests use the same challenge.
pub(super) struct Attempt<'a> {
    gateway: &'a Gateway,
    method: &'a str,
    target: &'a str,
    challenge: Option<Accepted>,
}

/// A challenge that was answered. For the scheme Digest, it has the nonce.
enum Accepted {
    Basic,
    Digest(Nonce),
}

impl Gateway {
    pub(super) fn new(proxy: Proxy) -> Self {
        Gateway { proxy, challenge: Mutex::new(None), random: RandomState::new() }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { host: self.proxy.host.clone(), port: self.proxy.port }
    }

    /// Returns the state of the login for a new request with this method and request target.
    pub(super) fn attempt<'a>(&'a self, method: &'a str, target: &'a str) -> Attempt<'a> {
        Attempt { gateway: self, method, target, challenge: None }
    }

    /// Returns the error with a note that the request went through this proxy, so that the user knows that
    /// the proxy may be the cause. The error `tls.missing` becomes `proxy.failed`, unless it is about the
    /// connection to the proxy.
    pub(super) fn named_in(&self, mut error: Error) -> Error {
        let proxy = self.proxy.to_string();
        if error.kind == ErrorKind::TlsMissing && !error.at.starts_with(&proxy) {
            // Networks with a login page open every tunnel, and then send that page instead of the response.
            error.kind = ErrorKind::ProxyFailed;
            error.detail = format!(
                "the data that came through {proxy} is not TLS. It is from the proxy, or the server does not use TLS on this port"
            );
        } else if !error.detail.contains(&proxy) && !error.at.starts_with(&proxy) {
            let separator = if error.detail.is_empty() { "" } else { ", " };
            error.detail += &format!("{separator}through the proxy {proxy}");
        }
        error
    }

    /// Returns true if an error is about the TLS connection to this proxy.
    pub(super) fn is_named_by(&self, error: &Error) -> bool {
        error.at == self.proxy.to_string()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Accepted>> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two gateways are equal if their proxies are equal, including the user names and the passwords.
impl PartialEq for Gateway {
    fn eq(&self, other: &Self) -> bool {
        self.proxy == other.proxy
    }
}

impl Eq for Gateway {}

impl Hash for Gateway {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.proxy.hash(state);
    }
}

impl Attempt<'_> {
    /// Returns the value of `Proxy-Authorization`, if the settings have a user name and a password for the
    /// proxy, and a challenge is known: the proxy has sent one to this attempt, or it has accepted the answer
    /// to an earlier one.
    fn authorization(&mut self) -> Option<HeaderValue> {
        let login = self.gateway.proxy.login.as_ref()?;
        let mut known = self.gateway.known();
        let accepted = match (self.challenge.as_mut(), known.as_mut()) {
            // The proxy sent the same nonce again, so the count of the nonce continues.
            (Some(Accepted::Digest(own)), Some(Accepted::Digest(known))) if own.is_same(known) => {
                return known.answer(self.target, login, Sent { method: self.method, body: &[] });
            }
            (own, known) => own.or(known)?,
        };
        match accepted {
            Accepted::Basic => credentials::basic(login),
            Accepted::Digest(nonce) => {
                nonce.answer(self.target, login, Sent { method: self.method, body: &[] })
            }
        }
    }

    /// Chooses which challenge of a response with status 407 is answered. If the result is `Ok`, the request
    /// can be sent again with an answer to this challenge.
    ///
    /// # Errors
    /// Returns `proxy.login` if no challenge can be answered, or if one was answered already.
    fn on_challenge(&mut self, challenges: &[Vec<u8>], at: &str) -> Result<(), Error> {
        let proxy = &self.gateway.proxy;
        let refused = |why: String| Err(Error::new(ErrorKind::ProxyLogin, at, format!("{proxy} {why}")));
        let Some(login) = &proxy.login else {
            return refused("requires a user name and a password".into());
        };
        if self.challenge.is_some() {
            return refused("did not accept the user name and the password".into());
        }
        let challenges = challenge::read(challenges.iter().map(Vec::as_slice));
        self.challenge = match challenge::strongest(&challenges, login, Schemes::Any) {
            Some(Challenge::Basic(_)) => Some(Accepted::Basic),
            Some(Challenge::Digest(digest)) => {
                Some(Accepted::Digest(Nonce::new(digest.clone(), &self.gateway.random)))
            }
            _ => return refused(only_other_schemes(&challenges)),
        };
        Ok(())
    }

    /// Records that the proxy accepted the answer to the challenge, so that other requests use the same
    /// challenge.
    fn on_accepted(self) {
        let Some(challenge) = self.challenge else { return };
        let mut known = self.gateway.known();
        match (&challenge, &*known) {
            (Accepted::Digest(own), Some(Accepted::Digest(known))) if own.is_same(known) => {}
            _ => *known = Some(challenge),
        }
    }
}

/// Returns the kind of failure that a status of a proxy means. The status is not 407.
fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        // tinyproxy sends this status if the user name or the password is wrong.
        401 => ErrorKind::ProxyLogin,
        // After one of these statuses, the same request may succeed a little later.
        408 | 429 | 500..=599 => ErrorKind::ProxyFailed,
        _ => ErrorKind::ProxyRefused,
    }
}

/// Returns a text for the user, which says that downhaul can use none of the challenges of a proxy, and names
/// the schemes of these challenges. A proxy that sent no challenge is described by another text.
fn only_other_schemes(challenges: &[Challenge]) -> String {
    let schemes = challenge::schemes(challenges);
    match schemes.is_empty() {
        true => "requires a login and does not say how to log in".into(),
        false => {
            format!("accepts logins only by {}, and downhaul supports Basic and Digest", schemes.join(", "))
        }
    }
}

/// The parameters of a tunnel.
pub(super) struct Tunnel<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) server: &'a Endpoint,
    /// The URL for error messages.
    pub(super) at: &'a str,
    pub(super) dialer: &'a Dialer,
    /// The time limit for an answer of the proxy.
    pub(super) patience: Duration,
}

impl Tunnel<'_> {
    /// Opens the tunnel. `dial` makes a new connection to the proxy.
    ///
    /// # Errors
    /// Returns `proxy.*`, an error of `dial`, `tls.client_refused` if the proxy requires a client
    /// certificate, or `dns.unresolved` if the name is resolved on this machine and cannot be found.
    pub(super) async fn open<F>(&self, dial: impl Fn() -> F) -> Result<Socket, Error>
    where
        F: Future<Output = Result<Socket, Error>>,
    {
        let since = clock::instant();
        let opened = match self.gateway.proxy.protocol {
            Protocol::Http | Protocol::Https => self.by_connect(dial).await?,
            Protocol::Socks5 => self.by_addresses(dial).await?,
            Protocol::Socks5h | Protocol::Socks4a => {
                let mut socket = dial().await?;
                self.in_time(socks::open(&mut socket, self, &self.server.host)).await?;
                socket
            }
        };
        let (proxy, server) = (&self.gateway.proxy, self.server);
        debug!(target: NET, %proxy, %server, took = ?since.elapsed(), "opened a tunnel");
        Ok(opened)
    }

    async fn by_connect<F>(&self, dial: impl Fn() -> F) -> Result<Socket, Error>
    where
        F: Future<Output = Result<Socket, Error>>,
    {
        let target = self.server.to_string();
        let mut attempt = self.gateway.attempt("CONNECT", &target);
        loop {
            let mut socket = dial().await?;
            let login = attempt.authorization();
            let answer = self.in_time(connect::request_tunnel(&mut socket, self, &target, login)).await?;
            match answer.status {
                _ if answer.is_open() => {
                    attempt.on_accepted();
                    return Ok(socket);
                }
                407 => attempt.on_challenge(&answer.challenges, self.at)?,
                _ => return Err(connect::refusal(&answer, self)),
            }
        }
    }

    /// Resolves the name of the server on this machine, and opens a tunnel to the first of its addresses that
    /// works.
    async fn by_addresses<F>(&self, dial: impl Fn() -> F) -> Result<Socket, Error>
    where
        F: Future<Output = Result<Socket, Error>>,
    {
        let mut failed = self.error(ErrorKind::DnsUnresolved, "got no address of the server");
        for address in self.dialer.resolve(self.server).await?.iter().take(ADDRESSES_MOST) {
            let mut socket = dial().await?;
            let host = match address {
                SocketAddr::V4(v4) => Host::Ipv4(*v4.ip()),
                SocketAddr::V6(v6) => Host::Ipv6(*v6.ip()),
            };
            match self.in_time(socks::open(&mut socket, self, &host)).await {
                Ok(()) => return Ok(socket),
                Err(error) if error.kind == ErrorKind::ProxyFailed => failed = error,
                Err(error) => return Err(error),
            }
        }
        Err(failed)
    }

    async fn in_time<T>(&self, talk: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(self.patience, talk).await.unwrap_or_else(|_| {
            let why = format!("did not answer within {} s", self.patience.as_secs_f64());
            Err(self.error(ErrorKind::ProxyFailed, &why))
        })
    }

    /// Returns the error for a broken connection to the proxy.
    fn broke(&self, error: &io::Error) -> Error {
        // With TLS 1.3, a proxy says only after the handshake that it requires a client certificate.
        let proxy = self.gateway.proxy.to_string();
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match of_tls.map(|tls| tls::failure::of_transfer(tls, &proxy)) {
            Some(refused) if refused.kind == ErrorKind::TlsClientRefused => return refused,
            _ => {}
        }
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "closed the connection without an answer".to_string(),
            _ => format!("broke the connection: {}", dial::plain(error)),
        };
        self.error(ErrorKind::ProxyFailed, &why)
    }

    /// Returns an error about the proxy. `what` says what the proxy did.
    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, self.at, format!("{} {what}", self.gateway.proxy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_that_the_proxy_sends_again_keeps_its_count() {
        let gateway = Gateway::new(Proxy::parse("http://me:pw@h:1").expect("a proxy"));
        let challenge = || [b"Digest realm=r, nonce=n, qop=auth".to_vec()];
        let count = |attempt: &mut Attempt| {
            let value = attempt.authorization().expect("a value");
            let text = value.to_str().expect("ASCII");
            text.split_once("nc=0000000").map_or("", |(_, rest)| &rest[..1]).to_string()
        };
        let mut first = gateway.attempt("CONNECT", "h:443");
        first.on_challenge(&challenge(), "").expect("it can be answered");
        assert_eq!(count(&mut first), "1");
        first.on_accepted();
        // Another request was sent without a login at the same time, and gets the same challenge.
        let mut second = gateway.attempt("CONNECT", "i:443");
        second.on_challenge(&challenge(), "").expect("it can be answered");
        assert_eq!(count(&mut second), "2");
        second.on_accepted();
        assert_eq!(count(&mut gateway.attempt("CONNECT", "h:443")), "3");
    }

    #[test]
    fn a_realm_and_a_login_that_are_not_ascii_are_sent_to_the_proxy() {
        let gateway = Gateway::new(Proxy::parse("http://m%C3%BC:pw@h:1").expect("a proxy"));
        let mut attempt = gateway.attempt("CONNECT", "h:443");
        let challenge = b"Digest realm=\"M\xfcnchen\", nonce=n".to_vec();
        attempt.on_challenge(&[challenge], "").expect("it can be answered");
        let value = attempt.authorization().expect("a value");
        let start = b"Digest username=\"m\xc3\xbc\", realm=\"M\xfcnchen\"";
        assert!(value.as_bytes().starts_with(start), "{}", value.as_bytes().escape_ascii());
        assert!(value.is_sensitive());
    }
}
