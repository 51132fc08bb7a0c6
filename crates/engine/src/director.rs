//! Runs the loop of a session. The loop passes commands, reports and timers to the plans, carries out the
//! actions of the plans, and reports the events of the plans.
//!
//! The director makes all decisions that concern more than one plan. It does not use the disk or the network
//! itself, with one exception: when it starts, it reads what earlier runs learned about hosts. Workers and
//! blocking tasks read and write, and send reports to the director.
//!
//! Invariant: each job is in the queue, or lent to the threads for small files, or running, or over. A job
//! becomes active only while fewer jobs are active than `Director::parallel` allows. A program can change
//! this number during the session. If no number was set, the director chooses the number itself. Running jobs
//! that are not active are paused, or they wait: for an answer of the user, for the end of a pause that a
//! host required, or for another run that is working on the file. [`Connections`] counts the connections, to
//! each host and in all. A job without a connection gets a connection before another job gets an additional
//! one.
//!
//! The methods of [`Director`] are in several files: [`starting`] decides which jobs start, [`lending`] lends
//! jobs with small files to other threads, and [`ending`] ends jobs and the session. [`control`] carries out
//! commands. [`connections`] opens connections, [`placing`] looks at names and opens partial files, and
//! [`verifying`] verifies bytes. [`reports`] passes reports to the plans, and [`preview`] ends the jobs of a
//! preview.

mod beginning;
mod closing;
mod connections;
mod control;
mod ending;
mod job_facts;
mod lending;
mod placement;
mod placing;
pub(crate) mod preview;
mod queue;
mod reports;
mod running;
mod starting;
mod verifying;

use crate::clock::Clock;
use crate::disk::Disk;
use crate::duplicates::Duplicates;
use crate::limit::Limit;
use crate::networks::Networks;
use crate::place::Places;
use crate::report::Reporter;
use crate::session::Added;
use crate::short_blocking::ShortCalls;
use crate::small_files::Returned;
use crate::source::Request;
use crate::space::Space;
use crate::trace;
use closing::ClosingParts;
use connections::Connections;
pub use control::Remove;
pub(crate) use control::{Command, Control};
use downhaul_core::concurrency::{Allowance, Controller};
use downhaul_core::dedup::Dedup;
use downhaul_core::event::{EventKind, JobId, Phase};
use downhaul_core::plan::Action;
use downhaul_core::preview::Forecast;
use downhaul_core::settings::{OnError, Settings};
pub use ending::Summary;
use job_facts::host_of;
pub(crate) use job_facts::{headers_of, listed_size};
use lending::Lending;
use queue::Queue;
use reports::Report;
use running::{Running, Stage};
use starting::FILES_LEAST;
pub use starting::IDLE_MOST;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::Span;
pub(crate) use verifying::{about, promises_data, publishing};

/// The number of jobs that are read ahead, so that the next job does not have to wait until its line of the
/// list is read.
pub(crate) const QUEUE_AHEAD: usize = 64;

/// If more hosts than this are known, a host is forgotten when its last connection ends. This many hosts take
/// a few hundred KiB.
const HOSTS_MOST: usize = 1024;

/// The highest number of reports that the director takes before it checks again which jobs may start or
/// continue.
const REPORTS_AT_ONCE: usize = 64;

/// The time between two checks of whether a slow reader of all events has caught up.
const READER_PATIENCE: Duration = Duration::from_millis(50);

/// The reason why an idle job ([`Plan::is_idle`](downhaul_core::plan::Plan::is_idle)) may continue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// The pause that the host required is over, or it is time to look again at a file on which another run
    /// was working.
    Waited,
    /// The user chose to retry the job.
    Answered,
    /// The job was paused, and was then resumed.
    Resumed,
}

type Receivers = (mpsc::UnboundedReceiver<(JobId, Report)>, mpsc::UnboundedReceiver<Vec<Returned>>);

pub(crate) struct Director {
    settings: Arc<Settings>,
    networks: Arc<Networks>,
    disk: Arc<dyn Disk>,
    places: Arc<Places>,
    /// True if checksum lists or signatures may state facts about the files.
    seeks_facts: bool,
    space: Arc<Space>,
    duplicates: Arc<Duplicates>,
    short_calls: Arc<ShortCalls>,
    clock: Clock,
    reporter: Arc<Reporter>,
    limit: Arc<Limit>,
    seed: u64,
    /// The highest number of jobs that are active at once, if the user or a client set it.
    parallel: Option<usize>,
    /// Decides how many jobs are active at once, if no number was set.
    files: Option<Controller>,
    on_error: OnError,
    queue: Queue,
    running: BTreeMap<JobId, Running>,
    /// The partial files of jobs that have ended.
    closing: Arc<ClosingParts>,
    /// Jobs that were removed with [`Remove::Discard`] while their partial files were being opened.
    discarded: BTreeSet<JobId>,
    /// Idle jobs that may continue as soon as the number of active jobs allows it.
    ready: VecDeque<(JobId, Ready)>,
    reports: mpsc::UnboundedSender<(JobId, Report)>,
    /// The receivers of the reports, and of the results of lent jobs.
    receivers: Option<Receivers>,
    connections: Connections,
    lending: Lending,
    /// The number of bytes that were received for jobs that have ended, without the jobs that the threads for
    /// small files finished. In a preview, the number of bytes that a download would receive.
    received: u64,
    /// The totals of a preview.
    forecast: Forecast,
    summary: Summary,
}

impl Director {
    pub(crate) fn new(
        settings: Arc<Settings>,
        networks: Arc<Networks>,
        disk: Arc<dyn Disk>,
        reporter: Arc<Reporter>,
        limit: Arc<Limit>,
        clock: Clock,
        seed: u64,
    ) -> Self {
        let (reports, report_receiver) = mpsc::unbounded_channel();
        let connections = Connections::new(&settings);
        let (results, returned) = mpsc::unbounded_channel();
        let is_preview = settings.preview.is_some();
        let dedup = if is_preview { Dedup::Off } else { settings.dedup };
        let files =
            settings.parallel.is_none().then(|| Controller::for_files(FILES_LEAST, settings.max_per_host));
        Director {
            places: Arc::new(Places::new(settings.clone(), disk.clone())),
            seeks_facts: !networks.get(0).checksums.is_idle(),
            duplicates: Arc::new(Duplicates::new(dedup, &settings.output, disk.clone())),
            space: Arc::new(Space::new(is_preview)),
            short_calls: Arc::default(),
            on_error: settings.on_error,
            parallel: settings.parallel,
            settings,
            networks,
            disk,
            clock,
            reporter,
            limit,
            seed,
            files,
            queue: Queue::default(),
            running: BTreeMap::new(),
            closing: Arc::default(),
            discarded: BTreeSet::new(),
            ready: VecDeque::new(),
            reports,
            receivers: Some((report_receiver, returned)),
            connections,
            lending: Lending::new(results, is_preview || dedup != Dedup::Off),
            received: 0,
            forecast: Forecast::default(),
            summary: Summary::default(),
        }
    }

    /// Runs until every job is over and no more jobs come: `jobs` is closed, the session was stopped, a limit
    /// of the run was reached, or no job may start after a failure (`--on-error`).
    pub(crate) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Added>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) -> Summary {
        let Some((mut reports, mut returned)) = self.receivers.take() else { return Summary::default() };
        let (mut batch, mut added, mut more_jobs) = (Vec::new(), Vec::new(), true);
        loop {
            let now = self.clock.now();
            self.check_limits(now, more_jobs);
            let gathers_until = self.gathers_until(more_jobs);
            if gathers_until.is_none() {
                self.lend();
                self.start_files();
                self.drive_waiting();
            }
            if self.queue.is_closed() {
                // The jobs that are still in this channel fail. After that, the channel is empty, and
                // `more_jobs` is false.
                jobs.close();
            }
            let is_idle = self.queue.is_empty() && self.running.is_empty() && self.lending.is_empty();
            if !more_jobs && is_idle {
                break;
            }
            let wake = self.next_wake(now).into_iter().chain(gathers_until).chain(self.watch_lent()).min();
            let timer = self.clock.instant_of(wake.unwrap_or_default());
            let wants_jobs = more_jobs && added.is_empty() && self.wants_jobs();
            tokio::select! {
                number = jobs.recv_many(&mut added, QUEUE_AHEAD), if wants_jobs => {
                    more_jobs = number > 0;
                    // The program may have sent these commands before it added the jobs.
                    for _ in 0..commands.len() {
                        commands.try_recv().into_iter().for_each(|command| self.obey(command));
                    }
                }
                Some(command) = commands.recv() => self.obey(command),
                _ = reports.recv_many(&mut batch, REPORTS_AT_ONCE) => {
                    batch.drain(..).for_each(|(job, report)| self.on_report(job, report));
                }
                Some(results) = returned.recv() => {
                    results.into_iter().for_each(|returned| self.on_returned(returned));
                }
                () = tokio::time::sleep_until(timer), if wake.is_some() => self.wake(),
            }
            self.enqueue_all(&mut added);
        }
        match self.is_preview() {
            true => self.sum_up_preview().await,
            false => self.remember().await,
        }
        self.sum_up()
    }

    /// Returns the time of the next timer. `now` is the time at which the limits of the run were checked, so
    /// that a deadline between that check and this call is not missed.
    fn next_wake(&self, now: Duration) -> Option<Duration> {
        let open = !self.queue.is_closed();
        let timers = self.running.values().filter_map(|one| one.wake);
        let reader = (open && self.reporter.is_behind()).then(|| now + READER_PATIENCE);
        // The deadline may have passed without effect, if no further job waited.
        let deadline = self.settings.limits.deadline.filter(|&deadline| open && deadline > now);
        timers.chain(reader).chain(deadline).min()
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        let due: Vec<JobId> = self
            .running
            .iter()
            .filter(|(_, one)| one.wake.is_some_and(|at| at <= now))
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            match self.running.get_mut(&id) {
                Some(running) if running.plan.is_idle() => {
                    running.wake = None;
                    self.ready.push_back((id, Ready::Waited));
                }
                _ => self.drive(id),
            }
        }
    }

    /// Carries out the next actions of a plan.
    //
    // This function is long because it is one match over all actions.
    fn drive(&mut self, id: JobId) {
        let now = self.clock.now();
        loop {
            let allowances = self.allowances(id);
            let Some(running) = self.running.get_mut(&id).filter(|running| !running.is_over()) else {
                return;
            };
            let action = running.plan.next(now, &allowances);
            let Some(action) = self.preview(id, action) else { continue };
            let Some(running) = self.running.get_mut(&id) else { return };
            match action {
                Action::Wait(wake) => {
                    running.wake = wake;
                    let (more, none) = (running.plan.takes_more(), running.plan.is_starving());
                    let full = |one: &Allowance| (none && one.most == 0) || (more && one.worth == 0);
                    running.wants_more = allowances.iter().any(full);
                    // The host may allow the request earlier, as soon as it serves another file.
                    self.connections.wanted |= running.show_wait(now, &allowances) || running.wants_more;
                    if running.plan.is_paused() {
                        running.meter.set_phase(Phase::Paused);
                    }
                    return self.end_preview(id);
                }
                Action::Observe { source, observation } => {
                    let host = host_of(&running.spec, source);
                    self.connections.at_host(host, |host| host.on(now, observation));
                }
                Action::Look { remote } => self.look(id, remote),
                Action::Fetch { worker, source, from, to } => {
                    let (size, headers) =
                        (listed_size(&running.spec), headers_of(&running.spec, &self.settings, source));
                    let answered_at = running.plan.answered_at(source);
                    let sends = running.spec.sends.clone().map(Arc::new);
                    let request = Request { size, answered_at, headers, sends, ..Request::range(from, to) };
                    self.fetch(id, worker, source, request);
                }
                Action::Ask { worker, source, conditions } => {
                    let headers = headers_of(&running.spec, &self.settings, source);
                    let request = Request { headers, ..Request::about(conditions) };
                    self.fetch(id, worker, source, request);
                }
                Action::Place { remote, begin } => self.place(id, remote.as_deref().cloned(), begin),
                Action::Begin(begin) => self.begin(id, begin),
                Action::CheckJournal { number, claims } => self.check(id, number, claims),
                Action::Accept { worker, skip, at, end } => self.accept(id, worker, skip, at, end),
                Action::Cut { worker, end } => {
                    if let Some(at_work) = running.workers.get_mut(&worker) {
                        at_work.cut = true;
                        at_work.end.store(end, Ordering::Relaxed);
                    }
                }
                Action::Drop { worker } => self.remove_worker(id, worker, true),
                Action::VerifyChunk { number, chunk, expected } => {
                    self.verify_chunk(id, number, chunk, expected)
                }
                Action::Discard { number, ranges } => self.discard(id, number, ranges),
                Action::Verify => self.verify(id),
                Action::Publish => self.publish(id),
                Action::Tell(fact) => {
                    match &fact {
                        EventKind::Retrying { wait, .. } => {
                            running.span.in_scope(|| trace::retrying(&fact));
                            let wait = Duration::try_from_secs_f64(*wait).unwrap_or(Duration::MAX);
                            running.meter.set_waiting(wait);
                        }
                        EventKind::Question { .. } => running.meter.set_phase(Phase::Asking),
                        _ => {}
                    }
                    let fact = fact.with_made_from(running.made_from.take());
                    self.reporter.tell(Some(id), fact.with_extra(&running.spec.extra));
                }
                Action::Finish(outcome) => self.finish(id, outcome),
            }
        }
    }

    /// Runs work on the disk on a thread that may block. If the work is `quick`, [`ShortCalls`] runs it.
    fn block(&self, id: JobId, quick: bool, work: impl FnOnce() -> Report + Send + 'static) {
        let (reports, span) = (self.reports.clone(), self.span(id));
        let work = move || drop(reports.send((id, span.in_scope(work))));
        if quick {
            self.short_calls.run(work);
        } else {
            tokio::task::spawn_blocking(work);
        }
    }

    fn span(&self, id: JobId) -> Span {
        self.running.get(&id).map_or_else(Span::none, |running| running.span.clone())
    }
}

/// Ends the streams of events, so that their readers end too, even if the loop panics.
impl Drop for Director {
    fn drop(&mut self) {
        self.reporter.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::file::ReadOnlyFiles;
    use crate::source::Sources;
    use downhaul_core::run_limits::RunLimits;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_has_passed_is_no_time_to_wake_up() {
        let deadline = Duration::from_secs(5);
        let limits = RunLimits { deadline: Some(deadline), ..RunLimits::default() };
        let settings = Arc::new(Settings::default().with_limits(limits));
        let sources = Sources::http(&settings).expect("no certificates are read");
        let (clock, networks) = (Clock::start(), Arc::new(Networks::new(settings.clone(), sources)));
        let (reporter, limit) = (Arc::new(Reporter::new(clock)), Arc::new(Limit::new(None)));
        let mut director =
            Director::new(settings, networks, Arc::new(ReadOnlyFiles), reporter, limit, clock, 1);
        assert_eq!(director.next_wake(director.clock.now()), Some(deadline));
        tokio::time::advance(deadline).await;
        // No job waits, so the deadline ends nothing.
        director.check_limits(director.clock.now(), false);
        assert_eq!((director.next_wake(director.clock.now()), director.summary.reached), (None, None));
    }
}
