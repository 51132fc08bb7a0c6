//! Removes the partial files that earlier runs left, if they are not needed any more.
//!
//! Invariant: a partial file is not removed if it belongs to another job, or if a run is working on it.

use super::{RECORD, UNFINISHED, exists, has_bytes, is_locked, is_still_at, remove, start_of};
use crate::disk::{failure, platform};
use downhaul_core::error::Error;
use downhaul_core::identity::{Identity, Origin};
use downhaul_core::name::{side_files, tagged_side_files};
use std::io;
use std::path::Path;

/// Removes the partial file with a tag that a killed run of this job left, if it has no journal. Such a file
/// cannot be resumed. The file is kept if another run is working on it.
pub(super) fn remove_useless(target: &Path, identity: &Identity) {
    let own = tagged_side_files(target, &identity.tag());
    let Ok(file) = platform::open_existing(&own.part) else { return };
    if !is_locked(&file) && is_still_at(&file, &own.part) && !exists(&own.journal) {
        remove(&own.part);
    }
}

/// Deletes the side files of an unfinished download from one of these origins. See
/// [`delete_partial`](crate::delete_partial).
pub(crate) fn delete_left(target: &Path, origins: &[Origin]) -> Result<(), Error> {
    let identity = Identity { origins: origins.to_vec(), has_strong_digest: false };
    let usual = side_files(target);
    let is_own = match start_of(&usual.journal) {
        Some(start) => identity.may_resume(start.origin),
        // Without a journal, only the mark shows that downhaul made the file. If these origins have a
        // partial file with a tag, the partial file with the usual name belongs to another job.
        None => {
            let mark = platform::attached(&usual.part, RECORD);
            let mut tagged = origins.iter().map(|origin| tagged_side_files(target, &origin.tag()));
            let has_tagged = tagged.any(|side| exists(&side.part));
            !has_bytes(&usual.journal) && !has_tagged && mark.is_some_and(|mark| mark == [UNFINISHED])
        }
    };
    let tagged = origins.iter().map(|origin| tagged_side_files(target, &origin.tag()));
    for side in tagged.chain(is_own.then_some(usual)) {
        // The lock is kept until the files are removed, so that no other run begins to work on them before.
        let held = platform::open_existing(&side.part);
        if held.as_ref().is_ok_and(|file| is_locked(file) || !is_still_at(file, &side.part)) {
            continue;
        }
        // Without a partial file there is no lock. Another run may create the partial file at any time, so it
        // is not removed here.
        let is_missing = held.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        let paths = side.all().into_iter().filter(|path| !is_missing || *path != side.part);
        for path in paths {
            remove(path);
            if exists(path) {
                return Err(failure(&io::Error::other("the file could not be removed"), path));
            }
        }
    }
    Ok(())
}
