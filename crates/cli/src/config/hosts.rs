//! Reads the sections `[host."NAME"]`, which have options only for some hosts.
//!
//! Invariant: an option on the command line or in the environment has precedence over the same option in a
//! section. Headers and logins are an exception: the headers and the login of the command line or the
//! environment have precedence only at the hosts to which they are sent.

use super::file::Section;
use super::values::{self, Meaning, Unusable};
use super::{Config, Origin, excluded_by, is_given, keys};
use crate::args::{Args, Options};
use crate::given;
use crate::logins;
use crate::proxies;
use clap::{ArgMatches, Command, FromArgMatches};
use downhaul_engine::core::host_rules::{HostOptions, HostPattern};
use downhaul_engine::core::job::Headers;
use downhaul_engine::core::show;

/// A key that a section can have.
struct Key {
    name: &'static str,
    /// True if the key is in effect even if the command line or the environment sets the same option. The
    /// reason is that such an option of the command line or the environment has an effect only at the hosts
    /// of the URLs that the user gave.
    is_added: bool,
    /// Takes the value from the options, and puts it into the options of the section.
    set: fn(&mut HostOptions, &Options) -> Result<(), String>,
}

const KEYS: &[Key] = &[
    Key {
        name: "connections",
        is_added: false,
        set: |section, given| {
            let number = given.work.connections;
            let number = number.ok_or("connections: it must be a number in a section for hosts")?;
            section.connections = Some(number.into());
            Ok(())
        },
    },
    Key {
        name: "max-per-host",
        is_added: false,
        set: |section, given| {
            section.max_per_host = Some(given.work.max_per_host.into());
            Ok(())
        },
    },
    Key {
        name: "limit-rate",
        is_added: false,
        set: |section, given| {
            section.limit_rate = given.work.limit_rate;
            Ok(())
        },
    },
    Key {
        name: "header",
        is_added: true,
        set: |section, given| {
            section.headers = Headers(given::headers("header", &given.http.headers)?);
            Ok(())
        },
    },
    Key {
        name: "user",
        is_added: true,
        set: |section, given| {
            section.user = logins::login(given.http.user.as_ref());
            Ok(())
        },
    },
    Key {
        name: "bearer",
        is_added: true,
        set: |section, given| {
            section.bearer = logins::token(given.http.bearer.as_ref());
            Ok(())
        },
    },
    Key {
        name: "proxy",
        is_added: false,
        set: |section, given| {
            section.proxy = Some(proxies::of_section(&given.http)?);
            Ok(())
        },
    },
];

/// Returns the names of the keys that a section can have.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name)
}

#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) pattern: HostPattern,
    pub(super) options: HostOptions,
    /// The keys that are in effect: the name, the value without secrets, and where the key is written.
    pub(super) rows: Vec<(String, String, Origin)>,
}

/// Reads the sections. `config` has the settings of the environment. Its `notes` get the warnings, and its
/// `named_files` get the files that values of the sections name.
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
        let pattern = HostPattern::read(&section.name).map_err(|why| {
            let name = show::not_a_url(&section.name);
            format!("{}: {}: {why}", section.place, show::escaped(&name))
        })?;
        let mut host = Host { pattern, options: HostOptions::default(), rows: Vec::new() };
        check_together(command, section)?;
        for entry in &section.entries {
            let place = &entry.place;
            let arg = keys::find(command, &entry.key).map_err(|why| format!("{place}: {why}"))?;
            let name = keys::long(arg);
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                let all = names().collect::<Vec<_>>().join(", ");
                return Err(format!("{place}: {name} cannot be set for one host; these can: {all}"));
            };
            config.named_files.extend(values::named_files(arg, &entry.value));
            let meaning = match values::of_file(command, arg, &entry.value) {
                Ok(meaning) => meaning,
                // A run that does not need this host must not fail because of an unset variable.
                Err(Unusable::Unset(why)) => {
                    config.notes.push(format!("{place}: {why}: {name} has no effect"));
                    continue;
                }
                Err(Unusable::Wrong(why)) => return Err(format!("{place}: {why}")),
            };
            let is_set = is_given(matches, arg) || config.settings.iter().any(|one| one.name == name);
            if key.is_added || !is_set {
                set(&mut host.options, command, key, &meaning).map_err(|why| format!("{place}: {why}"))?;
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

fn set(section: &mut HostOptions, command: &Command, key: &Key, meaning: &Meaning) -> Result<(), String> {
    let words = ["downhaul"].into_iter().chain(meaning.words.iter().map(|word| word.expose()));
    let read =
        command.clone().try_get_matches_from(words).and_then(|matches| Args::from_arg_matches(&matches));
    // These words were checked before, so reading them does not fail.
    let mut options = read.map_err(|e| e.kind().to_string())?.options;
    logins::of_section(&mut options.http)?;
    (key.set)(section, &options)
}
