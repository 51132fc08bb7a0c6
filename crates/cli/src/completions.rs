//! Writes scripts that complete options and values in a shell. The scripts for bash, zsh and fish come from
//! the definition of the arguments and from a template for each shell. clap_complete writes the scripts for
//! other shells. `tests/it/completions.rs` runs the scripts in the real shells.
//!
//! The scripts of clap_complete for bash, zsh and fish are not used, because they offer wrong words after a
//! URL and for the values of most commands.

mod bash;
mod fish;
mod zsh;

use crate::args;
use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, ValueHint};
use clap_complete::Shell;

/// One command with everything that can follow it.
struct Command {
    /// The command as a user types it, such as `downhaul config init`.
    words: String,
    options: Vec<CliOption>,
    positions: Vec<Position>,
    /// The commands below this one. Their names are values of the first position.
    subcommands: Vec<Word>,
}

struct CliOption {
    /// The names, such as `-d` and `--output`.
    names: Vec<String>,
    help: String,
    /// The name of each value. An option that takes no value has none.
    value_names: Vec<String>,
    value: Value,
    /// The names of the options that cannot be used with this option.
    conflicts: Vec<String>,
    can_be_repeated: bool,
}

/// An argument that is not an option.
struct Position {
    name: String,
    value: Value,
    can_be_repeated: bool,
}

/// What a shell completes for a value.
enum Value {
    Words(Vec<Word>),
    Files,
    Folders,
    Urls,
    /// Any other text, for which nothing is completed.
    Text,
}

/// A word that can be completed, and its description.
struct Word {
    text: String,
    help: String,
}

/// Returns the script for a shell.
pub(crate) fn script(shell: Shell) -> String {
    let mut root = args::command();
    root.build();
    let mut commands = Vec::new();
    add(&root, "downhaul", &mut commands);
    match shell {
        Shell::Bash => bash::script(&commands),
        Shell::Zsh => zsh::script(&commands),
        Shell::Fish => fish::script(&commands),
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut args::command(), "downhaul", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    }
}

/// Adds a command and all commands below it.
fn add(command: &clap::Command, words: &str, commands: &mut Vec<Command>) {
    let subcommands = command.get_subcommands().map(|sub| Word {
        text: sub.get_name().into(),
        help: sub.get_about().map(ToString::to_string).unwrap_or_default(),
    });
    let found = Command {
        words: words.into(),
        options: shown(command).filter(|arg| !arg.is_positional()).map(|arg| option(command, arg)).collect(),
        positions: command.get_positionals().map(position).collect(),
        subcommands: subcommands.collect(),
    };
    // `downhaul help` has a subcommand for each command. If nothing can follow a subcommand, the scripts need
    // no entry for it.
    if found.options.is_empty() && found.positions.is_empty() && found.subcommands.is_empty() {
        return;
    }
    commands.push(found);
    for sub in command.get_subcommands() {
        add(sub, &format!("{words} {}", sub.get_name()), commands);
    }
}

fn shown(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set())
}

fn option(command: &clap::Command, arg: &Arg) -> CliOption {
    let conflicts = command.get_arg_conflicts_with(arg).into_iter().flat_map(names).collect();
    CliOption {
        names: names(arg),
        help: arg.get_help().map(|help| help.to_string().replace('\n', " ")).unwrap_or_default(),
        value_names: value_names(arg),
        value: without_unused(command, arg, value(arg)),
        conflicts,
        can_be_repeated: matches!(arg.get_action(), ArgAction::Append | ArgAction::Count),
    }
}

fn position(arg: &Arg) -> Position {
    Position {
        name: value_names(arg).swap_remove(0),
        value: value(arg),
        can_be_repeated: arg.get_num_args().is_some_and(|number| number.max_values() > 1),
    }
}

/// Returns the names of an option as a user types them.
fn names(arg: &Arg) -> Vec<String> {
    let short = arg.get_short().map(|short| format!("-{short}"));
    short.into_iter().chain(arg.get_long().map(|long| format!("--{long}"))).collect()
}

/// Returns the name of each value of an argument.
fn value_names(arg: &Arg) -> Vec<String> {
    if !arg.get_action().takes_values() {
        return Vec::new();
    }
    match arg.get_value_names() {
        Some(names) => names.iter().map(ToString::to_string).collect(),
        None => vec![arg.get_id().to_string()],
    }
}

fn value(arg: &Arg) -> Value {
    let words: Vec<Word> = arg.get_possible_values().iter().filter_map(word).collect();
    match arg.get_value_hint() {
        _ if !words.is_empty() => Value::Words(words),
        ValueHint::AnyPath | ValueHint::FilePath | ValueHint::ExecutablePath => Value::Files,
        ValueHint::DirPath => Value::Folders,
        ValueHint::Url => Value::Urls,
        _ => Value::Text,
    }
}

/// Returns the value without the words that the command refuses.
fn without_unused(command: &clap::Command, arg: &Arg, value: Value) -> Value {
    let is_used = |word: &Word| !args::is_unused_by_daemon(arg.get_long().unwrap_or_default(), &word.text);
    match value {
        Value::Words(words) if command.get_name() == "daemon" => {
            Value::Words(words.into_iter().filter(is_used).collect())
        }
        value => value,
    }
}

fn word(value: &PossibleValue) -> Option<Word> {
    let help = value.get_help().map(|help| help.to_string().replace('\n', " ")).unwrap_or_default();
    (!value.is_hide_set()).then(|| Word { text: value.get_name().into(), help })
}
