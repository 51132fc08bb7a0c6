//! Counts the open connections, to each host and in all. Together with the plans and the hosts, this module
//! decides which job may open another connection. It also starts the workers, and allows them to write.
//!
//! Invariant: each connection is counted once, at its host. It belongs to one worker of a running job, or to
//! the threads for small files ([`super::lending`]). A worker counts as a connection from its start.

use super::{Director, HOSTS_MOST, Report, Running, Stage, host_of};
use crate::explain;
use crate::hashing::Verifier;
use crate::host_memory::Memory;
use crate::limit::{HostLimits, Limits};
use crate::source::Request;
use crate::trace::CONCURRENCY;
use crate::worker::{Go, UNKNOWN_END, Whole, Worker};
use downhaul_core::concurrency::{Allowance, Host, Learned, Level};
use downhaul_core::event::{JobId, Phase};
use downhaul_core::job::Job;
use downhaul_core::plan::{Input, WorkerId};
use downhaul_core::proxy::Proxy;
use downhaul_core::settings::Settings;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tracing::{Instrument, debug};

/// The open connections of a session.
#[derive(Default)]
pub(super) struct Connections {
    pub(super) hosts: HashMap<String, Host>,
    /// The number of connections. The workers read this number to divide the memory among themselves.
    pub(super) count: Arc<AtomicUsize>,
    /// True if a job needed a first or a further connection and could not open it yet.
    pub(super) wanted: bool,
    pub(super) limits: HostLimits,
    pub(super) memory: Memory,
    /// The origin of the first request to each host. The facts about a host are stored for later runs under
    /// this origin.
    origins: HashMap<String, String>,
    /// The facts that this run learned about hosts that are no longer in `hosts`.
    learned: Vec<(String, Learned)>,
    /// The proxies that connections went through, without their logins.
    pub(super) proxies: BTreeSet<String>,
}

/// A running worker, which counts as a connection.
pub(super) struct AtWork {
    pub(super) source: usize,
    pub(super) host: String,
    /// The sender for the permission to write. It is `None` once the permission was sent.
    pub(super) go: Option<oneshot::Sender<Go>>,
    /// The offset after the last byte that the worker may write.
    pub(super) end: Arc<AtomicU64>,
    pub(super) whole: Whole,
    pub(super) task: AbortHandle,
    /// The time when the worker was started, or when the threads for small files sent its request.
    pub(super) sent: Duration,
    /// The time when the request failed, if the threads for small files sent it.
    pub(super) failed: Option<Duration>,
    /// The modification time of the file in the response. It is used once the response is accepted.
    pub(super) modified: Option<SystemTime>,
    /// True if bytes have arrived over the connection.
    pub(super) flowed: bool,
    /// The offset after the last requested byte, or `None` if the request is for all bytes up to the end.
    pub(super) to: Option<u64>,
    /// True if all requested bytes have arrived.
    pub(super) complete: bool,
    /// True if the worker stops before the end of its response.
    pub(super) cut: bool,
}

impl Connections {
    pub(super) fn new(settings: &Settings) -> Self {
        let (memory, limits) =
            (Memory::read(settings.hosts.as_deref()), HostLimits::new(&settings.for_hosts));
        Connections { memory, limits, ..Connections::default() }
    }

    /// Returns the host of that name. A new host gets this origin and at most `most` connections. If `named`
    /// is true, the user set the number of connections, so the number from an earlier run is not used.
    pub(super) fn host(&mut self, name: &str, origin: Option<String>, most: usize, named: bool) -> &mut Host {
        self.hosts.entry(name.to_string()).or_insert_with(|| {
            let origin = origin.unwrap_or_default();
            let known = self.memory.known(&origin);
            self.origins.insert(name.to_string(), origin);
            Host::new(most, Learned { best: known.best.filter(|_| !named), ..known })
        })
    }

    /// Applies a change to a host, if the host is known, and traces a change of its target.
    pub(super) fn at_host<T>(&mut self, name: &str, change: impl FnOnce(&mut Host) -> T) -> Option<T> {
        let host = self.hosts.get_mut(name)?;
        let before = host.steps().last().copied();
        let result = change(host);
        if let Some(step) = host.steps().last().filter(|step| Some(**step) != before) {
            debug!(
                target: CONCURRENCY,
                host = name,
                from = step.from,
                to = step.to,
                why = ?step.why,
                goodput = step.goodput,
                "changed the number of connections"
            );
        }
        Some(result)
    }

    /// If there are many hosts, removes this host, unless it has connections. The facts that were learned
    /// about the host are kept.
    pub(super) fn forget_if_many(&mut self, name: &str) {
        let is_used = self.hosts.get(name).is_none_or(|host| host.in_use() > 0);
        if is_used || self.hosts.len() <= HOSTS_MOST {
            return;
        }
        let learned = self.hosts.remove(name).and_then(|host| host.learned());
        self.learned.extend(self.origins.remove(name).zip(learned));
    }

    /// Records that a connection goes through a proxy.
    fn note_proxy(&mut self, proxy: Option<&Proxy>) {
        self.proxies.extend(proxy.map(ToString::to_string));
    }

    /// Returns the facts that this run learned, and the memory that stores them for later runs. `files` is
    /// the best number of active jobs.
    pub(super) fn take_learned(&mut self, files: Option<Level>) -> (Memory, Vec<(String, Learned)>) {
        let mut learned = std::mem::take(&mut self.learned);
        // If several hosts sent the files together, the number says nothing about a single host.
        let files = files.filter(|_| self.origins.len() == 1);
        for (name, origin) in &self.origins {
            let of_host = self.hosts.get(name).and_then(Host::learned);
            if of_host.is_some() || files.is_some() {
                learned.push((origin.clone(), Learned { files, ..of_host.unwrap_or_default() }));
            }
        }
        (std::mem::take(&mut self.memory), learned)
    }
}

impl Director {
    /// Returns how many connections the host of each source allows this job now.
    pub(super) fn allowances(&mut self, id: JobId) -> Vec<Allowance> {
        let sources = self.running.get(&id).map_or(0, |running| running.sources.len());
        (0..sources).map(|source| self.allowance_at(id, source)).collect()
    }

    fn allowance_at(&mut self, id: JobId, source: usize) -> Allowance {
        let now = self.clock.now();
        let none = Allowance { most: 0, worth: 0, replaces: false, surplus: 0, not_before: Duration::ZERO };
        let all = self.connections.count.load(Ordering::Relaxed);
        let Some(running) = self.running.get(&id) else { return none };
        let host = host_of(&running.spec, source);
        let most = self.most_at_host(&running.spec, source);
        let named = self.most_connections(&running.spec).is_some();
        let is_limited = self.limits_at(running, source).is_set();
        let at_proxy = self.room_at_proxy(&running.spec, source);
        let controller = self.connections.hosts.get_mut(host);
        let here = controller.as_ref().map_or(0, |host| host.in_use());
        let most = most.saturating_sub(here);
        let most = most.min(self.settings.max_connections.saturating_sub(all));
        let most = most.min(at_proxy);
        if running.workers.is_empty() || !running.plan.takes_more() {
            return controller
                .map_or(Allowance { most, ..none }, |host| host.allowance_for_new_file(now, most));
        }
        // If hashing, the disk or a rate limit determines the speed, more connections would only wait.
        let file = running.file();
        let at_work = now.saturating_sub(file.and_then(|file| file.came).unwrap_or_default());
        let (spent, connections) = (*running.meter.spent(), running.workers.len());
        let waits = |time| explain::would_wait(time, at_work, connections);
        let is_behind = file.and_then(|file| file.verifier.as_ref()).is_some_and(Verifier::is_behind);
        if is_behind || waits(spent.disk) || (!named && waits(spent.limit)) {
            return none;
        }
        // Jobs of this host that have no connection come first.
        let starving = self.running.values().filter(|one| {
            one.workers.is_empty() && one.plan.is_starving() && host_of(&one.spec, one.plan.source()) == host
        });
        let most = most.saturating_sub(starving.count());
        // A job of this host with a higher priority that could not open another connection comes first.
        let outranks = |one: &Running| {
            one.priority > running.priority && one.wants_more && host_of(&one.spec, one.plan.source()) == host
        };
        if self.running.values().any(outranks) {
            return none;
        }
        let mut allowance =
            controller.map_or(Allowance { most, ..none }, |host| host.allowance(now, most, named));
        // With a rate limit, no surplus connection is stopped. Such a connection may be slow only because of
        // the limit, and the bytes that it has received and not written yet would be lost.
        if is_limited {
            allowance.surplus = 0;
        }
        // A connection that waits for a rate limit, the disk or the output is silent but not replaced.
        allowance.replaces &= !is_limited && !running.meter.is_ahead();
        allowance
    }

    /// Returns the highest number of connections that the user allows to the host of a source.
    pub(super) fn most_at_host(&self, spec: &Job, source: usize) -> usize {
        let of_host = spec.urls.get(source).and_then(|url| self.settings.for_hosts.max_per_host(url));
        of_host.unwrap_or(self.settings.max_per_host)
    }

    /// Returns the rate limits of a connection to a source.
    fn limits_at(&self, running: &Running, source: usize) -> Limits {
        let url = running.spec.urls.get(source);
        Limits {
            host: url.and_then(|url| self.connections.limits.of(url)).cloned(),
            ..running.limits.clone()
        }
    }

    /// Returns how many more connections may go through the proxy of a source. A proxy counts as one host.
    fn room_at_proxy(&self, spec: &Job, source: usize) -> usize {
        let proxy_of = |spec: &Job, source: usize| {
            let settings = self.networks.get(spec.network).settings;
            spec.urls.get(source).and_then(|url| settings.proxies.of(url)).cloned()
        };
        let Some(proxy) = proxy_of(spec, source) else { return usize::MAX };
        let through = |one: &Running| {
            let sources = one.workers.values().map(|at_work| at_work.source);
            sources.filter(|source| proxy_of(&one.spec, *source).as_ref() == Some(&proxy)).count()
        };
        self.settings.max_per_host.saturating_sub(self.running.values().map(through).sum())
    }

    /// Drives the active jobs again, if a job could not open a connection. Idle jobs keep waiting.
    pub(super) fn drive_waiting(&mut self) {
        if std::mem::take(&mut self.connections.wanted) {
            let mut ids = self.ids();
            ids.retain(|id| self.running.get(id).is_some_and(|one| !one.plan.is_idle()));
            // Jobs that have no connection come first.
            let order = |one: &Running| (!one.plan.is_starving(), Reverse(one.priority));
            ids.sort_by_key(|id| self.running.get(id).map(order));
            ids.into_iter().for_each(|id| self.drive(id));
        }
    }

    /// Starts a worker that sends a request to a source of a job.
    //
    // This function is long because `Worker` and `AtWork` have many fields.
    pub(super) fn fetch(&mut self, id: JobId, worker: WorkerId, source: usize, request: Request) {
        let Some(running) = self.running.get(&id) else { return };
        let (reports, settings) = (self.reports.clone(), self.networks.get(running.spec.network).settings);
        let (most, limits) = (self.most_at_host(&running.spec, source), self.limits_at(running, source));
        let named = self.most_connections(&running.spec).is_some();
        let Some(running) = self.running.get_mut(&id) else { return };
        let host = host_of(&running.spec, source).to_string();
        let Some(opens) = running.sources.get(source).cloned() else { return };
        if running.workers.is_empty() && running.file().is_none_or(|file| file.checker.is_none()) {
            running.meter.set_phase(Phase::Connecting);
        }
        debug!(
            target: CONCURRENCY,
            parent: &running.span,
            ?worker,
            host,
            from = request.from,
            to = request.to,
            others = running.workers.len(),
            "assigned bytes to a connection"
        );
        let (go, permission) = oneshot::channel();
        let (end, whole, to) = (Arc::new(AtomicU64::new(UNKNOWN_END)), Whole::default(), request.to);
        let is_slowed = named || limits.is_set();
        let work = Worker {
            id: worker,
            source: opens,
            request,
            meter: running.meter.clone(),
            settings: settings.clone(),
            limits,
            go: permission,
            end: end.clone(),
            whole: whole.clone(),
            workers: self.connections.count.clone(),
        };
        // Sending fails only if the director has ended. The report is then not needed.
        let report = move |input| drop(reports.send((id, Report::Input(input))));
        let task = tokio::spawn(work.run(report).instrument(running.span.clone())).abort_handle();
        self.connections.count.fetch_add(1, Ordering::Relaxed);
        let first = !running.workers.values().any(|one| one.source == source);
        let (sent, failed) = running.first.take().unwrap_or_else(|| (self.clock.now(), None));
        let url = running.spec.urls.get(source);
        let origin = url.map(|url| url.origin().ascii_serialization());
        self.connections.note_proxy(url.and_then(|url| settings.proxies.of(url)));
        let at_host = self.connections.host(&host, origin, most, named);
        at_host.on_opened(sent, first);
        if is_slowed {
            at_host.on_slowed();
        }
        running.most_workers = running.most_workers.max(running.workers.len() + 1);
        running.workers.insert(
            worker,
            AtWork {
                source,
                host,
                go: Some(go),
                end,
                whole,
                task,
                sent,
                failed,
                modified: None,
                flowed: false,
                to,
                complete: false,
                cut: false,
            },
        );
    }

    /// Removes a worker that has ended or is not needed any more. Its connection is no longer counted. `cut`
    /// is true if the worker may have been stopped in the middle of a response, unless all requested bytes
    /// have arrived.
    pub(super) fn remove_worker(&mut self, id: JobId, worker: WorkerId, cut: bool) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(at_work) = running.workers.remove(&worker) else { return };
        debug!(target: CONCURRENCY, parent: &running.span, ?worker, cut, others = running.workers.len(), "a connection ended");
        // Two sources at one host are counted like two jobs, so that each source can keep one connection.
        let last = !running.workers.values().any(|one| one.source == at_work.source);
        // The worker must not write further bytes, because another worker may be assigned to them.
        at_work.end.store(0, Ordering::Relaxed);
        at_work.task.abort();
        self.connections.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(host) = self.connections.hosts.get_mut(&at_work.host) {
            host.on_closed(self.clock.now(), last, at_work.flowed, at_work.cut || (cut && !at_work.complete));
        }
        self.connections.forget_if_many(&at_work.host);
    }

    /// Allows a worker to write the body of its response. The worker skips the first `skip` bytes of the
    /// body, and writes the rest to the file, from the offset `at` up to the offset `end` if that is known.
    pub(super) fn accept(&mut self, id: JobId, worker: WorkerId, skip: u64, at: u64, end: Option<u64>) {
        self.start_verifier(id);
        let Some(running) = self.running.get_mut(&id) else { return };
        running.meter.set_total(running.plan.size());
        running.meter.set_phase(Phase::Receiving);
        running.advance(Stage::incomplete);
        let modified = running.workers.get(&worker).and_then(|at_work| at_work.modified);
        let Stage::Transferring(file) = &mut running.stage else { return };
        file.came.get_or_insert(running.came.take().unwrap_or_else(|| self.clock.now()));
        file.modified = modified.or(file.modified);
        if let Some(written) = file.written.take()
            && (written.worker, 0, 0, Some(written.bytes)) == (worker, skip, at, end)
        {
            file.look = written.look;
            running.meter.spent().disk += written.took;
            let wrote = Input::Wrote { worker, upto: written.bytes, fresh: written.fresh };
            for input in [wrote, Input::Ended { worker, result: Ok(()) }] {
                // The bytes were already written when the partial file was started. So the director itself
                // sends the report of the worker.
                let _ = self.reports.send((id, Report::Input(input)));
            }
            return;
        }
        let feed = file.verifier.as_ref().map(Verifier::feed);
        let (part, generation, journaled) = (file.part.clone(), file.generation, file.journaled);
        if let Some(at_work) = running.workers.get_mut(&worker)
            && let Some(go) = at_work.go.take()
        {
            at_work.end.store(end.unwrap_or(UNKNOWN_END), Ordering::Relaxed);
            // Sending fails only if the worker has ended. The worker has then already reported its end.
            let short_calls = self.short_calls.clone();
            let _ = go.send(Go { part, generation, skip, at, journaled, short_calls, feed });
        }
    }
}
