//! Writes the list of `--failed FILE`. The list has the files that are not complete after the run: files that
//! failed, files that were stopped or not started, and files that were left to another run. `-i` can read the
//! list.
//!
//! The arguments and the lists of the run are read again at the end of the run, so that each file takes
//! little memory: one bit, one additional byte if the file is in a list, and 18 bytes for a name that another
//! file may have too. Only the lines of a stream are kept in memory.
//!
//! Invariant: FILE is written at the end of the run, as a whole. It is empty only if every file is complete,
//! so for a script, an empty list means a success. An error in an input list becomes a comment. If FILE is
//! also the input, it is replaced only by a list of all files that are not complete. Each line states if a
//! document named its URLs, so that a later run with FILE sends the user's secrets only to servers to which
//! this run may send them. If an input list was changed during the run or cannot be read any more, its files
//! cannot be found in it again. FILE then has a comment instead of these files. If FILE is also an input
//! list, FILE is then not changed.

mod ended;
mod line;
mod sequence;
mod url_names;

use ended::Ended;
use line::write_left_out;
pub(crate) use line::{Line, line};
use sequence::Sequence;
pub(crate) use sequence::hash_of;
use url_names::UrlNames;

use crate::args::Args;
use crate::input::{Arguments, Checked, Count, Input, Opened, Part};
use crate::outputs;
use crate::platform;
use crate::ui::{EventReader, Next};
use crate::words;
use downhaul_engine::core::error::Error;
use downhaul_engine::core::event::JobId;
use downhaul_engine::core::job::Job;
use downhaul_engine::core::list::left_over::COMMENT;
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::settings::Settings;
use downhaul_engine::core::show::escaped;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The writer for the file of `--failed`.
type Target<'f> = BufWriter<&'f File>;

/// The largest number of jobs of a part of the input that are written although they were never started. A
/// pattern such as `[1-9999999999]` may stand for very many jobs.
const UNSTARTED_MOST: u64 = 1_000_000;

/// The longest time for writing the jobs of a part of the input that were never started. Writing a million of
/// them takes some seconds.
const UNSTARTED_LONGEST: Duration = Duration::from_secs(20);

/// The facts about the jobs of a run. The thread that passes the jobs to the session adds facts, and so does
/// the reader of events.
#[derive(Clone)]
pub(crate) struct Pending(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    ended: Ended,
    parts: Vec<PartSoFar>,
    names: UrlNames,
}

/// The data about a part of the input: the arguments, a list or a stream.
#[derive(Default)]
struct PartSoFar {
    /// The number of jobs of the session before this part.
    before: u64,
    /// If the part is a stream: the lines of the jobs whose files are not complete. A stream cannot be read
    /// again, and events lack the secrets that a line may contain, so the lines are kept here.
    started: BTreeMap<JobId, Line>,
    /// If the part is a stream: the lines of the jobs that the session of a stopped run did not accept.
    rest: Vec<Line>,
    /// If the part is a list: the jobs that were passed to the session.
    passed: Sequence,
    /// True if all jobs of the part were read.
    is_whole: bool,
    /// The number of lines of a stream that were left out because they have mistakes.
    left_out: u64,
}

impl Pending {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves the name of the next job, in the order in which the session gets the jobs. Returns the
    /// argument `url_name` of [`line`] for this job.
    pub(crate) fn reserve(&self, job: &Result<Box<Job>, Error>) -> Option<SafeName> {
        self.known().names.reserve(job)
    }

    /// Stores that the jobs of a part of the input are passed to the session from now on. `before` is the
    /// number of jobs that the session got before them. The parts must begin in their order.
    pub(crate) fn begin(&self, part: usize, before: u64) {
        let mut known = self.known();
        known.parts.resize_with(part, PartSoFar::default);
        known.parts.push(PartSoFar { before, ..PartSoFar::default() });
    }

    /// Keeps the line of a job of a stream. Does nothing if nothing is left to do for the job.
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

    /// Stores that the jobs of a list with these hashes ([`hash_of`]) were passed to the session.
    pub(crate) fn pass(&self, part: usize, hashes: impl Iterator<Item = u64>) {
        if let Some(part) = self.known().parts.get_mut(part) {
            hashes.for_each(|hash| part.passed.add(hash));
        }
    }

    /// Stores that no more jobs of a part are read. `is_whole` is true if all jobs of the part were read.
    pub(crate) fn end(&self, part: usize, is_whole: bool) {
        if let Some(part) = self.known().parts.get_mut(part) {
            part.is_whole = is_whole;
        }
    }

    /// Stores how many lines of a stream were left out because they have mistakes.
    pub(crate) fn leave_out(&self, part: usize, lines: u64) {
        if let Some(part) = self.known().parts.get_mut(part) {
            part.left_out = lines;
        }
    }

    /// Stores that a job had an event. `is_done` is true if the event says that nothing is left to do for the
    /// job, because its file is complete or another job of the run downloads this file.
    fn note(&self, job: JobId, is_done: bool) {
        let mut known = self.known();
        known.ended.note(job, is_done);
        if is_done {
            known.names.forget(job);
            known.parts.iter_mut().for_each(|part| drop(part.started.remove(&job)));
        }
    }
}

/// Where the jobs of a part of the input are found at the end of the run. The list of `--failed` gets those
/// jobs whose files are not complete.
enum Jobs {
    /// The arguments are read again at the end of the run.
    Arguments(Arc<Arguments>),
    /// A list with this name and this many jobs is read again at the end of the run. The second value is
    /// `None` if the list could not be opened.
    List(String, Option<Box<Opened>>, Count),
    Stream,
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

/// The result of writing the lines.
#[derive(Default)]
struct Written {
    /// True if the whole input was read.
    is_whole: bool,
    /// What the list lacks, in words for the user: names and whole files that no line can contain.
    lost: Vec<String>,
    /// The lists that were changed during the run or cannot be read any more.
    changed: Vec<String>,
}

impl List {
    /// Returns the list of `--failed`, if that option is given. `settings` are the settings of the session.
    pub(crate) fn of(args: &Args, input: &Input, settings: &Settings) -> Option<List> {
        let path = args.options.failure.failed.clone()?;
        let is_input = args.output.input.iter().any(|input| outputs::is_same(input, &path));
        let jobs = |part: &Part| match part {
            Part::Arguments(arguments) => Jobs::Arguments(arguments.clone()),
            Part::List(Checked { list, count, .. }) => {
                Jobs::List(list.to_string(), list.open().ok().map(Box::new), count.clone())
            }
            Part::Stream(_) => Jobs::Stream,
        };
        let parts = input.parts.iter().map(jobs).collect();
        let names = UrlNames::new(settings);
        let pending = Pending(Arc::new(Mutex::new(Known { names, ..Known::default() })));
        Some(List { path, is_input, parts, pending, settings: settings.clone() })
    }

    /// Returns the data about the jobs. The thread that passes the jobs to the session must add to the data.
    pub(crate) fn pending(&self) -> Pending {
        self.pending.clone()
    }

    /// Reads events until the run is over, and writes the list. On Unix, only the user may read the list,
    /// because its URLs may have passwords. Returns warnings about what the list does not contain.
    ///
    /// # Errors
    /// Returns why the list is not written, or why it lacks the files of an input list, in words for the
    /// user.
    pub(crate) fn run(self, mut events: EventReader) -> Result<Vec<String>, String> {
        loop {
            let event = match events.next(Duration::from_secs(3600)) {
                Next::Event(event) => event,
                Next::Nothing => continue,
                Next::End => break,
            };
            let Some(job) = event.job else { continue };
            self.pending.note(job, event.kind.has_nothing_left());
        }
        let List { path, is_input, parts, pending, settings } = self;
        // The reader of a stream may be blocked for ever, so this thread does not wait for it.
        let known = std::mem::take(&mut *pending.known());
        let shown = words::path(&path);
        let (mut written, mut is_refused) = (Written::default(), false);
        let write = |to: &mut Target<'_>| {
            written = write_lines(parts, known, &settings, to)?;
            is_refused = is_input && !(written.is_whole && written.changed.is_empty());
            if is_refused { Err(io::Error::other("not all of the input was read again")) } else { Ok(()) }
        };
        let result = platform::replace_with(&path, platform::FOR_THE_OWNER, write);
        if written.changed.is_empty() && is_refused {
            let why = "it is also the input, and the end of the input was not read";
            return Err(format!("--failed {shown} was not changed: {why}"));
        }
        let failed = result.err().filter(|_| !is_refused);
        let failed = failed.map(|e| format!("--failed {shown} cannot be written: {e}"));
        let changed =
            written.changed.iter().map(|list| format!("--failed {shown}: {}", because_of_change(list)));
        let wrong: Vec<String> = changed.chain(failed).collect();
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let warning = |lost| format!("--failed {shown}: {lost}");
        let cut = || format!("--failed {shown} lacks files, because the end of the input was not read");
        let lost = written.lost.into_iter().map(warning);
        Ok(lost.chain((!written.is_whole).then(cut)).collect())
    }
}

/// Returns why there are no lines for the files of a list, in words for the user.
fn because_of_change(list: &str) -> String {
    format!(
        "the list {list} was changed or cannot be read any more, so the files that are not complete cannot be \
         found in it"
    )
}

/// Writes the lines of the jobs whose files are not complete.
fn write_lines(
    parts: Vec<Jobs>,
    known: Known,
    settings: &Settings,
    to: &mut Target<'_>,
) -> io::Result<Written> {
    let Known { ended, parts: so_far, mut names } = known;
    let mut so_far = so_far.into_iter();
    let mut all = Written { is_whole: true, ..Written::default() };
    for jobs in parts {
        // If no job of a part was passed to the session, none of its jobs is complete.
        let not_begun = || PartSoFar { before: u64::MAX, ..PartSoFar::default() };
        let part = so_far.next().unwrap_or_else(not_begun);
        let written = match jobs {
            Jobs::Arguments(arguments) => {
                write_again(arguments.jobs(), u64::MAX, (&part, &ended, &mut names), settings, to)?
            }
            Jobs::List(_, ref list, _)
                if ended.has_all(&part) && !list.as_ref().is_some_and(|list| list.skips()) =>
            {
                Written { is_whole: true, ..Written::default() }
            }
            Jobs::List(name, Some(list), count) => {
                write_list((&name, *list, &count), (&part, &ended, &mut names), settings, to)?
            }
            Jobs::List(_, None, _) => Written::default(),
            Jobs::Stream => {
                let mut written = Written { is_whole: part.is_whole, ..Written::default() };
                let lines = part.started.into_values().chain(part.rest);
                lines.into_iter().try_for_each(|line| written.write(line, to))?;
                write_left_out(part.left_out, to)?;
                written
            }
        };
        all.is_whole &= written.is_whole;
        all.lost.extend(written.lost);
        all.changed.extend(written.changed);
    }
    if !all.is_whole {
        writeln!(to, "{COMMENT}the end of the input was not read")?;
    }
    Ok(all)
}

/// Reads a list again, and writes the lines. If the list was changed or cannot be read, the lines are
/// removed, and a comment is written. Without the comment, the file could look as if all files of the list
/// were complete.
fn write_list(
    (name, list, count): (&str, Opened, &Count),
    (part, ended, names): (&PartSoFar, &Ended, &mut UrlNames),
    settings: &Settings,
    to: &mut Target<'_>,
) -> io::Result<Written> {
    // Lines that were written to a pipe cannot be removed.
    let is_file = to.get_ref().metadata()?.is_file();
    let before = if is_file { Some(to.stream_position()?) } else { None };
    let replaced = count.replaced();
    let Ok(jobs) = list.jobs() else { return write_change(name, to) };
    let left_out = jobs.left_out();
    let jobs = jobs.filter(|(line, _)| !replaced.contains(line)).map(|(_, job)| job);
    // The number of jobs in a list is not known if the run ended before the list was checked.
    let number = count.if_known().unwrap_or(0);
    let mut again = Sequence::default();
    let jobs = jobs.inspect(|job| {
        if again.jobs() < part.passed.jobs() {
            again.add(hash_of(job));
        }
    });
    let written = write_again(jobs, number, (part, ended, names), settings, to)?;
    if !part.passed.begins_with(&again) {
        if let Some(before) = before {
            to.seek(SeekFrom::Start(before))?;
            to.get_ref().set_len(before)?;
        }
        return write_change(name, to);
    }
    write_left_out(left_out.load(Ordering::Relaxed), to)?;
    let is_whole = written.is_whole && again.jobs() == part.passed.jobs();
    // If lines of the list have mistakes, only comments are written for them, so the list does not count as
    // whole.
    Ok(Written { is_whole: is_whole && !count.is_refused(), ..written })
}

/// Writes the comment for a list that was changed or cannot be read any more.
fn write_change(name: &str, to: &mut Target<'_>) -> io::Result<Written> {
    writeln!(to, "{COMMENT}{}", escaped(&because_of_change(name)))?;
    Ok(Written { is_whole: true, changed: vec![name.into()], ..Written::default() })
}

/// Reads a part of the input again, and writes the lines. The number of a job is its place in the whole
/// input: the jobs of earlier parts are counted too. If there are fewer jobs than `count`, the part does not
/// count as whole. If `count` is `u64::MAX`, the part counts as whole as soon as all its jobs were read.
fn write_again(
    jobs: impl Iterator<Item = Result<Box<Job>, Error>>,
    count: u64,
    (part, ended, names): (&PartSoFar, &Ended, &mut UrlNames),
    settings: &Settings,
    to: &mut dyn Write,
) -> io::Result<Written> {
    let (mut written, mut place) = (Written::default(), 0_u64);
    // The limits of time and number apply only to the jobs after the last job that had an event.
    let (mut start, mut unstarted) = (Instant::now(), 0);
    for job in jobs {
        place += 1;
        let number = part.before.saturating_add(place);
        if number <= ended.last {
            start = Instant::now();
        } else {
            unstarted += 1;
            if unstarted > UNSTARTED_MOST || start.elapsed() > UNSTARTED_LONGEST {
                return Ok(written);
            }
        }
        let name = names.of(number, &job);
        if !ended.has(number) {
            written.write(line(&job, name, settings), to)?;
        }
    }
    written.is_whole = count == u64::MAX || place >= count;
    Ok(written)
}

impl Written {
    fn write(&mut self, line: Line, to: &mut dyn Write) -> io::Result<()> {
        self.lost.extend(line.lost);
        to.write_all(line.text.as_bytes())?;
        to.write_all(b"\n")
    }
}
