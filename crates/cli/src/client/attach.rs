//! `downhaul attach`: shows the progress bars of a running daemon.
//!
//! Invariant: this command changes nothing in the daemon.

use super::download::Download;
use super::http::Http;
use super::watch::of_event;
use crate::args::Args;
use crate::exit::Exit;
use crate::platform::{self, CtrlZ};
use crate::printer::{self, Paint, Style};
use crate::settings::{self, Shown};
use crate::ui::bars::{Bars, Total};
use crate::ui::line::Line;
use crate::ui::painter::Painter;
use downhaul_engine::{JobId, Phase, Progress};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The longest time between two paints. If no event arrives, the bars are painted after this time, so that
/// they soon fit a new size of the terminal.
const PAINT_EVERY: Duration = Duration::from_millis(500);

/// Shows the bars until the daemon ends.
///
/// # Errors
/// Returns an error when the daemon ends or the connection is lost, or if the daemon cannot be reached or
/// refuses the secret.
pub(super) async fn run(args: &Args, daemon: &Http) -> Result<Exit, String> {
    let mut events = daemon.events().await?;
    let output = settings::output_settings(args, false);
    let mut ctrl_z = CtrlZ::listen();
    let mut screen = Screen {
        bars: Bars::new(output.unicode),
        painter: Painter::default(),
        paint: Paint(output.color),
        is_drawn: output.progress == Shown::Bars,
        start: Instant::now(),
        seen: HashMap::new(),
        samples: Vec::new(),
        queued: 0,
    };
    if !screen.is_drawn {
        printer::err(&format!(
            "attached to {} (Ctrl-C ends attach, and the daemon keeps running)\n",
            daemon.url()
        ));
    }
    loop {
        let mut above = Vec::new();
        tokio::select! {
            event = tokio::time::timeout(PAINT_EVERY, events.next()) => if let Ok(event) = event {
                above.extend(screen.event(&event?));
            },
            () = ctrl_z.next() => {
                printer::err(&screen.painter.clear());
                platform::stop_until_continued();
            }
        }
        screen.show(&above);
    }
}

/// The bars and the lines of the command. When this value is dropped, the bars are removed from the terminal.
struct Screen {
    bars: Bars,
    painter: Painter,
    paint: Paint,
    /// True if bars are drawn. Otherwise there are only lines.
    is_drawn: bool,
    start: Instant,
    /// For each active download, the time when it was seen first.
    seen: HashMap<String, Instant>,
    samples: Vec<Progress>,
    /// The number of downloads that wait or are paused.
    queued: u64,
}

impl Screen {
    /// Handles an event. Returns the line to print about it, if there is one.
    fn event(&mut self, event: &Value) -> Option<String> {
        self.queued = event["summary"]["queued"].as_u64().unwrap_or(self.queued);
        match event["kind"].as_str() {
            Some("progress") => {
                let active: Vec<Download> =
                    serde_json::from_value(event["downloads"].clone()).unwrap_or_default();
                self.progress(&active);
                None
            }
            Some("completed") => {
                let download = of_event(event)?;
                self.bars.state.finished += 1;
                self.bars.state.bytes += download.completed;
                self.drop_bar(&download);
                let line = format!("{}: {}", download.shown_name(), download.outcome());
                Some(self.paint.show(Style::Success, &line))
            }
            Some("failed") => {
                let download = of_event(event)?;
                self.bars.state.failed += 1;
                self.drop_bar(&download);
                let line = format!("{}: {}", download.shown_name(), download.outcome());
                Some(self.paint.show(Style::Failure, &line))
            }
            Some("paused" | "removed") => {
                let download = of_event(event)?;
                self.drop_bar(&download);
                Some(format!("{}: {}", download.shown_name(), download.state))
            }
            Some("missed") => Some(
                "some events were missed, so downloads that ended in the meantime may not be counted".into(),
            ),
            _ => None,
        }
    }

    fn progress(&mut self, active: &[Download]) {
        let now = Instant::now();
        self.seen.retain(|id, _| active.iter().any(|download| download.id == *id));
        self.samples.clear();
        for download in active {
            let since = *self.seen.entry(download.id.clone()).or_insert(now);
            self.samples.push(sample(download, (now - since).as_secs_f64()));
        }
        self.bars.sample(self.start.elapsed(), &self.samples);
    }

    /// Removes the bar of a download that is not active any more.
    fn drop_bar(&mut self, download: &Download) {
        self.samples.retain(|sample| sample.job != job(download));
    }

    /// Prints lines, and paints the bars below them.
    fn show(&mut self, above: &[String]) {
        let (columns, rows) = platform::terminal_size();
        if !self.is_drawn || !platform::is_in_front() {
            let lines: String = above.iter().map(|line| format!("{line}\n")).collect();
            printer::err(&format!("{}{lines}", self.painter.clear()));
            return;
        }
        let files =
            self.bars.state.finished + self.bars.state.failed + self.samples.len() as u64 + self.queued;
        self.bars.total = Total { files, more: false };
        let room = columns.saturating_sub(1);
        let block = match self.samples.is_empty() {
            true => {
                let idle = format!("no active download, {} queued (Ctrl-C ends attach)", self.queued);
                vec![Line::plain(idle).cut(room)]
            }
            false => self.bars.lines(&self.samples, room, rows.saturating_sub(1)),
        };
        let block: Vec<String> = block.iter().map(|line| line.show(self.paint)).collect();
        printer::err(&self.painter.paint(above, &block, columns));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        printer::err(&self.painter.clear());
    }
}

fn job(download: &Download) -> JobId {
    JobId::new(u64::from_str_radix(&download.id, 16).unwrap_or_default())
}

/// Returns the progress of a download in the form that [`Bars`] needs.
fn sample(download: &Download, seconds: f64) -> Progress {
    let phase = match download.connections {
        _ if download.waits.is_some() => Phase::Waiting,
        0 if download.completed == 0 => Phase::Connecting,
        _ => Phase::Receiving,
    };
    let mut sample = Progress::new(job(download), &download.name, phase);
    if let Some(waits) = &download.waits {
        let left = waits.until.saturating_sub(Timestamp::now().as_millisecond());
        sample.wait = Duration::from_millis(u64::try_from(left).unwrap_or_default()).as_secs_f64();
    }
    (sample.bytes, sample.total, sample.seconds) = (download.completed, download.total, seconds);
    sample.connections = download.connections;
    sample
}
