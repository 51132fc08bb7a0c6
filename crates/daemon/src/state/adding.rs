//! Adds downloads: those that clients send one by one or in lists, and those of documents.
//!
//! Invariant: downloads that are added together are saved together or not at all. If an entry of a document
//! cannot be used, it is added as a download that failed, and the other entries are downloaded. If no entry
//! of a document can be used, nothing is added.

use super::{Changed, Effect, Notice, State};
use crate::entry::{self, Entry};
use crate::fault::Fault;
use crate::gid::Gid;
use crate::item::Item;
use crate::job;
use crate::queue::Sequence;
use crate::uri;
use downhaul_engine::core::show;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

/// The options of an [`Item`] that have an effect only when it is added: the identifier of the download, and
/// whether it is paused. The download does not keep these options.
pub(super) const OF_ADDING: [&str; 2] = ["gid", "pause"];

impl State {
    /// Adds a download at a position in the queue, or at the end of the queue if `position` is `None`. The
    /// client may choose the identifier. `now` is the time in milliseconds since the Unix epoch. Returns the
    /// identifier.
    ///
    /// # Errors
    /// Returns a fault if a URL, an option or the identifier cannot be used, or if the download cannot be
    /// saved.
    pub fn add(&mut self, item: Item, position: Option<i64>, now: u64) -> Changed<Gid> {
        let (gids, effects) = self.add_all(vec![item], position, now)?;
        let gid = gids.into_iter().next().ok_or_else(|| Fault::refused("URI is not provided."))?;
        Ok((gid, effects))
    }

    /// Adds several downloads one after the other, as [`State::add`] does. Downloads to which a list gives a
    /// higher priority come first. Returns the identifiers in the order of the items.
    ///
    /// # Errors
    /// Returns the first fault if an item cannot be used. Also returns a fault if the downloads cannot be
    /// saved. In both cases, no download was added.
    pub fn add_all(&mut self, items: Vec<Item>, position: Option<i64>, now: u64) -> Changed<Vec<Gid>> {
        let mut new = HashSet::new();
        let mut entries = Vec::new();
        for item in items {
            let entry = self.entry_of(item, now, &new)?;
            new.insert(entry.gid);
            entries.push(entry);
        }
        self.put(entries, position)
    }

    /// Adds the downloads of a document, as [`State::add_all`] does. If an entry of the document cannot be
    /// used, it becomes a download that failed.
    ///
    /// # Errors
    /// Returns the fault of the first entry if no entry can be used. Also returns a fault if the downloads
    /// cannot be saved. In both cases, no download was added.
    pub fn add_document(&mut self, items: Vec<Item>, position: Option<i64>, now: u64) -> Changed<Vec<Gid>> {
        let entries = self.entries_of(items, now)?;
        self.put(entries, position)
    }

    /// Returns an [`Entry`] for each item of a document. If an item cannot be used, its entry is a download
    /// that failed.
    ///
    /// # Errors
    /// Returns the fault of the first item if no item can be used.
    pub(super) fn entries_of(&self, items: Vec<Item>, now: u64) -> Result<Vec<Entry>, Fault> {
        let (mut new, mut entries, mut first) = (HashSet::new(), Vec::new(), None);
        for item in items {
            let entry = self.entry_of(item.clone(), now, &new).unwrap_or_else(|fault| {
                let entry = self.failed(item, &fault, now, &new);
                first.get_or_insert(fault);
                entry
            });
            new.insert(entry.gid);
            entries.push(entry);
        }
        match first {
            Some(fault) if entries.iter().all(|entry| entry.state.is_over()) => Err(fault),
            _ => Ok(entries),
        }
    }

    /// Saves new downloads at a position in the queue, or at the end of the queue. Returns their identifiers
    /// in the order of `entries`.
    ///
    /// # Errors
    /// Returns a fault if the downloads cannot be saved.
    fn put(&mut self, mut entries: Vec<Entry>, position: Option<i64>) -> Changed<Vec<Gid>> {
        let gids: Vec<Gid> = entries.iter().map(|entry| entry.gid).collect();
        entries.sort_by_key(|entry| Reverse(entry.facts.as_ref().map_or(0, |facts| facts.priority())));
        let at = position.map_or(usize::MAX, |at| usize::try_from(at.max(0)).unwrap_or(usize::MAX));
        let others = self.rank(&mut entries, at);
        self.save([others, entries].concat())?;
        let effects = self.added(&gids);
        Ok((gids, effects))
    }

    /// Gives new downloads their ranks. Downloads that have failed go to the end of the downloads that are
    /// over. The others go to the position `at` of the queue, one after the other. Returns the existing
    /// downloads whose ranks change because of this, with their new ranks.
    pub(super) fn rank(&self, entries: &mut [Entry], at: usize) -> Vec<Entry> {
        let after = self.queue.last(Sequence::Over) + 1;
        let failed = entries.iter_mut().filter(|entry| entry.state.is_over());
        failed.zip(after..).for_each(|(entry, rank)| entry.rank = rank);
        let queued = entries.iter().filter(|entry| entry.state.is_queued()).count();
        let (ranks, others) = self.queue.ranks_at(at, queued, None);
        let queued = entries.iter_mut().filter(|entry| entry.state.is_queued());
        queued.zip(ranks).for_each(|(entry, rank)| entry.rank = rank);
        others
    }

    /// Returns the effects that must follow after new downloads were saved. If one of these downloads has
    /// failed, also does what follows the end of a download ([`State::after_end`]).
    pub(super) fn added(&mut self, gids: &[Gid]) -> Vec<Effect> {
        let mut effects = Vec::new();
        for &gid in gids {
            let has_failed = self.queue.get(gid).is_some_and(|entry| entry.state.is_over());
            effects.push(Effect::Tell(if has_failed { Notice::Error } else { Notice::Changed }, gid));
            if has_failed {
                effects.extend(self.after_end(gid));
            }
        }
        effects
    }

    /// Returns the entry of a new download. `new` are the identifiers of the other downloads that are added
    /// together with it.
    ///
    /// # Errors
    /// Returns the fault of the item if it has one. Otherwise, returns a fault if a URL, an option or the
    /// identifier cannot be used.
    fn entry_of(&self, item: Item, now: u64, new: &HashSet<Gid>) -> Result<Entry, Fault> {
        if let Some(fault) = item.fault {
            return Err(fault);
        }
        let own = item.options.of_downloads();
        let gid = match own.get("gid") {
            None => self.free_gid(new),
            Some(text) => {
                let gid = Gid::read(text).ok_or_else(|| Fault::invalid_gid(text))?;
                let used = || {
                    let fault = Fault::refused(format!("GID {text} is already used."));
                    fault.in_words(format!("Another download has the ID {text}."))
                };
                Some(gid).filter(|gid| self.is_free(*gid, new)).ok_or_else(used)?
            }
        };
        let state = if own.is_true("pause") { entry::State::Paused } else { entry::State::Waiting };
        let options = own.without(&OF_ADDING).above(&self.globals.inherited().without(&OF_ADDING));
        let facts = item.facts.map(Arc::new);
        // An item of a document has facts. A document must not get the secrets of URLs that clients have
        // sent.
        let uris = if facts.is_none() { self.with_secrets(item.uris) } else { item.uris };
        let uris = uri::checked(uris)?;
        let entry = Entry { state, facts, ..Entry::new(gid, 0, uris, options, now) };
        job::of(&entry, &self.options_of(&entry), &self.folders)?;
        Ok(entry)
    }

    /// Returns the entry of a download that failed before it began, because an item of a document cannot be
    /// used. `fault` is the reason.
    fn failed(&self, item: Item, fault: &Fault, now: u64, new: &HashSet<Gid>) -> Entry {
        let options = item.options.of_downloads().without(&OF_ADDING);
        Entry {
            state: entry::State::Error,
            facts: item.facts.map(Arc::new),
            error: Some(fault.failure()),
            times: (now, Some(now)),
            ..Entry::new(self.free_gid(new), 0, item.uris, options, now)
        }
    }

    /// Returns an identifier that no download has, and that is not in `new`.
    fn free_gid(&self, new: &HashSet<Gid>) -> Gid {
        loop {
            let gid = Gid::new(fastrand::u64(1..));
            if self.is_free(gid, new) {
                return gid;
            }
        }
    }

    fn is_free(&self, gid: Gid, new: &HashSet<Gid>) -> bool {
        self.queue.get(gid).is_none() && !new.contains(&gid)
    }

    /// Returns the URLs that a client means. Clients see URLs without their secrets. So a client that adds a
    /// download again after its end may send such URLs. If downloads that are over are shown with exactly
    /// these URLs, and all of them have the same complete URLs, returns the complete URLs. Otherwise returns
    /// `uris`.
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
}
