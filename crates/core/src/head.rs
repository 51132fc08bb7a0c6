//! The raw head of an HTTP/1 reply, read as leniently as curl and browsers read it, where nothing dangerous follows.
//!
//! [`tidy`] looks at the bytes before the HTTP library does. A head that is proper stays as it is. A head with odd lines is
//! written anew without them, so that the library, which is strict, reads what was decided here. Invariant: a line about
//! where the body ends or what it is (the names in [`MEANINGFUL`]) is never dropped. It is read, or the whole reply is
//! refused: otherwise a cut or foreign body could be taken for the file (RFC 9112, section 11: response splitting and
//! request smuggling). `docs/leniency.md` lists all of it for people.

use std::borrow::Cow;
use std::fmt;

/// The most header lines of a reply. Chromium and Firefox count bytes only; hyper takes 100 by default, and servers with
/// long Content-Security-Policy or Link lists send more than that.
pub const LINES_MOST: usize = 1_000;

/// The longest head of a reply in bytes, status line included: what Chromium takes
/// (`HttpStreamParser::kMaxHeaderBufSize`), and far more than common servers send (8 to 64 KiB).
pub const BYTES_MOST: usize = 256 * 1024;

/// So many dropped lines are told; a server may send a thousand.
const TOLD_MOST: usize = 10;

/// So much of a dropped line is told, in characters: enough to recognise it, too little for most secrets.
const SHOWN_MOST: usize = 40;

/// Names of headers that decide where a body ends or which bytes it holds.
const MEANINGFUL: [&str; 4] = ["content-length", "transfer-encoding", "content-range", "content-encoding"];

const TRANSFER: &str = "transfer-encoding";

/// A head that was written anew.
#[derive(Debug, PartialEq, Eq)]
pub struct Tidied {
    /// The head, blank line included.
    pub head: Vec<u8>,
    /// What was dropped and why, for a person who wants to know. Holds remote text.
    pub dropped: Vec<String>,
}

/// Why a reply is refused for its head, in words for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

/// The head is longer than [`BYTES_MOST`].
pub const TOO_LONG: Refused = Refused("its head is longer than 256 KiB");

/// Two ways to say where the body ends.
pub(crate) const TWO_ENDS: Refused = Refused("it has both a Content-Length and a transfer coding");

/// Returns the length of the head that these bytes begin with, blank line included, or `None` while its end is not there.
/// `looked_at` is how many of the bytes were in an earlier, unsuccessful call.
pub fn end(bytes: &[u8], looked_at: usize) -> Option<usize> {
    // Empty lines before the status line are taken, as RFC 9112, section 2.2 asks of servers.
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    // The blank line may have begun in what was looked at before.
    let mut at = start.max(looked_at.saturating_sub(3));
    while let Some(newline) = bytes.get(at..)?.iter().position(|&byte| byte == b'\n') {
        at += newline + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Reads the status of a head: three digits after the version.
pub fn status(head: &[u8]) -> Option<u16> {
    let text = head.trim_ascii_start().split(|&byte| byte == b' ').nth(1)?.get(..3)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a complete head, as [`end`] found it. Returns `None` if it is proper as it is, else the head that is meant.
///
/// # Errors
/// Why the reply must be refused.
pub fn tidy(head: &[u8]) -> Result<Option<Tidied>, Refused> {
    if head.len() > BYTES_MOST {
        return Err(TOO_LONG);
    }
    let (status_line, lines) = split(head)?;
    let mut reader = Reader::default();
    for line in lines {
        reader.line(line)?;
    }
    reader.check_values()?;
    reader.check_framing()?;
    Ok(reader.changed.then(|| reader.write(status_line)))
}

/// Splits a head into its status line and its header lines, without their ends and the blank line.
fn split(head: &[u8]) -> Result<(&[u8], impl Iterator<Item = &[u8]>), Refused> {
    // Other readers end a line at a bare CR, or a text at a NUL: what follows would be another header to them.
    if head.contains(&0) {
        return Err(Refused("its head holds a NUL"));
    }
    let mut bytes = head.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte == b'\r' && bytes.peek() != Some(&&b'\n') {
            return Err(Refused("its head holds a carriage return that ends no line"));
        }
    }
    let mut lines = head
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty());
    let status_line = lines.next().unwrap_or_default();
    Ok((status_line, lines))
}

/// A header that is kept.
struct Field<'h> {
    name: &'h [u8],
    value: Cow<'h, [u8]>,
}

impl Field<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

#[derive(Default)]
struct Reader<'h> {
    fields: Vec<Field<'h>>,
    dropped: Vec<String>,
    lines: usize,
    /// The line before was kept, so that a folded line goes on with it.
    kept: bool,
    /// What is kept is not what came.
    changed: bool,
}

impl<'h> Reader<'h> {
    fn line(&mut self, line: &'h [u8]) -> Result<(), Refused> {
        self.lines += 1;
        if self.lines > LINES_MOST {
            return Err(Refused("its head has more than 1000 lines"));
        }
        if matches!(line, [b' ' | b'\t', ..]) {
            return self.folded(line);
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return self.drop(line, "has no colon");
        };
        let (before, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        let name = trimmed(before);
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return self.drop(line, "has no proper name");
        }
        self.changed |= name.len() != before.len();
        self.kept = true;
        self.fields.push(Field { name, value: Cow::Borrowed(trimmed(value)) });
        Ok(())
    }

    /// Obsolete folding: the line goes on with the value of the one before (RFC 9112, section 5.2: replaced by a blank).
    fn folded(&mut self, line: &'h [u8]) -> Result<(), Refused> {
        self.changed = true;
        match self.fields.last_mut().filter(|_| self.kept) {
            Some(field) => {
                let value = field.value.to_mut();
                value.push(b' ');
                value.extend_from_slice(trimmed(line));
                Ok(())
            }
            None => self.drop(line, "goes on with nothing"),
        }
    }

    fn drop(&mut self, line: &[u8], why: &str) -> Result<(), Refused> {
        (self.kept, self.changed) = (false, true);
        let before = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let meant = before.to_ascii_lowercase();
        if MEANINGFUL.iter().any(|name| meant.windows(name.len()).any(|part| part == name.as_bytes())) {
            return Err(Refused("a line about its length, range or coding cannot be read"));
        }
        if self.dropped.len() < TOLD_MOST {
            let shown: String = String::from_utf8_lossy(before).trim().chars().take(SHOWN_MOST).collect();
            self.dropped.push(format!("the header line '{shown}' {why} and was dropped"));
        }
        Ok(())
    }

    /// Drops what has control characters in its value: HTTP libraries refuse a whole reply for them.
    fn check_values(&mut self) -> Result<(), Refused> {
        let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        for field in std::mem::take(&mut self.fields) {
            if field.value.iter().any(is_control) {
                self.drop(field.name, "has a control character in its value")?;
            } else {
                self.fields.push(field);
            }
        }
        Ok(())
    }

    /// There must be one answer to where the body ends (RFC 9112, section 6.3), for whatever reads it.
    fn check_framing(&mut self) -> Result<(), Refused> {
        // An old way to say that there is no transfer coding (RFC 2616, section 3.6), or an empty one. hyper would read to the
        // end of the connection.
        let is_none = |one: &Field| {
            let mut codings = one.value.split(|&byte| byte == b',').map(trimmed);
            one.is(TRANSFER) && codings.all(|one| one.is_empty() || one.eq_ignore_ascii_case(b"identity"))
        };
        let before = self.fields.len();
        self.fields.retain(|one| !is_none(one));
        self.changed |= self.fields.len() != before;
        let values = |name: &'static str| {
            self.fields.iter().filter(move |one| one.is(name)).map(|one| one.value.as_ref())
        };
        let length = length(values("content-length"))?;
        if !chunked(values(TRANSFER))? {
            return Ok(());
        }
        if length.is_some() {
            return Err(TWO_ENDS);
        }
        // Said in one way only, since readers differ in what they make of `chunked,` or of two lines.
        if !values(TRANSFER).eq([b"chunked"]) {
            self.fields.retain(|one| !one.is(TRANSFER));
            self.fields.push(Field { name: TRANSFER.as_bytes(), value: Cow::Borrowed(b"chunked") });
            self.changed = true;
        }
        Ok(())
    }

    fn write(&self, status_line: &[u8]) -> Tidied {
        let mut head = Vec::with_capacity(1024);
        let mut write = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
        write(&[status_line, b"\r\n"]);
        for Field { name, value } in &self.fields {
            write(&[name, b": ", value, b"\r\n"]);
        }
        write(&[b"\r\n"]);
        Tidied { head, dropped: self.dropped.clone() }
    }
}

/// Reads the length that all Content-Length values together announce. Equal ones count as one (RFC 9112, section 6.3).
///
/// # Errors
/// When one is no number, or two are different.
pub fn length<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<Option<u64>, Refused> {
    let mut length = None;
    for one in values.flat_map(|value| value.split(|&byte| byte == b',')) {
        let one = one.trim_ascii();
        // `u64::from_str` would take a plus sign.
        let number = std::str::from_utf8(one).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let number: u64 =
            number.and_then(|text| text.parse().ok()).ok_or(Refused("Content-Length is not a number"))?;
        if length.is_some_and(|before| before != number) {
            return Err(Refused("it has two lengths"));
        }
        length = Some(number);
    }
    Ok(length)
}

/// Returns whether all Transfer-Encoding values together say that the body comes in chunks.
///
/// # Errors
/// When there is another coding: none was asked for.
pub fn chunked<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<bool, Refused> {
    let mut chunked = false;
    for one in values.flat_map(|value| value.split(|&byte| byte == b',')) {
        match one.trim_ascii() {
            one if one.eq_ignore_ascii_case(b"chunked") => chunked = true,
            b"" => {}
            _ => return Err(Refused("it has a transfer coding that nobody asked for")),
        }
    }
    Ok(chunked)
}

/// Without blanks and tabs at both ends. Other white space of ASCII is no blank in a head, but a control character.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// A character of a header's name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
