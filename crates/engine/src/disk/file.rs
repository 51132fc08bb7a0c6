//! Real files: `NAME.part` beside `NAME`, locked while it is written, renamed when complete; beside it, unless it is
//! small, its journal.
//!
//! Invariant: whoever holds the lock on the part file owns its journal too. Nothing of either is changed before the
//! lock is ours and the path still leads to the file that is locked. A journal without a part file is of no use.

use super::{Beginning, Disk, Found, Generation, Part, Publishing, READ, Standing, failure, platform};
use bytes::Bytes;
use downhaul_core::error::{Error, Kind};
use downhaul_core::journal::{self, Claim, Crc};
use downhaul_core::plan::OVERLAP;
use downhaul_core::ranges::RangeSet;
use downhaul_core::settings::{Resume, Sync};
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A journal beyond this is not read: it would be one of a file of many terabytes, or none at all.
const LONGEST_JOURNAL: u64 = 256 * 1024 * 1024;

/// After so many bytes, writing them back to the disk is begun, so that forcing them there at the end is short.
const WRITE_BACK: u64 = 32 * 1024 * 1024;

/// The machine's disks.
pub(crate) struct Files;

struct PartFile {
    file: File,
    path: PathBuf,
    state: Mutex<State>,
}

/// One lock for all that changes the files: the system writes to a file one call at a time anyway.
#[derive(Default)]
struct State {
    generation: Generation,
    /// It had no bytes when it was opened, and was given none before its first generation.
    empty: bool,
    /// What was written in this generation: the first write of a byte counts, so that no duplicate that comes late changes
    /// what was hashed already.
    written: RangeSet,
    journal: Option<File>,
    /// The journal claims something.
    claims: bool,
    /// There is none at its path.
    no_journal: bool,
    /// Offsets, and how many, of bytes whose way to the disk was not begun.
    dirty: (Range<u64>, u64),
    /// The end of an adopted prefix, until the server's bytes agreed with it.
    adopted: Option<Range<u64>>,
    /// It has its final name, or was removed: there is nothing to discard.
    gone: bool,
}

/// `NAME.part`.
pub(crate) fn part_path(target: &Path) -> PathBuf {
    with(target, ".part")
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}

fn journal_path(part: &Path) -> PathBuf {
    with(part, ".journal")
}

impl Disk for Files {
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error> {
        match fs::metadata(path) {
            Ok(meta) => Ok(Some(Standing {
                is_folder: !meta.is_file(),
                size: meta.len(),
                modified: meta.modified().ok(),
            })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failure(&e, path)),
        }
    }

    fn has_left(&self, target: &Path) -> bool {
        let part = part_path(target);
        [journal_path(&part), part].iter().all(|path| fs::symlink_metadata(path).is_ok())
    }

    fn open_part(&self, target: &Path, resume: Resume) -> Result<(Box<dyn Part>, Option<Found>), Error> {
        let path = part_path(target);
        let (file, meta) = open_and_lock(&path, target)?;
        let state = State { empty: meta.len() == 0, ..State::default() };
        let part = PartFile { file, path, state: Mutex::new(state) };
        let found = part.find(target, resume)?;
        Ok((Box::new(part), found))
    }

    fn tidy(&self, target: &Path) {
        let part = part_path(target);
        if fs::symlink_metadata(&part).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            remove(&journal_path(&part));
        }
    }

    fn free_space(&self, target: &Path) -> Option<u64> {
        platform::free_space(target)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read>, Error> {
        Ok(Box::new(File::open(path).map_err(|e| failure(&e, path))?))
    }
}

/// The part file, and what it was when the lock was ours.
fn open_and_lock(path: &Path, target: &Path) -> Result<(File, Metadata), Error> {
    // The run that held the lock before us may have renamed or removed its part file between our opening
    // and our locking; then ours is not the file at that path any more. Thrice in a row is no accident.
    for _ in 0..3 {
        let file = match platform::open_part(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let folder = target.parent().unwrap_or(target);
                make_folder(folder).map_err(|e| failure(&e, folder))?;
                platform::open_part(path)
            }
            other => other,
        };
        let file = file.map_err(|e| failure(&e, path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => break,
            // Some network file systems have no locks; without one a second run is not noticed, and that is
            // better than no download.
            Err(TryLockError::Error(e)) if platform::has_no_locks(&e) => {}
            Err(TryLockError::Error(e)) => return Err(failure(&e, path)),
        }
        let meta = file.metadata().map_err(|e| failure(&e, path))?;
        if !meta.is_file() {
            return Err(Error::new(Kind::DiskFailed, path.to_string_lossy(), "it is not a file"));
        }
        if !platform::is_at(&meta, path).map_err(|e| failure(&e, path))? {
            continue;
        }
        if platform::has_other_names(&meta) {
            // A finished file whose part file was not removed any more, or a trap: it is not written through.
            remove(path);
            continue;
        }
        return Ok((file, meta));
    }
    Err(Error::new(Kind::FileLocked, target.to_string_lossy(), ""))
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

fn open_if_there(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failure(&e, path)),
    }
}

impl PartFile {
    fn state(&self) -> MutexGuard<'_, State> {
        // What it holds is consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there to go on with.
    fn find(&self, target: &Path, resume: Resume) -> Result<Option<Found>, Error> {
        if resume == Resume::Forget {
            return Ok(None);
        }
        if resume == Resume::Repair {
            return self.copy(target).map(|length| length.map(Found::Whole));
        }
        let path = journal_path(&self.path);
        let read = || {
            let file = platform::open_existing(&path)?;
            let mut bytes = Vec::new();
            (&file).take(LONGEST_JOURNAL).read_to_end(&mut bytes)?;
            Ok((file, bytes))
        };
        let mut state = self.state();
        match read() {
            Ok((_, bytes)) if bytes.is_empty() => {}
            Ok((file, bytes)) => {
                (state.journal, state.claims) = (Some(file), true);
                return Ok(Some(Found::Journal(bytes)));
            }
            Err(e) if io::Error::kind(&e) == io::ErrorKind::NotFound => state.no_journal = true,
            Err(e) => {
                // What cannot be read now may be worth something later.
                state.gone = true;
                return Err(failure(&e, &path));
            }
        }
        drop(state);
        if resume == Resume::Adopt { self.adopt(target) } else { Ok(None) }
    }

    /// Takes a copy of what another tool left under the final name: it stays as it is until ours is complete.
    fn adopt(&self, target: &Path) -> Result<Option<Found>, Error> {
        let refuse = |why: String| Err(Error::new(Kind::ResumeRefused, target.to_string_lossy(), why));
        for (ending, tool) in [(".aria2", "aria2"), (".st", "axel")] {
            if fs::symlink_metadata(with(target, ending)).is_ok() {
                return refuse(format!(
                    "its {ending} file says that {tool} did not fill it from the beginning"
                ));
            }
        }
        let Some(old) = open_if_there(target)? else { return Ok(None) };
        if platform::has_holes(&old).map_err(|e| failure(&e, target))? {
            return refuse("it has holes: it was not filled from the beginning".into());
        }
        let Some(length) = self.copy(target)? else { return Ok(None) };
        self.state().adopted = Some(length.saturating_sub(OVERLAP)..length);
        Ok(Some(Found::Prefix(length)))
    }

    /// Begins with what is under the final name. How long that is, if it is there and not empty.
    fn copy(&self, target: &Path) -> Result<Option<u64>, Error> {
        let Some(mut old) = open_if_there(target)? else { return Ok(None) };
        let length = old.metadata().map_err(|e| failure(&e, target))?.len();
        if length == 0 {
            return Ok(None);
        }
        self.file.set_len(0).map_err(|e| failure(&e, &self.path))?;
        if !platform::share_blocks(&old, &self.file) {
            io::copy(&mut old, &mut &self.file).map_err(|e| failure(&e, &self.path))?;
        }
        self.state().empty = false;
        Ok(Some(length))
    }

    /// Compares what is to be written with the end of an adopted prefix. Once all of that agreed, the prefix is as good
    /// as our own.
    fn compare(&self, state: &mut State, offset: u64, data: &[Bytes]) -> Result<(), Error> {
        let Some(range) = state.adopted.clone() else { return Ok(()) };
        let mut at = offset;
        for buffer in data {
            let both = at.max(range.start)..range.end.min(at + buffer.len() as u64);
            if !both.is_empty() {
                let mut there = vec![0; usize::try_from(both.end - both.start).unwrap_or(0)];
                let read =
                    read_full(&self.file, both.start, &mut there).map_err(|e| failure(&e, &self.path))?;
                let skip = usize::try_from(both.start - at).unwrap_or(0);
                if read < there.len() || there[..] != buffer[skip..skip + there.len()] {
                    let why = format!("at byte {} and after, the server has other bytes", both.start);
                    return Err(Error::new(Kind::ResumeDamaged, self.path.to_string_lossy(), why));
                }
            }
            at += buffer.len() as u64;
        }
        if at >= range.end && offset <= range.end {
            state.adopted = None;
            self.claim_prefix(state, range.start)?;
        }
        Ok(())
    }

    /// Records that all bytes below `end` are there.
    fn claim_prefix(&self, state: &mut State, end: u64) -> Result<(), Error> {
        let mut crc = Crc::new();
        let mut buffer = vec![0; READ];
        let mut done = 0;
        while done < end {
            let most = usize::try_from(end - done).unwrap_or(READ).min(READ);
            match self.read_at(done, &mut buffer[..most])? {
                0 => return Ok(()),
                read => {
                    crc.update(&buffer[..read]);
                    done += read as u64;
                }
            }
        }
        match done {
            0 => Ok(()),
            _ => self.append(state, &journal::claim(Claim { start: 0, end: done, crc: crc.value() })),
        }
    }

    fn append(&self, state: &mut State, record: &[u8]) -> Result<(), Error> {
        let Some(journal) = state.journal.as_mut() else { return Ok(()) };
        state.claims = true;
        journal.write_all(record).map_err(|e| failure(&e, &journal_path(&self.path)))
    }

    fn new_journal(&self, bytes: &[u8], sync: bool) -> Result<File, Error> {
        let path = journal_path(&self.path);
        let new = with(&path, ".new");
        let write = || {
            // Whatever stands there is a leftover, or was planted: it is not written through.
            remove(&new);
            let mut file = platform::create_new(&new)?;
            file.write_all(bytes)?;
            if sync {
                file.sync_data()?;
            }
            rename(&new, &path)?;
            Ok(file)
        };
        write().map_err(|e: io::Error| {
            remove(&new);
            failure(&e, &path)
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

    /// Whether the path still leads to our file. If somebody took it away, what is there now is somebody else's.
    fn is_ours(&self, meta: &Metadata) -> bool {
        platform::is_at(meta, &self.path).unwrap_or(false)
    }
}

fn late(path: &Path) -> Error {
    Error::new(Kind::DiskFailed, path.to_string_lossy(), "a write came after the file had begun again")
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
            None => remove(&journal_path(&self.path)),
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
            return Err(Error::new(Kind::ResumeDamaged, target.to_string_lossy(), why));
        }
        if length < how.size || !self.is_ours(&meta) {
            let why = "somebody changed the part file or took it away";
            return Err(Error::new(Kind::DiskFailed, self.path.to_string_lossy(), why));
        }
        if length > how.size {
            // Somebody added to what an earlier run left.
            self.file.set_len(how.size).map_err(|e| failure(&e, &self.path))?;
        }
        if let Some(modified) = how.modified {
            // A time that the disk cannot hold is no reason to lose the file.
            let _ = self.file.set_modified(modified);
        }
        if how.sync == Sync::Always || (how.sync == Sync::Auto && state.journal.is_some()) {
            self.file.sync_data().map_err(|e| failure(&e, &self.path))?;
        }
        let renamed = if how.replace {
            rename(&self.path, target)
        } else {
            platform::rename_if_free(&self.path, target)
        };
        match renamed {
            Ok(()) => {
                state.gone = true;
                if state.journal.take().is_some() {
                    remove(&journal_path(&self.path));
                }
                if how.sync == Sync::Always {
                    platform::sync_folder(target).map_err(|e| failure(&e, target))?;
                }
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::new(Kind::FileExists, target.to_string_lossy(), "it appeared during the download"))
            }
            Err(e) => Err(failure(&e, target)),
        }
    }

    fn discard(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.gone, true)
            && self.file.metadata().is_ok_and(|meta| self.is_ours(&meta))
        {
            state.journal = None;
            remove(&journal_path(&self.path));
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

fn read_full(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match platform::read_at(file, offset + done as u64, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

#[expect(clippy::disallowed_methods, reason = "the disk makes folders here, and nowhere else")]
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[expect(clippy::disallowed_methods, reason = "the one way to publish")]
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a part file or journal that is of no use any more, or has got another name"
)]
pub(super) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::super::digests;
    use super::*;
    use downhaul_core::digest::Algorithm;
    use std::time::SystemTime;

    static FOREVER: AtomicU64 = AtomicU64::new(u64::MAX);

    const SMALL: Beginning<'static> = Beginning { journal: None, keep: false, size: None, algorithms: &[] };

    fn plainly(size: u64) -> Publishing {
        Publishing { size, replace: false, modified: None, sync: Sync::Auto }
    }

    fn open(target: &Path) -> (Box<dyn Part>, Option<Found>) {
        Files.open_part(target, Resume::Auto).expect("opens")
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<String> =
            names.map(|one| one.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_has_a_journal_stays_and_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("name");
        let (part, found) = open(&target);
        assert_eq!(found, None);
        let generation = part.begin(Beginning { journal: Some(b"start,"), ..SMALL }).expect("begins");
        part.write_at(generation, 3, &[Bytes::from_static(b"abc")], &FOREVER).expect("writes");
        part.record(generation, b"record").expect("records");
        drop(part);
        assert_eq!(names(folder.path()), ["name.part", "name.part.journal"]);
        let (part, found) = open(&target);
        assert_eq!(found, Some(Found::Journal(b"start,record".to_vec())));
        let mut bytes = [0; 9];
        assert_eq!(part.read_at(0, &mut bytes).expect("reads"), 6);
        assert_eq!(&bytes[..6], b"\0\0\0abc");
        // A write for what was there before the file began again comes too late.
        let again = part.begin(Beginning { journal: Some(b"new,"), ..SMALL }).expect("begins");
        part.write_at(again - 1, 0, &[Bytes::from_static(b"old")], &FOREVER).expect_err("too late");
        part.record(again - 1, b"old").expect_err("too late");
        // So does one of a worker that was dropped meanwhile, whose bytes nobody would judge.
        part.write_at(again, 0, &[Bytes::from_static(b"old")], &AtomicU64::new(0)).expect_err("too late");
        // Nor does anybody write beyond where its task ends by now.
        let cut = part.write_at(
            again,
            5,
            &[Bytes::from_static(b"xy"), Bytes::from_static(b"z")],
            &AtomicU64::new(5),
        );
        assert_eq!(cut, Ok(false));
        part.write_at(again, 0, &[Bytes::from_static(b"n")], &FOREVER).expect("writes");
        assert_eq!(fs::read(folder.path().join("name.part.journal")).expect("is there"), b"new,");
        part.publish(&target, plainly(1)).expect("publishes");
        assert_eq!(names(folder.path()), ["name"]);
        assert_eq!(fs::read(&target).expect("is there"), b"n");
    }

    #[test]
    fn what_another_tool_left_is_copied_and_compared() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("name");
        let old: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        fs::write(&target, &old).expect("writes");
        let (part, found) = Files.open_part(&target, Resume::Adopt).expect("opens");
        assert_eq!(found, Some(Found::Prefix(200_000)));
        let generation =
            part.begin(Beginning { keep: true, journal: Some(b"start,"), ..SMALL }).expect("begins");
        let from = 200_000 - OVERLAP;
        let wrong = part.write_at(generation, from, &[Bytes::from(vec![9; 100])], &FOREVER);
        assert_eq!(wrong.map_err(|e| e.kind), Err(Kind::ResumeDamaged));
        let end = Bytes::copy_from_slice(&old[from as usize..]);
        part.write_at(generation, from, &[end, Bytes::from_static(b"more")], &FOREVER).expect("agrees");
        let journal = fs::read(folder.path().join("name.part.journal")).expect("is there");
        assert!(journal.len() > b"start,".len(), "the prefix is recorded once its end agreed");
        drop(part);
        fs::write(folder.path().join("name.aria2"), b"").expect("writes");
        remove(&folder.path().join("name.part.journal"));
        let refused = Files.open_part(&target, Resume::Adopt).err().map(|e| e.kind);
        assert_eq!(refused, Some(Kind::ResumeRefused));
    }

    #[test]
    fn a_part_file_is_locked_and_becomes_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("sub/name");
        let part = open(&target).0;
        let locked = Files.open_part(&target, Resume::Auto).err().map(|e| e.kind);
        assert_eq!(locked, Some(Kind::FileLocked));
        let generation = part.begin(SMALL).expect("begins");
        let write = |offset, data: &[&'static [u8]]| {
            let data: Vec<Bytes> = data.iter().map(|some| Bytes::from_static(some)).collect();
            part.write_at(generation, offset, &data, &FOREVER).expect("writes")
        };
        assert!(write(2, &[b"llo ", b"", b"the"]));
        // The first write of a byte counts, also where the next one overlaps it.
        assert!(!write(0, &[b"he", b"XXXXXXX", b"re"]));
        part.publish(
            &target,
            Publishing { modified: Some(SystemTime::UNIX_EPOCH), sync: Sync::Always, ..plainly(11) },
        )
        .expect("publishes");
        part.write_at(generation, 0, &[Bytes::from_static(b"late")], &FOREVER).expect_err("too late");
        part.discard();
        assert_eq!(fs::read(&target).expect("is there"), b"hello there");
        assert_eq!(
            Files.look(&target).expect("looks").expect("is there").modified,
            Some(SystemTime::UNIX_EPOCH)
        );
        assert!(!part_path(&target).exists());
    }

    #[test]
    fn nothing_is_replaced_unasked() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("name");
        let part = open(&target).0;
        fs::write(&target, b"old").expect("writes");
        assert_eq!(part.publish(&target, plainly(0)).map_err(|e| e.kind), Err(Kind::FileExists));
        assert_eq!(fs::read(&target).expect("is there"), b"old");
        part.publish(&target, Publishing { replace: true, ..plainly(0) }).expect("replaces");
        assert_eq!(fs::read(&target).expect("is there"), b"");
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, victim) = (folder.path().join("name"), folder.path().join("victim"));
        fs::write(&victim, b"precious").expect("writes");
        std::os::unix::fs::symlink(&victim, part_path(&target)).expect("links");
        assert!(Files.open_part(&target, Resume::Auto).is_err());
        assert_eq!(fs::read(&victim).expect("is there"), b"precious");
    }

    #[test]
    fn digests_of_a_finished_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("abc");
        fs::write(&path, b"abc").expect("writes");
        let digests = digests(&Files, &path, &[Algorithm::Sha256, Algorithm::Sha1]).expect("hashes");
        // FIPS 180-4, the examples for "abc".
        assert_eq!(
            digests[0].to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digests[1].to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
