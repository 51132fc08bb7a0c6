//! Tests of what a run leaves on the disk, and what the next run does with it: interrupted, killed, damaged,
//! locked and adopted files.

use crate::common::{Out, Place, events, finish, is_installed, send, wait_until};
use downhaul_engine::core::journal::{self, Claim};
use downhaul_engine::core::name::side_files;
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const SIZE: u64 = 8_000_000;

/// The bytes that a connection may have received but not written when its segment is cut. They are fetched
/// again.
const ONE_BATCH: u64 = 1024 * 1024;

fn file() -> Vec<u8> {
    content("file", SIZE)
}

/// Starts a run, and ends it with a signal once its journal lists this many bytes.
fn interrupted(place: &Place, args: &[&str], name: &str, bytes: u64, with: Signal) -> Out {
    let child = place.start(args);
    let listed = || recorded(place, name).iter().map(|claim| claim.end - claim.start).sum::<u64>();
    wait_until(&format!("the journal of {name} lists {bytes} bytes"), || listed() >= bytes);
    send(with, &child);
    finish(child)
}

/// Returns the ranges that the journal of a file lists. The length of the partial file is not useful, because
/// the file has holes.
fn recorded(place: &Place, name: &str) -> Vec<Claim> {
    let journal = fs::read(place.path().join(side_files(Path::new(name)).journal)).ok();
    journal.and_then(|bytes| journal::read(&bytes)).map(|(_, claims)| claims).unwrap_or_default()
}

/// Returns how many of the bytes that the journal of a file lists are in its partial file with the right CRC.
fn intact(place: &Place, name: &str) -> u64 {
    let part = place.file(&format!("{name}.part")).unwrap_or_default();
    let bytes = |claim: &Claim| part.get(claim.start as usize..claim.end as usize).map(journal::crc32c);
    let claims = recorded(place, name).into_iter().filter(|claim| bytes(claim) == Some(claim.crc));
    claims.map(|claim| claim.end - claim.start).sum()
}

/// Returns the number of bytes that this run received.
fn fetched(out: &Out) -> u64 {
    let finished = events(out).into_iter().find(|event| event["kind"] == "finished").expect("finished");
    finished["fetched"].as_u64().expect("a number")
}

#[test]
fn a_run_is_resumed_after_any_kind_of_end() {
    for (with, status) in [(Signal::INT, 130), (Signal::TERM, 75), (Signal::HUP, 75), (Signal::KILL, -1)] {
        let server = Server::start();
        let place = Place::new();
        let url = server.url(&format!("capped/{SIZE}/file?rate=4000000&sha256=1"));
        let args = [url.as_str(), "-o", "f", "-x", "2", "--progress", "json"];
        let out = interrupted(&place, &args, "f", 4_000_000, with);
        assert_eq!(out.status, status);
        assert_eq!(place.files(), ["f.part", "f.part.journal"]);
        let out = place.run(&args);
        place.assert_exact(&out, "f", &file());
        assert_eq!(place.files(), ["f"]);
        let resumed = events(&out).into_iter().find(|event| event["kind"] == "resumed").expect("resumed");
        let there = resumed["bytes"].as_u64().expect("a number");
        assert!(there > 2_000_000, "{there} bytes were there");
        assert!(
            fetched(&out) <= SIZE - there + ONE_BATCH,
            "{with:?}: {} bytes came, {there} were there",
            fetched(&out)
        );
    }
}

#[test]
fn a_run_with_a_rate_limit_keeps_what_arrived_before_a_batch_is_full() {
    for with in [Signal::TERM, Signal::KILL] {
        let server = Server::start();
        let place = Place::new();
        let url = server.url(&format!("capped/{SIZE}/file?rate=4000000&sha256=1"));
        let args = [url.as_str(), "-o", "f", "-x", "1"];
        interrupted(&place, &[&args[..], &["--limit-rate", "300k"]].concat(), "f", 200_000, with);
        let first = recorded(&place, "f")[0];
        assert!(first.end < ONE_BATCH, "{first:?} was written when a batch was full");
        let kept = intact(&place, "f");
        let out = place.run(&[&args[..], &["--progress", "json"]].concat());
        place.assert_exact(&out, "f", &file());
        assert_eq!(fetched(&out), SIZE - kept);
    }
}

#[test]
fn the_partial_file_is_found_again_if_the_server_chose_the_name() {
    let server = Server::start();
    let place = Place::new();
    let args =
        |signature: u32| server.url(&format!("capped/{SIZE}/file?rate=4000000&X-Amz-Signature={signature}"));
    interrupted(&place, &[&args(1)], "file", 4_000_000, Signal::TERM);
    // A link to the same file with a new signature resumes it.
    let out = place.run(&[&args(2), "--progress", "json"]);
    place.assert_exact(&out, "file", &file());
    let resumed = events(&out).into_iter().find(|event| event["kind"] == "resumed").expect("resumed");
    let there = resumed["bytes"].as_u64().expect("a number");
    assert!(
        there > 0 && fetched(&out) <= SIZE - there + ONE_BATCH,
        "{} came, {there} were there",
        fetched(&out)
    );
    let journal = format!("{:?}", place.files());
    assert!(!journal.contains("journal"), "{journal}");
}

#[test]
fn the_result_of_a_resumed_file_says_what_was_fetched_and_what_was_kept() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=4000000"));
    interrupted(&place, &[&url, "-o", "f", "-x", "1"], "f", 2 << 20, Signal::INT);
    let kept = intact(&place, "f");
    let out = place.run(&[&url, "-o", "f", "-x", "1"]);
    place.assert_exact(&out, "f", &file());
    let line = out.stderr.lines().find(|line| line.contains("ok ./f") || line.contains("✓ ./f"));
    let line = line.unwrap_or_else(|| panic!("{}", out.stderr));
    let mib = |bytes: u64| format!("{:.2} MiB", bytes as f64 / (1 << 20) as f64);
    let (all, fetched, kept) = (mib(SIZE), mib(SIZE - kept), mib(kept));
    assert!(line.contains(&format!("{all}, {fetched} fetched in ")), "{line}");
    assert!(line.contains(&format!("/s), {kept} kept, ")), "{line}");
}

#[test]
fn a_name_as_long_as_the_disk_allows_is_resumed() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=4000000"));
    let name = "é".repeat(127) + "x";
    let args = [url.as_str(), "-o", &name, "-x", "2", "--progress", "json"];
    interrupted(&place, &args, &name, 4_000_000, Signal::TERM);
    assert_eq!(place.files().len(), 2, "a partial file and its journal: {:?}", place.files());
    let out = place.run(&args);
    assert!(out.status == 0 && fetched(&out) < SIZE, "{}", out.stderr);
    assert_eq!(place.files(), [name.as_str()]);
    assert!(place.file(&name) == Some(file()));
}

#[test]
fn the_journal_contains_no_secrets() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=4000000&token=hunter2"));
    interrupted(
        &place,
        &[&url.replace("http://", "http://user:hunter2@"), "-o", "f"],
        "f",
        2_000_000,
        Signal::TERM,
    );
    let journal = place.file("f.part.journal").expect("a journal");
    assert!(!journal.windows(7).any(|some| some == b"hunter2"));
}

#[test]
fn no_resume_starts_the_file_again() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=8000000"));
    interrupted(&place, &[&url, "-o", "f"], "f", 4_000_000, Signal::TERM);
    let out = place.run(&[&url, "-o", "f", "--no-resume", "--progress", "json"]);
    place.assert_exact(&out, "f", &file());
    assert!(fetched(&out) >= SIZE);
}

#[test]
fn a_file_that_changed_since_the_interruption_starts_again() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("changes_after/{SIZE}/file?rate=4000000&requests=1"));
    interrupted(&place, &[&url, "-o", "f", "-x1"], "f", 2_000_000, Signal::KILL);
    let out = place.run(&[&url, "-o", "f", "-x1", "--retries", "0"]);
    place.assert_exact(&out, "f", &content("changed", SIZE));
    assert!(
        out.stderr.contains("changed on the server") && out.stderr.contains("starting again"),
        "{}",
        out.stderr
    );
}

#[test]
fn a_file_without_a_validator_starts_again_unless_a_digest_is_known() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("slow/{SIZE}/file?rate=8000000&weak=1"));
    let weak = url.replace("/slow/", "/without_validator/");
    interrupted(&place, &[&weak, "-o", "f"], "f", 2_000_000, Signal::KILL);
    let out = place.run(&[&weak, "-o", "f", "--progress", "json"]);
    place.assert_exact(&out, "f", &file());
    let again = events(&out).into_iter().find(|event| event["error"]["code"] == "resume.unproven");
    assert!(again.is_some_and(|event| event["from"] == 0), "it says so");
    assert!(fetched(&out) >= SIZE);
    // With a digest from a list, the file is resumed, because the digest verifies the result.
    let line = format!(
        "{{\"url\":\"{weak}\",\"out\":\"g\",\"sha256\":\"{}\"}}\n",
        downhaul_testkit::sha256(&file())
    );
    place.write("list", line);
    interrupted(&place, &["-i", "list"], "g", 3_000_000, Signal::KILL);
    let out = place.run(&["-i", "list", "--progress", "json"]);
    place.assert_exact(&out, "g", &file());
    assert!(fetched(&out) < SIZE, "{} bytes", fetched(&out));
}

#[test]
fn a_complete_partial_file_needs_no_request() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=8000000"));
    // Because a folder has the final name, all bytes arrive but the rename fails.
    let child = place.start(&[&url, "-o", "f"]);
    place.wait_for_bytes("f.part", 1);
    fs::create_dir(place.path().join("f")).expect("a folder");
    let out = finish(child);
    assert_ne!(out.status, 0, "{}", out.stderr);
    fs::remove_dir(place.path().join("f")).expect("removes");
    let asked = server.requests().len();
    let out = place.run(&[&url, "-o", "f", "--progress", "json"]);
    place.assert_exact(&out, "f", &file());
    assert_eq!((fetched(&out), server.requests().len()), (0, asked), "no request was sent");
}

#[test]
fn a_file_that_became_shorter_starts_again() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("shrinks/{SIZE}/file?x"));
    let out = place.run(&[&url, "-o", "f", "-x1"]);
    place.assert_exact(&out, "f", &content("file", SIZE / 3));
}

#[test]
fn only_bytes_that_the_journal_does_not_confirm_are_fetched_again() {
    let server = Server::start();
    for damage in ["flip", "truncate", "journal_cut", "journal_flip", "journal_gone", "part_gone", "reverse"]
    {
        let place = Place::new();
        let url = server.url(&format!("capped/{SIZE}/file?rate=8000000&{damage}"));
        interrupted(&place, &[&url, "-o", "f"], "f", 5_000_000, Signal::KILL);
        let mut part = place.file("f.part").expect("a part");
        let mut journal = place.file("f.part.journal").expect("a journal");
        match damage {
            "flip" => part[1_234_567] ^= 1,
            "truncate" => part.truncate(3_000_000),
            "journal_cut" => journal.truncate(journal.len() - 5),
            "journal_flip" => {
                let middle = journal.len() / 2;
                journal[middle] ^= 1;
            }
            "reverse" => part.reverse(),
            _ => {}
        }
        place.write("f.part", part);
        place.write("f.part.journal", journal);
        match damage {
            "journal_gone" => fs::remove_file(place.path().join("f.part.journal")).expect("removes"),
            "part_gone" => fs::remove_file(place.path().join("f.part")).expect("removes"),
            _ => {}
        }
        let there = intact(&place, "f");
        assert!(there > 3_000_000 || !["flip", "journal_cut"].contains(&damage), "{damage}: {there} bytes");
        let out = place.run(&[&url, "-o", "f", "--progress", "json"]);
        place.assert_exact(&out, "f", &file());
        assert_eq!(place.files(), ["f"], "{damage}");
        let most = SIZE - there + ONE_BATCH;
        assert!(fetched(&out) <= most, "{damage}: {} bytes came, {there} were there", fetched(&out));
    }
}

#[test]
fn a_short_page_does_not_get_into_a_continued_file() {
    let server = Server::start();
    let place = Place::new();
    let whole = content("file", 300_000);
    place.write("file", &whole[..200_000]);
    let out = place.run(&["-c", &server.url("page_at_first/300000/file")]);
    place.assert_exact(&out, "file", &whole);
    // The partial file no longer has the bytes for the comparison when the next response arrives.
    for wrong in ["changes_after/3000/file?requests=1&rate=900000", "page_at_first/6000/other"] {
        let place = Place::new();
        let url = server.url(wrong);
        let name = if wrong.contains("other") { "other" } else { "file" };
        let mine = content("mine", 2_000);
        place.write(name, &mine);
        let out = place.run(&["-c", &url, "--retries", "2"]);
        assert_eq!(out.status, 1, "{wrong}: {}", out.stderr);
        assert!(place.file(name) == Some(mine), "{wrong}: {}", out.stderr);
    }
}

#[test]
fn the_partial_file_of_a_file_that_became_small_is_replaced() {
    let server = Server::start();
    let place = Place::new();
    let large = format!("capped/{SIZE}/file?rate=8000000");
    interrupted(&place, &[&server.url(&large)], "file", 2_000_000, Signal::KILL);
    server.becomes(&large, "well_behaved/5000/file");
    let out = place.run(&[&server.url(&large)]);
    place.assert_exact(&out, "file", &content("file", 5000));
    assert_eq!(place.files(), ["file"]);
}

#[test]
fn partial_files_without_a_journal_are_removed_if_the_names_of_two_files_are_exchanged() {
    let server = Server::start();
    let place = Place::new();
    let path = |folder: &str| format!("capped/300000/{folder}/data.csv?rate=100000");
    let [a, b] = ["a", "b"].map(|folder| server.url(&path(folder)));
    let child = place.start(&[&a, &b, "-d", "out"]);
    let left = || place.files().into_iter().filter(|name| name.ends_with(".part")).count();
    wait_until("both files are in progress", || left() == 2);
    send(Signal::KILL, &child);
    finish(child);
    assert!(place.files().iter().any(|name| name.starts_with("out/data (1).csv.")), "{:?}", place.files());
    for folder in ["a", "b"] {
        server.becomes(&path(folder), &format!("well_behaved/300000/{folder}/data.csv"));
    }
    let out = place.run(&[&b, &a, "-d", "out"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.files(), ["out/data (1).csv", "out/data.csv"]);
}

#[test]
fn the_partial_file_of_a_small_file_of_a_list_is_removed_if_its_name_has_another_number() {
    let server = Server::start();
    let place = Place::new();
    let path = |folder: &str| format!("capped/200000/{folder}/data.csv?rate=100000");
    let [a, b] = ["a", "b"].map(|folder| server.url(&path(folder)));
    let child = place.start(&[&a, &b, "-d", "out"]);
    let left = || place.files().into_iter().filter(|name| name.ends_with(".part")).collect::<Vec<_>>();
    wait_until("both files are in progress", || left().len() == 2);
    send(Signal::KILL, &child);
    finish(child);
    // The partial file of the first URL is removed. So the second URL gets the name without a number, and
    // nothing is at this name.
    for name in left().iter().filter(|name| !name.starts_with("out/data (1).csv.")) {
        fs::remove_file(place.path().join(name)).expect("removed");
    }
    assert_eq!(left().len(), 1, "{:?}", place.files());
    server.becomes(&path("b"), "well_behaved/200000/b/data.csv");
    // With so many files, the file is downloaded as a small file of a list.
    let others = (0..40).map(|n| server.url(&format!("well_behaved/100/f{n}")));
    let list: Vec<String> = std::iter::once(b).chain(others).collect();
    place.write("list", list.join("\n"));
    let out = place.run(&["-i", "list", "-d", "out"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.file("out/data.csv"), Some(content("b/data.csv", 200_000)));
    assert_eq!((left().len(), place.files().len()), (0, 42), "{:?}", place.files());
}

#[test]
fn a_journal_without_its_partial_file_is_not_resumed() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=8000000"));
    let args = [url.as_str(), "-o", "f", "-x", "2"];
    interrupted(&place, &args, "f", 2_000_000, Signal::KILL);
    fs::remove_file(place.path().join("f.part")).expect("it is there");
    let plan = place.run(&["plan", &url, "-o", "f"]);
    assert!(String::from_utf8_lossy(&plan.stdout).contains("download"), "{plan:?}");
    let out = place.run(&args);
    place.assert_exact(&out, "f", &file());
    assert!(!out.stderr.contains("resuming"), "{}", out.stderr);
    assert_eq!(place.files(), ["f"]);
}

#[test]
fn a_second_run_for_the_same_file_changes_nothing() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=3000000"));
    let first = place.start(&[&url, "-o", "f", "-x1"]);
    place.wait_for_bytes("f.part", 1_000_000);
    for more in [&[][..], &["--no-resume"], &["--continue"]] {
        let out = place.run(&[&[url.as_str(), "-o", "f"], more].concat());
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(out.stderr.contains("another run is working on this file"), "{}", out.stderr);
    }
    place.assert_exact(&finish(first), "f", &file());
    assert_eq!(server.requests().iter().filter(|request| request.header("range").is_some()).count(), 0);
}

#[test]
fn planted_links_are_not_followed() {
    let server = Server::start();
    let url = server.url(&format!("well_behaved/{SIZE}/file"));
    for at in ["f", "f.part", "f.part.journal", "f.part.journal.new"] {
        let place = Place::new();
        let victim = place.write("victim", "precious");
        std::os::unix::fs::symlink(&victim, place.path().join(at)).expect("links");
        let out = place.run(&[&url, "-o", "f", "--if-exists", "overwrite"]);
        assert_eq!(place.file("victim").as_deref(), Some(&b"precious"[..]), "{at}: {}", out.stderr);
        assert_eq!(out.status, 0, "{at}: {}", out.stderr);
        let found = fs::symlink_metadata(place.path().join("f"));
        assert!(found.is_ok_and(|found| found.is_file()), "{at}: {:?}", place.files());
        assert!(place.file("f") == Some(file()), "{at}: {:?}", place.files());
    }
}

#[test]
fn a_prefix_of_another_tool_is_adopted_if_its_end_agrees() {
    let server = Server::start();
    let url = server.url(&format!("well_behaved/{SIZE}/file"));
    let half = 4_000_000;
    let prefix = || file()[..half].to_vec();
    for (what, left, most) in [
        ("a prefix", prefix(), SIZE - half as u64 + 65_536),
        ("the whole", file(), 0),
        ("a little", file()[..1000].to_vec(), SIZE),
        ("nothing", Vec::new(), SIZE),
    ] {
        let place = Place::new();
        place.write("f", &left);
        let out = place.run(&[&url, "-o", "f", "-c", "--progress", "json"]);
        place.assert_exact(&out, "f", &file());
        let is_skipped = events(&out).iter().any(|event| event["kind"] == "skipped");
        assert_eq!(is_skipped, what == "the whole", "{what}");
        assert!(is_skipped || fetched(&out) <= most, "{what}: {} bytes", fetched(&out));
        assert_eq!(place.files(), ["f"], "{what}");
    }
}

#[test]
fn another_file_of_that_name_is_not_adopted_and_not_changed() {
    let server = Server::start();
    let mut wrong = file()[..4_000_000].to_vec();
    wrong[4_000_000 - 1000] ^= 1;
    let longer = [file(), b"surplus".to_vec()].concat();
    for left in [wrong, longer, b"my notes".to_vec()] {
        for sin in ["well_behaved", "ranges_ignored"] {
            let place = Place::new();
            place.write("f", &left);
            let url = server.url(&format!("{sin}/{SIZE}/file?rate=400000000"));
            let out = place.run(&[&url, "-o", "f", "-c"]);
            assert_eq!(out.status, 1, "{}", out.stderr);
            assert!(out.stderr.contains("does not match the server's file"), "{}", out.stderr);
            assert_eq!(place.file("f").as_ref(), Some(&left));
            assert_eq!(place.files(), ["f"]);
        }
    }
}

#[test]
fn partial_files_with_holes_are_not_adopted() {
    let server = Server::start();
    let url = server.url(&format!("well_behaved/{SIZE}/file"));
    for beside in ["f.aria2", "f.st"] {
        let place = Place::new();
        place.write("f", &file()[..4_000_000]);
        place.write(beside, "");
        let out = place.run(&[&url, "-o", "f", "-c"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(out.stderr.contains("left unfinished cannot be continued"), "{}", out.stderr);
        assert_eq!(place.file("f").as_deref(), Some(&file()[..4_000_000]));
        assert_eq!(place.files().len(), 2);
    }
    let place = Place::new();
    let holes = fs::File::create(place.path().join("f")).expect("a file");
    holes.set_len(4_000_000).expect("sparse");
    drop(holes);
    let out = place.run(&[&url, "-o", "f", "-c"]);
    assert!(out.status == 1 && out.stderr.contains("it has holes"), "{}", out.stderr);
    assert_eq!(place.files(), ["f"]);
}

#[test]
fn an_adopted_file_can_be_interrupted_too() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=4000000"));
    place.write("f", &file()[..3_000_000]);
    let out = interrupted(&place, &[&url, "-o", "f", "-c", "-x1"], "f", 5_000_000, Signal::TERM);
    assert_eq!(out.status, 75, "{}", out.stderr);
    assert_eq!(place.file("f").expect("stays").len(), 3_000_000, "the old one stays until ours is complete");
    let out = place.run(&[&url, "-o", "f", "-c", "-x1", "--progress", "json"]);
    place.assert_exact(&out, "f", &file());
    assert!(fetched(&out) < 4_000_000, "{} bytes", fetched(&out));
}

/// Kills runs at random times, with files of 0 bytes to 200 MiB. Sometimes the partial file is damaged before
/// the next run.
#[test]
fn runs_that_are_killed_at_two_hundred_random_times_are_resumed() {
    const KILLS: usize = 200;
    let server = Server::start();
    let seed = 20_261_125;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut kills = 0;
    while kills < KILLS {
        let size =
            if rng.u8(0..25) == 0 { 200 << 20 } else { 1u64 << rng.u32(0..26) } - u64::from(rng.bool());
        let name = format!("{size}");
        let expected = downhaul_testkit::shared_content(&name, size);
        let place = Place::new();
        let url = server.url(&format!("capped/{size}/{name}?rate={}", rng.u64(20_000_000..2_000_000_000)));
        let connections = rng.usize(1..6).to_string();
        for _ in 0..6 {
            let mut child = place.start(&[&url, "-o", "f", "-x", &connections, "-q"]);
            std::thread::sleep(Duration::from_micros(rng.u64(1_000..150_000)));
            let over = child.try_wait().expect("waits").is_some();
            let _ = child.kill();
            finish(child);
            if let Some(bytes) = place.file("f") {
                assert!(bytes == *expected, "seed {seed}: a wrong byte under the final name");
            }
            if over {
                break;
            }
            kills += 1;
            if rng.u8(0..4) == 0 {
                damage(&place, &mut rng);
            }
        }
        let out = place.run(&[&url, "-o", "f", "-x", &connections]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(place.file("f").as_ref() == Some(&*expected), "seed {seed}: not exact");
        assert_eq!(place.files(), ["f"], "seed {seed}: something is left");
    }
}

fn damage(place: &Place, rng: &mut fastrand::Rng) {
    let name = if rng.bool() { "f.part" } else { "f.part.journal" };
    let Some(mut bytes) = place.file(name).filter(|bytes| !bytes.is_empty()) else { return };
    match rng.u8(0..3) {
        0 => bytes.truncate(rng.usize(0..bytes.len())),
        1 => {
            let at = rng.usize(0..bytes.len());
            bytes[at] ^= 1 << rng.u8(0..8);
        }
        _ => bytes.extend((0..rng.usize(0..1000)).map(|_| rng.u8(..))),
    }
    place.write(name, bytes);
}

/// Returns a control file of aria2 for pieces of 1 MiB. `first` is the first byte of its bitfield: one bit
/// for each of the first eight pieces, which is set if the piece is complete.
fn control_file(size: u64, first: u8) -> Vec<u8> {
    let mut bitfield = vec![0; size.div_ceil(1 << 20).div_ceil(8) as usize];
    bitfield[0] = first;
    let mut bytes = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend((1_u32 << 20).to_be_bytes());
    bytes.extend(size.to_be_bytes());
    bytes.extend(0_u64.to_be_bytes());
    bytes.extend((bitfield.len() as u32).to_be_bytes());
    bytes.extend(bitfield);
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn a_local_file_that_is_longer_than_the_servers_is_never_replaced_by_continue() {
    let server = Server::start();
    for longer in [1, 65_535, 65_536, 200_000] {
        let place = Place::new();
        let mine = content("mine", 100_000 + longer);
        place.write("file", &mine);
        let out = place.run(&["-c", &server.url("well_behaved/100000/file")]);
        assert_eq!(out.status, 1, "{longer}: {}", out.stderr);
        let (here, there) = (
            format!("the unfinished file has {} bytes", 100_000 + longer),
            "the server's file has 100000 bytes",
        );
        assert!(out.stderr.contains(&here) && out.stderr.contains(there), "{longer}: {}", out.stderr);
        assert!(place.file("file") == Some(mine), "{longer}: it was touched");
        assert_eq!(place.files(), ["file"], "{longer}");
    }
}

/// Only the end of the local file is compared, as docs/cli.md says.
#[test]
fn continue_loses_no_byte_of_a_local_file_whose_end_is_that_of_the_servers_file() {
    let server = Server::start();
    let whole = content("file", 300_000);
    for length in [200_000, 300_000] {
        let mut mine = whole.clone();
        mine[5] ^= 1;
        let place = Place::new();
        place.write("file", &mine[..length]);
        // A digest of the whole file shows the difference.
        let digest = format!("sha256:{}", sha256(&whole));
        let out = place.run(&["-c", &server.url("well_behaved/300000/file"), "--checksum", &digest]);
        assert_eq!(out.status, 3, "{}", out.stderr);
        assert!(place.file("file").as_deref() == Some(&mine[..length]), "{}", out.stderr);
        assert!(out.stderr.contains("the existing file does not match"), "{}", out.stderr);
        assert!(!out.stderr.contains("same command"), "{}", out.stderr);
        place.write("replaced", &mine[..length]);
        let replace =
            ["-c", &server.url("well_behaved/300000/file"), "--checksum", &digest, "-o", "replaced"];
        let out = place.run(&[&replace[..], &["--if-exists", "overwrite"]].concat());
        place.assert_exact(&out, "replaced", &whole);
        let out = place.run(&["-c", &server.url("well_behaved/300000/file")]);
        place.assert_exact(&out, "file", &mine);
        let says = if length == 300_000 { "already exists, same size" } else { "not verified" };
        assert!(out.stderr.contains(says), "{}", out.stderr);
    }
}

#[test]
fn a_wrong_beginning_is_named_or_replaced_after_an_interruption_too() {
    let server = Server::start();
    let url = server.url(&format!("capped/{SIZE}/file?rate=4000000"));
    let mut mine = file()[..1_000_000].to_vec();
    mine[5] ^= 1;
    let digest = format!("sha256:{}", sha256(&file()));
    for if_exists in ["check", "overwrite"] {
        let place = Place::new();
        place.write("file", &mine);
        let args = ["-c", &url, "-x1", "--checksum", &digest, "--if-exists", if_exists];
        interrupted(&place, &args, "file", 2_000_000, Signal::INT);
        let out = place.run(&args);
        if if_exists == "overwrite" {
            place.assert_exact(&out, "file", &file());
        } else {
            let says = "the existing file does not match";
            assert!(out.status == 3 && out.stderr.contains(says), "{}", out.stderr);
            assert!(place.file("file").as_ref() == Some(&mine), "the file is not changed");
        }
    }
}

#[test]
fn a_file_of_another_tool_is_compared_even_after_failures() {
    let server = Server::start();
    let mine = content("mine", 200_000);
    for sin in [
        "wrong_part/300000/file",
        "truncated_body_without_ranges/300000/file",
        "fails_once/300000/file",
        "busy_once/300000/file",
    ] {
        let place = Place::new();
        place.write("file", &mine);
        let out = place.run(&["-c", &server.url(sin), "--retries", "2"]);
        assert_eq!(out.status, 1, "{sin}: {}", out.stderr);
        // The partial file does not exist after the run, so no message may name it.
        assert!(!out.stderr.contains(".part"), "{sin}: {}", out.stderr);
        assert!(place.file("file").as_ref() == Some(&mine), "{sin}: {}", out.stderr);
    }
}

#[test]
fn a_file_of_unknown_size_is_continued_to_its_end() {
    let server = Server::start();
    let whole = content("file", 300_000);
    for query in ["", "?tag=0", "?most=40000"] {
        let place = Place::new();
        place.write("file", &whole[..200_000]);
        let out = place.run(&["-c", &server.url(&format!("unknown_total/300000/file{query}"))]);
        place.assert_exact(&out, "file", &whole);
    }
    // A response has only some of the bytes. Without a validator, the next response cannot be joined to it,
    // so the whole file is downloaded again.
    let place = Place::new();
    place.write("file", &whole[..200_000]);
    let out = place.run(&["-c", &server.url("unknown_total/300000/file?tag=0&most=80000")]);
    place.assert_exact(&out, "file", &whole);
}

#[test]
fn a_wrong_beginning_is_found_by_the_digest_even_if_the_server_states_no_validator() {
    let server = Server::start();
    let whole = content("file", 300_000);
    let mut mine = whole[..200_000].to_vec();
    mine[5] ^= 1;
    let url = server.url("unknown_total/300000/file?tag=0&most=80000");
    let digest = format!("sha256:{}", sha256(&whole));
    let place = Place::new();
    place.write("file", &mine);
    let out = place.run(&["-c", &url, "--checksum", &digest]);
    assert!(out.status == 3 && out.stderr.contains("the existing file does not match"), "{}", out.stderr);
    assert!(place.file("file") == Some(mine), "{}", out.stderr);
    let out = place.run(&["-c", &url, "--checksum", &digest, "--if-exists", "overwrite"]);
    place.assert_exact(&out, "file", &whole);
}

#[test]
fn chunks_that_aria2_marked_as_complete_are_adopted_and_the_rest_is_fetched() {
    let server = Server::start();
    let whole = file();
    // The partial file has the first, second and fourth MiB.
    let mut left = vec![0; SIZE as usize];
    for piece in [0, 1, 3] {
        left[piece << 20..(piece + 1) << 20].copy_from_slice(&whole[piece << 20..(piece + 1) << 20]);
    }
    let url = server.url(&format!("well_behaved/{SIZE}/file"));
    let place = Place::new();
    place.write("f", &left);
    place.write("f.aria2", control_file(SIZE, 0b1101_0000));
    let out = place.run(&["-c", &url, "-o", "f", "--progress", "json"]);
    place.assert_exact(&out, "f", &whole);
    assert!(fetched(&out) < SIZE - (2 << 20), "{} bytes came", fetched(&out));
    // The complete file has no control file, so a later run does not fetch it.
    assert_eq!(place.files(), ["f"]);
    let out = place.run(&["-c", &url, "-o", "f"]);
    place.assert_exact(&out, "f", &whole);
    assert!(out.stderr.contains("already exists"), "{}", out.stderr);
    // No bytes of another file, or of a file with another size, are adopted.
    for (bytes, size) in [(vec![7; SIZE as usize], SIZE), (left.clone(), SIZE - 1)] {
        let place = Place::new();
        place.write("f", &bytes);
        place.write("f.aria2", control_file(size, 0b1101_0000));
        let out = place.run(&["-c", &url, "-o", "f"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(place.file("f") == Some(bytes));
    }
    // If the control file cannot be read, the file may have holes.
    let place = Place::new();
    place.write("f", &left);
    place.write("f.aria2", b"garbage");
    let out = place.run(&["-c", &url, "-o", "f"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains("f.aria2"), "{}", out.stderr);
    assert!(place.file("f") == Some(left));
}

#[test]
fn a_download_that_the_real_aria2_left_is_continued() {
    if !is_installed("aria2c") {
        return;
    }
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("capped/{SIZE}/file?rate=500000"));
    let mut aria2 = std::process::Command::new("aria2c");
    let args =
        ["-x4", "-s4", "-k1M", "--file-allocation=prealloc", "--auto-save-interval=1", "-q", "-o", "f"];
    let mut aria2 = aria2.args(args).arg(&url).current_dir(place.path()).spawn().expect("starts");
    // aria2 saves its control file once a second. The test waits for a little longer than a
    // second, so that some pieces are complete.
    let start = Instant::now();
    wait_until("aria2 has saved its control file", || {
        place.file("f.aria2").is_some() && start.elapsed() > Duration::from_millis(1300)
    });
    let _ = aria2.kill();
    let _ = aria2.wait();
    let out = place.run(&[&url, "-o", "f"]);
    assert!(out.status == 1 && out.stderr.contains("aria2 has not finished it"), "{}", out.stderr);
    let out = place.run(&["-c", &url, "-o", "f"]);
    place.assert_exact(&out, "f", &file());
}

#[test]
fn continue_never_replaces_another_file_in_a_later_run_either() {
    const LARGE: u64 = 3_000_000;
    let mine = content("mine", 200_000);
    // The first run ends before the comparison.
    let server = Server::start();
    let place = Place::new();
    place.write("file", &mine);
    let target = format!("capped/{LARGE}/file?rate=20000");
    let child = place.start(&["-c", &server.url(&target), "-x1"]);
    std::thread::sleep(Duration::from_millis(700));
    send(Signal::KILL, &child);
    finish(child);
    server.becomes(&target, &format!("well_behaved/{LARGE}/file"));
    for _ in 0..2 {
        let out = place.run(&["-c", &server.url(&target)]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(place.file("file").as_ref() == Some(&mine), "{}", out.stderr);
    }
    // The partial file belongs to a download that would have replaced the file.
    let place = Place::new();
    place.write("file", &mine);
    let target = format!("capped/{SIZE}/file?rate=4000000");
    let url = server.url(&target);
    interrupted(&place, &[&url, "--if-exists", "overwrite"], "file", 2_000_000, Signal::KILL);
    let out = place.run(&["-c", &url]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(place.file("file").as_ref() == Some(&mine), "{}", out.stderr);
}

#[test]
fn the_last_message_of_a_run_that_ends_at_a_failure_says_what_is_kept() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=4000000"));
    interrupted(&place, &[&url, "-x1"], "file", 2_000_000, Signal::TERM);
    let missing = server.url("status/0/x?status=404");
    let out = place.run(&[&missing, &url, "-j1", "--on-error", "exit"]);
    assert_eq!(out.status, 4, "{}", out.stderr);
    assert!(place.files().contains(&"file.part".to_string()), "{:?}", place.files());
    assert!(
        out.stderr.contains("Stopped: 1 failed, 1 file unfinished. Run the same command"),
        "{}",
        out.stderr
    );
    assert!(
        !out.stderr.contains("no bytes kept"),
        "the partial file of the earlier run is kept: {}",
        out.stderr
    );
    let broken = server.url(&format!("truncated_body_always/{SIZE}/g"));
    let out = place.run(&[&broken, "--on-error", "exit", "--retries", "0", "-o", "g"]);
    let is_kept = place.files().contains(&"g.part".to_string());
    assert_eq!(out.stderr.contains(" kept. Run the same command to resume."), is_kept, "{}", out.stderr);
}
