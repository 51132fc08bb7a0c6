//! `--enable-rpc`: what clients may do, and where their downloads are kept.
//!
//! Invariant: without a secret, the daemon listens only on a loopback address.

use super::arguments::Refused;
use crate::daemon;
use crate::words;
use downhaul_daemon::folders::Folders;
use downhaul_daemon::item::Item;
use downhaul_daemon::options::Options;
use downhaul_daemon::web::{Allowed, Token};
use downhaul_engine::core::secret::Secret;
use downhaul_engine::tls;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// The server for clients.
pub(super) struct Rpc {
    pub(super) listener: TcpListener,
    pub(super) token: Token,
    pub(super) allowed: Allowed,
    /// The certificate of `--rpc-secure`.
    pub(super) tls: Option<tls::Server>,
}

/// Options that protect the daemon in aria2, and that downhaul does not have. They are refused, so that no
/// user relies on them.
const MISSING: [(&str, &str); 1] =
    [("rpc-user", "downhaul has no user names for clients. Use --rpc-secret.")];

/// Returns true if clients are to be served.
pub(super) fn is_enabled(options: &Options) -> bool {
    options.get("enable-rpc") == Some("true")
}

/// Listens for clients.
///
/// # Errors
/// Returns why the program cannot listen, or why an option is refused.
pub(super) async fn listen(options: &Options) -> Result<Rpc, Refused> {
    if let Some((name, why)) = MISSING.iter().find(|(name, _)| options.get(name).is_some()) {
        return Err(Refused::value(format!("--{name}: {why}")));
    }
    let secret = options.get("rpc-secret").map(Secret::new);
    let tls = options.is_true("rpc-secure").then(|| secured(options)).transpose()?;
    let port = u16::try_from(options.number("rpc-listen-port")).unwrap_or_default();
    let addresses: &[IpAddr] = match options.is_true("rpc-listen-all") {
        true if secret.is_none() => {
            let why = "--rpc-listen-all needs --rpc-secret. Without a secret, downhaul answers only clients on \
                       this machine.";
            return Err(Refused::value(why));
        }
        // The IPv4 address is used only if the IPv6 address cannot be used. Usually, the machine then has no
        // IPv6.
        true => &[IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
        false => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
    };
    let mut failed = None;
    for &address in addresses {
        match TcpListener::bind(SocketAddr::new(address, port)).await {
            Ok(listener) => {
                let origins = options.is_true("rpc-allow-origin-all").then(|| "*".to_string());
                let allowed = Allowed { hosts: Vec::new(), origins: origins.into_iter().collect() };
                return Ok(Rpc { listener, token: Token::new(secret), allowed, tls });
            }
            Err(e) => failed = Some(e),
        }
    }
    let why = failed.map(|e| e.to_string()).unwrap_or_default();
    Err(Refused::new(1, format!("IPv4 RPC: failed to bind TCP port {port}: {why}\n")))
}

/// Reads the certificate and the key of `--rpc-secure`.
fn secured(options: &Options) -> Result<tls::Server, Refused> {
    let (Some(certificate), Some(key)) = (options.get("rpc-certificate"), options.get("rpc-private-key"))
    else {
        let why = "--rpc-secure: --rpc-certificate and --rpc-private-key must name files in PEM form.";
        return Err(Refused::value(why));
    };
    let secured = tls::Server::new(Path::new(certificate), Path::new(key));
    secured
        .map_err(|e| Refused::value(format!("--rpc-secure: {}: {}", words::path(Path::new(&e.at)), e.detail)))
}

/// Returns the path of the database of the queue. If `--save-session` names a file, the database is beside
/// it. Otherwise, the database is in the folder for state, and its name contains the port.
pub(super) fn store(options: &Options) -> Result<PathBuf, Refused> {
    if let Some(session) = options.get("save-session") {
        return Ok(format!("{session}.db").into());
    }
    let name = format!("aria2c-{}.db", options.number("rpc-listen-port"));
    daemon::in_state_folder(None, &name).map_err(|why| Refused::new(1, why + "\n"))
}

/// Returns the folders that clients may use: the folder of `--dir`, and the folders that the user's list
/// names.
pub(super) fn folders(default: PathBuf, items: &[Item]) -> Result<Folders, Refused> {
    let named: BTreeSet<PathBuf> =
        items.iter().filter_map(|item| item.options.get("dir")).map(PathBuf::from).collect();
    let all: Vec<PathBuf> = [default].into_iter().chain(named).collect();
    daemon::folders(&all).map_err(|why| Refused::new(1, why + "\n"))
}
