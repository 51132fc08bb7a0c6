//! [`ListedNames`] finds, in a long list, the names that only one file has. The run forgets such a name when
//! the job of its file has ended. So a run needs little memory for the names of ten million files.
//!
//! Two paths clash if they are equal. They also clash if one path is a numbered form of the other path
//! (`a (1).bin` of `a.bin`), or the path of its partial file or journal (`a.bin.part`). On macOS and Windows,
//! upper and lower case make no difference.
//!
//! Invariant: if the path of a file could clash with the path of another file in the list, the file does not
//! count as the only file with its name. The same is true if the path of a file could clash with a folder of
//! another file.

use crate::job::Job;
use crate::name::{JOURNAL, LONGEST, NEW_JOURNAL, Naming, NumberForm, PART, same_file_key, unnumbered};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The filter has this many bits for each name. With sixteen bits, about one in four hundred names that were
/// not added seems to be in the filter.
const BITS_OF_A_NAME: u64 = 16;

/// The highest number of bits of the filter. This number of bits takes 8 MiB. With ten million names, about
/// one in twenty-five names that were not added seems to be in the filter.
const BITS_MOST: u64 = 1 << 26;

/// The filter consists of words of this many bits (`u64`).
const IN_A_WORD: u64 = 64;

/// The number of bits that each name sets in the filter. With ten million names, four or five bits are best:
/// the fewest names that were not added seem to be in the filter.
const SET_BY_A_NAME: u64 = 4;

/// A mask of the two lowest bits of a key. [`key`] returns 0 in these bits, so callers can store other data
/// in them.
pub const UNUSED: u64 = 3;

/// Returns the key of a path. Paths that clash have the same key, and so do two numbered forms of one path.
/// There are two exceptions: the name of a partial file or journal may contain a tag (`a.bin.TAG.part`), or
/// may be cut because it is too long. The key then differs from the key of `a.bin`. All other paths have
/// different keys, except by chance: two of them have the same key in about one of 90,000 lists with ten
/// million paths.
pub fn key(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    same_file_key(&base(path)).hash(&mut hasher);
    hasher.finish() & !UNUSED
}

/// The names of the files in a list. Here, the name of a file is the name that its job has before the first
/// response.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedNames {
    /// The keys that belong to several files, or to a file and a folder of another file, in ascending order.
    repeated: Vec<u64>,
    /// The keys of all names, as a Bloom filter.
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

    /// Returns true only if it is certain that no other job of the list can have the path of this job. The
    /// job must be in the list.
    pub fn is_only(&self, job: &Job) -> bool {
        self.naming.name_for(job, None).is_some_and(|name| self.is_only_path(name.as_str()))
    }

    /// For a path that was added: returns true only if the path was added once, no other path that could
    /// clash with it was added, and no path that could clash with one of its folders was added. For a path
    /// that was not added, the result is usually false, and only by chance true.
    fn is_only_path(&self, path: &str) -> bool {
        let file = path.rsplit('/').next().unwrap_or(path);
        // If the name is so long that an ending such as `.part.journal.new` does not fit, the names of the
        // partial file and of the journal have only the beginning of this name, and a hash. Then their keys
        // differ from the key of `path`, so a clash with them cannot be found.
        file.len() + NEW_JOURNAL.len() <= LONGEST
            && self.may_have(path)
            && !path.match_indices('/').any(|(at, _)| self.repeated.binary_search(&key(&path[..at])).is_ok())
            && self.repeated.binary_search(&key(path)).is_err()
    }

    /// Returns true if this path was added, or if a path that could clash with it was added. If neither was
    /// added, the result is usually false, and only by chance true.
    pub fn may_have(&self, path: &str) -> bool {
        self.places(key(path)).all(|(word, bit)| self.filter[word] & bit != 0)
    }

    /// Returns the bits of the filter that belong to a key. Each item is the index of the word that contains
    /// the bit, and a mask in which only this bit is set.
    fn places(&self, key: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        // The upper half of the key gives the place of the first bit. The lower half gives the distance from
        // each bit to the next bit.
        let (first, distance) = (key >> 32, (key & 0xffff_ffff) | 1);
        let bits = self.filter.len() as u64 * IN_A_WORD;
        (0..SET_BY_A_NAME).map(move |n| {
            let bit = (((first + n * distance) & 0xffff_ffff) * bits) >> 32;
            ((bit / IN_A_WORD) as usize, 1 << (bit % IN_A_WORD))
        })
    }
}

/// Returns a path without the numbers of numbered forms (` (1)`), and without the endings of partial files
/// and journals.
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
        assert!(!names(&[&long]).is_only_path(&long), "the name of its partial file is cut");
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
