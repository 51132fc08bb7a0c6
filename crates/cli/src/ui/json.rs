//! `--progress json`: writes every event as a line to standard output, and the progress of each file in
//! flight once a second.
//!
//! If the reader is slow, no new file starts. If the reader is gone, nothing more is written, and the
//! transfers continue.

use super::{Facts, Next};
use crate::printer;
use downhaul_engine::Session;
use downhaul_engine::core::event::{Line, Phase};
use std::time::{Duration, Instant, SystemTime};

/// The time between two lines of progress. `docs/events.md` promises one second.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until the session is over.
pub(crate) fn run(mut facts: Facts, session: &Session) {
    let mut due = Instant::now() + EVERY;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        let alive = match facts.next(left) {
            Next::Event(event) => printer::out(&(Line::Event((*event).clone()).to_json() + "\n")),
            Next::Nothing => {
                due = Instant::now() + EVERY;
                samples(session)
            }
            Next::End => return,
        };
        if !alive {
            // The reader is gone. The events are still taken, or no new file would start.
            while !matches!(facts.next(EVERY), Next::End) {}
            return;
        }
    }
}

fn samples(session: &Session) -> bool {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let samples = session.samples();
    let busy = samples.into_iter().filter(|sample| sample.phase != Phase::Asking);
    let text: String = busy.map(|sample| Line::Progress(at, sample).to_json() + "\n").collect();
    text.is_empty() || printer::out(&text)
}
