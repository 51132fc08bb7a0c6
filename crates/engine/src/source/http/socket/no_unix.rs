//! Stands for Unix sockets on systems where the runtime has none.

use std::io;
use std::path::Path;
use tokio::net::TcpStream;

/// There is never one: [`connect_unix`] fails.
pub(in crate::source::http) type UnixSocket = TcpStream;

/// Fails.
pub(in crate::source::http) async fn connect_unix(_: &Path) -> io::Result<UnixSocket> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
