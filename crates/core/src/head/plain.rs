//! Recognises heads that are certainly valid, in one pass over their bytes. Nearly all responses have such a
//! head.
//!
//! Invariant: if [`is_plain`] returns true for a head, [`super::tidy`] accepts this head without a change.

use super::{BYTES_MOST, LINES_MOST, TRANSFER, is_token, trimmed};

/// The number of bytes that are examined at once. All x86-64 and AArch64 processors have vector registers of
/// this size.
const AT_ONCE: usize = 16;

/// Returns true if these bytes begin with the head of a final response that is certainly valid. This check
/// takes a tenth of the time of [`super::tidy`]. If the result is false, the head may be valid too, and
/// [`super::tidy`] decides.
pub fn is_plain(bytes: &[u8]) -> bool {
    let [
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        b'0' | b'1',
        b' ',
        b'2'..=b'5',
        b'0'..=b'9',
        b'0'..=b'9',
        b' ',
        rest @ ..,
    ] = bytes
    else {
        return false;
    };
    let Some(mut lines) = after_line(rest) else { return false };
    let (mut number, mut has_length) = (0, false);
    loop {
        match lines {
            [b'\r', b'\n', ..] => return bytes.len() - lines.len() + 2 <= BYTES_MOST,
            _ if number == LINES_MOST => return false,
            _ => number += 1,
        }
        let Some(colon) = lines.iter().position(|&byte| !is_token(byte)) else { return false };
        let (name, value) = lines.split_at(colon);
        let (b':', Some(rest)) = (value.first().copied().unwrap_or_default(), after_line(value)) else {
            return false;
        };
        // A wrong end of the body would be dangerous. So a head that is certainly valid has at most one
        // Content-Length, which is one number, and no Transfer-Encoding.
        let value = value.get(1..value.len() - rest.len() - 2).unwrap_or_default();
        match name.len() {
            0 => return false,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let digits = trimmed(value);
                // Every number of 18 digits is less than the largest length that is accepted. With 19 digits,
                // some numbers are larger.
                let is_number = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
                if std::mem::replace(&mut has_length, true) || !is_number {
                    return false;
                }
            }
            17 if name.eq_ignore_ascii_case(TRANSFER.as_bytes()) => return false,
            _ => {}
        }
        lines = rest;
    }
}

/// Returns the bytes after the end of the line at the beginning of `bytes`. Returns `None` if the line does
/// not end with CR and LF, or has a control character other than a tab.
fn after_line(bytes: &[u8]) -> Option<&[u8]> {
    let is_control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    // The compiler makes vector instructions of a loop over a fixed number of bytes that has no early end.
    let plain = bytes
        .chunks_exact(AT_ONCE)
        .take_while(|some| !some.iter().fold(false, |any, &byte| any | is_control(byte)));
    let start = plain.count() * AT_ONCE;
    let end = start + bytes.get(start..)?.iter().position(|&byte| is_control(byte))?;
    bytes.get(end..)?.strip_prefix(b"\r\n")
}
