//! The inputs and actions of a plan. They are the contract between the plan, which decides, and its driver,
//! which acts.

use crate::adopt::Adopted;
use crate::concurrency;
use crate::content::Look;
use crate::digest::{Algorithm, Digest, Expected};
use crate::error::{Error, ErrorKind};
use crate::event::{EventKind, Kept};
use crate::identity::{Conditions, Origin};
use crate::job::{ChunkHashes, IfLocked};
use crate::journal::{Claim, Start};
use crate::remote::Remote;
use crate::settings::{OnError, Verify};
use std::ops::Range;
use std::time::Duration;

/// The number of a worker. A plan uses each number once, so it recognises late reports of dropped workers.
pub type WorkerId = u32;

/// The next task of the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Check if the wanted name is free, before any byte is requested. The answer is `Looked`.
    Look {
        /// The facts about the server's file, if an `Ask` requested them.
        remote: Option<Box<Remote>>,
    },
    /// Start a worker that requests only the facts about the file from a source, and no bytes. The answer is
    /// `Opened` (a response without a body) or `Ended`.
    Ask {
        /// The new worker.
        worker: WorkerId,
        /// The index of the source in the job's list of sources.
        source: usize,
        /// The conditions that the server checks.
        conditions: Conditions,
    },
    /// Choose the name, from the response if necessary, and open the partial file. If `begin` is not `None`,
    /// and no bytes of an earlier run or of another tool can be kept, also carry out [`Action::Begin`] with
    /// the value of `begin`. The answer is `Placed`.
    Place {
        /// The response that may give the file its name. It is `None` if the partial file is opened before
        /// the first request for bytes, to see what an earlier run left.
        remote: Option<Box<Remote>>,
        /// The instructions to begin the partial file, or `None` if it must not be begun yet.
        begin: Option<Begin>,
    },
    /// Begin the partial file: remove its old journal, discard its bytes unless `keep` is true, and start the
    /// new journal, if any. A plan may return this action several times. The answer is `Begun`.
    Begin(Begin),
    /// Compare an old partial file with its journal. The answers are `ClaimChecked`, then `JournalChecked`.
    CheckJournal {
        /// The number of the state of the partial file (see [`plan`](super)). The answer repeats this number.
        number: u32,
        /// The claims to compare.
        claims: Vec<Claim>,
    },
    /// Start a worker that requests these bytes from a source. The answer is `Opened` or `Ended`.
    Fetch {
        /// The new worker.
        worker: WorkerId,
        /// The index of the source in the job's list of sources.
        source: usize,
        /// The offset of the first byte to request.
        from: u64,
        /// The offset after the last byte, or `None` for all bytes that follow. If `from` is 0 and `to` is
        /// `None`, the whole file is requested.
        to: Option<u64>,
    },
    /// The worker's response is valid. Write its body, without the first `skip` bytes, from the offset `at`
    /// on. The answers are `Wrote` and then `Ended`.
    Accept {
        /// The worker.
        worker: WorkerId,
        /// The number of bytes to leave out at the beginning of the body.
        skip: u64,
        /// The offset in the file of the first byte that is written.
        at: u64,
        /// The offset after the worker's segment, if known. Bytes from this offset on are not written.
        end: Option<u64>,
    },
    /// End the worker's segment at `end`. From now on, the worker writes no bytes beyond this offset.
    Cut {
        /// The worker.
        worker: WorkerId,
        /// The offset after the last byte of the worker's segment.
        end: u64,
    },
    /// Stop the worker. Its later reports are ignored.
    Drop {
        /// The worker.
        worker: WorkerId,
    },
    /// Read this chunk back and compare its digest. The answer is `ChunkVerified`.
    VerifyChunk {
        /// The number of the state of the partial file (see [`plan`](super)). The answer repeats this number.
        number: u32,
        /// The range of the chunk.
        chunk: Range<u64>,
        /// The digest that the chunk must have.
        expected: Digest,
    },
    /// Discard these bytes, because they will be written again. The answer is `Discarded`.
    Discard {
        /// The number of the state of the partial file (see [`plan`](super)). The answer repeats this number.
        number: u32,
        /// The ranges to discard.
        ranges: Vec<Range<u64>>,
    },
    /// Finish computing the digests of the complete file. The answer is `Verified`.
    Verify,
    /// Rename the partial file to its final name. The answer is `Published`.
    Publish,
    /// Send this event to all readers.
    Tell(EventKind),
    /// Pass this observation to the controller of the source's host.
    Observe {
        /// The index of the source in the job's list of sources.
        source: usize,
        /// The observation.
        observation: concurrency::Observation,
    },
    /// Do nothing until the next input, until a change of an allowance, or until this time, if there is one.
    Wait(Option<Duration>),
    /// The job is over.
    Finish(Outcome),
}

/// The instructions to begin a partial file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The first entry of the journal, or `None` if the file has no journal.
    pub journal: Option<Start>,
    /// True if the bytes in the partial file are kept, because another tool left them.
    pub keep: bool,
}

/// Something that happened, or a command to the plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Facts about the file that do not come from the heads of its responses. Facts from lists and signatures
    /// arrive before `Placed`. Other facts may arrive later.
    Found(Findings),
    /// The result of `Look`.
    Looked(Result<Place, Error>),
    /// The result of `Place`, and the content of the partial file, if it may be kept.
    Placed(Result<Place, Error>, Option<Leftover>),
    /// The result of `Begin`.
    Begun(Result<(), Error>),
    /// A worker has received a response, and waits for `Accept` or `Drop`.
    Opened {
        /// The worker.
        worker: WorkerId,
        /// The facts that the source states about the file.
        remote: Box<Remote>,
    },
    /// All bytes of a worker's segment below `upto` are in the partial file.
    Wrote {
        /// The worker.
        worker: WorkerId,
        /// The offset after the last byte.
        upto: u64,
        /// True if no other worker wrote any of the bytes between this worker's last report and `upto`, and
        /// the segment was not shortened while this worker wrote them.
        fresh: bool,
    },
    /// A worker has ended, because its response or its segment ended, or because the worker failed.
    Ended {
        /// The worker.
        worker: WorkerId,
        /// `Ok` if the body or the segment ended, or else the error.
        result: Result<(), Error>,
    },
    /// A claim of the journal was compared with the disk.
    ClaimChecked {
        /// The number in the action that this input answers.
        number: u32,
        /// The claim that was compared.
        claim: Claim,
        /// True if the bytes match the claim.
        good: bool,
    },
    /// All claims were compared and reported. Bytes that are in no matching claim must be fetched again.
    JournalChecked {
        /// The number in the action that this input answers.
        number: u32,
    },
    /// The result of `VerifyChunk`.
    ChunkVerified {
        /// The number in the action that this input answers.
        number: u32,
        /// The chunk in the action that this input answers.
        chunk: Range<u64>,
        /// True if the digest matches, false if not, or the error if the chunk could not be read.
        good: Result<bool, Error>,
    },
    /// The result of `Discard`.
    Discarded {
        /// The number in the action that this input answers.
        number: u32,
        /// The ranges in the action that this input answers.
        ranges: Vec<Range<u64>>,
        /// `Ok` if the bytes were discarded, or else the error.
        result: Result<(), Error>,
    },
    /// The job has more sources, with these origins.
    Sources(Vec<Origin>),
    /// The result of `Verify`.
    Verified(Result<Vec<Digest>, Error>),
    /// The result of `Publish`, with the final path.
    Published(Result<String, Error>),
    /// The user's answer to a question.
    Answer(Answer),
    /// A new reaction to failures.
    OnError(OnError),
    /// Pauses the job (`true`), or lets it continue (`false`).
    Pause(bool),
    /// The run is being stopped.
    Stop,
    /// The job is removed from the run.
    Remove,
}

/// Facts about a file that come from lists, signatures or the written bytes, not from the heads of responses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Digests that the file must have, from checksum lists and Metalink documents.
    pub expected: Vec<Expected>,
    /// Digests that the chunks of the file must have.
    pub chunks: Option<ChunkHashes>,
    /// The size that the file must have, in bytes.
    pub size: Option<u64>,
    /// A signature of the file itself. It is verified when the file is complete.
    pub signed: Option<Signed>,
    /// The kind of content that the first bytes of the file show. It is `None` if the content is not checked.
    pub look: Option<Look>,
    /// A note for the user, if the name of the file was changed.
    pub renamed: Option<String>,
    /// Other notes for the user.
    pub notes: Vec<String>,
}

/// A signature of a file itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The key that made the signature, as users see it.
    pub by: String,
    /// The algorithm of the digest that is signed, if that digest is computed during the download.
    pub digest: Option<Algorithm>,
}

/// The decision where a file is saved, and whether it is downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file can be saved at this path.
    Free {
        /// The final path, as users see it.
        path: String,
        /// True if bytes of an earlier run or another tool may be kept. This field is used only in `Looked`.
        left: bool,
    },
    /// A file exists at the path, and only the server can say if this file is the wanted one.
    Ask(Conditions),
    /// The file is not downloaded, because it exists already or was made from another file.
    Taken(Kept),
}

/// The content of a partial file, or of a file to repair, that exists before the download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// The partial file of an earlier run, with its journal.
    Journal {
        /// The description of the file in the journal.
        start: Start,
        /// The ranges that the journal lists, with their CRCs.
        claims: Vec<Claim>,
        /// The unfinished file of another tool that the earlier run has probably continued.
        adopted: Option<Adopted>,
    },
    /// A file that another tool left unfinished.
    Adopted(Adopted),
    /// A finished file of this size in bytes. Some of its bytes may be wrong.
    Whole(u64),
}

/// The user's answer to a question about one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Try the job again.
    Retry,
    /// Give the job up.
    Skip,
}

/// The result of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The file is complete under its final name.
    Finished,
    /// The file was not downloaded, because that was not necessary ([`Kept`]).
    Skipped,
    /// The file was left to another run that is working on it.
    Left,
    /// The job failed.
    Failed {
        /// The kind of the failure.
        kind: ErrorKind,
        /// True if the retries are used up in a run with `--on-error ask`. No further job starts then.
        exhausted: bool,
        /// True if the whole run stops.
        stop_all: bool,
        /// True if a later run can resume from the written bytes.
        resumable: bool,
    },
}

/// The parts of a job and of the settings that a plan needs.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The origins of the job's sources, at least one.
    pub origins: Vec<Origin>,
    /// True if the plan checks the path before any request.
    pub look_first: bool,
    /// The number of retries after failures. Progress makes all of them available again.
    pub retries: u32,
    /// The shortest wait before a retry.
    pub retry_wait: Duration,
    /// True if the request of the job may have an effect on the server, and no retries are allowed. In this
    /// case, the request is sent again only if the server refused it or did nothing with it.
    pub sends_once: bool,
    /// The reaction to a failure.
    pub on_error: OnError,
    /// The handling of a file that another run is working on.
    pub if_locked: IfLocked,
    /// The longest time for the job, including all retries. The time in which a question is open, the job is
    /// paused, or another run is working on the file does not count.
    pub max_time: Option<Duration>,
    /// The required verification.
    pub verify: Verify,
    /// True if a SHA-256 of the file is needed, for example for a line of a lock file.
    pub record: bool,
    /// Digests that the file must have. The plan adds the digests that the server states.
    pub expected: Vec<Expected>,
    /// Notes about the file for the user.
    pub notes: Vec<String>,
    /// The size that the file must have, in bytes.
    pub size: Option<u64>,
    /// Digests that the chunks of the file must have.
    pub chunks: Option<ChunkHashes>,
    /// The highest number of connections. With `None`, the number is chosen automatically.
    pub connections: Option<usize>,
    /// The rules for dividing the file into segments.
    pub sizes: Sizes,
    /// A seed for random waits, so that jobs that fail together are not retried together.
    pub seed: u64,
}

/// The rules for dividing a file into segments. All values are in bytes.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// The smallest wanted length of a segment. With many connections and a window in memory, segments may be
    /// shorter.
    pub segment_least: u64,
    /// A segment is usually split only if at least this many bytes are taken from it.
    pub split_least: u64,
    /// Files below this size, and files of unknown size, are fetched over one connection at a time.
    pub single_below: u64,
    /// Files of this size or larger, and files of unknown size, have a journal. With `None`, no file has a
    /// journal.
    pub journal_from: Option<u64>,
    /// The window: segments begin at most this many bytes beyond the first missing byte. With many
    /// connections, the window may be larger. With one connection, there is no window.
    pub window: u64,
    /// True if the bytes of the window are kept in memory. The window is then never larger than `window`.
    pub window_is_memory: bool,
}

impl Sizes {
    /// The sizes for files on a disk.
    pub const FILE: Sizes = Sizes {
        // With smaller segments, the round trips between them would slow the transfer down on most lines.
        segment_least: 1024 * 1024,
        // The benefit of a split is estimated in seconds. This limit only prevents tiny segments.
        split_least: 64 * 1024,
        // A file of this size has a few segments for each of two connections. A smaller file is usually
        // complete before the second connection reaches its full speed.
        single_below: 4 * 1024 * 1024,
        // A common line transfers this many bytes in about a second. To fetch fewer bytes again is cheaper
        // than to keep a journal.
        journal_from: Some(1024 * 1024),
        // If the first segment arrives last, hashing the window takes less than 50 ms (SHA-256 at 1.8 GB/s).
        window: 64 * 1024 * 1024,
        window_is_memory: false,
    };

    /// The sizes for output that is written in order. Bytes beyond the first missing byte wait in memory.
    pub const IN_ORDER: Sizes =
        Sizes { journal_from: None, window: 16 * 1024 * 1024, window_is_memory: true, ..Sizes::FILE };
}
