//! Tests of the daemon's own interface: JSON over HTTP.

use super::{Daemon, SOON};
use crate::common::{Place, poll};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

#[test]
fn a_download_is_added_changed_and_removed_with_its_file() {
    let (server, place) = (Server::start(), Place::new());
    let bytes = content("a", 50_000);
    let url = server.put("/a.bin", bytes.clone()).replace("://", "://me:hush@");
    let daemon = Daemon::start(&place);
    let new = json!({ "urls": [url], "options": { "out": "x/b.bin" }, "paused": true });
    let (status, download) = daemon.api("POST", "/downloads", &new.to_string());
    assert_eq!((status, &download["state"], &download["position"]), (201, &json!("paused"), &json!(0)));
    assert!(!download.to_string().contains("hush"), "{download}");
    let path = format!("/downloads/{}", download["id"].as_str().expect("an id"));
    let (_, other) = daemon.api("POST", "/downloads", r#"{"urls":["http://127.0.0.1:1/z"],"paused":true}"#);
    assert_eq!(other["position"], 1);
    let (status, moved) =
        daemon.api("PATCH", &path, r#"{"position":1,"options":{"max-download-limit":"1M"}}"#);
    assert_eq!((status, &moved["position"], &moved["limit"]), (200, &json!(1), &json!(1 << 20)));
    assert_eq!(daemon.api("PATCH", &path, r#"{"urls":["http://"]}"#).0, 400);
    daemon.api("PATCH", &path, r#"{"paused":false}"#);
    poll(SOON, || (daemon.api("GET", &path, "").1["state"] == "complete").then_some(())).expect("complete");
    let (_, done) = daemon.api("GET", &path, "");
    assert_eq!(
        (&done["name"], &done["total"], &done["proof"]),
        (&json!("b.bin"), &json!(50_000), &json!("size only"))
    );
    assert_eq!(place.file("files/x/b.bin"), Some(bytes));
    let (_, found) = daemon.api("GET", "/downloads?search=B.BIN&sequence=over", "");
    assert_eq!((&found["count"], &found["downloads"][0]["id"]), (&json!(1), &done["id"]));
    assert_eq!(daemon.api("DELETE", &format!("{path}?files=true"), "").0, 204);
    assert_eq!(place.file("files/x/b.bin"), None);
    assert_eq!(daemon.api("GET", &path, "").0, 404);
}

#[test]
fn an_active_download_is_removed_with_its_partial_file() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 3_000_000));
    let daemon = Daemon::start(&place);
    let new = json!({ "urls": [url], "options": { "max-download-limit": "500K" } });
    let (_, download) = daemon.api("POST", "/downloads", &new.to_string());
    let path = format!("/downloads/{}", download["id"].as_str().expect("an id"));
    place.wait_for_bytes("files/a.bin.part", 1);
    assert_eq!(daemon.api("DELETE", &format!("{path}?files=true"), "").0, 204);
    let is_gone = || !place.files().iter().any(|file| file.contains("a.bin"));
    assert!(poll(SOON, || is_gone().then_some(())).is_some(), "{:?}", place.files());
}

#[test]
fn a_list_in_any_form_is_added_as_a_whole_or_not_at_all() {
    let (server, place) = (Server::start(), Place::new());
    let (one, two) = (server.put("/1.bin", b"1".to_vec()), server.put("/2.bin", b"2".to_vec()));
    let daemon = Daemon::start(&place);
    let (status, listed) = daemon.api("POST", "/lists", &format!("{one}\nnot a url at all:\n"));
    assert_eq!((status, listed["ids"].as_array().map(Vec::len)), (400, Some(0)), "{listed}");
    assert!(listed["mistakes"][0].as_str().is_some_and(|why| why.starts_with("line 2: ")), "{listed}");
    let (status, listed) = daemon.api("POST", "/lists", "# only a comment\n");
    assert_eq!((status, &listed["mistakes"][0]), (400, &Value::from("The list has no files.")), "{listed}");
    let table = format!("url,name\n{one},a.bin\n{two},b.bin\n");
    let (status, listed) = daemon.api("POST", "/lists?name=t.csv", &table);
    assert_eq!((status, listed["ids"].as_array().map(Vec::len)), (201, Some(2)), "{listed}");
    for id in listed["ids"].as_array().expect("a list") {
        daemon.wait_for(id.as_str().expect("an id"), "complete");
    }
    let of_a_spreadsheet = format!("\u{feff}url,name\r\n{one},c.bin\r\n");
    let (status, listed) = daemon.api("POST", "/lists?name=t.csv", &of_a_spreadsheet);
    assert_eq!(status, 201, "{listed}");
    let (status, listed) = daemon.api("POST", "/lists?name=t.csv", "a,b\n1,2\n");
    assert!(status == 400 && !listed.to_string().contains("line 0"), "{listed}");
    assert_eq!(
        (place.file("files/a.bin"), place.file("files/b.bin")),
        (Some(b"1".to_vec()), Some(b"2".to_vec()))
    );
}

/// The stream of the events of a daemon.
struct Events(BufReader<TcpStream>);

impl Events {
    /// Listens, and waits until the stream has begun.
    fn of(daemon: &Daemon) -> Events {
        let mut stream = TcpStream::connect(("127.0.0.1", daemon.port)).expect("a connection");
        stream.set_read_timeout(Some(SOON)).expect("a time limit");
        let secret = daemon.secret.as_deref().expect("a secret");
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut events = Events(BufReader::new(stream));
        assert_eq!(events.next()["kind"], "progress");
        events
    }

    fn next(&mut self) -> Value {
        let mut lines = self.0.by_ref().lines().map_while(Result::ok);
        let line = lines.find_map(|line| line.strip_prefix("data: ").map(String::from)).expect("an event");
        serde_json::from_str(&line).expect("JSON")
    }
}

#[test]
fn events_say_that_a_download_was_added_started_and_completed() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 10_000));
    let daemon = Daemon::start(&place);
    let mut events = Events::of(&daemon);
    let gid = daemon.add(&url, json!({}));
    let mut kinds = Vec::new();
    while kinds.last().map(String::as_str) != Some("completed") {
        let event = events.next();
        if event["id"] == gid.as_str() {
            kinds.push(event["kind"].as_str().expect("a kind").to_string());
        }
    }
    assert_eq!(kinds, ["changed", "started", "completed"]);
}

#[test]
fn the_parts_of_a_file_that_are_on_the_disk_are_shown() {
    let (server, place) = (Server::start(), Place::new());
    const PIECE: u64 = 1 << 20;
    let daemon = Daemon::start_with(&place, &["-x", "2"]);
    // A piece has the shortest possible length, 1 MiB.
    let gid =
        daemon.add(&server.url("slow/60000000/f?rate=6000000"), json!({ "piece-length": PIECE.to_string() }));
    let whole = |[from, to]: &[u64; 2]| from.div_ceil(PIECE) < to / PIECE;
    let found = poll(SOON, || {
        let download = daemon.api("GET", &format!("/downloads/{gid}"), "").1;
        let parts: Vec<[u64; 2]> = serde_json::from_value(download["ranges"].clone()).expect("ranges");
        let completed = download["completed"].as_u64().expect("a number");
        assert!(parts.iter().map(|[from, to]| to - from).sum::<u64>() <= completed, "{download}");
        assert!(parts.is_sorted() && parts.iter().all(|[from, to]| from < to), "{download}");
        parts.into_iter().find(|part| whole(part))
    });
    // The first piece that is within this part has arrived.
    let piece = usize::try_from(found.expect("a part")[0].div_ceil(PIECE)).expect("a number");
    let bits = daemon.status(&gid)["bitfield"].as_str().expect("bits").to_string();
    let four = u32::from_str_radix(&bits[piece / 4..=piece / 4], 16).expect("a digit");
    assert!(four & (8 >> (piece % 4)) != 0, "piece {piece} in {bits}");
}

#[test]
fn events_say_which_results_were_forgotten() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", b"a".to_vec());
    let daemon = Daemon::start(&place);
    assert_eq!(daemon.api("PATCH", "/settings", r#"{"max-download-result":"1"}"#).0, 200);
    let first = daemon.add(&url, json!({ "out": "1" }));
    daemon.wait_for(&first, "complete");
    let mut events = Events::of(&daemon);
    let second = daemon.add(&url, json!({ "out": "2" }));
    daemon.wait_for(&second, "complete");
    let last = daemon.add(&url, json!({ "out": "3" }));
    // The events come in order, so the first result was forgotten before the last download ends.
    let gone = std::iter::from_fn(|| Some(events.next()))
        .take_while(|event| event["kind"] != "completed" || event["id"] != last.as_str())
        .find(|event| event["kind"] == "gone");
    assert_eq!(gone.map(|event| event["id"].clone()), Some(first.into()));
}

#[test]
fn every_refusal_is_json_with_a_code() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let secret = format!("Authorization: Bearer {}\r\n", daemon.secret.as_deref().expect("a secret"));
    let json = format!("{secret}Content-Type: application/json\r\n");
    let long = "x".repeat(3 << 20);
    for (path, headers, body, status, code) in [
        ("/downloads", &secret, "{}", 415, "request.not_json"),
        ("/downloads", &json, "{", 400, "request.refused"),
        ("/downloads", &json, r#"{"urls":7}"#, 422, "request.malformed"),
        ("/downloads", &json, r#"{"urls":["ftp://h/"]}"#, 400, "request.refused"),
        ("/downloads", &String::new(), "{}", 401, "request.unauthorized"),
        ("/lists?paused=7", &secret, "", 400, "request.refused"),
        ("/downloads/00/retry", &secret, "", 404, "request.not_found"),
        ("/none", &secret, "", 404, "request.not_found"),
        ("/summary", &secret, "", 405, "request.method"),
        ("/lists", &secret, &long, 413, "request.too_long"),
        ("/lists", &"Origin: http://evil.example\r\n".to_string(), "", 403, "request.forbidden"),
    ] {
        let answer = daemon.post(&format!("/api/v1{path}"), headers, body);
        let refusal: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        assert_eq!(
            (answer.status, refusal["code"].as_str()),
            (status, Some(code)),
            "{path}: {}",
            answer.body
        );
        assert!(refusal["message"].as_str().is_some_and(|why| !why.is_empty()), "{path}");
    }
}

#[test]
fn a_list_can_be_added_paused() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let list = "http://127.0.0.1:1/a\nhttp://127.0.0.1:1/b\n";
    let (status, _) = daemon.api("POST", "/lists?paused=true", list);
    let (_, all) = daemon.api("GET", "/downloads", "");
    let states: Vec<_> =
        all["downloads"].as_array().expect("a list").iter().map(|one| &one["state"]).collect();
    assert_eq!((status, states), (201, vec![&json!("paused"), &json!("paused")]));
    assert_eq!(daemon.api("PATCH", "/downloads", r#"{"paused":false}"#).0, 204);
    assert_eq!(daemon.api("PATCH", "/downloads", r#"{"paused":true}"#).0, 204);
}

#[test]
fn requests_without_the_secret_are_refused_except_for_the_description() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    for path in ["/downloads", "/summary", "/settings", "/events"] {
        assert_eq!(daemon.get(&format!("/api/v1{path}"), "").status, 401, "{path}");
        assert_eq!(
            daemon.get(&format!("/api/v1{path}"), "Authorization: Bearer x\r\n").status,
            401,
            "{path}"
        );
    }
    let description = daemon.get("/api/v1/openapi.json", "");
    let description: Value = serde_json::from_str(&description.body).expect("JSON");
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    for path in ["/downloads", "/downloads/{id}", "/lists", "/summary", "/settings", "/events"] {
        assert!(description["paths"].get(path).is_some(), "{path}");
    }
    let (status, settings) = daemon.api("PATCH", "/settings", r#"{"max-concurrent-downloads":7}"#);
    assert_eq!((status, &settings["max-concurrent-downloads"]), (200, &json!("7")));
    assert_eq!(daemon.api("PATCH", "/settings", r#"{"max-concurrent-downloads":"many"}"#).0, 400);
    assert_eq!(daemon.api("GET", "/summary", "").1["queued"], 0);
}

#[test]
#[cfg(target_os = "linux")]
fn downloads_end_while_the_library_accepts_no_further_ones() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 2_000_000));
    let daemon = Daemon::start(&place);
    daemon.done("aria2.changeGlobalOption", json!([{ "max-concurrent-downloads": "1000" }]));
    let gid = daemon.add(&url, json!({ "max-download-limit": "100K" }));
    place.wait_for_bytes("files/a.bin.part", 1);
    // The library starts no more files while 64 of them wait for their hosts. Each server is a host.
    let busy: Vec<Server> = (2..68).map(|n| Server::start_with_address(&format!("127.0.0.{n}"))).collect();
    let hosts = busy.iter().map(|host| host.url("busy_always/1000/b?after=100") + "\n");
    let others = (0..300).map(|n| format!("{}\n", server.url(&format!("status/1/{n}?status=404"))));
    assert_eq!(daemon.api("POST", "/lists", &hosts.collect::<String>()).0, 201);
    let begun = || busy.iter().filter(|host| !host.requests().is_empty()).count();
    assert!(poll(SOON, || (begun() >= 64).then_some(())).is_some(), "{}", begun());
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(daemon.api("POST", "/lists", &others.collect::<String>()).0, 201);
    std::thread::sleep(std::time::Duration::from_secs(1));
    daemon.done("aria2.changeOption", json!([gid, { "max-download-limit": "0" }]));
    daemon.wait_for(&gid, "complete");
}

#[test]
fn the_scheme_of_the_secret_may_have_any_case() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let secret = daemon.secret.as_deref().expect("a secret");
    for (scheme, status) in [("bearer", 200), ("BEARER", 200), ("Basic", 401), ("Bearer-", 401)] {
        let header = format!("Authorization: {scheme} {secret}\r\n");
        assert_eq!(daemon.get("/api/v1/summary", &header).status, status, "{scheme}");
    }
}

#[test]
fn a_limit_that_is_too_high_and_unknown_options_are_refused() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    assert_eq!(daemon.api("GET", "/downloads?limit=10000", "").0, 200);
    let (status, refused) = daemon.api("GET", "/downloads?limit=10001", "");
    assert!(status == 400 && refused["message"].to_string().contains("10000"), "{refused}");
    let gid = daemon.add("http://127.0.0.1:1/a", json!({ "pause": "true", "outt": "x" }));
    let new = json!({ "urls": ["http://127.0.0.1:1/a"], "options": { "outt": "x" } });
    for (method, path, body) in [
        ("POST", "/downloads", new),
        ("PATCH", &*format!("/downloads/{gid}"), json!({ "options": { "outt": "x" } })),
        ("PATCH", "/settings", json!({ "outt": "x" })),
    ] {
        let (status, refused) = daemon.api(method, path, &body.to_string());
        assert!(status == 400 && refused["message"] == "There is no option outt.", "{path}: {refused}");
    }
}

#[test]
fn clients_see_the_options_that_are_in_force() {
    let place = Place::new();
    let daemon = Daemon::start_with(&place, &["--retries", "1", "-x", "3", "--timeout", "7", "-A", "me"]);
    let gid = daemon.add("http://127.0.0.1:1/a", json!({ "pause": "true", "timeout": "9", "dir": "sub" }));
    let (_, settings) = daemon.api("GET", "/settings", "");
    let of_one = daemon.done("aria2.getOption", json!([gid]));
    for (name, value) in [("max-tries", "2"), ("split", "3"), ("connect-timeout", "10"), ("user-agent", "me")]
    {
        assert_eq!((&settings[name], &of_one[name]), (&json!(value), &json!(value)), "{name}");
    }
    assert_eq!((&settings["timeout"], &of_one["timeout"]), (&json!("7"), &json!("9")));
    let (_, shown) = daemon.api("GET", &format!("/downloads/{gid}"), "");
    let folder = place.path().join("files").canonicalize().expect("a folder").join("sub");
    assert_eq!(shown["folder"], folder.to_string_lossy().as_ref());
}

#[test]
fn the_option_pause_has_the_same_effect_as_the_field_paused() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let new = json!({ "urls": ["http://127.0.0.1:1/a"], "options": { "pause": "true" } });
    let (status, download) = daemon.api("POST", "/downloads", &new.to_string());
    assert_eq!((status, &download["state"]), (201, &json!("paused")), "{download}");
}
