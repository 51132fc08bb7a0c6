//! Decides which options read standard input.
//!
//! Invariant: at most one option in a command line reads standard input, because standard input can be read
//! only once.

use crate::again;
use crate::args::is_foreign;
use crate::secrets;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, ValueHint};

/// The names of standard input.
const NAMES: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Options with files that never come from standard input: the run writes the file, or the engine opens it by
/// its name.
const OTHERS: [&str; 10] =
    ["save_as", "log", "record", "archive", "failed", "save_cookies", "cacert", "cert", "key", "unix_socket"];

/// Returns true if the option reads standard input, as with `-i -` and `--data @-`.
pub(crate) fn is_read_by(arg: &Arg, value: &str) -> bool {
    let is_file = matches!(arg.get_value_hint(), ValueHint::FilePath | ValueHint::AnyPath);
    let file = match value.strip_prefix('@') {
        Some(file) => Some(file).filter(|_| secrets::may_be_secret(arg)),
        None => Some(value).filter(|_| is_file && !OTHERS.contains(&arg.get_id().as_str())),
    };
    file.is_some_and(|file| NAMES.contains(&file))
}

/// Checks that at most one option reads standard input. `has_command` is true if an imported command was
/// already read from standard input.
///
/// # Errors
/// Returns a message for the user, which names the first two readers of standard input.
pub(crate) fn check(command: &Command, matches: &ArgMatches, has_command: bool) -> Result<(), String> {
    let (_, command, matches) = again::innermost(command, matches);
    let mut readers: Vec<String> = has_command.then(|| "the imported command".into()).into_iter().collect();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) || is_foreign(id) {
            continue;
        }
        let values = matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy());
        readers.extend(values.filter(|value| is_read_by(arg, value)).map(
            |value| match arg.is_positional() {
                true => value.into_owned(),
                false => format!("{} {value}", again::name(arg)),
            },
        ));
    }
    match readers.as_slice() {
        [] | [_] => Ok(()),
        [first, second, ..] => {
            Err(format!("standard input can be read only once, and {first} and {second} both read it"))
        }
    }
}
