//! Tests of which OpenPGP keys and signatures are accepted, for the file itself and for its checksum list.
//! After a failure, the old file is unchanged.
//!
//! The script `openpgp/make` made all keys and signatures with GnuPG, for `content("file", 100_000)` and for
//! a list that names it.
use crate::common::{Out, Place};
use downhaul_engine::core::signature::Keys;
use downhaul_engine::signed_text;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use proptest::prelude::*;
use std::fs;

const SHA256: &str = "f9652068b3dd2c65fdbe6e298a7399c314c4c4272fa5a0220d09ffb8bb8928d4";

fn file() -> Vec<u8> {
    content("file", 100_000)
}

/// Returns the text that was signed as a list.
fn list() -> String {
    format!("{SHA256}  file\n- a line that begins with a dash\n")
}

fn path(name: &str) -> String {
    format!("{}/tests/openpgp/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(path(name)).expect(name)
}

/// Returns the fingerprint of the author's primary key, as GnuPG prints it.
fn author() -> String {
    String::from_utf8(fixture("author.fingerprint")).expect("UTF-8").trim().to_string()
}

/// Starts a server that has the file and these files beside it.
fn serve(beside: &[(&str, Vec<u8>)]) -> (Server, String) {
    let server = Server::start();
    let url = server.put("/d/file", file());
    for (name, bytes) in beside {
        server.put(&format!("/d/{name}"), bytes.clone());
    }
    (server, url)
}

/// Downloads over an old file `f`, with the key of a fixture.
fn over_old(url: &str, key: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    place.write("f", "old");
    let key = path(key);
    let out = place.run(&[&[url, "-o", "f", "--if-exists", "overwrite", "--signed-by", &key], more].concat());
    (place, out)
}

#[track_caller]
fn assert_untouched(place: &Place, out: &Out, says: &str) {
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
    assert_eq!(place.file("f").as_deref(), Some(&b"old"[..]));
    assert!(!place.files().iter().any(|name| name.ends_with(".part")), "{:?}", place.files());
}

/// Downloads the file with this signature beside it, and with this key.
fn signed(key: &str, signature: &str) -> (Place, Out) {
    let (_server, url) = serve(&[("file.asc", fixture(signature))]);
    over_old(&url, key, &[])
}

#[test]
fn signatures_of_files_are_verified() {
    let by = format!("signed by {}", author());
    for (key, name, signature) in [
        ("author.asc", "file.asc", "file.asc"),
        ("author.gpg", "file.asc", "file.asc"),
        ("author.asc", "file.asc", "file.sig"),
        ("author.asc", "file.sig", "file.sig"),
        ("author.gpg", "file.sig", "file.asc"),
        // Two keys signed the file, and one of them is given.
        ("author.asc", "file.asc", "file-both.asc"),
    ] {
        let (_server, url) = serve(&[(name, fixture(signature))]);
        let (place, out) = over_old(&url, key, &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(&by) && place.log().contains(&by), "{signature}: {}", out.stderr);
        let (place, out) = over_old(&url, key, &["--verify", "require"]);
        place.assert_exact(&out, "f", &file());
    }
    for kind in ["rsa", "nistp256"] {
        let (place, out) = signed(&format!("{kind}.asc"), &format!("file-{kind}.asc"));
        place.assert_exact(&out, "f", &file());
    }
}

#[test]
fn the_signature_of_a_large_file_over_several_connections_is_verified() {
    let (server, _) = serve(&[]);
    let url = server.url("capped/12000000/file?rate=3000000");
    let beside = |signature: &str| server.put("/capped/12000000/file.asc", fixture(signature));
    beside("large.sig");
    let (place, out) = over_old(&url, "author.asc", &["-x4"]);
    place.assert_exact(&out, "f", &content("file", 12_000_000));
    assert!(out.stderr.contains(&format!("signed by {}", author())), "{}", out.stderr);
    assert!(server.requests().iter().any(|one| one.header("range").is_some()));
    beside("file.sig");
    let (place, out) = over_old(&url, "author.asc", &["-x4"]);
    assert_untouched(&place, &out, "the content is not what was signed");
}

#[test]
fn a_file_may_have_several_keys() {
    let (_server, url) = serve(&[("file.asc", fixture("file.asc"))]);
    for keys in [
        [fixture("rsa.asc"), b"\xe4 name, in Latin-1\n".to_vec(), fixture("author.asc")].concat(),
        [b"\xef\xbb\xbf".to_vec(), fixture("author.asc")].concat(),
    ] {
        let place = Place::new();
        place.write("keys", &keys);
        let out = place.run(&[&url, "-o", "f", "--signed-by", "keys"]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(&format!("signed by {}", author())), "{}", out.stderr);
    }
    // Only one of two copies of the key has the revocation.
    let place = Place::new();
    place.write("keys", [fixture("unrevoked.asc"), fixture("revoked.asc")].concat());
    let (_server, url) = serve(&[("file.asc", fixture("file-revoked.asc"))]);
    let out = place.run(&[&url, "-o", "f", "--signed-by", "keys"]);
    assert!(out.status == 3 && out.stderr.contains("was revoked"), "{}", out.stderr);
}

#[test]
fn invalid_signatures_are_refused() {
    for (key, signature, says) in [
        ("author.asc", "file-another.asc", "the content is not what was signed"),
        ("author.asc", "file-rsa.asc", "it was made with a key other than"),
        ("author.asc", "file-weak.asc", "its hash, SHA1, is too weak"),
        ("author.asc", "file-text.asc", "of a text, which ignores line ends"),
        ("author.asc", "file-brief.asc", "it has expired"),
        ("author.asc", "file-future.asc", "a time in the future"),
        ("author.asc", "file-notation.asc", "a condition that is not understood"),
        ("author.asc", "author.asc", "it is not an OpenPGP signature"),
        ("author.asc", "list.asc", "of a text, which ignores line ends"),
        ("small.asc", "file-small.asc", "is of an unknown kind, or too weak"),
        ("brainpoolP256r1.asc", "file-brainpoolP256r1.asc", "is of an unknown kind, or too weak"),
        ("sha1.asc", "file-sha1.asc", "has no strong signature of its own"),
        ("certifier.asc", "file-certifier.asc", "is not for signing"),
        ("expired.asc", "file-late.asc", "had expired when the signature was made"),
        ("revoked.asc", "file-revoked.asc", "was revoked"),
        ("subkey-revoked.asc", "file.asc", "was revoked"),
        ("adopted.gpg", "file.asc", "is not bound to its key"),
        ("no-back-signature.gpg", "file.asc", "does not confirm that it belongs to its key"),
    ] {
        let (place, out) = signed(key, signature);
        assert_untouched(&place, &out, says);
        assert!(place.log().contains("[signature.wrong]"), "{signature}: {}", place.log());
    }
    // Without the revocation, or with a signature from before the expiry, the same keys are accepted.
    for (key, signature) in [("unrevoked.asc", "file-revoked.asc"), ("expired.asc", "file-early.asc")] {
        let (place, out) = signed(key, signature);
        place.assert_exact(&out, "f", &file());
    }
    for noise in [&b""[..], b"<!doctype html>", b"\x88\xff\xff", b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n"] {
        let (_server, url) = serve(&[("file.asc", noise.to_vec())]);
        let (place, out) = over_old(&url, "author.asc", &[]);
        assert_untouched(&place, &out, "it is not an OpenPGP signature");
    }
}

#[test]
fn a_missing_signature_is_an_error() {
    let (server, url) = serve(&[]);
    let (place, out) = over_old(&url, "author.asc", &[]);
    assert_untouched(&place, &out, "a required signature is missing");
    assert!(
        out.stderr.contains("/d/file.asc") && place.log().contains("[signature.missing]"),
        "{}",
        out.stderr
    );
    assert_eq!(server.requests_for("/d/file.sig").len(), 1);
}

#[test]
fn signatures_are_verified_for_existing_files_and_standard_output() {
    let (server, url) = serve(&[("file.asc", fixture("file.asc"))]);
    let place = Place::new();
    let key = path("author.asc");
    place.write("f", file());
    let out = place.run(&[&url, "-o", "f", "--signed-by", &key]);
    assert!(out.stderr.contains(&format!("already exists, signed by {}", author())), "{}", out.stderr);
    place.write("f", "old");
    let out = place.run(&[&url, "-o", "f", "--signed-by", &key]);
    assert_untouched(&place, &out, "the content is not what was signed");
    // Bytes that were written to standard output cannot be read again to verify a signature of the file. A
    // signed list is enough.
    let out = place.run(&[&url, "-o", "-", "--signed-by", &key]);
    assert!(
        out.status == 3 && out.stdout.is_empty() && out.stderr.contains("an output that is written in order"),
        "{}",
        out.stderr
    );
    let sums = server.put("/d/SHA256SUMS", list());
    server.put("/d/SHA256SUMS.gpg", fixture("list.gpg"));
    let out = place.run(&[&url, "-o", "-", "--signed-by", &key, "--checksum-file", &sums]);
    assert!(out.status == 0 && out.stdout == file(), "{}", out.stderr);
}

#[test]
fn signatures_of_lists_are_verified() {
    let proof = format!("sha-256 from SHA256SUMS, signed by {}", author());
    for (ending, signature) in [
        ("gpg", "list.gpg"),
        ("asc", "list.gpg"),
        ("asc", "list-text.asc"),
        ("asc", "list.asc"),
        ("sig", "list.gpg"),
        ("sign", "list-text.asc"),
    ] {
        let beside = format!("SHA256SUMS.{ending}");
        let (server, url) =
            serve(&[("SHA256SUMS", list().into_bytes()), (beside.as_str(), fixture(signature))]);
        for how in [["--checksum-file", &server.url("d/SHA256SUMS")], ["--verify", "find"]] {
            let (place, out) = over_old(&url, "author.asc", &how);
            place.assert_exact(&out, "f", &file());
            assert!(out.stderr.contains(&proof), "{beside}: {}", out.stderr);
        }
        let place = Place::new();
        place.write("SHA256SUMS", list());
        place.write(&beside, fixture(signature));
        let out = place.run(&[&url, "--checksum-file", "SHA256SUMS", "--signed-by", &path("author.asc")]);
        place.assert_exact(&out, "file", &file());
        assert!(out.stderr.contains(&proof), "{beside}: {}", out.stderr);

        // The list has another digest. Either the signature does not match, or only the signed text is used.
        server.put("/d/SHA256SUMS", list().replace("f9", "00"));
        let (place, out) = over_old(&url, "author.asc", &["--verify", "find"]);
        if signature == "list.asc" {
            place.assert_exact(&out, "f", &file());
        } else {
            assert_untouched(&place, &out, "the content is not what was signed");
        }
    }
    let (server, url) = serve(&[("SHA256SUMS", list().into_bytes())]);
    let (place, out) = over_old(&url, "author.asc", &["--verify", "find"]);
    assert_untouched(
        &place,
        &out,
        "a required signature is missing: neither the file nor its checksum list is signed",
    );
    server.put("/d/SHA256SUMS.sign", fixture("file.asc"));
    let (place, out) = over_old(&url, "author.asc", &["--verify", "find"]);
    assert_untouched(&place, &out, "the content is not what was signed");
    let (place, out) = over_old(&url, "rsa.asc", &["--verify", "find"]);
    assert_untouched(&place, &out, "it was made with a key other than");
}

#[test]
fn a_list_within_its_signature_is_used() {
    let message = String::from_utf8(fixture("list.asc")).expect("UTF-8");
    let (server, url) = serve(&[]);
    let sums = server.url("d/SHA256SUMS.asc");
    let proof = format!("sha-256 from SHA256SUMS.asc, signed by {}", author());
    let run = |key: &str, message: &str| {
        server.put("/d/SHA256SUMS.asc", message);
        over_old(&url, key, &["--checksum-file", &sums])
    };
    for same in [message.clone(), message.replace('\n', "\r\n"), message.replace("  file\n", "  file \t\n")] {
        let (place, out) = run("author.asc", &same);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(&proof), "{}", out.stderr);
    }
    let place = Place::new();
    place.write("CHECKSUM", &message);
    let out = place.run(&[&url, "--checksum-file", "CHECKSUM", "--signed-by", &path("author.asc")]);
    place.assert_exact(&out, "file", &file());

    // Only the signed text is used as the list. Text after the message is ignored. A list with other text
    // before the message or in its headers is refused.
    let wrong = format!("{}  file\n", SHA256.replace("f9", "00"));
    let (place, out) = run("author.asc", &format!("{message}{wrong}"));
    place.assert_exact(&out, "f", &file());
    let begin = "-----BEGIN PGP SIGNED MESSAGE-----\n";
    for (bad, says) in [
        (format!("{wrong}{message}"), "a required signature is missing"),
        (message.replace(begin, &format!("{begin}{wrong}")), "not a whole signed message"),
        (message.replace(begin, &format!("{begin}Comment: {wrong}")), "not a whole signed message"),
        (message.replace("- - a", "- a"), "the content is not what was signed"),
        (message.replace("- - a", "-a"), "not a whole signed message"),
        (message.replace("  file\n", "  file\r\r\n"), "not a whole signed message"),
        (message.replace(SHA256, wrong.trim_end()), "the content is not what was signed"),
        (message.replace("  file\n", &format!("  file\n{wrong}")), "the content is not what was signed"),
        (message[..300].to_string(), "it is not an OpenPGP signature"),
        (message[..100].to_string(), "not a whole signed message"),
    ] {
        assert_ne!(bad, message, "{says}");
        let (place, out) = run("author.asc", &bad);
        assert_untouched(&place, &out, says);
    }
    let (place, out) = run("rsa.asc", &message);
    assert_untouched(&place, &out, "it was made with a key other than");
}

#[test]
fn a_list_that_exists_only_within_its_signature_is_found() {
    let message = fixture("list.asc");
    for (name, how) in
        [("SHA256SUMS.asc", "find"), ("SHA256SUMS.gpg", "find"), ("checksums.txt.asc", "require")]
    {
        let (server, url) = serve(&[(name, message.clone())]);
        let asked = || server.requests().iter().filter(|one| one.target == format!("/d/{name}")).count();
        let (place, out) = over_old(&url, "author.asc", &["--verify", how]);
        place.assert_exact(&out, "f", &file());
        let proof = format!("sha-256 from {name}, signed by {}", author());
        assert!(out.stderr.contains(&proof), "{}", out.stderr);
        // The signed list is fetched once for a folder.
        let place = Place::new();
        place.write("list", format!("{url} one\n{url} two\n"));
        let before = asked();
        let key = path("author.asc");
        let out = place.run(&["-i", "list", "--signed-by", &key, "--verify", how]);
        place.assert_exact(&out, "two", &file());
        assert_eq!(asked() - before, 1);
        // Without an OpenPGP key, no request for the signed list is sent.
        let before = asked();
        place.run(&[&url, "-o", "f", "--verify", how]);
        assert_eq!(asked(), before);
    }
    let text = String::from_utf8(message.clone()).expect("UTF-8");
    for (beside, key, says) in [
        // There is a signature, but no list.
        (
            fixture("list.gpg"),
            "author.asc",
            "a required signature is missing: neither the file nor its checksum list is signed",
        ),
        (
            list().into_bytes(),
            "author.asc",
            "a required signature is missing: neither the file nor its checksum list is signed",
        ),
        (
            text.replace(SHA256, &SHA256.replace("f9", "00")).into_bytes(),
            "author.asc",
            "the content is not what was signed",
        ),
        (message.clone(), "rsa.asc", "it was made with a key other than"),
    ] {
        let (_server, url) = serve(&[("SHA256SUMS.asc", beside)]);
        let (place, out) = over_old(&url, key, &["--verify", "find"]);
        assert_untouched(&place, &out, says);
    }
    // A file that is only a signature does not hide the signed list beside it.
    let (_server, url) = serve(&[("SHA256SUMS.asc", fixture("list.gpg")), ("SHA256SUMS.gpg", message)]);
    let (place, out) = over_old(&url, "author.asc", &["--verify", "find"]);
    place.assert_exact(&out, "f", &file());
}

#[test]
fn files_without_a_usable_key_are_refused() {
    let place = Place::new();
    place.write(
        "broken.asc",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
    );
    place.write("broken.gpg", b"\x99\x01\x0d\x04");
    for key in ["broken.asc", "broken.gpg"] {
        let out = place.run(&["http://127.0.0.1:9/x", "--signed-by", key]);
        assert!(out.status == 2 && out.stderr.contains("there is no OpenPGP key in it"), "{}", out.stderr);
    }
}

/// Returns a fixture with some bytes changed, cut off or doubled.
fn damaged(name: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let bytes = fixture(name);
    let length = bytes.len();
    let changes = prop::collection::vec((0..length, any::<u8>()), 0..6);
    (changes, 0..=length, 0..=length).prop_map(move |(changes, from, to)| {
        let mut bytes = bytes.clone();
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        match (from + to) % 3 {
            0 => bytes.truncate(to),
            1 => bytes.extend_from_within(from.min(to)..from.max(to)),
            _ => {}
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_signatures_are_never_accepted_and_cause_no_panic(
        key in damaged("author.gpg"),
        rsa in damaged("rsa.asc"),
        signature in damaged("list.gpg"),
        armored in damaged("list-text.asc"),
        message in damaged("list.asc"),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (author, text) = (Keys::OpenPgp(fixture("author.asc")), list());
        let other = text.replace("f9", "00");
        for signature in [&signature, &armored, &noise] {
            prop_assert!(signed_text(&author, other.as_bytes(), Some(signature)).is_err());
            if let Ok((said, _)) = signed_text(&author, text.as_bytes(), Some(signature)) {
                prop_assert_eq!(said, text.as_bytes());
            }
        }
        if let Ok((said, _)) = signed_text(&author, &message, None) {
            prop_assert_eq!(String::from_utf8(said), Ok(text.trim_end().replace('\n', "\r\n")));
        }
        for key in [key, rsa, noise] {
            let key = Keys::OpenPgp(key);
            prop_assert!(signed_text(&key, other.as_bytes(), Some(&fixture("list.gpg"))).is_err());
            let _ = signed_text(&key, text.as_bytes(), Some(&fixture("list.gpg")));
        }
    }
}
