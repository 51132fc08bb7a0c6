//! Reads input files of aria2. For each file to download, an input file has a line with the URLs of the file.
//! Indented lines with the options for this download follow, such as ` out=NAME`.
//!
//! Most options for which a [`Job`] has a field are used. An option that chooses a proxy is an error, since
//! only the settings choose a proxy. All other options are ignored, and so is a password without a user name.
//! A note names each ignored option once.
//!
//! Invariant: no job silently loses an option that downhaul can use, such as its checksum. If a line that may
//! have an option of a job cannot be read, an error takes the place of this job.

use super::addresses::Addresses;
use super::text::Lines;
use super::{AtLine, bad, line_with, option_keys, unread};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::job::{Destination, Headers, Job};
use crate::name::SafeName;
use crate::secret::Secret;
use std::collections::BTreeSet;
use std::io::Read;

/// Returns true if a text begins like an input file of aria2: its first line that is neither blank nor a
/// comment is not indented, and a later line is indented and has an option.
pub fn begins(beginning: &str) -> bool {
    let mut lines = beginning.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let is_first_plain = lines.next().is_some_and(|first| !first.starts_with([' ', '\t']));
    is_first_plain && lines.any(|line| option(line).is_some())
}

/// Returns the name and the value of the option in an indented line.
fn option(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix([' ', '\t'])?.trim_start().split_once('=')?;
    let is_name =
        name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) && !name.is_empty();
    is_name.then_some((name, value.trim()))
}

/// The jobs of an input file, each with the number of the line of its URLs.
pub struct Entries<R> {
    lines: Lines<R>,
    addresses: Addresses,
    /// The number of the line that was read last.
    number: u64,
    /// The job whose options are being read.
    current: Option<Entry>,
    /// The options that the notes of earlier jobs have named.
    noted: BTreeSet<String>,
}

/// A job, and the options of the job that were read already.
struct Entry {
    line: u64,
    job: Result<Box<Job>, Error>,
    folder: Option<String>,
    name: Option<String>,
    /// The user name and the password for the server.
    login: (Option<String>, Option<Secret>),
    /// The options that are ignored.
    unused: Vec<String>,
}

impl<R: Read> Entries<R> {
    /// Reads an input file.
    pub fn new(text: R, addresses: Addresses) -> Entries<R> {
        Entries { lines: Lines::new(text), addresses, number: 0, current: None, noted: BTreeSet::new() }
    }

    /// Applies the option of a line to the current job.
    fn apply(&mut self, name: &str, value: &str) {
        let Some(entry) = &mut self.current else { return };
        let Ok(job) = &mut entry.job else { return };
        let applied = match name {
            "dir" | "out" => {
                let place = if name == "dir" { &mut entry.folder } else { &mut entry.name };
                *place = Some(value.into());
                Ok(())
            }
            "checksum" => {
                Digest::from_pair(value).and_then(|digest| job.expect(digest, "the list")).map_err(bad)
            }
            "header" => Headers::read(value).map(|(name, value)| job.headers.add(name, value)).map_err(bad),
            "referer" => {
                // If the value is `*`, aria2 sends the URL of the file itself.
                let url = if value == "*" { job.urls[0].as_str() } else { value };
                add_header(job, "Referer", Headers::referer(url))
            }
            "http-user" => {
                entry.login.0 = Some(value.into());
                Ok(())
            }
            "http-passwd" => {
                entry.login.1 = Some(Secret::new(value));
                Ok(())
            }
            "user-agent" => add_header(job, "User-Agent", Ok(value.into())),
            // For one server, aria2 opens at most as many connections as the smaller of these two numbers.
            "split" | "max-connection-per-server" => number(value).map(|most| {
                let most = usize::try_from(most.clamp(1, option_keys::CONNECTIONS_MOST)).unwrap_or(1);
                job.connections = Some(job.connections.map_or(most, |other| other.min(most)));
            }),
            "max-download-limit" => {
                number(value).map(|rate| job.limit_rate = Some(rate).filter(|rate| *rate > 0))
            }
            // If this option were ignored, the file would be requested without the proxy.
            "all-proxy" | "http-proxy" | "https-proxy" if !value.is_empty() => {
                Err(bad("a list cannot choose a proxy. Use --proxy"))
            }
            // All other options are ignored. An example is `allow-overwrite`: a list that someone else may
            // have written cannot decide that files are replaced.
            _ => {
                entry.unused.push(name.into());
                Ok(())
            }
        };
        if let Err(mut error) = applied {
            error.detail = format!("`{name}` in line {}: {}", self.number, error.detail);
            entry.job = Err(error);
        }
    }

    /// Reads a line. If the line begins a job, returns the job before this job, if there is one.
    fn read(&mut self, bytes: &[u8]) -> Option<AtLine> {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        if let Some((name, value)) = option(text).filter(|_| self.current.is_some()) {
            self.apply(name, value);
            return None;
        }
        let job = line_with(bytes, &self.addresses).transpose()?;
        self.begin(job, bytes.starts_with(b" ") || bytes.starts_with(b"\t"))
    }

    /// Begins a job, and returns the job before it, if there is one. `job` is an error if the line cannot be
    /// read. If such a line may have an option (`may_be_option`) of a current job, no new job begins, and the
    /// current job becomes an error.
    fn begin(&mut self, job: Result<Box<Job>, Error>, may_be_option: bool) -> Option<AtLine> {
        match (job, &mut self.current) {
            (Err(error), Some(entry)) if may_be_option => {
                // An error that ends the list replaces an earlier error of the job, because all later jobs of
                // the list are lost too.
                if entry.job.is_ok() || error.kind == ErrorKind::ListUnreadable {
                    let detail = format!("in line {}: {}", self.number, error.detail);
                    entry.job = Err(Error { detail, ..error });
                }
                None
            }
            (job, _) => {
                let before = self.current.replace(Entry::new(self.number, job));
                before.map(|before| self.end(before))
            }
        }
    }

    /// Returns the job of an entry with its name and its notes. The notes name the ignored options that no
    /// earlier note has named.
    fn end(&mut self, mut entry: Entry) -> AtLine {
        let mut unused = std::mem::take(&mut entry.unused);
        if let (None, Some(_)) = &entry.login {
            unused.push("http-passwd".into());
        }
        let (line, mut job) = entry.end();
        if let Ok(job) = &mut job {
            for name in unused {
                let note = format!("the option `{name}` of aria2 in the list is ignored");
                if self.noted.insert(name) {
                    job.notes.push(note);
                }
            }
        }
        (line, job)
    }
}

impl Entry {
    fn new(line: u64, job: Result<Box<Job>, Error>) -> Entry {
        Entry { line, job, folder: None, name: None, login: (None, None), unused: Vec::new() }
    }

    /// Returns the job with its name, its folder and its login, and the number of its line.
    fn end(self) -> AtLine {
        let Entry { line, job, folder, name, login, .. } = self;
        let job = job.and_then(|mut job| {
            if let Some(name) = name {
                let safe = SafeName::from_person(&name);
                let safe = safe.map_err(|why| Error::new(ErrorKind::NameUnsafe, &name, why))?;
                job.destination = Destination::Name(safe);
            }
            if let Some(folder) = folder {
                option_keys::set_folder(&mut job, &folder)?;
            }
            if let (Some(user), password) = login {
                let password = password.as_ref().map_or("", |password| password.expose());
                *job = job.with_credentials(&user, password);
            }
            Ok(job)
        });
        (line, job)
    }
}

impl<R: Read> Iterator for Entries<R> {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        loop {
            let Some(bytes) = self.lines.next() else {
                let last = self.current.take()?;
                return Some(self.end(last));
            };
            self.number += 1;
            let before = match bytes {
                Ok(bytes) => self.read(&bytes),
                // A line that is too long may have an option, and so may the rest of a list that cannot be
                // read further.
                Err(e) => self.begin(Err(unread(e)), true),
            };
            if before.is_some() {
                return before;
            }
        }
    }
}

fn add_header(job: &mut Job, name: &str, value: Result<String, String>) -> Result<(), Error> {
    let (name, value) = value.and_then(|value| Headers::check(name, &value)).map_err(bad)?;
    job.headers.add(name, value);
    Ok(())
}

/// Reads a number, which `K` (1024) or `M` (1024²) may follow, as in aria2.
fn number(text: &str) -> Result<u64, Error> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number.ok_or_else(|| bad("it must be a number, which K or M may follow"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::text::{Cut, LONGEST_LINE};
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(u64, Result<Job, String>)> {
        Entries::new(text.as_bytes(), Addresses::default())
            .map(|(line, job)| (line, job.map(|job| *job).map_err(|e| e.to_string())))
            .collect()
    }

    #[test]
    fn the_options_of_a_file_are_used() {
        let text = [
            "# by a script",
            "http://h/a.deb\thttps://m/a.deb",
            "  out=a_1.deb",
            "  dir=/var/cache/x/",
            "  checksum=sha-256=SHA256",
            "",
            "  header=X-A: 1",
            "\theader=X-B: 2",
            "  referer=http://h/",
            "  user-agent=me",
            "  http-user=ann",
            "  http-passwd=hush",
            "  split=8",
            "  max-connection-per-server=4",
            "  max-download-limit=2M",
            "  allow-overwrite=true",
            "  gid=0",
            "http://h/b?x",
            "  dir=d",
            "http://h/c",
            "  gid=1",
        ];
        let text = text.join("\n").replace("SHA256", &"ab".repeat(32));
        assert!(begins(&text));
        let all = read(&text);
        assert_eq!(all.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 18, 20]);
        let jobs: Vec<&Job> = all.iter().map(|(_, job)| job.as_ref().expect("a job")).collect();
        let name = |job: &Job| match &job.destination {
            Destination::Name(name) => name.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!((name(jobs[0]), name(jobs[1])), ("var/cache/x/a_1.deb".into(), "Server".into()));
        assert_eq!(jobs[1].folder.as_ref().map(SafeName::as_str), Some("d"));
        assert_eq!((jobs[0].urls.len(), jobs[0].expected.len(), jobs[0].connections), (2, 1, Some(4)));
        assert_eq!((jobs[0].limit_rate, jobs[0].if_exists), (Some(2 << 20), None));
        let headers: Vec<&str> = jobs[0].headers.iter().map(|(name, _)| name).collect();
        assert_eq!(headers, ["X-A", "X-B", "Referer", "User-Agent", "Authorization"]);
        assert!(!format!("{:?}", jobs[0]).contains("hush"));
        assert_eq!((jobs[0].notes.len(), jobs[2].notes.len()), (2, 0), "the note about gid comes once");
        assert_eq!(jobs[2].destination, Destination::Server);
    }

    #[test]
    fn mistakes_are_errors_of_their_file_alone() {
        let text = "http://h/a\n  checksum=md5=zz\n  out=a\nftp://h/b\n  out=b\nhttp://h/c\n  out=../c\nhttp://h/d\n  split=many\nhttp://h/f\n  all-proxy=p:1\nhttp://h/e\n";
        let says = ["`checksum` in line 2", "ftp", "lead out", "`split` in line 9", "Use --proxy", ""];
        let all = read(text);
        assert_eq!(all.len(), says.len());
        for ((_, job), says) in all.iter().zip(says) {
            match job {
                Ok(_) => assert_eq!(says, ""),
                Err(error) => assert!(!says.is_empty() && error.contains(says), "{says}: {error}"),
            }
        }
    }

    /// If there were no error, the file would be downloaded without the digest that the list has for it.
    #[test]
    fn a_job_one_of_whose_options_cannot_be_read_is_an_error() {
        let checksum = format!("\n  checksum=sha-256={}\nhttp://h/b\n  out=b\n", "ab".repeat(32));
        let long = format!("  header=X: {}", "x".repeat(LONGEST_LINE));
        for (option, says) in [
            (&b"  out=M\xfcller"[..], "line 2: it is not UTF-8"),
            (b"\tOut=x", "line 2: "),
            (b"  checksum sha-256=ab", "line 2: "),
            (long.as_bytes(), "line 2: the line is longer than 1 MiB"),
        ] {
            let text = [&b"http://h/a\n"[..], option, checksum.as_bytes()].concat();
            let all: Vec<AtLine> = Entries::new(&text[..], Addresses::default()).collect();
            let [(1, Err(error)), (4, Ok(second))] = &all[..] else { panic!("{all:?}") };
            assert!(error.to_string().contains(says), "{says}: {error}");
            assert_eq!((error.kind == ErrorKind::ListUnreadable, second.expected.len()), (false, 0));
        }
        // A comment may have any encoding.
        let text = [&b"http://h/a\n# M\xfcller"[..], checksum.as_bytes()].concat();
        let all: Vec<AtLine> = Entries::new(&text[..], Addresses::default()).collect();
        let [(1, Ok(first)), (4, Ok(_))] = &all[..] else { panic!("{all:?}") };
        assert_eq!(first.expected.len(), 1);
    }

    #[test]
    fn the_last_job_of_a_list_that_is_cut_off_is_unreadable() {
        for text in ["http://h/a\n  out=a\n", "http://h/a\n  split=many\n"] {
            let all: Vec<AtLine> = Entries::new(text.as_bytes().chain(Cut), Addresses::default()).collect();
            let [(1, Err(error))] = &all[..] else { panic!("{all:?}") };
            assert_eq!(error.kind, ErrorKind::ListUnreadable);
        }
    }

    #[test]
    fn the_first_job_that_is_no_mistake_has_the_note_about_an_option() {
        let all =
            read("http://h/a\n  gid=1\n  split=many\nhttp://h/b\n  gid=2\n  gid=3\nhttp://h/c\n  gid=4\n");
        let notes = all.iter().map(|(_, job)| job.as_ref().map_or(0, |job| job.notes.len()));
        assert_eq!(notes.collect::<Vec<_>>(), [0, 1, 0]);
    }

    #[test]
    fn other_lists_are_no_input_files() {
        for text in ["", "http://h/a\nhttp://h/b\n", "  http://h/a?x=1\n", "http://h/a\n  http://h/b?x=1\n"] {
            assert!(!begins(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "(http://h/a| out=|dir=|[ \t\n/.=a#]){0,30}") {
            prop_assert!(read(&text).len() <= text.lines().count());
        }
    }
}
