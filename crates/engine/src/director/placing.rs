//! Chooses the name of a file, and opens its partial file, which [`beginning`](super::beginning) starts. Only
//! tasks on threads that may block use the disk.
//!
//! Invariant: this module writes no bytes of a file.

use super::beginning::{begin_part, what_is_left, write_whole};
use super::closing::{WAITS, open_part};
use super::running::Stage;
use super::{Director, Report};
use crate::checksum_discovery::Known;
use crate::disk::file::ReadOnlyPart;
use crate::disk::in_order::InOrder;
use crate::disk::{Generation, Opening, Part, Standing};
use crate::place::Wanted;
use downhaul_core::content::Look;
use downhaul_core::digest;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use downhaul_core::identity::Conditions;
use downhaul_core::job::{Destination, IfExists, IfLocked};
use downhaul_core::plan::{Begin, Leftover, Place, WorkerId};
use downhaul_core::preview::may_be_renamed;
use downhaul_core::remote::{Links, Remote};
use downhaul_core::settings::{Attributes, Resume};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The path that was chosen for a file, and its partial file.
pub(super) struct Placement {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    /// The partial file. It is `None` if the file is not downloaded.
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

impl Director {
    /// Checks if the name of a file is free, or if the existing file is the wanted one. `remote` is the
    /// response to a request about the existing file, if there was one.
    pub(super) fn look(&mut self, id: JobId, remote: Option<Box<Remote>>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if let Some(remote) = &remote {
            running.on_response_about_existing(remote.size);
        }
        let (spec, places, identity) = (running.spec.clone(), self.places.clone(), running.plan.identity());
        // The work is quick, unless an existing file may be read to compute its digests.
        let quick =
            spec.expected.is_empty() && remote.as_ref().is_none_or(|remote| remote.digests.is_empty());
        // The server may give the file another name later, and a list may have another digest for that name.
        let preliminary = spec.destination == Destination::Server;
        // Without checksum lists, the facts about the file can change only if the server names the file.
        let is_known = !preliminary || (!self.seeks_facts && !may_be_renamed(&spec, &self.settings.naming));
        let (duplicates, settings) = (self.duplicates.clone(), self.settings.clone());
        let demands = running.plan.demands();
        let (job, by_name) = (spec.clone(), (places.clone(), identity.clone()));
        let work = move |known: Result<Known, Error>| {
            Report::Looked((|| {
                let (known, sure) = match known {
                    Err(_) if preliminary && remote.is_none() => (Known::default(), false),
                    known => (known?, true),
                };
                let remote = remote.as_deref();
                let wanted = Wanted { job: id, spec: &spec, identity: &identity, remote, known: &known };
                let (path, place) = places.choose(&wanted)?;
                let place = match is_known {
                    true => duplicates.instead(&path, place, &wanted, (&demands, &settings))?,
                    false => place,
                };
                let place = match place {
                    Place::Free { path, left } => Place::Free { path, left: left && sure },
                    // Without the facts from checksum lists, it is not known if the existing file is the
                    // wanted one. These facts are looked up again when the response has given the name.
                    Place::Taken(_) if !sure => Place::Ask(Conditions::default()),
                    place => place,
                };
                Ok((path, place))
            })())
        };
        if !preliminary || !self.seeks_facts {
            return self.block_knowing(id, None, !preliminary, quick, work);
        }
        // If there is no file at the path, no checksum list is needed, because there is nothing to compare.
        let checksums = self.networks.get(running.spec.network).checksums;
        let (reports, span) = (self.reports.clone(), running.span.clone());
        tokio::spawn(async move {
            let (places, identity) = by_name;
            let free = tokio::task::spawn_blocking(move || places.nothing_stands(id, &identity)).await;
            if let Ok(Some((path, place))) = free {
                return drop(reports.send((id, Report::Looked(Ok((path, place))))));
            }
            let known = checksums.about(&job, None).await;
            tokio::task::spawn_blocking(move || drop(reports.send((id, span.in_scope(|| work(known))))));
        });
    }

    /// Chooses the path of a file, and opens its partial file. Starts the partial file, if there are no bytes
    /// to continue and `begin` is given.
    //
    // This function is long because one task on a blocking thread does all of this without interruption.
    pub(super) fn place(&mut self, id: JobId, remote: Option<Remote>, begin: Option<Begin>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.on_opening();
        let (space, size, duplicates) = (self.space.clone(), running.plan.size(), self.duplicates.clone());
        let has_journal = begin.as_ref().is_some_and(|begin| begin.journal.is_some());
        let (spec, settings, places, disk) =
            (running.spec.clone(), self.settings.clone(), self.places.clone(), self.disk.clone());
        let (identity, demands) = (running.plan.identity(), running.plan.demands());
        let stated = remote.as_ref().and_then(|remote| remote.size).or(running.size_beside_existing());
        let stated = stated.or(spec.size);
        let chosen = running.path();
        let is_preview = self.settings.preview.is_some();
        // If there is exactly one worker, the response is from that worker. If the whole body has arrived
        // with the response, the body is written at once.
        let whole = running.workers.iter().next().filter(|_| running.workers.len() == 1);
        let whole = whole.and_then(|(&worker, at_work)| Some((worker, at_work.whole.get()?.clone())));
        let whole = whole.filter(|_| !has_journal && !spec.destination.is_in_order());
        let algorithms = running.plan.algorithms();
        // Without a `begin`, the plan does not know yet what is at the path: there may be a partial file of
        // an earlier run, or another run was working on the file.
        let opens_old = begin.is_none();
        // Opening a pipe may wait for its reader.
        let waits = matches!(spec.destination, Destination::Stream(_));
        let reports = self.reports.clone();
        // An existing file may be read to compute its digests, and a partial file may be examined. Both may
        // take a long time.
        let resume = settings.resume_of(&spec);
        let may_compare = matches!(settings.if_exists_of(&spec), IfExists::Update | IfExists::Check)
            || resume == Resume::Adopt;
        let compares = may_compare && remote.as_ref().is_some_and(|remote| !remote.digests.is_empty());
        let reads = chosen.is_none() && (!spec.expected.is_empty() || compares);
        let may_be_replaced = matches!(settings.if_exists_of(&spec), IfExists::Overwrite | IfExists::Update);
        let small = resume == Resume::Auto
            && begin.as_ref().is_some_and(|begin| begin.journal.is_none() && !begin.keep);
        // The work may wait for the partial file of a job that has ended.
        let closing = self.closing.clone();
        let quick = begin.as_ref().is_some_and(|begin| begin.journal.is_none() && !begin.keep)
            && !reads
            && !waits
            && closing.is_empty();
        // With another value of `--if-locked`, a locked file is not a failure.
        let fails = settings.if_locked == IfLocked::Fail && !is_preview;
        let lock_waits = if fails && !quick { WAITS } else { 0 };
        self.block_knowing(id, remote.clone(), true, quick, move |known| {
            Report::Placed((|| {
                let known = known?;
                let algorithms = digest::distinct(algorithms.into_iter().chain(known.algorithms()));
                let free = |path: PathBuf| {
                    let shown = path.to_string_lossy().into_owned();
                    (path, Place::Free { path: shown, left: false })
                };
                let mut is_second = false;
                let (path, place, part, found, unfinished) = loop {
                    // Another run may have completed the file since its path was chosen.
                    let looks_again = match &chosen {
                        Some(path) if opens_old || is_second => disk.look(path)?.is_some(),
                        _ => false,
                    };
                    let (path, place) = match chosen.clone() {
                        Some(path) if !looks_again => free(path),
                        _ => {
                            let remote = remote.as_ref();
                            let wanted =
                                Wanted { job: id, spec: &spec, identity: &identity, remote, known: &known };
                            let new = places.choose(&wanted)?;
                            // Another run may have saved the file since the folder was read. For a file with
                            // a journal, the path is checked again.
                            let (path, place) = match has_journal && places.has_appeared(&new.0, &identity)? {
                                true => places.choose(&wanted)?,
                                false => new,
                            };
                            let place = duplicates.instead(&path, place, &wanted, (&demands, &settings))?;
                            match (place, &chosen) {
                                // The server was asked about the existing file when the path was chosen.
                                (Place::Ask(_), Some(path)) if resume == Resume::Adopt => free(path.clone()),
                                (place, _) => (path, place),
                            }
                        }
                    };
                    let resume = match resume {
                        Resume::AdoptMarked if places.is_marked(&path, &spec) => Resume::Adopt,
                        Resume::AdoptMarked => Resume::Auto,
                        resume => resume,
                    };
                    // A finished file is replaced as a whole, and not continued. The same is true for a file
                    // that may be replaced, has the size of the server's file, and has no control file.
                    let adopts = resume == Resume::Adopt && matches!(place, Place::Free { .. });
                    let is_whole = |there: Standing| {
                        let is_of_size =
                            Some(there.file.size) == stated && disk.unfinished_by(&path).is_none();
                        there.file.is_finished() || (may_be_replaced && is_of_size)
                    };
                    // A small file without a journal needs no check, because it gets its final name
                    // immediately.
                    let checks = (has_journal || opens_old)
                        && matches!(place, Place::Free { .. })
                        && !spec.destination.is_in_order();
                    let there = if adopts || checks { disk.look(&path)? } else { None };
                    let was_free = checks && there.is_none();
                    let there = there.filter(|_| adopts);
                    let unfinished = there.as_ref().map_or(0, |there| there.file.size);
                    let (resume, unfinished) = match there.is_some_and(is_whole) {
                        true => (Resume::Auto, 0),
                        false => (resume, unfinished),
                    };
                    let (part, found): (Option<Arc<dyn Part>>, _) = match (&place, &spec.destination) {
                        (Place::Taken(_) | Place::Ask(_), _) => (None, None),
                        (Place::Free { .. }, Destination::Stream(_)) if is_preview => {
                            InOrder::check(&path)?;
                            (Some(Arc::new(ReadOnlyPart::in_order())), None)
                        }
                        (Place::Free { .. }, _) if is_preview && spec.destination.is_in_order() => {
                            (Some(Arc::new(ReadOnlyPart::in_order())), None)
                        }
                        (Place::Free { .. }, Destination::Stdout) => {
                            (Some(Arc::new(InOrder::stdout()?)), None)
                        }
                        (Place::Free { .. }, Destination::Writer(writer)) => {
                            (Some(Arc::new(InOrder::writer(writer)?)), None)
                        }
                        (Place::Free { .. }, Destination::Stream(_)) => {
                            (Some(Arc::new(InOrder::open(&path, || reports.is_closed())?)), None)
                        }
                        (Place::Free { .. }, _) => {
                            let fresh = places.was_free(&path, &identity);
                            let how = Opening {
                                resume,
                                identity: &identity,
                                fresh,
                                small,
                                mark: settings.attributes != Attributes::None,
                            };
                            let is_closing = || closing.may_have(&path, id) && !reports.is_closed();
                            let open = |how| open_part(&*disk, &path, how, is_closing, lock_waits);
                            let opened = match open(how) {
                                // The existing file cannot be continued, but it may be replaced.
                                Err(error) if error.kind == ErrorKind::ResumeRefused && may_be_replaced => {
                                    open(Opening { resume: Resume::Auto, ..how })
                                }
                                opened => opened,
                            };
                            let (part, found) =
                                opened.inspect_err(|error| places.on_failure(&path, error))?;
                            (Some(Arc::from(part)), found)
                        }
                    };
                    // Another run may have completed the file, and closed its partial file, directly before
                    // this run opened a new one. Then the path is chosen again, and the new partial file is
                    // removed.
                    if was_free && found.is_none() && !is_second && disk.look(&path)?.is_some() {
                        places.on_file(&path);
                        is_second = true;
                        continue;
                    }
                    break (path, place, part, found, unfinished);
                };
                let mut left = match (&part, found) {
                    (Some(part), Some(found)) => what_is_left(&**part, found)?,
                    _ => None,
                };
                if let Some(left) = &mut left {
                    left.set_unfinished(unfinished, may_be_replaced);
                }
                let mut written = None;
                let generation = match (&part, &begin, &left) {
                    (Some(part), Some(begin), None) => {
                        let generation =
                            begin_part(id, part, begin, size, &space, &*disk, &path, &algorithms)?;
                        written = whole.and_then(|whole| {
                            write_whole(&**part, generation, whole, &path, &spec, &settings)
                        });
                        generation
                    }
                    (Some(part), _, Some(Leftover::Journal { start, .. })) => {
                        start.size.map_or(Ok(()), |size| space.reserve(id, part, size, &*disk, &path))?;
                        0
                    }
                    _ => 0,
                };
                let renamed = settings.naming.name_for(&spec, remote.as_ref()).and_then(|name| name.note());
                // A file whose chunks are repaired has no journal. A later repair finds its right chunks by
                // their hashes.
                let journaled =
                    has_journal || matches!(left, Some(Leftover::Journal { .. } | Leftover::Adopted(_)));
                let is_free = matches!(place, Place::Free { .. }) && !spec.destination.is_in_order();
                let replaces = is_preview && is_free && disk.look(&path)?.is_some();
                Ok(Placement { path, place, part, renamed, left, generation, journaled, written, replaces })
            })())
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

    /// Runs work on the disk that needs the facts about the file from checksum lists and signatures. `remote`
    /// is the response about the file. Without a response, only the facts that need no response are used. If
    /// the facts are final (`is_final`), they are also passed to the plan, once. `quick` is as for
    /// [`Director::block`].
    pub(super) fn block_knowing(
        &self,
        id: JobId,
        remote: Option<Remote>,
        is_final: bool,
        quick: bool,
        work: impl FnOnce(Result<Known, Error>) -> Report + Send + 'static,
    ) {
        let Some(running) = self.running.get(&id) else { return };
        let needs_facts =
            matches!(&running.stage, Stage::Placing(placing) if !placing.has_facts) && self.seeks_facts;
        let offers = remote
            .as_ref()
            .filter(|remote| self.settings.mirrors && remote.links != Links::default())
            .cloned();
        if !needs_facts && offers.is_none() {
            return self.block(id, quick, move || work(Ok(Known::default())));
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
            if let Ok(known) = &known
                && is_final
            {
                let _ = reports.send((id, Report::Known(known.clone())));
            }
            tokio::task::spawn_blocking(move || drop(reports.send((id, span.in_scope(|| work(known))))));
        });
    }
}
