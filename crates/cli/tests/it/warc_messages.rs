//! `--to-warc`: what a WARC says about the requests and the responses. Missing parts are marked as missing.

use crate::common::tcp::read_head;
use crate::common::{Place, finish, wait_until};
use crate::tars::list;
use crate::warcs::{Record, TO_WARC, assert_exact, files, records, warcs};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::thread;

/// Starts a server that sends the answer that `answers` has for the path of a request, and then closes the
/// connection. If `answers` does not have the path, the server sends nothing. Returns the URL of the server.
fn scripted(answers: Vec<(&'static str, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Some(head) = read_head(&mut stream) else { continue };
            let target = head.split(' ').nth(1).unwrap_or_default();
            if let Some((_, answer)) = answers.iter().find(|(path, _)| target == *path) {
                let _ = stream.write_all(answer);
            }
        }
    });
    url
}

/// Returns the records of a kind in the first WARC.
#[track_caller]
fn of_kind(place: &Place, kind: &str) -> Vec<Record> {
    let all = records(&place.file("out/web-000.warc.gz").expect("a WARC"));
    all.into_iter().filter(|record| record.kind() == kind).collect()
}

#[test]
fn the_body_of_a_redirect_is_whole_or_marked_as_cut_and_its_head_states_the_length_that_the_server_sent() {
    let redirect = |headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: /file\r\nConnection: close\r\n{headers}\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let of_length = |length: usize| redirect(&format!("Content-Length: {length}"), &vec![b'x'; length]);
    let chunked = [format!("{:x}\r\n", 600).as_bytes(), &[b'x'; 600], b"\r\n0\r\n\r\n"].concat();
    let url = scripted(vec![
        ("/9", of_length(9)),
        ("/40000", of_length(40_000)),
        ("/90000", of_length(90_000)),
        ("/chunked", redirect("Transfer-Encoding: chunked", &chunked)),
        ("/file", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ntext".to_vec()),
    ]);
    for (path, length, is_cut) in [
        ("9", Some(9), false),
        ("40000", Some(40_000), true),
        ("90000", Some(90_000), true),
        ("chunked", None, true),
    ] {
        let place = Place::new();
        place.write("list", format!("{url}/{path}"));
        let out = place.run(&TO_WARC);
        assert_eq!(out.status, 0, "{}", out.stderr);
        let redirect = of_kind(&place, "response").remove(0);
        let (head, body) = redirect.message();
        let lines: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("Content-Length: ")).collect();
        assert_eq!(lines, length.map(|length: usize| length.to_string()).as_slice(), "{path}: {head}");
        assert!(body.iter().all(|byte| *byte == b'x'));
        assert_eq!(redirect.fields.contains_key("WARC-Truncated"), is_cut, "{path}: {} bytes", body.len());
        assert!(is_cut || Some(body.len()) == length, "{path}: {} bytes", body.len());
    }
}

#[test]
fn the_version_of_http_is_the_one_of_the_response() {
    let file =
        |version| format!("HTTP/{version} 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ntext");
    let url = scripted(vec![("/old", file("1.0").into()), ("/new", file("1.1").into())]);
    for (path, protocol) in [("old", "http/1.0"), ("new", "http/1.1")] {
        let place = Place::new();
        place.write("list", format!("{url}/{path}"));
        let out = place.run(&TO_WARC);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_eq!(of_kind(&place, "response")[0].fields["WARC-Protocol"], protocol);
    }
}

#[test]
fn a_request_whose_body_is_left_out_is_marked_as_cut() {
    let (server, place) = (Server::start(), Place::new());
    place.write("list", server.put("/a.txt", "text"));
    for (data, is_cut) in [(&["--data", "secret"][..], true), (&[], false)] {
        let out = place.run(&[&TO_WARC[..], data].concat());
        assert_eq!(out.status, 0, "{}", out.stderr);
        let request = of_kind(&place, "request").remove(0);
        assert_eq!(request.fields.contains_key("WARC-Truncated"), is_cut);
        assert!(request.message().1.is_empty());
        fs::remove_dir_all(place.path().join("out")).expect("removed");
    }
}

#[test]
fn the_records_of_many_redirects_count_for_the_bound_of_a_warc() {
    let (server, place) = (Server::start(), Place::new());
    let first = content("first", 20_000);
    let urls = [server.put("/first.bin", first.clone()), server.url("redirect_chain/1000/last.bin?hops=200")];
    place.write("list", urls.join("\n"));
    let args = ["--warc-size", "120k", "--max-redirects", "300", "-j", "1"];
    let out = place.run(&[&TO_WARC[..], &args].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    let wanted = [("first.bin".into(), first), ("last.bin".into(), content("last.bin", 1000))];
    assert_exact(&place, &wanted, &out);
    assert_eq!(warcs(&place).len(), 2, "the second file and its redirects do not fit into the first WARC");
}

#[test]
fn the_records_of_tiny_files_are_compressed() {
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, &[("a.txt".into(), b"a".to_vec()), ("b.txt".into(), vec![b'b'; 199])]);
    let out = place.run(&TO_WARC);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let warc = place.file("out/web-000.warc.gz").expect("a WARC");
    assert!(!warc.windows(15).any(|some| some == b"WARC-Target-URI"), "a record is not compressed");
}

#[test]
fn bytes_after_the_last_whole_file_are_not_in_the_complete_warc() {
    let (server, place) = (Server::start(), Place::new());
    let slow = server.url("capped/400000/slow.bin?rate=200000");
    place.write("list", [server.put("/a.txt", "text of a"), slow].join("\n"));
    let child = place.start(&TO_WARC);
    let part = place.path().join("out/web-000.warc.gz.part");
    wait_until("a file is in the WARC", || fs::metadata(&part).is_ok_and(|meta| meta.len() > 1000));
    // If a disk fails, a file that could not be added leaves such bytes.
    let mut file = fs::OpenOptions::new().append(true).open(&part).expect("opens");
    file.write_all(&vec![0xab; 1_000_000]).expect("writes");
    let out = finish(child);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(files(&place).len(), 2);
}
