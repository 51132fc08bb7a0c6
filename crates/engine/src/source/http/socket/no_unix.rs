//! Replaces `unix.rs` on systems where the runtime does not support Unix sockets.

use std::io;
use std::path::Path;
use tokio::net::TcpStream;

/// A placeholder type. No value of this type is made, because [`connect_unix`] always fails.
pub(in crate::source::http) type UnixSocket = TcpStream;

/// Always returns the error `Unsupported`, because Unix sockets are not supported on this system.
pub(in crate::source::http) async fn connect_unix(_: &Path) -> io::Result<UnixSocket> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
