//! Downloads that wait for their host. Other downloads are active meanwhile, and clients see why a download
//! waits.

use super::{Daemon, SOON};
use crate::common::{Place, poll};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use serde_json::{Value, json};

#[test]
fn a_download_that_waits_for_its_host_leaves_its_place_to_another_one() {
    let (busy, free, place) = (Server::start(), Server::start(), Place::new());
    let daemon = Daemon::start_with(&place, &["-j", "1"]);
    let first = daemon.add(&busy.url("busy_once/1000/a?after=50"), json!({}));
    // A pause of a host applies to all of its ports, so this URL has another host name.
    let url = free.put("/b", content("b", 3000)).replace("127.0.0.1", "localhost");
    let second = daemon.add(&url, json!({}));
    daemon.wait_for(&second, "complete");
    let (_, shown) = daemon.api("GET", &format!("/downloads/{first}"), "");
    assert_eq!((&shown["state"], &shown["error"]), (&json!("active"), &Value::Null), "{shown}");
    assert_eq!(shown["waits"]["error"]["code"], "http.busy", "{shown}");
    assert!(shown["waits"]["until"].as_u64() > shown["added"].as_u64(), "{shown}");
    let listed = String::from_utf8(place.run(&["list"]).stdout).expect("text");
    assert!(listed.contains("a (waits until 20") && listed.contains(": http.busy)"), "{listed}");
}

#[test]
fn the_number_of_active_downloads_changes_while_the_daemon_runs() {
    let (server, place) = (Server::start(), Place::new());
    let daemon = Daemon::start_with(&place, &["-j", "1"]);
    let urls = ["a", "b", "c"].map(|name| server.url(&format!("capped/9000000/{name}?rate=300000")));
    urls.iter().for_each(|url| drop(daemon.add(url, json!({ "split": "1" }))));
    let begun = |name: &str| !server.requests_for(&format!("/capped/9000000/{name}")).is_empty();
    assert!(poll(SOON, || begun("a").then_some(())).is_some());
    assert!(!begun("b"));
    daemon.done("aria2.changeGlobalOption", json!([{ "max-concurrent-downloads": "3" }]));
    assert!(poll(SOON, || (begun("b") && begun("c")).then_some(())).is_some());
}
