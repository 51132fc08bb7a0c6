//! Chooses the path of a file, opens its partial file and starts it, all in one task on a thread that may
//! block.
//!
//! Invariant: this module writes no bytes of a file, except for the whole body of a small file
//! ([`write_whole`]).

use super::Report;
use super::beginning::{begin_part, what_is_left, write_whole};
use super::closing::{ClosingParts, open_part};
use crate::disk::file::ReadOnlyPart;
use crate::disk::in_order::InOrder;
use crate::disk::{Disk, Found, Generation, Opening, Part, Standing};
use crate::duplicates::Duplicates;
use crate::known::Known;
use crate::place::{Places, Wanted};
use crate::space::Space;
use bytes::Bytes;
use downhaul_core::content::Look;
use downhaul_core::dedup::Demands;
use downhaul_core::digest::{self, Algorithm};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use downhaul_core::identity::Identity;
use downhaul_core::job::{Destination, IfExists, Job};
use downhaul_core::plan::{Begin, Leftover, Place, WorkerId};
use downhaul_core::remote::Remote;
use downhaul_core::settings::{Attributes, Resume, Settings, Verify};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// The path that was chosen for a file, and its partial file.
pub(super) struct Placement {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    /// The partial file. It is `None` if the file is not downloaded, or if only the server can say if the
    /// existing file is the wanted one.
    pub(super) part: Option<Arc<dyn Part>>,
    /// A note for the user that the name was changed.
    pub(super) renamed: Option<String>,
    /// The bytes that an earlier run left in the partial file.
    pub(super) left: Option<Leftover>,
    pub(super) generation: Generation,
    /// True if the partial file has a journal.
    pub(super) journaled: bool,
    pub(super) written: Option<Written>,
    /// True if this is a preview, and a file of this name would be replaced.
    pub(super) replaces: bool,
}

/// Data about a small file whose bytes were all written when its partial file was started. The data is valid
/// only for one worker and one generation of the partial file.
pub(super) struct Written {
    pub(super) worker: WorkerId,
    pub(super) bytes: u64,
    /// True if none of the bytes had been written before.
    pub(super) fresh: bool,
    /// The kind of the content. It is `None` if the content is not checked.
    pub(super) look: Option<Look>,
    pub(super) took: Duration,
}

/// The task, with everything that it needs.
pub(super) struct PlacementTask {
    pub(super) job: JobId,
    pub(super) spec: Arc<Job>,
    pub(super) identity: Identity,
    pub(super) demands: Demands,
    pub(super) algorithms: Vec<Algorithm>,
    /// The size of the file in bytes, if the plan knows it.
    pub(super) size: Option<u64>,
    /// The size in bytes that the server or the list states, if there is one.
    pub(super) stated: Option<u64>,
    /// The path, if it was chosen before.
    pub(super) chosen: Option<PathBuf>,
    /// The response to the request of this attempt, if there was one.
    pub(super) remote: Option<Remote>,
    /// How the partial file starts. It is `None` if the plan does not know yet what is at the path: there may
    /// be a partial file of an earlier run, or another run was working on the file.
    pub(super) begin: Option<Begin>,
    /// The whole body of a small file, and the worker that received it.
    pub(super) whole: Option<(WorkerId, Vec<Bytes>)>,
    pub(super) is_preview: bool,
    /// The highest number of waits for a partial file that another run has locked.
    pub(super) lock_waits: u32,
    pub(super) settings: Arc<Settings>,
    pub(super) places: Arc<Places>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) duplicates: Arc<Duplicates>,
    pub(super) space: Arc<Space>,
    pub(super) closing: Arc<ClosingParts>,
    pub(super) reports: UnboundedSender<(JobId, Report)>,
}

/// A chosen path whose partial file was opened.
struct Opened {
    path: PathBuf,
    place: Place,
    /// The partial file, as in [`Placement::part`].
    part: Option<Arc<dyn Part>>,
    /// What an earlier run left.
    found: Option<Found>,
    /// The size in bytes of the unfinished file that is continued under the final name, or 0.
    unfinished: u64,
    /// True if a look at the path found nothing before the partial file was opened. False without a look.
    was_free: bool,
}

impl PlacementTask {
    /// Returns true if the task takes no longer than a few calls of the system.
    pub(super) fn is_quick(&self) -> bool {
        // An existing file may be read to compute its digests or those of its chunks, and a partial file may
        // be examined. Both may take a long time.
        let may_compare = match self.if_exists() {
            _ if self.resume() == Resume::Adopt => true,
            IfExists::Update | IfExists::Check => true,
            IfExists::Skip => self.settings.verify == Verify::Require,
            _ => false,
        };
        let compares = may_compare && self.remote.as_ref().is_some_and(|remote| !remote.digests.is_empty());
        let is_given = !self.spec.expected.is_empty() || self.spec.chunks.is_some();
        let reads = self.chosen.is_none() && (is_given || compares);
        // Opening a pipe may wait for its reader.
        let waits = matches!(self.spec.destination, Destination::Stream(_));
        self.is_small() && !reads && !waits && self.closing.is_empty()
    }

    /// Does the work of the task.
    ///
    /// # Errors
    /// Returns why the path cannot be used, or the error of the disk.
    pub(super) fn place(mut self, known: &Known) -> Result<Placement, Error> {
        let Opened { path, place, part, found, unfinished, .. } = self.open(known)?;
        let mut left = match (&part, found) {
            (Some(part), Some(found)) => what_is_left(&**part, found)?,
            _ => None,
        };
        if let Some(left) = &mut left {
            left.set_unfinished(unfinished, self.may_be_replaced());
        }
        let mut written = None;
        let generation = match (&part, &self.begin, &left) {
            (Some(part), Some(begin), None) => {
                let algorithms = std::mem::take(&mut self.algorithms).into_iter();
                let algorithms = digest::distinct(algorithms.chain(known.algorithms()));
                let (space, disk) = (&self.space, &*self.disk);
                let generation =
                    begin_part(self.job, part, begin, self.size, space, disk, &path, &algorithms)?;
                written = self.whole.take().and_then(|whole| {
                    write_whole(&**part, generation, whole, &path, &self.spec, &self.settings)
                });
                generation
            }
            (Some(part), _, Some(Leftover::Journal { start, .. })) => {
                let reserve = |size| self.space.reserve(self.job, part, size, &*self.disk, &path);
                start.size.map_or(Ok(()), reserve)?;
                0
            }
            _ => 0,
        };
        let renamed = self.settings.naming.name_for(&self.spec, self.remote.as_ref());
        let renamed = renamed.and_then(|name| name.note());
        // A file whose chunks are repaired has no journal. A later repair finds its right chunks by their
        // hashes.
        let journaled =
            self.has_journal() || matches!(left, Some(Leftover::Journal { .. } | Leftover::Adopted(_)));
        let is_free = matches!(place, Place::Free { .. }) && !self.spec.destination.is_in_order();
        let replaces = self.is_preview && is_free && self.disk.look(&path)?.is_some();
        Ok(Placement { path, place, part, renamed, left, generation, journaled, written, replaces })
    }

    /// Chooses the path and opens the partial file.
    fn open(&self, known: &Known) -> Result<Opened, Error> {
        let opened = self.open_at(self.chosen_path(self.begin.is_none())?, known)?;
        // Another run may have completed the file, and closed its partial file, directly before this run
        // opened a new one. If a file is at the path now, the path is chosen again. The new partial file is
        // removed.
        if opened.was_free && opened.found.is_none() && self.disk.look(&opened.path)?.is_some() {
            self.places.on_file(&opened.path);
            drop(opened);
            return self.open_at(self.chosen_path(true)?, known);
        }
        Ok(opened)
    }

    /// Returns the path that was chosen before. Returns `None` if there is no such path, or if a path must be
    /// chosen again. For a file with a journal, it is chosen again if a file has appeared at the path since
    /// its folder was read. If `looks` is true, it is chosen again if any file is at the path, because
    /// another run may have completed that file.
    fn chosen_path(&self, looks: bool) -> Result<Option<PathBuf>, Error> {
        match &self.chosen {
            Some(path) if looks && self.disk.look(path)?.is_some() => {
                self.places.on_file(path);
                Ok(None)
            }
            Some(path) if self.has_journal() && self.places.has_appeared(path, &self.identity)? => Ok(None),
            chosen => Ok(chosen.clone()),
        }
    }

    /// Opens the partial file at a path. Without a path, chooses one.
    fn open_at(&self, chosen: Option<PathBuf>, known: &Known) -> Result<Opened, Error> {
        let (path, place) = match chosen {
            Some(path) => free(path),
            None => self.choose(known)?,
        };
        let resume = match self.resume() {
            Resume::AdoptMarked if self.places.is_marked(&path, &self.spec) => Resume::Adopt,
            Resume::AdoptMarked => Resume::Auto,
            resume => resume,
        };
        let is_free = matches!(place, Place::Free { .. });
        let adopts = resume == Resume::Adopt && is_free;
        // A small file without a journal needs no check, because it gets its final name immediately.
        let checks =
            (self.has_journal() || self.begin.is_none()) && is_free && !self.spec.destination.is_in_order();
        let there = if adopts || checks { self.disk.look(&path)? } else { None };
        let was_free = checks && there.is_none();
        let there = there.filter(|_| adopts);
        let (resume, unfinished) = match there {
            Some(there) if self.is_whole(&path, &there) => (Resume::Auto, 0),
            there => (resume, there.map_or(0, |there| there.file.size)),
        };
        let (part, found) = match is_free {
            true => self.open_free(&path, resume).map(|(part, found)| (Some(part), found))?,
            false => (None, None),
        };
        Ok(Opened { path, place, part, found, unfinished, was_free })
    }

    /// Chooses a path, and says if its file must be downloaded.
    fn choose(&self, known: &Known) -> Result<(PathBuf, Place), Error> {
        let (spec, identity, remote) = (&*self.spec, &self.identity, self.remote.as_ref());
        let wanted = Wanted { job: self.job, spec, identity, remote, known };
        let new = self.places.choose(&wanted)?;
        // Another run may have saved the file since the folder was read. For a file with a journal, the path
        // is checked again.
        let (path, place) = match self.has_journal() && self.places.has_appeared(&new.0, identity)? {
            true => self.places.choose(&wanted)?,
            false => new,
        };
        let place = self.duplicates.instead(&path, place, &wanted, (&self.demands, &self.settings))?;
        Ok(match (place, &self.chosen) {
            // The server was asked about the existing file when the path was chosen.
            (Place::Ask(_), Some(path)) if self.resume() == Resume::Adopt => free(path.clone()),
            (place, _) => (path, place),
        })
    }

    /// Opens the partial file or the output at a path that is free.
    fn open_free(&self, path: &Path, resume: Resume) -> Result<(Arc<dyn Part>, Option<Found>), Error> {
        let part: Arc<dyn Part> = match &self.spec.destination {
            Destination::Stream(_) if self.is_preview => {
                InOrder::check(path)?;
                Arc::new(ReadOnlyPart::in_order())
            }
            destination if self.is_preview && destination.is_in_order() => Arc::new(ReadOnlyPart::in_order()),
            Destination::Stdout => Arc::new(InOrder::stdout()?),
            Destination::Writer(writer) => Arc::new(InOrder::writer(writer)?),
            Destination::Stream(_) => Arc::new(InOrder::open(path, || self.reports.is_closed())?),
            _ => {
                let (part, found) =
                    self.open_part(path, resume).inspect_err(|error| self.places.on_failure(path, error))?;
                return Ok((Arc::from(part), found));
            }
        };
        Ok((part, None))
    }

    fn open_part(&self, path: &Path, resume: Resume) -> Result<(Box<dyn Part>, Option<Found>), Error> {
        let how = Opening {
            resume,
            identity: &self.identity,
            fresh: self.places.was_free(path, &self.identity),
            small: self.resume() == Resume::Auto && self.is_small(),
            mark: self.settings.attributes != Attributes::None,
        };
        let is_closing = || self.closing.may_have(path, self.job) && !self.reports.is_closed();
        let open = |how| open_part(&*self.disk, path, how, is_closing, self.lock_waits);
        match open(how) {
            // The existing file cannot be continued, but it may be replaced.
            Err(error) if error.kind == ErrorKind::ResumeRefused && self.may_be_replaced() => {
                open(Opening { resume: Resume::Auto, ..how })
            }
            opened => opened,
        }
    }

    /// Returns true if an existing file is not continued: either it is finished, or it may be replaced, has
    /// the size of the server's file, and has no control file.
    fn is_whole(&self, path: &Path, there: &Standing) -> bool {
        let is_of_size = || Some(there.file.size) == self.stated && self.disk.unfinished_by(path).is_none();
        there.file.is_finished() || (self.may_be_replaced() && is_of_size())
    }

    fn if_exists(&self) -> IfExists {
        self.settings.if_exists_of(&self.spec)
    }

    fn resume(&self) -> Resume {
        self.settings.resume_of(&self.spec)
    }

    fn may_be_replaced(&self) -> bool {
        matches!(self.if_exists(), IfExists::Overwrite | IfExists::Update)
    }

    fn has_journal(&self) -> bool {
        self.begin.as_ref().is_some_and(|begin| begin.journal.is_some())
    }

    /// Returns true for a file that starts with no bytes and gets no journal.
    fn is_small(&self) -> bool {
        self.begin.as_ref().is_some_and(|begin| begin.journal.is_none() && !begin.keep)
    }
}

fn free(path: PathBuf) -> (PathBuf, Place) {
    let shown = path.to_string_lossy().into_owned();
    (path, Place::Free { path: shown, left: false })
}
