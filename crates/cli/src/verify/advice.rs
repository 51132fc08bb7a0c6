//! Chooses what `downhaul verify` suggests if files are wrong or missing.

use super::Stated;
use crate::again;
use crate::words;
use std::fs;
use std::path::{Path, PathBuf};

/// The message about wrong and missing files that `downhaul repair` cannot write.
const OUTSIDE: &str = "To download a file outside of the output folder again: downhaul URL -o NAME\n";

/// The wrong and missing files, as far as the suggestions depend on them.
#[derive(Default)]
pub(super) struct Advice<'w> {
    /// The wrong files below the output folder.
    wrong: Vec<&'w Stated>,
    /// The missing files below the output folder.
    missing: Vec<&'w Stated>,
    /// True if a wrong or missing file is outside of the output folder.
    is_outside: bool,
}

impl<'w> Advice<'w> {
    /// Adds a file that is wrong or missing.
    pub(super) fn add(&mut self, stated: &'w Stated, is_missing: bool) {
        match (stated.can_be_repaired, is_missing) {
            (false, _) => self.is_outside = true,
            (true, true) => self.missing.push(stated),
            (true, false) => self.wrong.push(stated),
        }
    }

    /// Returns the lines with the suggestions. Without `folder`, the files were looked for beside the list.
    pub(super) fn text(&self, list: &Path, folder: Option<&Path>) -> String {
        let folder = folder.or(list.parent()).filter(|folder| !folder.as_os_str().is_empty());
        let (in_containers, missing): (Vec<&Stated>, Vec<&Stated>) =
            self.missing.iter().copied().partition(|one| container_of(one).is_some());
        let container = in_containers.first().and_then(|one| container_of(one));
        let mut text = container.map(in_container).unwrap_or_default();
        let subject = if container.is_some() { "The other missing files" } else { "The missing files" };
        // If there are wrong files, they must be repaired, wherever the missing files are.
        let there = if self.wrong.is_empty() { other_folder(folder, &missing) } else { None };
        let others = match there {
            Some(there) => elsewhere(list, there, subject),
            None => {
                let files: Vec<&Stated> = self.wrong.iter().chain(&missing).copied().collect();
                to_mend(list, folder, &files, in_containers.iter().any(|one| !one.digests.is_empty()))
            }
        };
        text += &others;
        if self.is_outside {
            text += OUTSIDE;
        }
        text
    }
}

/// Returns the commands that mend these files below the output folder. `downhaul repair` needs a digest. If
/// `has_more` is true, it also downloads other files, which are in containers.
fn to_mend(list: &Path, folder: Option<&Path>, files: &[&Stated], has_more: bool) -> String {
    let (without, with): (Vec<&Stated>, Vec<&Stated>) =
        files.iter().copied().partition(|one| one.digests.is_empty());
    let mut text = String::new();
    if !with.is_empty() {
        let also = if has_more {
            " (this also downloads the files with a digest that are in containers)"
        } else {
            ""
        };
        text += &format!("To repair{also}: {}\n", command("repair", list, folder));
    }
    if !without.is_empty() {
        text += &without_digest(list, folder);
    }
    text
}

/// Returns the container that has the file, or `None` if the file is in no container that still exists.
fn container_of(stated: &Stated) -> Option<&Path> {
    stated.saved_in.as_deref().filter(|path| path.is_file())
}

/// Returns the line about missing files in containers. `container` is one of the containers.
fn in_container(container: &Path) -> String {
    format!(
        "Missing files are in containers, such as {}. downhaul verify does not look into containers.\n",
        words::path(container)
    )
}

/// Returns the line about missing files that were saved in the folder `there`. The line begins with
/// `subject`.
fn elsewhere(list: &Path, there: &Path, subject: &str) -> String {
    let command = command("verify", list, Some(there));
    format!("{subject} were saved in {}. To verify them there: {command}\n", words::path(there))
}

/// Returns the line about wrong and missing files without a digest.
fn without_digest(list: &Path, folder: Option<&Path>) -> String {
    let command = command("-i", list, folder);
    format!(
        "Files without a digest must be downloaded as a whole. To download all files again: {command} --if-exists overwrite\n"
    )
}

/// Returns the folder in which the run saved all of the missing files, according to the lock file. Returns
/// `None` if the files were looked for in this folder, if this folder does not exist, or if the lock file
/// does not state a single folder.
fn other_folder<'w>(folder: Option<&Path>, missing: &[&'w Stated]) -> Option<&'w Path> {
    let first = missing.first()?.saved_in.as_deref()?;
    let there = fs::canonicalize(first).ok()?;
    let looked_in = fs::canonicalize(folder.unwrap_or(Path::new("."))).ok();
    // The lines of one folder may write its path in several ways: with `--archive`, the path of a skipped
    // file is absolute.
    let is_there = |path: &Path| path == first || fs::canonicalize(path).is_ok_and(|path| path == there);
    let are_there = missing.iter().all(|one| one.saved_in.as_deref().is_some_and(is_there));
    let is_other = there.is_dir() && looked_in.as_ref() != Some(&there);
    (are_there && is_other).then_some(first)
}

fn command(name: &str, list: &Path, folder: Option<&Path>) -> String {
    let shown = |path: &Path| again::quoted(&words::path(path));
    // Without `-d`, a folder in the configuration would be used.
    let folder = folder.unwrap_or(Path::new("."));
    format!("downhaul {name} {} -d {}", shown(list), shown(folder))
}

/// Returns the folder below which the file at this path has the name `name`, or the container that has the
/// file.
pub(super) fn saved_in(path: &Path, name: &str) -> Option<PathBuf> {
    let container = || path.ancestors().skip(1).find(|above| above.is_file()).map(Path::to_path_buf);
    folder_of(path, name).or_else(container)
}

/// Returns the folder below which the file at this path has the name `name`. Returns `None` if the name is
/// empty, or if the path does not end with it.
fn folder_of(path: &Path, name: &str) -> Option<PathBuf> {
    let folder = path.ancestors().nth(Path::new(name).components().count())?;
    let is_below = !name.is_empty() && path.ends_with(name);
    is_below.then(|| if folder.as_os_str().is_empty() { ".".into() } else { folder.to_path_buf() })
}
