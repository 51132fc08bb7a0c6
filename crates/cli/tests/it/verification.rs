//! Tests of the verification of files by digests, checksum lists and signatures. There is a right and a wrong
//! case for each header, algorithm and form. After a failure the old file is unchanged.
//!
//! The digests are of `content("file", 100_000)`. Other programs computed them (hashlib, zlib, a bitwise
//! CRC).

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

pub const SIZE: u64 = 100_000;

const CRC32: (&str, &str) = ("0edf6c4f", "Dt9sTw==");
const CRC32C: (&str, &str) = ("5773e6ed", "V3Pm7Q==");
const CRC64NVME: (&str, &str) = ("b53109cd52c02f0d", "tTEJzVLALw0=");
const MD5: (&str, &str) = ("91d13392c437255988e641e23f82b6c3", "kdEzksQ3JVmI5kHiP4K2ww==");
const SHA1: (&str, &str) = ("4c2303e2b619568377951f13a803035d39d47aed", "TCMD4rYZVoN3lR8TqAMDXTnUeu0=");
pub const SHA256: (&str, &str) = (
    "f9652068b3dd2c65fdbe6e298a7399c314c4c4272fa5a0220d09ffb8bb8928d4",
    "+WUgaLPdLGX9vm4pinOZwxTExCcvpaAiDQn/uLuJKNQ=",
);
pub const SHA512: (&str, &str) = (
    "15c8d0345872ad718194aa309b7fd05eac2ac10d263cbc9dbd2366d848c811041822c89820a3507b768f330756c0c15edcd4c7ba762f3239e3854ecab08922fd",
    "FcjQNFhyrXGBlKowm3/QXqwqwQ0mPLydvSNm2EjIEQQYIsiYIKNQe3aPMwdWwMFe3NTHunYvMjnjhU7KsIki/Q==",
);
const SHA384: (&str, &str) = (
    "03ab9245cb41a5c408e51cae093592df0fde4fecbd762b0b6e162260974de69b62a8e7a5939b15bf64590477c31d66e3",
    "A6uSRctBpcQI5RyuCTWS3w/eT+y9disLbhYiYJdN5ptiqOelk5sVv2RZBHfDHWbj",
);
const BLAKE2B: (&str, &str) = (
    "efa1d1fd4f5cf5bb0e34fbc59209cefd6c4b75a142c202703a6968ba6ba4ba0842a3ef0a8e3289b393d50b6d01af30facb8726869f78f28d700376edb3e5ab5c",
    "76HR/U9c9bsONPvFkgnO/WxLdaFCwgJwOmloumukughCo+8KjjKJs5PVC20BrzD6y4cmhp948o1wA3bts+WrXA==",
);

pub fn file() -> Vec<u8> {
    content("file", SIZE)
}

/// Returns a URL whose response has the file and these headers.
fn with_headers(server: &Server, headers: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(&server.url(&format!("headers/{SIZE}/file"))).expect("a URL");
    url.query_pairs_mut().extend_pairs(headers);
    url.into()
}

/// Downloads a file, which may replace an old file `f`.
pub fn over_old(url: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    place.write("f", "old");
    let out = place.run(&[&[url, "-o", "f", "--if-exists", "overwrite"], more].concat());
    (place, out)
}

/// Asserts that verification failed with this message, that the old file is unchanged, and that no partial
/// file is left.
#[track_caller]
pub fn assert_untouched(place: &Place, out: &Out, says: &str) {
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
    assert_eq!(place.file("f").as_deref(), Some(&b"old"[..]));
    assert!(!place.files().iter().any(|name| name.ends_with(".part")), "{:?}", place.files());
}

/// Returns a wrong digest of the same length.
pub fn wrong(right: &str) -> String {
    let (head, tail) = right.split_at(1);
    if head == "0" { format!("1{tail}") } else { format!("0{tail}") }
}

#[test]
fn every_digest_header_is_verified() {
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
    // Every known digest is verified, and the strongest one is reported.
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
fn unusable_digests_become_notes_and_verify_nothing() {
    let server = Server::start();
    let crc = format!("crc32c={}", wrong(CRC32C.1));
    for (headers, note) in [
        (vec![("Repr-Digest", "sha-256=abc")], "sha-256 in Repr-Digest is not a digest"),
        (vec![("Repr-Digest", "sha-256=:abcd:")], "sha-256 in Repr-Digest is not a digest"),
        (vec![("Content-Digest", "adler=:AAAAAA==:")], "adler in Content-Digest is not a digest"),
        (vec![("Digest", "SHA-256=abc")], "sha-256 in Digest is not a digest"),
        (vec![("Content-MD5", "abc")], "Content-MD5 does not have exactly one valid MD5 digest"),
        (
            vec![("Content-MD5", MD5.1), ("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")],
            "Content-MD5 does not have exactly one valid",
        ),
        (vec![("x-amz-checksum-sha256", "AAAA-4")], "does not belong to the whole file"),
        (vec![("x-goog-hash", &crc), ("x-goog-stored-content-encoding", "gzip")], "as it is stored"),
        (vec![("x-goog-hash", &crc), ("x-goog-stored-content-length", "99")], "as it is stored"),
    ] {
        let (place, out) = over_old(&with_headers(&server, &headers), &[]);
        place.assert_exact(&out, "f", &file());
        assert!(
            out.stderr.contains("not verified (size matches)") && out.stderr.contains(note),
            "{headers:?}: {}",
            out.stderr
        );
    }
}

#[test]
fn a_digest_is_verified_after_an_interruption() {
    let server = Server::start();
    let digest = format!("sha-256=:{}:", SHA256.1);
    let (place, out) = over_old(&with_headers(&server, &[("break", "1"), ("Repr-Digest", &digest)]), &[]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("sha-256 from Repr-Digest"), "{}", out.stderr);
    assert!(server.requests().last().expect("two").header("range").is_some(), "the second was a part");
}

#[test]
fn the_digest_of_the_whole_file_in_a_206_is_used() {
    let server = Server::start();
    for (digest, right) in [(SHA256.1.to_string(), true), (wrong(SHA256.1), false)] {
        let place = Place::new();
        // The first request is for the end of the file.
        place.write("f", &file()[..90_000]);
        let digest = format!("sha-256=:{digest}:");
        let out = place.run(&[&with_headers(&server, &[("Repr-Digest", &digest)]), "-o", "f", "-c"]);
        assert_eq!(out.status, if right { 0 } else { 3 }, "{}", out.stderr);
        let (length, says) =
            if right { (100_000, "sha-256 from Repr-Digest") } else { (90_000, "but Repr-Digest says") };
        assert!(out.stderr.contains(says), "{}", out.stderr);
        assert_eq!(place.file("f").map(|bytes| bytes.len()), Some(length));
    }
    // The digest in this header may belong to the range or to the whole file. So it is not used.
    let place = Place::new();
    place.write("f", &file()[..90_000]);
    let out =
        place.run(&[&with_headers(&server, &[("X-Checksum-SHA256", &wrong(SHA256.0))]), "-o", "f", "-c"]);
    place.assert_exact(&out, "f", &file());
}

/// Puts the file at `/d/file` and returns its URL.
pub fn put_file(server: &Server) -> String {
    server.put("/d/file", file())
}

#[test]
fn a_given_digest_is_verified() {
    let server = Server::start();
    let url = put_file(&server);
    for (algorithm, digest, name) in [
        ("crc32c", CRC32C.0, "crc32c"),
        ("md5", MD5.0, "md5"),
        ("sha1", SHA1.0, "sha-1"),
        ("SHA-256", SHA256.0, "sha-256"),
        ("sha384", SHA384.0, "sha-384"),
        ("sha512", SHA512.0, "sha-512"),
        ("blake2b", BLAKE2B.0, "blake2b"),
    ] {
        let (place, out) = over_old(&url, &["--checksum", &format!("{algorithm}:{digest}")]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(&format!("{name} from --checksum")), "{}", out.stderr);
        let (place, out) = over_old(&url, &["--checksum", &format!("{algorithm}:{}", wrong(digest))]);
        assert_untouched(&place, &out, "but --checksum says");
    }
    let empty = server.put("/d/empty", "");
    // The digest of an empty file, as b3sum prints it.
    let blake3 = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    let (place, out) = over_old(&empty, &["--checksum", blake3]);
    place.assert_exact(&out, "f", b"");
    let (place, out) = over_old(&url, &["--checksum", blake3]);
    assert_untouched(&place, &out, "but --checksum says");
    for (args, says) in [
        (&[url.as_str(), "--checksum", "sha256:00"][..], "needs 64 hexadecimal digits"),
        (&[&url, "--checksum", "sha3:00"], "must be one of crc32"),
        (&[&url, &empty, "--checksum", blake3], "--checksum is for a single URL"),
        (&[&url, "--checksum", blake3, "--verify", "off"], "--verify off"),
    ] {
        let out = Place::new().run(args);
        assert!(out.status == 2 && out.stderr.contains(says), "{says}: {}", out.stderr);
    }
}

#[test]
fn digests_in_json_lines_are_verified() {
    let server = Server::start();
    let url = put_file(&server);
    for (key, digest) in [
        ("md5", MD5.0.to_string()),
        ("sha512", SHA512.0.to_string()),
        ("crc32", CRC32.0.to_string()),
        ("crc64nvme", CRC64NVME.0.to_string()),
        ("checksum", format!("sha384:{}", SHA384.0)),
    ] {
        let place = Place::new();
        place.write("list", format!("{{\"url\":\"{url}\",\"out\":\"f\",\"{key}\":\"{digest}\"}}\n"));
        let out = place.run(&["-i", "list"]);
        assert!(out.status == 0 && out.stderr.contains("from the list"), "{key}: {}", out.stderr);
        let digest =
            format!("{}{}", &digest[..digest.len() - 1], if digest.ends_with('0') { '1' } else { '0' });
        place.write("list", format!("{{\"url\":\"{url}\",\"out\":\"g\",\"{key}\":\"{digest}\"}}\n"));
        let out = place.run(&["-i", "list"]);
        assert_eq!((out.status, place.file("g")), (3, None), "{key}: {}", out.stderr);
    }
}

#[test]
fn checksum_lists_of_every_form_are_verified() {
    let server = Server::start();
    let url = put_file(&server);
    let put = |name: &str, text: &str| server.put(&format!("/lists/{name}"), text);
    for (name, form, digest) in [
        ("SHA256SUMS", "@  file\n", SHA256.0),
        ("SHA256SUMS", "noise\n0000 x\n@ *./d/file\r\n", SHA256.0),
        ("sums", "\u{feff}@  file", SHA256.0),
        ("sums", "SHA256 (file) = @\n", SHA256.0),
        ("sums", "SHA2-512(file)= @\n", SHA512.0),
        ("SHA384SUMS", "@  file\n", SHA384.0),
        ("SHA512SUMS", "@  file\n", SHA512.0),
        ("SHA1SUMS", "@  file\n", SHA1.0),
        ("MD5SUMS", "@  file\n", MD5.0),
        ("B2SUMS", "@  file\n", BLAKE2B.0),
        ("sums", "BLAKE2b (file) = @\n", BLAKE2B.0),
    ] {
        let (right, bad) = (form.replace('@', digest), form.replace('@', &wrong(digest)));
        let place = Place::new();
        place.write(name, &right);
        let out = place.run(&[&url, "--checksum-file", name]);
        place.assert_exact(&out, "file", &file());
        assert!(out.stderr.contains(&format!(" from {name}\n")), "{form}: {}", out.stderr);
        let (place, out) = over_old(&url, &["--checksum-file", &put(name, &right)]);
        place.assert_exact(&out, "f", &file());
        let (place, out) = over_old(&url, &["--checksum-file", &put(name, &bad)]);
        assert_untouched(&place, &out, &format!("but {name} says"));
    }
    let odd = server.put("/d/a%5Cb", file());
    let place = Place::new();
    place.write("SUMS", format!("\\{}  a\\\\b\n", SHA256.0));
    let out = place.run(&[&odd, "-o", "f", "--checksum-file", "SUMS"]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("sha-256 from SUMS"), "{}", out.stderr);
}

#[test]
fn a_list_that_does_not_name_the_file_or_cannot_be_fetched_is_an_error() {
    let server = Server::start();
    let url = put_file(&server);
    let place = Place::new();
    place.write("SUMS", format!("{}  another\n", SHA256.0));
    let out = place.run(&[&url, "-o", "f", "--checksum-file", "SUMS"]);
    place.assert_exact(&out, "f", &file());
    assert!(
        out.stderr.contains("not verified (size matches)")
            && out.stderr.contains("SUMS does not name the file"),
        "{}",
        out.stderr
    );
    // With `-q`, the warning has the path, because there is no other line about the file.
    let out = place.run(&[&url, "-o", "quiet", "--checksum-file", "SUMS", "-q"]);
    place.assert_exact(&out, "quiet", &file());
    let warning = "warning: ./quiet: SUMS does not name the file";
    assert!(out.stderr.contains(warning) && out.stderr.lines().count() == 1, "{}", out.stderr);
    let before = server.requests_for("/d/file").len();
    let out = place.run(&[&url, "-o", "g", "--checksum-file", "SUMS", "--verify", "require"]);
    assert_eq!((out.status, place.file("g")), (3, None), "{}", out.stderr);
    assert!(out.stderr.contains("SUMS does not name the file"), "{}", out.stderr);
    assert_eq!(
        server.requests_for("/d/file").len(),
        before + 1,
        "one request, because a redirect could have led to a name that the list has"
    );
    let out = place.run(&[&url, "-o", "g", "--checksum-file", &server.url("lists/none")]);
    assert_eq!((out.status, place.file("g")), (1, None), "{}", out.stderr);
    assert!(
        out.stderr.contains("the checksum list could not be fetched or used: the server has no such file"),
        "{}",
        out.stderr
    );
    place.write("empty", "nothing here\n");
    for (list, says) in [
        ("empty", "no line of empty has a digest"),
        ("none", "none cannot be read"),
        ("ftp://h/x", "only http"),
    ] {
        let out = place.run(&[&url, "-o", "g", "--checksum-file", list]);
        assert!(out.status == 2 && out.stderr.contains(says), "{says}: {}", out.stderr);
    }
    let long = server.put("/lists/long", vec![b'x'; 17 * 1024 * 1024]);
    let out = place.run(&[&url, "-o", "g", "--checksum-file", &long]);
    assert!(out.status == 1 && out.stderr.contains("it has more than 16 MiB"), "{}", out.stderr);
    let out = place.run(&["-i", &long]);
    assert!(out.status == 1 && out.stderr.contains("it has more than 16 MiB"), "{}", out.stderr);
    assert!(!out.stderr.contains("not valid HTTP"), "{}", out.stderr);
}

#[test]
fn a_list_is_fetched_once_and_names_are_found_in_many_ways() {
    let server = Server::start();
    let sums =
        server.put("/lists/SHA256SUMS", format!("{0}  file\n{0}  served.bin\n{0}  sub/mine\n", SHA256.0));
    let named = format!("named/{SIZE}/file?disposition=attachment%3B%20filename%3Dserved.bin");
    let urls = [server.put("/d/file", file()), server.url(&named)];
    let place = Place::new();
    let other = server.put("/d/other", file());
    place.write("list", format!("{}\n{}\n{other} sub/mine\n", urls[0], urls[1]));
    let out = place.run(&["-i", "list", "--checksum-file", &sums, "--verify", "require"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(out.stderr.matches("sha-256 from SHA256SUMS").count(), 3, "{}", out.stderr);
    assert_eq!(server.requests_for("/lists/SHA256SUMS").len(), 1);
}

#[test]
fn digests_are_found_beside_the_file() {
    for (name, text, from) in [
        ("SHA256SUMS", format!("{}  file\n", SHA256.0), "sha-256 from SHA256SUMS"),
        ("SHA512SUMS", format!("{}  file\n", SHA512.0), "sha-512 from SHA512SUMS"),
        ("checksums.txt", format!("SHA256 (file) = {}\n", SHA256.0), "sha-256 from checksums.txt"),
        ("file.sha256", format!("{}  file\n", SHA256.0), "sha-256 from file.sha256"),
        ("file.sha256", format!("{}\n", SHA256.0), "sha-256 from file.sha256"),
        ("file.sha512", format!("{}\n", SHA512.0), "sha-512 from file.sha512"),
    ] {
        let server = Server::start();
        let url = put_file(&server) + "?x=1";
        server.put(&format!("/d/{name}"), text.as_str());
        let (place, out) = over_old(&url, &["--verify", "find"]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(from), "{name}: {}", out.stderr);
        let digest = text.split([' ', '\n']).find(|word| word.len() >= 64).expect("a digest");
        server.put(&format!("/d/{name}"), text.replace(digest, &wrong(digest)));
        let (place, out) = over_old(&url, &["--verify", "find"]);
        assert_untouched(&place, &out, &format!("but {name} says"));
    }
    // The list does not name the file, it is not a list, or (by default) the run looks for no list.
    for (name, text, more) in [
        ("file.sha512", format!("{}  another\n", wrong(SHA512.0)), &["--verify", "find"][..]),
        ("SHA256SUMS", "<!doctype html><p>not found".into(), &["--verify", "find"]),
        ("SHA256SUMS", format!("{}  file\n", SHA256.0), &[]),
    ] {
        let server = Server::start();
        let url = put_file(&server) + "?x=1";
        server.put(&format!("/d/{name}"), text);
        let (place, out) = over_old(&url, more);
        place.assert_exact(&out, "f", &file());
        assert!(!out.stderr.contains(&format!("from {name}")), "{name}: {}", out.stderr);
        let asked = !server.requests_for(name).is_empty();
        assert_eq!(asked, !more.is_empty(), "a list beside the file is fetched only with --verify find");
    }
    let server = Server::start();
    let urls: Vec<String> = (0..5).map(|n| server.put(&format!("/d/file{n}"), file())).collect();
    server.put("/d/SHA256SUMS", (0..5).map(|n| format!("{}  file{n}\n", SHA256.0)).collect::<String>());
    let place = Place::new();
    let out = place.run(&[&urls.join(","), "--verify", "find", "-j5"]);
    assert_eq!(out.stderr.matches("sha-256 from SHA256SUMS").count(), 5, "{}", out.stderr);
    assert_eq!(
        server.requests_for("SUMS").len(),
        1,
        "once for the folder, and no list after the one that names them"
    );
}

#[test]
fn the_options_verify_require_and_verify_off_are_obeyed() {
    let server = Server::start();
    let strong = format!("sha-256=:{}:", SHA256.1);
    let (place, out) =
        over_old(&with_headers(&server, &[("Repr-Digest", &strong)]), &["--verify", "require"]);
    place.assert_exact(&out, "f", &file());
    for headers in [vec![("Content-MD5", MD5.1)], vec![("Repr-Digest", "sha-256=abc")], vec![]] {
        let (place, out) = over_old(&with_headers(&server, &headers), &["--verify", "require"]);
        assert_untouched(&place, &out, "no strong digest is known");
        assert!(place.log().contains("[digest.missing]"), "{headers:?}: {}", place.log());
    }
    // Lists beside the file are used too.
    let url = put_file(&server);
    server.put("/d/SHA256SUMS", format!("{}  file\n", SHA256.0));
    let (place, out) = over_old(&url, &["--verify", "require"]);
    place.assert_exact(&out, "f", &file());
    let (place, out) =
        over_old(&with_headers(&server, &[("Content-MD5", &wrong(MD5.1))]), &["--verify", "off"]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("not verified (size matches)"), "{}", out.stderr);
}

#[test]
fn an_existing_file_is_verified_too() {
    let server = Server::start();
    let url = put_file(&server);
    let right = format!("sha256:{}", SHA256.0);
    let place = Place::new();
    place.write("f", file());
    let out = place.run(&[&url, "-o", "f", "--checksum", &right]);
    assert!(
        out.status == 0 && out.stderr.contains("already exists, sha-256 from --checksum"),
        "{}",
        out.stderr
    );
    assert!(server.requests().is_empty(), "nothing was asked of the server");
    place.write("f", "old");
    place.write("SUMS", format!("{}  f\n", SHA256.0));
    for proof in [["--checksum", right.as_str()], ["--checksum-file", "SUMS"]] {
        let out = place.run(&[&[url.as_str(), "-o", "f"], &proof[..]].concat());
        assert_untouched(&place, &out, "the existing file does not match");
        assert!(out.stderr.contains("--if-exists overwrite"), "{}", out.stderr);
    }
    let out = place.run(&[&url, "-o", "f", "--checksum", &right, "--if-exists", "update"]);
    place.assert_exact(&out, "f", &file());
}

#[test]
fn no_command_is_suggested_that_would_fail_to_verify_an_existing_file_again() {
    let server = Server::start();
    let url = put_file(&server);
    let key = downhaul_testkit::minisign::Signer::new(1).key();
    for (how, helps) in [
        (["--verify", "require"], "Give a digest with --checksum or --checksum-file."),
        (["--verify", "listed"], "Give a list with --checksum-file"),
        (["--signed-by", key.as_str()], "There must be a signature for this kind of key"),
        (["--checksum", wrong_digest().as_str()], "--if-exists overwrite"),
    ] {
        let place = Place::new();
        place.write("f", file());
        let out = place.run(&[&[url.as_str(), "-o", "f"], &how[..]].concat());
        assert_eq!(out.status, 3, "{how:?}: {}", out.stderr);
        assert!(
            !out.stderr.contains("To resume") && !out.stderr.contains("To try again"),
            "{how:?}: {}",
            out.stderr
        );
        assert!(out.stderr.contains(helps), "{how:?}: {}", out.stderr);
    }
}

fn wrong_digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}
