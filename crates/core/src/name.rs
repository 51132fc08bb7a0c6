//! [`SafeName`] makes file names from the texts of servers, URLs, lists and users. The names of all
//! downloaded files are made in this module, except the paths that a user gives with `-o`.
//!
//! Invariant: a `SafeName` is a relative path below the output folder. It never leads out of this folder, is
//! never absolute, has no NUL, and has no component that is longer than [`LONGEST`]. If it came from a
//! server, a URL or a document such as Metalink, its components also have no control characters and no
//! characters that are invisible or change the direction of the text, are not hidden, and do not look like an
//! option of a program. [`SafeName::for_windows`] returns a name that Windows
//! accepts.

mod clean;
mod endings;
mod naming;
mod side;
mod template;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use endings::split_extension;
pub use naming::{Folders, NameSource, Naming};
pub use side::{JOURNAL, NEW_JOURNAL, PART, SideFiles, side_files, tagged_side_files};
pub use template::Template;
pub use text::last_segment;
pub(crate) use text::{decoded, unescaped};

use crc_fast::{CrcAlgorithm, checksum};
use std::fmt;
use url::Url;

/// The longest name of a file or folder in bytes, on ext4, XFS, Btrfs, APFS and tmpfs. NTFS accepts 255
/// UTF-16 units, and a name never has more UTF-16 units than it has bytes in UTF-8.
pub const LONGEST: usize = 255;

/// The name of a file whose URL has no usable last segment, such as a URL that ends in a slash. wget uses the
/// same name.
const INDEX: &str = "index.html";

/// The reason why a name with a component that is too long is refused.
pub const TOO_LONG: &str = "a part of it is longer than 255 bytes, which is the most that a disk allows";

/// The highest number of characters of the original name that a note shows.
const SHOWN: usize = 80;

/// A relative path that is safe to create below the output folder. The documentation of the module defines
/// "safe".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SafeName {
    path: String,
    /// The name before it was changed, if it was changed.
    original: Option<String>,
}

impl SafeName {
    /// Returns a safe form of a name that a server chose (Content-Disposition), or `None` if no usable
    /// characters are left.
    pub fn from_server(text: &str) -> Option<SafeName> {
        clean::component(text).map(|path| SafeName::made_from(text.trim(), path))
    }

    /// Returns the name for a URL: a safe form of its last path segment, percent-decoded once, or
    /// `index.html`.
    pub fn from_url(url: &Url) -> SafeName {
        SafeName::of_last_segment(url).unwrap_or_else(SafeName::index)
    }

    /// Returns a safe form of the last path segment of a URL, percent-decoded once, or `None` if no usable
    /// characters are left.
    pub fn of_last_segment(url: &Url) -> Option<SafeName> {
        SafeName::from_server(&last_segment(url))
    }

    /// Returns a safe form of a segment of the path of `url`, percent-decoded once, or `None` if no usable
    /// characters are left.
    fn from_segment(url: &Url, segment: &str) -> Option<SafeName> {
        SafeName::from_server(&text::segment(url, segment))
    }

    fn index() -> SafeName {
        SafeName::plain(INDEX.into())
    }

    /// Returns a name that the user gave in FILENAMES or a list. The name may have relative folders.
    ///
    /// # Errors
    /// Returns the reason why the name is refused, as part of a sentence.
    pub fn from_person(text: &str) -> Result<SafeName, &'static str> {
        SafeName::relative(text, cfg!(windows))
    }

    /// Reads a name that may have relative folders. If `drives` is true, a name that begins with a drive is
    /// refused.
    fn relative(text: &str, drives: bool) -> Result<SafeName, &'static str> {
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.contains('\0') {
            return Err("it contains a NUL character");
        }
        let slashes = if cfg!(windows) { text.replace('\\', "/") } else { text.to_string() };
        let drive = slashes.as_bytes().get(1) == Some(&b':') && slashes.as_bytes()[0].is_ascii_alphabetic();
        if slashes.starts_with('/') || (drives && drive) {
            return Err("it is an absolute path; use --output for the folder, or -o for a single URL");
        }
        if slashes.ends_with('/') {
            return Err("it names a folder");
        }
        let parts: Vec<&str> = slashes.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return Err("it contains `..`, which may lead out of the output folder");
        }
        if parts.is_empty() {
            return Err("it names a folder");
        }
        if parts.iter().any(|part| part.len() > LONGEST) {
            return Err(TOO_LONG);
        }
        Ok(SafeName::plain(parts.join("/")))
    }

    /// Returns a safe form of a name in a document, such as a Metalink file. The name may have relative
    /// folders. Each component is changed in the same way as a server's name.
    ///
    /// # Errors
    /// Returns the reason why the name is refused, as part of a sentence.
    pub fn from_publisher(text: &str) -> Result<SafeName, &'static str> {
        // A name such as `C:x` is accepted on Windows too, because its colon is replaced later
        // ([`SafeName::for_windows`]).
        let SafeName { path, .. } = SafeName::relative(text, false)?;
        let parts: Option<Vec<String>> = path.split('/').map(clean::component).collect();
        let safe = parts.ok_or("a part of it has no usable characters")?.join("/");
        Ok(SafeName::made_from(&path, safe))
    }

    /// Returns a form of the name that Windows accepts, such as `a_b` for `a:b`, or `_con.txt` for `con.txt`.
    pub fn for_windows(&self) -> SafeName {
        let parts: Vec<String> = self.path.split('/').map(clean::for_windows).collect();
        let name = SafeName::made_from(&self.path, parts.join("/"));
        SafeName { original: self.original.clone().or(name.original), ..name }
    }

    /// Returns the `n`th alternative name: `name (1).ext`, or `name.1.ext`.
    pub fn numbered(&self, n: u32, form: NumberForm) -> SafeName {
        let (folder, file) = self.path.rsplit_once('/').map_or(("", self.path.as_str()), |split| split);
        let (stem, extension) = form.split(file);
        let ending = match form {
            NumberForm::Parentheses => format!(" ({n}){extension}"),
            NumberForm::Dot => format!(".{n}{extension}"),
        };
        let file = clean::with_ending(stem, &ending, file);
        let path = if folder.is_empty() { file } else { format!("{folder}/{file}") };
        SafeName { path, original: self.original.clone() }
    }

    fn without_folders(&self) -> SafeName {
        let file = self.path.rsplit('/').next().unwrap_or_default();
        SafeName { path: file.into(), original: self.original.clone() }
    }

    pub(crate) fn below(&self, folders: &[SafeName]) -> SafeName {
        let all = folders.iter().chain([self]).map(SafeName::as_str);
        SafeName { path: all.collect::<Vec<_>>().join("/"), original: self.original.clone() }
    }

    /// Returns this name with other folders. The first folders of this name that are equal to the first
    /// folders of `plain` are replaced with the folders of `other` at the same positions.
    pub(crate) fn with_folders_of(&self, other: &SafeName, plain: &SafeName) -> SafeName {
        let pairs = plain.folders().zip(other.folders());
        let same =
            self.folders().zip(pairs).map_while(|(own, (plain, other))| (own == plain).then_some(other));
        let same: Vec<&str> = same.collect();
        let rest = self.path.split('/').skip(same.len());
        let path = same.iter().copied().chain(rest).collect::<Vec<_>>().join("/");
        SafeName { path, original: self.original.clone() }
    }

    /// Returns the folders of the name.
    fn folders(&self) -> impl Iterator<Item = &str> {
        self.path.rsplit_once('/').into_iter().flat_map(|(folders, _)| folders.split('/'))
    }

    /// Returns the name, with `/` between folders.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// Returns the name before it was changed, if it was changed. A checksum list may have the file under
    /// this name.
    pub fn original(&self) -> Option<&str> {
        self.original.as_deref()
    }

    /// Returns a note for the user if the name was changed. The note may contain characters from a server or
    /// a document, which must be escaped before they are shown.
    pub fn note(&self) -> Option<String> {
        let original = self.original()?;
        let shown: String = original.chars().take(SHOWN).collect();
        let more = if shown.len() < original.len() { "..." } else { "" };
        let why = if original.split('/').any(|part| part.len() > LONGEST) {
            "is longer than the disk allows, and was cut"
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

/// Returns the paths to try for a file that a checksum list or a lock file calls `listed`. These are the name
/// itself, its safe form, and the forms of both for Windows. The caller tries the paths in the order of the
/// result. The first path that exists is the path of the file.
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

/// Returns the reason why Windows does not accept a path, or why Windows gives a name in the path another
/// meaning. The reason is part of a sentence. Devices (`\\.\NAME`) are refused too. The path may have a drive
/// or a server at its beginning.
pub fn refused_by_windows(path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    if path.starts_with("//./") {
        return Some("it is a device".into());
    }
    let path = path.strip_prefix("//?/").unwrap_or(&path);
    let is_drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    let names = path.get(2..).filter(|_| is_drive).unwrap_or(path);
    if is_drive && !names.is_empty() && !names.starts_with('/') {
        return Some("after a drive, Windows needs a backslash (`C:\\NAME`)".into());
    }
    // `.` and `..` are valid on Windows, where they stand for folders.
    names.split('/').filter(|name| !matches!(*name, "" | "." | "..")).find_map(clean::refused_by_windows)
}

/// The form of the number in the name of a file whose own name is in use already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NumberForm {
    /// `name (1).tar.gz`, as in browsers.
    #[default]
    Parentheses,
    /// `name.tar.1.gz`, as in aria2: the number comes before the last dot.
    Dot,
}

impl NumberForm {
    /// Splits the name of a file at the place where the number is put. If the last dot and the text after it
    /// are longer than half of [`LONGEST`], a number might not fit before that dot. A number of the form
    /// `Dot` is put at the end of such a name. It is also put at the end of a name that has no dot after its
    /// first character.
    fn split(self, file: &str) -> (&str, &str) {
        match self {
            NumberForm::Parentheses => endings::split_extension(file),
            NumberForm::Dot => file
                .rfind('.')
                .filter(|at| *at > 0 && file.len() - at <= LONGEST / 2)
                .map_or((file, ""), |at| file.split_at(at)),
        }
    }
}

/// Undoes [`SafeName::numbered`] for a name without folders: returns the name without the number, and the
/// number. For `name (1).ext`, these are `name.ext` and 1. Returns `None` if the name has no number of this
/// form.
pub fn unnumbered(file: &str, form: NumberForm) -> Option<(String, u32)> {
    let (stem, extension) = form.split(file);
    let (stem, number, extension) = match form {
        NumberForm::Parentheses => {
            let (stem, number) = stem.strip_suffix(')')?.rsplit_once(" (")?;
            (stem, number, extension)
        }
        // If the name has no extension, the number is after the last dot.
        NumberForm::Dot => match stem.rsplit_once('.') {
            Some((shorter, number)) if number.parse::<u32>().is_ok() => (shorter, number, extension),
            _ => (stem, extension.strip_prefix('.')?, ""),
        },
    };
    let number: u32 = number.parse().ok().filter(|n| *n > 0 && !number.starts_with(['0', '+']))?;
    (!stem.is_empty()).then(|| (format!("{stem}{extension}"), number))
}

/// Returns a form of a path that is equal for two paths that usually mean the same file. On macOS and
/// Windows, where file systems usually ignore case, it is the path in lower case. On other systems, it is the
/// path itself.
pub fn same_file_key(path: &str) -> String {
    if cfg!(any(target_os = "macos", windows)) { path.to_lowercase() } else { path.to_string() }
}

/// Returns a short hash (16 digits of CRC-64/NVME). The hash is added to names that would otherwise be equal,
/// so that they differ. The hash does not need to resist attacks, because if two names have the same hash in
/// one run, the later name gets a number.
pub(crate) fn mark(name: &[u8]) -> String {
    format!("{:016x}", checksum(CrcAlgorithm::Crc64Nvme, name))
}

/// Returns at most the first `most` bytes of a text. No character is split.
fn cut_bytes(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
