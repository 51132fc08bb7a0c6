//! Makes the calls to the disk that differ between systems, for Windows.
//!
//! std opens files so that other programs may read, write, rename and delete them while they are open. The
//! features that std does not offer are missing here: extended attributes, files without a name, shared
//! blocks, the free space, and reserved space.

use bytes::Bytes;
use downhaul_core::name::refused_by_windows;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::time::Duration;
use winapi_util::file::{Information, information};

/// `ERROR_ACCESS_DENIED`, `ERROR_SHARING_VIOLATION` and `ERROR_LOCK_VIOLATION`. These errors mean that
/// another program has the file open. The first error can also mean that the user lacks a permission.
const IN_USE: [i32; 3] = [5, 32, 33];

/// The number of the error `ERROR_INVALID_HANDLE` of Windows.
const INVALID_HANDLE: i32 = 6;

/// The highest number of attempts. A program that looks at new files (a virus scanner, an indexer) may have
/// a file open for a moment. The pauses between the attempts are 1, 2, 4, ... milliseconds, and take about
/// a second together.
const ATTEMPTS: u32 = 11;

/// `FILE_FLAG_OPEN_REPARSE_POINT`: a link itself is opened, and not its target.
const OPEN_LINK: u32 = 0x0020_0000;

/// `FILE_FLAG_BACKUP_SEMANTICS`: folders can be opened too.
const OPEN_FOLDER: u32 = 0x0200_0000;

/// Returns the reason if this system does not accept a path, or if it gives a name in the path another
/// meaning.
pub(super) fn refused(path: &Path) -> Option<String> {
    refused_by_windows(&path.to_string_lossy())
}

/// Calls a function. If it fails because another program has a file open, calls it again after a pause, up to
/// `ATTEMPTS` times in total.
pub fn patiently<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let is_in_use = |e: &io::Error| e.raw_os_error().is_some_and(|code| IN_USE.contains(&code));
    for attempt in 0..ATTEMPTS - 1 {
        match act() {
            Err(e) if is_in_use(&e) => std::thread::sleep(Duration::from_millis(1 << attempt)),
            done => return done,
        }
    }
    act()
}

/// Checks that there is a standard output. If there is none, std reports no error when bytes are written to
/// it, and these bytes are lost.
///
/// # Errors
/// Returns the error of a write without a standard output (`ERROR_INVALID_HANDLE`).
pub fn check_stdout() -> io::Result<()> {
    match io::stdout().as_raw_handle().is_null() {
        true => Err(io::Error::from_raw_os_error(INVALID_HANDLE)),
        false => Ok(()),
    }
}

/// Opens a partial file, or makes it. A link is not followed.
pub(super) fn open_part(path: &Path) -> io::Result<File> {
    no_link(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)
}

/// Fails, because std cannot create files without a name.
pub(super) fn create_nameless(_folder: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails, because there are no files without a name.
pub(super) fn give_name(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Opens a file for reading only. A link is not followed.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    no_link(OpenOptions::new().read(true), path)
}

/// Always succeeds. With std, only a write shows if a file or a folder is writable.
pub(super) fn check_writable(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens an existing file to read it and to append to it. A link is not followed.
pub(super) fn open_existing(path: &Path) -> io::Result<File> {
    no_link(OpenOptions::new().read(true).append(true), path)
}

/// Makes a new file, to which data is appended. Fails if there is a file already.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).open(path)
}

/// Opens a file. A link itself is opened, and then refused, so that no other program can put a link at the
/// path between a check and the opening.
fn no_link(how: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = how.custom_flags(OPEN_LINK).open(path)?;
    match file.metadata()?.is_symlink() {
        true => Err(io::Error::other("the path is a symbolic link")),
        false => Ok(file),
    }
}

/// Opens a pipe or a device for writing.
pub(super) fn open_in_order(path: &Path) -> io::Result<Option<File>> {
    OpenOptions::new().append(true).open(path).map(Some)
}

/// Returns true if a path may lead to a disk, which may contain a file system. Of the paths that begin with
/// `\\.\`, only those of pipes and of `NUL` certainly lead to no disk.
pub(super) fn is_block_device(path: &Path) -> bool {
    let path = path.to_string_lossy().to_lowercase();
    path.strip_prefix(r"\\.\").is_some_and(|name| name != "nul" && !name.starts_with(r"pipe\"))
}

/// Reads bytes at an offset. Returns how many were read.
pub(super) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Returns the length of a file, because std does not report how many bytes of the disk the file occupies.
pub(super) fn occupied(meta: &Metadata) -> u64 {
    meta.len()
}

/// Returns false, because files are sparse on Windows only if a program requested that.
pub(super) fn has_holes(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// Returns false, because std cannot share blocks.
pub(super) fn share_blocks(_from: &File, _to: &File) -> bool {
    false
}

/// Does nothing, because std cannot reserve space.
pub(super) fn preallocate(_file: &File, _size: u64) -> io::Result<()> {
    Ok(())
}

/// Does nothing, because the system writes in the background.
pub(super) fn begin_write_back(_file: &File, _range: Range<u64>) {}

/// Returns `None`, because std does not report the free space.
pub(super) fn free_space(_path: &Path) -> Option<u64> {
    None
}

/// Opens a file, to force its bytes to the disk. Windows forces bytes to the disk only if their file is open
/// for writing.
pub(super) fn open_to_force(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Does nothing, because only an administrator can force a whole volume to the disk.
pub(super) fn sync_file_system(_folder: &File) -> io::Result<()> {
    Ok(())
}

/// Does nothing, because the file system keeps names in its own journal.
pub(super) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns true if the path leads to this open file.
pub(super) fn is_at(ours: &File, _meta: &Metadata, path: &Path) -> io::Result<bool> {
    // The numbers that identify a file can be read without any access right, so this works even if another
    // program has locked the file.
    let mut options = OpenOptions::new();
    let there = match options.access_mode(0).custom_flags(OPEN_LINK | OPEN_FOLDER).open(path) {
        Ok(there) => information(&there)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let number = |of: &Information| (of.volume_serial_number(), of.file_index());
    Ok(number(&information(ours)?) == number(&there))
}

/// Returns true if a file has further names (hard links).
pub(super) fn has_other_names(file: &File, _meta: &Metadata) -> bool {
    information(file).is_ok_and(|of| of.number_of_links() > 1)
}

/// Returns the identifier of the file system that has this file, or 0 if it is not known.
pub(super) fn device(file: &File) -> u64 {
    information(file).map_or(0, |of| of.volume_serial_number())
}

/// Unlocks a file that has its final name. A lock would keep other programs from reading it.
pub(super) fn unlock(file: &File) {
    let _ = file.unlock();
}

/// Writes all buffers, one after the other, from this offset on.
pub(super) fn write_all_at(file: &File, mut offset: u64, data: &[Bytes]) -> io::Result<()> {
    for buffer in data {
        let mut rest: &[u8] = buffer;
        while !rest.is_empty() {
            match file.seek_write(rest, offset)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => {
                    offset += n as u64;
                    rest = &rest[n..];
                }
            }
        }
    }
    Ok(())
}

/// Renames a file. Fails if there is a file at `to` already.
pub(super) fn rename_if_free(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => {
            super::file::remove(from);
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
        // The file system has no hard links (FAT, exFAT). So this code first checks that the path is free,
        // and then renames the file. Another program may create a file in between.
        Err(_) if to.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => super::file::rename(from, to),
    }
}

/// Returns true if an error says that the file system has no locks (`ERROR_INVALID_FUNCTION`,
/// `ERROR_NOT_SUPPORTED`, `ERROR_CALL_NOT_IMPLEMENTED`). Some network file systems have none.
pub(super) fn has_no_locks(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(1 | 50 | 120))
}

/// Returns true if an error is ERROR_TOO_MANY_OPEN_FILES.
pub(super) fn is_too_many_files(error: &io::Error) -> bool {
    error.raw_os_error() == Some(4)
}

/// Returns false, because std does not offer extended attributes.
pub(super) fn attach(_file: &File, _name: &str, _value: &[u8]) -> bool {
    false
}

/// Does nothing, because std does not offer extended attributes.
pub(super) fn detach(_file: &File, _name: &str) {}

/// Returns false, because std does not offer extended attributes.
pub(super) fn stores_attributes(_path: &Path) -> bool {
    false
}

/// Returns `None`, because std does not offer extended attributes.
pub(super) fn attached(_path: &Path, _name: &str) -> Option<Vec<u8>> {
    None
}
