//! Reads the raw head of an HTTP/1 response as leniently as curl and browsers do, where that is not
//! dangerous.
//!
//! [`tidy`] reads the bytes before the HTTP library does. A valid head stays as it is. A head with unusual
//! lines is written again in the usual form, without the lines that cannot be read. So the strict library
//! understands the head in the same way as this module does. `docs/leniency.md` lists all cases for users.
//!
//! Invariant: a line about the length, the range or the coding of the body (the names in `MEANINGFUL`) is
//! never dropped as unreadable. If it cannot be read, the whole response is refused. Without this rule, an
//! incomplete body or the body of another response could be used as the file (RFC 9112, section 11: response
//! splitting and request smuggling).

mod plain;

pub use plain::is_plain;

use std::borrow::Cow;
use std::fmt;

/// The highest number of header lines in a response. Chromium and Firefox limit only the bytes of a head.
/// hyper accepts 100 lines by default, and servers with many Content-Security-Policy or Link headers send
/// more.
pub const LINES_MOST: usize = 1_000;

/// The longest head of a response in bytes, with its status line. It is the limit of Chromium
/// (`HttpStreamParser::kMaxHeaderBufSize`), and far more than common servers send (8 to 64 KiB).
pub const BYTES_MOST: usize = 256 * 1024;

/// The highest number of dropped lines that are reported. A server may send a thousand bad lines.
const REPORTED_MOST: usize = 10;

/// The highest number of characters of a dropped line that are shown. Forty characters are enough to
/// recognise the line, and usually too few for the name of a header and a whole secret.
const SHOWN_MOST: usize = 40;

/// The largest Content-Length that is accepted. Systems have no larger offsets in files.
const LENGTH_MOST: u64 = i64::MAX as u64;

/// Names of headers that decide where a body ends or which bytes it contains.
const MEANINGFUL: [&str; 4] = ["content-length", "transfer-encoding", "content-range", "content-encoding"];

const TRANSFER: &str = "transfer-encoding";

/// A head that was written again.
#[derive(Debug, PartialEq, Eq)]
pub struct Tidied {
    /// The head. The blank line at its end is included.
    pub head: Vec<u8>,
    /// The first dropped lines (at most ten) and the reasons, in words for the user. The texts contain parts
    /// of the received lines.
    pub dropped: Vec<String>,
}

/// The reason why the head of a response is refused, in words for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

/// The head is longer than [`BYTES_MOST`], or longer than the reader may keep in memory.
pub const TOO_LONG: Refused = Refused("its head is too long");

/// The head states the end of the body in two ways.
pub(crate) const TWO_ENDS: Refused = Refused("it has both a Content-Length and a transfer coding");

/// Returns the length of the head at the beginning of these bytes, including its blank line. Returns `None`
/// if the end of the head has not arrived. `looked_at` is the number of bytes that an earlier call has read.
pub fn end(bytes: &[u8], looked_at: usize) -> Option<usize> {
    // Empty lines before the status line are accepted. RFC 9112, section 2.2, recommends the same to servers
    // for requests.
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    // The blank line may begin in bytes that the earlier call has read.
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

/// Returns the status in the first line of a head: the three digits after the version. Returns `None` if this
/// line cannot be read.
pub fn status(head: &[u8]) -> Option<u16> {
    let line = head.trim_ascii_start().split(|&byte| matches!(byte, b'\r' | b'\n')).next()?;
    let (_, status, _) = status_line(line)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

/// Splits a status line into its version, its status of three digits, and its reason. Like curl, this
/// function accepts any version number and any blanks between the three parts. Some gateways answer over
/// HTTP/1 with `HTTP/2.0 200`.
fn status_line(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (protocol, rest) = line.split_at_checked(5)?;
    let version_end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    let (version, rest) = rest.split_at(version_end);
    let (status, reason) = trimmed(rest).split_at_checked(3)?;
    let is_version = version.first().is_some_and(u8::is_ascii_digit)
        && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let is_proper = protocol.eq_ignore_ascii_case(b"HTTP/")
        && is_version
        && status.iter().all(u8::is_ascii_digit)
        && matches!(reason, [] | [b' ' | b'\t', ..]);
    is_proper.then(|| (version, status, trimmed(reason)))
}

/// Returns the status line with a version that the HTTP library accepts (1.0 or 1.1). Returns `None` if the
/// HTTP library accepts the line as it is. Also returns `None` if the line cannot be read, because the HTTP
/// library then reports the error.
fn as_version_1(line: &[u8]) -> Option<Vec<u8>> {
    let is_proper =
        matches!(line, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', b'1'..=b'9', ..]);
    let (version, status, reason) = status_line(line).filter(|_| !is_proper)?;
    let version: &[u8] = if version == b"1.0" { version } else { b"1.1" };
    Some([b"HTTP/", version, b" ", status, b" ", reason].concat())
}

/// Returns a status line of HTTP/1.0 as one of HTTP/1.1. Returns `None` for any other line.
fn from_version_1_0(line: &[u8]) -> Option<Vec<u8>> {
    let (_, status, reason) = status_line(line).filter(|(version, ..)| *version == b"1.0")?;
    Some([b"HTTP/1.1 ", status, b" ", reason].concat())
}

/// Reads a complete head, as [`end`] found it. Returns `None` if the head needs no change. Otherwise returns
/// the changed head, in which the lines that cannot be read are missing.
///
/// # Errors
/// Returns the reason why the response must be refused.
pub fn tidy(head: &[u8]) -> Result<Option<Tidied>, Refused> {
    if head.len() > BYTES_MOST {
        return Err(TOO_LONG);
    }
    let (status_line, lines) = split(head)?;
    let rewritten = as_version_1(status_line);
    let mut reader = Reader { changed: rewritten.is_some(), ..Reader::default() };
    for line in lines {
        reader.line(line)?;
    }
    reader.check_values()?;
    let is_chunked = reader.check_framing()?;
    // HTTP libraries refuse chunks in HTTP/1.0. The connection must not be used again (RFC 9112, section
    // 6.1).
    let rewritten = match from_version_1_0(status_line).filter(|_| is_chunked) {
        Some(newer) => {
            reader.close_connection();
            Some(newer)
        }
        None => rewritten,
    };
    Ok(reader.changed.then(|| reader.write(rewritten.as_deref().unwrap_or(status_line))))
}

/// Splits a head into its status line and its header lines. The line ends and the blank line are left out.
fn split(head: &[u8]) -> Result<(&[u8], impl Iterator<Item = &[u8]>), Refused> {
    // Some other programs end a line at a CR without an LF, or a text at a NUL. These programs would read the
    // rest as another header.
    if head.contains(&0) {
        return Err(Refused("its head contains a NUL"));
    }
    let mut bytes = head.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte == b'\r' && bytes.peek() != Some(&&b'\n') {
            return Err(Refused("its head contains a carriage return that does not end a line"));
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
    /// True if the previous line was kept. A line that begins with a blank then continues the previous line.
    kept: bool,
    /// True if the head must be written again.
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
            return self.drop(line, "has no valid name");
        }
        self.changed |= name.len() != before.len();
        self.kept = true;
        self.fields.push(Field { name, value: Cow::Borrowed(trimmed(value)) });
        Ok(())
    }

    /// Adds a line that continues the value of the previous line (obsolete folding, RFC 9112, section 5.2). A
    /// blank separates the two parts of the value.
    fn folded(&mut self, line: &'h [u8]) -> Result<(), Refused> {
        self.changed = true;
        match self.fields.last_mut().filter(|_| self.kept) {
            Some(field) => {
                let value = field.value.to_mut();
                value.push(b' ');
                value.extend_from_slice(trimmed(line));
                Ok(())
            }
            None => self.drop(line, "continues no other line"),
        }
    }

    fn drop(&mut self, line: &[u8], why: &str) -> Result<(), Refused> {
        (self.kept, self.changed) = (false, true);
        let before = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let meant = before.to_ascii_lowercase();
        if MEANINGFUL.iter().any(|name| meant.windows(name.len()).any(|part| part == name.as_bytes())) {
            return Err(Refused("a line about its length, range or coding cannot be read"));
        }
        if self.dropped.len() < REPORTED_MOST {
            let shown: String = String::from_utf8_lossy(before).trim().chars().take(SHOWN_MOST).collect();
            self.dropped.push(format!("the header line '{shown}' {why} and was dropped"));
        }
        Ok(())
    }

    /// Drops headers with control characters in their values. HTTP libraries refuse a whole response because
    /// of such a header.
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

    /// Changes the head so that the connection is closed after the response.
    fn close_connection(&mut self) {
        self.fields.retain(|one| !one.is("connection"));
        self.fields.push(Field { name: b"connection", value: Cow::Borrowed(b"close") });
        self.changed = true;
    }

    /// Makes sure that every program finds the same end of the body (RFC 9112, section 6.3). Returns true if
    /// the body has chunks.
    fn check_framing(&mut self) -> Result<bool, Refused> {
        // `identity` is an old way to state that there is no transfer coding (RFC 2616, section 3.6). hyper
        // would read to the end of the connection because of this name, or because of an empty value.
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
            return Ok(false);
        }
        if length.is_some() {
            return Err(TWO_ENDS);
        }
        // Programs differ in how they read `chunked,` or two lines with `chunked`, so the head gets the most
        // common form.
        if !values(TRANSFER).eq([b"chunked"]) {
            self.fields.retain(|one| !one.is(TRANSFER));
            self.fields.push(Field { name: TRANSFER.as_bytes(), value: Cow::Borrowed(b"chunked") });
            self.changed = true;
        }
        Ok(true)
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

/// Reads the length, in bytes, that all Content-Length values together announce. Equal values count as one
/// (RFC 9112, section 6.3). Returns `None` if there is no value.
///
/// # Errors
/// Returns an error if a value is not a number or is too large, or if two values differ.
pub fn length<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<Option<u64>, Refused> {
    let mut length = None;
    for one in values.flat_map(|value| value.split(|&byte| byte == b',')) {
        let one = one.trim_ascii();
        // `u64::from_str` would accept a plus sign.
        let digits = std::str::from_utf8(one).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let digits =
            digits.filter(|text| !text.is_empty()).ok_or(Refused("Content-Length is not a number"))?;
        let number = digits.parse().ok().filter(|number| *number <= LENGTH_MOST);
        let number: u64 = number.ok_or(Refused("Content-Length is larger than any file"))?;
        if length.is_some_and(|before| before != number) {
            return Err(Refused("it has two different lengths"));
        }
        length = Some(number);
    }
    Ok(length)
}

/// Returns true if the Transfer-Encoding values together state a chunked body.
///
/// # Errors
/// Returns an error if there is another coding, because no other coding was requested.
pub fn chunked<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<bool, Refused> {
    let mut chunked = false;
    for one in values.flat_map(|value| value.split(|&byte| byte == b',')) {
        match one.trim_ascii() {
            one if one.eq_ignore_ascii_case(b"chunked") => chunked = true,
            b"" => {}
            _ => return Err(Refused("it has a transfer coding that was not requested")),
        }
    }
    Ok(chunked)
}

/// Removes blanks and tabs at both ends. Other white space of ASCII is a control character in a head.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// Returns true for a character of a token (RFC 9110, section 5.6.2), such as the name of a header or a
/// method.
pub(crate) fn is_token(byte: u8) -> bool {
    IS_TOKEN[usize::from(byte)]
}

/// The result of [`is_token`] for each byte. Each character of the names of headers is looked up here.
static IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*'
            | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
