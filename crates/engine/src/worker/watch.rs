//! Detects connections that receive nothing for `--timeout`, or less than `--min-speed` over a minute.

use crate::clock;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{MIN_SPEED_WINDOW, Settings};
use std::time::Duration;
use tokio::time::Instant;

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

    pub(super) fn arrived(&mut self, bytes: usize) {
        self.window_bytes += bytes as u64;
        self.heard = clock::instant();
    }

    /// Records that the worker has waited for the disk or for a rate limit since `since`. The worker read
    /// nothing in that time, so the time does not count as silence of the server.
    pub(super) fn was_away(&mut self, since: Instant) {
        let away = clock::instant().duration_since(since);
        self.heard += away;
        self.window_start += away;
    }

    /// Checks that the connection is neither silent nor too slow.
    ///
    /// # Errors
    /// Returns `net.silent` or `net.slow`.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        let now = clock::instant();
        if now.duration_since(self.heard) >= self.timeout {
            let detail = format!("it sent nothing for {} s", self.timeout.as_secs_f64());
            return Err(Error::new(ErrorKind::NetSilent, "", detail));
        }
        if now.duration_since(self.window_start) >= MIN_SPEED_WINDOW {
            if self.window_bytes < self.min_bytes {
                let bytes = self.window_bytes;
                let detail =
                    format!("the server sent {bytes} bytes in a minute, less than --min-speed allows");
                return Err(Error::new(ErrorKind::NetSlow, "", detail));
            }
            self.window_start = now;
            self.window_bytes = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// Runs a connection that receives this many bytes a second. Returns the code of its failure, and the
    /// second at which it failed.
    async fn failure(bytes: usize, settings: &Settings) -> Option<(&'static str, u32)> {
        let mut watch = Watch::new(settings);
        for second in 1..=200 {
            advance(Duration::from_secs(1)).await;
            if bytes > 0 {
                watch.arrived(bytes);
            }
            if let Err(error) = watch.check() {
                return Some((error.kind.code(), second));
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_too_slow_is_found_after_a_minute() {
        let settings = Settings::default();
        let silent = u32::try_from(settings.timeout.as_secs()).expect("a short time");
        assert_eq!(failure(1, &settings).await, Some(("net.slow", 60)));
        assert_eq!(failure(17, &settings).await, Some(("net.slow", 60)), "1020 bytes a minute");
        assert_eq!(failure(18, &settings).await, None, "1080 bytes a minute");
        assert_eq!(failure(0, &settings).await, Some(("net.silent", silent)));
        let all = settings.with_min_bytes_a_minute(0);
        assert_eq!(failure(1, &all).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_disk_is_slow_does_not_count() {
        let mut watch = Watch::new(&Settings::default());
        let since = clock::instant();
        advance(Duration::from_secs(300)).await;
        watch.was_away(since);
        assert!(watch.check().is_ok());
    }
}
