//! Scripts that complete options and values in a shell. clap_complete writes them from the arguments; what it
//! gets wrong is corrected here. `tests/it/completions.rs` tries the scripts in the shells themselves.

use crate::args;
use clap::{Arg, Command};
use clap_complete::Shell;

/// The line with which the script for fish reads the words before the cursor. It fails if the last word is an
/// option without its value, so no value would ever be completed.
const FISH_READS: &str = "argparse -s (__fish_downhaul_global_optspecs) -- $cmd 2>/dev/null\n";

/// Reads the same words followed by some value.
const FISH_READS_WITH_A_VALUE: &str =
    "    or argparse -s (__fish_downhaul_global_optspecs) -- $cmd value 2>/dev/null\n";

/// Returns the script for this shell.
pub(crate) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut command = with_plain_names(args::command());
    clap_complete::generate(shell, &mut command, "downhaul", &mut script);
    let script = String::from_utf8_lossy(&script);
    // Only the script for fish has this text.
    script.replace(FISH_READS, &[FISH_READS, FISH_READS_WITH_A_VALUE].concat())
}

/// Removes quotes and colons from the names of all values. They are syntax in the script for zsh, which does
/// not load with a name such as `'N: V'`.
fn with_plain_names(command: Command) -> Command {
    command.mut_args(with_plain_name).mut_subcommands(with_plain_names)
}

fn with_plain_name(arg: Arg) -> Arg {
    let names: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(|name| name.replace(['\'', ':'], "")).collect();
    if names.is_empty() { arg } else { arg.value_names(names) }
}
