//! `--to-tar`: what is already there when a run starts. It may be the tars of runs that were killed or had
//! other shards, files of other programs, or files with other times. No file is lost, changed or stored
//! twice.

use crate::common::{Place, events, finish, wait_until};
use crate::tars::{TO_TAR, assert_exact, assert_tidy, list, members, small};
use downhaul_engine::core::name::{side_files, tagged_side_files};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Returns the tar of another program. It has these members, and no end.
fn tar_of_another_program(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, name, *bytes).expect("a member");
    }
    let mut bytes = tar.into_inner().expect("a tar");
    bytes.truncate(bytes.len() - 1024);
    bytes
}

#[test]
fn unfinished_tars_of_other_programs_are_refused_and_not_changed() {
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, &small(3));
    let photo = [1; 5000];
    let described = [("a.jpg", &photo[..]), ("a.json", &b"{\"caption\":\"a cat\"}"[..])];
    for bytes in [
        tar_of_another_program(&[("a.jpg", &photo)]),
        tar_of_another_program(&[("a.jpg", &photo), ("b.jpg", &photo)]),
        tar_of_another_program(&described),
        tar_of_another_program(&[("a.jpg", &photo)])[..3000].to_vec(),
        tar_of_another_program(&[("a.jpg", &photo)])[..300].to_vec(),
        [vec![0; 4096], b"data of another program".to_vec()].concat(),
    ] {
        place.write("out/set-000.tar.part", &bytes);
        let out = place.run(&TO_TAR);
        assert_eq!(out.status, 5, "{}", out.stderr);
        assert!(out.stderr.contains("the file is not a tar that downhaul wrote"), "{}", out.stderr);
        assert!(place.file("out/set-000.tar.part") == Some(bytes), "the file was changed");
    }
    fs::remove_file(place.path().join("out/set-000.tar.part")).expect("removed");
    // With a complete tar whose descriptions are not those of downhaul, the run fails.
    let complete = [tar_of_another_program(&described), vec![0; 1024]].concat();
    place.write("out/set-000.tar", &complete);
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert_eq!((place.file("out/set-000.tar"), server.requests().len()), (Some(complete), 0));
}

#[test]
fn a_complete_tar_that_was_cut_is_continued_after_it_was_renamed() {
    let (server, place) = (Server::start(), Place::new());
    let files = small(4);
    list(&place, &server, &files);
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let whole = place.file("out/set-000.tar").expect("a tar");
    for length in [0, 3000, whole.len() - 1] {
        place.write("out/set-000.tar", &whole[..length]);
        let out = place.run(&TO_TAR);
        assert_eq!(out.status, 5, "{length}: {}", out.stderr);
        assert!(out.stderr.contains("rename it to set-000.tar.part"), "{length}: {}", out.stderr);
        assert!(out.stderr.contains("everything after them is removed"), "{length}: {}", out.stderr);
        assert!(!out.stderr.contains("could not be read or written"), "{}", out.stderr);
    }
    place.write("out/set-000.tar", &whole[..3000]);
    let path = place.path().join("out/set-000.tar");
    fs::rename(&path, path.with_extension("tar.part")).expect("renamed");
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &files, &out);
}

#[test]
fn a_beginning_of_zeros_does_not_stop_the_runs() {
    let (server, place) = (Server::start(), Place::new());
    let files: Vec<_> = (0..10).map(|n| (format!("f{n}.bin"), content(&n.to_string(), 100_000))).collect();
    list(&place, &server, &files);
    let part = "out/set-000.tar.part";
    // After a power failure, a file may have its length and none of its bytes.
    place.write(part, vec![0; 700_000]);
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &files, &out);
    fs::remove_dir_all(place.path().join("out")).expect("removed");
    // It is also possible that only its first bytes are lost.
    assert_eq!(place.run(&[&TO_TAR[..], &["--max-total", "550k", "-j", "1"]].concat()).status, 75);
    let mut bytes = place.file(part).expect("an unfinished tar");
    bytes[..8192].fill(0);
    place.write(part, bytes);
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &files, &out);
}

/// Returns files of which several would have the same key in a tar.
fn with_equal_keys() -> Vec<(String, Vec<u8>)> {
    let names = (0..30).flat_map(|n| [format!("a{n}.jpg"), format!("a{n}.txt"), format!("a{n}.png")]);
    names.map(|name| (name.clone(), content(&name, 300))).collect()
}

#[test]
fn the_keys_of_all_shards_are_different_and_a_run_without_shards_finds_all_files() {
    let (server, place) = (Server::start(), Place::new());
    let files = with_equal_keys();
    list(&place, &server, &files);
    let run = |shard: &str| place.start(&[&TO_TAR[..], &["--tar-count", "7", "--shard", shard]].concat());
    let runs = ["1/3", "2/3", "3/3"].map(run);
    for child in runs {
        let out = finish(child);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    // `members` fails if a name occurs twice.
    let all = members(&place);
    assert_eq!(all.len(), 2 * files.len());
    let requests = server.requests().len();
    let out = place.run(&TO_TAR);
    assert_eq!((out.status, server.requests().len()), (0, requests), "{}", out.stderr);
    assert_eq!(members(&place), all);
    assert_tidy_but_for_shards(&place);
}

fn assert_tidy_but_for_shards(place: &Place) {
    let left: Vec<String> =
        place.files().into_iter().filter(|name| !name.contains(".downhaul-shards")).collect();
    assert!(left.iter().all(|name| name.ends_with(".tar") || name == "list"), "{left:?}");
}

#[test]
fn a_file_is_found_if_the_file_whose_key_it_could_not_have_is_gone() {
    let (server, place) = (Server::start(), Place::new());
    let files: Vec<_> = ["a.jpg", "a.txt"].map(|name| (name.to_string(), content(name, 300))).into();
    list(&place, &server, &files);
    let args = [&TO_TAR[..], &["--tar-count", "1", "-j", "1"]].concat();
    assert_eq!(place.run(&args).status, 0);
    fs::remove_file(place.path().join("out/set-000.tar")).expect("removed");
    list(&place, &server, &[files[1].clone(), files[0].clone()]);
    let out = place.run(&args);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!((server.requests_for("a.jpg").len(), server.requests_for("a.txt").len()), (2, 1));
    assert_eq!(members(&place).len(), 4);
}

#[test]
fn runs_with_other_shards_or_without_any_never_write_one_set_at_once() {
    let (server, place) = (Server::start(), Place::new());
    let urls: Vec<String> =
        (0..6).map(|n| server.url(&format!("capped/400000/f{n}.bin?rate=200000"))).collect();
    place.write("list", urls.join("\n"));
    let with = |more: &[&'static str]| [&TO_TAR[..], more].concat();
    for (first, second) in [
        (&[][..], &["--shard", "1/2"][..]),
        (&["--shard", "1/2"], &[]),
        (&["--shard", "1/2"], &["--shard", "2/3"]),
    ] {
        let before = server.requests().len();
        let mut running = place.start(&with(first));
        wait_until("the first run writes", || server.requests().len() > before);
        let out = place.run(&with(second));
        assert!(out.status == 1 && out.stderr.contains("another"), "{second:?}: {}", out.stderr);
        running.kill().expect("killed");
        finish(running);
    }
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let files: Vec<_> =
        (0..6).map(|n| format!("f{n}.bin")).map(|name| (name.clone(), content(&name, 400_000))).collect();
    assert_exact(&place, &files, &out);
}

#[test]
fn what_is_in_an_unfinished_tar_is_kept_if_the_shards_change() {
    let (server, place) = (Server::start(), Place::new());
    let files = small(60);
    list(&place, &server, &files);
    let run = |more: &[&str]| place.run(&[&TO_TAR[..], &["-j", "1"], more].concat());
    let some = ["--max-total", "10k"];
    assert_eq!(run(&some).status, 75);
    for shard in ["1/3", "2/3", "3/3"] {
        // The shards depend on the port of the server. None of them is complete after one file.
        assert_eq!(run(&["--max-total", "1", "--shard", shard]).status, 75);
    }
    for shard in ["1/2", "2/2"] {
        let out = run(&["--shard", shard]);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    let out = run(&[]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact_in_shards(&place, &files);
    assert_eq!(server.requests().len(), files.len(), "each file was requested once");
}

/// Asserts that the tars have exactly these files. Their keys have hashes.
#[track_caller]
fn assert_exact_in_shards(place: &Place, files: &[(String, Vec<u8>)]) {
    let all = members(place);
    let mut there = Vec::new();
    for (_, bytes) in all.iter().filter(|(name, _)| name.ends_with(".json")) {
        let described: Value = serde_json::from_slice(bytes).expect("JSON");
        let member =
            described["path"].as_str().and_then(|path| path.split_once(".tar/")).expect("a member").1;
        there.push((described["out"].as_str().expect("a name").to_string(), all[member].clone()));
    }
    there.sort();
    let mut files = files.to_vec();
    files.sort();
    assert!(there == files, "{} of {} files", there.len(), files.len());
}

#[test]
fn a_kill_between_both_steps_of_a_renaming_is_repaired() {
    let (server, place) = (Server::start(), Place::new());
    let files = small(5);
    list(&place, &server, &files);
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    // Without renameat2, a tar gets its name by a link, and then its first name is removed.
    let path = |name: &str| place.path().join(name);
    fs::hard_link(path("out/set-000.tar"), path("out/set-000.tar.part")).expect("a link");
    let requests = server.requests().len();
    let out = place.run(&TO_TAR);
    assert_eq!((out.status, server.requests().len()), (0, requests), "{}", out.stderr);
    assert_exact(&place, &files, &out);
    assert_tidy(&place);
}

#[test]
fn without_a_record_or_a_time_a_file_is_compared_with_the_servers_as_other_files_are() {
    for options in [&["--no-xattr"][..], &["--no-mtime"], &["--no-xattr", "--no-mtime"]] {
        let (server, place) = (Server::start(), Place::new());
        place.write("list", server.url("well_behaved/1000/f.bin"));
        let args = [&TO_TAR[..], options].concat();
        for _ in 0..2 {
            let out = place.run(&args);
            assert_eq!(out.status, 0, "{options:?}: {}", out.stderr);
        }
        let asks = options.contains(&"--no-xattr");
        assert_eq!(server.requests().len(), if asks { 2 } else { 1 }, "{options:?}");
        assert_exact(&place, &[("f.bin".into(), content("f.bin", 1000))], &place.run(&args));
        // A file of another size is another file.
        server.becomes("well_behaved/1000/f.bin", "well_behaved/1200/f.bin");
        let out = place.run(&args);
        assert_eq!(out.status, i32::from(asks), "{options:?}: {}", out.stderr);
    }
}

#[test]
fn a_newly_signed_link_is_the_same_file_also_without_the_servers_time() {
    for options in [&[][..], &["--no-mtime"]] {
        let (server, place) = (Server::start(), Place::new());
        let args = [&TO_TAR[..], options].concat();
        for signature in 0..2 {
            let path = format!("well_behaved/1000/f.bin?X-Amz-Date={signature}&X-Amz-Signature={signature}");
            place.write("list", server.url(&path));
            let out = place.run(&args);
            assert_eq!(out.status, 0, "{options:?}: {}", out.stderr);
        }
    }
}

#[test]
fn records_and_archives_name_a_member_by_the_name_of_its_file() {
    let (server, place) = (Server::start(), Place::new());
    let (given, plain) =
        (server.put("/given", content("a", 300)), server.put("/plain.bin", content("b", 300)));
    let lines = [json!({"url": given, "out": "d/a.v2.bin"}), json!({"url": plain})];
    place.write("list", lines.map(|line| line.to_string()).join("\n"));
    let args =
        [&TO_TAR[..], &["--archive", "archive.db", "--record", "all.jsonl", "--progress", "json"]].concat();
    for (run, status) in ["finished", "skipped"].into_iter().enumerate() {
        if run == 1 {
            fs::remove_file(place.path().join("all.jsonl")).expect("removed");
        }
        let out = place.run(&args);
        assert_eq!(out.status, 0, "{}", out.stderr);
        let record = place.file("all.jsonl").expect("a record");
        let record = String::from_utf8(record).expect("UTF-8");
        for (line, (name, member)) in
            record.lines().zip([("d/a.v2.bin", "d/a_v2.bin"), ("plain.bin", "plain.bin")])
        {
            let line: Value = serde_json::from_str(line).expect("a line");
            assert_eq!((&line["status"], &line["out"]), (&json!(status), &json!(name)), "{line}");
            let path = format!("out/set-000.tar/{member}");
            assert!(line["path"].as_str().is_some_and(|at| at.ends_with(&path)), "{line}");
        }
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_resumed_run_leaves_one_line_for_each_file_in_the_lock_file() {
    for more in [&[][..], &["--archive", "archive.db"]] {
        let (server, place) = (Server::start(), Place::new());
        // The names of these members differ from the names of the files.
        let files = ["v1.0/a.txt", "v1.0/x.json", "v1.0/noextension", "v1.0/a.png"];
        list(&place, &server, &files.map(|name| (name.to_string(), content(name, 300))));
        let args = [&TO_TAR[..], &["--folders", "1", "--record", "all.jsonl"], more].concat();
        let out = place.run(&[&args[..], &["-j", "1", "--max-total", "600"]].concat());
        assert_eq!(out.status, 75, "{}", out.stderr);
        for _ in 0..2 {
            let out = place.run(&args);
            assert_eq!(out.status, 0, "{}", out.stderr);
            let record = String::from_utf8(place.file("all.jsonl").expect("a record")).expect("UTF-8");
            let lines: Vec<Value> =
                record.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
            let names: Vec<_> = lines.iter().map(|line| line["out"].as_str().expect("a name")).collect();
            assert_eq!(names, files, "{record}");
            assert!(lines.iter().all(|line| line["sha256"].is_string()), "{record}");
        }
    }
}

#[test]
fn advice_names_only_options_that_go_with_tars() {
    let (server, place) = (Server::start(), Place::new());
    place.write("list", server.url("well_behaved/1000/f.bin"));
    assert_eq!(place.run(&TO_TAR).status, 0);
    let out = place.run(&[&TO_TAR[..], &["--if-exists", "error"]].concat());
    assert_eq!(out.status, 1, "{}", out.stderr);
    for refused in ["-c ", "overwrite", "rename"] {
        assert!(!out.stderr.contains(refused), "{refused}: {}", out.stderr);
    }
    assert!(out.stderr.contains("--if-exists skip"), "{}", out.stderr);
    let out = place.run(&[&TO_TAR[..], &["--progress", "json"]].concat());
    let skipped = events(&out).into_iter().find(|event| event["kind"] == "skipped").expect("a skipped file");
    assert!(!skipped.to_string().contains("--if-exists update"), "{skipped}");
    // The file in the tar does not have this digest.
    place.write(
        "list",
        json!({"url": server.url("well_behaved/1000/f.bin"), "sha256": "ab".repeat(32)}).to_string(),
    );
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(!out.stderr.contains("overwrite"), "{}", out.stderr);
}

#[test]
fn sync_always_forces_the_name_of_a_new_tar_to_the_disk() {
    if !crate::common::is_installed("strace") {
        return;
    }
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, &small(3));
    let program = place.command(&[]);
    let folder = place.path().join("out");
    for (sync, is_forced) in [("always", true), ("auto", false)] {
        let mut command = std::process::Command::new("strace");
        command.args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-o", "trace"]).arg(program.get_program());
        command.args([&TO_TAR[..], &["--max-total", "1", "--sync", sync]].concat());
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let status = command.current_dir(place.path()).output().expect("strace").status;
        assert!(matches!(status.code(), Some(0 | 75)), "{status}");
        let trace = String::from_utf8(place.file("trace").expect("a trace")).expect("UTF-8");
        // The name is followed by `)`, or by `<unfinished ...>` if another thread calls at the same time.
        let forced = format!("<{}>", folder.display());
        assert_eq!(trace.contains(&forced), is_forced, "{sync}: {trace}");
        fs::remove_dir_all(&folder).expect("removed");
    }
}

/// A run may be killed after a file was added to the tar, and before its partial file was removed.
#[test]
fn partial_files_of_a_file_in_the_tar_are_removed_even_if_its_name_is_very_long() {
    let (server, place) = (Server::start(), Place::new());
    let name = format!("{}.bin", "x".repeat(245));
    list(&place, &server, &[(name.clone(), content("x", 1000))]);
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let staged = Path::new("out/.downhaul-tars/set-N.tar/parts").join(name);
    for sides in [side_files(&staged), tagged_side_files(&staged, "0123abcd")] {
        for side in [&sides.part, &sides.journal] {
            place.write(side.to_str().expect("UTF-8"), "bytes of the killed run");
        }
    }
    let out = place.run(&TO_TAR);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_tidy(&place);
}
