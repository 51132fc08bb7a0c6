//! Removes downloads, with or without their files.
//!
//! Invariant: a file is deleted only if its download was removed with its files, no job writes the file any
//! more, and the file is below an allowed folder. There is one exception: if a client changed a download, the
//! partial file that the download had before the change is also deleted when the download becomes complete. A
//! finished file is deleted only if it is still the file that the download saved.

use super::changes::over;
use super::{Changed, Effect, Notice, State};
use crate::entry::{self, Entry, Former, Saved};
use crate::fault::Fault;
use crate::gid::Gid;
use crate::job;
use crate::queue::Sequence;
use downhaul_engine::core::error::ErrorKind;
use downhaul_engine::{Job, Settings};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The files of a download that must be deleted: the partial file with its journal, and perhaps the finished
/// file.
#[derive(Debug, PartialEq)]
pub struct Deletion {
    job: Job,
    /// The path of the finished file. The paths of the other files follow from it.
    path: PathBuf,
    /// True if the finished file is deleted too.
    is_whole: bool,
}

impl Deletion {
    /// Deletes the files, as far as they exist. `settings` are the settings of the session.
    pub(crate) fn carry_out(&self, settings: &Settings) {
        if let Err(error) = downhaul_engine::delete_partial(settings, &self.job, &self.path) {
            tracing::error!("a partial file could not be deleted: {error}");
        }
        match self.is_whole.then(|| std::fs::remove_file(&self.path)) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!("{} could not be deleted: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

impl State {
    /// Removes a download. A queued download is forgotten. An active download gets the state `removed`, and
    /// clients still see it. The partial file is kept. `now` is the time in milliseconds since the Unix
    /// epoch.
    ///
    /// # Errors
    /// Returns a fault if the download does not exist or has ended, or if the change cannot be saved.
    pub fn remove(&mut self, gid: Gid, now: u64) -> Changed<()> {
        let entry = Some(self.known(gid)?.clone()).filter(|entry| !entry.state.is_over());
        let entry =
            entry.ok_or_else(|| over(format!("Active Download not found for GID#{gid}"), "removed"))?;
        if entry.state.is_queued() {
            self.store.remove(&[gid])?;
            self.queue.remove(gid);
            return Ok(((), vec![Effect::Tell(Notice::Gone, gid)]));
        }
        let error = Some((ErrorKind::JobRemoved.code().into(), "the download was removed".into()));
        let times = (entry.times.0, Some(now));
        let ended = Entry { state: entry::State::Removed, error, times, ..self.with_progress(&entry) };
        let forgotten = self.end(ended)?;
        let stopped = [Effect::Tell(Notice::Stop, gid)].into_iter().chain(self.stop(gid));
        Ok(((), stopped.chain(forgotten).collect()))
    }

    /// Removes a download with its partial file, or with its complete file. The download is forgotten. If the
    /// complete file may belong to another download or program, the file is kept, and a message with the
    /// reason is returned.
    ///
    /// # Errors
    /// Returns a fault if the download does not exist, if the files may not be deleted, or if the change
    /// cannot be saved.
    pub fn remove_with_files(&mut self, gid: Gid) -> Changed<Option<String>> {
        let entry = self.known(gid)?.clone();
        let stays = self.why_it_stays(&entry);
        let is_whole = entry.state == entry::State::Complete && stays.is_none();
        let deletion = self.deletion(&entry, entry.path.clone(), is_whole);
        if entry.path.is_some() && deletion.is_none() {
            let why = "The files of the download cannot be deleted, because they are in a folder that the daemon \
                may not use. Remove the download without its files.";
            return Err(Fault::refused(why));
        }
        self.store.remove(&[gid])?;
        self.queue.remove(gid);
        self.live.remove(&gid);
        let mut effects = vec![Effect::Tell(Notice::Gone, gid)];
        effects.extend(self.deletions_of_former(&entry));
        let is_shared = entry.path.as_ref().is_some_and(|path| self.unfinished_paths(gid).contains(&path));
        // An earlier download with the same identifier may have been removed before, and its job may not have
        // ended yet.
        let added = entry.times.0;
        let is_own = |made: &Entry| made.gid == gid && made.times.0 == added;
        if let Some((job, run)) = self.runs.iter_mut().find(|(_, run)| is_own(&run.made)) {
            // The files of the download are deleted when the job has ended.
            (run.is_stopping, run.discards) = (true, true);
            effects.push(Effect::Discard(*job));
        } else if let Some(beginning) = self.beginning.as_mut().filter(|one| is_own(&one.made)) {
            beginning.discards = true;
        } else if !is_shared {
            effects.extend(deletion);
        }
        Ok((stays, effects))
    }

    /// Returns the reason why the file at the path of a complete download must be kept when the download is
    /// removed with its files. Returns `None` if the file may be deleted, if there is no file, or if the
    /// download is not complete.
    fn why_it_stays(&self, entry: &Entry) -> Option<String> {
        let path = entry.path.as_ref().filter(|_| entry.state == entry::State::Complete)?;
        let there = Saved::of(path)?;
        let is_newer = |other: &&Arc<Entry>| {
            other.state == entry::State::Complete
                && other.gid != entry.gid
                && other.path == entry.path
                && other.times.1 >= entry.times.1
        };
        let why = match &entry.saved {
            None => "the download did not save it",
            Some(saved) if *saved != there => "it was changed or replaced after the download saved it",
            Some(_) if self.queue.iter(Sequence::Over).any(|other| is_newer(&other)) => {
                "it belongs to a newer download"
            }
            Some(_) if self.unfinished_paths(entry.gid).contains(&path) => {
                "another download that is not complete has this path"
            }
            Some(_) => return None,
        };
        Some(format!("The file {} was not deleted: {why}.", path.display()))
    }

    /// Returns the effect that deletes the partial file of a download. If `is_whole` is true, the effect also
    /// deletes the finished file. `path` is the path of the finished file. Returns `None` if the path is not
    /// known or not allowed, or if the download cannot become a job.
    pub(super) fn deletion(&self, entry: &Entry, path: Option<PathBuf>, is_whole: bool) -> Option<Effect> {
        let path =
            path.filter(|path| path.parent().is_some_and(|folder| self.folders.allow(folder).is_ok()))?;
        let job = job::of(entry, &self.options_of(entry), &self.folders).ok()?;
        Some(Effect::Delete(Box::new(Deletion { job, path, is_whole })))
    }

    /// Returns the effects that delete the partial files that a download had before clients changed it. A
    /// file is kept if another download that is not complete has the same path, because that download may
    /// write or continue the file.
    pub(super) fn deletions_of_former(&self, entry: &Entry) -> Vec<Effect> {
        if entry.former.is_empty() {
            return Vec::new();
        }
        let paths = self.unfinished_paths(entry.gid);
        let former = entry.former.iter().filter(|former| !paths.contains(&&former.path)).map(|former| {
            let Former { path, uris, options } = former.clone();
            Entry { path: Some(path), uris, options, ..entry.clone() }
        });
        former.filter_map(|former| self.deletion(&former, former.path.clone(), false)).collect()
    }

    /// Returns the paths of the downloads that are not complete. The path of the download `except` is left
    /// out.
    fn unfinished_paths(&self, except: Gid) -> Vec<&PathBuf> {
        let all = [Sequence::Active, Sequence::Queued, Sequence::Over].into_iter();
        let others = all.flat_map(|sequence| self.queue.iter(sequence));
        let others = others.filter(|other| other.gid != except && other.state != entry::State::Complete);
        others.filter_map(|other| other.path.as_ref()).collect()
    }

    /// Forgets all downloads that are over.
    ///
    /// # Errors
    /// Returns a fault if the change cannot be saved.
    pub fn forget_all(&mut self) -> Changed<()> {
        let gids: Vec<Gid> = self.queue.iter(Sequence::Over).map(|entry| entry.gid).collect();
        self.forget(&gids)
    }

    /// Forgets downloads that are over.
    ///
    /// # Errors
    /// Returns a fault if one of the downloads does not exist or is not over, or if the change cannot be
    /// saved. In all these cases, no download is forgotten.
    pub fn forget(&mut self, gids: &[Gid]) -> Changed<()> {
        for &gid in gids {
            if !self.known(gid)?.state.is_over() {
                let fault = Fault::refused(format!("Could not remove download result of GID#{gid}"));
                return Err(fault.in_words("The download is not over."));
            }
        }
        self.store.remove(gids)?;
        gids.iter().for_each(|gid| self.queue.remove(*gid));
        Ok(((), gids.iter().map(|&gid| Effect::Tell(Notice::Gone, gid)).collect()))
    }
}
