//! The messages by which a file was received over HTTP, for WARCs (`--to-warc`).
//!
//! Invariant: a request in a transcript has only the headers in `KEPT`, which may be headers of the user. All
//! other headers are left out, because they may be secret. Secrets in URLs that were requested are hidden.
//! The headers of a response are unchanged, so `Set-Cookie` and `Location` may have secrets of the server.

use crate::show;
use std::net::IpAddr;
use std::time::SystemTime;
use url::Url;

/// The names of the request headers that a transcript contains. Their values are not secret, even if the user
/// has set them.
const KEPT: [&str; 11] = [
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "range",
    "content-type",
    "content-length",
    "if-none-match",
    "if-modified-since",
    "priority",
];

/// The messages by which a file was received: the redirects that led to the file, and the response that
/// contains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// The redirects, in order.
    pub redirects: Vec<Exchange>,
    /// The request for the file and its response.
    pub file: Exchange,
}

/// A request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The URL that was requested, without secrets.
    pub url: String,
    /// The time when the response began to arrive.
    pub at: SystemTime,
    /// The address of the server, if downhaul connected to it directly.
    pub ip: Option<IpAddr>,
    /// The version of HTTP, as WARC names it: `http/1.0`, `http/1.1` or `h2`.
    pub protocol: &'static str,
    /// The head of the request, with its empty line.
    pub request: Vec<u8>,
    /// True if the request had a body. The body is left out, because it may be secret.
    pub had_body: bool,
    /// The head of the response, with its empty line. A head of HTTP/1 is stored as it arrived. A head of
    /// HTTP/2 is stored in the form of HTTP/1.1.
    pub response: Vec<u8>,
    /// The bytes of the body of a redirect that were read: the whole body if it is short, or else its
    /// beginning or nothing. In the exchange for the file, this field is empty.
    pub body: Vec<u8>,
    /// True if the body of the redirect may have more bytes than `body`.
    pub is_cut: bool,
}

impl Transcript {
    /// Returns the transcript of a file that was received without redirects.
    pub fn of(file: Exchange) -> Transcript {
        Transcript { redirects: Vec::new(), file }
    }
}

/// Returns the head of a request for a URL in the form of HTTP/1.1, without the secrets of the URL. Of
/// `headers`, the head has only those in `KEPT`.
pub fn request_head<'h>(
    method: &str,
    url: &Url,
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
) -> Vec<u8> {
    let shown = show::url(url);
    let after_scheme = shown.find("://").map_or(0, |at| at + 3);
    let target = shown[after_scheme..].find('/').map_or("/", |slash| &shown[after_scheme + slash..]);
    let target = target.split('#').next().unwrap_or(target);
    let mut head = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    for (name, value) in headers.filter(|(name, _)| KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name))) {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Returns the head of a response in the form of HTTP/1.1, made from its parts.
pub fn response_head<'h>(
    status: u16,
    reason: &str,
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_no_secrets() {
        let url = Url::parse("https://user:word@h.example/a%20b?x=1&token=hunter2#part").expect("a URL");
        let headers = [
            ("host", &b"h.example"[..]),
            ("authorization", b"Basic aHVudGVyMg=="),
            ("cookie", b"id=hunter2"),
            ("proxy-authorization", b"Basic aHVudGVyMg=="),
            ("x-api-key", b"hunter2"),
            ("Range", b"bytes=5-"),
        ];
        let head = String::from_utf8(request_head("GET", &url, headers.into_iter())).expect("UTF-8");
        assert!(head.starts_with("GET /a%20b?x=1&token="), "{head}");
        assert!(head.ends_with(" HTTP/1.1\r\nhost: h.example\r\nRange: bytes=5-\r\n\r\n"), "{head}");
        assert!(!head.contains("hunter2") && !head.contains("aHVu") && !head.contains("word"), "{head}");
        let root = Url::parse("http://h").expect("a URL");
        assert!(request_head("GET", &root, std::iter::empty()).starts_with(b"GET / HTTP/1.1\r\n\r\n"));
    }
}
