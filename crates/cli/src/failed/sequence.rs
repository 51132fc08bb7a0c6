//! [`Sequence`]: recognises the jobs of a list when the list is read again.
//!
//! Invariant: a list is recognised only if the URLs, given names, sizes and digests of its jobs, and the
//! order of the jobs, are those of the first reading. The probability that another list is recognised by
//! mistake is 2^-64. If the other list is shorter and differs only in its last N jobs, the probability is
//! 256^-N for a small N.

use downhaul_engine::core::error::Error;
use downhaul_engine::core::job::{Job, Url};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Jobs in their order. Each job takes one byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence {
    /// For each job, one byte of the hash of this job and all jobs before it.
    bytes: Vec<u8>,
    /// The hash of all jobs.
    hash: u64,
}

impl Sequence {
    /// Returns the number of jobs.
    pub(super) fn jobs(&self) -> usize {
        self.bytes.len()
    }

    /// Adds the hash of the next job ([`hash_of`]).
    pub(super) fn add(&mut self, job: u64) {
        self.hash = hash(&(self.hash, job));
        self.bytes.push(self.hash.to_le_bytes()[0]);
    }

    /// Returns true if the other sequence consists of the first jobs of this sequence.
    pub(super) fn begins_with(&self, other: &Sequence) -> bool {
        self.bytes.starts_with(&other.bytes) && (self.jobs() > other.jobs() || self.hash == other.hash)
    }
}

/// Returns a hash of the URLs, the given name, the size, the digests and the chunk hashes of a job, or of an
/// error.
pub(crate) fn hash_of(job: &Result<Box<Job>, Error>) -> u64 {
    match job {
        Ok(job) => {
            let urls: Vec<&str> = job.urls.iter().map(Url::as_str).collect();
            let digests: Vec<&[u8]> = job.expected.iter().map(|one| &one.digest.bytes[..]).collect();
            let chunks = job.chunks.as_ref();
            let size = (job.size, chunks.map(|one| one.length));
            let chunk_digests: Vec<&[u8]> =
                chunks.iter().flat_map(|one| &one.digests).map(|one| &one.bytes[..]).collect();
            hash(&(urls, job.destination.given_name(), digests, size, chunk_digests))
        }
        Err(error) => hash(&error.to_string()),
    }
}

fn hash(what: &impl Hash) -> u64 {
    // All hashers that `new` returns have the same keys.
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
