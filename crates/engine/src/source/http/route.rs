//! Where a connection leads, and how.
//!
//! Invariant: a connection serves only requests with a route equal to its own. So two requests whose settings
//! differ in anything that a server or a proxy can see of a connection never share one.

use super::proxy::Gateway;
use super::tls::Trust;
use std::fmt;
use std::sync::Arc;
use url::{Host, Url};

/// The way of a request to its server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// The origin of the server, also where a proxy forwards its requests. A proxy may read only the first
    /// request of a connection and pass on all others to the first server (tinyproxy does).
    origin: String,
    gateway: Option<Arc<Gateway>>,
    /// The proxy forwards requests in absolute form.
    forwards: bool,
    /// How TLS trusts the server.
    trust: Trust,
}

/// A host and a port to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) host: Host<String>,
    pub(super) port: u16,
}

impl Route {
    /// A connection to the server of the URL, perhaps through a tunnel of a proxy.
    pub(super) fn to(url: &Url, gateway: Option<Arc<Gateway>>, trust: Trust) -> Route {
        Route { origin: url.origin().ascii_serialization(), gateway, forwards: false, trust }
    }

    /// A connection to a proxy that forwards requests for the URL in absolute form.
    pub(super) fn forwarded(url: &Url, gateway: Arc<Gateway>) -> Route {
        Route { forwards: true, ..Route::to(url, Some(gateway), Trust::default()) }
    }

    /// Returns how TLS trusts the server.
    pub(super) fn trust(&self) -> Trust {
        self.trust
    }

    /// Returns the proxy on the way.
    pub(super) fn gateway(&self) -> Option<&Arc<Gateway>> {
        self.gateway.as_ref()
    }

    /// Returns the proxy that forwards requests in absolute form.
    pub(super) fn forwarder(&self) -> Option<&Arc<Gateway>> {
        self.gateway.as_ref().filter(|_| self.forwards)
    }
}

impl Endpoint {
    /// Returns the host and the port of a URL, or `None` if it has no host.
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
