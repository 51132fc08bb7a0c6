//! The inputs and actions of a plan: the contract between the plan, which decides, and its driver, which
//! acts.

use crate::adopt::Adopted;
use crate::concurrency;
use crate::content::Look;
use crate::digest::{Algorithm, Digest, Expected};
use crate::error::{Error, ErrorKind};
use crate::event::EventKind;
use crate::identity::{Conditions, Origin};
use crate::job::ChunkHashes;
use crate::journal::{Claim, Start};
use crate::remote::Remote;
use crate::settings::{OnError, Verify};
use std::ops::Range;
use std::time::Duration;

/// The number of a worker. Later workers of a plan have higher numbers, so that late reports are recognised.
pub type WorkerId = u32;

/// What the driver does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Look whether the wanted name is free, before any request is sent. Answered by `Looked`.
    Look {
        /// What a server says of the file, if it had to be asked whether the existing file is the same.
        remote: Option<Box<Remote>>,
    },
    /// Start a worker that asks a source about the file, without its bytes. Answered by `Opened` (a response
    /// without a body) or `Ended`.
    Ask {
        /// The new worker.
        worker: WorkerId,
        /// Index into the job's sources.
        source: usize,
        /// What the server compares the file with.
        conditions: Conditions,
    },
    /// Choose the name, by the response if necessary, and open the partial file. If an earlier run left
    /// nothing in it, begin it with `begin`. Answered by `Placed`.
    Place {
        /// The response that names the file. `None` if the name is known and something was left of the file.
        remote: Option<Box<Remote>>,
        /// How the partial file begins. `None`: it does not begin yet.
        begin: Option<Begin>,
    },
    /// Begin the partial file, perhaps once more: nothing that was written counts, except what `keep` says.
    /// Answered by `Begun`.
    Begin(Begin),
    /// Compare what an earlier run left with its journal. Answered by `ClaimChecked` for each claim, then
    /// `JournalChecked`.
    CheckJournal {
        /// The state of the file that this belongs to.
        number: u32,
        /// What to compare.
        claims: Vec<Claim>,
    },
    /// Start a worker that requests these bytes from a source. Answered by `Opened` or `Ended`.
    Fetch {
        /// The new worker.
        worker: WorkerId,
        /// Index into the job's sources.
        source: usize,
        /// The first byte to request.
        from: u64,
        /// One past the last byte, or `None` for all that follow. `from` 0 and `None` request the whole file.
        to: Option<u64>,
    },
    /// The worker's response is valid: write its body from `at` on. Answered by `Wrote` and `Ended`.
    Accept {
        /// The worker.
        worker: WorkerId,
        /// Bytes to leave out at the beginning of the body.
        skip: u64,
        /// The place in the file of the first byte after these.
        at: u64,
        /// Where its segment ends, if known. Bytes that follow are not written.
        end: Option<u64>,
    },
    /// The worker's segment ends there now: another worker has the rest.
    Cut {
        /// The worker.
        worker: WorkerId,
        /// One past its last byte.
        end: u64,
    },
    /// Stop the worker: it is not needed, or the job failed. Its later reports are ignored.
    Drop {
        /// The worker.
        worker: WorkerId,
    },
    /// Read this chunk back and compare its digest. Answered by `ChunkVerified`.
    VerifyChunk {
        /// The state of the file that this belongs to.
        number: u32,
        /// Its bytes.
        chunk: Range<u64>,
        /// The digest that it must have.
        expected: Digest,
    },
    /// Discard these bytes: they are written once more. Answered by `Discarded`.
    Discard {
        /// The state of the file that this belongs to.
        number: u32,
        /// The bytes.
        ranges: Vec<Range<u64>>,
    },
    /// Finish the digests of the complete file. Answered by `Verified`.
    Verify,
    /// Rename the partial file to its final name. Answered by `Published`.
    Publish,
    /// Tell all readers of events.
    Tell(EventKind),
    /// Tell the controller of the source's host.
    Observe {
        /// Index into the job's sources.
        source: usize,
        /// What was observed.
        news: concurrency::Observation,
    },
    /// There is nothing to do before this moment, or before the next input.
    Wait(Option<Duration>),
    /// The job is over.
    Finish(Outcome),
}

/// How a partial file begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The beginning of its journal. `None`: it has no journal.
    pub journal: Option<Start>,
    /// The bytes that are in it stay: another tool left them.
    pub keep: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// What was found out about the content from elsewhere than its responses. It comes before `Looked` or
    /// `Placed`, and may come again.
    Found(Findings),
    /// The answer to `Look`.
    Looked(Result<Place, Error>),
    /// The answer to `Place`, with what an earlier run left.
    Placed(Result<Place, Error>, Option<Leftover>),
    /// The answer to `Begin`.
    Begun(Result<(), Error>),
    /// A worker has a response, and waits until it is accepted.
    Opened {
        /// The worker.
        worker: WorkerId,
        /// What the source says.
        remote: Box<Remote>,
    },
    /// A worker gave all bytes of its segment below `upto` to the disk.
    Wrote {
        /// The worker.
        worker: WorkerId,
        /// One past the last byte.
        upto: u64,
        /// None of these bytes was there before. Otherwise some are from a worker that was dropped or fetches
        /// the same.
        fresh: bool,
    },
    /// A worker has ended: its body or segment ended, or it failed.
    Ended {
        /// The worker.
        worker: WorkerId,
        /// How it ended.
        result: Result<(), Error>,
    },
    /// A claim of the journal was compared with the disk.
    ClaimChecked {
        /// As asked.
        number: u32,
        /// The claim.
        claim: Claim,
        /// The bytes are as the journal says.
        good: bool,
    },
    /// All claims were compared. Claims that were not reported could not be read.
    JournalChecked {
        /// As asked.
        number: u32,
    },
    /// The answer to `VerifyChunk`.
    ChunkVerified {
        /// As asked.
        number: u32,
        /// As asked.
        chunk: Range<u64>,
        /// True if the digest is right.
        good: Result<bool, Error>,
    },
    /// The answer to `Discard`.
    Discarded {
        /// As asked.
        number: u32,
        /// As asked.
        ranges: Vec<Range<u64>>,
        /// How it ended.
        result: Result<(), Error>,
    },
    /// The job has more sources, with these origins.
    Sources(Vec<Origin>),
    /// The answer to `Verify`.
    Verified(Result<Vec<Digest>, Error>),
    /// The answer to `Publish`: the path it has now.
    Published(Result<String, Error>),
    /// The person's answer to a question.
    Answer(Answer),
    /// Failures are handled like this from now on.
    OnError(OnError),
    /// The job is paused, or goes on.
    Pause(bool),
    /// The run is being stopped.
    Stop,
    /// The job is removed from the run.
    Remove,
}

/// What was found out about the content of a file from elsewhere than its own responses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Digests from lists.
    pub expected: Vec<Expected>,
    /// Digests of its chunks.
    pub chunks: Option<ChunkHashes>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// A signature of the file itself, which is verified together with its digests.
    pub signed: Option<Signed>,
    /// What the content looks like, if its name does not promise a web page.
    pub look: Option<Look>,
    /// What a person should know of a name that was changed.
    pub renamed: Option<String>,
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// A signature of a file itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The key that made it, for people.
    pub by: String,
    /// The algorithm of the digest that is signed, if that digest is computed while the file arrives.
    pub digest: Option<Algorithm>,
}

/// Where a file may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At this path.
    Free {
        /// The final path, for people.
        path: String,
        /// An earlier run left something there. Only after `Look`.
        left: bool,
    },
    /// A file exists there, and only the server can tell whether it is the same. Only after `Look`.
    Ask(Conditions),
    /// Nowhere: the file that exists stays.
    Taken {
        /// The file that exists.
        path: String,
        /// Why it stays: `already exists`.
        reason: String,
    },
}

/// What was found in a partial file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// The partial file of an earlier run, with its journal.
    Journal {
        /// The file that it belongs to.
        start: Start,
        /// The bytes that are there.
        claims: Vec<Claim>,
    },
    /// The partial file of another tool.
    Adopted(Adopted),
    /// A whole file of so many bytes, of which some may be wrong.
    Whole(u64),
}

/// A person's answer about one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Try again.
    Retry,
    /// Give the job up.
    Skip,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The file is complete under its final name.
    Finished,
    /// Nothing had to be done.
    Skipped,
    /// The job failed.
    Failed {
        /// The kind of the failure.
        kind: ErrorKind,
        /// No further job starts: the retries are used up and a person is watching.
        exhausted: bool,
        /// The whole run stops.
        stop_all: bool,
        /// A later run can resume what was written. Otherwise it is of no use.
        resumable: bool,
    },
}

/// What a plan needs to know of the job and the settings.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The origins of the job's sources, at least one.
    pub origins: Vec<Origin>,
    /// The name is known, so that it can be looked up before any request.
    pub look_first: bool,
    /// How often the job is retried after failures.
    pub retries: u32,
    /// What to do after a failure.
    pub on_error: OnError,
    /// How long the job may take, all retries included.
    pub max_time: Option<Duration>,
    /// How much must be verified.
    pub verify: Verify,
    /// The file goes into a lock file, which needs a digest.
    pub record: bool,
    /// Digests that the file must have, whatever the server says.
    pub expected: Vec<Expected>,
    /// What a person should know of the file.
    pub notes: Vec<String>,
    /// The size it must have, in bytes.
    pub size: Option<u64>,
    /// Digests that its chunks must have.
    pub chunks: Option<ChunkHashes>,
    /// The number of connections; `None`: as many as help.
    pub connections: Option<usize>,
    /// How its bytes are assigned.
    pub sizes: Sizes,
    /// Spreads the waits of jobs that fail together.
    pub seed: u64,
}

/// How the bytes of a file are assigned to connections. All values are in bytes.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// The smallest segment, unless less is free.
    pub segment_least: u64,
    /// The smallest range that one worker takes over from another.
    pub split_least: u64,
    /// Smaller files have one connection.
    pub single_below: u64,
    /// Files of this size and larger, and those of unknown size, have a journal. `None`: no file has.
    pub journal_from: Option<u64>,
    /// How far beyond the first missing byte segments are assigned, at least.
    pub window: u64,
    /// The window is kept in memory, so that it is a strict limit.
    pub window_is_memory: bool,
}

impl Sizes {
    /// For files on a disk.
    pub const FILE: Sizes = Sizes {
        // With smaller ones, the round trip between two segments is felt on any line.
        segment_least: 1024 * 1024,
        // The cost of a request is compared in seconds; this only keeps segments from becoming tiny.
        split_least: 64 * 1024,
        // A few segments for two connections. A smaller file is done before the second connection is up to
        // speed.
        single_below: 4 * 1024 * 1024,
        // One second on a common line. To fetch less once more is cheaper than to keep a journal.
        journal_from: Some(1024 * 1024),
        // Hashing so many bytes takes less than 50 ms (SHA-256 at 1.8 GB/s).
        window: 64 * 1024 * 1024,
        window_is_memory: false,
    };

    /// For output that is written in order: bytes ahead of the first missing one wait in memory.
    pub const IN_ORDER: Sizes =
        Sizes { journal_from: None, window: 16 * 1024 * 1024, window_is_memory: true, ..Sizes::FILE };
}
