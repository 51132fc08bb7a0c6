//! `downhaul replay`: shows a recording of `--progress json` in the usual output.

use crate::args::Args;
use crate::exit::Exit;
use crate::printer::{self, Paint};
use crate::run::usage;
use crate::settings;
use crate::ui::bars::Total;
use crate::ui::messages::Messages;
use crate::ui::prompt::Prompt;
use crate::ui::screen::Screen;
use crate::words;
use downhaul_engine::core::event::{EventKind, Line};
use downhaul_engine::core::list::text::Lines;
use downhaul_engine::core::show::escaped;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Shows the events in a file. The path `-` means standard input. The replay is `speed` times as fast as the
/// recorded run.
pub(crate) fn run(args: &Args, file: &Path, speed: f64) -> Exit {
    let reader: Box<dyn Read> = match file.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => match File::open(file) {
            Ok(file) => Box::new(file),
            Err(e) => return usage(&format!("{} cannot be read: {e}", words::path(file))),
        },
    };
    let output = settings::output_settings(args, false);
    let messages = Messages::new(None, Paint(output.color), output.quiet, output.verbose, output.unicode);
    let mut screen = Screen::new(output.progress, output.repaints, messages, Prompt::new(None));
    let mut samples = BTreeMap::new();
    let mut now = None;
    for (line, number) in Lines::new(reader).zip(1..) {
        let line = match line_of(line, number, file) {
            Ok(line) => line,
            Err(why) => {
                drop(screen.end());
                return usage(&why);
            }
        };
        let at = line.at();
        // The first line is shown immediately. A gap in the recording that is longer than two seconds is
        // shortened to two seconds.
        let pause = at.saturating_sub(now.unwrap_or(at)).min(Duration::from_secs(2));
        if pause > Duration::ZERO {
            let all: Vec<_> = samples.values().cloned().collect();
            screen.paint(now.unwrap_or(at), &all, Total::default());
            thread::sleep(Duration::try_from_secs_f64(pause.as_secs_f64() / speed).unwrap_or(Duration::MAX));
        }
        now = Some(at.max(now.unwrap_or(at)));
        match line {
            Line::Progress(_, sample) => {
                samples.insert(sample.job, sample);
            }
            Line::Event(event) => {
                if let (
                    Some(job),
                    EventKind::Finished { .. } | EventKind::Failed { .. } | EventKind::Skipped { .. },
                ) = (event.job, &event.kind)
                {
                    samples.remove(&job);
                }
                screen.event(&event);
            }
        }
    }
    screen.end().iter().for_each(|line| printer::err(&format!("{line}\n")));
    Exit::Success
}

/// Reads the event or the progress in a line of a recording.
///
/// # Errors
/// Returns why the line or the file cannot be read, in words for the user.
fn line_of(line: io::Result<Vec<u8>>, number: u64, file: &Path) -> Result<Line, String> {
    let line = match line {
        Ok(line) => Line::from_json(&String::from_utf8_lossy(&line)),
        // The line is too long.
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(e.to_string()),
        Err(e) if file.as_os_str() == "-" => return Err(format!("standard input cannot be read: {e}")),
        Err(e) => return Err(format!("{} cannot be read: {e}", words::path(file))),
    };
    line.map_err(|why| format!("line {number} is not an event: {}", escaped(&why)))
}
