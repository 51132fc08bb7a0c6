//! Commands that run after each file.

use crate::common::{PATIENCE, Place, finish, poll, send, wait_until};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// A command that writes the facts of each call into the file `facts`, and prints `said` and `err`.
const FACTS: &str = r#"sh -c 'echo "$0 $DOWNHAUL_FILE_EVENT $DOWNHAUL_FILE_URL $DOWNHAUL_FILE_PATH $DOWNHAUL_FILE_BYTES $DOWNHAUL_FILE_CODE" >> facts; echo said; echo err >&2' "a b""#;

#[test]
fn commands_get_the_facts_about_each_file() {
    let server = Server::start();
    let place = Place::new();
    let (good, bad) = (server.url("well_behaved/10/f"), server.url("status/1/g?status=404&token=hush"));
    let out = place.run(&[&good, &bad, "--on-complete", FACTS, "--on-error-run", FACTS, "-q", "-j", "1"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    let facts = String::from_utf8(place.file("facts").expect("a file")).expect("UTF-8");
    let bad = bad.replace("hush", "***");
    let mut lines: Vec<&str> = facts.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [format!("a b complete {good} ./f 10 "), format!("a b error {bad}   http.not_found")]);
    assert!(out.stderr.contains("said\n") && out.stderr.contains("err\n"), "{}", out.stderr);
    assert!(out.stdout.is_empty());
    // No command runs for a file that exists already.
    let out = place.run(&[&good, "--on-complete", FACTS]);
    assert_eq!(
        (out.status, place.file("facts").map(|facts| facts.len())),
        (0, Some(facts.len())),
        "{}",
        out.stderr
    );
    // The facts never become words of the command.
    let out = place.run(&[&good, "; touch evil", "--on-complete", "true"]);
    place.assert_exact(&out, "; touch evil", &content("f", 10));
    assert_eq!(place.file("evil"), None);
}

#[test]
fn a_caret_or_a_backquote_in_a_command_changes_nothing_about_its_quotes() {
    let server = Server::start();
    for command in [r#"sh -c 'echo "$0" > said' ^"a b""#, "sh -c 'echo \"$0\" > said # ^\n' '^a b'"] {
        let place = Place::new();
        let out = place.run(&[&server.url("well_behaved/10/f"), "--on-complete", command]);
        place.assert_exact(&out, "f", &content("f", 10));
        assert_eq!(place.file("said").as_deref(), Some(&b"^a b\n"[..]), "{}", out.stderr);
    }
}

#[test]
fn a_command_that_fails_is_a_warning() {
    let server = Server::start();
    for (command, says) in [
        ("false", "--on-complete for ./f: the command ended with exit status: 1"),
        ("no-such-program x", "the command no-such-program could not be started"),
    ] {
        let place = Place::new();
        let out = place.run(&[&server.url("well_behaved/10/f"), "--on-complete", command]);
        place.assert_exact(&out, "f", &content("f", 10));
        assert!(out.stderr.contains(says), "{}", out.stderr);
    }
    let place = Place::new();
    for command in ["echo $HOME", "a | b", "echo 'x", ""] {
        let out = place.run(&["http://127.0.0.1:1/", "--on-complete", command]);
        assert!(out.status == 2 && out.stderr.contains("--on-complete"), "{command}: {}", out.stderr);
    }
}

#[test]
fn a_configuration_can_have_a_command_and_a_command_can_run_downhaul() {
    let server = Server::start();
    let place = Place::new();
    let inner = server.url("well_behaved/10/inner");
    place.write(
        "c.toml",
        format!("on-complete = \"{} {inner} --config none\"\n", env!("CARGO_BIN_EXE_downhaul")),
    );
    let out = place.run(&[&server.url("well_behaved/10/f"), "--config", "c.toml"]);
    place.assert_exact(&out, "f", &content("f", 10));
    place.assert_exact(&out, "inner", &content("inner", 10));
    assert!(!out.stderr.contains("warning"), "{}", out.stderr);
}

#[test]
fn ctrl_c_ends_a_run_whose_command_does_not_end() {
    let server = Server::start();
    let place = Place::new();
    let mut child = place.start(&[
        &server.url("well_behaved/10/f"),
        "--on-complete",
        "sh -c 'echo $$ > pid; exec sleep 60'",
    ]);
    wait_until("the command runs", || place.file("pid").is_some_and(|pid| pid.ends_with(b"\n")));
    send(rustix::process::Signal::INT, &child);
    let ended = poll(PATIENCE, || child.try_wait().expect("waits"));
    // On a terminal, Ctrl-C reaches the command, too.
    let pid = String::from_utf8(place.file("pid").expect("a file")).expect("UTF-8");
    let pid =
        rustix::process::Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process number");
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    assert!(ended.is_some(), "the run has not ended");
    let out = finish(child);
    assert_eq!(out.status, 130, "{}", out.stderr);
}

/// After a signal, no further command starts. A later run starts no command for a file that exists, so a
/// warning must name each file whose command did not run.
#[test]
fn a_signal_leaves_a_warning_for_each_command_that_did_not_run() {
    use rustix::process::Signal;
    let server = Server::start();
    for (signal, status, while_downloading) in [
        (Signal::INT, 130, false),
        (Signal::INT, 130, true),
        (Signal::TERM, 75, false),
        (Signal::TERM, 75, true),
    ] {
        let place = Place::new();
        let files = ["f0", "f1", "f2"];
        let mut urls: Vec<String> =
            files.iter().map(|name| server.url(&format!("well_behaved/10/{name}"))).collect();
        if while_downloading {
            urls.push(server.url("slow/9000000/x?rate=100000"));
        }
        let command = "sh -c 'echo $DOWNHAUL_FILE_PATH >> ran; sleep 3'";
        let child = place.start(&[&urls.join(","), "--on-complete", command, "-q"]);
        wait_until("a command runs, and all files are there", || {
            place.file("ran").is_some() && files.iter().all(|name| place.file(name).is_some())
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        send(signal, &child);
        let out = finish(child);
        assert_eq!(out.status, status, "{}", out.stderr);
        let ran = String::from_utf8(place.file("ran").expect("a file")).expect("UTF-8");
        assert_eq!(ran.lines().count(), 1, "{ran}");
        for name in files {
            let warning = format!("warning: --on-complete for ./{name}: the command did not run");
            let expected = usize::from(ran.trim() != format!("./{name}"));
            assert_eq!(out.stderr.matches(&warning).count(), expected, "{signal:?} {ran} {}", out.stderr);
        }
    }
}

#[test]
fn all_commands_run_after_the_answer_exit() {
    use crate::common::terminal::Terminal;
    let server = Server::start();
    let place = Place::new();
    let bad = server.url("status/1/x?status=404");
    let good: Vec<String> = (0..3).map(|n| server.url(&format!("well_behaved/10/{n}"))).collect();
    let command = "sh -c 'echo $DOWNHAUL_FILE_PATH >> ran; sleep 1'";
    let args = [&format!("{bad},{}", good.join(",")), "--on-complete", command];
    let mut terminal = Terminal::start(&place, 120, 24, &args);
    terminal.wait_for("all files and the question", |text| {
        text.matches("✓ ./").count() == 3 && text.contains("or exit (e)?")
    });
    terminal.press("e");
    let (status, screen) = terminal.end();
    assert_eq!(status, 4, "{screen}");
    let ran = String::from_utf8(place.file("ran").expect("a file")).expect("UTF-8");
    assert_eq!(ran.lines().count(), 3, "{ran}{screen}");
}

/// If the program that reads the events ends, the run stops, but the commands for complete files run.
#[test]
fn commands_run_if_the_reader_of_the_events_ends() {
    use std::io::{BufRead, BufReader};
    let server = Server::start();
    let place = Place::new();
    let urls = ["well_behaved/10/f", "well_behaved/10/g", "slow/9000000/x?rate=100000"];
    let urls = urls.map(|path| server.url(path));
    let command = "sh -c 'sleep 2; echo done >> done'";
    let mut child = place.start(&[&urls.join(","), "--progress", "json", "--on-complete", command]);
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut ends = stdout.lines().map_while(Result::ok).filter(|line| line.contains("\"finished\""));
    assert!(ends.nth(1).is_some());
    drop(ends);
    let out = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(place.file("done").as_deref(), Some(&b"done\ndone\n"[..]), "{stderr}");
}

/// A run whose output fails continues to start commands.
#[cfg(target_os = "linux")]
#[test]
fn commands_run_if_an_output_of_the_program_fails() {
    let server = Server::start();
    let place = Place::new();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let url = server.url("capped/400000/f?rate=200000");
    // The command takes longer than a stopped run waits for its outputs.
    let command = "sh -c 'sleep 2; echo done > done'";
    let args = [&url, "--progress", "json", "--on-complete", command, "--record", "lock"];
    let out = finish(place.command(&args).stdout(full).spawn().expect("it starts"));
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert_eq!(place.file("done").as_deref(), Some(&b"done\n"[..]), "{}", out.stderr);
    assert!(place.file("lock").is_some(), "{}", out.stderr);
}
