//! Reads the sections `[host."NAME"]`, which have options for some hosts only.
//!
//! Invariant: an option on the command line or in the environment wins over the same option in a section.
//! Headers and logins are an exception: those of the command line win only at the hosts to which they are
//! sent.

use super::file::Section;
use super::values::{self, Meaning, Unusable};
use super::{Config, Origin, excluded_by, is_given, keys};
use crate::args::Args;
use crate::given;
use crate::logins;
use crate::proxies;
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use downhaul_engine::core::host_rules::{HostOptions, HostPattern};
use downhaul_engine::core::job::Headers;
use downhaul_engine::core::show;

/// Keys that apply to the host even if the command line has the same option, because that option applies to
/// the given URLs only.
const ADDED: [&str; 3] = ["header", "user", "bearer"];

/// A section for hosts.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) pattern: HostPattern,
    pub(super) options: HostOptions,
    /// The keys that are in force: the name, the value without secrets, and where the key is written.
    pub(super) rows: Vec<(String, String, Origin)>,
}

/// Reads the sections. `config` has the settings of the environment. Warnings are added to its notes.
///
/// # Errors
/// Returns what is wrong, in one line for the user.
pub(super) fn read(
    config: &mut Config,
    command: &Command,
    matches: &ArgMatches,
    sections: &[Section],
) -> Result<Vec<Host>, String> {
    let mut hosts = Vec::new();
    for section in sections {
        let pattern = HostPattern::read(&section.name)
            .map_err(|why| format!("{}: {}: {why}", section.place, show::escaped(&section.name)))?;
        let mut host = Host { pattern, options: HostOptions::default(), rows: Vec::new() };
        check_together(command, section)?;
        for entry in &section.entries {
            let place = &entry.place;
            let arg = keys::find(command, &entry.key).map_err(|why| format!("{place}: {why}"))?;
            let name = keys::long(arg);
            if !keys::OF_HOSTS.contains(&name) {
                let all = keys::OF_HOSTS.join(", ");
                return Err(format!("{place}: {name} cannot be set for one host; these can: {all}"));
            }
            let meaning = match values::of_file(command, arg, &entry.value) {
                Ok(meaning) => meaning,
                // An unset variable must not fail a run that does not need this host.
                Err(Unusable::Unset(why)) => {
                    config.notes.push(format!("{place}: {why}: {name} has no effect"));
                    continue;
                }
                Err(Unusable::Wrong(why)) => return Err(format!("{place}: {why}")),
            };
            let is_set = is_given(matches, arg) || config.settings.iter().any(|one| one.name == name);
            if ADDED.contains(&name) || !is_set {
                set(&mut host.options, command, arg, &meaning).map_err(|why| format!("{place}: {why}"))?;
                host.rows.push((name.into(), meaning.shown, Origin::File(place.clone())));
            }
        }
        hosts.push(host);
    }
    Ok(hosts)
}

/// Checks that no two keys of a section exclude each other, such as user and bearer.
fn check_together(command: &Command, section: &Section) -> Result<(), String> {
    for (index, entry) in section.entries.iter().enumerate() {
        let excluded = excluded_by(command, &entry.key);
        let before = section.entries.iter().take(index);
        if let Some(other) = before.into_iter().find(|other| excluded.contains(&other.key)) {
            let (place, other_place) = (&entry.place, &other.place);
            return Err(format!(
                "{place}: {} cannot be set together with {} ({other_place})",
                entry.key, other.key
            ));
        }
    }
    Ok(())
}

/// Sets one option of a section.
fn set(options: &mut HostOptions, command: &Command, arg: &Arg, meaning: &Meaning) -> Result<(), String> {
    let words = ["downhaul"].into_iter().chain(meaning.words.iter().map(|word| word.expose()));
    let read =
        command.clone().try_get_matches_from(words).and_then(|matches| Args::from_arg_matches(&matches));
    // These words were checked before, so reading them does not fail.
    let mut args = read.map_err(|e| e.kind().to_string())?.options;
    logins::of_section(&mut args.http)?;
    match keys::long(arg) {
        "header" => options.headers = Headers(given::headers(&args.http.headers)?),
        "connections" => {
            let number =
                args.work.connections.ok_or("connections: it must be a number in a section for hosts")?;
            options.connections = Some(number.into());
        }
        "user" => options.user = logins::login(args.http.user.as_ref()),
        "bearer" => options.bearer = logins::token(args.http.bearer.as_ref()),
        "proxy" => options.proxy = Some(proxies::of_section(&args.http)?),
        "max-per-host" => options.max_per_host = Some(args.work.max_per_host.into()),
        "limit-rate" => options.limit_rate = args.work.limit_rate,
        other => return Err(format!("{other} cannot be set for one host")),
    }
    Ok(())
}
