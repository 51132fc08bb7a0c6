//! Adds up the space that the unfinished files still need. So a disk that is too small for all of them is
//! detected before it is full.

use crate::disk::{Disk, Part};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A partial file and its final size.
type Growing = (Arc<dyn Part>, u64);

/// The unfinished files that are counted, because their size is known and not small.
#[derive(Default)]
pub(crate) struct Space(Mutex<BTreeMap<JobId, Growing>>);

impl Space {
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
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.remove(&job);
        if let Some(free) = disk.free_space(path) {
            let still = |part: &Arc<dyn Part>, size: u64| size.saturating_sub(part.occupied());
            let here = files.values().filter(|(other, _)| other.device() == part.device());
            let others = here.fold(0, |sum: u64, (other, size)| sum.saturating_add(still(other, *size)));
            let needed = others.saturating_add(still(part, size));
            if needed > free {
                let why = format!(
                    "{needed} bytes are needed for this file and the other unfinished files, and {free} are free"
                );
                return Err(Error::new(ErrorKind::DiskFull, path.to_string_lossy(), why));
            }
        }
        files.insert(job, (part.clone(), size));
        Ok(())
    }

    /// Releases the space that was reserved for a file that has ended.
    pub(crate) fn release(&self, job: JobId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }
}
