//! Writes the log, which has a line for each important event. The lines of all events that have arrived are
//! appended with one write, and only whole lines are appended (unless the disk is full). So several runs can
//! write to the same log.
//!
//! A line has the form `2026-11-22 07:32:10,123 - LEVEL - message`, in local time.

use super::units;
use super::{AT_ONCE, EventReader, Next};
use crate::outputs;
use crate::platform;
use downhaul_engine::core::event::{Event, EventKind, Failure, JobId};
use downhaul_engine::core::show::{self, escaped};
use jiff::{Timestamp, tz::TimeZone};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

/// The beginning of each line. A `0` stands for any digit.
const BEGINNING: &[u8] = b"0000-00-00 00:00:00,000 - ";

pub(crate) struct Log {
    file: File,
    zone: TimeZone,
    /// The lines that are not written yet.
    lines: String,
    /// The second of the last line, and its text in local time.
    second: (i64, String),
    /// The URLs of unfinished files.
    names: HashMap<JobId, String>,
    /// The first error of a write, if one failed.
    failed: Option<io::Error>,
}

impl Log {
    /// Opens the log under its default name. If a file that is not a log has this name, the file is not
    /// changed.
    ///
    /// # Errors
    /// Returns why no log is written, in words for the user.
    pub(crate) fn open_default(path: &Path) -> Result<Log, String> {
        if platform::is_link_of_another_user(path) {
            return Err("it is a link that another user made".into());
        }
        match outputs::is_empty_or_ours(path, is_log) {
            Ok(true) => Log::open(path).map_err(|e| e.to_string()),
            Ok(false) => Err("it exists, and it is not a log of downhaul. Use --log FILE".into()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Opens a log for appending, and creates it if necessary.
    pub(crate) fn open(path: &Path) -> io::Result<Log> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let (zone, names) = (TimeZone::system(), HashMap::new());
        Ok(Log { file, zone, lines: String::new(), second: (i64::MIN, String::new()), names, failed: None })
    }

    /// Writes events until the session is over. If the run ended early, `ending` returns the reason, which
    /// becomes the last line.
    ///
    /// # Errors
    /// Returns the first error of a write.
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
            if events.is_empty() || self.lines.len() >= AT_ONCE {
                self.write();
            }
        }
        if let Some(why) = ending() {
            let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            self.line(now, "WARNING", why);
        }
        self.write();
        self.failed.map_or(Ok(()), Err)
    }

    /// Adds a line to the lines that are written next. `at` is the time of the event in milliseconds since
    /// 1970.
    fn line(&mut self, at: u64, level: &str, message: &str) {
        let (second, ms) = (i64::try_from(at / 1000).unwrap_or_default(), at % 1000);
        if self.second.0 != second {
            let at = Timestamp::from_second(second).unwrap_or_default().to_zoned(self.zone.clone());
            self.second = (second, at.strftime("%Y-%m-%d %H:%M:%S").to_string());
        }
        // Writing to a string does not fail.
        let _ = writeln!(self.lines, "{},{ms:03} - {level} - {message}", self.second.1);
    }

    fn write(&mut self) {
        // If the log cannot be written (for example because the disk is full), the downloads must not fail.
        if let Err(error) = self.file.write_all(self.lines.as_bytes()) {
            self.failed.get_or_insert(error);
        }
        self.lines.clear();
    }

    /// Returns the URL of the file of a job. The log uses it as the name of the file.
    fn name(&self, job: JobId) -> String {
        self.names.get(&job).cloned().unwrap_or_else(|| format!("file {job}"))
    }

    /// Returns the level and the text of an event, or `None` if the log does not contain events of this kind.
    //
    // This function is long because it is one match over all events.
    fn message(&mut self, event: &Event) -> Option<(&'static str, String)> {
        let job = event.job?;
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
            EventKind::Resumed { from, bytes, .. } => (
                "INFO",
                format!("resuming {} at byte {from} ({bytes} bytes are on the disk)", self.name(job)),
            ),
            EventKind::Retrying { error, attempt, of, wait, from, .. } => {
                let which = match (*attempt, *of) {
                    (0, _) => "not counted".to_string(),
                    (n, u32::MAX) => format!("try {n}"),
                    (n, of) => format!("try {n} of {of}"),
                };
                let place =
                    if *from == 0 { "from the start".to_string() } else { format!("from byte {from}") };
                let wait = units::took(*wait);
                (
                    "WARNING",
                    format!("retrying {} {place} in {wait} ({which}): {}", self.name(job), why(error)),
                )
            }
            EventKind::MirrorLeft { url, error, .. } => {
                ("WARNING", format!("{}: dropped mirror {}: {}", self.name(job), escaped(url), why(error)))
            }
            EventKind::Question { error, .. } => {
                ("ERROR", format!("{}: {}; asking what to do", self.name(job), why(error)))
            }
            EventKind::Verified { algorithm, digest, source, .. } => (
                "INFO",
                format!("verified {}: {algorithm} {digest} from {}", self.name(job), escaped(source)),
            ),
            EventKind::Finished { path, bytes, seconds, proven, warnings, .. } => {
                self.names.remove(&job);
                let mut text = format!(
                    "finished {} ({bytes} bytes, {}, {})",
                    escaped(path),
                    units::took(*seconds),
                    escaped(show::verified(proven))
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
                let name = self.name(job);
                self.names.remove(&job);
                let what = if error.code == "digest.mismatch" { "hash mismatch" } else { "failed" };
                ("ERROR", format!("{what} {name} after {retries} retries: {}", why(error)))
            }
            // The log does not contain the other kinds.
            _ => return None,
        })
    }
}

fn why(error: &Failure) -> String {
    let at = if error.at.is_empty() { String::new() } else { format!(" ({})", escaped(&error.at)) };
    format!("[{}] {}{at}", error.code, escaped(&error.message))
}

fn is_log(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    let is_digit = |byte: &u8| if byte.is_ascii_digit() { b'0' } else { *byte };
    Ok(beginning.iter().map(is_digit).eq(BEGINNING.iter().copied()))
}
