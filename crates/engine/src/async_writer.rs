//! Adapts an asynchronous writer of a program, so that a job can write to it.

use std::io::{self, Write};
use std::pin::Pin;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;

/// Turns an asynchronous writer into a blocking one, for [`Job::to_writer`](crate::Job::to_writer).
///
/// The engine writes on threads that may block. These threads wait until the writer accepts the bytes. The
/// writer is flushed when the file is complete, and then dropped. It is not shut down.
pub struct AsyncWriter {
    inner: Pin<Box<dyn AsyncWrite + Send>>,
    runtime: Handle,
}

impl AsyncWriter {
    /// Wraps a writer that belongs to the current tokio runtime.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
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
