//! Follows Metalink documents: when the download of a document is complete, the files of the document are
//! downloaded too (`--follow-metalink`).
//!
//! Invariant: the end of the download of a document and the new downloads of its files are saved together. No
//! secret of a client is sent to servers that only the document names. If the document cannot be used, its
//! download fails.

use super::State;
use crate::aria2::metalink;
use crate::entry::Entry;
use crate::fault::Fault;
use downhaul_engine::core::list::metalink::LONGEST;
use downhaul_engine::{Error, ErrorKind};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The extensions of the names of Metalink files, for RFC 5854 and for the older form.
const ENDINGS: [&str; 2] = ["meta4", "metalink"];

/// The options that the downloads of the files do not inherit from the download of the document.
const OF_DOCUMENT: [&str; 4] = ["checksum", "index-out", "out", "select-file"];

impl State {
    /// If the complete download `done` is a Metalink document that was not followed before, and the option
    /// `follow-metalink` is not `false`, returns new downloads for the files of the document. Adds their
    /// identifiers to `done`. The new downloads go to the front of the queue. If this changes the ranks of
    /// other downloads, these downloads are returned too.
    ///
    /// # Errors
    /// Returns a fault if the document cannot be read, or if no entry of it can be used.
    pub(super) fn followers(&self, done: &mut Entry, now: u64) -> Result<Vec<Entry>, Fault> {
        let is_followed = self.value(done, "follow-metalink") != "false" && done.followed_by.is_empty();
        let Some(path) = done.path.as_deref().filter(|path| is_followed && is_document(path)) else {
            return Ok(Vec::new());
        };
        let own = done.options.without(&OF_DOCUMENT);
        let is_paused = self.value(done, "pause-metadata") == "true";
        let mut items = metalink(read(path)?)?;
        for item in &mut items {
            item.options = item.options.above(&own);
            item.options.set("pause", if is_paused { "true" } else { "false" })?;
        }
        let mut entries = self.entries_of(items, now)?;
        let others = self.rank(&mut entries, 0);
        // Some of the files may fail at once. When too many downloads have ended, the daemon forgets the
        // download with the lowest rank. The document gets a higher rank than these files, so it is not
        // forgotten before them.
        let failed = entries.iter().filter(|entry| entry.state.is_over()).map(|entry| entry.rank);
        done.rank = failed.max().map_or(done.rank, |rank| rank + 1);
        entries.iter_mut().for_each(|entry| entry.following = Some(done.gid));
        done.followed_by = entries.iter().map(|entry| entry.gid).collect();
        entries.extend(others);
        Ok(entries)
    }
}

/// Returns true if the extension of a file name is that of a Metalink document.
fn is_document(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ENDINGS.contains(&ending.to_ascii_lowercase().as_str())
}

/// Reads a document. If the document is longer than [`LONGEST`], reads only one byte more than that. This is
/// enough for the parser to refuse the document as too long.
///
/// # Errors
/// Returns a fault with the code `list.unreadable` if the file cannot be read.
fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    let unreadable =
        |e: io::Error| Error::new(ErrorKind::ListUnreadable, path.to_string_lossy(), e.to_string());
    read.map_err(unreadable)?;
    Ok(bytes)
}
