//! Lets a job write to what is written asynchronously.

use std::io::{self, Write};
use std::pin::Pin;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;

/// Makes a blocking writer of an asynchronous one, for [`Job::to_writer`](crate::Job::to_writer).
///
/// The engine writes on threads that may block; they wait there until the other side takes the bytes. It is
/// shut down when the file is complete.
pub struct AsyncWriter {
    inner: Pin<Box<dyn AsyncWrite + Send>>,
    runtime: Handle,
}

impl AsyncWriter {
    /// Wraps a writer that belongs to the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(inner: impl AsyncWrite + Send + 'static) -> Self {
        AsyncWriter { inner: Box::pin(inner), runtime: Handle::current() }
    }
}

impl Write for AsyncWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.runtime.block_on(self.inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.runtime.block_on(self.inner.flush())
    }
}
