//! Tests of how the run decides if an existing file is the requested file. Partial files, finished files and
//! names belong to the URL that they came from.

use crate::common::{Out, PATIENCE, Place, events, finish, poll, send};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rustix::process::Signal;
use std::fs;
use std::time::SystemTime;

/// The size of a file that is large enough for a journal and several batches.
const SIZE: u64 = 6_000_000;

/// The bytes that a partial file must have before a run is stopped.
const ENOUGH: u64 = 1_500_000;

/// Stops a run with Ctrl-C once its partial file has [`ENOUGH`] bytes.
fn stopped(place: &Place, args: &[&str], part: &str) -> Out {
    let child = place.start(args);
    place.wait_for_bytes(part, ENOUGH);
    send(Signal::INT, &child);
    finish(child)
}

fn set_modified(place: &Place, name: &str, at: SystemTime) {
    let file = fs::File::options().write(true).open(place.path().join(name)).expect("opens");
    file.set_modified(at).expect("sets");
}

#[test]
fn a_stopped_download_is_never_continued_from_another_url_of_the_same_name_size_and_tag() {
    let server = Server::start();
    // Names of the same length have the same ETag on this server, as files of the same size and date do on
    // nginx.
    let (one, other) = (format!("capped/{SIZE}/one?rate=4000000"), format!("capped/{SIZE}/two?rate=4000000"));
    let place = Place::new();
    let out = stopped(&place, &[&server.url(&one), "-o", "mask.nii", "-x1"], "mask.nii.part");
    assert_eq!(out.status, 130, "{}", out.stderr);
    let out = place.run(&[&server.url(&other), "-o", "mask.nii"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(place.file("mask.nii") == Some(content("two", SIZE)), "the file has no byte of the other file");
    // The partial file of the first URL is still there.
    assert!(place.files().contains(&"mask.nii.part".to_string()), "{:?}", place.files());
    fs::rename(place.path().join("mask.nii"), place.path().join("two.nii")).expect("renames");
    let out = place.run(&[&server.url(&one), "-o", "mask.nii", "--progress", "json"]);
    place.assert_exact(&out, "mask.nii", &content("one", SIZE));
    assert!(events(&out).iter().any(|event| event["kind"] == "resumed"), "the partial file is resumed");
    assert_eq!(place.files(), ["mask.nii", "two.nii"]);
}

#[test]
fn two_urls_with_the_same_name_have_partial_files_of_their_own() {
    let server = Server::start();
    let urls = ["one", "two"].map(|name| server.url(&format!("capped/{SIZE}/{name}?rate=4000000")));
    let place = Place::new();
    stopped(&place, &[&urls[0], "-o", "f", "-x1"], "f.part");
    let child = place.start(&[&urls[1], "-o", "f", "-x1"]);
    let of_another_url = |name: &String| name.ends_with(".part") && name != "f.part";
    let own =
        poll(PATIENCE, || place.files().into_iter().find(of_another_url)).expect("a second partial file");
    place.wait_for_bytes(&own, ENOUGH);
    send(Signal::INT, &child);
    finish(child);
    assert!(own.starts_with("f.") && place.files().len() == 4, "{:?}", place.files());
    for (name, url) in ["one", "two"].iter().zip(&urls) {
        let out = place.run(&[url, "-o", "f", "--progress", "json"]);
        place.assert_exact(&out, "f", &content(name, SIZE));
        assert!(events(&out).iter().any(|event| event["kind"] == "resumed"), "{name} is resumed");
        fs::remove_file(place.path().join("f")).expect("removes");
    }
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_newly_signed_link_resumes_the_partial_file() {
    let server = Server::start();
    let target = |signature: &str| {
        format!("capped/{SIZE}/f?rate=4000000&X-Amz-Date={signature}&X-Amz-Signature={signature}")
    };
    let place = Place::new();
    stopped(&place, &[&server.url(&target("1")), "-o", "f", "-x1"], "f.part");
    let out = place.run(&[&server.url(&target("2")), "-o", "f", "--progress", "json"]);
    place.assert_exact(&out, "f", &content("f", SIZE));
    assert!(events(&out).iter().any(|event| event["kind"] == "resumed"), "the partial file is resumed");
}

#[test]
fn a_finished_file_is_recognised_without_a_request() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/1000/f");
    place.assert_exact(&place.run(&[&url]), "f", &content("f", 1000));
    let before = server.requests().len();
    let out = place.run(&[&url]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(out.stderr.contains("already exists, as downloaded on 20"), "{}", out.stderr);
    assert_eq!(server.requests().len(), before, "no request was sent");
    // A file with a new time is compared with the head of a response only.
    set_modified(&place, "f", SystemTime::now());
    let out = place.run(&[&url]);
    assert!(out.status == 0 && out.stderr.contains("already exists, same size"), "{}", out.stderr);
    assert_eq!(server.requests()[before].method, "HEAD");
    assert_eq!(server.requests().len(), before + 1);
}

#[test]
fn an_unfinished_file_of_another_tool_is_not_accepted() {
    let server = Server::start();
    let url = server.url("well_behaved/100000/big.bin");
    let whole = content("big.bin", 100_000);
    // The existing file is half of the file, zeros of the same length beside a control file, a longer file,
    // or a file of another URL.
    let place = Place::new();
    place.write("big.bin", &whole[..50_000]);
    let out = place.run(&[&url]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains("it has 50000 bytes, and the server's file has 100000"), "{}", out.stderr);
    assert!(out.stderr.contains("-c continues"), "{}", out.stderr);
    assert!(out.stderr.contains("--if-exists overwrite"), "{}", out.stderr);
    let out = place.run(&[&url, "--if-exists", "error"]);
    assert!(out.status == 1 && !out.stderr.contains("-c continues"), "{}", out.stderr);
    place.write("longer", [&whole[..], b"more"].concat());
    let out = place.run(&[&url, "-o", "longer"]);
    assert!(out.status == 1 && !out.stderr.contains("-c continues"), "{}", out.stderr);
    assert!(
        !out.stderr.contains("To resume") && !out.stderr.contains("To try again"),
        "the same command would fail in the same way: {}",
        out.stderr
    );
    assert!(place.file("big.bin").as_deref() == Some(&whole[..50_000]), "the file is not changed");
    for (control, tool) in [("big.bin.aria2", "aria2"), ("big.bin.st", "axel")] {
        let place = Place::new();
        place.write("big.bin", vec![0; 100_000]);
        place.write(control, "x");
        let out = place.run(&[&url]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(out.stderr.contains(&format!("{tool} has not finished it")), "{}", out.stderr);
        // -c refuses a file that axel left.
        assert_eq!(out.stderr.contains("-c continues"), tool == "aria2", "{}", out.stderr);
        assert!(place.file("big.bin") == Some(vec![0; 100_000]));
    }
    // downhaul finished the file, so -c does not continue it.
    let place = Place::new();
    let target = |signature: &str| format!("well_behaved/1000/s?X-Amz-Date=1&X-Amz-Signature={signature}");
    assert_eq!(place.run(&[&server.url(&target("1"))]).status, 0);
    server.becomes(&target("2"), "well_behaved/2000/s");
    for options in [&[][..], &["-c"]] {
        let out = place.run(&[&[&*server.url(&target("2"))], options].concat());
        let says = "it has 1000 bytes, and the server's file has 2000";
        assert!(out.status == 1 && out.stderr.contains(says), "{}", out.stderr);
        assert!(!out.stderr.contains("-c continues"), "{}", out.stderr);
    }
    let place = Place::new();
    place.assert_exact(
        &place.run(&[&server.url("well_behaved/100000/gib.bin"), "-o", "big.bin"]),
        "big.bin",
        &content("gib.bin", 100_000),
    );
    let out = place.run(&[&url]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains("it was downloaded from another URL"), "{}", out.stderr);
    assert!(place.file("big.bin") == Some(content("gib.bin", 100_000)));
}

#[test]
fn an_existing_file_of_the_same_size_is_accepted_unless_its_date_or_digest_differs() {
    let server = Server::start();
    let whole = content("f", 1000);
    let url = server.url("well_behaved/1000/f");
    let place = Place::new();
    place.write("f", &whole);
    let out = place.run(&[&url]);
    assert!(out.status == 0 && out.stderr.contains("same size"), "{}", out.stderr);
    set_modified(&place, "f", SystemTime::UNIX_EPOCH);
    let out = place.run(&[&url]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains("is newer"), "{}", out.stderr);
    // A digest in the response is compared with the existing file.
    let url = server.url("checksum/1000/f");
    let out = place.run(&[&url]);
    assert_eq!(out.status, 1, "newer by its date, whatever its content: {}", out.stderr);
    place.write("f", &whole);
    let out = place.run(&[&url]);
    assert!(out.status == 0 && out.stderr.contains("sha-256 from X-Checksum-SHA256"), "{}", out.stderr);
    place.write("f", vec![0; 1000]);
    let out = place.run(&[&url]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains("does not match the digest from X-Checksum-SHA256"), "{}", out.stderr);
    assert!(place.file("f") == Some(vec![0; 1000]));
}

#[test]
fn a_given_digest_decides_without_a_request() {
    let server = Server::start();
    let place = Place::new();
    place.write("f", content("f", 1000));
    let url = server.url("well_behaved/1000/f");
    let right = format!("sha256:{}", downhaul_testkit::sha256(&content("f", 1000)));
    let wrong = format!("sha256:{}", downhaul_testkit::sha256(b"x"));
    let out = place.run(&[&url, "--checksum", &right]);
    assert!(
        out.status == 0 && out.stderr.contains("already exists, sha-256 from --checksum"),
        "{}",
        out.stderr
    );
    assert_eq!(place.run(&[&url, "--checksum", &wrong]).status, 3);
    assert!(server.requests().is_empty());
    assert!(place.file("f") == Some(content("f", 1000)));
}

#[test]
fn a_server_that_does_not_support_head_gets_a_get() {
    let server = Server::start();
    let place = Place::new();
    place.write("f", content("f", 1000));
    let out = place.run(&[&server.url("get_only/1000/f")]);
    assert!(out.status == 0 && out.stderr.contains("already exists, same size"), "{}", out.stderr);
    place.write("f", content("f", 900));
    let out = place.run(&[&server.url("get_only/1000/f")]);
    assert!(out.status == 1 && out.stderr.contains("it has 900 bytes"), "{}", out.stderr);
    // A server that counts the bytes that it sends answers HEAD with a length of 0.
    place.write("f", "");
    let out = place.run(&[&server.url("head_says_nothing/1000/f")]);
    assert!(out.status == 1 && out.stderr.contains("the server's file has 1000"), "{}", out.stderr);
    place.write("f", content("f", 900));
    // If no response states the size, the files cannot be compared.
    let out = place.run(&[&server.url("chunked_body/1000/f")]);
    assert!(out.status == 1 && out.stderr.contains("cannot be compared"), "{}", out.stderr);
}

#[test]
fn update_sends_the_recorded_etag_and_does_not_transfer_an_unchanged_file() {
    let server = Server::start();
    let place = Place::new();
    let target = "well_behaved/1000/f";
    let url = server.url(target);
    let run = || place.run(&[&url, "--if-exists", "update"]);
    place.assert_exact(&run(), "f", &content("f", 1000));
    let out = run();
    assert!(out.status == 0 && out.stderr.contains("is up to date"), "{}", out.stderr);
    let request = server.requests().pop().expect("a request");
    assert!(request.header("if-none-match").is_some() && request.method == "HEAD", "{request:?}");
    server.becomes(target, "well_behaved/1200/g");
    place.assert_exact(&run(), "f", &content("g", 1200));
    // A file without a record is compared by size and date.
    place.write("f", content("f", 900));
    place.assert_exact(&run(), "f", &content("g", 1200));
}

#[test]
fn equal_names_in_a_list_get_the_same_numbers_in_every_run() {
    let server = Server::start();
    let place = Place::new();
    let bodies: Vec<Vec<u8>> = (0..3).map(|n| content(&format!("body{n}"), 1000 + n)).collect();
    let urls: Vec<String> = (0..3).map(|n| format!("{}/config.json", server.url(&format!("d{n}")))).collect();
    let list = place.write("list", urls.join("\n"));
    let list = list.to_string_lossy().into_owned();
    // The first file is missing in the first run, so only the later files are saved.
    for (n, body) in bodies.iter().enumerate().skip(1) {
        server.put(&format!("/d{n}/config.json"), body.clone());
    }
    let out = place.run(&["-i", &list, "-d", "out", "-j", "3", "--retries", "0"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(place.files(), ["list", "out/config (1).json", "out/config (2).json"]);
    server.put("/d0/config.json", bodies[0].clone());
    for run in 0..3 {
        let out = place.run(&["-i", &list, "-d", "out", "-j", "3"]);
        assert_eq!(out.status, 0, "run {run}: {}", out.stderr);
        for (name, body) in ["config.json", "config (1).json", "config (2).json"].iter().zip(&bodies) {
            assert!(place.file(&format!("out/{name}")).as_ref() == Some(body), "run {run}: {name}");
        }
        assert_eq!(place.files().len(), 4, "{:?}", place.files());
    }
}

#[test]
fn a_name_that_the_server_gives_to_several_files_belongs_to_the_url_that_it_came_from() {
    let server = Server::start();
    let place = Place::new();
    let url = |n: u64| {
        server.url(&format!("named/{}/get?id={n}&disposition=attachment;filename=data.csv", 1000 + n))
    };
    let urls = [url(1), url(2), url(3)].join("\n");
    let list = place.write("list", urls).to_string_lossy().into_owned();
    let gone = url(1).split_once("/named").map(|(_, rest)| format!("named{rest}")).expect("a target");
    server.becomes(&gone, "status/0/x?status=404");
    let out = place.run(&["-i", &list, "-d", "out", "-j", "1", "--retries", "0"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(place.file("out/data.csv"), Some(content("get", 1002)));
    assert_eq!(place.file("out/data (1).csv"), Some(content("get", 1003)));
    server.becomes(&gone, &gone);
    for _ in 0..2 {
        let out = place.run(&["-i", &list, "-d", "out", "-j", "3"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        let sizes = ["data.csv", "data (1).csv", "data (2).csv"]
            .map(|name| place.file(&format!("out/{name}")).map_or(0, |bytes| bytes.len()));
        assert_eq!(sizes, [1002, 1003, 1001], "{:?}", place.files());
        assert_eq!(place.files().len(), 4, "{:?}", place.files());
    }
}

#[test]
fn the_same_url_twice_is_fetched_once() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/1000/f");
    let other = server.url("well_behaved/1000/f?other");
    let out = place.run(&[&url, &url, &other, &other, &url]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.files(), ["f", "f (1)"]);
    assert_eq!(server.requests().len(), 2);
    assert!(out.stderr.contains("fetched once"), "{}", out.stderr);
}

/// The second line of each list asks for the same URL again: first for the same name, and then for another
/// name.
#[test]
fn a_signed_link_that_a_list_has_twice_is_recognised_with_a_new_signature() {
    let server = Server::start();
    for names in [["", ""], [" one", " two"]] {
        let place = Place::new();
        for signature in ["1", "2"] {
            let target = format!("well_behaved/1000/f?X-Amz-Date={signature}&X-Amz-Signature={signature}");
            let url = server.url(&target);
            place.write("list", names.map(|name| format!("{url}{name}\n")).concat());
            let out = place.run(&["-i", "list", "-d", "out"]);
            assert_eq!(out.status, 0, "{names:?}: {}", out.stderr);
        }
        let expected =
            if names[0].is_empty() { &["list", "out/f"][..] } else { &["list", "out/one", "out/two"] };
        assert_eq!(place.files(), expected);
    }
}

#[test]
fn no_xattr_stores_no_attribute_and_xattr_stores_the_url() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f?token=secret");
    let attached = |place: &Place, name: &str| {
        let mut value = [0; 512];
        let read = rustix::fs::getxattr(place.path().join("f"), name, &mut value).ok();
        read.map(|length| String::from_utf8_lossy(&value[..length]).into_owned())
    };
    let place = Place::new();
    place.assert_exact(&place.run(&[&url, "--no-xattr"]), "f", &content("f", 1000));
    assert_eq!(attached(&place, "user.downhaul.origin"), None);
    let place = Place::new();
    place.assert_exact(&place.run(&[&url, "--xattr"]), "f", &content("f", 1000));
    let shown = attached(&place, "user.xdg.origin.url").expect("attached");
    assert!(shown.contains("/well_behaved/1000/f") && !shown.contains("secret"), "{shown}");
    let record = attached(&place, "user.downhaul.origin").expect("attached");
    assert!(!record.contains("secret") && !record.contains("127.0.0.1"), "{record}");
}

#[test]
fn a_run_over_many_finished_files_sends_no_request() {
    let server = Server::start();
    let place = Place::new();
    let urls: Vec<String> = (0..300).map(|n| server.url(&format!("well_behaved/{}/f{n}", 100 + n))).collect();
    let list = place.write("list", urls.join("\n")).to_string_lossy().into_owned();
    let args = ["-i", list.as_str(), "-d", "out", "-j", "8"];
    assert_eq!(place.run(&args).status, 0);
    assert_eq!(server.requests().len(), 300);
    let out = place.run(&args);
    assert!(out.status == 0 && out.stderr.contains("300 skipped"), "{}", out.stderr);
    assert_eq!(server.requests().len(), 300, "no request was sent");
}

#[test]
fn a_page_that_was_saved_as_data_fails_when_the_server_sends_it_again() {
    let server = Server::start();
    let page = b"<!DOCTYPE html><html><body>Log in</body></html>".to_vec();
    let url = server.put("/d/data.h5", page.clone());
    for how in ["check", "update"] {
        let place = Place::new();
        place.write("data.h5", &page);
        let out = place.run(&[&url, "--if-exists", how]);
        assert_eq!(out.status, 3, "{how}: {}", out.stderr);
        assert!(place.file("data.h5").as_ref() == Some(&page), "{how}: it stays");
        assert_eq!(place.run(&[&url, "--if-exists", how, "--accept-html"]).status, 0, "{how}");
    }
}

#[test]
fn links_that_differ_only_in_a_token_have_a_file_each() {
    let server = Server::start();
    let place = Place::new();
    let target =
        |name: &str, n: u64| format!("named/1000/{name}?disposition=attachment;filename=data.csv&token={n}");
    let list = [1, 2].map(|n| server.url(&target("get", n))).join("\n");
    let list = place.write("list", list).to_string_lossy().into_owned();
    let run = || place.run(&["-i", &list, "-d", "out", "-j", "1", "--retries", "0"]);
    // The first URL fails, and the second one gets the name.
    server.becomes(&target("get", 1), "status/0/x?status=404");
    assert_eq!(run().status, 1);
    assert_eq!(place.file("out/data.csv"), Some(content("get", 1000)));
    // Names of the same length have the same ETag on this server, so that only the token differs.
    server.becomes(&target("get", 1), &target("tap", 1));
    for _ in 0..2 {
        let out = run();
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_eq!(place.file("out/data.csv"), Some(content("get", 1000)));
        assert_eq!(place.file("out/data (1).csv"), Some(content("tap", 1000)), "{:?}", place.files());
    }
}
