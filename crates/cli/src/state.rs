//! Keeps the key for the hashes of URLs between runs, in the file `key` in the folder for state
//! (`$XDG_STATE_HOME/downhaul`).
//!
//! Invariant: only the user may read this file (mode 0600 on Unix), and a run works without it.

use crate::platform;
use downhaul_engine::core::identity::Key;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{self, Read};
use std::path::Path;

/// Returns the key for the hashes of URLs in the records of files. The first run that needs the key creates
/// it. Returns `None` if the key can be neither read nor created. Files are also recognised without a key,
/// but a short secret in a URL could then be guessed from the hash of the URL.
pub(crate) fn key(folder: &Path) -> Option<Key> {
    let path = folder.join("key");
    match read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // Another run may create a key at the same time. In this case, the first key is used.
            let _ = make(folder, &path);
            read(&path).ok()
        }
        key => key.ok(),
    }
}

/// Returns the key, if an earlier run created it. `downhaul plan` uses this function, because it creates no
/// files.
pub(crate) fn existing_key(folder: &Path) -> Option<Key> {
    read(&folder.join("key")).ok()
}

fn read(path: &Path) -> io::Result<Key> {
    let mut bytes = [0; 32];
    fs::File::open(path)?.read_exact(&mut bytes)?;
    Ok(Key::new(bytes))
}

/// Writes a new key to a temporary file, and then links that file to `path` in one step. Therefore no other
/// run reads an incomplete key, and an existing key is not replaced.
fn make(folder: &Path, path: &Path) -> io::Result<()> {
    platform::make_private_folder(folder)?;
    let new = folder.join(format!("key.{:016x}", platform::random_number()));
    let written = platform::write_new(&new, &random_bytes(), platform::FOR_THE_OWNER);
    let linked = written.and_then(|()| fs::hard_link(&new, path));
    // If the disk is full, the file may exist without its content.
    let removed = fs::remove_file(&new);
    linked.and(removed)
}

/// Returns 32 bytes that are made from 128 random bits: the seed of a hash table in std.
fn random_bytes() -> [u8; 32] {
    let random = RandomState::new();
    let mut bytes = [0; 32];
    for (n, eight) in bytes.chunks_exact_mut(8).enumerate() {
        eight.copy_from_slice(&random.hash_one(n).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_user_can_read_it() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("state/downhaul");
        // An earlier run may have been killed and may have left its temporary file. In a Linux container,
        // that run may have had the same process ID.
        fs::create_dir_all(&folder).expect("a folder");
        let left = folder.join(format!("key.{}", std::process::id()));
        fs::write(&left, "").expect("writes");
        let one = key(&folder).expect("a key");
        assert_eq!(key(&folder), Some(one));
        fs::remove_file(&left).expect("it is there");
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1, "nothing else is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.join("key")).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(folder.join("key"), b"short").expect("writes");
        assert_eq!(key(&folder), None, "an incomplete key is not used");
    }
}
