//! [`ListedNames`] finds the names in a long list that only one file has. The run forgets such a name when
//! the job of its file has ended. So the names of ten million files take little memory.
//!
//! Invariant: if two files of the list could have the same path, or if one file could have the path of a
//! partial file, a numbered form or a folder of the other file, neither of the two counts as the only file
//! with its name.

use crate::job::Job;
use crate::name::{JOURNAL, LONGEST, NEW_JOURNAL, Naming, NumberForm, PART, same_file_key, unnumbered};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The filter has this many bits for each name. With sixteen bits, one in four hundred names that were not
/// added seems to be in the filter.
const BITS_OF_A_NAME: u64 = 16;

/// The highest number of bits of the filter. They take 8 MiB. With ten million names, one in twenty-five
/// names that were not added seems to be in the filter.
const BITS_MOST: u64 = 1 << 26;

/// The number of bits in a word of the filter.
const IN_A_WORD: u64 = 64;

/// The number of bits that each name sets. With ten million names, the filter makes the fewest mistakes with
/// four or five bits.
const SET_BY_A_NAME: u64 = 4;

/// The lowest bits of a key. They are 0, so that the callers can store other data in them.
pub const UNUSED: u64 = 3;

/// Returns the key of a path. Two paths have the same key if they are equal, or if one is a numbered form or
/// a side file without a tag of the other. Two other paths may have the same key by chance. That happens in
/// one of 90,000 lists with ten million paths.
pub fn key(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    same_file_key(&base(path)).hash(&mut hasher);
    hasher.finish() & !UNUSED
}

/// The names of the files in a list. Here, the name of a file is the name that its job has before the first
/// response.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedNames {
    /// The keys of the names that several files have, in ascending order.
    repeated: Vec<u64>,
    /// All names, as a Bloom filter.
    filter: Vec<u64>,
    naming: Naming,
}

impl ListedNames {
    /// Returns an empty set with room for this many names. `naming` has the rules by which the files get
    /// their names.
    pub fn with_room_for(names: u64, naming: Naming) -> ListedNames {
        let bits = names.saturating_mul(BITS_OF_A_NAME).clamp(IN_A_WORD, BITS_MOST);
        let words = usize::try_from(bits / IN_A_WORD).unwrap_or_default().max(1);
        ListedNames { repeated: Vec::new(), filter: vec![0; words], naming }
    }

    /// Adds the key of a name. The caller adds each key once, in ascending order. `is_repeated` is true if
    /// several files have the key, or if a file and a folder of another file have it.
    pub fn add(&mut self, key: u64, is_repeated: bool) {
        if is_repeated {
            self.repeated.push(key);
        }
        for (word, bit) in self.places(key) {
            self.filter[word] |= bit;
        }
    }

    /// Returns true if it is certain that no other job of the list can have the path of this job. The job
    /// must be in the list.
    pub fn is_only(&self, job: &Job) -> bool {
        self.naming.name_for(job, None).is_some_and(|name| self.is_only_path(name.as_str()))
    }

    /// Returns true if this path was added once, and no other path was added that could clash with it or with
    /// one of its folders. By
    /// chance, the result may also be true for a path that was not added.
    fn is_only_path(&self, path: &str) -> bool {
        let file = path.rsplit('/').next().unwrap_or(path);
        // The names of the side files of a longer name are cut, so they are not known here.
        file.len() + NEW_JOURNAL.len() <= LONGEST
            && self.may_have(path)
            && !path.match_indices('/').any(|(at, _)| self.may_have(&path[..at]))
            && self.repeated.binary_search(&key(path)).is_err()
    }

    /// Returns true if this path was added, or a path that could clash with it. By chance, the result may
    /// also be true for other paths.
    pub fn may_have(&self, path: &str) -> bool {
        self.places(key(path)).all(|(word, bit)| self.filter[word] & bit != 0)
    }

    /// Returns the bits of a key in the filter: for each bit, the index of its word, and the word in which
    /// only this bit is set.
    fn places(&self, key: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        // The first half of the key is the place of the first bit, and the second half is the distance to the
        // next bit.
        let (first, distance) = (key >> 32, (key & 0xffff_ffff) | 1);
        let bits = self.filter.len() as u64 * IN_A_WORD;
        (0..SET_BY_A_NAME).map(move |n| {
            let bit = (((first + n * distance) & 0xffff_ffff) * bits) >> 32;
            ((bit / IN_A_WORD) as usize, 1 << (bit % IN_A_WORD))
        })
    }
}

/// Returns a path without the numbers of alternative names (` (1)`) and without the endings of side files.
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
        } else if let Some((whole, _)) = unnumbered(&file, NumberForm::Parentheses) {
            file = whole;
        } else {
            return folder.map_or(file.clone(), |folder| format!("{folder}/{file}")).into();
        }
    }
}

/// Writes no content, because the filter is too large to be shown.
impl std::fmt::Debug for ListedNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListedNames").field("repeated", &self.repeated.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::SafeName;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn names(paths: &[&str]) -> ListedNames {
        let mut number = BTreeMap::new();
        paths.iter().for_each(|path| *number.entry(key(path)).or_insert(0) += 1);
        let mut names = ListedNames::with_room_for(paths.len() as u64, Naming::default());
        number.into_iter().for_each(|(key, number)| names.add(key, number > 1));
        names
    }

    #[test]
    fn a_name_is_the_only_one_if_nothing_can_clash_with_it() {
        for clash in ["a.bin", "a.bin.part", "a.bin.part.journal.new", "a (1).bin", "a (2) (1).bin.part"] {
            let names = names(&["a.bin", clash, "b.bin", "d/a.bin"]);
            assert!(!names.is_only_path("a.bin") && !names.is_only_path(clash), "{clash}");
            assert!(names.is_only_path("b.bin") && names.is_only_path("d/a.bin"), "{clash}");
            assert!(names.may_have("a (7).bin") && !names.may_have("c.bin"));
            assert!(!names.is_only_path("c.bin"), "it is not in the list");
        }
        let long = "x".repeat(LONGEST - 5);
        assert!(!names(&[&long]).is_only_path(&long), "its partial file has another name");
    }

    #[test]
    fn few_other_names_seem_to_be_in_the_list() {
        let paths: Vec<String> = (0..100_000).map(|n| format!("{n}.bin")).collect();
        let names = names(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(paths.iter().all(|path| names.is_only_path(path)));
        let others = (100_000..200_000).filter(|n| names.may_have(&format!("{n}.bin"))).count();
        assert!((50..1000).contains(&others), "{others}");
    }

    proptest! {
        #[test]
        fn a_number_is_taken_off(name in "[ab.]{1,5}( \\([1-9]\\))?(\\.[ab])?", n in 1..1000_u32) {
            if let Ok(name) = SafeName::from_person(&name) {
                let numbered = name.numbered(n, NumberForm::Parentheses);
                prop_assert_eq!(base(numbered.as_str()), base(name.as_str()));
            }
        }
    }
}
