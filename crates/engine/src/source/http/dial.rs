//! Connects to a host: tries its addresses, IPv4 and IPv6 in turn, and uses the first connection that works
//! (RFC 8305).

use super::doh::Doh;
use super::names::Names;
use super::route::Endpoint;
use crate::clock;
use crate::explain::{Stage, spend};
use crate::trace::NET;
use downhaul_core::address;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::names::without_last_dot;
use downhaul_core::names::{Interface, Resolve};
use downhaul_core::settings::{Family, Settings};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tracing::debug;
use url::Host;

/// The time after which the next address is tried in parallel. RFC 8305, section 8 recommends this Connection
/// Attempt Delay.
const HEAD_START: Duration = Duration::from_millis(250);

/// The highest number of addresses that are remembered as failed. Further addresses that fail keep their
/// place in the order in which addresses are tried.
const FAILED_MOST: usize = 1024;

/// The highest number of hosts that are remembered with the kind of the address (public or private) at which
/// they were reached. A list may have a million hosts.
const REACHED_MOST: usize = 65_536;

pub(super) struct Dialer {
    family: Family,
    /// The time limit of a look-up of a name, and also of all attempts together to connect to its addresses.
    patience: Duration,
    resolve: Vec<Resolve>,
    interface: Option<Interface>,
    names: Names,
    /// The DNS server that resolves names in place of the system, if there is one.
    doh: Option<Arc<Doh>>,
    /// True if a private address is refused when a public host, a document or a server leads to it.
    refuses_private: bool,
    /// The hosts that were reached. The value is true if the address was public.
    reached: Mutex<HashMap<Host<String>, bool>>,
    /// Addresses that failed, or that were slower than another address. They are tried last.
    failed: Mutex<HashSet<SocketAddr>>,
}

impl Dialer {
    /// Creates the dialer.
    ///
    /// # Errors
    /// Returns an error if the settings name a server for DNS over HTTPS that cannot be set up.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Dialer {
            family: settings.family,
            patience: settings.connect_timeout,
            resolve: settings.resolve.clone(),
            interface: settings.interface.clone(),
            names: Names::default(),
            doh: Doh::of(settings)?,
            failed: Mutex::default(),
            refuses_private: settings.refuse_private,
            reached: Mutex::default(),
        })
    }

    /// Returns the addresses of a host, in the order in which they are tried.
    ///
    /// # Errors
    /// Returns `dns.unresolved` if the look-up fails, or if the host has no address that may be used.
    pub(super) async fn resolve(&self, to: &Endpoint) -> Result<Vec<SocketAddr>, Error> {
        let given = self.resolve.iter().find_map(|rule| rule.addresses(&to.host, to.port));
        let addresses: Vec<IpAddr> = match (given, &to.host) {
            (Some(given), _) => given.to_vec(),
            (None, Host::Ipv4(ip)) => vec![IpAddr::V4(*ip)],
            (None, Host::Ipv6(ip)) => vec![IpAddr::V6(*ip)],
            (None, Host::Domain(name)) => self.look_up(name).await?,
        };
        let wanted = addresses.into_iter().filter(|address| match self.family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        });
        let mut all = in_turn(wanted.map(|address| SocketAddr::new(address, to.port)));
        if all.is_empty() {
            let why = match self.family {
                Family::V4 => "the host has no IPv4 address, and -4 allows only IPv4",
                Family::V6 => "the host has no IPv6 address, and -6 allows only IPv6",
                Family::Any => "the host has no address",
            };
            return Err(Error::new(ErrorKind::DnsUnresolved, to.to_string(), why));
        }
        let failed = self.failed();
        all.sort_by_key(|address| failed.contains(address));
        Ok(all)
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let since = clock::instant();
        let doh = self.doh.clone().filter(|_| !is_this_machine(name));
        let is_over_https = doh.is_some();
        let ask = |name: String| async move {
            match doh {
                Some(doh) => doh.look_up(name).await,
                None => {
                    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
                    Ok(found.map(|address| address.ip()).collect())
                }
            }
        };
        let looking = self.names.addresses(name, ask);
        // A look-up over HTTPS applies the time limit itself, and its error names the DNS server.
        let found = if is_over_https { Ok(looking.await) } else { timeout(self.patience, looking).await };
        spend(Stage::Name, since);
        match found {
            Ok(Ok(addresses)) => {
                debug!(target: NET, name, ?addresses, took = ?since.elapsed(), "looked up the name");
                Ok(addresses.to_vec())
            }
            Ok(Err(e)) => Err(Error::new(ErrorKind::DnsUnresolved, name, plain_dns(&e))),
            Err(_) => {
                let detail = format!("no answer within {} s", self.patience.as_secs_f64());
                Err(Error::new(ErrorKind::DnsUnresolved, name, detail))
            }
        }
    }

    /// Connects to a host and port.
    ///
    /// # Errors
    /// Returns `dns.unresolved`, or an error `connect.*` that names the addresses.
    pub(super) async fn connect(&self, to: &Endpoint) -> Result<TcpStream, Error> {
        self.connect_to(to, self.resolve(to).await?).await
    }

    /// Connects to `to`, the host and port to which the requests for the `host` of a URL are sent. If the
    /// settings refuse private addresses, no private address is used when `is_guarded` is true, or when
    /// `host` itself was reached at a public address before.
    ///
    /// # Errors
    /// Returns `redirect.private` if only private addresses are left, or the errors of [`Dialer::connect`].
    pub(super) async fn connect_for(
        &self,
        host: &Host<String>,
        to: &Endpoint,
        is_guarded: bool,
    ) -> Result<TcpStream, Error> {
        let mut addresses = self.resolve(to).await?;
        if self.refuses_private && (is_guarded || self.is_public(host) == Some(true)) {
            addresses.retain(|address| !address::is_private(address.ip()));
            if addresses.is_empty() {
                return Err(Error::new(ErrorKind::RedirectPrivate, to.to_string(), ""));
            }
        }
        let stream = self.connect_to(to, addresses).await?;
        if self.refuses_private
            && let Ok(peer) = stream.peer_addr()
        {
            let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
            if reached.len() < REACHED_MOST || reached.contains_key(host) {
                reached.insert(host.clone(), !address::is_private(peer.ip()));
            }
        }
        Ok(stream)
    }

    /// Returns true if the host was reached at a public address, false if it was reached at a private one,
    /// and `None` if the address is not known.
    pub(super) fn is_public(&self, host: &Host<String>) -> Option<bool> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).get(host).copied()
    }

    async fn connect_to(&self, to: &Endpoint, addresses: Vec<SocketAddr>) -> Result<TcpStream, Error> {
        let since = clock::instant();
        let raced = timeout(self.patience, self.race(&addresses)).await;
        spend(Stage::Connect, since);
        if let (Err(_) | Ok(Err(_)), Host::Domain(name)) = (&raced, &to.host) {
            self.names.forget(name);
        }
        match raced {
            Ok(Ok(stream)) => {
                let address = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
                debug!(target: NET, address, took = ?since.elapsed(), "connected");
                Ok(stream)
            }
            Ok(Err(failures)) => Err(error_of(&failures, &to.to_string())),
            Err(_) => {
                addresses.iter().for_each(|address| self.remember(*address, false));
                let tried: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                let detail =
                    format!("no answer within {} s from {}", self.patience.as_secs_f64(), tried.join(", "));
                Err(Error::new(ErrorKind::ConnectTimeout, to.to_string(), detail))
            }
        }
    }

    /// Returns the first connection that works, or all failures if there is none. The next address is tried
    /// after [`HEAD_START`], or immediately if an address fails.
    async fn race(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Vec<(SocketAddr, io::Error)>> {
        let mut next = addresses.iter();
        let mut dialling = FuturesUnordered::new();
        let (mut begun, mut failures) = (Vec::new(), Vec::new());
        loop {
            let more = next.next();
            if let Some(&address) = more {
                debug!(target: NET, %address, "connecting");
                begun.push(address);
                dialling.push(async move { (address, self.dial(address).await) });
            }
            if dialling.is_empty() {
                return Err(failures);
            }
            tokio::select! {
                Some((address, result)) = dialling.next() => match result {
                    Ok(stream) => {
                        // Addresses that were tried earlier and have not answered are tried last from now on.
                        let before = begun.iter().take_while(|one| **one != address);
                        before.for_each(|one| self.remember(*one, false));
                        self.remember(address, true);
                        // A request is one small write, which the system must send immediately.
                        let _ = stream.set_nodelay(true);
                        return Ok(stream);
                    }
                    Err(e) => {
                        debug!(target: NET, %address, error = %e, "could not connect");
                        self.remember(address, false);
                        failures.push((address, e));
                    }
                },
                () = tokio::time::sleep(HEAD_START), if next.len() > 0 => {}
            }
        }
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let Some(interface) = &self.interface else { return TcpStream::connect(address).await };
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let bound = match interface {
            Interface::Address(from) if from.is_ipv4() != address.is_ipv4() => {
                Err(io::Error::other("the local address and the host's address have different IP versions"))
            }
            Interface::Address(from) => socket.bind(SocketAddr::new(*from, 0)),
            Interface::Name(name) => bind_device(&socket, name),
        };
        bound.map_err(|e| io::Error::new(e.kind(), format!("--interface {interface}: {}", plain(&e))))?;
        socket.connect(address).await
    }

    /// Remembers whether an address works, so that [`Dialer::resolve`] can put failed addresses last.
    fn remember(&self, address: SocketAddr, works: bool) {
        let mut failed = self.failed();
        if works {
            failed.remove(&address);
        } else if failed.len() < FAILED_MOST {
            failed.insert(address);
        }
    }

    fn failed(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_device(socket: &TcpSocket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_device(_: &TcpSocket, _: &str) -> io::Result<()> {
    Err(io::Error::other("this system cannot use an interface by its name: give one of its addresses"))
}

/// Returns true for `localhost` and for names that end with `.localhost`. These names are not sent to the
/// server for DNS over HTTPS: only the system resolves them (RFC 6761, section 6.3).
fn is_this_machine(name: &str) -> bool {
    let name = without_last_dot(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Returns the addresses with IPv4 and IPv6 in turn, beginning with the family of the first address (RFC
/// 8305, section 4).
fn in_turn(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let all: Vec<SocketAddr> = addresses.collect();
    let Some(first) = all.first() else { return all };
    let (mine, other): (Vec<&SocketAddr>, Vec<&SocketAddr>) =
        all.iter().partition(|a| a.is_ipv4() == first.is_ipv4());
    let mut out = Vec::with_capacity(all.len());
    for i in 0..all.len() {
        out.extend(mine.get(i).copied());
        out.extend(other.get(i).copied());
    }
    out
}

fn error_of(failures: &[(SocketAddr, io::Error)], at: &str) -> Error {
    use io::ErrorKind as Is;
    let all = |kind: Is| failures.iter().all(|(_, e)| e.kind() == kind);
    let kind = if all(Is::ConnectionRefused) {
        ErrorKind::ConnectRefused
    } else if all(Is::TimedOut) {
        ErrorKind::ConnectTimeout
    } else {
        ErrorKind::ConnectFailed
    };
    let each: Vec<String> = failures.iter().map(|(address, e)| format!("{address}: {}", plain(e))).collect();
    Error::new(kind, at, each.join("; "))
}

/// Returns the text of an error without an error number at the end, such as " (os error 111)".
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}

/// Returns the error text of the resolver, without the words that the standard library puts before this text.
fn plain_dns(error: &io::Error) -> String {
    let text = plain(error);
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(all: &[&str]) -> Vec<SocketAddr> {
        all.iter().map(|a| a.parse().expect("an address")).collect()
    }

    #[test]
    fn addresses_of_ipv6_and_ipv4_alternate() {
        let mixed = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(in_turn(mixed.into_iter()), addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }

    #[tokio::test]
    async fn a_dead_first_address_does_not_matter_and_is_tried_last_from_then_on() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let alive = server.local_addr().expect("an address");
        let rule = format!("h.example:{}:127.0.0.9,127.0.0.1", alive.port());
        let settings = Settings::default().with_resolve(vec![Resolve::parse(&rule).expect("a rule")]);
        let dialer = Dialer::new(&settings).expect("a dialer");
        let host = Endpoint { host: Host::Domain("h.example".into()), port: alive.port() };
        let dead = SocketAddr::new(IpAddr::from([127, 0, 0, 9]), alive.port());
        assert_eq!(dialer.resolve(&host).await.expect("addresses"), [dead, alive]);
        let stream = dialer.connect(&host).await.expect("the second one answers");
        assert_eq!(stream.peer_addr().expect("an address"), alive);
        assert_eq!(dialer.resolve(&host).await.expect("addresses"), [alive, dead]);
        let error = error_of(&dialer.race(&[dead]).await.expect_err("nothing answers"), "h:1");
        assert_eq!(error.kind, ErrorKind::ConnectRefused);
        assert!(error.detail.contains(&dead.to_string()), "{error}");
    }
}
