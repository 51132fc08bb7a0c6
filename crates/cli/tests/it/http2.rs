//! Tests of HTTP/2: when it is used, and what happens when it fails.

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::tls::{Authority, Flaw};
use downhaul_testkit::server::{Request, Server};

/// A server, usually with TLS and HTTP/2, and a place with the certificate of its authority.
struct Secure {
    server: Server,
    place: Place,
    authority: Authority,
}

impl Secure {
    fn start() -> Secure {
        Secure::start_with(|authority| Server::start_h2(Some(authority.config(Flaw::None))))
    }

    fn start_with(server: impl Fn(&Authority) -> Server) -> Secure {
        let authority = Authority::default();
        let place = Place::new();
        place.write("ca.pem", authority.pem());
        Secure { server: server(&authority), place, authority }
    }

    /// Downloads these files (`SIN/SIZE/NAME`) as `out/NAME`, and asserts that they are exact.
    fn get(&self, files: &[String], more: &[&str]) -> Out {
        let list: String = files.iter().map(|file| self.server.url(file) + "\n").collect();
        self.place.write("list", list);
        let args = ["-i", "list", "-d", "out", "--cacert", "ca.pem"];
        let out = self.place.run(&[&args[..], more].concat());
        for file in files {
            let mut parts = file.split(['/', '?']).skip(1);
            let size = parts.next().and_then(|size| size.parse().ok()).expect("a size");
            let name = parts.next().expect("a name");
            self.place.assert_exact(&out, &format!("out/{name}"), &content(name, size));
        }
        out
    }

    /// Returns the requests for `NAME`.
    fn asked(&self, name: &str) -> Vec<Request> {
        self.server.requests_for(&format!("/{name}"))
    }
}

fn small(names: std::ops::Range<u32>) -> Vec<String> {
    names.map(|n| format!("well_behaved/{}/s{n}", n * 311)).collect()
}

/// After this many small files in a row, downhaul assumes that the next files of the origin are small too.
const SEEN: u32 = 8;

fn connections(requests: &[Request]) -> usize {
    let mut all: Vec<usize> = requests.iter().map(|request| request.connection).collect();
    all.sort_unstable();
    all.dedup();
    all.len()
}

fn of_version(requests: &[Request], version: u8) -> Vec<Request> {
    requests.iter().filter(|request| request.version == version).cloned().collect()
}

#[test]
fn two_hundred_small_files_share_one_connection() {
    let secure = Secure::start();
    secure.get(&small(0..200), &["-j", "8"]);
    let two = of_version(&secure.server.requests(), 2);
    assert!(two.len() > 150, "only {} requests went over HTTP/2", two.len());
    assert_eq!(connections(&two), 1);
    // The HTTP/2 connection replaced an HTTP/1.1 connection, which the server closes a moment later.
    assert!(secure.server.most_open() <= 9, "{} connections", secure.server.most_open());
    let head = &two[0];
    assert_eq!(head.header(":scheme"), Some("https"));
    assert_eq!(head.header(":authority"), Some(format!("127.0.0.1:{}", secure.server.port()).as_str()));
    assert_eq!(head.header("accept-encoding"), Some("identity"));
    for illegal in ["host", "connection", "te", "transfer-encoding"] {
        assert_eq!(head.header(illegal), None, "{illegal}");
    }
}

#[test]
fn few_files_large_files_and_files_over_plain_http_use_http1() {
    let secure = Secure::start();
    secure.get(&small(0..SEEN), &[]);
    assert!(of_version(&secure.server.requests(), 2).is_empty(), "nothing was known of the origin yet");

    let secure = Secure::start();
    let large: Vec<String> = (0..20).map(|n| format!("well_behaved/300000/l{n}")).collect();
    secure.get(&large, &[]);
    assert!(of_version(&secure.server.requests(), 2).is_empty(), "the files are not small");

    let secure = Secure::start_with(|_| Server::start_h2(None));
    secure.get(&small(0..50), &[]);
    assert!(of_version(&secure.server.requests(), 2).is_empty(), "nothing is known of the files before");
}

/// Downloads a list that states the sizes of its files `(SIN, SIZE, NAME)`, in one of two forms: `metalink`
/// or `lines`.
fn listed(secure: &Secure, form: &str, files: &[(&str, u64, String)], more: &[&str]) -> Out {
    let mut list = String::new();
    for (sin, size, name) in files {
        let url = secure.server.url(&format!("{sin}/{size}/{name}"));
        list += &match form {
            "metalink" => format!("<file name='{name}'><size>{size}</size><url>{url}</url></file>"),
            _ => format!("{{\"url\":\"{url}\",\"out\":\"{name}\",\"size\":{size}}}\n"),
        };
    }
    if form == "metalink" {
        list = format!("<metalink xmlns='urn:ietf:params:xml:ns:metalink'>{list}</metalink>");
    }
    secure.place.write("list", list);
    let out = secure.place.run(&[&["-i", "list", "-d", "out", "--cacert", "ca.pem"], more].concat());
    for (_, size, name) in files {
        secure.place.assert_exact(&out, &format!("out/{name}"), &content(name, *size));
    }
    out
}

#[test]
fn files_that_are_known_to_be_small_use_http2_from_the_first_request_on() {
    let small: Vec<_> = (0..12).map(|n| ("well_behaved", 3000 + n, format!("s{n}"))).collect();
    for form in ["metalink", "lines"] {
        for parallel in ["1", "8"] {
            let secure = Secure::start();
            listed(&secure, form, &small, &["-j", parallel]);
            let requests = secure.server.requests();
            assert!(of_version(&requests, 1).is_empty(), "{form}, {parallel} at once");
            assert_eq!((requests.len(), connections(&requests)), (12, 1), "{form}, {parallel} at once");
            assert_eq!(secure.server.handshakes().0, 1, "{form}, {parallel} at once");
        }
    }
    // A lock file states the sizes too. The run that wrote the lock file did not know the sizes before.
    let secure = Secure::start();
    let list: Vec<String> =
        small[..3].iter().map(|(sin, size, name)| format!("{sin}/{size}/{name}")).collect();
    secure.get(&list, &["--record", "lock"]);
    assert!(of_version(&secure.server.requests(), 2).is_empty());
    let before = secure.server.requests().len();
    let out = secure.place.run(&["-i", "lock", "-d", "again", "--cacert", "ca.pem"]);
    secure.place.assert_exact(&out, "again/s2", &content("s2", 3002));
    let again = secure.server.requests().split_off(before);
    assert_eq!((again.len(), of_version(&again, 2).len()), (3, 3));
}

#[test]
fn a_file_that_is_known_to_be_large_never_uses_http2() {
    for form in ["metalink", "lines"] {
        let secure = Secure::start();
        let mut files: Vec<_> = (0..20).map(|n| ("well_behaved", 1000, format!("s{n}"))).collect();
        files.insert(10, ("well_behaved", 300_000, "large".into()));
        listed(&secure, form, &files, &["-j", "1"]);
        assert!(secure.asked("large").iter().all(|request| request.version == 1), "{form}");
        assert_eq!(of_version(&secure.server.requests(), 2).len(), 20, "{form}: the others still do");
    }
    // A large file does not use HTTP/2 either if all earlier files of the origin were small.
    let secure = Secure::start();
    let small: String = small(0..20).iter().map(|file| secure.server.url(file) + "\n").collect();
    let large = secure.server.url("well_behaved/300000/large");
    secure.place.write("list", format!("{small}{{\"url\":\"{large}\",\"size\":300000}}\n"));
    let out = secure.place.run(&["-i", "list", "-j", "1", "--cacert", "ca.pem"]);
    secure.place.assert_exact(&out, "large", &content("large", 300_000));
    assert!(secure.asked("large").iter().all(|request| request.version == 1));
    assert!(!of_version(&secure.server.requests(), 2).is_empty());
}

#[test]
fn sizes_from_a_list_are_only_a_hint_and_http2_may_be_missing() {
    // The key `size` of a JSON line is also passed through, so it may have any value.
    let secure = Secure::start();
    let url = secure.server.url("well_behaved/5000/f");
    for size in ["7", "-1", "\"5000\"", "0.5", "99999999999999999999"] {
        secure.place.write("list", format!("{{\"url\":\"{url}\",\"size\":{size}}}\n"));
        let out = secure.place.run(&["-i", "list", "--if-exists", "overwrite", "--cacert", "ca.pem"]);
        secure.place.assert_exact(&out, "f", &content("f", 5000));
    }
    let without = Secure::start_with(|authority| Server::start_tls(authority.config(Flaw::None)));
    let small: Vec<_> = (0..12).map(|n| ("well_behaved", 3000 + n, format!("s{n}"))).collect();
    listed(&without, "metalink", &small, &["-j", "4"]);
    assert!(without.server.handshakes().0 <= 4, "{:?}", without.server.handshakes());
}

/// When HTTP/2 is tried, its connection replaces an idle one, and is opened after that one is closed. The
/// server may notice this too late, so there are several attempts.
#[test]
fn a_server_without_http2_gets_at_most_as_many_connections_as_files_at_once() {
    let most_open = || {
        let secure = Secure::start_with(|authority| Server::start_tls(authority.config(Flaw::None)));
        let files: Vec<String> = (0..200).map(|n| format!("well_behaved/{}/f{n}", n * 31)).collect();
        secure.get(&files, &["-j", "16"]);
        secure.server.most_open()
    };
    let attempts: Vec<usize> = (0..8).map(|_| most_open()).collect();
    assert!(attempts.iter().any(|open| *open <= 16), "{attempts:?} connections");
}

#[test]
fn a_large_file_ends_http2_and_its_segments_use_http1() {
    let secure = Secure::start();
    let mut files = small(0..20);
    files.push("h2_slow/20000000/large".into());
    files.extend(small(20..26));
    secure.get(&files, &["-j", "1", "-x", "4"]);
    let large = secure.asked("large");
    assert_eq!((large[0].version, large[0].header("range")), (2, None), "its size was not known before");
    let pieces: Vec<&Request> = large.iter().filter(|request| request.header("range").is_some()).collect();
    assert!(!pieces.is_empty());
    assert!(pieces.iter().all(|piece| piece.version == 1));
    assert!((20..26).all(|n| secure.asked(&format!("s{n}")).iter().all(|request| request.version == 1)));
}

#[test]
fn the_option_http1_forces_http1() {
    let secure = Secure::start();
    secure.get(&small(0..50), &["--http1"]);
    assert!(of_version(&secure.server.requests(), 2).is_empty());
}

#[test]
fn the_option_http2_forces_http2_over_https_and_over_plain_http() {
    for plain in [false, true] {
        let secure = if plain { Secure::start_with(|_| Server::start_h2(None)) } else { Secure::start() };
        let mut files = small(0..50);
        files.push("well_behaved/20000000/large".into());
        secure.get(&files, &["--http2", "-j", "8"]);
        let requests = secure.server.requests();
        assert_eq!(of_version(&requests, 1).len(), 0, "plain: {plain}");
        assert_eq!(connections(&requests), 1, "plain: {plain}");
    }
}

#[test]
fn the_option_http2_fails_if_the_server_does_not_support_http2() {
    let secure = Secure::start_with(|authority| Server::start_tls(authority.config(Flaw::None)));
    let strict = Secure::start_with(|authority| {
        let mut config = rustls::ServerConfig::clone(&authority.config(Flaw::None));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Server::start_tls(config.into())
    });
    let plain = Secure::start_with(|_| Server::start());
    for one in [&secure, &strict, &plain] {
        let url = one.server.url("well_behaved/100/f");
        let out = one.place.run(&[&url, "--http2", "--cacert", "ca.pem"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        for says in ["does not support the requested version of HTTP", "Leave out --http2"] {
            assert!(out.stderr.contains(says), "{says}: {}", out.stderr);
        }
        assert!(one.place.log().contains("[http.version]"));
        assert!(!one.place.log().contains("retrying"), "{}", one.place.log());
    }
    // Without `--http2`, a server that does not support HTTP/2 gets few handshakes, and no file fails.
    for one in [&secure, &strict] {
        one.get(&small(0..50), &["-j", "1"]);
        assert!(one.server.handshakes().0 <= 3, "{:?}", one.server.handshakes());
    }
}

#[test]
fn http1_and_http2_together_are_a_usage_error() {
    let out = Place::new().run(&["http://127.0.0.1:1/f", "--http1", "--http2"]);
    assert_eq!(out.status, 2, "{}", out.stderr);
}

/// Returns a list that begins with small files, so that HTTP/2 is used for the origin.
fn after_small_ones(file: &str) -> Vec<String> {
    small(0..SEEN + 2).into_iter().chain([file.to_string()]).chain(small(20..30)).collect()
}

#[test]
fn after_a_stalled_http2_connection_files_use_http1() {
    for (sin, tries) in [("h2_silent", 0), ("h2_stalls", 1)] {
        let secure = Secure::start();
        let file = format!("{sin}/200000/f");
        let out = secure.get(&after_small_ones(&file), &["-j", "1", "--timeout", "6", "--retries", "1"]);
        let versions: Vec<u8> = secure.asked("f").iter().map(|request| request.version).collect();
        assert_eq!(versions, [2, 1], "{sin}");
        let later = secure.asked("s25");
        assert_eq!(later[0].version, 1, "{sin}: HTTP/1.1 for the rest of the run");
        // If the failure comes before the head of the response, the request is repeated without a message. If
        // it comes later, the log has a message, and the file continues.
        let told = secure.place.log().matches("nothing came over HTTP/2 for 2 s").count();
        assert_eq!(told, tries, "{sin}: {}", secure.place.log());
        assert!(out.took.as_secs_f64() < 5.9, "{sin}: well below the time-out: {:?}", out.took);
    }
}

#[test]
fn a_refused_request_is_sent_again_without_a_message() {
    for plain in [false, true] {
        let secure = if plain { Secure::start_with(|_| Server::start_h2(None)) } else { Secure::start() };
        for sin in ["h2_refused_stream", "h2_gone_before", "h2_leaves"] {
            if sin == "h2_gone_before" && !plain {
                continue;
            }
            let name = format!("f-{sin}");
            let out = secure.get(&[format!("{sin}/1000/{name}")], &["--http2", "--retries", "0"]);
            assert!(!out.stderr.contains("retry"), "{sin}: {}", out.stderr);
            let again = usize::from(sin != "h2_leaves");
            assert_eq!(secure.asked(&name).len(), 1 + again, "{sin}");
        }
    }
    // A refused request is sent again without the option, too.
    let secure = Secure::start();
    let out = secure.get(&after_small_ones("h2_refused_stream/1000/f"), &["-j", "1", "--retries", "0"]);
    assert!(!out.stderr.contains("retry"), "{}", out.stderr);
    assert_eq!(secure.asked("f").len(), 2);
    let secure = Secure::start();
    secure.get(&after_small_ones("h2_not_here/1000/f"), &["-j", "1", "--retries", "0"]);
    let versions: Vec<u8> = secure.asked("f").iter().map(|request| request.version).collect();
    assert_eq!(versions, [2, 1]);
}

#[test]
fn a_post_is_not_sent_again_when_the_http2_connection_breaks() {
    let secure = Secure::start();
    secure.place.write(
        "list",
        secure.server.url("well_behaved/1000/a") + "\n" + &secure.server.url("h2_drops/1000/f"),
    );
    let args = ["-i", "list", "-j", "1", "--cacert", "ca.pem", "--http2", "--on-error", "skip"];
    let out = secure.place.run(&[&args[..], &["--data", "x"]].concat());
    assert_eq!((out.status, secure.asked("f").len()), (1, 1), "{}", out.stderr);
    assert!(out.stderr.contains("The server may have processed the request"), "{}", out.stderr);
}

/// A server that closes an HTTP/2 connection names the last request that it processes, in a GOAWAY frame
/// (RFC 9113, section 6.8).
#[test]
fn a_post_that_the_server_did_not_process_is_sent_again() {
    for sin in ["h2_gone_before", "h2_refused_stream"] {
        let server = Server::start_h2(None);
        let place = Place::new();
        place.write(
            "list",
            (0..20).map(|n| server.url(&format!("{sin}/1000/f{n}")) + "\n").collect::<String>(),
        );
        // A second GOAWAY frame must not name a later request than the first one. So one request is sent at a
        // time.
        let out = place.run(&["-i", "list", "--http2", "--data", "x", "-j", "1", "-d", "out"]);
        assert_eq!(out.status, 0, "{sin}: {}", out.stderr);
        for n in 0..20 {
            assert_eq!(place.file(&format!("out/f{n}")), Some(content(&format!("f{n}"), 1000)), "{sin}");
        }
        assert!(!out.stderr.contains("retry"), "{sin}: {}", out.stderr);
    }
}

#[test]
fn a_connection_that_the_server_ends_after_each_request_is_replaced() {
    let secure = Secure::start();
    let files: Vec<String> = (0..40).map(|n| format!("h2_leaves/2000/s{n}")).collect();
    secure.get(&files, &["-j", "4", "--retries", "0"]);
    secure.get(&files, &["-j", "4", "--retries", "0", "--if-exists", "overwrite", "--http2"]);
}

#[test]
fn interrupted_bodies_are_continued_over_http2() {
    for (sin, code) in [
        ("h2_reset_in_mid_body", "net.reset"),
        ("h2_shorter_than_announced", "http.truncated"),
        ("h2_longer_than_announced", "http.truncated"),
        ("h2_reset_without_error", "http.truncated"),
    ] {
        for more in [&["-j", "1"][..], &["-j", "1", "--http2"]] {
            let secure = Secure::start();
            secure.get(&after_small_ones(&format!("{sin}/200000/f")), more);
            assert!(secure.place.log().contains(&format!("[{code}]")), "{sin}: {}", secure.place.log());
            assert_eq!(secure.asked("f")[0].version, 2);
        }
    }
}

#[test]
fn a_body_that_always_breaks_is_downloaded_over_http1() {
    let secure = Secure::start();
    secure.get(&after_small_ones("h2_breaks_off/200000/f"), &["-j", "1", "--retries", "1"]);
    let versions: Vec<u8> = secure.asked("f").iter().map(|request| request.version).collect();
    assert_eq!(versions, [2, 1]);
}

#[test]
fn requests_that_wait_for_a_free_stream_do_not_count_as_stalled() {
    // The server allows six streams at the same time, and sends each stream for longer than the timeout.
    let slow = || (0..10).map(|n| format!("h2_slow/30000/f{n}"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let secure = Secure::start();
            let files: Vec<String> = slow().collect();
            secure.get(&files, &["--http2", "-j", "10", "--timeout", "2", "--retries", "0"]);
            assert_eq!(connections(&secure.server.requests()), 1);
        });
        // Without the option, requests that wait do not count as stalled either.
        scope.spawn(|| {
            let secure = Secure::start();
            let files: Vec<String> = small(0..60).into_iter().chain(slow()).collect();
            secure.get(&files, &["-j", "10", "--timeout", "3", "--retries", "0"]);
            assert!(of_version(&secure.asked("f"), 2).len() > 6);
        });
    });
}

#[test]
fn secrets_are_sent_only_to_their_origin() {
    let secure = Secure::start();
    let other = Server::start_h2(Some(secure.authority.config(Flaw::None)));
    let there = other.url("well_behaved/1000/f");
    let url =
        secure.server.url(&format!("redirect/1/x?to={there}")).replace("https://", "https://user:pass@");
    let args = [&url, "--http2", "-o", "f", "--cacert", "ca.pem", "-H", "X-Secret: s", "-H", "Cookie: c=1"];
    let out = secure.place.run(&args);
    secure.place.assert_exact(&out, "f", &content("f", 1000));
    let (first, second) = (&secure.server.requests()[0], &other.requests()[0]);
    assert_eq!((first.version, second.version), (2, 2));
    assert_eq!(first.header(":authority"), Some(format!("127.0.0.1:{}", secure.server.port()).as_str()));
    for name in ["authorization", "x-secret", "cookie"] {
        assert!(first.header(name).is_some(), "{name}");
        assert_eq!(second.header(name), None, "{name}");
    }
    // A given Host header becomes the authority.
    let out = secure.place.run(&[
        &secure.server.url("well_behaved/1000/g"),
        "--http2",
        "--cacert",
        "ca.pem",
        "-H",
        "Host: other.example",
    ]);
    secure.place.assert_exact(&out, "g", &content("g", 1000));
    assert_eq!(secure.asked("g")[0].header(":authority"), Some("other.example"));
}

#[test]
fn with_a_rate_limit_every_stream_still_gets_bytes() {
    let secure = Secure::start();
    // If the large file filled the window of the connection, the later files would wait for seconds.
    let files = ["17500000/large", "1000/a", "1000/b", "1000/c"].map(|file| format!("well_behaved/{file}"));
    let more = ["--http2", "-j", "2", "-x", "1", "--limit-rate", "4M", "--timeout", "2", "--retries", "0"];
    secure.get(&files, &more);
}

#[test]
fn tls_sessions_are_resumed_by_later_connections() {
    let secure = Secure::start_with(|authority| Server::start_tls(authority.config(Flaw::None)));
    // The server closes the connection after each response.
    let files: Vec<String> = (0..5).map(|n| format!("no_length/1000/t{n}")).collect();
    secure.get(&files, &["-j", "1"]);
    assert_eq!(secure.server.handshakes(), (5, 4));
    // A session of HTTP/1.1 is resumed for HTTP/2.
    let secure = Secure::start();
    secure.get(&small(0..20), &["-j", "1"]);
    assert_eq!(secure.server.handshakes(), (2, 1));
}
