//! Texts that must not be shown, such as passwords, tokens and keys.
//!
//! Invariant: a [`Secret`] has no `Display`, and its `Debug` hides the text. Only [`Secret::expose`] returns
//! the text, so a search for that name finds every place outside of this file that reads the text.

use crate::show;
use std::fmt;

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Returns a secret with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// Joins secrets into one, with a separator between them. Returns `None` if there are no secrets.
    pub fn joined<'s>(secrets: impl Iterator<Item = &'s Secret>, separator: &str) -> Option<Secret> {
        let texts: Vec<&str> = secrets.map(|secret| secret.0.as_str()).collect();
        (!texts.is_empty()).then(|| Secret(texts.join(separator)))
    }

    /// Returns the text for use in a request. The text must not reach a screen, a log, an event or a journal.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns true if a header or a parameter with this name and this text is a secret
    /// ([`show::is_secret`]). The values of most headers are not secrets.
    pub fn is_secret_as(&self, name: &str) -> bool {
        show::is_secret(name, &self.0)
    }

    /// Adds the text to the input of a hasher.
    pub fn add_to(&self, hasher: &mut blake3::Hasher) {
        hasher.update(self.0.as_bytes());
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A user name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// The user name. It is sent in UTF-8 (RFC 7617, section 2.1).
    pub user: String,
    /// The password. It may be empty.
    pub password: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let login = Login { user: "ann".into(), password: Secret::new("open sesame") };
        let text = format!("{login:?} {login:#?}");
        assert!(text.contains("ann") && !text.contains("sesame"), "{text}");
        assert_eq!(login.password.expose(), "open sesame");
    }
}
