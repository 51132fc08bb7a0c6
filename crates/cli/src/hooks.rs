//! Runs the commands of `--on-complete` and `--on-error-run`, with the facts about a file in the environment.
//!
//! Invariant: no shell is involved, and no fact becomes a word of the command. One command runs at a time. If
//! a command fails, a warning is shown. After the user or a signal stopped the run, no command starts.

use crate::import::split_words;
use crate::ui::{EventReader, Next};
use downhaul_engine::core::event::{EventKind, JobId};
use downhaul_engine::core::show::escaped;
use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The names of the variables that a command gets, without their common prefix.
const FACTS: [&str; 7] = ["EVENT", "URL", "PATH", "BYTES", "CODE", "REASON", "JOB"];

const PREFIX: &str = "DOWNHAUL_FILE_";

/// A command as words. The first word is the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook(Vec<String>);

impl Hook {
    /// Splits a command by the quotes of a shell. A variable, `|`, `>` and other syntax that has a meaning
    /// only in a shell is an error.
    ///
    /// # Errors
    /// Returns what is wrong, in words for the user.
    pub(crate) fn read(text: &str) -> Result<Hook, String> {
        const SHELL: &str = "this command runs without a shell. To use a shell, write \"sh -c '...'\"";
        match split_words(text) {
            Ok(Some(words)) if !words.is_empty() => Ok(Hook(words)),
            Ok(Some(_)) => Err("it must be a command".into()),
            Ok(None) => Err(SHELL.into()),
            Err(why) => Err(format!("{why}; {SHELL}")),
        }
    }
}

/// Returns true if an environment variable has the name of a variable that a command gets.
pub(crate) fn is_fact(variable: &str) -> bool {
    variable.strip_prefix(PREFIX).is_some_and(|name| FACTS.contains(&name))
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) complete: Option<Hook>,
    pub(crate) error: Option<Hook>,
}

impl Hooks {
    pub(crate) fn is_empty(&self) -> bool {
        self.complete.is_none() && self.error.is_none()
    }

    /// Reads events until the run is over, and runs the commands. `is_stopped` returns true if the user or a
    /// signal stopped the run, and `warn` shows a warning.
    pub(crate) fn run(&self, mut events: EventReader, is_stopped: impl Fn() -> bool, warn: impl Fn(&str)) {
        let mut urls: HashMap<JobId, String> = HashMap::new();
        loop {
            let event = match events.next(Duration::from_secs(3600)) {
                Next::Event(event) => event,
                Next::Nothing => continue,
                Next::End => return,
            };
            let Some(job) = event.job else { continue };
            let mut start = |option: &str, hook: &Option<Hook>, facts: [&str; 5]| {
                let url = urls.remove(&job).unwrap_or_default();
                let Some(hook) = hook.as_ref().filter(|_| !is_stopped()) else { return };
                let [event, path, bytes, code, reason] = facts;
                let all = [event, &url, path, bytes, code, reason, &job.get().to_string()];
                if let Some(why) = run_command(hook, all) {
                    let what = if path.is_empty() { &url } else { path };
                    warn(&escaped(&format!("{option} for {what}: {why}")));
                }
            };
            match &event.kind {
                EventKind::Queued { url, .. } => drop(urls.insert(job, url.clone())),
                EventKind::Finished { path, bytes, .. } => {
                    start("--on-complete", &self.complete, ["complete", path, &bytes.to_string(), "", ""]);
                }
                EventKind::Failed { error, .. } if error.code != "run.stopped" => {
                    start("--on-error-run", &self.error, ["error", "", "", &error.code, &error.message]);
                }
                EventKind::Skipped { .. } | EventKind::Failed { .. } => drop(urls.remove(&job)),
                _ => {}
            }
        }
    }
}

/// Runs a command and waits for its end. Returns why the command failed, or `None`.
fn run_command(Hook(words): &Hook, facts: [&str; 7]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(std::io::stderr()).stderr(std::io::stderr());
    for (name, value) in FACTS.iter().zip(facts) {
        // The value of a variable cannot contain a NUL character.
        command.env(format!("{PREFIX}{name}"), value.replace('\0', ""));
    }
    match command.status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("the command ended with {status}")),
        Err(e) => Some(format!("the command {program} could not be started: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_by_quotes_and_nothing_else() {
        let words = |text: &str| Hook::read(text).map(|hook| hook.0);
        assert_eq!(
            words(r#"mv "my file" 'to here' a\ b"#),
            Ok(["mv", "my file", "to here", "a b"].map(String::from).into())
        );
        assert_eq!(words("sh -c 'echo $X | cat'").map(|words| words.len()), Ok(3));
        for bad in ["", "echo $X", "echo > f", "a | b", "a; b", "a && b", "echo 'x", "`x`", "a 2>&1", "a 2>f"]
        {
            assert!(words(bad).is_err(), "{bad}");
        }
    }
}
