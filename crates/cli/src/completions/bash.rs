//! The script for bash.

use super::{CliOption, Command, Value, Word};
use std::collections::BTreeMap;
use std::fmt::Write;

pub(super) fn script(commands: &[Command]) -> String {
    let about: Vec<String> = commands.iter().map(about).collect();
    let below: Vec<String> = commands.iter().skip(1).map(|command| format!("'{}'", command.words)).collect();
    include_str!("template.bash")
        .replace("@COMMANDS@", about.concat().trim_end())
        .replace("@SUBCOMMANDS@", &below.join(" | "))
}

/// Returns the part of the function `_downhaul_about` about this command.
fn about(command: &Command) -> String {
    let names: Vec<&str> =
        command.options.iter().flat_map(|option| &option.names).map(String::as_str).collect();
    let mut text =
        format!("    '{}')\n        options='{}'\n        case \"$2\" in\n", command.words, names.join(" "));
    // Options with equal values share a line.
    let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for option in command.options.iter().filter(|option| !option.value_names.is_empty()) {
        values.entry(setting_of(option)).or_default().extend(option.names.iter().map(String::as_str));
    }
    for (setting, names) in values {
        let _ = writeln!(text, "        {}) {setting} ;;", names.join(" | "));
    }
    if !command.subcommands.is_empty() {
        let _ = writeln!(text, "        1) {} ;;", words(&command.subcommands));
    }
    for (index, position) in command.positions.iter().enumerate() {
        // A position that can be repeated is the last one.
        let number = if position.can_be_repeated { "[0-9]*".to_string() } else { (index + 1).to_string() };
        let _ = writeln!(text, "        {number}) {} ;;", setting(&position.value));
    }
    text + "        esac\n        ;;\n"
}

fn setting_of(option: &CliOption) -> String {
    match option.value_names.len() {
        1 => setting(&option.value),
        takes => format!("{} takes={takes}", setting(&option.value)),
    }
}

/// Returns the assignments in `_downhaul_about` that say how to complete a value.
fn setting(value: &Value) -> String {
    match value {
        Value::Words(list) => words(list),
        Value::Files => "kind=files".into(),
        Value::Folders => "kind=folders".into(),
        Value::Urls | Value::Text => "kind=text".into(),
    }
}

fn words(list: &[Word]) -> String {
    let words: Vec<&str> = list.iter().map(|word| word.text.as_str()).collect();
    format!("kind=words words='{}'", words.join(" "))
}
