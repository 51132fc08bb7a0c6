//! Requests for one URL that differ in their headers, their server or their login. They may get different
//! files, even if the files have the same size and entity tag.

use crate::common::Place;
#[cfg(unix)]
use crate::common::events;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

#[cfg(unix)]
const SIZE: u64 = 6_000_000;

#[test]
fn requests_with_other_headers_ask_for_another_file() {
    // Each pair of options requests two files of the same size and ETag.
    for (header, one, other) in [
        ("host", &["-H", "Host: site-a"][..], &["-H", "Host: site-b"][..]),
        ("x-fmt", &["-H", "X-Fmt: site-a"], &["-H", "X-Fmt: site-b"]),
        ("x-op", &["--data", "x", "-H", "X-Op: site-a"], &["--data", "x", "-H", "X-Op: site-b"]),
        (
            "content-type",
            &["--data", "x", "-H", "Content-Type: site-a"],
            &["--data", "x", "-H", "Content-Type: site-b"],
        ),
    ] {
        let server = Server::start();
        let url = server.url(&format!("chosen_by/1000/f?header={header}"));
        let place = Place::new();
        let run = |options: &[&str]| place.run(&[&[url.as_str(), "-o", "w"], options].concat());
        place.assert_exact(&run(one), "w", &content("site-a", 1000));
        let before = server.requests().len();
        let out = run(one);
        assert!(out.status == 0 && out.stderr.contains("as downloaded on"), "{one:?}: {}", out.stderr);
        assert_eq!(server.requests().len(), before, "no request was sent");
        let out = run(other);
        assert_eq!(out.status, 1, "{other:?}: {}", out.stderr);
        assert!(out.stderr.contains("by a request with other headers or options"), "{}", out.stderr);
        assert_eq!(place.file("w"), Some(content("site-a", 1000)), "the file is kept");
        let out = run(&[other, &["--if-exists", "update"]].concat());
        place.assert_exact(&out, "w", &content("site-b", 1000));
    }
}

#[test]
fn a_file_of_another_server_for_the_same_url_is_not_the_wanted_one() {
    let servers = [Server::start(), Server::start()];
    let to = |n: usize| {
        servers[n].put("/f", format!("file of server {n}"));
        format!("h.example:80:127.0.0.1:{}", servers[n].port())
    };
    let place = Place::new();
    let run = |n: usize| place.run(&["http://h.example/f", "--connect-to", &to(n)]);
    place.assert_exact(&run(0), "f", b"file of server 0");
    let out = run(1);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(run(0).status, 0);
}

#[test]
fn a_file_of_another_login_is_not_the_wanted_one() {
    let server = Server::start();
    let url = server.url("chosen_by/1000/f?header=authorization&bare=1");
    let basic = |user: &'static str| [url.clone(), "--auth".into(), "basic".into(), "-u".into(), user.into()];
    let bearer = |token: &'static str| [url.clone(), "--bearer".into(), token.into()];
    let cookie = |value: &'static str| [url.clone(), "-b".into(), value.into()];
    for (one, other) in [
        (&basic("ann:1")[..], &basic("bob:2")[..]),
        (&bearer("ann")[..], &bearer("bob")[..]),
        (&cookie("a=ann")[..], &cookie("a=bob")[..]),
    ] {
        let place = Place::new();
        let run = |args: &[String]| place.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(run(one).status, 0);
        let out = run(one);
        assert!(out.status == 0 && out.stderr.contains("as downloaded on"), "{}", out.stderr);
        let out = run(other);
        assert_eq!(out.status, 1, "{other:?}: {}", out.stderr);
        assert!(!out.stderr.contains("ann") && !place.log().contains("bob"), "{}", out.stderr);
    }
}

/// Tokens may change from day to day. With a new token, the server says if the file is still the same.
#[test]
fn with_a_new_token_the_server_is_asked_if_the_file_is_the_same() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/1000/f");
    place.assert_exact(&place.run(&[&url, "--bearer", "of-today"]), "f", &content("f", 1000));
    let before = server.requests().len();
    let out = place.run(&[&url, "--bearer", "of-tomorrow"]);
    assert!(out.status == 0 && out.stderr.contains("already exists, same size"), "{}", out.stderr);
    assert_eq!(server.requests().len(), before + 1);
}

/// This test is for Unix, because it sends Ctrl-C as a signal.
#[cfg(unix)]
#[test]
fn bytes_of_two_sites_at_one_url_are_never_joined() {
    use crate::common::{finish, send};
    let server = Server::start();
    let url = server.url(&format!("chosen_by/{SIZE}/f?header=host&rate=4000000"));
    let place = Place::new();
    let args =
        |host: &'static str| [url.clone(), "-o".into(), "w".into(), "-x1".into(), "-H".into(), host.into()];
    let start = |host: &'static str| place.start(&args(host).iter().map(String::as_str).collect::<Vec<_>>());
    let child = start("Host: site-a");
    place.wait_for_bytes("w.part", 1_500_000);
    send(rustix::process::Signal::INT, &child);
    finish(child);
    let out = finish(start("Host: site-b"));
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(place.file("w") == Some(content("site-b", SIZE)), "the file has no byte of the other site");
    assert!(
        place.files().contains(&"w.part".to_string()),
        "the other partial file is kept: {:?}",
        place.files()
    );
    std::fs::remove_file(place.path().join("w")).expect("removes");
    let again = [&url, "-o", "w", "-H", "Host: site-a", "--progress", "json"];
    let out = place.run(&again);
    place.assert_exact(&out, "w", &content("site-a", SIZE));
    assert!(events(&out).iter().any(|event| event["kind"] == "resumed"), "the partial file is resumed");
}

#[test]
fn lines_of_a_list_with_one_url_and_different_headers_are_different_downloads() {
    for (header, one, other) in
        [("x-page", "X-Page", "X-Page"), ("authorization", "Authorization", "Authorization")]
    {
        let server = Server::start();
        let url = server.url(&format!("chosen_by/1000/f?header={header}"));
        let place = Place::new();
        let line = |name: &str, value: &str| {
            format!("{{\"url\":\"{url}\",\"headers\":{{\"{name}\":\"{value}\"}}}}\n")
        };
        place.write("list", line(one, "1") + &line(other, "2") + &line(one, "1"));
        for run in 0..2 {
            let out = place.run(&["-i", "list"]);
            assert_eq!(out.status, 0, "run {run}: {}", out.stderr);
            assert_eq!(place.file("f"), Some(content("1", 1000)), "run {run}: {}", out.stderr);
            assert_eq!(place.file("f (1)"), Some(content("2", 1000)), "run {run}: {}", out.stderr);
            assert_eq!(place.files(), ["f", "f (1)", "list"], "run {run}: {}", out.stderr);
        }
        assert_eq!(server.requests_for("chosen_by").iter().filter(|one| one.method == "GET").count(), 2);
    }
}
