//! Tests of how response heads are read: leniently if that is safe, and strictly if it is not.
//! `docs/leniency.md` lists what is accepted, dropped and refused.

use crate::common::{Out, Place, events};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use std::fmt::Write as _;
use std::time::Duration;

const SIZE: u64 = 1_000;

fn file() -> Vec<u8> {
    content("file", SIZE)
}

/// Returns the text escaped as a value of a query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "%{byte:02X}");
        all
    })
}

/// Downloads a file whose response has these header lines. The connection stays open after the response.
fn with_lines(server: &Server, lines: &str, more: &[&str]) -> (Place, Out) {
    with_head(server, &format!("HTTP/1.1 200 OK\r\n{lines}"), more)
}

fn with_head(server: &Server, head: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    let url = server.url(&format!("head_as_given/{SIZE}/file?head={}", escaped(head)));
    let mut args = vec![url.as_str(), "-o", "f", "--timeout", "2", "--retries", "0"];
    args.extend(more);
    let out = place.run(&args);
    (place, out)
}

#[test]
fn odd_header_lines_are_accepted_or_dropped() {
    let server = Server::start();
    let many: String = (0..900).fold(String::new(), |all, n| all + &format!("X-{n}: a\r\n"));
    for odd in [
        "preload\r\n",
        "<b>Warning</b>: header() failed in /x.php on line 3\r\n",
        "X-Folded: a\r\n  b\r\n\tc\r\n",
        " X-First: 1\r\n",
        "X-Blank : a\r\n",
        ": no name\r\n",
        "X-Control: a\u{1b}[2J\r\n",
        "X-Latin: M\u{fc}nchen\r\n",
        &many,
    ] {
        let (place, out) = with_lines(&server, &format!("{odd}Content-Length: {SIZE}\r\n"), &[]);
        place.assert_exact(&out, "f", &file());
        assert!(!out.stderr.contains("warning"), "there is nothing to warn of: {}", out.stderr);
    }
    let place = Place::new();
    let out = place.run(&[&server.url(&format!("huge_headers/{SIZE}/file?lines=200")), "-o", "f"]);
    place.assert_exact(&out, "f", &file());
}

#[test]
fn lengths_and_codings_are_read_as_leniently_as_other_headers() {
    let server = Server::start();
    for lines in [
        format!("Content-Length : {SIZE}\r\n"),
        format!("Content-Length:\r\n {SIZE}\r\n"),
        format!("Content-Length: {SIZE}, {SIZE}\r\n"),
        format!("Content-Length: {SIZE}\r\nContent-Length: {SIZE}\r\n"),
        format!("Transfer-Encoding: identity\r\nContent-Length: {SIZE}\r\n"),
        format!("Transfer-Encoding:\r\nContent-Length: {SIZE}\r\n"),
    ] {
        let (place, out) = with_lines(&server, &lines, &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains("not verified (size matches)"), "the length is known: {}", out.stderr);
    }
}

#[test]
fn a_length_above_the_size_of_any_file_is_refused() {
    let server = Server::start();
    for length in ["9223372036854775808", "18446744073709551615", "99999999999999999999"] {
        let (place, out) = with_lines(&server, &format!("Content-Length: {length}\r\n"), &[]);
        place.assert_failed(&out, 1, "not valid HTTP: Content-Length is larger than any file");
    }
}

#[test]
fn a_response_that_fits_no_request_for_a_whole_file_is_described() {
    let server = Server::start();
    let length = format!("Content-Length: {SIZE}\r\n");
    let head = format!("HTTP/1.1 206 Some\r\nContent-Range: bytes 0-999/*\r\n{length}");
    let (place, out) = with_head(&server, &head, &[]);
    place.assert_exact(&out, "f", &file());
    let says = "did not say how large the file is";
    assert!(out.stderr.contains(says), "{}", out.stderr);
    let short = "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n";
    let head = format!("HTTP/1.1 206 Some\r\nContent-Range: bytes 0-19/*\r\n{short}");
    let (place, out) = with_head(&server, &head, &[]);
    place.assert_failed(&out, 1, "10 bytes are missing");
    for (head, says) in [
        ("416 No", "unusable status: 416 Range Not Satisfiable, although no range was requested"),
        (
            "407 Log In\r\nProxy-Authenticate: Basic realm=x",
            "407 Proxy Authentication Required, although the server is not used as a proxy",
        ),
    ] {
        let (place, out) = with_head(&server, &format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n"), &[]);
        place.assert_failed(&out, 1, says);
        assert!(!out.stderr.contains("--user"), "{}", out.stderr);
    }
}

#[test]
fn dropped_header_lines_are_reported_with_verbose_and_in_the_log() {
    let server = Server::start();
    let lines = format!("preload\r\nX-Secret: a\u{1}b\r\nContent-Length: {SIZE}\r\n");
    let (place, out) = with_lines(&server, &lines, &["-v"]);
    place.assert_exact(&out, "f", &file());
    for note in [
        "the header line 'preload' has no colon and was dropped",
        "the header line 'X-Secret' has a control character in its value and was dropped",
    ] {
        assert!(out.stderr.contains(note), "{}", out.stderr);
        assert!(place.log().contains(note), "{}", place.log());
    }
    let (_, out) = with_lines(&server, &lines, &["--progress", "json"]);
    let started = events(&out).into_iter().find(|event| event["kind"] == "started").expect("it started");
    assert_eq!(started["notes"].as_array().map(Vec::len), Some(2), "{started}");
}

#[test]
fn heads_that_allow_two_ends_of_the_body_are_refused() {
    let server = Server::start();
    for lines in [
        format!("X-Bad: a\0b\r\nContent-Length: {SIZE}\r\n"),
        format!("X-Bad\0: a\r\nContent-Length: {SIZE}\r\n"),
        format!("X-Bad: a\rContent-Length: 1\r\nContent-Length: {SIZE}\r\n"),
        format!("X-Bad\r: a\r\nContent-Length: {SIZE}\r\n"),
        format!("Content-Length: {SIZE}\r\nContent-Length: 1\r\n"),
        format!("Content-Length: {SIZE}, 1\r\n"),
        format!("Content-Length: {SIZE}\r\n 1\r\n"),
        format!("Content-Length: +{SIZE}\r\n"),
        format!("Content-Length {SIZE}\r\n"),
        format!(" Content-Length: {SIZE}\r\n"),
        format!("Transfer-Encoding\u{1}: chunked\r\nX-A: {SIZE}\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {SIZE}\r\n"),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n".into(),
        "Content-Length: 1\r\n".repeat(1_001),
    ] {
        let (place, out) = with_lines(&server, &lines, &[]);
        place.assert_failed(&out, 1, "the server's response is not valid HTTP");
    }
    // A redirect whose body could end at two places is refused too, because any bytes could follow it.
    let head = "HTTP/1.1 302 Found\r\nLocation: /well_behaved/5/f\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n";
    let (place, out) = with_head(&server, head, &[]);
    place.assert_failed(&out, 1, "it has both a Content-Length and a transfer coding");
}

#[test]
fn a_chunked_body_is_read_in_every_form_of_its_header() {
    let server = Server::start();
    let body = "5\r\nhello\r\n0\r\n\r\n";
    for lines in [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding : Chunked,",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        let (place, out) = with_lines(&server, &format!("{lines}\r\n\r\n{body}"), &[]);
        place.assert_exact(&out, "f", b"hello");
    }
}

#[test]
fn malformed_chunk_sizes_are_refused() {
    let server = Server::start();
    for size in ["-1", "0x5", "ffffffffffffffffff", "5 5", "five"] {
        let head = format!("Transfer-Encoding: chunked\r\n\r\n{size}\r\nabcde\r\n0\r\n");
        let (place, out) = with_lines(&server, &head, &[]);
        place.assert_failed(&out, 1, "the server's response is not valid HTTP");
    }
}

#[test]
fn a_chunk_size_without_end_fails_at_once() {
    let server = Server::start();
    for line in ["line=&again=0", "line=5&again=%20", "line=0&again=%09", "line=1%0D%0Ax%0D%0A&again=0"] {
        let place = Place::new();
        let url = server.url(&format!("endless_chunk_size/{SIZE}/file?{line}"));
        let out = place.run(&[&url, "-o", "f", "--retries", "0", "--no-resume"]);
        place.assert_failed(&out, 1, "1 MiB without data arrived between two chunks of the body");
        assert!(out.took < Duration::from_secs(5), "{:?}", out.took);
    }
}

#[test]
fn interim_responses_are_skipped() {
    let server = Server::start();
    let head = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\npreload\r\n\r\n".repeat(3);
    let (place, out) =
        with_head(&server, &format!("{head}HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n"), &["-v"]);
    place.assert_exact(&out, "f", &file());
    assert!(!out.stderr.contains("dropped"), "{}", out.stderr);
}

#[test]
fn a_206_for_the_whole_file_is_accepted() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("everything_as_a_part/{SIZE}/file"));
    let out = place.run(&[&url, "-o", "f"]);
    place.assert_exact(&out, "f", &file());
    let place = Place::new();
    let out = place.run(&[&format!("{url}?total={}", SIZE + 1), "-o", "f", "--retries", "0"]);
    place.assert_failed(&out, 1, "the whole file was requested");

    let place = Place::new();
    let out = place.run(&[&format!("{url}?total=*"), "-o", "f", "--retries", "0"]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("did not say how large the file is"), "{}", out.stderr);
}

#[test]
fn status_lines_of_other_versions_are_read_as_http_1() {
    let server = Server::start();
    for status_line in [
        "HTTP/2.0 200 OK",
        "HTTP/2 200",
        "http/1.1 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/3 200 ",
    ] {
        let head = format!("{status_line}\r\nContent-Length: {SIZE}\r\n");
        let (place, out) = with_head(&server, &head, &[]);
        place.assert_exact(&out, "f", &file());
    }
    for status_line in
        ["HTTX/1.1 200 OK", "HTTP/ 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1200 OK"]
    {
        let head = format!("{status_line}\r\nContent-Length: {SIZE}\r\n");
        let (place, out) = with_head(&server, &head, &[]);
        place.assert_failed(&out, 1, "the server's response is not valid HTTP");
    }
}

#[test]
fn statuses_with_the_file_are_accepted() {
    let server = Server::start();
    for status in ["203 Non-Authoritative Information", "299 Miscellaneous"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {SIZE}\r\n");
        let (place, out) = with_head(&server, &head, &[]);
        place.assert_exact(&out, "f", &file());
    }
    for status in ["201", "202", "204", "205", "226"] {
        let place = Place::new();
        let url = server.url(&format!("status/{SIZE}/file?status={status}"));
        let out = place.run(&[&url, "-o", "f", "--retries", "0"]);
        place.assert_failed(&out, 1, "the server answered with an unusable status");
    }
}

#[test]
fn the_raw_bytes_of_a_location_are_sent_unchanged() {
    let server = Server::start();
    let head = format!(
        "HTTP/1.1 302 Found\r\nLocation: /well_behaved/{SIZE}/caf\u{e9}\r\nContent-Length: {SIZE}\r\n"
    );
    let (place, out) = with_head(&server, &head, &[]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.file("f"), Some(content("caf%E9", SIZE)));
    assert!(
        server.requests().iter().any(|one| one.target.ends_with("/caf%E9")),
        "the bytes of the Location are sent unchanged"
    );
}

#[test]
fn the_digest_on_a_redirect_of_a_model_hub_is_checked() {
    let server = Server::start();
    let get = |query: &str| {
        let place = Place::new();
        let url = server.url(&format!("linked/300000/file?{query}"));
        let out = place.run(&[&url, "-o", "f", "--retries", "0"]);
        (place, out)
    };
    let (place, out) = get("");
    place.assert_exact(&out, "f", &content("file", 300_000));
    assert!(out.stderr.contains("sha-256 from X-Linked-Etag"), "{}", out.stderr);
    // The digest is also used if the rest of the file is requested as a range.
    let (place, out) = get("to=truncated_body");
    place.assert_exact(&out, "f", &content("file", 300_000));
    assert!(out.stderr.contains("sha-256 from X-Linked-Etag"), "{}", out.stderr);

    let (place, out) = get(&format!("digest={}", sha256(b"another")));
    place.assert_failed(&out, 3, "the content does not match its digest");
    let (place, out) = get("size=299999");
    place.assert_failed(&out, 3, "X-Linked-Size says 299999");
    // An ETag in another form is not a digest and is ignored.
    let (place, out) = get("digest=0123456789abcdef0123456789abcdef01234567");
    place.assert_exact(&out, "f", &content("file", 300_000));
    assert!(out.stderr.contains("not verified (size matches)"), "{}", out.stderr);
}

#[test]
fn a_malformed_member_does_not_disable_the_digest_beside_it() {
    let server = Server::start();
    let place = Place::new();
    let wrong = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    for value in [format!("a=1, {wrong}"), format!("sha-512=:!:, {wrong}"), format!("{wrong}, B")] {
        for name in ["Repr-Digest", "Content-Digest"] {
            let url = server.url(&format!("headers/{SIZE}/file?{name}={}", escaped(&value)));
            let out = place.run(&[&url, "-o", "f", "--retries", "0"]);
            place.assert_failed(&out, 3, "the content does not match its digest");
        }
    }
}
