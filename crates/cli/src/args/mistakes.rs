//! The messages about arguments that clap cannot read.
//!
//! Invariant: a message shows no value that may be a secret.

use super::client::ClientCommand;
use super::{MORE_INFORMATION, NoArgs, foreign};
use crate::secrets;
use crate::words;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Subcommand};
use downhaul_engine::core::show;

/// Returns the message about arguments that clap could not read, or the help or the version if the user
/// requested it.
pub(super) fn not_read(command: &clap::Command, mut error: clap::Error) -> NoArgs {
    hide_secret(command, &mut error);
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let text = error.render();
    let text = if is_terminal { text.ansi().to_string() } else { text.to_string() };
    if !error.use_stderr() {
        return NoArgs::Asked(text);
    }
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) if !word.starts_with('-') => {
            NoArgs::Usage(unexpected_word(&error, word))
        }
        (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) => {
            NoArgs::Usage(unknown_option(command, option))
        }
        (ErrorKind::InvalidValue, Some(ContextValue::String(option))) if lacks_value(&error) => {
            let option = option.split(' ').next().unwrap_or_default();
            let how =
                format!("\n  If the value begins with a dash, write {option}=VALUE.\n\nFor more information");
            NoArgs::Usage(text.replacen("\n\nFor more information", &how, 1))
        }
        _ => NoArgs::Usage(text),
    }
}

/// Returns true if an option needs a value and has none, or only an empty one. clap also reports this if the
/// next word begins with a dash, because that word counts as an option.
fn lacks_value(error: &clap::Error) -> bool {
    matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty())
}

/// Hides the value in an error message if it may be a secret. The value is hidden in these cases:
///
/// - The option takes secrets. Even a malformed value may be a secret.
/// - The value contains `@`, because it may have a login. An example is the proxy that a user of curl gives
///   with `-x`. If the value also contains `://`, it may be a URL, and the next rule applies.
/// - The value contains `://`. Then only the parts of the URL that may be secret are hidden.
/// - The option takes no value. Then it is not known what the value is.
/// - The argument is not an option and has blanks, because it may be a pasted command of curl.
fn hide_secret(command: &clap::Command, error: &mut clap::Error) {
    let option = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => option.split([' ', '=']).next().unwrap_or_default(),
        _ => return,
    };
    let name = option.trim_start_matches('-');
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.as_str(),
        _ => "",
    };
    let shown = if value.contains("://") { show::given(value).into_owned() } else { "***".into() };
    let may_be_secret = |arg: &Arg| arg.get_long() == Some(name) && secrets::may_be_secret(arg);
    let takes_none = error.kind() == ErrorKind::TooManyValues;
    let is_pasted = option.starts_with('<') && value.contains(char::is_whitespace);
    if takes_none || is_pasted || command.get_arguments().any(may_be_secret) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".into()));
    } else if value.contains("://") || value.contains('@') {
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
}

/// Returns the message about a word that is not an option, for a command that takes no such words. The word
/// may be a URL with a secret, so the message shows it only if it is the name of a command.
fn unexpected_word(error: &clap::Error, word: &str) -> String {
    let is_daemon = error.get(ContextKind::Usage).is_some_and(|usage| usage.to_string().contains(DAEMON));
    let clients = ClientCommand::augment_subcommands(clap::Command::new(""));
    let why = match clients.get_subcommands().any(|client| client.get_name() == word) {
        true if is_daemon => format!("the command is 'downhaul {word}', without the word daemon"),
        false if is_daemon => {
            "'downhaul daemon' takes no URLs: add them to the running daemon with 'downhaul add URL'".into()
        }
        _ => "this command takes options only, and no other words".into(),
    };
    format!("error: {why}\n{MORE_INFORMATION}")
}

/// The beginning of the usage of `downhaul daemon`.
const DAEMON: &str = "downhaul daemon";

/// Returns the message about an unknown option. The message of clap is not used, because it suggests the
/// option with the most similar name, which may do the opposite. For an option of another tool, the message
/// of this function says what to do instead. It suggests an option with a similar name only if a typing error
/// is likely.
fn unknown_option(command: &clap::Command, option: &str) -> String {
    let named = option.split('=').next().unwrap_or(option);
    // The text may be the value of the option before it, such as a private key in PEM form.
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    let option = if is_name(named) { option } else { "***" };
    let is_of_downloads =
        |arg: &Arg| arg.get_long().map(|long| format!("--{long}")).as_deref() == Some(named);
    if command.get_arguments().any(is_of_downloads) {
        return format!("error: this command has no option {named}\n{MORE_INFORMATION}");
    }
    let mut text = format!("error: there is no option {option}\n");
    let known = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long());
    if let Some(instead) = foreign::instead_of(option) {
        text += &format!("  Here, {instead}.\n");
    } else if let Some(meant) = named.strip_prefix("--").and_then(|name| words::corrected(name, known)) {
        text += &format!("  Did you mean --{meant}?\n");
    }
    text + MORE_INFORMATION
}
