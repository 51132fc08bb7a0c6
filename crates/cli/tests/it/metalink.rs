//! Metalink documents as lists: mirrors, digests, names, and documents that must be refused.

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

const SIZE: u64 = 100_000;

/// The SHA-256 of `content("file", 100_000)`, computed by another program.
const SHA256: &str = "f9652068b3dd2c65fdbe6e298a7399c314c4c4272fa5a0220d09ffb8bb8928d4";
const MD5: &str = "91d13392c437255988e641e23f82b6c3";

fn file() -> Vec<u8> {
    content("file", SIZE)
}

fn four(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\n{inner}</metalink>\n"
    )
}

/// Returns a file element of version 4.
fn element(name: &str, digest: &str, urls: &[&str]) -> String {
    let urls: String = urls.iter().map(|url| format!("  <url>{url}</url>\n")).collect();
    format!("<file name=\"{name}\">\n  <hash type=\"sha-256\">{digest}</hash>\n{urls}</file>\n")
}

/// Downloads a list that has this name and text, over an old file `f`.
fn run(list: &str, document: &str) -> (Place, Out) {
    let place = Place::new();
    place.write(&format!("lists/{list}"), document);
    place.write("out/f", "old");
    let list = format!("lists/{list}");
    let out = place.run(&["-i", &list, "-d", "out", "--if-exists", "overwrite", "--retries", "0"]);
    (place, out)
}

/// Asserts that the document is refused with these messages and without a request, and that the old file
/// stays.
#[track_caller]
fn assert_refused(server: &Server, document: &str, says: &[&str]) {
    let (place, out) = run("set.meta4", document);
    assert_eq!(out.status, 2, "{}", out.stderr);
    for says in says {
        assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
    }
    assert_eq!(place.files(), ["lists/set.meta4", "out/f"]);
    assert_eq!(place.file("out/f").as_deref(), Some(&b"old"[..]));
    assert!(server.requests().is_empty());
}

/// Asserts that only the file `f` was downloaded, and that the other files failed for this reason.
#[track_caller]
fn assert_one_file_failed(server: &Server, document: &str, says: &[&str]) {
    let before = server.requests().len();
    let (place, out) = run("set.meta4", document);
    assert_eq!(out.status, 1, "{}", out.stderr);
    for says in says {
        assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
    }
    assert_eq!(place.files(), ["lists/set.meta4", "out/f"]);
    assert_eq!(place.file("out/f"), Some(file()));
    assert_eq!(server.requests().len(), before + 1);
}

#[test]
fn with_a_wrong_digest_the_old_file_stays() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    let (place, out) = run("set.meta4", &four(&element("f", SHA256, &[&url])));
    place.assert_exact(&out, "out/f", &file());
    assert!(out.stderr.contains("sha-256 from the Metalink file"), "{}", out.stderr);

    let (place, out) = run("set.meta4", &four(&element("f", &"0".repeat(64), &[&url])));
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains("but the Metalink file says"), "{}", out.stderr);
    assert_eq!(place.file("out/f").as_deref(), Some(&b"old"[..]));
    assert_eq!(place.files(), ["lists/set.meta4", "out/f"]);

    // Every known digest is verified, even if there are unknown ones too.
    let two = four(&format!(
        "<file name='f'><hash type='sha-256'>{SHA256}</hash><hash type='md5'>{}</hash><hash type='x'>y</hash><url>{url}</url></file>",
        MD5.replace('9', "8")
    ));
    let (place, out) = run("set.meta4", &two);
    assert_eq!((out.status, place.file("out/f").as_deref()), (3, Some(&b"old"[..])), "{}", out.stderr);
}

#[test]
fn if_a_mirror_fails_the_next_best_one_is_used() {
    let server = Server::start();
    let good = server.put("/d/file", file());
    let (dead, unused) = (server.url("status/1/dead?status=404"), server.url("status/1/unused?status=404"));
    let document = four(&format!(
        "<file name='f'><hash type='sha-256'>{SHA256}</hash><url>{unused}</url><url priority='2'>{good}</url>\
         <url priority='1'>ftp://example.com/f</url><url priority='1'>{dead}</url></file>"
    ));
    let (place, out) = run("set.meta4", &document);
    place.assert_exact(&out, "out/f", &file());
    let paths: Vec<String> = server.requests().iter().map(|request| request.target.clone()).collect();
    assert!(paths.first().is_some_and(|path| path.contains("dead")), "{paths:?}");
    assert!(server.requests_for("unused").is_empty(), "{paths:?}");
}

#[test]
fn version_3_is_recognised_by_its_root_element() {
    let server = Server::start();
    let good = server.put("/d/file", file());
    let dead = server.url("status/1/dead?status=404");
    let document = format!(
        "<metalink version='3.0' xmlns='http://www.metalinker.org/'><files><file name='f'><size>{SIZE}</size>\
         <verification><hash type='md5'>{MD5}</hash><pieces type='sha4' length='1'><hash piece='0'>0</hash></pieces></verification>\
         <resources><url type='http' preference='10'>{good}</url><url type='bittorrent' preference='100'>{dead}&amp;torrent</url>\
         <url type='http' preference='90'>{dead}</url></resources></file></files></metalink>"
    );
    for name in ["set.metalink", "set.METALINK", "list"] {
        let (place, out) = run(name, &document);
        place.assert_exact(&out, "out/f", &file());
        assert!(out.stderr.contains("md5 from the Metalink file"), "{name}: {}", out.stderr);
    }
    assert!(server.requests_for("torrent").is_empty());
}

#[test]
fn names_stay_below_the_output_folder() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    let (place, out) = run(
        "set.meta4",
        &four(&(element("sub/dir/g", SHA256, &[&url]) + &element(".hidden/h:i", SHA256, &[&url]))),
    );
    place.assert_exact(&out, "out/sub/dir/g", &file());
    place.assert_exact(&out, "out/_hidden/h:i", &file());

    for name in ["../g", "a/../../g", "/tmp/g", "a&#x2f;..&#47;g", ""] {
        let document = four(&(element("f", SHA256, &[&url]) + &element(name, SHA256, &[&url])));
        let says = ["the name is not safe as a file name: line 7: "];
        assert_one_file_failed(&server, &document, &says);
    }
    let other = format!("{url}?other");
    let twice = four(&(element("f", SHA256, &[&url]) + &element("./f", SHA256, &[&other])));
    assert_one_file_failed(
        &server,
        &twice,
        &[
            "f: another file of this run has the same name, or the name cannot be used: line 7: the file of line 3 already has this name",
        ],
    );
    let odd = element("f", SHA256, &[&url]) + "<file name='&#27;[31m'/>";
    assert_one_file_failed(&server, &four(&odd), &["\\u{1b}[31m"]);
    let odd = element("f", SHA256, &[&url]) + &element("../\u{202e}g", SHA256, &[&url]);
    assert_one_file_failed(&server, &four(&odd), &["\\u{202e}g"]);
}

#[test]
fn entity_bombs_and_broken_documents_are_refused() {
    let server = Server::start();
    let url = server.url("d/file");
    let fine = four(&element("f", SHA256, &[&url]));
    let mut bomb = "<!DOCTYPE metalink [<!ENTITY a0 \"haha\">".to_string();
    for n in 1..30 {
        bomb += &format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10));
    }
    let bomb = format!("{bomb}]>\n{}", fine.replace(SHA256, "&a29;"));
    assert_refused(&server, &bomb, &["a document type (<!DOCTYPE ...>) is refused"]);
    let outside =
        "<!DOCTYPE metalink [<!ENTITY secret SYSTEM \"file:///etc/hostname\">]>".to_string() + &fine;
    assert_refused(&server, &outside, &["a document type (<!DOCTYPE ...>) is refused"]);
    assert_refused(&server, &fine.replace(SHA256, "&secret;"), &["line 4", "uses an entity"]);
    assert_refused(&server, &fine.replace("</metalink>", ""), &["ends too early"]);
    assert_refused(&server, "<html></html>", &["neither Metalink 4 nor 3"]);
    assert_refused(&server, &four(""), &["is empty"]);
    assert_refused(&server, &" ".repeat(16 * 1024 * 1024 + 1), &["longer than 16 MiB"]);
}

#[test]
fn a_file_without_a_usable_url_fails_by_name_and_the_others_are_fetched() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    let document = four(
        &(element("g", SHA256, &["ftp://h/f"]) + &element("f", SHA256, &[&url]) + &element("h", SHA256, &[])),
    );
    let says = [
        "g: this file of the list cannot",
        "line 3: its URL is not a usable http or https URL",
        "line 11: it has no URL",
        "1 of 3 files",
    ];
    assert_one_file_failed(&server, &document, &says);
    // A document whose only file has an ftp URL is not refused either. The file fails.
    let (place, out) = run("set.meta4", &four(&element("g", SHA256, &["ftp://h/f"])));
    assert_eq!((out.status, place.file("out/g")), (1, None), "{}", out.stderr);
    let place = Place::new();
    let out = place.run(&["-i", &server.put("/l/set.meta4", document), "-d", "out", "--retries", "0"]);
    assert_eq!((out.status, place.file("out/f")), (1, Some(file())), "{}", out.stderr);
}

#[test]
fn a_malformed_hash_is_ignored_and_reported() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    let short = "<hash type='md5'>91d13392c437255988e641e23f82b6c</hash>";
    let good = format!("<hash type='sha-256'>{SHA256}</hash>");
    let (place, out) =
        run("set.meta4", &four(&format!("<file name='f'>{short}{good}<url>{url}</url></file>")));
    place.assert_exact(&out, "out/f", &file());
    assert!(out.stderr.contains("sha-256 from the Metalink file"), "{}", out.stderr);
    assert!(
        out.stderr.contains("its md5 in the Metalink file is malformed and was ignored"),
        "{}",
        out.stderr
    );

    let wrong = good.replace('9', "8");
    let (place, out) =
        run("set.meta4", &four(&format!("<file name='f'>{short}{wrong}<url>{url}</url></file>")));
    assert_eq!((out.status, place.file("out/f").as_deref()), (3, Some(&b"old"[..])), "{}", out.stderr);

    let none = four(&format!("<file name='f'>{short}<hash type='sha3-256'>0</hash><url>{url}</url></file>"));
    let (place, out) = run("set.meta4", &none);
    place.assert_exact(&out, "out/f", &file());
    assert!(out.stderr.contains("the Metalink file has no usable digest of this file"), "{}", out.stderr);
    let place = Place::new();
    place.write("set.meta4", &none);
    for verify in ["require", "listed"] {
        let out = place.run(&["-i", "set.meta4", "-d", "out", "--verify", verify, "--retries", "0"]);
        assert_eq!((out.status, place.file("out/f")), (3, None), "{}", out.stderr);
        assert!(out.stderr.contains("no usable digest of this file"), "{verify}: {}", out.stderr);
    }
}

#[test]
fn a_document_in_utf_16_is_read() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    let document = four(&element("f", SHA256, &[&url])).replace("UTF-8", "UTF-16");
    let place = Place::new();
    let bytes: Vec<u8> = format!("\u{feff}{document}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.write("set.meta4", bytes);
    let out = place.run(&["-i", "set.meta4", "-d", "out"]);
    place.assert_exact(&out, "out/f", &file());
}

#[test]
fn a_metalink_list_may_be_at_a_url() {
    let server = Server::start();
    let url = server.put("/d/file", file());
    let lists = [
        server.put("/l/set.meta4", four(&element("f", SHA256, &[&url]))),
        server.put("/l/list", format!("{url} f\n")),
    ];
    for list in &lists {
        let place = Place::new();
        let out = place.run(&["-i", list, "-d", "out"]);
        place.assert_exact(&out, "out/f", &file());
    }
    let place = Place::new();
    for status in [403, 404] {
        let list = server.url(&format!("status/1/x?status={status}"));
        let out = place.run(&["-i", &list, "--retries", "0"]);
        let says = "could not be fetched: the server does not have it, or forbids access to it";
        assert!(out.status == 1 && out.stderr.contains(says), "{}", out.stderr);
    }
    let out = place.run(&["-i", "ftp://h/list"]);
    assert_eq!(out.status, 2, "{}", out.stderr);
}
