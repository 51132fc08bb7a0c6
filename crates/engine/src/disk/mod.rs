//! Defines the interface to the disk. [`Disk`] checks names and opens partial files, and [`Part`] is one
//! unfinished file.
//!
//! The calls may block. The engine makes them on blocking threads, and not on the threads for the network.
//! There are two exceptions: a few short calls, and all calls of the threads for small files, which use both
//! the network and the disk. Tars and WARCs (`containers/`) and the simulated disk of the testkit implement
//! these traits too. Standard output and pipes (`in_order.rs`) implement [`Part`].
//!
//! Invariant: a final name appears only through [`Part::publish`], [`Disk::save`] and [`Disk::duplicate`].
//! Until then, an older file of that name is unchanged.

pub(crate) mod containers;
mod digests;
mod duplicating;
mod failure;
pub(crate) mod file;
pub(crate) mod force;
pub(crate) mod in_order;
#[cfg(unix)]
#[path = "unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "windows.rs"]
mod platform;

pub(crate) use digests::{digests, has_chunks};
pub use duplicating::{Duplicated, Duplicating};
pub(crate) use failure::failure;
// The command-line program calls these functions before it stores that files are complete, and for its own
// files and its own output.
#[doc(hidden)]
pub use self::{force::force_files, force::force_folder, platform::check_stdout, platform::patiently};

use bytes::Bytes;
use downhaul_core::adopt::Adopted;
use downhaul_core::dedup::Original;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::Error;
use downhaul_core::identity::{self, Identity, Origin};
use downhaul_core::lock_file::Entry;
use downhaul_core::remote::Validator;
use downhaul_core::settings::{Resume, Sync};
use downhaul_core::transcript::Transcript;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

/// The number of bytes that are read at a time. With this size, the cost of a call is negligible, and the
/// bytes stay in the processor's cache.
const READ: usize = 256 * 1024;

/// The name of aria2, as [`Disk::unfinished_by`] returns it.
pub(crate) const ARIA2: &str = "aria2";

/// A place where files are kept.
pub trait Disk: Send + std::marker::Sync {
    /// Returns what is at a path, or `None` if there is nothing. Symbolic links are followed. For a link
    /// without a target, the result is [`NoFile::Link`].
    ///
    /// # Errors
    /// Returns `name.unsafe` if the system would refuse the path or use another path instead, and otherwise
    /// the error of the system, except "not found".
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error>;

    /// Returns true if an earlier run left a partial file of `target` that this job may resume.
    fn has_left(&self, target: &Path, identity: &Identity) -> bool;

    /// Returns true if the partial file of `target` with the usual name belongs to another job, or if nothing
    /// shows that downhaul made it.
    fn is_anothers(&self, _target: &Path, _identity: &Identity) -> bool {
        false
    }

    /// Returns true if neither a file nor a partial file of this job is at a path. Returns `None` if the disk
    /// must be read to know that.
    fn is_free(&self, _path: &Path, _identity: &Identity) -> Option<bool> {
        None
    }

    /// Returns the path under which a user finds the file with this final name. It differs from `path` only
    /// for a file in a container.
    fn location(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }

    /// Returns true if the disk stores what a lock file says about each file ([`Publishing::about`]).
    fn stores_entries(&self) -> bool {
        false
    }

    /// Returns the name of the tool that left this file unfinished, if its control file is beside the file.
    fn unfinished_by(&self, _path: &Path) -> Option<&'static str> {
        None
    }

    /// Returns true if bytes of the file at this path may be missing, even if the file has its final size:
    /// the file has holes, or all bytes at its end have the same value.
    ///
    /// # Errors
    /// Returns the error of the system if the file cannot be read.
    fn may_lack_bytes(&self, _path: &Path) -> Result<bool, Error> {
        Ok(false)
    }

    /// Returns the names in a folder. If the folder does not exist, there are no names. Returns `None` if the
    /// folder cannot be read or has more than `most` names, or if this disk cannot list names.
    fn names(&self, folder: &Path, most: usize) -> Option<Vec<String>>;

    /// Opens and locks the partial file of `target`, makes the folders that it needs, and finds what can be
    /// resumed. With [`Resume::Adopt`] and [`Resume::Repair`], the partial file may become a copy of the file
    /// under the final name. Otherwise, no byte in it is changed before [`Part::begin`]. If
    /// [`Disk::is_anothers`] is true, the partial file of the usual name is not changed, and the job gets a
    /// partial file of another name.
    ///
    /// # Errors
    /// Returns `file.locked` if another run uses the file, `resume.refused` if a file of another tool cannot
    /// be continued ([`Resume::Adopt`]), `name.unsafe` as [`Disk::look`] does, and otherwise the error of the
    /// system.
    fn open_part(&self, target: &Path, how: Opening<'_>) -> Result<(Box<dyn Part>, Option<Found>), Error>;

    /// Saves a complete small file under its final name, which must be free. Returns false if that is not
    /// possible. In this case, no new file exists, but its folder may have been made. The caller then uses
    /// [`Disk::open_part`], which returns the error if there is one.
    fn save(&self, target: &Path, identity: &Identity, data: &[Bytes], how: &Publishing) -> bool {
        save_as_part(self, target, identity, data, how)
    }

    /// Makes the file `target` from an existing file that has the same bytes.
    ///
    /// # Errors
    /// Returns the error of the system if the file cannot be written.
    fn duplicate(
        &self,
        _original: &Original,
        _target: &Path,
        _how: &Duplicating<'_>,
    ) -> Result<Duplicated, Error> {
        Ok(Duplicated::Unable)
    }

    /// Removes the files that a killed run left beside the path of a file, and that no run can use: a journal
    /// without a partial file, a partial file of this job without a journal, or the partial files of a file
    /// in a container. `identity` is the identity of the job.
    fn tidy(&self, target: &Path, identity: &Identity);

    /// Returns how many bytes are free for a file at this path, if that is known.
    fn free_space(&self, target: &Path) -> Option<u64>;

    /// Opens a finished file for reading.
    ///
    /// # Errors
    /// Returns the error of the system.
    fn open(&self, path: &Path) -> Result<Box<dyn Read>, Error>;
}

/// Saves a complete small file as a partial file that gets its final name at once. See [`Disk::save`].
fn save_as_part<D: Disk + ?Sized>(
    disk: &D,
    target: &Path,
    identity: &Identity,
    data: &[Bytes],
    how: &Publishing,
) -> bool {
    let opening = Opening { resume: Resume::Auto, identity, fresh: true, small: true, mark: false };
    let Ok((part, found)) = disk.open_part(target, opening) else { return false };
    let beginning = Beginning { journal: None, keep: false, size: Some(how.size), algorithms: &[] };
    let save = || {
        let generation = part.begin(beginning)?;
        part.write_at(generation, 0, data, &AtomicU64::new(how.size))?;
        part.publish(target, how.clone())
    };
    // A partial file that appeared after the folder was read is not touched.
    if found.is_some() {
        return false;
    }
    let is_saved = save().is_ok();
    if !is_saved {
        part.discard();
    }
    is_saved
}

/// The options for opening a partial file.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Decides what is done with the files of an earlier run.
    pub resume: Resume,
    /// The identity of the job.
    pub identity: &'a Identity,
    /// True if there was neither the target nor a partial file of it when the folder was read. An empty
    /// partial file is then not examined.
    pub fresh: bool,
    /// True if the partial file gets no journal. A later run cannot see that downhaul made such a file.
    pub small: bool,
    /// True if an extended attribute may mark the partial file as downhaul's.
    pub mark: bool,
}

/// The options for publishing a file.
#[derive(Debug, Clone)]
pub struct Publishing {
    /// The size in bytes. Bytes after that are removed.
    pub size: u64,
    /// True if an existing file is replaced. Otherwise it is kept, and publishing fails, unless one of the
    /// next two fields is true.
    pub replace: bool,
    /// True if an existing file with the same bytes, for example of another run, counts as published.
    pub accepts_same: bool,
    /// True if the job continues a file of another tool ([`Resume::Adopt`], [`Resume::AdoptMarked`]). Unless
    /// `replace` is true, an existing file is then replaced only by a file that continues it. Such a file has
    /// all bytes of the existing file. If aria2 left a control file beside the existing file, only the bytes
    /// that the control file marks as complete are compared. Publishing a file that does not continue the
    /// existing one fails, usually with `resume.damaged`. When an existing file was replaced, its control
    /// file of aria2 is removed, if it can be read.
    pub continues: bool,
    /// The modification time that the file gets.
    pub modified: Option<SystemTime>,
    /// Decides if the file is forced to the disk before it is published.
    pub sync: Sync,
    /// The record by which later runs recognise the file.
    pub attach: Option<Attach>,
    /// The entry that a lock file has for the file, without its name and path, if the disk stores entries.
    pub about: Option<Box<Entry>>,
    /// The requests and responses by which the file was received, if they are kept.
    pub transcript: Option<Arc<Transcript>>,
}

/// The values of the extended attributes of a finished file, if the disk supports them.
#[derive(Debug, Clone)]
pub struct Attach {
    /// The origin of the file.
    pub origin: Origin,
    /// The validator of the file.
    pub validator: Validator,
    /// The URL without secrets, if it is stored too.
    pub url: Option<String>,
    /// The present time.
    pub now: SystemTime,
}

/// The bytes that a run can continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The partial file is a copy of the file under the final name. An interrupted repair may have changed
    /// the copy. The number is the length of the copy in bytes.
    Whole(u64),
    /// An earlier run left a journal with this content.
    Journal(Vec<u8>),
    /// The partial file is a copy of a file that another tool left unfinished under the final name.
    Adopted(Adopted),
}

/// The options for starting a partial file.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// The first bytes of the journal, if the file has one.
    pub journal: Option<&'a [u8]>,
    /// True if the bytes that the file already has are kept.
    pub keep: bool,
    /// The final size in bytes, if it is known.
    pub size: Option<u64>,
    /// The digests to compute, if bytes cannot be read back later.
    pub algorithms: &'a [Algorithm],
}

/// The number of times that a partial file was started. A write for an earlier start is too late and fails.
pub type Generation = u64;

/// One unfinished file.
pub trait Part: Send + std::marker::Sync {
    /// Starts the file, or starts it again. Waits for writes in progress, and drops everything that was
    /// written and recorded. With [`Beginning::keep`], the bytes of the file stay.
    ///
    /// # Errors
    /// Returns `output.started` if bytes cannot be taken back, `disk.failed` if the file was removed or has
    /// its final name, or an error of the system.
    fn begin(&self, beginning: Beginning<'_>) -> Result<Generation, Error>;

    /// Writes `data` from `offset` on. Only the first write of a byte in this generation is used, so bytes
    /// that were written before are not changed. Returns true if all of `data` was written and none of it had
    /// been written before. An output that is written in order never returns false. `end` is the offset at
    /// which the writer's segment ends. Bytes beyond it are not written to a file. The value 0 means that the
    /// writer was dropped and must not write any more.
    ///
    /// # Errors
    /// Returns `disk.failed` if the writer was dropped, or if the file was started again, was removed or has
    /// its final name. An output that is written in order returns `output.started` in these cases, and also
    /// after a write that failed. It returns `output.closed` if its reader is gone, and `output.binary` if
    /// binary data would be written to a terminal. Returns `resume.damaged` if the bytes differ from those at
    /// the end of an adopted file. Otherwise returns the error of the system. After an error, any part of
    /// `data` may have been written.
    fn write_at(
        &self,
        generation: Generation,
        offset: u64,
        data: &[Bytes],
        end: &AtomicU64,
    ) -> Result<bool, Error>;

    /// Adds entries to the journal, if there is one.
    ///
    /// # Errors
    /// Returns an error of the system, or an error if the file was started again, removed or renamed.
    fn append_to_journal(&self, generation: Generation, entries: &[u8]) -> Result<(), Error>;

    /// Marks these bytes as not written, so that the next write replaces them. Returns false if bytes cannot
    /// be taken back.
    ///
    /// # Errors
    /// Returns an error if the file was started again, was removed or has its final name.
    fn void(&self, generation: Generation, range: Range<u64>) -> Result<bool, Error>;

    /// Replaces the journal in one step.
    ///
    /// # Errors
    /// Returns the error of the system.
    fn rewrite_journal(&self, journal: &[u8]) -> Result<(), Error>;

    /// Reads bytes back, from `offset` on. Returns how many were read. If these are fewer than the buffer
    /// holds, no further bytes can be read back.
    ///
    /// # Errors
    /// Returns the error of the system.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error>;

    /// Returns how many bytes of the disk the file occupies.
    fn occupied(&self) -> u64;

    /// Returns an identifier of the disk, or 0 if it is not known.
    fn device(&self) -> u64;

    /// Returns the digests that were requested at the beginning, if bytes cannot be read back.
    fn digests(&self) -> Vec<Digest> {
        Vec::new()
    }

    /// Gives the file its final name, in one step.
    ///
    /// # Errors
    /// Returns `file.exists` if an existing file must not be replaced, `resume.damaged` or `resume.refused`
    /// if the new file cannot be shown to continue it ([`Publishing::continues`]), and `disk.failed` if
    /// another program changed the partial file. An output that is written in order returns `output.started`
    /// if the number of its bytes is not [`Publishing::size`]. Otherwise returns the error of the system.
    fn publish(&self, target: &Path, how: Publishing) -> Result<(), Error>;

    /// Removes the file and its journal, as far as possible.
    fn discard(&self);
}

/// Reads a partial file from its beginning.
pub(crate) struct ReadBack {
    part: Arc<dyn Part>,
    at: u64,
    end: u64,
}

impl ReadBack {
    pub(crate) fn new(part: Arc<dyn Part>, size: u64) -> Self {
        ReadBack { part, at: 0, end: size }
    }
}

impl Read for ReadBack {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.part.read_at(self.at, &mut buffer[..most]).map_err(io::Error::other)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The kinds of objects that can be at a path instead of a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoFile {
    /// A folder.
    Folder,
    /// A pipe, a socket or a device.
    Device,
    /// A symbolic link without a target. Unlike a folder or a device, it is replaced like a file.
    Link,
}

/// The object at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The kind of the object, if it is not a regular file.
    pub instead: Option<NoFile>,
    /// The facts about the file.
    pub file: identity::ExistingFile,
}

impl Standing {
    /// Returns true if a file cannot replace the object, because the object is a folder or a device.
    pub(crate) fn keeps_its_name(&self) -> bool {
        matches!(self.instead, Some(NoFile::Folder | NoFile::Device))
    }
}
