//! Chooses the command that `downhaul verify` suggests if files are wrong or missing.

use super::Stated;
use crate::again;
use crate::words;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the line with the suggestion. `missing` has what the list states about the missing files.
pub(super) fn for_files(list: &Path, folder: Option<&Path>, missing: &[&Stated]) -> String {
    match elsewhere(list, folder, missing) {
        Some(there) => format!(
            "The missing files were saved in {}. To verify them there: {}\n",
            words::path(there),
            command("verify", list, Some(there))
        ),
        None => format!("To repair: {}\n", repair(list, folder)),
    }
}

/// Returns the folder in which the run saved all of the missing files, as the lock file states it, if this is
/// another folder than the one in which the files were looked for.
fn elsewhere<'w>(list: &Path, folder: Option<&Path>, missing: &[&'w Stated]) -> Option<&'w Path> {
    let first = missing.first()?.saved_in.as_deref()?;
    let are_there = missing.iter().all(|one| one.saved_in.as_deref() == Some(first));
    let looked_in = folder.or(list.parent()).filter(|folder| !folder.as_os_str().is_empty());
    let looked_in = fs::canonicalize(looked_in.unwrap_or(Path::new("."))).ok();
    let is_other = |there: PathBuf| there.is_dir() && Some(there) != looked_in;
    (are_there && fs::canonicalize(first).is_ok_and(is_other)).then_some(first)
}

/// Returns the command that repairs wrong files and downloads missing files. `downhaul repair` looks for the
/// files in the current folder, so `-d` is added for any other folder.
fn repair(list: &Path, folder: Option<&Path>) -> String {
    command("repair", list, folder.or(list.parent()).filter(|folder| !folder.as_os_str().is_empty()))
}

fn command(name: &str, list: &Path, folder: Option<&Path>) -> String {
    let shown = |path: &Path| again::quoted(&words::path(path));
    let folder = folder.map(|folder| format!(" -d {}", shown(folder))).unwrap_or_default();
    format!("downhaul {name} {}{folder}", shown(list))
}

/// Returns the folder below which the file at this path has the name `name`. Returns `None` if the path does
/// not end with this name.
pub(super) fn folder_of(path: &Path, name: &str) -> Option<PathBuf> {
    let folder = path.ancestors().nth(Path::new(name).components().count())?;
    let is_below = !name.is_empty() && path.ends_with(name);
    is_below.then(|| if folder.as_os_str().is_empty() { ".".into() } else { folder.to_path_buf() })
}
