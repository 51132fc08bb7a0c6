//! Holds the URL of a file as it was given, and the facts about a request that decide which secrets it may
//! carry.

use super::Sent;
use crate::source::GivenBy;
use downhaul_core::credentials::{self, Going, Refused, SecretKind};
use downhaul_core::job::{Headers, Sends};
use downhaul_core::secret::Login;
use url::Url;

/// The URL of a file as it was given, and the login in its userinfo.
#[derive(Clone)]
pub(crate) struct Given {
    /// The URL without its userinfo.
    pub(crate) url: Url,
    pub(super) by: GivenBy,
    /// The user name and the password in the userinfo, or why they cannot be used.
    pub(super) login: Result<Option<Login>, Refused>,
    /// True if the URL has no password.
    pub(super) lacks_password: bool,
}

/// A request, with the facts that decide which secrets it may carry.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// The URL of the file.
    pub(crate) given: &'a Given,
    /// The URL of this request. It is the given URL, or a URL to which this or an earlier request was
    /// redirected.
    pub(crate) url: &'a Url,
    pub(crate) method: &'a str,
    /// The headers of the job.
    pub(crate) headers: Option<&'a Headers>,
    /// The request of the job, if it is not a plain GET.
    pub(crate) sends: Option<&'a Sends>,
}

impl<'a> Asking<'a> {
    /// Returns the body of the request, if it may be sent to this URL.
    pub(super) fn body(self) -> Option<&'a [u8]> {
        let may_go = SecretKind::Body.may_go(self.given.going(self.url));
        self.sends.filter(|_| may_go).and_then(Sends::body).map(|body| body.expose())
    }

    pub(super) fn sent(self) -> Sent<'a> {
        Sent { method: self.method, body: self.body().unwrap_or_default() }
    }
}

impl Given {
    /// Separates a URL from its userinfo, and keeps the userinfo as a login.
    pub(crate) fn new(url: &Url, by: GivenBy) -> Given {
        let lacks_password = url.password().is_none();
        let login = credentials::login_of(url);
        Given { url: credentials::without_userinfo(url), by, login, lacks_password }
    }

    /// Returns true if a server named the URL, or if a document named it and the user gave no URL of the same
    /// origin.
    pub(crate) fn is_named_by_others(&self) -> bool {
        self.by != GivenBy::User
    }

    /// Returns these facts for a file that is at another URL. The origin of `url` may then receive the
    /// secrets for the given URL.
    pub(crate) fn at(&self, url: Url) -> Given {
        Given { url, ..self.clone() }
    }

    pub(super) fn going<'a>(&'a self, to: &'a Url) -> Going<'a> {
        Going {
            to,
            given: &self.url,
            by_person: self.by == GivenBy::User,
            is_of_job: self.by != GivenBy::Server,
        }
    }
}
