//! [`Store`]: the downloads on the disk, in a SQLite database.
//!
//! SQLite is used because every change is one small transaction, even if there are 100,000 downloads, and
//! because a kill at any moment does not damage the database. The write-ahead log is not forced to the disk
//! for each change (`synchronous = NORMAL`): a kill loses nothing, and a power failure may lose the last
//! changes, but never damages the database (<https://sqlite.org/pragma.html#pragma_synchronous>).
//!
//! Invariant: only one process uses a store at a time. A change is in the store before the client that
//! requested the change gets an answer.

use crate::entry::Entry;
use crate::gid::Gid;
use crate::options::Options;
use crate::platform;
use rusqlite::{Connection, OptionalExtension, params};
use std::io::{self, Read};
use std::path::Path;

/// The number by which the database is recognised (`PRAGMA application_id`): the letters `dhdq`.
const APPLICATION: u32 = 0x6468_6471;

/// The version of the tables (`PRAGMA user_version`).
const VERSION: u32 = 1;

/// The length of the header of a SQLite file, and the places of two numbers in it
/// (<https://sqlite.org/fileformat2.html#the_database_header>).
const HEADER: u64 = 100;
const AT_VERSION: usize = 60;
const AT_APPLICATION: usize = 68;

/// The reasons for which a file is refused.
const OTHER: &str = "it is not a database of downhaul's daemon";
const NEWER: &str = "a newer downhaul wrote it";

const TABLES: &str = "
    CREATE TABLE downloads (
        gid INTEGER PRIMARY KEY, state TEXT NOT NULL, rank INTEGER NOT NULL, facts TEXT NOT NULL
    );
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// The names in the table `meta`.
const SESSION: &str = "session";
const OPTIONS: &str = "options";

/// Returns the number at a place of a header, with the most significant byte first.
fn number_at(header: &[u8], at: usize) -> Option<u32> {
    header.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// The database.
pub struct Store(Connection);

impl Store {
    /// Opens the database, or creates it if it does not exist. A file of another program is refused, and not
    /// changed.
    ///
    /// # Errors
    /// Returns why the database cannot be used, in words for the user.
    pub fn open(path: &Path) -> Result<Store, String> {
        let text = |e: io::Error| e.to_string();
        let file = platform::create_private(path).map_err(text)?;
        let mut header = Vec::new();
        (&file).take(HEADER).read_to_end(&mut header).map_err(text)?;
        match number_at(&header, AT_APPLICATION) {
            _ if header.is_empty() => {}
            Some(APPLICATION) if number_at(&header, AT_VERSION).is_some_and(|version| version > VERSION) => {
                return Err(NEWER.into());
            }
            Some(APPLICATION) => {}
            _ => return Err(OTHER.into()),
        }
        platform::make_private(&file).map_err(text)?;
        // SQLite's locks would be lost if this file were closed while SQLite uses the database.
        drop(file);
        Store::of(Connection::open(path).map_err(|e| e.to_string())?)
    }

    /// Returns a store in memory. Its downloads are forgotten when the store is dropped.
    ///
    /// # Errors
    /// Returns why the database cannot be used, in words for the user.
    pub fn in_memory() -> Result<Store, String> {
        Connection::open_in_memory().map_err(|e| e.to_string()).and_then(Store::of)
    }

    fn of(connection: Connection) -> Result<Store, String> {
        Store::prepare(&connection).map_err(|e| match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => "another daemon is using it".into(),
            Some(rusqlite::ErrorCode::NotADatabase) => OTHER.into(),
            _ => e.to_string(),
        })?;
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        match (number("application_id"), number("user_version")) {
            (Ok(APPLICATION), Ok(VERSION)) => Ok(Store(connection)),
            (Ok(APPLICATION), Ok(version)) if version > VERSION => Err(NEWER.into()),
            (Ok(_), Ok(_)) => Err(OTHER.into()),
            (Err(e), _) | (_, Err(e)) => Err(e.to_string()),
        }
    }

    fn prepare(connection: &Connection) -> rusqlite::Result<()> {
        // In this mode, SQLite locks the database until it is closed. A second daemon that opens it gets an
        // error.
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE;")?;
        let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            connection.execute_batch(TABLES)?;
            connection.pragma_update(None, "application_id", APPLICATION)?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        // The write-ahead log is turned on only after the commit. So the commit writes `application_id` into
        // the database file, where `Store::open` reads it, and not into the log.
        connection.execute_batch("COMMIT; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
    }

    /// Calls a function for each download, in the order of the ranks. A row that this version does not
    /// understand is left out.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub fn each(&self, mut of: impl FnMut(Entry)) -> rusqlite::Result<()> {
        let mut rows = self.0.prepare("SELECT gid, state, rank, facts FROM downloads ORDER BY rank")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (gid, rank): (i64, i64) = (row.get(0)?, row.get(2)?);
            let facts = serde_json::from_str(row.get_ref(3)?.as_str()?).unwrap_or_default();
            let state = row.get_ref(1)?.as_str()?;
            Entry::from_json(Gid::new(gid.cast_unsigned()), state, rank, &facts)
                .into_iter()
                .for_each(&mut of);
        }
        Ok(())
    }

    /// Saves downloads, all or none.
    ///
    /// # Errors
    /// Returns the error of the database. In this case, nothing was changed.
    pub fn save(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let transaction = self.0.transaction()?;
        {
            let mut save =
                transaction.prepare_cached("INSERT OR REPLACE INTO downloads VALUES (?1, ?2, ?3, ?4)")?;
            for entry in entries {
                let gid = entry.gid.get().cast_signed();
                save.execute(params![gid, entry.state.name(), entry.rank, entry.to_json().to_string()])?;
            }
        }
        transaction.commit()
    }

    /// Removes downloads, all or none.
    ///
    /// # Errors
    /// Returns the error of the database. In this case, nothing was changed.
    pub fn remove(&mut self, gids: &[Gid]) -> rusqlite::Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut remove = transaction.prepare_cached("DELETE FROM downloads WHERE gid = ?1")?;
            for gid in gids {
                remove.execute([gid.get().cast_signed()])?;
            }
        }
        transaction.commit()
    }

    /// Returns the options of the daemon that clients have set.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub fn options(&self) -> rusqlite::Result<Options> {
        let text = self.meta(OPTIONS)?.unwrap_or_default();
        Ok(Options::from_json(&serde_json::from_str(&text).unwrap_or_default()))
    }

    /// Saves the options of the daemon.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub fn save_options(&self, options: &Options) -> rusqlite::Result<()> {
        self.set_meta(OPTIONS, &options.to_json().to_string())
    }

    /// Returns the identifier of this store: 40 hexadecimal digits. If there is none, calls `new` to make
    /// one.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub fn session(&self, new: impl FnOnce() -> String) -> rusqlite::Result<String> {
        if let Some(session) = self.meta(SESSION)? {
            return Ok(session);
        }
        let session = new();
        self.set_meta(SESSION, &session)?;
        Ok(session)
    }

    fn meta(&self, name: &str) -> rusqlite::Result<Option<String>> {
        self.0.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
    }

    fn set_meta(&self, name: &str, value: &str) -> rusqlite::Result<()> {
        self.0.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", [name, value]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_and_options_are_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("queue.db");
        let mut store = Store::open(&path).expect("a store");
        let entry = |number| {
            Entry::new(
                Gid::new(number),
                number.cast_signed(),
                vec!["http://h/".into()],
                Options::default(),
                1,
            )
        };
        store.save(&[entry(u64::MAX), entry(2), entry(3)]).expect("saved");
        store.remove(&[Gid::new(2)]).expect("removed");
        let mut options = Options::default();
        options.set("split", "3").expect("allowed");
        store.save_options(&options).expect("saved");
        let session = store.session(|| "abc".into()).expect("a session");
        assert_eq!(Store::open(&path).err(), Some("another daemon is using it".into()));
        drop(store);
        let store = Store::open(&path).expect("a store");
        let mut found = Vec::new();
        store.each(|entry| found.push(entry)).expect("readable");
        assert_eq!(found, [entry(u64::MAX), entry(3)]);
        assert_eq!(store.options().expect("readable"), options);
        assert_eq!(store.session(|| "def".into()).expect("a session"), session);
    }

    #[test]
    #[cfg(unix)]
    fn a_device_keeps_its_permissions() {
        let permissions =
            || std::os::unix::fs::MetadataExt::mode(&std::fs::metadata("/dev/null").expect("a device"));
        let before = permissions();
        assert_eq!(Store::open(Path::new("/dev/null")).err(), Some("it is not a regular file".into()));
        assert_eq!(permissions(), before);
    }

    #[test]
    #[cfg(all(unix, not(target_vendor = "apple")))]
    fn a_pipe_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        let (to, opened) = std::sync::mpsc::channel();
        std::thread::spawn(move || to.send(Store::open(&path).err()));
        let opened = opened.recv_timeout(std::time::Duration::from_secs(20)).expect("it does not wait");
        assert_eq!(opened, Some("it is not a regular file".into()));
    }

    #[test]
    fn a_file_of_another_program_is_not_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("other");
        std::fs::write(&path, [b'x'; 4096]).expect("written");
        assert!(Store::open(&path).is_err());
        assert_eq!(std::fs::read(&path).expect("readable"), [b'x'; 4096]);
        // A database of another program has a different number, or none.
        let path = folder.path().join("database");
        let other = Connection::open(&path).expect("a database");
        other.execute_batch("CREATE TABLE own (a); INSERT INTO own VALUES (1);").expect("written");
        drop(other);
        let before = std::fs::read(&path).expect("readable");
        assert_eq!(Store::open(&path).err().as_deref(), Some(OTHER));
        assert_eq!(std::fs::read(&path).expect("readable"), before);
    }
}
