//! Standard output as a part "file": bytes leave in order and cannot be taken back.

use super::Part;
use bytes::Bytes;
use downhaul_core::error::{Error, Kind};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

/// Standard output. How many bytes have left is behind the lock.
#[derive(Default)]
pub(crate) struct Stdout {
    left: Mutex<u64>,
}

impl Stdout {
    fn left(&self) -> std::sync::MutexGuard<'_, u64> {
        self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Part for Stdout {
    fn write_at(&self, offset: u64, data: &[Bytes]) -> Result<(), Error> {
        let mut left = self.left();
        if offset != *left {
            return Err(Error::new(Kind::OutputStarted, "standard output", "bytes out of order"));
        }
        let mut out = io::stdout().lock();
        for buffer in data {
            out.write_all(buffer).map_err(|e| failure(&e))?;
            *left += buffer.len() as u64;
        }
        out.flush().map_err(|e| failure(&e))
    }

    fn restart(&self) -> Result<(), Error> {
        match *self.left() {
            0 => Ok(()),
            _ => Err(Error::new(Kind::OutputStarted, "standard output", "the download had to start again")),
        }
    }

    fn publish(&self, _target: &Path, _replace: bool, _modified: Option<SystemTime>) -> Result<(), Error> {
        io::stdout().lock().flush().map_err(|e| failure(&e))
    }

    fn discard(&self) {}
}

fn failure(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(Kind::OutputClosed, "standard output", ""),
        _ => Error::new(Kind::DiskFailed, "standard output", error.to_string()),
    }
}
