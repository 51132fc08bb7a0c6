//! [`Screen`]: prints what aria2 prints, in the same words, because programs read it.
//!
//! Everything goes to standard output, or with `--stderr` to standard error. On a terminal, the line with the
//! progress is replaced each second. Elsewhere, a new line is printed each second.
//!
//! Invariant: texts of servers are escaped, and secrets in URLs are not shown.

use crate::platform;
use crate::printer;
use downhaul_daemon::entry::{Entry, State as EntryState};
use downhaul_daemon::gid::Gid;
use downhaul_daemon::options::Options;
use downhaul_daemon::queue::Sequence;
use downhaul_daemon::state::{Current, Notice, State};
use downhaul_engine::core::show::escaped;
use jiff::Zoned;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// The levels of messages, from the lowest to the highest: the name in `--console-log-level`, the name in
/// messages, and the colour (ECMA-48, SGR).
const LEVELS: [(&str, &str, &str); 5] = [
    ("debug", "DEBUG", "1;37"),
    ("info", "INFO", "1;36"),
    ("notice", "NOTICE", "1;32"),
    ("warn", "WARN", "1;33"),
    ("error", "ERROR", "1;31"),
];

/// The largest number of active downloads that the line with the progress shows, as in aria2.
const SHOWN: usize = 5;

/// The width of the tables, as in aria2.
const WIDTH: usize = 79;

/// The beginning of the line below the names of the columns, in the table of results.
const COLUMNS: &str = "======+====+===========+";

/// The output of a run.
pub(super) struct Screen {
    to_stderr: bool,
    quiet: bool,
    /// The lowest level that is shown, as an index of [`LEVELS`].
    level: usize,
    color: bool,
    readout: bool,
    human: bool,
    is_terminal: bool,
    summary_every: Duration,
    summary_at: Instant,
    results: String,
    log: Option<File>,
    /// The times when downloads began, and the bytes that they had at that time.
    begun: HashMap<Gid, (Instant, u64)>,
    /// The average speeds of downloads that are over, in bytes a second.
    speeds: HashMap<Gid, u64>,
}

impl Screen {
    /// Returns the output that the options choose.
    ///
    /// # Errors
    /// Returns why the log cannot be opened.
    pub(super) fn new(options: &Options) -> Result<Screen, String> {
        let to_stderr = options.is_true("stderr");
        let level = options.value("console-log-level");
        let log = options.get("log").filter(|path| *path != "-");
        let open = |path: &str| {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.map_err(|e| format!("Failed to open the file {}, cause: {e}", escaped(path)))
        };
        Ok(Screen {
            to_stderr,
            quiet: options.is_true("quiet"),
            level: LEVELS.iter().position(|(name, ..)| *name == level).unwrap_or(2),
            color: options.is_true("enable-color"),
            readout: options.is_true("show-console-readout"),
            human: options.is_true("human-readable"),
            is_terminal: if to_stderr { io::stderr().is_terminal() } else { io::stdout().is_terminal() },
            summary_every: Duration::from_secs(options.number("summary-interval")),
            summary_at: Instant::now(),
            results: options.value("download-result").into(),
            log: log.map(open).transpose()?,
            begun: HashMap::new(),
            speeds: HashMap::new(),
        })
    }

    pub(super) fn notice(&mut self, text: &str) {
        self.say(2, text);
    }

    pub(super) fn warn(&mut self, text: &str) {
        self.say(3, text);
    }

    pub(super) fn error(&mut self, text: &str) {
        self.say(4, text);
    }

    /// Writes a message with its level and time into the log, and prints it if its level is shown.
    fn say(&mut self, level: usize, text: &str) {
        let (_, name, color) = LEVELS[level];
        let now = Zoned::now();
        if let Some(log) = &mut self.log {
            let at = now.strftime("%Y-%m-%d %H:%M:%S.%6f");
            // A full disk must not end a download.
            let _ = log.write_all(format!("{at} [{name}] {text}\n").as_bytes());
        }
        if level >= self.level {
            let name = if self.color { format!("\x1b[{color}m{name}\x1b[0m") } else { name.into() };
            self.print(&format!("\n{} [{name}] {text}\n", now.strftime("%m/%d %H:%M:%S")));
        }
    }

    pub(super) fn print(&self, text: &str) {
        match (self.quiet, self.to_stderr) {
            (true, _) => {}
            (_, true) => printer::err(text),
            // If the program that reads the output has ended, the download must continue.
            (_, false) => drop(printer::write(text.as_bytes())),
        }
    }

    /// Prints a message if a download is complete or has failed. If a download begins, stores the time.
    pub(super) fn on(&mut self, notice: Notice, entry: &Entry) {
        match notice {
            Notice::Start => drop(self.begun.insert(entry.gid, (Instant::now(), entry.completed))),
            Notice::Complete => {
                self.measure(entry);
                self.notice(&format!("Download complete: {}", path(entry)));
            }
            Notice::Error => {
                self.measure(entry);
                let (code, why) = entry.error.clone().unwrap_or_default();
                let (status, uri) = (entry.aria2_status(), uri(entry));
                self.error(&format!(
                    "Download aborted. URI={uri}\nException: [{code}] errorCode={status} URI={uri}\n  \
                     -> [{code}] errorCode={status} {}",
                    escaped(&why)
                ));
                if code == "resume.damaged" {
                    self.notice(
                        "The existing file was not changed. Without -c, the new file gets another name, \
                         unless --auto-file-renaming=false is given. With --allow-overwrite=true, it replaces the existing file.",
                    );
                }
                self.unfinished(entry);
            }
            Notice::Pause | Notice::Stop | Notice::Changed | Notice::Gone => {}
        }
    }

    /// Prints that a download is not complete, because it has failed or because the run ends.
    pub(super) fn unfinished(&mut self, entry: &Entry) {
        self.notice(&format!("Download GID#{} not complete: {}", entry.gid, path(entry)));
    }

    fn measure(&mut self, entry: &Entry) {
        if let Some((at, before)) = self.begun.remove(&entry.gid) {
            let millis = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
            let bytes = entry.completed.saturating_sub(before);
            self.speeds.insert(entry.gid, bytes.saturating_mul(1000) / millis);
        }
    }

    /// Returns the progress, which is printed each second. If `--summary-interval` has passed, a summary
    /// comes before it.
    pub(super) fn progress(&mut self, state: &State) -> String {
        let mut text = String::new();
        let active: Vec<&Entry> = state.queue().iter(Sequence::Active).map(|entry| &**entry).collect();
        let Some(first) = active.first() else { return text };
        if !self.summary_every.is_zero() && self.summary_at.elapsed() >= self.summary_every {
            self.summary_at = Instant::now();
            text += &self.summary(state, &active);
        }
        if !self.readout {
            return text;
        }
        let line = if active.len() == 1 {
            self.one(state, first, true)
        } else {
            let each = active.iter().take(SHOWN).map(|entry| self.one(state, entry, false));
            let more = active.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!("(+{more})") } else { String::new() };
            format!("[DL:{}]{}{more}", self.size(state.speed()), each.collect::<String>())
        };
        if self.is_terminal {
            let width = platform::terminal_size().0.saturating_sub(1);
            let line: String = line.chars().take(width).collect();
            text + &format!("\r\x1b[K{line}")
        } else {
            text + &format!("{line}\n")
        }
    }

    fn summary(&self, state: &State, active: &[&Entry]) -> String {
        let now = Zoned::now();
        let mut text = format!(
            " *** Download Progress Summary as of {} *** \n{}\n",
            now.strftime("%a %b %e %H:%M:%S %Y"),
            "=".repeat(WIDTH)
        );
        for entry in active {
            text +=
                &format!("{}\nFILE: {}\n{}\n", self.one(state, entry, true), path(entry), "-".repeat(WIDTH));
        }
        text + "\n"
    }

    /// Returns the progress of one download. If `whole` is true, the text also has the number of connections,
    /// the speed and the time left.
    fn one(&self, state: &State, entry: &Entry, whole: bool) -> String {
        let Current { completed, total, speed, connections } = state.current(entry);
        let total = total.unwrap_or_default();
        let percent = completed.saturating_mul(100).checked_div(total).map(|percent| format!("({percent}%)"));
        let mut text = format!(
            "[#{} {}/{}{}",
            short(entry.gid),
            self.size(completed),
            self.size(total),
            percent.unwrap_or_default()
        );
        if whole {
            text += &format!(" CN:{connections} DL:{}", self.size(speed));
            let left = total.saturating_sub(completed).checked_div(speed).filter(|left| *left > 0);
            text.extend(left.map(|left| format!(" ETA:{}", duration(left))));
        }
        text + "]"
    }

    fn size(&self, bytes: u64) -> String {
        if self.human { format!("{}B", abbreviated(bytes)) } else { format!("{bytes}B") }
    }

    /// Returns the table of results, which is printed at the end.
    pub(super) fn results(&self, state: &State) -> String {
        if self.results == "hide" {
            return String::new();
        }
        let is_full = self.results == "full";
        let columns = if is_full { format!("{COLUMNS}===+") } else { COLUMNS.into() };
        let percent = if is_full { "  %|" } else { "" };
        let mut text = format!(
            "\nDownload Results:\ngid   |stat|avg speed  |{percent}path/URI\n{columns}{}\n",
            "=".repeat(WIDTH - columns.len())
        );
        let mut legend: [(&str, &str, bool); 4] = [
            ("OK", "download completed.", false),
            ("ERR", "error occurred.", false),
            ("INPR", "download in-progress.", false),
            ("RM", "download removed.", false),
        ];
        let all = [Sequence::Over, Sequence::Active].into_iter().flat_map(|which| state.queue().iter(which));
        for entry in all {
            let kind = match entry.state {
                EntryState::Complete => 0,
                EntryState::Error => 1,
                EntryState::Removed => 3,
                EntryState::Active | EntryState::Waiting | EntryState::Paused => 2,
            };
            legend[kind].2 = true;
            text += &self.row(entry, legend[kind].0, is_full);
        }
        let used = legend.iter().filter(|(.., used)| *used);
        let used: String = used.map(|(name, meaning, _)| format!("({name}):{meaning}")).collect();
        text += &format!("\nStatus Legend:\n{used}\n");
        if legend[1].2 || legend[2].2 {
            text += "\naria2 will resume download if the transfer is restarted.\n\
                     If there are any errors, then see the log file. See '-l' option in help/man page for \
                     details.\n";
        }
        text
    }

    fn row(&self, entry: &Entry, status: &str, is_full: bool) -> String {
        let speed = self.speeds.get(&entry.gid).map(|speed| format!("{}/s", self.size(*speed)));
        let speed = speed.unwrap_or_else(|| "n/a".into());
        let percent = entry.completed.saturating_mul(100).checked_div(entry.total.unwrap_or_default());
        let percent = match (is_full, percent) {
            (false, _) => String::new(),
            (true, Some(percent)) => format!("{percent:>3}|"),
            (true, None) => "  -|".into(),
        };
        let what = if entry.path.is_some() { path(entry) } else { uri(entry) };
        format!("{}|{status:<4}|{speed:>11}|{percent}{what}\n", short(entry.gid))
    }
}

/// Returns the beginning of an identifier, as aria2 shows it.
fn short(gid: Gid) -> String {
    gid.to_string().chars().take(6).collect()
}

fn path(entry: &Entry) -> String {
    entry.path.as_ref().map(|path| escaped(&path.to_string_lossy()).into_owned()).unwrap_or_default()
}

/// Returns the first URL, without secrets.
fn uri(entry: &Entry) -> String {
    entry.shown_uris().next().unwrap_or_default().into_owned()
}

/// Returns a number of bytes as aria2 shortens it: `921`, `0.9Ki`, `1.0Ki`, `19Mi`. Digits are cut off, not
/// rounded.
fn abbreviated(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["", "Ki", "Mi", "Gi"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (whole, rest) = (whole / 1024, whole % 1024);
        unit += 1;
    }
    // 922 is the first number above nine tenths of 1024. From 922 on, aria2 uses the next unit.
    if whole >= 922 && unit + 1 < UNITS.len() {
        (whole, rest) = (0, whole);
        unit += 1;
    }
    match whole {
        0..10 if unit > 0 => format!("{whole}.{}{}", rest * 10 / 1024, UNITS[unit]),
        _ => format!("{whole}{}", UNITS[unit]),
    }
}

/// Returns a number of seconds such as `5s`, `5m6s` and `1h2m`.
fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let part = |number: u64, unit: &str| if number > 0 { format!("{number}{unit}") } else { String::new() };
    let text = part(hours, "h") + &part(minutes, "m") + &part(seconds, "s");
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_those_of_aria2() {
        for (bytes, text) in [
            (0, "0"),
            (921, "921"),
            (922, "0.9Ki"),
            (1023, "0.9Ki"),
            (1024, "1.0Ki"),
            (16_384, "16Ki"),
            (300_000, "292Ki"),
            (3_000_000, "2.8Mi"),
            (19_922_944, "19Mi"),
            (1 << 40, "1024Gi"),
        ] {
            assert_eq!(abbreviated(bytes), text, "{bytes}");
        }
        for (seconds, text) in [(0, "0s"), (59, "59s"), (306, "5m6s"), (3720, "1h2m"), (3600, "1h")] {
            assert_eq!(duration(seconds), text);
        }
    }
}
