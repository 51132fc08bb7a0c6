//! Requests other than a plain GET for a whole file: methods, bodies, ranges of a file and `Referer`.

use crate::common::Place;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

#[test]
fn a_file_comes_by_post_with_a_body() {
    let server = Server::start();
    let url = server.url("well_behaved/3000000/f");
    for (args, method, body, media_type) in [
        (&["--data", "a=1&b=hush"][..], "POST", "a=1&b=hush", Some("application/x-www-form-urlencoded")),
        (&["--data", "@body"], "POST", "of a file\n", Some("application/x-www-form-urlencoded")),
        (&["--json", r#"{"a":"hush"}"#], "POST", r#"{"a":"hush"}"#, Some("application/json")),
        (&["-X", "PUT", "--data", "x", "-H", "Content-Type: text/csv"], "PUT", "x", Some("text/csv")),
        (&["-X", "POST"], "POST", "", None),
        (&["--request", "GET"], "GET", "", None),
    ] {
        let place = Place::new();
        place.write("body", "of a file\n");
        let before = server.requests().len();
        let out = place.run(&[&[url.as_str(), "-x", "8", "-v"], args].concat());
        place.assert_exact(&out, "f", &content("f", 3_000_000));
        let requests = server.requests().split_off(before);
        if method != "GET" {
            assert_eq!(requests.len(), 1, "{args:?}: over one connection");
        }
        let first = &requests[0];
        assert_eq!((first.method.as_str(), String::from_utf8_lossy(&first.body).as_ref()), (method, body));
        assert_eq!(first.header("content-type"), media_type, "{args:?}");
        assert_eq!(first.header("range"), None);
        assert!(!out.stderr.contains("hush") && !place.log().contains("hush"), "{}", out.stderr);
    }
}

#[test]
fn a_post_is_sent_once_unless_retries_are_given() {
    let server = Server::start();
    for sin in
        ["truncated_body_without_ranges/3000000/f", "status/10/f?status=500", "reset_in_mid_body/3000000/f"]
    {
        let url = server.url(sin);
        let post = || server.requests_for(sin).iter().filter(|one| one.method == "POST").count();
        let place = Place::new();
        let out = place.run(&[&url, "--data", "a=1"]);
        assert_eq!((out.status, post()), (1, 1), "{sin}: {}", out.stderr);
        assert_eq!(place.file("f"), None);
        let out = place.run(&[&url, "--data", "a=1", "--retries", "1"]);
        assert!(post() > 1, "{sin}: {}", out.stderr);
        assert!(server.requests().iter().all(|one| one.header("range").is_none()), "nothing is resumed");
    }
    // Retries can also be given in the configuration.
    let url = server.url("status/10/g?status=500");
    let place = Place::new();
    place.write("c.toml", "retries = 1\n");
    place.run(&[&url, "--data", "a=1", "--config", "c.toml"]);
    assert_eq!(server.requests_for("10/g").len(), 2);
}

#[test]
fn a_post_is_sent_to_a_second_url_only_if_the_first_server_did_nothing_with_it() {
    let closed = "http://127.0.0.1:9/f".to_string();
    for (first, sends_elsewhere) in [
        ("reset_in_mid_body/3000000/f", false),
        ("truncated_body_without_ranges/3000000/f", false),
        ("status/10/f?status=500", false),
        ("status/10/f?status=403", false),
        ("status/10/f?status=404", true),
        ("", true),
    ] {
        let digest = downhaul_testkit::sha256(&content("f", 1000));
        for more in [String::new(), format!(",\"sha256\":\"{digest}\"")] {
            let servers = [Server::start(), Server::start()];
            let url = if first.is_empty() { closed.clone() } else { servers[0].url(first) };
            let second = servers[1].url("well_behaved/1000/f");
            let place = Place::new();
            place.write("list", format!("{{\"urls\":[\"{url}\",\"{second}\"],\"out\":\"f\"{more}}}\n"));
            let out = place.run(&["-i", "list", "--data", "a=1"]);
            let sent = servers[1].requests().len();
            assert_eq!(sent, usize::from(sends_elsewhere), "{first}{more}: {}", out.stderr);
            assert_eq!(out.status, if sends_elsewhere { 0 } else { 1 }, "{first}{more}: {}", out.stderr);
        }
    }
}

#[test]
fn a_body_stays_at_its_origin() {
    let (server, other) = (Server::start(), Server::start());
    let target = |server: &Server| server.url("well_behaved/10/f");
    let from = |status: u16, to: &str| server.url(&format!("redirect/10/f?status={status}&to={to}"));
    for (status, to, method, body) in [
        (301, &server, "GET", ""),
        (302, &other, "GET", ""),
        (303, &other, "GET", ""),
        (307, &server, "POST", "hush"),
        (308, &server, "POST", "hush"),
    ] {
        let place = Place::new();
        let out = place.run(&[&from(status, &target(to)), "--data", "hush", "-o", "f"]);
        place.assert_exact(&out, "f", &content("f", 10));
        let last = to.requests().pop().expect("a request");
        assert_eq!((last.method.as_str(), last.body.as_slice()), (method, body.as_bytes()), "{status}");
        assert_eq!(last.header("content-type").is_some(), method == "POST", "{status}");
    }
    let seen = other.requests().len();
    for status in [307, 308] {
        let place = Place::new();
        let out = place.run(&[&from(status, &target(&other)), "--data", "hush", "-o", "f"]);
        place.assert_failed(&out, 1, "a POST request is not sent to another server");
        assert!(!out.stderr.contains("hush"), "{}", out.stderr);
    }
    assert_eq!(other.requests().len(), seen);
}

/// A GET without the body would download another file, so it is not sent.
#[test]
fn a_post_request_is_not_sent_to_a_server_that_only_a_document_names() {
    let [lists, files] = [Server::start(), Server::start()];
    let (url, own) = (files.url("well_behaved/10/f"), lists.url("well_behaved/10/g"));
    let fetched = lists.put("/list", format!("{url}\n{own}\n"));
    let two = lists.put("/two", format!("{{\"urls\":[\"{url}\",\"{own}\"],\"out\":\"h\"}}\n"));
    let metalink = format!(
        "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"f\"><url>{url}</url></file></metalink>"
    );
    let says = "a POST request is not sent to a server that only a document names";
    for request in [&["--data", "hush"][..], &["--json", "hush"], &["-X", "POST"]] {
        let place = Place::new();
        let out = place.run(&[&["-i", fetched.as_str(), "--failed", "failed"], request].concat());
        assert!(
            out.status == 1 && out.stderr.contains(says) && !out.stderr.contains("hush"),
            "{}",
            out.stderr
        );
        assert_eq!(place.file("g"), Some(content("g", 10)), "it is on the server of the list");
        let last = lists.requests().pop().expect("a request");
        assert_eq!(last.method, "POST");
        let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
        assert_eq!(failed.lines().count(), 1);
        assert!(failed.contains(&url), "{failed}");

        let place = Place::new();
        let out = place.run_with(&[&["-i", "-"], request].concat(), metalink.as_bytes());
        place.assert_failed(&out, 1, says);
        // A mirror that must not get the request is not used.
        let out = place.run(&[&["-i", two.as_str(), "-v"], request].concat());
        place.assert_exact(&out, "h", &content("g", 10));
        assert!(out.stderr.contains("the POST request is not sent to"), "{}", out.stderr);
    }
    assert!(files.requests().is_empty(), "{:?}", files.requests());
}

#[test]
fn a_file_from_another_request_is_not_the_wanted_file() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let place = Place::new();
    let out = place.run(&[&url, "--data", "a=1"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let seen = server.requests().len();
    // A file from the same request is recognised by its record, and a file from another request is not.
    let out = place.run(&[&url, "--data", "a=1"]);
    assert_eq!((out.status, server.requests().len()), (0, seen), "{}", out.stderr);
    for other in [&["--data", "a=2"][..], &["--json", "a=1"], &["-X", "PUT", "--data", "a=1"]] {
        let out = place.run(&[&[url.as_str()], other].concat());
        assert_eq!(out.status, 1, "{other:?}: {}", out.stderr);
    }
    assert_eq!(server.requests().len(), seen, "a POST only to compare is not sent");
    let out = place.run(&[&url, "--data", "a=2", "--if-exists", "update"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(server.requests().pop().expect("a request").body, b"a=2");
}

#[test]
fn a_range_of_a_file_is_a_file_of_its_own() {
    let server = Server::start();
    let url = server.url("well_behaved/8000000/f");
    let whole = content("f", 8_000_000);
    for (range, bytes) in [
        ("0-0", &whole[..1]),
        ("100-999", &whole[100..1000]),
        ("1000000-5999999", &whole[1_000_000..6_000_000]),
        ("7000000-", &whole[7_000_000..]),
        ("7000000-99999999", &whole[7_000_000..]),
        ("0-", &whole[..]),
    ] {
        let place = Place::new();
        let out = place.run(&[&url, "--range", range, "-x", "4"]);
        place.assert_exact(&out, "f", bytes);
    }
    // A range of a file and the whole file are two different files.
    let place = Place::new();
    let out = place.run(&[&url, "--range", "0-99"]);
    place.assert_exact(&out, "f", &whole[..100]);
    let out = place.run(&[&url]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    let out = place.run(&[&url, "--range", "0-99"]);
    assert!(out.status == 0 && out.stderr.contains("already"), "{}", out.stderr);
}

#[test]
fn a_range_is_resumed_within_itself() {
    let server = Server::start();
    let place = Place::new();
    let whole = content("f", 20_000_000);
    let url = server.url("truncated_body/20000000/f");
    let args = [url.as_str(), "--range", "1000000-", "-x", "1"];
    let out = place.run(&[&args[..], &["--retries", "0", "--max-time", "0.001"]].concat());
    assert_eq!(out.status, 1, "{}", out.stderr);
    let out = place.run(&args);
    place.assert_exact(&out, "f", &whole[1_000_000..]);
    assert!(server.requests().iter().all(|one| {
        let range = one.header("range").unwrap_or_default();
        one.method == "HEAD" || !range.starts_with("bytes=0-")
    }));
}

#[test]
fn a_range_that_cannot_be_had_is_a_clear_failure() {
    let server = Server::start();
    for (path, args, status, says) in [
        ("no_ranges/1000/f", &["--range", "5-9"][..], 1, "the server does not send the range that is needed"),
        ("well_behaved/1000/f", &["--range", "1000-"], 1, "ends before the range of --range begins"),
        ("well_behaved/1000/f", &["--range", "9-5"], 2, "it must be like 0-999"),
        ("well_behaved/1000/f", &["--range", "-5"], 2, "it must be like 0-999"),
        ("well_behaved/1000/f", &["--range", "5-", "--checksum", &"ab".repeat(32)], 2, "cannot be used with"),
        ("well_behaved/1000/f", &["--range", "5-", "--verify", "require"], 2, "cannot be used with --range"),
        ("well_behaved/1000/f", &["-X", "HEAD"], 2, "contains no file"),
        ("well_behaved/1000/f", &["-X", "A B"], 2, "it must be a method of HTTP"),
        ("well_behaved/1000/f", &["--data", "@none"], 2, "--data @none: it cannot be read"),
    ] {
        let place = Place::new();
        let out = place.run(&[&[server.url(path).as_str(), "--retries", "0"], args].concat());
        place.assert_failed(&out, status, says);
    }
}

#[test]
fn a_range_beyond_the_end_of_the_file_is_not_requested_again() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&server.url("well_behaved/1000/f"), "--range", "1000-"]);
    place.assert_failed(&out, 1, "begins: 416 Range Not Satisfiable, the server's file has 1000 bytes");
    assert_eq!(server.requests().len(), 1, "{}", out.stderr);
}

#[test]
fn a_whole_file_of_unknown_length_is_the_range_from_the_first_byte_to_the_end() {
    let server = Server::start();
    for sin in ["chunked_body", "no_length"] {
        let place = Place::new();
        let out = place.run(&[&server.url(&format!("{sin}/100000/f")), "--range", "0-"]);
        place.assert_exact(&out, "f", &content("f", 100_000));
    }
}

#[test]
fn a_digest_of_the_whole_file_is_not_compared_with_a_range() {
    let server = Server::start();
    let place = Place::new();
    let url = format!("{}#sha256={}", server.url("well_behaved/1000/f"), "ab".repeat(32));
    let out = place.run(&[&url, "--range", "10-19", "-v"]);
    place.assert_exact(&out, "f", &content("f", 1000)[10..20]);
    assert!(out.stderr.contains("because only a range is downloaded"), "{}", out.stderr);
}

#[test]
fn a_referer_goes_to_the_given_server_only() {
    let (server, other) = (Server::start(), Server::start());
    let place = Place::new();
    let url = other.url(&format!("redirect/10/f?to={}", server.url("well_behaved/10/f")));
    let out = place.run(&[&url, "-o", "f", "-e", "http://me:hush@h.example/page?x=1#part"]);
    place.assert_exact(&out, "f", &content("f", 10));
    let referer =
        |server: &Server| server.requests().pop().expect("a request").header("referer").map(String::from);
    assert_eq!(referer(&other).as_deref(), Some("http://h.example/page?x=1"));
    assert_eq!(referer(&server), None);
    let out = place.run(&[&url, "--referer", "page"]);
    assert!(out.status == 2 && out.stderr.contains("it must be a URL"), "{}", out.stderr);
}

#[test]
fn pasted_commands_of_curl_send_bodies() {
    let server = Server::start();
    let place = Place::new();
    let pasted = format!(
        "curl '{}' -d a=1 --data-raw 'b=hush' -e 'https://h/' --compressed",
        server.url("well_behaved/10/f")
    );
    let out = place.run(&[&pasted]);
    place.assert_exact(&out, "f", &content("f", 10));
    let request = server.requests().pop().expect("a request");
    assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", &b"a=1&b=hush"[..]));
    assert_eq!(request.header("referer"), Some("https://h/"));
    let out = place.run(&[&pasted, "--dry-run"]);
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(shown.contains("--data ...") && !shown.contains("hush"), "{shown}");
}

#[test]
fn letters_that_mean_something_else_in_curl_are_explained() {
    let server = Server::start();
    let url = server.url("well_behaved/10/f");
    let place = Place::new();
    let out = place.run(&[&url, "-d", "a=1"]);
    place.assert_exact(&out, "a=1/f", &content("f", 10));
    assert!(
        out.stderr.contains("note: -d names the folder, here a=1/. To send a body, use --data"),
        "{}",
        out.stderr
    );
    for (args, says) in [
        (&["-x", "http://proxy:3128"][..], "For a proxy, use --proxy"),
        (&["-r", "0-9"], "use --range A-B"),
        (&["--post-data", "a=1"], "use --data DATA"),
        (&["--post-file", "x"], "use --data @FILE"),
        (&["--method", "PUT"], "use --request METHOD"),
        (&["-F", "a=1"], "cannot send multipart forms"),
        (&["-I"], "cannot request the headers"),
        (&["-b", "jar.txt", "-c"], ""),
        (&["--load-cookies", "x"], "use --cookies FILE"),
        (&["--http-user", "x"], "use --user"),
        (&["--all-proxy", "x"], "use --proxy"),
        (&["--ca-certificate", "x"], "use --cacert"),
        (&["--no-check-certificate"], "use --insecure"),
        (&["--check-certificate", "false"], "use --insecure"),
        (&["-e", "robots=off"], "it must be a URL"),
        (&["-K", "x"], "use -i FILE"),
        (&["-z", "x"], "use --if-exists update"),
        (&["--conditional-get=true"], "use --if-exists update"),
        (&["--skip-existing"], "use --if-exists skip"),
        (&["--fail-early"], "use --on-error exit"),
        (&["-s", "4"], "leave out aria2's -s N"),
        (&["-e", "https_proxy=http://p:1"], "--proxy"),
        // The option is named as it was typed.
        (&["--certificate", "x"], "error: --certificate is an option"),
        (&["-k"], "error: -k is an option"),
        (&["--password", "hush"], "error: --password is an option"),
        (&["--proxy-password", "hush"], "use --proxy-user NAME:PASSWORD"),
        (&["-U", "me:hush"], "use --proxy-user NAME:PASSWORD for curl's -U"),
        (&["-n"], "netrc file is read without an option"),
        (&["--ask-password"], "use --user NAME"),
        (&["--capath", "x"], "use --cacert FILE"),
    ] {
        let out = place.run(&[&[url.as_str()], args].concat());
        assert!(out.status == 2 && out.stderr.contains(says), "{args:?}: {}", out.stderr);
    }
    // Options that change nothing are accepted, but `-s` is not.
    let out = place.run(&[&url, "--compressed", "--check-certificate=true", "-L", "-s", "-o", "g"]);
    assert!(out.status == 2 && out.stderr.contains("use -q"), "{}", out.stderr);
    let out = place.run(&[&url, "--compressed", "--check-certificate=true", "-L", "-o", "g"]);
    place.assert_exact(&out, "g", &content("f", 10));
}

#[test]
fn continue_does_not_replace_a_file_with_the_response_to_another_request() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    for other in [&["--data", "a=1"][..], &["--json", "{}"], &["-X", "PUT"]] {
        let place = Place::new();
        let beginning = &content("f", 1000)[..10];
        place.write("f", beginning);
        let before = server.requests().len();
        for (if_exists, status) in [("check", 1), ("error", 1), ("skip", 0)] {
            let out = place.run(&[&[url.as_str(), "-c", "--if-exists", if_exists], other].concat());
            assert_eq!(out.status, status, "{other:?} {if_exists}: {}", out.stderr);
            assert_eq!(place.file("f").as_deref(), Some(beginning), "{other:?} {if_exists}: {}", out.stderr);
        }
        assert_eq!(server.requests().len(), before, "the request is not sent");
        let out = place.run(&[&[url.as_str(), "-c", "--if-exists", "overwrite"], other].concat());
        place.assert_exact(&out, "f", &content("f", 1000));
    }
}

#[test]
fn a_range_fails_at_once_if_the_server_sends_no_ranges() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&server.url("no_ranges/3000000/f"), "--range", "5-9"]);
    place.assert_failed(&out, 1, "the server does not send the range that is needed");
    assert!(out.stderr.contains("Leave out --range"), "{}", out.stderr);
    assert!(
        !out.stderr.contains("starts again")
            && !out.stderr.contains("To resume")
            && !out.stderr.contains("To try again"),
        "{}",
        out.stderr
    );
    assert_eq!(server.requests().len(), 1, "it is not tried again");
    // Another mirror may send ranges.
    let sums = [server.url("no_ranges/3000000/g"), server.url("well_behaved/3000000/g")];
    place.write("list", format!("{{\"urls\": [\"{}\", \"{}\"], \"name\": \"g\"}}\n", sums[0], sums[1]));
    let out = place.run(&["-i", "list", "--range", "5-9"]);
    place.assert_exact(&out, "g", &content("g", 3_000_000)[5..10]);
}

#[test]
fn advice_about_an_existing_file_names_no_option_that_is_refused() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    for options in [&["--range", "0-9"][..], &["--data", "a=1"]] {
        let place = Place::new();
        let out = place.run(&[&url]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        let out = place.run(&[&[url.as_str()], options].concat());
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(out.stderr.contains("--if-exists overwrite replaces"), "{}", out.stderr);
        assert!(!out.stderr.contains("-c continues"), "{}", out.stderr);
    }
    let place = Place::new();
    place.write("f", &content("f", 1000)[..10]);
    let out = place.run(&[&url, "--no-resume"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains("--if-exists overwrite replaces"), "{}", out.stderr);
    assert!(!out.stderr.contains("-c continues"), "{}", out.stderr);
}
