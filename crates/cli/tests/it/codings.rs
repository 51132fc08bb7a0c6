//! Tests of servers that send a content coding (Content-Encoding) although only `identity` was accepted.

use crate::common::{Out, Place, finish, send};
use downhaul_testkit::server::sins::encode;
use downhaul_testkit::server::{Request, Server};
use downhaul_testkit::{content, content_digest, sha256};
use rustix::process::Signal;

const SIZE: u64 = 300_000;

fn file() -> Vec<u8> {
    content("file", SIZE)
}

fn coded(codings: &str) -> Vec<u8> {
    encode(codings, &file()).expect("encodes")
}

/// Downloads the file that `coded?QUERY` serves, with these options.
fn get(server: &Server, query: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    let url = server.url(&format!("coded/{SIZE}/file?{query}"));
    let mut args = vec![url.as_str(), "-o", "f", "--retries", "0"];
    args.extend(more);
    let out = place.run(&args);
    (place, out)
}

/// Returns a digest in the form of a header, escaped as a value of a query.
fn structured(bytes: &[u8]) -> String {
    content_digest(bytes).replace('+', "%2B")
}

fn asked_for_parts(requests: &[Request]) -> bool {
    requests.iter().any(|request| request.header("range").is_some())
}

#[test]
fn a_compressed_body_is_saved_as_sent_with_a_warning() {
    let server = Server::start();
    for more in [&[][..], &["--decode", "off"]] {
        let (place, out) = get(&server, "coding=gzip", more);
        place.assert_exact(&out, "f", &coded("gzip"));
        assert!(out.stderr.contains("warning: the server sent the file compressed (gzip)"), "{}", out.stderr);
        assert!(out.stderr.contains("saved as sent"), "{}", out.stderr);
    }
}

#[test]
fn decode_auto_saves_the_decoded_file() {
    let server = Server::start();
    for (codings, says) in [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("raw deflate", "deflate"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip, zstd", "gzip, zstd"),
    ] {
        let (place, out) = get(&server, &format!("coding={codings}&says={says}"), &["--decode", "auto"]);
        place.assert_exact(&out, "f", &file());
        let told = format!("the server sent the file compressed ({says}), and it was decoded");
        assert!(out.stderr.contains(&told), "{}", out.stderr);
    }
    // A body without a coding, or with an unknown coding, is not decoded.
    let place = Place::new();
    let out = place.run(&[&server.url(&format!("well_behaved/{SIZE}/file")), "-o", "f", "--decode", "auto"]);
    place.assert_exact(&out, "f", &file());
    assert!(!out.stderr.contains("decoded"), "{}", out.stderr);
    let (place, out) = get(&server, "coding=identity&says=compress", &["--decode", "auto"]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("saved as sent"), "{}", out.stderr);
}

#[test]
fn a_file_that_is_decoded_uses_one_connection() {
    let server = Server::start();
    let more = ["--decode", "auto", "--retries", "2", "-x", "8"];
    let (place, out) = get(&server, "coding=gzip&parts=1&break=1", &more);
    place.assert_exact(&out, "f", &file());
    let requests = server.requests();
    assert!(requests.len() == 2 && !asked_for_parts(&requests), "{requests:?}");
}

#[test]
fn a_truncated_or_damaged_coding_fails() {
    let server = Server::start();
    for query in [
        "coding=gzip&cut=5",
        "coding=zstd&cut=5",
        "coding=identity&says=gzip",
        "coding=gzip&more=this%20is%20no%20gzip%20member",
        "coding=gzip&more=x",
    ] {
        let (place, out) = get(&server, query, &["--decode", "auto"]);
        place.assert_failed(&out, 1, "the compressed content cannot be decoded");
        assert!(out.stderr.contains("--decode off saves the file as it was sent."), "{}", out.stderr);
    }
}

#[test]
fn decoding_stops_at_a_thousand_times_the_size() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("coded/50000000/file?coding=zstd&zeros=1");
    let out = place.run(&[&url, "-o", "f", "--decode", "auto"]);
    place.assert_failed(&out, 1, "the content is more than 1032 times as large as the compressed bytes");
    assert_eq!(server.requests().len(), 1, "a retry would fail in the same way");
}

#[test]
fn each_digest_is_compared_with_the_coded_or_the_decoded_bytes_as_its_definition_says() {
    let server = Server::start();
    let decode = ["--decode", "auto"];
    // The digest in a header belongs to the coded bytes (RFC 9530, sections 2 and 3).
    let right = format!("digest={}", structured(&coded("gzip")));
    let (place, out) = get(&server, &right, &decode);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("the compressed bytes have the sha-256 from Repr-Digest"), "{}", out.stderr);
    let of_the_file = format!("digest={}", structured(&file()));
    let (place, out) = get(&server, &of_the_file, &decode);
    place.assert_failed(&out, 3, "of the compressed bytes is");
    let (place, out) = get(&server, &of_the_file, &["--decode", "auto", "--verify", "off"]);
    place.assert_exact(&out, "f", &file());
    // If the body is saved as sent, the saved file has this digest.
    let (place, out) = get(&server, &right, &[]);
    place.assert_exact(&out, "f", &coded("gzip"));
    assert!(out.stderr.contains("sha-256 from Repr-Digest"), "{}", out.stderr);

    // A given digest belongs to the decoded file.
    let given = format!("sha256:{}", sha256(&file()));
    let (place, out) = get(&server, "coding=br", &["--decode", "auto", "--checksum", &given]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("sha-256 from --checksum"), "{}", out.stderr);
    let other = format!("sha256:{}", sha256(b"another"));
    let (place, out) = get(&server, "coding=br", &["--decode", "auto", "--checksum", &other]);
    place.assert_failed(&out, 3, "the content does not match its digest");
}

/// The size of a file that is large enough for a journal and several connections. Its brotli form has no
/// compression.
const LARGE: u64 = 6_000_000;

/// Returns the URL of a large file that `coded?QUERY` serves.
fn large(server: &Server, query: &str) -> String {
    server.url(&format!("coded/{LARGE}/large?coding=br&{query}"))
}

fn large_coded() -> Vec<u8> {
    encode("br", &content("large", LARGE)).expect("encodes")
}

#[test]
fn ranges_of_a_coded_body_are_joined_under_one_strong_etag() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&large(&server, "parts=1&break=1"), "-o", "f.br"]);
    place.assert_exact(&out, "f.br", &large_coded());
    let range = server.requests()[1].header("range").map(str::to_string);
    assert!(range.is_some_and(|range| !range.starts_with("bytes=0-")), "continued, not repeated");
    assert!(out.stderr.contains("warning: the server sent the file compressed (br)"), "{}", out.stderr);

    let place = Place::in_memory();
    let before = server.requests().len();
    let out = place.run(&[&large(&server, "parts=1&rate=1000000"), "-o", "f.br", "-x", "4"]);
    place.assert_exact(&out, "f.br", &large_coded());
    assert!(server.requests().len() > before + 1, "several connections are used");
}

#[test]
fn ranges_of_a_coded_body_are_not_joined_without_a_strong_etag_or_in_another_coding() {
    let server = Server::start();
    for query in ["tag=W/\"weak\"", "tag="] {
        let place = Place::new();
        let url = large(&server, &format!("parts=1&break=1&{query}"));
        let out = place.run(&[&url, "-o", "f.br", "-x", "4"]);
        place.assert_exact(&out, "f.br", &large_coded());
        let requests = server.requests_for(&url[url.len() - 12..]);
        assert!(!asked_for_parts(&requests), "{query}: {requests:?}");
    }
    for part_says in ["identity", "gzip"] {
        let place = Place::new();
        let url = large(&server, &format!("parts=1&break=1&part_says={part_says}"));
        let out = place.run(&[&url, "-o", "f.br", "-x", "1"]);
        place.assert_exact(&out, "f.br", &large_coded());
        assert!(place.log().contains("[http.encoding]"), "{}", place.log());
        assert!(out.stderr.contains("cannot be used because of its content coding"), "{}", out.stderr);
    }
}

/// Stops a run with Ctrl-C when two of six megabytes have arrived.
fn stopped(place: &Place, url: &str) -> Out {
    let child = place.start(&[url, "-o", "f.br", "-x", "1", "--limit-rate", "2M"]);
    place.wait_for_bytes("f.br.part", 2_000_000);
    send(Signal::INT, &child);
    finish(child)
}

#[test]
fn a_compressed_file_is_resumed_after_ctrl_c() {
    let server = Server::start();
    let place = Place::new();
    let url = large(&server, "parts=1");
    let out = stopped(&place, &url);
    assert_eq!(out.status, 130, "{}", out.stderr);
    assert!(out.stderr.contains("Run the same command to resume"), "{}{}", out.stderr, place.log());
    let out = place.run(&[&url, "-o", "f.br"]);
    place.assert_exact(&out, "f.br", &large_coded());
    assert!(out.stderr.contains("of an earlier run"), "{}", out.stderr);
    assert!(out.stderr.contains("warning: the server sent the file compressed (br)"), "{}", out.stderr);
}

#[test]
fn a_partial_file_in_one_coding_is_not_joined_with_another_coding_or_decoded() {
    let server = Server::start();
    for (query, more, is) in [
        ("parts=1", &["--decode", "auto"][..], content("large", LARGE)),
        ("parts=1&part_says=gzip", &[], large_coded()),
    ] {
        let place = Place::new();
        let url = large(&server, query);
        assert_eq!(stopped(&place, &url).status, 130);
        let out = place.run(&[&[url.as_str(), "-o", "f.br"], more].concat());
        place.assert_exact(&out, "f.br", &is);
    }
}

#[test]
fn ctrl_c_says_that_nothing_is_kept_if_ranges_cannot_be_joined() {
    let server = Server::start();
    let place = Place::new();
    let out = stopped(&place, &large(&server, "tag=W/\"weak\""));
    assert_eq!(out.status, 130, "{}", out.stderr);
    assert!(out.stderr.contains("no bytes kept"), "{}", out.stderr);
    assert_eq!(place.files(), Vec::<String>::new());
}
