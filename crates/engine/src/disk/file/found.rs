//! Finds the bytes that a run can continue: those of a partial file with a journal, or those of a file
//! under the final name. A download copies the file that has the final name, and continues the copy.
//!
//! Invariant: the file under the final name is not changed. The bytes of another tool are added to the
//! journal only after the last of these bytes were found equal to the server's bytes. The control file of
//! aria2 is removed only when a complete file has replaced the file that it describes.

use super::Files;
use super::part::{PartFile, State};
use super::{open_if_there, read_full, remove, with};
use crate::disk::{Disk, Found, Part, READ, failure, platform};
use bytes::Bytes;
use downhaul_core::adopt::{self, Adopted, OVERLAP};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::journal::{self, Claim, Crc};
use downhaul_core::settings::Resume;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The highest number of bytes of a journal that are read. A longer journal would belong to a download of
/// many terabytes, so a longer file is probably not a journal.
const LONGEST_JOURNAL: u64 = 256 * 1024 * 1024;

/// The longest control file of aria2 that is read, in bytes. If the pieces of aria2 have 1 MiB, such a file
/// describes 128 TiB.
const LONGEST_CONTROL: u64 = 16 * 1024 * 1024;

impl PartFile {
    /// Returns the bytes that this run can continue, if there are any.
    pub(super) fn find(&self, target: &Path, resume: Resume) -> Result<Option<Found>, Error> {
        if resume == Resume::Forget {
            return Ok(None);
        }
        let path = &self.journal;
        let read = || {
            let file = platform::open_existing(path)?;
            let mut bytes = Vec::new();
            (&file).take(LONGEST_JOURNAL).read_to_end(&mut bytes)?;
            Ok((file, bytes))
        };
        let mut state = self.state();
        match read() {
            // An empty journal is useless, and so is the journal of a partial file without bytes.
            Ok((_, bytes)) if bytes.is_empty() || state.empty => {}
            Ok((file, bytes)) => {
                (state.journal, state.claims) = (Some(file), true);
                return Ok(Some(Found::Journal(bytes)));
            }
            Err(e) if io::Error::kind(&e) == io::ErrorKind::NotFound => state.no_journal = true,
            Err(e) => {
                // A journal that cannot be read now may be readable later, so it is kept.
                state.gone = true;
                return Err(failure(&e, path));
            }
        }
        drop(state);
        match resume {
            Resume::Adopt => self.adopt(target),
            Resume::Repair => {
                let length = match self.length_of_repair(target)? {
                    Some(length) => Some(length),
                    None => self.copy(target)?,
                };
                self.state().is_repair = length.is_some();
                Ok(length.map(Found::Whole))
            }
            _ => Ok(None),
        }
    }

    /// Copies the file that another tool left under the final name, and returns which of its bytes are
    /// complete. The original is not changed until the new file is complete.
    fn adopt(&self, target: &Path) -> Result<Option<Found>, Error> {
        let refuse = |why: String| Err(Error::new(ErrorKind::ResumeRefused, target.to_string_lossy(), why));
        let Some(old) = open_if_there(target)? else { return Ok(None) };
        let length = old.metadata().map_err(|e| failure(&e, target))?.len();
        let left = match by_control_file(target, length)? {
            Some(left) => left,
            None => {
                if let Some(tool) = Files.unfinished_by(target) {
                    return refuse(format!(
                        "its control file shows that {tool} did not download it in order"
                    ));
                }
                if platform::has_holes(&old).map_err(|e| failure(&e, target))? {
                    return refuse("it has holes, so it was not downloaded in order".into());
                }
                Adopted::prefix(length)
            }
        };
        let Some(mut left) = left else { return Ok(None) };
        left.compare_from(last_that_differs(&old, &left).map_err(|e| failure(&e, target))?);
        if self.copy(target)? != Some(length) {
            return refuse("another program is changing it".into());
        }
        let mut state = self.state();
        (state.adopted, state.adopted_from) = (Some(left.clone()), target.to_path_buf());
        drop(state);
        Ok(Some(Found::Adopted(left)))
    }

    /// Returns true if the complete partial file continues the file under the final name. The partial file
    /// then has all bytes of that file, or all bytes that the control file marks as complete. Returns false
    /// if there is no file under the final name.
    ///
    /// # Errors
    /// Returns `resume.damaged` if the bytes differ or the partial file is too short, `resume.refused` if the
    /// control file is not reliable, or the error of reading one of the files.
    pub(super) fn continues(&self, target: &Path, size: u64) -> Result<bool, Error> {
        let Some(old) = open_if_there(target)? else { return Ok(false) };
        let length = old.metadata().map_err(|e| failure(&e, target))?.len();
        let left = by_control_file(target, length)?.unwrap_or_else(|| Adopted::prefix(length));
        for range in left.iter().flat_map(Adopted::ranges) {
            let both = range.start..range.end.min(size);
            // The server's file may end within the range.
            let end = (range.end > size).then_some(both.end.max(range.start));
            if let Some(at) = self.difference(&old, both, target)?.or(end) {
                let why = format!("the two files differ at byte {at}");
                return Err(Error::new(ErrorKind::ResumeDamaged, target.to_string_lossy(), why));
            }
        }
        Ok(true)
    }

    /// Returns true if there is a file at `target` that has the same bytes as this partial file.
    pub(super) fn is_same(&self, target: &Path, size: u64) -> Result<bool, Error> {
        let Some(other) = open_if_there(target)? else { return Ok(false) };
        let length = other.metadata().map_err(|e| failure(&e, target))?.len();
        Ok(length == size && self.difference(&other, 0..size, target)?.is_none())
    }

    /// Compares a range of this file with the same range of another file, which is at `target`. Returns the
    /// offset of the first byte that differs, if there is one. A file that ends within the range differs at
    /// its end.
    fn difference(&self, other: &File, range: Range<u64>, target: &Path) -> Result<Option<u64>, Error> {
        let (mut here, mut there) = (vec![0; READ], vec![0; READ]);
        let mut at = range.start;
        while at < range.end {
            let most = usize::try_from(range.end - at).unwrap_or(READ).min(READ);
            let (here, there) = (&mut here[..most], &mut there[..most]);
            let read = read_full(other, at, there).map_err(|e| failure(&e, target))?;
            let read = self.read_at(at, here)?.min(read);
            if let Some(first) = first_difference(&here[..read], &there[..read]) {
                return Ok(Some(at + first as u64));
            }
            if read < most {
                return Ok(Some(at + read as u64));
            }
            at += most as u64;
        }
        Ok(None)
    }

    /// Returns the length of the partial file if an interrupted repair of the file under the final name left
    /// it. Such a partial file is at least as long as the file under the final name, and not older. If
    /// another program left the partial file, no harm is done, because its chunks are verified.
    fn length_of_repair(&self, target: &Path) -> Result<Option<u64>, Error> {
        let Some(old) = open_if_there(target)? else { return Ok(None) };
        let facts = |file: &File, path: &Path| {
            let meta = file.metadata().map_err(|e| failure(&e, path))?;
            Ok::<_, Error>((meta.len(), meta.modified().ok()))
        };
        let ((old, changed), (length, copied)) = (facts(&old, target)?, facts(&self.file, &self.path)?);
        Ok(Some(length).filter(|length| *length > 0 && *length >= old && copied >= changed))
    }

    /// Replaces the bytes of the partial file with a copy of the file under the final name. Returns the
    /// length of that file, if it exists and is not empty. A preview copies nothing.
    fn copy(&self, target: &Path) -> Result<Option<u64>, Error> {
        let Some(mut old) = open_if_there(target)? else { return Ok(None) };
        let length = old.metadata().map_err(|e| failure(&e, target))?.len();
        if length == 0 {
            return Ok(None);
        }
        if self.is_read_only {
            return Ok(Some(length));
        }
        self.file.set_len(0).map_err(|e| failure(&e, &self.path))?;
        if !platform::share_blocks(&old, &self.file) {
            io::copy(&mut old, &mut &self.file).map_err(|e| failure(&e, &self.path))?;
        }
        self.state().empty = false;
        Ok(Some(length))
    }

    /// If the partial file is a copy of a file that another tool left unfinished, compares the server's bytes
    /// with the last bytes that the other tool wrote ([`Adopted::overlap`]). `data` are the server's bytes
    /// from `offset` on, which will be written next. When all bytes of the overlap were found equal, the
    /// complete ranges before the overlap are recorded in the journal.
    pub(super) fn compare(&self, state: &mut State, offset: u64, data: &[Bytes]) -> Result<(), Error> {
        let Some(range) = state.adopted.as_ref().map(Adopted::overlap) else { return Ok(()) };
        let mut at = offset;
        for buffer in data {
            let both = at.max(range.start)..range.end.min(at + buffer.len() as u64);
            if !both.is_empty() {
                let mut there = vec![0; usize::try_from(both.end - both.start).unwrap_or(0)];
                let read =
                    read_full(&self.file, both.start, &mut there).map_err(|e| failure(&e, &self.path))?;
                let skip = usize::try_from(both.start - at).unwrap_or(0);
                let first = first_difference(&there[..read], &buffer[skip..skip + read]);
                if let Some(first) = first.or((read < there.len()).then_some(read)) {
                    let byte = both.start + first as u64;
                    let why = format!("the two files differ at byte {byte}");
                    let at = state.adopted_from.to_string_lossy();
                    return Err(Error::new(ErrorKind::ResumeDamaged, at, why));
                }
                state.agreed.insert(both);
            }
            at += buffer.len() as u64;
        }
        if state.agreed.contains(&range) {
            for there in state.adopted.take().iter().flat_map(Adopted::before_overlap) {
                self.claim(state, there)?;
            }
        }
        Ok(())
    }

    /// Records a range of the partial file in the journal, with the CRC of its bytes. Records nothing if the
    /// partial file ends before the end of the range.
    fn claim(&self, state: &mut State, range: Range<u64>) -> Result<(), Error> {
        let Range { start, end } = range;
        let mut crc = Crc::new();
        let mut buffer = vec![0; READ];
        let mut at = start;
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(READ).min(READ);
            match self.read_at(at, &mut buffer[..most])? {
                0 => return Ok(()),
                read => {
                    crc.update(&buffer[..read]);
                    at += read as u64;
                }
            }
        }
        self.append(state, &journal::claim(Claim { start, end, crc: crc.value() }))
    }
}

/// Returns the position of the first byte in which two slices of the same length differ.
fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    if one == other { None } else { one.iter().zip(other).position(|(one, other)| one != other) }
}

/// Returns the offset of the last block, in the last complete range, whose bytes are not all the same. If the
/// range has no such block, returns the start of the range. If all bytes of a block are the same (zeros, for
/// example), a comparison with this block proves nothing, because many different files, such as disk images,
/// end with such blocks.
fn last_that_differs(file: &File, left: &Adopted) -> io::Result<u64> {
    let Some(last) = left.ranges().last() else { return Ok(0) };
    let (mut block, mut at) = (vec![0; OVERLAP as usize], last.end);
    while at > last.start {
        let length = (at - last.start).min(OVERLAP);
        at -= length;
        let block = &mut block[..usize::try_from(length).unwrap_or(0)];
        let read = read_full(file, at, block)?;
        if read < block.len() || !is_of_one_value(block) {
            return Ok(at);
        }
    }
    Ok(last.start)
}

/// Returns true if all bytes of a block have the same value.
fn is_of_one_value(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == block[0])
}

/// Returns true if bytes of the file at `target` may be missing, even if the file has its final size. Bytes
/// may be missing if the file has holes. Some systems do not show holes, and a tool may reserve space without
/// holes. So the result is also true if all of the last [`OVERLAP`] bytes have the same value.
///
/// # Errors
/// Returns the error of the system if the file cannot be read.
pub(super) fn may_lack_bytes(target: &Path) -> Result<bool, Error> {
    let Some(file) = open_if_there(target)? else { return Ok(false) };
    let look = || {
        let start = file.metadata()?.len().saturating_sub(OVERLAP);
        let mut end = vec![0; OVERLAP as usize];
        let read = read_full(&file, start, &mut end)?;
        Ok(is_of_one_value(&end[..read]) || platform::has_holes(&file)?)
    };
    look().map_err(|e: io::Error| failure(&e, target))
}

/// Returns the bytes that the control file of aria2 marks as complete, or `None` if there is no control file.
/// `length` is the length of the unfinished file. The inner value is `None` if no byte is complete.
///
/// # Errors
/// Returns `resume.refused` if the control file is not reliable, or the error of reading it.
fn by_control_file(target: &Path, length: u64) -> Result<Option<Option<Adopted>>, Error> {
    let control = control_file(target);
    let Some(file) = open_if_there(&control)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(LONGEST_CONTROL).read_to_end(&mut bytes).map_err(|e| failure(&e, &control))?;
    let refuse = |why| {
        Error::new(
            ErrorKind::ResumeRefused,
            target.to_string_lossy(),
            format!("{}: {why}", control.display()),
        )
    };
    adopt::aria2(&bytes, length).map(Some).map_err(refuse)
}

/// Returns true if there are a file at `target` and a readable control file of aria2 that describes it.
pub(super) fn has_control_file(target: &Path) -> bool {
    let Ok(Some(file)) = open_if_there(target) else { return false };
    file.metadata().is_ok_and(|meta| matches!(by_control_file(target, meta.len()), Ok(Some(_))))
}

/// Removes the control file of aria2, after a complete file has replaced the unfinished one that the control
/// file describes.
pub(super) fn remove_control_file(target: &Path) {
    remove(&control_file(target));
}

fn control_file(target: &Path) -> PathBuf {
    with(target, ".aria2")
}
