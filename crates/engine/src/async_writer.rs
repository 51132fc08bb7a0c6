//! Adapts an asynchronous writer of a program, so that a job can write to it.

use downhaul_core::job::JobWriter;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;

/// Turns an asynchronous writer into a blocking one, for [`Job::to_writer`](crate::Job::to_writer).
///
/// The engine writes on threads that may block. These threads wait until the writer accepts the bytes. The
/// writer is shut down when the content is complete and verified, and then dropped. If the job fails, the
/// writer is dropped without being shut down. If the writer never accepts the bytes, the thread that
/// writes them waits forever, even if the job is removed. Dropping the runtime then waits forever too.
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

impl JobWriter for AsyncWriter {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.runtime.block_on(self.inner.write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.runtime.block_on(self.inner.flush())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.runtime.block_on(self.inner.shutdown())
    }
}
