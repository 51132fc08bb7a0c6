//! Downloads one small file, from the request to the final name, without waking another thread.
//!
//! Invariant: no byte of the file is written to the disk before all its bytes have arrived and were verified.
//! After that, one call saves the file under its final name. So the thread can give up a file at any moment
//! before that call.

use super::{Finished, Lent, Response, Returned, Tools};
use crate::clock;
use crate::director::{about, headers_of, listed_size, promises_data, publishing};
use crate::explain::{self, Spent};
use crate::hashers::Hashers;
use crate::known::Known;
use crate::place::Wanted;
use crate::report::Meter;
use crate::source::{self, Body, Opened, Request, SMALL_FILE};
use bytes::Bytes;
use downhaul_core::concurrency::{Allowance, Observation};
use downhaul_core::content;
use downhaul_core::error::Error;
use downhaul_core::event::{EventKind, JobId, Phase};
use downhaul_core::identity::Identity;
use downhaul_core::plan::{Action, Findings, Input, Outcome, Place, Plan, Rules};
use downhaul_core::remote::{Links, Remote};
use downhaul_core::settings::Settings;
use downhaul_core::show;
use futures_util::{StreamExt, stream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// The longest time for the body of a small file. If a body takes longer, the director continues the job.
const PATIENCE: Duration = Duration::from_secs(1);

/// The highest number of buffers of a body that are read. The body of a small file arrives in a few dozen
/// buffers, but a source may send empty buffers without end.
const BUFFERS_MOST: usize = 1024;

/// The allowance of a plan for exactly one connection.
const ONE: [Allowance; 1] =
    [Allowance { most: 1, worth: 0, replaces: false, surplus: 0, not_before: Duration::ZERO }];

/// Downloads the file of a job. Gives the job back if `recalls` changes before the last byte has arrived.
/// `saves` is increased when the thread begins to use the disk, and when it stops using the disk.
pub(super) async fn download(
    tools: &Tools,
    saves: &AtomicU64,
    lent: Lent,
    mut recalls: watch::Receiver<()>,
) -> Returned {
    if lent.rules.look_first && !on_disk(saves, || is_free(tools, &lent)) {
        return Returned::Occupied(Box::new(lent));
    }
    let name = lent.spec.destination.given_name().unwrap_or_else(|| show::url(&lent.spec.urls[0]));
    let sent = tools.clock.now();
    let meter = tools.reporter.meter(lent.id, name, sent);
    let _shown = Shown { tools, id: lent.id };
    let (response, mut spent) = tokio::select! {
        biased;
        response = responded(&lent, &tools.settings, &meter) => response,
        Ok(()) = recalls.changed() => return Returned::Untouched(Box::new(lent)),
    };
    let done = tools.clock.now();
    let (opened, whole) = match response {
        Err(error) => {
            return Returned::Responded(Box::new(Response {
                job: lent,
                response: Err(error),
                sent,
                done,
                spent,
            }));
        }
        Ok(response) => response,
    };
    let since = clock::instant();
    let save = |whole| on_disk(saves, || Saving::new(tools, &lent, whole, sent).run(&opened.remote));
    if let Some(saved) = whole.and_then(save) {
        let took = tools.clock.now().saturating_sub(sent);
        spent.publish = since.elapsed();
        let (id, spec, is_shared) = (lent.id, lent.spec, opened.remote.is_shared);
        return Returned::Finished(Box::new(Finished { id, spec, saved, sent, took, spent, is_shared }));
    }
    Returned::Responded(Box::new(Response { job: lent, response: Ok(opened), sent, done, spent }))
}

/// Runs work that may wait for the disk. Increases `saves` by 1 before the work and after it.
fn on_disk<T>(saves: &AtomicU64, work: impl FnOnce() -> T) -> T {
    saves.fetch_add(1, Ordering::Relaxed);
    let result = work();
    saves.fetch_add(1, Ordering::Relaxed);
    result
}

/// Returns true if the path of a job is known to be free: neither a file nor a partial file is there. Reads
/// the folder, if it was not read yet.
fn is_free(tools: &Tools, lent: &Lent) -> bool {
    let identity = Identity { origins: lent.rules.origins.clone(), has_strong_digest: false };
    tools.places.nothing_stands(lent.id, &identity).is_some()
}

/// The progress of a file is shown until this value is dropped.
struct Shown<'a> {
    tools: &'a Tools,
    id: JobId,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.tools.reporter.drop_meter(self.id);
    }
}

/// A response, and all its bytes if they have arrived.
type Answer = (Opened, Option<Vec<Bytes>>);

/// Returns the result of [`respond`]. A panic in the source becomes an error, so the thread continues with
/// its other files.
async fn responded(lent: &Lent, settings: &Settings, meter: &Meter) -> (Result<Answer, Error>, Spent) {
    let response = source::caught("", async { Ok(respond(lent, settings, meter).await) }).await;
    response.unwrap_or_else(|error| (Err(error), Spent::default()))
}

/// Requests the file. If the file is small and arrives within [`PATIENCE`], its bytes are returned too. The
/// body of the response begins with the received bytes again, so that the director can continue with the
/// response.
async fn respond(lent: &Lent, settings: &Settings, meter: &Meter) -> (Result<Answer, Error>, Spent) {
    let (size, likely_small) = (listed_size(&lent.spec), lent.likely_small);
    let headers = headers_of(&lent.spec, settings, 0);
    let request = Request { size, likely_small, headers, ..Request::EVERYTHING };
    let (opened, mut spent) = explain::measured(lent.source.open(request)).await;
    let (remote, mut body) = match opened {
        Ok(Opened { remote, body }) => (remote, body),
        Err(error) => return (Err(error), spent),
    };
    let Some(length) = remote.size.filter(|&size| remote.is_whole() && size <= SMALL_FILE) else {
        return (Ok((Opened { remote, body }, None)), spent);
    };
    meter.set_total(Some(length));
    meter.set_phase(Phase::Receiving);
    let since = clock::instant();
    let mut came = Vec::new();
    let end = timeout(PATIENCE, read(&mut body, &mut came, length, meter)).await;
    let again = stream::iter(came.clone().into_iter().map(Ok));
    let (body, whole): (Body, _) = match end {
        Ok(Ok(true)) => (Box::pin(again), Some(came)),
        Ok(Err(error)) => (Box::pin(again.chain(stream::iter([Err(error)]))), None),
        Ok(Ok(false)) | Err(_) => (Box::pin(again.chain(body)), None),
    };
    spent.body = since.elapsed();
    (Ok((Opened { remote, body }, whole)), spent)
}

/// Reads a body to its end. Returns true if the body had `length` bytes. Returns false if the body was
/// shorter, and replaces it with an empty body. Also returns false, without reading the rest, as soon as the
/// body is longer or has too many buffers.
async fn read(body: &mut Body, came: &mut Vec<Bytes>, length: u64, meter: &Meter) -> Result<bool, Error> {
    let mut there = 0;
    while let Some(bytes) = body.next().await {
        let bytes = bytes?;
        there += bytes.len() as u64;
        meter.set_bytes(there);
        came.push(bytes);
        if there > length || came.len() >= BUFFERS_MOST {
            return Ok(false);
        }
    }
    if there < length {
        *body = Box::pin(stream::empty());
    }
    Ok(there == length)
}

/// A file whose bytes have all arrived, with its plan.
struct Saving<'a> {
    tools: &'a Tools,
    lent: &'a Lent,
    plan: Plan,
    whole: Vec<Bytes>,
    /// The time when the request was sent.
    sent: Duration,
    /// The final path, once it was chosen.
    path: PathBuf,
}

/// A file that was saved.
pub(crate) struct Saved {
    /// The final path.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// The events of the job, in order.
    pub(crate) events: Vec<EventKind>,
    /// The observations about the host, in order.
    pub(crate) observations: Vec<Observation>,
}

impl<'a> Saving<'a> {
    fn new(tools: &'a Tools, lent: &'a Lent, whole: Vec<Bytes>, sent: Duration) -> Saving<'a> {
        let plan = Plan::new(Rules { look_first: false, ..lent.rules.clone() });
        Saving { tools, lent, plan, whole, sent, path: PathBuf::new() }
    }

    /// Carries out the actions of the plan. Returns `None` if one of them fails, or if the job needs
    /// something that only the director can do. In these cases, no byte of the file is on the disk.
    fn run(&mut self, remote: &Remote) -> Option<Saved> {
        let settings = &self.tools.settings;
        let mut now = self.sent;
        if settings.mirrors && remote.links != Links::default() {
            return None;
        }
        let bytes: u64 = self.whole.iter().map(|some| some.len() as u64).sum();
        let (mut events, mut observations) = (Vec::new(), Vec::new());
        loop {
            let input = match self.plan.next(now, &ONE) {
                Action::Fetch { worker, from: 0, to: None, .. } => {
                    now = self.tools.clock.now();
                    Input::Opened { worker, remote: Box::new(remote.clone()) }
                }
                Action::Place { remote: Some(remote), begin: Some(begin) }
                    if begin.journal.is_none() && !begin.keep =>
                {
                    self.place(&remote)?
                }
                Action::Accept { worker, skip: 0, at: 0, end } if end == Some(bytes) => {
                    self.plan.on(now, Input::Wrote { worker, upto: bytes, fresh: true });
                    Input::Ended { worker, result: Ok(()) }
                }
                Action::Verify => self.verify(now),
                Action::Publish => {
                    let published = self.publish(remote)?;
                    now = self.tools.clock.now();
                    published
                }
                Action::Tell(
                    event @ (EventKind::Started { .. }
                    | EventKind::Verified { .. }
                    | EventKind::Finished { .. }),
                ) => {
                    events.push(event);
                    continue;
                }
                Action::Observe { observation, .. } => {
                    observations.push(observation);
                    continue;
                }
                Action::Finish(Outcome::Finished) => {
                    let path = std::mem::take(&mut self.path);
                    return Some(Saved { path, bytes, events, observations });
                }
                // The whole body has arrived, so there is nothing to stop.
                Action::Drop { .. } => continue,
                _ => return None,
            };
            self.plan.on(now, input);
        }
    }

    /// Takes the path that was reserved for the file. Returns `None` if this path cannot be used.
    fn place(&mut self, remote: &Remote) -> Option<Input> {
        let (identity, known) = (self.plan.identity(), Known::default());
        let (job, spec) = (self.lent.id, &*self.lent.spec);
        let wanted = Wanted { job, spec, identity: &identity, remote: Some(remote), known: &known };
        self.path = self.tools.places.reserved_and_free(&wanted)?;
        let path = self.path.to_string_lossy().into_owned();
        Some(Input::Placed(Ok(Place::Free { path, left: false }), None))
    }

    /// Computes the digests. If the first bytes must be examined ([`promises_data`]), also tells the plan
    /// which kind of content they show.
    fn verify(&mut self, now: Duration) -> Input {
        let Tools { settings, .. } = self.tools;
        let mut hashers = Hashers::new(&self.plan.algorithms());
        let buffers: Vec<&[u8]> = self.whole.iter().map(|some| &**some).collect();
        hashers.update(&buffers);
        if promises_data(&self.path.to_string_lossy(), &self.lent.spec, settings) {
            let mut beginning = Vec::with_capacity(content::ENOUGH);
            for some in &buffers {
                let room = content::ENOUGH - beginning.len();
                beginning.extend_from_slice(&some[..some.len().min(room)]);
            }
            let look = Some(content::look(&beginning));
            self.plan.on(now, Input::Found(Findings { look, ..Findings::default() }));
        }
        Input::Verified(Ok(hashers.finish()))
    }

    /// Saves the file under its final name. Returns `None` if that is not possible.
    fn publish(&mut self, remote: &Remote) -> Option<Input> {
        let Tools { settings, disk, clock, .. } = self.tools;
        let (size, from) = (self.plan.size().unwrap_or_default(), self.plan.fetched_from());
        let mut how = publishing(settings, &self.lent.spec, size, from, remote.modified);
        how.about = about(&**disk, &self.lent.spec, &self.plan, clock.now());
        how.transcript = self.plan.transcript();
        let is_saved = disk.save(&self.path, &self.plan.identity(), &self.whole, &how);
        is_saved.then(|| Input::Published(Ok(disk.location(&self.path).to_string_lossy().into_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::report::Reporter;

    /// Reads a body that is announced to have 6 bytes. The body sends these buffers and, if `repeats` is
    /// true, sends the last one again and again. Returns true if the body was complete, with the number of
    /// buffers that were read and the number of buffers that are left.
    async fn came(buffers: &[&'static str], repeats: bool) -> (bool, usize, usize) {
        let last = if repeats { buffers.last() } else { None };
        let rest = last.into_iter().cycle().take(2 * BUFFERS_MOST);
        let all: Vec<_> = buffers.iter().chain(rest).map(|text| Ok(Bytes::from(*text))).collect();
        let (mut body, mut came): (Body, _) = (Box::pin(stream::iter(all)), Vec::new());
        let meter = Reporter::new(Clock::start()).meter(JobId::new(1), String::new(), Duration::ZERO);
        let is_complete = read(&mut body, &mut came, 6, &meter).await.expect("no error");
        (is_complete, came.len(), body.count().await)
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_announced_end_and_no_further() {
        assert_eq!(came(&["abc", "def"], false).await, (true, 2, 0));
        assert_eq!(came(&["abc"], false).await, (false, 1, 0));
        assert_eq!(came(&["abc", "defg"], true).await, (false, 2, 2 * BUFFERS_MOST));
        assert_eq!(came(&[""], true).await, (false, BUFFERS_MOST, BUFFERS_MOST + 1));
    }
}
