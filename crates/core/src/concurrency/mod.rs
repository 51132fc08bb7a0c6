//! Decides how much of a host is used: how many connections it gets over all files, and how many files a
//! second.
//!
//! A [`Controller`] decides the number of connections. A [`Host`] combines it with a rate of requests and
//! with what is known of a host that bans. All of it is arithmetic: it reads no clock, and the time comes
//! with every call.
//!
//! # How the controller decides
//!
//! The controller has a **target**: the number of connections that it wants now. While exactly that many are
//! in use, it measures their **goodput**, the bytes a second that all of them bring together. A measurement
//! counts when it is long enough for the line ([`window`]) and when TCP's slow start is over. After each
//! measurement the controller is in one of five phases ([`Phase`](phase::Phase)):
//!
//! - `Ramp`: the first target is measured, which is 1, or 8 for a host that is far away. Then twice as many
//!   are tried.
//! - `TryMore`: the target was raised. It stays if it brought at least a twelfth of the ideal gain, and then
//!   even more are tried. Else the old target returns, and `Recheck` follows.
//! - `Recheck`: the old target is measured again, since the line may have changed meanwhile. The better one
//!   of the two is held.
//! - `TryFewer`: the target was lowered. It stays if it brings 95 % of what more brought. Else the old target
//!   returns. `Hold` follows.
//! - `Hold`: the target was the best one found. After 1 to 32 s another target is tried, or at once if the
//!   goodput fell below 85 %.
//!
//! The *ideal gain* is that twice the connections bring twice the bytes. Where a step brought nearly that,
//! each connection has a limit of its own, and the next step is four times as many.
//!
//! Steps down follow one another in one case: a far host began with 8 connections, and nothing is known of
//! fewer.
//!
//! # Bounds
//!
//! The target is never above the ceiling: the smaller one of what the user allows, what the host allowed
//! before it refused a connection, and what it stood before everything became slower. It is never below 1.
//!
//! Connections above the target are stopped only if one file has all of them. With several files, they end by
//! themselves.

mod backoff;
mod bans;
mod contract;
mod controller;
mod host;
mod phase;
mod requests;
#[cfg(test)]
mod tests;
mod window;

pub use contract::{Allowance, Observation, Step, StepReason};
pub use controller::{AUTO_MOST, Controller};
pub use host::{Host, Learned, Lost};
