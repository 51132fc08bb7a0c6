//! The question after a failure. It is asked on the controlling terminal while other downloads continue.
//!
//! One question is shown at a time. After ten minutes without an answer, the download is retried. Keys are
//! read each time the screen is painted, so that no code waits for the user.

use super::line::Line;
use super::messages::Messages;
use super::units;
use crate::platform::{Key, Terminal};
use crate::printer::Style;
use downhaul_engine::core::event::{Event, EventKind, Failure, JobId, State};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// The text of the question. It must not change, because scripts rely on it.
pub(crate) const QUESTION: &str = "Retry (r), retry all (a), skip (s) or exit (e)? ";

/// The question for a screen that is too narrow for [`QUESTION`].
const SHORT_QUESTION: &str = "(r)etry, (a)ll, (s)kip, (e)xit? ";

/// After this time without an answer, the download is retried, since the user may be away and still need the
/// file.
const PATIENCE: Duration = Duration::from_secs(600);

/// A name beside a failure is not shortened to fewer columns than this. A shorter name would not show which
/// file is meant.
const SHORTEST_NAME: usize = 12;

/// The most lines that the reason of a failure may take below the name of the file. More lines would leave
/// too few lines for the bars.
const MOST_LINES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Retry,
    RetryAll,
    Skip,
    Exit,
}

/// An answer to a question.
pub(crate) struct Answered {
    pub(crate) job: JobId,
    pub(crate) choice: Choice,
    /// The failure and the question.
    pub(crate) lines: [String; 2],
    /// The letter of the answer.
    pub(crate) letter: &'static str,
}

/// The open questions.
pub(crate) struct Prompt {
    terminal: Option<Terminal>,
    open: VecDeque<(JobId, Asked)>,
    /// The time when the question that is shown (the first of `open`) appeared.
    asked: Option<Instant>,
    /// True if [`Self::unprinted`] has returned the question that is shown.
    is_printed: bool,
}

impl Prompt {
    /// Returns a prompt. Without a terminal, it asks no questions.
    pub(crate) fn new(terminal: Option<Terminal>) -> Self {
        Prompt { terminal, open: VecDeque::new(), asked: None, is_printed: false }
    }

    /// Adds the open questions of a state, and removes the questions that are no longer open. The screen may
    /// have missed the events of these questions.
    pub(crate) fn catch_up(&mut self, state: &State, messages: &Messages) {
        if self.terminal.is_none() {
            return;
        }
        let first = self.open.front().map(|(first, _)| *first);
        self.open.retain(|(job, _)| state.asking.contains_key(job));
        if first.is_some_and(|first| !state.asking.contains_key(&first)) {
            self.end_question();
        }
        for (job, (error, left)) in &state.asking {
            if !self.open.iter().any(|(one, _)| one == job) {
                self.open.push_back((*job, question(messages, *job, error, *left)));
            }
        }
    }

    /// Opens or closes a question after an event.
    pub(crate) fn event(&mut self, event: &Event, messages: &Messages) {
        let Some(job) = event.job.filter(|_| self.terminal.is_some()) else { return };
        match &event.kind {
            EventKind::Question { error, left, .. } => {
                self.open.retain(|(one, _)| *one != job);
                self.open.push_back((job, question(messages, job, error, *left)));
            }
            EventKind::Retrying { .. }
            | EventKind::Failed { .. }
            | EventKind::Finished { .. }
            | EventKind::Skipped { .. } => {
                let first = self.open.front().map(|(first, _)| *first);
                self.open.retain(|(one, _)| *one != job);
                if first == Some(job) {
                    self.end_question();
                }
            }
            _ => {}
        }
        if self.open.is_empty() {
            self.close();
        }
    }

    /// Returns the lines below the bars: the failure and the question. Returns no lines if no question is
    /// open.
    pub(crate) fn lines(&mut self, columns: usize) -> Vec<Line> {
        let (Some((_, asked)), Some(_)) = (self.open.front(), &self.terminal) else { return Vec::new() };
        let mut lines: Vec<Line> = asked.lines(columns).into_iter().map(Line::plain).collect();
        let question = if units::width(QUESTION) <= columns { QUESTION } else { SHORT_QUESTION };
        lines.push(Line::of(Style::Question, question).cut(columns));
        lines
    }

    /// Returns the failure and the question, if they were not returned before. This function is for terminals
    /// whose cursor cannot be moved, so that [`Self::lines`] cannot be painted again and again.
    pub(crate) fn unprinted(&mut self) -> Option<[String; 2]> {
        let (_, asked) = self.open.front().filter(|_| self.terminal.is_some() && !self.is_printed)?;
        self.is_printed = true;
        Some([asked.to_string(), QUESTION.into()])
    }

    fn end_question(&mut self) {
        (self.asked, self.is_printed) = (None, false);
    }

    /// Reads the user's answer to the first open question. Returns `None` if no question is open, or if the
    /// user has not answered yet. After [`PATIENCE`] without an answer, returns the answer to retry. The
    /// answer has the failure and the question, as lines that stay on the screen.
    pub(crate) fn poll(&mut self) -> Option<Answered> {
        let (job, failure) = self.open.front()?;
        let (job, failure) = (*job, failure.to_string());
        let terminal = self.terminal.as_mut()?;
        if self.asked.is_none() {
            terminal.listen();
            self.asked = Some(Instant::now());
        }
        let mut choice = None;
        while choice.is_none() {
            choice = match terminal.key() {
                Key::Char('r' | 'R') => Some(Choice::Retry),
                Key::Char('a' | 'A') => Some(Choice::RetryAll),
                Key::Char('s' | 'S') => Some(Choice::Skip),
                Key::Char('e' | 'E') | Key::End => Some(Choice::Exit),
                Key::Char(_) => None,
                Key::None => break,
            };
        }
        let too_long = self.asked.is_some_and(|asked| asked.elapsed() >= PATIENCE);
        let choice = choice.or(too_long.then_some(Choice::Retry))?;
        let letter = match choice {
            Choice::Retry => "r",
            Choice::RetryAll => "a",
            Choice::Skip => "s",
            Choice::Exit => "e",
        };
        self.open.pop_front();
        self.end_question();
        if matches!(choice, Choice::RetryAll | Choice::Exit) {
            self.open.clear();
        }
        Some(Answered { job, choice, lines: [failure, QUESTION.into()], letter })
    }

    /// Prepares for input after this program was stopped and continued. If a question is open, makes the
    /// terminal pass on single keys again, because another program may have changed the settings of the
    /// terminal. After that, [`Self::unprinted`] returns the question again.
    pub(crate) fn resume(&mut self) {
        self.is_printed = false;
        if let (Some(terminal), false) = (&mut self.terminal, self.open.is_empty()) {
            terminal.restore();
            terminal.listen();
        }
    }

    /// Restores the settings of the terminal.
    pub(crate) fn close(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.restore();
        }
    }
}

/// The file and the failure that a question is about.
#[derive(Clone)]
struct Asked {
    name: String,
    why: String,
}

impl Asked {
    /// Returns the name and the failure in lines of at most `columns` columns. If there is too little room,
    /// the name is shortened first, because the failure is more important.
    fn lines(&self, columns: usize) -> Vec<String> {
        let whole = self.to_string();
        if units::width(&whole) <= columns {
            return vec![whole];
        }
        let room = columns.saturating_sub(units::width(&self.why) + 2);
        if room >= SHORTEST_NAME {
            return vec![format!("{}: {}", units::fit(&self.name, room), self.why)];
        }
        let mut lines = vec![units::fit(&self.name, columns.min(units::width(&self.name)))];
        lines.extend(units::wrap(&self.why, columns).into_iter().take(MOST_LINES));
        lines
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

fn question(messages: &Messages, job: JobId, error: &Failure, left: u32) -> Asked {
    let tries = match left {
        1 => "1 retry left".to_string(),
        u32::MAX => "retries without limit".to_string(),
        left => format!("{left} retries left"),
    };
    Asked { name: messages.name_of(job), why: format!("{} [{tries}]", messages.reason(job, error)) }
}
