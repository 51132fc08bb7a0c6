//! Begins downloads in the library, and records their progress and their end.
//!
//! Invariant: the beginning or the end of a download is saved before clients are told about it. If saving
//! fails, clients are still told.

use super::changes::begins_again;
use super::{Effect, Notice, State};
use crate::entry::{self, Entry, Saved};
use crate::fault::Fault;
use crate::gid::Gid;
use crate::job;
use crate::live::Live;
use crate::network;
use crate::options::Options;
use crate::queue::Sequence;
use downhaul_engine::core::event::Failure;
use downhaul_engine::{ErrorKind, Event, EventKind, IDLE_MOST, Job, JobId, Progress};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The advice after the message about an existing file that the download must not replace.
const AWAY: &str = ". Move that file away, then resume the download.";

/// The highest number of active downloads, even if a client requests more. Each of them has its own plan in
/// memory, and all of them share the connections of the session.
const ACTIVE_MOST: usize = 1000;

/// A job of the library.
pub(super) struct Run {
    pub(super) gid: Gid,
    /// The download as it was when its job was made.
    pub(super) made: Arc<Entry>,
    /// The path of the file, once it is known.
    pub(super) path: Option<PathBuf>,
    /// True if the job was told to stop, and the download is not active any more.
    pub(super) is_stopping: bool,
    /// True if the download was removed with its files. The files are deleted when the job has ended.
    pub(super) discards: bool,
}

/// A download whose job is being added to the library.
pub(super) struct Beginning {
    /// The download as it was when its job was made.
    pub(super) made: Arc<Entry>,
    /// True if the download was removed with its files while the job was being added.
    pub(super) discards: bool,
}

impl State {
    /// Returns the job of the next download that may begin, and the options of its network ([`network`]). If
    /// the job of a download cannot be made, the download fails, and the next download is tried. Also returns
    /// the effects that must follow. `now` is the time in milliseconds since the Unix epoch.
    pub fn next(&mut self, now: u64) -> (Option<(Job, Options)>, Vec<Effect>) {
        let mut effects = Vec::new();
        while !self.stopping && self.may_begin() {
            let may_begin = |entry: &&Arc<Entry>| self.job_of(entry.gid).is_none();
            let Some(entry) = self.queue.waiting().find(may_begin).cloned() else { break };
            match job::of(&entry, &self.options_of(&entry), &self.folders) {
                Ok(job) => {
                    let rank = self.queue.last(Sequence::Active);
                    self.save_or_keep(Entry { state: entry::State::Active, rank, ..(*entry).clone() });
                    self.live.insert(entry.gid, Live::default());
                    effects.push(Effect::Tell(Notice::Start, entry.gid));
                    let network = self.network_of(&entry);
                    self.beginning = Some(Beginning { made: entry, discards: false });
                    return (Some((job, network)), effects);
                }
                Err(fault) => effects.extend(self.fail(&entry, fault.failure(), now)),
            }
        }
        (None, effects)
    }

    /// Returns true if one more download may be active. A download that waits for its host, or for another
    /// run that is working on its file, leaves its place to another download.
    fn may_begin(&self) -> bool {
        // A download that begins again keeps its place until the job from before has ended.
        let begins_again =
            |gid: Gid| self.queue.get(gid).is_some_and(|entry| entry.state == entry::State::Waiting);
        let stopping = self.runs.values().filter(|run| run.is_stopping && begins_again(run.gid)).count();
        let active = self.queue.len(Sequence::Active) + stopping;
        let waits = self.live.values().filter(|live| live.wait.as_ref().is_some_and(|wait| wait.is_idle));
        let idle = waits.count();
        active.saturating_sub(idle) < self.most_active() && active < ACTIVE_MOST && idle < IDLE_MOST
    }

    /// Returns how many downloads may be active at once, besides downloads that wait for a host or for
    /// another run.
    pub fn most_active(&self) -> usize {
        let most = usize::try_from(self.options().number("max-concurrent-downloads"));
        most.unwrap_or(usize::MAX).min(ACTIVE_MOST)
    }

    /// Returns the options of the network of a download. If the download itself sets no such option, returns
    /// no options: the download then uses the settings with which the daemon was started.
    fn network_of(&self, entry: &Entry) -> Options {
        let own = network::of(&entry.options);
        if own == Options::default() { own } else { network::of(&self.options_of(entry)) }
    }

    /// Returns the options of the networks of the jobs that have not ended.
    pub fn networks_in_use(&self) -> Vec<Options> {
        self.runs.values().map(|run| self.network_of(&run.made)).collect()
    }

    /// Records that the download that [`State::next`] returned cannot begin, because of `fault`. Returns the
    /// effects that must follow. `now` is the time in milliseconds since the Unix epoch.
    pub fn refused(&mut self, fault: Fault, now: u64) -> Vec<Effect> {
        let beginning = self.beginning.take();
        let entry = beginning.and_then(|one| self.queue.get(one.made.gid).cloned());
        let entry = entry.filter(|entry| entry.state == entry::State::Active);
        entry.map_or(Vec::new(), |entry| self.fail(&entry, fault.failure(), now))
    }

    /// Records the job that the library started for the download that [`State::next`] returned. Since the job
    /// was made, a client may have paused or removed the download, or changed its rate limit. The returned
    /// effect applies such a change to the job.
    pub fn began(&mut self, job: JobId) -> Option<Effect> {
        let Beginning { made, discards } = self.beginning.take()?;
        let gid = made.gid;
        let active = self.queue.get(gid).filter(|entry| entry.state == entry::State::Active);
        let effect = match active {
            Some(entry) => Effect::Limit(job, job::limit(&self.options_of(entry))),
            None if discards => Effect::Discard(job),
            None => Effect::Stop(job),
        };
        let is_stopping = active.is_none();
        self.runs.insert(job, Run { gid, path: made.path.clone(), made, is_stopping, discards });
        Some(effect)
    }

    /// Applies an event of the library, and returns the effects that must follow. `now` is the time in
    /// milliseconds since the Unix epoch.
    pub fn on_event(&mut self, event: &Event, now: u64) -> Vec<Effect> {
        let Some(job) = event.job else { return Vec::new() };
        let Some(run) = self.runs.get_mut(&job) else { return Vec::new() };
        if let EventKind::Started { path, .. } | EventKind::Finished { path, .. } = &event.kind {
            run.path = Some(path.into());
        }
        let (gid, is_stopping, made) = (run.gid, run.is_stopping, run.made.clone());
        let ends = matches!(
            event.kind,
            EventKind::Finished { .. } | EventKind::Skipped { .. } | EventKind::Failed { .. }
        );
        if let Some(run) = ends.then(|| self.runs.remove(&job)).flatten().filter(|run| run.discards) {
            let is_whole = matches!(event.kind, EventKind::Finished { .. });
            return self.deletion(&run.made, run.path, is_whole).into_iter().collect();
        }
        // A client may have removed the download, and added another one with the same identifier.
        let entry = self.queue.get(gid).filter(|entry| entry.times.0 == made.times.0);
        let Some(entry) = entry.cloned() else { return Vec::new() };
        if let Some(live) = self.live.get_mut(&gid).filter(|_| !is_stopping) {
            live.on_event(&event.kind, now);
        }
        match &event.kind {
            // A client has changed the URLs or the options since the job was made. For instance, another
            // digest is expected now. The result of the old job proves nothing, so the next job checks the
            // file or downloads it again.
            _ if ends && is_stopping && begins_again(&made, &entry) => Vec::new(),
            // The next job of a download that was just paused continues the same partial file. If a client
            // has changed the folder or the name of the download, the next job begins with a new file.
            EventKind::Started { path, size, .. }
                if !entry.state.is_over()
                    && self.has_same_name(&entry, &made)
                    && (!is_stopping || entry.path.is_none()) =>
            {
                let entry = Entry { path: Some(path.into()), total: *size, ..(*entry).clone() };
                self.save_or_keep(entry);
                Vec::new()
            }
            // A download that was just paused may still become complete.
            EventKind::Finished { path, bytes, proven, .. } if !entry.state.is_over() => {
                let saved = Saved::of(Path::new(path));
                self.complete(&entry, path.into(), Some(*bytes), proven, saved, now)
            }
            EventKind::Skipped { path, bytes, reason, .. }
                if event.kind.has_nothing_left() && !entry.state.is_over() =>
            {
                // It is not known which download or program saved this file, so it is never deleted with the
                // download.
                self.complete(&entry, path.into(), *bytes, reason, None, now)
            }
            EventKind::Skipped { .. } if !is_stopping => {
                let locked = ErrorKind::FileLocked;
                self.fail(&entry, (locked.code().into(), locked.meaning().into()), now)
            }
            EventKind::Failed { error, .. } if !is_stopping && !self.stopping => {
                let entry = Entry { http_status: error.http_status, ..(*entry).clone() };
                self.fail(&entry, (error.code.clone(), message_of(error)), now)
            }
            _ => Vec::new(),
        }
    }

    /// Adds a measurement of the progress of all active downloads. Returns true if the wait of one of them is
    /// over. If [`IDLE_MOST`] downloads waited before, another download may then begin.
    pub fn measure(&mut self, samples: &[Progress]) -> bool {
        let (now, mut has_waited) = (Instant::now(), false);
        for sample in samples {
            if let Some(run) = self.runs.get(&sample.job).filter(|run| !run.is_stopping)
                && let Some(live) = self.live.get_mut(&run.gid)
            {
                let waited = live.wait.is_some();
                live.measure(now, sample);
                has_waited |= waited && live.wait.is_none();
            }
        }
        has_waited
    }

    /// Returns the job of the library that a download has, even if the job was told to stop.
    pub(super) fn job_of(&self, gid: Gid) -> Option<JobId> {
        self.runs.iter().find(|(_, run)| run.gid == gid).map(|(job, _)| *job)
    }

    /// Marks the job of a download as stopping, and returns the effect that stops it.
    pub(super) fn stop(&mut self, gid: Gid) -> Option<Effect> {
        self.live.remove(&gid);
        let job = self.job_of(gid)?;
        self.runs.get_mut(&job)?.is_stopping = true;
        Some(Effect::Stop(job))
    }

    /// Returns true if `one` and `other`, which are the same download before and after a change, have the
    /// same folder, and the same name in their options.
    pub(super) fn has_same_name(&self, one: &Entry, other: &Entry) -> bool {
        self.folder(one) == self.folder(other) && self.value(one, "out") == self.value(other, "out")
    }
}

/// Returns the message about a failure. If the failure concerns a local path, the message names this path. If
/// there is an existing file that the download must not replace, the message also has advice.
fn message_of(error: &Failure) -> String {
    let advice = if error.code == ErrorKind::FileExists.code() { AWAY } else { "" };
    // A URL is not added here, because clients show it beside the message.
    match Path::new(&error.at).is_absolute() && !error.message.contains(&error.at) {
        true => format!("{} ({}){advice}", error.message, error.at),
        false => format!("{}{advice}", error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_engine::Error;

    #[test]
    fn the_message_about_a_failure_of_the_disk_has_the_path() {
        let message = |kind, at, why| message_of(&Failure::from(&Error::new(kind, at, why)));
        let denied = message(ErrorKind::DiskPermission, "/d/a.part", "Permission denied (os error 13)");
        assert!(denied.ends_with("Permission denied (os error 13) (/d/a.part)"), "{denied}");
        let exists = message(ErrorKind::FileExists, "/d/a", "");
        assert!(exists.ends_with("(/d/a). Move that file away, then resume the download."), "{exists}");
        assert!(!message(ErrorKind::HttpNotFound, "http://h/a", "404").contains("http://h/a"));
    }
}
