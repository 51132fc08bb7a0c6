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
        Is::AlreadyExists | Is::NotFound
            if let Some(link) = path.ancestors().find(|one| leads_nowhere(one)) =>
        {
            let detail = format!("{} is a link, and nothing exists at its target", link.to_string_lossy());
            return Error::new(ErrorKind::DiskFailed, path.to_string_lossy(), detail);
        }
        _ if platform::is_too_many_files(error) => ErrorKind::DiskTooManyFiles,
        _ => ErrorKind::DiskFailed,
    };
    Error::new(kind, path.to_string_lossy(), error.to_string())
}

fn leads_nowhere(path: &Path) -> bool {
    path.is_symlink() && path.try_exists().is_ok_and(|exists| !exists)
}
