//! Hosts that have had enough: what further connections and requests get there, and that downhaul takes the hint. A test for each
//! sin, against the real program.

mod common;

use common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// Large enough for several connections.
const SIZE: u64 = 8_000_000;

/// Downloads `SIN/SIZE/file?QUERY` as `f`.
fn get(server: &Server, sin: &str, query: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    let url = server.url(&format!("{sin}/{SIZE}/file?{query}"));
    let mut args = vec![url.as_str(), "-o", "f"];
    args.extend(more);
    let out = place.run(&args);
    (place, out)
}

fn file() -> Vec<u8> {
    content("file", SIZE)
}

#[test]
fn what_a_second_connection_gets_instead_of_a_part_never_replaces_the_file() {
    for how in ["page", "login", "quota", "ignored"] {
        for connections in ["auto", "4"] {
            let server = Server::start();
            let query = format!("how={how}&rate=4000000");
            let (place, out) = get(&server, "second_connection_gets", &query, &["-x", connections]);
            place.assert_exact(&out, "f", &file());
            assert!(!out.stderr.contains("retrying"), "{how}: the stream goes on: {}", out.stderr);
            let plain = server.requests_for("rate=").into_iter().filter(|one| one.header("range").is_none());
            assert_eq!(plain.count(), 1, "{how}: the file came once");
        }
    }
}

#[test]
fn a_page_after_a_break_is_no_new_version_of_the_file() {
    for how in ["page", "login", "quota"] {
        let server = Server::start();
        let query = format!("how={how}&rate=40000000");
        let (place, out) =
            get(&server, "second_connection_gets", &format!("{query}&break=99"), &["--retries", "1"]);
        assert_eq!(out.status, 1, "{how}: {}", out.stderr);
        assert!(out.stderr.contains("something else"), "{how}: {}", out.stderr);
        assert!(place.file("f").is_none(), "{how}: {:?}", place.files());
        assert!(place.file("f.part").is_some(), "{how}: what came stays: {:?}", place.files());
        let (place, out) = get(&server, "second_connection_gets", &format!("{query}&break=1"), &[]);
        place.assert_exact(&out, "f", &file());
        let last = server.requests_for("break=1").pop().expect("requests");
        assert!(last.header("range").is_some(), "{how}: continued, not repeated");
    }
}

#[test]
fn a_host_that_gives_no_parts_is_asked_for_them_three_times_and_not_again() {
    let wait = std::thread::spawn;
    let all = ["416", "403", "500", "ignored", "page"].map(|how| {
        wait(move || {
            let server = Server::start();
            let query = format!("how={how}&rate=800000");
            let (place, out) = get(&server, "second_connection_gets", &query, &[]);
            place.assert_exact(&out, "f", &file());
            assert!(out.took.as_secs() >= 8, "{how}: long enough to ask often: {:?}", out.took);
            let requests = server.requests().len();
            assert!(requests <= 4, "{how}: {requests} requests");
        })
    });
    all.into_iter().for_each(|one| one.join().expect("no panic"));
}
