//! Real files: `NAME.part` beside `NAME`, locked while it is written, renamed when complete.

use super::{Disk, Part, Standing, failure, platform};
use crate::verify::Hashers;
use bytes::Bytes;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, Kind};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// The machine's disks.
pub(crate) struct Files;

struct PartFile {
    file: File,
    path: PathBuf,
    /// It has its final name, or was removed: there is nothing to discard.
    gone: AtomicBool,
}

/// `NAME.part`.
pub(crate) fn part_path(target: &Path) -> PathBuf {
    let mut path = target.as_os_str().to_owned();
    path.push(".part");
    PathBuf::from(path)
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

    fn open_part(&self, target: &Path) -> Result<Box<dyn Part>, Error> {
        if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_folder(folder).map_err(|e| failure(&e, folder))?;
        }
        let path = part_path(target);
        // The run that held the lock before us may have renamed or removed its part file between our opening
        // and our locking; then ours is not the file at that path any more. Thrice in a row is no accident.
        for _ in 0..3 {
            let file = platform::open_part(&path).map_err(|e| failure(&e, &path))?;
            if !file.metadata().map_err(|e| failure(&e, &path))?.is_file() {
                return Err(Error::new(Kind::DiskFailed, path.to_string_lossy(), "it is not a file"));
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(Kind::FileLocked, target.to_string_lossy(), ""));
                }
                // Some network file systems have no locks; without one a second run is not noticed, and that is
                // better than no download.
                Err(TryLockError::Error(e)) if platform::has_no_locks(&e) => {}
                Err(TryLockError::Error(e)) => return Err(failure(&e, &path)),
            }
            if platform::is_at(&file, &path).map_err(|e| failure(&e, &path))? {
                file.set_len(0).map_err(|e| failure(&e, &path))?;
                return Ok(Box::new(PartFile { file, path, gone: AtomicBool::new(false) }));
            }
        }
        Err(Error::new(Kind::FileLocked, target.to_string_lossy(), ""))
    }

    fn digests(&self, path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Digest>, Error> {
        let mut file = File::open(path).map_err(|e| failure(&e, path))?;
        let mut hashers = Hashers::new(algorithms);
        // Large enough that the calls cost nothing beside the hashing, small enough to stay in the cache.
        let mut buffer = vec![0; 256 * 1024];
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

impl Part for PartFile {
    fn write_at(&self, offset: u64, data: &[Bytes]) -> Result<(), Error> {
        platform::write_all_at(&self.file, offset, data).map_err(|e| failure(&e, &self.path))
    }

    fn restart(&self) -> Result<(), Error> {
        self.file.set_len(0).map_err(|e| failure(&e, &self.path))
    }

    fn publish(&self, target: &Path, replace: bool, modified: Option<SystemTime>) -> Result<(), Error> {
        if let Some(modified) = modified {
            // A time that the disk cannot hold is no reason to lose the file.
            let _ = self.file.set_modified(modified);
        }
        let renamed =
            if replace { rename(&self.path, target) } else { platform::rename_if_free(&self.path, target) };
        match renamed {
            Ok(()) => {
                self.gone.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::new(Kind::FileExists, target.to_string_lossy(), "it appeared during the download"))
            }
            Err(e) => Err(failure(&e, target)),
        }
    }

    fn discard(&self) {
        if !self.gone.swap(true, Ordering::Relaxed) {
            remove(&self.path);
        }
    }
}

/// A part file that nobody holds any more, in whatever way that came about, is of no use.
impl Drop for PartFile {
    fn drop(&mut self) {
        self.discard();
    }
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
    reason = "a part file that is of no use any more, or has got another name"
)]
pub(super) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_file_is_locked_and_becomes_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("sub/name");
        let part = Files.open_part(&target).expect("opens");
        assert_eq!(Files.open_part(&target).err().map(|e| e.kind), Some(Kind::FileLocked));
        part.write_at(0, &[Bytes::from_static(b"hello "), Bytes::new(), Bytes::from_static(b"world")])
            .expect("writes");
        part.write_at(6, &[Bytes::from_static(b"there")]).expect("writes");
        part.publish(&target, false, Some(SystemTime::UNIX_EPOCH)).expect("publishes");
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
        let part = Files.open_part(&target).expect("opens");
        fs::write(&target, b"old").expect("writes");
        assert_eq!(part.publish(&target, false, None).map_err(|e| e.kind), Err(Kind::FileExists));
        assert_eq!(fs::read(&target).expect("is there"), b"old");
        part.publish(&target, true, None).expect("replaces");
        assert_eq!(fs::read(&target).expect("is there"), b"");
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, victim) = (folder.path().join("name"), folder.path().join("victim"));
        fs::write(&victim, b"precious").expect("writes");
        std::os::unix::fs::symlink(&victim, part_path(&target)).expect("links");
        assert!(Files.open_part(&target).is_err());
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
