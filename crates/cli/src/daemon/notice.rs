//! The file `daemon.json` in the folder for state. A daemon writes its address into this file, so that the
//! commands for a running daemon find the daemon.
//!
//! Invariant: only the user may read the file, and the file contains no secret.

use crate::platform;
use crate::settings;
use downhaul_engine::Url;
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;

const NAME: &str = "daemon.json";

/// The address of a daemon, and the files that its clients need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) url: String,
    pub(crate) needs_secret: bool,
    /// The file with the secret. It is `None` if the secret was in the environment, or if there is no secret.
    pub(crate) secret_file: Option<PathBuf>,
    /// The file with the certificate of the daemon, if the daemon uses TLS.
    pub(crate) certificate: Option<PathBuf>,
    /// The identifier of the daemon's process. It shows whether the daemon may still run, and it
    /// distinguishes this notice from the notice of another daemon.
    process: u32,
}

/// A notice that was written. It is removed when this value is dropped, unless another daemon has replaced
/// it.
pub(super) struct Written(PathBuf, Vec<u8>);

impl Notice {
    /// Returns the notice of a daemon that listens on this address.
    pub(super) fn new(
        address: SocketAddr,
        needs_secret: bool,
        secret_file: Option<PathBuf>,
        certificate: Option<PathBuf>,
    ) -> Notice {
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/", reached_from_here(address));
        Notice { url, needs_secret, secret_file, certificate, process: std::process::id() }
    }

    /// Reads the notice of the daemon that was started last.
    pub(crate) fn read() -> Option<Notice> {
        let text = fs::read(settings::state_folder()?.join(NAME)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Returns true if the daemon may still run: its process exists, and its address belongs to this machine.
    pub(crate) fn is_current(&self) -> bool {
        let host = Url::parse(&self.url).ok().and_then(|url| match url.host()? {
            url::Host::Ipv4(ip) => Some(IpAddr::from(ip)),
            url::Host::Ipv6(ip) => Some(IpAddr::from(ip)),
            url::Host::Domain(_) => None,
        });
        // A socket can be bound only to an address of this machine.
        platform::is_running(self.process) && host.is_some_and(|ip| UdpSocket::bind((ip, 0)).is_ok())
    }

    /// Writes the notice. Returns `None` if the notice cannot be written. The user must then name the address
    /// in the commands for the daemon.
    pub(super) fn write(&self) -> Option<Written> {
        let folder = settings::state_folder()?;
        platform::make_private_folder(&folder).ok()?;
        let (path, text) = (folder.join(NAME), serde_json::to_vec(self).ok()?);
        platform::replace(&path, &text, platform::FOR_THE_OWNER).ok()?;
        Some(Written(path, text))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if fs::read(&self.0).is_ok_and(|text| text == self.1) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// Returns the address at which a client on this machine reaches a daemon. If the daemon listens on all
/// addresses, this is a loopback address.
fn reached_from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
