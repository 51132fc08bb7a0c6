//! `--doh URL`: a server for DNS over HTTPS resolves names. If it fails, the system does not resolve them
//! instead.

use crate::common::{Out, Place};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const A: u16 = 1;
const AAAA: u16 = 28;
const CNAME: u16 = 5;

/// A DNS query.
#[derive(Debug, Clone)]
struct Query {
    name: String,
    kind: u16,
    message: Vec<u8>,
    /// The head of the HTTP request that contained the query.
    head: String,
}

/// A server for DNS over HTTPS, with the certificate of an authority.
struct DnsServer {
    port: u16,
    authority: Authority,
    seen: Arc<Mutex<Vec<Query>>>,
}

/// A function that returns an HTTP response, or `None` if the server never answers.
type Answer = fn(&Query) -> Option<Vec<u8>>;

impl DnsServer {
    fn start(answer: Answer) -> DnsServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (authority, seen) = (Authority::default(), Arc::<Mutex<Vec<Query>>>::default());
        let (config, all) = (authority.config(Flaw::None), seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, all) = (config.clone(), all.clone());
                thread::spawn(move || serve(stream, config, &all, answer));
            }
        });
        DnsServer { port, authority, seen }
    }

    fn seen(&self) -> Vec<Query> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Runs the program with this server, which has the given name.
    fn run_as(&self, host: &str, place: &Place, args: &[&str]) -> Out {
        place.write("keys/ca.pem", self.authority.pem());
        let doh = format!("https://{host}:{}/dns-query", self.port);
        place.run(&[&["--doh", &doh, "--cacert", "keys/ca.pem", "--retries", "0"], args].concat())
    }

    fn run(&self, place: &Place, args: &[&str]) -> Out {
        self.run_as("127.0.0.1", place, args)
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    all: &Mutex<Vec<Query>>,
    answer: Answer,
) -> Option<()> {
    let session = rustls::ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(rustls::StreamOwned::new(session, stream));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let query = read(head);
        all.lock().expect("no panic").push(query.clone());
        match answer(&query) {
            Some(response) => stream.get_mut().write_all(&response).ok()?,
            None => thread::sleep(Duration::from_secs(60)),
        }
        stream.get_mut().flush().ok()?;
    }
}

/// Reads the query in the head of a request.
fn read(head: String) -> Query {
    let target = head.split(' ').nth(1).expect("a target");
    let text = target.split("dns=").nth(1).expect("a query").to_string();
    let message = BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64");
    // The ID is 0, recursion is desired, and there is one question.
    assert_eq!(message[..6], [0, 0, 1, 0, 0, 1]);
    let (mut labels, mut at) = (Vec::new(), 12);
    while message[at] != 0 {
        let length = usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..=at + length]).into_owned());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
    Query { name: labels.join("."), kind, message, head }
}

fn http(status: &str, body: &[u8]) -> Option<Vec<u8>> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/dns-message\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Some([head.as_bytes(), body].concat())
}

/// Returns a DNS response with these records: owner, type and data.
fn dns(query: &Query, code: u8, records: &[(&[u8], u16, Vec<u8>)]) -> Vec<u8> {
    let mut message = query.message.clone();
    message[2] |= 0x80;
    message[3] = 0x80 | code;
    message[7] = u8::try_from(records.len()).expect("few records");
    for (owner, kind, data) in records {
        message.extend_from_slice(owner);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60]);
        message.extend(u16::try_from(data.len()).expect("short data").to_be_bytes());
        message.extend(data);
    }
    message
}

/// The name in the question, as a pointer to it.
const ASKED: &[u8] = &[0xc0, 12];

/// `b.test`.
const OTHER: &[u8] = b"\x01b\x04test\x00";

/// Answers that every host has the address 127.0.0.1, through an alias.
fn here(query: &Query) -> Option<Vec<u8>> {
    let address = (OTHER, A, vec![127, 0, 0, 1]);
    let records = [(ASKED, CNAME, OTHER.to_vec()), address];
    http("200 OK", &dns(query, 0, if query.kind == A { &records } else { &records[..1] }))
}

/// Returns a name that most systems can resolve: the name of this machine, or `ip6-localhost`.
fn known() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "ip6-localhost".into() } else { name.trim().into() }
}

#[track_caller]
fn assert_unresolved(place: &Place, out: &Out, says: &str) {
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(place.log().contains("dns.unresolved"), "{}", place.log());
    assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
}

#[test]
fn a_name_that_only_the_dns_server_knows_is_looked_up_once_for_all_files() {
    let files = Server::start();
    let port = files.port();
    for (host, options, kinds) in
        [("127.0.0.1", &[][..], &[A, AAAA][..]), ("localhost", &["-4"], &[A]), ("[::1]", &["-6"], &[])]
    {
        let (dns, place) = (DnsServer::start(here), Place::new());
        let names = ["a", "b", "c", "d", "e"];
        let urls = names.map(|name| format!("http://files.test:{port}/well_behaved/100000/{name}\n"));
        place.write("list", urls.concat());
        let out = dns.run_as(host, &place, &[&["-i", "list"], options].concat());
        let seen = dns.seen();
        let mut asked: Vec<u16> = seen.iter().map(|query| query.kind).collect();
        asked.sort_unstable();
        assert_eq!(asked, kinds, "{}", out.stderr);
        assert!(seen.iter().all(|query| query.name == "files.test"), "{seen:?}");
        if kinds.is_empty() {
            // The DNS server does not listen on IPv6.
            assert_unresolved(&place, &out, "the DNS server https://[::1]");
            continue;
        }
        assert_eq!(out.status, 0, "{}", out.stderr);
        for name in names {
            assert!(place.file(name).as_deref() == Some(&content(name, 100_000)), "{name} is not exact");
        }
    }
}

#[test]
fn the_dns_server_gets_nothing_but_names() {
    let (files, dns, place) = (Server::start(), DnsServer::start(here), Place::new());
    place.write("keys/netrc", "default login me password hush\n");
    place.write("keys/cookies", "127.0.0.1\tFALSE\t/\tFALSE\t0\ta\thush\n");
    let url = format!("http://files.test:{}/well_behaved/1000/f?token=hush", files.port());
    let options =
        ["-H", "X-Secret: hush", "--user", "me:hush", "--auth", "basic", "-b", "b=hush", "-A", "hush"];
    let stores = ["--netrc", "keys/netrc", "--cookies", "keys/cookies", "--header-for"];
    let for_dns = format!("127.0.0.1:{}", dns.port);
    let args = [&[url.as_str()], &options[..], &stores, &[for_dns.as_str(), "Y: hush"]].concat();
    let out = dns.run(&place, &args);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(files.requests()[0].header("x-secret"), Some("hush"));
    let seen = dns.seen();
    assert_eq!(seen.len(), 2);
    for query in seen {
        let head = query.head.to_lowercase();
        assert!(!head.contains("hush") && !head.contains("bwu6ahvzaa"), "{head}");
        assert!(head.contains("accept: application/dns-message\r\n"), "{head}");
        let names: Vec<&str> =
            head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
        let usual = ["host", "user-agent", "accept", "accept-encoding"];
        assert!(names.iter().all(|name| usual.contains(name)), "{head}");
    }
}

#[test]
fn a_wrong_answer_of_the_dns_server_is_named_and_the_system_is_not_asked() {
    let files = Server::start();
    let cases: [(Answer, &str); 9] = [
        (|query| http("200 OK", &dns(query, 3, &[])), "there is no host of this name"),
        (|query| http("200 OK", &dns(query, 2, &[])), "it could not answer"),
        (|query| http("200 OK", &dns(query, 0, &[])), "the host has no address"),
        (
            |query| http("200 OK", &dns(query, 0, &[(OTHER, A, vec![127, 0, 0, 1])])),
            "the host has no address",
        ),
        (|query| http("200 OK", &query.message), "its answer does not belong to the query"),
        (
            |query| {
                let mut message = dns(query, 0, &[]);
                message[13] ^= 1;
                http("200 OK", &message)
            },
            "its answer does not belong to the query",
        ),
        (|_| http("200 OK", b"<html>Log in</html>"), "its answer is not a DNS message"),
        (|_| http("404 Not Found", b""), "it answered 404 Not Found"),
        (|_| http("200 OK", &[0; 70_000]), "its answer is longer than 65535 bytes"),
    ];
    for (answer, says) in cases {
        let (dns, place) = (DnsServer::start(answer), Place::new());
        let url = format!("http://{}:{}/well_behaved/1000/f", known(), files.port());
        assert_unresolved(&place, &dns.run(&place, &[&url]), says);
        assert!(!dns.seen().is_empty());
    }
    assert!(files.requests().is_empty());
}

#[test]
fn a_loop_of_dns_aliases_is_an_error() {
    let circle: Answer = |query| http("200 OK", &dns(query, 0, &[(ASKED, CNAME, ASKED.to_vec())]));
    let (dns, place) = (DnsServer::start(circle), Place::new());
    assert_unresolved(&place, &dns.run(&place, &["http://files.test/f"]), "the host has no address");
}

#[test]
fn a_dns_server_that_does_not_answer_is_named_and_the_system_is_not_asked() {
    let files = Server::start();
    let url = format!("http://{}:{}/well_behaved/1000/f", known(), files.port());
    let (silent, place) = (DnsServer::start(|_| None), Place::new());
    let out = silent.run(&place, &[&url, "--connect-timeout", "1"]);
    assert_unresolved(
        &place,
        &out,
        &format!("https://127.0.0.1:{}/dns-query: no answer within 1 s", silent.port),
    );
    let untrusted = format!("https://127.0.0.1:{}/dns-query", silent.port);
    let out = place.run(&["--doh", &untrusted, &url, "--retries", "0"]);
    assert_unresolved(&place, &out, "certificate");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port").port();
    let dead = format!("https://127.0.0.1:{closed}/");
    let out = place.run(&["--doh", &dead, &url, "--retries", "0"]);
    assert_unresolved(&place, &out, "refused");
    assert!(files.requests().is_empty());
    // For a name of this machine, no query is sent to a DNS server.
    let url = format!("http://localhost:{}/well_behaved/1000/f", files.port());
    place.assert_exact(&place.run(&["--doh", &dead, &url]), "f", &content("f", 1000));
}

#[test]
fn the_host_of_a_dns_server_follows_the_rules_for_hosts() {
    let (files, dns, place) = (Server::start(), DnsServer::start(here), Place::new());
    let url = format!("http://files.test:{}/well_behaved/1000/f", files.port());
    let (doh, rule) =
        (format!("https://dns.test:{}/q?key=1", dns.port), format!("dns.test:{}:127.0.0.1", dns.port));
    let args = ["--doh", &doh, &url, "--resolve", &rule, "--insecure-host", "dns.test"];
    place.assert_exact(&place.run(&args), "f", &content("f", 1000));
    assert!(dns.seen().iter().all(|query| query.head.starts_with("GET /q?key=1&dns=")), "{:?}", dns.seen());
}

#[test]
fn a_dns_server_with_http2_is_asked_over_http2() {
    let authority = Authority::default();
    let (server, place) = (Server::start_h2(Some(authority.config(Flaw::None))), Place::new());
    place.write("keys/ca.pem", authority.pem());
    let args = ["--doh", &server.url("dns-query"), "--cacert", "keys/ca.pem", "http://files.test/f"];
    let out = place.run(&[&args[..], &["--retries", "0"]].concat());
    assert_unresolved(&place, &out, "the DNS server");
    let requests = server.requests();
    assert!(requests.len() == 2 && requests.iter().all(|one| one.version == 2), "{requests:?}");
    assert_eq!(requests[0].connection, requests[1].connection);
}

#[test]
fn a_url_that_cannot_be_that_of_a_dns_server_is_a_usage_error() {
    let place = Place::new();
    for url in ["http://dns.test/", "dns.test", "https://me:hush@dns.test/", "https://dns.test/#a"] {
        let out = place.run(&["--doh", url, "http://files.test/f"]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(
            out.stderr.contains("it must be an https URL without a login or a fragment"),
            "{}",
            out.stderr
        );
    }
}
