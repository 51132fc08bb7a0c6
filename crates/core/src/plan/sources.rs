//! The sources of a job. This file decides which source is used next, and records what is known about each
//! source.
//!
//! Invariant: there is always a current source. If the current source sends wrong bytes, it stays current
//! only if no other source can be used at that time. [`super::transfer`] records which source sent which
//! bytes.

use super::transfer::Growth;
use crate::identity::Origin;
use crate::remote::Validator;

/// The highest number of sources that send segments at once. Several sources keep the speed high if one of
/// them is slow. Because of the limit, most mirrors of a long list get no request.
const AT_ONCE: usize = 4;

/// A source is dropped after this many failures in a row, if its connections delivered no byte after the
/// first of these failures. A single failure may be temporary.
const FAILURES: u32 = 2;

/// A source is dropped if the connections of another source are more than this many times as fast. Otherwise,
/// the segments of the slow source would still be incomplete long after all other segments are complete.
const SLOW: f64 = 8.0;

/// The reason why a source is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// The source failed too often, is much slower than another one, refuses the file, or seems to have
    /// another file. It is used again after a failure of the job, or if no other source is left.
    Dropped,
    SentWrongBytes,
    /// The bytes of the source are being replaced by bytes of other sources. The result shows if the replaced
    /// bytes were wrong.
    Suspected,
}

#[derive(Debug)]
struct Source {
    origin: Origin,
    /// The URL of the last valid response of the source, after redirects and without secrets.
    url: String,
    /// The validator in the first valid response of the source since the download last started. It is `None`
    /// before that.
    validator: Option<Validator>,
    sends_ranges: bool,
    failures: u32,
    /// True if the source had its turn: the job began with it, or [`Sources::advance`] or [`Sources::prefer`]
    /// has chosen it. [`Sources::advance`] does not choose such a source. [`Sources::prefer`] and
    /// [`Sources::begin_turns`] may set the field to false again.
    had_turn: bool,
    out: Option<Out>,
    /// The average rate of a connection to this source, in bytes a second. The newest segment has half of the
    /// weight. The rate is 0 if none was measured.
    rate: f64,
    growth: Growth,
}

impl Source {
    fn new(origin: Origin) -> Source {
        Source {
            origin,
            url: String::new(),
            validator: None,
            sends_ranges: false,
            failures: 0,
            had_turn: false,
            out: None,
            rate: 0.0,
            growth: Growth::default(),
        }
    }
}

/// All sources of a job, in the order in which the job names their URLs. Sources that were found later come
/// last.
#[derive(Debug)]
pub(super) struct Sources {
    all: Vec<Source>,
    current: usize,
    /// True if the current source was preferred, because the partial file came from it.
    is_preferred: bool,
}

impl Sources {
    pub(super) fn new(origins: &[Origin]) -> Self {
        let mut all: Vec<_> = origins.iter().copied().map(Source::new).collect();
        if let Some(first) = all.first_mut() {
            first.had_turn = true;
        }
        Sources { all, current: 0, is_preferred: false }
    }

    /// Returns the current source, which gets requests before the other sources.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds sources that were found later.
    pub(super) fn add(&mut self, origins: &[Origin]) {
        self.all.extend(origins.iter().copied().map(Source::new));
    }

    pub(super) fn origin(&self, source: usize) -> Option<Origin> {
        self.all.get(source).map(|one| one.origin)
    }

    pub(super) fn origins(&self) -> Vec<Origin> {
        self.all.iter().map(|one| one.origin).collect()
    }

    /// Makes the next source that sent no wrong bytes the current one. This is done while no byte of the file
    /// is written, or if the current source sent wrong bytes.
    pub(super) fn take_turns(&mut self) {
        let mut turn = (1..=self.all.len()).map(|step| (self.current + step) % self.all.len());
        self.current = turn.find(|&one| !self.sent_wrong_bytes(one)).unwrap_or(self.current);
        self.is_preferred = false;
    }

    /// Makes the first source that had no turn and sent no wrong bytes the current one. Returns false if no
    /// such source is left.
    pub(super) fn advance(&mut self) -> bool {
        let next = (0..self.all.len()).find(|&one| !self.all[one].had_turn && !self.sent_wrong_bytes(one));
        if let Some(next) = next {
            (self.current, self.is_preferred) = (next, false);
            self.all[next].had_turn = true;
        }
        next.is_some()
    }

    /// Returns a source that had no turn in this run and may resume a partial file from this origin. Returns
    /// `None` if the current source may resume the partial file too, or if there is no such source.
    pub(super) fn other_that_may_resume(&self, origin: Option<Origin>) -> Option<usize> {
        let origin = origin?;
        let may = |one: usize| self.all[one].origin.may_resume(origin);
        let found = (0..self.all.len()).find(|&one| may(one) && !self.all[one].had_turn)?;
        (!may(self.current)).then_some(found)
    }

    /// Makes a source the current one, because the partial file came from it. The source that was current
    /// until now may get its turn later.
    pub(super) fn prefer(&mut self, source: usize) {
        let current = self.current;
        (self.all[current].had_turn, self.all[source].had_turn) = (false, true);
        (self.current, self.is_preferred) = (source, true);
    }

    /// Gives each source a turn again. The caller does this if the complete file does not have its digest and
    /// has no chunk hashes, bytes of several sources may be mixed, and no bytes are replaced any more.
    pub(super) fn begin_turns(&mut self) {
        self.all.iter_mut().for_each(|one| one.had_turn = false);
    }

    /// Returns true if the current source was preferred, because the partial file came from it.
    pub(super) fn is_preferred(&self) -> bool {
        self.is_preferred
    }

    /// Makes all sources usable again, except `than` and the sources that sent wrong bytes. Returns false if
    /// none of the others is usable.
    pub(super) fn revive_others(&mut self, than: usize) -> bool {
        self.revive();
        self.take_out(than, Out::Dropped);
        self.has_other(than)
    }

    /// Returns the sources that may get requests for segments, the current one first. Returns at most
    /// [`AT_ONCE`] sources.
    pub(super) fn usable(&self) -> Vec<usize> {
        let others = (0..self.all.len()).filter(|&one| one != self.current);
        let usable = std::iter::once(self.current).chain(others).filter(|&one| self.is_usable(one));
        usable.take(AT_ONCE).collect()
    }

    /// Returns true if a source other than this one is usable.
    pub(super) fn has_other(&self, than: usize) -> bool {
        self.has_other_than(&[than])
    }

    /// Returns true if a source other than these is usable.
    pub(super) fn has_other_than(&self, these: &[usize]) -> bool {
        (0..self.all.len()).any(|one| !these.contains(&one) && self.is_usable(one))
    }

    /// Records a valid response of the source: its URL without secrets, and its validator if it is the first
    /// response since the download last started.
    pub(super) fn answered(&mut self, source: usize, url: String, validator: &Validator) {
        if let Some(one) = self.all.get_mut(source) {
            one.url = url;
            one.validator.get_or_insert_with(|| validator.clone());
        }
    }

    pub(super) fn url(&self, source: usize) -> &str {
        self.all.get(source).map_or("", |one| &one.url)
    }

    pub(super) fn validator(&self, source: usize) -> Option<&Validator> {
        self.all.get(source)?.validator.as_ref()
    }

    pub(super) fn growth(&self, source: usize) -> Option<&Growth> {
        self.all.get(source).map(|one| &one.growth)
    }

    pub(super) fn growth_mut(&mut self, source: usize) -> Option<&mut Growth> {
        self.all.get_mut(source).map(|one| &mut one.growth)
    }

    /// Records that the source sent a valid range.
    pub(super) fn set_sends_ranges(&mut self, source: usize) {
        if let Some(one) = self.all.get_mut(source) {
            one.sends_ranges = true;
        }
    }

    /// Returns true if the source has sent a valid range.
    pub(super) fn sends_ranges(&self, source: usize) -> bool {
        self.all.get(source).is_some_and(|one| one.sends_ranges)
    }

    /// Records that a connection of the source finished its segment at this rate (bytes a second). Returns
    /// true if the source is much slower than another usable source.
    pub(super) fn succeeded(&mut self, source: usize, rate: f64) -> bool {
        let best = (0..self.all.len()).filter(|&one| one != source && self.is_usable(one));
        let best = best.map(|one| self.all[one].rate).fold(0.0, f64::max);
        let Some(one) = self.all.get_mut(source) else { return false };
        one.failures = 0;
        // A rate of 0 means that the rate was not measured, because the segment arrived too fast.
        if rate > 0.0 {
            one.rate = if one.rate == 0.0 { rate } else { (one.rate + rate) / 2.0 };
        }
        rate > 0.0 && one.rate * SLOW < best
    }

    /// Records that a connection of the source failed. `sent_bytes` is true if the connection delivered bytes
    /// before the failure. In this case, earlier failures do not count any more. Returns true if the source
    /// has failed too often.
    pub(super) fn failed(&mut self, source: usize, sent_bytes: bool) -> bool {
        let Some(one) = self.all.get_mut(source) else { return false };
        one.failures = if sent_bytes { 1 } else { one.failures + 1 };
        one.failures >= FAILURES
    }

    /// Makes the source unusable. If it was the current one, the first usable source becomes the current one,
    /// and is not a preferred one. If no source is usable, the current one stays. If the source is known to
    /// have sent wrong bytes, `why` has no effect.
    pub(super) fn take_out(&mut self, source: usize, why: Out) {
        if let Some(one) = self.all.get_mut(source).filter(|one| one.out != Some(Out::SentWrongBytes)) {
            one.out = Some(why);
        }
        if source == self.current
            && let Some(&first) = self.usable().first()
        {
            (self.current, self.is_preferred) = (first, false);
        }
    }

    pub(super) fn clear_suspicion(&mut self, source: usize) {
        if let Some(one) = self.all.get_mut(source) {
            one.out = one.out.filter(|why| *why != Out::Suspected);
        }
    }

    /// Makes all sources usable again, except the sources that sent wrong bytes. If the current source sent
    /// wrong bytes, the next source becomes current. The caller does this if no source is left, or after a
    /// failure of the job.
    pub(super) fn revive(&mut self) {
        for one in &mut self.all {
            one.out = one.out.filter(|why| *why == Out::SentWrongBytes);
            one.failures = 0;
        }
        if self.sent_wrong_bytes(self.current) {
            self.take_turns();
        }
    }

    /// Forgets the facts that the sources stated about the file, because the download starts again.
    pub(super) fn forget(&mut self) {
        for one in &mut self.all {
            (one.validator, one.sends_ranges) = (None, false);
        }
    }

    fn is_usable(&self, source: usize) -> bool {
        self.all.get(source).is_some_and(|one| one.out.is_none())
    }

    pub(super) fn sent_wrong_bytes(&self, source: usize) -> bool {
        self.all.get(source).is_some_and(|one| one.out == Some(Out::SentWrongBytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(count: usize) -> Vec<Origin> {
        let url = |n| url::Url::parse(&format!("http://h{n}/f")).expect("a URL");
        (0..count).map(|n| Origin::of(&url(n), &Default::default())).collect()
    }

    #[test]
    fn a_source_many_times_slower_than_another_is_too_slow() {
        let mut sources = Sources::new(&origins(3));
        assert!(!sources.succeeded(0, 1e5), "no other source was measured");
        assert!(!sources.succeeded(1, 7e5), "a source that is seven times slower is not dropped");
        assert!(!sources.succeeded(0, 1e5));
        assert!(!sources.succeeded(2, 9e5));
        assert!(sources.succeeded(0, 1e5));
        sources.take_out(0, Out::Dropped);
        assert_eq!((sources.current(), sources.usable()), (1, vec![1, 2]));
    }

    #[test]
    fn a_source_that_replaces_a_preferred_one_is_not_preferred_itself() {
        let mut sources = Sources::new(&origins(2));
        sources.prefer(1);
        sources.take_out(0, Out::Dropped);
        assert!(sources.is_preferred(), "the current source is still the preferred one");
        sources.revive();
        sources.take_out(1, Out::Dropped);
        assert_eq!((sources.current(), sources.is_preferred()), (0, false));
        // If no source is usable, the current one stays, and so does its preference.
        let mut sources = Sources::new(&origins(2));
        sources.prefer(1);
        sources.take_out(0, Out::Dropped);
        sources.take_out(1, Out::Dropped);
        assert_eq!((sources.current(), sources.is_preferred()), (1, true));
    }

    #[test]
    fn each_source_becomes_the_next_one_only_once() {
        let mut sources = Sources::new(&origins(3));
        let mut asked = vec![sources.current()];
        while sources.advance() {
            asked.push(sources.current());
            // A source that is dropped or suspected does not stay the current one.
            sources.take_out(sources.current(), Out::Dropped);
            sources.revive();
        }
        assert_eq!(asked, [0, 1, 2]);
    }
}
