//! Lends ordinary jobs to the threads for small files ([`crate::small_files`]). [`returned`] handles the jobs
//! that they give back.
//!
//! With `--http2`, no job is lent, because all requests must share one connection.
//!
//! Invariant: all jobs that are lent have the same host. The jobs that may be in progress on the threads are
//! counted as connections of this host and as active jobs, so no limit is exceeded. As an exception, all jobs
//! of a thread that waits for a disk count as one job, although their connections stay open. No job is lent
//! for a host that limits the number of requests, because the director spaces them out.

mod returned;

use super::job_facts::{host_of, listed_size};
use super::running::Running;
use super::starting::IDLE_MOST;
use super::{Director, QUEUE_AHEAD};
use crate::small_files::{Lent, Returned, STUCK, SmallFiles, Tools};
use crate::source::{GivenBy, SMALL_FILE};
use crate::trace;
use downhaul_core::concurrency::Host;
use downhaul_core::event::JobId;
use downhaul_core::identity::Identity;
use downhaul_core::job::{Destination, IfExists, Job};
use downhaul_core::settings::{HttpVersion, Resume, Sync};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;

/// The threads start only when this many jobs wait. For fewer files, the threads would save less than a
/// millisecond.
const QUEUED_LEAST: usize = 8;

/// The longest time for which the first jobs wait for more jobs. A list gives dozens of jobs within this
/// time, also on a busy machine, and a user does not notice this wait.
const GATHER: Duration = Duration::from_millis(50);

/// After this many responses in a row that were given back without an error, no job is lent until the
/// download of a small file has finished. The files of such responses are large or cannot be saved in one
/// step, so the threads do not make their downloads faster.
const UNUSUAL_MOST: u32 = 4;

/// The jobs that are lent.
pub(super) struct Lending {
    threads: Option<SmallFiles>,
    results: mpsc::UnboundedSender<Vec<Returned>>,
    out: BTreeSet<JobId>,
    /// The jobs in the queue that must start in the usual way, without the threads.
    usual: BTreeSet<JobId>,
    /// The host of the jobs that are lent.
    host: String,
    /// The number of lent jobs that are counted as connections of the host.
    counted: usize,
    /// The highest number of connections to this host that the user allows.
    most: usize,
    /// The number of jobs that the threads gave back as [`Returned::Responded`] or [`Returned::Untouched`],
    /// and that the threads still count as jobs in progress.
    started: usize,
    /// The number of responses in a row that were given back without an error.
    unusual: u32,
    /// True if the threads cannot be used.
    is_off: bool,
    /// The time until which the first jobs wait for more jobs. It is `None` before the first job.
    gathers_until: Option<Duration>,
    /// The time of the next check of whether a disk makes the threads wait.
    watched: Duration,
}

impl Lending {
    /// Returns the state before any job is lent. The threads will send their results to `results`. If
    /// `is_off` is true, or if the runtime has only one thread, nothing is lent.
    pub(super) fn new(results: mpsc::UnboundedSender<Vec<Returned>>, is_off: bool) -> Lending {
        // The simulated worlds of the tests have one thread and a simulated clock, so nothing is lent there.
        let is_off = is_off || Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        Lending {
            threads: None,
            results,
            out: BTreeSet::new(),
            usual: BTreeSet::new(),
            host: String::new(),
            counted: 0,
            most: 0,
            started: 0,
            unusual: 0,
            is_off,
            gathers_until: None,
            watched: Duration::ZERO,
        }
    }

    /// Returns true if no job is lent.
    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Returns true if this job is lent.
    pub(super) fn has(&self, id: JobId) -> bool {
        self.out.contains(&id)
    }

    /// Returns the jobs that are lent.
    pub(super) fn lent(&self) -> impl Iterator<Item = JobId> {
        self.out.iter().copied()
    }

    /// Returns the number of lent jobs in progress, as the threads count them (`State::at_work`).
    pub(super) fn at_work(&self) -> usize {
        self.threads.as_ref().filter(|_| !self.out.is_empty()).map_or(0, SmallFiles::at_work)
    }

    /// Returns true if lent jobs still wait for a thread. They start before the jobs of the queue.
    pub(super) fn has_waiting(&self) -> bool {
        !self.out.is_empty() && self.threads.as_ref().is_some_and(SmallFiles::has_waiting)
    }

    /// Records that a job starts in the usual way.
    pub(super) fn on_started(&mut self, id: JobId) {
        self.usual.remove(&id);
    }

    /// Records the size of a file that was downloaded in the usual way.
    pub(super) fn on_size(&mut self, bytes: u64) {
        if bytes <= SMALL_FILE {
            self.unusual = 0;
        }
    }
}

impl Director {
    /// Returns the time until which no job starts, because more jobs may arrive very soon. Without this wait,
    /// the first jobs of a list would start in the usual way, and open connections that the later jobs cannot
    /// use. `more_jobs` is true if the program may still add jobs.
    pub(super) fn gathers_until(&mut self, more_jobs: bool) -> Option<Duration> {
        let now = self.clock.now();
        let few = self.queue.waiting() < QUEUED_LEAST && !self.queue.is_empty();
        if self.lending.is_off || !few || !more_jobs || !self.running.is_empty() {
            return None;
        }
        let until = *self.lending.gathers_until.get_or_insert(now + GATHER);
        (now < until).then_some(until)
    }

    /// Checks if a disk makes the threads wait. Returns the time of the next check.
    pub(super) fn watch_lent(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let threads = self.lending.threads.as_ref().filter(|_| !self.lending.out.is_empty())?;
        if now >= self.lending.watched {
            threads.watch();
            self.lending.watched = now + STUCK;
        }
        Some(self.lending.watched)
    }

    /// Lends as many jobs of the queue as the limits allow.
    pub(super) fn lend(&mut self) {
        let started = std::mem::take(&mut self.lending.started);
        let has_enough = self.lending.threads.is_some() || self.queue.waiting() >= QUEUED_LEAST;
        let at_once = match !self.lending.is_off && has_enough && self.may_lend() {
            true => self.lent_at_once(),
            false => 0,
        };
        if at_once == 0 {
            self.withdraw();
        }
        let jobs = if at_once > 0 { self.ordinary_jobs() } else { Vec::new() };
        let counted = if self.lending.is_empty() { 0 } else { at_once.max(self.lending.at_work()) };
        self.count_lent(counted);
        if let Some(threads) = &self.lending.threads {
            threads.lend(jobs, at_once, started);
        }
    }

    /// Returns true if jobs may be lent now. If no job is lent, the host of the next job becomes the host of
    /// the jobs that are lent.
    fn may_lend(&mut self) -> bool {
        let now = self.clock.now();
        if self.lending.is_empty() {
            self.count_lent(0);
            let Some((_, spec)) = self.queue.peek() else { return false };
            let (name, most) = (host_of(spec, 0).to_string(), self.most_at_host(spec, 0));
            let origin = spec.urls.first().map(|url| url.origin().ascii_serialization());
            let named = self.most_connections(spec).is_some();
            let before = std::mem::replace(&mut self.lending.host, name);
            self.connections.forget_if_many(&before);
            self.connections.host(&self.lending.host, origin, most, named);
            self.lending.most = most;
        }
        let host = self.connections.hosts.get_mut(&self.lending.host);
        let is_limited = host.is_none_or(|host| {
            host.is_limited() || host.allowance_for_new_file(now, usize::MAX).not_before > now
        });
        let fits = self.lending.unusual < UNUSUAL_MOST && !self.limit.is_set() && self.idle() < IDLE_MOST;
        fits && !is_limited && !self.reporter.is_behind()
    }

    /// Takes ordinary jobs from the queue, in order. Stops at the first job that is not ordinary or whose
    /// path may be occupied, when the threads have enough jobs, or if the threads cannot start.
    fn ordinary_jobs(&mut self) -> Vec<Lent> {
        let mut jobs = Vec::new();
        let room = self.lending.threads.as_ref().map_or(QUEUE_AHEAD, SmallFiles::room);
        let host = self.connections.hosts.get(&self.lending.host);
        let likely_small = host.is_some_and(Host::is_known_for_http2);
        while jobs.len() < room
            && let Some((id, spec)) = self.queue.peek()
            && self.is_ordinary(id, spec)
        {
            let rules = self.rules(id, spec);
            let identity = Identity { origins: rules.origins.clone(), has_strong_digest: false };
            let is_occupied = rules.look_first && self.places.is_occupied(id, &identity);
            if is_occupied || !self.start_threads() {
                self.lending.usual.insert(id);
                break;
            }
            let Some((id, spec)) = self.queue.pop() else { break };
            self.lending.out.insert(id);
            let url = &spec.urls[0];
            let source = self.networks.get(0).sources.source(url, GivenBy::of(&self.settings, url, &spec));
            jobs.push(Lent { id, spec: spec.into(), rules, likely_small, source, span: trace::job(id) });
        }
        jobs
    }

    /// Returns true if a job can be lent: it needs nothing that only the director can do, and its host is the
    /// host of the jobs that are lent.
    fn is_ordinary(&self, id: JobId, spec: &Job) -> bool {
        let [url] = &*spec.urls else { return false };
        let settings = &self.settings;
        let destination = &spec.destination;
        !self.lending.usual.contains(&id)
            && spec.range.is_none()
            && spec.sends.is_none()
            && spec.chunks.is_none()
            && spec.network == 0
            && spec.limit_rate.is_none()
            && listed_size(spec).is_none_or(|size| size <= SMALL_FILE)
            && matches!(destination, Destination::Server | Destination::Name(_) | Destination::Path(_))
            && self.lending.host == host_of(spec, 0)
            && self.lending.most == self.most_at_host(spec, 0)
            && !self.seeks_facts
            && settings.resume_of(spec) == Resume::Auto
            && settings.sync != Sync::Always
            && settings.if_exists_of(spec) != IfExists::Rename
            && settings.max_time.is_none()
            && settings.limits.max_total.is_none()
            && settings.http_version != HttpVersion::Two
            && settings.proxies.of(url).is_none()
            && self.connections.limits.of(url).is_none()
    }

    /// Starts the threads, if they do not run yet. Returns false if that is not possible.
    fn start_threads(&mut self) -> bool {
        if self.lending.threads.is_none() {
            let tools = Tools {
                settings: self.settings.clone(),
                places: self.places.clone(),
                disk: self.disk.clone(),
                reporter: self.reporter.clone(),
                clock: self.clock,
            };
            self.lending.threads = SmallFiles::start(tools, self.lending.results.clone());
            self.lending.is_off = self.lending.threads.is_none();
        }
        !self.lending.is_off
    }

    /// Returns how many lent jobs may be in progress.
    fn lent_at_once(&mut self) -> usize {
        let (now, counted) = (self.clock.now(), self.lending.counted);
        let active = self.running.len() - self.idle();
        // If the next job is not ordinary, one job less is lent, so that this next job can start.
        let is_next = !self.lending.has_waiting();
        let waits = is_next && self.queue.peek().is_some_and(|(id, spec)| !self.is_ordinary(id, spec));
        // Idle jobs that may continue come before lent jobs.
        let files = self.parallel().saturating_sub(active + usize::from(waits) + self.ready.len());
        // Running jobs of this host that need a connection and have none come before lent jobs.
        let host = &self.lending.host;
        let starves = |one: &&Running| {
            one.workers.is_empty() && one.plan.is_starving() && host_of(&one.spec, one.plan.source()) == host
        };
        let starving = self.running.values().filter(starves).count();
        let others = self.connections.count.load(Ordering::Relaxed).saturating_sub(counted);
        let in_all = self.settings.max_connections.saturating_sub(others);
        let at_host = match self.connections.hosts.get_mut(&self.lending.host) {
            None => self.lending.most,
            Some(host) => {
                let others = host.in_use().saturating_sub(counted);
                self.lending.most.min(host.tolerated(now)).saturating_sub(others)
            }
        };
        files.min(in_all.min(at_host).saturating_sub(starving))
    }

    /// Counts this many lent jobs as active jobs, and as connections of their host.
    fn count_lent(&mut self, number: usize) {
        let now = self.clock.now();
        let before = std::mem::replace(&mut self.lending.counted, number);
        if before == number {
            return;
        }
        self.connections.count.fetch_add(number, Ordering::Relaxed);
        self.connections.count.fetch_sub(before, Ordering::Relaxed);
        let (host, most) = (self.lending.host.clone(), self.lending.most);
        let host = self.connections.host(&host, None, most, false);
        for _ in before..number {
            host.on_opened(now, true);
            self.files.iter_mut().for_each(|files| files.on_opened(false));
        }
        for _ in number..before {
            host.on_lent_closed(now);
            self.files.iter_mut().for_each(|files| files.on_closed(false));
        }
        self.connections.forget_if_many(&self.lending.host);
    }

    /// Takes back the lent jobs that no thread has taken yet.
    pub(super) fn withdraw(&mut self) {
        let jobs = self.lending.threads.as_ref().map(SmallFiles::withdraw).unwrap_or_default();
        jobs.into_iter().for_each(|job| self.on_untouched(job));
    }

    /// Calls back all lent jobs, so that a command can be carried out. The jobs that are in progress are
    /// given back soon after.
    pub(super) fn call_back(&mut self) {
        self.withdraw();
        if let Some(threads) = &self.lending.threads {
            threads.call_back();
        }
    }
}
