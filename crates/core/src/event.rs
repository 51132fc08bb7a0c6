//! The public form of the reports of a session: [`EventKind`]s, which are numbered and never lost, and
//! [`Progress`], of which a reader may miss some. `docs/events.md` describes the JSON form.
//!
//! [`State`] is computed from the events. A screen that started late or missed events can copy the state.
//! Events may contain text from a server. The screen and the log escape this text before they show it. Events
//! contain no secrets of URLs, headers or logins.
//!
//! This file is long because it is the list of all events and their fields.

use crate::dedup::MadeFrom;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::job::Job;
use crate::preview::{Forecast, SizeFrom, Step};
use crate::show;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// The reason in the event of a job whose file was left to another run.
const LEFT: &str = "is left to another run, which is working on the file";

/// The reason in the event of a job whose file another job of the run downloads.
const SAME: &str = "is given twice with the same URL, so it is fetched once";

/// The version of the JSON form. Within a version, fields may be added, but no field is removed or changed.
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
    /// The version of the JSON form, [`VERSION`].
    pub v: u8,
    /// The number of the event. It counts from 1, without gaps.
    pub seq: u64,
    /// The time in milliseconds since the Unix epoch. In JSON it is RFC 3339 in UTC.
    #[serde(with = "rfc3339")]
    pub at: u64,
    /// The job of the event, or `None` if the event is about the whole run.
    pub job: Option<JobId>,
    /// The kind of the event, with its data.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Something that happened. Every job is `queued` once and ends in exactly one of `finished`, `skipped`,
/// `failed` and (in a preview) `planned`. The run ends in one `summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A job was added. It waits for its turn. An entry of a list that cannot become a job is added too, and
    /// fails immediately.
    #[non_exhaustive]
    Queued {
        /// The URL of the file, without secrets. If there are several mirrors, this is the first one. If an
        /// entry of a list cannot become a job, this is the place of the mistake.
        url: String,
        /// True if the URL was given without a scheme, and https was assumed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        assumed_https: bool,
        /// The name that the user or a list gave the file, if any.
        name: Option<String>,
        /// The keys of the job's JSON line, or the columns of its table, that downhaul does not know.
        #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
        extra: serde_json::Map<String, serde_json::Value>,
    },
    /// The first usable response arrived, so the facts about the file are known. If the download starts
    /// again, there is another event of this kind.
    #[non_exhaustive]
    Started {
        /// The URL of the response, without secrets. If a partial file of an earlier run is resumed, this is
        /// the URL of the response in that run.
        url: String,
        /// The path that the file will have.
        path: String,
        /// The size of the file in bytes, if known.
        size: Option<u64>,
        /// The strong validator of the response: an ETag or a date. It is missing if the response has no
        /// strong validator.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validator: Option<String>,
        /// Notes about header lines of the response that could not be read and were dropped. They help to
        /// find a mistake in the server.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// An interrupted transfer continues, or the partial file of an earlier run is used.
    #[non_exhaustive]
    Resumed {
        /// The offset of the first byte that is still missing.
        from: u64,
        /// The number of bytes that are already on the disk.
        #[serde(default)]
        bytes: u64,
    },
    /// An attempt failed and another one follows, or the job waits for another run that is working on the
    /// file.
    #[non_exhaustive]
    Retrying {
        /// The failure.
        error: Failure,
        /// The number of this retry. It begins with 1 again after 64 KiB of new bytes. It is 0 if the next
        /// attempt costs no retry, for example because the host requires a pause.
        attempt: u32,
        /// The number of retries that are allowed. [`u32::MAX`] means that there is no limit.
        of: u32,
        /// The wait before the next attempt, in seconds.
        wait: f64,
        /// True if another job may run in place of this job during the wait. There are two usual reasons: the
        /// host requires a pause, or another run is working on the file.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        idle: bool,
        /// The offset of the first byte that will be requested. It is 0 if the download starts again, or if
        /// the job waits for another run.
        from: u64,
    },
    /// One of several sources was dropped. The source failed, is many times slower than another source, has a
    /// different file, or sent wrong bytes. A source that did not send wrong bytes may be used again later.
    #[non_exhaustive]
    MirrorLeft {
        /// The URL of the source, without secrets.
        url: String,
        /// The reason.
        error: Failure,
    },
    /// The user is asked what to do. The job waits for the answer.
    #[non_exhaustive]
    Question {
        /// The failure.
        error: Failure,
        /// The number of retries that are left.
        left: u32,
    },
    /// A digest or a signature matched.
    #[non_exhaustive]
    Verified {
        /// The name of the algorithm, such as `sha-256`.
        algorithm: String,
        /// The digest in hexadecimal.
        digest: String,
        /// The place where the expected digest was found, such as `X-Checksum-SHA256`. For a signature, this
        /// text says who signed the file.
        source: String,
    },
    /// The file is complete and has its final name.
    #[non_exhaustive]
    Finished {
        /// The path of the file.
        path: String,
        /// The size of the file in bytes.
        bytes: u64,
        /// The number of bytes that were received for the file in this run. It may be lower than `bytes`, for
        /// example because earlier bytes were used, or higher, because bytes were fetched twice.
        #[serde(default)]
        fetched: u64,
        /// The length of a chunk in bytes, if digests of chunks were known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chunk_length: Option<u64>,
        /// The time since the first request, in seconds.
        seconds: f64,
        /// The method by which the file was verified, such as `sha-256 from X-Checksum-SHA256` or `signed by
        /// KEY`. If the file was not verified, this is `size only` or `end of transfer only`.
        proven: String,
        /// The digests that were computed, in hexadecimal. The keys are the names of the algorithms.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        digests: BTreeMap<String, String>,
        /// The file with the same bytes from which this file was made after the download (`--dedup`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made_from: Option<MadeFrom>,
        /// Notes about the file for the user.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        /// The keys or columns that downhaul does not know, as in `queued`.
        #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
        extra: serde_json::Map<String, serde_json::Value>,
    },
    /// The file was not downloaded, for one of these reasons:
    /// - The existing file of this name is kept.
    /// - An earlier run downloaded the file (`--archive`).
    /// - The file was made from another file (`--dedup`).
    /// - Another job of this run downloads the file.
    /// - Another run is working on the file (`--if-locked skip`).
    #[non_exhaustive]
    Skipped {
        /// The path of the file that the reason is about: the existing file, the file that the earlier run
        /// downloaded, the file that was made, or the file that another run is working on. If another job
        /// downloads the file, this is the name of the file.
        path: String,
        /// The reason, such as `already exists` or `is up to date`.
        reason: String,
        /// The size of the file in bytes, if it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        /// The digests of the file that are known, in hexadecimal. The keys are the names of the algorithms.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        digests: BTreeMap<String, String>,
        /// The file with the same digest from which this file was made, instead of a download (`--dedup`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made_from: Option<MadeFrom>,
        /// The keys or columns that downhaul does not know, as in `queued`.
        #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
        extra: serde_json::Map<String, serde_json::Value>,
    },
    /// The file could not be downloaded.
    #[non_exhaustive]
    Failed {
        /// The failure.
        error: Failure,
        /// The number of used retries. It begins with 0 again after 64 KiB of new bytes.
        retries: u32,
        /// True if the job used up its retries in a run that asks the user (`--on-error ask`). No further job
        /// starts then, and the run ends when the jobs in progress have ended.
        exhausted: bool,
        /// The keys or columns that downhaul does not know, as in `queued`.
        #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
        extra: serde_json::Map<String, serde_json::Value>,
    },
    /// The run would do `step` with this file. Only a preview (`downhaul plan`) has events of this kind. The
    /// job ends with this event.
    #[non_exhaustive]
    Planned {
        /// The step that the run would take with the file.
        step: Step,
        /// The URL of the file, without secrets.
        url: String,
        /// The path that the file would have.
        path: String,
        /// True if the server may give the file another name, because no request was sent to the server.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        may_be_renamed: bool,
        /// The size of the file in bytes, if known.
        size: Option<u64>,
        /// The place where the size was found, if the size is known.
        size_from: Option<SizeFrom>,
        /// The number of bytes that are on the disk already and would not be fetched again.
        kept: u64,
        /// The names of the algorithms of the digests that are known before the download, such as `sha-256`.
        digests: Vec<String>,
        /// The keys or columns that downhaul does not know, as in `queued`.
        #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
        extra: serde_json::Map<String, serde_json::Value>,
    },
    /// The sums over all files that the run would download. A preview has this event once, before the
    /// summary.
    #[non_exhaustive]
    Plan {
        /// The sums.
        #[serde(flatten)]
        forecast: Forecast,
    },
    /// The run is over.
    #[non_exhaustive]
    Summary {
        /// The number of jobs that were queued.
        files: u64,
        /// The number of files that were downloaded completely.
        finished: u64,
        /// The number of files that were skipped.
        skipped: u64,
        /// The number of files that failed.
        failed: u64,
        /// The number of bytes of the finished files.
        bytes: u64,
        /// The number of bytes that were received for the finished files in this run.
        #[serde(default)]
        fetched: u64,
        /// The number of jobs that ended with `planned`, in a preview.
        #[serde(default, skip_serializing_if = "is_zero")]
        planned: u64,
        /// The duration of the run in seconds.
        seconds: f64,
    },
}

/// Returns true if the number is 0. Its field is then left out of the JSON form.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Event {
    /// Returns the event with the number `seq` that happened at `at` (milliseconds since the Unix epoch).
    pub fn new(seq: u64, at: u64, job: Option<JobId>, kind: EventKind) -> Self {
        Event { v: VERSION, seq, at, job, kind }
    }

    /// Appends the JSON object to a text, without a line end.
    pub fn write_json(&self, to: &mut Vec<u8>) {
        // Serialization fails only for maps whose keys are not text, and an event contains no such map.
        let _ = serde_json::to_writer(to, self);
    }
}

impl EventKind {
    /// Returns the event for a job that was added.
    pub fn queued(job: &Job) -> Self {
        EventKind::Queued {
            url: show::url(&job.urls[0]),
            assumed_https: job.assumed_https,
            name: job.destination.given_name(),
            extra: job.extra.clone(),
        }
    }

    /// Returns the event for an entry of a list that cannot become a job, such as a bad line.
    pub fn queued_without_job(error: &Error) -> Self {
        let (name, extra) = (None, serde_json::Map::new());
        EventKind::Queued { url: error.at.clone(), assumed_https: false, name, extra }
    }

    /// Returns the event for a file that the run skips.
    pub fn skipped(kept: Kept) -> Self {
        let Kept { path, reason, bytes, digests, made_from } = kept;
        let (digests, extra) = (by_name(&digests), serde_json::Map::new());
        EventKind::Skipped { path, reason, bytes, digests, made_from, extra }
    }

    /// Adds the keys or columns of the job that downhaul does not know, if this is the last event of the job.
    #[must_use]
    pub fn with_extra(mut self, of_job: &serde_json::Map<String, serde_json::Value>) -> Self {
        if let EventKind::Finished { extra, .. }
        | EventKind::Skipped { extra, .. }
        | EventKind::Planned { extra, .. }
        | EventKind::Failed { extra, .. } = &mut self
        {
            extra.clone_from(of_job);
        }
        self
    }

    /// Adds `other`, the file from which the downloaded file was made, if the event is `finished`.
    #[must_use]
    pub fn with_made_from(mut self, other: Option<MadeFrom>) -> Self {
        if let EventKind::Finished { made_from, .. } = &mut self {
            *made_from = other;
        }
        self
    }

    /// Returns the event for a file that was left to another run, which is working on it.
    pub fn left_to_other_run(path: impl Into<String>) -> Self {
        EventKind::skipped(Kept { path: path.into(), reason: LEFT.into(), ..Kept::default() })
    }

    /// Returns the event for a job whose file another job of the run downloads.
    pub fn same_as_other_job(path: impl Into<String>) -> Self {
        EventKind::skipped(Kept { path: path.into(), reason: SAME.into(), ..Kept::default() })
    }

    /// Returns true if the job was skipped because another job of the run downloads the file.
    pub fn is_of_other_job(&self) -> bool {
        matches!(self, EventKind::Skipped { reason, .. } if reason == SAME)
    }

    /// Returns true if a job ended with this event, and its file is complete. With `--archive`, the file may
    /// have been moved or deleted since an earlier run downloaded it.
    pub fn is_complete(&self) -> bool {
        self.has_nothing_left() && !self.is_of_other_job()
    }

    /// Returns true if a job ended with this event, and nothing is left to do for it: its file is complete,
    /// or another job of the run downloads this file and reports the result.
    pub fn has_nothing_left(&self) -> bool {
        match self {
            EventKind::Finished { .. } => true,
            EventKind::Skipped { reason, .. } => reason != LEFT,
            _ => false,
        }
    }

    /// Returns the event for the end of a run. `took` is the duration of the run, and `state` is its last
    /// state.
    pub fn summary(state: &State, took: Duration) -> Self {
        let &State { queued: files, finished, skipped, failed, planned, bytes, fetched, .. } = state;
        let seconds = took.as_secs_f64();
        EventKind::Summary { files, finished, skipped, failed, bytes, fetched, planned, seconds }
    }

    /// Returns the event with the sums of a preview.
    pub fn plan(forecast: Forecast) -> Self {
        EventKind::Plan { forecast }
    }

    /// Returns the event for a file of a preview.
    pub fn planned(file: PlannedFile) -> Self {
        let PlannedFile { step, url, path, may_be_renamed, size, kept, digests } = file;
        let (size, size_from) = size.unzip();
        let digests = digests.iter().map(|one| one.name().into()).collect();
        let extra = serde_json::Map::new();
        EventKind::Planned { step, url, path, may_be_renamed, size, size_from, kept, digests, extra }
    }

    /// Returns the event for a job that failed before its first attempt.
    pub fn failed(error: &Error) -> Self {
        let extra = serde_json::Map::new();
        EventKind::Failed { error: Failure::from(error), retries: 0, exhausted: false, extra }
    }
}

/// Returns digests by the names of their algorithms, in the form that events report.
pub(crate) fn by_name(digests: &[Digest]) -> BTreeMap<String, String> {
    digests.iter().map(|one| (one.algorithm.name().into(), one.to_string())).collect()
}

/// A file of a preview, with the step that the run would take.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFile {
    /// The step that the run would take.
    pub step: Step,
    /// The URL of the file, without secrets.
    pub url: String,
    /// The path that the file would have.
    pub path: String,
    /// True if the server may give the file another name.
    pub may_be_renamed: bool,
    /// The size in bytes, and the place where it was found, if the size is known.
    pub size: Option<(u64, SizeFrom)>,
    /// The number of bytes that are on the disk already.
    pub kept: u64,
    /// The algorithms of the digests that are known before the download.
    pub digests: Vec<Algorithm>,
}

/// A file that the run skips.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The path of the file.
    pub path: String,
    /// The reason why the file is skipped, such as `already exists`.
    pub reason: String,
    /// The size of the file in bytes, if known.
    pub bytes: Option<u64>,
    /// The known digests of the file.
    pub digests: Vec<Digest>,
    /// The file from which this file was made in this run (`--dedup`).
    pub made_from: Option<MadeFrom>,
}

/// A failure, in the form that events report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The stable code. See `docs/errors.md`.
    pub code: String,
    /// The meaning of the code, and the message of the system or the server.
    pub message: String,
    /// The place of the failure: a URL without secrets, an address, or a path.
    pub at: String,
    /// The HTTP status with which a server refused the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let meaning = error.kind.meaning();
        let message = if error.detail.is_empty() {
            meaning.to_string()
        } else {
            format!("{meaning}: {}", error.detail)
        };
        let (code, at) = (error.kind.code().into(), error.at.clone());
        Failure { code, message, at, http_status: error.http_status }
    }
}

/// The progress of one job at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// The job.
    pub job: JobId,
    /// The name of the file, or its URL (without secrets) while it has no name.
    pub name: String,
    /// The current activity of the job.
    pub phase: Phase,
    /// The number of valid bytes on the disk, plus the number of received bytes that will be written next.
    pub bytes: u64,
    /// The size of the file in bytes, if known.
    pub total: Option<u64>,
    /// The time since the job began, in seconds.
    pub seconds: f64,
    /// The remaining wait in seconds (phase `waiting`).
    #[serde(default)]
    pub wait: f64,
    /// The number of connections that are open or being opened for the file.
    #[serde(default)]
    pub connections: usize,
    /// The byte ranges that are on the disk, in order. They are updated when bytes are written, but at most
    /// twice a second until the file is complete. The lines of JSON do not contain the ranges.
    #[serde(skip)]
    pub ranges: Vec<Range<u64>>,
}

/// The current activity of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[non_exhaustive]
pub enum Phase {
    /// The job opens connections, or waits for the response.
    Connecting,
    /// Bytes arrive.
    Receiving,
    /// The job waits: before the next attempt, during a pause that the host needs, for its turn, or for
    /// another run that is working on the file.
    Waiting,
    /// The job waits for the answer of the user.
    Asking,
    /// The last bytes are hashed, and the file is moved to its final name.
    Finishing,
    /// The partial file of an earlier run is compared with its journal. Missing bytes may arrive at the same
    /// time.
    Checking,
    /// The job is paused.
    Paused,
}

/// The state of a session, computed from its events.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct State {
    /// The number of the last event that was applied.
    pub seq: u64,
    /// The number of jobs that were queued.
    pub queued: u64,
    /// The number of files that were downloaded completely.
    pub finished: u64,
    /// The number of files that were skipped.
    pub skipped: u64,
    /// The number of files that failed.
    pub failed: u64,
    /// The number of jobs that ended with `planned`, in a preview.
    pub planned: u64,
    /// The number of bytes of the finished files.
    pub bytes: u64,
    /// The number of bytes that were received for the finished files in this run.
    pub fetched: u64,
    /// The jobs that have started and have not ended, each with the size of its file. An unknown size is
    /// `None`. There are at most as many entries as jobs in progress.
    pub started: BTreeMap<JobId, Option<u64>>,
    /// The failures about which the user is asked, each with the number of retries that are left. There are
    /// at most as many entries as jobs in progress.
    pub asking: BTreeMap<JobId, (Failure, u32)>,
    /// True if the run is over.
    pub over: bool,
}

impl Progress {
    /// Returns the progress of a job that just began.
    pub fn new(job: JobId, name: impl Into<String>, phase: Phase) -> Self {
        Progress {
            job,
            name: name.into(),
            phase,
            bytes: 0,
            total: None,
            seconds: 0.0,
            wait: 0.0,
            connections: 0,
            ranges: Vec::new(),
        }
    }
}

impl State {
    /// Applies an event. An event that was applied before changes nothing, so a screen may copy a newer state
    /// and then continue to read events.
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
            EventKind::Finished { bytes, fetched, .. } => {
                self.finished += 1;
                self.bytes += bytes;
                self.fetched += fetched;
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
            EventKind::Planned { .. } => {
                self.planned += 1;
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
            | EventKind::Plan { .. }
            | EventKind::Verified { .. } => false,
        };
        if let (true, Some(job)) = (ended, event.job) {
            self.started.remove(&job);
        }
    }

    /// Returns the number of jobs that have ended.
    pub fn ended(&self) -> u64 {
        self.finished + self.skipped + self.failed + self.planned
    }
}

/// One line of the JSON form: an event, or progress (kind `progress`, which has no `seq`).
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// An event.
    Event(Event),
    /// The progress of a job, and the time in milliseconds since the Unix epoch.
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
    /// Returns the JSON object, without a line end.
    pub fn to_json(&self) -> String {
        let text = match self {
            Line::Event(event) => serde_json::to_string(event),
            Line::Progress(at, sample) => {
                let (v, kind, sample) = (VERSION, "progress".into(), sample.clone());
                serde_json::to_string(&ProgressLine { v, at: *at, kind, sample })
            }
        };
        // Serialization fails only for maps whose keys are not text, and a line contains no such map.
        text.unwrap_or_default()
    }

    /// Reads what [`Line::to_json`] wrote.
    ///
    /// # Errors
    /// Returns what is wrong with the text.
    pub fn from_json(text: &str) -> Result<Line, String> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if value.get("kind").and_then(|kind| kind.as_str()) == Some("progress") {
            let line: ProgressLine = serde_json::from_value(value).map_err(|e| e.to_string())?;
            return Ok(Line::Progress(line.at, line.sample));
        }
        serde_json::from_value(value).map(Line::Event).map_err(|e| e.to_string())
    }

    /// Returns the time of the line since the Unix epoch.
    pub fn at(&self) -> Duration {
        match self {
            Line::Event(event) => Duration::from_millis(event.at),
            Line::Progress(at, _) => Duration::from_millis(*at),
        }
    }
}

/// Times in RFC 3339 in UTC with milliseconds.
pub(crate) mod rfc3339 {
    use crate::calendar::Date;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// The first millisecond of the year 10000.
    const YEAR_10000: u64 = 253_402_300_800_000;

    pub fn serialize<S: Serializer>(ms: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&text(*ms))
    }

    /// Returns the text of a time that is in milliseconds since the Unix epoch.
    pub fn text(ms: u64) -> String {
        // The year of a later time has more than four digits, which RFC 3339 does not allow. Such a time is
        // written as 1970.
        let ms = if ms < YEAR_10000 { ms } else { 0 };
        let seconds = i64::try_from(ms / 1000).unwrap_or_default();
        let Date { year, month, day, hour, minute, second } = Date::at(seconds);
        let ms = ms % 1000;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }

    /// Reads a time in RFC 3339. Returns milliseconds since the Unix epoch, or `None` if the text is
    /// malformed or the time is before the epoch.
    pub fn read(text: &str) -> Option<u64> {
        let at: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(at.as_millisecond()).ok()
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
            connections: 2,
            ranges: Vec::new(),
        };
        let line = Line::Progress(1_795_333_200_000, sample);
        assert!(line.to_json().contains(r#""kind":"progress""#) && !line.to_json().contains("seq"));
        assert_eq!(Line::from_json(&line.to_json()), Ok(line));
        assert!(Line::from_json("{}").is_err());
    }
}
