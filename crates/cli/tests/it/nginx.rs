//! Downloads many files from a real nginx, with and without TLS. Every byte must be equal, and the log and
//! the events must be complete.
//!
//! Without nginx these tests print a note and are skipped, except in CI, which installs nginx.

use crate::common::daemon::free_port;
use crate::common::{Place, events, finish, is_installed, wait_until};
use downhaul_testkit::content;
use downhaul_testkit::server::tls::Authority;
use std::collections::HashSet;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// The number of files. Their sizes go from 0 to some MiB.
const FILES: u64 = 200;

struct Nginx {
    process: Child,
    folder: Place,
    plain: u16,
    secure: u16,
    /// The port with HTTP/2.
    h2: u16,
}

fn size_of(n: u64) -> u64 {
    match n % 10 {
        0 => n / 10,
        9 => n * 20_000,
        _ => n * 700,
    }
}

impl Nginx {
    fn start() -> Option<Nginx> {
        if !is_installed("nginx") {
            return None;
        }
        let folder = Place::new();
        for n in 0..FILES {
            folder.write(&format!("www/{n}.bin"), content(&n.to_string(), size_of(n)));
        }
        let (certificate, key) = {
            let authority = Authority::default();
            folder.write("ca.pem", authority.pem());
            authority.pem_pair()
        };
        folder.write("cert.pem", certificate);
        folder.write("key.pem", key);
        let (plain, secure, h2) = (free_port(), free_port(), free_port());
        let root = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {root}/tmp-{kind};"))
            .concat();
        // `user` lets nginx read the folders of tests that the superuser runs. For other users, nginx prints
        // a warning.
        let config = format!(
            "user root; daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
             events {{ worker_connections 256; }}
             http {{ access_log off; {temporary} root {root}/www;
                 log_format seen '$server_protocol $ssl_session_reused $connection';
                 ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_session_cache shared:all:1m;
                 server {{ listen 127.0.0.1:{plain}; }}
                 server {{ listen 127.0.0.1:{secure} ssl; }}
                 server {{ listen 127.0.0.1:{h2} ssl http2; access_log {root}/seen.log seen; }} }}"
        );
        let config = folder.write("nginx.conf", config);
        let process = Command::new("nginx")
            .args(["-p", &root.to_string(), "-c"])
            .arg(config)
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Nginx { process, plain, secure, h2, folder };
        let listens = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
        wait_until("nginx listens", || [plain, secure, h2].iter().all(listens));
        Some(nginx)
    }

    /// Downloads all files, eight at once.
    fn download_all(&self, base: &str, more: &[&str]) {
        let place = Place::new();
        let list: String = (0..FILES).map(|n| format!("{base}/{n}.bin sub/{n}\n")).collect();
        place.write("list", list);
        let ca = self.folder.path().join("ca.pem");
        let ca = ca.to_str().expect("UTF-8");
        let args = ["-i", "list", "--parallel", "8", "-d", "out", "--cacert", ca, "--progress", "json"];
        let out = place.run(&[&args[..], more].concat());
        assert_eq!(out.status, 0, "{}", out.stderr);
        for n in 0..FILES {
            let bytes =
                place.file(&format!("out/sub/{n}")).unwrap_or_else(|| panic!("file {n} is not there"));
            assert!(bytes == content(&n.to_string(), size_of(n)), "file {n} is not exact");
        }
        assert_eq!(place.files().len() as u64, FILES + 1);
        let events = events(&out);
        for kind in ["queued", "started", "finished"] {
            let mut jobs: Vec<u64> =
                events.iter().filter(|e| e["kind"] == kind).filter_map(|e| e["job"].as_u64()).collect();
            jobs.sort_unstable();
            assert!(jobs.into_iter().eq(1..=FILES), "every file is {kind} once");
        }
        let total: u64 = (0..FILES).map(size_of).sum();
        let summary = events.last().expect("a summary");
        assert_eq!((&summary["finished"], &summary["bytes"]), (&FILES.into(), &total.into()));
        let log = place.log();
        assert_eq!(
            log.lines().filter(|line| line.contains(" - INFO - finished out/sub/")).count() as u64,
            FILES
        );
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM to the first process of nginx stops nginx quickly.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

#[test]
fn two_hundred_files_over_http_and_https_are_exact() {
    let Some(nginx) = Nginx::start() else { return };
    nginx.download_all(&format!("http://127.0.0.1:{}", nginx.plain), &[]);
    nginx.download_all(&format!("https://localhost:{}", nginx.secure), &[]);
}

#[test]
fn two_hundred_files_over_http2_are_exact() {
    let Some(nginx) = Nginx::start() else { return };
    let base = format!("https://localhost:{}", nginx.h2);
    let seen = |more: &[&str]| {
        nginx.folder.write("seen.log", "");
        nginx.download_all(&base, more);
        String::from_utf8(nginx.folder.file("seen.log").expect("a log")).expect("UTF-8")
    };
    let (forced, by_itself, one) = (seen(&["--http2"]), seen(&[]), seen(&["--http1"]));
    assert!(forced.lines().all(|line| line.starts_with("HTTP/2.0 ")), "{forced}");
    let connections: HashSet<_> = forced.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(connections.len(), 1);
    // Every tenth file is large. Without an option, downhaul uses HTTP/1.1 for such files.
    for version in ["HTTP/2.0 ", "HTTP/1.1 "] {
        assert!(by_itself.contains(version), "{by_itself}");
    }
    assert!(by_itself.contains(" r "), "no TLS session was resumed: {by_itself}");
    assert!(one.lines().all(|line| line.starts_with("HTTP/1.1 ")), "{one}");
}

/// By default nginx closes a connection after a thousand requests.
#[test]
fn connections_that_nginx_closes_are_replaced() {
    let Some(nginx) = Nginx::start() else { return };
    let place = Place::new();
    // The query makes every target different.
    let list: String = (0..2500).map(|n| format!("https://localhost:{}/1.bin?{n} {n}\n", nginx.h2)).collect();
    place.write("list", list);
    let ca = nginx.folder.path().join("ca.pem");
    let ca = ca.to_str().expect("UTF-8");
    for more in [&[][..], &["--http2"]] {
        let args = ["-i", "list", "-j", "32", "-d", "out", "--cacert", ca, "--retries", "0"];
        let out = place.run(&[&args[..], &["--if-exists", "overwrite"], more].concat());
        assert_eq!(out.status, 0, "{}", out.stderr);
        let bytes = content("1", size_of(1));
        assert!((0..2500).all(|n| place.file(&format!("out/{n}")).as_ref() == Some(&bytes)));
    }
}

#[test]
fn a_stopped_server_gets_a_clear_error() {
    let Some(nginx) = Nginx::start() else { return };
    let place = Place::new();
    let url = format!("http://127.0.0.1:{}/199.bin", nginx.plain);
    drop(nginx);
    let out = finish(place.start(&[&url, "--retries", "1"]));
    place.assert_failed(&out, 1, "Connection refused");
}

#[test]
fn a_file_beyond_four_gib_is_exact() {
    use std::os::unix::fs::FileExt;
    const SIZE: u64 = (4 << 30) + 3_000_001;
    let Some(nginx) = Nginx::start() else { return };
    // The other tests that run at the same time need room too.
    let Some(place) = Place::with_room_for(SIZE + (1 << 30)) else { return };
    // The file has mostly holes. It has marks at offsets where a mistake is likely.
    let big = std::fs::File::create(nginx.folder.path().join("www/big.bin")).expect("a file");
    big.set_len(SIZE).expect("sparse");
    let marks = [0, (1 << 31) - 3, (1 << 32) - 3, (1 << 32) + 1_234_567, SIZE - 7];
    for at in marks {
        big.write_all_at(&at.to_le_bytes()[..7], at).expect("writes");
    }
    let url = format!("http://127.0.0.1:{}/big.bin", nginx.plain);
    let out = place.run(&[&url, "-x", "3"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let got = std::fs::File::open(place.path().join("big.bin")).expect("it is there");
    assert_eq!(got.metadata().expect("a size").len(), SIZE);
    for at in marks {
        let mut mark = [0; 7];
        got.read_exact_at(&mut mark, at).expect("reads");
        assert_eq!(mark, at.to_le_bytes()[..7], "at {at}");
    }
    assert_eq!(place.files(), ["big.bin"]);
}
