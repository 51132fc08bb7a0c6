//! The sources of a file: which is asked, what is known of each, and which is left.
//!
//! Invariant: there is a current source, and it is not one that lied while there is another. Who brought which bytes is
//! known in [`super::work`].

use super::growth::Growth;
use crate::identity::Origin;
use crate::remote::Validator;

/// So many sources bring pieces at once: enough to fill a line past a slow one, few enough to leave most mirrors in peace.
const AT_ONCE: usize = 4;

/// A source is left after so many failures in a row without anything that came: once may be an accident.
const FAILURES: u32 = 2;

/// A source whose connections bring so many times less than those of another one is left: it would hold pieces that the
/// others have long done.
const SLOW: f64 = 8.0;

/// Why a source is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// It failed, or is slow, or has another file: it is asked again when nobody else is left.
    Left,
    /// It sent wrong bytes.
    Lied,
    /// Its bytes come from others for now, to find out whether it lied.
    Suspected,
}

#[derive(Debug)]
struct Source {
    origin: Origin,
    /// What answered, for people.
    url: String,
    /// Its version of the file, once it answered.
    version: Option<Validator>,
    parts_work: bool,
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
            version: None,
            parts_work: false,
            failures: 0,
            out: None,
            rate: 0.0,
            growth: Growth::default(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Sources {
    all: Vec<Source>,
    current: usize,
    /// The furthest one that was gone on to when the one before it had failed.
    furthest: usize,
    suspect: Option<usize>,
    /// Nothing but its bytes was taken back.
    alone: bool,
    /// What came from nobody knows whom was taken back already.
    cleared: bool,
    /// Those that were suspected.
    suspected: Vec<usize>,
}

impl Sources {
    pub(super) fn new(origins: &[Origin]) -> Self {
        Sources {
            all: origins.iter().copied().map(Source::new).collect(),
            current: 0,
            furthest: 0,
            suspect: None,
            alone: false,
            cleared: false,
            suspected: Vec::new(),
        }
    }

    /// Which is asked first.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn add(&mut self, origins: &[Origin]) {
        self.all.extend(origins.iter().copied().map(Source::new));
    }

    /// Where a source is.
    pub(super) fn origin(&self, source: usize) -> Option<Origin> {
        self.all.get(source).map(|one| one.origin)
    }

    /// Where all of them are.
    pub(super) fn origins(&self) -> Vec<Origin> {
        self.all.iter().map(|one| one.origin).collect()
    }

    /// The next one, in turn. Nothing is lost by that where nothing of the file is there.
    pub(super) fn take_turns(&mut self) {
        let mut turn = (1..=self.all.len()).map(|step| (self.current + step) % self.all.len());
        self.current = turn.find(|&one| !self.lied(one)).unwrap_or(self.current);
    }

    /// Goes to the next one that was not gone on to yet. False if there is none.
    pub(super) fn go_on(&mut self) -> bool {
        let next = (self.furthest + 1..self.all.len()).find(|&one| !self.lied(one));
        if let Some(next) = next {
            (self.current, self.furthest) = (next, next);
        }
        next.is_some()
    }

    /// All but this one and the liars may be asked again. False if there is none.
    pub(super) fn revive_others(&mut self, than: usize) -> bool {
        self.revive();
        self.leave(than, Out::Left);
        self.has_other(than)
    }

    /// Somebody was suspected for what is wrong.
    pub(super) fn were_suspected(&self) -> bool {
        !self.suspected.is_empty()
    }

    /// Those that may be asked for pieces, the current one first.
    pub(super) fn askable(&self) -> Vec<usize> {
        let others = (0..self.all.len()).filter(|&one| one != self.current);
        let usable = std::iter::once(self.current).chain(others).filter(|&one| self.is_usable(one));
        usable.take(AT_ONCE).collect()
    }

    pub(super) fn has_other(&self, than: usize) -> bool {
        self.has_other_than(&[than])
    }

    pub(super) fn has_other_than(&self, these: &[usize]) -> bool {
        (0..self.all.len()).any(|one| !these.contains(&one) && self.is_usable(one))
    }

    /// It has a reply.
    pub(super) fn opened(&mut self, source: usize, url: String, version: &Validator) {
        if let Some(one) = self.all.get_mut(source) {
            one.url = url;
            one.version.get_or_insert_with(|| version.clone());
        }
    }

    pub(super) fn url(&self, source: usize) -> &str {
        self.all.get(source).map_or("", |one| &one.url)
    }

    pub(super) fn version(&self, source: usize) -> Option<&Validator> {
        self.all.get(source)?.version.as_ref()
    }

    /// Whether more connections of it may be asked for. `None` if there is no such source.
    pub(super) fn growth(&self, source: usize) -> Option<&Growth> {
        self.all.get(source).map(|one| &one.growth)
    }

    pub(super) fn growth_mut(&mut self, source: usize) -> Option<&mut Growth> {
        self.all.get_mut(source).map(|one| &mut one.growth)
    }

    /// A part came from it, and was right.
    pub(super) fn gives_parts(&mut self, source: usize) {
        if let Some(one) = self.all.get_mut(source) {
            one.parts_work = true;
        }
    }

    pub(super) fn parts_work(&self, source: usize) -> bool {
        self.all.get(source).is_some_and(|one| one.parts_work)
    }

    /// A connection of it did its work, at this rate. Whether it is too slow beside others.
    pub(super) fn worked(&mut self, source: usize, rate: f64) -> bool {
        let best = (0..self.all.len()).filter(|&one| one != source && self.is_usable(one));
        let best = best.map(|one| self.all[one].rate).fold(0.0, f64::max);
        let Some(one) = self.all.get_mut(source) else { return false };
        one.failures = 0;
        one.rate = if one.rate == 0.0 { rate } else { (one.rate + rate) / 2.0 };
        rate > 0.0 && one.rate * SLOW < best
    }

    /// A connection of it failed. Whether it is to be left.
    pub(super) fn failed(&mut self, source: usize, brought: bool) -> bool {
        let Some(one) = self.all.get_mut(source) else { return false };
        one.failures = if brought { 1 } else { one.failures + 1 };
        one.failures >= FAILURES
    }

    /// It is not asked any more.
    pub(super) fn leave(&mut self, source: usize, why: Out) {
        if let Some(one) = self.all.get_mut(source) {
            one.out = Some(why);
        }
        if source == self.current {
            self.current = self.askable().first().copied().unwrap_or(source);
        }
    }

    /// Nobody is left, or everything begins again: all but the liars may be asked again.
    pub(super) fn revive(&mut self) {
        for one in &mut self.all {
            one.out = one.out.filter(|why| *why == Out::Lied);
            one.failures = 0;
        }
        if self.lied(self.current) {
            self.take_turns();
        }
    }

    /// Whether bytes of nobody knows whom are to be suspected first. Once.
    pub(super) fn suspect_nobody(&mut self) -> bool {
        !std::mem::replace(&mut self.cleared, true)
    }

    /// Takes the next of these to be the liar: its bytes shall come from others, and nothing but these, if it is `alone`.
    /// `None` if there is nobody left to suspect.
    pub(super) fn suspect(&mut self, among: &[usize], alone: bool) -> Option<usize> {
        self.acquit();
        self.alone = alone;
        let next = among.iter().find(|one| !self.suspected.contains(one) && self.has_other(**one));
        let next = next.copied()?;
        self.suspect = Some(next);
        self.suspected.push(next);
        self.leave(next, Out::Suspected);
        Some(next)
    }

    /// All is right now: who was suspected did it, unless it may have been another.
    pub(super) fn convict(&mut self) -> Option<usize> {
        self.suspect.take().filter(|_| self.alone)
    }

    /// Another version of the file comes.
    pub(super) fn forget(&mut self) {
        self.acquit();
        self.suspected.clear();
        self.cleared = false;
        for one in &mut self.all {
            (one.version, one.parts_work) = (None, false);
        }
    }

    fn acquit(&mut self) {
        if let Some(one) = self.suspect.take().and_then(|one| self.all.get_mut(one)) {
            one.out = one.out.filter(|why| *why != Out::Suspected);
        }
    }

    fn is_usable(&self, source: usize) -> bool {
        self.all.get(source).is_some_and(|one| one.out.is_none())
    }

    fn lied(&self, source: usize) -> bool {
        self.all.get(source).is_some_and(|one| one.out == Some(Out::Lied))
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
    fn who_is_many_times_slower_than_another_is_left() {
        let mut sources = Sources::new(&origins(3));
        assert!(!sources.worked(0, 1e5), "nobody knows of a faster one");
        assert!(!sources.worked(1, 7e5), "seven times is no reason");
        assert!(!sources.worked(0, 1e5));
        assert!(!sources.worked(2, 9e5));
        assert!(sources.worked(0, 1e5));
        sources.leave(0, Out::Left);
        assert_eq!((sources.current(), sources.askable()), (1, vec![1, 2]));
    }

    #[test]
    fn each_is_gone_on_to_once() {
        let mut sources = Sources::new(&origins(3));
        let mut asked = vec![sources.current()];
        while sources.go_on() {
            asked.push(sources.current());
            // Whoever is left or suspected meanwhile changes who is asked first.
            sources.leave(sources.current(), Out::Left);
            sources.revive();
        }
        assert_eq!(asked, [0, 1, 2]);
    }
}
