//! [`Log`]: the last lines about downloads and the daemon, for `downhaul logs`.
//!
//! Invariant: the log is in memory and bounded. Its lines have numbers without gaps, and no secrets.

use super::api::Download;
use crate::entry::Entry;
use crate::gid::Gid;
use crate::state::Notice;
use downhaul_engine::core::show;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use utoipa::ToSchema;

/// The highest number of lines that are kept.
const LINES: usize = 1000;

/// A line of the log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Line {
    /// The number of the line, from 1.
    pub number: u64,
    /// The time in milliseconds since the Unix epoch.
    pub at: u64,
    /// `started`, `paused`, `removed`, `completed` or `failed` for a download, and `daemon` for the daemon.
    pub kind: &'static str,
    /// The identifier of the download, if the line is about one.
    pub id: Option<String>,
    /// The message for the user.
    pub text: String,
}

/// The log. All clones share the same lines.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    lines: VecDeque<Line>,
    /// The number of the last line.
    last: u64,
}

impl Log {
    /// Adds a line about the daemon.
    pub fn add(&self, text: impl Into<String>) {
        self.line("daemon", None, text.into());
    }

    /// Adds a line about a download. A notice that aria2 does not have, such as a new place in the queue,
    /// adds no line.
    pub fn note(&self, notice: Notice, entry: &Entry) {
        let name = Download::name_of(entry);
        let path = || entry.path.as_ref().map_or(name.clone(), |path| path.display().to_string());
        let (kind, text) = match notice {
            Notice::Start => ("started", name),
            Notice::Pause => ("paused", name),
            Notice::Stop => ("removed", name),
            Notice::Complete => {
                let proof = entry.proven.as_deref().unwrap_or_default();
                ("completed", format!("{}: {} bytes, {}", path(), entry.completed, show::verified(proof)))
            }
            Notice::Error => {
                let (code, message) = entry.error.clone().unwrap_or_default();
                ("failed", format!("{name}: {message} ({code})"))
            }
            Notice::Changed | Notice::Gone => return,
        };
        self.line(kind, Some(entry.gid), text);
    }

    /// Returns the lines whose numbers are higher than `number`, and the number of the last line of the log.
    /// If there are more than `most` such lines, returns only the last `most` of them.
    pub fn after(&self, number: u64, most: usize) -> (Vec<Line>, u64) {
        let log = self.lock();
        let later = log.lines.iter().filter(|line| line.number > number).count();
        let shown = later.min(most);
        (log.lines.iter().skip(log.lines.len() - shown).cloned().collect(), log.last)
    }

    fn line(&self, kind: &'static str, gid: Option<Gid>, text: String) {
        let mut log = self.lock();
        log.last += 1;
        let (number, at, id) = (log.last, crate::daemon::now(), gid.map(|gid| gid.to_string()));
        log.lines.push_back(Line { number, at, kind, id, text });
        if log.lines.len() > LINES {
            log.lines.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let log = Log::default();
        (0..LINES + 5).for_each(|number| log.add(number.to_string()));
        let numbers = |(lines, last): (Vec<Line>, u64)| {
            (lines.iter().map(|line| line.number).collect::<Vec<_>>(), last)
        };
        let last = LINES as u64 + 5;
        assert_eq!(numbers(log.after(0, 2)), (vec![last - 1, last], last));
        assert_eq!(numbers(log.after(last - 1, 100)), (vec![last], last));
        assert_eq!(numbers(log.after(last, 100)), (vec![], last));
        assert_eq!(log.after(0, usize::MAX).0.len(), LINES);
    }
}
