//! Writes the output of `--progress json` to standard output: a line for each event, and once a second a line
//! about the progress of each active job.
//!
//! If the program that reads the output is slow, no new download starts. If that program closes the pipe,
//! nothing more is written, and the run stops, unless `--keep-going` was given. If the output is a file and
//! its disk is full, the downloads continue, but the run ends with the exit status 5 ([`crate::exit`]).

use super::{AT_ONCE, EventReader, Next};
use crate::platform;
use crate::printer;
use downhaul_engine::Session;
use downhaul_engine::core::event::{Line, Phase};
use std::io;
use std::time::{Duration, Instant, SystemTime};

/// The time between two lines about the progress of one job. `docs/events.md` promises one second.
const EVERY: Duration = Duration::from_secs(1);

/// Writes the events and the progress until the session is over. If the program that reads the output has
/// closed the pipe, calls `gone`, and returns no error.
pub(crate) fn run(mut events: EventReader, session: &Session, gone: impl FnOnce()) -> io::Result<()> {
    let mut due = Instant::now() + EVERY;
    let mut text = Vec::new();
    loop {
        let left = due.saturating_duration_since(Instant::now());
        match events.next(left) {
            Next::Event(event) => {
                event.write_json(&mut text);
                text.push(b'\n');
            }
            Next::Nothing => {}
            // Everything was written after the last event.
            Next::End => return Ok(()),
        }
        if Instant::now() >= due {
            due = Instant::now() + EVERY;
            text.extend(samples(session).into_bytes());
        }
        if !events.is_empty() && text.len() < AT_ONCE {
            continue;
        }
        let is_gone = text.is_empty() && platform::reader_is_gone();
        let written = if is_gone { Err(io::ErrorKind::BrokenPipe.into()) } else { printer::write(&text) };
        text.clear();
        if let Err(error) = written {
            let is_gone = error.kind() == io::ErrorKind::BrokenPipe;
            if is_gone {
                gone();
            }
            // The events are still read, because no new download starts while too many events are unread.
            while !matches!(events.next(EVERY), Next::End) {}
            return if is_gone { Ok(()) } else { Err(error) };
        }
    }
}

/// Returns a line about the progress of each active job. Jobs that wait for an answer of the user are left
/// out.
fn samples(session: &Session) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let samples = session.samples();
    let busy = samples.into_iter().filter(|sample| sample.phase != Phase::Asking);
    busy.map(|sample| Line::Progress(at, sample).to_json() + "\n").collect()
}
