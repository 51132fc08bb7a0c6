//! What the files in flight will still take from their disks, so that a disk that is too small for all of them is known
//! before it is full.

use crate::disk::{Disk, Part};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A part file, and how large it will be.
type Growing = (Arc<dyn Part>, u64);

/// The files in flight whose size is known and worth counting.
#[derive(Default)]
pub(crate) struct Space(Mutex<BTreeMap<JobId, Growing>>);

impl Space {
    /// Reserves room for a file of so many bytes. Blocks: it asks the disk.
    ///
    /// # Errors
    /// `disk.full` when what is free is not enough for all files in flight on that disk.
    pub(crate) fn reserve(
        &self,
        job: JobId,
        part: &Arc<dyn Part>,
        size: u64,
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<(), Error> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.remove(&job);
        if let Some(free) = disk.free_space(path) {
            let still = |part: &Arc<dyn Part>, size: u64| size.saturating_sub(part.occupied());
            let here = files.values().filter(|(other, _)| other.device() == part.device());
            let others = here.fold(0, |sum: u64, (other, size)| sum.saturating_add(still(other, *size)));
            let needed = others.saturating_add(still(part, size));
            if needed > free {
                let why =
                    format!("{needed} bytes are needed, with the other files in flight, and {free} are free");
                return Err(Error::new(ErrorKind::DiskFull, path.to_string_lossy(), why));
            }
        }
        files.insert(job, (part.clone(), size));
        Ok(())
    }

    /// The file is over.
    pub(crate) fn release(&self, job: JobId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }
}
