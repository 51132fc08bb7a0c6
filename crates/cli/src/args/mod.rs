//! The arguments of the program, as clap reads them.

mod choices;
pub(crate) mod client;
mod commands;
mod deadline;
mod foreign;
mod groups;
mod help;
mod mistakes;
mod repeats;
mod serving;
mod values;

pub use choices::{
    Auth, Color, Decode, Dedup, Hsts, IfExists, IfLocked, Mirrors, Names, OnError, Progress, Sync, TlsMin,
    Verify,
};
pub use commands::{Command, ConfigCommand, Daemon, Planning, Repair};
pub use deadline::Deadline;
pub(crate) use foreign::is_foreign;
pub use groups::{
    Configuration, Ending, Existing, Failure, Http, Lists, Output, Reporting, Verification, Work,
};
use mistakes::not_read;
pub(crate) use repeats::without_overridden;
pub(crate) use serving::is_unused as is_unused_by_daemon;
pub use values::{BodyOption, Header, LoginOption, SecretOption, ShardOption};
pub(crate) use values::{cert_parts, cookies, header_option, host, login, token};

use crate::again::{self, Again};
use crate::config::{self, Config};
use crate::import::{self, Imported};
use crate::stdin;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args as Group, CommandFactory, FromArgMatches, Parser, ValueHint};
use downhaul_engine::core::credentials::cookies::Cookies;
use downhaul_engine::core::credentials::netrc::Netrc;
use downhaul_engine::core::name::{NameSource, Naming};
use std::ffi::OsString;
use std::sync::Arc;

/// The text after the options in `--help`.
const AFTER: &str = "\
Examples:
  downhaul https://example.com/a.iso                 save a.iso here
  downhaul \"URL1,URL2\" \"one,two\" -d downloads        save two files under these names
  downhaul -i list.txt -j 8                          download a list, eight files at once
  downhaul URL -o - | tar xz                         write to a pipe

A file of 1 MiB or more, or of unknown size, is in NAME.part until it is complete. To resume a
download, run the same command again. An existing file is replaced only if an option says so.

Exit status:
  0 all files are complete and passed their checks   1 a download failed   2 usage error
  3 a file failed verification   4 you chose to exit, or --on-error exit ended the run
  5 a local file or folder cannot be used   75 stopped by a signal, --max-total or --deadline
  130 stopped by Ctrl-C";

const USAGE: &str = "downhaul URL... [OPTIONS]          names come from the server or the URL
       downhaul URLS FILENAMES [OPTIONS]  comma-separated lists of equal length
       downhaul -i LIST [OPTIONS]         LIST has URLs; - is standard input";

/// Download files in parallel, verify them, and resume what was interrupted
#[derive(Debug, Clone, Parser)]
#[command(
    name = "downhaul",
    version,
    after_help = AFTER,
    override_usage = USAGE,
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    disable_help_flag = true,
    max_term_width = 100
)]
pub struct Args {
    /// The command, if the command line has the name of one, such as `verify`.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// URLs to download
    ///
    /// Each argument can contain several URLs, separated by commas, if each further URL begins with https://
    /// or http://. If there are exactly two arguments and the second one is not a URL, it contains the names
    /// of the files, separated by commas. If the second argument could be both, write https:// before a URL,
    /// or ./ before a name.
    #[arg(value_name = "URLS", value_hint = ValueHint::Url)]
    pub urls: Vec<String>,

    /// Show the most used options
    #[arg(short = 'h', action = ArgAction::SetTrue, hide_short_help = true)]
    short_help: bool,

    /// Show all options
    #[arg(long, action = ArgAction::HelpLong, hide_short_help = true)]
    help: Option<bool>,

    #[command(flatten)]
    pub output: Output,

    #[command(flatten)]
    pub lists: Lists,

    #[command(flatten)]
    pub existing: Existing,

    #[command(flatten)]
    pub options: Options,

    /// The command that runs this download again.
    #[arg(skip)]
    pub(crate) again: Again,

    /// True if the command line, the environment or the configuration sets `--retries` for a download or a
    /// plan.
    #[arg(skip)]
    pub(crate) has_retries: bool,

    /// The text of the command, for `--dry-run`.
    #[arg(skip)]
    pub(crate) shown: String,

    #[arg(skip)]
    pub(crate) netrc: Option<Netrc>,

    #[arg(skip)]
    pub(crate) cookies: Cookies,

    #[arg(skip)]
    pub(crate) config: Config,

    /// The output of `downhaul config`, or an empty text for all other commands.
    #[arg(skip)]
    pub(crate) report: String,

    /// The command that repairs the files in the given list.
    #[arg(skip)]
    pub(crate) repair: Again,
}

/// The options that are the same for downloads, repairs, plans and the daemon.
#[derive(Debug, Clone, Group)]
pub struct Options {
    #[command(flatten)]
    pub work: Work,

    #[command(flatten)]
    pub failure: Failure,

    #[command(flatten)]
    pub ending: Ending,

    #[command(flatten)]
    pub verification: Verification,

    #[command(flatten)]
    pub http: Http,

    #[command(flatten)]
    pub reporting: Reporting,

    #[command(flatten)]
    pub configuration: Configuration,
}

/// Returns the command with all options that the help and the completions show.
pub(crate) fn command() -> clap::Command {
    // `downhaul -h` prints a short help of its own ([`help`]). The help of the commands comes from clap.
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Show this help");
    let command = Args::command();
    let shown: Vec<Arg> = config::options(&command).cloned().collect();
    let command = command.mut_subcommand("config", |sub| sub.args(shown));
    // A command of curl names its URLs itself, so `import` does not accept the list of `--input`.
    let others =
        command.get_arguments().filter(|arg| !arg.is_positional() && arg.get_long() != Some("input"));
    let others: Vec<Arg> =
        others.filter(|arg| arg.get_long().is_some_and(|long| long != "help")).cloned().collect();
    let command = command.mut_subcommand("import", |sub| sub.args(others));
    let command = command.mut_subcommand("daemon", serving::with_help);
    let command = command.subcommand(aria2c());
    command.mut_subcommands(|sub| sub.arg(help.clone()).mut_subcommands(|inner| inner.arg(help.clone())))
}

/// Returns the definition of the command `aria2c`, for the help and the completions. The arguments of this
/// command are read by [`crate::aria2c`], and not by clap.
fn aria2c() -> clap::Command {
    let arguments = Arg::new("arguments").num_args(0..).value_name("ARGUMENTS");
    let arguments = arguments.value_hint(ValueHint::AnyPath).help("The arguments of aria2");
    clap::Command::new("aria2c")
        .about("Download with the options of aria2 (see downhaul aria2c --help)")
        .arg(arguments)
}

/// The text that is printed if there is no run.
pub(crate) enum NoArgs {
    /// The help or the version, which the user requested.
    Asked(String),
    /// The mistake in the command line or the configuration.
    Usage(String),
}

impl Args {
    /// Reads the arguments. The first one is the name of the program.
    ///
    /// # Errors
    /// Returns the text to print.
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Args, NoArgs> {
        let words: Vec<OsString> = words.into_iter().collect();
        let mut command = foreign::add(self::command());
        let matches = command.try_get_matches_from_mut(&words).map_err(|e| not_read(&command, e))?;
        let (words, matches, notes, has_command) = match import::translated(&words, &matches)
            .map_err(usage)?
        {
            None => (words, matches, Vec::new(), false),
            Some(Imported { words, notes, was_on_stdin }) => {
                let matches = command.try_get_matches_from_mut(&words).map_err(|e| not_read(&command, e))?;
                (words, matches, notes, was_on_stdin)
            }
        };
        if let Some(refusal) = foreign::refusal(&matches) {
            return Err(usage(refusal));
        }
        if let Some(refusal) = serving::refusal(&command, &matches) {
            return Err(usage(refusal));
        }
        stdin::check(&command, &matches, has_command).map_err(usage)?;
        let repeated = repeats::check(foreign::add(self::command()), &words).map_err(usage)?;
        if matches.get_flag("short_help") {
            return Err(NoArgs::Asked(help::short(&self::command())));
        }
        let (again, repair) = (Again::of(&command, &matches), Again::repairing(&command, &matches));
        let shown = Again::shown(&command, &matches);
        let typed = matches.subcommand_matches("plan").unwrap_or(&matches);
        let has_dedup = typed.value_source("dedup") == Some(ValueSource::CommandLine);
        let Layered { mut config, report, matches } = layered(&mut command, matches, words)?;
        config.notes.splice(0..0, notes.into_iter().chain(repeated));
        let repair = if again::cannot_be_repaired(&command, |long| config.sets(long)) {
            Again::Unshown
        } else {
            repair
        };
        let args = Args::from_arg_matches(&matches)
            .map_err(|e| not_read(&command, e.format(&mut command.clone())))?;
        let given = matches.subcommand_matches("plan").unwrap_or(&matches);
        let has_retries = matches!(given.value_source("retries"), Some(ValueSource::CommandLine));
        let mut args = Args { again, repair, shown, has_retries, config, report, ..args };
        if !has_dedup {
            args.plan_without_dedup();
        }
        Ok(args)
    }

    /// If the command is a plan and `--dedup` is on, turns it off and adds a note. A plan cannot say what
    /// `--dedup` would do. This function must be called only if the option is not on the command line.
    fn plan_without_dedup(&mut self) {
        if let Some(Command::Plan(plan)) = &mut self.command
            && std::mem::replace(&mut plan.existing.dedup, Dedup::Off) != Dedup::Off
        {
            let why = "the setting dedup has no effect on a plan. The plan shows the downloads of a run without dedup";
            self.config.notes.push(why.into());
        }
    }

    /// Returns the arguments that a daemon uses for its downloads.
    pub fn serving(&self, daemon: &Daemon) -> Args {
        let folder = daemon.folders.first().cloned().unwrap_or_else(|| ".".into());
        let (output, options) = (Output { folder, ..self.output.clone() }, daemon.options.clone());
        Args { urls: Vec::new(), output, options, ..self.clone() }
    }

    /// Returns the arguments of the download that repairs the files of a list.
    pub fn repairing(&self, repair: &Repair) -> Args {
        let Repair { list, folder, options } = repair.clone();
        let output = Output { input: vec![list], folder, ..self.output.clone() };
        Args { urls: Vec::new(), output, options, ..self.clone() }
    }

    /// Returns the arguments of the download that is planned.
    pub fn planning(&self, plan: &Planning) -> Args {
        let Planning { urls, output, lists, existing, options, .. } = plan.clone();
        Args { urls, output, lists, existing, options, ..self.clone() }
    }

    /// Returns the arguments of `downhaul plan`, if that is the command.
    pub fn plan(&self) -> Option<&Planning> {
        match &self.command {
            Some(Command::Plan(plan)) => Some(plan),
            _ => None,
        }
    }
}

impl Output {
    /// Returns how the files get their names.
    pub(crate) fn naming(&self) -> Naming {
        let source = match self.names {
            Names::Auto => NameSource::Auto,
            Names::Url => NameSource::Url,
            Names::Server => NameSource::Server,
        };
        let template = self.name_template.clone().map(Arc::new);
        Naming { source, folders: self.folders, windows: self.windows_names, template, ..Naming::default() }
    }
}

fn usage(why: String) -> NoArgs {
    NoArgs::Usage(format!("error: {why}\n{MORE_INFORMATION}"))
}

/// The arguments, after the settings of the configuration were added to the command line.
struct Layered {
    config: Config,
    report: String,
    matches: ArgMatches,
}

/// Reads the configuration, if the command uses it. The settings become arguments, which are inserted into
/// `words` before the arguments of the user, so that the arguments of the user have precedence.
fn layered(
    command: &mut clap::Command,
    matches: ArgMatches,
    mut words: Vec<OsString>,
) -> Result<Layered, NoArgs> {
    let plain = self::command();
    let (place, used, given) = match matches.subcommand() {
        None => (1, &plain, &matches),
        Some((name @ ("repair" | "plan" | "config" | "daemon"), given)) if given.subcommand().is_none() => {
            (2, plain.find_subcommand(name).unwrap_or(&plain), given)
        }
        // The other commands use no configuration.
        Some(_) => return Ok(Layered { config: Config::default(), report: String::new(), matches }),
    };
    let mut config = Config::read(&plain, given).map_err(usage)?;
    if matches.subcommand_name() == Some("daemon") {
        config.drop_unused(serving::is_unused, "means nothing for a daemon, and is ignored");
    }
    let report = match matches.subcommand_name() {
        Some("config") => config::report(&config, &plain, given),
        _ => String::new(),
    };
    let more = config.words(used);
    if more.is_empty() {
        return Ok(Layered { config, report, matches });
    }
    words.splice(place..place, more);
    let matches = command.try_get_matches_from_mut(words).map_err(|e| not_read(command, e))?;
    Ok(Layered { config, report, matches })
}

/// The last line of a usage error.
pub(crate) const MORE_INFORMATION: &str = "For more information, try 'downhaul --help'.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_definition_of_the_arguments() {
        foreign::add(command()).debug_assert();
    }
}
