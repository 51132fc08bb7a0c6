//! The question after a failure, asked on the controlling terminal while other files go on.
//!
//! One question is open at a time. Keys are looked for at every paint, so that nothing ever waits for a person.

use super::messages::Messages;
use super::units;
use crate::platform::{Key, Terminal};
use downhaul_engine::core::event::{Event, EventKind, Failure, JobId, State};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The exact words, which scripts and habits rely on.
pub(crate) const QUESTION: &str = "Retry (r), retry all (a), skip (s) or exit (e)? ";

/// No answer for so long counts as "retry": the person is asleep and would want the file.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a person can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Retry,
    RetryAll,
    Skip,
    Exit,
}

/// The open questions.
pub(crate) struct Prompt {
    terminal: Option<Terminal>,
    open: VecDeque<(JobId, String)>,
    asked: Option<Instant>,
}

impl Prompt {
    /// `None`: nobody can be asked.
    pub(crate) fn new(terminal: Option<Terminal>) -> Self {
        Prompt { terminal, open: VecDeque::new(), asked: None }
    }

    /// Questions may be among the facts that the screen missed: takes over those that are open.
    pub(crate) fn catch_up(&mut self, state: &State, messages: &Messages) {
        if self.terminal.is_none() {
            return;
        }
        self.open.retain(|(job, _)| state.asking.contains_key(job));
        for (job, (error, left)) in &state.asking {
            if !self.open.iter().any(|(one, _)| one == job) {
                self.open.push_back((*job, question(messages, *job, error, *left)));
            }
        }
    }

    /// Opens and closes questions as the facts say.
    pub(crate) fn event(&mut self, event: &Event, messages: &Messages) {
        let (Some(job), Some(terminal)) = (event.job, &mut self.terminal) else { return };
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
                    self.asked = None;
                }
            }
            _ => {}
        }
        if self.open.is_empty() {
            terminal.cook();
        }
    }

    /// What stands below the bars: the failure, and the question.
    pub(crate) fn lines(&mut self, columns: usize) -> Vec<String> {
        let (Some((_, failure)), Some(_)) = (self.open.front(), &self.terminal) else { return Vec::new() };
        vec![units::prefix(failure, columns).to_string(), units::prefix(QUESTION, columns).to_string()]
    }

    /// Looks for an answer to the first question. Comes with the line that stays on the screen.
    pub(crate) fn poll(&mut self) -> Option<(JobId, Choice, String)> {
        let (job, failure) = self.open.front()?;
        let (job, failure) = (*job, failure.clone());
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
        self.asked = None;
        if matches!(choice, Choice::RetryAll | Choice::Exit) {
            self.open.clear();
        }
        Some((job, choice, format!("{failure}\n{QUESTION}{letter}")))
    }

    /// We were stopped and go on: the terminal may have been set differently.
    pub(crate) fn resume(&mut self) {
        if let (Some(terminal), false) = (&mut self.terminal, self.open.is_empty()) {
            terminal.cook();
            terminal.listen();
        }
    }

    /// Leaves the terminal as it was.
    pub(crate) fn close(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.cook();
        }
    }
}

fn question(messages: &Messages, job: JobId, error: &Failure, left: u32) -> String {
    let tries = match left {
        1 => "1 retry left".to_string(),
        u32::MAX => "retries without limit".to_string(),
        left => format!("{left} retries left"),
    };
    format!("{}: {} [{tries}]", messages.name_of(job), messages.reason(job, error))
}
