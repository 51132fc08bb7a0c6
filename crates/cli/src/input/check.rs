//! Checks the arguments and the lists of a run before the first request. The jobs of a short list are kept
//! meanwhile, and a longer list is read again during the run.
//!
//! Invariant: if a list has a mistake, the run is refused before any request, unless lines with mistakes are
//! left out (`--skip-bad-lines`) or the mistake concerns one file of a document. To check long lists takes
//! three filters of limited size, and memory for the names that may clash.

use super::HAS_NO_URL;
use super::clashes::{Clash, Names, Place, SAME, Suspects};
use super::list::{Jobs, List};
use super::urls::{Arguments, CHECKED_MOST};
use crate::survey::Survey;
use downhaul_engine::core::archive;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::{Destination, Job};
use downhaul_engine::core::list::AtLine;
use downhaul_engine::core::listed_names::ListedNames;
use downhaul_engine::core::name::Naming;
use downhaul_engine::core::show;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io;

/// The most mistakes in a list that are shown. The others are only counted.
const MISTAKES_SHOWN: usize = 10;

/// A list of at most this many bytes is short. It has about 15,000 URLs, whose jobs take about 10 MB.
const SHORT: u64 = 512 * 1024;

/// Lists of this many bytes or more in all are long. The names of shorter lists take at most a few megabytes.
const LONG: u64 = 4 * 1024 * 1024;

/// A list that was checked.
#[derive(Debug)]
pub struct Checked {
    pub(crate) list: List,
    /// The number of its jobs in the shard of this run.
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

/// Checks the arguments and the lists of a run, and adds their jobs to the survey. `has_streams` is true if
/// the run also has lists that cannot be checked.
///
/// # Errors
/// Returns the mistakes with their line numbers. In a document, a mistake in one file is not a mistake of the
/// list. Only that file fails, during the run.
pub(super) fn all(
    arguments: Option<&Arguments>,
    lists: Vec<List>,
    has_streams: bool,
    naming: Naming,
    survey: &mut Survey,
) -> Result<Vec<Checked>, String> {
    let lists: Vec<List> = lists.into_iter().map(|list| list.with_naming(naming.clone())).collect();
    let mut opened = Vec::new();
    for list in &lists {
        survey.add_list(list.url());
        let one = list.open().map_err(|e| unreadable(list, &e))?;
        let bytes = one.bytes;
        opened.push((bytes, one.jobs().map_err(|e| unreadable(list, &e))?));
    }
    // A document is read into the memory as a whole, so it is never that long.
    let bytes = opened.iter().filter(|(_, jobs)| !jobs.of_a_document).map(|(bytes, _)| bytes).sum();
    let mut checks = Checks {
        survey,
        shown: lists.iter().map(ToString::to_string).collect(),
        seen: Names::default(),
        replaced: HashSet::new(),
        suspects: (bytes >= LONG).then(|| Suspects::for_list(bytes)),
        naming: naming.clone(),
    };
    // A file whose name is not known here could have any of the names in the lists.
    let knows_all = !has_streams && arguments.is_none_or(|one| one.count() <= CHECKED_MOST as u64);
    checks.survey.names = (bytes >= LONG && knows_all).then(|| ListedNames::for_list(bytes, naming));
    if let Some(arguments) = arguments {
        arguments.check(&mut |number, job| checks.add_argument(number, job))?;
    }
    let mut firsts = Vec::new();
    for (number, (list, (bytes, jobs))) in lists.into_iter().zip(opened).enumerate() {
        firsts.push(checks.first_pass(number + 1, list, bytes <= SHORT, jobs));
    }
    let (mut all, mut why) = (Vec::new(), Vec::new());
    for (number, first) in firsts.into_iter().enumerate() {
        match checks.end(number + 1, first) {
            Ok(checked) => all.push(checked),
            Err(mistakes) => why.push(mistakes),
        }
    }
    if why.is_empty() { Ok(all) } else { Err(why.join("\n")) }
}

fn unreadable(list: &List, e: &io::Error) -> String {
    format!("the list {list} cannot be read: {e}")
}

/// What is known while the input is checked.
struct Checks<'s> {
    survey: &'s mut Survey,
    /// The lists, in words for the user.
    shown: Vec<String>,
    seen: Names,
    /// The lines of lock files that other lines about the same file replace, each with the number of its
    /// list.
    replaced: HashSet<(usize, u64)>,
    suspects: Option<Suspects>,
    naming: Naming,
}

/// The result of the first reading of a list.
struct First {
    list: List,
    of_a_document: bool,
    /// The number of jobs in all shards.
    count: u64,
    /// The number of jobs in the shard of this run.
    of_shard: u64,
    kept: Option<Vec<AtLine>>,
    mistakes: Mistakes,
    skipped: Mistakes,
}

impl Checks<'_> {
    /// Adds the job of an argument.
    fn add_argument(&mut self, number: u64, job: &Job) -> Result<(), String> {
        self.survey.add(job);
        if let Some(suspects) = &mut self.suspects {
            suspects.add(job);
        }
        self.seen.add(job, Place { list: 0, line: number }).map_err(|Clash { name, first, what }| {
            format!("files {} and {number} would {what}: {name}", first.line)
        })
    }

    /// Reads a list, and adds its jobs to the survey. Mistakes are counted here, even if they are left out
    /// later.
    fn first_pass(&mut self, number: usize, list: List, is_short: bool, jobs: Jobs) -> First {
        let of_a_document = jobs.of_a_document;
        let (mut kept, mut count, mut of_shard) = (Vec::new(), 0, 0);
        let (mut mistakes, mut skipped) = (Mistakes::default(), Mistakes::default());
        for (line, job) in jobs.all {
            if let Ok(job) = &job {
                self.survey.add(job);
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
                Ok(job) => {
                    let job = self.as_named(job);
                    match &mut self.suspects {
                        Some(suspects) => {
                            suspects.add(&job);
                            Ok(())
                        }
                        None => self.add_name(&job, Place { list: number, line }),
                    }
                }
            };
            if checked.is_ok() {
                let is_mine = self.survey.is_mine(count, job.as_ref().ok());
                count += 1;
                of_shard += u64::from(is_mine);
                kept.extend((is_short && is_mine).then_some((line, job)));
            }
            mistakes.add(checked);
        }
        First { list, of_a_document, count, of_shard, kept: is_short.then_some(kept), mistakes, skipped }
    }

    /// Ends the check of a list, after all lists were read once.
    ///
    /// # Errors
    /// Returns the mistakes of the list, in words for the user.
    fn end(&mut self, number: usize, first: First) -> Result<Checked, String> {
        let First { list, of_a_document, mut count, mut of_shard, mut kept, mut mistakes, skipped } = first;
        if !of_a_document && self.suspects.as_ref().is_some_and(Suspects::has_names) {
            self.add_suspects(number, &list, &mut mistakes).map_err(|e| unreadable(&list, &e))?;
        }
        mistakes.result().map_err(|all| format!("the list {list} has mistakes:{all}"))?;
        let replaced = self.replaced.iter().filter(|(list, _)| *list == number).map(|(_, line)| *line);
        let replaced: HashSet<u64> = replaced.collect();
        let without_url = list.without_url();
        let shard = self.survey.shards.as_ref().map(|shards| shards.shard);
        let mut list = list;
        if !replaced.is_empty() {
            count -= replaced.len() as u64;
            list = list.without(replaced).with_shard(shard);
            // Without these lines, other jobs may be in the shard.
            let jobs = list.jobs().map_err(|e| unreadable(&list, &e))?;
            of_shard = match &mut kept {
                Some(kept) => {
                    *kept = jobs.collect();
                    kept.len() as u64
                }
                None => jobs.count() as u64,
            };
            list.forget_without_url(without_url);
        }
        match (count, skipped.result().err(), of_a_document) {
            (0, Some(all), _) => Err(format!("every line of the list {list} has a mistake:{all}")),
            (0, None, true) => Err(format!("the list {list} is empty: the document has no file")),
            (0, None, false) => Err(format!("the list {list} is empty: {HAS_NO_URL}")),
            (_, skipped, _) => {
                let why = "were left out because they have mistakes";
                let skipped = skipped.map(|all| format!("lines of the list {list} {why}:{all}"));
                self.survey.warnings.extend(skipped);
                self.survey.warnings.extend(left_out(without_url, &list.to_string()));
                Ok(Checked { list: list.with_shard(shard), count: of_shard, kept })
            }
        }
    }

    /// Adds the names of a long list that may clash. The list is read once more, because only now it is known
    /// which these are.
    fn add_suspects(&mut self, number: usize, list: &List, mistakes: &mut Mistakes) -> io::Result<()> {
        let before = list.without_url();
        for (line, job) in list.jobs()?.filter_map(|(line, job)| Some((line, job.ok()?))) {
            let job = self.as_named(&job);
            if self.suspects.as_ref().is_some_and(|suspects| suspects.may_clash(&job)) {
                mistakes.add(self.add_name(&job, Place { list: number, line }));
            }
        }
        list.forget_without_url(before);
        Ok(())
    }

    /// Returns the job as it is checked. In a list that is divided into shards, the name from the URL counts
    /// as given: another run may have the job with the same name, so that no run could give one of them a
    /// number.
    fn as_named<'j>(&self, job: &'j Job) -> Cow<'j, Job> {
        let is_alone = self.survey.shards.is_none() || job.destination != Destination::Server;
        match self.naming.name_for(job, None).filter(|_| !is_alone) {
            Some(name) => Cow::Owned(job.clone().with_destination(Destination::Name(name))),
            None => Cow::Borrowed(job),
        }
    }

    /// Adds the name of a job. A line of a lock file replaces an earlier one of the same name, unless it has
    /// no strong digest.
    ///
    /// # Errors
    /// Returns a clash with an earlier line or argument, in words for the user.
    fn add_name(&mut self, job: &Job, place: Place) -> Result<(), String> {
        let Err(Clash { name, first, what }) = self.seen.add(job, place) else { return Ok(()) };
        if what == SAME && job.is_recorded && first.list == place.list {
            let is_strong = archive::digests(job).next().is_some();
            let replaced = if is_strong { first.line } else { place.line };
            self.replaced.insert((place.list, replaced));
            if is_strong {
                self.seen.replace(job, place);
            }
            return Ok(());
        }
        let line = place.line;
        let earlier = match first {
            Place { list, line: first } if list == place.list => {
                return Err(format!("lines {first} and {line} would {what}: {name}"));
            }
            Place { list: 0, line } => format!("file {line} of the arguments"),
            Place { list, line } => {
                format!("line {line} of {}", self.shown.get(list - 1).map_or("another list", |shown| shown))
            }
        };
        Err(format!("line {line} and {earlier} would {what}: {name}"))
    }
}

/// Returns a note about rows that have no URL, if there are any. `list` is the list in words for the user.
pub(super) fn left_out(rows: u64, list: &str) -> Option<String> {
    match rows {
        0 => None,
        1 => Some(format!("1 row of the list {list} has no URL and was left out")),
        rows => Some(format!("{rows} rows of the list {list} have no URL and were left out")),
    }
}

/// Returns true if an error of a document is no mistake of one of its files alone.
fn concerns_all(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::ListLine | ErrorKind::ListUnreadable)
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
