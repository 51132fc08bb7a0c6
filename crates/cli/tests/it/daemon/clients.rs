//! The commands for a running daemon: `downhaul add`, `list`, `attach` and so on.

use super::{Daemon, SOON};
use crate::common::terminal::Terminal;
use crate::common::{Out, Place, finish, poll, send};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

fn text(out: &Out) -> String {
    String::from_utf8(out.stdout.clone()).expect("UTF-8")
}

/// Runs a command that must succeed, and returns what it printed.
#[track_caller]
fn done(place: &Place, args: &[&str]) -> String {
    let out = place.run(args);
    assert_eq!(out.status, 0, "{args:?}: {}", out.stderr);
    text(&out)
}

/// Adds a download, and returns its identifier.
#[track_caller]
fn add(place: &Place, args: &[&str]) -> String {
    let added = done(place, &[&["add"], args].concat());
    let id = added.strip_prefix("added ").and_then(|rest| rest.split([' ', '\n']).next());
    id.unwrap_or_else(|| panic!("{added}")).to_string()
}

#[test]
fn commands_add_list_change_and_remove_downloads() {
    let (server, place) = (Server::start(), Place::new());
    let bytes = content("a", 50_000);
    let url = server.put("/a.bin", bytes.clone());
    let _daemon = Daemon::start(&place);
    let one = add(&place, &[&url, "--paused", "-o", "x/b.bin"]);
    let two = add(&place, &["http://127.0.0.1:1/other.bin", "--paused"]);
    let listed = done(&place, &["list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("id ") && lines[0].ends_with("  name"), "{listed}");
    assert!(lines[1].contains("paused 1") && lines[1].ends_with("x/b.bin"), "{listed}");
    assert!(lines[2].starts_with(&two[..6]) && lines[2].contains("paused 2"), "{listed}");
    assert!(lines[3].starts_with("0 active") && lines[3].contains("2 queued"), "{listed}");

    assert!(done(&place, &["move", &one[..8], "last"]).contains("number 2"));
    assert!(done(&place, &["list", "other"]).contains("paused 1"));
    let json: Value = serde_json::from_str(&done(&place, &["list", "--json", "other"])).expect("JSON");
    assert_eq!((json["id"].as_str(), json["position"].as_u64()), (Some(two.as_str()), Some(0)));

    done(&place, &["resume", &one]);
    assert!(done(&place, &["watch", &one]).contains(": 48.8 KiB, not verified (size matches)"));
    assert_eq!(place.file("files/x/b.bin"), Some(bytes));
    assert!(done(&place, &["list", "--only", "over"]).contains("complete"));
    assert!(place.run(&["resume", &one]).stderr.contains("the download is complete"));

    done(&place, &["remove", "--files", &one]);
    assert_eq!(place.file("files/x/b.bin"), None);
    done(&place, &["remove", &two]);
    assert_eq!(done(&place, &["list"]), "no downloads\n");
    for (args, says) in [
        (&["pause", "zz"][..], "zz: zz is not an ID"),
        (&["remove", &two], "There is no download with the ID"),
        (&["add", "ftp://127.0.0.1/a"], "ftp"),
    ] {
        let out = place.run(args);
        assert!(out.status == 1 && out.stderr.contains(says), "{args:?} {}: {}", out.status, out.stderr);
    }
}

#[test]
fn watch_tells_by_its_exit_status_if_all_downloads_are_complete() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", b"a".to_vec());
    let missing = url.replace("a.bin", "missing.bin");
    let _daemon = Daemon::start(&place);
    // A list in UTF-16, as some editors on Windows write it.
    let lines = format!("\u{feff}{url}\n{missing}\n");
    let list = place.write("list.txt", lines.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    let added = done(&place, &["add", "-i", list.to_str().expect("text"), "--paused"]);
    let ids: Vec<&str> = added.lines().filter_map(|line| line.strip_prefix("added ")).collect();
    assert_eq!(ids.len(), 2, "{added}");
    let watch = place.start(&[&["watch"], &*ids].concat());
    done(&place, &["resume", "--all"]);
    let out = finish(watch);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(text(&out).contains("complete") && text(&out).contains("(http.not_found)"), "{}", text(&out));
    assert_eq!(place.run(&["watch", ids[0]]).status, 0);

    let log = done(&place, &["logs"]);
    for part in ["daemon listens on http://", "started", "completed", "failed", "(http.not_found)"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert_eq!(done(&place, &["logs", "-n", "1"]).lines().count(), 1);
    // A failed download is tried again.
    server.put("/missing.bin", b"b".to_vec());
    done(&place, &["resume", ids[1]]);
    assert_eq!(place.run(&["watch", ids[1]]).status, 0);
    assert_eq!(place.file("files/missing.bin"), Some(b"b".to_vec()));
    done(&place, &["remove", "--over"]);
    assert_eq!(done(&place, &["list"]), "no downloads\n");
}

#[test]
fn all_downloads_are_paused_and_resumed_at_once() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 3_000_000));
    let _daemon = Daemon::start(&place);
    let id = add(&place, &[&url, "--limit-rate", "300k", "-H", "X-Test: 1"]);
    place.wait_for_bytes("files/a.bin.part", 1);
    done(&place, &["pause", "--all"]);
    assert!(done(&place, &["list"]).contains("paused 1"));
    done(&place, &["resume", "--all"]);
    assert!(poll(SOON, || done(&place, &["list"]).contains("active").then_some(())).is_some());
    done(&place, &["remove", &id]);
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.header("x-test") == Some("1")), "{requests:?}");
}

#[test]
fn attach_shows_the_bars_and_leaves_the_daemon_running() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 3_000_000));
    let daemon = Daemon::start(&place);
    let mut terminal = Terminal::start(&place, 80, 24, &["attach"]);
    terminal.wait_for_text("no active download, 0 queued");
    let id = add(&place, &[&url, "--limit-rate", "1M"]);
    terminal.wait_for("a bar", |text| text.contains("a.bin:") && text.contains("/2.86 MiB ["));
    terminal.press("\u{3}");
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!(place.run(&["watch", &id]).status, 0);
    // Without a terminal, `attach` prints lines.
    let mut attach = place.start(&["attach"]);
    let mut lines = BufReader::new(attach.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(lines.next().is_some_and(|line| line.starts_with("attached to http://127.0.0.1:")));
    let id = add(&place, &[&url, "-o", "again.bin"]);
    daemon.wait_for(&id, "complete");
    assert_eq!(lines.next().as_deref(), Some("again.bin: 2.86 MiB, not verified (size matches)"));
    send(Signal::INT, &attach);
    assert_eq!(finish(attach).status, 0);
}

#[test]
fn without_a_daemon_or_its_secret_a_command_says_what_to_do() {
    let place = Place::new();
    let out = place.run(&["list", "--daemon", "127.0.0.1:1"]);
    assert_eq!(out.status, 1);
    for part in ["error: no daemon answers at http://127.0.0.1:1/", "downhaul daemon", "--daemon URL"] {
        assert!(out.stderr.contains(part), "{}", out.stderr);
    }
    assert_eq!(place.run(&["list", "--daemon", "ftp://x"]).status, 2);

    let daemon = Daemon::start(&place);
    let address = format!("http://localhost:{}", daemon.port);
    // Another state folder stands for another user of this machine, who does not know the secret.
    let other = Place::new();
    let out = other.run(&["list", "--daemon", &address]);
    assert!(
        out.status == 1
            && out
                .stderr
                .contains("a request without a secret (use --secret-file FILE if FILE has the secret)"),
        "{}",
        out.stderr
    );
    let wrong = other.write("wrong", "wrong\n");
    std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let out = other.run(&["list", "--daemon", &address, "--secret-file", "wrong"]);
    assert!(out.status == 1 && out.stderr.contains("refused the secret in wrong"), "{}", out.stderr);
    // The variables have the same effect as the options.
    let mut command = other.command(&["list"]);
    command.env("DOWNHAUL_DAEMON", &address);
    command.env("DOWNHAUL_DAEMON_SECRET", daemon.secret.as_deref().expect("a secret"));
    let out = finish(command.spawn().expect("the program starts"));
    assert_eq!((out.status, text(&out).as_str()), (0, "no downloads\n"), "{}", out.stderr);

    // A daemon removes its notice (the file `daemon.json`) when it ends.
    let notice = place.state().join("downhaul/daemon.json");
    assert_eq!(notice.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    daemon.stop();
    assert!(!notice.exists());
}

#[test]
fn a_secret_to_whose_file_others_have_rights_is_not_used() {
    let place = Place::new();
    let secret = place.write("secret", "hush\n");
    for (mode, works) in
        [(0o644, false), (0o640, false), (0o604, false), (0o622, false), (0o600, true), (0o400, true)]
    {
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).expect("ours");
        let out = place.run(&["list", "--daemon", "127.0.0.1:1", "--secret-file", "secret"]);
        let says = "other users have rights to the file (chmod 600";
        let is_refused = out.status == 2 && out.stderr.contains(says);
        assert_eq!(!is_refused, works, "{mode:o}: {}", out.stderr);
    }
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let out = place.run(&["daemon", "--secret-file", "secret", "--listen", "127.0.0.1:0"]);
    assert!(out.status == 2 && out.stderr.contains("chmod 600"), "{}", out.stderr);
    std::fs::write(&secret, " \n").expect("ours");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let out = place.run(&["daemon", "--secret-file", "secret", "--listen", "127.0.0.1:0"]);
    assert!(out.status == 2 && out.stderr.contains("the file is empty"), "{}", out.stderr);
}

#[test]
fn a_name_or_a_url_that_is_a_word_of_a_command_can_still_be_given() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", b"a".to_vec());
    // Only the first word can be a command.
    place.assert_exact(&place.run(&[&url, "list"]), "list", b"a");
    let out = place.run(&["--dry-run", "https://add/"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
}

#[test]
fn add_refuses_the_same_arguments_as_a_download_before_it_asks_the_daemon() {
    let place = Place::new();
    let digest = format!("sha256:{}", "0".repeat(64));
    for args in [
        &["-o", "x", "http://h/1", "http://h/2"][..],
        &["--checksum", &digest, "http://h/1", "http://h/2"],
        &["--limit-rate", "0", "http://h/1"],
        &["-H", "@missing", "http://h/1"],
    ] {
        let out = place.run(&[&["add", "--daemon", "127.0.0.1:1"], args].concat());
        assert!(
            out.status == 2 && !out.stderr.contains("no daemon"),
            "{args:?} {}: {}",
            out.status,
            out.stderr
        );
    }
}

#[test]
fn a_packed_list_is_added_and_long_lists_are_shown_whole() {
    let place = Place::new();
    let _daemon = Daemon::start(&place);
    let lines = (0..10_050).map(|number| format!("{{\"url\":\"http://127.0.0.1:1/{number}\"}}\n"));
    let packed = zstd::encode_all(lines.collect::<String>().as_bytes(), 1).expect("packed");
    place.write("list.jsonl.zst", packed);
    assert_eq!(done(&place, &["add", "--paused", "-i", "list.jsonl.zst"]).lines().count(), 10_050);
    for (limit, shown) in [("10050", 10_050), ("100000", 10_050), ("10001", 10_001), ("7", 7), ("0", 0)] {
        assert_eq!(done(&place, &["list", "--json", "-n", limit]).lines().count(), shown, "{limit}");
    }
    assert!(done(&place, &["list", "-n", "10000"]).contains("... and 50 more (-n 10050 shows all)"));
}
