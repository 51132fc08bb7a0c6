//! Tests of a file whose only connection stops in the middle of its response.

use crate::common::{Out, Place, events, finish};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use std::time::Duration;

/// The size of a file that is large enough for several connections.
const SIZE: u64 = 8_000_000;

/// Downloads a file whose first response stops as the `query` says.
fn get(server: &Server, query: &str, options: &[&str]) -> (Place, Out) {
    let place = Place::new();
    let url = server.url(&format!("pause_in_first_body/{SIZE}/file?{query}"));
    let mut args = vec![url.as_str(), "-o", "f", "--progress", "json"];
    args.extend(options);
    let out = place.run(&args);
    (place, out)
}

fn assert_whole(place: &Place, out: &Out) {
    place.assert_exact(out, "f", &content("file", SIZE));
}

fn retries(out: &Out) -> usize {
    events(out).iter().filter(|event| event["kind"] == "retrying").count()
}

#[test]
fn a_file_goes_on_long_before_the_timeout_if_its_first_connection_stops() {
    for (after, connections) in [(20_000, "auto"), (20_000, "4"), (0, "auto"), (6_000_000, "auto")] {
        let server = Server::start();
        let query = format!("after={after}");
        let (place, out) = get(&server, &query, &["-x", connections, "--timeout", "20"]);
        assert_whole(&place, &out);
        assert!(out.took.as_secs() < 10, "after {after} bytes, -x {connections}: {:?}", out.took);
        assert_eq!(retries(&out), 0, "{}", out.stderr);
        let requests = server.requests();
        assert!(requests.len() < 15, "{} requests", requests.len());
        assert!(requests[1].header("range").is_some(), "the written bytes are not requested again");
    }
}

#[test]
fn a_file_goes_on_although_the_connection_that_was_opened_instead_stops_too() {
    let server = Server::start();
    let (place, out) = get(&server, "after=20000&times=3", &["--timeout", "30"]);
    assert_whole(&place, &out);
    assert!(out.took.as_secs() < 20, "{:?}", out.took);
}

#[test]
fn with_one_connection_no_second_one_is_opened_before_the_timeout() {
    let server = Server::start();
    let (place, out) = get(&server, "after=20000", &["-x", "1", "--timeout", "3"]);
    assert_whole(&place, &out);
    assert!(out.took.as_secs() >= 3, "{:?}", out.took);
    assert_eq!((server.requests().len(), retries(&out)), (2, 1));
}

#[test]
fn the_first_connection_stays_if_it_goes_on_or_if_the_server_refuses_another_one() {
    for others in ["503", "429", "whole"] {
        let server = Server::start();
        let query = format!("after=20000&pause=4000&others={others}");
        let (place, out) = get(&server, &query, &["--timeout", "20"]);
        assert_whole(&place, &out);
        assert_eq!(retries(&out), 0, "{others}: {}", out.stderr);
        let requests = server.requests();
        assert!((2..=4).contains(&requests.len()), "{others}: {} requests", requests.len());
    }
}

#[test]
fn a_server_without_ranges_sends_the_file_again_after_the_timeout() {
    let server = Server::start();
    let (place, out) = get(&server, "after=20000&others=whole", &["--timeout", "3"]);
    assert_whole(&place, &out);
    assert!(out.took.as_secs() >= 3, "{:?}", out.took);
    assert!(server.requests().len() <= 4, "{} requests", server.requests().len());
}

#[test]
fn a_connection_that_waits_for_the_reader_of_the_output_is_not_replaced() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("well_behaved/{SIZE}/file"));
    let child = place.start(&[&url, "-o", "-"]);
    // The pipe is full, and is read only after this time.
    std::thread::sleep(Duration::from_secs(5));
    let requests = server.requests().len();
    let out = finish(child);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(out.stdout == content("file", SIZE), "{} bytes", out.stdout.len());
    assert_eq!(requests, 1);
}

#[test]
fn a_connection_that_waits_for_the_rate_limit_is_not_replaced() {
    let server = Server::start();
    let (_, out) = get(&server, "after=8000000", &["--limit-rate", "10k", "--max-time", "9"]);
    assert_ne!(out.status, 0, "the limit allows about 90 kB");
    assert_eq!(server.requests().len(), 1);
}
