//! `downhaul daemon`: starts the daemon and the server for its clients.
//!
//! - [`listeners`] opens the sockets and reads the certificate, [`secret`] reads or makes the secret, and
//!   [`notice`] tells clients on this machine the address;
//! - [`service`] tells systemd the state of the daemon, and [`reload`] handles SIGHUP.
//!
//! Invariant: without a secret, the daemon listens only on a loopback address.

mod listeners;
pub(crate) mod notice;
mod reload;
pub(crate) mod secret;
mod service;

use crate::args::{self, Args};
use crate::exit::Exit;
use crate::platform::{self, Hangups, Signal, Signals};
use crate::printer;
use crate::run;
use crate::settings;
use crate::ui::trace;
use crate::words;
use downhaul_daemon::entry::Entry;
use downhaul_daemon::folders::Folders;
use downhaul_daemon::options::Options;
use downhaul_daemon::state::Notice as Happened;
use downhaul_daemon::web::{Allowed, Server, Web};
use downhaul_daemon::{Config, Daemon};
use downhaul_engine::core::run_limits::RunLimits;
use downhaul_engine::core::settings::{OnError, Settings};
use listeners::Listeners;
use notice::Notice;
use reload::Reload;
use service::Service;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Runs the daemon until a signal or a client stops it. `args` are the arguments for its downloads. `words`
/// are the words of the command line, which is parsed again after a SIGHUP.
pub(crate) fn run(args: &Args, daemon: &args::Daemon, words: &[OsString]) -> Exit {
    run::notes(args);
    match serve(args, daemon, words) {
        Ok(exit) | Err(Stopped::Exit(exit)) => exit,
        Err(Stopped::Why(why)) => {
            run::error(&why);
            Exit::Usage
        }
    }
}

/// The reason why the daemon does not start.
enum Stopped {
    /// The reason was printed already. The program ends with this exit status.
    Exit(Exit),
    /// The reason must still be printed.
    Why(String),
}

impl From<String> for Stopped {
    fn from(why: String) -> Stopped {
        Stopped::Why(why)
    }
}

fn serve(args: &Args, daemon: &args::Daemon, words: &[OsString]) -> Result<Exit, Stopped> {
    let args = run::with_secrets(args).map_err(Stopped::Exit)?;
    trace::start(&args);
    let (network, own) = (run::runtime().map_err(Stopped::Exit)?, run::own_runtime().map_err(Stopped::Exit)?);
    // The secret is made before the daemon listens, so that a client that can connect also finds the secret.
    let (token, secret_file) = secret::token(daemon)?;
    let listeners = own.block_on(Listeners::open(daemon))?;
    listeners.warn();
    let (watch, watched) = unbounded_channel();
    let (options, configured) = options_of(&args)?;
    let config = Config {
        settings: settings_of(&args)?,
        folders: folders(&daemon.folders)?,
        store: Some(in_state_folder(daemon.queue.clone(), "daemon.db")?),
        options,
        configured,
        session_file: None,
        watch: Some(watch),
    };
    let running = {
        let _context = own.enter();
        Daemon::start(config, network.handle())?
    };
    let allowed = Allowed { hosts: daemon.allow_host.clone(), origins: daemon.allow_origin.clone() };
    let web = Web::new(running.clone(), token, allowed);
    let is_quiet = args.options.reporting.quiet;
    let _notice = announce(daemon, &listeners, &web, secret_file.clone(), is_quiet);
    let tls = listeners.tls.clone();
    let reload = Reload {
        words,
        args,
        daemon: running,
        log: web.log.clone(),
        token: web.token.clone(),
        secret_file,
        tls,
    };
    own.block_on(run_until_stopped(listeners, web, watched, reload));
    own.shutdown_background();
    network.shutdown_background();
    Ok(Exit::Success)
}

/// Prints the addresses of the daemon and the path of the secret, unless `is_quiet` is true. Adds the
/// addresses to the log of the daemon, and writes the first address into the notice for clients ([`notice`]).
fn announce(
    daemon: &args::Daemon,
    listeners: &Listeners,
    web: &Web,
    secret_file: Option<PathBuf>,
    is_quiet: bool,
) -> Option<notice::Written> {
    let scheme = listeners.scheme();
    let print = |text: String| {
        if !is_quiet {
            printer::err(&text)
        }
    };
    for (_, address) in &listeners.all {
        print(format!(
            "downhaul listens on {scheme}://{address}/ (clients of aria2: {scheme}://{address}/jsonrpc)\n"
        ));
        web.log.add(format!("listens on {scheme}://{address}/"));
    }
    if let Some(file) = &secret_file {
        print(format!("the secret for clients is in {}\n", words::path(file)));
    }
    let certificate = daemon.tls_cert.as_ref().and_then(|file| std::path::absolute(file).ok());
    let (_, address) = listeners.all.first()?;
    Notice::new(*address, web.token.is_set(), secret_file, certificate).write()
}

/// Serves clients until a signal or a client stops the daemon.
async fn run_until_stopped(
    listeners: Listeners,
    web: Web,
    mut watched: UnboundedReceiver<(Happened, Arc<Entry>)>,
    mut reload: Reload<'_>,
) {
    let (daemon, log) = (reload.daemon.clone(), web.log.clone());
    tokio::spawn(async move {
        while let Some((happened, entry)) = watched.recv().await {
            log.note(happened, &entry);
        }
    });
    let server = Server::new(web.routes(), listeners.tls);
    for (listener, _) in listeners.all {
        // The server has its own task, so that it answers clients even while the active downloads end.
        tokio::spawn(server.clone().serve(listener));
    }
    let service = Service::of_environment();
    tokio::spawn(service.clone().stay_alive(daemon.clone()));
    // If the daemon has a terminal, SIGHUP means that the terminal was closed, and ends the daemon.
    // Otherwise, SIGHUP means that the configuration is to be read again.
    let has_terminal = std::io::stderr().is_terminal();
    let signals = Signals::listen(false);
    let mut signals = if has_terminal { signals } else { signals.without_hangup() };
    let mut hangups = if has_terminal { None } else { Some(Hangups::listen()) };
    let hangup = async |hangups: &mut Option<Hangups>| match hangups {
        Some(hangups) => hangups.next().await,
        None => std::future::pending().await,
    };
    service.ready();
    let mut end = std::pin::pin!(daemon.wait());
    let mut is_stopping = false;
    loop {
        tokio::select! {
            () = &mut end => {
                server.finish().await;
                break;
            }
            () = hangup(&mut hangups) => {
                service.reloading();
                reload.run();
                service.ready();
            }
            signal = signals.next() => match signal {
                Signal::Continue => {}
                // The second signal ends the daemon immediately.
                _ if is_stopping => break,
                _ => {
                    is_stopping = true;
                    say_that_it_stops(&reload.args, has_terminal);
                    service.stopping();
                    daemon.stop();
                }
            },
        }
    }
    if !is_stopping {
        service.stopping();
    }
}

/// Tells the user that a signal stops the daemon, which can take some seconds.
fn say_that_it_stops(args: &Args, has_terminal: bool) {
    if args.options.reporting.quiet {
        return;
    }
    // After Ctrl-C, the terminal has written `^C` into the current line.
    let before = if has_terminal { "\n" } else { "" };
    printer::err(&format!(
        "{before}downhaul stops. Downloads that are not paused continue at the next start.\n"
    ));
}

/// Returns the folders below which downloads may be saved.
pub(crate) fn folders(of: &[PathBuf]) -> Result<Folders, String> {
    Folders::new(of)
        .map_err(|(folder, error)| format!("the folder {} cannot be used: {error}", words::path(&folder)))
}

/// Returns the settings of the downloads. A daemon asks no questions, and no failed download ends it.
/// Therefore, if `--on-error` says to ask or to end the run, the daemon retries the download instead. The
/// limits of a whole run do not apply to a daemon, and `--limit-rate` has its effect through [`options_of`].
pub(crate) fn settings_of(args: &Args) -> Result<Settings, String> {
    let (mut settings, _) = settings::resolve(args, false, false, platform::raise_file_limit())?;
    // A daemon writes no file of its own, such as a log, beside the downloads. So no name is reserved.
    settings.reserved = Vec::new();
    let on_error = match settings.on_error {
        OnError::Skip => OnError::Skip,
        OnError::Ask | OnError::Retry | OnError::Exit => OnError::Retry,
    };
    Ok(settings.with_on_error(on_error).with_limit_rate(None).with_limits(RunLimits::default()))
}

/// Returns the options of aria2 that have the effect of `--parallel` and `--limit-rate`. The first value has
/// the options of the command line, and the second value has those of the configuration.
fn options_of(args: &Args) -> Result<(Options, Options), String> {
    let (mut given, mut configured) = (Options::default(), Options::default());
    let work = &args.options.work;
    let most = work.parallel.flatten().map(|number| number.to_string());
    let all = [
        ("parallel", "max-concurrent-downloads", most),
        ("limit-rate", "max-overall-download-limit", work.limit_rate.map(|rate| rate.to_string())),
    ];
    for (name, option, value) in all {
        let options = if args.config.sets(name) { &mut configured } else { &mut given };
        if let Some(value) = value {
            options.set(option, &value).map_err(|fault| fault.message)?;
        }
    }
    Ok((given, configured))
}

/// Returns the path that the user gave. If the user gave no path, returns the path of the file with this name
/// in the folder for state, and creates this folder if it is missing.
pub(crate) fn in_state_folder(given: Option<PathBuf>, name: &str) -> Result<PathBuf, String> {
    if let Some(path) = given {
        return Ok(path);
    }
    let folder =
        settings::state_folder().ok_or("there is no folder for the state of the daemon: set HOME")?;
    platform::make_private_folder(&folder).map_err(|e| format!("{}: {e}", words::path(&folder)))?;
    Ok(folder.join(name))
}
