//! Who has which bytes of a file.
//!
//! Invariant (promise 1): every byte is in exactly one of: written, claimed (on the disk since an earlier run, and not
//! checked yet), held by one worker, free. A hedge holds bytes that its primary holds too, and they count only if it
//! is through first. [`Work::check`] states it.

use super::{Sizes, WorkerId};
use crate::ranges::RangeSet;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A piece is what one connection brings in so many round trips: one of them is lost between two pieces.
const PIECE_ROUND_TRIPS: f64 = 20.0;

/// The shortest and the longest time for a piece, in seconds. Shorter ones cost more in requests than they bring; longer
/// ones keep hashing waiting for the one at the head.
const PIECE_SECONDS: (f64, f64) = (0.01, 1.5);

/// How many pieces for each connection the window holds: one at work and some in reserve, so that a slow one at the head
/// does not stop the others at once.
const PIECES_AHEAD: u64 = 4;

/// Of a file's bytes, a fiftieth may be fetched twice on purpose.
const HEDGED_MOST: u64 = 50;

/// What a worker has before it for less than this is not split, in seconds: its last report may be so old, and the bytes
/// in question be there already.
const WORTH_SPLITTING: f64 = 0.25;

/// Speed is measured over spans of at least this.
const SPAN: Duration = Duration::from_millis(100);

/// A task shorter than this says nothing about speed: its bytes may have waited in a buffer.
const SHORTEST_TASK: Duration = Duration::from_millis(5);

/// A worker that brought nothing for this long (or four times what a reply took, if that is more) is taken for dead as
/// soon as another one could do its work.
const SILENCE: Duration = Duration::from_secs(1);

/// A worker and the bytes that are its task.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) worker: WorkerId,
    /// Where it fetches from.
    pub(super) source: usize,
    /// It fetches what this one fetches too, and the first to be through wins.
    pub(super) hedge_of: Option<WorkerId>,
    /// A hedge that takes its bytes over as soon as its reply is right: until then nobody knows whether parts are to be
    /// had, and the stream that brings everything goes on with everything.
    pub(super) probes: bool,
    /// The first byte that it was asked for.
    pub(super) from: u64,
    /// The first byte that it has not written.
    pub(super) at: u64,
    /// One past its last byte; `None` while nobody knows where the file ends.
    pub(super) end: Option<u64>,
    plain: bool,
    /// One past the last byte that it was asked for.
    asked: Option<u64>,
    /// Its reply was accepted.
    pub(super) receiving: bool,
    /// All that counts of it is what it brought.
    fresh: bool,
    /// Its reply has a digest: it tells nothing before all of it is there and right. So nobody may take any of it, and
    /// its silence means nothing.
    pub(super) judged: bool,
    speed: Speed,
}

impl Held {
    /// It asked for the file as a whole.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Bytes a second, lately or in all.
    pub(super) fn rate(&self) -> f64 {
        self.speed.of_the_task().unwrap_or(if self.speed.mark == self.speed.since {
            0.0
        } else {
            self.speed.rate
        })
    }

    /// Where its bytes are from, if that is known.
    fn its_own(&self) -> Option<usize> {
        Some(self.source).filter(|_| self.fresh)
    }

    /// Bytes that it brought.
    pub(super) fn brought(&self) -> u64 {
        self.at.saturating_sub(self.from)
    }

    /// Reports come a few times a second: by now it is further than the last one said, unless it is silent.
    fn probably_at(&self, now: Duration) -> u64 {
        let silence = self.speed.silence(now);
        let since = if silence > SPAN * 5 { Duration::ZERO } else { silence };
        self.at.saturating_add((self.speed.rate * since.as_secs_f64()) as u64)
    }

    /// It brings much less than it was asked for: a server that gives a file in crumbs.
    pub(super) fn is_a_crumb(&self, least: u64) -> bool {
        let short = self.asked.is_none_or(|asked| self.end.is_some_and(|end| end < asked));
        short && !self.plain && self.brought() < least
    }
}

/// The bytes of a file and who has them.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) size: Option<u64>,
    pub(super) written: RangeSet,
    pub(super) claimed: RangeSet,
    held: Vec<Held>,
    /// What is written in this run, by who brought it.
    brought: BTreeMap<usize, RangeSet>,
    /// What is being taken back on the disk.
    voiding: RangeSet,
    /// Pieces that were wrong and whose bytes came from several: such a piece is fetched by one worker alone.
    contested: RangeSet,
    /// Tasks begin and end at multiples of this, where that is possible: each piece comes from one source. 0: anywhere.
    pub(super) align: u64,
    hedged: u64,
    /// Parts come with digests.
    digested: bool,
    /// The shortest time from a request to its first byte.
    pub(super) latency: Duration,
    /// Bytes a second of one connection, from what it was lately.
    typical: f64,
    /// How long a worker may be silent while another one could do its work; longer with each one that was left for it.
    patience: Duration,
}

/// What can be done so that another worker has something to do.
#[derive(Debug, PartialEq)]
pub(super) enum Help {
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

impl Work {
    /// The bytes that are on the disk, checked or not.
    pub(super) fn there(&self) -> u64 {
        self.written.len() + self.claimed.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.size.is_some_and(|size| self.written.contains(&(0..size)))
    }

    pub(super) fn held(&self) -> &[Held] {
        &self.held
    }

    pub(super) fn get(&self, worker: WorkerId) -> Option<&Held> {
        self.held.iter().find(|one| one.worker == worker)
    }

    pub(super) fn get_mut(&mut self, worker: WorkerId) -> Option<&mut Held> {
        self.held.iter_mut().find(|one| one.worker == worker)
    }

    /// A worker was asked for these bytes.
    pub(super) fn hold(
        &mut self,
        now: Duration,
        worker: WorkerId,
        source: usize,
        from: u64,
        end: Option<u64>,
    ) {
        let speed = Speed { since: now, last: now, total: 0, mark: now, bytes: 0, rate: self.typical };
        let (plain, asked) = (from == 0 && end.is_none(), end);
        let judged = end.is_some_and(|end| self.contested.touches(&(from..end)));
        let (hedge_of, probes, at, receiving, fresh) = (None, false, from, false, true);
        let held = Held {
            worker,
            source,
            hedge_of,
            probes,
            from,
            at,
            end,
            plain,
            asked,
            receiving,
            fresh,
            judged,
            speed,
        };
        self.held.push(held);
    }

    /// A worker has a reply: so long does that take.
    pub(super) fn opened(&mut self, now: Duration, worker: WorkerId) {
        let known = self.latency;
        let Some(held) = self.get_mut(worker) else { return };
        let waited = held.speed.silence(now);
        self.latency = if known.is_zero() { waited } else { known.min(waited) };
        // Whoever takes that long for a reply is not dead.
        self.patience = waited * 4;
    }

    /// A worker has its word to go on: its bytes come from now on.
    pub(super) fn accepted(&mut self, now: Duration, worker: WorkerId, end: Option<u64>) {
        let Some(held) = self.get_mut(worker) else { return };
        (held.speed.since, held.speed.last, held.speed.mark) = (now, now, now);
        (held.receiving, held.end) = (true, end);
    }

    /// A worker's task ends there now, and so does its hedge's. Who that is.
    pub(super) fn shorten(&mut self, worker: WorkerId, end: u64) -> Option<WorkerId> {
        let mut hedge = None;
        for one in self.held.iter_mut().filter(|one| one.worker == worker || one.hedge_of == Some(worker)) {
            one.end = Some(one.end.map_or(end, |old| old.min(end)));
            // A hedge may be further than its primary.
            one.at = one.at.min(end.max(one.from));
            hedge = hedge.or(one.hedge_of.map(|_| one.worker));
        }
        hedge
    }

    pub(super) fn hedge(
        &mut self,
        now: Duration,
        worker: WorkerId,
        source: usize,
        primary: WorkerId,
        range: Range<u64>,
    ) {
        let probes = self.get(primary).is_some_and(|one| one.at < range.start);
        self.hedged += if probes { 0 } else { range.end - range.start };
        self.hold(now, worker, source, range.start, Some(range.end));
        if let Some(held) = self.get_mut(worker) {
            (held.hedge_of, held.probes) = (Some(primary), probes);
        }
    }

    /// A probe's reply is right: what it was asked for is its own from now on. Whose task ends there; `None` if that one
    /// is beyond that already, and the probe of no use.
    pub(super) fn take_over(&mut self, worker: WorkerId) -> Option<WorkerId> {
        let probe = self.get(worker)?;
        let (from, primary) = (probe.from, probe.hedge_of?);
        self.get(primary).filter(|one| one.at <= from)?;
        self.get_mut(primary)?.end = Some(from);
        let probe = self.get_mut(worker)?;
        (probe.hedge_of, probe.probes) = (None, false);
        Some(primary)
    }

    /// Forgets everything but that worker, which now has the whole file to bring. Whom nobody needs any more.
    pub(super) fn restart(&mut self, now: Duration, worker: WorkerId, size: Option<u64>) -> Vec<WorkerId> {
        self.clear();
        self.size = size;
        let source = self.get(worker).map_or(0, |held| held.source);
        let mut others = self.release_all();
        others.retain(|&other| other != worker);
        self.hold(now, worker, source, 0, size);
        others
    }

    /// Forgets what is on the disk.
    pub(super) fn clear(&mut self) {
        self.written = RangeSet::new();
        self.claimed = RangeSet::new();
        self.brought.clear();
        self.voiding = RangeSet::new();
        self.contested = RangeSet::new();
        self.size = None;
        self.digested = false;
    }

    /// These bytes are there, from that source, if that is known.
    fn write(&mut self, source: Option<usize>, range: Range<u64>) {
        if let Some(source) = source {
            let brought = self.brought.entry(source).or_default();
            self.written.missing(range.clone()).into_iter().for_each(|part| brought.insert(part));
        }
        self.written.insert(range);
    }

    /// The source that brought all of this; `None` if there are several, or if that is not known for some of it, as it is not
    /// for what an earlier run left.
    pub(super) fn brought_by(&self, range: &Range<u64>) -> Option<usize> {
        self.brought.iter().find(|(_, brought)| brought.contains(range)).map(|(&source, _)| source)
    }

    /// Those who brought something that is written; who brought least comes first.
    pub(super) fn contributors(&self) -> Vec<usize> {
        let mut all: Vec<_> = self.brought.iter().map(|(&source, brought)| (brought.len(), source)).collect();
        all.retain(|(bytes, _)| *bytes > 0);
        all.sort_unstable();
        all.into_iter().map(|(_, source)| source).collect()
    }

    /// All that a source brought.
    pub(super) fn all_of(&self, source: usize) -> Vec<Range<u64>> {
        self.brought.get(&source).into_iter().flat_map(RangeSet::iter).cloned().collect()
    }

    /// All of which it is not known who brought it.
    pub(super) fn of_nobody(&self) -> Vec<Range<u64>> {
        let mut all = self.written.clone();
        self.brought.values().flat_map(RangeSet::iter).for_each(|range| all.remove(range.clone()));
        all.iter().cloned().collect()
    }

    /// Takes these bytes back: they are free when the disk has heard of it.
    pub(super) fn take_back(&mut self, ranges: &[Range<u64>]) {
        for range in ranges {
            self.written.remove(range.clone());
            self.brought.values_mut().for_each(|brought| brought.remove(range.clone()));
            self.voiding.insert(range.clone());
        }
    }

    /// The disk has heard of it.
    pub(super) fn voided(&mut self, ranges: &[Range<u64>]) {
        ranges.iter().for_each(|range| self.voiding.remove(range.clone()));
    }

    pub(super) fn contest(&mut self, piece: &Range<u64>) {
        self.contested.insert(piece.clone());
    }

    pub(super) fn is_contested(&self, piece: &Range<u64>) -> bool {
        self.contested.touches(piece)
    }

    /// Takes hedges off whose task touches these bytes. Who they are.
    pub(super) fn release_hedges(&mut self, ranges: &[Range<u64>]) -> Vec<WorkerId> {
        let touches = |one: &Held| {
            let task = one.from..one.end.unwrap_or(u64::MAX);
            ranges.iter().any(|range| task.start < range.end && range.start < task.end)
        };
        let hedges = self.held.iter().filter(|one| one.hedge_of.is_some() && touches(one));
        let hedges: Vec<WorkerId> = hedges.map(|one| one.worker).collect();
        self.held.retain(|one| !hedges.contains(&one.worker));
        hedges
    }

    /// Takes all workers of a source off their tasks. Whom nobody needs any more.
    pub(super) fn release_from(&mut self, source: usize) -> Vec<WorkerId> {
        let mut gone = Vec::new();
        while let Some(worker) = self.held.iter().find(|one| one.source == source).map(|one| one.worker) {
            gone.extend(self.release(worker).and_then(|(_, twin)| twin));
            gone.push(worker);
        }
        gone
    }

    /// A worker's reply, up to that byte, has a digest. False if another one fetches the same, or brought some of it before
    /// it broke: then it is of no use, as the bytes of two cannot be told apart on the disk.
    pub(super) fn judge(&mut self, worker: WorkerId, last: u64) -> bool {
        self.digested = true;
        let hedged = self.held.iter().any(|one| one.hedge_of == Some(worker));
        let Some(held) = self.get_mut(worker) else { return false };
        // Who brings more than it was asked for is not heard to the end, and cannot be judged.
        if held.asked.is_some_and(|asked| last >= asked) {
            return true;
        }
        let alone = !hedged && held.hedge_of.is_none();
        held.judged = alone && held.at == held.from && held.end == held.asked;
        held.judged
    }

    /// A worker wrote all bytes below `upto`. How many of them are new and count.
    pub(super) fn wrote(&mut self, now: Duration, worker: WorkerId, upto: u64, fresh: bool) -> u64 {
        let Some(held) = self.held.iter_mut().find(|one| one.worker == worker && one.receiving) else {
            return 0;
        };
        let upto = held.end.map_or(upto, |end| upto.min(end));
        let Some(new) = upto.checked_sub(held.at).filter(|&new| new > 0) else { return 0 };
        let range = held.at..upto;
        held.at = upto;
        held.fresh &= fresh;
        let source = Some(held.source).filter(|_| fresh);
        let (measured, hedge) = (held.speed.add(now, new), held.hedge_of.is_some());
        if let Some(rate) = measured {
            self.is_typical(rate);
        }
        if hedge {
            return 0;
        }
        self.write(source, range);
        new
    }

    /// Takes a worker off its task. What it did not write is free again, or its hedge's. `Some` with the worker that
    /// fetches the same and is not needed any more.
    pub(super) fn release(&mut self, worker: WorkerId) -> Option<(Held, Option<WorkerId>)> {
        let index = self.held.iter().position(|one| one.worker == worker)?;
        let held = self.held.swap_remove(index);
        if let Some(rate) = held.speed.of_the_task() {
            self.is_typical(rate);
        }
        let through = held.end.is_some_and(|end| held.at >= end);
        if let Some(primary) = held.hedge_of {
            if through {
                self.write(held.its_own(), held.from..held.at);
                self.held.retain(|one| one.worker != primary);
                return Some((held, Some(primary)));
            }
            return Some((held, None));
        }
        let Some(hedge) = self.held.iter_mut().find(|one| one.hedge_of == Some(worker)) else {
            return Some((held, None));
        };
        let twin = hedge.worker;
        if through {
            self.held.retain(|one| one.worker != twin);
            return Some((held, Some(twin)));
        }
        // The hedge has the task alone now, and what it wrote counts.
        hedge.hedge_of = None;
        let (range, source) = (hedge.from..hedge.at, hedge.its_own());
        hedge.at = hedge.at.max(held.at).min(hedge.end.unwrap_or(u64::MAX));
        self.write(source, range);
        Some((held, None))
    }

    /// One connection brings so much, at times.
    fn is_typical(&mut self, rate: f64) {
        self.typical = if self.typical == 0.0 { rate } else { 0.8 * self.typical + 0.2 * rate };
    }

    /// Whether it is known what a connection brings, or that it is next to nothing.
    pub(super) fn is_measured(&self, now: Duration) -> bool {
        let slow = |one: &Held| one.receiving && now.saturating_sub(one.speed.since) > SPAN * 2;
        self.typical > 0.0 || self.held.iter().any(slow)
    }

    /// A worker that is silent is left. The next one has more time, or a slow server would never be heard out.
    pub(super) fn leave(&mut self, worker: WorkerId) {
        self.patience = self.patience.max(SILENCE) * 2;
        self.release(worker);
    }

    pub(super) fn release_all(&mut self) -> Vec<WorkerId> {
        self.held.drain(..).map(|one| one.worker).collect()
    }

    /// What one more worker could do beside the others, with `lanes` of them in all. Unless `parts_work`, nothing is
    /// taken from anybody before the reply is there.
    pub(super) fn help(&self, now: Duration, lanes: usize, parts_work: bool, sizes: &Sizes) -> Help {
        let piece = self.piece(lanes, sizes);
        if let Some(gap) = self.free(lanes, piece, sizes) {
            // Nobody else will come for the rest, or there is too little of it to be worth a request. What is judged as a
            // whole is also lost as a whole.
            if self.contested.contains(&(gap.start..gap.start + 1)) {
                return Help::Fetch(gap.start..self.aligned(gap.start + 1).min(gap.end));
            }
            // And nobody else's task has it too.
            let next = self.contested.iter().map(|one| one.start).find(|&start| start > gap.start);
            let gap = gap.start..gap.end.min(next.unwrap_or(u64::MAX));
            let all = (lanes < 2 && !self.digested) || gap.end - gap.start < piece + piece / 2;
            return Help::Fetch(if all {
                gap
            } else {
                gap.start..self.aligned(gap.start + piece).min(gap.end)
            });
        }
        if lanes < 2 {
            return Help::Nothing;
        }
        // A hedge that is dead itself is in the way of the next one.
        let dead = |one: &&Held| {
            one.hedge_of.is_some() && one.end.is_some_and(|end| one.at < end) && self.is_silent(one, now)
        };
        if let Some(hedge) = self.held.iter().find(dead) {
            return Help::Drop(hedge.worker);
        }
        let hedged = |one: &Held| self.held.iter().any(|other| other.hedge_of == Some(one.worker));
        let candidates = self.held.iter().filter(|one| one.hedge_of.is_none() && !one.judged && !hedged(one));
        let here = |one: &Held| one.probably_at(now);
        let left = |one: &Held| one.end.map_or(0, |end| end.saturating_sub(here(one)));
        let slowest = candidates
            .filter(|one| left(one) > 0)
            .map(|one| (one, left(one) as f64 / self.rate_of(one, now).max(1.0)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        let Some((victim, seconds)) = slowest else { return Help::Nothing };
        if parts_work && self.is_silent(victim, now) {
            return Help::Drop(victim.worker);
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
                (false, Some(end)) => Help::Hedge(victim.worker, split..end.min(split.saturating_add(piece))),
                _ => Help::Cut(victim.worker, split),
            };
        }
        if !parts_work {
            return Help::Nothing;
        }
        let (mine, theirs) = (self.typical.max(1.0), self.rate_of(victim, now));
        let keep = ((rest as f64 * theirs / (mine + theirs)).ceil() as u64).max(1);
        let split = here(victim) + keep.min(rest);
        let given = rest - keep.min(rest);
        if victim.receiving && given >= sizes.split_least && seconds > 2.0 * round_trip + WORTH_SPLITTING {
            return Help::Cut(victim.worker, split);
        }
        let twice = victim.end.map_or(0, |end| end.saturating_sub(victim.at));
        let affordable = self.size.is_some_and(|size| self.hedged + twice <= size / HEDGED_MOST);
        if affordable && seconds > rest as f64 / mine + round_trip {
            return Help::Hedge(victim.worker, victim.at..victim.at + twice);
        }
        Help::Nothing
    }

    /// # Errors
    /// What of the invariant is broken.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.written.iter().any(|range| self.claimed.touches(range)) {
            return Err("bytes are written and claimed");
        }
        if self.voiding.iter().any(|range| self.claimed.touches(range) || self.written.touches(range)) {
            return Err("bytes are taken back and there");
        }
        let mut seen = RangeSet::new();
        for one in &self.held {
            let range = one.at..one.end.unwrap_or(u64::MAX);
            if let Some(primary) = one.hedge_of {
                let others = self.held.iter().filter(|other| other.hedge_of == Some(primary)).count();
                if others != 1 || self.get(primary).is_none() {
                    return Err("a hedge without its primary, or two of them");
                }
                continue;
            }
            if one.end.is_some_and(|end| one.at > end) {
                return Err("a worker went beyond its end");
            }
            if self.written.touches(&range)
                || self.claimed.touches(&range)
                || self.voiding.touches(&range)
                || seen.touches(&range)
            {
                return Err("bytes are held twice, or held and written");
            }
            seen.insert(range);
        }
        let end = [&self.written, &self.claimed]
            .into_iter()
            .filter_map(|set| set.iter().last())
            .map(|one| one.end)
            .max();
        match (end, self.size) {
            (Some(end), Some(size)) if end > size => Err("more is written than the file has"),
            _ => Ok(()),
        }
    }

    fn piece(&self, lanes: usize, sizes: &Sizes) -> u64 {
        let share = sizes.window / (2 * lanes.max(1) as u64);
        let (shortest, longest) = PIECE_SECONDS;
        let seconds = (self.latency.as_secs_f64() * PIECE_ROUND_TRIPS).clamp(shortest, longest);
        let wish = (self.typical * seconds) as u64;
        wish.max(sizes.piece_least).min(if sizes.window_is_memory { share.max(1) } else { u64::MAX })
    }

    /// The first free bytes within the window.
    fn free(&self, lanes: usize, piece: u64, sizes: &Sizes) -> Option<Range<u64>> {
        let size = self.size?;
        let mut taken = self.written.clone();
        self.claimed.iter().chain(self.voiding.iter()).for_each(|one| taken.insert(one.clone()));
        let base = taken.prefix();
        let ahead = piece.saturating_mul(PIECES_AHEAD).saturating_mul(lanes as u64);
        let window = if sizes.window_is_memory { sizes.window } else { sizes.window.max(ahead) };
        for one in &self.held {
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

    fn rate_of(&self, one: &Held, now: Duration) -> f64 {
        // Reports come a few times a second: silence beyond that is taken for slowness.
        let (span, silence) = ((SPAN * 2).max(self.latency), one.speed.silence(now));
        if silence <= span {
            one.speed.rate
        } else {
            one.speed.rate * span.as_secs_f64() / silence.as_secs_f64()
        }
    }

    fn is_silent(&self, one: &Held, now: Duration) -> bool {
        one.speed.silence(now) > SILENCE.max(self.patience)
    }
}

/// Bytes a second, lately.
#[derive(Debug, Clone, Copy)]
struct Speed {
    /// When the task began, and its bytes.
    since: Duration,
    total: u64,
    /// When the last bytes came.
    last: Duration,
    /// Bytes since the mark.
    mark: Duration,
    bytes: u64,
    /// At first, what is typical.
    rate: f64,
}

impl Speed {
    /// The rate of a span that is over with this.
    fn add(&mut self, now: Duration, bytes: u64) -> Option<f64> {
        self.last = now;
        self.bytes += bytes;
        self.total += bytes;
        let span = now.saturating_sub(self.mark);
        if span < SPAN {
            return None;
        }
        let rate = self.bytes as f64 / span.as_secs_f64();
        self.rate = if self.rate == 0.0 { rate } else { (self.rate + rate) / 2.0 };
        (self.mark, self.bytes) = (now, 0);
        Some(rate)
    }

    /// The rate of a task that was too short for spans.
    fn of_the_task(&self) -> Option<f64> {
        let time = self.last.saturating_sub(self.since);
        (time >= SHORTEST_TASK && self.mark == self.since).then(|| self.total as f64 / time.as_secs_f64())
    }

    fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last)
    }
}
