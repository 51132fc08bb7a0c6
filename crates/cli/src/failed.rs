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
use crate::input::{Arguments, Checked, Input, Opened};
use crate::outputs;
use crate::platform;
use crate::ui::{EventReader, Next};
use downhaul_engine::core::error::Error;
use downhaul_engine::core::event::{EventKind, JobId};
use downhaul_engine::core::job::{Destination, Job, Url};
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::settings::Settings;
use downhaul_engine::core::show::escaped;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
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

/// The files of a stream that are not complete yet. A stream cannot be read again, so their lines are kept.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<Files>>);

/// The lines are kept here because they may contain secrets, which events do not contain.
#[derive(Default)]
struct Files {
    /// The lines of the jobs of the session.
    started: BTreeMap<JobId, Line>,
    /// Jobs that were complete before their line was known.
    done: BTreeSet<JobId>,
    /// The lines of the jobs that the session did not accept, because the run was stopped.
    rest: Vec<Line>,
    /// True if all jobs were read.
    is_whole: bool,
}

impl Pending {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the line of a job of the session.
    pub(crate) fn insert(&self, job: JobId, line: Line) {
        let mut files = self.files();
        if !files.done.remove(&job) {
            files.started.insert(job, line);
        }
    }

    /// Keeps the line of a job that the session did not accept.
    pub(crate) fn keep(&self, line: Line) {
        self.files().rest.push(line);
    }

    /// Notes that no more jobs are read. `is_whole` is true if all jobs were read.
    pub(crate) fn end(&self, is_whole: bool) {
        self.files().is_whole = is_whole;
    }

    /// Notes that the file of a job is complete.
    fn remove(&self, job: JobId) {
        let mut files = self.files();
        if files.started.remove(&job).is_none() {
            files.done.insert(job);
        }
    }

    /// Returns all files that are not complete, and true if the whole stream was read. This does not wait for
    /// the reader of the stream, which may be blocked for ever.
    fn all(&self) -> (Vec<Line>, bool) {
        let files = std::mem::take(&mut *self.files());
        (files.started.into_values().chain(files.rest).collect(), files.is_whole)
    }
}

/// The jobs that the list names, if their files are not complete.
enum Jobs {
    /// The arguments are read again at the end of the run.
    Arguments(Arc<Arguments>, Ended),
    /// A list with this many jobs is read again at the end of the run. It is `None` if it could not be
    /// opened.
    List(Option<Opened>, u64, Ended),
    Stream(Pending),
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

    /// Notes an event of a job. `is_complete` is true if its file is complete.
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
    /// True if the input has the same path.
    is_input: bool,
    jobs: Jobs,
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
        let is_input = args.output.input.as_deref().is_some_and(|input| outputs::is_same(input, &path));
        let jobs = match input {
            Input::Arguments(arguments) => Jobs::Arguments(arguments.clone(), Ended::default()),
            Input::List(Checked { list, count, .. }) => {
                Jobs::List(list.open().ok(), *count, Ended::default())
            }
            Input::Stream(_) => Jobs::Stream(Pending::default()),
        };
        Some(List { path, is_input, jobs, settings: settings.clone() })
    }

    /// Returns the jobs of a stream, for its reader.
    pub(crate) fn pending(&self) -> Option<Pending> {
        match &self.jobs {
            Jobs::Stream(pending) => Some(pending.clone()),
            Jobs::Arguments(..) | Jobs::List(..) => None,
        }
    }

    /// Reads events until the run is over, and writes the list. Only the user may read the list, because its
    /// URLs may have passwords. Returns warnings about what the list does not contain.
    ///
    /// # Errors
    /// Returns why the list is not written, in words for the user.
    pub(crate) fn run(mut self, mut events: EventReader) -> Result<Vec<String>, String> {
        loop {
            let event = match events.next(Duration::from_secs(3600)) {
                Next::Event(event) => event,
                Next::Nothing => continue,
                Next::End => break,
            };
            let Some(job) = event.job else { continue };
            let is_complete = matches!(event.kind, EventKind::Finished { .. } | EventKind::Skipped { .. });
            match &mut self.jobs {
                Jobs::Arguments(_, ended) | Jobs::List(_, _, ended) => ended.note(job, is_complete),
                Jobs::Stream(pending) if is_complete => pending.remove(job),
                Jobs::Stream(_) => {}
            }
        }
        let List { path, is_input, jobs, settings } = self;
        let shown = path.display();
        let (mut written, mut is_refused) = (Written::default(), false);
        let write = |to: &mut dyn Write| {
            written = write_lines(jobs, &settings, to)?;
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
fn write_lines(jobs: Jobs, settings: &Settings, to: &mut dyn Write) -> io::Result<Written> {
    let written = match jobs {
        Jobs::Arguments(arguments, ended) => write_again(arguments.jobs(), u64::MAX, &ended, settings, to)?,
        Jobs::List(Some(list), count, ended) => {
            let jobs = list.jobs()?.map(|(_, job)| job);
            write_again(jobs, count, &ended, settings, to)?
        }
        Jobs::List(None, ..) => Written::default(),
        Jobs::Stream(pending) => {
            let (lines, is_whole) = pending.all();
            let mut written = Written { is_whole, ..Written::default() };
            lines.into_iter().try_for_each(|line| written.write(line, to))?;
            written
        }
    };
    if !written.is_whole {
        writeln!(to, "{COMMENT}the end of the input was not read")?;
    }
    Ok(written)
}

/// Reads the input again, and writes the lines. The number of a job is its place in the input. If a list has
/// fewer jobs than it had, it is not the same list any more.
fn write_again(
    jobs: impl Iterator<Item = Result<Job, Error>>,
    count: u64,
    ended: &Ended,
    settings: &Settings,
    to: &mut dyn Write,
) -> io::Result<Written> {
    let (mut written, mut number) = (Written::default(), 0);
    // The time counts from the first job that was not started.
    let mut start = Instant::now();
    for job in jobs {
        number += 1;
        if number <= ended.last {
            start = Instant::now();
        } else if number - ended.last > UNSTARTED_MOST || start.elapsed() > UNSTARTED_LONGEST {
            return Ok(written);
        }
        if !ended.has(number) {
            written.write(line(&job, settings), to)?;
        }
    }
    written.is_whole = count == u64::MAX || number >= count;
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
    for (key, value) in &job.extra {
        keys.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Line { text: Value::Object(keys).to_string(), lost_name: name.and_then(Result::err) }
}

/// Returns the path given with `-o` as a name for a list. The error is the path as a text.
fn name_of_path(path: &Path) -> Result<String, String> {
    let name = path.to_str().and_then(|text| SafeName::from_person(text).ok());
    name.map(|name| name.to_string()).ok_or_else(|| path.to_string_lossy().into_owned())
}
