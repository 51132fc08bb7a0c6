//! Files that only the user can read, on systems without the rights of Unix. There, the user's own folders
//! protect the files in them.

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
