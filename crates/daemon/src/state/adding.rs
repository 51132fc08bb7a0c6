//! Adds downloads: those that clients send one by one or in lists, and those of documents.
//!
//! Invariant: downloads that are added together are saved together or not at all. If an entry of a document
//! cannot be used, it is added as a download that failed (up to [`FAILED_MOST`] entries), and the other
//! entries are downloaded. If no entry of a document can be used, nothing is added.

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

/// The highest number of failed downloads that are added for entries of a document that cannot be used. If
/// more entries cannot be used, the message of the last failed download states how many more.
const FAILED_MOST: usize = 100;

/// The options of an [`Item`] that have an effect only when it is added: the identifier of the download, and
/// whether it is paused. The download does not keep these options.
pub(super) const OF_ADDING: [&str; 2] = ["gid", "pause"];

impl State {
    /// Adds a download at a position in the queue, or at the end of the queue if `position` is `None`.
    /// Positions are counted from 0, and a negative number counts as 0. The client may choose the identifier.
    /// `now` is the time in milliseconds since the Unix epoch. Returns the identifier.
    ///
    /// # Errors
    /// Returns a fault if a URL, an option or the identifier cannot be used, or if the download cannot be
    /// saved.
    pub fn add(&mut self, item: Item, position: Option<i64>, now: u64) -> Changed<Gid> {
        let (gids, effects) = self.add_all(vec![item], position, now)?;
        let gid = gids.into_iter().next().ok_or_else(|| Fault::refused("URI is not provided."))?;
        Ok((gid, effects))
    }

    /// Adds several downloads together, at neighbouring positions from `position` on. Downloads to which a
    /// list gives a higher priority come first. `position` and `now` are as for [`State::add`]. Returns the
    /// identifiers in the order of the items.
    ///
    /// # Errors
    /// Returns the first fault if an item cannot be used. Also returns a fault if the downloads cannot be
    /// saved. In both cases, no download was added.
    pub fn add_all(&mut self, items: Vec<Item>, position: Option<i64>, now: u64) -> Changed<Vec<Gid>> {
        let mut new = HashSet::new();
        let mut entries = Vec::new();
        for item in items {
            let (entry, usable) = self.entry_of(item, now, &new);
            usable?;
            new.insert(entry.gid);
            entries.push(entry);
        }
        self.put(entries, position)
    }

    /// Adds the downloads of a document, as [`State::add_all`] does. If an entry of the document cannot be
    /// used, it becomes a download that failed. If there are more than `FAILED_MOST` such entries, the
    /// others are only counted.
    ///
    /// # Errors
    /// Returns the fault of the first entry if no entry can be used. Also returns a fault if the downloads
    /// cannot be saved. In both cases, no download was added.
    pub fn add_document(&mut self, items: Vec<Item>, position: Option<i64>, now: u64) -> Changed<Vec<Gid>> {
        let entries = self.entries_of(items, now)?;
        self.put(entries, position)
    }

    /// Returns an [`Entry`] for each item of a document. If an item cannot be used, its entry is a download
    /// that failed. There are at most [`FAILED_MOST`] failed downloads. Further items that cannot be used get
    /// no entry.
    ///
    /// # Errors
    /// Returns the fault of the first item if no item can be used.
    pub(super) fn entries_of(&self, items: Vec<Item>, now: u64) -> Result<Vec<Entry>, Fault> {
        let (mut new, mut entries, mut first) = (HashSet::new(), Vec::new(), None);
        let (mut failed, mut last) = (0, 0);
        for item in items {
            let (mut entry, usable) = self.entry_of(item, now, &new);
            if let Err(fault) = usable {
                failed += 1;
                if failed > FAILED_MOST {
                    continue;
                }
                last = entries.len();
                entry.fail(fault.failure(), now);
                first.get_or_insert(fault);
            }
            new.insert(entry.gid);
            entries.push(entry);
        }
        if let Some((_, why)) = entries.get_mut(last).and_then(|entry| entry.error.as_mut())
            && failed > FAILED_MOST
        {
            let others = failed - FAILED_MOST;
            why.push_str(&format!(" (Further entries of the document cannot be used either: {others})"));
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
        let mut effects = self.added(&gids);
        effects.extend(self.after_end(&gids));
        Ok((gids, effects))
    }

    /// Gives new downloads their ranks. Downloads that have failed go to the end of the downloads that are
    /// over. The others go to the position `at` of the queue, one after the other. Returns the existing
    /// downloads whose ranks change because of this, with their new ranks.
    pub(super) fn rank(&self, entries: &mut [Entry], at: usize) -> Vec<Entry> {
        let after = self.queue.last(Sequence::Over);
        let failed = entries.iter_mut().filter(|entry| entry.state.is_over());
        failed.zip(after..).for_each(|(entry, rank)| entry.rank = rank);
        let queued = entries.iter().filter(|entry| entry.state.is_queued()).count();
        let (ranks, others) = self.queue.ranks_at(at, queued, None);
        let queued = entries.iter_mut().filter(|entry| entry.state.is_queued());
        queued.zip(ranks).for_each(|(entry, rank)| entry.rank = rank);
        others
    }

    /// Returns the notices about new downloads that were saved. Some of these downloads may have failed.
    pub(super) fn added(&self, gids: &[Gid]) -> Vec<Effect> {
        let has_failed = |gid| self.queue.get(gid).is_some_and(|entry| entry.state.is_over());
        let notice = |gid| if has_failed(gid) { Notice::Error } else { Notice::Changed };
        gids.iter().map(|&gid| Effect::Tell(notice(gid), gid)).collect()
    }

    /// Returns the entry of a new download. Also returns a fault if the item has one, or if a URL, an option
    /// or the identifier cannot be used. `new` are the identifiers of the other downloads that are added
    /// together with this one.
    fn entry_of(&self, item: Item, now: u64, new: &HashSet<Gid>) -> (Entry, Result<(), Fault>) {
        let own = item.options.of_downloads();
        let gid = own.get("gid").map_or_else(|| Ok(self.free_gid(new)), |text| self.chosen_gid(text, new));
        let state = if own.is_true("pause") { entry::State::Paused } else { entry::State::Waiting };
        // If the download names another proxy, it does not inherit the login of the daemon's proxy.
        let all = self.globals.all();
        let inherited = self.globals.inherited().outside(&all.outside(&own.above(all)));
        let mut options = own.without(&OF_ADDING).above(&inherited.without(&OF_ADDING));
        if let (Some(headers), Some(more)) = (own.get("header"), inherited.get("header")) {
            // As in aria2, the headers of a download are added to those of the daemon. A header of the
            // download replaces the daemon's header of the same name.
            let name = |line: &str| line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
            let is_other = |line: &&str| !headers.lines().any(|own| name(own) == name(line));
            let all: Vec<&str> = more.lines().filter(is_other).chain(headers.lines()).collect();
            // Each of these lines was accepted before, so the option accepts all of them.
            let _ = options.set("header", &all.join("\n"));
        }
        let facts = item.facts.map(Arc::new);
        // An item of a document has facts. A document must not get the secrets of URLs that clients have
        // sent.
        let uris = if facts.is_none() { self.with_secrets(item.uris) } else { item.uris };
        let known = gid.as_ref().copied().unwrap_or_else(|_| self.free_gid(new));
        let mut entry = Entry { state, facts, ..Entry::new(known, 0, uris, options, now) };
        let usable = item.fault.map_or(gid, Err).and_then(|_| self.check(&mut entry));
        (entry, usable)
    }

    /// Checks that the URLs and the options of a new download can be used, and removes blanks around its
    /// URLs.
    fn check(&self, entry: &mut Entry) -> Result<(), Fault> {
        entry.uris = uri::checked(&entry.uris)?;
        job::of(entry, &self.options_of(entry), &self.folders).map(drop)
    }

    /// Returns the identifier that a client has chosen for a new download.
    fn chosen_gid(&self, text: &str, new: &HashSet<Gid>) -> Result<Gid, Fault> {
        let gid = Gid::read(text).ok_or_else(|| Fault::invalid_gid(text))?;
        let used = || {
            let fault = Fault::refused(format!("GID {text} is already used."));
            fault.in_words(format!("Another download has the ID {text}."))
        };
        Some(gid).filter(|gid| self.is_free(*gid, new)).ok_or_else(used)
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
    /// download again after its end may send URLs with `***` in place of a secret. If downloads that are over
    /// are shown with exactly these URLs, and all of them have the same complete URLs, returns the complete
    /// URLs. Otherwise, or if no URL has `***`, returns `uris`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folders::Folders;
    use crate::options::options;
    use crate::state::Edit;
    use crate::store::Store;
    use std::path::Path;

    /// Returns a state in which a client has set options.
    fn state(set: &[(&str, &str)]) -> State {
        let (store, folders) = (Store::in_memory().expect("a store"), Folders::everywhere(Path::new("/d")));
        let mut state = State::load(store, folders, &options(&[]), &options(&[])).expect("a state");
        state.change_all(&options(set)).expect("allowed");
        state
    }

    /// Returns a document with this many entries that cannot be used, and a good one.
    fn document(bad: usize) -> Vec<Item> {
        let item = |name: &str| Item::new(vec![format!("http://h/{name}")], options(&[]));
        let bad = (0..bad).map(|n| Item { fault: Some(Fault::refused("bad")), ..item(&n.to_string()) });
        bad.chain([item("good")]).collect()
    }

    #[test]
    fn headers_of_a_download_are_added_to_those_of_the_daemon_and_replace_equal_names() {
        let mut state = state(&[("header", "Cookie: x\nAuthorization: old")]);
        let own = options(&[("header", "authorization: new\nA: b")]);
        let (gid, _) = state.add(Item::new(vec!["http://h/a".into()], own), None, 1).expect("added");
        let headers = |gid| state.known(gid).expect("added").options.get("header").map(String::from);
        assert_eq!(headers(gid).as_deref(), Some("Cookie: x\nauthorization: new\nA: b"));
    }

    #[test]
    fn few_failed_entries_of_a_document_are_added_and_the_others_are_counted() {
        let mut state = state(&[("timeout", "7")]);
        let (gids, _) = state.add_document(document(5000), None, 1).expect("one can be used");
        let error = |at: usize| state.known(gids[at]).expect("added").error.clone().unwrap_or_default().1;
        assert_eq!((gids.len(), error(98).as_str(), error(100).as_str()), (101, "bad", ""));
        assert_eq!(error(99), "bad (Further entries of the document cannot be used either: 4900)");
        // A failed entry has the options of the daemon too, for the case that it is tried again.
        assert_eq!(state.known(gids[0]).expect("added").options.get("timeout"), Some("7"));
    }

    #[test]
    fn the_failed_entries_of_a_document_are_counted_and_the_oldest_results_are_forgotten() {
        let mut state = state(&[("max-download-result", "3")]);
        let (_, effects) = state.add_document(document(10), None, 1).expect("one can be used");
        assert_eq!((state.queue.len(Sequence::Over), state.ended()), (3, 10));
        let gone = effects.iter().filter(|one| matches!(one, Effect::Tell(Notice::Gone, _))).count();
        assert_eq!(gone, 7);
    }

    #[test]
    fn a_folder_may_be_written_in_another_way_after_the_download_has_begun() {
        let mut state = state(&[]);
        let item = Item::new(vec!["http://h/a".into()], options(&[("dir", "sub")]));
        let (gid, _) = state.add(item, None, 1).expect("added");
        let begun = Entry { path: Some("/d/sub/a".into()), ..(**state.known(gid).expect("added")).clone() };
        state.save(vec![begun]).expect("saved");
        let mut to = |dir| {
            state.edit(gid, Edit { options: Some(options(&[("dir", dir)])), ..Edit::default() }).is_ok()
        };
        assert!(to("/d/sub/") && to("/d/sub") && !to("/d/other"));
    }

    #[test]
    fn the_settings_show_no_limit_of_connections_if_a_download_sets_the_other_one() {
        let mut state = state(&[]);
        state.show_started(options(&[("max-connection-per-server", "4"), ("split", "4"), ("timeout", "7")]));
        let mut shown = |set: &[(&str, &str)]| {
            let item = Item::new(vec!["http://h/a".into()], options(set));
            let (gid, _) = state.add(item, None, 1).expect("added");
            let shown = state.shown_options_of(state.known(gid).expect("added"));
            ["max-connection-per-server", "split", "timeout"].map(|name| shown[name].to_string())
        };
        assert_eq!(shown(&[]), [r#""4""#, r#""4""#, r#""7""#]);
        assert_eq!(shown(&[("split", "8")]), [r#""16""#, r#""8""#, r#""7""#]);
    }
}
