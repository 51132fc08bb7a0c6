//! Reads lists of jobs from files, and lists that were fetched. Such lists can be read more than once.
//!
//! Invariant: the jobs of a list that was fetched count as jobs of a document that someone else may write.

use super::clashes::{Clash, Names, Place, SAME};
use super::mistakes::is_checksum_list;
use super::packed::{self, plain_name, unpacked};
#[cfg(feature = "parquet")]
use super::parquet::Parquet;
use crate::args::Lists;
use crate::run::warn;
use crate::words;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::Url;
use downhaul_engine::core::list::{
    AtLine,
    addresses::Addresses,
    form::{self, Facts},
    metalink, option_keys,
    text::{Lines, Text},
};
use downhaul_engine::core::name::Naming;
use downhaul_engine::core::shard::Shard;
use downhaul_engine::core::show;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The content of a compressed list is assumed to be this many times as long as the file. Usually, the
/// content is shorter than that.
const PACKED: u64 = 16;

/// A list that can be read more than once.
#[derive(Debug, Clone)]
pub struct List {
    content: Content,
    facts: Arc<Facts>,
    /// True if lines with mistakes are left out (`--skip-bad-lines`).
    skips: bool,
    /// The shard of the jobs that this run downloads (`--shard`), or `None` for all jobs.
    shard: Option<Shard>,
    /// The lines of a lock file that later lines about the same downloaded file replace.
    replaced: Arc<HashSet<u64>>,
    naming: Arc<Naming>,
}

#[derive(Debug, Clone)]
enum Content {
    File(PathBuf),
    /// The content that was fetched from this URL.
    Fetched(Url, Arc<[u8]>),
}

/// Returns what the options of the user say about a list. `name` is the file name of the list.
pub(super) fn facts(options: &Lists, name: String) -> Facts {
    Facts {
        form: options.list_format,
        name,
        columns: options.columns.clone().unwrap_or_default(),
        addresses: Addresses::new(options.replace.clone(), options.base.clone()),
        ..Facts::default()
    }
}

impl List {
    pub(super) fn file(path: PathBuf, options: &Lists) -> List {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = plain_name(&name).to_string();
        List {
            facts: Arc::new(facts(options, name)),
            content: Content::File(path),
            skips: options.skip_bad_lines,
            shard: None,
            replaced: Arc::default(),
            naming: Arc::default(),
        }
    }

    /// Returns a list with this text, which was fetched from a URL. The name in a URL may be wrong, so it
    /// does not decide which form the list has. In a data package or an RO-Crate, relative paths are relative
    /// to the URL, unless the user gave another base.
    pub(crate) fn fetched(url: Url, text: Arc<[u8]>, options: &Lists) -> List {
        List {
            facts: Arc::new(Facts { url: Some(url.clone()), ..facts(options, String::new()) }),
            content: Content::Fetched(url, text),
            skips: options.skip_bad_lines,
            shard: None,
            replaced: Arc::default(),
            naming: Arc::default(),
        }
    }

    /// Returns the jobs of the list, each with its line number.
    ///
    /// # Errors
    /// Returns an error if the list cannot be opened, or if its beginning cannot be read.
    pub fn jobs(&self) -> io::Result<Jobs> {
        self.open()?.jobs()
    }

    /// Returns the list with only the jobs of this shard. If `shard` is `None`, the list has all jobs.
    pub(super) fn with_shard(self, shard: Option<Shard>) -> List {
        List { shard, ..self }
    }

    pub(super) fn with_naming(self, naming: Naming) -> List {
        List { naming: Arc::new(naming), ..self }
    }

    /// Returns the list without these lines, which later lines replace.
    pub(super) fn without(self, lines: HashSet<u64>) -> List {
        List { replaced: Arc::new(lines), ..self }
    }

    /// Returns the lines that are left out because later lines replace them.
    pub(super) fn replaced(&self) -> Arc<HashSet<u64>> {
        self.replaced.clone()
    }

    /// Returns the same list with its own count of rows without a URL. Reading one of the two lists then does
    /// not change the count of the other list.
    pub(super) fn with_own_count(&self) -> List {
        let facts = Facts { without_url: Arc::default(), ..Facts::clone(&self.facts) };
        List { facts: Arc::new(facts), ..self.clone() }
    }

    /// Returns the URL of a list that was fetched.
    pub(super) fn url(&self) -> Option<&Url> {
        match &self.content {
            Content::File(_) => None,
            Content::Fetched(url, _) => Some(url),
        }
    }

    /// Returns the number of rows without a URL that were left out since the list was first read.
    pub(super) fn without_url(&self) -> u64 {
        self.facts.without_url.load(Ordering::Relaxed)
    }

    /// Sets the number of rows without a URL to an earlier value, because the list is read again.
    pub(super) fn forget_without_url(&self, number: u64) {
        self.facts.without_url.store(number, Ordering::Relaxed);
    }

    /// Returns the message about the mistakes `all` of the list. For a checksum list, the message says
    /// instead what such a list is for.
    pub(super) fn has_mistakes(&self, all: &str) -> String {
        match &self.content {
            Content::File(path) if is_checksum_list(path) => format!(
                "{self} is a checksum list, which has no URLs. downhaul verify compares files with it, and a \
                 download of URLs with --checksum-file verifies the files"
            ),
            _ => format!("the list {self} has mistakes:{all}"),
        }
    }

    /// Returns true if the line with this error is left out. The unreadable rest of a list is not a line, so
    /// it is not left out.
    pub(super) fn skips(&self, error: &Error) -> bool {
        self.skips && error.kind != ErrorKind::ListUnreadable
    }

    /// Opens the list, so that it can be read later, even if it is moved or removed in the meantime.
    ///
    /// # Errors
    /// Returns an error if the list cannot be opened, or if its first bytes cannot be read.
    pub fn open(&self) -> io::Result<Opened> {
        let (text, bytes): (Box<dyn Read + Send>, u64) = match &self.content {
            Content::File(path) => {
                let mut file = File::open(path)?;
                if packed::is_parquet(&mut file)? {
                    return self.open_parquet(file);
                }
                let bytes = file.metadata()?.len();
                (Box::new(file), bytes)
            }
            Content::Fetched(_, text) => (Box::new(Cursor::new(text.clone())), text.len() as u64),
        };
        let (mut text, was_packed) = unpacked(text)?;
        if let Content::Fetched(..) = &self.content {
            text = packed::limited(text, metalink::LONGEST as u64);
        }
        let bytes = if was_packed { bytes.saturating_mul(PACKED) } else { bytes };
        Ok(Opened {
            list: self.clone(),
            text,
            #[cfg(feature = "parquet")]
            parquet: None,
            bytes,
        })
    }

    #[cfg(feature = "parquet")]
    fn open_parquet(&self, file: File) -> io::Result<Opened> {
        let bytes = file.metadata()?.len();
        let parquet = Parquet::open(file).map_err(io::Error::other)?;
        let bytes = bytes.max(parquet.bytes());
        Ok(Opened { list: self.clone(), text: Box::new(io::empty()), parquet: Some(parquet), bytes })
    }

    #[cfg(not(feature = "parquet"))]
    fn open_parquet(&self, _file: File) -> io::Result<Opened> {
        let why = "it is a Parquet file, and only builds with the feature parquet read such files";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }
}

/// An open list, whose jobs can be read once.
pub struct Opened {
    list: List,
    text: Box<dyn Read + Send>,
    /// The content of a Parquet file, which is read instead of `text`.
    #[cfg(feature = "parquet")]
    parquet: Option<Parquet>,
    /// The length of the content, which is only estimated for a compressed list and a Parquet file.
    pub(super) bytes: u64,
}

impl Opened {
    /// Returns true if lines with mistakes are left out.
    pub(crate) fn skips(&self) -> bool {
        self.list.skips
    }

    /// Returns the jobs of the list, each with its line number.
    ///
    /// # Errors
    /// Returns an error if the beginning of the list cannot be read.
    pub fn jobs(self) -> io::Result<Jobs> {
        let List { content, facts, skips, shard, replaced, naming } = &self.list;
        let jobs_of = |of_a_document, all| Jobs { of_a_document, all, ..Jobs::new(*skips, *shard) };
        #[cfg(feature = "parquet")]
        if let Some(parquet) = self.parquet {
            let naming = naming.clone();
            let all = parquet.jobs(facts).map(move |job| named(&naming, job));
            let all = all.map(|(row, job)| (row, job.map_err(|error| at_line(row, error))));
            return Ok(jobs_of(false, Box::new(all)));
        }
        let mut text = Text::new(self.text);
        let mut beginning = Vec::new();
        text.by_ref().take(form::BEGINNING as u64).read_to_end(&mut beginning)?;
        let form = facts.form(&beginning);
        let naming = naming.clone();
        let jobs = form.jobs(Cursor::new(beginning).chain(text), facts)?;
        let jobs = jobs.map(move |job| named(&naming, job));
        let all: Box<dyn Iterator<Item = AtLine> + Send> = match content {
            _ if form.is_document() => Box::new(distinct(jobs)),
            // In a list in a file, a line may state that its URLs come from a document.
            Content::File(_) => Box::new(jobs),
            Content::Fetched(..) => Box::new(jobs.map(|(number, mut job)| {
                let marked = job.as_mut().map_or(Ok(()), |job| option_keys::mark_as_of_a_document(job));
                (number, marked.and(job))
            })),
        };
        let replaced = replaced.clone();
        let all = all.filter(move |(number, _)| replaced.is_empty() || !replaced.contains(number));
        let all = Box::new(all.map(|(number, job)| (number, job.map_err(|error| at_line(number, error)))));
        Ok(jobs_of(form.is_document(), all))
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
    pub(super) all: Box<dyn Iterator<Item = AtLine> + Send>,
    /// The shard to which the returned jobs belong.
    pub(super) shard: Option<Shard>,
    /// The number of jobs and errors that were read, in all shards. Lines that were left out do not count.
    pub(super) position: u64,
    /// The number of lines that were left out because they have mistakes.
    pub(super) left_out: Arc<AtomicU64>,
}

impl Jobs {
    /// Returns a value without jobs. The caller sets the fields `all`, `of_a_document` and `warns`.
    pub(super) fn new(skips: bool, shard: Option<Shard>) -> Jobs {
        let (all, left_out) = (Box::new(iter::empty()), Arc::default());
        Jobs { of_a_document: false, skips, warns: false, all, shard, position: 0, left_out }
    }

    /// Returns the number of lines that were left out because they have mistakes. The number grows while the
    /// jobs are read.
    pub(crate) fn left_out(&self) -> Arc<AtomicU64> {
        self.left_out.clone()
    }

    /// Returns the next job of any shard.
    fn next_of_all(&mut self) -> Option<AtLine> {
        let Jobs { skips, warns, .. } = *self;
        self.all.find(|(_, job)| match job {
            Err(error) if skips && error.kind != ErrorKind::ListUnreadable => {
                if warns {
                    warn(&format!("left out: {}", show::escaped(&error.to_string())));
                }
                self.left_out.fetch_add(1, Ordering::Relaxed);
                false
            }
            _ => true,
        })
    }
}

impl Iterator for Jobs {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        loop {
            let (line, job) = self.next_of_all()?;
            let position = self.position;
            self.position += 1;
            if self.shard.is_none_or(|shard| shard.has(position, job.as_deref().ok())) {
                return Some((line, job));
            }
        }
    }
}

/// Returns the jobs of a document. If the name of a job clashes with the name of an earlier job, as
/// [`Names::add`] describes, the later job becomes an error. Two jobs with the same name that download the
/// same file do not clash.
pub(super) fn distinct(jobs: impl Iterator<Item = AtLine> + Send) -> impl Iterator<Item = AtLine> + Send {
    let mut seen = Names::default();
    jobs.map(move |(line, job)| {
        let job = job.and_then(|job| match seen.add(&job, Place { list: 1, line }) {
            Ok(()) => Ok(job),
            Err(Clash { name, first, what }) => {
                let other = match first.line {
                    0 => "an earlier file".into(),
                    line => format!("the file of line {line}"),
                };
                let why = match what {
                    SAME => format!("{other} already has this name"),
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
            Content::File(path) => f.write_str(&words::path(path)),
            Content::Fetched(url, _) => f.write_str(&show::url(url)),
        }
    }
}

/// Applies the template for names to a job, if there is a template. Before that, the job gets the number of
/// its line, unless the line is from a list of `--failed` and states the number in the earlier list.
pub(super) fn named(naming: &Naming, (number, job): AtLine) -> AtLine {
    let job = job.and_then(|mut job| {
        if job.line == 0 {
            job.line = number;
        }
        naming.apply(job)
    });
    (number, job)
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

/// Returns the lines of a text that are UTF-8 and not too long. The other lines are left out.
pub fn lines(reader: impl io::Read) -> impl Iterator<Item = String> {
    Lines::new(reader).filter_map(|line| String::from_utf8(line.ok()?).ok())
}
