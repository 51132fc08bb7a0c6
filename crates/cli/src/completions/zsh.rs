//! The script for zsh. The function `_arguments` of zsh completes the options and values. Its manual
//! (zshcompsys) describes the syntax of the specifications.

use super::{CliOption, Command, Position, Value, Word};
use std::fmt::Write;

pub(super) fn script(commands: &[Command]) -> String {
    let about: Vec<String> = commands.iter().map(about).collect();
    let below: Vec<String> = commands.iter().skip(1).map(|command| format!("'{}'", command.words)).collect();
    include_str!("template.zsh")
        .replace("@COMMANDS@", about.concat().trim_end())
        .replace("@SUBCOMMANDS@", &below.join("|"))
}

/// Returns the part of the script that completes the words after this command.
fn about(command: &Command) -> String {
    let mut text = format!("        ({})\n", quoted(&command.words));
    let mut specifications: Vec<String> = command.options.iter().flat_map(of_option).collect();
    if !command.subcommands.is_empty() {
        text += "            subcommands=(\n";
        for Word { text: name, help } in &command.subcommands {
            let _ = writeln!(text, "                {}", quoted(&format!("{name}:{help}")));
        }
        text += "            )\n";
        specifications.push("1: :_downhaul_first".into());
    }
    specifications.extend(command.positions.iter().enumerate().map(of_position));
    // Without this specification, no option would be completed after an argument that is not allowed.
    if !command.positions.iter().any(|position| position.can_be_repeated) {
        specifications.push("*: :()".into());
    }
    text += "            _arguments -s -S -C :";
    for specification in specifications {
        let _ = write!(text, " \\\n                {}", quoted(&specification));
    }
    text + " && ret=0\n            ;;\n"
}

/// Returns a specification for each name of an option.
fn of_option(option: &CliOption) -> Vec<String> {
    let mut excluded: Vec<&str> = option.conflicts.iter().map(String::as_str).collect();
    let repeated = if option.can_be_repeated { "*" } else { "" };
    if !option.can_be_repeated {
        excluded.extend(option.names.iter().map(String::as_str));
    }
    let excluded = if excluded.is_empty() { String::new() } else { format!("({})", excluded.join(" ")) };
    let help = escaped(&option.help, &['\\', '[', ']', ':']);
    let values: String =
        option.value_names.iter().map(|name| format!(":{}", value(name, &option.value))).collect();
    let specification = |name: &String| {
        let end = match option.value_names.len() {
            1 if name.starts_with("--") => "=",
            1 => "+",
            _ => "",
        };
        format!("{excluded}{repeated}{name}{end}[{help}]{values}")
    };
    option.names.iter().map(specification).collect()
}

fn of_position((index, position): (usize, &Position)) -> String {
    let number = if position.can_be_repeated { "*".to_string() } else { (index + 1).to_string() };
    format!("{number}:{}", value(&position.name, &position.value))
}

/// Returns the name of a value, and how zsh completes this value.
fn value(name: &str, value: &Value) -> String {
    let action = match value {
        Value::Words(words) => {
            let words: Vec<String> = words.iter().map(word).collect();
            format!("(({}))", words.join(" "))
        }
        Value::Files => "_files".into(),
        Value::Folders => "_files -/".into(),
        Value::Urls => "_urls".into(),
        // With an action of one space instead, zsh shows a message, and completes no option at this place.
        Value::Text => "()".into(),
    };
    format!("{}:{action}", escaped(name, &['\\', ':']))
}

/// Returns a word and its description. zsh evaluates this text, after it has removed the backslashes before
/// colons.
fn word(word: &Word) -> String {
    match word.help.as_str() {
        "" => word.text.clone(),
        help => format!(r#"{}\:"{}""#, word.text, escaped(help, &['\\', '"', '$', '`', ':'])),
    }
}

/// Returns the text with a backslash before each of the characters.
fn escaped(text: &str, characters: &[char]) -> String {
    let escape = |c| if characters.contains(&c) { vec!['\\', c] } else { vec![c] };
    text.chars().flat_map(escape).collect()
}

/// Returns the text in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
