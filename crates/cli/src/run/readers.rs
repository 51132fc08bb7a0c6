//! Starts the readers of the events of a session: the files, the screen, the log, the JSON output and the
//! commands. Each reader has a separate thread.

use super::{Shared, error, warn};
use crate::archive;
use crate::args::Args;
use crate::exit::Exit;
use crate::failed;
use crate::hooks::Hooks;
use crate::platform::{self, Terminal};
use crate::printer::Paint;
use crate::record::Record;
use crate::settings::{self, OutputSettings, Shown};
use crate::ui::messages::Messages;
use crate::ui::prompt::Prompt;
use crate::ui::screen::Screen;
use crate::ui::{EventReader, json, log::Log, plan};
use crate::words;
use downhaul_engine::Session;
use downhaul_engine::core::show::escaped;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Starts the threads that write the lock file of `--record`, the archive and the list of `--failed`.
pub(super) fn start_files(
    (record, archive): (Option<Record>, Option<archive::Writer>),
    list: Option<failed::List>,
    session: &Arc<Session>,
    shared: &Arc<Shared>,
) -> Vec<JoinHandle<()>> {
    let runtime = tokio::runtime::Handle::current();
    let mut outputs = Vec::new();
    if let Some(record) = record {
        let (events, shared) = (EventReader::new(&runtime, session.events()), shared.clone());
        outputs.push(thread::spawn(move || match record.run(events) {
            Ok(warning) => warning.iter().for_each(|warning| warn(warning)),
            Err(why) => {
                error(&escaped(&why));
                shared.fail(Exit::Disk);
            }
        }));
    }
    if let Some(archive) = archive {
        let (events, shared) = (EventReader::new(&runtime, session.events()), shared.clone());
        outputs.push(thread::spawn(move || {
            if let Err(why) = archive.run(events) {
                error(&escaped(&why));
                shared.fail(Exit::Disk);
            }
        }));
    }
    if let Some(list) = list {
        let (events, shared) = (EventReader::new(&runtime, session.events()), shared.clone());
        outputs.push(thread::spawn(move || match list.run(events) {
            Ok(warnings) => warnings.iter().for_each(|warning| warn(&escaped(warning))),
            Err(why) => {
                error(&escaped(&why));
                shared.fail(Exit::Disk);
            }
        }));
    }
    outputs
}

/// Starts the thread for the commands of `--on-complete` and `--on-error-run`.
pub(super) fn start_commands(
    args: &Args,
    session: &Arc<Session>,
    shared: &Arc<Shared>,
) -> Option<JoinHandle<()>> {
    let failure = &args.options.failure;
    let hooks = Hooks { complete: failure.on_complete.clone(), error: failure.on_error_run.clone() };
    if hooks.is_empty() || args.plan().is_some() {
        return None;
    }
    let events = EventReader::new(&tokio::runtime::Handle::current(), session.events());
    let shared = shared.clone();
    Some(thread::spawn(move || hooks.run(events, || shared.is_in_a_hurry(), warn)))
}

/// Starts the threads for the log, and for one of these: the screen, the JSON output, or the table of
/// `downhaul plan`.
//
// This function is long because each output is started in a different way.
pub(super) fn start_outputs(
    args: &Args,
    output: &OutputSettings,
    terminal: Option<Terminal>,
    session: &Arc<Session>,
    shared: &Arc<Shared>,
) -> Vec<JoinHandle<()>> {
    let runtime = tokio::runtime::Handle::current();
    let mut outputs = Vec::new();
    if let Some(path) = output.log.as_ref().filter(|_| args.plan().is_none()) {
        let opened = match args.options.reporting.log {
            Some(_) => Log::open(path).map_err(|e| e.to_string()),
            None => Log::open_default(path),
        };
        match opened {
            Ok(log) => {
                let (events, shared) = (EventReader::new(&runtime, session.events()), shared.clone());
                let path = words::path(path);
                outputs.push(thread::spawn(move || {
                    if let Err(why) = log.run(events, || shared.last_line_of_the_log()) {
                        let why = why.to_string();
                        warn(&format!("not all of the log {path} could be written: {}", escaped(&why)));
                    }
                }));
            }
            Err(e) => warn(&format!("no log is written: {}: {}", words::path(path), escaped(&e))),
        }
    }
    if output.progress == Shown::Json {
        let (events, session) = (EventReader::new(&runtime, session.events()), session.clone());
        let shared = shared.clone();
        let args = args.clone();
        outputs.push(thread::spawn(move || {
            let gone = || {
                if !args.options.ending.keep_going {
                    error("the program that reads the events has ended, so the run stops. With --keep-going, the run continues");
                    // With `Exit::Success`, the files decide the exit status: it is 0 if all of them are
                    // complete.
                    shared.stop(Exit::Success, &args);
                    session.stop();
                }
            };
            if let Err(why) = json::run(events, &session, gone) {
                error(&format!("not all events could be written to standard output: {why}"));
                shared.fail(Exit::Disk);
            }
        }));
        return outputs;
    }
    if let Some(options) = args.plan() {
        let (events, shared) = (EventReader::new(&runtime, session.events()), shared.clone());
        let look = plan::Look {
            paint: settings::paint_for_stdout(args),
            all: options.all || output.verbose,
            quiet: output.quiet,
            columns: platform::columns_of_stdout(),
            progress: settings::shows_work(output),
        };
        outputs.push(thread::spawn(move || {
            let printed = plan::run(events, look, || shared.total());
            if printed != Exit::Success {
                shared.fail(printed);
            }
        }));
        return outputs;
    }
    let events = EventReader::new(&runtime, session.latest_events());
    let (session, shared) = (session.clone(), shared.clone());
    let output = output.clone();
    // The screen needs the arguments for the commands that it suggests, so a copy of the arguments is kept.
    let args = args.clone();
    outputs.push(thread::spawn(move || {
        let OutputSettings { progress, repaints, quiet, verbose, color, unicode, .. } = output;
        let messages = Messages::new(Some(&args), Paint(color), quiet, verbose, unicode);
        Screen::new(progress, repaints, messages, Prompt::new(terminal)).run(events, &session, &shared);
    }));
    outputs
}
