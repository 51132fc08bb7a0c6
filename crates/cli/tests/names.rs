//! What a file may be called: by the person, by a list, by the URL, by the server.

#![cfg(unix)]

mod common;

use common::Place;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// The longest name that the disks of this machine take, in bytes.
const LONGEST: usize = 255;

#[test]
fn a_person_may_give_any_name_that_the_disk_takes() {
    let server = Server::start();
    let url = server.url("well_behaved/2000000/a");
    let longest = "x".repeat(LONGEST);
    let deep = format!("{longest}/{longest}");
    for name in [&longest, &deep] {
        let place = Place::new();
        let out = place.run(&[&url, "-o", name]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_eq!(place.files(), [name.as_str()]);
        let place = Place::new();
        place.write("list", format!("{url}\t{name}\n"));
        let out = place.run(&["-i", "list", "-d", "d"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(place.file(&format!("d/{name}")) == Some(content("a", 2_000_000)));
    }
}

#[test]
fn a_longer_name_is_refused_before_any_request() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/1000/a");
    let name = "x".repeat(LONGEST + 1);
    place.write("list", format!("{url}\tfolder/{name}\n"));
    for args in [vec![&*url, "-o", &name], vec![&*url, &name], vec!["-i", "list"]] {
        let out = place.run(&args);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains("longer than 255 bytes"), "{}", out.stderr);
    }
    assert!(server.requests().is_empty());
}
