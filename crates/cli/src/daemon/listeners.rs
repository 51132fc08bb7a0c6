//! The sockets on which the daemon listens, and its certificate.

use crate::args;
use crate::platform;
use crate::run;
use crate::words;
use downhaul_daemon::web::guard::is_loopback;
use downhaul_engine::tls;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpListener;

/// The sockets, with their addresses.
pub(super) struct Listeners {
    pub(super) all: Vec<(TcpListener, SocketAddr)>,
    pub(super) tls: Option<tls::Server>,
}

impl Listeners {
    /// Takes the sockets that systemd passed to this process. If there are none, listens on the address that
    /// the arguments name. Also reads the certificate and its key, if they are given.
    ///
    /// # Errors
    /// Returns why the daemon cannot listen, or must not listen, in words for the user.
    pub(super) async fn open(daemon: &args::Daemon) -> Result<Listeners, String> {
        let tls = match (&daemon.tls_cert, &daemon.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(tls::Server::new(certificate, key).map_err(|e| unusable(&e))?)
            }
            _ => None,
        };
        let passed = platform::passed_listeners();
        let passed = passed.map_err(|e| format!("a socket that systemd passed cannot be used: {e}"))?;
        let mut all = Vec::new();
        for listener in passed {
            let opened = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
            all.push(opened.map_err(|e| format!("a socket that systemd passed cannot be used: {e}"))?);
        }
        if all.is_empty() {
            let opened = TcpListener::bind(daemon.listen).await;
            all.push(opened.map_err(|e| format!("the address {} cannot be used: {e}", daemon.listen))?);
        }
        let with_address = |listener: TcpListener| {
            let address = listener.local_addr().unwrap_or(daemon.listen);
            (listener, address)
        };
        let listeners = Listeners { all: all.into_iter().map(with_address).collect(), tls };
        if daemon.no_secret
            && let Some(address) = listeners.exposed()
        {
            return Err(format!(
                "--no-secret is allowed only on a loopback address, but the daemon would listen on {address}: \
                 choose a loopback address such as 127.0.0.1, or leave out --no-secret"
            ));
        }
        Ok(listeners)
    }

    /// Returns an address that is not a loopback address, if there is one. Only programs on this machine can
    /// connect to a loopback address.
    fn exposed(&self) -> Option<SocketAddr> {
        self.all.iter().map(|(_, address)| *address).find(|address| !is_loopback(address.ip()))
    }

    /// Prints a warning if the daemon listens without TLS on an address that is not a loopback address. Other
    /// people on the network can then read the secret that clients send.
    pub(super) fn warn(&self) {
        if let Some(address) = self.exposed()
            && self.tls.is_none()
        {
            run::warn(&format!(
                "the daemon listens on {address} without TLS, so others on the network can read the secret: \
                 use --tls-cert and --tls-key to protect it"
            ));
        }
    }

    /// Returns the scheme of the URLs of the daemon.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Returns the message about a certificate or a key that cannot be used.
pub(super) fn unusable(error: &downhaul_engine::Error) -> String {
    format!(
        "the certificate of --tls-cert or the key of --tls-key cannot be used: {}: {}",
        words::path(Path::new(&error.at)),
        error.detail
    )
}
