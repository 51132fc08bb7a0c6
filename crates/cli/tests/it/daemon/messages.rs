//! The messages of the daemon, and of the commands for it, about things that are not possible.

use super::{Daemon, SOON};
use crate::common::{Place, poll};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use serde_json::json;

#[test]
fn a_file_that_was_there_before_is_named_and_not_said_to_have_appeared() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start(&place);
    let first = daemon.add(&server.put("/a", content("a", 3000)), json!({}));
    daemon.wait_for(&first, "complete");
    place.write("files/b", "mine");
    let gid = daemon.add(&server.put("/b", content("b", 3000)), json!({ "auto-file-renaming": "false" }));
    let failed = daemon.wait_for(&gid, "error");
    let why = failed["errorMessage"].as_str().expect("a message");
    assert!(why.contains("/files/b)") && !why.contains("appeared"), "{why}");
}

#[test]
fn a_folder_that_leads_elsewhere_is_refused_with_its_path_and_a_fitting_code() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&server.put("/a", content("a", 3000)), json!({ "dir": "sub", "pause": "true" }));
    std::os::unix::fs::symlink(place.path(), place.path().join("files/sub")).expect("a link");
    daemon.done("aria2.unpause", json!([gid]));
    daemon.wait_for(&gid, "error");
    let (_, failed) = daemon.api("GET", &format!("/downloads/{gid}"), "");
    let why = failed["error"]["message"].as_str().expect("a message");
    assert_eq!(failed["error"]["code"], "disk.permission", "{failed}");
    assert!(why.contains("/files/sub leads to /"), "{why}");
    assert!(failed["folder"].as_str().is_some_and(|folder| folder.ends_with("/files/sub")), "{failed}");
}

#[test]
fn a_folder_that_cannot_be_used_is_not_said_to_be_outside_of_the_allowed_folders() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    std::os::unix::fs::symlink("/no/such/folder", place.path().join("files/nowhere")).expect("a link");
    for (dir, says) in [
        ("sub/../other", "/files/sub/../other cannot be used, because its path has `..`."),
        ("nowhere", "or a link in its path has no target."),
    ] {
        let why = daemon.refused("aria2.addUri", json!([["http://127.0.0.1:1/a"], { "dir": dir }]));
        assert!(why.contains(says) && !why.contains("-d FOLDER"), "{why}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_whose_path_is_not_unicode_is_refused_at_the_start_and_for_a_download() {
    use crate::common::finish;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let strange = place.path().join("files").join(std::ffi::OsStr::from_bytes(b"x\xff"));
    std::fs::create_dir_all(&strange).expect("a folder");
    std::os::unix::fs::symlink(&strange, place.path().join("files/link")).expect("a link");
    let out = place.run(&["daemon", "-d", "files/link", "--listen", "127.0.0.1:0"]);
    assert!(out.status == 2 && out.stderr.contains("its path is not valid Unicode"), "{}", out.stderr);
    let daemon = Daemon::start(&place);
    let why = daemon.refused("aria2.addUri", json!([["http://127.0.0.1:1/a"], { "dir": "link" }]));
    assert!(why.contains("/files/link cannot be used") && why.contains("not valid Unicode"), "{why}");
    // `aria2c` saves no file into a folder whose name is almost that of the working folder.
    let here = place.command(&["aria2c", "http://127.0.0.1:1/a"]).current_dir(&strange).spawn();
    let out = finish(here.expect("the program starts"));
    let shown = format!("{}{}", out.stderr, String::from_utf8_lossy(&out.stdout));
    assert!(out.status == 1 && shown.contains("its path is not valid Unicode"), "{shown}");
}

#[test]
fn arguments_that_cannot_be_used_are_explained() {
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    let url = "http://127.0.0.1:1/a?token=hush";
    for (args, status, says) in [
        (&["add", "-o", "/abs/x", url][..], 1, "Give a name below the folder of the download"),
        (&["add", "-i", "http://127.0.0.1:1/list"], 1, "a list at a URL cannot be added: download it first"),
        (&["daemon", url], 2, "add them to the running daemon with 'downhaul add URL'"),
        (&["daemon", "add", url], 2, "the command is 'downhaul add', without the word daemon"),
        (&["attach", url], 2, "this command takes options only"),
        (&["pause", ""], 2, "an ID has at least one digit"),
        (&["remove", " "], 2, "an ID has at least one digit"),
        (&["watch", ""], 2, "an ID has at least one digit"),
        (&["move", "", "1"], 2, "an ID has at least one digit"),
        (&["pause", "zz"], 1, "zz: zz is not an ID. An ID has up to 16 hexadecimal digits."),
        (&["resume", "1234"], 1, "1234: There is no download with the ID 1234."),
    ] {
        let out = place.run(args);
        assert!(out.status == status && out.stderr.contains(says), "{args:?} {}: {}", out.status, out.stderr);
        assert!(!out.stderr.contains("hush") && !out.stderr.contains("GID"), "{}", out.stderr);
    }
}

#[test]
fn the_interface_of_downhaul_says_id_and_that_of_aria2_says_gid() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&server.put("/a", content("a", 3000)), json!({}));
    daemon.wait_for(&gid, "complete");
    let path = format!("/downloads/{gid}");
    for change in [
        json!({ "paused": true }),
        json!({ "urls": ["http://127.0.0.1:1/"] }),
        json!({ "options": { "split": "2" } }),
        json!({ "position": 0 }),
    ] {
        let (status, refused) = daemon.api("PATCH", &path, &change.to_string());
        let why = refused["message"].as_str().unwrap_or_default();
        assert!(status == 400 && why.starts_with("The download ") && !why.contains("GID"), "{refused}");
    }
    let (status, refused) = daemon.api("POST", &format!("{path}/retry"), "");
    assert!(status == 400 && !refused.to_string().contains("GID"), "{refused}");
    assert_eq!(daemon.refused("aria2.pause", json!([gid])), format!("GID#{gid} cannot be paused now"));
    assert_eq!(daemon.refused("aria2.tellStatus", json!(["zz"])), "Invalid GID zz");
}

#[test]
fn the_name_of_a_download_stays_after_its_first_bytes() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start(&place);
    let gid = daemon.add(&server.url("capped/9000000/a.bin?rate=300000"), json!({ "split": "1" }));
    let path = format!("/downloads/{gid}");
    let completed = || daemon.api("GET", &path, "").1["completed"].as_u64().filter(|bytes| *bytes > 0);
    let before = poll(SOON, completed).expect("bytes");
    for options in [json!({ "out": "b.bin" }), json!({ "dir": "sub" })] {
        let (status, refused) = daemon.api("PATCH", &path, &json!({ "options": options }).to_string());
        assert!(
            status == 400 && refused["message"].to_string().contains("cannot change any more"),
            "{refused}"
        );
    }
    assert!(completed().is_some_and(|after| after >= before));
    assert_eq!(server.requests_for("/capped").len(), 1);
}
