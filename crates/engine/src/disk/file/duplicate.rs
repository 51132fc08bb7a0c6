//! Makes a file from another one that has the same bytes: a hard link, a file that shares its blocks, or a
//! copy.
//!
//! Invariant: the other file is not changed, except for an extended attribute. The new name appears in one
//! step, and only if the other file did not change since it was complete.

use super::part::attach;
use super::{RECORD, exists, folder_of, make_folder, read_full, remove, rename};
use crate::disk::{Attach, Duplicating, Publishing, READ, failure, platform};
use crate::hashers::Hashers;
use downhaul_core::dedup::{Dedup, Method, Original};
use downhaul_core::digest::Digest;
use downhaul_core::error::Error;
use downhaul_core::identity::Record;
use downhaul_core::name::tagged_side_files;
use downhaul_core::settings::Sync;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// The extended attribute with the records of further jobs whose files are hard links to the same bytes.
pub(super) const FURTHER: &str = "user.downhaul.further";

/// The longest value of this attribute, in bytes. With it, the attributes of a file fit into one block of
/// ext4. These are some 40 records. After that, a file gets bytes of its own, because a later run would not
/// recognise a further link.
const FURTHER_MOST: usize = 2000;

/// Makes the file at `target` from `original`. Returns `None` if that is not possible, or if the original was
/// changed.
///
/// # Errors
/// Returns the error of the system if there is no space left, or if the target cannot be written.
pub(super) fn make(
    original: &Original,
    target: &Path,
    how: &Duplicating<'_>,
) -> Result<Option<Method>, Error> {
    let new = tagged_side_files(target, &how.identity.tag()).new_journal;
    // A file of this name is from an earlier run that was killed.
    if exists(&new) {
        remove(&new);
    }
    let folder = folder_of(target);
    make_folder(folder).map_err(|e| failure(&e, folder))?;
    let made = match how.dedup {
        Dedup::Off => return Ok(None),
        Dedup::Hardlink => hard_link(original, &new, how),
        Dedup::Reflink => share_or_copy(original, &new, how),
    };
    let Some(method) = made.map_err(|e| failure(&e, &new)).inspect_err(|_| remove(&new))? else {
        remove(&new);
        return Ok(None);
    };
    let renamed = match how.publishing.replace {
        true => rename(&new, target),
        false => platform::rename_if_free(&new, target),
    };
    if let Err(e) = renamed {
        remove(&new);
        // Another run has saved the file, or makes the same file.
        let is_of_another = matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound);
        return if is_of_another { Ok(None) } else { Err(failure(&e, target)) };
    }
    // If both names were links to the same bytes already, the rename changed nothing.
    if exists(&new) {
        remove(&new);
    }
    if how.publishing.sync == Sync::Always {
        platform::sync_folder(target).map_err(|e| failure(&e, target))?;
    }
    Ok(Some(method))
}

/// Makes a hard link. Its record is added to those of the other names of the file.
fn hard_link(original: &Original, new: &Path, how: &Duplicating<'_>) -> io::Result<Option<Method>> {
    if !fs::symlink_metadata(&original.path).is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    match fs::hard_link(&original.path, new) {
        Ok(()) => {}
        // Another disk, a file system without hard links, too many links, or a file of another user.
        Err(_) => return Ok(None),
    }
    let file = platform::open_to_read(new)?;
    let is_right = has_bytes_of(&file, original, how.digest)? && add_record(&file, new, &how.publishing)?;
    Ok(is_right.then_some(Method::Hardlink))
}

/// Makes a file that shares the blocks of the original, or else a copy, if that is allowed.
fn share_or_copy(original: &Original, new: &Path, how: &Duplicating<'_>) -> io::Result<Option<Method>> {
    let Ok(from) = platform::open_to_read(&original.path) else { return Ok(None) };
    if !is_unchanged(&from.metadata()?, original) {
        return Ok(None);
    }
    let to = platform::open_part(new)?;
    let method = match platform::share_blocks(&from, &to) {
        true => Method::Reflink,
        false if how.may_copy => {
            io::copy(&mut &from, &mut &to)?;
            Method::Copy
        }
        false => return Ok(None),
    };
    // Another program may have changed the original meanwhile.
    let is_copied = method == Method::Copy;
    let is_right = is_unchanged(&from.metadata()?, original)
        && (original.modified.is_some() && !is_copied || has_digest(&to, how.digest)?)
        && to.metadata()?.len() == original.size;
    if !is_right {
        return Ok(None);
    }
    let Publishing { modified, sync, attach: record, .. } = &how.publishing;
    // It is not a failure if the disk cannot store the time.
    let _ = modified.or(from.metadata()?.modified().ok()).map(|at| to.set_modified(at));
    if let Some(record) = record {
        attach(&to, record, None);
    }
    if *sync != Sync::Never {
        to.sync_data()?;
    }
    Ok(Some(method))
}

/// Returns true if a file has the bytes that the original had when it was complete. If the time of that is
/// not known, its digest is compared.
fn has_bytes_of(file: &File, original: &Original, digest: &Digest) -> io::Result<bool> {
    let is_same = is_unchanged(&file.metadata()?, original);
    Ok(is_same && (original.modified.is_some() || has_digest(file, digest)?))
}

fn is_unchanged(meta: &Metadata, original: &Original) -> bool {
    let is_same_time = original.modified.is_none_or(|known| meta.modified().ok() == Some(known));
    meta.is_file() && meta.len() == original.size && is_same_time
}

fn has_digest(file: &File, digest: &Digest) -> io::Result<bool> {
    let mut hashers = Hashers::new(&[digest.algorithm]);
    let (mut buffer, mut at) = (vec![0; READ], 0);
    loop {
        match read_full(file, at, &mut buffer)? {
            0 => return Ok(hashers.finish().contains(digest)),
            read => {
                hashers.update(&[&buffer[..read]]);
                at += read as u64;
            }
        }
    }
}

/// Adds the record of a further name to a file. Returns false if there is no room for it, so that a later run
/// would not recognise the name.
fn add_record(file: &File, path: &Path, how: &Publishing) -> io::Result<bool> {
    let Some(Attach { origin, validator, now, .. }) = &how.attach else { return Ok(true) };
    let meta = file.metadata()?;
    let record = Record::new(*origin, meta.len(), meta.modified()?, *now, validator);
    let Some(first) = platform::attached(path, RECORD).and_then(|bytes| Record::from_bytes(&bytes)) else {
        // The original has no record, so later runs compare all of its names with the server.
        return Ok(
            platform::attach(file, RECORD, &record.to_bytes()) || platform::attached(path, RECORD).is_none()
        );
    };
    let mut further = super::further_records(path);
    if first.origin == record.origin || further.iter().any(|one| one.origin == record.origin) {
        return Ok(true);
    }
    further.push(record);
    let bytes = Record::list_to_bytes(&further);
    Ok(bytes.len() <= FURTHER_MOST && platform::attach(file, FURTHER, &bytes))
}
