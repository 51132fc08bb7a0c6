//! Forces finished files to the disk, before a program stores elsewhere that they are complete.

use super::{failure, platform};
use downhaul_core::error::Error;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;

/// If there are more files than this, their whole file systems are forced to the disk (Linux only). There is
/// then one wait for each file system, and not one for each file. For fewer files, forcing a whole file
/// system could take longer, because other programs write to it too.
const FEW: usize = 64;

/// Forces files and their names to the disk. Leaves out files that are not at their paths any more, files
/// that this user cannot open, and files on file systems that cannot force a file to the disk. Blocks the
/// thread.
///
/// # Errors
/// Returns the error of the system.
pub fn force_files<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<(), Error> {
    let paths: Vec<&Path> = paths.into_iter().collect();
    let folders: HashSet<&Path> = paths.iter().map(|path| folder_of(path)).collect();
    if paths.len() > FEW && cfg!(target_os = "linux") {
        return force_file_systems(&folders);
    }
    let file = |path: &Path| platform::open_to_force(path)?.sync_data();
    paths.iter().try_for_each(|path| unless_gone(file(path), path))?;
    folders.iter().try_for_each(|folder| force_names(folder))
}

/// Forces the names in a folder to the disk.
///
/// # Errors
/// Returns the error of the system.
pub(super) fn force_names(folder: &Path) -> Result<(), Error> {
    unless_gone(platform::sync_folder(&folder.join("name")), folder)
}

/// Forces everything on the file systems of these folders to the disk.
fn force_file_systems(folders: &HashSet<&Path>) -> Result<(), Error> {
    let mut systems = HashMap::new();
    for folder in folders {
        match File::open(folder) {
            Ok(open) => drop(systems.insert(platform::device(&open), (open, folder))),
            Err(e) => unless_gone(Err(e), folder)?,
        }
    }
    let force =
        |(open, folder): &(File, &&Path)| platform::sync_file_system(open).map_err(|e| failure(&e, folder));
    systems.values().try_for_each(force)
}

/// Forces everything on the file system of a folder to the disk. On systems other than Linux and Windows, the
/// call may return before that is done. Does nothing on Windows, or if this user cannot open the folder or
/// the folder does not exist. Blocks the thread.
///
/// # Errors
/// Returns the error of the system.
pub fn force_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(windows) {
        return Ok(());
    }
    force_file_systems(&HashSet::from([folder]))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Ignores the errors of files that are gone or that this user cannot open, and of file systems that cannot
/// force this file or folder to the disk.
fn unless_gone(forced: io::Result<()>, path: &Path) -> Result<(), Error> {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied, Unsupported};
    let ignored = [NotFound, NotADirectory, PermissionDenied, InvalidInput, Unsupported];
    match forced {
        Err(e) if ignored.contains(&e.kind()) => Ok(()),
        other => other.map_err(|e| failure(&e, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_gone_are_left_out_and_many_files_are_forced_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths: Vec<_> = (0..=FEW).map(|n| folder.path().join(n.to_string())).collect();
        paths.iter().skip(1).for_each(|path| std::fs::write(path, b"x").expect("writes"));
        let elsewhere = folder.path().join("none/x");
        for few in [2, FEW + 1] {
            let all = paths.iter().take(few).chain([&elsewhere]).map(|path| path.as_path());
            assert_eq!(force_files(all), Ok(()));
        }
        assert_eq!(force_folder(folder.path()), Ok(()));
    }
}
