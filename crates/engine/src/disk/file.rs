//! Real files: `NAME.part` beside `NAME`, locked while it is written, renamed when complete; beside it, unless it is
//! small, its journal.
//!
//! Invariant: whoever holds the lock on the part file owns its journal too. Nothing of either is changed before the
//! lock is ours and the path still leads to the file that is locked. A journal without a part file is of no use.

use super::{Beginning, Disk, Found, Generation, Part, Publishing, Standing, failure, platform};
use crate::verify::Hashers;
use bytes::Bytes;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, Kind};
use downhaul_core::journal::{self, Claim, Crc};
use downhaul_core::plan::OVERLAP;
use downhaul_core::settings::{Resume, Sync};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// A journal beyond this is not read: it would be one of a file of many terabytes, or none at all.
const LONGEST_JOURNAL: u64 = 256 * 1024 * 1024;

/// How much is read at a time: large enough that the calls cost nothing beside what is done with the bytes, small
/// enough to stay in the cache.
const READ: usize = 256 * 1024;

/// After so many bytes, writing them back to the disk is begun, so that forcing them there at the end is short.
const WRITE_BACK: u64 = 32 * 1024 * 1024;

/// The machine's disks.
pub(crate) struct Files;

struct PartFile {
    file: File,
    path: PathBuf,
    /// Held for reading while something is written, and for writing when the generation changes.
    generation: RwLock<Generation>,
    journal: Mutex<Option<File>>,
    /// Offsets of bytes whose way to the disk was not begun.
    dirty: Mutex<(Range<u64>, u64)>,
    /// The end of an adopted prefix, until the server's bytes agreed with it.
    adopted: Mutex<Option<Range<u64>>>,
    /// It has its final name, or was removed: there is nothing to discard.
    gone: Mutex<bool>,
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
        if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_folder(folder).map_err(|e| failure(&e, folder))?;
        }
        let path = part_path(target);
        let file = open_and_lock(&path, target)?;
        let part = PartFile {
            file,
            generation: RwLock::default(),
            journal: Mutex::default(),
            dirty: Mutex::default(),
            adopted: Mutex::default(),
            gone: Mutex::default(),
            path,
        };
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

    fn digests(&self, path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Digest>, Error> {
        let mut file = File::open(path).map_err(|e| failure(&e, path))?;
        let mut hashers = Hashers::new(algorithms);
        let mut buffer = vec![0; READ];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hashers.finish()),
                Ok(n) => hashers.update(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failure(&e, path)),
            }
        }
    }
}

fn open_and_lock(path: &Path, target: &Path) -> Result<File, Error> {
    // The run that held the lock before us may have renamed or removed its part file between our opening
    // and our locking; then ours is not the file at that path any more. Thrice in a row is no accident.
    for _ in 0..3 {
        let file = platform::open_part(path).map_err(|e| failure(&e, path))?;
        if !file.metadata().map_err(|e| failure(&e, path))?.is_file() {
            return Err(Error::new(Kind::DiskFailed, path.to_string_lossy(), "it is not a file"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => break,
            // Some network file systems have no locks; without one a second run is not noticed, and that is
            // better than no download.
            Err(TryLockError::Error(e)) if platform::has_no_locks(&e) => {}
            Err(TryLockError::Error(e)) => return Err(failure(&e, path)),
        }
        if platform::is_at(&file, path).map_err(|e| failure(&e, path))? {
            return Ok(file);
        }
    }
    Err(Error::new(Kind::FileLocked, target.to_string_lossy(), ""))
}

impl PartFile {
    /// What is there to go on with.
    fn find(&self, target: &Path, resume: Resume) -> Result<Option<Found>, Error> {
        if resume == Resume::Forget {
            return Ok(None);
        }
        let path = journal_path(&self.path);
        let read = || {
            let file = platform::open_existing(&path)?;
            let mut bytes = Vec::new();
            (&file).take(LONGEST_JOURNAL).read_to_end(&mut bytes)?;
            Ok((file, bytes))
        };
        match read() {
            Ok((_, bytes)) if bytes.is_empty() => {}
            Ok((file, bytes)) => {
                *lock(&self.journal) = Some(file);
                return Ok(Some(Found::Journal(bytes)));
            }
            Err(e) if io::Error::kind(&e) == io::ErrorKind::NotFound => {}
            Err(e) => {
                // What cannot be read now may be worth something later.
                *lock(&self.gone) = true;
                return Err(failure(&e, &path));
            }
        }
        if resume == Resume::Adopt { self.adopt(target) } else { Ok(None) }
    }

    /// Takes a copy of what another tool left under the final name: it stays as it is until ours is complete.
    fn adopt(&self, target: &Path) -> Result<Option<Found>, Error> {
        let mut old = match File::open(target) {
            Ok(old) => old,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failure(&e, target)),
        };
        let refuse = |why: String| Err(Error::new(Kind::ResumeRefused, target.to_string_lossy(), why));
        for (ending, tool) in [(".aria2", "aria2"), (".st", "axel")] {
            if fs::symlink_metadata(with(target, ending)).is_ok() {
                let why = format!(
                    "its {ending} file says that {tool} filled it here and there, not from the beginning"
                );
                return refuse(why);
            }
        }
        if platform::has_holes(&old).map_err(|e| failure(&e, target))? {
            return refuse("it has holes: it was not filled from the beginning".into());
        }
        let length = old.metadata().map_err(|e| failure(&e, target))?.len();
        self.file.set_len(0).map_err(|e| failure(&e, &self.path))?;
        if !platform::share_blocks(&old, &self.file) {
            io::copy(&mut old, &mut &self.file).map_err(|e| failure(&e, &self.path))?;
        }
        *lock(&self.adopted) = Some(length.saturating_sub(OVERLAP)..length);
        Ok(Some(Found::Prefix(length)))
    }

    /// Compares what is to be written with the end of an adopted prefix. Once all of that agreed, the prefix is as good
    /// as our own.
    fn compare(&self, offset: u64, data: &[Bytes]) -> Result<(), Error> {
        let mut adopted = lock(&self.adopted);
        let Some(range) = adopted.clone() else { return Ok(()) };
        let mut at = offset;
        for buffer in data {
            let upto = range.end.min(at + buffer.len() as u64);
            if at >= range.start && at < upto {
                let mut there = vec![0; usize::try_from(upto - at).unwrap_or(0)];
                let read = read_full(&self.file, at, &mut there).map_err(|e| failure(&e, &self.path))?;
                if there[..read] != buffer[..there.len()] {
                    let why = format!("at byte {at} and after, the server has other bytes");
                    return Err(Error::new(Kind::ResumeDamaged, self.path.to_string_lossy(), why));
                }
            }
            at += buffer.len() as u64;
        }
        if at >= range.end && offset <= range.end {
            *adopted = None;
            let mut crc = Crc::new();
            let mut buffer = vec![0; READ];
            let mut done = 0;
            while done < range.start {
                let most = usize::try_from(range.start - done).unwrap_or(READ).min(READ);
                let read = self.read_at(done, &mut buffer[..most])?;
                if read == 0 {
                    return Ok(());
                }
                crc.update(&buffer[..read]);
                done += read as u64;
            }
            if done > 0 {
                self.append(&journal::claim(Claim { start: 0, end: done, crc: crc.value() }))?;
            }
        }
        Ok(())
    }

    fn append(&self, record: &[u8]) -> Result<(), Error> {
        match lock(&self.journal).as_mut() {
            Some(journal) => journal.write_all(record).map_err(|e| failure(&e, &journal_path(&self.path))),
            None => Ok(()),
        }
    }

    /// Begins to bring to the disk what was written.
    fn write_back(&self, offset: u64, length: u64) {
        let mut dirty = lock(&self.dirty);
        let (range, bytes) = &mut *dirty;
        *bytes += length;
        *range = match range.is_empty() {
            true => offset..offset + length,
            false => range.start.min(offset)..range.end.max(offset + length),
        };
        if *bytes >= WRITE_BACK {
            platform::begin_write_back(&self.file, range.clone());
            *dirty = Default::default();
        }
    }

    fn is_journaled(&self) -> bool {
        lock(&self.journal).is_some()
    }
}

impl Part for PartFile {
    fn begin(&self, beginning: Beginning<'_>) -> Result<Generation, Error> {
        let mut generation = self.generation.write().unwrap_or_else(PoisonError::into_inner);
        *generation += 1;
        if !beginning.keep {
            *lock(&self.adopted) = None;
            self.file.set_len(0).map_err(|e| failure(&e, &self.path))?;
        }
        *lock(&self.journal) = None;
        match beginning.journal {
            Some(start) => self.rewrite_journal(start)?,
            None => remove(&journal_path(&self.path)),
        }
        if let Some(size) = beginning.size.filter(|_| beginning.journal.is_some()) {
            platform::preallocate(&self.file, size).map_err(|e| failure(&e, &self.path))?;
        }
        Ok(*generation)
    }

    fn write_at(&self, generation: Generation, offset: u64, data: &[Bytes]) -> Result<(), Error> {
        let current = self.generation.read().unwrap_or_else(PoisonError::into_inner);
        if *current != generation {
            return Ok(());
        }
        self.compare(offset, data)?;
        platform::write_all_at(&self.file, offset, data).map_err(|e| failure(&e, &self.path))?;
        if self.is_journaled() {
            self.write_back(offset, data.iter().map(|buffer| buffer.len() as u64).sum());
        }
        Ok(())
    }

    fn record(&self, generation: Generation, record: &[u8]) -> Result<(), Error> {
        let current = self.generation.read().unwrap_or_else(PoisonError::into_inner);
        if *current == generation { self.append(record) } else { Ok(()) }
    }

    fn rewrite_journal(&self, bytes: &[u8]) -> Result<(), Error> {
        let path = journal_path(&self.path);
        let new = with(&path, ".new");
        let write = || {
            // Whatever stands there is a leftover, or was planted: it is not written through.
            remove(&new);
            let mut file = platform::create_new(&new)?;
            file.write_all(bytes)?;
            rename(&new, &path)?;
            Ok(file)
        };
        let file = write().map_err(|e| failure(&e, &path))?;
        *lock(&self.journal) = Some(file);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        read_full(&self.file, offset, buffer).map_err(|e| failure(&e, &self.path))
    }

    fn occupied(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| platform::occupied(&meta))
    }

    fn publish(&self, target: &Path, how: Publishing) -> Result<(), Error> {
        // Duplicates that are still on their way come too late from here on.
        *self.generation.write().unwrap_or_else(PoisonError::into_inner) += 1;
        // Somebody may have added to what an earlier run left.
        if self.file.metadata().map_err(|e| failure(&e, &self.path))?.len() > how.size {
            self.file.set_len(how.size).map_err(|e| failure(&e, &self.path))?;
        }
        if let Some(modified) = how.modified {
            // A time that the disk cannot hold is no reason to lose the file.
            let _ = self.file.set_modified(modified);
        }
        if how.sync == Sync::Always || (how.sync == Sync::Auto && self.is_journaled()) {
            self.file.sync_data().map_err(|e| failure(&e, &self.path))?;
        }
        let renamed = if how.replace {
            rename(&self.path, target)
        } else {
            platform::rename_if_free(&self.path, target)
        };
        match renamed {
            Ok(()) => {
                *lock(&self.gone) = true;
                if lock(&self.journal).take().is_some() {
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
        if !std::mem::replace(&mut *lock(&self.gone), true) {
            lock(&self.journal).take();
            remove(&journal_path(&self.path));
            remove(&self.path);
        }
    }
}

/// A part file that has no journal and that nobody holds any more is of no use to anybody.
impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.is_journaled() {
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

/// What is behind these locks is consistent between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

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
        part.write_at(generation, 3, &[Bytes::from_static(b"abc")]).expect("writes");
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
        part.write_at(again - 1, 0, &[Bytes::from_static(b"old")]).expect("does nothing");
        part.record(again - 1, b"old").expect("does nothing");
        part.write_at(again, 0, &[Bytes::from_static(b"n")]).expect("writes");
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
        let wrong = part.write_at(generation, from, &[Bytes::from(vec![9; 100])]);
        assert_eq!(wrong.map_err(|e| e.kind), Err(Kind::ResumeDamaged));
        let end = Bytes::copy_from_slice(&old[from as usize..]);
        part.write_at(generation, from, &[end, Bytes::from_static(b"more")]).expect("agrees");
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
        part.write_at(
            generation,
            0,
            &[Bytes::from_static(b"hello "), Bytes::new(), Bytes::from_static(b"world")],
        )
        .expect("writes");
        part.write_at(generation, 6, &[Bytes::from_static(b"there")]).expect("writes");
        part.publish(
            &target,
            Publishing { modified: Some(SystemTime::UNIX_EPOCH), sync: Sync::Always, ..plainly(11) },
        )
        .expect("publishes");
        part.write_at(generation, 0, &[Bytes::from_static(b"late")]).expect("does nothing");
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
        let digests = Files.digests(&path, &[Algorithm::Sha256, Algorithm::Sha1]).expect("hashes");
        // FIPS 180-4, the examples for "abc".
        assert_eq!(
            digests[0].to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digests[1].to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
