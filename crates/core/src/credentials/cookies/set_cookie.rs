//! Reads `Set-Cookie` headers (RFC 6265bis, sections 5.6 and 5.7).

use super::{Cookie, PAIR_MOST, SecretKind, Time, date, is_below, is_secure};
use crate::public_suffix;
use crate::secret::Secret;
use url::{Host, Url};

/// The highest number of bytes in the value of an attribute. An attribute with a longer value is ignored
/// (RFC 6265bis, section 5.6).
const ATTRIBUTE_MOST: usize = 1024;

/// The longest time until a cookie expires, even if the server states a longer time: 400 days (RFC 6265bis,
/// section 5.5).
const LIFE_MOST: Time = 400 * 86_400;

#[derive(Default)]
struct Attributes<'t> {
    expires: Option<Time>,
    max_age: Option<Time>,
    domain: Option<&'t str>,
    path: Option<&'t str>,
    secure: bool,
    http_only: bool,
}

/// Returns the cookie that a server at `url` sets. Returns `None` if the server may not set this cookie, or
/// if the header is not a cookie. The returned cookie may have expired already: this is how a server deletes
/// an older cookie of the same name.
pub fn parse(header: &[u8], url: &Url, now: Time) -> Option<Cookie> {
    let text = std::str::from_utf8(header).ok()?;
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    let (pair, rest) = text.split_once(';').unwrap_or((text, ""));
    // A text without `=` is a value without a name.
    let (name, value) = pair.split_once('=').unwrap_or(("", pair));
    let (name, value) = (name.trim(), value.trim());
    if (name.is_empty() && value.is_empty()) || name.len() + value.len() > PAIR_MOST {
        return None;
    }
    let attributes = attributes(rest, now);
    let (domain, host_only) = domain(attributes.domain, url)?;
    let path =
        attributes.path.filter(|path| path.starts_with('/')).unwrap_or_else(|| default_path(url.path()));
    if attributes.secure && !is_secure(url) {
        return None;
    }
    let cookie = Cookie {
        name: name.into(),
        value: Secret::new(value),
        domain,
        host_only,
        path: path.into(),
        secure: attributes.secure,
        http_only: attributes.http_only,
        expires: attributes.max_age.or(attributes.expires).map(|end| end.min(now + LIFE_MOST)),
        kind: SecretKind::CookieOfServer,
    };
    keeps_its_promise(&cookie, attributes.domain).then_some(cookie)
}

fn attributes(text: &str, now: Time) -> Attributes<'_> {
    let mut found = Attributes::default();
    for attribute in text.split(';') {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let (name, value) = (name.trim(), value.trim());
        if value.len() > ATTRIBUTE_MOST {
            continue;
        }
        match name.to_ascii_lowercase().as_str() {
            "expires" => found.expires = date::parse(value).or(found.expires),
            "max-age" => found.max_age = max_age(value, now).or(found.max_age),
            "domain" => found.domain = Some(value),
            "path" => found.path = Some(value),
            "secure" => found.secure = true,
            "httponly" => found.http_only = true,
            // SameSite restricts requests that a web page starts. downhaul sends no such requests.
            _ => {}
        }
    }
    found
}

fn max_age(value: &str, now: Time) -> Option<Time> {
    match value.strip_prefix('-') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(0),
        None if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
            match value.parse::<Time>().unwrap_or(LIFE_MOST) {
                0 => Some(0),
                seconds => Some(now.saturating_add(seconds)),
            }
        }
        _ => None,
    }
}

/// Returns the domain of a cookie, and true if the cookie is for this one host only. Returns `None` if the
/// server at `url` may not set a cookie for the domain in `attribute`.
fn domain(attribute: Option<&str>, url: &Url) -> Option<(String, bool)> {
    let host = url.host_str()?.to_string();
    let attribute = attribute.unwrap_or_default();
    let bare = attribute.strip_prefix('.').unwrap_or(attribute);
    if bare.is_empty() {
        return Some((host, true));
    }
    // A name with a dot at its end is refused: resolvers treat it as another name, and lists of public
    // suffixes have no such names.
    if bare.ends_with('.') {
        return None;
    }
    match Host::parse(bare).ok()? {
        Host::Domain(domain) if domain == host => {
            let host_only = public_suffix::is_suffix(&domain);
            Some((domain, host_only))
        }
        Host::Domain(domain) => {
            (is_below(&host, &domain) && !public_suffix::is_suffix(&domain)).then_some((domain, false))
        }
        address => (address.to_string() == host).then_some((host, true)),
    }
}

/// Returns the folder of a path without its last slash (RFC 6265bis, section 5.1.4).
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => &path[..slash],
    }
}

/// Returns true if a cookie has the properties that a prefix of its name, such as `__Host-`, requires (RFC
/// 6265bis, section 4.1.3). `domain` is the value of its attribute `Domain`.
fn keeps_its_promise(cookie: &Cookie, domain: Option<&str>) -> bool {
    // When a cookie without a name is sent, it must not look like a cookie whose name has a prefix.
    let shown = if cookie.name.is_empty() { cookie.value.expose() } else { &cookie.name };
    let lower = shown.to_ascii_lowercase();
    if cookie.name.is_empty() {
        return !lower.starts_with("__secure-") && !lower.starts_with("__host-");
    }
    if lower.starts_with("__host-") {
        return cookie.secure && domain.is_none_or(str::is_empty) && cookie.path == "/";
    }
    !lower.starts_with("__secure-") || cookie.secure
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = 1_800_000_000;

    fn set(url: &str, header: &str) -> Option<String> {
        let cookie = parse(header.as_bytes(), &Url::parse(url).expect("a URL"), NOW)?;
        let mut text = format!("{}={} {}", cookie.name, cookie.value.expose(), cookie.domain);
        text += if cookie.host_only { " host" } else { " below" };
        text += &format!(" {}", cookie.path);
        if let Some(end) = cookie.expires {
            text += &format!(" {}", i128::from(end) - i128::from(NOW));
        }
        if cookie.secure {
            text += " secure";
        }
        Some(text)
    }

    // This function is long because it is a list of cases.
    #[test]
    fn cookies_are_accepted_for_their_own_site_only() {
        let url = "https://www.shop.co.uk/a/b/c";
        for (header, expected) in [
            ("a=b", Some("a=b www.shop.co.uk host /a/b")),
            (
                " a = b ; Path=/x ; Secure; HttpOnly; SameSite=Strict",
                Some("a=b www.shop.co.uk host /x secure"),
            ),
            ("a=b; Domain=shop.co.uk", Some("a=b shop.co.uk below /a/b")),
            ("a=b; domain=.SHOP.co.UK; path=no", Some("a=b shop.co.uk below /a/b")),
            ("a=b; Domain=", Some("a=b www.shop.co.uk host /a/b")),
            ("a=b; Domain=co.uk", None),
            ("a=b; Domain=CO.UK", None),
            ("a=b; Domain=uk", None),
            ("a=b; Domain=shop.co.uk.", None),
            ("a=b; Domain=co.uk.", None),
            ("a=b; Domain=other.co.uk", None),
            ("a=b; Domain=hop.co.uk", None),
            ("a=b; Domain=sub.www.shop.co.uk", None),
            ("a=b=c", Some("a=b=c www.shop.co.uk host /a/b")),
            ("value", Some("=value www.shop.co.uk host /a/b")),
            ("a=", Some("a= www.shop.co.uk host /a/b")),
            ("=", None),
            ("", None),
            ("a=b\u{1}", None),
            ("a=b; Max-Age=60", Some("a=b www.shop.co.uk host /a/b 60")),
            ("a=b; Max-Age=99999999999999999999999", Some("a=b www.shop.co.uk host /a/b 34560000")),
            ("a=b; Max-Age=0", Some("a=b www.shop.co.uk host /a/b -1800000000")),
            ("a=b; Max-Age=-5", Some("a=b www.shop.co.uk host /a/b -1800000000")),
            ("a=b; Max-Age=soon", Some("a=b www.shop.co.uk host /a/b")),
            ("a=b; Expires=Fri, 15 Jan 2027 08:01:00 GMT; Max-Age=5", Some("a=b www.shop.co.uk host /a/b 5")),
            ("a=b; Expires=Fri, 15 Jan 2027 08:01:00 GMT", Some("a=b www.shop.co.uk host /a/b 60")),
            ("__Secure-a=b", None),
            ("__secure-a=b; Secure", Some("__secure-a=b www.shop.co.uk host /a/b secure")),
            ("__Host-a=b; Secure", None),
            ("__Host-a=b; Secure; Path=/; Domain=shop.co.uk", None),
            ("__HOST-a=b; Secure; Path=/", Some("__HOST-a=b www.shop.co.uk host / secure")),
            ("=__Host-a=b; Secure; Path=/", None),
            ("__Secure-x; Secure", None),
        ] {
            assert_eq!(set(url, header).as_deref(), expected, "{header}");
        }
        assert!(set("http://h.example/", "a=b; Secure").is_none(), "not over plain http");
        assert_eq!(set("http://localhost/x", "a=b; Domain=localhost"), Some("a=b localhost host /".into()));
        assert_eq!(set("http://127.0.0.1/x", "a=b; Domain=127.0.0.1"), Some("a=b 127.0.0.1 host /".into()));
        assert_eq!(set("http://127.0.0.1/x", "a=b; Domain=0.0.1"), None);
        assert_eq!(set("http://[::1]/x", "a=b"), Some("a=b [::1] host /".into()));
        assert_eq!(set("https://co.uk/", "a=b; Domain=co.uk"), Some("a=b co.uk host /".into()));
        assert_eq!(set("https://me.github.io/", "a=b; Domain=github.io"), None, "others have sites there");
        assert!(set(url, &format!("a={}", "x".repeat(4096))).is_none());
    }

    proptest! {
        #[test]
        fn no_header_causes_a_panic(text in any::<Vec<u8>>(), more in "[a=; Dd]omain=[.a-z]{0,9}(; [Ee]xpires=[0-9a-z :]{0,20})?") {
            let url = Url::parse("https://a.example/").expect("a URL");
            parse(&text, &url, NOW);
            parse(more.as_bytes(), &url, NOW);
        }
    }
}
