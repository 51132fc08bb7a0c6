//! The commands for a running daemon, when another program listens at the address.

use super::{Daemon, SOON};
use crate::common::tcp::read_head;
use crate::common::{Place, finish, note, poll, send};
use downhaul_testkit::server::Server;
use rustix::fs::Uid;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A server that gives the same answer to each request, and keeps the requests.
struct Stranger {
    port: u16,
    requests: Arc<Mutex<String>>,
}

impl Stranger {
    fn start(body: &'static str) -> Stranger {
        Stranger::at("127.0.0.1:0", body).expect("a free port")
    }

    fn at(address: &str, body: &'static str) -> Option<Stranger> {
        Some(Stranger::with(TcpListener::bind(address).ok()?, body))
    }

    fn with(listener: TcpListener, body: &'static str) -> Stranger {
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().take(50) {
                let Ok(mut stream) = stream else { continue };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let mut bytes = [0; 4096];
                let read = stream.read(&mut bytes).unwrap_or(0);
                kept.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..read]));
                let length = body.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Stranger { port, requests }
    }

    #[track_caller]
    fn assert_no_secret(&self) {
        let requests = self.requests.lock().expect("no panic").to_ascii_lowercase();
        assert!(requests.starts_with("get /api/"), "no request arrived: {requests}");
        assert!(!requests.contains("authorization"), "{requests}");
    }
}

#[test]
fn a_program_that_took_the_port_of_a_killed_daemon_gets_no_secret() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let port = daemon.port;
    send(Signal::KILL, &daemon.child);
    let stranger = poll(SOON, || Stranger::at(&format!("127.0.0.1:{port}"), "{}")).expect("the port");
    drop(daemon);
    assert!(place.state().join("downhaul/daemon.json").exists());
    // The notice names a process that has ended, so the command goes to the usual port and not to the
    // stranger.
    place.run(&["list"]);
    let requests = stranger.requests.lock().expect("no panic").clone();
    assert_eq!(requests, "", "no request and no secret");
}

#[test]
fn a_program_on_another_loopback_address_gets_no_secret() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let address = format!("127.0.0.2:{}", daemon.port);
    let stranger = Stranger::at(&address, "{}").expect("the address is free");
    place.run(&["list", "--daemon", &address]);
    stranger.assert_no_secret();
    // The name localhost leads to the daemon itself.
    assert_eq!(place.run(&["list", "--daemon", &format!("localhost:{}", daemon.port)]).status, 0);
}

#[test]
fn a_password_in_the_url_of_a_daemon_is_refused_and_not_shown() {
    let place = Place::new();
    for url in ["http://me:hunter2@127.0.0.1:9/", "127.0.0.1:9/?token=hunter2", "127.0.0.1:9/#hunter2"] {
        let out = place.run(&["list", "--daemon", url]);
        assert!(out.status == 2 && !out.stderr.contains("hunter2"), "{url} {}: {}", out.status, out.stderr);
        let mut command = place.command(&["list"]);
        command.env("DOWNHAUL_DAEMON", url);
        let out = finish(command.spawn().expect("the program starts"));
        assert!(out.status == 2 && out.stderr.contains("DOWNHAUL_DAEMON: "), "{url}: {}", out.stderr);
    }
}

#[test]
fn an_answer_that_is_no_json_is_not_a_success() {
    let place = Place::new();
    place.write("list.txt", "http://127.0.0.1:1/a\n");
    for body in ["<html>", ""] {
        let stranger = Stranger::start(body);
        let address = format!("127.0.0.1:{}", stranger.port);
        let commands: &[&[&str]] = match body {
            "" => &[&["list"], &["list", "--json"], &["logs"], &["add", "-i", "list.txt"]],
            _ => &[
                &["pause", "--all"],
                &["remove", "--over"],
                &["remove", "0123456789abcdef", "--files"],
                &["list", "--json"],
                &["logs"],
                &["add", "-i", "list.txt"],
            ],
        };
        for args in commands {
            let out = place.run(&[args, &["--daemon", &address][..]].concat());
            assert_eq!(out.status, 1, "{args:?} {body}: {}", out.stderr);
        }
    }
}

#[test]
fn text_of_another_server_is_escaped_and_its_identifiers_are_checked() {
    let place = Place::new();
    let one = r#"{"count":1,"downloads":[{"id":"0123456789abcdef","state":"\u001b[31mred","name":"\u001b]0;x\u0007",
        "completed":0,"speed":0,"error":{"code":"\u001b[1m","message":""}}]}"#;
    let out = place.run(&["list", "--daemon", &format!("127.0.0.1:{}", Stranger::start(one).port)]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(!out.stdout.contains(&0x1b) && !out.stdout.contains(&7), "{:?}", out.stdout);
    let long = r#"{"count":1,"downloads":[{"id":"ID","state":"active","name":"a","completed":0,"speed":0},
        {"id":"ID","state":"active","name":"a","completed":0,"speed":0}]}"#;
    let long: &'static str = long.replace("ID", &"7".repeat(70_000)).leak();
    let out = place.run(&["list", "--daemon", &format!("127.0.0.1:{}", Stranger::start(long).port)]);
    assert!(out.status == 1 && out.stderr.contains("16 hexadecimal digits"), "{}", out.stderr);
}

#[test]
fn a_list_that_the_daemon_cannot_take_is_not_read_to_its_end() {
    let place = Place::new();
    let stranger = Stranger::start("{}");
    let address = format!("127.0.0.1:{}", stranger.port);
    let out = place.run(&["add", "-i", "/dev/zero", "--daemon", &address]);
    assert!(out.status == 1 && out.stderr.contains("at most 2 MiB"), "{}", out.stderr);
}

#[test]
fn watch_succeeds_though_the_result_of_a_complete_download_was_removed() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", b"a".to_vec());
    let daemon = Daemon::start(&place);
    let first = daemon.add(&url, serde_json::json!({ "out": "first" }));
    daemon.wait_for(&first, "complete");
    let second = daemon.add(&url, serde_json::json!({ "out": "second", "pause": "true" }));
    let watch = place.start(&["watch", &second, &first]);
    // A paused download prints no line, so only the time shows that the command has sent both requests.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(place.run(&["remove", "--over"]).status, 0);
    assert_eq!(place.run(&["resume", &second]).status, 0);
    let out = finish(watch);
    assert_eq!(out.status, 0, "{}", out.stderr);
}

/// Writes the secret that a daemon would have written. Returns its file.
fn write_secret(place: &Place) -> PathBuf {
    let file = place.state().join("downhaul/daemon-secret");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(&file, "hush\n").expect("ours");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("ours");
    file
}

#[test]
fn without_a_notice_the_usual_secret_is_sent_only_to_an_address_that_was_named() {
    let place = Place::new();
    write_secret(&place);
    let stranger = Stranger::start("{}");
    place.run(&["list", "--daemon", &format!("127.0.0.1:{}", stranger.port)]);
    let has_listener_tables = Path::new("/proc/net/tcp").exists();
    assert_eq!(stranger.requests.lock().expect("no panic").contains("hush"), has_listener_tables);
}

#[test]
fn the_usual_secret_is_not_sent_to_a_program_of_another_user() {
    let place = Place::new();
    let secret = write_secret(&place);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    if rustix::fs::fchown(&listener, Some(Uid::from_raw(12_345)), None).is_err() {
        return note("only the user root can give a socket to another user");
    }
    let stranger = Stranger::with(listener, "{}");
    let address = format!("127.0.0.1:{}", stranger.port);
    place.run(&["list", "--daemon", &address]);
    // The daemon of this notice was killed, and now another process has its number.
    let notice = serde_json::json!({
        "url": format!("http://{address}"), "needs_secret": true, "secret_file": secret, "certificate": null,
        "process": std::process::id()
    });
    std::fs::write(secret.with_file_name("daemon.json"), notice.to_string()).expect("a notice");
    place.run(&["list"]);
    place.run(&["list", "--daemon", &address]);
    stranger.assert_no_secret();
}

#[test]
fn commands_give_up_a_server_that_accepts_and_says_nothing() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("127.0.0.1:{}", listener.local_addr().expect("an address").port());
    // The system accepts the connections. The limit is a minute, so the commands wait together.
    let commands: Vec<_> = ["list", "watch", "attach"]
        .iter()
        .flat_map(|name| ["http", "https"].map(|scheme| (*name, format!("{scheme}://{address}"))))
        .map(|(name, url)| place.start(&[name, "--daemon", &url]))
        .collect();
    for command in commands {
        let out = finish(command);
        assert!(out.status == 1 && out.stderr.contains("no answer within a minute"), "{}", out.stderr);
    }
}

#[test]
fn a_daemon_that_is_not_there_is_one_error_for_all_arguments() {
    let place = Place::new();
    for args in [&["add", "http://h/1", "http://h/2"][..], &["pause", "1", "2"], &["remove", "1", "2"]] {
        let out = place.run(&[args, &["--daemon", "127.0.0.1:1"]].concat());
        let errors = out.stderr.matches("no daemon answers").count();
        assert_eq!((out.status, errors), (1, 1), "{args:?}: {}", out.stderr);
    }
}

#[test]
fn watch_says_why_it_cannot_ask_for_a_download_whose_events_it_missed() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("127.0.0.1:{}", listener.local_addr().expect("an address").port());
    let watch = place.start(&["watch", "0123456789abcdef", "--daemon", &address]);
    let answer = |head: &str, body: &str| {
        let (mut stream, _) = listener.accept().expect("a connection");
        read_head(&mut stream);
        stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n{body}").as_bytes()).expect("sent");
        stream
    };
    let mut events = answer("200 OK\r\nContent-Type: text/event-stream", "");
    let active = r#"{"id":"0123456789abcdef","state":"active","name":"a","completed":0,"speed":0}"#;
    drop(answer("200 OK\r\nConnection: close", active));
    events.write_all(b"data: {\"kind\":\"missed\"}\n\n").expect("sent");
    drop(answer("400 Bad Request\r\nConnection: close", r#"{"message":"the server is busy"}"#));
    let out = finish(watch);
    assert!(out.status == 1 && out.stderr.contains("the server is busy"), "{}: {}", out.status, out.stderr);
}
