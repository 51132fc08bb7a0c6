//! Writes the file of `downhaul config init`, in which every setting is commented out.

use super::keys::{self, Key};
use super::{PREFIX, default_path, hosts};
use crate::exit::Exit;
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
///
/// # Errors
/// Returns the exit status of the program, and why the file was not written, in words for the user.
pub(crate) fn init(named: Option<&Path>) -> Result<PathBuf, (Exit, String)> {
    let Some(path) = named.map(Path::to_path_buf).or_else(default_path) else {
        let unset = if cfg!(windows) { "APPDATA" } else { "HOME" };
        let why = format!(
            "there is no folder for the configuration: {unset} is not set. Name a file with --config FILE"
        );
        return Err((Exit::Disk, why));
    };
    let shown = words::path(&path);
    let failed = |e: io::Error| (Exit::Disk, format!("{shown} could not be written: {e}"));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    // If a file has the name of the folder, the folder cannot be made (`AlreadyExists`). This error is not
    // about the file at `path`, so it is handled before that file is written.
    folder.map_or(Ok(()), platform::make_private_folder).map_err(failed)?;
    match platform::write_new(&path, text().as_bytes(), platform::FOR_THE_OWNER) {
        Ok(()) => Ok(path),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            Err((Exit::Failed, format!("{shown} exists already and was not changed")))
        }
        Err(e) => Err(failed(e)),
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
