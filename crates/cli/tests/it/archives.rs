//! `--archive`: files that an earlier run downloaded are skipped without a request.

#[cfg(unix)]
use crate::common::wait_until;
use crate::common::{Place, events, finish};
use crate::verification::{SHA256, file};
use downhaul_testkit::server::Server;
use serde_json::json;

/// Returns the number of requests for files that the server received.
fn requests(server: &Server) -> usize {
    server.requests().len()
}

#[test]
fn a_file_of_the_archive_is_skipped_without_a_request_even_if_it_is_gone() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/d/a", file());
    let args = [&*url, "--archive", "done.db", "--progress", "json"];
    assert_eq!(place.run(&args).status, 0);
    std::fs::remove_file(place.path().join("a")).expect("removed");
    let before = requests(&server);
    let out = place.run(&args);
    assert_eq!((out.status, requests(&server)), (0, before), "{}", out.stderr);
    let skipped = events(&out).into_iter().find(|one| one["kind"] == "skipped").expect("skipped");
    assert!(skipped["reason"].as_str().is_some_and(|why| why.contains("as the archive says")), "{skipped}");
    assert_eq!((&skipped["bytes"], &skipped["digests"]["sha-256"]), (&json!(file().len()), &json!(SHA256.0)));
    assert_eq!(place.files(), ["done.db"]);
    // Without the archive, the file is downloaded again.
    place.assert_exact(&place.run(&[&url]), "a", &file());
}

#[test]
fn a_file_is_found_by_its_digest_and_by_its_url_without_secrets() {
    let (server, place) = (Server::start(), Place::new());
    server.put("/d/a", file());
    let run = |line: serde_json::Value| {
        place.write("list.jsonl", line.to_string());
        let before = requests(&server);
        let out = place.run(&["-i", "list.jsonl", "--archive", "done.db", "-d", "out"]);
        let asked = requests(&server) - before;
        std::fs::remove_dir_all(place.path().join("out")).ok();
        (out.status, asked > 0)
    };
    let url = server.url("d/a");
    let signed = |n| format!("{url}?X-Amz-Signature={n}");
    assert_eq!(run(json!({"url": signed(1)})), (0, true));
    assert_eq!(run(json!({"url": signed(2)})), (0, false), "another signature");
    assert_eq!(run(json!({"url": server.url("d/elsewhere"), "sha256": SHA256.0})), (0, false), "another URL");
    let other = SHA256.0.replace('a', "b");
    assert_eq!(run(json!({"url": signed(3), "sha256": other})), (3, true), "another digest is another file");
    assert_eq!(run(json!({"url": format!("{url}?version=2")})), (0, true), "another URL is another file");
    assert_eq!(run(json!({"url": signed(4), "headers": {"Accept": "text/plain"}})), (0, true));
}

#[test]
fn a_file_that_was_there_already_enters_the_archive_if_it_was_compared() {
    let (server, place) = (Server::start(), Place::new());
    for (how, is_known) in [("check", true), ("skip", false)] {
        let url = server.put(&format!("/d/{how}"), file());
        assert_eq!(place.run(&[&url]).status, 0);
        let archive = format!("{how}.db");
        let args = [&*url, "--archive", &archive, "--if-exists", how];
        assert_eq!(place.run(&args).status, 0);
        std::fs::remove_file(place.path().join(how)).expect("removed");
        assert_eq!(place.run(&args).status, 0);
        assert_eq!(place.file(how).is_none(), is_known, "{how}");
    }
}

/// The lock file has the names that the list gives in this run, even if the archive has the files under
/// other names.
#[test]
fn a_lock_file_names_the_files_of_the_archive_as_the_list_does() {
    let (server, place) = (Server::start(), Place::new());
    let (a, b) = (server.put("/d/a", "first"), server.put("/d/b", "second"));
    place.write("list", format!("{a} x/a.bin\n{b} y/a.bin\n"));
    assert_eq!(place.run(&["-i", "list", "-d", "o", "--archive", "done.db"]).status, 0);
    std::fs::rename(place.path().join("o"), place.path().join("moved")).expect("moved");
    for lock in ["r.lock", "r.csv"] {
        let out = place.run(&["-i", "list", "-d", "p", "--archive", "done.db", "--record", lock]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        let text = String::from_utf8(place.file(lock).expect("a lock file")).expect("UTF-8");
        assert!(text.contains("x/a.bin") && text.contains("y/a.bin"), "{text}");
        let out = place.run(&["-i", lock, "-d", lock.trim_start_matches("r.")]);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    for folder in ["lock", "csv"] {
        assert_eq!(place.file(&format!("{folder}/x/a.bin")).as_deref(), Some(&b"first"[..]));
        assert_eq!(place.file(&format!("{folder}/y/a.bin")).as_deref(), Some(&b"second"[..]));
    }
    // The names of this run are used, even if the file is still in the output folder under its old name.
    place.write("renamed", format!("{a} z/new.bin\n"));
    let out = place.run(&["-i", "renamed", "-d", "moved", "--archive", "done.db", "--record", "z.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let text = String::from_utf8(place.file("z.lock").expect("a lock file")).expect("UTF-8");
    assert!(text.contains(r#""out":"z/new.bin""#), "{text}");
}

/// A reader of standard output or of a pipe needs the bytes in each run. Such a download leaves no file that
/// the archive could have.
#[cfg(unix)]
#[test]
fn the_archive_has_no_part_in_a_download_to_standard_output_or_to_a_pipe() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/d/a", file());
    place.write("config.toml", "archive = \"done.db\"\n");
    let given = ["--archive", "done.db"];
    let configured = ["--config", "config.toml"];
    for option in [given, given, configured] {
        let out = place.run(&[&[&*url, "-o", "-"], &option[..]].concat());
        assert_eq!((out.status, out.stdout == file()), (0, true), "{}", out.stderr);
    }
    let pipe = place.make_pipe("pipe");
    for _ in 0..2 {
        let run = place.start(&[&[&*url, "-o", "pipe"], &given[..]].concat());
        let read = std::fs::read(&pipe).expect("the bytes");
        let out = finish(run);
        assert_eq!((out.status, read == file()), (0, true), "{}", out.stderr);
    }
    let to_file = [&[&*url, "-d", "x"], &given[..]].concat();
    place.assert_exact(&place.run(&to_file), "x/a", &file());
    // A file that the archive has is still sent to standard output.
    let out = place.run(&[&[&*url, "-o", "-"], &given[..]].concat());
    assert_eq!((out.status, out.stdout == file()), (0, true), "{}", out.stderr);
    std::fs::remove_file(place.path().join("x/a")).expect("removed");
    assert_eq!((place.run(&to_file).status, place.file("x/a")), (0, None));
}

#[test]
fn a_failed_file_does_not_enter_the_archive() {
    let (server, place) = (Server::start(), Place::new());
    let args = [&*server.url("d/later"), "--archive", "done.db"];
    assert_eq!(place.run(&args).status, 1);
    server.put("/d/later", file());
    place.assert_exact(&place.run(&args), "later", &file());
}

#[cfg(unix)]
#[test]
fn after_a_kill_the_archive_is_sound_and_the_next_run_completes_it() {
    let (server, place) = (Server::start(), Place::new());
    let names: Vec<String> = (0..300).map(|n| format!("f{n}")).collect();
    let urls: Vec<String> =
        names.iter().map(|name| server.put(&format!("/d/{name}"), name.as_str())).collect();
    place.write("list", format!("{}\n{}\n", urls.join("\n"), server.url("one_byte_a_second/1000/slow")));
    let mut run = place.start(&["-i", "list", "-d", "out", "--archive", "done.db", "-j", "4"]);
    wait_until("some files are in the archive", || {
        std::fs::metadata(place.path().join("done.db")).is_ok_and(|found| found.len() > 40_000)
    });
    run.kill().expect("it runs");
    drop(finish(run));
    place.write("list", urls.join("\n"));
    let out = place.run(&["-i", "list", "-d", "out", "--archive", "done.db"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    std::fs::remove_dir_all(place.path().join("out")).expect("removed");
    let before = requests(&server);
    let out = place.run(&["-i", "list", "-d", "out", "--archive", "done.db"]);
    assert_eq!((out.status, requests(&server) - before), (0, 0), "{}", out.stderr);
    assert_eq!(place.files(), ["done.db", "list"]);
}

#[test]
fn two_runs_use_one_archive_at_once() {
    let (server, place) = (Server::start(), Place::new());
    let list = |run: &str| {
        let urls = (0..200).map(|n| server.put(&format!("/d/{run}{n}"), format!("{run} {n}")));
        place.write(run, urls.collect::<Vec<_>>().join("\n"));
    };
    ["a", "b"].into_iter().for_each(list);
    let start = |run: &str| place.start(&["-i", run, "-d", &format!("out-{run}"), "--archive", "done.db"]);
    let runs = ["a", "b"].map(start);
    for run in runs {
        let out = finish(run);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    let before = requests(&server);
    for run in ["a", "b"] {
        let out = place.run(&["-i", run, "-d", "again", "--archive", "done.db"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    assert_eq!(requests(&server), before, "each run's files are in the archive");
}

#[test]
fn a_file_that_is_no_archive_is_not_touched() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/d/a", file());
    place.write("notes.txt", "mine");
    let out = place.run(&[&url, "--archive", "notes.txt"]);
    assert!(out.status == 2 && out.stderr.contains("it is not an archive"), "{}", out.stderr);
    assert_eq!(place.file("notes.txt").as_deref(), Some(&b"mine"[..]));
    let out = place.run(&[&url, "--archive", "no/folder/done.db"]);
    assert!(out.status == 5 && out.stderr.contains("the archive no/folder/done.db"), "{}", out.stderr);
    assert_eq!(place.files(), ["notes.txt"]);
}
