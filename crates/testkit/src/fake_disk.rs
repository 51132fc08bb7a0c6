//! A disk in memory: it keeps files by path, fails on demand, and remembers what was done to it.

use crate::sha256;
use bytes::Bytes;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, Kind};
use downhaul_engine::disk::{Disk, Part, Standing};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct FakeDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Chance that a write fails, in percent.
    failing: u8,
    rng: Rng,
}

struct FakePart {
    disk: FakeDisk,
    path: PathBuf,
}

impl FakeDisk {
    /// A disk on which so many percent of the writes fail, half done.
    pub fn failing(percent: u8, seed: u64) -> Self {
        let inner = Inner { failing: percent, rng: Rng::with_seed(seed), ..Inner::default() };
        FakeDisk { inner: Arc::new(Mutex::new(inner)) }
    }

    /// A file's bytes.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.inner().files.get(path.as_ref()).cloned()
    }

    /// Puts a file there.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.inner().files.insert(path.as_ref().to_path_buf(), bytes.to_vec());
    }

    /// All paths that hold a file.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.inner().files.keys().cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic")
    }
}

impl Disk for FakeDisk {
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error> {
        let standing =
            |bytes: &Vec<u8>| Standing { is_folder: false, size: bytes.len() as u64, modified: None };
        Ok(self.inner().files.get(path).map(standing))
    }

    fn open_part(&self, target: &Path) -> Result<Box<dyn Part>, Error> {
        let path = PathBuf::from(format!("{}.part", target.display()));
        self.inner().files.insert(path.clone(), Vec::new());
        Ok(Box::new(FakePart { disk: self.clone(), path }))
    }

    fn digests(&self, path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Digest>, Error> {
        assert!(algorithms.iter().all(|&algorithm| algorithm == Algorithm::Sha256), "only SHA-256 here");
        let bytes = self.read(path).unwrap_or_default();
        Ok(Digest::from_hex(Algorithm::Sha256, &sha256(&bytes)).into_iter().collect())
    }
}

impl Drop for FakePart {
    fn drop(&mut self) {
        self.discard();
    }
}

impl Part for FakePart {
    fn write_at(&self, offset: u64, data: &[Bytes]) -> Result<(), Error> {
        let mut inner = self.disk.inner();
        let percent = inner.rng.u8(0..100);
        let fails = percent < inner.failing;
        let file = inner.files.get_mut(&self.path).expect("the part file is there");
        let all: Vec<u8> = data.iter().flat_map(|bytes| bytes.iter().copied()).collect();
        let offset = usize::try_from(offset).expect("small");
        let written = if fails { &all[..all.len() / 2] } else { &all[..] };
        if file.len() < offset + written.len() {
            file.resize(offset + written.len(), 0);
        }
        file[offset..offset + written.len()].copy_from_slice(written);
        if fails { Err(Error::new(Kind::DiskFull, self.path.to_string_lossy(), "simulated")) } else { Ok(()) }
    }

    fn restart(&self) -> Result<(), Error> {
        self.disk.inner().files.insert(self.path.clone(), Vec::new());
        Ok(())
    }

    fn publish(&self, target: &Path, replace: bool, _modified: Option<SystemTime>) -> Result<(), Error> {
        let mut inner = self.disk.inner();
        if !replace && inner.files.contains_key(target) {
            return Err(Error::new(Kind::FileExists, target.to_string_lossy(), ""));
        }
        let bytes = inner.files.remove(&self.path).expect("the part file is there");
        inner.files.insert(target.to_path_buf(), bytes);
        Ok(())
    }

    fn discard(&self) {
        self.disk.inner().files.remove(&self.path);
    }
}
