//! `--to-tar`: what is left if the disk fails, or if the run fails before its downloads.

use crate::common::{Place, finish, is_installed, note, wait_until};
use crate::disks::SmallDisk;
use crate::tars::{TO_TAR, assert_exact, list, members, small};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

#[test]
fn a_full_disk_leaves_whole_members_and_the_run_continues_when_there_is_room() {
    let Some(disk) = SmallDisk::new(4) else { return };
    let (place, server) = (&disk.place, Server::start());
    let files: Vec<_> = (0..40).map(|n| (format!("f{n}.bin"), content(&n.to_string(), 100_000))).collect();
    list(place, &server, &files);
    place.write("out/filler", vec![0; 2 << 20]);
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("the disk is full"), "{}", out.stderr);
    fs::remove_file(place.path().join("out/filler")).expect("removed");
    // The files have 4 MB. With their partial files, they may not fit into 4 MiB, so a run may fail again.
    for _ in 0..2 {
        let out = place.run(&TO_TAR);
        assert!([0, 5].contains(&out.status), "{}", out.stderr);
    }
    let there = members(place);
    for (name, bytes) in &files {
        assert!(there.get(name).is_none_or(|there| there == bytes), "{name} is not exact");
    }
    assert!(there.len() > 40, "{}", there.len());
}

#[test]
fn a_tar_with_its_final_name_stays_complete_if_its_name_cannot_be_forced_to_the_disk() {
    let (server, place) = (Server::start(), Place::new());
    let mut lines = vec![server.url("capped/300000/slow.bin?rate=300000")];
    lines.extend((0..4).map(|n| server.put(&format!("/f{n}.bin"), format!("content {n}"))));
    place.write("list", lines.join("\n"));
    let args = [&TO_TAR[..], &["--tar-count", "2", "--sync", "always", "-j", "1"]].concat();
    let mut command = if rustix::process::geteuid().is_root() {
        if !is_installed("setpriv") {
            return note("this test must not have the rights of the superuser, so it did nothing");
        }
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", env!("CARGO_BIN_EXE_downhaul")]);
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_downhaul"))
    };
    command.args(&args).current_dir(place.path()).env_remove("HOME").env_remove("XDG_STATE_HOME");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    wait_until("the run has opened the tars", || !server.requests().is_empty());
    // A folder that cannot be read cannot be opened, so it cannot be forced to the disk.
    let folder = place.path().join("out");
    let set_mode = |mode| fs::set_permissions(&folder, PermissionsExt::from_mode(mode)).expect("a mode");
    set_mode(0o300);
    let out = finish(child);
    set_mode(0o755);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(place.file("out/set-000.tar").is_some(), "{}", out.stderr);
    members(&place);
    let out = place.run(&args);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(members(&place).len(), 10);
}

#[test]
fn a_run_that_ends_before_its_downloads_leaves_nothing_beside_the_tars() {
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, &small(3));
    place.write("bad.pem", "no certificate");
    for more in [["--record", "missing/all.jsonl"], ["--archive", "missing/done.db"], ["--cacert", "bad.pem"]]
    {
        let out = place.run(&[&TO_TAR[..], &more].concat());
        assert!([2, 5].contains(&out.status), "{more:?}: {}", out.stderr);
        assert!(!place.path().join("out/.downhaul-tars").exists(), "{more:?}: {:?}", place.files());
    }
    assert_eq!(server.requests().len(), 0);
}

/// Runs downhaul with [`TO_TAR`] in strace, which writes the file `trace`. `options` are options of strace.
fn run_in_strace(place: &Place, options: &[&str]) -> Output {
    let program = place.command(&[]);
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-o", "trace"]).args(options).arg(program.get_program()).args(TO_TAR);
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.current_dir(place.path()).stdin(Stdio::null()).output().expect("strace")
}

/// Runs downhaul, and returns the reads of a tar, each as its number among the reads of the thread that opens
/// the tars. If the run sets the length of the tar, only the reads before that are returned.
fn reads_of(place: &Place, tar: &str) -> Vec<usize> {
    let out = run_in_strace(place, &["-e", "trace=pread64,ftruncate"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let trace = String::from_utf8(place.file("trace").expect("a trace")).expect("UTF-8");
    let is_of_tar = |line: &&str| line.contains(&format!("{tar}>"));
    let thread = trace.lines().find(is_of_tar).and_then(|line| line.split(' ').next()).expect("a read");
    let lines = trace.lines().filter(|line| line.split(' ').next() == Some(thread));
    let before = lines.take_while(|line| !(line.contains("ftruncate(") && is_of_tar(line)));
    let reads = (1..).zip(before.filter(|line| line.contains("pread64(")));
    reads.filter(|(_, line)| is_of_tar(line)).map(|(number, _)| number).collect()
}

#[test]
fn a_tar_that_cannot_be_read_is_not_cut_and_does_not_count_as_damaged() {
    if !is_installed("strace") {
        return;
    }
    let (server, place) = (Server::start(), Place::new());
    let files: Vec<_> = (0..10).map(|n| (format!("f{n}.bin"), content(&n.to_string(), 100_000))).collect();
    list(&place, &server, &files);
    let assert_fails = |tar: &str, read: usize| {
        let (before, requests) = (place.file(tar).expect("a tar"), server.requests().len());
        let fault = format!("inject=pread64:error=EIO:when={read}");
        let out = run_in_strace(&place, &["-e", "trace=pread64", "-e", &fault]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(5), "{tar}, {read}: {said}");
        assert!(said.contains("Input/output error") && !said.contains("rename it"), "{tar}, {read}: {said}");
        assert!(place.file(tar) == Some(before), "{tar} was changed after read {read}");
        assert_eq!(server.requests().len(), requests, "{tar}, {read}");
    };
    assert_eq!(place.run(&[&TO_TAR[..], &["--max-total", "350k", "-j", "1"]].concat()).status, 75);
    let (part, complete) = ("out/set-000.tar.part", "out/set-000.tar");
    let unfinished = place.file(part).expect("an unfinished tar");
    // This run completes the tar.
    let reads = reads_of(&place, part);
    fs::remove_file(place.path().join(complete)).expect("removed");
    place.write(part, unfinished);
    // The headers are read first, and the bytes of the last file are read last.
    for read in [reads[0], reads[2], reads[reads.len() / 2], reads[reads.len() - 1]] {
        assert_fails(part, read);
    }
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let reads = reads_of(&place, complete);
    assert_fails(complete, reads[0]);
    fs::remove_file(place.path().join("trace")).expect("removed");
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &files, &out);
}
