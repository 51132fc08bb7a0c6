//! Tells: numbers the facts, keeps their fold, fans them out, and keeps the counters that samples are read
//! from.
//!
//! Facts are pushed and numbered. A lossless reader gets every one; when it falls behind, no new file starts
//! ([`Reporter::is_behind`]), and nothing in flight waits. A lossy reader (a screen) that falls behind is
//! told how many it missed and finds the rest in the folded [`State`]. Numbers are atomics, which a screen
//! reads when it needs them.

use crate::clock::{self, Clock};
use crate::explain::Spent;
use downhaul_core::event::{Event, EventKind, JobId, Phase, Progress, State};
use futures_util::Stream;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// Facts a lossless reader may be behind before no new file starts, and that a lossy reader's buffer holds:
/// at about 1 KiB each within the 4 MiB that promise 7 gives them.
const BUFFER: usize = 4096;

/// Shared by the director, which tells, and by the faces, which read.
pub(crate) struct Reporter {
    clock: Clock,
    facts: Mutex<Facts>,
    meters: Mutex<BTreeMap<JobId, Arc<Meter>>>,
}

#[derive(Default)]
struct Facts {
    seq: u64,
    state: State,
    lossless: Vec<(mpsc::UnboundedSender<Arc<Event>>, Arc<AtomicUsize>)>,
    lossy: Vec<(mpsc::Sender<Arc<Event>>, Arc<AtomicUsize>)>,
}

/// The events of a session, in order: a [`Stream`]. [`Session::events`](crate::Session::events) returns one
/// that gets every event, [`Session::latest_events`](crate::Session::latest_events) one that may miss some.
pub struct Events {
    from: Receiver,
    /// Lossless: facts sent and not yet taken. Lossy: facts that found no room.
    count: Arc<AtomicUsize>,
}

enum Receiver {
    Lossless(mpsc::UnboundedReceiver<Arc<Event>>),
    Lossy(mpsc::Receiver<Arc<Event>>),
}

impl Events {
    /// Returns the next event; `None` when the session is over and all were taken.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the next event if it is there already.
    pub fn try_next(&mut self) -> Poll<Option<Arc<Event>>> {
        Pin::new(self).poll_next(&mut Context::from_waker(Waker::noop()))
    }

    /// Returns how many events were missed since this was last called. Always 0 for a lossless reader.
    pub fn missed(&self) -> usize {
        match self.from {
            Receiver::Lossless(_) => 0,
            Receiver::Lossy(_) => self.count.swap(0, Ordering::Relaxed),
        }
    }
}

impl Stream for Events {
    type Item = Arc<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<Event>>> {
        match &mut self.from {
            Receiver::Lossless(events) => {
                let next = events.poll_recv(context);
                if let Poll::Ready(Some(_)) = next {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                }
                next
            }
            Receiver::Lossy(events) => events.poll_recv(context),
        }
    }
}

impl Reporter {
    pub(crate) fn new(clock: Clock) -> Self {
        Reporter { clock, facts: Mutex::default(), meters: Mutex::default() }
    }

    pub(crate) fn tell(&self, job: Option<JobId>, kind: EventKind) {
        let mut facts = lock(&self.facts);
        facts.seq += 1;
        let event = Arc::new(Event::new(facts.seq, wall_ms(), job, kind));
        facts.state.apply(&event);
        facts.lossless.retain(|(to, behind)| {
            behind.fetch_add(1, Ordering::Relaxed);
            to.send(event.clone()).is_ok()
        });
        facts.lossy.retain(|(to, missed)| match to.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    pub(crate) fn events(&self, lossless: bool) -> Events {
        let mut facts = lock(&self.facts);
        let count = Arc::new(AtomicUsize::new(0));
        let from = if lossless {
            let (to, from) = mpsc::unbounded_channel();
            facts.lossless.push((to, count.clone()));
            Receiver::Lossless(from)
        } else {
            let (to, from) = mpsc::channel(BUFFER);
            facts.lossy.push((to, count.clone()));
            Receiver::Lossy(from)
        };
        Events { from, count }
    }

    /// Some lossless reader is so far behind that no new file should start.
    pub(crate) fn is_behind(&self) -> bool {
        let behind = |(to, behind): &(mpsc::UnboundedSender<_>, Arc<AtomicUsize>)| {
            !to.is_closed() && behind.load(Ordering::Relaxed) > BUFFER
        };
        lock(&self.facts).lossless.iter().any(behind)
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.facts).state.clone()
    }

    /// No more facts will come: readers see the end.
    pub(crate) fn close(&self) {
        let mut facts = lock(&self.facts);
        facts.lossless.clear();
        facts.lossy.clear();
    }

    /// The counters of a file that is now in flight.
    pub(crate) fn meter(&self, job: JobId, name: String) -> Arc<Meter> {
        let meter = Arc::new(Meter::new(self.clock, name));
        lock(&self.meters).insert(job, meter.clone());
        meter
    }

    pub(crate) fn drop_meter(&self, job: JobId) {
        lock(&self.meters).remove(&job);
    }

    pub(crate) fn samples(&self) -> Vec<Progress> {
        let meters = lock(&self.meters);
        meters.iter().map(|(&job, meter)| meter.sample(job)).collect()
    }
}

/// The counters of one file in flight. Workers and the director write them.
pub(crate) struct Meter {
    clock: Clock,
    started: Duration,
    name: Mutex<String>,
    phase: AtomicU8,
    /// What is on the disk and counts.
    bytes: AtomicU64,
    /// What workers have received beyond that.
    ahead: AtomicU64,
    /// `UNKNOWN` while the size is.
    total: AtomicU64,
    /// Until when is waited, in milliseconds of the session.
    until: AtomicU64,
    spent: Mutex<Spent>,
}

const UNKNOWN: u64 = u64::MAX;

impl Meter {
    fn new(clock: Clock, name: String) -> Self {
        Meter {
            clock,
            started: clock.now(),
            name: Mutex::new(name),
            phase: AtomicU8::new(Phase::Connecting as u8),
            bytes: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
            total: AtomicU64::new(UNKNOWN),
            until: AtomicU64::new(0),
            spent: Mutex::default(),
        }
    }

    pub(crate) fn set_name(&self, name: String) {
        *lock(&self.name) = name;
    }

    /// Where its time goes.
    pub(crate) fn spent(&self) -> MutexGuard<'_, Spent> {
        lock(&self.spent)
    }

    /// What the file is doing now.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// The file waits for so long.
    pub(crate) fn set_waiting(&self, wait: Duration) {
        let until = (self.clock.now() + wait).as_millis();
        self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.set_phase(Phase::Waiting);
    }

    pub(crate) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// A worker has so many bytes more in its hands.
    pub(crate) fn took(&self, bytes: usize) {
        self.ahead.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A worker gave them to the disk, or was dropped.
    pub(crate) fn gave(&self, bytes: usize) {
        self.ahead.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_total(&self, total: Option<u64>) {
        self.total.store(total.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    fn sample(&self, job: JobId) -> Progress {
        const PHASES: [Phase; 7] = [
            Phase::Connecting,
            Phase::Receiving,
            Phase::Waiting,
            Phase::Asking,
            Phase::Finishing,
            Phase::Checking,
            Phase::Paused,
        ];
        let now = self.clock.now();
        let phase = PHASES[usize::from(self.phase.load(Ordering::Relaxed)) % PHASES.len()];
        let until = Duration::from_millis(self.until.load(Ordering::Relaxed));
        let wait = if phase == Phase::Waiting { until.saturating_sub(now).as_secs_f64() } else { 0.0 };
        let total = Some(self.total.load(Ordering::Relaxed)).filter(|&total| total != UNKNOWN);
        let bytes = self.bytes.load(Ordering::Relaxed) + self.ahead.load(Ordering::Relaxed);
        let mut sample = Progress::new(job, lock(&self.name).clone(), phase);
        sample.bytes = total.map_or(bytes, |total| bytes.min(total));
        sample.total = total;
        sample.seconds = now.saturating_sub(self.started).as_secs_f64();
        sample.wait = wait;
        sample
    }
}

fn wall_ms() -> u64 {
    let since = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What is behind these locks is consistent between any two statements, so that a panic elsewhere spoils
/// nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
