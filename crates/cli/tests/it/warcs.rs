//! `--to-warc`: the responses of servers become records of WARCs, each once and exact, and without secrets of
//! the user.

use crate::common::{Out, Place, finish, send};
use crate::tars::{list, small};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use fastrand::Rng;
use flate2::bufread::GzDecoder;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::time::Duration;

pub const TO_WARC: [&str; 6] = ["-i", "list", "-d", "out", "--to-warc", "web-{number:03}.warc.gz"];

/// A record of a WARC.
pub struct Record {
    pub fields: BTreeMap<String, String>,
    pub block: Vec<u8>,
}

impl Record {
    pub fn kind(&self) -> &str {
        &self.fields["WARC-Type"]
    }

    /// Returns the head and the body of the message in the block.
    #[track_caller]
    pub fn message(&self) -> (String, Vec<u8>) {
        let (head, body) = split(&self.block);
        (String::from_utf8(head.to_vec()).expect("UTF-8"), body.to_vec())
    }
}

#[track_caller]
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.windows(4).position(|some| some == b"\r\n\r\n").expect("an empty line") + 4;
    bytes.split_at(end)
}

/// Reads the members of gzip in a WARC, each of which must be one record.
#[track_caller]
pub fn records(mut warc: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !warc.is_empty() {
        let mut member = GzDecoder::new(warc);
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).expect("a member of gzip");
        warc = member.into_inner();
        let (header, rest) = split(&bytes);
        let header = std::str::from_utf8(header).expect("UTF-8");
        assert!(header.starts_with("WARC/1.1\r\n"), "{header}");
        let fields = header.lines().skip(1).filter_map(|line| line.split_once(": "));
        let fields: BTreeMap<String, String> =
            fields.map(|(name, value)| (name.into(), value.into())).collect();
        let length: usize = fields["Content-Length"].parse().expect("a number");
        assert_eq!(&rest[length..], b"\r\n\r\n", "{header}");
        records.push(Record { fields, block: rest[..length].to_vec() });
    }
    records
}

/// Returns the files in all complete WARCs: their bodies and descriptions, by their names. Fails if a name
/// occurs twice, or if the records of a file are wrong.
#[track_caller]
pub fn files(place: &Place) -> BTreeMap<String, (Vec<u8>, Value)> {
    let mut files = BTreeMap::new();
    for name in warcs(place) {
        let all = records(&place.file(&name).expect("a WARC"));
        assert_eq!(all[0].kind(), "warcinfo", "{name}");
        let mut response = None;
        for record in &all[1..] {
            match record.kind() {
                "response" => response = Some(record),
                "request" => {
                    let of = response.expect("a response before its request");
                    assert_eq!(record.fields["WARC-Concurrent-To"], of.fields["WARC-Record-ID"]);
                }
                "metadata" => {
                    let of = response.take().expect("a response before the description");
                    assert_eq!(record.fields["WARC-Concurrent-To"], of.fields["WARC-Record-ID"]);
                    let described: Value = serde_json::from_slice(&record.block).expect("JSON");
                    let name = described["out"].as_str().expect("a name").to_string();
                    let body = of.message().1;
                    assert_eq!(described["size"], body.len());
                    assert!(files.insert(name.clone(), (body, described)).is_none(), "{name} is there twice");
                }
                other => panic!("a record of the type {other}"),
            }
        }
    }
    files
}

pub fn warcs(place: &Place) -> Vec<String> {
    place.files().into_iter().filter(|name| name.ends_with(".warc.gz")).collect()
}

/// Asserts that the WARCs have exactly these files.
#[track_caller]
pub fn assert_exact(place: &Place, wanted: &[(String, Vec<u8>)], out: &Out) {
    let there = files(place);
    for (name, bytes) in wanted {
        let (body, _) = there.get(name).unwrap_or_else(|| panic!("{name} is in no WARC: {}", out.stderr));
        assert!(body == bytes, "{name} is not exact");
    }
    assert_eq!(there.len(), wanted.len());
}

/// Asserts that nothing but WARCs and the list is left.
#[track_caller]
fn assert_tidy(place: &Place) {
    let left = place.files();
    let left: Vec<_> = left.iter().filter(|name| !name.ends_with(".warc.gz") && *name != "list").collect();
    assert!(left.is_empty() && !place.path().join("out/.downhaul-warcs").exists(), "{left:?}");
}

#[test]
fn each_file_has_a_response_a_request_and_a_description() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.txt", "text of a");
    place.write("list", json!({"url": url, "label": "cat"}).to_string());
    let out = place.run(&[&TO_WARC[..], &["--progress", "json"]].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_tidy(&place);
    let all = records(&place.file("out/web-000.warc.gz").expect("a WARC"));
    let [info, response, request, description] = &all[..] else { panic!("{} records", all.len()) };
    let text = String::from_utf8(info.block.clone()).expect("UTF-8");
    assert!(text.contains("format: WARC File Format 1.1") && text.contains("software: downhaul/"), "{text}");
    assert_eq!(info.fields["WARC-Filename"], "web-000.warc.gz");
    let (head, body) = response.message();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 9\r\n"), "{head}");
    assert_eq!((response.kind(), body.as_slice()), ("response", &b"text of a"[..]));
    assert_eq!(response.fields["WARC-Target-URI"], url);
    assert_eq!(response.fields["WARC-IP-Address"], "127.0.0.1");
    assert_eq!(response.fields["Content-Type"], "application/http; msgtype=response");
    // The SHA-1 of the body in base 32.
    assert_eq!(response.fields["WARC-Payload-Digest"], "sha1:RVY74G3WABT7V6OYQ5FUSI4QLV5FKOYW");
    let (head, body) = request.message();
    assert!(head.starts_with("GET /a.txt HTTP/1.1\r\n") && body.is_empty(), "{head}");
    assert!(head.to_lowercase().contains("\r\nuser-agent: downhaul/"), "{head}");
    let described: Value = serde_json::from_slice(&description.block).expect("JSON");
    assert_eq!((&described["extra"]["label"], &described["url"]), (&json!("cat"), &json!(url)));
    assert_eq!(described["path"], "out/web-000.warc.gz/a.txt");
    for record in &all {
        let id = &record.fields["WARC-Record-ID"];
        assert!(id.starts_with("<urn:uuid:") && id.len() == 47, "{id}");
        assert!(record.fields["WARC-Date"].ends_with('Z') && record.fields.contains_key("WARC-Block-Digest"));
    }
    let events = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(events.contains("\"path\":\"out/web-000.warc.gz/a.txt\""), "{events}");
}

#[test]
fn a_second_run_does_nothing_and_bounds_are_kept() {
    let (server, place) = (Server::start(), Place::new());
    let mut wanted = small(120);
    wanted.push(("large.bin".into(), content("large", 3_000_000)));
    list(&place, &server, &wanted);
    let args = [&TO_WARC[..], &["--warc-count", "50"]].concat();
    let out = place.run(&args);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &wanted, &out);
    assert_eq!(warcs(&place).len(), 3);
    let (requests, before) = (server.requests().len(), files(&place));
    let again = place.run(&args);
    assert_eq!((again.status, server.requests().len()), (0, requests), "{}", again.stderr);
    assert_eq!(files(&place), before);
    // With `--if-exists error`, a file that is in a WARC is a failure.
    let out = place.run(&[&args[..], &["--verify", "off", "--if-exists", "error"]].concat());
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains("Files in a WARC are not replaced"), "{}", out.stderr);
    fs::remove_dir_all(place.path().join("out")).expect("removed");
    let out = place.run(&[&TO_WARC[..], &["--warc-size", "100k"]].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_exact(&place, &wanted, &out);
    let too_large = |name: &&String| fs::metadata(place.path().join(name)).expect("a WARC").len() > 100 << 10;
    assert_eq!(warcs(&place).iter().filter(too_large).count(), 1, "only the large file is larger");
}

#[test]
fn a_file_from_several_connections_has_the_response_of_the_whole_file() {
    let (server, place) = (Server::start(), Place::new());
    let size = 16_000_000;
    place.write("list", server.url(&format!("capped/{size}/f.bin?rate=2000000")));
    let out = place.run(&[&TO_WARC[..], &["-x", "4"]].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(server.requests().iter().any(|one| one.header("range").is_some()), "one connection only");
    assert_exact(&place, &[("f.bin".into(), content("f.bin", size))], &out);
    // A run that resumes a partial file gets only a range.
    let place = Place::new();
    place.write("list", server.url(&format!("capped/{size}/g.bin?rate=4000000")));
    let child = place.start(&[&TO_WARC[..], &["-x", "1"]].concat());
    place.wait_for_bytes("out/.downhaul-warcs/web-N.warc.gz/parts/g.bin.part", 4_000_000);
    send(Signal::KILL, &child);
    finish(child);
    let before = server.requests().len();
    let out = place.run(&[&TO_WARC[..], &["-x", "1"]].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(server.requests()[before..].iter().all(|one| one.header("range").is_some()));
    assert_exact(&place, &[("g.bin".into(), content("g.bin", size))], &out);
    let all = records(&place.file("out/web-000.warc.gz").expect("a WARC"));
    let response = all.iter().find(|one| one.kind() == "response").expect("a response");
    let head = response.message().0.to_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n") && !head.contains("content-range"), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {size}\r\n")), "{head}");
}

#[test]
fn no_secret_of_the_user_is_in_a_warc() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.txt", "text") + "?token=hunter2";
    let url = url.replace("http://", "http://user:hunter2@");
    place.write("list", &url);
    let secrets = ["-H", "X-Key: hunter2", "-H", "Cookie: id=hunter2", "--bearer", "hunter2"];
    for more in [&secrets[..4], &secrets[4..]] {
        let out = place.run(&[&TO_WARC[..], more].concat());
        assert_eq!(out.status, 0, "{}", out.stderr);
        let sent = server.requests().pop().expect("a request");
        assert!(["cookie", "authorization"].iter().any(|name| sent.header(name).is_some()));
        for record in records(&place.file("out/web-000.warc.gz").expect("a WARC")) {
            let block = String::from_utf8_lossy(&record.block).into_owned();
            let all = format!("{:?} {block}", record.fields);
            assert!(!all.contains("hunter2") && !all.contains("aHVudGVy"), "{all}");
        }
        fs::remove_dir_all(place.path().join("out")).expect("removed");
    }
}

#[test]
fn redirects_have_records_of_their_own() {
    let (server, place) = (Server::start(), Place::new());
    let target = server.put("/target.txt", "text");
    let url = server.url(&format!("redirect/0/x?to={target}"));
    place.write("list", &url);
    let out = place.run(&TO_WARC);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let all = records(&place.file("out/web-000.warc.gz").expect("a WARC"));
    let kinds: Vec<_> = all.iter().map(Record::kind).collect();
    assert_eq!(kinds, ["warcinfo", "response", "request", "response", "request", "metadata"]);
    assert!(all[1].message().0.starts_with("HTTP/1.1 30"), "{}", all[1].message().0);
    assert_eq!((&all[1].fields["WARC-Target-URI"], &all[3].fields["WARC-Target-URI"]), (&url, &target));
    assert_eq!(all[3].message().1, b"text");
}

#[test]
fn after_kills_at_random_moments_each_file_is_in_the_warcs_once() {
    let mut rng = Rng::with_seed(7);
    let (server, place) = (Server::start(), Place::new());
    let mut wanted = small(300);
    let mut lines: Vec<String> =
        wanted.iter().map(|(name, bytes)| server.put(&format!("/{name}"), bytes.clone())).collect();
    for n in 0..3 {
        let name = format!("big{n}.bin");
        lines.push(server.url(&format!("capped/2500000/{name}?rate=3000000")));
        wanted.push((name.clone(), content(&name, 2_500_000)));
    }
    rng.shuffle(&mut lines);
    place.write("list", lines.join("\n"));
    let args = [&TO_WARC[..], &["--warc-size", "1M", "-j", "4"]].concat();
    for _ in 0..15 {
        let mut child = place.start(&args);
        std::thread::sleep(Duration::from_millis(rng.u64(5..250)));
        let signal = if rng.u8(0..4) == 0 { Signal::INT } else { Signal::KILL };
        if child.try_wait().expect("waits").is_none() {
            send(signal, &child);
        }
        let out = finish(child);
        assert!([0, -1, 130].contains(&out.status), "{} {}", out.status, out.stderr);
        files(&place);
    }
    for _ in 0..2 {
        let out = place.run(&args);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_exact(&place, &wanted, &out);
    }
    assert_tidy(&place);
}

#[test]
fn of_an_unfinished_warc_only_whole_and_exact_files_are_kept() {
    let (server, place) = (Server::start(), Place::new());
    let wanted: Vec<_> = (0..10).map(|n| (format!("f{n}.bin"), content(&n.to_string(), 100_000))).collect();
    list(&place, &server, &wanted);
    let stopped = [&TO_WARC[..], &["--max-total", "550k", "-j", "1"]].concat();
    let part = "out/web-000.warc.gz.part";
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes.truncate(bytes.len() - 300),
        |bytes| bytes.extend([0; 5000]),
        |bytes| bytes[250_000..280_000].fill(0),
        |bytes| bytes.truncate(100),
        |bytes| bytes.fill(0),
        |bytes| bytes[..8192].fill(0),
    ];
    for damage in damages {
        assert_eq!(place.run(&stopped).status, 75);
        let mut bytes = place.file(part).expect("an unfinished WARC");
        damage(&mut bytes);
        place.write(part, bytes);
        let out = place.run(&TO_WARC);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_exact(&place, &wanted, &out);
        assert_tidy(&place);
        fs::remove_dir_all(place.path().join("out")).expect("removed");
    }
    let requests = server.requests().len();
    for name in ["out/web-000.warc.gz", "out/web-000.warc.gz.part"] {
        for text in ["no WARC".to_string(), "x".repeat(5000), "\u{1f}\u{8b}\u{8}".to_string()] {
            place.write(name, &text);
            let out = place.run(&TO_WARC);
            assert_eq!(out.status, 5, "{}", out.stderr);
            assert!(out.stderr.contains("the file is not a WARC that downhaul wrote"), "{}", out.stderr);
            assert_eq!(place.file(name), Some(text.into_bytes()));
            assert!(!place.path().join("out/.downhaul-warcs").exists(), "{name}: {:?}", place.files());
        }
        fs::remove_file(place.path().join(name)).expect("removed");
    }
    assert_eq!(server.requests().len(), requests);
}

#[test]
fn the_warcs_of_several_shards_have_different_numbers() {
    let (server, place) = (Server::start(), Place::new());
    let wanted = small(60);
    list(&place, &server, &wanted);
    let run = |shard: &str| place.start(&[&TO_WARC[..], &["--warc-count", "5", "--shard", shard]].concat());
    let runs = ["1/3", "2/3", "3/3"].map(run);
    for child in runs {
        let out = finish(child);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    let requests = server.requests().len();
    let out = place.run(&TO_WARC);
    assert_eq!((out.status, server.requests().len()), (0, requests), "{}", out.stderr);
    assert_exact(&place, &wanted, &out);
}

#[test]
fn a_file_with_a_wrong_digest_is_in_no_warc() {
    let (server, place) = (Server::start(), Place::new());
    let (good, bad) = (server.put("/good.txt", "good"), server.put("/bad.txt", "other bytes"));
    let lines = [json!({"url": good}), json!({"url": bad, "sha256": "ab".repeat(32)})];
    place.write("list", lines.map(|line| line.to_string()).join("\n"));
    let out = place.run(&TO_WARC);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert_eq!(files(&place).into_keys().collect::<Vec<_>>(), ["good.txt"]);
}

#[test]
fn options_that_do_not_work_with_to_warc_are_refused() {
    let (server, place) = (Server::start(), Place::new());
    list(&place, &server, &small(3));
    for (more, says) in [
        (&["--if-exists", "overwrite"][..], "files in a WARC are not replaced"),
        (&["--continue"], "cannot be used with"),
        (&["--to-tar", "{shard}.tar"], "cannot be used with"),
        (&["--decode", "auto"], "--decode auto cannot be used with it"),
        (&["--range", "0-5"], "--range cannot be used with it"),
        (&["--dedup", "hardlink"], "exclude each other"),
        (&["--warc-count", "0"], "0 is not in 1.."),
    ] {
        let out = place.run(&[&TO_WARC[..], more].concat());
        assert!(out.status == 2 && out.stderr.contains(says), "{more:?}: {}", out.stderr);
    }
    let url = server.url("f0000.bin");
    for (args, says) in [
        (&["--to-warc", "all.warc.gz"][..], "{number}"),
        (&["--to-warc", "a-{number}.warc"], "must end in .warc.gz"),
        (&["--to-warc", "{number}.warc.gz", "-o", "-"], "cannot be used with"),
    ] {
        let out = place.run(&[&[url.as_str()], args].concat());
        assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    }
    let out = place.run(&[&["plan"], &TO_WARC[..]].concat());
    assert!(out.status == 2 && out.stderr.contains("a plan cannot say"), "{}", out.stderr);
    assert_eq!((place.files(), server.requests().len()), (vec!["list".to_string()], 0));
}
