//! Follows Metalink documents: when a document is complete, its files are downloaded too
//! (`--follow-metalink`).
//!
//! Invariant: the end of the document and its files are saved together. No secret of a client is sent to
//! servers that only the document names.

use super::State;
use crate::aria2::metalink;
use crate::entry::Entry;
use crate::fault::Fault;
use crate::item::Item;
use downhaul_engine::core::list::metalink::{LONGEST, begins};
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The endings of Metalink files (RFC 5854, and the older form).
const ENDINGS: [&str; 2] = ["meta4", "metalink"];

/// Options of a document that its files do not inherit.
const OF_DOCUMENT: [&str; 4] = ["checksum", "index-out", "out", "select-file"];

impl State {
    /// If a complete download is a Metalink document, and the option `follow-metalink` is not `false`,
    /// returns new downloads for the files of the document. Adds their identifiers to the complete download.
    /// The new downloads go to the front of the queue. If other downloads get new ranks because of this,
    /// those downloads are returned too.
    pub(super) fn followers(&self, done: &mut Entry, now: u64) -> Vec<Entry> {
        let is_followed = self.value(done, "follow-metalink") != "false" && done.followed_by.is_empty();
        let Some(document) = done.path.as_deref().filter(|_| is_followed).and_then(read) else {
            return Vec::new();
        };
        let own = done.options.without(&OF_DOCUMENT);
        let is_paused = self.value(done, "pause-metadata") == "true";
        let mut new = HashSet::new();
        let mut of_item = |item: Item| -> Result<Entry, Fault> {
            let mut options = item.options.above(&own);
            options.set("pause", if is_paused { "true" } else { "false" })?;
            let entry = self.entry_of(Item { options, ..item }, now, &new)?;
            new.insert(entry.gid);
            Ok(Entry { following: Some(done.gid), ..entry })
        };
        let entries: Result<Vec<Entry>, Fault> =
            metalink(document).and_then(|items| items.into_iter().map(&mut of_item).collect());
        let mut entries = entries.unwrap_or_else(|fault| {
            tracing::warn!("the Metalink document of {} is not followed: {fault}", done.gid);
            Vec::new()
        });
        let (ranks, others) = self.queue.ranks_at(0, entries.len(), None);
        entries.iter_mut().zip(ranks).for_each(|(entry, rank)| entry.rank = rank);
        done.followed_by = entries.iter().map(|entry| entry.gid).collect();
        entries.extend(others);
        entries
    }
}

/// Returns the content of a file, if its name and its beginning show that it is a Metalink document.
fn read(path: &Path) -> Option<Vec<u8>> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str()).then_some(())?;
    let mut bytes = Vec::new();
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    begins(&bytes).then_some(bytes)
}
