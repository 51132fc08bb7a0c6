//! The files that stand beside a target while it is unfinished: [`side_files`] is the only place that knows their names.
//!
//! Invariant: the names depend on the target's path and the tag alone, so that every run finds what an earlier run left;
//! and each of them fits into [`LONGEST`] bytes whenever the target's own name does.

use super::{LONGEST, cut_bytes, mark};
use std::path::{Path, PathBuf};

/// What a partial file's name ends in.
pub const PART: &str = ".part";
/// What its journal's name ends in.
pub const JOURNAL: &str = ".part.journal";
/// What the name of a journal ends in that is being written and will take the place of the old one.
pub const NEW_JOURNAL: &str = ".part.journal.new";

/// The files that belong to a target while it is unfinished, all in the target's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideFiles {
    /// The bytes so far: `NAME.part`.
    pub part: PathBuf,
    /// Which of these bytes can be trusted: `NAME.part.journal`.
    pub journal: PathBuf,
    /// A journal that is being written: `NAME.part.journal.new`.
    pub new_journal: PathBuf,
}

impl SideFiles {
    /// All of them, for whoever reserves or removes them.
    pub fn all(&self) -> [&Path; 3] {
        [&self.part, &self.journal, &self.new_journal]
    }
}

/// Returns the side files of a target. Where the target's name leaves no room for the longest ending, all three names
/// begin with a prefix of it and a hash of the whole name: `PREFIX~HASH.part`.
pub fn side_files(target: &Path) -> SideFiles {
    side_files_of(target, "")
}

/// Returns the side files of a target for a file that is not the one whose partial file has the usual name. Its `tag` (of
/// at most 16 bytes) stands before the endings: `NAME.TAG.part`.
pub fn tagged_side_files(target: &Path, tag: &str) -> SideFiles {
    side_files_of(target, &format!(".{tag}"))
}

fn side_files_of(target: &Path, tag: &str) -> SideFiles {
    let name = target.file_name().unwrap_or_default();
    let most = LONGEST - NEW_JOURNAL.len() - tag.len();
    let mut stem = if name.len() <= most {
        name.to_owned()
    } else {
        let mark = format!("~{}", mark(name.as_encoded_bytes()));
        // Bytes that are not UTF-8 become marks of three bytes here, which the cut takes into account.
        let shown = name.to_string_lossy();
        let prefix = cut_bytes(&shown, most - mark.len());
        format!("{prefix}{mark}").into()
    };
    stem.push(tag);
    let with = |ending: &str| {
        let mut name = stem.clone();
        name.push(ending);
        target.with_file_name(name)
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
    fn the_names_are_the_targets_with_an_ending_as_long_as_they_fit() {
        let SideFiles { part, journal, new_journal } = side_files(Path::new("a/b.iso"));
        assert_eq!(part, Path::new("a/b.iso.part"));
        assert_eq!(journal, Path::new("a/b.iso.part.journal"));
        assert_eq!(new_journal, Path::new("a/b.iso.part.journal.new"));
        let longest = "x".repeat(LONGEST - NEW_JOURNAL.len());
        assert_eq!(part_of(&longest), format!("{longest}.part"));
    }

    #[test]
    fn a_tag_stands_before_the_endings() {
        let side = tagged_side_files(Path::new("a/b.iso"), "0123abcd");
        assert_eq!(side.part, Path::new("a/b.iso.0123abcd.part"));
        assert_eq!(side.journal, Path::new("a/b.iso.0123abcd.part.journal"));
        let long = tagged_side_files(Path::new(&"x".repeat(255)), "0123abcd");
        assert!(long.all().iter().all(|path| path.as_os_str().len() <= LONGEST));
    }

    #[test]
    fn names_without_room_for_an_ending_keep_their_beginning_and_get_a_hash() {
        let (one, other) = ("x".repeat(254) + "1", "x".repeat(254) + "2");
        assert_ne!(part_of(&one), part_of(&other));
        assert!(part_of(&one).starts_with("xxxxxxxx") && part_of(&one).ends_with(".part"));
    }

    proptest! {
        #[test]
        fn side_files_fit_and_are_never_those_of_another_target(
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
