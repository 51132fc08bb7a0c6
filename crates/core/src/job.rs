//! What was asked for: one [`JobSpec`] is one file to be had.

use crate::digest::{Algorithm, Digest, Expected};
use crate::error::{Error, Kind};
use crate::name::SafeName;
use crate::show;
use std::path::PathBuf;
use url::Url;

/// One file to be had.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// Where it is. Several are mirrors. With a strong digest of the whole, or digests of pieces, they are used together;
    /// without, a further one is used when those before it failed, from the start (nothing proves that they hold the same
    /// bytes). Never empty.
    pub urls: Vec<Url>,
    /// Where it shall go.
    pub target: Target,
    /// Digests it must have, from a list.
    pub expected: Vec<Expected>,
    /// Digests that its pieces must have, from a list.
    pub pieces: Option<Pieces>,
    /// The size it must have in bytes, from a list.
    pub size: Option<u64>,
    /// Keys of a JSON line that are not ours, passed through to the `queued` event.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl JobSpec {
    /// A file at a URL, to be named by the server or the URL.
    pub fn new(url: Url) -> Self {
        JobSpec {
            urls: vec![url],
            target: Target::Server,
            expected: Vec::new(),
            pieces: None,
            size: None,
            extra: serde_json::Map::new(),
        }
    }
}

/// Digests of all pieces of a file, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces {
    /// Bytes of each; the last one may be shorter. At least 1.
    pub length: u64,
    /// By which all of them are.
    pub algorithm: Algorithm,
    /// One for each piece.
    pub digests: Vec<Digest>,
    /// Who says so.
    pub from: String,
}

/// Where a file shall go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Into the output folder, under the name that the server or the URL gives.
    Server,
    /// Below the output folder, under this name.
    Name(SafeName),
    /// To this path (absolute, or below the output folder): the person made it with `-o`.
    Path(PathBuf),
    /// To standard output, in order.
    Stdout,
}

/// What to do when the final name exists (`--if-exists`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Leave it, and do not download.
    Skip,
    /// Download, and replace it when the new file is complete.
    Overwrite,
    /// Download under the next free `name (1).ext`.
    Rename,
    /// Download if size, time or digest say that it differs.
    Update,
    /// Fail.
    Error,
}

/// Reads a URL that can be downloaded.
///
/// # Errors
/// `url.invalid` or `url.scheme`, with what was given (without secrets) and what may have been meant.
pub fn parse_url(text: &str) -> Result<Url, Error> {
    let shown = || show::not_a_url(text);
    if !has_scheme(text) {
        return Err(Error::new(
            Kind::UrlInvalid,
            shown(),
            "it has no scheme; a URL begins with https:// or http://",
        ));
    }
    let url = Url::parse(text).map_err(|e| Error::new(Kind::UrlInvalid, shown(), e.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(Error::new(Kind::UrlScheme, shown(), format!("{other}:// is not"))),
    }
}

/// Whether the text begins with `scheme://` (RFC 3986, section 3.1).
pub fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_http_or_refused_with_a_reason() {
        assert!(parse_url("http://h/a,b").is_ok());
        assert!(parse_url("HTTPS://h:8/").is_ok());
        for (bad, kind) in [
            ("example.com/a", Kind::UrlInvalid),
            ("localhost:8080/a", Kind::UrlInvalid),
            ("", Kind::UrlInvalid),
            ("http://", Kind::UrlInvalid),
            ("ftp://h/a", Kind::UrlScheme),
            ("file:///etc/passwd", Kind::UrlScheme),
        ] {
            assert_eq!(parse_url(bad).expect_err(bad).kind, kind, "{bad}");
        }
        let secret = parse_url("ftp://u:p@h/a?token=1").expect_err("ftp");
        assert!(!secret.to_string().contains("p@") && !secret.to_string().contains("token"));
    }
}
