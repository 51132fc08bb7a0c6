//! The tars of a run: which files are in them, and which tar is being written.
//!
//! Invariant: a tar gets its final name only when it is complete. Before that, it is a locked file with the
//! ending `.part`, which has whole samples only: if a sample cannot be written completely, its bytes are
//! removed again. A run that finds such a file keeps the samples whose bytes have their digests, up to the
//! first that has not. What is in the tars is read from the tars themselves, so no other file can disagree
//! with them.

use super::member::{self, Found, Frame, Stored};
use super::open::{Content, Open};
use crate::disk::file::{open_and_lock, remove};
use crate::disk::{Attach, Publishing, failure, platform};
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::{Record, seconds};
use downhaul_core::lock_file::Entry;
use downhaul_core::name::PART;
use downhaul_core::settings::Sync;
use downhaul_core::tars::{Bounds, END, Numbers, Sample, TarNames};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
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

/// The files in the tars. This lock is held only for a moment. For each file, it takes about 40 bytes of
/// memory.
#[derive(Default)]
struct Index {
    /// The place of each file, by the hash of its name.
    places: HashMap<u64, Place>,
    /// The hashes of the keys of all files.
    keys: HashSet<u64>,
    /// The numbers of the tars that are used in `places`.
    tars: Vec<u64>,
    /// The tar that is being written.
    open: Option<(u64, Arc<File>)>,
}

/// The place of a file.
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
        let (complete, unfinished) = existing(&set.folder, &set.names)?;
        let mut writing = set.writing();
        writing.last = complete.iter().chain(&unfinished).copied().filter(|one| numbers.has(*one)).max();
        complete.iter().try_for_each(|number| set.read_complete(*number))?;
        for number in unfinished.into_iter().filter(|number| numbers.has(*number)) {
            if set.has_two_names(number) {
                remove(&set.part(number));
                continue;
            }
            set.complete(&mut writing)?;
            writing.tar = Some(set.continue_tar(number)?);
        }
        drop(writing);
        Ok(set)
    }

    /// Completes the tars that earlier runs left unfinished, with any shards. No other run may write the set.
    pub(super) fn complete_all(folder: &Path, names: &TarNames, bounds: Bounds) -> Result<(), Error> {
        if existing(folder, names)?.1.is_empty() {
            return Ok(());
        }
        TarSet::open(folder.into(), names.clone(), Numbers::ALL, bounds)?.end(true)
    }

    /// Returns true if the tar with this number is complete, and still has the name of an unfinished one too.
    /// A run leaves both names if it is killed while it renames the tar on a file system that needs two steps
    /// for that.
    fn has_two_names(&self, number: u64) -> bool {
        let is_same = |file: File| platform::is_at(&file, &file.metadata()?, &self.part(number));
        File::open(self.path(number)).and_then(is_same).unwrap_or(false)
    }

    /// Reads which files a complete tar has.
    fn read_complete(&self, number: u64) -> Result<(), Error> {
        let path = self.path(number);
        let read = || {
            let file = File::open(&path)?;
            let samples = member::scan(&file, file.metadata()?.len(), |text| self.hash(text))?;
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
            if !member::is_ours(&file)? {
                return Err(member::no_sample());
            }
            let mut samples = member::scan(&file, meta.len(), |text| self.hash(text))?;
            for place in 0..samples.all.len() {
                let start = samples.all[place].start;
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
    /// the file is in a tar, except if only forcing it to the disk has failed.
    pub(super) fn add(
        &self,
        name: &str,
        content: &Content<'_>,
        how: &Publishing,
        is_forced: bool,
    ) -> Result<(), Error> {
        let mut writing = self.writing();
        if let Some((tar, ..)) = self.find(name)? {
            let why = "it is in this tar, and members are not replaced";
            return Err(Error::new(ErrorKind::FileExists, tar.to_string_lossy(), why));
        }
        let sample = self.free_sample(name)?;
        // The description names the tar, whose number depends on the length of the description. The path is
        // as long with the next number, except where the digits overflow, and a few bytes do not matter
        // there.
        let number = writing.tar.as_ref().map_or(self.numbers.after(writing.last), |open| open.number);
        let more = self.frame(&sample, name, number, how).length(how.size);
        let is_full = |open: &Open| !self.bounds.have_room(open.end, open.count, more);
        if writing.tar.as_ref().is_some_and(is_full) {
            self.complete(&mut writing)?;
        }
        let mut open = match writing.tar.take() {
            Some(open) => open,
            None => self.create(&mut writing)?,
        };
        let frame = self.frame(&sample, name, open.number, how);
        let (start, file, path) = (open.end, open.file.clone(), self.part(open.number));
        let added = open.append(&frame, content, how.size, &path);
        if added.is_ok() {
            self.add_all(open.number, [Found { name: self.hash(name), key: self.hash(&sample.key), start }]);
        }
        let forces_name = how.sync == Sync::Always;
        open.forces_name |= forces_name;
        writing.tar = Some(open);
        drop(writing);
        added?;
        let force = || {
            if is_forced {
                file.sync_data()?;
            }
            if forces_name { platform::sync_folder(&path) } else { Ok(()) }
        };
        force().map_err(|e| failure(&e, &path))
    }

    /// Returns the members of a new file of this name. No other file has their key.
    fn free_sample(&self, name: &str) -> Result<Sample, Error> {
        let hashed = Sample::with_hash(name, self.numbers);
        let plain = Some(Sample::of(name)).filter(|_| self.numbers == Numbers::ALL);
        let index = self.index();
        let is_free = |sample: &Sample| !index.keys.contains(&self.hash(&sample.key));
        let taken = || Error::new(ErrorKind::NameTaken, name, "other files have its names in the tars");
        plain.into_iter().chain([hashed]).find(is_free).ok_or_else(taken)
    }

    /// Returns what is written around a file.
    fn frame(&self, sample: &Sample, name: &str, number: u64, how: &Publishing) -> Frame {
        let path = self.path(number).join(sample.file());
        let modified = seconds(how.modified.unwrap_or(SystemTime::UNIX_EPOCH));
        let about = how.about.as_deref().cloned().unwrap_or_default();
        let record =
            how.attach.as_ref().map(|what| recorded(what, how.size, member::changed_at(modified, &about)));
        let entry = Entry {
            out: name.into(),
            path: path.to_string_lossy().into_owned(),
            size: Some(how.size),
            record,
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
            platform::rename_if_free(&path, &target)?;
            if open.forces_name { platform::sync_folder(&target) } else { Ok(()) }
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

    /// Returns true if no tar of the set is unfinished.
    pub(super) fn is_complete(&self) -> bool {
        existing(&self.folder, &self.names).is_ok_and(|(_, unfinished)| unfinished.is_empty())
    }

    /// Returns the file with this name, the final path of its tar, and that tar for reading.
    pub(super) fn find(&self, name: &str) -> Result<Option<(PathBuf, Stored, Arc<File>)>, Error> {
        let index = self.index();
        let place = index.places.get(&self.hash(name)).copied();
        let number = place.and_then(|place| index.tars.get(place.tar as usize)).copied();
        let (Some(place), Some(number)) = (place, number) else { return Ok(None) };
        let open = index.open.clone().filter(|(open, _)| *open == number);
        drop(index);
        let path = self.path(number);
        let read = || {
            let file = open.map_or_else(|| File::open(&path).map(Arc::new), |(_, file)| Ok(file))?;
            let stored = member::read(&file, u64::from(place.block) * member::BLOCK)?;
            Ok((stored, file))
        };
        let (stored, file) = read().map_err(|e| failure(&e, &path))?;
        Ok(Some((path, stored, file)).filter(|(_, stored, _)| stored.entry.out == name))
    }

    /// Returns true if a file has this name. Nothing is read from the disk.
    pub(super) fn has(&self, name: &str) -> bool {
        self.index().places.contains_key(&self.hash(name))
    }

    fn add_all(&self, number: u64, files: impl IntoIterator<Item = Found>) {
        let mut index = self.index();
        if index.tars.last() != Some(&number) {
            index.tars.push(number);
        }
        let tar = u32::try_from(index.tars.len() - 1).unwrap_or(u32::MAX);
        for Found { name, key, start } in files {
            let block = u32::try_from(start / member::BLOCK).unwrap_or(u32::MAX);
            index.places.insert(name, Place { tar, block });
            index.keys.insert(key);
        }
    }

    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
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

/// Returns the sorted numbers of the tars in a folder that are complete, and of those that are not.
fn existing(folder: &Path, names: &TarNames) -> Result<(Vec<u64>, Vec<u64>), Error> {
    let (mut complete, mut unfinished) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((complete, unfinished)),
        Err(e) => return Err(failure(&e, folder)),
    };
    for entry in entries {
        let name = entry.map_err(|e| failure(&e, folder))?.file_name();
        let name = name.to_string_lossy();
        complete.extend(names.number_of(&name));
        unfinished.extend(name.strip_suffix(PART).and_then(|name| names.number_of(name)));
    }
    complete.sort_unstable();
    unfinished.sort_unstable();
    Ok((complete, unfinished))
}

/// Returns the record by which later runs recognise a file, in hexadecimal.
fn recorded(what: &Attach, size: u64, modified: SystemTime) -> String {
    let record = Record::new(what.origin, size, modified, what.now, &what.validator);
    record.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
