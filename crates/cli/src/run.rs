//! One run of the program. This module reads the input, starts the session and the readers of its events,
//! handles signals, and decides how the run ended.

mod ending;
mod readers;
mod shared;

pub(crate) use shared::Shared;

use crate::archive;
use crate::args::{Args, Lists, MORE_INFORMATION};
use crate::asks::Asks;
use crate::certificates;
use crate::containers;
use crate::cookies;
use crate::exit::Exit;
use crate::failed;
use crate::feed::Feed;
use crate::input::{self, Input, List, Rest};
use crate::late_check::LateCheck;
use crate::logins::{self, NoLogin};
use crate::outputs;
use crate::plain_http;
use crate::platform::{self, Signals, Terminal};
use crate::printer;
use crate::record::Record;
use crate::settings::{self, OutputSettings};
use crate::shards::Shards;
use crate::survey;
use crate::ui::{above, trace};
use crate::words;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job;
use downhaul_engine::core::list::metalink;
use downhaul_engine::core::settings::{OnError, Settings};
use downhaul_engine::core::show::{self, escaped};
use downhaul_engine::{Containers, Session};
use ending::{
    Early, LAST_CHECK_LIMIT, LAST_FILES_LIMIT, LAST_OUTPUT_LIMIT, closing, end_of_containers,
    wait_for_commands, write_last_output,
};
use readers::{start_commands, start_files, start_outputs};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Downloads the files that the arguments name, or shows what a download would do (`downhaul plan`).
pub(crate) fn run(args: &Args) -> Exit {
    let early = Early::start(args);
    let args = &match check_outputs(args).and_then(|()| with_secrets(args)) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    trace::start(args);
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
    let mut shards = survey.shards.take();
    let containers = match begin_shard(args, &what, shards.as_mut(), &mut input) {
        Ok(containers) => containers,
        Err(exit) => return exit,
    };
    settings.single = shards.as_ref().map_or(input.count(), Shards::jobs) == Some(1);
    settings.is_part = shards.is_some() && !settings.single;
    survey::choose_parallel(args, input.count(), &mut settings);
    survey.apply(&mut settings).iter().for_each(|warning| warn(warning));
    warn_of_insecure(&settings);
    let (network, own) = match (runtime(), own_runtime()) {
        (Ok(network), Ok(own)) => (network, own),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let asked = (input, rest, what, early, (shards, containers));
    let ran = own.block_on(download(args, asked, (settings, &output), terminal, network.handle()));
    // The program does not wait for blocked threads, such as a reader of standard input or a name lookup.
    own.shutdown_background();
    network.shutdown_background();
    ran.unwrap_or_else(|exit| exit)
}

/// Begins the run of a shard, and opens the containers of `--to-tar` or `--to-warc`.
fn begin_shard(
    args: &Args,
    what: &Asks,
    mut shards: Option<&mut Shards>,
    input: &mut Input,
) -> Result<Option<Arc<Containers>>, Exit> {
    if let Some(shards) = &mut shards {
        shards.begin(args, what, input).map_err(|why| usage(&escaped(&why)))?;
    }
    containers::open(args, shards.as_deref())
}

fn warn_of_insecure(settings: &Settings) {
    if settings.insecure && settings.cacert.is_some() {
        warn("--insecure trusts every certificate, so --cacert makes no difference");
    }
}

/// Returns a function that marks the shard as complete, and saves the cookies. `exit` is the exit status of
/// the run so far.
fn last_files(args: Args, shards: Option<Shards>, exit: Exit, shared: Arc<Shared>) -> impl FnOnce() + Send {
    move || {
        let marked = shards.map(|shards| shards.end(&args, exit)).filter(|&marked| marked != exit);
        for worse in marked.into_iter().chain(save_cookies(&args)) {
            shared.fail(worse);
        }
    }
}

/// Writes the file of `--save-cookies`. Returns an exit status if it cannot be written.
fn save_cookies(args: &Args) -> Option<Exit> {
    let path = args.options.http.save_cookies.as_ref().filter(|_| args.plan().is_none())?;
    let why = cookies::save(&args.cookies, path).err()?;
    error(&why);
    Some(Exit::Disk)
}

/// Checks the files that the run writes. This function is called before [`with_secrets`], which replaces the
/// names of files by their contents.
fn check_outputs(args: &Args) -> Result<(), Exit> {
    let to_stdout = args.output.save_as.as_deref().is_some_and(input::is_stdout);
    let log = settings::output_settings(args, to_stdout).log;
    outputs::check(args, log.as_deref()).map_err(|why| usage(&why))
}

/// Returns the arguments with all secrets. Secrets in files are read, and the user is asked for missing
/// secrets. Shows the warnings about the files.
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

/// Starts the runtime for signals and timers. It runs on the thread that calls `block_on`, so that a second
/// signal is handled even if the threads for the network are busy.
pub(crate) fn own_runtime() -> Result<tokio::runtime::Runtime, Exit> {
    started(tokio::runtime::Builder::new_current_thread().enable_all().build())
}

/// Starts the runtime that answers the clients of `downhaul aria2c`, on a separate thread.
pub(crate) fn serving_runtime() -> Result<tokio::runtime::Runtime, Exit> {
    started(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build())
}

/// Starts the runtime for the network, which has few threads. On two cores, one thread was faster than two
/// threads in every test of `benches/race` (1 GiB: 0.37 s instead of 0.43 s, 10,000 small files: 0.50 s
/// instead of 0.57 s), because no step wakes a thread on another core. One thread transfers more than 1 GB/s
/// over TLS, so only machines with many cores get more threads. Other threads write to the disk and compute
/// digests.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / 4).clamp(1, 4);
    started(tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build())
}

/// Returns a runtime, or shows why it cannot be started.
fn started(built: std::io::Result<tokio::runtime::Runtime>) -> Result<tokio::runtime::Runtime, Exit> {
    built.map_err(|e| {
        error(&format!("the program cannot start: {e}"));
        Exit::Disk
    })
}

type Resolved = (Settings, OutputSettings);

/// Fetches the lists that are at URLs. If there are such lists, also returns the settings. The settings are
/// resolved only once, because they come from files, and some of these files may be pipes.
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
    // For the statuses 404, 410 and 403, the engine returns `None`, and no error. 403 is one of them, because
    // some object stores answer 403 for a missing object.
    let none = "the server does not have it, or forbids access to it (404, 410 or 403)";
    let text = text.ok_or_else(|| failed(none, Exit::Failed))?;
    Ok(List::fetched(url.clone(), text.into(), lists))
}

/// Runs the session, and returns how it ended.
///
/// # Errors
/// Returns the exit status if the run could not start, or if it had no file because a streamed list had no
/// URL. In both cases, no file was requested.
//
// This function is long because it has the steps of a run in their order.
async fn download(
    args: &Args,
    (input, rest, asks, early, (shards, containers)): Asked,
    (settings, output): (Settings, &OutputSettings),
    terminal: Option<Terminal>,
    network: &tokio::runtime::Handle,
) -> Result<Exit, Exit> {
    let begun = start_session(args, &settings, containers.clone(), network);
    let begun = begun.and_then(|session| Ok((session, opened_files(args, &settings, containers.as_ref())?)));
    let end_unused = |_: &Exit| containers.iter().for_each(|all| containers::end(all, false).unwrap_or(()));
    let (session, (record, (archive, archived))) = begun.inspect_err(end_unused)?;
    let list = failed::List::of(args, &input, &settings).filter(|_| args.plan().is_none());
    let pending = list.as_ref().map(failed::List::pending);
    let shared = Arc::new(Shared::new(pending, rest.as_ref().map(Rest::so_far)));
    let terminal = terminal.filter(|_| settings.on_error == OnError::Ask);
    let files = start_files((record, archived), list, &session, &shared);
    let commands = start_commands(args, &session, &shared);
    let outputs = start_outputs(args, output, terminal, &session, &shared);
    let mut signals = Signals::listen(args.options.ending.stop_with_parent);
    Shared::start_ctrl_z(&shared, args, output);
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
    if let Some(containers) = containers {
        let end = end_of_containers(containers, &summary, &shared);
        write_last_output(end, LAST_FILES_LIMIT, (&shared, args), &mut signals).await;
    }
    let join =
        |threads: Vec<JoinHandle<()>>| move || threads.into_iter().for_each(|thread| drop(thread.join()));
    if let Some(check) = check.and_then(LateCheck::end) {
        write_last_output(join(vec![check]), LAST_CHECK_LIMIT, (&shared, args), &mut signals).await;
    }
    if let Some(commands) = commands {
        wait_for_commands(commands, (&shared, args), &mut signals).await;
    }
    write_last_output(join(files), LAST_FILES_LIMIT, (&shared, args), &mut signals).await;
    write_last_output(join(outputs), LAST_OUTPUT_LIMIT, (&shared, args), &mut signals).await;
    let closing = closing(&summary, output, &shared, args);
    write_last_output(move || printer::err(&closing), LAST_OUTPUT_LIMIT, (&shared, args), &mut signals).await;
    let early = shared.ending().or(shared.failure());
    let is_shard = args.lists.shard.is_some();
    let is_ended = early.is_some() || summary.reached.is_some();
    if let Some(list) = streamed.filter(|_| summary.files == 0 && !is_ended && !is_shard) {
        return Err(usage(&format!("the list {list} is empty: {}", input::HAS_NO_URL)));
    }
    // The program that reads the events may have ended before the whole input was read.
    let unread =
        Some(Exit::Failed).filter(|_| shared.ending() == Some(Exit::Success) && shared.is_stopped(&summary));
    let most_important = |so_far: Option<Exit>| {
        let all = [so_far, shared.ending(), shared.failure()];
        all.into_iter().flatten().min().unwrap_or(Exit::Success)
    };
    let exit = most_important(unread.into_iter().chain([Exit::of(&summary)]).min());
    let last = last_files(args.clone(), shards, exit, shared.clone());
    write_last_output(last, LAST_FILES_LIMIT, (&shared, args), &mut signals).await;
    Ok(most_important(Some(exit)))
}

/// The input of a run, the rest of a list that is read during the run, what is asked, the handling of signals
/// before the downloads, the shard, and the containers.
type Asked = (Input, Option<Rest>, Asks, Early, (Option<Shards>, Option<Arc<Containers>>));

/// Starts the session on the runtime for the network. If there are containers of `--to-tar` or `--to-warc`,
/// the session writes the files to them.
fn start_session(
    args: &Args,
    settings: &Settings,
    containers: Option<Arc<Containers>>,
    network: &tokio::runtime::Handle,
) -> Result<Arc<Session>, Exit> {
    let _network = network.enter();
    let builder = Session::builder(settings.clone());
    let builder = match containers {
        Some(containers) => builder.disk(containers),
        None => builder,
    };
    builder.start().map(Arc::new).map_err(|e| not_started(args, &e))
}

type Archived = (Option<archive::Finder>, Option<archive::Writer>);

/// Opens the lock file of `--record`, and the database of `--archive`. For a preview (`downhaul plan`), opens
/// only the database, and only to read it.
fn opened_files(
    args: &Args,
    settings: &Settings,
    containers: Option<&Arc<Containers>>,
) -> Result<(Option<Record>, Archived), Exit> {
    let unusable = |why: String| {
        error(&escaped(&why));
        Exit::Disk
    };
    if args.plan().is_some() {
        return Ok((None, (archive::to_read(args, settings).map_err(unusable)?, None)));
    }
    outputs::check_folders(args).map_err(unusable)?;
    let record = Record::of(args, containers.cloned()).map_err(unusable)?;
    let archive = archive::of(args, settings, containers.cloned()).map_err(unusable)?;
    Ok((record, archive.unzip()))
}

/// Shows why the session did not start, and returns the exit status.
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
    // The user may have given the password or the key itself in place of the name of a file.
    let file = if option == "--cacert" { e.at.clone() } else { words::file_of_secret(Path::new(&e.at)) };
    usage(&escaped(&format!("{option} {file}: {}{hint}", e.detail)))
}

pub(crate) fn usage(why: &str) -> Exit {
    error(why);
    printer::err(MORE_INFORMATION);
    Exit::Usage
}

pub(crate) fn error(text: &str) {
    above::show(format!("error: {text}"));
}

pub(crate) fn warn(text: &str) {
    above::show(format!("warning: {text}"));
}
