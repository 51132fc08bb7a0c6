//! The names of the partial file, of its journal, and of other files beside an unfinished file. These names
//! are defined only here.
//!
//! Invariant: the names depend only on the final path and the tag, so every run finds the files of an earlier
//! run. Each name fits into [`LONGEST`] bytes if the final name does.

use super::{LONGEST, cut_bytes, mark};
use std::path::{Path, PathBuf};

/// The ending of a partial file.
pub const PART: &str = ".part";
/// The ending of the journal of a partial file.
pub const JOURNAL: &str = ".part.journal";
/// The ending of a journal that is being written and will replace the old journal.
pub const NEW_JOURNAL: &str = ".part.journal.new";

/// The files that belong to an unfinished file, all in the folder of its final path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideFiles {
    /// The partial file: `NAME.part`.
    pub part: PathBuf,
    /// The journal of the partial file: `NAME.part.journal`.
    pub journal: PathBuf,
    /// A journal that is being written: `NAME.part.journal.new`.
    pub new_journal: PathBuf,
}

impl SideFiles {
    /// Returns all three paths.
    pub fn all(&self) -> [&Path; 3] {
        [&self.part, &self.journal, &self.new_journal]
    }
}

/// Returns the side files for a final path. If the name in this path leaves no space for the longest ending,
/// all three names begin with a part of the name and a hash of the whole name: `PREFIX~HASH.part`.
pub fn side_files(path: &Path) -> SideFiles {
    side_files_of(path, "")
}

/// Returns the side files with a tag in their names: `NAME.TAG.part`. These names are used if files with the
/// usual names belong to another download, or if nothing shows that downhaul made those files. They are also
/// used for a small file: it has no journal, so a later run could not see that downhaul made its partial
/// file. The `tag` has at most 16 bytes, and is put before the endings.
pub fn tagged_side_files(path: &Path, tag: &str) -> SideFiles {
    side_files_of(path, &format!(".{tag}"))
}

fn side_files_of(path: &Path, tag: &str) -> SideFiles {
    let name = path.file_name().unwrap_or_default();
    let most = LONGEST - NEW_JOURNAL.len() - tag.len();
    let mut stem = if name.len() <= most {
        name.to_owned()
    } else {
        let mark = format!("~{}", mark(name.as_encoded_bytes()));
        // Each byte that is not UTF-8 becomes a replacement character of three bytes. The name is cut after
        // this step.
        let shown = name.to_string_lossy();
        let prefix = cut_bytes(&shown, most - mark.len());
        format!("{prefix}{mark}").into()
    };
    stem.push(tag);
    let with = |ending: &str| {
        let mut name = stem.clone();
        name.push(ending);
        path.with_file_name(name)
    };
    SideFiles { part: with(PART), journal: with(JOURNAL), new_journal: with(NEW_JOURNAL) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part_of(name: &str) -> String {
        side_files(Path::new(name)).part.to_string_lossy().into_owned()
    }

    #[test]
    fn the_side_files_have_the_final_name_and_an_ending_if_that_is_not_too_long() {
        let SideFiles { part, journal, new_journal } = side_files(Path::new("a/b.iso"));
        assert_eq!(part, Path::new("a/b.iso.part"));
        assert_eq!(journal, Path::new("a/b.iso.part.journal"));
        assert_eq!(new_journal, Path::new("a/b.iso.part.journal.new"));
        let longest = "x".repeat(LONGEST - NEW_JOURNAL.len());
        assert_eq!(part_of(&longest), format!("{longest}.part"));
    }

    #[test]
    fn a_tag_is_put_before_the_endings() {
        let side = tagged_side_files(Path::new("a/b.iso"), "0123abcd");
        assert_eq!(side.part, Path::new("a/b.iso.0123abcd.part"));
        assert_eq!(side.journal, Path::new("a/b.iso.0123abcd.part.journal"));
        let long = tagged_side_files(Path::new(&"x".repeat(255)), "0123abcd");
        assert!(long.all().iter().all(|path| path.as_os_str().len() <= LONGEST));
    }

    #[test]
    fn names_too_long_for_an_ending_are_cut_and_get_a_hash() {
        let (one, other) = ("x".repeat(254) + "1", "x".repeat(254) + "2");
        assert_ne!(part_of(&one), part_of(&other));
        assert!(part_of(&one).starts_with("xxxxxxxx") && part_of(&one).ends_with(".part"));
    }

    proptest! {
        #[test]
        fn side_files_fit_and_are_never_the_side_files_of_another_file(
            one in "[a-zé]{1,120}[0-9]{0,15}", other in "[a-zé]{1,120}[0-9]{0,15}", padding in 0..240_usize,
        ) {
            let long = |end: &str| format!("{}{end}", "p".repeat(padding.min(LONGEST.saturating_sub(end.len()))));
            let (one, other) = (long(&one), long(&other));
            let side = side_files(Path::new(&one));
            for path in side.all() {
                prop_assert!(path.as_os_str().len() <= LONGEST, "{path:?}");
                prop_assert!(path != Path::new(&one));
            }
            prop_assert!(one == other || side_files(Path::new(&other)) != side);
        }
    }
}
