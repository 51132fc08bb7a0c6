//! Tests of which proxy is used, what it receives, and what its answers mean. The proxies in this file are
//! small models that record what they receive. `proxy_servers.rs` has real proxies.

use crate::common::daemon::free_port;
use crate::common::tcp::{read_head, splice};
use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw, self_signed};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The behaviour of a model on a connection.
#[derive(Clone)]
enum Does {
    /// Opens the tunnel that a CONNECT request asks for.
    Tunnels,
    /// Opens tunnels for requests with this value of `Proxy-Authorization` (the first field). Answers other
    /// requests with status 407 and these header lines (the second field).
    Wants(&'static str, &'static str),
    /// Sends these bytes after the head of a request, and closes the connection.
    Answers(Vec<u8>),
    /// Answers each message of the client with the next of these replies. After the last reply, opens a
    /// tunnel to the server.
    Socks(Vec<Vec<u8>>),
    /// Reads requests and never answers.
    IsSilent,
}

/// A model of a proxy.
struct Model {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    most_open: Arc<AtomicUsize>,
}

impl Model {
    /// Starts a model. Tunnels of SOCKS lead to the server on the port `server`.
    fn start(does: Does, server: u16) -> Model {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, most_open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (seen_there, most_there, open) = (seen.clone(), most_open.clone(), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (does, seen, most, open) =
                    (does.clone(), seen_there.clone(), most_there.clone(), open.clone());
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    serve(stream, &does, server, &seen);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Model { port, seen, most_open }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Returns the heads and messages that the model has received.
    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: TcpStream, does: &Does, server: u16, seen: &Mutex<Vec<String>>) {
    let note = |text: &[u8]| {
        let text = text.iter().map(|&byte| char::from(byte)).collect();
        seen.lock().expect("no panic").push(text);
    };
    if let Does::Socks(replies) = does {
        for reply in replies {
            let mut message = [0; 1024];
            let Ok(read) = stream.read(&mut message) else { return };
            note(&message[..read]);
            if stream.write_all(reply).is_err() {
                return;
            }
        }
        return forward(stream, server);
    }
    let Some(head) = read_head(&mut stream) else { return };
    note(head.as_bytes());
    let target = head.split(' ').nth(1).unwrap_or_default();
    let port = target.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
    match does {
        Does::Wants(value, challenge) if !head.contains(&format!("Proxy-Authorization: {value}\r\n")) => {
            let answer = format!("HTTP/1.1 407 Log In\r\n{challenge}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
        Does::Tunnels | Does::Wants(..) => {
            let _ = stream.write_all(b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 200 Connected\r\nVia: x\r\n\r\n");
            forward(stream, port);
        }
        Does::Answers(bytes) => {
            let _ = stream.write_all(bytes);
        }
        Does::IsSilent => thread::sleep(Duration::from_secs(20)),
        Does::Socks(_) => {}
    }
}

/// Passes on bytes between a client and the server on a port.
fn forward(client: TcpStream, port: u16) {
    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
        splice(client, server);
    }
}

/// Returns a server with TLS, and a place with the certificate of its authority.
fn secure() -> (Server, Place) {
    let authority = Authority::default();
    let place = Place::new();
    place.write("ca.pem", authority.pem());
    (Server::start_h2(Some(authority.config(Flaw::None))), place)
}

#[track_caller]
fn assert_fails(place: &Place, out: &Out, code: &str, says: &str) {
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
    assert!(place.log().contains(code), "expected {code}:\n{}", place.log());
}

#[test]
fn the_request_that_opens_a_tunnel_has_no_headers_for_the_server() {
    let (server, place) = secure();
    let proxy =
        Model::start(Does::Wants("Basic YW5uOmh1c2gtaHVzaA==", "Proxy-Authenticate: Basic realm=\"x\""), 0);
    let url = server.url("well_behaved/70000/f?token=quiet").replace("https://", "https://eve:hidden@");
    let args = ["--cacert", "ca.pem", "-A", "my agent", "-H", "X-Secret: quiet", "-H", "Cookie: quiet=1"];
    let login = ["--proxy", &proxy.url("http"), "--proxy-user", "ann:hush-hush", "-o", "f"];
    for more in [&["--http1"][..], &["--http2", "--if-exists", "overwrite"]] {
        let out = place.run(&[&[url.as_str()], &args[..], &login, more].concat());
        place.assert_exact(&out, "f", &content("f", 70_000));
    }
    let target = format!("127.0.0.1:{}", server.port());
    let head = |login: &str| {
        let agent = concat!("downhaul/", env!("CARGO_PKG_VERSION"));
        format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {agent}\r\nProxy-Connection: keep-alive\r\n{login}\r\n"
        )
    };
    let with_login = head("Proxy-Authorization: Basic YW5uOmh1c2gtaHVzaA==\r\n");
    let seen = proxy.seen();
    assert!(seen.iter().all(|one| *one == head("") || *one == with_login), "{seen:?}");
    assert_eq!((seen.first(), seen.get(1)), (Some(&head("")), Some(&with_login)));
    for request in server.requests() {
        assert_eq!(request.header("x-secret"), Some("quiet"));
        assert_eq!(request.header("proxy-authorization"), None);
    }
}

#[test]
fn a_header_for_a_proxy_never_reaches_a_server() {
    let (server, place) = secure();
    let proxy = Model::start(Does::Tunnels, 0);
    let url = server.url("well_behaved/1000/f");
    let header = ["-H", "Proxy-Authorization: Basic hush", "--cacert", "ca.pem", "--if-exists", "overwrite"];
    for way in [&["--proxy", &proxy.url("http")][..], &["--proxy", ""]] {
        let out = place.run(&[&[url.as_str()], &header[..], way].concat());
        place.assert_exact(&out, "f", &content("f", 1000));
    }
    assert!(server.requests().iter().all(|one| one.header("proxy-authorization").is_none()));
    assert!(proxy.seen().iter().all(|head| !head.to_lowercase().contains("proxy-authorization")));
}

#[test]
fn certificates_and_pinned_keys_are_required_through_a_tunnel_too() {
    let (pem, config) = self_signed("127.0.0.1", &["127.0.0.1"], Flaw::None);
    let server = Server::start_h2(Some(config));
    let proxy = Model::start(Does::Tunnels, 0);
    let wrong = format!("sha256//{}=", "A".repeat(43));
    let url = server.url("capped/3000000/f?rate=2000000");
    for (more, code) in [
        (&[][..], "tls.untrusted"),
        (&["--http2"], "tls.untrusted"),
        (&["--cacert", "keys/server.pem", "--pinned-pubkey", &wrong], "tls.pin"),
        (&["--cacert", "keys/server.pem", "--pinned-pubkey", &wrong, "--http2"], "tls.pin"),
        (&["--insecure", "--pinned-pubkey", &wrong], "tls.pin"),
    ] {
        let place = Place::new();
        place.write("keys/server.pem", &pem);
        let args = [url.as_str(), "--proxy", &proxy.url("http"), "-x", "3", "--on-error", "skip"];
        let out = place.run(&[&args[..], more].concat());
        assert_fails(&place, &out, code, "");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_proxy_that_requires_a_client_certificate_gets_none_and_the_error_says_so() {
    let authority = Authority::default();
    let place = Place::new();
    let (certificate, key) = authority.pem_pair();
    place.write("keys/ca.pem", authority.pem());
    place.write("keys/both.pem", certificate + &key);
    for config in [authority.config_for_clients(true), authority.config_for_clients_of_tls12()] {
        let proxy = Server::start_tls(config);
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://h.example/f");
            let proxy = format!("https://127.0.0.1:{}", proxy.port());
            let args = [&url, "--proxy", &proxy, "--on-error", "skip", "--retries", "0"];
            let tls = ["--cacert", "keys/ca.pem", "--cert", "keys/both.pem"];
            let out = place.run(&[&args[..], &tls].concat());
            assert_fails(&place, &out, "tls.client_refused", "the proxy requires a client certificate");
            assert!(out.stderr.contains(&proxy) && !out.stderr.contains("because --cert"), "{}", out.stderr);
        }
    }
}

#[test]
fn a_proxy_forwards_the_http_requests_of_one_host_over_the_same_connection() {
    // This server answers requests in absolute form itself, like a proxy that has all files in its cache.
    let proxy = Server::start();
    let place = Place::new();
    let list: String =
        (0..10).map(|n| format!("http://h{}.example:81/well_behaved/{n}00/{n}\n", n % 3)).collect();
    place.write("list", list);
    let url = proxy.url("").trim_end_matches('/').to_string();
    let out = place.run(&["-i", "list", "-d", "out", "-j", "1", "--proxy", &url]);
    for n in 0..10 {
        place.assert_exact(&out, &format!("out/{n}"), &content(&n.to_string(), n * 100));
    }
    for (n, request) in proxy.requests().iter().enumerate() {
        let host = format!("h{}.example:81", n % 3);
        assert_eq!(request.target, format!("http://{host}/well_behaved/{n}00/{n}"));
        assert_eq!(request.header("host"), Some(host.as_str()));
        // A proxy may send all requests of a connection to the server of its first request.
        assert_eq!(request.connection, n % 3 + 1, "{request:?}");
    }
}

#[test]
fn answers_of_a_proxy_are_never_taken_for_answers_of_the_server() {
    let answer = |line: &str, more: &str| {
        Does::Answers(format!("HTTP/1.1 {line}\r\n{more}Content-Length: 4\r\n\r\nbody").into_bytes())
    };
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 200_000]].concat();
    for (does, code, says) in [
        (answer("403 Not From Here", ""), "proxy.refused", "403 Not From Here"),
        (answer("404 Not Found", ""), "proxy.refused", "404 Not Found"),
        (answer("302 Found", "Location: https://evil.example/\r\n"), "proxy.refused", "302 Found"),
        (answer("502 Bad Gateway", ""), "proxy.failed", "502 Bad Gateway"),
        (answer("503 Too Busy", "Retry-After: 100000\r\n"), "proxy.failed", "503 Too Busy"),
        (answer("504 \x1b[31mred", ""), "proxy.failed", "504"),
        (answer("407 Log In", ""), "proxy.login", "requires a user name and a password"),
        (Does::Answers(b"SSH-2.0-x\r\n\r\n".to_vec()), "proxy.failed", "did not answer as HTTP proxies do"),
        (Does::Answers(Vec::new()), "proxy.failed", "closed the connection without an answer"),
        (Does::Answers(b"HTTP/1.1 200 O".to_vec()), "proxy.failed", "closed the connection"),
        (Does::Answers(endless), "proxy.failed", "sent an answer whose head is too long"),
        (Does::Answers(b"HTTP/1.1 100 W\r\n\r\n".repeat(30)), "proxy.failed", "sent no final answer"),
        (Does::IsSilent, "proxy.failed", "did not answer within 1 s"),
        (answer("401 Unauthorized", ""), "proxy.login", "401 Unauthorized"),
        // The tunnel is open, but the bytes that arrive through it are the login page of a network.
        (Does::Answers(b"HTTP/1.1 200 OK\r\n\r\n<html>no</html>".to_vec()), "proxy.failed", "is not TLS"),
    ] {
        let proxy = Model::start(does, 0);
        let place = Place::new();
        let url = proxy.url("http");
        let args = ["https://h.example/f", "--proxy", &url, "--retries", "0", "--connect-timeout", "1"];
        let out = place.run(&args);
        assert_fails(&place, &out, code, says);
        assert!(!out.stderr.contains('\x1b'), "{:?}", out.stderr);
        assert!(out.stderr.contains(&url), "the proxy is named: {}", out.stderr);
        assert!(!out.stderr.contains("write http://"), "{}", out.stderr);
        assert!(proxy.seen()[0].starts_with("CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n"));
    }
    let dead = format!("http://127.0.0.1:{}", free_port());
    let place = Place::new();
    for url in ["https://h.example/f", "http://h.example/f"] {
        let out = place.run(&[url, "--proxy", &dead, "--retries", "0"]);
        assert_fails(&place, &out, "proxy.unreachable", &dead);
    }
}

#[test]
fn the_error_says_if_a_proxy_does_not_accept_the_login() {
    let negotiate = "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM";
    let basic = "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm=\"a, b\"";
    for (challenge, says) in [
        (negotiate, "accepts logins only by Negotiate, NTLM"),
        (basic, "did not accept the user name and the password"),
        ("X: y", "does not say how to log in"),
    ] {
        let place = Place::new();
        let proxy = Model::start(Does::Wants("never", challenge), 0);
        for url in ["https://h.example/f", "http://h.example/f"] {
            let out = place.run(&[
                url,
                "--proxy",
                &proxy.url("http"),
                "--proxy-user",
                "ann:hush-hush",
                "--on-error",
                "skip",
            ]);
            assert_fails(&place, &out, "proxy.login", says);
            let all = out.stderr.clone() + &place.log();
            assert!(!all.contains("hush"), "{all}");
        }
        let with_login =
            proxy.seen().iter().filter(|head| head.to_lowercase().contains("proxy-authorization")).count();
        assert_eq!(
            with_login,
            if challenge == basic { 2 } else { 0 },
            "one for each URL: {:?}",
            proxy.seen()
        );
    }
}

#[test]
fn a_failure_of_a_forwarded_request_says_if_it_comes_from_the_proxy_or_from_the_server() {
    const EITHER: &str = "from the server or from the proxy ";
    for (status, headers, code, says) in [
        ("502 Bad", "", "http.server", EITHER),
        ("500 Bad", "", "http.server", EITHER),
        ("503 Bad", "Via: 1.1 x\r\n", "http.busy", EITHER),
        ("401 Log In", "", "http.unauthorized", EITHER),
        ("403 No", "", "http.forbidden", EITHER),
        ("404 None", "", "http.not_found", ""),
        // The proxy forwarded these responses, or wrote them itself and added `Via`.
        ("500 Bad", "Via: 1.1 x\r\nServer: squid\r\n", "http.server", EITHER),
        ("403 No", "Via: 1.1 x\r\n", "http.forbidden", EITHER),
        ("401 Log In", "Via: 1.1 x\r\n", "http.unauthorized", EITHER),
        // The server asks for a login, and the proxy forwarded this response.
        ("401 Log In", "Via: 1.1 x\r\nWWW-Authenticate: Basic realm=\"a\"\r\n", "http.unauthorized", ""),
        // The proxy itself wrote these responses.
        ("401 Unauthorized", "Server: tinyproxy/1.11.1\r\n", "proxy.login", "401 Unauthorized"),
        ("401 Unauthorized", "Proxy-Authenticate: Basic\r\n", "proxy.login", "401 Unauthorized"),
        ("500 Unable", "Server: tinyproxy/1.11.1\r\n", "proxy.failed", "500 Internal Server Error"),
        ("403 No", "X-Squid-Error: ERR_ACCESS_DENIED 0\r\nVia: x\r\n", "proxy.refused", "403 Forbidden"),
        ("503 No", "X-Squid-Error: ERR_DNS_FAIL 0\r\nVia: x\r\n", "proxy.failed", "503 Service"),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n");
        let proxy = Model::start(Does::Answers(answer.into_bytes()), 0);
        let place = Place::new();
        let args = ["http://h.example/f", "--proxy", &proxy.url("http"), "--user", "ann:quiet"];
        let out = place.run(&[&args[..], &["--retries", "0"]].concat());
        assert_fails(&place, &out, code, says);
        let names_it = code.starts_with("proxy.") || says == EITHER;
        // The command in a later line has the URL of the proxy too.
        let message = out.stderr.lines().next().unwrap_or_default();
        assert_eq!(message.contains(&proxy.url("http")), names_it, "{status} {headers}: {}", out.stderr);
        assert!(says != EITHER || out.stderr.contains(&format!("{says}{}", proxy.url("http"))));
        if status.starts_with("401") && names_it {
            assert!(out.stderr.contains("--proxy-user"), "{}", out.stderr);
            // After a refusal of the proxy, the login for the server is not tried.
            assert!(code != "proxy.login" || proxy.seen().len() == 1, "{:?}", proxy.seen());
        }
    }
}

#[test]
fn a_request_without_a_response_says_through_which_proxy_it_went() {
    for (does, code) in [
        (Does::Answers(Vec::new()), "net.reset"),
        (Does::IsSilent, "net.silent"),
        (Does::Answers(b"x\n\n".to_vec()), "http."),
    ] {
        let proxy = Model::start(does, 0);
        let place = Place::new();
        let args = ["http://h.example/f", "--retries", "0", "--timeout", "1", "--proxy", &proxy.url("http")];
        let out = place.run(&args);
        assert_fails(&place, &out, code, &format!("through the proxy {}", proxy.url("http")));
    }
}

#[test]
fn a_variable_with_an_unusable_proxy_stops_only_runs_that_need_the_proxy() {
    let server = Server::start();
    let through = format!("http://127.0.0.1:{}", server.port());
    let url = server.url("well_behaved/9/f");
    let away = server.url(&format!("redirect/9/f?to={}", "https://127.0.0.1:9/f"));
    let odd = "gopher://ann:hush@127.0.0.1:1/";
    for (variables, args, is_fetched) in [
        (&[("all_proxy", odd), ("http_proxy", &through)][..], &[][..], true),
        (&[("all_proxy", odd), ("no_proxy", "*")], &[], true),
        (&[("all_proxy", odd)], &["--no-proxy", "127.0.0.0/8"], true),
        (&[("all_proxy", odd)], &["--proxy", ""], true),
        (&[("https_proxy", odd)], &[], true),
        (&[("all_proxy", odd)], &[], false),
        (&[("http_proxy", odd)], &[], false),
    ] {
        let place = Place::new();
        let mut command = place.command(&[&[url.as_str()], args].concat());
        command.envs(variables.iter().copied());
        let out = crate::common::finish(command.spawn().expect("the program starts"));
        if is_fetched {
            place.assert_exact(&out, "f", &content("f", 9));
        } else {
            let says = format!("{}: the scheme of a proxy URL must be one of", variables[0].0);
            assert!(out.status == 2 && out.stderr.contains(&says), "{variables:?}: {}", out.stderr);
        }
        assert!(!out.stderr.contains("hush"), "{}", out.stderr);
    }
    // After a redirect to a URL that needs the proxy, no direct connection is made.
    let place = Place::new();
    let mut command = place.command(&[&away, "--on-error", "skip"]);
    command.env("https_proxy", odd);
    let out = crate::common::finish(command.spawn().expect("the program starts"));
    assert_fails(&place, &out, "proxy.invalid", "https_proxy: the scheme of a proxy URL must be one of");
}

#[test]
fn the_environment_is_read_as_curl_reads_it() {
    let proxy = Server::start();
    let direct = Server::start();
    let place = Place::new();
    let (through, other) = (format!("http://127.0.0.1:{}", proxy.port()), "http://127.0.0.1:9".to_string());
    let through = through.as_str();
    let url = direct.url("well_behaved/9/f");
    for (variables, args, is_through) in [
        (&[("http_proxy", through)][..], &[][..], true),
        (&[("http_proxy", through), ("HTTP_PROXY", &other)], &[], true),
        (&[("HTTP_PROXY", through)], &[], true),
        // In a CGI program, the client decides the value of this variable.
        (&[("HTTP_PROXY", &other), ("REQUEST_METHOD", "GET")], &[], false),
        (&[("http_proxy", through), ("REQUEST_METHOD", "GET")], &[], true),
        (&[("http_proxy", ""), ("all_proxy", through)], &[], true),
        (&[("ALL_PROXY", through)], &[], true),
        (&[("https_proxy", &other)], &[], false),
        (&[("http_proxy", through), ("no_proxy", "example.org, 127.0.0.0/8")], &[], false),
        (&[("http_proxy", through), ("NO_PROXY", "*")], &[], false),
        (&[("http_proxy", through), ("no_proxy", "*")], &["--no-proxy", "example.org"], true),
        (&[("http_proxy", &other)], &["--proxy", through], true),
        (&[("http_proxy", &other)], &["--proxy", ""], false),
        (&[("no_proxy", "127.0.0.1")], &["--proxy", through], false),
        (&[], &["--proxy", through, "--no-proxy", "127.0.0.1"], false),
        (&[], &["--proxy", &through["http://".len()..]], true),
    ] {
        let before = (proxy.requests().len(), direct.requests().len());
        let all = [&[url.as_str(), "--if-exists", "overwrite", "--retries", "0"], args].concat();
        let mut command = place.command(&all);
        command.envs(variables.iter().copied());
        let out = crate::common::finish(command.spawn().expect("the program starts"));
        place.assert_exact(&out, "f", &content("f", 9));
        let new = (proxy.requests().len() - before.0, direct.requests().len() - before.1);
        assert_eq!(new, if is_through { (1, 0) } else { (0, 1) }, "{variables:?} {args:?}");
    }
}

#[test]
fn a_proxy_that_cannot_be_read_is_a_usage_error_without_its_password() {
    let place = Place::new();
    for (variable, args, says) in [
        (("http_proxy", "ftp://ann:hush@h"), &[][..], "http_proxy: the scheme of a proxy URL must be one of"),
        (("X", ""), &["--proxy", "ftp://ann:hush@h"], "--proxy: the scheme of a proxy URL must be one of"),
        (("X", ""), &["--proxy", "http://ann:hush@h:70000"], "--proxy: the proxy must have the form"),
        (
            ("X", ""),
            &["--proxy", "h:1", "--proxy-user", "ann"],
            "--proxy-user ann has no password, and there is no terminal",
        ),
        (("X", ""), &["--proxy", "h:1", "--proxy-user", "@none"], "--proxy-user @none: it cannot be read"),
        (
            ("X", ""),
            &["--proxy", "socks5://h:1", "--proxy-user", ":hush"],
            "--proxy: the login of a SOCKS5 proxy needs a user name",
        ),
    ] {
        let all = [&["http://h.example/f"], args].concat();
        let mut command = place.command(&all);
        command.env(variable.0, variable.1);
        let out = crate::common::finish(command.spawn().expect("the program starts"));
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains(says) && !out.stderr.contains("hush"), "{args:?}: {}", out.stderr);
    }
}

#[test]
fn the_scheme_decides_if_a_socks_proxy_gets_names_or_addresses() {
    let server = Server::start();
    let url = format!("http://localhost:{}/well_behaved/9/f", server.port());
    let port = server.port().to_be_bytes();
    let text = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
    let granted_5 = vec![vec![5, 0], vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0]];
    for (scheme, replies, wanted) in [
        ("socks5h", granted_5.clone(), [&[5, 1, 0, 3, 9], &b"localhost"[..], &port].concat()),
        // Desktops write this form into `all_proxy`.
        ("socks", granted_5.clone(), [&[5, 1, 0, 3, 9], &b"localhost"[..], &port].concat()),
        ("socks5", granted_5, [&[5, 1, 0, 1, 127, 0, 0, 1][..], &port].concat()),
        (
            "socks4a",
            vec![vec![0, 0x5a, 0, 0, 0, 0, 0, 0]],
            [&[4, 1][..], &port, &[0, 0, 0, 1, 0], b"localhost\0"].concat(),
        ),
    ] {
        let proxy = Model::start(Does::Socks(replies), server.port());
        let place = Place::new();
        let out = place.run(&[&url, "--proxy", &proxy.url(scheme), "-4"]);
        place.assert_exact(&out, "f", &content("f", 9));
        assert_eq!(proxy.seen().last(), Some(&text(&wanted)), "{scheme}");
    }
}

#[test]
fn failures_of_socks_proxies_are_described() {
    let login = vec![vec![5, 2], vec![1, 1]];
    let reply = |reply: u8| vec![vec![5, 0], vec![5, reply, 0, 1, 0, 0, 0, 0, 0, 0]];
    for (scheme, replies, code, says) in [
        ("socks5h", reply(1), "proxy.failed", "general failure"),
        ("socks5h", reply(2), "proxy.refused", "its rules do not allow the connection"),
        ("socks5h", reply(4), "proxy.failed", "the host cannot be reached"),
        ("socks5h", reply(99), "proxy.failed", "(reply 99)"),
        (
            "socks5h",
            vec![vec![5, 0xff]],
            "proxy.login",
            "accepts none of the login methods that downhaul offers",
        ),
        ("socks5h", login, "proxy.login", "did not accept the user name and the password"),
        (
            "socks5h",
            vec![b"HTTP/1.1 400 Bad\r\n\r\n".to_vec()],
            "proxy.failed",
            "did not answer as SOCKS5 proxies do",
        ),
        (
            "socks5h",
            vec![vec![5, 0], vec![5, 0, 0, 9]],
            "proxy.failed",
            "did not answer as SOCKS5 proxies do",
        ),
        ("socks4a", vec![vec![0, 0x5b, 0, 0, 0, 0, 0, 0]], "proxy.failed", "rejected or failed"),
        ("socks4a", vec![vec![0, 0x5d, 0, 0, 0, 0, 0, 0]], "proxy.login", "did not accept the user name"),
        (
            "socks4a",
            vec![b"HTTP/1.1 400 Bad\r\n\r\n".to_vec()],
            "proxy.failed",
            "did not answer as SOCKS4 proxies do",
        ),
    ] {
        let proxy = Model::start(Does::Socks(replies), 9);
        let place = Place::new();
        let url = proxy.url(scheme);
        let out =
            place.run(&["http://h.example/f", "--proxy", &url, "--proxy-user", "ann:hush", "--retries", "0"]);
        assert_fails(&place, &out, code, says);
        assert!(out.stderr.contains(&url) && !out.stderr.contains("hush"), "{}", out.stderr);
    }
}

#[test]
fn a_host_name_that_is_too_long_for_socks_is_not_sent() {
    let proxy = Model::start(Does::Socks(vec![vec![5, 0], vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0]]), 9);
    let place = Place::new();
    let name = format!("{}example", "a.".repeat(130));
    for scheme in ["socks5h", "socks4a"] {
        let out =
            place.run(&[&format!("http://{name}/f"), "--proxy", &proxy.url(scheme), "--on-error", "skip"]);
        assert_fails(&place, &out, "proxy.refused", "at most 255 bytes, without NUL");
    }
    let out = place.run(&["http://[::1]:9/f", "--proxy", &proxy.url("socks4a"), "--on-error", "skip"]);
    assert_fails(&place, &out, "proxy.refused", "has no IPv6 addresses");
    assert!(proxy.seen().iter().all(String::is_empty), "{:?}", proxy.seen());
}

#[test]
fn connections_through_a_proxy_are_limited_over_all_hosts() {
    let servers = [Server::start(), Server::start()];
    let proxy =
        Model::start(Does::Socks(vec![vec![5, 0], vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0]]), servers[0].port());
    let place = Place::new();
    let url = |host: &str| format!("http://{host}.example/capped/2000000/{host}?rate=1000000\n");
    place.write("list", url("a") + &url("b"));
    let args = ["-i", "list", "-j", "2", "-x", "4", "--max-per-host", "3"];
    let out = place.run(&[&args[..], &["--proxy", &proxy.url("socks5h"), "--explain"]].concat());
    place.assert_exact(&out, "a", &content("a", 2_000_000));
    place.assert_exact(&out, "b", &content("b", 2_000_000));
    // A connection that is closed is noticed a moment later.
    let most = proxy.most_open.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} connections");
    let says = format!("Connections went through the proxy {}.", proxy.url("socks5h"));
    assert!(out.stderr.contains(&says), "{}", out.stderr);
}
