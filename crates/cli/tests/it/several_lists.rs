//! Several lists in one run, with and without URLs beside them.

use crate::common::{Place, events, finish};
use crate::list_forms::{SIZE, put};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use std::io::Write;
use std::process::Stdio;

#[test]
fn the_files_of_urls_and_of_several_lists_are_downloaded_in_this_order() {
    let server = Server::start();
    let urls = ["1/f", "2/f", "3/f", "4/f", "5/f"].map(|name| put(&server, name));
    let fetched = server.put("/d/list", format!("{}\n", urls[3]).into_bytes());
    let place = Place::new();
    place.write("one.txt", format!("{}\n", urls[1]));
    place.write("two.csv", format!("id,link\n7,{}\n", urls[2]));
    let args = [&urls[0], "-i", "one.txt", "-i", "two.csv", "-i", &fetched, "-i", "-", "-d", "out"];
    let args = [&args[..], &["--progress", "json", "--record", "lock", "-j", "1"]].concat();
    let out = place.run_with(&args, format!("{}\n", urls[4]).as_bytes());
    assert_eq!(out.status, 0, "{}", out.stderr);
    let queued = events(&out).into_iter().filter(|event| event["kind"] == "queued");
    let queued: Vec<String> = queued.map(|event| event["url"].as_str().expect("a URL").to_string()).collect();
    assert_eq!(queued, urls);
    for (number, name) in ["f", "f (1)", "f (2)", "f (3)", "f (4)"].into_iter().enumerate() {
        let there = place.file(&format!("out/{name}"));
        assert_eq!(there, Some(content(&format!("{}/f", number + 1), SIZE)), "{name}");
    }
    assert_eq!(String::from_utf8_lossy(&place.file("lock").expect("a lock file")).lines().count(), 5);
}

#[test]
fn the_list_of_failed_files_has_those_of_all_parts_in_their_order() {
    let server = Server::start();
    let good = ["a", "b", "c"].map(|name| put(&server, name));
    let bad = ["x", "y", "z", "w"].map(|name| server.url(&format!("d/{name}")));
    let place = Place::new();
    place.write("one", format!("{}\n{}\n", good[1], bad[1]));
    place.write("two", format!("{}\n", bad[3]));
    let args = [&good[0], &bad[0], "-i", "one", "-i", "-", "-i", "two"].map(|arg| arg.to_string());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let args = [&args[..], &["-d", "out", "--failed", "failed", "--retries", "0"]].concat();
    let out = place.run_with(&args, format!("{}\n{}\n", bad[2], good[2]).as_bytes());
    assert_eq!(out.status, 1, "{}", out.stderr);
    let failed = || String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
    let listed: Vec<String> = failed()
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect(line)["url"].as_str().expect(line).into()
        })
        .collect();
    assert_eq!(listed, bad);
    for name in ["x", "y", "z", "w"] {
        server.put(&format!("/d/{name}"), content(name, SIZE));
    }
    let out = place.run(&["-i", "failed", "-d", "out", "--failed", "failed"]);
    assert!(out.status == 0 && failed().is_empty(), "{}", out.stderr);
    assert_eq!(
        place.files().iter().filter(|path| path.starts_with("out/")).count(),
        7,
        "{:?}",
        place.files()
    );
}

/// A list that is replaced during the run has other files at the places of those that failed. The second list
/// is so long that its check ends during the run.
#[test]
fn the_list_of_failed_files_names_no_other_files_if_a_list_was_changed() {
    let server = Server::start();
    let (slow, bad) = (server.url("slow/3000000/x?rate=1000000"), server.url("d/missing"));
    for rest in [0, 130_000] {
        let place = Place::new();
        let rest = "ftp://127.0.0.1/a/folder/with/a/name/as/in/many/lists/of/files\n".repeat(rest);
        place.write("list", format!("{slow} x\n{bad} y\n{rest}"));
        let args =
            ["-i", "list", "-d", "out", "-j", "1", "-x", "1", "--skip-bad-lines", "--failed", "failed"];
        let child = place.start(&[&args[..], &["--retries", "0"]].concat());
        place.wait_for_bytes("out/x.part", 30_000);
        place.write("list", format!("{slow} x\n{bad}?2 another\n{rest}"));
        let out = finish(child);
        let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
        assert_eq!(out.status, 5, "{}", out.stderr);
        assert!(
            out.stderr.contains("the list list was changed or cannot be read any more"),
            "{}",
            out.stderr
        );
        assert!(failed.starts_with("# --failed: the list list was changed"), "{failed}");
        assert_eq!(failed.lines().count(), 1, "{failed}");
    }
}

#[test]
fn if_one_list_was_changed_the_list_of_failed_files_has_those_of_the_other_lists_and_of_standard_input() {
    let server = Server::start();
    let (slow, bad) = (server.url("slow/3000000/x?rate=1000000"), server.url("d/missing"));
    let place = Place::new();
    place.write("list", format!("{slow} x\n{bad}?2 y\n"));
    place.write("other", format!("{bad}?3 z\n"));
    let args = ["-i", "-", "-i", "list", "-i", "other", "-d", "out", "-j", "1", "-x", "1"];
    let mut command = place.command(&[&args[..], &["--retries", "0", "--failed", "failed"]].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(format!("{bad}?1 w\n").as_bytes()).expect("writes");
    drop(stdin);
    place.wait_for_bytes("out/x.part", 30_000);
    place.write("list", format!("{slow} x\n{bad}?4 another\n"));
    let out = finish(child);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("the list list was changed or cannot be read any more"), "{}", out.stderr);
    let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
    let has = [1, 2, 3, 4].map(|n| failed.contains(&format!("missing?{n}")));
    assert_eq!(has, [true, false, true, false], "{failed}");
    assert!(failed.contains("# --failed: the list list was changed"), "{failed}");
}

#[test]
fn the_mistakes_of_all_lists_are_reported_before_the_first_request() {
    let server = Server::start();
    let a = put(&server, "a");
    let place = Place::new();
    place.write("one", format!("{a} x\nftp://h/a\n"));
    place.write("two", format!("{a}?2 y\n{a}?3 x\n"));
    let out = place.run(&["-i", "one", "-i", "two"]);
    assert_eq!((out.status, server.requests().len()), (2, 0), "{}", out.stderr);
    for says in
        ["the list one has mistakes:", "line 2: ", "line 2 and line 1 of one would have the same name: x"]
    {
        assert!(out.stderr.contains(says), "{says}: {}", out.stderr);
    }
    let out = place.run(&[&format!("{a}?4"), "y", "-i", "two"]);
    assert!(
        out.stderr.contains("line 1 and file 1 of the arguments would have the same name: y"),
        "{}",
        out.stderr
    );
}

#[test]
fn standard_input_is_one_list_only() {
    let out = Place::new().run(&["-i", "-", "-i", "/dev/stdin"]);
    let says = "standard input can be read only once, and -i - and -i /dev/stdin both read it";
    assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
}

/// The names in a long list are not all remembered.
#[test]
fn names_of_arguments_and_lists_clash_also_if_a_list_is_long() {
    let server = Server::start();
    let a = put(&server, "a");
    let place = Place::new();
    let lines: String = (0..8_000).map(|n| format!("{a}?{n:0540} {n}\n")).collect();
    assert!(lines.len() > 4 << 20);
    place.write("long", &lines);
    place.write("short", format!("{a} 4999\n"));
    for (args, says) in [
        (
            &[&*a, "777", "-i", "long"][..],
            "line 778 and file 1 of the arguments would have the same name: 777",
        ),
        (&["-i", "long", "-i", "short"], "line 1 and line 5000 of long would have the same name: 4999"),
    ] {
        let out = place.run(args);
        assert_eq!((out.status, server.requests().len()), (2, 0), "{}", out.stderr);
        assert!(out.stderr.contains(says), "{says}: {}", out.stderr);
    }
}
