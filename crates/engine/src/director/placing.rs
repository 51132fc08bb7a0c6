//! Where a file goes: its name is chosen, its part file opened and begun, by threads that may wait for the
//! disk.
//!
//! Invariant: nothing is written here but all of a small file that came at once, to a part file that was
//! begun for it.

use super::verifying::{look_at, promises_data};
use super::{Director, Report};
use crate::checksum_discovery::Known;
use crate::clock;
use crate::disk::in_order::InOrder;
use crate::disk::{Beginning, Disk, Found, Generation, Opening, Part};
use crate::place::Wanted;
use crate::space::Space;
use crate::worker::UNKNOWN_END;
use bytes::Bytes;
use downhaul_core::content::Look;
use downhaul_core::digest::{self, Algorithm};
use downhaul_core::error::Error;
use downhaul_core::event::JobId;
use downhaul_core::identity::Conditions;
use downhaul_core::job::{Destination, IfExists, Job};
use downhaul_core::journal;
use downhaul_core::plan::{Begin, Leftover, Place, WorkerId};
use downhaul_core::remote::{Links, Remote};
use downhaul_core::settings::{Attributes, Resume, Settings};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What came of making a place for a file.
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    /// Unless nothing is to be done there.
    pub(super) part: Option<Arc<dyn Part>>,
    /// What a person should know of its name.
    pub(super) renamed: Option<String>,
    /// What an earlier run left in it.
    pub(super) left: Option<Leftover>,
    pub(super) generation: Generation,
    pub(super) written: Option<Written>,
}

/// All of a small file was written when its place was made. It is of one worker and one beginning of the part
/// file, and holds for no other.
pub(super) struct Written {
    pub(super) worker: WorkerId,
    pub(super) bytes: u64,
    /// All of it was new there.
    pub(super) fresh: bool,
    /// What it looks like; `None` where its name promises nothing.
    pub(super) look: Option<Look>,
    pub(super) took: Duration,
}

impl Director {
    /// Looks whether a file's name is free; with a `reply`, whether what stands there is the file.
    pub(super) fn look(&mut self, id: JobId, remote: Option<Box<Remote>>) {
        let Some(running) = self.running.get(&id) else { return };
        let (spec, places, identity) = (running.spec.clone(), self.places.clone(), running.plan.identity());
        // A file is read for its digests.
        let quick =
            spec.expected.is_empty() && remote.as_ref().is_none_or(|remote| remote.digests.is_empty());
        // By the name that a server gives later, a list may say something else, or something at all.
        let preliminary = spec.destination == Destination::Server;
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
                let place = match place {
                    Place::Free { path, left } => Place::Free { path, left: left && sure },
                    // What it must be is known only by the name that the server gives.
                    Place::Taken { .. } if !sure => Place::Ask(Conditions::default()),
                    place => place,
                };
                Ok((path, place))
            })())
        };
        if !preliminary || self.proofs.is_idle() {
            return self.block_knowing(id, None, !preliminary, quick, work);
        }
        // Where nothing stands there is nothing to be known of it, and no list is fetched for that.
        let (proofs, news, span) = (self.proofs.clone(), self.news.clone(), running.span.clone());
        tokio::spawn(async move {
            let (places, identity) = by_name;
            let free = tokio::task::spawn_blocking(move || places.nothing_stands(id, &identity)).await;
            if let Ok(Some((path, place))) = free {
                return drop(news.send((id, Report::Looked(Ok((path, place))))));
            }
            let known = proofs.about(&job, None).await;
            tokio::task::spawn_blocking(move || drop(news.send((id, span.in_scope(|| work(known))))));
        });
    }

    /// Chooses where a file goes, and opens its partial file.
    //
    // This function is long because one task on a blocking thread does all of it, and nothing may come
    // between.
    pub(super) fn place(&mut self, id: JobId, remote: Option<Remote>, begin: Option<Begin>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let (space, size) = (self.space.clone(), running.plan.size());
        running.journaled = begin.as_ref().is_some_and(|begin| begin.journal.is_some());
        let (spec, settings, places, disk) =
            (running.spec.clone(), self.settings.clone(), self.places.clone(), self.disk.clone());
        let identity = running.plan.identity();
        let chosen = running.path.clone();
        // Whose reply this is, is certain where there is one worker only.
        let whole = running.workers.iter().next().filter(|_| running.workers.len() == 1);
        let whole = whole.and_then(|(&worker, at_work)| Some((worker, at_work.whole.get()?.clone())));
        let whole = whole.filter(|_| !running.journaled && !spec.destination.is_in_order());
        let algorithms = running.plan.algorithms();
        // Opening a pipe waits for its reader.
        let waits = matches!(spec.destination, Destination::Stream(_));
        let news = self.news.clone();
        // A file that is there is read for its digests, and what an earlier run left is looked through.
        let compares =
            matches!(spec.if_exists.unwrap_or(settings.if_exists), IfExists::Update | IfExists::Check)
                && remote.as_ref().is_some_and(|remote| !remote.digests.is_empty());
        let reads = chosen.is_none() && (!spec.expected.is_empty() || compares);
        let small = settings.resume == Resume::Auto
            && begin.as_ref().is_some_and(|begin| begin.journal.is_none() && !begin.keep);
        let quick =
            begin.as_ref().is_some_and(|begin| begin.journal.is_none() && !begin.keep) && !reads && !waits;
        self.block_knowing(id, remote.clone(), true, quick, move |known| {
            Report::Placed((|| {
                let known = known?;
                let algorithms = digest::distinct(algorithms.into_iter().chain(known.algorithms()));
                let (path, place) = match chosen {
                    Some(path) => {
                        let shown = path.to_string_lossy().into_owned();
                        (path, Place::Free { path: shown, left: false })
                    }
                    None => {
                        let remote = remote.as_ref();
                        let wanted =
                            Wanted { job: id, spec: &spec, identity: &identity, remote, known: &known };
                        places.choose(&wanted)?
                    }
                };
                let (part, found): (Option<Arc<dyn Part>>, _) = match (&place, &spec.destination) {
                    (Place::Taken { .. } | Place::Ask(_), _) => (None, None),
                    (Place::Free { .. }, Destination::Stdout) => (Some(Arc::new(InOrder::stdout())), None),
                    (Place::Free { .. }, Destination::Writer(writer)) => {
                        (Some(Arc::new(InOrder::writer(writer)?)), None)
                    }
                    (Place::Free { .. }, Destination::Stream(_)) => {
                        (Some(Arc::new(InOrder::open(&path, || news.is_closed())?)), None)
                    }
                    (Place::Free { .. }, _) => {
                        let fresh = places.was_free(&path, &identity);
                        let how = Opening {
                            resume: settings.resume,
                            identity: &identity,
                            fresh,
                            small,
                            mark: settings.attributes != Attributes::None,
                        };
                        let (part, found) = disk.open_part(&path, how)?;
                        (Some(Arc::from(part)), found)
                    }
                };
                let left = match (&part, found) {
                    (Some(part), Some(found)) => what_is_left(&**part, found)?,
                    _ => None,
                };
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
                Ok(Placed { path, place, part, renamed, left, generation, written })
            })())
        });
    }

    pub(super) fn begin(&mut self, id: JobId, begin: Begin) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let (space, size) = (self.space.clone(), running.plan.size());
        running.journaled = begin.journal.is_some();
        (running.written, running.look) = (None, None);
        running.modified = None;
        running.verifier = None;
        if let Some(checker) = running.checker.take() {
            checker.abort();
        }
        let (Some(part), Some(path)) = (running.part.clone(), running.path.clone()) else { return };
        let (disk, algorithms) = (self.disk.clone(), running.plan.algorithms());
        self.block(id, false, move || {
            Report::Begun(begin_part(id, &part, &begin, size, &space, &*disk, &path, &algorithms))
        });
    }

    /// Runs what asks the disk and needs to know what lists and signatures say of the file. Without a reply,
    /// what is known before anything is asked of a server. The plan is told too, once, if that `is_final`.
    pub(super) fn block_knowing(
        &self,
        id: JobId,
        remote: Option<Remote>,
        is_final: bool,
        quick: bool,
        work: impl FnOnce(Result<Known, Error>) -> Report + Send + 'static,
    ) {
        let Some(running) = self.running.get(&id) else { return };
        let told = self.proofs.is_idle() || running.told;
        let offers = remote
            .as_ref()
            .filter(|remote| self.settings.mirrors && remote.links != Links::default())
            .cloned();
        if told && offers.is_none() {
            return self.block(id, quick, move || work(Ok(Known::default())));
        }
        let (proofs, spec, news) = (self.proofs.clone(), running.spec.clone(), self.news.clone());
        let span = running.span.clone();
        tokio::spawn(async move {
            let mut known = match told {
                true => Ok(Known::default()),
                false => proofs.about(&spec, remote.as_ref()).await,
            };
            if let (Ok(known), Some(remote)) = (&mut known, &offers) {
                proofs.add_offers(known, remote).await;
            }
            if let Ok(known) = &known
                && is_final
            {
                let _ = news.send((id, Report::Known(known.clone())));
            }
            tokio::task::spawn_blocking(move || drop(news.send((id, span.in_scope(|| work(known))))));
        });
    }
}

/// Begins a part file, if the disk has room for it.
#[expect(clippy::too_many_arguments, reason = "all that a beginning needs, from two places")]
fn begin_part(
    job: JobId,
    part: &Arc<dyn Part>,
    begin: &Begin,
    size: Option<u64>,
    space: &Space,
    disk: &dyn Disk,
    path: &Path,
    algorithms: &[Algorithm],
) -> Result<Generation, Error> {
    let journal = begin.journal.as_ref().map(journal::begin);
    let generation =
        part.begin(Beginning { journal: journal.as_deref(), keep: begin.keep, size, algorithms })?;
    // What is not worth a journal is not worth asking the disk.
    if let (Some(size), Some(_)) = (size, &journal) {
        space.reserve(job, part, size, disk, path)?;
    }
    Ok(generation)
}

/// Writes all of a small file. `None` if that fails: then the worker, who has it too, finds out why.
fn write_whole(
    part: &dyn Part,
    generation: Generation,
    (worker, whole): (WorkerId, Vec<Bytes>),
    path: &Path,
    spec: &Job,
    settings: &Settings,
) -> Option<Written> {
    let since = clock::instant();
    let bytes = whole.iter().map(|some| some.len() as u64).sum();
    let fresh = part.write_at(generation, 0, &whole, &AtomicU64::new(UNKNOWN_END)).ok()?;
    let look = promises_data(&path.to_string_lossy(), spec, settings).then(|| look_at(part));
    Some(Written { worker, bytes, fresh, look, took: since.elapsed() })
}

/// Makes sense of what was found in a part file. Its journal is rewritten once, in as few records as it
/// takes.
fn what_is_left(part: &dyn Part, found: Found) -> Result<Option<Leftover>, Error> {
    match found {
        Found::Adopted(left) => Ok(Some(Leftover::Adopted(left))),
        Found::Whole(length) => Ok(Some(Leftover::Whole(length))),
        Found::Journal(bytes) => {
            // What cannot be read says nothing: the file starts again.
            let Some((start, claims)) = journal::read(&bytes) else { return Ok(None) };
            let rewritten = journal::rewrite(&start, &claims);
            part.rewrite_journal(&rewritten)?;
            Ok(journal::read(&rewritten).map(|(start, claims)| Leftover::Journal { start, claims }))
        }
    }
}
