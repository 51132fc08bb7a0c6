//! Tests of which servers are trusted, and of the messages about servers that are not trusted or have no
//! usable TLS.

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw, self_signed};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Asserts that the message has no words that only programmers of TLS libraries know.
#[track_caller]
fn assert_plain(out: &Out) {
    for word in
        ["CaUsed", "Context", "UnknownIssuer", "BadEncoding", "AlertReceived", "InvalidContent", "eof", "Der"]
    {
        assert!(!out.stderr.contains(word), "{word}: {}", out.stderr);
    }
}

#[test]
fn a_self_signed_certificate_that_was_given_is_trusted_for_its_own_names_and_dates() {
    let here = ["127.0.0.1", "localhost"];
    for (common_name, names, flaw, wrong) in [
        ("any name", &here[..], Flaw::None, None),
        // A certificate without names is for its common name.
        ("127.0.0.1", &[], Flaw::None, None),
        ("any name", &["other.example"], Flaw::None, Some("tls.wrong_host")),
        ("127.0.0.1", &["other.example"], Flaw::None, Some("tls.wrong_host")),
        ("localhost", &[], Flaw::None, Some("tls.wrong_host")),
        ("127.0.0.1", &here, Flaw::Expired, Some("tls.expired")),
    ] {
        let (pem, config) = self_signed(common_name, names, flaw);
        let server = Server::start_tls(config);
        let (place, keys) = (Place::new(), Place::new());
        // The file begins with another certificate.
        let pem = keys.write("server.pem", Authority::default().pem() + &pem);
        let url = server.url("well_behaved/1000/f");
        let out = place.run(&[&url, "--cacert", pem.to_str().expect("UTF-8")]);
        assert_plain(&out);
        match wrong {
            None => place.assert_exact(&out, "f", &content("f", 1000)),
            Some(code) => {
                place.assert_failed(&out, 1, "the server's certificate");
                assert!(place.log().contains(code), "{common_name} {names:?}: {}", place.log());
                assert!(server.requests().is_empty(), "nothing was said to it");
            }
        }
    }
}

#[test]
fn a_certificate_like_the_given_one_with_another_key_is_not_trusted() {
    let (_, config) = self_signed("127.0.0.1", &["127.0.0.1"], Flaw::None);
    let (other, _) = self_signed("127.0.0.1", &["127.0.0.1"], Flaw::None);
    let server = Server::start_tls(config);
    let (place, keys) = (Place::new(), Place::new());
    let pem = keys.write("other.pem", other);
    let out = place.run(&[&server.url("well_behaved/1000/f"), "--cacert", pem.to_str().expect("UTF-8")]);
    place.assert_failed(&out, 1, "the server's certificate");
    assert!(place.log().contains("tls.untrusted"), "{}", place.log());
    assert_plain(&out);
    // Without `--cacert`, the certificate is not trusted either.
    let out = place.run(&[&server.url("well_behaved/1000/f")]);
    place.assert_failed(&out, 1, "the server's certificate is not signed by a trusted authority");
    assert_plain(&out);
}

#[test]
fn a_file_without_a_certificate_is_named_in_the_error() {
    let place = Place::new();
    place.write("text.pem", "no certificate\n");
    place.write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    place.write("noise.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (name, says) in [
        ("text.pem", "the file contains no certificate in PEM form"),
        ("cut.pem", "the file is not in PEM form"),
        ("noise.pem", "the file contains a malformed certificate"),
        ("missing.pem", "No such file"),
    ] {
        let out = place.run(&["https://127.0.0.1:1/f", "--cacert", name]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains(says) && out.stderr.contains(name), "{}", out.stderr);
        assert_plain(&out);
    }
}

/// Starts a server that sends these bytes over each connection. Returns its port and the count of its
/// connections.
fn answers_with(bytes: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    thread::spawn(move || {
        // No test opens more connections than this.
        for stream in listener.incoming().take(20).flatten() {
            let mut stream = stream;
            count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello);
            let _ = stream.write_all(bytes);
            // The bytes must arrive before the connection is closed. Closing it with unread bytes would reset
            // it.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            while stream.read(&mut hello).is_ok_and(|read| read > 0) {}
        }
    });
    (port, connections)
}

/// The ServerHello of a server that knows only TLS 1.0, with one of its ciphers.
const HELLO_OF_TLS_1_0: [u8; 47] = {
    let mut hello = [0; 47];
    // A record of 42 bytes, a message of 38: version, 32 random bytes, no session,
    // TLS_RSA_WITH_AES_128_CBC_SHA.
    let head = [0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    hello[45] = 0x2f;
    hello
};

#[test]
fn servers_with_only_old_tls_get_one_request_and_a_clear_error() {
    for (answer, says) in [
        (&[0x15, 3, 1, 0, 2, 2, 40][..], "handshake_failure"),
        (&[0x15, 3, 1, 0, 2, 2, 70], "protocol_version"),
        (&[0x15, 3, 3, 0, 2, 2, 71], "insufficient_security"),
        (&HELLO_OF_TLS_1_0, "it chose a version older than TLS 1.2"),
    ] {
        let (port, connections) = answers_with(answer);
        let place = Place::new();
        let out = place.run(&[&format!("https://127.0.0.1:{port}/f")]);
        place.assert_failed(
            &out,
            1,
            "the server offers only TLS versions or ciphers that are not considered safe",
        );
        assert!(out.stderr.contains(says) && out.stderr.contains("TLS 1.2 or newer"), "{}", out.stderr);
        assert!(place.log().contains("[tls.outdated]"), "{}", place.log());
        assert_eq!(connections.load(Ordering::Relaxed), 1, "{says}: asking again is of no use");
        assert_plain(&out);
    }
}

#[test]
fn a_server_without_tls_gets_one_request_and_a_clear_error() {
    let (port, connections) = answers_with(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let place = Place::new();
    let out = place.run(&[&format!("https://127.0.0.1:{port}/f")]);
    place.assert_failed(&out, 1, "the server does not use TLS on this port");
    assert!(out.stderr.contains("http://") && place.log().contains("[tls.missing]"), "{}", out.stderr);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert_plain(&out);
}

#[test]
fn an_interrupted_handshake_is_retried() {
    // The server sends an alert that does not say what it supports, or it sends no alert.
    for answer in [&[0x15, 3, 1, 0, 2, 2, 80][..], &[]] {
        let (port, connections) = answers_with(answer);
        let place = Place::new();
        let out = place.run(&[&format!("https://127.0.0.1:{port}/f"), "--retries", "1"]);
        place.assert_failed(&out, 1, "no secure connection could be made");
        assert!(place.log().contains("[tls.failed]"), "{}", place.log());
        assert_eq!(connections.load(Ordering::Relaxed), 2);
        assert_plain(&out);
    }
}
