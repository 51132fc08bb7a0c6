//! Checks the arguments and the lists of a run. The jobs of a short list are kept in memory for the run. A
//! longer list is read again during the run.
//!
//! Invariant: if one of the first [`FIRST`] lines has a mistake, the run is refused before any file is
//! requested, unless such lines are left out (`--skip-bad-lines`) or the mistake concerns only one file of a
//! document or one line of a lock file. The rest of long lists is checked during the run ([`Rest`]), unless
//! all jobs must be known before. Clashes of names in long lists are found after all lists were read.

use super::HAS_NO_URL;
use super::all_names::{AllNames, Suspects};
use super::checked::{Checked, Count};
use super::clashes::{Clash, Names, Place, SAME};
use super::list::List;
use super::mistakes::Mistakes;
use super::pass::{Pass, Reading};
use super::rest::Rest;
use super::urls::{Arguments, CHECKED_MOST};
use crate::args::Args;
use crate::settings;
use crate::survey::Survey;
use downhaul_engine::core::archive;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::{Destination, Job};
use downhaul_engine::core::name::Naming;
use downhaul_engine::core::show;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// A list of at most this many bytes is short. The largest short list has about 15,000 URLs, whose jobs take
/// about 10 MB.
const SHORT: u64 = 512 * 1024;

/// If all lists together have at least this many bytes, they count as long. Documents are not counted. The
/// names in shorter lists take at most a few megabytes of memory.
const LONG: u64 = 4 * 1024 * 1024;

/// The number of lines of long lists that are checked before the first file is requested. This check takes
/// less than half a second. A build without optimisation checks fewer lines, because each line takes about
/// ten times as long.
const FIRST: u64 = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

/// Checks the arguments and the lists of a run, and adds their jobs to the survey. `has_streams` is true if
/// the run also has lists that can be read only once, so that they cannot be checked before the run. Returns
/// the checked lists and, if downloads may begin before the check ends, the rest of the check.
///
/// # Errors
/// Returns the mistakes with their line numbers. In a document or a lock file, a mistake that concerns one
/// file only is not a mistake of the list. Only that file fails, during the run.
pub(super) fn all(
    args: &Args,
    arguments: Option<&Arguments>,
    lists: Vec<List>,
    has_streams: bool,
    survey: &mut Survey,
) -> Result<(Vec<Checked>, Option<Rest>), String> {
    let naming = args.output.naming();
    let lists: Vec<List> = lists.into_iter().map(|list| list.with_naming(naming.clone())).collect();
    let (lists, bytes) = opened(lists, survey)?;
    // A file whose name is not known here could have the same name as any file of the lists. Therefore, the
    // names are collected for the run only if all of them are known.
    let knows_all = !has_streams && arguments.is_none_or(|one| one.count() <= CHECKED_MOST as u64);
    survey.names = (bytes >= LONG && knows_all).then(Arc::default);
    // `downhaul plan` writes no file, so it has no folder for a temporary file.
    let folders = match args.plan() {
        Some(_) => Vec::new(),
        None => vec![args.output.folder.clone(), settings::temporary_folder()],
    };
    let mut checks = Checks {
        survey: std::mem::take(survey),
        shown: lists.iter().map(|one| one.list.to_string()).collect(),
        seen: Names::default(),
        replaced: HashSet::new(),
        names: (bytes >= LONG).then(|| AllNames::new(folders, naming.clone())),
        suspects: None,
        // The pinned keys apply to all hosts of the user's URLs, even where a document names these hosts.
        // Therefore, all of these hosts must be known before the first request.
        needs_all: args.options.http.pinned_pubkey.is_some(),
        passed: Vec::new(),
        naming,
        has_jobs: has_streams || arguments.is_some(),
        without_jobs: Vec::new(),
    };
    if let Some(arguments) = arguments {
        arguments.check(&mut |number, job| checks.add_argument(number, job))?;
    }
    let mut pass = Pass::new(lists);
    pass.read(&mut checks, FIRST);
    if !pass.is_over() && checks.may_end_later(&pass) {
        *survey = checks.survey.clone();
        survey.is_partial = true;
        let count = arguments.map_or(0, Arguments::count);
        let (checked, rest) = Rest::new(checks, pass, (!has_streams).then_some(count));
        return Ok((checked, Some(rest)));
    }
    pass.read(&mut checks, u64::MAX);
    let checked = checks.end(pass, &|_| true)?;
    *survey = checks.survey;
    Ok((checked, None))
}

/// Opens the lists. Also returns how many bytes all of them have together, without the documents.
fn opened(lists: Vec<List>, survey: &mut Survey) -> Result<(Vec<Reading>, u64), String> {
    let (mut readings, mut all) = (Vec::new(), 0);
    for list in lists {
        survey.add_list(list.url());
        let one = list.open().map_err(|e| unreadable(&list, &e))?;
        let bytes = one.bytes;
        let jobs = one.jobs().map_err(|e| unreadable(&list, &e))?;
        // A document is read into memory as a whole, so it never counts as a long list.
        all += if jobs.of_a_document { 0 } else { bytes };
        readings.push(Reading::new(readings.len() + 1, list, jobs, bytes <= SHORT));
    }
    Ok((readings, all))
}

fn unreadable(list: &List, e: &io::Error) -> String {
    format!("the list {list} cannot be read: {e}")
}

/// The state of the check of the input.
pub(super) struct Checks {
    pub(super) survey: Survey,
    /// The lists, in words for the user.
    shown: Vec<String>,
    seen: Names,
    /// The lines of lock files that other lines about the same file replace, each with the number of its
    /// list.
    replaced: HashSet<(usize, u64)>,
    /// The names of all jobs of long lists, until all lists were read.
    names: Option<AllNames>,
    /// The names in long lists that may clash. They are known after all lists were read.
    suspects: Option<Suspects>,
    /// True if no further jobs may be passed to the session before all lists were checked. The reason is that
    /// keys are pinned, or that a line of a lock file was read, which a later line may replace.
    pub(super) needs_all: bool,
    /// For each list, the last line whose job may have been passed to the session.
    pub(super) passed: Vec<u64>,
    naming: Naming,
    /// True if the run has jobs, or may have some in a list that cannot be checked.
    has_jobs: bool,
    /// For each list in which every line was left out, the mistakes, in words for the user.
    without_jobs: Vec<String>,
}

impl Checks {
    /// Returns true if the jobs that were read can be downloaded before the other jobs are checked. If the
    /// run has documents, all origins of the user's URLs must be known, because they decide which requests
    /// get the user's headers. With `--shard`, all jobs must be known, because they show if an earlier run
    /// completed the shard.
    fn may_end_later(&self, pass: &Pass) -> bool {
        self.names.is_some()
            && self.survey.shards.is_none()
            && !self.needs_all
            && !self.survey.has_documents()
            && !pass.has_mistakes()
            && !pass.lists.iter().any(|list| list.jobs.of_a_document)
    }

    fn add_argument(&mut self, number: u64, job: &Job) -> Result<(), String> {
        self.survey.add(job);
        if let Some(names) = &mut self.names {
            names.add(job);
        }
        self.seen.add(job, Place { list: 0, line: number }).map_err(|Clash { name, first, what }| {
            format!("files {} and {number} would {what}: {name}", first.line)
        })
    }

    /// Reads up to `most` lines of a list. Returns the number of lines that were read.
    pub(super) fn read(&mut self, list: &mut Reading, most: u64) -> u64 {
        let mut read = 0;
        while read < most {
            let Some((line, job)) = list.jobs.all.next() else {
                list.is_read = true;
                break;
            };
            read += 1;
            list.line = line;
            self.check(list, line, job);
        }
        read
    }

    /// Checks a line, and adds its job to the survey. Also counts the mistakes in lines that are left out.
    fn check(&mut self, list: &mut Reading, line: u64, job: Result<Box<Job>, Error>) {
        if let Ok(job) = &job {
            self.survey.add(job);
            self.needs_all |= job.is_recorded;
        }
        if let Some(error) = job.as_ref().err().filter(|error| list.list.skips(error)) {
            list.skipped.add(Err(show::escaped(&error.to_string()).into_owned()));
            return;
        }
        let checked = match &job {
            Ok(job) if list.jobs.of_a_document => {
                // The name is added here because another file of the run may have the same name. Otherwise
                // the run would forget the name as soon as one of the two jobs has ended.
                if let Some(names) = &mut self.names {
                    names.add_of_a_document(job);
                }
                Ok(())
            }
            Err(e) if concerns_one_file(e, list.jobs.of_a_document) => Ok(()),
            // Errors quote names. The list may not be the user's own, so control characters are escaped.
            Err(e) => Err(show::escaped(&e.to_string()).into_owned()),
            Ok(job) => {
                let job = self.as_named(job);
                match &mut self.names {
                    Some(names) => {
                        names.add(&job);
                        Ok(())
                    }
                    None => self.add_name(&job, Place { list: list.number, line }),
                }
            }
        };
        if checked.is_ok() {
            let named = job.as_deref().ok().map(|job| self.as_named(job));
            let is_mine = self.survey.is_mine(list.count, job.as_deref().ok(), named.as_deref());
            list.count += 1;
            list.of_shard += u64::from(is_mine);
            if let Some(kept) = list.kept.as_mut().filter(|_| is_mine) {
                kept.push((line, job));
            }
        }
        list.mistakes.add(checked);
    }

    /// Ends the check, after all lists were read once. `goes_on` is called often, with true after a mistake
    /// was found. If it returns false, the rest of the lists is not read again.
    ///
    /// # Errors
    /// Returns the mistakes of the lists, in words for the user.
    pub(super) fn end(&mut self, pass: Pass, goes_on: &dyn Fn(bool) -> bool) -> Result<Vec<Checked>, String> {
        if let Some(names) = self.names.take() {
            let why = |e| format!("the temporary file for the names of the lists cannot be read: {e}");
            let (names, suspects) = names.end().map_err(why)?;
            self.suspects = (!suspects.is_empty()).then_some(suspects);
            if let Some(known) = &self.survey.names {
                // This call does not fail, because only this place sets the names.
                let _ = known.set(names);
            }
        }
        let (mut all, mut why) = (Vec::new(), Vec::new());
        for list in pass.lists {
            match self.end_list(list, goes_on) {
                Ok(checked) => all.push(checked),
                Err(mistakes) => why.push(mistakes),
            }
        }
        let without_jobs = std::mem::take(&mut self.without_jobs);
        match self.has_jobs {
            true => self.survey.warnings.extend(without_jobs),
            false => why.extend(without_jobs),
        }
        if why.is_empty() { Ok(all) } else { Err(why.join("\n")) }
    }

    /// Ends the check of a list.
    ///
    /// # Errors
    /// Returns the mistakes of the list, in words for the user.
    fn end_list(&mut self, reading: Reading, goes_on: &dyn Fn(bool) -> bool) -> Result<Checked, String> {
        let Reading {
            number, mut list, jobs, mut count, mut of_shard, mut kept, mut mistakes, skipped, ..
        } = reading;
        if !jobs.of_a_document && self.suspects.is_some() {
            self.add_suspects(number, &list, &mut mistakes, goes_on).map_err(|e| unreadable(&list, &e))?;
        }
        mistakes.result().map_err(|all| list.has_mistakes(&all))?;
        let replaced = self.replaced.iter().filter(|(list, _)| *list == number).map(|(_, line)| *line);
        let replaced: HashSet<u64> = replaced.collect();
        let without_url = list.without_url();
        let shard = self.survey.shards.as_ref().map(|shards| shards.shard);
        if !replaced.is_empty() {
            count -= replaced.len() as u64;
            list = list.without(replaced).with_shard(shard);
            of_shard = count;
            // The lines that are left out must not stay among the kept jobs. In a list that is divided into
            // shards, the positions of the remaining jobs change too, so the shard may get different jobs.
            if shard.is_some() || kept.is_some() {
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
        }
        self.has_jobs |= count > 0;
        match (count, skipped.result().err(), jobs.of_a_document) {
            (0, Some(all), _) => {
                self.without_jobs.push(format!("every line of the list {list} has a mistake:{all}"));
                Ok(Checked::new(list.with_shard(shard), Count::Known(0), kept))
            }
            (0, None, true) => Err(format!("the list {list} is empty: the document has no file")),
            (0, None, false) => Err(format!("the list {list} is empty: {HAS_NO_URL}")),
            (_, skipped, _) => {
                let why = "were left out because they have mistakes";
                let skipped = skipped.map(|all| format!("lines of the list {list} {why}:{all}"));
                self.survey.warnings.extend(skipped);
                self.survey.warnings.extend(left_out(without_url, &list.to_string()));
                Ok(Checked::new(list.with_shard(shard), Count::Known(of_shard), kept))
            }
        }
    }

    /// Reads a long list once more, and adds those of its names that may clash. Before all lists were read,
    /// it was not known which names may clash.
    fn add_suspects(
        &mut self,
        number: usize,
        list: &List,
        mistakes: &mut Mistakes,
        goes_on: &dyn Fn(bool) -> bool,
    ) -> io::Result<()> {
        let before = list.without_url();
        for (line, job) in list.jobs()?.filter_map(|(line, job)| Some((line, job.ok()?))) {
            let job = self.as_named(&job);
            if self.suspects.as_ref().is_some_and(|suspects| suspects.has(&job)) {
                mistakes.add(self.add_name(&job, Place { list: number, line }));
            }
            if !goes_on(!mistakes.is_empty()) {
                break;
            }
        }
        list.forget_without_url(before);
        Ok(())
    }

    /// Returns the job in the form in which it is checked. In a list that is divided into shards, the name
    /// from the URL counts as given. Otherwise, two runs could each have a job with this name, and neither
    /// run could give one of the two files a number.
    fn as_named<'j>(&self, job: &'j Job) -> Cow<'j, Job> {
        if self.survey.shards.is_none() || job.destination != Destination::Server {
            return Cow::Borrowed(job);
        }
        let name = self.naming.name_for(job, None).map(Destination::Name);
        name.map_or(Cow::Borrowed(job), |name| Cow::Owned(job.clone().with_destination(name)))
    }

    /// Returns true if the job at this place may have been passed to the session.
    fn is_passed(&self, place: Place) -> bool {
        let last = place.list.checked_sub(1).and_then(|list| self.passed.get(list));
        last.is_some_and(|last| place.line <= *last)
    }

    /// Adds the name of a job. A line of a lock file replaces an earlier line of the same list that has the
    /// same name. If the later line has no strong digest, the later line is left out instead. Otherwise, if
    /// the file of the earlier line may already be downloaded, the lines clash.
    ///
    /// # Errors
    /// Returns a clash with an earlier line or argument, in words for the user.
    fn add_name(&mut self, job: &Job, place: Place) -> Result<(), String> {
        let Err(Clash { name, first, what }) = self.seen.add(job, place) else { return Ok(()) };
        if what == SAME && job.is_recorded && first.list == place.list {
            let is_strong = archive::digests(job).next().is_some();
            if !is_strong || !self.is_passed(first) {
                self.replaced.insert((place.list, if is_strong { first.line } else { place.line }));
                if is_strong {
                    self.seen.replace(job, place);
                }
                return Ok(());
            }
        }
        let line = place.line;
        let earlier = match first {
            Place { list, line: first } if list == place.list => {
                let both = if first == line { "two files of line" } else { &*format!("lines {first} and") };
                return Err(format!("{both} {line} would {what}: {name}"));
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

/// Returns true if an error concerns only one file of a document or only one line of a lock file.
/// `of_a_document` is true if the list is a document.
fn concerns_one_file(error: &Error, of_a_document: bool) -> bool {
    error.kind == ErrorKind::ListFile || (of_a_document && error.kind != ErrorKind::ListUnreadable)
}
