//! One connection at work: open -> wait for the word on the reply -> read -> write -> report.
//!
//! Bytes go from the network to the disk and the hasher here and nowhere else; the director only hears how far
//! they got. Invariant: no byte is written before the director said [`Go`], none beyond the end that it named, and
//! none is reported before the disk took it. Memory: one batch being filled, one being written, and two with the hasher.

use crate::clock;
use crate::disk::Part;
use crate::report::Meter;
use crate::source::{Opened, Source, Want};
use crate::verify;
use bytes::Bytes;
use downhaul_core::error::{Error, Kind};
use downhaul_core::event::Phase;
use downhaul_core::plan::{Input, WorkerId};
use downhaul_core::settings::{MIN_SPEED_WINDOW, Settings};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Bytes that are collected before they are written, at most: few writes, and each long enough to be worth a trip to
/// another thread.
const BATCH_MOST: usize = 1024 * 1024;

/// What the batches of all workers may take together: three quarters of the 64 MiB of promise 7, the rest is for
/// reading.
const BATCHES_TOGETHER: usize = 48 * 1024 * 1024;

/// Batches of one worker that may be there at once: being filled, written, waiting for the hasher, hashed.
const BATCHES_EACH: usize = 4;

/// How large a batch may be when so many files are in flight.
fn batch_bytes(parallel: usize) -> usize {
    (BATCHES_TOGETHER / BATCHES_EACH / parallel.max(1)).clamp(8 * 1024, BATCH_MOST)
}

/// Buffers that are collected before they are written, for bodies that arrive in crumbs.
const BATCH_BUFFERS: usize = 1024;

/// How long bytes may wait to be written, and how often silence is looked for.
const TICK: Duration = Duration::from_millis(250);

/// The director's word that a reply is right.
pub(crate) struct Go {
    /// Where the bytes go.
    pub(crate) part: Arc<dyn Part>,
    /// Offset of the first one. 0: the part file starts (again).
    pub(crate) at: u64,
    /// Where the body ends, if known.
    pub(crate) end: Option<u64>,
    /// Who hashes them, if anybody.
    pub(crate) feed: Option<verify::Feed>,
}

/// What a worker is given when it starts.
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) from: u64,
    pub(crate) meter: Arc<Meter>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) go: oneshot::Receiver<Go>,
}

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
        self.meter.set_phase(Phase::Connecting);
        let want = Want { from: self.from };
        let Opened { reply, mut body } = self.source.open(want).await?;
        report(Input::Opened { worker: self.id, reply: Box::new(reply) });
        let Ok(go) = self.go.await else { return Ok(None) };

        self.meter.set_phase(Phase::Receiving);
        let mut writer = Writer::new(self.id, go, self.meter, batch_bytes(self.settings.parallel));
        let mut watch = Watch::new(&self.settings);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !writer.is_full() {
            tokio::select! {
                biased;
                bytes = body.next() => match bytes {
                    Some(Ok(bytes)) => {
                        watch.arrived(bytes.len());
                        if writer.take(bytes) {
                            let since = clock::instant();
                            writer.flush(report).await?;
                            watch.was_away(since);
                        }
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
                    let since = clock::instant();
                    writer.flush(report).await?;
                    watch.was_away(since);
                }
            }
        }
        writer.finish(report).await?;
        Ok(Some(()))
    }
}

/// Collects bytes into batches and has one of them written at a time.
struct Writer {
    worker: WorkerId,
    go: Go,
    meter: Arc<Meter>,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    /// Where the batch begins.
    at: u64,
    writing: Option<JoinHandle<Result<verify::Batch, Error>>>,
    batch_most: usize,
}

impl Writer {
    fn new(worker: WorkerId, go: Go, meter: Arc<Meter>, batch_most: usize) -> Self {
        let at = go.at;
        meter.set_bytes(at);
        Writer { worker, go, meter, batch: Vec::new(), batch_bytes: 0, at, writing: None, batch_most }
    }

    /// Adds bytes, without what lies beyond the end. True when the batch should be written.
    fn take(&mut self, mut bytes: Bytes) -> bool {
        let known = self.at + self.batch_bytes as u64;
        if let Some(end) = self.go.end {
            bytes.truncate(usize::try_from(end.saturating_sub(known)).unwrap_or(usize::MAX));
        }
        self.batch_bytes += bytes.len();
        self.batch.push(bytes);
        self.meter.set_bytes(self.at + self.batch_bytes as u64);
        self.batch_bytes >= self.batch_most || self.batch.len() >= BATCH_BUFFERS
    }

    /// Everything that was announced is here.
    fn is_full(&self) -> bool {
        self.go.end.is_some_and(|end| self.at + self.batch_bytes as u64 >= end)
    }

    /// Waits for the batch before, and starts to write what was collected since.
    async fn flush(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        self.settle(report).await?;
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch: verify::Batch = (self.at, Arc::new(std::mem::take(&mut self.batch)));
        self.at += std::mem::take(&mut self.batch_bytes) as u64;
        let part = self.go.part.clone();
        // The first batch of a file that starts again takes back what was there.
        let restart = batch.0 == 0;
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if restart {
                part.restart()?;
            }
            part.write_at(batch.0, &batch.1)?;
            Ok(batch)
        }));
        Ok(())
    }

    async fn settle(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let batch = writing.await.map_err(|e| Error::new(Kind::DiskFailed, "", e.to_string()))??;
        let upto = batch.0 + batch.1.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        if let Some(feed) = &self.go.feed {
            // The hasher's own failure is told when its digests are asked for.
            let _ = feed.send(batch).await;
        }
        report(Input::Wrote { worker: self.worker, upto });
        Ok(())
    }

    async fn finish(&mut self, report: &impl Fn(Input)) -> Result<(), Error> {
        if self.at == 0 && self.batch.is_empty() && self.writing.is_none() {
            // An empty body, or one that broke before its first byte: what was there still goes.
            self.batch.push(Bytes::new());
        }
        self.flush(report).await?;
        self.settle(report).await
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
            return Err(Error::new(Kind::NetSilent, "", detail));
        }
        if now.duration_since(self.window_start) >= MIN_SPEED_WINDOW {
            if self.window_bytes < self.min_bytes {
                let detail = format!("{} bytes in a minute", self.window_bytes);
                return Err(Error::new(Kind::NetSlow, "", detail));
            }
            self.window_start = now;
            self.window_bytes = 0;
        }
        Ok(())
    }
}
