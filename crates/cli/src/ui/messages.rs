//! Turns events into messages for the user: failures with advice, the summary, and the command that resumes
//! the run or repairs its files. Remote text is escaped before it reaches the screen.

mod advice;

use super::units;
use crate::again::Again;
use crate::args::Args;
use crate::hints;
use crate::printer::{Paint, Style};
use downhaul_engine::Summary;
use downhaul_engine::core::event::{Event, EventKind, Failure, JobId};
use downhaul_engine::core::run_limits::Reached;
use downhaul_engine::core::show::{self, escaped};
use std::collections::BTreeMap;

pub(crate) struct Messages<'a> {
    /// The arguments, for the command that resumes the run. `None` in a replay.
    pub(crate) args: Option<&'a Args>,
    pub(crate) paint: Paint,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    pub(crate) unicode: bool,
    /// The jobs that were added to the queue and have not ended. Their number is limited by the length of the
    /// queue and the number of jobs that run at the same time.
    known: BTreeMap<JobId, Known>,
    /// True if a download failed and may succeed in another run.
    another_run_may_succeed: bool,
    /// True if a file on the disk does not match the expected digest.
    has_wrong_files: bool,
    /// True if a job ended because the run was stopped. The usual summary is then left out.
    stopped: bool,
}

/// The facts about a job that has not ended.
#[derive(Default)]
struct Known {
    url: String,
    path: Option<String>,
    /// True if the URL was given without a scheme.
    assumed_https: bool,
    /// True if a message has already said why the transfer was interrupted.
    is_interrupted: bool,
}

impl<'a> Messages<'a> {
    pub(crate) fn new(
        args: Option<&'a Args>,
        paint: Paint,
        quiet: bool,
        verbose: bool,
        unicode: bool,
    ) -> Self {
        Messages {
            args,
            paint,
            quiet,
            verbose,
            unicode,
            known: BTreeMap::new(),
            another_run_may_succeed: false,
            has_wrong_files: false,
            stopped: false,
        }
    }

    /// Returns the name of an unfinished file for messages: its path or, if the path is not known yet, its
    /// URL. For a job that is not known, returns a text with the number of the job.
    pub(crate) fn name_of(&self, job: JobId) -> String {
        match self.known.get(&job) {
            Some(Known { path: Some(path), .. }) => escaped(path).into_owned(),
            Some(Known { url, .. }) => escaped(url).into_owned(),
            None => format!("file {job}"),
        }
    }

    /// Returns the reason for a failure. If the job is known, the reason includes the place of the failure
    /// (such as a URL or a path), unless the message, the URL of the job or the path of its file already
    /// contains the place.
    pub(crate) fn reason(&self, job: JobId, error: &Failure) -> String {
        match self.known.get(&job) {
            Some(known) => reason(known, error),
            None => escaped(&error.message).into_owned(),
        }
    }

    /// Returns the lines that describe an event.
    //
    // This function is long because it is one match over all events.
    pub(crate) fn lines(&mut self, event: &Event) -> Vec<String> {
        let Some(job) = event.job else { return self.summary(&event.kind) };
        match &event.kind {
            EventKind::Queued { url, assumed_https, name, .. } => {
                let folder = self.args.map(|args| &args.output.folder);
                let path = name.as_ref().filter(|name| *name != "-").map(|name| match folder {
                    Some(folder) => folder.join(name).to_string_lossy().into_owned(),
                    None => name.clone(),
                });
                self.known.insert(
                    job,
                    Known { url: url.clone(), path, assumed_https: *assumed_https, ..Known::default() },
                );
                Vec::new()
            }
            EventKind::Started { path, size, url, notes, .. } => {
                if let Some(known) = self.known.get_mut(&job) {
                    known.path = Some(path.clone()).filter(|path| path != "-");
                }
                let mut lines = self.verbose_line(|| {
                    let size = size.map_or("of unknown size".to_string(), units::bytes);
                    format!("{} from {}, {size}", escaped(path), escaped(url))
                });
                lines.extend(notes.iter().flat_map(|note| self.verbose_line(|| escaped(note).into_owned())));
                lines
            }
            EventKind::Resumed { from, bytes, .. } => {
                let name = self.name_of(job);
                let (bytes, from) = (units::bytes(*bytes), units::bytes(*from));
                // This message is for a file that an earlier run left unfinished. It is not shown if the
                // transfer was interrupted in this run, because the user has already seen a message about
                // the interruption.
                let known = self.known.entry(job).or_default();
                if !std::mem::replace(&mut known.is_interrupted, false) && !self.quiet {
                    let mark = self.paint.show(Style::Note, self.mark("↻", "~"));
                    return vec![format!(
                        "{mark} {name}: resuming, the journal lists {bytes} of an earlier run"
                    )];
                }
                self.verbose_line(|| format!("{name}: continuing at {from}, {bytes} are on the disk"))
            }
            EventKind::Retrying { error, attempt, of, wait, from, .. } => {
                self.known.entry(job).or_default().is_interrupted = true;
                if self.quiet {
                    return Vec::new();
                }
                let what = match (attempt, from) {
                    _ if error.code == "file.locked" => "waiting for that run".to_string(),
                    (0, 0) => "starting again".to_string(),
                    (0, from) => format!("continuing at {}", units::bytes(*from)),
                    (n, _) if *of == u32::MAX => format!("retry {n}"),
                    (n, _) => format!("retry {n} of {of}"),
                };
                let has_time = *wait >= 0.05 && error.code != "file.locked";
                let when = if has_time { format!(" in {}", units::took(*wait)) } else { String::new() };
                let mark = self.paint.show(Style::Warning, self.mark("↻", "~"));
                let name = self.name_of(job);
                vec![format!("{mark} {name}: {}; {what}{when}", self.reason(job, error))]
            }
            EventKind::MirrorLeft { url, error, .. } => {
                if self.quiet {
                    return Vec::new();
                }
                let mark = self.paint.show(Style::Warning, self.mark("↻", "~"));
                let (name, why) = (self.name_of(job), escaped(&error.message));
                vec![format!("{mark} {name}: dropped mirror {}: {why}", escaped(url))]
            }
            // The prompt shows the question.
            EventKind::Question { .. } => {
                self.known.entry(job).or_default().is_interrupted = true;
                Vec::new()
            }
            EventKind::Verified { algorithm, digest, source, .. } => {
                let name = self.name_of(job);
                self.verbose_line(|| format!("{name}: {algorithm} {digest} matches {}", escaped(source)))
            }
            EventKind::Finished { path, proven, warnings, made_from, .. } => {
                self.known.remove(&job);
                let path = if path == "-" { "standard output" } else { path };
                if self.quiet {
                    // With `-q`, the file has no line of its own, so each warning names the path.
                    let warning =
                        |warning: &String| format!("warning: {}: {}", escaped(path), escaped(warning));
                    let warnings = warnings.iter().map(warning);
                    return warnings.map(|text| self.paint.show(Style::Warning, &text)).collect();
                }
                let mark = self.paint.show(Style::Success, self.mark("✓", "ok"));
                let transferred = transferred(&event.kind);
                let mut lines = vec![format!(
                    "{mark} {}  {}, {}",
                    escaped(path),
                    self.paint.show(Style::Note, &transferred),
                    escaped(show::verified(proven))
                )];
                lines.extend(
                    made_from.iter().map(|other| {
                        self.paint.show(Style::Note, &format!("  {}", escaped(&other.reason())))
                    }),
                );
                lines.extend(warnings.iter().map(|warning| {
                    self.paint.show(Style::Warning, &format!("  warning: {}", escaped(warning)))
                }));
                lines
            }
            EventKind::Skipped { path, reason, .. } => {
                self.known.remove(&job);
                if self.quiet {
                    return Vec::new();
                }
                let mark = self.paint.show(Style::Note, self.mark("·", "-"));
                vec![format!("{mark} {} {}", escaped(path), escaped(reason))]
            }
            EventKind::Failed { error, retries, exhausted, .. } => {
                let (name, reason) = (self.name_of(job), self.reason(job, error));
                let known = self.known.remove(&job).unwrap_or_default();
                let more = self.more_advice(&known, error);
                self.failed(&format!("{name}: {reason}"), error, more, *retries, *exhausted)
            }
            // All other events have no message. The summary is handled above, because it belongs to no job.
            _ => Vec::new(),
        }
    }

    fn failed(
        &mut self,
        what: &str,
        error: &Failure,
        more: Option<String>,
        retries: u32,
        exhausted: bool,
    ) -> Vec<String> {
        self.stopped |= error.code == "run.stopped";
        if hints::is_silent(&error.code) {
            return Vec::new();
        }
        let mark = self.paint.show(Style::Failure, self.mark("✗", "!!"));
        let tries = if retries > 0 {
            format!(" (after {retries} {})", if retries == 1 { "retry" } else { "retries" })
        } else {
            String::new()
        };
        let mut lines = vec![format!("{mark} {what}{tries}")];
        // `more` is advice for this failure. It replaces the general advice for its kind of error.
        let advice = more.or_else(|| hints::advice(&error.code).map(str::to_string));
        lines.extend(advice.map(|advice| format!("  {advice}")));
        self.another_run_may_succeed |= !hints::fails_again(error);
        self.has_wrong_files |= hints::is_wrong_on_disk(error);
        if exhausted {
            lines.push("Maximum retries reached. Exiting.".into());
        }
        lines
    }

    fn summary(&self, fact: &EventKind) -> Vec<String> {
        let EventKind::Summary { files, finished, skipped, failed, bytes, fetched, seconds, .. } = fact
        else {
            return Vec::new();
        };
        let how_to_repair = Vec::from_iter(self.how_to_repair());
        // For a single file, the message about this file is enough.
        if self.stopped || *files < 2 || (self.quiet && *failed == 0) {
            return how_to_repair;
        }
        let speed = if *seconds > 0.0 { *fetched as f64 / seconds } else { 0.0 };
        let mut text = format!("{finished} of {files} files downloaded");
        if *skipped > 0 {
            text += &format!(", {skipped} skipped");
        }
        let kept = if fetched < bytes { format!("{}, ", units::bytes(*bytes)) } else { String::new() };
        let came = if kept.is_empty() { units::bytes(*bytes) } else { fetched_now(*fetched) };
        text += &format!(", {failed} failed");
        if *finished > 0 || *fetched > 0 {
            text += &format!("; {kept}{came} in {} ({})", units::took(*seconds), units::rate(speed));
        }
        [vec![text], how_to_repair].concat()
    }

    /// Returns the command that repairs wrong files on the disk, if there are such files and
    /// [`Again::repairing`] made a command. Returns `None` if a secret is left out of that command, or if the
    /// files are in a container.
    fn how_to_repair(&self) -> Option<String> {
        let Some(Again::Command(command, hidden)) = self.args.map(|args| &args.repair) else { return None };
        let can_repair = self.has_wrong_files && hidden.is_empty() && self.form().is_none();
        let label = || self.paint.show(Style::Note, "To repair the files on the disk:");
        can_repair.then(|| format!("{} {command}", label()))
    }

    /// Returns true if the last lines of the output should have the command for another run: a download
    /// failed, another run may succeed, and no command that repairs files is shown. Output that goes to a
    /// pipe, a device or standard output cannot be resumed, so this function then returns false.
    pub(crate) fn suggests_another_run(&self) -> bool {
        self.another_run_may_succeed && self.how_to_repair().is_none() && self.output().is_none()
    }

    fn verbose_line(&self, line: impl FnOnce() -> String) -> Vec<String> {
        if self.verbose { vec![self.paint.show(Style::Note, &format!("  {}", line()))] } else { Vec::new() }
    }

    fn mark(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }
}

/// Returns the last lines of a run that was stopped. `all` is the number of files of the run, if it is known.
/// `again` is the command for another run. This command is shown only if the run ended because of
/// `--max-total` or `--deadline`.
pub(crate) fn stopped(summary: &Summary, all: Option<u64>, again: &Again) -> String {
    let files = |n: u64| format!("{n} {}", if n == 1 { "file" } else { "files" });
    let by = match summary.reached {
        Some(Reached::Total) => " by --max-total",
        Some(Reached::Deadline) => " by --deadline",
        _ => "",
    };
    let mut text = format!("Stopped{by}: ");
    if summary.finished > 0 {
        text += &format!("{} downloaded, ", files(summary.finished));
    }
    let failed = summary.failed.saturating_sub(summary.stopped);
    if failed > 0 {
        text += &format!("{failed} failed, ");
    }
    let ended = summary.finished + summary.skipped + failed;
    let unfinished = all.unwrap_or_default().saturating_sub(ended).max(summary.stopped);
    if unfinished > 0 || (failed == 0 && summary.finished == 0) {
        let is_unstarted = summary.reached.is_some() && summary.stopped <= summary.unstarted;
        let what = if is_unstarted { "not started" } else { "unfinished" };
        text += &format!("{} {what}, ", files(unfinished));
    }
    text += &match summary.resumable {
        // A file that was not started in this run may have a partial file of an earlier run.
        0 if unfinished > 0 && unfinished <= summary.stopped && summary.unstarted == 0 => {
            "no bytes kept".to_string()
        }
        0 => String::new(),
        _ => format!("{} kept", units::bytes(summary.kept)),
    };
    let text = text.trim_end_matches(", ");
    if summary.reached.is_some() {
        let (label, command) = again.to_run_again(true);
        return format!("{text}.\n{label}{command}\n");
    }
    match (summary.resumable, unfinished) {
        (0, 0) => format!("{text}.\n"),
        (0, 1) => format!("{text}. Run the same command to download the unfinished file.\n"),
        (0, _) => format!("{text}. Run the same command to download the unfinished files.\n"),
        _ => format!("{text}. Run the same command to resume.\n"),
    }
}

/// Returns a text about a finished file: its size, the time that the fetching took, and how much was fetched
/// if some bytes were already on the disk. If all bytes were already on the disk, the text has no time.
fn transferred(finished: &EventKind) -> String {
    let EventKind::Finished { bytes, fetched, chunk_length, seconds, .. } = finished else {
        return String::new();
    };
    let (size, time) = (units::bytes(*bytes), units::took(*seconds));
    if *fetched == 0 && *bytes > 0 {
        return format!("{size}, all of it was on the disk");
    }
    if let Some(length) = chunk_length.filter(|&length| length > 0 && fetched < bytes) {
        let (some, all) = (fetched.div_ceil(length), bytes.div_ceil(length));
        return format!("{size}, {some} of {all} chunks fetched ({}) in {time}", units::bytes(*fetched));
    }
    let rate = units::rate(if *seconds > 0.0 { *fetched as f64 / seconds } else { 0.0 });
    match bytes.saturating_sub(*fetched) {
        0 => format!("{size} in {time} ({rate})"),
        kept => {
            format!("{size}, {} in {time} ({rate}), {} kept", fetched_now(*fetched), units::bytes(kept))
        }
    }
}

fn fetched_now(bytes: u64) -> String {
    format!("{} fetched", units::bytes(bytes))
}

fn reason(known: &Known, error: &Failure) -> String {
    let message = escaped(&error.message);
    let at = &error.at;
    let said = at.is_empty()
        || error.message.contains(at)
        || known.url.contains(at)
        || known.path.as_ref().is_some_and(|path| path.contains(at));
    if said { message.into_owned() } else { format!("{message} ({})", escaped(at)) }
}
