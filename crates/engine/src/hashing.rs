//! Hashes a file while it arrives, on threads that are not used for the network.
//!
//! Bytes that arrive in order are hashed from memory. The thread that wrote them passes them to the hasher,
//! and wakes another thread only if no thread hashes the file already. The hasher and the disk use the same
//! buffers, without a copy. The number of batches that a worker may have in memory is limited
//! ([`Batch::_room`]), so a slow hash function slows down the transfer, and the memory stays small. Bytes
//! that arrive out of order are read back from the disk later.
//!
//! Invariant: every byte is hashed once, in order, and not before it was written. At most one thread at a
//! time takes the bytes of a file, and [`Hashers`] may use further threads.

use crate::clock;
use crate::disk::Part;
use crate::hashers::Hashers;
use bytes::Bytes;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, ErrorKind};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

/// The number of bytes that are read back at a time.
const READ_BACK: u64 = 1024 * 1024;

/// If the waits of all workers for the hasher add up to more than this fraction (1/8) of the time since the
/// hasher was started, hashing limits the speed.
const WAITING_SHARE: u32 = 8;

/// If more than this many written bytes were not passed to the hasher yet, no further connection is added. At
/// 1.8 GB/s, SHA-256 takes 20 ms for this many bytes.
const BEHIND: u64 = 32 * 1024 * 1024;

/// Bytes that are written with one call.
pub(crate) struct Batch {
    /// The offset in the file.
    pub(crate) offset: u64,
    pub(crate) buffers: Vec<Bytes>,
    /// Counts this batch among those that its worker has in memory, until the batch is dropped.
    pub(crate) _room: OwnedSemaphorePermit,
}

impl Batch {
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.buffers.iter().map(|bytes| bytes.len() as u64).sum::<u64>()
    }
}

/// Passes written bytes to the hasher.
#[derive(Clone)]
pub(crate) struct Feed(Arc<Shared>);

impl Feed {
    /// Passes a batch to the hasher if the batch has the next byte to hash. Otherwise drops the batch. Does
    /// not wait.
    pub(crate) fn give(&self, batch: Batch) {
        let end = batch.end();
        let mut state = self.0.state();
        if !state.is_over && batch.offset <= state.next && state.next < end {
            state.next = end;
            state.batches.push_back(batch);
            self.0.wake(state);
        }
    }

    /// Records that a worker waited for the hasher.
    pub(crate) fn waited(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or_default();
        self.0.waited.fetch_add(micros, Ordering::Relaxed);
    }
}

/// Computes the digests of one file while it arrives.
pub(crate) struct Verifier {
    feed: Feed,
    digests: oneshot::Receiver<Result<Vec<Digest>, Error>>,
    algorithms: Vec<Algorithm>,
    since: Instant,
}

impl Verifier {
    pub(crate) fn start(algorithms: &[Algorithm], part: Arc<dyn Part>) -> Self {
        let (done, digests) = oneshot::channel();
        let work = Work { hashers: Hashers::new(algorithms), hashed: 0, part, done };
        let state = State { idle: Some(Box::new(work)), ..State::default() };
        let shared =
            Shared { state: Mutex::new(state), waited: AtomicU64::new(0), runtime: Handle::current() };
        let feed = Feed(Arc::new(shared));
        Verifier { feed, digests, algorithms: algorithms.to_vec(), since: clock::instant() }
    }

    pub(crate) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    pub(crate) fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Records that all bytes below this offset have been written.
    pub(crate) fn written(&self, prefix: u64) {
        let mut state = self.feed.0.state();
        state.prefix = state.prefix.max(prefix);
        self.feed.0.wake(state);
    }

    /// Returns true if hashing limits the speed, because workers wait for the hasher, or because much of the
    /// written prefix was not passed to the hasher yet. In this case, more connections would not be faster.
    pub(crate) fn is_behind(&self) -> bool {
        let waited = Duration::from_micros(self.feed.0.waited.load(Ordering::Relaxed));
        let state = self.feed.0.state();
        waited * WAITING_SHARE > self.since.elapsed() || state.prefix.saturating_sub(state.next) > BEHIND
    }

    /// Records that the whole file has been written.
    fn complete(&self, size: u64) {
        let mut state = self.feed.0.state();
        (state.prefix, state.is_complete) = (size, true);
        self.feed.0.wake(state);
    }

    /// Returns the digests of the whole file, which has `size` bytes.
    pub(crate) async fn finish(mut self, size: u64) -> Result<Vec<Digest>, Error> {
        self.complete(size);
        let digests = (&mut self.digests).await;
        digests.unwrap_or_else(|e| Err(Error::new(ErrorKind::DiskFailed, "", e.to_string())))
    }
}

/// Stops the hasher, because the digests of a dropped verifier are not needed.
impl Drop for Verifier {
    fn drop(&mut self) {
        self.feed.0.state().end();
    }
}

/// The state that workers, the verifier and the hashing thread share.
struct Shared {
    state: Mutex<State>,
    /// The total time that workers waited for the hasher, in microseconds.
    waited: AtomicU64,
    runtime: Handle,
}

#[derive(Default)]
struct State {
    /// Written batches that wait for the hasher. They follow each other without a gap.
    batches: VecDeque<Batch>,
    /// The offset of the first byte that was neither passed to the hasher nor read back from the disk.
    next: u64,
    /// The length of the prefix that was written without a gap.
    prefix: u64,
    is_complete: bool,
    /// True if the digests were computed, if computing them failed, or if they are not needed any more.
    is_over: bool,
    /// The unfinished digests, while no thread works on them.
    idle: Option<Box<Work>>,
}

impl State {
    /// Returns the next step of the hasher, or `None` if there is nothing to hash yet. A batch that arrives
    /// in order enters the queue before its bytes are reported as written, so the queue is checked first.
    fn step(&mut self, hashed: u64) -> Option<Step> {
        if self.is_over {
            return Some(Step::Stop);
        }
        if let Some(batch) = self.batches.pop_front() {
            return Some(Step::Take(batch));
        }
        if self.prefix > hashed {
            let end = self.prefix.min(hashed.saturating_add(READ_BACK));
            self.next = self.next.max(end);
            return Some(Step::ReadBack(hashed..end));
        }
        self.is_complete.then_some(Step::Finish)
    }

    fn end(&mut self) {
        self.is_over = true;
        self.batches.clear();
        self.idle = None;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock can be used, because the state is consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread that hashes, if there is something to hash or the digests can be finished, and if no
    /// thread works on this file. The thread ends when no bytes are left to hash. A permanent thread for each
    /// file would wait most of the time.
    fn wake(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let Some(work) = state.idle.take() else { return };
        let is_idle = state.batches.is_empty() && state.prefix <= work.hashed && !state.is_complete;
        if is_idle {
            state.idle = Some(work);
            return;
        }
        drop(state);
        let shared = self.clone();
        self.runtime.spawn_blocking(move || shared.run(work));
    }

    /// Hashes until there is nothing to hash at the moment, or until the digests are finished or not needed
    /// any more.
    fn run(&self, mut work: Box<Work>) {
        loop {
            let mut state = self.state();
            let Some(step) = state.step(work.hashed) else {
                state.idle = Some(work);
                return;
            };
            drop(state);
            let done = match step {
                Step::Take(batch) => work.take(&batch).map(|()| None),
                Step::ReadBack(range) => work.read_back(range).map(|()| None),
                Step::Finish => Ok(Some(std::mem::take(&mut work.hashers).finish())),
                Step::Stop => return,
            };
            if let Some(result) = done.transpose() {
                self.state().end();
                // Sending fails only if the digests are not needed any more.
                let _ = work.done.send(result);
                return;
            }
        }
    }
}

enum Step {
    Take(Batch),
    ReadBack(Range<u64>),
    Finish,
    Stop,
}

/// The unfinished digests, and the number of bytes that were added to them.
struct Work {
    hashers: Hashers,
    hashed: u64,
    part: Arc<dyn Part>,
    done: oneshot::Sender<Result<Vec<Digest>, Error>>,
}

impl Work {
    fn take(&mut self, batch: &Batch) -> Result<(), Error> {
        // Bytes that were hashed before are skipped, because two connections may deliver the same bytes.
        let Some(mut known) = self.hashed.checked_sub(batch.offset) else {
            return Err(Error::new(ErrorKind::DiskFailed, "", "the bytes before a batch were not hashed"));
        };
        let fresh: Vec<&[u8]> = batch
            .buffers
            .iter()
            .map(|buffer| {
                let skip = known.min(buffer.len() as u64);
                known -= skip;
                &buffer[usize::try_from(skip).unwrap_or(buffer.len())..]
            })
            .collect();
        self.hashers.update(&fresh);
        self.hashed = self.hashed.max(batch.end());
        Ok(())
    }

    fn read_back(&mut self, range: Range<u64>) -> Result<(), Error> {
        let most = usize::try_from(range.end - range.start).unwrap_or(0);
        let mut buffer = vec![0; most];
        let read = self.part.read_at(range.start, &mut buffer)?;
        if read < most {
            let missing = format!("{} written bytes are missing", most - read);
            return Err(Error::new(ErrorKind::DiskFailed, "", missing));
        }
        self.hashers.update(&[&buffer]);
        self.hashed = range.end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::file::Files;
    use crate::disk::{Beginning, Disk, Opening};
    use downhaul_core::identity::Identity;
    use downhaul_core::settings::Resume;
    use std::path::Path;
    use tokio::sync::Semaphore;

    /// The number of batches that may be in memory in these tests.
    const MOST: usize = 8;

    const LENGTH: u64 = 100_000;

    /// Returns a partial file that contains these bytes.
    fn part_with(bytes: &[u8], folder: &Path) -> Arc<dyn Part> {
        let identity = Identity { origins: Vec::new(), has_strong_digest: true };
        let how =
            Opening { resume: Resume::Auto, identity: &identity, fresh: false, small: false, mark: false };
        let (part, _) = Files.open_part(&folder.join("name"), how).expect("opens");
        let beginning = Beginning { journal: None, keep: false, size: None, algorithms: &[] };
        let generation = part.begin(beginning).expect("begins");
        let end = AtomicU64::new(u64::MAX);
        part.write_at(generation, 0, &[Bytes::copy_from_slice(bytes)], &end).expect("writes");
        Arc::from(part)
    }

    fn batch(number: u64, byte: u8, room: &Arc<Semaphore>) -> Batch {
        let half = Bytes::from(vec![byte; LENGTH as usize / 2]);
        let room = room.clone().try_acquire_owned().expect("there is room");
        Batch { offset: number * LENGTH, buffers: vec![half.clone(), half], _room: room }
    }

    fn sha256(bytes: &[u8]) -> Vec<Digest> {
        let mut hashers = Hashers::new(&[Algorithm::Sha256]);
        hashers.update(&[bytes]);
        hashers.finish()
    }

    #[tokio::test]
    async fn bytes_in_order_are_hashed_from_memory_and_others_are_read_back() {
        let (folder, room) = (tempfile::tempdir().expect("a folder"), Arc::new(Semaphore::new(MOST)));
        // The bytes on the disk are not those in memory, so the digest shows which of them were hashed.
        let part = part_with(&vec![b'd'; LENGTH as usize * 5], folder.path());
        let verifier = Verifier::start(&[Algorithm::Sha256], part);
        for number in [0, 1, 3, 2, 4] {
            verifier.feed().give(batch(number, b'm', &room));
        }
        // Batch 3 came too early, so its bytes are read back. After this gap, batch 4 came too early as well.
        verifier.written(LENGTH * 4);
        let digests = verifier.finish(LENGTH * 5).await.expect("digests");
        let memory = vec![b'm'; LENGTH as usize * 3];
        assert_eq!(digests, sha256(&[memory, vec![b'd'; LENGTH as usize * 2]].concat()));
        assert_eq!(room.available_permits(), MOST);
    }

    #[tokio::test]
    async fn bytes_that_came_twice_are_hashed_once() {
        let (folder, room) = (tempfile::tempdir().expect("a folder"), Arc::new(Semaphore::new(MOST)));
        let part = part_with(&vec![b'd'; LENGTH as usize * 2], folder.path());
        let verifier = Verifier::start(&[Algorithm::Sha256], part);
        verifier.feed().give(batch(0, b'm', &room));
        verifier.feed().give(batch(0, b'x', &room));
        let mut overlapping = batch(1, b'm', &room);
        overlapping.offset -= LENGTH / 2;
        verifier.feed().give(overlapping);
        let digests = verifier.finish(LENGTH * 2).await.expect("digests");
        let rest = vec![b'd'; LENGTH as usize / 2];
        assert_eq!(digests, sha256(&[vec![b'm'; LENGTH as usize * 3 / 2], rest].concat()));
    }

    #[tokio::test]
    async fn a_dropped_verifier_keeps_neither_bytes_nor_the_file() {
        let (folder, room) = (tempfile::tempdir().expect("a folder"), Arc::new(Semaphore::new(MOST)));
        let part = part_with(&vec![b'd'; LENGTH as usize], folder.path());
        let alive = Arc::downgrade(&part);
        let verifier = Verifier::start(&[Algorithm::Sha256], part);
        let feed = verifier.feed();
        feed.give(batch(0, b'm', &room));
        drop(verifier);
        feed.give(batch(1, b'm', &room));
        // A thread may still hash the first batch.
        while alive.strong_count() > 0 || room.available_permits() < MOST {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn missing_bytes_are_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let part = part_with(&vec![b'd'; LENGTH as usize], folder.path());
        let verifier = Verifier::start(&[Algorithm::Sha256], part);
        let error = verifier.finish(LENGTH + 1).await.expect_err("a byte is missing");
        assert_eq!(error.kind, ErrorKind::DiskFailed);
    }
}
