//! Connects to a host: tries all its addresses, of both families in turn, and uses the first connection that
//! works (RFC 8305).

use super::route::Endpoint;
use crate::clock;
use crate::explain::{Stage, spend};
use crate::trace::NET;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{Family, Settings};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;
use url::Host;

/// The time after which the next address is tried in parallel. RFC 8305, section 8 recommends this Connection
/// Attempt Delay.
const HEAD_START: Duration = Duration::from_millis(250);

/// Resolves names and connects.
pub(super) struct Dialer {
    family: Family,
    /// The time limit of a name lookup. It is also the time limit of an attempt to connect.
    patience: Duration,
}

impl Dialer {
    pub(super) fn new(settings: &Settings) -> Self {
        Dialer { family: settings.family, patience: settings.connect_timeout }
    }

    /// Returns the addresses of a host, in the order in which they are tried.
    ///
    /// # Errors
    /// Returns `dns.unresolved`.
    pub(super) async fn resolve(&self, to: &Endpoint) -> Result<Vec<SocketAddr>, Error> {
        let port = to.port;
        let addresses: Vec<SocketAddr> = match &to.host {
            Host::Ipv4(ip) => vec![SocketAddr::from((*ip, port))],
            Host::Ipv6(ip) => vec![SocketAddr::from((*ip, port))],
            Host::Domain(name) => {
                let since = clock::instant();
                let found = timeout(self.patience, tokio::net::lookup_host((name.as_str(), port))).await;
                spend(Stage::Name, since);
                match found {
                    Ok(Ok(found)) => {
                        let addresses: Vec<SocketAddr> = found.collect();
                        debug!(target: NET, name, ?addresses, took = ?since.elapsed(), "looked up the name");
                        addresses
                    }
                    Ok(Err(e)) => return Err(Error::new(ErrorKind::DnsUnresolved, name, plain_dns(&e))),
                    Err(_) => {
                        let detail = format!("no answer within {} s", self.patience.as_secs_f64());
                        return Err(Error::new(ErrorKind::DnsUnresolved, name, detail));
                    }
                }
            }
        };
        let wanted = in_turn(addresses.into_iter().filter(|a| match self.family {
            Family::Any => true,
            Family::V4 => a.is_ipv4(),
            Family::V6 => a.is_ipv6(),
        }));
        if wanted.is_empty() {
            let why = "it has no address of the wanted family";
            return Err(Error::new(ErrorKind::DnsUnresolved, to.to_string(), why));
        }
        Ok(wanted)
    }

    /// Connects to a host and port.
    ///
    /// # Errors
    /// Returns `dns.unresolved`, or `connect.*` with each address that was tried and its error.
    pub(super) async fn connect(&self, to: &Endpoint) -> Result<TcpStream, Error> {
        let addresses = self.resolve(to).await?;
        let since = clock::instant();
        let raced = timeout(self.patience, race(&addresses)).await;
        spend(Stage::Connect, since);
        match raced {
            Ok(Ok(stream)) => {
                debug!(target: NET, address = ?stream.peer_addr().ok(), took = ?since.elapsed(), "connected");
                Ok(stream)
            }
            Ok(Err(failures)) => Err(error_of(&failures, &to.to_string())),
            Err(_) => {
                let tried: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                let detail =
                    format!("no answer within {} s from {}", self.patience.as_secs_f64(), tried.join(", "));
                Err(Error::new(ErrorKind::ConnectTimeout, to.to_string(), detail))
            }
        }
    }
}

/// Alternates between the two families, beginning with that of the first address (RFC 8305, section 4).
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

/// Returns the first connection that works. If an address fails, the next one is tried at once.
async fn race(addresses: &[SocketAddr]) -> Result<TcpStream, Vec<(SocketAddr, io::Error)>> {
    let mut next = addresses.iter();
    let mut dialling = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        let more = next.next();
        if let Some(&address) = more {
            debug!(target: NET, %address, "connecting");
            dialling.push(async move { (address, TcpStream::connect(address).await) });
        }
        if dialling.is_empty() {
            return Err(failures);
        }
        tokio::select! {
            Some((address, result)) = dialling.next() => match result {
                Ok(stream) => {
                    // A request is one small write, which the system must send at once.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(e) => {
                    debug!(target: NET, %address, error = %e, "could not connect");
                    failures.push((address, e));
                }
            },
            () = tokio::time::sleep(HEAD_START), if next.len() > 0 => {}
        }
    }
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

/// Returns the text of an error without "(os error 111)".
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}

/// Returns the error text of the resolver, without the words that std puts before it.
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
    fn families_take_turns() {
        let mixed = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(in_turn(mixed.into_iter()), addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }

    #[tokio::test]
    async fn a_dead_first_address_does_not_matter() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let dead = closed.local_addr().expect("an address");
        drop(closed);
        let alive = server.local_addr().expect("an address");
        let stream = race(&[dead, alive]).await.expect("the second one answers");
        assert_eq!(stream.peer_addr().expect("an address"), alive);
        let error = error_of(&race(&[dead]).await.expect_err("nothing answers"), "h:1");
        assert_eq!(error.kind, ErrorKind::ConnectRefused);
        assert!(error.detail.contains(&dead.to_string()), "{error}");
    }
}
