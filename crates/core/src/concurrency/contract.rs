//! The inputs and outputs of a controller, and the steps that it records.
//!
//! Invariant: this file has types only, and no logic.

use std::time::Duration;

/// The number of connections that a plan may open now, and the number that it must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The number of connections that may be opened before a limit is reached.
    pub most: usize,
    /// The number of further connections that would help a file that has a connection already. It is at most
    /// `most`.
    pub worth: usize,
    /// True if one connection may be opened to replace a connection that receives no bytes, even if `worth`
    /// is 0.
    pub replaces: bool,
    /// The number of connections to stop because there are too many.
    pub surplus: usize,
    /// No connection may be opened before this time.
    pub not_before: Duration,
}

/// Something that a plan observed at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// Bytes arrived.
    Progress {
        /// The number of bytes.
        bytes: u64,
        /// The shortest time that passed so far between a request for the file and its response, including
        /// the time to connect.
        latency: Duration,
    },
    /// A response arrived.
    Responded {
        /// The time from the request to the response, without the time to connect.
        waited: Duration,
    },
    /// TCP measured the round trip of a connection while bytes arrived.
    RoundTrip {
        /// The time of the round trip. It includes the time that packets waited in queues.
        took: Duration,
    },
    /// A connection received enough bytes to be useful.
    Works,
    /// A connection ended early. This does not show that there are too many connections, so a new connection
    /// may be opened soon.
    Broken {
        /// The wait that the host asked for, or zero.
        wait: Duration,
    },
    /// A connection was refused, or received almost no bytes.
    Refused {
        /// The wait that the host asked for, or zero.
        wait: Duration,
        /// True if the host refused the connection on purpose. Otherwise the network may be the reason.
        deliberate: bool,
    },
}

/// A change of the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The time of the change.
    pub at: Duration,
    /// The target before the change.
    pub from: usize,
    /// The target after the change.
    pub to: usize,
    /// The goodput that was measured before the change, in bytes a second. It is 0 if it was not measured.
    pub goodput: f64,
    /// The reason for the change.
    pub why: StepReason,
}

/// The reason for a change of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepReason {
    /// The host is far away, and one connection would need a long time to reach its full speed, or does not
    /// fill the line.
    FarHost,
    /// An earlier run found this number to be the best.
    Remembered,
    /// As many files have arrived as were allowed at once, so up to twice as many are allowed now.
    Arrived,
    /// More connections are tried.
    TryMore,
    /// Two targets were compared, and the target changes back to the better one.
    Better,
    /// More connections increased the goodput too little.
    NoGain,
    /// Fewer connections are tried.
    TryFewer,
    /// The host refused more connections, or banned the client, so the ceiling fell below the target.
    Refused,
    /// With more connections, the goodput was less than half of the goodput with fewer connections. The
    /// target does not change in this step.
    Collapse,
}
