//! `-H @FILE`: headers that do not appear in the list of processes or in the output of the run.

use crate::common::Place;
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};

#[test]
fn headers_of_a_file_are_sent_and_never_shown() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let place = Place::new();
    let text = "# who I am\r\n\r\nAuthorization: Bearer hunter2\r\n  X-One:  1 \r\n";
    place.write("secret headers", text);
    place.write(
        "utf16",
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
    );
    for file in ["@secret headers", "@utf16"] {
        let out = place.run(&[&url, "-H", file, "-H", "X-Two: 2", "-v", "--if-exists", "overwrite"]);
        place.assert_exact(&out, "f", &content("f", 1000));
        let request = server.requests().pop().expect("a request");
        assert_eq!(request.header("authorization"), Some("Bearer hunter2"));
        assert_eq!((request.header("x-one"), request.header("x-two")), (Some("1"), Some("2")));
        assert!(!out.stderr.contains("hunter2") && !place.log().contains("hunter2"), "{}", out.stderr);
    }
    // The suggested command names the file.
    let missing = server.url("status/1/x?status=500");
    let out = place.run(&[&missing, "-H", "@secret headers", "--retries", "0"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains("-H '@secret headers'"), "{}", out.stderr);
    assert!(!out.stderr.contains("hunter2") && !place.log().contains("hunter2"), "{}", out.stderr);
    let out = place.run(&[&missing, "-H", "@secret headers", "--retries", "0", "--progress", "json"]);
    assert!(!String::from_utf8_lossy(&out.stdout).contains("hunter2"));
}

#[test]
fn a_header_file_may_be_a_pipe_which_is_read_once() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let list = server.put("/l/list", format!("{url}\n"));
    let place = Place::new();
    let out = place.run_with(&["-i", &list, "-H", "@/dev/stdin"], b"X-One: 1\n");
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(server.requests().len(), 2);
    assert!(server.requests().iter().all(|request| request.header("x-one") == Some("1")));
}

#[test]
fn options_with_a_file_can_read_standard_input() {
    let server = Server::start();
    let list = format!("{}  f\n", sha256(&content("f", 1000)));
    for (options, input, header) in [
        (["-H", "@-"], "X-One: 1\n", ("x-one", "1")),
        (["--bearer", "@-"], "hush\n", ("authorization", "Bearer hush")),
        (["--cookie", "@-"], "a=1\n", ("cookie", "a=1")),
        (["--checksum-file", "-"], &list, ("accept", "*/*")),
    ] {
        let place = Place::new();
        let url = server.url("well_behaved/1000/f");
        let out = place.run_with(&[&[url.as_str()], &options[..]].concat(), input.as_bytes());
        place.assert_exact(&out, "f", &content("f", 1000));
        let request = server.requests().pop().expect("a request");
        assert_eq!(request.header(header.0), Some(header.1), "{options:?}");
        // The next run could not read standard input again, so no command is suggested.
        let missing = server.url("status/1/x?status=500");
        let args = [&[missing.as_str(), "--retries", "0"], &options[..]].concat();
        let out = place.run_with(&args, input.as_bytes());
        assert!(out.status == 1 && !out.stderr.contains("To try again: "), "{options:?}: {}", out.stderr);
    }
}

#[test]
fn a_malformed_header_file_is_reported_without_its_content() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let place = Place::new();
    place.write("bad", "X-One: 1\nhunter2\n");
    place.write("ours", "Range: bytes=0-hunter2\n");
    place.write("control", "X-One: hunter2\u{7}\n");
    place.write("empty", "# hunter2\n\n");
    place.write("long", vec![b'x'; 300 * 1024]);
    for (file, says) in [
        ("@bad", "-H @bad: line 2: it must have the form 'Name: value'"),
        ("@ours", "-H @ours: line 1: Range is set by downhaul itself"),
        ("@control", "-H @control: line 1: the value contains control characters"),
        ("@empty", "-H @empty: it contains no header"),
        ("@long", "-H @long: it cannot be read: it is longer than"),
        ("@none", "-H @none: it cannot be read"),
        ("@", "needs the name of a file"),
    ] {
        let out = place.run(&[&url, "-H", file]);
        assert!(out.status == 2 && out.stderr.contains(says), "{file}: {}", out.stderr);
        assert!(!out.stderr.contains("hunter2"), "{}", out.stderr);
    }
    assert!(server.requests().is_empty());
}
