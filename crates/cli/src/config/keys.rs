//! Decides which options are keys of the configuration. A key is the long name of an option. `NO_KEYS` has
//! the options that are not keys, such as options that make sense only for one command. A new option becomes
//! a key without a change in this file.

use super::hosts;
use crate::words;
use clap::{Arg, ArgAction, Command};
use downhaul_engine::core::show;

/// The options that are not keys, and the reasons. Hidden options, `--help` and `--version` are not keys
/// either.
const NO_KEYS: &[(&str, &str)] = &[
    ("config", "it says where the configuration is"),
    ("profile", "it chooses a section [profile.NAME]; set DOWNHAUL_PROFILE in the environment instead"),
    ("dry-run", "it is about one command"),
    ("save-as", "it names one file"),
    ("to-tar", "it names the tars of one set of files"),
    ("to-warc", "it names the WARCs of one set of files"),
    ("request", "it is about one download"),
    ("data", "it is about one download"),
    ("json", "it is about one download"),
    ("range", "it is about one download"),
    ("input", "it names what to download"),
    ("list-format", "it describes one list"),
    ("columns", "it describes one list"),
    ("base", "it describes one list"),
    ("replace", "it describes one list"),
    ("checksum", "it is the digest of one file"),
    ("header-for", "write the header into a section [host.\"NAME\"]"),
];

/// A key as the documentation describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name, which is the long name of the option.
    pub name: String,
    /// The possible values.
    pub values: String,
    /// The default value, or a description of the default. The text may be empty.
    pub default: String,
    /// True if `default` is a value that the key can have.
    pub is_value: bool,
    /// The effect of the key, which is the short help of the option.
    pub meaning: String,
    /// True if a section `[host."NAME"]` can have the key.
    pub is_of_hosts: bool,
}

/// Returns the options that are keys, in the order of the help.
pub(super) fn of(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| is_option(arg) && refusal(long(arg)).is_none())
}

/// Returns the option that a key sets.
///
/// # Errors
/// Returns why the configuration cannot have this key. If the name is similar to the name of a key, the text
/// also says which key may be meant.
pub(super) fn find<'c>(command: &'c Command, name: &str) -> Result<&'c Arg, String> {
    let has_name =
        |arg: &&Arg| long(arg) == name || arg.get_all_aliases().unwrap_or_default().contains(&name);
    let Some(arg) = command.get_arguments().filter(|arg| is_option(arg)).find(has_name) else {
        let shown = show::escaped(name);
        return Err(match words::corrected(&name.replace('_', "-"), of(command).map(long)) {
            Some(meant) => format!("{shown} is not the name of an option; did you mean {meant}?"),
            None => format!("{shown} is not the name of an option"),
        });
    };
    match refusal(long(arg)) {
        Some(why) => Err(format!("{name} cannot be set here: {why}")),
        None => Ok(arg),
    }
}

/// Returns the options of `downhaul config`: all options that are keys, and the options that choose the
/// configuration.
pub(crate) fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    let chooses = |arg: &&Arg| ["config", "profile"].contains(&long(arg));
    of(command).chain(command.get_arguments().filter(chooses))
}

/// Returns the description of each key, for the documentation.
#[must_use]
pub fn described() -> Vec<Key> {
    let mut command = crate::args::command();
    command.build();
    let described = of(&command).map(|arg| Key {
        name: long(arg).into(),
        values: values(arg),
        default: default(arg),
        is_value: !arg.get_action().takes_values() || !arg.get_default_values().is_empty(),
        meaning: arg.get_help().map(ToString::to_string).unwrap_or_default(),
        is_of_hosts: hosts::names().any(|name| name == long(arg)),
    });
    described.collect()
}

pub(super) fn long(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

/// Returns the default value of an option, or the description of the default in the help. The text is empty
/// if the help states no default. For an option without a value, returns the value that its key has by
/// default.
pub(super) fn default(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return match arg.get_action() {
            ArgAction::Count => "0".into(),
            // The default of --windows-names depends on the system.
            _ => arg
                .get_default_values()
                .first()
                .map_or("false".into(), |value| value.to_string_lossy().into()),
        };
    }
    let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !values.is_empty() {
        return values.join(",");
    }
    let help = arg.get_long_help().map(ToString::to_string).unwrap_or_default();
    let after = help.split_once("[default: ").map(|(_, after)| after);
    after.and_then(|text| text.split_once(']')).map(|(default, _)| default.to_string()).unwrap_or_default()
}

/// Returns true if each use of the option adds a value. The value of its key can then be a list.
pub(super) fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn values(arg: &Arg) -> String {
    match arg.get_action() {
        ArgAction::Count => return "a number".into(),
        action if !action.takes_values() => return "true or false".into(),
        _ => {}
    }
    let words: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    let one = match words.is_empty() {
        true => {
            arg.get_value_names().and_then(<[_]>::first).map(|name| format!("`{name}`")).unwrap_or_default()
        }
        false => words.join(", "),
    };
    if is_list(arg) { format!("a list of {one}") } else { one }
}

fn is_option(arg: &Arg) -> bool {
    let acts = !matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpLong | ArgAction::HelpShort | ArgAction::Version
    );
    acts && arg.get_long().is_some() && !arg.is_hide_set()
}

fn refusal(long: &str) -> Option<&'static str> {
    NO_KEYS.iter().find(|(name, _)| *name == long).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_a_key_with_one_value_or_is_refused() {
        let command = crate::args::command();
        for arg in of(&command) {
            // An option that takes several values at once would need a special form in a file.
            assert!(arg.get_num_args().is_none_or(|count| count.max_values() <= 1), "{}", long(arg));
        }
        let names: Vec<&str> = of(&command).map(long).collect();
        assert!(names.len() > 30 && names.contains(&"parallel"), "{names:?}");
        for (name, _) in NO_KEYS {
            assert!(
                command.get_arguments().any(|arg| arg.get_long() == Some(name)),
                "{name} is not an option"
            );
        }
        for name in hosts::names() {
            assert!(names.contains(&name), "{name}");
        }
    }
}
