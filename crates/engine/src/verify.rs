//! Hashes the finished prefix of a file while the rest still arrives, off the threads that serve the network.
//!
//! The bytes are those that were given to the disk, shared and not copied; the queue is bounded, so that a slow
//! hash slows the transfer and does not fill the memory. Invariant: every byte is hashed once, in order.

use bytes::Bytes;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, Kind};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Batches that may wait for the hasher beside the one being hashed, so that neither side waits for a hiccup of the
/// other.
const WAITING: usize = 1;

/// Bytes as they were written: an offset and buffers.
pub(crate) type Batch = (u64, Arc<Vec<Bytes>>);

/// Where a worker puts what it wrote.
pub(crate) type Feed = mpsc::Sender<Batch>;

/// The digests of one file in the making.
pub(crate) struct Verifier {
    feed: Feed,
    digests: JoinHandle<Result<Vec<Digest>, Error>>,
}

impl Verifier {
    pub(crate) fn start(algorithms: Vec<Algorithm>) -> Self {
        let (feed, mut batches) = mpsc::channel::<Batch>(WAITING);
        let digests = tokio::spawn(async move {
            let mut work = Work { hashers: Hashers::new(&algorithms), hashed: 0 };
            while let Some(batch) = batches.recv().await {
                // A thread is taken for a batch, not for a file: many files may wait for their bytes.
                let hashed = tokio::task::spawn_blocking(move || work.take(&batch).map(|()| work)).await;
                work = hashed.map_err(|e| Error::new(Kind::DiskFailed, "", e.to_string()))??;
            }
            Ok(work.hashers.finish())
        });
        Verifier { feed, digests }
    }

    pub(crate) fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// The digests, once all that was fed is hashed. Every worker must be done with its feed.
    pub(crate) async fn finish(self) -> Result<Vec<Digest>, Error> {
        drop(self.feed);
        self.digests.await.unwrap_or_else(|e| Err(Error::new(Kind::DiskFailed, "", e.to_string())))
    }
}

/// The digests so far, and of how many bytes they are.
struct Work {
    hashers: Hashers,
    hashed: u64,
}

impl Work {
    fn take(&mut self, (offset, buffers): &Batch) -> Result<(), Error> {
        if *offset > self.hashed {
            let gap = format!("bytes {} to {offset} were not hashed", self.hashed);
            return Err(Error::new(Kind::DiskFailed, "", gap));
        }
        // A worker that broke off may have hashed more than it reported: the rest is sent again.
        let mut known = self.hashed - offset;
        for buffer in buffers.iter() {
            let skip = known.min(buffer.len() as u64);
            known -= skip;
            let fresh = &buffer[usize::try_from(skip).unwrap_or(buffer.len())..];
            self.hashers.update(fresh);
            self.hashed += fresh.len() as u64;
        }
        Ok(())
    }
}

/// Several digests of the same bytes.
pub(crate) struct Hashers(Vec<(Algorithm, aws_lc_rs::digest::Context)>);

impl Hashers {
    pub(crate) fn new(algorithms: &[Algorithm]) -> Self {
        use aws_lc_rs::digest;
        let context = |algorithm| match algorithm {
            Algorithm::Sha1 => digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Algorithm::Sha256 => digest::Context::new(&digest::SHA256),
            Algorithm::Sha384 => digest::Context::new(&digest::SHA384),
            Algorithm::Sha512 => digest::Context::new(&digest::SHA512),
        };
        Hashers(algorithms.iter().map(|&algorithm| (algorithm, context(algorithm))).collect())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|(_, context)| context.update(bytes));
    }

    pub(crate) fn finish(self) -> Vec<Digest> {
        let finish = |(algorithm, context): (Algorithm, aws_lc_rs::digest::Context)| Digest {
            algorithm,
            bytes: context.finish().as_ref().to_vec(),
        };
        self.0.into_iter().map(finish).collect()
    }
}
