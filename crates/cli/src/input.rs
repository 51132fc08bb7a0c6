//! From arguments and lists to jobs. All that can be known to be wrong is found here, before any request.

use crate::args::Args;
use clap::CommandFactory;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::{self, Destination, Job};
use downhaul_engine::core::list::{
    self, AtLine,
    metalink::{self, Metalink},
    text::{Lines, Text},
};
use downhaul_engine::core::name::{self, SafeName, same_file_key, side_files};
use downhaul_engine::core::show;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So much of a list file is looked at to know whether it is a Metalink document; comments may stand before its root.
const BEGINNING: u64 = 8 * 1024;

/// So many mistakes of a list are named; the rest are counted.
const MISTAKES_SHOWN: usize = 10;

/// What is said of a list without jobs.
pub(crate) const HAS_NO_URL: &str = "it has nothing but blank lines and comments";

/// Where the jobs come from.
#[derive(Debug)]
pub enum Input {
    /// The arguments.
    Jobs(Vec<Job>),
    /// A list, checked, and how many jobs it has. It is read again while the run goes on.
    List(List, u64),
    /// Standard input, as it comes.
    Stdin,
}

/// A list that can be read twice.
#[derive(Debug, Clone)]
pub enum List {
    /// A file.
    File(PathBuf),
    /// What came from a URL, which is shown like this.
    Fetched(String, Arc<[u8]>),
}

/// The list that the arguments name by its URL, if they do.
pub fn list_url(args: &Args) -> Option<&str> {
    args.files.input.as_ref()?.to_str().filter(|list| job::has_scheme(list))
}

/// What the arguments ask for. `fetched` is the list that they name by its URL.
///
/// # Errors
/// What is wrong, for the person: usage errors, each a line.
pub fn of(args: &Args, fetched: Option<List>) -> Result<Input, String> {
    if let Some(list) = &args.files.input {
        if args.options.proof.checksum.is_some() {
            return Err(
                "--checksum is for a single URL; a list has digests of its own, or --checksum-file".into()
            );
        }
        if list.as_os_str() == "-" {
            return Ok(Input::Stdin);
        }
        let list = fetched.unwrap_or_else(|| List::File(list.clone()));
        return check_list(&list).map(|count| Input::List(list, count));
    }
    let jobs = match args.urls.as_slice() {
        [] => return Err("nothing to download: give a URL, or a list with -i".into()),
        [urls, names] if !holds_url(names) => zip(urls, names)?,
        all => {
            let mut jobs = Vec::new();
            for argument in all {
                for url in split_urls(argument)? {
                    jobs.push(job_for(url)?);
                }
            }
            jobs
        }
    };
    let mut jobs = jobs;
    if let Some(path) = &args.files.save_as {
        match jobs.as_mut_slice() {
            [job] if matches!(job.destination, Destination::Server) => {
                job.destination = save_as(path, &args.files.output)?
            }
            [_] => return Err("-o names the file, and FILENAMES does too: use one of them".into()),
            more => return Err(format!("-o is for a single URL, and there are {}", more.len())),
        }
    }
    if let Some(digest) = &args.options.proof.checksum {
        match jobs.as_mut_slice() {
            [job] => job.expect(digest.clone(), "--checksum")?,
            more => return Err(format!("--checksum is for a single URL, and there are {}", more.len())),
        }
    }
    let mut seen = Names::default();
    for (index, job) in jobs.iter().enumerate() {
        seen.add(job, index as u64 + 1).map_err(|Clash { name, first, what }| {
            format!("files {first} and {} would {what}: {name}", index + 1)
        })?;
    }
    Ok(Input::Jobs(jobs))
}

impl List {
    /// Its jobs, each with its line: of a Metalink document, by its name or its root, or of lines.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn jobs(&self) -> io::Result<Jobs> {
        let (text, path): (Box<dyn Read>, &Path) = match self {
            List::File(path) => (Box::new(File::open(path)?), path),
            // The name in a URL says nothing; a document says by itself that it is one.
            List::Fetched(_, text) => (Box::new(Cursor::new(text.clone())), Path::new("")),
        };
        let mut text = Text::new(text);
        let mut beginning = Vec::new();
        text.by_ref().take(BEGINNING).read_to_end(&mut beginning)?;
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let is_metalink = ending == "meta4" || ending == "metalink" || metalink::begins(&beginning);
        let whole = Cursor::new(beginning).chain(text);
        if !is_metalink {
            return Ok(Jobs { of_a_document: false, all: Box::new(read_list(whole)) });
        }
        let mut document = Vec::new();
        whole.take(metalink::LONGEST as u64 + 1).read_to_end(&mut document)?;
        Ok(Jobs { of_a_document: true, all: Box::new(read_document(document)) })
    }
}

/// The jobs of a list, each with its line.
pub struct Jobs {
    /// It is a Metalink document: another's work, of which a file that is wrong fails by itself.
    of_a_document: bool,
    all: Box<dyn Iterator<Item = AtLine>>,
}

impl Iterator for Jobs {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        self.all.next()
    }
}

/// Reads the files of a Metalink document. Of two with the same name, the later one is an error.
fn read_document(document: Vec<u8>) -> impl Iterator<Item = AtLine> {
    let mut seen = Names::default();
    Metalink::new(document).map(move |(line, job)| {
        let job = job.and_then(|job| match seen.add(&job, line) {
            Ok(()) => Ok(job),
            Err(Clash { name, first, what }) => {
                let why = match what {
                    SAME => format!("the file of line {first} has it too"),
                    _ => format!("it and the file of line {first} would {what}"),
                };
                Err(Error::new(ErrorKind::NameTaken, name, why))
            }
        });
        (line, job.map_err(|error| at_line(line, error)))
    })
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            List::File(path) => path.display().fmt(f),
            List::Fetched(url, _) => f.write_str(url),
        }
    }
}

/// Reads the jobs of a list, a line at a time. Bad lines come as errors; a reader that fails ends the list.
pub fn read_list(reader: impl io::Read) -> impl Iterator<Item = AtLine> {
    (1..).zip(Lines::new(reader)).filter_map(|(number, line)| {
        let unread = |e: io::Error| Error::new(ErrorKind::ListLine, "", e.to_string());
        let job = line.map_err(unread).and_then(|line| list::line(&line));
        job.map_err(|error| at_line(number, error)).transpose().map(|job| (number, job))
    })
}

fn at_line(number: u64, mut error: Error) -> Error {
    error.detail = match error.detail.as_str() {
        "" => format!("line {number}"),
        detail => format!("line {number}: {detail}"),
    };
    error
}

/// The lines of a text that can be read and are not too long; the others are left out.
pub fn lines(reader: impl io::Read) -> impl Iterator<Item = String> {
    Lines::new(reader).filter_map(|line| String::from_utf8(line.ok()?).ok())
}

/// The first pass over a list: every mistake is a usage error, with its line number. Of a Metalink document, only what is wrong
/// with it as a whole is: its files fail one by one. Says how many jobs there are.
fn check_list(list: &List) -> Result<u64, String> {
    let jobs = list.jobs().map_err(|e| format!("the list {list} cannot be read: {e}"))?;
    let of_a_document = jobs.of_a_document;
    let mut mistakes = Vec::new();
    let (mut count, mut wrong) = (0, 0);
    let mut seen = Names::default();
    for (number, job) in jobs {
        let checked = match job {
            Ok(_) if of_a_document => Ok(()),
            Err(e) if of_a_document && e.kind != ErrorKind::ListLine => Ok(()),
            // Errors quote names, and a list may be another's work.
            Err(e) => Err(show::escaped(&e.to_string()).into_owned()),
            Ok(job) => seen.add(&job, number).map_err(|Clash { name, first, what }| {
                format!("lines {first} and {number} would {what}: {name}")
            }),
        };
        count += u64::from(checked.is_ok());
        if let Err(mistake) = checked {
            wrong += 1;
            if mistakes.len() < MISTAKES_SHOWN {
                mistakes.push(mistake);
            }
        }
    }
    if wrong > mistakes.len() {
        mistakes.push(format!("... and {} more", wrong - mistakes.len()));
    }
    if !mistakes.is_empty() {
        return Err(format!("the list {list} has mistakes:\n  {}", mistakes.join("\n  ")));
    }
    match (count, of_a_document) {
        (0, true) => Err(format!("the list {list} is empty: the document has no file")),
        (0, false) => Err(format!("the list {list} is empty: {HAS_NO_URL}")),
        _ => Ok(count),
    }
}

/// What two names would do that are one.
const SAME: &str = "have the same name";

/// What two names would do of which one is a folder of the other.
const A_FILE_AND_A_FOLDER: &str = "need a file and a folder of the same name";

/// Finds targets that were asked for twice, or as a file and as a folder. Names are kept as hashes, so that long lists stay cheap: two names that
/// share all 64 bits are refused as well, which will not happen in anybody's lifetime.
#[derive(Default)]
struct Names {
    seen: HashMap<u64, u64>,
    /// The folders that names need.
    folders: HashMap<u64, u64>,
    hasher: RandomState,
}

/// A name that cannot be beside an earlier one.
struct Clash {
    name: String,
    /// Where the earlier one is.
    first: u64,
    /// The two `would ...`.
    what: &'static str,
}

impl Names {
    fn add(&mut self, job: &Job, place: u64) -> Result<(), Clash> {
        let name = match &job.destination {
            Destination::Name(name) => name.to_string(),
            Destination::Path(path) => path.to_string_lossy().into_owned(),
            Destination::Server | Destination::Stdout | Destination::Stream(_) => return Ok(()),
        };
        let clash =
            |first: &u64, what| Err(Clash { name: show::escaped(&name).into_owned(), first: *first, what });
        let path = Path::new(&name);
        let needed: Vec<u64> = path.ancestors().skip(1).map(|folder| hash(&self.hasher, folder)).collect();
        if let Some(first) = needed.iter().find_map(|folder| self.seen.get(folder)) {
            return clash(first, A_FILE_AND_A_FOLDER);
        }
        // The names that a file has while it is unfinished belong to it too.
        for path in [path].into_iter().chain(side_files(path).all()) {
            let hash = hash(&self.hasher, path);
            if let Some(first) = self.seen.get(&hash) {
                return clash(first, SAME);
            }
            if let Some(first) = self.folders.get(&hash) {
                return clash(first, A_FILE_AND_A_FOLDER);
            }
            self.seen.insert(hash, place);
        }
        for folder in needed {
            self.folders.entry(folder).or_insert(place);
        }
        Ok(())
    }
}

fn hash(hasher: &RandomState, path: &Path) -> u64 {
    hasher.hash_one(same_file_key(&path.to_string_lossy()))
}

/// `URL1,URL2` with `name1,name2`.
fn zip(urls: &str, names: &str) -> Result<Vec<Job>, String> {
    let urls = split_urls(urls)?;
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if let Some(either) = names.iter().find(|name| job::without_scheme(name).is_some()) {
        let shown = show::escaped(either);
        return Err(format!(
            "{shown} can be a URL or a name. For the URL, write https://{shown} (or http://); for a name, write ./{shown}, \
             or use -o or -d"
        ));
    }
    if urls.len() != names.len() {
        return Err(format!("{} but {}", count(urls.len(), "URL"), count(names.len(), "name")));
    }
    let pairs = urls.into_iter().zip(names).enumerate();
    pairs
        .map(|(index, (url, name))| {
            let mut job = job_for(url)?;
            let name = SafeName::from_person(name).map_err(|why| {
                format!("name {} ({}) is not usable: {why}", index + 1, show::escaped(name))
            })?;
            job.destination = Destination::Name(name);
            Ok(job)
        })
        .collect()
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The job for a URL among the arguments, which may lack its scheme.
fn job_for(text: &str) -> Result<Job, String> {
    let given = job::parse_given(text);
    if !job::has_scheme(text) {
        // Commas are legal in URLs, and separate them only before a scheme.
        if text.split(',').skip(1).any(|part| job::without_scheme(part.trim()).is_some()) {
            let shown = show::not_a_url(text);
            let shown = show::escaped(&shown);
            return Err(format!(
                "{shown} can be one URL or several: write https:// (or http://) before each"
            ));
        }
        if Path::new(text).is_file() {
            return Err(is_a_file(text, given.is_ok()));
        }
        if let Some(command) = misspelt_command(text) {
            return Err(format!(
                "{} is no URL; did you mean the command downhaul {command}?",
                show::escaped(text)
            ));
        }
    }
    // A host alone is its first page. In a list that would rather be a mistake.
    let given = given.or_else(|error| {
        let page = Some(format!("{text}/")).filter(|_| !text.contains('/'));
        page.and_then(|page| job::without_scheme(&page))
            .map(|url| (url.clone(), url.scheme() == "https"))
            .ok_or(error)
    });
    let (url, assumed_https) = given.map_err(|e| bad_url(text, &e))?;
    let job = Job::with_digests(url).map_err(|e| bad_url(text, &e))?;
    Ok(job.with_assumed_https(assumed_https))
}

fn is_a_file(text: &str, or_a_url: bool) -> String {
    let shown = show::escaped(text);
    let url = if or_a_url { format!("; for the URL, write https://{shown}") } else { String::new() };
    format!("{shown} is a file here. To download the URLs that it holds, use -i {shown}{url}")
}

fn bad_url(text: &str, error: &Error) -> String {
    let shown = show::not_a_url(text);
    let mut message = format!("{}: {}", show::escaped(&shown), error.kind.meaning());
    if !error.detail.is_empty() {
        message += &format!(": {}", error.detail);
    }
    message
}

/// The command that a word is nearly: with one letter in three changed, missing or too many.
fn misspelt_command(word: &str) -> Option<String> {
    let word = word.to_lowercase();
    let names = Args::command().get_subcommands().map(|one| one.get_name().to_string()).collect::<Vec<_>>();
    names.into_iter().find(|name| distance(&word, name) <= name.len() / 3)
}

/// How many letters must be changed, put in or left out to make one word of the other (Levenshtein's distance).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.chars().enumerate() {
            let least = (before + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
            before = std::mem::replace(&mut row[j + 1], least);
        }
    }
    row.last().copied().unwrap_or_default()
}

fn holds_url(text: &str) -> bool {
    text.split(',').any(|part| job::has_scheme(part.trim_start()))
}

/// Splits at commas that `scheme://` follows: commas are legal in URLs.
pub(crate) fn split_urls(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (comma, _) in text.match_indices(',') {
        if job::has_scheme(text[comma + 1..].trim_start()) {
            parts.push(text[start..comma].trim());
            start = comma + 1;
        }
    }
    parts.push(text[start..].trim());
    match parts.iter().position(|part| part.is_empty()) {
        Some(_) if parts.len() == 1 => Err("the list of URLs is empty".into()),
        Some(empty) => Err(format!("URL {} of the list is empty", empty + 1)),
        None => Ok(parts),
    }
}

/// What stands for standard output beside `-`.
const STDOUT: [&str; 3] = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Where a shell shows us what it opened for us.
const OPENED: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

fn save_as(path: &Path, folder: &Path) -> Result<Destination, String> {
    let text = path.to_string_lossy();
    match text.as_ref() {
        "-" => Ok(Destination::Stdout),
        stdout if STDOUT.contains(&stdout) => Ok(Destination::Stdout),
        "" => Err("-o needs a name".into()),
        _ if text.ends_with('/') || path.file_name().is_none() => {
            Err(format!("-o names a file, and {} is a folder; use -d for the folder", path.display()))
        }
        _ if path.components().any(|part| part.as_os_str().len() > name::LONGEST) => {
            Err(format!("-o is not usable: {}", name::TOO_LONG))
        }
        opened if OPENED.iter().any(|fds| opened.starts_with(fds)) => {
            Ok(Destination::Stream(path.to_path_buf()))
        }
        // What is neither is written to, and not replaced: a pipe, a device.
        _ => Ok(match folder.join(path).metadata() {
            Ok(meta) if !meta.is_file() && !meta.is_dir() => Destination::Stream(path.to_path_buf()),
            _ => Destination::Path(path.to_path_buf()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use downhaul_engine::core::list::text;

    fn jobs(args: &[&str]) -> Result<Vec<(String, String)>, String> {
        let args = Args::try_parse_from(["downhaul"].iter().chain(args)).map_err(|e| e.to_string())?;
        match of(&args, None)? {
            Input::Jobs(jobs) => Ok(jobs
                .iter()
                .map(|job| {
                    let name = match &job.destination {
                        Destination::Name(name) => name.to_string(),
                        other => format!("{other:?}"),
                    };
                    (job.urls[0].to_string(), name)
                })
                .collect()),
            other => Err(format!("{other:?}")),
        }
    }

    fn pair(url: &str, name: &str) -> (String, String) {
        (url.into(), name.into())
    }

    #[test]
    fn the_forms_of_arguments() {
        assert_eq!(
            jobs(&["http://h/a , http://h/b", "x, y z"]),
            Ok(vec![pair("http://h/a", "x"), pair("http://h/b", "y z")])
        );
        assert_eq!(
            jobs(&["http://h/a,1,http://h/b", "x,y"]),
            Ok(vec![pair("http://h/a,1", "x"), pair("http://h/b", "y")])
        );
        assert_eq!(
            jobs(&["http://h/a", "http://h/b"]),
            Ok(vec![pair("http://h/a", "Server"), pair("http://h/b", "Server")])
        );
        assert_eq!(jobs(&["http://h/a,http://h/b"]).map(|all| all.len()), Ok(2));
        // Without a scheme, and names that are no URL.
        assert_eq!(jobs(&["example.com/a"]), Ok(vec![pair("https://example.com/a", "Server")]));
        assert_eq!(jobs(&["example.com"]), Ok(vec![pair("https://example.com/", "Server")]));
        assert_eq!(jobs(&["localhost:1/a", "x"]), Ok(vec![pair("http://localhost:1/a", "x")]));
        assert_eq!(
            jobs(&["example.com/a", "http://h/b", "h.example/c"]).map(|all| all.len()),
            Ok(3),
            "three are no list of names"
        );
        for (given, name) in [
            ("file.txt", "file.txt"),
            ("sub/file.txt", "sub/file.txt"),
            ("v1.2/file", "v1.2/file"),
            ("./data.io/x", "data.io/x"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(jobs(&["http://h/a", given]), Ok(vec![pair("http://h/a", name)]), "{given}");
        }
        assert_eq!(jobs(&["http://h/a", "-o", "-"]), Ok(vec![pair("http://h/a", "Stdout")]));
    }

    #[test]
    fn mistakes_are_named() {
        for (args, says) in [
            (&["http://h/a,http://h/b", "x"][..], "2 URLs but 1 name"),
            (&["http://h/a", "x,y"], "1 URL but 2 names"),
            (&["http://h/a,http://h/b", "x,"], "name 2 () is not usable: it is empty"),
            (&["http://h/a,http://h/b", "x,x"], "files 1 and 2 would have the same name: x"),
            (&["http://h/a,http://h/b", "x,x.part"], "files 1 and 2 would have the same name: x.part"),
            (&["http://h/a", "../x"], "leads out of the output folder"),
            (&["", "x"], "the list of URLs is empty"),
            (&[",http://h/a"], "URL 1 of the list is empty"),
            (&["example"], "a URL begins with https://"),
            (
                &["example.com/a,example.com/b"],
                "can be one URL or several: write https:// (or http://) before each",
            ),
            (&["verfy"], "did you mean the command downhaul verify?"),
            (&["repare", "list"], "did you mean the command downhaul repair?"),
            (&["Cargo.toml"], "is a file here. To download the URLs that it holds, use -i Cargo.toml"),
            (
                &["http://h/a", "www.example.com/f2"],
                "www.example.com/f2 can be a URL or a name. For the URL, write https://www.",
            ),
            (&["http://h/a", "data.io/x"], "for a name, write ./data.io/x, or use -o or -d"),
            (&["http://h/a", "localhost/x"], "localhost/x can be a URL or a name"),
            (&["http://h/a", "10.0.0.1:8080"], "10.0.0.1:8080 can be a URL or a name"),
            (&["http://h/a,http://h/b", "x, data.io/x"], "data.io/x can be a URL or a name"),
            (&["example.com/a", "example.com/b"], "example.com/b can be a URL or a name"),
            (&["ftp://h/a"], "only http and https"),
            (&[], "nothing to download"),
            (&["http://h/a", "http://h/b", "-o", "x"], "-o is for a single URL, and there are 2"),
            (&["http://h/a", "-o", "dir/"], "is a folder"),
            (&["http://h/a", "x", "-o", "y"], "use one of them"),
        ] {
            let error = jobs(args).expect_err(says);
            assert!(error.contains(says), "{args:?}: {error}");
        }
    }

    #[test]
    fn list_lines_that_are_too_long_are_skipped_with_an_error() {
        let text = format!("http://h/a\n#{}\nhttp://h/b\n", "x".repeat(text::LONGEST_LINE * 2));
        let all: Vec<_> = read_list(text.as_bytes()).map(|(number, job)| (number, job.is_ok())).collect();
        assert_eq!(all, [(1, true), (2, false), (3, true)]);
    }
}
