//! Draws bars as lines of text. The bars depend only on numbers and the width of the screen, and look like
//! the bars of tqdm.
//!
//! `name:  45%|████▌     | 1.21 GiB/2.66 GiB [00:12<00:15, 98.1 MiB/s]`

use super::line::Line;
use super::units::{self, Speed};
use crate::printer::Style;
use downhaul_engine::core::event::{JobId, Phase, Progress, State};
use downhaul_engine::core::show;
use std::collections::HashMap;
use std::time::Duration;

/// The number of columns of the shortest bar. A shorter bar would show too little detail.
const SHORTEST_BAR: usize = 8;

/// The number of columns of the longest bar. A longer bar would show no more detail to a person.
const LONGEST_BAR: usize = 40;

/// With fewer columns than this, no bars are drawn, because the name, the percentage and the speed are more
/// important.
const NARROW: usize = 60;

/// A name is not shortened to fewer columns than this, unless the screen is too narrow. With shorter names, a
/// person could not tell the files apart.
const SHORTEST_NAME: usize = 12;

/// The number of columns of the widest number of bytes, such as `9.99 MiB`. Blanks are put before shorter
/// numbers, so that the text beside them does not move while they grow.
const BYTES: usize = 8;

#[derive(Default)]
pub(crate) struct Bars {
    unicode: bool,
    pub(crate) state: State,
    /// The number of files of the run. It may grow while the list is read.
    pub(crate) total: Total,
    speeds: HashMap<JobId, Speed>,
    speed: Speed,
    frame: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) files: u64,
    /// True while the list is still being read. The number M of files is then shown as `M+`.
    pub(crate) more: bool,
}

impl Bars {
    /// Returns bars of block characters, or of ASCII characters.
    pub(crate) fn new(unicode: bool) -> Self {
        Bars { unicode, ..Bars::default() }
    }

    /// Stores the progress of the active jobs at the time `at`.
    pub(crate) fn sample(&mut self, at: Duration, samples: &[Progress]) {
        self.frame += 1;
        self.speeds.retain(|job, _| samples.iter().any(|sample| sample.job == *job));
        // The speed of a job is measured only while the job receives bytes. It is not measured while the job
        // waits, or while its bytes on the disk are checked.
        for sample in samples.iter().filter(|sample| sample.phase == Phase::Receiving) {
            self.speeds.entry(sample.job).or_default().sample(at, sample.bytes);
        }
        self.speed.sample(at, self.bytes(samples));
    }

    /// Returns the speed of a job in bytes per second, if it is known.
    pub(crate) fn speed_of(&self, job: JobId) -> Option<f64> {
        self.speeds.get(&job).and_then(Speed::get)
    }

    /// Returns a line for each active job, and a line for all files, unless the run has one file. There are
    /// at most `rows` lines (two if `rows` is less than two), and no line is wider than `columns`. If the
    /// lines of some jobs do not fit, one line says how many files are left out.
    pub(crate) fn lines(&self, samples: &[Progress], columns: usize, rows: usize) -> Vec<Line> {
        let room = rows.saturating_sub(1).max(1);
        let shown = if samples.len() > room { room - 1 } else { samples.len() };
        let names: Vec<String> = samples[..shown].iter().map(name_of).collect();
        let widest = names.iter().map(|name| units::width(name)).max().unwrap_or(0);
        let name_columns = widest.min(self.room_for_names(&samples[..shown], columns));
        let mut lines: Vec<Line> = samples[..shown]
            .iter()
            .zip(&names)
            .map(|(sample, name)| self.line(sample, name, name_columns, columns))
            .collect();
        if shown < samples.len() {
            lines.push(Line::plain(format!("... and {} more files", samples.len() - shown)).cut(columns));
        }
        // The line for all files would only repeat the line of a single file.
        let is_alone = samples.len() == 1 && !self.total.more && self.total.files.max(self.state.queued) == 1;
        if !is_alone {
            lines.push(self.whole(samples, columns).cut(columns));
        }
        lines
    }

    /// Returns how many columns a name may take. If the screen is narrow, names are shortened first. If the
    /// lines are then still too long, the bars are left out, and then some of the numbers.
    fn room_for_names(&self, samples: &[Progress], columns: usize) -> usize {
        let is_narrow = columns < NARROW;
        let texts = samples.iter().map(|sample| match Self::activity(sample) {
            Some((_, short)) if is_narrow => units::width(&short),
            Some((long, _)) => units::width(&long),
            None if is_narrow => {
                let share = sample.total.map_or(BYTES, |_| units::width("100%"));
                share + units::width(", ") + units::width(&self.rate(sample))
            }
            None => units::width("100%|") + SHORTEST_BAR + units::width(&self.numbers(sample)),
        });
        let rest = columns.saturating_sub(texts.max().unwrap_or(0) + units::width(": "));
        rest.max(SHORTEST_NAME).min(columns.saturating_sub(6))
    }

    fn line(&self, sample: &Progress, name: &str, name_columns: usize, columns: usize) -> Line {
        let name = units::fit(name, name_columns);
        let bare = name.trim_end();
        let prefix = format!("{bare}: {}", &name[bare.len()..]);
        let rest = columns.saturating_sub(units::width(&prefix));
        let Some((long, short)) = Self::activity(sample) else {
            return self.receiving(sample, rest, columns < NARROW).behind(&prefix).cut(columns);
        };
        let body = if units::width(&long) <= rest { long } else { short };
        Line::plain(prefix + &body).cut(columns)
    }

    /// Returns a long and a short text about a job that receives no bytes now. The long text is used if there
    /// is room for it. Returns `None` for a job that receives bytes.
    fn activity(sample: &Progress) -> Option<(String, String)> {
        let bytes = units::bytes(sample.bytes);
        let (long, short) = match sample.phase {
            Phase::Connecting if sample.bytes == 0 => ("connecting".to_string(), "connecting".to_string()),
            Phase::Connecting => (format!("connecting, {bytes} so far"), "connecting".into()),
            Phase::Waiting if sample.wait <= 0.0 => ("waiting for its turn".into(), "waiting".into()),
            Phase::Waiting => {
                let wait = units::clock(sample.wait.ceil());
                (format!("waiting {wait} before the next request"), format!("waiting {wait}"))
            }
            Phase::Asking => ("waiting for your answer".into(), "asking".into()),
            Phase::Finishing => (format!("{bytes}, writing to disk"), "writing".into()),
            Phase::Checking => (format!("checking {bytes} of an earlier run"), "checking".into()),
            _ => return None,
        };
        Some((long, short))
    }

    fn rate(&self, sample: &Progress) -> String {
        self.speed_of(sample.job).map_or("?".to_string(), units::rate)
    }

    /// Returns the numbers of a bar, such as `| 2.00 MiB/4.00 MiB [00:12<00:02, 1.00 MiB/s]`.
    fn numbers(&self, sample: &Progress) -> String {
        let elapsed = units::clock(sample.seconds);
        let bytes = units::right(&units::bytes(sample.bytes), BYTES);
        let rate = units::right(&self.rate(sample), BYTES + "/s".len());
        match sample.total {
            None => format!("| {bytes} [{elapsed}, {rate}]"),
            Some(total) => {
                let left = self.seconds_left(sample).map_or("?".to_string(), units::clock);
                let left = units::right(&left, "00:00".len());
                format!("| {bytes}/{} [{elapsed}<{left}, {rate}]", units::bytes(total))
            }
        }
    }

    /// Returns the line of a file that receives bytes, without its name.
    fn receiving(&self, sample: &Progress, columns: usize, narrow: bool) -> Line {
        let (numbers, rate) = (self.numbers(sample), self.rate(sample));
        let Some(total) = sample.total else {
            return match bar_room(columns, "     |", &numbers).filter(|_| !narrow) {
                Some(room) => {
                    Line::plain("     |").then(Style::Progress, &self.moving_bar(room)).and(&numbers)
                }
                None => Line::plain(format!("{}, {rate}", units::bytes(sample.bytes))),
            };
        };
        if sample.bytes >= total && total > 0 {
            let long = format!("100% of {}, writing to disk", units::bytes(total));
            return Line::plain(if units::width(&long) <= columns { long } else { "100%, writing".into() });
        }
        let share = if total == 0 { 1.0 } else { (sample.bytes as f64 / total as f64).clamp(0.0, 1.0) };
        // 100 % is shown only if it is exact.
        let percent = format!("{:>3}%", (share * 100.0).floor());
        if let Some(room) = bar_room(columns, "100%|", &numbers).filter(|_| !narrow) {
            let bar = self.bar(share, room);
            return Line::plain(format!("{percent}|")).then(Style::Progress, &bar).and(&numbers);
        }
        // Unknown numbers are left out, and so are the last parts that do not fit into the line.
        let left = self.seconds_left(sample).map(|left| format!(", {} left", units::clock(left)));
        let parts = [self.speed_of(sample.job).map(|_| format!(", {rate}")), left];
        let mut after = String::new();
        for part in parts.into_iter().flatten() {
            if units::width(&percent) + units::width(&after) + units::width(&part) <= columns {
                after += &part;
            }
        }
        let of = format!(" of {}", units::bytes(total));
        let fits = units::width(&percent) + units::width(&of) + units::width(&after) <= columns;
        Line::plain(if fits { percent + &of + &after } else { percent + &after })
    }

    fn bar(&self, share: f64, columns: usize) -> String {
        if !self.unicode {
            let full = (share * columns as f64).floor() as usize;
            return "#".repeat(full) + &"-".repeat(columns - full);
        }
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let eighths = (share * columns as f64 * 8.0).floor() as usize;
        let part = EIGHTHS[eighths % 8];
        let filled = "█".repeat(eighths / 8) + part;
        let empty = columns.saturating_sub(eighths / 8 + usize::from(!part.is_empty()));
        filled + &" ".repeat(empty)
    }

    /// Returns a moving bar for a file of unknown size.
    fn moving_bar(&self, columns: usize) -> String {
        let block = if self.unicode { "███" } else { "<=>" };
        let places = columns.saturating_sub(3).max(1);
        let step = self.frame % (2 * places);
        let at = if step < places { step } else { 2 * places - step };
        units::fit(&(" ".repeat(at) + block), columns)
    }

    /// Returns the line for all files. If this line is too long for the screen, the less important parts are
    /// left out. The number of failed files is left out only if it is 0.
    fn whole(&self, samples: &[Progress], columns: usize) -> Line {
        let State { finished, skipped, failed, .. } = self.state;
        let files = self.total.files.max(self.state.queued);
        let plus = if self.total.more { "+" } else { "" };
        let bytes = units::bytes(self.bytes(samples));
        let speed = self.speed_of_all(samples);
        let mut left = String::new();
        if let (Some((bytes, exact)), Some(speed)) = (self.missing_bytes(samples, files), speed)
            && speed > 0.0
            && !self.total.more
        {
            let about = if exact { "" } else { "about " };
            // All files together take at least as long as the slowest one.
            let slowest = samples.iter().filter_map(|sample| self.seconds_left(sample)).fold(0.0, f64::max);
            left = format!("{about}{} left", units::clock((bytes / speed).max(slowest)));
        }
        let parts = [
            format!("{} of {files}{plus} files", finished + skipped),
            bytes,
            speed.map(units::rate).unwrap_or_default(),
            left,
        ];
        let failures = format!("{failed} failed");
        // The indexes of the parts that are left out. These lists are tried in this order, until the line is
        // short enough.
        const LEFT_OUT: [&[usize]; 6] = [&[], &[1], &[1, 3], &[1, 2], &[1, 2, 3], &[0, 1, 2, 3]];
        let text = |left_out: &[usize], failures: &str| {
            let all = parts.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
            let all = all.map(|(_, part)| &**part).chain([failures]).filter(|part| !part.is_empty());
            all.collect::<Vec<&str>>().join(", ")
        };
        // On a narrow screen, the time that is left is more important than "0 failed".
        let needed = if failed == 0 { "" } else { &*failures };
        let mut all = LEFT_OUT[..2].iter().map(|left_out| text(left_out, &failures));
        let fitting = |text: &String| units::width(text) <= columns;
        let whole = all
            .find(fitting)
            .or_else(|| LEFT_OUT[1..].iter().map(|left_out| text(left_out, needed)).find(fitting));
        let whole = whole.unwrap_or_else(|| needed.into());
        match whole.strip_suffix(&failures).filter(|_| failed > 0) {
            Some(before) => Line::plain(before).then(Style::Failure, &failures),
            None => Line::plain(whole),
        }
    }

    /// Returns the speed of the whole run, which is the sum of the speeds in the bars. If no job receives
    /// bytes, or if some of these speeds are unknown (as with many small files), the result is the average
    /// speed of the run over the last seconds, but at least the sum of the known speeds. Returns `None` if
    /// all jobs wait, since no bytes arrive then, or if no speed is known yet.
    fn speed_of_all(&self, samples: &[Progress]) -> Option<f64> {
        let receiving: Vec<Option<f64>> = samples
            .iter()
            .filter(|sample| sample.phase == Phase::Receiving)
            .map(|sample| self.speed_of(sample.job))
            .collect();
        let is_waiting = |phase| matches!(phase, Phase::Waiting | Phase::Asking | Phase::Paused);
        if !samples.is_empty() && samples.iter().all(|sample| is_waiting(sample.phase)) {
            return None;
        }
        let known: f64 = receiving.iter().flatten().sum();
        match receiving.is_empty() || receiving.contains(&None) {
            true if known > 0.0 => Some(self.speed.get().map_or(known, |average| average.max(known))),
            true => self.speed.get(),
            false => Some(known),
        }
    }

    fn seconds_left(&self, sample: &Progress) -> Option<f64> {
        let speed = self.speed_of(sample.job).filter(|&speed| speed > 0.0)?;
        Some(sample.total?.saturating_sub(sample.bytes) as f64 / speed)
    }

    /// Returns the number of bytes that are still missing, and true if this number is exact, because every
    /// size is known. A file of unknown size is counted with the mean of the known sizes. Returns `None` if
    /// no size is known.
    fn missing_bytes(&self, samples: &[Progress], files: u64) -> Option<(f64, bool)> {
        let known: Vec<u64> = samples.iter().filter_map(|sample| sample.total).collect();
        let known_files = self.state.finished + known.len() as u64;
        if known_files == 0 {
            return None;
        }
        let mean = (self.state.bytes + known.iter().sum::<u64>()) as f64 / known_files as f64;
        let rest =
            |sample: &Progress| sample.total.map_or(mean, |total| total.saturating_sub(sample.bytes) as f64);
        let in_flight: f64 = samples.iter().map(rest).sum();
        let unstarted = files.saturating_sub(self.state.ended() + samples.len() as u64);
        let exact = unstarted == 0 && known.len() == samples.len();
        Some((in_flight + unstarted as f64 * mean, exact))
    }

    fn bytes(&self, samples: &[Progress]) -> u64 {
        self.state.bytes + samples.iter().map(|sample| sample.bytes).sum::<u64>()
    }
}

/// Returns the name of a job for its line.
fn name_of(sample: &Progress) -> String {
    if sample.name == "-" { "standard output".into() } else { show::escaped(&sample.name).into_owned() }
}

/// Returns the number of columns for a bar between two texts in a line of `columns` columns. Returns `None`
/// if too few columns are left for a bar.
fn bar_room(columns: usize, before: &str, after: &str) -> Option<usize> {
    let room = columns.checked_sub(units::width(before) + units::width(after))?;
    (room >= SHORTEST_BAR).then_some(room.min(LONGEST_BAR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(job: u64, name: &str, bytes: u64, total: Option<u64>) -> Progress {
        let mut sample = Progress::new(JobId::new(job), name, Phase::Receiving);
        (sample.bytes, sample.total, sample.seconds) = (bytes, total, 12.0);
        sample
    }

    fn bars(unicode: bool, steps: &[(u64, Vec<Progress>)]) -> Bars {
        let mut bars = Bars { unicode, ..Bars::default() };
        bars.state.queued = 5;
        bars.state.finished = 1;
        bars.state.bytes = 1 << 20;
        for (at, samples) in steps {
            bars.sample(Duration::from_secs(*at), samples);
        }
        bars
    }

    #[test]
    fn a_bar_looks_like_one_of_tqdm() {
        let at = |bytes| vec![sample(2, "a.iso", bytes, Some(4 << 20))];
        let now = at(2 << 20);
        let lines = bars(true, &[(0, at(0)), (1, at(1 << 20)), (2, now.clone())]).lines(&now, 80, 24);
        assert_eq!(
            lines[0].text,
            "a.iso:  50%|███████████▌           | 2.00 MiB/4.00 MiB [00:12<00:02, 1.00 MiB/s]"
        );
        assert_eq!(lines[1].text, "1 of 5 files, 3.00 MiB, 1.00 MiB/s, about 00:09 left, 0 failed");
    }

    #[test]
    fn names_are_shortened_first_and_failures_are_always_shown() {
        let at = |bytes| vec![sample(2, &"long-name-".repeat(9), bytes, Some(4 << 20))];
        let now = at(2 << 20);
        let mut bars = bars(true, &[(0, at(0)), (1, at(1 << 20)), (2, now.clone())]);
        bars.state.failed = 3;
        let line = |columns| bars.lines(&now, columns, 24)[0].text.clone();
        assert!(line(79).contains("%|█") && line(79).contains("1.00 MiB/s]"), "{}", line(79));
        assert!(line(59).contains(" 50%, 1.00 MiB/s") && !line(59).contains('█'), "{}", line(59));
        assert!(line(39).contains(" 50%, 1.00 MiB/s") && line(39).starts_with("long-nam"), "{}", line(39));
        for columns in 8..80 {
            let whole = bars.lines(&now, columns, 24)[1].text.clone();
            assert!(whole.contains("3 failed"), "{columns}: {whole}");
        }
    }

    #[test]
    fn the_bar_of_a_file_of_unknown_size_moves() {
        let now = vec![sample(2, "a", 5 << 20, None)];
        let bars = bars(false, &[(0, now.clone())]);
        let line = &bars.lines(&now, 60, 24)[0].text;
        assert!(line.contains("<=>") && line.contains("5.00 MiB [00:12,          ?]"), "{line}");
    }

    #[test]
    fn the_lines_always_fit_on_the_screen() {
        let names = ["short", "日本語のとても長いファイル名.iso", "cafe\u{301}\u{301}", "\u{1b}[31mred", "x"];
        let samples: Vec<Progress> = (0..100)
            .map(|n| {
                let total = if n % 3 == 0 { None } else { Some(1 << 40) };
                let mut one = sample(n, names[n as usize % names.len()], n << 30, total);
                one.phase =
                    [Phase::Receiving, Phase::Waiting, Phase::Connecting, Phase::Asking][n as usize % 4];
                one
            })
            .collect();
        for unicode in [false, true] {
            let bars = bars(unicode, &[(0, samples.clone()), (1, samples.clone())]);
            for columns in 1..200 {
                for rows in [1, 2, 10, 200] {
                    let lines = bars.lines(&samples, columns, rows);
                    assert!(lines.len() <= rows.max(2), "{} lines in {rows} rows", lines.len());
                    for line in lines.iter().map(|line| &line.text) {
                        assert!(units::width(line) <= columns, "{columns}: {line:?}");
                        assert!(!line.contains('\u{1b}'));
                    }
                }
            }
        }
    }
}
