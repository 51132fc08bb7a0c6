//! [`SafeName`]: the only way from a server's or a list's words to a file name.
//!
//! Invariant: a `SafeName` is a relative path below the output folder. It never leads upwards, is never absolute, holds no NUL,
//! and no component of it is longer than [`LONGEST`]. One that came from a server or a URL is moreover, in each component,
//! without control and bidi characters, not hidden, and no option of a program. [`SafeName::for_windows`] gives one
//! that Windows takes.

mod clean;
mod endings;
mod naming;
mod side;
#[cfg(test)]
mod tests;
mod text;

pub use naming::{Folders, NameSource, Naming};
pub use side::{JOURNAL, NEW_JOURNAL, PART, SideFiles, side_files, tagged_side_files};
pub use text::last_segment;
pub(crate) use text::{decoded, unescaped};

use crc_fast::{CrcAlgorithm, checksum};
use std::fmt;
use url::Url;

/// The longest name of a file or folder, in bytes: what ext4, XFS, Btrfs, APFS and tmpfs take. NTFS takes 255 UTF-16
/// units, which are never more than the bytes of UTF-8.
pub const LONGEST: usize = 255;

/// The name of a file whose URL ends in a slash, as browsers and wget save it.
const INDEX: &str = "index.html";

/// Why a name that a person gave is refused.
pub const TOO_LONG: &str = "a part of it is longer than 255 bytes, which is the most that a disk takes";

/// So many characters of a name that was changed are shown.
const SHOWN: usize = 80;

/// A relative path that is safe to create below the output folder. See the module for what that means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SafeName {
    path: String,
    /// What it was made from, where it could not stay so.
    original: Option<String>,
}

impl SafeName {
    /// A name that a server chose (Content-Disposition). `None` if nothing usable is left of it.
    pub fn from_server(text: &str) -> Option<SafeName> {
        clean::component(text).map(|path| SafeName::made_from(text.trim(), path))
    }

    /// The name for a URL: its last path segment, percent-decoded once, or `index.html`.
    pub fn from_url(url: &Url) -> SafeName {
        SafeName::of_last_segment(url).unwrap_or_else(SafeName::index)
    }

    /// The last path segment of a URL, percent-decoded once, if a name is left of it.
    pub fn of_last_segment(url: &Url) -> Option<SafeName> {
        SafeName::from_server(&last_segment(url))
    }

    /// A segment of the path of `url`, percent-decoded once, if a name is left of it.
    fn from_segment(url: &Url, segment: &str) -> Option<SafeName> {
        SafeName::from_server(&text::segment(url, segment))
    }

    fn index() -> SafeName {
        SafeName::plain(INDEX.into())
    }

    /// A name that the person gave in FILENAMES or a list. It may hold relative folders.
    ///
    /// # Errors
    /// A phrase that says what is wrong with it.
    pub fn from_person(text: &str) -> Result<SafeName, &'static str> {
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.contains('\0') {
            return Err("it holds a NUL character");
        }
        let slashes = if cfg!(windows) { text.replace('\\', "/") } else { text.to_string() };
        let drive = slashes.as_bytes().get(1) == Some(&b':') && slashes.as_bytes()[0].is_ascii_alphabetic();
        if slashes.starts_with('/') || (cfg!(windows) && drive) {
            return Err("it is an absolute path; use --output for the folder, or -o for a single URL");
        }
        if slashes.ends_with('/') {
            return Err("it names a folder");
        }
        let parts: Vec<&str> = slashes.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return Err("it leads out of the output folder with `..`");
        }
        if parts.is_empty() {
            return Err("it names a folder");
        }
        if parts.iter().any(|part| part.len() > LONGEST) {
            return Err(TOO_LONG);
        }
        Ok(SafeName::plain(parts.join("/")))
    }

    /// A name that the publisher of a set of files chose (Metalink). It may hold relative folders; each part of it
    /// becomes what a server's name would become.
    ///
    /// # Errors
    /// A phrase that says what is wrong with it.
    pub fn from_publisher(text: &str) -> Result<SafeName, &'static str> {
        let SafeName { path, .. } = SafeName::from_person(text)?;
        let parts: Option<Vec<String>> = path.split('/').map(clean::component).collect();
        let safe = parts.ok_or("nothing usable is left of a part of it")?.join("/");
        Ok(SafeName::made_from(&path, safe))
    }

    /// The name as Windows takes it: `a_b` for `a:b`, `_con.txt` for `con.txt`.
    pub fn for_windows(&self) -> SafeName {
        let parts: Vec<String> = self.path.split('/').map(clean::for_windows).collect();
        let name = SafeName::made_from(&self.path, parts.join("/"));
        SafeName { original: self.original.clone().or(name.original), ..name }
    }

    /// The `n`th other name for the same thing: `name (1).ext`.
    pub fn numbered(&self, n: u32) -> SafeName {
        let (folder, file) = self.path.rsplit_once('/').map_or(("", self.path.as_str()), |split| split);
        let (stem, extension) = endings::split_extension(file);
        let file = clean::with_ending(stem, &format!(" ({n}){extension}"), file);
        let path = if folder.is_empty() { file } else { format!("{folder}/{file}") };
        SafeName { path, original: self.original.clone() }
    }

    /// The same name below these folders.
    fn below(&self, folders: &[SafeName]) -> SafeName {
        let all = folders.iter().chain([self]).map(SafeName::as_str);
        SafeName { path: all.collect::<Vec<_>>().join("/"), original: self.original.clone() }
    }

    /// The name, `/` between folders.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// What the name was made from, where it could not stay so: lists may call the file by that.
    pub fn original(&self) -> Option<&str> {
        self.original.as_deref()
    }

    /// What a person should know of the name, if it is not the one that was given. Holds remote text.
    pub fn note(&self) -> Option<String> {
        let original = self.original()?;
        let shown: String = original.chars().take(SHOWN).collect();
        let more = if shown.len() < original.len() { "..." } else { "" };
        let why = if original.split('/').any(|part| part.len() > LONGEST) {
            "is longer than the disk takes, and was cut"
        } else {
            "is not safe here, and was changed"
        };
        Some(format!("its name \"{shown}{more}\" {why}"))
    }

    fn plain(path: String) -> SafeName {
        SafeName { path, original: None }
    }

    fn made_from(text: &str, path: String) -> SafeName {
        let original = (text != path).then(|| text.to_string());
        SafeName { path, original }
    }
}

impl fmt::Display for SafeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// The paths at which a file may be that a checksum list or a record calls `listed`: that name itself, what a run makes
/// of it where it is a server's word, and what `--windows-names` makes of either. The first one that exists is meant.
pub fn forms(listed: &str) -> Vec<String> {
    let mut forms = vec![listed.to_string()];
    let names = [SafeName::from_person(listed), SafeName::from_publisher(listed)];
    for name in names.into_iter().flatten() {
        for form in [name.for_windows(), name] {
            if !forms.contains(&form.path) {
                forms.push(form.path);
            }
        }
    }
    forms
}

/// Reads what [`SafeName::numbered`] made of a name without folders: `name (1).ext` is `name.ext` and 1.
pub fn unnumbered(file: &str) -> Option<(String, u32)> {
    let (stem, extension) = endings::split_extension(file);
    let (stem, number) = stem.strip_suffix(')')?.rsplit_once(" (")?;
    let number: u32 = number.parse().ok().filter(|n| *n > 0 && !number.starts_with(['0', '+']))?;
    (!stem.is_empty()).then(|| (format!("{stem}{extension}"), number))
}

/// The form of a path in which two paths that are one file are equal: file systems of macOS and Windows do
/// not tell case apart.
pub fn same_file_key(path: &str) -> String {
    if cfg!(any(target_os = "macos", windows)) { path.to_lowercase() } else { path.to_string() }
}

/// A short hash that tells names apart whose other parts are the same, as 16 digits of the CRC-64 of NVMe. Nothing depends on
/// its being hard to find two names with one hash: of two such names in a run, the later one gets a number.
fn mark(name: &[u8]) -> String {
    format!("{:016x}", checksum(CrcAlgorithm::Crc64Nvme, name))
}

/// The beginning of a text, at most so many bytes of it.
fn cut_bytes(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
