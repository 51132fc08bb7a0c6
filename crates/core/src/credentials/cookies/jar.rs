//! The store of all cookies of a run.
//!
//! Invariant: the number of all cookies is limited, and so is the number of cookies of one domain. The number
//! and the bytes of the cookies in one request are limited too.

use super::{Cookie, PAIR_MOST, Time, is_below, is_path, is_secure};
use crate::credentials::Going;
use url::Url;

/// The highest number of cookies of one domain, and of all domains together. Chromium has the same limits.
const OF_DOMAIN_MOST: usize = 180;
const MOST: usize = 3300;

/// The highest number of cookies that are sent with one request, and the highest number of bytes that they
/// have together. curl has the same limits. Many servers refuse longer headers.
const SENT_MOST: usize = 150;
const SENT_BYTES_MOST: usize = 8190;

/// Cookies, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct Jar(Vec<Cookie>);

impl Jar {
    /// Removes the cookies that have expired, and adds a cookie, unless its name and value together have more
    /// than 4,096 bytes. The new cookie replaces an older cookie with the same name and path for the same
    /// hosts. If the new cookie has expired already, the older cookie is removed, and the new cookie is not
    /// added. If the domain of the new cookie has too many cookies, the oldest cookie of this domain is
    /// removed. If the store has too many cookies, the oldest cookie of the store is removed.
    pub fn insert(&mut self, cookie: Cookie, now: Time) {
        self.0.retain(|one| !one.is_over(now));
        if cookie.name.len() + cookie.value.expose().len() > PAIR_MOST {
            return;
        }
        // The new cookie takes the position of the older cookie, so it counts as equally old (RFC 6265bis,
        // section 5.7).
        if let Some(place) = self.0.iter().position(|one| one.is_replaced_by(&cookie)) {
            match cookie.is_over(now) {
                true => drop(self.0.remove(place)),
                false => self.0[place] = cookie,
            }
            return;
        }
        if cookie.is_over(now) {
            return;
        }
        if self.0.iter().filter(|one| one.domain == cookie.domain).count() >= OF_DOMAIN_MOST
            && let Some(oldest) = self.0.iter().position(|one| one.domain == cookie.domain)
        {
            self.0.remove(oldest);
        }
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(cookie);
    }

    /// Adds the cookie that a server at `url` sets. `header` is the value of `Set-Cookie`. If it has no valid
    /// cookie, nothing changes. A cookie from a URL that is not https is ignored if a secure cookie of the
    /// same name is for some of the same URLs (RFC 6265bis, section 5.7).
    pub fn set(&mut self, header: &[u8], url: &Url, now: Time) {
        let Some(cookie) = super::set_cookie::parse(header, url, now) else { return };
        let hides = |one: &Cookie| {
            one.secure
                && one.name == cookie.name
                && (one.domain == cookie.domain
                    || is_below(&one.domain, &cookie.domain)
                    || is_below(&cookie.domain, &one.domain))
                && is_path(&cookie.path, &one.path)
        };
        if is_secure(url) || !self.0.iter().any(hides) {
            self.insert(cookie, now);
        }
    }

    /// Returns the cookies that are sent with a request, up to the limits for one request. Cookies with
    /// longer paths come first. If two paths have the same length, the older cookie comes first (RFC 6265bis,
    /// section 5.8.3).
    pub fn select(&self, going: Going, now: Time) -> Vec<&Cookie> {
        let fits = |one: &&Cookie| one.kind.may_go(going) && !one.is_over(now) && one.is_for(going.to);
        let mut chosen: Vec<&Cookie> = self.0.iter().filter(fits).collect();
        chosen.sort_by_key(|one| std::cmp::Reverse(one.path.len()));
        let mut bytes = 0;
        let mut has_room = |one: &&Cookie| {
            bytes += one.name.len() + one.value.expose().len() + "=; ".len();
            bytes <= SENT_BYTES_MOST
        };
        chosen.into_iter().take(SENT_MOST).take_while(&mut has_room).collect()
    }

    /// Returns all cookies that have not expired.
    pub fn all(&self, now: Time) -> impl Iterator<Item = &Cookie> {
        self.0.iter().filter(move |one| !one.is_over(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = 1_800_000_000;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn sent(jar: &Jar, to: &str, now: Time) -> String {
        let to = url(to);
        let chosen = jar.select(Going { to: &to, given: &to, by_person: true, is_of_job: true }, now);
        let pairs: Vec<String> =
            chosen.iter().map(|one| format!("{}={}", one.name, one.value.expose())).collect();
        pairs.join("; ")
    }

    fn jar(cookies: &[(&str, &str)]) -> Jar {
        let mut jar = Jar::default();
        cookies.iter().for_each(|(at, header)| jar.set(header.as_bytes(), &url(at), NOW));
        jar
    }

    #[test]
    fn cookies_go_where_domain_path_and_scheme_say() {
        let at = "https://a.shop.example/x/y";
        let jar = jar(&[
            (at, "host=1; Path=/"),
            (at, "below=2; Domain=shop.example; Path=/"),
            (at, "path=3; Path=/x"),
            (at, "secure=4; Secure; Path=/"),
        ]);
        for (to, expected) in [
            ("https://a.shop.example/x/z", "path=3; host=1; below=2; secure=4"),
            ("https://a.shop.example/x", "path=3; host=1; below=2; secure=4"),
            ("https://a.shop.example/xy", "host=1; below=2; secure=4"),
            ("http://a.shop.example:8080/", "host=1; below=2"),
            ("https://b.shop.example/", "below=2"),
            ("https://c.a.shop.example/", "below=2"),
            ("https://shop.example/", "below=2"),
            ("https://myshop.example/", ""),
            ("https://a.shop.example./", ""),
            ("https://shop.example.evil.example/", ""),
        ] {
            assert_eq!(sent(&jar, to, NOW), expected, "{to}");
        }
    }

    #[test]
    fn cookies_are_replaced_expire_and_are_deleted() {
        let at = "https://h.example/";
        let mut jar = jar(&[(at, "a=1"), (at, "b=2; Max-Age=10"), (at, "a=3")]);
        assert_eq!(sent(&jar, at, NOW), "a=3; b=2");
        assert_eq!(sent(&jar, at, NOW + 10), "a=3");
        jar.set(b"a=; Max-Age=0", &url(at), NOW);
        assert_eq!(sent(&jar, at, NOW), "b=2");
    }

    #[test]
    fn a_response_over_plain_http_does_not_replace_secure_cookies() {
        let mut jar = jar(&[("https://h.example/", "a=1; Secure; Path=/")]);
        jar.set(b"a=evil; Path=/", &url("http://h.example/"), NOW);
        jar.set(b"a=evil; Domain=h.example; Path=/x", &url("http://sub.h.example/"), NOW);
        assert_eq!(sent(&jar, "https://h.example/x", NOW), "a=1");
    }

    #[test]
    fn the_number_of_cookies_and_the_bytes_in_a_request_are_limited() {
        let mut jar = Jar::default();
        for n in 0..1000 {
            jar.set(format!("c{n}={}", "x".repeat(100)).as_bytes(), &url("https://h.example/"), NOW);
        }
        assert_eq!(jar.all(NOW).count(), OF_DOMAIN_MOST);
        assert!(sent(&jar, "https://h.example/", NOW).len() <= SENT_BYTES_MOST);
        for n in 0..5000 {
            jar.set(b"a=b", &url(&format!("https://h{n}.example/")), NOW);
        }
        assert_eq!(jar.all(NOW).count(), MOST);
    }
}
