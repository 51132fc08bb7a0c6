//! Connects to Unix sockets.

use std::io;
use std::path::Path;

pub(in crate::source::http) use tokio::net::UnixStream as UnixSocket;

pub(in crate::source::http) async fn connect_unix(path: &Path) -> io::Result<UnixSocket> {
    UnixSocket::connect(path).await
}
