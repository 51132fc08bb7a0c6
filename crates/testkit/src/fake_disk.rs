//! A disk in memory. It keeps files by path and fails on demand. After a power cut, it may lose bytes that
//! were not forced to the disk.

use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::{self, Identity, Record};
use downhaul_core::name::{SideFiles, side_files};
use downhaul_core::settings::{Resume, Sync};
use downhaul_engine::disk::{Beginning, Disk, Found, Generation, Opening, Part, Publishing, Standing};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

/// A disk in memory. All clones share the same files.
#[derive(Clone, Default)]
pub struct FakeDisk {
    inner: Arc<Mutex<Inner>>,
    before_opening: Option<BeforeOpening>,
}

type BeforeOpening = Arc<dyn Fn(&Path) -> Result<(), Error> + Send + std::marker::Sync>;

#[derive(Default)]
struct Inner {
    files: BTreeMap<PathBuf, FakeFile>,
    /// The chance that a write to a partial file fails, in percent.
    failing: u8,
    rng: Rng,
    /// True after a power cut. From then on, only [`FakeDisk::put`] stores bytes.
    dark: bool,
}

#[derive(Default, Clone)]
struct FakeFile {
    bytes: Vec<u8>,
    /// The bytes when the file was last forced to the disk. After a power cut, some of the `pending` writes
    /// are added to these bytes.
    safe: Vec<u8>,
    /// The writes since the file was last forced to the disk. A power cut may lose each of these writes, or a
    /// part of it.
    pending: Vec<(usize, Vec<u8>)>,
    /// The record that was attached to the complete file.
    record: Option<Record>,
}

struct FakePart {
    disk: FakeDisk,
    path: PathBuf,
    journal: PathBuf,
    /// The generation, and true if the partial file has a journal. The generation is the number of times that
    /// the partial file was begun or published. A partial file without a journal is deleted when this object
    /// is dropped.
    state: Mutex<(Generation, bool)>,
}

impl FakeFile {
    fn new(bytes: Vec<u8>) -> FakeFile {
        FakeFile { pending: vec![(0, bytes.clone())], bytes, ..FakeFile::default() }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.bytes, offset, bytes);
        self.pending.push((offset, bytes.to_vec()));
    }

    fn sync(&mut self) {
        self.safe = self.bytes.clone();
        self.pending.clear();
    }

    fn after_power_cut(mut self, rng: &mut Rng) -> FakeFile {
        // The writes may reach the disk in any order, and a power cut may lose any of them.
        rng.shuffle(&mut self.pending);
        let cruelty = if rng.bool() { rng.u8(0..3) } else { rng.u8(0..100) };
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            let whole = rng.u8(0..100) >= cruelty;
            let kept = if whole { bytes.len() } else { rng.usize(0..=bytes.len()) };
            put(&mut self.safe, offset, &bytes[..kept]);
        }
        FakeFile { bytes: self.safe.clone(), safe: self.safe, pending: Vec::new(), record: self.record }
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl FakeDisk {
    /// Returns a disk on which each write to a partial file fails with this chance in percent. A write that
    /// fails stores half of its bytes.
    pub fn failing(percent: u8, seed: u64) -> Self {
        let inner = Inner { failing: percent, rng: Rng::with_seed(seed), ..Inner::default() };
        FakeDisk { inner: Arc::new(Mutex::new(inner)), before_opening: None }
    }

    /// Returns this disk with a function that is called before each partial file is opened. The function gets
    /// the final path of the file. If the function returns an error, opening fails with this error.
    #[must_use]
    pub fn before_opening(
        mut self,
        function: impl Fn(&Path) -> Result<(), Error> + Send + std::marker::Sync + 'static,
    ) -> Self {
        self.before_opening = Some(Arc::new(function));
        self
    }

    /// Cuts the power. Later writes to this disk are lost. Returns a disk with the bytes that are left.
    pub fn power_cut(&self) -> FakeDisk {
        let mut inner = self.inner();
        inner.dark = true;
        let mut rng = inner.rng.fork();
        let files = inner.files.clone().into_iter();
        let files = files.map(|(path, file)| (path, file.after_power_cut(&mut rng))).collect();
        let inner = Inner { files, failing: inner.failing, rng, dark: false };
        FakeDisk { inner: Arc::new(Mutex::new(inner)), before_opening: None }
    }

    /// Returns the bytes of a file, or `None` if the file does not exist.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.inner().files.get(path.as_ref()).map(|file| file.bytes.clone())
    }

    /// Stores a file.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.inner().files.insert(path.as_ref().to_path_buf(), FakeFile::new(bytes.to_vec()));
    }

    /// Returns the paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.inner().files.keys().cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic")
    }
}

impl Disk for FakeDisk {
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error> {
        let standing = |file: &FakeFile| {
            let (size, record) = (file.bytes.len() as u64, file.record.clone());
            let modified = Some(SystemTime::UNIX_EPOCH);
            let file = identity::ExistingFile { size, modified, record, further: Vec::new() };
            Standing { instead: None, file }
        };
        Ok(self.inner().files.get(path).map(standing))
    }

    fn has_left(&self, target: &Path, _identity: &Identity) -> bool {
        let side = side_files(target);
        let inner = self.inner();
        inner.files.contains_key(&side.part) && inner.files.contains_key(&side.journal)
    }

    fn names(&self, folder: &Path, _most: usize) -> Option<Vec<String>> {
        let inner = self.inner();
        let here = inner.files.keys().filter(|path| path.parent() == Some(folder));
        Some(here.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn open_part(&self, target: &Path, how: Opening<'_>) -> Result<(Box<dyn Part>, Option<Found>), Error> {
        self.before_opening.as_ref().map_or(Ok(()), |function| function(target))?;
        let SideFiles { part: path, journal, .. } = side_files(target);
        let left = self.read(&journal).filter(|_| how.resume != Resume::Forget);
        let mut inner = self.inner();
        if !inner.dark {
            inner.files.entry(path.clone()).or_default();
        }
        drop(inner);
        let state = Mutex::new((0, left.is_some()));
        Ok((Box::new(FakePart { disk: self.clone(), path, journal, state }), left.map(Found::Journal)))
    }

    fn tidy(&self, target: &Path, _identity: &Identity) {
        let side = side_files(target);
        let mut inner = self.inner();
        if !inner.dark && !inner.files.contains_key(&side.part) {
            inner.files.remove(&side.journal);
        }
    }

    fn free_space(&self, _target: &Path) -> Option<u64> {
        None
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read>, Error> {
        let missing = || Error::new(ErrorKind::DiskFailed, path.to_string_lossy(), "there is no such file");
        Ok(Box::new(Cursor::new(self.read(path).ok_or_else(missing)?)))
    }
}

impl Drop for FakePart {
    fn drop(&mut self) {
        if !self.state.lock().expect("no panic").1 {
            self.discard();
        }
    }
}

impl Part for FakePart {
    fn begin(&self, beginning: Beginning<'_>) -> Result<Generation, Error> {
        let mut state = self.state.lock().expect("no panic");
        *state = (state.0 + 1, beginning.journal.is_some());
        let mut inner = self.disk.inner();
        if !inner.dark {
            inner.files.insert(self.path.clone(), FakeFile::default());
            match beginning.journal {
                Some(journal) => {
                    inner.files.insert(self.journal.clone(), FakeFile::new(journal.to_vec()));
                }
                None => drop(inner.files.remove(&self.journal)),
            }
        }
        Ok(state.0)
    }

    fn write_at(
        &self,
        generation: Generation,
        offset: u64,
        data: &[Bytes],
        end: &AtomicU64,
    ) -> Result<bool, Error> {
        let state = self.state.lock().expect("no panic");
        let mut inner = self.disk.inner();
        if generation != state.0 || end.load(Ordering::Relaxed) == 0 {
            return Err(Error::new(ErrorKind::DiskFailed, self.path.to_string_lossy(), "too late"));
        }
        if inner.dark {
            return Ok(true);
        }
        let percent = inner.rng.u8(0..100);
        let fails = percent < inner.failing;
        let file = inner.files.get_mut(&self.path).expect("the partial file exists");
        let all: Vec<u8> = data.iter().flat_map(|bytes| bytes.iter().copied()).collect();
        let offset = usize::try_from(offset).expect("small");
        let written = if fails { &all[..all.len() / 2] } else { &all[..] };
        file.write(offset, written);
        if fails {
            Err(Error::new(ErrorKind::DiskFull, self.path.to_string_lossy(), "simulated"))
        } else {
            Ok(true)
        }
    }

    fn append_to_journal(&self, generation: Generation, entries: &[u8]) -> Result<(), Error> {
        let state = self.state.lock().expect("no panic");
        let mut inner = self.disk.inner();
        if generation == state.0
            && !inner.dark
            && let Some(journal) = inner.files.get_mut(&self.journal)
        {
            journal.write(journal.bytes.len(), entries);
        }
        Ok(())
    }

    /// Does nothing, because later writes replace all bytes of the range.
    fn void(&self, _generation: Generation, _range: Range<u64>) -> Result<bool, Error> {
        Ok(true)
    }

    fn rewrite_journal(&self, journal: &[u8]) -> Result<(), Error> {
        let mut inner = self.disk.inner();
        if !inner.dark {
            inner.files.insert(self.journal.clone(), FakeFile::new(journal.to_vec()));
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let inner = self.disk.inner();
        let Some(file) = inner.files.get(&self.path) else { return Ok(0) };
        let offset = usize::try_from(offset).expect("small").min(file.bytes.len());
        let read = buffer.len().min(file.bytes.len() - offset);
        buffer[..read].copy_from_slice(&file.bytes[offset..offset + read]);
        Ok(read)
    }

    fn occupied(&self) -> u64 {
        0
    }

    fn device(&self) -> u64 {
        0
    }

    fn publish(&self, target: &Path, how: Publishing) -> Result<(), Error> {
        let mut state = self.state.lock().expect("no panic");
        let mut inner = self.disk.inner();
        if inner.dark {
            return Ok(());
        }
        if !how.replace && inner.files.contains_key(target) {
            return Err(Error::new(ErrorKind::FileExists, target.to_string_lossy(), ""));
        }
        let mut file = inner.files.remove(&self.path).expect("the partial file exists");
        file.bytes.truncate(usize::try_from(how.size).expect("small"));
        if how.sync == Sync::Always || (how.sync == Sync::Auto && state.1) {
            file.sync();
        }
        file.record = how.attach.map(|what| {
            Record::new(what.origin, how.size, SystemTime::UNIX_EPOCH, what.now, &what.validator)
        });
        inner.files.insert(target.to_path_buf(), file);
        inner.files.remove(&self.journal);
        *state = (state.0 + 1, false);
        Ok(())
    }

    fn discard(&self) {
        let mut inner = self.disk.inner();
        if !inner.dark {
            inner.files.remove(&self.path);
            inner.files.remove(&self.journal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_engine::disk::Opening;

    #[test]
    fn a_file_that_does_not_exist_cannot_be_opened() {
        let disk = FakeDisk::default();
        disk.put("/empty", b"");
        assert!(disk.open(Path::new("/empty")).is_ok());
        let Err(error) = disk.open(Path::new("/none")) else { panic!("the file was opened") };
        assert_eq!(error.kind, ErrorKind::DiskFailed);
    }

    #[test]
    fn nothing_is_stored_after_a_power_cut() {
        let disk = FakeDisk::default();
        disk.put("/f.part.journal", b"old");
        disk.put("/g.part.journal", b"left");
        let identity = Identity::default();
        let how =
            Opening { resume: Resume::Auto, identity: &identity, fresh: false, small: false, mark: false };
        let (part, _) = disk.open_part(Path::new("/f"), how).expect("opened");
        let before = disk.paths();
        let _left = disk.power_cut();
        part.rewrite_journal(b"new").expect("no error");
        disk.tidy(Path::new("/g"), &identity);
        drop(disk.open_part(Path::new("/h"), how).expect("opened"));
        assert_eq!(disk.paths(), before);
        assert_eq!(disk.read("/f.part.journal").as_deref(), Some(&b"old"[..]));
    }
}
