//! A part file that is locked: written, recorded, published or removed.
//!
//! Invariant: the first write of a byte in a generation counts, and nothing is written for an earlier generation, nor once the
//! file has its name or was removed. Nobody else's file is renamed or removed: the path must still lead to ours.

use super::{RECORD, URL, read_full, remove, rename};
use crate::disk::{Attach, Beginning, Generation, Part, Publishing, failure, platform};
use bytes::Bytes;
use downhaul_core::adopt::Adopted;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::Record;
use downhaul_core::name::SideFiles;
use downhaul_core::ranges::RangeSet;
use downhaul_core::settings::Sync;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// After so many bytes, writing them back to the disk is begun, so that forcing them there at the end is short.
const WRITE_BACK: u64 = 32 * 1024 * 1024;

pub(super) struct PartFile {
    pub(super) file: File,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Where its journal is, if it has one.
    pub(super) journal: PathBuf,
    new_journal: PathBuf,
    state: Mutex<State>,
}

/// One lock for all that changes the files: the system writes to a file one call at a time anyway.
#[derive(Default)]
pub(super) struct State {
    generation: Generation,
    /// It had no bytes when it was opened, and was given none before its first generation.
    pub(super) empty: bool,
    /// What was written in this generation: the first write of a byte counts, so that no duplicate that comes late changes
    /// what was hashed already.
    written: RangeSet,
    pub(super) journal: Option<File>,
    /// The journal claims something.
    pub(super) claims: bool,
    /// There is none at its path.
    pub(super) no_journal: bool,
    /// Offsets, and how many, of bytes whose way to the disk was not begun.
    dirty: (Range<u64>, u64),
    /// What another tool left, until the server's bytes agreed with its end.
    pub(super) adopted: Option<Adopted>,
    /// What of its end agreed so far.
    pub(super) agreed: RangeSet,
    /// It has its final name, or was removed: there is nothing to discard.
    pub(super) gone: bool,
}

impl PartFile {
    /// A file that is locked. `empty`: it has no bytes.
    pub(super) fn new(file: File, side: SideFiles, empty: bool) -> PartFile {
        let SideFiles { part: path, journal, new_journal } = side;
        PartFile { file, path, journal, new_journal, state: Mutex::new(State { empty, ..State::default() }) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // What it holds is consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, state: &mut State, record: &[u8]) -> Result<(), Error> {
        let Some(journal) = state.journal.as_mut() else { return Ok(()) };
        state.claims = true;
        journal.write_all(record).map_err(|e| failure(&e, &self.journal))
    }

    fn new_journal(&self, bytes: &[u8], sync: bool) -> Result<File, Error> {
        let (path, new) = (&self.journal, &self.new_journal);
        let write = || {
            // Whatever stands there is a leftover, or was planted: it is not written through.
            remove(new);
            let mut file = platform::create_new(new)?;
            file.write_all(bytes)?;
            if sync {
                file.sync_data()?;
            }
            rename(new, path)?;
            Ok(file)
        };
        write().map_err(|e: io::Error| {
            remove(new);
            failure(&e, path)
        })
    }

    /// Begins to bring to the disk what was written.
    fn write_back(&self, state: &mut State, range: &Range<u64>) {
        let (dirty, bytes) = &mut state.dirty;
        *bytes += range.end - range.start;
        *dirty = match dirty.is_empty() {
            true => range.clone(),
            false => dirty.start.min(range.start)..dirty.end.max(range.end),
        };
        if *bytes >= WRITE_BACK {
            platform::begin_write_back(&self.file, dirty.clone());
            state.dirty = Default::default();
        }
    }

    /// Attaches to the complete file what it takes to know it again. Where the disk cannot do that, the server is asked.
    fn attach(&self, what: &Attach) {
        // Its date is read back: the disk may keep it less exactly than it was set.
        let Ok(meta) = self.file.metadata() else { return };
        let Ok(modified) = meta.modified() else { return };
        let record = Record::new(what.origin, meta.len(), modified, what.now, &what.version);
        if platform::attach(&self.file, RECORD, &record.to_bytes())
            && let Some(url) = &what.url
        {
            platform::attach(&self.file, URL, url.as_bytes());
        }
    }

    /// Whether the path still leads to our file. If somebody took it away, what is there now is somebody else's.
    fn is_ours(&self, meta: &Metadata) -> bool {
        platform::is_at(meta, &self.path).unwrap_or(false)
    }
}

impl Part for PartFile {
    fn begin(&self, beginning: Beginning<'_>) -> Result<Generation, Error> {
        let mut state = self.state();
        if state.gone {
            return Err(late(&self.path));
        }
        state.generation += 1;
        (state.written, state.claims, state.journal) = (RangeSet::new(), false, None);
        if !beginning.keep {
            state.adopted = None;
            // What is empty already, as with most files, costs no call.
            if state.generation > 1 || !state.empty {
                self.file.set_len(0).map_err(|e| failure(&e, &self.path))?;
            }
        }
        match beginning.journal {
            Some(start) => {
                state.journal = Some(self.new_journal(start, false)?);
                state.no_journal = false;
            }
            None if state.no_journal => {}
            None => remove(&self.journal),
        }
        if let Some(size) = beginning.size.filter(|_| beginning.journal.is_some()) {
            platform::preallocate(&self.file, size).map_err(|e| failure(&e, &self.path))?;
        }
        Ok(state.generation)
    }

    fn write_at(
        &self,
        generation: Generation,
        offset: u64,
        data: &[Bytes],
        end: &AtomicU64,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        if state.generation != generation || state.gone || end.load(Ordering::Relaxed) == 0 {
            return Err(late(&self.path));
        }
        // Another one has what lies beyond by now, and may have begun to write it.
        let mine = data_below(offset, data, end.load(Ordering::Relaxed));
        let data = mine.as_deref().unwrap_or(data);
        self.compare(&mut state, offset, data)?;
        let range = offset..data.iter().fold(offset, |end, buffer| end + buffer.len() as u64);
        let whole = !state.written.touches(&range);
        if whole {
            platform::write_all_at(&self.file, offset, data).map_err(|e| failure(&e, &self.path))?;
        } else {
            let mut at = offset;
            for buffer in data {
                let end = at + buffer.len() as u64;
                for missing in state.written.missing(at..end) {
                    let some = |offset: u64| usize::try_from(offset - at).unwrap_or(buffer.len());
                    let bytes = buffer.slice(some(missing.start)..some(missing.end));
                    platform::write_all_at(&self.file, missing.start, &[bytes])
                        .map_err(|e| failure(&e, &self.path))?;
                }
                at = end;
            }
        }
        state.written.insert(range.clone());
        if state.journal.is_some() {
            self.write_back(&mut state, &range);
        }
        Ok(whole && mine.is_none())
    }

    fn record(&self, generation: Generation, record: &[u8]) -> Result<(), Error> {
        let mut state = self.state();
        if state.generation != generation || state.gone {
            return Err(late(&self.path));
        }
        self.append(&mut state, record)
    }

    fn void(&self, generation: Generation, range: Range<u64>) -> Result<bool, Error> {
        let mut state = self.state();
        if state.generation != generation || state.gone {
            return Err(late(&self.path));
        }
        state.written.remove(range);
        Ok(true)
    }

    fn rewrite_journal(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut state = self.state();
        // It takes the place of one that may be on the disk already.
        state.journal = Some(self.new_journal(bytes, true)?);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        read_full(&self.file, offset, buffer).map_err(|e| failure(&e, &self.path))
    }

    fn occupied(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| platform::occupied(&meta))
    }

    fn device(&self) -> u64 {
        platform::device(&self.file)
    }

    fn publish(&self, target: &Path, how: Publishing) -> Result<(), Error> {
        let mut state = self.state();
        // Duplicates that are still on their way come too late from here on.
        state.generation += 1;
        let meta = self.file.metadata().map_err(|e| failure(&e, &self.path))?;
        let length = meta.len();
        if state.adopted.is_some() {
            let why = "the server's file ends before its end could be compared";
            return Err(Error::new(ErrorKind::ResumeDamaged, target.to_string_lossy(), why));
        }
        if length < how.size || !self.is_ours(&meta) {
            let why = "somebody changed the part file or took it away";
            return Err(Error::new(ErrorKind::DiskFailed, self.path.to_string_lossy(), why));
        }
        if length > how.size {
            // Somebody added to what an earlier run left.
            self.file.set_len(how.size).map_err(|e| failure(&e, &self.path))?;
        }
        let replace = how.replace || (how.continues && self.continues(target, how.size)?);
        if let Some(modified) = how.modified {
            // A time that the disk cannot hold is no reason to lose the file.
            let _ = self.file.set_modified(modified);
        }
        if let Some(what) = &how.attach {
            self.attach(what);
        }
        if how.sync == Sync::Always || (how.sync == Sync::Auto && state.journal.is_some()) {
            self.file.sync_data().map_err(|e| failure(&e, &self.path))?;
        }
        let renamed =
            if replace { rename(&self.path, target) } else { platform::rename_if_free(&self.path, target) };
        match renamed {
            Ok(()) => {
                state.gone = true;
                if state.journal.take().is_some() {
                    remove(&self.journal);
                }
                if how.sync == Sync::Always {
                    platform::sync_folder(target).map_err(|e| failure(&e, target))?;
                }
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(Error::new(
                ErrorKind::FileExists,
                target.to_string_lossy(),
                "it appeared during the download",
            )),
            Err(e) => Err(failure(&e, target)),
        }
    }

    fn discard(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.gone, true)
            && self.file.metadata().is_ok_and(|meta| self.is_ours(&meta))
        {
            state.journal = None;
            remove(&self.journal);
            remove(&self.path);
        }
    }
}

/// A part file whose journal claims nothing is of no use to anybody once it is let go.
impl Drop for PartFile {
    fn drop(&mut self) {
        let state = self.state();
        let useful = state.journal.is_some() && state.claims;
        drop(state);
        if !useful {
            self.discard();
        }
    }
}

/// What of the data lies below `end`; `None` if all of it does.
fn data_below(offset: u64, data: &[Bytes], end: u64) -> Option<Vec<Bytes>> {
    let all: u64 = data.iter().map(|buffer| buffer.len() as u64).sum();
    let mut room = end.saturating_sub(offset);
    (all > room).then(|| {
        let cut = data.iter().map(|buffer| {
            let some = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
            room -= some as u64;
            buffer.slice(..some)
        });
        cut.collect()
    })
}

fn late(path: &Path) -> Error {
    Error::new(ErrorKind::DiskFailed, path.to_string_lossy(), "a write came after the file had begun again")
}
