//! Tests that kill the daemon and start it again. All answers that a client received must still be true.

use super::{Daemon, SOON};
use crate::common::{Place, note, poll};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The number of kills. The whole test takes about half a minute. The environment variable `DOWNHAUL_KILLS`
/// can set another number.
const KILLS: usize = 25;

/// Returns the number of kills.
#[expect(clippy::disallowed_methods, reason = "a test may be asked to run for longer")]
fn kills() -> usize {
    std::env::var("DOWNHAUL_KILLS").ok().and_then(|number| number.parse().ok()).unwrap_or(KILLS)
}

/// The answers that the clients of a daemon received.
#[derive(Default)]
struct Told {
    /// The name and the size of each download, by its identifier.
    all: BTreeMap<String, (String, u64)>,
    removed: Vec<String>,
    /// The downloads that the daemon reported as complete, and that are complete.
    complete: BTreeSet<String>,
}

impl Told {
    /// Checks that no download is lost, that clients were told of each download, and that each download that
    /// is reported as complete is complete.
    fn check(&mut self, daemon: &Daemon, place: &Place) {
        let keys = json!(["gid", "status"]);
        let list = |method: &str, params: Value| {
            daemon.done(method, params).as_array().cloned().expect("a list").into_iter()
        };
        // Between these calls, a download may change its state in this order: waiting, active, stopped.
        let known: BTreeMap<String, String> = list("aria2.tellWaiting", json!([0, 100_000, keys]))
            .chain(list("aria2.tellActive", json!([keys])))
            .chain(list("aria2.tellStopped", json!([0, 100_000, keys])))
            .map(|one| {
                let text = |key: &str| one[key].as_str().expect("text").to_string();
                (text("gid"), text("status"))
            })
            .collect();
        let lost: Vec<_> = self.all.keys().filter(|gid| !known.contains_key(*gid)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        let foreign: Vec<_> = known.keys().filter(|gid| !self.all.contains_key(*gid)).collect();
        assert!(foreign.is_empty(), "no client was told of these: {foreign:?}");
        for (gid, _) in known.iter().filter(|(_, status)| *status == "complete") {
            if self.complete.insert(gid.clone()) {
                let (name, size) = &self.all[gid];
                assert!(place.file(&format!("files/{name}")) == Some(content(name, *size)), "{name}");
            }
        }
    }
}

#[test]
fn after_a_kill_at_any_moment_no_download_is_lost_or_there_twice() {
    let (server, place, mut rng) = (Server::start(), Place::new(), Rng::with_seed(7));
    let mut told = Told::default();
    for kill in 0..kills() {
        let daemon = Daemon::start(&place);
        if kill == 0 {
            daemon.done("aria2.changeGlobalOption", json!([{ "max-download-result": 100_000 }]));
        }
        told.check(&daemon, &place);
        for file in 0..4 {
            let name = format!("f{kill}-{file}");
            let size = rng.u64(1000..1_500_000);
            let url = server.put(&format!("/{name}"), content(&name, size));
            let gid = daemon.add(&url, json!({ "pause": file == 3, "max-download-limit": "2M" }));
            told.all.insert(gid, (name, size));
        }
        let gids: Vec<&String> = told.all.keys().collect();
        let some = gids[rng.usize(..gids.len())].clone();
        match rng.u8(..4) {
            0 => drop(daemon.call("aria2.pause", json!([some]))),
            1 => drop(daemon.call("aria2.unpause", json!([some]))),
            2 if daemon.status(&some)["status"] == "paused"
                && daemon.call("aria2.remove", json!([some])).is_ok() =>
            {
                told.all.remove(&some);
                told.removed.push(some);
            }
            _ => drop(daemon.call("aria2.changePosition", json!([some, 0, "POS_SET"]))),
        }
        std::thread::sleep(Duration::from_millis(rng.u64(..300)));
        daemon.kill();
    }
    let daemon = Daemon::start(&place);
    daemon.done("aria2.unpauseAll", json!([]));
    let longest = SOON + Duration::from_secs(kills().try_into().expect("a small number"));
    let is_over = || {
        let stat = daemon.done("aria2.getGlobalStat", json!([]));
        stat["numWaiting"] == "0" && stat["numActive"] == "0"
    };
    assert!(poll(longest, || is_over().then_some(())).is_some(), "the downloads do not end");
    for gid in told.all.keys() {
        daemon.wait_for(gid, "complete");
    }
    told.check(&daemon, &place);
    assert_eq!(told.complete.len(), told.all.len());
    for gid in &told.removed {
        daemon.refused("aria2.tellStatus", json!([gid]));
    }
    let files = place.files();
    let saved: Vec<_> = files.iter().filter(|file| file.starts_with("files/")).collect();
    assert!(saved.len() <= told.all.len() + told.removed.len(), "nothing is there twice: {saved:?}");
    note(&format!(
        "{} kills: {} downloads complete, {} removed, {} files",
        kills(),
        told.complete.len(),
        told.removed.len(),
        saved.len()
    ));
}

#[test]
fn the_order_and_the_options_are_the_same_after_a_restart() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    daemon.done("aria2.changeGlobalOption", json!([{ "max-concurrent-downloads": 3, "user-agent": "me" }]));
    let gids: Vec<String> =
        (0..5).map(|n| daemon.add(&format!("http://127.0.0.1:1/{n}"), json!({ "pause": true }))).collect();
    daemon.done("aria2.changePosition", json!([gids[4], 1, "POS_SET"]));
    daemon.done("aria2.changeOption", json!([gids[0], { "split": 2 }]));
    let before = daemon.done("aria2.tellWaiting", json!([0, 10]));
    let session = daemon.done("aria2.getSessionInfo", json!([]));
    assert_eq!(daemon.stop(), Some(0));
    let daemon = Daemon::start(&place);
    assert_eq!(daemon.done("aria2.tellWaiting", json!([0, 10])), before);
    assert_eq!(daemon.done("aria2.getSessionInfo", json!([])), session);
    assert_eq!(daemon.done("aria2.getOption", json!([gids[0]]))["split"], "2");
    let options = daemon.done("aria2.getGlobalOption", json!([]));
    assert_eq!((&options["max-concurrent-downloads"], &options["user-agent"]), (&json!("3"), &json!("me")));
}

#[test]
fn a_queue_that_belongs_to_another_program_is_refused_and_not_changed() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let path = place.write("mine.db", content("mine", 5000));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("ours");
    let out = place.run(&["daemon", "-d", "files", "--listen", "127.0.0.1:0", "--queue", "mine.db"]);
    assert!(
        out.status != 0 && out.stderr.contains("it is not a database of downhaul's daemon"),
        "{}",
        out.stderr
    );
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o644);
    assert_eq!(place.file("mine.db"), Some(content("mine", 5000)));
}

#[test]
fn a_second_daemon_with_the_same_queue_does_not_start() {
    let place = Place::new();
    let _first = Daemon::start(&place);
    let out = place.run(&["daemon", "--listen", "127.0.0.1:0"]);
    assert_eq!(out.status, 2);
    assert!(out.stderr.contains("another daemon is using it"), "{}", out.stderr);
}

#[test]
fn ten_thousand_waiting_downloads_start_quickly() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let token = format!("token:{}", daemon.secret.as_deref().expect("a secret"));
    for part in 0..10 {
        let calls: Vec<Value> = (0..1000)
            .map(|n| {
                let url = format!("http://127.0.0.1:1/{part}/{n}");
                json!({ "methodName": "aria2.addUri", "params": [token, [url], { "pause": "true" }] })
            })
            .collect();
        daemon.done("system.multicall", json!([calls]));
    }
    assert_eq!(daemon.stop(), Some(0));
    let daemon = Daemon::start(&place);
    assert_eq!(daemon.done("aria2.getGlobalStat", json!([]))["numWaiting"], "10000");
    let last = daemon.done("aria2.tellWaiting", json!([-1, 1, ["files"]]));
    assert_eq!(last[0]["files"][0]["uris"][0]["uri"], "http://127.0.0.1:1/9/999");
}

#[test]
fn active_downloads_are_in_their_place_again_after_a_kill() {
    let place = Place::new();
    // A server that never answers, so that no download begins to receive.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = |n: usize| format!("http://{}/{n}", silent.local_addr().expect("an address"));
    let daemon = Daemon::start_with(&place, &["-j", "2"]);
    let gids: Vec<String> = (0..6).map(|n| daemon.add(&url(n), json!({}))).collect();
    assert_eq!(daemon.order(2), gids);
    // The paused download goes to the front of the queue, and the next download begins.
    daemon.done("aria2.pause", json!([gids[0]]));
    daemon.done("aria2.changePosition", json!([gids[5], 0, "POS_SET"]));
    daemon.wait_for(&gids[2], "active");
    let before = daemon.order(2);
    assert_eq!(before, [1, 2, 5, 0, 3, 4].map(|n| gids[n].clone()));
    daemon.kill();
    let daemon = Daemon::start_with(&place, &["-j", "2"]);
    assert_eq!(daemon.order(2), before);
    // Downloads that were active may now wait, but they keep their places.
    daemon.kill();
    let daemon = Daemon::start_with(&place, &["-j", "1"]);
    daemon.done("aria2.changePosition", json!([gids[4], 0, "POS_SET"]));
    let before = daemon.order(1);
    assert_eq!(before, [1, 4, 2, 5, 0, 3].map(|n| gids[n].clone()));
    daemon.kill();
    assert_eq!(Daemon::start_with(&place, &["-j", "1"]).order(1), before);
}

#[test]
fn all_downloads_that_are_paused_together_keep_their_order() {
    let place = Place::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = |n: usize| format!("http://{}/{n}", silent.local_addr().expect("an address"));
    let daemon = Daemon::start_with(&place, &["-j", "3"]);
    let gids: Vec<String> = (0..5).map(|n| daemon.add(&url(n), json!({}))).collect();
    daemon.wait_for(&gids[2], "active");
    daemon.done("aria2.pauseAll", json!([]));
    assert_eq!(daemon.order(0), gids);
}

#[test]
fn options_of_the_command_line_are_those_of_the_last_start() {
    let (server, place) = (Server::start(), Place::new());
    let most =
        |daemon: &Daemon| daemon.done("aria2.getGlobalOption", json!([]))["max-concurrent-downloads"].clone();
    let daemon = Daemon::start_with(&place, &["-j", "7"]);
    daemon.done("aria2.changeGlobalOption", json!([{ "user-agent": "me" }]));
    assert_eq!(most(&daemon), "7");
    daemon.kill();
    let daemon = Daemon::start(&place);
    assert_eq!(most(&daemon), "5", "no client has set another number");
    daemon.done("aria2.changeGlobalOption", json!([{ "max-concurrent-downloads": 9 }]));
    daemon.kill();
    let daemon = Daemon::start_with(&place, &["-j", "4"]);
    assert_eq!(most(&daemon), "4");
    daemon.done("aria2.changeGlobalOption", json!([{ "split": 3 }]));
    daemon.kill();
    assert_eq!(most(&Daemon::start(&place)), "9");
    // In contrast to the command line, the configuration has no precedence over the options of clients.
    place.write("c.toml", "parallel = 6\nlimit-rate = \"2M\"\n");
    let daemon = Daemon::start_with(&place, &["--config", "c.toml"]);
    assert_eq!(most(&daemon), "9");
    let limit = daemon.done("aria2.getGlobalOption", json!([]))["max-overall-download-limit"].clone();
    assert_eq!(limit, "2097152", "no client has set another limit");
    daemon.kill();
    // For options that downloads inherit, the command line of the last start counts too.
    let place = Place::new();
    let url = server.put("/a", content("a", 100));
    let daemon = Daemon::aria2c(&place, &["--user-agent=old"]);
    let gid = daemon.add(&url, json!({ "pause": true }));
    assert_eq!(daemon.done("aria2.getOption", json!([gid]))["user-agent"], "old");
    daemon.kill();
    let daemon = Daemon::aria2c(&place, &["--user-agent=new"]);
    daemon.done("aria2.unpause", json!([gid]));
    daemon.wait_for(&gid, "complete");
    assert_eq!(server.requests_for("/a")[0].header("user-agent"), Some("new"));
}

#[test]
fn a_file_that_was_complete_at_a_kill_is_found_again_though_its_list_says_rename() {
    let (server, place) = (Server::start(), Place::new());
    let bytes = content("a", 2_000_000);
    let url = server.put("/a.bin", bytes.clone());
    let daemon = Daemon::start(&place);
    assert_eq!(daemon.api("PATCH", "/settings", r#"{"max-overall-download-limit":"200K"}"#).0, 200);
    let list = json!({ "url": url, "sha256": sha256(&bytes), "if_exists": "rename" });
    let (status, listed) = daemon.api("POST", "/lists?name=l.jsonl", &format!("{list}\n"));
    assert_eq!(status, 201, "{listed}");
    place.wait_for_bytes("files/a.bin.part", 1);
    daemon.kill();
    // The file got its name, and the daemon was killed before it saved that the download is complete.
    place.write("files/a.bin", &bytes);
    let daemon = Daemon::start(&place);
    daemon.wait_for(listed["ids"][0].as_str().expect("an id"), "complete");
    let files = place.files();
    let whole: Vec<&String> = files.iter().filter(|name| !name.contains(".part")).collect();
    assert_eq!(whole, ["files/a.bin"], "{files:?}");
}
