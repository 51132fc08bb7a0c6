//! Who is sent for which bytes: the first request, further connections of the same source, and other sources.

use super::ledger::NextAssignment;
use super::{Action, Plan, WorkerId};
use crate::concurrency::Allowance;
use crate::settings::Verify;
use std::time::Duration;

/// How often to look whether an idle connection could help a slow one, while nothing else happens.
const LOOK_AROUND: Duration = Duration::from_millis(250);

impl Plan {
    /// Sends workers for what is missing, with what room there is at the host of each source. When to look again, if there
    /// is nothing to do now.
    pub(super) fn schedule(&mut self, now: Duration, rooms: &[Allowance]) -> Option<Duration> {
        if self.complete() {
            return None;
        }
        let active = self.ledger.assignments().len();
        if let Some(conditions) = self.asking.clone() {
            let source = self.sources.current();
            if active == 0 && rooms.get(source).is_some_and(|room| room.most > 0) {
                let worker = self.next_worker(now);
                self.ledger.assign(now, worker, source, 0, None);
                self.actions.push_back(Action::Ask { worker, source, conditions });
            }
            return None;
        }
        let size_known = self.ledger.size.is_some();
        let ranged = (self.is_provable() || self.open_ended) && (size_known || self.ledger.there() > 0);
        if active == 0 && !(ranged && size_known) {
            let source = self.sources.current();
            let room = rooms.get(source).filter(|room| room.most > 0)?;
            if now < room.not_before {
                return Some(room.not_before);
            }
            if !ranged {
                // Of a short one all is compared.
                let from = self.adopting.as_ref().map_or(0, |left| left.overlap().start);
                self.fetch(now, source, from, None);
            } else if self.ledger.claimed.is_empty() {
                // Where the file ends is not known, so that only what is there without a gap is of use, once that is
                // known.
                let prefix = self.ledger.written.prefix();
                self.ledger.written.remove(prefix..u64::MAX);
                self.fetch(now, source, prefix, None);
            }
            return None;
        }
        if self.stop_some(now, rooms) {
            return None;
        }
        let mut later: Option<Duration> = None;
        for source in self.asked() {
            let Some(room) = rooms.get(source).filter(|room| room.most > 0) else { continue };
            let more = self.more(now, source, room);
            if more == 0 {
                let opens = self.sources.growth(source).and_then(|growth| growth.opens(now));
                later = later.into_iter().chain(opens).min();
                continue;
            }
            let next = if now < room.not_before {
                room.not_before
            } else if self.send(now, source, active + more) {
                return None;
            } else {
                now + LOOK_AROUND
            };
            later = Some(later.map_or(next, |later| later.min(next)));
        }
        later
    }

    /// Has fewer workers where there are too many at the host of a source. Others go on with what they leave.
    fn stop_some(&mut self, now: Duration, rooms: &[Allowance]) -> bool {
        for (source, room) in rooms.iter().enumerate().filter(|(_, room)| room.surplus > 0) {
            for help in self.ledger.fewer(now, source, room.surplus) {
                match help {
                    NextAssignment::Cut(worker, end) => self.cut(worker, end),
                    NextAssignment::Drop(worker) => self.dispense_with(worker),
                    _ => {}
                }
            }
        }
        !self.actions.is_empty()
    }

    /// Sends a worker to that source, if one more of `lanes` in all has something to do.
    fn send(&mut self, now: Duration, source: usize, lanes: usize) -> bool {
        // A cut or a dead worker makes bytes free, and then there is a task.
        for _ in 0..2 {
            match self.ledger.next_assignment(now, lanes, self.sources.parts_work(source), &self.rules.sizes)
            {
                NextAssignment::Fetch(range) => {
                    self.fetch(now, source, range.start, Some(range.end));
                    return true;
                }
                NextAssignment::Hedge(primary, range) => {
                    let worker = self.fetch_as(now, source, range.start, Some(range.end));
                    self.ledger.hedge(now, worker, source, primary, range);
                    return true;
                }
                NextAssignment::Cut(worker, end) => self.cut(worker, end),
                NextAssignment::Drop(worker) => {
                    self.ledger.leave(worker);
                    self.grew();
                    self.actions.push_back(Action::Drop { worker });
                }
                NextAssignment::Nothing => return false,
            }
        }
        false
    }

    /// A worker's task ends there now.
    fn cut(&mut self, worker: WorkerId, end: u64) {
        self.ledger.end(worker, end);
        self.actions.push_back(Action::Cut { worker, end });
    }

    /// The sources that may be asked for pieces: those with the fewest workers first.
    fn asked(&self) -> Vec<usize> {
        if !self.mixes() {
            return vec![self.sources.current()];
        }
        let mut all = self.sources.askable();
        all.sort_by_key(|source| {
            self.ledger.assignments().iter().filter(|one| one.source == *source).count()
        });
        all
    }

    /// How many more workers that source should have.
    fn more(&self, now: Duration, source: usize, room: &Allowance) -> usize {
        let active = self.ledger.assignments().len();
        if active == 0 {
            return 1;
        }
        if !self.takes_more() || !self.ledger.is_measured(now) {
            return 0;
        }
        let left = self.rules.connections.unwrap_or(usize::MAX).saturating_sub(active);
        let here = self.ledger.assignments().iter().filter(|one| one.source == source);
        let receiving = here.clone().filter(|one| one.receiving).count();
        let mine = here.count();
        if mine == 0 {
            return left.min(1);
        }
        // One finds out whether parts are to be had before many ask for them.
        let sure =
            if self.sources.parts_work(source) { usize::MAX } else { (receiving + 1).saturating_sub(mine) };
        let allowed = self.sources.growth(source).map_or(0, |growth| growth.room(now, mine));
        room.worth.min(left).min(sure).min(allowed)
    }

    /// Whether some source may be asked for more connections than it has, now or later.
    pub(super) fn may_grow(&self) -> bool {
        self.asked().into_iter().any(|source| {
            let mine = self.ledger.assignments().iter().filter(|one| one.source == source).count();
            self.sources.growth(source).is_some_and(|growth| growth.may_grow(mine))
        })
    }

    /// Bytes of several sources may be joined: what proves the file in the end, or piece by piece, proves that too. Equal
    /// sizes, tags and dates prove nothing.
    pub(super) fn mixes(&self) -> bool {
        let proof = self.chunks.is_some() || self.expectations.has_strong(&[]);
        let checked = self.rules.verify != Verify::Off && !self.rules.sizes.window_is_memory;
        self.sources.len() > 1 && checked && proof && self.ledger.size.is_some() && self.is_provable()
    }

    fn fetch(&mut self, now: Duration, source: usize, from: u64, to: Option<u64>) {
        let worker = self.fetch_as(now, source, from, to);
        self.ledger.assign(now, worker, source, from, to);
    }

    fn fetch_as(&mut self, now: Duration, source: usize, from: u64, to: Option<u64>) -> WorkerId {
        let worker = self.next_worker(now);
        self.actions.push_back(Action::Fetch { worker, source, from, to });
        worker
    }

    fn next_worker(&mut self, now: Duration) -> WorkerId {
        self.first_request.get_or_insert(now);
        self.workers += 1;
        self.workers
    }
}
