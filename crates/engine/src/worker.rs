//! One connection at work: open -> wait for the word on the reply -> read -> write -> report.
//!
//! Bytes go from the network to the disk and the hasher here and nowhere else; the director only hears how far they got, but
//! for a small file that came at once ([`Whole`]): it is written with the making of its place. Invariant: no byte is written
//! before the director said [`Go`], none is reported or recorded in the journal before the disk took it, nor, where the reply
//! has a digest of its own, before all of it came and was right. The end of its task may come nearer while it works. Memory:
//! one batch being filled, one being written, and two with the hasher.

use crate::chunk_hash::Piece;
use crate::clock;
use crate::disk::{Generation, Part};
use crate::explain;
use crate::hashing::{self, end_of};
use crate::limit::Limits;
use crate::report::Meter;
use crate::short_blocking::Clerks;
use crate::source::{Body, Opened, Request, Source};
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::journal::{self, Claim, Crc};
use downhaul_core::plan::{Input, WorkerId};
use downhaul_core::settings::{MIN_SPEED_WINDOW, Settings};
use futures_util::{FutureExt, StreamExt, stream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Bytes that are collected before they are written, at most: few writes, and each long enough to be worth a trip to
/// another thread.
const BATCH_MOST: usize = 1024 * 1024;

/// What the batches of all workers may take together: three quarters of the 64 MiB of promise 7, the rest is for
/// reading.
const BATCHES_TOGETHER: usize = 48 * 1024 * 1024;

/// Batches of one worker that may be there at once: being filled, written, waiting for the hasher, hashed.
const BATCHES_EACH: usize = 4;

/// How large a batch may be when so many workers are at work.
fn batch_bytes(workers: usize) -> usize {
    (BATCHES_TOGETHER / BATCHES_EACH / workers.max(1)).clamp(8 * 1024, BATCH_MOST)
}

/// Buffers that are collected before they are written, for bodies that arrive in crumbs.
const BATCH_BUFFERS: usize = 1024;

/// A write of so much is a matter of microseconds (memory is copied at some GB/s).
const QUICK: u64 = 64 * 1024;

/// How long bytes may wait to be written and reported, and how often silence is looked for: ten times a second the plan
/// hears how far a slow connection is.
const TICK: Duration = Duration::from_millis(100);

/// How often others get their turn before what is not there yet of a small file is waited for: the task that reads the
/// connection needs one to hand over what came with the head.
const TURNS: u32 = 3;

/// All of a small file, if it came together with its head: whoever makes a place for the file writes it there in one go.
pub(crate) type Whole = Arc<OnceLock<Vec<Bytes>>>;

/// The director's word that a reply is right.
pub(crate) struct Go {
    /// Where the bytes go.
    pub(crate) part: Arc<dyn Part>,
    /// Which beginning of it they belong to.
    pub(crate) generation: Generation,
    /// Bytes to leave out at the beginning of the body.
    pub(crate) skip: u64,
    /// Offset of the first byte after these.
    pub(crate) at: u64,
    /// They are recorded in the journal.
    pub(crate) journaled: bool,
    /// Who does what is quick.
    pub(crate) clerks: Arc<Clerks>,
    /// Who hashes them, if anybody.
    pub(crate) feed: Option<hashing::Feed>,
}

/// What a worker is given when it starts.
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) request: Request,
    pub(crate) meter: Arc<Meter>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) limits: Limits,
    pub(crate) go: oneshot::Receiver<Go>,
    /// Where its task ends; [`UNKNOWN_END`] while nobody knows. The director may bring it nearer.
    pub(crate) end: Arc<AtomicU64>,
    /// Where it leaves all of the file, if that came at once.
    pub(crate) whole: Whole,
    /// How many workers there are.
    pub(crate) workers: Arc<AtomicUsize>,
}

/// The end of a file whose size nobody knows.
pub(crate) const UNKNOWN_END: u64 = u64::MAX;

impl Worker {
    /// Works until the body ends or something breaks, and reports all of it through `report`.
    pub(crate) async fn run(self, report: impl Fn(Input)) {
        let worker = self.id;
        let result = self.work(&report).await;
        // A worker that nobody let go has been dropped: there is nobody to tell.
        if let Some(result) = result.transpose() {
            report(Input::Ended { worker, result });
        }
    }

    async fn work(self, report: &impl Fn(Input)) -> Result<Option<()>, Error> {
        let (opened, spent) = explain::measured(self.source.open(self.request.clone())).await;
        self.meter.spent().add(spent);
        let Opened { remote, mut body } = opened?;
        let piece = Piece::of(&remote, self.settings.verify);
        let small = remote.size.filter(|&size| remote.is_whole() && size <= QUICK);
        if let Some(length) = small.filter(|_| !self.limits.is_set()) {
            let all;
            (body, all) = at_once(length, body).await;
            // Nobody else sets it.
            let _ = all.map(|all| self.whole.set(all));
        }
        report(Input::Opened { worker: self.id, remote: Box::new(remote) });
        let Ok(go) = self.go.await else { return Ok(None) };

        let mut piece = piece.filter(|piece| piece.end() <= self.end.load(Ordering::Relaxed));
        let mut writer = Writer::new(self.id, go, self.end, self.workers, self.meter);
        if piece.is_some() {
            writer.hold_back().await?;
        }
        let came = receive(body, &mut writer, piece.as_mut(), &self.limits, &self.settings, report).await;
        if piece.is_some_and(|piece| came.is_err() || !piece.is_complete()) {
            writer.take_back(came.as_ref().err(), report).await?;
        } else {
            writer.tell(report).await?;
        }
        came.map(Some)
    }
}

/// Takes in what is there already of a small file, without waiting: the body as if nothing had been taken, and all of the
/// file if that was all.
async fn at_once(length: u64, mut body: Body) -> (Body, Option<Vec<Bytes>>) {
    let (mut came, mut there, mut turns) = (Vec::new(), 0, 0);
    while there < length && turns < TURNS {
        match body.next().now_or_never() {
            Some(Some(Ok(bytes))) => {
                there += bytes.len() as u64;
                // A body may come in nothings for ever.
                turns += u32::from(bytes.is_empty());
                came.push(bytes);
            }
            // It is read no further: whoever does may get the same again and again.
            Some(Some(Err(e))) => {
                return (Box::pin(stream::iter(came.into_iter().map(Ok).chain([Err(e)]))), None);
            }
            Some(None) => return (Box::pin(stream::iter(came.into_iter().map(Ok))), None),
            None => {
                turns += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    let all = (there > 0 && there == length).then(|| came.clone());
    (Box::pin(stream::iter(came.into_iter().map(Ok)).chain(body)), all)
}

/// Takes in the body, until it ends or there is nothing more to do.
async fn receive(
    mut body: Body,
    writer: &mut Writer,
    mut piece: Option<&mut Piece>,
    limits: &Limits,
    settings: &Settings,
    report: &impl Fn(Input),
) -> Result<(), Error> {
    let mut watch = Watch::new(settings);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !writer.is_full() {
        tokio::select! {
            biased;
            bytes = body.next() => match bytes {
                Some(Ok(mut bytes)) => {
                    watch.arrived(bytes.len());
                    // Before the last of it is written: what is complete then is also right.
                    piece.as_mut().map_or(Ok(()), |piece| piece.update(&bytes))?;
                    let since = clock::instant();
                    // At least once, also for a chunk of nothing.
                    loop {
                        let some = bytes.split_to(limits.slice(bytes.len()));
                        limits.wait(some.len()).await;
                        if writer.take(some) {
                            writer.flush(report).await?;
                        }
                        if bytes.is_empty() || writer.is_full() {
                            break;
                        }
                    }
                    watch.was_away(since);
                }
                Some(Err(e)) => {
                    writer.finish(report).await?;
                    return Err(e);
                }
                None => break,
            },
            _ = tick.tick() => {
                if let Err(e) = watch.check() {
                    writer.finish(report).await?;
                    return Err(e);
                }
                // Reported at once: the plan shall know how far a slow connection really is.
                let since = clock::instant();
                writer.finish(report).await?;
                watch.was_away(since);
            }
        }
    }
    writer.finish(report).await
}

/// A batch that was written, whether all of it was new there, and what the journal shall claim of it later.
type Wrote = (hashing::Batch, bool, Vec<u8>);

/// Collects bytes into batches and has one of them written at a time.
struct Writer {
    worker: WorkerId,
    go: Go,
    end: Arc<AtomicU64>,
    workers: Arc<AtomicUsize>,
    meter: Arc<Meter>,
    /// Bytes that arrived and were not reported.
    in_hand: usize,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    /// Where the batch begins.
    at: u64,
    writing: Option<oneshot::Receiver<Result<Wrote, Error>>>,
    /// What the journal will claim when all of it was right; until then nobody hears of it.
    held_back: Option<Vec<u8>>,
    /// All of that is this worker's.
    fresh: bool,
}

impl Writer {
    fn new(
        worker: WorkerId,
        go: Go,
        end: Arc<AtomicU64>,
        workers: Arc<AtomicUsize>,
        meter: Arc<Meter>,
    ) -> Self {
        let (at, batch) = (go.at, Vec::new());
        let (writing, held_back, fresh) = (None, None, true);
        Writer {
            worker,
            go,
            end,
            workers,
            meter,
            in_hand: 0,
            batch,
            batch_bytes: 0,
            at,
            writing,
            held_back,
            fresh,
        }
    }

    /// Adds bytes, without what lies before the beginning or beyond the end. True when the batch should be written.
    fn take(&mut self, mut bytes: Bytes) -> bool {
        let early = self.go.skip.min(bytes.len() as u64);
        self.go.skip -= early;
        // No longer than the bytes are.
        drop(bytes.split_to(early as usize));
        let room = self.end.load(Ordering::Relaxed).saturating_sub(self.known());
        bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        self.batch_bytes += bytes.len();
        self.in_hand += bytes.len();
        self.meter.took(bytes.len());
        self.batch.push(bytes);
        let most = batch_bytes(self.workers.load(Ordering::Relaxed));
        self.batch_bytes >= most || self.batch.len() >= BATCH_BUFFERS
    }

    /// Everything that was asked for is here.
    fn is_full(&self) -> bool {
        self.known() >= self.end.load(Ordering::Relaxed)
    }

    fn known(&self) -> u64 {
        self.at + self.batch_bytes as u64
    }

    /// Waits for the batch before, and starts to write what was collected since.
    async fn flush(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        self.settle(report).await?;
        if self.batch_bytes == 0 {
            self.batch.clear();
            return Ok(());
        }
        let batch: hashing::Batch = (self.at, Arc::new(std::mem::take(&mut self.batch)));
        self.at += std::mem::take(&mut self.batch_bytes) as u64;
        let (part, generation, journaled) = (self.go.part.clone(), self.go.generation, self.go.journaled);
        let end = self.end.clone();
        let (done, writing) = oneshot::channel();
        self.writing = Some(writing);
        let held_back = self.held_back.is_some();
        let quick = !journaled && end_of(&batch) - batch.0 <= QUICK;
        let write = move || {
            let fresh = part.write_at(generation, batch.0, &batch.1, &end)?;
            let mut later = Vec::new();
            // Of what somebody else wrote first, that one's record stands.
            if journaled && fresh {
                let mut crc = Crc::new();
                batch.1.iter().for_each(|bytes| crc.update(bytes));
                let claim = Claim { start: batch.0, end: end_of(&batch), crc: crc.value() };
                let record = journal::claim(claim);
                if held_back { later = record } else { part.record(generation, &record)? }
            }
            Ok((batch, fresh, later))
        };
        // Whoever is dropped meanwhile does not want to know.
        let write = move || drop(done.send(write()));
        if quick {
            self.go.clerks.run(write);
        } else {
            tokio::task::spawn_blocking(write);
        }
        Ok(())
    }

    async fn settle(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let since = clock::instant();
        let (batch, fresh, later) =
            writing.await.map_err(|e| Error::new(ErrorKind::DiskFailed, "", e.to_string()))??;
        let disk = since.elapsed();
        let upto = end_of(&batch);
        let written = batch.1.iter().map(Bytes::len).sum::<usize>();
        if let Some(records) = &mut self.held_back {
            // The hasher reads it back when it counts.
            records.extend(later);
            self.fresh &= fresh;
            self.meter.spent().disk += disk;
            return Ok(());
        }
        // What is not on the disk as it is here is read back from there.
        let hash = match self.go.feed.as_ref().filter(|_| fresh) {
            Some(feed) => feed.give(batch).await,
            None => Duration::ZERO,
        };
        let mut spent = self.meter.spent();
        spent.disk += disk;
        spent.hash += hash;
        drop(spent);
        report(Input::Wrote { worker: self.worker, upto, fresh });
        self.in_hand -= written;
        self.meter.gave(written);
        Ok(())
    }

    /// From now on nothing counts before all of it was right, where it can be taken back. A worker that was dropped may
    /// have left something here that was never judged.
    async fn hold_back(&mut self) -> Result<(), Error> {
        if self.void().await? {
            self.held_back = Some(Vec::new());
        }
        Ok(())
    }

    /// All of it was right.
    async fn tell(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        let Some(records) = self.held_back.take() else { return Ok(()) };
        let (part, generation) = (self.go.part.clone(), self.go.generation);
        if !records.is_empty() {
            on_the_disk(move || part.record(generation, &records)).await?;
        }
        report(Input::Wrote { worker: self.worker, upto: self.at, fresh: self.fresh });
        self.meter.gave(std::mem::take(&mut self.in_hand));
        Ok(())
    }

    /// Not all of it came, or it was wrong.
    ///
    /// # Errors
    /// `output.started` if what was wrong has left for good.
    async fn take_back(&mut self, why: Option<&Error>, report: &impl Fn(Input)) -> Result<(), Error> {
        // A write that is under way must not be later than this.
        let settled = self.settle(report).await;
        let gone = !self.void().await?;
        settled?;
        match why {
            Some(bad) if gone && bad.kind == ErrorKind::DigestPart && self.at > self.go.at => {
                Err(Error::new(ErrorKind::OutputStarted, &bad.at, &bad.detail))
            }
            _ => Ok(()),
        }
    }

    /// What is on the disk of its task counts for nothing. False where that cannot be.
    async fn void(&self) -> Result<bool, Error> {
        let (part, generation) = (self.go.part.clone(), self.go.generation);
        let range = self.go.at..self.end.load(Ordering::Relaxed);
        on_the_disk(move || part.void(generation, range)).await
    }

    async fn finish(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        self.flush(report).await?;
        self.settle(report).await
    }
}

/// Runs what waits for the disk on a thread that may.
async fn on_the_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::new(ErrorKind::DiskFailed, "", e.to_string())))
}

/// A worker may be dropped at any time.
impl Drop for Writer {
    fn drop(&mut self) {
        self.meter.gave(self.in_hand);
    }
}

/// Tells silence and crawling from work.
struct Watch {
    timeout: Duration,
    heard: Instant,
    min_bytes: u64,
    window_start: Instant,
    window_bytes: u64,
}

impl Watch {
    fn new(settings: &Settings) -> Self {
        let now = clock::instant();
        let (timeout, min_bytes) = (settings.timeout, settings.min_bytes_a_minute);
        Watch { timeout, heard: now, min_bytes, window_start: now, window_bytes: 0 }
    }

    fn arrived(&mut self, bytes: usize) {
        self.window_bytes += bytes as u64;
        self.heard = clock::instant();
    }

    /// From `since` to now the disk was slow and nobody listened: that is not the server's silence.
    fn was_away(&mut self, since: Instant) {
        let away = clock::instant().duration_since(since);
        self.heard += away;
        self.window_start += away;
    }

    fn check(&mut self) -> Result<(), Error> {
        let now = clock::instant();
        if now.duration_since(self.heard) >= self.timeout {
            let detail = format!("nothing for {} s", self.timeout.as_secs_f64());
            return Err(Error::new(ErrorKind::NetSilent, "", detail));
        }
        if now.duration_since(self.window_start) >= MIN_SPEED_WINDOW {
            if self.window_bytes < self.min_bytes {
                let detail = format!("{} bytes in a minute", self.window_bytes);
                return Err(Error::new(ErrorKind::NetSlow, "", detail));
            }
            self.window_start = now;
            self.window_bytes = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Came = Result<&'static str, ()>;

    /// What `at_once` makes of a body that sends this, and then the last of it again and again. It may be read ten times.
    async fn taken(length: u64, sends: Vec<Came>) -> (Vec<Came>, Option<String>) {
        let mut left = 10;
        let mut sends = sends.into_iter().peekable();
        let mut last = None;
        let body =
            stream::poll_fn(move |_| {
                left -= 1;
                assert!(left > 0, "read for ever");
                last = sends.next().or(last);
                std::task::Poll::Ready(last.map(|one: Came| {
                    one.map(Bytes::from).map_err(|()| Error::new(ErrorKind::NetReset, "", ""))
                }))
            });
        let (body, all) = at_once(length, Box::pin(body)).await;
        let text = |all: Vec<Bytes>| String::from_utf8(all.concat()).expect("text");
        let rest: Vec<Came> = body
            .take(2)
            .map(|one| one.map(|bytes| if bytes.is_empty() { "" } else { "some" }).map_err(|_| ()))
            .collect()
            .await;
        (rest, all.map(text))
    }

    #[tokio::test]
    async fn what_comes_at_once_is_taken_and_nothing_is_read_for_ever() {
        let whole = Some("abcdef".to_string());
        assert_eq!(taken(6, vec![Ok("abc"), Ok("def")]).await, (vec![Ok("some"); 2], whole));
        assert_eq!(taken(6, vec![Ok("abc"), Err(())]).await, (vec![Ok("some"), Err(())], None));
        assert_eq!(taken(6, vec![Err(())]).await, (vec![Err(())], None));
        assert_eq!(taken(6, vec![Ok("")]).await, (vec![Ok(""); 2], None));
        assert_eq!(taken(6, vec![Ok("abcdefghi")]).await.1, None);
    }
}
