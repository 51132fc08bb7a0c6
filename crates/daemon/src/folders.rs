//! [`Folders`]: the folders below which downloads may be saved.
//!
//! Invariant: no file of a client is saved elsewhere. (Only a user at a terminal may use
//! [`Folders::everywhere`].) A client may be a web page or another user, so all symbolic links in a path are
//! followed before the path is compared. A program with the rights of the user could still replace a folder
//! by a link between the check and the write. That gives the program no new rights, because it can write to
//! the same places itself.

use crate::fault::Fault;
use downhaul_engine::ErrorKind;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The folders below which downloads may be saved. The first one is the default.
#[derive(Debug, Clone)]
pub struct Folders {
    allowed: Vec<PathBuf>,
    /// True if all folders are allowed.
    all: bool,
}

impl Folders {
    /// Returns these folders. Creates those that do not exist.
    ///
    /// # Errors
    /// Returns the folder that cannot be used, and why.
    pub fn new(folders: &[PathBuf]) -> Result<Folders, (PathBuf, io::Error)> {
        let real = |folder: &PathBuf| {
            std::fs::create_dir_all(folder)
                .and_then(|()| folder.canonicalize())
                .map_err(|error| (folder.clone(), error))
        };
        let allowed = folders.iter().map(real).collect::<Result<_, _>>()?;
        Ok(Folders { allowed, all: false })
    }

    /// Returns a value for a user at a terminal. It allows downloads in all folders, under exactly the names
    /// that the user gives. `default` and the folders that downloads name must be absolute paths.
    pub fn everywhere(default: &Path) -> Folders {
        Folders { allowed: vec![default.to_path_buf()], all: true }
    }

    /// Returns true if downloads may be saved everywhere.
    pub fn are_all(&self) -> bool {
        self.all
    }

    /// Returns the folder for downloads whose client names none.
    pub fn default(&self) -> &Path {
        self.allowed.first().map_or(Path::new("."), PathBuf::as_path)
    }

    /// Returns the folder that a client names, with all symbolic links followed. A relative path is below the
    /// default folder. If downloads may be saved everywhere, returns the path as it is, or the default folder
    /// if the path is empty.
    ///
    /// # Errors
    /// Returns a fault if the folder is neither one of these folders nor below one of them, has `..` in its
    /// path, or cannot be read. There is no fault if downloads may be saved everywhere.
    pub fn allow(&self, text: impl AsRef<Path>) -> Result<PathBuf, Fault> {
        let text = text.as_ref();
        if self.all {
            return Ok(if text.as_os_str().is_empty() { self.default().into() } else { text.into() });
        }
        let path = self.default().join(text);
        let leaves = |real: Option<&Path>| {
            let leads =
                real.filter(|real| **real != path).map(|real| format!(" leads to {}, which", real.display()));
            let (path, leads) = (path.display(), leads.unwrap_or_default());
            let why = "is not below a folder of the daemon. Start the daemon with -d FOLDER to allow it.";
            let why = format!("The folder {path}{leads} {why}");
            Fault { kind: ErrorKind::DiskPermission, ..Fault::refused(why) }
        };
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(leaves(None));
        }
        let real = real_path(&path).ok_or_else(|| leaves(None))?;
        match self.allowed.iter().any(|folder| real.starts_with(folder)) {
            true => Ok(real),
            false => Err(leaves(Some(&real))),
        }
    }
}

/// Returns the path with all symbolic links followed. The last folders need not exist. Returns `None` if a
/// link has no target, or if the path cannot be read.
fn real_path(path: &Path) -> Option<PathBuf> {
    let mut missing = Vec::new();
    let mut there = path;
    loop {
        match there.canonicalize() {
            Ok(real) => return Some(missing.iter().rev().fold(real, |path, name| path.join(name))),
            // A link without a target is not a missing folder: `symlink_metadata` finds the link, and the
            // path is refused.
            Err(e) if e.kind() == io::ErrorKind::NotFound && there.symlink_metadata().is_err() => {
                missing.push(there.file_name()?);
                there = there.parent()?;
            }
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_link_leads_out_of_the_folders() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("a path");
        let (one, two) = (root.join("one"), root.join("two"));
        let folders = Folders::new(&[one.clone(), two.clone()]).expect("folders");
        let allowed = |text: &str| folders.allow(text).ok();
        assert_eq!(allowed(""), Some(one.clone()));
        assert_eq!(allowed("a/b"), Some(one.join("a/b")));
        assert_eq!(allowed(two.join("c").to_str().expect("text")), Some(two.join("c")));
        for wrong in ["/etc", "../two", "a/../..", "/", root.join("onetwo").to_str().expect("text")] {
            assert_eq!(allowed(wrong), None, "{wrong}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/etc", one.join("link")).expect("a link");
            std::os::unix::fs::symlink("/no/such", one.join("nowhere")).expect("a link");
            std::os::unix::fs::symlink(&two, one.join("inside")).expect("a link");
            assert_eq!((allowed("link"), allowed("link/x"), allowed("nowhere/x")), (None, None, None));
            assert_eq!(allowed("inside/x"), Some(two.join("x")));
        }
    }
}
