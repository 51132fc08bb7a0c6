//! Makes a file from another file that has the same bytes: a hard link, a file that shares its blocks, or a
//! copy.
//!
//! Invariant: the other file is not changed, except for an extended attribute with the records of its further
//! names. The target appears in one step, after the digests were compared, and only if the other file has not
//! changed since it was complete. While the target is made, it has the name that a new journal of the job
//! would have. A run that is killed at that time leaves a file with this name, and a later run of the job
//! removes that file.

use super::attributes::attach;
use super::{RECORD, exists, folder_of, further_records, make_folder, name_of, read_full, remove};
use super::{remove_useless, rename};
use crate::disk::{Attach, Duplicated, Duplicating, Publishing, READ, failure, platform};
use crate::hashers::Hashers;
use downhaul_core::dedup::{Dedup, Method, Original};
use downhaul_core::digest::{self, Digest};
use downhaul_core::error::Error;
use downhaul_core::identity::{Further, Record, Relation};
use downhaul_core::name::tagged_side_files;
use downhaul_core::settings::Sync;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The extended attribute with the records of all jobs whose files are hard links to the same bytes.
pub(super) const FURTHER: &str = "user.downhaul.further";

/// The longest value of [`FURTHER`], in bytes. With this limit, the attributes of a file fit into one
/// block of ext4. The value has room for about 40 records. If the value is full, a new file gets its own
/// bytes instead of a hard link, because a later run would not recognise the link.
const FURTHER_MOST: usize = 2000;

/// A mutex that is held while a record is added to [`FURTHER`]. All these records are in one attribute, so
/// two records must not be added at the same time.
static ADDING: Mutex<()> = Mutex::new(());

/// Makes the file at `target` from `original`.
///
/// # Errors
/// Returns the error of the system if there is no space left, or if the target cannot be written. If the
/// original cannot be read, this is not an error: the function then returns `Ok` without making the target.
pub(super) fn make(original: &Original, target: &Path, how: &Duplicating<'_>) -> Result<Duplicated, Error> {
    let new = tagged_side_files(target, &how.identity.tag()).new_journal;
    // A file that has this name already is from an earlier run that was killed, or from another program.
    if exists(&new) {
        remove(&new);
    }
    let folder = folder_of(target);
    make_folder(folder).map_err(|e| failure(&e, folder))?;
    let made = match how.dedup {
        Dedup::Off => return Ok(Duplicated::NotMade),
        Dedup::Hardlink => hard_link(original, target, &new, how),
        Dedup::Reflink => share_or_copy(original, folder, &new, how),
    };
    let made = made.map_err(|e| failure(&e, &new)).inspect_err(|_| remove(&new))?;
    if !matches!(made, Duplicated::Made(_)) {
        remove(&new);
        return Ok(made);
    }
    let renamed = match how.publishing.replace {
        true => rename(&new, target),
        false => platform::rename_if_free(&new, target),
    };
    if let Err(e) = renamed {
        remove(&new);
        // These two errors mean that another run has saved the file, or is making the same file.
        let is_of_another = matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound);
        return if is_of_another { Ok(Duplicated::NotMade) } else { Err(failure(&e, target)) };
    }
    remove_useless(target, how.identity);
    // If both names were already links to the same bytes, the rename changed nothing.
    if exists(&new) {
        remove(&new);
    }
    if how.publishing.sync == Sync::Always {
        platform::sync_folder(target).map_err(|e| failure(&e, target))?;
    }
    Ok(made)
}

/// Makes a hard link with the name `new`, which the caller renames to `target`. The record of the name
/// `target` is added to the records of the other names of the file.
fn hard_link(
    original: &Original,
    target: &Path,
    new: &Path,
    how: &Duplicating<'_>,
) -> io::Result<Duplicated> {
    let Ok(file) = platform::open_to_read(&original.path) else { return Ok(Duplicated::Changed) };
    let Ok(before) = file.metadata() else { return Ok(Duplicated::Changed) };
    if !is_unchanged(&before, original) {
        return Ok(Duplicated::Changed);
    }
    match has_digests(&file, &original.lacks(how.digests)) {
        Ok(true) => {}
        Ok(false) => return Ok(Duplicated::Different),
        Err(_) => return Ok(Duplicated::NotMade),
    }
    if fs::hard_link(&original.path, new).is_err() {
        // This fails if the original is on another disk, belongs to another user or has too many links, or if
        // the file system has no hard links.
        return Ok(Duplicated::Unable);
    }
    // Another program may have changed the file while the link was made, or may have put another file in its
    // place.
    let meta = file.metadata()?;
    let is_same = is_unchanged(&meta, original) && meta.modified()? == before.modified()?;
    if !is_same || !platform::is_at(&file, &meta, new)? {
        return Ok(Duplicated::Changed);
    }
    match add_record(&file, new, (&original.path, target), &how.publishing)? {
        true => Ok(Duplicated::Made(Method::Hardlink)),
        false => Ok(Duplicated::NotMade),
    }
}

/// Makes a file that shares the blocks of the original. If that is not possible, makes a copy, if a copy is
/// allowed.
fn share_or_copy(
    original: &Original,
    folder: &Path,
    new: &Path,
    how: &Duplicating<'_>,
) -> io::Result<Duplicated> {
    let Ok(from) = platform::open_to_read(&original.path) else { return Ok(Duplicated::Changed) };
    if !from.metadata().is_ok_and(|meta| is_unchanged(&meta, original)) {
        return Ok(Duplicated::Changed);
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let nameless = platform::create_nameless(folder).ok();
    let to = match &nameless {
        Some(to) => to,
        None => &platform::open_part(new)?,
    };
    let method = match platform::share_blocks(&from, to) {
        true => Method::Reflink,
        false if how.may_copy => {
            if !copy(&from, to)? {
                return Ok(Duplicated::NotMade);
            }
            Method::Copy
        }
        false => return Ok(Duplicated::Unable),
    };
    // Another program may have changed the original while its bytes were copied or shared.
    if !from.metadata().is_ok_and(|meta| is_unchanged(&meta, original))
        || to.metadata()?.len() != original.size
    {
        return Ok(Duplicated::Changed);
    }
    let unknown = match method {
        Method::Copy => how.digests.to_vec(),
        _ => original.lacks(how.digests),
    };
    // If the two files share blocks, this reads the blocks of the original.
    match has_digests(to, &unknown) {
        Ok(true) => {}
        Ok(false) => return Ok(Duplicated::Different),
        Err(_) => return Ok(Duplicated::NotMade),
    }
    let Publishing { modified, sync, attach: record, .. } = &how.publishing;
    // Even if the disk cannot store the time, the file is made.
    let of_original = || from.metadata().and_then(|meta| meta.modified()).ok();
    let _ = modified.or_else(of_original).map(|at| to.set_modified(at));
    if let Some(record) = record {
        attach(to, record, None);
    }
    if *sync != Sync::Never {
        to.sync_data()?;
    }
    if nameless.is_some() {
        platform::give_name(to, new)?;
    }
    Ok(Duplicated::Made(method))
}

/// Copies all bytes. Returns false if the original cannot be read to its end.
///
/// # Errors
/// Returns the error of the system if the copy cannot be written.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<bool> {
    let mut buffer = vec![0; READ];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(read) => to.write_all(&buffer[..read])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(false),
        }
    }
}

fn is_unchanged(meta: &Metadata, original: &Original) -> bool {
    let is_same_time = original.modified.is_none_or(|known| meta.modified().ok() == Some(known));
    meta.is_file() && meta.len() == original.size && is_same_time
}

/// Returns true if a file has all these digests.
fn has_digests(file: &File, digests: &[Digest]) -> io::Result<bool> {
    if digests.is_empty() {
        return Ok(true);
    }
    let mut hashers = Hashers::new(&digest::distinct(digests.iter().map(|one| one.algorithm)));
    let (mut buffer, mut at) = (vec![0; READ], 0);
    loop {
        match read_full(file, at, &mut buffer)? {
            0 => {
                let computed = hashers.finish();
                return Ok(digests.iter().all(|digest| computed.contains(digest)));
            }
            read => {
                hashers.update(&[&buffer[..read]]);
                at += read as u64;
            }
        }
    }
}

/// Adds the record of a further name to a file. The further name is `new` until it is renamed to `target`.
/// Returns true if the record was added, or if none is needed, because this run writes no records or the file
/// system stores no extended attributes. Otherwise returns false, because a later run would not recognise the
/// name, or would take the original for the file of this job. When the first record is added to [`FURTHER`],
/// a record for the original's name is added too. The records have only file names, without folders, and the
/// original may have the same file name in another folder.
fn add_record(
    file: &File,
    new: &Path,
    (original, target): (&Path, &Path),
    how: &Publishing,
) -> io::Result<bool> {
    let Some(Attach { origin, validator, now, .. }) = &how.attach else { return Ok(true) };
    let meta = file.metadata()?;
    let record = Record::new(*origin, meta.len(), meta.modified()?, *now, validator);
    let _adding = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
    let first = platform::attached(new, RECORD).and_then(|bytes| Record::from_bytes(&bytes));
    let is_known = |first: &Record| {
        first.is_intact(meta.len(), meta.modified().ok())
            && origin.hashes.compare(first.origin) != Relation::Unknown
    };
    let Some(first) = first.filter(is_known) else {
        // A record of this job would count for the original too, so none is added. Without extended
        // attributes, a later run recognises no file by a record, so the link does no harm.
        return Ok(!platform::stores_attributes(new));
    };
    let mut further = further_records(new);
    if further.is_empty() {
        further.push(Further::new(&name_of(original), first));
    }
    let name = name_of(target);
    further.retain(|one| !one.is_of(&name) || one.record.origin != record.origin);
    further.push(Further::new(&name, record));
    let bytes = Further::list_to_bytes(&further);
    Ok(bytes.len() <= FURTHER_MOST && platform::attach(file, FURTHER, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("a bad block"))
        }
    }

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_original_that_cannot_be_read_is_no_error() {
        let copied = copy(b"begin".chain(Broken), Vec::new());
        assert!(matches!(copied, Ok(false)), "{copied:?}");
        let full = copy(&b"bytes"[..], Broken).map_err(|e| e.kind());
        assert!(matches!(full, Err(io::ErrorKind::StorageFull)), "{full:?}");
    }
}
