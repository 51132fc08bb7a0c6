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
    /// Returns a fault if the folder is outside of these folders, if its path has `..`, if its path cannot be
    /// read or has a link without a target, or if the returned path would not be valid Unicode. There is no
    /// fault if downloads may be saved everywhere.
    pub fn allow(&self, text: impl AsRef<Path>) -> Result<PathBuf, Fault> {
        let text = text.as_ref();
        if self.all {
            return Ok(if text.as_os_str().is_empty() { self.default().into() } else { text.into() });
        }
        let path = self.default().join(text);
        let refused = |why: &str| {
            let why = format!("The folder {}{why}", path.display());
            Fault { kind: ErrorKind::DiskPermission, ..Fault::refused(why) }
        };
        let outside = |leads: &str| {
            let why = "is not below a folder of the daemon. Start the daemon with -d FOLDER to allow it.";
            refused(&format!("{leads} {why}"))
        };
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(refused(" cannot be used, because its path has `..`."));
        }
        let Some(real) = real_path(&path) else {
            // A client must not learn which paths outside of the allowed folders exist. So the reason is
            // given only if the last part of the path that can be found is in an allowed folder.
            let found = path.ancestors().find_map(|above| above.canonicalize().ok());
            let why = " cannot be used: it cannot be read, a part of its path is not a folder, or a link in its \
                path has no target.";
            return Err(if found.is_some_and(|found| self.has(&found)) { refused(why) } else { outside("") });
        };
        if !self.has(&real) {
            let leads = (real != path).then(|| format!(" leads to {}, which", real.display()));
            return Err(outside(&leads.unwrap_or_default()));
        }
        if real.to_str().is_none() {
            let why =
                " cannot be used, because a link in its path leads to a path that is not valid Unicode.";
            return Err(refused(why));
        }
        Ok(real)
    }

    /// Returns true if a path without symbolic links is below one of the folders, or is one of them.
    fn has(&self, real: &Path) -> bool {
        self.allowed.iter().any(|folder| real.starts_with(folder))
    }

    /// Returns the first folder whose path is not valid Unicode. The paths of downloads are texts in the
    /// options, the events and the queue, so a download in this folder would get another path.
    pub fn not_unicode(&self) -> Option<&Path> {
        self.allowed.iter().find(|folder| folder.to_str().is_none()).map(PathBuf::as_path)
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

    #[test]
    #[cfg(unix)]
    fn a_client_is_told_why_a_folder_cannot_be_used_but_not_which_other_paths_exist() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("a path");
        let one = root.join("one");
        let folders = Folders::new(std::slice::from_ref(&one)).expect("folders");
        std::fs::write(one.join("file"), "").expect("written");
        std::fs::create_dir(root.join("other")).expect("a folder");
        std::fs::write(root.join("other/file"), "").expect("written");
        std::os::unix::fs::symlink("/no/such", one.join("nowhere")).expect("a link");
        std::os::unix::fs::symlink(root.join("other"), one.join("out")).expect("a link");
        let why = |text: &str| folders.allow(text).expect_err(text).message;
        for below in ["nowhere", "nowhere/x", "file/x"] {
            let expected = format!("The folder {} cannot be used: ", one.join(below).display());
            assert!(why(below).starts_with(&expected), "{}", why(below));
        }
        assert!(why("a/../b").ends_with("one/a/../b cannot be used, because its path has `..`."));
        // The fault must not show that the first path is below a file, and the second below a missing folder.
        for name in ["other/file/x", "other/missing/x"] {
            let outside = root.join(name);
            let expected = format!("The folder {} is not below a folder of the daemon.", outside.display());
            assert!(why(outside.to_str().expect("text")).starts_with(&expected), "{name}");
        }
        assert!(why("out/file/x").contains("one/out/file/x is not below a folder of the daemon."));
        assert!(why("out/x").contains(&format!("one/out/x leads to {}", root.join("other/x").display())));
    }
}
