//! Provides the common interface of tars and WARCs. Its functions call those of `tar` or of `warc`.

use super::open::Content;
use super::window::{Window, each_buffer, read_full, undamaged};
use super::{tar, warc};
use crate::disk::{Publishing, READ};
use crate::hashers::Hashers;
use downhaul_core::containers::{Form, Sample, TAR_END};
use downhaul_core::identity::seconds;
use downhaul_core::lock_file::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The longest description that is read, in bytes. A description can be long, because it also contains the
/// keys in a list that downhaul does not know.
pub(super) const LONGEST_DESCRIPTION: u64 = 64 * 1024 * 1024;

/// A file that is added to a container.
pub(super) struct New<'a> {
    /// The names of the members, if the file is added to a tar.
    pub(super) sample: Option<Sample>,
    pub(super) content: &'a Content<'a>,
    pub(super) how: &'a Publishing,
}

/// A file in a container.
pub(super) struct Stored {
    /// The name of the file in the container. In a tar, it is the name of its member.
    pub(super) name: String,
    /// The offset of the first byte of the file in a tar, or of the record with the file in a WARC.
    pub(super) offset: u64,
    pub(super) size: u64,
    /// The time when the file was last changed.
    pub(super) changed: SystemTime,
    /// The description of the file.
    pub(super) entry: Entry,
}

/// The whole files at the beginning of a container.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) all: Vec<Found>,
    /// The offset of the first byte after the whole files.
    pub(super) end: u64,
    /// True if nothing but the end of the container follows the whole files.
    pub(super) is_ended: bool,
}

/// A file in a container. It has hashes instead of texts, because a container may have millions of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The hash of the name of the file.
    pub(super) name: u64,
    /// The hashes of the key of the file in a tar, and of the name of its member.
    pub(super) key: Option<[u64; 2]>,
    /// The offset at which the file begins in the container, with its headers or records.
    pub(super) start: u64,
}

impl New<'_> {
    /// Returns the modification time that the container states for the file, in seconds since the Unix epoch.
    /// It is 0 if no time is known, and for WARCs, which have no field for it.
    pub(super) fn modified(&self) -> u64 {
        let modified = self.how.modified.filter(|_| self.sample.is_some());
        seconds(modified.unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// Returns the highest number of bytes that the file with this description can need in a container.
    pub(super) fn length_most(&self, entry: &Entry) -> u64 {
        match &self.sample {
            Some(sample) => {
                tar::Frame::new(sample, self.how.size, self.modified(), entry).length(self.how.size)
            }
            None => self.records(entry).length_most(),
        }
    }

    /// Writes the file into a container at an offset. Returns the offset after the file.
    ///
    /// # Errors
    /// Returns the error of the system, or an error if the partial file is too short.
    pub(super) fn write(&self, entry: &Entry, container: &File, at: u64) -> io::Result<u64> {
        match &self.sample {
            Some(sample) => {
                let frame = tar::Frame::new(sample, self.how.size, self.modified(), entry);
                frame.write(container, at, self.content, self.how.size)
            }
            None => self.records(entry).write(container, at),
        }
    }

    fn records<'r>(&'r self, entry: &'r Entry) -> warc::Records<'r> {
        let transcript = self.how.transcript.as_deref();
        warc::Records { entry, transcript, content: self.content, size: self.how.size }
    }
}

/// Returns the first bytes of a container with this name.
///
/// # Errors
/// Returns the error of the compression.
pub(super) fn beginning(form: Form, name: &str) -> io::Result<Vec<u8>> {
    match form {
        Form::Tar => Ok(Vec::new()),
        Form::Warc => warc::beginning(name),
    }
}

/// Returns the last bytes of a container.
pub(super) fn ending(form: Form) -> Vec<u8> {
    match form {
        Form::Tar => vec![0; usize::try_from(TAR_END).unwrap_or(0)],
        Form::Warc => Vec::new(),
    }
}

/// Finds the whole files of a container of this length. The bytes of the files are not read. `hash` computes
/// the hashes in [`Found`].
///
/// # Errors
/// Returns the error of the system.
pub(super) fn scan(
    form: Form,
    container: &File,
    length: u64,
    hash: impl Fn(&str) -> u64,
) -> io::Result<Contents> {
    match form {
        Form::Tar => tar::scan(container, length, hash),
        Form::Warc => warc::scan(container, length, hash),
    }
}

/// Reads the headers and the description of the file that begins at this offset.
///
/// # Errors
/// Returns the error of the system, or `InvalidData` if no file begins there.
pub(super) fn read(form: Form, container: &File, start: u64) -> io::Result<Stored> {
    match form {
        Form::Tar => tar::read(container, start),
        Form::Warc => warc::read(container, start),
    }
}

/// Opens a file in a container.
///
/// # Errors
/// Returns the error of the system, or another error if a record of a WARC is damaged.
pub(super) fn open(form: Form, container: Arc<File>, stored: &Stored) -> io::Result<Box<dyn Read>> {
    match form {
        Form::Tar => Ok(Box::new(Window::new(container, stored.offset).take(stored.size))),
        Form::Warc => warc::open(container, stored),
    }
}

/// Returns true if the file that begins at this offset is whole, and matches a strong digest in its
/// description, if the description has one.
///
/// # Errors
/// Returns the error of the system.
pub(super) fn is_intact(form: Form, container: &Arc<File>, start: u64) -> io::Result<bool> {
    Ok(undamaged(matches_digest(form, container, start))? == Some(true))
}

/// Returns true if the file that begins at this offset matches a strong digest in its description, or if the
/// description has no strong digest.
///
/// # Errors
/// Returns the error of the system, or another error if the file or its records are damaged.
fn matches_digest(form: Form, container: &Arc<File>, start: u64) -> io::Result<bool> {
    if form == Form::Warc {
        warc::check_records(container, start)?;
    }
    let stored = read(form, container, start)?;
    let expected = stored.entry.digests();
    let Some(strong) = expected.iter().find(|one| one.algorithm.is_strong()) else { return Ok(true) };
    let mut hashers = Hashers::new(&[strong.algorithm]);
    each_buffer(&mut *open(form, container.clone(), &stored)?, |bytes| {
        hashers.update(&[bytes]);
        Ok(())
    })?;
    Ok(hashers.finish().first() == Some(strong))
}

/// Returns true if downhaul wrote this container, or if the container is empty or has only zeros. After a
/// power failure, any blocks of a file may be zeros. So if a container begins with zeros, a later header can
/// still show that downhaul wrote it.
///
/// # Errors
/// Returns the error of the system.
pub(super) fn is_ours(form: Form, container: &File) -> io::Result<bool> {
    let (mut rest, mut buffer) = (Window::new(container, 0), vec![0; READ]);
    let (mut is_first, mut is_empty) = (true, true);
    loop {
        let read = read_full(&mut rest, &mut buffer)?;
        let bytes = &buffer[..read];
        let is_zero = bytes.iter().all(|byte| *byte == 0);
        if is_first && bytes.iter().take(tar::BLOCK).any(|byte| *byte != 0) {
            return Ok(match form {
                Form::Tar => bytes.get(..tar::BLOCK).is_some_and(tar::is_header),
                Form::Warc => warc::is_member(bytes),
            });
        }
        let has_header = match form {
            Form::Tar => bytes.chunks(tar::BLOCK).any(tar::is_header),
            Form::Warc => warc::has_member(bytes),
        };
        if !is_zero && has_header {
            return Ok(true);
        }
        is_empty &= is_zero;
        is_first = false;
        if read < buffer.len() {
            return Ok(is_empty);
        }
    }
}

/// Returns the error for a container that downhaul did not write.
pub(super) fn no_container(form: Form) -> io::Error {
    let (word, option) = (form.word(), form.option());
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the file is not a {word} that downhaul wrote with {option}"),
    )
}

/// Returns the error for a container that has its final name, but does not end as downhaul ends a container.
/// `part` is the path that the container had before it was complete.
pub(super) fn not_whole(form: Form, container: &File, part: &Path) -> io::Error {
    match is_ours(form, container) {
        Ok(true) => {}
        Ok(false) => return no_container(form),
        Err(e) => return e,
    }
    let (name, word) = (part.file_name().unwrap_or_default().to_string_lossy(), form.word());
    let why = format!(
        "the file was cut or changed. If you rename it to {name} and try again, its files up to the first damaged one are kept, and everything after them is removed, also files that are not damaged. If you need these files, copy the {word} before you rename it"
    );
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Returns the time when a file was last changed. `modified` is the server's time of the last change, which
/// the container has in seconds since the Unix epoch. If `modified` is 0, returns the time of the download,
/// which a file on a disk has in this case too.
pub(super) fn changed_at(modified: u64, entry: &Entry) -> SystemTime {
    let since = if modified == 0 { Duration::from_millis(entry.date) } else { Duration::from_secs(modified) };
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
