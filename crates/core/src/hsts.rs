//! Remembers hosts that asked to be reached over https only (RFC 6797).
//!
//! Invariant: only hosts with a name are remembered, and no addresses (RFC 6797, section 8.1.1).

use crate::names::without_last_dot;
use std::collections::HashMap;
use std::time::Duration;
use url::{Host, Url};

/// The highest number of hosts that are remembered. A list of URLs may have a million hosts. When this many
/// hosts are remembered, no further host is added until the `max-age` of one of them has passed.
const HOSTS_MOST: usize = 4096;

/// The hosts that asked for https in this run. All times are measured from the start of the run.
#[derive(Debug, Default)]
pub struct SecureHosts(HashMap<String, Policy>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Policy {
    until: Duration,
    with_subdomains: bool,
}

impl SecureHosts {
    /// Records a `Strict-Transport-Security` header of a response from this URL. The response must have come
    /// over https with a certificate that was verified. A header that cannot be read is ignored. A header
    /// with a `max-age` of 0 removes the host.
    pub fn learn(&mut self, url: &Url, header: &str, now: Duration) {
        let (Some(Host::Domain(host)), Some((max_age, with_subdomains))) = (url.host(), read(header)) else {
            return;
        };
        let host = normal(host);
        if max_age.is_zero() {
            self.0.remove(&host);
            return;
        }
        if self.0.len() >= HOSTS_MOST && !self.0.contains_key(&host) {
            self.0.retain(|_, policy| policy.until > now);
        }
        if self.0.len() < HOSTS_MOST || self.0.contains_key(&host) {
            self.0.insert(host, Policy { until: now.saturating_add(max_age), with_subdomains });
        }
    }

    /// Returns true if no host is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the https form of an http URL, if its host asked for https, or if a parent domain asked for
    /// https with `includeSubDomains` (RFC 6797, section 8.3).
    pub fn secured(&self, url: &Url, now: Duration) -> Option<Url> {
        let Some(Host::Domain(host)) = url.host().filter(|_| url.scheme() == "http") else { return None };
        let host = normal(host);
        let parents = host.match_indices('.').map(|(dot, _)| (&host[dot + 1..], true));
        let mut names = std::iter::once((host.as_str(), false)).chain(parents);
        names
            .any(|(name, is_parent)| {
                self.0
                    .get(name)
                    .is_some_and(|policy| policy.until > now && (policy.with_subdomains || !is_parent))
            })
            .then(|| {
                let mut secured = url.clone();
                // A URL without a port gets the usual port of https instead of the usual port of http. Any
                // other port stays (RFC 6797, section 8.3).
                let _ = secured.set_scheme("https");
                secured
            })
    }
}

fn normal(host: &str) -> String {
    without_last_dot(host).to_ascii_lowercase()
}

/// Reads a header (RFC 6797, section 6.1). Returns its `max-age`, and true if the header also applies to the
/// subdomains of the host. Returns `None` if the header has no valid `max-age`, or has a directive twice.
fn read(header: &str) -> Option<(Duration, bool)> {
    let (mut max_age, mut with_subdomains, mut seen) = (None, false, Vec::new());
    for directive in header.split(';').map(str::trim).filter(|directive| !directive.is_empty()) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim().to_ascii_lowercase();
        if seen.contains(&name) {
            return None;
        }
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
        match name.as_str() {
            "max-age" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                max_age = Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
            }
            "max-age" => return None,
            "includesubdomains" => with_subdomains = true,
            _ => {}
        }
        seen.push(name);
    }
    Some((max_age?, with_subdomains))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn secured(learnt: &[(&str, &str)], url: &str, now: Duration) -> Option<String> {
        let mut hosts = SecureHosts::default();
        for (url, header) in learnt {
            hosts.learn(&Url::parse(url).expect("a URL"), header, NOW);
        }
        hosts.secured(&Url::parse(url).expect("a URL"), now).map(String::from)
    }

    #[test]
    fn a_host_that_asked_for_https_is_reached_over_https_only() {
        let plain = ("https://H.example/", "max-age=10");
        let all = ("https://h.example./", "MAX-AGE=\"10\" ; includeSubDomains; x=y");
        for (learnt, url, wanted) in [
            (&[plain][..], "http://h.example/a?b", Some("https://h.example/a?b")),
            (&[plain], "http://h.example.:80/", Some("https://h.example./")),
            (&[plain], "http://h.example:8080/", Some("https://h.example:8080/")),
            (&[plain], "http://a.h.example/", None),
            (&[plain], "http://example/", None),
            (&[plain], "https://h.example/", None),
            (&[all], "http://a.b.h.example/", Some("https://a.b.h.example/")),
            (&[all], "http://xh.example/", None),
            // The full stop of Chinese and Japanese (U+3002) counts as a dot in the name of a host (UTS #46).
            (&[plain], "http://h\u{3002}example/", Some("https://h.example/")),
            (
                &[("https://b\u{fc}cher.example/", "max-age=10")],
                "http://xn--bcher-kva.example/",
                Some("https://xn--bcher-kva.example/"),
            ),
            // The header of a subdomain does not replace the header of its parent.
            (&[all, ("https://a.h.example/", "max-age=1")], "http://h.example/", Some("https://h.example/")),
            (&[all, ("https://h.example/", "max-age=0")], "http://h.example/", None),
            (
                &[all, ("https://a.h.example/", "max-age=0")],
                "http://a.h.example/",
                Some("https://a.h.example/"),
            ),
            (&[("https://127.0.0.1/", "max-age=10")], "http://127.0.0.1/", None),
            (&[("https://[::1]/", "max-age=10")], "http://[::1]/", None),
        ] {
            assert_eq!(secured(learnt, url, NOW).as_deref(), wanted, "{url}");
        }
        let later = NOW + Duration::from_secs(10);
        assert_eq!(secured(&[plain], "http://h.example/", later), None);
    }

    #[test]
    fn a_header_that_cannot_be_read_is_ignored() {
        for bad in [
            "",
            "includeSubDomains",
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age=1;max-age=2",
            "max-age=1s",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let forever = format!("max-age={}", "9".repeat(30));
        assert_eq!(read(&forever), Some((Duration::from_secs(u64::MAX), false)));
        assert!(secured(&[("https://h/", &forever)], "http://h/", NOW).is_some());
    }
}
