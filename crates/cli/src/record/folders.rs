//! [`Folders`]: the folders to which the names in a lock file are relative.

use downhaul_engine::core::containers::ContainerNames;
use downhaul_engine::core::lock_file::{Entry, Status};
use std::path::{Component, Path, PathBuf};

/// The folders to which the names in a lock file are relative.
pub(super) struct Folders {
    output: PathBuf,
    /// The same folder as an absolute path.
    absolute: PathBuf,
    /// The names of the tars of `--to-tar`, or of the WARCs of `--to-warc`.
    containers: Option<ContainerNames>,
}

impl Folders {
    pub(super) fn new(output: &Path, containers: Option<ContainerNames>) -> Folders {
        let absolute = std::path::absolute(output).unwrap_or_else(|_| output.into());
        Folders { output: output.into(), absolute, containers }
    }

    /// Returns the output folder.
    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// Returns the name of a file relative to the output folder. `given` is the name that the user or a list
    /// gave, or an empty text. `named` is the path of the file, or `given` if the download did not start.
    pub(super) fn name_of(&self, entry: &Entry, given: &str, named: &str) -> String {
        let path = Path::new(&entry.path);
        // A path that comes from the archive (`--archive`) is absolute.
        let name_in = |output| self.containers.as_ref().and_then(|names| names.file_at(path, output));
        let member = name_in(&self.output).or_else(|| name_in(&self.absolute));
        let below = || path.strip_prefix(&self.output).or_else(|_| path.strip_prefix(&self.absolute)).ok();
        let name = match (member, entry.status) {
            // The lock file states the name that the download had when it started. The name of the file in
            // the container may differ from this name.
            (Some(member), _) => {
                let named = if named.is_empty() { member } else { Path::new(named) };
                named.strip_prefix(&self.output).unwrap_or(named)
            }
            (None, Some(Status::Failed)) => below().unwrap_or(path),
            // The archive may have the file under another name or in another folder.
            (None, Some(Status::Skipped)) if is_below(given) => Path::new(given),
            // With -o, the file may be outside the output folder.
            (None, _) => below().or(path.file_name().map(Path::new)).unwrap_or(path),
        };
        name.to_string_lossy().into_owned()
    }
}

/// Returns true if a name that was given is below the output folder.
fn is_below(given: &str) -> bool {
    let mut parts = Path::new(given).components();
    !given.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}
