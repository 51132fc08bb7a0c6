//! Writes and reads the members of a tar. Each file has two members, which together are a sample: one has the
//! bytes of the file, and the other has a description of the file in JSON.
//!
//! Invariant: the headers depend only on the name, the size and the modification time of a member. So two
//! runs write equal headers. The headers name downhaul as the owner, so that a run recognises a tar of
//! downhaul, even if the tar ends within the first file.

use super::form::{Contents, Found, LONGEST_DESCRIPTION, Stored, changed_at, no_container};
use super::open::{Content, is_short};
use super::window::{Window, each_buffer, undamaged};
use crate::disk::platform;
use bytes::Bytes;
use downhaul_core::containers::{Form, Sample, TAR_END};
use downhaul_core::lock_file::Entry;
use std::fs::File;
use std::io::{self, Read};
use tar::{Archive, EntryType, Header};

/// The length of a block in bytes (POSIX, `pax`, "ustar Interchange Format").
pub(super) const BLOCK: usize = 512;

/// The name of the owner of each member.
const OWNER: &str = "downhaul";

/// The length of the field for the name in a header, in bytes.
const LONGEST_PLAIN: usize = 100;

/// The first size that does not fit into the eleven octal digits of a header.
const LARGE: u64 = 1 << 33;

/// The bytes of the two members of a file, without the bytes of the file itself.
pub(super) struct Frame {
    before: Bytes,
    after: Bytes,
}

impl Frame {
    /// Returns the bytes around a file of this size. `modified` is in seconds since the Unix epoch.
    pub(super) fn new(sample: &Sample, size: u64, modified: u64, entry: &Entry) -> Frame {
        let description = entry.to_json();
        let before = header(&sample.file(), size, modified);
        let mut after = padding(size);
        after.extend(header(&sample.description(), description.len() as u64, modified));
        after.extend_from_slice(description.as_bytes());
        after.extend(padding(description.len() as u64));
        Frame { before: before.into(), after: after.into() }
    }

    /// Returns the number of bytes that a file of this size adds to a tar.
    pub(super) fn length(&self, size: u64) -> u64 {
        (self.before.len() as u64 + self.after.len() as u64).saturating_add(size)
    }

    /// Writes the two members into a tar at an offset. Returns the offset after them.
    ///
    /// # Errors
    /// Returns the error of the system, or an error if the partial file has fewer than `size` bytes.
    pub(super) fn write(&self, tar: &File, at: u64, content: &Content<'_>, size: u64) -> io::Result<u64> {
        let (before, after) = (self.before.clone(), self.after.clone());
        if let Content::Buffers(data) = content {
            let file = data.iter().cloned();
            let all: Vec<Bytes> = [before].into_iter().chain(file).chain([after]).collect();
            platform::write_all_at(tar, at, &all)?;
            return Ok(at + self.length(size));
        }
        let start = at + before.len() as u64;
        platform::write_all_at(tar, at, &[before])?;
        let mut done = 0;
        each_buffer(&mut *content.reader(size), |bytes| {
            platform::write_all_at(tar, start + done, &[Bytes::copy_from_slice(bytes)])?;
            done += bytes.len() as u64;
            Ok(())
        })?;
        if done != size {
            return Err(is_short());
        }
        platform::write_all_at(tar, start + size, &[after])?;
        Ok(at + self.length(size))
    }
}

/// Returns the zeros that fill up the last block after `size` bytes.
fn padding(size: u64) -> Vec<u8> {
    vec![0; usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0)]
}

/// Returns the header of a member. If the name is not ASCII, or if the name or the size does not fit, an
/// extended header (pax) comes first.
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
    // The name of the owner fits into its field.
    let _ = header.set_username(OWNER);
    header
}

/// Returns true if a block is a header that downhaul wrote.
pub(super) fn is_header(block: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK]>::try_from(block) else { return false };
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let sum = header.cksum().ok();
    header.set_cksum();
    sum.is_some() && header.cksum().ok() == sum && header.username_bytes() == Some(OWNER.as_bytes())
}

/// Returns a record of an extended header: `LENGTH KEYWORD=VALUE`. The length counts all bytes of the record,
/// including its own digits.
fn keyword(keyword: &str, value: &str) -> String {
    let rest = format!(" {keyword}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
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
    Ok(Stored { name: sample.file(), offset, size, changed, entry })
}

/// Reads the description of a sample from a member. Returns `None` if the member is not such a description.
fn description_of<R: Read>(member: &mut tar::Entry<'_, R>, sample: &Sample) -> io::Result<Option<Entry>> {
    if *member.path_bytes() != *sample.description().as_bytes() || member.size() > LONGEST_DESCRIPTION {
        return Ok(None);
    }
    let mut text = String::new();
    member.take(LONGEST_DESCRIPTION).read_to_string(&mut text)?;
    Ok(Entry::read(&text).filter(|entry| !entry.out.is_empty()))
}

/// Returns the sample of a member with the bytes of a file. Returns `None` for any other member.
fn sample_of<R: Read>(member: &tar::Entry<'_, R>) -> Option<Sample> {
    let name = String::from_utf8(member.path_bytes().into_owned()).ok()?;
    let sample = Sample::of_member(&name).filter(|sample| sample.description() != name);
    sample.filter(|_| member.header().entry_type() == EntryType::Regular)
}

fn no_sample() -> io::Error {
    no_container(Form::Tar)
}

/// Finds the whole samples of a tar of this length. Only headers, descriptions and the end of the tar are
/// read. `hash` computes the hashes in [`Found`].
///
/// # Errors
/// Returns the error of the system.
pub(super) fn scan(file: &File, length: u64, hash: impl Fn(&str) -> u64) -> io::Result<Contents> {
    let mut found = Contents::default();
    let mut archive = Archive::new(Window::new(file, 0));
    let mut sample: Option<Sample> = None;
    for member in archive.entries_with_seek()? {
        let Some(mut member) = undamaged(member)? else { break };
        let blocks = member.size().checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX);
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
                let entry = undamaged(description_of(&mut member, &sample))?;
                let Some(entry) = entry.flatten() else { break };
                let key = Some([hash(&sample.key), hash(&sample.file())]);
                found.all.push(Found { name: hash(&entry.out), key, start: found.end });
                found.end = end;
            }
        }
    }
    if length == found.end.saturating_add(TAR_END) {
        let mut rest = Vec::new();
        Window::new(file, found.end).read_to_end(&mut rest)?;
        found.is_ended = rest.iter().all(|byte| *byte == 0);
    }
    Ok(found)
}
