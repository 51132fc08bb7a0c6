//! Replaces `unix.rs` on systems where the runtime does not support Unix sockets.

use std::io;
use std::path::Path;
use tokio::net::TcpStream;

/// No value of this type is ever made, because [`connect_unix`] fails.
pub(in crate::source::http) type UnixSocket = TcpStream;

/// Returns an error, because there are no Unix sockets.
pub(in crate::source::http) async fn connect_unix(_: &Path) -> io::Result<UnixSocket> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
