//! Records how the time of a run was spent, what limited its files, and why connections were added or
//! dropped.
//!
//! Invariant: the memory does not depend on the number of files, because only the [`FILES_MOST`] slowest ones
//! are kept. While a source is opened, a task-local value has the time that each stage took. [`spend`] adds
//! to this value when a stage ends, and [`measured`] reads it in the task that opens the source. So the
//! functions that [`measured`] calls do not need an argument for the time.

use crate::clock;
use downhaul_core::concurrency::{RequestLimit, Step, StepReason};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// The highest number of files that are explained. This many lines fit on a screen.
const FILES_MOST: usize = 16;

/// If the connections of a file waited for the disk during more than this fraction (1/4) of the time in which
/// bytes arrived, the disk limited the speed of the file. The same rule is used for the hasher.
const SHARE: u32 = 4;

/// If connections wait for the disk or for a limit of the rate during more than this fraction (1/2) of their
/// time, the connections deliver more than the disk can write or the limit allows. If the disk could write
/// more, but takes long to answer, the connections wait during a smaller fraction of their time. For example,
/// a slow connection writes ten times a second, and each write takes 30 ms on a remote disk. Such a
/// connection waits during 30 % of its time.
const FULL_SHARE: u32 = 2;

/// Waits that are not longer than this time are not reported as the limit of a file. Such a wait is usual,
/// for example while the requests for other files are sent first.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// The facts that explain how long a run took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explanation {
    /// Each host whose target changed, with these changes, oldest first.
    pub hosts: Vec<(String, Vec<Step>)>,
    /// Each host that limits the number of requests, with this limit.
    pub request_limits: Vec<(String, RequestLimit)>,
    /// The changes of the number of files that are downloaded at once, oldest first. It is empty if the
    /// settings of the session state this number.
    pub at_once: Vec<Step>,
    /// The files that took longest, longest first.
    pub files: Vec<FileStory>,
    /// The proxies that connections went through, without their logins.
    pub proxies: Vec<String>,
}

/// The reasons for the duration of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileStory {
    /// The name of the file.
    pub name: String,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The time from the start of the job until the file had its final name.
    pub took: Duration,
    /// The highest number of connections at once.
    pub connections: usize,
    /// The time of each stage.
    pub spent: Spent,
    /// The limit of the speed of the file.
    pub limit: Limiter,
}

/// The time that a file spent in each stage. The times from `name` to `hash` are sums over its connections,
/// which work at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// The time for finding the addresses of the host.
    pub name: Duration,
    /// The time for making connections.
    pub connect: Duration,
    /// The time for TLS handshakes.
    pub tls: Duration,
    /// The time from a request to the head of its response, including redirects, without the times above.
    pub first_byte: Duration,
    /// The time of waiting for a limit of the rate, while bytes arrived.
    pub limit: Duration,
    /// The time of waiting for the disk, while bytes arrived.
    pub disk: Duration,
    /// The time of waiting for the hasher, while bytes arrived.
    pub hash: Duration,
    /// The time from the first byte to the last one.
    pub body: Duration,
    /// The time between the last write and the end of the verification.
    pub verify: Duration,
    /// The time from the end of the verification until the file had its final name. It includes the time for
    /// forcing the file to the disk, if that was done. For a small file, it includes the times for verifying
    /// and writing the file.
    pub publish: Duration,
}

/// The limit of the speed of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limiter {
    /// A limit of the rate, such as `--limit-rate`.
    Rate,
    /// The time that belongs to no stage was longer than a second, and longer than all stages together. In
    /// this time, the job waited for the host or for its turn, or bytes on the disk were read.
    Waits,
    /// The time before the first byte was longer than the time in which bytes arrived.
    FirstByte,
    /// The speed of the disk.
    Disk,
    /// The speed of the processor, which computes digests.
    Processor,
    /// The number of connections that the user set.
    Named,
    /// The host refuses more connections.
    Refused,
    /// The host becomes slower with more connections.
    Punished,
    /// More connections are not faster, because the network or the server is fully used.
    Line,
    /// Each connection has its own limit. The server sets this limit, or the network loses packets.
    EachConnection,
    /// The download ended before more connections were measured, or it could use only one connection.
    Unknown,
}

/// A stage of a request before the response arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Name,
    Connect,
    Tls,
}

tokio::task_local! {
    static OPENING: Cell<Spent>;
}

/// Runs `open`. Returns its result with the time that each stage took.
pub(crate) async fn measured<T>(open: impl Future<Output = T>) -> (T, Spent) {
    let since = clock::instant();
    OPENING
        .scope(Cell::default(), async {
            let opened = open.await;
            let mut spent = OPENING.with(Cell::get);
            let stages = spent.name + spent.connect + spent.tls;
            spent.first_byte += since.elapsed().saturating_sub(stages);
            (opened, spent)
        })
        .await
}

/// Records the time that another task spent on the response, before this task opened the source.
pub(crate) fn spent_before(spent: Spent) {
    // Outside of `measured`, the time is not needed.
    let _ = OPENING.try_with(|opening| opening.set(spent));
}

/// Records the time of a stage.
pub(crate) fn spend(stage: Stage, since: Instant) {
    let took = since.elapsed();
    // Outside of `measured`, the time is not needed.
    let _ = OPENING.try_with(|opening| {
        let mut spent = opening.get();
        match stage {
            Stage::Name => spent.name += took,
            Stage::Connect => spent.connect += took,
            Stage::Tls => spent.tls += took,
        }
        opening.set(spent);
    });
}

impl Spent {
    /// Adds the times of the stages before the body.
    pub(crate) fn add(&mut self, other: Spent) {
        self.name += other.name;
        self.connect += other.connect;
        self.tls += other.tls;
        self.first_byte += other.first_byte;
    }
}

impl Explanation {
    /// Returns true if a file that took this long would be one of the slowest.
    pub(crate) fn wants(&self, took: Duration) -> bool {
        self.files.len() < FILES_MOST || self.files.last().is_some_and(|last| last.took < took)
    }

    /// Adds a file, if it is one of the slowest.
    pub(crate) fn add(&mut self, story: FileStory) {
        let at = self.files.partition_point(|other| other.took >= story.took);
        self.files.insert(at, story);
        self.files.truncate(FILES_MOST);
    }
}

/// Returns true if another connection would only wait for the disk or for a limit, as the existing ones do.
/// `waited` is the sum of the times for which the existing connections waited. `at_work` is the time since
/// the first bytes arrived.
pub(crate) fn would_wait(waited: Duration, at_work: Duration, connections: usize) -> bool {
    waited * FULL_SHARE > at_work * u32::try_from(connections).unwrap_or(u32::MAX)
}

/// Returns what limited a file that took this long, as far as the client can see that. `capped` is true if
/// the rate is limited. `named` is the number of connections that the user set. `connections` is the highest
/// number of connections that the file had at once. `steps` are the changes of the target of its host.
pub(crate) fn limiter(
    took: Duration,
    spent: &Spent,
    capped: bool,
    named: Option<usize>,
    connections: usize,
    steps: &[Step],
) -> Limiter {
    let count = u32::try_from(connections.max(1)).unwrap_or(1);
    let before = (spent.name + spent.connect + spent.tls + spent.first_byte) / count;
    let last =
        |why: &[StepReason]| steps.iter().rev().find(|step| why.contains(&step.why)).map(|step| step.why);
    let stages = before + spent.body + spent.verify + spent.publish;
    if capped {
        Limiter::Rate
    } else if took.saturating_sub(stages) > stages.max(LONG_WAIT) {
        Limiter::Waits
    } else if before > spent.body {
        Limiter::FirstByte
    } else if spent.disk / count * SHARE > spent.body {
        Limiter::Disk
    } else if spent.hash / count * SHARE > spent.body {
        Limiter::Processor
    } else if named.is_some_and(|named| connections >= named) {
        Limiter::Named
    } else {
        match last(&[StepReason::Refused, StepReason::Collapse]).or(last(&[
            StepReason::NoGain,
            StepReason::TryMore,
            StepReason::Better,
        ])) {
            Some(StepReason::Refused) => Limiter::Refused,
            Some(StepReason::Collapse) => Limiter::Punished,
            Some(StepReason::NoGain) => Limiter::Line,
            Some(StepReason::TryMore | StepReason::Better) if connections > 1 => Limiter::EachConnection,
            _ => Limiter::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(took: u64) -> FileStory {
        let took = Duration::from_secs(took);
        let (spent, limit) = (Spent::default(), Limiter::Unknown);
        FileStory { name: String::new(), bytes: 0, took, connections: 1, spent, limit }
    }

    #[test]
    fn the_files_that_took_longest_are_kept() {
        let mut all = Explanation::default();
        for took in 0..100 {
            if all.wants(Duration::from_secs(took)) {
                all.add(story(took));
            }
        }
        assert!(!all.wants(Duration::from_secs(5)));
        assert_eq!(all.files.len(), FILES_MOST);
        assert!(all.files.iter().map(|file| file.took.as_secs()).eq((84..100).rev()));
    }

    #[test]
    fn another_connection_would_wait_if_the_existing_ones_wait_most_of_the_time() {
        let second = Duration::from_secs(1);
        assert!(!would_wait(Duration::ZERO, Duration::ZERO, 1));
        assert!(!would_wait(second * 4, second * 10, 1));
        assert!(would_wait(second * 6, second * 10, 1));
        // The time is the sum over two connections.
        assert!(!would_wait(second * 8, second * 10, 2));
        assert!(would_wait(second * 12, second * 10, 2));
    }

    #[test]
    fn the_limiter_of_a_file_is_what_took_most_of_its_time() {
        let second = Duration::from_secs(1);
        let spent = Spent { body: second * 10, ..Spent::default() };
        let step = |why| Step { at: second, from: 1, to: 2, goodput: 1.0, why };
        let took = second * 11;
        let of = |spent: &Spent, steps: &[Step]| limiter(took, spent, false, None, 2, steps);
        assert_eq!(limiter(took, &spent, true, None, 1, &[]), Limiter::Rate);
        assert_eq!(limiter(took, &spent, false, Some(2), 2, &[]), Limiter::Named);
        assert_eq!(limiter(second * 21, &spent, false, Some(2), 2, &[]), Limiter::Waits);
        assert_eq!(of(&Spent { disk: second * 8, ..spent }, &[]), Limiter::Disk);
        assert_eq!(of(&Spent { hash: second * 8, ..spent }, &[]), Limiter::Processor);
        assert_eq!(of(&Spent { first_byte: second * 30, ..spent }, &[]), Limiter::FirstByte);
        assert_eq!(of(&spent, &[]), Limiter::Unknown);
        assert_eq!(of(&spent, &[step(StepReason::TryMore), step(StepReason::NoGain)]), Limiter::Line);
        assert_eq!(
            of(&spent, &[step(StepReason::TryMore), step(StepReason::TryMore)]),
            Limiter::EachConnection
        );
        assert_eq!(of(&spent, &[step(StepReason::Refused), step(StepReason::NoGain)]), Limiter::Refused);
    }
}
