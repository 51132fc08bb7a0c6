//! Downloads whose URLs come from a document that someone else may have written: to which servers the
//! secrets of a client are sent, and which facts of the document are used.

use super::{Daemon, SOON};
use crate::common::{Place, poll};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use downhaul_testkit::content;
use downhaul_testkit::server::{Request, Server};
use serde_json::{Value, json};

/// Options with secrets, as a client sends them.
fn secrets(pause: bool) -> Value {
    json!({ "header": ["X-Key: hush"], "http-user": "me", "http-passwd": "hush", "pause": pause })
}

/// Returns a Metalink document with one file.
fn metalink(name: &str, about: &str, url: &str) -> String {
    format!(
        r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="{name}">{about}<url>{url}</url></file></metalink>"#
    )
}

fn has_secret(request: &Request) -> bool {
    request.header("x-key").is_some() || request.header("authorization").is_some()
}

fn gid_of(added: &Value) -> String {
    added[0].as_str().expect("a gid").to_string()
}

#[test]
fn a_server_that_only_a_document_names_gets_no_secret_of_the_client() {
    let (strange, own, place) = (Server::start(), Server::start(), Place::new());
    let (one, two) = (strange.put("/1", content("1", 3000)), strange.put("/2", content("2", 3000)));
    let daemon = Daemon::start(&place);
    let added = daemon
        .done("aria2.addMetalink", json!([BASE64_STANDARD.encode(metalink("1", "", &one)), secrets(true)]));
    let missing = metalink("3", "", &strange.url("/no"));
    let third =
        gid_of(&daemon.done("aria2.addMetalink", json!([BASE64_STANDARD.encode(missing), secrets(true)])));
    // Downloads that are added later inherit these options.
    daemon.done("aria2.changeGlobalOption", json!([secrets(false)]));
    let (status, listed) = daemon.api("POST", "/lists?name=a.meta4", &metalink("2", "", &two));
    assert_eq!(status, 201, "{listed}");
    daemon.kill();
    let daemon = Daemon::start(&place);
    daemon.done("aria2.unpause", json!([gid_of(&added)]));
    daemon.wait_for(&gid_of(&added), "complete");
    daemon.wait_for(listed["ids"][0].as_str().expect("an id"), "complete");
    // The secrets are sent to a URL that the client itself gives, and still not to the other URLs of the
    // same file.
    let url = own.put("/3", content("3", 3000));
    daemon.done("aria2.changeUri", json!([third, 1, [], [url]]));
    daemon.done("aria2.unpause", json!([third]));
    daemon.wait_for(&third, "complete");
    let requests = strange.requests();
    assert!(requests.len() >= 3 && !requests.iter().any(has_secret), "{requests:?}");
    assert!(own.requests_for("/3").iter().any(has_secret));
}

#[test]
fn what_a_document_says_about_a_file_is_kept_over_a_restart() {
    let (server, place) = (Server::start(), Place::new());
    let bytes = content("a", 300_000);
    let url = server.put("/a", bytes.clone());
    let digest = |algorithm: &str, bytes: &[u8]| {
        let path = place.write("bytes", bytes);
        let algorithm = downhaul_engine::Algorithm::from_name(algorithm).expect("an algorithm");
        downhaul_engine::digests_of(&path, &[algorithm]).expect("digests")[0].to_string()
    };
    let strong = digest("sha-256", &bytes);
    let pieces = |first: &str| {
        let second = digest("sha-256", &bytes[262_144..]);
        format!(
            r#"<pieces length="262144" type="sha-256"><hash>{first}</hash><hash>{second}</hash></pieces>"#
        )
    };
    let cases = [
        (format!("<size>300000</size>{}", pieces(&digest("sha-256", &bytes[..262_144]))), "complete", "0"),
        ("<size>299999</size>".to_string(), "error", "32"),
        (pieces(&strong), "error", "32"),
        (
            format!(r#"<hash type="sha-256">{strong}</hash><hash type="sha-1">{}</hash>"#, "0".repeat(40)),
            "error",
            "32",
        ),
    ];
    let daemon = Daemon::start(&place);
    let gids: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(number, (about, ..))| {
            let document = BASE64_STANDARD.encode(metalink(&format!("f{number}"), about, &url));
            gid_of(&daemon.done("aria2.addMetalink", json!([document, { "pause": true }])))
        })
        .collect();
    daemon.kill();
    let daemon = Daemon::start(&place);
    daemon.done("aria2.unpauseAll", json!([]));
    for (gid, (about, status, code)) in gids.iter().zip(&cases) {
        let is_over = || matches!(daemon.status(gid)["status"].as_str(), Some("complete" | "error"));
        assert!(poll(SOON, || is_over().then_some(())).is_some(), "{about}");
        let last = daemon.status(gid);
        assert_eq!((&last["status"], &last["errorCode"]), (&json!(status), &json!(code)), "{about}: {last}");
    }
}

#[test]
fn the_options_of_a_line_are_used_or_refused() {
    let (server, place) = (Server::start(), Place::new());
    let (one, two) = (server.put("/1", content("1", 3000)), server.put("/2", content("2", 3000)));
    let daemon = Daemon::start(&place);
    let list = format!(
        "{}\n{}\n",
        json!({ "url": one, "dir": "sub", "headers": { "X-A": "1" }, "connections": 2 }),
        json!({ "url": two, "priority": 5, "out": "b", "if_exists": "skip" })
    );
    daemon.done("aria2.changeGlobalOption", json!([{ "max-concurrent-downloads": "1" }]));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let first = daemon.add(&format!("http://{}/", silent.local_addr().expect("an address")), json!({}));
    let (status, listed) = daemon.api("POST", "/lists", &list);
    assert_eq!(status, 201, "{listed}");
    let ids: Vec<&str> = listed["ids"].as_array().expect("ids").iter().filter_map(Value::as_str).collect();
    assert_eq!(daemon.order(1), [first.as_str(), ids[1], ids[0]], "a higher priority goes first");
    daemon.done("aria2.remove", json!([first]));
    ids.iter().for_each(|id| drop(daemon.wait_for(id, "complete")));
    assert_eq!(place.file("files/sub/1"), Some(content("1", 3000)));
    assert_eq!(server.requests_for("/1")[0].header("x-a"), Some("1"));
    for line in [json!({ "url": one, "credentials": "h.example" }), json!({ "url": one, "out": "../x" })] {
        let (status, listed) = daemon.api("POST", "/lists", &line.to_string());
        assert_eq!((status, listed["ids"].as_array().map(Vec::len)), (400, Some(0)), "{line}: {listed}");
    }
}

#[test]
fn several_files_are_added_together_or_not_at_all() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", b"abc".to_vec());
    let daemon = Daemon::start(&place);
    std::os::unix::fs::symlink(place.path(), place.path().join("files/link")).expect("a link");
    let nothing = || {
        let stat = daemon.done("aria2.getGlobalStat", json!([]));
        ["numActive", "numWaiting", "numStopped"].iter().all(|name| stat[name] == "0")
    };
    let (status, listed) = daemon.api("POST", "/lists", &format!("{url} a\n{url} link/c\n"));
    assert_eq!((status, listed["ids"].as_array().map(Vec::len)), (400, Some(0)), "{listed}");
    assert!(nothing(), "{}", daemon.done("aria2.getGlobalStat", json!([])));
    let (status, listed) = daemon.api("POST", "/lists", &format!("{url} a\n{url} b\n"));
    assert_eq!((status, listed["ids"].as_array().map(Vec::len)), (201, Some(2)), "{listed}");
    for (id, name) in [(0, "a"), (1, "b")] {
        daemon.wait_for(listed["ids"][id].as_str().expect("an id"), "complete");
        assert_eq!(place.file(&format!("files/{name}")), Some(b"abc".to_vec()));
    }
}

/// Returns a document with a file of this name, and two entries that cannot be used.
fn with_bad_entries(name: &str, url: &str) -> String {
    format!(
        r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="{name}"><url>{url}</url></file>
        <file name="f"><url>ftp://127.0.0.1/f</url></file><file name=".."><url>{url}</url></file></metalink>"#
    )
}

#[test]
fn the_good_entries_of_a_document_are_downloaded_and_the_bad_ones_fail() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", b"abc".to_vec());
    let daemon = Daemon::start(&place);
    let document = server.put("/d.meta4", with_bad_entries("one", &url).into_bytes());
    let followed = daemon.wait_for(&daemon.add(&document, json!({})), "complete")["followedBy"].clone();
    let encoded = BASE64_STANDARD.encode(with_bad_entries("two", &url));
    let called = daemon.done("aria2.addMetalink", json!([encoded]));
    let (status, listed) = daemon.api("POST", "/lists?name=d.meta4", &with_bad_entries("three", &url));
    assert_eq!((status, listed["mistakes"].as_array().map(Vec::len)), (201, Some(2)), "{listed}");
    for (name, gids) in [("one", &followed), ("two", &called), ("three", &listed["ids"])] {
        daemon.wait_for(gids[0].as_str().expect("a gid"), "complete");
        assert_eq!(place.file(&format!("files/{name}")), Some(b"abc".to_vec()));
        for (at, shown, code) in [(1, "f", "list.file"), (2, "(no name)", "name.unsafe")] {
            let id = gids[at].as_str().expect("a gid");
            let (_, bad) = daemon.api("GET", &format!("/downloads/{id}"), "");
            assert_eq!((&bad["state"], &bad["name"]), (&json!("error"), &json!(shown)), "{bad}");
            assert_eq!(bad["error"]["code"], code, "{bad}");
            assert_eq!(daemon.api("POST", &format!("/downloads/{id}/retry"), "").0, 400);
        }
    }
    place.write("d.meta4", with_bad_entries("four", &url));
    let out = place.run(&["add", "-i", "d.meta4"]);
    let added = String::from_utf8_lossy(&out.stdout);
    assert_eq!((out.status, added.lines().count()), (1, 3), "{added}{}", out.stderr);
    assert!(out.stderr.contains("its URL is not a usable http or https URL (f)"), "{}", out.stderr);
    place.write("e.meta4", with_bad_entries("five", &url));
    let out = place.run(&["aria2c", "-d", "files", "e.meta4"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(place.file("files/five"), Some(b"abc".to_vec()));
}

#[test]
fn an_entry_of_a_document_with_a_folder_that_is_not_allowed_fails_alone() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", b"abc".to_vec());
    let daemon = Daemon::start(&place);
    std::os::unix::fs::symlink(place.path(), place.path().join("files/link")).expect("a link");
    let files: String =
        ["a", "link/c"].map(|name| format!(r#"<file name="{name}"><url>{url}</url></file>"#)).concat();
    let document = format!(r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink">{files}</metalink>"#);
    let gids = daemon.done("aria2.addMetalink", json!([BASE64_STANDARD.encode(document)]));
    daemon.wait_for(gids[0].as_str().expect("a gid"), "complete");
    let failed = daemon.wait_for(gids[1].as_str().expect("a gid"), "error");
    assert!(failed["errorMessage"].as_str().is_some_and(|why| why.contains("files/link")), "{failed}");
    assert_eq!(place.file("c"), None);
}

#[test]
fn a_document_that_cannot_be_used_is_a_failure_with_a_code() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", b"abc".to_vec());
    let daemon = Daemon::start(&place);
    let broken = metalink("a", "", &url).replace("</metalink>", "</metalink");
    for (name, document, code) in [
        ("broken", broken.as_str(), "list.unreadable"),
        ("text", "not XML", "list.unreadable"),
        ("empty", r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"/>"#, "list.unreadable"),
        ("ftp", &metalink("a", "", "ftp://127.0.0.1/a"), "list.file"),
    ] {
        let url = server.put(&format!("/{name}.meta4"), document.as_bytes().to_vec());
        let gid = daemon.add(&url, json!({}));
        daemon.wait_for(&gid, "error");
        let (_, failed) = daemon.api("GET", &format!("/downloads/{gid}"), "");
        assert_eq!(failed["error"]["code"], code, "{failed}");
        daemon.refused("aria2.addMetalink", json!([BASE64_STANDARD.encode(document)]));
        let (status, listed) = daemon.api("POST", "/lists?name=a.meta4", document);
        assert_eq!((status, listed["ids"].as_array().map(Vec::len)), (400, Some(0)), "{listed}");
    }
    assert_eq!(place.file("files/a"), None);
}

#[test]
fn a_change_with_one_wrong_field_changes_nothing() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let gid = daemon.add("http://127.0.0.1:1/a", json!({ "pause": true, "out": "a" }));
    let path = format!("/downloads/{gid}");
    let (_, before) = daemon.api("GET", &path, "");
    for wrong in [
        json!({ "options": { "max-download-limit": "1M" }, "urls": ["http://"] }),
        json!({ "options": { "max-download-limit": "1M" }, "urls": [] }),
        json!({ "urls": ["http://127.0.0.1:1/b"], "options": { "dir": "/etc" }, "paused": false }),
        json!({ "options": { "out": "b" }, "paused": false, "position": 0, "urls": ["ftp://h/"] }),
    ] {
        assert_eq!(daemon.api("PATCH", &path, &wrong.to_string()).0, 400, "{wrong}");
        assert_eq!(daemon.api("GET", &path, "").1, before, "{wrong}");
    }
    let right =
        json!({ "options": { "max-download-limit": "1M" }, "urls": ["http://127.0.0.1:1/b"], "position": 0 });
    let (status, after) = daemon.api("PATCH", &path, &right.to_string());
    assert_eq!(
        (status, &after["limit"], &after["urls"][0]),
        (200, &json!(1 << 20), &json!("http://127.0.0.1:1/b"))
    );
}

#[test]
fn no_answer_has_the_secrets_of_a_url() {
    let (server, place) = (Server::start(), Place::new());
    let secret = |path: &str| {
        let url = server.put(path, content("a", 3000)).replace("://", "://me:hush@");
        format!("{url}?token=hush&x=1")
    };
    let daemon = Daemon::start(&place);
    let (one, two) = (secret("/1"), secret("/2"));
    let gid = daemon.add(&one, json!({ "pause": true, "all-proxy": "http://me:hush@127.0.0.1:1/" }));
    let broken = daemon.add(&server.url("/no?key=hush").replace("://", "://me:hush@"), json!({}));
    daemon.wait_for(&broken, "error");
    let mut answers: Vec<String> = [
        ("aria2.tellStatus", json!([gid])),
        ("aria2.tellStatus", json!([broken])),
        ("aria2.getUris", json!([gid])),
        ("aria2.getFiles", json!([broken])),
        ("aria2.getOption", json!([gid])),
        ("aria2.tellWaiting", json!([0, 9])),
        ("aria2.tellStopped", json!([0, 9])),
    ]
    .into_iter()
    .map(|(method, params)| daemon.done(method, params).to_string())
    .collect();
    answers.push(daemon.api("GET", "/downloads", "").1.to_string());
    answers.push(daemon.refused("aria2.addUri", json!([["ftp://me:hush@h/?token=hush"]])));
    for answer in &answers {
        assert!(!answer.contains("hush"), "{answer}");
    }
    // A client that sends back a URL as it was shown means the complete URL.
    let shown = daemon.done("aria2.getUris", json!([gid]))[0]["uri"].clone();
    assert_eq!(shown, format!("{}?token=***&x=1", server.url("1")));
    assert_eq!(daemon.done("aria2.changeUri", json!([gid, 1, [shown], [shown]])), json!([1, 1]));
    assert_eq!(daemon.done("aria2.getUris", json!([gid]))[0]["uri"], shown);
    assert_eq!(daemon.done("aria2.changeUri", json!([gid, 1, [], [two]])), json!([0, 1]));
    assert_eq!(daemon.done("aria2.changeUri", json!([gid, 1, [shown], []])), json!([1, 0]));
    assert!(daemon.refused("aria2.addUri", json!([[shown]])).contains("***"));
    daemon.done("aria2.changeOption", json!([gid, { "all-proxy": "" }]));
    daemon.done("aria2.unpause", json!([gid]));
    daemon.wait_for(&gid, "complete");
    assert!(server.requests_for("/1").is_empty());
    assert!(server.requests_for("/2")[0].target.contains("token=hush"));
}
