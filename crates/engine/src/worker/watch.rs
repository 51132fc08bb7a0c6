//! Detects connections that receive nothing for `--timeout`, or less than `--min-speed` over a minute.

use crate::clock;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{MIN_SPEED_WINDOW, Settings};
use std::time::Duration;
use tokio::time::Instant;

/// Detects a connection that is silent or too slow.
pub(super) struct Watch {
    timeout: Duration,
    heard: Instant,
    min_bytes: u64,
    window_start: Instant,
    window_bytes: u64,
}

impl Watch {
    pub(super) fn new(settings: &Settings) -> Self {
        let now = clock::instant();
        let (timeout, min_bytes) = (settings.timeout, settings.min_bytes_a_minute);
        Watch { timeout, heard: now, min_bytes, window_start: now, window_bytes: 0 }
    }

    /// Records that bytes arrived.
    pub(super) fn arrived(&mut self, bytes: usize) {
        self.window_bytes += bytes as u64;
        self.heard = clock::instant();
    }

    /// Records that the worker waited for the disk since `since`. It did not read then, so the server was not
    /// silent.
    pub(super) fn was_away(&mut self, since: Instant) {
        let away = clock::instant().duration_since(since);
        self.heard += away;
        self.window_start += away;
    }

    /// Checks that the connection is neither silent nor too slow.
    ///
    /// # Errors
    /// `net.silent` or `net.slow`.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        let now = clock::instant();
        if now.duration_since(self.heard) >= self.timeout {
            let detail = format!("nothing for {} s", self.timeout.as_secs_f64());
            return Err(Error::new(ErrorKind::NetSilent, "", detail));
        }
        if now.duration_since(self.window_start) >= MIN_SPEED_WINDOW {
            if self.window_bytes < self.min_bytes {
                let detail = format!("{} bytes in a minute", self.window_bytes);
                return Err(Error::new(ErrorKind::NetSlow, "", detail));
            }
            self.window_start = now;
            self.window_bytes = 0;
        }
        Ok(())
    }
}
