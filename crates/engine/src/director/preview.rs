//! Ends each job of a preview (`downhaul plan`) at the point where a download would write the first byte, and
//! reports what would be written.
//!
//! A preview runs the same plans as a download, with the same names, limits and retries. Its disk writes
//! nothing. A preview requests only the facts about a file, or one byte if a partial file may be continued.
//! If the list states the facts, they are taken from the list, and no request is sent.
//!
//! Invariant: a job of a preview ends as planned, skipped or failed, and no byte of a body is written.

use super::job_facts::{headers_of, listed_size};
use super::running::Running;
use super::{Director, Report};
use crate::source::Request;
use downhaul_core::event::{EventKind, JobId, PlannedFile};
use downhaul_core::identity::Conditions;
use downhaul_core::plan::{Action, Input, WorkerId};
use downhaul_core::preview::{Preview, SizeFrom, Step, may_be_renamed};
use downhaul_core::remote::Remote;
use downhaul_core::settings::{ChecksumList, Settings, Verify};
use downhaul_core::show;

/// The facts about a running job that a preview needs.
#[derive(Default)]
pub(super) struct Previewed {
    /// True once a download would begin to write.
    pub(super) is_ready: bool,
    /// True if a request about the file was sent to the server.
    pub(super) was_asked: bool,
    /// True if a file of this name exists and would be replaced.
    pub(super) replaces: bool,
    /// True if only the server can say if the existing file is the wanted one.
    pub(super) compares: bool,
    /// The offset at which the first range would be requested.
    pub(super) from: u64,
    /// The URL of the response, without secrets.
    pub(super) url: Option<String>,
}

/// Returns the settings that a session uses. A preview without requests cannot fetch checksum lists and
/// signatures, so its settings do not require them.
pub(crate) fn settings(mut settings: Settings) -> Settings {
    if settings.preview == Some(Preview::Offline) {
        settings.checksums = settings.checksums.filter(|list| !matches!(list, ChecksumList::Url(_)));
        settings.verify = if settings.verify == Verify::Off { Verify::Off } else { Verify::Auto };
        settings.signed_by = None;
        settings.mirrors = false;
    }
    settings
}

impl Director {
    pub(super) fn is_preview(&self) -> bool {
        self.settings.preview.is_some()
    }

    /// Carries out an action of a plan in a preview, if a preview carries it out in another way than a
    /// download. Returns `None` for such an action, and returns any other action unchanged.
    pub(super) fn preview(&mut self, id: JobId, action: Action) -> Option<Action> {
        let Some(preview) = self.settings.preview else { return Some(action) };
        let running = self.running.get_mut(&id)?;
        let previewed = &mut running.previewed;
        match action {
            // A download would begin to write now, and could then open more connections. A preview does
            // neither.
            Action::Accept { .. } | Action::Verify => previewed.is_ready = true,
            Action::Fetch { .. } if previewed.is_ready => {}
            Action::Fetch { worker, source, from, to } => self.preview_fetch(id, worker, source, (from, to)),
            Action::Ask { .. } if preview == Preview::Offline => {
                (previewed.is_ready, previewed.compares) = (true, true);
            }
            Action::Tell(EventKind::Started { url, .. }) => previewed.url = Some(url),
            Action::Tell(EventKind::Resumed { .. }) => {}
            // A preview does not wait for the end of the other run.
            Action::Tell(EventKind::Retrying { .. }) if running.plan.is_locked() => {}
            other => return Some(other),
        }
        None
    }

    /// Handles a request for bytes in a preview. The preview requests only the facts about the file, or one
    /// byte of it.
    fn preview_fetch(&mut self, id: JobId, worker: WorkerId, source: usize, (from, to): (u64, Option<u64>)) {
        let Some(preview) = self.settings.preview else { return };
        let Some(running) = self.running.get_mut(&id) else { return };
        let (spec, size) = (running.spec.clone(), listed_size(&running.spec));
        let is_whole = from == 0 && to.is_none();
        if preview.asks(&spec, &self.settings, size) {
            let request = match is_whole {
                true => Request::about(Conditions::default()),
                // The response to a request for one byte shows if the bytes on the disk can be continued.
                false => Request::range(from, Some(from.saturating_add(1))),
            };
            let answered_at = running.plan.answered_at(source);
            running.previewed.was_asked = true;
            let headers = headers_of(&spec, &self.settings, source);
            self.fetch(id, worker, source, Request { answered_at, headers, ..request });
        } else if is_whole && let Some(url) = spec.urls.get(source) {
            let mut remote = Remote::whole(url.clone());
            remote.size = size;
            let opened = Input::Opened { worker, remote: Box::new(remote) };
            // Sending fails only if the director has ended.
            let _ = self.reports.send((id, Report::Input(opened)));
        } else {
            (running.previewed.is_ready, running.previewed.from) = (true, from);
        }
    }

    /// Ends a job of a preview, if it is already known what a download would write, or if another run is
    /// working on the file.
    pub(super) fn end_preview(&mut self, id: JobId) {
        let Some(running) = self.running.get(&id).filter(|_| self.is_preview()) else { return };
        let is_locked = running.plan.is_locked();
        let is_ready = running.previewed.is_ready && !running.plan.is_reading_back();
        if running.is_over() || !(is_ready || is_locked) {
            return;
        }
        let file = self.planned_file(id, running);
        let missing = file.size.map(|(size, _)| size.saturating_sub(file.kept));
        let origin = running.spec.urls.first().map(|url| url.origin().ascii_serialization());
        self.forecast.add(&origin.unwrap_or_default(), missing, file.kept);
        self.received = self.received.saturating_add(missing.unwrap_or(0));
        let event = EventKind::planned(file).with_extra(&running.spec.extra);
        self.reporter.tell(Some(id), event);
        self.summary.planned += 1;
        self.forget_planned(id);
    }

    fn planned_file(&self, id: JobId, running: &Running) -> PlannedFile {
        let (plan, previewed, spec) = (&running.plan, &running.previewed, &running.spec);
        let (listed, known) = (listed_size(spec), plan.size());
        let size = match (previewed.was_asked, listed, known) {
            (true, _, Some(size)) => Some((size, SizeFrom::Server)),
            (_, Some(size), _) => Some((size, SizeFrom::List)),
            (false, None, Some(size)) => Some((size, SizeFrom::Journal)),
            (_, None, None) => None,
        };
        let kept = plan.bytes().max(previewed.from);
        let step = match () {
            () if plan.is_locked() => Step::Wait,
            () if previewed.compares => Step::Compare,
            () if kept > 0 => Step::Resume,
            () if previewed.replaces => Step::Replace,
            () => Step::Download,
        };
        let path = running.path().or_else(|| self.places.reserved(id));
        let path = path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let given = || spec.urls.first().map(show::url).unwrap_or_default();
        PlannedFile {
            step,
            url: previewed.url.clone().unwrap_or_else(given),
            path,
            may_be_renamed: !previewed.was_asked && may_be_renamed(spec, &self.settings.naming),
            size,
            kept,
            digests: plan.expected(),
        }
    }

    /// Removes a job that would be downloaded. The name of its file stays reserved if another job may have
    /// the same name. The disk space for the file stays counted.
    fn forget_planned(&mut self, id: JobId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if let Some(file) = running.file_mut() {
            file.stop_checking();
        }
        let spec = running.spec.clone();
        let workers: Vec<WorkerId> = running.workers.keys().copied().collect();
        workers.into_iter().for_each(|worker| self.remove_worker(id, worker, false));
        self.reporter.drop_meter(id);
        self.space.plan(id);
        self.places.over(id, &spec, false);
        self.count_progress(0);
        self.forget(id);
    }

    /// Reports the totals of a preview.
    pub(super) async fn sum_up_preview(&mut self) {
        let (mut forecast, disk) = (std::mem::take(&mut self.forecast), self.disk.clone());
        let memory = &self.connections.memory;
        forecast.estimate(|origin| memory.known(origin), self.settings.limit_rate);
        let path = self.settings.output.join("file");
        forecast.free = tokio::task::spawn_blocking(move || disk.free_space(&path)).await.ok().flatten();
        self.reporter.tell(None, EventKind::plan(forecast));
    }
}
