//! Hosts that limit connections or requests, and how downhaul adapts to them. There is a test for each kind
//! of limit.

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// The size of a file that is large enough for several connections.
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
fn a_wrong_response_to_a_second_connection_never_replaces_the_file() {
    for how in ["page", "login", "quota", "ignored"] {
        for connections in ["auto", "4"] {
            let server = Server::start();
            let query = format!("how={how}&rate=4000000");
            let (place, out) = get(&server, "second_connection_gets", &query, &["-x", connections]);
            place.assert_exact(&out, "f", &file());
            assert!(!out.stderr.contains("retrying"), "{how}: the stream continues: {}", out.stderr);
            let plain = server.requests_for("rate=").into_iter().filter(|one| one.header("range").is_none());
            assert_eq!(plain.count(), 1, "{how}: the file came once");
        }
    }
}

#[test]
fn after_a_break_a_page_is_not_taken_for_a_new_version_of_the_file() {
    for how in ["page", "login", "quota"] {
        let server = Server::start();
        let query = format!("how={how}&rate=40000000");
        let (place, out) =
            get(&server, "second_connection_gets", &format!("{query}&break=99"), &["--retries", "1"]);
        assert_eq!(out.status, 1, "{how}: {}", out.stderr);
        assert!(out.stderr.contains("something other than the file"), "{how}: {}", out.stderr);
        assert!(place.file("f").is_none(), "{how}: {:?}", place.files());
        assert!(place.file("f.part").is_some(), "{how}: what came stays: {:?}", place.files());
        let (place, out) = get(&server, "second_connection_gets", &format!("{query}&break=1"), &[]);
        place.assert_exact(&out, "f", &file());
        let last = server.requests_for("break=1").pop().expect("requests");
        assert!(last.header("range").is_some(), "{how}: continued, not repeated");
    }
}

#[test]
fn a_host_that_refuses_ranges_gets_three_requests_for_them_and_no_more() {
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

#[test]
fn forty_small_files_are_downloaded_from_a_host_that_allows_five_a_second() {
    for status in ["429", "503"] {
        let server = Server::start();
        let place = Place::new();
        let url = |n: u32| server.url(&format!("limits_requests/2000/{n}?rate=5&burst=3&status={status}"));
        let list: String = (0..40).map(|n| format!("{} {n}\n", url(n))).collect();
        place.write("list", list);
        let out = place.run(&["-i", "list", "-j", "auto", "--retries", "0"]);
        for n in 0..40 {
            place.assert_exact(&out, &n.to_string(), &content(&n.to_string(), 2000));
        }
        let requests = server.requests().len();
        assert!(requests <= 100, "at most 2.5 requests a file: {requests}");
    }
}

#[test]
fn a_host_that_is_always_busy_uses_up_the_retries() {
    let server = Server::start();
    let (place, out) = get(&server, "status", "status=429", &["--retries", "2"]);
    place.assert_failed(&out, 1, "fewer requests");
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_file_is_complete_although_the_host_bans_above_two_connections() {
    let all = ["403", "reset"].into_iter().flat_map(|how| [("auto", how), ("4", how)]);
    let all = all.map(|(connections, how)| {
        std::thread::spawn(move || {
            let server = Server::start();
            let query = format!("most=2&millis=3000&rate=1500000&how={how}");
            let (place, out) = get(&server, "bans", &query, &["-x", connections, "--retries", "0"]);
            place.assert_exact(&out, "f", &file());
            assert_eq!(server.bans(), 1, "-x {connections}, {how}: {}", out.stderr);
            let refused = server.requests().len();
            assert!(refused < 40, "-x {connections}, {how}: {refused} requests");
        })
    });
    let all: Vec<_> = all.collect();
    all.into_iter().for_each(|one| one.join().expect("no panic"));
}

#[test]
fn every_form_of_too_many_requests_is_a_pause_and_not_a_retry() {
    let all = ["ratelimit", "older", "x", "202", "403"].map(|how| {
        std::thread::spawn(move || {
            let server = Server::start();
            let query = format!("how={how}&wait=3");
            let (place, out) = get(&server, "says_too_much", &query, &["--retries", "0"]);
            place.assert_exact(&out, "f", &file());
            // A date has whole seconds, so the wait may be up to a second shorter.
            assert!((2.0..8.0).contains(&out.took.as_secs_f64()), "{how}: {:?}", out.took);
            assert_eq!(server.requests().len(), 2, "{how}");
            let (place, out) = get(&server, "says_too_much", &format!("how={how}&wait=3600"), &[]);
            place.assert_failed(&out, 1, "no request may be sent before ");
            assert!(out.took.as_secs() < 2, "{how}: {:?}", out.took);
        })
    });
    all.into_iter().for_each(|one| one.join().expect("no panic"));
}

#[test]
fn the_run_waits_if_a_good_response_has_used_up_the_quota() {
    let server = Server::start();
    let place = Place::new();
    let url = |n: u32| server.url(&format!("uses_up_the_quota/1000/{n}?wait=2"));
    let out = place.run(&[&url(1), &url(2), "-j1", "--retries", "0"]);
    place.assert_exact(&out, "1", &content("1", 1000));
    place.assert_exact(&out, "2", &content("2", 1000));
    assert_eq!(server.requests().len(), 2, "no request was refused");
    assert!(out.took.as_secs_f64() >= 2.0, "{:?}", out.took);
}

#[test]
fn pauses_without_progress_fail_in_the_end() {
    let server = Server::start();
    let (place, out) = get(&server, "busy_always", "after=0", &["--retries", "1"]);
    place.assert_failed(&out, 1, "fewer requests");
    assert_eq!(server.requests().len(), 12, "ten pauses, and two tries");
}

#[test]
fn the_limit_of_a_host_that_bans_is_stored_for_later_runs() {
    let server = Server::start();
    let place = Place::new();
    let url =
        |name: &str| server.url(&format!("bans/{SIZE}/{name}?most=2&millis=2000&rate=2000000&token=secret"));
    let out = place.run(&[&url("one"), "-o", "one"]);
    place.assert_exact(&out, "one", &content("one", SIZE));
    assert_eq!(server.bans(), 1);
    let remembered = std::fs::read_to_string(place.hosts()).expect("it is remembered");
    assert!(remembered.contains(server.url("").trim_end_matches('/')), "{remembered}");
    assert!(!remembered.contains("secret") && !remembered.contains("bans"), "only an origin: {remembered}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(place.hosts()).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    for connections in ["auto", "4"] {
        let out = place.run(&[&url(connections), "-o", connections, "-x", connections]);
        place.assert_exact(&out, connections, &content(connections, SIZE));
        assert_eq!(server.bans(), 1, "-x {connections}: none in later runs: {}", out.stderr);
    }
}

#[test]
fn no_learn_stores_no_limits() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("bans/{SIZE}/file?most=2&millis=2000&rate=2000000"));
    let out = place.run(&[&url, "-o", "f", "--no-learn"]);
    place.assert_exact(&out, "f", &file());
    assert_eq!(server.bans(), 1);
    assert!(!place.hosts().exists());
}

#[test]
fn an_unreadable_record_of_hosts_is_reported_and_replaced() {
    let server = Server::start();
    let place = Place::new();
    std::fs::create_dir_all(place.hosts().parent().expect("a folder")).expect("a folder");
    std::fs::write(place.hosts(), "garbage").expect("writes");
    let url = |n: u32| server.url(&format!("well_behaved/1000/{n}"));
    let out = place.run(&[&url(1)]);
    place.assert_exact(&out, "1", &content("1", 1000));
    assert!(out.stderr.contains("hosts.json is ignored and replaced"), "{}", out.stderr);
    let out = place.run(&[&url(2)]);
    place.assert_exact(&out, "2", &content("2", 1000));
    assert!(!out.stderr.contains("hosts.json"), "{}", out.stderr);
}
