//! What a controller is told, what it answers, and the steps that it took.
//!
//! Invariant: nothing here computes.

use std::time::Duration;

/// The answer of a controller: what a plan may do about connections now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The number of connections that may be opened, by all bounds.
    pub most: usize,
    /// The number of further connections that are worth it for a file that has one already; at most `most`.
    pub worth: usize,
    /// The number of connections to stop, since there are too many.
    pub surplus: usize,
    /// No connection may be opened before this time.
    pub not_before: Duration,
}

/// What a plan observed at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// Bytes came.
    Progress {
        /// Their number.
        bytes: u64,
        /// How long the host takes to bring the first byte of a response.
        latency: Duration,
    },
    /// A connection brought enough bytes to be worth it.
    Works,
    /// A connection ended early, which says nothing about the number of connections. Another one may take its
    /// place soon.
    Broken {
        /// The wait that the host asked for, or zero.
        wait: Duration,
    },
    /// A connection was refused, or brought next to nothing.
    Refused {
        /// The wait that the host asked for, or zero.
        wait: Duration,
        /// The host said so. Otherwise it may be an accident on the way.
        deliberate: bool,
    },
}

/// A change of the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// The target before.
    pub from: usize,
    /// The target after.
    pub to: usize,
    /// Bytes a second at the target before; 0 if none were measured.
    pub goodput: f64,
    /// Why.
    pub why: StepReason,
}

/// Why the target was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepReason {
    /// The host is far away: a single connection would need seconds to be up to speed.
    FarHost,
    /// More connections are tried.
    TryMore,
    /// The target before the trial was better.
    Better,
    /// More connections brought too little.
    NoGain,
    /// Fewer connections are tried.
    TryFewer,
    /// The host refuses more connections.
    Refused,
    /// With more connections, everything was slower.
    Collapse,
}
