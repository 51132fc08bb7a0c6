//! Describes a running job: its plan, its workers, and its partial file.

use super::connections::AtWork;
use super::placement::{Placement, Written};
use super::placing::Looked;
use super::preview::Previewed;
use crate::disk::{Generation, Part};
use crate::hashing::Verifier;
use crate::known::Known;
use crate::limit::Limits;
use crate::report::Meter;
use crate::signed::Signature;
use crate::source::{GivenBy, Source, Sources};
use crate::trace::CONCURRENCY;
use downhaul_core::concurrency::Allowance;
use downhaul_core::content::Look;
use downhaul_core::dedup::MadeFrom;
use downhaul_core::digest::Digest;
use downhaul_core::error::{Blame, Error};
use downhaul_core::event::Phase;
use downhaul_core::job::Job;
use downhaul_core::plan::{Input, Place, Plan, WorkerId};
use downhaul_core::show;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::AbortHandle;
use tracing::{Span, debug};
use url::Url;

/// A job that is running. Data that exists only in some stages, such as the partial file, is in [`Stage`].
pub(super) struct Running {
    pub(super) spec: Arc<Job>,
    pub(super) plan: Plan,
    /// The span of all trace events of the job.
    pub(super) span: Span,
    pub(super) meter: Arc<Meter>,
    pub(super) priority: i32,
    pub(super) limits: Limits,
    /// True if the partial file is deleted when the job ends unfinished, even if a later run could resume it.
    pub(super) discard: bool,
    /// True if the job could use a first or a further connection, and could not open it.
    pub(super) wants_more: bool,
    pub(super) sources: Vec<Arc<dyn Source>>,
    /// The workers. Unless a partial file is continued, the first worker starts before there is a partial
    /// file, since its response may name the file.
    pub(super) workers: BTreeMap<WorkerId, AtWork>,
    /// The highest number of connections of the job at once.
    pub(super) most_workers: usize,
    /// The time at which the plan must be called again, such as the time of a retry or the end of
    /// `--max-time`.
    pub(super) wake: Option<Duration>,
    /// The times of the first request, if the threads for small files sent it. These times are used only
    /// once.
    pub(super) first: Option<First>,
    /// The time when the response to the first request arrived, if the threads for small files sent this
    /// request. It is used only once.
    pub(super) came: Option<Duration>,
    /// The time when the job began.
    pub(super) since: Duration,
    pub(super) stage: Stage,
    pub(super) previewed: Previewed,
    /// The digests of the complete file, if they are needed to find a file with the same bytes.
    pub(super) digests: Vec<Digest>,
    /// The file that the complete file was made from.
    pub(super) made_from: Option<MadeFrom>,
}

/// The time of a request, and the time of its failure if it failed.
pub(super) type First = (Duration, Option<Duration>);

/// The first request of a job, which the threads for small files sent.
pub(super) struct Responded {
    /// The source, with the response.
    pub(super) source: Arc<dyn Source>,
    pub(super) first: First,
    /// The time when the response arrived, if the request did not fail.
    pub(super) came: Option<Duration>,
}

pub(super) enum Stage {
    /// The path of the file is being chosen. Nothing was written.
    Placing(Placing),
    /// Bytes are fetched into the partial file.
    Transferring(OpenFile),
    /// The bytes are being verified. They were all written at the time `complete`.
    Verifying { file: OpenFile, complete: Duration },
    /// The file gets its final name. It was verified at the time `verified`.
    Publishing { file: OpenFile, complete: Duration, verified: Duration },
    /// The job is over. Its partial file may still have to be closed or removed.
    Over,
}

/// Facts that are known before there is a partial file.
#[derive(Default)]
pub(super) struct Placing {
    /// The facts about the file from checksum lists, signatures and documents, once they have arrived.
    pub(super) known: Option<Known>,
    /// The final path, if it was already chosen.
    pub(super) path: Option<PathBuf>,
    /// True while the partial file is being opened.
    pub(super) is_opening: bool,
    /// The size of the server's file in bytes, if the response to a request that was sent because of the
    /// existing file has stated it.
    pub(super) size: Option<u64>,
}

/// A partial file, and facts about its bytes. The facts that depend on the bytes are dropped when the partial
/// file is started again ([`OpenFile::begin`]), because the download begins again at the first byte.
pub(super) struct OpenFile {
    /// The final path.
    pub(super) path: PathBuf,
    pub(super) part: Arc<dyn Part>,
    pub(super) generation: Generation,
    /// True if the partial file has a journal.
    pub(super) journaled: bool,
    /// Set if all bytes of a small file were written at once when its partial file was started.
    pub(super) written: Option<Written>,
    /// The kind of the content, if a small file was examined as soon as it was written.
    pub(super) look: Option<Look>,
    pub(super) verifier: Option<Verifier>,
    /// The task that compares the bytes of an earlier run with the journal.
    pub(super) checker: Option<AbortHandle>,
    /// The modification time of the file in the last accepted response that states one.
    pub(super) modified: Option<SystemTime>,
    /// The signature of the file itself, if there is one. It is not the signature of a checksum list.
    pub(super) signature: Option<Arc<Signature>>,
    /// The time when the first response for this partial file was accepted. If the threads for small files
    /// received this response, the time when it arrived.
    pub(super) came: Option<Duration>,
}

impl Running {
    /// Adds the URL of a worker to an error of the network or the server, if the error does not say where it
    /// happened ([`Error::at`]).
    pub(super) fn locate(&self, worker: WorkerId, error: &mut Error) {
        let source = self.workers.get(&worker).map(|at_work| at_work.source);
        if error.at.is_empty()
            && error.kind.blame() == Blame::Remote
            && let Some(url) = source.and_then(|source| self.spec.urls.get(source))
        {
            error.at = show::url(url);
        }
    }

    /// Returns the state of a job that starts `now`.
    pub(super) fn new(
        spec: Job,
        plan: Plan,
        span: Span,
        meter: Arc<Meter>,
        limits: Limits,
        sources: Vec<Arc<dyn Source>>,
        now: Duration,
    ) -> Running {
        Running {
            priority: spec.priority,
            limits,
            discard: false,
            wants_more: false,
            spec: Arc::new(spec),
            plan,
            span,
            meter,
            sources,
            workers: BTreeMap::new(),
            most_workers: 0,
            wake: None,
            first: None,
            came: None,
            since: now,
            stage: Stage::Placing(Placing::default()),
            previewed: Previewed::default(),
            digests: Vec::new(),
            made_from: None,
        }
    }

    /// If the job needs a connection and the host allows none now, shows the job as waiting. Returns true if
    /// the host limits requests, so that the job waits for the time of its next request.
    pub(super) fn show_wait(&self, now: Duration, allowances: &[Allowance]) -> bool {
        let is_checked = self.file().is_some_and(|file| file.checker.is_some());
        if is_checked || !self.plan.is_starving() || !self.workers.is_empty() {
            return false;
        }
        let Some(allowance) = allowances.get(self.plan.source()) else { return false };
        let wait = allowance.not_before.saturating_sub(now);
        let is_limited = !wait.is_zero() && allowance.most > 0;
        if (is_limited || allowance.most == 0) && self.meter.set_waiting(wait) != Phase::Waiting {
            let why = if is_limited { "the host limits requests" } else { "no connection is free" };
            debug!(target: CONCURRENCY, parent: &self.span, ?wait, "the job waits, because {why}");
        }
        is_limited
    }

    /// Returns the final path, if it was chosen.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match &self.stage {
            Stage::Placing(placing) => placing.path.clone(),
            _ => self.file().map(|file| file.path.clone()),
        }
    }

    /// Returns the partial file, if there is one.
    pub(super) fn file(&self) -> Option<&OpenFile> {
        match &self.stage {
            Stage::Transferring(file) | Stage::Verifying { file, .. } | Stage::Publishing { file, .. } => {
                Some(file)
            }
            Stage::Placing(_) | Stage::Over => None,
        }
    }

    pub(super) fn file_mut(&mut self) -> Option<&mut OpenFile> {
        match &mut self.stage {
            Stage::Transferring(file) | Stage::Verifying { file, .. } | Stage::Publishing { file, .. } => {
                Some(file)
            }
            Stage::Placing(_) | Stage::Over => None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Changes the stage of a job that has a partial file.
    pub(super) fn advance(&mut self, to: impl FnOnce(Stage) -> Stage) {
        self.stage = to(std::mem::replace(&mut self.stage, Stage::Over));
    }

    /// Records facts about the file from checksum lists, signatures and documents.
    pub(super) fn on_known(&mut self, known: Known) {
        if let Stage::Placing(placing) = &mut self.stage {
            placing.known = Some(placing.known.take().unwrap_or_default().and(known));
        }
    }

    /// Returns the facts about the file from checksum lists, signatures and documents, if they have arrived.
    /// After the partial file was opened, the result has no facts, because they are not needed any more.
    pub(super) fn known(&self) -> Option<Known> {
        match &self.stage {
            Stage::Placing(placing) => placing.known.clone(),
            _ => Some(Known::default()),
        }
    }

    /// Records a path that was chosen, if it is settled, and returns what is at the path.
    pub(super) fn on_looked(&mut self, looked: Looked) -> Place {
        if let Stage::Placing(placing) = &mut self.stage
            && looked.is_settled(&self.spec)
        {
            placing.path = Some(looked.path);
        }
        looked.place
    }

    /// Records the size of the server's file that a response about the existing file states.
    pub(super) fn on_response_about_existing(&mut self, size: Option<u64>) {
        if let Stage::Placing(placing) = &mut self.stage {
            placing.size = size;
        }
    }

    /// Returns the size of the server's file that a response about the existing file stated.
    pub(super) fn size_beside_existing(&self) -> Option<u64> {
        match &self.stage {
            Stage::Placing(placing) => placing.size,
            _ => None,
        }
    }

    /// Records that the partial file is being opened.
    pub(super) fn on_opening(&mut self) {
        if let Stage::Placing(placing) = &mut self.stage {
            placing.is_opening = true;
        }
    }

    /// Records that the partial file could not be opened. Returns the input for the plan.
    pub(super) fn on_not_opened(&mut self, error: Error) -> Input {
        if let Stage::Placing(placing) = &mut self.stage {
            placing.is_opening = false;
        }
        Input::Placed(Err(error), None)
    }

    /// Records that the partial file was started.
    pub(super) fn on_begun(&mut self, generation: Generation) {
        if let Some(file) = self.file_mut() {
            file.generation = generation;
        }
    }

    /// Records the result of choosing a path. From now on there is a partial file, unless the file is skipped
    /// or only the server can say if the existing file is the wanted one.
    pub(super) fn on_placed(&mut self, placement: Placement) {
        let Placing { known, size, .. } = match &mut self.stage {
            Stage::Placing(placing) => std::mem::take(placing),
            _ => Placing::default(),
        };
        let Placement { path, place, part, generation, journaled, written, .. } = placement;
        self.stage = match part {
            None => {
                // The response to the next request shows if the existing file is the wanted one.
                let path = Some(path).filter(|_| !matches!(place, Place::Ask(_)));
                Stage::Placing(Placing { known, path, is_opening: false, size })
            }
            Some(part) => Stage::Transferring(OpenFile {
                path,
                part,
                generation,
                journaled,
                written,
                look: None,
                verifier: None,
                checker: None,
                modified: None,
                signature: known.and_then(|known| known.signature),
                came: None,
            }),
        };
    }
}

impl Stage {
    /// Returns the partial file, if there is one.
    pub(super) fn into_file(self) -> Option<OpenFile> {
        match self {
            Stage::Transferring(file) | Stage::Verifying { file, .. } | Stage::Publishing { file, .. } => {
                Some(file)
            }
            Stage::Placing(_) | Stage::Over => None,
        }
    }

    /// Changes the stage when all bytes are written.
    pub(super) fn complete(self, now: Duration) -> Stage {
        match self {
            Stage::Transferring(file) | Stage::Verifying { file, .. } | Stage::Publishing { file, .. } => {
                Stage::Verifying { file, complete: now }
            }
            other => other,
        }
    }

    /// Changes the stage when all bytes are verified.
    pub(super) fn verified(self, now: Duration) -> Stage {
        match self {
            Stage::Verifying { file, complete } => Stage::Publishing { file, complete, verified: now },
            other => other,
        }
    }

    /// Changes the stage back when bytes are missing again.
    pub(super) fn incomplete(self) -> Stage {
        match self {
            Stage::Verifying { file, .. } | Stage::Publishing { file, .. } => Stage::Transferring(file),
            other => other,
        }
    }
}

impl OpenFile {
    /// Drops all facts about the bytes, because the partial file is started again.
    pub(super) fn begin(&mut self, journaled: bool) {
        self.journaled = journaled;
        self.modified = None;
        self.stop_checking();
        self.forget_digests();
    }

    /// Drops the digests and the kind of the content, because some of the written bytes were discarded.
    pub(super) fn forget_digests(&mut self) {
        (self.written, self.look, self.verifier) = (None, None, None);
    }

    pub(super) fn stop_checking(&mut self) {
        if let Some(checker) = self.checker.take() {
            checker.abort();
        }
    }
}

/// Adds the mirrors that a server named for a job. Returns those mirrors that the job did not have before.
pub(super) fn add_mirrors(running: &mut Running, sources: &Sources, mirrors: Vec<Url>) -> Vec<Url> {
    let mut new = Vec::new();
    for url in mirrors {
        if !running.spec.urls.contains(&url) {
            running.sources.push(sources.source(&url, GivenBy::Server));
            Arc::make_mut(&mut running.spec).urls.push(url.clone());
            new.push(url);
        }
    }
    new
}
