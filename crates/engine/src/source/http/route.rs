//! Describes the target of a connection, and the proxy on the way to the target.
//!
//! Invariant: a connection serves only requests whose route equals the route of the connection. So two
//! requests share a connection only if they agree in everything that a server or a proxy can see of the
//! connection.

use super::proxy::Gateway;
use super::tls::Trust;
use std::fmt;
use std::sync::Arc;
use url::{Host, Position, Url};

/// The server of a request, the proxy on the way to the server, and the rules for the connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// The origin of the server, even if a proxy forwards the requests. Some proxies, such as tinyproxy, read
    /// only the first request of a connection, and send all later requests to the server of the first
    /// request.
    origin: String,
    gateway: Option<Arc<Gateway>>,
    /// True if the proxy forwards requests. Such a request contains the whole URL (absolute form).
    forwards: bool,
    /// The rules by which the server is trusted.
    trust: Trust,
    /// True if the connection must not lead to a private address. It is false if there is a proxy, because
    /// the proxy connects to the server.
    is_guarded: bool,
}

/// A host and a port to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) host: Host<String>,
    pub(super) port: u16,
}

impl Route {
    /// Returns the route to the server of the URL. If `gateway` is a proxy, the route goes through a tunnel
    /// of this proxy.
    pub(super) fn to(url: &Url, gateway: Option<Arc<Gateway>>, trust: Trust) -> Route {
        Route {
            // The URLs here have no userinfo, so this is the origin.
            origin: url[..Position::BeforePath].to_string(),
            gateway,
            forwards: false,
            trust,
            is_guarded: false,
        }
    }

    /// Returns the route to a proxy that forwards requests for the URL.
    pub(super) fn forwarded(url: &Url, gateway: Arc<Gateway>) -> Route {
        Route { forwards: true, ..Route::to(url, Some(gateway), Trust::default()) }
    }

    /// Returns the same route, for a request that must not lead to a private address.
    pub(super) fn guarded(self) -> Route {
        Route { is_guarded: true, ..self }
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.is_guarded
    }

    pub(super) fn trust(&self) -> Trust {
        self.trust
    }

    /// Returns the proxy of the route, if it has one.
    pub(super) fn gateway(&self) -> Option<&Arc<Gateway>> {
        self.gateway.as_ref()
    }

    /// Returns the proxy, if it forwards requests.
    pub(super) fn forwarder(&self) -> Option<&Arc<Gateway>> {
        self.gateway.as_ref().filter(|_| self.forwards)
    }
}

impl Endpoint {
    /// Returns the host and the port of a URL, or `None` if the URL has no host.
    pub(super) fn of(url: &Url) -> Option<Endpoint> {
        Some(Endpoint { host: url.host()?.to_owned(), port: url.port_or_known_default().unwrap_or(80) })
    }
}

/// Writes `host:port`, with brackets around an IPv6 address.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
