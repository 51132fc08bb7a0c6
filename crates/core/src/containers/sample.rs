//! The names of the two members that a file has in a tar of `--to-tar`.
//!
//! The tars have the form of WebDataset (<https://github.com/webdataset/webdataset>): members whose names are
//! equal up to the first dot are one sample. So each file is a sample of two members. `KEY.EXTENSION` has the
//! bytes of the file. `KEY.json` has the description of the file, with the same facts as a line of a lock
//! file.
//!
//! Invariant: a key has no dot, and the two members of a file have different names. [`Sample::of`] may give
//! the same key to two files (`a.b.jpg` and `a_b.jpg`). [`Sample::with_hash`] gives two files the same key
//! only if two hashes of 64 bits are equal by chance. This also holds for the runs of different shards.

use super::Numbers;
use crate::name::{mark, split_extension};

/// The extension of the member that describes a file.
const DESCRIPTION: &str = "json";

/// The extension of a member whose file has no extension in its name. Readers of WebDataset ignore members
/// without an extension.
const NO_EXTENSION: &str = "bin";

/// The names of the two members of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The part of both names before the first dot. It may have folders.
    pub key: String,
    extension: String,
}

impl Sample {
    /// Returns the names of the members of a file. `name` is the name of the file below the output folder,
    /// and may have folders. Dots before the extension become `_`. The file `NAME.json` becomes the member
    /// `NAME.data.json`, because the member `NAME.json` is its description.
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

    /// Returns the names of the members of a file, with a hash in the key. These names are used if the key
    /// without a hash may be the key of another file too. The hash is made from the name and the shard that
    /// `numbers` stands for, because the run of one shard does not know the names of the files in other
    /// shards.
    pub fn with_hash(name: &str, numbers: Numbers) -> Sample {
        let Sample { key, extension } = Sample::of(name);
        let hashed = if numbers == Numbers::ALL { name.into() } else { format!("{name}\0{numbers}") };
        Sample { key: format!("{key}~{}", mark(hashed.as_bytes())), extension }
    }

    /// Returns the sample that has a member with this name. The member must have the bytes of the file, and
    /// not the description. Returns `None` if the name has no extension.
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
    fn shards_have_keys_of_their_own() {
        let keys = (1..=8).map(|one| Sample::with_hash("a.jpg", Numbers::of_shard(one, 8)).key);
        assert_eq!(keys.collect::<std::collections::BTreeSet<_>>().len(), 8);
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
    }
}
