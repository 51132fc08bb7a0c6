//! [`Folders`]: the folders to which the names in a lock file are relative.

use crate::args::Args;
use downhaul_engine::Containers;
use downhaul_engine::core::containers::ContainerNames;
use downhaul_engine::core::lock_file::{Entry, Status};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folders to which the names in a lock file are relative.
pub(super) struct Folders {
    output: PathBuf,
    /// The output folder as an absolute path.
    absolute: PathBuf,
    /// The tars of `--to-tar`, or the WARCs of `--to-warc`, and their names.
    containers: Option<Arc<Containers>>,
    names: Option<ContainerNames>,
}

impl Folders {
    pub(super) fn new(args: &Args, containers: Option<Arc<Containers>>) -> Folders {
        let output = &args.output.folder;
        let absolute = std::path::absolute(output).unwrap_or_else(|_| output.clone());
        let names = args.output.containers().map(|(names, _)| names.clone());
        Folders { output: output.clone(), absolute, containers, names }
    }

    /// Returns the output folder.
    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// Returns the name of a file relative to the output folder. With -o, the file may be outside of this
    /// folder. In this case, the name begins with `..`, or it is an absolute path. `given` is the name that
    /// the user or a list gave, or an empty text. `named` is the path of the file. If the download did not
    /// start, `named` is the path that `given` leads to, or an empty text.
    pub(super) fn name_of(&self, entry: &Entry, given: &str, named: &str) -> String {
        let path = Path::new(&entry.path);
        let below = |path| self.below(path).unwrap_or(path);
        // A path that comes from the archive (`--archive`) is absolute.
        let name_in = |output| self.names.as_ref().and_then(|names| names.file_at(path, output));
        let member = name_in(&self.output).or_else(|| name_in(&self.absolute));
        let name = match (member, entry.status) {
            // The download of this file did not start in this run. A tar stores the name that a file had
            // when its download started. The name in the path (`member`) may be another one. It is used if no
            // tar has the file.
            (Some(member), _) if named.is_empty() => {
                let name = self.containers.as_ref().and_then(|all| all.name_of(path));
                return name.unwrap_or_else(|| member.to_string_lossy().into_owned());
            }
            // The download of this file started, or the user or a list gave its name. This name may differ
            // from the name in the container.
            (Some(_), _) => Path::new(named).strip_prefix(&self.output).unwrap_or(Path::new(named)),
            // The archive may have the file under another name or in another folder.
            (None, Some(Status::Skipped)) if !given.is_empty() => below(Path::new(named)),
            (None, Some(Status::Skipped)) => {
                self.below(path).or(path.file_name().map(Path::new)).unwrap_or(path)
            }
            (None, _) => below(path),
        };
        name.to_string_lossy().into_owned()
    }

    /// Returns a path relative to the output folder. Returns `None` if it does not begin with this folder.
    fn below<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.output).or_else(|_| path.strip_prefix(&self.absolute)).ok()
    }
}
