//! Opens files that only the user can read, on Unix.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Opens a file, or creates it if it does not exist. Only the user can read a file that is created here. The
/// permissions of an existing file are not changed.
///
/// # Errors
/// Returns the error of the system, or an error if the path does not lead to a regular file.
pub fn create_private(path: &Path) -> io::Result<File> {
    // Without this flag, opening a device may wait.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    // A pipe that no program reads can be opened for writing only if it is opened for reading too.
    let file =
        OpenOptions::new().create(true).read(true).append(true).mode(0o600).custom_flags(flags).open(path)?;
    // SQLite cannot use a device or a pipe. The permissions of a device, such as `/dev/null`, must not be
    // changed, because other programs rely on them.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// Removes the permissions of other users.
///
/// # Errors
/// Returns the error of the system.
pub fn make_private(file: &File) -> io::Result<()> {
    let permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o077 != 0 {
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
    }
    Ok(())
}

/// Returns the inode number of a file.
pub fn number_of(metadata: &Metadata) -> u64 {
    metadata.ino()
}
