//! Reads the configuration, which has settings from a file and from the environment. These settings are
//! layers below the command line.
//!
//! A key of the configuration is the long name of an option. The settings of the lower layers become words,
//! which are put before the words of the command line. Therefore the parser of an option also reads the value
//! of its key.
//!
//! Invariants: the layers have this order of precedence: the command line, the environment, the profile, the
//! top of the file. If an option of a higher layer excludes an option of a lower layer, the option of the
//! lower layer is ignored. A secret in a configuration file is an error.

mod file;
mod hosts;
mod init;
mod keys;
mod report;
mod values;

pub(crate) use init::init;
pub(crate) use keys::options;
pub use keys::{Key, described};
pub(crate) use report::report;

use crate::hooks;
use crate::settings;
use crate::words;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use downhaul_engine::core::host_rules::HostRules;
use downhaul_engine::core::show;
use file::{Entry, File, Place, Section};
use hosts::Host;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use values::{Meaning, Unusable};

/// The name of the default file. The file is in the folder `downhaul`, which is in the user's folder for
/// configurations.
const FILE_NAME: &str = "config.toml";

/// The prefix of environment variables that are settings.
const PREFIX: &str = "DOWNHAUL_";

/// The configuration: the settings of the layers below the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    settings: Vec<Setting>,
    hosts: Vec<Host>,
    /// Warnings for the user.
    pub(crate) notes: Vec<String>,
    file: Option<PathBuf>,
    named_files: Vec<PathBuf>,
}

/// An option that a lower layer sets, with its value.
#[derive(Debug, Clone)]
struct Setting {
    /// The long name of the option.
    name: String,
    meaning: Meaning,
    origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    File(Place),
    Profile(Place, String),
    Variable(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::File(place) => write!(f, "{place}"),
            Origin::Profile(place, name) => write!(f, "{place} (profile {})", show::escaped(name)),
            Origin::Variable(name) => write!(f, "{name} in the environment"),
        }
    }
}

type Layer = Vec<Setting>;

impl Config {
    /// Reads the layers below the command line. `command` is the definition of the whole program. `matches`
    /// has the arguments of the program or, if there is a subcommand, the arguments of the subcommand.
    ///
    /// # Errors
    /// Returns what is wrong, in one line for the user.
    pub(crate) fn read(command: &Command, matches: &ArgMatches) -> Result<Config, String> {
        let mut config = Config::default();
        let is_off = given(matches, "config").is_some_and(|path| path == "none");
        let file = match named(matches, "config", "DOWNHAUL_CONFIG") {
            Some(path) if path == "none" => None,
            Some(path) => {
                let (file, note) = file::read(Path::new(&path), true)?;
                config.notes.extend(note);
                config.file = Some(path.clone().into());
                Some(file.ok_or_else(|| format!("there is no configuration file {}", show::escaped(&path)))?)
            }
            None => {
                let path = default_path();
                let file = path.as_deref().map(|path| file::read(path, false)).transpose()?;
                config.file = path;
                file.and_then(|(file, _)| file)
            }
        };
        let profile = match named(matches, "profile", "DOWNHAUL_PROFILE") {
            // A program that starts downhaul with `--config none` may not know about DOWNHAUL_PROFILE, so
            // this variable is not used.
            profile if is_off => given(matches, "profile").and(profile),
            profile => profile,
        };
        let file = file.unwrap_or_default();
        let variables = config.variables(command)?;
        let (profile, top) = config.layers_of(command, &file, profile.as_deref())?;
        config.add(command, matches, variables)?;
        config.hosts = hosts::read(&mut config, command, matches, &file.hosts)?;
        for layer in [profile, top] {
            config.add(command, matches, layer)?;
        }
        Ok(config)
    }

    /// Removes each setting for whose name and value `is_unused` returns true. Adds a note about each removed
    /// setting, with the place where it was set, unless the setting switches its option off. `why` is the end
    /// of the note.
    pub(crate) fn drop_unused(&mut self, is_unused: fn(&str, &str) -> bool, why: &str) {
        let (unused, used): (Vec<_>, Vec<_>) =
            self.settings.drain(..).partition(|setting| is_unused(&setting.name, &setting.meaning.shown));
        self.settings = used;
        // A setting that switches its option off changes nothing, so it needs no note.
        let unused = unused.iter().filter(|setting| !setting.meaning.words.is_empty());
        self.notes.extend(unused.map(|setting| format!("{}: {} {why}", setting.origin, setting.name)));
    }

    /// Returns true if the value of this option comes from the configuration or the environment.
    pub(crate) fn sets(&self, name: &str) -> bool {
        self.settings.iter().any(|setting| setting.name == name)
    }

    /// Returns the settings that are options of `command`, as words of a command line.
    pub(crate) fn words(&self, command: &Command) -> Vec<OsString> {
        let has = |setting: &&Setting| command.get_arguments().any(|arg| keys::long(arg) == setting.name);
        let words = self.settings.iter().filter(has).flat_map(|setting| &setting.meaning.words);
        words.map(|word| OsString::from(word.expose())).collect()
    }

    /// Returns the names of the options that the two configurations set differently. If the sections for
    /// hosts differ in a key, in a value as it is shown, or in the place where it is set, the result has one
    /// more entry, which stands for all sections.
    pub(crate) fn differences(&self, other: &Config) -> Vec<String> {
        let value = |config: &Config, name: &str| {
            config.settings.iter().find(|one| one.name == name).map(|one| one.meaning.clone())
        };
        let mut names: Vec<&String> =
            self.settings.iter().chain(&other.settings).map(|one| &one.name).collect();
        names.sort();
        names.dedup();
        names.retain(|name| value(self, name) != value(other, name));
        let rows =
            |config: &Config| config.hosts.iter().flat_map(|host| host.rows.clone()).collect::<Vec<_>>();
        let hosts = (rows(self) != rows(other)).then(|| "a section for hosts".to_string());
        names.into_iter().cloned().chain(hosts).collect()
    }

    /// Returns the name of an option for the beginning of a message about its value. If the option is on the
    /// command line or has its default value, the result is the option itself, such as `--user`. Otherwise
    /// the result is the environment variable that sets the option, or the place and the name of the key.
    pub(crate) fn called(&self, option: &str) -> String {
        let name = option.trim_start_matches('-');
        match self.settings.iter().find(|setting| setting.name == name).map(|setting| &setting.origin) {
            None => option.into(),
            Some(Origin::Variable(variable)) => format!("{variable} in the environment:"),
            Some(origin) => format!("{origin}: {name}"),
        }
    }

    /// Returns the path from which the configuration is read. At the default path, there may be no file.
    /// Returns `None` if `--config` or `DOWNHAUL_CONFIG` is `none`, or if the user has no folder for
    /// configurations.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Returns the files that values of keys name in the form `@FILE` or `Name: @FILE`.
    pub(crate) fn named_files(&self) -> impl Iterator<Item = &Path> {
        self.named_files.iter().map(PathBuf::as_path)
    }

    pub(crate) fn host_rules(&self) -> HostRules {
        HostRules::new(self.hosts.iter().map(|host| (host.pattern.clone(), host.options.clone())).collect())
    }

    /// Adds a layer below the layers that were added before. Leaves out a setting if the command line or a
    /// higher layer sets the same option, or sets an option that excludes it. A setting that switches its
    /// option off is not excluded, and excludes nothing. If the layer sets an option twice, the first setting
    /// is used.
    ///
    /// # Errors
    /// Returns an error if two settings of the layer exclude each other.
    fn add(&mut self, command: &Command, matches: &ArgMatches, layer: Layer) -> Result<(), String> {
        let higher = self.settings.len();
        for setting in layer {
            let is_set = |name: &str| {
                let on_command_line =
                    command.get_arguments().any(|arg| keys::long(arg) == name && is_given(matches, arg));
                let above = self.settings.iter().take(higher);
                on_command_line
                    || above.into_iter().any(|one| one.name == name && !one.meaning.words.is_empty())
            };
            let others = excluded_by(command, &setting.name);
            let is_known = self.settings.iter().any(|one| one.name == setting.name) || is_set(&setting.name);
            let is_off = setting.meaning.words.is_empty();
            if is_known || !is_off && others.iter().any(|other| is_set(other)) {
                continue;
            }
            let beside = self.settings.iter().skip(higher).filter(|one| !one.meaning.words.is_empty());
            if let Some(other) = beside.filter(|_| !is_off).find(|one| others.contains(&one.name)) {
                return Err(format!(
                    "{}: {} cannot be set together with {} ({})",
                    setting.origin, setting.name, other.name, other.origin
                ));
            }
            self.settings.push(setting);
        }
        Ok(())
    }

    /// Returns the settings from the environment. If a variable has the prefix and no known meaning, a
    /// warning is added.
    fn variables(&mut self, command: &Command) -> Result<Layer, String> {
        let mut layer = Layer::new();
        for (name, value) in settings::variables(PREFIX) {
            let shown = show::escaped(&name).into_owned();
            let key = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase().replace('_', "-");
            if ["config", "profile", "daemon", "daemon-secret"].contains(&key.as_str())
                || hooks::is_fact(&name)
            {
                continue;
            }
            match keys::find(command, &key) {
                // This is not an error, because another program may use such a name.
                Err(why) => self.notes.push(format!("{shown} in the environment has no effect: {why}")),
                Ok(arg) => {
                    let meaning = values::of_variable(command, arg, &value)
                        .map_err(|why| format!("{shown} in the environment: {why}"))?;
                    let name = keys::long(arg).into();
                    layer.push(Setting { name, meaning, origin: Origin::Variable(shown) });
                }
            }
        }
        Ok(layer)
    }

    /// Returns the settings of the profile, and the settings at the top of the file. All profiles are
    /// checked, including those that are not used.
    fn layers_of(
        &mut self,
        command: &Command,
        file: &File,
        profile: Option<&str>,
    ) -> Result<(Layer, Layer), String> {
        let mut chosen = Layer::new();
        for section in &file.profiles {
            let is_chosen = profile == Some(&section.name);
            let origin = |place: &Place| Origin::Profile(place.clone(), section.name.clone());
            let layer = self.layer(command, &section.entries, is_chosen, origin)?;
            if is_chosen {
                chosen = layer;
            }
        }
        if let Some(name) = profile.filter(|name| file.profiles.iter().all(|section| section.name != *name)) {
            return Err(no_profile(name, &file.profiles));
        }
        let top = self.layer(command, &file.top, true, |place| Origin::File(place.clone()))?;
        Ok((chosen, top))
    }

    /// Reads entries of a file. `is_used` is true if the entries are in effect.
    fn layer(
        &mut self,
        command: &Command,
        entries: &[Entry],
        is_used: bool,
        origin: impl Fn(&Place) -> Origin,
    ) -> Result<Layer, String> {
        let mut layer = Layer::new();
        for entry in entries {
            let place = &entry.place;
            let arg = keys::find(command, &entry.key).map_err(|why| format!("{place}: {why}"))?;
            self.named_files.extend(values::named_files(arg, &entry.value));
            let meaning = match values::of_file(command, arg, &entry.value) {
                Ok(meaning) => meaning,
                // In an unused section, a value may name an environment variable that is not set.
                Err(Unusable::Unset(_)) if !is_used => continue,
                Err(Unusable::Unset(why) | Unusable::Wrong(why)) => return Err(format!("{place}: {why}")),
            };
            layer.push(Setting { name: keys::long(arg).into(), meaning, origin: origin(place) });
        }
        Ok(layer)
    }
}

/// Returns the value of `--config` or `--profile`, or else the value of the environment variable.
fn named(matches: &ArgMatches, id: &str, variable: &str) -> Option<String> {
    given(matches, id).or_else(|| settings::variable(variable))
}

/// Returns the value of an option on the command line.
fn given(matches: &ArgMatches, id: &str) -> Option<String> {
    let value = matches.try_get_raw(id).ok().flatten().and_then(Iterator::last);
    value.map(|value| value.to_string_lossy().into_owned())
}

fn default_path() -> Option<PathBuf> {
    settings::config_folder().map(|folder| folder.join(FILE_NAME))
}

fn no_profile(name: &str, profiles: &[Section]) -> String {
    let shown = show::escaped(name);
    let names = profiles.iter().map(|section| section.name.as_str());
    match words::corrected(name, names.clone()) {
        Some(meant) => format!("there is no profile {shown}; did you mean {}?", show::escaped(meant)),
        None if profiles.is_empty() => {
            format!("there is no profile {shown}: the configuration has no section [profile.{shown}]")
        }
        None => {
            let names: Vec<_> = names.map(show::escaped).collect();
            format!("there is no profile {shown}; there are: {}", names.join(", "))
        }
    }
}

/// Returns true if the command line sets the option.
fn is_given(matches: &ArgMatches, arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    let is_known = matches.try_contains_id(id).is_ok();
    is_known && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// Returns the long names of the options that cannot be given together with the option `name`.
pub(crate) fn excluded_by(command: &Command, name: &str) -> Vec<String> {
    let Some(this) = command.get_arguments().find(|arg| keys::long(arg) == name) else { return Vec::new() };
    let excludes = |arg: &Arg, other: &Arg| command.get_arg_conflicts_with(arg).contains(&other);
    let others = command.get_arguments().filter(|other| excludes(this, other) || excludes(other, this));
    others.map(|other| keys::long(other).to_string()).filter(|name| !name.is_empty()).collect()
}
