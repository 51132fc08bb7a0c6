//! Files that only the user can read, on Unix.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Creates a file that only the user can read. If the file exists, the permissions of other users are
/// removed.
///
/// # Errors
/// Returns the error of the system, or an error if the path does not lead to a regular file.
pub fn create_private(path: &Path) -> io::Result<()> {
    // Without this flag, opening a device may wait.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    // A pipe that no program reads can be opened for writing only if it is opened for reading too.
    let file =
        OpenOptions::new().create(true).read(true).append(true).mode(0o600).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    // All programs of the machine rely on the permissions of a device such as `/dev/null`.
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let permissions = metadata.permissions();
    if permissions.mode() & 0o077 != 0 {
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
    }
    Ok(())
}
