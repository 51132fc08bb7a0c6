//! Runs the queue: adds the files, prints their progress, and ends when all downloads are over. With
//! `--enable-rpc`, it serves clients until it is stopped.
//!
//! Invariant: the exit status is the same as in aria2: the status of the last failure. If there was no
//! failure, the exit status is 7 if a download is unfinished, and 0 otherwise.

use super::arguments::{Arguments, Refused};
use super::hooks::Hooks;
use super::rpc::{self, Rpc};
use super::screen::Screen;
use super::{ending, items, settings};
use crate::args::Args;
use crate::cookies;
use crate::platform::{self, Signal, Signals};
use crate::run;
use downhaul_daemon::entry::{Entry, State as EntryState};
use downhaul_daemon::fault::Fault;
use downhaul_daemon::folders::Folders;
use downhaul_daemon::gid::Gid;
use downhaul_daemon::item::Item;
use downhaul_daemon::options::{Options, Scope, row};
use downhaul_daemon::queue::Sequence;
use downhaul_daemon::state::Notice;
use downhaul_daemon::web::{Server, Web};
use downhaul_daemon::{Config, Daemon};
use downhaul_engine::core::settings::Settings;
use downhaul_engine::core::show::escaped;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The exit status if a download is unfinished.
const UNFINISHED: u8 = 7;

/// The exit status of a failure that has no special status.
const FAILED: u8 = 1;

/// Options with these values are refused, because downhaul does not support them.
const NOT_HERE: [(&str, &str); 4] =
    [("dry-run", "true"), ("hash-check-only", "true"), ("show-files", "true"), ("parameterized-uri", "true")];

/// Options of single files. On the command line, `checksum` and `pause` apply to all files of the run, also
/// those of the list of `-i`. The other options apply only if the command line names a single file, without a
/// list of `-i` and without `-Z`. None of these options applies to the files of clients.
const OF_ONE: [&str; 5] = ["checksum", "gid", "index-out", "out", "pause"];

/// Options that have an effect only if clients are served. Without clients, a paused download could not be
/// resumed.
const OF_CLIENTS: [&str; 2] = ["pause", "pause-metadata"];

/// Downloads the files of the command line, and returns the exit status.
pub(super) fn run(given: &Arguments) -> u8 {
    match start(given) {
        Ok(status) => status,
        Err(Refused { status, why }) => {
            crate::printer::err(&why);
            status
        }
    }
}

fn start(given: &Arguments) -> Result<u8, Refused> {
    let options = &given.options;
    if let Some((name, _)) = NOT_HERE.iter().find(|(name, value)| options.get(name) == Some(value)) {
        return Err(Refused::value(format!("downhaul has no --{name}")));
    }
    if options.get("torrent-file").is_some() {
        return Err(Refused::new(FAILED, "aria2c: downhaul does not support BitTorrent\n"));
    }
    let is_list = ["input-file", "metalink-file"].iter().any(|name| options.get(name).is_some());
    if given.operands.is_empty() && !is_list && !rpc::is_enabled(options) {
        let why =
            "Specify at least one URL.\nUsage: aria2c [OPTIONS] [URI | METALINK_FILE]...\nSee 'aria2c -h'.\n";
        return Err(Refused::new(FAILED, why));
    }
    let mut screen = Screen::new(options).map_err(|why| Refused::new(FAILED, why + "\n"))?;
    let (mut items, warnings) = items::of(given)?;
    given.warnings.iter().chain(&warnings).for_each(|warning| screen.warn(warning));
    if items.is_empty() && !rpc::is_enabled(options) {
        screen.print("No files to download.\n");
        return Ok(0);
    }
    let (settings, args) = settings_of(options, &mut screen)?;
    let unusable = |_| Refused::new(FAILED, "");
    let (network, own) = (run::runtime().map_err(unusable)?, run::own_runtime().map_err(unusable)?);
    // The queue and its clients have their own thread, because the screen may wait for a slow reader of the
    // output.
    let serving = run::serving_runtime().map_err(unusable)?;
    let is_served = rpc::is_enabled(options);
    let server = is_served.then(|| serving.block_on(rpc::listen(options))).transpose()?;
    let folder = absolute(options.get("dir").unwrap_or("."))?;
    absolute_folders(&mut items)?;
    let (watch, watched) = unbounded_channel();
    let config = Config {
        settings,
        folders: if is_served { rpc::folders(folder.clone(), &items)? } else { Folders::everywhere(&folder) },
        store: is_served.then(|| rpc::store(options)).transpose()?,
        options: of_all(options, &folder),
        configured: Options::default(),
        session_file: options.get("save-session").map(PathBuf::from),
        watch: Some(watch),
    };
    let daemon = {
        let _context = serving.enter();
        Daemon::start(config, network.handle()).map_err(|why| Refused::new(FAILED, why + "\n"))?
    };
    screen.notice(&format!("Downloading {} item(s)", items.len()));
    let status = add(&daemon, options, items, &mut screen)?;
    let mut run = Run { daemon, screen, hooks: Hooks::of(options), options, is_served, status };
    let server = server.map(|server| run.serve(server, serving.handle()));
    let (is_over, signals) = own.block_on(run.drive(watched));
    if let Some(server) = server.filter(|_| is_over) {
        serving.block_on(server.finish());
    }
    let status = ending::unless_signalled(&own, signals, || run.end(&args, is_over));
    own.shutdown_background();
    serving.shutdown_background();
    network.shutdown_background();
    Ok(status)
}

/// Returns the settings, and the arguments of downhaul that they come from. If the file of
/// `--load-cookies` does not exist, shows an error and continues without these cookies, as aria2 does.
fn settings_of(options: &Options, screen: &mut Screen) -> Result<(Settings, Args), Refused> {
    match options.get("load-cookies").filter(|path| matches!(Path::new(path).try_exists(), Ok(false))) {
        Some(missing) => {
            screen.error(&format!("Failed to load cookies from {missing}"));
            settings::of(&options.without(&["load-cookies"]))
        }
        None => settings::of(options),
    }
}

/// Returns the options that all downloads inherit, and the options of the daemon.
fn of_all(options: &Options, folder: &Path) -> Options {
    let mut all = Options::default();
    let options = if rpc::is_enabled(options) { options.clone() } else { options.without(&OF_CLIENTS) };
    for (name, value) in options.without(&OF_ONE).iter() {
        if row(name).is_some_and(|row| row.1 != Scope::Ignored) {
            // The value was checked before.
            let _ = all.set(name, value);
        }
    }
    let _ = all.set("dir", &folder.to_string_lossy());
    all
}

/// Makes the folders of the files absolute.
fn absolute_folders(items: &mut [Item]) -> Result<(), Refused> {
    for item in items {
        if let Some(dir) = item.options.get("dir") {
            let dir = absolute(dir)?;
            item.options.set("dir", &dir.to_string_lossy()).map_err(Refused::value)?;
        }
    }
    Ok(())
}

/// Returns the absolute path of a folder.
fn absolute(folder: &str) -> Result<PathBuf, Refused> {
    std::path::absolute(folder).map_err(|e| Refused::value(format!("{folder}: {e}")))
}

/// Adds the files, and leaves out the files that cannot be added. Returns 0 if clients are served or no file
/// was left out. Otherwise, returns the exit status of a failure.
///
/// # Errors
/// Returns an error if clients are not served and no file could be added.
fn add(daemon: &Daemon, options: &Options, items: Vec<Item>, screen: &mut Screen) -> Result<u8, Refused> {
    let is_served = rpc::is_enabled(options);
    let is_list = options.get("input-file").is_some();
    let is_single = items.len() == 1 && !is_list && !options.is_true("force-sequential");
    let now = downhaul_daemon::daemon::now();
    let (mut status, all, mut wrong) = (0, items.len(), 0);
    for item in items {
        let mut own = Options::default();
        for name in OF_ONE {
            let is_used = is_single || matches!(name, "checksum" | "pause");
            if let Some(value) = options.get(name).filter(|_| is_used) {
                own.set(name, value).map_err(Refused::value)?;
            }
        }
        own.extend(item.options.clone());
        if !is_served {
            own = own.without(&OF_CLIENTS);
        }
        let item = Item { options: own, ..item };
        let added = match is_served && is_list {
            true => add_again(daemon, item, now),
            false => daemon.change(|state| state.add(item, None, now)).map(drop),
        };
        match added {
            Err(fault) if is_served => screen.error(&fault.message),
            // No file could be added, so nothing can be downloaded.
            Err(fault) if wrong + 1 == all => {
                let why = format!("Exception caught\nException: errorCode={FAILED} {fault}\n");
                return Err(Refused::new(FAILED, why));
            }
            Err(fault) => {
                screen.error(&format!("errorCode={FAILED} {fault}"));
                (status, wrong) = (FAILED, wrong + 1);
            }
            Ok(()) => {}
        }
    }
    Ok(status)
}

/// Adds a file of a list. A download that is in the queue and not over is not added. A download that failed
/// is added again. A complete or removed download is added again only if the list has no identifier for it. A
/// file without an identifier gets an identifier that is computed from its URLs and its options, so that the
/// next start recognises the file.
fn add_again(daemon: &Daemon, mut item: Item, now: u64) -> Result<(), Fault> {
    let given = item.options.get("gid").and_then(Gid::read);
    let gid = given.unwrap_or_else(|| Gid::new(hash(&item.uris, &item.options).max(1)));
    item.options.set("gid", &gid.to_string())?;
    let known = daemon.state().queue().get(gid).map(|entry| entry.state);
    match known {
        // A session file usually has only downloads that are not complete. If the download has ended
        // according to the queue, the queue was probably saved after the session file.
        Some(EntryState::Complete | EntryState::Removed) if given.is_some() => return Ok(()),
        Some(state) if !state.is_over() => return Ok(()),
        Some(_) => daemon.change(|state| state.forget(&[gid]))?,
        None => {}
    }
    daemon.change(|state| state.add(item, None, now)).map(drop)
}

/// Returns a hash (FNV-1a) that is the same in each version of the program.
fn hash(uris: &[String], options: &Options) -> u64 {
    let options = options.iter().flat_map(|(name, value)| [name, value]);
    let texts = uris.iter().map(String::as_str).chain(options);
    let bytes = texts.flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// A run of the queue.
struct Run<'a> {
    daemon: Daemon,
    screen: Screen,
    hooks: Hooks,
    options: &'a Options,
    /// True if clients are served. The run then does not end with the last download.
    is_served: bool,
    /// The exit status of the last failure, or 0 if there was no failure.
    status: u8,
}

impl Run<'_> {
    /// Serves clients on another runtime.
    fn serve(&mut self, rpc: Rpc, on: &Handle) -> Server {
        let Rpc { listener, token, allowed, tls } = rpc;
        let port = listener.local_addr().map_or(0, |address| address.port());
        self.screen.notice(&format!("IPv4 RPC: listening on TCP port {port}"));
        let routes = Web::new(self.daemon.clone(), token, allowed).routes();
        let server = Server::new(routes, tls);
        on.spawn(server.clone().serve(listener));
        server
    }

    /// Runs until all downloads are over, or until the run is stopped. If clients are served, the run
    /// continues until it is stopped. Returns false if the run must end at once, because a second signal
    /// arrived. The caller handles later signals.
    async fn drive(&mut self, mut watched: UnboundedReceiver<(Notice, Arc<Entry>)>) -> (bool, Signals) {
        let (stopped, start) = (self.daemon.clone(), Instant::now());
        let ended = stopped.wait();
        tokio::pin!(ended);
        let mut signals = Signals::listen(false);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let (mut is_stopping, mut is_signalled, mut saved) = (false, false, Instant::now());
        tick.tick().await;
        loop {
            tokio::select! {
                // A signal is handled before the notices of downloads, so that many small files do not delay
                // it.
                biased;
                () = &mut ended => break,
                signal = signals.next() => match signal {
                    Signal::Continue => {}
                    _ if is_signalled => return (false, signals),
                    _ => {
                        (is_stopping, is_signalled) = (true, true);
                        let text = "Shutdown sequence commencing... Press Ctrl-C again for emergency shutdown.";
                        self.screen.notice(text);
                        self.daemon.stop();
                    }
                },
                _ = tick.tick() => {
                    // The state is not locked while something is printed.
                    let text = self.screen.progress(&self.daemon.state());
                    self.screen.print(&text);
                    self.save_from_time_to_time(&mut saved);
                    if !is_stopping && self.has_to_stop(start) {
                        is_stopping = true;
                        self.daemon.stop();
                    }
                }
                Some((notice, entry)) = watched.recv() => {
                    self.on(notice, &entry);
                    if !self.is_served && self.is_idle() && watched.is_empty() {
                        self.daemon.stop();
                    }
                }
            }
        }
        while let Ok((notice, entry)) = watched.try_recv() {
            self.on(notice, &entry);
        }
        (true, signals)
    }

    fn on(&mut self, notice: Notice, entry: &Entry) {
        if notice == Notice::Error {
            self.status = entry.aria2_status();
        }
        self.screen.on(notice, entry);
        self.hooks.on(notice, entry);
    }

    /// Returns true if no download is active, waits or is paused.
    fn is_idle(&self) -> bool {
        let state = self.daemon.state();
        state.queue().len(Sequence::Active) == 0 && state.queue().len(Sequence::Queued) == 0
    }

    /// Returns true if `--stop` or `--stop-with-process` ends the run now.
    fn has_to_stop(&self, start: Instant) -> bool {
        let after = self.options.number("stop");
        let process = self.options.get("stop-with-process").and_then(|number| number.parse().ok());
        (after > 0 && start.elapsed() >= Duration::from_secs(after))
            || process.is_some_and(|process| !platform::is_running(process))
    }

    /// Writes the session file if the time of `--save-session-interval` has passed.
    fn save_from_time_to_time(&mut self, saved: &mut Instant) {
        let every = Duration::from_secs(self.options.number("save-session-interval"));
        if !every.is_zero() && saved.elapsed() >= every {
            *saved = Instant::now();
            if let Err(fault) = self.daemon.save_session() {
                self.screen.error(&fault.message);
            }
        }
    }

    /// Prints the results, saves the session and the cookies, and returns the exit status.
    fn end(&mut self, args: &Args, is_over: bool) -> u8 {
        let daemon = self.daemon.clone();
        let state = daemon.state();
        let waits = !self.is_served && state.queue().len(Sequence::Queued) > 0;
        let is_unfinished = !is_over || state.queue().len(Sequence::Active) > 0 || waits;
        let active: Vec<Arc<Entry>> = state.queue().iter(Sequence::Active).cloned().collect();
        let results = self.screen.results(&state);
        drop(state);
        active.iter().for_each(|entry| self.screen.unfinished(entry));
        self.screen.print(&results);
        if let Some(path) = self.options.get("save-session") {
            match daemon.save_session() {
                Ok(()) => {
                    self.screen.notice(&format!("Serialized session to '{}' successfully.", escaped(path)))
                }
                Err(fault) => self.screen.error(&fault.message),
            }
        }
        if let Some(path) = self.options.get("save-cookies")
            && let Err(why) = cookies::save(&args.cookies, Path::new(path))
        {
            self.screen.error(&why);
        }
        if self.status == 0 && is_unfinished { UNFINISHED } else { self.status }
    }
}
