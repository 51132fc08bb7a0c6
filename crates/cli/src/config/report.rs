//! Writes the output of `downhaul config`: every setting in effect, and where it comes from.
//!
//! Invariant: no secret is shown.

use super::{Config, is_given, keys};
use crate::secrets;
use crate::words;
use clap::{Arg, ArgAction, ArgMatches, Command};
use downhaul_engine::core::show;

/// Returns the text of `downhaul config`, with one line for each setting. `matches` has the arguments of that
/// command.
pub(crate) fn report(config: &Config, command: &Command, matches: &ArgMatches) -> String {
    let mut rows = Vec::new();
    for arg in keys::of(command) {
        let name = keys::long(arg);
        let setting = config.settings.iter().find(|setting| setting.name == name);
        let (value, origin) = match setting {
            _ if is_given(matches, arg) => (given(arg, matches), "command line".to_string()),
            Some(setting) => (setting.meaning.shown.clone(), setting.origin.to_string()),
            None => (keys::default(arg), "default".to_string()),
        };
        let value = if value.is_empty() { "-".into() } else { show::escaped(&value).into_owned() };
        rows.push((name.to_string(), value, origin));
    }
    let file = config.file.as_deref().map(|path| match path.exists() {
        true => format!("# {}\n", words::path(path)),
        false => format!("# {} (does not exist)\n", words::path(path)),
    });
    let mut text = file.unwrap_or_default() + &table(&rows);
    for host in config.hosts.iter().filter(|host| !host.rows.is_empty()) {
        let rows = host.rows.iter();
        let rows = rows.map(|(name, value, origin)| {
            (name.clone(), show::escaped(value).into_owned(), origin.to_string())
        });
        let name = host.pattern.to_string();
        text += &format!("\n[host.\"{}\"]\n{}", show::escaped(&name), table(&rows.collect::<Vec<_>>()));
    }
    text
}

/// Returns a table with three columns: the name, the value, and where the value comes from.
fn table(rows: &[(String, String, String)]) -> String {
    let width = |of: fn(&(String, String, String)) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let (names, values) = (width(|row| row.0.len()), width(|row| row.1.chars().count()).min(LONGEST_VALUE));
    rows.iter().map(|(name, value, origin)| format!("{name:names$}  {value:values$}  {origin}\n")).collect()
}

/// The greatest width of the column with the values, in characters. After a longer value, only the rest of
/// its line is moved to the right.
const LONGEST_VALUE: usize = 40;

/// Returns the value of an option on the command line, without secrets.
fn given(arg: &Arg, matches: &ArgMatches) -> String {
    let id = arg.get_id().as_str();
    match arg.get_action() {
        ArgAction::Count => matches.get_count(id).to_string(),
        action if !action.takes_values() => "true".into(),
        _ => {
            let values = matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy());
            values.map(|value| secrets::shown(arg, 0, &value)).collect::<Vec<_>>().join(", ")
        }
    }
}
