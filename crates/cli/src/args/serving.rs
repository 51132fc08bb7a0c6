//! The options of a download that mean nothing for a daemon.
//!
//! Invariant: such an option is not in the help of `downhaul daemon`. On its command line, the option is an
//! error. In the configuration, which also has the settings of other commands, it is ignored with a note,
//! except `log = "none"`, which changes nothing.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// The long names of the options. Most of them mean nothing for these reasons: the queue of a daemon has no
/// end, and is not for a single file. Its clients show the progress and the failures. Its log is in memory
/// (`downhaul logs`).
const OPTIONS: [&str; 19] = [
    "checksum",
    "data",
    "deadline",
    "dry-run",
    "explain",
    "failed",
    "grace",
    "json",
    "keep-going",
    "log",
    "max-total",
    "on-complete",
    "on-error-run",
    "progress",
    "range",
    "record",
    "request",
    "save-cookies",
    "stop-with-parent",
];

/// Values that mean nothing, each with the long name of its option. A daemon asks no questions, no failed
/// download ends it, and it does not choose the number of active downloads itself.
const VALUES: [(&str, &str); 3] = [("on-error", "ask"), ("on-error", "exit"), ("parallel", "auto")];

/// Returns true if this option, or this value of it, means nothing for a daemon. The value `none` of `log` is
/// an exception.
pub(crate) fn is_unused(name: &str, value: &str) -> bool {
    // This value turns off a log that a daemon never writes, so it needs no note.
    let is_no_log = (name, value) == ("log", "none");
    !is_no_log && (OPTIONS.contains(&name) || VALUES.contains(&(name, value)))
}

/// Returns the command `daemon`, whose help does not show [`OPTIONS`] and [`VALUES`].
pub(super) fn with_help(command: Command) -> Command {
    let help = |arg: Arg, text: &'static str| arg.help(text).long_help(None).hide_possible_values(true);
    let command = command.mut_args(|arg| match arg.get_long() {
        Some(name) if OPTIONS.contains(&name) => arg.hide(true),
        _ => arg,
    });
    command
        .mut_arg("parallel", |arg| help(arg, "Download N files at once [default: 5]"))
        .mut_arg("on_error", |arg| help(arg, "Retry or skip a file after a failure [default: retry]"))
}

/// Returns why the command line of a daemon is refused, if it has an option that means nothing for a daemon.
/// `matches` must not have the settings of the configuration, because such a setting is not refused.
pub(super) fn refusal(command: &Command, matches: &ArgMatches) -> Option<String> {
    let given = matches.subcommand_matches("daemon")?;
    let is_given = |arg: &&Arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    command.find_subcommand("daemon")?.get_arguments().filter(is_given).find_map(|arg| {
        let name = arg.get_long()?;
        if OPTIONS.contains(&name) {
            return Some(format!("--{name} means nothing for a daemon"));
        }
        let mut values = given.get_raw(arg.get_id().as_str())?.filter_map(|value| value.to_str());
        let value = values.next_back().filter(|value| is_unused(name, value))?;
        Some(format!("--{name} {value} means nothing for a daemon"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_an_option() {
        let command = crate::args::command();
        let daemon = command.find_subcommand("daemon").expect("a command");
        for name in OPTIONS.iter().chain(VALUES.iter().map(|(name, _)| name)) {
            assert!(daemon.get_arguments().any(|arg| arg.get_long() == Some(name)), "{name}");
        }
    }
}
