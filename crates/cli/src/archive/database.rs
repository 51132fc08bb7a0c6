//! The SQLite database of an archive (`--archive`): its tables, its creation, and the lookup of files.

use super::APPLICATION;
use crate::platform;
use downhaul_engine::Containers;
use downhaul_engine::core::archive::{self, Archived, UrlKey};
use downhaul_engine::core::digest::{Algorithm, Digest};
use downhaul_engine::core::identity::Key;
use downhaul_engine::core::job::Job;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest wait for other runs that write to the archive. Each run writes for some milliseconds once a
/// second, so a minute is enough for many runs.
const BUSY: Duration = Duration::from_secs(60);

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

/// The most files with one digest that a lookup returns.
const EQUAL_MOST: usize = 16;

/// The result of the search for the file of a job in an archive.
pub(super) enum Found {
    /// The file that the archive has for a URL of the job.
    ByUrl(Archived),
    /// Files that have a digest of the job: the file whose URL was added to the archive last comes first. The
    /// list is empty if the archive has no such file.
    ByDigest(Vec<Archived>),
}

pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
}

impl Archive {
    /// Opens an archive, or creates it. On Unix, only the user may read a new archive, because the archive
    /// has the key and the hashes of URLs. With both, another user could guess a short secret in a URL.
    pub(super) fn open(path: &Path) -> Result<Archive, String> {
        platform::create_private(path).map_err(|e| e.to_string())?;
        let mut archive = Archive::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let version = archive.prepare();
        archive.of_version(version)
    }

    /// Opens an existing archive, and changes nothing in it.
    pub(super) fn open_to_read(path: &Path) -> Result<Archive, String> {
        let archive = Archive::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let version = archive.connection.pragma_query_value(None, "user_version", |row| row.get(0));
        archive.of_version(version)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Archive, String> {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|e| e.to_string())?;
        connection.busy_timeout(BUSY).map_err(|e| e.to_string())?;
        Ok(Archive { path: path.to_path_buf(), connection })
    }

    /// Returns the archive if its tables have the version of this program.
    fn of_version(self, version: rusqlite::Result<u32>) -> Result<Archive, String> {
        match version.map_err(|e| e.to_string())? {
            VERSION => Ok(self),
            // Only an archive that is opened for reading can lack its tables.
            0 => Err("it is not an archive of downhaul".into()),
            version => Err(format!("a later version of downhaul wrote it (its format is {version})")),
        }
    }

    /// Creates the tables if they do not exist yet, and returns the version of the tables.
    fn prepare(&mut self) -> rusqlite::Result<u32> {
        let version =
            |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get(0));
        let found: u32 = version(&self.connection)?;
        if found > 0 {
            return Ok(found);
        }
        let all = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another run may have created the tables since the first look.
        let found: u32 = version(&all)?;
        if found == 0 {
            all.execute_batch(TABLES)?;
            all.pragma_update(None, "application_id", APPLICATION)?;
            all.pragma_update(None, "user_version", VERSION)?;
        }
        all.commit()?;
        Ok(found.max(VERSION))
    }

    /// Returns the secret key with which the URLs in this archive are hashed.
    pub(super) fn key(&self) -> rusqlite::Result<Key> {
        self.connection
            .query_row("SELECT value FROM meta WHERE name = 'key'", [], |row| row.get(0))
            .map(Key::new)
    }

    /// Looks for the file of a job. A file that is lost, or has another size or digest than the job expects,
    /// is not returned.
    pub(super) fn find(
        &self,
        keys: &[UrlKey],
        job: &Job,
        is_lost: impl Fn(&Archived) -> bool,
    ) -> rusqlite::Result<Found> {
        let file = |id| Ok(self.file(id)?.filter(|file| file.is_file_of(job) && !is_lost(file)));
        let mut by_url = self.connection.prepare_cached("SELECT file FROM urls WHERE key = ?")?;
        for key in keys {
            let id = by_url.query_row([key], |row| row.get(0)).optional()?;
            if let Some(file) = id.map(file).transpose()?.flatten() {
                return Ok(Found::ByUrl(file));
            }
        }
        let sql = "SELECT file FROM digests WHERE digest = ? AND algorithm = ? ORDER BY file DESC LIMIT ?";
        let mut by_digest = self.connection.prepare_cached(sql)?;
        for digest in archive::digests(job) {
            let values = (&digest.bytes, digest.algorithm.name(), EQUAL_MOST);
            let ids =
                by_digest.query_map(values, |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
            let files = ids.into_iter().filter_map(|id| file(id).transpose());
            let files = files.collect::<rusqlite::Result<Vec<Archived>>>()?;
            if !files.is_empty() {
                return Ok(Found::ByDigest(files));
            }
        }
        Ok(Found::ByDigest(Vec::new()))
    }

    /// Makes new containers get higher numbers than the containers that have files of this archive.
    pub(super) fn keep_numbers(&self, containers: &Containers) -> rusqlite::Result<()> {
        let mut paths = self.connection.prepare("SELECT path FROM files")?;
        let paths = paths.query_map([], |row| row.get::<_, String>(0))?;
        containers.begin_above(paths)
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
