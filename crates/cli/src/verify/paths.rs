//! Finds the files that a list names.
//!
//! Invariant: no name in a list makes Windows contact another machine.

use downhaul_engine::core::name::forms;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the path of a file that a list names. A run may have changed the name to make it safe, or to make
/// it usable on Windows. In a list, a path may contain backslashes, and blanks may follow it. If no such file
/// exists, the result is the path in the list without these blanks. If the path is remote ([`is_remote`]),
/// the result is the path in the list.
pub(super) fn path_of(folder: &Path, listed: &str) -> PathBuf {
    if is_remote(listed) {
        return folder.join(listed);
    }
    let exists = |form: &String| fs::symlink_metadata(folder.join(form)).is_ok();
    let trimmed = listed.trim_end();
    let all = [listed, trimmed, &trimmed.replace('\\', "/")].map(forms);
    folder.join(all.into_iter().flatten().find(exists).unwrap_or_else(|| trimmed.into()))
}

/// Returns true if Windows looks up a path on another machine, or if the path may lead to a device. Windows
/// would send the name of the user and a hash of the password to that machine.
pub(super) fn is_remote(path: &str) -> bool {
    cfg!(windows) && leaves_the_drives(path)
}

/// Returns true if Windows looks up a path elsewhere than on a drive, as with `\\HOST\SHARE\FILE`.
fn leaves_the_drives(path: &str) -> bool {
    let path = path.replace('\\', "/");
    let is_drive = |rest: &str| matches!(rest.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    (path.starts_with("//") || path.starts_with("/??/")) && !path.strip_prefix("//?/").is_some_and(is_drive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_windows_looks_up_on_other_machines() {
        for remote in [
            r"\\host\share\x",
            "//host/share/x",
            r"/\host/share",
            r"\\?\UNC\host\share\x",
            r"\??\UNC\host\share\x",
            r"\\.\pipe\x",
        ] {
            assert!(leaves_the_drives(remote), "{remote}");
        }
        for local in ["x", "/x", r"\x", r"..\x", "d//x", "C:x", r"C:\x", r"\\?\C:\x"] {
            assert!(!leaves_the_drives(local), "{local}");
        }
    }
}
