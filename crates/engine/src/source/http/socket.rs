//! Provides the transport below HTTP: a TCP connection, a TLS connection to a proxy, or a Unix socket.

#[cfg(not(unix))]
mod no_unix;
mod round_trip;
#[cfg(unix)]
mod unix;

pub(super) use round_trip::{Meter, RoundTrips};

#[cfg(not(unix))]
pub(super) use no_unix::{UnixSocket, connect_unix};
#[cfg(unix)]
pub(super) use unix::{UnixSocket, connect_unix};

use crate::clock;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection that carries HTTP, or TLS with HTTP in it.
pub(super) enum Socket {
    /// A TCP connection. The meter, if there is one, reads the round-trip time while bytes arrive.
    Tcp(TcpStream, Option<Meter>),
    /// A TLS connection to a proxy. A TLS connection to the server may go through it.
    Proxy(Box<TlsStream<BufReader<TcpStream>>>),
    /// A Unix socket (`--unix-socket`).
    Unix(UnixSocket),
}

macro_rules! each {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket.get_mut() {
            Socket::Tcp($inner, _) => {
                let $inner = Pin::new($inner);
                $call
            }
            Socket::Proxy($inner) => {
                let $inner = Pin::new($inner.as_mut());
                $call
            }
            Socket::Unix($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Socket::Tcp(stream, Some(meter)) = &mut *self {
            let read = Pin::new(&mut *stream).poll_read(cx, buf);
            if read.is_ready() {
                meter.read(stream, clock::instant());
            }
            return read;
        }
        each!(self, inner => inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, inner => inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        all: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, inner => inner.poll_write_vectored(cx, all))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Tcp(inner, _) => inner.is_write_vectored(),
            Socket::Proxy(inner) => inner.is_write_vectored(),
            Socket::Unix(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_shutdown(cx))
    }
}
