//! Writes the list of `--failed FILE`. The list has the files that are not complete after the run: those that
//! failed, and those that were stopped or not started. `-i` can read the list.
//!
//! The arguments or the list of the run are read again at its end, so that each file takes one bit of memory.
//! Only the lines of a stream are kept in memory.
//!
//! Invariant: FILE is written at the end of the run, as a whole. It is empty only if every file is complete,
//! so a script can take an empty list for a success. An entry that cannot be a line of a list becomes a
//! comment. If FILE is also the input, it is replaced only by a list of all files that are not complete. A
//! line says if a document named the URLs of the file. So a run with this list sends the user's secrets only
//! to servers to which this run may send them.

use crate::args::Args;
use crate::input::{Arguments, Checked, Count, Input, Opened, Part};
use crate::outputs;
use crate::platform;
use crate::ui::{EventReader, Next};
use downhaul_engine::core::error::Error;
use downhaul_engine::core::event::JobId;
use downhaul_engine::core::job::{Destination, Job, Url};
use downhaul_engine::core::list::option_keys;
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::settings::Settings;
use downhaul_engine::core::show::escaped;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The key of each line, and its value. They show that this file wrote the line.
const LISTED_BY: (&str, &str) = ("listed_by", "--failed");

/// The beginning of each comment.
const COMMENT: &str = "# --failed: ";

/// The line of one job. It is a comment if the job is an error.
pub(crate) struct Line {
    text: String,
    /// The name given with `-o`, if a list cannot contain it.
    lost_name: Option<String>,
}

/// The most jobs that are written although they were never started. A pattern such as `[1-9999999999]` may
/// stand for very many jobs.
const UNSTARTED_MOST: u64 = 1_000_000;

/// The longest time for writing these. To write a million takes some seconds.
const UNSTARTED_LONGEST: Duration = Duration::from_secs(20);

/// What is known about the jobs of a run. The thread that passes the jobs to the session, and the reader of
/// events, both add to it.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    ended: Ended,
    parts: Vec<PartSoFar>,
}

/// A part of the input that was begun.
#[derive(Default)]
struct PartSoFar {
    /// The number of jobs of the session before this part.
    before: u64,
    /// The lines of the jobs of a stream that have not ended. A stream cannot be read again. The lines are
    /// kept here because they may contain secrets, which events do not contain.
    started: BTreeMap<JobId, Line>,
    /// The lines of the jobs of a stream that the session did not accept, because the run was stopped.
    rest: Vec<Line>,
    /// True if all jobs of the part were read.
    is_whole: bool,
}

impl Pending {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a part of the input begins after this number of jobs of the session. Parts begin in order.
    pub(crate) fn begin(&self, part: usize, before: u64) {
        let mut known = self.known();
        known.parts.resize_with(part, PartSoFar::default);
        known.parts.push(PartSoFar { before, ..PartSoFar::default() });
    }

    /// Keeps the line of a job of a stream.
    pub(crate) fn insert(&self, part: usize, job: JobId, line: Line) {
        let mut known = self.known();
        if !known.ended.has(job.get())
            && let Some(part) = known.parts.get_mut(part)
        {
            part.started.insert(job, line);
        }
    }

    /// Keeps the line of a job of a stream that the session did not accept.
    pub(crate) fn keep(&self, part: usize, line: Line) {
        if let Some(part) = self.known().parts.get_mut(part) {
            part.rest.push(line);
        }
    }

    /// Notes that no more jobs of a part are read. `is_whole` is true if all of them were read.
    pub(crate) fn end(&self, part: usize, is_whole: bool) {
        if let Some(part) = self.known().parts.get_mut(part) {
            part.is_whole = is_whole;
        }
    }

    /// Notes an event of a job. `is_complete` is true if its file is complete.
    fn note(&self, job: JobId, is_complete: bool) {
        let mut known = self.known();
        known.ended.note(job, is_complete);
        if is_complete {
            known.parts.iter_mut().for_each(|part| drop(part.started.remove(&job)));
        }
    }
}

/// The jobs of a part of the input, which the list names if their files are not complete.
enum Jobs {
    /// The arguments are read again at the end of the run.
    Arguments(Arc<Arguments>),
    /// A list with this many jobs is read again at the end of the run. It is `None` if it could not be
    /// opened.
    List(Option<Box<Opened>>, Count),
    Stream,
}

/// The jobs whose files are complete. Each takes one bit.
#[derive(Default)]
struct Ended {
    bits: Vec<u64>,
    /// The highest number of a job of the session.
    last: u64,
}

impl Ended {
    fn place(job: u64) -> (usize, u64) {
        (usize::try_from(job / 64).unwrap_or(usize::MAX), 1 << (job % 64))
    }

    fn note(&mut self, job: JobId, is_complete: bool) {
        self.last = self.last.max(job.get());
        if is_complete {
            let (at, bit) = Ended::place(job.get());
            if at >= self.bits.len() {
                self.bits.resize(at + 1, 0);
            }
            self.bits[at] |= bit;
        }
    }

    fn has(&self, job: u64) -> bool {
        let (at, bit) = Ended::place(job);
        self.bits.get(at).is_some_and(|bits| bits & bit != 0)
    }
}

/// Returns true if a line is one of a list that this file wrote.
pub(crate) fn is_line(text: &str) -> bool {
    let (key, value) = LISTED_BY;
    let line: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    text.starts_with(COMMENT) || line.is_some_and(|keys| keys.get(key).is_some_and(|by| by == value))
}

/// The list that is written at the end of the run.
pub(crate) struct List {
    path: PathBuf,
    /// True if a list of the input has the same path.
    is_input: bool,
    /// The parts of the input.
    parts: Vec<Jobs>,
    pending: Pending,
    /// The settings of the session.
    settings: Settings,
}

/// What is known after the lines were written.
#[derive(Default)]
struct Written {
    /// True if the whole input was read.
    is_whole: bool,
    lost_names: Vec<String>,
}

impl List {
    /// Returns the list of `--failed`, if that option is given. `settings` are the settings of the session.
    pub(crate) fn of(args: &Args, input: &Input, settings: &Settings) -> Option<List> {
        let path = args.options.failure.failed.clone()?;
        let is_input = args.output.input.iter().any(|input| outputs::is_same(input, &path));
        let jobs = |part: &Part| match part {
            Part::Arguments(arguments) => Jobs::Arguments(arguments.clone()),
            Part::List(Checked { list, count, .. }) => {
                Jobs::List(list.open().ok().map(Box::new), count.clone())
            }
            Part::Stream(_) => Jobs::Stream,
        };
        let parts = input.parts.iter().map(jobs).collect();
        Some(List { path, is_input, parts, pending: Pending::default(), settings: settings.clone() })
    }

    /// Returns what the thread that passes the jobs to the session must add to.
    pub(crate) fn pending(&self) -> Pending {
        self.pending.clone()
    }

    /// Reads events until the run is over, and writes the list. Only the user may read the list, because its
    /// URLs may have passwords. Returns warnings about what the list does not contain.
    ///
    /// # Errors
    /// Returns why the list is not written, in words for the user.
    pub(crate) fn run(self, mut events: EventReader) -> Result<Vec<String>, String> {
        loop {
            let event = match events.next(Duration::from_secs(3600)) {
                Next::Event(event) => event,
                Next::Nothing => continue,
                Next::End => break,
            };
            let Some(job) = event.job else { continue };
            let is_complete = event.kind.is_complete();
            self.pending.note(job, is_complete);
        }
        let List { path, is_input, parts, pending, settings } = self;
        // This does not wait for the reader of a stream, which may be blocked for ever.
        let known = std::mem::take(&mut *pending.known());
        let shown = path.display();
        let (mut written, mut is_refused) = (Written::default(), false);
        let write = |to: &mut dyn Write| {
            written = write_lines(parts, known, &settings, to)?;
            is_refused = is_input && !written.is_whole;
            if is_refused { Err(io::Error::other("the end of the input was not read")) } else { Ok(()) }
        };
        let result = platform::replace_with(&path, platform::FOR_THE_OWNER, write);
        if is_refused {
            return Err(format!(
                "--failed {shown}: it was not changed, because it is also the input, whose end was not read"
            ));
        }
        result.map_err(|e| format!("--failed {shown}: it cannot be written: {e}"))?;
        let warning = |name| format!("--failed {shown}: a list cannot contain the name {name} that -o gives");
        let cut = || format!("--failed {shown}: it lacks the end of the input, which was not read");
        let lost_names = written.lost_names.into_iter().map(warning);
        Ok(lost_names.chain((!written.is_whole).then(cut)).collect())
    }
}

/// Writes the lines of the jobs whose files are not complete.
fn write_lines(
    parts: Vec<Jobs>,
    known: Known,
    settings: &Settings,
    to: &mut dyn Write,
) -> io::Result<Written> {
    let Known { ended, parts: so_far } = known;
    let mut so_far = so_far.into_iter();
    let mut all = Written { is_whole: true, lost_names: Vec::new() };
    for jobs in parts {
        // No job of a part that was not begun is complete.
        let not_begun = || PartSoFar { before: u64::MAX, ..PartSoFar::default() };
        let part = so_far.next().unwrap_or_else(not_begun);
        let written = match jobs {
            Jobs::Arguments(arguments) => {
                write_again(arguments.jobs(), u64::MAX, (part.before, &ended), settings, to)?
            }
            Jobs::List(Some(list), count) => {
                let jobs = list.jobs()?.map(|(_, job)| job);
                // The number of a list is not known if the run ended before the list was checked.
                let number = count.if_known().unwrap_or(0);
                let written = write_again(jobs, number, (part.before, &ended), settings, to)?;
                // Of a line with a mistake, only a comment is written.
                Written { is_whole: written.is_whole && !count.is_refused(), ..written }
            }
            Jobs::List(None, _) => Written::default(),
            Jobs::Stream => {
                let mut written = Written { is_whole: part.is_whole, ..Written::default() };
                let lines = part.started.into_values().chain(part.rest);
                lines.into_iter().try_for_each(|line| written.write(line, to))?;
                written
            }
        };
        all.is_whole &= written.is_whole;
        all.lost_names.extend(written.lost_names);
    }
    if !all.is_whole {
        writeln!(to, "{COMMENT}the end of the input was not read")?;
    }
    Ok(all)
}

/// Reads a part of the input again, and writes the lines. The number of a job is its place in the input,
/// which begins with `before` other jobs. If a list has fewer jobs than it had, it is not the same list any
/// more.
fn write_again(
    jobs: impl Iterator<Item = Result<Job, Error>>,
    count: u64,
    (before, ended): (u64, &Ended),
    settings: &Settings,
    to: &mut dyn Write,
) -> io::Result<Written> {
    let (mut written, mut place) = (Written::default(), 0_u64);
    // The time and the number count from the first job that was not started.
    let (mut start, mut unstarted) = (Instant::now(), 0);
    for job in jobs {
        place += 1;
        let number = before.saturating_add(place);
        if number <= ended.last {
            start = Instant::now();
        } else {
            unstarted += 1;
            if unstarted > UNSTARTED_MOST || start.elapsed() > UNSTARTED_LONGEST {
                return Ok(written);
            }
        }
        if !ended.has(number) {
            written.write(line(&job, settings), to)?;
        }
    }
    written.is_whole = count == u64::MAX || place >= count;
    Ok(written)
}

impl Written {
    fn write(&mut self, line: Line, to: &mut dyn Write) -> io::Result<()> {
        self.lost_names.extend(line.lost_name);
        to.write_all(line.text.as_bytes())?;
        to.write_all(b"\n")
    }
}

/// Returns a job as a line of a list. An error becomes a comment. `settings` are the settings of the session.
pub(crate) fn line(job: &Result<Job, Error>, settings: &Settings) -> Line {
    match job {
        Ok(job) => line_of(job, settings),
        Err(error) => Line { text: format!("{COMMENT}{}", escaped(&error.to_string())), lost_name: None },
    }
}

/// Returns the line of a job. Chunk hashes are left out, because a line cannot contain them.
fn line_of(job: &Job, settings: &Settings) -> Line {
    let mut keys = Map::new();
    keys.insert(LISTED_BY.0.into(), LISTED_BY.1.into());
    let mut urls: Vec<Value> = job.urls.iter().map(|url| Value::from(url.as_str())).collect();
    match urls.len() {
        1 => keys.insert("url".into(), urls.remove(0)),
        _ => keys.insert("urls".into(), urls.into()),
    };
    let name = match &job.destination {
        Destination::Server | Destination::Writer(_) => None,
        Destination::Name(name) => Some(Ok(name.to_string())),
        Destination::Stdout => Some(Err("-".into())),
        Destination::Stream(path) => Some(Err(path.to_string_lossy().into_owned())),
        Destination::Path(path) => Some(name_of_path(path)),
    };
    if let Some(Ok(name)) = &name {
        keys.insert("out".into(), name.as_str().into());
    }
    keys.extend(options(job));
    let is_of_the_user = |url: &Url| settings.sends_headers_to(url, job.named_by);
    if !job.urls.iter().all(is_of_the_user) {
        keys.insert("named_by".into(), "document".into());
    }
    for one in &job.expected {
        keys.insert(one.digest.algorithm.name().into(), one.digest.to_string().into());
    }
    let header = |(name, value): &(String, Secret)| Value::from(format!("{name}: {}", value.expose()));
    if !job.headers.0.is_empty() {
        keys.insert("headers".into(), job.headers.0.iter().map(header).collect());
    }
    // A column of a table may have the name of an option without being one.
    for (key, value) in job.extra.iter().filter(|(key, _)| !option_keys::is_option(key)) {
        keys.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Line { text: Value::Object(keys).to_string(), lost_name: name.and_then(Result::err) }
}

/// Returns the keys for the options of a job.
fn options(job: &Job) -> Map<String, Value> {
    let dir = job.folder.as_ref().map(|folder| Value::from(folder.as_str()));
    let priority = Some(job.priority).filter(|priority| *priority != 0);
    let all = [
        ("dir", dir),
        ("connections", job.connections.map(Value::from)),
        ("limit_rate", job.limit_rate.map(Value::from)),
        ("if_exists", job.if_exists.map(|what| what.name().into())),
        ("priority", priority.map(Value::from)),
        ("credentials", job.login_of.as_deref().map(Value::from)),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?))).collect()
}

/// Returns the path given with `-o` as a name for a list. The error is the path as a text.
fn name_of_path(path: &Path) -> Result<String, String> {
    let name = path.to_str().and_then(|text| SafeName::from_person(text).ok());
    name.map(|name| name.to_string()).ok_or_else(|| path.to_string_lossy().into_owned())
}
