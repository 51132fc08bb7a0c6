//! One worker, the bytes that are its task, and how fast it brings them.
//!
//! Invariant: it goes forward only, never beyond the end of its task, and not before its reply was accepted. Only
//! [`super::SegmentLedger`] changes it.

use crate::plan::WorkerId;
use std::ops::Range;
use std::time::Duration;

/// A rate is measured over spans of at least this.
pub const SPAN: Duration = Duration::from_millis(100);

/// A segment that took less than this says nothing about the rate: its bytes may have waited in a buffer.
pub const SHORTEST_SEGMENT: Duration = Duration::from_millis(5);

/// A worker and the bytes that are its task.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Assignment {
    pub(in crate::plan) worker: WorkerId,
    /// Where it fetches from.
    pub(in crate::plan) source: usize,
    /// It fetches what this one fetches too, and the first to be through wins.
    pub(in crate::plan) hedge_of: Option<WorkerId>,
    /// A hedge that takes its bytes over as soon as its reply is right: until then nobody knows whether parts are to be
    /// had, and the stream that brings everything goes on with everything.
    pub(in crate::plan) probes: bool,
    /// The first byte that it was asked for.
    pub(in crate::plan) from: u64,
    /// The first byte that it has not written.
    pub(in crate::plan) at: u64,
    /// One past its last byte; `None` while nobody knows where the file ends.
    pub(in crate::plan) end: Option<u64>,
    /// One past the last byte that it was asked for.
    asked: Option<u64>,
    /// Its reply was accepted.
    pub(in crate::plan) receiving: bool,
    /// All that counts of it is what it brought.
    fresh: bool,
    /// Its reply has a digest: it tells nothing before all of it is there and right. So nobody may take any of it, and
    /// its silence means nothing.
    pub(in crate::plan) judged: bool,
    speed: Speed,
}

impl Assignment {
    /// A worker that was asked for these bytes, where `typical` bytes a second are to be expected.
    pub(super) fn new(
        now: Duration,
        worker: WorkerId,
        source: usize,
        from: u64,
        end: Option<u64>,
        typical: f64,
    ) -> Self {
        Assignment {
            worker,
            source,
            hedge_of: None,
            probes: false,
            from,
            at: from,
            end,
            asked: end,
            receiving: false,
            fresh: true,
            judged: false,
            speed: Speed { since: now, last: now, total: 0, mark: now, bytes: 0, rate: typical },
        }
    }

    /// It asked for the file as a whole.
    pub(in crate::plan) fn is_plain(&self) -> bool {
        self.from == 0 && self.asked.is_none()
    }

    /// Bytes a second, lately or in all.
    pub(in crate::plan) fn rate(&self) -> f64 {
        self.speed.of_the_task().unwrap_or(if self.speed.mark == self.speed.since {
            0.0
        } else {
            self.speed.rate
        })
    }

    /// Bytes that it brought.
    pub(in crate::plan) fn brought(&self) -> u64 {
        self.at.saturating_sub(self.from)
    }

    /// It brings much less than it was asked for: a server that gives a file in crumbs.
    pub(in crate::plan) fn is_a_crumb(&self, least: u64) -> bool {
        let short = self.asked.is_none_or(|asked| self.end.is_some_and(|end| end < asked));
        short && !self.is_plain() && self.brought() < least
    }

    /// All of its task is written.
    pub(super) fn is_through(&self) -> bool {
        self.end.is_some_and(|end| self.at >= end)
    }

    /// Where its bytes are from, if that is known.
    pub(super) fn its_own(&self) -> Option<usize> {
        Some(self.source).filter(|_| self.fresh)
    }

    /// Its bytes come from now on.
    pub(super) fn accepted(&mut self, now: Duration, end: Option<u64>) {
        (self.speed.since, self.speed.last, self.speed.mark) = (now, now, now);
        (self.receiving, self.end) = (true, end);
    }

    /// Its reply, up to that byte, has a digest. `alone`: nobody else fetches the same. False if it is of no use.
    pub(super) fn judge(&mut self, last: u64, alone: bool) -> bool {
        // Who brings more than it was asked for is not heard to the end, and cannot be judged.
        if self.asked.is_some_and(|asked| last >= asked) {
            return true;
        }
        self.judged = alone && self.at == self.from && self.end == self.asked;
        self.judged
    }

    /// It wrote all bytes below `upto`: which of its task are new, and the rate of a span that is over with this.
    pub(super) fn wrote(
        &mut self,
        now: Duration,
        upto: u64,
        fresh: bool,
    ) -> Option<(Range<u64>, Option<f64>)> {
        let upto = self.end.map_or(upto, |end| upto.min(end));
        let new = self.at..upto;
        if new.is_empty() {
            return None;
        }
        self.at = upto;
        self.fresh &= fresh;
        let measured = self.speed.add(now, new.end - new.start);
        Some((new, measured))
    }

    /// Since when nothing came of it.
    pub(super) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.speed.last)
    }

    /// Bytes of it still come.
    pub(super) fn brings(&self, now: Duration) -> bool {
        self.receiving && self.silence(now) <= SPAN * 5
    }

    /// By now something of it should have come that can be measured.
    pub(super) fn is_slow(&self, now: Duration) -> bool {
        self.receiving && now.saturating_sub(self.speed.since) > SPAN * 2
    }

    /// Bytes a second, of a task that was too short for spans.
    pub(super) fn rate_of_short_task(&self) -> Option<f64> {
        self.speed.of_the_task()
    }

    /// Bytes a second, where a round trip takes so long. Reports come a few times a second: silence beyond that is taken for
    /// slowness.
    pub(super) fn rate_by_now(&self, now: Duration, latency: Duration) -> f64 {
        let (span, silence) = ((SPAN * 2).max(latency), self.silence(now));
        if silence <= span {
            self.speed.rate
        } else {
            self.speed.rate * span.as_secs_f64() / silence.as_secs_f64()
        }
    }

    /// Reports come a few times a second: by now it is further than the last one said, unless it is silent.
    pub(super) fn probably_at(&self, now: Duration) -> u64 {
        let silence = self.silence(now);
        let since = if silence > SPAN * 5 { Duration::ZERO } else { silence };
        self.at.saturating_add((self.speed.rate * since.as_secs_f64()) as u64)
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
        (time >= SHORTEST_SEGMENT && self.mark == self.since).then(|| self.total as f64 / time.as_secs_f64())
    }
}
