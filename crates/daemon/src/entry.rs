//! [`Entry`]: one download of the daemon, with everything that is stored about it.
//!
//! Invariant: an entry is never changed in place. A change makes a new entry, saves it ([`crate::store`]),
//! and puts it into the queue ([`crate::queue`]), in this order.

use crate::codes;
use crate::facts::Facts;
use crate::gid::Gid;
use crate::options::Options;
use crate::platform;
use downhaul_engine::core::show;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The state of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The download waits for its turn.
    Waiting,
    /// The download waits until a client resumes it.
    Paused,
    /// The file is being downloaded.
    Active,
    /// The file is complete.
    Complete,
    /// The download failed.
    Error,
    /// The download was removed while it was active.
    Removed,
}

impl State {
    const ALL: [State; 6] =
        [State::Waiting, State::Paused, State::Active, State::Complete, State::Error, State::Removed];

    /// Returns the word that aria2 uses, which is also the stored form.
    pub fn name(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Paused => "paused",
            State::Active => "active",
            State::Complete => "complete",
            State::Error => "error",
            State::Removed => "removed",
        }
    }

    fn of_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Returns true if the download has ended.
    pub fn is_over(self) -> bool {
        matches!(self, State::Complete | State::Error | State::Removed)
    }

    /// Returns true if the download waits for its turn, or is paused.
    pub fn is_queued(self) -> bool {
        matches!(self, State::Waiting | State::Paused)
    }
}

/// The path, the URLs and the options of a download before a client changed its URLs or its headers. A
/// partial file from before the change may still exist, and the download may now use another partial file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The path of the file.
    pub path: PathBuf,
    /// The URLs of the file.
    pub uris: Vec<String>,
    /// The options of the download.
    pub options: Options,
}

/// The metadata of the file that a download saved. It shows if the file at the path is still the file that
/// the download saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// The size in bytes.
    size: u64,
    /// The date of the last change, in seconds and nanoseconds since the Unix epoch.
    modified: (u64, u32),
    /// The inode number of the file. It is 0 if the system has no such numbers.
    number: u64,
}

impl Saved {
    /// Returns the metadata of the file at a path, or `None` if there is no file or it cannot be reached.
    pub fn of(path: &Path) -> Option<Saved> {
        let there = std::fs::symlink_metadata(path).ok()?;
        let since = there.modified().ok().and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
        let since = since.unwrap_or_default();
        let modified = (since.as_secs(), since.subsec_nanos());
        Some(Saved { size: there.len(), modified, number: platform::number_of(&there) })
    }

    fn to_json(self) -> Value {
        json!([self.size, self.modified.0, self.modified.1, self.number])
    }

    fn from_json(value: &Value) -> Option<Saved> {
        let number = |at: usize| value[at].as_u64();
        let modified = (number(1)?, number(2)?.try_into().ok()?);
        Some(Saved { size: number(0)?, modified, number: number(3)? })
    }
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The identifier.
    pub gid: Gid,
    /// The state.
    pub state: State,
    /// The place among the entries of the same sequence (queued, active, over). Lower ranks come first.
    pub rank: i64,
    /// The URLs of the file. Several URLs are mirrors. They may have secrets; see [`Entry::shown_uris`].
    pub uris: Vec<String>,
    /// The options that clients have set for this download, and those that clients had set for the daemon
    /// when the download was added. Both have precedence over the options with which the daemon was started.
    pub options: Options,
    /// The facts about the file from a list or a document.
    pub facts: Option<Arc<Facts>>,
    /// The path of the file. It is `None` until the library has reported it. It is valid Unicode, because
    /// [`crate::folders`] refuses folders whose paths are not valid Unicode.
    pub path: Option<PathBuf>,
    /// The size of the file in bytes, if known.
    pub total: Option<u64>,
    /// The number of received bytes of the file. While the download is active, this number may be out of
    /// date, and [`State::current`](crate::state::State::current) has the present number.
    pub completed: u64,
    /// The reason why the download failed, or the note that it was removed: a code, such as
    /// `http.not_found`, and a message.
    pub error: Option<(String, String)>,
    /// The HTTP status with which the server refused the request for the file.
    pub http_status: Option<u16>,
    /// How the complete file was verified, such as `sha-256 from the list`, or why an existing file was kept,
    /// such as `already exists`.
    pub proven: Option<String>,
    /// The times when the download was added and when it ended, in milliseconds since the Unix epoch.
    pub times: (u64, Option<u64>),
    /// The downloads that were added because of this one, such as the files of a Metalink document.
    pub followed_by: Vec<Gid>,
    /// The download that caused this one to be added, such as that of a Metalink document.
    pub following: Option<Gid>,
    /// The former paths, URLs and options of the download, the newest ones last.
    pub former: Vec<Former>,
    /// The metadata of the finished file. It is `None` if the download has not saved a file, or if the
    /// metadata could not be read.
    pub saved: Option<Saved>,
}

impl Former {
    fn to_json(&self) -> Value {
        json!({ "path": self.path.to_string_lossy(), "uris": self.uris, "options": self.options.to_json() })
    }

    fn from_json(value: &Value) -> Option<Former> {
        let path = PathBuf::from(value["path"].as_str()?);
        let options = Options::from_json(&value["options"]);
        Some(Former { path, uris: texts(&value["uris"]).map(String::from).collect(), options })
    }
}

impl Entry {
    /// Marks a new download as failed before it began. `error` has the code and the message of the failure.
    /// `now` is the time in milliseconds since the Unix epoch.
    pub fn fail(&mut self, error: (String, String), now: u64) {
        (self.state, self.error, self.times) = (State::Error, Some(error), (now, Some(now)));
    }

    /// Returns a download that waits, and has not begun. `now` is the time at which it is added, in
    /// milliseconds since the Unix epoch.
    pub fn new(gid: Gid, rank: i64, uris: Vec<String>, options: Options, now: u64) -> Entry {
        Entry {
            gid,
            state: State::Waiting,
            rank,
            uris,
            options,
            facts: None,
            path: None,
            total: None,
            completed: 0,
            error: None,
            http_status: None,
            proven: None,
            times: (now, None),
            followed_by: Vec::new(),
            following: None,
            former: Vec::new(),
            saved: None,
        }
    }

    /// Returns the URLs without their secrets, as clients see them.
    pub fn shown_uris(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.uris.iter().map(|one| show::given(one))
    }

    /// Returns true if only a document names this URL of the download.
    pub fn is_strange(&self, uri: &str) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.is_strange(uri))
    }

    /// Returns the exit status with which aria2 would report the end of the download. It is 0, unless the
    /// download failed or was removed.
    pub fn aria2_status(&self) -> u8 {
        self.error.as_ref().map_or(0, |(code, _)| codes::of_failure(code, self.http_status))
    }

    /// Returns the fields that are stored as JSON. The identifier, the state and the rank have columns of
    /// their own.
    pub fn to_json(&self) -> Value {
        json!({
            "uris": self.uris,
            "options": self.options.to_json(),
            "facts": self.facts.as_ref().map(|facts| facts.to_json()),
            "path": self.path.as_ref().map(|path| path.to_string_lossy()),
            "total": self.total,
            "completed": self.completed,
            "error": self.error,
            "http_status": self.http_status,
            "proven": self.proven,
            "times": self.times,
            "followed_by": gids(&self.followed_by),
            "following": self.following.map(|gid| gid.to_string()),
            "former": self.former.iter().map(Former::to_json).collect::<Vec<_>>(),
            "saved": self.saved.map(Saved::to_json),
        })
    }

    /// Reads what [`Entry::to_json`] returned. Returns `None` if the state is not known, or if the facts
    /// cannot be read. The facts are not just left out, because they have the digests of the file. Without
    /// the digests, a wrong file could count as complete.
    pub fn from_json(gid: Gid, state: &str, rank: i64, value: &Value) -> Option<Entry> {
        let text = |name: &str| value[name].as_str().map(String::from);
        let error = value["error"]
            .as_array()
            .and_then(|pair| Some((pair.first()?.as_str()?.to_string(), pair.get(1)?.as_str()?.to_string())));
        let times = value["times"].as_array();
        let facts = match &value["facts"] {
            Value::Null => None,
            facts => Some(Arc::new(Facts::from_json(facts)?)),
        };
        let time = |at: usize| times.and_then(|times| times.get(at)).and_then(Value::as_u64);
        Some(Entry {
            gid,
            state: State::of_name(state)?,
            rank,
            uris: texts(&value["uris"]).map(String::from).collect(),
            options: Options::from_json(&value["options"]),
            facts,
            path: text("path").map(PathBuf::from),
            total: value["total"].as_u64(),
            completed: value["completed"].as_u64().unwrap_or_default(),
            error,
            http_status: value["http_status"].as_u64().and_then(|status| status.try_into().ok()),
            proven: text("proven"),
            times: (time(0).unwrap_or_default(), time(1)),
            followed_by: texts(&value["followed_by"]).filter_map(Gid::read).collect(),
            following: text("following").and_then(|gid| Gid::read(&gid)),
            former: value["former"].as_array().into_iter().flatten().filter_map(Former::from_json).collect(),
            saved: Saved::from_json(&value["saved"]),
        })
    }
}

/// Returns the texts in a JSON list. Other items are left out.
fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Returns identifiers as texts.
pub fn gids(of: &[Gid]) -> Vec<String> {
    of.iter().map(Gid::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_read_as_it_was_stored() {
        let mut options = Options::default();
        options.set("out", "a.bin").expect("allowed");
        let mut entry = Entry::new(Gid::new(7), -3, vec!["http://h/a".into()], options, 12);
        entry.path = Some("/d/a.bin".into());
        entry.error = Some(("http.gone".into(), "gone".into()));
        entry.followed_by = vec![Gid::new(8)];
        entry.times.1 = Some(13);
        let (path, uris, options) = ("/d/b.bin".into(), vec!["http://h/b".into()], entry.options.clone());
        entry.former = vec![Former { path, uris, options }];
        entry.saved = Some(Saved { size: 5, modified: (6, 7), number: u64::MAX });
        let again = Entry::from_json(entry.gid, entry.state.name(), entry.rank, &entry.to_json());
        assert_eq!(again.as_ref(), Some(&entry));
        assert_eq!(Entry::from_json(Gid::new(7), "other", 0, &Value::Null), None);
        // Facts of a later version may include a digest that this version cannot read, so such an entry is
        // refused.
        let mut stored = again.expect("an entry").to_json();
        for facts in [serde_json::json!({ "digests": {} }), serde_json::json!({ "later": 1 })] {
            stored["facts"] = facts;
            assert_eq!(Entry::from_json(Gid::new(7), "waiting", 0, &stored), None);
        }
    }
}
