//! Decides what one more worker can do, and how many bytes it requests. It can fetch free bytes, or take over
//! bytes that another worker would deliver too late.
//!
//! Invariant: no function in this file changes the ledger. Free bytes are fetched first, in file order and
//! within the window. No worker takes over a part of a segment that is used only as a whole. At most a
//! fiftieth of a file is fetched twice on purpose.

use super::Assignment;
use super::ledger::SegmentLedger;
use crate::plan::{Sizes, WorkerId};
use crate::retry::PROGRESS;
use std::ops::Range;
use std::time::Duration;

/// A segment has as many bytes as one connection delivers in this many round trips, within the limits of
/// [`SEGMENT_SECONDS`] and [`Sizes`]. Between two segments of a connection, one round trip is lost.
pub const SEGMENT_ROUND_TRIPS: f64 = 20.0;

/// The shortest and the longest time, in seconds, that one connection should need for a segment. The length
/// of segments is chosen accordingly. With shorter segments, too much time is lost between requests. With
/// longer segments, hashing would have to wait too long for the first missing segment.
pub const SEGMENT_SECONDS: (f64, f64) = (0.01, 1.5);

/// The window has at least this many segments for each connection, unless it is kept in memory. One of these
/// segments is being fetched, and the others are a reserve, so that a slow connection at the first missing
/// byte does not stop the other connections at once.
const SEGMENTS_AHEAD: u64 = 4;

/// The bytes that are fetched twice on purpose are at most the size of the file divided by this number.
const HEDGED_MOST: u64 = 50;

/// The rest of a segment is not split if it will be complete in less than the time of two round trips plus
/// this many seconds. The last report may be so old that the rest has arrived already.
pub const WORTH_SPLITTING: f64 = 0.25;

/// What one more worker can do.
#[derive(Debug, PartialEq)]
pub(in crate::plan) enum NextAssignment {
    /// Fetch these free bytes.
    Fetch(Range<u64>),
    /// End this worker's segment at this offset. The rest of the segment becomes free.
    Cut(WorkerId, u64),
    /// Drop this worker. Unless the worker is a hedge or has a hedge, the rest of its segment becomes free.
    Drop(WorkerId),
    /// Fetch these bytes of this worker's segment with a second worker.
    Hedge(WorkerId, Range<u64>),
    /// Nothing can be done now.
    Nothing,
}

impl SegmentLedger {
    /// Returns what one more worker can do. `workers` is the number of workers that there will be in total.
    /// `sends_ranges` is true if the source is known to send ranges. Otherwise no worker loses bytes before
    /// the response with these bytes has arrived.
    pub(in crate::plan) fn next_assignment(
        &self,
        now: Duration,
        workers: usize,
        sends_ranges: bool,
        sizes: &Sizes,
    ) -> NextAssignment {
        let length = self.segment_length(workers, sizes);
        if let Some(gap) = self.free(workers, length, sizes) {
            return NextAssignment::Fetch(self.segment(gap, length, workers));
        }
        if workers < 2 {
            return NextAssignment::Nothing;
        }
        // A silent hedge is dropped, so that another worker can become the hedge.
        let dead = |one: &&Assignment| {
            one.hedge_of.is_some() && one.end.is_some_and(|end| one.at < end) && self.is_silent(one, now)
        };
        if let Some(hedge) = self.assignments.iter().find(dead) {
            return NextAssignment::Drop(hedge.worker);
        }
        let candidates = self
            .assignments
            .iter()
            .filter(|one| one.hedge_of.is_none() && !one.whole_only && !self.is_hedged(one));
        let slowest = candidates
            .filter(|one| one.probably_left(now) > 0)
            .map(|one| {
                let rate = one.rate_by_now(now, self.latency).max(1.0);
                (one, one.probably_left(now) as f64 / rate)
            })
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        let Some((victim, seconds)) = slowest else { return NextAssignment::Nothing };
        if sends_ranges && self.is_silent(victim, now) {
            return NextAssignment::Drop(victim.worker);
        }
        self.relieve(now, victim, seconds, length, sends_ranges, sizes)
    }

    /// Returns how another worker can help the `victim`, which needs the most time of all workers that can be
    /// helped. `seconds` is the time in seconds that the victim still needs. `length` is the wanted length of
    /// a segment in bytes.
    fn relieve(
        &self,
        now: Duration,
        victim: &Assignment,
        seconds: f64,
        length: u64,
        sends_ranges: bool,
        sizes: &Sizes,
    ) -> NextAssignment {
        let (here, rest) = (victim.probably_at(now), victim.probably_left(now));
        let round_trip = self.latency.as_secs_f64();
        // A worker with a very long segment, such as the whole file, keeps only the next part of the segment.
        if victim.receiving && rest > length.max(sizes.split_least).saturating_mul(2) {
            let anywhere = here + length.max(sizes.split_least);
            let split =
                Some(self.aligned(anywhere)).filter(|&split| victim.end.is_none_or(|end| split < end));
            let split = split.unwrap_or(anywhere);
            return match (sends_ranges, victim.end) {
                (false, Some(end)) => {
                    NextAssignment::Hedge(victim.worker, split..end.min(split.saturating_add(length)))
                }
                _ => NextAssignment::Cut(victim.worker, split),
            };
        }
        if !sends_ranges {
            return NextAssignment::Nothing;
        }
        let (mine, theirs) = (self.typical.max(1.0), victim.rate_by_now(now, self.latency));
        let keep = ((rest as f64 * theirs / (mine + theirs)).ceil() as u64).max(1);
        let split = here + keep.min(rest);
        let given = rest - keep.min(rest);
        if victim.receiving && given >= sizes.split_least && seconds > 2.0 * round_trip + WORTH_SPLITTING {
            return NextAssignment::Cut(victim.worker, split);
        }
        let twice = victim.end.map_or(0, |end| end.saturating_sub(victim.at));
        let affordable = self.size.is_some_and(|size| self.hedged + twice <= size / HEDGED_MOST);
        if affordable && seconds > rest as f64 / mine + round_trip {
            return NextAssignment::Hedge(victim.worker, victim.at..victim.at + twice);
        }
        NextAssignment::Nothing
    }

    /// Returns how to stop `surplus` workers of a source. One worker always stays. Workers without a response
    /// are stopped first, and then the slowest ones. If a worker still delivers bytes, has delivered
    /// [`PROGRESS`] bytes and shares its segment with no other worker, its segment is made to end earlier.
    /// The new end is a little beyond the offset that the worker has reached, so that bytes that are already
    /// sent are not lost. Any other worker is dropped. A worker that is about to end counts as stopped. A
    /// silent worker and the probe that may replace it count as one worker. A worker whose segment is used
    /// only as a whole is neither stopped early nor dropped.
    pub(in crate::plan) fn fewer(&self, now: Duration, source: usize, surplus: usize) -> Vec<NextAssignment> {
        let rate = |one: &Assignment| one.rate_by_now(now, self.latency);
        let speed = |one: &Assignment| if one.receiving { rate(one) } else { -1.0 };
        // The end is at the border of a chunk, so that each chunk comes from one source.
        let soon = |one: &Assignment| {
            self.aligned(one.probably_at(now).saturating_add((rate(one) * WORTH_SPLITTING) as u64))
        };
        let mut all: Vec<_> = self.assignments.iter().filter(|one| one.source == source).collect();
        all.sort_by(|a, b| speed(a).total_cmp(&speed(b)));
        all.pop();
        let ends = |one: &Assignment| one.delivers(now) && one.end.is_some_and(|end| end <= soon(one));
        let surplus =
            surplus.saturating_sub(all.iter().filter(|one| ends(one) || self.is_replacing(one, now)).count());
        let rest = all.into_iter().filter(|one| !one.whole_only && !ends(one)).take(surplus);
        let twice = |one: &Assignment| one.hedge_of.is_some() || self.is_hedged(one);
        rest.map(|one| match one.delivers(now) && one.delivered() >= PROGRESS && !twice(one) {
            true => NextAssignment::Cut(one.worker, soon(one)),
            false => NextAssignment::Drop(one.worker),
        })
        .collect()
    }

    pub(super) fn is_hedged(&self, one: &Assignment) -> bool {
        self.assignments.iter().any(|other| other.hedge_of == Some(one.worker))
    }

    /// Returns the part of a gap that one worker requests. `length` is the wanted length of a segment, and
    /// `workers` is the number of workers that there will be in total.
    pub(super) fn segment(&self, gap: Range<u64>, length: u64, workers: usize) -> Range<u64> {
        // A contested chunk, which was wrong before, is assigned to one worker.
        if self.contested.contains(&(gap.start..gap.start + 1)) {
            return gap.start..self.aligned(gap.start + 1).min(gap.end);
        }
        // Any other segment ends before the next contested chunk.
        let next = self.contested.iter().map(|one| one.start).find(|&start| start > gap.start);
        let gap = gap.start..gap.end.min(next.unwrap_or(u64::MAX));
        // The whole gap is requested if the rest is too small for a request of its own. It is also requested
        // if no other worker will fetch the rest, unless responses have digests of their own (`digested`). No
        // byte of such a response is used before the whole segment is verified, so a failure loses the whole
        // segment. Such segments are therefore kept short.
        let all = (workers < 2 && !self.digested) || gap.end - gap.start < length.saturating_add(length / 2);
        if all { gap } else { gap.start..self.aligned(gap.start + length).min(gap.end) }
    }

    /// Returns the wanted length of a segment in bytes, if there are this many workers in total.
    pub(super) fn segment_length(&self, workers: usize, sizes: &Sizes) -> u64 {
        let share = sizes.window / (2 * workers.max(1) as u64);
        let (shortest, longest) = SEGMENT_SECONDS;
        let seconds = (self.latency.as_secs_f64() * SEGMENT_ROUND_TRIPS).clamp(shortest, longest);
        let wanted = (self.typical * seconds) as u64;
        wanted.max(sizes.segment_least).min(if sizes.window_is_memory { share.max(1) } else { u64::MAX })
    }

    /// Returns the first free bytes within the window.
    fn free(&self, workers: usize, length: u64, sizes: &Sizes) -> Option<Range<u64>> {
        let size = self.size?;
        let mut taken = self.written.clone();
        self.claimed.iter().chain(self.discarding.iter()).for_each(|one| taken.insert(one.clone()));
        let base = taken.prefix();
        let ahead = length.saturating_mul(SEGMENTS_AHEAD).saturating_mul(workers as u64);
        let window = if sizes.window_is_memory { sizes.window } else { sizes.window.max(ahead) };
        for one in &self.assignments {
            taken.insert(one.at..one.end.unwrap_or(size));
        }
        let gap = taken.first_gap(size)?;
        // One connection delivers in order and needs no window.
        let limit = if workers < 2 { u64::MAX } else { base.saturating_add(window) };
        let end = gap.end.min(limit.max(gap.start));
        (gap.start < end).then_some(gap.start..end)
    }

    /// Returns `at`, rounded up to a multiple of the alignment of segments.
    fn aligned(&self, at: u64) -> u64 {
        if self.align < 2 { at } else { at.div_ceil(self.align).saturating_mul(self.align) }
    }
}
