//! Reads a file from an offset on.

use crate::disk::{READ, platform};
use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// The bytes of a file from an offset on. The position that the system keeps for the open file is not used,
/// because other threads read and write the file at the same time.
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

/// Returns the result of a read, or `None` if it failed because bytes are damaged or missing.
///
/// # Errors
/// Returns an error of the system, such as that of a bad sector or of a network that is interrupted. Such an
/// error does not show that any bytes are damaged. A later read may succeed.
pub(super) fn undamaged<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        // Only errors of the system have a number. The readers of tars and of gzip pass them on as they are.
        Err(e) if e.raw_os_error().is_some() => Err(e),
        Err(_) => Ok(None),
    }
}

/// Reads to the end, and passes each buffer to `with`.
///
/// # Errors
/// Returns the error of the reader or of `with`.
pub(super) fn each_buffer(
    from: &mut dyn Read,
    mut with: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        match read_full(from, &mut buffer)? {
            0 => return Ok(()),
            read => with(&buffer[..read])?,
        }
    }
}

/// Reads until a buffer is full or the end is reached. Returns how many bytes were read.
///
/// # Errors
/// Returns the error of the reader.
pub(super) fn read_full(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match from.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}
