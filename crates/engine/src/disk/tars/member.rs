//! Writes and reads the members of a tar: for each file its bytes, and a description in JSON.
//!
//! Invariant: the headers depend only on the name, the size and the modification time of a member. So two
//! runs write equal headers. They name downhaul as the owner, by which a tar is recognised that was cut in
//! its first file.

use crate::disk::{READ, platform};
use crate::hashers::Hashers;
use bytes::Bytes;
use downhaul_core::lock_file::Entry;
use downhaul_core::tars::Sample;
use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::{Duration, SystemTime};
use tar::{Archive, EntryType, Header};

/// The length of a block in bytes (POSIX, `pax`, "ustar Interchange Format").
pub(super) const BLOCK: u64 = 512;

/// The longest description that is read, in bytes. It has the unknown keys of a line of a list.
const LONGEST_DESCRIPTION: u64 = 64 * 1024 * 1024;

/// The name of the owner of each member.
const OWNER: &str = "downhaul";

/// The longest name in a header. Longer ones are in an extended header.
const LONGEST_PLAIN: usize = 100;

/// The first size that does not fit into the eleven octal digits of a header.
const LARGE: u64 = 1 << 33;

/// The bytes of both members of a file without those of the file itself.
pub(super) struct Frame {
    pub(super) before: Bytes,
    pub(super) after: Bytes,
}

impl Frame {
    /// Returns the bytes around a file of this size. `modified` is in seconds since the Unix epoch.
    pub(super) fn new(sample: &Sample, size: u64, modified: u64, description: &[u8]) -> Frame {
        let before = header(&sample.file(), size, modified);
        let mut after = padding(size);
        after.extend(header(&sample.description(), description.len() as u64, modified));
        after.extend_from_slice(description);
        after.extend(padding(description.len() as u64));
        Frame { before: before.into(), after: after.into() }
    }

    /// Returns the number of bytes that a file of this size adds to a tar.
    pub(super) fn length(&self, size: u64) -> u64 {
        (self.before.len() as u64 + self.after.len() as u64).saturating_add(size)
    }
}

/// Returns the bytes that fill up the last block.
fn padding(size: u64) -> Vec<u8> {
    vec![0; usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or(0)]
}

/// Returns the header of a member. If the name or the size does not fit, an extended header (pax) comes
/// first.
fn header(name: &str, size: u64, modified: u64) -> Vec<u8> {
    let mut header = plain_header(EntryType::Regular, size, modified);
    let mut extended = String::new();
    if !name.is_ascii() || header.set_path(name).is_err() {
        extended += &keyword("path", name);
        // Programs that do not know extended headers see this name.
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let _ = header.set_path(&plain[plain.len().saturating_sub(LONGEST_PLAIN)..]);
    }
    if size >= LARGE {
        extended += &keyword("size", &size.to_string());
    }
    let mut bytes = Vec::new();
    if !extended.is_empty() {
        let length = extended.len() as u64;
        let mut before = plain_header(EntryType::XHeader, length, modified);
        let _ = before.set_path("PaxHeaders/member");
        before.set_cksum();
        bytes.extend_from_slice(before.as_bytes());
        bytes.extend_from_slice(extended.as_bytes());
        bytes.extend(padding(length));
    }
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

fn plain_header(kind: EntryType, size: u64, modified: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(modified);
    // The name fits into its field.
    let _ = header.set_username(OWNER);
    header
}

/// Returns true if a block is a header that downhaul wrote.
fn is_header(block: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK as usize]>::try_from(block) else { return false };
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let sum = header.cksum().ok();
    header.set_cksum();
    sum.is_some() && header.cksum().ok() == sum && header.username_bytes() == Some(OWNER.as_bytes())
}

/// Returns a record of an extended header: `LENGTH KEYWORD=VALUE`, where the length includes itself.
fn keyword(keyword: &str, value: &str) -> String {
    let rest = format!(" {keyword}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

/// A file in a tar.
pub(super) struct Stored {
    pub(super) sample: Sample,
    /// The offset of its first byte.
    pub(super) offset: u64,
    pub(super) size: u64,
    /// The time when it was last changed.
    pub(super) changed: SystemTime,
    /// What a lock file says about it.
    pub(super) entry: Entry,
}

/// Returns when a file was last changed. `modified` is the time in its header, in seconds, and that of the
/// server. If the server or the options gave no time, it is 0, and the time of the download counts, as for
/// files on a disk.
pub(super) fn changed_at(modified: u64, entry: &Entry) -> SystemTime {
    let since = if modified == 0 { Duration::from_millis(entry.date) } else { Duration::from_secs(modified) };
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Reads a part of a file, from an offset of it on. The position of the file itself does not change, because
/// other threads use it at the same time.
pub(super) struct Window<F> {
    file: F,
    start: u64,
    at: u64,
}

impl<F> Window<F> {
    pub(super) fn new(file: F, start: u64) -> Window<F> {
        Window { file, start, at: 0 }
    }
}

impl<F: Borrow<File>> Read for Window<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = platform::read_at(self.file.borrow(), self.start.saturating_add(self.at), buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<F: Borrow<File>> Seek for Window<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Reads the two members that begin at this offset.
///
/// # Errors
/// Returns the error of the system, or `InvalidData` if they are not the members of a file.
pub(super) fn read(file: &File, start: u64) -> io::Result<Stored> {
    let mut archive = Archive::new(Window::new(file, start));
    let mut members = archive.entries_with_seek()?;
    let member = members.next().ok_or_else(no_sample)??;
    let sample = sample_of(&member).ok_or_else(no_sample)?;
    let (offset, size) = (start + member.raw_file_position(), member.size());
    let modified = member.header().mtime()?;
    let mut description = members.next().ok_or_else(no_sample)??;
    let entry = description_of(&mut description, &sample)?.ok_or_else(no_sample)?;
    let changed = changed_at(modified, &entry);
    Ok(Stored { sample, offset, size, changed, entry })
}

/// Reads the member that describes a sample. Returns `None` if it is another member.
fn description_of<R: Read>(member: &mut tar::Entry<'_, R>, sample: &Sample) -> io::Result<Option<Entry>> {
    if *member.path_bytes() != *sample.description().as_bytes() || member.size() > LONGEST_DESCRIPTION {
        return Ok(None);
    }
    let mut text = String::new();
    member.take(LONGEST_DESCRIPTION).read_to_string(&mut text)?;
    Ok(Entry::read(&text).filter(|entry| !entry.out.is_empty()))
}

/// Returns the sample of a member with the bytes of a file.
fn sample_of<R: Read>(member: &tar::Entry<'_, R>) -> Option<Sample> {
    let name = String::from_utf8(member.path_bytes().into_owned()).ok()?;
    let sample = Sample::of_member(&name).filter(|sample| sample.description() != name);
    sample.filter(|_| member.header().entry_type() == EntryType::Regular)
}

pub(super) fn no_sample() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a tar that downhaul wrote with --to-tar")
}

/// The whole samples at the beginning of a tar.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) all: Vec<Found>,
    /// The offset of the first byte after them.
    pub(super) end: u64,
    /// True if the end of the tar comes next, and nothing else.
    pub(super) is_ended: bool,
}

/// A sample in a tar. It has hashes instead of texts, because a tar may have millions of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The hash of the name of the file.
    pub(super) name: u64,
    /// The hash of its key.
    pub(super) key: u64,
    /// The offset of its first header.
    pub(super) start: u64,
}

/// Finds the whole samples of a tar of this length. Only headers and descriptions are read. `hash` is the
/// function for [`Found`].
///
/// # Errors
/// Returns the error of the system.
pub(super) fn scan(file: &File, length: u64, hash: impl Fn(&str) -> u64) -> io::Result<Samples> {
    let mut found = Samples::default();
    let mut archive = Archive::new(Window::new(file, 0));
    let mut sample: Option<Sample> = None;
    for member in archive.entries_with_seek()? {
        let Ok(mut member) = member else { break };
        let blocks = member.size().checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        let end = member.raw_file_position().saturating_add(blocks);
        if end > length {
            break;
        }
        match sample.take() {
            None => {
                sample = sample_of(&member);
                if sample.is_none() {
                    break;
                }
            }
            Some(sample) => {
                let Ok(Some(entry)) = description_of(&mut member, &sample) else { break };
                found.all.push(Found { name: hash(&entry.out), key: hash(&sample.key), start: found.end });
                found.end = end;
            }
        }
    }
    if length == found.end.saturating_add(downhaul_core::tars::END) {
        let mut rest = Vec::new();
        Window::new(file, found.end).read_to_end(&mut rest)?;
        found.is_ended = rest.iter().all(|byte| *byte == 0);
    }
    Ok(found)
}

/// Returns true if downhaul has begun to write an unfinished tar, or if nothing of value is in it. After a
/// power failure, any blocks of a file may have zeros. A file that has only zeros is no loss. In a file that
/// begins with zeros, a later header shows that downhaul wrote it.
///
/// # Errors
/// Returns the error of the system.
pub(super) fn is_ours(file: &File) -> io::Result<bool> {
    let (mut rest, mut buffer) = (Window::new(file, 0), vec![0; READ]);
    let (mut is_first, mut is_empty) = (true, true);
    loop {
        let read = read_full(&mut rest, &mut buffer)?;
        for block in buffer[..read].chunks(BLOCK as usize) {
            let is_zero = block.iter().all(|byte| *byte == 0);
            if !is_zero && (is_first || is_header(block)) {
                return Ok(is_header(block));
            }
            is_empty &= is_zero;
            is_first = false;
        }
        if read < buffer.len() {
            return Ok(is_empty);
        }
    }
}

/// Fills a buffer, unless the end of the file comes before. Returns how many bytes were read.
fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match from.read(&mut buffer[done..])? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// Returns true if the bytes of a file have the digest in its description, or if the description has none.
///
/// # Errors
/// Returns the error of the system.
pub(super) fn is_intact(file: &File, stored: &Stored) -> io::Result<bool> {
    let expected = stored.entry.digests();
    let Some(strong) = expected.iter().find(|one| one.algorithm.is_strong()) else { return Ok(true) };
    let mut hashers = Hashers::new(&[strong.algorithm]);
    let (mut rest, mut buffer) = (Window::new(file, stored.offset).take(stored.size), vec![0; READ]);
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(hashers.finish().first() == Some(strong)),
            read => hashers.update(&[&buffer[..read]]),
        }
    }
}
