//! Implements a disk that keeps each finished file in a container: as members of a tar (`--to-tar`), or as
//! records of a WARC (`--to-warc`).
//!
//! A small file is added to a container as soon as all its bytes have arrived. Any other file is first an
//! ordinary partial file with a journal, in a folder beside the containers. So the file is resumed and
//! verified as usual. The complete file is copied to the end of a container, and the partial file is removed.
//!
//! Invariant: the partial file of a finished file is removed only after a container has all its bytes.

mod form;
mod index;
mod lock;
mod open;
mod paths;
mod set;
mod tar;
#[cfg(test)]
mod tests;
mod warc;
mod window;

use super::file::{self, Files};
use super::{Beginning, Disk, Found, Generation, Opening, Part, Publishing, Standing, failure, platform};
use bytes::Bytes;
use downhaul_core::containers::{Bounds, ContainerNames, Form, Numbers};
use downhaul_core::digest::Digest;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::{ExistingFile, Identity, Record};
use downhaul_core::name::{PART, SideFiles, side_files, tagged_side_files};
use downhaul_core::settings::Sync;
use lock::SetLock;
use open::Content;
use set::ContainerSet;
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Returns the name of a folder beside the containers. This folder has the locks and the partial files of the
/// runs that write these containers.
fn state_folder(form: Form) -> &'static str {
    match form {
        Form::Tar => ".downhaul-tars",
        Form::Warc => ".downhaul-warcs",
    }
}

/// The length of the tag in the name of a partial file ([`Identity::tag`]).
const TAG: usize = 8;

/// The options for the containers of a run.
#[derive(Debug, Clone)]
pub struct ContainerOptions {
    /// The output folder. The pattern and the names of files are relative to it.
    pub output: PathBuf,
    /// The names of the containers.
    pub names: ContainerNames,
    /// The numbers of the containers that this run may write.
    pub numbers: Numbers,
    /// The bounds of each container.
    pub bounds: Bounds,
    /// True if the run waits while another run writes the containers.
    pub waits: bool,
}

/// The containers of a run, as a disk for its session.
pub struct Containers {
    set: Arc<ContainerSet>,
    output: PathBuf,
    form: Form,
    /// The names of the containers, and their folder.
    names: ContainerNames,
    folder: PathBuf,
    /// The folder for the locks and the partial files.
    state: PathBuf,
    /// The partial files, and their journals, that existed when this run began.
    left: HashSet<PathBuf>,
    lock: SetLock,
}

impl Containers {
    /// Finds the containers of earlier runs. If these runs had another number of shards, or if that number is
    /// not known, completes all unfinished containers. Otherwise, of the unfinished containers with numbers
    /// of this run, completes all except the last one, which this run continues. Blocks the thread.
    ///
    /// # Errors
    /// Returns `file.locked` if another run writes these containers and [`ContainerOptions::waits`] is false,
    /// `disk.failed` if a complete container was cut or changed, or if another program wrote a container,
    /// `file.exists` if a complete and an unfinished container have the same number, `name.taken` if there
    /// are too many containers, and otherwise the error of the system.
    pub fn open(options: ContainerOptions) -> Result<Containers, Error> {
        let ContainerOptions { output, names, numbers, bounds, waits } = options;
        let folder = output.join(names.folder());
        let state = folder.join(state_folder(names.form())).join(names.name_for_state());
        let lock = SetLock::take(&state, numbers, &folder.join(names.to_string()), waits, || {
            ContainerSet::complete_all(&folder, &names, bounds)
        })?;
        let form = names.form();
        let set = ContainerSet::open(folder.clone(), names.clone(), numbers, bounds)
            .inspect_err(|_| lock.end(|| is_tidy(&state) && ContainerSet::are_complete(&folder, &names)))?;
        let set = Arc::new(set);
        let left = files_below(&parts(&state));
        Ok(Containers { set, output, form, names, folder, state, left, lock })
    }

    /// Returns the form of the containers.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Ends the containers at the end of the run. If `no_more_files` is true, the last container gets its
    /// final name. Otherwise the next run continues it. A container without files is removed, unless an
    /// earlier run left it. Blocks the thread.
    ///
    /// # Errors
    /// Returns the error of the system. After an error, the last container has no final name, unless only
    /// forcing that name to the disk has failed.
    pub fn end(&self, no_more_files: bool) -> Result<(), Error> {
        self.set.end(no_more_files)?;
        self.lock.end(|| is_tidy(&self.state) && self.set.is_complete());
        Ok(())
    }

    /// Returns the numbers of the containers with these names that are not complete. `output` is the output
    /// folder.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub fn unfinished(output: &Path, names: &ContainerNames) -> Result<Vec<u64>, Error> {
        ContainerSet::unfinished(&output.join(names.folder()), names)
    }

    /// Forces the files that were added so far, and the names of their containers, to the disk. Call this
    /// before you store elsewhere that these files are complete. Blocks the thread.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub fn force(&self) -> Result<(), Error> {
        self.set.force()
    }

    /// Returns the name of a file below the output folder, with `/` between its folders.
    fn name(&self, target: &Path) -> Result<String, Error> {
        let below = target.strip_prefix(&self.output).map_err(|_| {
            let why = "the file is outside of the output folder, so it has no name in a container";
            Error::new(ErrorKind::NameTaken, target.to_string_lossy(), why)
        })?;
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        Ok(parts.join("/"))
    }

    /// Returns the path of a file in the folder for partial files. Until the file is in a container, its
    /// partial file is beside this path.
    fn staged(&self, target: &Path) -> PathBuf {
        parts(&self.state).join(target.strip_prefix(&self.output).unwrap_or(target))
    }
}

/// Returns true if there are no partial files. Removes empty folders that were for partial files.
fn is_tidy(state: &Path) -> bool {
    remove_empty(&parts(state));
    !parts(state).exists()
}

/// Returns the folder for partial files.
fn parts(state: &Path) -> PathBuf {
    state.join("parts")
}

/// Returns the paths of all files below a folder. Folders that cannot be read are left out.
fn files_below(folder: &Path) -> HashSet<PathBuf> {
    let mut found = HashSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&entry.path())),
            _ => {
                found.insert(entry.path());
            }
        }
    }
    found
}

/// Removes a folder and the folders below it, as far as they are empty.
fn remove_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

impl Disk for Containers {
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error> {
        let Some((_, stored, _)) = self.set.find(&self.name(path)?)? else { return Ok(None) };
        let record =
            stored.entry.record.as_deref().and_then(bytes_of).and_then(|bytes| Record::from_bytes(&bytes));
        let (size, modified) = (stored.size, Some(stored.changed));
        let file = ExistingFile { size, modified, record, further: Vec::new() };
        Ok(Some(Standing { instead: None, file }))
    }

    fn has_left(&self, target: &Path, identity: &Identity) -> bool {
        Files.has_left(&self.staged(target), identity)
    }

    fn is_anothers(&self, target: &Path, identity: &Identity) -> bool {
        Files.is_anothers(&self.staged(target), identity)
    }

    fn is_free(&self, path: &Path, identity: &Identity) -> Option<bool> {
        let Ok(name) = self.name(path) else { return Some(false) };
        let staged = self.staged(path);
        let sides = || [side_files(&staged), tagged_side_files(&staged, &identity.tag())];
        let is_left = !self.left.is_empty()
            && sides().iter().any(|side| side.all().iter().any(|one| self.left.contains(*one)));
        Some(!is_left && !self.set.has(&name))
    }

    fn location(&self, path: &Path) -> PathBuf {
        let found = self.name(path).and_then(|name| self.set.find(&name)).ok().flatten();
        found.map_or_else(|| path.to_path_buf(), |(container, stored, _)| container.join(stored.name))
    }

    fn stores_entries(&self) -> bool {
        true
    }

    fn names(&self, _folder: &Path, _most: usize) -> Option<Vec<String>> {
        None
    }

    fn open_part(&self, target: &Path, how: Opening<'_>) -> Result<(Box<dyn Part>, Option<Found>), Error> {
        let name = self.name(target)?;
        let (part, found) = Files.open_part(&self.staged(target), how)?;
        let has_journal = AtomicBool::new(matches!(found, Some(Found::Journal(_))));
        let part = ContainedPart { part: Arc::from(part), set: self.set.clone(), name, has_journal };
        Ok((Box::new(part), found))
    }

    fn save(&self, target: &Path, _identity: &Identity, data: &[Bytes], how: &Publishing) -> bool {
        let add = |name: String| self.set.add(&name, &Content::Buffers(data), how, how.sync == Sync::Always);
        self.name(target).and_then(add).is_ok()
    }

    /// Removes the partial files of a file that is in a container. Partial files are left over if a run was
    /// killed after the file was added and before its partial files were removed.
    fn tidy(&self, target: &Path, _identity: &Identity) {
        let staged = self.staged(target);
        self.left.iter().filter(|path| is_side_file(path, &staged)).for_each(|path| file::remove(path));
    }

    fn free_space(&self, _target: &Path) -> Option<u64> {
        platform::free_space(&self.state)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read>, Error> {
        let missing =
            || Error::new(ErrorKind::DiskFailed, path.to_string_lossy(), "the file is in no container");
        let (_, stored, file) = self.set.find(&self.name(path)?)?.ok_or_else(missing)?;
        form::open(self.form, file, &stored).map_err(|e| failure(&e, path))
    }
}

/// Returns true if `path` leads to a partial file for `staged` ([`Containers::staged`]), or to the journal of
/// one. Their names may have the tag of any job.
fn is_side_file(path: &Path, staged: &Path) -> bool {
    // Most paths are refused here, at little cost. The names of side files begin with the name of the file,
    // or with at least its first 64 bytes if it is long.
    let [name, of_file] = [path, staged].map(|path| path.file_name().unwrap_or_default().as_encoded_bytes());
    if !name.starts_with(&of_file[..of_file.len().min(64)]) {
        return false;
    }
    let is_among = |sides: SideFiles| sides.all().contains(&path);
    path.parent() == staged.parent()
        && (is_among(side_files(staged))
            || tag_of(path).is_some_and(|tag| is_among(tagged_side_files(staged, tag))))
}

/// Returns the tag in the name of a partial file or of its journal, if the name seems to have one.
fn tag_of(path: &Path) -> Option<&str> {
    let (before, _) = path.file_name()?.to_str()?.rsplit_once(PART)?;
    let (_, tag) = before.rsplit_once('.')?;
    (tag.len() == TAG && tag.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(tag)
}

/// Returns the bytes of a text of hexadecimal digits, two digits for each byte. Returns `None` if the text
/// has other characters.
fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The partial file of a file that will be in a container.
struct ContainedPart {
    part: Arc<dyn Part>,
    set: Arc<ContainerSet>,
    /// The name of the file.
    name: String,
    has_journal: AtomicBool,
}

impl Part for ContainedPart {
    fn begin(&self, beginning: Beginning<'_>) -> Result<Generation, Error> {
        self.has_journal.store(beginning.journal.is_some(), Ordering::Relaxed);
        self.part.begin(beginning)
    }

    fn write_at(
        &self,
        generation: Generation,
        offset: u64,
        data: &[Bytes],
        end: &AtomicU64,
    ) -> Result<bool, Error> {
        self.part.write_at(generation, offset, data, end)
    }

    fn append_to_journal(&self, generation: Generation, entries: &[u8]) -> Result<(), Error> {
        self.part.append_to_journal(generation, entries)
    }

    fn void(&self, generation: Generation, range: Range<u64>) -> Result<bool, Error> {
        self.part.void(generation, range)
    }

    fn rewrite_journal(&self, journal: &[u8]) -> Result<(), Error> {
        self.has_journal.store(true, Ordering::Relaxed);
        self.part.rewrite_journal(journal)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        self.part.read_at(offset, buffer)
    }

    fn occupied(&self) -> u64 {
        self.part.occupied()
    }

    fn device(&self) -> u64 {
        self.part.device()
    }

    fn digests(&self) -> Vec<Digest> {
        self.part.digests()
    }

    /// Copies the file to the end of a container, and removes the partial file. Before the partial file is
    /// removed, the container is forced to the disk if [`Publishing::sync`] is `Always`, or if it is `Auto`
    /// and the partial file has a journal.
    fn publish(&self, _target: &Path, how: Publishing) -> Result<(), Error> {
        let has_journal = self.has_journal.load(Ordering::Relaxed);
        let is_forced = how.sync == Sync::Always || (how.sync == Sync::Auto && has_journal);
        self.set.add(&self.name, &Content::Part(&self.part), &how, is_forced)?;
        self.part.discard();
        Ok(())
    }

    fn discard(&self) {
        self.part.discard();
    }
}
