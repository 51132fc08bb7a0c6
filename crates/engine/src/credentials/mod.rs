//! The secrets of a session, and the one place that puts them on requests.
//!
//! [`Store::permit`] answers what may be sent to an origin (scheme, host, port), and why. Which kind of
//! secret may go where is decided in `downhaul_core::credentials`.
//!
//! Invariant: a secret reaches a request only in a [`Permit`], and only the store makes one. Every secret has
//! the type [`Secret`](downhaul_core::secret::Secret), and no other module of the engine reads the text of
//! one. So a request for another origin cannot get one by mistake.

mod permit;

pub(crate) use permit::Permit;

use crate::source::GivenBy;
use downhaul_core::credentials::{self, Going, Refused, SecretKind};
use downhaul_core::host_rules::HostRules;
use downhaul_core::job::Headers;
use downhaul_core::secret::{Login, Secret};
use downhaul_core::settings::Settings;
use url::Url;

/// All secrets of a session.
pub(crate) struct Store {
    headers: Headers,
    /// Host or host:port, name, value.
    headers_for: Vec<(String, String, Secret)>,
    for_hosts: HostRules,
}

/// The URL of a file as it was given, and what its userinfo says.
pub(crate) struct Given {
    /// The URL without its userinfo.
    pub(crate) url: Url,
    by: GivenBy,
    login: Result<Option<Login>, Refused>,
}

impl Given {
    /// Takes the userinfo out of a URL.
    pub(crate) fn new(url: &Url, by: GivenBy) -> Given {
        Given { url: credentials::without_userinfo(url), by, login: credentials::login_of(url) }
    }

    fn going<'a>(&'a self, to: &'a Url) -> Going<'a> {
        Going { to, given: &self.url, by_person: self.by == GivenBy::User }
    }
}

impl Store {
    /// Takes the secrets of the settings.
    pub(crate) fn new(settings: &Settings) -> Store {
        Store {
            headers: settings.headers.clone(),
            headers_for: settings.headers_for.clone(),
            for_hosts: settings.for_hosts.clone(),
        }
    }

    /// Returns the secrets that go with a request to `url`, which is the given URL or where its redirects
    /// lead. `job` has the headers of the job.
    ///
    /// # Errors
    /// The reason for which the userinfo of the given URL cannot be used.
    pub(crate) fn permit(&self, given: &Given, url: &Url, job: Option<&Headers>) -> Result<Permit, Refused> {
        let going = given.going(url);
        let mut permit = Permit::default();
        if SecretKind::HostRule.may_go(going) {
            permit.add_headers(SecretKind::HostRule, self.for_hosts.headers(url).into_iter());
        }
        if let Some(login) = given.login.as_ref().map_err(|why| *why)?
            && SecretKind::Userinfo.may_go(going)
            && let Some(value) = credentials::basic(login)
        {
            permit.authorize(SecretKind::Userinfo, &value);
        }
        if SecretKind::Header.may_go(going) {
            permit.add_headers(SecretKind::Header, headers(&self.headers));
        }
        if let Some(job) = job.filter(|_| SecretKind::JobHeader.may_go(going)) {
            permit.add_headers(SecretKind::JobHeader, headers(job));
        }
        if SecretKind::HeaderFor.may_go(going) {
            let named = self.headers_for.iter().filter(|(host, ..)| is_host(url, host));
            permit.add_headers(SecretKind::HeaderFor, named.map(|(_, name, value)| (name.as_str(), value)));
        }
        Ok(permit)
    }
}

fn headers(headers: &Headers) -> impl Iterator<Item = (&str, &Secret)> {
    headers.0.iter().map(|(name, value)| (name.as_str(), value))
}

/// Returns true if a URL is of the host that the person named, as `HOST` (with the usual port) or
/// `HOST:PORT`.
fn is_host(url: &Url, named: &str) -> bool {
    let Some(host) = url.host_str() else { return false };
    match named.to_ascii_lowercase() {
        named if named == host => url.port().is_none(),
        named => url.port_or_known_default().is_some_and(|port| named == format!("{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Request;
    use std::sync::Arc;

    #[test]
    fn a_permit_and_a_request_show_no_secret() {
        let url = Url::parse("https://me:hush@h/f?token=hush").expect("a URL");
        let mut settings = Settings::default();
        settings.headers = [("X-Key", "hush"), ("Proxy-Authorization", "Basic hush")].into_iter().collect();
        let given = Given::new(&url, GivenBy::User);
        let permit = Store::new(&settings).permit(&given, &given.url, None).expect("a permit");
        assert_eq!(format!("{permit:?}"), r#"["authorization (the URL)", "x-key (-H)"]"#);
        let mut headers = http::HeaderMap::new();
        permit.put_on(&mut headers);
        assert_eq!(headers.len(), 2);
        assert!(headers.values().all(http::HeaderValue::is_sensitive));
        let request = Request {
            answered_at: Some(url),
            headers: Some(Arc::new([("Cookie", "a=hush")].into_iter().collect())),
            ..Request::EVERYTHING
        };
        let text = format!("{headers:?} {request:?}");
        assert!(!text.contains("hush") && !text.contains("bWU6aHVzaA"), "{text}");
    }
}
