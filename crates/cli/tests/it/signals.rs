//! Tests of signals and broken pipes, without a terminal.

use crate::common::{Place, finish, send, wait_until};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// After this many bytes, a download has certainly begun.
const SOME: u64 = 30_000;

/// Returns a pipe that is full, like the pipe of a reader that has stopped reading.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let flags = fcntl_getfl(&writer).expect("flags");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("does not block");
    while writer.write(&[b' '; 4096]).is_ok() {}
    while writer.write(b" ").is_ok() {}
    fcntl_setfl(&writer, flags).expect("blocks");
    (reader, writer)
}

#[test]
fn after_a_signal_the_run_ends_within_two_seconds_and_reports_it() {
    let server = Server::start();
    for (which, status, says) in [
        (Signal::INT, 130, "the user ended the run (Ctrl-C)"),
        (Signal::TERM, 75, "stopped by a signal"),
        (Signal::HUP, 75, "stopped by a signal"),
    ] {
        let place = Place::new();
        place.write("old", "precious");
        let urls = [server.url("slow/9000000/x?rate=100000"), server.url("slow/9000000/y?rate=100000")];
        let child = place.start(&[&urls.join(","), "x,old", "--if-exists", "overwrite"]);
        place.wait_for_bytes("x.part", SOME);
        place.wait_for_bytes("old.part", SOME);
        let start = Instant::now();
        send(which, &child);
        let out = finish(child);
        assert_eq!(out.status, status, "{which:?}: {}", out.stderr);
        assert!(start.elapsed() < Duration::from_secs(2), "{which:?} took {:?}", start.elapsed());
        let left = ["old", "old.part", "old.part.journal", "x.part", "x.part.journal"];
        assert_eq!(place.files(), left, "{which:?}");
        assert_eq!(place.file("old").as_deref(), Some(&b"precious"[..]));
        assert!(place.log().contains(says), "{}", place.log());
    }
}

/// Starts a run whose events cannot be written, because its standard output is full. Sends Ctrl-C, and
/// returns the run as soon as its log has a line about the signal. From then on the run waits a second for
/// standard output. Also returns the reader of standard output, and the time before the signal.
fn stopped_while_its_events_are_stuck(server: &Server, place: &Place) -> (PipeReader, Child, Instant) {
    let (unread, full) = full_pipe();
    let url = server.url("slow/9000000/x?rate=100000");
    let mut command = place.command(&[&url, "--progress", "json", "--explain"]);
    let child = command.stdout(full).spawn().expect("starts");
    place.wait_for_bytes("x.part", SOME);
    let sent = Instant::now();
    send(Signal::INT, &child);
    wait_until("the log names Ctrl-C", || place.log().contains("the user ended the run (Ctrl-C)"));
    (unread, child, sent)
}

#[test]
fn after_one_ctrl_c_the_run_waits_a_second_for_its_output_and_explains() {
    let (server, place) = (Server::start(), Place::new());
    let (unread, child, sent) = stopped_while_its_events_are_stuck(&server, &place);
    let out = finish(child);
    assert_eq!(out.status, 130);
    assert!(sent.elapsed() > Duration::from_secs(1), "{:?}", sent.elapsed());
    assert!(!out.stderr.is_empty(), "it explains where the time went");
    drop(unread);
}

#[test]
fn a_second_ctrl_c_ends_the_run_at_once() {
    let (server, place) = (Server::start(), Place::new());
    let (unread, child, _) = stopped_while_its_events_are_stuck(&server, &place);
    // Signals within a tenth of a second count as one.
    std::thread::sleep(Duration::from_millis(150));
    send(Signal::INT, &child);
    let out = finish(child);
    assert_eq!((out.status, out.stderr.as_str()), (130, ""), "it did not stay to explain");
    drop(unread);
}

#[test]
fn after_ctrl_c_another_signal_does_not_change_the_exit_status() {
    for second in [Signal::TERM, Signal::HUP] {
        let (server, place) = (Server::start(), Place::new());
        let (unread, child, _) = stopped_while_its_events_are_stuck(&server, &place);
        // Signals within a tenth of a second count as one.
        std::thread::sleep(Duration::from_millis(150));
        send(second, &child);
        let out = finish(child);
        assert_eq!((out.status, out.stderr.as_str()), (130, ""), "{second:?}");
        drop(unread);
    }
}

#[test]
fn a_signal_that_arrives_twice_at_once_as_from_timeout_ends_the_run_like_one() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("slow/9000000/x?rate=100000");
    let child = place.start(&[&url, "-o", "x", "--failed", "failed.txt"]);
    place.wait_for_bytes("x.part", SOME);
    send(Signal::TERM, &child);
    send(Signal::CONT, &child);
    send(Signal::HUP, &child);
    let out = finish(child);
    assert_eq!(out.status, 75, "{}", out.stderr);
    assert!(out.stderr.contains("Stopped"), "{}", out.stderr);
    assert!(place.file("failed.txt").is_some_and(|list| !list.is_empty()));
}

#[test]
fn a_signal_ends_a_run_whose_cookies_cannot_be_saved_because_no_program_reads_the_fifo() {
    let server = Server::start();
    let url = server.put("/d/x", content("x", 9));
    let of_downhaul = [&*url, "--save-cookies", "fifo", "--grace", "1"];
    for arguments in [&of_downhaul[..], &["aria2c", "--save-cookies=fifo", &url]] {
        for signal in [Signal::INT, Signal::TERM] {
            let place = Place::new();
            place.make_pipe("fifo");
            let mut child = place.start(arguments);
            wait_until("the file is complete", || place.file("x").is_some());
            // The run soon waits for a reader of the FIFO. If the first signals arrive earlier, they stop the
            // run, but not this wait.
            let mut ended = None;
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(500));
                ended = child.try_wait().expect("a state");
                if ended.is_some() {
                    break;
                }
                send(signal, &child);
            }
            drop(child.kill());
            let status = ended.and_then(|status| status.code());
            let is_ctrl_c = signal == Signal::INT && arguments[0] != "aria2c";
            assert_eq!(status, Some(if is_ctrl_c { 130 } else { 75 }), "{arguments:?}");
        }
    }
}

#[test]
fn one_ctrl_c_ends_a_run_whose_messages_are_not_read() {
    let (server, place) = (Server::start(), Place::new());
    let (unread, full) = full_pipe();
    let url = server.url("slow/9000000/x?rate=100000");
    let child = place.command(&[&url]).stderr(full).spawn().expect("starts");
    place.wait_for_bytes("x.part", SOME);
    send(Signal::INT, &child);
    assert_eq!(finish(child).status, 130);
    assert_eq!(place.files(), ["x.part", "x.part.journal"]);
    drop(unread);
}

#[test]
fn standard_input_that_never_ends_delays_no_download() {
    let server = Server::start();
    let place = Place::new();
    let mut child = place.command(&["-i", "-"]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, "{}", server.url("well_behaved/1000/a")).expect("it reads");
    wait_until("the file of the first line is there", || place.file("a").is_some());
    send(Signal::TERM, &child);
    assert_eq!(finish(child).status, 75);
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let server = Server::start();
    // nohup ignores SIGHUP. A shell ignores SIGINT for commands that a script starts in the background.
    for (name, which) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        let place = Place::new();
        let url = server.url("slow/2000000/x?rate=1000000");
        let mut command = std::process::Command::new("sh");
        let script = format!("trap '' {name}; exec '{}' '{url}' -o x", env!("CARGO_BIN_EXE_downhaul"));
        command.args(["-c", &script]).current_dir(place.path()).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", place.state());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        place.wait_for_bytes("x.part", SOME);
        send(which, &child);
        let out = finish(child);
        place.assert_exact(&out, "x", &content("x", 2_000_000));
    }
}

#[test]
fn a_closed_standard_output_ends_the_run_quietly() {
    let server = Server::start();
    let place = Place::new();
    let mut child = place.start(&[&server.url("slow/3000000/x?rate=3000000"), "-o", "-"]);
    let mut some = [0; 1000];
    child.stdout.take().expect("a pipe").read_exact(&mut some).expect("bytes come");
    let out = finish(child);
    assert_eq!((out.status, out.stderr.as_str()), (1, ""), "quietly");
}

#[test]
fn closed_readers_of_messages_or_of_events_with_keep_going_stop_no_transfer() {
    let server = Server::start();
    for args in [&["--progress", "json", "--keep-going"][..], &[]] {
        let place = Place::new();
        let list: String =
            (0..20).map(|n| format!("{} {n}\n", server.url(&format!("slow/5000/{n}?rate=100000")))).collect();
        place.write("list", list);
        let mut child = place.start(&[&["-i", "list"], args].concat());
        drop(child.stdout.take());
        drop(child.stderr.take());
        let out = finish(child);
        assert_eq!(out.status, 0, "the transfers continue");
        assert_eq!(place.files().len(), 21);
    }
}
