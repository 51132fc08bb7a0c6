//! Headers of single lines in a list: `{"url": "...", "headers": {"Name": "value"}}`.

use crate::common::{Out, Place, events};
use crate::secrets::ways::encoded;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// Asserts that the output and the log show no value of a header.
#[track_caller]
fn assert_hidden(place: &Place, out: &Out) {
    let stdout = String::from_utf8_lossy(&out.stdout);
    for text in [&stdout, out.stderr.as_str(), &place.log()] {
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn the_headers_of_a_line_are_sent_for_the_urls_of_that_line_and_for_no_other() {
    let (one, other) = (Server::start(), Server::start());
    let place = Place::new();
    let there = encoded(&other.url("well_behaved/1000/behind"));
    let lines = [
        format!(
            r#"{{"url":"{}","headers":{{"Authorization":"Bearer hush","X-All":"hush"}},"id":7}}"#,
            one.url("well_behaved/1000/a")
        ),
        format!(
            r#"{{"url":"{}","headers":["X-A: hush-1","X-A: hush-2"],"referer":"http://me:hush@r/#hush","user_agent":"it/hush"}}"#,
            one.url("well_behaved/1000/b")
        ),
        format!(r#"{{"url":"{}"}}"#, one.url("well_behaved/1000/c")),
        format!(r#"{{"url":"{}","headers":{{"X-A":"hush"}}}}"#, one.url(&format!("redirect/1/d?to={there}"))),
        other.url("well_behaved/1000/e"),
    ];
    place.write("list", lines.join("\n"));
    let options = ["-H", "X-All: all", "--record", "lock", "--progress", "json", "-vv", "-j1"];
    let out = place.run(&[&["-i", "list"], &options[..]].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    let request = |path: &str| one.requests_for(path).pop().expect("a request");
    let (a, b, c, d) = (request("/a"), request("/b"), request("/c"), request("/d"));
    assert_eq!((a.header("authorization"), a.header("x-all")), (Some("Bearer hush"), Some("hush")));
    let values: Vec<&str> = b
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("x-a"))
        .map(|(_, v)| v.as_str())
        .collect();
    assert_eq!(values, ["hush-1", "hush-2"]);
    assert_eq!((b.header("referer"), b.header("user-agent")), (Some("http://r/"), Some("it/hush")));
    assert_eq!((b.header("authorization"), b.header("x-all")), (None, Some("all")));
    assert_eq!((c.header("authorization"), c.header("x-a"), c.header("x-all")), (None, None, Some("all")));
    assert_eq!(d.header("x-a"), Some("hush"));
    for request in other.requests() {
        assert!(request.headers.iter().all(|(_, value)| !value.contains("hush")), "{request:?}");
    }
    assert!(!other.requests_for("/behind").is_empty(), "the redirect was followed");
    assert_hidden(&place, &out);
    let lock = String::from_utf8(place.file("lock").expect("a lock file")).expect("UTF-8");
    assert!(!lock.contains("hush"), "{lock}");
    let queued = events(&out).into_iter().find(|event| event["kind"] == "queued").expect("an event");
    assert_eq!(queued["extra"], serde_json::json!({"id": 7}));
}

/// The author of a fetched list may send headers to the servers of its URLs. The headers of the user are not
/// sent to these servers, and no header is sent to a mirror that a server offers.
#[test]
fn the_headers_in_a_fetched_list_go_to_the_urls_of_its_lines_only() {
    let [lists, files, mirror] = [Server::start(), Server::start(), Server::start()];
    let offer = encoded(&format!("<{}>; rel=duplicate", mirror.url("capped/12000000/large?rate=2000000")));
    let large = files.url(&format!("capped/12000000/large?rate=2000000&sha256=1&link={offer}"));
    let headers = r#""headers":{"X-A":"hush"}"#;
    let text =
        format!("{{\"url\":\"{large}\",{headers}}}\n{{\"url\":\"{}\"}}\n", files.url("well_behaved/1000/b"));
    let list = lists.put("/l/list", text);
    let place = Place::new();
    let out = place.run(&["-i", &list, "-H", "X-User: user", "--mirrors", "auto", "-v"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.file("large"), Some(content("large", 12_000_000)));
    let sent = |server: &Server, name: &str| {
        let requests = server.requests().into_iter();
        requests.map(|request| request.header(name).map(String::from)).collect::<Vec<_>>()
    };
    for request in files.requests() {
        let expected = request.target.contains("/large").then_some("hush");
        assert_eq!((request.header("x-a"), request.header("x-user")), (expected, None), "{request:?}");
    }
    assert_eq!(sent(&lists, "x-user"), [Some("user".to_string())]);
    assert_eq!(sent(&lists, "x-a"), [None]);
    assert!(!mirror.requests().is_empty(), "the mirror was used");
    assert!(sent(&mirror, "x-a").iter().all(Option::is_none), "{:?}", mirror.requests());
    assert_hidden(&place, &out);
}

#[test]
fn the_list_of_failed_files_has_their_headers() {
    let server = Server::start();
    let place = Place::new();
    let target = "status/1000/f?status=503";
    let line = format!(
        r#"{{"url":"{}","out":"f","headers":{{"X-A":"hush"}},"user_agent":"it/hush","id":7}}"#,
        server.url(target)
    );
    place.write("list", line);
    let out = place.run(&["-i", "list", "--retries", "0", "--failed", "failed"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_hidden(&place, &out);
    server.becomes(target, "well_behaved/1000/f");
    let out = place.run(&["-i", "failed"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let request = server.requests().pop().expect("a request");
    assert_eq!((request.header("x-a"), request.header("user-agent")), (Some("hush"), Some("it/hush")));
}

#[test]
fn a_malformed_header_in_a_list_is_reported_without_its_value() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let place = Place::new();
    let wrong = [
        r#""headers":{"X-A":"hush\r\nX-B: hush"}"#,
        r#""headers":{"":"hush"}"#,
        r#""headers":{"X-A":["hush"]}"#,
        r#""headers":"hush""#,
        r#""user_agent":"hush\nhush""#,
    ];
    let lines: Vec<String> = wrong.iter().map(|keys| format!("{{\"url\":\"{url}\",{keys}}}")).collect();
    place.write("list", lines.join("\n"));
    for out in [place.run(&["-i", "list"]), place.run_with(&["-i", "-"], lines.join("\n").as_bytes())] {
        for says in ["line 1: `headers`", "line 2: ", "line 3: ", "line 4: ", "line 5: `user_agent`"] {
            assert!(out.status != 0 && out.stderr.contains(says), "{says}: {}", out.stderr);
        }
        assert_hidden(&place, &out);
    }
    assert!(server.requests().is_empty(), "no request was sent");
}

#[test]
fn a_refused_authorization_header_of_a_line_is_reported_as_such() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("login/1000/f?as=basic,bearer&password=right");
    place.write("list", format!(r#"{{"url":"{url}","headers":{{"Authorization":"Bearer hush"}}}}"#));
    let out = place.run(&["-i", "list", "--retries", "0"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    let says =
        "the server did not accept the Authorization header that the list or the options give for this file";
    assert!(out.stderr.contains(says), "{}", out.stderr);
    assert_hidden(&place, &out);
}

/// A list of `--failed` is a file of the user, but the URLs in it are still those of a document.
#[test]
fn the_urls_of_a_document_stay_those_of_a_document_in_the_list_of_failed_files() {
    let [lists, files] = [Server::start(), Server::start()];
    let target = "status/1000/f?status=503";
    let (url, own) = (files.url(target), lists.url(target));
    let metalink = format!(
        "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"f\"><url>{url}</url></file></metalink>"
    );
    let place = Place::new();
    let list = place.write("set.meta4", &metalink);
    for list in [list.to_str().expect("UTF-8"), &lists.put("/list", format!("{url}\n{own}\n"))] {
        let out = place.run(&["-i", list, "--retries", "0", "--failed", "failed", "-H", "X-User: hush"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        let out = place.run(&["-i", "failed", "--retries", "0", "-H", "X-User: hush", "--failed", "again"]);
        assert!(out.stderr.contains("the headers of -H are not sent to"), "{}", out.stderr);
        let failed = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
        assert_eq!(failed.as_bytes(), place.file("again").expect("a list"), "it stays the same");
        // A list on standard input is read by other code than a list in a file.
        place.run_with(&["-i", "-", "--retries", "0", "-H", "X-User: hush"], failed.as_bytes());
    }
    let sent = |server: &Server| {
        let requests = server.requests_for("status").into_iter();
        requests.map(|request| request.header("x-user").is_some()).collect::<Vec<_>>()
    };
    assert_eq!(sent(&files), [false; 6]);
    assert_eq!(sent(&lists), [true; 3], "the user gave a URL of this server");
    for wrong in ["\"me\"", "7", "true"] {
        place.write("wrong", format!("{{\"url\":\"{url}\",\"named_by\":{wrong}}}"));
        let out = place.run(&["-i", "wrong"]);
        assert!(out.status == 2 && out.stderr.contains("line 1: `named_by` must be"), "{}", out.stderr);
    }
}

#[test]
fn the_list_of_failed_files_has_the_name_that_the_user_gave() {
    let server = Server::start();
    let url = server.url("status/1000/f?status=503");
    let place = Place::new();
    let absolute = place.path().join("x").to_string_lossy().into_owned();
    for (name, kept) in
        [("dir/my f", Some("dir/my f")), (absolute.as_str(), None), ("../x", None), ("-", None)]
    {
        let out = place.run(&[&url, "-o", name, "--retries", "0", "--failed", "failed"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        let failed = place.file("failed").expect("a list");
        let failed: serde_json::Value = serde_json::from_slice(&failed).expect("JSON");
        assert_eq!(failed["out"].as_str(), kept, "{name}");
        let warning = format!("the name {name} of -o is left out, because a list cannot contain it");
        assert_eq!(out.stderr.contains(&warning), kept.is_none(), "{name}: {}", out.stderr);
    }
}
