//! `downhaul daemon`: starts the daemon and the server for its clients.
//!
//! - [`secret`] reads the secret, and [`notice`] says where the daemon is.
//!
//! Invariant: without a secret, the daemon listens on a loopback address only.

pub(crate) mod notice;
pub(crate) mod secret;

use crate::args::{self, Args};
use crate::asks::Asks;
use crate::exit::Exit;
use crate::platform::{self, Signal, Signals};
use crate::printer;
use crate::run;
use crate::settings;
use crate::words;
use downhaul_daemon::folders::Folders;
use downhaul_daemon::options::Options;
use downhaul_daemon::web::{self, Allowed, Web};
use downhaul_daemon::{Config, Daemon};
use downhaul_engine::core::run_limits::RunLimits;
use downhaul_engine::core::settings::{OnError, Settings};
use notice::Notice;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;

/// Runs the daemon until a signal or a client stops it. `args` are the arguments of its downloads.
pub(crate) fn run(args: &Args, daemon: &args::Daemon) -> Exit {
    run::notes(args);
    match serve(args, daemon) {
        Ok(exit) | Err(Stopped::Exit(exit)) => exit,
        Err(Stopped::Why(why)) => {
            run::error(&why);
            Exit::Usage
        }
    }
}

/// The reason why the daemon does not start.
enum Stopped {
    Exit(Exit),
    Why(String),
}

impl From<String> for Stopped {
    fn from(why: String) -> Stopped {
        Stopped::Why(why)
    }
}

fn serve(args: &Args, daemon: &args::Daemon) -> Result<Exit, Stopped> {
    let args = run::with_secrets(args).map_err(Stopped::Exit)?;
    if let Some(option) = senseless(&args).next() {
        return Err(format!("{option} makes no sense for the downloads of a daemon").into());
    }
    let (network, own) = (run::runtime().map_err(Stopped::Exit)?, run::own_runtime().map_err(Stopped::Exit)?);
    let (token, secret_file) = secret::token(daemon)?;
    let listening = own.block_on(TcpListener::bind(daemon.listen));
    let listener = listening.map_err(|e| format!("The address {} cannot be used: {e}", daemon.listen))?;
    let (watch, mut watched) = unbounded_channel();
    let config = Config {
        settings: settings_of(&args)?,
        folders: folders(&daemon.folders)?,
        store: Some(in_state_folder(daemon.queue.clone(), "daemon.db")?),
        options: options_of(&args)?,
        session_file: None,
        watch: Some(watch),
    };
    let running = {
        let _context = network.enter();
        Daemon::start(config)?
    };
    let token_is_set = token.is_set();
    let allowed = Allowed { hosts: daemon.allow_host.clone(), origins: daemon.allow_origin.clone() };
    let web = Web::new(running.clone(), token, allowed);
    let (log, routes) = (web.log.clone(), web.routes());
    let stop = running.clone();
    let address = listener.local_addr().unwrap_or(daemon.listen);
    let _notice = Notice::new(address, token_is_set, secret_file.clone(), None).write();
    own.block_on(async {
        printer::err(&format!(
            "downhaul listens on http://{address}/ (clients of aria2: http://{address}/jsonrpc)\n"
        ));
        if let Some(file) = &secret_file {
            printer::err(&format!("the secret for clients is in {}\n", words::path(file)));
        }
        log.add(format!("listens on http://{address}/"));
        tokio::spawn(async move {
            while let Some((notice, entry)) = watched.recv().await {
                log.note(notice, &entry);
            }
        });
        let end = running.wait();
        tokio::select! {
            // Calls are answered while the files in progress end.
            () = web::serve(listener, routes, std::future::pending()) => {}
            () = end => {}
            () = until_signal(stop) => {}
        }
    });
    own.shutdown_background();
    network.shutdown_background();
    Ok(Exit::Success)
}

/// Returns the options of the arguments that the daemon could only ignore.
fn senseless(args: &Args) -> impl Iterator<Item = &'static str> + use<> {
    let options = &args.options;
    let given = [
        ("--dry-run", options.configuration.dry_run),
        ("--data, --json or --request", Asks::is_special(args)),
        ("--checksum", options.verification.checksum.is_some()),
        ("--record", options.verification.record.is_some()),
        ("--failed", options.failure.failed.is_some()),
        ("--on-complete", options.failure.on_complete.is_some()),
        ("--on-error-run", options.failure.on_error_run.is_some()),
        ("--range", options.http.range.is_some()),
        ("--max-total", options.work.max_total.is_some()),
        ("--deadline", options.work.deadline.is_some()),
    ];
    given.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option)
}

/// Stops the daemon at the first signal, and returns at the second one.
async fn until_signal(daemon: Daemon) {
    let mut signals = Signals::listen(false);
    let mut is_first = true;
    loop {
        match signals.next().await {
            Signal::Continue => {}
            _ if std::mem::take(&mut is_first) => daemon.stop(),
            _ => return,
        }
    }
}

/// Returns the folders below which downloads may be saved.
pub(crate) fn folders(of: &[PathBuf]) -> Result<Folders, String> {
    Folders::new(of)
        .map_err(|(folder, error)| format!("The folder {} cannot be used: {error}", words::path(&folder)))
}

/// Returns the settings of the downloads. A daemon asks no questions, and retries what may pass.
pub(crate) fn settings_of(args: &Args) -> Result<Settings, String> {
    let (settings, _) = settings::resolve(args, false, false, platform::raise_file_limit())?;
    let on_error = match settings.on_error {
        OnError::Skip => OnError::Skip,
        OnError::Ask | OnError::Retry | OnError::Exit => OnError::Retry,
    };
    Ok(settings.with_on_error(on_error).with_limit_rate(None).with_limits(RunLimits::default()))
}

/// Returns the options of aria2 that the arguments mean.
fn options_of(args: &Args) -> Result<Options, String> {
    let mut options = Options::default();
    let work = &args.options.work;
    let most = work.parallel.flatten().map(|number| number.to_string());
    let given = [
        ("max-concurrent-downloads", most),
        ("max-overall-download-limit", work.limit_rate.map(|rate| rate.to_string())),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            options.set(name, &value).map_err(|fault| fault.message)?;
        }
    }
    Ok(options)
}

/// Returns the path that was given, or that of a file in the folder for state.
pub(crate) fn in_state_folder(given: Option<PathBuf>, name: &str) -> Result<PathBuf, String> {
    if let Some(path) = given {
        return Ok(path);
    }
    let folder =
        settings::state_folder().ok_or("there is no folder for the state of the daemon: set HOME")?;
    platform::make_private_folder(&folder).map_err(|e| format!("{}: {e}", words::path(&folder)))?;
    Ok(folder.join(name))
}
