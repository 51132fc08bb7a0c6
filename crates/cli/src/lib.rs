//! The user interface of downhaul: arguments, screen, questions, log and exit statuses. `downhaul-engine`
//! does the work.
//!
//! [`main_with`] is the whole program as a function.

mod again;
mod archive;
mod args;
mod aria2c;
mod asks;
mod certificates;
mod client;
mod completions;
mod config;
mod containers;
mod cookies;
mod daemon;
mod exit;
mod failed;
mod feed;
#[cfg(feature = "firefox")]
mod firefox;
mod given;
mod hints;
mod hooks;
mod import;
mod input;
mod late_check;
mod logins;
mod man;
mod outputs;
mod plain_http;
mod platform;
mod printer;
mod proxies;
mod record;
mod replay;
mod run;
mod secrets;
mod settings;
mod shards;
mod state;
mod stdin;
mod survey;
mod ui;
mod verify;
mod words;

pub use config::{Key as ConfigKey, described as config_keys};
pub use exit::{Exit, TABLE as EXIT_STATUSES};
#[cfg(unix)]
pub use platform::keep_closed_stdout_unwritable;
pub use settings::ENVIRONMENT;

use args::{Args, Command, ConfigCommand, NoArgs};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs the program with these arguments, and returns its exit status. The first argument is the name of the
/// program. If this name or the next argument is `aria2c`, the program behaves like aria2.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(words) = aria2c::words(&args) {
        return aria2c::run(words);
    }
    let sees_parent = platform::note_parent();
    let words = args;
    let args = match Args::read(words.clone()) {
        Ok(args) => args,
        Err(NoArgs::Asked(text)) => return printer::out(&text).into(),
        Err(NoArgs::Usage(text)) => {
            printer::err(&text);
            return Exit::Usage.into();
        }
    };
    if args.options.ending.stop_with_parent && !sees_parent {
        run::warn(
            "--stop-with-parent has no effect, because downhaul cannot see the program that started it",
        );
    }
    let exit = match &args.command {
        None if args.options.configuration.dry_run => dry_run(&args, &args),
        Some(Command::Plan(plan)) if plan.options.configuration.dry_run => {
            dry_run(&args, &args.planning(plan))
        }
        Some(Command::Repair(repair)) if repair.options.configuration.dry_run => {
            dry_run(&args, &args.repairing(repair))
        }
        // An imported command has become an ordinary command line.
        None | Some(Command::Import { .. }) => run::run(&args),
        Some(Command::Completions { shell }) => printer::out(&completions::script(*shell)),
        Some(Command::Config { command: None }) => {
            run::notes(&args);
            printer::out(&args.report)
        }
        Some(Command::Config { command: Some(ConfigCommand::Init { config }) }) => init(config.as_deref()),
        Some(Command::Man) => printer::out(&man::page()),
        Some(Command::Verify { what, output, quiet }) => {
            let paint = settings::paint_for_stdout(&args);
            let shows_work = settings::shows_work(&settings::output_settings(&args, false));
            verify::run(what, output.as_deref(), *quiet, paint, shows_work)
        }
        Some(Command::Repair(repair)) => run::run(&args.repairing(repair)),
        Some(Command::Daemon(daemon)) => daemon::run(&args.serving(daemon), daemon, &words),
        Some(Command::Client(command)) => client::run(&args, command),
        Some(Command::Plan(plan)) => run::run(&args.planning(plan)),
        Some(Command::Replay { file, speed }) => replay::run(&args, file, *speed),
    };
    exit.into()
}

/// Prints the command that would run without `--dry-run`. `download` has the arguments of its download.
fn dry_run(args: &Args, download: &Args) -> Exit {
    run::notes(args);
    if let Err(why) = input::arguments(download) {
        return run::usage(&why);
    }
    printer::out(&format!("{}\n", args.shown))
}

fn init(path: Option<&Path>) -> Exit {
    match config::init(path) {
        Ok(path) => {
            printer::err(&format!("the configuration file {} was written\n", words::path(&path)));
            Exit::Success
        }
        Err((exit, why)) => {
            run::error(&why);
            exit
        }
    }
}
