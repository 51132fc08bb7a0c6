//! Runs the commands of `--on-complete` and `--on-error-run`, with the facts about a file in the environment.
//!
//! Invariant: no shell is involved, and no fact becomes a word of the command. One command runs at a time. If
//! a command fails, a warning is shown. After a signal, or if another reason ends the run immediately, no
//! command starts, and a warning names each downloaded file whose command did not run.

use crate::import::split_words;
use crate::ui::{EventReader, Next};
use downhaul_engine::core::event::{EventKind, JobId};
use downhaul_engine::core::show::escaped;
use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The names of the variables that a command gets, without their common prefix.
const FACTS: [&str; 7] = ["EVENT", "URL", "PATH", "BYTES", "CODE", "REASON", "JOB"];

const PREFIX: &str = "DOWNHAUL_FILE_";

/// While a command runs, downhaul checks at this interval if downhaul itself must end soon, for example after
/// a signal. The interval is short, because downhaul waits only a short time for the last warnings when it
/// must end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A command as words. The first word is the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook(Vec<String>);

impl Hook {
    /// Splits a command by the quotes of a shell. A variable, an operator such as `|` or `>`, and a command
    /// whose output a shell would insert are errors. `~` and `*` are ordinary characters.
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

    /// Reads events until the run is over, and runs the commands. `warn` shows a warning. `is_stopped`
    /// returns true if no further command may start, for example after a signal. If a command is running at
    /// that time, this function first shows the warnings about all other files. Then it waits for the end
    /// of the running command.
    pub(crate) fn run(&self, mut events: EventReader, is_stopped: impl Fn() -> bool, warn: impl Fn(&str)) {
        let mut urls: HashMap<JobId, String> = HashMap::new();
        let mut running: Option<Running> = None;
        loop {
            let event = match events.next(Duration::from_secs(3600)) {
                Next::Event(event) => event,
                Next::Nothing => continue,
                Next::End => break,
            };
            let Some(job) = event.job else { continue };
            let mut start = |option: &str, hook: &Option<Hook>, facts: [&str; 5]| {
                let url = urls.remove(&job).unwrap_or_default();
                let Some(hook) = hook else { return };
                let [event, path, bytes, code, reason] = facts;
                let name = format!("{option} for {}", if path.is_empty() { &url } else { path });
                if is_stopped() {
                    // A failed download needs no warning: the next run tries it again, and if it fails again,
                    // the command of `--on-error-run` runs.
                    if !path.is_empty() {
                        warn(&escaped(&format!(
                            "{name}: the command did not run, because the run was stopped"
                        )));
                    }
                    return;
                }
                let all = [event, &url, path, bytes, code, reason, &job.get().to_string()];
                let command = Running::start(name, hook, all);
                running = command.wait(&is_stopped, &warn);
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
        if let Some(command) = running {
            command.wait(|| false, &warn);
        }
    }
}

/// A command that has been started.
struct Running {
    /// The option and the file, for warnings.
    name: String,
    /// Receives the reason if the command failed, and `None` if it succeeded.
    end: Receiver<Option<String>>,
}

impl Running {
    /// Starts a command. A separate thread waits for its end.
    fn start(name: String, hook: &Hook, facts: [&str; 7]) -> Running {
        let (to, end) = mpsc::channel();
        let mut command = command_of(hook, facts);
        let program = hook.0.first().cloned().unwrap_or_default();
        thread::spawn(move || {
            let why = match command.status() {
                Ok(status) if status.success() => None,
                Ok(status) => Some(format!("the command ended with {status}")),
                Err(e) => Some(format!("the command {program} could not be started: {e}")),
            };
            // After a signal, the program may end before the command does.
            let _ = to.send(why);
        });
        Running { name, end }
    }

    /// Waits for the end of the command, and shows a warning if it failed. If `is_stopped` returns true
    /// before that, returns the running command.
    fn wait(self, is_stopped: impl Fn() -> bool, warn: impl Fn(&str)) -> Option<Running> {
        loop {
            match self.end.recv_timeout(LOOK_EVERY) {
                Ok(why) => {
                    why.iter().for_each(|why| warn(&escaped(&format!("{}: {why}", self.name))));
                    return None;
                }
                Err(RecvTimeoutError::Timeout) if is_stopped() => return Some(self),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

/// Returns the command of a hook, with the facts in its environment.
fn command_of(Hook(words): &Hook, facts: [&str; 7]) -> Command {
    // A hook has at least one word.
    let mut command = Command::new(words.first().map_or("", String::as_str));
    command.args(words.iter().skip(1));
    command.stdin(Stdio::null()).stdout(std::io::stderr()).stderr(std::io::stderr());
    for (name, value) in FACTS.iter().zip(facts) {
        // The value of a variable cannot contain a NUL character.
        command.env(format!("{PREFIX}{name}"), value.replace('\0', ""));
    }
    command
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
        // The rules of cmd or of PowerShell would split these commands into other words.
        assert_eq!(
            words(r#"sed 's/a b/c/' ^"x y""#),
            Ok(["sed", "s/a b/c/", "^x y"].map(String::from).into())
        );
        for end in ['^', '`'] {
            let quoted = format!("one {end}\ntwo");
            let expected = ["echo".to_string(), quoted.clone(), "a b".into()];
            assert_eq!(words(&format!(r"echo '{quoted}' a\ b")), Ok(expected.into()));
        }
        for bad in ["", "echo $X", "echo > f", "a | b", "a; b", "a && b", "echo 'x", "`x`", "a 2>&1", "a 2>f"]
        {
            assert!(words(bad).is_err(), "{bad}");
        }
    }
}
