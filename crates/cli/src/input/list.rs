//! Reads lists of jobs from files, and lists that were fetched. Each list is checked before the run. The jobs
//! of a short list are kept meanwhile, and a longer list is read again during the run.
//!
//! Invariant: a list that has a mistake is refused as a whole, before any request, unless lines with mistakes
//! are left out (`--skip-bad-lines`) or the mistake concerns one file of a document. To check a long list
//! takes three filters of limited size, and memory for the names that may clash.

use super::clashes::{Clash, Names, SAME, Suspects};
use super::packed::{plain_name, unpacked};
use crate::args::Lists;
use crate::run::warn;
use crate::survey::Survey;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::{Job, NamedBy, Url};
use downhaul_engine::core::list::{
    AtLine,
    form::{self, Facts},
    text::{Lines, Text},
};
use downhaul_engine::core::listed_names::ListedNames;
use downhaul_engine::core::name::Naming;
use downhaul_engine::core::show;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// The most mistakes in a list that are shown. The others are only counted.
const MISTAKES_SHOWN: usize = 10;

/// A list of at most this many bytes is short. It has about 15,000 URLs, whose jobs take about 10 MB.
const SHORT: u64 = 512 * 1024;

/// A list of this many bytes or more is long. The names of a shorter list take at most a few megabytes.
const LONG: u64 = 4 * 1024 * 1024;

/// The content of a packed list is assumed to be this many times as long as the file. It is usually shorter.
const PACKED: u64 = 16;

/// The reason why a list has no jobs, in words for the user.
pub(crate) const HAS_NO_URL: &str = "it has no URL of a file to download";

/// A list that can be read more than once.
#[derive(Debug, Clone)]
pub struct List {
    content: Content,
    facts: Arc<Facts>,
    /// True if lines with mistakes are left out (`--skip-bad-lines`).
    skips: bool,
}

/// The content of a list.
#[derive(Debug, Clone)]
enum Content {
    File(PathBuf),
    /// The content that was fetched from this URL.
    Fetched(Url, Arc<[u8]>),
}

/// Returns the facts about a list that the user gave. `name` is the file name of the list.
pub(super) fn facts(options: &Lists, name: String) -> Facts {
    let Lists { list_format, columns, base, .. } = options;
    let columns = columns.clone().unwrap_or_default();
    Facts { form: list_format.clone(), name, columns, base: base.clone() }
}

impl List {
    /// Returns the list in a file.
    pub(super) fn file(path: PathBuf, options: &Lists) -> List {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = plain_name(&name).to_string();
        List {
            facts: Arc::new(facts(options, name)),
            content: Content::File(path),
            skips: options.skip_bad_lines,
        }
    }

    /// Returns the list that was fetched from a URL. The name in a URL may be wrong, so only the content
    /// decides about its form. Relative paths begin at the URL.
    pub(crate) fn fetched(url: Url, text: Arc<[u8]>, options: &Lists) -> List {
        let facts = facts(options, String::new());
        let base = Some(facts.base.clone().unwrap_or_else(|| url.clone()));
        List {
            facts: Arc::new(Facts { base, ..facts }),
            content: Content::Fetched(url, text),
            skips: options.skip_bad_lines,
        }
    }

    /// Returns the jobs of the list, each with its line number.
    ///
    /// # Errors
    /// Returns an error if the list cannot be read.
    pub fn jobs(&self) -> io::Result<Jobs> {
        self.open()?.jobs()
    }

    /// Returns true if the job of this error is left out. The rest of a list that cannot be read is no line.
    fn skips(&self, error: &Error) -> bool {
        self.skips && error.kind != ErrorKind::ListUnreadable
    }

    /// Opens the list, so that it can be read later, even if it is moved or removed in the meantime.
    ///
    /// # Errors
    /// Returns an error if the list cannot be opened.
    pub fn open(&self) -> io::Result<Opened> {
        let (text, bytes): (Box<dyn Read + Send>, u64) = match &self.content {
            Content::File(path) => {
                let file = File::open(path)?;
                let bytes = file.metadata()?.len();
                (Box::new(file), bytes)
            }
            Content::Fetched(_, text) => (Box::new(Cursor::new(text.clone())), text.len() as u64),
        };
        let (text, was_packed) = unpacked(text)?;
        // Packing often makes a list ten times shorter.
        let bytes = if was_packed { bytes.saturating_mul(PACKED) } else { bytes };
        Ok(Opened { list: self.clone(), text, bytes })
    }
}

/// A list that was opened.
pub struct Opened {
    list: List,
    text: Box<dyn Read + Send>,
    /// The length of the content, which is only estimated for a packed list.
    bytes: u64,
}

impl Opened {
    /// Returns the jobs of the list, as [`List::jobs`] does.
    ///
    /// # Errors
    /// Returns an error if the list cannot be read.
    pub fn jobs(self) -> io::Result<Jobs> {
        let List { content, facts, skips } = &self.list;
        let mut text = Text::new(self.text);
        let mut beginning = Vec::new();
        text.by_ref().take(form::BEGINNING as u64).read_to_end(&mut beginning)?;
        let form = facts.form(&beginning);
        let jobs = form.jobs(Cursor::new(beginning).chain(text), facts)?;
        let all: Box<dyn Iterator<Item = AtLine>> = match content {
            _ if form.is_document() => Box::new(distinct(jobs)),
            // A line of a list file may say itself that a document named its URLs.
            Content::File(_) => Box::new(jobs),
            Content::Fetched(..) => Box::new(jobs.map(|(number, mut job)| {
                if let Ok(job) = &mut job {
                    job.named_by = NamedBy::Document;
                }
                (number, job)
            })),
        };
        let all = Box::new(all.map(|(number, job)| (number, job.map_err(|error| at_line(number, error)))));
        Ok(Jobs { of_a_document: form.is_document(), skips: *skips, warns: false, all })
    }
}

/// The jobs of a list, each with its line number.
pub struct Jobs {
    /// True if the list has the form of a document ([`Form::is_document`](form::Form::is_document)). A
    /// mistake in one file is then no reason to refuse the other files.
    pub(super) of_a_document: bool,
    /// True if lines with mistakes are left out.
    pub(super) skips: bool,
    /// True if each line that is left out causes a warning when it is read.
    pub(super) warns: bool,
    pub(super) all: Box<dyn Iterator<Item = AtLine>>,
}

impl Iterator for Jobs {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        let Jobs { skips, warns, .. } = *self;
        self.all.find(|(_, job)| match job {
            Err(error) if error.kind == ErrorKind::ListUnreadable => true,
            Err(error) if skips && warns => {
                warn(&format!("left out: {}", show::escaped(&error.to_string())));
                false
            }
            job => !skips || job.is_ok(),
        })
    }
}

/// Returns the jobs of a document. If two files have the same name, the later one is an error.
pub(super) fn distinct(jobs: impl Iterator<Item = AtLine>) -> impl Iterator<Item = AtLine> {
    let mut seen = Names::default();
    jobs.map(move |(line, job)| {
        let job = job.and_then(|job| match seen.add(&job, line) {
            Ok(()) => Ok(job),
            Err(Clash { name, first, what }) => {
                let other =
                    if first == 0 { "an earlier file".into() } else { format!("the file of line {first}") };
                let why = match what {
                    SAME => format!("{other} has this name too"),
                    _ => format!("it and {other} would {what}"),
                };
                Err(Error::new(ErrorKind::NameTaken, name, why))
            }
        });
        (line, job)
    })
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::File(path) => path.display().fmt(f),
            Content::Fetched(url, _) => f.write_str(&show::url(url)),
        }
    }
}

/// Adds the number of the line to an error. The number 0 means that the error belongs to no line.
pub(super) fn at_line(number: u64, mut error: Error) -> Error {
    error.detail = match error.detail.as_str() {
        _ if number == 0 => error.detail,
        "" => format!("line {number}"),
        detail => format!("line {number}: {detail}"),
    };
    error
}

/// Returns the lines of a text that are UTF-8 and not too long. The others are left out.
pub fn lines(reader: impl io::Read) -> impl Iterator<Item = String> {
    Lines::new(reader).filter_map(|line| String::from_utf8(line.ok()?).ok())
}

/// A list that was checked.
#[derive(Debug)]
pub struct Checked {
    pub(crate) list: List,
    /// The number of its jobs.
    pub(crate) count: u64,
    /// The jobs of a short list.
    kept: Option<Vec<AtLine>>,
}

impl Checked {
    /// Returns the jobs of the list, and the list itself.
    ///
    /// # Errors
    /// Returns an error if the list cannot be read again.
    pub(crate) fn jobs(self) -> (List, io::Result<Box<dyn Iterator<Item = AtLine>>>) {
        let jobs: io::Result<Box<dyn Iterator<Item = AtLine>>> = match self.kept {
            Some(kept) => Ok(Box::new(kept.into_iter())),
            None => self.list.jobs().map(|jobs| Box::new(jobs) as _),
        };
        (self.list, jobs)
    }
}

/// Checks a list before the run, and adds its jobs to the survey.
///
/// # Errors
/// Returns the mistakes with their line numbers. In a document, a mistake in one file is not a mistake of the
/// list. Only that file fails, during the run.
pub(super) fn check(list: List, naming: Naming, survey: &mut Survey) -> Result<Checked, String> {
    let unreadable = |e| format!("the list {list} cannot be read: {e}");
    if let Content::Fetched(url, _) = &list.content {
        survey.add_list(url);
    }
    let opened = list.open().map_err(unreadable)?;
    let bytes = opened.bytes;
    let jobs = opened.jobs().map_err(unreadable)?;
    let of_a_document = jobs.of_a_document;
    let (is_short, mut kept) = (bytes <= SHORT, Vec::new());
    // A document is read into the memory as a whole, so it is never that long.
    let mut suspects = (bytes >= LONG && !of_a_document).then(|| Suspects::for_list(bytes));
    survey.names = suspects.is_some().then(|| ListedNames::for_list(bytes, naming));
    let (mut mistakes, mut skipped) = (Mistakes::default(), Mistakes::default());
    let mut seen = Names::default();
    let mut count = 0;
    // Mistakes are counted here, even if they are left out later.
    for (number, job) in jobs.all {
        if let Ok(job) = &job {
            survey.add(job);
        }
        if let Some(error) = job.as_ref().err().filter(|error| list.skips(error)) {
            skipped.add(Err(show::escaped(&error.to_string()).into_owned()));
            continue;
        }
        let checked = match &job {
            Ok(_) if of_a_document => Ok(()),
            Err(e) if of_a_document && !concerns_all(e) => Ok(()),
            // Errors quote names. The list may not be the user's own, so control characters are escaped.
            Err(e) => Err(show::escaped(&e.to_string()).into_owned()),
            Ok(job) => match &mut suspects {
                Some(suspects) => {
                    suspects.add(job);
                    Ok(())
                }
                None => add_name(&mut seen, job, number),
            },
        };
        if checked.is_ok() {
            count += 1;
            kept.extend(is_short.then_some((number, job)));
        }
        mistakes.add(checked);
    }
    if let Some(suspects) = suspects.filter(Suspects::has_names) {
        add_suspects(&list, &suspects, &mut seen, &mut mistakes).map_err(unreadable)?;
    }
    mistakes.result().map_err(|all| format!("the list {list} has mistakes:{all}"))?;
    let skipped = skipped.result().err();
    match (count, skipped, of_a_document) {
        (0, Some(all), _) => Err(format!("every line of the list {list} has a mistake:{all}")),
        (0, None, true) => Err(format!("the list {list} is empty: the document has no file")),
        (0, None, false) => Err(format!("the list {list} is empty: {HAS_NO_URL}")),
        (_, skipped, _) => {
            let why = "were left out because they have mistakes";
            survey.warnings.extend(skipped.map(|all| format!("lines of the list {list} {why}:{all}")));
            Ok(Checked { list, count, kept: is_short.then_some(kept) })
        }
    }
}

/// Returns true if an error of a document is no mistake of one of its files alone.
fn concerns_all(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::ListLine | ErrorKind::ListUnreadable)
}

/// Adds the names of a long list that may clash. The list is read once more, because only now it is known
/// which these are.
fn add_suspects(
    list: &List,
    suspects: &Suspects,
    seen: &mut Names,
    mistakes: &mut Mistakes,
) -> io::Result<()> {
    let jobs = list.jobs()?.filter_map(|(number, job)| Some((number, job.ok()?)));
    for (number, job) in jobs.filter(|(_, job)| suspects.may_clash(job)) {
        mistakes.add(add_name(seen, &job, number));
    }
    Ok(())
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

    /// Returns the mistakes as lines, if there are any.
    fn result(self) -> Result<(), String> {
        let Mistakes { first: mut shown, count } = self;
        if count == 0 {
            return Ok(());
        }
        if count > shown.len() {
            shown.push(format!("... and {} more", count - shown.len()));
        }
        Err(format!("\n  {}", shown.join("\n  ")))
    }
}
