//! What is proven of a file, by whom, and what happens when it is not what it should be: from the outside, with a right
//! and a wrong case for each header, algorithm and form. After a failure the old file is untouched.
//!
//! The digests are of `content("file", 100_000)`, made by other programs (hashlib, zlib, a bitwise CRC).

mod common;

use common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

const SIZE: u64 = 100_000;

const CRC32: (&str, &str) = ("0edf6c4f", "Dt9sTw==");
const CRC32C: (&str, &str) = ("5773e6ed", "V3Pm7Q==");
const CRC64NVME: (&str, &str) = ("b53109cd52c02f0d", "tTEJzVLALw0=");
const MD5: (&str, &str) = ("91d13392c437255988e641e23f82b6c3", "kdEzksQ3JVmI5kHiP4K2ww==");
const SHA1: (&str, &str) = ("4c2303e2b619568377951f13a803035d39d47aed", "TCMD4rYZVoN3lR8TqAMDXTnUeu0=");
const SHA256: (&str, &str) = (
    "f9652068b3dd2c65fdbe6e298a7399c314c4c4272fa5a0220d09ffb8bb8928d4",
    "+WUgaLPdLGX9vm4pinOZwxTExCcvpaAiDQn/uLuJKNQ=",
);
const SHA512: (&str, &str) = (
    "15c8d0345872ad718194aa309b7fd05eac2ac10d263cbc9dbd2366d848c811041822c89820a3507b768f330756c0c15edcd4c7ba762f3239e3854ecab08922fd",
    "FcjQNFhyrXGBlKowm3/QXqwqwQ0mPLydvSNm2EjIEQQYIsiYIKNQe3aPMwdWwMFe3NTHunYvMjnjhU7KsIki/Q==",
);
fn file() -> Vec<u8> {
    content("file", SIZE)
}

/// The URL of the file with these headers.
fn with_headers(server: &Server, headers: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(&server.url(&format!("headers/{SIZE}/file"))).expect("a URL");
    url.query_pairs_mut().extend_pairs(headers);
    url.into()
}

/// Downloads over an old file of the name `f`.
fn over_old(url: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    place.write("f", "old");
    let out = place.run(&[&[url, "-o", "f", "--if-exists", "overwrite"], more].concat());
    (place, out)
}

/// The run failed verification with this, and nothing but the old file is there.
#[track_caller]
fn assert_untouched(place: &Place, out: &Out, says: &str) {
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
    assert_eq!(place.file("f").as_deref(), Some(&b"old"[..]));
    assert!(!place.files().iter().any(|name| name.ends_with(".part")), "{:?}", place.files());
}

/// A digest of the right length that the file does not have.
fn wrong(right: &str) -> String {
    let (head, tail) = right.split_at(1);
    if head == "0" { format!("1{tail}") } else { format!("0{tail}") }
}

#[test]
fn every_header_is_checked() {
    let server = Server::start();
    let structured = |name: &str, digest: &str| format!("{name}=:{digest}:");
    for (header, form, digest, proof) in [
        ("Repr-Digest", "sha-256=:@:", SHA256.1, "sha-256 from Repr-Digest"),
        ("Repr-Digest", "sha-512=:@:", SHA512.1, "sha-512 from Repr-Digest"),
        ("Repr-Digest", "sha=:@:", SHA1.1, "sha-1 from Repr-Digest"),
        ("Content-Digest", "sha-256=:@:", SHA256.1, "sha-256 from Content-Digest"),
        ("Content-Digest", "md5=:@:", MD5.1, "md5 from Content-Digest"),
        ("Digest", "SHA-256=@", SHA256.1, "sha-256 from Digest"),
        ("Digest", "id-sha-512=@", SHA512.1, "sha-512 from Digest"),
        ("Digest", "unixsum=30637, MD5=@", MD5.1, "md5 from Digest"),
        ("Content-MD5", "@", MD5.1, "md5 from Content-MD5"),
        ("X-Checksum-MD5", "@", MD5.0, "md5 from X-Checksum-MD5"),
        ("X-Checksum-SHA1", "@", SHA1.0, "sha-1 from X-Checksum-SHA1"),
        ("X-Checksum-SHA256", "@", SHA256.0, "sha-256 from X-Checksum-SHA256"),
        ("X-Checksum-SHA512", "@", SHA512.0, "sha-512 from X-Checksum-SHA512"),
        ("x-amz-checksum-crc32", "@", CRC32.1, "crc32 from x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32c", "@", CRC32C.1, "crc32c from x-amz-checksum-crc32c"),
        ("x-amz-checksum-crc64nvme", "@", CRC64NVME.1, "crc64nvme from x-amz-checksum-crc64nvme"),
        ("x-amz-checksum-sha1", "@", SHA1.1, "sha-1 from x-amz-checksum-sha1"),
        ("x-amz-checksum-sha256", "@", SHA256.1, "sha-256 from x-amz-checksum-sha256"),
        ("x-goog-hash", "crc32c=@", CRC32C.1, "crc32c from x-goog-hash"),
        ("x-goog-hash", "crc32c=V3Pm7Q==,md5=@", MD5.1, "md5 from x-goog-hash"),
    ] {
        let (place, out) = over_old(&with_headers(&server, &[(header, &form.replace('@', digest))]), &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(proof), "{header}: {}", out.stderr);
        assert!(place.log().contains(proof), "{header}: {}", place.log());

        let (place, out) =
            over_old(&with_headers(&server, &[(header, &form.replace('@', &wrong(digest)))]), &[]);
        assert_untouched(&place, &out, &format!("but {header} says"));
        assert!(place.log().contains("hash mismatch"), "{}", place.log());
    }
    // All that is known is checked; the strongest is what is reported.
    let both = [("Content-MD5", MD5.1), ("Repr-Digest", &structured("sha-256", SHA256.1))];
    let (place, out) = over_old(&with_headers(&server, &both), &[]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("sha-256 from Repr-Digest"), "{}", out.stderr);
    let md5 = wrong(MD5.1);
    let one_wrong = [("Content-MD5", md5.as_str()), ("Repr-Digest", &structured("sha-256", SHA256.1))];
    let (place, out) = over_old(&with_headers(&server, &one_wrong), &[]);
    assert_untouched(&place, &out, "but Content-MD5 says");
}

#[test]
fn what_cannot_be_checked_is_noted_and_proves_nothing() {
    let server = Server::start();
    let crc = format!("crc32c={}", wrong(CRC32C.1));
    for (headers, note) in [
        (vec![("Repr-Digest", "sha-256=abc")], "Repr-Digest is malformed"),
        (vec![("Repr-Digest", "sha-256=:abcd:")], "sha-256 in Repr-Digest is not a digest"),
        (vec![("Content-Digest", "adler=:AAAAAA==:")], "adler in Content-Digest is not a digest"),
        (vec![("Digest", "SHA-256=abc")], "sha-256 in Digest is not a digest"),
        (vec![("Content-MD5", "abc")], "Content-MD5 is not one MD5 digest"),
        (vec![("Content-MD5", MD5.1), ("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")], "Content-MD5 is not one"),
        (vec![("x-amz-checksum-sha256", "AAAA-4")], "not of the file as a whole"),
        (vec![("x-goog-hash", &crc), ("x-goog-stored-content-encoding", "gzip")], "as it is stored"),
        (vec![("x-goog-hash", &crc), ("x-goog-stored-content-length", "99")], "as it is stored"),
    ] {
        let (place, out) = over_old(&with_headers(&server, &headers), &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains("size only") && out.stderr.contains(note), "{headers:?}: {}", out.stderr);
    }
}

#[test]
fn a_digest_survives_a_break() {
    let server = Server::start();
    let digest = format!("sha-256=:{}:", SHA256.1);
    let (place, out) = over_old(&with_headers(&server, &[("break", "1"), ("Repr-Digest", &digest)]), &[]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("sha-256 from Repr-Digest"), "{}", out.stderr);
    assert!(server.requests().last().expect("two").header("range").is_some(), "the second was a part");
}

#[test]
fn what_a_206_says_of_the_whole_counts_too() {
    let server = Server::start();
    for (digest, right) in [(SHA256.1.to_string(), true), (wrong(SHA256.1), false)] {
        let place = Place::new();
        // The first reply is to a request for the end of it.
        place.write("f", &file()[..90_000]);
        let digest = format!("sha-256=:{digest}:");
        let out = place.run(&[&with_headers(&server, &[("Repr-Digest", &digest)]), "-o", "f", "-c"]);
        assert_eq!(out.status, if right { 0 } else { 3 }, "{}", out.stderr);
        let (length, says) =
            if right { (100_000, "sha-256 from Repr-Digest") } else { (90_000, "but Repr-Digest says") };
        assert!(out.stderr.contains(says), "{}", out.stderr);
        assert_eq!(place.file("f").map(|bytes| bytes.len()), Some(length));
    }
    // These may mean the part or the whole.
    let place = Place::new();
    place.write("f", &file()[..90_000]);
    let out =
        place.run(&[&with_headers(&server, &[("X-Checksum-SHA256", &wrong(SHA256.0))]), "-o", "f", "-c"]);
    place.assert_exact(&out, "f", &file());
}
