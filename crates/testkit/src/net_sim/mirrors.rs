//! Worlds with several mirrors, each with a file and abilities of its own.
//!
//! Invariant: at least one mirror has the right file, answers each request, and sends only right bytes.

use super::{MESSAGE, Meeting, PAGE, World};
use crate::{content, sha256};
use downhaul_core::digest::{Algorithm, Digest, Expected};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::plan::Rules;
use downhaul_core::settings::OnError;
use downhaul_engine::source::Request;
use fastrand::Rng;
use std::sync::Arc;
use std::time::Duration;

/// The failures of a mirror that does not work. None of them makes the client wait for the host.
const DEAD: [ErrorKind; 7] = [
    ErrorKind::ConnectRefused,
    ErrorKind::DnsUnresolved,
    ErrorKind::TlsExpired,
    ErrorKind::NetSilent,
    ErrorKind::HttpServer,
    ErrorKind::HttpForbidden,
    ErrorKind::HttpNotFound,
];

/// The highest number of mirrors.
pub(crate) const MIRRORS_MOST: usize = 8;

/// The kind of a good mirror. Mirrors whose kind is a smaller number fail at some or all requests. Mirrors
/// whose kind is a greater number have a wrong file, or send a page or an error message in place of the file.
const GOOD: u8 = 3;
const WRONG: u8 = GOOD + 1;

/// The highest number of mirrors with a wrong file. After four wrong files, a plan no longer trusts the
/// digest.
const WRONG_MOST: usize = 3;

/// One mirror of a file.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    /// The file of this mirror, and how it answers requests.
    world: World,
    /// After this many requests, all requests fail.
    works_for: usize,
    /// True if the mirror sends a page or an error message in place of the file.
    sends_page: bool,
}

impl World {
    /// Returns a world with two to `MIRRORS_MOST` mirrors, of which at least one is good, and the rules of
    /// a job that knows the digest of the right file if `has_digest` is true.
    pub fn mirrors(seed: u64, has_digest: bool) -> (World, Rules) {
        let mut world = World::new(seed);
        (world.known, world.digest) = (false, None);
        let mut rules = world.rules();
        let rng = &mut world.rng;
        let size = rng.u64(1..200_000);
        let right = content(&format!("{seed}-right"), size);
        let count = rng.usize(2..MIRRORS_MOST + 1);
        let good = rng.usize(0..count);
        let mut wrong = 0;
        let mut mirrors = Vec::new();
        for one in 0..count {
            let kind = match rng.u8(0..7) {
                _ if one == good => GOOD,
                WRONG.. if wrong == WRONG_MOST => 0,
                kind => kind,
            };
            wrong += usize::from(kind >= WRONG);
            mirrors.push(Mirror::new(rng, &format!("{seed}-{one}"), &right, kind));
        }
        // If the job knows no digest, some mirrors state one, which may be wrong.
        for mirror in mirrors.iter_mut().filter(|_| !has_digest) {
            mirror.world.digest = [None, Some(true), Some(false)][rng.usize(0..3)];
        }
        // The files that may be published: with a digest, only the right one.
        world.versions = match has_digest {
            true => vec![Arc::new(right.clone())],
            false => mirrors.iter().flat_map(Mirror::files).collect(),
        };
        let digest = Digest::from_hex(Algorithm::Sha256, &sha256(&right)).expect("a digest");
        rules.expected =
            if has_digest { vec![Expected { digest, from: "a list".into() }] } else { Vec::new() };
        rules.chunks = None;
        rules.origins = super::origins(count);
        rules.on_error = OnError::Retry;
        rules.retry_wait = Duration::ZERO;
        (world.several, world.sends_pages, world.mirrors) = (true, false, mirrors);
        (world, rules)
    }
}

impl Mirror {
    fn new(rng: &mut Rng, name: &str, right: &[u8], kind: u8) -> Mirror {
        let (mut world, _) = World::honest(rng.u64(..));
        let (mut works_for, mut sends_page) = (usize::MAX, false);
        let mut file = right.to_vec();
        match kind {
            0 => works_for = 0,
            1 => works_for = rng.usize(1..6),
            2 => world.sins_percent = rng.u8(20..=100),
            GOOD => {}
            4 => sends_page = true,
            5 => file = content(name, right.len() as u64),
            _ => file = content(name, rng.u64(1..400_000)),
        }
        (world.versions, world.version) = (vec![Arc::new(file)], 0);
        (world.digest, world.rng) = (None, Rng::with_seed(rng.u64(..)));
        Mirror { world, works_for, sends_page }
    }

    /// Returns everything that may be published if it came from this mirror.
    fn files(&self) -> Vec<Arc<Vec<u8>>> {
        match (self.sends_page, self.world.digest) {
            (true, _) => [PAGE, MESSAGE].map(|text| Arc::new(text.to_vec())).to_vec(),
            // The file of this mirror does not match the digest that the mirror states.
            (false, Some(false)) => Vec::new(),
            (false, _) => self.world.versions.clone(),
        }
    }

    pub(super) fn meet(&mut self, request: Request) -> Meeting {
        if self.works_for == 0 {
            let kind = DEAD[self.world.rng.usize(0..DEAD.len())];
            return Meeting { head: Err(Error::new(kind, "sim", "")), body: Vec::new(), end: Ok(()) };
        }
        self.works_for -= 1;
        if self.sends_page {
            return self.world.something_else();
        }
        self.world.meet(request)
    }
}
