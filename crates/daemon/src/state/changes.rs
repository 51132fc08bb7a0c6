//! The changes that clients make.
//!
//! Invariant: a change that is refused, or that cannot be saved, changes nothing.

use super::{Changed, Effect, Notice, State};
use crate::entry::{self, Entry};
use crate::fault::Fault;
use crate::gid::Gid;
use crate::job;
use crate::options::Options;
use crate::queue::{Place, Sequence};
use downhaul_engine::ErrorKind;
use downhaul_engine::core::name::side_files;
use std::path::Path;

impl State {
    /// Adds a download at a position of the queue, or at its end. The client may choose the identifier.
    ///
    /// # Errors
    /// Returns a fault if an option or the identifier cannot be used.
    pub fn add(&mut self, uris: Vec<String>, own: Options, position: Option<i64>, now: u64) -> Changed<Gid> {
        let mut options = self.options.of_downloads();
        options.extend(own.of_downloads());
        job::check(&uris, &options, &self.folders)?;
        let gid = match options.get("gid") {
            None => self.new_gid(),
            Some(text) => {
                let gid = Gid::read(text).ok_or_else(|| Fault::refused(format!("Invalid GID {text}")))?;
                if self.queue.get(gid).is_some() {
                    return Err(Fault::refused(format!("GID {text} is already used.")));
                }
                gid
            }
        };
        let rank = self.queue.last(Sequence::Queued);
        let entry = Entry::new(gid, rank, uris, options.without(&["gid", "pause"]), now);
        let state = if own.is_true("pause") { entry::State::Paused } else { entry::State::Waiting };
        let entry = Entry { state, ..entry };
        self.save(vec![entry])?;
        if let Some(position) = position {
            self.move_to(gid, Place::FromFront(position))?;
        }
        Ok((gid, changed(gid)))
    }

    fn new_gid(&self) -> Gid {
        loop {
            let gid = Gid::new(fastrand::u64(1..));
            if self.queue.get(gid).is_none() {
                return gid;
            }
        }
    }

    /// Moves a queued download, and returns its new position.
    ///
    /// # Errors
    /// Returns a fault if the download is not queued.
    pub fn move_to(&mut self, gid: Gid, place: Place) -> Changed<usize> {
        let missing = || Fault::refused(format!("GID#{gid} not found in the waiting queue."));
        let (at, moved) = self.queue.moved(gid, place).ok_or_else(missing)?;
        self.save(moved)?;
        Ok((at, changed(gid)))
    }

    /// Pauses downloads. An active one goes to the front of the queue.
    ///
    /// # Errors
    /// Returns a fault if one of them can't be paused. Then none is.
    pub fn pause(&mut self, gids: &[Gid]) -> Changed<()> {
        let mut changed = Vec::new();
        let mut first = self.queue.first(Sequence::Queued);
        for &gid in gids {
            let entry = self
                .queue
                .get(gid)
                .filter(|entry| matches!(entry.state, entry::State::Active | entry::State::Waiting));
            let entry = entry.ok_or_else(|| Fault::refused(format!("GID#{gid} cannot be paused now")))?;
            let rank = if entry.state == entry::State::Active { first } else { entry.rank };
            first = first.min(rank - 1);
            changed.push(Entry { state: entry::State::Paused, rank, ..self.current(entry) });
        }
        self.save(changed)?;
        let effects =
            gids.iter().flat_map(|&gid| [Effect::Tell(Notice::Pause, gid)].into_iter().chain(self.stop(gid)));
        Ok(((), effects.collect()))
    }

    /// Lets paused downloads wait for their turn.
    ///
    /// # Errors
    /// Returns a fault if one of them is not paused. Then none changes.
    pub fn resume(&mut self, gids: &[Gid]) -> Changed<()> {
        let mut changed = Vec::new();
        for &gid in gids {
            let entry = self.queue.get(gid).filter(|entry| entry.state == entry::State::Paused);
            let entry = entry.ok_or_else(|| Fault::refused(format!("GID#{gid} cannot be unpaused now")))?;
            changed.push(Entry { state: entry::State::Waiting, ..(**entry).clone() });
        }
        self.save(changed)?;
        Ok(((), gids.iter().map(|&gid| Effect::Tell(Notice::Changed, gid)).collect()))
    }

    /// Lets a download that failed or was removed wait for another try. It goes to the end of the queue.
    ///
    /// # Errors
    /// Returns a fault if the download has not failed.
    pub fn retry(&mut self, gid: Gid) -> Changed<()> {
        let entry = self
            .queue
            .get(gid)
            .filter(|entry| matches!(entry.state, entry::State::Error | entry::State::Removed));
        let entry = entry.ok_or_else(|| Fault::refused(format!("GID#{gid} has not failed")))?;
        let (rank, times) = (self.queue.last(Sequence::Queued), (entry.times.0, None));
        let again = Entry { state: entry::State::Waiting, rank, error: None, times, ..(**entry).clone() };
        self.save(vec![again])?;
        Ok(((), changed(gid)))
    }

    /// Removes a download. A queued one leaves nothing. An active one leaves a result.
    ///
    /// # Errors
    /// Returns a fault if the download has ended.
    pub fn remove(&mut self, gid: Gid, now: u64) -> Changed<()> {
        let entry = self.queue.get(gid).filter(|entry| !entry.state.is_over());
        let entry =
            entry.ok_or_else(|| Fault::refused(format!("Active Download not found for GID#{gid}")))?;
        if entry.state.is_queued() {
            self.store.remove(&[gid])?;
            self.queue.remove(gid);
            return Ok(((), vec![Effect::Tell(Notice::Gone, gid)]));
        }
        let error = Some((ErrorKind::JobRemoved.code().into(), "it was removed".into()));
        let times = (entry.times.0, Some(now));
        let ended = Entry { state: entry::State::Removed, error, times, ..self.current(entry) };
        self.end(ended)?;
        Ok(((), [Effect::Tell(Notice::Stop, gid)].into_iter().chain(self.stop(gid)).collect()))
    }

    /// Removes a download with its file and its partial file. It leaves no result.
    ///
    /// # Errors
    /// Returns a fault if the change cannot be saved.
    pub fn remove_with_files(&mut self, gid: Gid) -> Changed<()> {
        let missing = || Fault::refused(format!("GID {gid} is not found"));
        let entry = self.queue.get(gid).cloned().ok_or_else(missing)?;
        self.store.remove(&[gid])?;
        self.queue.remove(gid);
        let stopped = self.stop(gid).map(|effect| match effect {
            Effect::Stop(job) => Effect::Discard(job),
            other => other,
        });
        let mut files = Vec::new();
        if let (Some(path), None) = (&entry.path, &stopped) {
            files.extend(side_files(path).all().map(Path::to_path_buf));
            files.extend(Some(path.clone()).filter(|_| entry.state == entry::State::Complete));
        }
        let effects = [Effect::Tell(Notice::Gone, gid), Effect::Delete(files)];
        Ok(((), effects.into_iter().chain(stopped).collect()))
    }

    /// Forgets downloads that are over.
    ///
    /// # Errors
    /// Returns a fault if one of them is not over. Then none is forgotten.
    pub fn forget(&mut self, gids: &[Gid]) -> Changed<()> {
        let is_over = |gid: &Gid| self.queue.get(*gid).is_some_and(|entry| entry.state.is_over());
        if let Some(gid) = gids.iter().find(|gid| !is_over(gid)) {
            return Err(Fault::refused(format!("Could not remove download result of GID#{gid}")));
        }
        self.store.remove(gids)?;
        gids.iter().for_each(|gid| self.queue.remove(*gid));
        Ok(((), gids.iter().map(|&gid| Effect::Tell(Notice::Gone, gid)).collect()))
    }

    /// Changes options of a download that is not over. An active one begins again where it is, unless only
    /// its limit changes.
    ///
    /// # Errors
    /// Returns a fault if the download is over, or an option cannot be used.
    pub fn change_options(&mut self, gid: Gid, change: Options) -> Changed<()> {
        let entry = self.queue.get(gid).filter(|entry| !entry.state.is_over()).cloned();
        let entry = entry.ok_or_else(|| Fault::refused(format!("Cannot change option for GID#{gid}")))?;
        let change = change.of_downloads().without(&["gid", "pause"]);
        let mut options = entry.options.clone();
        options.extend(change);
        job::check(&entry.uris, &options, &self.folders)?;
        let job = self.job_of(gid);
        let only_limit =
            entry.options.without(&["max-download-limit"]) == options.without(&["max-download-limit"]);
        let limit = job::limit(&options);
        if options == entry.options {
            return Ok(((), Vec::new()));
        }
        // The name was chosen with the options from before.
        let renamed = ["dir", "out"].into_iter().any(|name| options.value(name) != entry.options.value(name));
        let path = entry.path.clone().filter(|_| !renamed);
        if entry.state != entry::State::Active || only_limit {
            self.save(vec![Entry { options, path, ..(*entry).clone() }])?;
            let limited = job.map(|job| Effect::Limit(job, limit));
            return Ok(((), changed(gid).into_iter().chain(limited).collect()));
        }
        let rank = self.queue.first(Sequence::Queued);
        self.save(vec![Entry { options, path, rank, state: entry::State::Waiting, ..self.current(&entry) }])?;
        Ok(((), changed(gid).into_iter().chain(self.stop(gid)).collect()))
    }

    /// Changes options of the daemon. Downloads that are added later inherit them.
    ///
    /// # Errors
    /// Returns a fault if an option cannot be used.
    pub fn change_all(&mut self, change: Options) -> Changed<()> {
        let mut options = self.options.clone();
        options.extend(change.without(&["gid", "pause", "out", "checksum"]));
        self.folders.allow(options.value("dir"))?;
        self.store.save_options(&options)?;
        self.options = options;
        Ok(((), vec![Effect::LimitAll(self.limit())]))
    }

    /// Returns the limit of all downloads together in bytes a second.
    pub fn limit(&self) -> Option<u64> {
        Some(self.options.number("max-overall-download-limit")).filter(|rate| *rate > 0)
    }

    /// Replaces the URLs of a download, such as an expired one. Its bytes are kept.
    ///
    /// # Errors
    /// Returns a fault if the download is over.
    pub fn change_uris(&mut self, gid: Gid, uris: Vec<String>) -> Changed<()> {
        let entry = self.queue.get(gid).filter(|entry| !entry.state.is_over()).cloned();
        let entry = entry.ok_or_else(|| Fault::refused(format!("Cannot remove URIs from GID#{gid}")))?;
        if entry.uris == uris {
            return Ok(((), Vec::new()));
        }
        job::check(&uris, &entry.options, &self.folders)?;
        let queued = entry.state.is_queued();
        let (state, rank) = match queued {
            true => (entry.state, entry.rank),
            false => (entry::State::Waiting, self.queue.first(Sequence::Queued)),
        };
        self.save(vec![Entry { uris, state, rank, ..self.current(&entry) }])?;
        let stopped = if queued { None } else { self.stop(gid) };
        Ok(((), changed(gid).into_iter().chain(stopped).collect()))
    }
}

/// Returns the notice of a download that changed.
fn changed(gid: Gid) -> Vec<Effect> {
    vec![Effect::Tell(Notice::Changed, gid)]
}
