//! A simulated line to one host, for one question: how many connections should there be?
//!
//! A fluid model of TCP: each connection has a congestion window (slow start from 10 segments, then CUBIC), and they share
//! a line of a rate, with a tail-drop queue of 100 ms. What is lost, by chance or because the queue is full, cuts windows.
//! [`race`] fetches a file over it, in pieces as the plan hands them out, with a fixed number of connections or with as many
//! as [`Controller`] says, which is told what the director would tell it. Seeded, and the same each time.
//!
//! Left out: retransmits hold nothing up, handshakes and requests are never lost, the receive window is open from the
//! start, HyStart, TLS, the plan's window and hedges, and what disk and processor can do.

use downhaul_core::concurrency::{Controller, Observation, Step};
use fastrand::Rng;
use std::time::Duration;

/// Bytes that a packet carries: Ethernet's.
const SEGMENT: f64 = 1460.0;

/// The first congestion window (RFC 6928), in segments.
const FIRST_WINDOW: f64 = 10.0;

/// The largest receive window that Linux gives on its own (`tcp_rmem`), in segments.
const RECEIVE_WINDOW: f64 = 6.0 * 1024.0 * 1024.0 / SEGMENT;

/// CUBIC's constants (RFC 9438): how fast it grows, and what a loss leaves of a window.
const CUBIC: (f64, f64) = (0.4, 0.7);

/// A loss in a window that is too small for three duplicate acknowledgements is found out by a timeout: no shorter than
/// this, in seconds.
const TIMEOUT: f64 = 0.2;

/// The queue in front of the line, in seconds of its rate.
const QUEUE: f64 = 0.1;

/// The plan's: a piece is at least this, or so many round trips, but no longer than so many seconds.
const PIECE: (f64, f64, f64) = (1048576.0, 20.0, 1.5);

/// The plan's: what is left of a piece is shared if that gives at least so many bytes to the other one, and takes two round
/// trips and so many seconds.
const SPLIT: (f64, f64) = (65536.0, 0.25);

/// The plan's: a speed is measured over at least this, or over a task of at least this, in seconds.
const SPAN: (f64, f64) = (0.1, 0.005);

/// The engine's: a connection reports ten times a second, or when a batch is full, which share 12 MiB.
const REPORT: (f64, f64) = (0.1, 12.0 * 1024.0 * 1024.0);

/// Beyond so many seconds a race is over: whoever has more bytes by then was faster.
const LONGEST: f64 = 120.0;

/// A line, and how the host at its end treats connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Bytes a second.
    pub rate: f64,
    /// Seconds there and back, while the queue is empty.
    pub round_trip: f64,
    /// The chance of a packet to be lost on the way.
    pub loss: f64,
    /// What else is to be known.
    pub host: Host,
}

/// What a host, or who else uses the line, does to connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Host {
    /// Nothing.
    Plain,
    /// None brings more than this share of the line.
    Caps(f64),
    /// With more than so many, all bring a quarter.
    Slows(usize),
    /// No more than so many.
    Refuses(usize),
    /// Half of the connections, by chance, bring at most a fiftieth of the line, the others a quarter.
    Lottery,
    /// So many downloads of other people go on all the time.
    Shared(usize),
    /// Every second or so, other traffic takes from nothing to half of the line.
    Bursts,
}

/// Who says how many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// So many, as soon as the first reply is there.
    Fixed(usize),
    /// [`Controller`].
    Auto,
}

/// How a race went.
#[derive(Debug, Clone)]
pub struct Raced {
    /// Bytes a second, from the first handshake to the last byte.
    pub goodput: f64,
    /// Connections in use, on average over the time.
    pub connections: f64,
    /// What the controller did.
    pub steps: Vec<Step>,
}

/// Fetches so many bytes.
pub fn race(line: Line, bytes: f64, choice: Choice, seed: u64) -> Raced {
    let mut race = Race::new(line, bytes, choice, seed);
    let step = (line.round_trip / 4.0).clamp(0.001, 0.01);
    let mut in_use = 0.0;
    // Half a byte is what rounding may hide.
    while race.got < bytes - 0.5 && race.now < LONGEST {
        race.stop_some();
        race.staff();
        race.flow(step);
        race.now += step;
        in_use += race.tasks.len() as f64 * step;
        race.report();
    }
    let steps = race.pace.steps().to_vec();
    Raced { goodput: race.got / race.now, connections: in_use / race.now, steps }
}

struct Race {
    line: Line,
    choice: Choice,
    rng: Rng,
    now: f64,
    pace: Controller,
    tasks: Vec<Task>,
    /// Connections that nobody uses, and since when.
    idle: Vec<(Tcp, f64)>,
    others: Vec<Tcp>,
    /// What other traffic takes of the line, and until when.
    burst: (f64, f64),
    /// Bytes in the queue.
    queue: f64,
    /// Bytes that are nobody's task, and that came.
    free: f64,
    got: f64,
    /// The shortest time from a request to its first byte.
    latency: f64,
    /// Bytes a second of one connection.
    typical: f64,
    parts_work: bool,
    /// A fixed number of connections that was refused tries again then.
    not_before: f64,
}

/// A connection and what it was asked for.
struct Task {
    tcp: Tcp,
    asked: f64,
    /// Its first byte comes then; until it is there, nothing does.
    starts: f64,
    begun: bool,
    refused: bool,
    left: f64,
    /// Bytes a second, lately.
    rate: f64,
    /// Bytes that were not reported, and since when.
    unreported: f64,
    reported: f64,
    /// Bytes of the span whose speed is being measured, and when it began.
    span: f64,
    marked: f64,
}

impl Race {
    fn new(line: Line, bytes: f64, choice: Choice, seed: u64) -> Race {
        let mut rng = Rng::with_seed(seed);
        let count = if let Host::Shared(count) = line.host { count } else { 0 };
        let others = (0..count).map(|_| Tcp::new(line, &mut rng)).collect();
        let (pace, typical) = (Controller::new(64), 0.0);
        let (tasks, idle, burst) = (Vec::new(), Vec::new(), (0.0, 0.0));
        let mut race = Race {
            line,
            choice,
            rng,
            now: 0.0,
            pace,
            tasks,
            idle,
            others,
            burst,
            queue: 0.0,
            free: bytes,
            got: 0.0,
            latency: f64::MAX,
            typical,
            parts_work: false,
            not_before: 0.0,
        };
        race.open(bytes);
        race
    }

    /// Opens connections, as the plan would.
    fn staff(&mut self) {
        loop {
            let receiving = self.tasks.iter().filter(|one| one.begun).count();
            let worth = match self.choice {
                // Until it is known what one brings, nobody can tell how large a piece is.
                _ if self.typical == 0.0 || self.now < self.not_before => 0,
                Choice::Fixed(lanes) => lanes.saturating_sub(self.tasks.len()),
                // One finds out whether parts are to be had before many ask for them.
                Choice::Auto if !self.parts_work && self.tasks.len() > receiving => 0,
                Choice::Auto => {
                    let room = self.pace.allowance(64, false);
                    if self.now < room.not_before.as_secs_f64() { 0 } else { room.worth }
                }
            };
            // A file that has no connection gets one in any case.
            if worth == 0 && !self.tasks.is_empty() {
                return;
            }
            let Some(bytes) = self.work(self.tasks.len() + worth.max(1)) else { return };
            self.open(bytes);
        }
    }

    /// Takes connections off their tasks that are too many, as the plan would: the slowest. Who is about to end counts already.
    fn stop_some(&mut self) {
        let surplus = if self.choice == Choice::Auto { self.pace.allowance(64, false).surplus } else { 0 };
        let ends = self.tasks.iter().filter(|one| one.begun && one.left <= one.rate * SPLIT.1).count();
        let surplus = surplus.saturating_sub(ends);
        for _ in 0..surplus {
            let speed = |one: &Task| if one.begun { one.rate } else { -1.0 };
            let soon = |one: &Task| one.rate * SPLIT.1;
            let all = self.tasks.iter_mut().enumerate().filter(|(_, one)| !one.begun || one.left > soon(one));
            let Some((slowest, task)) = all.min_by(|a, b| speed(a.1).total_cmp(&speed(b.1))) else { return };
            if task.begun {
                // What is on its way comes.
                self.free += task.left - soon(task);
                task.left = soon(task);
                continue;
            }
            self.free += self.tasks.swap_remove(slowest).left;
            self.closed();
        }
    }

    fn closed(&mut self) {
        self.pace.on_closed(self.tasks.is_empty());
    }

    /// What one more connection could fetch, with so many in all.
    fn work(&mut self, lanes: usize) -> Option<f64> {
        let seconds = (self.latency * PIECE.1).min(PIECE.2);
        let piece = (self.typical * seconds).max(PIECE.0);
        if self.free <= 0.0 {
            let seconds = |one: &Task| one.left / one.rate.max(1.0);
            let receiving = self.tasks.iter_mut().filter(|one| one.begun && one.left > 0.0);
            let victim = receiving.max_by(|a, b| seconds(a).total_cmp(&seconds(b)))?;
            // Both are through at the same time.
            let fair = victim.left * victim.rate / (victim.rate + self.typical);
            let keep = if victim.left > 2.0 * piece { piece } else { fair };
            if victim.left - keep < SPLIT.0 || seconds(victim) < 2.0 * self.latency + SPLIT.1 {
                return None;
            }
            self.free = victim.left - keep;
            victim.left = keep;
        }
        Some(if lanes < 2 || self.free < 1.5 * piece { self.free } else { piece })
    }

    fn open(&mut self, bytes: f64) {
        self.free -= bytes;
        let round_trip = self.round_trip();
        let (tcp, waits) = match self.idle.pop() {
            Some((tcp, since)) => (tcp.rested(self.now - since), round_trip),
            None => (Tcp::new(self.line, &mut self.rng), 2.0 * round_trip),
        };
        let served = self.tasks.iter().filter(|one| !one.refused).count();
        let refused = matches!(self.line.host, Host::Refuses(most) if served >= most);
        let (asked, starts) = (self.now, self.now + waits);
        self.tasks.push(Task {
            tcp,
            asked,
            starts,
            begun: false,
            refused,
            left: bytes,
            rate: self.typical,
            unreported: 0.0,
            reported: starts,
            span: 0.0,
            marked: starts,
        });
        self.pace.on_opened(self.tasks.len() == 1);
    }

    /// Lets time pass.
    fn flow(&mut self, step: f64) {
        let round_trip = self.round_trip();
        let slowed = match self.line.host {
            Host::Slows(above) if self.tasks.len() > above => 0.25,
            _ => 1.0,
        };
        let mut sent = self.burst(step);
        for task in &mut self.tasks {
            let works = task.begun && task.left > 0.0;
            task.tcp.send(self.now, round_trip, if works { step * slowed } else { 0.0 });
            sent += task.tcp.sent;
        }
        for other in &mut self.others {
            other.send(self.now, round_trip, step);
            sent += other.sent;
        }
        // What the line takes along, what waits, and what does not fit any more.
        let arrives = (self.queue + sent).min(self.line.rate * step);
        let waits = self.queue + sent - arrives;
        self.queue = waits.min(QUEUE * self.line.rate);
        let dropped = (waits - self.queue) / sent.max(1.0);
        // As long as somebody sends, the queue is taken to be theirs.
        let share = if sent > 0.0 { arrives / sent } else { 0.0 };
        for task in &mut self.tasks {
            let came = (task.tcp.sent * share).min(task.left);
            task.left -= came;
            task.unreported += came;
            task.span += came;
            self.got += came;
        }
        let now = self.now;
        let all = self.tasks.iter_mut().map(|task| &mut task.tcp).chain(&mut self.others);
        for tcp in all.filter(|tcp| tcp.sent > 0.0) {
            tcp.acknowledged(now, round_trip, self.line.loss, dropped, share.min(1.0), &mut self.rng);
        }
    }

    /// Tells the controller what the director would, and takes connections off what they are through with.
    fn report(&mut self) {
        let now = Duration::from_secs_f64(self.now);
        let batch = (REPORT.1 / self.tasks.len().max(1) as f64).min(PIECE.0);
        for index in (0..self.tasks.len()).rev() {
            let task = &mut self.tasks[index];
            if !task.begun && self.now >= task.starts {
                if task.refused {
                    let task = self.tasks.swap_remove(index);
                    self.free += task.left;
                    self.not_before = self.now + 1.0;
                    self.closed();
                    self.pace.on(now, Observation::Refused { wait: Duration::ZERO, deliberate: true });
                    continue;
                }
                task.begun = true;
                self.latency = self.latency.min(task.starts - task.asked);
                self.parts_work |= self.tasks.len() > 1;
                continue;
            }
            let (since, through) = (self.now - task.reported, task.left <= 0.0);
            if !task.begun || (!through && since < REPORT.0 && task.unreported < batch) {
                continue;
            }
            let bytes = std::mem::take(&mut task.unreported);
            task.reported = self.now;
            let span = self.now - task.marked;
            if span >= SPAN.0 || (through && span >= SPAN.1) {
                let rate = std::mem::take(&mut task.span) / span;
                task.marked = self.now;
                task.rate = if task.rate == 0.0 { rate } else { (task.rate + rate) / 2.0 };
                self.typical = if self.typical == 0.0 { rate } else { 0.8 * self.typical + 0.2 * rate };
            }
            if bytes > 0.0 {
                self.pace.on(
                    now,
                    Observation::Progress {
                        bytes: bytes as u64,
                        latency: Duration::from_secs_f64(self.latency),
                    },
                );
                self.pace.on(now, Observation::Works);
            }
            if through {
                let task = self.tasks.swap_remove(index);
                self.idle.push((task.tcp, self.now));
                self.closed();
                // What is free is given out again before anything else is heard.
                self.staff();
            }
        }
    }

    /// Bytes of other traffic.
    fn burst(&mut self, step: f64) -> f64 {
        if self.line.host == Host::Bursts && self.now >= self.burst.1 {
            self.burst = (self.rng.f64() * 0.5, self.now + 0.5 + self.rng.f64());
        }
        self.burst.0 * self.line.rate * step
    }

    fn round_trip(&self) -> f64 {
        self.line.round_trip + self.queue / self.line.rate
    }
}

/// One connection's congestion control. Windows are in segments.
struct Tcp {
    window: f64,
    /// Slow start ends there.
    threshold: f64,
    /// The window at the last loss, when that was, and when CUBIC is back at it.
    before: f64,
    lost_at: f64,
    back: f64,
    /// Packets until the next one is lost by chance.
    until_loss: f64,
    /// A timeout is waited for.
    silent: f64,
    /// Losses before this belong to the last one.
    recovers: f64,
    /// Bytes a second, by the host's will.
    cap: f64,
    /// Bytes in this step.
    sent: f64,
}

impl Tcp {
    fn new(line: Line, rng: &mut Rng) -> Tcp {
        let cap = match line.host {
            Host::Caps(share) => share * line.rate,
            Host::Lottery if rng.bool() => line.rate / 50.0,
            Host::Lottery => line.rate / 4.0,
            _ => f64::MAX,
        };
        Tcp {
            window: FIRST_WINDOW,
            threshold: f64::MAX,
            before: 0.0,
            lost_at: 0.0,
            back: 0.0,
            until_loss: packets_until_loss(line.loss, rng),
            silent: 0.0,
            recovers: 0.0,
            cap,
            sent: 0.0,
        }
    }

    /// A window is not kept over a pause (RFC 5681): a connection that rested for longer than a timeout begins anew.
    fn rested(mut self, time: f64) -> Tcp {
        if time > 1.0 {
            self.threshold = self.threshold.min(self.window * 0.75);
            self.window = FIRST_WINDOW;
        }
        self
    }

    fn send(&mut self, now: f64, round_trip: f64, step: f64) {
        let rate = (self.window.min(RECEIVE_WINDOW) * SEGMENT / round_trip).min(self.cap);
        self.sent = if now < self.silent { 0.0 } else { rate * step };
    }

    /// What was sent is acknowledged, or lost: a share `dropped` because the queue was full, the rest by chance.
    fn acknowledged(
        &mut self,
        now: f64,
        round_trip: f64,
        loss: f64,
        dropped: f64,
        share: f64,
        rng: &mut Rng,
    ) {
        let packets = self.sent * share / SEGMENT;
        self.until_loss -= packets;
        let by_chance = self.until_loss <= 0.0;
        if by_chance {
            self.until_loss = packets_until_loss(loss, rng);
        }
        let lost = by_chance || (dropped > 0.0 && rng.f64() > (1.0 - dropped).powf(packets));
        if lost && now >= self.recovers {
            self.lose(now, round_trip);
        } else if self.window < self.threshold {
            self.window = (self.window + packets).min(self.threshold);
        } else {
            self.grow(now, round_trip);
        }
        self.window = self.window.min(RECEIVE_WINDOW * 2.0);
    }

    fn lose(&mut self, now: f64, round_trip: f64) {
        let (growth, kept) = CUBIC;
        let window = self.window.min(RECEIVE_WINDOW);
        // Fast convergence: who loses below where it lost before leaves room.
        self.before = if window < self.before { window * (1.0 + kept) / 2.0 } else { window };
        self.threshold = (window * kept).max(2.0);
        self.recovers = now + round_trip;
        self.window = self.threshold;
        if window < 4.0 {
            self.silent = now + TIMEOUT.max(2.0 * round_trip);
            self.window = 1.0;
        }
        self.lost_at = now;
        self.back = ((self.before - self.threshold).max(0.0) / growth).cbrt();
    }

    fn grow(&mut self, now: f64, round_trip: f64) {
        let since = now - self.lost_at;
        let cubic = CUBIC.0 * (since - self.back).powi(3) + self.before;
        let reno = self.threshold + 0.53 * since / round_trip;
        // No faster than half of it in a round trip.
        let fastest = self.window * (1.0 + 0.5 * (self.sent / SEGMENT / self.window).min(1.0));
        self.window = cubic.max(reno).clamp(self.window, fastest);
    }
}

fn packets_until_loss(loss: f64, rng: &mut Rng) -> f64 {
    if loss > 0.0 { -(1.0 - rng.f64()).ln() / loss } else { f64::MAX }
}
