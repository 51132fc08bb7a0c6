//! Writes the file of `downhaul config init`, in which every setting is commented out.

use super::keys::{self, Key};
use super::{PREFIX, default_path, hosts};
use crate::platform;
use crate::words;
use std::io;
use std::path::{Path, PathBuf};

/// The first lines of the file.
const HEAD: &str = "\
# The configuration of downhaul. Every key is the long name of an option. `downhaul --help` explains the options.
# A setting on the command line has precedence over the environment (DOWNHAUL_PARALLEL=8), the environment has
# precedence over a profile, and a profile has precedence over the keys at the top of this file.
# `downhaul config` shows which settings are in effect, and where they come from.
#
# Do not write a secret into this file. Write \"env:NAME\" (an environment variable) or \"@FILE\" instead.
";

/// The last lines of the file. `KEYS` is replaced by the keys that a section for a host can have.
const SECTIONS: &str = r#"
# Keys of a section [profile.NAME] are in effect with --profile NAME.
#[profile.slow-line]
#limit-rate = "500k"
#parallel = 1

# The keys of a section [host."NAME"] apply only to the hosts that NAME means. Such a section can have these keys:
# KEYS.
#[host."*.example.org"]
#connections = 2
#bearer = "env:EXAMPLE_TOKEN"
"#;

/// Writes the file at the path `named`, or at the default path, and returns this path. An existing file is
/// not changed.
pub(crate) fn init(named: Option<&Path>) -> Result<PathBuf, String> {
    let path = named.map(Path::to_path_buf).or_else(default_path);
    let path = path
        .ok_or("there is no folder for the configuration: HOME is not set. Name a file with --config FILE")?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), |folder| match folder.is_dir() {
        true => Ok(()),
        false => platform::make_private_folder(folder),
    });
    let shown = words::path(&path);
    match made.and_then(|()| platform::write_new(&path, text().as_bytes(), platform::FOR_THE_OWNER)) {
        Ok(()) => Ok(path),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            Err(format!("{shown} exists already and was not changed"))
        }
        Err(e) => Err(format!("{shown} could not be written: {e}")),
    }
}

fn text() -> String {
    let mut text = HEAD.to_string();
    for Key { name, values, default, is_value, meaning, .. } in keys::described() {
        let variable = format!("{PREFIX}{}", name.to_ascii_uppercase().replace('-', "_"));
        text += &format!("\n# {meaning}\n# {}; {variable}\n", values.replace('`', ""));
        if !is_value && !default.is_empty() {
            text += &format!("# The default is {default}.\n");
        }
        let value = match default.as_str() {
            _ if !is_value => "\"\"".into(),
            "true" | "false" => default,
            number if number.bytes().all(|b| b.is_ascii_digit()) => default,
            word => format!("\"{word}\""),
        };
        text += &match values.starts_with("a list") {
            true => format!("#{name} = []\n"),
            false => format!("#{name} = {value}\n"),
        };
    }
    text + &SECTIONS.replace("KEYS", &hosts::names().collect::<Vec<_>>().join(", "))
}
