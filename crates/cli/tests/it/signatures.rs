//! Tests of minisign signatures of files and of their checksum lists.

use crate::common::Place;
use crate::verification::{SHA256, assert_untouched, file, over_old, put_file, wrong};
use downhaul_testkit::content;
use downhaul_testkit::minisign::Signer;
use downhaul_testkit::server::Server;

#[test]
fn signatures_of_files_are_verified() {
    let (server, signer) = (Server::start(), Signer::new(1));
    let url = put_file(&server);
    let key = signer.key();
    let over_signed = |key: &str| over_old(&url, &["--signed-by", key]);
    let (place, out) = over_signed(&key);
    assert_untouched(&place, &out, "a required signature is missing");
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
        (Signer::new(2).sign(&file()), "made with a key other than 0101010101010101"),
        (signer.sign_as_of_old(&file()), "minisign's old form"),
        ("noise".into(), "not a minisign signature"),
    ] {
        server.put("/d/file.minisig", signature);
        let (place, out) = over_signed(&key);
        assert_untouched(&place, &out, says);
        assert!(place.log().contains("[signature.wrong]"), "{}", place.log());
    }
    let unsigned = server.put("/unsigned", "content");
    for (verify, is_advised) in [("auto", true), ("find", false)] {
        let out = place.run(&[&unsigned, "--signed-by", &key, "--verify", verify]);
        assert_eq!(out.status, 3, "{}", out.stderr);
        let advice = "With --verify find, a signed checksum list";
        assert_eq!(out.stderr.contains(advice), is_advised, "{verify}: {}", out.stderr);
    }
    let out = place.run(&[&url, "--signed-by", "neither key nor file"]);
    assert!(out.status == 2 && out.stderr.contains("it is not a minisign key"), "{}", out.stderr);
}

#[cfg(not(feature = "openpgp"))]
#[test]
fn an_openpgp_key_is_refused_by_a_build_without_openpgp() {
    for name in ["author.asc", "author.gpg"] {
        let key = format!("{}/tests/openpgp/{name}", env!("CARGO_MANIFEST_DIR"));
        let out = Place::new().run(&["http://127.0.0.1:9/x", "--signed-by", &key]);
        assert!(
            out.status == 2 && out.stderr.contains("needs a build with --features openpgp"),
            "{}",
            out.stderr
        );
    }
}

#[test]
fn continue_replaces_a_beginning_with_a_wrong_signature_only_if_that_was_chosen() {
    let (server, signer, place) = (Server::start(), Signer::new(1), Place::new());
    let whole = content("file", 300_000);
    let url = server.url("well_behaved/300000/file");
    server.put("/well_behaved/300000/file.minisig", signer.sign(&whole));
    // Only the end of the existing file is compared.
    let mut wrong = whole[..200_000].to_vec();
    wrong[7] ^= 1;
    place.write("file", &wrong);
    let args = [&*url, "-c", "--signed-by", &signer.key()];
    let out = place.run(&args);
    assert!(out.status == 3 && out.stderr.contains("the content is not what was signed"), "{}", out.stderr);
    assert!(place.file("file") == Some(wrong), "the file is not changed");
    place.assert_exact(&place.run(&[&args[..], &["--if-exists", "overwrite"]].concat()), "file", &whole);
}

#[test]
fn signatures_of_lists_are_verified() {
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
    // The list was changed after it was signed.
    let bad = format!("{}  file\n", wrong(SHA256.0));
    server.put("/d/SHA256SUMS", bad.as_str());
    let signed = |args: &[&str]| over_old(&url, &[&["--signed-by", &signer.key()], args].concat());
    let (place, out) = signed(&["--checksum-file", &list]);
    assert_untouched(&place, &out, "the content is not what was signed");
    let (place, out) = signed(&["--verify", "find"]);
    assert_untouched(&place, &out, "the content is not what was signed");
    // The changed list is signed, but it has a wrong digest.
    server.put("/d/SHA256SUMS.minisig", signer.sign(bad.as_bytes()));
    let (place, out) = signed(&["--checksum-file", &list]);
    assert_untouched(&place, &out, "but SHA256SUMS, signed by 0101010101010101 says");
    // A list without a signature is not used. A signature of the file itself would be enough.
    let plain = server.put("/lists/SHA256SUMS", sums.as_str());
    let (place, out) = signed(&["--checksum-file", &plain]);
    assert_untouched(
        &place,
        &out,
        "a required signature is missing: neither the file nor its checksum list is signed",
    );
    server.put("/d/file.minisig", signer.sign(&file()));
    let (place, out) = signed(&["--checksum-file", &plain]);
    place.assert_exact(&out, "f", &file());
}
