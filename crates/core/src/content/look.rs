//! Recognises HTML pages and Git LFS pointers by their first bytes.

use encoding_rs::Encoding;

/// The beginning of a Git LFS pointer (version 1 of its specification, which also limits pointers to less
/// than 1,024 bytes).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// A Git LFS pointer has fewer bytes than this. See [`LFS_POINTER`].
const LFS_LONGEST: usize = 1024;

/// The beginnings of parts of an HTML page: the tags in the MIME Sniffing standard (section 7.1), and some
/// other common tags. They are treated as HTML only if the server also says that the content is HTML.
const FRAGMENTS: &[&str] = &[
    "<a",
    "<b",
    "<body",
    "<br",
    "<center",
    "<div",
    "<font",
    "<form",
    "<h1",
    "<h2",
    "<head",
    "<iframe",
    "<link",
    "<meta",
    "<noscript",
    "<p",
    "<script",
    "<span",
    "<style",
    "<table",
    "<title",
];

/// The number of bytes at the beginning of a file that [`look`] needs. A page may begin with a comment, such
/// as a licence or the URL that it was saved from.
pub const ENOUGH: usize = 4096;

/// The kind of content that the first bytes of a file show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The beginning of an HTML page.
    Page,
    /// The beginning of a part of an HTML page, or a comment whose end is not among the first bytes. It
    /// counts as a page only if the server says that the content is HTML.
    Fragment,
    /// A Git LFS pointer, which is a text that stands for the file.
    LfsPointer,
    /// Anything else.
    Other,
}

/// Returns the kind of content that the first bytes of a file show. `beginning` is the whole file, or at
/// least its first [`ENOUGH`] bytes.
pub fn look(beginning: &[u8]) -> Look {
    if beginning.starts_with(LFS_POINTER) && beginning.len() < LFS_LONGEST {
        return Look::LfsPointer;
    }
    if !may_be_a_page(beginning) { Look::Other } else { look_at_text(beginning) }
}

/// Returns false if a file cannot be a page, because it begins neither with a byte order mark nor, after
/// blanks, with `<`. This quick check comes first, because decoding the data of other files takes long.
fn may_be_a_page(beginning: &[u8]) -> bool {
    let valid = || beginning.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Encoding::for_bom(beginning).is_some() || valid().trim_start().starts_with('<')
}

fn look_at_text(beginning: &[u8]) -> Look {
    let text = match Encoding::for_bom(beginning) {
        Some((encoding, mark)) => encoding.decode_without_bom_handling(&beginning[mark..]).0,
        None => String::from_utf8_lossy(beginning),
    };
    let (text, cut_in_comment) = without_preamble(&text);
    if cut_in_comment || FRAGMENTS.iter().any(|tag| begins_with_tag(text, tag)) {
        return Look::Fragment;
    }
    match begins_with_tag(text, "<!doctype html") || begins_with_tag(text, "<html") {
        true => Look::Page,
        false => Look::Other,
    }
}

/// Removes blanks, comments and instructions such as the XML declaration from the beginning of a text.
/// Returns the rest, and true if the text ends within a comment.
fn without_preamble(text: &str) -> (&str, bool) {
    let mut rest = text.trim_start();
    loop {
        let (begin, end) = match rest {
            _ if rest.starts_with("<!--") => ("<!--", "-->"),
            _ if rest.starts_with("<?") => ("<?", "?>"),
            _ => return (rest, false),
        };
        match rest[begin.len()..].split_once(end) {
            Some((_, beyond)) => rest = beyond.trim_start(),
            None => return ("", begin == "<!--"),
        }
    }
}

/// Returns true if a text begins with this tag, in upper or lower case. The tag `<html5>` does not match
/// `<html`.
fn begins_with_tag(text: &str, tag: &str) -> bool {
    let text = text.as_bytes();
    let ends =
        |byte: Option<&u8>| byte.is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'));
    text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
        && ends(text.get(tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn web_pages_are_recognised_by_their_first_bytes() {
        let wide =
            |text: &str, order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        for page in [
            &b"\xef\xbb\xbf \r\n<!DOCTYPE HTML PUBLIC"[..],
            b"<html><head>",
            b"<HTML lang=en>",
            b"<!doctype html>",
            b"<!-- saved from\nurl --> <!-- twice --><!DOCTYPE html>",
            b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0\">",
            b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>",
            &wide("\u{feff}<!DOCTYPE html>", u16::to_le_bytes),
            &wide("\u{feff}\n<html>", u16::to_be_bytes),
        ] {
            assert_eq!(look(page), Look::Page, "{}", page.escape_ascii());
        }
        for fragment in
            [&b"<script>location='/login'</script>"[..], b"\n<HEAD>", b"<title>x", b"<p>", b"<!-- endless"]
        {
            assert_eq!(look(fragment), Look::Fragment, "{}", fragment.escape_ascii());
        }
        for other in [
            &b""[..],
            b"<htm",
            b"<html5lib>",
            b"<?xml version='1.0'?><svg>",
            b"<!-- drawn by --><svg>",
            b"\x1f\x8b<html",
            b"PK\x03\x04",
            b"a,b\n1,2\n",
            b"<address>",
            b"{\"html\": \"<html>\"}",
        ] {
            assert_eq!(look(other), Look::Other, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn lfs_pointers_are_recognised_by_their_first_line_and_size() {
        let pointer =
            |more: usize| [LFS_POINTER, b"oid sha256:4d7a\nsize 12345\n", &vec![b'x'; more]].concat();
        assert_eq!(look(&pointer(0)), Look::LfsPointer);
        assert_eq!(look(&pointer(2000)), Look::Other);
        assert_eq!(look(b"version https://git-lfs.github.com/spec/v2\n"), Look::Other);
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), tag in "(<!--|<\\?|<html|\u{feff})?.{0,9}") {
            look(&bytes);
            look(&[tag.as_bytes(), &bytes].concat());
        }

        #[test]
        fn the_quick_check_of_the_first_byte_gives_the_same_result_as_the_whole_check(
            blanks in "[\\s\u{feff}]{0,3}",
            tag in "(<html>|<p>|<!--|x)?",
            bytes in proptest::collection::vec(any::<u8>(), 0..9),
            first in any::<bool>(),
        ) {
            let (tag, text) = (tag.as_bytes(), blanks.as_bytes());
            let all = if first { [text, tag, &bytes].concat() } else { [&bytes, text, tag].concat() };
            prop_assert_eq!(look(&all), look_at_text(&all));
        }
    }
}
