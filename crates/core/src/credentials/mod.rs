//! Which secret may be sent where. The engine keeps the secrets (its `credentials` module) and asks here
//! before it puts one on a request.
//!
//! Invariant: [`SecretKind`] lists every kind of secret, and [`SecretKind::may_go`] has one rule for each. A
//! kind that is added without a rule does not compile.

pub mod challenge;
pub mod digest;
mod login;
pub mod netrc;
pub mod space;

pub use login::{Refused, basic, bearer, login_of, without_userinfo};

use url::Url;

macro_rules! kinds {
    ($($variant:ident $name:literal $meaning:literal;)*) => {
        /// A kind of secret that a request can carry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SecretKind { $(#[doc = $meaning] $variant,)* }

        impl SecretKind {
            /// Every kind. A table of tests has a row for each.
            pub const ALL: &'static [SecretKind] = &[$(SecretKind::$variant,)*];

            /// Returns the name, for people: where the secret comes from.
            pub fn name(self) -> &'static str { match self { $(SecretKind::$variant => $name,)* } }
        }
    };
}

kinds! {
    Userinfo         "the URL"                "A user name and a password in a URL.";
    UserOption       "--user"                 "The user name and the password of the settings.";
    Netrc            "the netrc file"         "A user name and a password of a netrc file.";
    Bearer           "--bearer"               "The bearer token of the settings.";
    Header           "-H"                     "A header of the settings.";
    JobHeader        "the headers of the job" "A header of one job.";
    HeaderFor        "--header-for"           "A header for a host that redirects lead to.";
    HostRule         "the configuration"      "A header of the settings for some hosts.";
    CookieGiven      "--cookie"               "A cookie of the settings without a domain.";
    CookieOfServer   "a cookie of the server" "A cookie that a server set during the run.";
    CookieFile       "the cookie file"        "A cookie of a file.";
    ProxyLogin       "the proxy's login"      "The user name and the password for a proxy.";
    ClientCertificate "--cert"                "The client certificate.";
    QueryToken       "the query of the URL"   "A value in the query of a URL, such as a signature.";
}

/// A request, as far as it matters for secrets.
#[derive(Debug, Clone, Copy)]
pub struct Going<'a> {
    /// Where the request goes.
    pub to: &'a Url,
    /// The URL of the file as it was given. Redirects lead from there to `to`.
    pub given: &'a Url,
    /// The person gave that URL. Otherwise a document or a server named it.
    pub by_person: bool,
}

impl Going<'_> {
    /// Returns true if the request stays at the origin (scheme, host and port) of the given URL.
    pub fn is_at_home(&self) -> bool {
        self.to.origin() == self.given.origin()
    }
}

impl SecretKind {
    /// Returns true if a secret of this kind may go with a request to a server. What the secret itself says
    /// of its host, such as the domain of a cookie, must hold too.
    pub fn may_go(self, going: Going) -> bool {
        match self {
            // They are parts of the URL itself.
            SecretKind::Userinfo | SecretKind::QueryToken => going.is_at_home(),
            SecretKind::UserOption
            | SecretKind::Bearer
            | SecretKind::Header
            | SecretKind::JobHeader
            | SecretKind::CookieGiven
            | SecretKind::ClientCertificate => going.by_person && going.is_at_home(),
            // The person named the host.
            SecretKind::HeaderFor | SecretKind::HostRule => going.by_person,
            // A redirect from https must not lead a password into the open.
            SecretKind::Netrc => {
                going.by_person
                    && (going.is_at_home() || going.to.scheme() == "https" || going.given.scheme() == "http")
            }
            // The cookies of a file can be those of a browser, so a document must not choose where they are
            // used.
            SecretKind::CookieFile => going.by_person,
            SecretKind::CookieOfServer => true,
            // It is for the proxy alone.
            SecretKind::ProxyLogin => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ways of leaving the given URL: where the request goes, and if the person gave the URL.
    const WAYS: [(&str, bool); 7] = [
        ("https://h.example/other?q", true),
        ("http://h.example/f", true),
        ("https://h.example:8443/f", true),
        ("https://sub.h.example/f", true),
        ("https://else.example/f", true),
        ("http://else.example/f", true),
        ("https://h.example/f", false),
    ];

    #[test]
    fn every_kind_of_secret_has_a_row_that_says_where_it_goes() {
        let given = Url::parse("https://h.example/f").expect("a URL");
        for &kind in SecretKind::ALL {
            let row = match kind {
                SecretKind::Userinfo | SecretKind::QueryToken => {
                    [true, false, false, false, false, false, true]
                }
                SecretKind::UserOption
                | SecretKind::Bearer
                | SecretKind::Header
                | SecretKind::JobHeader
                | SecretKind::CookieGiven
                | SecretKind::ClientCertificate => [true, false, false, false, false, false, false],
                SecretKind::HeaderFor | SecretKind::HostRule | SecretKind::CookieFile => {
                    [true, true, true, true, true, true, false]
                }
                SecretKind::Netrc => [true, false, true, true, true, false, false],
                SecretKind::CookieOfServer => [true; 7],
                SecretKind::ProxyLogin => [false; 7],
            };
            let went = WAYS.map(|(to, by_person)| {
                let to = Url::parse(to).expect("a URL");
                kind.may_go(Going { to: &to, given: &given, by_person })
            });
            assert_eq!(went, row, "{kind:?}");
        }
    }

    #[test]
    fn origins_compare_as_browsers_compare_them() {
        let at_home = |to: &str, given: &str| {
            let (to, given) = (Url::parse(to).expect("a URL"), Url::parse(given).expect("a URL"));
            Going { to: &to, given: &given, by_person: true }.is_at_home()
        };
        assert!(at_home("https://H.Example:443/a", "https://h.example/b"));
        assert!(at_home("http://[::1]:80/a", "http://[0:0:0:0:0:0:0:1]/b"));
        assert!(at_home("http://b\u{fc}cher.example/", "http://xn--bcher-kva.example/"));
        // A trailing dot is another name for resolvers, and so another origin.
        assert!(!at_home("https://h.example./a", "https://h.example/a"));
        assert!(!at_home("http://127.0.0.1/", "http://localhost/"));
    }
}
