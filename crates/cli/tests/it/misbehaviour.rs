//! Tests of misbehaving servers and networks, one for each kind of misbehaviour. "Exact" means that the file
//! has the same bytes as on the server.

use crate::common::{Place, events};
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw};
use downhaul_testkit::{content, sha256};

const SIZE: u64 = 300_000;

/// Downloads `SIN/SIZE/file` as `f`.
fn get(server: &Server, sin: &str, more: &[&str]) -> (Place, crate::common::Out) {
    let place = Place::new();
    let (path, query) = sin.split_once('?').map_or((sin, ""), |(path, query)| (path, query));
    let url = server.url(&format!("{path}/{SIZE}/file?{query}"));
    let mut args = vec![url.as_str(), "-o", "f"];
    args.extend(more);
    let out = place.run(&args);
    (place, out)
}

fn file() -> Vec<u8> {
    content("file", SIZE)
}

#[test]
fn a_body_that_is_shorter_than_its_content_length_is_continued() {
    let server = Server::start();
    let (place, out) = get(&server, "truncated_body", &[]);
    place.assert_exact(&out, "f", &file());
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        requests[1].header("range"),
        Some(format!("bytes={}-{}", SIZE / 2, SIZE - 1).as_str()),
        "continued, not repeated"
    );
    assert!(place.log().contains("[http.truncated]"), "{}", place.log());
}

#[test]
fn a_short_body_without_ranges_or_validator_is_downloaded_again() {
    let server = Server::start();
    for sin in ["truncated_body_without_ranges", "no_validator"] {
        let (place, out) = get(&server, sin, &[]);
        place.assert_exact(&out, "f", &file());
    }
}

#[test]
fn bodies_that_are_always_too_short_end_in_an_error() {
    let server = Server::start();
    let (place, out) = get(&server, "truncated_body_always", &["--retries", "1"]);
    place.assert_failed(&out, 1, "the body ended before its announced end");
}

#[test]
fn a_truncated_chunked_body_is_downloaded_completely() {
    let server = Server::start();
    let (place, out) = get(&server, "truncated_chunked_body", &[]);
    place.assert_exact(&out, "f", &file());
}

#[test]
fn a_body_that_is_interrupted_by_a_reset_is_continued() {
    let server = Server::start();
    let (place, out) = get(&server, "reset_in_mid_body", &[]);
    place.assert_exact(&out, "f", &file());
    assert!(server.requests()[1].header("range").is_some(), "continued, not repeated");
}

#[test]
fn a_file_that_changed_is_not_continued() {
    let server = Server::start();
    let (place, out) = get(&server, "changed_when_continued", &[]);
    place.assert_exact(&out, "f", &content("changed", SIZE));
    assert!(out.stderr.contains("changed on the server"), "{}", out.stderr);
}

#[test]
fn a_wrong_range_or_coding_of_the_rest_is_not_joined() {
    let server = Server::start();
    for sin in ["wrong_range_when_continued", "gzip_when_continued"] {
        let (place, out) = get(&server, sin, &[]);
        place.assert_exact(&out, "f", &file());
    }
}

#[test]
fn bytes_after_the_announced_end_of_a_body_are_ignored() {
    let server = Server::start();
    let place = Place::new();
    let path = format!("body_longer_than_announced/{SIZE}/file");
    // The surplus must not be read as the response to the next request on that connection.
    let (one, two) = (server.url(&path), server.url(&(path + "?2")));
    let out = place.run(&[&format!("{one},{two}"), "f,g", "-j1"]);
    place.assert_exact(&out, "f", &file());
    place.assert_exact(&out, "g", &file());
    let connections: Vec<usize> = server.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [1, 2], "the connection with a surplus is not used again");
}

#[test]
fn a_body_of_unknown_length_is_downloaded() {
    let server = Server::start();
    for sin in ["no_length", "chunked_body"] {
        let (place, out) = get(&server, sin, &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains("not verified (server sent no size)"), "{}", out.stderr);
    }
}

#[test]
fn a_body_that_is_wrongly_called_compressed_is_saved_as_it_is_with_a_warning() {
    let server = Server::start();
    let (place, out) = get(&server, "gzip_although_identity", &[]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("warning: the server sent the file compressed (gzip)"), "{}", out.stderr);
    assert_eq!(server.requests()[0].header("accept-encoding"), Some("identity"));
}

#[test]
fn a_retry_waits_for_the_whole_retry_after() {
    let server = Server::start();
    for (sin, least) in
        [("busy_once?after=2", 2.0), ("busy_once?status=429&after=2", 2.0), ("busy_once?after=date3", 1.9)]
    {
        let (place, out) = get(&server, sin, &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.took.as_secs_f64() >= least, "{sin} took {:?}", out.took);
    }
}

#[test]
fn a_retry_after_in_the_past_or_unreadable_does_not_change_the_failure() {
    let server = Server::start();
    for sin in ["busy_once?after=date-1000", "busy_once?after=soon", "busy_once?after=-5"] {
        let (place, out) = get(&server, sin, &[]);
        place.assert_exact(&out, "f", &file());
    }
}

#[test]
fn retry_after_beyond_two_minutes_fails_at_once_and_names_the_time() {
    let server = Server::start();
    for sin in ["busy_always?after=3600", "busy_always?after=date7200"] {
        let (place, out) = get(&server, sin, &[]);
        place.assert_failed(&out, 1, "no request may be sent before ");
        assert!(out.took.as_secs() < 20);
    }
    let (place, out) = get(&server, "busy_always?after=99999999999999999999", &[]);
    place.assert_failed(&out, 1, "the server asks for a longer wait than downhaul allows");
}

#[test]
fn a_host_that_asks_for_a_long_wait_after_too_many_requests_gets_no_more_of_them() {
    let (server, place) = (Server::start(), Place::new());
    let list: String =
        (0..12).map(|n| server.url(&format!("busy_always/1000/{n}?status=429&after=3600")) + "\n").collect();
    place.write("list", list);
    let out = place.run(&["-i", "list", "-j2"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    let requests = server.requests().len();
    assert!(requests <= 2, "{requests} requests, although two jobs run at once");
    let (told, unsent) = ("no request may be sent before ", "downhaul sends no request to this host before ");
    let count = |text| out.stderr.matches(text).count();
    assert_eq!((count(told), count(told) + count(unsent)), (requests, 12), "{}", out.stderr);
}

#[test]
fn a_long_wait_of_one_unavailable_file_does_not_delay_the_others() {
    let (server, place) = (Server::start(), Place::new());
    let later = server.url("busy_always/1000/later?status=503&after=3600");
    place.write("list", format!("{later} later\n{} b\n", server.url("well_behaved/1000/b")));
    let out = place.run(&["-i", "list", "-j1"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(std::fs::read(place.path().join("b")).expect("the other file").len(), 1000, "{}", out.stderr);
}

#[test]
fn a_retry_after_applies_to_all_files_of_the_host_and_costs_no_retry() {
    let (busy, other) = (Server::start(), Server::start());
    let place = Place::new();
    let mut list = String::new();
    for n in 0..4 {
        list += &format!("{} busy{n}\n", busy.url(&format!("busy_once/1000/{n}?after=3")));
        list += &format!("{} later{n}\n", busy.url(&format!("well_behaved/1000/{n}")));
    }
    // Another name of the same machine counts as another host.
    let elsewhere = other.url("well_behaved/1000/x").replace("127.0.0.1", "localhost");
    place.write("list", format!("{list}{elsewhere} other\n"));
    let out = place.run(&["-i", "list", "-j9", "--retries", "0", "--progress", "json"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let first = busy.requests()[0].at;
    let early =
        busy.requests().iter().filter(|request| request.at.duration_since(first).as_secs_f64() < 2.9).count();
    assert!(early <= 9, "requests during the pause: {early}");
    let events = events(&out);
    let attempts: Vec<_> = events.iter().filter(|e| e["kind"] == "retrying").map(|e| &e["attempt"]).collect();
    assert!(
        !attempts.is_empty() && attempts.iter().all(|one| **one == 0),
        "a pause is no failure: {attempts:?}"
    );
    let done = |job: u64| {
        let at = |kind: &str| {
            events.iter().find(|e| e["kind"] == kind && e["job"] == job).map(|e| e["at"].to_string())
        };
        at("finished").expect("finished")
    };
    assert!(done(9) < done(1), "downloads from other hosts continue");
}

#[test]
fn a_pause_that_is_over_starts_no_more_files_than_are_allowed() {
    let (busy, other, place) = (Server::start(), Server::start(), Place::new());
    // Another name of the same machine counts as another host.
    let long = other.url("capped/20000000/long?rate=5000000").replace("127.0.0.1", "localhost");
    place.write("list", format!("{} paused\n{long} long\n", busy.url("busy_once/1000/a?after=1")));
    let out = place.run(&["-i", "list", "-j1", "--max-per-host", "1", "--progress", "json"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let events = events(&out);
    let place_of = |kind: &str, job: u64| events.iter().position(|e| e["kind"] == kind && e["job"] == job);
    let (retried, started) = (place_of("retrying", 1), place_of("started", 2));
    assert!(retried.is_some() && retried < started, "the first file leaves its place: {events:?}");
    assert!(place_of("finished", 2) < place_of("started", 1), "two files at once: {events:?}");
}

#[test]
fn server_errors_that_end_are_retried() {
    let server = Server::start();
    for status in [500, 502, 504, 408, 429, 503, 520, 521, 522, 523, 524] {
        let (place, out) = get(&server, &format!("fails_once?status={status}"), &[]);
        place.assert_exact(&out, "f", &file());
        assert!(place.log().contains("try 1 of 3"), "{}", place.log());
    }
}

#[test]
fn server_errors_that_last_use_up_the_retries() {
    let server = Server::start();
    let (place, out) = get(&server, "fails_always?status=502", &["--retries", "2"]);
    place.assert_failed(&out, 1, "the server failed: 502");
    let times: Vec<_> = server.requests().iter().map(|request| request.at).collect();
    assert_eq!(times.len(), 3);
    assert!(times[2] - times[1] >= std::time::Duration::from_millis(450), "waits grow");
}

#[test]
fn permanent_failures_are_not_retried() {
    let server = Server::start();
    for (status, code) in [(401, "unauthorized"), (403, "forbidden"), (404, "not_found"), (410, "gone")] {
        let (place, out) = get(&server, &format!("status?status={status}"), &[]);
        place.assert_failed(&out, 1, &status.to_string());
        assert!(place.log().contains(&format!("[http.{code}]")), "{}", place.log());
        assert_eq!(server.requests_for(&format!("status={status}")).len(), 1);
    }
}

#[test]
fn after_an_expired_link_the_redirect_is_followed_again_once() {
    let server = Server::start();
    let (place, out) = get(&server, "expired_link", &["--retries", "0"]);
    place.assert_exact(&out, "f", &file());
    let forbidden = server.url("status/1/x?status=403");
    let place = Place::new();
    let out = place.run(&[&server.url(&format!("redirect/1/x?to={forbidden}")), "-o", "f"]);
    place.assert_failed(&out, 1, "403");
    let asked =
        server.requests().into_iter().filter(|request| request.target.starts_with("/status/")).count();
    assert_eq!(asked, 2, "once, not for ever");
}

#[test]
fn a_redirect_to_a_mirror_without_the_file_is_followed_again_as_often_as_retries_allow() {
    let server = Server::start();
    let picked = |number: usize| server.requests_for(&format!("mirror={number}&")).len();
    for (status, code) in [(404, "not_found"), (410, "gone")] {
        let of = |missing: u32| format!("picks_mirrors?missing={missing}&status={status}");
        let (place, out) = get(&server, &of(3), &["--retries", "3"]);
        place.assert_exact(&out, "f", &file());
        let times: Vec<_> = server
            .requests_for(&format!("missing=3&status={status}"))
            .iter()
            .map(|request| request.at)
            .collect();
        assert!(times[6] - times[4] > times[2] - times[0], "waits grow");
        let (place, out) = get(&server, &of(9), &["--retries", "2"]);
        place.assert_failed(&out, 1, &status.to_string());
        assert!(place.log().contains(&format!("[http.{code}]")), "{}", place.log());
        assert_eq!(
            server.requests_for(&format!("?missing=9&status={status}")).len(),
            3,
            "the first and two more"
        );
        let (place, out) = get(&server, &of(8), &["--retries", "0"]);
        place.assert_failed(&out, 1, &status.to_string());
        assert_eq!(server.requests_for(&format!("?missing=8&status={status}")).len(), 1);
    }
    // A 403 is retried only once.
    let before = picked(2);
    let (place, out) = get(&server, "picks_mirrors?missing=7&status=403", &[]);
    place.assert_failed(&out, 1, "403");
    assert_eq!(server.requests_for("?missing=7&status=403").len(), 2);
    assert_eq!(picked(2), before);
}

#[test]
fn retry_on_adds_statuses_that_are_retried() {
    let server = Server::start();
    for status in [404, 403, 451, 202] {
        let on = status.to_string();
        let (place, out) =
            get(&server, &format!("fails_once?status={status}"), &["--retry-on", "404,403,451,202"]);
        place.assert_exact(&out, "f", &file());
        assert_eq!(server.requests_for(&format!("fails_once/{SIZE}/file?status={status}")).len(), 2);
        let (place, out) =
            get(&server, &format!("status?status={status}&on"), &["--retry-on", &on, "--retries", "1"]);
        place.assert_failed(&out, 1, &on);
        assert_eq!(
            server.requests_for(&format!("status={status}&on")).len(),
            2,
            "as often as --retries says"
        );
        let (place, out) = get(&server, &format!("status?status={status}&off"), &["--retry-on", "400"]);
        place.assert_failed(&out, 1, &on);
        assert_eq!(
            server.requests_for(&format!("status={status}&off")).len(),
            1,
            "only those that were named"
        );
    }
    for bad in ["200", "206", "0", "600", "4xx", "404;403"] {
        let place = Place::new();
        let out = place.run(&["http://127.0.0.1:1/f", "--retry-on", bad]);
        place.assert_failed(&out, 2, "an HTTP status");
    }
}

#[test]
fn redirects_are_followed_up_to_a_limit() {
    let server = Server::start();
    let (place, out) = get(&server, "redirect_chain?hops=20", &[]);
    place.assert_exact(&out, "f", &file());
    let (place, out) = get(&server, "redirect_chain?hops=21", &[]);
    place.assert_failed(&out, 1, "there are too many redirects: 20 were followed");
    let (place, out) = get(&server, "redirect_chain?hops=3", &["--max-redirects", "2"]);
    place.assert_failed(&out, 1, "there are too many redirects: 2 were followed");
    let (place, out) = get(&server, "redirect_chain", &[]);
    place.assert_failed(&out, 1, "there are too many redirects");
}

#[test]
fn the_preferred_choice_of_several_is_followed() {
    let server = Server::start();
    let to = server.url(&format!("well_behaved/{SIZE}/file"));
    let (place, out) = get(&server, &format!("redirect?status=300&to={to}"), &[]);
    place.assert_exact(&out, "f", &file());
    let (place, out) = get(&server, "status?status=300", &[]);
    place.assert_failed(&out, 1, "300");
}

#[test]
fn redirects_to_other_schemes_are_refused() {
    let server = Server::start();
    for to in ["file:///etc/passwd", "data:text/plain,x", "ftp://h/x"] {
        let (place, out) = get(&server, &format!("redirect?to={to}"), &[]);
        place.assert_failed(&out, 1, "not http or https");
    }
    let (place, out) = get(&server, "redirect?to=http://[", &[]);
    place.assert_failed(&out, 1, "has no valid target");
}

#[test]
fn redirects_never_leave_https_unless_allowed() {
    let (plain, authority) = (Server::start(), Authority::default());
    let secure = Server::start_tls(authority.config(Flaw::None));
    let place = Place::new();
    place.write("ca/ca.pem", authority.pem());
    let down = secure.url(&format!("redirect/1/x?to={}", plain.url("well_behaved/1000/file")));
    let out = place.run(&[&down, "-o", "f", "--cacert", "ca/ca.pem"]);
    assert_eq!(out.status, 1);
    assert!(
        out.stderr.contains("leads from https to http") && out.stderr.contains("--allow-downgrade"),
        "{}",
        out.stderr
    );
    assert!(plain.requests().is_empty());
    let out = place.run(&[&down, "-o", "f", "--cacert", "ca/ca.pem", "--allow-downgrade"]);
    place.assert_exact(&out, "f", &content("file", 1000));
}

#[test]
fn secrets_are_sent_only_to_their_origin() {
    let (first, second) = (Server::start(), Server::start());
    let elsewhere = second.url("well_behaved/1000/file");
    let place = Place::new();
    let url = first.url(&format!("redirect/1/x?to={elsewhere}")).replace("http://", "http://user:pass@");
    let secrets = ["-H", "Cookie: secret=1", "-H", "X-Api-Key: secret"];
    let out = place.run(&[&[url.as_str(), "-o", "f"], &secrets[..]].concat());
    place.assert_exact(&out, "f", &content("file", 1000));
    let asked = &first.requests()[0];
    assert_eq!(asked.header("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!((asked.header("cookie"), asked.header("x-api-key")), (Some("secret=1"), Some("secret")));
    let then = &second.requests()[0];
    for name in ["authorization", "cookie", "x-api-key", "referer"] {
        assert_eq!(then.header(name), None, "{name} went to another port");
    }
    // Within the same origin, the secrets are sent.
    let url = first.url("redirect/1/x?to=/well_behaved/1000/file");
    place.run(&[&[url.as_str(), "-o", "g"], &secrets[..]].concat());
    assert_eq!(first.requests_for("/well_behaved/")[0].header("cookie"), Some("secret=1"));
}

#[test]
fn a_slow_first_byte_is_a_timeout() {
    let server = Server::start();
    let (place, out) = get(&server, "slow_first_byte", &["--timeout", "1", "--retries", "1"]);
    place.assert_failed(&out, 1, "no data arrived from the server: no response within 1 s");
    let (place, out) = get(&server, "slow_first_byte_once", &["--timeout", "1"]);
    place.assert_exact(&out, "f", &file());
}

#[test]
fn silence_in_the_middle_of_a_body_is_a_timeout() {
    let server = Server::start();
    let (place, out) = get(&server, "silence_in_mid_body", &["--timeout", "1", "--retries", "1"]);
    place.assert_failed(&out, 1, "no data arrived from the server: it sent nothing for 1 s");
    let (place, out) = get(&server, "silence_in_mid_body_once", &["--timeout", "1"]);
    place.assert_exact(&out, "f", &file());
}

#[test]
fn one_byte_a_second_is_no_timeout_but_max_time_ends_the_job() {
    let server = Server::start();
    // --min-speed is an average over a minute. The option is tested in simulated time, in
    // `engine/src/worker/watch.rs`.
    let (place, out) = get(&server, "one_byte_a_second", &["--timeout", "5", "--max-time", "11"]);
    place.assert_failed(&out, 1, "longer than --max-time");
    assert!(!place.log().contains("[net.silent]"), "{}", place.log());
}

#[test]
fn responses_with_a_malformed_head_are_errors_and_not_retried() {
    let server = Server::start();
    for sin in
        ["huge_headers", "two_lengths", "negative_length", "huge_length", "nul_in_header", "cr_in_header"]
    {
        let (place, out) = get(&server, sin, &[]);
        place.assert_failed(&out, 1, "the server's response is not valid HTTP");
        assert_eq!(server.requests_for(sin).len(), 1, "{sin}: no pointless retries");
    }
}

#[test]
fn content_disposition_never_leaves_the_folder() {
    let server = Server::start();
    let long = format!("attachment; filename={}.txt", "x".repeat(4096));
    // The hash must never change, so that a second run finds the file of the first one.
    let cut = format!("{}~262afd24ff4daab7.txt", "x".repeat(234));
    for (value, name) in [
        ("attachment; filename=\"../../up.txt\"", "___.._up.txt"),
        ("attachment; filename=\"/abs.txt\"", "_abs.txt"),
        ("attachment; filename=\"C:\\\\x.txt\"", "C:_x.txt"),
        ("attachment; filename*=UTF-8''%1B%5B31mred.txt", "_[31mred.txt"),
        ("attachment; filename*=UTF-8''a%E2%80%AEtxt.exe", "a_txt.exe"),
        ("attachment; filename*=UTF-8''nul%00x", "nul_x"),
        ("attachment; filename=-rf", "_rf"),
        ("attachment; filename=.bashrc", "_bashrc"),
        ("attachment; filename=", "file"),
        ("attachment; filename=plain.txt; filename*=UTF-8''n%C3%A4me.txt", "näme.txt"),
        (&long, &cut),
    ] {
        let place = Place::new();
        let mut url = url::Url::parse(&server.url("named/1000/file")).expect("a URL");
        url.query_pairs_mut().append_pair("disposition", value);
        let out = place.run(&[url.as_str(), "-d", "out"]);
        assert_eq!(out.status, 0, "{value}: {}", out.stderr);
        assert_eq!(place.files(), [format!("out/{name}")], "{value}");
        assert!(!out.stderr.contains('\u{1b}') && !place.log().contains('\u{1b}'));
    }
}

#[test]
fn two_files_of_one_name_get_different_names() {
    let server = Server::start();
    let place = Place::new();
    let urls: Vec<String> = (1..=3).map(|n| server.url(&format!("well_behaved/{n}000/same.txt"))).collect();
    let out = place.run(&[&urls[0], &urls[1], &urls[2], "-j1"]);
    place.assert_exact(&out, "same.txt", &content("same.txt", 1000));
    place.assert_exact(&out, "same (1).txt", &content("same.txt", 2000));
    place.assert_exact(&out, "same (2).txt", &content("same.txt", 3000));
    // In a second run each file is found under its name.
    let again = place.run(&[&urls[0], &urls[1], &urls[2], "-j1"]);
    assert_eq!(again.status, 0);
    assert_eq!(place.files(), ["same (1).txt", "same (2).txt", "same.txt"]);
}

#[test]
fn names_that_differ_only_in_case_are_two_files() {
    let server = Server::start();
    let place = Place::new();
    let (one, two) = (server.url("well_behaved/1000/Name"), server.url("well_behaved/2000/name"));
    let out = place.run(&[&one, &two]);
    place.assert_exact(&out, "Name", &content("Name", 1000));
    let other = if cfg!(target_os = "linux") { "name" } else { "name (1)" };
    place.assert_exact(&out, other, &content("name", 2000));
}

#[test]
fn the_names_of_the_log_and_of_partial_files_are_reserved() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&server.url("well_behaved/1000/download_log.txt")]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.file("download_log (1).txt"), Some(content("download_log.txt", 1000)));
    assert!(place.log().contains("finished"));
    let out = place.run(&[&server.url("well_behaved/1000/x"), "-o", "download_log.txt"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    let urls = ["y", "y.part"].map(|name| server.url(&format!("well_behaved/1000/{name}")));
    let out = place.run(&[&urls[0], &urls[1]]);
    place.assert_exact(&out, "y", &content("y", 1000));
    place.assert_exact(&out, "y (1).part", &content("y.part", 1000));
}

#[test]
fn a_file_with_the_right_digest_succeeds() {
    let server = Server::start();
    for sin in ["checksum", "checksum?upper=1", "checksum_after_a_break"] {
        let (place, out) = get(&server, sin, &["--progress", "json"]);
        place.assert_exact(&out, "f", &file());
        let verified: Vec<_> = events(&out).into_iter().filter(|e| e["kind"] == "verified").collect();
        assert_eq!(verified.len(), 1, "{sin}");
        assert_eq!(verified[0]["digest"], sha256(&file()));
        assert!(place.log().contains("sha-256 from X-Checksum-SHA256"), "{}", place.log());
    }
}

#[test]
fn a_file_with_a_wrong_digest_fails() {
    let server = Server::start();
    let (place, out) = get(&server, "checksum_wrong", &[]);
    place.assert_failed(&out, 3, "the content does not match its digest");
    assert!(
        place.log().contains("ERROR - hash mismatch") && place.log().contains("[digest.mismatch]"),
        "{}",
        place.log()
    );
}

#[test]
fn a_wrong_digest_does_not_change_an_old_file() {
    let server = Server::start();
    let place = Place::new();
    place.write("f", "old");
    let out = place.run(&[&server.url("checksum_wrong/1000/file"), "-o", "f", "--if-exists", "overwrite"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert_eq!(place.file("f").as_deref(), Some(&b"old"[..]));
    assert_eq!(place.files(), ["f"]);
}

#[test]
fn a_malformed_digest_is_ignored_with_a_note() {
    let server = Server::start();
    let (place, out) = get(&server, "checksum_malformed", &[]);
    place.assert_exact(&out, "f", &file());
    assert!(
        out.stderr
            .contains("X-Checksum-SHA256 does not have exactly one valid SHA-256 digest and was ignored"),
        "{}",
        out.stderr
    );
    assert!(out.stderr.contains("not verified (size matches)"), "{}", out.stderr);
}

#[test]
fn a_host_name_that_cannot_be_resolved_is_an_error() {
    let place = Place::new();
    let out = place.run(&["http://does-not-exist.invalid/x", "--retries", "0"]);
    place.assert_failed(&out, 1, "the host name cannot be resolved");
}

#[test]
fn a_refused_connection_is_an_error_with_the_address() {
    let place = Place::new();
    let port = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        closed.local_addr().expect("an address").port()
    };
    let out = place.run(&[&format!("http://127.0.0.1:{port}/x"), "--retries", "1"]);
    place.assert_failed(&out, 1, &format!("127.0.0.1:{port}: Connection refused"));
}

#[test]
fn the_second_address_is_used_if_the_first_does_not_answer() {
    let server = Server::start();
    let place = Place::new();
    // `localhost` is ::1 and 127.0.0.1. The server listens only on 127.0.0.1.
    let url = server.url("well_behaved/1000/file").replace("127.0.0.1", "localhost");
    let out = place.run(&[&url, "-o", "f", "--retries", "0"]);
    place.assert_exact(&out, "f", &content("file", 1000));
}

#[test]
fn invalid_certificates_are_refused() {
    let authority = Authority::default();
    for (flaw, code, flag) in [
        (Flaw::Expired, "tls.expired", "--insecure"),
        (Flaw::WrongHost, "tls.wrong_host", "--insecure"),
        (Flaw::SelfSigned, "tls.untrusted", "--cacert"),
    ] {
        let server = Server::start_tls(authority.config(flaw));
        let place = Place::new();
        let ca = Place::new();
        let pem = ca.write("ca.pem", authority.pem());
        let url = server.url("well_behaved/1000/file");
        let out = place.run(&[&url, "-o", "f", "--cacert", pem.to_str().expect("UTF-8")]);
        place.assert_failed(&out, 1, flag);
        assert!(place.log().contains(code), "{flaw:?}: {}", place.log());
        assert!(server.requests().is_empty(), "nothing was said to a server that is not trusted");
        let out = place.run(&[&url, "-o", "f", "--insecure"]);
        place.assert_exact(&out, "f", &content("file", 1000));
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config(Flaw::None));
    let (place, ca) = (Place::new(), Place::new());
    let url = server.url("well_behaved/1000/file");
    let out = place.run(&[&url, "-o", "f"]);
    place.assert_failed(&out, 1, "is not signed by a trusted authority");
    let pem = ca.write("ca.pem", authority.pem());
    let out = place.run(&[&url, "-o", "f", "--cacert", pem.to_str().expect("UTF-8")]);
    place.assert_exact(&out, "f", &content("file", 1000));
}

#[test]
fn filename_is_used_if_filename_star_is_not_utf_8() {
    let server = Server::start();
    let place = Place::new();
    let value = "attachment%3B%20filename%3Dok.bin%3B%20filename*%3DUTF-8''%25ff%25fe.bin";
    let out = place.run(&[&server.url(&format!("named/{SIZE}/file?disposition={value}"))]);
    place.assert_exact(&out, "ok.bin", &file());
}
