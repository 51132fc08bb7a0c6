//! The requests of a job that are not a GET of the whole file: requests with another method or a body, and
//! requests for a range of the file.

use crate::head::is_token;
use std::fmt;
use std::sync::Arc;

/// A request that is not a plain GET. It is sent over one connection. If the download of its response is
/// interrupted, the download is never resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sends {
    /// The method, such as `POST` (RFC 9110, section 9). It is not `HEAD`, `CONNECT` or `TRACE`.
    method: String,
    /// The body with its media type.
    body: Option<(Body, String)>,
}

/// The body of a request. It may be a secret, so debug output shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Arc<[u8]>);

impl Sends {
    /// Returns a request with this method, and with a body and its media type.
    ///
    /// # Errors
    /// Returns a message for the user that says why the method cannot be used.
    pub fn new(method: &str, body: Option<(Body, &str)>) -> Result<Sends, String> {
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err("it must be a method of HTTP, such as POST".into());
        }
        // The responses to these methods contain no file (RFC 9110, sections 9.3.2, 9.3.6 and 9.3.8).
        if ["HEAD", "CONNECT", "TRACE"].contains(&method.to_ascii_uppercase().as_str()) {
            return Err(format!(
                "the response to a {} request contains no file",
                method.to_ascii_uppercase()
            ));
        }
        let body = body.map(|(body, media_type)| (body, media_type.to_string()));
        Ok(Sends { method: method.into(), body })
    }

    /// Returns the method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns the body, if there is one.
    pub fn body(&self) -> Option<&Body> {
        self.body.as_ref().map(|(body, _)| body)
    }

    /// Returns the media type of the body, if there is a body.
    pub fn media_type(&self) -> Option<&str> {
        self.body.as_ref().map(|(_, media_type)| media_type.as_str())
    }

    /// Returns true if the same request is sent after a redirect with this status, and false if a GET without
    /// a body is sent instead. Browsers do the same (the Fetch standard, "HTTP-redirect fetch").
    pub fn survives(&self, status: u16) -> bool {
        match status {
            301 | 302 => self.method != "POST",
            303 => false,
            _ => true,
        }
    }
}

impl Body {
    /// Returns a body with these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Body {
        Body(bytes.into().into())
    }

    /// Returns the bytes for use in a request. The bytes must not reach a screen, a log, an event or a
    /// journal.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Adds the bytes to the input of a hasher.
    pub(crate) fn add_to(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&self.0);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes, hidden)", self.0.len())
    }
}

/// The wanted byte range of a file. Both `first` and `last` belong to the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// The offset of the first byte.
    pub first: u64,
    /// The offset of the last byte. `None` means the end of the file.
    pub last: Option<u64>,
}

impl ByteRange {
    /// Reads `A-B` or `A-`.
    ///
    /// # Errors
    /// Returns a message for the user that states the required form.
    pub fn read(text: &str) -> Result<ByteRange, String> {
        const FORMS: &str = "it must be like 0-999 (the first and the last byte) or 1000- (to the end)";
        let (first, last) = text.trim().split_once('-').ok_or(FORMS)?;
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        let first = number(first).ok_or(FORMS)?;
        let last = if last.is_empty() { None } else { Some(number(last).ok_or(FORMS)?) };
        // The offset after the last byte must fit into a `u64` too.
        match last.is_none_or(|last| last >= first && last < u64::MAX) && first < u64::MAX {
            true => Ok(ByteRange { first, last }),
            false => Err(FORMS.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_change_the_method_as_in_browsers_and_some_methods_are_refused() {
        let post = Sends::new("POST", Some((Body::new("hush"), "text/plain"))).expect("a request");
        assert_eq!(
            [301, 302, 303, 307, 308].map(|status| post.survives(status)),
            [false, false, false, true, true]
        );
        let put = Sends::new("PUT", None).expect("a request");
        assert_eq!([301, 302, 303, 307].map(|status| put.survives(status)), [true, true, false, true]);
        for bad in ["", "HEAD", "connect", "a b", "POST\r\n"] {
            assert!(Sends::new(bad, None).is_err(), "{bad:?}");
        }
        assert!(!format!("{post:?}").contains("hush") && format!("{post:?}").contains("4 bytes"));
    }

    #[test]
    fn ranges_have_a_first_byte_and_may_have_a_last_one() {
        assert_eq!(ByteRange::read("0-0"), Ok(ByteRange { first: 0, last: Some(0) }));
        assert_eq!(ByteRange::read("5-"), Ok(ByteRange { first: 5, last: None }));
        for bad in ["", "-5", "5", "5-4", "a-b", "1-2-3", "1-2,4-5", "+1-2", "18446744073709551615-"] {
            assert!(ByteRange::read(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_range_or_an_error(text in "[0-9 +-]{0,45}") {
            if let Ok(ByteRange { first, last }) = ByteRange::read(&text) {
                proptest::prop_assert!(last.is_none_or(|last| first <= last));
            }
        }
    }
}
