//! The public contract of what is told: [`EventKind`]s, which are pushed, numbered and never lost, and
//! [`Progress`]s, which are pulled and may be dropped. `docs/events.md` describes the JSON form.
//!
//! [`State`] sums up events, so that a screen that starts late or falls behind can catch up. Events may hold
//! remote text, which the screen and the log escape before they show it. They never hold secrets.
//!
//! This file is long because it is the list of all events and their fields.

use crate::error::Error;
use crate::job::Job;
use crate::show;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The version of the JSON form. Fields may be added within a version, never removed or changed.
pub const VERSION: u8 = 1;

/// Identifies a job of a session. Jobs are counted from 1 in the order in which they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(u64);

impl JobId {
    /// Returns the identifier of the job that was added as number `number`.
    pub const fn new(number: u64) -> Self {
        JobId(number)
    }

    /// Returns the number of the job, from 1.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that happened in a session, with its number and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// [`VERSION`].
    pub v: u8,
    /// Grows by one, from 1.
    pub seq: u64,
    /// When: milliseconds since the Unix epoch; RFC 3339 in UTC in JSON.
    #[serde(with = "rfc3339")]
    pub at: u64,
    /// Which file; `None` for the run as a whole.
    pub job: Option<JobId>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Something that happened. Every job is `queued` once and ends in exactly one of `finished`, `skipped`,
/// `failed`; the run ends in one `summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The file is known and waits for its turn.
    #[non_exhaustive]
    Queued {
        /// Where it is, without secrets.
        url: String,
        /// The URL was given without a scheme, and https was assumed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        assumed_https: bool,
        /// The name it was given, if any.
        name: Option<String>,
        /// Keys of a JSON line that are not ours.
        #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
        extra: serde_json::Map<String, serde_json::Value>,
    },
    /// The first usable reply is here; bytes follow.
    #[non_exhaustive]
    Started {
        /// The URL that answered, without secrets.
        url: String,
        /// Where the file will be.
        path: String,
        /// Its size in bytes, if known.
        size: Option<u64>,
        /// The server's word for this version, strong enough to tell it from others: an entity tag or a date.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validator: Option<String>,
        /// What of the reply's head could not be read and was dropped, for a person who looks closely.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// A broken transfer goes on, or what an earlier run left.
    #[non_exhaustive]
    Resumed {
        /// The first byte that is still to come.
        from: u64,
        /// Bytes that are there already.
        #[serde(default)]
        bytes: u64,
    },
    /// A try failed and another follows.
    #[non_exhaustive]
    Retrying {
        /// Why.
        error: Failure,
        /// Which retry this is, from 1; 0 when it costs none.
        attempt: u32,
        /// How many there may be.
        of: u32,
        /// Seconds until then.
        wait: f64,
        /// The first byte that will be asked for: 0 means that the file starts again.
        from: u64,
    },
    /// One of several sources is not asked any more: it failed, is slow, has another file, or sent wrong
    /// bytes.
    #[non_exhaustive]
    MirrorLeft {
        /// Which, without secrets.
        url: String,
        /// Why.
        error: Failure,
    },
    /// A person is asked what to do; the file waits.
    #[non_exhaustive]
    Question {
        /// Why.
        error: Failure,
        /// Retries that are left.
        left: u32,
    },
    /// A digest matched.
    #[non_exhaustive]
    Verified {
        /// `sha-256`.
        algorithm: String,
        /// The digest in hexadecimal.
        digest: String,
        /// Who said what it must be: `X-Checksum-SHA256`.
        source: String,
    },
    /// The file is complete under its name.
    #[non_exhaustive]
    Finished {
        /// Where it is.
        path: String,
        /// Its size.
        bytes: u64,
        /// Bytes that came over the network for it in this run: fewer than `bytes` after a resume, more when
        /// something was fetched twice.
        #[serde(default)]
        fetched: u64,
        /// From the first request on.
        seconds: f64,
        /// What was proven: `sha-256 from X-Checksum-SHA256`, `size only`, `nothing (no length was
        /// announced)`.
        proven: String,
        /// Its digests in hexadecimal, as far as they were computed, by the name of the algorithm.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        digests: BTreeMap<String, String>,
        /// What a person should know about it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// Nothing was to be done.
    #[non_exhaustive]
    Skipped {
        /// The file that is already there.
        path: String,
        /// Why: `already exists`.
        reason: String,
    },
    /// The file could not be had.
    #[non_exhaustive]
    Failed {
        /// Why.
        error: Failure,
        /// Retries that were used.
        retries: u32,
        /// They were used up while a person was asked: the run ends.
        exhausted: bool,
    },
    /// The run is over.
    #[non_exhaustive]
    Summary {
        /// Files that were queued.
        files: u64,
        /// Of these: finished.
        finished: u64,
        /// Of these: skipped.
        skipped: u64,
        /// Of these: failed.
        failed: u64,
        /// Bytes of the finished files.
        bytes: u64,
        /// How long the run took.
        seconds: f64,
    },
}

impl Event {
    /// Returns the event number `seq`, which happened at `at` (milliseconds since the Unix epoch).
    pub fn new(seq: u64, at: u64, job: Option<JobId>, kind: EventKind) -> Self {
        Event { v: VERSION, seq, at, job, kind }
    }
}

impl EventKind {
    /// Returns the event that a job was added.
    pub fn queued(job: &Job) -> Self {
        EventKind::Queued {
            url: show::url(&job.urls[0]),
            assumed_https: job.assumed_https,
            name: job.destination.given_name(),
            extra: job.extra.clone(),
        }
    }

    /// Returns the event that a job was added which failed before it began, such as a bad line of a list.
    pub fn queued_without_job(error: &Error) -> Self {
        let (name, extra) = (None, serde_json::Map::new());
        EventKind::Queued { url: error.at.clone(), assumed_https: false, name, extra }
    }

    /// Returns the event that nothing was to be done for a file.
    pub fn skipped(path: impl Into<String>, reason: impl Into<String>) -> Self {
        EventKind::Skipped { path: path.into(), reason: reason.into() }
    }

    /// Returns the event that a run is over, which came to `state` in `took`.
    pub fn summary(state: &State, took: Duration) -> Self {
        let &State { queued: files, finished, skipped, failed, bytes, .. } = state;
        EventKind::Summary { files, finished, skipped, failed, bytes, seconds: took.as_secs_f64() }
    }

    /// Returns the event that a file failed before anything was tried.
    pub fn failed(error: &Error) -> Self {
        EventKind::Failed { error: Failure::from(error), retries: 0, exhausted: false }
    }
}

/// A failure as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The stable code, see `docs/errors.md`.
    pub code: String,
    /// What it means, with what the system or the server said.
    pub message: String,
    /// Where: a URL without secrets, an address, a path.
    pub at: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let meaning = error.kind.meaning();
        let message = if error.detail.is_empty() {
            meaning.to_string()
        } else {
            format!("{meaning}: {}", error.detail)
        };
        Failure { code: error.kind.code().into(), message, at: error.at.clone() }
    }
}

/// The numbers of one file in flight at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// Which file.
    pub job: JobId,
    /// Its name, or its URL (without secrets) while it has none.
    pub name: String,
    /// What it is doing.
    pub phase: Phase,
    /// Bytes that arrived and count.
    pub bytes: u64,
    /// Bytes of the whole, if known.
    pub total: Option<u64>,
    /// Seconds since its first request.
    pub seconds: f64,
    /// Seconds that are still to be waited (phase `waiting`).
    #[serde(default)]
    pub wait: f64,
}

/// What a file in flight is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[non_exhaustive]
pub enum Phase {
    /// Looking up, dialling, waiting for the reply.
    Connecting,
    /// Bytes arrive.
    Receiving,
    /// Between two tries, or because the host asked for a pause.
    Waiting,
    /// A person is asked.
    Asking,
    /// The last bytes are hashed and the file is moved to its name.
    Finishing,
    /// What an earlier run left is read and compared with its journal.
    Checking,
    /// The job is paused.
    Paused,
}

/// The facts so far, folded.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct State {
    /// The last fact that is folded in.
    pub seq: u64,
    /// Files that were queued.
    pub queued: u64,
    /// Files that are complete.
    pub finished: u64,
    /// Files for which nothing was to be done.
    pub skipped: u64,
    /// Files that could not be had.
    pub failed: u64,
    /// Bytes of the finished files.
    pub bytes: u64,
    /// Sizes of the files that started and have not ended; `None` when unknown. Bounded by what is in flight.
    pub started: BTreeMap<JobId, Option<u64>>,
    /// Open questions, and the retries that are left. Bounded like `started`.
    pub asking: BTreeMap<JobId, (Failure, u32)>,
    /// The run is over.
    pub over: bool,
}

impl Progress {
    /// Returns the numbers of a file that just began.
    pub fn new(job: JobId, name: impl Into<String>, phase: Phase) -> Self {
        Progress { job, name: name.into(), phase, bytes: 0, total: None, seconds: 0.0, wait: 0.0 }
    }
}

impl State {
    /// Takes one more fact into account. Facts that are in it already change nothing, so that a screen may
    /// take over a newer state and go on reading.
    pub fn apply(&mut self, event: &Event) {
        if event.seq <= self.seq {
            return;
        }
        self.seq = event.seq;
        if let Some(job) = event.job {
            match &event.kind {
                EventKind::Question { error, left } => drop(self.asking.insert(job, (error.clone(), *left))),
                _ => drop(self.asking.remove(&job)),
            }
        }
        let ended = match &event.kind {
            EventKind::Queued { .. } => {
                self.queued += 1;
                false
            }
            EventKind::Started { size, .. } => {
                if let Some(job) = event.job {
                    self.started.insert(job, *size);
                }
                false
            }
            EventKind::Finished { bytes, .. } => {
                self.finished += 1;
                self.bytes += bytes;
                true
            }
            EventKind::Skipped { .. } => {
                self.skipped += 1;
                true
            }
            EventKind::Failed { .. } => {
                self.failed += 1;
                true
            }
            EventKind::Summary { .. } => {
                self.over = true;
                false
            }
            EventKind::Resumed { .. }
            | EventKind::Retrying { .. }
            | EventKind::MirrorLeft { .. }
            | EventKind::Question { .. }
            | EventKind::Verified { .. } => false,
        };
        if let (true, Some(job)) = (ended, event.job) {
            self.started.remove(&job);
        }
    }

    /// Files that ended.
    pub fn ended(&self) -> u64 {
        self.finished + self.skipped + self.failed
    }
}

/// One line of the JSON form: a fact, or a sample (kind `progress`, which has no `seq`).
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A fact.
    Event(Event),
    /// A sample and when it was taken (milliseconds since the Unix epoch).
    Progress(u64, Progress),
}

#[derive(Serialize, Deserialize)]
struct ProgressLine {
    v: u8,
    #[serde(with = "rfc3339")]
    at: u64,
    kind: String,
    #[serde(flatten)]
    sample: Progress,
}

impl Line {
    /// The JSON object, without a line end.
    pub fn to_json(&self) -> String {
        let text = match self {
            Line::Event(event) => serde_json::to_string(event),
            Line::Progress(at, sample) => {
                let (v, kind, sample) = (VERSION, "progress".into(), sample.clone());
                serde_json::to_string(&ProgressLine { v, at: *at, kind, sample })
            }
        };
        // Only maps with keys that are no texts, or failing `Serialize` code, cannot be written; here are
        // neither.
        text.unwrap_or_default()
    }

    /// Reads what [`Line::to_json`] wrote.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_json(text: &str) -> Result<Line, String> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if value.get("kind").and_then(|kind| kind.as_str()) == Some("progress") {
            let line: ProgressLine = serde_json::from_value(value).map_err(|e| e.to_string())?;
            return Ok(Line::Progress(line.at, line.sample));
        }
        serde_json::from_value(value).map(Line::Event).map_err(|e| e.to_string())
    }

    /// When it happened: time since the Unix epoch.
    pub fn at(&self) -> Duration {
        match self {
            Line::Event(event) => Duration::from_millis(event.at),
            Line::Progress(at, _) => Duration::from_millis(*at),
        }
    }
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(ms: &u64, to: S) -> Result<S::Ok, S::Error> {
        let at = i64::try_from(*ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        to.collect_str(&at.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        let at: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        u64::try_from(at.as_millisecond()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let event = Event {
            v: VERSION,
            seq: 7,
            at: 1_795_333_200_123,
            job: Some(JobId::new(3)),
            kind: EventKind::Started {
                url: "http://h/a".into(),
                path: "a\u{1b}".into(),
                size: None,
                validator: None,
                notes: Vec::new(),
            },
        };
        let line = Line::Event(event);
        let json = line.to_json();
        assert!(json.starts_with(r#"{"v":1,"seq":7,"at":"2026-11-22T"#), "{json}");
        assert!(json.contains(r#".123Z","job":3,"kind":"started""#) && !json.contains('\u{1b}'), "{json}");
        assert_eq!(Line::from_json(&json), Ok(line));

        let sample = Progress {
            job: JobId::new(3),
            name: "a".into(),
            phase: Phase::Receiving,
            bytes: 5,
            total: None,
            seconds: 1.5,
            wait: 0.0,
        };
        let line = Line::Progress(1_795_333_200_000, sample);
        assert!(line.to_json().contains(r#""kind":"progress""#) && !line.to_json().contains("seq"));
        assert_eq!(Line::from_json(&line.to_json()), Ok(line));
        assert!(Line::from_json("{}").is_err());
    }
}
