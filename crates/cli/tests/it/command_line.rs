//! Tests of the command line: its forms, lists, existing files, exit statuses, the log, events, and the
//! messages for wrong input.

use crate::common::{Place, events, wait_until};
use downhaul_testkit::server::LAST_MODIFIED;
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

fn good(server: &Server, size: u64, name: &str) -> String {
    server.url(&format!("well_behaved/{size}/{name}"))
}

#[test]
fn urls_and_names_can_be_given_as_comma_separated_lists() {
    let server = Server::start();
    let place = Place::new();
    let urls = format!("{}, {}", good(&server, 1000, "a,b"), good(&server, 2000, "c"));
    let out =
        place.run(&[&urls, "one, two words", "--output", "./downloads", "--retries", "5", "--parallel", "4"]);
    place.assert_exact(&out, "downloads/one", &content("a,b", 1000));
    place.assert_exact(&out, "downloads/two words", &content("c", 2000));
}

#[test]
fn without_names_the_files_have_the_names_in_their_urls() {
    let server = Server::start();
    let place = Place::new();
    let both = format!("{},{}", good(&server, 1000, "a.txt?x=1"), good(&server, 0, "dir/"));
    let out = place.run(&[&both, &good(&server, 1, "%C3%A4%2Fb")]);
    place.assert_exact(&out, "a.txt", &content("a.txt", 1000));
    place.assert_exact(&out, "index.html", &[]);
    place.assert_exact(&out, "ä_b", &content("%C3%A4%2Fb", 1));
}

#[test]
fn one_url_can_be_saved_to_any_path() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&good(&server, 1000, "a"), "-d", "x", "-o", "../y/z"]);
    place.assert_exact(&out, "y/z", &content("a", 1000));
}

#[test]
fn standard_output_gets_the_bytes_of_the_file_and_nothing_else() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&good(&server, 3_000_000, "a"), "-o", "-"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(out.stdout == content("a", 3_000_000));
    assert!(place.files().is_empty() && place.log().is_empty(), "no file and no log");
    // The output is continued after an interruption. Bytes that were written cannot be taken back.
    let out = place.run(&[&server.url("truncated_body/3000000/a"), "-o", "-"]);
    assert!(out.status == 0 && out.stdout == content("a", 3_000_000), "{}", out.stderr);
    let out = place.run(&[&server.url("truncated_body_without_ranges/300000/a"), "-o", "-"]);
    assert_eq!(out.status, 1);
    assert!(out.stderr.contains("cannot be taken back"), "{}", out.stderr);
    let out = place.run(&[&server.url("checksum_wrong/1000/a"), "-o", "-"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
}

#[test]
fn lists_of_lines_and_of_json_lines_are_downloaded() {
    let server = Server::start();
    let place = Place::new();
    let digest = sha256(&content("j", 500));
    let list = format!(
        "\u{feff}# a comment\n\n{}\n{}\tsub/two.bin\r\n{} three with blanks\n{{\"url\":\"{}\",\"out\":\"four\",\"sha256\":\"{digest}\",\"id\":[7]}}\n",
        good(&server, 100, "one"),
        good(&server, 200, "x"),
        good(&server, 300, "y"),
        good(&server, 500, "j"),
    );
    place.write("list", &list);
    let out = place.run(&["-i", "list", "-d", "out", "--progress", "json"]);
    place.assert_exact(&out, "out/one", &content("one", 100));
    place.assert_exact(&out, "out/sub/two.bin", &content("x", 200));
    place.assert_exact(&out, "out/three with blanks", &content("y", 300));
    place.assert_exact(&out, "out/four", &content("j", 500));
    let events = events(&out);
    assert!(
        events.iter().any(|e| e["kind"] == "queued" && e["extra"]["id"][0] == 7),
        "other keys are passed through"
    );
    assert!(events.iter().any(|e| e["kind"] == "finished" && e["proven"] == "sha-256 from the list"));

    let again = Place::new();
    let out = again.run_with(&["-i", "-", "-d", "out"], list.as_bytes());
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(again.files().len(), 4);
}

#[test]
fn a_digest_from_a_list_is_verified() {
    let server = Server::start();
    let place = Place::new();
    let line = format!(
        "{{\"url\":\"{}\",\"out\":\"f\",\"sha256\":\"{}\"}}",
        good(&server, 500, "j"),
        "ab".repeat(32)
    );
    place.write("list/l", line);
    let out = place.run(&["-i", "list/l", "-d", "out"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert_eq!(place.files(), ["list/l"]);
    // An existing file is verified too, and not changed.
    place.write("out/f", "old");
    let out = place.run(&["-i", "list/l", "-d", "out"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains("--if-exists overwrite"), "{}", out.stderr);
    assert_eq!(place.file("out/f").as_deref(), Some(&b"old"[..]));
}

#[test]
fn the_next_mirror_is_used_when_the_first_fails() {
    let server = Server::start();
    let place = Place::new();
    let list = format!("{}\t{}\tf\n", server.url("status/1/x?status=404"), good(&server, 1000, "m"));
    let out = place.run_with(&["-i", "-", "--retries", "0"], list.as_bytes());
    place.assert_exact(&out, "f", &content("m", 1000));
}

#[test]
fn bad_lines_of_a_list_file_are_found_before_any_request() {
    let server = Server::start();
    let place = Place::new();
    let list =
        format!("{}\nexample/x\n{} ../up\n{{\"url\":1}}\n", good(&server, 1, "a"), good(&server, 1, "b"));
    place.write("list", list);
    let out = place.run(&["-i", "list"]);
    assert_eq!(out.status, 2);
    for says in ["line 2", "line 3", "line 4", "a URL begins with https://", "lead out of the output folder"]
    {
        assert!(out.stderr.contains(says), "{says}: {}", out.stderr);
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_bad_line_of_standard_input_fails_as_its_own_job() {
    let server = Server::start();
    let place = Place::new();
    let input = [
        good(&server, 1000, "a").into_bytes(),
        b"\nexample.com\n\xff\xfe\n".to_vec(),
        good(&server, 10, "b").into_bytes(),
    ];
    let out = place.run_with(&["-i", "-"], &input.concat());
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(
        out.stderr.contains("line 2") && out.stderr.contains("line 3: it is not UTF-8"),
        "{}",
        out.stderr
    );
    assert_eq!(place.files(), ["a", "b"]);
}

#[test]
fn if_exists_decides_what_happens_to_an_existing_file() {
    let server = Server::start();
    let (url, new) = (good(&server, 1000, "f"), content("f", 1000));
    for (how, status, expected, says) in [
        ("check", 1, vec![("f", b"old".to_vec())], "it has 3 bytes, and the server's file has 1000"),
        ("skip", 0, vec![("f", b"old".to_vec())], "already exists"),
        ("overwrite", 0, vec![("f", new.clone())], "not verified (size matches)"),
        ("rename", 0, vec![("f", b"old".to_vec()), ("f (1)", new.clone())], "f (1)"),
        ("update", 0, vec![("f", new.clone())], "not verified (size matches)"),
        ("error", 1, vec![("f", b"old".to_vec())], "already exists"),
    ] {
        // The name comes from the URL, or the name is given.
        for args in [vec![url.as_str()], vec![url.as_str(), "-o", "f"], vec![url.as_str(), "f"]] {
            let place = Place::new();
            place.write("f", "old");
            let out = place.run(&[&args[..], &["--if-exists", how]].concat());
            assert_eq!(out.status, status, "{how}: {}", out.stderr);
            assert!(out.stderr.contains(says), "{how}: {}", out.stderr);
            let names: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
            assert_eq!(place.files().len(), names.len(), "{how}: {:?}", place.files());
            for (name, bytes) in &expected {
                assert!(place.file(name).as_ref() == Some(bytes), "{how}: {name}");
            }
        }
    }
}

#[test]
fn skip_sends_no_request_for_a_file_that_exists() {
    let server = Server::start();
    let place = Place::new();
    place.write("f", "old");
    let out = place.run(&[&good(&server, 1000, "x"), "f", "--if-exists", "skip"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(server.requests().is_empty());
}

#[test]
fn update_fetches_only_what_differs() {
    let server = Server::start();
    let place = Place::new();
    let update = |url: &str| place.run(&[url, "-o", "f", "--if-exists", "update"]);
    let url = good(&server, 1000, "f");
    place.assert_exact(&update(&url), "f", &content("f", 1000));
    let out = update(&url);
    assert!(out.status == 0 && out.stderr.contains("is up to date"), "{}", out.stderr);
    // The file on the server has another size, another time, or another digest.
    place.assert_exact(&update(&good(&server, 1001, "f")), "f", &content("f", 1001));
    let file = std::fs::File::options().write(true).open(place.path().join("f")).expect("opens");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("sets");
    assert!(update(&good(&server, 1001, "f")).stderr.contains("not verified (size matches)"));
    let checksum = server.url("checksum/1001/f");
    assert!(update(&checksum).stderr.contains("is up to date"));
    let modified = file.metadata().and_then(|meta| meta.modified()).expect("a time");
    place.write("f", vec![0; 1001]);
    let file = std::fs::File::options().write(true).open(place.path().join("f")).expect("opens");
    file.set_modified(modified).expect("sets");
    let out = update(&checksum);
    place.assert_exact(&out, "f", &content("f", 1001));
}

#[test]
fn the_servers_time_is_kept() {
    let server = Server::start();
    let place = Place::new();
    let changed =
        |name: &str| std::fs::metadata(place.path().join(name)).and_then(|m| m.modified()).expect("a time");
    place.run(&[&good(&server, 10, "a")]);
    assert_eq!(changed("a"), httpdate::parse_http_date(LAST_MODIFIED).expect("a date"));
    place.run(&[&good(&server, 10, "b"), "--no-mtime"]);
    assert!(changed("b").elapsed().is_ok_and(|age| age < Duration::from_secs(600)));
}

#[cfg(unix)]
#[test]
fn a_new_file_has_the_mode_of_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let place = Place::new();
    place.run(&[&good(&server, 10, "a")]);
    let other = place.write("other", "x");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("is there").permissions().mode();
    assert_eq!(mode(&place.path().join("a")), mode(&other));
}

#[test]
fn two_files_are_downloaded_at_once_by_default_and_as_many_as_the_option_says() {
    let server = Server::start();
    for (args, most) in [(vec![], 2), (vec!["-j", "4"], 4), (vec!["-j", "1"], 1)] {
        let place = Place::new();
        let urls: Vec<String> = (0..6).map(|n| server.url(&format!("slow/20000/{n}?rate=100000"))).collect();
        let all: Vec<&str> =
            urls.iter().map(String::as_str).chain(args.clone()).chain(["--progress", "json"]).collect();
        let out = place.run(&all);
        assert_eq!(out.status, 0, "{}", out.stderr);
        let (mut now, mut highest) = (0, 0);
        for event in events(&out) {
            match event["kind"].as_str() {
                Some("started") => now += 1,
                Some("finished") => now -= 1,
                _ => {}
            }
            highest = highest.max(now);
        }
        assert_eq!(highest, most, "{args:?}");
    }
}

#[test]
fn connections_are_reused() {
    let server = Server::start();
    let place = Place::new();
    let list: String = (0..50).map(|n| good(&server, 1000, &n.to_string()) + "\n").collect();
    let out = place.run_with(&["-i", "-", "-j", "4"], list.as_bytes());
    assert_eq!(out.status, 0, "{}", out.stderr);
    let connections = server.requests().iter().map(|request| request.connection).max();
    assert!(connections <= Some(4), "{connections:?} connections for 50 files");
}

#[test]
fn requests_are_plain_gets_with_a_user_agent() {
    let server = Server::start();
    let place = Place::new();
    place.run(&[&good(&server, 10, "a"), "-A", "me/1", "-H", "X-One: 1", "-H", "Accept: text/html"]);
    place.run(&[&good(&server, 10, "b")]);
    let requests = server.requests();
    assert_eq!(requests[0].header("user-agent"), Some("me/1"));
    assert_eq!((requests[0].header("x-one"), requests[0].header("accept")), (Some("1"), Some("text/html")));
    assert_eq!(requests[1].header("user-agent"), Some(concat!("downhaul/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        (requests[1].header("accept-encoding"), requests[1].header("range")),
        (Some("identity"), None)
    );
    assert_eq!(requests[1].header("host"), Some(format!("127.0.0.1:{}", server.port()).as_str()));
}

#[test]
fn the_log_records_each_step() {
    let server = Server::start();
    let place = Place::new();
    let urls = [
        good(&server, 1000, "a"),
        server.url("status/1/b?status=404"),
        server.url("fails_once/10/c?status=500"),
    ];
    let out = place.run(&[&urls[0], &urls[1], &urls[2]]);
    assert_eq!(out.status, 1);
    place.run(&[&urls[0]]);
    let log = place.log();
    for line in log.lines() {
        // 2026-11-22 07:32:10,123 - LEVEL - message
        let (time, rest) = line.split_at(23);
        assert!(
            time.chars().enumerate().all(|(at, c)| match at {
                4 | 7 => c == '-',
                10 => c == ' ',
                13 | 16 => c == ':',
                19 => c == ',',
                _ => c.is_ascii_digit(),
            }),
            "{line}"
        );
        assert!(
            [" - INFO - ", " - WARNING - ", " - ERROR - "].iter().any(|level| rest.starts_with(level)),
            "{line}"
        );
    }
    for says in [
        &format!("INFO - started {} -> ./a (1000 bytes)", urls[0]) as &str,
        "INFO - finished ./a (1000 bytes, ",
        "not verified (size matches)",
        "ERROR - failed",
        "[http.not_found]",
        "WARNING - retrying",
        "try 1 of 3",
        "INFO - skipped ./a: already exists",
    ] {
        assert!(log.contains(says), "{says} is not in\n{log}");
    }
    // The log is appended to, written elsewhere, or not written.
    let other = Place::new();
    other.run(&[&urls[0], "--log", "my.log"]);
    assert!(other.file("my.log").is_some() && other.log().is_empty());
    let none = Place::new();
    none.run(&[&urls[0], "--log", "none"]);
    assert_eq!(none.files(), ["a"]);
    let unopened = Place::new();
    let out = unopened.run(&[&urls[0], "--log", "no/such/folder/log"]);
    assert!(out.status == 0 && out.stderr.contains("warning: no log is written"), "{}", out.stderr);
    // A control character in the path must not reach the terminal.
    let out = unopened.run(&[&urls[0], "--log", "no/\u{1b}[31mred"]);
    assert!(out.stderr.contains(r"no log is written: no/\u{1b}[31mred"), "{}", out.stderr);
    assert!(!out.stderr.contains('\u{1b}'), "{:?}", out.stderr);
}

#[test]
fn events_are_complete_and_in_order() {
    let server = Server::start();
    let place = Place::new();
    place.write("there", "old");
    let list = format!(
        "{} a\n{} there\n{} c\n{} d\n{} e\n",
        server.url("checksum/1000/a"),
        good(&server, 10, "x"),
        server.url("truncated_body/300000/c"),
        server.url("status/1/d?status=404"),
        server.url("slow/250000/e?rate=100000"),
    );
    let out = place.run_with(&["-i", "-", "--progress", "json", "--if-exists", "skip"], list.as_bytes());
    assert_eq!(out.status, 1);
    assert_eq!(out.stderr, "", "everything is in the events");
    let events = events(&out);
    let facts: Vec<_> = events.iter().filter(|e| e["kind"] != "progress").collect();
    for (index, fact) in facts.iter().enumerate() {
        assert_eq!(fact["seq"], index as u64 + 1);
        assert_eq!(fact["v"], 1);
        let at = fact["at"].as_str().expect("a text");
        assert!(at.len() == 24 && at.ends_with('Z') && at.as_bytes()[10] == b'T', "{at}");
    }
    let mut kinds: HashMap<u64, Vec<&str>> = HashMap::new();
    for fact in &facts {
        kinds
            .entry(fact["job"].as_u64().unwrap_or(0))
            .or_default()
            .push(fact["kind"].as_str().expect("a text"));
    }
    assert_eq!(kinds[&0], ["summary"]);
    assert_eq!(kinds[&1], ["queued", "started", "verified", "finished"]);
    assert_eq!(kinds[&2], ["queued", "skipped"]);
    assert_eq!(kinds[&3], ["queued", "started", "retrying", "resumed", "finished"]);
    assert_eq!(kinds[&4], ["queued", "failed"]);
    assert_eq!(kinds[&5], ["queued", "started", "finished"]);
    let failed = facts.iter().find(|e| e["kind"] == "failed").expect("one failed");
    assert_eq!(failed["error"]["code"], "http.not_found");
    let summary = facts.last().expect("a summary");
    assert_eq!(
        (&summary["files"], &summary["finished"], &summary["failed"]),
        (&5.into(), &3.into(), &1.into())
    );
    let progress: Vec<_> = events.iter().filter(|e| e["kind"] == "progress" && e["job"] == 5).collect();
    assert!((1..=4).contains(&progress.len()), "once a second: {}", progress.len());
    assert!(progress[0]["seq"].is_null() && progress[0]["total"] == 250_000);
}

#[test]
fn a_recording_of_events_is_shown_like_the_run_itself() {
    let server = Server::start();
    let place = Place::new();
    let urls = [good(&server, 1000, "a"), server.url("status/1/b?status=404")];
    let live = place.run(&[&urls[0], &urls[1]]);
    let recorder = Place::new();
    let out = recorder.run(&[&urls[0], &urls[1], "--progress", "json"]);
    recorder.write("recording", &out.stdout);
    let replayed = recorder.run(&["replay", "recording", "--speed", "100"]);
    assert_eq!(replayed.status, 0, "{}", replayed.stderr);
    let said = |text: &str| -> Vec<String> {
        let mut lines: Vec<String> = text
            .lines()
            .filter(|l| {
                !l.starts_with("  ")
                    && !l.contains(" files ")
                    && !l.starts_with("To resume")
                    && !l.starts_with("To try again")
            })
            .map(|l| l.split("  ").next().unwrap_or_default().into())
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(said(&replayed.stderr), said(&live.stderr));
    recorder.write("broken", "{}\n");
    // The recording may be in UTF-16, as Windows PowerShell writes it.
    let text = String::from_utf8(recorder.file("recording").expect("a recording")).expect("UTF-8");
    let utf16 = format!("\u{feff}{}", text.replace('\n', "\r\n"))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect::<Vec<_>>();
    recorder.write("utf16", utf16);
    let replayed = recorder.run(&["replay", "utf16", "--speed", "100"]);
    assert_eq!((replayed.status, said(&replayed.stderr)), (0, said(&live.stderr)));
    assert_eq!(recorder.run(&["replay", "broken"]).status, 2);
}

#[test]
fn replay_tells_a_file_that_cannot_be_read_from_a_line_that_is_not_an_event() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("folder")).expect("a folder");
    place.write("text", "not JSON\n");
    place.write("long", "x".repeat(2_000_000));
    for (file, says) in [
        ("missing", "error: missing cannot be read: "),
        ("folder", "error: folder cannot be read: "),
        ("text", "error: line 1 is not an event: "),
        ("long", "error: line 1 is not an event: the line is longer than 1 MiB"),
    ] {
        let out = place.run(&["replay", file]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains(says), "{file}: {}", out.stderr);
    }
}

#[test]
fn secrets_are_never_shown() {
    let server = Server::start();
    let place = Place::new();
    let hide = |url: String| url.replace("http://", "http://user:hunter2@");
    let urls = [
        hide(server.url("well_behaved/1000/a?token=hunter2&x=1")),
        hide(server.url("status/1/b?status=404&X-Amz-Signature=hunter2")),
        hide(
            server
                .url(&format!("redirect/1/c?to={}", server.url("fails_always/1/c?status=500%26sig=hunter2"))),
        ),
    ];
    for progress in ["plain", "json"] {
        let out = place.run(&[&urls[0], &urls[1], &urls[2], "-v", "--retries", "1", "--progress", progress]);
        assert_eq!(out.status, 1);
        let told = out.stderr.clone() + &String::from_utf8_lossy(&out.stdout) + &place.log();
        assert!(!told.contains("hunter2"), "{told}");
        assert!(told.contains("token=***&x=1"), "the keys stay: {told}");
    }
    let out = place.run(&["ftp://user:hunter2@h/?token=hunter2"]);
    assert!(out.status == 2 && !out.stderr.contains("hunter2"), "{}", out.stderr);
    assert!(server.requests().iter().all(|request| request.header("authorization").is_some()));
}

#[test]
fn a_command_of_another_tool_without_quotes_is_not_taken_for_a_host() {
    for (args, says) in [
        (["curl", "http://127.0.0.1:1/f", "-o", "x"], "write it in quotes: downhaul 'curl ...'"),
        (["wget", "http://127.0.0.1:1/f", "-j", "1"], "leave out the word wget"),
    ] {
        let place = Place::new();
        place.assert_failed(&place.run(&args), 2, says);
    }
}

#[test]
fn wrong_input_gets_a_clear_error_and_no_file_is_changed() {
    let server = Server::start();
    let url = good(&server, 1000, "f");
    let two = format!("{url},{url}");
    for (args, says) in [
        (vec![&two, "one"], "2 URLs but 1 name"),
        (vec!["", ""], "the list of URLs is empty"),
        (vec![" ", "x"], "the list of URLs is empty"),
        (vec![], "nothing to download"),
        (vec![&two, "a,"], "name 2 () is not usable: it is empty"),
        (vec!["example"], "the URL cannot be understood: a URL begins with https://"),
        (vec!["gopher://h/f"], "only http and https are supported"),
        (vec!["http://"], "the URL cannot be understood"),
        (vec![&two, "a,a"], "files 1 and 2 would have the same name: a"),
        (vec![&url, "../f"], "lead out of the output folder"),
        (vec![&url, "/f"], "absolute path"),
        (vec![&url, "--parallel", "0"], "auto or a number from 1 to 1024"),
        (vec![&url, "--parallel", "x"], "auto or a number from 1 to 1024"),
        (vec![&url, "--retries", "-1"], "-1"),
        (vec![&url, "--timeout", "0"], "it must be a time above 0"),
        (vec![&url, "-o", "-", "--progress", "json"], "both write to standard output"),
        (vec![&url, &url, "-o", "-"], "-o is for a single URL"),
        (vec![&url, "-H", "nonsense"], "'Name: value'"),
        (vec![&url, "-H", "Range: bytes=0-1"], "set by downhaul itself"),
        (vec![&url, "--cacert", "missing.pem"], "missing.pem"),
        (vec![&url, "--limit-rate", "0"], "it must be above 0"),
        (vec![&url, "--record", "old"], "--record old: it exists, and it is not a lock file"),
        (vec![&url, "--record", "latin1"], "it is not a lock file"),
        (vec![&url, "--connections", "0"], "auto or a number from 1 to 256"),
        (vec![&url, "--continue", "--no-resume"], "cannot be used with"),
        (vec!["http://ann:p#x@h/a"], "In a password, write # as %23"),
        (vec!["-i", "missing"], "cannot be read"),
        (vec!["-i", "old", "-o", "x"], "cannot be used with"),
        (vec![&url, "--save-cookies", "-"], "it must be the name of a file"),
        (vec![&url, "--failed", "-"], "it must be the name of a file"),
        (vec![&url, "--record", "-"], "it must be the name of a file"),
        (vec![&url, "--log", "-"], "it must be the name of a file"),
        (vec!["-i", "-", "--data", "@-"], "only once, and -i - and --data @- both read it"),
        (vec!["repair", "-", "-u", "@/dev/stdin"], "only once, and - and -u @/dev/stdin both read it"),
        (vec!["verify", "--header-for", "h", "X: y"], "this command has no option --header-for"),
        (vec!["-i", "old", &url], "the list old has mistakes"),
        (vec!["-i", "empty"], "is empty"),
        (vec!["-i", "latin1"], "line 1: it is not UTF-8"),
        (vec!["-i", "twice"], "lines 1 and 3 would have the same name: x"),
    ] {
        let place = Place::new();
        place.write("old", "precious");
        place.write("empty", "# nothing\n");
        place.write("latin1", b"http://h/\xe4\n");
        place.write("twice", format!("{url} x\n\n{url}?2 x\n"));
        let before = place.files();
        let out = place.run(&args);
        assert_eq!(out.status, 2, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(says), "{args:?}: {}", out.stderr);
        assert_eq!(place.files(), before, "{args:?}");
        assert!(place.log().is_empty(), "{args:?}");
    }
    assert!(server.requests().is_empty(), "no request was sent");
}

#[cfg(unix)]
#[test]
fn folders_that_cannot_be_used_fail_with_status_5() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let url = good(&server, 1000, "f");
    let place = Place::new();
    place.write("a-file", "x");
    let out = place.run(&[&url, "-d", "a-file/sub"]);
    assert!(out.status == 5 && out.stderr.contains("a-file is a file, not a folder"), "{}", out.stderr);
    std::os::unix::fs::symlink("nowhere", place.path().join("a-link")).expect("a link");
    for folder in ["a-link", "a-link/sub"] {
        let out = place.run(&[&url, "-d", folder]);
        let says = "a-link is a link, and nothing exists at its target";
        assert!(out.status == 5 && out.stderr.contains(says), "{}", out.stderr);
    }
    // A folder has the name of the file.
    place.write("f/inside", "x");
    for args in [vec![url.as_str(), "f"], vec![url.as_str(), "-o", "f"]] {
        let out = place.run(&args);
        assert!(
            out.status == 5 && out.stderr.contains("a folder is where the file should be"),
            "{}",
            out.stderr
        );
    }
    let folder = place.path().join("locked");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o555)).expect("a mode");
    let out = place.run(&[&url, "-d", "locked"]);
    if rustix::process::geteuid().is_root() {
        // The superuser may write to every folder, except where the system allows no files.
        place.assert_exact(&out, "locked/f", &content("f", 1000));
    } else {
        assert!(out.status == 5 && out.stderr.contains("no permission to write"), "{}", out.stderr);
    }
    let out = place.run(&[&url, "-d", "/proc/downhaul"]);
    assert_eq!(out.status, 5, "{}", out.stderr);
}

#[test]
fn a_second_run_for_the_same_file_changes_nothing() {
    let server = Server::start();
    let place = Place::new();
    let slow = server.url("slow/200000/f?rate=100000");
    let first = place.start(&[&slow, "-o", "f"]);
    // The partial file of a small file has a tag in its name.
    let arrives =
        |name: &String| name.ends_with(".part") && place.file(name).is_some_and(|part| !part.is_empty());
    wait_until("a partial file has bytes", || place.files().iter().any(arrives));
    let second = place.run(&[&slow, "-o", "f"]);
    assert!(
        second.status == 1 && second.stderr.contains("another run is working on this file"),
        "{}",
        second.stderr
    );
    let first = crate::common::finish(first);
    place.assert_exact(&first, "f", &content("f", 200_000));
}

#[test]
fn on_error_decides_if_a_failed_file_is_skipped_or_retried_or_ends_the_run() {
    let server = Server::start();
    let (bad, slow) = (server.url("fails_always/1/x?status=500"), server.url("slow/1000000/y?rate=50000"));
    let place = Place::new();
    let out = place.run(&[&bad, "-o", "x", "--on-error", "skip"]);
    assert_eq!(out.status, 1);
    assert_eq!(server.requests().len(), 1, "skip: not tried again");
    let out = place.run(&[&bad, &slow, "--on-error", "exit"]);
    assert_eq!(out.status, 4, "{}", out.stderr);
    assert_eq!(place.file("y"), None, "the other file is stopped: {:?}", place.files());
    // Without a terminal, `ask` means `retry`.
    let out = place.run(&[&bad, "--on-error", "ask", "--retries", "1"]);
    assert!(out.status == 1 && out.stderr.contains("after 1 retry"), "{}", out.stderr);
}

#[test]
fn output_without_a_terminal_has_no_control_codes() {
    let server = Server::start();
    let place = Place::new();
    for args in [vec![], vec!["--progress", "bars"], vec!["--progress", "none"]] {
        let url = server.url("slow/100000/a?rate=400000");
        let out = place.run(&[&[url.as_str(), "--if-exists", "overwrite"], &args[..]].concat());
        assert!(!out.stderr.contains('\u{1b}') && !out.stderr.contains('\r'), "{:?}", out.stderr);
        assert!(out.stderr.lines().count() <= 2, "{}", out.stderr);
    }
    let out = place.run(&[&good(&server, 10, "b"), "-q"]);
    assert_eq!(out.stderr, "");
}

#[test]
fn the_help_the_man_page_and_the_completions_have_all_options() {
    let place = Place::new();
    let out = place.run(&["--help"]);
    let help = String::from_utf8(out.stdout).expect("UTF-8");
    assert_eq!(out.status, 0);
    for says in [
        "URLS FILENAMES",
        "Output:",
        "Existing files:",
        "Connections:",
        "Retries:",
        "Verification:",
        "Network:",
        "Progress and log:",
        "Examples:",
    ] {
        assert!(help.contains(says), "{says}: {help}");
    }
    assert!(help.lines().all(|line| line.len() <= 110), "{help}");
    let out = place.run(&["man"]);
    let man = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(
        out.status == 0
            && man.contains(".TH downhaul")
            && man.contains("EXIT STATUS")
            && man.contains("NO_COLOR")
    );
    // There is only one manual page, so it does not refer to pages of commands.
    assert!(man.contains("downhaul verify\n") && !man.contains("verify(1)"), "{man}");
    let described = man.split(".TP\n").skip(1).map(|entry| entry.lines().nth(1).unwrap_or_default());
    assert!(described.clone().count() > 100 && described.clone().all(|text| !text.is_empty()), "{man}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let out = place.run(&["completions", shell]);
        assert!(out.status == 0 && out.stdout.len() > 1000, "{shell}");
    }
    assert_eq!(place.run(&["--version"]).status, 0);
}

#[test]
fn the_help_of_the_daemon_states_how_many_files_it_downloads_at_once() {
    let out = Place::new().run(&["daemon", "--help"]);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("Download N files at once [default: 5]") && !text.contains("16 files"), "{text}");
}

#[test]
fn every_command_shows_its_help() {
    let place = Place::new();
    for command in [
        &["verify"][..],
        &["repair"],
        &["replay"],
        &["completions"],
        &["man"],
        &["config"],
        &["config", "init"],
        &["import"],
        &["import", "curl"],
        &["plan"],
        &["daemon"],
        &["add"],
        &["list"],
        &["pause"],
        &["resume"],
        &["remove"],
        &["move"],
        &["watch"],
        &["logs"],
        &["attach"],
    ] {
        for help in ["-h", "--help"] {
            let out = place.run(&[command, &[help]].concat());
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(
                out.status == 0 && text.contains("Usage: downhaul"),
                "{command:?} {help}: {text}{}",
                out.stderr
            );
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn events_that_cannot_be_written_are_a_failure_of_the_run() {
    let server = Server::start();
    let place = Place::new();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut command = place.command(&[&good(&server, 10_000, "file"), "-o", "f", "--progress", "json"]);
    let out = crate::common::finish(command.stdout(full).spawn().expect("the program starts"));
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("not all events could be written to standard output"), "{}", out.stderr);
    assert_eq!(place.file("f"), Some(content("file", 10_000)), "the file is there all the same");

    let out = place.run(&[&good(&server, 10_000, "file"), "-o", "g", "--log", "/dev/full"]);
    place.assert_exact(&out, "g", &content("file", 10_000));
    assert!(out.stderr.contains("not all of the log /dev/full could be written"), "{}", out.stderr);
}
