//! The sources of a job: which one is asked, what is known of each, and which ones were dropped.
//!
//! Invariant: there is a current source, and it is not one that sent wrong bytes while there is another one.
//! Which source sent which bytes is known in [`super::transfer`].

use super::transfer::Growth;
use crate::identity::Origin;
use crate::remote::Validator;

/// So many sources send segments at once: enough to fill a line beside a slow one, few enough to spare most
/// mirrors.
const AT_ONCE: usize = 4;

/// A source is dropped after so many failures in a row without a byte: one may be an accident.
const FAILURES: u32 = 2;

/// A source is dropped if its connections are so many times slower than those of another one: it would still
/// hold its segments when the others are done.
const SLOW: f64 = 8.0;

/// Why a source is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// It failed, or is slow, or has another file. It is asked again when no other source is left.
    Dropped,
    /// It sent wrong bytes.
    SentWrongBytes,
    /// Its bytes come from others for now, to find out whether they were wrong.
    Suspected,
}

#[derive(Debug)]
struct Source {
    origin: Origin,
    /// The URL that answered, for people.
    url: String,
    /// Its validator of the file, once it answered.
    validator: Option<Validator>,
    sends_ranges: bool,
    failures: u32,
    out: Option<Out>,
    /// Bytes a second of one connection.
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
            out: None,
            rate: 0.0,
            growth: Growth::default(),
        }
    }
}

/// All sources of a job, by their position in it.
#[derive(Debug)]
pub(super) struct Sources {
    all: Vec<Source>,
    current: usize,
    /// The furthest source that [`Sources::advance`] reached.
    furthest: usize,
}

impl Sources {
    pub(super) fn new(origins: &[Origin]) -> Self {
        Sources { all: origins.iter().copied().map(Source::new).collect(), current: 0, furthest: 0 }
    }

    /// Returns the source that is asked first.
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

    /// Makes the next source in turn the current one. Used while nothing of the file is written.
    pub(super) fn take_turns(&mut self) {
        let mut turn = (1..=self.all.len()).map(|step| (self.current + step) % self.all.len());
        self.current = turn.find(|&one| !self.sent_wrong_bytes(one)).unwrap_or(self.current);
    }

    /// Makes the next source current that was never current before. Returns false if there is none.
    pub(super) fn advance(&mut self) -> bool {
        let next = (self.furthest + 1..self.all.len()).find(|&one| !self.sent_wrong_bytes(one));
        if let Some(next) = next {
            (self.current, self.furthest) = (next, next);
        }
        next.is_some()
    }

    /// Lets all sources be asked again but this one and those that sent wrong bytes. Returns false if there
    /// is none.
    pub(super) fn revive_others(&mut self, than: usize) -> bool {
        self.revive();
        self.take_out(than, Out::Dropped);
        self.has_other(than)
    }

    /// Returns the sources that may be asked for segments, the current one first.
    pub(super) fn usable(&self) -> Vec<usize> {
        let others = (0..self.all.len()).filter(|&one| one != self.current);
        let usable = std::iter::once(self.current).chain(others).filter(|&one| self.is_usable(one));
        usable.take(AT_ONCE).collect()
    }

    /// Returns true if another source than this one may be asked.
    pub(super) fn has_other(&self, than: usize) -> bool {
        self.has_other_than(&[than])
    }

    /// Returns true if another source than these may be asked.
    pub(super) fn has_other_than(&self, these: &[usize]) -> bool {
        (0..self.all.len()).any(|one| !these.contains(&one) && self.is_usable(one))
    }

    /// A response of the source was valid.
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

    /// The source sent a range that was valid.
    pub(super) fn set_sends_ranges(&mut self, source: usize) {
        if let Some(one) = self.all.get_mut(source) {
            one.sends_ranges = true;
        }
    }

    /// Returns true if the source has sent a valid range.
    pub(super) fn sends_ranges(&self, source: usize) -> bool {
        self.all.get(source).is_some_and(|one| one.sends_ranges)
    }

    /// A connection of the source finished its segment at this rate (bytes a second). Returns true if the
    /// source is too slow beside the others.
    pub(super) fn succeeded(&mut self, source: usize, rate: f64) -> bool {
        let best = (0..self.all.len()).filter(|&one| one != source && self.is_usable(one));
        let best = best.map(|one| self.all[one].rate).fold(0.0, f64::max);
        let Some(one) = self.all.get_mut(source) else { return false };
        one.failures = 0;
        one.rate = if one.rate == 0.0 { rate } else { (one.rate + rate) / 2.0 };
        rate > 0.0 && one.rate * SLOW < best
    }

    /// A connection of the source failed. Returns true if the source has failed too often.
    pub(super) fn failed(&mut self, source: usize, sent_bytes: bool) -> bool {
        let Some(one) = self.all.get_mut(source) else { return false };
        one.failures = if sent_bytes { 1 } else { one.failures + 1 };
        one.failures >= FAILURES
    }

    /// The source is not asked any more.
    pub(super) fn take_out(&mut self, source: usize, why: Out) {
        if let Some(one) = self.all.get_mut(source) {
            one.out = Some(why);
        }
        if source == self.current {
            self.current = self.usable().first().copied().unwrap_or(source);
        }
    }

    /// The source is not suspected any more.
    pub(super) fn clear_suspicion(&mut self, source: usize) {
        if let Some(one) = self.all.get_mut(source) {
            one.out = one.out.filter(|why| *why != Out::Suspected);
        }
    }

    /// Lets all sources be asked again but those that sent wrong bytes: none is left, or the job starts
    /// again.
    pub(super) fn revive(&mut self) {
        for one in &mut self.all {
            one.out = one.out.filter(|why| *why == Out::SentWrongBytes);
            one.failures = 0;
        }
        if self.sent_wrong_bytes(self.current) {
            self.take_turns();
        }
    }

    /// Forgets what the sources said of the file, since it starts again.
    pub(super) fn forget(&mut self) {
        for one in &mut self.all {
            (one.validator, one.sends_ranges) = (None, false);
        }
    }

    fn is_usable(&self, source: usize) -> bool {
        self.all.get(source).is_some_and(|one| one.out.is_none())
    }

    fn sent_wrong_bytes(&self, source: usize) -> bool {
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
        assert!(!sources.succeeded(1, 7e5), "seven times is no reason");
        assert!(!sources.succeeded(0, 1e5));
        assert!(!sources.succeeded(2, 9e5));
        assert!(sources.succeeded(0, 1e5));
        sources.take_out(0, Out::Dropped);
        assert_eq!((sources.current(), sources.usable()), (1, vec![1, 2]));
    }

    #[test]
    fn each_source_is_advanced_to_once() {
        let mut sources = Sources::new(&origins(3));
        let mut asked = vec![sources.current()];
        while sources.advance() {
            asked.push(sources.current());
            // Sources that are dropped or suspected meanwhile change which one is asked first.
            sources.take_out(sources.current(), Out::Dropped);
            sources.revive();
        }
        assert_eq!(asked, [0, 1, 2]);
    }
}
