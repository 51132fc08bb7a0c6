//! Turns errors of the system into failures.

use super::platform;
use downhaul_core::error::{Error, ErrorKind};
use std::io;
use std::path::Path;

/// Returns the failure for an error of the system at this path.
pub(crate) fn failure(error: &io::Error, path: &Path) -> Error {
    use io::ErrorKind as Is;
    let kind = match error.kind() {
        Is::StorageFull | Is::QuotaExceeded => ErrorKind::DiskFull,
        Is::PermissionDenied | Is::ReadOnlyFilesystem => ErrorKind::DiskPermission,
        Is::FileTooLarge => ErrorKind::DiskTooLarge,
        Is::IsADirectory => ErrorKind::FileIsFolder,
        Is::NotADirectory => {
            let file = path.ancestors().find(|one| one.is_file()).unwrap_or(path);
            let file = file.to_string_lossy();
            return Error::new(ErrorKind::FolderIsFile, &*file, format!("{file} is a file, not a folder"));
        }
        _ if platform::is_too_many_files(error) => ErrorKind::DiskTooManyFiles,
        _ => ErrorKind::DiskFailed,
    };
    Error::new(kind, path.to_string_lossy(), error.to_string())
}
