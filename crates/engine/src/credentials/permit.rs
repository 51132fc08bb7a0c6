//! The secrets that one request may carry.
//!
//! Invariant: only this folder makes a [`Permit`]. Its debug form names the kinds of the secrets and the
//! headers, and contains no value.

use downhaul_core::credentials::SecretKind;
use downhaul_core::secret::Secret;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// The secrets that one request may carry, as headers.
#[derive(Default)]
pub(crate) struct Permit(Vec<(SecretKind, HeaderName, HeaderValue)>);

impl Permit {
    /// Puts the secrets on a request. They replace headers of the same name.
    pub(crate) fn put_on(&self, headers: &mut HeaderMap) {
        for (_, name, _) in &self.0 {
            headers.remove(name);
        }
        for (_, name, value) in &self.0 {
            headers.append(name.clone(), value.clone());
        }
    }

    /// Sets the `Authorization` header.
    pub(super) fn authorize(&mut self, kind: SecretKind, value: &Secret) {
        if let Some(value) = sensitive(value) {
            self.replace(&[header::AUTHORIZATION]);
            self.0.push((kind, header::AUTHORIZATION, value));
        }
    }

    /// Adds headers of the person. The first one of a name replaces what was there, and further ones are
    /// added, as curl does. `Proxy-Authorization` is for proxies and goes to no server.
    pub(super) fn add_headers<'a>(
        &mut self,
        kind: SecretKind,
        given: impl Iterator<Item = (&'a str, &'a Secret)>,
    ) {
        let mut new = Vec::new();
        for (name, value) in given {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
            let Some(value) = sensitive(value).filter(|_| name != header::PROXY_AUTHORIZATION) else {
                continue;
            };
            new.push((kind, name, value));
        }
        let names: Vec<HeaderName> = new.iter().map(|(_, name, _)| name.clone()).collect();
        self.replace(&names);
        self.0.extend(new);
    }

    fn replace(&mut self, names: &[HeaderName]) {
        self.0.retain(|(_, name, _)| !names.contains(name));
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(kind, name, _)| format!("{name} ({})", kind.name())))
            .finish()
    }
}

/// Returns a header value that HTTP libraries neither show nor keep in their compression tables (RFC 7541,
/// section 7.1.3).
fn sensitive(value: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
