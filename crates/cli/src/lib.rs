//! What downhaul **says**: arguments, screens, prompts, log and exit statuses, around `downhaul-engine`.
//!
//! [`main_with`] is the whole program as a function.

mod again;
mod args;
mod completions;
mod exit;
mod given;
mod hints;
mod input;
mod man;
mod platform;
mod printer;
mod record;
mod run;
mod settings;
mod state;
mod ui;
mod verify;

pub use exit::{Exit, TABLE as EXIT_STATUSES};
pub use settings::ENVIRONMENT;

use again::Again;
use args::{Args, Command};
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with these arguments (the first is its name) and gives its exit status.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match parse(args) {
        Ok(args) => args,
        Err(e) => {
            // Help and version go to standard output and are no failure.
            let text = e.render();
            let styled = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let text = if styled { text.ansi().to_string() } else { text.to_string() };
            let exit = if e.use_stderr() { Exit::Usage } else { Exit::Success };
            match exit {
                Exit::Success => drop(printer::out(&text)),
                _ => printer::err(&text),
            }
            return exit.into();
        }
    };
    let exit = match &args.command {
        None => run::run(&args),
        Some(Command::Completions { shell }) => given(printer::out(&completions::script(*shell))),
        Some(Command::Man) => given(printer::out(&man::page())),
        Some(Command::Verify { what, output, quiet }) => {
            verify::run(what, output.as_deref(), *quiet, settings::paint_for_stdout(&args))
        }
        Some(Command::Repair(repair)) => run::run(&args.repairing(repair)),
        Some(Command::Replay { file, speed }) => run::replay(&args, file, *speed),
    };
    exit.into()
}

/// The arguments, and how to give them again.
fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    let mut command = Args::command();
    let matches = command.try_get_matches_from_mut(args)?;
    let args = Args::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
    Ok(Args { again: Again::of(&command, &matches), ..args })
}

fn given(all: bool) -> Exit {
    if all { Exit::Success } else { Exit::Failed }
}
