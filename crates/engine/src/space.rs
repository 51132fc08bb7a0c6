//! Adds up the space that the unfinished files still need. So a disk that is too small for all of them is
//! detected before it is full.
//!
//! Invariant: [`Space`] keeps no file open. A file may be opened after its job has ended. If [`Space`] kept
//! it open, it would stay locked, and no later job could continue it.

use crate::disk::{Disk, Part};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A partial file and its final size.
type Growing = (Weak<dyn Part>, u64);

/// The files that are counted.
pub(crate) struct Space {
    files: Mutex<Files>,
    counts_all: bool,
}

#[derive(Default)]
struct Files {
    /// The unfinished files with a journal whose size is known, and in a preview also small files.
    growing: BTreeMap<JobId, Growing>,
    /// The bytes that the files of a preview need on each disk. A preview writes nothing, so the free space
    /// does not show them.
    planned: BTreeMap<u64, u64>,
}

impl Space {
    /// Returns the space of a session in which no file is counted yet. In a preview, small files are counted
    /// too.
    pub(crate) fn new(is_preview: bool) -> Space {
        Space { files: Mutex::default(), counts_all: is_preview }
    }

    /// Returns true if small files are counted too.
    pub(crate) fn counts_all(&self) -> bool {
        self.counts_all
    }

    /// Reserves space for a file of `size` bytes. Blocks, because this reads the free space of the disk.
    ///
    /// # Errors
    /// Returns `disk.full` if the free space is not enough for all unfinished files on that disk.
    pub(crate) fn reserve(
        &self,
        job: JobId,
        part: &Arc<dyn Part>,
        size: u64,
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<(), Error> {
        let mut all = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let Files { growing: files, planned } = &mut *all;
        files.remove(&job);
        files.retain(|_, (other, _)| other.strong_count() > 0);
        if let Some(free) = disk.free_space(path) {
            let still = |part: &Arc<dyn Part>, size: u64| size.saturating_sub(part.occupied());
            let open = files.values().filter_map(|(other, size)| Some((other.upgrade()?, *size)));
            let here = open.filter(|(other, _)| other.device() == part.device());
            let planned = planned.get(&part.device()).copied().unwrap_or(0);
            let others = here.fold(planned, |sum, (other, size)| sum.saturating_add(still(&other, size)));
            let needed = others.saturating_add(still(part, size));
            if needed > free {
                let why = format!(
                    "{needed} bytes are needed for this file and the other unfinished files, and {free} are free"
                );
                return Err(Error::new(ErrorKind::DiskFull, path.to_string_lossy(), why));
            }
        }
        files.insert(job, (Arc::downgrade(part), size));
        Ok(())
    }

    /// Releases the space that was reserved for a file that has ended.
    pub(crate) fn release(&self, job: JobId) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).growing.remove(&job);
    }

    /// Keeps counting the bytes that a file of a preview needs.
    pub(crate) fn plan(&self, job: JobId) {
        let mut all = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((part, size)) = all.growing.remove(&job)
            && let Some(part) = part.upgrade()
        {
            let needed = size.saturating_sub(part.occupied());
            let planned = all.planned.entry(part.device()).or_default();
            *planned = planned.saturating_add(needed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::file::{ReadOnlyFiles, ReadOnlyPart};

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
