//! [`SafeName`]: the only way from a server's or a list's words to a file name.
//!
//! Invariant: a `SafeName` is a relative path below the output folder. It never leads upwards, is never
//! absolute, and holds no NUL; one that came from a server is moreover a single component without control or
//! bidi characters, without characters that some file system forbids, and not hidden. So is each component of one that came
//! from the publisher of a set of files.

mod side;

pub use side::{SideFiles, side_files};

use crate::show;
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

/// Names that mean devices on Windows whatever their extension.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul"];

/// A relative path that is safe to create below the output folder. See the module for what that means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SafeName(String);

impl SafeName {
    /// A name that a server chose (Content-Disposition). `None` if nothing usable is left of it.
    pub fn from_server(text: &str) -> Option<SafeName> {
        let replaced: String = text
            .trim()
            .chars()
            .map(|c| if show::is_unsafe_to_show(c) || r#"/\:*?"<>|"#.contains(c) { '_' } else { c })
            .collect();
        // Windows drops trailing dots and blanks, so two such names would be one file there.
        let trimmed = replaced.trim_end_matches(['.', ' ']);
        let (dots, rest) = trimmed.split_at(trimmed.len() - trimmed.trim_start_matches('.').len());
        let visible = "_".repeat(dots.len()) + rest;
        if visible.is_empty() {
            return None;
        }
        Some(SafeName(cut(&without_device(&visible))))
    }

    /// The name for a URL: its last path segment, percent-decoded once, or `index.html`.
    pub fn from_url(url: &Url) -> SafeName {
        let segment = url.path_segments().and_then(|mut s| s.next_back()).unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8_lossy();
        SafeName::from_server(&decoded).unwrap_or_else(|| SafeName(INDEX.into()))
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
        Ok(SafeName(parts.join("/")))
    }

    /// A name that whoever published a set of files chose (Metalink). It may hold relative folders; each part of it
    /// becomes what a server's name would become.
    ///
    /// # Errors
    /// A phrase that says what is wrong with it.
    pub fn from_publisher(text: &str) -> Result<SafeName, &'static str> {
        let SafeName(path) = SafeName::from_person(text)?;
        let parts = path.split('/').map(|part| SafeName::from_server(part).map(|SafeName(part)| part));
        let parts: Option<Vec<String>> = parts.collect();
        Ok(SafeName(parts.ok_or("nothing usable is left of a part of it")?.join("/")))
    }

    /// The `n`th other name for the same thing: `name (1).ext`.
    pub fn numbered(&self, n: u32) -> SafeName {
        let (folder, file) = self.0.rsplit_once('/').map_or(("", self.0.as_str()), |(dir, file)| (dir, file));
        let (stem, extension) = split_extension(file);
        let mark = format!(" ({n})");
        let stem = cut_bytes(stem, LONGEST.saturating_sub(mark.len() + extension.len()));
        let file = format!("{stem}{mark}{extension}");
        SafeName(if folder.is_empty() { file } else { format!("{folder}/{file}") })
    }

    /// The name, `/` between folders.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The form of a path in which two paths that are one file are equal: file systems of macOS and Windows do
/// not tell case apart.
pub fn same_file_key(path: &str) -> String {
    if cfg!(any(target_os = "macos", windows)) { path.to_lowercase() } else { path.to_string() }
}

fn without_device(name: &str) -> String {
    let (stem, rest) = name.split_at(name.find('.').unwrap_or(name.len()));
    let lower = stem.trim_end().to_ascii_lowercase();
    let numbered = (lower.len() == 4 && (lower.starts_with("com") || lower.starts_with("lpt")))
        && lower.ends_with(|c: char| c.is_ascii_digit());
    if DEVICES.contains(&lower.as_str()) || numbered { format!("_{rest}") } else { name.to_string() }
}

/// Cuts before the extension, unless that is the long part.
fn cut(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_string();
    }
    let (stem, extension) = split_extension(name);
    if extension.len() > 20 {
        return cut_bytes(name, LONGEST).to_string();
    }
    format!("{}{extension}", cut_bytes(stem, LONGEST - extension.len()))
}

/// A short hash that tells names apart whose other parts are the same, as 16 digits of the CRC-64 of NVMe. Nothing depends on
/// its being hard to find two names with one hash: of two such names in a run, the later one gets a number.
fn mark(name: &[u8]) -> String {
    format!("{:016x}", checksum(CrcAlgorithm::Crc64Nvme, name))
}

fn cut_bytes(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `("archive", ".tar.gz")`, `("photo", ".jpg")`, `("README", "")`, `(".profile", "")`.
fn split_extension(file: &str) -> (&str, &str) {
    let Some(dot) = file.rfind('.').filter(|&dot| dot > 0) else { return (file, "") };
    let dot = match file[..dot].strip_suffix(".tar") {
        Some(stem) if !stem.is_empty() => stem.len(),
        _ => dot,
    };
    file.split_at(dot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server(text: &str) -> String {
        SafeName::from_server(text).map(|n| n.0).unwrap_or_default()
    }

    #[test]
    fn what_servers_try_becomes_harmless() {
        for (text, expected) in [
            ("a.txt", "a.txt"),
            ("../../etc/passwd", "___.._etc_passwd"),
            (".bashrc", "_bashrc"),
            ("..", ""),
            ("/abs", "_abs"),
            ("C:\\windows\\x", "C__windows_x"),
            ("a\u{1b}[31mb", "a_[31mb"),
            ("a\u{202e}gpj.exe", "a_gpj.exe"),
            ("nul\0x", "nul_x"),
            ("CON", "_"),
            ("con.txt", "_.txt"),
            ("COM1.log", "_.log"),
            ("contact.txt", "contact.txt"),
            ("  spaced name.txt. ", "spaced name.txt"),
            ("", ""),
            ("...", ""),
        ] {
            assert_eq!(server(text), expected, "{text:?}");
        }
    }

    #[test]
    fn long_names_are_cut_before_the_extension() {
        let name = server(&("x".repeat(4096) + ".tar.gz"));
        assert_eq!(name.len(), LONGEST);
        assert!(name.ends_with("x.tar.gz"));
        assert!(server(&"é".repeat(4096)).len() <= LONGEST);
        assert_eq!(server(&("a.".to_string() + &"y".repeat(4096))).len(), LONGEST);
    }

    #[test]
    fn urls_give_their_last_segment() {
        for (url, expected) in [
            ("http://h/a/b.iso?x=1#y", "b.iso"),
            ("http://h/", "index.html"),
            ("http://h", "index.html"),
            ("http://h/dir/", "index.html"),
            ("http://h/a%20b%2Fc%252e.txt", "a b_c%2e.txt"),
            ("http://h/%2e%2e%2fx", "___x"),
        ] {
            let name = SafeName::from_url(&Url::parse(url).expect("a URL")).0;
            assert_eq!(name, expected, "{url}");
        }
    }

    #[test]
    fn people_may_use_folders_but_not_leave() {
        assert_eq!(SafeName::from_person("a/./b//c.txt").map(|n| n.0), Ok("a/b/c.txt".into()));
        for bad in ["", "/a", "../a", "a/../b", "a\0", "a/", ".", &"x".repeat(256)] {
            assert!(SafeName::from_person(bad).is_err(), "{bad:?}");
        }
        assert!(SafeName::from_person(&"x".repeat(240)).is_ok());
    }

    #[test]
    fn publishers_may_use_folders_and_nothing_else() {
        let publisher = |text: &str| SafeName::from_publisher(text).map(|n| n.0);
        assert_eq!(publisher("a/b/c d.txt"), Ok("a/b/c d.txt".into()));
        assert_eq!(publisher(".ssh/a:b\u{1b}"), Ok("_ssh/a_b_".into()));
        for bad in ["", "/a", "../a", "a/../b", "a\0", "a/", "a/... /b"] {
            assert!(publisher(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_go_before_the_extension() {
        let numbered = |text: &str, n| SafeName::from_person(text).expect("safe").numbered(n).0;
        assert_eq!(numbered("a/b.txt", 1), "a/b (1).txt");
        assert_eq!(numbered("b.tar.gz", 2), "b (2).tar.gz");
        assert_eq!(numbered(".profile", 1), ".profile (1)");
        assert!(numbered(&"x".repeat(255), 12).len() <= LONGEST);
    }

    proptest! {
        #[test]
        fn no_server_text_escapes(text in any::<String>()) {
            if let Some(SafeName(name)) = SafeName::from_server(&text) {
                prop_assert!(!name.is_empty() && name.len() <= LONGEST && !name.starts_with('.'));
                prop_assert!(!name.contains(['/', '\\', '\0', ':']) && !name.chars().any(show::is_unsafe_to_show));
                prop_assert_eq!(SafeName::from_server(&name).map(|n| n.0), Some(name), "cleaning twice changes nothing");
            }
        }

        #[test]
        fn no_person_name_leaves_the_folder(text in any::<String>()) {
            for SafeName(name) in [SafeName::from_person(&text), SafeName::from_publisher(&text)].into_iter().flatten() {
                prop_assert!(!name.starts_with('/') && !name.split('/').any(|p| p == ".." || p.is_empty()));
            }
        }
    }
}
