//! Files that only the user can read, on systems without the permissions of Unix. There, the permissions of
//! the user's folder protect the files in it.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// Creates a file, if it does not exist.
///
/// # Errors
/// Returns the error of the system.
pub fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path).map(drop)
}
