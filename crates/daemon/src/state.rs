//! [`State`]: the downloads, their order, which of them the library runs, and the options of the daemon.
//!
//! Every change by a client is saved before it is made. So when a client has received the answer to a
//! change, a kill of the daemon does not lose the change. Downloads that were active go first after the
//! next start, in their order.
//!
//! The methods of [`State`] are in several files: `adding` adds downloads, and `follow` adds the downloads of
//! a document that was downloaded. `changes` makes the changes that clients request, `runs` starts and ends
//! jobs of the library, and `removal` removes downloads and the files that they left.
//!
//! Invariant: at most one job of the library exists for a download. A download that was paused or removed can
//! begin again only when its job has ended.

mod adding;
mod changes;
mod follow;
mod globals;
mod removal;
mod runs;

pub use changes::Edit;
pub use removal::Deletion;

use crate::entry::{self, Entry, Saved};
use crate::fault::Fault;
use crate::folders::Folders;
use crate::gid::Gid;
use crate::live::{Live, Wait};
use crate::options::Options;
use crate::queue::{Queue, Sequence};
use crate::store::Store;
use downhaul_engine::JobId;
use globals::Globals;
use runs::{Beginning, Run};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A notice for clients. Clients of aria2 get the first five (`aria2.onDownloadStart` and so on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The download began.
    Start,
    /// The download was paused.
    Pause,
    /// The download was removed while it was active.
    Stop,
    /// The file is complete.
    Complete,
    /// The download failed.
    Error,
    /// The download was added, resumed or tried again, or its place, its options or its URLs changed.
    Changed,
    /// The daemon has forgotten the download: a client removed it, or too many downloads have ended.
    Gone,
}

/// An action outside of the state that must follow a change.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Send this notice about a download to the clients.
    Tell(Notice, Gid),
    /// Stop this job of the library, and keep its partial file if it can be resumed.
    Stop(JobId),
    /// Stop this job of the library, and delete its partial file if the job has started.
    Discard(JobId),
    /// Delete the files that a download left.
    Delete(Box<Deletion>),
    /// Limit this job of the library to this many bytes a second. `None` means no limit.
    Limit(JobId, Option<u64>),
    /// Apply the rate limit of all jobs together ([`State::limit`]) and the limit of active jobs
    /// ([`State::most_active`]). The values are read when the effect is carried out.
    LimitAll,
}

/// The result of a change, and the effects that must be carried out after it.
pub type Changed<T> = Result<(T, Vec<Effect>), Fault>;

/// The progress of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// The number of received bytes of the file: those on the disk, and those that are not written yet.
    pub completed: u64,
    /// The size of the file in bytes, if known.
    pub total: Option<u64>,
    /// The speed in bytes a second.
    pub speed: u64,
    /// The number of connections that the download uses now.
    pub connections: usize,
}

/// The state of the daemon.
pub struct State {
    queue: Queue,
    store: Store,
    globals: Globals,
    /// The settings of the session in the form of options. They are only shown to clients.
    started: Options,
    folders: Folders,
    /// The jobs of the library that have not ended.
    runs: HashMap<JobId, Run>,
    beginning: Option<Beginning>,
    live: HashMap<Gid, Live>,
    /// The number of downloads that have ended: those of earlier runs that were still stored at the start,
    /// and those of this run.
    ended: u64,
    session: String,
    stopping: bool,
}

impl State {
    /// Returns the state that is in a store. `given` are the options of the command line. Except for `dir`,
    /// they have precedence over options that clients have set in earlier runs. `configured` are the options
    /// of the configuration, over which all others have precedence. The options in `given` and `configured`
    /// are not stored.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub fn load(
        mut store: Store,
        folders: Folders,
        given: &Options,
        configured: &Options,
    ) -> rusqlite::Result<State> {
        let session = store.session(|| (0..5).map(|_| format!("{:08x}", fastrand::u32(..))).collect())?;
        let globals = Globals::new(given, configured, store.options()?, &folders);
        let (mut queue, mut active) = (Queue::default(), Vec::new());
        store.each(|entry| match entry.state {
            entry::State::Active => active.push(entry),
            _ => queue.put(entry),
        })?;
        // The downloads that were active go first, in their order.
        let ranks = queue.front(active.len());
        let again = |(entry, rank)| Entry { state: entry::State::Waiting, rank, ..entry };
        let active: Vec<Entry> = active.into_iter().zip(ranks).map(again).collect();
        store.save(&active)?;
        queue.put_all(active);
        let ended = u64::try_from(queue.len(Sequence::Over)).unwrap_or(u64::MAX);
        let (runs, live) = (HashMap::new(), HashMap::new());
        let beginning = None;
        let (started, stopping) = (Options::default(), false);
        Ok(State { queue, store, globals, started, folders, runs, beginning, live, ended, session, stopping })
    }

    /// Sets the options that stand for the settings of the session ([`crate::network::options`]). Clients see
    /// the value of such an option if nothing else sets this option.
    pub fn show_started(&mut self, options: Options) {
        self.started = options;
    }

    /// Returns the downloads.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Returns the download with this identifier.
    ///
    /// # Errors
    /// Returns a fault if the download does not exist, or does not exist any more.
    pub fn known(&self, gid: Gid) -> Result<&Arc<Entry>, Fault> {
        self.queue.get(gid).ok_or_else(|| Fault::missing(gid))
    }

    /// Returns the options of the daemon.
    pub fn options(&self) -> &Options {
        self.globals.all()
    }

    /// Returns all options of a download: its own options, and for all other options, the values of the
    /// daemon's command line and current configuration.
    pub fn options_of(&self, entry: &Entry) -> Options {
        entry.options.above(self.globals.given())
    }

    /// Returns the value that an option has in [`State::options_of`], or its default if it is not set there.
    pub fn value<'a>(&'a self, entry: &'a Entry, name: &str) -> &'a str {
        let own = Some(&entry.options).filter(|own| own.is_set(name));
        own.unwrap_or(self.globals.given()).value(name)
    }

    /// Returns the folder of a download, as an absolute path. Symbolic links are not followed.
    pub fn folder(&self, entry: &Entry) -> PathBuf {
        self.folders.default().join(self.value(entry, "dir"))
    }

    /// Returns the options of the daemon, as clients see them.
    pub fn shown_options(&self) -> Map<String, Value> {
        self.with_started(self.options()).shown(true)
    }

    /// Returns the options of a download, as clients see them.
    pub fn shown_options_of(&self, entry: &Entry) -> Map<String, Value> {
        self.with_started(&self.options_of(entry)).shown(false)
    }

    /// Adds to these options those that show the settings with which the daemon was started. An option that
    /// is set already stays. If one of the two limits of connections is set, no limit is added, because the
    /// settings then have no effect on the other limit.
    fn with_started(&self, options: &Options) -> Options {
        const LIMITS: [&str; 2] = ["max-connection-per-server", "split"];
        match LIMITS.iter().any(|name| options.is_set(name)) {
            true => options.above(&self.started.without(&LIMITS)),
            false => options.above(&self.started),
        }
    }

    /// Returns the identifier of the store: 40 hexadecimal digits.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Returns the progress of a download.
    pub fn current(&self, entry: &Entry) -> Current {
        let Entry { completed, total, .. } = *entry;
        match self.live.get(&entry.gid) {
            Some(live) => Current {
                completed: if live.is_known { live.completed } else { completed },
                total: live.total.or(total),
                speed: live.speed(),
                connections: live.connections,
            },
            None => Current { completed, total, speed: 0, connections: 0 },
        }
    }

    /// Returns until when and why an active download waits, or `None` if it does not wait.
    pub fn wait(&self, gid: Gid) -> Option<&Wait> {
        self.live.get(&gid)?.wait.as_ref()
    }

    /// Returns the byte ranges of an active download that are on the disk, in order.
    pub fn ranges(&self, gid: Gid) -> &[Range<u64>] {
        self.live.get(&gid).map_or(&[], |live| &live.ranges)
    }

    /// Returns the speed of all downloads together in bytes a second.
    pub fn speed(&self) -> u64 {
        self.live.values().map(Live::speed).sum()
    }

    /// Returns the number of downloads that have ended.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// From now on, no more downloads begin. Saves the progress of the active downloads, which begin again
    /// after the next start of the daemon.
    pub fn shut_down(&mut self) {
        self.stopping = true;
        let active: Vec<Entry> =
            self.queue.iter(Sequence::Active).map(|entry| self.with_progress(entry)).collect();
        self.save_all_or_keep(active);
    }

    fn complete(
        &mut self,
        entry: &Entry,
        path: PathBuf,
        bytes: Option<u64>,
        proven: &str,
        saved: Option<Saved>,
        now: u64,
    ) -> Vec<Effect> {
        let total = bytes.or(entry.total);
        let mut done = Entry {
            state: entry::State::Complete,
            rank: self.queue.last(Sequence::Over),
            path: Some(path),
            total,
            completed: total.unwrap_or_default(),
            proven: Some(proven.into()),
            error: None,
            times: (entry.times.0, Some(now)),
            former: Vec::new(),
            saved,
            ..entry.clone()
        };
        let left = self.deletions_of_former(entry);
        let followers = self.followers(&mut done, now).unwrap_or_else(|fault| {
            (done.state, done.error) = (entry::State::Error, Some(fault.failure()));
            Vec::new()
        });
        let notice = if done.error.is_some() { Notice::Error } else { Notice::Complete };
        let added = done.followed_by.clone();
        self.save_all_or_keep([vec![done], followers].concat());
        let told = self.added(&added);
        let forgotten = self.after_end(&[added.as_slice(), &[entry.gid]].concat());
        told.into_iter().chain([Effect::Tell(notice, entry.gid)]).chain(forgotten).chain(left).collect()
    }

    fn fail(&mut self, entry: &Entry, error: (String, String), now: u64) -> Vec<Effect> {
        let times = (entry.times.0, Some(now));
        let forgotten = self.end_or_keep(Entry {
            state: entry::State::Error,
            error: Some(error),
            times,
            ..self.with_progress(entry)
        });
        [Effect::Tell(Notice::Error, entry.gid)].into_iter().chain(forgotten).collect()
    }

    /// Returns a copy of the download with its present progress.
    fn with_progress(&self, entry: &Entry) -> Entry {
        let Current { completed, total, .. } = self.current(entry);
        Entry { completed, total, ..entry.clone() }
    }

    /// Saves the end of a download. If too many downloads have ended, forgets the oldest of them, as
    /// [`State::after_end`] does. Returns the effects of forgetting them.
    fn end(&mut self, entry: Entry) -> Result<Vec<Effect>, Fault> {
        let gid = entry.gid;
        self.save(vec![Entry { rank: self.queue.last(Sequence::Over), ..entry }])?;
        Ok(self.after_end(&[gid]))
    }

    /// Does the same as [`State::end`] for a download that has ended already. If the end cannot be saved,
    /// the download begins again after the next start.
    fn end_or_keep(&mut self, entry: Entry) -> Vec<Effect> {
        let gid = entry.gid;
        self.save_or_keep(Entry { rank: self.queue.last(Sequence::Over), ..entry });
        self.after_end(&[gid])
    }

    /// Counts the downloads in `gids` that have ended, and removes what is known about their progress. Then
    /// forgets the oldest downloads that have ended, if there are more of them than the option
    /// `max-download-result` allows. Returns the effects of forgetting them.
    fn after_end(&mut self, gids: &[Gid]) -> Vec<Effect> {
        for gid in gids {
            if self.queue.get(*gid).is_some_and(|entry| entry.state.is_over()) {
                self.live.remove(gid);
                self.ended += 1;
            }
        }
        // The download that ended last is always kept, because clients and hooks are told about it next.
        let most = usize::try_from(self.options().number("max-download-result")).unwrap_or(usize::MAX).max(1);
        let surplus = self.queue.len(Sequence::Over).saturating_sub(most);
        let oldest: Vec<Gid> = self.queue.iter(Sequence::Over).take(surplus).map(|entry| entry.gid).collect();
        if oldest.is_empty() {
            return Vec::new();
        }
        if let Err(error) = self.store.remove(&oldest) {
            tracing::error!("old downloads that have ended could not be removed from the database: {error}");
            return Vec::new();
        }
        oldest.iter().for_each(|gid| self.queue.remove(*gid));
        oldest.into_iter().map(|gid| Effect::Tell(Notice::Gone, gid)).collect()
    }

    fn save(&mut self, entries: Vec<Entry>) -> Result<(), Fault> {
        self.store.save(&entries)?;
        self.queue.put_all(entries);
        Ok(())
    }

    fn save_or_keep(&mut self, entry: Entry) {
        self.save_all_or_keep(vec![entry]);
    }

    /// Saves changes that have happened already. Even if they cannot be saved, they are made in the queue.
    fn save_all_or_keep(&mut self, entries: Vec<Entry>) {
        if let Err(error) = self.store.save(&entries) {
            tracing::error!("the downloads could not be saved: {error}");
        }
        self.queue.put_all(entries);
    }
}
