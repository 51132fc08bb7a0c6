//! One worker, its segment, and its speed.
//!
//! Invariant: no byte of a worker counts as written beyond the end of its segment, or before its response was
//! accepted. Only [`super::SegmentLedger`] changes an assignment.

use crate::error::{Error, ErrorKind};
use crate::plan::WorkerId;
use std::ops::Range;
use std::time::Duration;

/// The speed of a worker is measured over spans of at least this length. A shorter segment is measured as a
/// whole.
pub const SPAN: Duration = Duration::from_millis(100);

/// The speed of a segment that took less time than this is not used, because its bytes may have waited in a
/// buffer.
pub const SHORTEST_SEGMENT: Duration = Duration::from_millis(5);

/// A worker and its segment.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Assignment {
    pub(in crate::plan) worker: WorkerId,
    /// The source that the worker uses.
    pub(in crate::plan) source: usize,
    /// The other worker that fetches the same segment, if this worker is a hedge. The bytes of the worker
    /// that finishes first are used.
    pub(in crate::plan) hedge_of: Option<WorkerId>,
    /// True for a probe, a hedge that takes over its segment as soon as its response is valid. Before that,
    /// it may not be known if the source sends ranges, so the segment of the other worker is not cut.
    pub(in crate::plan) probes: bool,
    /// The offset of the first byte that was requested.
    pub(in crate::plan) from: u64,
    /// The offset of the first byte of the segment that is not written. If this worker was a hedge, the other
    /// worker may have written some of the bytes before this offset.
    pub(in crate::plan) at: u64,
    /// The offset after the last byte of the segment, or `None` while the size of the file is not known.
    pub(in crate::plan) end: Option<u64>,
    /// The offset after the last byte that was requested, or `None` if the request had no end.
    requested_end: Option<u64>,
    /// True if the response of the worker was accepted.
    pub(in crate::plan) receiving: bool,
    /// True if it is certain that this worker wrote all written bytes of the segment.
    fresh: bool,
    /// True if the segment is used only as a whole, because the response has a digest of its own or the chunk
    /// must come from one source. If the response has a digest, the worker reports no bytes before the whole
    /// segment is verified, so its silence is normal. No other worker gets a part of the segment.
    pub(in crate::plan) whole_only: bool,
    speed: Speed,
}

impl Assignment {
    /// Returns the assignment of a worker that requests these bytes. `typical` is the expected rate in bytes
    /// a second.
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
            requested_end: end,
            receiving: false,
            fresh: true,
            whole_only: false,
            speed: Speed { since: now, last: now, total: 0, mark: now, bytes: 0, rate: typical },
        }
    }

    /// Returns true if the whole file was requested.
    pub(in crate::plan) fn is_plain(&self) -> bool {
        self.from == 0 && self.requested_end.is_none()
    }

    /// Returns the recent rate in bytes a second. For a short segment, returns its average rate. Returns 0 if
    /// nothing was measured.
    pub(in crate::plan) fn rate(&self) -> f64 {
        self.speed.of_short_segment().unwrap_or(if self.speed.mark == self.speed.since {
            0.0
        } else {
            self.speed.rate
        })
    }

    /// Returns the number of requested bytes that have arrived. If this worker was a hedge, the other worker
    /// may have delivered some of them.
    pub(in crate::plan) fn delivered(&self) -> u64 {
        self.at.saturating_sub(self.from)
    }

    /// Returns true if a range was requested, the segment ended before the requested end (or no end was
    /// requested), and fewer than `least` bytes arrived. Some servers send a file only in such small parts.
    pub(in crate::plan) fn is_a_crumb(&self, least: u64) -> bool {
        let short = self.requested_end.is_none_or(|requested| self.end.is_some_and(|end| end < requested));
        short && !self.is_plain() && self.delivered() < least
    }

    /// Returns the result of the worker. The worker succeeded if its response was accepted and its segment is
    /// complete, even if its connection broke after that.
    ///
    /// # Errors
    /// Returns the error of the worker, or `http.truncated`.
    pub(in crate::plan) fn outcome(&self, result: Result<(), Error>, path: &str) -> Result<(), Error> {
        let truncated = |why: &str| Err(Error::new(ErrorKind::HttpTruncated, path, why));
        match (result, self.end) {
            (Err(_), Some(end)) if self.receiving && self.at >= end => Ok(()),
            (Err(error), _) => Err(error),
            (Ok(()), _) if !self.receiving => truncated("no response arrived"),
            (Ok(()), Some(end)) if self.at < end => {
                truncated(&format!("{} bytes are missing", end - self.at))
            }
            (Ok(()), _) => Ok(()),
        }
    }

    /// Returns true if the whole segment is written.
    pub(super) fn is_finished(&self) -> bool {
        self.end.is_some_and(|end| self.at >= end)
    }

    /// Returns the source of the written bytes of the segment, if it is known.
    pub(super) fn origin(&self) -> Option<usize> {
        Some(self.source).filter(|_| self.fresh)
    }

    /// Records that the response was accepted. Its bytes arrive from now on.
    pub(super) fn accepted(&mut self, now: Duration, end: Option<u64>) {
        (self.speed.since, self.speed.last, self.speed.mark) = (now, now, now);
        (self.receiving, self.end) = (true, end);
    }

    /// Records that the bytes of the response, up to and including the offset `last`, have a digest. `alone`
    /// is true if no other worker has the same segment. Returns false if the response is useless, because its
    /// digest cannot be compared.
    pub(super) fn set_whole_only(&mut self, last: u64, alone: bool) -> bool {
        // A response that is longer than the request is not read to its end, so its digest is not compared.
        if self.requested_end.is_some_and(|end| last >= end) {
            return true;
        }
        self.whole_only = alone && self.at == self.from && self.end == self.requested_end;
        self.whole_only
    }

    /// Records that the worker wrote all bytes below `upto`. Returns the new bytes, and the rate if a span of
    /// measurement ended. Returns `None` if no bytes are new.
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

    /// Returns the time since the worker last delivered bytes. If it has not delivered any, returns the time
    /// since its response was accepted, or since its request if no response was accepted yet.
    pub(super) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.speed.last)
    }

    /// Returns true if bytes of the worker are probably still arriving. This is so for five [`SPAN`]s after
    /// its response was accepted, and for five [`SPAN`]s after each delivery of bytes.
    pub(super) fn delivers(&self, now: Duration) -> bool {
        self.receiving && self.silence(now) <= SPAN * 5
    }

    /// Returns true if bytes have arrived and the response was accepted more than two [`SPAN`]s ago. If the
    /// rate of the worker is still not known then, the rate is very low. Before the first bytes have arrived,
    /// this function returns false, so that no further connection is opened. The reason is that some hosts
    /// ban a client for a further connection, and a ban is recognised only after bytes have arrived.
    pub(super) fn is_slow(&self, now: Duration) -> bool {
        self.receiving && self.delivered() > 0 && now.saturating_sub(self.speed.since) > SPAN * 2
    }

    /// Returns the average rate of a segment that took less than a [`SPAN`], in bytes a second. Returns
    /// `None` for other segments, and for segments that took less than [`SHORTEST_SEGMENT`].
    pub(super) fn rate_of_short_segment(&self) -> Option<f64> {
        self.speed.of_short_segment()
    }

    /// Returns the present rate in bytes a second. `latency` is the time of a round trip. Reports come about
    /// ten times a second. So only a silence that is longer than two [`SPAN`]s, and also longer than a round
    /// trip, lowers the rate.
    pub(super) fn rate_by_now(&self, now: Duration, latency: Duration) -> f64 {
        let (span, silence) = ((SPAN * 2).max(latency), self.silence(now));
        if silence <= span {
            self.speed.rate
        } else {
            self.speed.rate * span.as_secs_f64() / silence.as_secs_f64()
        }
    }

    /// Returns an estimate of the offset that the worker has reached. Reports come about ten times a second.
    /// So a worker that is not silent has probably passed the offset in its last report.
    pub(super) fn probably_at(&self, now: Duration) -> u64 {
        let silence = self.silence(now);
        let since = if silence > SPAN * 5 { Duration::ZERO } else { silence };
        self.at.saturating_add((self.speed.rate * since.as_secs_f64()) as u64)
    }

    /// Returns an estimate of the bytes of the segment that have not arrived, or 0 if the end is not known.
    pub(super) fn probably_left(&self, now: Duration) -> u64 {
        self.end.map_or(0, |end| end.saturating_sub(self.probably_at(now)))
    }
}

/// The recent rate of one connection in bytes a second.
#[derive(Debug, Clone, Copy)]
struct Speed {
    /// The time of the request, and later the time when its response was accepted.
    since: Duration,
    /// The number of bytes of the segment that have arrived so far.
    total: u64,
    /// The time when the last bytes arrived.
    last: Duration,
    /// The start of the present span of measurement.
    mark: Duration,
    /// The number of bytes that have arrived since the start of the span.
    bytes: u64,
    /// The recent rate, in which the last span has half of the weight. Before the end of the first span, it
    /// is the typical rate.
    rate: f64,
}

impl Speed {
    /// Adds bytes. Returns the rate if a span of measurement ended.
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

    /// Returns the average rate of a segment that took less than a span. See
    /// [`Assignment::rate_of_short_segment`].
    fn of_short_segment(&self) -> Option<f64> {
        let time = self.last.saturating_sub(self.since);
        (time >= SHORTEST_SEGMENT && self.mark == self.since).then(|| self.total as f64 / time.as_secs_f64())
    }
}
