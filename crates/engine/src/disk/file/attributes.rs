//! Stores the record of a finished file in its extended attributes.
//!
//! Invariant: nothing depends on these attributes being stored, because many disks have none.

use super::{RECORD, URL};
use crate::disk::{Attach, platform};
use downhaul_core::identity::Record;
use std::fs::File;
use std::time::SystemTime;

/// Stores a record in an extended attribute of the file, and the URL, if there is one, in another attribute.
/// Later runs recognise the file by the record. If the disk has no extended attributes, later runs send a
/// request to the server instead. `known` has the size and the modification time as the disk stores them. If
/// `known` is `None`, they are read from the disk, because the disk may store the time with less precision.
pub(super) fn attach(file: &File, what: &Attach, known: Option<(u64, SystemTime)>) {
    let read = || {
        let meta = file.metadata().ok()?;
        Some((meta.len(), meta.modified().ok()?))
    };
    let Some((size, modified)) = known.or_else(read) else { return };
    let record = Record::new(what.origin, size, modified, what.now, &what.validator);
    if platform::attach(file, RECORD, &record.to_bytes())
        && let Some(url) = &what.url
    {
        platform::attach(file, URL, url.as_bytes());
    }
}
