//! Tests of sessions with many small files, which separate threads download. These tests use real time,
//! because such threads need a runtime with several threads.

use super::{Panics, World};
use bytes::Bytes;
use downhaul_engine::core::identity::Identity;
use downhaul_engine::core::job::IfLocked;
use downhaul_engine::core::run_limits::RunLimits;
use downhaul_engine::disk::{Disk, Found, Opening, Part, Publishing, Standing};
use downhaul_engine::source::{GivenBy, Opened, Request, Source, Sources};
use downhaul_engine::{Error, ErrorKind, EventKind, Events, Job, JobId, Remove, Session, Settings, Summary};
use downhaul_testkit::content;
use downhaul_testkit::fake_disk::FakeDisk;
use downhaul_testkit::memory_source::MemorySource;
use futures_util::future::{self, BoxFuture};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use url::Url;

const SIZE: u64 = 1000;

/// A disk on which the file `stuck` is saved only when the gate is open. Until then, its partial file is
/// locked.
#[derive(Clone)]
struct HangingDisk {
    disk: FakeDisk,
    gate: Arc<(Mutex<bool>, Condvar)>,
    is_locked: Arc<AtomicBool>,
}

impl HangingDisk {
    fn new() -> HangingDisk {
        HangingDisk { disk: FakeDisk::failing(0, 1), gate: Arc::default(), is_locked: Arc::default() }
    }

    fn pass(&self, target: &Path) {
        let (is_open, changed) = &*self.gate;
        let mut is_open = is_open.lock().expect("no panic");
        while target.ends_with("stuck") && !*is_open {
            is_open = changed.wait(is_open).expect("no panic");
        }
    }

    /// Waits until the partial file of `stuck` is being opened.
    async fn until_locked(&self) {
        let is_locked = async {
            while !self.is_locked.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), is_locked).await.expect("the partial file is opened");
    }

    fn open_gate(&self) {
        *self.gate.0.lock().expect("no panic") = true;
        self.gate.1.notify_all();
    }
}

impl Disk for HangingDisk {
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error> {
        self.disk.look(path)
    }

    fn has_left(&self, target: &Path, identity: &Identity) -> bool {
        self.disk.has_left(target, identity)
    }

    fn names(&self, folder: &Path, most: usize) -> Option<Vec<String>> {
        self.disk.names(folder, most)
    }

    fn open_part(&self, target: &Path, how: Opening<'_>) -> Result<(Box<dyn Part>, Option<Found>), Error> {
        if !target.ends_with("stuck") {
            return self.disk.open_part(target, how);
        }
        if self.is_locked.swap(true, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::FileLocked, "", ""));
        }
        self.pass(target);
        self.is_locked.store(false, Ordering::SeqCst);
        self.disk.open_part(target, how)
    }

    fn save(&self, target: &Path, identity: &Identity, data: &[Bytes], how: &Publishing) -> bool {
        self.pass(target);
        self.disk.save(target, identity, data, how)
    }

    fn tidy(&self, target: &Path, identity: &Identity) {
        self.disk.tidy(target, identity);
    }

    fn free_space(&self, target: &Path) -> Option<u64> {
        self.disk.free_space(target)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read>, Error> {
        self.disk.open(path)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_stops_only_the_files_that_use_it() {
    // With 16 files at once, there are two threads if there are two cores, and each has half of the files.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(2);
    for (parallel, on_one_thread) in [(4, 4), (16, 16 / threads)] {
        only_the_files_of_a_hanging_disk_stop(parallel, on_one_thread).await;
    }
}

async fn only_the_files_of_a_hanging_disk_stop(parallel: usize, on_one_thread: usize) {
    let hanging = HangingDisk::new();
    let builder = |settings: Settings, sources| {
        Session::builder(settings).sources(sources).disk(Arc::new(hanging.clone())).seed(1)
    };
    let settings = Settings::default().with_parallel(Some(parallel));
    let mut world = World::with(hanging.disk.clone(), settings, builder);
    let name = |n| if n == 50 { "stuck".to_string() } else { format!("f{n}") };
    // All jobs are added at once, so that the threads for small files get all of them.
    world.session.add_all((0..300).map(|n| Ok(world.job(&name(n), SIZE))).collect()).await;
    world.session.close().await;
    let mut finished = BTreeSet::new();
    let all = async {
        while let Some(event) = world.events.next().await {
            if let EventKind::Finished { path, .. } = &event.kind {
                finished.insert(path.clone());
                // The other files that were in progress on the same thread wait for the disk.
                if finished.len() == 300 - on_one_thread {
                    assert!(!finished.iter().any(|path| path.ends_with("stuck")));
                    hanging.open_gate();
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the other files do not wait");
    assert_eq!(finished.len(), 300);
    assert!(
        world.is_exact("stuck", SIZE) && (0..300).all(|n| n == 50 || world.is_exact(&format!("f{n}"), SIZE))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_added_again_waits_for_the_partial_file_of_the_removed_job() {
    for if_locked in [IfLocked::Fail, IfLocked::Skip] {
        let hanging = HangingDisk::new();
        let builder = |settings: Settings, sources| {
            Session::builder(settings).sources(sources).disk(Arc::new(hanging.clone())).seed(1)
        };
        let settings = Settings::default().with_if_locked(if_locked);
        let world = World::with(hanging.disk.clone(), settings, builder);
        let removed = world.add("stuck", SIZE).await;
        hanging.until_locked().await;
        world.session.remove(removed, Remove::Discard);
        let again = world.add("stuck", SIZE).await;
        // This is longer than the wait for a partial file that another session is closing.
        tokio::time::sleep(Duration::from_millis(500)).await;
        hanging.open_gate();
        let ended = tokio::time::timeout(Duration::from_secs(30), world.end()).await;
        let (_, ended) = ended.expect("the session ends");
        assert_eq!(ended, [(removed.get(), "job.removed".into()), (again.get(), "finished".into())]);
        assert_eq!(hanging.disk.read("out/stuck"), Some(content("stuck", SIZE)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_for_small_files_are_obeyed_and_each_file_ends_once() {
    // With 16 files at once or more, there are two threads if there are two cores.
    for (seed, parallel) in [(0, 1), (1, 4), (2, 16), (3, 24)] {
        let mut rng = fastrand::Rng::with_seed(seed);
        let settings = Settings::default().with_parallel(Some(parallel));
        let mut world = World::start(settings);
        let mut removed = BTreeSet::new();
        for n in 0..200 {
            let id = world.add(&format!("f{n}"), SIZE).await;
            match rng.u8(0..40) {
                0 => {
                    world.session.pause_all();
                    tokio::time::sleep(Duration::from_millis(rng.u64(0..3))).await;
                    // While all jobs are paused, `add` waits as soon as the queue is full.
                    world.session.resume_all();
                }
                1..3 => world.session.resume_all(),
                3 => {
                    world.session.remove(id, Remove::Discard);
                    removed.insert(id);
                }
                4 => world.session.pause(id),
                5 => world.session.set_priority(id, rng.i32(-2..3)),
                6 => world.session.set_job_rate_limit(id, Some(1_000_000)),
                7 => tokio::time::sleep(Duration::from_millis(rng.u64(0..5))).await,
                _ => {}
            }
        }
        world.session.resume_all();
        world.session.close().await;
        let mut ended: BTreeMap<u64, String> = BTreeMap::new();
        let all = async {
            while let Some(event) = world.events.next().await {
                let how = match &event.kind {
                    EventKind::Finished { .. } => "finished".to_string(),
                    EventKind::Failed { error, .. } => error.code.clone(),
                    _ => continue,
                };
                let id = event.job.expect("a job");
                assert!(
                    how == "finished" || (how == "job.removed" && removed.contains(&id)),
                    "{seed}: {how}"
                );
                assert!(ended.insert(id.get(), how).is_none(), "{seed}: {id} ended twice");
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("the session ends");
        assert_eq!(ended.len(), 200, "{seed}");
        let summary = world.session.wait().await;
        assert_eq!(summary.finished + summary.failed, 200, "{seed}");
        for (id, how) in &ended {
            let name = format!("f{}", id - 1);
            let there = world.disk.read(Path::new("out").join(&name));
            assert_eq!(there.is_some(), how == "finished", "{seed}: {name}");
            assert!(there.is_none_or(|bytes| bytes == content(&name, SIZE)), "{seed}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_stopped_ends_all_small_files() {
    for after in [0, 1, 5, 20] {
        let world = World::start(Settings::default().with_parallel(Some(8)));
        for n in 0..1000 {
            let job = Job::new(Url::parse(&format!("http://sim/f{n}/{SIZE}")).expect("a URL"));
            if n == 300 {
                tokio::time::sleep(Duration::from_millis(after)).await;
                world.session.stop();
            }
            if world.session.add(job.to_path(format!("f{n}"))).await.is_err() {
                break;
            }
        }
        let ended = tokio::time::timeout(Duration::from_secs(30), world.session.finish()).await;
        let summary = ended.expect("the session ends");
        assert_eq!(summary.finished + summary.failed, summary.files, "{after}");
        assert_eq!(summary.stopped, summary.failed, "{after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_source_of_small_files_fails_only_its_jobs() {
    let sources = Sources::for_all(|url: &Url, _: GivenBy| match url.host_str() {
        Some("panics") => Arc::new(Panics(url.clone())) as Arc<dyn Source>,
        _ => Arc::new(MemorySource::new(url.clone(), content("f", SIZE))),
    });
    for path in ["open", "body"] {
        let settings = Settings::default().with_output("out").with_retries(0).with_parallel(Some(4));
        let builder = Session::builder(settings).sources(sources.clone()).seed(1);
        let session = builder.disk(Arc::new(FakeDisk::failing(0, 1))).start().expect("starts");
        let mut events = session.events();
        for n in 0..20 {
            let url = format!("http://panics/{path}");
            let url = if n < 10 { url } else { format!("http://sim/{n}") };
            let job = Job::given(&url).expect("a URL").to_path(n.to_string());
            session.add(job).await.expect("is open");
        }
        let ended = tokio::time::timeout(Duration::from_secs(30), session.finish()).await;
        let summary = ended.expect("the session ends");
        assert_eq!((summary.finished, summary.failed), (10, 10));
        while let Some(event) = events.next().await {
            if let EventKind::Failed { error, .. } = &event.kind {
                assert_eq!((&*error.code, &*error.at), ("net.reset", &*format!("http://panics/{path}")));
            }
        }
    }
}

/// A source that does not respond to its first requests.
struct NoFirstResponse {
    source: MemorySource,
    /// The number of first requests without a response. If it is 0, the requests are not counted.
    silent: usize,
    /// The number of requests, together with those of other sources that share this number.
    requests: Arc<AtomicUsize>,
}

impl Source for NoFirstResponse {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        if self.silent > 0 && self.requests.fetch_add(1, Ordering::Relaxed) < self.silent {
            return Box::pin(future::pending());
        }
        self.source.open(request)
    }
}

/// Waits until this many requests were sent.
async fn until_requested(requests: &AtomicUsize, number: usize) {
    let are_sent = async {
        while requests.load(Ordering::Relaxed) < number {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), are_sent).await.expect("the requests are sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_that_was_removed_can_be_added_again_at_once() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let sources = Sources::for_all(move |url: &Url, _: GivenBy| {
        let source = MemorySource::new(url.clone(), content("f", SIZE));
        let silent = usize::from(url.path() == "/slow");
        Arc::new(NoFirstResponse { source, silent, requests: counted.clone() }) as Arc<dyn Source>
    });
    let settings = Settings::default().with_output("out").with_parallel(Some(2));
    let builder = Session::builder(settings).sources(sources).seed(1);
    let session = builder.disk(Arc::new(FakeDisk::failing(0, 1))).start().expect("starts");
    let job = |name: &str| Job::given(&format!("http://sim/{name}")).expect("a URL");
    let others = (0..10).map(|n| Ok(job(&n.to_string())));
    let ids = session.add_all([Ok(job("slow"))].into_iter().chain(others).collect()).await;
    until_requested(&requests, 1).await;
    session.remove(ids[0], Remove::KeepPartial);
    session.add(job("slow")).await.expect("is open");
    let ended = tokio::time::timeout(Duration::from_secs(30), session.finish()).await;
    let summary = ended.expect("the session ends");
    assert_eq!((summary.files, summary.finished, summary.failed, summary.skipped), (12, 11, 1, 0));
}

/// The deadline of the sessions that [`with_deadline`] starts. It is long enough to send a few requests on a
/// slow machine.
const DEADLINE: Duration = Duration::from_secs(3);

/// Starts a session with a deadline that downloads this many files at once, and adds jobs. The first requests
/// have no response, as many as files are downloaded at once. Returns when these requests were sent.
async fn with_deadline(parallel: usize, jobs: usize) -> (Session, Vec<JobId>, Events, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let sources = Sources::for_all(move |url: &Url, _: GivenBy| {
        let source = MemorySource::new(url.clone(), content("f", SIZE));
        Arc::new(NoFirstResponse { source, silent: parallel, requests: counted.clone() }) as Arc<dyn Source>
    });
    let limits = RunLimits { deadline: Some(DEADLINE), ..RunLimits::default() };
    let settings = Settings::default().with_output("out").with_parallel(Some(parallel)).with_limits(limits);
    let builder = Session::builder(settings).sources(sources).seed(1);
    let session = builder.disk(Arc::new(FakeDisk::failing(0, 1))).start().expect("starts");
    let events = session.events();
    let jobs = (0..jobs).map(|n| Job::given(&format!("http://sim/{n}")));
    let ids = session.add_all(jobs.collect()).await;
    until_requested(&requests, parallel).await;
    (session, ids, events, requests)
}

/// Waits until the deadline of a session that was started after `begin` has passed.
async fn until_after_the_deadline(begin: Instant) {
    let most = DEADLINE + Duration::from_secs(1);
    tokio::time::sleep(most.saturating_sub(begin.elapsed())).await;
}

/// Waits for the end of the session.
async fn ended(session: &Session) -> Summary {
    let ended = tokio::time::timeout(Duration::from_secs(30), session.finish()).await;
    ended.expect("the session ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_in_progress_at_the_deadline_are_completed_although_one_of_them_is_paused() {
    let (session, ids, mut events, _) = with_deadline(2, 10).await;
    let deadline = async {
        let mut failed = 0;
        while failed < 8 {
            let event = events.next().await.expect("two files are in progress");
            failed += usize::from(matches!(event.kind, EventKind::Failed { .. }));
        }
    };
    tokio::time::timeout(Duration::from_secs(30), deadline).await.expect("the other files do not start");
    // A command for a small file interrupts the requests of all small files.
    session.pause(ids[0]);
    session.resume(ids[0]);
    let summary = ended(&session).await;
    assert_eq!((summary.finished, summary.failed, summary.stopped), (2, 8, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_small_files_are_completed_although_one_of_them_is_paused_after_the_deadline() {
    let begin = Instant::now();
    let (session, ids, _, _) = with_deadline(8, 8).await;
    session.close().await;
    // No file waits for its start, so nothing is reported at the deadline.
    until_after_the_deadline(begin).await;
    session.pause(ids[0]);
    session.resume(ids[0]);
    let summary = ended(&session).await;
    assert_eq!((summary.finished, summary.failed, summary.stopped), (8, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_that_are_paused_before_the_deadline_are_completed_after_it() {
    let begin = Instant::now();
    let (session, _, _, requests) = with_deadline(8, 8).await;
    session.pause_all();
    until_after_the_deadline(begin).await;
    // A paused file sends no request.
    assert_eq!(requests.load(Ordering::Relaxed), 8);
    session.resume_all();
    let summary = ended(&session).await;
    assert_eq!((summary.finished, summary.failed, summary.stopped), (8, 0, 0));
}
