//! Tests of the methods of aria2: their results, and the words of their errors.

use super::{Daemon, SOON};
use crate::common::tcp::read_head;
use crate::common::{Place, poll};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use serde_json::{Value, json};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use tungstenite::Message;

#[test]
fn a_download_is_added_shown_and_complete() {
    let (server, place) = (Server::start(), Place::new());
    let bytes = content("a", 100_000);
    let url = server.put("/a.bin", bytes.clone());
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&url, json!({ "out": "b/c.bin", "header": ["X-A: 1"] }));
    let status = daemon.wait_for(&gid, "complete");
    let path = place.path().join("files/b/c.bin").canonicalize().expect("a path");
    assert_eq!(status["files"][0]["path"], path.to_str().expect("text"));
    for (name, value) in [
        ("totalLength", "100000"),
        ("completedLength", "100000"),
        ("errorCode", "0"),
        ("connections", "0"),
        ("numPieces", "1"),
        ("bitfield", "80"),
    ] {
        assert_eq!(status[name], value, "{name}");
    }
    assert_eq!(place.file("files/b/c.bin"), Some(bytes));
    assert_eq!(server.requests_for("/a.bin")[0].header("x-a"), Some("1"));
    let stopped = daemon.done("aria2.tellStopped", json!([-1, 10, ["gid", "status"]]));
    assert_eq!(stopped, json!([{ "gid": gid, "status": "complete" }]));
    assert_eq!(daemon.done("aria2.getGlobalStat", json!([]))["numStopped"], "1");
    assert_eq!(daemon.done("aria2.removeDownloadResult", json!([gid])), "OK");
    assert_eq!(daemon.refused("aria2.tellStatus", json!([gid])), format!("GID {gid} is not found"));
}

#[test]
fn a_second_download_of_the_same_name_gets_a_number_and_a_failure_has_the_code_of_aria2() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 5000));
    let daemon = Daemon::start(&place);
    let (one, two) = (daemon.add(&url, json!({})), daemon.add(&url, json!({})));
    daemon.wait_for(&one, "complete");
    daemon.wait_for(&two, "complete");
    assert_eq!(
        place.files().iter().filter(|file| file.starts_with("files/a")).count(),
        2,
        "{:?}",
        place.files()
    );
    let three = daemon.add(&url, json!({ "auto-file-renaming": "false" }));
    assert_eq!(daemon.wait_for(&three, "error")["errorCode"], "13");
    let missing = daemon.add(&server.url("/no"), json!({}));
    assert_eq!(daemon.wait_for(&missing, "error")["errorCode"], "3");
    let wrong = daemon.add(&url, json!({ "out": "x", "checksum": format!("sha-256={}", "0".repeat(64)) }));
    assert_eq!(daemon.wait_for(&wrong, "error")["errorCode"], "32");
    assert_eq!(place.file("files/x"), None);
}

#[test]
fn a_download_is_paused_limited_continued_and_removed() {
    let (server, place) = (Server::start(), Place::new());
    let bytes = content("a", 4_000_000);
    let url = server.put("/slow/a.bin", bytes.clone());
    let daemon = Daemon::start(&place);
    daemon.done("aria2.changeGlobalOption", json!([{ "max-overall-download-limit": "500K" }]));
    let gid = daemon.add(&url, json!({}));
    let begun = || daemon.status(&gid)["completedLength"].as_str().is_some_and(|bytes| bytes != "0");
    assert!(poll(SOON, || begun().then_some(())).is_some());
    assert_eq!(daemon.refused("aria2.unpause", json!([gid])), format!("GID#{gid} cannot be unpaused now"));
    assert_eq!(daemon.done("aria2.pause", json!([gid])), gid.as_str());
    assert_eq!(daemon.refused("aria2.pause", json!([gid])), format!("GID#{gid} cannot be paused now"));
    let paused = daemon.wait_for(&gid, "paused");
    assert_ne!(paused["completedLength"], "0");
    let other = daemon.add(&url, json!({ "pause": true, "out": "other" }));
    let waiting = daemon.done("aria2.tellWaiting", json!([0, 10, ["gid"]]));
    assert_eq!(waiting, json!([{ "gid": gid }, { "gid": other }]), "what was active goes to the front");
    assert_eq!(daemon.done("aria2.changePosition", json!([other, 0, "POS_SET"])), 0);
    assert_eq!(daemon.done("aria2.remove", json!([other])), other.as_str());
    assert_eq!(daemon.refused("aria2.tellStatus", json!([other])), format!("GID {other} is not found"));
    daemon.done("aria2.changeGlobalOption", json!([{ "max-overall-download-limit": 0 }]));
    daemon.done("aria2.unpause", json!([gid]));
    daemon.wait_for(&gid, "complete");
    assert_eq!(place.file("files/a.bin"), Some(bytes));
}

#[test]
fn quick_changes_of_an_active_download_do_not_end_it() {
    let (server, place) = (Server::start(), Place::new());
    let bytes = content("a", 1_500_000);
    let url = server.put("/a.bin", bytes.clone());
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&url, json!({ "max-download-limit": "400K" }));
    daemon.wait_for(&gid, "active");
    for round in 2..12 {
        daemon.done("aria2.changeOption", json!([gid, { "split": round }]));
        daemon.done("aria2.pause", json!([gid]));
        daemon.done("aria2.unpause", json!([gid]));
    }
    daemon.done("aria2.changeOption", json!([gid, { "max-download-limit": "0" }]));
    let complete = daemon.wait_for(&gid, "complete");
    // A download that was paused before its response arrived has not chosen a name, so the name may be
    // another one in the end.
    let path = complete["files"][0]["path"].as_str().expect("a path");
    assert!(std::fs::read(path).expect("a file") == bytes);
}

#[test]
fn options_that_mean_nothing_may_have_any_value() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let options = json!({ "pause": "true", "auto-save-interval": "abc", "max-concurrent-downloads": "x", "log-level": 5 });
    daemon.add("http://127.0.0.1:1/a", options);
    daemon.done("aria2.changeGlobalOption", json!([{ "enable-color": "maybe", "disk-cache": "lots" }]));
    daemon.refused("aria2.changeGlobalOption", json!([{ "max-concurrent-downloads": "x" }]));
    daemon.refused("aria2.addUri", json!([["http://h/"], { "split": "0" }]));
}

#[test]
fn an_active_download_that_is_removed_leaves_a_result() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 2_000_000));
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&url, json!({ "max-download-limit": "100K" }));
    daemon.wait_for(&gid, "active");
    daemon.done("aria2.forceRemove", json!([gid]));
    let removed = daemon.status(&gid);
    assert_eq!((&removed["status"], &removed["errorCode"]), (&json!("removed"), &json!("31")));
    assert_eq!(
        daemon.refused("aria2.remove", json!([gid])),
        format!("Active Download not found for GID#{gid}")
    );
}

#[test]
fn wrong_calls_are_answered_with_the_words_and_statuses_of_aria2() {
    let place = Place::new();
    let daemon = Daemon::start_with(&place, &["--no-secret"]);
    for (call, status, code, message) in [
        (r#"{"id":1,"method":"nope"}"#, 400, 1, "No such method: nope"),
        (r#"{"id":1,"method":"aria2.addUri"}"#, 400, 1, "The parameter at 0 is required but missing."),
        (r#"{"id":1,"method":"aria2.addUri","params":["a"]}"#, 400, 1, "The parameter at 0 has wrong type."),
        (r#"{"id":1,"method":"aria2.addUri","params":[[]]}"#, 400, 1, "URI is not provided."),
        (
            r#"{"id":1,"method":"aria2.addUri","params":[["http://a/"],{"split":"abc"}]}"#,
            400,
            1,
            "We encountered a problem while processing the option '--split'.",
        ),
        (r#"{"id":1,"method":"aria2.tellStatus","params":["zz"]}"#, 400, 1, "Invalid GID zz"),
        (r#"{"id":1,"method":"aria2.tellStatus","params":["00"]}"#, 400, 1, "GID 00 is not found"),
        (r#"{"id":1,"method":5}"#, 400, -32600, "Invalid Request."),
        (r#"{"method":"aria2.getVersion"}"#, 400, -32600, "Invalid Request."),
        (r#""x""#, 400, -32600, "Invalid Request."),
        (r#"{"id":1,"method":"aria2.addUri","params":5}"#, 500, -32602, "Invalid params."),
        (r#"{"id":1"#, 500, -32700, "Parse error."),
    ] {
        let answer = daemon.post("/jsonrpc", "", call);
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!((answer.status, &body["error"]["code"]), (status, &json!(code)), "{call}");
        assert_eq!(body["error"]["message"], message, "{call}");
    }
    let batch = r#"[{"id":0,"method":"aria2.getVersion"},{"id":null,"method":"nope"}]"#;
    let answer = daemon.post("/jsonrpc", "", batch);
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!((answer.status, &body[0]["result"]["version"]), (200, &json!("1.37.0")));
    assert_eq!(
        (&body[0]["id"], &body[1]["id"], &body[1]["error"]["code"]),
        (&json!(0), &Value::Null, &json!(1))
    );
    let calls = json!([[
        { "methodName": "aria2.tellStatus", "params": ["zz"] },
        { "methodName": "system.multicall", "params": [] },
        { "methodName": "aria2.getVersion" },
    ]]);
    let answers = daemon.done("system.multicall", calls);
    assert_eq!(answers[0], json!({ "code": 1, "message": "Invalid GID zz" }));
    assert_eq!(answers[1]["message"], "Recursive system.multicall forbidden.");
    assert_eq!(answers[2][0]["version"], "1.37.0");
}

#[test]
fn xml_calls_have_the_same_answers() {
    let place = Place::new();
    let daemon = Daemon::start_with(&place, &["--no-secret"]);
    let call = |method: &str, params: &str| {
        let body = format!(
            "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
        );
        daemon.post("/rpc", "Content-Type: text/xml\r\n", &body)
    };
    let stat = call("aria2.getGlobalStat", "");
    assert!(stat.body.contains("<name>numActive</name><value><string>0</string></value>"), "{}", stat.body);
    let fault = call("aria2.tellStatus", "<param><value><string>zz</string></value></param>");
    assert_eq!(fault.status, 200);
    assert!(
        fault.body.contains("<name>faultCode</name><value><int>1</int></value>")
            && fault.body.contains("<string>Invalid GID zz</string>"),
        "{}",
        fault.body
    );
    assert_eq!(daemon.post("/rpc", "", "").status, 200);
    let one = "<struct><member><name>methodName</name><value>aria2.tellStatus</value></member><member><name>params</name><value><array><data><value>zz</value></data></array></value></member></struct>";
    let many = call(
        "system.multicall",
        &format!("<param><value><array><data><value>{one}</value></data></array></value></param>"),
    );
    assert!(
        many.body.contains("<name>faultString</name><value><string>Invalid GID zz</string>"),
        "{}",
        many.body
    );
}

#[test]
fn a_socket_gets_answers_and_notices_in_order() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 5000));
    let daemon = Daemon::start(&place);
    let stream = TcpStream::connect(("127.0.0.1", daemon.port)).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    let address = format!("ws://127.0.0.1:{}/jsonrpc", daemon.port);
    let (mut socket, _) = tungstenite::client(address, stream).expect("a socket");
    let token = format!("token:{}", daemon.secret.as_deref().expect("a secret"));
    let call = json!({ "id": 7, "method": "aria2.addUri", "params": [token, [url]] });
    socket.send(Message::text(call.to_string())).expect("sent");
    let mut next = || -> Value {
        serde_json::from_str(socket.read().expect("a message").to_text().expect("text")).expect("JSON")
    };
    let answer = next();
    let gid = answer["result"].clone();
    assert_eq!((&answer["id"], gid.is_string()), (&json!(7), true), "{answer}");
    for method in ["aria2.onDownloadStart", "aria2.onDownloadComplete"] {
        assert_eq!(next(), json!({ "jsonrpc": "2.0", "method": method, "params": [{ "gid": gid }] }));
    }
}

#[test]
fn a_metalink_document_becomes_downloads() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/m.bin", content("a", 3000));
    let document = format!(
        r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="n.bin"><url>{url}</url></file></metalink>"#
    );
    let daemon = Daemon::start(&place);
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, document);
    let gids = daemon.done("aria2.addMetalink", json!([encoded]));
    daemon.wait_for(gids[0].as_str().expect("a gid"), "complete");
    assert_eq!(place.file("files/n.bin"), Some(content("a", 3000)));
    assert_eq!(daemon.refused("aria2.addTorrent", json!(["x"])), "downhaul does not support BitTorrent.");
}

#[test]
fn an_expired_url_is_replaced_and_the_bytes_are_kept() {
    let (server, place) = (Server::start(), Place::new());
    let signed =
        |signature| server.url(&format!("capped/12000000/a.bin?rate=9000000&X-Amz-Signature={signature}"));
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&signed("old"), json!({ "max-download-limit": "3M" }));
    let path = format!("/downloads/{gid}");
    // While a run has no ranges yet, the bytes of the earlier run are shown.
    let received = || {
        let (_, now) = daemon.api("GET", &path, "");
        let has_ranges = now["ranges"].as_array().is_some_and(|ranges| !ranges.is_empty());
        now["completed"].as_u64().filter(|_| has_ranges).unwrap_or_default()
    };
    assert!(poll(SOON, || (received() > 4_000_000).then_some(())).is_some(), "{}", received());
    daemon.done("aria2.changeOption", json!([gid, { "max-download-limit": "20K" }]));
    let counts = daemon.done("aria2.changeUri", json!([gid, 1, [signed("old")], [signed("new")]]));
    assert_eq!(counts, json!([1, 1]));
    // At this rate, that many bytes could not be received again.
    let kept = poll(SOON, || (received() > 3_000_000).then_some(()));
    assert!(kept.is_some(), "{}", received());
    daemon.done("aria2.changeOption", json!([gid, { "max-download-limit": "0" }]));
    daemon.wait_for(&gid, "complete");
    assert!(!server.requests_for("Signature=new").is_empty());
    assert_eq!(place.files(), ["files/a.bin"]);
    assert_eq!(place.file("files/a.bin"), Some(content("a.bin", 12_000_000)));
}

#[test]
fn urls_and_values_that_cannot_be_used_add_nothing() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", content("a", 3000));
    let daemon = Daemon::start(&place);
    for (urls, options) in [
        (json!([""]), json!({})),
        (json!(["  "]), json!({})),
        (json!([url, "ftp://127.0.0.1/a"]), json!({})),
        (json!(["magnet:?xt=urn:btih:0"]), json!({})),
        (json!(["http://"]), json!({})),
        (json!([url]), json!({ "split": "" })),
        (json!([url]), json!({ "max-download-limit": "" })),
        (json!([url]), json!({ "follow-metalink": "" })),
        (json!([url]), json!({ "dry-run": "true" })),
        (json!([url]), json!({ "hash-check-only": true })),
        (json!([url]), json!({ "parameterized-uri": "true" })),
        (json!([url]), json!({ "out": "-" })),
    ] {
        daemon.refused("aria2.addUri", json!([urls, options]));
    }
    for options in
        [json!({ "header": "no colon" }), json!({ "referer": "not a url" }), json!({ "split": "" })]
    {
        daemon.refused("aria2.changeGlobalOption", json!([options]));
    }
    assert_eq!(daemon.done("aria2.getGlobalStat", json!([]))["numStoppedTotal"], "0");
    assert_eq!(daemon.order(0), Vec::<String>::new());
    let gid = daemon.add(&format!(" {url}\n"), json!({ "continue": "" }));
    daemon.wait_for(&gid, "complete");
    assert_eq!(daemon.done("aria2.getOption", json!([gid]))["continue"], "true");
    daemon.kill();
    let daemon = Daemon::start(&place);
    assert_eq!(
        daemon.done("aria2.getGlobalStat", json!([]))["numStoppedTotal"],
        "1",
        "the number of results that are kept"
    );
}

#[test]
fn a_download_that_is_gone_is_not_found() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let gid = daemon.add("http://127.0.0.1:1/a", json!({ "pause": true }));
    daemon.done("aria2.remove", json!([gid]));
    for method in
        ["tellStatus", "remove", "pause", "unpause", "getUris", "getFiles", "getServers", "getOption"]
    {
        assert_eq!(
            daemon.refused(&format!("aria2.{method}"), json!([gid])),
            format!("GID {gid} is not found")
        );
    }
    for (method, path, body) in [
        ("GET", "", ""),
        ("PATCH", "", "{}"),
        ("DELETE", "", ""),
        ("DELETE", "?files=true", ""),
        ("POST", "/retry", ""),
    ] {
        assert_eq!(daemon.api(method, &format!("/downloads/{gid}{path}"), body).0, 404, "{method} {path}");
    }
}

#[test]
fn a_metalink_document_at_a_url_is_followed() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/m.bin", content("a", 3000));
    let document = format!(
        r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="n.bin"><url>{url}</url></file></metalink>"#
    );
    let document = server.put("/d.meta4", document.into_bytes());
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&document, json!({ "header": "X-Key: hush", "out": "d.meta4" }));
    let done = daemon.wait_for(&gid, "complete");
    let child = done["followedBy"][0].as_str().expect("a gid").to_string();
    let file = daemon.wait_for(&child, "complete");
    assert_eq!(file["following"], gid.as_str());
    assert_eq!(place.file("files/n.bin"), Some(content("a", 3000)));
    assert_eq!(server.requests_for("/d.meta4")[0].header("x-key"), Some("hush"));
    assert_eq!(server.requests_for("/m.bin")[0].header("x-key"), None);
    let gid = daemon.add(&document, json!({ "follow-metalink": "false", "out": "e.meta4" }));
    assert_eq!(daemon.wait_for(&gid, "complete").get("followedBy"), None);
}

#[test]
fn options_that_make_no_sense_for_a_daemon_are_refused_at_its_start() {
    let place = Place::new();
    let help = String::from_utf8(place.run(&["daemon", "--help"]).stdout).expect("text");
    for args in [
        &["--dry-run"][..],
        &["--data", "x"],
        &["--request", "PUT"],
        &["--range", "0-1"],
        &["--record", "r.jsonl"],
        &["--log", "log.txt"],
        &["--save-cookies", "c.txt"],
        &["--explain"],
        &["--progress", "json"],
        &["--quota", "5G"],
        &["--keep-going"],
    ] {
        let out = place.run(&[&["daemon", "--listen", "127.0.0.1:0"], args].concat());
        assert_eq!(out.status, 2, "{args:?}: {}", out.stderr);
        let name = args[0].replace("quota", "max-total");
        assert!(
            out.stderr.contains(&format!("{name} means nothing for a daemon")),
            "{args:?}: {}",
            out.stderr
        );
        assert!(!help.contains(&name), "{help}");
    }
    for args in [["--on-error", "exit"], ["--on-error", "ask"], ["-j", "auto"]] {
        let out = place.run(&[&["daemon", "--listen", "127.0.0.1:0"], &args[..]].concat());
        assert!(out.status == 2 && out.stderr.contains(" means nothing"), "{args:?}: {}", out.stderr);
    }
    assert!(help.contains("Retry or skip a file after a failure"), "{help}");
}

#[test]
fn proxies_tries_and_time_limits_are_those_of_the_download() {
    let (server, proxy, place) = (Server::start(), Server::start(), Place::new());
    let url = server.put("/a", content("a", 3000));
    // A request that is sent to a proxy names the whole URL, which this server does not know.
    let through = proxy.url("").trim_end_matches('/').replace("://", "://me:hush@");
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&url, json!({ "all-proxy": through, "max-tries": 1, "out": "b" }));
    daemon.wait_for(&gid, "error");
    let request = &proxy.requests()[0];
    assert!(request.target.starts_with("http://"), "{request:?}");
    assert!(server.requests_for("/a").is_empty());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}/", silent.local_addr().expect("an address"));
    let gid = daemon.add(&silent, json!({ "timeout": 1, "max-tries": 2 }));
    assert_eq!(daemon.wait_for(&gid, "error")["errorCode"], "2");
    let gid = daemon.add(&server.url("status/10/f?status=500"), json!({ "max-tries": 3 }));
    daemon.wait_for(&gid, "error");
    assert_eq!(server.requests_for("status/10").len(), 3);
    // A download without such options still uses no proxy.
    let gid = daemon.add(&url, json!({}));
    daemon.wait_for(&gid, "complete");
    daemon.refused("aria2.addUri", json!([[url], { "all-proxy": "nonsense://h" }]));
}

#[test]
fn checksum_lists_are_fetched_through_the_proxy_of_the_download() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", content("a", 3000));
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let through = format!("http://{}", proxy.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    // The proxy answers every request itself, with the same two bytes.
    std::thread::spawn(move || {
        for mut stream in proxy.incoming().flatten() {
            let Some(head) = read_head(&mut stream) else { continue };
            seen.lock().expect("no panic").push(head);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        }
    });
    let daemon = Daemon::start_with(&place, &["--verify", "find"]);
    let gid = daemon.add(&url, json!({ "all-proxy": through }));
    daemon.wait_for(&gid, "complete");
    assert_eq!(place.file("files/a"), Some(b"hi".to_vec()));
    let asked = asked.lock().expect("no panic");
    assert!(asked.iter().any(|head| head.contains("/SHA256SUMS ")), "{asked:?}");
    assert!(server.requests().is_empty(), "{:?}", server.requests());
}

#[test]
fn one_request_gets_the_lists_of_names_a_few_times_only() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let calls = vec![json!({ "methodName": "system.listMethods" }); 40];
    let answers = daemon.done("system.multicall", json!([calls]));
    let answers = answers.as_array().expect("a list");
    let lists = answers.iter().filter(|answer| answer.is_array()).count();
    assert_eq!((answers.len(), lists), (40, 16));
}
