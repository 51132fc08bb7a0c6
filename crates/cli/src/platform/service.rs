//! The functions of the system that a service needs: messages to systemd, and the sockets that systemd
//! passes. On systems other than Unix, these functions do nothing.

use std::io;
use std::net::TcpListener;

/// Sends a datagram to the socket at this path. A path that begins with `@` is the name of an abstract
/// socket, which is in no folder (Linux, unix(7)).
#[cfg(unix)]
pub(crate) fn send_datagram(to: &str, text: &str) -> io::Result<()> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = to.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(text.as_bytes(), &address).map(drop);
    }
    socket.send_to(text.as_bytes(), to).map(drop)
}

/// Does nothing.
#[cfg(not(unix))]
pub(crate) fn send_datagram(_to: &str, _text: &str) -> io::Result<()> {
    Ok(())
}

/// Returns the time of the clock that messages to systemd use (CLOCK_MONOTONIC), in microseconds.
#[cfg(unix)]
pub(crate) fn monotonic_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or_default() * 1_000_000 + nanos.unwrap_or_default() / 1000
}

/// Returns 0.
#[cfg(not(unix))]
pub(crate) fn monotonic_micros() -> u64 {
    0
}

/// Returns the sockets that systemd passed to this process (sd_listen_fds(3)). Sockets that systemd passed to
/// another process are not returned.
///
/// # Errors
/// Returns an error if one of the sockets is not a TCP socket that listens.
#[cfg(unix)]
pub(crate) fn passed_listeners() -> io::Result<Vec<TcpListener>> {
    let mut passed = listenfd::ListenFd::from_env();
    (0..passed.len()).filter_map(|at| passed.take_tcp_listener(at).transpose()).collect()
}

/// Returns an empty list.
#[cfg(not(unix))]
pub(crate) fn passed_listeners() -> io::Result<Vec<TcpListener>> {
    Ok(Vec::new())
}
