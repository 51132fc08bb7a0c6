//! [`Download`]: a download as the interface shows it.

use crate::entry::Entry;
use crate::queue::Sequence;
use crate::state::{Current, State};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use utoipa::ToSchema;

/// The name that clients see for a download without a usable name, such as a bad entry of a document.
const NO_NAME: &str = "(no name)";

/// A download.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Download {
    /// The identifier: 16 hexadecimal digits. The interface of aria2 uses the same identifier.
    pub id: String,
    /// The state of the download: `waiting`, `paused`, `active`, `complete`, `error` or `removed`.
    pub state: &'static str,
    /// The name of the file. As long as the name is not known, this is the value of the option `out`, or else
    /// the last part of the first URL, or `(no name)` if there is no URL.
    pub name: String,
    /// The path of the file, or null as long as the path is not known.
    pub path: Option<String>,
    /// The folder below which the file is saved, as an absolute path.
    pub folder: String,
    /// The URLs of the file, without secrets.
    pub urls: Vec<String>,
    /// The size of the file in bytes, or null if it is not known.
    pub total: Option<u64>,
    /// The number of received bytes of the file: those on the disk, and those that are not written yet.
    pub completed: u64,
    /// The speed in bytes a second.
    pub speed: u64,
    /// The number of connections that the download uses now.
    pub connections: usize,
    /// The byte ranges of the file that are on the disk, in order. There are none if the download is not
    /// active. Each range has the offset of its first byte, and the offset of the byte after its last byte.
    pub ranges: Vec<[u64; 2]>,
    /// The estimated time until the file is complete, in seconds, or null if the size is not known or no
    /// bytes arrive. The estimate uses the speed of the last seconds.
    pub seconds_left: Option<u64>,
    /// The reason why the download failed, or the note that it was removed, or null if it neither failed nor
    /// was removed.
    pub error: Option<Failure>,
    /// Until when and why an active download waits before its next attempt, or null if it does not wait.
    pub waits: Option<Waits>,
    /// How a complete file was verified, such as `sha-256 from the list`, or why an existing file was kept,
    /// such as `already exists`. The value is null in all other cases.
    pub proof: Option<String>,
    /// The time when the download was added, in milliseconds since the Unix epoch.
    pub added: u64,
    /// The time when the download ended, in milliseconds since the Unix epoch, or null if it has not ended.
    pub ended: Option<u64>,
    /// The position in the queue, counted from 0, if the download waits for its turn or is paused.
    pub position: Option<usize>,
    /// The limit of the download in bytes a second, or null if the download has no limit of its own.
    pub limit: Option<u64>,
}

/// The wait of an active download before its next attempt.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Waits {
    /// The end of the wait, in milliseconds since the Unix epoch. If as many other downloads as allowed are
    /// active at that time, the download continues later.
    pub until: u64,
    /// The failure that led to the wait.
    pub error: Failure,
}

/// Why a download failed, was removed, or waits.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Failure {
    /// The stable code, such as `http.not_found`. The page about errors in the documentation lists all codes.
    pub code: String,
    /// The reason in words.
    pub message: String,
}

impl Download {
    /// Returns what is known about a download, without its position.
    pub fn of(state: &State, entry: &Entry) -> Download {
        let Current { completed, total, speed, connections } = state.current(entry);
        let urls: Vec<String> = entry.shown_uris().map(Cow::into_owned).collect();
        let left = total.map(|total| total.saturating_sub(completed));
        let failure = |(code, message)| Failure { code, message };
        let error = entry.error.clone().map(failure);
        let waits = state.wait(entry.gid);
        let waits = waits.map(|wait| Waits { until: wait.until, error: failure(wait.error.clone()) });
        Download {
            id: entry.gid.to_string(),
            state: entry.state.name(),
            name: Download::name_of(entry),
            path: entry.path.as_ref().map(|path| path.to_string_lossy().into_owned()),
            folder: state.folder(entry).to_string_lossy().into_owned(),
            urls,
            total,
            completed,
            speed,
            connections,
            ranges: state.ranges(entry.gid).iter().map(|range| [range.start, range.end]).collect(),
            seconds_left: left.and_then(|left| left.checked_div(speed)),
            error,
            waits,
            proof: entry.proven.clone(),
            added: entry.times.0,
            ended: entry.times.1,
            position: None,
            limit: state.value(entry, "max-download-limit").parse().ok().filter(|limit| *limit > 0),
        }
    }

    /// Returns the name of the file of a download. As long as the name is not known, returns the value of the
    /// option `out`, or else the last part of the first URL, or `(no name)` if there is no URL.
    pub fn name_of(entry: &Entry) -> String {
        let urls: Vec<String> = entry.shown_uris().take(1).map(Cow::into_owned).collect();
        name(entry, &urls)
    }

    /// Returns what is known about a download, with its position.
    pub fn with_position(state: &State, entry: &Entry) -> Download {
        let position = state.queue().position(entry).filter(|_| entry.state.is_queued());
        Download { position, ..Download::of(state, entry) }
    }
}

/// Returns how many downloads are active, queued and over, and the speed and the limit of all downloads
/// together.
pub fn summary(state: &State) -> Value {
    let number = |sequence| state.queue().len(sequence);
    let mut summary = Map::new();
    summary.insert("speed".into(), state.speed().into());
    summary.insert("active".into(), number(Sequence::Active).into());
    summary.insert("queued".into(), number(Sequence::Queued).into());
    summary.insert("over".into(), number(Sequence::Over).into());
    summary.insert("limit".into(), state.limit().into());
    Value::Object(summary)
}

pub(super) fn name(entry: &Entry, urls: &[String]) -> String {
    let file =
        entry.path.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    let last = |url: &String| {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_string()
    };
    file.or_else(|| entry.options.get("out").map(String::from))
        .or_else(|| urls.first().map(last))
        .unwrap_or_else(|| NO_NAME.into())
}
