//! Tests of which server gets which secret, and when.

use crate::common::Place;
use downhaul_testkit::content;
use downhaul_testkit::server::{Request, Server};
use std::fs;
use std::path::{Path, PathBuf};

/// The value of `Authorization` for Basic with the login `me:hush`.
const BASIC: &str = "Basic bWU6aHVzaA==";

/// Returns the URL with this userinfo.
fn with_userinfo(url: &str, userinfo: &str) -> String {
    url.replace("://", &format!("://{userinfo}@"))
}

/// Returns the URL of a redirect of `from` to `to`.
fn redirect(from: &Server, to: &str) -> String {
    let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
    from.url(&format!("redirect/1/x?to={to}"))
}

fn authorization(request: &Request) -> Option<&str> {
    request.header("authorization")
}

#[test]
fn the_userinfo_of_a_url_is_sent_only_to_its_origin() {
    let (home, other) = (Server::start(), Server::start());
    let place = Place::new();
    let back = home.url("well_behaved/1000/f");
    let there = redirect(&other, &back);
    let out = place.run(&[&with_userinfo(&redirect(&home, &there), "me:hush"), "-v"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let seen: Vec<_> =
        home.requests().iter().map(|request| authorization(request).map(String::from)).collect();
    assert_eq!(seen, [Some(BASIC.to_string()), Some(BASIC.to_string())]);
    assert_eq!(other.requests().len(), 1);
    assert!(other.requests().iter().all(|request| authorization(request).is_none()));
    assert!(!out.stderr.contains("hush") && !place.log().contains("hush"), "{}", out.stderr);
    // The userinfo in a redirect of a server is not used.
    let named = with_userinfo(&back, "evil:x");
    let out = place.run(&[&redirect(&home, &named), "-o", "g"]);
    place.assert_exact(&out, "g", &content("f", 1000));
    assert!(home.requests().iter().rev().take(2).all(|request| authorization(request).is_none()));
}

#[test]
fn a_header_of_the_user_replaces_the_userinfo() {
    let server = Server::start();
    let place = Place::new();
    let url = with_userinfo(&server.url("well_behaved/1000/f"), "me:hush");
    let out = place.run(&[&url, "-H", "Authorization: Bearer token"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(authorization(&server.requests()[0]), Some("Bearer token"));
}

#[test]
fn the_userinfo_of_a_url_is_utf8_and_its_parts_may_be_empty() {
    let server = Server::start();
    for (userinfo, header) in [
        ("me:", "Basic bWU6"),
        ("me", "Basic bWU6"),
        (":hush", "Basic Omh1c2g="),
        ("m%C3%BC:%C3%9F", "Basic bcO8OsOf"),
        ("me:hu%3Ash", "Basic bWU6aHU6c2g="),
    ] {
        let place = Place::new();
        let out = place.run(&[&with_userinfo(&server.url("well_behaved/1000/f"), userinfo)]);
        place.assert_exact(&out, "f", &content("f", 1000));
        assert_eq!(server.requests().pop().as_ref().and_then(authorization), Some(header), "{userinfo}");
    }
}

#[test]
fn userinfo_with_control_characters_is_refused_before_any_request() {
    let server = Server::start();
    for userinfo in ["me:hu%00sh", "me%0D%0AX-Evil%3A1:hush", "me:%ff"] {
        let place = Place::new();
        let out = place.run(&[&with_userinfo(&server.url("well_behaved/1000/f"), userinfo)]);
        place.assert_failed(&out, 1, "its user name or password");
        assert!(place.log().contains("[url.invalid]"), "{}", place.log());
    }
    assert!(server.requests().is_empty());
}

/// The files that may read the text of a secret: those that decide where it is sent, and those that put it in
/// a request. The configuration also reads secrets, because the values of its keys become words of the
/// command line.
const READERS: [&str; 19] = [
    "core/src/credentials/",
    "core/src/secret.rs",
    "cli/src/config/",
    "engine/src/credentials/",
    // The login of a proxy is sent to the proxy, and never to a server.
    "core/src/proxy.rs",
    "engine/src/source/http/proxy/",
    // The password of a client key decrypts the key, and is sent to no server.
    "engine/src/source/http/tls/encrypted_key.rs",
    // The text of --proxy or of a variable may contain the login of a proxy, until the text is parsed.
    "cli/src/proxies.rs",
    // The two words of `--header-for` become a header, which has the type of a secret again.
    "cli/src/given.rs",
    // `--failed` writes the headers of a line back into a list. `header_keys.rs` reads these headers, and its
    // tests compare them.
    "cli/src/failed/",
    "core/src/list/header_keys.rs",
    // A login in a list becomes a header, which has the type of a secret again.
    "core/src/list/aria2.rs",
    // The characters of a header are checked before it is used.
    "core/src/job/header.rs",
    // This file reads the name of the file in --header-for, and gives a job the login of its line or of its
    // section.
    "cli/src/logins.rs",
    // The secret of the daemon is sent to the daemon only. The headers of `downhaul add` are sent to it too,
    // and have the type of a secret there again.
    "cli/src/client/http.rs",
    "cli/src/client/add.rs",
    // This file joins the parts of a body.
    "cli/src/asks.rs",
    // The daemon compares its own secret with the secret of a request. It stores the headers of a list with
    // their download, and they have the type of a secret again when they are read.
    "daemon/src/web/token.rs",
    "daemon/src/facts.rs",
];

#[test]
fn only_the_code_for_credentials_reads_secrets() {
    let crates = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut readers = Vec::new();
    for name in ["core", "engine", "cli", "daemon", "python"] {
        walk(&crates.join(name).join("src"), &mut |path| {
            if fs::read_to_string(path).is_ok_and(|text| text.contains(".expose()")) {
                let path = path.strip_prefix(&crates).expect("below").to_string_lossy().into_owned();
                readers.push(path);
            }
        });
    }
    assert!(!readers.is_empty());
    readers.retain(|path| !READERS.iter().any(|reader| path.starts_with(reader)));
    assert_eq!(readers, Vec::<String>::new(), "these read secrets, too");
}

fn walk(folder: &Path, found: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => walk(&path, found),
            path => found(&path),
        }
    }
}
