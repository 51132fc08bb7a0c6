//! Collects the bytes of a connection into batches, passes the batches to the thread that writes them, and
//! reports the written bytes.
//!
//! Invariant: the batches of a worker are reported in the order in which they arrived. They are written one
//! after the other in this order, but the next write may begin before a quick write ([`QUICK`]) has ended.
//! Bytes are reported and recorded only after they were written to the partial file. After
//! [`Writer::hold_back`], nothing is reported before [`Writer::release`], unless the output cannot take bytes
//! back.

use super::Go;
use super::write_queue::WriteQueue;
use crate::clock;
use crate::hashing::Batch;
use crate::limit::Limits;
use crate::report::Meter;
use crate::trace::{DISK, SLOW_WRITE};
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::journal::{self, Claim, Crc};
use downhaul_core::plan::{Input, WorkerId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::{Span, debug};

/// A batch is written when it has this many bytes, or earlier if there are many workers. It takes a few
/// hundred microseconds to copy this many bytes into the page cache, and about ten microseconds to switch to
/// the thread that writes. So the switches cost little.
const BATCH_MOST: usize = 1024 * 1024;

/// The approximate limit of the memory for the batches of all workers together. More than about 1,200 workers
/// need more, because a batch may always have 8 KiB. The read buffers of connections take up to 16 MiB more
/// (`source/http/transport.rs`).
const BATCHES_TOGETHER: usize = 48 * 1024 * 1024;

/// The number of batches of one worker that may wait to be written, or are being written. With two, the
/// thread that writes finds the next batch as soon as it has written a batch, and does not have to be
/// woken. On two cores, the transfer of 1 GiB on loopback takes 0.66 s with two batches, and 0.70 s with
/// one batch. More than two were not faster.
const WRITING: usize = 2;

/// The number of batches of one worker that may wait to be hashed, or are being hashed, in addition to the
/// [`WRITING`] batches that wait to be written, or are being written. So a short delay of the network does
/// not stop the hasher, and a short delay of the hasher does not stop the network.
const HASHING: usize = 2;

/// The number of batches of one worker that may be in memory at once. One of these batches is being filled.
const BATCHES_EACH: usize = WRITING + HASHING + 1;

/// Returns the size of a batch in bytes for this number of workers.
fn batch_bytes(workers: usize) -> usize {
    (BATCHES_TOGETHER / BATCHES_EACH / workers.max(1)).clamp(8 * 1024, BATCH_MOST)
}

/// When this many buffers are collected, they are written. This limits the memory for bodies that arrive in
/// tiny buffers. Buffers of more than 1 KiB reach [`BATCH_MOST`] first.
const BATCH_BUFFERS: usize = 1024;

/// Writes of up to this many bytes are quick: they take microseconds, since they only copy memory into the
/// page cache, at several GB/s.
pub(super) const QUICK: u64 = 64 * 1024;

/// The result of writing a batch.
struct Wrote {
    /// The number of its bytes.
    bytes: usize,
    /// The offset in the file after its last byte.
    upto: u64,
    /// True if the whole batch was written, and none of its bytes had been written before.
    fresh: bool,
    /// The entries for the journal, if they are held back.
    entries: Vec<u8>,
}

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
    /// The offset in the file of the first byte of the batch.
    at: u64,
    queue: Arc<WriteQueue>,
    /// The batches that are not known to be written yet, in the order in which they are written.
    writing: VecDeque<oneshot::Receiver<Result<Wrote, Error>>>,
    /// The number of further batches that may be written or hashed.
    room: Arc<Semaphore>,
    /// True if a batch was passed on since the last tick.
    is_flowing: bool,
    /// The entries for the journal, if they are kept until the whole response is verified. Until then,
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
        Writer {
            worker,
            at: go.at,
            go,
            end,
            workers,
            meter,
            in_hand: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            queue: Arc::default(),
            writing: VecDeque::new(),
            room: Arc::new(Semaphore::new(WRITING + HASHING)),
            is_flowing: false,
            held_back: None,
            fresh: true,
        }
    }

    /// Adds bytes, except those before the start or beyond the end of the segment. Returns true if the
    /// batch should be written.
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

    /// Waits until the rate limits allow this many bytes.
    pub(super) async fn wait_for(&self, limits: &Limits, bytes: usize) {
        let since = clock::instant();
        limits.wait(bytes).await;
        self.meter.spent().limit += since.elapsed();
    }

    /// Returns true if all requested bytes were collected.
    pub(super) fn is_full(&self) -> bool {
        self.known() >= self.end.load(Ordering::Relaxed)
    }

    /// Returns the offset in the file after the last collected byte.
    fn known(&self) -> u64 {
        self.at + self.batch_bytes as u64
    }

    /// Starts to write the bytes that were collected since the last call. Waits only if the disk or the
    /// hasher has too much to do.
    pub(super) async fn flush(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        self.collect(report)?;
        if self.batch_bytes == 0 {
            self.batch.clear();
            return Ok(());
        }
        self.is_flowing = true;
        while self.writing.len() >= WRITING {
            self.settle(report).await?;
        }
        let room = self.room().await?;
        let batch = Batch { offset: self.at, buffers: std::mem::take(&mut self.batch), _room: room };
        let bytes = std::mem::take(&mut self.batch_bytes);
        self.at += bytes as u64;
        let quick = !self.go.journaled && bytes as u64 <= QUICK && self.writing.is_empty();
        let write = self.write(batch, bytes);
        let (done, writing) = oneshot::channel();
        self.writing.push_back(writing);
        // If the worker is dropped before the write ends, nothing waits for the result.
        let span = Span::current();
        let write = move || drop(done.send(span.in_scope(write)));
        if quick {
            self.go.short_calls.run(write);
        } else {
            self.queue.run(write);
        }
        Ok(())
    }

    /// Returns the call that writes a batch, records it, and passes it to the hasher.
    fn write(&self, batch: Batch, bytes: usize) -> impl FnOnce() -> Result<Wrote, Error> + Send + 'static {
        let (part, generation, journaled) = (self.go.part.clone(), self.go.generation, self.go.journaled);
        let (end, feed, held_back) = (self.end.clone(), self.go.feed.clone(), self.held_back.is_some());
        move || {
            let since = clock::instant();
            let fresh = part.write_at(generation, batch.offset, &batch.buffers, &end)?;
            let (took, upto) = (since.elapsed(), batch.end());
            if took > SLOW_WRITE {
                debug!(target: DISK, from = batch.offset, to = upto, ?took, "a write was slow");
            }
            let mut entries = Vec::new();
            // If another worker wrote some of the bytes first, or if the director shortened the segment, the
            // journal gets no claim for this batch. If the run is interrupted, a later run fetches those
            // bytes again that only this batch has.
            if journaled && fresh {
                let mut crc = Crc::new();
                batch.buffers.iter().for_each(|bytes| crc.update(bytes));
                let entry = journal::claim(Claim { start: batch.offset, end: upto, crc: crc.value() });
                if held_back { entries = entry } else { part.append_to_journal(generation, &entry)? }
            }
            // If the batch is not fresh or not verified yet, the hasher reads its bytes back from the disk
            // later.
            if let Some(feed) = feed.filter(|_| fresh && !held_back) {
                feed.give(batch);
            }
            Ok(Wrote { bytes, upto, fresh, entries })
        }
    }

    /// Waits until another batch may be passed on. The caller has waited until fewer than [`WRITING`] batches
    /// are being written, so this function waits only for the hasher.
    async fn room(&self) -> Result<OwnedSemaphorePermit, Error> {
        let since = clock::instant();
        let room = self.room.clone();
        let room =
            room.acquire_owned().await.map_err(|e| Error::new(ErrorKind::DiskFailed, "", e.to_string()))?;
        let waited = since.elapsed();
        if let Some(feed) = &self.go.feed {
            feed.waited(waited);
            self.meter.spent().hash += waited;
        }
        Ok(room)
    }

    /// Waits until the oldest write has ended, and reports its batch.
    async fn settle(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        let Some(writing) = self.writing.front_mut() else { return Ok(()) };
        let since = clock::instant();
        let wrote = writing.await;
        self.writing.pop_front();
        self.meter.spent().disk += since.elapsed();
        self.wrote(wrote.map_err(|e| Error::new(ErrorKind::DiskFailed, "", e.to_string()))??, report);
        Ok(())
    }

    /// Reports the written batches in order, up to the first batch whose write has not ended. Does not wait.
    fn collect(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        while let Some(writing) = self.writing.front_mut() {
            let wrote = match writing.try_recv() {
                Ok(wrote) => wrote,
                Err(oneshot::error::TryRecvError::Empty) => break,
                Err(e) => Err(Error::new(ErrorKind::DiskFailed, "", e.to_string())),
            };
            self.writing.pop_front();
            self.wrote(wrote?, report);
        }
        Ok(())
    }

    /// Reports a batch that was written. If reports are held back, keeps its entries for the journal instead.
    fn wrote(&mut self, wrote: Wrote, report: &impl Fn(Input)) {
        let Wrote { bytes, upto, fresh, entries } = wrote;
        if let Some(held_back) = &mut self.held_back {
            held_back.extend(entries);
            self.fresh &= fresh;
            return;
        }
        report(Input::Wrote { worker: self.worker, upto, fresh });
        self.in_hand -= bytes;
        self.meter.gave(bytes);
    }

    /// Writes and reports the bytes that a slow connection has delivered, so that the plan knows the progress
    /// of the connection. The worker calls this from time to time. A fast connection fills batches in the
    /// meantime, so its worker does not wait for the disk here.
    pub(super) async fn tick(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        if std::mem::take(&mut self.is_flowing) {
            return self.collect(report);
        }
        self.finish(report).await?;
        self.is_flowing = false;
        Ok(())
    }

    /// Holds reports back from now on, until the whole response is verified. Also discards the bytes that
    /// an earlier worker, which was dropped, may have left in this segment, because they were never verified.
    /// If the output cannot take bytes back, this function changes nothing.
    pub(super) async fn hold_back(&mut self) -> Result<(), Error> {
        if self.void().await? {
            self.held_back = Some(Vec::new());
        }
        Ok(())
    }

    /// Records and reports the bytes that were held back, because the whole response is verified. Does
    /// nothing if no bytes are held back.
    pub(super) async fn release(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        let Some(entries) = self.held_back.take() else { return Ok(()) };
        let (part, generation) = (self.go.part.clone(), self.go.generation);
        if !entries.is_empty() {
            on_the_disk(move || part.append_to_journal(generation, &entries)).await?;
        }
        report(Input::Wrote { worker: self.worker, upto: self.at, fresh: self.fresh });
        self.meter.gave(std::mem::take(&mut self.in_hand));
        Ok(())
    }

    /// Discards the bytes that were held back, because the response is incomplete or wrong. `why` is the
    /// failure of the response, if there is one.
    ///
    /// # Errors
    /// Returns `output.started` if the digest of a chunk shows that its bytes are wrong, and some of them
    /// were already passed on to the output. Also returns errors of the disk.
    pub(super) async fn take_back(
        &mut self,
        why: Option<&Error>,
        report: &impl Fn(Input),
    ) -> Result<(), Error> {
        // A write that has begun must end before the bytes are discarded.
        let mut settled = Ok(());
        while !self.writing.is_empty() {
            settled = settled.and(self.settle(report).await);
        }
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
        while !self.writing.is_empty() {
            self.settle(report).await?;
        }
        Ok(())
    }
}

/// Runs work on the disk on a thread that may block.
async fn on_the_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::new(ErrorKind::DiskFailed, "", e.to_string())))
}

/// A worker may be dropped at any time. Bytes that it has not reported by then no longer count as received.
impl Drop for Writer {
    fn drop(&mut self) {
        self.meter.gave(self.in_hand);
    }
}
