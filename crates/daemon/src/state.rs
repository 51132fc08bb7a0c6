//! [`State`]: the downloads, their order, which of them the library runs, and the options of the daemon.
//!
//! Every change is saved before it is made, so a client that got an answer finds its change after any kill.
//! The beginning of a download is not saved: after a kill it waits again, at its place in the order.
//!
//! Invariant: at most one job of the library exists for a download. A download that was paused or removed can
//! begin again only when its job has ended.

mod changes;

use crate::entry::{self, Entry};
use crate::fault::Fault;
use crate::folders::Folders;
use crate::gid::Gid;
use crate::job;
use crate::live::Live;
use crate::options::Options;
use crate::queue::{Queue, Sequence};
use crate::store::Store;
use downhaul_engine::{ErrorKind, Event, EventKind, Job, JobId, Progress};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What clients are told about. Those of aria2 are told about the first five (`aria2.onDownloadStart` and so
/// on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The download began.
    Start,
    /// It was paused.
    Pause,
    /// It was removed while it was active.
    Stop,
    /// The file is complete.
    Complete,
    /// It failed.
    Error,
    /// It was added, or it changed in another way: its place, its options, its URLs.
    Changed,
    /// It was removed, and is not known any more.
    Gone,
}

/// What has to be done outside of the state, after a change.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell the clients.
    Tell(Notice, Gid),
    /// Stop this job of the library, and keep its partial file.
    Stop(JobId),
    /// Stop this job of the library, and delete its partial file.
    Discard(JobId),
    /// Delete these files, as far as they exist.
    Delete(Vec<PathBuf>),
    /// Limit this job of the library to so many bytes a second.
    Limit(JobId, Option<u64>),
    /// Limit all jobs together to so many bytes a second.
    LimitAll(Option<u64>),
}

/// The code of a download whose URL or options cannot be used.
const REFUSED: &str = "url.invalid";

/// The result of a change, and what has to be done after it.
pub type Changed<T> = Result<(T, Vec<Effect>), Fault>;

/// A job of the library.
struct Run {
    gid: Gid,
    /// True if it was told to stop, and the download is not active any more.
    is_stopping: bool,
}

/// The state of the daemon.
pub struct State {
    queue: Queue,
    store: Store,
    options: Options,
    folders: Folders,
    /// The jobs of the library that have not ended.
    runs: HashMap<JobId, Run>,
    live: HashMap<Gid, Live>,
    /// The number of downloads that have ended since the start of the daemon.
    ended: u64,
    session: String,
    stopping: bool,
}

impl State {
    /// Returns the state that is in a store. `given` are the options with which the daemon was started. They
    /// replace those that clients have set.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub fn load(store: Store, folders: Folders, given: &Options) -> rusqlite::Result<State> {
        let session = store.session(|| (0..5).map(|_| format!("{:08x}", fastrand::u32(..))).collect())?;
        let mut options = store.options()?;
        options.extend(given.clone());
        if options.get("dir").is_none() {
            // The default folder is a value that `dir` may have, so setting it does not fail.
            let _ = options.set("dir", &folders.default().to_string_lossy());
        }
        let mut queue = Queue::default();
        let (active, others): (Vec<_>, Vec<_>) =
            store.downloads()?.into_iter().partition(|entry| entry.state == entry::State::Active);
        others.into_iter().for_each(|entry| queue.put(entry));
        // The downloads that were active go first, in their order.
        for entry in active.into_iter().rev() {
            let rank = queue.first(Sequence::Queued);
            queue.put(Entry { state: entry::State::Waiting, rank, ..entry });
        }
        let (runs, live) = (HashMap::new(), HashMap::new());
        Ok(State { queue, store, options, folders, runs, live, ended: 0, session, stopping: false })
    }

    /// Returns the downloads.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Returns the options of the daemon.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the identifier of the store: 40 hexadecimal digits.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Returns the progress of an active download.
    pub fn live(&self, gid: Gid) -> Option<&Live> {
        self.live.get(&gid)
    }

    /// Returns the speed of all downloads together in bytes a second.
    pub fn speed(&self) -> u64 {
        self.live.values().map(Live::speed).sum()
    }

    /// Returns the number of downloads that have ended since the start of the daemon.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Returns the next download that may begin, with its job. A download whose job cannot be made has
    /// failed.
    pub fn next(&mut self, now: u64) -> (Option<(Gid, Job)>, Vec<Effect>) {
        let mut effects = Vec::new();
        let most = usize::try_from(self.options.number("max-concurrent-downloads")).unwrap_or(usize::MAX);
        while !self.stopping && self.queue.len(Sequence::Active) < most {
            let may_begin = |entry: &&Arc<Entry>| self.job_of(entry.gid).is_none();
            let Some(entry) = self.queue.waiting().find(may_begin).cloned() else { break };
            match job::of(&entry, &self.folders) {
                Ok(job) => {
                    let rank = self.queue.last(Sequence::Active);
                    self.queue.put(Entry { state: entry::State::Active, rank, ..(*entry).clone() });
                    self.live.insert(entry.gid, Live::default());
                    effects.push(Effect::Tell(Notice::Start, entry.gid));
                    return (Some((entry.gid, job)), effects);
                }
                Err(fault) => effects.extend(self.fail(&entry, (REFUSED.into(), fault.message), now)),
            }
        }
        (None, effects)
    }

    /// Records which job of the library a download has. The download may have been paused, removed or limited
    /// since its job was made.
    pub fn began(&mut self, gid: Gid, job: JobId) -> Effect {
        let active = self.queue.get(gid).filter(|entry| entry.state == entry::State::Active);
        let effect = active.map_or(Effect::Stop(job), |entry| Effect::Limit(job, job::limit(&entry.options)));
        self.runs.insert(job, Run { gid, is_stopping: active.is_none() });
        effect
    }

    /// Applies an event of the library.
    pub fn on_event(&mut self, event: &Event, now: u64) -> Vec<Effect> {
        let Some(job) = event.job else { return Vec::new() };
        let Some(run) = self.runs.get(&job) else { return Vec::new() };
        let (gid, is_stopping) = (run.gid, run.is_stopping);
        let ends = matches!(
            event.kind,
            EventKind::Finished { .. } | EventKind::Skipped { .. } | EventKind::Failed { .. }
        );
        if ends {
            self.runs.remove(&job);
        }
        let Some(entry) = self.queue.get(gid).cloned() else { return Vec::new() };
        match &event.kind {
            // The next run of a download that was just paused continues the same partial file.
            EventKind::Started { path, size, .. }
                if !entry.state.is_over() && (!is_stopping || entry.path.is_none()) =>
            {
                let entry = Entry { path: Some(path.into()), total: *size, ..(*entry).clone() };
                self.save_or_keep(entry);
                Vec::new()
            }
            // A download that was just paused may still become complete.
            EventKind::Finished { path, bytes, proven, .. } if !entry.state.is_over() => {
                self.complete(&entry, path.into(), Some(*bytes), proven, now)
            }
            EventKind::Skipped { path, bytes, reason, .. }
                if event.kind.is_complete() && !entry.state.is_over() =>
            {
                self.complete(&entry, path.into(), *bytes, reason, now)
            }
            EventKind::Skipped { reason, .. } if !is_stopping => {
                self.fail(&entry, (ErrorKind::FileLocked.code().into(), reason.clone()), now)
            }
            EventKind::Failed { error, .. } if !is_stopping && !self.stopping => {
                let entry = Entry { http_status: error.http_status, ..(*entry).clone() };
                self.fail(&entry, (error.code.clone(), error.message.clone()), now)
            }
            _ => Vec::new(),
        }
    }

    /// Adds a measurement of the progress of all active downloads.
    pub fn measure(&mut self, samples: &[Progress]) {
        let now = Instant::now();
        for sample in samples {
            if let Some(run) = self.runs.get(&sample.job).filter(|run| !run.is_stopping)
                && let Some(live) = self.live.get_mut(&run.gid)
            {
                live.measure(now, sample);
            }
        }
    }

    /// Begins no more downloads. Those that are active begin again after the next start of the daemon.
    pub fn shut_down(&mut self) {
        self.stopping = true;
        let active: Vec<Entry> = self.queue.iter(Sequence::Active).map(|entry| self.current(entry)).collect();
        active.into_iter().for_each(|entry| self.save_or_keep(entry));
    }

    fn complete(
        &mut self,
        entry: &Entry,
        path: PathBuf,
        bytes: Option<u64>,
        proven: &str,
        now: u64,
    ) -> Vec<Effect> {
        let total = bytes.or(entry.total);
        let done = Entry {
            state: entry::State::Complete,
            path: Some(path),
            total,
            completed: total.unwrap_or_default(),
            proven: Some(proven.into()),
            error: None,
            times: (entry.times.0, Some(now)),
            ..entry.clone()
        };
        self.end_or_keep(done);
        vec![Effect::Tell(Notice::Complete, entry.gid)]
    }

    fn fail(&mut self, entry: &Entry, error: (String, String), now: u64) -> Vec<Effect> {
        let times = (entry.times.0, Some(now));
        self.end_or_keep(Entry {
            state: entry::State::Error,
            error: Some(error),
            times,
            ..self.current(entry)
        });
        vec![Effect::Tell(Notice::Error, entry.gid)]
    }

    /// Returns the download with its progress.
    fn current(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        if let Some(live) = self.live.get(&entry.gid) {
            entry.completed = live.completed.max(entry.completed);
            entry.total = live.total.or(entry.total);
        }
        entry
    }

    /// Returns the job of the library that a download has, even if it was told to stop.
    fn job_of(&self, gid: Gid) -> Option<JobId> {
        self.runs.iter().find(|(_, run)| run.gid == gid).map(|(job, _)| *job)
    }

    /// Marks the job of a download as stopping.
    fn stop(&mut self, gid: Gid) -> Option<Effect> {
        self.live.remove(&gid);
        let job = self.job_of(gid)?;
        self.runs.get_mut(&job)?.is_stopping = true;
        Some(Effect::Stop(job))
    }

    /// Saves the end of a download, and forgets the oldest results.
    fn end(&mut self, entry: Entry) -> Result<(), Fault> {
        let gid = entry.gid;
        self.save(vec![Entry { rank: self.queue.last(Sequence::Over), ..entry }])?;
        self.after_end(gid);
        Ok(())
    }

    /// Like [`State::end`], for an end that has happened in any case. If it cannot be saved, the download is
    /// looked at again after the next start: a complete file is then found on the disk.
    fn end_or_keep(&mut self, entry: Entry) {
        let gid = entry.gid;
        self.save_or_keep(Entry { rank: self.queue.last(Sequence::Over), ..entry });
        self.after_end(gid);
    }

    fn after_end(&mut self, gid: Gid) {
        self.live.remove(&gid);
        self.ended += 1;
        // The last result is kept in any case, because clients and hooks are told about it next.
        let most = usize::try_from(self.options.number("max-download-result")).unwrap_or(usize::MAX).max(1);
        let surplus = self.queue.len(Sequence::Over).saturating_sub(most);
        let oldest: Vec<Gid> = self.queue.iter(Sequence::Over).take(surplus).map(|entry| entry.gid).collect();
        if let Err(error) = self.store.remove(&oldest) {
            return tracing::error!("old results could not be removed: {error}");
        }
        oldest.into_iter().for_each(|gid| self.queue.remove(gid));
    }

    fn save(&mut self, entries: Vec<Entry>) -> Result<(), Fault> {
        self.store.save(&entries)?;
        self.queue.put_all(entries);
        Ok(())
    }

    fn save_or_keep(&mut self, entry: Entry) {
        if let Err(error) = self.store.save(std::slice::from_ref(&entry)) {
            tracing::error!("the download {} could not be saved: {error}", entry.gid);
        }
        self.queue.put(entry);
    }
}
