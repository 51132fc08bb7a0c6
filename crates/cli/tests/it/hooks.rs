//! Commands that run after each file.

use crate::common::{PATIENCE, Place, finish, poll, send, wait_until};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// Writes the facts of each call into the file `facts`.
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

/// A run that the user stops starts no more commands. A run whose output fails continues to start them.
#[cfg(target_os = "linux")]
#[test]
fn commands_run_if_an_output_of_the_program_fails() {
    let server = Server::start();
    let place = Place::new();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let url = server.url("capped/400000/f?rate=200000");
    // The command takes longer than the outputs of a stopped run may take.
    let command = "sh -c 'sleep 2; echo done > done'";
    let args = [&url, "--progress", "json", "--on-complete", command, "--record", "lock"];
    let out = finish(place.command(&args).stdout(full).spawn().expect("it starts"));
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert_eq!(place.file("done").as_deref(), Some(&b"done\n"[..]), "{}", out.stderr);
    assert!(place.file("lock").is_some(), "{}", out.stderr);
}
