//! Hashes a file while it arrives, on threads that are not used for the network.
//!
//! Bytes that arrive in order are hashed from memory. The hasher and the disk use the same buffers, without a
//! copy. The queue is short, so a slow hash function slows down the transfer, and the memory stays small.
//! Bytes that arrive out of order are read back from the disk later.
//!
//! Invariant: every byte is hashed once, in order, and not before it was written.

use crate::clock;
use crate::disk::Part;
use crate::hashers::Hashers;
use bytes::Bytes;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The number of batches that may wait while the hasher works on another one. So a short delay of the network
/// does not stop the hasher, and a short delay of the hasher does not stop the network.
const WAITING: usize = 1;

/// The number of bytes that are read back at a time.
const READ_BACK: u64 = 1024 * 1024;

/// If workers wait for the hasher during more than this fraction (1/8) of the time, hashing limits the speed.
const WAITING_SHARE: u32 = 8;

/// If more than this many written bytes are not hashed yet, no further connection is added. At 1.8 GB/s,
/// SHA-256 takes 20 ms for this many bytes.
const BEHIND: u64 = 32 * 1024 * 1024;

/// Bytes that were written: an offset and buffers.
pub(crate) type Batch = (u64, Arc<Vec<Bytes>>);

/// Passes written bytes from workers to the hasher.
#[derive(Clone)]
pub(crate) struct Feed {
    batches: mpsc::Sender<Batch>,
    /// The offset of the first byte that was neither passed to the hasher nor read back from the disk.
    next: Arc<AtomicU64>,
    /// The total time that workers waited for the hasher, in microseconds.
    waited: Arc<AtomicU64>,
}

impl Feed {
    /// Passes a batch to the hasher if it is the next one in order. Waits while the hasher is behind, and
    /// returns the time that it waited.
    pub(crate) async fn give(&self, batch: Batch) -> Duration {
        let end = end_of(&batch);
        let next = self.next.load(Ordering::Relaxed);
        if batch.0 <= next && next < end {
            self.next.store(end, Ordering::Relaxed);
            let since = clock::instant();
            // If the hasher has ended, this send fails. `Verifier::finish` returns the error of the hasher.
            let _ = self.batches.send(batch).await;
            let waited = since.elapsed();
            self.waited.fetch_add(u64::try_from(waited.as_micros()).unwrap_or_default(), Ordering::Relaxed);
            return waited;
        }
        Duration::ZERO
    }
}

pub(crate) fn end_of((offset, buffers): &Batch) -> u64 {
    offset + buffers.iter().map(|bytes| bytes.len() as u64).sum::<u64>()
}

/// Computes the digests of one file while it arrives.
pub(crate) struct Verifier {
    feed: Feed,
    /// The length of the prefix that was written without a gap, and true if the file is complete.
    prefix: watch::Sender<(u64, bool)>,
    digests: JoinHandle<Result<Vec<Digest>, Error>>,
    algorithms: Vec<Algorithm>,
    since: Instant,
}

impl Verifier {
    pub(crate) fn start(algorithms: &[Algorithm], part: Arc<dyn Part>) -> Self {
        let (batches, fed) = mpsc::channel::<Batch>(WAITING);
        let (prefix, written) = watch::channel((0, false));
        let next = Arc::new(AtomicU64::new(0));
        let work = Work { hashers: Hashers::new(algorithms), hashed: 0, part };
        let digests = tokio::spawn(hash(work, fed, written, next.clone()));
        let feed = Feed { batches, next, waited: Arc::default() };
        Verifier { feed, prefix, digests, algorithms: algorithms.to_vec(), since: clock::instant() }
    }

    pub(crate) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    pub(crate) fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Records that all bytes below this offset are written.
    pub(crate) fn written(&self, prefix: u64) {
        self.prefix.send_if_modified(|written| {
            let grew = prefix > written.0;
            written.0 = written.0.max(prefix);
            grew
        });
    }

    /// Returns true if hashing limits the speed, because workers wait for it, or because much of the written
    /// prefix is not hashed yet. In this case, more connections would not be faster.
    pub(crate) fn is_behind(&self) -> bool {
        let waited = Duration::from_micros(self.feed.waited.load(Ordering::Relaxed));
        waited * WAITING_SHARE > self.since.elapsed()
            || self.prefix.borrow().0.saturating_sub(self.feed.next.load(Ordering::Relaxed)) > BEHIND
    }

    /// Returns the digests of the whole file, which has `size` bytes.
    pub(crate) async fn finish(self, size: u64) -> Result<Vec<Digest>, Error> {
        self.prefix.send_replace((size, true));
        self.digests.await.unwrap_or_else(|e| Err(Error::new(ErrorKind::DiskFailed, "", e.to_string())))
    }
}

/// Hashes until the whole file is hashed, or the [`Verifier`] was dropped.
async fn hash(
    mut work: Work,
    mut fed: mpsc::Receiver<Batch>,
    mut written: watch::Receiver<(u64, bool)>,
    next: Arc<AtomicU64>,
) -> Result<Vec<Digest>, Error> {
    loop {
        if written.has_changed().is_err() {
            return Ok(Vec::new());
        }
        let (prefix, last) = *written.borrow_and_update();
        if last && work.hashed >= prefix {
            return Ok(work.hashers.finish());
        }
        // Bytes that were passed in order are in the queue before they are reported as written, so the queue
        // is checked first.
        let step = match fed.try_recv() {
            Ok(batch) => Step::Take(batch),
            Err(_) if prefix > work.hashed => Step::ReadBack(prefix),
            Err(_) => tokio::select! {
                Some(batch) = fed.recv() => Step::Take(batch),
                changed = written.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(Vec::new()),
                },
            },
        };
        // Each batch uses a thread for a short time. A thread for each file would wait most of the time.
        let done = tokio::task::spawn_blocking(move || work.step(&step).map(|()| work)).await;
        work = done.map_err(|e| Error::new(ErrorKind::DiskFailed, "", e.to_string()))??;
        next.fetch_max(work.hashed, Ordering::Relaxed);
    }
}

enum Step {
    Take(Batch),
    ReadBack(u64),
}

/// The unfinished digests, and the number of bytes that were added to them.
struct Work {
    hashers: Hashers,
    hashed: u64,
    part: Arc<dyn Part>,
}

impl Work {
    fn step(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Take(batch) => self.take(batch),
            Step::ReadBack(prefix) => return self.read_back(*prefix),
        }
        Ok(())
    }

    fn take(&mut self, (offset, buffers): &Batch) {
        // Bytes beyond a gap are read back later. Bytes that were hashed before are skipped, because two
        // connections may deliver the same bytes.
        let Some(mut known) = self.hashed.checked_sub(*offset) else { return };
        let fresh: Vec<&[u8]> = buffers
            .iter()
            .map(|buffer| {
                let skip = known.min(buffer.len() as u64);
                known -= skip;
                &buffer[usize::try_from(skip).unwrap_or(buffer.len())..]
            })
            .collect();
        self.hashers.update(&fresh);
        self.hashed += fresh.iter().map(|one| one.len() as u64).sum::<u64>();
    }

    fn read_back(&mut self, prefix: u64) -> Result<(), Error> {
        let most = usize::try_from((prefix - self.hashed).min(READ_BACK)).unwrap_or(0);
        let mut buffer = vec![0; most];
        let read = self.part.read_at(self.hashed, &mut buffer)?;
        if read < most {
            let missing = format!("{} written bytes are missing", most - read);
            return Err(Error::new(ErrorKind::DiskFailed, "", missing));
        }
        self.hashers.update(&[&buffer]);
        self.hashed += most as u64;
        Ok(())
    }
}
