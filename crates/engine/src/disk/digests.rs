//! Reads a finished file to compute its digests, or to compare it with the hashes of its chunks.

use super::{Disk, READ, failure};
use crate::hashers::Hashers;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::Error;
use downhaul_core::job::ChunkHashes;
use std::io::{self, Read};
use std::path::Path;

/// Computes digests of a finished file.
///
/// # Errors
/// Returns the error of the system.
pub(crate) fn digests(disk: &dyn Disk, path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Digest>, Error> {
    hash(disk.open(path)?, algorithms).map_err(|e| failure(&e, path))
}

/// Returns true if a file of this size consists of chunks with these hashes.
///
/// # Errors
/// Returns the error of the system.
pub(crate) fn has_chunks(mut file: impl Read, size: u64, chunks: &ChunkHashes) -> io::Result<bool> {
    let length = chunks.length.max(1);
    if size.div_ceil(length) != chunks.digests.len() as u64 {
        return Ok(false);
    }
    for expected in &chunks.digests {
        if hash((&mut file).take(length), &[chunks.algorithm])?.first() != Some(expected) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn hash(mut bytes: impl Read, algorithms: &[Algorithm]) -> io::Result<Vec<Digest>> {
    let mut hashers = Hashers::new(algorithms);
    let mut buffer = vec![0; READ];
    loop {
        match bytes.read(&mut buffer) {
            Ok(0) => return Ok(hashers.finish()),
            Ok(n) => hashers.update(&[&buffer[..n]]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
