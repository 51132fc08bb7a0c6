//! Whole sessions with simulated hosts that limit files and connections. The clock is simulated, so no test
//! really waits.

use downhaul_core::job::{Destination, Job};
use downhaul_core::name::SafeName;
use downhaul_core::settings::Settings;
use downhaul_engine::source::{GivenBy, Source, Sources};
use downhaul_engine::{Session, Summary};
use downhaul_testkit::content;
use downhaul_testkit::fake_disk::FakeDisk;
use downhaul_testkit::net_sim::host::{Allows, SimHost};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The number of random hosts.
const HOSTS: u64 = 60;

const ALL: Allows = Allows {
    transfers: usize::MAX,
    ban: Duration::from_secs(20),
    rate: f64::INFINITY,
    burst: f64::INFINITY,
    speed: 1e6,
};

fn run<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(what)
}

/// Downloads files of these sizes from one host. Asserts that every file with its final name is exact.
async fn download(host: &Arc<SimHost>, sizes: &[u64], settings: Settings, seed: u64) -> Summary {
    let disk = FakeDisk::failing(0, seed);
    let (here, all) = (host.clone(), sizes.to_vec());
    let sources = Sources::for_all(move |url: &Url, _: GivenBy| {
        let name = url.path().trim_start_matches('/');
        let size = all[name.parse::<usize>().expect("a number")];
        Arc::new(here.file(name, size)) as Arc<dyn Source>
    });
    let settings = settings.with_output("out");
    let session = Session::builder(settings)
        .sources(sources)
        .disk(Arc::new(disk.clone()))
        .seed(seed)
        .start()
        .expect("starts");
    for n in 0..sizes.len() {
        let mut job = Job::new(Url::parse(&format!("http://sim/{n}")).expect("a URL"));
        job.destination = Destination::Name(SafeName::from_person(&format!("f{n}")).expect("safe"));
        session.add(job).await.expect("is open");
    }
    let summary = session.finish().await;
    for (n, &size) in sizes.iter().enumerate() {
        if let Some(bytes) = disk.read(Path::new("out").join(format!("f{n}"))) {
            assert!(bytes == content(&n.to_string(), size), "seed {seed}: f{n}");
        }
    }
    summary
}

#[test]
fn a_host_that_bans_for_twenty_seconds_at_the_third_connection_sends_the_file() {
    run(async {
        for connections in [None, Some(4)] {
            let host = SimHost::new(Allows { transfers: 2, ..ALL });
            let settings = Settings::default().with_connections(connections).with_retries(0);
            let summary = download(&host, &[60_000_000], settings, 1).await;
            let (bans, requests) = host.counts();
            assert_eq!(summary.finished, 1, "{connections:?}: {bans} bans");
            assert!(bans <= 2 && requests < 200, "{connections:?}: {bans} bans, {requests} requests");
        }
    });
}

#[test]
fn a_later_run_is_not_banned_again() {
    let folder = tempfile::tempdir().expect("a folder");
    run(async {
        let host = SimHost::new(Allows { transfers: 2, ..ALL });
        let settings = Settings::default().with_hosts(Some(folder.path().join("hosts.json"))).with_retries(0);
        let mut bans = Vec::new();
        for run in 0..3 {
            let summary = download(&host, &[60_000_000], settings.clone(), run).await;
            assert_eq!((summary.finished, summary.notes), (1, Vec::new()));
            bans.push(host.counts().0);
        }
        assert!(bans[0] <= 2 && bans[1..].iter().all(|&one| one == bans[0]), "{bans:?}");
    });
}

#[test]
fn forty_small_files_take_little_more_than_forty_requests_from_a_limited_host() {
    run(async {
        let host = SimHost::new(Allows { rate: 5.0, burst: 3.0, ..ALL });
        let settings = Settings::default().with_parallel(None).with_retries(0);
        let summary = download(&host, &[2_000; 40], settings, 1).await;
        assert_eq!(summary.finished, 40);
        assert!(host.counts().1 <= 100, "{} requests", host.counts().1);
    });
}

#[test]
fn random_hosts_with_quotas_and_bans_send_every_file_and_get_few_requests() {
    for seed in 0..HOSTS {
        run(async {
            let mut rng = fastrand::Rng::with_seed(seed);
            let limited = rng.bool();
            let allows = Allows {
                transfers: if rng.bool() { rng.usize(1..6) } else { usize::MAX },
                ban: Duration::from_secs(rng.u64(1..60)),
                rate: if limited { 0.5 + rng.f64() * 20.0 } else { f64::INFINITY },
                burst: if limited { rng.f64() * 10.0 } else { f64::INFINITY },
                speed: 1e5 + rng.f64() * 1e6,
            };
            let host = SimHost::new(allows);
            // The files are all large or all small. If the host counts transfers, the files are downloaded
            // one after the other.
            let large = rng.bool();
            let count = if large { rng.usize(1..3) } else { rng.usize(1..40) };
            let size = |rng: &mut fastrand::Rng| {
                if large { rng.u64(5_000_000..20_000_000) } else { rng.u64(1..50_000) }
            };
            let sizes: Vec<u64> = (0..count).map(|_| size(&mut rng)).collect();
            let alone = allows.transfers < 6;
            let settings = Settings::default()
                .with_parallel(if alone { Some(1) } else { [None, Some(2), Some(8)][rng.usize(0..3)] })
                .with_connections([None, Some(2), Some(8)][rng.usize(0..3)]);
            let summary = download(&host, &sizes, settings, seed).await;
            let (bans, requests) = host.counts();
            assert_eq!(
                summary.finished, count as u64,
                "seed {seed}: {allows:?}: {bans} bans, {requests} requests"
            );
            assert!(bans <= 2, "seed {seed}: {allows:?}: {bans} bans");
            assert!(
                large || requests * 2 <= count * 5 + 10,
                "seed {seed}: {allows:?}: {requests} requests for {count}"
            );
        });
    }
}
