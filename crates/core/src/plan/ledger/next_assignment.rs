//! What one more worker could do: fetch what is free, or take from those at work what they would bring too late.
//!
//! Invariant: this looks and changes nothing. Free bytes go first, in file order and within the window; nothing is taken
//! from anybody whose part is judged as a whole; at most a fiftieth of a file is fetched twice.

use super::{Assignment, SegmentLedger};
use crate::plan::{Sizes, WorkerId};
use crate::retry::PROGRESS;
use std::ops::Range;
use std::time::Duration;

/// A segment is what one connection brings in so many round trips: one of them is lost between two segments.
pub const SEGMENT_ROUND_TRIPS: f64 = 20.0;

/// The shortest and the longest time for a segment, in seconds. Shorter ones cost more in requests than they
/// bring. Longer ones keep hashing waiting for the first one.
pub const SEGMENT_SECONDS: (f64, f64) = (0.01, 1.5);

/// How many pieces for each connection the window holds: one at work and some in reserve, so that a slow one at the head
/// does not stop the others at once.
const PIECES_AHEAD: u64 = 4;

/// Of a file's bytes, a fiftieth may be fetched twice on purpose.
const HEDGED_MOST: u64 = 50;

/// What a worker has before it for less than this is not split, in seconds: its last report may be so old, and the bytes
/// in question be there already.
pub const WORTH_SPLITTING: f64 = 0.25;

/// What can be done so that another worker has something to do.
#[derive(Debug, PartialEq)]
pub(in crate::plan) enum NextAssignment {
    /// Free bytes are there: fetch these.
    Fetch(Range<u64>),
    /// This worker shall stop there: the rest becomes free.
    Cut(WorkerId, u64),
    /// This worker is dead: what it has becomes free.
    Drop(WorkerId),
    /// Fetch this worker's rest too.
    Hedge(WorkerId, Range<u64>),
    /// Nothing.
    Nothing,
}

impl SegmentLedger {
    /// What one more worker could do beside the others, with `lanes` of them in all. Unless `parts_work`, nothing is
    /// taken from anybody before the reply is there.
    pub(in crate::plan) fn next_assignment(
        &self,
        now: Duration,
        lanes: usize,
        parts_work: bool,
        sizes: &Sizes,
    ) -> NextAssignment {
        let piece = self.piece(lanes, sizes);
        if let Some(gap) = self.free(lanes, piece, sizes) {
            return NextAssignment::Fetch(self.task(gap, piece, lanes));
        }
        if lanes < 2 {
            return NextAssignment::Nothing;
        }
        // A hedge that is dead itself is in the way of the next one.
        let dead = |one: &&Assignment| {
            one.hedge_of.is_some() && one.end.is_some_and(|end| one.at < end) && self.is_silent(one, now)
        };
        if let Some(hedge) = self.assignments.iter().find(dead) {
            return NextAssignment::Drop(hedge.worker);
        }
        let candidates = self
            .assignments
            .iter()
            .filter(|one| one.hedge_of.is_none() && !one.judged && !self.is_hedged(one));
        let here = |one: &Assignment| one.probably_at(now);
        let left = |one: &Assignment| one.end.map_or(0, |end| end.saturating_sub(here(one)));
        let slowest = candidates
            .filter(|one| left(one) > 0)
            .map(|one| (one, left(one) as f64 / one.rate_by_now(now, self.latency).max(1.0)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        let Some((victim, seconds)) = slowest else { return NextAssignment::Nothing };
        if parts_work && self.is_silent(victim, now) {
            return NextAssignment::Drop(victim.worker);
        }
        let rest = left(victim);
        let round_trip = self.latency.as_secs_f64();
        // The stream that began as the whole file gives up what lies beyond its next piece: work goes on in file order.
        if victim.receiving && rest > piece.max(sizes.split_least).saturating_mul(2) {
            let anywhere = here(victim) + piece.max(sizes.split_least);
            let split =
                Some(self.aligned(anywhere)).filter(|&split| victim.end.is_none_or(|end| split < end));
            let split = split.unwrap_or(anywhere);
            return match (parts_work, victim.end) {
                (false, Some(end)) => {
                    NextAssignment::Hedge(victim.worker, split..end.min(split.saturating_add(piece)))
                }
                _ => NextAssignment::Cut(victim.worker, split),
            };
        }
        if !parts_work {
            return NextAssignment::Nothing;
        }
        let (mine, theirs) = (self.typical.max(1.0), victim.rate_by_now(now, self.latency));
        let keep = ((rest as f64 * theirs / (mine + theirs)).ceil() as u64).max(1);
        let split = here(victim) + keep.min(rest);
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

    /// How a source has so many workers less, if it keeps one: those who have no reply yet go, then the slowest. Who brings
    /// bytes ends its task a little ahead of them, or what is on its way would be lost. Who is about to end counts already, and
    /// who has something that counts only as a whole is left alone.
    pub(in crate::plan) fn fewer(&self, now: Duration, source: usize, surplus: usize) -> Vec<NextAssignment> {
        let rate = |one: &Assignment| one.rate_by_now(now, self.latency);
        let speed = |one: &Assignment| if one.receiving { rate(one) } else { -1.0 };
        // At the border of a piece, where there are such: it shall be one's alone.
        let soon = |one: &Assignment| {
            self.aligned(one.probably_at(now).saturating_add((rate(one) * WORTH_SPLITTING) as u64))
        };
        let mut all: Vec<_> = self.assignments.iter().filter(|one| one.source == source).collect();
        all.sort_by(|a, b| speed(a).total_cmp(&speed(b)));
        all.pop();
        let ends = |one: &Assignment| one.brings(now) && one.end.is_some_and(|end| end <= soon(one));
        let surplus = surplus.saturating_sub(all.iter().filter(|one| ends(one)).count());
        let rest = all.into_iter().filter(|one| !one.judged && !ends(one)).take(surplus);
        let twice = |one: &Assignment| one.hedge_of.is_some() || self.is_hedged(one);
        rest.map(|one| match one.brings(now) && one.brought() >= PROGRESS && !twice(one) {
            true => NextAssignment::Cut(one.worker, soon(one)),
            false => NextAssignment::Drop(one.worker),
        })
        .collect()
    }

    fn is_hedged(&self, one: &Assignment) -> bool {
        self.assignments.iter().any(|other| other.hedge_of == Some(one.worker))
    }

    /// How much of a gap one worker is asked for.
    fn task(&self, gap: Range<u64>, piece: u64, lanes: usize) -> Range<u64> {
        // A contested piece is one worker's.
        if self.contested.contains(&(gap.start..gap.start + 1)) {
            return gap.start..self.aligned(gap.start + 1).min(gap.end);
        }
        // And nobody else's task has it too.
        let next = self.contested.iter().map(|one| one.start).find(|&start| start > gap.start);
        let gap = gap.start..gap.end.min(next.unwrap_or(u64::MAX));
        // Nobody else will come for the rest, or there is too little of it to be worth a request. What is judged as a
        // whole is also lost as a whole.
        let all = (lanes < 2 && !self.digested) || gap.end - gap.start < piece + piece / 2;
        if all { gap } else { gap.start..self.aligned(gap.start + piece).min(gap.end) }
    }

    fn piece(&self, lanes: usize, sizes: &Sizes) -> u64 {
        let share = sizes.window / (2 * lanes.max(1) as u64);
        let (shortest, longest) = SEGMENT_SECONDS;
        let seconds = (self.latency.as_secs_f64() * SEGMENT_ROUND_TRIPS).clamp(shortest, longest);
        let wish = (self.typical * seconds) as u64;
        wish.max(sizes.segment_least).min(if sizes.window_is_memory { share.max(1) } else { u64::MAX })
    }

    /// The first free bytes within the window.
    fn free(&self, lanes: usize, piece: u64, sizes: &Sizes) -> Option<Range<u64>> {
        let size = self.size?;
        let mut taken = self.written.clone();
        self.claimed.iter().chain(self.voiding.iter()).for_each(|one| taken.insert(one.clone()));
        let base = taken.prefix();
        let ahead = piece.saturating_mul(PIECES_AHEAD).saturating_mul(lanes as u64);
        let window = if sizes.window_is_memory { sizes.window } else { sizes.window.max(ahead) };
        for one in &self.assignments {
            taken.insert(one.at..one.end.unwrap_or(size));
        }
        let gap = taken.first_gap(size)?;
        // What one connection brings is in order anyway.
        let limit = if lanes < 2 { u64::MAX } else { base.saturating_add(window) };
        let end = gap.end.min(limit.max(gap.start));
        (gap.start < end).then_some(gap.start..end)
    }

    /// The next multiple of what tasks are cut to.
    fn aligned(&self, at: u64) -> u64 {
        if self.align < 2 { at } else { at.div_ceil(self.align).saturating_mul(self.align) }
    }
}
