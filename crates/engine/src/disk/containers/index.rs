//! Keeps an index of the files in the containers of a run. The index needs little memory.
//!
//! Invariant: a file is in the index only if a container has all of it.

use super::form::Found;
use downhaul_core::error::{Error, ErrorKind};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The index takes about 50 bytes of memory for each file.
#[derive(Default)]
pub(super) struct Index {
    /// The place of each file, by the hash of its name.
    places: HashMap<u64, Place>,
    /// The hashes of the keys of all files in tars. A key is the part of the names of the members before the
    /// first dot. Each value is the hash of the name of the file, combined (XOR) with the hash of the name of
    /// its member. So with the name of the member, the file is found in `places`.
    keys: HashMap<u64, u64>,
    /// The numbers of the containers that are used in `places`.
    containers: Vec<u64>,
    /// The container that is being written.
    pub(super) open: Option<(u64, Arc<File>)>,
}

/// The place of a file: the position of its container in [`Index::containers`], and the offset of the file in
/// this container. Both are in one number to save memory.
#[derive(Clone, Copy)]
struct Place(u64);

/// The number of bits of an offset. A container that needs larger offsets
/// ([`downhaul_core::containers::LARGEST`]) has only one file, which begins near its start.
const OFFSET: u32 = 40;

/// The highest number of containers. A [`Place`] has no space for a larger position.
const CONTAINERS_MOST: usize = 1 << (u64::BITS - OFFSET);

impl Index {
    /// Checks that the index can have the files of one more container in this folder.
    ///
    /// # Errors
    /// Returns `name.taken` if the set has too many containers already.
    pub(super) fn check_room(&self, folder: &Path) -> Result<(), Error> {
        if self.containers.len() < CONTAINERS_MOST {
            return Ok(());
        }
        let why = format!("a set cannot have more than {CONTAINERS_MOST} containers");
        Err(Error::new(ErrorKind::NameTaken, folder.to_string_lossy(), why))
    }

    /// Adds files of the container with this number. The caller has checked that there is room for the
    /// container.
    pub(super) fn add(&mut self, number: u64, files: impl IntoIterator<Item = Found>) {
        if self.containers.last() != Some(&number) {
            self.containers.push(number);
        }
        let container = (self.containers.len() - 1) as u64;
        for Found { name, key, start } in files {
            self.places.insert(name, Place(container << OFFSET | start));
            self.keys.extend(key.map(|[key, member]| (key, name ^ member)));
        }
    }

    /// Returns the number of the container that has the file whose name has this hash, and the offset of the
    /// file in it.
    pub(super) fn place(&self, name: u64) -> Option<(u64, u64)> {
        let Place(place) = *self.places.get(&name)?;
        let number = self.containers.get(usize::try_from(place >> OFFSET).ok()?)?;
        Some((*number, place & ((1 << OFFSET) - 1)))
    }

    /// Returns true if a file has a name with this hash.
    pub(super) fn has(&self, name: u64) -> bool {
        self.places.contains_key(&name)
    }

    /// Returns true if the container with this number was read when the run started, has files of this run,
    /// or is being written.
    pub(super) fn has_container(&self, number: u64) -> bool {
        self.containers.contains(&number) || self.open.as_ref().is_some_and(|(open, _)| *open == number)
    }

    /// Returns the place of a file in a tar, as [`Index::place`] does. `key` and `member` are the hashes of
    /// its key and of the name of its member.
    pub(super) fn place_of_member(&self, key: u64, member: u64) -> Option<(u64, u64)> {
        self.place(self.keys.get(&key)? ^ member)
    }

    /// Returns true if a file in a tar has a key with this hash.
    pub(super) fn has_key(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_container_that_fits_is_found_and_no_further_one_is_accepted() {
        let mut index = Index { containers: vec![0; CONTAINERS_MOST - 1], ..Index::default() };
        assert_eq!(index.check_room(Path::new("f")), Ok(()));
        index.add(7, [Found { name: 1, key: None, start: (1 << OFFSET) - 1 }]);
        assert_eq!(index.place(1), Some((7, (1 << OFFSET) - 1)));
        assert_eq!(index.check_room(Path::new("f")).map_err(|e| e.kind), Err(ErrorKind::NameTaken));
    }
}
