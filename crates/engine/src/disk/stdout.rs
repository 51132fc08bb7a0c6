//! Standard output as a part "file": bytes leave in order, are hashed on their way, and cannot be taken back.
//!
//! What comes before its turn waits in memory; how much that can be is bounded by the window of the plan.

use super::{Beginning, Generation, Part, Publishing};
use crate::hashers::Hashers;
use bytes::Bytes;
use downhaul_core::digest::Digest;
use downhaul_core::error::{Error, Kind};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Standard output.
#[derive(Default)]
pub(crate) struct Stdout(Mutex<State>);

#[derive(Default)]
struct State {
    generation: Generation,
    /// How many bytes have left.
    left: u64,
    /// What waits for its turn, by offset.
    waiting: BTreeMap<u64, Vec<Bytes>>,
    hashers: Hashers,
    /// Nobody knows how much of the last bytes has left.
    broken: bool,
}

impl Stdout {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets go what is due: the first bytes of `data` may have left already.
    fn leave(&mut self, offset: u64, data: &[Bytes]) -> io::Result<()> {
        self.broken = true;
        let mut known = self.left.saturating_sub(offset);
        let mut out = io::stdout().lock();
        for buffer in data {
            let skip = known.min(buffer.len() as u64);
            known -= skip;
            let fresh = &buffer[usize::try_from(skip).unwrap_or(buffer.len())..];
            out.write_all(fresh)?;
            self.hashers.update(&[fresh]);
            self.left += fresh.len() as u64;
        }
        out.flush()?;
        self.broken = false;
        Ok(())
    }
}

impl Part for Stdout {
    fn begin(&self, beginning: Beginning<'_>) -> Result<Generation, Error> {
        let mut state = self.state();
        if state.left > 0 {
            let why = "the download had to start again";
            return Err(Error::new(Kind::OutputStarted, "standard output", why));
        }
        let generation = state.generation + 1;
        *state = State { generation, hashers: Hashers::new(beginning.algorithms), ..State::default() };
        Ok(generation)
    }

    fn write_at(
        &self,
        generation: Generation,
        offset: u64,
        data: &[Bytes],
        end: &AtomicU64,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        if generation != state.generation || state.broken {
            return Err(Error::new(Kind::OutputStarted, "standard output", "an earlier write failed"));
        }
        if end.load(Ordering::Relaxed) == 0 {
            return Err(Error::new(Kind::OutputStarted, "standard output", "too late"));
        }
        if offset > state.left {
            // Of two that begin at the same place, the longer one has all that the other has.
            let length = |data: &[Bytes]| data.iter().map(Bytes::len).sum::<usize>();
            if state.waiting.get(&offset).is_none_or(|there| length(there) < length(data)) {
                state.waiting.insert(offset, data.to_vec());
            }
            return Ok(true);
        }
        state.leave(offset, data).map_err(|e| failure(&e))?;
        while state.waiting.first_key_value().is_some_and(|(&offset, _)| offset <= state.left) {
            if let Some((offset, data)) = state.waiting.pop_first() {
                state.leave(offset, &data).map_err(|e| failure(&e))?;
            }
        }
        Ok(true)
    }

    fn record(&self, _generation: Generation, _record: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn void(&self, _generation: Generation, _range: Range<u64>) -> Result<bool, Error> {
        Ok(false)
    }

    fn rewrite_journal(&self, _journal: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(0)
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
            let why = format!("{left} bytes of {} have left", how.size);
            return Err(Error::new(Kind::OutputStarted, "standard output", why));
        }
        io::stdout().lock().flush().map_err(|e| failure(&e))
    }

    fn discard(&self) {}
}

fn failure(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(Kind::OutputClosed, "standard output", ""),
        _ => Error::new(Kind::DiskFailed, "standard output", error.to_string()),
    }
}
