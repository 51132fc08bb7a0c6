//! Writes the log, which has a line for each important event. Each line is appended in one write, so that
//! several runs can share a file.
//!
//! A line has the form `2026-11-22 07:32:10,123 - LEVEL - message`, in local time.

use super::units;
use super::{EventReader, Next};
use downhaul_engine::core::event::{Event, EventKind, Failure, JobId};
use downhaul_engine::core::show::escaped;
use jiff::{Timestamp, tz::TimeZone};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// An open log.
pub(crate) struct Log {
    file: File,
    zone: TimeZone,
    /// The names of unfinished files.
    names: HashMap<JobId, String>,
    /// The first error of a write, if one failed.
    failed: Option<io::Error>,
}

impl Log {
    /// Opens a log for appending, and makes it if necessary.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub(crate) fn open(path: &Path) -> io::Result<Log> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Log { file, zone: TimeZone::system(), names: HashMap::new(), failed: None })
    }

    /// Writes events until the session is over. If the run ended early, the last line gives the reason.
    ///
    /// # Errors
    /// Returns why a line could not be written.
    pub(crate) fn run(
        mut self,
        mut events: EventReader,
        ending: impl FnOnce() -> Option<&'static str>,
    ) -> io::Result<()> {
        loop {
            match events.next(Duration::from_secs(3600)) {
                Next::Event(event) => {
                    if let Some((level, message)) = self.message(&event) {
                        self.line(event.at, level, &message);
                    }
                }
                Next::Nothing => {}
                Next::End => break,
            }
        }
        if let Some(why) = ending() {
            let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            self.line(now, "WARNING", why);
        }
        self.failed.map_or(Ok(()), Err)
    }

    fn line(&mut self, at: u64, level: &str, message: &str) {
        let at =
            i64::try_from(at).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        let at = at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
        // An error of the log (such as a full disk) must not fail a file.
        if let Err(error) = self.file.write_all(format!("{at} - {level} - {message}\n").as_bytes()) {
            self.failed.get_or_insert(error);
        }
    }

    /// Returns the level and the text of an event, or `None` if the log does not contain such events.
    //
    // This function is long because it is one match over all events.
    fn message(&mut self, event: &Event) -> Option<(&'static str, String)> {
        let job = event.job?;
        let name = self.names.get(&job).cloned().unwrap_or_else(|| format!("file {job}"));
        Some(match &event.kind {
            EventKind::Queued { url, .. } => {
                self.names.insert(job, escaped(url).into_owned());
                return None;
            }
            EventKind::Started { url, path, size, notes, .. } => {
                let size = size.map_or("unknown size".to_string(), |n| format!("{n} bytes"));
                let mut text = format!("started {} -> {} ({size})", escaped(url), escaped(path));
                for note in notes {
                    text += &format!("; note: {}", escaped(note));
                }
                ("INFO", text)
            }
            EventKind::Resumed { from, bytes, .. } => {
                ("INFO", format!("resuming {name} at byte {from}, {bytes} bytes are on the disk"))
            }
            EventKind::Retrying { error, attempt, of, wait, from, .. } => {
                let which = match (*attempt, *of) {
                    (0, _) => "not counted".to_string(),
                    (n, u32::MAX) => format!("try {n}"),
                    (n, of) => format!("try {n} of {of}"),
                };
                let place =
                    if *from == 0 { "from the start".to_string() } else { format!("from byte {from}") };
                let wait = units::took(*wait);
                ("WARNING", format!("retrying {name} {place} in {wait} ({which}): {}", why(error)))
            }
            EventKind::MirrorLeft { url, error, .. } => {
                ("WARNING", format!("{name}: dropped mirror {}: {}", escaped(url), why(error)))
            }
            EventKind::Question { error, .. } => {
                ("ERROR", format!("{name}: {}; asking what to do", why(error)))
            }
            EventKind::Verified { algorithm, digest, source, .. } => {
                ("INFO", format!("verified {name}: {algorithm} {digest} from {}", escaped(source)))
            }
            EventKind::Finished { path, bytes, seconds, proven, warnings, .. } => {
                self.names.remove(&job);
                let mut text = format!(
                    "finished {} ({bytes} bytes, {}, {})",
                    escaped(path),
                    units::took(*seconds),
                    escaped(units::verified(proven))
                );
                for warning in warnings {
                    text += &format!("; warning: {}", escaped(warning));
                }
                ("INFO", text)
            }
            EventKind::Skipped { path, reason, .. } => {
                self.names.remove(&job);
                ("INFO", format!("skipped {}: {}", escaped(path), escaped(reason)))
            }
            EventKind::Failed { error, retries, .. } => {
                self.names.remove(&job);
                let what = if error.code == "digest.mismatch" { "hash mismatch" } else { "failed" };
                ("ERROR", format!("{what} {name} after {retries} retries: {}", why(error)))
            }
            // Later versions may have more kinds.
            _ => return None,
        })
    }
}

fn why(error: &Failure) -> String {
    let at = if error.at.is_empty() { String::new() } else { format!(" ({})", escaped(&error.at)) };
    format!("[{}] {}{at}", error.code, escaped(&error.message))
}
