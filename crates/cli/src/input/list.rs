//! Reads lists of jobs from files and fetched documents. Each list is read twice: first to check it, and then
//! again during the run.
//!
//! Invariant: a list file that has a mistake is refused as a whole, before any request. To check a long list
//! takes three filters of limited size, and memory for the names that may clash.

use super::clashes::{Clash, Names, SAME, Suspects};
use crate::survey::Survey;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::{Job, NamedBy, Url};
use downhaul_engine::core::list::{
    self, AtLine,
    metalink::{self, Metalink},
    text::{Lines, Text},
};
use downhaul_engine::core::listed_names::ListedNames;
use downhaul_engine::core::name::Naming;
use downhaul_engine::core::show;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of bytes at the beginning of a list file that are searched for the root element of a Metalink
/// document. Comments may come before it.
const BEGINNING: u64 = 8 * 1024;

/// The most mistakes in a list that are shown. The others are only counted.
const MISTAKES_SHOWN: usize = 10;

/// A list of this many bytes or more is long. The names of a shorter list take at most a few megabytes.
const LONG: u64 = 4 * 1024 * 1024;

/// Says why a list has no jobs.
pub(crate) const HAS_NO_URL: &str = "it has nothing but blank lines and comments";

/// A list that can be read twice.
#[derive(Debug, Clone)]
pub enum List {
    /// A file.
    File(PathBuf),
    /// The content that was fetched from this URL.
    Fetched(Url, Arc<[u8]>),
}

impl List {
    /// Returns the jobs of the list, each with its line number. A Metalink document is recognised by the name
    /// of the file or by its root element.
    ///
    /// # Errors
    /// Returns an error if the list cannot be read.
    pub fn jobs(&self) -> io::Result<Jobs> {
        self.open()?.jobs()
    }

    /// Opens the list, so that it can be read later, even if it is moved or removed in the meantime.
    ///
    /// # Errors
    /// Returns an error if the list cannot be opened.
    pub fn open(&self) -> io::Result<Opened> {
        let (text, bytes): (Box<dyn Read + Send>, u64) = match self {
            List::File(path) => {
                let file = File::open(path)?;
                let bytes = file.metadata()?.len();
                (Box::new(file), bytes)
            }
            List::Fetched(_, text) => (Box::new(Cursor::new(text.clone())), text.len() as u64),
        };
        Ok(Opened { list: self.clone(), text, bytes })
    }
}

/// A list that was opened.
pub struct Opened {
    list: List,
    text: Box<dyn Read + Send>,
    bytes: u64,
}

impl Opened {
    /// Returns the jobs of the list, as [`List::jobs`] does.
    ///
    /// # Errors
    /// Returns an error if the list cannot be read.
    pub fn jobs(self) -> io::Result<Jobs> {
        let path = match &self.list {
            List::File(path) => path,
            // The name in a URL may be wrong, so only the root element counts.
            List::Fetched(..) => Path::new(""),
        };
        let mut text = Text::new(self.text);
        let mut beginning = Vec::new();
        text.by_ref().take(BEGINNING).read_to_end(&mut beginning)?;
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let is_metalink = ending == "meta4" || ending == "metalink" || metalink::begins(&beginning);
        let whole = Cursor::new(beginning).chain(text);
        if !is_metalink {
            let is_fetched = matches!(self.list, List::Fetched(..));
            let jobs = read_list(whole).map(move |(number, mut job)| {
                // A line of a list file may say itself that a document named its URLs.
                if let Ok(job) = &mut job
                    && is_fetched
                {
                    job.named_by = NamedBy::Document;
                }
                (number, job)
            });
            return Ok(Jobs { of_a_document: false, all: Box::new(jobs) });
        }
        let mut document = Vec::new();
        whole.take(metalink::LONGEST as u64 + 1).read_to_end(&mut document)?;
        Ok(Jobs { of_a_document: true, all: Box::new(read_document(document)) })
    }
}

/// The jobs of a list, each with its line number.
pub struct Jobs {
    /// True for a Metalink document. Such a document is usually written by someone else, so a mistake in one
    /// file is no reason to refuse the other files.
    pub(super) of_a_document: bool,
    pub(super) all: Box<dyn Iterator<Item = AtLine>>,
}

impl Iterator for Jobs {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        self.all.next()
    }
}

/// Reads the files of a Metalink document. If two files have the same name, the later one is an error.
pub(super) fn read_document(document: Vec<u8>) -> impl Iterator<Item = AtLine> {
    let mut seen = Names::default();
    Metalink::new(document).map(move |(line, job)| {
        let job = job.and_then(|job| match seen.add(&job, line) {
            Ok(()) => Ok(job),
            Err(Clash { name, first, what }) => {
                let why = match what {
                    SAME => format!("the file of line {first} has this name too"),
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
            List::Fetched(url, _) => f.write_str(&show::url(url)),
        }
    }
}

/// Reads the jobs of a list, line by line. A bad line is an error. If the reader fails, the list ends.
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

/// Returns the lines of a text that are UTF-8 and not too long. The others are left out.
pub fn lines(reader: impl io::Read) -> impl Iterator<Item = String> {
    Lines::new(reader).filter_map(|line| String::from_utf8(line.ok()?).ok())
}

/// Checks a list before the run, and adds its jobs to the survey. Returns their number.
///
/// # Errors
/// Returns every mistake with its line number. In a Metalink document, wrong files are not mistakes of the
/// list, and fail one by one.
pub(super) fn check(list: &List, naming: Naming, survey: &mut Survey) -> Result<u64, String> {
    let unreadable = |e| format!("the list {list} cannot be read: {e}");
    if let List::Fetched(url, _) = list {
        survey.add_list(url);
    }
    let opened = list.open().map_err(unreadable)?;
    let bytes = opened.bytes;
    let jobs = opened.jobs().map_err(unreadable)?;
    let of_a_document = jobs.of_a_document;
    // A document is read into the memory as a whole, so it is never that long.
    let mut suspects = (bytes >= LONG && !of_a_document).then(|| Suspects::for_list(bytes));
    survey.names = suspects.is_some().then(|| ListedNames::for_list(bytes, naming));
    let mut mistakes = Mistakes::default();
    let mut seen = Names::default();
    let mut count = 0;
    for (number, job) in jobs {
        if let Ok(job) = &job {
            survey.add(job);
        }
        let checked = match (job, &mut suspects) {
            (Ok(_), _) if of_a_document => Ok(()),
            (Err(e), _) if of_a_document && e.kind != ErrorKind::ListLine => Ok(()),
            // Errors quote names. The list may not be the user's own, so control characters are escaped.
            (Err(e), _) => Err(show::escaped(&e.to_string()).into_owned()),
            (Ok(job), Some(suspects)) => {
                suspects.add(&job);
                Ok(())
            }
            (Ok(job), None) => add_name(&mut seen, &job, number),
        };
        count += u64::from(checked.is_ok());
        mistakes.add(checked);
    }
    // A long list is read once more, because only now it is known which names may clash.
    if let Some(suspects) = suspects.filter(Suspects::has_names) {
        for (number, job) in list.jobs().map_err(unreadable)? {
            if let Some(job) = job.ok().filter(|job| suspects.may_clash(job)) {
                mistakes.add(add_name(&mut seen, &job, number));
            }
        }
    }
    mistakes.result(list)?;
    match (count, of_a_document) {
        (0, true) => Err(format!("the list {list} is empty: the document has no file")),
        (0, false) => Err(format!("the list {list} is empty: {HAS_NO_URL}")),
        _ => Ok(count),
    }
}

/// Adds the name of a job.
///
/// # Errors
/// Returns a clash with an earlier line, in words for the user.
fn add_name(seen: &mut Names, job: &Job, number: u64) -> Result<(), String> {
    let clash = |Clash { name, first, what }| format!("lines {first} and {number} would {what}: {name}");
    seen.add(job, number).map_err(clash)
}

/// The mistakes in a list.
#[derive(Default)]
struct Mistakes {
    /// The first [`MISTAKES_SHOWN`] of them.
    first: Vec<String>,
    count: usize,
}

impl Mistakes {
    /// Adds a mistake, if there is one.
    fn add(&mut self, checked: Result<(), String>) {
        let Err(mistake) = checked else { return };
        self.count += 1;
        if self.first.len() < MISTAKES_SHOWN {
            self.first.push(mistake);
        }
    }

    fn result(self, list: &List) -> Result<(), String> {
        let Mistakes { first: mut shown, count } = self;
        if count == 0 {
            return Ok(());
        }
        if count > shown.len() {
            shown.push(format!("... and {} more", count - shown.len()));
        }
        Err(format!("the list {list} has mistakes:\n  {}", shown.join("\n  ")))
    }
}
