//! Tests that all sources follow the rules for protocols, and that a program can add a source of its own.

use downhaul_core::error::ErrorKind;
use downhaul_engine::source::{GivenBy, Opened, Request, Source, Sources};
use downhaul_engine::{Error, HttpVersion, Job, Session, Settings};
use downhaul_testkit::conformance::{
    Abilities, check_change, check_cut, check_failure, check_file, check_silence,
};
use downhaul_testkit::content;
use downhaul_testkit::memory_source::MemorySource;
use downhaul_testkit::net_sim::host::{Allows, SimHost};
use downhaul_testkit::net_sim::{SimSource, World};
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw};
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;

const ALL: Abilities = Abilities::ALL;

/// Returns the HTTP source of a URL.
fn http(url: &str, settings: &Settings) -> Arc<dyn Source> {
    let sources = Sources::http(settings).expect("a client");
    sources.source(&sources.parse_url(url).expect("a URL"), GivenBy::User)
}

fn memory(content: &[u8]) -> MemorySource {
    MemorySource::new(Url::parse("mem://host/file").expect("a URL"), content.to_vec())
}

#[tokio::test]
async fn the_source_of_a_file_in_memory_conforms() {
    let (before, after) = (content("before", 100_000), content("after", 100_000));
    let source = memory(&before);
    check_file(&source, &before, ALL).await.expect("conforms");
    check_change(&source, (&before, &after), ALL, || source.replace(after.clone())).await.expect("conforms");
    check_file(&memory(b""), b"", ALL).await.expect("the source of an empty file conforms");
}

#[tokio::test]
async fn http_conforms_with_servers_of_different_abilities() {
    let (server, settings) = (Server::start(), Settings::default());
    for (sin, able) in [
        ("well_behaved", ALL),
        ("superset", ALL),
        ("get_only", ALL),
        ("head_says_nothing", ALL),
        ("no_ranges", Abilities { ranges: false, ..ALL }),
        ("ranges_ignored", Abilities { ranges: false, ..ALL }),
        ("everything_as_a_part", ALL),
    ] {
        let source = http(&server.url(&format!("{sin}/30000/f")), &settings);
        let result = check_file(&*source, &content("f", 30_000), able).await;
        result.unwrap_or_else(|broken| panic!("{sin}: {broken}"));
    }
    let redirected = http(&server.url("redirect_chain/30000/f?hops=3"), &settings);
    check_file(&*redirected, &content("f", 30_000), ALL).await.expect("conforms behind redirects");
}

#[tokio::test]
async fn http2_conforms() {
    let authority = Authority::default();
    let server = Server::start_h2(Some(authority.config(Flaw::None)));
    let settings = Settings::default().with_insecure(true).with_http_version(HttpVersion::Two);
    let source = http(&server.url("well_behaved/30000/f"), &settings);
    check_file(&*source, &content("f", 30_000), ALL).await.expect("conforms");
    assert!(server.requests().iter().all(|request| request.version == 2));
}

#[tokio::test]
async fn a_changed_file_on_an_http_server_gets_a_new_validator() {
    let (server, settings) = (Server::start(), Settings::default());
    let source = http(&server.url("well_behaved/30000/a"), &settings);
    let (before, after) = (content("a", 30_000), content("b", 20_000));
    let change = || server.becomes("well_behaved/30000/a", "well_behaved/20000/b");
    check_change(&*source, (&before, &after), ALL, change).await.expect("conforms");
}

#[tokio::test]
async fn failures_over_http_have_the_right_kind() {
    let (server, settings) = (Server::start(), Settings::default());
    for (path, kind) in [
        ("status/9/f?status=404", ErrorKind::HttpNotFound),
        ("status/9/f?status=410", ErrorKind::HttpGone),
        ("status/9/f?status=401", ErrorKind::HttpUnauthorized),
        ("status/9/f?status=403", ErrorKind::HttpForbidden),
        ("status/9/f?status=500", ErrorKind::HttpServer),
        ("negative_length/9/f", ErrorKind::HttpMalformed),
    ] {
        let result = check_failure(&*http(&server.url(path), &settings), kind).await;
        result.unwrap_or_else(|broken| panic!("{path}: {broken}"));
    }
    let url = server.url("well_behaved/9/f");
    drop(server);
    tokio::time::sleep(Duration::from_millis(50)).await;
    check_failure(&*http(&url, &settings), ErrorKind::ConnectRefused).await.expect("nothing listens");
    let unknown = Sources::none().source(&Url::parse("ftp://h/f").expect("a URL"), GivenBy::User);
    check_failure(&*unknown, ErrorKind::UrlScheme).await.expect("the URL has an unknown scheme");
}

#[tokio::test]
async fn http_returns_an_error_after_silence_and_for_broken_bodies() {
    let (server, file) = (Server::start(), content("f", 30_000));
    let settings = Settings::default().with_timeout(Duration::from_millis(300));
    let silent = http(&server.url("slow_first_byte/30000/f"), &settings);
    check_silence(&*silent, Duration::from_secs(5)).await.expect("conforms");
    for sin in ["truncated_body", "truncated_chunked_body", "reset_in_mid_body"] {
        let source = http(&server.url(&format!("{sin}/30000/f")), &settings);
        check_cut(&*source, &file).await.unwrap_or_else(|broken| panic!("{sin}: {broken}"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulated_network_conforms_if_it_does_not_misbehave() {
    for seed in 0..200 {
        let (world, able) = World::honest(seed);
        let file = world.versions[0].clone();
        let source = SimSource::new(Arc::new(Mutex::new(world)));
        let result = check_file(&source, &file, able).await;
        result.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
    let allows = Allows {
        transfers: 100,
        ban: Duration::from_secs(1),
        rate: 1_000.0,
        burst: 1_000.0,
        speed: 1_000_000.0,
    };
    let file = SimHost::new(allows).file("f", 200_000);
    check_file(&file, &content("f", 200_000), ALL).await.expect("the source of a simulated host conforms");
}

/// A source that breaks one rule.
struct RuleBreaker {
    inner: MemorySource,
    how: &'static str,
}

impl Source for RuleBreaker {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        Box::pin(async move {
            let asked_for_all = request.is_for_everything();
            let mut opened = self.inner.open(request).await?;
            match self.how {
                "size" => opened.remote.size = Some(7),
                "validator" if !asked_for_all => {
                    opened.remote.validator = downhaul_engine::source::Validator::Etag("\"x\"".into());
                }
                "shifted" if !asked_for_all => {
                    opened.remote.span = downhaul_engine::source::Span::Range(0..1);
                }
                "empty" => opened.body = Box::pin(futures_util::stream::empty()),
                _ => {}
            }
            Ok(opened)
        })
    }
}

#[tokio::test]
async fn a_source_that_breaks_a_rule_is_found() {
    let file = content("f", 50_000);
    for how in ["size", "validator", "shifted", "empty"] {
        let breaker = RuleBreaker { inner: memory(&file), how };
        let broken = check_file(&breaker, &file, ALL).await.expect_err(how);
        assert!(!broken.is_empty(), "{how}");
    }
    assert!(
        check_cut(&memory(&file), &file).await.is_err(),
        "a body that does not break is an error of check_cut"
    );
    let same = check_change(&memory(&file), (&file, &file), ALL, || {}).await;
    assert!(same.is_err(), "a validator that does not change is an error of check_change");
    assert!(
        check_failure(&memory(&file), ErrorKind::HttpNotFound).await.is_err(),
        "a request that succeeds is an error of check_failure"
    );
}

/// A source that counts its requests.
struct Counting(Arc<dyn Source>, Arc<AtomicUsize>);

impl Source for Counting {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.open(request)
    }
}

#[tokio::test]
async fn a_program_adds_a_protocol_and_wraps_http_on_the_real_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings::default().with_output(folder.path());
    let (server, count) = (Server::start(), Arc::new(AtomicUsize::new(0)));
    let (in_memory, counter) = (content("m", 5_000_000), count.clone());
    let served = in_memory.clone();
    let sources = Sources::http(&settings)
        .expect("a client")
        .wrapped(move |_, inner| Arc::new(Counting(inner, counter.clone())))
        .with_scheme("mem", move |url, _| Arc::new(MemorySource::new(url.clone(), served.clone())));
    assert_eq!(sources.parse_url("ftp://h/f").map_err(|e| e.kind), Err(ErrorKind::UrlScheme));
    let urls = ["mem://host/in-memory".to_string(), server.url("well_behaved/30000/over-http")];
    let session = Session::builder(settings).sources(sources.clone()).start().expect("starts");
    for url in &urls {
        session.add(Job::new(sources.parse_url(url).expect("a URL"))).await.expect("is open");
    }
    let summary = session.finish().await;
    assert_eq!((summary.finished, summary.failed), (2, 0));
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("a file");
    assert!(read("in-memory") == in_memory, "the bytes of the added protocol");
    assert!(read("over-http") == content("over-http", 30_000), "the bytes of HTTP");
    assert_eq!(count.load(Ordering::Relaxed), 1, "only the HTTP source is wrapped");
}
