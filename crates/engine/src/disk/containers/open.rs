//! Adds files to the container that is being written.
//!
//! Invariant: everything before [`Open::end`] belongs to the beginning of the container or to a whole file.
//! If a file cannot be added completely, its bytes are removed again, as far as the system allows.

use crate::disk::{Part, ReadBack, failure, platform};
use bytes::Bytes;
use downhaul_core::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// Each time this many bytes were added, the system is told to begin writing them to the disk. So it takes
/// little time to force the complete container to the disk.
const WRITE_BACK: u64 = 32 * 1024 * 1024;

/// The container that is being written.
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) file: Arc<File>,
    /// The length of the container, which is the offset of the next file.
    pub(super) end: u64,
    /// The number of files in the container.
    pub(super) count: u64,
    /// The offset up to which the system was told to write the container to the disk.
    written_back: u64,
    /// True if the name of the container is forced to the disk too, as `--sync always` demands.
    pub(super) forces_name: bool,
    /// True if an earlier run left the container.
    pub(super) was_found: bool,
}

/// The bytes of a file that is added.
pub(super) enum Content<'a> {
    Buffers(&'a [Bytes]),
    /// A complete partial file.
    Part(&'a Arc<dyn Part>),
}

impl Content<'_> {
    /// Returns a reader for a file of this size.
    pub(super) fn reader(&self, size: u64) -> Box<dyn Read + '_> {
        match self {
            Content::Buffers(data) => Box::new(io::Cursor::new(data.concat())),
            Content::Part(part) => Box::new(ReadBack::new((*part).clone(), size)),
        }
    }
}

impl Open {
    /// Returns the container with this number. `end` is its length, and `count` is the number of its files.
    pub(super) fn new(number: u64, file: Arc<File>, end: u64, count: u64) -> Open {
        Open { number, file, end, count, written_back: end, forces_name: false, was_found: false }
    }

    /// Returns the same container, as one that an earlier run left.
    pub(super) fn found(self) -> Open {
        Open { was_found: true, ..self }
    }

    /// Adds a file. `write` writes the file into the container at an offset, and returns the offset after the
    /// file. If `write` fails, the container gets its earlier length again. `path` is the path of the
    /// container.
    pub(super) fn append(
        &mut self,
        path: &Path,
        write: impl FnOnce(&File, u64) -> io::Result<u64>,
    ) -> Result<(), Error> {
        let end = write(&self.file, self.end).map_err(|e| {
            let _ = self.file.set_len(self.end);
            failure(&e, path)
        })?;
        self.end = end;
        self.count += 1;
        if self.end - self.written_back >= WRITE_BACK {
            platform::begin_write_back(&self.file, self.written_back..self.end);
            self.written_back = self.end;
        }
        Ok(())
    }
}

/// Returns the error for a partial file that is shorter than expected.
pub(super) fn is_short() -> io::Error {
    io::Error::other("another program changed, moved or removed the partial file")
}
