//! Writes the bytes and the journal of a locked partial file, and publishes or removes the partial file.
//!
//! Invariant: in each generation, a byte that was written is not written again, unless it was discarded in
//! the meantime ([`Part::void`]). Nothing is written for an earlier generation, or after the file got its
//! final name or was removed. The path is renamed or removed only if it still leads to the locked file.

use super::attributes::attach;
use super::found::{has_control_file, remove_control_file};
use super::{RECORD, read_full, remove, rename};
use crate::clock;
use crate::disk::{Beginning, Generation, Part, Publishing, failure, platform};
use crate::trace::DISK;
use bytes::Bytes;
use downhaul_core::adopt::Adopted;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::name::SideFiles;
use downhaul_core::ranges::RangeSet;
use downhaul_core::settings::Sync;
use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::debug;

/// Each time this many bytes were written to a file with a journal, the system is told to begin writing
/// them to the disk. Forcing the file to the disk at the end is then quick, because few bytes are left to
/// write.
const WRITE_BACK: u64 = 32 * 1024 * 1024;

pub(super) struct PartFile {
    pub(super) file: File,
    /// The path of the partial file.
    pub(super) path: PathBuf,
    /// The path of its journal, if it has one.
    pub(super) journal: PathBuf,
    new_journal: PathBuf,
    /// True if nothing is written, because this is a preview.
    pub(super) is_read_only: bool,
    state: Mutex<State>,
}

/// The state that changes. One mutex for all of it is enough, because the system carries out the writes to a
/// file one after the other anyway.
#[derive(Default)]
pub(super) struct State {
    generation: Generation,
    /// True if the file had no bytes when it was opened, and got none before its first generation.
    pub(super) empty: bool,
    /// The ranges that were written in this generation. Only the first write of a byte is used, so a late
    /// duplicate does not change bytes that were hashed already.
    written: RangeSet,
    pub(super) journal: Option<File>,
    /// True if the journal may have a claim.
    pub(super) claims: bool,
    /// True if the file has the bytes of the file that is being repaired. A later repair finds the right
    /// chunks by their hashes, so it needs no journal.
    pub(super) is_repair: bool,
    /// True if it is known that there is no file at the path of the journal.
    pub(super) no_journal: bool,
    /// A range that contains all bytes that the system was not yet told to write to the disk, and the
    /// number of these bytes.
    dirty: (Range<u64>, u64),
    /// The unfinished file of another tool, until its last bytes were found equal to the server's bytes.
    pub(super) adopted: Option<Adopted>,
    /// The path of that unfinished file.
    pub(super) adopted_from: PathBuf,
    /// The ranges in the last bytes of that unfinished file that were found equal to the server's bytes.
    pub(super) agreed: RangeSet,
    /// True if the file must not be discarded: it has its final name, it was removed already, or it is kept
    /// because its journal cannot be read now.
    pub(super) gone: bool,
}

impl PartFile {
    /// Returns a partial file for a locked file. `empty` is true if it has no bytes.
    pub(super) fn new(file: File, side: SideFiles, empty: bool) -> PartFile {
        let SideFiles { part: path, journal, new_journal } = side;
        let state = Mutex::new(State { empty, ..State::default() });
        PartFile { file, path, journal, new_journal, is_read_only: false, state }
    }

    /// Returns this partial file for a preview, which only reads it.
    pub(super) fn read_only(mut self) -> PartFile {
        self.is_read_only = true;
        self
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock can be used, because the state is consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, state: &mut State, record: &[u8]) -> Result<(), Error> {
        let Some(journal) = state.journal.as_mut() else { return Ok(()) };
        state.claims = true;
        let append = |journal: &mut File| {
            let before = journal.stream_position()?;
            journal.write_all(record).inspect_err(|_| {
                // The disk may be full. If a part of an entry stayed in the journal, later entries could not
                // be read.
                let _ = journal.set_len(before).and_then(|()| journal.seek(SeekFrom::Start(before)));
            })
        };
        append(journal).map_err(|e| failure(&e, &self.journal))
    }

    fn new_journal(&self, bytes: &[u8], sync: bool) -> Result<File, Error> {
        let (path, new) = (&self.journal, &self.new_journal);
        let since = clock::instant();
        let write = || {
            // A file of this name is from an earlier run, or another program made it. It is removed, and
            // nothing is written to it.
            remove(new);
            let mut file = platform::create_new(new)?;
            file.write_all(bytes)?;
            if sync {
                file.sync_data()?;
            }
            rename(new, path)?;
            debug!(target: DISK, path = %path.display(), forced = sync, took = ?since.elapsed(), "began a journal");
            Ok(file)
        };
        write().map_err(|e: io::Error| {
            remove(new);
            failure(&e, path)
        })
    }

    /// Counts the bytes of a range that was written. When [`WRITE_BACK`] bytes were counted, tells the system
    /// to begin writing these bytes to the disk. Does not wait.
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

    /// Returns true if the path still leads to this file. Otherwise a file at the path belongs to another
    /// program.
    fn is_ours(&self, meta: &Metadata) -> bool {
        platform::is_at(&self.file, meta, &self.path).unwrap_or(false)
    }

    /// Compares a file that appeared under the final name during the download, and accepts it if the options
    /// say so and it has the same bytes.
    ///
    /// # Errors
    /// Returns `file.exists` if the file is not accepted, or the error of reading one of the files.
    fn meet(&self, target: &Path, how: &Publishing) -> Result<(), Error> {
        if how.accepts_same && self.is_same(target, how.size)? {
            debug!(target: DISK, path = %target.display(), "kept the same file of another run");
            self.discard();
            return Ok(());
        }
        let why = "this download did not save it";
        Err(Error::new(ErrorKind::FileExists, target.to_string_lossy(), why))
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
            (state.adopted, state.is_repair) = (None, false);
            // Most files are empty already, and then no call is needed.
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
        // The bytes beyond `end` may now be assigned to another connection, whose worker may have begun to
        // write them.
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

    fn append_to_journal(&self, generation: Generation, entries: &[u8]) -> Result<(), Error> {
        let mut state = self.state();
        if state.generation != generation || state.gone {
            return Err(late(&self.path));
        }
        self.append(&mut state, entries)
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
        // FAT, some network file systems and older versions of Windows cannot replace a file that is open.
        state.journal = None;
        // The new journal is forced to the disk, because it may replace an existing one.
        match self.new_journal(bytes, true) {
            Ok(new) => {
                state.journal = Some(new);
                Ok(())
            }
            Err(e) => {
                // The old journal is still valid. If it cannot be opened, it may be readable later, so it is
                // kept.
                state.journal = platform::open_existing(&self.journal).ok();
                state.gone |= state.journal.is_none();
                Err(e)
            }
        }
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
        // From here on, writes for the earlier generation fail, because they are too late.
        state.generation += 1;
        let meta = self.file.metadata().map_err(|e| failure(&e, &self.path))?;
        let length = meta.len();
        if state.adopted.is_some() {
            let why = "the server's file ends before the end of the unfinished file could be compared";
            return Err(Error::new(ErrorKind::ResumeDamaged, target.to_string_lossy(), why));
        }
        if length < how.size || !self.is_ours(&meta) {
            let why = "another program changed, moved or removed the partial file";
            return Err(Error::new(ErrorKind::DiskFailed, self.path.to_string_lossy(), why));
        }
        if length > how.size {
            // Another program may have appended bytes to the partial file of an earlier run.
            self.file.set_len(how.size).map_err(|e| failure(&e, &self.path))?;
        }
        let replace = how.replace || (how.continues && self.continues(target, how.size)?);
        if let Some(modified) = how.modified {
            // If the disk cannot store the time, the file is still published.
            let _ = self.file.set_modified(modified);
        }
        match &how.attach {
            Some(what) => attach(&self.file, what, None),
            // An earlier run, with other options, may have marked the file.
            None if state.journal.is_some() => platform::detach(&self.file, RECORD),
            None => {}
        }
        if how.sync == Sync::Always || (how.sync == Sync::Auto && state.journal.is_some()) {
            let since = clock::instant();
            self.file.sync_data().map_err(|e| failure(&e, &self.path))?;
            debug!(target: DISK, path = %self.path.display(), took = ?since.elapsed(), "forced the file to the disk");
        }
        let has_control_file = how.continues && has_control_file(target);
        let renamed =
            if replace { rename(&self.path, target) } else { platform::rename_if_free(&self.path, target) };
        match renamed {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                drop(state);
                return self.meet(target, &how);
            }
            Err(e) => return Err(failure(&e, target)),
        }
        debug!(target: DISK, path = %target.display(), "gave the file its name");
        if has_control_file {
            remove_control_file(target);
        }
        state.gone = true;
        platform::unlock(&self.file);
        if state.journal.take().is_some() {
            remove(&self.journal);
        }
        if how.sync == Sync::Always {
            platform::sync_folder(target).map_err(|e| failure(&e, target))?;
        }
        Ok(())
    }

    fn discard(&self) {
        if self.is_read_only {
            return;
        }
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

/// Removes the partial file if it is not a repair, and has no journal or a journal without claims. Such a
/// partial file cannot be resumed.
impl Drop for PartFile {
    fn drop(&mut self) {
        let state = self.state();
        let useful = state.is_repair || (state.journal.is_some() && state.claims);
        drop(state);
        if !useful {
            self.discard();
        }
    }
}

/// Returns the part of the data below `end`, or `None` if all of the data is below `end`.
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
    Error::new(ErrorKind::DiskFailed, path.to_string_lossy(), "a write came too late")
}
