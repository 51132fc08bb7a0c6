//! Where the time of a run went, what limited its files, and why connections were added or dropped.
//!
//! Invariant: bounded, whatever the number of files: the [`FILES_MOST`] that took longest are kept. What a request spends
//! before its reply is noted where it is spent ([`spend`]), for the task that opens it ([`measured`]): the seams between
//! need not carry it.

use crate::clock;
use downhaul_core::concurrency::{Step, Why};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// Files whose story is kept: a screenful.
const FILES_MOST: usize = 16;

/// A file that waited for something for more than one part in so many of its time was limited by that.
const SHARE: u32 = 4;

/// Connections that wait for the disk for more than one part in so many of their time bring more than it takes. For a disk that
/// is only far away (30 ms for a write, at the ten reports a second that a slow connection makes) they wait less.
const FULL_SHARE: u32 = 2;

/// Why a run took as long as it did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explanation {
    /// Hosts, each with what was done about its connections, oldest first.
    pub hosts: Vec<(String, Vec<Step>)>,
    /// The files that took longest, longest first.
    pub files: Vec<FileStory>,
}

/// Why a file took as long as it did.
#[derive(Debug, Clone, PartialEq)]
pub struct FileStory {
    /// Its name.
    pub name: String,
    /// Bytes fetched.
    pub bytes: u64,
    /// From its first request to its name.
    pub took: Duration,
    /// The most connections at once.
    pub connections: usize,
    /// Where the time went.
    pub spent: Spent,
    /// What limited it.
    pub limit: Limiter,
}

/// Where the time of a file went. The first five are sums over its connections, which work side by side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Finding the host's addresses.
    pub name: Duration,
    /// Connecting.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From the request to the reply's head, redirects included.
    pub first_byte: Duration,
    /// Waiting for the disk, while bytes came.
    pub disk: Duration,
    /// Waiting for the hasher, while bytes came.
    pub hash: Duration,
    /// While bytes came, in all.
    pub body: Duration,
    /// From the last byte to the digests.
    pub verify: Duration,
    /// Giving it its name.
    pub publish: Duration,
}

/// What limited a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limiter {
    /// `--limit-rate`.
    Rate,
    /// The way to its first byte took longer than its bytes.
    FirstByte,
    /// The disk.
    Disk,
    /// The processor: hashing.
    Processor,
    /// The person's own number of connections.
    Named,
    /// The host refuses more connections.
    Refused,
    /// The host slows everything down when there are more.
    Punished,
    /// More connections bring no more: the line, or the server as a whole, is full.
    Line,
    /// Every connection brings as much as the others, as many as there may be: a cap of the server, or losses on the line.
    EachConnection,
    /// It was over before more connections could show what they bring, or one is all that it could have.
    Unknown,
}

/// What is spent before a reply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Name,
    Connect,
    Tls,
}

tokio::task_local! {
    static OPENING: Cell<Spent>;
}

/// Opens something, and says what was spent on the way.
pub(crate) async fn measured<T>(open: impl Future<Output = T>) -> (T, Spent) {
    let since = clock::instant();
    OPENING
        .scope(Cell::default(), async {
            let opened = open.await;
            let mut spent = OPENING.with(Cell::get);
            spent.first_byte = since.elapsed().saturating_sub(spent.name + spent.connect + spent.tls);
            (opened, spent)
        })
        .await
}

/// Notes what was spent on a stage of opening something.
pub(crate) fn spend(stage: Stage, since: Instant) {
    let took = since.elapsed();
    // Whoever opens something unmeasured does not want to know.
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
    pub(crate) fn add(&mut self, other: Spent) {
        self.name += other.name;
        self.connect += other.connect;
        self.tls += other.tls;
        self.first_byte += other.first_byte;
    }
}

impl Explanation {
    /// Whether a file that took so long would be kept.
    pub(crate) fn wants(&self, took: Duration) -> bool {
        self.files.len() < FILES_MOST || self.files.last().is_some_and(|last| last.took < took)
    }

    pub(crate) fn add(&mut self, story: FileStory) {
        let at = self.files.partition_point(|other| other.took >= story.took);
        self.files.insert(at, story);
        self.files.truncate(FILES_MOST);
    }
}

/// Whether a further connection would only wait for the disk, as those there are do, which have been at work for so long.
pub(crate) fn disk_is_full(spent: &Spent, at_work: Duration, connections: usize) -> bool {
    spent.disk * FULL_SHARE > at_work * u32::try_from(connections).unwrap_or(u32::MAX)
}

/// What limited a file, as far as that can be told from this side of the line. `capped`: there is a limit of the rate;
/// `named`: the connections that the person wants; `steps`: what its host was tried with.
pub(crate) fn limiter(
    spent: &Spent,
    capped: bool,
    named: Option<usize>,
    connections: usize,
    steps: &[Step],
) -> Limiter {
    let lanes = u32::try_from(connections.max(1)).unwrap_or(1);
    let before = (spent.name + spent.connect + spent.tls + spent.first_byte) / lanes;
    let last = |why: &[Why]| steps.iter().rev().find(|step| why.contains(&step.why)).map(|step| step.why);
    if capped {
        Limiter::Rate
    } else if before > spent.body {
        Limiter::FirstByte
    } else if spent.disk / lanes * SHARE > spent.body {
        Limiter::Disk
    } else if spent.hash / lanes * SHARE > spent.body {
        Limiter::Processor
    } else if named.is_some_and(|named| connections >= named) {
        Limiter::Named
    } else {
        match last(&[Why::Refused, Why::Collapse]).or(last(&[Why::NoGain, Why::Try, Why::Better])) {
            Some(Why::Refused) => Limiter::Refused,
            Some(Why::Collapse) => Limiter::Punished,
            Some(Why::NoGain) => Limiter::Line,
            Some(Why::Try | Why::Better) if connections > 1 => Limiter::EachConnection,
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
    fn the_longest_are_kept() {
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
    fn a_disk_that_is_waited_for_most_of_the_time_is_full() {
        let second = Duration::from_secs(1);
        let waited = |seconds| Spent { disk: second * seconds, ..Spent::default() };
        assert!(!disk_is_full(&waited(0), Duration::ZERO, 1));
        assert!(!disk_is_full(&waited(4), second * 10, 1));
        assert!(disk_is_full(&waited(6), second * 10, 1));
        // Two share the waiting.
        assert!(!disk_is_full(&waited(8), second * 10, 2));
        assert!(disk_is_full(&waited(12), second * 10, 2));
    }

    #[test]
    fn what_limits_is_what_was_waited_for() {
        let second = Duration::from_secs(1);
        let spent = Spent { body: second * 10, ..Spent::default() };
        let step = |why| Step { at: second, from: 1, to: 2, goodput: 1.0, why };
        let of = |spent: &Spent, steps: &[Step]| limiter(spent, false, None, 2, steps);
        assert_eq!(limiter(&spent, true, None, 1, &[]), Limiter::Rate);
        assert_eq!(limiter(&spent, false, Some(2), 2, &[]), Limiter::Named);
        assert_eq!(of(&Spent { disk: second * 8, ..spent }, &[]), Limiter::Disk);
        assert_eq!(of(&Spent { hash: second * 8, ..spent }, &[]), Limiter::Processor);
        assert_eq!(of(&Spent { first_byte: second * 30, ..spent }, &[]), Limiter::FirstByte);
        assert_eq!(of(&spent, &[]), Limiter::Unknown);
        assert_eq!(of(&spent, &[step(Why::Try), step(Why::NoGain)]), Limiter::Line);
        assert_eq!(of(&spent, &[step(Why::Try), step(Why::Try)]), Limiter::EachConnection);
        assert_eq!(of(&spent, &[step(Why::Refused), step(Why::NoGain)]), Limiter::Refused);
    }
}
