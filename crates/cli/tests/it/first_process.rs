//! The program as the first process of a container. The system does not end that process for signals that it
//! does not handle, and gives it the processes whose parents have ended.
//!
//! Each run is in a process namespace of its own. If no namespace can be made, the tests print a note and are
//! skipped. In CI, they fail instead.

use crate::common::{Place, finish, note, poll, send_to, wait_until};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rustix::process::{Pid, Signal};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SIZE: u64 = 3_000_000;

/// The time within which a run ends after a signal.
const ENDS: Duration = Duration::from_secs(5);

/// Starts the program as the first process of a namespace. Returns `None` if no namespace can be made.
fn start(place: &Place, args: &[&str]) -> Option<Child> {
    let unshare = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child", command]);
        unshare
    };
    #[expect(clippy::disallowed_methods, reason = "a test may ask where it runs")]
    let in_ci = std::env::var("CI").is_ok();
    if !unshare("true").output().is_ok_and(|out| out.status.success()) {
        assert!(!in_ci, "process namespaces must be allowed in CI");
        note("no process namespace can be made: the test is skipped");
        return None;
    }
    let program = place.command(args);
    let variables = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut command = unshare(&program.get_program().to_string_lossy());
    command.args(args).current_dir(place.path()).env_clear().envs(variables);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command.spawn().expect("unshare starts"))
}

/// Returns the process identifier that the only child of a process has outside of its namespace.
fn child_of(parent: &Child) -> Pid {
    let path = format!("/proc/{0}/task/{0}/children", parent.id());
    let children = fs::read_to_string(path).expect("the children of unshare");
    Pid::from_raw(children.trim().parse().expect("one child")).expect("a process number")
}

#[test]
fn the_first_process_of_a_container_stops_for_sigterm_and_the_next_one_continues() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=1000000"));
    let args = [&url, "-o", "f", "-x1"];
    let Some(mut run) = start(&place, &args) else { return };
    place.wait_for_bytes("f.part", 1_000_000);
    send_to(Signal::TERM, child_of(&run));
    assert!(poll(ENDS, || run.try_wait().expect("waits")).is_some(), "it did not end");
    let out = finish(run);
    assert_eq!(out.status, 75, "{}", out.stderr);
    assert_eq!(place.files(), ["f.part", "f.part.journal"]);

    let out = finish(start(&place, &args).expect("a namespace can be made"));
    place.assert_exact(&out, "f", &content("file", SIZE));
    assert!(out.stderr.contains("resum"), "{}", out.stderr);
}

#[test]
fn the_first_process_of_a_container_ends_although_a_command_left_processes_to_it() {
    let (server, place) = (Server::start(), Place::new());
    let urls: Vec<String> = (0..3).map(|n| server.url(&format!("well_behaved/1000/f{n}"))).collect();
    let mut args: Vec<&str> = urls.iter().map(String::as_str).collect();
    // Each command leaves a process that ends during the run, and one that does not.
    let command = "sh -c 'sleep 0.1 & sleep 300 & echo left >> left'";
    args.extend(["--on-complete", command]);
    let Some(run) = start(&place, &args) else { return };
    wait_until("the commands run", || place.file("left").is_some_and(|left| left == b"left\n".repeat(3)));
    let out = finish(run);
    assert_eq!(out.status, 0, "{}", out.stderr);
    for n in 0..3 {
        assert_eq!(place.file(&format!("f{n}")), Some(content(&format!("f{n}"), 1000)));
    }
}
