//! Opens tunnels through HTTP proxies (RFC 9110, section 9.3.6).
//!
//! Invariant: the request for a tunnel contains the server's host and port, the User-Agent of this program,
//! a header that asks the proxy to keep the connection open, and, if the proxy required a login, the answer
//! to its challenge (for Basic, the user name and the password). It contains no header or secret for the
//! server.

use super::{Tunnel, kind_of_status};
use crate::source::http::socket::Socket;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::proxy::{Answer, HEAD_MOST, read_answer};
use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The User-Agent in requests to a proxy. `--user-agent` is for servers only.
const USER_AGENT: &str = concat!("downhaul/", env!("CARGO_PKG_VERSION"));

/// The highest number of answers that are read, including the final one. A proxy has no reason to send more
/// than one informational answer (1xx).
const INFORMATIONAL_MOST: usize = 8;

/// Requests a tunnel to `target` (`host:port`). `login` is the value of `Proxy-Authorization`, if there is
/// one. Returns the final answer of the proxy.
///
/// # Errors
/// Returns `proxy.failed` if there is no valid answer, or `tls.client_refused` if the proxy requires a client
/// certificate.
pub(super) async fn request_tunnel(
    socket: &mut Socket,
    tunnel: &Tunnel<'_>,
    target: &str,
    login: Option<HeaderValue>,
) -> Result<Answer, Error> {
    let mut request = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\nProxy-Connection: keep-alive\r\n"
    )
    .into_bytes();
    if let Some(login) = login {
        request.extend(b"Proxy-Authorization: ");
        request.extend(login.as_bytes());
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    let broke = |e: std::io::Error| tunnel.broke(&e);
    socket.write_all(&request).await.map_err(broke)?;
    socket.flush().await.map_err(broke)?;
    for _ in 0..INFORMATIONAL_MOST {
        let mut head = Vec::with_capacity(512);
        // The bytes after the head come from the server, so this code must not read them. Therefore it reads
        // single bytes. This costs a few hundred short calls for each tunnel.
        while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
            if head.len() >= HEAD_MOST {
                return Err(tunnel.error(ErrorKind::ProxyFailed, "sent an answer whose head is too long"));
            }
            head.push(socket.read_u8().await.map_err(broke)?);
        }
        let answer = read_answer(&head)
            .map_err(|_| tunnel.error(ErrorKind::ProxyFailed, "did not answer as HTTP proxies do"))?;
        if answer.status >= 200 {
            return Ok(answer);
        }
    }
    Err(tunnel.error(ErrorKind::ProxyFailed, "sent no final answer"))
}

/// Returns the error for an answer that neither opens a tunnel nor requires a login.
pub(super) fn refusal(answer: &Answer, tunnel: &Tunnel<'_>) -> Error {
    let line = format!("answered {} {}", answer.status, answer.reason);
    tunnel.error(kind_of_status(answer.status), line.trim_end())
}
