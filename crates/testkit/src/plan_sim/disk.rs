//! The disk of a simulated download. It carries out the plan's actions on the partial file and its journal.
//!
//! Invariant: only the first write of each byte is used, as in the engine, until the byte is discarded or the
//! partial file begins again.

use super::Sim;
use crate::sha256;
use downhaul_core::adopt::{Adopted, OVERLAP};
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::Conditions;
use downhaul_core::journal::{self, Claim};
use downhaul_core::plan::{Action, Begin, Input, Leftover, Place, Plan};
use downhaul_core::ranges::RangeSet;

impl Sim {
    /// Carries out an action about the file.
    pub(super) fn carry_out_on_disk(&mut self, plan: &mut Plan, action: Action) {
        let (seed, now) = (self.seed, self.now);
        match action {
            Action::Look { remote: None } if self.happens(6) => {
                plan.on(now, Input::Looked(Ok(Place::Ask(Conditions::default()))));
            }
            Action::Look { .. } => {
                let left = self.adopted.is_some() || !self.journal.is_empty();
                plan.on(now, Input::Looked(Ok(Place::Free { path: "f".into(), left })));
            }
            Action::Place { begin, .. } => {
                let left = self.left();
                if let (None, Some(begin)) = (&left, begin) {
                    self.begin(&begin);
                }
                let place = Place::Free { path: "f".into(), left: false };
                plan.on(now, Input::Placed(Ok(place), left));
            }
            Action::Begin(begin) => {
                self.begin(&begin);
                let fails = self.happens(50);
                let result = if fails { Err(Error::new(ErrorKind::DiskFull, "sim", "")) } else { Ok(()) };
                plan.on(now, Input::Begun(result));
            }
            Action::CheckJournal { number, claims } => {
                self.check = claims.into_iter().map(|claim| (number, Some(claim))).collect();
                self.check.push_back((number, None));
            }
            Action::VerifyChunk { number, chunk, expected } => {
                let range =
                    usize::try_from(chunk.start).expect("small")..usize::try_from(chunk.end).expect("small");
                let good = Ok(sha256(&self.disk[range]) == expected.to_string());
                self.seen.wrong_chunks += usize::from(good == Ok(false));
                self.later.push_back(Input::ChunkVerified { number, chunk, good });
            }
            Action::Discard { number, ranges } => {
                ranges.iter().for_each(|range| self.there.remove(range.clone()));
                self.later.push_back(Input::Discarded { number, ranges, result: Ok(()) });
            }
            Action::Verify => {
                let size = size_of(plan);
                let bytes = Digest::from_hex(Algorithm::Sha256, &sha256(&self.disk[..size]));
                plan.on(now, Input::Verified(Ok(vec![bytes.expect("a digest")])));
            }
            Action::Publish => {
                let size = size_of(plan);
                assert!(self.disk.len() >= size, "seed {seed}");
                self.disk.truncate(size);
                self.world.check(&self.disk).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
                if self.happens(20) {
                    let full = Error::new(ErrorKind::DiskFull, "sim", "");
                    return plan.on(now, Input::Published(Err(full)));
                }
                self.published = Some(self.disk.clone());
                plan.on(now, Input::Published(Ok("f".into())));
            }
            action => panic!("seed {seed}: the action does not concern the file: {action:?}"),
        }
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) -> Result<bool, Error> {
        let start = usize::try_from(at).expect("small");
        if let Some(length) = self.adopted {
            let compared =
                usize::try_from(length - OVERLAP).expect("small")..usize::try_from(length).expect("small");
            let both = start.max(compared.start)..(start + bytes.len()).min(compared.end);
            if !both.is_empty() && self.disk[both.clone()] != bytes[both.start - start..both.end - start] {
                return Err(Error::new(ErrorKind::ResumeDamaged, "sim", ""));
            }
            if start + bytes.len() >= compared.end {
                self.adopted = None;
            }
        }
        if self.disk.len() < start + bytes.len() {
            self.disk.resize(start + bytes.len(), 0);
        }
        let range = at..at + bytes.len() as u64;
        let missing = self.there.missing(range.clone());
        let fresh = missing == [range.clone()];
        for part in missing {
            let (from, to) =
                (usize::try_from(part.start).expect("small"), usize::try_from(part.end).expect("small"));
            self.disk[from..to].copy_from_slice(&bytes[from - start..to - start]);
        }
        self.there.insert(range);
        if fresh && !self.journal.is_empty() {
            let crc = journal::crc32c(bytes);
            self.journal.extend(journal::claim(Claim { start: at, end: at + bytes.len() as u64, crc }));
        }
        Ok(fresh)
    }

    fn begin(&mut self, begin: &Begin) {
        self.generation += 1;
        self.there = RangeSet::new();
        if !begin.keep {
            self.adopted = None;
            self.disk.clear();
        }
        self.journal = begin.journal.as_ref().map(journal::begin).unwrap_or_default();
    }

    fn left(&mut self) -> Option<Leftover> {
        if let Some(length) = self.adopted {
            return Adopted::prefix(length).map(Leftover::Adopted);
        }
        let (start, claims) = journal::read(&self.journal)?;
        self.journal = journal::rewrite(&start, &claims);
        let (start, claims) = journal::read(&self.journal)?;
        Some(Leftover::Journal { start, claims, adopted: None })
    }

    pub(super) fn holds(&self, claim: Claim) -> bool {
        let range = usize::try_from(claim.start).expect("small")..usize::try_from(claim.end).expect("small");
        self.disk.get(range).is_some_and(|bytes| journal::crc32c(bytes) == claim.crc)
    }

    /// Stores a partial file of another tool. It is the beginning of the first version of the file.
    /// Sometimes, one of its last `OVERLAP` bytes is wrong.
    pub(super) fn leave_a_prefix(&mut self) {
        let file = self.world.versions[0].clone();
        let length = self.world.rng.usize(0..=file.len());
        self.disk = file[..length].to_vec();
        if self.world.rng.bool() && length > 0 {
            let wrong = self.world.rng.usize(length.saturating_sub(OVERLAP as usize)..length);
            self.disk[wrong] ^= 1;
        }
        // In this world, only a response with the whole file can state a digest of the whole file, and this
        // run may get no such response. So the world states no digest. A partial file that is not longer than
        // the range that is compared (`OVERLAP`) is not adopted.
        self.world.digest = None;
        self.adopted = Some(length as u64).filter(|&length| length > OVERLAP);
    }

    /// Damages the partial file or its journal in a way that may happen between two runs, or leaves both as
    /// they are.
    pub(super) fn damage(&mut self) {
        self.adopted = None;
        let rng = &mut self.world.rng;
        match rng.u8(0..9) {
            0 => self.journal.truncate(rng.usize(0..=self.journal.len())),
            1 if !self.journal.is_empty() => {
                let at = rng.usize(0..self.journal.len());
                self.journal[at] ^= 1 << rng.u8(0..8);
            }
            2 if !self.disk.is_empty() => {
                let at = rng.usize(0..self.disk.len());
                self.disk[at] ^= 1 << rng.u8(0..8);
            }
            3 => self.disk.truncate(rng.usize(0..=self.disk.len())),
            4 => self.journal.clear(),
            5 => self.journal.extend(b"garbage at the end"),
            6 => self.disk.extend(b"garbage at the end"),
            _ => {}
        }
    }
}

fn size_of(plan: &Plan) -> usize {
    usize::try_from(plan.size().expect("a complete file has a size")).expect("small")
}
