//! Implements the disk of a preview (`downhaul plan`). It examines names, partial files and journals as the
//! disk of a download does, and writes nothing.
//!
//! Invariant: no file and no folder is made, changed, renamed or removed. A lock on a partial file is
//! released at once, so that a preview hinders no download.

use super::part::PartFile;
use super::{Files, LockState, folder_of, lock_state, open_if_there, sides};
use crate::disk::{
    Beginning, Disk, Found, Generation, Opening, Part, Publishing, Standing, failure, platform,
};
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::Identity;
use downhaul_core::settings::Resume;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

/// Reads the file systems of this machine for a preview, and writes nothing.
pub(crate) struct ReadOnlyFiles;

impl Disk for ReadOnlyFiles {
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error> {
        Files.look(path)
    }

    fn has_left(&self, target: &Path, identity: &Identity) -> bool {
        Files.has_left(target, identity)
    }

    fn is_anothers(&self, target: &Path, identity: &Identity) -> bool {
        Files.is_anothers(target, identity)
    }

    fn unfinished_by(&self, path: &Path) -> Option<&'static str> {
        Files.unfinished_by(path)
    }

    fn may_lack_bytes(&self, path: &Path) -> Result<bool, Error> {
        Files.may_lack_bytes(path)
    }

    fn names(&self, folder: &Path, most: usize) -> Option<Vec<String>> {
        Files.names(folder, most)
    }

    fn open_part(&self, target: &Path, how: Opening<'_>) -> Result<(Box<dyn Part>, Option<Found>), Error> {
        let (side, _) = sides(target, how);
        let near = existing_folder(folder_of(target))?;
        let part = open_unlocked(&side.part, target)?;
        let opens = how.resume == Resume::Repair || (how.resume == Resume::Adopt && part.is_none());
        // If a file exists under the final name, the download begins with a copy of that file.
        let original = if opens { open_if_there(target)? } else { None };
        let is_copy = original.is_some();
        let Some(file) = original.or(part) else {
            return Ok((Box::new(ReadOnlyPart { part: None, near, is_copy }), None));
        };
        let empty = file.metadata().is_ok_and(|meta| meta.len() == 0);
        let part = PartFile::new(file, side, empty).read_only();
        let found = part.find(target, how.resume)?;
        Ok((Box::new(ReadOnlyPart { part: Some(part), near, is_copy }), found))
    }

    fn save(&self, _target: &Path, _identity: &Identity, _data: &[Bytes], _how: &Publishing) -> bool {
        false
    }

    fn tidy(&self, _target: &Path, _identity: &Identity) {}

    fn free_space(&self, target: &Path) -> Option<u64> {
        // `Files::free_space` examines the folder of the path, so any file name in this folder can be used.
        let near = existing_folder(folder_of(target)).ok()?;
        Files.free_space(&near.join("file"))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read>, Error> {
        Files.open(path)
    }
}

/// A partial file in a preview. Its existing bytes can be read. Nothing is written to it.
pub(crate) struct ReadOnlyPart {
    part: Option<PartFile>,
    /// The folder in which a download would make the file. If this folder does not exist yet, the nearest
    /// folder above it that exists.
    near: PathBuf,
    /// True if `part` is the existing file under the final name, and not a partial file. A download would
    /// copy this file, and write to the copy.
    is_copy: bool,
}

impl ReadOnlyPart {
    /// Returns a partial file without bytes, for an output that is written in order, such as a pipe. Nothing
    /// is opened.
    pub(crate) fn in_order() -> ReadOnlyPart {
        ReadOnlyPart { part: None, near: PathBuf::from("."), is_copy: false }
    }
}

impl Part for ReadOnlyPart {
    fn begin(&self, _beginning: Beginning<'_>) -> Result<Generation, Error> {
        Ok(0)
    }

    fn write_at(&self, _: Generation, _: u64, _: &[Bytes], _: &AtomicU64) -> Result<bool, Error> {
        Err(Error::new(ErrorKind::DiskFailed, self.near.to_string_lossy(), "a preview writes nothing"))
    }

    fn append_to_journal(&self, _generation: Generation, _entries: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn void(&self, _generation: Generation, _range: Range<u64>) -> Result<bool, Error> {
        Ok(true)
    }

    fn rewrite_journal(&self, _journal: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        self.part.as_ref().map_or(Ok(0), |part| part.read_at(offset, buffer))
    }

    fn occupied(&self) -> u64 {
        self.part.as_ref().filter(|_| !self.is_copy).map_or(0, Part::occupied)
    }

    fn device(&self) -> u64 {
        File::open(&self.near).map_or(0, |folder| platform::device(&folder))
    }

    fn publish(&self, _target: &Path, _how: Publishing) -> Result<(), Error> {
        Err(Error::new(ErrorKind::DiskFailed, self.near.to_string_lossy(), "a preview writes nothing"))
    }

    fn discard(&self) {}
}

/// Returns this folder, or the nearest folder above it that exists.
///
/// # Errors
/// Returns why a download could not make files in this folder.
fn existing_folder(folder: &Path) -> Result<PathBuf, Error> {
    let all = folder.ancestors().map(|one| if one.as_os_str().is_empty() { Path::new(".") } else { one });
    for one in all {
        match fs::metadata(one) {
            Ok(meta) if meta.is_dir() => {
                platform::check_writable(one).map_err(|e| failure(&e, one))?;
                return Ok(one.into());
            }
            Ok(_) => return Err(failure(&io::ErrorKind::NotADirectory.into(), folder)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failure(&e, folder)),
        }
    }
    // The last folder of `all` is the current folder, or the root of an absolute path. So this line is
    // reached only if the current folder was removed.
    Ok(".".into())
}

/// Opens a partial file for reading. Returns `None` if it does not exist, or if a download would not use it,
/// because it has further names (hard links).
///
/// # Errors
/// Returns `file.locked` if another run is working on the file, and otherwise why a download could not use
/// it.
fn open_unlocked(path: &Path, target: &Path) -> Result<Option<File>, Error> {
    let file = match platform::open_to_read(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failure(&e, path)),
    };
    let meta = file.metadata().map_err(|e| failure(&e, path))?;
    match lock_state(file.try_lock(), path)? {
        LockState::Ours => drop(file.unlock()),
        LockState::Anothers => return Err(Error::new(ErrorKind::FileLocked, target.to_string_lossy(), "")),
    }
    if !meta.is_file() {
        return Err(Error::new(
            ErrorKind::DiskFailed,
            path.to_string_lossy(),
            "the partial file is not a regular file",
        ));
    }
    platform::check_writable(path).map_err(|e| failure(&e, path))?;
    // If the path is a hard link to another file, a download removes the link and makes a new file.
    Ok(Some(file).filter(|file| !platform::has_other_names(file, &meta)))
}
