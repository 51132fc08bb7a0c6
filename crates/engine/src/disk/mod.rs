//! Where bytes are kept: [`Disk`] looks at names and opens part files, [`Part`] is one file being made.
//!
//! All calls block; the engine makes them on blocking threads, never on those that serve the network. The second
//! users of these seams are standard output and pipes ([`in_order`]) and the simulated disk of the testkit.
//!
//! Invariant: a final name appears only through [`Part::publish`]; until then an older file of that name is
//! whole.

pub(crate) mod file;
pub(crate) mod in_order;
#[cfg(not(unix))]
#[path = "other.rs"]
mod platform;
#[cfg(unix)]
#[path = "unix.rs"]
mod platform;

use crate::hashers::Hashers;
use bytes::Bytes;
use downhaul_core::adopt::Adopted;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::{self, Identity, Origin};
use downhaul_core::remote::Validator;
use downhaul_core::settings::{Resume, Sync};
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

/// How much is read at a time: large enough that the calls cost nothing beside what is done with the bytes, small
/// enough to stay in the cache.
const READ: usize = 256 * 1024;

/// A place where files are kept.
pub trait Disk: Send + std::marker::Sync {
    /// What stands at a path; `None` if nothing does. Follows symbolic links.
    ///
    /// # Errors
    /// Whatever the system says, but "not found".
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error>;

    /// Whether an earlier run left something of `target` that this job may go on with.
    fn has_left(&self, target: &Path, identity: &Identity) -> bool;

    /// Whether the partial file of `target` came from a URL that is not this job's.
    fn is_anothers(&self, _target: &Path, _identity: &Identity) -> bool {
        false
    }

    /// The tool that has not finished the file at this path, if a control file beside it says so.
    fn unfinished_by(&self, _path: &Path) -> Option<&'static str> {
        None
    }

    /// The names in a folder, none if it does not exist. `None` if it cannot be read or has more than `most`.
    fn names(&self, folder: &Path, most: usize) -> Option<Vec<String>>;

    /// Opens and locks the part file of `target`, makes the folders it needs, and finds what is there to go on with.
    /// Nothing in it is changed before [`Part::begin`]. Where the part file of the usual name came from a URL that is not
    /// this job's, it stays as it is, and the job has one of another name.
    ///
    /// # Errors
    /// `file.locked` when another run is at work on it, `resume.refused` when what another tool left (asked for with
    /// [`Resume::Adopt`]) is no prefix of a file, else whatever the system says.
    fn open_part(&self, target: &Path, how: Opening<'_>) -> Result<(Box<dyn Part>, Option<Found>), Error>;

    /// Removes a journal whose part file is gone: the run before stopped between its last two steps.
    fn tidy(&self, target: &Path);

    /// Bytes that a file at this path could still get, if that is known.
    fn free_space(&self, target: &Path) -> Option<u64>;

    /// Opens a finished file, to read all of it.
    ///
    /// # Errors
    /// Whatever the system says.
    fn open(&self, path: &Path) -> Result<Box<dyn Read>, Error>;
}

/// Digests of a finished file.
///
/// # Errors
/// Whatever the system says.
pub(crate) fn digests(disk: &dyn Disk, path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Digest>, Error> {
    let mut file = disk.open(path)?;
    let mut hashers = Hashers::new(algorithms);
    let mut buffer = vec![0; READ];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hashers.finish()),
            Ok(n) => hashers.update(&[&buffer[..n]]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failure(&e, path)),
        }
    }
}

/// How a part file is opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// What to do with what is there.
    pub resume: Resume,
    /// What the job is known by.
    pub identity: &'a Identity,
    /// When the folder was looked through, nothing of this target was there: an empty part file is not looked into.
    pub fresh: bool,
    /// The file gets no journal, so that nothing else would show whose its partial file is.
    pub small: bool,
    /// The partial file may be marked as ours by an extended attribute.
    pub mark: bool,
}

/// How a file gets its final name.
#[derive(Debug, Clone)]
pub struct Publishing {
    /// Its size in bytes: whatever is behind that is no part of it.
    pub size: u64,
    /// A file that stands there is replaced; else it is left alone.
    pub replace: bool,
    /// A file that stands there is replaced if it is a beginning of this one, or what its control file marks as complete is a
    /// part of it; else that is `resume.damaged`.
    pub continues: bool,
    /// When it was last changed.
    pub modified: Option<SystemTime>,
    /// Whether it is forced to disk before.
    pub sync: Sync,
    /// What is attached to it, to know it again.
    pub attach: Option<Attach>,
}

/// What is attached to a finished file, where the disk can do that.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Where it came from.
    pub origin: Origin,
    /// What the server called this version of it.
    pub version: Validator,
    /// Its URL without secrets, if that is attached too.
    pub url: Option<String>,
    /// The wall clock.
    pub now: SystemTime,
}

/// What is there to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A copy of the file under the final name, so many bytes long.
    Whole(u64),
    /// The journal of an earlier run, as it is.
    Journal(Vec<u8>),
    /// What another tool left.
    Adopted(Adopted),
}

/// How a part file begins.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// The beginning of its journal, if it has one.
    pub journal: Option<&'a [u8]>,
    /// The bytes that are in it stay.
    pub keep: bool,
    /// How large it will be, if known.
    pub size: Option<u64>,
    /// What to hash, where bytes cannot be read back.
    pub algorithms: &'a [Algorithm],
}

/// Which beginning of a part file a write is for: those for an earlier one come too late and fail.
pub type Generation = u64;

/// One file being made.
pub trait Part: Send + std::marker::Sync {
    /// Begins the file (again): waits for writes that are under way, and forgets what was written and recorded.
    ///
    /// # Errors
    /// `output.started` where that is not possible any more, else whatever the system says.
    fn begin(&self, beginning: Beginning<'_>) -> Result<Generation, Error>;

    /// Writes all of `data`, in order, from `offset` on. The first write of a byte counts: what was written before in this
    /// generation stays as it is. Whether nothing of it was. `end` is where the task of whoever writes ends;
    /// what lies beyond is not written, and if that is 0, nothing is.
    ///
    /// # Errors
    /// `resume.damaged` when bytes of an adopted prefix are not what is there, else whatever the system says; then any
    /// part of it may have been written.
    fn write_at(
        &self,
        generation: Generation,
        offset: u64,
        data: &[Bytes],
        end: &AtomicU64,
    ) -> Result<bool, Error>;

    /// Adds a record to the journal.
    ///
    /// # Errors
    /// Whatever the system says.
    fn record(&self, generation: Generation, record: &[u8]) -> Result<(), Error>;

    /// What was written of these bytes counts for nothing: whoever writes them next does so anew. False where they cannot
    /// be taken back.
    ///
    /// # Errors
    /// It is too late.
    fn void(&self, generation: Generation, range: Range<u64>) -> Result<bool, Error>;

    /// Replaces the journal by this one, in one step.
    ///
    /// # Errors
    /// Whatever the system says.
    fn rewrite_journal(&self, journal: &[u8]) -> Result<(), Error>;

    /// Reads bytes back, as many as fit and are there.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error>;

    /// Bytes of the disk that it occupies already.
    fn occupied(&self) -> u64;

    /// Which disk that is.
    fn device(&self) -> u64;

    /// The digests that were asked for at its beginning, where bytes cannot be read back.
    fn digests(&self) -> Vec<Digest> {
        Vec::new()
    }

    /// Gives the file its final name, in one step.
    ///
    /// # Errors
    /// `file.exists`, or whatever the system says.
    fn publish(&self, target: &Path, how: Publishing) -> Result<(), Error>;

    /// Removes it and its journal, as far as that is possible.
    fn discard(&self);
}

/// Reads the first bytes of a part back, one after the other.
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

/// What is no regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoFile {
    /// A folder.
    Folder,
    /// A pipe, a socket, a device.
    Device,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// It is no file that could be replaced; this is what it is instead.
    pub instead: Option<NoFile>,
    /// The file.
    pub file: identity::Standing,
}

/// The failure of a disk, named after what a person can do about it.
pub(crate) fn failure(error: &io::Error, path: &Path) -> Error {
    use io::ErrorKind as Is;
    let kind = match error.kind() {
        Is::StorageFull | Is::QuotaExceeded => ErrorKind::DiskFull,
        Is::PermissionDenied | Is::ReadOnlyFilesystem => ErrorKind::DiskPermission,
        Is::FileTooLarge => ErrorKind::DiskTooLarge,
        Is::IsADirectory => ErrorKind::FileIsFolder,
        Is::NotADirectory => {
            let file = path.ancestors().find(|one| one.is_file()).unwrap_or(path);
            let file = file.to_string_lossy();
            return Error::new(ErrorKind::FolderIsFile, &*file, format!("{file} is a file, not a folder"));
        }
        _ if platform::is_too_many_files(error) => ErrorKind::DiskTooManyFiles,
        _ => ErrorKind::DiskFailed,
    };
    Error::new(kind, path.to_string_lossy(), error.to_string())
}
