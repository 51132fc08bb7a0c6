//! The tars of a run: which files are in them, and which tar is being written.
//!
//! Invariant: a tar gets its final name only when it is complete. Before that, it is a locked file with the
//! ending `.part`, which has whole samples only: if a sample cannot be written completely, its bytes are
//! removed again. A run that finds such a file keeps the samples whose bytes have their digests, up to the
//! first that has not. What is in the tars is read from the tars themselves, so no other file can disagree
//! with them.

use super::member::{self, Frame, Stored};
use super::open::{Content, Open};
use crate::disk::file::{open_and_lock, remove};
use crate::disk::{Attach, Publishing, failure, platform};
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::{Record, seconds};
use downhaul_core::lock_file::Entry;
use downhaul_core::name::PART;
use downhaul_core::tars::{Bounds, END, Numbers, Sample, TarNames};
use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How many numbers of tars are tried. Only files of other programs, and other runs with the same numbers,
/// can have them.
const NUMBERS_MOST: u32 = 1000;

/// The tars of a run.
pub(super) struct TarSet {
    /// The folder of the tars.
    folder: PathBuf,
    names: TarNames,
    numbers: Numbers,
    bounds: Bounds,
    hasher: RandomState,
    index: Mutex<Index>,
    /// The tar that is being written. This lock is held while a file is added, which may take long.
    writing: Mutex<Writing>,
}

/// The files in the tars. This lock is held only for a moment.
#[derive(Default)]
struct Index {
    /// The place of each sample, by the hash of its key.
    places: HashMap<u64, Place>,
    /// The numbers of the tars that are used in `places`.
    tars: Vec<u64>,
    /// The tar that is being written.
    open: Option<(u64, Arc<File>)>,
}

/// The place of a sample.
#[derive(Clone, Copy)]
struct Place {
    /// The position of its tar in [`Index::tars`].
    tar: u32,
    /// The number of blocks before it.
    block: u32,
}

#[derive(Default)]
struct Writing {
    tar: Option<Open>,
    /// The highest number that was used.
    last: Option<u64>,
}

impl TarSet {
    /// Finds the tars in a folder, and what is in them. Continues the tars that earlier runs left unfinished.
    pub(super) fn open(
        folder: PathBuf,
        names: TarNames,
        numbers: Numbers,
        bounds: Bounds,
    ) -> Result<TarSet, Error> {
        let set = TarSet {
            folder,
            names,
            numbers,
            bounds,
            hasher: RandomState::new(),
            index: Mutex::default(),
            writing: Mutex::default(),
        };
        let (complete, unfinished) = set.existing()?;
        let mut writing = set.writing();
        writing.last = complete.iter().chain(&unfinished).copied().filter(|one| numbers.has(*one)).max();
        complete.iter().try_for_each(|number| set.read_complete(*number))?;
        for number in unfinished.iter().filter(|number| numbers.has(**number)) {
            set.complete(&mut writing)?;
            writing.tar = Some(set.continue_tar(*number)?);
        }
        drop(writing);
        Ok(set)
    }

    /// Returns the sorted numbers of the tars that are complete, and of those that are not.
    fn existing(&self) -> Result<(Vec<u64>, Vec<u64>), Error> {
        let (mut complete, mut unfinished) = (Vec::new(), Vec::new());
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((complete, unfinished)),
            Err(e) => return Err(failure(&e, &self.folder)),
        };
        for entry in entries {
            let name = entry.map_err(|e| failure(&e, &self.folder))?.file_name();
            let name = name.to_string_lossy();
            complete.extend(self.names.number_of(&name));
            unfinished.extend(name.strip_suffix(PART).and_then(|name| self.names.number_of(name)));
        }
        complete.sort_unstable();
        unfinished.sort_unstable();
        Ok((complete, unfinished))
    }

    /// Reads which files a complete tar has.
    fn read_complete(&self, number: u64) -> Result<(), Error> {
        let path = self.path(number);
        let read = || {
            let file = File::open(&path)?;
            let samples = member::scan(&file, file.metadata()?.len())?;
            if samples.is_ended { Ok(samples) } else { Err(member::no_sample()) }
        };
        let samples = read().map_err(|e| failure(&e, &path))?;
        self.add_all(number, samples.all);
        Ok(())
    }

    /// Opens a tar that is not complete. Drops everything after its last whole sample.
    fn continue_tar(&self, number: u64) -> Result<Open, Error> {
        let (target, path) = (self.path(number), self.part(number));
        if fs::symlink_metadata(&target).is_ok() {
            let why = format!("it exists, and so does {}. One of them must be removed", path.display());
            return Err(Error::new(ErrorKind::FileExists, target.to_string_lossy(), why));
        }
        let (file, meta) = open_and_lock(&path, &target)?;
        let continued = || {
            let mut samples = member::scan(&file, meta.len())?;
            if !samples.is_ours {
                return Err(member::no_sample());
            }
            for place in 0..samples.all.len() {
                let start = samples.all[place].1;
                let is_intact =
                    member::read(&file, start).and_then(|stored| member::is_intact(&file, &stored));
                // After a power failure, the tar may have its length and not its bytes.
                if !is_intact.is_ok_and(|is_intact| is_intact) {
                    samples.all.truncate(place);
                    samples.end = start;
                    break;
                }
            }
            file.set_len(samples.end)?;
            Ok(samples)
        };
        let samples = continued().map_err(|e| failure(&e, &path))?;
        let (count, end, file) = (samples.all.len() as u64, samples.end, Arc::new(file));
        self.add_all(number, samples.all);
        self.index().open = Some((number, file.clone()));
        Ok(Open::new(number, file, end, count))
    }

    /// Begins the next tar.
    fn create(&self, writing: &mut Writing) -> Result<Open, Error> {
        let mut error =
            Error::new(ErrorKind::NameTaken, self.folder.to_string_lossy(), "all numbers are in use");
        for _ in 0..NUMBERS_MOST {
            let number = self.numbers.after(writing.last);
            writing.last = Some(number);
            let (target, path) = (self.path(number), self.part(number));
            if fs::symlink_metadata(&target).is_ok() {
                continue;
            }
            match open_and_lock(&path, &target) {
                Ok((file, meta)) if meta.len() == 0 => {
                    let file = Arc::new(file);
                    self.index().open = Some((number, file.clone()));
                    return Ok(Open::new(number, file, 0, 0));
                }
                // Another run has begun this tar.
                Ok(_) => {}
                Err(locked) if locked.kind == ErrorKind::FileLocked => error = locked,
                Err(other) => return Err(other),
            }
        }
        Err(error)
    }

    /// Adds a file of this name.
    ///
    /// # Errors
    /// Returns `file.exists` if a file of this name is in a tar, or the error of the system. Then nothing of
    /// the file is in a tar.
    pub(super) fn add(
        &self,
        name: &str,
        content: &Content<'_>,
        how: &Publishing,
        is_forced: bool,
    ) -> Result<(), Error> {
        let mut writing = self.writing();
        if let Some((tar, _)) = self.find(name)? {
            let why = "it is in this tar, and members are not replaced";
            return Err(Error::new(ErrorKind::FileExists, tar.to_string_lossy(), why));
        }
        let sample = [Sample::of(name), Sample::with_hash(name)].into_iter().find(|sample| !self.has(sample));
        let taken = || Error::new(ErrorKind::NameTaken, name, "other files have its names in the tars");
        let sample = sample.ok_or_else(taken)?;
        let modified = seconds(how.modified.unwrap_or(SystemTime::UNIX_EPOCH));
        // The description names the tar, whose number depends on the length of the description. The path is
        // as long with the next number, except where the digits overflow, and a few bytes do not matter
        // there.
        let number = writing.tar.as_ref().map_or(self.numbers.after(writing.last), |open| open.number);
        let more = self.frame(&sample, name, number, modified, how).length(how.size);
        let is_full = |open: &Open| !self.bounds.have_room(open.end, open.count, more);
        if writing.tar.as_ref().is_some_and(is_full) {
            self.complete(&mut writing)?;
        }
        let mut open = match writing.tar.take() {
            Some(open) => open,
            None => self.create(&mut writing)?,
        };
        let frame = self.frame(&sample, name, open.number, modified, how);
        let (start, file, path) = (open.end, open.file.clone(), self.part(open.number));
        let added = open.append(&frame, content, how.size, &path);
        if added.is_ok() {
            self.add_all(open.number, [(sample.key, start)]);
        }
        writing.tar = Some(open);
        drop(writing);
        added?;
        if is_forced { file.sync_data().map_err(|e| failure(&e, &path)) } else { Ok(()) }
    }

    /// Returns what is written around a file.
    fn frame(&self, sample: &Sample, name: &str, number: u64, modified: u64, how: &Publishing) -> Frame {
        let path = self.path(number).join(sample.file());
        let origin = how.attach.as_ref().map(|what| recorded(what, how.size, modified));
        let about = how.about.as_deref().cloned().unwrap_or_default();
        let entry = Entry {
            out: name.into(),
            path: path.to_string_lossy().into_owned(),
            size: Some(how.size),
            origin,
            ..about
        };
        Frame::new(sample, how.size, modified, entry.to_json().as_bytes())
    }

    /// Completes the tar that is being written, if there is one.
    fn complete(&self, writing: &mut Writing) -> Result<(), Error> {
        let Some(open) = writing.tar.take() else { return Ok(()) };
        let (path, target) = (self.part(open.number), self.path(open.number));
        if open.count == 0 {
            remove(&path);
            self.index().open = None;
            return Ok(());
        }
        let end = Bytes::from(vec![0; usize::try_from(END).unwrap_or(0)]);
        let complete = || {
            platform::write_all_at(&open.file, open.end, &[end])?;
            open.file.sync_data()?;
            platform::rename_if_free(&path, &target)
        };
        match complete() {
            Ok(()) => {
                self.index().open = None;
                Ok(())
            }
            Err(e) => {
                let _ = open.file.set_len(open.end);
                writing.tar = Some(open);
                Err(failure(&e, &target))
            }
        }
    }

    /// Ends the run. If `is_complete`, no more files follow, and the last tar gets its final name.
    pub(super) fn end(&self, is_complete: bool) -> Result<(), Error> {
        let mut writing = self.writing();
        if is_complete || writing.tar.as_ref().is_some_and(|open| open.count == 0) {
            self.complete(&mut writing)?;
        }
        Ok(())
    }

    /// Returns the file with this name, and the final path of its tar.
    pub(super) fn find(&self, name: &str) -> Result<Option<(PathBuf, Stored)>, Error> {
        for sample in [Sample::of(name), Sample::with_hash(name)] {
            let Some((number, file, start)) = self.locate(&sample)? else { return Ok(None) };
            let path = self.path(number);
            let stored = member::read(&file, start).map_err(|e| failure(&e, &path))?;
            if stored.entry.out == name {
                return Ok(Some((path, stored)));
            }
        }
        Ok(None)
    }

    /// Returns the tar that has this sample, its number, and the offset of the sample.
    fn locate(&self, sample: &Sample) -> Result<Option<(u64, Arc<File>, u64)>, Error> {
        let index = self.index();
        let Some(place) = index.places.get(&self.hasher.hash_one(&sample.key)).copied() else {
            return Ok(None);
        };
        let Some(&number) = index.tars.get(place.tar as usize) else { return Ok(None) };
        let open = index.open.clone().filter(|(open, _)| *open == number);
        drop(index);
        let path = self.path(number);
        let file = match open {
            Some((_, file)) => file,
            None => Arc::new(File::open(&path).map_err(|e| failure(&e, &path))?),
        };
        Ok(Some((number, file, u64::from(place.block) * member::BLOCK)))
    }

    /// Returns the tar that has the file with this name, for reading.
    pub(super) fn file_of(&self, name: &str) -> Result<Option<(Arc<File>, Stored)>, Error> {
        let Some((_, stored)) = self.find(name)? else { return Ok(None) };
        Ok(self.locate(&stored.sample)?.map(|(_, file, _)| (file, stored)))
    }

    /// Returns true if some file has the key of the file with this name. Nothing is read from the disk.
    pub(super) fn may_have(&self, name: &str) -> bool {
        self.has(&Sample::of(name))
    }

    fn has(&self, sample: &Sample) -> bool {
        self.index().places.contains_key(&self.hasher.hash_one(&sample.key))
    }

    fn add_all(&self, number: u64, samples: impl IntoIterator<Item = (String, u64)>) {
        let mut index = self.index();
        if index.tars.last() != Some(&number) {
            index.tars.push(number);
        }
        let tar = u32::try_from(index.tars.len() - 1).unwrap_or(u32::MAX);
        for (key, start) in samples {
            let block = u32::try_from(start / member::BLOCK).unwrap_or(u32::MAX);
            index.places.insert(self.hasher.hash_one(&key), Place { tar, block });
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(self.names.name(number))
    }

    fn part(&self, number: u64) -> PathBuf {
        self.folder.join(self.names.name(number) + PART)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the record by which later runs recognise a file, in hexadecimal.
fn recorded(what: &Attach, size: u64, modified: u64) -> String {
    let modified = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(modified);
    let record = Record::new(what.origin, size, modified, what.now, &what.validator);
    record.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
