//! Tests of kinds of vulnerabilities that other programs had. Other files of tests have further kinds.
//! `docs/security.md` lists all kinds, and names the test for each.

use crate::common::Place;
use crate::secrets::net::{ELSEWHERE, HOME, Net, PLAIN, PROXY};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::Authority;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Starts a proxy that answers every request with this challenge. Returns its address, and the heads of the
/// requests that it received, in lower case.
fn proxy_that_asks(challenge: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.extend(byte);
            }
            seen.lock().expect("no panic").push(String::from_utf8_lossy(&head).to_lowercase());
            let answer = format!(
                "HTTP/1.1 407 Log In\r\nProxy-Authenticate: {challenge}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, heads)
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[test]
fn certificates_are_verified_for_addresses_wildcards_and_names_with_a_nul() {
    let authority = Authority::default();
    for (host, names, is_right) in [
        ("127.0.0.1", &["127.0.0.1"][..], true),
        ("127.0.0.1", &["localhost"], false),
        ("127.0.0.1", &["*.0.0.1"], false),
        ("127.0.0.1", &["127.0.0.1\0.evil.example"], false),
        ("a.lab.example", &["*.lab.example"], true),
        ("lab.example", &["*.lab.example"], false),
        ("a.b.lab.example", &["*.lab.example"], false),
        ("a.lab.example", &["*.*.example"], false),
        ("a.lab.example", &["*"], false),
        ("a.lab.example", &["a.lab.example\0.evil.example"], false),
        ("xn--l8j.lab.example", &["x*.lab.example"], false),
        ("xn--l8j.lab.example", &["*8j.lab.example"], false),
    ] {
        let server = Server::start_h2(Some(authority.config_named(names)));
        for version in ["--http1", "--http2"] {
            let place = Place::new();
            place.write("keys/ca.pem", authority.pem());
            let url = format!("https://{host}/well_behaved/1000/f");
            let to = format!("{host}:443:127.0.0.1:{}", server.port());
            let out = place.run(&[
                &url,
                version,
                "--connect-to",
                &to,
                "--cacert",
                "keys/ca.pem",
                "--on-error",
                "skip",
            ]);
            assert_eq!(out.status == 0, is_right, "{host} {names:?}: {}", out.stderr);
            assert!(is_right || place.log().contains("[tls."), "{host} {names:?}: {}", place.log());
        }
        assert_eq!(server.requests().len(), if is_right { 2 } else { 0 }, "{host} {names:?}");
    }
}

#[test]
fn a_url_that_can_be_read_in_two_ways_leads_to_one_host_or_is_refused() {
    let net = Net::start();
    let proxy = format!("http://me:hush@{}", net.proxy());
    for (url, host) in [
        ("http://one.test#@two.test/f", Some("one.test")),
        ("http://one.test?@two.test/f", Some("one.test")),
        ("http://one.test\\@two.test/f", Some("one.test")),
        ("http://me:a@one.test@two.test/f", Some("two.test")),
        ("http://0x7f.1/f", Some("127.0.0.1")),
        ("http://fa\u{df}.test/f", Some("xn--fa-hia.test")),
        ("http://one\u{3002}test/f", Some("one.test")),
        ("http://one.test%2F.two.test/f", None),
        ("http://one.test%23.two.test/f", None),
        ("http://one.test%40two.test/f", None),
        ("http://one.test%0d%0aX-Evil:1/f", None),
        ("http://one.test%00.two.test/f", None),
        ("http://[fe80::1%25eth0]/f", None),
        ("http://one.test:99999/f", None),
        ("http://one.test:80:81/f", None),
    ] {
        let server = net.server(PLAIN);
        let redirect = format!("{PLAIN}/redirect/1/f?to={}", encoded(url));
        for (given, is_redirect) in [(url, false), (&redirect, true)] {
            let (place, mark) = (Place::new(), net.mark());
            let out =
                place.run(&[given, "-o", "f", "--proxy", &proxy, "--retries", "0", "--on-error", "skip"]);
            let seen = net.since(&mark);
            let targets = seen.iter().filter(|one| one.by == PROXY).filter_map(|one| {
                let target = one.text.split(' ').nth(1)?;
                Some(url::Url::parse(target).expect("in absolute form").host_str()?.to_string())
            });
            let mut hosts: Vec<String> = targets.collect();
            hosts.dedup();
            let first = is_redirect.then_some("files.lab.example");
            let expected: Vec<&str> = first.into_iter().chain(host).collect();
            assert_eq!(hosts, expected, "{given}: {}", out.stderr);
            assert_ne!(out.status, 0, "{given}");
            assert!(seen.iter().all(|one| !one.text.to_lowercase().contains("\nx-evil")), "{seen:?}");
        }
        assert!(server.requests().iter().all(|one| one.header("x-evil").is_none()));
    }
}

#[test]
fn a_digest_of_one_origin_is_never_sent_to_another() {
    let (one, other) = (Server::start(), Server::start());
    let place = Place::new();
    let file = |server: &Server, realm: &str, name: &str| {
        server.url(&format!("login/1000/{name}?as=SHA-256,MD5&realm={realm}"))
    };
    // The list has a URL of the second origin. After that, a redirect of the first origin leads to the
    // second one.
    place.write(
        "list",
        [
            file(&one, "first", "a"),
            file(&other, "second", "b"),
            one.url(&format!("redirect/1/c?to={}", encoded(&file(&other, "second", "c")))),
            file(&one, "first", "d"),
        ]
        .join("\n"),
    );
    let out = place.run(&["-i", "list", "-j", "1", "-d", "out", "-u", "me:hush", "--on-error", "skip"]);
    for name in ["a", "b", "d"] {
        assert_eq!(place.file(&format!("out/{name}")), Some(content(name, 1000)), "{}", out.stderr);
    }
    for (server, realm) in [(&one, "first"), (&other, "second")] {
        let requests = server.requests();
        assert_eq!(requests[0].header("authorization"), None, "nothing is sent before the challenge");
        for request in requests {
            let sent = request.header("authorization").unwrap_or_default();
            assert!(sent.is_empty() || sent.contains(&format!("realm=\"{realm}\"")), "{request:?}");
            assert!(!sent.contains("hush"), "{request:?}");
        }
    }
    let behind_redirect = other.requests_for("login/1000/c");
    assert!(behind_redirect.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn the_login_of_one_proxy_is_never_sent_to_another() {
    for challenge in ["Basic realm=\"x\"", "Digest realm=\"second\", nonce=\"n2\", qop=\"auth\""] {
        let net = Net::start();
        let (second, heads) = proxy_that_asks(challenge);
        let first = format!("http://me:hush@{}", net.proxy());
        // The first proxy is for http and has a login. The request through it gets a redirect to https.
        let url = format!("{PLAIN}/redirect/1/f?to={}", encoded(&format!("{HOME}/well_behaved/1000/f")));
        for second in [format!("http://{second}"), format!("http://you:other@{second}")] {
            let place = Place::new();
            let mut command = place.command(&[&url, "--retries", "0", "--on-error", "skip"]);
            command.env("http_proxy", &first).env("https_proxy", &second);
            let out = crate::common::finish(command.spawn().expect("the program starts"));
            assert_eq!(out.status, 1, "{}", out.stderr);
            assert!(place.log().contains("[proxy.login]"), "{}", place.log());
        }
        let heads = heads.lock().expect("no panic");
        assert!(heads.len() >= 3 && heads.iter().all(|head| head.starts_with("connect ")), "{heads:#?}");
        // `me:hush` in base64, in lower case.
        assert!(
            heads.iter().all(|head| !head.contains("bwu6ahvzaa") && !head.contains("\"me\"")),
            "{heads:#?}"
        );
        assert!(heads.iter().any(|head| head.contains("proxy-authorization")), "{heads:#?}");
    }
}

#[test]
fn a_redirect_to_the_address_of_the_proxy_gives_its_login_to_no_server() {
    let net = Net::start();
    let proxy = net.proxy();
    let place = Place::new();
    let url = format!("{PLAIN}/redirect/1/f?to={}", encoded(&format!("http://{proxy}/f")));
    let options = ["--proxy-user", "me:hush", "--no-proxy", "127.0.0.1", "--on-error", "skip"];
    let mark = net.mark();
    place.run(&[&[&url, "--proxy", &format!("http://{proxy}")], &options[..]].concat());
    let seen = net.since(&mark);
    let direct: Vec<_> = seen.iter().filter(|one| one.text.starts_with("GET /f ")).collect();
    assert!(!direct.is_empty(), "{seen:#?}");
    assert!(direct.iter().all(|one| !one.text.to_lowercase().contains("proxy-authorization")), "{direct:#?}");
}

#[test]
fn a_host_header_does_not_change_whose_cookies_are_sent() {
    let net = Net::start();
    let place = Place::new();
    place.write("keys/ca.pem", net.authority.pem());
    place.write("keys/cookies", "else.test\tFALSE\t/\tFALSE\t0\tid\thush\n");
    // The server sets a cookie for the host that the header `Host` of this run names.
    let sets = format!("{HOME}/headers/10/a?Set-Cookie={}", encoded("evil=1; Domain=else.test"));
    let urls = [sets, format!("{HOME}/well_behaved/10/b"), format!("{ELSEWHERE}/well_behaved/10/c")];
    let mut arguments = vec!["-H", "Host: else.test", "-j", "1", "--cookies", "keys/cookies"];
    let proxy = format!("http://me:x@{}", net.proxy());
    arguments.extend(["--cacert", "keys/ca.pem", "--proxy", &proxy, "--on-error", "skip", "--http1"]);
    arguments.extend(urls.iter().map(String::as_str));
    place.run(&arguments);
    let cookies = |origin: &str| -> Vec<String> {
        let requests = net.server(origin).requests();
        assert!(!requests.is_empty(), "{origin}: {}", place.log());
        requests.iter().map(|one| one.header("cookie").unwrap_or_default().to_string()).collect()
    };
    assert!(cookies(HOME).iter().all(String::is_empty));
    assert!(cookies(ELSEWHERE).iter().all(|sent| sent == "id=hush"));
}

#[test]
fn a_pattern_for_very_many_urls_is_never_expanded_as_a_whole() {
    let place = Place::new();
    let run = |pattern: &str| {
        let out = place.run(&["--glob", pattern, "--retries", "0", "--on-error", "exit"]);
        assert!(out.took < Duration::from_secs(10), "{pattern}: {:?}", out.took);
        out
    };
    // The first URL fails, so that the run ends.
    for pattern in [
        "http://127.0.0.1:1/[1-18446744073709551615]",
        "http://127.0.0.1:1/[0-999999999]/[0-999999999]/{a,b}",
    ] {
        let out = run(pattern);
        assert!(out.status == 4 && out.stderr.contains("the connection was refused"), "{}", out.stderr);
    }
    for pattern in [
        "http://127.0.0.1:1/[0-18446744073709551615]",
        "http://127.0.0.1:1/[1-99999999999999999999999999]",
        &format!("http://127.0.0.1:1/{}", "{a,b}".repeat(64)),
        "http://127.0.0.1:1/[1-5:0]",
    ] {
        let out = run(pattern);
        assert_eq!(out.status, 2, "{pattern}: {}", out.stderr);
    }
}

#[test]
fn a_body_in_very_many_codings_is_not_decoded() {
    let server = Server::start();
    for (codings, is_decoded) in [(2, true), (100, false)] {
        let says = vec!["gzip"; codings].join(", ");
        let place = Place::new();
        let coded = encoded("gzip, gzip");
        let url = server.url(&format!("coded/1000/f?coding={coded}&says={}", encoded(&says)));
        let out = place.run(&[&url, "--decode", "auto", "--retries", "0", "-o", "f"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_eq!(place.file("f") == Some(content("f", 1000)), is_decoded, "{}", out.stderr);
        assert_eq!(out.stderr.contains("saved as sent"), !is_decoded, "{}", out.stderr);
    }
}
