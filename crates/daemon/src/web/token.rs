//! [`Token`]: the secret that clients send with each call.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use downhaul_engine::core::secret::Secret;

/// The secret that clients send with each call, or none.
pub struct Token(Option<Secret>);

impl Token {
    /// Returns the token for a secret. Without one, every call is accepted.
    pub fn new(secret: Option<Secret>) -> Token {
        Token(secret)
    }

    /// Returns true if calls need a token.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Returns true if a call with this token is accepted. The time does not depend on how much of it is
    /// right, or on its length.
    pub fn accepts(&self, given: Option<&str>) -> bool {
        let Some(secret) = &self.0 else { return true };
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        let given = given.map(hash);
        let expected = hash(secret.expose());
        given.is_some_and(|given| verify_slices_are_equal(given.as_ref(), expected.as_ref()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_is_accepted() {
        let token = Token::new(Some(Secret::new("hush")));
        assert!(token.accepts(Some("hush")));
        for wrong in [None, Some(""), Some("hus"), Some("hush!"), Some("HUSH")] {
            assert!(!token.accepts(wrong), "{wrong:?}");
        }
        assert!(Token::new(None).accepts(None) && Token::new(None).accepts(Some("any")));
    }
}
