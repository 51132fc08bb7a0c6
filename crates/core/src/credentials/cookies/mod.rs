//! Cookies: which are accepted from servers and files, and which go with a request (RFC 6265bis, the draft
//! that replaces RFC 6265).
//!
//! Invariant: a cookie goes only to hosts that its domain covers, and a domain is never a public suffix such
//! as `co.uk`. A cookie that is marked as secure goes over https only.

mod date;
mod jar;
mod netscape;
mod set_cookie;

pub use jar::Jar;
pub use netscape::{LONGEST, Mistake, read, write};
pub use set_cookie::parse;

use super::SecretKind;
use crate::secret::Secret;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use url::{Host, Url};

/// Seconds since 1970, as in `Max-Age` and in cookie files.
pub type Time = u64;

/// The longest name and value together, in bytes (RFC 6265bis, section 5.6).
const PAIR_MOST: usize = 4096;

/// A cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// Its name. It may be empty.
    pub name: String,
    /// Its value.
    pub value: Secret,
    /// The host that it is for, in lower case.
    pub domain: String,
    /// It is for this host alone. Otherwise it is for all hosts below it as well.
    pub host_only: bool,
    /// The path that it is for.
    pub path: String,
    /// It goes over https only.
    pub secure: bool,
    /// Scripts of web pages must not see it. This is kept for cookie files.
    pub http_only: bool,
    /// When it ends; `None` with the run.
    pub expires: Option<Time>,
    /// Where it comes from: [`SecretKind::CookieOfServer`] or [`SecretKind::CookieFile`].
    pub kind: SecretKind,
}

impl Cookie {
    /// Returns the cookie as the header `Cookie` has it.
    pub fn pair(&self) -> Secret {
        match self.name.is_empty() {
            true => self.value.clone(),
            false => Secret::new(format!("{}={}", self.name, self.value.expose())),
        }
    }

    /// Returns true if the cookie goes with a request for a URL.
    fn is_for(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let is_host = host == self.domain || (!self.host_only && is_below(host, &self.domain));
        is_host && is_path(url.path(), &self.path) && (!self.secure || is_secure(url))
    }

    fn is_over(&self, now: Time) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Returns true if the other cookie takes the place of this one.
    fn is_replaced_by(&self, other: &Cookie) -> bool {
        self.name == other.name
            && self.domain == other.domain
            && self.path == other.path
            && self.host_only == other.host_only
    }
}

/// The cookies of a run. Copies share them, so that all sessions with these settings have the same cookies.
#[derive(Debug, Clone, Default)]
pub struct Cookies(Arc<Mutex<Jar>>);

impl Cookies {
    /// Begins with these cookies.
    pub fn new(cookies: impl IntoIterator<Item = Cookie>, now: Time) -> Cookies {
        let mut jar = Jar::default();
        cookies.into_iter().for_each(|cookie| jar.insert(cookie, now));
        Cookies(Arc::new(Mutex::new(jar)))
    }

    /// Returns the jar, locked.
    pub fn jar(&self) -> MutexGuard<'_, Jar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
}

/// Returns true if a host is below a domain: `a.b.example` below `b.example`. An address is below nothing.
fn is_below(host: &str, domain: &str) -> bool {
    let is_name = matches!(Host::parse(host), Ok(Host::Domain(_)));
    is_name && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Returns true if a request path is within a cookie path (section 5.1.4).
fn is_path(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// Returns true if a cookie for this domain would go to hosts of different owners.
fn is_public_suffix(domain: &str) -> bool {
    psl::suffix_str(domain) == Some(domain)
}
