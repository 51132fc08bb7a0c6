//! Reads and writes the archive of `--archive`: a SQLite database of all files that were ever downloaded with
//! it, or that existed already and were the requested files. [`downhaul_engine::core::archive`] decides which
//! files an archive has.
//!
//! SQLite is used here, and not in the engine, because an archive is a file format of the program. A program
//! that uses the library can set [`Job::done`] from its own store.
//!
//! Invariant: after a kill or a power failure, the archive has all files that were complete about a second
//! earlier, and no incomplete file. So a file is forced to the disk before it is added, unless `--sync never`
//! is given. Several runs may use one archive at once.

mod database;

use crate::args::Args;
use crate::ui::{EventReader, Next};
use crate::words;
use database::{Archive, Found};
use downhaul_engine::core::archive::{self, Archived, UrlKey};
use downhaul_engine::core::dedup::Dedup;
use downhaul_engine::core::event::{EventKind, JobId};
use downhaul_engine::core::job::{IfExists, Job};
use downhaul_engine::core::settings::{Settings, Sync};
use downhaul_engine::core::show::escaped;
use downhaul_engine::{Containers, Error, force_files};
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The entries for new files are written to the archive this often, in one transaction. SQLite forces each
/// transaction to the disk, which takes milliseconds. One transaction in a second takes little of the time of
/// a run.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// The longest wait for the next event, if nothing has to be written. If no event arrives in this time, a new
/// wait begins, so any long time would do.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The number by which an archive is recognised (`PRAGMA application_id`): the letters `dhal`.
const APPLICATION: u32 = 0x6468_616c;

/// The offset of the application ID in a SQLite file, in bytes (<https://sqlite.org/fileformat2.html>,
/// section 1.3).
const APPLICATION_AT: usize = 68;

pub(crate) fn is_archive(path: &Path) -> io::Result<bool> {
    let mut head = [0; 100];
    let mut file = File::open(path)?;
    match file.read_exact(&mut head) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let id = &head[APPLICATION_AT..APPLICATION_AT + 4];
    Ok(head.starts_with(b"SQLite format 3\0") && id == APPLICATION.to_be_bytes())
}

/// The facts about a job that are needed when it ends.
struct Facts {
    /// The URL of the file, without secrets.
    url: String,
    keys: Vec<UrlKey>,
    if_exists: IfExists,
}

/// A file that is added to the archive.
struct New {
    facts: Facts,
    file: Archived,
}

/// The jobs of a run that have not ended, and the files that must still be added to the archive.
#[derive(Clone, Default)]
struct Jobs(Arc<Mutex<JobState>>);

#[derive(Default)]
struct JobState {
    /// The jobs that have not ended, each with its facts, or with `None` if its file is not added to the
    /// archive. The queue of the session limits the number of these jobs.
    known: HashMap<JobId, Option<Facts>>,
    /// The last event of each job that has ended before its facts were known.
    ended: HashMap<JobId, Arc<downhaul_engine::Event>>,
    new: Vec<New>,
}

impl JobState {
    /// Returns true if a file must be written, or if the facts about a job that has ended are still missing.
    fn is_waiting(&self) -> bool {
        !self.new.is_empty() || !self.ended.is_empty()
    }

    fn end(&mut self, facts: Option<Facts>, event: &downhaul_engine::Event) {
        let Some(facts) = facts else { return };
        if let Some(file) = archive::of_event(event, facts.if_exists) {
            self.new.push(New { facts, file });
        }
    }
}

impl Jobs {
    fn state(&self) -> MutexGuard<'_, JobState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds the files of the jobs of a run in its archive.
pub(crate) struct Finder {
    archive: Archive,
    jobs: Jobs,
    /// The settings of the session, with the key of the archive.
    settings: Settings,
    /// True if nothing is added to the archive, because the run is a plan (`downhaul plan`).
    is_read_only: bool,
    /// The containers of `--to-tar` or `--to-warc`.
    containers: Option<Arc<Containers>>,
}

/// The result of a lookup: the facts about the job, or `None` if nothing is added to the archive when the job
/// ends.
pub(crate) struct Looked(Option<Facts>);

/// Adds the files of a run to its archive.
pub(crate) struct Writer {
    archive: Archive,
    jobs: Jobs,
    /// True if files are forced to the disk before they are added.
    forces: bool,
    /// The containers of `--to-tar` or `--to-warc`.
    containers: Option<Arc<Containers>>,
}

/// Opens the archive of `--archive`, if that option is given. If the run puts its files into containers,
/// `containers` has them. New containers get higher numbers than the containers that the archive names,
/// because some of the named containers may have been moved away.
///
/// # Errors
/// Returns why the archive cannot be used, in words for the user.
pub(crate) fn of(
    args: &Args,
    settings: &Settings,
    containers: Option<Arc<Containers>>,
) -> Result<Option<(Finder, Writer)>, String> {
    let Some(path) = &args.existing.archive else { return Ok(None) };
    let open = || Archive::open(path).map_err(|why| cannot_be_used(path, &why));
    let finder = Finder { containers: containers.clone(), ..Finder::new(open()?, settings, false)? };
    if let Some(containers) = &containers {
        let kept = finder.archive.keep_numbers(containers);
        kept.map_err(|e| cannot_be_used(path, &e.to_string()))?;
    }
    let (jobs, forces) = (finder.jobs.clone(), settings.sync != Sync::Never);
    Ok(Some((finder, Writer { archive: open()?, jobs, forces, containers })))
}

/// Opens the archive of `--archive` for a plan, if that option is given and the archive exists.
///
/// # Errors
/// Returns why the archive cannot be used, in words for the user.
pub(crate) fn to_read(args: &Args, settings: &Settings) -> Result<Option<Finder>, String> {
    let exists = |path: &&PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.len() > 0);
    let Some(path) = args.existing.archive.as_ref().filter(exists) else { return Ok(None) };
    let archive = Archive::open_to_read(path).map_err(|why| cannot_be_used(path, &why))?;
    Finder::new(archive, settings, true).map(Some)
}

impl Finder {
    fn new(archive: Archive, settings: &Settings, is_read_only: bool) -> Result<Finder, String> {
        let key = archive.key().map_err(|e| cannot_be_used(&archive.path, &e.to_string()))?;
        let settings = settings.clone().with_key(key);
        Ok(Finder { archive, jobs: Jobs::default(), settings, is_read_only, containers: None })
    }

    /// Begins to look up several jobs. From the first lookup until the result is dropped, SQLite keeps a lock
    /// on the file, and other runs cannot write to the file. Without this transaction, SQLite would lock and
    /// unlock the file for each lookup.
    pub(crate) fn begin_reading(&self) -> Option<Transaction<'_>> {
        self.archive.connection.unchecked_transaction().ok()
    }

    /// Looks up a job. If the archive has its file, the job is marked as done. With `--dedup`, if an archived
    /// file was found by its digest and not by its URL, the job is not done: its file is made from an
    /// archived file, if such a file still exists. A file that a damaged container has lost is not found.
    ///
    /// A job that writes to standard output, a pipe or a device is not looked up, because its reader needs
    /// the bytes in each run. The file of such a job is not added either, because no file stays on the disk.
    ///
    /// # Errors
    /// Returns why the archive cannot be read, in words for the user.
    pub(crate) fn look(&self, job: &mut Job) -> Result<Looked, String> {
        if job.destination.is_in_order() {
            return Ok(Looked::nothing());
        }
        let keys = archive::url_keys(&self.settings, job);
        let is_lost = |file: &Archived| {
            self.containers.as_ref().is_some_and(|all| all.have_lost(Path::new(&file.path)))
        };
        let found = self.archive.find(&keys, job, is_lost);
        let found = found.map_err(|e| cannot_be_used(&self.archive.path, &e.to_string()))?;
        job.archived = match found {
            Found::ByUrl(file) => {
                job.done = Some(file.kept());
                return Ok(Looked(None));
            }
            Found::ByDigest(files) => files.into_iter().map(Archived::kept).collect(),
        };
        if self.settings.dedup == Dedup::Off && !job.archived.is_empty() {
            job.done = Some(job.archived.swap_remove(0));
            return Ok(Looked(None));
        }
        let url = job.urls.first().map(downhaul_engine::core::show::url).unwrap_or_default();
        let if_exists = self.settings.if_exists_of(job);
        Ok(Looked(Some(Facts { url, keys, if_exists })))
    }

    /// Keeps the facts of a job until it ends. If the job has ended already, its file is added now.
    pub(crate) fn added(&self, id: JobId, looked: Looked) {
        if self.is_read_only {
            return;
        }
        let mut state = self.jobs.state();
        match state.ended.remove(&id) {
            Some(event) => state.end(looked.0, &event),
            None => drop(state.known.insert(id, looked.0)),
        }
    }
}

impl Looked {
    /// Returns the result for a job that is not looked up.
    pub(crate) fn nothing() -> Looked {
        Looked(None)
    }
}

impl Writer {
    /// Reads events until the session is over, and adds the files to the archive.
    ///
    /// # Errors
    /// Returns why the archive is not complete, in words for the user.
    pub(crate) fn run(mut self, mut events: EventReader) -> Result<(), String> {
        let written = self.take_all(&mut events);
        // After an error, the events are still read, because the session starts no new job while events wait.
        while !matches!(events.next(PATIENCE), Next::End) {}
        written.map_err(|why| cannot_be_used(&self.archive.path, &why))
    }

    fn take_all(&mut self, events: &mut EventReader) -> Result<(), String> {
        let mut since: Option<Instant> = None;
        loop {
            let rest = since.map_or(PATIENCE, |since| WRITTEN_EVERY.saturating_sub(since.elapsed()));
            if rest == Duration::ZERO {
                self.write()?;
                // The facts about a job may arrive more than a second after its end. Its file must not wait
                // for the end of another job, which may be much later.
                since = self.jobs.state().is_waiting().then(Instant::now);
                continue;
            }
            match events.next(rest) {
                Next::Event(event) => {
                    let Some(job) = event.job else { continue };
                    let is_end = matches!(
                        event.kind,
                        EventKind::Finished { .. } | EventKind::Skipped { .. } | EventKind::Failed { .. }
                    );
                    if is_end {
                        let mut state = self.jobs.state();
                        match state.known.remove(&job) {
                            Some(facts) => state.end(facts, &event),
                            None => drop(state.ended.insert(job, event)),
                        }
                        since.get_or_insert_with(Instant::now);
                    }
                }
                Next::Nothing => {}
                Next::End => return self.write(),
            }
        }
    }

    fn write(&mut self) -> Result<(), String> {
        let new = std::mem::take(&mut self.jobs.state().new);
        if new.is_empty() {
            return Ok(());
        }
        self.force(&new).map_err(|e| e.to_string())?;
        self.commit(&new).map_err(|e| e.to_string())
    }

    /// Forces files to the disk, so that the archive never has a file that a power failure removes.
    fn force(&self, new: &[New]) -> Result<(), Error> {
        match &self.containers {
            _ if !self.forces => Ok(()),
            Some(containers) => containers.force(),
            None => force_files(new.iter().map(|new| Path::new(&new.file.path))),
        }
    }

    fn commit(&mut self, new: &[New]) -> rusqlite::Result<()> {
        let all = self.archive.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        new.iter().try_for_each(|new| add(&all, new))?;
        all.commit()
    }
}

/// Adds a file. If its URL is known, the entry of that URL is replaced.
fn add(to: &Transaction<'_>, New { facts, file }: &New) -> rusqlite::Result<()> {
    let Archived { path, size, date, digests } = file;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let path = if file.path == "-" { "-".into() } else { path.to_string_lossy() };
    let (size, date) = (size.cast_signed(), date.cast_signed());
    let mut known = to.prepare_cached("SELECT file FROM urls WHERE key = ?")?;
    let known =
        facts.keys.iter().find_map(|key| known.query_row([key], |row| row.get(0)).optional().transpose());
    let id: i64 = match known.transpose()? {
        Some(id) => {
            let sql = "UPDATE files SET url = ?2, path = ?3, size = ?4, date = ?5 WHERE id = ?1";
            to.prepare_cached(sql)?.execute((id, &facts.url, &path, size, date))?;
            to.prepare_cached("DELETE FROM digests WHERE file = ?")?.execute([id])?;
            id
        }
        None => {
            let sql = "INSERT INTO files (url, path, size, date) VALUES (?, ?, ?, ?)";
            to.prepare_cached(sql)?.insert((&facts.url, &path, size, date))?
        }
    };
    for key in &facts.keys {
        to.prepare_cached("INSERT OR REPLACE INTO urls VALUES (?, ?)")?.execute((key, id))?;
    }
    for digest in digests {
        let sql = "INSERT OR REPLACE INTO digests VALUES (?, ?, ?)";
        to.prepare_cached(sql)?.execute((id, digest.algorithm.name(), &digest.bytes))?;
    }
    Ok(())
}

fn cannot_be_used(path: &Path, why: &str) -> String {
    format!("the archive {} cannot be used: {}", words::path(path), escaped(why))
}
