//! Tests of a session whose files another run downloads at the same time.

use super::{World, run};
use downhaul_engine::core::identity::Identity;
use downhaul_engine::core::job::IfLocked;
use downhaul_engine::disk::{Disk, Found, Opening, Part, Standing};
use downhaul_engine::{Destination, Error, ErrorKind, EventKind, IfExists, Session, Settings};
use downhaul_testkit::content;
use downhaul_testkit::fake_disk::FakeDisk;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The content of the file that the other run completes.
const OTHER: &[u8] = b"of the other run";

/// A disk on which another run downloads the same file. For the first `locked` times that the partial file is
/// opened, it is locked. The next time, the other run completes the file directly before.
struct SharedDisk {
    disk: FakeDisk,
    locked: usize,
    opened: AtomicUsize,
}

impl Disk for SharedDisk {
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
        let opened = self.opened.fetch_add(1, Ordering::SeqCst);
        if opened < self.locked {
            return Err(Error::new(ErrorKind::FileLocked, "", ""));
        }
        if opened == self.locked {
            self.disk.put(target, OTHER);
        }
        self.disk.open_part(target, how)
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

#[test]
fn a_file_that_another_run_completes_directly_before_its_partial_file_is_opened_is_looked_at_again() {
    let all = [IfExists::Skip, IfExists::Overwrite].into_iter();
    let all = all.flat_map(|if_exists| [IfLocked::Wait, IfLocked::Fail].map(|one| (if_exists, one)));
    for (if_exists, if_locked) in all {
        // With `IfLocked::Fail`, a locked partial file is a failure.
        let most = if if_locked == IfLocked::Wait { 2 } else { 0 };
        for (locked, names) in (0..=most).flat_map(|locked| [(locked, true), (locked, false)]) {
            run(completed_meanwhile(if_exists, if_locked, locked, names));
        }
    }
}

/// Downloads a file that another run completes meanwhile. The partial file is locked `locked` times before.
/// If `names` is true, the job has a name for the file. Otherwise the name comes from the response.
async fn completed_meanwhile(if_exists: IfExists, if_locked: IfLocked, locked: usize, names: bool) {
    const SIZE: u64 = 2_000_000;
    let disk = FakeDisk::failing(0, 1);
    let shared = SharedDisk { disk: disk.clone(), locked, opened: AtomicUsize::new(0) };
    let settings = Settings::default().with_if_locked(if_locked);
    let mut world = World::with(disk, settings, |settings, sources| {
        Session::builder(settings).sources(sources).disk(Arc::new(shared)).seed(1)
    });
    let mut job = world.job("f", SIZE).with_if_exists(if_exists);
    if !names {
        job.destination = Destination::Server;
    }
    let name = if names { "out/f" } else { "out/file" };
    let job = world.session.add(job).await.expect("is open");
    let ended = world
        .until(job, |kind| {
            matches!(kind, EventKind::Skipped { .. } | EventKind::Failed { .. } | EventKind::Finished { .. })
        })
        .await;
    let case = format!("{if_exists:?} {if_locked:?} {locked} {names}: {:?}", ended.kind);
    assert_eq!(world.disk.paths(), [Path::new(name)], "no partial file stays: {case}");
    let bytes = world.disk.read(name).expect("the file");
    if if_exists == IfExists::Skip {
        assert!(matches!(ended.kind, EventKind::Skipped { .. }) && bytes == OTHER, "{case}");
    } else {
        assert!(matches!(ended.kind, EventKind::Finished { .. }) && bytes == content("f", SIZE), "{case}");
    }
}
