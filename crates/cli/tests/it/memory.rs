//! Tests that the memory does not grow with the number of lines in a list, and that long lists have the
//! same results as short ones.

use crate::common::Place;
#[cfg(target_os = "linux")]
use crate::common::finish;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
#[cfg(target_os = "linux")]
use std::process::Stdio;

/// A list of this many bytes or more is long: the names that occur once in it are not remembered.
const LONG: usize = 4 * 1024 * 1024;

/// Returns comments that make a list long.
fn comments() -> String {
    format!("# {}\n", "x".repeat(1000)).repeat(LONG / 1000)
}

/// Returns the highest memory in use of a running program in KiB, or `None` if it has ended.
#[cfg(target_os = "linux")]
fn peak(child: &std::process::Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// No file of the list can be downloaded, because `--pinned-pubkey` refuses http URLs. So no request is sent,
/// and each line is a failure.
#[cfg(target_os = "linux")]
#[test]
fn a_list_whose_lines_all_fail_takes_no_more_memory_if_it_is_long() {
    let peak_of = |lines: usize| {
        let place = Place::new();
        let list: String = (0..lines)
            .map(|n| {
                format!("http://127.0.0.1:9/a/folder/with/a/name/as/in/many/lists/of/files/{n:06}.bin\n")
            })
            .collect();
        place.write("list", &list);
        let pin = format!("sha256//{}=", "A".repeat(43));
        let mut command = place.command(&["-q", "-i", "list", "--pinned-pubkey", &pin, "--failed", "failed"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let mut highest = 0;
        while let Some(now) = peak(&child) {
            highest = now;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let out = finish(child);
        assert_eq!(out.status, 1, "every file fails with tls.pin");
        let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
        assert_eq!(failed.lines().count(), lines);
        assert!(failed.lines().last().is_some_and(|line| line.contains(&format!("/{:06}.bin", lines - 1))));
        highest
    };
    // An unoptimised build takes 50 to 70 MiB for any number of lines. It takes more if the queues of events
    // are fuller. If the lines were kept, each would take about 300 bytes, which are 34 MiB in all.
    let peak = peak_of(120_000);
    assert!(peak < 84 * 1024, "{peak} KiB");
}

#[test]
fn a_file_of_a_long_list_is_never_replaced_by_a_later_one_of_the_same_name() {
    let server = Server::start();
    let first = server.url("well_behaved/10/a");
    let named = server.url("named/20/b?disposition=attachment%3Bfilename%3Da");
    let other = server.url("well_behaved/30/x/a (1)");
    for (lines, expected) in [
        // The server gives the second file the name of the first one, whose job has ended.
        (vec![&first, &named], vec![("a", content("a", 10)), ("a (1)", content("b", 20))]),
        // Names that occur twice, and a name that looks like a numbered one.
        (vec![&other, &first, &named], vec![("a", content("a", 10)), ("a (2)", content("b", 20))]),
    ] {
        for if_exists in ["check", "overwrite", "skip"] {
            let place = Place::new();
            let lines: String = lines.iter().map(|line| format!("{}\n", line.replace(' ', "%20"))).collect();
            place.write("list", lines + &comments());
            let out = place.run(&["-i", "list", "-d", "out", "-j", "1", "--if-exists", if_exists]);
            for (name, bytes) in &expected {
                place.assert_exact(&out, &format!("out/{name}"), bytes);
            }
        }
    }
}

#[test]
fn a_url_that_is_twice_in_a_long_list_is_fetched_once() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/10/a");
    place.write("list", format!("{url}\n{url}\n{}", comments()));
    let out = place.run(&["-i", "list", "-d", "out", "-v"]);
    place.assert_exact(&out, "out/a", &content("a", 10));
    assert!(out.stderr.contains("is given twice"), "{}", out.stderr);
    assert_eq!(place.files(), ["list", "out/a"]);
}

#[test]
fn names_in_a_long_list_that_cannot_both_be_used_are_found_before_the_first_request() {
    let server = Server::start();
    let url = server.url("well_behaved/10/a");
    for (one, other, says) in [
        ("x", "x", "would have the same name: x"),
        (
            "x",
            "x.part",
            "would clash, because the partial file or the journal of one file would have the name of the other file: x.part",
        ),
        (
            "x.part.journal",
            "x",
            "would clash, because the partial file or the journal of one file would have the name of the other file: x",
        ),
        ("x/y", "x", "would need a file and a folder of the same name: x"),
        ("x", "x/y", "would need a file and a folder of the same name: x/y"),
    ] {
        let place = Place::new();
        let comments = comments();
        place.write("list", format!("{url} {one}\n{url} z\n{comments}{url}?2 {other}\n"));
        let out = place.run(&["-i", "list", "-d", "out"]);
        let lines = format!("lines 1 and {} {says}", comments.lines().count() + 3);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains(&lines), "{lines}: {}", out.stderr);
        assert!(!out.stderr.contains(": z"), "{}", out.stderr);
    }
    assert!(server.requests().is_empty());
}
