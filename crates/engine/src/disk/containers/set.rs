//! Finds the containers of a run and the files in them, and adds new files to the last container.
//!
//! Invariant: a container gets its final name only when it is complete. Before that, it is a file with the
//! ending `.part`, which the run that writes it has locked. If a file cannot be added completely, its bytes
//! are removed again. A run that finds an unfinished container keeps the files before the first file that is
//! damaged or not whole. The list of the files is read from the containers themselves, so no other file can
//! contradict them.

mod existing;

use super::form::{self, Found, New, changed_at};
use super::index::Index;
use super::open::{Content, Open};
use crate::disk::file::{open_and_lock, remove};
use crate::disk::force::force_names;
use crate::disk::{Attach, Publishing, failure, platform};
use downhaul_core::containers::{Bounds, ContainerNames, Form, Numbers, Sample};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::Record;
use downhaul_core::lock_file::Entry;
use downhaul_core::name::PART;
use downhaul_core::settings::Sync;
use existing::existing;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The highest number of attempts to find a free number for a new container. A number can be in use by a
/// file of another program, or by another run with the same numbers.
const NUMBERS_MOST: u32 = 1000;

/// The containers of a run.
pub(super) struct ContainerSet {
    folder: PathBuf,
    names: ContainerNames,
    pub(super) numbers: Numbers,
    bounds: Bounds,
    hasher: RandomState,
    /// The index of the files in the containers. This mutex is held only for a moment.
    index: Mutex<Index>,
    /// The container that is being written. This mutex is held while a file is added, which may take a long
    /// time.
    writing: Mutex<Writing>,
}

#[derive(Default)]
struct Writing {
    container: Option<Open>,
    /// New containers get higher numbers than this one: the highest number that was used or tried, or that
    /// [`ContainerSet::begin_above`] has set.
    last: Option<u64>,
}

impl ContainerSet {
    /// Finds the containers in a folder and the files in them. If earlier runs left containers with these
    /// numbers unfinished, continues the last of these containers, and completes the others.
    pub(super) fn open(
        folder: PathBuf,
        names: ContainerNames,
        numbers: Numbers,
        bounds: Bounds,
    ) -> Result<ContainerSet, Error> {
        let set = ContainerSet {
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
            writing.container = Some(set.continue_one(number)?);
        }
        drop(writing);
        Ok(set)
    }

    /// Completes all containers of a set that earlier runs left unfinished, whichever shards these runs
    /// downloaded. The caller makes sure that no other run writes the set.
    pub(super) fn complete_all(folder: &Path, names: &ContainerNames, bounds: Bounds) -> Result<(), Error> {
        if ContainerSet::unfinished(folder, names)?.is_empty() {
            return Ok(());
        }
        ContainerSet::open(folder.into(), names.clone(), Numbers::ALL, bounds)?.end(true)
    }

    /// Returns true if the container with this number is complete, and also still has the name that ends in
    /// `.part`. A run leaves both names if it is killed while it renames the container on a file system that
    /// needs two steps for that.
    fn has_two_names(&self, number: u64) -> bool {
        let is_same = |file: File| platform::is_at(&file, &file.metadata()?, &self.part(number));
        File::open(self.path(number)).and_then(is_same).unwrap_or(false)
    }

    fn form(&self) -> Form {
        self.names.form()
    }

    /// Adds the files of a complete container to the index.
    fn read_complete(&self, number: u64) -> Result<(), Error> {
        self.index().check_room(&self.folder)?;
        let path = self.path(number);
        let read = || {
            let file = File::open(&path)?;
            let contents = form::scan(self.form(), &file, file.metadata()?.len(), |text| self.hash(text))?;
            let part = self.part(number);
            if contents.is_ended { Ok(contents) } else { Err(form::not_whole(self.form(), &file, &part)) }
        };
        let contents = read().map_err(|e| failure(&e, &path))?;
        self.index().add(number, contents.all);
        Ok(())
    }

    /// Opens a container that is not complete. Removes the first file that is damaged or not whole, and
    /// everything after it. If the container cannot be read, removes nothing, because a later run may be able
    /// to read it.
    fn continue_one(&self, number: u64) -> Result<Open, Error> {
        self.index().check_room(&self.folder)?;
        let (target, path, form) = (self.path(number), self.part(number), self.form());
        if fs::symlink_metadata(&target).is_ok() {
            let why = format!("{} exists too. One of the two files must be removed", path.display());
            return Err(Error::new(ErrorKind::FileExists, target.to_string_lossy(), why));
        }
        let (file, meta) = open_and_lock(&path, &target)?;
        let file = Arc::new(file);
        let continued = || {
            if !form::is_ours(form, &file)? {
                return Err(form::no_container(form));
            }
            let mut contents = form::scan(form, &file, meta.len(), |text| self.hash(text))?;
            // After a power failure, the container may have the right length but wrong bytes.
            let mut intact = 0;
            while intact < contents.all.len() && form::is_intact(form, &file, contents.all[intact].start)? {
                intact += 1;
            }
            if let Some(damaged) = contents.all.get(intact) {
                contents.end = damaged.start;
                contents.all.truncate(intact);
            }
            file.set_len(contents.end)?;
            if contents.end == 0 {
                contents.end = self.begin(number, &file)?;
            }
            Ok(contents)
        };
        let contents = continued().map_err(|e| failure(&e, &path))?;
        let (count, end) = (contents.all.len() as u64, contents.end);
        self.index().add(number, contents.all);
        self.index().open = Some((number, file.clone()));
        Ok(Open::new(number, file, end, count).found())
    }

    /// Writes the first bytes of a container. Returns their number.
    fn begin(&self, number: u64, file: &File) -> io::Result<u64> {
        let first = form::beginning(self.form(), &self.names.name(number))?;
        let length = first.len() as u64;
        platform::write_all_at(file, 0, &[first.into()])?;
        Ok(length)
    }

    /// Creates the next container, with the next number that is free.
    fn create(&self, writing: &mut Writing) -> Result<Open, Error> {
        self.index().check_room(&self.folder)?;
        let mut error =
            Error::new(ErrorKind::NameTaken, self.folder.to_string_lossy(), "all numbers are in use");
        for _ in 0..NUMBERS_MOST {
            let before = writing.last;
            let number = self.numbers.after(before);
            writing.last = Some(number);
            let (target, path) = (self.path(number), self.part(number));
            if fs::symlink_metadata(&target).is_ok() {
                continue;
            }
            match open_and_lock(&path, &target) {
                Ok((file, meta)) if meta.len() == 0 => {
                    let end = self.begin(number, &file).map_err(|e| {
                        // The disk may be full. The next file begins this container again.
                        writing.last = before;
                        remove_empty(&path);
                        failure(&e, &path)
                    })?;
                    let file = Arc::new(file);
                    self.index().open = Some((number, file.clone()));
                    return Ok(Open::new(number, file, end, 0));
                }
                // Another run, or another program, has begun this container.
                Ok(_) => {}
                Err(locked) if locked.kind == ErrorKind::FileLocked => error = locked,
                Err(other) => return Err(other),
            }
        }
        Err(error)
    }

    /// Adds a file with this name. If `is_forced` is true, forces the bytes of the container to the disk
    /// afterwards.
    ///
    /// # Errors
    /// Returns `file.exists` if a container has a file with this name, `name.taken` if the names of its
    /// members are in use, or the error of the system. If no new container can be made, because too many
    /// numbers are in use, returns `file.locked` if other runs have locked some of them, and otherwise
    /// `name.taken`. After an error, the file is in a container only if the error is `file.exists`, or if
    /// forcing it to the disk failed.
    pub(super) fn add(
        &self,
        name: &str,
        content: &Content<'_>,
        how: &Publishing,
        is_forced: bool,
    ) -> Result<(), Error> {
        let mut writing = self.writing();
        if let Some((container, ..)) = self.find(name)? {
            let word = self.form().word();
            let why = format!("it is in this {word}, and files in a {word} are not replaced");
            return Err(Error::new(ErrorKind::FileExists, container.to_string_lossy(), why));
        }
        let new = New { sample: self.free_sample(name)?, content, how };
        // The length of the description is needed to decide whether the file fits into the open container.
        // The description has the number of a container, so the number of the open container is used here.
        // If the file goes into the next container, the length may differ by a few bytes. The limits of a
        // container need not be that exact.
        let number = writing.container.as_ref().map_or(self.numbers.after(writing.last), |open| open.number);
        let more = new.length_most(&self.entry(&new, name, number));
        let more = more.saturating_add(form::ending(self.form()).len() as u64);
        let is_full = |open: &Open| !self.bounds.have_room(open.end, open.count, more);
        if writing.container.as_ref().is_some_and(is_full) {
            self.complete(&mut writing)?;
        }
        let mut open = match writing.container.take() {
            Some(open) => open,
            None => self.create(&mut writing)?,
        };
        let entry = self.entry(&new, name, open.number);
        let (start, file, path) = (open.end, open.file.clone(), self.part(open.number));
        let added = open.append(&path, |file, at| new.write(&entry, file, at));
        if added.is_ok() {
            let key = new.sample.as_ref().map(|sample| [self.hash(&sample.key), self.hash(&sample.file())]);
            self.index().add(open.number, [Found { name: self.hash(name), key, start }]);
        }
        let forces_name = how.sync == Sync::Always;
        open.forces_name |= forces_name;
        writing.container = Some(open);
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

    /// Returns the names of the members of a new file in a tar, or `None` for a WARC. No other file in the
    /// tars has the same key (the part of the names before the first dot).
    fn free_sample(&self, name: &str) -> Result<Option<Sample>, Error> {
        if self.form() != Form::Tar {
            return Ok(None);
        }
        let hashed = Sample::with_hash(name, self.numbers);
        let plain = Some(Sample::of(name)).filter(|_| self.numbers == Numbers::ALL);
        let index = self.index();
        let is_free = |sample: &Sample| !index.has_key(self.hash(&sample.key));
        let taken = || Error::new(ErrorKind::NameTaken, name, "the file's names in a tar are in use");
        plain.into_iter().chain([hashed]).find(is_free).map(Some).ok_or_else(taken)
    }

    /// Returns the description of a file in the container with this number.
    fn entry(&self, new: &New<'_>, name: &str, number: u64) -> Entry {
        let member = new.sample.as_ref().map_or_else(|| name.into(), Sample::file);
        let path = self.path(number).join(member);
        let about = new.how.about.as_deref().cloned().unwrap_or_default();
        let changed = changed_at(new.modified(), &about);
        let record = new.how.attach.as_ref().map(|what| recorded(what, new.how.size, changed));
        Entry {
            out: name.into(),
            path: path.to_string_lossy().into_owned(),
            size: Some(new.how.size),
            record,
            ..about
        }
    }

    /// Completes the container that is being written, if there is one. A container without files does not get
    /// its final name. It is removed, unless an earlier run left it. Such a container may have lost its files
    /// by damage, and an archive (`--archive`) may still name them ([`ContainerSet::has_lost`]).
    fn complete(&self, writing: &mut Writing) -> Result<(), Error> {
        let Some(open) = writing.container.take() else { return Ok(()) };
        let (path, target) = (self.part(open.number), self.path(open.number));
        if open.count == 0 {
            if !open.was_found {
                remove(&path);
            }
            self.index().open = None;
            return Ok(());
        }
        let end = form::ending(self.form());
        let complete = || {
            // A file that could not be added may have left bytes after the last complete file.
            open.file.set_len(open.end)?;
            platform::write_all_at(&open.file, open.end, &[end.into()])?;
            open.file.sync_data()?;
            platform::rename_if_free(&path, &target)
        };
        if let Err(e) = complete() {
            let _ = open.file.set_len(open.end);
            writing.container = Some(open);
            return Err(failure(&e, &target));
        }
        // The container has its final name now, so nothing changes it any more.
        self.index().open = None;
        if open.forces_name {
            platform::sync_folder(&target).map_err(|e| failure(&e, &target))?;
        }
        Ok(())
    }

    /// Ends the run. If `is_complete` is true, no more files follow, and the last container gets its final
    /// name. A container of this run that has no files is removed.
    pub(super) fn end(&self, is_complete: bool) -> Result<(), Error> {
        let mut writing = self.writing();
        if is_complete || writing.container.as_ref().is_some_and(|open| open.count == 0) {
            self.complete(&mut writing)?;
        }
        Ok(())
    }

    /// Returns true if all containers of the set are complete.
    pub(super) fn is_complete(&self) -> bool {
        ContainerSet::are_complete(&self.folder, &self.names)
    }

    /// Returns true if all containers with these names are complete. Returns false if this is not known,
    /// because the folder cannot be read.
    pub(super) fn are_complete(folder: &Path, names: &ContainerNames) -> bool {
        ContainerSet::unfinished(folder, names).is_ok_and(|unfinished| unfinished.is_empty())
    }

    /// Returns the numbers of the containers that are not complete.
    pub(super) fn unfinished(folder: &Path, names: &ContainerNames) -> Result<Vec<u64>, Error> {
        Ok(existing(folder, names)?.1)
    }

    /// Forces the files that were added so far, and the names of their containers, to the disk.
    pub(super) fn force(&self) -> Result<(), Error> {
        let open = self.index().open.clone();
        // All other containers were forced to the disk when they became complete.
        if let Some((number, file)) = open {
            file.sync_data().map_err(|e| failure(&e, &self.part(number)))?;
        }
        force_names(&self.folder)
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

/// Returns the record by which later runs recognise a file, in hexadecimal.
fn recorded(what: &Attach, size: u64, modified: SystemTime) -> String {
    let record = Record::new(what.origin, size, modified, what.now, &what.validator);
    record.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Removes a container that could not be begun. Its lock is still held.
#[expect(clippy::disallowed_methods, reason = "a container that was made in vain is removed")]
fn remove_empty(path: &Path) {
    // If this fails, the empty container stays, and a later run uses it.
    let _ = fs::remove_file(path);
}
