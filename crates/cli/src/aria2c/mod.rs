//! `downhaul aria2c`, and the program under the name `aria2c`: takes the arguments of aria2, downloads with
//! the queue of the daemon, and prints what aria2 prints. Therefore programs that start `aria2c` can use
//! downhaul instead.
//!
//! - [`arguments`] reads the command line and `aria2.conf`, and [`items`] reads the lists of files;
//! - [`settings`] makes the settings of the library from the options;
//! - [`session`] runs the queue, [`rpc`] listens for clients, [`hooks`] starts programs;
//! - [`screen`] prints, and [`help`] has the texts of `-h` and `-v`.
//!
//! Invariant: exit statuses (`man aria2c`, EXIT STATUS) and all lines that programs read are the same as in
//! aria2 1.36. Only the version that the program reports is different: it is 1.37.0.

mod arguments;
mod detach;
mod ending;
mod help;
mod hooks;
mod items;
mod rpc;
mod screen;
mod session;
mod settings;

use crate::exit::Exit;
use crate::printer;
use arguments::{Arguments, Refused};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// The name of the program and of the command.
const NAME: &str = "aria2c";

/// Returns the arguments for aria2, if the program was called as `aria2c` or as `downhaul aria2c`.
pub(crate) fn words(args: &[OsString]) -> Option<&[OsString]> {
    let (program, rest) = args.split_first()?;
    if Path::new(program).file_stem().is_some_and(|name| name == NAME) {
        return Some(rest);
    }
    rest.split_first().filter(|(command, _)| *command == NAME).map(|(_, rest)| rest)
}

/// Runs with these arguments, and returns the exit status of aria2.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let (words, is_detached) = detach::marked(words);
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let status = match Arguments::read(&words) {
        Ok(Arguments { version: true, .. }) => print(&help::version()),
        Ok(Arguments { help: Some(what), .. }) => print(&help::text(&what)),
        Ok(given) if given.options.is_true("daemon") && !is_detached => detach::start(&words),
        Ok(given) => session::run(&given),
        Err(Refused { status, why }) => {
            printer::err(&why);
            status
        }
    };
    ExitCode::from(status)
}

fn print(text: &str) -> u8 {
    u8::from(printer::out(text) != Exit::Success)
}
