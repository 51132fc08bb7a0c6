//! Reads values that may be secret: headers, logins, tokens, cookies, bodies, and passwords of keys.
//!
//! Invariant: an error contains no part of the value, except the name of a header that only downhaul sets.

use downhaul_engine::core::job::{Body, Headers};
use downhaul_engine::core::secret::{Login, Secret};
use std::path::PathBuf;

/// The value of `--header`, and the second value of `--header-for`: a header, or a file with headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// The name and the value of a header.
    Line(String, Secret),
    /// A file with one header on each line. Other users can see the values of options in the list of
    /// processes, but not the content of files.
    File(PathBuf),
}

/// Accepts a value that may contain a password. The value is parsed later, by code whose errors do not show
/// it.
#[expect(clippy::unnecessary_wraps, reason = "clap requires a result")]
pub(in crate::args) fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

/// The value of `--user` and `--proxy-user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginOption {
    /// A user name and its password.
    Whole(Login),
    /// A user name. The user types the password on the terminal.
    Name(String),
    /// A file with a user name and a password.
    File(PathBuf),
}

/// The value of `--cert`: the file of a client certificate, and the password of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertOption {
    pub file: PathBuf,
    pub password: Option<Secret>,
}

/// The value of `--bearer`, `--cookie` and `--key-password`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretOption {
    /// The token, the cookies or the password.
    Text(Secret),
    /// A file whose first line is the token, the cookies or the password.
    File(PathBuf),
}

/// The value of `--data` and `--json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyOption {
    Text(Body),
    /// A file with the body. `-` is standard input.
    File(PathBuf),
}

/// Reads a body, or `@FILE`.
pub(in crate::args) fn body(text: &str) -> Result<BodyOption, String> {
    match text.strip_prefix('@') {
        Some(file) => file_with_secret(file).map(BodyOption::File),
        None => Ok(BodyOption::Text(Body::new(text))),
    }
}

pub(crate) fn header_option(text: &str) -> Result<Header, String> {
    match text.strip_prefix('@') {
        Some("") => Err("@ needs the name of a file".into()),
        Some(file) => Ok(Header::File(file.into())),
        None => Headers::read(text).map(|(name, value)| Header::Line(name, Secret::new(value))),
    }
}

pub(in crate::args) fn header_value(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c.is_control()) {
        Err("it contains control characters".into())
    } else {
        Ok(text.into())
    }
}

/// Reads `NAME`, `NAME:PASSWORD` or `@FILE`.
pub(crate) fn login(text: &str) -> Result<LoginOption, String> {
    if let Some(file) = text.strip_prefix('@') {
        return file_with_secret(file).map(LoginOption::File);
    }
    let text = header_value(text)?;
    Ok(match text.split_once(':') {
        Some((user, password)) => {
            LoginOption::Whole(Login { user: user.into(), password: Secret::new(password) })
        }
        None if text.is_empty() => return Err("it must be NAME or NAME:PASSWORD".into()),
        None => LoginOption::Name(text),
    })
}

/// Reads a password, or `@FILE`.
pub(in crate::args) fn password(text: &str) -> Result<SecretOption, String> {
    match text.strip_prefix('@') {
        Some(file) => file_with_secret(file).map(SecretOption::File),
        None => Ok(SecretOption::Text(Secret::new(text))),
    }
}

/// Reads a bearer token, or `@FILE`.
pub(crate) fn token(text: &str) -> Result<SecretOption, String> {
    match text.strip_prefix('@') {
        Some(file) => file_with_secret(file).map(SecretOption::File),
        None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(SecretOption::Text(Secret::new(text)))
        }
        None => Err("it must be one word without blanks".into()),
    }
}

/// Reads `NAME=VALUE; NAME=VALUE`, or `@FILE`.
pub(crate) fn cookies(text: &str) -> Result<SecretOption, String> {
    if let Some(file) = text.strip_prefix('@') {
        return file_with_secret(file).map(SecretOption::File);
    }
    let text = text.trim();
    // The user may have copied the whole header, with its name.
    let text =
        text.get(..7).filter(|name| name.eq_ignore_ascii_case("Cookie:")).map_or(text, |_| text[7..].trim());
    let text = header_value(text)?;
    // The name of a cookie is a token (RFC 6265, section 4.1.1), so a URL after -b is a mistake.
    let is_name = |name: &str| !name.trim().is_empty() && !name.contains("://");
    let is_pair = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| is_name(name));
    match text.trim_end_matches(';').split(';').all(is_pair) {
        true => Ok(SecretOption::Text(Secret::new(text.trim_end_matches(';')))),
        false => Err("it must be NAME=VALUE. Use --cookies FILE for a cookie file".into()),
    }
}

/// Reads `FILE` or `FILE:PASSWORD`.
#[expect(clippy::unnecessary_wraps, reason = "clap requires a result")]
pub(in crate::args) fn cert(text: &str) -> Result<CertOption, String> {
    let (file, password) = cert_parts(text);
    Ok(CertOption { file: file.into(), password: password.map(Secret::new) })
}

/// Splits `FILE:PASSWORD`. A colon after a backslash belongs to the name of the file, and so does the colon
/// of a drive such as `C:`.
pub(crate) fn cert_parts(text: &str) -> (String, Option<&str>) {
    let is_drive = |at: usize| at == 1 && text[2..].starts_with(['\\', '/']);
    let mut colons = text.match_indices(':').map(|(at, _)| at);
    let colon = colons.find(|at| !is_drive(*at) && !text[..*at].ends_with('\\'));
    let file = text[..colon.unwrap_or(text.len())].replace("\\:", ":");
    (file, colon.map(|colon| &text[colon + 1..]))
}

fn file_with_secret(file: &str) -> Result<PathBuf, String> {
    if file.is_empty() { Err("@ needs the name of a file".into()) } else { Ok(file.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_certificate_follows_a_colon() {
        for (text, parts) in [
            ("me.pem", ("me.pem", None)),
            ("me.pem:hush", ("me.pem", Some("hush"))),
            ("me.pem:", ("me.pem", Some(""))),
            (r"a\:b.pem:c:d", ("a:b.pem", Some("c:d"))),
            (r"C:\me.pem:hush", (r"C:\me.pem", Some("hush"))),
        ] {
            assert_eq!(cert_parts(text), (parts.0.to_string(), parts.1), "{text}");
        }
    }
}
