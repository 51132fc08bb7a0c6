//! Shows messages, and below them the bars and the question. If the progress is shown in plain lines, these
//! lines are printed between the messages.
//!
//! The screen runs on a separate thread, reads events and progress, and paints at most ten times a second. If
//! the screen is slower than the events, it misses events and does not show their messages. The numbers that
//! it shows are still right, because they come from the state of the session.

use super::above;
use super::bars::{Bars, Total};
use super::line::Line;
use super::messages::Messages;
use super::painter::Painter;
use super::prompt::{Answered, Choice, Prompt};
use super::units;
use super::{EventReader, Next};
use crate::platform;
use crate::printer;
use crate::run::Shared;
use crate::settings::Shown;
use downhaul_engine::Session;
use downhaul_engine::core::event::{Event, EventKind, JobId, Phase, Progress};
use downhaul_engine::core::plan::Answer;
use downhaul_engine::core::show;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The time between two paints. Ten paints a second look smooth, and more would only take processor time.
const TICK: Duration = Duration::from_millis(100);

/// The shortest time between two plain lines about the progress of one job.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// The content of the screen, and the lines that are printed next.
pub(crate) struct Screen<'a> {
    shown: Shown,
    messages: Messages<'a>,
    bars: Bars,
    painter: Painter,
    prompt: Prompt,
    /// Lines that wait to be printed.
    above: Vec<String>,
    /// The lines that are printed at the very end.
    last: Vec<String>,
    /// For each active job, the time of its last plain line, or the time when its progress was first seen.
    plain: HashMap<JobId, Duration>,
    /// True if the cursor of the terminal can be moved, so that the bars and the question are painted again.
    /// Otherwise a question is printed once.
    repaints: bool,
    /// True if the last line of a terminal without a movable cursor is a question.
    is_line_open: bool,
}

impl<'a> Screen<'a> {
    pub(crate) fn new(shown: Shown, repaints: bool, messages: Messages<'a>, prompt: Prompt) -> Self {
        let bars = Bars::new(messages.unicode);
        Screen {
            shown,
            messages,
            bars,
            painter: Painter::default(),
            prompt,
            above: Vec::new(),
            last: Vec::new(),
            plain: HashMap::new(),
            repaints,
            is_line_open: false,
        }
    }

    /// Shows a session until it is over.
    pub(crate) fn run(mut self, mut events: EventReader, session: &Session, shared: &Shared) {
        let start = Instant::now();
        above::hold();
        loop {
            let paint_at = Instant::now() + TICK;
            let mut over = false;
            while let Some(left) = paint_at.checked_duration_since(Instant::now()) {
                match events.next(left) {
                    Next::Event(event) => {
                        self.above.extend(above::take());
                        self.event(&event);
                    }
                    Next::Nothing => break,
                    Next::End => {
                        over = true;
                        break;
                    }
                }
            }
            self.above.extend(above::take());
            let missed = events.reader.missed();
            if missed > 0 {
                self.above.push(format!("... {missed} events were not shown"));
                self.bars.state = session.state();
                self.prompt.catch_up(&self.bars.state, &self.messages);
            }
            if over {
                if self.messages.suggests_another_run() {
                    shared.suggest_another_run();
                }
                shared.print_last(self.end());
                above::release();
                return;
            }
            self.ask(session, shared);
            if shared.take_hide() {
                self.pause(shared);
            }
            if shared.take_repaint() {
                printer::err(self.painter.forget());
                self.is_line_open = false;
                self.prompt.resume();
            }
            self.paint(start.elapsed(), &session.samples(), shared.total());
        }
    }

    /// Handles Ctrl-Z: removes the bars and the question, and stops this program until it is continued.
    fn pause(&mut self, shared: &Shared) {
        self.print(&[], 0);
        self.prompt.close();
        // The bars and the question are gone, so the screen needs no repaint when the program continues.
        shared.ignore_next_continue(true);
        if !platform::stop_until_continued() {
            shared.ignore_next_continue(false);
        }
        self.prompt.resume();
    }

    pub(crate) fn event(&mut self, event: &Event) {
        self.prompt.event(event, &self.messages);
        self.bars.state.apply(event);
        let lines = self.messages.lines(event);
        match event.kind {
            EventKind::Summary { .. } => self.last.extend(lines),
            _ => self.above.extend(lines),
        }
    }

    /// Paints the bars and the question, and prints the waiting lines above them. `at` is the time of a clock
    /// that does not go backwards, `samples` is the progress of the active jobs, and `total` is the number of
    /// files.
    pub(crate) fn paint(&mut self, at: Duration, samples: &[Progress], total: Total) {
        let (columns, rows) = platform::terminal_size();
        self.bars.total = total;
        self.bars.sample(at, samples);
        let mut block = Vec::new();
        if platform::is_in_front() {
            // The question is below the bars, so its rows are not available for bars.
            let question = self.prompt.lines(columns.saturating_sub(1));
            let rows = rows.saturating_sub(question.len() + 1);
            // One column stays free, because some terminals move the cursor to the next line after the last
            // column.
            if self.shown == Shown::Bars && !samples.is_empty() {
                block = self.bars.lines(samples, columns.saturating_sub(1), rows);
            }
            match self.repaints {
                true => block.extend(question),
                false => self.print_question(),
            }
        }
        if self.shown == Shown::Plain && !self.messages.quiet {
            self.plain_lines(at, samples);
        }
        self.print(&block, columns);
    }

    /// Prints the waiting lines, and removes the bars and the question. Returns the lines to print last.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.print(&[], 0);
        if std::mem::take(&mut self.is_line_open) {
            printer::err("\n");
        }
        self.prompt.close();
        self.last
    }

    fn print(&mut self, block: &[Line], columns: usize) {
        let above = std::mem::take(&mut self.above);
        let text = if block.is_empty() {
            let mut text = self.painter.clear();
            if !above.is_empty() && std::mem::take(&mut self.is_line_open) {
                text.push('\n');
            }
            for line in above {
                text += &line;
                text.push('\n');
            }
            text
        } else {
            let paint = self.messages.paint;
            let block: Vec<String> = block.iter().map(|line| line.show(paint)).collect();
            self.painter.paint(&above, &block, columns)
        };
        if !text.is_empty() {
            printer::err(&text);
        }
    }

    /// Prints the question, unless it was printed before. This function is for terminals whose cursor cannot
    /// be moved.
    fn print_question(&mut self) {
        if let Some([failure, question]) = self.prompt.unprinted() {
            self.above.push(failure);
            self.print(&[], 0);
            printer::err(&question);
            self.is_line_open = true;
        }
    }

    fn plain_lines(&mut self, at: Duration, samples: &[Progress]) {
        self.plain.retain(|job, _| samples.iter().any(|sample| sample.job == *job));
        for sample in samples {
            let last = *self.plain.entry(sample.job).or_insert(at);
            if at < last + PLAIN_EVERY || sample.phase != Phase::Receiving {
                continue;
            }
            self.plain.insert(sample.job, at);
            let mut line = format!("{}: {}", show::escaped(&sample.name), units::bytes(sample.bytes));
            let speed = self.bars.speed_of(sample.job);
            if let Some(total) = sample.total.filter(|&total| total > 0) {
                let percent = (sample.bytes as f64 / total as f64 * 100.0).floor();
                line += &format!(" of {} ({percent}%)", units::bytes(total));
            }
            if let Some(speed) = speed {
                line += &format!(", {}", units::rate(speed));
                if let Some(total) = sample.total.filter(|_| speed > 0.0) {
                    let left = total.saturating_sub(sample.bytes) as f64 / speed;
                    line += &format!(", {} left", units::clock(left));
                }
            }
            self.above.push(line);
        }
    }

    fn ask(&mut self, session: &Session, shared: &Shared) {
        let Some(Answered { job, choice, lines: [failure, question], letter }) = self.prompt.poll() else {
            return;
        };
        if std::mem::take(&mut self.is_line_open) {
            printer::err(&format!("{letter}\n"));
        } else if self.repaints {
            self.above.extend([failure, format!("{question}{letter}")]);
        } else {
            self.above.push(format!("{question}{letter}"));
        }
        match choice {
            Choice::Retry => session.answer(job, Answer::Retry),
            Choice::RetryAll => session.retry_all(),
            Choice::Skip => session.answer(job, Answer::Skip),
            Choice::Exit => {
                shared.end(crate::exit::Exit::Chosen);
                session.stop();
            }
        }
    }
}
