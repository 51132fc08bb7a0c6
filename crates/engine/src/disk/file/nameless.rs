//! Saves a small file in one step. The file has no name while it is written, so no other program sees it, and
//! nothing of it remains if the run is interrupted before the file gets its name.
//!
//! Invariant: the file gets its name only after all its bytes were written. An existing file is not replaced.

use super::attributes::attach;
use super::{make_folder, platform};
use crate::disk::Publishing;
use crate::trace::DISK;
use bytes::Bytes;
use downhaul_core::settings::Sync;
use std::io;
use std::path::Path;
use std::time::SystemTime;
use tracing::debug;

/// Saves a file under the name `target`.
///
/// # Errors
/// Returns `Unsupported` if the file must be forced to the disk or the system has no files without a name,
/// and otherwise the error of the system. After an error, nothing of the file is on the disk.
pub(super) fn save(target: &Path, data: &[Bytes], how: &Publishing) -> io::Result<()> {
    if how.sync == Sync::Always {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = match platform::create_nameless(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_folder(folder)?;
            platform::create_nameless(folder)?
        }
        other => other?,
    };
    platform::write_all_at(&file, 0, data)?;
    let stored = how.modified.filter(|modified| file.set_modified(*modified).is_ok());
    if let Some(what) = &how.attach {
        attach(&file, what, stored.filter(|at| is_stored_exactly(*at)).map(|at| (how.size, at)));
    }
    platform::give_name(&file, target)?;
    debug!(target: DISK, path = %target.display(), "gave the file its name");
    Ok(())
}

/// Returns true if every file system with extended attributes stores this time exactly. Some of them store
/// only whole seconds, as numbers of 32 bits.
fn is_stored_exactly(at: SystemTime) -> bool {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.is_ok_and(|since| since.subsec_nanos() == 0 && i32::try_from(since.as_secs()).is_ok())
}
