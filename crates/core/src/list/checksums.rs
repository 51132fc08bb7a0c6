//! Reads checksum lists and finds the digests of a file in them.
//!
//! `forms` reads entries that consist of one line. `print_md` reads entries that may span several lines.
//!
//! Invariant: an entry is one digest of one file. Blank lines and comments are skipped. Every other line that
//! is not part of an entry is skipped and counted as unread. The memory in use is a small multiple of the
//! size of the text.

mod forms;
mod print_md;

use super::text::Lines;
use crate::digest::Digest;
use print_md::Block;

/// The longest list that is read, in bytes. The list of all packages of a distribution has a few megabytes.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// The entries of a checksum list.
#[derive(Debug, Default)]
pub struct Checksums {
    /// The entries, sorted by the last part of each name.
    entries: Vec<Entry>,
    unread: usize,
    /// The lines that could not be read but seem to contain a digest ([`has_digest`]).
    unread_digests: Vec<String>,
}

/// One digest of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of the file in the list. It may be a path. Its escapes are decoded, and the backslashes of a
    /// Windows path are replaced by slashes. It is empty if the line has no name, or only a name for standard
    /// input (`-`, or `stdin` of openssl).
    pub name: String,
    /// The digest of the file.
    pub digest: Digest,
}

/// The result of a search for the digests of one file in a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// The digests of the file in the list. There is at least one.
    As(Vec<Digest>),
    /// The list does not name the file.
    Not,
    /// The list has several files with this name in different folders, and none of them has the wanted path.
    Several,
}

impl Checksums {
    /// Reads a list. `name` is the file name of the list. If a line does not name its algorithm, and several
    /// algorithms have digests of the same length, the name of the list decides. For example, the digests in
    /// `B2SUMS` and `B3SUMS` are as long as SHA-2 digests. If the name does not help, they are SHA-2 digests.
    pub fn read(text: &[u8], name: &str) -> Checksums {
        let mut reading = Reading { list: name, ..Reading::default() };
        for line in Lines::new(text) {
            match line.map(String::from_utf8) {
                // `sha256sum --zero` ends its lines with NUL.
                Ok(Ok(line)) => line.split('\0').for_each(|line| reading.line(line)),
                Ok(Err(e)) => reading.add(None, &String::from_utf8_lossy(e.as_bytes())),
                Err(_) => reading.add(None, ""),
            }
        }
        reading.close();
        let Reading { mut entries, unread, unread_digests, .. } = reading;
        entries.sort_by(|a, b| base(&a.name).cmp(base(&b.name)));
        Checksums { entries, unread, unread_digests }
    }

    /// Returns the number of lines that could not be read, such as lines with digests of unknown algorithms,
    /// or the lines of a signature around the list. An unreadable entry that spans several lines counts once.
    pub fn unread(&self) -> usize {
        self.unread
    }

    /// Returns true if the list has no entry, and none of the lines that could not be read seems to have a
    /// digest.
    pub fn has_no_digest(&self) -> bool {
        self.entries.is_empty() && self.unread_digests.is_empty()
    }

    /// Returns true if a line that could not be read seems to have a digest of a file with one of these
    /// names.
    pub fn may_name(&self, names: &[String]) -> bool {
        let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !"._-".contains(c));
        let has = |line: &String, name: &str| {
            line.match_indices(name).any(|(at, _)| {
                let (before, rest) = (&line[..at], &line[at + name.len()..]);
                let is_named = ends(before.chars().next_back()) && ends(rest.chars().next());
                is_named && (has_digest(before) || has_digest(rest))
            })
        };
        let named =
            |name: &String| !name.is_empty() && self.unread_digests.iter().any(|line| has(line, base(name)));
        names.iter().any(named)
    }

    /// Returns all entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the digests of a file that may have any of these names in the list. The first of these names
    /// that the list has is used. An entry whose whole path is equal to the name is preferred to an entry in
    /// which only the last part of the path is equal.
    pub fn of(&self, names: &[String]) -> Named {
        names.iter().map(|name| self.of_one(name)).find(|named| *named != Named::Not).unwrap_or(Named::Not)
    }

    /// Returns the digests in a list without names (such as `NAME.sha256`), if all these digests can belong
    /// to one file. This is possible only if each digest has a different algorithm. Returns an empty list if
    /// an entry has a name, or if two digests have the same algorithm.
    pub fn alone(&self) -> Vec<Digest> {
        let of_one_file = |(at, entry): (usize, &Entry)| {
            let algorithm = entry.digest.algorithm;
            entry.name.is_empty()
                && self.entries.iter().take(at).all(|other| other.digest.algorithm != algorithm)
        };
        // This loop ends soon even for a long list: there are few algorithms, so one of them soon occurs
        // again.
        match self.entries.iter().enumerate().all(of_one_file) {
            true => self.entries.iter().map(|entry| entry.digest.clone()).collect(),
            false => Vec::new(),
        }
    }

    fn of_one(&self, name: &str) -> Named {
        let name = plain(name);
        if name.is_empty() {
            return Named::Not;
        }
        let wanted = base(name);
        let first = self.entries.partition_point(|entry| base(&entry.name) < wanted);
        let all = self.entries[first..].iter().take_while(|entry| base(&entry.name) == wanted);
        let all: Vec<&Entry> = all.collect();
        let paths: Vec<String> = all.iter().map(|entry| slashed(plain(&entry.name))).collect();
        let digests = |of: &str| {
            let those = all.iter().zip(&paths).filter(|(_, path)| *path == of);
            Named::As(those.map(|(entry, _)| entry.digest.clone()).collect())
        };
        let name = slashed(name);
        if paths.contains(&name) {
            return digests(&name);
        }
        match paths.first() {
            None => Named::Not,
            Some(one) if paths.iter().all(|path| path == one) => digests(one),
            Some(_) => Named::Several,
        }
    }
}

/// A list that is being read.
#[derive(Default)]
struct Reading<'l> {
    /// The file name of the list.
    list: &'l str,
    entries: Vec<Entry>,
    unread: usize,
    unread_digests: Vec<String>,
    /// An entry that may continue on the next line.
    open: Option<Block>,
}

impl Reading<'_> {
    fn line(&mut self, line: &str) {
        if self.open.as_mut().is_some_and(|block| block.takes(line)) {
            return;
        }
        self.close();
        if line.trim().is_empty() || line.starts_with('#') {
            return;
        }
        let read = |line| forms::before_blocks(line, self.list);
        // A list that is part of a message may be indented.
        match read(line).or_else(|| read(line.trim_start())) {
            Some(entry) => self.add(Some(entry), line),
            None => match Block::begin(line) {
                Some(block) => self.open = Some(block),
                None => self.add(forms::reversed(line, self.list), line),
            },
        }
    }

    fn close(&mut self) {
        if let Some(block) = self.open.take() {
            let text = block.text();
            self.add(block.entry(self.list), &text);
        }
    }

    fn add(&mut self, entry: Option<Entry>, line: &str) {
        match entry {
            Some(entry) => self.entries.push(entry),
            None => {
                self.unread += 1;
                if has_digest(line) {
                    self.unread_digests.push(line.into());
                }
            }
        }
    }
}

/// Returns the last part of a path with slashes or backslashes. Blanks at the end are removed, because some
/// editors add blanks at the end of a line, and names rarely end with blanks.
fn base(name: &str) -> &str {
    let name = name.trim_end();
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// Returns a path with slashes instead of backslashes, and without blanks at its end.
fn slashed(path: &str) -> String {
    path.trim_end().replace('\\', "/")
}

/// Returns true if the text has a word that may be a digest, because it is at least as long as an MD5 in
/// base64. Shorter words may be digests too, but such words are too common.
fn has_digest(text: &str) -> bool {
    const SHORTEST: usize = 24;
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c)).any(|run| run.len() >= SHORTEST)
}

/// Returns a path without `./` at its beginning.
fn plain(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(line: &str, list: &str) -> Option<(String, &'static str)> {
        let read = Checksums::read(line.as_bytes(), list);
        assert!(read.entries.len() <= 1);
        read.entries.first().map(|entry| (entry.name.clone(), entry.digest.algorithm.name()))
    }

    // This function is long because it is a list of cases.
    #[test]
    fn every_form_of_a_line_is_read() {
        let hex = |digits: usize| "aB".repeat(digits / 2);
        let (md5, sha1, sha256, sha384, sha512) = (hex(32), hex(40), hex(64), hex(96), hex(128));
        let some = |name: &str, algorithm| Some((name.to_string(), algorithm));
        for (line, list, expected) in [
            (format!("{sha256}  a b.iso"), "SHA256SUMS", some("a b.iso", "sha-256")),
            (format!("{sha256} *a.iso\r"), "x", some("a.iso", "sha-256")),
            (format!("{sha256}  *a.iso"), "x", some("*a.iso", "sha-256")),
            (format!("{sha256}   a.iso"), "x", some(" a.iso", "sha-256")),
            (format!("{sha256} a.iso"), "x", some("a.iso", "sha-256")),
            (format!("{sha256}\ta.iso"), "x", some("a.iso", "sha-256")),
            (sha256.clone(), "x", some("", "sha-256")),
            (format!("\u{feff}{sha256}  a"), "x", some("a", "sha-256")),
            (format!("{sha256}  a"), "B3SUMS", some("a", "blake3")),
            (format!("{md5}  a"), "MD5SUMS", some("a", "md5")),
            (format!("{sha1}  ./d/a"), "x", some("./d/a", "sha-1")),
            (format!("{sha384}  a"), "x", some("a", "sha-384")),
            (format!("{sha512}  a"), "SHA512SUMS", some("a", "sha-512")),
            (format!("{sha512}  a"), "dir/a.b2", some("a", "blake2b")),
            (format!("{sha512}  a"), "B2SUMS", some("a", "blake2b")),
            (format!("\\{sha256}  a\\nb\\\\c"), "x", some("a\nb\\c", "sha-256")),
            (format!("{sha256}  a\\nb"), "x", some("a\\nb", "sha-256")),
            (format!("SHA256 (a (1).iso) = {sha256}"), "x", some("a (1).iso", "sha-256")),
            (format!("SHA2-256(a)= {sha256}"), "x", some("a", "sha-256")),
            (format!("\\SHA512 (a\\\\b) = {sha512}"), "x", some("a\\b", "sha-512")),
            (format!("BLAKE2b (a) = {sha512}"), "x", some("a", "blake2b")),
            (format!("MD5 (a) = {md5}"), "x", some("a", "md5")),
            ("SHA256 (a) = 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into(), "x", some("a", "sha-256")),
            (format!("sha256:{sha256}  a b"), "x", some("a b", "sha-256")),
            (format!("sha256={sha256} *a"), "x", some("a", "sha-256")),
            (format!("SHA-512:{sha512}\ta"), "x", some("a", "sha-512")),
            ("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=  a".into(), "x", some("a", "sha-256")),
            ("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into(), "x", some("", "sha-256")),
            (format!("a b.iso  {sha256}"), "x", some("a b.iso", "sha-256")),
            (format!("d/a\t{md5}"), "x", some("d/a", "md5")),
            (format!("a sha1:{sha1}"), "x", some("a", "sha-1")),
            (format!("a  {sha256}"), "B3SUMS", some("a", "blake3")),
            (format!("a: {sha256}"), "x", some("a", "sha-256")),
            (format!("C:\\a: SHA512 = {sha512}"), "x", some("C:/a", "sha-512")),
            (
                format!("SHA256          {sha256}       C:\\Users\\me\\a b.iso   "),
                "x",
                some("C:/Users/me/a b.iso", "sha-256"),
            ),
            (format!("{sha256}  .\\d\\a"), "x", some("./d/a", "sha-256")),
            (format!("{sha256}  d\\a"), "x", some("d\\a", "sha-256")),
            (format!("SHA256 = {sha256}"), "x", some("", "sha-256")),
            (format!("md5: {md5}"), "x", some("", "md5")),
            ("# comment".into(), "x", None),
            (String::new(), "x", None),
            (format!("{sha256}f  a"), "x", None),
            (format!("zz{}  a", hex(62)), "x", None),
            (format!("\\{sha256}  a\\xb"), "x", None),
            (format!("SHA3-256 (a) = {sha256}"), "x", None),
            (format!("SHA512/256 (a) = {sha256}"), "x", None),
            (format!("SHA256 (a) = {md5}"), "x", None),
            (format!("SHA256 () = {sha256}"), "x", None),
            (format!("a: RMD160 = {sha1}"), "x", None),
            ("a:".into(), "x", None),
            ("-----BEGIN PGP SIGNED MESSAGE-----".into(), "x", None),
            ("Hash: SHA256".into(), "x", None),
            ("<!doctype html>".into(), "x", None),
        ] {
            assert_eq!(one(&line, list), expected, "{line}");
        }
    }

    #[test]
    fn a_file_is_found_by_its_path_and_then_by_its_last_part() {
        let hex = |digit: &str| digit.repeat(64);
        let text =
            format!("{} a/f\n{} b/f\n{} ./c/g\n{} f2\nnoise\n", hex("1"), hex("2"), hex("3"), hex("4"));
        let list = Checksums::read(text.as_bytes(), "x");
        assert_eq!(list.unread(), 1);
        let first = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            match list.of(&names) {
                Named::As(digests) => digests[0].to_string()[..1].to_string(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(first(&["b/f"]), "2");
        assert_eq!(first(&["f"]), "Several");
        assert_eq!(first(&["x/f"]), "Several");
        assert_eq!(first(&["g"]), "3");
        assert_eq!(first(&["./f2"]), "4");
        assert_eq!(first(&["mine", "f2"]), "4");
        assert_eq!(first(&["mine", ""]), "Not");
        let alone = |text: &str| Checksums::read(text.as_bytes(), "x").alone().len();
        assert_eq!(alone(&hex("1")), 1);
        assert_eq!(alone(&format!("{}  -\n", hex("1"))), 1, "a list made from standard input");
        assert_eq!(alone(&format!("SHA2-256(stdin)= {}\n", hex("1"))), 1);
        assert_eq!(alone(&format!("md5: {}\nSHA256 = {}\n", "1".repeat(32), hex("1"))), 2);
        assert_eq!(
            alone(&format!("{}\n{}\n", hex("1"), hex("2"))),
            0,
            "a list with digests of several files"
        );
        assert_eq!(alone(&format!("{}  f", hex("1"))), 0);
    }

    #[test]
    fn a_name_is_found_despite_blanks_and_backslashes() {
        let hex = "ab".repeat(32);
        for line in [
            format!("{hex}  a.bin "),
            format!("{hex}  a.bin\t"),
            format!("{hex}  a.bin \r\n"),
            format!("  {hex}  a.bin"),
            format!("\t{hex} *dist\\a.bin"),
            format!(" SHA256 (a.bin) = {hex} "),
            format!("sha256:{hex}  a.bin "),
        ] {
            let list = Checksums::read(line.as_bytes(), "x");
            assert!(matches!(list.of(&["a.bin".into()]), Named::As(_)), "{line:?}: {:?}", list.entries);
        }
        let two = format!("{hex}  d\\a\n{}  e\\a\n", "cd".repeat(32));
        let list = Checksums::read(two.as_bytes(), "x");
        assert_eq!(list.of(&["a".into()]), Named::Several);
        assert!(matches!(list.of(&["d/a".into()]), Named::As(digests) if digests.len() == 1));
        assert_eq!(Checksums::read(format!("{hex}   \n").as_bytes(), "x").alone().len(), 1);
    }

    #[test]
    fn a_line_that_cannot_be_read_may_name_the_file() {
        let hex = "ab".repeat(32);
        let may = |line: &str| Checksums::read(line.as_bytes(), "x").may_name(&["a.bin".into()]);
        for line in [
            format!("| a.bin | {hex} |"),
            format!("{}  a.bin", &hex[1..]),
            format!("SHA3-256 (d/a.bin) = {hex}"),
            format!("{hex}  a.bin (old)"),
            format!("a.bin: RMD160 = {}", &hex[..40]),
        ] {
            let read = Checksums::read(line.as_bytes(), "x").unread() == 0;
            assert!(read || may(&line), "{line}");
        }
        for line in [
            "about a.bin".into(),
            format!("| a.bin.asc | {hex} |"),
            format!("| ba.bin | {hex} |"),
            hex.clone(),
        ] {
            assert!(!may(&line), "{line}");
        }
    }

    #[test]
    fn all_digests_of_a_file_are_returned() {
        let text = format!("{}  f\n{}  f\n", "1".repeat(64), "2".repeat(128));
        let Named::As(digests) = Checksums::read(text.as_bytes(), "x").of(&["f".into()]) else {
            panic!("named")
        };
        assert_eq!(digests.len(), 2);
    }

    /// The list is the output of `gpg --print-md` and `--print-mds` of GnuPG 2.2.40 for files with short
    /// names and for a file with a long name.
    #[test]
    fn entries_of_gnupg_are_read_even_if_they_span_several_lines() {
        let long = "a-very-long-name-that-is-longer-than-forty-characters-1.2.3.tar.gz";
        let text = format!(
            "a.txt:    MD5 = 76 4E FA 88 3D DA 1E 11  DB 47 67 1C 4A 3B BD 9E\n\
             a.txt:   SHA1 = 55CA 6286 E3E4 F4FB A5D0  4483 33FA 99FC 5A40 4A73\n\
             a.txt: RMD160 = 1AC2 E29F D645 EDFE 32F3  442C ADF5 A46C 5A0D F960\n\
             a.txt: SHA384 = 4284B569 4CA6C0D2 CF4789A0 B95AC802 5C818DE5 2304364B E7CD2981\n\
            \x20               B2D2EDC6 85B32227 7EC25819 962413D8 C9B2C1F5\n\
             b.txt: 98EA6E4F 216F2FB4 B69FFF9B 3A44842C 38686CA6 85F3F55D C48C5D3F B1107BE4\n\
             {long}: \n\
             SHA256 = 98EA6E4F 216F2FB4 B69FFF9B 3A44842C 38686CA6 85F3F55D C48C5D3F B1107BE4\n\
             {long}: \n\
             D78ABB05 42736865 F9470452 1609C230 DAC03A2F 369D043A C212D693 3B91410E 06399E37\n\
            \x20F9C5CC88 436A3173 7330C1C8 ECCB2C2F 9F374D62 F716432A 32D50FAC\n"
        );
        let list = Checksums::read(text.as_bytes(), "x");
        let of = |name: &str| match list.of(&[name.into()]) {
            Named::As(digests) => {
                digests.iter().map(|one| format!("{one:.8} {}", one.algorithm.name())).collect()
            }
            other => vec![format!("{other:?}")],
        };
        let short = |digests: Vec<String>| -> Vec<String> {
            digests
                .iter()
                .map(|one| format!("{} {}", &one[..8], one.split(' ').next_back().unwrap_or("")))
                .collect()
        };
        assert_eq!(short(of("a.txt")), ["764efa88 md5", "55ca6286 sha-1", "4284b569 sha-384"]);
        assert_eq!(short(of("b.txt")), ["98ea6e4f sha-256"]);
        assert_eq!(short(of(long)), ["98ea6e4f sha-256", "d78abb05 sha-512"]);
        assert_eq!(list.unread(), 1, "RIPEMD-160 is not supported");
    }

    /// `certutil -hashfile` of Windows writes the digest below the name. Its older versions write a space
    /// after each byte of the digest.
    #[test]
    fn lists_of_certutil_and_lists_that_end_lines_with_nul_are_read() {
        let hex = "ab".repeat(32);
        let grouped = "ab ".repeat(32);
        for text in [
            format!(
                "SHA256 hash of a.iso:\r\n{hex}\r\nCertUtil: -hashfile command completed successfully.\r\n"
            ),
            format!(
                "SHA256 hash of file a.iso:\r\n{grouped}\r\nCertUtil: -hashfile command completed successfully.\r\n"
            ),
            format!("{hex}  b\0{hex}  a.iso\0{hex}  c\0"),
        ] {
            let list = Checksums::read(text.as_bytes(), "x");
            assert!(matches!(list.of(&["a.iso".into()]), Named::As(_)), "{text:?}: {:?}", list.entries);
        }
    }

    #[test]
    fn the_encoding_and_the_line_ends_of_a_list_do_not_change_its_entries() {
        let text = format!("{}  é\r\nSHA512 (b) = {}\r\n", "1".repeat(64), "2".repeat(128));
        let expected = Checksums::read(text.as_bytes(), "x").entries;
        assert_eq!(expected.len(), 2);
        let utf16 = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("\u{feff}{text}").encode_utf16().flat_map(to_bytes).collect()
        };
        for bytes in [
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
            text.replace("\r\n", "\r").into_bytes(),
            format!("\u{feff}{text}").replace("\r\n", "\n").into_bytes(),
        ] {
            assert_eq!(Checksums::read(&bytes, "x").entries, expected);
        }
    }

    proptest! {
        #[test]
        fn no_list_causes_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), list in "[a-z0-9.]{0,8}") {
            let read = Checksums::read(&bytes, &list);
            prop_assert!(read.entries().len() + read.unread() <= bytes.len() + 1);
            for entry in read.entries() {
                prop_assert!(entry.name.is_empty() || read.of(std::slice::from_ref(&entry.name)) != Named::Not
                    || plain(&entry.name).is_empty());
            }
        }

        #[test]
        fn a_name_that_sha256sum_writes_is_read_unchanged(name in "[a-z\\\\\n *().=/]{1,20}", digit in "[0-9a-f]") {
            // A list cannot contain a name that consists of blanks.
            prop_assume!(!name.trim_matches(' ').is_empty());
            let escaped = name.replace('\\', "\\\\").replace('\n', "\\n");
            let mark = if escaped == name { "" } else { "\\" };
            let line = format!("{mark}{}  {escaped}", digit.repeat(64));
            let read = Checksums::read(line.as_bytes(), "x");
            prop_assert_eq!(read.entries().first().map(|entry| entry.name.as_str()), Some(name.as_str()));
        }
    }
}
