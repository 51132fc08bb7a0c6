//! Options of single jobs in lists, and the rules for addresses in lists.

use crate::common::{Place, events};
use crate::list_forms::{SIZE, both_ways, put};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

#[test]
fn the_header_of_a_line_replaces_the_header_of_the_section_that_the_line_names() {
    let (server, place) = (Server::start(), Place::new());
    place.write("config.toml", "[host.\"http://hub.example\"]\nheaders = [\"X-Tenant: 1\", \"X-B: 2\"]\n");
    let url = server.url("well_behaved/1000/f");
    let line = r#""credentials":"http://hub.example","headers":{"X-Tenant":"3"}"#;
    place.write("list", format!("{{\"url\":\"{url}\",{line}}}\n"));
    let out = place.run(&["-i", "list", "--config", "config.toml"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let request = server.requests().pop().expect("a request");
    let all: Vec<_> = request.headers.iter().filter(|(name, _)| name.starts_with("x-")).collect();
    assert_eq!(format!("{all:?}"), r#"[("x-tenant", "3"), ("x-b", "2")]"#);
}

#[test]
fn a_fetched_list_never_decides_that_a_file_is_replaced() {
    let server = Server::start();
    let a = put(&server, "a");
    let aria2 = server.put("/d/aria2", format!("{a}\n  out=mine\n  allow-overwrite=true\n").into_bytes());
    let line = format!("{{\"url\":\"{a}\",\"out\":\"mine\",\"if_exists\":\"overwrite\"}}\n");
    let jsonl = server.put("/d/jsonl", line.clone().into_bytes());
    for existing in ["check", "skip", "error"] {
        let place = Place::new();
        place.write("mine", "mine");
        for list in [&aria2, &jsonl] {
            place.run(&["-i", list, "--if-exists", existing]);
            assert_eq!(place.file("mine").as_deref(), Some(&b"mine"[..]), "{existing} {list}");
        }
    }
    // The user wrote or checked a list on the disk.
    let place = Place::new();
    place.write("mine", "mine");
    place.write("list", &line);
    place.assert_exact(&place.run(&["-i", "list"]), "mine", &content("a", SIZE));
}

#[test]
fn options_of_a_job_are_in_every_form_and_in_the_list_of_failed_files() {
    let server = Server::start();
    let json = |url: &str| {
        format!(
            "{{\"url\":\"{url}\",\"dir\":\"/x/y\",\"connections\":2,\"limit_rate\":\"2M\",\"if_exists\":\"skip\",\"priority\":-3}}\n"
        )
    };
    let columns = "dir=folder,connections=n,limit_rate=rate,if_exists=exists,priority=p";
    let table = |url: &str| format!("url,folder,n,rate,exists,p\n{url},x/y,2,2M,skip,-3\n");
    let aria2 = |url: &str| format!("{url}\n dir=/x/y\n split=2\n max-download-limit=2M\n");
    let [one, two, three, four] = [1, 2, 3, 4].map(|n| server.url(&format!("d/{n}")));
    for (list, url, args, is_all) in [
        (json(&one), &one, &[][..], true),
        (format!("[{}]", json(&two)), &two, &[], true),
        (table(&three), &three, &["--columns", columns], true),
        (aria2(&four), &four, &[], false),
    ] {
        let failing = [args, &["--failed", "failed", "--retries", "0"]].concat();
        let places = both_ways("list", &list, &failing).map(|(place, out)| {
            assert_eq!(out.status, 1, "{}", out.stderr);
            let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
            let line: serde_json::Value = serde_json::from_str(failed.trim()).expect(&failed);
            assert_eq!((&line["dir"], &line["connections"]), (&"x/y".into(), &2.into()), "{failed}");
            assert_eq!(line["limit_rate"], 2 << 20, "{failed}");
            if is_all {
                assert_eq!(
                    (&line["if_exists"], &line["priority"]),
                    (&"skip".into(), &(-3).into()),
                    "{failed}"
                );
            }
            place
        });
        let name = url.rsplit('/').next().expect("a name");
        server.put(&format!("/d/{name}"), content(name, SIZE));
        for place in places {
            let out = place.run(&["-i", "failed", "-d", "out"]);
            place.assert_exact(&out, &format!("out/x/y/{name}"), &content(name, SIZE));
        }
    }
}

#[test]
fn a_column_is_an_option_only_if_the_user_says_so() {
    let server = Server::start();
    let a = put(&server, "a");
    let list = format!("url,priority,connections,dir\n{a},high,none,../x\n");
    let place = Place::new();
    place.write("list.csv", &list);
    let out = place.run(&["-i", "list.csv", "--progress", "json"]);
    place.assert_exact(&out, "a", &content("a", SIZE));
    let queued = events(&out).into_iter().find(|event| event["kind"] == "queued").expect("an event");
    assert_eq!(queued["extra"]["priority"], "high");
    let out = place.run(&["-i", "list.csv", "--columns", "priority=priority"]);
    assert!(
        out.status == 2 && out.stderr.contains("line 2: `priority`: it must be a whole number"),
        "{}",
        out.stderr
    );
}

#[test]
fn a_line_names_whose_login_it_needs() {
    let server = Server::start();
    let (a, b, c) = (put(&server, "a"), put(&server, "b"), put(&server, "c"));
    let lines = format!(
        "{{\"url\":\"{a}\",\"credentials\":\"http://hub.example\"}}\n{{\"url\":\"{b}\",\"credentials\":\"store.example\"}}\n{c}\n"
    );
    let place = Place::new();
    place.write("list", &lines);
    place.write("config.toml", "[host.\"http://hub.example\"]\nbearer = \"env:TOKEN\"\n[host.\"safe.example\"]\nbearer = \"env:TOKEN\"\n");
    place.write("netrc", "machine store.example login ann password hush-2\n");
    let run = |list: &str| {
        let args = ["-i", list, "--config", "config.toml", "--netrc", "netrc", "--failed", "failed", "-vv"];
        crate::common::finish(place.command(&args).env("TOKEN", "hush-1").spawn().expect("it starts"))
    };
    let out = run("list");
    assert_eq!(out.status, 0, "{}", out.stderr);
    let login = |path: &str| {
        let request = server.requests_for(path).pop().expect("a request");
        request.header("authorization").map(String::from)
    };
    assert_eq!(login("/d/a").as_deref(), Some("Bearer hush-1"));
    assert_eq!(login("/d/b").as_deref(), Some("Basic YW5uOmh1c2gtMg=="));
    assert_eq!(login("/d/c"), None);
    assert!(!out.stderr.contains("hush") && !place.log().contains("hush"), "{}", out.stderr);
    // The list of failed files has the name and not the login.
    for (name, says) in [
        ("other.example", "there is no section [host.\"other.example\"]"),
        ("safe.example", "is not sent over http"),
    ] {
        place.write("bad", format!("{{\"url\":\"{c}?{name}\",\"credentials\":\"{name}\"}}\n"));
        let before = server.requests().len();
        let out = run("bad");
        assert!(out.status != 0 && out.stderr.contains(says), "{}", out.stderr);
        assert_eq!(server.requests().len(), before);
        let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
        assert!(
            failed.contains(&format!("\"credentials\":\"{name}\"")) && !failed.contains("hush"),
            "{failed}"
        );
    }
    // Someone else may have written a fetched list.
    let fetched = server.put("/d/fetched", lines.into_bytes());
    let before = server.requests().len();
    let out = run(&fetched);
    assert_eq!((out.status, server.requests().len()), (2, before + 1), "{}", out.stderr);
    assert!(out.stderr.contains("line 1: `credentials`: only a list on your disk"), "{}", out.stderr);
}

#[test]
fn a_login_in_place_of_the_name_of_a_host_is_refused_and_shown_nowhere() {
    let server = Server::start();
    let a = put(&server, "a");
    for login in ["me:hush@h", "http://me:hush@h", "https://h/hush", "me:hush"] {
        let list = format!("{{\"url\":\"{a}\",\"credentials\":\"{login}\"}}\n");
        for input in ["list", "-"] {
            let place = Place::new();
            place.write("list", &list);
            let args = ["-i", input, "--failed", "failed", "-vv"];
            let out = if input == "-" { place.run_with(&args, list.as_bytes()) } else { place.run(&args) };
            let says = "`credentials`: it must be the name of a host, and not a login";
            assert!(out.status != 0 && out.stderr.contains(says), "{login}: {}", out.stderr);
            let failed = place.file("failed").unwrap_or_default();
            let shown = format!("{}{}{}", out.stderr, place.log(), String::from_utf8_lossy(&failed));
            assert!(!shown.contains("hush"), "{login}: {shown}");
        }
    }
    assert!(server.requests().is_empty());
}

#[test]
fn addresses_are_replaced_and_relative_to_the_base_in_every_form() {
    let server = Server::start();
    put(&server, "a");
    put(&server, "set/b");
    let host = server.url("");
    let host = host.trim_end_matches('/').strip_prefix("http://").expect("http");
    let (a, b) = (format!("ftp://{host}/old/a"), "set/b");
    for list in [
        format!("{a}\n{b}\n"),
        format!("{{\"url\":\"{a}\"}}\n{{\"url\":\"{b}\"}}\n"),
        format!("[\"{a}\", {{\"url\":\"{b}\"}}]"),
        format!("url,x\n{a},1\n{b},2\n"),
        format!("url,x\n{a};{a}?2,1\n{b},2\n"),
        format!("{a}\n gid=1\n{b}\n"),
        format!("url = {a}\nurl = {b}\n"),
        format!("{{\n\"resources\": [{{\"path\": \"{a}\"}}, {{\"path\": \"b\", \"name\": \"b\"}}]}}"),
    ] {
        server.put("/d/a?2", content("a", SIZE));
        let place = Place::new();
        place.write("list", &list);
        let base = server.url(if list.contains("resources") { "d/set/list" } else { "d/list" });
        let out = place.run(&[
            "-i",
            "list",
            "--replace",
            "ftp://=http://",
            "--replace",
            "/old/=/d/",
            "--base",
            &base,
        ]);
        assert_eq!(out.status, 0, "{list}\n{}", out.stderr);
        assert_eq!(place.file("a"), Some(content("a", SIZE)), "{list}\n{}", out.stderr);
        assert_eq!(place.file("b"), Some(content("set/b", SIZE)), "{list}\n{}", out.stderr);
        let out = place.run(&["-i", "list"]);
        assert!(out.status != 0 && out.stderr.contains("ftp"), "{}", out.stderr);
    }
    // Without `--replace`, ftp URLs in a Metalink file would be left out.
    let metalink = format!(
        "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"x\"><url>ftp://{host}/d/a</url></file></metalink>"
    );
    for (name, list) in [("list.meta4", metalink), ("fetch.txt", format!("ftp://{host}/d/a {SIZE} data/x\n"))]
    {
        let place = Place::new();
        place.write(name, list);
        let out = place.run(&["-i", name, "--replace", "ftp://=http://"]);
        let path = if name == "fetch.txt" { "data/x" } else { "x" };
        place.assert_exact(&out, path, &content("a", SIZE));
    }
    let out = Place::new().run(&["-i", "-", "--replace", "ftp"]);
    assert!(out.status == 2 && out.stderr.contains("the form is FROM=TO"), "{}", out.stderr);
}

#[test]
fn a_fetched_list_only_lowers_the_number_of_connections() {
    const LARGE: u64 = 8_000_000;
    let most = |list: &str, is_fetched: bool, most: &str| {
        let (server, lists) = (Server::start(), Server::start());
        // If the list is not fetched, each connection is slow. So the download has not ended before the
        // fourth connection is opened, also on a busy machine.
        let rate = if is_fetched { 2_000_000 } else { 500_000 };
        let list = list.replace("URL", &server.url(&format!("capped/{LARGE}/f?rate={rate}&sha256=1")));
        let place = Place::new();
        place.write("list", &list);
        let fetched = lists.put("/d/list", list.into_bytes());
        let out = place.run(&["-i", if is_fetched { &fetched } else { "list" }, "-d", "out", "-x", most]);
        place.assert_exact(&out, "out/f", &content("f", LARGE));
        server.most_open()
    };
    let four = "{\"url\":\"URL\",\"connections\":4}\n";
    let one = "URL\n split=1\n";
    assert!(most(four, false, "1") >= 4, "a list of the user may set the number");
    assert_eq!(most(four, true, "1"), 1);
    assert_eq!(most(one, true, "4"), 1);
}

#[test]
fn the_file_with_the_highest_priority_starts_next() {
    let server = Server::start();
    let slow = server.url("slow/3000/first");
    let names = ["a", "b", "c"].map(|name| put(&server, name));
    let lines = [0, 5, -1]
        .iter()
        .zip(&names)
        .map(|(priority, url)| format!("{{\"url\":\"{url}\",\"priority\":{priority}}}\n"));
    let list = format!("{{\"url\":\"{slow}\",\"priority\":9}}\n{}", lines.collect::<String>());
    let place = Place::new();
    place.write("list", list);
    let out = place.run(&["-i", "list", "-j", "1", "--progress", "json"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let finished = events(&out).into_iter().filter(|event| event["kind"] == "finished");
    let finished: Vec<String> =
        finished.map(|event| event["path"].as_str().expect("a path").to_string()).collect();
    let names: Vec<&str> = finished.iter().filter_map(|path| path.rsplit('/').next()).collect();
    assert_eq!(names, ["first", "b", "a", "c"]);
}
