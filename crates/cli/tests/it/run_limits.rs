//! `--max-total` and `--deadline`: no further file starts, and the same command continues later.

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use std::time::Duration;

/// The size of each file.
const SIZE: u64 = 100_000;

fn list(server: &Server, place: &Place, count: u64) {
    let urls = (0..count).map(|n| server.url(&format!("well_behaved/{SIZE}/f{n}")));
    place.write("list", urls.collect::<Vec<_>>().join("\n"));
}

/// Returns the command that a run suggests, as arguments.
fn suggested(out: &Out) -> Vec<String> {
    let line = out.stderr.lines().find_map(|line| line.strip_prefix("To resume: downhaul "));
    line.unwrap_or_else(|| panic!("{}", out.stderr)).split(' ').map(String::from).collect()
}

#[test]
fn after_max_total_the_files_that_were_started_are_completed_and_no_other() {
    let (server, place) = (Server::start(), Place::new());
    list(&server, &place, 10);
    let out = place.run(&["-i", "list", "-j", "1", "--max-total", "250k", "-d", "out"]);
    assert_eq!(out.status, 75, "{}", out.stderr);
    assert_eq!(place.files(), ["list", "out/f0", "out/f1", "out/f2"], "{}", out.stderr);
    let again = suggested(&out);
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    // Each run continues with the next files.
    let statuses: Vec<i32> = (0..3).map(|_| place.run(&again).status).collect();
    assert_eq!((statuses, place.files().len()), (vec![75, 75, 0], 11));
    let out = place.run(&["-i", "list", "-d", "all", "--max-total", "1000k"]);
    assert_eq!(out.status, 0, "enough for all files: {}", out.stderr);
}

/// The sizes in a list are counted before the responses arrive, so many jobs at once exceed the limit by one
/// file at most.
#[test]
fn the_sizes_in_a_list_count_for_max_total_as_soon_as_a_file_starts() {
    let server = Server::start();
    for key in ["size", "required_size"] {
        let place = Place::new();
        let line = |n| {
            format!("{{\"url\": {:?}, \"{key}\": {SIZE}}}", server.url(&format!("well_behaved/{SIZE}/f{n}")))
        };
        place.write("l.jsonl", (0..10).map(line).collect::<Vec<_>>().join("\n"));
        let args = ["-i", "l.jsonl", "-j", "8", "--max-total", "250k", "-d", "out", "--no-learn"];
        let run = || {
            let out = place.run(&args);
            (out.status, place.files().len() - 1)
        };
        // Files that exist already do not count.
        assert_eq!([run(), run(), run(), run()], [(75, 3), (75, 6), (75, 9), (0, 10)], "{key}");
    }
}

#[test]
fn after_the_deadline_no_file_starts() {
    let (server, place) = (Server::start(), Place::new());
    let slow = (0..4).map(|n| server.url(&format!("one_byte_a_second/3/f{n}")));
    place.write("list", slow.collect::<Vec<_>>().join("\n"));
    let out = place.run(&["-i", "list", "-j", "1", "--deadline", "1s"]);
    assert_eq!(out.status, 75, "{}", out.stderr);
    assert_eq!(place.files(), ["f0", "list"], "the first file is completed: {}", out.stderr);
    assert_eq!(suggested(&out), ["-i", "list", "-j", "1", "--deadline", "1s"]);

    // This date has passed, so the suggested command does not have the option.
    let out = place.run(&["-i", "list", "--deadline", "2001-01-01T00:00"]);
    assert_eq!((out.status, place.files()), (75, vec!["f0".to_string(), "list".into()]), "{}", out.stderr);
    assert!(out.took < Duration::from_secs(20), "{:?}", out.took);
    assert_eq!(suggested(&out), ["-i", "list"]);
    // `f0` is complete, but it counts as not started, because this run has looked at no file.
    assert!(out.stderr.contains("Stopped by --deadline: 4 files not started."), "{}", out.stderr);
    // A run may be over before its first file is known.
    assert_eq!(place.run(&["-i", "list", "--deadline", "1ms", "--progress", "json"]).status, 75);
    let out = place.run(&["-i", "list", "--deadline", "soon"]);
    assert!(out.status == 2 && out.stderr.contains("a time of day such as 06:30"), "{}", out.stderr);
}

/// The file is requested before the deadline, and the response arrives after it. The list is so long that its
/// first requests are sent by the threads for small files.
#[test]
fn a_file_of_a_long_list_whose_response_arrives_after_the_deadline_is_completed() {
    let (server, place) = (Server::start(), Place::new());
    let urls = (0..12).map(|n| server.url(&format!("capped/300000/f{n}?wait=6000")));
    place.write("list", urls.collect::<Vec<_>>().join("\n"));
    let out = place.run(&["-i", "list", "-j", "1", "--deadline", "3s"]);
    assert_eq!(out.status, 75, "{}", out.stderr);
    assert_eq!(place.file("f0"), Some(content("f0", 300_000)), "{}", out.stderr);
    assert_eq!(place.files(), ["f0", "list"], "{}", out.stderr);
}

#[test]
fn a_list_that_sends_nothing_before_the_deadline_is_not_called_empty() {
    let place = Place::new();
    let (input, to) = std::io::pipe().expect("a pipe");
    let run = place.command(&["-i", "-", "--deadline", "1s"]).stdin(input).spawn().expect("it starts");
    let out = crate::common::finish(run);
    assert!(out.status == 75 && !out.stderr.contains("is empty"), "{}: {}", out.status, out.stderr);
    drop(to);
}

#[test]
fn a_deadline_ends_a_run_that_waits_for_its_input() {
    let (server, place) = (Server::start(), Place::new());
    let mut run = place.command(&["-i", "-", "--deadline", "1s"]);
    let (input, mut to) = std::io::pipe().expect("a pipe");
    let run = run.stdin(input).spawn().expect("it starts");
    std::io::Write::write_all(&mut to, format!("{}\n", server.url("well_behaved/9/f")).as_bytes())
        .expect("it reads");
    let out = crate::common::finish(run);
    assert_eq!((out.status, place.files()), (75, vec!["f".to_string()]), "{}", out.stderr);
}
