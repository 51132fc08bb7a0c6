//! The changes that clients make: they add downloads, and change, move, pause and resume them.
//!
//! Invariant: a change that is refused, or that cannot be saved, changes nothing. Each change is saved in one
//! step.

use super::{Changed, Effect, Notice, State};
use crate::entry::{self, Entry, Former};
use crate::fault::Fault;
use crate::gid::Gid;
use crate::item::Item;
use crate::job;
use crate::options::Options;
use crate::queue::{Place, Sequence};
use crate::uri;
use downhaul_engine::Job;
use downhaul_engine::core::show;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

/// A change of a download. Fields that are `None` change nothing.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// The options that get a new value.
    pub options: Option<Options>,
    /// The new URLs. The library continues the partial file if a URL differs only in its signature, or if a
    /// strong digest is known.
    pub uris: Option<Vec<String>>,
    /// Pauses the download if true, and resumes it if false.
    pub paused: Option<bool>,
    /// Moves the download within the queue.
    pub place: Option<Place>,
}

/// Options of an [`Item`] that say how it is added. The download does not keep them.
const OF_ADDING: [&str; 2] = ["gid", "pause"];

/// The highest number of [`Former`] values that are remembered for a download. A client may change the
/// download any number of times.
const FORMER_MOST: usize = 16;

impl State {
    /// Adds a download at a position of the queue, or at its end. The client may choose the identifier.
    ///
    /// # Errors
    /// Returns a fault if a URL, an option or the identifier cannot be used.
    pub fn add(&mut self, item: Item, position: Option<i64>, now: u64) -> Changed<Gid> {
        let (gids, effects) = self.add_all(vec![item], position, now)?;
        let gid = gids.into_iter().next().ok_or_else(|| Fault::refused("URI is not provided."))?;
        Ok((gid, effects))
    }

    /// Adds several downloads, all or none, one after the other at a position of the queue, or at its end.
    /// Downloads to which a list gives a higher priority go first. Returns the identifiers in the order of
    /// the items.
    ///
    /// # Errors
    /// Returns the first fault.
    pub fn add_all(&mut self, items: Vec<Item>, position: Option<i64>, now: u64) -> Changed<Vec<Gid>> {
        let mut new = HashSet::new();
        let mut entries = Vec::new();
        for item in items {
            let entry = self.entry_of(item, now, &new)?;
            new.insert(entry.gid);
            entries.push(entry);
        }
        let gids: Vec<Gid> = entries.iter().map(|entry| entry.gid).collect();
        entries.sort_by_key(|entry| Reverse(entry.facts.as_ref().map_or(0, |facts| facts.priority())));
        let at = position.map_or(usize::MAX, |at| usize::try_from(at.max(0)).unwrap_or(usize::MAX));
        let (ranks, mut others) = self.queue.ranks_at(at, entries.len(), None);
        entries.iter_mut().zip(ranks).for_each(|(entry, rank)| entry.rank = rank);
        others.extend(entries);
        self.save(others)?;
        let effects = gids.iter().map(|&gid| Effect::Tell(Notice::Changed, gid)).collect();
        Ok((gids, effects))
    }

    /// Returns the entry of a new download. `new` are the identifiers of the other downloads that are added
    /// together with it.
    pub(super) fn entry_of(&self, item: Item, now: u64, new: &HashSet<Gid>) -> Result<Entry, Fault> {
        let own = item.options.of_downloads();
        let is_free = |gid: &Gid| self.queue.get(*gid).is_none() && !new.contains(gid);
        let gid = match own.get("gid") {
            None => loop {
                let gid = Gid::new(fastrand::u64(1..));
                if is_free(&gid) {
                    break gid;
                }
            },
            Some(text) => {
                let gid = Gid::read(text).ok_or_else(|| Fault::refused(format!("Invalid GID {text}")))?;
                let used = || Fault::refused(format!("GID {text} is already used."));
                Some(gid).filter(is_free).ok_or_else(used)?
            }
        };
        let state = if own.is_true("pause") { entry::State::Paused } else { entry::State::Waiting };
        let options = own.without(&OF_ADDING).above(&self.globals.inherited().without(&OF_ADDING));
        let facts = item.facts.map(Arc::new);
        // The URLs of a list or a document (with facts) must not get the secret of a URL that a client gave.
        let uris = if facts.is_none() { self.with_secrets(item.uris) } else { item.uris };
        let uris = uri::checked(uris)?;
        let entry = Entry { state, facts, ..Entry::new(gid, 0, uris, options, now) };
        job::of(&entry, &self.options_of(&entry), &self.folders)?;
        Ok(entry)
    }

    /// Returns the URLs that a client means. A client that adds a download again after its end may have seen
    /// only the URLs without their secrets. This function looks for downloads that are over and whose URLs
    /// clients see as `uris`. If all of them have the same complete URLs, it returns these. Otherwise it
    /// returns `uris`.
    fn with_secrets(&self, uris: Vec<String>) -> Vec<String> {
        if !uris.iter().any(|uri| uri.contains(show::HIDDEN)) {
            return uris;
        }
        let is_same = |entry: &&Arc<Entry>| entry.shown_uris().eq(uris.iter().map(String::as_str));
        let mut known = self.queue.iter(Sequence::Over).filter(is_same).map(|entry| &entry.uris);
        match known.next() {
            Some(first) if known.all(|other| other == first) => first.clone(),
            _ => uris,
        }
    }

    /// Moves a queued download, and returns its new position.
    ///
    /// # Errors
    /// Returns a fault if the download is not queued.
    pub fn move_to(&mut self, gid: Gid, place: Place) -> Changed<usize> {
        let ((), effects) = self.edit(gid, Edit { place: Some(place), ..Edit::default() })?;
        let at = self.queue.get(gid).and_then(|entry| self.queue.position(entry));
        Ok((at.unwrap_or_default(), effects))
    }

    /// Pauses downloads. Active ones go to the front of the queue, in their order.
    ///
    /// # Errors
    /// Returns a fault if one of them cannot be paused. Then none is paused.
    pub fn pause(&mut self, gids: &[Gid]) -> Changed<()> {
        let mut changed = Vec::new();
        for &gid in gids {
            let may_be =
                |entry: &&Arc<Entry>| matches!(entry.state, entry::State::Active | entry::State::Waiting);
            let entry = Some(self.known(gid)?).filter(may_be);
            let entry = entry.ok_or_else(|| Fault::refused(format!("GID#{gid} cannot be paused now")))?;
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

    /// Resumes paused downloads: they wait for their turn.
    ///
    /// # Errors
    /// Returns a fault if one of them is not paused. Then none changes.
    pub fn resume(&mut self, gids: &[Gid]) -> Changed<()> {
        let mut changed = Vec::new();
        for &gid in gids {
            let entry = Some(self.known(gid)?).filter(|entry| entry.state == entry::State::Paused);
            let entry = entry.ok_or_else(|| Fault::refused(format!("GID#{gid} cannot be unpaused now")))?;
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
    /// Returns a fault if the download has neither failed nor been removed.
    pub fn retry(&mut self, gid: Gid) -> Changed<()> {
        let may_be = |entry: &&Arc<Entry>| matches!(entry.state, entry::State::Error | entry::State::Removed);
        let entry = Some(self.known(gid)?).filter(may_be);
        let entry = entry.ok_or_else(|| Fault::refused(format!("GID#{gid} has not failed")))?;
        let (rank, times) = (self.queue.last(Sequence::Queued), (entry.times.0, None));
        let again = Entry { state: entry::State::Waiting, rank, error: None, times, ..(**entry).clone() };
        self.save(vec![again])?;
        Ok(((), vec![Effect::Tell(Notice::Changed, gid)]))
    }

    /// Changes a download that is not over. Either all fields change, or none. If the URLs of an active
    /// download change, or an option other than its rate limit, the download is stopped and begins again.
    ///
    /// # Errors
    /// Returns a fault that says which change is not possible.
    pub fn edit(&mut self, gid: Gid, edit: Edit) -> Changed<()> {
        let before = self.known(gid)?.clone();
        let mut after = self.with_progress(&before);
        if let Some(change) = edit.options {
            self.set_options(&before, &mut after, &change)?;
        }
        if let Some(uris) = edit.uris {
            if before.state.is_over() {
                return Err(Fault::refused(format!("Cannot remove URIs from GID#{gid}")));
            }
            after.uris = uri::checked(uri::meant(uris, &before.uris))?;
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
            return Err(Fault::refused(format!("GID#{gid} cannot be paused now")));
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
            return Err(Fault::refused(format!("Cannot change option for GID#{}", before.gid)));
        }
        let change = change.of_downloads().without(&OF_ADDING).changed_from(&self.options_of(before));
        after.options.extend(change);
        if !self.has_same_name(before, after) {
            // The old name came from the old options, so a new name must be chosen.
            (after.path, after.total, after.completed) = (None, None, 0);
        }
        Ok(())
    }

    /// Remembers the former path, URLs and options of a download, if the new job may use another partial
    /// file.
    fn remember(&self, before: &Entry, after: &mut Entry, job: &Job) {
        let Some(path) = before.path.clone() else { return };
        let old = job::of(before, &self.options_of(before), &self.folders);
        let is_same = |old: Job| old.urls == job.urls && old.user_headers == job.user_headers;
        if after.path.as_ref() == Some(&path) && old.is_ok_and(is_same) {
            return;
        }
        let former = Former { path, uris: before.uris.clone(), options: before.options.clone() };
        after.former.retain(|other| *other != former);
        after.former.push(former);
        let surplus = after.former.len().saturating_sub(FORMER_MOST);
        after.former.drain(..surplus);
    }

    /// Gives a changed download its rank. Returns the other downloads whose ranks change.
    fn placed(&self, before: &Entry, after: &mut Entry, place: Option<Place>) -> Result<Vec<Entry>, Fault> {
        let gid = before.gid;
        let missing = || Fault::refused(format!("GID#{gid} not found in the waiting queue."));
        if place.is_some() && !after.state.is_queued() {
            return Err(missing());
        }
        // An active download that becomes a queued one goes to the front of the queue.
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

    /// Changes options of the daemon. Downloads that are added later inherit them.
    ///
    /// # Errors
    /// Returns a fault if an option cannot be used.
    pub fn change_all(&mut self, change: &Options) -> Changed<()> {
        let change = change.without(&["gid", "pause", "out", "checksum"]).changed_from(self.options());
        let globals = self.globals.changed(&change);
        job::check(globals.all(), &self.folders)?;
        self.store.save_options(&globals.stored())?;
        self.globals = globals;
        Ok(((), vec![Effect::LimitAll(self.limit())]))
    }

    /// Changes options with which the daemon was started, after the daemon read its configuration again.
    ///
    /// # Errors
    /// Returns a fault if an option cannot be used.
    pub fn given_anew(&mut self, change: &Options) -> Changed<()> {
        let globals = self.globals.given_anew(change);
        job::check(globals.all(), &self.folders)?;
        self.globals = globals;
        Ok(((), vec![Effect::LimitAll(self.limit())]))
    }

    /// Returns the limit of all downloads together in bytes a second.
    pub fn limit(&self) -> Option<u64> {
        Some(self.options().number("max-overall-download-limit")).filter(|rate| *rate > 0)
    }
}

/// Returns true if an active download must begin again after a change from `before` to `after`.
pub(super) fn begins_again(before: &Entry, after: &Entry) -> bool {
    const LIVE: [&str; 1] = ["max-download-limit"];
    before.uris != after.uris || before.options.without(&LIVE) != after.options.without(&LIVE)
}
