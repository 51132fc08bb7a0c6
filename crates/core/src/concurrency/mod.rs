//! Decides how many connections a host gets over all files, and how many files are requested from it in a
//! second.
//!
//! A [`Controller`] decides the number of connections, or the number of files at once. A [`Host`] combines a
//! controller of connections with a request rate and with the limits of hosts that ban clients. These types
//! only calculate: no code here reads a clock, and each call that needs the time gets it as an argument.
//!
//! # How the controller decides
//!
//! The *line* is the network between this machine and the host. A host is *far away* if the first byte of a
//! response takes at least 10 ms, including the time to connect.
//!
//! The controller has a **target**: the number of connections that there should be now. While that many
//! connections are open, the controller measures their **goodput**: the bytes that all of them together
//! receive in a second. A measurement is used if it is long enough for the distance of the host
//! (`window.rs`). Most decisions also wait until TCP's slow start is over. The controller is always in one of
//! six phases (`phase.rs`):
//!
//! - `SlowStart`: the first connection to a host that is far away is in TCP's slow start. If this connection
//!   fills the line alone, `Hold` follows. Otherwise the target becomes 8, and `Ramp` follows.
//! - `Ramp`: the first target is measured. Then more connections are tried, usually twice as many.
//! - `TryMore`: the target was raised. The new target stays if the goodput grew by at least 5 % of the ideal
//!   gain. Then even more connections are tried, or `Hold` follows at the ceiling. If the goodput grew by
//!   less, the old target returns, and `Recheck` follows.
//! - `Recheck`: the old target is measured again, since the network may have changed meanwhile. `Hold`
//!   follows with the better one of the two targets.
//! - `TryFewer`: the target was lowered. The new target stays if its goodput is at least 95 % of the earlier
//!   goodput. If the goodput is lower, the old target returns. `Hold` usually follows in both cases.
//! - `Hold`: the target is the best one that was found. Another target is tried after 1 to 32 s, or earlier
//!   if the goodput of two measurements in a row is below 90 % of its value at the start of the hold.
//!
//! With the *ideal gain*, twice the connections have twice the goodput. If a step came close to the ideal
//! gain, each connection has a limit of its own. From 8 connections on, the next step then tries four times
//! as many. At a far host, while the target is below 8, the next step after a successful one also tries four
//! times as many.
//!
//! The first connection to a far host is watched, because its slow start fills a line that loses no packets
//! in about a third of a second. If further connections took over a part of its response, the first
//! connection would be closed, and the further ones would need many round trips to become as fast. The round
//! trip that TCP measures shows if the line is full (`queue.rs`). Only Linux reports this round trip to
//! programs. On other systems, 8 connections start a tenth of a second after the first bytes. If the first
//! byte needed 150 ms or more, 8 connections start at once.
//!
//! Steps down follow each other without a hold in two cases. In the first case, a far host started with 8
//! connections. In the second case, the target started at a number of an earlier run, and the first
//! measurement did not confirm this number. In both cases, smaller targets were not measured yet. These steps
//! follow after a `Recheck` too. If the first step down lost goodput and more connections were never tried,
//! more connections are tried next.
//!
//! The time from a request to its response shows if packets wait in a queue before the line (`queue.rs`). If
//! they do, the line is full. The first trial of a far host that started with 8 connections then tries fewer
//! connections. If no packets wait, the line has room. The first trial of a far host then tries four times as
//! many connections. If the line has room when a hold ends, and the next hold is shorter than 5 s, that next
//! hold follows at once, instead of a trial of fewer connections. Such a trial closes connections, and new
//! ones would need many round trips to become as fast as the closed ones.
//!
//! # What an earlier run found
//!
//! A [`Level`] is a number of connections that an earlier run found to be the best, with its goodput. If the
//! number is above the usual first target, it becomes the first target. The first measurement is then
//! compared with the stored goodput. If both are about the same, the line is the same, and a hold of 4 s
//! follows. If they differ, or if no goodput is stored, the search begins with steps up and down, as it does
//! for a far host. A level of a near host is not used if the host is far away now, and a level of a far host
//! is not used if the host is near now.
//!
//! # Bounds
//! The target is never below 1 and never above the ceiling. For connections, the ceiling is the lowest of
//! four numbers: the limit that the user set (at most 64), the number of connections that were open when the
//! host refused one more connection, the number of connections above which the host bans the client, and the
//! number of connections above which everything became slower.
//!
//! Connections above the target are stopped only if all connections belong to one file. If there are several
//! files, surplus connections end with their files.

mod backoff;
mod bans;
mod contract;
mod controller;
mod host;
mod learned;
mod phase;
mod queue;
mod requests;
#[cfg(test)]
mod tests;
mod window;

pub use contract::{Allowance, Observation, Step, StepReason};
pub use controller::{AUTO_MOST, Controller};
pub use host::{Host, Lost};
pub use learned::{Learned, Level, Spoke};

/// The controller of the number of files counts a finished file as its size plus this many bytes. The goodput
/// that is stored for many files is counted in the same way. A common network transfers about this many bytes
/// in the time that a request takes. So small files count for more than their size.
pub const FILE_COUNTS: u64 = 16 * 1024;
