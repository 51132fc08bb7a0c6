//! `--no-private` and `--hsts`: redirects to private addresses are refused, and hosts can require https.
//!
//! The public address is in a network namespace that has no connection to another network. If no namespace
//! can be made, the test prints a note and is skipped.

use crate::common::{Place, is_installed, note};
use crate::secrets::ways::encoded;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw};
use std::process::{Command, Stdio};

/// An address for documentation (RFC 5737). In these tests, it stands for a server on the internet.
const PUBLIC: &str = "203.0.113.5";

/// Runs commands of a shell in a network namespace in which this machine has the public address. Returns
/// `None` if no namespace can be made.
fn in_a_network_of_its_own(place: &Place, commands: &str) -> Option<()> {
    let script = format!("ip link set lo up && ip addr add {PUBLIC}/32 dev lo && touch made && {commands}");
    let run = Command::new("unshare")
        .args(["-rn", "sh", "-c", &script])
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output();
    if run.is_err() || place.file("made").is_none() {
        note("no network namespace can be made: the test is skipped");
        return None;
    }
    Some(())
}

/// Returns the configuration of three servers and a proxy. Two servers are at the public address, and one is
/// at a private address. Redirects lead to both addresses.
fn nginx_config(here: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/tmp-{kind};"))
        .concat();
    format!(
        "user root; worker_processes 1; pid {here}/pid; error_log {here}/error.log;
         events {{ worker_connections 64; }}
         http {{ {temporary} root {here}/www; log_format seen '$server_addr:$server_port $host $uri';
             access_log {here}/seen.log seen;
             server {{ listen {PUBLIC}:80;
                 location = /to-private {{ return 302 http://127.0.0.1:81/f; }}
                 location = /to-public {{ return 302 http://{PUBLIC}:82/f; }}
                 location = /to-itself {{ return 302 http://rebound.example:81/f; }} }}
             server {{ listen 127.0.0.1:81;
                 location = /to-private {{ return 302 http://127.0.0.1:81/f; }}
                 location = /back-and-forth {{ return 302 http://{PUBLIC}/to-private; }} }}
             server {{ listen {PUBLIC}:82; }}
             server {{ listen 127.0.0.1:83; location / {{ proxy_pass http://{PUBLIC}:80; }} }} }}"
    )
}

#[test]
fn redirects_from_public_hosts_do_not_lead_to_private_addresses() {
    if !is_installed("nginx") {
        return;
    }
    let place = Place::new();
    place.write("www/f", content("f", 1000));
    let here = place.path().display().to_string();
    place.write("nginx.conf", nginx_config(&here));
    place.write("list", format!("http://127.0.0.1:81/f f\nhttp://{PUBLIC}/to-private g\n"));
    let program = env!("CARGO_BIN_EXE_downhaul");
    let run = |name: &str, args: &str| {
        format!(
            "mkdir {name}; (cd {name}; {program} {args} --on-error skip --log log > out 2>&1; echo $? > status); "
        )
    };
    let resolve = format!("--resolve rebound.example:80:{PUBLIC} --resolve rebound.example:81:127.0.0.1");
    let proxy = "--proxy http://127.0.0.1:83";
    let commands = [
        format!("nginx -p {here} -c {here}/nginx.conf; unset http_proxy https_proxy all_proxy; "),
        run("refused", &format!("--no-private http://{PUBLIC}/to-private")),
        run("allowed", &format!("http://{PUBLIC}/to-private")),
        run("public", &format!("--no-private http://{PUBLIC}/to-public")),
        run("private", "--no-private http://127.0.0.1:81/to-private"),
        run("forth", "--no-private http://127.0.0.1:81/back-and-forth"),
        run("rebound", &format!("--no-private http://rebound.example/to-itself {resolve}")),
        // The proxy, and not downhaul, connects to the host that redirects.
        run("proxied", &format!("--no-private --no-proxy 127.0.0.1 {proxy} http://{PUBLIC}/to-private")),
        // The connection for the first file leads to the private address. It is idle when the second file
        // begins.
        run("pooled", "--no-private -j 1 -i ../list"),
        "kill $(cat pid)".to_string(),
    ]
    .concat();
    let Some(()) = in_a_network_of_its_own(&place, &commands) else { return };
    let text = |name: &str, file: &str| {
        String::from_utf8(place.file(&format!("{name}/{file}")).unwrap_or_default()).expect("UTF-8")
    };
    for (name, is_refused) in [
        ("refused", true),
        ("allowed", false),
        ("public", false),
        ("private", false),
        ("forth", true),
        ("rebound", true),
        ("proxied", true),
    ] {
        let (out, status) = (text(name, "out"), text(name, "status"));
        assert_eq!(status.trim(), if is_refused { "1" } else { "0" }, "{name}: {out}");
        assert_eq!(text(name, "log").contains("redirect.private"), is_refused, "{name}: {out}");
    }
    let seen = text(".", "seen.log");
    assert_eq!(seen.matches("127.0.0.1:81 127.0.0.1 /f").count(), 3, "allowed, private and pooled: {seen}");
    assert!(!seen.contains("127.0.0.1:81 rebound.example"), "{seen}");
    assert!(text("pooled", "log").contains("redirect.private"), "{}", text("pooled", "out"));
    assert_eq!(place.file("pooled/f").as_deref(), Some(&content("f", 1000)[..]));
}

/// The URLs in a document count as URLs that a public host names, wherever the document came from.
#[test]
fn urls_that_a_document_or_a_server_names_do_not_lead_to_private_addresses() {
    let [lists, files] = [Server::start(), Server::start()];
    let (private, own) = (files.url("well_behaved/1000/f"), lists.url("well_behaved/1000/g"));
    let list = lists.put("/list", format!("{private}\n{own}\n"));
    let place = Place::new();
    let out = place.run(&["-i", &list, "--no-private", "--on-error", "skip"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(place.log().contains("redirect.private"), "{}", place.log());
    assert_eq!(place.file("g"), Some(content("g", 1000)), "the user gave a URL of this origin");
    let metalink = format!(
        "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"f\"><url>{private}</url></file></metalink>"
    );
    let place = Place::new();
    let out = place.run_with(&["-i", "-", "--no-private", "--on-error", "skip"], metalink.as_bytes());
    place.assert_failed(&out, 1, "leads to a private address");
    // A mirror that a server names, and a document about the file.
    for relation in ["duplicate", "describedby; type=\"application/metalink4+xml\""] {
        let target = encoded(&format!("<{private}>; rel={relation}"));
        let url = lists.url(&format!("capped/6000000/h?rate=6000000&sha256=1&link={target}"));
        let place = Place::new();
        let out = place.run(&[&url, "--no-private", "--mirrors", "auto"]);
        place.assert_exact(&out, "h", &content("h", 6_000_000));
    }
    assert!(files.requests().is_empty(), "{:?}", files.requests());
    // Without the option, private servers can be named.
    let place = Place::new();
    let out = place.run(&["-i", &list]);
    assert_eq!(out.status, 0, "{}", out.stderr);
}

/// Returns a server with TLS for `localhost` and 127.0.0.1, and a place with the certificate of its
/// authority.
fn secure() -> (Server, Place) {
    let authority = Authority::default();
    let place = Place::new();
    place.write("keys/ca.pem", authority.pem());
    (Server::start_tls(authority.config(Flaw::None)), place)
}

const WANTS_HTTPS: &str = "Strict-Transport-Security=max-age%3D1000";

#[test]
fn a_host_that_wants_https_gets_no_plain_request_in_the_rest_of_the_run() {
    for (host, header, more, is_secured) in [
        ("localhost", WANTS_HTTPS, &[][..], true),
        ("localhost", WANTS_HTTPS, &["--hsts", "off"], false),
        ("localhost", "Strict-Transport-Security=max-age%3D0", &[], false),
        ("localhost", "X=y", &[], false),
        // An address cannot require https (RFC 6797). Without verification, anyone could have sent the
        // header.
        ("127.0.0.1", WANTS_HTTPS, &[], false),
        ("localhost", WANTS_HTTPS, &["--insecure"], false),
    ] {
        let (server, place) = secure();
        let secure_url = |path: &str| server.url(path).replace("127.0.0.1", host);
        let plain = |path: &str| secure_url(path).replace("https://", "http://");
        place.write(
            "list",
            [
                secure_url(&format!("headers/1000/a?{header}")),
                plain("well_behaved/1000/b"),
                plain("well_behaved/1000/c"),
            ]
            .join("\n"),
        );
        let args = ["-i", "list", "-j", "1", "--cacert", "keys/ca.pem", "--on-error", "skip"];
        let out = place.run(&[&args[..], more].concat());
        assert!(place.file("a").is_some(), "{}", out.stderr);
        assert_eq!(out.status, if is_secured { 0 } else { 1 }, "{host} {header} {more:?}: {}", out.stderr);
        assert_eq!(place.file("b").is_some_and(|bytes| bytes == content("b", 1000)), is_secured);
    }
}

#[test]
fn an_upgrade_to_https_keeps_the_body_and_the_secrets_of_the_request() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config_for_clients(false));
    let place = Place::new();
    let (certificate, key) = authority.pem_pair();
    place.write("keys/ca.pem", authority.pem());
    place.write("keys/both.pem", certificate + &key);
    let here = |path: &str| server.url(path).replace("127.0.0.1", "localhost");
    let plain = here("well_behaved/1000/b").replace("https://", "http://");
    place.write("list", here(&format!("headers/1000/a?{WANTS_HTTPS}")) + "\n" + &plain);
    let secrets = ["--data", "body", "-H", "X-Key: key", "--cookie", "c=1", "--user", "me:pw"];
    let more = ["--auth", "basic", "--cacert", "keys/ca.pem", "--cert", "keys/both.pem"];
    let out = place.run(&[&["-i", "list", "-j", "1"], &secrets[..], &more].concat());
    place.assert_exact(&out, "b", &content("b", 1000));
    let request = &server.requests_for("/b")[0];
    assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", &b"body"[..]));
    for (name, value) in [("x-key", "key"), ("cookie", "c=1"), ("authorization", "Basic bWU6cHc=")] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(server.identified(), server.handshakes().0, "each connection has the client certificate");
}

#[test]
fn a_redirect_to_http_of_a_host_that_wants_https_is_no_downgrade() {
    let (server, place) = secure();
    let here = |path: &str| server.url(path).replace("127.0.0.1", "localhost");
    let plain = here("well_behaved/1000/b").replace("https://", "http://");
    let list = [here(&format!("headers/1000/a?{WANTS_HTTPS}")), here(&format!("redirect/0/b?to={plain}"))];
    place.write("list", list.join("\n"));
    let out = place.run(&["-i", "list", "-j", "1", "--cacert", "keys/ca.pem", "--on-error", "skip"]);
    place.assert_exact(&out, "b", &content("b", 1000));
    let out = place.run(&[&list[1], "-o", "c", "--cacert", "keys/ca.pem", "--on-error", "skip"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(place.log().contains("redirect.downgrade"), "{}", place.log());
}

#[test]
fn a_url_that_became_https_fails_with_advice_about_hsts() {
    let (server, place) = secure();
    let plain = Server::start();
    let secure_url = server.url(&format!("headers/1000/a?{WANTS_HTTPS}")).replace("127.0.0.1", "localhost");
    let url = plain.url("well_behaved/1000/b").replace("127.0.0.1", "localhost");
    place.write("list", format!("{secure_url}\n{url}\n"));
    let out = place.run(&["-i", "list", "-j", "1", "--cacert", "keys/ca.pem", "--on-error", "skip"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains("because of HSTS") && out.stderr.contains("--hsts off"), "{}", out.stderr);
    assert!(!out.stderr.contains("write http://"), "{}", out.stderr);
    assert!(plain.requests_for("1000/b").is_empty(), "no request was sent over http");
}
