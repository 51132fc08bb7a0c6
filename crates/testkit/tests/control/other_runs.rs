//! Tests of a session whose files another run downloads at the same time.

use super::{World, run};
use downhaul_engine::core::job::IfLocked;
use downhaul_engine::{Destination, Error, ErrorKind, EventKind, IfExists, Settings};
use downhaul_testkit::content;
use downhaul_testkit::fake_disk::FakeDisk;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The content of the file that the other run completes.
const OTHER: &[u8] = b"of the other run";

/// Returns a function that is called before the partial file is opened. The first `locked` times, another run
/// has the partial file locked. The next time, that run completes the file on this disk.
fn another_run(disk: FakeDisk, locked: usize) -> impl Fn(&Path) -> Result<(), Error> + Send + Sync {
    let opened = AtomicUsize::new(0);
    move |target| match opened.fetch_add(1, Ordering::SeqCst) {
        opened if opened < locked => Err(Error::new(ErrorKind::FileLocked, "", "")),
        opened => {
            if opened == locked {
                disk.put(target, OTHER);
            }
            Ok(())
        }
    }
}

#[test]
fn a_file_that_another_run_completes_directly_before_its_partial_file_is_opened_is_looked_at_again() {
    let all = [
        (IfExists::Skip, "skipped"),
        (IfExists::Check, "file.exists"),
        (IfExists::Overwrite, "replaced"),
        (IfExists::Update, "replaced"),
        (IfExists::Rename, "beside it"),
    ];
    for (if_exists, expected) in all {
        // With `IfLocked::Fail`, a locked partial file is a failure.
        for (if_locked, most) in [(IfLocked::Wait, 2), (IfLocked::Fail, 0)] {
            for (locked, names) in (0..=most).flat_map(|locked| [(locked, true), (locked, false)]) {
                let ended = run(completed_meanwhile(if_exists, if_locked, locked, names));
                assert_eq!(ended, expected, "{if_exists:?} {if_locked:?} {locked} {names}");
            }
        }
    }
}

/// Downloads a file that another run completes meanwhile, and returns how the job ended. The first `locked`
/// times, the partial file is locked. If `names` is true, the job has a name for the file. Otherwise the name
/// comes from the response.
async fn completed_meanwhile(
    if_exists: IfExists,
    if_locked: IfLocked,
    locked: usize,
    names: bool,
) -> &'static str {
    const SIZE: u64 = 2_000_000;
    let disk = FakeDisk::failing(0, 1);
    let disk = disk.clone().before_opening(another_run(disk, locked));
    let mut world = World::on(disk, Settings::default().with_if_locked(if_locked));
    let mut job = world.job("f", SIZE).with_if_exists(if_exists);
    if !names {
        job.destination = Destination::Server;
    }
    let name = if names { "out/f" } else { "out/file" };
    let job = world.session.add(job).await.expect("is open");
    let is_end = |kind: &EventKind| {
        matches!(kind, EventKind::Skipped { .. } | EventKind::Failed { .. } | EventKind::Finished { .. })
    };
    let ended = world.until(job, is_end).await;
    let files: Vec<_> = world.disk.paths().into_iter().map(|path| world.disk.read(path)).collect();
    let (other, whole) = (Some(OTHER.to_vec()), Some(content("f", SIZE)));
    let (is_kept, is_replaced) = (files == [other.clone()], files == [whole.clone()]);
    let has_both = files == [other, whole];
    match &ended.kind {
        EventKind::Skipped { path, .. } if path == name && is_kept => "skipped",
        EventKind::Failed { error, .. } if error.code == "file.exists" && is_kept => "file.exists",
        EventKind::Finished { path, .. } if path == name && is_replaced => "replaced",
        EventKind::Finished { path, .. } if *path == format!("{name} (1)") && has_both => "beside it",
        ended => panic!("{ended:?} {:?}", world.disk.paths()),
    }
}
