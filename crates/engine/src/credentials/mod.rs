//! Keeps the secrets for the requests over one network (see [`crate::networks`]). Only this module puts
//! secrets on requests for servers.
//!
//! [`Store::permit`] returns the secrets that may be sent to an origin (scheme, host, port). [`Store::after`]
//! examines the response. If the response has a challenge that can be answered, the request is sent once
//! more. `downhaul_core::credentials` decides which kind of secret may be sent where.
//!
//! Invariant: a secret reaches a request for a server only in a [`Permit`], and only the store adds secrets
//! to permits. Every secret has the type `Secret`, and only two other modules of the engine read the text of
//! a secret. `source::http::proxy` reads the login of a proxy, and sends it to that proxy alone.
//! `source::http::tls::encrypted_key` reads the password of a key, which is never sent. So a secret cannot be
//! sent to another origin by mistake.

mod given;
mod hash;
mod logins;
mod permit;

pub(crate) use given::{Asking, Given};
pub(crate) use logins::{Nonce, Sent};
pub(crate) use permit::Permit;

use crate::clock;
use crate::source::GivenBy;
use bytes::Bytes;
use downhaul_core::credentials::challenge::{self, Challenge, Schemes};
use downhaul_core::credentials::cookies::Time;
use downhaul_core::credentials::{self, Refused, SecretKind};
use downhaul_core::secret::Login;
use downhaul_core::settings::Settings;
use http::header::{self, HeaderMap, HeaderValue};
use logins::{How, Logins};
use permit::Attempt;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use url::Url;

/// The highest number of cookies that one response can set, as in curl.
const COOKIES_OF_RESPONSE_MOST: usize = 50;

/// All secrets for the requests over one network.
pub(crate) struct Store {
    settings: Arc<Settings>,
    logins: Logins,
    /// The hosts of all URLs that the user gave.
    given_hosts: HashSet<String>,
}

/// The facts about a server that decide which connections may be used for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Peer {
    /// True if the client certificate may be sent to the server.
    pub(crate) gets_certificate: bool,
    /// True if the user gave a URL of this host, for this file or another one. Pinned keys apply to such
    /// hosts, also if a redirect or a document leads to them.
    pub(crate) is_given_host: bool,
    /// True if the server must not be at a private address, because a document, a server, or a redirect of a
    /// host that is not known to be private led to it.
    pub(crate) is_guarded: bool,
}

/// The next step after a response.
pub(crate) enum After {
    /// The response is used.
    Done,
    /// The request is sent once more, with this permit.
    Again(Box<Permit>),
    /// The server requires a login (status 401), and did not accept the secret that was sent, or no login can
    /// be sent to it. The text tells the user the reason.
    Refused(String),
}

/// A login that may be sent, with the kind of the secret, and a text for the user that says where the login
/// was found.
struct Candidate<'a> {
    kind: SecretKind,
    from: String,
    login: Cow<'a, Login>,
}

impl Store {
    pub(crate) fn new(settings: Arc<Settings>) -> Store {
        let given = settings.header_origins.iter().filter_map(|origin| Url::parse(origin).ok());
        let given_hosts = given.filter_map(|url| url.host_str().map(String::from)).collect();
        Store { settings, logins: Logins::default(), given_hosts }
    }

    /// Returns a permit with the secrets that may be sent with a request.
    ///
    /// # Errors
    /// Returns why the userinfo of the given URL or another login cannot be used.
    pub(crate) fn permit(&self, asking: Asking) -> Result<Permit, Refused> {
        let Asking { given, url, .. } = asking;
        given.login.as_ref().map_err(|why| *why)?;
        let going = given.going(url);
        let mut permit = Permit::default();
        if SecretKind::HostRule.may_go(going) {
            let rules = &self.settings.for_hosts;
            if let Some(token) = rules.bearer(url).and_then(credentials::bearer) {
                permit.authorize(SecretKind::HostRule, token);
            }
            permit.add_headers(SecretKind::HostRule, rules.headers(url).into_iter());
        }
        // What the configuration says about this host wins over the netrc file.
        let loses =
            |candidate: &Candidate| candidate.kind == SecretKind::Netrc && permit.authorized_by().is_some();
        if let Some(candidate) = self.candidate(asking)
            && !loses(&candidate)
            && !self.logins.is_refused(url, &candidate.login)
            && let Some((value, how)) = self.at_once(&candidate, asking)?
        {
            permit.authorize(candidate.kind, value);
            permit.attempt =
                Some(Attempt { login: candidate.login.clone().into_owned(), how, was_asked: false });
        }
        let token = self.settings.bearer.as_ref().filter(|_| SecretKind::Bearer.may_go(going));
        if let Some(token) = token.and_then(credentials::bearer) {
            permit.authorize(SecretKind::Bearer, token);
        }
        if SecretKind::Header.may_go(going) {
            permit.add_headers(SecretKind::Header, self.settings.headers.iter());
        }
        if let Some(job) = asking.headers.filter(|_| SecretKind::JobHeader.may_go(going)) {
            permit.add_headers(SecretKind::JobHeader, job.iter());
        }
        if SecretKind::HeaderFor.may_go(going) {
            let named = self.settings.headers_for.iter().filter(|(host, ..)| is_host(url, host));
            permit.add_headers(SecretKind::HeaderFor, named.map(|(_, name, value)| (name.as_str(), value)));
        }
        if let Some(given) =
            self.settings.cookies_given.as_ref().filter(|_| SecretKind::CookieGiven.may_go(going))
        {
            permit.add_cookies(SecretKind::CookieGiven, given);
        }
        let jar = self.settings.cookies.jar();
        for cookie in jar.select(going, now()) {
            permit.add_cookie(cookie);
        }
        permit.body = asking.body().map(Bytes::copy_from_slice);
        Ok(permit)
    }

    /// Returns the facts that decide which connections may be used for a request. `is_guarded` is true if the
    /// server must not be at a private address.
    pub(crate) fn peer(&self, asking: Asking, is_guarded: bool) -> Peer {
        let going = asking.given.going(asking.url);
        let is_of_file = going.by_person && going.to.host() == going.given.host();
        let is_of_other = || going.to.host_str().is_some_and(|host| self.given_hosts.contains(host));
        Peer {
            gets_certificate: SecretKind::ClientCertificate.may_go(going),
            is_given_host: is_of_file || is_of_other(),
            is_guarded,
        }
    }

    /// Returns true if the permit has a login that the server has not accepted yet.
    pub(crate) fn is_trial(&self, asking: Asking, permit: &Permit) -> bool {
        permit.attempt.as_ref().is_some_and(|attempt| !self.logins.is_accepted(asking.url, &attempt.login))
    }

    /// Returns true if the permit has a login that the server refused so often that it is not sent again.
    pub(crate) fn is_refused(&self, asking: Asking, permit: &Permit) -> bool {
        permit.attempt.as_ref().is_some_and(|attempt| self.logins.is_refused(asking.url, &attempt.login))
    }

    /// Examines the response to a request that was sent with a permit, and returns the next step.
    pub(crate) fn after(&self, asking: Asking, sent: &Permit, status: u16, response: &HeaderMap) -> After {
        let Asking { url, .. } = asking;
        self.take_cookies(url, response);
        if status != 401 {
            if let Some(Attempt { login, how, .. }) = &sent.attempt {
                let info = response.get("authentication-info").map(HeaderValue::as_bytes);
                self.logins.accepted(url, login, how, info);
            }
            return After::Done;
        }
        if let Some(kind) = sent.authorized_by().filter(|_| sent.attempt.is_none()) {
            return After::Refused(match kind {
                SecretKind::Bearer => "the server did not accept the token of --bearer".into(),
                SecretKind::JobHeader => {
                    "the server did not accept the Authorization header that the list or the options give for \
                     this file"
                        .into()
                }
                kind => format!("the server did not accept the Authorization header of {}", kind.name()),
            });
        }
        let Some(Candidate { kind, from, login }) = self.candidate(asking) else {
            let is_named = asking.given.by == GivenBy::Document;
            return if is_named { After::Refused(credentials::NOT_GIVEN.into()) } else { After::Done };
        };
        let login = &*login;
        let not_accepted = || {
            self.logins.refused(url, login);
            After::Refused(format!("the server did not accept the user name and password from {from}"))
        };
        if self.logins.is_refused(url, login) {
            return not_accepted();
        }
        let values = response.get_all(header::WWW_AUTHENTICATE);
        let challenges = challenge::read(values.iter().map(HeaderValue::as_bytes));
        let strongest = challenge::strongest(&challenges, login, self.settings.schemes);
        let Some(chosen) = strongest else {
            // Some servers refuse a login without sending a challenge.
            return if sent.attempt.is_some() {
                not_accepted()
            } else {
                After::Refused(unmet(&challenges, self.settings.schemes))
            };
        };
        if sent.attempt.as_ref().is_some_and(|attempt| !attempt.may_be_followed_by(chosen)) {
            return not_accepted();
        }
        match self.logins.answer(chosen, url, login, asking.sent()).zip(self.permit(asking).ok()) {
            Some(((value, how), mut permit)) => {
                permit.authorize(kind, value);
                permit.attempt = Some(Attempt { login: login.clone(), how, was_asked: true });
                After::Again(Box::new(permit))
            }
            None => After::Done,
        }
    }

    /// Returns true if a redirect led to another origin, and the request may send a user name and a password
    /// from the netrc file to that origin. Only one such request is sent to a server at a time. Usually the
    /// password is needed only once, because the server then sends a cookie that is valid for all its files.
    pub(crate) fn logs_in_elsewhere(&self, asking: Asking) -> bool {
        let is_netrc = |candidate: &Candidate| candidate.kind == SecretKind::Netrc;
        !asking.given.going(asking.url).is_at_home() && self.candidate(asking).as_ref().is_some_and(is_netrc)
    }

    fn take_cookies(&self, url: &Url, response: &HeaderMap) {
        let mut headers =
            response.get_all(header::SET_COOKIE).iter().take(COOKIES_OF_RESPONSE_MOST).peekable();
        if headers.peek().is_some() {
            let mut jar = self.settings.cookies.jar();
            headers.for_each(|header| jar.set(header.as_bytes(), url, now()));
        }
    }

    /// Returns the login for a request. The login may be sent immediately, or after a challenge.
    fn candidate<'a>(&'a self, asking: Asking<'a>) -> Option<Candidate<'a>> {
        let Asking { given, url, .. } = asking;
        let going = given.going(url);
        let of_url = given.login.as_ref().ok().and_then(Option::as_ref);
        let of_url = of_url.filter(|_| SecretKind::Userinfo.may_go(going));
        // If a URL has only a user name, the netrc file may have the password.
        let named = of_url.filter(|_| given.lacks_password).map(|login| login.user.as_str());
        let of_netrc = || {
            let netrc = self.settings.netrc.as_ref().filter(|_| SecretKind::Netrc.may_go(going))?;
            let (login, from) = netrc.login(&url.host()?, named, going.by_person && going.is_at_home())?;
            Some(Candidate { kind: SecretKind::Netrc, from, login: Cow::Owned(login) })
        };
        if named.is_some()
            && let Some(candidate) = of_netrc()
        {
            return Some(candidate);
        }
        let option = self.settings.user.as_ref().filter(|_| SecretKind::UserOption.may_go(going));
        let (kind, login) = match (of_url, option) {
            (Some(login), _) => (SecretKind::Userinfo, login),
            (None, Some(login)) => (SecretKind::UserOption, login),
            (None, None) => {
                match self.settings.for_hosts.login(url).filter(|_| SecretKind::HostRule.may_go(going)) {
                    Some(login) => (SecretKind::HostRule, login),
                    None => return of_netrc(),
                }
            }
        };
        Some(Candidate { kind, from: kind.name().into(), login: Cow::Borrowed(login) })
    }

    /// Returns the login that is sent without a challenge, if there is one. This is a login that the server
    /// accepted before, or a login in a URL (as in curl). With `--auth basic`, any login for the origin of
    /// the given URL is sent without a challenge. With `--auth digest`, no login is sent with Basic.
    ///
    /// # Errors
    /// Returns why a login that must be sent with Basic cannot be sent. The request is not sent without this
    /// login, because the server might then send another file.
    fn at_once(&self, candidate: &Candidate, asking: Asking) -> Result<Option<(HeaderValue, How)>, Refused> {
        let ready = self.logins.ready(asking.url, &candidate.login, asking.sent());
        let is_basic = match self.settings.schemes {
            Schemes::Any => candidate.kind == SecretKind::Userinfo,
            Schemes::Basic => {
                candidate.kind == SecretKind::Userinfo || asking.given.going(asking.url).is_at_home()
            }
            Schemes::Digest => false,
        };
        if ready.is_some() || !is_basic {
            return Ok(ready);
        }
        let value = credentials::basic(&candidate.login).ok_or(credentials::NO_BASIC)?;
        Ok(Some((value, How::Basic(None))))
    }
}

/// Returns a text for the user that says why these challenges cannot be answered with the login.
fn unmet(challenges: &[Challenge], allowed: Schemes) -> String {
    let schemes = challenge::schemes(challenges);
    match schemes.is_empty() {
        true => "the server does not say how to log in".into(),
        false if allowed == Schemes::Digest => {
            format!("the server accepts only {}, and --auth digest allows only Digest", schemes.join(" or "))
        }
        false => {
            format!("the server accepts only {}, for which this login cannot be used", schemes.join(" or "))
        }
    }
}

/// Returns the current time in seconds since 1970. Cookies that expired before this time are not sent.
fn now() -> Time {
    clock::wall().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Returns true if a URL has the host that the user named, as `HOST` (with the usual port) or `HOST:PORT`.
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

    #[test]
    fn a_permit_and_a_request_show_no_secret() {
        let url = Url::parse("https://me:hush@h/f?token=hush").expect("a URL");
        let mut settings = Settings::default();
        settings.headers = [("X-Key", "hush"), ("Proxy-Authorization", "Basic hush")].into_iter().collect();
        let given = Given::new(&url, GivenBy::User);
        let asking = Asking { given: &given, url: &given.url, method: "GET", headers: None, sends: None };
        let permit = Store::new(Arc::new(settings)).permit(asking).expect("a permit");
        assert_eq!(format!("{permit:?}"), r#"["authorization (the URL)", "x-key (-H)"]"#);
        let mut headers = HeaderMap::new();
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
