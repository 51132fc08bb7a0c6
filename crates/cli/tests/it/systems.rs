//! Tests of functions that must work in the same way on every system. `.ci/windows` runs these tests as a
//! program for Windows.

use crate::common::{Out, Place, events, finish, wait_until};
use downhaul_engine::core::journal;
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use std::fs;

const SIZE: u64 = 8_000_000;

fn file() -> Vec<u8> {
    content("file", SIZE)
}

/// Starts a run, and kills it once its journal lists this many bytes.
fn killed(place: &Place, args: &[&str], name: &str, bytes: u64) {
    let mut child = place.start(args);
    let listed = || {
        let journal = place.file(&format!("{name}.part.journal")).and_then(|bytes| journal::read(&bytes));
        journal.map_or(0, |(_, claims)| claims.iter().map(|claim| claim.end - claim.start).sum::<u64>())
    };
    wait_until(&format!("the journal of {name} lists {bytes} bytes"), || listed() >= bytes);
    child.kill().expect("the program runs");
    assert_ne!(finish(child).status, 0);
}

/// Returns how many bytes of the partial file a run kept.
fn resumed(out: &Out) -> u64 {
    let event = events(out).into_iter().find(|event| event["kind"] == "resumed").expect("resumed");
    event["bytes"].as_u64().expect("a number")
}

#[test]
fn a_run_that_was_killed_twice_is_resumed() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=2000000&sha256=1"));
    let args = [url.as_str(), "-o", "f", "-x", "2", "--progress", "json"];
    killed(&place, &args, "f", 2_000_000);
    // The second run replaces the journal of the first one.
    killed(&place, &args, "f", 5_000_000);
    assert_eq!(place.files(), ["f.part", "f.part.journal"]);
    let out = place.run(&args);
    place.assert_exact(&out, "f", &file());
    assert!(resumed(&out) > 4_000_000, "{} bytes were there", resumed(&out));
    assert_eq!(place.files(), ["f"]);
}

#[test]
fn a_path_that_windows_would_refuse_or_change_is_not_used() {
    let server = Server::start();
    let place = Place::new();
    let url = server.put("/f", content("f", 1000));
    for (name, why) in [
        ("CON", "Windows has a device of this name"),
        ("aux.txt", "Windows has a device of this name"),
        ("com1.tar.gz", "Windows has a device of this name"),
        ("a|b", "Windows does not allow `|` in a name"),
        ("what?", "Windows does not allow `?` in a name"),
        ("ab:stream", "Windows does not allow `:` in a name"),
        ("c:x", "after a drive, Windows needs a backslash"),
        ("x.", "Windows removes dots and blanks at the end of a name"),
        ("x ", "Windows removes dots and blanks at the end of a name"),
        ("d./x", "Windows removes dots and blanks at the end of a name"),
    ] {
        let out = place.run(&[&url, "-o", name, "--windows-names"]);
        place.assert_failed(&out, 2, why);
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_listed_name_that_windows_would_refuse_is_changed_and_the_user_is_told() {
    let server = Server::start();
    let place = Place::new();
    let urls = ["one", "two", "three"].map(|name| server.put(&format!("/{name}"), content(name, 1000)));
    let list = format!("{}\taux.txt\n{}\ta|b\n{}\tx.\n", urls[0], urls[1], urls[2]);
    place.write("list", list.replace('\t', "\n  out="));
    let out = place.run(&["-i", "list", "--list-format", "aria2", "--windows-names", "-d", "d"]);
    place.assert_exact(&out, "d/_aux.txt", &content("one", 1000));
    place.assert_exact(&out, "d/a_b", &content("two", 1000));
    place.assert_exact(&out, "d/x_", &content("three", 1000));
    assert!(out.stderr.contains("its name \"aux.txt\" is not safe here, and was changed"), "{}", out.stderr);
}

#[test]
fn a_wrong_digest_leaves_no_file_and_a_right_one_does() {
    let server = Server::start();
    let place = Place::new();
    let url = server.put("/f", file());
    let digest = format!("sha256:{}", sha256(&file()));
    let out = place.run(&[&url, "-o", "f", "--checksum", &digest]);
    place.assert_exact(&out, "f", &file());
    let wrong = format!("sha256:{}", "0".repeat(64));
    let out = place.run(&[&url, "-o", "g", "--checksum", &wrong]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains("the content does not match its digest"), "{}", out.stderr);
    assert_eq!(place.files(), ["f"]);
}

#[test]
fn a_second_run_of_a_list_fetches_nothing_and_tidies_the_record() {
    let server = Server::start();
    let place = Place::new();
    let names: Vec<String> = (0..40).map(|n| format!("f{n}")).collect();
    let size = |n: usize| if n.is_multiple_of(10) { 2_000_000 } else { 5_000 };
    let line = |(n, name): (usize, &String)| {
        let bytes = content(name, size(n));
        let digest = sha256(&bytes);
        format!("{}#sha256={digest}\n", server.put(&format!("/d/{name}"), bytes))
    };
    place.write("list", names.iter().enumerate().map(line).collect::<String>());
    let args = ["-i", "list", "-d", "out", "--record", "record"];
    for _ in 0..2 {
        let out = place.run(&args);
        for (n, name) in names.iter().enumerate() {
            place.assert_exact(&out, &format!("out/{name}"), &content(name, size(n)));
        }
        let record = String::from_utf8(place.file("record").expect("a record")).expect("UTF-8");
        assert_eq!(record.lines().count(), names.len(), "{record}");
        assert_eq!(place.files().len(), names.len() + 2, "nothing else is left: {:?}", place.files());
    }
    assert_eq!(server.requests_for("/d/").len(), names.len(), "the files have their digests");
}

#[test]
fn an_existing_file_is_replaced_if_the_user_wants_that() {
    let server = Server::start();
    let place = Place::new();
    for (name, size) in [("small", 1000), ("large", SIZE)] {
        let url = server.put(&format!("/{name}"), content(name, size));
        place.write(name, "old");
        let out = place.run(&[&url, "-o", name, "--if-exists", "overwrite"]);
        place.assert_exact(&out, name, &content(name, size));
    }
    assert_eq!(place.files(), ["large", "small"]);
}

#[test]
fn a_path_may_be_longer_than_260_characters() {
    let server = Server::start();
    let place = Place::new();
    let folder = ["d".repeat(120), "e".repeat(120), "f".repeat(120)].join("/");
    for (name, size) in [("small", 1000), ("large", SIZE)] {
        let url = server.put(&format!("/{name}"), content(name, size));
        let out = place.run(&[&url, "-d", &folder]);
        place.assert_exact(&out, &format!("{folder}/{name}"), &content(name, size));
    }
}

#[test]
fn two_runs_do_not_write_one_record() {
    let server = Server::start();
    let place = Place::new();
    let slow = server.url(&format!("capped/{SIZE}/file?rate=2000000"));
    let first = place.start(&[&slow, "-o", "f", "--record", "record"]);
    wait_until("the first run has its record", || place.path().join("f.part").exists());
    let url = server.put("/g", content("g", 1000));
    let second = place.run(&[&url, "-o", "g", "--record", "record"]);
    assert_ne!(second.status, 0);
    assert!(second.stderr.contains("another run is writing it"), "{}", second.stderr);
    let first = finish(first);
    place.assert_exact(&first, "f", &file());
    assert_eq!(fs::read_to_string(place.path().join("record")).expect("a record").lines().count(), 1);
}

#[cfg(windows)]
#[test]
fn the_null_device_can_be_the_output() {
    let server = Server::start();
    let place = Place::new();
    let url = server.put("/f", file());
    for name in ["NUL", "nul", r"\\.\NUL"] {
        let out = place.run(&[&url, "-o", name]);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    assert_eq!(place.files(), Vec::<String>::new());
    let out = place.run(&[&url, "-o", r"\\.\PhysicalDrive0"]);
    assert_ne!(out.status, 0);
    assert!(out.stderr.contains("block device"), "{}", out.stderr);
}
