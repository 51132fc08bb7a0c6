//! Decides which cookies are accepted from servers and files, and which are sent with a request (RFC 6265bis,
//! the draft that replaces RFC 6265).
//!
//! Invariant: a cookie is sent only to hosts that its domain covers. If its domain is a public suffix such as
//! `co.uk`, the cookie is sent only to the host with this name. A cookie that is marked as secure is sent
//! over https only.

mod date;
mod jar;
mod netscape;
mod set_cookie;

pub use jar::Jar;
pub use netscape::{LONGEST, read, write};

use super::SecretKind;
use crate::secret::Secret;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use url::{Host, Url};

/// A time in seconds since 1970, as in cookie files.
pub type Time = u64;

/// The highest number of bytes that the name and the value of a cookie may have together (RFC 6265bis,
/// section 5.6).
const PAIR_MOST: usize = 4096;

/// A cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// The name. It may be empty.
    pub name: String,
    /// The value.
    pub value: Secret,
    /// The host that the cookie is for, in lower case.
    pub domain: String,
    /// True if the cookie is for the host `domain` only. Otherwise it is also for all hosts below `domain`.
    pub host_only: bool,
    /// The beginning of the paths that the cookie is for.
    pub path: String,
    /// True if the cookie is sent over https only.
    pub secure: bool,
    /// True if scripts of web pages must not see the cookie. This field matters only in cookie files.
    pub http_only: bool,
    /// The time when the cookie expires. With `None`, it does not expire during the run (a session cookie).
    pub expires: Option<Time>,
    /// Says if a server or a cookie file gave the cookie: [`SecretKind::CookieOfServer`] or
    /// [`SecretKind::CookieFile`].
    pub kind: SecretKind,
}

impl Cookie {
    /// Returns the cookie as it is written in the header `Cookie`.
    pub fn pair(&self) -> Secret {
        match self.name.is_empty() {
            true => self.value.clone(),
            false => Secret::new(format!("{}={}", self.name, self.value.expose())),
        }
    }

    fn is_for(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let is_host = host == self.domain || (!self.host_only && is_below(host, &self.domain));
        is_host && is_path(url.path(), &self.path) && (!self.secure || is_secure(url))
    }

    fn is_over(&self, now: Time) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    fn is_replaced_by(&self, other: &Cookie) -> bool {
        self.name == other.name
            && self.domain == other.domain
            && self.path == other.path
            && self.host_only == other.host_only
    }
}

/// The cookies of a run. Clones of this value share the cookies, so all sessions with the same settings have
/// the same cookies.
#[derive(Debug, Clone, Default)]
pub struct Cookies(Arc<Mutex<Jar>>);

impl Cookies {
    /// Returns a store to which these cookies were added one after the other. Cookies that have expired at
    /// the time `now` are left out. If there are too many cookies, the oldest ones are removed.
    pub fn new(cookies: impl IntoIterator<Item = Cookie>, now: Time) -> Cookies {
        let mut jar = Jar::default();
        cookies.into_iter().for_each(|cookie| jar.insert(cookie, now));
        Cookies(Arc::new(Mutex::new(jar)))
    }

    /// Locks the store of the cookies and returns it.
    pub fn jar(&self) -> MutexGuard<'_, Jar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
}

/// Returns true if a host is below a domain: `a.b.example` below `b.example`. An IP address is not below any
/// domain.
fn is_below(host: &str, domain: &str) -> bool {
    let is_name = matches!(Host::parse(host), Ok(Host::Domain(_)));
    is_name && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Returns true if the path of a request is within the path of a cookie (RFC 6265bis, section 5.1.4).
fn is_path(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}
