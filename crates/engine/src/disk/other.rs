//! What std does not offer, elsewhere (Windows). Kept portable; tested on Unix only.

use bytes::Bytes;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::windows::fs::FileExt;
use std::path::Path;

/// Opens a part file, or makes it.
pub(super) fn open_part(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Opens a journal to read it and add to it.
pub(super) fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

/// Makes a file to be appended to, where none may stand.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).open(path)
}

/// Opens what is no regular file, to write to it.
pub(super) fn open_in_order(path: &Path) -> io::Result<Option<File>> {
    OpenOptions::new().append(true).open(path).map(Some)
}

/// Not to be had from std.
pub(super) fn is_block_device(_path: &Path) -> bool {
    false
}

/// Reads some bytes.
pub(super) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Bytes of the disk that a file occupies.
pub(super) fn occupied(meta: &Metadata) -> u64 {
    meta.len()
}

/// Files are not sparse here unless somebody asked for it.
pub(super) fn has_holes(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// Not to be had from std.
pub(super) fn share_blocks(_from: &File, _to: &File) -> bool {
    false
}

/// Not to be had from std.
pub(super) fn preallocate(_file: &File, _size: u64) -> io::Result<()> {
    Ok(())
}

/// The system sees to it.
pub(super) fn begin_write_back(_file: &File, _range: Range<u64>) {}

/// Not to be had from std.
pub(super) fn free_space(_path: &Path) -> Option<u64> {
    None
}

/// Names are kept by the file system's own journal.
pub(super) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether the open file is what the path leads to: an open file keeps its name here.
pub(super) fn is_at(_ours: &Metadata, path: &Path) -> io::Result<bool> {
    Ok(path.exists())
}

/// Not to be had from std.
pub(super) fn has_other_names(_meta: &Metadata) -> bool {
    false
}

/// Not to be had from std.
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

/// Renames unless something stands at `to`.
pub(super) fn rename_if_free(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    super::file::rename(from, to)
}

/// Every file system here has locks.
pub(super) fn has_no_locks(_error: &io::Error) -> bool {
    false
}

/// ERROR_TOO_MANY_OPEN_FILES.
pub(super) fn is_too_many_files(error: &io::Error) -> bool {
    error.raw_os_error() == Some(4)
}

/// Not to be had from std.
pub(super) fn attach(_file: &File, _name: &str, _value: &[u8]) -> bool {
    false
}

/// Not to be had from std.
pub(super) fn attached(_path: &Path, _name: &str) -> Option<Vec<u8>> {
    None
}
