//! What a plan is told and what it answers: the contract between the one who decides and the one who does.

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

/// Which worker of a plan; later ones have higher numbers, so that reports of abandoned ones are recognised.
pub type WorkerId = u32;

/// What the director shall do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Look whether the wished name is free, before anything is asked of a server. Answered by `Looked`.
    Look {
        /// What the server says of the file, where it had to be asked whether what stands there is it.
        remote: Option<Box<Remote>>,
    },
    /// Start a worker that asks source number `source` about the file, without its bytes. Answered by `Opened` (a reply
    /// without a body, 304 included) or `Ended`.
    Ask {
        /// Whom to start.
        worker: WorkerId,
        /// Index into the job's sources.
        source: usize,
        /// What the server shall compare the file with.
        conditions: Conditions,
    },
    /// Choose the name, if need be by the reply, and open the part file. If nothing was left in it by an earlier run,
    /// begin it with `begin`. Answered by `Placed`.
    Place {
        /// The reply that names the file; `None` when its name is known and something was left of it.
        remote: Option<Box<Remote>>,
        /// How the part file begins. `None`: not yet.
        begin: Option<Begin>,
    },
    /// Begin the part file (again): nothing that was written counts, but for what `keep` says. Answered by `Begun`.
    Begin(Begin),
    /// Compare what an earlier run left with its journal. Answered by `ClaimChecked` for each claim, and `JournalChecked`.
    CheckJournal {
        /// Which check this is.
        number: u32,
        /// What to compare.
        claims: Vec<Claim>,
    },
    /// Start a worker that asks source number `source` for these bytes. Answered by `Opened` or `Ended`.
    Fetch {
        /// Whom to start.
        worker: WorkerId,
        /// Index into the job's sources.
        source: usize,
        /// First byte wanted.
        from: u64,
        /// One past the last one, or `None` for all; 0 and `None` is a plain GET.
        to: Option<u64>,
    },
    /// The worker's reply is right: write its body from `at` on. Answered by `Wrote` and `Ended`.
    Accept {
        /// Whose reply.
        worker: WorkerId,
        /// Bytes of the body to leave out at its beginning.
        skip: u64,
        /// Where the first byte after these belongs.
        at: u64,
        /// Where its task ends, if known; what follows is surplus.
        end: Option<u64>,
    },
    /// The worker's task ends there now: another one has the rest.
    Cut {
        /// Whose.
        worker: WorkerId,
        /// One past its last byte.
        end: u64,
    },
    /// The worker's reply is of no use, or what it does, or the file is given up: drop it.
    Drop {
        /// Whom to drop.
        worker: WorkerId,
    },
    /// Read this piece back and compare its digest. Answered by `ChunkVerified`.
    VerifyChunk {
        /// Which state of the file this belongs to.
        number: u32,
        /// Its bytes.
        chunk: Range<u64>,
        /// What it must be.
        expected: Digest,
    },
    /// What was written of these bytes counts for nothing, and is written anew. Answered by `Discarded`.
    Discard {
        /// Which state of the file this belongs to.
        number: u32,
        /// Which bytes.
        ranges: Vec<Range<u64>>,
    },
    /// Finish the digests of what was written. Answered by `Verified`.
    Verify,
    /// Move the part file to its name. Answered by `Published`.
    Publish,
    /// Tell everybody.
    Tell(EventKind),
    /// Tell the pace of the source's host.
    Observe {
        /// Index into the job's sources.
        source: usize,
        /// What is new.
        news: concurrency::Observation,
    },
    /// Nothing to do before this moment, or before the next input.
    Wait(Option<Duration>),
    /// The file is over.
    Finish(Outcome),
}

/// How a part file begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The beginning of its journal; `None` if it has none.
    pub journal: Option<Start>,
    /// The bytes that are in it stay: they are a prefix that another tool left.
    pub keep: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// What is known of the content beside what its server says. Comes before `Looked` or `Placed`, and may come again.
    Found(Findings),
    /// The answer to `Look`.
    Looked(Result<Place, Error>),
    /// The answer to `Place`, with what an earlier run left.
    Placed(Result<Place, Error>, Option<Leftover>),
    /// The answer to `Begin`.
    Begun(Result<(), Error>),
    /// A worker has a reply (200 or 206, to `Ask` also 304) and waits for a word on it.
    Opened {
        /// Whose.
        worker: WorkerId,
        /// Its head.
        remote: Box<Remote>,
    },
    /// A worker gave all bytes of its task below `upto` to the disk.
    Wrote {
        /// Who.
        worker: WorkerId,
        /// One past the last byte.
        upto: u64,
        /// All that is new of it is what this worker brought. Else some was there already, by a worker that was dropped
        /// or fetches the same.
        fresh: bool,
    },
    /// A worker is through: its body or task ended, or it failed.
    Ended {
        /// Who.
        worker: WorkerId,
        /// How.
        result: Result<(), Error>,
    },
    /// What was claimed was compared with what is on the disk.
    ClaimChecked {
        /// By which check.
        number: u32,
        /// What.
        claim: Claim,
        /// It is as the journal says.
        good: bool,
    },
    /// A check is through; what it did not speak of could not be read.
    JournalChecked {
        /// Which.
        number: u32,
    },
    /// The answer to `VerifyChunk`.
    ChunkVerified {
        /// As asked.
        number: u32,
        /// As asked.
        chunk: Range<u64>,
        /// It is what it must be.
        good: Result<bool, Error>,
    },
    /// The answer to `Discard`.
    Discarded {
        /// As asked.
        number: u32,
        /// As asked.
        ranges: Vec<Range<u64>>,
        /// Whether it could be done.
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
    /// From now on failures are handled like this.
    OnError(OnError),
    /// The job is paused, or goes on.
    Pause(bool),
    /// The run is being stopped.
    Stop,
    /// The job is removed from the run.
    Remove,
}

/// What is known of a file's content from elsewhere than its own replies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What lists say.
    pub expected: Vec<Expected>,
    /// Digests of its pieces, and its size in bytes.
    pub chunks: Option<ChunkHashes>,
    /// See `chunks`.
    pub size: Option<u64>,
    /// It has a signature of its own, which whoever verifies its digests checks too.
    pub signed: Option<Signed>,
    /// What it looks like, where its name promises something that is no page.
    pub look: Option<Look>,
    /// Its name is not the one that was given: what a person should know of that.
    pub renamed: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A signature of a file itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The key that it is by, for people.
    pub by: String,
    /// Which digest of the file is signed, if it is one that is computed while the file arrives.
    pub digest: Option<Algorithm>,
}

/// Where a file may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// There.
    Free {
        /// The final path, for people.
        path: String,
        /// An earlier run left something there (`Looked` only).
        left: bool,
    },
    /// A file is there, and only the server can tell whether it is this one (`Looked` only).
    Ask(Conditions),
    /// Nothing is to be done: the file there stays.
    Taken {
        /// The file that is there.
        path: String,
        /// Why it stays: `already exists`.
        reason: String,
    },
}

/// What was found in a part file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// What an earlier run of ours left.
    Journal {
        /// What file it is.
        start: Start,
        /// Which bytes are there.
        claims: Vec<Claim>,
    },
    /// What another tool left.
    Adopted(Adopted),
    /// A file of so many bytes, of which some may be wrong.
    Whole(u64),
}

/// A person's answer about one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Try again.
    Retry,
    /// Give this file up.
    Skip,
}

/// How a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Complete, under its name.
    Finished,
    /// Nothing was to be done.
    Skipped,
    /// Failed.
    Failed {
        /// Why.
        kind: ErrorKind,
        /// No further file shall start: retries are used up and a person is watching.
        exhausted: bool,
        /// Everything shall stop.
        stop_all: bool,
        /// A later run can go on with what was written; else it is of no use.
        resumable: bool,
    },
}

/// What a plan needs to know of the job and the settings.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The origins of the job's sources, at least one.
    pub origins: Vec<Origin>,
    /// The name is known and can be looked up before anything is asked of a server.
    pub look_first: bool,
    /// New tries after a failure.
    pub retries: u32,
    /// What to do on failure.
    pub on_error: OnError,
    /// How long the file may take, all tries included.
    pub max_time: Option<Duration>,
    /// How much must be proven.
    pub verify: Verify,
    /// It goes into a record, and that needs a digest.
    pub record: bool,
    /// Digests the file must have, whatever the server says.
    pub expected: Vec<Expected>,
    /// What a person should know of it beforehand.
    pub notes: Vec<String>,
    /// The size it must have, in bytes.
    pub size: Option<u64>,
    /// Digests that its pieces must have.
    pub chunks: Option<ChunkHashes>,
    /// The connections it shall have; `None`: as many as help.
    pub connections: Option<usize>,
    /// How its bytes are shared out.
    pub sizes: Sizes,
    /// Spreads the waits between tries.
    pub seed: u64,
}

/// How the bytes of a file are shared out, in bytes.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// The smallest piece that is handed out while there are others.
    pub segment_least: u64,
    /// The smallest part that a worker gives up to another one.
    pub split_least: u64,
    /// Files below this have one connection.
    pub single_below: u64,
    /// Files from this on, and those of unknown size, have a journal. `None`: none has.
    pub journal_from: Option<u64>,
    /// How far beyond the first missing byte work is handed out, at least.
    pub window: u64,
    /// What lies in the window is kept in memory: it is a bound.
    pub window_is_memory: bool,
}

impl Sizes {
    /// For files on a disk.
    pub const FILE: Sizes = Sizes {
        // Below, the round trip between two pieces is felt on any line.
        segment_least: 1024 * 1024,
        // What a request costs is weighed in seconds; this only keeps tasks from becoming crumbs.
        split_least: 64 * 1024,
        // A few pieces for two connections; below, one is done before the second is up to speed.
        single_below: 4 * 1024 * 1024,
        // A second's worth on a common line: fetching less again is cheaper than keeping records of it.
        journal_from: Some(1024 * 1024),
        // Hashing what lies in it takes less than 50 ms (SHA-256 at 1.8 GB/s).
        window: 64 * 1024 * 1024,
        window_is_memory: false,
    };

    /// For what is written in order: what is ahead of the first missing byte waits in memory.
    pub const IN_ORDER: Sizes =
        Sizes { journal_from: None, window: 16 * 1024 * 1024, window_is_memory: true, ..Sizes::FILE };
}
