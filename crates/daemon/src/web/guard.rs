//! Decides if a request may be answered, by the headers of the request.
//!
//! Every web page can send requests to this machine. In `Origin`, a browser says for which page it sends a
//! request. In `Sec-Fetch-Site`, it says if that page belongs to another site. An attacker can make the host
//! name of a web page lead to this machine (DNS rebinding). Then `Host` has that name.
//!
//! Invariant: a request is refused if these headers show that it comes from a page that is not allowed.

use http::HeaderMap;
use http::uri::{Authority, Uri};
use std::net::IpAddr;
use url::Url;

/// The schemes of the pages of browser extensions.
const EXTENSIONS: [&str; 3] = ["chrome-extension", "moz-extension", "safari-web-extension"];

/// The host names and the origins of pages that a request may have in its headers, in addition to those that
/// are always allowed.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// The names under which clients reach the daemon, without ports.
    pub hosts: Vec<String>,
    /// The origins of web pages, such as `https://ariang.example.com`. `*` allows all pages.
    pub origins: Vec<String>,
}

/// Checks if a request may be answered.
///
/// # Errors
/// Returns the reason in words for the user.
pub fn check(allowed: &Allowed, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let [host, origin, site] = ["host", "origin", "sec-fetch-site"].map(|name| one(headers, name));
    let (host, origin, site) = (host?, origin?, site?);
    // A request may have a whole URL, whose host then replaces `Host` (RFC 9112, section 3.2.2). Both are
    // checked. A request without `Host` comes from a program, because browsers always send `Host`.
    let hosts = [uri.authority().map(Authority::as_str), host];
    if !hosts.into_iter().flatten().all(|host| is_known_host(allowed, host)) {
        return Err(
            "The daemon does not answer under this host name. Use an address, localhost, or --allow-host.",
        );
    }
    match origin {
        Some(origin) if !is_allowed_origin(allowed, origin, host) => {
            Err("Pages of this origin may not use the daemon. --allow-origin allows an origin.")
        }
        None if site == Some("cross-site") => Err("Pages of other sites may not use the daemon."),
        _ => Ok(()),
    }
}

/// Returns the value of a header, if the request has this header. Returns an error if the request has the
/// header several times.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        // A value that is not ASCII is not a known host or origin.
        (value, None) => Ok(value.map(|value| value.to_str().unwrap_or("?"))),
        _ => Err("A request may have each of Host, Origin and Sec-Fetch-Site only once."),
    }
}

/// Reads the value of `Host`: a name or an address, and perhaps a port. `scheme` gives the default port.
/// Returns `None` if the value has another form.
fn read_host(scheme: &str, host: &str) -> Option<Url> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:[]".contains(c);
    Url::parse(&format!("{scheme}://{host}/")).ok().filter(|_| host.chars().all(is_plain))
}

/// Returns true if the `Host` of a request cannot be a name that an attacker made to lead to this machine.
fn is_known_host(allowed: &Allowed, host: &str) -> bool {
    let Some(url) = read_host("http", host) else { return false };
    match url.host() {
        // A number in any form is an address. An attacker cannot change where it leads.
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        Some(url::Host::Domain(name)) => {
            // A dot at the end says that the name is complete (RFC 1034, section 3.1).
            let name = name.strip_suffix('.').unwrap_or(name);
            let is_same = |other: &String| other.trim_end_matches('.').eq_ignore_ascii_case(name);
            name == "localhost" || name.ends_with(".localhost") || allowed.hosts.iter().any(is_same)
        }
        None => false,
    }
}

/// Returns true if pages of this origin may use the daemon.
fn is_allowed_origin(allowed: &Allowed, origin: &str, host: Option<&str>) -> bool {
    let is_same = |other: &String| other.trim_end_matches('/').eq_ignore_ascii_case(origin);
    if allowed.origins.iter().any(|other| other == "*" || is_same(other)) {
        return true;
    }
    let Some((scheme, _)) = origin.split_once("://") else { return false };
    if EXTENSIONS.contains(&scheme) {
        return true;
    }
    // A page of the daemon itself has the host and port of the request. `Host` was checked before.
    let host = host.and_then(|host| read_host(scheme, host));
    let (Ok(page), Some(host)) = (Url::parse(origin), host) else { return false };
    matches!(scheme, "http" | "https") && page.host() == host.host() && page.port() == host.port()
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
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let headers = all;
        check(&allowed, &Uri::from_static("/jsonrpc"), &headers).is_ok()
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
            &[("host", "nas.lan.:6800")],
            &[("host", "LOCALHOST.")],
            &[("host", "127.0.0.1.")],
            &[("host", "[::ffff:127.0.0.1]:6800")],
            &[("host", "127.0.0.1:6800"), ("origin", "http://127.0.0.1:6800")],
            &[("host", "127.0.0.1"), ("origin", "http://127.0.0.1")],
            &[("host", "127.0.0.1:80"), ("origin", "http://127.0.0.1")],
            &[("host", "NAS.lan"), ("origin", "https://nas.lan")],
            &[("host", "127.0.0.1:6800"), ("origin", "chrome-extension://abc")],
            &[("host", "127.0.0.1:6800"), ("origin", "safari-web-extension://abc")],
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
    fn the_host_in_a_whole_url_is_checked_too() {
        let of = |uri: &'static str| check(&Allowed::default(), &Uri::from_static(uri), &HeaderMap::new());
        assert!(of("http://127.0.0.1:6800/jsonrpc").is_ok());
        assert!(of("http://evil.example/jsonrpc").is_err());
    }

    #[test]
    fn pages_of_others_are_refused() {
        for headers in [
            &[("host", "evil.example:6800")][..],
            &[("host", "evil.example:6800"), ("origin", "http://evil.example:6800")],
            &[("host", "localhost.evil.example")],
            &[("host", "127.0.0.1.evil.example")],
            &[("host", "nas.lan.evil.example")],
            &[("host", "")],
            &[("host", "localhost..")],
            &[("host", "localhost/evil.example")],
            &[("host", "localhost#evil.example")],
            &[("host", "evil.example@localhost")],
            &[("host", "localhost@evil.example")],
            &[("host", "[::1")],
            &[("host", "localhost:99999")],
            &[("host", "l\u{f6}calhost")],
            &[("host", "localhost"), ("host", "evil.example")],
            &[
                ("host", "127.0.0.1:6800"),
                ("origin", "http://127.0.0.1:6800"),
                ("origin", "http://evil.example"),
            ],
            &[("host", "127.0.0.1:80"), ("origin", "https://127.0.0.1")],
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
