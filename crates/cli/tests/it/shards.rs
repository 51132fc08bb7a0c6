//! Tests of several runs that share a list or a folder: shards, files that another run works on, and how such
//! runs end.

use crate::common::{PATIENCE, Place, events, finish, poll, send, send_to, wait_until};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use rustix::process::{Pid, Signal};
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The time within which a stopped run must have ended, even on a busy machine.
const ENDS: Duration = Duration::from_secs(10);

/// Writes a list with this many files, and returns their names.
fn listed(place: &Place, server: &Server, files: usize) -> Vec<String> {
    let names: Vec<String> = (0..files).map(|n| format!("f{n}")).collect();
    let lines: Vec<String> =
        names.iter().map(|name| format!("{}\n", server.put(&format!("/{name}"), name.as_bytes()))).collect();
    place.write("list", lines.concat());
    names
}

fn is_shared(name: &str) -> bool {
    name.starts_with('f')
}

#[test]
fn the_shards_of_a_list_together_have_every_file_once() {
    for by in ["job", "line", "host"] {
        let (server, place) = (Server::start(), Place::new());
        let names = listed(&place, &server, 40);
        for number in 1..=3 {
            let shard = format!("{number}/3");
            let out = place.run(&["-i", "list", "-d", "all", "--shard", &shard, "--shard-by", by]);
            assert_eq!(out.status, 0, "{}", out.stderr);
        }
        for name in &names {
            assert_eq!(place.file(&format!("all/{name}")).as_deref(), Some(name.as_bytes()), "{by}");
        }
        assert_eq!(server.requests().len(), names.len(), "{by}: each file was requested once");
    }
}

#[test]
fn a_file_stays_in_its_shard_if_lines_are_appended() {
    let (server, place) = (Server::start(), Place::new());
    listed(&place, &server, 60);
    let run = |folder: &str| {
        let out = place.run(&["-i", "list", "-d", folder, "--shard", "2/4"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        place
            .files()
            .into_iter()
            .filter_map(|file| Some(file.strip_prefix(folder)?.to_string()))
            .collect::<Vec<_>>()
    };
    let before: Vec<_> = run("a").into_iter().filter(|file| is_shared(&file[1..])).collect();
    listed(&place, &server, 150);
    let after = run("b");
    assert!(!before.is_empty() && before.iter().all(|file| after.contains(file)), "{before:?} {after:?}");
    assert!(after.len() > before.len());
}

#[test]
fn a_shard_that_is_done_is_not_run_again_and_another_list_is_refused() {
    let (server, place) = (Server::start(), Place::new());
    listed(&place, &server, 12);
    let run = |shard: &str| place.run(&["-i", "list", "-d", "all", "--shard", shard]);
    assert_eq!(run("1/2").status, 0);
    let requests = server.requests().len();
    fs::remove_dir_all(place.path().join("all")).err();
    let out = run("1/2");
    assert_eq!(out.status, 0, "{}", out.stderr);
    // The folder with the marks of the shards was removed too, so the shard ran again.
    assert!(server.requests().len() > requests);
    let requests = server.requests().len();
    let out = run("1/2");
    assert_eq!((out.status, server.requests().len()), (0, requests), "{}", out.stderr);
    assert!(out.stderr.contains("completed by an earlier run"), "{}", out.stderr);
    let refused = |shard: &str, says: &str| {
        let out = run(shard);
        assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    };
    refused("1/3", "is for shard 1 of 2");
    listed(&place, &server, 13);
    refused("1/2", "is for another list");
    refused("2/2", "is for another list");
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn a_shard_is_done_only_for_the_headers_and_the_chunk_hashes_of_its_list() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/1000/f");
    let digest = sha256(&content("f", 1000));
    let chunks = |length: u64| format!(r#""chunk_hashes":{{"length":{length},"sha256":["{digest}"]}}"#);
    let headers = |header: &str| format!(r#""headers":["{header}"]"#);
    for (folder, first, second) in
        [("a", headers("X-A: bc"), headers("X-Ab: c")), ("b", chunks(1000), chunks(2000))]
    {
        let run = |keys: &str| {
            place.write("list", format!("{{\"url\":\"{url}\",{keys}}}\n"));
            place.run(&["-i", "list", "-d", folder, "--shard", "1/1"])
        };
        let out = run(&first);
        assert_eq!(out.status, 0, "{}", out.stderr);
        let out = run(&second);
        assert!(out.status == 2 && out.stderr.contains("is for another list"), "{}", out.stderr);
    }
}

#[test]
fn a_shard_is_done_only_for_the_names_that_a_template_makes_of_its_list() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/1000/f");
    let run = |before: &str, id: u32, note: &str| {
        place.write("list", format!("{before}{{\"url\":\"{url}\",\"id\":{id},\"note\":\"{note}\"}}\n"));
        place.run(&["-i", "list", "-d", "all", "--name-template", "{id}.bin", "--shard", "1/1"])
    };
    assert_eq!(run("", 1, "a").status, 0);
    // A new empty line changes no file. A changed `note` changes no file either, because the template does
    // not use this column.
    let out = run("\n", 1, "b");
    assert!(out.status == 0 && out.stderr.contains("completed by an earlier run"), "{}", out.stderr);
    let out = run("", 2, "a");
    assert!(out.status == 2 && out.stderr.contains("is for another list"), "{}", out.stderr);
}

#[test]
fn a_shard_is_done_only_for_the_containers_that_its_run_wrote() {
    let (server, place) = (Server::start(), Place::new());
    listed(&place, &server, 4);
    let run = |more: &[&str]| place.run(&[&["-i", "list", "-d", "all", "--shard", "1/1"], more].concat());
    let tars = ["--to-tar", "a-{shard}.tar"];
    assert_eq!(run(&tars).status, 0);
    let out = run(&tars);
    assert!(out.status == 0 && out.stderr.contains("completed by an earlier run"), "{}", out.stderr);
    for other in [&[][..], &["--to-tar", "b-{shard}.tar"], &["--to-warc", "a-{number}.warc.gz"]] {
        let out = run(other);
        assert!(out.status == 2 && out.stderr.contains("saved its files elsewhere"), "{}", out.stderr);
    }
}

#[test]
fn a_shard_is_done_only_for_the_folder_of_the_tars_that_its_run_wrote() {
    let (server, place) = (Server::start(), Place::new());
    listed(&place, &server, 4);
    let run = |names| place.run(&["-i", "list", "-d", "all", "--shard", "1/1", "--to-tar", names]);
    assert_eq!(run("a/x-{shard}.tar").status, 0);
    // A tar in another folder does not show that a tar of this shard is unfinished.
    place.write("all/b/x-0.tar.part", "");
    for other in ["b/x-{shard}.tar", "x-{shard}.tar"] {
        let out = run(other);
        assert!(out.status == 2 && out.stderr.contains("saved its files elsewhere"), "{}", out.stderr);
    }
    let requests = server.requests().len();
    for same in ["a/x-{shard}.tar", "./a//x-{shard}.tar"] {
        let out = run(same);
        assert!(out.status == 0 && out.stderr.contains("completed by an earlier run"), "{}", out.stderr);
    }
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn a_shard_is_done_only_for_the_request_that_its_run_sent() {
    let (server, place) = (Server::start(), Place::new());
    place.write("list", format!("{}\n", server.url("well_behaved/1000/f")));
    for (name, body) in [("body", "of=hush"), ("other", "of=more")] {
        place.write(name, body);
    }
    let run = |folder: &str, request: &[&str]| {
        place.run(&[&["-i", "list", "-d", folder, "--shard", "1/1"], request].concat())
    };
    let refused = |folder: &str, request: &[&str]| {
        let out = run(folder, request);
        let says = "is for a run with another method, body or range";
        assert!(out.status == 2 && out.stderr.contains(says), "{request:?}: {}", out.stderr);
    };
    let done = |folder: &str, request: &[&str]| {
        let out = run(folder, request);
        let says = "completed by an earlier run";
        assert!(out.status == 0 && out.stderr.contains(says), "{request:?}: {}", out.stderr);
    };
    let out = run("range", &["--range", "0-99"]);
    place.assert_exact(&out, "range/f", &content("f", 1000)[..100]);
    let out = run("post", &["--data", "@body"]);
    place.assert_exact(&out, "post/f", &content("f", 1000));
    let marker = place.file("post/.downhaul-shards/1.json").expect("a marker");
    let marker = String::from_utf8(marker).expect("text");
    assert!(!marker.contains("hush") && !marker.contains("POST"), "{marker}");
    let requests = server.requests().len();
    for other in [&[][..], &["--range", "0-98"], &["--range", "0-"], &["-X", "POST"]] {
        refused("range", other);
    }
    done("range", &["--range", "0-99"]);
    for other in [&[][..], &["--data", "@other"], &["--json", "of=hush"], &["-X", "PUT", "--data", "@body"]] {
        refused("post", other);
    }
    for same in [&["--data", "@body"][..], &["--data", "of=hush"], &["-X", "POST", "--data", "of=hush"]] {
        done("post", same);
    }
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn a_shard_is_done_only_for_the_body_that_its_run_sent_also_if_it_came_from_standard_input() {
    let (server, place) = (Server::start(), Place::new());
    let list = format!("{}\n", server.url("well_behaved/1000/f"));
    place.write("list", &list);
    place.write("body", "a=1");
    let from_file = ["-i", "list", "-d", "all", "--shard", "1/1", "--data", "@body"];
    let run = |shard: &str, body: &[u8]| {
        let args = ["-i", "list", "-d", "all", "--shard", shard, "--data", "@-", "--if-exists", "overwrite"];
        place.run_with(&args, body)
    };
    let out = run("1/1", b"a=1");
    place.assert_exact(&out, "all/f", &content("f", 1000));
    let requests = server.requests().len();
    let refused = |shard: &str, body: &[u8], says: &str| {
        let out = run(shard, body);
        assert!(out.status == 2 && out.stderr.contains(says), "{says}: {}", out.stderr);
    };
    refused("1/1", b"a=2", "is for a run with another method, body or range");
    refused("1/2", b"a=1", "is for shard 1 of 1");
    for out in [run("1/1", b"a=1"), place.run(&from_file)] {
        assert!(out.status == 0 && out.stderr.contains("completed by an earlier run"), "{}", out.stderr);
    }
    place.write("list", list + &server.url("well_behaved/1000/g"));
    refused("1/1", b"a=1", "is for another list");
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn a_marker_that_is_damaged_or_of_an_earlier_version_is_refused_and_its_folder_is_named() {
    let (server, place) = (Server::start(), Place::new());
    listed(&place, &server, 2);
    let args = ["-i", "list", "-d", "all", "--shard", "1/1"];
    assert_eq!(place.run(&args).status, 0);
    let path = "all/.downhaul-shards/1.json";
    let mut earlier: serde_json::Value =
        serde_json::from_slice(&place.file(path).expect("a marker")).expect("JSON");
    earlier.as_object_mut().expect("an object").remove("request").expect("it was there");
    for marker in [earlier.to_string(), String::new()] {
        place.write(path, marker);
        let out = place.run(&args);
        assert_eq!(out.status, 2, "{}", out.stderr);
        for says in ["1.json is damaged, or an earlier version", ".downhaul-shards, and run all shards"] {
            assert!(out.stderr.contains(says), "{says}: {}", out.stderr);
        }
    }
    fs::remove_dir_all(place.path().join("all/.downhaul-shards")).expect("removed");
    let out = place.run(&args);
    assert!(out.status == 0 && place.file(path).is_some(), "{}", out.stderr);
}

/// The file of a shard may have the name of a file of another shard.
#[test]
fn a_shard_with_one_file_does_not_replace_the_file_of_another_shard() {
    let (server, place) = (Server::start(), Place::new());
    let named = |n: u32| server.url(&format!("named/1000/n{n}?disposition=attachment;filename=data.csv"));
    place.write("list", [1, 2].map(named).join("\n"));
    for shard in ["1/2", "2/2"] {
        let args = ["-i", "list", "--shard", shard, "--shard-by", "line", "--if-exists", "update"];
        let out = place.run(&args);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    let files = ["data.csv", "data (1).csv"].map(|name| place.file(name).expect("a file"));
    assert!(files[0] == content("n1", 1000) && files[1] == content("n2", 1000));
}

#[test]
fn a_shard_with_a_failed_file_is_not_done() {
    let (server, place) = (Server::start(), Place::new());
    listed(&place, &server, 4);
    let list = format!(
        "{}{}\n",
        fs::read_to_string(place.path().join("list")).expect("a list"),
        server.url("missing")
    );
    place.write("list", list);
    let run = || place.run(&["-i", "list", "-d", "all", "--shard", "1/1", "--retries", "0"]);
    assert_eq!(run().status, 1);
    server.put("/missing", "found");
    let out = run();
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.file("all/missing").as_deref(), Some(&b"found"[..]));
}

#[test]
fn a_task_finds_its_shard_in_the_environment() {
    let (server, place) = (Server::start(), Place::new());
    let names = listed(&place, &server, 20);
    for id in ["0", "1"] {
        let mut command = place.command(&["-i", "list", "-d", "all", "--shard", "auto"]);
        for (name, value) in [("ID", id), ("MIN", "0"), ("MAX", "1"), ("COUNT", "2"), ("STEP", "1")] {
            command.env(format!("SLURM_ARRAY_TASK_{name}"), value);
        }
        let out = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts"));
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(out.stderr.contains(&format!("shard {} of 2", id.parse::<u32>().expect("a number") + 1)));
    }
    assert!(names.iter().all(|name| place.file(&format!("all/{name}")).is_some()));
    let out = place.run(&["-i", "list", "--shard", "auto"]);
    assert!(out.status == 2 && out.stderr.contains("no task number is known"), "{}", out.stderr);
}

#[test]
fn a_list_on_standard_input_is_divided_too_and_leaves_no_mark() {
    let (server, place) = (Server::start(), Place::new());
    let names = listed(&place, &server, 20);
    let list = fs::read(place.path().join("list")).expect("a list");
    for shard in ["1/2", "2/2", "2/2"] {
        let out = place.run_with(&["-i", "-", "-d", "all", "--shard", shard], &list);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    assert!(names.iter().all(|name| place.file(&format!("all/{name}")).is_some()));
    assert!(!place.path().join("all/.downhaul-shards").exists());
}

#[test]
fn values_that_are_no_shard_are_usage_errors() {
    let place = Place::new();
    for (value, says) in
        [("0/3", "from 1 to 3"), ("4/3", "from 1 to 3"), ("3", "K/N"), ("1/0", "K/N"), ("a/b", "K/N")]
    {
        place.assert_failed(&place.run(&["http://h/a", "--shard", value]), 2, says);
    }
}

const SIZE: u64 = 6_000_000;

/// Starts a run that downloads a file to `f`, and waits until a part of it is on the disk.
fn begun(place: &Place, url: &str) -> Child {
    let run = place.start(&[url, "-o", "f", "-x1"]);
    place.wait_for_bytes("f.part", 500_000);
    run
}

#[test]
fn a_run_waits_for_the_file_of_another_run_and_skips_it() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=2000000"));
    let first = begun(&place, &url);
    let out = place.run(&[&url, "-o", "f", "--if-locked", "wait", "--progress", "json"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let kinds: Vec<_> =
        events(&out).iter().filter_map(|event| event["kind"].as_str().map(String::from)).collect();
    assert!(kinds.iter().any(|kind| kind == "skipped"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "retrying").count(), 1, "the wait is reported once");
    place.assert_exact(&finish(first), "f", &content("file", SIZE));
    assert_eq!(server.requests().len(), 1, "the second run requested nothing");
}

#[test]
fn a_run_that_waits_continues_the_file_if_the_other_run_is_killed() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=2000000"));
    let first = begun(&place, &url);
    let second = place.start(&[&url, "-o", "f", "--if-locked", "wait"]);
    std::thread::sleep(Duration::from_millis(500));
    send(Signal::KILL, &first);
    finish(first);
    place.assert_exact(&finish(second), "f", &content("file", SIZE));
}

#[test]
fn a_run_waits_for_a_file_whose_name_comes_from_the_server() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("named/{SIZE}/dl?disposition=attachment;filename=srv.csv"));
    for is_killed in [false, true] {
        let first = place.start(&[&url, "-d", "s", "-x1", "--limit-rate", "2M"]);
        place.wait_for_bytes("s/srv.csv.part", 500_000);
        let second = place.start(&[&url, "-d", "s", "--if-locked", "wait"]);
        std::thread::sleep(Duration::from_millis(500));
        if is_killed {
            send(Signal::KILL, &first);
        }
        let first = finish(first);
        place.assert_exact(&finish(second), "s/srv.csv", &content("dl", SIZE));
        let saved: Vec<String> = place.files().into_iter().filter(|name| name.starts_with("s/")).collect();
        assert_eq!(saved, ["s/srv.csv"], "{}", first.stderr);
        std::fs::remove_file(place.path().join("s/srv.csv")).expect("removes");
    }
}

#[test]
fn the_file_of_another_run_is_compared_with_the_checksum_list_of_the_run_that_waited_for_it() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=2000000"));
    let right = sha256(&content("file", SIZE));
    for (digest, status) in [(right.as_str(), 0), (&"ab".repeat(32), 3)] {
        let first = begun(&place, &url);
        place.write("SHA256SUMS", format!("{digest}  f\n"));
        let args = ["-o", "f", "--if-locked", "wait", "--checksum-file", "SHA256SUMS"];
        let out = place.run(&[&[url.as_str()], &args[..]].concat());
        assert_eq!(out.status, status, "{}", out.stderr);
        place.assert_exact(&finish(first), "f", &content("file", SIZE));
        std::fs::remove_file(place.path().join("f")).expect("removes");
    }
}

#[test]
fn a_file_that_another_run_has_just_updated_is_not_downloaded_again() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=2000000"));
    let first = begun(&place, &url);
    let out = place.run(&[&url, "-o", "f", "--if-locked", "wait", "--if-exists", "update"]);
    assert!(out.status == 0 && out.stderr.contains("is up to date"), "{}", out.stderr);
    place.assert_exact(&finish(first), "f", &content("file", SIZE));
}

#[test]
fn a_run_leaves_the_file_of_another_run_alone() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=2000000"));
    let first = begun(&place, &url);
    let out = place.run(&[&url, "-o", "f", "--if-locked", "skip", "--record", "lock.jsonl"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    let lock = String::from_utf8(place.file("lock.jsonl").expect("a lock file")).expect("text");
    assert!(lock.contains(r#""status":"failed""#) && lock.contains("file.locked"), "{lock}");
    place.assert_exact(&finish(first), "f", &content("file", SIZE));
}

#[test]
fn two_copies_of_one_list_in_one_folder_do_not_harm_each_other() {
    let (server, place) = (Server::start(), Place::new());
    let mut list = String::new();
    for n in 0..6 {
        list += &format!("{}\n", server.url(&format!("capped/1500000/big{n}?rate=3000000")));
        list += &format!("{}\n", server.put(&format!("/small{n}"), content(&format!("small{n}"), 5000)));
    }
    place.write("list", list);
    let args = ["-i", "list", "-d", "all", "-j4", "--if-locked", "wait"];
    let (first, second) = (place.start(&args), place.start(&args));
    for out in [finish(first), finish(second)] {
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    for n in 0..6 {
        assert_eq!(place.file(&format!("all/big{n}")), Some(content(&format!("big{n}"), 1_500_000)));
        assert_eq!(place.file(&format!("all/small{n}")), Some(content(&format!("small{n}"), 5000)));
    }
    let left: Vec<_> = place.files().into_iter().filter(|file| file.contains(".part")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_run_ends_with_the_program_that_started_it_and_the_next_run_continues() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=1000000"));
    let program = place.command(&[]).get_program().to_string_lossy().into_owned();
    let script = format!("{program} {url} -o f -x1 --stop-with-parent & echo $! > pid; wait");
    let mut shell = place.command(&[]);
    let mut shell = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(place.path())
        .envs(shell.env("X", "").get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts");
    place.wait_for_bytes("f.part", 1_000_000);
    let pid = fs::read_to_string(place.path().join("pid")).expect("the number of the process");
    shell.kill().expect("it runs");
    shell.wait().expect("it ends");
    let lives =
        || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(poll(ENDS, || (!lives()).then_some(())).is_some(), "it did not end");
    let out = place.run(&[&url, "-o", "f"]);
    place.assert_exact(&out, "f", &content("file", SIZE));
    assert!(out.stderr.contains("resum"), "{}", out.stderr);
}

#[test]
fn a_run_stops_if_the_reader_of_its_events_ends_unless_it_keeps_going() {
    for (more, status) in [(&[][..], 1), (&["--keep-going"][..], 0)] {
        let (server, place) = (Server::start(), Place::new());
        let url = server.url(&format!("capped/{SIZE}/file?rate=2000000"));
        let args = [&[url.as_str(), "-o", "f", "-x1", "--progress", "json"], more].concat();
        let mut run = place.start(&args);
        place.wait_for_bytes("f.part", 500_000);
        drop(run.stdout.take());
        let began = Instant::now();
        let out = finish(run);
        assert_eq!(out.status, status, "{}", out.stderr);
        if status == 0 {
            place.assert_exact(&out, "f", &content("file", SIZE));
        } else {
            assert!(out.stderr.contains("--keep-going"), "{}", out.stderr);
            assert!(began.elapsed() < ENDS && place.files().contains(&"f.part".to_string()));
        }
    }
}

#[test]
fn a_run_ends_within_the_grace_even_if_its_last_output_hangs() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=1000000"));
    // No program reads this pipe, so the list of failed files cannot be written.
    place.make_pipe("pipe");
    let run = place.start(&[&url, "-o", "f", "-x1", "--failed", "pipe", "--grace", "2"]);
    place.wait_for_bytes("f.part", 500_000);
    let began = Instant::now();
    send(Signal::TERM, &run);
    let out = finish(run);
    assert_eq!(out.status, 75, "{}", out.stderr);
    assert!(began.elapsed() < ENDS);
    wait_until("the partial file is there", || place.files().contains(&"f.part".to_string()));
}

#[test]
fn the_list_of_failed_files_has_files_of_the_shard_only() {
    let (server, place) = (Server::start(), Place::new());
    let lines: String = (0..30).map(|n| format!("{} f{n}\n", server.url(&format!("missing{n}")))).collect();
    place.write("list", lines);
    let mut all = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let out =
            place.run(&["-i", "list", "-d", "all", "--shard", shard, "--retries", "0", "--failed", "rest"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        let rest = String::from_utf8(place.file("rest").expect("a list")).expect("text");
        let number = rest.lines().filter(|line| line.starts_with('{')).count();
        assert!(
            (1..30).contains(&number) && out.stderr.contains(&format!("{number} of 30 files")),
            "{}",
            out.stderr
        );
        all.extend(rest.lines().map(String::from));
        fs::remove_file(place.path().join("rest")).expect("it is there");
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 30);
}

#[test]
fn a_list_whose_shards_would_have_a_name_twice_is_refused() {
    let (server, place) = (Server::start(), Place::new());
    let urls: Vec<String> = (0..8).map(|n| server.put(&format!("/d{n}/data.bin"), format!("{n}"))).collect();
    // A repeated line stands for one file.
    place.write("list", format!("{0}\n{0}\n", urls.join("\n")));
    let args = ["-i", "list", "-d", "all", "--shard", "1/2"];
    let out = place.run(&args);
    assert!(out.status == 2 && out.stderr.contains("would have the same name: data.bin"), "{}", out.stderr);
    for shard in ["1/2", "2/2"] {
        let out = place.run(&["-i", "list", "-d", "all", "--folders", "1", "--shard", shard]);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    assert!((0..8).all(|n| place.file(&format!("all/d{n}/data.bin")) == Some(format!("{n}").into_bytes())));
}

#[test]
fn a_shard_with_a_file_that_was_left_to_another_run_is_not_done() {
    let (server, place) = (Server::start(), Place::new());
    place.write("list", format!("{} f\n", server.url(&format!("capped/{SIZE}/file?rate=2000000"))));
    let first = place.start(&["-i", "list", "-x1"]);
    place.wait_for_bytes("f.part", 500_000);
    let skips = ["-i", "list", "--shard", "1/1", "--if-locked", "skip", "--failed", "rest"];
    assert_eq!(place.run(&skips).status, 1);
    assert!(String::from_utf8(place.file("rest").expect("a list")).expect("text").contains("capped"));
    send(Signal::KILL, &first);
    finish(first);
    let out = place.run(&["-i", "list", "--shard", "1/1"]);
    place.assert_exact(&out, "f", &content("file", SIZE));
}

#[test]
fn a_shard_is_not_done_if_a_part_of_its_list_came_from_standard_input() {
    let (server, place) = (Server::start(), Place::new());
    place.write("list", format!("{}\n", server.put("/a", "a")));
    for name in ["b", "c"] {
        let line = format!("{}\n", server.put(&format!("/{name}"), name));
        let out = place.run_with(&["-i", "list", "-i", "-", "-d", "all", "--shard", "1/1"], line.as_bytes());
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_eq!(place.file(&format!("all/{name}")).as_deref(), Some(name.as_bytes()));
    }
}

#[test]
fn a_shard_that_is_done_still_writes_its_list_of_failed_files() {
    let (server, place) = (Server::start(), Place::new());
    listed(&place, &server, 3);
    for _ in 0..2 {
        let out = place.run(&["-i", "list", "-d", "all", "--shard", "1/1", "--failed", "rest"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_eq!(place.file("rest").as_deref(), Some(&b""[..]));
        fs::remove_file(place.path().join("rest")).expect("it is there");
    }
}

#[test]
fn a_run_that_waits_for_a_file_without_a_journal_sends_no_requests() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("slow/900000/file?rate=200000");
    let first = place.start(&[&url, "-o", "f", "-x1"]);
    wait_until("there is a partial file", || place.files().iter().any(|file| file.contains(".part")));
    let out = place.run(&[&url, "-o", "f", "--if-locked", "wait"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(finish(first).status, 0);
    let requests = server.requests().len();
    assert!(requests <= 2, "{requests} requests");
}

#[test]
fn the_end_of_the_reader_is_noticed_while_no_event_is_written() {
    let place = Place::new();
    let mut command = place.command(&["-i", "-", "--progress", "json"]);
    let mut run =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let stdin = run.stdin.take();
    std::thread::sleep(Duration::from_millis(500));
    drop(run.stdout.take());
    let out = finish(run);
    assert_eq!(out.status, 1, "the list was not read to its end: {}", out.stderr);
    drop(stdin);
}

#[test]
fn a_signal_after_the_end_of_the_parent_is_the_first_one() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/file?rate=1000000"));
    let pipe = place.make_pipe("rest");
    let program = place.command(&[]).get_program().to_string_lossy().into_owned();
    // The test kills the shell, so the program that the shell started gets another parent.
    let script = format!("{program} {url} -o f -x1 --stop-with-parent --failed rest & echo $! > pid; wait");
    let mut shell = place.command(&[]);
    let mut shell = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(place.path())
        .envs(shell.env("X", "").get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts");
    place.wait_for_bytes("f.part", 500_000);
    let pid = fs::read_to_string(place.path().join("pid")).expect("the number of the process");
    let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process number");
    shell.kill().expect("it runs");
    shell.wait().expect("it ends");
    // From now on, the run waits for a reader of its list of failed files.
    let says = "the program that started downhaul has ended";
    wait_until("the log says why the run stops", || place.log().contains(says));
    // A second signal would end the run at once, without the list.
    send_to(Signal::TERM, pid);
    std::thread::sleep(Duration::from_millis(300));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(fs::read_to_string(pipe)));
    let rest = receiver.recv_timeout(PATIENCE).expect("the run writes its list").expect("UTF-8");
    assert!(rest.contains("capped"), "{rest}");
}

#[test]
fn a_signal_while_the_list_is_fetched_has_the_status_of_a_stopped_run() {
    let (server, place) = (Server::start(), Place::new());
    let list = server.url("slow/100000/list?rate=1000");
    for (signal, status) in [(Signal::TERM, 75), (Signal::INT, 130)] {
        let before = server.requests().len();
        let run = place.start(&["-i", &list, "-d", "all"]);
        wait_until("the list is requested", || server.requests().len() > before);
        std::thread::sleep(Duration::from_millis(300));
        send(signal, &run);
        assert_eq!(finish(run).status, status);
    }
}

#[test]
fn the_list_of_a_shard_is_not_replaced_by_its_failed_files() {
    let (server, place) = (Server::start(), Place::new());
    let url = |n: usize| server.put(&format!("/f{n}"), format!("{n}"));
    let line = |n| format!("{{\"listed_by\":\"--failed\",\"url\":\"{}\"}}\n", url(n));
    place.write("list", (0..4).map(line).collect::<String>());
    let before = place.file("list");
    let out = place.run(&["-i", "list", "-d", "all", "--shard", "1/2", "--failed", "list"]);
    assert!(out.status == 2 && out.stderr.contains("--failed would replace the list"), "{}", out.stderr);
    assert_eq!(place.file("list"), before);
}
