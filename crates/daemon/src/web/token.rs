//! [`Token`]: the secret that clients send with each call.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::fill;
use downhaul_engine::core::secret::Secret;
use std::sync::{PoisonError, RwLock};

/// The secret that clients send with each call, or none.
pub struct Token(Option<RwLock<Secret>>);

impl Token {
    /// Returns the token for a secret. Without a secret, every call is accepted.
    pub fn new(secret: Option<Secret>) -> Token {
        Token(secret.map(RwLock::new))
    }

    /// Returns the text of a new secret: 128 random bits as hexadecimal digits. Returns `None` if the system
    /// gives no random bytes.
    pub fn random() -> Option<String> {
        let mut bytes = [0; 16];
        fill(&mut bytes).ok()?;
        Some(format!("{:032x}", u128::from_ne_bytes(bytes)))
    }

    /// Returns true if calls need a token.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Replaces the secret, if calls need one.
    pub fn replace(&self, secret: Secret) {
        if let Some(current) = &self.0 {
            *current.write().unwrap_or_else(PoisonError::into_inner) = secret;
        }
    }

    /// Returns true if a call with the token `given` is accepted. The comparison takes the same time however
    /// many characters are right, so the time does not help a client to guess the secret.
    pub fn accepts(&self, given: Option<&str>) -> bool {
        let Some(secret) = &self.0 else { return true };
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        let given = given.map(hash);
        let expected = hash(secret.read().unwrap_or_else(PoisonError::into_inner).expose());
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
        token.replace(Secret::new("new"));
        assert!(token.accepts(Some("new")) && !token.accepts(Some("hush")));
        assert!(Token::new(None).accepts(None) && Token::new(None).accepts(Some("any")));
    }
}
