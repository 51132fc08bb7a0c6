//! `--to-tar`: the files become members of tars, each once and exact, whatever happens to the runs.

use crate::common::{Out, Place, events, finish, send, wait_until};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use fastrand::Rng;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

pub const TO_TAR: [&str; 6] = ["-i", "list", "-d", "out", "--to-tar", "set-{shard:03}.tar"];

/// Returns the members of all tars that have their final names. Fails if a name occurs twice, or if a tar
/// is not complete.
#[track_caller]
pub fn members(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let mut members = BTreeMap::new();
    for name in place.files().into_iter().filter(|name| name.ends_with(".tar")) {
        let bytes = place.file(&name).expect("a tar");
        assert!(bytes.len() >= 1024 && bytes[bytes.len() - 1024..].iter().all(|byte| *byte == 0), "{name}");
        for member in tar::Archive::new(bytes.as_slice()).entries().expect("a tar") {
            let mut member = member.expect("a member");
            assert_eq!(
                (member.header().uid().expect("a uid"), member.header().mode().expect("a mode")),
                (0, 0o644)
            );
            let path = String::from_utf8(member.path_bytes().into_owned()).expect("UTF-8");
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).expect("bytes");
            assert_eq!(members.insert(path.clone(), bytes), None, "{path} is in the tars twice");
        }
    }
    members
}

/// Writes a list of these names and contents.
pub fn list(place: &Place, server: &Server, files: &[(String, Vec<u8>)]) {
    let lines: Vec<String> =
        files.iter().map(|(name, bytes)| server.put(&format!("/{name}"), bytes.clone())).collect();
    place.write("list", lines.join("\n"));
}

/// Returns names and contents of small files of different sizes, including an empty file.
pub fn small(count: usize) -> Vec<(String, Vec<u8>)> {
    (0..count).map(|n| (format!("f{n:04}.bin"), content(&n.to_string(), n as u64 * 37 % 2000))).collect()
}

/// Asserts that the tars have exactly these files, each with its description.
#[track_caller]
pub fn assert_exact(place: &Place, files: &[(String, Vec<u8>)], out: &Out) {
    let members = members(place);
    for (name, bytes) in files {
        let there = members.get(name).unwrap_or_else(|| panic!("{name} is in no tar: {}", out.stderr));
        assert!(there == bytes, "{name} is not exact");
        let record = members.get(&name.replace(".bin", ".json")).expect("a description");
        let record: Value = serde_json::from_slice(record).expect("JSON");
        assert_eq!((&record["size"], &record["out"]), (&json!(bytes.len()), &json!(name)));
    }
    assert_eq!(members.len(), 2 * files.len());
}

/// Asserts that nothing but tars and the list is left.
#[track_caller]
pub fn assert_tidy(place: &Place) {
    let left: Vec<String> =
        place.files().into_iter().filter(|name| !name.ends_with(".tar") && name != "list").collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(!place.path().join("out/.downhaul-tars").exists());
}

/// The program that reads the events may end when all files are there.
#[test]
fn a_run_with_exit_status_0_gives_each_tar_its_name_if_the_reader_of_events_ends() {
    let server = Server::start();
    for last in ["started", "finished"] {
        let place = Place::new();
        // With one file, the run may have ended before it notices the end of the reader.
        let files = small(if last == "started" { 300 } else { 1 });
        list(&place, &server, &files);
        let mut run = place.start(&[&TO_TAR[..], &["--progress", "json"]].concat());
        let mut events = BufReader::new(run.stdout.take().expect("a pipe")).lines();
        let reads = events.any(|line| line.expect("a line").contains(&format!("\"kind\":\"{last}\"")));
        drop(events);
        let out = crate::common::finish(run);
        assert!(reads, "{last}: {}", out.stderr);
        assert!(out.status == 0 || last == "started", "{last}: {} {}", out.status, out.stderr);
        let has_tar = place.files().iter().any(|name| name == "out/set-000.tar");
        assert_eq!(has_tar, out.status == 0, "{last}: {}", out.stderr);
        if has_tar {
            assert_exact(&place, &files, &out);
        }
    }
}

#[test]
fn each_file_is_one_sample_with_its_description_and_a_second_run_does_nothing() {
    let (server, place) = (Server::start(), Place::new());
    let mut files = small(250);
    files.push(("large.bin".into(), content("large", 3_000_000)));
    list(&place, &server, &files);
    let args = [&TO_TAR[..], &["--tar-count", "100", "--record", "all.jsonl", "--progress", "json"]].concat();
    let out = place.run(&args);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &files, &out);
    let record = String::from_utf8(place.file("all.jsonl").expect("a record")).expect("UTF-8");
    fs::remove_file(place.path().join("all.jsonl")).expect("removed");
    assert_tidy(&place);
    let tars: Vec<String> = place.files().into_iter().filter(|name| name.ends_with(".tar")).collect();
    assert_eq!(tars, ["out/set-000.tar", "out/set-001.tar", "out/set-002.tar"]);

    let all = members(&place);
    let described: Value = serde_json::from_slice(&all["large.json"]).expect("JSON");
    assert_eq!(described["url"], server.url("large.bin"));
    assert!(described["sha256"].is_string() && described["status"] == "finished" && described["tries"] == 1);
    let path = described["path"].as_str().expect("a path").to_string();
    assert!(path.starts_with("out/set-00") && path.ends_with(".tar/large.bin"), "{path}");
    // The events and the record name the tar and the member, too.
    let events = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(events.contains(&format!("\"path\":\"{path}\"")), "{events}");
    let line: Value = record
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .find(|line: &Value| line["path"] == path)
        .expect("a line");
    assert_eq!((&line["out"], &line["sha256"]), (&json!("large.bin"), &described["sha256"]));

    let (requests, before) = (server.requests().len(), members(&place));
    let again = place.run(&args);
    assert_eq!((again.status, server.requests().len()), (0, requests), "{}", again.stderr);
    assert_eq!(members(&place), before);
    let skipped = String::from_utf8(again.stdout).expect("UTF-8");
    assert_eq!(skipped.matches("\"kind\":\"skipped\"").count(), 251);
    assert!(skipped.contains(&format!("\"path\":\"{path}\"")), "{skipped}");
}

#[test]
fn after_kills_at_random_moments_each_file_is_in_the_tars_once() {
    std::thread::scope(|all| {
        for seed in 0..3 {
            all.spawn(move || kill_often(seed));
        }
    });
}

fn kill_often(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let (server, place) = (Server::start(), Place::new());
    let mut files = small(400);
    let mut lines: Vec<String> =
        files.iter().map(|(name, bytes)| server.put(&format!("/{name}"), bytes.clone())).collect();
    for n in 0..4 {
        let name = format!("big{n}.bin");
        lines.push(server.url(&format!("capped/2500000/{name}?rate=3000000")));
        files.push((name.clone(), content(&name, 2_500_000)));
    }
    rng.shuffle(&mut lines);
    place.write("list", lines.join("\n"));
    let args = [&TO_TAR[..], &["--tar-size", "1M", "-j", "4"]].concat();
    for _ in 0..20 {
        let mut child = place.start(&args);
        std::thread::sleep(Duration::from_millis(rng.u64(5..250)));
        let signal = if rng.u8(0..4) == 0 { Signal::INT } else { Signal::KILL };
        if child.try_wait().expect("waits").is_none() {
            send(signal, &child);
        }
        let out = finish(child);
        assert!([0, -1, 130].contains(&out.status), "{seed}: {} {}", out.status, out.stderr);
        // Every tar that has its name is complete, and has no file twice.
        members(&place);
    }
    let out = place.run(&args);
    assert_eq!(out.status, 0, "{seed}: {}", out.stderr);
    assert_exact(&place, &files, &out);
    // A run that was killed between two steps may leave a partial file, which the next run removes.
    let out = place.run(&args);
    assert_eq!(out.status, 0, "{seed}: {}", out.stderr);
    assert_tidy(&place);
}

#[test]
fn a_file_with_a_wrong_digest_is_no_member() {
    let (server, place) = (Server::start(), Place::new());
    let (good, bad) = (server.put("/good.txt", "good"), server.put("/bad.txt", "other bytes"));
    let lines = [json!({"url": good}), json!({"url": bad, "sha256": "ab".repeat(32)})];
    place.write("list", lines.map(|line| line.to_string()).join("\n"));
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert_eq!(members(&place).into_keys().collect::<Vec<_>>(), ["good.json", "good.txt"]);
}

#[test]
fn two_runs_never_write_the_tars_at_once() {
    let (server, place) = (Server::start(), Place::new());
    let urls: Vec<String> =
        (0..3).map(|n| server.url(&format!("capped/400000/f{n}.bin?rate=200000"))).collect();
    place.write("list", urls.join("\n"));
    let first = place.start(&TO_TAR);
    wait_until("the first run writes", || !server.requests().is_empty());
    let second = place.run(&TO_TAR);
    assert_eq!(second.status, 1, "{}", second.stderr);
    assert!(second.stderr.contains("another"), "{}", second.stderr);
    let third = place.run(&[&TO_TAR[..], &["--if-locked", "wait", "--progress", "json"]].concat());
    assert_eq!(third.status, 0, "{}", third.stderr);
    assert_eq!(finish(first).status, 0);
    let skipped = events(&third).iter().filter(|event| event["kind"] == "skipped").count();
    assert_eq!(skipped, 3, "the third run finds the files of the first one: {}", third.stderr);
    let files: Vec<_> =
        (0..3).map(|n| format!("f{n}.bin")).map(|name| (name.clone(), content(&name, 400_000))).collect();
    assert_exact(&place, &files, &third);
}

#[test]
fn a_tar_has_at_most_its_size_unless_one_file_is_larger() {
    let (server, place) = (Server::start(), Place::new());
    let mut files: Vec<_> = (0..30).map(|n| (format!("f{n}.bin"), content(&n.to_string(), 20_000))).collect();
    files.push(("large.bin".into(), content("large", 200_000)));
    list(&place, &server, &files);
    let out = place.run(&[&TO_TAR[..], &["--tar-size", "100k"]].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &files, &out);
    let tars: Vec<String> = place.files().into_iter().filter(|name| name.ends_with(".tar")).collect();
    let sizes: Vec<u64> =
        tars.iter().map(|tar| fs::metadata(place.path().join(tar)).expect("a tar").len()).collect();
    assert_eq!(sizes.iter().filter(|size| **size > 100 << 10).count(), 1, "{sizes:?}");
    assert!(sizes.len() >= 8, "{sizes:?}");
}

#[test]
fn names_of_every_kind_become_members_with_keys_of_their_own() {
    let (server, place) = (Server::start(), Place::new());
    let long = "x".repeat(120);
    let deep = format!("{}/{}", vec!["folder".repeat(10); 4].join("/"), "y".repeat(150));
    let names = [
        "a.b.jpg",
        "a_b.jpg",
        "a.jpg",
        "a.txt",
        "a.png",
        "README",
        "meta.json",
        "meta.jpg",
        "dir.d/größe 1.5.png",
        "日本/語.tar.gz",
        &format!("{long}.jpg"),
        &format!("{deep}.bin"),
        ".hidden",
        "a b.txt",
    ];
    let lines = names.iter().enumerate().map(|(n, name)| {
        json!({"url": server.put(&format!("/{n}"), format!("content of {name}")), "out": name, "id": n})
            .to_string()
    });
    place.write("list", lines.collect::<Vec<_>>().join("\n"));
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let all = members(&place);
    assert_eq!(all.len(), 2 * names.len());
    let mut keys = Vec::new();
    for (path, bytes) in
        all.iter().filter(|(path, _)| path.ends_with(".json") && !path.ends_with(".data.json"))
    {
        let record: Value = serde_json::from_slice(bytes).expect("JSON");
        let id = usize::try_from(record["extra"]["id"].as_u64().expect("an id")).expect("small");
        assert_eq!(record["out"], names[id]);
        let member = record["path"].as_str().and_then(|path| path.split_once(".tar/")).expect("a member").1;
        let key = path.strip_suffix(".json").expect("an ending");
        assert!(!key.contains('.') && member.starts_with(&format!("{key}.")), "{member} {path}");
        assert_eq!(all[member], format!("content of {}", names[id]).into_bytes());
        keys.push(key.to_string());
    }
    keys.dedup();
    assert_eq!(keys.len(), names.len());
    let there = |names: &[&str]| names.iter().filter(|name| all.contains_key(**name)).count();
    // Of several files with one key, the file that arrives first has this key. The keys of the other files
    // have a hash.
    let shared = [there(&["a.jpg", "a.txt", "a.png"]), there(&["meta.data.json", "meta.jpg"])];
    let own = there(&["README.bin", "dir_d/größe 1_5.png", "日本/語.tar.gz", "a b.txt"]);
    assert_eq!((shared, own), ([1, 1], 4), "{:?}", all.keys());
    let requests = server.requests().len();
    let again = place.run(&TO_TAR);
    assert_eq!(
        (again.status, server.requests().len(), members(&place).len()),
        (0, requests, 2 * names.len()),
        "{}",
        again.stderr
    );
}

#[test]
fn the_tars_of_several_shards_have_different_numbers() {
    let (server, place) = (Server::start(), Place::new());
    let files = small(60);
    list(&place, &server, &files);
    let run = |shard: &str| place.start(&[&TO_TAR[..], &["--tar-count", "5", "--shard", shard]].concat());
    let runs = ["1/3", "2/3", "3/3"].map(run);
    for child in runs {
        let out = finish(child);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    let all = members(&place);
    assert_eq!(all.len(), 120);
    // A run without shards finds all files.
    let requests = server.requests().len();
    let out = place.run(&TO_TAR);
    assert_eq!(
        (out.status, server.requests().len(), members(&place) == all),
        (0, requests, true),
        "{}",
        out.stderr
    );
}

#[test]
fn a_run_that_is_stopped_keeps_its_last_tar_open_and_the_next_one_goes_on() {
    let (server, place) = (Server::start(), Place::new());
    let files: Vec<_> = (0..10).map(|n| (format!("f{n}.bin"), content(&n.to_string(), 100_000))).collect();
    list(&place, &server, &files);
    let args = [&TO_TAR[..], &["--max-total", "350k", "-j", "1"]].concat();
    let out = place.run(&args);
    assert_eq!(out.status, 75, "{}", out.stderr);
    assert!(place.file("out/set-000.tar.part").is_some() && place.file("out/set-000.tar").is_none());
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &files, &out);
    assert_eq!(server.requests().len(), 10, "each file was requested once");
    assert_eq!(place.files(), ["list", "out/set-000.tar"]);
}

#[test]
fn of_an_unfinished_tar_only_whole_and_exact_members_are_kept() {
    let (server, place) = (Server::start(), Place::new());
    let files: Vec<_> = (0..10).map(|n| (format!("f{n}.bin"), content(&n.to_string(), 100_000))).collect();
    list(&place, &server, &files);
    let stopped = [&TO_TAR[..], &["--max-total", "550k", "-j", "1"]].concat();
    let part = "out/set-000.tar.part";
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.truncate(bytes.len() - 300),
        |bytes| bytes.extend([0; 5000]),
        // After a power failure, a part of the file may have zeros.
        |bytes| bytes[250_000..280_000].fill(0),
        |bytes| bytes.truncate(100_700),
    ];
    for damage in damages {
        assert_eq!(place.run(&stopped).status, 75);
        let mut bytes = place.file(part).expect("an unfinished tar");
        damage(&mut bytes);
        place.write(part, bytes);
        let out = place.run(&TO_TAR);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_exact(&place, &files, &out);
        fs::remove_dir_all(place.path().join("out")).expect("removed");
    }
}

#[test]
fn files_of_other_programs_are_not_changed() {
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, &small(3));
    for name in ["out/set-000.tar", "out/set-000.tar.part"] {
        for text in ["not a tar".to_string(), "x".repeat(5000)] {
            place.write(name, &text);
            let out = place.run(&TO_TAR);
            assert_eq!(out.status, 5, "{}", out.stderr);
            assert!(out.stderr.contains("the file is not a tar that downhaul wrote"), "{}", out.stderr);
            assert_eq!(place.file(name), Some(text.into_bytes()));
            assert!(!place.path().join("out/.downhaul-tars").exists(), "{name}: {:?}", place.files());
        }
        fs::remove_file(place.path().join(name)).expect("removed");
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn options_that_do_not_work_with_to_tar_are_refused() {
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, &small(3));
    for (more, says) in [
        (&["--if-exists", "overwrite"][..], "files in a tar are not replaced"),
        (&["--if-exists", "rename"], "files in a tar are not replaced"),
        (&["--continue"], "cannot be used with"),
        (&["--tar-size", "2T"], "at most 1T"),
        (&["--tar-count", "0"], "0 is not in 1.."),
    ] {
        let out = place.run(&[&TO_TAR[..], more].concat());
        assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    }
    let url = server.url("f0000.bin");
    for (args, says) in [
        (&["--to-tar", "all.tar"][..], "{shard}"),
        (&["--to-tar", "a-{shard}.tar.gz"], "must end in .tar"),
        (&["--to-tar", "{shard}.tar", "-o", "-"], "cannot be used with"),
    ] {
        let out = place.run(&[&[url.as_str()], args].concat());
        assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    }
    assert_eq!((place.files(), server.requests().len()), (vec!["list".to_string()], 0));
}

/// The number of a file that was in progress is missing in the tar.
#[test]
fn a_file_with_a_number_is_found_again_although_the_number_before_it_is_missing() {
    let (server, place) = (Server::start(), Place::new());
    let target = |sin: &str, id| format!("{sin}/2000/get?id={id}&disposition=attachment;filename=x.bin");
    // The third response begins a second later, so that the second file gets the first free number.
    let third = target("named", 3) + "&wait=1";
    let targets = [target("named", 1), target("silence_in_mid_body", 2), third];
    let urls = targets.clone().map(|target| server.url(&target));
    place.write("list", &urls[0]);
    let args = [&TO_TAR[..], &["-j", "2", "--retries", "0"]].concat();
    assert_eq!(place.run(&args).status, 0);
    // The first file is in a tar already. The second one gets the number 1, and the third one the number 2.
    place.write("list", urls.join("\n"));
    let run = place.start(&args);
    wait_until("the third file is in the next tar", || {
        place.file("out/set-001.tar.part").is_some_and(|tar| tar.len() > 512 + 2048)
    });
    send(Signal::TERM, &run);
    assert_eq!(finish(run).status, 75);
    server.becomes(&targets[1], "status/0/x?status=404");
    let out = place.run(&args);
    assert_eq!(out.status, 1, "{}", out.stderr);
    let names: Vec<String> = members(&place).into_keys().collect();
    assert_eq!(names, ["x (2).bin", "x (2).json", "x.bin", "x.json"]);
}
