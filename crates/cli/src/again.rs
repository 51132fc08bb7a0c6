//! Writes the command that runs the same download again.
//!
//! Invariant: the command that resumes contains every argument that clap found on the command line, and
//! nothing else. Only secret values, a deadline with a date, and those options of other tools that downhaul
//! accepts without effect are left out. If such a command is not possible, no command is shown. A new option
//! therefore needs no change in this file. The repeated run never verifies less than the first run.

use crate::args::{Deadline, is_foreign};
use crate::secrets;
use crate::stdin;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use downhaul_engine::core::show;

/// The heading of the options for existing files. `repair` does not accept these options, and the names of
/// the files that it repairs do not depend on them.
const EXISTING: &str = "Existing files";

/// The command that runs the same download again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Again {
    /// The command cannot be shown, because part of it is secret or cannot be pasted (such as a value that is
    /// not UTF-8), or because something was read from standard input or from a pipe. For a repair, it is also
    /// possible that no such command exists.
    #[default]
    Unshown,
    /// The command for a POSIX shell, and the names of the headers and options whose values were left out.
    Command(String, Vec<String>),
}

impl Again {
    /// Returns the command line of the user, without the parts that must be left out.
    pub(crate) fn of(command: &Command, matches: &ArgMatches) -> Again {
        let (words, command, matches) = innermost(command, matches);
        match Given::of(command, matches, false) {
            Some(given) => given.into_command(words),
            None => Again::Unshown,
        }
    }

    /// Returns a text that introduces the command, and the command. The command is empty if it cannot be
    /// shown. `resumes` is true if this run saved bytes, or if it ended before it started all files.
    pub(crate) fn to_run_again(&self, resumes: bool) -> (String, String) {
        let label = if resumes { "To resume" } else { "To try again" };
        match self {
            Again::Unshown => (format!("{label}, run the same command again."), String::new()),
            Again::Command(command, hidden) if hidden.is_empty() => {
                (format!("{label}:"), format!(" {command}"))
            }
            Again::Command(command, hidden) => {
                let names = hidden.join(", ");
                (format!("{label}, with your own value for {names}:"), format!(" {command}"))
            }
        }
    }

    /// Returns the command as the program understood it, for `--dry-run`. The option `--dry-run` and all
    /// secrets are left out.
    pub(crate) fn shown(command: &Command, matches: &ArgMatches) -> String {
        let (words, command, matches) = innermost(command, matches);
        let mut given = Given::of(command, matches, true).unwrap_or_default();
        given.options.retain(|(long, _)| long != "dry-run");
        match given.into_command(words) {
            Again::Command(command, _) => command,
            Again::Unshown => String::new(),
        }
    }

    /// Returns the command that repairs the files in the list of `-i`. The command has all given options,
    /// except those for existing files. Returns `Unshown` if `repair` does not accept one of the other
    /// options, if a URL or a subcommand was given, if there is not exactly one list, or if the command
    /// cannot be shown.
    pub(crate) fn repairing(command: &Command, matches: &ArgMatches) -> Again {
        let Some(repair) = command.find_subcommand("repair") else { return Again::Unshown };
        let mut given = match Given::of(command, matches, false) {
            Some(given) if matches.subcommand().is_none() && given.positionals.is_empty() => given,
            _ => return Again::Unshown,
        };
        if cannot_be_repaired(command, |name| given.options.iter().any(|(long, _)| long == name)) {
            return Again::Unshown;
        }
        given.options.retain(|(long, _)| accepts(repair, long));
        // The subcommand `repair` takes one list only.
        let lists: Vec<_> = matches.get_raw("input").into_iter().flatten().collect();
        let [list] = lists[..] else { return Again::Unshown };
        let Some(list) = list.to_str() else { return Again::Unshown };
        given.positionals.push(list.into());
        given.into_command(vec![command.get_name().into(), repair.get_name().into()])
    }
}

/// Returns true if `repair` cannot repair the files of a run, because it does not accept an option for which
/// `is_set` is true. For example, without an option about names, `repair` would look for the files under
/// wrong names. `-i` and the options for existing files do not count.
pub(crate) fn cannot_be_repaired(command: &Command, is_set: impl Fn(&str) -> bool) -> bool {
    let Some(repair) = command.find_subcommand("repair") else { return true };
    command.get_arguments().any(|arg| {
        let long = arg.get_long().unwrap_or_default();
        let has_no_meaning = long == "input" || arg.get_help_heading() == Some(EXISTING);
        is_set(long) && !has_no_meaning && !accepts(repair, long)
    })
}

fn accepts(command: &Command, long: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_long() == Some(long))
}

/// Returns the names of the program and of the given subcommands, and the definition and the arguments of the
/// innermost subcommand. If no subcommand was given, returns the definition and the arguments of the program.
pub(crate) fn innermost<'c>(
    mut command: &'c Command,
    mut matches: &'c ArgMatches,
) -> (Vec<String>, &'c Command, &'c ArgMatches) {
    let mut words = vec![command.get_name().to_string()];
    while let Some((name, inner)) = matches.subcommand()
        && let Some(found) = command.find_subcommand(name)
    {
        words.push(name.into());
        (command, matches) = (found, inner);
    }
    (words, command, matches)
}

/// The parts of the command line that can be shown.
#[derive(Default)]
struct Given {
    /// For each option, its long name, and the text of the option with its values.
    options: Vec<(String, String)>,
    positionals: Vec<String>,
    /// The names of the headers and options whose values were left out.
    left_out: Vec<String>,
}

impl Given {
    /// Returns the arguments that the user gave. If part of the command line cannot be shown, the result
    /// depends on `is_hiding`: if it is true, that part is shown without its secrets, and the command cannot
    /// be pasted. If it is false, the result is `None`.
    fn of(command: &Command, matches: &ArgMatches, is_hiding: bool) -> Option<Given> {
        let mut given = Given::default();
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) || is_foreign(id) {
                continue;
            }
            if !is_hiding && id == "deadline" && is_point_in_time(matches) {
                continue;
            }
            let long = arg.get_long().unwrap_or_default().to_string();
            if !arg.get_action().takes_values() {
                let times = match arg.get_action() {
                    ArgAction::Count => matches.get_count(id),
                    _ => 1,
                };
                given.options.extend((0..times).map(|_| (long.clone(), name(arg))));
                continue;
            }
            for values in matches.get_raw_occurrences(id).into_iter().flatten() {
                let mut shown = Vec::new();
                for (place, value) in values.enumerate() {
                    // A value that is not UTF-8 cannot be shown, because the shown text would be different.
                    let is_shown = value.to_str().is_some_and(|value| can_be_shown(arg, value));
                    let value = value.to_string_lossy();
                    let value = match is_shown {
                        true => value.into_owned(),
                        false if is_hiding => show::escaped(&secrets::shown(arg, place, &value)).into_owned(),
                        false => return None,
                    };
                    let (value, hidden) = secrets::without(arg, place, &value);
                    given.left_out.extend(hidden);
                    shown.push(value);
                }
                match arg.is_positional() {
                    true => given.positionals.extend(shown),
                    false => {
                        let options = given_option(arg, &shown).into_iter();
                        given.options.extend(options.map(|option| (long.clone(), option)));
                    }
                }
            }
        }
        Some(given)
    }

    /// Returns the command that begins with these words.
    fn into_command(self, mut words: Vec<String>) -> Again {
        let looks_like_an_option = |word: &String| word.starts_with('-') && word != "-";
        let divided = self.positionals.iter().any(looks_like_an_option);
        let positionals: Vec<String> = self.positionals.iter().map(|word| quoted(word)).collect();
        let options = self.options.into_iter().map(|(_, option)| option);
        match divided {
            true => words.extend(options.chain(["--".into()]).chain(positionals)),
            false => words.extend(positionals.into_iter().chain(options)),
        }
        Again::Command(words.join(" "), self.left_out)
    }
}

/// Returns true if the deadline is a point in time, which may have passed when the command runs again.
fn is_point_in_time(matches: &ArgMatches) -> bool {
    let value = matches.get_raw("deadline").and_then(|mut values| values.next_back()?.to_str());
    value.is_some_and(Deadline::is_point_in_time)
}

fn can_be_shown(arg: &Arg, value: &str) -> bool {
    !value.chars().any(show::is_unsafe_to_show)
        && !secrets::is_unshown(arg, value)
        && !is_read_once(arg, value)
}

/// Returns the texts of an option with its values. If an option takes several values at once, one text has
/// the option and all of these values. Any other option is repeated for each value.
fn given_option(arg: &Arg, values: &[String]) -> Vec<String> {
    let takes = arg.get_num_args().map_or(1, |count| count.max_values());
    let one = |values: &[String]| match values {
        // A value that looks like an option must be joined to its option with `=`.
        [value] if value.starts_with('-') && value != "-" => {
            format!("--{}={}", arg.get_long().unwrap_or_default(), quoted(value))
        }
        values => {
            let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("{} {}", name(arg), quoted.join(" "))
        }
    };
    values.chunks(takes.max(1)).map(one).collect()
}

/// Returns an option as it is written on the command line: its short form, such as `-x`, or its long form if
/// it has no short form.
pub(crate) fn name(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), _) => format!("-{short}"),
        (None, long) => format!("--{}", long.unwrap_or_default()),
    }
}

/// Returns true if a later run cannot read the value again, because the value is read from standard input or
/// from a pipe that the shell opened for this command.
fn is_read_once(arg: &Arg, value: &str) -> bool {
    let file = value.trim_start_matches('@');
    stdin::is_read_by(arg, value)
        || ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"].iter().any(|opened| file.starts_with(opened))
}

/// Quotes a word for a POSIX shell, if that is necessary.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
