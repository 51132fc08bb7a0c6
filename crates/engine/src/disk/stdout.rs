//! Standard output as a part "file": bytes leave in order, are hashed on their way, and cannot be taken back.
//!
//! What comes before its turn waits in memory; how much that can be is bounded by the window of the plan.

use super::{Beginning, Generation, Part, Publishing};
use crate::verify::Hashers;
use bytes::Bytes;
use downhaul_core::digest::Digest;
use downhaul_core::error::{Error, Kind};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
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
}

impl Stdout {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets go what is due: the first bytes of `data` may have left already.
    fn leave(&mut self, offset: u64, data: &[Bytes]) -> io::Result<()> {
        let mut known = self.left.saturating_sub(offset);
        let mut out = io::stdout().lock();
        for buffer in data {
            let skip = known.min(buffer.len() as u64);
            known -= skip;
            let fresh = &buffer[usize::try_from(skip).unwrap_or(buffer.len())..];
            out.write_all(fresh)?;
            self.hashers.update(fresh);
            self.left += fresh.len() as u64;
        }
        out.flush()
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

    fn write_at(&self, generation: Generation, offset: u64, data: &[Bytes]) -> Result<(), Error> {
        let mut state = self.state();
        if generation != state.generation {
            return Ok(());
        }
        if offset > state.left {
            state.waiting.insert(offset, data.to_vec());
            return Ok(());
        }
        state.leave(offset, data).map_err(|e| failure(&e))?;
        while state.waiting.first_key_value().is_some_and(|(&offset, _)| offset <= state.left) {
            if let Some((offset, data)) = state.waiting.pop_first() {
                state.leave(offset, &data).map_err(|e| failure(&e))?;
            }
        }
        Ok(())
    }

    fn record(&self, _generation: Generation, _record: &[u8]) -> Result<(), Error> {
        Ok(())
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

    fn publish(&self, _target: &Path, _how: Publishing) -> Result<(), Error> {
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
