//! Numbers the events, computes the state from them, and sends them to all readers. Also keeps the counters
//! for progress.
//!
//! A lossless reader gets every event. If such a reader falls behind, no new job starts
//! ([`Reporter::is_behind`]), but running jobs continue. A lossy reader, such as a screen, misses events if
//! it falls behind. A lossy reader gets the number of missed events, and can read the [`State`] instead. The
//! counters are atomics, which a screen can read at any time.

use crate::clock::{self, Clock};
use crate::explain::Spent;
use downhaul_core::event::{Event, EventKind, JobId, Phase, Progress, State};
use futures_util::Stream;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

/// If a lossless reader has more unread events than this, no new job starts. This is also the size of the
/// buffer of a lossy reader. At about 1 KiB for each event, the events in a full buffer take about 4 MiB.
const BUFFER: usize = 4096;

/// The director writes events to the reporter, and readers receive them from it.
pub(crate) struct Reporter {
    clock: Clock,
    broadcast: Mutex<Broadcast>,
    meters: Mutex<BTreeMap<JobId, Arc<Meter>>>,
}

#[derive(Default)]
struct Broadcast {
    seq: u64,
    state: State,
    lossless: Vec<(mpsc::UnboundedSender<Arc<Event>>, Arc<AtomicUsize>)>,
    lossy: Vec<(mpsc::Sender<Arc<Event>>, Arc<AtomicUsize>)>,
    /// True if the session is over. The stream of a reader that is added later ends at once.
    is_over: bool,
}

/// The events of a session, in order, as a [`Stream`]. [`Session::events`](crate::Session::events) returns a
/// stream of all events, and [`Session::latest_events`](crate::Session::latest_events) returns a stream that
/// may miss some of them.
pub struct Events {
    from: Receiver,
    /// For a lossless reader, the number of events that were sent and not yet read. For a lossy reader, the
    /// number of events that it missed.
    count: Arc<AtomicUsize>,
}

enum Receiver {
    Lossless(mpsc::UnboundedReceiver<Arc<Event>>),
    Lossy(mpsc::Receiver<Arc<Event>>),
}

impl Events {
    /// Returns the next event, or `None` if the session is over and all events were read.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the next event if it has arrived already. `Pending` means that no event has arrived, and
    /// `Ready(None)` means that the session is over and all events were read.
    pub fn try_next(&mut self) -> Poll<Option<Arc<Event>>> {
        // `poll_next` is not used here, because it also returns `Pending` if the task of the caller has used
        // up its turn (tokio's budget).
        let next = match &mut self.from {
            Receiver::Lossless(events) => events.try_recv(),
            Receiver::Lossy(events) => events.try_recv(),
        };
        match next {
            Ok(event) => {
                self.on_read();
                Poll::Ready(Some(event))
            }
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
        }
    }

    /// Records that an event was read.
    fn on_read(&self) {
        if matches!(self.from, Receiver::Lossless(_)) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Returns true if all events that have arrived were read.
    pub fn is_empty(&self) -> bool {
        match &self.from {
            Receiver::Lossless(events) => events.is_empty(),
            Receiver::Lossy(events) => events.is_empty(),
        }
    }

    /// Returns the number of events that were missed since the last call. It is always 0 for a lossless
    /// reader.
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
        let next = match &mut self.from {
            Receiver::Lossless(events) => events.poll_recv(context),
            Receiver::Lossy(events) => events.poll_recv(context),
        };
        if let Poll::Ready(Some(_)) = next {
            self.on_read();
        }
        next
    }
}

impl Reporter {
    pub(crate) fn new(clock: Clock) -> Self {
        Reporter { clock, broadcast: Mutex::default(), meters: Mutex::default() }
    }

    /// Sends an event to all readers.
    pub(crate) fn tell(&self, job: Option<JobId>, kind: EventKind) {
        let mut broadcast = lock(&self.broadcast);
        broadcast.seq += 1;
        let event = Arc::new(Event::new(broadcast.seq, wall_ms(), job, kind));
        broadcast.state.apply(&event);
        broadcast.lossless.retain(|(to, behind)| {
            behind.fetch_add(1, Ordering::Relaxed);
            to.send(event.clone()).is_ok()
        });
        broadcast.lossy.retain(|(to, missed)| match to.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    pub(crate) fn events(&self, lossless: bool) -> Events {
        let mut broadcast = lock(&self.broadcast);
        let count = Arc::new(AtomicUsize::new(0));
        let from = if lossless {
            let (to, from) = mpsc::unbounded_channel();
            if !broadcast.is_over {
                broadcast.lossless.push((to, count.clone()));
            }
            Receiver::Lossless(from)
        } else {
            let (to, from) = mpsc::channel(BUFFER);
            if !broadcast.is_over {
                broadcast.lossy.push((to, count.clone()));
            }
            Receiver::Lossy(from)
        };
        Events { from, count }
    }

    /// Returns true if a lossless reader is so far behind that no new job should start.
    pub(crate) fn is_behind(&self) -> bool {
        let behind = |(to, behind): &(mpsc::UnboundedSender<_>, Arc<AtomicUsize>)| {
            !to.is_closed() && behind.load(Ordering::Relaxed) > BUFFER
        };
        lock(&self.broadcast).lossless.iter().any(behind)
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.broadcast).state.clone()
    }

    /// Ends the streams of events of all readers.
    pub(crate) fn close(&self) {
        let mut broadcast = lock(&self.broadcast);
        broadcast.is_over = true;
        broadcast.lossless.clear();
        broadcast.lossy.clear();
    }

    /// Makes the counters of a job that began at the time `started`, and returns them.
    pub(crate) fn meter(&self, job: JobId, name: String, started: Duration) -> Arc<Meter> {
        let meter = Arc::new(Meter::new(self.clock, name, started));
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

/// The shortest time between two copies of the byte ranges that are on the disk. Readers get the last copy.
/// Workers report new bytes so often that it would cost too much to copy the ranges each time. When a file is
/// complete, its ranges are copied at once.
const RANGES_AFTER: Duration = Duration::from_millis(500);

/// The counters of one running job. Workers, the threads for small files, and the director write them.
pub(crate) struct Meter {
    clock: Clock,
    started: Duration,
    name: Mutex<String>,
    phase: AtomicU8,
    /// The number of valid bytes on the disk. Bytes of an earlier run count already while they are still
    /// compared with the journal. If the file is downloaded on the threads for small files, this is the
    /// number of bytes that have arrived.
    bytes: AtomicU64,
    /// The number of bytes that workers have received and that are not on the disk yet.
    ahead: AtomicU64,
    /// The size of the file, or `UNKNOWN`.
    total: AtomicU64,
    /// The end of the last wait of the job, in milliseconds since the start of the session.
    until: AtomicU64,
    /// The number of workers of the job.
    workers: AtomicUsize,
    spent: Mutex<Spent>,
    /// The time of the last copy of the byte ranges that are on the disk, and the copy.
    ranges: Mutex<(Duration, Vec<Range<u64>>)>,
}

const UNKNOWN: u64 = u64::MAX;

/// A worker that a [`Meter`] counts.
pub(crate) struct Counted(Arc<Meter>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Meter {
    fn new(clock: Clock, name: String, started: Duration) -> Self {
        Meter {
            clock,
            started,
            name: Mutex::new(name),
            phase: AtomicU8::new(Phase::Connecting as u8),
            bytes: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
            total: AtomicU64::new(UNKNOWN),
            until: AtomicU64::new(0),
            workers: AtomicUsize::new(0),
            spent: Mutex::default(),
            ranges: Mutex::default(),
        }
    }

    pub(crate) fn set_name(&self, name: String) {
        *lock(&self.name) = name;
    }

    /// Returns how much time each stage has taken. The caller can add to these times.
    pub(crate) fn spent(&self) -> MutexGuard<'_, Spent> {
        lock(&self.spent)
    }

    /// Counts a worker of the job until the returned value is dropped.
    pub(crate) fn count_worker(self: &Arc<Self>) -> Counted {
        self.workers.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        const PHASES: [Phase; 7] = [
            Phase::Connecting,
            Phase::Receiving,
            Phase::Waiting,
            Phase::Asking,
            Phase::Finishing,
            Phase::Checking,
            Phase::Paused,
        ];
        PHASES[usize::from(self.phase.load(Ordering::Relaxed)) % PHASES.len()]
    }

    /// Records that the job waits for this time, or for its turn if the time is zero. Returns the phase
    /// before the wait.
    pub(crate) fn set_waiting(&self, wait: Duration) -> Phase {
        let before = self.phase();
        let until = self.clock.now().saturating_add(wait).as_millis();
        self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.set_phase(Phase::Waiting);
        before
    }

    pub(crate) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Copies the byte ranges that are on the disk, for the readers. If the last copy was made less than
    /// [`RANGES_AFTER`] ago, does nothing, unless that copy is empty or the file is complete.
    pub(crate) fn set_ranges<'a>(&self, written: impl Iterator<Item = &'a Range<u64>>) {
        let mut ranges = lock(&self.ranges);
        let now = self.clock.now();
        let is_whole = self.bytes.load(Ordering::Relaxed) == self.total.load(Ordering::Relaxed);
        if is_whole || ranges.1.is_empty() || now.saturating_sub(ranges.0) >= RANGES_AFTER {
            *ranges = (now, written.cloned().collect());
        }
    }

    /// Records that a worker received bytes that are not on the disk yet.
    pub(crate) fn took(&self, bytes: usize) {
        self.ahead.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Records that bytes that [`Meter::took`] counted are on the disk now, or that their worker was dropped.
    pub(crate) fn gave(&self, bytes: usize) {
        self.ahead.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Returns true if workers received bytes that are not on the disk yet.
    pub(crate) fn is_ahead(&self) -> bool {
        self.ahead.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn set_total(&self, total: Option<u64>) {
        self.total.store(total.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    fn sample(&self, job: JobId) -> Progress {
        let now = self.clock.now();
        let phase = self.phase();
        let until = Duration::from_millis(self.until.load(Ordering::Relaxed));
        let wait = if phase == Phase::Waiting { until.saturating_sub(now).as_secs_f64() } else { 0.0 };
        let total = Some(self.total.load(Ordering::Relaxed)).filter(|&total| total != UNKNOWN);
        let bytes = self.bytes.load(Ordering::Relaxed) + self.ahead.load(Ordering::Relaxed);
        let mut sample = Progress::new(job, lock(&self.name).clone(), phase);
        sample.bytes = total.map_or(bytes, |total| bytes.min(total));
        sample.total = total;
        sample.seconds = now.saturating_sub(self.started).as_secs_f64();
        sample.wait = wait;
        sample.connections = self.workers.load(Ordering::Relaxed);
        sample.ranges.clone_from(&lock(&self.ranges).1);
        sample
    }
}

/// Returns the present time in milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> u64 {
    let since = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Locks a mutex. A poisoned lock can be used, because the state that it protects is consistent between any
/// two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
