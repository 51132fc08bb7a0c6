//! The connections there are, to one host and in all: whether a file may have another one, who is sent for what, and the word
//! to go on.
//!
//! Invariant: whoever is counted at a host is at work for a file in flight, and is counted once.

use super::{Director, HOSTS_MOST, Report, host_of};
use crate::explain;
use crate::hashing::Verifier;
use crate::host_memory::Memory;
use crate::source::Want;
use crate::worker::{Go, UNKNOWN_END, Whole, Worker};
use downhaul_core::concurrency::{Allowance, Host, Learned, Lost};
use downhaul_core::error::Error;
use downhaul_core::event::{JobId, Phase};
use downhaul_core::plan::{Input, WorkerId};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// The connections there are.
#[derive(Default)]
pub(super) struct Lanes {
    pub(super) by_host: HashMap<String, Host>,
    pub(super) all: Arc<AtomicUsize>,
    /// What earlier runs found out, and under which origin this one remembers what it finds out of a host.
    memory: Memory,
    origins: HashMap<String, String>,
    learned: Vec<(String, Learned)>,
    /// Somebody wanted one and got none.
    pub(super) short: bool,
}

pub(super) struct AtWork {
    pub(super) source: usize,
    pub(super) host: String,
    pub(super) go: Option<oneshot::Sender<Go>>,
    pub(super) end: Arc<AtomicU64>,
    pub(super) whole: Whole,
    pub(super) task: AbortHandle,
    pub(super) sent: Duration,
    /// Bytes came over it.
    pub(super) flowed: bool,
    /// It ends before its reply does.
    pub(super) cut: bool,
}

impl Lanes {
    pub(super) fn new(memory: Memory) -> Self {
        Lanes { memory, ..Lanes::default() }
    }

    /// The controller of a host, made for this origin.
    fn host(&mut self, name: &str, origin: Option<String>, most: usize) -> &mut Host {
        self.by_host.entry(name.to_string()).or_insert_with(|| {
            let origin = origin.unwrap_or_default();
            let known = self.memory.known(&origin);
            self.origins.insert(name.to_string(), origin);
            Host::new(most, known)
        })
    }

    /// Nothing comes from this host now, and there are too many of them: what it does not like stays.
    fn forget(&mut self, name: &str) {
        let learned = self.by_host.remove(name).and_then(|host| host.learned());
        self.learned.extend(self.origins.remove(name).zip(learned));
    }

    /// What is to be kept for later runs, and where.
    pub(super) fn take_learned(&mut self) -> (Memory, Vec<(String, Learned)>) {
        let hosts = self
            .by_host
            .iter()
            .filter_map(|(name, host)| Some((self.origins.get(name)?.clone(), host.learned()?)));
        let learned = hosts.chain(std::mem::take(&mut self.learned)).collect();
        (std::mem::take(&mut self.memory), learned)
    }
}

impl Director {
    /// What room there is for further connections of a file, at the host of each of its sources.
    pub(super) fn rooms_for(&mut self, id: JobId) -> Vec<Allowance> {
        let sources = self.running.get(&id).map_or(0, |running| running.sources.len());
        (0..sources).map(|source| self.room_at(id, source)).collect()
    }

    fn room_at(&mut self, id: JobId, source: usize) -> Allowance {
        let now = self.clock.now();
        let none = Allowance { most: 0, worth: 0, surplus: 0, not_before: Duration::ZERO };
        let all = self.lanes.all.load(Ordering::Relaxed);
        let Some(running) = self.running.get(&id) else { return none };
        let host = host_of(&running.spec, source);
        let controller = self.lanes.by_host.get_mut(host);
        let here = controller.as_ref().map_or(0, |host| host.in_use());
        let most = self.settings.max_per_host.saturating_sub(here);
        let most = most.min(self.settings.max_connections.saturating_sub(all));
        if running.workers.is_empty() || !running.plan.takes_more() {
            return controller
                .map_or(Allowance { most, ..none }, |host| host.allowance_for_new_file(now, most));
        }
        // What hashes, or the disk, is the limit now.
        let at_work = now.saturating_sub(running.came.unwrap_or_default());
        if running.verifier.as_ref().is_some_and(Verifier::is_behind)
            || explain::disk_is_full(&running.meter.spent(), at_work, running.workers.len())
        {
            return none;
        }
        // Those of this host who have none come first.
        let starving = self.running.values().filter(|one| {
            one.workers.is_empty() && one.plan.is_starving() && host_of(&one.spec, one.plan.source()) == host
        });
        let most = most.saturating_sub(starving.count());
        let named = self.settings.connections.is_some();
        let mut room = controller.map_or(Allowance { most, ..none }, |host| host.allowance(now, most, named));
        // What is slow because it shall be would be stopped with all that it has in hand.
        if self.limit.is_set() {
            room.surplus = 0;
        }
        room
    }

    /// Drives those that got no connection before, if there may be one now.
    pub(super) fn rouse(&mut self) {
        if std::mem::take(&mut self.lanes.short) {
            let mut ids = self.ids();
            // Those that have none come first.
            ids.sort_by_key(|id| self.running.get(id).is_none_or(|one| !one.plan.is_starving()));
            ids.into_iter().for_each(|id| self.drive(id));
        }
    }

    pub(super) fn fetch(&mut self, id: JobId, worker: WorkerId, source: usize, want: Want) {
        let (news, settings) = (self.news.clone(), self.settings.clone());
        let Some(running) = self.running.get_mut(&id) else { return };
        let host = host_of(&running.spec, source).to_string();
        let Some(opens) = running.sources.get(source).cloned() else { return };
        if running.workers.is_empty() && running.checker.is_none() {
            running.meter.set_phase(Phase::Connecting);
        }
        let (go, told) = oneshot::channel();
        let end = Arc::new(AtomicU64::new(UNKNOWN_END));
        let workers = self.lanes.all.clone();
        let meter = running.meter.clone();
        let (limit, whole) = (self.limit.clone(), Whole::default());
        let work = Worker {
            id: worker,
            source: opens,
            want,
            meter,
            settings,
            limit,
            go: told,
            end: end.clone(),
            whole: whole.clone(),
            workers,
        };
        // The director may be gone when a report comes: then nobody needs it.
        let report = move |input| drop(news.send((id, Report::Input(input))));
        let task = tokio::spawn(work.run(report)).abort_handle();
        self.lanes.all.fetch_add(1, Ordering::Relaxed);
        let most = self.settings.max_per_host;
        let first = !running.workers.values().any(|one| one.source == source);
        let sent = self.clock.now();
        let origin = running.spec.urls.get(source).map(|url| url.origin().ascii_serialization());
        self.lanes.host(&host, origin, most).on_opened(sent, first);
        running.most_workers = running.most_workers.max(running.workers.len() + 1);
        running.workers.insert(
            worker,
            AtWork { source, host, go: Some(go), end, whole, task, sent, flowed: false, cut: false },
        );
    }

    /// A worker has a reply that is of use.
    pub(super) fn is_served(&mut self, id: JobId, worker: WorkerId) {
        let Some(at_work) = self.running.get(&id).and_then(|running| running.workers.get(&worker)) else {
            return;
        };
        if let Some(host) = self.lanes.by_host.get_mut(&at_work.host) {
            host.on_served(self.clock.now());
        }
    }

    /// A worker brought bytes.
    pub(super) fn flows(&mut self, id: JobId, worker: WorkerId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(at_work) = running.workers.get_mut(&worker).filter(|one| !one.flowed) else { return };
        at_work.flowed = true;
        if let Some(host) = self.lanes.by_host.get_mut(&at_work.host) {
            host.on_first_bytes(at_work.sent);
        }
    }

    /// A worker failed: whether that is a pause, its host knows.
    pub(super) fn lost(&mut self, id: JobId, worker: WorkerId, error: &mut Error) {
        let Some(running) = self.running.get(&id) else { return };
        let Some(at_work) = running.workers.get(&worker) else { return };
        let (last, flowed) = (running.workers.len() == 1, running.plan.has_flowed());
        let lost = Lost { sent: at_work.sent, last, flowed };
        if let Some(host) = self.lanes.by_host.get_mut(&at_work.host) {
            error.pause = host.on_failure(self.clock.now(), error, lost);
        }
    }

    /// A worker is through, or not needed any more: its connection is free. `cut`: in the middle of a reply.
    pub(super) fn take_worker(&mut self, id: JobId, worker: WorkerId, cut: bool) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(at_work) = running.workers.remove(&worker) else { return };
        // Two sources at one host count as two files: each keeps one.
        let last = !running.workers.values().any(|one| one.source == at_work.source);
        // What it has not begun to write it shall not write later, over what another one brings.
        at_work.end.store(0, Ordering::Relaxed);
        at_work.task.abort();
        self.lanes.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(host) = self.lanes.by_host.get_mut(&at_work.host) {
            host.on_closed(self.clock.now(), last, at_work.flowed, cut || at_work.cut);
            if host.in_use() == 0 && self.lanes.by_host.len() > HOSTS_MOST {
                self.lanes.forget(&at_work.host);
            }
        }
    }

    pub(super) fn accept(&mut self, id: JobId, worker: WorkerId, skip: u64, at: u64, end: Option<u64>) {
        self.start_verifier(id);
        let Some(running) = self.running.get_mut(&id) else { return };
        running.meter.set_total(running.plan.size());
        running.meter.set_phase(Phase::Receiving);
        running.came.get_or_insert(self.clock.now());
        if let Some(written) = running.written.take()
            && (written.worker, 0, 0, Some(written.bytes)) == (worker, skip, at, end)
        {
            running.look = written.look;
            running.meter.spent().disk += written.took;
            let wrote = Input::Wrote { worker, upto: written.bytes, fresh: written.fresh };
            for input in [wrote, Input::Ended { worker, result: Ok(()) }] {
                // The director hears itself.
                let _ = self.news.send((id, Report::Input(input)));
            }
            return;
        }
        let feed = running.verifier.as_ref().map(Verifier::feed);
        let (generation, journaled) = (running.generation, running.journaled);
        if let (Some(at_work), Some(part)) = (running.workers.get_mut(&worker), running.part.clone())
            && let Some(go) = at_work.go.take()
        {
            at_work.end.store(end.unwrap_or(UNKNOWN_END), Ordering::Relaxed);
            // A worker that ended meanwhile has said so.
            let clerks = self.clerks.clone();
            let _ = go.send(Go { part, generation, skip, at, journaled, clerks, feed });
        }
    }
}
