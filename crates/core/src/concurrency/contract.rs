//! What a controller is told, what it answers, and how it says what it did.
//!
//! Invariant: nothing here computes.

use std::time::Duration;

/// What a plan may do about connections now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// So many more may be opened, by all bounds.
    pub most: usize,
    /// So many more are worth it, for a file that has one already; at most `most`.
    pub worth: usize,
    /// So many are too many, and to be stopped.
    pub surplus: usize,
    /// But none before this.
    pub not_before: Duration,
}

/// What a plan learns about the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// Bytes came, from a host that takes so long to bring the first one.
    Brought(u64, Duration),
    /// A connection brought enough bytes to be worth it.
    Works,
    /// A connection broke in the middle of its work, and the host asked for such a wait (or none): another may take its
    /// place, soon.
    Broke(Duration),
    /// A connection was refused, or brought next to nothing, and the host asked for such a wait (or none).
    Refused {
        /// No connection before this is over.
        wait: Duration,
        /// It is no accident.
        meant: bool,
    },
}

/// A change of the number of connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// From so many.
    pub from: usize,
    /// To so many.
    pub to: usize,
    /// Bytes a second, at the number before; 0 if that says nothing.
    pub goodput: f64,
    /// Why.
    pub why: Why,
}

/// Why the number of connections was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The host is far away: a single one would need seconds to be up to speed.
    Far,
    /// Twice as many are tried.
    Try,
    /// What was tried is better.
    Better,
    /// More brought too little.
    NoGain,
    /// Fewer are tried.
    Less,
    /// The host refuses more.
    Refused,
    /// With more, everything was slower.
    Collapse,
}
