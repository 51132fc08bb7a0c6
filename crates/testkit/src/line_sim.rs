//! A simulated line to one host, to answer one question: how many connections should there be?
//!
//! It is a fluid model of TCP. Each connection has a congestion window (slow start from 10 segments, then
//! CUBIC), and all share a line of a fixed rate with a tail-drop queue of 100 ms. Bytes that are lost, by
//! chance or because the queue is full, cut windows. [`race`] fetches a file over it in segments, as the plan
//! assigns them, with a fixed number of connections or with as many as
//! [`Controller`](downhaul_core::concurrency::Controller) wants, which is told what the director would tell
//! it. It is seeded, and the same each time.
//!
//! Left out: retransmits hold nothing up, handshakes and requests are never lost, the receive window is open
//! from the start, HyStart, TLS, the plan's window and hedges, and the limits of disk and processor.

mod race;
mod tcp;

use downhaul_core::concurrency::Step;
use race::Race;

/// A race ends after so many seconds: the choice with more bytes by then was faster.
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
    /// How the host treats connections.
    pub host: Host,
}

/// What a host, or other traffic on the line, does to connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Host {
    /// Nothing.
    Plain,
    /// Each connection brings at most this share of the line.
    Caps(f64),
    /// With more than so many connections, each brings a quarter of what it would.
    Slows(usize),
    /// The host refuses more than so many connections.
    Refuses(usize),
    /// Half of the connections, by chance, bring at most a fiftieth of the line, the others at most a
    /// quarter.
    Lottery,
    /// So many downloads of other people go on all the time.
    Shared(usize),
    /// Every second or so, other traffic takes from nothing to half of the line.
    Bursts,
}

/// What decides the number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A fixed number, as soon as the first response is there.
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
    /// The changes of the controller's target.
    pub steps: Vec<Step>,
}

/// Fetches so many bytes over a line. Returns how that went.
pub fn race(line: Line, bytes: f64, choice: Choice, seed: u64) -> Raced {
    let mut race = Race::new(line, bytes, choice, seed);
    let step = (line.round_trip / 4.0).clamp(0.001, 0.01);
    let mut in_use = 0.0;
    // Rounding may hide half a byte.
    while race.got < bytes - 0.5 && race.now < LONGEST {
        race.stop_surplus();
        race.open_allowed();
        race.flow(step);
        race.now += step;
        in_use += race.connections.len() as f64 * step;
        race.report();
    }
    let steps = race.controller.steps().to_vec();
    Raced { goodput: race.got / race.now, connections: in_use / race.now, steps }
}
