//! A job that is running: its plan, its workers, and its partial file.

use super::connections::AtWork;
use super::placing::Written;
use crate::disk::{Generation, Part};
use crate::hashing::Verifier;
use crate::limit::Limits;
use crate::report::Meter;
use crate::signed::Signature;
use crate::source::{GivenBy, Source, Sources};
use downhaul_core::content::Look;
use downhaul_core::job::{Headers, Job};
use downhaul_core::plan::{Plan, WorkerId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tracing::Span;
use url::Url;

/// A job that is running.
pub(super) struct Running {
    pub(super) spec: Arc<Job>,
    pub(super) plan: Plan,
    /// All that happens to the job is traced in it.
    pub(super) span: Span,
    pub(super) meter: Arc<Meter>,
    pub(super) priority: i32,
    pub(super) limits: Limits,
    /// True if its partial file is deleted when it ends unfinished.
    pub(super) discard: bool,
    /// True if it could use a further connection and got none.
    pub(super) wants_more: bool,
    pub(super) sources: Vec<Arc<dyn Source>>,
    pub(super) workers: BTreeMap<WorkerId, AtWork>,
    pub(super) checker: Option<AbortHandle>,
    /// True once the plan has the facts of lists and signatures about the file.
    pub(super) told: bool,
    /// The final path, once chosen.
    pub(super) path: Option<PathBuf>,
    pub(super) part: Option<Arc<dyn Part>>,
    pub(super) generation: Generation,
    pub(super) written: Option<Written>,
    /// What the content looks like, if that was seen while it was written.
    pub(super) look: Option<Look>,
    pub(super) journaled: bool,
    pub(super) verifier: Option<Verifier>,
    /// Its own signature.
    pub(super) signature: Option<Arc<Signature>>,
    pub(super) modified: Option<std::time::SystemTime>,
    pub(super) wake: Option<Duration>,
    /// The highest number of connections at one time. The next fields are the times when the file began, when
    /// its first bytes arrived, when it was complete, and when it was verified.
    pub(super) most_workers: usize,
    pub(super) since: Duration,
    pub(super) came: Option<Duration>,
    pub(super) complete: Option<Duration>,
    pub(super) proven: Option<Duration>,
    /// True if it is over and its partial file is being removed.
    pub(super) over: bool,
}

impl Running {
    /// Returns a job that starts `now`.
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
            checker: None,
            told: false,
            path: None,
            part: None,
            generation: 0,
            written: None,
            look: None,
            journaled: false,
            verifier: None,
            signature: None,
            modified: None,
            wake: None,
            most_workers: 0,
            since: now,
            came: None,
            complete: None,
            proven: None,
            over: false,
        }
    }
}

/// Adds the mirrors that a server named. Returns the new ones.
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

/// Returns the host of a source.
pub(super) fn host_of(spec: &Job, source: usize) -> &str {
    spec.urls.get(source).and_then(|url| url.host_str()).unwrap_or_default()
}

/// Returns the headers of a job, or `None` if it has none.
pub(super) fn headers_of(job: &Job) -> Option<Arc<Headers>> {
    (!job.headers.0.is_empty()).then(|| Arc::new(job.headers.clone()))
}

/// Returns the size of a file as its list states it. JSON lines and lock files state it among other keys,
/// which are not checked.
pub(super) fn listed_size(spec: &Job) -> Option<u64> {
    spec.size.or_else(|| spec.extra.get("size")?.as_u64())
}

/// Returns the last part of a path, in words for the user.
pub(super) fn name_of(path: &std::path::Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
