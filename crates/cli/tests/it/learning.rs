//! Tests of what a run learns about a host, and of how the next run uses this knowledge at its start.

use crate::common::{Out, Place, events, finish};
use downhaul_testkit::content;
use downhaul_testkit::server::tls::{Authority, Flaw};
use downhaul_testkit::server::{Request, Server};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// The size of a file that is large enough for several connections.
const SIZE: u64 = 24_000_000;

/// The rate of each connection, in bytes a second.
const RATE: u64 = 1_000_000;

/// The time in milliseconds before each response. With this time, the host counts as far away on every
/// machine.
const WAIT: u64 = 20;

/// The words of `--explain` for a number that an earlier run found.
const REMEMBERED: &str = "the best in an earlier run";

fn url(server: &Server, name: &str) -> String {
    server.url(&format!("capped/{SIZE}/{name}?rate={RATE}&wait={WAIT}&token=secret"))
}

/// Downloads a file and asserts that it is exact.
fn get(place: &Place, server: &Server, name: &str, more: &[&str]) -> Out {
    let out = place.run(&[&[url(server, name).as_str(), "-o", name, "--explain"], more].concat());
    place.assert_exact(&out, name, &content(name, SIZE));
    out
}

/// Returns a list of eight small files of a host that allows three requests, and then one each second. A run
/// learns that there is a limit, also on a busy machine.
fn limited(server: &Server, name: &str) -> String {
    let url = |n| server.url(&format!("limits_requests/2000/{name}{n}?rate=1&burst=3&token=secret"));
    (0..8).map(|n| url(n) + "\n").collect()
}

fn connections<'a>(requests: impl Iterator<Item = &'a Request>) -> usize {
    requests.map(|one| one.connection).collect::<BTreeSet<_>>().len()
}

/// Returns the best number of connections that is stored for this server.
fn number(place: &Place, server: &Server) -> u64 {
    let text: serde_json::Value =
        serde_json::from_slice(&fs::read(place.hosts()).expect("a file")).expect("JSON");
    let origin = server.url("").trim_end_matches('/').to_string();
    text["hosts"][origin]["start"]["best"]["number"].as_u64().expect("a number")
}

/// Stores this entry for the server, as an earlier run of today would do.
fn plant_entry(place: &Place, server: &Server, entry: impl Fn(u64) -> serde_json::Value) {
    let origin = server.url("").trim_end_matches('/').to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let text = serde_json::json!({ "version": 2, "hosts": { origin: entry(now) } });
    fs::create_dir_all(place.hosts().parent().expect("a folder")).expect("a folder");
    fs::write(place.hosts(), text.to_string()).expect("writes");
}

/// Stores that this number of connections was the best.
fn plant(place: &Place, server: &Server, number: u64) {
    let best = serde_json::json!({ "number": number, "goodput": 8e6, "far": true });
    plant_entry(place, server, |now| serde_json::json!({ "start": { "best": best, "at": now } }));
}

#[test]
fn the_next_run_opens_the_best_number_of_connections_at_once() {
    // With this time in milliseconds before each response, the host counts as far away, and a run without any
    // knowledge opens eight connections after it has watched its first connection. The file is large enough
    // for the whole search.
    const AFTER: u64 = 100;
    const LARGE: u64 = 96_000_000;
    let (server, place) = (Server::start(), Place::in_memory());
    let get = |name: &str| {
        let url = server.url(&format!("capped/{LARGE}/{name}?rate={RATE}&wait={AFTER}"));
        let out = place.run(&[url.as_str(), "-o", name, "--explain"]);
        place.assert_exact(&out, name, &content(name, LARGE));
        out
    };
    let out = get("first");
    assert!(out.stderr.contains("1 -> 8,") && !out.stderr.contains(REMEMBERED), "{}", out.stderr);
    let best = number(&place, &server);
    assert!(best >= 16, "{best}: {}", out.stderr);
    let out = get("second");
    assert!(out.stderr.contains(&format!("1 -> {best}, this number was {REMEMBERED}")), "{}", out.stderr);
    assert!(connections(server.requests_for("/second?").iter()) > 8, "{}", out.stderr);
}

#[test]
fn what_an_earlier_run_found_is_not_used_if_the_user_says_so() {
    let (server, place) = (Server::start(), Place::in_memory());
    plant(&place, &server, 16);
    assert!(get(&place, &server, "used", &["--max-per-host", "12"]).stderr.contains("1 -> 12, this number"));
    let before = fs::read(place.hosts()).expect("a file");
    for (name, more) in [("a", &["--no-learn"][..]), ("b", &["-x", "3"])] {
        let out = get(&place, &server, name, more);
        assert!(!out.stderr.contains(REMEMBERED), "{more:?}: {}", out.stderr);
        assert_eq!(fs::read(place.hosts()).expect("a file"), before, "{more:?}");
    }
}

#[test]
fn a_file_that_waits_for_a_limit_of_an_earlier_run_is_shown_as_waiting_and_explained() {
    let (server, place) = (Server::start(), Place::in_memory());
    plant_entry(&place, &server, |now| serde_json::json!({ "requests": 0.2, "at": now }));
    let urls = ["a", "b", "c"].map(|name| server.url(&format!("well_behaved/1000/{name}")));
    let names = [urls[0].as_str(), &urls[1], &urls[2], "-j", "3"];
    let out = place.run(&[&names[..], &["--progress", "json", "-vv", "--explain"]].concat());
    for name in ["a", "b", "c"] {
        place.assert_exact(&out, name, &content(name, 1000));
    }
    // The first file raises the limit to 0.4 requests a second, and the second file raises it to 0.8.
    assert!((3.0..5.0).contains(&out.took.as_secs_f64()), "{:?}: {}", out.took, out.stderr);
    let progress = events(&out).into_iter().filter(|event| event["kind"] == "progress");
    let waiting: Vec<_> = progress.filter(|event| event["connections"] == 0).collect();
    assert!(!waiting.is_empty(), "{}", out.stderr);
    for event in waiting {
        assert!(event["phase"] == "waiting" && event["wait"].as_f64() > Some(0.0), "{event}");
    }
    assert!(out.stderr.contains("waits, because the host limits requests"), "{}", out.stderr);
    let explained = "at most 0.2 requests for files in a second at first, as an earlier run found";
    assert!(out.stderr.contains(explained) && out.stderr.contains("--no-learn"), "{}", out.stderr);
}

#[test]
fn a_file_without_a_connection_waits_for_its_turn() {
    let (server, place) = (Server::start(), Place::in_memory());
    let urls = ["a", "b"].map(|name| server.url(&format!("capped/3000000/{name}?rate=1000000")));
    let out = place.run(&[&urls[0], &urls[1], "--max-per-host", "1", "--progress", "json"]);
    place.assert_exact(&out, "b", &content("b", 3_000_000));
    let progress = events(&out).into_iter().filter(|event| event["kind"] == "progress");
    let waiting: Vec<_> = progress.filter(|event| event["connections"] == 0).collect();
    assert!(!waiting.is_empty() && waiting.iter().all(|event| event["phase"] == "waiting"), "{waiting:?}");
}

#[test]
fn no_learn_in_the_configuration_has_the_same_effect() {
    let (server, place) = (Server::start(), Place::in_memory());
    plant(&place, &server, 16);
    place.write("c.toml", "no-learn = true\n");
    let out = get(&place, &server, "a", &["--config", "c.toml"]);
    assert!(!out.stderr.contains(REMEMBERED), "{}", out.stderr);
}

#[test]
fn a_refusal_has_precedence_over_what_an_earlier_run_found() {
    let (server, place) = (Server::start(), Place::in_memory());
    plant(&place, &server, 16);
    let url = server.url(&format!("refuses_the_fifth/{SIZE}/f?rate=3000000&how=503"));
    let out = place.run(&[&url, "-o", "f", "--retries", "0"]);
    place.assert_exact(&out, "f", &content("f", SIZE));
    assert!(server.requests().len() < 60, "{} requests", server.requests().len());
    assert_ne!(number(&place, &server), 16);
}

#[test]
fn a_list_from_a_host_that_closes_the_fifth_connection_is_complete_without_retries() {
    const FILES: usize = 40;
    let (server, place) = (Server::start(), Place::in_memory());
    let url = |n| server.url(&format!("refuses_the_fifth/200000/{n}?rate=2000000&how=reset"));
    place.write("list", (0..FILES).map(|n| url(n) + "\n").collect::<String>());
    let out = place.run(&["-i", "list", "--retries", "0"]);
    for n in 0..FILES {
        place.assert_exact(&out, &n.to_string(), &content(&n.to_string(), 200_000));
    }
    let requests = server.requests().len();
    assert!(requests < FILES * 2, "{requests} requests");
}

#[test]
fn a_list_from_a_host_with_a_known_limit_of_connections_waits_for_no_closed_connection() {
    let (server, place) = (Server::start(), Place::in_memory());
    plant_entry(&place, &server, |now| serde_json::json!({ "connections": 1, "at": now }));
    let list: String = (0..60).map(|n| server.url(&format!("well_behaved/1000/{n}\n"))).collect();
    place.write("list", list);
    let out = place.run(&["-i", "list", "--explain"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    // With a wait of 0.3 s after each file, the run would last 18 s.
    assert!(out.took.as_secs() < 9, "{:?}: {}", out.took, out.stderr);
}

#[test]
fn a_file_that_is_always_refused_stores_no_limit_of_its_host() {
    let (server, place) = (Server::start(), Place::in_memory());
    let large = |name| server.url(&format!("capped/2000000/{name}?rate=1000000"));
    let busy = server.url("status/1000/busy?status=503");
    let out = place.run(&[&large("a"), &busy, &large("b"), "-j", "3", "--retries", "1"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    for name in ["a", "b"] {
        assert_eq!(place.file(name).map(|file| file.len()), Some(2_000_000), "{}", out.stderr);
    }
    let text = fs::read_to_string(place.hosts()).unwrap_or_default();
    assert!(!text.contains("\"requests\"") && !text.contains("\"connections\""), "{text}");
}

#[test]
fn the_file_has_the_origin_and_no_other_text() {
    let (server, place) = (Server::start(), Place::in_memory());
    let with_logins = limited(&server, "first").replace("http://", "http://someone:word@");
    place.write("list", with_logins);
    assert_eq!(place.run(&["-i", "list", "-j", "8"]).status, 0);
    let text = fs::read_to_string(place.hosts()).expect("a file");
    assert!(text.contains(server.url("").trim_end_matches('/')), "{text}");
    for secret in ["someone", "word", "secret", "limits_requests", "first", "token"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let mode = fs::metadata(place.hosts()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn two_runs_at_once_lose_nothing() {
    let (one, other, place) = (Server::start(), Server::start(), Place::in_memory());
    let runs = [(&one, "one"), (&other, "other")].map(|(server, name)| {
        place.write(name, limited(server, name));
        place.start(&["-i", name, "-j", "8", "-d", "files", "--log", "none"])
    });
    for run in runs {
        assert_eq!(finish(run).status, 0);
    }
    let text = fs::read_to_string(place.hosts()).expect("a file");
    for server in [&one, &other] {
        assert!(text.contains(server.url("").trim_end_matches('/')), "{text}");
    }
}

#[test]
fn a_run_that_learns_nothing_new_writes_no_file() {
    let (server, place) = (Server::start(), Place::in_memory());
    let small = server.url("well_behaved/1000/small");
    let out = place.run(&[&small]);
    place.assert_exact(&out, "small", &content("small", 1000));
    assert!(!place.hosts().exists());
    plant(&place, &server, 16);
    let inode = || fs::metadata(place.hosts()).expect("a file").ino();
    let before = inode();
    let out = place.run(&[&small, "--if-exists", "overwrite"]);
    place.assert_exact(&out, "small", &content("small", 1000));
    assert_eq!(inode(), before);
}

#[test]
fn a_state_folder_that_cannot_be_written_is_a_note_and_no_failure() {
    let (server, place) = (Server::start(), Place::in_memory());
    fs::write(place.state().join("downhaul"), "a file in place of the folder").expect("writes");
    let out = get(&place, &server, "f", &[]);
    assert!(out.stderr.contains("hosts.json"), "{}", out.stderr);
    let out = get(&place, &server, "g", &["--no-learn"]);
    assert!(!out.stderr.contains("hosts.json"), "{}", out.stderr);
}

#[test]
fn a_list_of_small_files_from_a_host_with_http2_starts_with_one_connection() {
    let (authority, place) = (Authority::default(), Place::in_memory());
    place.write("ca.pem", authority.pem());
    let server = Server::start_h2(Some(authority.config(Flaw::None)));
    let download = |folder: &str, more: &[&str]| {
        let url = |n: u32| server.url(&format!("well_behaved/{}/{folder}{n}", n * 311));
        let list: String = (0..100).map(|n| url(n) + "\n").collect();
        place.write("list", list);
        let args = ["-i", "list", "-d", folder, "--cacert", "ca.pem"];
        let out = place.run(&[&args[..], more].concat());
        for n in 0..100_u32 {
            let (path, name) = (format!("{folder}/{folder}{n}"), format!("{folder}{n}"));
            place.assert_exact(&out, &path, &content(&name, u64::from(n) * 311));
        }
        let requests = server.requests_for(&format!("/{folder}"));
        let over_http1 = requests.iter().filter(|one| one.version == 1).count();
        (over_http1, connections(requests.iter()))
    };
    let (over_http1, _) = download("first", &[]);
    assert!(over_http1 >= 8, "HTTP/2 is used when the first files were small: {over_http1}");
    assert_eq!(download("second", &[]), (0, 1));
    assert!(download("third", &["--no-learn"]).0 >= 8);
    assert_eq!(download("fourth", &["--http1"]).0, 100);
    assert_eq!(download("fifth", &[]), (0, 1), "with --http1, nothing is learned about HTTP/2");
}
