//! Lists as people, editors and other tools write them: any line end, UTF-16, digests in fragments of URLs.
//! The tests also check the messages for lists with mistakes and for empty lists.

use crate::common::{Out, Place};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use std::io::{Read, Write};
use std::process::Stdio;

/// The MD5 of `content("file", 100_000)`, computed by another program.
const MD5: &str = "91d13392c437255988e641e23f82b6c3";

fn file() -> Vec<u8> {
    content("file", 100_000)
}

/// Puts small files at `/d/NAME` and returns their URLs.
fn put<const N: usize>(server: &Server, names: [&str; N]) -> [String; N] {
    names.map(|name| server.put(&format!("/d/{name}"), content(name, 1000)))
}

/// Returns the text in UTF-16 with a byte order mark, as Windows PowerShell writes it with `>`, or in
/// big-endian order.
fn utf16(text: &str, big_endian: bool) -> Vec<u8> {
    let to_bytes = if big_endian { u16::to_be_bytes } else { u16::to_le_bytes };
    format!("\u{feff}{text}").encode_utf16().flat_map(to_bytes).collect()
}

/// Downloads the list from a file, and from standard input.
fn both_ways(list: &[u8]) -> [(Place, Out); 2] {
    let (of_a_file, of_stdin) = (Place::new(), Place::new());
    of_a_file.write("lists/list", list);
    let first = of_a_file.run(&["-i", "lists/list", "-d", "out"]);
    let second = of_stdin.run_with(&["-i", "-", "-d", "out"], list);
    [(of_a_file, first), (of_stdin, second)]
}

#[test]
fn the_line_ends_and_the_encoding_of_a_list_do_not_change_its_meaning() {
    let server = Server::start();
    let [a, b] = put(&server, ["a", "b"]);
    for end in ["\n", "\r", "\r\n"] {
        let digest = sha256(&content("b", 1000));
        let text = format!(
            "# an ä{end}{a} sub/\u{1f600}.bin{end}{end}{{\"url\":\"{b}\",\"out\":\"b\",\"sha256\":\"{digest}\"}}{end}"
        );
        for list in [
            text.clone().into_bytes(),
            format!("\u{feff}{text}").into(),
            utf16(&text, false),
            utf16(&text, true),
        ] {
            for (place, out) in both_ways(&list) {
                place.assert_exact(&out, "out/sub/\u{1f600}.bin", &content("a", 1000));
                place.assert_exact(&out, "out/b", &content("b", 1000));
                assert!(out.stderr.contains("sha-256 from the list"), "{end:?}: {}", out.stderr);
            }
        }
    }
}

#[test]
fn text_in_an_unknown_encoding_is_refused_with_the_number_of_its_line() {
    let server = Server::start();
    let [a] = put(&server, ["a"]);
    let half = [utf16(&format!("{a}\n"), false), vec![0x00, 0xd8]].concat();
    let without_mark = utf16(&a, false).split_off(2);
    for (list, says) in [
        (half, "line 2: it is not UTF-8"),
        (without_mark, "line 1: it contains NUL bytes: is the list UTF-16 without a byte order mark?"),
        (b"http://h/\xe4\r".to_vec(), "line 1: it is not UTF-8"),
    ] {
        let place = Place::new();
        place.write("list", list);
        let out = place.run(&["-i", "list"]);
        assert!(out.status == 2 && out.stderr.contains(says), "{says}: {}", out.stderr);
    }
    assert!(server.requests().is_empty());
}

#[test]
fn the_file_of_a_line_is_downloaded_before_the_next_line_arrives() {
    let server = Server::start();
    let urls = put(&server, ["a", "b"]);
    for end in ["\n", "\r", "\r\n"] {
        let place = Place::new();
        let mut command = place.command(&["-i", "-", "--progress", "json"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
        let (mut stdin, mut stdout) =
            (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        for (number, url) in urls.iter().enumerate() {
            stdin.write_all(format!("{url}{end}").as_bytes()).expect("it reads");
            // The inner loop ends when this file is finished. The pipe stays open.
            let mut events = Vec::new();
            while !String::from_utf8_lossy(&events).contains("\"kind\":\"finished\"") {
                let mut some = [0; 4096];
                let read = stdout.read(&mut some).expect("reads");
                assert!(read > 0, "file {number} did not come: {}", String::from_utf8_lossy(&events));
                events.extend_from_slice(&some[..read]);
            }
        }
        drop(stdin);
        drop(stdout);
        assert_eq!(crate::common::finish(child).status, 0);
    }
}

#[test]
fn every_bad_line_is_reported_at_once() {
    let server = Server::start();
    let [a] = put(&server, ["a"]);
    let bad: String = (0..13).map(|n| format!("{a}#sha256={n}\r\n")).collect();
    let place = Place::new();
    place.write("list", format!("{a}\r\n{bad}"));
    let out = place.run(&["-i", "list"]);
    assert_eq!(out.status, 2, "{}", out.stderr);
    for says in ["line 2: ", "line 11: ", "sha-256 needs 64 hexadecimal digits, or base64", "... and 3 more"]
    {
        assert!(out.stderr.contains(says), "{says}: {}", out.stderr);
    }
    assert!(!out.stderr.contains("line 12: "), "{}", out.stderr);
    assert!(server.requests().is_empty(), "no request was sent");
}

#[test]
fn the_error_for_a_list_without_urls_says_that_it_has_none() {
    for list in ["", "\n\r\n", "# one comment\r# and another\r", "\u{feff}"] {
        for (_, out) in both_ways(list.as_bytes()) {
            assert_eq!(out.status, 2, "{list:?}: {}", out.stderr);
            assert!(out.stderr.contains("is empty: it has no URL of a file to download"), "{}", out.stderr);
        }
    }
    let place = Place::new();
    place.write("set.meta4", "<metalink xmlns='urn:ietf:params:xml:ns:metalink'/>");
    let out = place.run(&["-i", "set.meta4"]);
    assert!(out.status == 2 && out.stderr.contains("is empty: the document has no file"), "{}", out.stderr);
}

/// Returns a wrong digest of the same length.
fn wrong(digest: &str) -> String {
    let (head, tail) = digest.split_at(digest.len() - 1);
    format!("{head}{}", if tail == "0" { '1' } else { '0' })
}

#[test]
fn a_digest_in_the_fragment_of_a_url_must_match() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    let digest = sha256(&file());
    for (mark, digest) in
        [("sha256=", digest.as_str()), ("sha256:", &digest), ("md5=", MD5), ("", MD5), ("", &digest)]
    {
        let right = format!("{url}#egg=x&{mark}{digest}");
        let right = if mark.is_empty() { format!("{url}#{digest}") } else { right };
        let bad = right.replace(digest, &wrong(digest));
        for (given, status) in [(&right, 0), (&bad, 3)] {
            let place = Place::new();
            place.write("lists/lines", format!("# platform: linux-64\n@EXPLICIT\n{given}\n"));
            place.write("lists/json", format!("{{\"url\":\"{given}\"}}\n"));
            place.write("lists/mirrors", format!("{}\t{given}\tfile\n", server.url("status/1/x?status=404")));
            for args in [
                vec![given.as_str()],
                vec![given.as_str(), "file"],
                vec!["-i", "lists/lines"],
                vec!["-i", "lists/json"],
                vec!["-i", "lists/mirrors"],
            ] {
                let out = place.run(&[&args[..], &["-d", "out", "--retries", "0"]].concat());
                // With a strong digest, a request is sent to the other mirror too, which does not have the
                // file.
                let is_right = out.status == status
                    || (status == 3 && out.status == 1 && args.contains(&"lists/mirrors"));
                assert!(is_right, "{args:?}: {}", out.stderr);
                let got = place.file("out/file");
                assert_eq!(got.as_deref() == Some(&file()[..]), status == 0, "{args:?}: {}", out.stderr);
                let is_verified = out.stderr.contains(" from the URL\n");
                assert_eq!(is_verified, status == 0, "{args:?}: {}", out.stderr);
                let _ = std::fs::remove_file(place.path().join("out/file"));
            }
        }
    }
    assert!(
        server
            .requests()
            .iter()
            .all(|request| !request.target.contains('#') && !request.target.contains(MD5))
    );
}

#[test]
fn a_fragment_without_a_digest_is_ignored_and_a_malformed_digest_is_an_error() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    for fragment in ["top", "md5-sums", "page=3", &"ab".repeat(20)] {
        let place = Place::new();
        let out = place.run(&[&format!("{url}#{fragment}")]);
        place.assert_exact(&out, "file", &file());
        assert!(out.stderr.contains("not verified (size matches)"), "{fragment}: {}", out.stderr);
    }
    let before = server.requests().len();
    let both = format!("{url}#md5={MD5}");
    for (args, says) in [
        (vec![format!("{url}#sha256=abc")], "sha-256 needs 64 hexadecimal digits, or base64"),
        (vec![format!("{url}#sha3-256=00")], "sha3-256 is not supported"),
        (vec![both.clone(), "--checksum".into(), format!("md5:{}", wrong(MD5))], "two different md5 digests"),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Place::new().assert_failed(&Place::new().run(&args), 2, says);
    }
    let place = Place::new();
    let out = place.run_with(&["-i", "-"], format!("{url}#sha512=00\n{both}\n").as_bytes());
    assert!(out.status == 1 && out.stderr.contains("line 1: "), "{}", out.stderr);
    assert_eq!(place.files(), ["file"], "the file of the other line is downloaded");
    assert_eq!(server.requests().len(), before + 1);
}

#[test]
fn a_digest_in_the_url_of_a_list_verifies_the_list() {
    let server = Server::start();
    let [a] = put(&server, ["a"]);
    let text = format!("{a}\n");
    let list = server.put("/l/list", text.as_str());
    let place = Place::new();
    let out = place.run(&["-i", &format!("{list}#sha256={}", sha256(text.as_bytes()))]);
    place.assert_exact(&out, "a", &content("a", 1000));
    let out = Place::new().run(&["-i", &format!("{list}#sha256={}", sha256(b"another"))]);
    assert!(
        out.status == 3 && out.stderr.contains("the URL says that the sha-256 of the content is"),
        "{}",
        out.stderr
    );
    assert_eq!(server.requests_for("/d/a").len(), 1);
    // The URL of a checksum list may have a digest, too.
    let sums = server.put("/l/SUMS", format!("{}  a\n", sha256(&content("a", 1000))));
    for (digest, status) in
        [(MD5, 3), (&sha256(format!("{}  a\n", sha256(&content("a", 1000))).as_bytes()), 0)]
    {
        let place = Place::new();
        let out = place.run(&[&a, "--checksum-file", &format!("{sums}#{digest}")]);
        assert_eq!((out.status, place.file("a").is_some()), (status, status == 0), "{}", out.stderr);
    }
}

#[test]
fn keys_of_json_lines_that_seem_to_have_a_digest_are_used_or_refused() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    let digest = sha256(&file());
    for (key, value) in [
        ("sha256sum", digest.clone()),
        ("md5_hash", MD5.into()),
        ("md5Hash", "kdEzksQ3JVmI5kHiP4K2ww==".into()),
        ("checksum", digest.clone()),
        ("checksum", format!("sha256={digest}")),
        ("digest", format!("sha256:{digest}")),
        ("integrity", "sha256-+WUgaLPdLGX9vm4pinOZwxTExCcvpaAiDQn/uLuJKNQ=".into()),
    ] {
        let place = Place::new();
        let line = |value: &str| format!("{{\"url\":\"{url}\",\"out\":\"f\",\"{key}\":\"{value}\"}}\n");
        let out = place.run_with(&["-i", "-"], line(&value).as_bytes());
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains("from the list"), "{key}: {}", out.stderr);
    }
    let place = Place::new();
    let line = |key: &str, value: &str| format!("{{\"url\":\"{url}\",\"{key}\":\"{value}\"}}\n");
    place.write(
        "list",
        [line("sha224", "00"), line("checksum", "sha3-256:00"), line("hash", &"0".repeat(40))].concat(),
    );
    let before = server.requests().len();
    let out = place.run(&["-i", "list"]);
    assert_eq!(out.status, 2, "{}", out.stderr);
    for says in [
        "line 1: `sha224` is not supported; use one of crc32",
        "line 2: `checksum`: the algorithm must be one of crc32",
        "line 3: `hash`: it must have the form ALGORITHM:DIGEST",
    ] {
        assert!(out.stderr.contains(says), "{says}: {}", out.stderr);
    }
    assert_eq!(server.requests().len(), before);
}

/// Other readers of JSON use the last value of a key that an object has twice.
#[test]
fn a_key_that_an_object_has_twice_is_a_mistake() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    let (right, wrong) = (sha256(&file()), "0".repeat(64));
    for keys in [
        format!("\"sha256\":\"{wrong}\",\"sha256\":\"{right}\""),
        format!("\"digests\":{{\"sha256\":\"{wrong}\",\"sha256\":\"{right}\"}}"),
        format!("\"url\":\"{url}?2\",\"sha256\":\"{right}\""),
    ] {
        let line = format!("{{\"url\":\"{url}\",\"out\":\"f\",{keys}}}");
        for list in [line.clone(), format!("[{line}]")] {
            let place = Place::new();
            place.write("list", list);
            let out = place.run(&["-i", "list"]);
            assert!(out.status == 2 && out.stderr.contains("` occurs twice"), "{keys}: {}", out.stderr);
        }
        let place = Place::new();
        place.write("f", file());
        place.write("set.lock", line);
        assert_eq!(place.run(&["verify", "set.lock"]).status, 2, "{keys}");
    }
}

#[cfg(unix)]
#[test]
fn control_characters_in_the_path_of_a_list_do_not_reach_the_terminal() {
    let place = Place::new();
    place.write("bad\u{1b}[31m", "ftp://h/a\n");
    place.write("empty\u{1b}[31m", "# nothing\n");
    for (list, says) in [
        ("bad\u{1b}[31m", r"the list bad\u{1b}[31m has mistakes:"),
        ("empty\u{1b}[31m", r"the list empty\u{1b}[31m is empty"),
        ("missing\u{1b}[31m", r"the list missing\u{1b}[31m cannot be read"),
    ] {
        let out = place.run(&["-i", list]);
        assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
        assert!(!out.stderr.contains('\u{1b}'), "{:?}", out.stderr);
    }
}

/// Shells give `<(command)` as `/dev/fd/63`. A list in a pipe can be read only once.
#[cfg(unix)]
#[test]
fn a_list_in_a_pipe_is_read_once_and_an_empty_one_is_an_error() {
    let server = Server::start();
    let [a, b] = put(&server, ["a", "b"]);
    let lines = format!("{a}\n{b}\n");
    let document = format!(
        "<metalink xmlns='urn:ietf:params:xml:ns:metalink'>{}</metalink>",
        [&a, &b]
            .map(|url| format!("<file name='{}'><url>{url}</url></file>", &url[url.len() - 1..]))
            .concat()
    );
    for list in ["/dev/stdin", "/dev/fd/0", "-"] {
        for text in [&lines, &document] {
            let place = Place::new();
            let out = place.run_with(&["-i", list], text.as_bytes());
            place.assert_exact(&out, "a", &content("a", 1000));
            place.assert_exact(&out, "b", &content("b", 1000));
        }
        let place = Place::new();
        let out = place.run_with(&["-i", list], b"# nothing\n");
        assert!(out.status == 2 && out.stderr.contains("is empty: it has no URL"), "{}", out.stderr);
    }
    let place = Place::new();
    let out = place.run(&["-i", "/dev/null"]);
    assert!(out.status == 2 && out.stderr.contains("the list /dev/null is empty"), "{}", out.stderr);
    let place = Place::new();
    let fifo = place.make_pipe("fifo");
    let before = server.requests().len();
    let child = place.start(&["-i", "fifo"]);
    // The pipe is opened for reading and writing, so that this test does not wait for a reader.
    let mut fifo = std::fs::File::options().read(true).write(true).open(fifo).expect("opens");
    fifo.write_all(lines.as_bytes()).expect("writes");
    crate::common::wait_until("the program reads the list", || server.requests().len() >= before + 2);
    drop(fifo);
    let out = crate::common::finish(child);
    place.assert_exact(&out, "a", &content("a", 1000));
    place.assert_exact(&out, "b", &content("b", 1000));
}

/// The settings must be read once for both the list and its files, because the value of an option may be in a
/// pipe.
#[cfg(unix)]
#[test]
fn a_pipe_of_an_option_is_read_once_if_the_list_is_at_a_url() {
    let server = Server::start();
    let [a] = put(&server, ["a"]);
    let list = server.put("/l/list", format!("{a}\n"));
    let place = Place::new();
    let sums = format!("{}  a\n", sha256(&content("a", 1000)));
    let out = place.run_with(&["-i", &list, "--checksum-file", "/dev/stdin"], sums.as_bytes());
    place.assert_exact(&out, "a", &content("a", 1000));
    assert!(out.stderr.contains("sha-256"), "{}", out.stderr);
}
