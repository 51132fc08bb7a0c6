//! Options that change the address of a connection: `--resolve`, `--connect-to`, `--interface` and
//! `--unix-socket`. Certificates and headers remain those of the host in the URL.

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

#[track_caller]
fn assert_refused(place: &Place, out: &Out, code: &str, says: &str) {
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(place.log().contains(code), "expected {code}:\n{}", place.log());
    assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
}

#[test]
fn an_address_of_the_other_ip_version_leads_to_advice_about_the_option() {
    for (url, option, says) in [
        ("http://127.0.0.1:9/f", "-6", "Leave out -6, or use a name that has an IPv6 address."),
        ("http://[::1]:9/f", "-4", "Leave out -4, or use a name that has an IPv4 address."),
    ] {
        let place = Place::new();
        let out = place.run(&[url, option, "--retries", "0"]);
        assert_refused(&place, &out, "dns.unresolved", says);
    }
}

#[test]
fn a_host_has_the_addresses_that_were_given_for_it() {
    let server = Server::start();
    let place = Place::new();
    let port = server.port();
    // The first address does not answer.
    let rule = format!("files.example:{port}:127.0.0.9,127.0.0.1");
    let url = format!("http://FILES.example:{port}/well_behaved/1000/f");
    let out = place.run(&[&url, "--resolve", &rule]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let request = &server.requests()[0];
    assert_eq!(request.header("host"), Some(format!("files.example:{port}").as_str()));
    // The rule is for another port, so the name is looked up.
    let other = format!("files.example:{}:127.0.0.1", port.wrapping_add(1));
    let out = place.run(&[&url, "--resolve", &other, "--if-exists", "overwrite", "--retries", "0"]);
    assert_refused(&place, &out, "dns.unresolved", "files.example");
    let out = place.run(&[&url, "--resolve", &format!("*:{port}:127.0.0.1"), "--if-exists", "overwrite"]);
    place.assert_exact(&out, "f", &content("f", 1000));
}

#[test]
fn the_certificate_is_that_of_the_host_in_the_url_wherever_the_connection_leads() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config(Flaw::None));
    let (place, port) = (Place::new(), server.port());
    place.write("keys/ca.pem", authority.pem());
    for option in [
        ["--resolve".to_string(), format!("files.example:{port}:127.0.0.1")],
        ["--connect-to".to_string(), format!("files.example:{port}:127.0.0.1:{port}")],
        ["--connect-to".to_string(), "::localhost:".to_string()],
    ] {
        let url = format!("https://files.example:{port}/well_behaved/9/f");
        let args = [&url, "--cacert", "keys/ca.pem", "--on-error", "skip", &option[0], &option[1]];
        let out = place.run(&args);
        assert_refused(&place, &out, "tls.wrong_host", "certificate is for another host");
    }
    assert!(server.requests().is_empty());
    // If the URL has the host of the certificate, the connection is accepted.
    let url = "https://localhost/well_behaved/1000/f";
    let rule = format!("localhost:443:127.0.0.1:{port}");
    let out = place.run(&[url, "--cacert", "keys/ca.pem", "--connect-to", &rule, "--http2", "--http1"]);
    assert_eq!(out.status, 2, "{}", out.stderr);
    let out = place.run(&[url, "--cacert", "keys/ca.pem", "--connect-to", &rule]);
    place.assert_exact(&out, "f", &content("f", 1000));
}

#[test]
fn connections_lead_to_another_host_also_through_a_proxy() {
    let server = Server::start();
    let place = Place::new();
    let rule = format!("[::1]:80:127.0.0.1:{}", server.port());
    let out = place.run(&["http://[::1]/well_behaved/1000/f", "--connect-to", &rule]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(server.requests()[0].header("host"), Some("[::1]"));
    // A proxy would forward a request to the host of the URL, so a tunnel is requested.
    let (heads, proxy) = tunnel_to(server.port());
    let rule = "h.example:80:g.example:8080";
    let url = "http://h.example/well_behaved/1000/g";
    let out = place.run(&[url, "--connect-to", rule, "--proxy", &format!("http://127.0.0.1:{proxy}")]);
    place.assert_exact(&out, "g", &content("g", 1000));
    assert!(heads.recv().expect("a head").starts_with("CONNECT g.example:8080 HTTP/1.1\r\n"));
    assert_eq!(server.requests().last().and_then(|one| one.header("host")), Some("h.example"));
}

/// Starts a proxy that opens each tunnel to this port. Returns the heads of its requests, and its port.
fn tunnel_to(port: u16) -> (mpsc::Receiver<String>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = listener.local_addr().expect("an address").port();
    let (send, heads) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let _ = send.send(String::from_utf8_lossy(&head[..read]).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            thread::spawn(move || pass_on(stream.try_clone().expect("clones"), stream, port));
        }
    });
    (heads, proxy)
}

/// Passes bytes on between a client and the server on a port.
fn pass_on(mut from: impl Read + Send + 'static, mut to: impl Write, port: u16) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let mut up = server.try_clone().expect("clones");
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut up);
        let _ = up.shutdown(Shutdown::Write);
    });
    let mut down = server;
    let _ = std::io::copy(&mut down, &mut to);
}

#[test]
fn connections_begin_at_the_given_address() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (send, peers) = mpsc::channel::<IpAddr>();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = send.send(stream.peer_addr().expect("an address").ip());
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        }
    });
    let url = format!("http://127.0.0.1:{port}/f");
    // The last value has the form that curl uses.
    for (interface, from) in
        [("127.0.0.2", "127.0.0.2"), ("127.0.0.1", "127.0.0.1"), ("host!127.0.0.3", "127.0.0.3")]
    {
        let place = Place::new();
        let out = place.run(&[&url, "--interface", interface]);
        place.assert_exact(&out, "f", b"hi");
        assert_eq!(peers.recv().expect("a connection").to_string(), from);
    }
    for interface in ["203.0.113.7", "no-such-one", "::1"] {
        let place = Place::new();
        let out = place.run(&[&url, "--interface", interface, "--retries", "0"]);
        assert_refused(&place, &out, "connect.failed", "the host cannot be reached");
        let says = format!("127.0.0.1:{port}: --interface {interface}: ");
        assert!(out.stderr.contains(&says), "{}", out.stderr);
        assert!(out.stderr.contains("Check --interface") && !out.stderr.contains("Check the network"));
    }
}

#[test]
fn the_error_for_a_url_with_a_zone_suggests_the_option_interface() {
    let place = Place::new();
    for url in ["http://[fe80::1%25eth0]/f", "http://[fe80::1%eth0]:8080/f"] {
        let out = place.run(&[url]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains("give --interface NAME"), "{}", out.stderr);
    }
}

/// Makes a Unix socket that leads to this port.
fn unix_socket(path: &Path, port: u16) {
    let listener = UnixListener::bind(path).expect("a socket");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || pass_on(stream.try_clone().expect("clones"), stream, port));
        }
    });
}

#[test]
fn a_unix_socket_takes_the_place_of_all_hosts() {
    let authority = Authority::default();
    let (plain, secure) = (Server::start(), Server::start_h2(Some(authority.config(Flaw::None))));
    let place = Place::new();
    place.write("keys/ca.pem", authority.pem());
    unix_socket(&place.path().join("keys/plain"), plain.port());
    unix_socket(&place.path().join("keys/secure"), secure.port());
    let proxy = ["--proxy", "http://127.0.0.1:9"];
    let args = ["http://docker/well_behaved/1000/f", "--unix-socket", "keys/plain"];
    let out = place.run(&[&args[..], &proxy].concat());
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(plain.requests()[0].header("host"), Some("docker"));
    let args = ["https://localhost/well_behaved/90000/g", "--unix-socket", "keys/secure", "--http2"];
    let out = place.run(&[&args[..], &["--cacert", "keys/ca.pem"]].concat());
    place.assert_exact(&out, "g", &content("g", 90_000));
    assert_eq!(secure.requests()[0].version, 2);
    let url = "http://docker/well_behaved/8000000/h";
    let out = place.run(&[url, "--unix-socket", "keys/plain", "-x", "3"]);
    place.assert_exact(&out, "h", &content("h", 8_000_000));
    let out = place.run(&["http://docker/f2", "--unix-socket", "keys/none", "--retries", "0"]);
    assert_refused(&place, &out, "connect.failed", "--unix-socket keys/none: No such file");
    assert!(out.stderr.contains("Check --unix-socket") && !out.stderr.contains("-4"), "{}", out.stderr);
}

#[test]
fn a_rule_that_cannot_be_read_is_a_usage_error() {
    let place = Place::new();
    for (option, value) in [
        ("--resolve", "h.example:443"),
        ("--resolve", "h.example:443:name"),
        ("--connect-to", "h.example:443"),
        ("--connect-to", "h:1:g:x"),
        ("--interface", "a b"),
    ] {
        let out = place.run(&["https://h.example/", option, value]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains(option) && out.stderr.contains("it must"), "{}", out.stderr);
    }
}

#[cfg(not(feature = "doh"))]
#[test]
fn a_build_without_dns_over_https_says_what_it_lacks() {
    let place = Place::new();
    let out = place.run(&["http://h.example/", "--doh", "https://dns.example/dns-query"]);
    place.assert_failed(&out, 2, "--doh: this build lacks the feature doh");
}
