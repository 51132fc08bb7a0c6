//! Texts in which each character stands for one byte, as in ISO-8859-1. Header values may be in any encoding
//! (RFC 9110, section 5.5), and Digest authentication hashes the bytes of some of these values.

/// Returns the text for these bytes.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Returns the bytes for a text that [`text`] returned.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    // All characters of such a text are below U+0100.
    text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}
