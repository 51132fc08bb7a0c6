//! Tests of which server receives which secret, for every kind of secret and every way in which a run leaves
//! the origin of the given URL. The servers and the proxy record what arrives. None of them may receive a
//! secret that the table does not allow, and each secret that the table promises must arrive.

pub mod net;
pub mod ways;

use crate::common::Place;
use base64::prelude::{BASE64_STANDARD, Engine};
use downhaul_engine::core::credentials::SecretKind;
use net::{CERTIFICATE, HOME, Net, PLAIN, PROXY, Seen, host};
use std::thread;
use ways::{Trip, Way};

/// The ways that stay at the origin of the given URL, or come back to it.
const AT_HOME: &[Way] = &[
    Way::Given,
    Way::GivenInUpperCase,
    Way::RedirectBack,
    Way::RetryAfter503,
    Way::RetryAfterCut,
    Way::SeveralConnections,
    Way::ChecksumListBeside,
    Way::SignatureBeside,
];

/// The ways to another server for which the user gave a URL.
const GIVEN_ELSEWHERE: &[Way] = &[Way::MirrorOfPerson, Way::SecondFileOfPerson];

/// The ways on which a URL that the user gave redirects to another server, over https.
const REDIRECTED: &[Way] = &[
    Way::RedirectFromHttp,
    Way::RedirectToPort,
    Way::RedirectToNameBelow,
    Way::RedirectToNameAbove,
    Way::RedirectToNameBeside,
    Way::RedirectToDotted,
    Way::RedirectElsewhere,
    Way::RedirectWithUserinfo,
];

/// Ways like those of [`REDIRECTED`], to servers that never require a login.
const REDIRECTED_SILENTLY: &[Way] = &[
    Way::RetryBehindRedirect,
    Way::SeveralConnectionsBehindRedirect,
    Way::ResumedBehindRedirect,
    Way::ChecksumListBehindRedirect,
];

/// The ways to another server whose URL is in a document, or is the URL of a checksum list.
const NAMED: &[Way] = &[Way::ChecksumListByUrl, Way::MetalinkByUrl, Way::MetalinkOnDisk, Way::ListByUrl];

/// One secret of a kind, and where it must arrive. It may arrive at no other server, except at the server of
/// the given URL (`may_be_seen`).
struct Secret {
    /// The secret in all forms in which it could be sent.
    forms: Vec<String>,
    /// The ways whose target server receives the secret.
    seen_on: Vec<Way>,
    /// True if the secret is for the host that a way leads to, and not for the host of the given URL.
    is_for_target: bool,
}

/// Returns the secrets of a kind, and where they must arrive. This is the table of these tests. A new kind
/// without a row does not compile.
fn secrets_of(kind: SecretKind) -> Vec<Secret> {
    let of = |forms: &[&str], seen_on: &[&[Way]]| Secret {
        forms: forms.iter().map(|form| (*form).to_string()).collect(),
        seen_on: seen_on.concat(),
        is_for_target: false,
    };
    let for_target = |secret: Secret| Secret { is_for_target: true, ..secret };
    let login = |name: &str, seen_on: &[&[Way]]| {
        let (user, password) = (format!("{name}-user"), format!("{name}-password"));
        let basic = BASE64_STANDARD.encode(format!("{user}:{password}"));
        of(&[&user, &password, &basic], seen_on)
    };
    // A cookie is for all ports of its host. A cookie with a domain is also for all hosts below that domain.
    let cookies = |whose: &str| {
        let of_host = [AT_HOME, &[Way::RedirectFromHttp, Way::RedirectToPort]].concat();
        let below = [Way::RedirectToNameBelow, Way::RedirectToNameAbove, Way::RedirectToNameBeside];
        let narrow = of(&[&format!("value-of-{whose}-cookie")], &[&of_host]);
        vec![narrow, of(&[&format!("value-of-wide-{whose}-cookie")], &[&of_host, &below])]
    };
    match kind {
        SecretKind::Userinfo => vec![login("userinfo", &[AT_HOME])],
        SecretKind::UserOption => vec![login("option", &[AT_HOME, GIVEN_ELSEWHERE])],
        SecretKind::Netrc => vec![
            // A netrc file has hosts without ports.
            login("netrc", &[AT_HOME, &[Way::RedirectFromHttp, Way::RedirectToPort]]),
            for_target(login("netrc-target", &[AT_HOME, GIVEN_ELSEWHERE, REDIRECTED, NAMED])),
            login("netrc-default", &[AT_HOME, GIVEN_ELSEWHERE]),
        ],
        SecretKind::Bearer => vec![of(&["bearer-token"], &[AT_HOME, GIVEN_ELSEWHERE])],
        SecretKind::Header => vec![
            of(&["value-of-header"], &[AT_HOME, GIVEN_ELSEWHERE]),
            of(&["value-of-authorization"], &[AT_HOME, GIVEN_ELSEWHERE]),
        ],
        SecretKind::Body => vec![of(&["value-of-body"], &[AT_HOME, GIVEN_ELSEWHERE])],
        SecretKind::HeaderFor => {
            let ways = [AT_HOME, GIVEN_ELSEWHERE, REDIRECTED, REDIRECTED_SILENTLY, NAMED];
            vec![for_target(of(&["value-for-a-host"], &ways))]
        }
        SecretKind::HostRule => {
            let to_target = [AT_HOME, GIVEN_ELSEWHERE, REDIRECTED, REDIRECTED_SILENTLY, NAMED];
            vec![
                of(&["value-of-rule"], &[AT_HOME, &[Way::RedirectFromHttp]]),
                for_target(of(&["value-of-target-rule"], &to_target)),
                login("rule", &[AT_HOME, &[Way::RedirectFromHttp]]),
            ]
        }
        SecretKind::QueryToken => vec![of(&["value-of-query"], &[AT_HOME])],
        SecretKind::ClientCertificate => vec![of(&[CERTIFICATE], &[AT_HOME, GIVEN_ELSEWHERE])],
        // Only the proxy receives this login.
        SecretKind::ProxyLogin => vec![login("proxy", &[])],
        SecretKind::JobHeader => vec![of(&["value-of-job-header"], &[AT_HOME])],
        SecretKind::CookieGiven => vec![of(&["value-of-given-cookie"], &[AT_HOME, GIVEN_ELSEWHERE])],
        SecretKind::CookieOfServer => cookies("server"),
        SecretKind::CookieFile => cookies("file"),
    }
}

/// Secrets that exclude each other, most of them because they are sent in the same header. Each has runs of
/// its own, and all secrets that are not listed here are in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    Userinfo,
    Option,
    Netrc,
    NetrcOfTarget,
    NetrcDefault,
    Bearer,
    Header,
    JobHeader,
    Rule,
    Body,
}

fn options(trip: &Trip, way: Way, by: Alone) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_string()).collect();
    let netrc = |machine: &str, name: &str| {
        let text = format!("{machine} login {name}-user password {name}-password\n");
        trip.place.write("keys/netrc", text);
        words(&["--netrc", "keys/netrc", "--auth", "basic"])
    };
    match by {
        Alone::Userinfo | Alone::JobHeader => Vec::new(),
        Alone::Rule => {
            let file = trip.place.file("keys/config.toml").expect("a configuration");
            let section = format!("[host.\"{}\"]\n", section(way.home()));
            let login = format!("{section}user = 'env:RULE_LOGIN'\n");
            let text = String::from_utf8(file).expect("UTF-8").replace(&section, &login);
            trip.place.write("keys/config.toml", text);
            words(&["--auth", "basic"])
        }
        Alone::Option => words(&["--user", "option-user:option-password", "--auth", "basic"]),
        Alone::Netrc => netrc(&format!("machine {}", host(HOME)), "netrc"),
        Alone::NetrcOfTarget => netrc(&format!("machine {}", host(way.leads_to())), "netrc-target"),
        Alone::NetrcDefault => netrc("default", "netrc-default"),
        Alone::Bearer => words(&["--bearer", "bearer-token"]),
        Alone::Header => words(&["-H", "Authorization: value-of-authorization"]),
        Alone::Body => words(&["--data", "value-of-body"]),
    }
}

/// Returns the name of a section of the configuration, or the HOST of --header-for.
fn section(origin: &str) -> String {
    origin.split_once("://").expect("an origin").1.to_string()
}

/// Writes keys and a configuration into the place, and returns the options that every run has.
fn common_options(trip: &Trip, way: Way) -> Vec<String> {
    let (place, target) = (trip.place, way.leads_to());
    let (certificate, key) = trip.net.authority.pem_pair();
    place.write("keys/ca.pem", trip.net.authority.pem());
    place.write("keys/cert.pem", certificate + &key);
    let (home, target) = (section(way.home()), section(target));
    let header = |name: &str, value: &str| format!("'X-{name}: env:{value}'");
    let (rule, of_target) = (header("Rule", "RULE"), header("Target-Rule", "TARGET_RULE"));
    let sections = match home == target {
        true => format!("[host.\"{home}\"]\nheader = [{rule}, {of_target}]\n"),
        false => {
            format!("[host.\"{home}\"]\nheader = [{rule}]\n[host.\"{target}\"]\nheader = [{of_target}]\n")
        }
    };
    place.write("keys/config.toml", sections);
    place.write(
        "keys/cookies",
        "files.lab.example\tFALSE\t/\tTRUE\t0\ta\tvalue-of-file-cookie\n\
         .lab.example\tTRUE\t/\tTRUE\t0\tb\tvalue-of-wide-file-cookie\n",
    );
    let mut options: Vec<String> = [
        "--cacert keys/ca.pem --cert keys/cert.pem --config keys/config.toml --cookies keys/cookies",
        "--cookie given=value-of-given-cookie --retries 1 --on-error retry -d out -j 1",
    ]
    .iter()
    .flat_map(|line| line.split(' '))
    .map(String::from)
    .collect();
    for (option, values) in [
        ("-H", vec!["X-Header: value-of-header".into()]),
        ("--header-for", vec![target, "X-For: value-for-a-host".into()]),
    ] {
        options.push(option.into());
        options.extend(values);
    }
    options
}

/// Returns the URL of a file of [`HOME`] whose response sets cookies. The run begins with this URL.
/// Returns no URL for a run that cannot have such a URL.
fn url_that_sets_cookies(trip: &Trip, way: Way, by: Alone) -> Vec<String> {
    let cookies = [
        "c=value-of-server-cookie; Secure; Path=/",
        "d=value-of-wide-server-cookie; Secure; Path=/; Domain=lab.example",
    ];
    let query = cookies.map(|cookie| format!("Set-Cookie={}", ways::encoded(cookie))).join("&");
    let url = format!("{HOME}/headers/10/c{}?{query}", trip.number);
    if sets_cookies(way, by) { vec![url] } else { Vec::new() }
}

/// Returns true if the run begins with a file whose response sets cookies.
fn sets_cookies(way: Way, by: Alone) -> bool {
    !way.stands_alone() && by != Alone::JobHeader
}

/// Moves the given URLs into a list, whose first line has a header for its URL.
fn in_a_list(trip: &Trip, urls: Vec<String>) -> Vec<String> {
    let is_url = |text: &String| text.contains("://");
    let after_option = urls.iter().position(|one| one.starts_with('-')).unwrap_or(urls.len());
    let (given, options) = urls.split_at(after_option);
    if !given.iter().all(is_url) || given.is_empty() {
        return urls;
    }
    let line = |(n, url): (usize, &String)| match n {
        0 => format!("{{\"url\": \"{url}\", \"headers\": {{\"X-Job\": \"value-of-job-header\"}}}}\n"),
        _ => format!("{{\"url\": \"{url}\"}}\n"),
    };
    trip.place.write("given", given.iter().enumerate().map(line).collect::<String>());
    [&["-i".to_string(), "given".into()], options].concat()
}

/// Runs the program on a way. Returns what differs from the table, and everything that was recorded in that
/// run.
fn differences(net: &Net, way: Way, by: Alone, route: &[String], number: usize) -> Vec<(String, String)> {
    let place = Place::new();
    let userinfo = if by == Alone::Userinfo { "userinfo-user:userinfo-password@" } else { "" };
    let asks = ![Alone::Header, Alone::Bearer, Alone::Body].contains(&by);
    let trip = Trip { net, place: &place, number, userinfo, token: "token=value-of-query", asks };
    let given = match by {
        Alone::JobHeader => in_a_list(&trip, way.arguments(&trip)),
        _ => [url_that_sets_cookies(&trip, way, by), way.arguments(&trip)].concat(),
    };
    let arguments = [given, common_options(&trip, way), options(&trip, way, by), route.to_vec()].concat();
    let mark = net.mark();
    let mut outs = Vec::new();
    for _ in 0..way.runs() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = place.command(&arguments);
        command.env("RULE", "value-of-rule").env("TARGET_RULE", "value-of-target-rule");
        command.env("RULE_LOGIN", "rule-user:rule-password");
        outs.push(crate::common::finish(command.spawn().expect("the program starts")));
    }
    let mut seen = net.since(&mark);
    // The URL of this request has the values of the cookies.
    seen.retain(|one| one.by != HOME || !one.text.contains("Set-Cookie="));
    let mut differences = Vec::new();
    differences.extend(wrong_number_of_requests(way, by, &seen));
    for &kind in SecretKind::ALL {
        for secret in secrets_of(kind) {
            let is_wrong = |one: &&Seen| secret.is_in(one) && !secret.may_be_seen(kind, way, one);
            differences.extend(
                seen.iter().filter(is_wrong).map(|one| format!("{} saw {kind:?} {:?}", one.by, secret.forms)),
            );
            if secret.is_sent(by, kind, way, route) && !secret.arrived(kind, way, &seen) {
                differences.push(format!("{} did not see {kind:?} {:?}", way.leads_to(), secret.forms));
            }
        }
    }
    let story = format!("{arguments:?}\n{outs:#?}\n{}\n{seen:#?}", place.log());
    differences.into_iter().map(|one| (format!("{way:?}, {by:?}: {one}"), story.clone())).collect()
}

/// Returns what is wrong with the number of requests to the server that the way leads to.
fn wrong_number_of_requests(way: Way, by: Alone, seen: &[Seen]) -> Option<String> {
    let target = way.leads_to();
    let requests_to = |origin| seen.iter().filter(|one| one.by == origin && one.text != CERTIFICATE).count();
    if by == Alone::Body && way.only_a_document_names_the_target() {
        // A GET in place of the request with the body would download another file.
        let tunnel = format!("CONNECT {}:", host(target));
        let is_for_target = |one: &Seen| one.by == target || one.by == PROXY && one.text.starts_with(&tunnel);
        let is_fetched = way != Way::MetalinkOnDisk;
        let document =
            (is_fetched && requests_to(way.home()) == 0).then(|| "the document was not fetched".to_string());
        return document.or_else(|| {
            let first = seen.iter().find(|one| is_for_target(one))?;
            Some(format!("only a document names {target}, and {} saw {:?}", first.by, first.text))
        });
    }
    let requests = requests_to(target);
    (requests < way.least_requests()).then(|| format!("only {requests} requests reached {target}"))
}

impl Secret {
    fn is_in(&self, seen: &Seen) -> bool {
        self.forms.iter().any(|form| seen.text.contains(form))
    }

    /// Returns true if a run on this way has this secret. `by` is the secret of [`Alone`] that the run has,
    /// and `route` has the options of its network.
    fn is_sent(&self, by: Alone, kind: SecretKind, way: Way, route: &[String]) -> bool {
        let is = |form: &str| self.forms[0] == form;
        // In this case, the server gets no request.
        if by == Alone::Body && way.only_a_document_names_the_target() {
            return false;
        }
        match kind {
            SecretKind::Userinfo => by == Alone::Userinfo,
            SecretKind::UserOption => by == Alone::Option,
            SecretKind::Body => by == Alone::Body,
            SecretKind::Bearer => by == Alone::Bearer,
            SecretKind::Netrc => match by {
                Alone::Netrc => is("netrc-user"),
                Alone::NetrcOfTarget => is("netrc-target-user"),
                Alone::NetrcDefault => is("netrc-default-user"),
                _ => false,
            },
            // The test servers cannot set cookies over HTTP/2.
            SecretKind::CookieOfServer => sets_cookies(way, by) && !has(route, "--http2"),
            SecretKind::JobHeader => by == Alone::JobHeader,
            SecretKind::HostRule => !is("rule-user") || by == Alone::Rule,
            SecretKind::ProxyLogin => has(route, "--proxy"),
            SecretKind::Header => is("value-of-header") || by == Alone::Header,
            _ => true,
        }
    }

    /// Returns true if the table allows that this server or proxy receives the secret.
    fn may_be_seen(&self, kind: SecretKind, way: Way, seen: &Seen) -> bool {
        let by = match seen.by {
            // A request that opens a tunnel is for the proxy alone.
            PROXY if kind == SecretKind::ProxyLogin => return true,
            PROXY if seen.text.starts_with("CONNECT ") || seen.text.starts_with("SOCKS") => return false,
            // The proxy reads a request in absolute form. All such requests are for this server.
            PROXY => PLAIN,
            by => by,
        };
        let at_home = match self.is_for_target {
            true => host(way.home()) == host(way.leads_to()),
            false => kind != SecretKind::ProxyLogin,
        };
        by == way.leads_to() && self.seen_on.contains(&way) || by == way.home() && at_home
    }

    /// Returns true if the secret arrived where the table says.
    fn arrived(&self, kind: SecretKind, way: Way, seen: &[Seen]) -> bool {
        if kind == SecretKind::ProxyLogin {
            return seen.iter().any(|one| one.by == PROXY && self.is_in(one));
        }
        let is_certificate = kind == SecretKind::ClientCertificate;
        let mut there = seen
            .iter()
            .filter(|one| one.by == way.leads_to() && (one.text == CERTIFICATE) == is_certificate)
            .peekable();
        !self.seen_on.contains(&way)
            || there.peek().is_some()
                && match way.is_all_alike() {
                    true => there.all(|one| self.is_in(one)),
                    false => there.any(|one| self.is_in(one)),
                }
    }
}

fn has(route: &[String], option: &str) -> bool {
    route.iter().any(|one| one == option)
}

/// Runs the program on each of these ways with each of these secrets. The runs mostly wait, so each secret
/// has a `Net` and a thread of its own.
#[track_caller]
fn assert_the_table(ways: &[Way], by: &[Alone], route: impl Fn(&Net) -> Vec<String> + Sync) {
    let all_ways = |by: Alone| {
        let net = Net::start();
        let route = route(&net);
        let numbered = ways.iter().enumerate();
        numbered.flat_map(|(number, &way)| differences(&net, way, by, &route, number)).collect::<Vec<_>>()
    };
    let found: Vec<(String, String)> = thread::scope(|scope| {
        let threads: Vec<_> = by
            .iter()
            .map(|&by| {
                let all_ways = &all_ways;
                scope.spawn(move || all_ways(by))
            })
            .collect();
        threads.into_iter().flat_map(|one| one.join().expect("no panic")).collect()
    });
    if let Some((_, story)) = found.first() {
        let all: Vec<&str> = found.iter().map(|(what, _)| what.as_str()).collect();
        panic!("{}\n\nThe first of them:\n{story}", all.join("\n"));
    }
}

fn through_a_proxy(net: &Net) -> Vec<String> {
    ["--http1".into(), "--proxy".into(), format!("http://{}", net.proxy())]
        .into_iter()
        .chain(PROXY_USER.map(String::from))
        .collect()
}

const PROXY_USER: [&str; 2] = ["--proxy-user", "proxy-user:proxy-password"];

#[test]
fn secrets_of_urls_and_options_are_seen_where_the_table_says() {
    assert_the_table(Way::ALL, &[Alone::Userinfo, Alone::Option], through_a_proxy);
}

#[test]
fn tokens_and_headers_are_seen_where_the_table_says() {
    assert_the_table(
        Way::ALL,
        &[Alone::Bearer, Alone::Header, Alone::JobHeader, Alone::Rule],
        through_a_proxy,
    );
}

/// A request with a body is sent over one connection and is not continued. A server that only a document
/// names gets no request.
#[test]
fn bodies_are_seen_where_the_table_says() {
    let without_parts = |way: &&Way| {
        let parts = [
            Way::RetryAfterCut,
            Way::SeveralConnections,
            Way::SeveralConnectionsBehindRedirect,
            Way::ResumedBehindRedirect,
            Way::MirrorOfServer,
            Way::MetalinkOfServer,
        ];
        !parts.contains(way)
    };
    let ways: Vec<Way> = Way::ALL.iter().filter(without_parts).copied().collect();
    assert_the_table(&ways, &[Alone::Body], through_a_proxy);
}

#[test]
fn logins_of_netrc_files_are_seen_where_the_table_says() {
    let by = [Alone::Netrc, Alone::NetrcOfTarget, Alone::NetrcDefault];
    assert_the_table(Way::ALL, &by, through_a_proxy);
}

/// Ways for servers with HTTP/2, which have few scripts.
const WAYS_OF_HTTP2: &[Way] = &[
    Way::Given,
    Way::RedirectBack,
    Way::RedirectToPort,
    Way::RedirectToNameBelow,
    Way::RedirectToNameAbove,
    Way::RedirectToNameBeside,
    Way::RedirectElsewhere,
    Way::SecondFileOfPerson,
];

/// Secrets that are sent even if no server behind a redirect requires a login.
const UNASKED: &[Alone] = &[Alone::Userinfo, Alone::Bearer, Alone::Header, Alone::NetrcDefault];

#[test]
fn socks_changes_nothing_about_which_server_sees_a_secret() {
    assert_the_table(WAYS_OF_HTTP2, UNASKED, |net| {
        ["--http2".into(), "--proxy".into(), format!("socks5h://{}", net.proxy())]
            .into_iter()
            .chain(PROXY_USER.map(String::from))
            .collect()
    });
}

/// The servers have one certificate with all names and the same address, so that a client could use a
/// connection for several of them (RFC 9113, section 9.1.1).
#[test]
fn http2_without_a_proxy_changes_nothing_about_which_server_sees_a_secret() {
    assert_the_table(WAYS_OF_HTTP2, UNASKED, |net| {
        let to_server =
            |(from, port): (String, u16)| ["--connect-to".into(), format!("{from}:127.0.0.1:{port}")];
        net.ports().into_iter().flat_map(to_server).chain(["--http2".into()]).collect()
    });
}
