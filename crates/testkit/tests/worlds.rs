//! Whole downloads in simulated worlds. Some tests run only the plan, and others run the engine with a
//! simulated network and disk.
//!
//! The output of a failed test contains the seed. `WORLD=seed cargo test -p downhaul-testkit --test worlds`
//! runs only this seed.

use downhaul_core::event::EventKind;
use downhaul_core::job::{Destination, Job};
use downhaul_core::name::SafeName;
use downhaul_core::plan::{Answer, Outcome};
use downhaul_core::settings::{OnError, Settings};
use downhaul_engine::source::{GivenBy, Source, Sources};
use downhaul_engine::{Events, Session};
use downhaul_testkit::fake_disk::FakeDisk;
use downhaul_testkit::net_sim::{SimSource, World};
use downhaul_testkit::plan_sim::{Seen, drive_mirrors, drive_plan};
use std::path::Path;
use std::sync::{Arc, Mutex};
use url::Url;

/// The number of whole downloads with only the plan, including restarts.
const PLANS: u64 = 100_000;

/// The number of downloads from several mirrors.
const MIRRORS: u64 = 20_000;

/// The number of lists of random inputs for a plan.
const INPUTS: u64 = 50_000;

/// The number of downloads with power cuts.
const POWER_CUTS: u64 = 300;

/// The number of sessions of the whole engine. Each has several files.
const SESSIONS: u64 = 1_500;

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("WORLD").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    }
}

#[test]
fn plans_download_files_in_a_hundred_thousand_simulated_worlds() {
    let seeds = seeds(PLANS);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = seeds.len().div_ceil(threads);
    let ended: Vec<(bool, Seen)> = std::thread::scope(|scope| {
        let drive = |seeds: &[u64]| -> Vec<(bool, Seen)> {
            let ended = seeds.iter().map(|&seed| drive_plan(seed));
            ended.map(|ended| (ended.outcome == Outcome::Finished, ended.seen)).collect()
        };
        let running: Vec<_> = seeds.chunks(share).map(|some| scope.spawn(move || drive(some))).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().expect("the plan keeps its invariant in every world"))
            .collect()
    });
    if seeds.len() > 1 {
        // If every download failed, or if no failure happened, this test would test nothing.
        let count = |what: fn(&(bool, Seen)) -> bool| ended.iter().filter(|one| what(one)).count();
        let finished = count(|(finished, _)| *finished);
        assert!(finished > seeds.len() / 4 && finished < seeds.len(), "{finished} finished");
        for (what, happened) in [
            ("several connections", count(|(_, seen)| seen.connections > 2)),
            ("cuts", count(|(_, seen)| seen.cuts > 1)),
            ("hedges", count(|(_, seen)| seen.hedges > 0)),
            ("resumed", count(|(_, seen)| seen.resumed > 0)),
            ("kills", count(|(_, seen)| seen.kills > 0)),
            ("good claims", count(|(_, seen)| seen.good > 0)),
            ("bad claims", count(|(_, seen)| seen.bad > 0)),
            ("wrong chunks", count(|(_, seen)| seen.wrong_chunks > 0)),
            ("blamed sources", count(|(_, seen)| seen.blamed > 0)),
        ] {
            assert!(happened > seeds.len() / 200, "{what}: only {happened} times");
        }
    }
}

/// In these worlds, one mirror always works. Each other mirror is good too, or is dead, dies later, sends a
/// page, has another file, or breaks off.
#[test]
fn a_good_mirror_is_found_and_files_of_mirrors_are_never_mixed() {
    let mut failed = Vec::new();
    for seed in seeds(MIRRORS) {
        // With a digest, only the right file may be published. A good mirror has it, so the download
        // succeeds.
        let ended = drive_mirrors(seed, true);
        if ended.outcome != Outcome::Finished {
            failed.push((seed, ended.outcome, ended.seen.requests));
        }
        // Without a digest, the file of any mirror may be published.
        drive_mirrors(seed, false);
    }
    // A download may fail if another mirror asks for a long wait, or if the other mirrors use up its retries.
    let most = usize::try_from(MIRRORS / 200).expect("small");
    assert!(failed.len() <= most, "{} downloads failed: {:?}", failed.len(), &failed[..10.min(failed.len())]);
}

/// Prints two fingerprints of all actions of plans: one for simulated worlds, and one for lists of inputs. A
/// change that affects only the structure of the plan does not change the fingerprints.
#[test]
#[ignore = "people use it to compare two versions of the plan, and it asserts nothing"]
fn print_a_fingerprint_of_all_actions_of_plans() {
    let worlds = seeds(PLANS / 5).into_iter().map(|seed| drive_plan(seed).seen.trace);
    let lists = seeds(PLANS / 5).into_iter().map(|seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..400).map(|_| rng.u8(..)).collect();
        downhaul_testkit::plan_fuzz::run_inputs(&bytes)
    });
    let sum = |sum: u64, trace: u64| sum.rotate_left(1) ^ trace;
    let (worlds, lists) = (worlds.fold(0, sum), lists.fold(0, sum));
    println!("fingerprint of all actions: {worlds:016x} in worlds, {lists:016x} after lists of inputs");
}

#[test]
fn no_list_of_inputs_breaks_a_plan() {
    for seed in seeds(INPUTS) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..rng.usize(0..400)).map(|_| rng.u8(..)).collect();
        let run = std::panic::catch_unwind(|| downhaul_testkit::plan_fuzz::run_inputs(&bytes));
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// The fuzz target `plan`, or a test with random inputs, found the files in `inputs/plan`. Their names say
/// what went wrong.
#[test]
fn inputs_that_once_broke_a_plan_do_not_break_it_again() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/inputs/plan");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the folder is in the repository") {
        let file = file.expect("a file").path();
        println!("{}", file.display());
        downhaul_testkit::plan_fuzz::run_inputs(&std::fs::read(file).expect("its bytes"));
        count += 1;
    }
    assert!(count > 0, "no input in {folder}");
}

#[test]
fn sessions_end_every_file_in_simulated_worlds() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let mut finished = 0;
    for seed in seeds(SESSIONS) {
        finished += runtime.block_on(session(seed));
    }
    assert!(finished > 0);
}

#[test]
fn files_are_whole_after_power_cuts_in_simulated_worlds() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let seeds = seeds(POWER_CUTS);
    let ended: Vec<(bool, bool)> = seeds.iter().map(|&seed| runtime.block_on(power_cuts(seed))).collect();
    if seeds.len() > 1 {
        let finished = ended.iter().filter(|(finished, _)| *finished).count();
        let resumed = ended.iter().filter(|(_, resumed)| *resumed).count();
        assert!(finished > seeds.len() / 2, "{finished} finished");
        assert!(resumed > seeds.len() / 10, "{resumed} resumed");
    }
}

/// Downloads a file, and cuts the power three times. Each cut may lose or damage writes that were not forced
/// to the disk. The first result is true if the file was finished in the end, and the second if a run resumed
/// bytes.
async fn power_cuts(seed: u64) -> (bool, bool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let world = Arc::new(Mutex::new(World::large(seed)));
    let mut disk = FakeDisk::failing(0, seed);
    let settings = Settings::default()
        .with_output("out")
        .with_connections([None, Some(1), Some(4)][rng.usize(0..3)])
        .with_retries(8);
    let target = Path::new("out/f");
    let mut resumed = false;
    for run in 0..4 {
        let here = world.clone();
        let sources = Sources::for_all(move |_: &Url, _: GivenBy| {
            Arc::new(SimSource::new(here.clone())) as Arc<dyn Source>
        });
        let session = Session::builder(settings.clone())
            .sources(sources)
            .disk(Arc::new(disk.clone()))
            .seed(seed)
            .start()
            .expect("starts");
        let mut events = session.events();
        let mut job = Job::new(Url::parse("http://sim/0").expect("a URL"));
        job.destination = Destination::Name(SafeName::from_person("f").expect("safe"));
        session.add(job).await.expect("is open");
        session.close().await;
        let over = session.wait();
        if run == 3 {
            over.await;
        } else {
            let power = std::time::Duration::from_millis(rng.u64(1..6_000));
            let _ = tokio::time::timeout(power, over).await;
            disk = disk.power_cut();
            session.stop();
            session.wait().await;
        }
        while let Some(event) = events.next().await {
            resumed |= matches!(&event.kind, EventKind::Resumed { .. }) && run > 0;
        }
        if let Some(bytes) = disk.read(target) {
            let world = world.lock().expect("no panic");
            world.check(&bytes).unwrap_or_else(|wrong| panic!("seed {seed}, run {run}: {wrong}"));
        }
    }
    let finished = disk.read(target).is_some();
    if finished {
        assert_eq!(disk.paths(), [target], "seed {seed}: there are files besides the finished one");
    }
    (finished, resumed)
}

/// Downloads some files in one session. Asserts that each file is exact or has failed, and that there are no
/// other files. Returns the number of finished files.
async fn session(seed: u64) -> u64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let files = rng.u64(1..6);
    let worlds: Vec<Arc<Mutex<World>>> =
        (0..files).map(|n| Arc::new(Mutex::new(World::new(seed * 100 + n)))).collect();
    let disk = FakeDisk::failing(if rng.u8(0..4) == 0 { 5 } else { 0 }, seed);
    let settings = Settings::default()
        .with_output("out")
        .with_parallel([None, Some(1), Some(2), Some(3)][rng.usize(0..4)])
        .with_retries(rng.u32(0..6))
        .with_on_error(if rng.bool() { OnError::Ask } else { OnError::Retry });
    let all = worlds.clone();
    let sources = Sources::for_all(move |url: &Url, _: GivenBy| {
        let n: usize = url.path().trim_start_matches('/').parse().expect("a number");
        Arc::new(SimSource::new(all[n].clone())) as Arc<dyn Source>
    });
    let session = Arc::new(
        Session::builder(settings)
            .sources(sources)
            .disk(Arc::new(disk.clone()))
            .seed(seed)
            .start()
            .expect("starts"),
    );
    let events = session.events();
    let stops = rng.u8(0..10) == 0;
    let person = tokio::spawn(answer_questions(session.clone(), events, stops, seed));
    let mut added = 0;
    for n in 0..files {
        let mut job = Job::new(Url::parse(&format!("http://sim/{n}")).expect("a URL"));
        job.destination = Destination::Name(SafeName::from_person(&format!("f{n}")).expect("safe"));
        added += u64::from(session.add(job).await.is_ok());
    }
    let summary = session.finish().await;
    let ends = person.await.expect("no panic");
    assert_eq!(ends, summary.files, "seed {seed}: every file ends once");
    assert!(summary.files <= added, "seed {seed}");
    assert_eq!(summary.files, summary.finished + summary.failed, "seed {seed}");
    check_files(seed, &worlds, &disk, summary.finished);
    summary.finished
}

/// Answers all questions of a session as a user would. Returns the number of jobs that ended. If `stops` is
/// true, the session is stopped when the first file starts.
async fn answer_questions(session: Arc<Session>, mut events: Events, stops: bool, seed: u64) -> u64 {
    let (mut last, mut ends) = (0, 0);
    while let Some(event) = events.next().await {
        assert_eq!(event.seq, last + 1, "seed {seed}: events are numbered without gaps");
        last = event.seq;
        match &event.kind {
            EventKind::Question { .. } => {
                let job = event.job.expect("a question about a file");
                let answer = if last % 4 == 0 { Answer::Skip } else { Answer::Retry };
                session.answer(job, answer);
            }
            EventKind::Finished { .. } | EventKind::Failed { .. } | EventKind::Skipped { .. } => ends += 1,
            EventKind::Started { .. } if stops => session.stop(),
            _ => {}
        }
    }
    ends
}

/// Checks that the finished files are right, and that failed files have left only partial files that a later
/// run can resume.
fn check_files(seed: u64, worlds: &[Arc<Mutex<World>>], disk: &FakeDisk, finished: u64) {
    let mut there = 0;
    for (n, world) in worlds.iter().enumerate() {
        if let Some(bytes) = disk.read(Path::new("out").join(format!("f{n}"))) {
            let world = world.lock().expect("no panic");
            world.check(&bytes).unwrap_or_else(|wrong| panic!("seed {seed}, f{n}: {wrong}"));
            there += 1;
        }
    }
    assert_eq!(there, finished, "seed {seed}");
    // Each partial file has a journal.
    let left: Vec<String> = disk.paths().iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let resumable = left.iter().filter(|path| path.ends_with(".part")).count() as u64;
    assert_eq!(left.len() as u64, there + 2 * resumable, "seed {seed}: there are other files: {left:?}");
    assert!(there + resumable <= worlds.len() as u64, "seed {seed}: there are other files: {left:?}");
}
