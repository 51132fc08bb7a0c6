//! Reads the keys of a JSON line that are options of the job in this line.
//!
//! Invariant: each such key is applied to the job, or causes an error or a note, unless its value is `null`.
//! Such a key is never copied to events.

use super::{bad, bare, folder};
use crate::error::Error;
use crate::host_rules::HostPattern;
use crate::job::{Destination, IfExists, Job, NamedBy};
use crate::rate;
use serde_json::{Map, Value};
use std::net::Ipv6Addr;

/// The highest number of connections for one file. `--connections` has the same limit.
pub(super) const CONNECTIONS_MOST: u64 = 256;

/// The keys, each in the form that [`bare`] returns.
const NAMES: [&str; 7] =
    ["dir", "connections", "limitrate", "ratelimit", "ifexists", "priority", "credentials"];

/// Returns true if a key is an option of a job.
pub fn is_option(key: &str) -> bool {
    NAMES.contains(&bare(key).as_str())
}

/// Removes the keys that are options of a job, and returns them, with their values, in an object of their
/// own.
pub(super) fn split(keys: &mut Map<String, Value>) -> Map<String, Value> {
    let names: Vec<String> = keys.keys().filter(|key| is_option(key)).cloned().collect();
    names.into_iter().filter_map(|name| keys.remove_entry(&name)).collect()
}

/// Sets the options of a job. The destination of the job must have been set before, because the option `dir`
/// changes it.
pub(super) fn apply(options: Map<String, Value>, job: &mut Job) -> Result<(), Error> {
    for (key, value) in options {
        if value.is_null() {
            continue;
        }
        let wrong = |why: &str| bad(format!("`{key}`: {why}"));
        let text = match &value {
            Value::String(text) => text.trim().to_string(),
            Value::Number(number) => number.to_string(),
            _ => return Err(wrong("it must be a string or a number")),
        };
        match bare(&key).as_str() {
            "dir" => set_folder(job, &text)?,
            "connections" => {
                let number = text.parse().ok().filter(|number| (1..=CONNECTIONS_MOST).contains(number));
                let number = number.ok_or_else(|| wrong("it must be a number from 1 to 256"))?;
                job.connections = usize::try_from(number).ok();
            }
            "limitrate" | "ratelimit" => {
                let rate = rate::read(&text).map_err(|why| wrong(&why))?;
                job.limit_rate = Some(rate).filter(|rate| *rate > 0);
            }
            "ifexists" => {
                let what = IfExists::from_name(&text);
                let needs = || wrong("it must be check, skip, overwrite, rename, update or error");
                job.if_exists = Some(what.ok_or_else(needs)?);
            }
            "priority" => job.priority = text.parse().map_err(|_| wrong("it must be a whole number"))?,
            _ => {
                // The name is shown in messages, and `--failed` writes it into its list. So any text that
                // cannot be a name is refused without being shown, because it may be a login. In the netrc
                // file, an IPv6 address may be without brackets.
                let is_name = HostPattern::read(&text).is_ok() || text.parse::<Ipv6Addr>().is_ok();
                if !is_name {
                    return Err(wrong("it must be the name of a host, and not a login"));
                }
                job.login_of = Some(text);
            }
        }
    }
    Ok(())
}

/// Puts the file of a job into the folder that `text` names, below the output folder. If `text` names no
/// folder, nothing changes.
pub(super) fn set_folder(job: &mut Job, text: &str) -> Result<(), Error> {
    let Some(folder) = folder(text)? else { return Ok(()) };
    match &mut job.destination {
        Destination::Name(name) => *name = name.below(&[folder]),
        _ => job.folder = Some(folder),
    }
    Ok(())
}

/// Marks a job as coming from a list that someone else may have written. Such a list cannot decide that
/// existing files are replaced, or are kept without a check, so `if_exists` is removed. The list cannot
/// choose a login of the user (a user name and a password) either.
///
/// # Errors
/// Returns `list.line` if the list chooses a login.
pub fn mark_as_of_a_document(job: &mut Job) -> Result<(), Error> {
    job.named_by = NamedBy::Document;
    if job.login_of.is_some() {
        return Err(bad("`credentials`: only a list on your disk or on standard input can choose a login"));
    }
    if job.if_exists.take().is_some() {
        job.notes.push("`if_exists` is ignored, since someone else may have written the list".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::line;

    fn job(keys: &str) -> Result<Job, String> {
        let job = line(format!(r#"{{"url":"http://h/a",{keys}}}"#).as_bytes()).map_err(|e| e.to_string())?;
        Ok(job.expect("a job"))
    }

    #[test]
    fn options_are_set_and_not_copied() {
        let keys = r#""connections":4,"limit_rate":"2M","if-exists":"skip","priority":"-3","credentials":"h.example","dir":"/a/b/","x":1"#;
        let job = job(keys).expect("a job");
        assert_eq!((job.connections, job.limit_rate, job.priority), (Some(4), Some(2 << 20), -3));
        assert_eq!((job.if_exists, job.login_of.as_deref()), (Some(IfExists::Skip), Some("h.example")));
        assert_eq!(job.folder.as_ref().map(ToString::to_string).as_deref(), Some("a/b"));
        assert_eq!(job.extra.len(), 1);
        let with_name = self::job(r#""dir":"./a","out":"b/c","connections":null"#).expect("a job");
        let Destination::Name(name) = &with_name.destination else { panic!("{with_name:?}") };
        assert_eq!((name.as_str(), with_name.folder, with_name.connections), ("a/b/c", None, None));
        assert_eq!(self::job(r#""dir":"./""#).expect("a job").folder, None);
    }

    #[test]
    fn an_option_that_cannot_be_used_is_an_error() {
        for keys in [
            r#""connections":0"#,
            r#""connections":"many""#,
            r#""connections":[1]"#,
            r#""limit_rate":"fast""#,
            r#""if_exists":"replace""#,
            r#""priority":"high""#,
            r#""credentials":"me:hush@h""#,
            r#""credentials":"http://me:hush@h""#,
            r#""credentials":"https://h/hush""#,
            r#""credentials":"https:/me:hush@h""#,
            r#""credentials":"me:hush""#,
            r#""credentials":"""#,
            r#""dir":"../x""#,
        ] {
            let why = job(keys).expect_err(keys);
            assert!(!why.contains("hush"), "{why}");
        }
    }

    #[test]
    fn each_name_of_a_section_or_a_machine_names_a_login() {
        for name in ["h", "h:8443", "*.example.org", "http://h:8080", "httpd", "10.0.0.1", "[::1]", "::1"] {
            let job = job(&format!(r#""credentials":"{name}""#)).expect(name);
            assert_eq!(job.login_of.as_deref(), Some(name));
        }
    }

    #[test]
    fn a_list_of_someone_else_decides_less() {
        let mut theirs = job(r#""if_exists":"overwrite","priority":1"#).expect("a job");
        mark_as_of_a_document(&mut theirs).expect("no login");
        assert_eq!((theirs.if_exists, theirs.priority, theirs.notes.len()), (None, 1, 1));
        let mut with_login = job(r#""credentials":"h""#).expect("a job");
        assert!(mark_as_of_a_document(&mut with_login).is_err());
        let stated = job(r#""if_exists":"overwrite","named_by":"document""#).expect("a job");
        assert_eq!(stated.if_exists, None);
    }
}
