//! [`ListedNames`]: finds the files of a long list whose names no other file of the list has. A run need not
//! remember such a name after its file has ended, so a list of ten million files takes little memory.
//!
//! Invariant: if two files of the list could have the same path, or if one could have the path of a partial
//! file or a numbered form of the other, neither counts as the only one of its name.

use crate::job::Job;
use crate::name::{JOURNAL, LONGEST, NEW_JOURNAL, Naming, PART, same_file_key, unnumbered};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// There are this many slots for each line. With sixteen, one name in four hundred counts as repeated
/// although it is not.
const SLOTS_A_LINE: u64 = 16;

/// The length of a short line, in bytes. The number of lines is not known before the list is read, so it is
/// estimated from the size of the list.
const SHORT_LINE: u64 = 32;

/// The highest number of slots. They take 16 MiB. With ten million names, one in twenty-five counts as
/// repeated although it is not.
const SLOTS_MOST: u64 = 1 << 26;

/// The number of slots in a byte. A slot has two bits: the number of names that were added there, up to
/// [`SEVERAL`].
const IN_A_BYTE: u64 = 4;

/// The number of slots of a name. With more, the filter would be too full at ten million names.
const OF_A_NAME: u64 = 4;

/// The number in a slot for two or more names.
const SEVERAL: u8 = 2;

/// The names that were added, as a counting Bloom filter.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedNames {
    slots: Vec<u8>,
    naming: Naming,
}

impl ListedNames {
    /// Returns an empty filter for a list of this many bytes. The files get their names by `naming`.
    pub fn for_list(bytes: u64, naming: Naming) -> ListedNames {
        let slots = (bytes / SHORT_LINE * SLOTS_A_LINE).clamp(IN_A_BYTE, SLOTS_MOST);
        let bytes = usize::try_from(slots / IN_A_BYTE).unwrap_or_default().max(1);
        ListedNames { slots: vec![0; bytes], naming }
    }

    /// Adds the name that a job has before its first response.
    pub fn add(&mut self, job: &Job) {
        if let Some(name) = self.naming.name_for(job, None) {
            self.add_path(name.as_str());
        }
    }

    /// Adds a path.
    pub fn add_path(&mut self, path: &str) {
        for (byte, shift) in self.places(path) {
            let byte = &mut self.slots[byte];
            if (*byte >> shift) & 3 < SEVERAL {
                *byte += 1 << shift;
            }
        }
    }

    /// Returns true if no other job that was added can have the path of this job.
    pub fn is_only(&self, job: &Job) -> bool {
        self.naming.name_for(job, None).is_some_and(|name| self.is_only_path(name.as_str()))
    }

    /// Returns true if this path was added once, and no other path that could clash with it.
    pub fn is_only_path(&self, path: &str) -> bool {
        let file = path.rsplit('/').next().unwrap_or(path);
        // The names of the side files of a longer name are cut, so they are not known here.
        file.len() + NEW_JOURNAL.len() <= LONGEST && self.count(path) == 1
    }

    /// Returns false if no path that could clash with this one was added.
    pub fn may_have(&self, path: &str) -> bool {
        self.count(path) > 0
    }

    /// Returns the number of times that a path was added, or more. It is at most [`SEVERAL`].
    fn count(&self, path: &str) -> u8 {
        let count = |(byte, shift): (usize, u32)| (self.slots[byte] >> shift) & 3;
        self.places(path).map(count).min().unwrap_or_default()
    }

    /// Returns the slots of a path. Each is a byte and a shift within it.
    fn places(&self, path: &str) -> impl Iterator<Item = (usize, u32)> + use<> {
        let mut hasher = DefaultHasher::new();
        same_file_key(&base(path)).hash(&mut hasher);
        let hash = hasher.finish();
        // The first half of the hash is the place of the first slot, and the second half is the distance to
        // the next one.
        let (first, distance) = (hash >> 32, (hash & 0xffff_ffff) | 1);
        let slots = self.slots.len() as u64 * IN_A_BYTE;
        (0..OF_A_NAME).map(move |n| {
            let slot = (((first + n * distance) & 0xffff_ffff) * slots) >> 32;
            ((slot / IN_A_BYTE) as usize, (slot % IN_A_BYTE) as u32 * 2)
        })
    }
}

/// Returns a path without numbers and without the endings of side files.
fn base(path: &str) -> Cow<'_, str> {
    if !path.contains(PART) && !path.contains(" (") {
        return path.into();
    }
    let (folder, mut file) = match path.rsplit_once('/') {
        Some((folder, file)) => (Some(folder), file.to_string()),
        None => (None, path.to_string()),
    };
    loop {
        if let Some(whole) = [NEW_JOURNAL, JOURNAL, PART].iter().find_map(|ending| file.strip_suffix(ending))
        {
            file = whole.to_string();
        } else if let Some((whole, _)) = unnumbered(&file) {
            file = whole;
        } else {
            return folder.map_or(file.clone(), |folder| format!("{folder}/{file}")).into();
        }
    }
}

/// The slots are too many to be shown.
impl std::fmt::Debug for ListedNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListedNames").field("bytes", &self.slots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::SafeName;
    use proptest::prelude::*;

    fn filter(paths: &[&str]) -> ListedNames {
        let mut names = ListedNames::for_list(1 << 20, Naming::default());
        paths.iter().for_each(|path| names.add_path(path));
        names
    }

    #[test]
    fn a_name_is_the_only_one_if_nothing_can_clash_with_it() {
        for clash in ["a.bin", "a.bin.part", "a.bin.part.journal.new", "a (1).bin", "a (2) (1).bin.part"] {
            let names = filter(&["a.bin", clash, "b.bin", "d/a.bin"]);
            assert!(!names.is_only_path("a.bin") && !names.is_only_path(clash), "{clash}");
            assert!(names.is_only_path("b.bin") && names.is_only_path("d/a.bin"), "{clash}");
            assert!(names.may_have("a (7).bin") && !names.may_have("c.bin"));
        }
        let long = "x".repeat(LONGEST - 5);
        assert!(!filter(&[&long]).is_only_path(&long), "its partial file has another name");
    }

    #[test]
    fn few_names_of_a_full_filter_count_as_repeated() {
        let paths: Vec<String> = (0..100_000).map(|n| format!("{n}.bin")).collect();
        let mut names = ListedNames::for_list(100_000 * SHORT_LINE, Naming::default());
        paths.iter().for_each(|path| names.add_path(path));
        let repeated = paths.iter().filter(|path| !names.is_only_path(path)).count();
        assert!((50..1000).contains(&repeated), "{repeated}");
    }

    proptest! {
        #[test]
        fn a_number_is_taken_off(name in "[ab.]{1,5}( \\([1-9]\\))?(\\.[ab])?", n in 1..1000_u32) {
            if let Ok(name) = SafeName::from_person(&name) {
                let numbered = name.numbered(n);
                prop_assert_eq!(base(numbered.as_str()), base(name.as_str()));
            }
        }
    }
}
