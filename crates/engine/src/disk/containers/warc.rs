//! Reads the records of a WARC. Each file has three records: the response with the file, the request, and a
//! description in JSON. Before them are the records of the redirects that led to the file. A file without a
//! transcript (its requests and responses were not kept) has a resource record instead of the response and
//! the request.
//!
//! Each record is one member of gzip. The members have an extra field (RFC 1952, section 2.3.1.1) with their
//! length. So the files in a WARC are found without decompressing them.
//!
//! Invariant: the description is the last record of a file, and the length of a member with a file is written
//! after the member. So if a run is killed and the description is whole, the file is whole.

mod write;

pub(super) use write::{Records, beginning};

use super::form::{Contents, Found, LONGEST_DESCRIPTION, Stored, changed_at, no_container};
use super::window::{Window, read_full, undamaged};
use crate::disk::READ;
use downhaul_core::containers::Form;
use downhaul_core::lock_file::Entry;
use downhaul_core::warc;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

/// The first bytes of each member: the header of gzip with an extra field and the time 0.
const MAGIC: [u8; 8] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0];

/// The beginning of the extra field: its name, and the length of its value. The value is the length of the
/// member.
const FIELD: [u8; 4] = [b'd', b'h', 8, 0];
/// The offset of the extra field in a member.
const FIELD_AT: usize = 12;
/// The offset of the value of the extra field in a member.
const LENGTH_AT: usize = FIELD_AT + FIELD.len();

/// The length of the header of a member.
const HEADER: usize = LENGTH_AT + 8;

/// The longest header of a record, and the longest head of a response, in bytes.
const LONGEST_HEAD: u64 = 2 * 1024 * 1024;

/// The media type of a description.
const JSON: &str = "application/json";

/// A member of a WARC.
struct Member {
    start: u64,
    end: u64,
    /// The header of the record in it.
    header: String,
}

impl Member {
    /// Reads the beginning of the member at this offset.
    fn at(warc: &File, start: u64) -> io::Result<Member> {
        let mut first = [0; HEADER];
        if read_full(&mut Window::new(warc, start), &mut first)? < HEADER || !is_member(&first) {
            return Err(no_records());
        }
        let mut length = [0; 8];
        length.copy_from_slice(&first[LENGTH_AT..]);
        let end = start.checked_add(u64::from_le_bytes(length)).filter(|end| *end > start + HEADER as u64);
        let mut member = Member { start, end: end.ok_or_else(no_records)?, header: String::new() };
        member.header = read_head(&mut member.reader(warc))?;
        Ok(member)
    }

    /// Returns a reader of the record in the member.
    fn reader<'f>(&self, warc: &'f File) -> impl BufRead + use<'f> {
        BufReader::new(GzDecoder::new(BufReader::new(
            Window::new(warc, self.start).take(self.end - self.start),
        )))
    }

    fn kind(&self) -> &str {
        warc::field(&self.header, "WARC-Type").unwrap_or_default()
    }

    /// Reads the description in the member. Returns `None` if the member has another kind of record.
    fn description(&self, warc: &File) -> io::Result<Option<Entry>> {
        if self.kind() != "metadata" || warc::field(&self.header, "Content-Type") != Some(JSON) {
            return Ok(None);
        }
        let mut text = String::new();
        let mut reader = self.reader(warc);
        read_head(&mut reader)?;
        // At the end of the member, the reader also compares the member with its checksum.
        reader.take(LONGEST_DESCRIPTION).read_to_string(&mut text)?;
        Ok(Entry::read(text.trim_end()).filter(|entry| !entry.out.is_empty()))
    }
}

/// Returns true if these bytes begin a member that downhaul wrote.
pub(super) fn is_member(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) && bytes.get(FIELD_AT..LENGTH_AT) == Some(&FIELD)
}

/// Reads the head of a message or a record up to its empty line.
fn read_head(from: &mut impl BufRead) -> io::Result<String> {
    let (mut head, mut from) = (Vec::new(), from.take(LONGEST_HEAD));
    loop {
        let before = head.len();
        from.read_until(b'\n', &mut head)?;
        match &head[before..] {
            b"\r\n" => return Ok(String::from_utf8_lossy(&head).into_owned()),
            line if line.ends_with(b"\n") => {}
            _ => return Err(no_records()),
        }
    }
}

/// Reads the records of a file that begin at this offset.
///
/// # Errors
/// Returns the error of the system, or `InvalidData` if they are not the records of a file.
pub(super) fn read(warc: &File, start: u64) -> io::Result<Stored> {
    let (mut at, mut offset) = (start, start);
    loop {
        let member = Member::at(warc, at)?;
        if let Some(entry) = member.description(warc)? {
            let (size, changed) = (entry.size.unwrap_or_default(), changed_at(0, &entry));
            return Ok(Stored { name: entry.out.clone(), offset, size, changed, entry });
        }
        match member.kind() {
            "response" | "resource" => offset = at,
            "request" => {}
            _ => return Err(no_records()),
        }
        at = member.end;
    }
}

/// Opens the file whose response or resource begins at [`Stored::offset`].
///
/// # Errors
/// Returns the error of the system, or another error if the record is damaged.
pub(super) fn open(warc: Arc<File>, stored: &Stored) -> io::Result<Box<dyn Read>> {
    let member = Member::at(&warc, stored.offset)?;
    let window = Window::new(warc, member.start).take(member.end - member.start);
    let mut reader = BufReader::with_capacity(READ, GzDecoder::new(BufReader::with_capacity(READ, window)));
    read_head(&mut reader)?;
    if member.kind() == "response" {
        read_head(&mut reader)?;
    }
    Ok(Box::new(reader.take(stored.size)))
}

/// Finds the whole files of a WARC of this length. Only headers and descriptions are read. `hash` computes
/// the hashes in [`Found`].
///
/// # Errors
/// Returns the error of the system.
pub(super) fn scan(warc: &File, length: u64, hash: impl Fn(&str) -> u64) -> io::Result<Contents> {
    let (mut found, mut at, mut start) = (Contents::default(), 0, None);
    while at < length {
        let Some(member) = undamaged(Member::at(warc, at))? else { break };
        if member.end > length {
            break;
        }
        match member.kind() {
            "warcinfo" if at == 0 => found.end = member.end,
            "response" | "resource" => {
                start.get_or_insert(at);
            }
            "request" if start.is_some() => {}
            "metadata" => {
                let entry = undamaged(member.description(warc))?.flatten();
                let (Some(start), Some(entry)) = (start.take(), entry) else { break };
                found.all.push(Found { name: hash(&entry.out), key: None, start });
                found.end = member.end;
            }
            _ => break,
        }
        at = member.end;
    }
    found.is_ended = found.end == length && !found.all.is_empty();
    Ok(found)
}

/// Checks that all records of the file that begins at this offset can be decompressed.
///
/// # Errors
/// Returns the error of the system, or another error if a record is damaged or missing.
pub(super) fn check_records(warc: &File, start: u64) -> io::Result<()> {
    let mut at = start;
    loop {
        let member = Member::at(warc, at)?;
        io::copy(&mut member.reader(warc), &mut io::sink())?;
        if member.kind() == "metadata" {
            return Ok(());
        }
        at = member.end;
    }
}

/// Returns true if a member that downhaul wrote begins at any of these bytes.
pub(super) fn has_member(bytes: &[u8]) -> bool {
    bytes.windows(LENGTH_AT).any(is_member)
}

fn no_records() -> io::Error {
    no_container(Form::Warc)
}
