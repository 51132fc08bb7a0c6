//! Makes the calls to the disk that differ between systems, for Unix. For example, they reserve space, rename
//! a file only if the new name is free, read and set extended attributes, and write several buffers at once.

use bytes::Bytes;
use rustix::io::Errno;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The highest number of buffers of one call: IOV_MAX of Linux and macOS.
const MOST_BUFFERS: usize = 1024;

/// Returns `None`, because no name has another meaning on this system. If the system does not accept a path,
/// the call that uses the path fails.
pub(super) fn refused(_path: &Path) -> Option<String> {
    None
}

/// Calls a function once. On this system, a file that another program has open causes no failure, so the call
/// is not repeated.
pub fn patiently<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    act()
}

/// Checks that standard output is open for writing. If it is not, std reports no error when bytes are written
/// to it, and these bytes are lost.
///
/// # Errors
/// Returns the error of a write to such a standard output (`EBADF`).
pub fn check_stdout() -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(io::stdout())?;
    match flags & rustix::fs::OFlags::ACCMODE {
        rustix::fs::OFlags::RDONLY => Err(Errno::BADF.into()),
        _ => Ok(()),
    }
}

/// Does nothing, because a lock does not keep other programs from reading the file.
pub(super) fn unlock(_file: &File) {}

/// Opens a partial file, or makes it with the mode that the umask gives. A symbolic link is not followed.
pub(super) fn open_part(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(no_follow())
        .open(path)
}

/// Creates a file without a name in a folder, with the mode that the umask gives. Fails on systems other than
/// Linux.
pub(super) fn create_nameless(folder: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666))?.into())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Gives a file without a name its name. Returns an error if there is a file at the path already.
pub(super) fn give_name(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD};
        use std::os::fd::AsRawFd;
        // Before Linux 6.10, linking a descriptor directly needs a privilege (open(2), `O_TMPFILE`). Linking
        // the path of the descriptor needs no privilege, but it takes 2 microseconds longer. Saving a small
        // file takes about 20 microseconds.
        match rustix::fs::linkat(file, "", CWD, path, AtFlags::EMPTY_PATH) {
            Err(Errno::NOENT | Errno::PERM | Errno::ACCESS) => {}
            other => return Ok(other?),
        }
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, path);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Opens a file for reading only. A symbolic link is not followed.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(no_follow()).open(path)
}

/// Checks that this process may write to a file, or make files in a folder.
pub(super) fn check_writable(path: &Path) -> io::Result<()> {
    let access = match path.is_dir() {
        true => rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
        false => rustix::fs::Access::WRITE_OK,
    };
    Ok(rustix::fs::access(path, access)?)
}

/// Opens an existing file to read it and to append to it. A symbolic link is not followed.
pub(super) fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).custom_flags(no_follow()).open(path)
}

/// Makes a new journal, to which entries are appended. Fails if there is a file already. Only the owner may
/// read the journal, because it contains URLs, and a secret in a URL is not always recognised.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).mode(0o600).custom_flags(no_follow()).open(path)
}

/// Opens a pipe or a device for writing. Returns `None` while no program reads from a pipe.
pub(super) fn open_in_order(path: &Path) -> io::Result<Option<File>> {
    // The file is opened for appending, because a shell may have opened it in the same way (`3>>log`, with
    // `/dev/fd/3` as the path).
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .append(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        // The pipe has no reader (POSIX, `open`). Opening a socket is not possible, and causes the same
        // error.
        Err(e)
            if Errno::from_io_error(&e) == Some(Errno::NXIO) && fs::metadata(path)?.file_type().is_fifo() =>
        {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    // Opening must not wait, but writing may wait.
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - rustix::fs::OFlags::NONBLOCK)?;
    Ok(Some(file))
}

/// Returns true if a path leads to a block device, which may contain a file system.
pub(super) fn is_block_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device())
}

/// Returns the flags with which a symbolic link is not followed, and the opening of a pipe does not wait.
fn no_follow() -> i32 {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    i32::try_from(flags.bits()).unwrap_or_default()
}

/// Reads bytes at an offset. Returns how many were read.
pub(super) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Returns how many bytes of the disk a file occupies.
pub(super) fn occupied(meta: &Metadata) -> u64 {
    // POSIX does not define the unit of st_blocks. Linux, macOS and the BSDs count in units of 512 bytes.
    meta.blocks() * 512
}

/// Returns true if parts of a file were probably never written: the file system reports holes, or, if it
/// cannot report them, the file has too few blocks for its length.
pub(super) fn has_holes(file: &File) -> io::Result<bool> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(0)) {
        Ok(hole) => {
            rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0))?;
            return Ok(hole < file.metadata()?.len());
        }
        // An empty file has neither data nor a hole, and some file systems cannot report holes.
        Err(Errno::NXIO | Errno::INVAL | Errno::NOTSUP) => {}
        Err(e) => return Err(e.into()),
    }
    let meta = file.metadata()?;
    // Blocks may be missing because the file system compresses data or stores small files inline. So holes
    // are assumed only if more than half of the blocks are missing, and never in files up to 128 KiB.
    Ok(occupied(&meta) + 64 * 1024 < meta.len() / 2)
}

/// Makes `to` a copy of `from` that shares its blocks, if the file system can do that. Returns true if the
/// blocks are shared.
pub(super) fn share_blocks(from: &File, to: &File) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::fs::ioctl_ficlone(to, from).is_ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (from, to);
        false
    }
}

/// Reserves space for a file, if the file system is known to do that without writing zeros. Otherwise does
/// nothing.
pub(super) fn preallocate(file: &File, size: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // The numbers of ext4, XFS and btrfs in statfs(2).
        const WITH_EXTENTS: [u64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];
        let Ok(system) = rustix::fs::fstatfs(file) else { return Ok(()) };
        let kind = u64::try_from(system.f_type).unwrap_or_default();
        if size == 0 || !WITH_EXTENTS.contains(&kind) {
            return Ok(());
        }
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, size) {
            // If the space cannot be reserved, a later write fails when the disk is full.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, size);
        Ok(())
    }
}

/// Tells the system to begin writing these bytes to the disk, and does not wait.
pub(super) fn begin_write_back(file: &File, range: Range<u64>) {
    // On Linux, this advice starts the writing of dirty pages. Only pages that are already clean are dropped
    // from the cache.
    #[cfg(target_os = "linux")]
    if let Some(length) = std::num::NonZeroU64::new(range.end - range.start) {
        let _ = rustix::fs::fadvise(file, range.start, Some(length), rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, range);
}

/// Returns how many bytes this user may write on the disk of a file that exists or will exist, if that is
/// known.
pub(super) fn free_space(path: &Path) -> Option<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Some FUSE file systems cannot report their size, and return 0.
    let system = rustix::fs::statvfs(folder).ok().filter(|system| system.f_blocks > 0)?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Opens a file, to force its bytes to the disk.
pub(super) fn open_to_force(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Forces everything on the file system of an open folder to the disk. On systems other than Linux, all file
/// systems are written to the disk, and the call may return before that is done.
pub(super) fn sync_file_system(folder: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(folder)?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        rustix::fs::sync();
    }
    Ok(())
}

/// Forces a new name in a folder to the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Returns true if the path leads to this open file.
pub(super) fn is_at(_ours: &File, ours: &Metadata, path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok(there.dev() == ours.dev() && there.ino() == ours.ino()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Returns true if a file has further names (hard links).
pub(super) fn has_other_names(_file: &File, meta: &Metadata) -> bool {
    meta.nlink() > 1
}

/// Returns the identifier of the file system that has this file, or 0 if it is not known.
pub(super) fn device(file: &File) -> u64 {
    file.metadata().map_or(0, |meta| meta.dev())
}

/// Writes all buffers, in as few calls as possible.
pub(super) fn write_all_at(file: &File, mut offset: u64, data: &[Bytes]) -> io::Result<()> {
    for some in data.chunks(MOST_BUFFERS) {
        let mut slices: Vec<IoSlice> =
            some.iter().filter(|b| !b.is_empty()).map(|b| IoSlice::new(b)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    offset += n as u64;
                    IoSlice::advance_slices(&mut rest, n);
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    Ok(())
}

/// Renames a file. Returns the error `AlreadyExists` if there is a file at `to`.
pub(super) fn rename_if_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // File systems without this call (NFS, some of FUSE) return one of these errors.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            other => return other.map_err(Into::into),
        }
    }
    match std::fs::hard_link(from, to) {
        Ok(()) => {
            super::file::remove(from);
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
        // The file system has no hard links either (FAT). So this code first checks that the path is free,
        // and then renames the file. Another program may create a file between these two steps.
        Err(_) if std::fs::symlink_metadata(to).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => super::file::rename(from, to),
    }
}

/// Sets an extended attribute of a file. Returns false if the disk cannot do that.
pub(super) fn attach(file: &File, name: &str, value: &[u8]) -> bool {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    return rustix::fs::fsetxattr(file, name, value, rustix::fs::XattrFlags::empty()).is_ok();
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = (file, name, value);
        false
    }
}

/// Removes an extended attribute of a file, if the file has this attribute.
pub(super) fn detach(file: &File, name: &str) {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    let _ = rustix::fs::fremovexattr(file, name);
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    let _ = (file, name);
}

/// Returns an extended attribute of the file at a path. Returns `None` if there is no such attribute, if it
/// cannot be read, or if it is longer than 2048 bytes.
pub(super) fn attached(path: &Path, name: &str) -> Option<Vec<u8>> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        // The longest list of records is shorter than this buffer.
        let mut value = [0; 2048];
        let length = rustix::fs::getxattr(path, name, &mut value).ok()?;
        Some(value[..length].to_vec())
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = (path, name);
        None
    }
}

/// Returns true if the file system of the file at a path stores extended attributes. The file is not changed.
pub(super) fn stores_attributes(path: &Path) -> bool {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        let read = rustix::fs::getxattr(path, "user.downhaul", &mut [0; 1]);
        !matches!(read, Err(Errno::NOTSUP | Errno::NOSYS))
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = path;
        false
    }
}

/// Returns true if an error says that the file system has no locks.
pub(super) fn has_no_locks(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS))
}

/// Returns true if an error says that the process or the system has no file descriptors left.
pub(super) fn is_too_many_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
