//! Tests that digests in JSON lines, in URLs and in checksum lists are used, or that the user is told why
//! they are not used.

use crate::common::{Out, Place};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};

const SIZE: u64 = 10_000;

/// A digest that no file of these tests has.
const WRONG: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn file() -> Vec<u8> {
    content("file", SIZE)
}

fn url(server: &Server) -> String {
    server.url(&format!("well_behaved/{SIZE}/file"))
}

/// Downloads the file of one line of a list. `keys` are the keys besides the URL.
fn with_keys(server: &Server, keys: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    place.write("list", format!("{{\"url\":\"{}\",\"out\":\"f\",{keys}}}\n", url(server)));
    let out = place.run(&[&["-i", "list", "--retries", "0"][..], more].concat());
    std::fs::remove_file(place.path().join("list")).expect("removes");
    (place, out)
}

#[test]
fn digests_in_json_lines_are_used_in_every_form() {
    let server = Server::start();
    let right = sha256(&file());
    for keys in [
        r#""digests":{"blake2b_256":"ab","sha256":"HEX"}"#,
        r#""hashes":{"sha256":"HEX"}"#,
        r#""hashes":{"sha256":["HEX"]}"#,
        r#""hashes":[{"algorithm":"sha256","value":"HEX"}]"#,
        r#""checksums":["sha256:HEX"]"#,
        r#""checksum":{"type":"sha256","digest":"HEX"}"#,
    ] {
        let (place, out) = with_keys(&server, &keys.replace("HEX", &right), &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains("sha-256 from the list"), "{}", out.stderr);
        let (place, out) = with_keys(&server, &keys.replace("HEX", WRONG), &[]);
        place.assert_failed(&out, 3, "the content does not match its digest");
    }
    for (keys, says) in [
        (
            r#""digests":{"blake2b_256":"ab"}"#,
            "the list has `digests.blake2b_256`, which downhaul cannot verify",
        ),
        (
            r#""sha":"0123456789012345678901234567890123456789""#,
            "the list has `sha`, which downhaul cannot verify",
        ),
    ] {
        let (place, out) = with_keys(&server, keys, &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(says), "{}", out.stderr);
    }
}

#[test]
fn unchecked_digests_are_reported() {
    let server = Server::start();
    let says = "digests were given with the URLs, but --verify off means that no file is verified";
    let place = Place::new();
    let wrong = format!("{}#sha256={WRONG}", url(&server));
    let out = place.run(&[&wrong, "-o", "f", "--verify", "off"]);
    place.assert_exact(&out, "f", &file());
    assert_eq!(out.stderr.matches(says).count(), 1, "{}", out.stderr);

    let lines = format!("{wrong}\ta\n{wrong}\tb\n");
    place.write("list", &lines);
    for input in ["list", "-"] {
        let args = ["-i", input, "--verify", "off", "--if-exists", "overwrite"];
        let out = place.run_with(&args, lines.as_bytes());
        assert_eq!((out.status, out.stderr.matches(says).count()), (0, 1), "{}", out.stderr);
    }
    // Forty hexadecimal digits may be the hash of a commit.
    let place = Place::new();
    let out = place.run(&[&format!("{}#{}", url(&server), "ab".repeat(20)), "-o", "f"]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("may be the hash of a commit"), "{}", out.stderr);
    // Forty digits in the URL of a mirror may be the hash of a commit, too.
    let place = Place::new();
    place.write("list", format!("{0}\t{0}?2#{1} f\n", url(&server), "ab".repeat(20)));
    let out = place.run(&["-i", "list"]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("may be the hash of a commit"), "{}", out.stderr);
}

#[test]
fn blanks_and_backslashes_in_a_checksum_list_do_not_let_a_wrong_file_pass() {
    let server = Server::start();
    let right = sha256(&file());
    for line in [
        "HEX  file ",
        "HEX  file\t",
        "HEX  file \r",
        "  HEX  file",
        "HEX *dist\\file",
        " SHA256 (file) = HEX ",
    ] {
        for (digest, status) in [(right.as_str(), 0), (WRONG, 3)] {
            let place = Place::new();
            place.write("d/SUMS", format!("{}\n", line.replace("HEX", digest)));
            let out = place.run(&[&url(&server), "--checksum-file", "d/SUMS", "--retries", "0"]);
            assert_eq!(out.status, status, "{line:?}: {}", out.stderr);
            assert_eq!(place.file("file").is_some(), status == 0, "{line:?}");
            if status == 0 {
                std::fs::create_dir(place.path().join("dist")).expect("a folder");
                place.write("dist/file", file());
                let verified = place.run(&["verify", "d/SUMS", "-d", "."]);
                assert_eq!(verified.status, 0, "{line:?}: {}", verified.stderr);
            }
        }
    }
}

#[test]
fn a_line_that_names_the_file_and_cannot_be_read_is_a_failure() {
    let server = Server::start();
    let other = format!("{WRONG}  another\n");
    for line in [
        format!("| file | {WRONG} |"),
        format!("{}  file", &WRONG[1..]),
        format!("SHA3-256 (file) = {WRONG}"),
    ] {
        let place = Place::new();
        place.write("d/SUMS", format!("{other}{line}\n"));
        let out = place.run(&[&url(&server), "--checksum-file", "d/SUMS", "--retries", "0"]);
        assert_eq!((out.status, place.file("file")), (3, None), "{line}: {}", out.stderr);
        assert!(
            out.stderr.contains("a line of SUMS seems to name the file, but cannot be read"),
            "{}",
            out.stderr
        );
        // Another known digest is enough.
        let digest = sha256(&file());
        let out = place.run(&[&url(&server), "--checksum-file", "d/SUMS", "--checksum", &digest]);
        assert_eq!(out.status, 0, "{line}: {}", out.stderr);
    }
}
