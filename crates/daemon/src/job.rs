//! Makes the job of the library from a download of the daemon.
//!
//! Invariant: the file is saved below the allowed folders, and no option makes the library less strict
//! than it is for a user at a terminal.

use crate::entry::Entry;
use crate::fault::Fault;
use crate::folders::Folders;
use crate::gid::Gid;
use crate::network;
use crate::options::Options;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use downhaul_engine::core::job::{Headers, NamedBy};
use downhaul_engine::{Destination, Digest, IfExists, Job, SafeName, Settings};
use std::path::{Path, PathBuf};

/// Options that the daemon refuses because it does not support them. With the first two, aria2 downloads
/// nothing. With the last one, a URL may be a pattern that stands for several URLs.
const NOT_HERE: [&str; 3] = ["dry-run", "hash-check-only", "parameterized-uri"];

/// The options that limit the number of connections of a download. The lower limit applies.
const LIMITS: [&str; 2] = ["split", "max-connection-per-server"];

/// Returns the job of a download. `options` are all options of the download, including those with which the
/// daemon was started.
///
/// # Errors
/// Returns a fault that says what cannot be used: a URL, an option, a folder or a fact.
pub fn of(entry: &Entry, options: &Options, folders: &Folders) -> Result<Job, Fault> {
    let (first, mirrors) = entry.uris.split_first().ok_or_else(|| Fault::refused("URI is not provided."))?;
    let mut job = Job::given(first)?;
    for mirror in mirrors {
        job.add_mirror(mirror)?;
    }
    if let Some(name) = NOT_HERE.into_iter().find(|name| options.is_true(name)) {
        return Err(of_option(name, "downhaul does not support it for a download in a queue"));
    }
    network::settings(&Settings::default(), options)?;
    let folder = folder(entry, options, folders)?;
    if let Some(parent) = entry.path.as_ref().and_then(|path| path.parent()) {
        folders.allow(parent)?;
    }
    job = match (&entry.path, options.get("out")) {
        // An earlier job of this download chose the name. The partial file of this name is continued.
        (Some(path), _) => job.to_path(path),
        (None, Some(out)) if folders.are_all() => {
            // As in aria2, a name that begins with a slash is below the folder too.
            job.to_path(out.trim_start_matches('/'))
        }
        (None, Some(out)) => job.with_destination(Destination::Name(name(out)?)),
        (None, None) => job,
    };
    job = job.with_output(folder).with_if_exists(if_exists(options));
    job.connections = connections(options);
    job.limit_rate = limit(options);
    if let Some(facts) = &entry.facts {
        job = facts.apply(job)?;
    }
    if entry.path.is_some() && !matches!(job.if_exists, Some(IfExists::Overwrite | IfExists::Update)) {
        // An existing file of this name may be the file of this download. So it is checked, even if the
        // options say that the new file gets a number, or the list says that existing files are kept. If the
        // options or the list say that an existing file is replaced, an older file may still exist, which the
        // earlier job has not replaced yet.
        job = job.with_if_exists(IfExists::Check);
    }
    if let Some(checksum) = options.get("checksum") {
        let digest = Digest::from_pair(checksum).map_err(|why| of_option("checksum", &why))?;
        job.expect(digest, "the client").map_err(|why| of_option("checksum", &why))?;
    }
    let is_strange = |uri: &&String| entry.is_strange(uri);
    if entry.uris.iter().any(|uri| is_strange(&uri)) {
        job.named_by = NamedBy::Document;
        let own = entry.uris.iter().zip(&job.urls).filter(|(uri, _)| !is_strange(uri));
        job.given_origins = own.map(|(_, url)| url.origin().ascii_serialization()).collect();
    }
    with_headers(job, options)
}

/// Checks the options of the daemon, as far as that is possible without a real download: makes the job of an
/// example download, and discards the job.
///
/// # Errors
/// Returns a fault that says what cannot be used.
pub fn check(options: &Options, folders: &Folders) -> Result<(), Fault> {
    let any = Entry::new(Gid::new(1), 0, vec!["http://localhost/".into()], Options::default(), 0);
    of(&any, options, folders).map(drop)
}

/// Returns the limit of a download in bytes a second, or `None` if there is no limit.
pub fn limit(options: &Options) -> Option<u64> {
    Some(options.number("max-download-limit")).filter(|rate| *rate > 0)
}

/// Returns the folder of a download, if it is allowed. The list or the option `out` may name folders below
/// it. They are checked too, because one of them may be a link that leads out of the allowed folders.
fn folder(entry: &Entry, options: &Options, folders: &Folders) -> Result<PathBuf, Fault> {
    let folder = folders.allow(options.value("dir"))?;
    if let Some(below) = entry.facts.as_ref().and_then(|facts| facts.folder()) {
        folders.allow(folder.join(below))?;
    }
    if let Some(out) = options.get("out").filter(|_| !folders.are_all()) {
        let path = folder.join(name(out)?.as_str());
        folders.allow(path.parent().unwrap_or(&folder))?;
    }
    Ok(folder)
}

fn name(out: &str) -> Result<SafeName, Fault> {
    if out == "-" {
        return Err(of_option("out", "a daemon has no standard output"));
    }
    if Path::new(out).is_absolute() {
        let why = "the name is an absolute path. Give a name below the folder of the download, such as a.iso or \
            sub/a.iso. Choose the folder with -d (option dir).";
        return Err(of_option("out", why));
    }
    SafeName::from_person(out).map_err(|why| of_option("out", why))
}

fn of_option(name: &str, why: &str) -> Fault {
    Fault::refused(format!("We encountered a problem while processing the option '--{name}': {why}"))
}

/// Returns what happens to an existing file of the same name. Without options, a new file gets a number,
/// as in aria2. Only `allow-overwrite` allows that an existing file is replaced.
fn if_exists(options: &Options) -> IfExists {
    // With these options, a file that is the same as the server's file is kept.
    let keeps_same = options.is_true("continue") || options.is_true("conditional-get");
    if options.is_true("allow-overwrite") && keeps_same {
        IfExists::Update
    } else if options.is_true("allow-overwrite") {
        IfExists::Overwrite
    } else if keeps_same {
        IfExists::Check
    } else if options.is_true("auto-file-renaming") {
        IfExists::Rename
    } else {
        IfExists::Error
    }
}

/// Returns the highest number of connections of a download, if an option sets it. Otherwise returns `None`,
/// and the number in the settings of the daemon applies.
fn connections(options: &Options) -> Option<usize> {
    LIMITS.iter().any(|name| options.get(name).is_some()).then(|| most_connections(options))
}

/// Returns the highest number of connections that these options or their defaults allow.
pub fn most_connections(options: &Options) -> usize {
    let most = LIMITS.iter().map(|name| options.number(name)).min().unwrap_or_default();
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Adds the headers that the client has set, including its login. They are not sent to servers that only a
/// document names.
fn with_headers(mut job: Job, options: &Options) -> Result<Job, Fault> {
    let lines = options.get("header").unwrap_or_default().lines().filter(|line| !line.trim().is_empty());
    for line in lines {
        let (name, value) = Headers::read(line).map_err(|why| of_option("header", &why))?;
        job.user_headers.add(name, value);
    }
    for (option, name) in [("referer", "Referer"), ("user-agent", "User-Agent")] {
        let Some(value) = options.get(option).filter(|_| !job.user_headers.has(name)) else { continue };
        let value = match option {
            // With `*`, aria2 sends the URL of the file itself.
            "referer" if value == "*" => Headers::referer(job.urls[0].as_str()),
            "referer" => Headers::referer(value),
            _ => Ok(value.to_string()),
        };
        let checked = value.and_then(|value| Headers::check(name, &value));
        let (name, value) = checked.map_err(|why| of_option(option, &why))?;
        job.user_headers.add(name, value);
    }
    match options.get("http-user").filter(|_| !job.user_headers.has("Authorization")) {
        Some(user) => {
            let login = format!("{user}:{}", options.get("http-passwd").unwrap_or_default());
            job.user_headers.add("Authorization", format!("Basic {}", BASE64_STANDARD.encode(login)));
            Ok(job)
        }
        None => Ok(job),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_engine::core::secret::Secret;

    fn job(options: &[(&str, &str)]) -> Result<Job, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let folders = Folders::new(&[folder.path().into()]).expect("folders");
        let mut set = Options::default();
        options.iter().try_for_each(|(name, value)| set.set(name, value)).map_err(|fault| fault.message)?;
        let uris = vec!["http://h/a".into(), "http://g/a".into()];
        let entry = Entry::new(Gid::new(1), 0, uris, Options::default(), 0);
        of(&entry, &set, &folders).map_err(|fault| fault.message)
    }

    #[test]
    fn options_of_aria2_become_options_of_the_job() {
        let job = job(&[
            ("out", "b/c.bin"),
            ("header", "X-A: 1\nX-B: 2"),
            ("referer", "*"),
            ("http-user", "me"),
            ("http-passwd", "hush"),
            ("max-download-limit", "1M"),
            ("split", "4"),
            ("checksum", "sha-1=da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ]);
        let job = job.expect("a job");
        assert_eq!((job.urls.len(), job.connections, job.limit_rate), (2, Some(4), Some(1 << 20)));
        assert_eq!((job.if_exists, job.expected.len()), (Some(IfExists::Rename), 1));
        assert_eq!(job.destination.given_name().as_deref(), Some("b/c.bin"));
        let names: Vec<_> = job.user_headers.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["X-A", "X-B", "Referer", "Authorization"]);
    }

    #[test]
    fn a_login_adds_no_second_authorization() {
        let options = [("http-user", "me"), ("http-passwd", "hush"), ("header", "authorization: Bearer x")];
        let job = job(&options).expect("a job");
        assert_eq!(job.user_headers.0.len(), 1);
        assert_eq!(job.user_headers.0[0].1, Secret::new("Bearer x"));
    }

    #[test]
    fn options_that_are_set_limit_the_number_of_connections() {
        let of = |options: &[(&str, &str)]| job(options).expect("a job").connections;
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("split", "16"), ("max-connection-per-server", "16")]), Some(16));
        assert_eq!(of(&[("split", "64")]), Some(16));
        assert_eq!(of(&[("split", "5"), ("max-connection-per-server", "1")]), Some(1));
    }

    #[test]
    fn names_and_folders_that_lead_out_are_refused() {
        for wrong in [
            ("out", "../x"),
            ("out", "/etc/x"),
            ("out", "-"),
            ("dir", "/etc"),
            ("dir", ".."),
            ("header", "no colon"),
            ("dry-run", "true"),
        ] {
            assert!(job(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn options_decide_what_happens_to_an_existing_file() {
        let of = |options: &[(&str, &str)]| job(options).expect("a job").if_exists;
        assert_eq!(of(&[("auto-file-renaming", "false")]), Some(IfExists::Error));
        assert_eq!(of(&[("allow-overwrite", "true")]), Some(IfExists::Overwrite));
        assert_eq!(of(&[("continue", "true")]), Some(IfExists::Check));
        // As in aria2, only `allow-overwrite` allows that an existing file is replaced.
        let (conditional, overwrite) = (("conditional-get", "true"), ("allow-overwrite", "true"));
        assert_eq!(of(&[conditional]), Some(IfExists::Check));
        assert_eq!(of(&[conditional, ("continue", "true")]), Some(IfExists::Check));
        assert_eq!(of(&[conditional, overwrite]), Some(IfExists::Update));
    }
}
