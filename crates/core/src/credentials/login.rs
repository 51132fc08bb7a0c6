//! Reads user names and passwords in URLs, and writes logins and tokens as values of `Authorization`.

use crate::secret::{Login, Secret};
use base64::prelude::{BASE64_STANDARD, Engine};
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

/// The reason why a login cannot be used. It contains no part of the login.
pub type Refused = &'static str;

/// The reason why a login cannot be sent with [`basic`].
pub const NO_BASIC: Refused = "the user name contains a colon, which Basic cannot send. If the server supports Digest, use --auth digest";

/// Returns the login in the userinfo of a URL, if there is one. The parts of the login are percent-decoded
/// once.
///
/// # Errors
/// Returns an error if the user name or the password contains control characters or is not UTF-8. No real
/// login has such characters, but attacks use line ends and NUL.
pub fn login_of(url: &Url) -> Result<Option<Login>, Refused> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decoded = |text: &str| {
        let text =
            percent_decode_str(text).decode_utf8().map_err(|_| "its user name or password is not UTF-8")?;
        match text.chars().any(char::is_control) {
            true => Err("its user name or password contains control characters"),
            false => Ok(text.into_owned()),
        }
    };
    let password = decoded(url.password().unwrap_or_default())?;
    Ok(Some(Login { user: decoded(url.username())?, password: Secret::new(password) }))
}

/// Returns a URL without its userinfo.
pub fn without_userinfo(url: &Url) -> Url {
    let mut plain = url.clone();
    // These calls fail only for URLs that cannot have userinfo.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain
}

/// Returns the text as a header value that HTTP libraries neither show nor keep in their compression tables
/// (RFC 7541, section 7.1.3). Returns `None` if the text contains control characters other than tabs.
pub fn hidden(text: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns the value of `Authorization` for Basic authentication, in UTF-8. Returns `None` for a user name
/// with a colon, because the server would read another name (RFC 7617, section 2).
pub fn basic(login: &Login) -> Option<HeaderValue> {
    if login.user.contains(':') {
        return None;
    }
    let pair = format!("{}:{}", login.user, login.password.expose());
    hidden(format!("Basic {}", BASE64_STANDARD.encode(pair)).as_bytes())
}

/// Returns the value of `Authorization` for a bearer token (RFC 6750, section 2.1). Returns `None` if the
/// token contains control characters other than tabs.
pub fn bearer(token: &Secret) -> Option<HeaderValue> {
    hidden(format!("Bearer {}", token.expose()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(url: &str) -> Result<Option<(String, String)>, Refused> {
        let login = login_of(&Url::parse(url).expect("a URL"))?;
        Ok(login.map(|login| (login.user, login.password.expose().to_string())))
    }

    #[test]
    fn userinfo_is_decoded_once_and_has_no_control_characters() {
        let pair = |user: &str, password: &str| Ok(Some((user.to_string(), password.to_string())));
        assert_eq!(login("http://h/"), Ok(None));
        assert_eq!(login("http://me@h/"), pair("me", ""));
        assert_eq!(login("http://me:@h/"), pair("me", ""));
        assert_eq!(login("http://:token@h/"), pair("", "token"));
        assert_eq!(login("http://m%40e:a%3Ab%2525@h/"), pair("m@e", "a:b%25"));
        assert_eq!(login("http://m\u{fc}ller:stra\u{df}e@h/"), pair("m\u{fc}ller", "stra\u{df}e"));
        for bad in ["me%00:p", "me:p%0D%0AX-Evil:1", "me%0a:p", "me:%7f", "me:%C2%85"] {
            let why = login(&format!("http://{bad}@h/")).expect_err(bad);
            assert!(why.contains("control"), "{why}");
        }
        assert!(login("http://me:%ff@h/").is_err());
    }

    #[test]
    fn basic_authentication_is_utf8_and_its_user_name_has_no_colon() {
        let of = |user: &str, password: &str| {
            let login = Login { user: user.into(), password: Secret::new(password) };
            basic(&login).map(|value| value.to_str().expect("ASCII").to_string())
        };
        // The examples of RFC 7617, sections 2 and 2.1.
        assert_eq!(of("Aladdin", "open sesame"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".into()));
        assert_eq!(of("test", "123\u{a3}"), Some("Basic dGVzdDoxMjPCow==".into()));
        assert_eq!(of("", ""), Some("Basic Og==".into()));
        assert_eq!(of("a", "b:c"), Some("Basic YTpiOmM=".into()));
        assert_eq!(of("a:b", "c"), None);
    }
}
