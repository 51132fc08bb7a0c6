//! Reads and writes the archive of `--archive`: a SQLite database of all files that were ever downloaded with
//! it. [`downhaul_engine::core::archive`] decides which files it has.
//!
//! SQLite is used here, and not in the engine, because an archive is a file format of the program. A program
//! that uses the library can set [`Job::done`] from any store of its own.
//!
//! Invariant: after a kill or a power failure, the archive has all files up to about a second before, and
//! nothing else. Several runs may use one archive at once.

use crate::args::Args;
use crate::platform;
use crate::ui::{EventReader, Next};
use downhaul_engine::core::archive::{self, Archived, UrlKey};
use downhaul_engine::core::digest::{Algorithm, Digest};
use downhaul_engine::core::event::{EventKind, JobId};
use downhaul_engine::core::identity::Key;
use downhaul_engine::core::job::{IfExists, Job};
use downhaul_engine::core::settings::Settings;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest wait for another run that is writing. A run writes for some milliseconds once a second.
const BUSY: Duration = Duration::from_secs(60);

/// New files are written this often. SQLite forces each transaction to the disk, which takes milliseconds.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// The longest time for which the next event is waited for, if nothing has to be written.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The number by which SQLite files of this program are recognised (`PRAGMA application_id`): the letters
/// `dhal`.
const APPLICATION: u32 = 0x6468_616c;

/// The offset of this number in a SQLite file (<https://sqlite.org/fileformat2.html>, section 1.3).
const APPLICATION_AT: usize = 68;

/// The version of the tables (`PRAGMA user_version`).
const VERSION: u32 = 1;

const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE files (
        id INTEGER PRIMARY KEY, url TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, date INTEGER NOT NULL
    );
    CREATE TABLE urls (key BLOB PRIMARY KEY, file INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE digests (
        file INTEGER NOT NULL, algorithm TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (file, algorithm)
    ) WITHOUT ROWID;
    CREATE INDEX digests_by_value ON digests (digest, algorithm);
    INSERT INTO meta VALUES ('key', randomblob(32));
";

/// Returns true if a file is an archive.
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

/// The jobs of a run that have not ended, and the new files.
#[derive(Clone, Default)]
struct Jobs(Arc<Mutex<JobState>>);

#[derive(Default)]
struct JobState {
    /// The jobs that have not ended. They are as few as the queue is long.
    known: HashMap<JobId, Option<Facts>>,
    /// The ends of jobs that have ended before their facts were known.
    ended: HashMap<JobId, Arc<downhaul_engine::Event>>,
    new: Vec<New>,
}

impl JobState {
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

/// Finds the jobs of a run in its archive.
pub(crate) struct Finder {
    archive: Archive,
    jobs: Jobs,
    /// The settings of the session, with the key of the archive.
    settings: Settings,
}

/// What the archive says about a job.
pub(crate) struct Looked(Option<Facts>);

/// Adds the files of a run to its archive.
pub(crate) struct Writer {
    archive: Archive,
    jobs: Jobs,
}

/// Opens the archive of `--archive`, if that option is given.
///
/// # Errors
/// Returns why the archive cannot be used, in words for the user.
pub(crate) fn of(args: &Args, settings: &Settings) -> Result<Option<(Finder, Writer)>, String> {
    let Some(path) = &args.existing.archive else { return Ok(None) };
    let open = || Archive::open(path).map_err(|why| cannot_be_used(path, &why));
    let (archive, jobs) = (open()?, Jobs::default());
    let key = archive.key().map_err(|e| cannot_be_used(path, &e.to_string()))?;
    let finder = Finder { archive, jobs: jobs.clone(), settings: settings.clone().with_key(key) };
    Ok(Some((finder, Writer { archive: open()?, jobs })))
}

impl Finder {
    /// Looks up a job. If an earlier run fetched its file, the job is marked as done.
    ///
    /// # Errors
    /// Returns why the archive cannot be read, in words for the user.
    pub(crate) fn look(&self, job: &mut Job) -> Result<Looked, String> {
        let keys = archive::url_keys(&self.settings, job);
        let found = self.archive.find(&keys, job);
        match found.map_err(|e| cannot_be_used(&self.archive.path, &e.to_string()))? {
            Some(file) => {
                job.done = Some(file.kept());
                Ok(Looked(None))
            }
            None => {
                let url = job.urls.first().map(downhaul_engine::core::show::url).unwrap_or_default();
                let if_exists = self.settings.if_exists_of(job);
                Ok(Looked(Some(Facts { url, keys, if_exists })))
            }
        }
    }

    /// Keeps the facts of a job until it ends.
    pub(crate) fn added(&self, id: JobId, looked: Looked) {
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
        // All events must be read, or no more files would start.
        while !matches!(events.next(PATIENCE), Next::End) {}
        written.map_err(|e| cannot_be_used(&self.archive.path, &e.to_string()))
    }

    fn take_all(&mut self, events: &mut EventReader) -> rusqlite::Result<()> {
        let mut since: Option<Instant> = None;
        loop {
            let rest = since.map_or(PATIENCE, |since| WRITTEN_EVERY.saturating_sub(since.elapsed()));
            if rest == Duration::ZERO {
                self.write()?;
                since = None;
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

    /// Writes the new files in one transaction.
    fn write(&mut self) -> rusqlite::Result<()> {
        let new = std::mem::take(&mut self.jobs.state().new);
        if new.is_empty() {
            return Ok(());
        }
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

/// An open archive.
struct Archive {
    path: PathBuf,
    connection: Connection,
}

impl Archive {
    /// Opens an archive, or creates it. Only the user may read it, because a short secret in a URL could be
    /// guessed from its hash by a reader of the key.
    fn open(path: &Path) -> Result<Archive, String> {
        platform::create_private(path).map_err(|e| e.to_string())?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags);
        let mut archive =
            Archive { path: path.to_path_buf(), connection: connection.map_err(|e| e.to_string())? };
        match archive.prepare().map_err(|e| e.to_string())? {
            VERSION => Ok(archive),
            version => Err(format!("a later version of downhaul wrote it (its format is {version})")),
        }
    }

    /// Creates the tables if they do not exist yet, and returns the version of the tables.
    fn prepare(&mut self) -> rusqlite::Result<u32> {
        self.connection.busy_timeout(BUSY)?;
        let version =
            |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get(0));
        let found: u32 = version(&self.connection)?;
        if found > 0 {
            return Ok(found);
        }
        let all = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another run may have created them in the meantime.
        let found: u32 = version(&all)?;
        if found == 0 {
            all.execute_batch(TABLES)?;
            all.pragma_update(None, "application_id", APPLICATION)?;
            all.pragma_update(None, "user_version", VERSION)?;
        }
        all.commit()?;
        Ok(found.max(VERSION))
    }

    /// Returns the key of the hashes of URLs.
    fn key(&self) -> rusqlite::Result<Key> {
        self.connection
            .query_row("SELECT value FROM meta WHERE name = 'key'", [], |row| row.get(0))
            .map(Key::new)
    }

    /// Returns the file of a job, if an earlier run fetched it.
    fn find(&self, keys: &[UrlKey], job: &Job) -> rusqlite::Result<Option<Archived>> {
        let mut by_url = self.connection.prepare_cached("SELECT file FROM urls WHERE key = ?")?;
        for key in keys {
            let id = by_url.query_row([key], |row| row.get(0)).optional()?;
            if let Some(file) =
                id.map(|id| self.file(id)).transpose()?.flatten().filter(|file| file.is_file_of(job))
            {
                return Ok(Some(file));
            }
        }
        let sql = "SELECT file FROM digests WHERE digest = ? AND algorithm = ? ORDER BY file LIMIT 1";
        let mut by_digest = self.connection.prepare_cached(sql)?;
        for digest in archive::digests(job) {
            let id =
                by_digest.query_row((&digest.bytes, digest.algorithm.name()), |row| row.get(0)).optional()?;
            if let Some(file) =
                id.map(|id| self.file(id)).transpose()?.flatten().filter(|file| file.is_file_of(job))
            {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn file(&self, id: i64) -> rusqlite::Result<Option<Archived>> {
        let mut file = self.connection.prepare_cached("SELECT path, size, date FROM files WHERE id = ?")?;
        let mut digests =
            self.connection.prepare_cached("SELECT algorithm, digest FROM digests WHERE file = ?")?;
        let digest = |row: &Row<'_>| {
            let algorithm: String = row.get(0)?;
            let bytes: Vec<u8> = row.get(1)?;
            Ok(Algorithm::from_name(&algorithm).map(|algorithm| Digest { algorithm, bytes }))
        };
        let digests = digests.query_map([id], digest)?.filter_map(Result::transpose);
        let digests: Vec<Digest> = digests.collect::<rusqlite::Result<_>>()?;
        let number = |row: &Row<'_>, at| row.get(at).map(i64::cast_unsigned);
        let of_row = |row: &Row<'_>| {
            Ok(Archived { path: row.get(0)?, size: number(row, 1)?, date: number(row, 2)?, digests })
        };
        file.query_row([id], of_row).optional()
    }
}

fn cannot_be_used(path: &Path, why: &str) -> String {
    format!("the archive {} cannot be used: {why}", path.display())
}
