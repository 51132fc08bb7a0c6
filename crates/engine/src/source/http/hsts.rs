//! Remembers the hosts that must be reached over https (RFC 6797), for all requests of a
//! [`Client`](super::Client).

use crate::clock::Clock;
use downhaul_core::hsts::SecureHosts;
use http::HeaderMap;
use http::header::STRICT_TRANSPORT_SECURITY;
use std::sync::{Mutex, MutexGuard, PoisonError};
use url::Url;

pub(super) struct Hsts {
    is_on: bool,
    clock: Clock,
    hosts: Mutex<SecureHosts>,
}

impl Hsts {
    pub(super) fn new(is_on: bool) -> Hsts {
        Hsts { is_on, clock: Clock::start(), hosts: Mutex::default() }
    }

    /// Records whether the headers of a response require https. The caller must have checked the certificate
    /// of the server. Only the first `Strict-Transport-Security` header counts (RFC 6797, section 8.1).
    pub(super) fn learn(&self, url: &Url, headers: &HeaderMap) {
        if let Some(Ok(header)) = headers.get(STRICT_TRANSPORT_SECURITY).map(|value| value.to_str()) {
            self.hosts().learn(url, header, self.clock.now());
        }
    }

    /// Returns the https form of a URL whose host requires https. Returns `None` for all other URLs, and if
    /// `is_on` is false.
    pub(super) fn secured(&self, url: &Url) -> Option<Url> {
        let hosts = self.hosts();
        let is_used = self.is_on && !hosts.is_empty();
        is_used.then(|| hosts.secured(url, self.clock.now())).flatten()
    }

    fn hosts(&self) -> MutexGuard<'_, SecureHosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
