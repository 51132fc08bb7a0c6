//! `--progress json`: every fact a line on standard output, and a sample of each file in flight once a second.
//!
//! A reader that is slow keeps new files from starting; a reader that is gone ends the telling, not the transfers.

use super::{Facts, Next};
use crate::printer;
use downhaul_engine::Session;
use downhaul_engine::core::event::{Line, Phase};
use std::time::{Duration, Instant, SystemTime};

/// CLI contract: once a second per file in flight.
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
            // Nobody reads: take the facts all the same, or no new file would start.
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
