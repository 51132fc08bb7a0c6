//! Finds the containers in a folder, and files in the containers of a run.

use super::{ContainerSet, PART};
use crate::disk::containers::form::{self, Stored};
use crate::disk::failure;
use downhaul_core::containers::{ContainerNames, Form, Sample};
use downhaul_core::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl ContainerSet {
    /// Finds the file with this name. Returns the final path of its container, the file, and the opened
    /// container. Returns `None` if no container has such a file.
    pub(in super::super) fn find(&self, name: &str) -> Result<Option<(PathBuf, Stored, Arc<File>)>, Error> {
        let Some(place) = self.index().place(self.hash(name)) else { return Ok(None) };
        let found = self.read_at(place)?;
        Ok(Some(found).filter(|(_, stored, _)| stored.entry.out == name))
    }

    /// Reads the file at a place of the index.
    fn read_at(&self, (number, start): (u64, u64)) -> Result<(PathBuf, Stored, Arc<File>), Error> {
        let open = self.index().open.clone().filter(|(open, _)| *open == number);
        let path = self.path(number);
        let read = || {
            let file = open.map_or_else(|| File::open(&path).map(Arc::new), |(_, file)| Ok(file))?;
            let stored = form::read(self.form(), &file, start)?;
            Ok((stored, file))
        };
        let (stored, file) = read().map_err(|e| failure(&e, &path))?;
        Ok((path, stored, file))
    }

    /// Returns true if a file has this name, or, by chance, a name with the same hash. Nothing is read from
    /// the disk.
    pub(in super::super) fn has(&self, name: &str) -> bool {
        self.index().has(self.hash(name))
    }

    /// Returns true if the container with this number exists, but no container has the file that had the name
    /// `inside` in that container. A damaged container may have lost it.
    pub(in super::super) fn has_lost(&self, number: u64, inside: &str) -> bool {
        self.place_inside(inside).is_none() && self.index().has_container(number)
    }

    /// Makes new containers get higher numbers than this one.
    pub(in super::super) fn begin_above(&self, number: u64) {
        let mut writing = self.writing();
        writing.last = writing.last.max(Some(number));
    }

    /// Returns the name of the file that has the name `inside` in its container. Returns `None` if no tar has
    /// the member, or if its tar cannot be read. In a WARC, the two names are equal, and it is not checked
    /// that the file exists.
    pub(in super::super) fn name_of(&self, inside: &str) -> Option<String> {
        match self.form() {
            Form::Warc => Some(inside.into()),
            Form::Tar => {
                let (_, stored, _) = self.read_at(self.place_inside(inside)?).ok()?;
                Some(stored.entry.out).filter(|_| stored.name == inside)
            }
        }
    }

    /// Returns the place of the file that has the name `inside` in its container.
    fn place_inside(&self, inside: &str) -> Option<(u64, u64)> {
        let index = self.index();
        match self.form() {
            Form::Warc => index.place(self.hash(inside)),
            Form::Tar => {
                let sample = Sample::of_member(inside)?;
                index.place_of_member(self.hash(&sample.key), self.hash(inside))
            }
        }
    }
}

/// Returns two sorted lists of the numbers of the containers in a folder: first those with their final
/// names, and then those that are unfinished.
pub(super) fn existing(folder: &Path, names: &ContainerNames) -> Result<(Vec<u64>, Vec<u64>), Error> {
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
