//! One file that is fetched over the line: its connections, and their segments.
//!
//! Invariant: each byte is free (not requested yet), or is requested over one connection, or has arrived.

use super::tcp::{QUEUE, Tcp};
use super::{Choice, Host, Line};
use downhaul_core::concurrency::{AUTO_MOST, Controller, Observation};
use downhaul_core::plan::{
    SEGMENT_ROUND_TRIPS, SEGMENT_SECONDS, SHORTEST_SEGMENT, SPAN, Sizes, WORTH_SPLITTING, typical_rate,
};
use fastrand::Rng;
use std::time::Duration;

/// The time between two reports of a connection, in seconds. A connection also reports when a batch is full,
/// as the engine's workers do.
const REPORT_EVERY: f64 = 0.1;

/// The largest batch of a worker, in bytes.
const BATCH_MOST: f64 = 1024.0 * 1024.0;

/// The memory for the batches that are being filled, of all connections together, in bytes. This is a little
/// more than in the engine. There it is 9.6 MiB, a fifth of the 48 MiB for all batches, because one of the
/// five batches of each connection is being filled.
const BATCHES_TOGETHER: f64 = 12.0 * 1024.0 * 1024.0;

/// The sizes that the plan uses for files on a disk.
const SIZES: Sizes = Sizes::FILE;

/// The download of one file. All times are in seconds.
pub(super) struct Race {
    line: Line,
    choice: Choice,
    rng: Rng,
    pub(super) now: f64,
    pub(super) controller: Controller,
    pub(super) connections: Vec<Connection>,
    /// The idle connections. The second value is the time since which a connection is idle.
    idle: Vec<(Tcp, f64)>,
    /// Connections of other downloads on the line.
    others: Vec<Tcp>,
    /// The share of the line that other traffic uses, and the time when that traffic ends.
    burst: (f64, f64),
    /// The bytes in the queue.
    queue: f64,
    /// The bytes that were not requested yet.
    free: f64,
    /// The bytes that have arrived.
    pub(super) got: f64,
    /// The shortest time from a request to its first byte.
    latency: f64,
    /// The typical rate of one connection in bytes a second.
    typical: f64,
    /// True if the host is known to serve ranges.
    ranges_work: bool,
    /// The time before which no further connection is opened, because the host refused one.
    not_before: f64,
}

/// A connection and its segment.
pub(super) struct Connection {
    tcp: Tcp,
    /// The time of its request.
    requested: f64,
    /// The round trip at the time of its request. The controller gets it as the time from the request to the
    /// response.
    round_trip: f64,
    /// The time of its first byte.
    starts: f64,
    /// True if its first byte has arrived.
    begun: bool,
    /// True if the host refuses it.
    refused: bool,
    /// The bytes of its segment that have not arrived.
    left: f64,
    /// The recent rate in bytes a second.
    rate: f64,
    /// The bytes that arrived and were not reported yet.
    unreported: f64,
    /// The time of the last report.
    reported: f64,
    /// The bytes that have arrived since `marked`. The rate is measured with them when [`SPAN`] is over.
    span: f64,
    /// The time when the current span began.
    marked: f64,
}

impl Race {
    pub(super) fn new(line: Line, bytes: f64, choice: Choice, seed: u64) -> Race {
        let mut rng = Rng::with_seed(seed);
        let count = if let Host::Shared(count) = line.host { count } else { 0 };
        let others = (0..count).map(|_| Tcp::new(line, &mut rng)).collect();
        let (connections, idle, burst) = (Vec::new(), Vec::new(), (0.0, 0.0));
        let mut race = Race {
            line,
            choice,
            rng,
            now: 0.0,
            controller: Controller::new(AUTO_MOST),
            connections,
            idle,
            others,
            burst,
            queue: 0.0,
            free: bytes,
            got: 0.0,
            latency: f64::MAX,
            typical: 0.0,
            ranges_work: false,
            not_before: 0.0,
        };
        if let Choice::From(level) = choice {
            race.controller.start_at(level);
        }
        race.open(bytes);
        race
    }

    /// Opens the connections that are allowed, in the same way as a plan.
    pub(super) fn open_allowed(&mut self) {
        loop {
            let receiving = self.connections.iter().filter(|one| one.begun).count();
            let worth = match self.choice {
                // The length of a segment is known only when the rate of a connection is known.
                _ if self.typical == 0.0 || self.now < self.not_before => 0,
                Choice::Fixed(count) => count.saturating_sub(self.connections.len()),
                // The first response on a further connection shows if the host serves ranges. Until then, a
                // connection is opened only if no other connection waits for its response.
                _ if !self.ranges_work && self.connections.len() > receiving => 0,
                Choice::Auto | Choice::From(_) => {
                    let allowance = self.controller.allowance(AUTO_MOST, false);
                    if self.now < allowance.not_before.as_secs_f64() { 0 } else { allowance.worth }
                }
            };
            // A download without a connection always gets one.
            if worth == 0 && !self.connections.is_empty() {
                return;
            }
            let Some(bytes) = self.next_segment(self.connections.len() + worth.max(1)) else { return };
            self.open(bytes);
        }
    }

    /// Stops the slowest connections if there are more than the target, in the same way as a plan. A
    /// connection whose segment ends within `WORTH_SPLITTING` seconds counts as stopped.
    pub(super) fn stop_surplus(&mut self) {
        let surplus = if self.is_fixed() { 0 } else { self.controller.allowance(AUTO_MOST, false).surplus };
        let ends =
            self.connections.iter().filter(|one| one.begun && one.left <= one.rate * WORTH_SPLITTING).count();
        let surplus = surplus.saturating_sub(ends);
        for _ in 0..surplus {
            let speed = |one: &Connection| if one.begun { one.rate } else { -1.0 };
            let soon = |one: &Connection| one.rate * WORTH_SPLITTING;
            let all =
                self.connections.iter_mut().enumerate().filter(|(_, one)| !one.begun || one.left > soon(one));
            let Some((slowest, connection)) = all.min_by(|a, b| speed(a.1).total_cmp(&speed(b.1))) else {
                return;
            };
            if connection.begun {
                // The connection keeps the bytes that arrive within `WORTH_SPLITTING` seconds.
                self.free += connection.left - soon(connection);
                connection.left = soon(connection);
                continue;
            }
            self.free += self.connections.swap_remove(slowest).left;
            self.closed();
        }
    }

    fn is_fixed(&self) -> bool {
        matches!(self.choice, Choice::Fixed(_))
    }

    fn closed(&mut self) {
        self.controller.on_closed(self.connections.is_empty());
    }

    /// Returns how many bytes one more connection requests. `count` is the number of connections, including
    /// those that may be opened now. If no bytes are free, shortens the segment of another connection.
    /// Returns `None` if there is nothing to request.
    fn next_segment(&mut self, count: usize) -> Option<f64> {
        let (shortest, longest) = SEGMENT_SECONDS;
        let seconds = (self.latency * SEGMENT_ROUND_TRIPS).clamp(shortest, longest);
        let segment = (self.typical * seconds).max(SIZES.segment_least as f64);
        if self.free <= 0.0 {
            let seconds = |one: &Connection| one.left / one.rate.max(1.0);
            let receiving = self.connections.iter_mut().filter(|one| one.begun && one.left > 0.0);
            let victim = receiving.max_by(|a, b| seconds(a).total_cmp(&seconds(b)))?;
            // With this split, the two connections end at the same time.
            let fair = victim.left * victim.rate / (victim.rate + self.typical);
            let keep = if victim.left > 2.0 * segment { segment } else { fair };
            if victim.left - keep < SIZES.split_least as f64
                || seconds(victim) < 2.0 * self.latency + WORTH_SPLITTING
            {
                return None;
            }
            self.free = victim.left - keep;
            victim.left = keep;
        }
        Some(if count < 2 || self.free < 1.5 * segment { self.free } else { segment })
    }

    /// Opens a connection and requests this many bytes over it.
    fn open(&mut self, bytes: f64) {
        self.free -= bytes;
        let round_trip = self.round_trip();
        let (tcp, waits) = match self.idle.pop() {
            Some((tcp, since)) => (tcp.rested(self.now - since), round_trip),
            None => (Tcp::new(self.line, &mut self.rng), 2.0 * round_trip),
        };
        let served = self.connections.iter().filter(|one| !one.refused).count();
        let refused = matches!(self.line.host, Host::Refuses(most) if served >= most);
        let (requested, starts) = (self.now, self.now + waits);
        self.connections.push(Connection {
            tcp,
            requested,
            round_trip,
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
        self.controller.on_opened(self.connections.len() == 1);
    }

    /// Simulates `step` seconds.
    pub(super) fn flow(&mut self, step: f64) {
        let round_trip = self.round_trip();
        let slowed = match self.line.host {
            Host::Slows(above) if self.connections.len() > above => 0.25,
            _ => 1.0,
        };
        let mut sent = self.burst(step);
        for connection in &mut self.connections {
            let works = connection.begun && connection.left > 0.0;
            connection.tcp.send(self.now, round_trip, if works { step * slowed } else { 0.0 });
            sent += connection.tcp.sent;
        }
        for other in &mut self.others {
            other.send(self.now, round_trip, step);
            sent += other.sent;
        }
        // Some bytes arrive over the line, some wait in the queue, and bytes that do not fit into the queue
        // are dropped.
        let arrives = (self.queue + sent).min(self.line.rate * step);
        let waits = self.queue + sent - arrives;
        self.queue = waits.min(QUEUE * self.line.rate);
        let dropped = (waits - self.queue) / sent.max(1.0);
        // If connections send, the model treats the bytes in the queue as bytes of these connections.
        let share = if sent > 0.0 { arrives / sent } else { 0.0 };
        for connection in &mut self.connections {
            let came = (connection.tcp.sent * share).min(connection.left);
            connection.left -= came;
            connection.unreported += came;
            connection.span += came;
            self.got += came;
        }
        let now = self.now;
        let all = self.connections.iter_mut().map(|connection| &mut connection.tcp).chain(&mut self.others);
        for tcp in all.filter(|tcp| tcp.sent > 0.0) {
            tcp.acknowledged(now, round_trip, self.line.loss, dropped, share.min(1.0), &mut self.rng);
        }
    }

    /// Passes to the controller the same observations as the director, and ends the connections whose
    /// segments have arrived.
    pub(super) fn report(&mut self) {
        let batch = (BATCHES_TOGETHER / self.connections.len().max(1) as f64).min(BATCH_MOST);
        for index in (0..self.connections.len()).rev() {
            let connection = &self.connections[index];
            match connection.begun {
                false if self.now >= connection.starts => self.start(index),
                false => {}
                true => self.report_one(index, batch),
            }
        }
    }

    /// Begins the response of a connection, or closes the connection if the host refuses it.
    fn start(&mut self, index: usize) {
        if self.connections[index].refused {
            self.free += self.connections.swap_remove(index).left;
            self.not_before = self.now + 1.0;
            self.closed();
            let refused = Observation::Refused { wait: Duration::ZERO, deliberate: true };
            return self.controller.on(Duration::from_secs_f64(self.now), refused);
        }
        let connection = &mut self.connections[index];
        connection.begun = true;
        self.latency = self.latency.min(connection.starts - connection.requested);
        let waited = Duration::from_secs_f64(connection.round_trip);
        self.controller.on(Duration::from_secs_f64(self.now), Observation::Responded { waited });
        self.ranges_work |= self.connections.len() > 1;
    }

    /// Reports the new bytes of a connection, if a batch is full, the time for a report has come, or the
    /// segment has arrived.
    fn report_one(&mut self, index: usize, batch: f64) {
        let now = Duration::from_secs_f64(self.now);
        let connection = &mut self.connections[index];
        let (since, complete) = (self.now - connection.reported, connection.left <= 0.0);
        if !complete && since < REPORT_EVERY && connection.unreported < batch {
            return;
        }
        let bytes = std::mem::take(&mut connection.unreported);
        connection.reported = self.now;
        let span = self.now - connection.marked;
        if span >= SPAN.as_secs_f64() || (complete && span >= SHORTEST_SEGMENT.as_secs_f64()) {
            let rate = std::mem::take(&mut connection.span) / span;
            connection.marked = self.now;
            connection.rate = if connection.rate == 0.0 { rate } else { (connection.rate + rate) / 2.0 };
            self.typical = typical_rate(self.typical, rate);
        }
        if bytes > 0.0 {
            let took = Duration::from_secs_f64(self.round_trip());
            self.controller.on(now, Observation::RoundTrip { took });
            let latency = Duration::from_secs_f64(self.latency);
            self.controller.on(now, Observation::Progress { bytes: bytes as u64, latency });
            self.controller.on(now, Observation::Works);
        }
        if complete {
            let connection = self.connections.swap_remove(index);
            self.idle.push((connection.tcp, self.now));
            self.closed();
            // Free bytes are assigned again before the next report.
            self.open_allowed();
        }
    }

    /// Returns the bytes of other traffic in this step.
    fn burst(&mut self, step: f64) -> f64 {
        if self.line.host == Host::Bursts && self.now >= self.burst.1 {
            self.burst = (self.rng.f64() * 0.5, self.now + 0.5 + self.rng.f64());
        }
        self.burst.0 * self.line.rate * step
    }

    /// Returns the current round trip in seconds, including the time in the queue.
    fn round_trip(&self) -> f64 {
        self.line.round_trip + self.queue / self.line.rate
    }
}
