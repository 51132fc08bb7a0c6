//! Opens partial files that earlier jobs may still have open. A blocking call that had begun, such as the
//! check of a signature, keeps the partial file of a job open and locked after the end of the job. The
//! program may have added the job again in the meantime.
//!
//! Invariant: a job waits only for jobs that were added before it, so two jobs never wait for each other.

use crate::disk::{Disk, Found, Opening, Part};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// The highest number of waits for a partial file that this session does not have open, and the length of
/// each wait. If a session was dropped, a write that had begun keeps the partial file locked for a few
/// milliseconds. The same program may have started another session in the meantime.
pub(super) const WAITS: u32 = 10;
const WAIT: Duration = Duration::from_millis(20);

/// The partial files of jobs that have ended without a complete file, until these files are closed.
#[derive(Default)]
pub(super) struct ClosingParts(Mutex<BTreeMap<JobId, Closing>>);

struct Closing {
    /// The path of the job's file, and the partial file. The value is `None` while the partial file is being
    /// opened.
    part: Option<(PathBuf, Weak<dyn Part>)>,
    /// True while a task opens or closes the partial file. After that, another task may still have the file
    /// open.
    in_progress: bool,
}

impl Closing {
    fn is_open(&self) -> bool {
        self.in_progress || self.part.as_ref().is_some_and(|(_, part)| part.strong_count() > 0)
    }
}

impl ClosingParts {
    /// Records that a job has ended while its partial file is being opened.
    pub(super) fn add_opening(&self, job: JobId) {
        self.parts().insert(job, Closing { part: None, in_progress: true });
    }

    /// Records that a task will close the partial file of a job that has ended. `path` is the path of the
    /// job's file.
    pub(super) fn add(&self, job: JobId, path: PathBuf, part: &Arc<dyn Part>) {
        let part = Some((path, Arc::downgrade(part)));
        self.parts().insert(job, Closing { part, in_progress: true });
    }

    /// Records that the task of [`ClosingParts::add`] has ended, or that no partial file was opened.
    pub(super) fn on_closed(&self, job: JobId) {
        let mut parts = self.parts();
        if let Some(closing) = parts.get_mut(&job) {
            closing.in_progress = false;
            if !closing.is_open() {
                parts.remove(&job);
            }
        }
    }

    /// Returns true if all partial files that were added are closed.
    pub(super) fn is_empty(&self) -> bool {
        let mut parts = self.parts();
        parts.retain(|_, closing| closing.is_open());
        parts.is_empty()
    }

    /// Returns true if a job that was added before `job` and has ended may still have the partial file open.
    /// `path` is the path of the file of `job`.
    pub(super) fn may_have(&self, path: &Path, job: JobId) -> bool {
        let is_of_path = |closing: &Closing| closing.part.as_ref().is_none_or(|(of, _)| of == path);
        self.parts().range(..job).any(|(_, closing)| closing.is_open() && is_of_path(closing))
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<JobId, Closing>> {
        // A poisoned lock can be used, because the map is consistent between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a partial file as [`Disk::open_part`] does. If it is locked, waits and tries again: as long as
/// `is_closing` returns true, and then up to `waits` more times.
///
/// # Errors
/// Returns the error of [`Disk::open_part`].
pub(super) fn open_part(
    disk: &dyn Disk,
    path: &Path,
    how: Opening<'_>,
    is_closing: impl Fn() -> bool,
    mut waits: u32,
) -> Result<(Box<dyn Part>, Option<Found>), Error> {
    loop {
        // The partial file may be closed directly after the attempt to open it, so `is_closing` is called
        // before the attempt.
        let is_closing = is_closing();
        match disk.open_part(path, how) {
            Err(error) if error.kind == ErrorKind::FileLocked && is_closing => {}
            Err(error) if error.kind == ErrorKind::FileLocked && waits > 0 => waits -= 1,
            other => return other,
        }
        thread::sleep(WAIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::file::Files;
    use downhaul_core::identity::Identity;
    use downhaul_core::settings::Resume;

    #[test]
    fn a_job_waits_for_the_partial_file_of_an_earlier_job_and_not_for_that_of_another_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("name");
        let identity = Identity { origins: Vec::new(), has_strong_digest: true };
        let how =
            Opening { resume: Resume::Auto, identity: &identity, fresh: false, small: false, mark: true };
        let closing = Arc::new(ClosingParts::default());
        let (first, second) = (JobId::new(1), JobId::new(2));
        let part: Arc<dyn Part> = Arc::from(Files.open_part(&target, how).expect("opens").0);
        let open = |job| {
            open_part(&Files, &target, how, || closing.may_have(&target, job), 0)
                .map(drop)
                .map_err(|e| e.kind)
        };
        assert_eq!(open(second), Err(ErrorKind::FileLocked), "another run has the file");
        closing.add(first, target.clone(), &part);
        assert!(!closing.may_have(&target, first) && !closing.may_have(&folder.path().join("other"), second));
        let slow = thread::spawn({
            let closing = closing.clone();
            move || {
                closing.on_closed(first);
                // All `WAITS` waits together would take less time than this sleep.
                thread::sleep(2 * WAITS * WAIT);
                drop(part);
            }
        });
        assert_eq!(open(second), Ok(()));
        slow.join().expect("no panic");
        assert!(closing.is_empty());
        closing.add_opening(first);
        assert!(closing.may_have(&target, second) && !closing.is_empty());
        closing.on_closed(first);
        assert!(closing.is_empty());
    }

    #[test]
    fn a_partial_file_that_another_session_is_closing_can_be_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("name");
        let identity = Identity { origins: Vec::new(), has_strong_digest: true };
        let how =
            Opening { resume: Resume::Auto, identity: &identity, fresh: false, small: false, mark: true };
        let part = Files.open_part(&target, how).expect("opens").0;
        let closing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(part);
        });
        let opened = open_part(&Files, &target, how, || false, WAITS).map(drop);
        closing.join().expect("no panic");
        assert_eq!(opened, Ok(()));
    }
}
