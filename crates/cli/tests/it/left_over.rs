//! Tests of the list of `--failed`: a later run with this list and the same options downloads the same URLs
//! under the same names.

use crate::common::Place;
use crate::list_forms::both_ways;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use std::collections::BTreeMap;

/// Returns the files of a place below a folder, with their content.
fn files(place: &Place, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let names = place.files().into_iter();
    let names = names.filter_map(|name| Some(name.strip_prefix(folder)?.strip_prefix('/')?.to_string()));
    names.map(|name| (name.clone(), place.file(&format!("{folder}/{name}")).expect("a file"))).collect()
}

// This function is long because it is a list of cases.
#[test]
fn the_list_of_failed_files_gives_the_same_urls_and_names_with_the_same_options() {
    let paths = ["/d/a/x.bin", "/d/b/x.bin", "/d/c/x.bin", "/d/c", "/d/c/e/x.bin"];
    let lines =
        |line: &dyn Fn(&str) -> String| paths.iter().map(|path| line(path) + "\n").collect::<String>();
    for (list, args) in [
        (lines(&|path| format!("HOST{path}")), &[][..]),
        (lines(&|path| format!("HOST{path}")), &["--folders", "all"]),
        (lines(&|path| format!("HOST{path}")), &["--folders", "1", "--names", "url"]),
        (
            "url\n".to_string() + &lines(&|path| format!("HOST{path}")),
            &["--name-template", "{line:03}-{name}"],
        ),
        (
            "url,out,line\n".to_string()
                + &lines(&|path| format!("HOST{path},{}.n,7", path.len() + path.matches('c').count())),
            &["--name-template", "{line:03}-{column[line]}{name}", "--columns", "line=line"],
        ),
        (
            "url,listed_by,url_name,dir,file,sha256\n".to_string()
                + &lines(&|path| format!("HOST{path},me,u,k,o,no digest")),
            &["--name-template", "{dir}/{column[listed_by]}{url_name}{name}", "--columns", "out=,sha256="],
        ),
        ("url\n".to_string() + &lines(&|path| format!("HOST{path}")), &["--list-format", "csv"]),
        (lines(&|path| format!("HOST/old{path}")), &["--replace", "/old/=/", "--replace", "/d/=/d/"]),
        (
            lines(&|path| format!("HOST{}", path.replace("/d/", "/"))),
            &["--replace", "//127=//127", "--base", "http://h/"],
        ),
        (lines(&|path| path[1..].to_string()), &["--base", "HOST/"]),
        (lines(&|path| format!("{{\"url\":\"HOST{path}\",\"dir\":\"k\"}}")), &["--folders", "2"]),
    ] {
        let server = Server::start();
        let host = server.url("").trim_end_matches('/').to_string();
        let list = list.replace("HOST", &host);
        let args: Vec<String> = args.iter().map(|arg| arg.replace("HOST", &host)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let name = if list.starts_with("url") { "list.csv" } else { "list" };
        for path in [paths[0], paths[3]] {
            server.put(path, path.as_bytes());
            server.put(&path.replace("/d/", "/"), path.as_bytes());
        }
        let failing = [&args[..], &["--failed", "failed", "--retries", "0", "-j", "1"]].concat();
        let places = both_ways(name, &list, &failing).map(|(place, out)| {
            assert_eq!(out.status, 1, "{args:?}: {}", out.stderr);
            place
        });
        for path in paths {
            server.put(path, path.as_bytes());
            server.put(&path.replace("/d/", "/"), path.as_bytes());
        }
        let place = Place::new();
        place.write(name, &list);
        let out = place.run(&[&["-i", name, "-d", "out"], &args[..]].concat());
        let whole = files(&place, "out");
        assert_eq!((out.status, whole.len()), (0, paths.len()), "{args:?}: {}", out.stderr);
        for place in places {
            let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
            assert_eq!(failed.lines().count(), paths.len() - 2, "{args:?}: {failed}");
            let out = place.run(&[&["-i", "failed", "-d", "out"], &args[..]].concat());
            assert_eq!(
                (out.status, files(&place, "out")),
                (0, whole.clone()),
                "{args:?}: {failed} {}",
                out.stderr
            );
        }
    }
}

#[test]
fn files_that_were_not_started_keep_the_numbers_in_their_names() {
    let server = Server::start();
    let urls = ["1", "2", "3", "4"].map(|n| server.url(&format!("slow/300000/{n}/config.json?rate=3000000")));
    let place = Place::new();
    place.write("list", urls.join("\n"));
    let out = place.run(&["-i", "list", "-j", "1", "--max-total", "400k", "--failed", "failed", "-d", "out"]);
    assert_eq!((out.status, files(&place, "out").len()), (75, 2), "{}", out.stderr);
    // The files of the list may have any order.
    let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
    let reversed: Vec<&str> = failed.lines().rev().collect();
    place.write("reversed", reversed.join("\n"));
    let out = place.run(&["-i", "reversed", "-d", "out", "-j", "1"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let some = files(&place, "out");
    let out = place.run(&["-i", "list", "-d", "all"]);
    assert_eq!((out.status, files(&place, "all")), (0, some), "{}", out.stderr);
}

#[test]
fn a_url_that_a_list_has_twice_gets_one_number() {
    let server = Server::start();
    let paths: Vec<String> = (0..500).map(|n| format!("/d/{n}")).collect();
    let (one, two) = (server.put("/1/config.json", "1"), server.url("2/config.json"));
    let others: Vec<String> = paths.iter().map(|path| server.url(&path[1..])).collect();
    let place = Place::new();
    // The last line is not passed to the session, because many lines are before it.
    place.write("list", [&[one, two.clone()], &others[..], &[two]].concat().join("\n"));
    let failing = ["-j", "1", "--on-error", "exit", "--retries", "0", "--failed", "failed"];
    let out = place.run(&[&["-i", "list", "-d", "out"][..], &failing].concat());
    let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
    assert_eq!((out.status, failed.lines().count()), (4, 502), "{}", out.stderr);
    let reversed: Vec<&str> = failed.lines().rev().collect();
    place.write("reversed", reversed.join("\n"));
    for path in paths.iter().map(String::as_str).chain(["/2/config.json"]) {
        server.put(path, path);
    }
    for list in ["failed", "reversed"] {
        let out = place.run(&["-i", list, "-d", "out"]);
        assert_eq!((out.status, files(&place, "out").len()), (0, 502), "{list}: {}", out.stderr);
    }
    assert_eq!(place.file("out/config (1).json").as_deref(), Some(&b"/2/config.json"[..]));
}

#[test]
fn files_keep_the_numbers_in_the_names_of_their_folders() {
    const SIZE: u64 = 3_000_000;
    // A redirect decides the last part of the name.
    for name in ["m", "o"] {
        let server = Server::start();
        let n = server.put("/a/n", "n");
        server.becomes("/a/n/m", &format!("/redirect/0/m?to=/a/n/{name}"));
        server.becomes(&format!("/a/n/{name}"), &format!("/truncated_body_always/{SIZE}/{name}"));
        let place = Place::new();
        place.write("list", format!("{n}\n{n}/m\n"));
        let run = |list, failed| {
            place.run(&["-i", list, "-d", "out", "--folders", "all", "--retries", "0", "--failed", failed])
        };
        for (list, failed) in [("list", "1"), ("1", "2")] {
            let out = run(list, failed);
            assert_eq!(out.status, 1, "{list} {name}: {}", out.stderr);
            let part = format!("out/a/n (1)/{name}.part");
            assert!(place.file(&part).is_some(), "{list}: {:?} {}", place.files(), out.stderr);
        }
        server.becomes(&format!("/a/n/{name}"), &format!("/well_behaved/{SIZE}/{name}"));
        for list in ["2", "1", "list"] {
            let out = run(list, "3");
            assert_eq!(out.status, 0, "{list} {name}: {}", out.stderr);
            place.assert_exact(&out, &format!("out/a/n (1)/{name}"), &content(name, SIZE));
            assert_eq!(files(&place, "out").len(), 2, "{list} {name}: {:?}", place.files());
        }
    }
}

#[test]
fn lines_that_are_left_out_are_comments_in_the_list_of_failed_files() {
    let server = Server::start();
    let good = server.put("/d/good", "good");
    for (list, says) in [
        (format!("{good}\nhttp://\n"), "1 line was left out because it has a mistake"),
        (format!("http://\n{good}\nftp://h/x\n"), "2 lines were left out because they have mistakes"),
    ] {
        let args = ["--skip-bad-lines", "--failed", "failed"];
        for (place, out) in both_ways("list", &list, &args) {
            assert_eq!(out.status, 0, "{}", out.stderr);
            let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
            assert_eq!(failed, format!("# --failed: {says}\n"));
        }
    }
}

#[test]
fn a_list_with_mistakes_only_is_left_out_if_there_are_other_files() {
    let server = Server::start();
    let good = server.put("/d/good", "good");
    let place = Place::new();
    place.write("good", &good);
    place.write("bad", "http://\n");
    for (args, status) in [
        (&["-i", "good", "-i", "bad"][..], 0),
        (&["-i", "bad", "-i", "good"], 0),
        (&["-i", "bad", &good], 0),
        (&["-i", "bad", "-i", "bad"], 2),
    ] {
        let out = place.run(&[args, &["--skip-bad-lines", "-d", "out"]].concat());
        assert_eq!(out.status, status, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains("every line of the list bad has a mistake"), "{}", out.stderr);
        assert!(status == 0 || !out.stderr.contains("✓"), "{}", out.stderr);
    }
}

#[test]
fn a_list_with_one_failed_file_leaves_the_file_of_another_url_with_the_same_name_as_it_is() {
    for how in ["update", "overwrite", "skip", "check"] {
        let (server, place) = (Server::start(), Place::new());
        let named = |n: &str| format!("named/1000/{n}?disposition=attachment;filename=data.csv");
        place.write("list", ["one", "two"].map(|n| server.url(&named(n))).join("\n"));
        server.becomes(&named("two"), "status/0/x?status=404");
        let run = |list: &str, failed: &str| {
            place.run(&["-i", list, "--failed", failed, "--if-exists", how, "--retries", "0", "-j", "1"])
        };
        let out = run("list", "rest");
        assert_eq!((out.status, place.file("data.csv")), (1, Some(content("one", 1000))), "{}", out.stderr);
        server.becomes(&named("two"), &named("three"));
        let out = run("rest", "rest2");
        assert_eq!(out.status, 0, "{how}: {}", out.stderr);
        assert_eq!(place.file("data.csv"), Some(content("one", 1000)), "{how}: {}", out.stderr);
        assert_eq!(place.file("data (1).csv"), Some(content("three", 1000)), "{how}: {}", out.stderr);
    }
}
