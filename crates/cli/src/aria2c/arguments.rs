//! [`Arguments`]: the options and URLs of the command line, and the options of `aria2.conf`. An option of the
//! command line has precedence over the same option of the file.
//!
//! The rules are the rules of `getopt_long`, as aria2 uses it: options and URLs can be in any order, the
//! forms `--opt=V`, `--opt V`, `-x16` and `-x 16` are accepted, and a name can be shortened to a unique
//! beginning. An option with a boolean or an optional value takes the value only after `=`, or right after
//! its letter.
//!
//! Invariant: the last value of an option is used, except that `header` and `index-out` collect all their
//! values.

use crate::settings;
use crate::words;
use downhaul_daemon::options::{Kind, Options, TABLE, row};
use downhaul_engine::Digest;
use downhaul_engine::core::show::escaped;
use std::path::{Path, PathBuf};

/// The exit status for an option that cannot be used (`man aria2c`, EXIT STATUS).
pub(super) const BAD_OPTION: u8 = 28;

/// The options that have a short form, each with its letter.
const LETTERS: [(char, &str); 27] = [
    ('D', "daemon"),
    ('M', "metalink-file"),
    ('O', "index-out"),
    ('P', "parameterized-uri"),
    ('R', "remote-time"),
    ('S', "show-files"),
    ('T', "torrent-file"),
    ('U', "user-agent"),
    ('V', "check-integrity"),
    ('Z', "force-sequential"),
    ('c', "continue"),
    ('d', "dir"),
    ('h', "help"),
    ('i', "input-file"),
    ('j', "max-concurrent-downloads"),
    ('k', "min-split-size"),
    ('l', "log"),
    ('m', "max-tries"),
    ('n', "no-netrc"),
    ('o', "out"),
    ('p', "ftp-pasv"),
    ('q', "quiet"),
    ('s', "split"),
    ('t', "timeout"),
    ('u', "max-upload-limit"),
    ('v', "version"),
    ('x', "max-connection-per-server"),
];

/// The text that aria2 prints after a mistake in the command line.
const USAGE: &str = "Usage: aria2c [OPTIONS] [URI | METALINK_FILE]...\nSee 'aria2c -h'.\n";

/// Options whose values may contain the home folder in the form `${HOME}` (`man aria2c`, aria2.conf).
const WITH_HOME: [&str; 20] = [
    "ca-certificate",
    "certificate",
    "dht-file-path",
    "dht-file-path6",
    "dir",
    "input-file",
    "load-cookies",
    "log",
    "metalink-file",
    "netrc-path",
    "on-bt-download-complete",
    "on-download-complete",
    "on-download-error",
    "on-download-pause",
    "on-download-start",
    "on-download-stop",
    "private-key",
    "rpc-certificate",
    "save-cookies",
    "save-session",
];

/// The arguments.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// The options of the command line and of the configuration file.
    pub(super) options: Options,
    /// The URLs and Metalink files.
    pub(super) operands: Vec<String>,
    /// The topic of `-h`.
    pub(super) help: Option<String>,
    /// True if `-v` was given.
    pub(super) version: bool,
    /// Warnings for the user.
    pub(super) warnings: Vec<String>,
}

/// The reason why the program does not start.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u8,
    pub(super) why: String,
}

impl Refused {
    pub(super) fn new(status: u8, why: impl Into<String>) -> Refused {
        Refused { status, why: why.into() }
    }

    fn usage(why: impl std::fmt::Display) -> Refused {
        Refused::new(BAD_OPTION, format!("aria2c: {why}\n{USAGE}"))
    }

    /// Returns the refusal of a value that is not allowed.
    pub(super) fn value(why: impl std::fmt::Display) -> Refused {
        Refused::new(BAD_OPTION, format!("Exception: errorCode={BAD_OPTION} {why}\n{USAGE}"))
    }
}

impl Arguments {
    /// Reads the command line and the configuration file.
    ///
    /// # Errors
    /// Returns a message for the user, which says which option or which configuration file cannot be used.
    pub(super) fn read(words: &[String]) -> Result<Arguments, Refused> {
        let mut given = Arguments::default();
        given.read_words(words)?;
        if given.version || given.help.is_some() {
            return Ok(given);
        }
        let mut options = Options::default();
        if !given.options.is_true("no-conf") {
            given.warnings = read_file(given.options.get("conf-path"), &mut options)?;
        }
        // A value of the command line replaces the value of the configuration file. If an option may occur
        // several times, such as `header`, the value is added instead.
        for (name, value) in given.options.iter() {
            options.add(name, value).map_err(Refused::value)?;
        }
        given.options = options;
        if let Some(checksum) = given.options.get("checksum") {
            let why = "We encountered a problem while processing the option '--checksum'.";
            Digest::from_pair(checksum).map_err(|e| Refused::value(format!("{why}\n  -> {e}")))?;
        }
        Ok(given)
    }

    fn read_words(&mut self, words: &[String]) -> Result<(), Refused> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                self.operands.extend(words.by_ref().cloned());
            } else if let Some(long) = word.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_string())),
                    None => (long, None),
                };
                let name = option_of(name)?;
                let value = match value {
                    Some(value) => value,
                    None if takes_value(name) => {
                        let missing = || Refused::usage(format!("option '--{name}' requires an argument"));
                        words.next().cloned().ok_or_else(missing)?
                    }
                    None => alone(name),
                };
                self.set(name, &value)?;
            } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                self.read_letters(letters, &mut words)?;
            } else {
                self.operands.push(word.clone());
            }
        }
        Ok(())
    }

    /// Reads a word such as `-x16` or `-n`. A word has only one option, because every option may have its
    /// value right after its letter.
    fn read_letters<'a>(
        &mut self,
        letters: &str,
        words: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), Refused> {
        let mut rest = letters.chars();
        let letter = rest.next().unwrap_or_default();
        let known = LETTERS.iter().find(|(known, _)| *known == letter);
        let (_, name) = known.ok_or_else(|| Refused::usage(format!("invalid option -- '{letter}'")))?;
        let rest = rest.as_str();
        if *name == "version" {
            self.version = true;
            return Ok(());
        }
        let value = match rest {
            "" if takes_value(name) => {
                let missing = || Refused::usage(format!("option requires an argument -- '{letter}'"));
                words.next().cloned().ok_or_else(missing)?
            }
            "" => alone(name),
            value => value.to_string(),
        };
        self.set(name, &value)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        match name {
            "version" => self.version = true,
            "help" => self.help = Some(value.into()),
            _ => self.options.add(name, &with_home(name, value)).map_err(Refused::value)?,
        }
        Ok(())
    }
}

/// Returns true if an option needs a value. All other options can have a value after `=`.
fn takes_value(name: &str) -> bool {
    let is_optional = matches!(name, "help" | "version" | "optimize-concurrent-downloads");
    !is_optional && row(name).is_none_or(|row| row.2 != Kind::Bool)
}

/// Returns the value that is used for an option without a value.
fn alone(name: &str) -> String {
    if name == "help" { "#basic".into() } else { "true".into() }
}

/// Returns the option with this name, or the only option whose name begins with this text.
fn option_of(text: &str) -> Result<&'static str, Refused> {
    if let Some((name, ..)) = row(text) {
        return Ok(name);
    }
    let possible: Vec<&str> =
        TABLE.iter().map(|row| row.0).filter(|name| !text.is_empty() && name.starts_with(text)).collect();
    match possible.as_slice() {
        [name] => Ok(name),
        [] => Err(Refused::usage(format!("unrecognized option '--{text}'"))),
        all => Err(Refused::usage(format!(
            "option '--{text}' is ambiguous; possibilities: '--{}'",
            all.join("' '--")
        ))),
    }
}

/// Returns the value of an option. If the option is in [`WITH_HOME`], the home folder takes the place of
/// `${HOME}`.
fn with_home(name: &str, value: &str) -> String {
    match settings::home().filter(|_| WITH_HOME.contains(&name) && value.contains("${HOME}")) {
        Some(home) => value.replace("${HOME}", &home.to_string_lossy()),
        None => value.into(),
    }
}

/// Adds the options of the configuration file, if there is one, to `options`. Returns warnings. `named` is
/// the path that the user gave. It is an error if the file at this path cannot be read.
fn read_file(named: Option<&str>, options: &mut Options) -> Result<Vec<String>, Refused> {
    let path = named.map(PathBuf::from).or_else(default_file);
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) if named.is_some() => return Err(not_found(&path)),
        Err(_) => return Ok(Vec::new()),
    };
    let mut warnings = Vec::new();
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let (name, value) = (name.trim_end(), value.trim());
        match row(name) {
            Some(_) => options.add(name, &with_home(name, value)).map_err(|fault| {
                let at = words::path(&path);
                Refused::new(BAD_OPTION, format!("Parse error in {at}\n{fault}\nUsage: {name}=VALUE\n"))
            })?,
            None => warnings.push(format!("Unknown option: {}", escaped(line))),
        }
    }
    Ok(warnings)
}

/// Returns the path of the configuration file that is read by default. This is `~/.aria2/aria2.conf`, the
/// older path, if that file exists. Otherwise it is `aria2/aria2.conf` in `$XDG_CONFIG_HOME` or in
/// `~/.config`.
fn default_file() -> Option<PathBuf> {
    let home = settings::home();
    let older = home.as_ref().map(|home| home.join(".aria2/aria2.conf")).filter(|path| path.exists());
    let folder = settings::folder("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")));
    older.or_else(|| Some(folder?.join("aria2/aria2.conf")))
}

fn not_found(path: &Path) -> Refused {
    Refused::new(1, format!("Configuration file {} is not found.\n{USAGE}", words::path(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Arguments, Refused> {
        let words: Vec<String> = ["--no-conf"].iter().chain(words).map(|word| (*word).to_string()).collect();
        Arguments::read(&words)
    }

    #[test]
    fn letters_are_in_order_and_known() {
        assert!(LETTERS.is_sorted());
        assert!(LETTERS.iter().all(|(_, name)| row(name).is_some()));
        assert!(WITH_HOME.iter().all(|name| row(name).is_some()));
    }

    #[test]
    fn options_are_read_as_callers_write_them() {
        for (words, name, value) in [
            (&["-x16"][..], "max-connection-per-server", "16"),
            (&["-x", "16"], "max-connection-per-server", "16"),
            (&["-j 5"], "max-concurrent-downloads", "5"),
            (&["-dDIR"], "dir", "DIR"),
            (&["-d", ""], "dir", ""),
            (&["--dir=a=b"], "dir", "a=b"),
            (&["--dir", "a", "--dir", "b"], "dir", "b"),
            (&["--max-tri=3"], "max-tries", "3"),
            (&["-c", "true"], "continue", "true"),
            (&["-cfalse"], "continue", "false"),
            (&["--continue", "x"], "continue", "true"),
            (&["--continue=false"], "continue", "false"),
            (&["--header", "A: b", "--header=C: d"], "header", "A: b\nC: d"),
            (&["-k1M"], "min-split-size", "1048576"),
            (&["-i", "-"], "input-file", "-"),
            (&["-o", "-x"], "out", "-x"),
        ] {
            let given = read(words).unwrap_or_else(|refused| panic!("{words:?}: {}", refused.why));
            assert_eq!(given.options.get(name).unwrap_or_default(), value, "{words:?}");
        }
        let given = read(&["u1", "-q", "--", "-x", "--no"]).expect("read");
        assert_eq!(given.operands, ["u1", "-x", "--no"]);
        assert_eq!(read(&["-h"]).expect("read").help.as_deref(), Some("#basic"));
        assert!(read(&["-v"]).expect("read").version && read(&["--version"]).expect("read").version);
    }

    #[test]
    fn mistakes_have_the_status_of_aria2() {
        for words in [
            &["--no-such"][..],
            &["-!"],
            &["-d"],
            &["--dir"],
            &["--max=3"],
            &["-x99"],
            &["-x", "http://h/"],
            &["-qcx4"],
            &["--checksum=sha-1=zz"],
        ] {
            assert_eq!(read(words).expect_err("a mistake").status, BAD_OPTION, "{words:?}");
        }
    }
}
