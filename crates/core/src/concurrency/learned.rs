//! The facts that a run learned about a host: its limits, and the numbers with which later runs start.
//!
//! Invariant: these values may be stored, so they contain only numbers and fixed words, no path and no name.

use serde::{Deserialize, Serialize};

/// A measured goodput confirms the stored goodput if it is at least the stored goodput times the first
/// number, and at most the stored goodput times the second number. On a shared line, the goodput of two runs
/// differs by a fifth to a third. Between lines of different kinds, the difference is larger.
const CONFIRMED: (f64, f64) = (0.7, 1.5);

/// If the level of this run differs from the stored level only in its goodput, and by at most this share of
/// the stored goodput, the new level is not stored. Without this rule, each run would write `hosts.json`.
const SIMILAR: f64 = 0.25;

/// The limits of a host, and the numbers that were best. A later run starts with all of these values, except
/// for `refused`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Learned {
    /// The highest number of connections that the host accepts.
    pub connections: Option<usize>,
    /// The highest number of files that the host serves in a second.
    pub requests: Option<f64>,
    /// True if the host refused files in this run because it got too many requests. This field is not stored.
    pub refused: bool,
    /// The number of connections that was best for large files.
    pub best: Option<Level>,
    /// The number of files downloaded at once that was best for a list of files.
    pub files: Option<Level>,
    /// The HTTP version with which the last list of small files with https URLs was downloaded.
    pub http: Option<Spoke>,
}

/// A number of connections, or of files downloaded at once. A run compared this number with others and found
/// it to be the best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// The number of connections, or of files downloaded at once.
    pub number: usize,
    /// The goodput with this number, in bytes a second. It is `None` if the run ended before its comparison
    /// of numbers was complete. Another number may then be better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput: Option<f64>,
    /// True if the host was far away. A number that was found for a near host says nothing about a far host.
    pub far: bool,
}

/// An HTTP version that a host spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spoke {
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "2")]
    Http2,
}

impl Level {
    /// Returns true if the number is at least 1, and if the goodput is a positive number or is not known.
    pub fn is_valid(&self) -> bool {
        self.number > 0 && self.goodput.is_none_or(|goodput| goodput > 0.0 && goodput.is_finite())
    }

    /// Returns true if `goodput` is about the same as the goodput of this level ([`CONFIRMED`]), so that the
    /// line is probably the same as when the level was found.
    pub(super) fn is_confirmed_by(&self, goodput: f64) -> bool {
        self.goodput.is_some_and(|then| goodput >= then * CONFIRMED.0 && goodput <= then * CONFIRMED.1)
    }

    /// Returns true if `other` is so similar to this stored level that `other` does not have to be stored.
    pub(crate) fn is_similar(&self, other: &Level) -> bool {
        let is_near = match (self.goodput, other.goodput) {
            (Some(one), Some(other)) => (one - other).abs() <= one * SIMILAR,
            (one, other) => one == other,
        };
        is_near && (self.number, self.far) == (other.number, other.far)
    }
}
