//! Remembers where each login was accepted or refused over one network, and how it was sent. A login is a
//! user name with its password.
//!
//! Invariant: [`Logins::ready`] returns a login only for a protection space that accepted the same login
//! before. A nonce of such a space is never used twice with the same count. The store
//! ([`Store`](super::Store)) sends a login without a challenge in two more cases: if the login is in a URL
//! (but not with `--auth digest`), and, with `--auth basic`, if the request goes to the origin of the given
//! URL.

use super::hash::hash;
use downhaul_core::credentials::challenge::{self, Challenge};
use downhaul_core::credentials::digest::{Authorized, DigestChallenge};
use downhaul_core::credentials::{self, space};
use downhaul_core::secret::Login;
use http::HeaderValue;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use url::Url;

/// The highest number of protection spaces that are remembered. It is also the highest number of remembered
/// refusals, and of remembered nonces that belong to no space. If a space is no longer remembered, the next
/// request to it is sent twice: the first response has only the challenge.
const SPACES_MOST: usize = 256;

/// If an origin refused a login this many times in a row, the login is not sent to this origin again. Many
/// servers lock an account after five or ten wrong passwords.
const REFUSALS_MOST: u32 = 3;

/// The parts of a request that Digest protects, in addition to the request target.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'a> {
    pub(crate) method: &'a str,
    pub(crate) body: &'a [u8],
}

/// The way in which a login was sent.
#[derive(Clone)]
pub(super) enum How {
    /// The login was sent with Basic. The realm is known if the server sent a challenge.
    Basic(Option<String>),
    /// The login was sent with Digest, as an answer to this challenge.
    Digest(Nonce),
    /// The login was sent with Digest and this nonce, without a challenge, in a known protection space.
    DigestAgain(String),
}

/// A challenge of Digest, and the values that are used with its nonce.
#[derive(Clone)]
pub(crate) struct Nonce {
    challenge: DigestChallenge,
    cnonce: String,
    /// The number of times that the nonce was used.
    count: u32,
}

/// A protection space of an origin. The login was accepted for a path in it.
struct Space {
    origin: String,
    /// The beginnings of the paths in the space.
    paths: Vec<String>,
    login: Login,
    scheme: Scheme,
}

enum Scheme {
    Basic(Option<String>),
    Digest(Nonce),
}

impl Space {
    /// Returns the nonce of the space, if its text is `nonce`.
    fn nonce(&mut self, nonce: &str) -> Option<&mut Nonce> {
        match &mut self.scheme {
            Scheme::Digest(own) if own.challenge.nonce == nonce => Some(own),
            _ => None,
        }
    }

    fn take_next_nonce(&mut self, info: Option<&[u8]>) {
        if let Scheme::Digest(nonce) = &mut self.scheme {
            nonce.take_next(info);
        }
    }
}

struct Refusals {
    origin: String,
    login: Login,
    count: u32,
}

#[derive(Default)]
struct State {
    /// The newest space is at the end.
    spaces: VecDeque<Space>,
    refusals: VecDeque<Refusals>,
    /// The nonces that belong to no space yet. Each entry has the origin, the nonce, and the number of times
    /// that the nonce was used. Several requests may get the same nonce at the same time.
    fresh: VecDeque<(String, String, u32)>,
}

impl State {
    /// Returns the count of a nonce that belongs to no space yet, if the nonce was used.
    fn fresh_count(&mut self, origin: &str, nonce: &str) -> Option<&mut u32> {
        let mut fresh = self.fresh.iter_mut();
        fresh.find(|one| one.0 == origin && one.1 == nonce).map(|(.., count)| count)
    }
}

/// The places where logins were accepted and refused over one network.
#[derive(Default)]
pub(super) struct Logins {
    state: Mutex<State>,
    random: RandomState,
}

impl Logins {
    /// Returns the value of `Authorization` that is sent without a challenge, if this path is in a protection
    /// space that accepted the login before.
    pub(super) fn ready(&self, url: &Url, login: &Login, request: Sent) -> Option<(HeaderValue, How)> {
        let origin = url.origin().ascii_serialization();
        let mut state = self.state();
        let is_it = |space: &&mut Space| {
            space.origin == origin
                && space.login == *login
                && space.paths.iter().any(|path| url.path().starts_with(path.as_str()))
        };
        match &mut state.spaces.iter_mut().rev().find(is_it)?.scheme {
            Scheme::Basic(realm) => Some((credentials::basic(login)?, How::Basic(realm.clone()))),
            Scheme::Digest(nonce) => {
                let value = nonce.answer(space::target(url), login, request)?;
                Some((value, How::DigestAgain(nonce.challenge.nonce.clone())))
            }
        }
    }

    /// Returns the value of `Authorization` that answers a challenge, or `None` if the challenge cannot be
    /// answered.
    pub(super) fn answer(
        &self,
        challenge: &Challenge,
        url: &Url,
        login: &Login,
        request: Sent,
    ) -> Option<(HeaderValue, How)> {
        match challenge {
            Challenge::Basic(realm) => Some((credentials::basic(login)?, How::Basic(Some(realm.clone())))),
            Challenge::Digest(digest) => {
                let mut nonce = Nonce::new(digest.clone(), &self.random);
                let origin = url.origin().ascii_serialization();
                let mut state = self.state();
                let mut spaces = state.spaces.iter_mut().filter(|space| space.origin == origin);
                if let Some(own) = spaces.find_map(|space| space.nonce(&digest.nonce)) {
                    (nonce.cnonce, nonce.count) = (own.cnonce.clone(), own.count);
                    own.count = own.count.saturating_add(1);
                } else if let Some(count) = state.fresh_count(&origin, &digest.nonce) {
                    nonce.count = *count;
                    *count = count.saturating_add(1);
                } else {
                    if state.fresh.len() >= SPACES_MOST {
                        state.fresh.pop_front();
                    }
                    state.fresh.push_back((origin, digest.nonce.clone(), 1));
                }
                let value = nonce.answer(space::target(url), login, request)?;
                Some((value, How::Digest(nonce)))
            }
            Challenge::Bearer | Challenge::Other(_) => None,
        }
    }

    /// Remembers that a login was accepted. `how` is the way in which it was sent, and `info` is the
    /// `Authentication-Info` of the response.
    pub(super) fn accepted(&self, url: &Url, login: &Login, how: &How, info: Option<&[u8]>) {
        let origin = url.origin().ascii_serialization();
        let mut state = self.state();
        state.refusals.retain(|one| one.origin != origin || one.login != *login);
        // Other requests may have used the same nonce since this request was sent.
        let fresh = match how {
            How::Digest(nonce) => state.fresh_count(&origin, &nonce.challenge.nonce).copied(),
            How::Basic(_) | How::DigestAgain(_) => None,
        };
        let is_it = |space: &&mut Space| space.origin == origin && space.login == *login;
        let mut known = state.spaces.iter_mut().rev().filter(is_it);
        let (paths, scheme) = match how {
            How::Basic(realm) => {
                // All paths of an origin with the same realm are one space (RFC 7617, section 2.2).
                let same = known.find(|one| matches!(&one.scheme, Scheme::Basic(other) if other == realm));
                if let Some(path) = same.and_then(|space| space.paths.first_mut()) {
                    if !url.path().starts_with(path.as_str()) {
                        *path = space::common_folder(path, url.path()).into();
                    }
                    return;
                }
                (vec![space::folder(url.path()).into()], Scheme::Basic(realm.clone()))
            }
            How::Digest(nonce) => {
                let paths = space::of_domain(&nonce.challenge.domain, url);
                let mut nonce = nonce.clone();
                if let Some(count) = fresh {
                    nonce.count = nonce.count.max(count);
                }
                if let Some(space) = known.find(|one| one.paths == paths) {
                    // If the space already has this nonce, the count of the nonce continues.
                    if space.nonce(&nonce.challenge.nonce).is_none() {
                        space.scheme = Scheme::Digest(nonce.clone());
                    }
                    return space.take_next_nonce(info);
                }
                (paths, Scheme::Digest(nonce))
            }
            How::DigestAgain(used) => {
                // If another response has brought a new nonce since this request was sent, the new nonce is
                // kept.
                if let Some(nonce) = known.find_map(|space| space.nonce(used)) {
                    nonce.take_next(info);
                }
                return;
            }
        };
        drop(known);
        if state.spaces.len() >= SPACES_MOST {
            state.spaces.pop_front();
        }
        let mut space = Space { origin, paths, login: login.clone(), scheme };
        space.take_next_nonce(info);
        state.spaces.push_back(space);
    }

    /// Counts a refusal of the login by the origin of the URL.
    pub(super) fn refused(&self, url: &Url, login: &Login) {
        let origin = url.origin().ascii_serialization();
        let mut state = self.state();
        match state.refusals.iter_mut().find(|one| one.origin == origin && one.login == *login) {
            Some(refusals) => refusals.count += 1,
            None => {
                if state.refusals.len() >= SPACES_MOST {
                    state.refusals.pop_front();
                }
                state.refusals.push_back(Refusals { origin, login: login.clone(), count: 1 });
            }
        }
    }

    /// Returns true if it is remembered that the origin of the URL accepted the login for any of its paths.
    pub(super) fn is_accepted(&self, url: &Url, login: &Login) -> bool {
        let origin = url.origin().ascii_serialization();
        self.state().spaces.iter().any(|space| space.origin == origin && space.login == *login)
    }

    /// Returns true if the origin of the URL refused the login so often that it is not sent there again.
    pub(super) fn is_refused(&self, url: &Url, login: &Login) -> bool {
        let origin = url.origin().ascii_serialization();
        let refusals = &self.state().refusals;
        refusals.iter().any(|one| one.origin == origin && one.login == *login && one.count >= REFUSALS_MOST)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nonce {
    /// Returns the nonce of a challenge, with a count of 0.
    pub(crate) fn new(challenge: DigestChallenge, random: &RandomState) -> Nonce {
        Nonce { cnonce: cnonce(random, &challenge.nonce), challenge, count: 0 }
    }

    /// Counts one more use of the nonce. Returns the value of `Authorization` or `Proxy-Authorization` for a
    /// request with this target.
    pub(crate) fn answer(&mut self, target: &str, login: &Login, request: Sent) -> Option<HeaderValue> {
        self.count = self.count.saturating_add(1);
        let Sent { method, body } = request;
        let (count, cnonce) = (self.count, &self.cnonce);
        self.challenge.answer(login, Authorized { method, body, target, count, cnonce }, &hash)
    }

    /// Returns true if the server sent the same nonce in the challenges of `self` and `other`.
    pub(crate) fn is_same(&self, other: &Nonce) -> bool {
        self.challenge.nonce == other.challenge.nonce
    }

    /// Replaces the nonce by the nonce that `Authentication-Info` (`info`) names for the next request (RFC
    /// 7616, section 3.5). If it names no nonce or the same nonce, nothing changes, and the count continues.
    fn take_next(&mut self, info: Option<&[u8]>) {
        let parameters = info.map(challenge::parameters).unwrap_or_default();
        if let Some((_, next)) = parameters.into_iter().find(|(name, _)| name == "nextnonce")
            && next != self.challenge.nonce
        {
            self.challenge.nonce = next;
            self.count = 0;
        }
    }
}

/// Returns random text that the server cannot predict (RFC 7616, section 5.12). The text is made from the
/// seeds of hash tables in the standard library, which have 128 random bits.
fn cnonce(random: &RandomState, nonce: &str) -> String {
    format!("{:016x}{:016x}", random.hash_one(nonce), RandomState::new().hash_one(nonce))
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_core::secret::Secret;

    const DIGEST: &str = "Digest realm=r, nonce=first, qop=auth, domain=";

    fn login() -> Login {
        Login { user: "me".into(), password: Secret::new("hush") }
    }

    fn url(path: &str) -> Url {
        Url::parse("http://h.example").and_then(|base| base.join(path)).expect("a URL")
    }

    /// Answers a challenge for a folder, and reports that the server accepted the answer.
    fn log_in(logins: &Logins, folder: &str) {
        let challenges = challenge::read([format!("{DIGEST}{folder}").as_bytes()]);
        let sent = Sent { method: "GET", body: &[] };
        let (_, how) = logins.answer(&challenges[0], &url(folder), &login(), sent).expect("an answer");
        logins.accepted(&url(folder), &login(), &how, None);
    }

    /// Returns the nonce and the count of the next request, and how its login is sent.
    fn ready(logins: &Logins, path: &str) -> (String, How) {
        let sent = Sent { method: "GET", body: &[] };
        let (value, how) = logins.ready(&url(path), &login(), sent).expect("a known space");
        let of = |name: &str| {
            let parameters = challenge::parameters(
                value.as_bytes().trim_ascii_start().strip_prefix(b"Digest ").expect("Digest"),
            );
            parameters.into_iter().find(|(one, _)| one == name).map(|(_, value)| value).unwrap_or_default()
        };
        (format!("{} {}", of("nonce"), of("nc").trim_start_matches('0')), how)
    }

    fn accept(logins: &Logins, path: &str, how: &How, next: &str) {
        logins.accepted(&url(path), &login(), how, Some(format!("nextnonce=\"{next}\"").as_bytes()));
    }

    #[test]
    fn no_nonce_is_used_twice_with_the_same_count() {
        let logins = Logins::default();
        log_in(&logins, "/a/");
        let (first, how) = ready(&logins, "/a/f");
        let (second, late) = ready(&logins, "/a/g");
        assert_eq!((first.as_str(), second.as_str()), ("first 2", "first 3"));
        accept(&logins, "/a/f", &how, "first");
        let (third, how) = ready(&logins, "/a/f");
        assert_eq!(third, "first 4", "the server keeps the nonce");
        accept(&logins, "/a/f", &how, "next");
        assert_eq!(ready(&logins, "/a/f").0, "next 1");
        // This response to a request with the first nonce comes late.
        accept(&logins, "/a/g", &late, "next");
        assert_eq!(ready(&logins, "/a/f").0, "next 2");
        // The same challenge arrives once more, as the answer to a request that was sent at the same time.
        let logins = Logins::default();
        log_in(&logins, "/a/");
        assert_eq!(ready(&logins, "/a/f").0, "first 2");
        log_in(&logins, "/a/");
        assert_eq!(ready(&logins, "/a/f").0, "first 4", "the answer had the count 3");
    }

    #[test]
    fn requests_that_get_the_same_new_nonce_at_the_same_time_use_different_counts() {
        let logins = Logins::default();
        let challenges = challenge::read([format!("{DIGEST}/a/").as_bytes()]);
        let sent = Sent { method: "GET", body: &[] };
        let answer = |path: &str| {
            let (value, how) = logins.answer(&challenges[0], &url(path), &login(), sent).expect("an answer");
            let value = value.to_str().expect("ASCII").to_string();
            (value.split("nc=").nth(1).map(|rest| rest[..8].to_string()).expect("a count"), how)
        };
        let (first, how) = answer("/a/f");
        let (second, late) = answer("/a/g");
        assert_eq!((first.as_str(), second.as_str()), ("00000001", "00000002"));
        logins.accepted(&url("/a/f"), &login(), &how, None);
        assert_eq!(ready(&logins, "/a/f").0, "first 3");
        logins.accepted(&url("/a/g"), &login(), &late, None);
        assert_eq!(ready(&logins, "/a/f").0, "first 4");
    }

    #[test]
    fn the_next_nonce_is_for_the_space_that_was_used() {
        let logins = Logins::default();
        log_in(&logins, "/a/");
        let (_, how) = ready(&logins, "/a/f");
        accept(&logins, "/a/f", &how, "of a");
        log_in(&logins, "/b/");
        let (_, how) = ready(&logins, "/b/f");
        accept(&logins, "/b/f", &how, "of b");
        assert_eq!((ready(&logins, "/a/f").0, ready(&logins, "/b/f").0), ("of a 1".into(), "of b 1".into()));
    }
}
