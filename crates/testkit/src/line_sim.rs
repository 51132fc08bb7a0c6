//! A simulated line to one host. It is used to test the code that decides the number of connections.
//!
//! The line is a fluid model of TCP. Each connection has a congestion window (slow start from 10 packets,
//! then CUBIC), and all connections share a line of a fixed rate with a tail-drop queue of 100 ms. If bytes
//! are lost, by chance or because the queue is full, windows become smaller. [`race`] fetches a file over
//! this line in segments, as the plan assigns them. The number of connections is fixed, or
//! [`Controller`](downhaul_core::concurrency::Controller) decides it from the same observations as in the
//! engine. Two runs with the same seed have the same result.
//!
//! The model is simplified. Retransmits cause no delay, handshakes and requests are never lost, and the
//! receive window is open from the start. There is no HyStart, no TLS and no hedge. The window of the plan,
//! the disk and the processor set no limits.

mod race;
mod tcp;

use downhaul_core::concurrency::{Level, Step};
use race::Race;

/// The longest race (one download over the line), in simulated seconds. A race stops after this time, and its
/// goodput is then that of the bytes that have arrived.
const LONGEST: f64 = 120.0;

/// A line, and how the host at its end treats connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// The rate of the line, in bytes a second.
    pub rate: f64,
    /// The round trip in seconds, while the queue is empty.
    pub round_trip: f64,
    /// The chance that a packet is lost, from 0 to 1.
    pub loss: f64,
    /// The way in which the host treats connections.
    pub host: Host,
}

/// How a host, or other traffic on the line, affects the connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Host {
    /// Connections are not affected.
    Plain,
    /// Each connection gets at most this share of the line.
    Caps(f64),
    /// If there are more connections than this, each of them sends at a quarter of its rate.
    Slows(usize),
    /// The host serves at most this number of connections, and refuses further ones.
    Refuses(usize),
    /// Chance decides for each connection if it gets at most a fiftieth or at most a quarter of the line.
    /// Both are equally likely.
    Lottery,
    /// This many other downloads use the line all the time.
    Shared(usize),
    /// Every second or so, other traffic takes a random share of up to half of the line.
    Bursts,
}

/// The way in which the number of connections is decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// This number of connections. The download has one connection until the rate of this connection is
    /// known.
    Fixed(usize),
    /// The number that the controller decides.
    Auto,
    /// The number that the controller decides. The controller starts at the number that an earlier run found.
    From(Level),
}

/// The result of a race.
#[derive(Debug, Clone)]
pub struct Raced {
    /// The average goodput in bytes a second, from the first handshake to the last byte. If the race takes
    /// longer than 120 simulated seconds, it is the average over this time.
    pub goodput: f64,
    /// The average number of connections in use.
    pub connections: f64,
    /// The changes of the controller's target.
    pub steps: Vec<Step>,
    /// The best number of connections that the controller found.
    pub best: Option<Level>,
}

/// Fetches this many bytes over a line. Returns the result.
pub fn race(line: Line, bytes: f64, choice: Choice, seed: u64) -> Raced {
    let mut race = Race::new(line, bytes, choice, seed);
    let step = (line.round_trip / 4.0).clamp(0.001, 0.01);
    let mut in_use = 0.0;
    // The sum may be up to half a byte too small because of rounding.
    while race.got < bytes - 0.5 && race.now < LONGEST {
        race.stop_surplus();
        race.open_allowed();
        race.flow(step);
        race.now += step;
        in_use += race.connections.len() as f64 * step;
        race.report();
    }
    let steps = race.controller.steps().to_vec();
    let best = race.controller.best();
    Raced { goodput: race.got / race.now, connections: in_use / race.now, steps, best }
}
