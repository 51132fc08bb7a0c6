//! Decides what happens if an option with one value is given several times.
//!
//! Invariant: each such option of a download is in exactly one row of [`TABLE`]. Options that collect their
//! values, such as `-H`, `--data` and `--resolve`, are in no row, and neither are options that only another
//! command has.

use crate::again;
use crate::config;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;

/// What happens if an option is given several times.
enum Repeated {
    /// This is a usage error, and the text says what to do instead. The user probably means all of the
    /// values. With only one of them, the run would download or verify something else.
    Refused(&'static str),
    /// The last value is used, with a warning. The user may mean all of the values, but the run is useful
    /// with one of them.
    Warned,
    /// The last value is used, as in curl and wget. Scripts rely on this: they append an option to override
    /// an earlier one.
    Last,
}

use Repeated::{Last, Refused, Warned};

const TABLE: &[(&[&str], Repeated)] = &[
    (&["columns"], Refused("write commas between the pairs")),
    (&["checksum"], Refused("give the strongest digest only")),
    (&["checksum-file"], Refused("join the lists into one file")),
    (&["signed-by"], Refused("give one key, or one file with all OpenPGP keys")),
    (&["cookies"], Refused("join the files into one")),
    (&["pinned-pubkey"], Refused("write semicolons between the keys")),
    (&["range"], Refused("download each range in a run of its own")),
    (
        &[
            "save-as",
            "to-tar",
            "to-warc",
            "base",
            "failed",
            "archive",
            "on-complete",
            "on-error-run",
            "record",
            "netrc",
            "cookies-from-browser",
            "save-cookies",
            "cacert",
            "no-proxy",
            "cert",
            "key",
            "config",
            "profile",
        ],
        Warned,
    ),
    (
        &[
            "output",
            "list-format",
            "shard",
            "shard-by",
            "names",
            "folders",
            "name-template",
            "tar-size",
            "tar-count",
            "warc-size",
            "warc-count",
            "sync",
            "if-exists",
            "if-locked",
            "dedup",
            "parallel",
            "connections",
            "max-per-host",
            "limit-rate",
            "max-total",
            "deadline",
            "retries",
            "on-error",
            "timeout",
            "connect-timeout",
            "max-time",
            "grace",
            "min-speed",
            "verify",
            "mirrors",
            "user",
            "bearer",
            "auth",
            "user-agent",
            "referer",
            "request",
            "max-redirects",
            "decode",
            "proxy",
            "proxy-user",
            "key-password",
            "tls-min",
            "interface",
            "doh",
            "unix-socket",
            "hsts",
            "progress",
            "color",
            "log",
        ],
        Last,
    ),
];

/// The long name of the option for a part of a file.
const RANGE: &str = "range";

/// The long name of the option for lists.
const INPUT: &str = "input";

/// The long names of the options for a proxy and for the login at the proxy.
const PROXY: &str = "proxy";
const PROXY_LOGIN: &str = "proxy-user";

/// Checks the options that are given several times. `words` is the whole command line, and `command` is its
/// definition. The definition must not have been used before, because this function changes it. Returns
/// warnings for the user.
///
/// # Errors
/// Returns a message for the user, which says which option can be given only once.
pub(super) fn check(command: Command, words: &[OsString]) -> Result<Vec<String>, String> {
    // clap keeps only the last value, unless the option collects its values.
    let collecting = |arg: Arg| if is_single(&arg) { arg.action(ArgAction::Append) } else { arg };
    let command = command.mut_args(collecting).mut_subcommands(|sub| sub.mut_args(collecting));
    // The words were read before, so reading them again does not fail.
    let Ok(all) = command.clone().try_get_matches_from(words) else { return Ok(Vec::new()) };
    let (_, command, matches) = again::innermost(&command, &all);
    let repeated = command.get_arguments().filter(|arg| count(matches, arg) > 1);
    let mut warnings = Vec::new();
    for arg in repeated {
        let long = arg.get_long().unwrap_or_default();
        match TABLE.iter().find(|(names, _)| names.contains(&long)) {
            Some((_, Refused(instead))) => {
                return Err(format!("--{long} can be given only once: {instead}"));
            }
            Some((_, Warned)) => {
                warnings.push(format!("--{long} is given several times, and only the last one is used"));
            }
            Some((_, Last)) | None => {}
        }
    }
    Ok(warnings)
}

/// Returns the arguments of an imported command of curl (`words`), without those that an option of the user
/// overrides. `matches` has the options of the user. Each of the words has the form `--NAME=VALUE` or
/// `--NAME`. As in curl, only the last value of an option with one value is kept.
pub(crate) fn without_overridden(words: &[String], command: &Command, matches: &ArgMatches) -> Vec<String> {
    let (_, inner, matches) = again::innermost(command, matches);
    let is_given =
        |name: &str| inner.get_arguments().any(|arg| arg.get_long() == Some(name) && count(matches, arg) > 0);
    let is_overridden = |(index, word): (usize, &String)| {
        let name = name_of(word);
        let Some(arg) = inner.get_arguments().find(|arg| arg.get_long() == Some(name)) else {
            return false;
        };
        // If the user gives a body, the body of the imported command is not sent.
        let is_body = ["data", "json"].contains(&name);
        let is_replaced = (is_body || is_single(arg)) && is_given(name);
        // Most options that exclude each other are alternatives, such as `--data` and `--json`. `--range` and
        // `--input` are different: an option that they exclude, such as `--data` or `-o`, says something
        // else. If one of two such options were left out, the run would download something else, or save it
        // elsewhere. So both options together are still a usage error.
        let is_alternative = |name: &str| ![RANGE, INPUT].contains(&name);
        let is_excluded = is_alternative(name)
            && config::excluded_by(command, name)
                .iter()
                .any(|other| is_alternative(other) && is_given(other));
        // The login is for the proxy of the pasted command, so another proxy must not get it.
        let is_for_another_proxy = name == PROXY_LOGIN && is_given(PROXY);
        let is_given_later = || words[index + 1..].iter().any(|later| name_of(later) == name);
        is_replaced || is_excluded || is_for_another_proxy || is_single(arg) && is_given_later()
    };
    words.iter().enumerate().filter(|one| !is_overridden(*one)).map(|(_, word)| word.clone()).collect()
}

/// Returns the long name of the option in a word such as `--NAME=VALUE`.
fn name_of(word: &str) -> &str {
    word.trim_start_matches("--").split('=').next().unwrap_or_default()
}

/// Returns true for an option that has one value.
fn is_single(arg: &Arg) -> bool {
    !arg.is_positional() && matches!(arg.get_action(), ArgAction::Set)
}

/// Returns how often an option was given on the command line.
fn count(matches: &ArgMatches, arg: &Arg) -> usize {
    let id = arg.get_id().as_str();
    let is_given = matches.value_source(id) == Some(ValueSource::CommandLine);
    let occurrences = if is_given { matches.get_raw_occurrences(id) } else { None };
    occurrences.map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_with_one_value_is_in_exactly_one_row() {
        let command = crate::args::command();
        let singles: Vec<&str> =
            command.get_arguments().filter(|arg| is_single(arg)).filter_map(Arg::get_long).collect();
        let mut listed: Vec<&str> = TABLE.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        for name in &singles {
            let times = listed.iter().filter(|one| *one == name).count();
            assert_eq!(times, 1, "--{name} must be in one row");
        }
        listed.retain(|name| !singles.contains(name));
        assert!(listed.is_empty(), "these are not options with one value: {listed:?}");
    }
}
