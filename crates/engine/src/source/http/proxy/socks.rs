//! Opens tunnels through SOCKS5 (RFC 1928, RFC 1929) and SOCKS4a proxies.
//!
//! Invariant: exactly the bytes of each reply are read, since the bytes after it come from the server.

use super::Tunnel;
use crate::source::http::socket::Socket;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::proxy::{Protocol, SOCKS_TEXT_MOST};
use downhaul_core::secret::Login;
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Host;

/// Bytes of SOCKS5: the version, the login methods, the command, and the kinds of addresses.
const VERSION_5: u8 = 5;
const WITHOUT_LOGIN: u8 = 0;
const WITH_PASSWORD: u8 = 2;
const NO_WAY: u8 = 0xff;
const CONNECT: u8 = 1;
const IS_IPV4: u8 = 1;
const IS_NAME: u8 = 3;
const IS_IPV6: u8 = 4;

/// Bytes of SOCKS4: the version, and the reply for an open tunnel.
const VERSION_4: u8 = 4;
const GRANTED: u8 = 0x5a;

/// An address that no host has. In SOCKS4a, it means that a host name follows.
const NAME_FOLLOWS: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);

/// Opens a tunnel to the port of the server. `host` is the name or an address of the server.
///
/// # Errors
/// Returns `proxy.login` if the proxy does not accept the login, or requires a login that is not known.
/// Returns `proxy.refused` if the proxy does not open tunnels to this host, and `proxy.failed` for any other
/// failure.
pub(super) async fn open(socket: &mut Socket, tunnel: &Tunnel<'_>, host: &Host<String>) -> Result<(), Error> {
    if let Host::Domain(name) = host
        && (name.len() > SOCKS_TEXT_MOST || name.bytes().any(|byte| byte == 0))
    {
        let why = "takes host names of at most 255 bytes, without NUL";
        return Err(tunnel.error(ErrorKind::ProxyRefused, why));
    }
    match tunnel.gateway.proxy.protocol {
        Protocol::Socks4a => open_4(socket, tunnel, host).await,
        _ => {
            log_in(socket, tunnel).await?;
            open_5(socket, tunnel, host).await
        }
    }
}

async fn log_in(socket: &mut Socket, tunnel: &Tunnel<'_>) -> Result<(), Error> {
    let login = tunnel.gateway.proxy.login.as_ref();
    let ways: &[u8] = match login {
        Some(_) => &[VERSION_5, 2, WITHOUT_LOGIN, WITH_PASSWORD],
        None => &[VERSION_5, 1, WITHOUT_LOGIN],
    };
    let [version, way] = exchange(socket, tunnel, ways).await?;
    if version != VERSION_5 {
        return Err(tunnel.error(ErrorKind::ProxyFailed, "did not answer as SOCKS5 proxies do"));
    }
    match (way, login) {
        (WITHOUT_LOGIN, _) => Ok(()),
        (WITH_PASSWORD, Some(login)) => {
            let [_, status] = exchange(socket, tunnel, &password(login)).await?;
            match status {
                0 => Ok(()),
                _ => {
                    Err(tunnel.error(ErrorKind::ProxyLogin, "did not accept the user name and the password"))
                }
            }
        }
        (NO_WAY, None) => Err(tunnel.error(ErrorKind::ProxyLogin, "requires a user name and a password")),
        _ => {
            let why = "accepts none of the login methods that downhaul offers";
            Err(tunnel.error(ErrorKind::ProxyLogin, why))
        }
    }
}

/// Returns the message with the user name and the password (RFC 1929, section 2).
fn password(login: &Login) -> Vec<u8> {
    let mut message = vec![1];
    for text in [login.user.as_str(), login.password.expose()] {
        // Longer texts were refused when the settings were read.
        let bytes = &text.as_bytes()[..text.len().min(SOCKS_TEXT_MOST)];
        message.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        message.extend(bytes);
    }
    message
}

async fn open_5(socket: &mut Socket, tunnel: &Tunnel<'_>, host: &Host<String>) -> Result<(), Error> {
    let mut request = vec![VERSION_5, CONNECT, 0];
    match host {
        Host::Ipv4(address) => {
            request.push(IS_IPV4);
            request.extend(address.octets());
        }
        Host::Ipv6(address) => {
            request.push(IS_IPV6);
            request.extend(address.octets());
        }
        Host::Domain(name) => {
            request.extend([IS_NAME, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
            request.extend(name.as_bytes());
        }
    }
    request.extend(tunnel.server.port.to_be_bytes());
    let [version, reply, _, kind] = exchange(socket, tunnel, &request).await?;
    if version != VERSION_5 {
        return Err(tunnel.error(ErrorKind::ProxyFailed, "did not answer as SOCKS5 proxies do"));
    }
    // The replies are listed in RFC 1928, section 6.
    let (kind_of_error, why) = match reply {
        0 => return skip_address(socket, tunnel, kind).await,
        1 => (ErrorKind::ProxyFailed, "says: general failure"),
        2 => (ErrorKind::ProxyRefused, "says: its rules do not allow the connection"),
        3 => (ErrorKind::ProxyFailed, "says: the network cannot be reached"),
        4 => (ErrorKind::ProxyFailed, "says: the host cannot be reached"),
        5 => (ErrorKind::ProxyFailed, "says: the server refused the connection"),
        6 => (ErrorKind::ProxyFailed, "says: the way to the server is too long (TTL expired)"),
        7 => (ErrorKind::ProxyRefused, "says: it does not make connections"),
        8 => (ErrorKind::ProxyFailed, "says: it does not support this kind of address"),
        other => {
            let why = format!("refused for a reason that is not known (reply {other})");
            return Err(tunnel.error(ErrorKind::ProxyFailed, &why));
        }
    };
    Err(tunnel.error(kind_of_error, why))
}

/// Reads the address and the port at the end of a reply.
async fn skip_address(socket: &mut Socket, tunnel: &Tunnel<'_>, kind: u8) -> Result<(), Error> {
    let length = match kind {
        IS_IPV4 => 4,
        IS_IPV6 => 16,
        IS_NAME => usize::from(socket.read_u8().await.map_err(|e| tunnel.broke(&e))?),
        _ => return Err(tunnel.error(ErrorKind::ProxyFailed, "did not answer as SOCKS5 proxies do")),
    };
    let mut rest = [0; SOCKS_TEXT_MOST + 2];
    socket.read_exact(&mut rest[..length + 2]).await.map_err(|e| tunnel.broke(&e))?;
    Ok(())
}

async fn open_4(socket: &mut Socket, tunnel: &Tunnel<'_>, host: &Host<String>) -> Result<(), Error> {
    let (address, name) = match host {
        Host::Ipv4(address) => (*address, None),
        Host::Domain(name) => (NAME_FOLLOWS, Some(name)),
        Host::Ipv6(_) => {
            let why = "uses SOCKS4a, which has no IPv6 addresses";
            return Err(tunnel.error(ErrorKind::ProxyRefused, why));
        }
    };
    let mut request = vec![VERSION_4, CONNECT];
    request.extend(tunnel.server.port.to_be_bytes());
    request.extend(address.octets());
    // A SOCKS4 request contains a user name, but no password.
    request.extend(tunnel.gateway.proxy.login.as_ref().map_or("", |login| login.user.as_str()).bytes());
    request.push(0);
    if let Some(name) = name {
        request.extend(name.bytes().chain([0]));
    }
    let [zero, reply, ..] = exchange::<8>(socket, tunnel, &request).await?;
    match (zero, reply) {
        (0, GRANTED) => Ok(()),
        (0, 0x5b) => Err(tunnel.error(ErrorKind::ProxyFailed, "says: rejected or failed")),
        (0, 0x5c | 0x5d) => Err(tunnel.error(ErrorKind::ProxyLogin, "did not accept the user name")),
        _ => Err(tunnel.error(ErrorKind::ProxyFailed, "did not answer as SOCKS4 proxies do")),
    }
}

/// Sends a message, and reads `N` bytes of the reply.
async fn exchange<const N: usize>(
    socket: &mut Socket,
    tunnel: &Tunnel<'_>,
    message: &[u8],
) -> Result<[u8; N], Error> {
    let mut reply = [0; N];
    let talk = async {
        socket.write_all(message).await?;
        socket.flush().await?;
        socket.read_exact(&mut reply).await
    };
    talk.await.map_err(|e| tunnel.broke(&e))?;
    Ok(reply)
}
