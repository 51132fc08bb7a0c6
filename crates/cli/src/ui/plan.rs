//! The output of `downhaul plan` for people: a table of the files, and the sums.
//!
//! Invariant: the memory is limited. Without `--all`, the first rows and the first failures are kept. With
//! `--all`, a row is printed as soon as all rows before it are known, or earlier if too many rows wait. With
//! `-q`, all failures are printed as soon as they are known.

use super::bars::Total;
use super::units::{self, bytes};
use super::working::{self, Working};
use super::{EventReader, Next};
use crate::exit::Exit;
use crate::printer::{self, Paint, Style};
use downhaul_engine::core::event::{Event, EventKind, JobId};
use downhaul_engine::core::preview::{Forecast, HostForecast, SizeFrom, Step};
use downhaul_engine::core::show::escaped;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The number of rows that are shown without `--all`. Together with the sums, they fit on a common screen.
const ROWS: u64 = 20;

/// The highest number of failures that are shown after these rows, without `--all` and `-q`.
const FAILURES: usize = 20;

/// The number of hosts that are shown. The hosts with the most bytes come first.
const HOSTS: usize = 10;

/// With `--all`, the number of rows that may wait for an earlier row. If more rows wait, the first of them is
/// printed before the earlier row.
const WAITING: usize = 10_000;

/// The widths of the two columns before the name of the file, and of both columns with the blanks after them.
const STEP: usize = 9;
const SIZE: usize = 9;
const BEFORE: usize = STEP + 1 + SIZE + 2;

/// The longest time to wait for an event. It is long, because this thread has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) paint: Paint,
    pub(crate) all: bool,
    /// True if only failures and sums are shown.
    pub(crate) quiet: bool,
    /// The number of columns of the terminal, or `None` if the lines may have any length.
    pub(crate) columns: Option<usize>,
    /// True if a line on the terminal shows how many files were checked.
    pub(crate) progress: bool,
}

/// Prints the plan of a session on standard output, until the session is over. Returns [`Exit::Success`], or
/// another exit status if the plan could not be written. `total` returns the number of files.
pub(crate) fn run(mut events: EventReader, look: Look, total: impl Fn() -> Total) -> Exit {
    let mut table = Table::new(look);
    let mut progress = Working::new(look.progress);
    let mut printed = Exit::Success;
    loop {
        match events.next(if look.progress { working::EVERY } else { PATIENCE }) {
            Next::Event(event) => table.add(&event),
            Next::Nothing => {}
            Next::End => break,
        }
        let is_due = table.text.len() >= super::AT_ONCE || events.is_empty();
        if printed == Exit::Success && is_due && !table.text.is_empty() {
            progress.clear();
            printed = printer::out(&std::mem::take(&mut table.text));
        }
        progress.show(false, || {
            let (checked, Total { files, more }) = (table.counts.steps.values().sum::<u64>(), total());
            let files = files.max(checked);
            format!("checked {checked} of {files}{} files", if more { "+" } else { "" })
        });
    }
    progress.clear();
    table.end();
    if printed == Exit::Success { printer::out(&table.text) } else { printed }
}

struct Row {
    step: &'static str,
    style: Option<Style>,
    size: Option<u64>,
    name: String,
    /// A text about the file, which is shown below the row.
    note: String,
}

/// The numbers of files for the lines below the table.
#[derive(Default)]
struct Counts {
    steps: BTreeMap<&'static str, u64>,
    /// The numbers of planned files whose size comes from a list, from a server, and from a journal.
    sizes: [u64; 3],
    with_digest: u64,
    may_be_renamed: u64,
    /// The number of files that are not shown.
    left_out: u64,
}

/// The table, with the facts from the events that have arrived.
struct Table {
    look: Look,
    /// The text that was not printed yet.
    text: String,
    /// The names of the jobs that have not ended.
    names: HashMap<JobId, String>,
    /// The rows that are not printed yet, because they wait for earlier rows.
    rows: BTreeMap<JobId, Row>,
    failures: Vec<Row>,
    /// True if the line above the table was printed.
    has_header: bool,
    /// The number of the next row, from 1.
    next: u64,
    counts: Counts,
    forecast: Forecast,
}

impl Table {
    fn new(look: Look) -> Table {
        Table {
            look,
            text: String::new(),
            names: HashMap::new(),
            rows: BTreeMap::new(),
            failures: Vec::new(),
            has_header: false,
            next: 1,
            counts: Counts::default(),
            forecast: Forecast::default(),
        }
    }

    fn add(&mut self, event: &Event) {
        match (&event.kind, event.job) {
            (EventKind::Queued { url, name, .. }, Some(job)) => {
                self.names.insert(job, name.clone().unwrap_or_else(|| url.clone()));
            }
            (EventKind::Plan { forecast, .. }, _) => self.forecast = forecast.clone(),
            (kind, Some(job)) => {
                if let Some(row) = self.row(kind, job) {
                    self.names.remove(&job);
                    *self.counts.steps.entry(row.step).or_default() += 1;
                    self.keep(job, row);
                }
            }
            _ => {}
        }
    }

    /// Returns the row of a job if this event ends the job. Returns `None` for all other events.
    fn row(&mut self, kind: &EventKind, job: JobId) -> Option<Row> {
        match kind {
            EventKind::Planned { .. } => Some(self.planned(kind)),
            EventKind::Skipped { path, reason, bytes, .. } => {
                let step = if kind.has_nothing_left() { KEEP } else { LEAVE };
                Some(Row { step, style: None, size: *bytes, name: path.clone(), note: reason.clone() })
            }
            EventKind::Failed { error, .. } => {
                let name = self.names.get(&job).cloned().unwrap_or_else(|| error.at.clone());
                let note = format!("{} ({})", error.message, error.code);
                Some(Row { step: FAIL, style: Some(Style::Failure), size: None, name, note })
            }
            _ => None,
        }
    }

    fn planned(&mut self, kind: &EventKind) -> Row {
        let EventKind::Planned { step, path, may_be_renamed, size, size_from, kept, digests, .. } = kind
        else {
            return Row { step: FAIL, style: None, size: None, name: String::new(), note: String::new() };
        };
        if let Some(from) = size_from {
            self.counts.sizes[index_of(*from)] += 1;
        }
        self.counts.with_digest += u64::from(!digests.is_empty());
        self.counts.may_be_renamed += u64::from(*may_be_renamed);
        let note = match step {
            Step::Compare => "only the server can say if the existing file is the wanted file".into(),
            Step::Wait => "another run is working on this file".into(),
            _ if *kept > 0 => format!("{} of it are already on the disk", bytes(*kept)),
            _ => String::new(),
        };
        let style = Some(if *step == Step::Replace { Style::Warning } else { Style::Success });
        Row { step: word(*step), style, size: *size, name: path.clone(), note }
    }

    fn keep(&mut self, job: JobId, row: Row) {
        let is_failure = row.step == FAIL;
        let is_shown = !self.look.quiet && (self.look.all || job.get() <= ROWS);
        if is_shown {
            self.rows.insert(job, row);
            self.print_rows(self.look.all && self.rows.len() > WAITING);
        } else if is_failure && self.look.quiet {
            self.print(&row);
        } else if is_failure && self.failures.len() < FAILURES {
            self.failures.push(row);
        } else {
            self.counts.left_out += 1;
        }
    }

    /// Prints the rows that need not wait for an earlier row. If `is_forced` is true, the first row is
    /// printed even if an earlier row is not known yet.
    fn print_rows(&mut self, mut is_forced: bool) {
        while let Some(first) = self.rows.first_entry() {
            let number = first.key().get();
            if number > self.next && !std::mem::take(&mut is_forced) {
                return;
            }
            self.next = self.next.max(number + 1);
            let row = first.remove();
            self.print(&row);
        }
    }

    fn print(&mut self, row: &Row) {
        if !std::mem::replace(&mut self.has_header, true) {
            self.text += &format!("{:STEP$} {:>SIZE$}  {}\n", "", "size", "file");
        }
        let step = format!("{:STEP$}", row.step);
        let step = row.style.map_or(step.clone(), |style| self.look.paint.show(style, &step));
        let size = units::right(&row.size.map_or("?".into(), bytes), SIZE);
        let name = escaped(&row.name);
        // The name is never shortened. The terminal wraps a long name, so that it can be copied as one word.
        self.text += &format!("{step} {size}  {name}\n");
        let columns = self.look.columns.map(|columns| columns.saturating_sub(BEFORE + 1).max(10));
        let note = escaped(&row.note);
        let lines = columns.map_or(vec![note.to_string()], |columns| units::wrap(&note, columns));
        for line in lines.iter().filter(|line| !line.is_empty()) {
            self.text += &format!("{:BEFORE$}{}\n", "", self.look.paint.show(Style::Note, line));
        }
    }

    /// Prints the rows that have not been printed, and the sums.
    fn end(&mut self) {
        while !self.rows.is_empty() {
            self.print_rows(true);
        }
        let failures = std::mem::take(&mut self.failures);
        let left_out = self.counts.left_out;
        if left_out > 0 && !self.look.quiet {
            let more = if left_out == 1 { "1 more file".into() } else { format!("{left_out} more files") };
            let line = format!("{:BEFORE$}{more} (--all shows all)\n", "");
            self.text += &line;
        }
        failures.iter().for_each(|row| self.print(row));
        if self.has_header || left_out > 0 && !self.look.quiet {
            self.text.push('\n');
        }
        self.sums();
    }

    fn sums(&mut self) {
        let (forecast, counts) = (std::mem::take(&mut self.forecast), std::mem::take(&mut self.counts));
        let mut lines = vec![("files", counts.files())];
        lines.extend(counts.of_planned(&forecast).into_iter().map(|text| ("", text)));
        lines.push(("disk", disk(&forecast)));
        for (index, line) in hosts(&forecast).into_iter().enumerate() {
            lines.push((if index == 0 { "hosts" } else { "" }, line));
        }
        let time = match forecast.seconds {
            _ if forecast.files == 0 => "nothing to download".into(),
            Some(seconds) => format!("about {}, at the last known speeds", units::clock(seconds.max(1.0))),
            None if forecast.unknown > 0 => "unknown, because not all sizes are known".into(),
            None => "unknown, because no earlier run measured the speed of these hosts".into(),
        };
        lines.push(("time", time));
        let columns = self.look.columns.map(|columns| columns.saturating_sub(SUMS + 1).max(10));
        for (what, text) in lines {
            let text = escaped(&text);
            let parts = columns.map_or(vec![text.to_string()], |columns| units::wrap(&text, columns));
            for (index, part) in parts.iter().enumerate() {
                let what = if index == 0 { what } else { "" };
                self.text += &format!("{what:SUMS$}{part}\n");
            }
        }
    }
}

/// The width of the column before the sums.
const SUMS: usize = 8;

/// The words of the first column, for files that are not downloaded.
const KEEP: &str = "keep";
const LEAVE: &str = "leave";
const FAIL: &str = "fail";

fn word(step: Step) -> &'static str {
    match step {
        Step::Resume => "resume",
        Step::Replace => "replace",
        Step::Compare => "compare",
        Step::Wait => "wait",
        _ => "download",
    }
}

/// Returns the index in [`Counts::sizes`] of the number of files whose size comes from `from`.
fn index_of(from: SizeFrom) -> usize {
    match from {
        SizeFrom::List => 0,
        SizeFrom::Server => 1,
        _ => 2,
    }
}

impl Counts {
    /// Returns how many files each step has, such as `3 download, 1 keep`.
    fn files(&self) -> String {
        let order = ["download", "resume", "replace", "compare", "wait", KEEP, LEAVE, FAIL];
        let of = |step: &&str| Some(format!("{} {step}", self.steps.get(step)?));
        let all: Vec<String> = order.iter().filter_map(of).collect();
        if all.is_empty() { "none".into() } else { all.join(", ") }
    }

    /// Returns what is known about the files that would be downloaded.
    fn of_planned(&self, forecast: &Forecast) -> Vec<String> {
        let mut lines = Vec::new();
        if forecast.files > 0 {
            let [list, server, journal] = self.sizes;
            let sizes = [
                (list, "from the list"),
                (server, "from the server"),
                (journal, "from a partial file"),
                (forecast.files - list - server - journal, "not known"),
            ];
            let sizes: Vec<String> = sizes
                .iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, what)| format!("{number} {what}"))
                .collect();
            lines.push(format!("sizes: {}", sizes.join(", ")));
            lines.push(format!(
                "digests: {} known, {} not known",
                self.with_digest,
                forecast.files - self.with_digest
            ));
        }
        if self.may_be_renamed > 0 {
            lines.push(format!("names: {} may be changed by the server", self.may_be_renamed));
        }
        lines
    }
}

fn disk(forecast: &Forecast) -> String {
    let least = if forecast.unknown > 0 { "at least " } else { "" };
    let kept = if forecast.kept > 0 {
        format!(" ({} are already on the disk)", bytes(forecast.kept))
    } else {
        String::new()
    };
    let free = forecast.free.map_or("unknown".into(), bytes);
    format!("{least}{} to download{kept}, {free} free", bytes(forecast.bytes))
}

fn hosts(forecast: &Forecast) -> Vec<String> {
    let mut hosts: Vec<(&String, &HostForecast)> = forecast.hosts.iter().collect();
    hosts.sort_by_key(|(_, host)| std::cmp::Reverse((host.bytes, host.files)));
    let line = |(origin, host): &(&String, &HostForecast)| {
        let files = if host.files == 1 { "1 file".into() } else { format!("{} files", host.files) };
        let least = if host.unknown > 0 { "at least " } else { "" };
        format!("{origin}: {files}, {least}{}", bytes(host.bytes))
    };
    let mut lines: Vec<String> = hosts.iter().take(HOSTS).map(line).collect();
    if hosts.len() > HOSTS {
        lines.push(format!("and {} more hosts", hosts.len() - HOSTS));
    }
    lines
}
