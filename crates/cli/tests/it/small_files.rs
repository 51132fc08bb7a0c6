//! Lists of small files, each of which one thread downloads from start to end. Their results must not differ
//! from the results of other files.

use crate::common::{self, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rustix::process::Signal;
use std::fmt::Write;
use std::time::Duration;

/// The size of a small file in bytes.
const SMALL: u64 = 3000;

/// Writes a list of these files of the server.
fn list(place: &Place, server: &Server, files: &[String]) {
    let urls = files.iter().fold(String::new(), |mut urls, file| {
        writeln!(urls, "{}", server.url(file)).expect("a text");
        urls
    });
    place.write("list", urls);
}

fn small(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("well_behaved/{SMALL}/f{n}")).collect()
}

/// Checks that there is nothing in a folder but these files.
#[track_caller]
fn assert_only(place: &Place, folder: &str, names: &mut Vec<String>) {
    let entries = std::fs::read_dir(place.path().join(folder)).expect("a folder");
    let mut there: Vec<String> =
        entries.map(|one| one.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    there.sort();
    names.sort();
    assert_eq!(there, *names);
}

#[test]
fn each_file_of_a_mixed_list_is_requested_once_and_has_its_own_result() {
    let server = Server::start();
    let place = Place::new();
    let mut files = small(0..60);
    files.insert(20, "status/100/missing?status=404".into());
    files.insert(30, "well_behaved/2000000/large".into());
    files.insert(31, "well_behaved/300000/middle".into());
    files.insert(40, "no_length/1000/unsized".into());
    files.insert(50, "well_behaved/0/empty".into());
    list(&place, &server, &files);
    place.write("out/f7", b"my own notes");
    let out = place.run(&["-i", "list", "-d", "out", "-j", "8", "-x", "1", "--progress", "json"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    for n in (0..60).filter(|n| *n != 7) {
        assert_eq!(place.file(&format!("out/f{n}")), Some(content(&format!("f{n}"), SMALL)), "f{n}");
    }
    assert_eq!(place.file("out/f7").as_deref(), Some(&b"my own notes"[..]));
    for (name, size) in [("large", 2_000_000), ("middle", 300_000), ("unsized", 1000), ("empty", 0)] {
        assert_eq!(place.file(&format!("out/{name}")), Some(content(name, size)), "{name}");
    }
    let requests = server.requests();
    for file in &files {
        let asked = requests.iter().filter(|one| one.target.ends_with(file.as_str())).count();
        assert_eq!(asked, 1, "{file}: {}", out.stderr);
    }
    let mut names: Vec<String> = (0..60).map(|n| format!("f{n}")).collect();
    names.extend(["large", "middle", "unsized", "empty"].map(String::from));
    assert_only(&place, "out", &mut names);
    // Each job has one result. A second run requests only the missing file and the file of the user.
    let is_end = |kind: &str| matches!(kind, "finished" | "failed" | "skipped");
    let ends = common::events(&out).into_iter().filter(|event| event["kind"].as_str().is_some_and(is_end));
    assert_eq!(ends.count(), files.len());
    let before = server.requests().len();
    place.run(&["-i", "list", "-d", "out", "-j", "8", "-x", "1"]);
    let again = server.requests().split_off(before);
    assert!(again.iter().all(|one| one.target.contains("missing") || one.target.ends_with("/f7")));
}

#[test]
fn the_time_of_a_slow_small_file_begins_with_its_request() {
    let (server, place) = (Server::start(), Place::new());
    let files: Vec<_> = (0..10).map(|n| format!("capped/200000/f{n}?rate=40000")).collect();
    list(&place, &server, &files);
    let out = place.run(&["-i", "list", "-j", "10", "-x", "1", "--progress", "json", "--explain"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let all = common::events(&out);
    let seconds: Vec<_> =
        all.iter().filter(|one| one["kind"] == "finished").map(|one| &one["seconds"]).collect();
    assert_eq!(seconds.len(), 10);
    assert!(seconds.iter().all(|seconds| seconds.as_f64() > Some(3.0)), "{seconds:?}");
    let bodies = out.stderr.split("receiving the body ").skip(1).filter_map(|rest| rest.split(' ').next());
    let bodies: Vec<f64> = bodies.filter_map(|body| body.parse().ok()).collect();
    assert!(bodies.len() == 10 && bodies.iter().all(|body| *body > 3.0), "{bodies:?}: {}", out.stderr);
}

#[test]
fn a_run_that_is_stopped_leaves_only_whole_files_and_the_next_run_completes_the_list() {
    for signal in [Signal::INT, Signal::KILL] {
        let server = Server::start();
        let place = Place::new();
        list(&place, &server, &small(0..3000));
        let mut run = place.start(&["-i", "list", "-d", "out", "-q"]);
        common::wait_until("three hundred requests", || server.requests().len() > 300);
        common::send(signal, &run);
        run.wait().expect("ends");
        let mut whole = 0;
        for entry in std::fs::read_dir(place.path().join("out")).expect("a folder") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            // The first files may have been downloaded in the usual way, with a partial file.
            if name.ends_with(".part") {
                continue;
            }
            assert_eq!(place.file(&format!("out/{name}")), Some(content(&name, SMALL)), "{signal:?} {name}");
            whole += 1;
        }
        assert!(whole > 0 && whole < 3000, "{signal:?}: {whole} files");
        let out = place.run(&["-i", "list", "-d", "out", "-q"]);
        assert_eq!(out.status, 0, "{signal:?}: {}", out.stderr);
        assert_only(&place, "out", &mut (0..3000).map(|n| format!("f{n}")).collect());
    }
}

#[test]
fn more_than_sixteen_files_are_downloaded_by_as_many_at_once_as_is_best() {
    for (files, most) in [(16, 2), (17, 4)] {
        let server = Server::start();
        let place = Place::new();
        // The server sends 20 KB of each file a second, so the number of files at once can be seen.
        let files: Vec<String> = (0..files).map(|n| format!("capped/4000/f{n}?rate=20000")).collect();
        list(&place, &server, &files);
        let out = place.run(&["-i", "list", "-d", "out"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(out.took < Duration::from_secs(60));
        match most {
            2 => assert!(server.most_open() <= 2, "{} connections", server.most_open()),
            most => assert!(server.most_open() >= most, "{} connections", server.most_open()),
        }
    }
}

#[test]
fn a_file_that_is_out_of_the_ordinary_takes_the_place_of_a_small_one() {
    // The thread gives the last file back to the director when no other file is left and one connection is
    // allowed.
    for last in ["status/100/last?status=404", "well_behaved/1000000/last"] {
        let server = Server::start();
        let place = Place::new();
        let files: Vec<String> = small(0..20).into_iter().chain([last.to_string()]).collect();
        list(&place, &server, &files);
        let out = place.run(&["-i", "list", "-d", "out", "-j", "2", "--max-per-host", "1"]);
        assert_eq!(out.status, i32::from(last.contains("404")), "{}", out.stderr);
        assert!(out.took < Duration::from_secs(30));
        assert!(server.most_open() <= 1, "{} connections", server.most_open());
    }
}

#[test]
fn large_files_whose_sizes_are_not_known_before_do_not_exceed_the_limit_of_files() {
    let server = Server::start();
    let place = Place::new();
    let files: Vec<String> = (0..40).map(|n| format!("well_behaved/1000000/f{n}")).collect();
    list(&place, &server, &files);
    let out = place.run(&["-i", "list", "-d", "out", "-j", "2", "-x", "1"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    // Small files have connections of their own. Up to two connections of each kind may be open, some of them
    // without a request.
    assert!(server.most_open() <= 4, "{} connections", server.most_open());
}

#[test]
fn a_run_that_ends_at_the_first_failure_says_what_is_left() {
    let server = Server::start();
    let place = Place::new();
    let files: Vec<String> =
        ["status/100/missing?status=404".to_string()].into_iter().chain(small(0..3000)).collect();
    list(&place, &server, &files);
    let out = place.run(&["-i", "list", "-d", "out", "--on-error", "exit"]);
    assert_eq!(out.status, 4, "{}", out.stderr);
    let line = out.stderr.lines().find(|line| line.starts_with("Stopped: ")).expect("a last line");
    assert!(line.contains("1 failed") && line.contains("unfinished"), "{line}");
}

#[test]
fn the_last_line_of_a_stopped_run_counts_all_files_of_the_list() {
    let server = Server::start();
    let place = Place::new();
    list(&place, &server, &small(0..3000));
    let run = place.start(&["-i", "list", "-d", "out"]);
    common::wait_until("three hundred requests", || server.requests().len() > 300);
    common::send(Signal::INT, &run);
    let out = common::finish(run);
    let line = out.stderr.lines().find(|line| line.starts_with("Stopped: ")).expect("a last line");
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers.iter().take(2).sum::<u64>(), 3000, "{line}");
}
