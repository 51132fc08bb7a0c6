//! Decodes the encoded words of mail (RFC 2047), such as `=?UTF-8?B?5Y2OLnBkZg==?=`. RFC 6266 does not allow
//! encoded words in file names, but some programs write them, and browsers read them.

use base64::prelude::{BASE64_STANDARD, Engine};
use encoding_rs::Encoding;

/// Decodes the encoded words in a text. Malformed words stay as they are.
pub(super) fn decoded(text: &str) -> String {
    let (mut out, mut rest, mut after_word) = (String::new(), text, false);
    while let Some((before, beyond)) = rest.split_once("=?") {
        // Blanks between two encoded words are dropped (RFC 2047, section 6.2).
        if !(after_word && before.trim().is_empty()) {
            out += before;
        }
        match word(beyond) {
            Some((decoded, next)) => {
                out += &decoded;
                (rest, after_word) = (next, true);
            }
            None => {
                out += "=?";
                (rest, after_word) = (beyond, false);
            }
        }
    }
    out + rest
}

/// Decodes the encoded word at the beginning of the text. Its `=?` was read already. Returns the decoded word
/// and the rest of the text, or `None` if the word is malformed.
fn word(text: &str) -> Option<(String, &str)> {
    let (charset, rest) = text.split_once('?')?;
    let (how, rest) = rest.split_once('?')?;
    let (encoded, rest) = rest.split_once("?=")?;
    let bytes = match how {
        "b" | "B" => BASE64_STANDARD.decode(encoded).ok()?,
        // An underscore is a blank. Other bytes are encoded as in a URL, but with `=` instead of `%`.
        "q" | "Q" => {
            let escaped = encoded.replace('%', "%25").replace('_', " ").replace('=', "%");
            percent_encoding::percent_decode_str(&escaped).collect()
        }
        _ => return None,
    };
    // A language may follow the charset (RFC 2231, section 5).
    let label = charset.split('*').next().unwrap_or_default();
    let (decoded, malformed) = Encoding::for_label(label.as_bytes())?.decode_with_bom_removal(&bytes);
    (!malformed).then(|| (decoded.into_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_words_are_decoded_and_all_other_text_is_unchanged() {
        for (text, expected) in [
            ("=?UTF-8?B?5Y2OLnBkZg==?=", "华.pdf"),
            ("=?utf-8*de?q?na=C3=AFve_100%.txt?=", "naïve 100%.txt"),
            ("=?iso-8859-1?Q?=E9t=E9?=.txt", "été.txt"),
            ("=?UTF-8?Q?a?= =?UTF-8?Q?b?= c", "ab c"),
            ("=?gb2312?B?u6o=?=.pdf", "华.pdf"),
            ("=?UTF-8?B?!?=", "=?UTF-8?B?!?="),
            ("=?UTF-8?Q?=FF?=", "=?UTF-8?Q?=FF?="),
            ("=?x?Q?a?=", "=?x?Q?a?="),
            ("what=?.txt", "what=?.txt"),
            ("a.txt", "a.txt"),
        ] {
            assert_eq!(decoded(text), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "(=\\?|UTF-8|\\?[bq]\\?|\\?=|=C3|[a-zé ]){0,20}") {
            decoded(&text);
        }
    }
}
