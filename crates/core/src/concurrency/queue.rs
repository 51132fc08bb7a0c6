//! Finds out if packets wait in a queue before the line. If they do, the line is full, and more connections
//! can only take a share from other downloads.
//!
//! A response arrives a round trip after its request. If packets wait in a queue, a round trip takes longer.
//! So the time from a request to its response shows if there is a queue.
//!
//! Invariant: the number of connections is not decided here.

use std::collections::VecDeque;
use std::time::Duration;

/// A response has waited in the queue if it took longer than the quickest response: by more than this share
/// of the quickest time, and by more than [`LONGER_BY`]. With a share of a quarter, lines that are shared
/// with other downloads count as full too often, and the simulated downloads over these lines are slower.
const LONGER: f64 = 0.5;

/// The shortest delay that counts as a wait in the queue. Servers themselves need some milliseconds more for
/// some responses. On most lines, a full queue delays packets by 20 ms or more.
const LONGER_BY: Duration = Duration::from_millis(20);

/// The weight of the newest response in [`Queue::waiting`].
const NEWEST: f64 = 0.5;

/// The line is full if the share of the recent responses that waited is above the first number. The line has
/// room if this share is below the second number. So one response that waited shows a full line, and four
/// responses in a row that did not wait always show that there is room.
const FULL_AND_ROOM: (f64, f64) = (0.3, 0.1);

/// Packets wait in the queue if the recent round trips are longer than the shortest round trip by more than
/// this share of the shortest one, and by more than [`GROWN_BY`]. TCP measures round trips without the time
/// that a server needs, so this share is smaller than [`LONGER`]. On an emulated line with a round trip of
/// 40 ms, round trips are longer by this share a tenth of a second after a connection fills the line.
const GROWN: f64 = 0.1;

/// Smaller increases of the round trip are ignored. TCP measures round trips with a resolution of about a
/// millisecond, and a scheduler delays single packets by some milliseconds.
const GROWN_BY: Duration = Duration::from_millis(5);

/// The shortest of this many recent round trips is used. While a server pauses between bytes, single round
/// trips seem longer, because they include the pause.
const RECENT: usize = 3;

/// The queue before the line to a host.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The shortest time from a request to its response.
    least: Option<Duration>,
    /// The recent round trips, the oldest one first.
    recent: VecDeque<Duration>,
    /// The shortest round trip.
    shortest: Option<Duration>,
    /// The share of the recent responses that waited in the queue, from 0 to 1.
    waiting: f64,
}

impl Queue {
    /// Records that a response arrived `waited` after its request.
    pub(super) fn on_response(&mut self, waited: Duration) {
        let least = self.least.map_or(waited, |least| least.min(waited));
        self.least = Some(least);
        let is_late = waited > least + least.mul_f64(LONGER).max(LONGER_BY);
        self.waiting += NEWEST * (f64::from(is_late) - self.waiting);
    }

    /// Records a round trip that TCP measured.
    pub(super) fn on_round_trip(&mut self, took: Duration) {
        self.shortest = Some(self.shortest.map_or(took, |shortest| shortest.min(took)));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
    }

    /// Returns the shortest round trip, if TCP measured one.
    pub(super) fn shortest_round_trip(&self) -> Option<Duration> {
        self.shortest
    }

    /// Returns true if the recent round trips are clearly longer ([`GROWN`]) than the shortest one.
    pub(super) fn has_grown(&self) -> bool {
        let recent = self.recent.iter().min();
        recent
            .zip(self.shortest)
            .is_some_and(|(&recent, shortest)| recent > shortest + shortest.mul_f64(GROWN).max(GROWN_BY))
    }

    /// Returns true if the recent responses show that the line is full.
    pub(super) fn is_full(&self) -> bool {
        self.waiting > FULL_AND_ROOM.0
    }

    /// Returns true if the recent responses show that the line has room. Returns false before the first
    /// response.
    pub(super) fn has_room(&self) -> bool {
        self.least.is_some() && self.waiting < FULL_AND_ROOM.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether the line is full, and whether it has room, after responses that took this many
    /// milliseconds.
    fn after(times: &[u64]) -> (bool, bool) {
        let mut queue = Queue::default();
        times.iter().for_each(|&time| queue.on_response(Duration::from_millis(time)));
        (queue.is_full(), queue.has_room())
    }

    #[test]
    fn a_response_that_takes_much_longer_than_the_shortest_one_shows_a_full_line() {
        assert_eq!(after(&[]), (false, false), "nothing was measured");
        assert_eq!(after(&[40, 44, 59, 40]), (false, true), "less than 20 ms and a half longer");
        assert_eq!(after(&[40, 140]), (true, false));
        assert_eq!(after(&[300, 390]), (false, true), "less than a half longer");
        assert_eq!(after(&[1, 15, 20]), (false, true), "less than 20 ms longer");
        assert_eq!(after(&[140, 40, 140]), (true, false), "the shortest time may come later");
    }

    #[test]
    fn a_line_has_room_again_after_four_quick_responses() {
        assert_eq!(after(&[40, 140, 140, 140, 140, 140, 40]), (true, false));
        assert_eq!(after(&[40, 140, 140, 140, 140, 140, 40, 40, 40]), (false, false));
        assert_eq!(after(&[40, 140, 140, 140, 140, 140, 40, 40, 40, 40]), (false, true));
    }
}
