//! Writes to standard output, a pipe, a device, or a writer of the program that uses the library. Bytes are
//! written in order and hashed at the same time, and cannot be taken back.
//!
//! Bytes that arrive too early wait in memory. The plan limits how far ahead it requests bytes.

use super::{Beginning, Generation, Part, Publishing, platform};
use crate::hashers::Hashers;
use bytes::Bytes;
use downhaul_core::content::ENOUGH;
use downhaul_core::digest::Digest;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::job::{JobWriter, Writer};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The time between attempts to open a pipe that has no reader yet. A user does not notice this delay, and
/// the attempts take almost no processor time.
const LOOK_FOR_READER: Duration = Duration::from_millis(20);

/// An output whose bytes are written in order.
pub(crate) struct InOrder {
    /// The name of the output, for messages.
    name: String,
    state: Mutex<State>,
}

struct State {
    /// The output, or `None` once all bytes were written. A pipe is then closed, so that its reader learns
    /// that no more bytes follow.
    out: Option<Box<dyn JobWriter>>,
    generation: Generation,
    /// The number of bytes that were written, without those of a buffer whose write failed.
    left: u64,
    /// The bytes that wait for their turn, by offset.
    waiting: BTreeMap<u64, Vec<Bytes>>,
    hashers: Hashers,
    /// The first bytes, which show if the server sent a web page instead of the file.
    beginning: Vec<u8>,
    /// True if a write failed. It is then not known how many bytes were written.
    broken: bool,
}

impl InOrder {
    /// Returns an output that writes to standard output.
    ///
    /// # Errors
    /// Returns the error of the system if standard output is not open for writing.
    pub(crate) fn stdout() -> Result<Self, Error> {
        let name = "standard output";
        platform::check_stdout().map_err(|e| super::failure(&e, Path::new(name)))?;
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        Ok(InOrder::to(name.into(), if is_terminal { Box::new(TextOnly(out)) } else { Box::new(out) }))
    }

    /// Opens a path that is not a regular file. Waits until a pipe has a reader, or until the run is over.
    ///
    /// # Errors
    /// Returns `file.is_device` for a block device, `output.closed` if the run is over before a pipe has a
    /// reader, and otherwise the error of the system.
    pub(crate) fn open(path: &Path, is_over: impl Fn() -> bool) -> Result<Self, Error> {
        let name = path.to_string_lossy().into_owned();
        let fail = |e: io::Error| super::failure(&e, path);
        InOrder::check(path)?;
        loop {
            match platform::open_in_order(path).map_err(fail)? {
                Some(file) => return Ok(InOrder::to(name, Box::new(file))),
                None if is_over() => {
                    return Err(Error::new(ErrorKind::OutputClosed, name, "no program reads from it"));
                }
                None => std::thread::sleep(LOOK_FOR_READER),
            }
        }
    }

    /// Checks a path before it is opened.
    ///
    /// # Errors
    /// Returns `file.is_device` for a block device. Writing to a block device replaces its file system,
    /// which is probably a mistake. A user who wants to do that can use a pipe.
    pub(crate) fn check(path: &Path) -> Result<(), Error> {
        if platform::is_block_device(path) {
            let why = "it is a block device, and its content would be lost. To write to it on purpose, use -o - and a pipe";
            return Err(Error::new(ErrorKind::FileIsDevice, path.to_string_lossy(), why));
        }
        Ok(())
    }

    /// Returns an output that passes the bytes to a writer of the program that uses the library.
    ///
    /// # Errors
    /// Returns `output.started` if another job has used the writer.
    pub(crate) fn writer(writer: &Writer) -> Result<Self, Error> {
        let taken = || Error::new(ErrorKind::OutputStarted, "the writer", "another job has used this writer");
        Ok(InOrder::to("the writer".into(), writer.take().ok_or_else(taken)?))
    }

    fn to(name: String, out: Box<dyn JobWriter>) -> Self {
        InOrder { name, state: Mutex::new(State::new(out)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Error::new(ErrorKind::OutputClosed, &self.name, ""),
            io::ErrorKind::InvalidData => Error::new(ErrorKind::OutputBinary, &self.name, ""),
            _ => super::failure(error, Path::new(&self.name)),
        }
    }
}

/// A terminal. Data that contains a NUL is binary, and is not written to the terminal, because it could
/// change the settings of the terminal.
struct TextOnly<W>(W);

impl<W: Write> Write for TextOnly<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.contains(&0) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl State {
    fn new(out: Box<dyn JobWriter>) -> Self {
        State {
            out: Some(out),
            generation: 0,
            left: 0,
            waiting: BTreeMap::new(),
            hashers: Hashers::default(),
            beginning: Vec::new(),
            broken: false,
        }
    }

    /// Writes `data`, which begins at `offset`, to the output. Leaves out those bytes of `data` that were
    /// written before.
    fn leave(&mut self, offset: u64, data: &[Bytes]) -> io::Result<()> {
        self.broken = true;
        let mut known = self.left.saturating_sub(offset);
        let out = self.out.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        for buffer in data {
            let skip = known.min(buffer.len() as u64);
            known -= skip;
            let fresh = &buffer[usize::try_from(skip).unwrap_or(buffer.len())..];
            out.write_all(fresh)?;
            self.hashers.update(&[fresh]);
            let room = ENOUGH.saturating_sub(self.beginning.len());
            self.beginning.extend(&fresh[..room.min(fresh.len())]);
            self.left += fresh.len() as u64;
        }
        out.flush()?;
        self.broken = false;
        Ok(())
    }
}

/// If the writer panics when it is dropped, the job still ends.
impl Drop for InOrder {
    fn drop(&mut self) {
        let out = self.state().out.take();
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(out)));
    }
}

impl Part for InOrder {
    fn begin(&self, beginning: Beginning<'_>) -> Result<Generation, Error> {
        let mut state = self.state();
        if state.left > 0 || state.broken {
            let why = match state.broken {
                true => "a write failed, and some bytes may have been written",
                false => "the download had to start again",
            };
            return Err(Error::new(ErrorKind::OutputStarted, &self.name, why));
        }
        state.generation += 1;
        (state.hashers, state.waiting) = (Hashers::new(beginning.algorithms), BTreeMap::new());
        Ok(state.generation)
    }

    /// Never returns false, even if some of the bytes were written before or wait for their turn. Bytes
    /// beyond `end` are written too.
    fn write_at(
        &self,
        generation: Generation,
        offset: u64,
        data: &[Bytes],
        end: &AtomicU64,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        let refuse = |why| Err(Error::new(ErrorKind::OutputStarted, &self.name, why));
        if generation != state.generation || end.load(Ordering::Relaxed) == 0 {
            return refuse("a write came too late");
        }
        if state.broken {
            return refuse("an earlier write failed");
        }
        if offset > state.left {
            // If two buffers begin at the same offset, the longer one contains the other.
            let length = |data: &[Bytes]| data.iter().map(Bytes::len).sum::<usize>();
            if state.waiting.get(&offset).is_none_or(|there| length(there) < length(data)) {
                state.waiting.insert(offset, data.to_vec());
            }
            return Ok(true);
        }
        state.leave(offset, data).map_err(|e| self.failure(&e))?;
        while state.waiting.first_key_value().is_some_and(|(&offset, _)| offset <= state.left) {
            if let Some((offset, data)) = state.waiting.pop_first() {
                state.leave(offset, &data).map_err(|e| self.failure(&e))?;
            }
        }
        Ok(true)
    }

    fn append_to_journal(&self, _generation: Generation, _entries: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn void(&self, _generation: Generation, _range: Range<u64>) -> Result<bool, Error> {
        Ok(false)
    }

    fn rewrite_journal(&self, _journal: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    /// Reads only from the first bytes of the output, which are kept in memory. At higher offsets, it reads
    /// no bytes.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let state = self.state();
        let there =
            usize::try_from(offset).ok().and_then(|offset| state.beginning.get(offset..)).unwrap_or_default();
        let read = there.len().min(buffer.len());
        buffer[..read].copy_from_slice(&there[..read]);
        Ok(read)
    }

    fn occupied(&self) -> u64 {
        0
    }

    fn digests(&self) -> Vec<Digest> {
        std::mem::take(&mut self.state().hashers).finish()
    }

    fn device(&self) -> u64 {
        0
    }

    fn publish(&self, _target: &Path, how: Publishing) -> Result<(), Error> {
        let left = self.state().left;
        if left != how.size {
            let why = format!("{left} of {} bytes were written", how.size);
            return Err(Error::new(ErrorKind::OutputStarted, &self.name, why));
        }
        // Dropping the output closes a pipe, so that its reader learns that no more bytes follow.
        let out = self.state().out.take();
        let finished = panic::catch_unwind(AssertUnwindSafe(|| out.map_or(Ok(()), |mut out| out.finish())));
        // The writer may be code of the program that uses this library. If its panic were not caught, the job
        // would not end.
        let finished = finished.unwrap_or_else(|_| Err(io::Error::other("the code of the writer panicked")));
        finished.map_err(|e| self.failure(&e))
    }

    fn discard(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that has room for a few bytes.
    struct AlmostFull(usize);

    impl Write for AlmostFull {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let some = bytes.len().min(self.0);
            self.0 -= some;
            if some == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(some) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_has_a_part_of_the_first_buffer_cannot_begin_again() {
        let out = InOrder::to("the output".into(), Box::new(AlmostFull(2)));
        let beginning = Beginning { journal: None, keep: false, size: Some(3), algorithms: &[] };
        let generation = out.begin(beginning).expect("begins");
        let written = out.write_at(generation, 0, &[Bytes::from_static(b"abc")], &AtomicU64::new(3));
        assert_eq!(written.map_err(|e| e.kind), Err(ErrorKind::DiskFull));
        assert_eq!(out.begin(beginning).map_err(|e| e.kind), Err(ErrorKind::OutputStarted));
    }
}
