//! Signals and broken pipes, without a terminal.

use crate::common::{Place, finish};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("it runs");
}

/// Waits until bytes of a file have arrived, and were told.
fn wait_for_bytes(place: &Place, part: &str) {
    let start = Instant::now();
    while place.file(part).is_none_or(|bytes| bytes.len() < 30_000) {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing arrives: {:?}", place.files());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn signals_end_the_run_within_two_seconds_and_say_so() {
    let server = Server::start();
    for (which, status, says) in [
        (Signal::INT, 130, "exited by the user (Ctrl-C)"),
        (Signal::TERM, 75, "stopped by a signal"),
        (Signal::HUP, 75, "stopped by a signal"),
    ] {
        let place = Place::new();
        place.write("old", "precious");
        let urls = [server.url("slow/9000000/x?rate=100000"), server.url("slow/9000000/y?rate=100000")];
        let child = place.start(&[&urls.join(","), "x,old", "--if-exists", "overwrite"]);
        wait_for_bytes(&place, "x.part");
        wait_for_bytes(&place, "old.part");
        let start = Instant::now();
        signal(&child, which);
        let out = finish(child);
        assert_eq!(out.status, status, "{which:?}: {}", out.stderr);
        assert!(start.elapsed() < Duration::from_secs(2), "{which:?} took {:?}", start.elapsed());
        let left = ["old", "old.part", "old.part.journal", "x.part", "x.part.journal"];
        assert_eq!(place.files(), left, "{which:?}");
        assert_eq!(place.file("old").as_deref(), Some(&b"precious"[..]));
        assert!(place.log().contains(says), "{}", place.log());
    }
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let server = Server::start();
    let place = Place::new();
    // Standard output is a pipe that nobody empties: the last words cannot be said.
    let mut child =
        place.command(&["-i", "-", "--progress", "json"]).stdin(Stdio::piped()).spawn().expect("starts");
    let stdin = child.stdin.take();
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, Signal::INT);
    signal(&child, Signal::INT);
    let out = finish(child);
    assert_eq!(out.status, 130);
    assert!(out.took < Duration::from_secs(2));
    drop((stdin, server));
}

#[test]
fn standard_input_that_never_ends_holds_nothing_up() {
    let server = Server::start();
    let place = Place::new();
    let mut child = place.command(&["-i", "-"]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, format!("{}\n", server.url("well_behaved/1000/a")).as_bytes())
        .expect("it reads");
    let start = Instant::now();
    while place.file("a").is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "the first line is not waited for");
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&child, Signal::TERM);
    assert_eq!(finish(child).status, 75);
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let server = Server::start();
    // nohup ignores SIGHUP; a shell ignores SIGINT for what a script starts in the background.
    for (name, which) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        let place = Place::new();
        let url = server.url("slow/100000/x?rate=100000");
        let mut command = std::process::Command::new("sh");
        let script = format!("trap '' {name}; exec '{}' '{url}' -o x", env!("CARGO_BIN_EXE_downhaul"));
        command.args(["-c", &script]).current_dir(place.path()).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", place.state());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        wait_for_bytes(&place, "x.part");
        signal(&child, which);
        let out = finish(child);
        place.assert_exact(&out, "x", &content("x", 100_000));
    }
}

#[test]
fn the_reader_of_standard_output_is_gone() {
    let server = Server::start();
    let place = Place::new();
    let mut child = place.start(&[&server.url("slow/3000000/x?rate=3000000"), "-o", "-"]);
    let mut some = [0; 1000];
    child.stdout.take().expect("a pipe").read_exact(&mut some).expect("bytes come");
    let out = finish(child);
    assert_eq!((out.status, out.stderr.as_str()), (1, ""), "quietly");
}

#[test]
fn the_reader_of_events_or_messages_is_gone() {
    let server = Server::start();
    for args in [&["--progress", "json"][..], &[]] {
        let place = Place::new();
        let list: String =
            (0..20).map(|n| format!("{} {n}\n", server.url(&format!("slow/5000/{n}?rate=100000")))).collect();
        place.write("list", list);
        let mut child = place.start(&[&["-i", "list"], args].concat());
        drop(child.stdout.take());
        drop(child.stderr.take());
        let out = finish(child);
        assert_eq!(out.status, 0, "transfers go on");
        assert_eq!(place.files().len(), 21);
    }
}
