//! Contains the functions of `unix.rs` for other systems (Windows). They are not tested.

use bytes::Bytes;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::windows::fs::FileExt;
use std::path::Path;

/// Opens a partial file, or makes it.
pub(super) fn open_part(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Fails, because std cannot create files without a name.
pub(super) fn create_nameless(_folder: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails, because there are no files without a name.
pub(super) fn give_name(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Opens a file for reading only.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Succeeds always, because std cannot check this without writing.
pub(super) fn check_writable(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens a journal to read it and add to it.
pub(super) fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

/// Makes a new file, to which data is appended. Fails if there is a file already.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).open(path)
}

/// Opens a pipe or a device for writing.
pub(super) fn open_in_order(path: &Path) -> io::Result<Option<File>> {
    OpenOptions::new().append(true).open(path).map(Some)
}

/// Returns false, because std does not offer this check.
pub(super) fn is_block_device(_path: &Path) -> bool {
    false
}

/// Reads bytes at an offset. Returns how many were read.
pub(super) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Returns how many bytes of the disk a file occupies.
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

/// Does nothing, because the file system keeps names in its own journal.
pub(super) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns true if there is a file at the path. On Windows an open file keeps its name, so the file at the
/// path is the open one.
pub(super) fn is_at(_ours: &Metadata, path: &Path) -> io::Result<bool> {
    Ok(path.exists())
}

/// Returns false, because std does not report the number of hard links.
pub(super) fn has_other_names(_meta: &Metadata) -> bool {
    false
}

/// Returns 0, because std does not report an identifier of the file system.
pub(super) fn device(_file: &File) -> u64 {
    0
}

/// Writes all buffers.
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

/// Renames a file, unless there is one at `to`.
pub(super) fn rename_if_free(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    super::file::rename(from, to)
}

/// Returns false, because every file system of Windows has locks.
pub(super) fn has_no_locks(_error: &io::Error) -> bool {
    false
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

/// Returns `None`, because std does not offer extended attributes.
pub(super) fn attached(_path: &Path, _name: &str) -> Option<Vec<u8>> {
    None
}
