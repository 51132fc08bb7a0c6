//! Turns the value of a key into words of the command line. The parser of the option checks the value.
//!
//! Invariant: an error shows no secret. A secret in the configuration file is an error.

use super::file::Value;
use super::keys;
use crate::given;
use crate::secrets;
use crate::settings;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, ValueHint};
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::show;
use std::error::Error as _;
use std::path::{Path, PathBuf};

/// The longest file with a secret, in bytes.
const LONGEST_SECRET: usize = 64 * 1024;

/// A key and its value in the form of options on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Meaning {
    /// The words, which may contain secrets. There are no words for an option that is switched off, nor for
    /// an empty list.
    pub(super) words: Vec<Secret>,
    /// The values as the user may see them, without secrets.
    pub(super) shown: String,
}

/// The reason why a value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The value is not valid.
    Wrong(String),
    /// The environment variable that the value names as `env:NAME` is not set.
    Unset(String),
}

/// Returns the meaning of a value in a configuration file.
pub(super) fn of_file(command: &Command, arg: &Arg, value: &Value) -> Result<Meaning, Unusable> {
    let wrong = |why: String| Unusable::Wrong(format!("{}: {why}", keys::long(arg)));
    if !arg.get_action().takes_values() {
        return flag(arg, value).map_err(wrong);
    }
    let values = match value {
        Value::List(values) if keys::is_list(arg) => values.as_slice(),
        Value::List(_) => return Err(wrong("it must be one value, not a list".into())),
        one => std::slice::from_ref(one),
    };
    let mut meaning = Meaning::default();
    let mut shown = Vec::new();
    for value in values {
        let text = match value {
            Value::Text(text) | Value::Number(text) => text,
            Value::Flag(flag) => {
                return Err(wrong(format!("it must be a number or a text in quotes, not {flag}")));
            }
            Value::List(_) => {
                return Err(wrong("it must be a list of numbers or texts, without a list in it".into()));
            }
            Value::Other(what) => {
                return Err(wrong(format!("it must be a number or a text in quotes, not {what}")));
            }
        };
        let real = without_references(arg, text)?;
        // A secret may come from a variable or another file. A secret in the configuration file itself is an
        // error.
        if real.as_deref().unwrap_or(text) == text && secrets::is_secret(arg, 0, text) {
            return Err(wrong(
                "this file must not contain a secret: replace the whole value (in a header, the text after the colon) \
                 with \"env:NAME\" (an environment variable). \"@FILE\" is possible too, except for cert and for a URL \
                 that is not the proxy"
                    .into(),
            ));
        }
        let real = real.unwrap_or_else(|| with_home(arg, text));
        check(command, arg, &real).map_err(wrong)?;
        meaning.words.push(Secret::new(format!("--{}={real}", keys::long(arg))));
        // If the value is a command, only its program is shown. All other values have no secret, because this
        // was checked above.
        shown.push(if secrets::is_called(arg, 0, "COMMAND") {
            secrets::shown(arg, 0, text)
        } else {
            text.clone()
        });
    }
    meaning.shown = shown.join(", ");
    Ok(meaning)
}

/// Returns the meaning of the value of an environment variable. A list has one value on each line.
pub(super) fn of_variable(command: &Command, arg: &Arg, text: &str) -> Result<Meaning, String> {
    if !arg.get_action().takes_values() {
        let value = match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Value::Flag(true),
            "false" | "no" | "off" => Value::Flag(false),
            // Many people set a variable to 1 to switch an option on.
            "1" if !matches!(arg.get_action(), ArgAction::Count) => Value::Flag(true),
            "0" => Value::Flag(false),
            _ => Value::Number(text.into()),
        };
        return flag(arg, &value);
    }
    let values =
        if keys::is_list(arg) { text.lines().filter(|line| !line.is_empty()).collect() } else { vec![text] };
    let mut meaning = Meaning::default();
    let mut shown = Vec::new();
    for value in values {
        let value = with_home(arg, value);
        check(command, arg, &value)?;
        shown.push(secrets::shown(arg, 0, &value));
        meaning.words.push(Secret::new(format!("--{}={value}", keys::long(arg))));
    }
    meaning.shown = shown.join(", ");
    Ok(meaning)
}

fn flag(arg: &Arg, value: &Value) -> Result<Meaning, String> {
    let is_counted = matches!(arg.get_action(), ArgAction::Count);
    let times = match value {
        Value::Flag(flag) => usize::from(*flag),
        // A number above 9 is a mistake, because only the lowest numbers have an effect.
        Value::Number(number) if is_counted => number
            .parse::<u8>()
            .ok()
            .filter(|times| *times < 10)
            .map(usize::from)
            .ok_or("it must be a number from 0 to 9, or true or false")?,
        _ if is_counted => return Err("it must be a number from 0 to 9, or true or false".into()),
        _ => return Err("it must be true or false".into()),
    };
    let shown = if is_counted { times.to_string() } else { (times > 0).to_string() };
    Ok(Meaning { words: vec![Secret::new(format!("--{}", keys::long(arg))); times], shown })
}

/// Replaces `env:NAME` by the value of the variable. In a header, `env:NAME` or `@FILE` may also stand after
/// the name of the header. Then only this text is replaced, and `@FILE` is replaced by the content of the
/// file. If the whole value is `@FILE`, the option reads the file itself, so only `~/` at the beginning of
/// FILE is replaced here. There is one exception: for a proxy, the whole value `@FILE` is replaced by the
/// content of the file. Returns `None` if nothing was replaced.
fn without_references(arg: &Arg, text: &str) -> Result<Option<String>, Unusable> {
    let is_header = secrets::is_called(arg, 0, "HEADER");
    let header = text.split_once(':').filter(|(name, _)| is_header && *name != "env");
    if let Some((name, value)) = header.map(|(name, value)| (name, value.trim())) {
        return Ok(match (value.strip_prefix("env:"), value.strip_prefix('@')) {
            (Some(variable), _) => Some(format!("{name}: {}", self::variable(variable)?)),
            (_, Some(file)) => Some(format!("{name}: {}", secret_of(file)?)),
            _ => None,
        });
    }
    // The option for a proxy does not read `@FILE` itself.
    if let Some(file) = text.strip_prefix('@').filter(|_| secrets::is_called(arg, 0, "PROXY")) {
        return secret_of(file).map(Some);
    }
    match (text.strip_prefix("env:"), text.strip_prefix("@~/")) {
        (Some(name), _) => variable(name).map(Some),
        (_, Some(below)) => Ok(settings::home().map(|home| format!("@{}", home.join(below).display()))),
        _ => Ok(None),
    }
}

fn variable(name: &str) -> Result<String, Unusable> {
    settings::variable(name).ok_or_else(|| {
        Unusable::Unset(format!("the environment variable {} is not set", show::escaped(name)))
    })
}

/// Returns the files that a value names as `@FILE` or `Name: @FILE`, if the option takes values that may be
/// secret.
pub(super) fn named_files(arg: &Arg, value: &Value) -> Vec<PathBuf> {
    let values = match value {
        Value::List(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    let file = |value: &Value| {
        let Value::Text(text) = value else { return None };
        let header = text.split_once(':').filter(|_| secrets::is_called(arg, 0, "HEADER"));
        let in_header = header.and_then(|(_, value)| value.trim().strip_prefix('@'));
        Some(below_home(text.strip_prefix('@').or(in_header)?))
    };
    let may_name = secrets::may_be_secret(arg);
    values.iter().filter(|_| may_name).filter_map(file).collect()
}

/// Returns a path. If it begins with `~/`, the home folder takes the place of `~`.
fn below_home(file: &str) -> PathBuf {
    match file.strip_prefix("~/").zip(settings::home()) {
        Some((below, home)) => home.join(below),
        None => Path::new(file).to_path_buf(),
    }
}

fn secret_of(file: &str) -> Result<String, Unusable> {
    let path = below_home(file);
    let wrong = |why: String| Unusable::Wrong(format!("@{} cannot be used: {why}", show::escaped(file)));
    let bytes = given::read(&path, LONGEST_SECRET).map_err(|e| wrong(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("the file is not UTF-8".into()))?;
    Ok(text.trim().to_string())
}

/// Returns the value of an option. If it is a path that begins with `~/`, the home folder takes the place of
/// `~`.
fn with_home(arg: &Arg, text: &str) -> String {
    let is_path =
        matches!(arg.get_value_hint(), ValueHint::FilePath | ValueHint::DirPath | ValueHint::AnyPath);
    if is_path { below_home(text).to_string_lossy().into_owned() } else { text.into() }
}

/// Checks a value with the parser of the option.
///
/// # Errors
/// Returns what the value must be, in words for the user. The text contains the value unless it may be a
/// secret.
fn check(command: &Command, arg: &Arg, value: &str) -> Result<(), String> {
    let words = ["downhaul".to_string(), format!("--{}={value}", keys::long(arg))];
    let Err(error) = command.clone().try_get_matches_from(words) else { return Ok(()) };
    let shown = secrets::shown(arg, 0, value);
    let shown = show::escaped(&shown);
    let why = match (error.kind(), error.get(ContextKind::ValidValue), error.source()) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(words)), _) => {
            format!("it must be {}", listed(words))
        }
        (ErrorKind::InvalidValue, ..) => "it must not be empty".into(),
        (_, _, Some(why)) => why.to_string(),
        (kind, ..) => kind.to_string(),
    };
    // A value with a mistake may still contain a secret.
    Err(if shown.contains("...") || secrets::may_be_secret(arg) {
        why
    } else {
        format!("\"{shown}\": {why}")
    })
}

/// Returns the words in the form `a, b or c`.
fn listed(words: &[String]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}
