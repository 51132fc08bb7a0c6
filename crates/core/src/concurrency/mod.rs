//! Decides how many connections are open to a host, for all files together, and how many files are requested
//! from the host in a second.
//!
//! A [`Controller`] decides the number of connections to a host, or the number of files that are downloaded
//! at the same time (the number of files at once). A [`Host`] combines a controller of connections with a
//! request rate and with the limits of hosts that refuse or ban clients. These types only calculate: no code
//! here reads a clock, and each function that needs the time gets it as an argument. All times are measured
//! from the start of the session.
//!
//! # How the controller decides
//!
//! The *line* is the network between this machine and the host. A host is *far away* if at least 10 ms pass
//! until the first byte of a response arrives, including the time to connect.
//!
//! The controller has a **target**: the number of connections that it wants now. While that many connections
//! are open, the controller measures their **goodput**: the bytes that all of them together receive in a
//! second. A measurement is used if it is long enough, compared with the time that the host needs for the
//! first byte of a response (`window.rs`). Most decisions also wait until TCP's slow start is over. The
//! controller is always in one of six phases (`phase.rs`):
//!
//! - `SlowStart`: the first connection to a host that is far away is in TCP's slow start. If this connection
//!   fills the line alone, `Hold` follows. Otherwise the target becomes 8, and `Ramp` follows.
//! - `Ramp`: the first target is measured. Usually, twice as many connections are tried next.
//! - `TryMore`: the target was raised. The new target stays if the goodput grew by at least 5 % of the ideal
//!   gain (explained below). Then even more connections are tried. If the target is at the ceiling (the
//!   highest target, see below), `Hold` follows instead. If the goodput grew by less than 5 % of the ideal
//!   gain, the old target returns, and `Recheck` follows.
//! - `Recheck`: the old target is measured again, since the network may have changed during the trial.
//!   Usually, `Hold` follows with the better one of the two targets.
//! - `TryFewer`: the target was lowered. The new target stays if its goodput is at least 95 % of the goodput
//!   before the first step down. If the goodput is lower, the old target returns. `Hold` usually follows in
//!   both cases.
//! - `Hold`: the target is the best one that was found. Another target is tried after 1 to 32 s, or earlier
//!   if the goodput of two measurements in a row is below 90 % of its value at the start of the hold.
//!
//! The gain of a step is *ideal* if twice as many connections have twice the goodput. If the gain of a step
//! is nearly ideal, each connection seems to have a speed limit of its own. From 8 connections on, the next
//! step then tries four times as many connections. At a far host, while the target is below 8, the next step
//! after a successful step also tries four times as many connections.
//!
//! The first connection to a far host is watched, because its slow start needs only about a third of a second
//! to fill a line that loses no packets. If further connections took over a part of its response, the first
//! connection would be closed before the end of the response. The further connections would need many round
//! trips to become as fast as the first one. The round trip that TCP measures shows if the line is full
//! (`queue.rs`). downhaul reads this round trip only on Linux. On other systems, 8 connections start a
//! tenth of a second after the first bytes. If the first byte needed 150 ms or more, 8 connections start at
//! once on every system.
//!
//! Steps down (trials of fewer connections) follow each other without a hold in two cases. In the first case,
//! the target for a far host was set to 8 without a comparison. In the second case, the target started at a
//! number of an earlier run, and the first measurement did not confirm this number. In both cases, smaller
//! targets were not measured yet. In these cases, a step down, and not a hold, also follows a `Recheck`. If a
//! step down lost goodput and there was no hold yet, more connections are tried next, even if an earlier
//! trial of more connections failed.
//!
//! The time from a request to its response shows if packets wait in a queue before the line (`queue.rs`). If
//! packets wait, the line is full. In the two cases above, the first trial at a far host then tries fewer
//! connections. If no packets wait, the line has room. The first trial at a far host then tries four times as
//! many connections. If the line has room when a hold ends, and the next hold is shorter than 5 s, that next
//! hold follows at once, instead of a trial of fewer connections. Such a trial closes connections, and new
//! connections would need many round trips to become as fast as the closed ones.
//!
//! # What an earlier run found
//!
//! A [`Level`] is a number of connections, or of files at once, that a run found to be the best, with its
//! goodput. If the number in the level of an earlier run is above the usual first target, the number becomes
//! the first target. The first measurement is then compared with the stored goodput. If the two goodputs
//! are about equal, the line has probably not changed, and a hold of 4 s follows. If they differ, or if no
//! goodput is stored, the search begins with steps up and down, as it does for a far host. A level of a near
//! host is not used if the host is far away now, and a level of a far host is not used if the host is near
//! now.
//!
//! # Bounds
//!
//! The target is never below 1 and never above the ceiling. For connections, the ceiling is the lowest of
//! these numbers:
//!
//! - the limit that the user set (at most 64);
//! - the number of connections that were open when the host refused one more connection;
//! - the number of connections above which the host bans the client;
//! - the number of connections above which the host refuses further files (`accepted.rs`);
//! - the number of connections above which the whole download became slower.
//!
//! Connections above the target are stopped only if all connections belong to one file. If there are several
//! files, a surplus connection is closed when the download of its file ends.

mod accepted;
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
pub use requests::RequestLimit;

/// The controller of the number of files counts a finished file as its size plus this many bytes. The goodput
/// that is stored for many files is counted in the same way. A common network transfers about this many bytes
/// in the time that a request takes. So small files count for more than their size.
pub const FILE_COUNTS: u64 = 16 * 1024;
