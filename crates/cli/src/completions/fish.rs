//! The script for fish. It calls the command `complete` of fish for each option and value.

use super::{CliOption, Command, Value, Word};
use std::fmt::Write;

pub(super) fn script(commands: &[Command]) -> String {
    let takes: Vec<String> = commands.iter().map(takes).collect();
    let below: Vec<String> = commands.iter().skip(1).map(|command| quoted(&command.words)).collect();
    let functions = include_str!("template.fish")
        .replace("@COMMANDS@", takes.concat().trim_end())
        .replace("@SUBCOMMANDS@", &below.join(" "));
    let lines: Vec<String> = commands.iter().map(lines).collect();
    functions + &lines.concat()
}

/// Returns the part of the function `__fish_downhaul_takes` about this command.
fn takes(command: &Command) -> String {
    let mut text = format!("        case {}\n            switch $argv[2]\n", quoted(&command.words));
    for option in command.options.iter().filter(|option| !option.value_names.is_empty()) {
        let number = option.value_names.len();
        let _ = writeln!(
            text,
            "                case {}\n                    echo {number}",
            option.names.join(" ")
        );
    }
    text + "            end\n"
}

/// Returns the calls of `complete` for everything that can follow this command.
fn lines(command: &Command) -> String {
    let at = format!("__fish_downhaul_at {}", quoted(&command.words));
    let mut text = String::new();
    for option in &command.options {
        let _ = writeln!(text, "complete -c downhaul -n {}{}", quoted(&at), of_option(option));
    }
    if !command.subcommands.is_empty() {
        let at = format!("{at} -eq 1");
        let _ = writeln!(text, "complete -c downhaul -n {} -a {}", quoted(&at), words(&command.subcommands));
    }
    for (index, position) in command.positions.iter().enumerate() {
        let comparison = if position.can_be_repeated { "-ge" } else { "-eq" };
        let at = quoted(&format!("{at} {comparison} {}", index + 1));
        let values = match &position.value {
            Value::Words(list) => format!("-a {}", words(list)),
            Value::Files => "-F".into(),
            Value::Folders => "-a '(__fish_complete_directories)'".into(),
            Value::Urls | Value::Text => continue,
        };
        let _ = writeln!(text, "complete -c downhaul -n {at} {values}");
    }
    text
}

fn of_option(option: &CliOption) -> String {
    let mut text = String::new();
    for name in &option.names {
        text += &match name.strip_prefix("--") {
            Some(long) => format!(" -l {long}"),
            None => format!(" -s {}", name.trim_start_matches('-')),
        };
    }
    let _ = write!(text, " -d {}", quoted(&option.help));
    if option.value_names.is_empty() {
        return text;
    }
    text + &match &option.value {
        Value::Words(list) => format!(" -x -a {}", words(list)),
        Value::Files => " -r -F".into(),
        Value::Folders => " -x -a '(__fish_complete_directories)'".into(),
        Value::Urls | Value::Text => " -x".into(),
    }
}

/// Returns the words with their descriptions. fish evaluates this text.
fn words(list: &[Word]) -> String {
    let words: Vec<String> =
        list.iter().map(|word| format!("{}\\t{}", word.text, quoted(&word.help))).collect();
    quoted(&words.join(" "))
}

/// Returns the text in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}
