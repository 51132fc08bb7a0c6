//! Tests that secrets are not shown, are stored only where other users cannot read them, and are sent only in
//! the ways that the user allows.

use crate::common::{Place, events};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

#[test]
fn a_header_with_a_mistake_is_not_shown() {
    let place = Place::new();
    for bad in ["Authorization Bearer S3CRET", "Authorization: Bearer\nS3CRET", "Auth orization: S3CRET"] {
        let out = place.run(&["http://127.0.0.1:1/x", "-H", bad]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(!out.stderr.contains("S3CRET") && out.stderr.contains("--header"), "{}", out.stderr);
    }
}

#[test]
fn secrets_at_the_wrong_option_are_not_shown() {
    for args in [
        &["-x", "http://me:hush@h:1", "http://h/"][..],
        &["-j", "me:hush@h:1", "http://h/"],
        &["--header-for", "Authorization: hush", "h", "http://h/"],
    ] {
        let out = Place::new().run(args);
        assert!(out.status == 2 && !out.stderr.contains("hush"), "{args:?}: {}", out.stderr);
    }
}

#[test]
fn secrets_in_urls_are_never_shown_or_stored() {
    let server = Server::start();
    for secret in [
        "?authkey=S3CRET",
        "?rlkey=S3CRET",
        "?verify=S3CRET",
        "?__gda__=S3CRET",
        "?sign=S3CRET",
        "?se=S3CRET",
        "?st=S3CRET&e=S3CRET",
        "?k=S3CRET&tk=S3CRET",
        "?access=S3CRET",
        "?csrf=S3CRET",
        "?cf_clearance=S3CRET",
        "?hash=S3CRET",
        "?md5=S3CRET",
        ";token=S3CRET",
        ";sign=S3CRET?x=1",
    ] {
        let place = Place::new();
        // The job fails, and leaves a partial file and its journal.
        let url = server.url(&format!("truncated_body_always/2000000/file{secret}"));
        let args = [url.as_str(), "-o", "f", "--retries", "0", "-v", "--explain", "--record", "set.lock"];
        let shown = place.run(&args);
        let json = place.run(&[&args[..], &["--progress", "json"]].concat());
        assert_eq!((shown.status, json.status), (1, 1), "{}", shown.stderr);
        assert!(!events(&json).is_empty());
        let written = place.files().into_iter().filter(|name| !name.ends_with(".part"));
        let mut all: Vec<Vec<u8>> = written.filter_map(|name| place.file(&name)).collect();
        assert!(!all.is_empty(), "there is a journal: {:?}", place.files());
        all.extend([shown.stderr.into(), json.stdout, json.stderr.into(), place.log().into()]);
        for text in all {
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains("S3CRET"), "{secret}: {text}");
        }
    }
}

#[test]
#[cfg(unix)]
fn only_its_owner_can_read_a_journal() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&server.url("truncated_body_always/2000000/file"), "-o", "f", "--retries", "0"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    let meta = std::fs::metadata(place.path().join("f.part.journal")).expect("a journal");
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}

#[test]
fn digest_only_sends_no_password_to_a_server_that_wants_basic() {
    let server = Server::start();
    let of_digest = server.url("login/1000/f?as=SHA-256");
    let of_basic = server.url("login/1000/g?as=basic");
    let place = Place::new();
    let out = place.run(&[&of_digest, "--user", "me:hush", "--auth", "digest"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let in_url = of_basic.replace("://", "://me:hush@");
    for args in [
        vec![of_basic.as_str(), "--user", "me:hush", "--auth", "digest"],
        vec![&in_url, "--auth", "digest"],
        vec![&format!("curl --digest -u me:hush {of_basic}")],
    ] {
        let before = server.requests().len();
        let out = Place::new().run(&args);
        assert!(out.status == 1 && out.stderr.contains("allows only Digest"), "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains("  Without --auth digest,"), "{args:?}: {}", out.stderr);
        let new = &server.requests()[before..];
        assert!(!new.is_empty() && new.iter().all(|one| one.header("authorization").is_none()), "{args:?}");
    }
    let out = Place::new().run(&[&of_basic, "--user", "me:hush", "--digest"]);
    assert!(out.status == 2 && out.stderr.contains("use --auth digest"), "{}", out.stderr);
}
