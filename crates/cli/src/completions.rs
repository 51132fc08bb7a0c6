//! Writes scripts that complete options and values in a shell. clap_complete makes them from the definition
//! of the arguments, and this file corrects its mistakes. `tests/it/completions.rs` runs the scripts in the
//! real shells.

use crate::args;
use clap::{Arg, Command};
use clap_complete::Shell;

/// The line of the script for fish that reads the words before the cursor. This line fails if the last word
/// is an option without its value, so fish would never complete a value.
const FISH_READS: &str = "argparse -s (__fish_downhaul_global_optspecs) -- $cmd 2>/dev/null\n";

/// The line that is added after [`FISH_READS`]. It reads the same words, followed by any value.
const FISH_READS_WITH_A_VALUE: &str =
    "    or argparse -s (__fish_downhaul_global_optspecs) -- $cmd value 2>/dev/null\n";

pub(crate) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut command = with_plain_names(args::command());
    clap_complete::generate(shell, &mut command, "downhaul", &mut script);
    let script = String::from_utf8_lossy(&script);
    // Only the script for fish has this text.
    script.replace(FISH_READS, &[FISH_READS, FISH_READS_WITH_A_VALUE].concat())
}

/// Removes quotes and colons from the names of all values. These characters are part of the syntax of zsh, so
/// zsh cannot load a script with a name such as `'N: V'`.
fn with_plain_names(command: Command) -> Command {
    command.mut_args(with_plain_name).mut_subcommands(with_plain_names)
}

fn with_plain_name(arg: Arg) -> Arg {
    let names: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(|name| name.replace(['\'', ':'], "")).collect();
    if names.is_empty() { arg } else { arg.value_names(names) }
}
