//! The tar that is being written.
//!
//! Invariant: it ends with a whole sample. If a sample cannot be written completely, its bytes are removed
//! again.

use super::member::Frame;
use crate::disk::{failure, platform};
use bytes::Bytes;
use downhaul_core::error::Error;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Each time this many bytes were added, the system is requested to write them to the disk. Forcing the tar
/// to the disk at its end is then quick.
const WRITE_BACK: u64 = 32 * 1024 * 1024;

/// The tar that is being written.
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) file: Arc<File>,
    /// Its length.
    pub(super) end: u64,
    /// The number of files in it.
    pub(super) count: u64,
    /// The offset up to which the system was requested to write it to the disk.
    written_back: u64,
    /// True if the name of the tar is forced to the disk too, as `--sync always` demands.
    pub(super) forces_name: bool,
}

/// The bytes of a file that is added.
pub(super) enum Content<'a> {
    Buffers(&'a [Bytes]),
    /// Copies the file to this offset of a tar.
    Copy(&'a dyn Fn(&File, u64) -> Result<(), Error>),
}

impl Open {
    /// Returns the tar with this number. It has this length and number of files.
    pub(super) fn new(number: u64, file: Arc<File>, end: u64, count: u64) -> Open {
        Open { number, file, end, count, written_back: end, forces_name: false }
    }

    /// Adds both members of a file of this size. If that fails, the tar is as before. `path` is its path.
    pub(super) fn append(
        &mut self,
        frame: &Frame,
        content: &Content<'_>,
        size: u64,
        path: &Path,
    ) -> Result<(), Error> {
        if let Err(error) = self.write(frame, content, size, path) {
            let _ = self.file.set_len(self.end);
            return Err(error);
        }
        self.end += frame.length(size);
        self.count += 1;
        if self.end - self.written_back >= WRITE_BACK {
            platform::begin_write_back(&self.file, self.written_back..self.end);
            self.written_back = self.end;
        }
        Ok(())
    }

    fn write(&self, frame: &Frame, content: &Content<'_>, size: u64, path: &Path) -> Result<(), Error> {
        let (before, after) = (frame.before.clone(), frame.after.clone());
        let put = |offset: u64, data: &[Bytes]| {
            platform::write_all_at(&self.file, offset, data).map_err(|e| failure(&e, path))
        };
        match content {
            Content::Buffers(data) => {
                let file = data.iter().cloned();
                let all: Vec<Bytes> = [before].into_iter().chain(file).chain([after]).collect();
                put(self.end, &all)
            }
            Content::Copy(copy) => {
                let start = self.end + before.len() as u64;
                put(self.end, &[before])?;
                copy(&self.file, start)?;
                put(start + size, &[after])
            }
        }
    }
}
