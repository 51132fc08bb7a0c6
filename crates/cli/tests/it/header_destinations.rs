//! Tests of the hosts to which the headers of `-H` are sent, and of the hosts that do not get them.

use crate::common::Place;
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};

const SIZE: u64 = 10_000;

fn file() -> Vec<u8> {
    content("file", SIZE)
}

fn url(server: &Server) -> String {
    server.url(&format!("well_behaved/{SIZE}/file"))
}

fn metalink(url: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\n<file name=\"f\">\
         <hash type=\"sha-256\">{}</hash><url>{url}</url></file>\n</metalink>\n",
        sha256(&file())
    )
}

/// Returns true if the last request for this path had the header that the user gave.
fn was_trusted(server: &Server, path: &str) -> bool {
    let request = server.requests_for(path).pop().expect("a request");
    request.header("authorization") == Some("Bearer S3CRET")
}

const HEADER: [&str; 2] = ["-H", "Authorization: Bearer S3CRET"];

#[test]
fn headers_do_not_go_to_hosts_that_only_a_document_names() {
    let (given, other) = (Server::start(), Server::start());
    let there = url(&other);
    let origin = format!("http://127.0.0.1:{}", other.port());
    for document in
        [format!("{there}\tf\n"), format!("{{\"url\":\"{there}\",\"out\":\"f\"}}\n"), metalink(&there)]
    {
        let list = given.put("/l/list", document);
        let place = Place::new();
        let out = place.run(&[&["-i", list.as_str()][..], &HEADER].concat());
        place.assert_exact(&out, "f", &file());
        assert!(was_trusted(&given, "/l/list"), "the user gave this URL");
        assert!(!was_trusted(&other, "/file"), "only the document names this URL");
        let note = format!("the headers of -H are not sent to {origin}");
        assert_eq!(out.stderr.matches(&note).count(), 1, "{}", out.stderr);
    }
    let place = Place::new();
    place.write("l.meta4", metalink(&there));
    let out = place.run(&[&["-i", "l.meta4"][..], &HEADER].concat());
    place.assert_exact(&out, "f", &file());
    assert!(!was_trusted(&other, "/file") && out.stderr.contains(&origin), "{}", out.stderr);

    // The search for checksum lists beside a file that only a document names does not send the header either.
    let out = place
        .run(&[&["-i", "l.meta4", "--verify", "find", "--if-exists", "overwrite"][..], &HEADER].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn headers_go_to_every_host_that_the_user_names() {
    let (one, other) = (Server::start(), Server::start());
    // The header is sent to the origin of the document itself.
    let own = url(&one);
    for document in [format!("{own}\tf\n"), metalink(&own)] {
        let list = one.put("/l/list", document);
        let place = Place::new();
        let out = place.run(&[&["-i", list.as_str()][..], &HEADER].concat());
        place.assert_exact(&out, "f", &file());
        assert!(was_trusted(&one, "/file") && !out.stderr.contains("-H"), "{}", out.stderr);
    }
    // A list that the user gave may have lines or JSON lines (as a lock file has), and may come from standard
    // input.
    let there = url(&other);
    for text in [format!("{there}\tf\n"), format!("{{\"url\":\"{there}\",\"out\":\"f\"}}\n")] {
        let place = Place::new();
        place.write("list", &text);
        for input in ["list", "-"] {
            let args = [&["-i", input, "--if-exists", "overwrite"][..], &HEADER].concat();
            let out = place.run_with(&args, text.as_bytes());
            place.assert_exact(&out, "f", &file());
            assert!(was_trusted(&other, "/file") && !out.stderr.contains("-H"), "{}", out.stderr);
        }
    }
}

#[test]
fn a_checksum_list_of_another_host_gets_no_headers() {
    let (files, lists) = (Server::start(), Server::start());
    let sums = format!("{}  file\n", sha256(&file()));
    let (near, far) = (files.put("/d/SUMS", sums.clone()), lists.put("/d/SUMS", sums));
    for (list, server, trusted) in [(near, &files, true), (far, &lists, false)] {
        let place = Place::new();
        let url = url(&files);
        let out = place.run(&[&url, "-o", "f", "--checksum-file", &list, HEADER[0], HEADER[1]]);
        place.assert_exact(&out, "f", &file());
        assert_eq!(was_trusted(server, "/d/SUMS"), trusted);
        assert!(was_trusted(&files, "/file"));
        assert_eq!(out.stderr.contains("the headers of -H are not sent to"), !trusted, "{}", out.stderr);
    }
}
