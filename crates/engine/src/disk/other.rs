//! What std does not offer, elsewhere (Windows). Kept portable; tested on Unix only.

use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::FileExt;
use std::path::Path;

/// Opens a part file, or makes it.
pub(super) fn open_part(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Whether the open file is what the path leads to: an open file keeps its name here.
pub(super) fn is_at(_file: &File, path: &Path) -> io::Result<bool> {
    Ok(path.exists())
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
