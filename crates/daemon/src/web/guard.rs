//! Decides by the headers of a request if it may be answered at all.
//!
//! Every web page can send requests to this machine. A browser says for which page it sends one, in
//! `Origin` and in `Sec-Fetch-Site`. A page whose name was made to lead to this machine (DNS rebinding)
//! shows itself in `Host`.
//!
//! Invariant: a request that these headers show to come from a page of someone else is not answered.

use http::{HeaderMap, header};
use std::net::IpAddr;
use url::Url;

/// The schemes of pages that browser extensions have.
const EXTENSIONS: [&str; 2] = ["chrome-extension", "moz-extension"];

/// The hosts and origins from which requests may come, in addition to those that are always allowed.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// The names under which clients reach the daemon, without ports.
    pub hosts: Vec<String>,
    /// The origins of web pages, such as `https://ariang.example.com`. `*` allows all pages.
    pub origins: Vec<String>,
}

/// Returns why a request is refused, if it is.
///
/// # Errors
/// Returns the reason in words for the user.
pub fn check(allowed: &Allowed, headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST.as_str());
    if !host.is_none_or(|host| is_known_host(allowed, host)) {
        return Err(
            "The daemon does not answer under this host name. Use an address, localhost, or --allow-host.",
        );
    }
    match text(header::ORIGIN.as_str()) {
        Some(origin) if !is_allowed_origin(allowed, origin, host) => {
            Err("Pages of this origin may not use the daemon. --allow-origin allows one.")
        }
        None if text("sec-fetch-site") == Some("cross-site") => {
            Err("Pages of other sites may not use the daemon.")
        }
        _ => Ok(()),
    }
}

/// Returns true if the `Host` of a request cannot be a name that someone else made to lead here.
fn is_known_host(allowed: &Allowed, host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}/")) else { return false };
    match url.host() {
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        Some(url::Host::Domain(name)) => {
            name == "localhost"
                || name.ends_with(".localhost")
                || allowed.hosts.iter().any(|other| other.eq_ignore_ascii_case(name))
        }
        None => false,
    }
}

/// Returns true if pages of this origin may use the daemon.
fn is_allowed_origin(allowed: &Allowed, origin: &str, host: Option<&str>) -> bool {
    if allowed.origins.iter().any(|other| other == "*" || other.trim_end_matches('/') == origin) {
        return true;
    }
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    if EXTENSIONS.contains(&scheme) {
        return true;
    }
    // The page of the daemon itself. Its `Host` was checked before.
    let is_same = host.is_some_and(|host| rest.eq_ignore_ascii_case(host));
    matches!(scheme, "http" | "https") && is_same
}

/// Returns true if an address can be reached only from this machine.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(headers: &[(&'static str, &str)]) -> bool {
        let allowed =
            Allowed { hosts: vec!["nas.lan".into()], origins: vec!["https://ariang.example".into()] };
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect();
        check(&allowed, &headers).is_ok()
    }

    #[test]
    fn programs_and_known_pages_are_answered() {
        for headers in [
            &[][..],
            &[("host", "127.0.0.1:6800")],
            &[("host", "localhost:6800")],
            &[("host", "[::1]:6800")],
            &[("host", "192.168.1.2:6800")],
            &[("host", "NAS.lan:6800")],
            &[("host", "127.0.0.1:6800"), ("origin", "http://127.0.0.1:6800")],
            &[("host", "127.0.0.1:6800"), ("origin", "chrome-extension://abc")],
            &[
                ("host", "127.0.0.1:6800"),
                ("origin", "moz-extension://abc"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[("host", "127.0.0.1:6800"), ("origin", "https://ariang.example")],
            &[("host", "127.0.0.1:6800"), ("sec-fetch-site", "same-origin")],
            &[("host", "127.0.0.1:6800"), ("sec-fetch-site", "none")],
        ] {
            assert!(verdict(headers), "{headers:?}");
        }
    }

    #[test]
    fn pages_of_others_are_refused() {
        for headers in [
            &[("host", "evil.example:6800")][..],
            &[("host", "evil.example:6800"), ("origin", "http://evil.example:6800")],
            &[("host", "localhost.evil.example")],
            &[("host", "127.0.0.1.evil.example")],
            &[("host", "nas.lan.evil.example")],
            &[("host", "127.0.0.1:6800"), ("origin", "http://evil.example")],
            &[("host", "127.0.0.1:6800"), ("origin", "null")],
            &[("host", "127.0.0.1:6800"), ("origin", "http://127.0.0.1:8080")],
            &[("host", "127.0.0.1:6800"), ("origin", "http://localhost:6800")],
            &[("host", "127.0.0.1:6800"), ("origin", "https://ariang.example.evil.example")],
            &[("host", "127.0.0.1:6800"), ("origin", "file://")],
            &[("host", "127.0.0.1:6800"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!verdict(headers), "{headers:?}");
        }
    }
}
