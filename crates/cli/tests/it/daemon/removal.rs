//! Downloads that are removed with their files, and those that are changed while they begin or end.

use super::{Daemon, SOON};
use crate::common::{Place, poll};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use fastrand::Rng;
use serde_json::json;
use std::time::Duration;

#[test]
fn a_removed_download_leaves_no_partial_file_and_keeps_those_of_others() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 3_000_000));
    place.write("files/a.bin.part", "of another program");
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&url, json!({ "max-download-limit": "500K" }));
    let is_tagged = |file: &String| {
        file.starts_with("files/a.bin.") && file.ends_with(".part") && file != "files/a.bin.part"
    };
    let begun = poll(SOON, || place.files().iter().any(is_tagged).then_some(()));
    assert!(begun.is_some(), "{:?}", place.files());
    daemon.done("aria2.pause", json!([gid]));
    let path = format!("/downloads/{gid}");
    assert_eq!(daemon.api("DELETE", &format!("{path}?files=true"), "").0, 204);
    let only_the_other = || place.files() == ["files/a.bin.part"];
    assert!(poll(SOON, || only_the_other().then_some(())).is_some(), "{:?}", place.files());
}

#[test]
fn a_download_with_another_url_leaves_no_partial_file_and_keeps_its_name() {
    let (server, place) = (Server::start(), Place::new());
    let [old, new] = ["old", "new"].map(|name| server.url(&format!("capped/6000000/{name}?rate=3000000")));
    let daemon = Daemon::start(&place);
    let begin = |out: &str| {
        let gid = daemon.add(&old, json!({ "out": out }));
        place.wait_for_bytes(&format!("files/{out}.part"), 2_000_000);
        daemon.done("aria2.pause", json!([gid]));
        // The job of the paused download may still be closing its files.
        std::thread::sleep(Duration::from_millis(500));
        let files = place.files();
        assert!(files.contains(&format!("files/{out}.part")), "{files:?}");
        gid
    };
    let change = |gid: &str, change: &str| {
        let (status, changed) = daemon.api("PATCH", &format!("/downloads/{gid}"), change);
        assert_eq!(status, 200, "{changed}");
    };
    let leaves = |expected: &[&str]| {
        assert!(poll(SOON, || (place.files() == expected).then_some(())).is_some(), "{:?}", place.files());
    };
    let gid = begin("a.bin");
    change(&gid, &json!({ "urls": [new] }).to_string());
    assert_eq!(daemon.api("DELETE", &format!("/downloads/{gid}?files=true"), "").0, 204);
    leaves(&[]);

    let gid = begin("b.bin");
    change(&gid, &json!({ "urls": [new], "paused": false }).to_string());
    daemon.wait_for(&gid, "complete");
    leaves(&["files/b.bin"]);

    // The name cannot change, because the bytes on the disk would be of no use under another name.
    let gid = begin("c.bin");
    let change = json!({ "options": { "out": "d.bin" }, "paused": false });
    let (status, refused) = daemon.api("PATCH", &format!("/downloads/{gid}"), &change.to_string());
    assert!(status == 400 && refused["message"].to_string().contains("cannot change any more"), "{refused}");
    daemon.done("aria2.unpause", json!([gid]));
    daemon.wait_for(&gid, "complete");
    leaves(&["files/b.bin", "files/c.bin"]);
}

#[test]
fn files_in_a_folder_that_is_no_longer_allowed_are_not_said_to_be_deleted() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 1000));
    let daemon = Daemon::start_with(&place, &["-d", "other"]);
    let gid = daemon.add(&url, json!({ "dir": place.path().join("other") }));
    daemon.wait_for(&gid, "complete");
    assert_eq!(daemon.stop(), Some(0));
    let daemon = Daemon::start(&place);
    let (status, refusal) = daemon.api("DELETE", &format!("/downloads/{gid}?files=true"), "");
    assert_eq!((status, place.files().as_slice()), (400, &["other/a.bin".to_string()][..]), "{refusal}");
    assert_eq!(daemon.status(&gid)["status"], "complete");
    assert_eq!(daemon.api("DELETE", &format!("/downloads/{gid}"), "").0, 204);
}

#[test]
fn a_file_that_appears_during_a_download_stays_and_the_download_goes_on_without_it() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&server.url("capped/3000000/a.bin?rate=1500000"), json!({ "split": "1" }));
    place.wait_for_bytes("files/a.bin.part", 500_000);
    place.write("files/a.bin", "mine");
    let fails = || {
        let failed = daemon.wait_for(&gid, "error");
        let why = failed["errorMessage"].as_str().unwrap_or_default();
        assert!(why.contains("Move that file away, then resume the download."), "{failed}");
        assert_eq!(place.file("files/a.bin"), Some(b"mine".to_vec()));
    };
    let resume = || assert_eq!(daemon.api("POST", &format!("/downloads/{gid}/retry"), "").0, 200);
    fails();
    resume();
    fails();
    std::fs::remove_file(place.path().join("files/a.bin")).expect("removed");
    let requests = server.requests().len();
    resume();
    daemon.wait_for(&gid, "complete");
    assert_eq!(place.files(), ["files/a.bin"]);
    assert_eq!(place.file("files/a.bin"), Some(content("a.bin", 3_000_000)));
    let sent = server.requests().split_off(requests);
    assert!(sent.iter().all(|one| one.header("range").is_some()), "the bytes on the disk were fetched again");
}

#[test]
fn only_the_file_that_a_download_saved_is_deleted_with_it() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start(&place);
    let complete = |name: &str, bytes: &str, options: serde_json::Value| {
        let gid = daemon.add(&server.put(&format!("/{name}"), content(bytes, 3000)), options);
        daemon.wait_for(&gid, "complete");
        gid
    };
    let removed = |gid: &str| daemon.api("DELETE", &format!("/downloads/{gid}?files=true"), "");
    let stays = |gid: &str, name: &str, why: &str, bytes: &[u8]| {
        let (status, answer) = removed(gid);
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(
            status == 200 && message.contains(name) && message.contains(why),
            "{status} {answer} {:?}",
            place.files()
        );
        assert!(place.file(name).is_some_and(|there| there == bytes), "{name} is another file");
    };
    // The user moved the first file away, and another download got the name.
    let first = complete("a", "a", json!({}));
    place.write("files/moved", place.file("files/a").expect("the first file"));
    std::fs::remove_file(place.path().join("files/a")).expect("removed");
    let second = complete("a", "b", json!({}));
    stays(&first, "files/a", "it was changed or replaced", &content("b", 3000));
    assert_eq!((removed(&second).0, place.file("files/a")), (204, None));
    // A newer download replaced the file, or kept it because it is the file that the download wants.
    let first = complete("c", "c", json!({}));
    complete("c", "d", json!({ "allow-overwrite": "true" }));
    stays(&first, "files/c", "it was changed or replaced", &content("d", 3000));
    let first = complete("e", "e", json!({}));
    complete("e", "e", json!({ "continue": "true" }));
    stays(&first, "files/e", "it belongs to a newer download", &content("e", 3000));
    // The user edited the file, or wrote a new one of the same size.
    for bytes in [content("g", 3001), content("g", 3000)] {
        let gid = complete("f", "f", json!({ "allow-overwrite": "true" }));
        place.write("files/f", &bytes);
        stays(&gid, "files/f", "it was changed or replaced", &bytes);
    }
    // The commands show the reason too.
    let gid = complete("h", "h", json!({}));
    place.write("files/h", "mine");
    let out = place.run(&["remove", "--files", &gid]);
    assert!(out.status == 0 && out.stderr.contains("was not deleted"), "{} {}", out.status, out.stderr);
    assert_eq!(place.file("files/h"), Some(b"mine".to_vec()));
    // A daemon that is started again still knows its files.
    let gid = complete("i", "i", json!({}));
    assert_eq!(daemon.stop(), Some(0));
    let daemon = Daemon::start(&place);
    assert_eq!(daemon.api("DELETE", &format!("/downloads/{gid}?files=true"), "").0, 204);
    assert_eq!(place.file("files/i"), None);
}

#[test]
fn a_download_that_is_removed_at_its_end_leaves_no_file() {
    let (server, place, mut rng) = (Server::start(), Place::new(), Rng::with_seed(3));
    let daemon = Daemon::start(&place);
    for round in 0..60 {
        let name = format!("f{round}");
        let url = server.put(&format!("/{name}"), content(&name, rng.u64(1000..2_000_000)));
        let gid = daemon.add(&url, json!({}));
        std::thread::sleep(Duration::from_micros(rng.u64(..20_000)));
        assert_eq!(daemon.api("DELETE", &format!("/downloads/{gid}?files=true"), "").0, 204);
    }
    let is_empty = || place.files().is_empty();
    assert!(poll(SOON, || is_empty().then_some(())).is_some(), "{:?}", place.files());
}

#[test]
fn a_new_name_is_not_lost_while_the_download_begins() {
    let (server, place, mut rng) = (Server::start(), Place::new(), Rng::with_seed(5));
    let daemon = Daemon::start(&place);
    let mut all = Vec::new();
    for round in 0..40 {
        let name = format!("f{round}");
        let url = server.put(&format!("/{name}"), content(&name, 400_000));
        let gid = daemon.add(&url, json!({ "max-download-limit": "100K" }));
        std::thread::sleep(Duration::from_micros(rng.u64(..10_000)));
        // After the first response, the download keeps its name.
        let renamed =
            daemon.call("aria2.changeOption", json!([gid, { "out": format!("new{round}") }])).is_ok();
        daemon.done("aria2.changeOption", json!([gid, { "max-download-limit": "0" }]));
        let saved = if renamed { format!("new{round}") } else { name.clone() };
        all.push((gid, name, saved));
    }
    assert!(all.iter().any(|(_, name, saved)| name != saved));
    for (gid, name, saved) in &all {
        let last = daemon.wait_for(gid, "complete");
        let path = last["files"][0]["path"].as_str().expect("a path");
        assert!(path.ends_with(&format!("/{saved}")), "{path}");
        assert_eq!(place.file(&format!("files/{saved}")), Some(content(name, 400_000)));
    }
}

#[test]
fn a_new_digest_counts_even_if_it_comes_at_the_end_of_the_download() {
    let (server, place, mut rng) = (Server::start(), Place::new(), Rng::with_seed(9));
    let url = server.put("/a.bin", content("a", 2_000_000));
    let daemon = Daemon::start(&place);
    let wrong = json!({ "options": { "checksum": format!("sha-1={}", "0".repeat(40)) } }).to_string();
    let mut accepted = Vec::new();
    for round in 0..60 {
        let gid = daemon.add(&url, json!({ "out": format!("f{round}") }));
        std::thread::sleep(Duration::from_micros(rng.u64(..60_000)));
        if daemon.api("PATCH", &format!("/downloads/{gid}"), &wrong).0 == 200 {
            accepted.push(gid);
        }
    }
    assert!(!accepted.is_empty());
    for gid in accepted {
        assert_eq!(daemon.wait_for(&gid, "error")["errorCode"], "32");
    }
}

#[test]
fn the_partial_file_of_another_download_is_not_deleted() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start(&place);
    let url = server.url("capped/3000000/a.bin?rate=1000000");
    let first = daemon.add(&url, json!({ "split": "1" }));
    place.wait_for_bytes("files/a.bin.part", 500_000);
    assert_eq!(daemon.api("DELETE", &format!("/downloads/{first}"), "").0, 204);
    daemon.wait_for(&first, "removed");
    let second = daemon.add(&url, json!({ "split": "1" }));
    daemon.wait_for(&second, "active");
    place.wait_for_bytes("files/a.bin.part", 1_000_000);
    let paused = |paused: bool| {
        let (path, change) = (format!("/downloads/{second}"), json!({ "paused": paused }));
        assert_eq!(daemon.api("PATCH", &path, &change.to_string()).0, 200);
    };
    paused(true);
    daemon.wait_for(&second, "paused");
    let (status, answer) = daemon.api("DELETE", &format!("/downloads/{first}?files=true"), "");
    assert_eq!(status, 204, "{answer}");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(place.file("files/a.bin.part").is_some(), "{:?}", place.files());
    paused(false);
    daemon.wait_for(&second, "complete");
    assert_eq!(place.file("files/a.bin"), Some(content("a.bin", 3_000_000)));
}
