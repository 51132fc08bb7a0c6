//! Reads the cookies of Firefox from a copy of its database, because Firefox may hold a lock on the database
//! itself.
//!
//! Invariant: no file of Firefox is changed. Only the user can read the copy. The copy is deleted as soon as
//! it has been read, unless the program is killed before.

use crate::platform;
use crate::settings;
use crate::words;
use downhaul_engine::core::credentials::SecretKind;
use downhaul_engine::core::credentials::cookies::Cookie;
use downhaul_engine::core::secret::Secret;
use rusqlite::{Connection, OpenFlags, Row};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folders of Firefox below the home folder: for the usual version, for Snap, for Flatpak (two folders,
/// because new profiles have another folder since Firefox 147), and for macOS.
const FOLDERS: [&str; 5] = [
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/config/mozilla/firefox",
    "Library/Application Support/Firefox",
];

/// The beginning of the name of the folder for a copy. A random number follows.
const COPY: &str = "firefox.";

/// A copy that is older than this is not in use, because reading the cookies takes less than a second. Such a
/// copy was left by a run that was killed.
const READ_MOST: Duration = Duration::from_secs(600);

/// The largest expiry time that is read as a number of seconds, which is a time in the year 5138. A larger
/// number is read as milliseconds, which newer versions of Firefox write.
const MOST_SECONDS: i64 = 100_000_000_000;

/// Returns the cookies of a profile. `profile` is its name or its folder. `None` means the default profile.
/// Cookies of container tabs and partitioned cookies are left out.
///
/// # Errors
/// Returns why the cookies cannot be read, in words for the user.
pub(crate) fn cookies(profile: Option<&str>) -> Result<Vec<Cookie>, String> {
    let folder = profile_folder(profile)?;
    let database = folder.join("cookies.sqlite");
    let state = settings::state_folder().ok_or("there is no folder for a copy of the cookies")?;
    remove_old_copies(&state);
    let copy = state.join(format!("{COPY}{:016x}", platform::random_number()));
    let read = copy_of(&database, &copy).and_then(|copied| read(&copied).map_err(|e| e.to_string()));
    // The copy is deleted even if it could not be read.
    let _ = fs::remove_dir_all(&copy);
    read.map_err(|why| format!("the cookies in {} cannot be read: {why}", words::path(&database)))
}

/// Removes the copies of runs that were stopped while they read the cookies.
fn remove_old_copies(state: &Path) {
    for entry in fs::read_dir(state).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if entry.file_name().to_string_lossy().starts_with(COPY) && age.is_some_and(|age| age > READ_MOST) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Copies the database and its write-ahead log, which has the newest changes.
fn copy_of(database: &Path, folder: &Path) -> Result<PathBuf, String> {
    platform::make_private_folder(folder).map_err(|e| e.to_string())?;
    let copied = folder.join("cookies.sqlite");
    fs::copy(database, &copied).map_err(|e| e.to_string())?;
    let log = database.with_extension("sqlite-wal");
    if log.exists() {
        fs::copy(log, folder.join("cookies.sqlite-wal")).map_err(|e| e.to_string())?;
    }
    Ok(copied)
}

fn read(database: &Path) -> rusqlite::Result<Vec<Cookie>> {
    // The copy is opened for writing, because the changes in its write-ahead log may have to be merged into
    // the database.
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = connection.prepare(
        "SELECT host, path, isSecure, isHttpOnly, expiry, name, value FROM moz_cookies WHERE originAttributes = ''",
    )?;
    statement.query_map([], cookie)?.collect()
}

fn cookie(row: &Row) -> rusqlite::Result<Cookie> {
    let host: String = row.get(0)?;
    let expiry: i64 = row.get(4)?;
    let seconds = if expiry > MOST_SECONDS { expiry / 1000 } else { expiry };
    Ok(Cookie {
        host_only: !host.starts_with('.'),
        domain: host.trim_start_matches('.').to_ascii_lowercase(),
        path: row.get(1)?,
        secure: row.get(2)?,
        http_only: row.get(3)?,
        expires: u64::try_from(seconds).ok().filter(|end| *end > 0),
        name: row.get(5)?,
        value: Secret::new(row.get::<_, String>(6)?),
        kind: SecretKind::CookieFile,
    })
}

fn profile_folder(profile: Option<&str>) -> Result<PathBuf, String> {
    if let Some(path) = profile.map(Path::new).filter(|path| path.join("cookies.sqlite").is_file()) {
        return Ok(path.into());
    }
    let home = settings::home();
    let mut folders: Vec<PathBuf> =
        home.into_iter().flat_map(|home| FOLDERS.map(|folder| home.join(folder))).collect();
    // On Windows, the folder of Firefox is beside the folder for the configuration of downhaul. On Linux,
    // this has been so since Firefox 147 (`~/.config/mozilla/firefox`), if there is no `~/.mozilla`.
    let (mozilla, firefox) = if cfg!(windows) { ("Mozilla", "Firefox") } else { ("mozilla", "firefox") };
    if let Some(ours) = settings::config_folder() {
        folders.insert(folders.len().min(1), ours.with_file_name(mozilla).join(firefox));
    }
    for folder in folders {
        let Ok(text) = fs::read_to_string(folder.join("profiles.ini")) else { continue };
        if let Some(path) = path_of(&text, profile) {
            return Ok(folder.join(path));
        }
    }
    Err(match profile {
        Some(name) => format!("Firefox has no profile {name}"),
        None => "no profile of Firefox was found".into(),
    })
}

/// Returns the path of a profile in the text of `profiles.ini`. Without a name, this is the profile of the
/// installed browser, or else the profile that is marked as the default, or else the first profile.
fn path_of(text: &str, name: Option<&str>) -> Option<String> {
    let mut sections: Vec<Vec<(&str, &str)>> = Vec::new();
    for line in text.lines().map(str::trim) {
        match (line.strip_prefix('['), line.split_once('='), sections.last_mut()) {
            (Some(section), ..) => sections.push(vec![("section", section.trim_end_matches(']'))]),
            (None, Some(pair), Some(section)) => section.push(pair),
            _ => {}
        }
    }
    fn get<'t>(section: &[(&'t str, &'t str)], key: &str) -> Option<&'t str> {
        section.iter().find(|(one, _)| *one == key).map(|(_, value)| *value)
    }
    let is = |section: &[(&str, &str)], start: &str| {
        get(section, "section").is_some_and(|one| one.starts_with(start))
    };
    let profiles = || sections.iter().filter(|section| is(section, "Profile"));
    let path = match name {
        Some(name) => {
            profiles().find(|section| get(section, "Name") == Some(name)).and_then(|one| get(one, "Path"))
        }
        None => {
            let installed = sections.iter().filter(|section| is(section, "Install"));
            let marked = || profiles().find(|section| get(section, "Default") == Some("1"));
            installed
                .filter_map(|section| get(section, "Default"))
                .next()
                .or_else(|| marked().or_else(|| profiles().next()).and_then(|one| get(one, "Path")))
        }
    };
    path.map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_is_that_of_the_installed_browser() {
        let profiles = "[Profile1]\nName=work\nIsRelative=1\nPath=Profiles/b.work\n\n[Profile0]\nName=default\n\
                        IsRelative=1\nPath=Profiles/a.default\nDefault=1\n\n[General]\nVersion=2\n";
        let of = |text: &str, name| path_of(text, name);
        assert_eq!(of(profiles, None).as_deref(), Some("Profiles/a.default"));
        assert_eq!(of(profiles, Some("work")).as_deref(), Some("Profiles/b.work"));
        assert_eq!(of(profiles, Some("none")), None);
        let installed =
            format!("[Install4F96D1932A9F858E]\nDefault=Profiles/c.release\nLocked=1\n\n{profiles}");
        assert_eq!(of(&installed, None).as_deref(), Some("Profiles/c.release"));
        assert_eq!(of("", None), None);
        assert_eq!(of("[Profile0]\nPath=/abs/x\n", None).as_deref(), Some("/abs/x"));
    }
}
