//! Tests of full disks and of limits. The error names the path, the partial file can be resumed, and the
//! other files continue.

use crate::common::{Out, Place, events, finish, note};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use std::process::{Command, Stdio};

/// A small file system. It is unmounted when this value is dropped. [`SmallDisk::new`] returns `None` if
/// mounting is not allowed.
pub struct SmallDisk {
    pub place: Place,
}

impl SmallDisk {
    pub fn new(megabytes: u32) -> Option<SmallDisk> {
        let disk = SmallDisk { place: Place::new() };
        std::fs::create_dir(disk.place.path().join("out")).expect("a folder");
        let mounted = disk.mount(&format!("size={megabytes}m"));
        if !mounted {
            note("no file system can be mounted here: this test did nothing");
        }
        mounted.then_some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "downhaul-test"]).arg(self.place.path().join("out"));
        mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.place.path().join("out")).stderr(Stdio::null()).status();
    }
}

/// Runs the program under a limit (`ulimit`).
fn limited(place: &Place, limit: &str, args: &[&str]) -> Out {
    let script = format!("ulimit {limit}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_downhaul")]).args(args).current_dir(place.path());
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().expect("the program starts"))
}

#[test]
fn a_full_disk_fails_before_the_first_byte_if_the_size_is_known() {
    let Some(disk) = SmallDisk::new(6) else { return };
    let server = Server::start();
    let urls = [server.url("capped/8000000/big?rate=8000000"), server.url("well_behaved/100000/small")];
    let out = disk.place.run(&[&urls[0], &urls[1], "-d", "out"]);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(
        out.stderr.contains("the disk is full") && out.stderr.contains("7.63 MiB are needed"),
        "{}",
        out.stderr
    );
    assert_eq!(disk.place.file("out/small"), Some(content("small", 100_000)), "the other file is complete");
    assert_eq!(disk.place.files(), ["out/small"]);
}

#[test]
fn a_full_disk_for_the_record_leaves_whole_lines_and_the_downloads_go_on() {
    let Some(disk) = SmallDisk::new(1) else { return };
    let (place, server) = (&disk.place, Server::start());
    let urls = (0..300).map(|n| server.put(&format!("/d/f{n}"), format!("content {n}")));
    place.write("list", urls.collect::<Vec<_>>().join("\n"));
    place.write("out/filler", vec![0; (1 << 20) - (16 << 10)]);
    let out = place.run(&["-i", "list", "-d", "files", "--record", "out/set.lock"]);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("the lock file out/set.lock cannot be written"), "{}", out.stderr);
    assert_eq!(place.files().iter().filter(|name| name.starts_with("files/")).count(), 300);
    let record = String::from_utf8(place.file("out/set.lock").expect("a record")).expect("UTF-8");
    let is_whole = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(record.ends_with('\n') && record.lines().all(is_whole), "{record}");
    // When the disk has room again, the same command with `--if-exists overwrite` completes the lock file.
    std::fs::remove_file(place.path().join("out/filler")).expect("removed");
    let out =
        place.run(&["-i", "list", "-d", "files", "--record", "out/set.lock", "--if-exists", "overwrite"]);
    let record = String::from_utf8(place.file("out/set.lock").expect("a record")).expect("UTF-8");
    assert_eq!((out.status, record.lines().count()), (0, 300), "{}", out.stderr);
}

#[test]
fn the_free_space_is_checked_for_all_running_files_together() {
    let Some(disk) = SmallDisk::new(12) else { return };
    let server = Server::start();
    let url = |name: &str| server.url(&format!("capped/8000000/{name}?rate=4000000"));
    let out = disk.place.run(&[&url("one"), &url("two"), "-d", "out"]);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("for this file and the other unfinished files"), "{}", out.stderr);
    assert_eq!(disk.place.files().len(), 1, "one of them fits: {:?}", disk.place.files());
}

#[test]
fn a_disk_that_becomes_full_leaves_a_partial_file_to_resume() {
    let Some(disk) = SmallDisk::new(5) else { return };
    let server = Server::start();
    // The response does not state the size, so the disk becomes full in the middle of the file.
    let url = server.url("grows/8000000/big");
    let small = server.url("well_behaved/1000/small");
    let out = disk.place.run(&[&url, &small, "-d", "out", "--progress", "json"]);
    assert_eq!(out.status, 5, "{}", out.stderr);
    let failed = events(&out).into_iter().find(|event| event["kind"] == "failed").expect("failed");
    assert_eq!(failed["error"]["code"], "disk.full");
    assert!(
        failed["error"]["at"].as_str().is_some_and(|at| at.contains("big")),
        "it names the place: {failed}"
    );
    assert_eq!(disk.place.file("out/small"), Some(content("small", 1000)));
    assert_eq!(disk.place.files(), ["out/big.part", "out/big.part.journal", "out/small"]);
    assert!(disk.mount("remount,size=40m"));
    let out = disk.place.run(&[&url, "-d", "out", "--progress", "json"]);
    disk.place.assert_exact(&out, "out/big", &content("big", 8_000_000));
    let resumed = events(&out).into_iter().find(|event| event["kind"] == "resumed").expect("resumed");
    assert!(resumed["bytes"].as_u64().is_some_and(|bytes| bytes > 2_000_000), "{resumed}");
}

#[test]
fn a_file_beyond_the_size_limit_fails_and_the_others_continue() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("capped/8000000/file?rate=8000000");
    let small = server.url("well_behaved/1000/small");
    // The shell counts in blocks of 512 or 1024 bytes, so the limit is 2 or 4 MB.
    let out = limited(&place, "-f 4000", &[&url, &small]);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("larger than this disk or a limit"), "{}", out.stderr);
    assert_eq!(place.file("small"), Some(content("small", 1000)), "the other file is complete");
    let out = place.run(&[&url]);
    place.assert_exact(&out, "file", &content("file", 8_000_000));
    assert_eq!(place.files(), ["file", "small"]);
}

#[test]
fn with_few_file_descriptors_there_are_few_connections_or_a_clear_error() {
    let server = Server::start();
    let urls: Vec<String> = (0..30).map(|n| server.url(&format!("slow/20000/{n}?rate=100000"))).collect();
    let args: Vec<&str> = urls.iter().map(String::as_str).chain(["-j", "30"]).collect();
    // With few descriptors, connections use at most a quarter of them, and all files are downloaded.
    let place = Place::new();
    let out = limited(&place, "-n 40", &args);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.files().len(), 30);
    assert!(server.most_open() <= 11, "{} connections", server.most_open());
    // With too few descriptors, the run reports it, and no wrong file is left.
    let place = Place::new();
    let out = limited(&place, "-n 10", &args);
    assert_ne!(out.status, 0, "{}", out.stderr);
    assert!(out.stderr.to_lowercase().contains("too many open files"), "{}", out.stderr);
    for name in place.files() {
        assert_eq!(place.file(&name), Some(content(&name, 20_000)), "{name}");
    }
}

#[test]
fn a_removed_partial_file_is_not_called_a_failed_disk() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("capped/3000000/f?rate=1000000");
    let run = place.start(&[&url, "-x", "1", "-d", "out"]);
    place.wait_for_bytes("out/f.part", 300_000);
    std::fs::remove_file(place.path().join("out/f.part")).expect("removed");
    let removed = finish(run);
    assert_eq!(removed.status, 5, "{}", removed.stderr);
    let says = "could not be read or written: another program changed, moved or removed";
    assert!(removed.stderr.contains(says), "{}", removed.stderr);
    assert!(removed.stderr.contains("let no other program change the files of a run"), "{}", removed.stderr);
    let unusable = place.run(&[&url, "-d", "/proc/no-such-folder"]);
    assert!(unusable.status == 5 && unusable.stderr.contains("No such file"), "{}", unusable.stderr);
    assert!(unusable.stderr.contains("choose another folder with -d"), "{}", unusable.stderr);
}
