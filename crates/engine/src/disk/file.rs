//! Keeps partial files on real disks: `NAME.part` or `NAME.TAG.part` is beside `NAME`, is locked while it is
//! written, and is renamed when it is complete. Unless the file is small or repaired, a journal is beside its
//! partial file.
//!
//! Invariant: the lock on the partial file also covers its journal. A download changes these two files only
//! while it has the lock, and only if the path still leads to the locked file. A journal without a partial
//! file has no meaning.

mod attributes;
mod duplicate;
mod found;
mod left;
mod nameless;
mod part;
mod read_only;
#[cfg(test)]
mod tests;

use super::{
    ARIA2, Disk, Duplicated, Duplicating, Found, NoFile, Opening, Part, Publishing, Standing, failure,
    platform,
};
use crate::trace::DISK;
use bytes::Bytes;
use downhaul_core::dedup::Original;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::{self, Further, Identity, Record};
use downhaul_core::journal;
use downhaul_core::name::{SideFiles, side_files, tagged_side_files};
pub(crate) use left::delete_left;
use left::remove_useless;
use part::PartFile;
pub(crate) use read_only::{ReadOnlyFiles, ReadOnlyPart};
use std::borrow::Cow;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Saves files to the file systems of this machine.
pub(crate) struct Files;

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}

impl Disk for Files {
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error> {
        check_name(path)?;
        match fs::metadata(path) {
            Ok(meta) => {
                let instead = match (meta.is_file(), meta.is_dir()) {
                    (true, _) => None,
                    (false, true) => Some(NoFile::Folder),
                    (false, false) => Some(NoFile::Device),
                };
                let (record, further) = records(path);
                let (size, modified) = (meta.len(), meta.modified().ok());
                let file = identity::ExistingFile { size, modified, record, further };
                Ok(Some(Standing { instead, file }))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(exists(path).then_some(Standing {
                instead: Some(NoFile::Link),
                file: identity::ExistingFile { size: 0, modified: None, record: None, further: Vec::new() },
            })),
            Err(e) => Err(failure(&e, path)),
        }
    }

    fn has_left(&self, target: &Path, identity: &Identity) -> bool {
        let sides = [tagged_side_files(target, &identity.tag()), side_files(target)];
        sides.iter().any(|side| {
            let both = exists(&side.journal) && exists(&side.part);
            both && start_of(&side.journal).is_some_and(|start| identity.may_resume(start.origin))
        })
    }

    fn is_anothers(&self, target: &Path, identity: &Identity) -> bool {
        let usual = side_files(target);
        let first = first_bytes(&usual.journal);
        // After a power failure, a new journal may be empty, or have only zeros.
        let is_cut = first.as_ref().is_some_and(|first| first.iter().all(|&byte| byte == 0));
        let first = first.unwrap_or_default();
        match journal::read_start(&first) {
            Some(start) => exists(&usual.part) && !identity.may_resume(start.origin),
            // This file is a journal of downhaul that is damaged or has another format, or it is empty or has
            // only zeros. So it does not show whether the partial file belongs to this job.
            None if exists(&usual.part) && (is_cut || journal::is_journal(&first)) => false,
            // Any other file may belong to the user or to another tool.
            None => !is_ours(&usual.part) && (has_bytes(&usual.journal) || has_bytes(&usual.part)),
        }
    }

    fn unfinished_by(&self, path: &Path) -> Option<&'static str> {
        CONTROL_FILES.iter().find(|(ending, _)| exists(&with(path, ending))).map(|(_, tool)| *tool)
    }

    fn may_lack_bytes(&self, path: &Path) -> Result<bool, Error> {
        found::may_lack_bytes(path)
    }

    fn names(&self, folder: &Path, most: usize) -> Option<Vec<String>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match fs::read_dir(folder) {
            Ok(entries) => {
                let mut names = Vec::new();
                for entry in entries {
                    names.push(entry.ok()?.file_name().to_string_lossy().into_owned());
                    if names.len() > most {
                        return None;
                    }
                }
                Some(names)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Some(Vec::new()),
            Err(_) => None,
        }
    }

    fn open_part(&self, target: &Path, how: Opening<'_>) -> Result<(Box<dyn Part>, Option<Found>), Error> {
        check_name(target)?;
        let (side, is_usual) = sides(target, how);
        let (file, meta) = open_and_lock(&side.part, target)?;
        let empty = meta.len() == 0;
        if empty && is_usual && how.mark {
            platform::attach(&file, RECORD, &[UNFINISHED]);
        }
        if how.fresh && !empty {
            // A partial file has appeared since the folder was listed.
            drop(file);
            return self.open_part(target, Opening { fresh: false, ..how });
        }
        let part = PartFile::new(file, side, empty);
        if how.fresh && empty {
            part.state().no_journal = true;
            return Ok((Box::new(part), None));
        }
        let found = part.find(target, how.resume)?;
        Ok((Box::new(part), found))
    }

    fn save(&self, target: &Path, identity: &Identity, data: &[Bytes], how: &Publishing) -> bool {
        match nameless::save(target, data, how) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
            // Some file systems do not support files without a name.
            Err(_) => super::save_as_part(self, target, identity, data, how),
        }
    }

    fn duplicate(
        &self,
        original: &Original,
        target: &Path,
        how: &Duplicating<'_>,
    ) -> Result<Duplicated, Error> {
        duplicate::make(original, target, how)
    }

    fn tidy(&self, target: &Path, identity: &Identity) {
        let side = side_files(target);
        let is_gone = fs::symlink_metadata(&side.part).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        if is_gone && start_of(&side.journal).is_some() {
            remove(&side.journal);
        }
        remove_useless(target, identity);
    }

    fn free_space(&self, target: &Path) -> Option<u64> {
        platform::free_space(target)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read>, Error> {
        Ok(Box::new(File::open(path).map_err(|e| failure(&e, path))?))
    }
}

/// The endings of control files that other tools keep beside an unfinished file, and the names of the tools.
const CONTROL_FILES: [(&str, &str); 2] = [(".aria2", ARIA2), (".st", "axel")];

/// The extended attribute with the record of a finished file.
pub(super) const RECORD: &str = "user.downhaul.origin";

/// The value of the attribute [`RECORD`] while the file is unfinished. This value cannot be read as a record.
pub(super) const UNFINISHED: u8 = 0;

/// The extended attribute with the URL from which a file was downloaded. freedesktop.org defines this
/// attribute.
pub(super) const URL: &str = "user.xdg.origin.url";

/// Returns the record of the file at `path`, and the records of hard links to the same bytes. The bool is
/// true if the hard link of the record has the same file name as `path`. If the file has no record of its
/// own, the records of hard links are not read.
fn records(path: &Path) -> (Option<Record>, Vec<(bool, Record)>) {
    let first = platform::attached(path, RECORD).and_then(|bytes| Record::from_bytes(&bytes));
    let Some(first) = first else { return (None, Vec::new()) };
    let name = name_of(path);
    let further = further_records(path).into_iter().map(|one| (one.is_of(&name), one.record));
    (Some(first), further.collect())
}

fn name_of(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// Returns the records of hard links to the same bytes as the file at a path.
fn further_records(path: &Path) -> Vec<Further> {
    let bytes = platform::attached(path, duplicate::FURTHER);
    bytes.map(|bytes| Further::list_from_bytes(&bytes)).unwrap_or_default()
}

/// Checks a path that the user or a program gave. Names from servers and documents were already made safe.
///
/// # Errors
/// Returns `name.unsafe` if the system would refuse the path or use another path instead.
fn check_name(path: &Path) -> Result<(), Error> {
    match platform::refused(path) {
        Some(why) => Err(Error::new(ErrorKind::NameUnsafe, path.to_string_lossy(), why)),
        None => Ok(()),
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Returns the side files of a job (its partial file and its journals), and true if they have the usual
/// names. Nothing is read from the disk if it is already known that the target has no side files (`fresh`).
fn sides(target: &Path, how: Opening<'_>) -> (SideFiles, bool) {
    match (how.fresh, how.small) {
        (true, true) => (tagged_side_files(target, &how.identity.tag()), false),
        (true, false) => (side_files(target), true),
        (false, small) => side_of(target, how.identity, small),
    }
}

/// Returns the side files of a job, and true if they have the usual names. They have names with a tag if a
/// partial file with that tag exists, if files with the usual names belong to another URL, or if nothing
/// shows that downhaul made those files. A `small` file has no journal that could show this later, so a new
/// partial file of a small file gets a tag too.
fn side_of(target: &Path, identity: &Identity, small: bool) -> (SideFiles, bool) {
    let (usual, own) = (side_files(target), tagged_side_files(target, &identity.tag()));
    let is_own = exists(&own.part) || Files.is_anothers(target, identity) || (small && !exists(&usual.part));
    if is_own { (own, false) } else { (usual, true) }
}

/// Returns true if a file without a journal is a partial file of downhaul. Such a file has a mark, or another
/// run is working on it.
fn is_ours(path: &Path) -> bool {
    platform::attached(path, RECORD).is_some_and(|mark| mark == [UNFINISHED])
        || platform::open_existing(path).is_ok_and(|file| is_locked(&file))
}

/// Returns true if a run is working on a file. Otherwise locks the file until it is closed, if the file
/// system has locks.
fn is_locked(file: &File) -> bool {
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Returns true if a path still leads to this file. Another run may have finished or removed the file before
/// this run locked it. A file that is at the path then belongs to a third run.
pub(super) fn is_still_at(file: &File, path: &Path) -> bool {
    file.metadata().and_then(|meta| platform::is_at(file, &meta, path)).unwrap_or(false)
}

fn has_bytes(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.len() > 0)
}

/// Returns the first entry of a journal, which identifies the file, or `None` if it cannot be read.
fn start_of(journal: &Path) -> Option<journal::Start> {
    journal::read_start(&first_bytes(journal)?)
}

/// Returns the bytes at the start of a journal, which contain its first entry. Returns `None` if the journal
/// cannot be read.
fn first_bytes(journal: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = platform::open_existing(journal).ok()?;
    file.take(journal::START_MOST as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Opens or creates a partial file, and locks it. Makes its folder if there is none. Returns the file with
/// its metadata.
pub(super) fn open_and_lock(path: &Path, target: &Path) -> Result<(File, Metadata), Error> {
    // Another run may rename or remove the partial file after it was opened here and before it was locked.
    // Then the path leads to another file. If that happens three times in a row, another program does it on
    // purpose.
    for _ in 0..3 {
        let file = match platform::open_part(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let folder = folder_of(target);
                make_folder(folder).map_err(|e| failure(&e, folder))?;
                platform::open_part(path)
            }
            other => other,
        };
        let file = file.map_err(|e| failure(&e, path))?;
        if lock_state(file.try_lock(), path)? == LockState::Anothers {
            break;
        }
        let meta = file.metadata().map_err(|e| failure(&e, path))?;
        if !meta.is_file() {
            return Err(Error::new(
                ErrorKind::DiskFailed,
                path.to_string_lossy(),
                "the partial file is not a regular file",
            ));
        }
        if !platform::is_at(&file, &meta, path).map_err(|e| failure(&e, path))? {
            continue;
        }
        if platform::has_other_names(&file, &meta) {
            // The path is a hard link to another file: a finished one, or one that someone placed here. That
            // file must not be changed.
            remove(path);
            continue;
        }
        tracing::debug!(target: DISK, path = %path.display(), bytes = meta.len(), "opened the partial file");
        return Ok((file, meta));
    }
    Err(Error::new(ErrorKind::FileLocked, target.to_string_lossy(), ""))
}

/// Opens the file at a path for reading. Returns `None` if there is no file.
fn open_if_there(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failure(&e, path)),
    }
}

fn folder_of(target: &Path) -> &Path {
    target.parent().unwrap_or(target)
}

/// The result of an attempt to lock a file.
#[derive(PartialEq, Eq)]
pub(super) enum LockState {
    /// This run has the lock, or the file system has no locks.
    Ours,
    /// Another run has the lock.
    Anothers,
}

/// Returns what an attempt to lock the file at a path means.
pub(super) fn lock_state(attempt: Result<(), TryLockError>, path: &Path) -> Result<LockState, Error> {
    match attempt {
        Ok(()) => Ok(LockState::Ours),
        Err(TryLockError::WouldBlock) => Ok(LockState::Anothers),
        // Some network file systems have no locks. Without a lock, a second run is not detected, but the
        // download works.
        Err(TryLockError::Error(e)) if platform::has_no_locks(&e) => Ok(LockState::Ours),
        Err(TryLockError::Error(e)) => Err(failure(&e, path)),
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

#[expect(clippy::disallowed_methods, reason = "the folders of a file are made together with the file")]
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[expect(clippy::disallowed_methods, reason = "a complete file or journal replaces an older one in one step")]
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    platform::patiently(|| fs::rename(from, to))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a partial file or journal that is not needed any more, or has a new name"
)]
pub(super) fn remove(path: &Path) {
    let _ = platform::patiently(|| fs::remove_file(path));
}
