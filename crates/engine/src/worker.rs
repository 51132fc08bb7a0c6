//! Carries out one request of a plan. A worker opens its source, waits until the director accepts the
//! response, reads the body, passes the bytes to the [`writer`], and reports the progress.
//!
//! Workers pass all bytes from the network to the disk and the hasher. The director receives no bytes, but
//! only the offset up to which a worker has written. There is one exception: if a small file arrived together
//! with the head of its response ([`Whole`]), its bytes are written by the task that opens its partial file.
//!
//! Invariant: a worker writes no byte before the director sends [`Go`], and reports no byte before it was
//! written. If the worker verifies the digest of a range (`Content-Digest`), nothing is reported or recorded
//! in the journal before the whole range has arrived and matches the digest, unless the output cannot take
//! bytes back. The director may move the end of the segment closer at any time. At most five batches of a
//! worker are in memory. One of them is being filled. The others wait to be written or hashed, or are being
//! written or hashed. At most two of them wait to be written or are being written.

mod watch;
mod write_queue;
mod writer;

use crate::chunk_hash::ChunkCheck;
use crate::clock;
use crate::disk::{Generation, Part};
use crate::explain;
use crate::hashing;
use crate::limit::Limits;
use crate::report::Meter;
use crate::short_blocking::ShortCalls;
use crate::source::{self, Body, Opened, Request, Source, next_bytes};
use bytes::Bytes;
use downhaul_core::error::Error;
use downhaul_core::plan::{Input, WorkerId};
use downhaul_core::settings::Settings;
use futures_util::{FutureExt, StreamExt, stream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;
use watch::Watch;
use writer::{QUICK, Writer};

/// The time between checks for silence. Bytes are written and reported at the next check at the latest, or at
/// the second check if a batch became full in between. So a slow connection reports its progress to the plan
/// ten times a second.
const TICK: Duration = Duration::from_millis(100);

/// The number of times that the worker lets other tasks run before it waits for the rest of a small file. The
/// task that reads the connection needs one turn to pass on the bytes that arrived with the head. The two
/// other turns are a reserve.
const TURNS: u32 = 3;

/// All bytes of a small file, if they arrived together with the head of its response. They are written when
/// the partial file is opened.
pub(crate) type Whole = Arc<OnceLock<Vec<Bytes>>>;

/// The message from the director that accepts a response.
pub(crate) struct Go {
    pub(crate) part: Arc<dyn Part>,
    /// The generation of the partial file that the bytes belong to.
    pub(crate) generation: Generation,
    /// The number of bytes to skip at the beginning of the body.
    pub(crate) skip: u64,
    /// The offset in the file of the first byte after the skipped ones.
    pub(crate) at: u64,
    /// True if the worker must record the bytes in the journal.
    pub(crate) journaled: bool,
    /// The thread for quick writes.
    pub(crate) short_calls: Arc<ShortCalls>,
    /// Passes bytes to the hasher, if the file is hashed.
    pub(crate) feed: Option<hashing::Feed>,
}

pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) request: Request,
    pub(crate) meter: Arc<Meter>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) limits: Limits,
    pub(crate) go: oneshot::Receiver<Go>,
    /// The end of the segment, or [`UNKNOWN_END`]. The director may move it closer.
    pub(crate) end: Arc<AtomicU64>,
    /// The place where the worker stores all bytes of a small file, if they arrived together with the head of
    /// the response.
    pub(crate) whole: Whole,
    /// The number of connections of the session. It decides how large a batch may become.
    pub(crate) workers: Arc<AtomicUsize>,
}

/// The end of a file whose size is not known.
pub(crate) const UNKNOWN_END: u64 = u64::MAX;

impl Worker {
    /// Runs until the body ends, the segment is complete, or an error occurs. The worker passes its results
    /// to `report`. A panic in the source counts as an error.
    pub(crate) async fn run(self, report: impl Fn(Input)) {
        let worker = self.id;
        let result = source::caught("", self.work(&report)).await;
        // There is no result if the director sent no [`Go`], because it does not need the response.
        if let Some(result) = result.transpose() {
            report(Input::Ended { worker, result });
        }
    }

    async fn work(self, report: &impl Fn(Input)) -> Result<Option<()>, Error> {
        let _counted = self.meter.count_worker();
        let (opened, spent) = explain::measured(self.source.open(self.request.clone())).await;
        self.meter.spent().add(spent);
        let Opened { mut remote, mut body } = opened?;
        remote.waited = Some(spent.first_byte);
        let chunk = ChunkCheck::of(&remote, self.settings.verify);
        let small = remote.size.filter(|&size| remote.is_whole() && size <= QUICK);
        if let Some(length) = small.filter(|_| !self.limits.is_set()) {
            let all;
            (body, all) = at_once(length, body).await;
            // Setting the value cannot fail, because only this line does it.
            let _ = all.map(|all| self.whole.set(all));
        }
        report(Input::Opened { worker: self.id, remote: Box::new(remote) });
        let Ok(go) = self.go.await else { return Ok(None) };

        let mut chunk = chunk.filter(|chunk| chunk.end() <= self.end.load(Ordering::Relaxed));
        let mut writer = Writer::new(self.id, go, self.end, self.workers, self.meter);
        if chunk.is_some() {
            writer.hold_back().await?;
        }
        let came = receive(body, &mut writer, chunk.as_mut(), &self.limits, &self.settings, report).await;
        if chunk.is_some_and(|chunk| came.is_err() || !chunk.is_complete()) {
            writer.take_back(came.as_ref().err(), report).await?;
        } else {
            writer.release(report).await?;
        }
        came.map(Some)
    }
}

/// Reads the part of a small file that has already arrived, and does not wait for the network. Returns the
/// body as if nothing had been read. If all bytes of the file had arrived, this function returns them too.
async fn at_once(length: u64, mut body: Body) -> (Body, Option<Vec<Bytes>>) {
    let (mut came, mut there, mut turns) = (Vec::new(), 0, 0);
    while there < length && turns < TURNS {
        match body.next().now_or_never() {
            Some(Some(Ok(bytes))) => {
                there += bytes.len() as u64;
                // A body may send empty buffers without end.
                turns += u32::from(bytes.is_empty());
                came.push(bytes);
            }
            // The body is not read any more, since it may return the same error again and again.
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

/// Reads the body until it ends or the segment is complete.
async fn receive(
    mut body: Body,
    writer: &mut Writer,
    mut chunk: Option<&mut ChunkCheck>,
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
            bytes = next_bytes(&mut body) => match bytes {
                Some(Ok(mut bytes)) => {
                    watch.arrived(bytes.len());
                    // A digest of the response is compared before the last bytes are written. So if there is
                    // such a digest, the bytes of a complete segment match it.
                    chunk.as_mut().map_or(Ok(()), |chunk| chunk.update(&bytes))?;
                    let since = clock::instant();
                    while !bytes.is_empty() && !writer.is_full() {
                        let some = bytes.split_to(limits.slice(bytes.len()));
                        let is_limited = limits.is_set();
                        if is_limited {
                            writer.wait_for(limits, some.len()).await;
                        }
                        if writer.take(some) {
                            writer.flush(report).await?;
                        }
                        // If the rate limit is lower than the rate of the server, there are always bytes to
                        // read, and the branch of the tick below is not reached. Here, the worker does not
                        // wait until the bytes are written, because the download would then be slower than
                        // the limit.
                        if is_limited && tick.tick().now_or_never().is_some() {
                            writer.flush(report).await?;
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
                let since = clock::instant();
                writer.tick(report).await?;
                watch.was_away(since);
            }
        }
    }
    writer.finish(report).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_core::error::ErrorKind;

    type Came = Result<&'static str, ()>;

    /// Returns the result of `at_once` for a body that sends these items, and then the last item again and
    /// again. The body may be read at most nine times.
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
    async fn a_body_that_has_arrived_is_returned_and_any_other_body_stays_unread() {
        let whole = Some("abcdef".to_string());
        assert_eq!(taken(6, vec![Ok("abc"), Ok("def")]).await, (vec![Ok("some"); 2], whole));
        assert_eq!(taken(6, vec![Ok("abc"), Err(())]).await, (vec![Ok("some"), Err(())], None));
        assert_eq!(taken(6, vec![Err(())]).await, (vec![Err(())], None));
        assert_eq!(taken(6, vec![Ok("")]).await, (vec![Ok(""); 2], None));
        assert_eq!(taken(6, vec![Ok("abcdefghi")]).await.1, None);
    }
}
