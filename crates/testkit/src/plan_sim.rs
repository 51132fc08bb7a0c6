//! Whole downloads by the plan alone, in the simulated world of a seed: several connections with speeds of their own,
//! some of them silent, a disk, a journal, and runs that are killed and started again on what they left, which somebody
//! may have damaged meanwhile. The plan's invariant is asserted after every step.

use crate::net_sim::{Meeting, World};
use crate::plan_trace::Trace;
use crate::sha256;
use downhaul_core::adopt::{Adopted, OVERLAP};
use downhaul_core::concurrency::{AUTO_MOST, Controller};
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::EventKind;
use downhaul_core::identity::Conditions;
use downhaul_core::journal::{self, Claim};
use downhaul_core::plan::{Action, Answer, Begin, Input, Leftover, Outcome, Place, Plan, Rules, WorkerId};
use downhaul_core::ranges::RangeSet;
use downhaul_engine::source::Request;
use std::collections::VecDeque;
use std::time::Duration;

/// How a simulated download ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What the last plan said.
    pub outcome: Outcome,
    /// The published bytes.
    pub published: Option<Vec<u8>>,
    /// What happened on the way.
    pub seen: Seen,
}

/// What happened on the way: worlds in which nothing happens prove nothing.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Requests that were made.
    pub requests: usize,
    /// The most connections at once.
    pub lanes: usize,
    /// Tasks that were cut short for another worker.
    pub cuts: usize,
    /// Workers that went on with a break or a leftover.
    pub resumed: usize,
    /// Runs that were killed.
    pub kills: usize,
    /// Claims of journals that were found good, and that were not.
    pub good: usize,
    /// See `good`.
    pub bad: usize,
    /// Pieces that were wrong.
    pub wrong_pieces: usize,
    /// Sources that were named liars.
    pub liars: usize,
    /// Requests for bytes that another worker was asked for, too.
    pub hedges: usize,
    /// A fingerprint of all actions of all runs: equal where two versions of the plan did the same.
    pub trace: u64,
}

/// A connection.
struct Lane {
    worker: WorkerId,
    meeting: Meeting,
    /// Bytes of the body that arrived.
    arrived: usize,
    accepted: bool,
    skip: u64,
    from: u64,
    at: u64,
    end: Option<u64>,
    /// When something happens on it next; `None`: it waits for a word.
    due: Option<Duration>,
    /// Bytes a second; 0 is silence.
    speed: u64,
    generation: u32,
}

struct Sim {
    seed: u64,
    world: World,
    now: Duration,
    lanes: Vec<Lane>,
    most_lanes: usize,
    /// What the host stands, which all runs of a process would remember.
    pace: Controller,
    named: bool,
    /// Milliseconds that a reply takes at most.
    slowest_reply: u64,
    check: VecDeque<(u32, Option<Claim>)>,
    /// What is to be told next.
    later: VecDeque<Input>,
    disk: Vec<u8>,
    /// What was written since the part file began: the first write of a byte counts.
    there: RangeSet,
    journal: Vec<u8>,
    adopted: Option<u64>,
    generation: u32,
    seen: Seen,
    trace: Trace,
}

/// Runs a download through the world of a seed, restarts included.
///
/// # Panics
/// When the plan breaks its invariant, publishes wrong bytes, or does not end.
pub fn drive_plan(seed: u64) -> Ended {
    let mut world = World::new(seed);
    let rules = world.rules();
    let most_lanes = if world.rng.u8(0..4) == 0 { world.rng.usize(1..5) } else { usize::MAX };
    let mut sim = Sim {
        seed,
        now: Duration::ZERO,
        lanes: Vec::new(),
        most_lanes,
        pace: Controller::new(AUTO_MOST),
        named: rules.connections.is_some(),
        slowest_reply: if world.rng.u8(0..5) == 0 { 5_000 } else { 300 },
        check: VecDeque::new(),
        later: VecDeque::new(),
        disk: Vec::new(),
        there: RangeSet::new(),
        journal: Vec::new(),
        adopted: None,
        generation: 0,
        seen: Seen::default(),
        trace: Trace::new(),
        world,
    };
    if sim.world.rng.u8(0..16) == 0 {
        sim.leave_a_prefix();
    }
    for _ in 0..8 {
        match sim.run(rules.clone()) {
            Run::Killed => sim.damage(),
            // A run that gave up is followed by another one, as people do.
            Run::Over(Outcome::Failed { resumable: true, .. }, _) if sim.world.rng.bool() => sim.damage(),
            Run::Over(outcome, published) => {
                let finished = matches!(outcome, Outcome::Finished);
                assert_eq!(finished, published.is_some(), "seed {seed}");
                return Ended { outcome, published, seen: Seen { trace: sim.trace.value(), ..sim.seen } };
            }
        }
    }
    let seen = Seen { trace: sim.trace.value(), ..sim.seen };
    Ended { outcome: Outcome::Skipped, published: None, seen }
}

enum Run {
    Over(Outcome, Option<Vec<u8>>),
    Killed,
}

impl Sim {
    fn run(&mut self, rules: Rules) -> Run {
        let (seed, retries) = (self.seed, rules.retries);
        let mut plan = Plan::new(rules);
        let killed_at = if self.world.rng.u8(0..4) == 0 { self.world.rng.usize(0..200) } else { usize::MAX };
        self.lanes.clear();
        self.check.clear();
        self.later.clear();
        self.there = RangeSet::new();
        let mut published = None;
        // Every request ends, each costs a try, goes on with progress, or meets an uncounted pause; none of these goes
        // on for ever in a world of this size.
        for step in 0..100_000 {
            plan.check().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            if step == killed_at {
                self.seen.kills += 1;
                return Run::Killed;
            }
            while self.pace.in_use() > self.lanes.len() {
                self.pace.on_closed(false);
            }
            let room = self.pace.allowance(self.most_lanes.saturating_sub(self.lanes.len()), self.named);
            let action = plan.next(self.now, &[room, room, room]);
            self.trace.add(self.now, &action);
            match action {
                Action::Look { remote: None } if self.world.rng.u8(0..6) == 0 => {
                    plan.on(self.now, Input::Looked(Ok(Place::Ask(Conditions::default()))));
                }
                Action::Ask { worker, source, conditions } => {
                    let request = Request::about(conditions);
                    self.fetch(worker, source, request);
                    if let Some(lane) = self.lanes.last_mut() {
                        lane.meeting.body.clear();
                    }
                }
                Action::Look { .. } => {
                    let left = self.adopted.is_some() || !self.journal.is_empty();
                    plan.on(self.now, Input::Looked(Ok(Place::Free { path: "f".into(), left })));
                }
                Action::Place { begin, .. } => {
                    let left = self.left();
                    if let (None, Some(begin)) = (&left, begin) {
                        self.begin(&begin);
                    }
                    let place = Place::Free { path: "f".into(), left: false };
                    plan.on(self.now, Input::Placed(Ok(place), left));
                }
                Action::Begin(begin) => {
                    self.begin(&begin);
                    let fails = self.world.rng.u8(0..50) == 0;
                    let result = if fails { Err(Error::new(ErrorKind::DiskFull, "sim", "")) } else { Ok(()) };
                    plan.on(self.now, Input::Begun(result));
                }
                Action::CheckJournal { number, claims } => {
                    self.check = claims.into_iter().map(|claim| (number, Some(claim))).collect();
                    self.check.push_back((number, None));
                }
                Action::Fetch { worker, source, from, to } => {
                    self.fetch(worker, source, Request::range(from, to));
                }
                Action::Accept { worker, skip, at, end } => {
                    let (now, generation) = (self.now, self.generation);
                    let lane = self.lanes.iter_mut().find(|lane| lane.worker == worker);
                    let lane = lane.unwrap_or_else(|| panic!("seed {seed}: no response to accept"));
                    (lane.accepted, lane.skip, lane.at, lane.end) = (true, skip, at, end);
                    (lane.due, lane.generation) = (Some(now), generation);
                }
                Action::Cut { worker, end } => {
                    self.seen.cuts += 1;
                    let from =
                        self.lanes.iter().find(|lane| lane.worker == worker).map_or(0, |lane| lane.from);
                    assert!(end > from, "seed {seed}: a cut that leaves nothing");
                    // A worker hears of it a little late, now and then.
                    if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.worker == worker)
                        && self.world.rng.u8(0..4) > 0
                    {
                        lane.end = Some(end);
                    }
                }
                Action::Drop { worker } => self.lanes.retain(|lane| lane.worker != worker),
                Action::VerifyChunk { number, chunk, expected } => {
                    let range = usize::try_from(chunk.start).expect("small")
                        ..usize::try_from(chunk.end).expect("small");
                    let good = Ok(sha256(&self.disk[range]) == expected.to_string());
                    self.seen.wrong_pieces += usize::from(good == Ok(false));
                    self.later.push_back(Input::ChunkVerified { number, chunk, good });
                }
                Action::Discard { number, ranges } => {
                    ranges.iter().for_each(|range| self.there.remove(range.clone()));
                    self.later.push_back(Input::Discarded { number, ranges, result: Ok(()) });
                }
                Action::Verify => {
                    let size =
                        usize::try_from(plan.size().expect("a complete file has a size")).expect("small");
                    let bytes =
                        Digest::from_hex(Algorithm::Sha256, &sha256(&self.disk[..size])).expect("a digest");
                    plan.on(self.now, Input::Verified(Ok(vec![bytes])));
                }
                Action::Publish => {
                    let size =
                        usize::try_from(plan.size().expect("a complete file has a size")).expect("small");
                    assert!(self.disk.len() >= size, "seed {seed}");
                    self.disk.truncate(size);
                    self.world.check(&self.disk).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
                    if self.world.rng.u8(0..20) == 0 {
                        plan.on(self.now, Input::Published(Err(Error::new(ErrorKind::DiskFull, "sim", ""))));
                        continue;
                    }
                    published = Some(self.disk.clone());
                    plan.on(self.now, Input::Published(Ok("f".into())));
                }
                Action::Tell(fact) => match fact {
                    EventKind::Retrying { attempt, .. } => {
                        assert!(attempt <= retries, "seed {seed}: more retries than allowed");
                    }
                    EventKind::Resumed { .. } => self.seen.resumed += 1,
                    EventKind::MirrorLeft { error, .. } if error.code.starts_with("digest.") => {
                        self.seen.liars += 1;
                        assert!(self.world.has_a_liar(), "seed {seed}: nobody lied: {error:?}");
                    }
                    _ => {}
                },
                Action::Observe { news, .. } => self.pace.on(self.now, news),
                Action::Wait(until) => self.wait(&mut plan, until),
                Action::Finish(outcome) => return Run::Over(outcome, published),
            }
        }
        panic!("seed {seed}: a download that does not end: {plan:?}");
    }

    fn fetch(&mut self, worker: WorkerId, source: usize, request: Request) {
        let from = request.from;
        self.seen.requests += 1;
        self.pace.on_opened(false);
        let meeting = self.world.meet_at(source, request);
        let rng = &mut self.world.rng;
        let speed = match rng.u8(0..20) {
            0 => 0,
            1 => 500,
            _ => rng.u64(5_000..200_000),
        };
        if self
            .lanes
            .iter()
            .any(|lane| lane.accepted && lane.at <= from && lane.end.is_some_and(|end| end > from))
        {
            self.seen.hedges += 1;
        }
        let due = Some(self.now + Duration::from_millis(rng.u64(0..self.slowest_reply)));
        let generation = self.generation;
        let (arrived, accepted) = (0, false);
        self.lanes.push(Lane {
            worker,
            meeting,
            arrived,
            accepted,
            skip: 0,
            from,
            at: from,
            end: None,
            due,
            speed,
            generation,
        });
        self.seen.lanes = self.seen.lanes.max(self.lanes.len());
    }

    /// Lets time pass until something happens.
    fn wait(&mut self, plan: &mut Plan, until: Option<Duration>) {
        let seed = self.seed;
        if let Some(input) = self.later.pop_front() {
            return plan.on(self.now, input);
        }
        let due = self.lanes.iter().enumerate().filter_map(|(index, lane)| Some((lane.due?, index))).min();
        let check = self.check.front().map(|_| self.now + Duration::from_millis(3));
        let first = [due.map(|(at, _)| at), check, until].into_iter().flatten().min();
        let Some(first) = first else {
            assert!(plan.is_idle(), "seed {seed}: stuck: {plan:?}");
            let answer = if self.world.rng.u8(0..4) > 0 { Answer::Retry } else { Answer::Skip };
            return plan.on(self.now, Input::Answer(answer));
        };
        if until == Some(first) {
            assert!(first > self.now, "seed {seed}: a wait for the past");
        }
        self.now = self.now.max(first);
        match due {
            Some((at, index)) if at <= self.now => self.lane(plan, index),
            _ if check.is_some_and(|check| check <= self.now) => {
                let Some((number, claim)) = self.check.pop_front() else { return };
                let Some(claim) = claim else { return plan.on(self.now, Input::JournalChecked { number }) };
                let good = self.holds(claim);
                if good {
                    self.seen.good += 1
                } else {
                    self.seen.bad += 1
                }
                plan.on(self.now, Input::ClaimChecked { number, claim, good });
            }
            _ => {}
        }
    }

    /// Something happens on a connection.
    fn lane(&mut self, plan: &mut Plan, index: usize) {
        let now = self.now;
        let lane = &mut self.lanes[index];
        let worker = lane.worker;
        if !lane.accepted {
            lane.due = None;
            match lane.meeting.head.clone() {
                Ok(remote) => plan.on(now, Input::Opened { worker, remote: Box::new(remote) }),
                Err(error) => {
                    self.lanes.remove(index);
                    plan.on(now, Input::Ended { worker, result: Err(error) });
                }
            }
            return;
        }
        let full = lane.end.is_some_and(|end| lane.at >= end);
        let rest = &lane.meeting.body[lane.arrived..];
        if full || rest.is_empty() {
            let result = if full { Ok(()) } else { lane.meeting.end.clone() };
            self.lanes.remove(index);
            plan.on(now, Input::Ended { worker, result });
            // Late news of this worker must change nothing.
            let before = plan.bytes();
            plan.on(now, Input::Wrote { worker, upto: u64::MAX, fresh: true });
            assert_eq!(plan.bytes(), before, "seed {}", self.seed);
            return;
        }
        if lane.speed == 0 && lane.arrived > 0 {
            self.lanes.remove(index);
            let silent = Error::new(ErrorKind::NetSilent, "sim", "");
            return plan.on(now, Input::Ended { worker, result: Err(silent) });
        }
        let most = match lane.speed {
            0 => self.world.rng.usize(1..2_000),
            speed => usize::try_from(speed / 4).expect("small").max(1).min(self.world.rng.usize(1..30_000)),
        };
        let mut bytes = rest[..most.min(rest.len())].to_vec();
        lane.arrived += bytes.len();
        let skipped = usize::try_from(lane.skip).expect("small").min(bytes.len());
        lane.skip -= skipped as u64;
        bytes.drain(..skipped);
        if let Some(end) = lane.end {
            bytes.truncate(usize::try_from(end - lane.at).expect("small"));
        }
        // A silent one is noticed when the time allowed is over.
        let pause = match lane.speed {
            0 => Duration::from_secs(30),
            speed => Duration::from_secs_f64((bytes.len() + skipped) as f64 / speed as f64),
        };
        lane.due = Some(now + pause.max(Duration::from_millis(1)));
        let (at, generation) = (lane.at, lane.generation);
        lane.at += bytes.len() as u64;
        let upto = lane.at;
        if bytes.is_empty() || generation != self.generation {
            return;
        }
        match self.write(at, &bytes) {
            Ok(fresh) => plan.on(now, Input::Wrote { worker, upto, fresh }),
            Err(error) => {
                self.lanes.remove(index);
                plan.on(now, Input::Ended { worker, result: Err(error) });
            }
        }
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<bool, Error> {
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
        Some(Leftover::Journal { start, claims })
    }

    fn holds(&self, claim: Claim) -> bool {
        let range = usize::try_from(claim.start).expect("small")..usize::try_from(claim.end).expect("small");
        self.disk.get(range).is_some_and(|bytes| journal::crc32c(bytes) == claim.crc)
    }

    /// A prefix that another tool left: of this file, or of another one.
    fn leave_a_prefix(&mut self) {
        let file = self.world.versions[0].clone();
        let length = self.world.rng.usize(0..=file.len());
        self.disk = file[..length].to_vec();
        if self.world.rng.bool() && length > 0 {
            let wrong = self.world.rng.usize(length.saturating_sub(OVERLAP as usize)..length);
            self.disk[wrong] ^= 1;
        }
        // A shorter one is not taken up.
        // Digests of the whole are taken from a 200 only, and there may never be one.
        self.world.digest = None;
        self.adopted = Some(length as u64).filter(|&length| length > OVERLAP);
    }

    /// What may happen to files between two runs.
    fn damage(&mut self) {
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
