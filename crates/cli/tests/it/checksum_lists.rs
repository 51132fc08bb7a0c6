//! Tests of checksum lists in every common form, given or beside the file. Their digests are verified, or the
//! run says why they are not.
//!
//! The digests are of `content("file", 100_000)`. Other programs computed them.

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

const MD5: &str = "91d13392c437255988e641e23f82b6c3";
const SHA1: &str = "4c2303e2b619568377951f13a803035d39d47aed";
const SHA256: &str = "f9652068b3dd2c65fdbe6e298a7399c314c4c4272fa5a0220d09ffb8bb8928d4";
const SHA256_BASE64: &str = "+WUgaLPdLGX9vm4pinOZwxTExCcvpaAiDQn/uLuJKNQ=";
const SHA512: &str = "15c8d0345872ad718194aa309b7fd05eac2ac10d263cbc9dbd2366d848c811041822c89820a3507b768f330756c0c15edcd4c7ba762f3239e3854ecab08922fd";

fn file() -> Vec<u8> {
    content("file", 100_000)
}

/// Puts the file at `/d/file` and returns its URL.
fn put_file(server: &Server) -> String {
    server.put("/d/file", file())
}

fn run(url: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    let out = place.run(&[&[url, "-o", "f"], more].concat());
    (place, out)
}

/// Returns a wrong digest of the same form.
fn wrong(digest: &str) -> String {
    digest.replace('1', "2").replace('9', "8")
}

/// Returns the digest as GnuPG writes it: in capitals, in groups of eight, and eight groups on each line.
fn in_groups(digest: &str, indent: &str) -> String {
    let groups: Vec<String> = digest
        .to_uppercase()
        .as_bytes()
        .chunks(8)
        .map(|group| String::from_utf8_lossy(group).into())
        .collect();
    groups.chunks(8).map(|line| line.join(" ")).collect::<Vec<_>>().join(&format!("\n{indent}"))
}

fn utf16(text: &str, big_endian: bool) -> Vec<u8> {
    let to_bytes = if big_endian { u16::to_be_bytes } else { u16::to_le_bytes };
    format!("\u{feff}{text}").encode_utf16().flat_map(to_bytes).collect()
}

#[test]
fn lists_of_every_form_are_checked() {
    let server = Server::start();
    let url = put_file(&server);
    let gpg = format!(
        "other: {}\nfile: SHA512 = {}\n",
        in_groups(SHA256, "       "),
        in_groups(SHA512, "               ")
    );
    let gpg_long = format!("some/folder/with/a/very/very/long/name/file: \n{}\n", in_groups(SHA512, " "));
    for (form, digest, algorithm) in [
        (format!("file  {SHA256}\n"), SHA256, "sha-256"),
        (format!("./d/file\t{MD5}\n"), MD5, "md5"),
        (format!("file sha1:{SHA1}\n"), SHA1, "sha-1"),
        (format!("sha256:{SHA256}  file\n"), SHA256, "sha-256"),
        (format!("sha512={SHA512} *file\n"), SHA512, "sha-512"),
        (format!("sha256-{SHA256_BASE64} file\n"), SHA256_BASE64, "sha-256"),
        (format!("SHA256 (file) = {SHA256_BASE64}\n"), SHA256_BASE64, "sha-256"),
        (format!("file: {}\n", in_groups(SHA256, "      ")), "F9652068", "sha-256"),
        (gpg, "15C8D034", "sha-512"),
        (gpg_long, "15C8D034", "sha-512"),
    ] {
        let bad = form.replace(digest, &wrong(digest));
        assert_ne!(bad, form);
        for (text, status) in [(form.clone(), 0), (bad, 3)] {
            for list in [
                text.clone().into_bytes(),
                text.replace('\n', "\r\n").into(),
                utf16(&text, false),
                utf16(&text, true),
            ] {
                let place = Place::new();
                place.write("sums", list);
                let out = place.run(&[&url, "-o", "f", "--checksum-file", "sums"]);
                assert_eq!(out.status, status, "{text}: {}", out.stderr);
                let says =
                    if status == 0 { format!("{algorithm} from sums") } else { "but sums says".into() };
                assert!(out.stderr.contains(&says), "{text}: {}", out.stderr);
            }
        }
    }
}

#[test]
fn a_digest_without_a_name_belongs_to_the_only_file_or_to_the_file_in_the_name_of_the_list() {
    let server = Server::start();
    let url = put_file(&server);
    let other = server.put("/d/other", "other");
    for text in [
        format!("{SHA256}\n"),
        format!("{SHA256}  -\n"),
        format!("SHA256 = {SHA256}"),
        format!("SHA2-256(stdin)= {SHA256}"),
    ] {
        let place = Place::new();
        place.write("digest", &text);
        place.write("file.sha256", &text);
        place.write("list", format!("{url} one\n"));
        for args in [vec![url.as_str(), "-o", "f"], vec!["-i", "list"], vec![&url, "g", "-d", "sub"]] {
            let out = place.run(&[&args[..], &["--checksum-file", "digest"]].concat());
            assert!(
                out.status == 0 && out.stderr.contains("sha-256 from digest"),
                "{args:?}: {}",
                out.stderr
            );
        }
        let out = place.run(&[&url, &other, "--checksum-file", "digest", "-d", "two"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_eq!(out.stderr.matches("digest has a digest without a name").count(), 2, "{}", out.stderr);
        let out =
            place.run(&[&url, &other, "--checksum-file", "digest", "-d", "three", "--verify", "require"]);
        assert_eq!((out.status, place.file("three/file")), (3, None), "{}", out.stderr);
        let out = place.run(&[&url, &other, "--checksum-file", "file.sha256", "-d", "four"]);
        assert!(out.stderr.contains("sha-256 from file.sha256"), "{}", out.stderr);
        assert_eq!(out.stderr.matches("has a digest without a name").count(), 1, "{}", out.stderr);
    }
    let at_a_url = server.put("/lists/digest", SHA256.replace('f', "e"));
    let (_, out) = run(&url, &["--checksum-file", &at_a_url]);
    assert!(out.status == 3 && out.stderr.contains("but digest says"), "{}", out.stderr);
}

/// Before the run requests the first file of a folder, it looks for this file on the disk. It does not do
/// this for the second file. A list that has only the name at the end of the redirect counts for both files.
#[test]
fn a_list_may_have_the_name_at_the_end_of_a_redirect_for_files_with_given_names() {
    let server = Server::start();
    let url = put_file(&server);
    let redirect = |name: &str| server.url(&format!("redirect/0/{name}?to={url}"));
    for (digest, status) in [(SHA256.to_string(), 0), (wrong(SHA256), 3)] {
        for more in [&[][..], &["--verify", "require"], &["--verify", "listed"]] {
            let place = Place::new();
            place.write("sums", format!("{digest}  file\n"));
            place.write("list", format!("{} one\n{} two\n", redirect("x"), redirect("y")));
            let out = place.run(&[&["-i", "list", "--checksum-file", "sums", "-j", "1"], more].concat());
            assert_eq!(out.status, status, "{more:?}: {}", out.stderr);
            let names = ["one", "two"].map(|name| place.file(name).is_some());
            assert_eq!(names, [status == 0; 2], "{more:?}: {}", out.stderr);
            // An existing file with the same size is compared with this digest, too.
            let args = [redirect("x").as_str(), "-o", "one", "--checksum-file", "sums"].map(String::from);
            let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
            place.write("one", vec![0; file().len()]);
            let out = place.run(&args);
            assert!(
                out.status != 0 && out.stderr.contains("does not match the digest from sums"),
                "{more:?}: {}",
                out.stderr
            );
            // If the existing file has the digest, it is kept.
            place.write("one", file());
            let out = place.run(&[&args[..], &["--if-exists", "update"]].concat());
            assert_eq!(out.status, status, "{more:?}: {}", out.stderr);
            assert!(status != 0 || out.stderr.contains("is up to date"), "{more:?}: {}", out.stderr);
        }
    }
}

/// The list `x.sha256` beside the file names only the file at the end of the redirect.
#[test]
fn a_list_for_one_file_may_have_the_name_at_the_end_of_a_redirect() {
    for (digest, status) in [(SHA256.to_string(), 0), (wrong(SHA256), 3)] {
        let (server, place) = (Server::start(), Place::new());
        let url = put_file(&server);
        server.put("/redirect/0/x.sha256", format!("{digest}  file\n"));
        let redirect = server.url(&format!("redirect/0/x?to={url}"));
        let out = place.run(&[&redirect, "-o", "f", "--verify", "find"]);
        assert_eq!((out.status, place.file("f").is_some()), (status, status == 0), "{}", out.stderr);
        let says = if status == 0 { "sha-256 from x.sha256" } else { "but x.sha256 says" };
        assert!(out.stderr.contains(says), "{}", out.stderr);
    }
}

#[test]
fn checksum_accepts_a_digest_without_an_algorithm_and_other_separators() {
    let server = Server::start();
    let url = put_file(&server);
    for right in [
        SHA256.to_string(),
        SHA512.to_uppercase(),
        MD5.into(),
        format!("sha256={SHA256}"),
        format!("sha256-{SHA256_BASE64}"),
        format!("SHA-256:{SHA256_BASE64}"),
    ] {
        let (place, out) = run(&url, &["--checksum", &right]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains("from --checksum"), "{right}: {}", out.stderr);
    }
    for (bad, status) in [(SHA256.replace('f', "e"), 3), (SHA256[1..].into(), 2), ("sha256-AAAA".into(), 2)] {
        let (place, out) = run(&url, &["--checksum", &bad]);
        assert_eq!((out.status, place.file("f")), (status, None), "{bad}: {}", out.stderr);
    }
}

#[test]
fn lists_beside_the_file_are_found_and_strong_ones_are_tried_first() {
    for (name, text, from) in [
        ("SHA256SUMS.txt", format!("{SHA256}  file\n"), "sha-256"),
        ("sha256sum.txt", format!("{SHA256}  file\n"), "sha-256"),
        ("SHASUMS256.txt", format!("{SHA256}  file\n"), "sha-256"),
        ("CHECKSUM", format!("SHA256 (file) = {SHA256}\n"), "sha-256"),
        ("MD5SUMS", format!("{MD5}  file\n"), "md5"),
        ("md5sum.txt", format!("{MD5}  ./file\n"), "md5"),
        ("md5checksums.txt", format!("{MD5}  ./file\n"), "md5"),
        ("file.md5", format!("{MD5}  file\n"), "md5"),
        ("file.md5", format!("MD5 (file) = {MD5}\n"), "md5"),
    ] {
        let server = Server::start();
        let url = put_file(&server);
        server.put(&format!("/d/{name}"), text.as_str());
        let (place, out) = run(&url, &["--verify", "find"]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(&format!("{from} from {name}")), "{name}: {}", out.stderr);
        server.put(&format!("/d/{name}"), wrong(&text));
        let (place, out) = run(&url, &["--verify", "find"]);
        assert_eq!((out.status, place.file("f")), (3, None), "{name}: {}", out.stderr);
        assert!(out.stderr.contains(&format!("but {name} says")), "{name}: {}", out.stderr);
    }
    let server = Server::start();
    let url = server.put("/d/tool_1.0_linux.tar.gz", file());
    server.put("/d/tool_1.0_checksums.txt", format!("{SHA256}  tool_1.0_linux.tar.gz\n"));
    server.put("/d/MD5SUMS", format!("{}  tool_1.0_linux.tar.gz\n", "0".repeat(32)));
    let (_, out) = run(&url, &["--verify", "find"]);
    assert!(out.status == 0 && out.stderr.contains("sha-256 from tool_1.0_checksums.txt"), "{}", out.stderr);
    assert!(server.requests_for("MD5").is_empty(), "a strong list named the file");
}

#[test]
fn the_search_for_lists_beside_files_needs_few_requests() {
    let server = Server::start();
    let urls: Vec<String> = (0..5).map(|n| server.put(&format!("/d/file{n}"), file())).collect();
    let place = Place::new();
    let out = place.run(&[&urls.join(","), "--verify", "find", "-j5"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    // There are ten requests for the folder. For each file, there are three requests for lists, and one for
    // the file itself.
    assert_eq!(server.requests().len(), 10 + 5 * 4);

    // If a given list has the digest, the run looks for no lists beside the file.
    let place = Place::new();
    place.write("SUMS", (0..5).map(|n| format!("{SHA256}  file{n}\n")).collect::<String>());
    let before = server.requests().len();
    let out = place.run(&[&urls.join(","), "--verify", "require", "--checksum-file", "SUMS"]);
    assert_eq!((out.status, server.requests().len()), (0, before + 5), "{}", out.stderr);

    let server = Server::start();
    let urls: Vec<String> = (0..5).map(|n| server.put(&format!("/d/file{n}"), file())).collect();
    server.put("/d/SHA256SUMS", (0..5).map(|n| format!("{SHA256}  file{n}\n")).collect::<String>());
    let out = Place::new().run(&[&urls.join(","), "--verify", "find", "-j5"]);
    assert_eq!(out.stderr.matches("sha-256 from SHA256SUMS").count(), 5, "{}", out.stderr);
    assert_eq!(server.requests().len(), 1 + 5);
}

#[test]
fn a_list_beside_the_file_that_cannot_be_used_is_reported() {
    for (name, text, says) in [
        ("file.sha256", utf16(&format!("{SHA256}  file\r\n"), false), "sha-256 from file.sha256"),
        ("file.sha256", utf16(SHA256, true), "sha-256 from file.sha256"),
        (
            "file.sha256",
            b"see the web site\n".to_vec(),
            "file.sha256 does not name the file (a line of it could not be read)",
        ),
        ("file.md5", format!("{MD5}  another\n").into(), "file.md5 does not name the file"),
        (
            "SHA256SUMS",
            b"\x00\x01\x02".to_vec(),
            "SHA256SUMS does not name the file (a line of it could not be read)",
        ),
        ("SHA256SUMS", b"<!doctype html><p>not found".to_vec(), "not verified (size matches)"),
        ("SHA256SUMS", format!("{SHA256}  another\n").into(), "not verified (size matches)"),
    ] {
        let server = Server::start();
        let url = put_file(&server);
        server.put(&format!("/d/{name}"), text);
        let (place, out) = run(&url, &["--verify", "find"]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(says), "{name} {says}: {}", out.stderr);
        assert_eq!(out.stderr.contains("warning"), says.contains("does not name"), "{name}: {}", out.stderr);
    }
}

/// The server of the list fails when the file needs the list, and recovers while the question is open.
#[cfg(unix)]
#[test]
fn a_list_that_could_not_be_fetched_is_requested_again_when_the_user_retries() {
    let server = Server::start();
    let url = put_file(&server);
    let list = server.put("/lists/SHA256SUMS", format!("{SHA256}  file\n"));
    server.becomes("lists/SHA256SUMS", "status/0/x?status=500");
    let place = Place::new();
    let args = [url.as_str(), "-o", "f", "--checksum-file", &list, "--retries", "1"];
    let mut terminal = crate::common::terminal::Terminal::start(&place, 120, 24, &args);
    terminal.wait_for_text("Retry (r), retry all (a), skip (s) or exit (e)?");
    assert_eq!(server.requests_for("SHA256SUMS").len(), 2);
    server.becomes("lists/SHA256SUMS", "lists/SHA256SUMS");
    terminal.press("r");
    let (status, screen) = terminal.end();
    assert_eq!((status, place.file("f")), (0, Some(file())), "{screen}");
    assert_eq!(server.requests_for("SHA256SUMS").len(), 3);
}

#[test]
fn a_list_whose_only_line_is_malformed_refuses_the_file_that_the_line_names() {
    let server = Server::start();
    let url = put_file(&server);
    let place = Place::new();
    place.write("SUMS", format!("{}  file\n", &SHA256[1..]));
    let at_url = server.put("/other/SUMS", format!("{}  file\n", &SHA256[1..]));
    for list in ["SUMS", &at_url] {
        let out = place.run(&[&url, "--checksum-file", list]);
        assert_eq!(out.status, 3, "{list}: {}", out.stderr);
        assert!(place.log().contains("[digest.unlisted]"), "{list}: {}", place.log());
        assert!(out.stderr.contains("Correct this line of the list"), "{list}: {}", out.stderr);
        assert_eq!(place.file("file"), None);
    }
    place.write("SUMS", "no digest here\n");
    let out = place.run(&[&url, "--checksum-file", "SUMS"]);
    assert!(out.status == 2 && out.stderr.contains("no line of SUMS has a digest"), "{}", out.stderr);
}

#[test]
fn verify_listed_requires_an_entry_for_every_file_and_accepts_md5() {
    let server = Server::start();
    let url = put_file(&server);
    let listed = |more: &[&str]| run(&url, &[&["--verify", "listed"], more].concat());
    let (place, out) = listed(&[]);
    assert_eq!((out.status, place.file("f")), (3, None), "{}", out.stderr);
    assert!(out.stderr.contains("no checksum list has a usable digest of this file"), "{}", out.stderr);
    assert!(place.log().contains("[digest.unlisted]"), "{}", place.log());
    // A digest in a header is not a list.
    let header = server.url(&format!("headers/100000/file?Content-MD5={}", "kdEzksQ3JVmI5kHiP4K2ww%3D%3D"));
    let (_, out) = run(&header, &["--verify", "listed"]);
    assert_eq!(out.status, 3, "{}", out.stderr);

    let (place, out) = listed(&["--checksum", &format!("md5:{MD5}")]);
    place.assert_exact(&out, "f", &file());
    let (_, out) = listed(&["--checksum", "crc32:0edf6c4f"]);
    assert_eq!(out.status, 3, "--verify listed does not accept a CRC: {}", out.stderr);
    let place = Place::new();
    place.write("SUMS", format!("{MD5}  another\n"));
    let before = server.requests_for("/d/file").len();
    let out = place.run(&[&url, "-o", "f", "--verify", "listed", "--checksum-file", "SUMS"]);
    assert_eq!((out.status, place.file("f")), (3, None), "{}", out.stderr);
    assert!(out.stderr.contains("SUMS does not name the file"), "{}", out.stderr);
    assert_eq!(
        server.requests_for("/d/file").len(),
        before + 1,
        "one request, because a redirect could have led to a name that the list has"
    );

    server.put("/d/md5checksums.txt", format!("{MD5}  ./file\n"));
    let (place, out) = listed(&[]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("md5 from md5checksums.txt"), "{}", out.stderr);
    let (place, out) = run(&url, &["--verify", "require"]);
    assert_eq!((out.status, place.file("f")), (3, None), "{}", out.stderr);
    assert!(
        out.stderr.contains("md5 from md5checksums.txt is not strong enough for --verify require"),
        "{}",
        out.stderr
    );
    server.put("/d/md5checksums.txt", format!("{}  ./file\n", MD5.replace('9', "8")));
    let (place, out) = listed(&[]);
    assert_eq!((out.status, place.file("f")), (3, None), "{}", out.stderr);
    assert!(out.stderr.contains("but md5checksums.txt says"), "{}", out.stderr);
}

#[test]
fn verify_finds_lists_of_every_name_and_form_in_a_folder() {
    for (name, text) in [
        ("md5checksums.txt", format!("{MD5}  ./file\n").into_bytes()),
        ("MD5SUM.txt", format!("file  {MD5}\n").into()),
        ("SHA256SUMS.txt", utf16(&format!("{SHA256}  file\r\n"), false)),
        ("tool_1.0_checksums.txt", format!("sha256:{SHA256}  file\n").into()),
        ("Fedora-40-CHECKSUM", format!("# file: 100000 bytes\nSHA256 (file) = {SHA256}\n").into()),
        ("CHECKSUM", format!("file: SHA256 = {}\n", in_groups(SHA256, "               ")).into()),
        ("file.sha256", utf16(SHA256, true)),
        // The next two lists are outputs of `certutil -hashfile` and of `Get-FileHash > CHECKSUM` on Windows.
        ("sha256sum.txt", format!("SHA256 hash of file:\r\n{SHA256}\r\nCertUtil: done.\r\n").into()),
        (
            "CHECKSUM",
            utf16(
                &format!("Algorithm  Hash  Path\r\n---  ---  ---\r\nSHA256  {SHA256}  .\\file  \r\n"),
                false,
            ),
        ),
    ] {
        let place = Place::new();
        place.write("file", file());
        place.write(name, text);
        let out = place.run(&["verify", "."]);
        let table = String::from_utf8_lossy(&out.stdout).replace('\\', "/");
        assert!(out.status == 0 && table.contains("OK        ./file"), "{name}: {table}{}", out.stderr);
        place.write("file", "damaged");
        assert_eq!(place.run(&["verify", "."]).status, 3, "{name}");
    }
}

#[test]
fn verify_reads_json_lines_and_counts_those_that_it_cannot_read() {
    let place = Place::new();
    place.write("file", file());
    let good = format!("{{\"url\":\"http://h/x\",\"out\":\"file\",\"sha256sum\":\"{SHA256}\"}}\n");
    let bad = "{\"url\":\"http://h/y\",\"out\":\"other\",\"sha256\":\"abc\"}\n";
    place.write("list.jsonl", utf16(&format!("{good}{bad}"), false));
    let out = place.run(&["verify", "list.jsonl"]);
    let table = String::from_utf8_lossy(&out.stdout).into_owned();
    // The file of the other line is not verified, so the exit status is not 0.
    assert!(out.status == 2 && table.starts_with("OK        file  (sha-256 from list.jsonl)"), "{table}");
    assert!(out.stderr.contains("error: 1 line of list.jsonl could not be read (line 2: "), "{}", out.stderr);
    place.write("list.jsonl", format!("{good}{{\"url\":\"http://h/y\",\"out\":\"other\"}}\n"));
    let out = place.run(&["verify", "list.jsonl"]);
    assert!(out.status == 0 && out.stderr.contains("1 line of list.jsonl had no name"), "{}", out.stderr);
    place.write("file", "damaged");
    assert_eq!(place.run(&["verify", "list.jsonl"]).status, 3);
}
