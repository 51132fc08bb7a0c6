//! Decides how files become members of tar files (`--to-tar`): the names of the tars, the names of the
//! members, and when a tar is full.
//!
//! The tars have the form of WebDataset (<https://github.com/webdataset/webdataset>): members whose names are
//! equal up to the first dot are one sample. So each file is a sample of two members: `KEY.EXTENSION` with
//! the bytes of the file, and `KEY.json` with its description, which is what a lock file says about it.
//!
//! Invariant: a key has no dot, and two names of files never have the same two members. Runs of different
//! shards never make the same key.

use crate::name::{mark, split_extension};
use std::fmt;
use std::path::{Path, PathBuf};

/// The field in the names of tars that stands for their number.
const FIELD: &str = "shard";

/// The most digits to which numbers are filled up. A `u64` has at most 20 digits.
const DIGITS_MOST: usize = 18;

/// The extension of the member that describes a file.
const DESCRIPTION: &str = "json";

/// The extension of a file whose name has none. Readers ignore members without an extension.
const NO_EXTENSION: &str = "bin";

/// The bytes at the end of a tar: two empty blocks (POSIX, `pax`, "ustar Interchange Format").
pub const END: u64 = 1024;

/// The highest bound for the size of a tar. The offset of a member is stored as a number of blocks with 32
/// bits, which is enough for 2 TiB.
pub const LARGEST: u64 = 1 << 40;

/// The names of the tars of a set: `train/shard-{shard:05}.tar`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarNames {
    folder: PathBuf,
    before: String,
    digits: usize,
    after: String,
}

impl TarNames {
    /// Reads a pattern. `{shard}` stands for the number of the tar, from 0 on, and `{shard:05}` for its five
    /// digits.
    ///
    /// # Errors
    /// Returns what is wrong with the pattern, in words for the user.
    pub fn read(text: &str) -> Result<TarNames, String> {
        let (folder, name) = match text.rsplit_once(['/', std::path::MAIN_SEPARATOR]) {
            Some(("", name)) => ("/", name),
            Some(parts) => parts,
            None => ("", text),
        };
        let missing =
            || format!("the name needs {{{FIELD}}} for the number of the tar, as in data-{{{FIELD}:05}}.tar");
        let (before, rest) = name.split_once('{').ok_or_else(missing)?;
        let (field, after) = rest.split_once('}').ok_or_else(missing)?;
        let digits = match field.strip_prefix(FIELD) {
            Some("") => 1,
            Some(format) => digits(format).ok_or_else(|| {
                format!("{{{field}}} has an unknown form. {{{FIELD}:05}} means five digits")
            })?,
            None => return Err(format!("{{{field}}} is an unknown field. Only {{{FIELD}}} is known")),
        };
        if after.contains(['{', '}']) || before.contains('}') || folder.contains(['{', '}']) {
            return Err(format!("{{{FIELD}}} must be in the name once, and nothing else in braces"));
        }
        if !after.ends_with(".tar") {
            return Err("the name must end in .tar".into());
        }
        Ok(TarNames { folder: folder.into(), before: before.into(), digits, after: after.into() })
    }

    /// Returns the folder of the tars, as it was given.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the file name of the tar with this number.
    pub fn name(&self, number: u64) -> String {
        format!("{}{number:0digits$}{}", self.before, self.after, digits = self.digits)
    }

    /// Returns the number of the tar with this file name, if it is one of the set.
    pub fn number_of(&self, name: &str) -> Option<u64> {
        let number = name.strip_prefix(&self.before)?.strip_suffix(&self.after)?.parse().ok()?;
        (self.name(number) == name).then_some(number)
    }

    /// Returns the name of a folder for the state of the runs that write these tars.
    pub fn name_for_state(&self) -> String {
        format!("{}N{}", self.before, self.after)
    }

    /// Returns the member at a path as events report it: the path of a tar, and the name of a member.
    /// `output` is the output folder.
    pub fn member_at<'p>(&self, path: &'p Path, output: &Path) -> Option<&'p Path> {
        let below = path.strip_prefix(output.join(&self.folder)).ok()?;
        let tar = below.iter().next()?;
        self.number_of(tar.to_str()?)?;
        below.strip_prefix(tar).ok()
    }
}

/// The pattern, without its folder.
impl fmt::Display for TarNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TarNames { before, digits, after, .. } = self;
        match digits {
            1 => write!(f, "{before}{{{FIELD}}}{after}"),
            _ => write!(f, "{before}{{{FIELD}:0{digits}}}{after}"),
        }
    }
}

/// Reads the digits in the field of a pattern: `:05`.
fn digits(format: &str) -> Option<usize> {
    let digits = format.strip_prefix(":0")?;
    let digits = Some(digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|digits| (1..=DIGITS_MOST).contains(digits))
}

/// The numbers of the tars that a run writes. The runs of several shards write one set, so each of them has
/// numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    first: u64,
    step: u64,
}

impl Numbers {
    /// All numbers from 0 on.
    pub const ALL: Numbers = Numbers { first: 0, step: 1 };

    /// Returns the numbers of shard `number` (from 1) of `of`: `number - 1`, and then every number that is
    /// `of` higher.
    pub fn of_shard(number: u64, of: u64) -> Numbers {
        let step = of.max(1);
        Numbers { first: number.saturating_sub(1) % step, step }
    }

    /// Returns the number of shards that write the set.
    pub fn shards(self) -> u64 {
        self.step
    }

    /// Returns true if a number is one of these.
    pub fn has(self, number: u64) -> bool {
        number % self.step == self.first
    }

    /// Returns the first number after `last`, or the first of all.
    pub fn after(self, last: Option<u64>) -> u64 {
        let Some(last) = last else { return self.first };
        let next = last - last % self.step + self.first;
        if next > last { next } else { next.saturating_add(self.step) }
    }
}

/// The shard, as in `3of8`.
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}of{}", self.first + 1, self.step)
    }
}

/// The bounds of each tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The highest size in bytes. A file that is larger gets a tar of its own.
    pub size: u64,
    /// The highest number of files.
    pub count: Option<u64>,
}

impl Bounds {
    /// Returns true if a tar of this size, without its end, and with this number of files has room for a file
    /// that adds `more` bytes.
    pub fn have_room(&self, size: u64, count: u64, more: u64) -> bool {
        let has_bytes = size.saturating_add(more).saturating_add(END) <= self.size.min(LARGEST);
        count == 0 || (has_bytes && self.count.is_none_or(|most| count < most))
    }
}

/// The names of the two members of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The part of both names before the first dot. It may have folders.
    pub key: String,
    extension: String,
}

impl Sample {
    /// Returns the members of the file with this name below the output folder. Dots before the extension
    /// become `_`. A name with `/` has folders.
    pub fn of(name: &str) -> Sample {
        let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
        let (stem, extension) = split_extension(file);
        let slash = if folder.is_empty() { "" } else { "/" };
        let key = format!("{folder}{slash}{stem}").replace('.', "_");
        let extension = match extension.strip_prefix('.') {
            None => NO_EXTENSION.into(),
            Some(extension) if extension.eq_ignore_ascii_case(DESCRIPTION) => format!("data.{extension}"),
            Some(extension) => extension.into(),
        };
        Sample { key, extension }
    }

    /// Returns the members of the file if another file may have the same key. The key gets a hash of the name
    /// and of the shard, because runs of different shards do not know each other's names.
    pub fn with_hash(name: &str, numbers: Numbers) -> Sample {
        let Sample { key, extension } = Sample::of(name);
        let hashed = if numbers == Numbers::ALL { name.into() } else { format!("{name}\0{numbers}") };
        Sample { key: format!("{key}~{}", mark(hashed.as_bytes())), extension }
    }

    /// Returns the sample whose file is the member with this name.
    pub fn of_member(member: &str) -> Option<Sample> {
        let file = member.rfind('/').map_or(0, |slash| slash + 1);
        let (key, extension) = member.split_at(file + member[file..].find('.')?);
        Some(Sample { key: key.into(), extension: extension.strip_prefix('.')?.into() })
    }

    /// Returns the name of the member with the bytes of the file.
    pub fn file(&self) -> String {
        format!("{}.{}", self.key, self.extension)
    }

    /// Returns the name of the member that describes the file.
    pub fn description(&self) -> String {
        format!("{}.{DESCRIPTION}", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(name: &str) -> (String, String) {
        let sample = Sample::of(name);
        (sample.file(), sample.description())
    }

    #[test]
    fn a_key_has_no_dots_and_each_member_has_an_extension() {
        for (name, file, record) in [
            ("a.jpg", "a.jpg", "a.json"),
            ("d/a.jpg", "d/a.jpg", "d/a.json"),
            ("example.com/a.v2.JPG", "example_com/a_v2.JPG", "example_com/a_v2.json"),
            ("brain.nii.gz", "brain.nii.gz", "brain.json"),
            ("README", "README.bin", "README.json"),
            (".profile", "_profile.bin", "_profile.json"),
            ("meta.json", "meta.data.json", "meta.json"),
            ("ends.", "ends_.bin", "ends_.json"),
            ("größe 1.5.png", "größe 1_5.png", "größe 1_5.json"),
        ] {
            assert_eq!(members(name), (file.into(), record.into()), "{name}");
        }
    }

    #[test]
    fn the_names_of_tars_have_their_number() {
        let names = TarNames::read("train/shard-{shard:05}.tar").expect("a pattern");
        assert_eq!((names.folder(), names.name(7)), (Path::new("train"), "shard-00007.tar".into()));
        assert_eq!(names.number_of("shard-123456.tar"), Some(123_456));
        for other in ["shard-7.tar", "shard-.tar", "shard-00007.tar.part", "x-00007.tar", "shard-+0007.tar"] {
            assert_eq!(names.number_of(other), None, "{other}");
        }
        let plain = TarNames::read("{shard}.tar").expect("a pattern");
        assert_eq!((plain.name(7), plain.to_string()), ("7.tar".into(), "{shard}.tar".into()));
        assert_eq!(names.to_string(), "shard-{shard:05}.tar");
        let path = Path::new("data/train/shard-00007.tar/d/a.jpg");
        assert_eq!(names.member_at(path, Path::new("data")), Some(Path::new("d/a.jpg")));
        assert_eq!(names.member_at(Path::new("data/train/a.jpg"), Path::new("data")), None);
        for wrong in [
            "a.tar",
            "{shard}.tar.gz",
            "{shard}.zip",
            "{shard:5}.tar",
            "{shard:0}.tar",
            "{n}.tar",
            "{shard",
            "",
            "{shard}{shard}.tar",
            "{shard}/{shard}.tar",
            "}{shard}.tar",
        ] {
            assert!(TarNames::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_shard_has_numbers_of_its_own() {
        assert_eq!([None, Some(0), Some(4)].map(|last| Numbers::ALL.after(last)), [0, 1, 5]);
        let third = Numbers::of_shard(3, 8);
        assert_eq!(
            [None, Some(2), Some(3), Some(10), Some(0)].map(|last| third.after(last)),
            [2, 10, 10, 18, 2]
        );
        assert_eq!((third.to_string(), third.shards()), ("3of8".into(), 8));
        let keys = (1..=8).map(|one| Sample::with_hash("a.jpg", Numbers::of_shard(one, 8)).key);
        assert_eq!(keys.collect::<std::collections::BTreeSet<_>>().len(), 8);
        for number in 0..100 {
            assert_eq!((1..=8).filter(|one| Numbers::of_shard(*one, 8).has(number)).count(), 1);
        }
    }

    #[test]
    fn a_tar_has_room_up_to_its_bounds_and_for_one_file_of_any_size() {
        let bounds = Bounds { size: 10_000, count: Some(3) };
        assert!(bounds.have_room(0, 0, u64::MAX));
        assert!(bounds.have_room(5_000, 1, 10_000 - END - 5_000));
        assert!(!bounds.have_room(5_000, 1, 10_000 - END - 4_999));
        assert!(bounds.have_room(0, 2, 1) && !bounds.have_room(0, 3, 1));
    }

    proptest! {
        #[test]
        fn members_are_two_and_belong_to_one_sample(name in "[a-c./ ä~]{1,12}") {
            let third = Numbers::of_shard(3, 8);
            for sample in [Sample::of(&name), Sample::with_hash(&name, Numbers::ALL), Sample::with_hash(&name, third)] {
                prop_assert!(!sample.key.contains('.'));
                prop_assert_ne!(sample.file().to_lowercase(), sample.description().to_lowercase());
                prop_assert_eq!(Sample::of_member(&sample.file()), Some(sample.clone()));
            }
        }

        #[test]
        fn no_pattern_causes_a_panic(text in "[{}a-z:0-9/.]{0,20}") {
            if let Ok(names) = TarNames::read(&text) {
                prop_assert_eq!(names.number_of(&names.name(3)), Some(3));
            }
        }
    }
}
