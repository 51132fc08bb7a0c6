//! Collects the bytes of a connection into batches, writes one batch at a time, and reports the written
//! bytes.
//!
//! Invariant: bytes are reported and recorded only after they are on the disk. After [`Writer::hold_back`],
//! nothing is reported before [`Writer::release`].

use super::Go;
use crate::clock;
use crate::hashing::{self, end_of};
use crate::report::Meter;
use crate::trace::{DISK, SLOW_WRITE};
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::journal::{self, Claim, Crc};
use downhaul_core::plan::{Input, WorkerId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{Span, debug};

/// The most bytes that are collected before they are written. With this size there are few writes, and each
/// is worth the switch to another thread.
const BATCH_MOST: usize = 1024 * 1024;

/// The memory for the batches of all workers together. It is three quarters of the 64 MiB that all buffers
/// may take. The remaining quarter is for reading.
const BATCHES_TOGETHER: usize = 48 * 1024 * 1024;

/// The number of batches of one worker that may be in memory at once: one is filled, one is written, one
/// waits for the hasher, and one is hashed.
const BATCHES_EACH: usize = 4;

/// Returns the size of a batch in bytes for this number of workers.
fn batch_bytes(workers: usize) -> usize {
    (BATCHES_TOGETHER / BATCHES_EACH / workers.max(1)).clamp(8 * 1024, BATCH_MOST)
}

/// The most buffers that are collected before they are written. This limits the memory for bodies that arrive
/// in tiny buffers.
const BATCH_BUFFERS: usize = 1024;

/// Writes of up to this many bytes are quick: they take microseconds, since memory is copied at some GB/s.
pub(super) const QUICK: u64 = 64 * 1024;

/// A batch that was written, true if none of its bytes had been written before, and the records for the
/// journal.
type Wrote = (hashing::Batch, bool, Vec<u8>);

/// Collects bytes into batches and writes one of them at a time.
pub(super) struct Writer {
    worker: WorkerId,
    go: Go,
    end: Arc<AtomicU64>,
    workers: Arc<AtomicUsize>,
    meter: Arc<Meter>,
    /// The number of bytes that arrived and are not reported yet.
    in_hand: usize,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    /// The offset of the batch.
    at: u64,
    writing: Option<oneshot::Receiver<Result<Wrote, Error>>>,
    /// The records for the journal, if they are kept until the whole response is verified. Until then,
    /// nothing is reported.
    held_back: Option<Vec<u8>>,
    /// True if this worker was the first to write each of the bytes that are held back.
    fresh: bool,
}

impl Writer {
    pub(super) fn new(
        worker: WorkerId,
        go: Go,
        end: Arc<AtomicU64>,
        workers: Arc<AtomicUsize>,
        meter: Arc<Meter>,
    ) -> Self {
        let (at, batch) = (go.at, Vec::new());
        let (writing, held_back, fresh) = (None, None, true);
        Writer {
            worker,
            go,
            end,
            workers,
            meter,
            in_hand: 0,
            batch,
            batch_bytes: 0,
            at,
            writing,
            held_back,
            fresh,
        }
    }

    /// Adds bytes, except those before the start or beyond the end. Returns true if the batch should be
    /// written.
    pub(super) fn take(&mut self, mut bytes: Bytes) -> bool {
        let early = self.go.skip.min(bytes.len() as u64);
        self.go.skip -= early;
        // `early` is not larger than the length of the bytes.
        drop(bytes.split_to(early as usize));
        let room = self.end.load(Ordering::Relaxed).saturating_sub(self.known());
        bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        self.batch_bytes += bytes.len();
        self.in_hand += bytes.len();
        self.meter.took(bytes.len());
        self.batch.push(bytes);
        let most = batch_bytes(self.workers.load(Ordering::Relaxed));
        self.batch_bytes >= most || self.batch.len() >= BATCH_BUFFERS
    }

    /// Returns true if all requested bytes were collected.
    pub(super) fn is_full(&self) -> bool {
        self.known() >= self.end.load(Ordering::Relaxed)
    }

    /// Returns the offset in the file after the last collected byte.
    fn known(&self) -> u64 {
        self.at + self.batch_bytes as u64
    }

    /// Waits for the previous batch, and starts to write the bytes that were collected since then.
    pub(super) async fn flush(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        self.settle(report).await?;
        if self.batch_bytes == 0 {
            self.batch.clear();
            return Ok(());
        }
        let batch: hashing::Batch = (self.at, Arc::new(std::mem::take(&mut self.batch)));
        self.at += std::mem::take(&mut self.batch_bytes) as u64;
        let (part, generation, journaled) = (self.go.part.clone(), self.go.generation, self.go.journaled);
        let end = self.end.clone();
        let (done, writing) = oneshot::channel();
        self.writing = Some(writing);
        let held_back = self.held_back.is_some();
        let quick = !journaled && end_of(&batch) - batch.0 <= QUICK;
        let write = move || {
            let since = clock::instant();
            let fresh = part.write_at(generation, batch.0, &batch.1, &end)?;
            let took = since.elapsed();
            if took > SLOW_WRITE {
                debug!(target: DISK, from = batch.0, to = end_of(&batch), ?took, "a write was slow");
            }
            let mut later = Vec::new();
            // If another worker wrote some of the bytes first, the record of that worker contains them.
            if journaled && fresh {
                let mut crc = Crc::new();
                batch.1.iter().for_each(|bytes| crc.update(bytes));
                let claim = Claim { start: batch.0, end: end_of(&batch), crc: crc.value() };
                let record = journal::claim(claim);
                if held_back { later = record } else { part.record(generation, &record)? }
            }
            Ok((batch, fresh, later))
        };
        // A worker that was dropped meanwhile does not wait for the result.
        let span = Span::current();
        let write = move || drop(done.send(span.in_scope(write)));
        if quick {
            self.go.short_calls.run(write);
        } else {
            tokio::task::spawn_blocking(write);
        }
        Ok(())
    }

    /// Waits for the batch that is being written, passes it to the hasher, and reports it.
    async fn settle(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let since = clock::instant();
        let (batch, fresh, later) =
            writing.await.map_err(|e| Error::new(ErrorKind::DiskFailed, "", e.to_string()))??;
        let disk = since.elapsed();
        let upto = end_of(&batch);
        let written = batch.1.iter().map(Bytes::len).sum::<usize>();
        if let Some(records) = &mut self.held_back {
            // These records are written when the response is verified. The hasher then reads the bytes back
            // from the disk.
            records.extend(later);
            self.fresh &= fresh;
            self.meter.spent().disk += disk;
            return Ok(());
        }
        // If another worker wrote some of the bytes first, the hasher reads all of them back from the disk.
        let hash = match self.go.feed.as_ref().filter(|_| fresh) {
            Some(feed) => feed.give(batch).await,
            None => Duration::ZERO,
        };
        let mut spent = self.meter.spent();
        spent.disk += disk;
        spent.hash += hash;
        drop(spent);
        report(Input::Wrote { worker: self.worker, upto, fresh });
        self.in_hand -= written;
        self.meter.gave(written);
        Ok(())
    }

    /// Holds reports back from now on, until the whole response is verified. A worker that was dropped may
    /// have left bytes in this segment that were never verified. These bytes are discarded, if the output
    /// allows that.
    pub(super) async fn hold_back(&mut self) -> Result<(), Error> {
        if self.void().await? {
            self.held_back = Some(Vec::new());
        }
        Ok(())
    }

    /// Records and reports the bytes, because the whole response is right.
    pub(super) async fn release(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        let Some(records) = self.held_back.take() else { return Ok(()) };
        let (part, generation) = (self.go.part.clone(), self.go.generation);
        if !records.is_empty() {
            on_the_disk(move || part.record(generation, &records)).await?;
        }
        report(Input::Wrote { worker: self.worker, upto: self.at, fresh: self.fresh });
        self.meter.gave(std::mem::take(&mut self.in_hand));
        Ok(())
    }

    /// Discards the bytes, because the response is incomplete or wrong.
    ///
    /// # Errors
    /// Returns `output.started` if the wrong bytes were already passed on to the output.
    pub(super) async fn take_back(
        &mut self,
        why: Option<&Error>,
        report: &impl Fn(Input),
    ) -> Result<(), Error> {
        // A write that has begun must end before the bytes are discarded.
        let settled = self.settle(report).await;
        let gone = !self.void().await?;
        settled?;
        match why {
            Some(bad) if gone && bad.kind == ErrorKind::DigestPart && self.at > self.go.at => {
                Err(Error::new(ErrorKind::OutputStarted, &bad.at, &bad.detail))
            }
            _ => Ok(()),
        }
    }

    /// Discards the bytes of the segment on the disk. Returns false if the output cannot take bytes back.
    async fn void(&self) -> Result<bool, Error> {
        let (part, generation) = (self.go.part.clone(), self.go.generation);
        let range = self.go.at..self.end.load(Ordering::Relaxed);
        on_the_disk(move || part.void(generation, range)).await
    }

    /// Writes and reports all collected bytes.
    pub(super) async fn finish(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        self.flush(report).await?;
        self.settle(report).await
    }
}

/// Runs work on the disk on a thread that may block.
async fn on_the_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::new(ErrorKind::DiskFailed, "", e.to_string())))
}

/// A worker may be dropped at any time. Its bytes then no longer count as received.
impl Drop for Writer {
    fn drop(&mut self) {
        self.meter.gave(self.in_hand);
    }
}
