//! Tests of devices, pipes and descriptors that a shell opened. They are written in order, as standard output
//! is.

use crate::common::{Out, Place, finish, is_installed, send};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use rustix::process::Signal;
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const SIZE: u64 = 3_000_000;

/// Runs a command of bash, because `sh` may not support `>( )`.
fn bash(place: &Place, script: &str) -> Out {
    let mut shell = Command::new("bash");
    shell.args(["-c", script]).current_dir(place.path()).env("downhaul", env!("CARGO_BIN_EXE_downhaul"));
    shell.env("XDG_STATE_HOME", place.state());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(shell.spawn().expect("bash starts"))
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("checksum/{SIZE}/f"));
    let out = place.run(&[&url, "-o", "/dev/null"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(out.stderr.contains("/dev/null") && out.stderr.contains("sha-256"), "{}", out.stderr);
    assert!(place.files().is_empty(), "{:?}", place.files());
    assert!(!std::path::Path::new("/dev/null.part").exists());
    // A wrong digest is a failure, although the bytes cannot be taken back.
    let out = place.run(&[&server.url(&format!("checksum_wrong/{SIZE}/f")), "-o", "/dev/null"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains("Do not use any bytes that were written to /dev/null."), "{}", out.stderr);
    // A full device counts as a full disk.
    #[cfg(target_os = "linux")]
    {
        let out = place.run(&[&url, "-o", "/dev/full"]);
        assert_eq!(out.status, 5, "{}", out.stderr);
        assert!(out.stderr.contains("/dev/full"), "{}", out.stderr);
    }
}

#[test]
fn the_message_about_wrong_bytes_on_standard_output_does_not_say_that_nothing_was_saved() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("checksum_wrong/{SIZE}/f"));
    for output in ["-", "/dev/stdout"] {
        let out = place.run(&[&url, "-o", output]);
        assert_eq!((out.status, out.stdout.len() as u64), (3, SIZE), "{}", out.stderr);
        let says = "Do not use any bytes that were written to standard output.";
        assert!(out.stderr.contains(says) && !out.stderr.contains("saved"), "{}", out.stderr);
        assert!(!out.stderr.contains("To resume") && !out.stderr.contains("To try again"), "{}", out.stderr);
    }
}

/// Without a check, std reports no error if standard output is closed or open for reading only.
#[test]
fn a_result_that_standard_output_cannot_take_is_a_failure_of_the_disk() {
    if !is_installed("bash") {
        return;
    }
    let server = Server::start();
    let place = Place::new();
    place.write("f", "abc");
    place.write("SHA256SUMS", format!("{}  f\n", sha256(b"abc")));
    let url = server.url("well_behaved/1000/g");
    for redirection in [">&-", "<&- >&-", "1</dev/null", ">/dev/full"] {
        if redirection == ">/dev/full" && !cfg!(target_os = "linux") {
            continue;
        }
        for args in [
            &format!("{url} -o -")[..],
            &format!("{url} -o /dev/stdout"),
            &format!("{url} --progress json --if-exists overwrite"),
            &format!("{url} --dry-run"),
            &format!("plan {url}"),
            "verify SHA256SUMS",
            "--help",
            "--version",
            "plan --help",
            "config",
            "completions bash",
            "man",
        ] {
            let out = bash(&place, &format!("\"$downhaul\" {args} {redirection}"));
            let error = if redirection == ">/dev/full" { "No space left" } else { "Bad file descriptor" };
            assert_eq!(out.status, 5, "{args} {redirection}: {}", out.stderr);
            assert!(out.stderr.contains(error), "{args} {redirection}: {}", out.stderr);
        }
    }
    // A run whose result is a file does not need standard output, and bytes may be discarded on purpose.
    for rest in [">&-", "-o - >/dev/null", "-o - 1<>/dev/null"] {
        let out = bash(&place, &format!("\"$downhaul\" {url} --if-exists overwrite {rest}"));
        assert_eq!(out.status, 0, "{rest}: {}", out.stderr);
    }
}

#[test]
fn a_pipe_gets_the_bytes_in_order_over_several_connections_and_then_its_end() {
    let server = Server::start();
    for sin in ["well_behaved", "truncated_body", "checksum"] {
        let place = Place::new();
        let path = place.make_pipe("pipe");
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            File::open(path).and_then(|mut pipe| pipe.read_to_end(&mut bytes)).expect("reads");
            bytes
        });
        let out = place.run(&[&server.url(&format!("{sin}/{SIZE}/f")), "-o", "pipe", "-x", "4"]);
        assert!(out.status == 0 && out.stderr.contains(" ./pipe "), "{sin}: {}", out.stderr);
        assert!(reader.join().expect("reads") == content("f", SIZE), "{sin}");
        assert_eq!(place.files(), ["pipe"], "there is no other file");
    }
}

#[test]
fn a_pipe_without_a_reader_waits_for_one_and_for_ctrl_c() {
    let server = Server::start();
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    let place = Place::new();
    let path = place.make_pipe("pipe");
    let child = place.start(&[&url, "-o", "pipe"]);
    thread::sleep(Duration::from_millis(500));
    let late = thread::spawn(move || {
        let mut bytes = Vec::new();
        File::open(path).and_then(|mut pipe| pipe.read_to_end(&mut bytes)).expect("reads");
        bytes
    });
    assert_eq!(finish(child).status, 0);
    assert!(late.join().expect("reads") == content("f", SIZE));

    // There is no reader, or there is a reader that reads no bytes.
    for reads_nothing in [false, true] {
        let place = Place::new();
        let path = place.make_pipe("pipe");
        let child = place.start(&[&url, "-o", "pipe"]);
        let silent = reads_nothing.then(|| File::open(&path).expect("opens"));
        thread::sleep(Duration::from_millis(500));
        let start = Instant::now();
        send(Signal::INT, &child);
        let out = finish(child);
        assert_eq!(out.status, 130, "{}", out.stderr);
        assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
        drop(silent);
    }
}

#[test]
fn a_pipe_whose_reader_goes_away_ends_the_run_quietly() {
    let server = Server::start();
    let place = Place::new();
    let path = place.make_pipe("pipe");
    let reader = thread::spawn(move || {
        let mut some = [0; 1000];
        File::open(path).and_then(|mut pipe| pipe.read_exact(&mut some)).expect("reads");
    });
    let out = place.run(&[&server.url(&format!("slow/{SIZE}/f?rate=3000000")), "-o", "pipe"]);
    assert_eq!((out.status, out.stderr.as_str()), (1, ""), "nothing is printed");
    reader.join().expect("reads");
}

#[test]
fn descriptors_that_a_shell_opened_are_written_to() {
    let server = Server::start();
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    let whole = content("f", SIZE);
    let place = Place::new();
    let get = format!("\"$downhaul\" {url} -q --log none -o");
    if !is_installed("bash") {
        return;
    }
    let out = bash(&place, &format!("{get} >(sha256sum > sum); status=$?; sleep 0.5; exit $status"));
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.file("sum").as_deref(), Some(format!("{}  -\n", sha256(&whole)).as_bytes()));
    // With `>>` the shell appends to the file.
    place.write("there", "before ");
    for (script, name, before) in [
        (format!("{get} /dev/stdout > out"), "out", ""),
        (format!("{get} /dev/fd/3 3> three"), "three", ""),
        (format!("{get} /dev/fd/3 3>> there"), "there", "before "),
    ] {
        let out = bash(&place, &script);
        assert_eq!(out.status, 0, "{script}: {}", out.stderr);
        assert!(place.file(name).is_some_and(|got| got == [before.as_bytes(), &whole].concat()), "{script}");
    }
    let out = place.run(&[&url, "-o", "/dev/stdout"]);
    assert!(out.status == 0 && out.stdout == whole, "{}", out.stderr);
    let out = place.run(&[&url, "-o", "/dev/stdout", "--progress", "json"]);
    assert_eq!(out.status, 2, "both want standard output: {}", out.stderr);
}

#[test]
fn a_block_device_is_refused() {
    let server = Server::start();
    let place = Place::new();
    // The device has the number 0. If the program opened it by mistake, nothing would happen.
    let made = Command::new("mknod").arg(place.path().join("disk")).args(["b", "0", "0"]).status();
    if !made.is_ok_and(|status| status.success()) {
        return crate::common::note("only root may make a device");
    }
    let out = place.run(&[&server.url("well_behaved/1000/f"), "-o", "disk"]);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("its content would be lost"), "{}", out.stderr);
}

#[test]
fn a_pipe_or_a_folder_with_the_name_of_the_file_is_not_changed() {
    let server = Server::start();
    let place = Place::new();
    place.make_pipe("pipe");
    let url = server.url("well_behaved/1000/f");
    // A name in the argument FILENAMES is always the name of a regular file.
    let out = place.run(&[&url, "pipe"]);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("a pipe or a device is where the file should be"), "{}", out.stderr);
    assert_eq!(place.files(), ["pipe"]);
    // Regular files and links to them are not written in order.
    place.write("old", "old");
    let out = place.run(&[&url, "-o", "old", "--if-exists", "overwrite"]);
    place.assert_exact(&out, "old", &content("f", 1000));
    std::os::unix::fs::symlink("old", place.path().join("link")).expect("links");
    let out = place.run(&[&url, "-o", "link", "--if-exists", "overwrite"]);
    place.assert_exact(&out, "link", &content("f", 1000));
}
