//! A small internet for tests: servers with names, and a proxy that leads to them by CONNECT, in absolute
//! form, or by SOCKS5. Each server and the proxy record what arrives.
//!
//! Invariant: every server has a recorder of its own, and all servers with TLS have the same certificate. So
//! a client that takes one server for another is noticed.

use crate::common::tcp::{read_head, splice};
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::Authority;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The origin of the URL that the user gives.
pub const HOME: &str = "https://files.lab.example";
/// The same host without TLS.
pub const PLAIN: &str = "http://files.lab.example";
/// Another port of the same host.
pub const PORT: &str = "https://files.lab.example:8443";
/// A name below the name of the host.
pub const BELOW: &str = "https://sub.files.lab.example";
/// The name above the name of the host.
pub const ABOVE: &str = "https://lab.example";
/// A name beside the name of the host.
pub const BESIDE: &str = "https://other.lab.example";
/// The name of the host with the dot of the root at its end, which is another origin.
pub const DOTTED: &str = "https://files.lab.example.";
/// A host whose name has nothing in common with the other names.
pub const ELSEWHERE: &str = "https://else.test";

const ORIGINS: [&str; 8] = [HOME, PLAIN, PORT, BELOW, ABOVE, BESIDE, DOTTED, ELSEWHERE];

/// The name under which the proxy records.
pub const PROXY: &str = "the proxy";

/// The servers and the proxy. They stop when this value is dropped.
pub struct Net {
    servers: Vec<(&'static str, Server)>,
    proxy: u16,
    heads: Arc<Mutex<Vec<String>>>,
    /// The authority that signed the certificates.
    pub authority: Authority,
}

/// What a server or the proxy received.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The origin of the server, or [`PROXY`].
    pub by: &'static str,
    /// The first line, all headers and the body of a request, or a text about a client certificate or about a
    /// connection over SOCKS5.
    pub text: String,
}

/// How many requests, client certificates and heads were recorded at one moment.
pub struct Mark {
    requests: Vec<usize>,
    certificates: Vec<usize>,
    heads: usize,
}

impl Net {
    /// Starts the servers and the proxy.
    pub fn start() -> Net {
        let authority = Authority::default();
        let names: Vec<&str> = ORIGINS.iter().map(|origin| host(origin).trim_end_matches('.')).collect();
        let config = authority.config_named(&names);
        let servers: Vec<(&str, Server)> = ORIGINS
            .into_iter()
            .map(|origin| {
                let tls = origin.starts_with("https").then(|| config.clone());
                (origin, Server::start_h2(tls))
            })
            .collect();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let mut net = Net { servers, proxy: 0, heads, authority };
        net.proxy = start_proxy(net.ports(), net.heads.clone());
        net
    }

    /// Returns the host and port of each origin, and the port on which its server is.
    pub fn ports(&self) -> Vec<(String, u16)> {
        self.servers.iter().map(|(origin, server)| (authority_of(origin), server.port())).collect()
    }

    /// Returns the address of the proxy, without a scheme.
    pub fn proxy(&self) -> String {
        format!("127.0.0.1:{}", self.proxy)
    }

    /// Returns the server of an origin.
    pub fn server(&self, origin: &str) -> &Server {
        let found = self.servers.iter().find(|(one, _)| *one == origin);
        &found.expect("an origin of this net").1
    }

    /// Remembers how much was recorded so far.
    pub fn mark(&self) -> Mark {
        Mark {
            requests: self.servers.iter().map(|(_, server)| server.requests().len()).collect(),
            certificates: self.servers.iter().map(|(_, server)| server.identified()).collect(),
            heads: self.heads.lock().expect("no panic").len(),
        }
    }

    /// Returns what was recorded since the mark.
    pub fn since(&self, mark: &Mark) -> Vec<Seen> {
        let mut seen = Vec::new();
        for (place, (by, server)) in self.servers.iter().enumerate() {
            for request in server.requests().split_off(mark.requests[place]) {
                let named = request.header("host").or(request.header(":authority")).unwrap_or_default();
                assert_eq!(named, authority_of(by).trim_end_matches(usual_port(by)), "{by}: {request:?}");
                let mut text = format!("{} {}\n", request.method, request.target);
                for (name, value) in &request.headers {
                    text += &format!("{name}: {value}\n");
                }
                text += &String::from_utf8_lossy(&request.body);
                seen.push(Seen { by, text });
            }
            if server.identified() > mark.certificates[place] {
                seen.push(Seen { by, text: CERTIFICATE.into() });
            }
        }
        let heads = self.heads.lock().expect("no panic");
        seen.extend(heads[mark.heads..].iter().map(|text| Seen { by: PROXY, text: text.clone() }));
        seen
    }
}

/// The text that is recorded when a client shows its certificate.
pub const CERTIFICATE: &str = "(a client certificate)";

/// Returns the host of an origin.
pub fn host(origin: &str) -> &str {
    let (_, rest) = origin.split_once("://").expect("an origin");
    rest.split(':').next().unwrap_or(rest)
}

fn usual_port(origin: &str) -> &'static str {
    if origin.starts_with("https") { ":443" } else { ":80" }
}

/// Returns the host and the port of an origin.
fn authority_of(origin: &str) -> String {
    let (_, rest) = origin.split_once("://").expect("an origin");
    if rest.contains(':') { rest.into() } else { format!("{rest}{}", usual_port(origin)) }
}

type Ports = Arc<Vec<(String, u16)>>;
type Heads = Arc<Mutex<Vec<String>>>;

fn start_proxy(ports: Vec<(String, u16)>, heads: Heads) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let ports: Ports = Arc::new(ports);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (ports, heads) = (ports.clone(), heads.clone());
            thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
                let mut first = [0];
                match stream.peek(&mut first) {
                    Ok(1) if first == [5] => socks(stream, &ports, &heads),
                    Ok(1) => http(stream, &ports, &heads),
                    _ => None,
                }
            });
        }
    });
    port
}

/// Requires a login, accepts every login, and then opens a tunnel or forwards a request.
fn http(mut stream: TcpStream, ports: &Ports, heads: &Heads) -> Option<()> {
    let mut head = read_head(&mut stream)?;
    heads.lock().expect("no panic").push(head.clone());
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    if !head.to_ascii_lowercase().contains("\r\nproxy-authorization:") {
        let challenge =
            "HTTP/1.1 407 Log In\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(challenge.as_bytes()).ok();
    }
    let authority = match method.as_str() {
        "CONNECT" => target,
        _ => authority_of(&target.split('/').take(3).collect::<Vec<_>>().join("/")),
    };
    let Some(port) = port_of(ports, &authority) else {
        return stream.write_all(b"HTTP/1.1 502 Unknown\r\nContent-Length: 0\r\n\r\n").ok();
    };
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    if method == "CONNECT" {
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
        return splice(stream, server);
    }
    // One request for each connection.
    let kept = |line: &&str| !line.to_ascii_lowercase().starts_with("proxy-");
    head = head.split("\r\n").filter(kept).collect::<Vec<_>>().join("\r\n");
    head.insert_str(head.len() - 2, "Connection: close\r\n");
    server.write_all(head.as_bytes()).ok()?;
    splice(stream, server)
}

/// Speaks SOCKS5, with a login if the client has one (RFC 1928 and RFC 1929).
fn socks(mut stream: TcpStream, ports: &Ports, heads: &Heads) -> Option<()> {
    let read = |stream: &mut TcpStream, most: usize| {
        let mut bytes = vec![0; most];
        stream.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let methods = read(&mut stream, 2)?[1];
    let with_login = read(&mut stream, methods.into())?.contains(&2);
    stream.write_all(&[5, if with_login { 2 } else { 0 }]).ok()?;
    let mut text = String::from("SOCKS");
    if with_login {
        for _ in 0..2 {
            // The version comes once, before the length of the name.
            let length = read(&mut stream, if text.len() == 5 { 2 } else { 1 })?;
            let word = read(&mut stream, (*length.last()?).into())?;
            text += &format!(" {}", String::from_utf8_lossy(&word));
        }
        stream.write_all(&[1, 0]).ok()?;
    }
    let length = read(&mut stream, 5)?[4];
    let name = read(&mut stream, length.into())?;
    let port = read(&mut stream, 2)?;
    let authority = format!("{}:{}", String::from_utf8_lossy(&name), u16::from_be_bytes([port[0], port[1]]));
    heads.lock().expect("no panic").push(format!("{text} {authority}"));
    let Some(port) = port_of(ports, &authority) else {
        return stream.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).ok();
    };
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    splice(stream, TcpStream::connect(("127.0.0.1", port)).ok()?)
}

fn port_of(ports: &Ports, authority: &str) -> Option<u16> {
    ports.iter().find(|(one, _)| one == authority).map(|(_, port)| *port)
}
