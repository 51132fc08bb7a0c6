//! The commands for a running daemon, such as `downhaul add` and `downhaul list`. These commands are clients
//! of the interface of the daemon (`/api/v1`).
//!
//! - [`find`] finds the daemon and its secret, and [`listener`] finds the users whose programs listen on a
//!   port;
//! - [`http`] sends requests and reads events;
//! - [`add`], [`change`], [`list`], [`watch`], [`logs`] and [`attach`] are the commands;
//! - [`download`] is a download as the daemon describes it, with the texts about it.
//!
//! Invariant: text from the daemon is escaped before it reaches a terminal, and the secret is sent only to
//! the daemon that the user named, or to a daemon on this machine.

mod add;
mod attach;
mod change;
mod download;
mod find;
mod http;
mod list;
mod listener;
mod logs;
mod watch;

use crate::args::Args;
use crate::args::client::{Address, ClientCommand};
use crate::exit::Exit;
use crate::platform::{Signal, Signals};
use crate::run;
use http::Http;
use serde_json::{Map, Value};
use std::io;

pub(crate) fn run(args: &Args, command: &ClientCommand) -> Exit {
    let Ok(runtime) = run::own_runtime() else { return Exit::Disk };
    let exit = runtime.block_on(async {
        // A mistake in the arguments ends the command before the first request.
        let options = match command {
            ClientCommand::Add(add) => add::options(add),
            _ => Ok(Map::new()),
        };
        let ready = options.and_then(|options| Ok((options, Http::new(find::daemon(address(command))?)?)));
        let (options, daemon) = match ready {
            Ok(ready) => ready,
            Err(why) => {
                run::error(&why);
                return Exit::Usage;
            }
        };
        tokio::select! {
            done = carry_out(args, command, &options, &daemon) => done.unwrap_or_else(|why| {
                run::error(&why);
                Exit::Failed
            }),
            exit = stopped(command) => exit,
        }
    });
    // A read of standard input may still block, and must not delay the end of the program.
    runtime.shutdown_background();
    exit
}

async fn carry_out(
    args: &Args,
    command: &ClientCommand,
    options: &Map<String, Value>,
    daemon: &Http,
) -> Result<Exit, String> {
    match command {
        ClientCommand::Add(add) => add::run(daemon, add, options).await,
        ClientCommand::List(list) => list::run(daemon, list).await,
        ClientCommand::Pause(chosen) => change::pause(daemon, chosen, true).await,
        ClientCommand::Resume(chosen) => change::pause(daemon, chosen, false).await,
        ClientCommand::Remove(remove) => change::remove(daemon, remove).await,
        ClientCommand::Move(to) => change::to_position(daemon, to).await,
        ClientCommand::Watch(watch) => watch::run(daemon, watch).await,
        ClientCommand::Logs(logs) => logs::run(daemon, logs).await,
        ClientCommand::Attach(_) => attach::run(args, daemon).await,
    }
}

fn address(command: &ClientCommand) -> &Address {
    match command {
        ClientCommand::Add(add) => &add.address,
        ClientCommand::List(list) => &list.address,
        ClientCommand::Pause(chosen) | ClientCommand::Resume(chosen) => &chosen.address,
        ClientCommand::Remove(remove) => &remove.address,
        ClientCommand::Move(to) => &to.address,
        ClientCommand::Watch(watch) => &watch.address,
        ClientCommand::Logs(logs) => &logs.address,
        ClientCommand::Attach(attach) => &attach.address,
    }
}

/// Waits for a signal that ends the command. Some commands run until a signal arrives. For them, Ctrl-C is
/// the usual end, and not an interruption.
async fn stopped(command: &ClientCommand) -> Exit {
    let mut signals = Signals::listen(false);
    loop {
        match signals.next().await {
            Signal::Continue => {}
            Signal::Interrupt if is_endless(command) => return Exit::Success,
            Signal::Interrupt => return Exit::Interrupted,
            Signal::Terminate | Signal::ParentEnded => return Exit::Terminated,
        }
    }
}

fn is_endless(command: &ClientCommand) -> bool {
    match command {
        ClientCommand::Attach(_) => true,
        ClientCommand::Watch(watch) => watch.ids.is_empty(),
        ClientCommand::Logs(logs) => logs.follow,
        _ => false,
    }
}

/// Prints text on standard output.
///
/// # Errors
/// Returns an error if nothing can be written, usually because the reader has closed the pipe.
fn print(text: &str) -> Result<(), String> {
    crate::printer::write(text.as_bytes()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => "standard output was closed".into(),
        _ => format!("standard output cannot be written: {e}"),
    })
}
