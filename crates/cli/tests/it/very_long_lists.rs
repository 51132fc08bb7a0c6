//! Lists that are so long that their first files are downloaded before the rest of the list was checked.

use crate::common::{PATIENCE, Place, events, finish, send};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use fastrand::Rng;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

/// At least this many lines of a list of 4 MiB or more are checked before the first request.
const FIRST: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

/// Returns many lines that are left out with `--skip-bad-lines`. They cause no requests. [`FIRST`] lines are
/// longer than 4 MiB.
fn bad_lines(number: usize) -> String {
    format!("ftp://127.0.0.1/{}\n", "x".repeat(500)).repeat(number)
}

/// The number of bad lines after the first [`FIRST`] bad lines.
const REST: usize = FIRST / 5;

/// Returns a list whose last lines are checked after the first request. A line between the bad lines has the
/// name `b`.
fn list(server: &Server, last: &str) -> String {
    let url = server.url("well_behaved/10/a");
    format!("{url} a\n{}{url}?2 b\n{}{last}\n", bad_lines(FIRST), bad_lines(REST))
}

#[test]
fn a_mistake_beyond_the_first_lines_stops_the_run_and_is_shown_with_its_line() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/10/a");
    for (last, says) in [
        (format!("{url}?3 b"), "would have the same name: b"),
        (format!("{url}?3 b/c"), "would need a file and a folder of the same name: b/c"),
    ] {
        place.write("list", list(&server, &last));
        let out = place.run(&["-i", "list", "-d", "out", "--skip-bad-lines"]);
        let says = format!("lines {} and {} {says}", FIRST + 2, FIRST + REST + 3);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains(&says), "{says}: {}", out.stderr);
        assert!(out.stderr.contains("so the run stops"), "{}", out.stderr);
        // The file may have arrived before the run stopped.
        assert!(place.file("out/a").is_none_or(|bytes| bytes == content("a", 10)));
    }
}

#[test]
fn all_mistakes_are_found_before_the_first_request_if_one_is_among_the_first_lines_or_if_there_are_shards() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/10/a");
    place.write("list", list(&server, &format!("{url}?3 c")));
    let out = place.run(&["-i", "list", "-d", "out"]);
    assert_eq!(out.status, 2, "{}", out.stderr);
    let more = format!("... and {} more", FIRST + REST - 10);
    assert!(out.stderr.contains("line 2:") && out.stderr.contains(&more), "{}", out.stderr);
    place.write("list", list(&server, &format!("{url}?3 b")));
    let out = place.run(&["-i", "list", "-d", "out", "--skip-bad-lines", "--shard", "1/1"]);
    assert_eq!(out.status, 2, "{}", out.stderr);
    assert!(out.stderr.contains("would have the same name: b"), "{}", out.stderr);
    assert!(server.requests().is_empty() && place.files() == ["list"], "{:?}", place.files());
}

#[test]
fn lines_that_are_left_out_are_a_warning_and_the_number_of_files_is_right() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/10/a");
    place.write("list", list(&server, &format!("{url}?3 c")));
    let args = ["-i", "list", "-d", "out", "--skip-bad-lines", "--failed", "failed"];
    let out = place.run(&args);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let more = format!("... and {} more", FIRST + REST - 10);
    assert!(out.stderr.contains("were left out because they have mistakes"), "{}", out.stderr);
    assert!(out.stderr.contains(&more), "{}", out.stderr);
    for name in ["out/a", "out/b", "out/c"] {
        place.assert_exact(&out, name, &content("a", 10));
    }
    let left_out = format!("# --failed: {} lines were left out because they have mistakes\n", FIRST + REST);
    assert_eq!(place.file("failed"), Some(left_out.into_bytes()));
}

#[test]
fn a_file_of_a_document_does_not_replace_one_of_a_long_list() {
    let (server, place) = (Server::start(), Place::new());
    let (url, other) = (server.url("well_behaved/10/a"), server.url("well_behaved/10/z"));
    // The queue of the session is too short for all these files. So the first file has ended before the
    // file of the document is queued.
    let many: Vec<String> = (0..4000).map(|n| format!("{url}?{n} {n}")).collect();
    place.write("list", list(&server, &many.join("\n")));
    let file = format!("<file name=\"a\"><url>{other}</url></file>");
    place
        .write("all.meta4", format!("<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">{file}</metalink>"));
    let args = ["-i", "list", "-i", "all.meta4", "-d", "out", "--skip-bad-lines", "--if-exists", "overwrite"];
    let out = place.run(&args);
    assert_eq!((out.status, place.file("out/a")), (1, Some(content("a", 10))), "{}", out.stderr);
    assert!(out.stderr.contains("another file of this run has the same name"), "{}", out.stderr);
}

/// The rest of the list has four gigabytes, which take much longer to read than the first lines.
#[cfg(target_os = "linux")]
#[test]
fn the_first_request_does_not_wait_until_a_long_list_was_read_to_its_end() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/10/a");
    let files: String = (0..100).map(|n| format!("{url}?{n} {n}\n")).collect();
    let path = place.write("list", files + &bad_lines(FIRST));
    let length = 4 << 30;
    fs::File::options().write(true).open(path).expect("opens").set_len(length).expect("grows");
    let mut child = place.start(&["-i", "list", "-d", "out", "--skip-bad-lines"]);
    crate::common::wait_until("a request", || !server.requests().is_empty());
    let counts = fs::read_to_string(format!("/proc/{}/io", child.id())).expect("counts");
    child.kill().expect("ends");
    finish(child);
    let read =
        counts.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("the bytes that were read");
    assert!(
        read.parse::<u64>().expect("a number") < length,
        "{read} bytes were read before the first request"
    );
}

#[test]
fn a_late_line_of_a_lock_file_replaces_an_earlier_line_or_is_a_mistake_if_its_file_may_be_there() {
    let server = Server::start();
    let url = server.url("well_behaved/10/a");
    let line = |name: &str| {
        let digest = sha256(&content("a", 10));
        format!(
            "{{\"url\":\"{url}\",\"out\":\"{name}\",\"date\":\"2026-11-27T00:00:00Z\",\"status\":\"finished\",\"tries\":1,\"sha256\":\"{digest}\"}}"
        )
    };
    for starts_with_one in [true, false] {
        let place = Place::new();
        let first = if starts_with_one { format!("{}\n", line("z")) } else { String::new() };
        place.write("list", first + &list(&server, &line("a")));
        let out = place.run(&["-i", "list", "-d", "out", "--skip-bad-lines", "--progress", "json"]);
        let finished = events(&out).iter().filter(|event| event["kind"] == "finished").count();
        let says = format!("lines 1 and {} would have the same name: a", FIRST + REST + 3);
        match starts_with_one {
            // The whole list is checked before the first request.
            true => assert_eq!((out.status, finished), (0, 3), "{}", out.stderr),
            false => assert!(out.status == 2 && out.stderr.contains(&says), "{}", out.stderr),
        }
    }
}

#[test]
fn a_signal_does_not_hide_a_mistake_that_was_found_during_the_run() {
    let server = Server::start();
    let url = server.url("slow/9000000/x?rate=1000");
    let lines = |from: usize, to: usize| {
        (from..to).fold(String::new(), |mut all, n| {
            writeln!(all, "{url}&{n:0100} {n}").expect("a text");
            all
        })
    };
    let text = format!("{}ftp://h/a\n{}", lines(0, FIRST), lines(FIRST, 6 * FIRST));
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        place.write("list", &text);
        let mut child = place.start(&["-i", "list", "-d", "out", "-j", "1"]);
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = String::new();
        while !said.contains("so the run stops") && stderr.read_line(&mut said).expect("reads") > 0 {}
        send(signal, &child);
        stderr.read_to_string(&mut said).expect("reads");
        assert_eq!(finish(child).status, 2, "{signal:?}: {said}");
        assert!(said.contains(&format!("line {}:", FIRST + 1)), "{signal:?}: {said}");
        assert!(said.contains("was not read, because a signal stopped the run"), "{signal:?}: {said}");
    }
}

/// A run is interrupted while its list is read and checked. Each file must be complete. Each file must be
/// requested once, unless the run was killed while the response arrived.
#[test]
fn a_very_long_list_that_is_interrupted_at_random_loses_nothing_and_fetches_nothing_twice() {
    let (server, place, mut rng) = (Server::start(), Place::new(), Rng::with_seed(7));
    let mut table = String::from("url,name,id\n");
    for n in 0..2_000 {
        let url = server.url(&format!("well_behaved/100/{n}"));
        writeln!(table, "{url},{}/{n}.bin,{n}", n % 7).expect("a text");
        table.push_str(&bad_lines(6).replace('\n', ",,\n"));
    }
    place.write("list.csv", table);
    let args = [
        ["-i", "list.csv", "-d", "out", "--skip-bad-lines", "--archive", "done.db"].as_slice(),
        ["--record", "all.jsonl", "-j", "8"].as_slice(),
    ]
    .concat();
    let mut kills = 0;
    for turn in 0..5 {
        let mut child = place.start(&args);
        let before = server.requests().len();
        let begun = Instant::now();
        while turn > 0
            && server.requests().len() == before
            && child.try_wait().expect("waits").is_none()
            && begun.elapsed() < PATIENCE
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(rng.u64(0..600)));
        let signal = if rng.bool() { Signal::TERM } else { Signal::KILL };
        if child.try_wait().expect("waits").is_none() {
            send(signal, &child);
            kills += usize::from(signal == Signal::KILL);
        }
        let out = finish(child);
        assert!([0, 75, -1].contains(&out.status), "{}: {}", out.status, out.stderr);
    }
    let out = place.run(&args);
    assert_eq!(out.status, 0, "{}", out.stderr);
    for n in 0..2_000 {
        let name = format!("out/{}/{n}.bin", n % 7);
        assert_eq!(place.file(&name), Some(content(&n.to_string(), 100)), "{name}");
    }
    let left: Vec<String> = place.files().into_iter().filter(|name| name.contains(".part")).collect();
    assert_eq!(left, Vec::<String>::new());
    let requests = server.requests().len();
    // At most 8 files are in progress when a run is killed.
    assert!((2_000..=2_000 + 8 * 5).contains(&requests), "{requests} requests, {kills} kills");
    // All files are in the archive and have a line in the record.
    fs::remove_dir_all(place.path().join("out")).expect("removed");
    assert_eq!(place.run(&args).status, 0);
    assert_eq!(server.requests().len(), requests, "the archive has all files");
    let record = String::from_utf8(place.file("all.jsonl").expect("a record")).expect("UTF-8");
    let mut lines = BTreeMap::new();
    for line in record.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        *lines.entry(line["extra"]["id"].to_string()).or_insert(0) += 1;
    }
    assert_eq!(lines.len(), 2_000);
    assert!(lines.values().all(|number| *number == 1), "each file has one line");
}
