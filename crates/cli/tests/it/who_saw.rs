//! Who saw which secret: every kind of secret with every way on which a request leaves the given URL, and
//! what the servers recorded.
//!
//! A new kind of secret without a row does not compile.

use crate::common::{Place, finish};
use downhaul_engine::core::credentials::SecretKind;
use downhaul_testkit::server::tls::{Authority, Flaw};
use downhaul_testkit::server::{Request, Server};
use std::fs;
use std::path::Path;

/// A way on which a request leaves the given URL, for another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A redirect to another port of the same host.
    Port,
    /// A redirect to another host.
    Host,
    /// A redirect to https.
    Scheme,
    /// A list that was fetched names the URL.
    List,
    /// A Metalink document names the URL.
    Metalink,
    /// The checksum list of the run is there.
    Checksums,
    /// Another file of the same run is there, and its URL was given as well.
    SecondFile,
}

const WAYS: [Way; 7] =
    [Way::Port, Way::Host, Way::Scheme, Way::List, Way::Metalink, Way::Checksums, Way::SecondFile];

/// What is known of a kind of secret.
enum Row {
    /// Which other server must see it, in the order of [`WAYS`].
    Seen([bool; 7]),
    /// Another test has the servers for it. It is in this file of the repository.
    Elsewhere(&'static str, &'static str),
}

fn row(kind: SecretKind) -> Row {
    match kind {
        SecretKind::Userinfo | SecretKind::QueryToken => Row::Seen([false; 7]),
        SecretKind::UserOption | SecretKind::Bearer | SecretKind::Header | SecretKind::CookieGiven => {
            // The second file was given as well.
            Row::Seen([false, false, false, false, false, false, true])
        }
        // It is for the other port.
        SecretKind::HeaderFor => Row::Seen([true, false, false, false, false, false, true]),
        // They are for a host, and hosts have no ports here.
        SecretKind::Netrc | SecretKind::CookieFile => {
            Row::Seen([true, false, true, false, false, false, true])
        }
        // The server at this host set it with the first file. (Of a document, there is no first file.)
        SecretKind::CookieOfServer => Row::Seen([true, false, true, false, false, true, true]),
        SecretKind::JobHeader => Row::Seen([false; 7]),
        SecretKind::Body => Row::Elsewhere("crates/cli/tests/it/requests.rs", "a_body_stays_at_its_origin"),
        SecretKind::HostRule => Row::Elsewhere(
            "crates/cli/tests/it/config.rs",
            "headers_of_a_section_go_to_its_host_and_to_no_other",
        ),
        SecretKind::ProxyLogin => Row::Elsewhere(
            "crates/cli/tests/it/proxies.rs",
            "the_request_that_opens_a_tunnel_has_no_headers_for_the_server",
        ),
        SecretKind::ClientCertificate => Row::Elsewhere(
            "crates/cli/tests/it/tls_options.rs",
            "a_client_certificate_is_shown_to_the_servers_of_given_urls_only",
        ),
    }
}

/// The servers of one case.
struct World {
    home: Server,
    /// Another port, which is also reached as another host.
    other: Server,
    secure: Server,
    authority: Authority,
    place: Place,
}

impl World {
    fn new() -> World {
        let authority = Authority::default();
        let secure = Server::start_tls(authority.config(Flaw::None));
        World { home: Server::start(), other: Server::start(), secure, authority, place: Place::new() }
    }

    /// Returns the options that give a secret of this kind, which all contain `hush`.
    fn options(&self, kind: SecretKind) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        match kind {
            SecretKind::UserOption => words(&["--user", "me:hush"]),
            SecretKind::Netrc => {
                let path = self.private("netrc", "machine 127.0.0.1 login me password hush\n");
                words(&["--netrc", &path])
            }
            SecretKind::Bearer => words(&["--bearer", "hush"]),
            SecretKind::Header => words(&["-H", "X-Secret: hush"]),
            SecretKind::HeaderFor => {
                words(&["--header-for", &format!("127.0.0.1:{}", self.other.port()), "X-Secret: hush"])
            }
            SecretKind::CookieGiven => words(&["--cookie", "a=hush"]),
            SecretKind::CookieFile => {
                let path = self.private("cookies", "127.0.0.1\tFALSE\t/\tFALSE\t0\ta\thush\n");
                words(&["--cookies", &path])
            }
            // They are in the URL or in a list, or come from the server.
            SecretKind::Userinfo
            | SecretKind::QueryToken
            | SecretKind::JobHeader
            | SecretKind::CookieOfServer => Vec::new(),
            SecretKind::Body
            | SecretKind::HostRule
            | SecretKind::ProxyLogin
            | SecretKind::ClientCertificate => unreachable!("other tests have them"),
        }
    }

    fn private(&self, name: &str, text: &str) -> String {
        let path = self.place.state().join(name);
        fs::write(&path, text).expect("writes");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        }
        path.to_str().expect("UTF-8").into()
    }

    /// Returns a URL of the first server with the secrets that are in a URL.
    fn home(&self, kind: SecretKind, path: &str) -> String {
        let url = self.home.url(path);
        match kind {
            SecretKind::Userinfo => url.replace("://", "://me:hush@"),
            SecretKind::QueryToken if url.contains('?') => format!("{url}&token=hush"),
            SecretKind::QueryToken => format!("{url}?token=hush"),
            _ => url,
        }
    }

    /// Returns the arguments for these URLs of the first server. Headers of jobs need a list.
    fn given(&self, kind: SecretKind, urls: &[String]) -> Vec<String> {
        if kind != SecretKind::JobHeader {
            return urls.to_vec();
        }
        let line = |url| format!("{{\"url\": \"{url}\", \"headers\": {{\"X-Secret\": \"hush\"}}}}\n");
        vec!["-i".into(), self.private("given", &urls.iter().map(line).collect::<String>())]
    }

    fn append(&self, name: &str, line: &str) {
        let path = self.place.state().join(name);
        let text = fs::read_to_string(&path).expect("a file");
        fs::write(path, text + line).expect("writes");
    }

    /// Runs the program so that it leaves the first server on this way. The other server asks for a login, so
    /// that every secret is tempted. It does not matter how the run ends.
    fn leave(&self, kind: SecretKind, way: Way) {
        let tempting = "login/1000/f?as=basic,bearer";
        let there = match way {
            Way::Host => self.other.url(tempting).replace("127.0.0.1", "localhost"),
            Way::Scheme => self.secure.url(tempting),
            _ => self.other.url(tempting),
        };
        let first = self.home(kind, first(kind));
        let to: String = url::form_urlencoded::byte_serialize(there.as_bytes()).collect();
        let redirect = self.home(kind, &format!("redirect/1/second?to={to}"));
        let mut args = self.options(kind);
        let ca = self.private("ca.pem", &self.authority.pem());
        args.extend(["-j1", "--retries", "0", "--on-error", "skip", "--cacert", &ca].map(String::from));
        match way {
            Way::Port | Way::Host | Way::Scheme => args.extend(self.given(kind, &[first, redirect])),
            Way::SecondFile => {
                args.extend(self.given(kind, &[first]));
                match kind {
                    // With a list, no URLs are given.
                    SecretKind::JobHeader => self.append("given", &there),
                    _ => args.push(there),
                }
            }
            Way::List => {
                let list = self.home.put("/l/list", format!("{there}\tsecond\n"));
                args.extend([
                    "-i".into(),
                    self.home(
                        kind,
                        list.split_once("//")
                            .map_or("", |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path)),
                    ),
                ]);
            }
            Way::Metalink => {
                let text = format!(
                    "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"m\"><url>{there}</url></file>\
                     </metalink>"
                );
                args.extend(["-i".into(), self.private("l.meta4", &text)]);
            }
            Way::Checksums => {
                args.extend(self.given(kind, &[first]));
                args.extend(["--checksum-file".into(), there]);
            }
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        finish(self.place.start(&args));
    }

    /// Returns true if one of the other servers saw the secret. They must have been asked.
    #[track_caller]
    fn was_seen(&self, kind: SecretKind, way: Way) -> bool {
        let requests = [self.other.requests(), self.secure.requests()].concat();
        assert!(!requests.is_empty(), "{kind:?} {way:?}: the other server was not asked");
        requests.iter().any(has_secret)
    }
}

/// Returns the first file that is downloaded, from which the program knows how to log in, or gets a cookie.
fn first(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::CookieOfServer => "headers/9/first?Set-Cookie=a%3Dhush%3B+Path%3D/",
        SecretKind::Userinfo | SecretKind::UserOption | SecretKind::Netrc | SecretKind::Bearer => {
            "login/9/first?as=basic,bearer"
        }
        _ => "well_behaved/9/first?x=1",
    }
}

/// Returns true if a request has the secret in its target or in a header, as it is or in Basic.
fn has_secret(request: &Request) -> bool {
    const BASIC: &str = "bWU6aHVzaA";
    let has = |text: &str| text.contains("hush") || text.contains(BASIC);
    has(&request.target) || request.headers.iter().any(|(_, value)| has(value))
}

#[test]
fn every_kind_of_secret_on_every_way_is_seen_by_those_it_is_for_alone() {
    for &kind in SecretKind::ALL {
        let seen = match row(kind) {
            Row::Seen(seen) => seen,
            Row::Elsewhere(file, test) => {
                let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(file);
                let text = fs::read_to_string(path).expect("a file of tests");
                assert!(text.contains(&format!("fn {test}(")), "{kind:?}: there is no {test} in {file}");
                continue;
            }
        };
        for (way, expected) in WAYS.into_iter().zip(seen) {
            let world = World::new();
            world.leave(kind, way);
            assert_eq!(world.was_seen(kind, way), expected, "{kind:?} {way:?}");
        }
    }
}

#[test]
fn every_kind_of_secret_is_seen_by_its_own_server_also_after_a_failure_and_on_each_connection() {
    for &kind in SecretKind::ALL {
        if matches!(row(kind), Row::Elsewhere(..)) || kind == SecretKind::HeaderFor {
            continue;
        }
        let world = World::new();
        let mut args = world.options(kind);
        args.extend(["-j1", "-x3", "--retries", "1", "--on-error", "retry"].map(String::from));
        let urls = [
            world.home(kind, first(kind)),
            world.home(kind, "fails_once/9/retried?status=502"),
            world.home(kind, "login/4000000/large?as=basic,bearer&password=hush"),
        ];
        args.extend(world.given(kind, &urls));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        finish(world.place.start(&args));
        let after_a_failure = world.home.requests_for("fails_once");
        let large = world.home.requests_for("/large");
        assert_eq!(after_a_failure.len(), 2, "{kind:?}");
        // Logins are sent where the server asks.
        if !matches!(kind, SecretKind::UserOption | SecretKind::Netrc) {
            assert!(after_a_failure.iter().all(has_secret), "{kind:?}");
        }
        let without = large.iter().filter(|request| !has_secret(request)).count();
        assert!(without <= 1, "{kind:?}: {without} requests without it");
    }
}
