//! Holds the secrets that one request may carry.
//!
//! Invariant: only the module `credentials` adds secrets to a [`Permit`]. The debug form of a permit names
//! the kinds of secrets and the headers, and contains no values.

use super::logins::How;
use bytes::Bytes;
use downhaul_core::credentials::challenge::Challenge;
use downhaul_core::credentials::cookies::Cookie;
use downhaul_core::credentials::{self, SecretKind};
use downhaul_core::secret::{Login, Secret};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body_util::Full;
use std::fmt;

#[derive(Default)]
pub(crate) struct Permit {
    headers: Vec<(SecretKind, HeaderName, HeaderValue)>,
    /// The login among the secrets, if the store chose how it is sent.
    pub(super) attempt: Option<Attempt>,
    pub(super) body: Option<Bytes>,
}

/// A login on a request.
pub(super) struct Attempt {
    pub(super) login: Login,
    pub(super) how: How,
    /// True if the login answers a challenge of the previous response.
    pub(super) was_asked: bool,
}

impl Attempt {
    /// Returns true if the server may accept an answer to this challenge, although it refused this attempt.
    pub(super) fn may_be_followed_by(&self, challenge: &Challenge) -> bool {
        match (challenge, &self.how) {
            // A remembered nonce may be too old, even if the server does not state that. An answer with a new
            // nonce is repeated only if the server states that the nonce is too old.
            (Challenge::Digest(_), How::DigestAgain(_)) => true,
            (Challenge::Digest(digest), How::Digest(_)) => digest.stale,
            (Challenge::Digest(_), How::Basic(_)) => !self.was_asked,
            // With Basic, the same answer would be refused again.
            _ => false,
        }
    }
}

impl Permit {
    /// Puts the secrets on a request. The secrets replace headers of the same names.
    pub(crate) fn put_on(&self, headers: &mut HeaderMap) {
        for (_, name, _) in &self.headers {
            headers.remove(name);
        }
        let (cookies, others): (Vec<_>, Vec<_>) =
            self.headers.iter().partition(|(_, name, _)| name == header::COOKIE);
        for (_, name, value) in others {
            headers.append(name.clone(), value.clone());
        }
        // All cookies must be in one header (RFC 6265bis, section 5.8.1).
        let cookies: Vec<&[u8]> = cookies.iter().map(|(_, _, value)| value.as_bytes()).collect();
        if let Some(mut value) =
            HeaderValue::from_bytes(&cookies.join(&b"; "[..])).ok().filter(|value| !value.is_empty())
        {
            value.set_sensitive(true);
            headers.insert(header::COOKIE, value);
        }
    }

    /// Returns the body of the request, which may be empty.
    pub(crate) fn body(&self) -> Full<Bytes> {
        self.body.clone().map(Full::new).unwrap_or_default()
    }

    /// Sets the `Authorization` header.
    pub(super) fn authorize(&mut self, kind: SecretKind, value: HeaderValue) {
        self.replace(&[header::AUTHORIZATION]);
        self.headers.push((kind, header::AUTHORIZATION, value));
    }

    /// Adds headers that the user gave. The first header of a name replaces existing headers of this name,
    /// and further ones are added, as in curl. `Proxy-Authorization` is for proxies, so it is not sent to
    /// servers.
    pub(super) fn add_headers<'a>(
        &mut self,
        kind: SecretKind,
        given: impl Iterator<Item = (&'a str, &'a Secret)>,
    ) {
        let mut new = Vec::new();
        for (name, value) in given {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
            let Some(value) = hidden(value).filter(|_| name != header::PROXY_AUTHORIZATION) else {
                continue;
            };
            new.push((kind, name, value));
        }
        let names: Vec<HeaderName> = new.iter().map(|(_, name, _)| name.clone()).collect();
        self.replace(&names);
        self.headers.extend(new);
    }

    /// Returns the kind of the secret in the `Authorization` header.
    pub(super) fn authorized_by(&self) -> Option<SecretKind> {
        self.headers.iter().find(|(_, name, _)| name == header::AUTHORIZATION).map(|(kind, ..)| *kind)
    }

    /// Adds cookies. `cookies` has the form of a `Cookie` header.
    pub(super) fn add_cookies(&mut self, kind: SecretKind, cookies: &Secret) {
        if let Some(value) = hidden(cookies) {
            self.headers.push((kind, header::COOKIE, value));
        }
    }

    /// Adds a cookie from the jar. The cookie is not added if the user gave a cookie of the same name.
    pub(super) fn add_cookie(&mut self, cookie: &Cookie) {
        let is_given = |value: &HeaderValue| {
            let pairs = value.as_bytes().split(|&byte| byte == b';');
            let mut names = pairs.map(|pair| pair.split(|&byte| byte == b'=').next().unwrap_or_default());
            names.any(|name| name.trim_ascii() == cookie.name.as_bytes())
        };
        let mut given = self.headers.iter().filter(|(kind, name, _)| {
            *name == header::COOKIE && !matches!(kind, SecretKind::CookieOfServer | SecretKind::CookieFile)
        });
        if !given.any(|(_, _, value)| is_given(value)) {
            self.add_cookies(cookie.kind, &cookie.pair());
        }
    }

    fn replace(&mut self, names: &[HeaderName]) {
        self.headers.retain(|(_, name, _)| !names.contains(name));
        if names.contains(&header::AUTHORIZATION) {
            self.attempt = None;
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.headers.iter().map(|(kind, name, _)| format!("{name} ({})", kind.name())))
            .finish()
    }
}

fn hidden(value: &Secret) -> Option<HeaderValue> {
    credentials::hidden(value.expose().as_bytes())
}
