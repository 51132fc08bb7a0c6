//! Tests of the functions of a session for programs. A program pauses, resumes, removes and limits jobs
//! while they run, reads events as a stream, writes files to its own writers, and drops the session.

#[path = "control/other_runs.rs"]
mod other_runs;
#[path = "control/small_files.rs"]
mod small_files;

use bytes::Bytes;
use downhaul_engine::options::{ByteRange, ChecksumList, Dedup, Keys};
use downhaul_engine::source::{GivenBy, Opened, Pause, Remote, Request, Source, Sources, Validator, Why};
use downhaul_engine::{
    Algorithm, AsyncWriter, Blame, Builder, Digest, Error, ErrorKind, Event, EventKind, Events, IfExists,
    Job, JobId, JobWriter, OnError, Phase, RangeReader, Remove, Session, Settings, Summary, Verify,
};
use downhaul_testkit::fake_disk::FakeDisk;
use downhaul_testkit::memory_source::MemorySource;
use downhaul_testkit::minisign::Signer;
use downhaul_testkit::net_sim::host::{Allows, SimHost};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Instant;
use url::Url;

/// The speed of each connection to the simulated host, in bytes a second.
const SPEED: u64 = 200_000;

/// A simulated host, a disk in memory, and a session that downloads files from the host to the disk.
struct World {
    host: Arc<SimHost>,
    disk: FakeDisk,
    session: Session,
    events: Events,
}

impl World {
    fn start(settings: Settings) -> World {
        World::on(FakeDisk::failing(0, 1), settings)
    }

    fn on(disk: FakeDisk, settings: Settings) -> World {
        let all = disk.clone();
        World::with(disk, settings, |settings, sources| {
            Session::builder(settings).sources(sources).disk(Arc::new(all)).seed(1)
        })
    }

    /// Starts a session that `builder` makes. `disk` is the disk of its files.
    fn with(disk: FakeDisk, settings: Settings, builder: impl FnOnce(Settings, Sources) -> Builder) -> World {
        let host = SimHost::new(Allows {
            transfers: usize::MAX,
            ban: Duration::ZERO,
            rate: f64::INFINITY,
            burst: f64::INFINITY,
            speed: SPEED as f64,
        });
        let here = host.clone();
        // URLs have the form `http://sim/NAME/SIZE`.
        let sources = Sources::for_all(move |url: &Url, _: GivenBy| {
            let (name, size) = url.path()[1..].split_once('/').expect("a name and a size");
            Arc::new(here.file(name, size.parse().expect("a size"))) as Arc<dyn Source>
        });
        let settings = settings.with_output("out").with_on_error(OnError::Retry);
        let session = builder(settings, sources).start().expect("starts");
        let events = session.events();
        World { host, disk, session, events }
    }

    fn job(&self, name: &str, size: u64) -> Job {
        Job::new(Url::parse(&format!("http://sim/{name}/{size}")).expect("a URL")).to_path(name)
    }

    async fn add(&self, name: &str, size: u64) -> JobId {
        self.session.add(self.job(name, size)).await.expect("is open")
    }

    /// Waits for an event of a job.
    async fn until(&mut self, job: JobId, wanted: impl Fn(&EventKind) -> bool) -> Arc<Event> {
        loop {
            let event = self.events.next().await.expect("the event arrives before the end of the session");
            if event.job == Some(job) && wanted(&event.kind) {
                return event;
            }
        }
    }

    fn is_exact(&self, name: &str, size: u64) -> bool {
        self.disk.read(Path::new("out").join(name)) == Some(content(name, size))
    }

    /// Ends the session. Returns its summary, and the jobs in the order in which they ended. The text
    /// of a job is `finished` or the code of its failure.
    async fn end(mut self) -> (Summary, Vec<(u64, String)>) {
        self.session.close().await;
        let mut ended = Vec::new();
        while let Some(event) = self.events.next().await {
            let how = match &event.kind {
                EventKind::Finished { .. } => "finished".to_string(),
                EventKind::Failed { error, .. } => error.code.clone(),
                _ => continue,
            };
            ended.push((event.job.expect("a job").get(), how));
        }
        (self.session.wait().await, ended)
    }
}

fn run<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(what)
}

/// Runs a test on a thread of its own, and fails if the test does not end within 60 seconds. A test does not
/// end if one of its tasks never waits.
fn must_end(test: impl FnOnce() + Send + 'static) {
    let (to, ended) = std::sync::mpsc::channel();
    let test = std::thread::spawn(move || {
        test();
        to.send(())
    });
    let result = ended.recv_timeout(Duration::from_secs(60));
    assert_ne!(result, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "the test does not end");
    test.join().expect("the test passes").expect("a receiver");
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn started(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Started { .. })
}

fn finished(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Finished { .. })
}

#[test]
fn a_paused_job_has_no_connections_and_continues_later_where_it_stopped() {
    run(async {
        for connections in [1, 4] {
            let settings = Settings::default().with_parallel(Some(1)).with_connections(Some(connections));
            let mut world = World::start(settings);
            let size = 20 * SPEED;
            let first = world.add("first", size).await;
            let second = world.add("second", SPEED).await;
            world.until(first, started).await;
            seconds(3).await;
            world.session.pause(first);
            world.until(second, finished).await;
            seconds(60).await;
            assert_eq!(world.host.transfers(), 0, "no bytes are transferred while the job is paused");
            let samples = world.session.samples();
            assert_eq!(samples.len(), 1);
            assert_eq!(samples[0].phase, Phase::Paused);
            let there = samples[0].bytes;
            assert!(there > SPEED, "{there} bytes were kept");
            assert!(world.disk.read("out/first.part").is_some() && !world.is_exact("first", size));
            world.session.resume(first);
            let event = world.until(first, finished).await;
            let EventKind::Finished { fetched, .. } = &event.kind else { unreachable!() };
            assert!(*fetched < size + 2 * SPEED, "{fetched} bytes were fetched for a file of {size}");
            assert!(world.is_exact("first", size) && world.is_exact("second", SPEED));
            assert_eq!(world.end().await.0.finished, 2);
        }
    });
}

#[test]
fn jobs_that_are_paused_before_they_start_do_not_start() {
    run(async {
        let mut world = World::start(Settings::default().with_parallel(Some(1)));
        let first = world.add("first", SPEED).await;
        let second = world.add("second", SPEED).await;
        // The director has not handled this job yet.
        let third = world.add("third", SPEED).await;
        world.session.pause(second);
        world.session.pause(third);
        world.until(first, finished).await;
        seconds(60).await;
        assert!(world.session.samples().is_empty() && world.host.counts().1 == 1);
        world.session.resume(third);
        world.until(third, finished).await;
        world.session.resume(second);
        let (summary, ended) = world.end().await;
        assert_eq!((summary.finished, ended), (3, vec![(2, "finished".to_string())]));
    });
}

#[test]
fn while_all_jobs_are_paused_no_job_starts() {
    run(async {
        let mut world = World::start(Settings::default().with_parallel(Some(2)));
        let size = 10 * SPEED;
        let first = world.add("first", size).await;
        world.until(first, started).await;
        world.session.pause_all();
        let second = world.add("second", size).await;
        seconds(120).await;
        assert_eq!((world.host.transfers(), world.host.counts().1), (0, 1));
        let since = Instant::now();
        world.session.resume_all();
        world.until(second, finished).await;
        assert!(since.elapsed() < Duration::from_secs(30));
        let (summary, _) = world.end().await;
        assert_eq!(summary.finished, 2);
    });
}

#[test]
fn a_session_can_be_stopped_while_jobs_are_paused() {
    run(async {
        let mut world = World::start(Settings::default().with_parallel(Some(1)).with_connections(Some(1)));
        let first = world.add("first", 20 * SPEED).await;
        let second = world.add("second", SPEED).await;
        world.until(first, started).await;
        seconds(3).await;
        world.session.pause(second);
        world.session.pause(first);
        seconds(1).await;
        world.session.stop();
        let (disk, (summary, _)) = (world.disk.clone(), world.end().await);
        assert_eq!((summary.failed, summary.resumable), (2, 1));
        assert!(disk.read("out/first.part.journal").is_some());
    });
}

#[test]
fn each_job_that_a_stopped_session_has_accepted_ends_with_an_event() {
    run(async {
        let mut world = World::start(Settings::default().with_parallel(Some(1)));
        let first = world.add("first", 20 * SPEED).await;
        world.until(first, started).await;
        let mut added = 1;
        // The director takes some of the jobs, and the others stay in the channel.
        for _ in 0..2 {
            while let Some(id) = world.session.add(world.job(&added.to_string(), SPEED)).now_or_never() {
                id.expect("is open");
                added += 1;
            }
            seconds(1).await;
        }
        assert!(added > 100, "{added} jobs were added");
        world.session.stop();
        seconds(1).await;
        let late = world.session.add(world.job("late", SPEED)).now_or_never();
        assert!(matches!(late, Some(Err(_))), "a stopped session accepts no job");
        let mut failed = 0;
        while failed < added {
            let event = world.events.next().await.expect("an event of each job");
            failed += u64::from(matches!(event.kind, EventKind::Failed { .. }));
        }
        let summary = world.session.wait().await;
        assert_eq!((summary.files, summary.failed, summary.stopped), (added, added, added));
    });
}

/// A source whose body consists of empty buffers and has no end.
struct Empty(Url);

impl Source for Empty {
    fn open(&self, _request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        let mut remote = Remote::whole(self.0.clone());
        remote.size = Some(10);
        let body = Box::pin(stream::repeat_with(|| Ok(Bytes::new())));
        Box::pin(std::future::ready(Ok(Opened { remote, body })))
    }
}

#[test]
fn a_body_of_empty_buffers_counts_as_silence() {
    must_end(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let sources =
                Sources::for_all(|url: &Url, _: GivenBy| Arc::new(Empty(url.clone())) as Arc<dyn Source>);
            let settings = Settings::default().with_output("out").with_retries(0);
            let settings = settings.with_timeout(Duration::from_millis(300));
            let disk = Arc::new(FakeDisk::failing(0, 1));
            let session = Session::builder(settings).sources(sources).disk(disk).start().expect("starts");
            let mut events = session.events();
            session.add(Job::given("http://sim/f").expect("a URL")).await.expect("is open");
            session.close().await;
            let mut codes = Vec::new();
            while let Some(event) = events.next().await {
                if let EventKind::Failed { error, .. } = &event.kind {
                    codes.push((error.code.clone(), error.at.clone()));
                }
            }
            assert_eq!(codes, [("net.silent".into(), "http://sim/f".into())]);
        });
    });
}

/// A source that panics, either when it is opened or when its body is read.
struct Panics(Url);

impl Source for Panics {
    fn open(&self, _request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        Box::pin(async {
            assert_eq!(self.0.path(), "/body", "a panic in a test");
            let body = Box::pin(stream::poll_fn(|_| panic!("a panic in a test")));
            let mut remote = Remote::whole(self.0.clone());
            remote.size = Some(1000);
            Ok(Opened { remote, body })
        })
    }
}

#[test]
fn a_panic_in_a_source_fails_its_job_and_no_other_job() {
    must_end(|| {
        run(async {
            let sources = Sources::for_all(|url: &Url, _: GivenBy| match url.host_str() {
                Some("panics") => Arc::new(Panics(url.clone())) as Arc<dyn Source>,
                _ => Arc::new(MemorySource::new(url.clone(), content("f", 1000))),
            });
            let builder = Session::builder(Settings::default().with_output("out")).sources(sources).seed(1);
            let session = builder.disk(Arc::new(FakeDisk::failing(0, 1))).start().expect("starts");
            let mut events = session.events();
            for url in ["http://panics/open", "http://panics/body", "http://sim/f"] {
                session.add(Job::given(url).expect("a URL")).await.expect("is open");
            }
            let summary = session.finish().await;
            assert_eq!((summary.finished, summary.failed), (1, 2));
            while let Some(event) = events.next().await {
                if let EventKind::Failed { error, .. } = &event.kind {
                    assert_eq!(error.code, "net.reset");
                    assert!(error.at.starts_with("http://panics/"), "{}", error.at);
                }
            }
        });
    });
}

/// A writer that panics when it is dropped if its field is true, and otherwise in `finish`.
struct PanickingWriter(bool);

impl JobWriter for PanickingWriter {
    fn write_all(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        assert!(self.0, "a panic in a test");
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Drop for PanickingWriter {
    fn drop(&mut self) {
        assert!(!self.0, "a panic in a test");
    }
}

#[test]
fn a_panic_in_a_writer_fails_its_job() {
    must_end(|| {
        run(async {
            let world = World::start(Settings::default());
            for in_drop in [false, true] {
                let job = world.job("f", SPEED).to_writer(PanickingWriter(in_drop));
                world.session.add(job).await.expect("is open");
            }
            let (_, ended) = world.end().await;
            assert_eq!(ended.len(), 2);
            assert!(ended.iter().all(|(_, code)| code == "disk.failed"), "{ended:?}");
        });
    });
}

#[test]
fn a_panic_in_the_source_of_a_checksum_list_fails_the_jobs() {
    must_end(|| {
        run(async {
            for url in ["http://panics/open", "http://panics/body", "http://panics/factory"] {
                let sources = Sources::for_all(|url: &Url, _: GivenBy| match url.host_str() {
                    Some("panics") => {
                        assert_ne!(url.path(), "/factory", "a panic in a test");
                        Arc::new(Panics(url.clone())) as Arc<dyn Source>
                    }
                    _ => Arc::new(MemorySource::new(url.clone(), content("f", 1000))),
                });
                let list = ChecksumList::Url(Url::parse(url).expect("a URL"));
                let settings = Settings::default().with_checksums(Some(list));
                let builder = Session::builder(settings).sources(sources).seed(1);
                let session = builder.disk(Arc::new(FakeDisk::failing(0, 1))).start().expect("starts");
                session.add(Job::given("http://sim/f").expect("a URL")).await.expect("is open");
                assert_eq!(session.finish().await.failed, 1);
            }
        });
    });
}

#[test]
fn the_number_0_counts_as_1() {
    run(async {
        let settings =
            Settings::default().with_parallel(Some(0)).with_max_per_host(0).with_max_connections(0);
        let mut world = World::start(settings);
        let first = world.add("first", SPEED).await;
        world.until(first, finished).await;
    });
}

#[test]
fn a_header_that_cannot_be_sent_is_an_error() {
    run(async {
        let world = World::start(Settings::default());
        for (name, value) in [("X-Key", "a\r\nX: b"), ("a b", "c"), ("Range", "bytes=0-1")] {
            world.session.add(world.job(name, SPEED).with_header(name, value)).await.expect("is open");
        }
        // A token that was read from a file often ends with a line end.
        world.session.add(world.job("f", SPEED).with_header("X-Key", "token\n")).await.expect("is open");
        let (_, ended) = world.end().await;
        let invalid = |job| (job, "url.invalid".to_string());
        assert_eq!(ended, [invalid(1), invalid(2), invalid(3), (4, "finished".to_string())]);
        let settings = Settings::default().with_headers([("X-Key", "a\nb")].into_iter().collect());
        assert_eq!(Session::start(settings).map(drop).map_err(|e| e.kind), Err(ErrorKind::UrlInvalid));
    });
}

#[test]
fn a_session_whose_runtime_or_factory_failed_ends() {
    // The runtime of this session is dropped at the end of `run`.
    let world = run(async {
        let mut world = World::start(Settings::default().with_parallel(Some(1)));
        let first = world.add("first", SPEED).await;
        world.add("second", 100 * SPEED).await;
        world.until(first, finished).await;
        // The session ends before this job leaves the channel.
        world.add("third", SPEED).await;
        world
    });
    run(async {
        let summary = world.session.finish().await;
        assert_eq!((summary.files, summary.finished, summary.failed, summary.stopped), (3, 1, 2, 2));
        assert_eq!(summary.blames, [Blame::Stopped]);
        let sources = Sources::for_all(|_, _| panic!("a panic in a test"));
        let session = Session::builder(Settings::default()).sources(sources).start().expect("starts");
        session.add(Job::given("http://sim/f").expect("a URL")).await.expect("is open");
        AssertUnwindSafe(session.finish()).catch_unwind().await.expect_err("the factory panicked");
        assert_eq!(session.finish().await, Summary::default());
    });
}

#[test]
fn a_removed_job_keeps_its_partial_file_unless_that_is_discarded() {
    run(async {
        for (remove, stays) in [(Remove::KeepPartial, true), (Remove::Discard, false)] {
            let mut world =
                World::start(Settings::default().with_parallel(Some(1)).with_connections(Some(1)));
            let size = 20 * SPEED;
            let first = world.add("first", size).await;
            let second = world.add("second", SPEED).await;
            let third = world.add("third", SPEED).await;
            world.until(first, started).await;
            seconds(5).await;
            world.session.remove(second, remove);
            world.session.remove(first, remove);
            world.until(third, finished).await;
            assert_eq!(world.host.transfers(), 0);
            assert_eq!(world.disk.read("out/first.part").is_some(), stays);
            let disk = world.disk.clone();
            let (summary, ended) = world.end().await;
            assert_eq!((summary.finished, summary.failed, summary.resumable), (1, 2, u64::from(stays)));
            assert_eq!(ended, vec![], "all jobs had ended before the session was closed");
            // A later session continues with the partial file that was kept.
            let mut world = World::on(disk, Settings::default());
            let again = world.add("first", size).await;
            let event = world.until(again, finished).await;
            let EventKind::Finished { fetched, .. } = &event.kind else { unreachable!() };
            assert_eq!(*fetched < size - 2 * SPEED, stays, "{fetched} bytes were fetched");
            assert!(world.is_exact("first", size));
        }
    });
}

#[test]
fn a_removed_job_can_be_added_again() {
    run(async {
        let mut world = World::start(Settings::default().with_parallel(Some(2)));
        // The server gives the files of these URLs the name `file`.
        let url = |host: &str| Url::parse(&format!("http://{host}/name/{}", 5 * SPEED)).expect("a URL");
        let jobs = [world.job("first", 5 * SPEED), Job::new(url("one")), Job::new(url("two"))];
        let mut paths = Vec::new();
        for job in jobs {
            let removed = world.session.add(job.clone()).await.expect("is open");
            world.until(removed, started).await;
            world.session.remove(removed, Remove::KeepPartial);
            let again = world.session.add(job).await.expect("is open");
            let event = world.until(again, finished).await;
            let EventKind::Finished { path, .. } = &event.kind else { unreachable!() };
            paths.push(path.clone());
        }
        assert_eq!(paths, ["out/first", "out/file", "out/file (1)"]);
        assert_eq!(world.end().await.0.failed, 3);
    });
}

#[test]
fn commands_take_effect_before_jobs_that_are_added_later() {
    run(async {
        for _ in 0..20 {
            let mut world = World::start(Settings::default());
            world.session.pause_all();
            let first = world.add("first", SPEED).await;
            seconds(60).await;
            assert_eq!(world.host.counts().1, 0, "no request was sent while all jobs were paused");
            world.session.remove(first, Remove::Discard);
            let again = world.add("first", SPEED).await;
            world.session.resume_all();
            world.until(again, finished).await;
            assert!(world.is_exact("first", SPEED));
        }
    });
}

#[test]
fn the_job_with_the_highest_priority_starts_next() {
    run(async {
        let mut world = World::start(Settings::default().with_parallel(Some(1)));
        let first = world.add("1", SPEED).await;
        world.until(first, started).await;
        for name in ["2", "3", "4", "5"] {
            world.add(name, SPEED).await;
        }
        let urgent = world.job("6", SPEED).with_priority(2);
        world.session.add(urgent).await.expect("is open");
        world.session.set_priority(JobId::new(4), 1);
        world.session.set_priority(JobId::new(2), -1);
        let (_, ended) = world.end().await;
        let order: Vec<u64> = ended.into_iter().map(|(job, _)| job).collect();
        assert_eq!(order, [1, 6, 4, 3, 5, 2]);
    });
}

#[test]
fn further_connections_go_to_the_job_with_the_highest_priority() {
    run(async {
        let settings = Settings::default().with_parallel(Some(2));
        let mut world = World::start(settings);
        let size = 100 * SPEED;
        let first = world.add("first", size).await;
        let second = world.session.add(world.job("second", size).with_priority(1)).await.expect("is open");
        world.until(second, finished).await;
        let other = world.session.samples();
        let there = other.iter().find(|one| one.job == first).map_or(size, |one| one.bytes);
        assert!(there * 3 < size * 2, "the other job has {there} of {size} bytes");
    });
}

#[test]
fn the_rate_limit_of_one_job_can_be_set_and_removed() {
    run(async {
        let mut world = World::start(Settings::default().with_parallel(Some(2)));
        let size = 10 * SPEED;
        let since = Instant::now();
        let slow = world.job("slow", size).with_rate_limit(SPEED / 10);
        let slow = world.session.add(slow).await.expect("is open");
        let fast = world.add("fast", size).await;
        world.until(fast, finished).await;
        assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
        tokio::time::sleep_until(since + Duration::from_secs(20)).await;
        let bytes = world.session.samples()[0].bytes;
        assert!((SPEED * 3 / 2..SPEED * 5 / 2).contains(&bytes), "{bytes} bytes in 20 s");
        world.session.set_job_rate_limit(slow, None);
        world.until(slow, finished).await;
        assert!(since.elapsed() < Duration::from_secs(35), "{:?}", since.elapsed());
    });
}

#[test]
fn the_rate_limit_of_a_session_can_be_set_while_it_runs() {
    run(async {
        let mut world = World::start(Settings::default());
        let size = 10 * SPEED;
        let job = world.add("file", size).await;
        world.until(job, started).await;
        world.session.set_rate_limit(Some(SPEED / 10));
        seconds(30).await;
        let bytes = world.session.samples()[0].bytes;
        assert!(bytes < SPEED * 9 / 2, "{bytes} bytes");
        world.session.set_rate_limit(None);
        assert_eq!(world.end().await.0.finished, 1);
    });
}

/// The jobs of one session have different options. This test uses real sockets and the real disk.
#[tokio::test]
async fn each_job_has_its_own_headers_connections_and_rule_for_existing_files() {
    let (one, other) = (Server::start(), Server::start());
    let folder = tempfile::tempdir().expect("a folder");
    let there = folder.path().join("there.bin");
    std::fs::write(&there, b"old").expect("written");
    let mut settings = Settings::default().with_output(folder.path()).with_retries(0);
    settings.headers = [("X-All", "all")].into_iter().collect();
    let session = Session::start(settings).expect("starts");
    let job = |server: &Server, path: &str, name: &str| {
        Job::given(&server.url(path)).expect("a URL").to_path(name).with_connections(1)
    };
    let secret = job(&one, "well_behaved/1000/secret.bin", "secret.bin")
        .with_credentials("me", "hunter2")
        .with_header("X-All", "mine")
        .with_mirror(Url::parse(&other.url("well_behaved/1000/secret.bin")).expect("a URL"));
    let shown = format!("{secret:?}");
    assert!(!shown.contains("bWU6aHVudGVyMg==") && !shown.contains("hunter2"), "{shown}");
    let jobs = [
        secret,
        job(&one, "well_behaved/1000/open.bin", "open.bin"),
        job(&one, "well_behaved/1000/there.bin", "there.bin").with_if_exists(IfExists::Overwrite),
        job(&other, "well_behaved/1000/there.bin", "there.bin").with_if_exists(IfExists::Error),
    ];
    let mut ids = BTreeMap::new();
    for job in jobs {
        ids.insert(session.add(job).await.expect("is open"), ());
    }
    assert_eq!(ids.into_keys().map(JobId::get).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let summary = session.finish().await;
    assert_eq!((summary.finished, summary.failed), (3, 1));
    assert_eq!(std::fs::read(&there).expect("a file"), content("there.bin", 1000));
    let header = |name: &str, header: &str| {
        let request = one.requests_for(name).pop().expect("a request");
        request.header(header).map(String::from)
    };
    assert_eq!(header("secret.bin", "authorization").as_deref(), Some("Basic bWU6aHVudGVyMg=="));
    assert_eq!(header("secret.bin", "x-all").as_deref(), Some("mine"));
    assert_eq!(header("open.bin", "authorization"), None);
    assert_eq!(header("open.bin", "x-all").as_deref(), Some("all"));
}

#[test]
fn events_are_a_stream_that_ends_with_the_session() {
    run(async {
        let world = World::start(Settings::default());
        let (all, latest) = (world.session.events(), world.session.latest_events());
        world.add("file", SPEED).await;
        world.session.close().await;
        let kinds = |events: Vec<Arc<Event>>| {
            events.iter().map(|event| (event.seq, format!("{:?}", event.kind))).collect::<Vec<_>>()
        };
        let (all, latest) = (all.collect::<Vec<_>>().await, latest.collect::<Vec<_>>().await);
        assert_eq!(kinds(all.clone()), kinds(latest));
        assert!(matches!(all.last().expect("events").kind, EventKind::Summary { finished: 1, .. }));
    });
}

#[test]
fn all_events_of_a_finished_session_can_be_read_without_waiting() {
    run(async {
        let world = World::start(Settings::default());
        for n in 0..100 {
            world.add(&format!("f{n}"), 10).await;
        }
        let World { session, mut events, .. } = world;
        assert_eq!(session.finish().await.finished, 100);
        let mut read = 0;
        let last = loop {
            match events.try_next() {
                Poll::Ready(Some(event)) => read += u32::from(finished(&event.kind)),
                last => break last,
            }
        };
        assert_eq!((read, last), (100, Poll::Ready(None)));
    });
}

#[test]
fn a_file_is_written_in_order_to_a_writer_of_the_program() {
    run(async {
        let world = World::start(Settings::default().with_connections(Some(4)));
        let size = 40 * SPEED;
        let (to, mut from) = tokio::io::duplex(64 * 1024);
        let job = world.job("file", size).to_writer(AsyncWriter::new(to));
        world.session.add(job).await.expect("is open");
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).await.expect("the written bytes can be read");
        assert!(bytes == content("file", size), "{} of {size} bytes were written", bytes.len());
        assert!(world.host.counts().1 > 1, "several connections fetch the file");
        let disk = world.disk.clone();
        assert_eq!(world.end().await.0.finished, 1);
        assert!(disk.paths().is_empty(), "the disk has no files");
    });
}

/// Counts how often it is shut down.
struct Counted(Arc<AtomicUsize>);

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_writer_is_shut_down_once_when_its_file_is_complete_and_not_when_it_is_wrong() {
    run(async {
        for (expected, times) in [(content("file", SPEED), 1), (content("other", SPEED), 0)] {
            let world = World::start(Settings::default().with_retries(0));
            let ends = Arc::new(AtomicUsize::new(0));
            let digest = Digest::from_given(&sha256(&expected)).expect("a digest");
            let mut job = world.job("file", SPEED);
            job.expect(digest, "the test").expect("one digest");
            world.session.add(job.to_writer(AsyncWriter::new(Counted(ends.clone())))).await.expect("is open");
            world.end().await;
            assert_eq!(ends.load(Ordering::Relaxed), times);
        }
    });
}

#[test]
fn a_writer_gets_its_file_although_this_run_has_an_equal_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let ends = Arc::new(AtomicUsize::new(0));
    run(async {
        let settings = Settings::default().with_dedup(Dedup::Hardlink);
        let mut world = World::with(FakeDisk::failing(0, 1), settings, |settings, sources| {
            Session::builder(settings.with_output(folder.path())).sources(sources).seed(1)
        });
        let first = world.add("file", SPEED).await;
        world.until(first, |kind| matches!(kind, EventKind::Finished { .. })).await;
        let job = world.job("file", SPEED).to_writer(AsyncWriter::new(Counted(ends.clone())));
        world.session.add(job).await.expect("is open");
        assert_eq!(world.end().await.0.finished, 2);
    });
    assert_eq!(ends.load(Ordering::Relaxed), 1, "the writer is shut down");
    assert!(!Path::new("-").exists(), "no file is named as the output");
}

#[test]
fn a_job_fails_if_its_writer_fails() {
    run(async {
        let world = World::start(Settings::default());
        let (to, from) = tokio::io::duplex(1024);
        drop(from);
        let job = world.job("file", SPEED).to_writer(AsyncWriter::new(to));
        world.session.add(job).await.expect("is open");
        assert_eq!(world.end().await.1, [(1, "output.closed".to_string())]);
    });
}

#[test]
fn a_dropped_session_stops_and_a_later_session_resumes_its_files() {
    run(async {
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        let size = 20 * SPEED;
        let mut world = World::start(Settings::default().with_connections(Some(1)));
        let job = world.add("file", size).await;
        world.add("other", size).await;
        world.add("third", size).await;
        world.until(job, started).await;
        seconds(5).await;
        let World { host, disk, session, events } = world;
        drop(session);
        // The readers of events get the end of the session.
        let rest = events.collect::<Vec<_>>().await;
        assert!(matches!(rest.last().expect("events").kind, EventKind::Summary { failed: 3, .. }));
        seconds(1).await;
        assert_eq!((tasks(), host.transfers()), (before, 0), "no task and no transfer is left");
        assert!(disk.read("out/file.part").is_some() && disk.read("out/file").is_none());
        let mut world = World::on(disk, Settings::default());
        let job = world.add("file", size).await;
        let event = world.until(job, finished).await;
        let EventKind::Finished { fetched, .. } = &event.kind else { unreachable!() };
        assert!(*fetched < size - 2 * SPEED && world.is_exact("file", size), "{fetched} bytes were fetched");
    });
}

/// A source that slowly sends the file if the whole file is requested. All other requests get a page with a
/// different date.
struct PageForOthers;

const CHANGED: Duration = Duration::from_secs(1_000_000_000);

impl Source for PageForOthers {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        let (whole, size) = (request.is_for_everything(), 8 << 20);
        let mut remote = Remote::whole(Url::parse("http://sim/file").expect("a URL"));
        remote.validator = Validator::Etag(if whole { "\"file\"" } else { "\"page\"" }.into());
        remote.modified = Some(SystemTime::UNIX_EPOCH + if whole { CHANGED } else { 2 * CHANGED });
        remote.size = Some(if whole { size } else { 100 });
        remote.can_resume = true;
        let bytes = Bytes::from(vec![7; if whole { size as usize } else { 100 }]);
        let body = stream::unfold(bytes, |mut rest| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let some = rest.split_to(rest.len().min(64 << 10));
            (!some.is_empty()).then_some((Ok(some), rest))
        });
        Box::pin(async move { Ok(Opened { remote, body: Box::pin(body) }) })
    }
}

#[tokio::test]
async fn a_file_gets_the_date_of_a_response_that_was_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings::default().with_output(folder.path()).with_connections(Some(4));
    let sources = Sources::for_all(|_: &Url, _| Arc::new(PageForOthers) as Arc<dyn Source>);
    let session = Session::builder(settings).sources(sources).start().expect("starts");
    let job = Job::new(Url::parse("http://sim/file.bin").expect("a URL")).to_path("file.bin");
    session.add(job).await.expect("is open");
    assert_eq!(session.finish().await.finished, 1);
    let file = std::fs::metadata(folder.path().join("file.bin")).expect("a file");
    assert_eq!(file.modified().expect("a date"), SystemTime::UNIX_EPOCH + CHANGED);
}

/// The number of sessions that get commands at random times. Each needs about ten milliseconds.
const RANDOM_SESSIONS: u64 = 200;

/// The number of files of each session.
const RANDOM_FILES: u64 = 6;

/// The output of a failed test ends with its seed. `WORLD=seed cargo test -p downhaul-testkit --test control
/// random` runs only this seed.
#[test]
fn commands_at_random_times_lose_no_file_and_leave_no_transfer_open() {
    let only = std::env::var("WORLD").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or((0..RANDOM_SESSIONS).collect(), |seed| vec![seed]);
    let mut removed = 0;
    for &seed in &seeds {
        println!("WORLD={seed}");
        removed += run(commanded_at_random(seed));
    }
    let all = seeds.len() * RANDOM_FILES as usize;
    assert!(seeds.len() == 1 || (removed > all / 20 && removed < all / 2), "{removed} of {all} were removed");
}

/// Runs a session with commands at random times. Returns the number of its jobs that were removed.
async fn commanded_at_random(seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::start(Settings::default().with_parallel(Some(random.usize(1..4))));
    let sizes: Vec<u64> = (0..RANDOM_FILES).map(|_| random.u64(1..6 * SPEED)).collect();
    let (mut added, mut removals) = (0, BTreeMap::<u64, Vec<Remove>>::new());
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(random.u64(0..500))).await;
        // The job may not have been added yet, or may never be added.
        let number = random.u64(1..RANDOM_FILES + 2);
        let (session, job) = (&world.session, JobId::new(number));
        match random.u32(0..16) {
            0..4 if added < RANDOM_FILES => {
                world.add(&format!("f{added}"), sizes[added as usize]).await;
                added += 1;
            }
            4..7 => session.pause(job),
            7..10 => session.resume(job),
            10 => session.pause_all(),
            11 | 12 => session.resume_all(),
            13 => session.set_priority(job, random.i32(-2..3)),
            14 => session.set_job_rate_limit(job, random.bool().then_some(SPEED)),
            15 if random.bool() => {
                let remove = if random.bool() { Remove::KeepPartial } else { Remove::Discard };
                removals.entry(number).or_default().push(remove);
                session.remove(job, remove);
            }
            _ => session.set_rate_limit(random.bool().then_some(2 * SPEED)),
        }
    }
    for number in added..RANDOM_FILES {
        world.add(&format!("f{number}"), sizes[number as usize]).await;
    }
    world.session.set_rate_limit(None);
    world.session.resume_all();
    let (host, disk) = (world.host.clone(), world.disk.clone());
    let ended = tokio::time::timeout(Duration::from_secs(3600), world.end());
    let (summary, ended) = ended.await.expect("the session ends");

    let ended: BTreeMap<u64, String> = {
        let count = ended.len();
        let by_job: BTreeMap<_, _> = ended.into_iter().collect();
        assert_eq!((count as u64, by_job.len() as u64), (RANDOM_FILES, RANDOM_FILES), "each job ends once");
        by_job
    };
    for (&number, how) in &ended {
        let removals = removals.get(&number).map(Vec::as_slice);
        assert_ended(&disk, &format!("f{}", number - 1), sizes[number as usize - 1], how, removals);
    }
    let finished = ended.values().filter(|how| *how == "finished").count();
    assert_eq!((summary.files, summary.finished), (RANDOM_FILES, finished as u64));
    assert_eq!(host.transfers(), 0, "no transfer is left");
    ended.len() - finished
}

/// Asserts that the file of a finished job is complete. For a removed job, asserts that it has no complete
/// file, and no partial file unless a removal kept it.
fn assert_ended(disk: &FakeDisk, name: &str, size: u64, how: &str, removals: Option<&[Remove]>) {
    let partial = disk.read(format!("out/{name}.part")).is_some();
    let whole = disk.read(format!("out/{name}"));
    match (how, removals) {
        ("finished", _) => assert!(whole == Some(content(name, size)) && !partial, "{name}"),
        ("job.removed", Some(how)) => {
            assert!(whole.is_none(), "the removed job {name} has a complete file");
            assert!(
                how.contains(&Remove::KeepPartial) || !partial,
                "the partial file of {name} was not discarded"
            );
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// A source that fails each request, because its host requests a pause of this length.
struct Pauses(Duration);

impl Source for Pauses {
    fn open(&self, _: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        let pause = Pause { wait: self.0, why: Why::Asked };
        Box::pin(async move { Err(Error::new(ErrorKind::HttpBusy, "sim", "").with_pause(pause)) })
    }
}

#[test]
fn a_pause_without_end_and_a_job_without_a_url_do_not_end_a_session() {
    run(async {
        let sources = Sources::for_all(|_, _| Arc::new(Pauses(Duration::MAX)));
        let builder = Session::builder(Settings::default()).sources(sources).seed(1);
        let session = builder.disk(Arc::new(FakeDisk::failing(0, 1))).start().expect("starts");
        let mut events = session.events();
        let url = Url::parse("http://sim/f").expect("a URL");
        session.add(Job::new(url.clone()).to_path("f")).await.expect("is open");
        let mut nothing = Job::new(url);
        nothing.urls.clear();
        session.add(nothing).await.expect("is open");
        seconds(3600).await;
        session.stop();
        let summary = session.finish().await;
        assert_eq!((summary.files, summary.failed), (2, 2));
        let mut codes = Vec::new();
        while let Some(event) = events.next().await {
            if let EventKind::Failed { error, .. } = &event.kind {
                codes.push(error.code.clone());
            }
        }
        assert_eq!(codes, ["url.invalid", "run.stopped"]);
    });
}

#[test]
fn a_job_with_the_network_of_another_session_fails_without_a_request() {
    run(async {
        let world = World::start(Settings::default());
        world.session.add(world.job("f", 1000).with_network(3)).await.expect("is open");
        let (summary, ended) = world.end().await;
        assert_eq!((summary.failed, ended), (1, vec![(1, "url.invalid".to_string())]));
    });
}

/// This test uses real sockets and the real disk.
#[tokio::test]
async fn the_rule_of_a_job_for_existing_files_has_precedence_over_that_of_the_session() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let url = |path: &str| Url::parse(&server.url(path)).expect("a URL");
    for name in ["mine", "error"] {
        std::fs::write(folder.path().join(name), b"my own notes").expect("written");
    }
    let settings = Settings::default().with_output(folder.path()).with_retries(0);
    let session = Session::start(settings.with_if_exists(IfExists::Error)).expect("starts");
    let jobs = [
        // No names are given for these jobs, so a job could get another name if its name exists.
        (Job::new(url("well_behaved/1000/mine")).with_if_exists(IfExists::Overwrite), true),
        (Job::new(url("well_behaved/1000/error")), false),
    ];
    for (job, _) in jobs {
        session.add(job).await.expect("is open");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).expect("a link");
        let job = Job::new(url("well_behaved/1000/link")).to_path("link");
        session.add(job.with_if_exists(IfExists::Overwrite)).await.expect("is open");
    }
    let summary = session.finish().await;
    let links = u64::from(cfg!(unix));
    assert_eq!((summary.finished, summary.failed), (1 + links, 1));
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("a file");
    assert!(read("mine") == content("mine", 1000) && read("error") == b"my own notes");
    // The other way round: the session would choose another name, and the job must not.
    std::fs::write(folder.path().join("mine"), b"my own notes").expect("written");
    let settings = Settings::default().with_output(folder.path()).with_retries(0);
    let session = Session::start(settings.with_if_exists(IfExists::Check)).expect("starts");
    let other = Job::new(url("well_behaved/1000/mine?other")).with_if_exists(IfExists::Error);
    session.add(other).await.expect("is open");
    let summary = session.finish().await;
    assert_eq!((summary.finished, summary.failed), (0, 1));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2 + links as usize);
}

/// This test uses real sockets.
#[tokio::test]
async fn a_reader_of_a_file_that_arrived_whole_sends_no_further_request() {
    let server = Server::start();
    let url = Url::parse(&server.url("no_ranges/1000/f")).expect("a URL");
    let (reader, first) = RangeReader::open(Settings::default(), &url, 2000).await.expect("opens");
    assert_eq!(first, content("f", 1000));
    assert_eq!(reader.read(10..20).await.expect("bytes"), content("f", 1000)[10..20]);
    assert_eq!(server.requests().len(), 1);
}

/// This test uses real sockets and the real disk.
#[tokio::test]
async fn a_job_with_another_network_is_verified_as_the_session_demands() {
    let server = Server::start();
    let url = Url::parse(&server.url("well_behaved/1000/f")).expect("a URL");
    let text = format!("{}  f\n", "0".repeat(64)).into_bytes();
    let list = ChecksumList::Text { name: "sums".into(), text, signature: None };
    let key = Keys::read(Signer::new(1).key_file().as_bytes()).expect("a key");
    for (settings, code) in [
        (Settings::default().with_checksums(Some(list)), "digest.mismatch"),
        (Settings::default().with_verify(Verify::Listed), "digest.unlisted"),
        // The server sends something else under the name of the signature.
        (Settings::default().with_signed_by(Some(key)), "signature.wrong"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let session = Session::start(settings.with_output(folder.path()).with_retries(0)).expect("starts");
        let network = session.add_network(Settings::default()).expect("a network");
        session.replace_network(network, Settings::default()).expect("a network");
        let mut events = session.events();
        session.add(Job::new(url.clone()).with_network(network)).await.expect("is open");
        assert_eq!(session.finish().await.failed, 1, "{code}");
        let mut codes = Vec::new();
        while let Some(event) = events.next().await {
            if let EventKind::Failed { error, .. } = &event.kind {
                codes.push(error.code.clone());
            }
        }
        assert_eq!(codes, [code]);
    }
}

/// This test uses real sockets and the real disk.
#[tokio::test]
async fn a_range_is_not_compared_with_digests_of_the_whole_file() {
    let server = Server::start();
    let whole = content("f", 1000);
    let digest = Digest::from_hex(Algorithm::Sha256, &sha256(&whole)).expect("a digest");
    server.put("/well_behaved/1000/SHA256SUMS", format!("{}  f\n", sha256(&whole)).into_bytes());
    let url = Url::parse(&server.url("well_behaved/1000/f")).expect("a URL");
    let range = ByteRange { first: 10, last: Some(19) };
    let key = Keys::read(Signer::new(1).key_file().as_bytes()).expect("a key");
    let list = ChecksumList::Url(url.join("SHA256SUMS").expect("a URL"));
    let plain = Settings::default;
    for (settings, code) in [
        (plain(), None),
        (plain().with_checksums(Some(list.clone())), None),
        (plain().with_verify(Verify::Find), None),
        (plain().with_verify(Verify::Require), Some("digest.missing")),
        (plain().with_verify(Verify::Listed), Some("digest.unlisted")),
        (plain().with_checksums(Some(list)).with_verify(Verify::Listed), Some("digest.unlisted")),
        (plain().with_signed_by(Some(key)), Some("signature.missing")),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let session = Session::start(settings.with_output(folder.path()).with_retries(0)).expect("starts");
        let mut events = session.events();
        // The order of the calls does not matter.
        let job = Job::new(url.clone()).with_range(range).with_checksum(digest.clone()).with_size(1000);
        session.add(job).await.expect("is open");
        let summary = session.finish().await;
        let mut failure = None;
        while let Some(event) = events.next().await {
            if let EventKind::Failed { error, .. } = &event.kind {
                failure = Some(error.code.clone());
            }
        }
        assert_eq!(failure.as_deref(), code);
        let file = std::fs::read(folder.path().join("f")).ok();
        assert_eq!(file.as_deref(), code.is_none().then_some(&whole[10..20]), "{summary:?}");
    }
}
