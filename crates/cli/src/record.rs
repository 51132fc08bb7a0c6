//! Writes the lock file of `--record`, which has a line for each file of a run.
//!
//! Each line is added as soon as its job has ended. At the end of the run, lines that later lines replace are
//! removed ([`tidy`]). All other lines of earlier runs are kept. Lines that are not lines of a lock file are
//! kept too.
//!
//! Invariant: the lock file has only whole lines. A line that could not be written completely is removed at
//! once, or by the next run if this run was killed. Only one run at a time writes a lock file.

mod folders;
mod mend;
mod tidy;

use crate::args::Args;
use crate::outputs;
use crate::platform;
use crate::ui::{AT_ONCE, EventReader, Next};
use crate::words;
use downhaul_engine::Containers;
use downhaul_engine::core::error::ErrorKind;
use downhaul_engine::core::event::{Event, EventKind, Failure, JobId};
use downhaul_engine::core::lock_file::{Entry, Status, by_key, csv};
use folders::Folders;
use serde_json::Value;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// New lines are forced to the disk at least this often. For many small files, forcing each line would take
/// longer than the downloads.
const FORCED_EVERY: Duration = Duration::from_secs(1);

/// The longest wait for the next event, if nothing has to be forced to the disk.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The form of a lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines of JSON.
    Lines,
    /// A table, for a name that ends in `.csv`.
    Table,
}

impl Form {
    /// Returns the form of the lock file with this name.
    pub(crate) fn of(path: &Path) -> Form {
        let is_table = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        if is_table { Form::Table } else { Form::Lines }
    }

    /// Reads a line of a lock file, or a row of a table. Returns `None` for other lines.
    pub(crate) fn read(self, line: &str) -> Option<Entry> {
        match self {
            Form::Lines => Entry::read(line),
            Form::Table => csv::read(line.trim_end_matches(['\n', '\r'])),
        }
    }

    fn write(self, entry: &Entry) -> String {
        match self {
            Form::Lines => entry.to_json(),
            Form::Table => csv::row(entry),
        }
    }
}

/// Returns the lines of a lock file with their line ends. A row of a table may have several lines of text.
pub(crate) fn rows(text: impl Read, form: Form) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let mut text = BufReader::new(text);
    std::iter::from_fn(move || {
        let mut row = Vec::new();
        loop {
            match text.read_until(b'\n', &mut row) {
                Ok(0) if row.is_empty() => return None,
                Ok(read) if form == Form::Table && read > 0 && csv::is_open(&row) => {}
                Ok(_) => return Some(Ok(row)),
                Err(e) => return Some(Err(e)),
            }
        }
    })
}

/// Returns true if a file is a lock file. Such a file may also have lines of other kinds, because a run keeps
/// them.
pub(crate) fn is_lock_file(path: &Path) -> io::Result<bool> {
    let form = Form::of(path);
    for (number, row) in rows(File::open(path)?, form).enumerate() {
        let row = row?;
        let text = String::from_utf8_lossy(&row);
        let is_header = form == Form::Table && number == 0 && text.trim_end() == csv::header();
        if is_header || (form == Form::Lines && form.read(&text).is_some()) {
            return Ok(true);
        }
        if form == Form::Table {
            return Ok(false);
        }
    }
    Ok(false)
}

/// A job that has not ended.
struct Running {
    /// The URL that the user or a list gave.
    url: String,
    /// The name that the user or a list gave, or an empty text if the name comes from the server or the URL.
    name: String,
    /// The path of the file. Until the download starts, it is the path that `name` leads to, or an empty text
    /// if `name` is empty.
    path: String,
    /// The URL whose response is used. It is the same as `url` until the download starts.
    answered: String,
    validator: Option<String>,
    /// The number of retries that were counted, including those before the last progress.
    retries: u32,
}

/// A lock file that is being written.
pub(crate) struct Record {
    path: PathBuf,
    form: Form,
    folders: Folders,
    file: File,
    /// The path of `file`, if `file` is not the lock file itself. This is the case if the lock file is also
    /// an input of the run, because an input must not grow while it is read. The lines are then added to the
    /// lock file at the end of the run.
    aside: Option<PathBuf>,
    /// The length of all whole lines in the file, in bytes.
    length: u64,
    /// True if the lock file had lines of earlier runs.
    had_lines: bool,
    /// The jobs of the lines that were added, in the order of the lines. The list is empty if there are more
    /// than [`tidy::AT_ONCE`] lines.
    order: Vec<JobId>,
    /// The number of lines that were added.
    added: usize,
    running: HashMap<JobId, Running>,
    /// Lines that were not written yet.
    lines: Vec<u8>,
    /// The time of the first line that was written and not forced to the disk.
    unforced: Option<Instant>,
    /// The number of files that were skipped and that have no known strong digest.
    unknown: u64,
}

impl Record {
    /// Opens the lock file of `--record`, if that option is given.
    ///
    /// # Errors
    /// Returns why the lock file cannot be written, in words for the user.
    pub(crate) fn of(args: &Args, containers: Option<Arc<Containers>>) -> Result<Option<Record>, String> {
        let Some(path) = &args.options.verification.record else { return Ok(None) };
        let is_input = args.output.input.iter().any(|input| outputs::is_same(input, path));
        let folders = Folders::new(args, containers);
        Record::open(path, folders, is_input).map(Some).map_err(|e| cannot_be_written(path, &e))
    }

    fn open(path: &Path, folders: Folders, is_input: bool) -> io::Result<Record> {
        let form = Form::of(path);
        outputs::create_folder(path, folders.output())?;
        let mut target = platform::open_to_append(path)?;
        let length = mend::mend(&mut target, form)?;
        let had_lines = length > 0;
        let (aside, file, length) = match is_input {
            true => {
                let mut aside = path.as_os_str().to_owned();
                aside.push(format!(".{:016x}.new", platform::random_number()));
                let file = platform::create_new_to_append(Path::new(&aside))?;
                (Some(PathBuf::from(aside)), file, 0)
            }
            false => (None, target, length),
        };
        let mut record = Record {
            path: path.to_path_buf(),
            form,
            folders,
            file,
            aside,
            length,
            had_lines,
            order: Vec::new(),
            added: 0,
            running: HashMap::new(),
            lines: Vec::new(),
            unforced: None,
            unknown: 0,
        };
        if form == Form::Table && !had_lines {
            record.lines = (csv::header() + "\n").into_bytes();
            record.write()?;
        }
        Ok(record)
    }

    /// Reads events until the session is over, and writes a line for each job. Returns a warning if digests
    /// are missing.
    ///
    /// # Errors
    /// Returns why the lock file is not complete, in words for the user.
    pub(crate) fn run(mut self, mut events: EventReader) -> Result<Option<String>, String> {
        let path = self.path.clone();
        let taken = self.take_all(&mut events);
        let what = if taken.is_ok() { "The" } else { "Only the first" };
        let (aside, unknown) = (self.aside.clone(), self.unknown);
        let run = taken.and_then(|()| self.end());
        // After an error, the events are still read, because the session starts no new job while events wait.
        while !matches!(events.next(PATIENCE), Next::End) {}
        if let Err(e) = run {
            let kept = aside.map(|aside| words::path(&aside));
            let kept = kept.map(|kept| format!(". {what} lines of this run are in {kept}"));
            return Err(cannot_be_written(&path, &e) + &kept.unwrap_or_default());
        }
        if let Some(aside) = aside {
            let _ = fs::remove_file(aside);
        }
        Ok(match unknown {
            0 => None,
            1 => Some(
                "1 file was skipped. Its digest is in the lock file only if an earlier run recorded it"
                    .into(),
            ),
            n => Some(format!(
                "{n} files were skipped. Their digests are in the lock file only if an earlier run recorded them"
            )),
        })
    }

    fn take_all(&mut self, events: &mut EventReader) -> io::Result<()> {
        loop {
            if events.is_empty() || self.lines.len() >= AT_ONCE {
                self.write()?;
            }
            let rest = self.unforced.map_or(PATIENCE, |since| FORCED_EVERY.saturating_sub(since.elapsed()));
            if rest == Duration::ZERO {
                self.file.sync_data()?;
                self.unforced = None;
                continue;
            }
            match events.next(rest) {
                Next::Event(event) => self.take(&event),
                Next::Nothing => {}
                Next::End => return self.write(),
            }
        }
    }

    fn take(&mut self, event: &Event) {
        let Some(job) = event.job else { return };
        match &event.kind {
            EventKind::Queued { url, name, .. } => {
                let name = name.clone().unwrap_or_default();
                let path = if name.is_empty() { PathBuf::new() } else { self.folders.output().join(&name) };
                let path = path.to_string_lossy().into_owned();
                let (url, answered) = (url.clone(), url.clone());
                let running = Running { url, name, path, answered, validator: None, retries: 0 };
                self.running.insert(job, running);
            }
            EventKind::Started { url, validator, path, .. } => {
                if let Some(running) = self.running.get_mut(&job) {
                    (running.answered, running.validator) = (url.clone(), validator.clone());
                    running.path.clone_from(path);
                }
            }
            EventKind::Retrying { attempt, .. } => {
                if let Some(running) = self.running.get_mut(&job) {
                    // `attempt` begins again at 1 after progress. It is 0 if the retry is not counted.
                    running.retries = running.retries.saturating_add(u32::from(*attempt > 0));
                }
            }
            EventKind::Skipped { .. } | EventKind::Failed { .. } | EventKind::Finished { .. } => {
                let Some(running) = self.running.remove(&job) else { return };
                // Another job of the run downloads the same file, and the lock file gets the line of that
                // job.
                if event.kind.is_of_other_job() {
                    return;
                }
                let Some(entry) = self.entry(running, event) else { return };
                let is_skipped = entry.status == Some(Status::Skipped);
                self.unknown += u64::from(is_skipped && !entry.has_strong_digest());
                self.lines.extend_from_slice(self.form.write(&entry).as_bytes());
                self.lines.push(b'\n');
                self.added += 1;
                match self.added {
                    0..=tidy::AT_ONCE => self.order.push(job),
                    _ => self.order = Vec::new(),
                }
            }
            _ => {}
        }
    }

    /// Returns the line of a job that has ended with this event, or `None` if the event is not the end of a
    /// job.
    fn entry(&self, running: Running, event: &Event) -> Option<Entry> {
        let Running { url, name, path: named, answered, validator, retries } = running;
        let entry = Entry { date: event.at, ..Entry::default() };
        let failed = |code: &str, http_status, tries, extra: &serde_json::Map<String, Value>| Entry {
            date: event.at,
            status: Some(Status::Failed),
            path: named.clone(),
            error: Some(code.into()),
            http_status,
            tries: Some(tries),
            extra: extra.clone(),
            ..Entry::default()
        };
        let entry = match &event.kind {
            EventKind::Finished { path, bytes, fetched, seconds, digests, extra, .. } => Entry {
                status: Some(Status::Finished),
                path: path.clone(),
                size: Some(*bytes),
                fetched: Some(*fetched),
                seconds: Some(*seconds),
                tries: Some(retries + 1),
                digests: by_key(digests),
                extra: extra.clone(),
                validator,
                ..entry
            },
            EventKind::Skipped { path, extra, .. } if !event.kind.has_nothing_left() => {
                Entry { path: path.clone(), ..failed(ErrorKind::FileLocked.code(), None, 0, extra) }
            }
            EventKind::Skipped { path, bytes, digests, extra, .. } => Entry {
                status: Some(Status::Skipped),
                path: path.clone(),
                size: *bytes,
                tries: Some(0),
                digests: by_key(digests),
                extra: extra.clone(),
                ..entry
            },
            EventKind::Failed { error: Failure { code, http_status, .. }, extra, .. } => {
                failed(code, *http_status, retries + 1, extra)
            }
            _ => return None,
        };
        let out = self.folders.name_of(&entry, &name, &named);
        Some(Entry { final_url: Some(answered).filter(|answered| *answered != url), url, out, ..entry })
    }

    /// Adds the lines to the file. If this fails, for example because the disk is full, no part of these
    /// lines stays in the file.
    fn write(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        if let Err(e) = self.file.write_all(&self.lines) {
            let _ = self.file.set_len(self.length);
            return Err(e);
        }
        self.length += self.lines.len() as u64;
        self.lines.clear();
        self.unforced.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Completes the lock file after the last job. Lines in another file ([`Record::aside`]) are added to it,
    /// and lines that later lines replace are removed. The lines of this run get the order of the input, so
    /// that two runs of one list write their lines in the same order. If the run added more than
    /// [`tidy::AT_ONCE`] lines, these lines keep the order in which the jobs ended.
    fn end(mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.aside.is_some() {
            let mut target = platform::open_to_append(&self.path)?;
            let length = target.metadata()?.len();
            self.file.seek(SeekFrom::Start(0))?;
            io::copy(&mut self.file, &mut target).inspect_err(|_| drop(target.set_len(length)))?;
            target.sync_data()?;
            self.file = target;
        }
        tidy::tidy(self.file, &self.path, self.form, self.had_lines, &self.order)
    }
}

fn cannot_be_written(path: &Path, e: &io::Error) -> String {
    format!("the lock file {} cannot be written: {e}", words::path(path))
}
