//! Computes several digests of the same bytes, each with the fastest crate for its algorithm.
//!
//! Invariant: all digests are computed from the same bytes, in the same order. Several digests of many bytes
//! are computed on several threads, so that they do not slow down a fast download.

use aws_lc_rs::digest::{self as sha, Context};
use blake2::{Blake2b512, Digest as _};
use crc_fast::CrcAlgorithm;
use downhaul_core::digest::{Algorithm, Digest};
use md5::Md5;
use std::thread;

/// From this many bytes on, several digests are computed on several threads. Starting a thread takes 20 µs,
/// and MD5 takes 400 µs for this many bytes.
const WORTH_A_THREAD: usize = 256 * 1024;

/// The unfinished digests of one sequence of bytes.
#[derive(Default)]
pub(crate) struct Hashers(Vec<(Algorithm, Hasher)>);

enum Hasher {
    Crc(Box<crc_fast::Digest>),
    Sha(Context),
    Md5(Box<Md5>),
    Blake2b(Box<Blake2b512>),
    Blake3(Box<blake3::Hasher>),
}

impl Hashers {
    pub(crate) fn new(algorithms: &[Algorithm]) -> Self {
        Hashers(algorithms.iter().map(|&algorithm| (algorithm, Hasher::new(algorithm))).collect())
    }

    /// Adds these bytes, one buffer after the other.
    pub(crate) fn update(&mut self, buffers: &[&[u8]]) {
        let bytes: usize = buffers.iter().map(|one| one.len()).sum();
        match self.0.split_first_mut() {
            Some((first, others)) if bytes >= WORTH_A_THREAD && !others.is_empty() => {
                thread::scope(|scope| {
                    for (_, hasher) in others {
                        scope.spawn(|| hasher.update(buffers));
                    }
                    first.1.update(buffers);
                })
            }
            _ => self.0.iter_mut().for_each(|(_, hasher)| hasher.update(buffers)),
        }
    }

    pub(crate) fn finish(self) -> Vec<Digest> {
        let finish =
            |(algorithm, hasher): (Algorithm, Hasher)| Digest { algorithm, bytes: hasher.finish(algorithm) };
        self.0.into_iter().map(finish).collect()
    }
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        let crc = |algorithm| Hasher::Crc(Box::new(crc_fast::Digest::new(algorithm)));
        let sha = |algorithm| Hasher::Sha(Context::new(algorithm));
        match algorithm {
            Algorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Algorithm::Md5 => Hasher::Md5(Box::default()),
            Algorithm::Sha1 => sha(&sha::SHA1_FOR_LEGACY_USE_ONLY),
            Algorithm::Sha256 => sha(&sha::SHA256),
            Algorithm::Blake3 => Hasher::Blake3(Box::default()),
            Algorithm::Sha384 => sha(&sha::SHA384),
            Algorithm::Blake2b => Hasher::Blake2b(Box::default()),
            Algorithm::Sha512 => sha(&sha::SHA512),
        }
    }

    fn update(&mut self, buffers: &[&[u8]]) {
        buffers.iter().for_each(|bytes| match self {
            Hasher::Crc(crc) => crc.update(bytes),
            Hasher::Sha(context) => context.update(bytes),
            Hasher::Md5(md5) => md5.update(bytes),
            Hasher::Blake2b(blake2b) => blake2b.update(bytes),
            Hasher::Blake3(blake3) => {
                blake3.update(bytes);
            }
        });
    }

    fn finish(self, algorithm: Algorithm) -> Vec<u8> {
        match self {
            // Every CRC is computed in 64 bits. The digest consists of the last bytes of this number, in the
            // order in which servers send them (the most significant byte first).
            Hasher::Crc(crc) => crc.finalize().to_be_bytes()[8 - algorithm.size()..].to_vec(),
            Hasher::Sha(context) => context.finish().as_ref().to_vec(),
            Hasher::Md5(md5) => md5.finalize().to_vec(),
            Hasher::Blake2b(blake2b) => blake2b.finalize().to_vec(),
            Hasher::Blake3(blake3) => blake3.finalize().as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are from the catalogue of CRCs and from reference programs.
    #[test]
    fn digests_equal_published_test_vectors() {
        for (algorithm, of_digits) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
            (Algorithm::Sha384, "eb455d56d2c1a69de64e832011f3393d45f3fa31d6842f21af92d2fe469c499d"),
            (Algorithm::Sha512, "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a"),
        ] {
            let mut hashers = Hashers::new(&[algorithm]);
            hashers.update(&[b"1234", b"", b"56789"]);
            let found = hashers.finish()[0].to_string();
            assert!(found.starts_with(of_digits), "{}: {found}", algorithm.name());
        }
        for (algorithm, of_nothing) in [
            (Algorithm::Blake3, "af1349b9f5f9a1a6a0404dea36dcc949"),
            (Algorithm::Blake2b, "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419"),
        ] {
            assert!(Hashers::new(&[algorithm]).finish()[0].to_string().starts_with(of_nothing));
        }
    }

    #[test]
    fn several_hash_functions_together_give_the_same_digests_as_each_alone() {
        let bytes: Vec<u8> = (0..3 * WORTH_A_THREAD).map(|n| (n % 251) as u8).collect();
        let all: Vec<Algorithm> = Algorithm::all().collect();
        let mut together = Hashers::new(&all);
        bytes.chunks(WORTH_A_THREAD).for_each(|some| together.update(&[some]));
        for digest in together.finish() {
            let mut alone = Hashers::new(&[digest.algorithm]);
            bytes.chunks(1000).for_each(|some| alone.update(&[some]));
            assert_eq!(alone.finish(), [digest]);
        }
    }
}
