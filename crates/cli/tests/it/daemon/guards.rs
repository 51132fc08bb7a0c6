//! Tests that web pages, other machines and other users cannot use the daemon, unless an option or the secret
//! allows it.

use super::Daemon;
use crate::common::Place;
use downhaul_testkit::server::Server;
use rustix::process::{Resource, Rlimit};
use serde_json::json;
use std::time::{Duration, Instant};

const VERSION: &str = r#"{"id":1,"method":"aria2.getVersion"}"#;

#[test]
fn pages_of_others_get_no_answer_and_extensions_do() {
    let place = Place::new();
    let allowed = ["--no-secret", "--allow-host", "nas.lan", "--allow-origin", "https://ariang.example"];
    let daemon = Daemon::start_with(&place, &allowed);
    let own = format!("Origin: http://127.0.0.1:{}\r\n", daemon.port);
    for (headers, status) in [
        ("", 200),
        (&*own, 200),
        ("Origin: chrome-extension://abc\r\n", 200),
        ("Origin: safari-web-extension://abc\r\n", 200),
        ("Origin: moz-extension://abc\r\nSec-Fetch-Site: cross-site\r\n", 200),
        ("Origin: https://ariang.example\r\n", 200),
        ("Host: nas.lan\r\n", 200),
        ("Host: localhost:1\r\n", 200),
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: file://\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Host: evil.example\r\n", 403),
        ("Host: evil.example\r\nOrigin: http://evil.example\r\n", 403),
        ("Host: localhost.evil.example\r\n", 403),
    ] {
        for path in ["/jsonrpc", "/rpc", "/jsonrpc?x"] {
            let answer = daemon.post(path, headers, VERSION);
            assert_eq!(answer.status, status, "{path} {headers}: {}", answer.body);
            let names_an_origin = answer.head.contains("access-control-allow-origin");
            assert_eq!(names_an_origin, status == 200 && headers.contains("Origin"), "{headers}");
            assert!(status != 200 || answer.head.contains("x-content-type-options: nosniff"));
        }
        let socket = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        if !headers.contains("Host:") {
            let request = format!("GET /jsonrpc HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}{socket}\r\n");
            let expected = if status == 200 && headers != own { 101 } else { 403 };
            let answer = std::thread::scope(|scope| scope.spawn(|| first_line(&daemon, &request)).join());
            assert_eq!(answer.expect("an answer"), expected, "{headers}");
        }
    }
}

#[test]
fn a_request_with_two_origins_is_refused_with_the_reason() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let own = format!("Origin: http://127.0.0.1:{}\r\n", daemon.port);
    let answer = daemon.post("/jsonrpc", &format!("{own}{own}"), VERSION);
    let why = "A request may have each of Host, Origin and Sec-Fetch-Site only once.";
    assert!(answer.status == 403 && answer.body.contains(why), "{} {}", answer.status, answer.body);
}

/// Returns the status of an answer without waiting for the end of the connection.
fn first_line(daemon: &Daemon, request: &str) -> u16 {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", daemon.port)).expect("a connection");
    stream.set_read_timeout(Some(super::SOON)).expect("a time limit");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a line");
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn a_wrong_token_is_refused_late_and_the_secret_is_private() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    for token in ["", r#","params":["token:wrong"]"#, r#","params":["token:"]"#] {
        let since = Instant::now();
        let answer =
            daemon.post("/jsonrpc", "", &format!(r#"{{"id":1,"method":"aria2.getVersion"{token}}}"#));
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(r#""message":"Unauthorized""#), "{}", answer.body);
        assert!(since.elapsed() >= Duration::from_millis(900));
    }
    // These two methods need no token.
    for method in ["system.listMethods", "system.listNotifications"] {
        assert_eq!(daemon.post("/jsonrpc", "", &format!(r#"{{"id":1,"method":"{method}"}}"#)).status, 200);
    }
    use std::os::unix::fs::PermissionsExt;
    for name in ["daemon-secret", "daemon.db"] {
        let mode = std::fs::metadata(place.state().join("downhaul").join(name))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    let options = daemon.done("aria2.getGlobalOption", json!([])).to_string();
    assert!(!options.contains(daemon.secret.as_deref().expect("a secret")));
}

#[test]
fn a_batch_tries_one_token_only() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let secret = daemon.secret.clone().expect("a secret");
    let call = |token: &str| format!(r#"{{"id":1,"method":"aria2.getVersion","params":["token:{token}"]}}"#);
    let answer = daemon.post("/jsonrpc", "", &format!("[{},{}]", call("wrong"), call(&secret)));
    assert!(!answer.body.contains("version"), "{}", answer.body);
    assert!(daemon.post("/jsonrpc", "", &call(&secret)).body.contains("version"));
}

#[test]
fn clients_that_send_nothing_do_not_shut_out_others() {
    // Each end of a connection takes a file descriptor of this process or of the daemon.
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", daemon.child.id())).expect("a process").count();
    let (mut silent, mut most) = (Vec::new(), 0);
    for number in 0..1120 {
        silent.push(std::net::TcpStream::connect(("127.0.0.1", daemon.port)).expect("a connection"));
        if number % 16 == 0 {
            most = most.max(open());
        }
    }
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        most = most.max(open());
    }
    // The last connections wait. Some of the open files belong to the program itself.
    assert!((1024..1100).contains(&most), "{most} files were open");
    daemon.done("aria2.getVersion", json!([]));
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    drop(silent);
}

#[test]
fn without_a_secret_only_this_machine_is_served() {
    let place = Place::new();
    let out = place.run(&["daemon", "--no-secret", "--listen", "0.0.0.0:0"]);
    assert_eq!(out.status, 2);
    assert!(out.stderr.contains("only on a loopback address"), "{}", out.stderr);
}

#[test]
fn calls_by_get_need_a_secret_and_the_name_of_a_function() {
    let place = Place::new();
    let open = Daemon::start_with(&place, &["--no-secret"]);
    assert_eq!(open.get("/jsonrpc?method=aria2.getVersion&id=a", "").status, 403);
    open.kill();
    let daemon = Daemon::start(&place);
    let params = base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        json!([format!("token:{}", daemon.secret.as_deref().expect("a secret"))]).to_string(),
    );
    let params = params.replace('+', "%2B").replace('=', "%3D").replace('/', "%2F");
    let answer =
        daemon.get(&format!("/jsonrpc?method=aria2.getVersion&id=a&params={params}&jsoncallback=cb"), "");
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("cb({") && answer.head.contains("text/javascript"), "{}", answer.body);
    let evil = "/jsonrpc?method=aria2.getVersion&id=a&jsoncallback=alert(1)//";
    assert_eq!(daemon.get(evil, "").status, 400);
}

#[test]
fn no_client_saves_a_file_outside_of_the_folders() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", b"abc".to_vec());
    let daemon = Daemon::start(&place);
    std::os::unix::fs::symlink(place.path(), place.path().join("files/link")).expect("a link");
    let outside = place.path().to_str().expect("text");
    for options in [
        json!({ "dir": "/" }),
        json!({ "dir": outside }),
        json!({ "dir": "../" }),
        json!({ "dir": "link" }),
        json!({ "out": "../a.bin" }),
        json!({ "out": "/a.bin" }),
        json!({ "out": "a/../../b" }),
        json!({ "out": "link/a.bin" }),
        json!({ "out": "link/a.bin", "allow-overwrite": "true" }),
        json!({ "header": "no colon" }),
    ] {
        daemon.refused("aria2.addUri", json!([[url], options]));
    }
    daemon.refused("aria2.changeGlobalOption", json!([{ "dir": outside }]));
    let paused = daemon.add(&url, json!({ "pause": true }));
    daemon.refused("aria2.changeOption", json!([paused, { "out": "link/b" }]));
    assert_eq!(daemon.api("POST", "/lists", &format!("{url} link/c")).0, 400);
    assert_eq!(place.file("a.bin"), None);
    // Options that name files or programs are accepted, and have no effect.
    let options =
        json!({ "log": "/tmp/x", "on-download-complete": "/bin/sh", "rpc-secret": "", "save-session": "x" });
    daemon.done("aria2.changeGlobalOption", json!([options]));
    let shown = daemon.done("aria2.getGlobalOption", json!([]));
    assert_eq!((shown.get("log"), shown.get("on-download-complete")), (None, None));
    let gid = daemon.add(&url, json!({ "dir": "sub" }));
    daemon.wait_for(&gid, "complete");
    assert_eq!(place.file("files/sub/a.bin"), Some(b"abc".to_vec()));
}

#[test]
fn a_body_that_is_too_long_or_too_deep_is_refused() {
    let place = Place::new();
    let daemon = Daemon::start_with(&place, &["--no-secret"]);
    let deep =
        format!(r#"{{"id":1,"method":"aria2.getVersion","params":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(daemon.post("/jsonrpc", "", &deep).status, 500);
    let long = format!(r#"{{"id":1,"method":"aria2.getVersion","params":["{}"]}}"#, "x".repeat(3 << 20));
    assert_eq!(daemon.post("/jsonrpc", "", &long).status, 413);
    let many = format!("[{}]", vec![VERSION; 10_001].join(","));
    assert_eq!(daemon.post("/jsonrpc", "", &many).status, 400);
    assert_eq!(daemon.post("/jsonrpc", "", VERSION).status, 200);
}
