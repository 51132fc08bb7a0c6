//! Reads headers that a person or a list gives.
//!
//! Invariant: no error contains a value, which may be a secret.

use super::{Headers, Url};
use crate::head::is_token;
use crate::secret::Secret;

/// Headers that only downhaul itself may set. If the user set these headers, offsets and digests could be
/// wrong, or a response could not be read.
const OURS: [&str; 9] = [
    "accept-encoding",
    "range",
    "if-range",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
    "expect",
];

impl Headers {
    /// Returns the names and the values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Reads `Name: value`.
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong. The message does not contain the value.
    pub fn read(text: &str) -> Result<(String, String), String> {
        let (name, value) = text.split_once(':').ok_or("it must have the form 'Name: value'")?;
        Headers::check(name, value)
    }

    /// Checks a name and a value. Returns both without blanks at their ends.
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong. The message does not contain the value.
    pub fn check(name: &str, value: &str) -> Result<(String, String), String> {
        let (name, value) = (name.trim(), value.trim());
        if !is_name(name) {
            return Err("the name is not a valid header name".into());
        }
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("{name} is set by downhaul itself"));
        }
        // A tab is allowed within a value (RFC 9110, section 5.5).
        if value.chars().any(|char| char.is_control() && char != '\t') {
            return Err("the value contains control characters".into());
        }
        Ok((name.into(), value.into()))
    }

    /// Returns the headers in the form of [`Headers::check`].
    ///
    /// # Errors
    /// Returns which header is wrong, and the message of [`Headers::check`]. A name that is not a valid
    /// header name is left out, because it may contain a value by mistake.
    pub fn checked(&self) -> Result<Headers, String> {
        let check = |(name, value): (&str, &Secret)| match Headers::check(name, value.expose()) {
            Ok((name, value)) => Ok((name, Secret::new(value))),
            Err(why) if is_name(name.trim()) => Err(format!("the header {name} cannot be sent: {why}")),
            Err(why) => Err(format!("a header cannot be sent: {why}")),
        };
        self.iter().map(check).collect::<Result<_, _>>().map(Headers)
    }

    /// Returns a URL for the header `Referer`, without its user name, password and fragment (RFC 9110,
    /// section 10.1.3).
    ///
    /// # Errors
    /// Returns a message for the user that states the required form. The message does not contain the URL.
    pub fn referer(text: &str) -> Result<String, String> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let mut url = url.ok_or("it must be a URL that begins with https:// or http://")?;
        url.set_fragment(None);
        // This cannot fail for http and https.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        Ok(url.into())
    }

    /// Adds a header without checking it.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), Secret::new(value)));
    }

    /// Returns true if there is a header with this name, in upper or lower case.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_without_a_valid_name_or_with_a_reserved_name_is_refused() {
        assert_eq!(Headers::read("X-A:  b "), Ok(("X-A".into(), "b".into())));
        for bad in ["hush", ": hush", "a b: hush", "Range: hush", "X: hush\nb", "X: hush\0"] {
            let why = Headers::read(bad).expect_err(bad);
            assert!(!why.contains("hush"), "{why}");
        }
    }

    #[test]
    fn an_error_names_the_header_unless_the_name_may_contain_a_value() {
        let checked = |name: &str, value: &str| {
            let headers: Headers = [(name, value)].into_iter().collect();
            headers
                .checked()
                .map(|headers| headers.iter().map(|(_, value)| value.expose().to_string()).collect())
        };
        assert_eq!(checked("X-A", " b\tc\t"), Ok(vec!["b\tc".to_string()]));
        let names = "the header X-A cannot be sent: the value contains control characters";
        assert_eq!(checked("X-A", "b\nhush"), Err(names.into()));
        let says = "a header cannot be sent: the name is not a valid header name";
        assert_eq!(checked("Authorization: Bearer hush", ""), Err(says.into()));
        assert_eq!(checked("", "hush"), Err(says.into()));
    }

    #[test]
    fn the_url_of_a_referer_has_no_login_and_no_fragment() {
        assert_eq!(Headers::referer("https://me:hush@h/a#b").as_deref(), Ok("https://h/a"));
        for bad in ["hush", "ftp://hush/", ""] {
            assert!(!Headers::referer(bad).expect_err(bad).contains("hush"), "{bad}");
        }
    }
}
