//! Reads texts (lists, checksum lists, header files) in the encodings that editors and shells write, and
//! returns their lines in UTF-8.
//!
//! A line ends with CR, LF or CRLF. A byte order mark tells if a text is UTF-8 or UTF-16. For example,
//! Windows PowerShell writes UTF-16 with a mark if `>` is used. A text without a mark is treated as UTF-8.
//!
//! Invariant: the memory in use is limited to one line of at most [`LONGEST_LINE`] bytes and a small buffer.
//! A line is returned as soon as its end was read, even if the text comes from a pipe that stays open.

use std::io::{self, BufRead, Read};

/// The longest line in bytes. Most servers accept only URLs that are shorter than 64 KiB, and a JSON line
/// usually has a few URLs.
pub const LONGEST_LINE: usize = 1024 * 1024;

/// The highest number of bytes that are read at a time. It is the usual capacity of a pipe on Linux.
const AT_ONCE: usize = 64 * 1024;

/// The byte that stands for one half of a UTF-16 character whose other half is missing. This byte does not
/// occur in UTF-8. So a line that contains it is not UTF-8, and is refused where UTF-8 is required.
const INVALID: u8 = 0xff;

/// Reads a text in UTF-8 or UTF-16, and returns it in UTF-8 without its byte order mark. A text without a
/// mark is returned unchanged, even if it is not UTF-8.
pub struct Text<R> {
    reader: R,
    decoder: Decoder,
    raw: Vec<u8>,
    /// Decoded bytes. The first `used` of these bytes were consumed.
    decoded: Vec<u8>,
    used: usize,
    over: bool,
}

impl<R: Read> Text<R> {
    /// Reads a text from this reader.
    pub fn new(reader: R) -> Text<R> {
        let raw = vec![0; AT_ONCE];
        Text {
            reader,
            decoder: Decoder::Beginning(Vec::new()),
            raw,
            decoded: Vec::new(),
            used: 0,
            over: false,
        }
    }
}

impl<R: Read> BufRead for Text<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.used >= self.decoded.len() && !self.over {
            let read = match self.reader.read(&mut self.raw) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            self.decoded.clear();
            self.used = 0;
            self.over = read == 0;
            self.decoder.decode(self.raw.get(..read).unwrap_or_default(), self.over, &mut self.decoded);
        }
        Ok(self.decoded.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.used += bytes;
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?.read(into)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

/// The lines of a text, without their line ends.
///
/// A line longer than [`LONGEST_LINE`] is skipped, and an error of the kind `InvalidData` is returned for it.
/// Any other error ends the text.
pub struct Lines<R> {
    text: Text<R>,
    /// True if the last line ended with CR. If the next byte is LF, it belongs to the same line end. It is
    /// skipped when the next line is requested, because that byte may arrive much later.
    after_cr: bool,
    over: bool,
}

impl<R: Read> Lines<R> {
    /// Reads lines from this reader.
    pub fn new(reader: R) -> Lines<R> {
        Lines { text: Text::new(reader), after_cr: false, over: false }
    }

    fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut any = false;
        loop {
            let mut some = self.text.fill_buf()?;
            if some.is_empty() {
                break;
            }
            if std::mem::take(&mut self.after_cr) && some.starts_with(b"\n") {
                self.text.consume(1);
                continue;
            }
            any = true;
            let end = some.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.after_cr = end.is_some_and(|end| some.get(end) == Some(&b'\r'));
            let used = end.map_or(some.len(), |end| end + 1);
            some = some.get(..end.unwrap_or(used)).unwrap_or_default();
            if line.len() <= LONGEST_LINE {
                line.extend_from_slice(some);
            }
            self.text.consume(used);
            if end.is_some() {
                break;
            }
        }
        if line.len() > LONGEST_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is longer than 1 MiB"));
        }
        Ok(any.then_some(line))
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let line = self.read_line();
        self.over = match &line {
            Ok(line) => line.is_none(),
            Err(e) => e.kind() != io::ErrorKind::InvalidData,
        };
        line.transpose()
    }
}

/// Decodes bytes to UTF-8 as they arrive.
enum Decoder {
    /// The encoding is not known yet. The value has the bytes that were read already.
    Beginning(Vec<u8>),
    Utf8,
    Utf16 {
        big_endian: bool,
        /// The first byte of a 16-bit unit, while the second byte is missing.
        half: Option<u8>,
        /// The first unit of a character that consists of two units, while the second unit is missing.
        high: Option<u16>,
    },
}

impl Decoder {
    fn decode(&mut self, bytes: &[u8], over: bool, into: &mut Vec<u8>) {
        match self {
            Decoder::Utf8 => into.extend_from_slice(bytes),
            Decoder::Beginning(beginning) => {
                beginning.extend_from_slice(bytes);
                let Some((decoder, mark)) = by_mark(beginning, over) else { return };
                let rest = beginning.split_off(mark);
                *self = decoder;
                self.decode(&rest, over, into);
            }
            Decoder::Utf16 { big_endian, half, high } => {
                for &byte in bytes {
                    let Some(first) = half.take() else {
                        *half = Some(byte);
                        continue;
                    };
                    let pair = [first, byte];
                    let unit = if *big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
                    add_unit(high, unit, into);
                }
                if over && (half.take().is_some() || high.take().is_some()) {
                    into.push(INVALID);
                }
            }
        }
    }
}

/// Returns the decoder of a text and the length of its byte order mark. Returns `None` if more bytes are
/// needed to recognise the mark. `over` is true if the text has no more bytes.
fn by_mark(beginning: &[u8], over: bool) -> Option<(Decoder, usize)> {
    let utf16 = |big_endian| Decoder::Utf16 { big_endian, half: None, high: None };
    match beginning {
        [0xef, 0xbb, 0xbf, ..] => Some((Decoder::Utf8, 3)),
        [0xff, 0xfe, ..] => Some((utf16(false), 2)),
        [0xfe, 0xff, ..] => Some((utf16(true), 2)),
        [] | [0xef] | [0xef, 0xbb] | [0xff] | [0xfe] if !over => None,
        _ => Some((Decoder::Utf8, 0)),
    }
}

/// Decodes one 16-bit unit of UTF-16, which is a character, or the first or the second half of a character.
/// `high` has the first half of a character whose second half is missing.
fn add_unit(high: &mut Option<u16>, unit: u16, into: &mut Vec<u8>) {
    let first = high.take();
    if (0xd800..0xdc00).contains(&unit) {
        into.extend(first.map(|_| INVALID));
        *high = Some(unit);
        return;
    }
    for character in char::decode_utf16(first.into_iter().chain([unit])) {
        match character {
            Ok(character) => into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(_) => into.push(INVALID),
        }
    }
}

/// A reader that fails as if its text ended too early.
#[cfg(test)]
pub(super) struct Cut;

#[cfg(test)]
impl Read for Cut {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reader that returns its bytes in small portions, as a pipe may.
    struct Portions<'a>(&'a [u8], usize);

    impl Read for Portions<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.len().min(self.1).min(into.len());
            let (some, rest) = self.0.split_at(bytes);
            into[..bytes].copy_from_slice(some);
            self.0 = rest;
            Ok(bytes)
        }
    }

    fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        Lines::new(bytes).map(|line| line.expect("short lines")).collect()
    }

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn every_line_end_ends_a_line() {
        let expected: Vec<&[u8]> = vec![b"a", b"b", b"", b"c"];
        for text in ["a\nb\n\nc\n", "a\rb\r\rc\r", "a\r\nb\r\n\r\nc\r\n", "a\r\nb\n\rc"] {
            assert_eq!(lines(text.as_bytes()), expected, "{text:?}");
        }
        assert!(lines(b"").is_empty());
        assert_eq!(lines(b"\r\n"), [b""]);
        assert_eq!(lines(b"\xef\xbb"), [b"\xef\xbb"]);
    }

    #[test]
    fn half_a_character_of_utf16_is_refused() {
        for bytes in [&b"\xff\xfea"[..], b"\xff\xfe\x00\xd8", b"\xff\xfe\x00\xd8a\x00", b"\xff\xfe\x00\xdc"] {
            let lines = lines(bytes);
            assert!(lines.len() == 1 && String::from_utf8(lines[0].clone()).is_err(), "{bytes:?}: {lines:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let text = format!("a\n{}\r\nb", "x".repeat(2 * LONGEST_LINE));
        let read: Vec<Option<Vec<u8>>> = Lines::new(text.as_bytes()).map(Result::ok).collect();
        assert_eq!(read, [Some(b"a".to_vec()), None, Some(b"b".to_vec())]);
    }

    #[test]
    fn a_line_is_returned_before_more_text_arrives() {
        /// A reader that fails the test if the code reads beyond its last byte.
        struct Open<'a>(&'a [u8]);
        impl Read for Open<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                assert!(!self.0.is_empty(), "the reader was called although no more bytes have arrived");
                self.0.read(into)
            }
        }
        for text in ["a\n", "a\r", "a\r\n"] {
            let mut lines = Lines::new(Open(text.as_bytes()));
            assert_eq!(lines.next().expect("a line").expect("reads"), b"a");
        }
    }

    proptest! {
        #[test]
        fn lines_are_the_same_in_every_encoding_and_with_every_end(
            lines in proptest::collection::vec("[^\r\n\u{feff}]{0,12}", 0..8),
            end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
            portion in 1..9_usize,
        ) {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), end]).collect();
            for bytes in [
                text.clone().into_bytes(),
                format!("\u{feff}{text}").into_bytes(),
                [vec![0xff, 0xfe], utf16(&text, u16::to_le_bytes)].concat(),
                [vec![0xfe, 0xff], utf16(&text, u16::to_be_bytes)].concat(),
            ] {
                let read: Vec<String> = Lines::new(Portions(&bytes, portion))
                    .map(|line| String::from_utf8(line.expect("reads")).expect("UTF-8"))
                    .collect();
                prop_assert_eq!(&read, &lines);
            }
        }

        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), portion in 1..9_usize) {
            prop_assert!(Lines::new(Portions(&bytes, portion)).count() <= bytes.len() + 1);
        }
    }
}
