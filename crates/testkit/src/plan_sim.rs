//! Simulates whole downloads with only the plan, in the [`World`] of a seed. The simulation has connections
//! of different speeds, a disk, and a journal. In [`drive_plan`], some connections are silent, the disk fails
//! at times, and runs are killed. A new run then starts with the partial file and the journal that the last
//! run left. Both may be damaged between two runs.
//!
//! Invariant: the plan keeps its invariant after every step, and every published byte is right. The
//! simulation asserts both.

mod disk;
mod drive;

pub use drive::{drive_mirrors, drive_plan};

use crate::net_sim::{MIRRORS_MOST, Meeting, World};
use crate::plan_trace::Trace;
use downhaul_core::concurrency::Controller;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::EventKind;
use downhaul_core::journal::Claim;
use downhaul_core::plan::{Action, Answer, Input, Outcome, Plan, Rules, WorkerId};
use downhaul_core::ranges::RangeSet;
use downhaul_engine::source::Request;
use std::collections::VecDeque;
use std::time::Duration;

/// The end of a simulated download.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The outcome of the last plan. It is also `Skipped` if the download has not ended after eight runs.
    pub outcome: Outcome,
    /// The published bytes, or `None` if no file was published.
    pub published: Option<Vec<u8>>,
    /// The numbers of events during the download.
    pub seen: Seen,
}

/// The numbers of events during a download. Tests check these numbers, so that a simulation without such
/// events does not pass.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The number of requests that were made.
    pub requests: usize,
    /// The highest number of connections at once.
    pub connections: usize,
    /// The number of actions [`Action::Cut`], each of which ends a segment earlier.
    pub cuts: usize,
    /// The number of transfers that continued after a break, or continued a partial file of an earlier run.
    pub resumed: usize,
    /// The number of runs that were killed.
    pub kills: usize,
    /// The number of claims in journals that were right.
    pub good: usize,
    /// The number of claims in journals that were wrong.
    pub bad: usize,
    /// The number of chunks that had a wrong digest.
    pub wrong_chunks: usize,
    /// The number of sources that were blamed for wrong bytes.
    pub blamed: usize,
    /// The number of requests for bytes that another worker was fetching too.
    pub hedges: usize,
    /// A fingerprint of all actions of all runs. It is equal for two versions of the plan that return the
    /// same actions at the same times.
    pub trace: u64,
}

/// A simulated connection: its worker, its response, and how much of it has arrived.
struct Connection {
    worker: WorkerId,
    meeting: Meeting,
    /// The number of bytes of the body that have arrived.
    arrived: usize,
    accepted: bool,
    skip: u64,
    from: u64,
    at: u64,
    end: Option<u64>,
    /// The time of the next step of the connection, or `None` if it waits until its response is accepted.
    due: Option<Duration>,
    /// The speed in bytes a second. A connection with the speed 0 sends a few bytes and is then silent.
    speed: u64,
    generation: u32,
}

struct Sim {
    seed: u64,
    world: World,
    now: Duration,
    connections: Vec<Connection>,
    most_connections: usize,
    /// The controller of the host. All runs of a simulation share it.
    controller: Controller,
    /// True if no run is killed, and if nothing fails except the responses of the world.
    is_calm: bool,
    /// True if the job states the number of connections.
    named: bool,
    /// The longest time until a response, in milliseconds.
    slowest_response: u64,
    /// The claims to check, each with the number of the action `CheckJournal`. The entry with `None` in place
    /// of a claim is the end of the check.
    check: VecDeque<(u32, Option<Claim>)>,
    /// The inputs that are passed to the plan next.
    later: VecDeque<Input>,
    disk: Vec<u8>,
    /// The bytes that were written since the partial file began. Only the first write of a byte is used.
    there: RangeSet,
    journal: Vec<u8>,
    adopted: Option<u64>,
    generation: u32,
    seen: Seen,
    trace: Trace,
    published: Option<Vec<u8>>,
}

enum Run {
    Over(Outcome, Option<Vec<u8>>),
    Killed,
}

impl Sim {
    fn run(&mut self, rules: Rules) -> Run {
        let (seed, retries) = (self.seed, rules.retries);
        let mut plan = Plan::new(rules);
        let killed_at = if self.happens(4) { self.world.rng.usize(0..200) } else { usize::MAX };
        self.connections.clear();
        self.check.clear();
        self.later.clear();
        self.there = RangeSet::new();
        self.published = None;
        // Every request ends. It costs a retry, makes progress, or leads to a pause that costs no retry. In a
        // world of this size, each of these can happen only a limited number of times.
        for step in 0..100_000 {
            plan.check().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            if step == killed_at {
                self.seen.kills += 1;
                return Run::Killed;
            }
            while self.controller.in_use() > self.connections.len() {
                self.controller.on_closed(false);
            }
            let most = self.most_connections.saturating_sub(self.connections.len());
            let allowance = self.controller.allowance(most, self.named);
            let action = plan.next(self.now, &[allowance; MIRRORS_MOST]);
            self.trace.add(self.now, &action);
            match action {
                Action::Tell(event) => self.told(&event, retries),
                Action::Observe { observation, .. } => self.controller.on(self.now, observation),
                Action::Wait(until) => self.wait(&mut plan, until),
                Action::Finish(outcome) => return Run::Over(outcome, self.published.take()),
                action => self.carry_out(&mut plan, action),
            }
        }
        panic!("seed {seed}: a download that does not end: {plan:?}");
    }

    fn told(&mut self, event: &EventKind, retries: u32) {
        let seed = self.seed;
        match event {
            EventKind::Retrying { attempt, .. } => {
                assert!(*attempt <= retries, "seed {seed}: more retries were used than are allowed");
            }
            EventKind::Resumed { .. } => self.seen.resumed += 1,
            EventKind::MirrorLeft { error, .. } if error.code.starts_with("digest.") => {
                self.seen.blamed += 1;
                assert!(self.world.has_wrong_source(), "seed {seed}: no source sent wrong bytes: {error:?}");
            }
            _ => {}
        }
    }

    /// Carries out an action about connections or the file.
    fn carry_out(&mut self, plan: &mut Plan, action: Action) {
        let seed = self.seed;
        match action {
            Action::Ask { worker, source, conditions } => {
                let request = Request::about(conditions);
                self.fetch(worker, source, request);
                if let Some(connection) = self.connections.last_mut() {
                    connection.meeting.body.clear();
                }
            }
            Action::Fetch { worker, source, from, to } => {
                self.fetch(worker, source, Request::range(from, to));
            }
            Action::Accept { worker, skip, at, end } => {
                let (now, generation) = (self.now, self.generation);
                let connection = self.connection(worker);
                let connection = connection.unwrap_or_else(|| panic!("seed {seed}: no response to accept"));
                (connection.accepted, connection.skip) = (true, skip);
                (connection.from, connection.at, connection.end) = (at, at, end);
                (connection.due, connection.generation) = (Some(now), generation);
            }
            Action::Cut { worker, end } => {
                self.seen.cuts += 1;
                let from = self.connection(worker).map_or(0, |connection| connection.from);
                assert!(end > from, "seed {seed}: the new end leaves the worker no byte");
                // Sometimes a worker learns too late that its segment ends earlier. Then the action is
                // ignored.
                if self.connection(worker).is_some() && self.world.rng.u8(0..4) > 0 {
                    self.connection(worker).into_iter().for_each(|connection| connection.end = Some(end));
                }
            }
            Action::Drop { worker } => self.connections.retain(|connection| connection.worker != worker),
            action => self.carry_out_on_disk(plan, action),
        }
    }

    fn connection(&mut self, worker: WorkerId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.worker == worker)
    }

    fn fetch(&mut self, worker: WorkerId, source: usize, request: Request) {
        let from = request.from;
        self.seen.requests += 1;
        self.controller.on_opened(false);
        let meeting = self.world.meet_at(source, request);
        let is_silent = self.happens(20);
        let rng = &mut self.world.rng;
        let speed = match rng.u8(0..20) {
            _ if is_silent => 0,
            1 => 500,
            _ => rng.u64(5_000..200_000),
        };
        if self.connections.iter().any(|connection| {
            connection.accepted && connection.at <= from && connection.end.is_some_and(|end| end > from)
        }) {
            self.seen.hedges += 1;
        }
        let due = Some(self.now + Duration::from_millis(rng.u64(0..self.slowest_response)));
        let generation = self.generation;
        let (arrived, accepted) = (0, false);
        self.connections.push(Connection {
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
        self.seen.connections = self.seen.connections.max(self.connections.len());
    }

    /// Passes the next input to the plan. If `later` is empty, time passes first, or the user answers.
    fn wait(&mut self, plan: &mut Plan, until: Option<Duration>) {
        let seed = self.seed;
        if let Some(input) = self.later.pop_front() {
            return plan.on(self.now, input);
        }
        let due = self
            .connections
            .iter()
            .enumerate()
            .filter_map(|(index, connection)| Some((connection.due?, index)))
            .min();
        let check = self.check.front().map(|_| self.now + Duration::from_millis(3));
        let first = [due.map(|(at, _)| at), check, until].into_iter().flatten().min();
        let Some(first) = first else {
            assert!(plan.is_idle(), "seed {seed}: the plan waits without end: {plan:?}");
            let answer = if self.world.rng.u8(0..4) > 0 { Answer::Retry } else { Answer::Skip };
            return plan.on(self.now, Input::Answer(answer));
        };
        if until == Some(first) {
            assert!(first > self.now, "seed {seed}: the plan waits for a time in the past");
        }
        self.now = self.now.max(first);
        match due {
            Some((at, index)) if at <= self.now => self.advance(plan, index),
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

    /// Simulates the next step of a connection.
    fn advance(&mut self, plan: &mut Plan, index: usize) {
        let now = self.now;
        let connection = &mut self.connections[index];
        let worker = connection.worker;
        if !connection.accepted {
            connection.due = None;
            match connection.meeting.head.clone() {
                Ok(remote) => plan.on(now, Input::Opened { worker, remote: Box::new(remote) }),
                Err(error) => {
                    self.connections.remove(index);
                    plan.on(now, Input::Ended { worker, result: Err(error) });
                }
            }
            return;
        }
        let full = connection.end.is_some_and(|end| connection.at >= end);
        let rest = &connection.meeting.body[connection.arrived..];
        if full || rest.is_empty() {
            let result = if full { Ok(()) } else { connection.meeting.end.clone() };
            self.connections.remove(index);
            plan.on(now, Input::Ended { worker, result });
            // Late reports of this worker must not change the plan.
            let before = plan.bytes();
            plan.on(now, Input::Wrote { worker, upto: u64::MAX, fresh: true });
            assert_eq!(plan.bytes(), before, "seed {}", self.seed);
            return;
        }
        if connection.speed == 0 && connection.arrived > 0 {
            self.connections.remove(index);
            let silent = Error::new(ErrorKind::NetSilent, "sim", "");
            return plan.on(now, Input::Ended { worker, result: Err(silent) });
        }
        self.deliver(plan, index);
    }

    fn deliver(&mut self, plan: &mut Plan, index: usize) {
        let now = self.now;
        let connection = &mut self.connections[index];
        let worker = connection.worker;
        let rest = &connection.meeting.body[connection.arrived..];
        let most = match connection.speed {
            0 => self.world.rng.usize(1..2_000),
            speed => usize::try_from(speed / 4).expect("small").max(1).min(self.world.rng.usize(1..30_000)),
        };
        let mut bytes = rest[..most.min(rest.len())].to_vec();
        connection.arrived += bytes.len();
        let skipped = usize::try_from(connection.skip).expect("small").min(bytes.len());
        connection.skip -= skipped as u64;
        bytes.drain(..skipped);
        if let Some(end) = connection.end {
            bytes.truncate(usize::try_from(end - connection.at).expect("small"));
        }
        // A silent connection ends after the timeout.
        let pause = match connection.speed {
            0 => Duration::from_secs(30),
            speed => Duration::from_secs_f64((bytes.len() + skipped) as f64 / speed as f64),
        };
        connection.due = Some(now + pause.max(Duration::from_millis(1)));
        let (at, generation) = (connection.at, connection.generation);
        connection.at += bytes.len() as u64;
        let upto = connection.at;
        if bytes.is_empty() || generation != self.generation {
            return;
        }
        match self.write(at, &bytes) {
            Ok(fresh) => plan.on(now, Input::Wrote { worker, upto, fresh }),
            Err(error) => {
                self.connections.remove(index);
                plan.on(now, Input::Ended { worker, result: Err(error) });
            }
        }
    }
}
