//! Tests that kill the daemon and start it again. What a client was told must still be true.

use super::{Daemon, SOON};
use crate::common::{Place, poll};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The number of kills. The whole test takes about half a minute.
const KILLS: usize = 25;

#[test]
fn after_a_kill_at_any_moment_no_download_is_lost_or_there_twice() {
    let (server, place, mut rng) = (Server::start(), Place::new(), Rng::with_seed(7));
    // The name and the content of each download that the daemon has accepted.
    let mut told: BTreeMap<String, (String, Vec<u8>)> = BTreeMap::new();
    let mut removed = Vec::new();
    for kill in 0..KILLS {
        let daemon = Daemon::start(&place);
        for file in 0..4 {
            let name = format!("f{kill}-{file}");
            let bytes = content(&name, rng.u64(1000..1_500_000));
            let url = server.put(&format!("/{name}"), bytes.clone());
            let gid = daemon.add(&url, json!({ "pause": file == 3, "max-download-limit": "2M" }));
            told.insert(gid, (name, bytes));
        }
        let gids: Vec<&String> = told.keys().collect();
        let some = gids[rng.usize(..gids.len())].clone();
        match rng.u8(..4) {
            0 => drop(daemon.call("aria2.pause", json!([some]))),
            1 => drop(daemon.call("aria2.unpause", json!([some]))),
            2 if daemon.status(&some)["status"] == "paused"
                && daemon.call("aria2.remove", json!([some])).is_ok() =>
            {
                told.remove(&some);
                removed.push(some);
            }
            _ => drop(daemon.call("aria2.changePosition", json!([some, 0, "POS_SET"]))),
        }
        std::thread::sleep(Duration::from_millis(rng.u64(..300)));
        daemon.kill();
    }
    let daemon = Daemon::start(&place);
    daemon.done("aria2.unpauseAll", json!([]));
    for (gid, (name, bytes)) in &told {
        poll(SOON, || (daemon.status(gid)["status"] == "complete").then_some(()));
        let status = daemon.status(gid);
        assert_eq!(status["status"], "complete", "{name}: {status}");
        assert_eq!(place.file(&format!("files/{name}")).as_ref(), Some(bytes), "{name}");
    }
    for gid in &removed {
        daemon.refused("aria2.tellStatus", json!([gid]));
    }
    let files = place.files();
    let saved: Vec<_> = files.iter().filter(|file| file.starts_with("files/")).collect();
    assert!(saved.len() <= told.len() + removed.len(), "nothing is there twice: {saved:?}");
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
