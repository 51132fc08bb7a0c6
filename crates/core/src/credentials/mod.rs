//! Decides which secret may be sent where. The `credentials` module of the engine keeps the secrets. It calls
//! this module before it adds a secret to a request.
//!
//! Invariant: [`SecretKind`] lists every kind of secret, and [`SecretKind::may_go`] has one rule for each
//! kind. If a kind is added without a rule, the code does not compile.

pub mod challenge;
pub mod cookies;
pub mod digest;
mod login;
pub mod netrc;
mod octets;
pub mod space;

pub use login::{NO_BASIC, Refused, basic, bearer, hidden, login_of, without_userinfo};

use std::fmt;
use url::Url;

/// A mistake in a netrc file or a cookie file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mistake {
    /// The number of the line, from 1.
    pub line: usize,
    /// A description of the mistake. It contains no text of the line.
    pub why: &'static str,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

macro_rules! kinds {
    ($($variant:ident $name:literal $meaning:literal;)*) => {
        /// A kind of secret that a request can carry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SecretKind { $(#[doc = $meaning] $variant,)* }

        impl SecretKind {
            /// Every kind of secret.
            pub const ALL: &'static [SecretKind] = &[$(SecretKind::$variant,)*];

            /// Returns the name of the kind for the user. The name says where the secret comes from.
            pub fn name(self) -> &'static str { match self { $(SecretKind::$variant => $name,)* } }
        }
    };
}

/// The reason why no login is sent to a server that only a document or `--checksum-file` names.
pub const NOT_GIVEN: &str = "no URL of a file on this server was given";

kinds! {
    Userinfo         "the URL"                "A user name and a password in a URL.";
    UserOption       "--user"                 "The user name and the password in the settings.";
    Netrc            "the netrc file"         "A user name and a password in a netrc file.";
    Bearer           "--bearer"               "The bearer token in the settings.";
    Header           "-H"                     "A header in the settings.";
    JobHeader        "the headers of the job" "A header of one job.";
    Body             "--data"                 "The body of a request.";
    HeaderFor        "--header-for"           "A header for one host. A URL of the user, a redirect or a document may lead to this host.";
    HostRule         "the configuration"      "A header or a login in the settings that is for some hosts only.";
    CookieGiven      "--cookie"               "A cookie in the settings. It has no domain.";
    CookieOfServer   "a cookie of the server" "A cookie that a server set during the run.";
    CookieFile       "the cookie file"        "A cookie from a cookie file.";
    ProxyLogin       "the proxy's login"      "The user name and the password for a proxy.";
    ClientCertificate "--cert"                "The client certificate.";
    QueryToken       "the query of the URL"   "A value in the query of a URL, such as a signature.";
}

/// The properties of a request that decide which secrets it may carry.
#[derive(Debug, Clone, Copy)]
pub struct Going<'a> {
    /// The URL of the request.
    pub to: &'a Url,
    /// The URL of the file before any redirect. The user, a document or a server gave it. Redirects may lead
    /// from this URL to `to`.
    pub given: &'a Url,
    /// True if the user gave the URL of the file, or another URL of the same origin. Otherwise only a
    /// document or a server named the URL of the file.
    pub by_person: bool,
    /// True if the URL of the file is one of the URLs of the job. It is false if a server offered the URL,
    /// for example as a mirror.
    pub is_of_job: bool,
}

impl Going<'_> {
    /// Returns true if the request goes to the origin (scheme, host and port) of the URL in `given`.
    pub fn is_at_home(&self) -> bool {
        // Most requests are sent to the URL in `given` itself. A comparison of URLs takes far less time than
        // a comparison of origins.
        self.to == self.given || self.to.origin() == self.given.origin()
    }
}

impl SecretKind {
    /// Returns true if a secret of this kind may be sent with this request. The secret may have limits of its
    /// own, such as the domain of a cookie. The caller must check these limits too.
    pub fn may_go(self, going: Going) -> bool {
        match self {
            // These secrets are parts of the URL in `going.given`.
            SecretKind::Userinfo | SecretKind::QueryToken => going.is_at_home(),
            SecretKind::UserOption
            | SecretKind::Bearer
            | SecretKind::Header
            | SecretKind::Body
            | SecretKind::CookieGiven
            | SecretKind::ClientCertificate => going.by_person && going.is_at_home(),
            // The author of the job wrote the URL and the header together.
            SecretKind::JobHeader => going.is_of_job && going.is_at_home(),
            // The user named the host, so a document or a redirect may lead to it. The pattern of the rule
            // decides if http is allowed.
            SecretKind::HostRule => going.is_of_job,
            // The user named the host for these secrets too. Without TLS, the secret is sent only if the URL
            // that the user gave has no TLS either.
            SecretKind::HeaderFor | SecretKind::Netrc => match going.to.scheme() {
                "https" => going.is_of_job,
                _ => going.by_person && going.given.scheme() == "http",
            },
            // A cookie file may hold all cookies of a browser, so a document must not decide where these
            // cookies are sent.
            SecretKind::CookieFile => going.by_person,
            SecretKind::CookieOfServer => true,
            // This login is for the proxy only.
            SecretKind::ProxyLogin => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests whose URLs differ from the URL in `given` in different ways. Each row has the URL of the
    /// request, and true if the user gave the URL of the file. In the last row, a server offered the URL.
    const WAYS: [(&str, bool); 8] = [
        ("https://h.example/other?q", true),
        ("http://h.example/f", true),
        ("https://h.example:8443/f", true),
        ("https://sub.h.example/f", true),
        ("https://else.example/f", true),
        ("http://else.example/f", true),
        ("https://h.example/f", false),
        ("https://h.example/f", false),
    ];

    #[test]
    fn every_kind_of_secret_has_a_row_that_says_where_it_goes() {
        let given = Url::parse("https://h.example/f").expect("a URL");
        for &kind in SecretKind::ALL {
            let row = match kind {
                SecretKind::Userinfo | SecretKind::QueryToken => {
                    [true, false, false, false, false, false, true, true]
                }
                SecretKind::UserOption
                | SecretKind::Bearer
                | SecretKind::Header
                | SecretKind::Body
                | SecretKind::CookieGiven
                | SecretKind::ClientCertificate => [true, false, false, false, false, false, false, false],
                SecretKind::JobHeader => [true, false, false, false, false, false, true, false],
                SecretKind::HostRule => [true, true, true, true, true, true, true, false],
                SecretKind::CookieFile => [true, true, true, true, true, true, false, false],
                SecretKind::HeaderFor | SecretKind::Netrc => {
                    [true, false, true, true, true, false, true, false]
                }
                SecretKind::CookieOfServer => [true; 8],
                SecretKind::ProxyLogin => [false; 8],
            };
            let went = WAYS.iter().enumerate().map(|(n, &(to, by_person))| {
                let to = Url::parse(to).expect("a URL");
                kind.may_go(Going { to: &to, given: &given, by_person, is_of_job: n + 1 < WAYS.len() })
            });
            assert_eq!(went.collect::<Vec<_>>(), row, "{kind:?}");
        }
    }

    #[test]
    fn without_tls_a_document_does_not_lead_to_a_login() {
        let url = Url::parse("http://h.example/f").expect("a URL");
        let mut going = Going { to: &url, given: &url, by_person: true, is_of_job: true };
        assert!(SecretKind::Netrc.may_go(going) && SecretKind::HeaderFor.may_go(going));
        going.by_person = false;
        assert!(!SecretKind::Netrc.may_go(going) && !SecretKind::HeaderFor.may_go(going));
        assert!(SecretKind::HostRule.may_go(going), "the pattern of the rule has http");
    }

    #[test]
    fn origins_compare_as_browsers_compare_them() {
        let at_home = |to: &str, given: &str| {
            let (to, given) = (Url::parse(to).expect("a URL"), Url::parse(given).expect("a URL"));
            Going { to: &to, given: &given, by_person: true, is_of_job: true }.is_at_home()
        };
        assert!(at_home("https://H.Example:443/a", "https://h.example/b"));
        assert!(at_home("http://[::1]:80/a", "http://[0:0:0:0:0:0:0:1]/b"));
        assert!(at_home("http://b\u{fc}cher.example/", "http://xn--bcher-kva.example/"));
        // A name with a dot at the end is another name for resolvers, so the URL has another origin.
        assert!(!at_home("https://h.example./a", "https://h.example/a"));
        assert!(!at_home("http://127.0.0.1/", "http://localhost/"));
    }
}
