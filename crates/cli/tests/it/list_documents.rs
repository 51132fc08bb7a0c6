//! Lists that describe a set of files: bags, data packages and RO-Crates.

use crate::common::Place;
use crate::list_forms::{SIZE, assert_files, both_ways, put};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use std::io::Write;

#[test]
fn a_bag_a_data_package_and_an_ro_crate_are_lists() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let digest = sha256(&content("a", SIZE));
    let bag = format!("{a} {SIZE} data/a\n{b} - data/x/b\n");
    let package = format!(
        "{{\n\"resources\": [{{\"path\": \"{a}\", \"bytes\": {SIZE}, \"hash\": \"sha256:{digest}\"}}, {{\"path\": \"b\"}}]}}"
    );
    let part = format!(
        "{{\"@id\": \"{a}\", \"@type\": \"File\", \"contentSize\": \"{SIZE}\", \"sha256\": \"{digest}\"}}"
    );
    let crate_ = format!(
        "{{\n\"@context\": \"https://w3id.org/ro/crate/1.1/context\",\n\"@graph\": [{part}, {{\"@id\": \"b\", \"@type\": \"File\"}}]}}"
    );
    for (name, list, files) in [
        ("fetch.txt", bag, [("data/a", "a"), ("data/x/b", "b")]),
        ("datapackage.json", package, [("a", "a"), ("b", "b")]),
        ("ro-crate-metadata.json", crate_, [("a", "a"), ("b", "b")]),
    ] {
        for (place, out) in both_ways(name, &list, &["--base", &server.url("d/list")]) {
            assert_files(&place, &out, &files);
        }
        // Relative paths in a list that is fetched begin at the URL of the list.
        let url = server.put(&format!("/d/{name}"), list.into_bytes());
        let place = Place::new();
        assert_files(&place, &place.run(&["-i", &url, "-d", "out"]), &files);
    }
}

/// The other files of a document are downloaded.
#[test]
fn a_mistake_in_a_document_fails_the_file_that_has_it() {
    let server = Server::start();
    let a = put(&server, "a");
    let wrong = "0".repeat(64);
    let bag = |bad: &str| format!("{a} {SIZE} data/a\n{bad}\n");
    let package = |bad: &str| format!("{{\n\"resources\": [{{\"path\": \"{a}\"}}, {bad}]}}");
    let graph = |bad: &str| {
        let context = "\"@context\": \"https://w3id.org/ro/crate/1.1/context\"";
        format!("{{{context},\n\"@graph\": [{{\"@id\": \"{a}\", \"@type\": \"File\"}}, {bad}]}}")
    };
    let entity = |id: &str, more: &str| format!("{{\"@id\": \"{id}\", \"@type\": \"File\"{more}}}");
    for (name, list, status, says) in [
        ("fetch.txt", bag(&format!("{a}?2 {SIZE} ../b")), 1, "lead out"),
        ("fetch.txt", bag(&format!("{a}?2 9 data/b")), 3, "size"),
        ("fetch.txt", bag(&format!("{a}?2 many data/b")), 1, "the length must be a number or -"),
        ("fetch.txt", bag(&format!("{a}?2 data/b")), 1, "its line must have the form URL LENGTH FILENAME"),
        (
            "datapackage.json",
            package("{\"path\": 5}"),
            1,
            "resource 2: this file of the list cannot be downloaded: `path` must be a string",
        ),
        ("datapackage.json", package("{\"path\": \"../../b\"}"), 1, "resource 2: "),
        (
            "datapackage.json",
            package(&format!("{{\"path\": \"{a}?2\", \"hash\": \"sha256:{wrong}\"}}")),
            3,
            "sha-256",
        ),
        ("datapackage.json", package(&format!("{{\"path\": \"a?2#sha256={wrong}\"}}")), 3, "sha-256"),
        (
            "datapackage.json",
            package("{\"name\": \"b\"}"),
            1,
            "resource 2: this file of the list cannot be downloaded: it has no `path`, no `url` and no `data`",
        ),
        ("ro-crate-metadata.json", graph(&entity("../b", "")), 1, "../b"),
        (
            "ro-crate-metadata.json",
            graph(&entity(&format!("{a}?2"), &format!(", \"sha256\": \"{wrong}\""))),
            3,
            "sha-256",
        ),
    ] {
        server.put("/d/a?2", content("a", SIZE));
        let place = Place::new();
        place.write(name, &list);
        let out = place.run(&["-i", name, "-d", "out", "--base", &server.url("d/list"), "--retries", "0"]);
        assert!(out.status == status && out.stderr.contains(says), "{list}\n{}: {}", out.status, out.stderr);
        let is_there =
            ["out/a", "out/data/a"].iter().any(|path| place.file(path) == Some(content("a", SIZE)));
        assert!(is_there, "{list}\n{}", out.stderr);
    }
}

/// The files after the cut are missing, so `--skip-bad-lines` does not leave out this mistake.
#[test]
fn a_document_that_is_cut_off_is_never_complete() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let file = |name: &str, url: &str| format!("<file name=\"{name}\"><url>{url}</url></file>\n");
    let metalink = format!(
        "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\n{}{}",
        file("data/a", &a),
        &file("data/b", &b)[..20]
    );
    // The cut is not among the bytes by which the form of the list is recognised.
    let (first, second) = (format!("{a} {SIZE} data/a\n{}", "\n".repeat(20_000)), format!("{b} - data/b\n"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(format!("{first}{second}").as_bytes()).expect("packs");
    let bag = gzip.finish().expect("packs");
    let trailer = 8;
    let bag = &bag[..bag.len() - trailer - second.len()];
    for (name, list) in [("set.meta4", metalink.as_bytes()), ("fetch.txt.gz", bag)] {
        for more in [&[][..], &["--skip-bad-lines"]] {
            let place = Place::new();
            place.write(name, list);
            let before = server.requests().len();
            let out = place.run(&[&["-i", name, "-d", "out"], more].concat());
            assert_eq!((out.status, server.requests().len()), (2, before), "{name} {more:?}: {}", out.stderr);
            assert!(out.stderr.contains("cannot be read to its end"), "{name} {more:?}: {}", out.stderr);
            let place = Place::new();
            let out = place.run_with(&[&["-i", "-", "-d", "out"], more].concat(), list);
            assert_eq!(out.status, 1, "{name} {more:?}: {}", out.stderr);
            assert_eq!(place.file("out/data/a"), Some(content("a", SIZE)), "{name} {more:?}: {}", out.stderr);
        }
    }
}

/// A document says which size or which chunks a file must have. The list of `--failed` says the same, also
/// for files that were not started.
#[test]
fn the_list_of_failed_files_keeps_the_required_size_and_the_chunk_hashes() {
    let server = Server::start();
    let url = put(&server, "a");
    let wrong = SIZE + 2;
    let metalink = |inside: &str| {
        format!(
            "<?xml version=\"1.0\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"a\">{inside}<url>{url}</url></file></metalink>"
        )
    };
    let pieces =
        format!("<pieces length=\"{SIZE}\" type=\"sha-256\"><hash>{}</hash></pieces>", "0".repeat(64));
    for (name, list, key) in [
        ("fetch.txt", format!("{url} {wrong} data/a\n"), "required_size"),
        (
            "datapackage.json",
            format!("{{\n\"resources\": [{{\"path\": \"{url}\", \"bytes\": {wrong}}}]}}"),
            "required_size",
        ),
        ("set.meta4", metalink(&format!("<size>{wrong}</size>")), "required_size"),
        ("set.meta4", metalink(&pieces), "chunk_hashes"),
    ] {
        for deadline in [&[][..], &["--deadline", "2020-01-01T00:00:00Z"]] {
            let place = Place::new();
            place.write(name, &list);
            let args = ["-i", name, "-d", "out", "--retries", "0", "--failed", "rest"];
            let out = place.run(&[&args[..], deadline].concat());
            assert_ne!(out.status, 0, "{name}: {}", out.stderr);
            let rest = String::from_utf8(place.file("rest").expect("a list")).expect("UTF-8");
            assert!(rest.contains(key), "{name}: {rest}");
            let out = place.run(&["-i", "rest", "-d", "out", "--retries", "0"]);
            assert_eq!(out.status, 3, "{name}: {}", out.stderr);
            assert!(!place.files().iter().any(|file| file.ends_with("/a")), "{name}: {:?}", place.files());
        }
    }
}
