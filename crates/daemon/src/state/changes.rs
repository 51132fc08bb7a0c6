//! Makes the changes that clients request. A client can change, move, pause and resume a download, can try a
//! download again after its failure, and can change the options of the daemon.
//!
//! Invariant: a change that is refused, or that cannot be saved, changes nothing. Each change is saved in one
//! step.

use super::adding::OF_ADDING;
use super::{Changed, Effect, Notice, State};
use crate::entry::{self, Entry, Former};
use crate::fault::Fault;
use crate::gid::Gid;
use crate::job;
use crate::options::Options;
use crate::queue::{Place, Sequence};
use crate::uri;
use downhaul_engine::Job;
use std::sync::Arc;

/// A change of a download. Fields that are `None` change nothing.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// The options that get a new value.
    pub options: Option<Options>,
    /// The new URLs. The library continues the partial file if a new URL differs from the old one only in its
    /// signature, or if a strong digest is known.
    pub uris: Option<Vec<String>>,
    /// Pauses the download if true, and resumes it if false.
    pub paused: Option<bool>,
    /// Moves the download within the queue.
    pub place: Option<Place>,
}

/// The highest number of [`Former`] states that are remembered for a download. There must be a limit, because
/// a client may change the URLs or the headers of a download any number of times.
const FORMER_MOST: usize = 16;

impl State {
    /// Moves a queued download, and returns its new position.
    ///
    /// # Errors
    /// Returns a fault if the download is not queued, or if the change cannot be saved.
    pub fn move_to(&mut self, gid: Gid, place: Place) -> Changed<usize> {
        let ((), effects) = self.edit(gid, Edit { place: Some(place), ..Edit::default() })?;
        let at = self.queue.get(gid).and_then(|entry| self.queue.position(entry));
        Ok((at.unwrap_or_default(), effects))
    }

    /// Pauses downloads that wait or are active. The active downloads go to the front of the queue, in the
    /// order in which they became active.
    ///
    /// # Errors
    /// Returns a fault if one of the downloads neither waits nor is active, or if the change cannot be saved.
    /// In both cases, no download is paused.
    pub fn pause(&mut self, gids: &[Gid]) -> Changed<()> {
        let mut changed = Vec::new();
        for &gid in gids {
            let may_be =
                |entry: &&Arc<Entry>| matches!(entry.state, entry::State::Active | entry::State::Waiting);
            let entry = Some(self.known(gid)?).filter(may_be);
            let entry = entry.ok_or_else(|| {
                let fault = Fault::refused(format!("GID#{gid} cannot be paused now"));
                fault.in_words("The download is paused already, or it has ended.")
            })?;
            changed.push(self.with_progress(entry));
        }
        let active = changed.iter_mut().filter(|entry| entry.state == entry::State::Active);
        let mut active: Vec<&mut Entry> = active.collect();
        active.sort_by_key(|entry| entry.rank);
        let ranks = self.queue.front(active.len());
        active.into_iter().zip(ranks).for_each(|(entry, rank)| entry.rank = rank);
        changed.iter_mut().for_each(|entry| entry.state = entry::State::Paused);
        self.save(changed)?;
        let effects =
            gids.iter().flat_map(|&gid| [Effect::Tell(Notice::Pause, gid)].into_iter().chain(self.stop(gid)));
        Ok(((), effects.collect()))
    }

    /// Resumes paused downloads: they wait for their turn again.
    ///
    /// # Errors
    /// Returns a fault if one of the downloads is not paused, or if the change cannot be saved. In
    /// both cases, no download changes.
    pub fn resume(&mut self, gids: &[Gid]) -> Changed<()> {
        let mut changed = Vec::new();
        for &gid in gids {
            let entry = Some(self.known(gid)?).filter(|entry| entry.state == entry::State::Paused);
            let entry = entry.ok_or_else(|| {
                let fault = Fault::refused(format!("GID#{gid} cannot be unpaused now"));
                fault.in_words("The download is not paused.")
            })?;
            changed.push(Entry { state: entry::State::Waiting, ..(**entry).clone() });
        }
        self.save(changed)?;
        Ok(((), gids.iter().map(|&gid| Effect::Tell(Notice::Changed, gid)).collect()))
    }

    /// Pauses all downloads that wait or are active.
    ///
    /// # Errors
    /// Returns a fault if the change cannot be saved.
    pub fn pause_all(&mut self) -> Changed<()> {
        let gids = self.gids_of(&[entry::State::Active, entry::State::Waiting]);
        self.pause(&gids)
    }

    /// Resumes all paused downloads.
    ///
    /// # Errors
    /// Returns a fault if the change cannot be saved.
    pub fn resume_all(&mut self) -> Changed<()> {
        let gids = self.gids_of(&[entry::State::Paused]);
        self.resume(&gids)
    }

    fn gids_of(&self, states: &[entry::State]) -> Vec<Gid> {
        let all = [Sequence::Active, Sequence::Queued].into_iter().flat_map(|of| self.queue.iter(of));
        all.filter(|entry| states.contains(&entry.state)).map(|entry| entry.gid).collect()
    }

    /// Tries a failed or removed download again. The download goes to the end of the queue.
    ///
    /// # Errors
    /// Returns a fault if the download has neither failed nor been removed, or if the change cannot be saved.
    /// Also returns a fault if the download has no URL, because then it is an entry of a document that cannot
    /// be used.
    pub fn retry(&mut self, gid: Gid) -> Changed<()> {
        let may_be = |entry: &&Arc<Entry>| matches!(entry.state, entry::State::Error | entry::State::Removed);
        let entry = Some(self.known(gid)?).filter(may_be);
        let entry = entry
            .ok_or_else(|| Fault::refused("The download has not failed, so it cannot be tried again."))?;
        if entry.uris.is_empty() {
            return Err(Fault::refused(
                "The download is an entry of a document that cannot be used, so it cannot be tried again.",
            ));
        }
        let (rank, times) = (self.queue.last(Sequence::Queued), (entry.times.0, None));
        let again = Entry { state: entry::State::Waiting, rank, error: None, times, ..(**entry).clone() };
        self.save(vec![again])?;
        Ok(((), vec![Effect::Tell(Notice::Changed, gid)]))
    }

    /// Changes a download that is not over. Either all fields of `edit` have an effect, or none. If the URLs
    /// or the options of an active download change, the download is stopped and begins again. If only its
    /// rate limit changes, the download continues.
    ///
    /// # Errors
    /// Returns a fault that says which change is not possible, or that the change cannot be saved.
    pub fn edit(&mut self, gid: Gid, edit: Edit) -> Changed<()> {
        let before = self.known(gid)?.clone();
        let mut after = self.with_progress(&before);
        if let Some(change) = edit.options {
            self.set_options(&before, &mut after, &change)?;
        }
        if let Some(uris) = edit.uris {
            if before.state.is_over() {
                return Err(over(format!("Cannot remove URIs from GID#{gid}"), "changed"));
            }
            after.uris = uri::checked(&uri::meant(uris, &before.uris))?;
        }
        if begins_again(&before, &after) {
            let job = job::of(&after, &self.options_of(&after), &self.folders)?;
            self.remember(&before, &mut after, &job);
        }
        let was_active = before.state == entry::State::Active;
        match edit.paused {
            Some(true) if before.state != entry::State::Paused => after.state = entry::State::Paused,
            Some(false) if before.state == entry::State::Paused => after.state = entry::State::Waiting,
            _ if was_active && begins_again(&before, &after) => after.state = entry::State::Waiting,
            _ => {}
        }
        if before.state.is_over() && after.state != before.state {
            return Err(over(format!("GID#{gid} cannot be paused now"), "paused or resumed"));
        }
        let stops = was_active && after.state != entry::State::Active;
        let mut changed = self.placed(&before, &mut after, edit.place)?;
        if changed.is_empty() && after == self.with_progress(&before) {
            return Ok(((), Vec::new()));
        }
        let notice = if after.state == entry::State::Paused && before.state != after.state {
            Notice::Pause
        } else {
            Notice::Changed
        };
        let limit = Some(job::limit(&self.options_of(&after)))
            .filter(|limit| *limit != job::limit(&self.options_of(&before)));
        changed.push(after);
        self.save(changed)?;
        let job = self.job_of(gid).filter(|_| !stops);
        let limited = job.zip(limit).map(|(job, limit)| Effect::Limit(job, limit));
        let stopped = if stops { self.stop(gid) } else { None };
        Ok(((), [Effect::Tell(notice, gid)].into_iter().chain(limited).chain(stopped).collect()))
    }

    fn set_options(&self, before: &Entry, after: &mut Entry, change: &Options) -> Result<(), Fault> {
        if before.state.is_over() {
            return Err(over(format!("Cannot change option for GID#{}", before.gid), "changed"));
        }
        let all = self.options_of(before);
        let change = change.of_downloads().without(&OF_ADDING).changed_from(&all);
        // The login of the old proxy is not sent to a new proxy, and the password of the old user is not used
        // for a new user.
        let dropped = all.outside(&change.above(&all));
        after.options = after.options.outside(&dropped);
        after.options.extend(change);
        if before.path.is_some() && !self.has_same_name(before, after) {
            // The bytes of the partial file would be of no use under another name.
            let why = "The name and the folder cannot change any more, because the download has begun.";
            return Err(Fault::refused(why));
        }
        Ok(())
    }

    /// Stores the path, the former URLs and the former options of a download in `after`, if the new job
    /// (`job`) may use another partial file.
    fn remember(&self, before: &Entry, after: &mut Entry, job: &Job) {
        let Some(path) = before.path.clone() else { return };
        let old = job::of(before, &self.options_of(before), &self.folders);
        let is_same = |old: Job| old.urls == job.urls && old.user_headers == job.user_headers;
        if old.is_ok_and(is_same) {
            return;
        }
        let former = Former { path, uris: before.uris.clone(), options: before.options.clone() };
        after.former.retain(|other| *other != former);
        after.former.push(former);
        let surplus = after.former.len().saturating_sub(FORMER_MOST);
        after.former.drain(..surplus);
    }

    /// Gives a changed download its rank. `place` is the place in the queue that the client requested, if the
    /// client requested one. Returns the other downloads whose ranks change, with their new ranks.
    ///
    /// # Errors
    /// Returns a fault if a place is requested and the download is not in the queue. There is one exception:
    /// an active download that goes back to the queue can get a place that is counted from the front.
    fn placed(&self, before: &Entry, after: &mut Entry, place: Option<Place>) -> Result<Vec<Entry>, Fault> {
        let gid = before.gid;
        let missing = || {
            let fault = Fault::refused(format!("GID#{gid} not found in the waiting queue."));
            fault.in_words("The download neither waits nor is paused, so it has no position in the queue.")
        };
        if place.is_some() && !after.state.is_queued() {
            return Err(missing());
        }
        // An active download that becomes a queued one goes to the front of the queue, unless the client
        // requested another place.
        let here = if before.state.is_queued() { self.queue.position(before) } else { Some(0) };
        let at = match place {
            Some(place) if before.state.is_queued() => self.queue.target(gid, place).ok_or_else(missing)?,
            Some(Place::FromFront(at)) => usize::try_from(at.max(0)).unwrap_or(usize::MAX),
            Some(_) => return Err(missing()),
            None => here.unwrap_or_default(),
        };
        let is_new = after.state.is_queued() && !before.state.is_queued();
        if !is_new && (place.is_none() || here == Some(at)) {
            return Ok(Vec::new());
        }
        let moves = before.state.is_queued().then_some(gid);
        let (ranks, others) = self.queue.ranks_at(at, 1, moves);
        after.rank = ranks.first().copied().unwrap_or_default();
        Ok(others)
    }

    /// Changes options of the daemon, because a client requested this. Downloads that are added later inherit
    /// the changed options. Options for one download only, such as `out`, are left out.
    ///
    /// # Errors
    /// Returns a fault if an option cannot be used, or if the options cannot be saved.
    pub fn change_all(&mut self, change: &Options) -> Changed<()> {
        let change = change.without(&["gid", "pause", "out", "checksum"]).changed_from(self.options());
        let globals = self.globals.changed(&change);
        job::check(globals.all(), &self.folders)?;
        self.store.save_options(&globals.stored())?;
        self.globals = globals;
        Ok(((), vec![Effect::LimitAll]))
    }

    /// Changes options of the daemon, because the daemon has read its configuration again. `change` has the
    /// options whose values in the configuration have changed. If clients have set these options, the values
    /// of the clients are forgotten.
    ///
    /// # Errors
    /// Returns a fault if an option cannot be used, or if the options cannot be saved.
    pub fn given_anew(&mut self, change: &Options) -> Changed<()> {
        let globals = self.globals.given_anew(change);
        job::check(globals.all(), &self.folders)?;
        self.store.save_options(&globals.stored())?;
        self.globals = globals;
        Ok(((), vec![Effect::LimitAll]))
    }

    /// Returns the limit of all downloads together in bytes a second, or `None` if there is no limit.
    pub fn limit(&self) -> Option<u64> {
        Some(self.options().number("max-overall-download-limit")).filter(|rate| *rate > 0)
    }
}

/// Returns the fault of a change that is not possible after the end of a download. `aria2` is the message for
/// clients of aria2. `done` is the word for the change in the message for other clients, such as `paused`.
pub(super) fn over(aria2: String, done: &str) -> Fault {
    Fault::refused(aria2).in_words(format!("The download has ended, so it cannot be {done}."))
}

/// Returns true if an active download must begin again after a change.
pub(super) fn begins_again(before: &Entry, after: &Entry) -> bool {
    const LIVE: [&str; 1] = ["max-download-limit"];
    before.uris != after.uris || before.options.without(&LIVE) != after.options.without(&LIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folders::Folders;
    use crate::item::Item;
    use crate::options::options;
    use crate::store::Store;
    use std::path::Path;

    #[test]
    fn a_download_that_is_paused_already_is_not_said_to_have_ended() {
        let (store, folders) = (Store::in_memory().expect("a store"), Folders::everywhere(Path::new("/d")));
        let mut state = State::load(store, folders, &options(&[]), &options(&[])).expect("a state");
        let item = Item::new(vec!["http://h/a".into()], options(&[("pause", "true")]));
        let (gid, _) = state.add(item, None, 1).expect("added");
        let fault = state.pause(&[gid]).expect_err("it is paused already");
        assert_eq!(fault.plain.as_deref(), Some("The download is paused already, or it has ended."));
    }
}
