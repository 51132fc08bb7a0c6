//! Adds up the bytes that the unfinished files still need on each disk. So a disk that is too small for all
//! of them is detected before it is full.
//!
//! Invariant: [`Space`] keeps no file open. If a disk is slow, a partial file may be opened after its job has
//! ended. If [`Space`] kept such a file open, the lock on the file would not be released, and no later job
//! could continue the file. The mutex of [`Space`] is held only for a moment, and never while a disk is read.
//! So a disk that does not answer stops only the jobs whose files are on this disk.

use crate::disk::{Disk, Part};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use downhaul_core::show;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A partial file whose missing bytes are counted.
#[derive(Clone)]
struct Growing {
    part: Weak<dyn Part>,
    /// The final size of the file.
    size: u64,
    /// The number of bytes that the file still needed when its space was reserved.
    needed: u64,
    /// The identifier of the disk on which the file is.
    device: u64,
}

/// Counts the bytes that the unfinished files of a session still need.
pub(crate) struct Space {
    files: Mutex<Files>,
    /// True in a preview, in which files without a journal are counted too.
    counts_all: bool,
}

#[derive(Default)]
struct Files {
    /// The unfinished files whose size is known. In a download, only files with a journal are counted. The
    /// others are small, or are written in order, or have most of their bytes already (`downhaul repair`).
    growing: BTreeMap<JobId, Growing>,
    /// In a preview, the number of bytes that the files of ended jobs need on each disk. A preview writes
    /// nothing, so the free space of the disk does not become smaller by these bytes.
    planned: BTreeMap<u64, u64>,
}

impl Space {
    /// Returns a value that counts no file yet. In a preview, files without a journal are counted too.
    pub(crate) fn new(is_preview: bool) -> Space {
        Space { files: Mutex::default(), counts_all: is_preview }
    }

    pub(crate) fn counts_all(&self) -> bool {
        self.counts_all
    }

    /// Counts the bytes that the partial file of a job still needs, if the disk has enough free space for
    /// them. If the free space is not known, the bytes are counted too. `size` is the final size of the file,
    /// and `path` is its final path. Blocks the thread, because the free space of the disk is read.
    ///
    /// # Errors
    /// Returns `disk.full` if the free space is not enough for all unfinished files on that disk. The file of
    /// the job is not counted then.
    pub(crate) fn reserve(
        &self,
        job: JobId,
        part: &Arc<dyn Part>,
        size: u64,
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<(), Error> {
        let (device, needed) = (part.device(), still(&**part, size));
        // No disk is read while the mutex is held. Otherwise, a disk that does not answer would also stop the
        // jobs whose files are on other disks.
        let others = self.others(job, device);
        let measured =
            others.iter().filter_map(|(id, other)| Some((id, still(&*other.part.upgrade()?, other.size))));
        let measured: BTreeMap<_, _> = measured.collect();
        let free = disk.free_space(path);
        let mut all = self.files();
        all.growing.remove(&job);
        let others = all.growing.iter().filter(|(_, other)| other.device == device);
        let others = others.map(|(id, other)| measured.get(id).copied().unwrap_or(other.needed));
        let planned = all.planned.get(&device).copied().unwrap_or(0);
        let in_all = others.fold(planned.saturating_add(needed), u64::saturating_add);
        if let Some(free) = free.filter(|&free| in_all > free) {
            let (needs, has) = match (show::bytes(in_all), show::bytes(free)) {
                // The two texts must not be equal.
                (needs, has) if needs == has => (format!("{in_all} B"), format!("{free} B")),
                texts => texts,
            };
            let why = format!(
                "{needs} are needed for this file and the other unfinished files, and {has} are free"
            );
            return Err(Error::new(ErrorKind::DiskFull, path.to_string_lossy(), why));
        }
        all.growing.insert(job, Growing { part: Arc::downgrade(part), size, needed, device });
        Ok(())
    }

    /// Returns the counted files on a disk, without the file of `job`. Forgets files that were closed.
    fn others(&self, job: JobId, device: u64) -> BTreeMap<JobId, Growing> {
        let mut all = self.files();
        all.growing.retain(|_, other| other.part.strong_count() > 0);
        let others = all.growing.iter().filter(|(id, other)| **id != job && other.device == device);
        others.map(|(id, other)| (*id, other.clone())).collect()
    }

    /// Stops counting the file of a job that has ended.
    pub(crate) fn release(&self, job: JobId) {
        self.files().growing.remove(&job);
    }

    /// Records the end of a job, but still counts the bytes that its file needs. A preview calls this instead
    /// of [`Space::release`].
    pub(crate) fn plan(&self, job: JobId) {
        let mut all = self.files();
        if let Some(Growing { needed, device, .. }) = all.growing.remove(&job) {
            let planned = all.planned.entry(device).or_default();
            *planned = planned.saturating_add(needed);
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how many bytes a partial file still needs on the disk. `size` is its final size.
fn still(part: &dyn Part, size: u64) -> u64 {
    size.saturating_sub(part.occupied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::file::{ReadOnlyFiles, ReadOnlyPart};
    use crate::disk::{Found, Opening, Standing};
    use downhaul_core::identity::Identity;
    use std::io::Read;

    /// A disk that panics if its free space is read while the mutex of [`Space`] is held. The second field is
    /// the free space.
    struct Answers<'s>(&'s Space, Option<u64>);

    impl Disk for Answers<'_> {
        fn look(&self, path: &Path) -> Result<Option<Standing>, Error> {
            ReadOnlyFiles.look(path)
        }

        fn has_left(&self, _target: &Path, _identity: &Identity) -> bool {
            false
        }

        fn names(&self, _folder: &Path, _most: usize) -> Option<Vec<String>> {
            None
        }

        fn open_part(
            &self,
            target: &Path,
            how: Opening<'_>,
        ) -> Result<(Box<dyn Part>, Option<Found>), Error> {
            ReadOnlyFiles.open_part(target, how)
        }

        fn tidy(&self, _target: &Path, _identity: &Identity) {}

        fn free_space(&self, _target: &Path) -> Option<u64> {
            assert!(self.0.files.try_lock().is_ok(), "the director would wait for this disk");
            self.1
        }

        fn open(&self, path: &Path) -> Result<Box<dyn Read>, Error> {
            ReadOnlyFiles.open(path)
        }
    }

    #[test]
    fn nothing_is_locked_while_the_disk_is_read_and_a_refused_file_is_not_counted() {
        let space = Space::new(false);
        let parts: [Arc<dyn Part>; 3] = std::array::from_fn(|_| Arc::new(ReadOnlyPart::in_order()) as _);
        let reserve = |job: u64, size, free| {
            let part = &parts[job as usize];
            let result = space.reserve(JobId::new(job), part, size, &Answers(&space, free), Path::new("f"));
            result.map_err(|e| e.kind)
        };
        assert_eq!(reserve(0, 60, Some(100)), Ok(()));
        assert_eq!(reserve(1, 60, Some(100)), Err(ErrorKind::DiskFull));
        assert_eq!(reserve(2, 40, Some(100)), Ok(()));
        space.release(JobId::new(0));
        assert_eq!(reserve(1, 60, Some(100)), Ok(()));
        assert_eq!(reserve(0, 60, None), Ok(()), "it is not known how much is free");
    }

    #[test]
    fn a_file_that_is_counted_is_closed_when_its_job_drops_it() {
        let (space, part): (_, Arc<dyn Part>) = (Space::new(false), Arc::new(ReadOnlyPart::in_order()));
        let disk = ReadOnlyFiles;
        space.reserve(JobId::new(1), &part, 10, &disk, Path::new("f")).expect("enough space");
        let file = Arc::downgrade(&part);
        drop(part);
        assert!(file.upgrade().is_none());
    }
}
