//! Tests of `--dedup`: files with the same digest are on the disk only once, and no other file is changed.

use crate::common::{Out, PATIENCE, Place, events, finish, note, wait_until};
use downhaul_testkit::minisign::Signer;
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use serde_json::{Value, json};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SIZE: u64 = 2_000_000;

/// The size of a file without a journal.
const SMALL: u64 = 500_000;

fn meta(place: &Place, name: &str) -> Metadata {
    fs::metadata(place.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}; {:?}", place.files()))
}

fn is_linked(place: &Place, one: &str, other: &str) -> bool {
    meta(place, one).ino() == meta(place, other).ino()
}

/// Writes a list of files with the same bytes. Each has a URL of its own. `known` says which of them have a
/// digest in the list.
fn list(place: &Place, server: &Server, size: u64, known: &[(&str, bool)]) -> Vec<String> {
    let digest = sha256(&content("f", size));
    let line = |(n, (name, known)): (usize, &(&str, bool))| {
        let mut line = json!({"url": server.url(&format!("well_behaved/{size}/f?{n}")), "out": name});
        if *known {
            line["sha256"] = json!(digest);
        }
        line.to_string()
    };
    let lines: Vec<String> = known.iter().enumerate().map(line).collect();
    place.write("list.jsonl", lines.join("\n"));
    lines
}

fn made_from(out: &Out, name: &str) -> Value {
    let of_name = |event: &Value| {
        let is_end = event["kind"] == "finished" || event["kind"] == "skipped";
        is_end && event["path"].as_str().is_some_and(|path| path.ends_with(name))
    };
    let event = events(out).into_iter().find(of_name).unwrap_or_else(|| panic!("{name}: {}", out.stderr));
    event["made_from"]["method"].clone()
}

const RUN: [&str; 6] = ["-i", "list.jsonl", "--progress", "json", "-j", "1"];

#[test]
fn a_file_with_a_name_and_a_digest_in_a_checksum_list_is_not_requested_if_its_bytes_are_there() {
    for size in [3000, SIZE] {
        let (server, place) = (Server::start(), Place::new());
        list(&place, &server, size, &[("a", true), ("b", true)]);
        place.write(
            "sums",
            ["a", "b"].map(|name| format!("{}  {name}\n", sha256(&content("f", size)))).concat(),
        );
        let args = [&RUN[..], &["--dedup", "hardlink", "--checksum-file", "sums", "--verify", "listed"]];
        let out = place.run(&args.concat());
        assert!(out.status == 0 && is_linked(&place, "a", "b"), "{}", out.stderr);
        assert!(server.requests_for("?1").is_empty(), "{size}: the second file is not requested");
    }
}

#[test]
fn hard_links_are_made_before_and_after_a_download_and_are_recognised_later() {
    for size in [3000, SIZE] {
        let (server, place) = (Server::start(), Place::new());
        list(&place, &server, size, &[("a", true), ("known", true), ("unknown", false)]);
        let args = [&RUN[..], &["--dedup", "hardlink"]].concat();
        let out = place.run(&args);
        for name in ["a", "known", "unknown"] {
            assert_eq!(place.file(name), Some(content("f", size)), "{name}: {}", out.stderr);
            assert!(is_linked(&place, "a", name), "{name}");
        }
        assert_eq!(
            (made_from(&out, "known"), made_from(&out, "unknown")),
            (json!("hardlink"), json!("hardlink"))
        );
        assert!(server.requests_for("?1").is_empty(), "the known file is not requested");
        assert_eq!(place.files(), ["a", "known", "list.jsonl", "unknown"]);
        // All of them are recognised without a request.
        let asked = server.requests().len();
        let again = place.run(&args);
        assert_eq!((again.status, server.requests().len()), (0, asked), "{}", again.stderr);
        assert_eq!(meta(&place, "a").nlink(), 3);
        // Without the option, they stay hard links.
        assert_eq!(place.run(&RUN).status, 0);
    }
}

/// The server sends the last bytes of all files at the same time.
#[test]
fn equal_files_that_are_complete_at_the_same_time_are_on_the_disk_once() {
    let (server, place) = (Server::start(), Place::new());
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let line = |name: &&str| {
        let url = server.url(&format!("slow/9000000/f?rate=18000000&{name}"));
        json!({"url": url, "out": name}).to_string()
    };
    place.write("list.jsonl", names.iter().map(line).collect::<Vec<_>>().join("\n"));
    let out = place.run(&["-i", "list.jsonl", "-j", "8", "-x", "1", "--dedup", "hardlink"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(meta(&place, "a").nlink(), 8);
    assert!(names.iter().all(|name| is_linked(&place, "a", name)));
}

/// A killed run leaves the partial file of a small file. The next run makes this file from another file that
/// has the same bytes.
#[test]
fn a_partial_file_of_a_killed_run_is_removed_when_its_file_is_made_from_another() {
    let (server, place) = (Server::start(), Place::new());
    let digest = sha256(&content("f", SMALL));
    let line = |sin, name| {
        let url = server.url(&format!("{sin}/{SMALL}/f?after=300000&{name}"));
        json!({"url": url, "out": name, "sha256": digest}).to_string()
    };
    place.write("list.jsonl", [line("well_behaved", "a"), line("pause_in_first_body", "b")].join("\n"));
    let args = ["-i", "list.jsonl", "-j", "2", "--dedup", "hardlink"];
    let mut child = place.start(&args);
    let is_begun = || place.file("a").is_some() && place.files().iter().any(|name| name.ends_with(".part"));
    wait_until("the second file has begun", is_begun);
    child.kill().expect("killed");
    child.wait().expect("waits");
    assert!(place.files().iter().any(|name| name.ends_with(".part")), "{:?}", place.files());
    let out = place.run(&args);
    assert!(out.status == 0 && is_linked(&place, "a", "b"), "{}", out.stderr);
    assert_eq!(place.files(), ["a", "b", "list.jsonl"]);
}

/// Another run may complete a small file while the partial file of the killed run is still there.
#[test]
fn a_partial_file_of_a_killed_run_is_removed_when_its_file_is_complete() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("pause_in_first_body/{SMALL}/f?after=300000"));
    let mut child = place.start(&[&url]);
    let partial = || place.files().into_iter().find(|name| name.ends_with(".part"));
    wait_until("the file has begun", || partial().is_some());
    child.kill().expect("killed");
    child.wait().expect("waits");
    let (partial, aside) =
        (place.path().join(partial().expect("a partial file")), place.path().join("aside"));
    fs::rename(&partial, &aside).expect("renamed");
    assert_eq!(place.run(&[&url]).status, 0);
    fs::rename(&aside, &partial).expect("renamed");
    let out = place.run(&[&url]);
    assert!(out.status == 0 && out.stderr.contains("already exists"), "{}", out.stderr);
    assert_eq!(place.files(), ["f"]);
}

#[test]
fn a_file_whose_name_and_digest_are_known_is_made_without_a_request() {
    let (server, place) = (Server::start(), Place::new());
    let digest = sha256(&content("f", SIZE));
    let line =
        |n| json!({"url": server.url(&format!("well_behaved/{SIZE}/f?{n}")), "sha256": digest}).to_string();
    place.write("list.jsonl", [0, 1].map(line).join("\n"));
    let out = place.run(&[&RUN[..], &["--dedup", "hardlink", "--names", "url"]].concat());
    assert!(out.status == 0 && is_linked(&place, "f", "f (1)"), "{}", out.stderr);
    assert!(server.requests_for("?1").is_empty());
}

#[test]
fn hard_links_with_one_name_in_several_folders_are_recognised_later() {
    let (server, place) = (Server::start(), Place::new());
    let names = ["a/LICENSE", "b/LICENSE", "c/LICENSE"];
    list(&place, &server, SIZE, &names.map(|name| (name, false)));
    let args = [&RUN[..], &["--dedup", "hardlink"]].concat();
    let out = place.run(&args);
    assert!(out.status == 0 && names.iter().all(|name| is_linked(&place, names[0], name)), "{}", out.stderr);
    let asked = server.requests().len();
    let again = place.run(&args);
    assert_eq!((again.status, server.requests().len()), (0, asked), "{}", again.stderr);
    // A file of another URL is still another file, even if it has the same name.
    let url = server.url("well_behaved/10/another");
    let out = place.run(&[&url, "-o", "b/LICENSE"]);
    assert!(out.status != 0 && out.stderr.contains("downloaded from another URL"), "{}", out.stderr);
}

#[test]
fn a_changed_file_is_no_source_of_others() {
    let (server, place) = (Server::start(), Place::new());
    let lines = list(&place, &server, SIZE, &[("a", true), ("b", true)]);
    let archive = [&RUN[..], &["--dedup", "hardlink", "--archive", "done.db"]].concat();
    place.write("list.jsonl", &lines[0]);
    assert_eq!(place.run(&archive).status, 0);
    let mut bytes = place.file("a").expect("a file");
    bytes[10] ^= 1;
    place.write("a", &bytes);
    place.write("list.jsonl", &lines[1]);
    let out = place.run(&archive);
    place.assert_exact(&out, "b", &content("f", SIZE));
    assert!(!is_linked(&place, "a", "b") && place.file("a") == Some(bytes));
}

#[test]
fn the_archive_knows_files_of_earlier_runs_and_none_outside_of_the_folder() {
    let (server, place) = (Server::start(), Place::new());
    let lines = list(&place, &server, SIZE, &[("a", true), ("b", true)]);
    let run = |line: &str, folder: &str| {
        place.write("list.jsonl", line);
        place.run(&[&RUN[..], &["--dedup", "hardlink", "--archive", "done.db", "-d", folder]].concat())
    };
    assert_eq!(run(&lines[0], "one").status, 0);
    let out = run(&lines[1], "one");
    assert!(out.status == 0 && is_linked(&place, "one/a", "one/b"), "{}", out.stderr);
    let elsewhere = lines[1].replace("?1", "?2");
    let out = run(&elsewhere, "two");
    assert_eq!((out.status, place.file("two/b")), (0, Some(content("f", SIZE))), "{}", out.stderr);
    assert_eq!(meta(&place, "two/b").nlink(), 1, "it is not a link to a file outside of the folder");
}

/// The archive has several files with one digest. Some of them were changed or removed.
#[test]
fn every_equal_file_of_the_archive_may_be_the_original() {
    let (server, place) = (Server::start(), Place::new());
    let lines = list(&place, &server, SIZE, &[("a", false), ("b", false), ("c", false), ("new", true)]);
    let run = |lines: &[String], option: &str| {
        place.write("list.jsonl", lines.join("\n"));
        place.run(&[&RUN[..], &["--dedup", option, "--archive", "done.db"]].concat())
    };
    assert_eq!(run(&lines[..3], "off").status, 0);
    fs::remove_file(place.path().join("a")).expect("removed");
    let mut bytes = content("f", SIZE);
    bytes[10] ^= 1;
    place.write("c", bytes);
    let out = run(&lines[3..], "hardlink");
    assert!(out.status == 0 && is_linked(&place, "b", "new"), "{}", out.stderr);
    assert!(server.requests_for("?3").is_empty());
}

#[test]
fn an_existing_file_is_replaced_only_if_an_option_says_so() {
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, SIZE, &[("a", true), ("b", true)]);
    place.write("b", "something else");
    let out = place.run(&[&RUN[..], &["--dedup", "hardlink"]].concat());
    assert_eq!((out.status, place.file("b")), (3, Some(b"something else".to_vec())), "{}", out.stderr);
    let out = place.run(&[&RUN[..], &["--dedup", "hardlink", "--if-exists", "overwrite"]].concat());
    assert!(out.status == 0 && is_linked(&place, "a", "b"), "{}", out.stderr);
}

#[test]
fn without_reflinks_known_files_are_copied_and_a_note_says_so() {
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, SIZE, &[("a", true), ("known", true), ("unknown", false)]);
    let out = place.run(&[&RUN[..], &["--dedup", "reflink"]].concat());
    if made_from(&out, "known") == "reflink" {
        return note("this folder has reflinks: the test for file systems without them did nothing");
    }
    assert_eq!((made_from(&out, "known"), made_from(&out, "unknown")), (json!("copy"), Value::Null));
    assert_eq!(out.stderr.matches("does not share blocks").count(), 1, "{}", out.stderr);
    assert!(server.requests_for("?1").is_empty(), "the known file is not requested");
    for name in ["a", "known", "unknown"] {
        assert_eq!((place.file(name), meta(&place, name).nlink()), (Some(content("f", SIZE)), 1), "{name}");
    }
}

/// Writes a Metalink file. The expected values of each file are in XML.
fn metalink(place: &Place, server: &Server, files: &[(&str, String)]) {
    let file = |(n, (name, expected)): (usize, &(&str, String))| {
        let url = server.url(&format!("well_behaved/{SIZE}/f?{n}"));
        format!("<file name=\"{name}\">{expected}<url>{url}</url></file>")
    };
    let files: String = files.iter().enumerate().map(file).collect();
    place.write(
        "all.meta4",
        format!("<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">{files}</metalink>"),
    );
}

#[test]
fn a_file_is_made_from_another_only_if_it_has_everything_that_is_expected_of_it() {
    let digest = sha256(&content("f", SIZE));
    let strong = format!("<hash type=\"sha-256\">{digest}</hash>");
    let wrong = "0".repeat(32);
    for (further, is_right) in [
        (format!("<hash type=\"md5\">{wrong}</hash>"), false),
        (format!("<size>{}</size>", SIZE - 1), false),
        (
            format!(
                "<size>{SIZE}</size><pieces length=\"{SIZE}\" type=\"sha-256\"><hash>{wrong}{wrong}</hash></pieces>"
            ),
            false,
        ),
        (format!("<size>{SIZE}</size>"), true),
    ] {
        let (server, place) = (Server::start(), Place::new());
        metalink(&place, &server, &[("a", strong.clone()), ("b", format!("{strong}{further}"))]);
        let args =
            ["-i", "all.meta4", "--progress", "json", "-j", "1", "--retries", "0", "--dedup", "hardlink"];
        let out = place.run(&args);
        let expected = is_right.then(|| content("f", SIZE));
        assert_eq!(
            (out.status, place.file("b")),
            (if is_right { 0 } else { 3 }, expected),
            "{further}: {}",
            out.stderr
        );
        assert_eq!(server.requests_for("?1").is_empty(), is_right, "{further}");
    }
}

#[test]
fn a_file_that_must_be_signed_is_not_made_from_another() {
    let (server, place, signer) = (Server::start(), Place::new(), Signer::new(1));
    let file = content("f", SIZE);
    let urls = ["/d/a", "/d/b"].map(|path| server.put(path, file.clone()));
    server.put("/d/a.minisig", signer.sign(&file));
    let line =
        |(url, name): (&String, &str)| json!({"url": url, "out": name, "sha256": sha256(&file)}).to_string();
    place.write("list.jsonl", urls.iter().zip(["a", "b"]).map(line).collect::<Vec<_>>().join("\n"));
    let out = place
        .run(&[&RUN[..], &["--dedup", "hardlink", "--signed-by", &signer.key(), "--retries", "0"]].concat());
    assert_eq!((out.status, place.file("a").is_some(), place.file("b")), (3, true, None), "{}", out.stderr);
}

#[test]
fn without_verification_no_file_is_made_because_of_its_digest() {
    let (server, place) = (Server::start(), Place::new());
    let line = |name: &str| {
        let url = server.url(&format!("well_behaved/{SIZE}/{name}"));
        json!({"url": url, "out": name, "sha256": sha256(&content("f", SIZE))}).to_string()
    };
    place.write("list.jsonl", ["f", "other"].map(line).join("\n"));
    let out = place.run(&[&RUN[..], &["--dedup", "hardlink", "--verify", "off"]].concat());
    place.assert_exact(&out, "other", &content("other", SIZE));
}

#[test]
fn a_file_that_was_made_from_another_states_only_digests_that_were_computed() {
    let (server, place) = (Server::start(), Place::new());
    let lines = list(&place, &server, SIZE, &[("a", true), ("b", true)]);
    let run = |crc: &str| {
        let second = lines[1].replace('}', &format!(",\"crc32\":\"{crc}\"}}"));
        place.write("list.jsonl", format!("{}\n{second}", lines[0]));
        place.run(&[&RUN[..], &["--dedup", "hardlink", "--retries", "0"]].concat())
    };
    let out = run("00000000");
    assert_eq!((out.status, place.file("b")), (3, None), "{}", out.stderr);
    let path = place.path().join("a");
    let right = downhaul_engine::digests_of(&path, &[downhaul_engine::Algorithm::Crc32]).expect("digests");
    let right = right[0].to_string();
    let out = run(&right);
    assert_eq!((out.status, made_from(&out, "b")), (0, json!("hardlink")), "{}", out.stderr);
    let of_b = |event: &Value| {
        event["kind"] == "skipped" && event["path"].as_str().is_some_and(|path| path.ends_with('b'))
    };
    let end = events(&out).into_iter().find(of_b).expect("the file b");
    assert_eq!(end["digests"]["crc32"], right.as_str(), "{end}");
}

#[test]
fn a_link_does_not_change_to_which_url_the_original_belongs() {
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, SIZE, &[("a", true), ("b", true)]);
    // This file has no record, because another program made it.
    place.write("a", content("f", SIZE));
    let args = [&RUN[..], &["--dedup", "hardlink"]].concat();
    let out = place.run(&args);
    place.assert_exact(&out, "b", &content("f", SIZE));
    let url = server.url(&format!("well_behaved/{SIZE}/f?0"));
    let out = place.run(&[&url, "-o", "a"]);
    assert!(out.status == 0 && out.stderr.contains("already exists"), "{}", out.stderr);
}

#[test]
fn a_later_run_finds_the_link_of_a_url_and_not_the_original() {
    let (server, place) = (Server::start(), Place::new());
    let urls = [1, 2].map(|n| server.url(&format!("well_behaved/{SIZE}/f?{n}")));
    let digest = sha256(&content("f", SIZE));
    let line = |url: &String| json!({"url": url, "sha256": digest}).to_string();
    place.write("list.jsonl", urls.iter().map(line).collect::<Vec<_>>().join("\n"));
    let out = place.run(&[&RUN[..], &["--dedup", "hardlink"]].concat());
    assert!(out.status == 0 && is_linked(&place, "f", "f (1)"), "{}", out.stderr);
    for (url, name) in [(&urls[1], "f (1)"), (&urls[0], "f")] {
        let out = place.run(&[url, "--progress", "json"]);
        let end = events(&out).into_iter().find(|event| event["kind"] == "skipped").expect("a skipped file");
        assert!(end["path"].as_str().is_some_and(|path| path.ends_with(name)), "{end}");
    }
}

#[test]
fn nothing_is_beside_a_file_while_the_digest_of_its_original_is_compared() {
    let (server, place) = (Server::start(), Place::new());
    // No run has computed the MD5 of the original yet, so this run must read the original to compare it.
    let size = 64 << 20;
    let digest = |name: &str, value: &str| format!("\"{name}\": \"{value}\"");
    let zeros = vec![0; size];
    let strong = digest("sha256", &sha256(&zeros));
    let line = |name: &str, expected: &str| {
        let url = server.url(&format!("well_behaved/{size}/f?{name}"));
        format!("{{\"url\": \"{url}\", \"out\": \"{name}\", {strong}{expected}}}")
    };
    place.write("a", &zeros);
    let md5 = digest("md5", "7f614da9329cd3aebf59b91aadc30bf0");
    place.write("list.jsonl", format!("{}\n{}", line("a", ""), line("b", &format!(", {md5}"))));
    let mut child = place.start(&[&RUN[..], &["--dedup", "reflink"]].concat());
    let mut seen = Vec::new();
    let begun = Instant::now();
    while child.try_wait().expect("waits").is_none() && begun.elapsed() < PATIENCE {
        seen.extend(place.files().into_iter().filter(|name| name.contains(".part")));
        std::thread::sleep(Duration::from_millis(2));
    }
    let out = finish(child);
    assert!(out.status == 0 && place.file("b") == Some(zeros), "{}", out.stderr);
    assert_ne!(made_from(&out, "b"), Value::Null);
    assert_eq!(seen, Vec::<String>::new());
}

/// A file system with reflinks. It is unmounted when this value is dropped.
struct Sharing {
    place: Place,
}

impl Sharing {
    fn new() -> Option<Sharing> {
        let place = Place::new();
        let (image, folder) = (place.path().join("image"), place.path().join("out"));
        fs::create_dir(&folder).expect("a folder");
        // The smallest file system that mkfs.xfs makes.
        fs::File::create(&image).and_then(|file| file.set_len(300 << 20)).expect("an image");
        let run = |program: &str, args: &[&str], paths: &[&PathBuf]| {
            let mut command = Command::new(program);
            command.args(args).args(paths).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let is_made =
            run("mkfs.xfs", &["-q", "-m", "reflink=1"], &[&image]) || run("mkfs.btrfs", &["-q"], &[&image]);
        if !is_made || !run("mount", &["-o", "loop"], &[&image, &folder]) {
            note("no file system with reflinks can be made and mounted here: this test did nothing");
            return None;
        }
        Some(Sharing { place })
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.place.path().join("out")).stderr(Stdio::null()).status();
    }
}

/// Returns true if `filefrag` shows that the file shares blocks with other files. Returns `None` if
/// `filefrag` does not start.
fn shares(path: &Path) -> Option<bool> {
    let out = Command::new("filefrag").arg("-v").arg(path).output().ok()?;
    Some(String::from_utf8_lossy(&out.stdout).contains("shared"))
}

#[test]
fn reflinks_share_blocks_and_have_times_and_records_of_their_own() {
    let Some(disk) = Sharing::new() else { return };
    let (server, place) = (Server::start(), &disk.place);
    list(place, &server, SIZE, &[("a", true), ("known", true), ("unknown", false)]);
    let args = [&RUN[..], &["-d", "out", "--dedup", "reflink"]].concat();
    let out = place.run(&args);
    assert_eq!((made_from(&out, "known"), made_from(&out, "unknown")), (json!("reflink"), json!("reflink")));
    for name in ["out/a", "out/known", "out/unknown"] {
        assert_eq!((place.file(name), meta(place, name).nlink()), (Some(content("f", SIZE)), 1), "{name}");
        assert_ne!(shares(&place.path().join(name)), Some(false), "{name}");
    }
    let asked = server.requests().len();
    let again = place.run(&args);
    assert_eq!((again.status, server.requests().len()), (0, asked), "{}", again.stderr);
}
