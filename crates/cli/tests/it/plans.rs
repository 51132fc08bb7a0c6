//! Tests of `downhaul plan`: it writes nothing, and the download then does what the plan said.

use crate::common::{Out, Place, events, finish};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

const SIZE: u64 = 3000;
const LARGE: u64 = 3_000_000;

/// The content and the time of each file and folder.
type Snapshot = BTreeMap<String, (Vec<u8>, SystemTime)>;

fn snapshot(folder: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let meta = fs::symlink_metadata(entry.path()).expect("it is there");
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let shown = entry.path().to_string_lossy().into_owned();
            all.insert(shown, (bytes, meta.modified().expect("a time")));
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    all
}

/// Runs a plan, and asserts that it changes nothing on the disk.
#[track_caller]
fn plan(place: &Place, args: &[&str]) -> Out {
    let before = (snapshot(place.path()), snapshot(place.state()));
    let out = place.run(&[&["plan"], args].concat());
    assert!(
        before == (snapshot(place.path()), snapshot(place.state())),
        "the plan wrote: {:?}",
        place.files()
    );
    out
}

fn of_kind(out: &Out, kind: &str) -> Vec<Value> {
    events(out).into_iter().filter(|event| event["kind"] == kind).collect()
}

/// Returns how each job ended, by its number. In the result, a file that would be downloaded equals a file
/// that was downloaded.
fn ends(out: &Out) -> BTreeMap<u64, Value> {
    let end = |event: &Value| match event["kind"].as_str() {
        Some("planned") => Some(json!(["whole", event["path"], event["size"], event["kept"]])),
        Some("finished") => {
            let (bytes, fetched) = (event["bytes"].as_u64()?, event["fetched"].as_u64()?);
            Some(json!(["whole", event["path"], bytes, bytes.saturating_sub(fetched)]))
        }
        Some("skipped") => Some(json!(["skipped", event["path"], event["reason"]])),
        Some("failed") => Some(json!(["failed", event["error"]["code"]])),
        _ => None,
    };
    events(out).iter().filter_map(|event| Some((event["job"].as_u64()?, end(event)?))).collect()
}

/// Asserts that a plan and the download after it end in the same way. Returns the plan.
#[track_caller]
fn assert_foretells(place: &Place, args: &[&str]) -> Out {
    let args = [args, &["--progress", "json"]].concat();
    let planned = plan(place, &args);
    let downloaded = place.run(&args);
    assert_eq!(ends(&planned), ends(&downloaded), "{args:?}\n{}\n{}", planned.stderr, downloaded.stderr);
    assert_eq!(planned.status, downloaded.status, "{args:?}\n{}\n{}", planned.stderr, downloaded.stderr);
    planned
}

/// Leaves a partial file that has about half of the bytes.
fn interrupt(place: &Place, url: &str, name: &str) {
    let out = place.run(&[url, "-o", name, "--retries", "0", "-x", "1"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(place.path().join(format!("{name}.part.journal")).exists(), "{:?}", place.files());
}

#[test]
fn a_quiet_plan_shows_every_failure() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/10/f");
    let lines = (0..50).fold(String::new(), |all, n| format!("{all}{url}?{n} {n}\n"));
    place.write("list", lines);
    (0..50).for_each(|n| drop(place.write(&n.to_string(), "another file")));
    let out = plan(&place, &["-i", "list", "-q", "--if-exists", "error"]);
    let shown = String::from_utf8(out.stdout).expect("UTF-8");
    assert_eq!(shown.matches("file.exists").count(), 50, "{shown}");
}

#[test]
fn a_plan_with_dedup_is_refused_and_without_that_of_the_configuration_a_note_says_so() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/10/f");
    let out = place.run(&["plan", &url, "--dedup", "hardlink"]);
    place.assert_failed(&out, 2, "a plan cannot say which files --dedup makes from other files");
    assert_eq!(plan(&place, &[&url, "--dedup", "off"]).status, 0);
    place.write("c.toml", "dedup = \"hardlink\"\n");
    let out = plan(&place, &[&url, "--config", "c.toml"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(out.stderr.contains("the setting dedup has no effect on a plan"), "{}", out.stderr);
}

#[test]
fn names_and_sizes_are_those_of_the_download() {
    let server = Server::start();
    let url = |target: &str| server.url(target);
    let named = url(&format!("named/{SIZE}/x?disposition=attachment; filename=\"their name.bin\""));
    let cases: &[&[&str]] = &[
        &[&url(&format!("well_behaved/{SIZE}/f"))],
        &[&url(&format!("well_behaved/{LARGE}/f")), "-o", "sub/given"],
        &[&named, &url(&format!("well_behaved/{SIZE}/f"))],
        &[&url(&format!("well_behaved/{SIZE}/a/same")), &url(&format!("well_behaved/{SIZE}/b/same"))],
        &[&url(&format!("well_behaved/{SIZE}/twice")), &url(&format!("well_behaved/{SIZE}/twice"))],
        &[&url(&format!("well_behaved/{SIZE}/download_log.txt"))],
        &[&url(&format!("well_behaved/{SIZE}/f?q=1")), "--name-template", "{host}/{query[q]}-{name}"],
        &[&url(&format!("redirect_chain/{SIZE}/f?hops=3"))],
        &[&url(&format!("get_only/{SIZE}/f"))],
        &[&url(&format!("head_says_nothing/{SIZE}/f"))],
        &[&url(&format!("no_ranges/{LARGE}/f"))],
        &[&url(&format!("well_behaved/{SIZE}/f")), "--range", "10-99"],
        &[&url(&format!("well_behaved/{SIZE}/f")), "-o", "/dev/null"],
    ];
    for case in cases {
        assert_foretells(&Place::new(), case);
    }
    // With -o -, standard output is not free for the events that these comparisons need.
    let (place, url) = (Place::new(), url(&format!("well_behaved/{SIZE}/f")));
    let planned = plan(&place, &[&url, "-o", "-"]);
    let text = String::from_utf8(planned.stdout).expect("UTF-8");
    assert!(planned.status == 0 && text.contains("download   2.93 KiB  -\n"), "{text}{}", planned.stderr);
    let out = place.run(&[&url, "-o", "-"]);
    assert!(out.status == 0 && out.stdout == content("f", SIZE), "{}", out.stderr);
}

#[test]
fn failures_and_their_exit_statuses_are_those_of_the_download() {
    let server = Server::start();
    let url = |target: &str| server.url(target);
    let fine = url(&format!("well_behaved/{SIZE}/fine"));
    let page = url(&format!("headers/{SIZE}/data.zip?Content-Type=text/html"));
    let other = format!("sha256:{}", "0".repeat(64));
    let cases: &[&[&str]] = &[
        &[&url("status/1/gone?status=404"), &fine],
        &[&url("status/1/f?status=403")],
        &[&url("fails_always/1/f?status=503"), "--retries", "1"],
        &[&url("status/1/f?status=404"), &fine, "--on-error", "exit", "-j", "1"],
        &[&page],
        &["http://127.0.0.1:9/refused", "--retries", "0"],
        &[&url(&format!("two_lengths/{SIZE}/f")), "--retries", "0"],
        &[&fine, "--verify", "require"],
        &[&url("redirect_chain/1/f")],
        &[&fine, "-o", "folder"],
        &[&fine, "-o", "file/f"],
        &[&fine, "-o", "there"],
        &[&fine, "-o", "there", "--checksum", &other],
        &[&fine, "-o", "there", "--if-exists", "error"],
        &[&fine, "-o", "dangling"],
    ];
    for case in cases {
        let place = Place::new();
        place.write("folder/x", "");
        place.write("file", "");
        place.write("there", "something else");
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere", place.path().join("dangling")).expect("a link");
        assert_foretells(&place, case);
    }
}

#[test]
fn an_existing_file_is_kept_replaced_or_refused_as_by_the_download() {
    let server = Server::start();
    let target = format!("well_behaved/{SIZE}/f");
    let url = server.url(&target);
    for how in ["check", "skip", "update", "overwrite", "rename", "error"] {
        for state in ["ours", "another's", "equal", "unfinished"] {
            let place = Place::new();
            match state {
                "ours" => assert_eq!(place.run(&[&url]).status, 0),
                "equal" => drop(place.write("f", content("f", SIZE))),
                _ => drop(place.write("f", "something else")),
            }
            if state == "unfinished" {
                place.write("f.aria2", "not read here");
            }
            let out = assert_foretells(&place, &[&url, "--if-exists", how]);
            let steps: Vec<Value> = of_kind(&out, "planned").iter().map(|one| one["step"].clone()).collect();
            let expected = match (how, state) {
                ("overwrite", _) | ("update", "another's" | "unfinished" | "equal") => vec![json!("replace")],
                ("rename", _) => vec![json!("download")],
                _ => vec![],
            };
            assert_eq!(steps, expected, "{how} {state}");
        }
    }
}

#[test]
fn the_proven_bytes_of_a_partial_file_are_counted() {
    let target = format!("truncated_body_always/{LARGE}/f");
    for args in [&[][..], &["--no-resume"], &["-x", "4"]] {
        let (server, place) = (Server::start(), Place::new());
        let url = server.url(&target);
        interrupt(&place, &url, "f");
        server.becomes(&target, &format!("well_behaved/{LARGE}/f"));
        let out = assert_foretells(&place, &[&[&*url, "-o", "f"], args].concat());
        let planned = of_kind(&out, "planned").remove(0);
        let step = if args.contains(&"--no-resume") { "download" } else { "resume" };
        assert_eq!(planned["step"], step, "{planned}");
    }
}

#[test]
fn damaged_bytes_of_a_partial_file_do_not_count() {
    let server = Server::start();
    let url = server.url(&format!("truncated_body_always/{LARGE}/f"));
    let place = Place::new();
    interrupt(&place, &url, "f");
    let part = place.path().join("f.part");
    let mut bytes = fs::read(&part).expect("reads");
    bytes[10] ^= 1;
    fs::write(&part, bytes).expect("writes");
    let out = plan(&place, &[&url, "-o", "f", "--progress", "json", "--retries", "0"]);
    let planned = of_kind(&out, "planned").remove(0);
    assert!(planned["kept"].as_u64().is_some_and(|kept| kept < LARGE / 2), "{planned}");
}

#[test]
fn facts_in_a_list_need_no_request() {
    let (server, place) = (Server::start(), Place::new());
    let lines: Vec<String> = (1..=3)
        .map(|n| {
            let digest = sha256(&content("f", SIZE));
            let url = server.url(&format!("well_behaved/{SIZE}/f?{n}"));
            json!({"url": url, "out": format!("f{n}"), "size": SIZE, "sha256": digest, "n": n}).to_string()
        })
        .collect();
    place.write("list.jsonl", lines.join("\n"));
    let args = ["-i", "list.jsonl", "--progress", "json"];
    let out = plan(&place, &args);
    assert_eq!(server.requests().len(), 0);
    let planned = of_kind(&out, "planned");
    assert_eq!(planned.len(), 3, "{}", out.stderr);
    for one in &planned {
        assert_eq!((&one["size"], &one["size_from"]), (&json!(SIZE), &json!("list")), "{one}");
        assert_eq!((&one["digests"], &one["extra"]["n"]), (&json!(["sha-256"]), &one["job"]), "{one}");
    }
    let sums = of_kind(&out, "plan").remove(0);
    assert_eq!((&sums["files"], &sums["bytes"], &sums["unknown"]), (&json!(3), &json!(3 * SIZE), &json!(0)));
    assert_eq!(sums["hosts"].as_object().map(serde_json::Map::len), Some(1), "{sums}");
    assert_foretells(&place, &args[..2]);
}

#[test]
fn offline_sends_nothing_and_says_what_is_not_known() {
    let (server, place) = (Server::start(), Place::new());
    let [new, old] = ["new", "old"].map(|name| server.url(&format!("well_behaved/{SIZE}/{name}")));
    place.write("old", "something else");
    let out = plan(&place, &[&new, &old, "--offline", "--progress", "json"]);
    assert_eq!((out.status, server.requests().len()), (0, 0), "{}", out.stderr);
    let planned = of_kind(&out, "planned");
    let of = |name: &str| {
        let ends_in = |one: &&Value| one["path"].as_str().is_some_and(|path| path.ends_with(name));
        planned.iter().find(ends_in).cloned().unwrap_or_else(|| panic!("{planned:?}"))
    };
    assert_eq!((&of("new")["size"], &of("new")["may_be_renamed"]), (&Value::Null, &json!(true)));
    assert_eq!((&of("old")["step"], &of("new")["step"]), (&json!("compare"), &json!("download")));
    assert_eq!(of_kind(&out, "plan")[0]["unknown"], 2);
    let list = server.put("/list", new.as_bytes());
    let out = plan(&place, &["-i", &list, "--offline"]);
    assert_eq!((out.status, server.requests().len()), (2, 0), "{}", out.stderr);
}

#[test]
fn only_facts_are_requested() {
    let (server, place) = (Server::start(), Place::new());
    let refuses = server.url(&format!("get_only/{LARGE}/refuses"));
    let answers = server.url(&format!("well_behaved/{LARGE}/answers"));
    let out = plan(&place, &[&refuses, &answers, "--progress", "json"]);
    let sizes: Vec<Value> = of_kind(&out, "planned").iter().map(|one| one["size"].clone()).collect();
    assert_eq!(sizes, [json!(LARGE), json!(LARGE)], "{}", out.stderr);
    let of = |name: &str| -> Vec<(String, Option<String>)> {
        let all = server.requests_for(name);
        all.iter().map(|one| (one.method.clone(), one.header("range").map(str::to_string))).collect()
    };
    assert_eq!(of("answers"), [("HEAD".to_string(), None)]);
    let first_byte = Some("bytes=0-0".to_string());
    assert_eq!(of("refuses"), [("HEAD".to_string(), None), ("GET".to_string(), first_byte)]);
    // A request that may change something on the server is not sent.
    let out = plan(&place, &[&answers, "--data", "a=b", "--progress", "json"]);
    assert_eq!((out.status, of("answers").len()), (0, 1), "{}", out.stderr);
}

#[test]
fn archives_shards_and_limits_count_as_for_the_download() {
    let server = Server::start();
    // The shard of a file depends on the port of the server. With 20 files, each shard has some of them.
    let urls: Vec<String> = (0..20).map(|n| server.url(&format!("well_behaved/{SIZE}/f{n}"))).collect();
    let place = Place::new();
    place.write("list", urls.join("\n"));
    plan(&place, &["-i", "list", "--archive", "done.db"]);
    assert_eq!(place.run(&[&urls[0], "--archive", "done.db"]).status, 0);
    fs::remove_file(place.path().join("f0")).expect("removed");
    let out = assert_foretells(&place, &["-i", "list", "--archive", "done.db", "--shard", "1/2"]);
    assert!(!of_kind(&out, "planned").is_empty(), "{}", out.stderr);
    let out = plan(&place, &["-i", "list", "--archive", "done.db", "--shard", "1/2", "--progress", "json"]);
    assert!(of_kind(&out, "planned").is_empty() && out.status == 0, "{}", out.stderr);
    let (place, limit) = (Place::new(), (SIZE * 2).to_string());
    place.write("list", urls.join("\n"));
    assert_foretells(&place, &["-i", "list", "--max-total", &limit, "-j", "1"]);
}

#[test]
fn a_plan_says_that_another_run_works_on_a_file_and_does_not_disturb_that_run() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{LARGE}/f?rate=1000000"));
    let other = place.start(&[&url, "-o", "f"]);
    place.wait_for_bytes("f.part", 1);
    let run = |how: &str| place.run(&["plan", &url, "-o", "f", "--progress", "json", "--if-locked", how]);
    let (fails, skips, waits) = (run("fail"), run("skip"), run("wait"));
    assert_eq!((fails.status, skips.status, waits.status), (1, 1, 0), "{}", waits.stderr);
    assert_eq!(of_kind(&fails, "failed")[0]["error"]["code"], "file.locked");
    assert_eq!(of_kind(&skips, "skipped").len(), 1);
    assert_eq!(of_kind(&waits, "planned")[0]["step"], "wait");
    place.assert_exact(&finish(other), "f", &content("f", LARGE));
}

#[test]
fn the_table_fits_the_terminal_and_ends_with_the_sums() {
    let (server, place) = (Server::start(), Place::new());
    let mut lines: Vec<String> = (0..60)
        .map(|n| {
            let url = server.url(&format!("well_behaved/{SIZE}/{n}"));
            json!({"url": url, "out": format!("data/file-{n}"), "size": SIZE}).to_string()
        })
        .collect();
    lines.push(server.url("status/1/gone?status=404"));
    place.write("list", lines.join("\n"));
    let out = plan(&place, &["-i", "list"]);
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    assert_eq!(out.status, 1, "{}", out.stderr);
    for says in
        ["data/file-0\n", "40 more files", "http.not_found", "60 download, 1 fail", "176 KiB to download"]
    {
        assert!(text.contains(says), "{says}:\n{text}");
    }
    assert!(!text.contains("data/file-30"), "{text}");
    let all = String::from_utf8(plan(&place, &["-i", "list", "--all"]).stdout).expect("UTF-8");
    let names: Vec<&str> = all.lines().filter_map(|line| line.rsplit_once("file-").map(|(_, n)| n)).collect();
    assert_eq!(names, (0..60).map(|n| n.to_string()).collect::<Vec<_>>(), "in the order of the list");
    let quiet = String::from_utf8(plan(&place, &["-i", "list", "-q"]).stdout).expect("UTF-8");
    assert!(!quiet.contains("file-0") && quiet.contains("http.not_found"), "{quiet}");
}
