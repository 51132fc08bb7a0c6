//! Tests of a session whose files another run downloads at the same time.

use super::{World, run};
use downhaul_engine::core::identity::Identity;
use downhaul_engine::core::job::IfLocked;
use downhaul_engine::disk::{Disk, Found, Opening, Part, Standing};
use downhaul_engine::{Error, ErrorKind, EventKind, IfExists, Session, Settings};
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
fn a_file_that_another_run_completes_directly_before_its_partial_file_is_opened_is_not_downloaded_again() {
    for locked in [0, 1, 2] {
        run(async {
            let disk = FakeDisk::failing(0, 1);
            let shared = SharedDisk { disk: disk.clone(), locked, opened: AtomicUsize::new(0) };
            let settings = Settings::default().with_if_locked(IfLocked::Wait);
            let mut world = World::with(disk, settings, |settings, sources| {
                Session::builder(settings).sources(sources).disk(Arc::new(shared)).seed(1)
            });
            let job = world.job("f", 2_000_000).with_if_exists(IfExists::Skip);
            let job = world.session.add(job).await.expect("is open");
            let end = |kind: &EventKind| {
                matches!(
                    kind,
                    EventKind::Skipped { .. } | EventKind::Failed { .. } | EventKind::Finished { .. }
                )
            };
            let ended = world.until(job, end).await;
            assert!(matches!(ended.kind, EventKind::Skipped { .. }), "{locked}: {:?}", ended.kind);
            assert_eq!(world.disk.paths(), [Path::new("out/f")], "no partial file stays");
            assert_eq!(world.disk.read("out/f").as_deref(), Some(OTHER));
        });
    }
}
