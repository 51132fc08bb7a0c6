//! Makes the names of containers, and decides when a container is full. A container is a tar or a WARC that
//! contains downloaded files (`--to-tar`, `--to-warc`). [`Sample`] has the names of a file within a tar.
//!
//! Invariant: if a list is divided into shards, the runs of two shards never make containers with the same
//! name.

mod sample;

pub use sample::Sample;

use std::fmt;
use std::path::{Path, PathBuf};

/// The form of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A tar in the form of WebDataset (<https://github.com/webdataset/webdataset>).
    Tar,
    /// A WARC, which has the responses of servers (ISO 28500:2017, WARC/1.1).
    Warc,
}

impl Form {
    /// Returns the ending of the names of containers of this form, such as `.tar`.
    pub fn ending(self) -> &'static str {
        match self {
            Form::Tar => ".tar",
            Form::Warc => ".warc.gz",
        }
    }

    /// Returns the name of the field that stands for the number of a container ([`ContainerNames::read`]).
    /// For tars it is `shard`, because WebDataset calls a tar a shard.
    pub fn field(self) -> &'static str {
        match self {
            Form::Tar => "shard",
            Form::Warc => "number",
        }
    }

    /// Returns the option by which the user requests containers of this form.
    pub fn option(self) -> &'static str {
        match self {
            Form::Tar => "--to-tar",
            Form::Warc => "--to-warc",
        }
    }

    /// Returns the word for a container of this form in messages.
    pub fn word(self) -> &'static str {
        match self {
            Form::Tar => "tar",
            Form::Warc => "WARC",
        }
    }
}

/// The highest number of digits that a pattern may request. Each number with this many digits fits into a
/// `u64`.
const DIGITS_MOST: usize = 18;

/// The number of bytes at the end of a tar: two empty blocks (POSIX, `pax`, "ustar Interchange Format").
pub const TAR_END: u64 = 1024;

/// The highest bound for the size of a container, in bytes. With this bound, the offset at which a file
/// begins in a container has at most 40 bits, which is the space that the engine's index has for an offset.
pub const LARGEST: u64 = 1 << 40;

/// A pattern for the names of containers, such as `train/shard-{shard:05}.tar`. All containers whose names
/// match one pattern are called a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerNames {
    form: Form,
    folder: PathBuf,
    before: String,
    digits: usize,
    after: String,
}

impl ContainerNames {
    /// Reads a pattern. In the names of tars, `{shard}` stands for the number of the tar, from 0 on, and
    /// `{shard:05}` stands for this number with at least five digits. In the names of WARCs, the field is
    /// `{number}`.
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong with the pattern.
    pub fn read(form: Form, text: &str) -> Result<ContainerNames, String> {
        let (known, word, ending) = (form.field(), form.word(), form.ending());
        let (folder, name) = match text.rsplit_once(['/', std::path::MAIN_SEPARATOR]) {
            Some(("", name)) => ("/", name),
            Some(parts) => parts,
            None => ("", text),
        };
        let missing = || {
            format!(
                "the name needs {{{known}}} for the number of the {word}, as in data-{{{known}:05}}{ending}"
            )
        };
        let (before, rest) = name.split_once('{').ok_or_else(missing)?;
        let (field, after) = rest.split_once('}').ok_or_else(missing)?;
        let digits = match field.strip_prefix(known) {
            Some("") => 1,
            Some(format) => digits(format).ok_or_else(|| {
                format!("{{{field}}} has an unknown form. {{{known}:05}} means at least five digits")
            })?,
            None => return Err(format!("{{{field}}} is an unknown field. Only {{{known}}} is known")),
        };
        if after.contains(['{', '}']) || before.contains('}') || folder.contains(['{', '}']) {
            return Err(format!("{{{known}}} must be in the name once, and no other braces are allowed"));
        }
        if !after.ends_with(ending) {
            return Err(format!("the name must end in {ending}"));
        }
        Ok(ContainerNames { form, folder: folder.into(), before: before.into(), digits, after: after.into() })
    }

    /// Returns the form of the containers.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns the folder of the containers, as it is in the pattern. It may be relative to the output
    /// folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the file name of the container with this number.
    pub fn name(&self, number: u64) -> String {
        format!("{}{number:0digits$}{}", self.before, self.after, digits = self.digits)
    }

    /// Returns the number of the container with this file name. Returns `None` if no container of the set can
    /// have this name.
    pub fn number_of(&self, name: &str) -> Option<u64> {
        let number = name.strip_prefix(&self.before)?.strip_suffix(&self.after)?.parse().ok()?;
        (self.name(number) == name).then_some(number)
    }

    /// Returns the name of a folder for the state of the runs that write these containers.
    pub fn name_for_state(&self) -> String {
        format!("{}N{}", self.before, self.after)
    }

    /// Returns the name that a downloaded file has within its container. `path` is the path of the file as
    /// events report it: the path of the container, followed by the name within the container. `output` is
    /// the output folder. Returns `None` if the path does not lead into a container of the set.
    pub fn file_at<'p>(&self, path: &'p Path, output: &Path) -> Option<&'p Path> {
        let below = path.strip_prefix(output.join(&self.folder)).ok()?;
        let container = below.iter().next()?;
        self.number_of(container.to_str()?)?;
        below.strip_prefix(container).ok()
    }
}

/// Writes the pattern without its folder.
impl fmt::Display for ContainerNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ContainerNames { form, before, digits, after, .. } = self;
        let field = form.field();
        match digits {
            1 => write!(f, "{before}{{{field}}}{after}"),
            _ => write!(f, "{before}{{{field}:0{digits}}}{after}"),
        }
    }
}

/// Returns the number of digits that the format in a field requests, such as 5 for `:05`. Returns `None` if
/// the format is malformed.
fn digits(format: &str) -> Option<usize> {
    let digits = format.strip_prefix(":0")?;
    let digits = Some(digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|digits| (1..=DIGITS_MOST).contains(digits))
}

/// The numbers of the containers that a run writes. If the runs of several shards write the containers of one
/// set, each run has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    first: u64,
    step: u64,
}

impl Numbers {
    /// All numbers from 0 on.
    pub const ALL: Numbers = Numbers { first: 0, step: 1 };

    /// Returns the numbers of a shard. `number` is the number of the shard, from 1 on, and `of` is the number
    /// of shards. The numbers are `number - 1`, and every number that is higher by a multiple of `of`.
    pub fn of_shard(number: u64, of: u64) -> Numbers {
        let step = of.max(1);
        Numbers { first: number.saturating_sub(1) % step, step }
    }

    /// Returns the number of shards.
    pub fn shards(self) -> u64 {
        self.step
    }

    /// Returns true if `number` is one of these numbers.
    pub fn has(self, number: u64) -> bool {
        number % self.step == self.first
    }

    /// Returns the first of these numbers after `last`. If `last` is `None`, returns the first of all these
    /// numbers.
    pub fn after(self, last: Option<u64>) -> u64 {
        let Some(last) = last else { return self.first };
        let next = last - last % self.step + self.first;
        if next > last { next } else { next.saturating_add(self.step) }
    }
}

/// Writes the number of the shard and the number of shards, such as `3of8`.
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}of{}", self.first + 1, self.step)
    }
}

/// The bounds for the size of each container and for its number of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The highest size in bytes. A file that is larger gets a container of its own.
    pub size: u64,
    /// The highest number of files. `None` means that there is no limit.
    pub count: Option<u64>,
}

impl Bounds {
    /// Returns true if one more file fits into a container. `size` is the number of bytes in the container,
    /// without its end (see [`TAR_END`]), and `count` is its number of files. `more` is the number of bytes
    /// that the new file and the end of the container need. A container without files always has room.
    pub fn have_room(&self, size: u64, count: u64, more: u64) -> bool {
        let has_bytes = size.saturating_add(more) <= self.size.min(LARGEST);
        count == 0 || (has_bytes && self.count.is_none_or(|most| count < most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tars(text: &str) -> Result<ContainerNames, String> {
        ContainerNames::read(Form::Tar, text)
    }

    #[test]
    fn the_names_of_tars_have_their_number() {
        let names = tars("train/shard-{shard:05}.tar").expect("a pattern");
        assert_eq!((names.folder(), names.name(7)), (Path::new("train"), "shard-00007.tar".into()));
        assert_eq!(names.number_of("shard-123456.tar"), Some(123_456));
        for other in ["shard-7.tar", "shard-.tar", "shard-00007.tar.part", "x-00007.tar", "shard-+0007.tar"] {
            assert_eq!(names.number_of(other), None, "{other}");
        }
        let plain = tars("{shard}.tar").expect("a pattern");
        assert_eq!((plain.name(7), plain.to_string()), ("7.tar".into(), "{shard}.tar".into()));
        assert_eq!(names.to_string(), "shard-{shard:05}.tar");
        let path = Path::new("data/train/shard-00007.tar/d/a.jpg");
        assert_eq!(names.file_at(path, Path::new("data")), Some(Path::new("d/a.jpg")));
        assert_eq!(names.file_at(Path::new("data/train/a.jpg"), Path::new("data")), None);
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
            assert!(tars(wrong).is_err(), "{wrong}");
        }
        let warcs = |text| ContainerNames::read(Form::Warc, text);
        assert_eq!(warcs("w-{number:03}.warc.gz").expect("a pattern").name(7), "w-007.warc.gz");
        for wrong in ["w-{shard}.warc.gz", "w-{number}.tar", "w-{number}.warc"] {
            assert!(warcs(wrong).is_err(), "{wrong}");
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
        for number in 0..100 {
            assert_eq!((1..=8).filter(|one| Numbers::of_shard(*one, 8).has(number)).count(), 1);
        }
    }

    #[test]
    fn a_container_has_room_up_to_its_bounds_and_for_one_file_of_any_size() {
        let bounds = Bounds { size: 10_000, count: Some(3) };
        assert!(bounds.have_room(0, 0, u64::MAX));
        assert!(bounds.have_room(5_000, 1, 5_000));
        assert!(!bounds.have_room(5_000, 1, 5_001));
        assert!(bounds.have_room(0, 2, 1) && !bounds.have_room(0, 3, 1));
    }

    proptest! {
        #[test]
        fn no_pattern_causes_a_panic(text in "[{}a-z:0-9/.]{0,20}") {
            if let Ok(names) = tars(&text) {
                prop_assert_eq!(names.number_of(&names.name(3)), Some(3));
            }
        }
    }
}
