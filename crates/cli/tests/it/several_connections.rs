//! Tests of one file over several connections, with servers that misbehave in that case. There is a test for
//! each kind of misbehaviour.

use crate::common::{Out, Place, events};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// The size of a file that is large enough for several connections.
const SIZE: u64 = 8_000_000;

/// Bytes a second over each connection.
const RATE: &str = "rate=4000000";

/// A rate at which one connection takes eight seconds, so that more connections are faster even on a busy
/// machine.
const SLOW: &str = "rate=1000000";

/// Downloads `SIN/SIZE/file` as `f` over at most four connections. A rate in `sin` replaces [`RATE`].
fn get(server: &Server, sin: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    let (path, query) = sin.split_once('?').map_or((sin, ""), |(path, query)| (path, query));
    let url = server.url(&format!("{path}/{SIZE}/file?{query}&{RATE}"));
    let mut args = vec![url.as_str(), "-o", "f", "-x", "4"];
    args.extend(more);
    let out = place.run(&args);
    (place, out)
}

fn file() -> Vec<u8> {
    content("file", SIZE)
}

fn connections(server: &Server) -> usize {
    let mut all: Vec<usize> = server.requests().iter().map(|request| request.connection).collect();
    all.sort_unstable();
    all.dedup();
    all.len()
}

#[test]
fn a_file_is_fetched_over_as_many_connections_as_asked_for() {
    let server = Server::start();
    let (place, out) = get(&server, &format!("capped?sha256=1&{SLOW}"), &[]);
    place.assert_exact(&out, "f", &file());
    assert_eq!(place.files(), ["f"], "no partial file is left");
    assert!(out.stderr.contains("sha-256 from X-Checksum-SHA256"), "{}", out.stderr);
    // The server notices a moment later that a connection was closed in the middle of a response.
    assert!((4..=6).contains(&server.most_open()), "{} connections", server.most_open());
    assert_eq!(server.requests()[0].header("range"), None, "the first request is the download");
    let (place, out) = get(&server, "capped?one=1", &["-x", "1"]);
    place.assert_exact(&out, "f", &file());
    assert_eq!(server.requests_for("one=1").len(), 1);
}

#[test]
fn connections_to_a_host_are_limited_over_all_files() {
    // If a file has several connections, some of them end in the middle of a response. The server notices
    // this a moment later.
    for (connections, most) in [("-x1", 2), ("-x4", 4)] {
        let server = Server::start();
        let place = Place::new();
        let url = |n: u32| server.url(&format!("capped/3000000/{n}?{RATE}"));
        let out = place.run(&[&url(1), &url(2), &url(3), "-j3", connections, "--max-per-host", "2"]);
        for n in 1..=3 {
            place.assert_exact(&out, &n.to_string(), &content(&n.to_string(), 3_000_000));
        }
        assert!(server.most_open() <= most, "{connections}: {} connections", server.most_open());
    }
}

#[test]
fn standard_output_gets_its_bytes_in_order_from_several_connections() {
    let server = Server::start();
    let place = Place::new();
    for query in ["sha256=1", "plain=1"] {
        let out =
            place.run(&[&server.url(&format!("capped/{SIZE}/file?{SLOW}&{query}")), "-o", "-", "-x", "4"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(out.stdout == file(), "{} bytes", out.stdout.len());
    }
    assert!(connections(&server) > 4);
    assert!(place.files().is_empty());
}

#[test]
fn a_silent_connection_is_replaced() {
    let server = Server::start();
    let (place, out) = get(&server, "silent_connection", &[]);
    place.assert_exact(&out, "f", &file());
    assert!(out.took.as_secs() < 25, "it does not wait for the timeout of 30 s: {:?}", out.took);
}

#[test]
fn the_segment_of_a_crawling_connection_is_split() {
    let server = Server::start();
    let (place, out) = get(&server, &format!("crawling_connection?{SLOW}"), &[]);
    place.assert_exact(&out, "f", &file());
    // The connection, the first byte and the last byte of each request for a range.
    let ranges: Vec<(usize, u64, u64)> = server
        .requests()
        .iter()
        .filter_map(|request| {
            let (first, last) = request.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
            Some((request.connection, first.parse().ok()?, last.parse().unwrap_or(SIZE - 1)))
        })
        .collect();
    let asked: u64 = ranges.iter().map(|(_, first, last)| last + 1 - first).sum();
    assert!(asked < SIZE * 2, "{asked} bytes were asked for");
    let is_split = ranges.iter().any(|(connection, first, last)| {
        let is_inside = |at: u64| *first < at && at <= *last;
        connection % 4 == 2 && ranges.iter().any(|(other, at, _)| other != connection && is_inside(*at))
    });
    assert!(is_split, "another connection fetched a part of its segment: {ranges:?}");
}

#[test]
fn a_host_that_refuses_connections_is_asked_for_fewer() {
    for how in ["503", "429", "reset"] {
        let server = Server::start();
        let (place, out) = get(&server, &format!("refuses_the_fifth?how={how}"), &["-x", "8"]);
        place.assert_exact(&out, "f", &file());
        let requests = server.requests().len();
        assert!(requests < 40, "{how}: not hammered: {requests} requests");
    }
}

#[test]
fn a_link_that_allows_one_request_gets_only_one() {
    let server = Server::start();
    let (place, out) = get(&server, "one_request_only", &[]);
    place.assert_exact(&out, "f", &file());
    assert!(server.requests().len() < 4, "{} requests", server.requests().len());
}

#[test]
fn a_200_in_answer_to_a_range_request_still_leads_to_the_exact_file() {
    let server = Server::start();
    for sin in ["ranges_ignored", "ranges_ignored?break=1", "ranges_ignored_later"] {
        let (place, out) = get(&server, sin, &[]);
        place.assert_exact(&out, "f", &file());
    }
}

#[test]
fn wrong_ranges_are_refused_before_a_byte_is_written() {
    let server = Server::start();
    // Each download waits most of the time, so all of them can run at once.
    std::thread::scope(|all| {
        for how in ["start", "end", "total", "validator", "none", "multipart", "coding"] {
            let server = &server;
            all.spawn(move || {
                for broken in ["", "&break=1"] {
                    let (place, out) = get(server, &format!("wrong_part?how={how}{broken}"), &[]);
                    place.assert_exact(&out, "f", &file());
                }
            });
        }
    });
}

#[test]
fn bytes_beyond_the_requested_range_are_skipped() {
    let server = Server::start();
    let (place, out) = get(&server, &format!("superset?{SLOW}"), &[]);
    place.assert_exact(&out, "f", &file());
    assert!(connections(&server) >= 3, "{} connections", connections(&server));
}

#[test]
fn a_file_that_changes_between_segments_is_not_mixed() {
    for after in 2..4 {
        let server = Server::start();
        let (place, out) =
            get(&server, &format!("changes_after?requests={after}&{SLOW}"), &["--progress", "json"]);
        place.assert_exact(&out, "f", &content("changed", SIZE));
        let changed = events(&out).into_iter().find(|event| event["error"]["code"] == "remote.changed");
        assert!(changed.is_some_and(|event| event["kind"] == "retrying"), "the change is reported");
    }
}

#[test]
fn the_first_response_continues_even_if_other_connections_get_another_version() {
    for sin in ["changes_after?requests=1", "changes_always"] {
        let server = Server::start();
        let (place, out) = get(&server, sin, &["--retries", "0"]);
        let first = if sin == "changes_always" { content("v", SIZE) } else { file() };
        place.assert_exact(&out, "f", &first);
    }
}

#[test]
fn sizes_around_segments_and_windows_are_exact() {
    let server = Server::start();
    let mib = 1 << 20;
    for size in
        [0, 1, mib - 1, mib, mib + 1, 4 * mib - 1, 4 * mib, 4 * mib + 1, 64 * mib - 1, 64 * mib, 64 * mib + 1]
    {
        let place = Place::new();
        let url = server.url(&format!("capped/{size}/file?rate=40000000"));
        let out = place.run(&[&url, "-o", "f", "-x", "3"]);
        place.assert_exact(&out, "f", &content("file", size));
        assert_eq!(place.files(), ["f"], "{size}");
    }
}

#[test]
fn a_rate_limit_applies_to_all_files_together() {
    let server = Server::start();
    let place = Place::new();
    let urls = [server.url("well_behaved/600000/a"), server.url("well_behaved/600000/b")];
    let out = place.run(&[&urls[0], &urls[1], "--limit-rate", "400k", "-x", "2"]);
    place.assert_exact(&out, "a", &content("a", 600_000));
    place.assert_exact(&out, "b", &content("b", 600_000));
    // The download has 1.2 MB, and the limit is 400 KiB/s.
    assert!(out.took.as_secs_f64() > 2.7, "{:?}", out.took);
}

#[test]
fn parallel_auto_finds_the_number_of_files() {
    let server = Server::start();
    let place = Place::new();
    let list: String =
        (0..120).map(|n| format!("{} {n}\n", server.url(&format!("slow/10000/{n}?rate=100000")))).collect();
    place.write("list", list);
    let out = place.run(&["-i", "list", "-j", "auto"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.files().len(), 121);
    assert!(server.most_open() > 4, "{} connections", server.most_open());
}

#[test]
fn explain_shows_where_the_time_was_spent_and_why_connections_were_added() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("capped/8000000/file?rate=2000000");
    let out = place.run(&[&url, "-o", "f", "--explain"]);
    place.assert_exact(&out, "f", &content("file", 8_000_000));
    let told = &out.stderr;
    assert!(told.contains("Where the time went") && told.contains(" f: 7.63 MiB in "), "{told}");
    assert!(told.contains("Limit: ") && told.contains("body "), "{told}");
    assert!(told.contains("Connections to 127.0.0.1:") && told.contains("1 -> "), "{told}");
    let limited = place.run(&[&url, "-o", "g", "--explain", "--limit-rate", "4M"]);
    assert!(limited.stderr.contains("Limit: --limit-rate"), "{}", limited.stderr);
    let silent = place.run(&[&url, "-o", "h"]);
    assert!(!silent.stderr.contains("Where the time went"), "{}", silent.stderr);
}
