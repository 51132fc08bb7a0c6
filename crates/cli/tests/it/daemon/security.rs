//! Tests that the daemon is protected against attackers, as one table: each guard, and the attempts to pass
//! it.
//!
//! Invariant: after all attempts, no file and no download exists that an attacker wanted.
//!
//! This file is long because the table and its checks are read together.

use super::{Daemon, SOON};
use crate::common::{Place, poll};
use base64::prelude::{BASE64_STANDARD, Engine};
use downhaul_testkit::server::Server;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// The daemons, and the server with the file that an attacker wants to have saved.
struct World {
    place: Place,
    server: Server,
    /// A daemon with a secret.
    closed: Daemon,
    /// A daemon that needs no secret, so that web pages try to use it.
    open: Daemon,
    open_place: Place,
}

/// An attempt to pass a guard.
enum Try {
    /// A request to the daemon that needs no secret: the path, the header lines, and the status of the
    /// answer.
    Open(&'static str, &'static str, u16),
    /// A GET request with an upgrade to WebSocket, to the daemon that needs no secret.
    Socket(&'static str, &'static str, u16),
    /// A request to the daemon with a secret.
    Closed(&'static str, &'static str, u16),
    /// A client that knows the secret adds the file with these options (JSON), which must be refused.
    Add(&'static str),
    /// The server gives the file this name (`Content-Disposition`). The file must be saved below the
    /// folder.
    Name(&'static str),
    /// Another attempt. The function panics if the guard was passed.
    Other(fn(&World)),
}

use Try::{Add, Closed, Name, Open, Other, Socket};

/// The guards, with the attempts to pass them. An attempt takes one line, so that the table is easy to
/// read.
#[rustfmt::skip]
const TRIES: &[(&str, &str, Try)] = &[
    // The address: only this machine.
    ("loopback", "another machine connects", Other(only_loopback)),
    ("loopback", "the user forgets the secret on a public address", Other(no_secret_needs_loopback)),
    // The secret.
    ("secret", "another user of this machine reads the files of the daemon", Other(files_are_private)),
    ("secret", "another user puts a secret there that all can read", Other(public_secret_is_refused)),
    ("secret", "a program calls without it", Closed("/jsonrpc", "", 400)),
    ("secret", "a program reads the downloads without it", Closed("/api/v1/downloads", "GET", 401)),
    ("secret", "a program listens to the events without it", Closed("/api/v1/events", "GET", 401)),
    ("secret", "a program reads the log without it", Closed("/api/v1/log", "GET", 401)),
    ("secret", "a program guesses it", Closed("/api/v1/summary", "GET Authorization: Bearer secret\r\n", 401)),
    ("secret", "a program sends an empty one", Closed("/api/v1/summary", "GET Authorization: Bearer \r\n", 401)),
    ("secret", "a program sends it in another form", Other(secret_has_one_form)),
    ("secret", "a client asks for it", Other(secret_is_never_shown)),
    ("slow", "a program guesses many", Other(guesses_are_slow)),
    ("slow", "many connections guess at once", Other(guesses_do_not_shut_out_others)),
    ("slow", "many listeners without the secret take all places", Other(strangers_are_bounded)),
    // The name: pages whose name was made to lead to this machine (DNS rebinding).
    ("host", "a rebinding name", Open("/jsonrpc", "Host: evil.example\r\n", 403)),
    ("host", "a rebinding name with the port", Open("/jsonrpc", "Host: evil.example:6800\r\n", 403)),
    ("host", "a rebinding name, and its own origin", Open("/jsonrpc", "Host: evil.example\r\nOrigin: http://evil.example\r\n", 403)),
    ("host", "a name that begins like an allowed one", Open("/jsonrpc", "Host: localhost.evil.example\r\n", 403)),
    ("host", "a name that begins like an address", Open("/jsonrpc", "Host: 127.0.0.1.evil.example\r\n", 403)),
    ("host", "a name in front of an allowed one", Open("/jsonrpc", "Host: evil.example@localhost\r\n", 403)),
    ("host", "two names", Open("/jsonrpc", "Host: localhost\r\nHost: evil.example\r\n", 403)),
    ("host", "an empty name", Open("/jsonrpc", "Host: \r\n", 403)),
    ("host", "a name in the path", Open("http://evil.example/jsonrpc", "Host: localhost\r\n", 403)),
    ("host", "a rebinding name over XML", Open("/rpc", "Host: evil.example\r\n", 403)),
    ("host", "a rebinding name for the page", Open("/", "GET Host: evil.example\r\n", 403)),
    ("host", "a rebinding name for the interface", Open("/api/v1/downloads", "GET Host: evil.example\r\n", 403)),
    // The origin: pages of others.
    ("origin", "a page of someone else", Open("/jsonrpc", "Origin: https://evil.example\r\n", 403)),
    ("origin", "a page of someone else over XML", Open("/rpc", "Origin: https://evil.example\r\n", 403)),
    ("origin", "a page of someone else", Open("/api/v1/lists", "Origin: https://evil.example\r\n", 403)),
    ("origin", "a page in a sandbox", Open("/jsonrpc", "Origin: null\r\n", 403)),
    ("origin", "a page on the disk", Open("/jsonrpc", "Origin: file://\r\n", 403)),
    ("origin", "a page of another server on this machine", Open("/jsonrpc", "Origin: http://127.0.0.1:1\r\n", 403)),
    ("origin", "a page whose name ends like an allowed one", Open("/jsonrpc", "Origin: https://evil-ariang.example\r\n", 403)),
    ("origin", "a page below an allowed name", Open("/jsonrpc", "Origin: https://x.ariang.example\r\n", 403)),
    ("origin", "a page of an allowed name without TLS", Open("/jsonrpc", "Origin: http://ariang.example\r\n", 403)),
    ("origin", "a page named like an extension", Open("/jsonrpc", "Origin: https://chrome-extension\r\n", 403)),
    ("origin", "two origins", Open("/jsonrpc", "Origin: https://ariang.example\r\nOrigin: https://evil.example\r\n", 403)),
    ("origin", "a page listens over WebSocket", Socket("/jsonrpc", "Origin: https://evil.example\r\n", 403)),
    ("origin", "a page in a sandbox listens", Socket("/jsonrpc", "Origin: null\r\n", 403)),
    ("origin", "a page listens to the events", Socket("/api/v1/events", "Origin: https://evil.example\r\n", 403)),
    ("origin", "an old page without an origin", Open("/jsonrpc", "Sec-Fetch-Site: cross-site\r\n", 403)),
    ("origin", "a page asks what it may send", Other(preflight_of_a_page_is_refused)),
    // Forms, images and scripts of pages.
    ("GET", "an image calls a method", Open("/jsonrpc?method=aria2.shutdown&id=1", "GET", 403)),
    ("GET", "a script calls a method", Open("/jsonrpc?method=aria2.getVersion&id=1&jsoncallback=f", "GET", 403)),
    ("GET", "a script calls without the secret", Closed("/jsonrpc?method=aria2.getVersion&id=1", "GET", 400)),
    ("GET", "a HEAD request", Closed("/jsonrpc?method=aria2.getVersion&id=1", "HEAD", 403)),
    ("JSONP", "a program in the name of the function", Other(callbacks_are_names)),
    ("form", "a form sends text to the interface", Open("/api/v1/downloads", "Content-Type: text/plain\r\n", 415)),
    ("frame", "a page shows the daemon in a frame", Other(page_is_in_no_frame)),
    ("sniffing", "an answer is taken for a script", Other(answers_have_one_type)),
    // Bounds.
    ("bounds", "a long body", Other(long_bodies_are_refused)),
    ("bounds", "many long bodies at once", Other(long_bodies_wait_for_each_other)),
    ("bounds", "a deep body", Other(deep_bodies_are_refused)),
    ("bounds", "a batch of many calls", Other(batches_are_bounded)),
    // Folders.
    ("folders", "a client chooses the root", Add(r#"{"dir":"/"}"#)),
    ("folders", "a client chooses a folder above", Add(r#"{"dir":".."}"#)),
    ("folders", "a client goes up and down", Add(r#"{"dir":"sub/../../other"}"#)),
    ("folders", "a client follows a link", Add(r#"{"dir":"link"}"#)),
    ("folders", "a client names a file above", Add(r#"{"out":"../evil.bin"}"#)),
    ("folders", "a client names an absolute file", Add(r#"{"out":"/tmp/evil.bin"}"#)),
    ("folders", "a client names a file through a link", Add(r#"{"out":"link/evil.bin"}"#)),
    ("folders", "a client replaces a file through a link", Add(r#"{"out":"link/evil.bin","allow-overwrite":"true"}"#)),
    ("folders", "a client changes the folder of all", Other(folder_of_all_stays)),
    ("folders", "a client writes elsewhere by a list", Other(lists_stay_below)),
    ("names", "a server names a file above", Name("../evil.bin")),
    ("names", "a server names an absolute file", Name("/tmp/evil.bin")),
    ("names", "a server names a hidden file", Name(".bashrc")),
    ("names", "a server hides the path", Name("..%2fevil.bin")),
    ("names", "a server uses the other slash", Name("..\\evil.bin")),
    ("paths", "a client names files and programs", Other(paths_have_no_effect)),
    ("headers", "a client adds lines to a request", Add(r#"{"header":"X: a\rEvil: b"}"#)),
    ("headers", "a client adds lines by the user agent", Add(r#"{"user-agent":"a\r\nEvil: b"}"#)),
];

#[test]
fn every_attack_in_the_table_is_stopped_by_its_guard() {
    let (place, open_place, server) = (Place::new(), Place::new(), Server::start());
    let closed = Daemon::start(&place);
    let open = Daemon::start_with(&open_place, &["--no-secret", "--allow-origin", "https://ariang.example"]);
    std::os::unix::fs::symlink(place.path(), place.path().join("files/link")).expect("a link");
    let world = World { place, server, closed, open, open_place };
    for (guard, who, how) in TRIES {
        let what = format!("{guard}: {who}");
        match how {
            Open(path, headers, status) => {
                assert_eq!(status_of(&world.open, path, headers), *status, "{what}");
            }
            Closed(path, headers, status) => {
                assert_eq!(status_of(&world.closed, path, headers), *status, "{what}");
            }
            Socket(path, headers, status) => {
                let upgrade = format!("GET {headers}{UPGRADE}");
                assert_eq!(status_of(&world.open, path, &upgrade), *status, "{what}");
            }
            Add(options) => {
                let url = world.server.put("/evil.bin", b"evil".to_vec());
                let options: Value = serde_json::from_str(options).expect("JSON");
                let added = world.closed.call("aria2.addUri", json!([[url], options]));
                assert!(added.is_err(), "{what}: {added:?}");
            }
            Name(name) => server_name_stays_below(&world, name, &what),
            Other(check) => check(&world),
        }
    }
    // In the daemon that needs no secret, no attempt has left a download or a file. The daemon with a secret
    // has no file outside of its folder.
    assert_eq!(world.open.done("aria2.tellActive", json!([])), json!([]));
    assert_eq!(world.open.done("aria2.tellWaiting", json!([0, 10])), json!([]));
    assert_eq!(world.open_place.files(), Vec::<String>::new());
    let outside = world.place.files().into_iter().filter(|file| !file.starts_with("files/"));
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<String>::new());
    assert!(!std::path::Path::new("/tmp/evil.bin").exists());
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A call that a page or a program without the secret tries to make.
const EVIL: &str = r#"{"id":1,"method":"aria2.addUri","params":[["http://127.0.0.1:1/evil.bin"]]}"#;

/// Sends a request, and returns the status of the answer. `headers` may begin with a method other than POST.
fn status_of(daemon: &Daemon, path: &str, headers: &str) -> u16 {
    let (method, headers) = ["GET", "HEAD"]
        .into_iter()
        .find_map(|method| Some((method, headers.strip_prefix(method)?.trim_start())))
        .unwrap_or(("POST", headers));
    let host = if headers.contains("Host:") { String::new() } else { "Host: 127.0.0.1\r\n".into() };
    let body = if method == "POST" { EVIL } else { "" };
    let request =
        format!("{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    first_status(daemon, &request).1
}

/// Sends a request, and returns the connection with the status of the answer.
fn first_status(daemon: &Daemon, request: &str) -> (TcpStream, u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(40))).expect("a time limit");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut line = String::new();
    BufReader::new(stream.try_clone().expect("a copy")).read_line(&mut line).expect("a line");
    (stream, line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}

fn only_loopback(world: &World) {
    // The second column is the local address in hexadecimal digits (proc(5)).
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = format!(":{:04X}", world.closed.port);
    let addresses: Vec<&str> = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|local| local.ends_with(&port))
        .collect();
    // Only Linux has this table.
    assert_eq!(addresses.is_empty(), table.is_empty(), "the daemon listens: {table}");
    assert!(addresses.iter().all(|address| address.starts_with("0100007F")), "{addresses:?}");
}

fn no_secret_needs_loopback(world: &World) {
    let out = world.place.run(&["daemon", "--no-secret", "--listen", "0.0.0.0:0"]);
    assert!(out.status == 2 && out.stderr.contains("only on a loopback address"), "{}", out.stderr);
}

fn files_are_private(world: &World) {
    let folder = world.place.state().join("downhaul");
    for name in ["daemon-secret", "daemon.db", "daemon.json"] {
        let mode = folder.join(name).metadata().expect(name).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    assert_eq!(folder.metadata().expect("a folder").permissions().mode() & 0o077, 0);
    let notice = std::fs::read_to_string(folder.join("daemon.json")).expect("a notice");
    assert!(!notice.contains(world.closed.secret.as_deref().expect("a secret")));
}

fn public_secret_is_refused(_: &World) {
    let place = Place::new();
    place.write("secret", "known to all");
    let out = place.run(&["daemon", "--secret-file", "secret", "--listen", "127.0.0.1:0"]);
    assert!(out.status == 2 && out.stderr.contains("other users have rights to the file"), "{}", out.stderr);
}

fn secret_has_one_form(world: &World) {
    let secret = world.closed.secret.as_deref().expect("a secret");
    for headers in [
        format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("x:{secret}"))),
        format!("Authorization: {secret}\r\n"),
        format!("Authorization: Bearer {}\r\n", &secret[1..]),
        format!("Authorization: Bearer {}\r\n", secret.to_uppercase()),
        format!("Cookie: secret={secret}\r\n"),
    ] {
        // A browser would also send a secret in a cookie for a request of another page.
        let path = format!("/api/v1/summary?secret={secret}&token={secret}");
        assert_eq!(status_of(&world.closed, &path, &format!("GET {headers}")), 401, "{headers}");
    }
}

fn secret_is_never_shown(world: &World) {
    let secret = world.closed.secret.as_deref().expect("a secret");
    for method in ["aria2.getGlobalOption", "aria2.getSessionInfo", "aria2.getVersion"] {
        assert!(!world.closed.done(method, json!([])).to_string().contains(secret), "{method}");
    }
    for path in ["/settings", "/summary", "/log", "/downloads"] {
        assert!(!world.closed.api("GET", path, "").1.to_string().contains(secret), "{path}");
    }
}

fn guesses_are_slow(world: &World) {
    let since = Instant::now();
    let call = r#"{"id":1,"method":"aria2.getVersion","params":["token:guess"]}"#;
    for _ in 0..3 {
        assert_eq!(world.closed.post("/jsonrpc", "", call).status, 400);
    }
    assert!(since.elapsed() >= Duration::from_millis(2700), "{:?}", since.elapsed());
}

fn guesses_do_not_shut_out_others(world: &World) {
    let guess = "GET /api/v1/summary HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer guess\r\n\r\n";
    let waiting: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", world.closed.port)).expect("a connection");
            stream.write_all(guess.as_bytes()).expect("sent");
            stream
        })
        .collect();
    // If enough guesses wait, further guesses are refused at once, and take no place.
    assert!(poll(SOON, || (first_status(&world.closed, guess).1 == 429).then_some(())).is_some());
    let call = r#"{"id":1,"method":"aria2.getVersion","params":["token:guess"]}"#;
    assert_eq!(world.closed.post("/jsonrpc", "", call).status, 429);
    let since = Instant::now();
    world.closed.done("aria2.getVersion", json!([]));
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    drop(waiting);
}

fn strangers_are_bounded(world: &World) {
    let upgrade = format!("GET /jsonrpc HTTP/1.1\r\nHost: 127.0.0.1\r\n{UPGRADE}\r\n");
    let mut all: Vec<(TcpStream, u16)> = (0..70).map(|_| first_status(&world.closed, &upgrade)).collect();
    let count = |status: u16| all.iter().filter(|(_, found)| *found == status).count();
    assert_eq!((count(101), count(429)), (64, 6));
    all.clear();
    // The places of the closed connections are free again.
    assert!(poll(SOON, || (first_status(&world.closed, &upgrade).1 == 101).then_some(())).is_some());
}

fn preflight_of_a_page_is_refused(world: &World) {
    for path in ["/jsonrpc", "/rpc", "/api/v1/downloads"] {
        let answer = world.open.send(&format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Private-Network: true\r\n\
             Connection: close\r\n\r\n"
        ));
        assert_eq!(answer.status, 403, "{path}");
        assert!(!answer.head.contains("access-control-allow"), "{path}: {}", answer.head);
    }
}

fn callbacks_are_names(world: &World) {
    let secret = world.closed.secret.as_deref().expect("a secret");
    let params = BASE64_STANDARD.encode(json!([format!("token:{secret}")]).to_string());
    let params = params.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    for (callback, status) in
        [("f", 200), ("a.b", 200), ("alert(1)//", 400), ("%3Cscript%3E", 400), ("a;b", 400)]
    {
        let path = format!("/jsonrpc?method=aria2.getVersion&id=1&params={params}&jsoncallback={callback}");
        assert_eq!(status_of(&world.closed, &path, "GET"), status, "{callback}");
    }
}

fn page_is_in_no_frame(world: &World) {
    let head = world.open.get("/", "").head;
    for part in ["frame-ancestors 'none'", "default-src 'none'", "script-src 'self'", "no-referrer"] {
        assert!(head.contains(part), "{part}: {head}");
    }
}

fn answers_have_one_type(world: &World) {
    for path in ["/", "/page/main.js", "/api/v1/downloads", "/api/v1/openapi.json", "/none"] {
        let head = world.open.get(path, "").head;
        assert!(head.contains("x-content-type-options: nosniff"), "{path}: {head}");
    }
}

fn long_bodies_are_refused(world: &World) {
    let long = format!(r#"{{"id":1,"method":"aria2.getVersion","params":["{}"]}}"#, "x".repeat(3 << 20));
    for path in ["/jsonrpc", "/rpc", "/api/v1/lists"] {
        assert_eq!(world.open.post(path, "", &long).status, 413, "{path}");
    }
}

fn long_bodies_wait_for_each_other(world: &World) {
    // These clients announce a long body, and send nothing.
    let head = "POST /jsonrpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000000\r\n\r\n";
    let silent: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", world.open.port)).expect("a connection");
            stream.write_all(head.as_bytes()).expect("sent");
            stream
        })
        .collect();
    let since = Instant::now();
    world.open.done("aria2.getVersion", json!([]));
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    drop(silent);
    // A request with a long list and the secret does not wait for clients without the secret.
    let head = "POST /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000000\r\n\r\n";
    let silent: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", world.closed.port)).expect("a connection");
            stream.write_all(head.as_bytes()).expect("sent");
            stream
        })
        .collect();
    let since = Instant::now();
    let list = "# a comment\n".repeat(8_000);
    assert_eq!(world.closed.api("POST", "/lists", &list).1["mistakes"][0], "The list has no files.");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    drop(silent);
}

fn deep_bodies_are_refused(world: &World) {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(world.open.post("/jsonrpc", "", &deep).status, 500);
    assert_eq!(world.open.post("/api/v1/downloads", "Content-Type: application/json\r\n", &deep).status, 422);
    let deep = format!("<methodCall>{}", "<array><data><value>".repeat(50_000));
    let answer = world.open.post("/rpc", "", &deep);
    assert!(answer.body.contains("<fault>"), "{}", answer.body);
}

fn batches_are_bounded(world: &World) {
    let calls = vec![json!({ "id": 1, "method": "system.listMethods" }); 20_000];
    let answer = world.open.post("/jsonrpc", "", &Value::from(calls).to_string());
    assert!(answer.status != 200 && answer.body.contains("A batch may have at most"), "{}", answer.status);
}

fn folder_of_all_stays(world: &World) {
    world.closed.refused("aria2.changeGlobalOption", json!([{ "dir": "/" }]));
    assert_eq!(world.closed.api("PATCH", "/settings", r#"{"dir":"/"}"#).0, 400);
}

fn lists_stay_below(world: &World) {
    let url = world.server.put("/evil.bin", b"evil".to_vec());
    for list in [
        format!("{url} ../evil.bin\n"),
        format!("{url} /tmp/evil.bin\n"),
        format!("{url} link/evil.bin\n"),
        format!("{}\n", json!({ "url": url, "name": "../evil.bin" })),
        format!(
            "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"../evil.bin\"><url>{url}</url>\
             </file></metalink>"
        ),
    ] {
        let (status, answer) = world.closed.api("POST", "/lists", &list);
        // A name in a list of JSON is made safe. All other lists are refused.
        let ids = answer["ids"].as_array().cloned().unwrap_or_default();
        assert!(status == 400 || list.starts_with('{'), "{list}: {answer}");
        for id in &ids {
            let done = world.closed.wait_for(id.as_str().expect("an id"), "complete");
            let path = done["files"][0]["path"].as_str().expect("a path");
            let folder = world.place.path().join("files").canonicalize().expect("a folder");
            assert_eq!(std::path::Path::new(path).parent(), Some(folder.as_path()), "{list}");
        }
    }
}

/// Downloads a file to which the server gives this name. Asserts that it is saved in the folder, and removes
/// it.
fn server_name_stays_below(world: &World, name: &str, what: &str) {
    let quoted = name.replace('\\', "\\\\");
    let url = world.server.url(&format!(
        "named/1000/f?disposition={}",
        url::form_urlencoded::byte_serialize(format!("attachment; filename=\"{quoted}\"").as_bytes())
            .collect::<String>()
    ));
    let gid = world.closed.add(&url, json!({}));
    let done = world.closed.wait_for(&gid, "complete");
    let path = done["files"][0]["path"].as_str().expect("a path").to_string();
    let below = world.place.path().join("files").canonicalize().expect("a folder");
    let path = std::path::PathBuf::from(path);
    assert_eq!(path.parent(), Some(below.as_path()), "{what}: {}", path.display());
    assert!(!path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')), "{what}");
    std::fs::remove_file(path).expect("it is there");
}

fn paths_have_no_effect(world: &World) {
    let evil = world.place.path().join("evil");
    let evil = evil.to_str().expect("text");
    let mut options = json!({});
    for name in
        ["log", "save-session", "save-cookies", "server-stat-of", "on-download-complete", "on-download-start"]
    {
        options[name] = evil.into();
    }
    world.closed.done("aria2.changeGlobalOption", json!([options]));
    let url = world.server.put("/good.bin", b"good".to_vec());
    let gid = world.closed.add(&url, options);
    world.closed.wait_for(&gid, "complete");
    world.closed.done("aria2.saveSession", json!([]));
    assert!(!std::path::Path::new(evil).exists());
}
