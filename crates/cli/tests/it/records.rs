//! The lines of `--record`: one for each file, as soon as its job has ended, even if the run is stopped or
//! killed later.

use crate::common::{Place, events};
#[cfg(unix)]
use crate::common::{finish, wait_until};
use crate::verification::{SHA256, SIZE, file};
use downhaul_testkit::server::Server;
use serde_json::{Value, json};
#[cfg(unix)]
use std::process::Child;

fn lines(place: &Place, name: &str) -> Vec<Value> {
    let text = String::from_utf8(place.file(name).unwrap_or_default()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Returns the line of the job with this `id` in its list.
fn with_id(lines: &[Value], id: u64) -> &Value {
    lines.iter().find(|line| line["extra"]["id"] == id).unwrap_or_else(|| panic!("{id}: {lines:?}"))
}

/// Writes a list of a file that is downloaded, one that exists already, one that the server does not have,
/// and one whose digest is wrong.
fn four(place: &Place, server: &Server) -> [&'static str; 2] {
    server.put("/d/good", file());
    server.put("/d/there", file());
    server.put("/d/bad", "other bytes");
    place.write("there", file());
    let digest = SHA256.0;
    let list = [
        json!({"url": server.url("d/good"), "id": 1}),
        json!({"url": server.url("d/there"), "sha256": digest, "out": "there", "id": 2}),
        json!({"url": server.url("d/none?token=secret"), "id": 3}),
        json!({"url": server.url("d/bad"), "sha256": digest, "id": 4}),
    ];
    place.write("list.jsonl", list.map(|line| line.to_string()).join("\n"));
    ["-i", "list.jsonl"]
}

#[test]
fn a_file_that_the_list_has_twice_has_one_line_and_is_not_downloaded_again_under_another_name() {
    let (server, place) = (Server::start(), Place::new());
    let named = server.put("/d/named", file());
    let chosen = server.url("named/1000/x?disposition=attachment;filename=chosen");
    let list = format!("url,out\n{named},sub/b\n{named},sub/b\n{chosen},\n{chosen},\n");
    place.write("list.csv", list);
    let out = place.run(&["-i", "list.csv", "-d", "one", "--record", "all.jsonl"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(lines(&place, "all.jsonl").len(), 2, "{:?}", lines(&place, "all.jsonl"));
    let files = place.files();
    let out = place.run(&["-i", "all.jsonl", "-d", "one"]);
    assert_eq!((out.status, place.files()), (0, files), "{}", out.stderr);
}

#[test]
fn every_job_has_one_line_that_says_how_it_ended() {
    let (server, place) = (Server::start(), Place::new());
    let out =
        place.run(&[&four(&place, &server)[..], &["--record", "all.jsonl", "--progress", "json"]].concat());
    assert_eq!(out.status, 3, "{}", out.stderr);
    let lines = lines(&place, "all.jsonl");
    assert_eq!(lines.len(), 4, "{lines:?}");
    let good = with_id(&lines, 1);
    assert_eq!(good["url"], server.url("d/good"));
    assert_eq!(
        (&good["status"], &good["path"], &good["out"]),
        (&json!("finished"), &json!("./good"), &json!("good"))
    );
    assert_eq!(
        (&good["size"], &good["fetched"], &good["sha256"]),
        (&json!(SIZE), &json!(SIZE), &json!(SHA256.0))
    );
    assert_eq!((&good["tries"], good["seconds"].is_f64()), (&json!(1), true));
    let there = with_id(&lines, 2);
    assert_eq!(
        (&there["status"], &there["size"], &there["sha256"]),
        (&json!("skipped"), &json!(SIZE), &json!(SHA256.0))
    );
    assert_eq!(there["tries"], 0);
    let none = with_id(&lines, 3);
    assert_eq!((&none["status"], &none["error"]), (&json!("failed"), &json!("http.not_found")));
    assert_eq!((&none["http_status"], &none["tries"], none.get("out")), (&json!(404), &json!(1), None));
    assert!(none["url"].as_str().is_some_and(|url| url.ends_with("token=***")), "{none}");
    let bad = with_id(&lines, 4);
    assert_eq!(
        (&bad["status"], &bad["error"], &bad["out"], &bad["path"]),
        (&json!("failed"), &json!("digest.mismatch"), &json!("bad"), &json!("./bad"))
    );
    for line in &lines {
        assert!(line["date"].as_str().is_some_and(|date| date.ends_with('Z')), "{line}");
    }

    // The events have the same facts as the lines of the lock file.
    let ends = ["finished", "skipped", "failed"];
    let events = events(&out);
    let ends: Vec<_> =
        events.iter().filter(|one| ends.contains(&one["kind"].as_str().unwrap_or_default())).collect();
    assert!(ends.len() == 4 && ends.iter().all(|end| end["extra"]["id"].is_u64()), "{ends:?}");
    let skipped = ends.iter().find(|end| end["kind"] == "skipped").expect("a skipped file");
    assert_eq!((&skipped["bytes"], &skipped["digests"]["sha-256"]), (&json!(SIZE), &json!(SHA256.0)));
    let refused = ends.iter().find(|end| end["extra"]["id"] == 3).expect("a failed file");
    assert_eq!(refused["error"]["http_status"], 404);

    // `verify`, and a run with the lock file as its list, ignore the lines of files that failed.
    assert_eq!(place.run(&["verify", "all.jsonl"]).status, 0);
    let again = place.run(&["-i", "all.jsonl", "-d", "again"]);
    assert_eq!((again.status, place.file("again/there")), (0, Some(file())), "{}", again.stderr);
}

#[test]
fn a_failed_file_has_the_path_and_the_name_that_it_would_have() {
    let (server, place) = (Server::start(), Place::new());
    place.write("list", format!("{} sub/n\n", server.url("d/missing")));
    for folder in ["d".to_string(), place.path().join("e").to_string_lossy().into_owned()] {
        let record = format!("{folder}.lock");
        let out = place.run(&["-i", "list", "-d", &folder, "--record", &record, "--on-error", "skip"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        let path = if folder == "d" { record } else { "e.lock".into() };
        let line = lines(&place, &path).remove(0);
        assert_eq!(
            (&line["path"], &line["out"]),
            (&json!(format!("{folder}/sub/n")), &json!("sub/n")),
            "{line}"
        );
    }
}

#[test]
fn a_file_outside_of_the_output_folder_is_verified_and_no_other_run_writes_it() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/d/f", file());
    let absolute = place.path().join("elsewhere/x").to_string_lossy().into_owned();
    for record in ["all.lock", "all.csv"] {
        for name in ["../x", &absolute, "sub/x"] {
            // The second run finds the file.
            for _ in 0..2 {
                let out = place.run(&[&url, "-o", name, "-d", "d", "--record", record]);
                assert_eq!(out.status, 0, "{name}: {}", out.stderr);
            }
        }
        let files = place.files();
        let out = place.run(&["verify", record, "-d", "d"]);
        assert_eq!((out.status, out.stderr.as_str()), (0, "3 OK\n"), "{:?}", out.stdout);
        for name in ["x", "elsewhere/x", "d/sub/x"] {
            std::fs::remove_file(place.path().join(name)).expect("removed");
        }
        let out = place.run(&["verify", record, "-d", "d"]);
        assert!(out.status == 1 && out.stderr.contains("To repair: downhaul repair "), "{}", out.stderr);
        assert!(out.stderr.contains("again: downhaul URL -o NAME"), "{}", out.stderr);
        let out = place.run(&["-i", record, "-d", "d"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        let refused = format!("{url}: this file of the list cannot be downloaded: ");
        for why in [&*refused, "its name ../x cannot be used: it contains `..`", "it is an absolute path"] {
            assert!(out.stderr.contains(why), "{}", out.stderr);
        }
        let other = |name: &String| name != "x" && name != "elsewhere/x";
        assert_eq!(place.files(), files.into_iter().filter(other).collect::<Vec<_>>(), "{}", out.stderr);
        std::fs::remove_file(place.path().join("d/sub/x")).expect("removed");
    }
}

#[test]
fn a_run_that_refuses_a_line_of_a_lock_file_records_the_url_of_the_line() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/d/f", file());
    for record in ["all.lock", "all.csv"] {
        for name in ["../x", "sub/../y"] {
            let out = place.run(&[&url, "-o", name, "-d", "d", "--record", record]);
            assert_eq!(out.status, 0, "{name}: {}", out.stderr);
        }
        let out = place.run(&["-i", record, "-d", "d", "--record", record]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        let text = String::from_utf8(place.file(record).expect("a lock file")).expect("UTF-8");
        let failed: Vec<&str> = text.lines().filter(|line| line.contains("list.file")).collect();
        assert!(failed.len() == 1 && failed[0].contains(&*url) && !failed[0].contains(".."), "{text}");
        std::fs::remove_file(place.path().join("x")).expect("removed");
        let out = place.run(&["verify", record, "-d", "d"]);
        assert!(out.status == 1 && !out.stderr.contains("repair"), "{}", out.stderr);
        assert!(out.stderr.contains("again: downhaul URL -o NAME"), "{}", out.stderr);
    }
}

#[cfg(unix)]
#[test]
fn verify_does_not_read_what_is_not_a_regular_file() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/d/f", file());
    let pipe = place.make_pipe("pipe");
    std::fs::create_dir(place.path().join("d")).expect("a folder");
    let run = place.start(&[&url, "-o", "../pipe", "-d", "d", "--record", "all.lock"]);
    assert_eq!(std::fs::read(&pipe).expect("the file"), file());
    assert_eq!(finish(run).status, 0);
    let out = place.run(&[&url, "-o", "/dev/null", "-d", "d", "--record", "all.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    // A lock file of another person may name anything.
    for (name, keys) in [("/dev/zero", format!("\"sha256\":\"{}\"", SHA256.0)), (".", "\"size\":9".into())] {
        let mut text = place.file("all.lock").expect("a lock file");
        let line = json!({"url": url, "out": name, "status": "finished", "tries": 1, "date": "2026-01-01T00:00:00Z"});
        text.extend_from_slice(line.to_string().replace("\"out\"", &format!("{keys},\"out\"")).as_bytes());
        text.push(b'\n');
        place.write("all.lock", text);
    }
    let out = place.run(&["verify", "all.lock", "-d", "d"]);
    let table = String::from_utf8_lossy(&out.stdout);
    assert_eq!(table.matches("UNREADABLE").count(), 4, "{table}");
    assert_eq!(table.matches("  (it is not a regular file)").count(), 4, "{table}");
    assert_eq!(out.status, 5, "{table}");
}

#[test]
fn a_resumed_run_leaves_the_lock_file_in_the_order_of_the_input() {
    let server = Server::start();
    let urls: Vec<String> = (0..5).map(|n| server.put(&format!("/d/f{n}"), format!("{n}"))).collect();
    for name in ["lock", "lock.csv"] {
        let place = Place::new();
        place.write("all", urls.join("\n"));
        place.write("some", format!("{}\n{}", urls[4], urls[2]));
        place.write("other", server.put("/d/other", "other"));
        for list in ["other", "some", "all", "all"] {
            let out = place.run(&["-i", list, "-d", "out", "--record", name, "-j", "4"]);
            assert_eq!(out.status, 0, "{}", out.stderr);
        }
        let text = String::from_utf8(place.file(name).expect("a lock file")).expect("UTF-8");
        let order: Vec<&str> = text
            .match_indices("/d/")
            .map(|(at, _)| text[at + 3..].split(['"', ',']).next().unwrap_or_default())
            .collect();
        assert_eq!(order, ["other", "f0", "f1", "f2", "f3", "f4"], "{text}");
    }
}

#[test]
fn a_record_whose_name_ends_in_csv_is_a_table() {
    let (server, place) = (Server::start(), Place::new());
    let args = [&four(&place, &server)[..], &["--record", "all.csv"]].concat();
    assert_eq!(place.run(&args).status, 3);
    let text = String::from_utf8(place.file("all.csv").expect("a table")).expect("UTF-8");
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 5, "{text}");
    assert!(rows[0].starts_with("status,url,out,path,size,error,http_status,tries,date,"), "{text}");
    let columns = |row: &str| row.split(',').count();
    assert!(rows.iter().all(|row| columns(row) == columns(rows[0])), "{text}");
    for begins in [
        format!("finished,{},good,./good,{SIZE},,,1,", server.url("d/good")),
        format!("skipped,{},there,there,{SIZE},,,0,", server.url("d/there")),
        format!("failed,{},,,,http.not_found,404,1,", server.url("d/none?token=***")),
    ] {
        let found = rows.iter().any(|row| row.replace(",./there,", ",there,").starts_with(&begins));
        assert!(found, "{begins}\n{text}");
    }

    // A second run keeps the digests of the first run in the table. The table can also be used as a list.
    let out = place.run(&args);
    let after = String::from_utf8(place.file("all.csv").expect("a table")).expect("UTF-8");
    assert_eq!((out.status, after.lines().count()), (3, 5), "{after}");
    assert_eq!(after.matches(SHA256.0).count(), 2, "{after}");
    assert_eq!(place.run(&["verify", "all.csv"]).status, 0);
    assert_eq!(place.run(&["verify", "."]).status, 0, "the table is found in its folder");
    let again = place.run(&["-i", "all.csv", "-d", "again"]);
    assert_eq!((again.status, place.file("again/good")), (0, Some(file())), "{}", again.stderr);
    place.write("mine.csv", "a,b\n1,2\n");
    let out = place.run(&[&args[..2], &["--record", "mine.csv"]].concat());
    assert!(out.status == 2 && out.stderr.contains("it is not a lock file"), "{}", out.stderr);
}

#[test]
fn a_second_run_keeps_what_an_earlier_one_knew() {
    let (server, place) = (Server::start(), Place::new());
    let urls = ["a", "b"].map(|name| server.put(&format!("/d/{name}"), file()));
    let run = |more: &[&str]| {
        let out = place.run(&[&[&*urls[0], &*urls[1], "--record", "set.lock"], more].concat());
        assert_eq!(out.status, 0, "{}", out.stderr);
        lines(&place, "set.lock")
    };
    let first = run(&[]);
    assert_eq!(run(&[]), first, "files that are there already add nothing");
    assert_eq!(run(&["--if-exists", "overwrite"]).len(), 2);
    let out = place.run(&["-i", "set.lock", "--record", "set.lock", "--if-exists", "overwrite"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(lines(&place, "set.lock").len(), 2, "the input may be the record");
    assert_eq!(place.files(), ["a", "b", "set.lock"]);
}

#[cfg(unix)]
fn start_long(place: &Place, server: &Server, count: usize) -> Child {
    for n in 0..count {
        server.put(&format!("/d/{n}"), format!("content {n}"));
    }
    let urls: Vec<String> = (0..count).map(|n| server.url(&format!("d/{n}"))).collect();
    let slow = server.url("one_byte_a_second/1000/slow");
    place.write("list", format!("{}\n{slow}\n", urls.join("\n")));
    place.start(&["-i", "list", "--record", "set.lock", "-j", "4"])
}

#[cfg(unix)]
#[test]
fn after_a_kill_the_record_has_a_whole_line_for_each_file_that_ended() {
    let (server, place) = (Server::start(), Place::new());
    for round in 0..2 {
        let mut run = start_long(&place, &server, 200);
        wait_until("the files are recorded", || {
            place
                .file("set.lock")
                .is_some_and(|text| text.iter().filter(|b| **b == b'\n').count() >= 200 * (round + 1))
        });
        run.kill().expect("it runs");
        drop(finish(run));
    }
    let recorded = lines(&place, "set.lock");
    assert!(recorded.len() >= 400, "{}", recorded.len());
    // A later line may replace an earlier one. That is not a mistake, and the next run removes the earlier
    // line.
    assert_eq!(place.run(&["verify", "set.lock"]).status, 0);
    let out = place.run(&["-i", "set.lock", "-d", "again"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let mut torn = place.file("set.lock").expect("a record");
    torn.extend_from_slice(b"{\"url\":\"http://h/x\",\"out\":");
    place.write("set.lock", torn);
    let out = place.run(&[&server.url("d/0"), "--record", "set.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(lines(&place, "set.lock").len(), 200);
}

#[cfg(unix)]
#[test]
fn a_record_is_written_by_one_run_at_a_time() {
    let (server, place) = (Server::start(), Place::new());
    let mut run = start_long(&place, &server, 3);
    wait_until("the record exists", || place.file("set.lock").is_some_and(|text| !text.is_empty()));
    let out = place.run(&[&server.url("d/0"), "-d", "other", "--record", "set.lock"]);
    assert!(out.status == 5 && out.stderr.contains("another run is writing it"), "{}", out.stderr);
    run.kill().expect("it runs");
    drop(finish(run));
}
