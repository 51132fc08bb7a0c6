//! Verification of files by digests, checksum lists and signatures, with a right and a wrong case for each
//! header, algorithm and form. After a failure the old file is unchanged.
//!
//! The digests are of `content("file", 100_000)`. Other programs computed them (hashlib, zlib, a bitwise
//! CRC).

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::minisign::Signer;
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
const SHA384: (&str, &str) = (
    "03ab9245cb41a5c408e51cae093592df0fde4fecbd762b0b6e162260974de69b62a8e7a5939b15bf64590477c31d66e3",
    "A6uSRctBpcQI5RyuCTWS3w/eT+y9disLbhYiYJdN5ptiqOelk5sVv2RZBHfDHWbj",
);
const BLAKE2B: (&str, &str) = (
    "efa1d1fd4f5cf5bb0e34fbc59209cefd6c4b75a142c202703a6968ba6ba4ba0842a3ef0a8e3289b393d50b6d01af30facb8726869f78f28d700376edb3e5ab5c",
    "76HR/U9c9bsONPvFkgnO/WxLdaFCwgJwOmloumukughCo+8KjjKJs5PVC20BrzD6y4cmhp948o1wA3bts+WrXA==",
);

fn file() -> Vec<u8> {
    content("file", SIZE)
}

/// Returns the URL of the file with these headers.
fn with_headers(server: &Server, headers: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(&server.url(&format!("headers/{SIZE}/file"))).expect("a URL");
    url.query_pairs_mut().extend_pairs(headers);
    url.into()
}

/// Downloads over an old file `f`.
fn over_old(url: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    place.write("f", "old");
    let out = place.run(&[&[url, "-o", "f", "--if-exists", "overwrite"], more].concat());
    (place, out)
}

/// Asserts that verification failed with this message, and that only the old file is there.
#[track_caller]
fn assert_untouched(place: &Place, out: &Out, says: &str) {
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
    assert_eq!(place.file("f").as_deref(), Some(&b"old"[..]));
    assert!(!place.files().iter().any(|name| name.ends_with(".part")), "{:?}", place.files());
}

/// Returns a wrong digest of the same length.
fn wrong(right: &str) -> String {
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
fn digests_that_cannot_be_used_are_noted_and_verify_nothing() {
    let server = Server::start();
    let crc = format!("crc32c={}", wrong(CRC32C.1));
    for (headers, note) in [
        (vec![("Repr-Digest", "sha-256=abc")], "sha-256 in Repr-Digest is not a digest"),
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
fn a_206_with_a_digest_of_the_whole_file_counts() {
    let server = Server::start();
    for (digest, right) in [(SHA256.1.to_string(), true), (wrong(SHA256.1), false)] {
        let place = Place::new();
        // The first response is to a request for the end of the file.
        place.write("f", &file()[..90_000]);
        let digest = format!("sha-256=:{digest}:");
        let out = place.run(&[&with_headers(&server, &[("Repr-Digest", &digest)]), "-o", "f", "-c"]);
        assert_eq!(out.status, if right { 0 } else { 3 }, "{}", out.stderr);
        let (length, says) =
            if right { (100_000, "sha-256 from Repr-Digest") } else { (90_000, "but Repr-Digest says") };
        assert!(out.stderr.contains(says), "{}", out.stderr);
        assert_eq!(place.file("f").map(|bytes| bytes.len()), Some(length));
    }
    // These headers may mean the range or the whole file.
    let place = Place::new();
    place.write("f", &file()[..90_000]);
    let out =
        place.run(&[&with_headers(&server, &[("X-Checksum-SHA256", &wrong(SHA256.0))]), "-o", "f", "-c"]);
    place.assert_exact(&out, "f", &file());
}

/// Puts the file at `/d/file` and returns its URL.
fn put_file(server: &Server) -> String {
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
fn digests_in_json_lines() {
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
fn checksum_lists_of_every_form() {
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
fn a_list_that_does_not_name_the_file_or_cannot_be_fetched() {
    let server = Server::start();
    let url = put_file(&server);
    let place = Place::new();
    place.write("SUMS", format!("{}  another\n", SHA256.0));
    let out = place.run(&[&url, "-o", "f", "--checksum-file", "SUMS"]);
    place.assert_exact(&out, "f", &file());
    assert!(
        out.stderr.contains("not verified (size matches)") && out.stderr.contains("SUMS does not name it"),
        "{}",
        out.stderr
    );
    let before = server.requests_for("/d/file").len();
    let out = place.run(&[&url, "-o", "g", "--checksum-file", "SUMS", "--verify", "require"]);
    assert_eq!((out.status, place.file("g")), (3, None), "{}", out.stderr);
    assert!(out.stderr.contains("SUMS does not name it"), "{}", out.stderr);
    assert_eq!(
        server.requests_for("/d/file").len(),
        before,
        "nothing was fetched that would have been thrown away"
    );
    let out = place.run(&[&url, "-o", "g", "--checksum-file", &server.url("lists/none")]);
    assert_eq!((out.status, place.file("g")), (1, None), "{}", out.stderr);
    assert!(out.stderr.contains("the checksum list could not be fetched: it is not there"), "{}", out.stderr);
    place.write("empty", "nothing here\n");
    for (list, says) in [
        ("empty", "no line of empty is a digest"),
        ("none", "none cannot be read"),
        ("ftp://h/x", "only http"),
    ] {
        let out = place.run(&[&url, "-o", "g", "--checksum-file", list]);
        assert!(out.status == 2 && out.stderr.contains(says), "{says}: {}", out.stderr);
    }
    let long = server.put("/lists/long", vec![b'x'; 17 * 1024 * 1024]);
    let out = place.run(&[&url, "-o", "g", "--checksum-file", &long]);
    assert!(out.status == 1 && out.stderr.contains("longer than anything"), "{}", out.stderr);
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
    // Lists that say nothing about the file, and no list, which is the default.
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
fn verify_require_and_verify_off() {
    let server = Server::start();
    let strong = format!("sha-256=:{}:", SHA256.1);
    let (place, out) =
        over_old(&with_headers(&server, &[("Repr-Digest", &strong)]), &["--verify", "require"]);
    place.assert_exact(&out, "f", &file());
    for headers in [vec![("Content-MD5", MD5.1)], vec![("Repr-Digest", "sha-256=abc")], vec![]] {
        let (place, out) = over_old(&with_headers(&server, &headers), &["--verify", "require"]);
        assert_untouched(&place, &out, "no strong checksum is known");
        assert!(place.log().contains("[digest.missing]"), "{headers:?}: {}", place.log());
    }
    // Lists beside the file are looked for too.
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
        assert_untouched(&place, &out, "already there is not what");
        assert!(out.stderr.contains("--if-exists overwrite"), "{}", out.stderr);
    }
    let out = place.run(&[&url, "-o", "f", "--checksum", &right, "--if-exists", "update"]);
    place.assert_exact(&out, "f", &file());
}

#[test]
fn signatures_of_files() {
    let (server, signer) = (Server::start(), Signer::new(1));
    let url = put_file(&server);
    let key = signer.key();
    let over_signed = |key: &str| over_old(&url, &["--signed-by", key]);
    let (place, out) = over_signed(&key);
    assert_untouched(&place, &out, "there is no signature");
    assert!(out.stderr.contains("/d/file.minisig"), "{}", out.stderr);
    server.put("/d/file.minisig", signer.sign(&file()));
    let (place, out) = over_signed(&key);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("signed by 0101010101010101"), "{}", out.stderr);
    assert!(place.log().contains("signed by 0101010101010101"), "{}", place.log());
    place.write("author.pub", signer.key_file());
    let out = place.run(&[&url, "-o", "f", "--signed-by", "author.pub"]);
    assert!(out.stderr.contains("already exists, signed by 0101010101010101"), "{}", out.stderr);
    place.write("f", "old");
    let out = place.run(&[&url, "-o", "f", "--signed-by", "author.pub"]);
    assert_untouched(&place, &out, "the content is not what was signed");
    let piped = place.run(&[&url, "-o", "-", "--signed-by", &key]);
    assert!(piped.status == 0 && piped.stdout == file(), "{}", piped.stderr);

    for (signature, says) in [
        (signer.sign(b"another file"), "the content is not what was signed"),
        (signer.sign(&file()).replace("timestamp:1", "timestamp:2"), "its comment is not what was signed"),
        (Signer::new(2).sign(&file()), "by another key than 0101010101010101"),
        (signer.sign_as_of_old(&file()), "minisign's old form"),
        ("noise".into(), "not a minisign signature"),
    ] {
        server.put("/d/file.minisig", signature);
        let (place, out) = over_signed(&key);
        assert_untouched(&place, &out, says);
        assert!(place.log().contains("[signature.wrong]"), "{}", place.log());
    }
    let out = place.run(&[&url, "--signed-by", "neither key nor file"]);
    assert!(out.status == 2 && out.stderr.contains("it is not a minisign key"), "{}", out.stderr);
}

#[cfg(not(feature = "openpgp"))]
#[test]
fn an_openpgp_key_needs_a_build_that_has_it() {
    for name in ["author.asc", "author.gpg"] {
        let key = format!("{}/tests/openpgp/{name}", env!("CARGO_MANIFEST_DIR"));
        let out = Place::new().run(&["http://127.0.0.1:9/x", "--signed-by", &key]);
        assert!(out.status == 2 && out.stderr.contains("which this build does not have"), "{}", out.stderr);
    }
}

#[test]
fn signatures_of_lists() {
    let (server, signer) = (Server::start(), Signer::new(1));
    let url = put_file(&server);
    let sums = format!("{}  file\n", SHA256.0);
    let list = server.put("/d/SHA256SUMS", sums.as_str());
    let proof = "sha-256 from SHA256SUMS, signed by 0101010101010101";
    for signature in [signer.sign(sums.as_bytes()), signer.sign_as_of_old(sums.as_bytes())] {
        server.put("/d/SHA256SUMS.minisig", signature.as_str());
        for how in [["--checksum-file", list.as_str()], ["--verify", "find"]] {
            let (place, out) = over_old(&url, &[&["--signed-by", &signer.key()], &how[..]].concat());
            place.assert_exact(&out, "f", &file());
            assert!(out.stderr.contains(proof), "{}", out.stderr);
        }
        let place = Place::new();
        place.write("SHA256SUMS", &sums);
        place.write("SHA256SUMS.minisig", signature);
        let out = place.run(&[&url, "--checksum-file", "SHA256SUMS", "--signed-by", &signer.key()]);
        assert!(out.status == 0 && out.stderr.contains(proof), "{}", out.stderr);
    }
    // The list is signed, and has another digest.
    let bad = format!("{}  file\n", wrong(SHA256.0));
    server.put("/d/SHA256SUMS", bad.as_str());
    let signed = |args: &[&str]| over_old(&url, &[&["--signed-by", &signer.key()], args].concat());
    let (place, out) = signed(&["--checksum-file", &list]);
    assert_untouched(&place, &out, "the content is not what was signed");
    let (place, out) = signed(&["--verify", "find"]);
    assert_untouched(&place, &out, "the content is not what was signed");
    server.put("/d/SHA256SUMS.minisig", signer.sign(bad.as_bytes()));
    let (place, out) = signed(&["--checksum-file", &list]);
    assert_untouched(&place, &out, "but SHA256SUMS, signed by 0101010101010101 says");
    // A list without a signature does not count. A signature of the file itself would.
    let plain = server.put("/lists/SHA256SUMS", sums.as_str());
    let (place, out) = signed(&["--checksum-file", &plain]);
    assert_untouched(&place, &out, "there is no signature: of the file or of its list");
    server.put("/d/file.minisig", signer.sign(&file()));
    let (place, out) = signed(&["--checksum-file", &plain]);
    place.assert_exact(&out, "f", &file());
}

#[test]
fn a_lock_file_reproduces_a_set_exactly_or_fails() {
    let server = Server::start();
    let redirected =
        server.url(&format!("redirect/1/x?to={}", server.url(&format!("well_behaved/{SIZE}/file"))));
    let place = Place::new();
    let list = format!("{}\n{redirected} sub/b\n", server.put("/d/file", file()) + "?id=1&token=abc#x");
    place.write("list", &list);
    let out = place.run(&["-i", "list", "-d", "first", "--record", "set.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let record = String::from_utf8(place.file("set.lock").expect("a record")).expect("UTF-8");
    let lines: Vec<serde_json::Value> =
        record.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!((lines[0]["out"].as_str(), lines[1]["out"].as_str()), (Some("file"), Some("sub/b")));
    assert!(lines.iter().all(|line| line["sha256"] == SHA256.0 && line["size"] == SIZE));
    assert!(lines.iter().all(|line| line["date"].as_str().is_some_and(|date| date.ends_with('Z'))));
    assert!(lines[1]["final_url"].as_str().is_some_and(|url| url.contains("/well_behaved/")));
    assert!(lines[1]["validator"].is_string() && lines[0].get("final_url").is_none());
    assert!(!record.contains("abc") && record.contains("id=1&token=***"), "{record}");

    // The secret of the URL must be filled in.
    let out = place.run(&["-i", "set.lock", "-d", "second"]);
    assert!(out.status == 2 && out.stderr.contains("line 1: a secret was left out"), "{}", out.stderr);
    place.write("set.lock", record.replace("&token=***", ""));
    let out = place.run(&["-i", "set.lock", "-d", "second"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!((place.file("second/file"), place.file("second/sub/b")), (Some(file()), Some(file())));
    assert_eq!(out.stderr.matches("sha-256 from the list").count(), 2, "{}", out.stderr);

    server.put("/d/file", content("changed", SIZE));
    let out = place.run(&["-i", "set.lock", "-d", "third"]);
    assert_eq!((out.status, place.file("third/file")), (3, None), "{}", out.stderr);
    assert_eq!(place.file("third/sub/b"), Some(file()));

    // A later run replaces the entries of its files and keeps the others.
    let new = server.put("/d/new", file());
    let out = place.run(&[
        &new,
        &server.url("d/file"),
        "-d",
        "first",
        "--if-exists",
        "overwrite",
        "--record",
        "set.lock",
    ]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let record = String::from_utf8(place.file("set.lock").expect("a record")).expect("UTF-8");
    let names: Vec<&str> =
        ["sub/b", "new", "file"].into_iter().filter(|name| record.contains(&format!("\"{name}\""))).collect();
    assert_eq!((names.len(), record.lines().count()), (3, 3), "{record}");
    assert_eq!(record.matches(SHA256.0).count(), 2);
    // A run that downloads nothing changes nothing.
    place.run(&[&server.url("d/none"), "--record", "set.lock"]);
    assert_eq!(place.file("set.lock"), Some(record.into_bytes()));
    assert!(!place.files().iter().any(|name| name.ends_with(".new")));
}

#[test]
fn a_lock_file_that_cannot_be_written_is_reported() {
    let server = Server::start();
    let place = Place::new();
    let url = put_file(&server);
    let out = place.run(&[&url, "--record", "no/such/folder"]);
    assert!(
        out.status == 5 && out.stderr.contains("the record no/such/folder cannot be written"),
        "{}",
        out.stderr
    );
    assert_eq!(place.file("file"), Some(file()), "the file is there all the same");
    let out = place.run(&[&url, "-o", "-", "--record", "x"]);
    assert!(out.status == 2 && out.stderr.contains("--record needs one"), "{}", out.stderr);
}

#[test]
fn verify_compares_what_is_on_the_disk() {
    let place = Place::new();
    for name in ["d/good", "d/bad", "d/e/f"] {
        place.write(name, file());
    }
    place.write("d/bad", "damaged");
    let lines = [("good", SHA256.0), ("bad", SHA256.0), ("gone", SHA256.0)];
    let sums = lines.map(|(name, digest)| format!("{digest}  {name}\n")).concat();
    place.write("d/SHA256SUMS", format!("{sums}noise\n"));
    let out = place.run(&["verify", "d/SHA256SUMS"]);
    let table = String::from_utf8(out.stdout.clone()).expect("UTF-8");
    assert_eq!(out.status, 3, "{table}{}", out.stderr);
    for line in [
        "OK        d/good  (sha-256 from SHA256SUMS)",
        "FAILED    d/bad  (sha-256 from SHA256SUMS)",
        "MISSING   d/gone",
    ] {
        assert!(table.lines().any(|one| one == line), "{line}:\n{table}");
    }
    assert!(
        out.stderr.contains("1 FAILED, 1 MISSING, 1 OK") && out.stderr.contains("1 line of"),
        "{}",
        out.stderr
    );

    place.write("d/SHA256SUMS", format!("SHA256 (good) = {0}\nSHA256 (gone) = {0}\n", SHA256.0));
    let out = place.run(&["verify", "d", "-q"]);
    assert_eq!((out.status, out.stdout), (1, b"MISSING   d/gone\n".to_vec()));
    place.write("d/SHA256SUMS", format!("{}  good\n", SHA256.0));
    place.write("d/e/f.sha512", SHA512.0);
    let out = place.run(&["verify", "d/e"]);
    assert_eq!(
        (out.status, String::from_utf8_lossy(&out.stdout).into_owned()),
        (0, "OK        d/e/f  (sha-512 from f.sha512)\n".into())
    );
    let out = place.run(&["verify", "d/e/f.sha512", "-d", "elsewhere"]);
    assert_eq!(
        (out.status, String::from_utf8_lossy(&out.stdout).into_owned()),
        (1, "MISSING   elsewhere/f\n".into())
    );

    let server = Server::start();
    let out = place.run(&[&put_file(&server), "-d", "d/run", "--record", "d/run/set.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.run(&["verify", "d/run"]).status, 0);
    place.write("d/run/file", "damaged");
    let out = place.run(&["verify", "d/run/set.lock"]);
    assert!(out.status == 3 && out.stdout.starts_with(b"FAILED    d/run/file"), "{}", out.stderr);
    for (what, says) in
        [("none", "none cannot be read"), ("d/good", "no line of d/good"), (".", "there is no checksum list")]
    {
        let out = place.run(&["verify", what]);
        assert!(out.status == 2 && out.stderr.contains(says), "{what}: {}", out.stderr);
    }
}

#[test]
fn a_wrong_chunk_is_fetched_again_and_nothing_else() {
    const LARGE: u64 = 12_000_000;
    let mut refused_in_all = 0;
    for (size, more) in [(SIZE, &["-x1"][..]), (LARGE, &["-x1"]), (LARGE, &["-x4"])] {
        // The response number 99 never comes, so that every digest is right.
        for bad in [1, 2, 99] {
            let (server, place) = (Server::start(), Place::new());
            let url = server.url(&format!("part_digests/{size}/file?bad={bad}"));
            let out = place.run(&[&[url.as_str(), "-o", "f", "--progress", "json"], more].concat());
            place.assert_exact(&out, "f", &content("file", size));
            let parts = server.requests().len() - 1;
            let events = crate::common::events(&out);
            let finished = events.iter().find(|event| event["kind"] == "finished").expect("finished");
            let fetched = finished["fetched"].as_u64().expect("a number");
            let refused = |event: &&serde_json::Value| event["error"]["code"] == "digest.part";
            let refused = events.iter().filter(refused).count();
            assert_eq!(refused, usize::from(parts >= bad), "{size} {more:?} {bad}: {parts} parts");
            let allowed = match refused {
                0 if more == ["-x1"] => size..size + 1,
                // Connections that end may leave some bytes that come twice.
                0 => size..size + size / 2,
                _ => size + 1..2 * size,
            };
            assert!(allowed.contains(&fetched), "{size} {more:?} {bad}: {fetched} bytes");
            refused_in_all += refused;
        }
    }
    assert!(refused_in_all > 0, "no chunk was wrong");
}

#[test]
fn a_chunk_that_stays_wrong_fails() {
    let server = Server::start();
    let bad = |size: u64| server.url(&format!("part_digests/{size}/file?bad=1&always=1"));
    let (place, out) = over_old(&bad(SIZE), &["--retries", "2"]);
    assert_untouched(&place, &out, "a part of the content is not what its digest promises");
    assert!(
        place.log().contains("[digest.part]") && out.stderr.contains("Content-Digest says"),
        "{}",
        place.log()
    );
    assert_eq!(server.requests().len(), 3, "the whole, and two retries");
    let good = server.url(&format!("well_behaved/{SIZE}/file"));
    let out = place.run(&[&good, "-o", "f", "--if-exists", "overwrite"]);
    place.assert_exact(&out, "f", &file());
    let (place, out) = over_old(&bad(SIZE), &["--verify", "off"]);
    assert!(out.status == 0 && place.file("f") != Some(file()), "nothing was to be checked: {}", out.stderr);
}

#[test]
fn the_journal_lists_nothing_of_a_wrong_chunk() {
    const LARGE: u64 = 12_000_000;
    for connections in ["-x1", "-x4"] {
        let server = Server::start();
        let target = format!("part_digests/{LARGE}/file?bad=1&always=1");
        let (place, out) = over_old(&server.url(&target), &["--retries", "2", connections]);
        assert_eq!((out.status, place.file("f").as_deref()), (3, Some(&b"old"[..])), "{}", out.stderr);
        assert!(server.requests().len() <= 1 + 4 * 5, "bounded: {}", server.requests().len());
        // The next run trusts the journal where the disk agrees, and compares only the size at the end.
        server.becomes(&target, &format!("well_behaved/{LARGE}/file"));
        let again = server.url(&target);
        let out = place.run(&[&again, "-o", "f", "--if-exists", "overwrite", "--progress", "json"]);
        place.assert_exact(&out, "f", &content("file", LARGE));
        let events = crate::common::events(&out);
        let finished = events.iter().find(|event| event["kind"] == "finished").expect("finished");
        assert!(finished["fetched"].as_u64().expect("a number") < LARGE, "what was not refused is kept");
    }
}

#[test]
fn the_digest_of_the_whole_file_is_right_after_a_wrong_chunk() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("part_digests/{SIZE}/file?bad=1"));
    let out = place.run(&[&url, "-o", "f", "--checksum", &format!("sha256:{}", SHA256.0)]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("sha-256 from --checksum"), "{}", out.stderr);
}

#[test]
fn a_wrong_chunk_fails_if_it_went_to_standard_output() {
    for size in [SIZE, 12_000_000] {
        let server = Server::start();
        let out = Place::new().run(&[&server.url(&format!("part_digests/{size}/file?bad=1")), "-o", "-"]);
        let exact = out.status == 0 && out.stdout == content("file", size);
        assert!(exact || (out.status != 0 && out.stderr.contains("Content-Digest says")), "{}", out.stderr);
    }
}
