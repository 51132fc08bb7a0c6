//! One run of the program. It starts the session, the screen, the log and the JSON output, handles signals
//! and answers, and decides how the run ended.
//!
//! This file is long because it connects all of these parts.

use crate::archive;
use crate::args::{Args, Lists, MORE_INFORMATION};
use crate::asks::Asks;
use crate::certificates;
use crate::cookies;
use crate::exit::{self, Exit};
use crate::failed::{self, Pending};
use crate::feed::Feed;
use crate::hooks::Hooks;
use crate::input::{self, Input, List, Rest};
use crate::late_check::LateCheck;
use crate::logins::{self, NoLogin};
use crate::outputs;
use crate::plain_http;
use crate::platform::{self, Signal, Signals, Terminal};
use crate::printer::{self, Paint};
use crate::record::Record;
use crate::settings::{self, OutputSettings, Shown};
use crate::shards::Shards;
use crate::survey;
use crate::tars;
use crate::ui::bars::Total;
use crate::ui::messages::{self, Messages};
use crate::ui::prompt::Prompt;
use crate::ui::screen::Screen;
use crate::ui::trace::Trace;
use crate::ui::{EventReader, explain, json, log::Log, plan};
use crate::words;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job;
use downhaul_engine::core::list::metalink;
use downhaul_engine::core::list::text::Lines;
use downhaul_engine::core::settings::{OnError, Settings};
use downhaul_engine::core::show::{self, escaped};
use downhaul_engine::{Session, Summary, Tars};
use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The time limit of the screen, the log and the JSON output for their last output, if a run is stopped.
/// Ctrl-C must work even if a terminal or a pipe accepts nothing.
const LAST_OUTPUT_LIMIT: Duration = Duration::from_secs(1);

/// The time limit of `--failed` and `--record` for their files, if a run is stopped. These files are on a
/// disk, and a long input must be read again for the list of `--failed`. For ten million lines, that takes
/// about a minute. A second signal ends the program immediately.
const LAST_FILES_LIMIT: Duration = Duration::from_secs(120);

/// The time limit of the check of a list that has mistakes. All of them are shown at its end. To check a
/// billion lines takes less.
const LAST_CHECK_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// The time for a last warning. It is much longer than a terminal needs.
const LAST_WARNING_LIMIT: Duration = Duration::from_millis(100);

/// State that the threads of a run share.
#[derive(Default)]
pub(crate) struct Shared {
    files: AtomicU64,
    more: AtomicBool,
    repaint: AtomicBool,
    /// The reason why the run was stopped early.
    ending: Mutex<Option<Exit>>,
    /// True after the first signal that ends the run.
    signalled: AtomicBool,
    /// The worst failure outside of the session, such as a list that became unreadable. The run goes on.
    failure: Mutex<Option<Exit>>,
    /// The jobs of a stream that have not ended, for `--failed`.
    pending: Option<Pending>,
    /// The trace events of the engine, for `-vv`.
    pub(crate) trace: Trace,
    /// Lines that the screen prints at the very end.
    last: Mutex<Vec<String>>,
}

impl Shared {
    /// Ends the run early for this reason. Later reasons are ignored.
    pub(crate) fn end(&self, exit: Exit) {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(exit);
    }

    /// Handles a signal. The second one ends the program immediately.
    fn on_signal(&self, signal: Signal, args: &Args) {
        let exit = match signal {
            Signal::Interrupt => Exit::Interrupted,
            Signal::Terminate => Exit::Terminated,
            // Often the end of the parent has the same cause as a signal before it.
            Signal::ParentEnded if self.ending().is_some() => return,
            Signal::ParentEnded => return self.stop(Exit::Terminated, args),
            Signal::Continue => return self.repaint.store(true, Ordering::Relaxed),
        };
        if self.signalled.swap(true, Ordering::Relaxed) {
            leave_at_once(exit);
        }
        match exit {
            Exit::Terminated => self.stop(exit, args),
            _ => self.end(exit),
        }
    }

    /// Ends the run early for this reason, and within the time of `--grace`.
    fn stop(&self, exit: Exit, args: &Args) {
        self.end(exit);
        leave_after(args.options.ending.grace);
    }

    /// Keeps a failure for the exit status. The run goes on. Returns true if there was a failure before.
    pub(crate) fn fail(&self, exit: Exit) -> bool {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_further = failure.is_some();
        *failure = Some(failure.map_or(exit, |worst| worst.min(exit)));
        is_further
    }

    /// Sets how many files the run has. `None` means that the number is known only at the end of the input.
    pub(crate) fn expect_files(&self, count: Option<u64>) {
        self.files.store(count.unwrap_or(0), Ordering::Relaxed);
        self.more.store(count.is_none(), Ordering::Relaxed);
    }

    /// Notes that no more files follow these.
    pub(crate) fn has_all_files(&self, files: u64) {
        self.files.fetch_max(files, Ordering::Relaxed);
        self.more.store(false, Ordering::Relaxed);
    }

    /// Returns the jobs of a stream that have not ended, if `--failed` needs them.
    pub(crate) fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// Keeps lines for the very end of the run.
    pub(crate) fn print_last(&self, lines: Vec<String>) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }

    fn take_last(&self) -> Vec<String> {
        std::mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take_repaint(&self) -> bool {
        self.repaint.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> Total {
        Total { files: self.files.load(Ordering::Relaxed), more: self.more.load(Ordering::Relaxed) }
    }

    fn ending(&self) -> Option<Exit> {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> Option<Exit> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_line_of_the_log(&self) -> Option<&'static str> {
        match self.ending()? {
            Exit::Chosen => Some("exited by the user"),
            Exit::Interrupted => Some("exited by the user (Ctrl-C)"),
            Exit::Terminated => Some("stopped by a signal"),
            _ => None,
        }
    }
}

/// Downloads the files that the arguments name.
pub(crate) fn run(args: &Args) -> Exit {
    let early = Early::start(args);
    let args = &match check_outputs(args).and_then(|()| with_secrets(args)) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    let trace = match args.options.reporting.verbose {
        0 | 1 => Trace::default(),
        _ => Trace::start(Paint(settings::output_settings(args, false).color)),
    };
    // Answers come from the terminal, because standard input may be a pipe.
    let terminal = if std::io::stderr().is_terminal() { Terminal::open() } else { None };
    let resolve = |to_stdout| {
        let can_ask = terminal.is_some() && args.plan().is_none();
        settings::resolve(args, to_stdout, can_ask, platform::raise_file_limit()).map_err(|why| usage(&why))
    };
    let (fetched, resolved) = match lists_at_urls(args, &resolve) {
        Ok(before) => before,
        Err(exit) => return exit,
    };
    let asked = Asks::of(args).and_then(|what| Ok((what, input::of(args, fetched)?)));
    let (what, (mut input, mut survey, rest)) = match asked {
        Ok(asked) => asked,
        Err(why) => return usage(&why),
    };
    let to_stdout = input.is_for_stdout();
    let checked = |all: (Settings, OutputSettings)| {
        let checked =
            survey.check_proxies(&all.0).and_then(|()| certificates::check(survey.may_need_tls(), &all.0));
        let checked = checked.and_then(|()| plain_http::check_lists(&[], &all.0));
        checked.map(|()| all).map_err(|why| usage(&why))
    };
    let (mut settings, output) = match resolved.map_or_else(|| resolve(to_stdout), Ok).and_then(checked) {
        Ok(resolved) => resolved,
        Err(exit) => return exit,
    };
    settings::folder_hint(args).iter().for_each(|hint| printer::err(&format!("note: {hint}\n")));
    let shards = survey.shards.take();
    let tars = match begin_shard(args, shards.as_ref(), &mut input) {
        Ok(tars) => tars,
        Err(exit) => return exit,
    };
    settings.single = shards.as_ref().map_or(input.count(), Shards::jobs) == Some(1);
    survey::choose_parallel(args, input.count(), &mut settings);
    survey.apply(&mut settings).iter().for_each(|warning| warn(warning));
    warn_of_insecure(&settings);
    let (network, own) = match (runtime(), own_runtime()) {
        (Ok(network), Ok(own)) => (network, own),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let asked = (input, rest, what, early, tars);
    let ran = own.block_on(download(args, asked, (settings, &output), trace, terminal, network.handle()));
    let ran = ran.map(|exit| shards.map_or(exit, |shards| shards.end(args, exit)));
    let exit = ran.map_or_else(|exit| exit, |exit| save_cookies(args).map_or(exit, |worse| exit.min(worse)));
    // The program does not wait for blocked threads, such as a reader of standard input or a name lookup.
    own.shutdown_background();
    network.shutdown_background();
    exit
}

/// Begins the run of a shard, and opens the tars of `--to-tar`.
fn begin_shard(args: &Args, shards: Option<&Shards>, input: &mut Input) -> Result<Option<Arc<Tars>>, Exit> {
    shards.map_or(Ok(()), |shards| shards.begin(args, input)).map_err(|why| usage(&why))?;
    tars::open(args, shards)
}

fn warn_of_insecure(settings: &Settings) {
    if settings.insecure && settings.cacert.is_some() {
        warn("--insecure trusts every certificate, so --cacert makes no difference");
    }
}

/// Ends the program at the first signal, until the downloads begin. Before that, a list may be read or
/// fetched for a long time, and nothing is on the disk yet.
struct Early(Arc<AtomicBool>);

impl Early {
    /// Begins. Also shows the warnings about the configuration.
    fn start(args: &Args) -> Early {
        notes(args);
        let stop_with_parent = args.options.ending.stop_with_parent;
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        thread::spawn(move || {
            let Ok(runtime) = own_runtime() else { return };
            runtime.block_on(async {
                let mut signals = Signals::listen(stop_with_parent);
                loop {
                    let exit = match signals.next().await {
                        Signal::Interrupt => Exit::Interrupted,
                        Signal::Terminate | Signal::ParentEnded => Exit::Terminated,
                        Signal::Continue => continue,
                    };
                    if seen.load(Ordering::Relaxed) {
                        return;
                    }
                    leave_at_once(exit);
                }
            });
        });
        Early(over)
    }

    /// Leaves the signals to the run.
    fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes the file of `--save-cookies`. Returns an exit status if it cannot be written.
fn save_cookies(args: &Args) -> Option<Exit> {
    let path = args.options.http.save_cookies.as_ref().filter(|_| args.plan().is_none())?;
    let why = cookies::save(&args.cookies, path).err()?;
    error(&why);
    Some(Exit::Disk)
}

/// Checks the files that the run writes. This comes before [`with_secrets`], which puts the content of a file
/// in place of its name.
fn check_outputs(args: &Args) -> Result<(), Exit> {
    let to_stdout = args.output.save_as.as_deref().is_some_and(input::is_stdout);
    let log = settings::output_settings(args, to_stdout).log;
    outputs::check(args, log.as_deref()).map_err(|why| usage(&why))
}

/// Returns the arguments with all secrets, which come from files or are typed by the user. Shows the warnings
/// about those files.
pub(crate) fn with_secrets(args: &Args) -> Result<Args, Exit> {
    let (args, notes) = logins::with_logins(args).map_err(|no_login| match no_login {
        NoLogin::Unusable(why) => usage(&why),
        NoLogin::Interrupted => Exit::Interrupted,
    })?;
    notes.iter().for_each(|note| warn(note));
    Ok(args)
}

/// Shows the warnings about the configuration.
pub(crate) fn notes(args: &Args) {
    args.config.notes.iter().for_each(|note| warn(note));
}

/// Starts the runtime for signals and timers. This runtime has its own thread, so that a second signal is
/// handled even if the threads for the network are busy.
pub(crate) fn own_runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| {
        error(&format!("the program cannot start: {e}"));
        Exit::Disk
    })
}

/// Starts the runtime for the network, which has few threads. On two cores, one thread was faster than two in
/// every test of `benches/race`, because no step wakes a thread on another core. One thread also used less
/// processor time. With one thread, 1 GiB took 0.37 s (two threads: 0.43 s), with a digest 0.82 s (1.01 s),
/// over TLS 0.63 s (0.73 s), and 10,000 small files took 0.50 s (0.57 s). One thread transfers more than a
/// GB/s over TLS, so only machines with many cores get more threads. The disk and the hashing have threads of
/// their own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / 4).clamp(1, 4);
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().map_err(|e| {
        error(&format!("the program cannot start: {e}"));
        Exit::Disk
    })
}

type Resolved = (Settings, OutputSettings);

/// Fetches the lists that are at URLs. If there are any, returns the settings too. They are resolved only
/// once, because some of the files that they come from may be pipes.
fn lists_at_urls(
    args: &Args,
    resolve: &dyn Fn(bool) -> Result<Resolved, Exit>,
) -> Result<(Vec<List>, Option<Resolved>), Exit> {
    let Some(first) = input::list_urls(args).next() else { return Ok((Vec::new(), None)) };
    if args.plan().is_some_and(|plan| plan.offline) {
        let shown = escaped(&show::not_a_url(first)).into_owned();
        return Err(usage(&format!("--offline sends no requests, and the list {shown} must be fetched")));
    }
    let resolved = resolve(false)?;
    let lists = input::list_urls(args).map(|url| fetch_list(&resolved.0, url, &args.lists));
    Ok((lists.collect::<Result<_, _>>()?, Some(resolved)))
}

/// Fetches the list at a URL, before the run starts.
fn fetch_list(settings: &Settings, url: &str, lists: &Lists) -> Result<List, Exit> {
    let url = job::parse_url(url).map_err(|e| usage(&escaped(&e.to_string())))?;
    certificates::check(url.scheme() == "https", settings).map_err(|why| usage(&why))?;
    plain_http::check_lists(&[&url], settings).map_err(|why| usage(&why))?;
    let runtime = runtime()?;
    // During this fetch, Ctrl-C ends the program immediately, because no download has started.
    let text = runtime.block_on(downhaul_engine::fetch_text(settings.clone(), &url, metalink::LONGEST));
    runtime.shutdown_background();
    let shown = show::url(&url);
    let failed = |why: &str, exit| {
        error(&format!("the list {shown} could not be fetched: {}", escaped(why)));
        exit
    };
    let text = text.map_err(|e| {
        // The URL of the list has a digest, and the list does not match it.
        let wrong = e.kind == ErrorKind::DigestMismatch;
        failed(&e.to_string(), if wrong { Exit::Mismatch } else { Exit::Failed })
    })?;
    // The engine returns no text for these statuses, since object stores answer 403 for a missing object.
    let none = "the server has no such document, or forbids access to it (404, 410 or 403)";
    let text = text.ok_or_else(|| failed(none, Exit::Failed))?;
    Ok(List::fetched(url.clone(), text.into(), lists))
}

/// Runs the session, and returns how it ended.
///
/// # Errors
/// Returns the exit status of a usage error. In this case, no file was requested.
async fn download(
    args: &Args,
    (input, rest, asks, early, tars): (Input, Option<Rest>, Asks, Early, Option<Arc<Tars>>),
    (settings, output): (Settings, &OutputSettings),
    trace: Trace,
    terminal: Option<Terminal>,
    network: &tokio::runtime::Handle,
) -> Result<Exit, Exit> {
    let session = start_session(args, &settings, tars.clone(), network)?;
    let list = failed::List::of(args, &input, &settings).filter(|_| args.plan().is_none());
    let (record, (archive, archived)) = opened_files(args, &settings)?;
    let pending = list.as_ref().map(failed::List::pending);
    let shared = Arc::new(Shared { pending, trace, ..Shared::default() });
    let terminal = terminal.filter(|_| settings.on_error == OnError::Ask);
    let files = start_files((record, archived), list, &session, &shared);
    let outputs = start_outputs(args, output, terminal, &session, &shared);
    let mut signals = Signals::listen(args.options.ending.stop_with_parent);
    early.end();
    let streamed = input.stream().map(ToString::to_string);
    let check = rest.map(|rest| LateCheck::start(rest, session.clone(), shared.clone(), settings.verify));
    Feed { session: session.clone(), shared: shared.clone(), settings, asks, archive }.start(input);

    let summary = loop {
        tokio::select! {
            summary = session.wait() => break summary,
            signal = signals.next() => {
                shared.on_signal(signal, args);
                if shared.ending().is_some() {
                    session.stop();
                }
            }
        }
    };
    if let Some(tars) = tars {
        let end = end_of_tars(tars, &summary, &shared);
        write_last_output(end, LAST_FILES_LIMIT, (&shared, args), &mut signals).await;
    }
    let join =
        |threads: Vec<JoinHandle<()>>| move || threads.into_iter().for_each(|thread| drop(thread.join()));
    if let Some(check) = check.and_then(LateCheck::end) {
        write_last_output(join(vec![check]), LAST_CHECK_LIMIT, (&shared, args), &mut signals).await;
    }
    write_last_output(join(files), LAST_FILES_LIMIT, (&shared, args), &mut signals).await;
    write_last_output(join(outputs), LAST_OUTPUT_LIMIT, (&shared, args), &mut signals).await;
    let closing = closing(&summary, output, &shared, args);
    write_last_output(move || printer::err(&closing), LAST_OUTPUT_LIMIT, (&shared, args), &mut signals).await;
    let early = shared.ending().or(shared.failure());
    let is_shard = args.lists.shard.is_some();
    if let Some(list) = streamed.filter(|_| summary.files == 0 && early.is_none() && !is_shard) {
        return Err(usage(&format!("the list {list} is empty: {}", input::HAS_NO_URL)));
    }
    // The reader of the events has ended before the whole input was read.
    let is_short = || shared.total().more || summary.files < shared.total().files;
    let unread = Some(Exit::Failed).filter(|_| shared.ending() == Some(Exit::Success) && is_short());
    let all = [Some(Exit::of(&summary)), shared.ending(), shared.failure(), unread];
    Ok(all.into_iter().flatten().min().unwrap_or(Exit::Success))
}

/// Starts the session on the network and, with `--to-tar`, on the tars.
fn start_session(
    args: &Args,
    settings: &Settings,
    tars: Option<Arc<Tars>>,
    network: &tokio::runtime::Handle,
) -> Result<Arc<Session>, Exit> {
    let _network = network.enter();
    let builder = Session::builder(settings.clone());
    let builder = match tars {
        Some(tars) => builder.disk(tars),
        None => builder,
    };
    builder.start().map(Arc::new).map_err(|e| not_started(args, &e))
}

/// Returns what ends the tars of `--to-tar`. The last tar is complete if every file of the input was tried.
fn end_of_tars(tars: Arc<Tars>, summary: &Summary, shared: &Arc<Shared>) -> impl FnOnce() + Send + use<> {
    let is_stopped = summary.stopped_on_error || summary.reached.is_some();
    let no_more_files = !is_stopped && shared.ending().or(shared.failure()).is_none();
    let shared = shared.clone();
    move || {
        if let Err(exit) = tars::end(&tars, no_more_files) {
            shared.fail(exit);
        }
    }
}

type Archived = (Option<archive::Finder>, Option<archive::Writer>);

/// Opens the lock file of `--record` and the archive.
fn opened_files(args: &Args, settings: &Settings) -> Result<(Option<Record>, Archived), Exit> {
    let unusable = |why: String| {
        error(&escaped(&why));
        Exit::Disk
    };
    if args.plan().is_some() {
        return Ok((None, (archive::to_read(args, settings).map_err(unusable)?, None)));
    }
    let record = Record::of(args).map_err(unusable)?;
    Ok((record, archive::of(args, settings).map_err(unusable)?.unzip()))
}

/// Shows why the session did not start.
fn not_started(args: &Args, e: &Error) -> Exit {
    if e.at.is_empty() {
        return usage(&escaped(&e.to_string()));
    }
    // The engine reads the files with certificates when the session starts.
    let key = args.options.http.key.as_ref().filter(|key| key.to_string_lossy() == e.at);
    let option = match e.kind {
        ErrorKind::TlsClient => key.map_or("--cert", |_| "--key"),
        _ => "--cacert",
    };
    let needs_password = e.kind == ErrorKind::TlsClient && args.options.http.key_password.is_none();
    let hint = match needs_password && downhaul_engine::needs_password(Path::new(&e.at)) {
        true => ". --key-password @FILE reads the password from a file",
        false => "",
    };
    // The user may have given the password or the key itself.
    let file = if option == "--cacert" { e.at.clone() } else { words::file_of_secret(Path::new(&e.at)) };
    usage(&escaped(&format!("{option} {file}: {}{hint}", e.detail)))
}

/// Returns the text that is written to standard error after the screen has ended.
fn closing(summary: &Summary, output: &OutputSettings, shared: &Shared, args: &Args) -> String {
    let mut text: String = summary.notes.iter().map(|note| format!("warning: {}\n", escaped(note))).collect();
    if output.explain {
        text += &explain::text(summary, output.verbose);
    }
    shared.take_last().iter().for_each(|line| text += &format!("{line}\n"));
    let by_signal = matches!(shared.ending(), Some(Exit::Interrupted | Exit::Terminated));
    let is_stopped = by_signal || summary.stopped_on_error || summary.reached.is_some();
    if is_stopped && !output.quiet && output.progress != Shown::Json {
        if args.plan().is_some() {
            return text + "The plan is not complete, because it was stopped or reached a limit.\n";
        }
        let Total { files, more } = shared.total();
        text += &messages::stopped(summary, Some(files).filter(|_| !more), &args.again);
    }
    text
}

/// Starts the lock file of `--record`, the archive and the list of `--failed`, each on a thread of its own.
fn start_files(
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

/// Starts the screen, the log and the JSON output, each on a thread of its own.
//
// This function is long because each output is started in its own way.
fn start_outputs(
    args: &Args,
    output: &OutputSettings,
    terminal: Option<Terminal>,
    session: &Arc<Session>,
    shared: &Arc<Shared>,
) -> Vec<JoinHandle<()>> {
    let runtime = tokio::runtime::Handle::current();
    let mut outputs = Vec::new();
    if let Some(path) = output.log.as_ref().filter(|_| args.plan().is_none()) {
        match Log::open(path) {
            Ok(log) => {
                let (events, shared) = (EventReader::new(&runtime, session.events()), shared.clone());
                let path = path.clone();
                outputs.push(thread::spawn(move || {
                    if let Err(why) = log.run(events, || shared.last_line_of_the_log()) {
                        warn(&format!("not all of the log {} could be written: {why}", path.display()));
                    }
                }));
            }
            Err(e) => warn(&format!("no log is written: {}: {e}", path.display())),
        }
    }
    let failure = &args.options.failure;
    let hooks = Hooks { complete: failure.on_complete.clone(), error: failure.on_error_run.clone() };
    if !hooks.is_empty() && args.plan().is_none() {
        let (events, shared) = (EventReader::new(&runtime, session.events()), shared.clone());
        outputs.push(thread::spawn(move || {
            hooks.run(events, || shared.ending().is_some_and(|exit| exit != Exit::Success), warn)
        }));
    }
    if output.progress == Shown::Json {
        let (events, session) = (EventReader::new(&runtime, session.events()), session.clone());
        let shared = shared.clone();
        let args = args.clone();
        outputs.push(thread::spawn(move || {
            let gone = || {
                if !args.options.ending.keep_going {
                    error("the program that reads the events has ended, so the run stops. --keep-going continues");
                    // If all files are complete, the run is a success.
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
        };
        outputs.push(thread::spawn(move || {
            if !plan::run(events, look) {
                shared.fail(Exit::Failed);
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
        let OutputSettings { progress, quiet, verbose, color, unicode, .. } = output;
        let messages = Messages::new(Some(&args), Paint(color), quiet, verbose, unicode);
        Screen::new(progress, messages, Prompt::new(terminal)).run(events, &session, &shared);
    }));
    outputs
}

/// Writes the last output on a thread of its own. A run that was stopped waits at most for `limit`. Ctrl-C,
/// SIGTERM and SIGHUP end the program during this time.
async fn write_last_output(
    write: impl FnOnce() + Send + 'static,
    limit: Duration,
    (shared, args): (&Shared, &Args),
    signals: &mut Signals,
) {
    let written = tokio::task::spawn_blocking(write);
    tokio::pin!(written);
    loop {
        let stopping = shared.ending().is_some();
        tokio::select! {
            _ = &mut written => return,
            () = tokio::time::sleep(limit), if stopping => return,
            signal = signals.next() => match signal {
                Signal::Interrupt => leave_at_once(Exit::Interrupted),
                signal => shared.on_signal(signal, args),
            }
        }
    }
}

/// Ends the program if it has not ended after the time that `--grace` allows. This has a thread of its own,
/// since all others may be blocked by a disk or by standard error.
fn leave_after(grace: Duration) {
    thread::spawn(move || {
        thread::sleep(grace);
        thread::spawn(|| warn("not everything could be written within the time of --grace"));
        thread::sleep(LAST_WARNING_LIMIT);
        exit::at_once(Exit::Terminated)
    });
}

/// Resets the terminal, and ends the program immediately.
fn leave_at_once(exit: Exit) -> ! {
    if let Some(mut terminal) = Terminal::open() {
        terminal.reset();
    }
    exit::at_once(exit)
}

pub(crate) fn usage(why: &str) -> Exit {
    error(why);
    printer::err(MORE_INFORMATION);
    Exit::Usage
}

pub(crate) fn error(text: &str) {
    printer::err(&format!("error: {text}\n"));
}

pub(crate) fn warn(text: &str) {
    printer::err(&format!("warning: {text}\n"));
}

/// Shows a recording of `--progress json` in the usual output.
pub(crate) fn replay(args: &Args, file: &Path, speed: f64) -> Exit {
    use downhaul_engine::core::event::Line;
    use std::io::Read;
    let reader: Box<dyn Read> = match file.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => match File::open(file) {
            Ok(file) => Box::new(file),
            Err(e) => return usage(&format!("{} cannot be read: {e}", file.display())),
        },
    };
    let output = settings::output_settings(args, false);
    let messages = Messages::new(None, Paint(output.color), output.quiet, output.verbose, output.unicode);
    let mut screen = Screen::new(output.progress, messages, Prompt::new(None));
    let mut samples = std::collections::BTreeMap::new();
    let mut now = None;
    for (number, line) in Lines::new(reader).enumerate() {
        let line = line.map_err(|e| e.to_string());
        let line = line.and_then(|line| Line::from_json(&String::from_utf8_lossy(&line)));
        let line = match line {
            Ok(line) => line,
            Err(why) => {
                drop(screen.end());
                return usage(&format!("line {} is not an event: {}", number + 1, escaped(&why)));
            }
        };
        let at = line.at();
        // The first line is shown immediately. A longer gap in the recording is shortened to two seconds.
        let pause = at.saturating_sub(now.unwrap_or(at)).min(Duration::from_secs(2));
        if pause > Duration::ZERO {
            let all: Vec<_> = samples.values().cloned().collect();
            screen.paint(now.unwrap_or(at), &all, Total::default());
            thread::sleep(pause.div_f64(speed));
        }
        now = Some(at.max(now.unwrap_or(at)));
        match line {
            Line::Progress(_, sample) => {
                samples.insert(sample.job, sample);
            }
            Line::Event(event) => {
                use downhaul_engine::core::event::EventKind;
                if let (
                    Some(job),
                    EventKind::Finished { .. } | EventKind::Failed { .. } | EventKind::Skipped { .. },
                ) = (event.job, &event.kind)
                {
                    samples.remove(&job);
                }
                screen.event(&event);
            }
        }
    }
    screen.end().iter().for_each(|line| printer::err(&format!("{line}\n")));
    Exit::Success
}
