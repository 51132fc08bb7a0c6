//! Simulated servers for one file that misbehave at random, without sockets and without real time. [`World`]
//! decides the response to each request from a seed, makes the rules of the job, and checks the result.
//! [`crate::plan_sim`] runs only the plan in such a world, step by step. [`SimSource`] is a source, so
//! that the whole engine can run in the same worlds with tokio's paused clock.

pub mod host;
mod mirrors;
mod source;

pub(crate) use mirrors::MIRRORS_MOST;
pub use source::SimSource;

use crate::conformance::Abilities;
use crate::{content, sha256};
use downhaul_core::digest::{Algorithm, Digest, Expected};
use downhaul_core::error::{Error, ErrorKind, Pause, Why};
use downhaul_core::identity::{Key, Origin};
use downhaul_core::job::{ChunkHashes, IfLocked};
use downhaul_core::plan::{Rules, Sizes};
use downhaul_core::remote::{self, Remote, Span};
use downhaul_core::settings::{OnError, Verify};
use downhaul_engine::source::Request;
use fastrand::Rng;
use mirrors::Mirror;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Every simulated file is smaller than this, except in [`World::large`]. After each 64 KiB of new bytes, all
/// retries are available again. With this limit, that happens up to six times in a download.
const LARGEST: u64 = 400_000;

/// Most files are smaller than this, so that a test can simulate many of them.
const COMMON: u64 = 100_000;

/// A web page and an error message that may be sent in place of the file.
const PAGE: &[u8] = b"<html>Please log in</html>";
const MESSAGE: &[u8] = b"{\"error\":\"quota\"}";

/// The sizes that the plan uses, reduced for these small files.
const SIZES: Sizes = Sizes {
    segment_least: 5_000,
    split_least: 1_000,
    single_below: 10_000,
    journal_from: Some(15_000),
    window: 40_000,
    window_is_memory: false,
};

/// All versions of one file on a server, and how the server answers requests. Everything depends on a seed.
#[derive(Debug, Clone)]
pub struct World {
    pub(crate) rng: Rng,
    /// The versions of the file, in order. The server never goes back to an earlier version.
    pub versions: Vec<Arc<Vec<u8>>>,
    version: usize,
    /// The chance, in percent, that the server misbehaves at a request. Half of these requests fail, and the
    /// others may get a wrong range or a body that breaks off.
    sins_percent: u8,
    validator: Validator,
    announces_length: bool,
    knows_ranges: bool,
    /// `Some` if responses with the whole file state a digest, and `Some(true)` if this digest is right.
    pub(crate) digest: Option<bool>,
    /// True if ranges have digests of their own.
    digests_ranges: bool,
    /// True if a list states digests of the file or of its chunks. In this case, one source (even the only
    /// one) may send a wrong byte from time to time.
    pub(crate) known: bool,
    /// True if the digests in the list are wrong, so that no source has a file with these digests.
    list_is_wrong: bool,
    /// True if there are several sources.
    several: bool,
    /// The number (from 0) of the source that sometimes sends a wrong byte. If the job has no source with
    /// this number, the field has no effect.
    wrong_source: Option<usize>,
    /// True if most requests for a range of a file above 1,000 bytes get a page or an error message.
    sends_pages: bool,
    /// The mirrors, if each source has a file of its own.
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Clone, Copy)]
enum Validator {
    Strong,
    Weak,
    None,
}

/// The response to one request.
#[derive(Debug, Clone)]
pub struct Meeting {
    /// The facts about the file from the source, or the error if there is no usable response.
    pub head: Result<Remote, Error>,
    /// The bytes that arrive.
    pub body: Vec<u8>,
    /// The end of the body: success, or an error.
    pub end: Result<(), Error>,
}

/// Returns the digest that a server states for these bytes.
fn stated(bytes: &[u8], from: &str) -> Expected {
    let digest = Digest::from_hex(Algorithm::Sha256, &sha256(bytes)).expect("a digest");
    Expected { digest, from: from.into() }
}

/// Returns the origins of this many sources.
pub(crate) fn origins(count: usize) -> Vec<Origin> {
    let url = |n| Url::parse(&format!("http://sim{n}/file")).expect("a URL");
    (0..count).map(|n| Origin::of(&url(n), &Key::default())).collect()
}

impl World {
    /// Returns the world of a seed.
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        let size = match rng.u8(0..10) {
            0 => 0,
            1 => 1,
            2 => rng.u64(0..LARGEST),
            _ => rng.u64(0..COMMON),
        };
        let count = if rng.u8(0..5) == 0 { rng.usize(2..4) } else { 1 };
        let versions = (0..count)
            .map(|n| {
                // A new version often has the same size. Then only the bytes show if versions were mixed.
                let size = if n > 0 && rng.bool() { rng.u64(0..COMMON) } else { size };
                Arc::new(content(&format!("{seed}-{n}"), size))
            })
            .collect();
        let mut world = World {
            versions,
            version: 0,
            sins_percent: rng.u8(0..=80),
            validator: [Validator::Strong, Validator::Strong, Validator::Weak, Validator::None]
                [rng.usize(0..4)],
            announces_length: rng.u8(0..5) > 0,
            knows_ranges: rng.u8(0..5) > 0,
            digest: [None, None, Some(true), Some(false)][rng.usize(0..4)],
            digests_ranges: rng.u8(0..3) == 0,
            known: false,
            list_is_wrong: false,
            several: false,
            wrong_source: None,
            sends_pages: rng.u8(0..6) == 0,
            mirrors: Vec::new(),
            rng,
        };
        if count == 1 && world.rng.u8(0..3) == 0 {
            (world.known, world.digests_ranges) = (true, false);
            world.digest = world.digest.filter(|_| world.rng.bool());
            world.wrong_source = [None, Some(0), Some(1), Some(2)][world.rng.usize(0..4)];
        }
        world
    }

    /// Returns the world of a seed, with a file that is large enough for a journal and several connections.
    pub fn large(seed: u64) -> World {
        let mut world = World::new(seed);
        let versions = world.versions.len();
        let size = world.rng.u64(1 << 20..8 << 20);
        world.versions = (0..versions).map(|n| Arc::new(content(&format!("{seed}-{n}"), size))).collect();
        world.sins_percent /= 2;
        world.digest = world.digest.filter(|&right| right);
        world
    }

    /// Returns the world of a seed whose server sends only right bytes, and the abilities of this server.
    pub fn honest(seed: u64) -> (World, Abilities) {
        let mut world = World::new(seed);
        world.versions.truncate(1);
        (world.sins_percent, world.sends_pages, world.wrong_source) = (0, false, None);
        // If a range has a digest, `spoil` may damage its bytes. So no range has a digest here.
        world.digests_ranges = false;
        let able = Abilities {
            ranges: world.knows_ranges,
            validator: matches!(world.validator, Validator::Strong),
            size: world.announces_length,
        };
        (world, able)
    }

    /// Returns the rules of a job in this world.
    pub fn rules(&mut self) -> Rules {
        let (expected, chunks) = self.expectations();
        let sources = self.rng.usize(1..=3);
        self.several = sources > 1;
        Rules {
            origins: origins(sources),
            look_first: self.rng.bool(),
            retries: self.rng.u32(0..6),
            retry_wait: Duration::ZERO,
            sends_once: false,
            on_error: if self.rng.bool() { OnError::Retry } else { OnError::Ask },
            if_locked: IfLocked::Fail,
            max_time: None,
            verify: Verify::Auto,
            record: false,
            notes: Vec::new(),
            expected,
            size: None,
            chunks,
            connections: [None, Some(1), Some(2), Some(4), Some(8)][self.rng.usize(0..5)],
            sizes: match self.rng.u8(0..8) {
                // With these sizes, bytes cannot be read back, so no chunk of a list could be verified.
                0 if !self.known => Sizes { journal_from: None, window_is_memory: true, ..SIZES },
                _ => SIZES,
            },
            seed: self.rng.u64(..),
        }
    }

    /// Returns the digests in a list, if there is one: of the whole file, of its chunks, or of both.
    fn expectations(&mut self) -> (Vec<Expected>, Option<ChunkHashes>) {
        let file = self.versions[0].clone();
        self.list_is_wrong = self.known && self.rng.u8(0..8) == 0;
        let salt: &[u8] = if self.list_is_wrong { b"x" } else { b"" };
        let digest = |bytes: &[u8]| {
            Digest::from_hex(Algorithm::Sha256, &sha256(&[bytes, salt].concat())).expect("a digest")
        };
        let length = self.rng.usize(1_000..20_000);
        let which = if self.known { self.rng.u8(0..3) } else { 3 };
        let whole = || vec![Expected { digest: digest(&file), from: "a list".into() }];
        let chunks = || ChunkHashes {
            length: length as u64,
            algorithm: Algorithm::Sha256,
            digests: file.chunks(length).map(digest).collect(),
            from: "a list".into(),
        };
        match which {
            0 => (whole(), None),
            1 => (Vec::new(), Some(chunks())),
            2 => (whole(), Some(chunks())),
            _ => (Vec::new(), None),
        }
    }

    /// Returns true if a source may send a wrong byte, or something else instead of the file. Wrong digests
    /// in a list do not count.
    pub fn has_wrong_source(&self) -> bool {
        self.wrong_source.is_some() || self.sends_pages || !self.mirrors.is_empty()
    }

    /// Returns the response to a request to one of several sources.
    pub fn meet_at(&mut self, source: usize, request: Request) -> Meeting {
        if let Some(mirror) = self.mirrors.get_mut(source) {
            return mirror.meet(request);
        }
        let mut meeting = self.meet(request);
        if self.wrong_source == Some(source) && !meeting.body.is_empty() && self.rng.u8(0..3) == 0 {
            let at = self.rng.usize(0..meeting.body.len());
            meeting.body[at] ^= 1;
        }
        meeting
    }

    /// Returns the response to a request.
    pub fn meet(&mut self, request: Request) -> Meeting {
        let from = request.from;
        if self.version + 1 < self.versions.len() && self.rng.u8(0..3) == 0 {
            self.version += 1;
        }
        let file = self.versions[self.version].clone();
        let (size, sins) = (file.len() as u64, self.rng.u8(0..100) < self.sins_percent);
        if sins && self.rng.bool() {
            return Meeting { head: Err(self.failure()), body: Vec::new(), end: Ok(()) };
        }
        let large = self.versions.iter().all(|version| version.len() > 1_000);
        if self.sends_pages && large && !request.is_for_everything() && self.rng.u8(0..3) > 0 {
            return self.something_else();
        }
        let partial = !request.is_for_everything() && self.knows_ranges;
        if partial && from >= size {
            let kind = ErrorKind::HttpRangePast;
            return Meeting { head: Err(Error::new(kind, "sim", "416")), body: Vec::new(), end: Ok(()) };
        }
        // If this server sends another range than the requested one, it states the range that it sends. A
        // client that does not compare the stated range with its request puts the bytes into the wrong place.
        let first = match (partial, sins && self.rng.u8(0..3) == 0) {
            (true, true) => self.rng.u64(0..size),
            (true, false) => from,
            (false, _) => 0,
        };
        let last = match partial && self.rng.u8(0..4) == 0 {
            true => self.rng.u64(first..size),
            false => size.min(request.to.filter(|_| partial).unwrap_or(size)).max(first + 1) - 1,
        };
        let all = &file
            [usize::try_from(first).unwrap_or(0)..usize::try_from(last + 1).unwrap_or(0).min(file.len())];
        let head = self.head(partial, first, last, size, &file);
        let cut = if sins { self.rng.usize(0..=all.len()) } else { all.len() };
        let end = if cut < all.len() { Err(Error::new(ErrorKind::NetReset, "sim", "cut")) } else { Ok(()) };
        Meeting { head: Ok(head), body: all[..cut].to_vec(), end }
    }

    /// Returns a web page, or an error message with a status of success.
    fn something_else(&mut self) -> Meeting {
        // If the length of the file is unknown, a client accepts any text except a web page as a new version.
        let (content_type, body) = match self.rng.bool() || !self.announces_length {
            true => ("text/html", PAGE.to_vec()),
            false => ("application/json", MESSAGE.to_vec()),
        };
        let mut remote = Remote::whole(Url::parse("http://sim/login").expect("a URL"));
        remote.content_type = Some(content_type.into());
        remote.size = Some(body.len() as u64);
        remote.can_resume = true;
        Meeting { head: Ok(remote), body, end: Ok(()) }
    }

    /// Changes a byte from time to time, if the digest of the range can detect it. If the sent range ends
    /// after the requested one, the client does not read to its end, so the digest cannot detect a change.
    fn spoil(&mut self, request: Request, meeting: &mut Meeting) {
        let Ok(Remote { span: Span::Range(range), range_digests, .. }) = &meeting.head else { return };
        let asked = request.to.is_none_or(|to| range.end <= to);
        if asked && !range_digests.is_empty() && !meeting.body.is_empty() && self.rng.u8(0..4) == 0 {
            let at = self.rng.usize(0..meeting.body.len());
            meeting.body[at] ^= 1;
        }
    }

    fn head(&mut self, partial: bool, first: u64, last: u64, size: u64, file: &[u8]) -> Remote {
        let url = Url::parse("http://sim/file").expect("a URL");
        let mut remote = match partial {
            true => Remote::range(url, first..last + 1, Some(size)),
            false => Remote::whole(url),
        };
        if partial && self.digests_ranges {
            let range = first as usize..last as usize + 1;
            remote.range_digests = vec![stated(&file[range], "Content-Digest")];
        }
        remote.size = Some(size).filter(|_| partial || self.announces_length);
        if let Validator::Strong = self.validator {
            remote.validator = remote::Validator::Etag(format!("\"{}\"", self.version));
        }
        remote.can_resume = partial || self.rng.u8(0..12) > 0;
        remote.digests = match self.digest.filter(|_| !partial) {
            Some(true) => vec![stated(file, "X-Checksum-SHA256")],
            Some(false) => vec![stated(b"another file", "X-Checksum-SHA256")],
            None => Vec::new(),
        };
        remote
    }

    fn failure(&mut self) -> Error {
        let kinds = [
            ErrorKind::ConnectRefused,
            ErrorKind::NetSilent,
            ErrorKind::HttpBusy,
            ErrorKind::HttpServer,
            ErrorKind::HttpNotFound,
            ErrorKind::HttpLater,
        ];
        let mut error = Error::new(kinds[self.rng.usize(0..kinds.len())], "sim", "");
        if error.kind == ErrorKind::HttpBusy {
            error.pause = Some(Pause { wait: Duration::from_secs(self.rng.u64(0..120)), why: Why::Asked });
        }
        error
    }

    /// Checks that published bytes are one version of the file, and that no wrong digest was accepted.
    ///
    /// # Errors
    /// Returns what is wrong with the bytes.
    pub fn check(&self, published: &[u8]) -> Result<(), String> {
        if !self.versions.iter().any(|version| version.as_slice() == published) {
            return Err(format!("the {} published bytes are no version of the file", published.len()));
        }
        if self.list_is_wrong && !self.versions[0].is_empty() {
            return Err("a file was published although the digests in the list are wrong".into());
        }
        // If a list verifies the file, a digest that only one of several mirrors states is not used.
        if self.digest == Some(false) && !(self.known && self.several) {
            return Err("a file was published although its digest was wrong".into());
        }
        Ok(())
    }
}
