//! [`Daemon`]: the queue of downloads, and the session of the library that runs the downloads.
//!
//! One task reads the events of the session and begins the next downloads. Calls of clients change the
//! [`State`] under a lock. If the transfers have a runtime of their own ([`Daemon::start`]), no transfer
//! waits for a client, and no client waits for a transfer.
//!
//! Invariant: no task waits for the network or for another task while it holds the lock. The disk is used
//! under the lock: the store, the folders of a download, and files that are complete.

use crate::entry::Entry;
use crate::fault::Fault;
use crate::folders::Folders;
use crate::gid::Gid;
use crate::job;
use crate::network::{self, Networks};
use crate::options::Options;
use crate::session_file;
use crate::state::{Changed, Effect, Notice, State};
use crate::store::Store;
use downhaul_engine::core::name::NumberForm;
use downhaul_engine::core::show::escaped;
use downhaul_engine::{Event, IfLocked, Remove, Session, Settings};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, broadcast};

/// The time between two measurements of the progress. Clients usually send a request every second, so there
/// is a new measurement for each answer.
const MEASURED_EVERY: Duration = Duration::from_millis(500);

/// The highest number of notices that are kept for a client that has not read them yet. If there are more,
/// the client misses the oldest ones.
const NOTICES: usize = 1024;

/// After a request to stop, the daemon waits at most this long for the active downloads to end, so that the
/// whole program ends within 5 seconds.
const LONGEST_END: Duration = Duration::from_millis(3500);

/// The configuration with which a daemon is started.
#[derive(Debug, Clone)]
pub struct Config {
    /// The settings of the library. The daemon itself sets the number of downloads at once, the folder, the
    /// form of the numbers in names, when a name can be used again, and what happens if a file is locked. If
    /// the settings have no number of connections, the daemon sets this number too.
    pub settings: Settings,
    /// The folders below which downloads may be saved.
    pub folders: Folders,
    /// The path of the database. Without a path, the queue is in memory.
    pub store: Option<PathBuf>,
    /// The options that the command line sets, under the names of aria2.
    pub options: Options,
    /// The options that the configuration sets, under the names of aria2. Options that clients have set have
    /// precedence over them.
    pub configured: Options,
    /// The path of the session file in the form of aria2, which [`Daemon::save_session`] writes.
    pub session_file: Option<PathBuf>,
    /// Receives the notices, each with the download as it is when the notice is sent. A notice about a
    /// download that is no longer in the queue is left out.
    pub watch: Option<UnboundedSender<(Notice, Arc<Entry>)>>,
}

/// A running daemon. All clones stand for the same daemon.
#[derive(Clone)]
pub struct Daemon(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    session: Session,
    settings: Settings,
    networks: Mutex<Networks>,
    /// Wakes the task that begins downloads.
    changed: Notify,
    /// Wakes the tasks that wait for the end of the daemon.
    stop: Notify,
    notices: broadcast::Sender<(Notice, Gid)>,
    watch: Option<UnboundedSender<(Notice, Arc<Entry>)>>,
    session_file: Option<PathBuf>,
}

impl Daemon {
    /// Starts a daemon. Its downloads begin at once. They run on the runtime `network`, and the queue runs on
    /// the runtime of the caller. If these are two runtimes, neither waits for the other.
    ///
    /// # Errors
    /// Returns why the daemon cannot start, in words for the user.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime with time enabled.
    pub fn start(config: Config, network: &Handle) -> Result<Daemon, String> {
        let Config { mut settings, folders, store, options, configured, session_file, watch } = config;
        if let Some(folder) = folders.not_unicode() {
            let folder = folder.display();
            return Err(format!("the folder {folder} cannot be used: its path is not valid Unicode"));
        }
        let shown = store.as_deref().unwrap_or(Path::new("in memory")).display();
        let unusable = |why: String| format!("the database {shown} cannot be used: {why}");
        let opened = store.as_deref().map_or_else(Store::in_memory, Store::open).map_err(unusable)?;
        settings.naming.numbers = NumberForm::Dot;
        settings.connections.get_or_insert(job::most_connections(&Options::default()));
        let default = folders.default().to_path_buf();
        let mut state =
            State::load(opened, folders, &options, &configured).map_err(|e| unusable(e.to_string()))?;
        let settings = settings
            .with_output(default)
            .with_releases_names(true)
            .with_parallel(Some(state.most_active()))
            // A download that was paused and resumed waits until its earlier job has closed the file.
            .with_if_locked(IfLocked::Wait);
        state.show_started(network::options(&settings));
        let session = {
            let _context = network.enter();
            Session::start(settings.clone()).map_err(|e| e.to_string())?
        };
        session.set_rate_limit(state.limit());
        let (notices, _) = broadcast::channel(NOTICES);
        let shared = Shared {
            state: Mutex::new(state),
            session,
            settings,
            networks: Mutex::default(),
            changed: Notify::new(),
            stop: Notify::new(),
            notices,
            watch,
            session_file,
        };
        let daemon = Daemon(Arc::new(shared));
        tokio::spawn(daemon.clone().drive());
        Ok(daemon)
    }

    /// Locks the state, and returns it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn networks(&self) -> MutexGuard<'_, Networks> {
        self.0.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `change` with the state, carries out the effects that `change` returns, and returns the answer
    /// of `change`.
    ///
    /// # Errors
    /// Returns the fault of the change. In this case, nothing was changed.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> Changed<T>) -> Result<T, Fault> {
        let (answer, effects) = change(&mut self.state())?;
        self.carry_out(effects);
        self.0.changed.notify_one();
        Ok(answer)
    }

    /// Returns a receiver, which gets the notices that are sent after this call.
    pub fn notices(&self) -> broadcast::Receiver<(Notice, Gid)> {
        self.0.notices.subscribe()
    }

    /// Writes the session file. Does nothing if the configuration names none.
    ///
    /// # Errors
    /// Returns a fault if the file cannot be written.
    pub fn save_session(&self) -> Result<(), Fault> {
        let Some(path) = &self.0.session_file else { return Ok(()) };
        let text = session_file::text(&self.state());
        session_file::write(path, &text).map_err(|e| {
            let shown = path.to_string_lossy();
            Fault::refused(format!("Failed to serialize session to '{}': {e}", escaped(&shown)))
        })
    }

    /// Stops the daemon. If the queue is in a database, active downloads continue after the next start.
    pub fn stop(&self) {
        self.state().shut_down();
        self.0.stop.notify_waiters();
        self.0.stop.notify_one();
    }

    /// Waits until the daemon is stopped. Then waits until its files are closed, but for at most 3.5 seconds.
    pub async fn wait(&self) {
        self.0.stop.notified().await;
        self.0.session.stop();
        // A download that has not ended by then can be resumed from its journal after the next start.
        let _ = tokio::time::timeout(LONGEST_END, self.0.session.finish()).await;
    }

    /// Reads the events of the library, measures the progress, and begins downloads, until the session ends.
    ///
    /// One task does all of this, so no event of a job is read before the job is recorded.
    async fn drive(self) {
        let mut events = self.0.session.events();
        let mut tick = tokio::time::interval(MEASURED_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut beginning = pin!(self.begin());
        let mut begins = true;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.on_event(&event),
                    None => return,
                },
                _ = tick.tick() => {
                    let samples = self.0.session.samples();
                    if self.state().measure(&samples) {
                        self.0.changed.notify_one();
                    }
                }
                // The session is closed. Its last events are still read.
                () = &mut beginning, if begins => begins = false,
            }
        }
    }

    fn on_event(&self, event: &Event) {
        let effects = self.state().on_event(event, now());
        self.carry_out(effects);
        self.0.changed.notify_one();
    }

    /// Begins downloads whenever more of them may be active, until the session is closed. This function
    /// waits while the session accepts no jobs. The session may accept no jobs until its events have been
    /// read.
    async fn begin(&self) {
        loop {
            let (next, effects) = self.state().next(now());
            self.carry_out(effects);
            let Some((job, network)) = next else {
                self.0.changed.notified().await;
                continue;
            };
            let in_use = || self.state().networks_in_use();
            let network = self.networks().number(&self.0.session, &self.0.settings, network, in_use);
            let job = match network {
                Ok(network) => job.with_network(network),
                Err(fault) => {
                    let effects = self.state().refused(fault, now());
                    self.carry_out(effects);
                    continue;
                }
            };
            let Ok(id) = self.0.session.add(job).await else { return };
            let effect = self.state().began(id);
            self.carry_out(effect);
        }
    }

    fn carry_out(&self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                // If no client listens, that is not an error.
                Effect::Tell(notice, gid) => {
                    let _ = self.0.notices.send((notice, gid));
                    let entry = self.0.watch.as_ref().and_then(|_| self.state().queue().get(gid).cloned());
                    if let (Some(watch), Some(entry)) = (&self.0.watch, entry) {
                        let _ = watch.send((notice, entry));
                    }
                }
                Effect::Stop(job) => self.0.session.remove(job, Remove::KeepPartial),
                Effect::Discard(job) => self.0.session.remove(job, Remove::Discard),
                Effect::Delete(deletion) => deletion.carry_out(&self.0.settings),
                Effect::Limit(job, rate) => self.0.session.set_job_rate_limit(job, rate),
                Effect::LimitAll => {
                    // The lock of the state is held until both limits are set. So after two changes at the
                    // same time, the limits are those of the later change.
                    let state = self.state();
                    self.0.session.set_rate_limit(state.limit());
                    self.0.session.set_parallel(state.most_active());
                }
            }
        }
    }
}

/// Returns the time in milliseconds since the Unix epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
