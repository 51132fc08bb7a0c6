//! The options of downloads and of the daemon: which of them are kept, shown and shared.

use super::Daemon;
use crate::common::Place;
use base64::prelude::{BASE64_STANDARD, Engine};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use serde_json::json;
use std::io::Read;
use std::time::{Duration, Instant};

#[test]
fn any_number_of_downloads_with_other_time_limits_can_follow_each_other() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", b"a".to_vec());
    let daemon = Daemon::start(&place);
    for seconds in 1..=70 {
        let gid = daemon.add(&url, json!({ "timeout": seconds, "out": format!("{seconds}") }));
        daemon.wait_for(&gid, "complete");
    }
}

#[test]
fn the_number_of_connections_of_a_file_has_a_limit() {
    // At this rate, more connections would be faster, and a run without a limit opens them.
    let most_open = |start: &[&str], options: serde_json::Value| {
        let (server, place) = (Server::start(), Place::new());
        let daemon = Daemon::start_with(&place, start);
        let gid = daemon.add(&server.url("capped/15000000/a?rate=125000"), options);
        daemon.wait_for(&gid, "complete");
        server.most_open()
    };
    let sixteen = json!({ "split": "16", "max-connection-per-server": "16" });
    // The server notices a moment later that a connection was closed in the middle of a response. A new
    // connection may be open by then.
    for most in [most_open(&[], sixteen), most_open(&[], json!({}))] {
        assert!((10..=32).contains(&most), "{most} connections");
    }
    let (own, started) = (most_open(&[], json!({ "split": "8" })), most_open(&["-x", "8"], json!({})));
    assert!(own <= 16 && started <= 16, "{own} and {started} connections");
}

#[test]
fn the_session_file_has_the_own_options_of_a_download_even_if_they_are_empty() {
    let place = Place::new();
    let daemon = Daemon::aria2c(&place, &["--http-user=me", "--http-passwd=startpw", "--all-proxy=p:1"]);
    daemon.add("http://127.0.0.1:1/a", json!({ "pause": "true", "all-proxy": "" }));
    daemon.done("aria2.saveSession", json!([]));
    let session = String::from_utf8(place.file("s").expect("a session file")).expect("text");
    let folder = place.path().join("files").canonicalize().expect("a folder");
    let lines: Vec<&str> = session.lines().collect();
    assert!(lines.contains(&" all-proxy=") && !session.contains("startpw"), "{session}");
    assert!(lines.contains(&&*format!(" dir={}", folder.display())), "{session}");
}

#[test]
fn passwords_of_options_are_not_shown_to_clients() {
    let place = Place::new();
    let daemon = Daemon::aria2c(&place, &["--http-user=me", "--http-passwd=startpw"]);
    let own =
        json!({ "pause": "true", "all-proxy": "p:1", "all-proxy-user": "me", "all-proxy-passwd": "ownpw" });
    let gid = daemon.add("http://127.0.0.1:1/a", own);
    for shown in
        [daemon.done("aria2.getOption", json!([gid])), daemon.done("aria2.getGlobalOption", json!([]))]
    {
        assert_eq!(shown["http-user"], "me", "{shown}");
        // The output has the name of the temporary folder, which may contain "pw". So the test looks for the
        // whole passwords.
        assert!(!["startpw", "ownpw"].iter().any(|one| shown.to_string().contains(one)), "{shown}");
    }
}

#[test]
fn two_urls_that_differ_only_in_their_secrets_are_two_urls_for_a_client() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let urls: Vec<String> = (1..4).map(|token| format!("http://127.0.0.1:1/a?token={token}")).collect();
    let new = json!({ "urls": urls, "paused": true });
    let (status, download) = daemon.api("POST", "/downloads", &new.to_string());
    assert_eq!(status, 201, "{download}");
    let shown = "http://127.0.0.1:1/a?token=***";
    let counts = daemon.done("aria2.changeUri", json!([download["id"], 1, [shown, shown], []]));
    assert_eq!(counts, json!([2, 0]));
}

#[test]
fn a_download_that_is_added_again_as_its_client_saw_it_has_its_secret() {
    let (server, place) = (Server::start(), Place::new());
    let missing = server.url("status/1000/f?status=404");
    let url = format!("{missing}&token=hush");
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&url, json!({}));
    daemon.wait_for(&gid, "error");
    let shown = daemon.status(&gid)["files"][0]["uris"][0]["uri"].clone();
    assert_eq!(shown, format!("{missing}&token=***"));
    let again = daemon.add(shown.as_str().expect("a URL"), json!({}));
    daemon.wait_for(&again, "error");
    let requests = server.requests_for("/status");
    assert!(requests.len() == 2 && requests.iter().all(|one| one.target.contains("token=hush")));
    // A document does not get the secret. If there are two secrets, the daemon does not guess which one is
    // meant.
    let document = format!(
        "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"x\"><url>{}</url></file></metalink>",
        shown.as_str().expect("a URL").replace('&', "&amp;")
    );
    let document = BASE64_STANDARD.encode(document);
    assert!(daemon.refused("aria2.addMetalink", json!([document])).contains("complete URL"));
    let other = daemon.add(&format!("{missing}&token=other"), json!({}));
    daemon.wait_for(&other, "error");
    assert!(daemon.refused("aria2.addUri", json!([[shown]])).contains("complete URL"));
    // Nothing is known about the secret of another URL.
    assert!(
        daemon.refused("aria2.addUri", json!([[server.url("other?token=***")]])).contains("complete URL")
    );
}

#[test]
fn a_retry_comes_after_the_wait_of_its_download() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start(&place);
    let begin = Instant::now();
    let gid = daemon.add(&server.url("fails_once/1000/f"), json!({ "retry-wait": "3" }));
    daemon.wait_for(&gid, "complete");
    assert!(begin.elapsed() >= Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(server.requests_for("/fails_once").len(), 2);
}

#[test]
fn settings_that_mean_nothing_for_a_daemon_are_ignored_with_a_note() {
    let place = Place::new();
    let ignored = ["on-complete", "on-error-run", "record", "failed", "deadline", "max-total", "log"];
    let lines = ignored
        .map(|key| format!("{key} = \"1h\"\n"))
        .concat()
        .replace("max-total = \"1h\"", "max-total = 9");
    place.write("c.toml", format!("{lines}on-error = \"exit\"\nexplain = false\nparallel = 7\n"));
    let mut daemon = Daemon::start_with(&place, &["--config", "c.toml"]);
    let most = daemon.done("aria2.getGlobalOption", json!([]))["max-concurrent-downloads"].clone();
    assert_eq!(most, "7");
    let mut stderr = daemon.child.stderr.take().expect("a pipe");
    daemon.stop();
    let mut said = String::new();
    stderr.read_to_string(&mut said).expect("text");
    for (line, key) in (1..).zip(ignored.into_iter().chain(["on-error"])) {
        assert!(said.contains(&format!("c.toml:{line}: {key} means nothing for a daemon")), "{key}: {said}");
    }
    assert!(!said.contains("explain"), "{said}");
}

#[test]
fn the_login_of_a_proxy_is_not_sent_to_the_proxy_that_replaces_it() {
    let (server, proxy, place) = (Server::start(), Server::start(), Place::new());
    let url = server.put("/a", b"a".to_vec());
    let new = proxy.url("").trim_end_matches('/').to_string();
    let daemon = Daemon::start(&place);
    for changes in [&[new.as_str()][..], &["", new.as_str()]] {
        let old = json!({
            "pause": "true",
            "max-tries": 1,
            "all-proxy": "http://127.0.0.1:1",
            "all-proxy-user": "me",
            "all-proxy-passwd": "hush"
        });
        let gid = daemon.add(&url, old);
        for change in changes {
            daemon.done("aria2.changeOption", json!([gid, { "all-proxy": change }]));
        }
        let shown = daemon.done("aria2.getOption", json!([gid]));
        assert!(shown["all-proxy-user"].is_null(), "{changes:?}: {shown}");
        daemon.done("aria2.unpause", json!([gid]));
        // This proxy does not know the URL.
        daemon.wait_for(&gid, "error");
    }
    let requests = proxy.requests();
    let has_login = requests.iter().any(|one| one.header("proxy-authorization").is_some());
    assert!(requests.len() >= 2 && !has_login, "{requests:?}");
}

#[test]
fn a_download_that_replaces_an_old_file_still_replaces_it_after_a_pause() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start(&place);
    // The first file has a record of its URL, and the second one has none.
    let gid = daemon.add(&server.put("/a.bin", content("old", 3000)), json!({}));
    daemon.wait_for(&gid, "complete");
    place.write("files/b.bin", "old");
    for name in ["a.bin", "b.bin"] {
        let url = server.put(&format!("/{name}"), content("new", 3_000_000));
        let slow = json!({ "allow-overwrite": "true", "max-download-limit": "500K", "split": "1" });
        let gid = daemon.add(&url, slow);
        place.wait_for_bytes(&format!("files/{name}.part"), 500_000);
        daemon.done("aria2.pause", json!([gid]));
        daemon.done("aria2.changeOption", json!([gid, { "max-download-limit": "0" }]));
        daemon.done("aria2.unpause", json!([gid]));
        daemon.wait_for(&gid, "complete");
        assert!(place.file(&format!("files/{name}")) == Some(content("new", 3_000_000)), "{name} is old");
    }
}
