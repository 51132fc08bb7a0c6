//! Downloads through real proxies: squid, tinyproxy, microsocks, dante, and haproxy as a proxy with TLS.
//! Small files, HTTP/2, several connections and a resumed file are tested with each of them.
//!
//! If one of these programs is missing, its tests print a note and are skipped, except in CI, which installs
//! all of them.

use crate::common::daemon::Daemon;
use crate::common::{Place, finish, send};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw};
use rustix::process::Signal;

const USER: &str = "ann";
const PASSWORD: &str = "open:sesame";

/// The size of a file that is large enough for several connections and a resumed download.
const SIZE: u64 = 8_000_000;

/// The number of bytes that must have arrived before a download is interrupted.
const INTERRUPTED_AT: u64 = 500_000;

/// The number of files in a list.
const FILES: u64 = 12;

/// The login that a squid requires.
#[derive(Clone, Copy, PartialEq)]
enum Login {
    None,
    Basic,
    Digest,
}

fn squid(login: Login) -> Option<Daemon> {
    Daemon::start("squid", |folder, port| {
        let root = folder.path().display();
        // The output of `openssl passwd -apr1 -salt abcdefgh open:sesame`
        folder.write("basic", format!("{USER}:$apr1$abcdefgh$61nyThxXNQvJVflxZVKPt1\n"));
        // In this format, a password cannot contain a colon.
        folder.write("digest", format!("{USER}:sesame\n"));
        let login = match login {
            Login::None => "http_access allow all".to_string(),
            Login::Basic => format!(
                "auth_param basic program /usr/lib/squid/basic_ncsa_auth {root}/basic
                 auth_param basic realm here
                 acl known proxy_auth REQUIRED
                 http_access allow known"
            ),
            Login::Digest => format!(
                "auth_param digest program /usr/lib/squid/digest_file_auth {root}/digest
                 auth_param digest realm here
                 acl known proxy_auth REQUIRED
                 http_access allow known"
            ),
        };
        let config = format!(
            "http_port 127.0.0.1:{port}
             pid_filename none
             cache deny all
             shutdown_lifetime 0 seconds
             coredump_dir {root}
             cache_log {root}/cache.log
             access_log stdio:{root}/access.log
             max_filedescriptors 1024
             {login}
             http_access deny all\n"
        );
        let config: String = config.lines().map(|line| format!("{}\n", line.trim_start())).collect();
        let config = folder.write("squid.conf", config);
        vec!["-N".into(), "-f".into(), config.display().to_string()]
    })
}

fn tinyproxy() -> Option<Daemon> {
    Daemon::start("tinyproxy", |folder, port| {
        let root = folder.path().display();
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogFile \"{root}/log\"\nLogLevel Connect\nMaxClients 100\n\
             Allow 127.0.0.1\nBasicAuth {USER} sesame\n"
        );
        let config = folder.write("tinyproxy.conf", config);
        vec!["-d".into(), "-c".into(), config.display().to_string()]
    })
}

fn microsocks() -> Option<Daemon> {
    Daemon::start("microsocks", |_, port| {
        let port = port.to_string();
        ["-i", "127.0.0.1", "-p", &port, "-u", USER, "-P", PASSWORD].map(String::from).to_vec()
    })
}

fn dante() -> Option<Daemon> {
    Daemon::start("danted", |folder, port| {
        let root = folder.path().display();
        let config = format!(
            "logoutput: {root}/log
             internal: 127.0.0.1 port = {port}
             external: 127.0.0.1
             clientmethod: none
             socksmethod: none
             client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
             socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 protocol: tcp }}\n"
        );
        let config = folder.write("danted.conf", config);
        vec!["-f".into(), config.display().to_string()]
    })
}

/// Starts haproxy with TLS in front of the proxy on this port.
fn haproxy(authority: &Authority, behind: u16) -> Option<Daemon> {
    Daemon::start("haproxy", |folder, port| {
        let (certificate, key) = authority.pem_pair();
        let both = folder.write("both.pem", certificate + &key);
        let config = format!(
            "defaults
               mode tcp
               timeout connect 10s
               timeout client 60s
               timeout server 60s
             frontend secure
               bind 127.0.0.1:{port} ssl crt {}
               default_backend proxy
             backend proxy
               server proxy 127.0.0.1:{behind}\n",
            both.display()
        );
        let config = folder.write("haproxy.cfg", config);
        vec!["-f".into(), config.display().to_string()]
    })
}

/// Downloads through a proxy: a list over http, a list over https, files over HTTP/2, a file over several
/// connections, and a file that is interrupted and resumed.
fn everything_comes_through(authority: &Authority, proxy: &[&str]) {
    let (plain, secure) = (Server::start(), Server::start_h2(Some(authority.config(Flaw::None))));
    for (server, more) in [(&plain, &[][..]), (&secure, &["--http1"]), (&secure, &["--http2"])] {
        let place = Place::new();
        place.write("ca.pem", authority.pem());
        let list: String =
            (0..FILES).map(|n| server.url(&format!("well_behaved/{}/{n}\n", n * 9999))).collect();
        place.write("list", list);
        let before = server.requests().len();
        let args = ["-i", "list", "-d", "out", "-j", "3", "--cacert", "ca.pem", "-H", "X-Mine: mine"];
        let out = place.run(&[&args[..], proxy, more].concat());
        for n in 0..FILES {
            place.assert_exact(&out, &format!("out/{n}"), &content(&n.to_string(), n * 9999));
        }
        for request in &server.requests()[before..] {
            assert_eq!(request.header("x-mine"), Some("mine"));
            assert_eq!(request.header("proxy-authorization"), None, "{request:?}");
            assert!(request.target.starts_with('/'), "{request:?}");
            assert_eq!(request.version == 2, more == ["--http2"], "{request:?}");
        }
    }
    for server in [Server::start(), Server::start_tls(authority.config(Flaw::None))] {
        let place = Place::new();
        place.write("ca.pem", authority.pem());
        let url = server.url(&format!("capped/{SIZE}/file?rate=1000000"));
        let args = [&[url.as_str(), "-o", "f", "-x", "4", "--cacert", "ca.pem"], proxy].concat();
        let child = place.start(&args);
        place.wait_for_bytes("f.part", INTERRUPTED_AT);
        send(Signal::INT, &child);
        assert_eq!(finish(child).status, 130);
        let before = server.requests().len();
        let out = place.run(&args);
        place.assert_exact(&out, "f", &content("file", SIZE));
        assert!(server.requests()[before..].iter().any(|one| one.header("range").is_some()), "it is resumed");
        assert!(server.most_open() >= 3, "{} connections", server.most_open());
    }
}

#[test]
fn files_are_downloaded_through_squid_without_a_login() {
    let Some(squid) = squid(Login::None) else { return };
    everything_comes_through(
        &Authority::default(),
        &["--proxy", &format!("http://127.0.0.1:{}", squid.port)],
    );
    let log = squid.text("access.log");
    assert!(log.contains("CONNECT 127.0.0.1:") && log.contains("GET http://127.0.0.1:"), "{log}");
}

/// Returns how often squid required a login.
fn challenges(squid: &Daemon) -> usize {
    squid.text("access.log").lines().filter(|line| line.contains("/407 ")).count()
}

#[test]
fn files_are_downloaded_through_squid_with_a_basic_login() {
    let Some(squid) = squid(Login::Basic) else { return };
    let url = format!("http://{USER}:{}@127.0.0.1:{}", PASSWORD.replace(':', "%3A"), squid.port);
    everything_comes_through(&Authority::default(), &["--proxy", &url]);
    let log = squid.text("access.log");
    assert!(log.lines().filter(|line| line.contains(&format!(" {USER} "))).count() > 15, "{log}");
    // There are seven runs. In each run, at most three or four connections begin together.
    assert!((7..=28).contains(&challenges(&squid)), "{log}");
}

#[test]
fn files_are_downloaded_through_squid_with_a_digest_login() {
    let Some(squid) = squid(Login::Digest) else { return };
    let (url, login) = (format!("http://127.0.0.1:{}", squid.port), format!("{USER}:sesame"));
    everything_comes_through(&Authority::default(), &["--proxy", &url, "--proxy-user", &login]);
    let log = squid.text("access.log");
    assert!(log.lines().filter(|line| line.contains(&format!(" {USER} "))).count() > 15, "{log}");
    let place = Place::new();
    let server = Server::start();
    let out = place.run(&[
        &server.url("well_behaved/9/f"),
        "--proxy",
        &url,
        "--proxy-user",
        &format!("{USER}:wrong-hush"),
        "--on-error",
        "skip",
    ]);
    place.assert_failed(&out, 1, "did not accept the user name and the password");
    assert!(place.log().contains("proxy.login"), "{}", place.log());
    assert!(!(place.log() + &out.stderr).contains("hush"));
    assert!(server.requests().is_empty());
}

#[test]
fn files_are_downloaded_through_tinyproxy_with_a_login() {
    let Some(tinyproxy) = tinyproxy() else { return };
    let url = format!("{USER}:sesame@127.0.0.1:{}", tinyproxy.port);
    everything_comes_through(&Authority::default(), &["--proxy", &url]);
}

#[test]
fn files_are_downloaded_through_microsocks_with_a_login() {
    let Some(microsocks) = microsocks() else { return };
    for scheme in ["socks5", "socks5h"] {
        let url = format!("{scheme}://{USER}:{}@127.0.0.1:{}", PASSWORD.replace(':', "%3a"), microsocks.port);
        everything_comes_through(&Authority::default(), &["--proxy", &url]);
    }
    let place = Place::new();
    let url = format!("socks5h://127.0.0.1:{}", microsocks.port);
    let out =
        place.run(&["http://127.0.0.1:9/f", "--proxy", &url, "--proxy-user", "ann:wrong", "--retries", "0"]);
    place.assert_failed(&out, 1, "did not accept the user name and the password");
    let out = place.run(&["http://127.0.0.1:9/f", "--proxy", &url, "--retries", "0"]);
    place.assert_failed(&out, 1, "requires a user name and a password");
}

#[test]
fn files_are_downloaded_through_dante() {
    let Some(dante) = dante() else { return };
    for scheme in ["socks4a", "socks5h"] {
        let url = format!("{scheme}://127.0.0.1:{}", dante.port);
        everything_comes_through(&Authority::default(), &["--proxy", &url]);
    }
    let place = Place::new();
    let out = place.run(&[
        "http://127.0.0.1:9/f",
        "--proxy",
        &format!("socks5h://127.0.0.1:{}", dante.port),
        "--retries",
        "0",
    ]);
    place.assert_failed(&out, 1, "says: the server refused the connection");
    assert!(place.log().contains("proxy.failed"), "{}", place.log());
}

#[test]
fn files_are_downloaded_through_a_proxy_with_tls() {
    let Some(tinyproxy) = tinyproxy() else { return };
    let authority = Authority::default();
    let Some(haproxy) = haproxy(&authority, tinyproxy.port) else { return };
    let url = format!("https://127.0.0.1:{}", haproxy.port);
    everything_comes_through(&authority, &["--proxy", &url, "--proxy-user", "ann:sesame"]);
    // A proxy with an invalid certificate gets no request.
    let place = Place::new();
    let out = place.run(&["http://127.0.0.1:9/f", "--proxy", &url, "--on-error", "skip"]);
    place.assert_failed(&out, 1, "the proxy");
    assert!(place.log().contains("tls.untrusted") && out.stderr.contains(&url), "{}", out.stderr);
    // The proxy may still be writing lines about the requests before the last one.
    assert!(!tinyproxy.text("log").contains("http://127.0.0.1:9/f"), "{}", tinyproxy.text("log"));
}
