//! Starts the tasks that look at the path of a file, and that open its partial file
//! ([`placement`](super::placement)). These tasks run on threads that may block, because they use the disk.
//!
//! Invariant: this module writes no bytes of a file.

use super::beginning::begin_part;
use super::closing::WAITS;
use super::placement::PlacementTask;
use super::running::Stage;
use super::{Director, Report};
use crate::duplicates::Duplicates;
use crate::known::Known;
use crate::place::{Places, Wanted};
use downhaul_core::dedup::Demands;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use downhaul_core::identity::{Conditions, Identity};
use downhaul_core::job::{Destination, IfLocked, Job};
use downhaul_core::plan::{Begin, Place};
use downhaul_core::preview::may_be_renamed;
use downhaul_core::remote::{Links, Remote};
use downhaul_core::settings::{Settings, Verify};
use std::path::PathBuf;
use std::sync::Arc;

impl Director {
    /// Checks if the name of a file is free, or if the existing file is the wanted one. `remote` is the
    /// response to a request about the existing file, if there was one.
    pub(super) fn look(&mut self, id: JobId, remote: Option<Box<Remote>>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if let Some(remote) = &remote {
            running.on_response_about_existing(remote.size);
        }
        let task = LookTask {
            job: id,
            spec: running.spec.clone(),
            identity: running.plan.identity(),
            demands: running.plan.demands(),
            remote,
            seeks_facts: self.seeks_facts,
            settings: self.settings.clone(),
            places: self.places.clone(),
            duplicates: self.duplicates.clone(),
        };
        let known = running.known();
        if !self.seeks_facts || known.is_some() {
            let known = known.unwrap_or_default();
            // To compare an existing file with the facts may take a long time.
            let quick = task.is_quick() && known.is_empty();
            return self.block(id, quick, move || Report::Looked(task.look(Ok(known))));
        }
        let checksums = self.networks.get(running.spec.network).checksums;
        let (reports, span) = (self.reports.clone(), running.span.clone());
        tokio::spawn(async move {
            if !task.is_named() {
                // If there is no file at the path, no checksum list is needed, because there is nothing to
                // compare.
                let (places, identity) = (task.places.clone(), task.identity.clone());
                let free = tokio::task::spawn_blocking(move || places.nothing_stands(id, &identity)).await;
                if let Ok(Some((path, place))) = free {
                    return drop(
                        reports.send((id, Report::Looked(Ok(Looked { path, place, is_final: false })))),
                    );
                }
            }
            let known = checksums.about(&task.spec, task.remote.as_deref()).await;
            if let Ok(known) = &known
                && task.is_named()
                && task.is_final(known)
            {
                let _ = reports.send((id, Report::Known(known.clone())));
            }
            let look = move || drop(reports.send((id, span.in_scope(|| Report::Looked(task.look(known))))));
            tokio::task::spawn_blocking(look);
        });
    }

    /// Chooses the path of a file, and opens its partial file. Starts the partial file, if there are no bytes
    /// to continue and `begin` is given. `remote` is the response to the first request, if there was one.
    pub(super) fn place(&mut self, id: JobId, remote: Option<Remote>, begin: Option<Begin>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.on_opening();
        let spec = running.spec.clone();
        let size_of_remote = remote.as_ref().and_then(|remote| remote.size);
        // If there is exactly one worker, the response is from that worker. If the whole body has arrived
        // with the response, the body is written at once.
        let has_journal = begin.as_ref().is_some_and(|begin| begin.journal.is_some());
        let whole = running.workers.iter().next().filter(|_| running.workers.len() == 1);
        let whole = whole.and_then(|(&worker, at_work)| Some((worker, at_work.whole.get()?.clone())));
        let whole = whole.filter(|_| !has_journal && !spec.destination.is_in_order());
        let mut work = PlacementTask {
            job: id,
            identity: running.plan.identity(),
            demands: running.plan.demands(),
            algorithms: running.plan.algorithms(),
            size: running.plan.size(),
            stated: size_of_remote.or(running.size_beside_existing()).or(spec.size),
            chosen: running.path(),
            remote: remote.clone(),
            begin,
            whole,
            is_preview: self.settings.preview.is_some(),
            lock_waits: 0,
            spec,
            settings: self.settings.clone(),
            places: self.places.clone(),
            disk: self.disk.clone(),
            duplicates: self.duplicates.clone(),
            space: self.space.clone(),
            // The work may wait for the partial file of a job that has ended.
            closing: self.closing.clone(),
            reports: self.reports.clone(),
        };
        let quick = work.is_quick();
        // With another value of `--if-locked`, a locked file is not a failure.
        if self.settings.if_locked == IfLocked::Fail && !work.is_preview && !quick {
            work.lock_waits = WAITS;
        }
        self.block_knowing(id, remote, quick, move |known| {
            Report::Placed(known.and_then(|known| work.place(&known)))
        });
    }

    pub(super) fn begin(&mut self, id: JobId, begin: Begin) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let (space, size) = (self.space.clone(), running.plan.size());
        let (disk, algorithms) = (self.disk.clone(), running.plan.algorithms());
        running.advance(Stage::incomplete);
        let Some(file) = running.file_mut() else { return };
        file.begin(begin.journal.is_some());
        let (part, path) = (file.part.clone(), file.path.clone());
        self.block(id, false, move || {
            Report::Begun(begin_part(id, &part, &begin, size, &space, &*disk, &path, &algorithms))
        });
    }

    /// Runs work on the disk that needs the facts about the file from checksum lists and signatures. The
    /// facts are fetched and passed to the plan, unless they have arrived before. `remote` is the response
    /// about the file. Without a response, only the facts that need no response are used. `quick` is as for
    /// [`Director::block`].
    fn block_knowing(
        &self,
        id: JobId,
        remote: Option<Remote>,
        quick: bool,
        work: impl FnOnce(Result<Known, Error>) -> Report + Send + 'static,
    ) {
        let Some(running) = self.running.get(&id) else { return };
        let before = running.known();
        let needs_facts = self.seeks_facts && before.is_none();
        let before = before.unwrap_or_default();
        let offers = remote
            .as_ref()
            .filter(|remote| self.settings.mirrors && remote.links != Links::default())
            .cloned();
        if !needs_facts && offers.is_none() {
            // To compare an existing file with the facts may take a long time.
            let quick = quick && before.is_empty();
            return self.block(id, quick, move || work(Ok(before)));
        }
        let checksums = self.networks.get(running.spec.network).checksums;
        let (spec, reports) = (running.spec.clone(), self.reports.clone());
        let span = running.span.clone();
        tokio::spawn(async move {
            let mut known = match needs_facts {
                true => checksums.about(&spec, remote.as_ref()).await,
                false => Ok(Known::default()),
            };
            if let (Ok(known), Some(remote)) = (&mut known, &offers) {
                checksums.add_offers(known, remote).await;
            }
            if let Ok(known) = &known {
                let _ = reports.send((id, Report::Known(known.clone())));
            }
            let known = known.map(|known| before.and(known));
            tokio::task::spawn_blocking(move || drop(reports.send((id, span.in_scope(|| work(known))))));
        });
    }
}

/// The result of a look at a path.
pub(super) struct Looked {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    /// True if a response adds nothing to the facts from checksum lists with which the path was chosen.
    pub(super) is_final: bool,
}

impl Looked {
    /// Returns true if the path of this job will not change. If the server may still name the file, the path
    /// is settled only if a partial file of an earlier run is there, or if the job needs no download. The
    /// path is not settled if only the server can say whether the existing file is the wanted one, or if the
    /// response may add a digest.
    pub(super) fn is_settled(&self, spec: &Job) -> bool {
        match &self.place {
            Place::Taken(_) | Place::Free { left: true, .. } => true,
            Place::Free { left: false, .. } => self.is_final && spec.destination != Destination::Server,
            Place::Ask(_) => false,
        }
    }
}

/// The task that looks at the path of a file, with everything that it needs.
struct LookTask {
    job: JobId,
    spec: Arc<Job>,
    identity: Identity,
    demands: Demands,
    /// The response to a request about the existing file, if there was one.
    remote: Option<Box<Remote>>,
    /// True if checksum lists or signatures are used.
    seeks_facts: bool,
    settings: Arc<Settings>,
    places: Arc<Places>,
    duplicates: Arc<Duplicates>,
}

impl LookTask {
    /// Returns false if the work may read an existing file to compute its digests, or the digests of its
    /// chunks. All other work is quick.
    fn is_quick(&self) -> bool {
        let is_given = !self.spec.expected.is_empty() || self.spec.chunks.is_some();
        !is_given && self.remote.as_ref().is_none_or(|remote| remote.digests.is_empty())
    }

    /// Returns true if the server does not name the file. Otherwise, the response may change the name, and a
    /// list may have another digest for the new name.
    fn is_named(&self) -> bool {
        self.spec.destination != Destination::Server
    }

    /// Returns true if a response adds nothing to these facts from checksum lists and signatures. Otherwise,
    /// the response may give the file a name that a list has.
    fn is_final(&self, known: &Known) -> bool {
        let has_strong = self.spec.expected.iter().any(|one| one.digest.algorithm.is_strong());
        self.remote.is_some() || has_strong || !known.is_empty() || !known.is_unlisted
    }

    /// Returns true if this error may have occurred because a list has the file under a name that only the
    /// response adds.
    fn may_be_due_to_name(&self, error: &Error) -> bool {
        let is_missing = match error.kind {
            ErrorKind::DigestMissing | ErrorKind::DigestUnlisted => true,
            // A signed list may have the file under another name. The signature of the file itself is beside
            // its URL.
            ErrorKind::SignatureMissing => {
                self.settings.checksums.is_some() || self.settings.verify != Verify::Auto
            }
            _ => false,
        };
        // Lists do not have the digests of ranges under any name.
        self.remote.is_none() && self.spec.range.is_none() && (is_missing || !self.is_named())
    }

    /// Chooses a path, and says if its file must be downloaded, continued or asked about.
    fn look(&self, known: Result<Known, Error>) -> Result<Looked, Error> {
        let (known, unusable) = match known {
            Err(error) if self.may_be_due_to_name(&error) => (Known::default(), Some(error)),
            known => (known?, None),
        };
        let is_usable = unusable.is_none();
        let is_final = is_usable && (!self.seeks_facts || self.is_final(&known));
        let (spec, remote) = (&*self.spec, self.remote.as_deref());
        let wanted = Wanted { job: self.job, spec, identity: &self.identity, remote, known: &known };
        let (path, place) = self.places.choose(&wanted)?;
        let keeps_name = !may_be_renamed(spec, &self.settings.naming);
        let place = match is_final && keeps_name && (self.is_named() || !self.seeks_facts) {
            true => self.duplicates.instead(&path, place, &wanted, (&self.demands, &self.settings))?,
            false => place,
        };
        // The facts that a response has added are not kept if the server names the file. The response may
        // also name mirrors and a document with digests. In both cases, the response to the request for the
        // bytes must arrive before a partial file is continued. A preview has no such response.
        let is_preview = self.settings.preview.is_some();
        let keeps_facts = is_final && (self.is_named() || !self.seeks_facts || remote.is_none());
        let may_continue = is_usable && (is_preview || (keeps_facts && !self.settings.mirrors));
        let place = match place {
            Place::Free { path, left } => Place::Free { path, left: left && may_continue },
            // Without the facts from checksum lists, it is not known if the existing file is the wanted one.
            // These facts are looked up again when the response has arrived.
            Place::Taken(_) | Place::Ask(_) if !is_usable => match (unusable, &spec.sends) {
                // A request with a body must not be repeated to ask about the file.
                (Some(error), Some(_)) => return Err(error),
                _ => Place::Ask(Conditions::default()),
            },
            place => place,
        };
        Ok(Looked { path, place, is_final })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::disk::file::ReadOnlyFiles;
    use crate::space::Space;
    use downhaul_core::dedup::Dedup;
    use downhaul_core::digest::Algorithm;
    use downhaul_core::job::ChunkHashes;
    use std::path::Path;
    use tokio::sync::mpsc;
    use url::Url;

    /// Returns whether the task that looks at the path of a file counts as quick, and whether the task that
    /// opens its partial file does.
    fn are_quick(spec: Job) -> (bool, bool) {
        let (job, spec, settings) = (JobId::new(1), Arc::new(spec), Arc::new(Settings::default()));
        let disk: Arc<dyn Disk> = Arc::new(ReadOnlyFiles);
        let places = Arc::new(Places::new(settings.clone(), disk.clone()));
        let duplicates = Arc::new(Duplicates::new(Dedup::Off, Path::new(""), disk.clone()));
        let look = LookTask {
            job,
            spec: spec.clone(),
            identity: Identity::default(),
            demands: Demands::default(),
            remote: None,
            seeks_facts: false,
            settings: settings.clone(),
            places: places.clone(),
            duplicates: duplicates.clone(),
        };
        let place = PlacementTask {
            job,
            spec,
            identity: Identity::default(),
            demands: Demands::default(),
            algorithms: Vec::new(),
            size: None,
            stated: None,
            chosen: None,
            remote: None,
            begin: Some(Begin { journal: None, keep: false }),
            whole: None,
            is_preview: false,
            lock_waits: 0,
            settings,
            places,
            disk,
            duplicates,
            space: Arc::new(Space::new(false)),
            closing: Arc::default(),
            reports: mpsc::unbounded_channel().0,
        };
        (look.is_quick(), place.is_quick())
    }

    #[test]
    fn a_task_that_may_compare_the_chunks_of_an_existing_file_does_not_count_as_quick() {
        let mut spec = Job::new(Url::parse("https://h.example/f").expect("a URL"));
        assert_eq!(are_quick(spec.clone()), (true, true));
        let (algorithm, digests, from) = (Algorithm::Sha256, Vec::new(), "a list".into());
        spec.chunks = Some(ChunkHashes { length: 1, algorithm, digests, from });
        assert_eq!(are_quick(spec), (false, false));
    }
}
