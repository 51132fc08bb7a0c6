//! The short help (`-h`): one screen with the options that most people need. `--help` shows all options.

use super::USAGE;
use super::client::ClientCommand;
use crate::ui::units;
use clap::{Arg, Command, Subcommand};

/// The width of the column that has the names of the options.
const NAMES: usize = 23;

/// The width of the short help.
const WIDTH: usize = 80;

/// Returns the short help. It shows the options that neither `hide` nor `hide_short_help` hides.
pub(super) fn short(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("{about}.\n\nUsage: {USAGE}\n\nMost used options:\n");
    for arg in command.get_arguments().filter(|arg| is_shown(arg)) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        text += &format!("  {:NAMES$} {help}\n", names(arg));
    }
    let clients = ClientCommand::augment_subcommands(Command::new(""));
    let clients: Vec<&str> = clients.get_subcommands().map(Command::get_name).collect();
    let others = command.get_subcommands().map(Command::get_name);
    // The last line says how to get help, so the command `help` is left out.
    let others: Vec<&str> = others.filter(|name| *name != "help" && !clients.contains(name)).collect();
    text + &format!(
        "\n{}\n{}\nUse --help for all options, and COMMAND --help for the options of a command.\n",
        wrapped(&format!("Commands: {}", others.join(", "))),
        wrapped(&format!("For the daemon: {}", clients.join(", ")))
    )
}

/// Returns the text in lines of at most [`WIDTH`] columns. All lines after the first one are indented.
fn wrapped(text: &str) -> String {
    units::wrap(text, WIDTH - 2).join("\n  ")
}

fn is_shown(arg: &Arg) -> bool {
    !arg.is_positional() && !arg.is_hide_set() && !arg.is_hide_short_help_set()
}

/// Returns the names of an option and of its value, such as `-d, --output DIR`.
fn names(arg: &Arg) -> String {
    let short = arg.get_short().map_or("    ".to_string(), |short| format!("-{short}, "));
    let value = match arg.get_action().takes_values() {
        true => {
            arg.get_value_names().and_then(<[_]>::first).map(|name| format!(" {name}")).unwrap_or_default()
        }
        false => String::new(),
    };
    format!("{short}--{}{value}", arg.get_long().unwrap_or_default())
}
