//! Files that count as downloaded are on the disk: after a power failure, or if a tar or a WARC is damaged,
//! no file is lost because an archive or a shard says that it was downloaded.

use crate::common::{Place, is_installed};
use crate::tars::{assert_exact, list, small};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use std::fs;

const TARS: [&str; 6] = ["-i", "list", "-d", "out", "--to-tar", "set-{shard:03}.tar"];
const WARCS: [&str; 6] = ["-i", "list", "-d", "out", "--to-warc", "set-{number:03}.warc.gz"];
const ARCHIVE: [&str; 4] = ["--archive", "done.db", "--record", "all.lock"];

/// Asserts that a run without an archive sends no request, which shows that the containers have all files.
/// Returns the number of lines that the run prints.
#[track_caller]
fn count(place: &Place, server: &Server, to: &[&str]) -> usize {
    let before = server.requests().len();
    let out = place.run(to);
    assert_eq!((out.status, server.requests().len()), (0, before), "files are missing: {}", out.stderr);
    out.stderr.lines().count()
}

#[test]
fn files_that_a_damaged_container_lost_are_downloaded_again_also_if_the_archive_has_them() {
    for to in [TARS, WARCS] {
        let (server, place) = (Server::start(), Place::new());
        let files: Vec<_> = (0..8).map(|n| (format!("f{n}.bin"), content(&n.to_string(), 2000))).collect();
        list(&place, &server, &files);
        let args = [&to[..], &ARCHIVE].concat();
        let name = format!("out/{}", to[5].replace("{shard:03}", "000").replace("{number:03}", "000"));
        let part = format!("{name}.part");
        // With a length of 1100, the container ends within its first file. With a length of 1100 or 0, the
        // container has no complete file.
        for length in [9000, 1100, 0] {
            let out = place.run(&args);
            assert_eq!(out.status, 0, "{}", out.stderr);
            let bytes = place.file(&name).expect("a container");
            fs::remove_file(place.path().join(&name)).expect("removed");
            place.write(&part, &bytes[..length]);
            let before = server.requests().len();
            let out = place.run(&args);
            assert_eq!(out.status, 0, "{length}: {}", out.stderr);
            assert!(server.requests().len() > before, "{name}, {length}: nothing was downloaded again");
            count(&place, &server, &to);
            if to == TARS {
                assert_exact(&place, &files, &out);
            }
        }
        // The files in a container that was moved away still count as downloaded.
        fs::rename(place.path().join(&name), place.path().join("moved")).expect("renamed");
        let before = server.requests().len();
        let out = place.run(&args);
        assert_eq!((out.status, server.requests().len()), (0, before), "{}", out.stderr);
    }
}

#[test]
fn files_in_containers_that_were_moved_away_are_not_downloaded_again_after_new_files_were_added() {
    for to in [TARS, WARCS] {
        let (server, place) = (Server::start(), Place::new());
        let files = small(8);
        let args = [&to[..], &ARCHIVE].concat();
        let name = |number: &str| {
            format!("out/{}", to[5].replace("{shard:03}", number).replace("{number:03}", number))
        };
        // Each day, two files are downloaded, and then their container is moved away. On the second day, the
        // list has no file that was downloaded before, and on the third day, the new files come first.
        let mut all = files[..6].to_vec();
        all.reverse();
        for (day, listed) in [(1, &files[..2]), (2, &files[2..4]), (3, &all[..])] {
            list(&place, &server, listed);
            let out = place.run(&args);
            assert_eq!((out.status, server.requests().len()), (0, 2 * day), "{day}: {}", out.stderr);
            let path = place.path().join(name(&format!("00{}", day - 1)));
            fs::rename(path, place.path().join(format!("moved{day}"))).expect("the number is a new one");
        }
        // The containers of the last day stay.
        list(&place, &server, &files);
        for _ in 0..2 {
            let out = place.run(&args);
            assert_eq!((out.status, server.requests().len()), (0, 8), "{}", out.stderr);
            assert!(place.file(&name("003")).is_some(), "{:?}", place.files());
        }
    }
}

#[test]
fn files_that_were_lost_stay_to_be_downloaded_if_their_download_fails() {
    let (server, place) = (Server::start(), Place::new());
    let files = small(3);
    list(&place, &server, &files);
    let args = [&TARS[..], &ARCHIVE].concat();
    assert_eq!(place.run(&args).status, 0);
    let name = "out/set-000.tar";
    let bytes = place.file(name).expect("a tar");
    fs::remove_file(place.path().join(name)).expect("removed");
    place.write("out/set-000.tar.part", &bytes[..600]);
    for (file, _) in &files {
        server.becomes(file, "d/missing");
    }
    assert_eq!(place.run(&args).status, 1);
    for (file, _) in &files {
        server.becomes(file, file);
    }
    let out = place.run(&args);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &files, &out);
}

/// Runs downhaul, and returns the calls that forced something to the disk or renamed a file, in order.
/// Returns `None` if strace is not installed.
#[track_caller]
fn forced(place: &Place, args: &[&str]) -> Option<String> {
    if !is_installed("strace") {
        return None;
    }
    let program = place.command(&[]);
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=fsync,fdatasync,syncfs,renameat2,rename", "-o", "trace"]);
    command.arg(program.get_program()).args(args);
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let out = command.current_dir(place.path()).output().expect("strace");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8(place.file("trace").expect("a trace")).expect("UTF-8"))
}

/// Asserts that the last call with each text of `first` comes before the last call with the text `last`.
#[track_caller]
fn assert_before(trace: &str, first: &[String], last: &str) {
    let lines: Vec<&str> = trace.lines().collect();
    let at = |text: &str| lines.iter().rposition(|line| line.contains(text));
    let end = at(last).unwrap_or_else(|| panic!("{last} was not forced: {trace}"));
    for one in first {
        assert!(at(one).is_some_and(|at| at < end), "{one} was not forced before {last}: {trace}");
    }
}

#[test]
fn files_are_on_the_disk_before_the_archive_has_them() {
    let (server, place) = (Server::start(), Place::new());
    let out = place.path().join("out").display().to_string();
    let few = small(5);
    list(&place, &server, &few);
    let plain = ["-i", "list", "-d", "out", "--archive", "done.db"];
    let Some(trace) = forced(&place, &plain) else { return };
    let mut first: Vec<String> = few.iter().map(|(name, _)| format!("{out}/{name}>")).collect();
    first.push(format!("<{out}>"));
    assert_before(&trace, &first, "/done.db>");
    // If there are many files, the whole file system is forced.
    let clear = || {
        fs::remove_dir_all(place.path().join("out")).expect("removed");
        let _ = fs::remove_file(place.path().join("done.db"));
    };
    clear();
    list(&place, &server, &small(200));
    let trace = forced(&place, &plain).expect("a trace");
    assert_before(&trace, &["syncfs(".into()], "/done.db>");
    clear();
    let trace = forced(&place, &[&plain[..], &["--sync", "never"]].concat()).expect("a trace");
    assert!(!trace.contains("syncfs(") && !trace.contains(&format!("<{out}>")), "{trace}");
    // The last container is forced anyway when it becomes complete, so the list has a slow file. While this
    // file arrives, the container is not complete yet.
    for (to, part) in [(TARS, "set-000.tar.part>"), (WARCS, "set-000.warc.gz.part>")] {
        clear();
        list(&place, &server, &few);
        let slow = server.url("capped/400000/slow.bin?rate=100000");
        let names = String::from_utf8(place.file("list").expect("a list")).expect("UTF-8");
        place.write("list", format!("{names}\n{slow}"));
        let trace = forced(&place, &[&to[..], &["--archive", "done.db"]].concat()).expect("a trace");
        let lines: Vec<&str> = trace.lines().collect();
        let archived: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains("/done.db>")).collect();
        let rename = lines.iter().position(|line| line.contains("rename") && line.contains(".part"));
        let before = |at: &usize| rename.is_none_or(|rename| *at < rename);
        let last = archived.into_iter().rfind(before).expect("the archive was written");
        let text = lines[..=last].join("\n");
        assert_before(&text, &[format!("{out}/{part}"), format!("<{out}>")], "/done.db>");
    }
}

#[test]
fn files_are_on_the_disk_before_their_shard_is_done() {
    for to in [&TARS[..4], &TARS[..]] {
        let (server, place) = (Server::start(), Place::new());
        list(&place, &server, &small(20));
        let Some(trace) = forced(&place, &[to, &["--shard", "1/2"]].concat()) else { return };
        assert_before(&trace, &["syncfs(".into()], "1.json");
    }
}

#[test]
fn a_shard_whose_tar_was_cut_is_not_done() {
    let (server, place) = (Server::start(), Place::new());
    let files = small(40);
    list(&place, &server, &files);
    let shards = ["1/2", "2/2"];
    let run = |shard: &str| place.run(&[&TARS[..], &["--shard", shard]].concat());
    shards.iter().for_each(|shard| assert_eq!(run(shard).status, 0));
    for cut in ["out/set-000.tar", "out/set-001.tar"] {
        let bytes = place.file(cut).expect("a tar");
        fs::remove_file(place.path().join(cut)).expect("removed");
        place.write(&format!("{cut}.part"), &bytes[..5000]);
        // The run of the other shard completes the tar that was cut.
        for shard in ["2/2", "1/2"] {
            let out = run(shard);
            assert_eq!(out.status, 0, "{}", out.stderr);
        }
        count(&place, &server, &TARS);
    }
}
