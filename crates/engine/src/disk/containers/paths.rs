//! Finds containers and the files in them by their paths. Events of earlier runs stated these paths.

use super::Containers;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

impl Containers {
    /// Makes new containers get higher numbers than all containers of this shard into which these paths lead.
    /// The paths are those that events of earlier runs stated. Without this call, a new container could get
    /// the number of a container that was moved away. The new container would then seem to have lost the
    /// files of the container that was moved away ([`Containers::have_lost`]).
    ///
    /// # Errors
    /// Returns the first error among `paths`.
    pub fn begin_above<E>(&self, paths: impl Iterator<Item = Result<String, E>>) -> Result<(), E> {
        let mut highest: HashMap<PathBuf, u64> = HashMap::new();
        for path in paths {
            let path = path?;
            for (folder, number, _) in self.places_of(Path::new(&path)) {
                // A container of this run never gets a number that belongs to another shard.
                if self.set.numbers.has(number) {
                    let known = highest.entry(folder.to_path_buf()).or_default();
                    *known = number.max(*known);
                }
            }
        }
        // The real folders are compared last, and once for each folder, because this can be slow.
        highest.retain(|folder, _| is_same(folder, &self.folder));
        if let Some(number) = highest.into_values().max() {
            self.set.begin_above(number);
        }
        Ok(())
    }

    /// Returns true if a container of this set should have a file, and no container has it. `path` is a path
    /// that an event of an earlier run stated. If the container itself is gone, it was moved away, and the
    /// result is false.
    pub fn have_lost(&self, path: &Path) -> bool {
        self.places_of(path).any(|(folder, number, inside)| {
            // The real folders are compared last, because this can be slow.
            self.set.has_lost(number, &inside) && is_same(folder, &self.folder)
        })
    }

    /// Returns the name, below the output folder, of a file in these containers. `path` is a path that an
    /// event stated. For a tar, it ends with the name of the member. Returns `None` if the path does not lead
    /// into a container of this set, if no tar has the member, or if the tar cannot be read. For a WARC, the
    /// name is that in the path, and it is not checked that a WARC has the file.
    pub fn name_of(&self, path: &Path) -> Option<String> {
        self.places_of(path).find_map(|(folder, _, inside)| {
            let name = self.set.name_of(&inside)?;
            is_same(folder, &self.folder).then_some(name)
        })
    }

    /// Returns how a path may lead into a container with a name of this set: the folder of the container, its
    /// number, and the name of the file in it.
    fn places_of<'p>(&'p self, path: &'p Path) -> impl Iterator<Item = (&'p Path, u64, String)> {
        path.ancestors().skip(1).filter_map(move |container| {
            let number = self.names.number_of(container.file_name()?.to_str()?)?;
            let inside: Vec<_> =
                path.strip_prefix(container).ok()?.iter().map(|part| part.to_string_lossy()).collect();
            Some((container.parent()?, number, inside.join("/")))
        })
    }
}

/// Returns true if two paths lead to the same folder.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| match path.as_os_str().is_empty() {
        true => fs::canonicalize("."),
        false => fs::canonicalize(path),
    };
    one == other || matches!((real(one), real(other)), (Ok(one), Ok(other)) if one == other)
}
