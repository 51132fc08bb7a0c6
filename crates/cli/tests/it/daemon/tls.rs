//! The daemon over TLS (`--tls-cert`, `--tls-key`).

use super::SOON;
use crate::common::daemon::free_port;
use crate::common::{Place, poll, send};
use downhaul_testkit::server::tls::Authority;
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::sync::Arc;

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A daemon with a certificate, which ends with the test.
struct Secured {
    child: Child,
    port: u16,
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a certificate that the authority signed, and its key.
fn write_pair(place: &Place, authority: &Authority) {
    let (certificate, key) = authority.pem_pair();
    place.write("cert.pem", certificate);
    place.write("key.pem", key);
}

#[test]
fn commands_on_this_machine_trust_the_key_of_the_daemon_under_any_name() {
    let (place, authority) = (Place::new(), Authority::default());
    let (certificate, key) = authority.pem_pair_named(&["nas.example"]);
    place.write("cert.pem", certificate);
    place.write("key.pem", key);
    let daemon = start(&place);
    let out = place.run(&["list"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    // Another server with a certificate of the same authority and name is not this daemon.
    let (certificate, _) = authority.pem_pair_named(&["nas.example"]);
    place.write("cert.pem", certificate);
    let out = place.run(&["list"]);
    assert!(out.status == 1 && out.stderr.contains("TLS with the daemon"), "{}", out.stderr);
    // Without the notice of the daemon, the name in the certificate decides, and the message explains the
    // reason.
    let other = Place::new();
    other.write("ca.pem", authority.pem());
    let address = format!("https://127.0.0.1:{}", daemon.port);
    let out = other.run(&["list", "--daemon", &address, "--cacert", "ca.pem"]);
    assert!(out.status == 1 && out.stderr.contains("nas.example"), "{}", out.stderr);
    assert!(!out.stderr.contains("Refused {"), "{}", out.stderr);
}

fn start(place: &Place) -> Secured {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let args =
        ["daemon", "-d", "files", "--listen", &address, "--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let child = place.start(&args);
    let notice = place.state().join("downhaul/daemon.json");
    assert!(poll(SOON, || notice.exists().then_some(())).is_some(), "the daemon does not start");
    Secured { child, port }
}

/// Connects as a client that trusts this authority.
fn connect(port: u16, authority: &Authority) -> std::io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM"))
        .expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(SOON))?;
    client.complete_io(&mut stream)?;
    Ok(StreamOwned::new(client, stream))
}

#[test]
fn the_page_the_calls_and_the_sockets_work_over_tls() {
    let (place, authority) = (Place::new(), Authority::default());
    write_pair(&place, &authority);
    let daemon = start(&place);
    let origin = format!("https://127.0.0.1:{}", daemon.port);
    for (path, more, says) in [
        ("/", "", "200 OK"),
        ("/jsonrpc?method=system.listMethods", "", "200 OK"),
        ("/api/v1/openapi.json", "", "200 OK"),
        (
            "/jsonrpc",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "101 ",
        ),
    ] {
        let mut stream = connect(daemon.port, &authority).expect("TLS");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nOrigin: {origin}\r\n{more}\r\n",
            daemon.port
        )
        .expect("sent");
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {says}")), "{path}: {answer}");
    }
    // The commands find the certificate, and trust it.
    assert_eq!(place.run(&["list"]).status, 0, "{}", place.run(&["list"]).stderr);
    // Another client needs an option that names the certificate to trust.
    let other = Place::new();
    let secret = place.state().join("downhaul/daemon-secret");
    let cacert = other.write("ca.pem", authority.pem());
    let address = format!("https://localhost:{}", daemon.port);
    let args = ["list", "--daemon", &address, "--secret-file", secret.to_str().expect("text")];
    let out = other.run(&args);
    assert!(out.status == 1 && out.stderr.contains("--cacert FILE"), "{}", out.stderr);
    let out = other.run(&[&args[..], &["--cacert", cacert.to_str().expect("text")]].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    // A client that speaks no TLS gets no answer.
    let out = other.run(&["list", "--daemon", &address.replace("https", "http")]);
    assert_eq!(out.status, 1);
}

#[test]
fn sighup_reads_the_certificate_again_and_keeps_the_old_one_if_that_fails() {
    let (place, old, new) = (Place::new(), Authority::default(), Authority::default());
    write_pair(&place, &old);
    let daemon = start(&place);
    assert!(connect(daemon.port, &old).is_ok() && connect(daemon.port, &new).is_err());
    place.write("cert.pem", "nothing");
    send(Signal::HUP, &daemon.child);
    let log = || String::from_utf8_lossy(&place.run(&["logs"]).stdout).into_owned();
    // The notice names the file, which is not a certificate at the moment.
    place.write("old.pem", old.pem());
    let log_with_old =
        || String::from_utf8_lossy(&place.run(&["logs", "--cacert", "old.pem"]).stdout).into_owned();
    assert!(poll(SOON, || log_with_old().contains("cert.pem").then_some(())).is_some(), "{}", log_with_old());
    assert!(connect(daemon.port, &old).is_ok());
    write_pair(&place, &new);
    send(Signal::HUP, &daemon.child);
    assert!(poll(SOON, || connect(daemon.port, &new).ok().map(drop)).is_some());
    assert!(connect(daemon.port, &old).is_err());
    assert!(log().contains("the configuration was read again"));
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let (place, authority) = (Place::new(), Authority::default());
    let (certificate, _) = authority.pem_pair();
    let (_, other_key) = authority.pem_pair();
    place.write("cert.pem", certificate);
    place.write("key.pem", other_key);
    place.write("empty.pem", "");
    for (args, says) in [
        (&["--tls-cert", "cert.pem"][..], "--tls-key"),
        (&["--tls-cert", "cert.pem", "--tls-key", "key.pem"], "key.pem: the key does not belong"),
        (&["--tls-cert", "cert.pem", "--tls-key", "none.pem"], "none.pem: "),
        (&["--tls-cert", "empty.pem", "--tls-key", "key.pem"], "empty.pem: the file holds no certificate"),
    ] {
        let out = place.run(&[&["daemon", "--listen", "127.0.0.1:0"], args].concat());
        assert!(out.status == 2 && out.stderr.contains(says), "{args:?}: {}", out.stderr);
    }
}
