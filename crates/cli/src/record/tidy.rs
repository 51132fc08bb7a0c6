//! Removes the lines of a lock file that later lines replace, and sorts the lines about the files of the last
//! run. These include lines of earlier runs about files that the last run skipped.
//!
//! Invariant: the memory is limited, even for many millions of lines, because the file is read once for each
//! million of them. The lock file is replaced in one step.

use super::{Form, rows};
use crate::platform;
use downhaul_engine::core::event::JobId;
use downhaul_engine::core::lock_file::Line;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Each time the lock file is read, the hashes of about this many lines at most are kept in memory. They take
/// less than 200 MB. If a run adds more lines than this, its lines keep the order in which the jobs ended.
pub(super) const AT_ONCE: usize = 1_000_000;

/// The highest number of failures of one URL that are kept. A list seldom has a URL more than twice, but URLs
/// whose secrets are hidden may be equal in a lock file.
const FAILED_MOST: usize = 16;

/// If `had_lines` is true, the file has lines of earlier runs, and this function removes the lines that later
/// lines replace. It also sorts the lines of the last run by their jobs. If a line of the last run adds
/// nothing to an earlier line, the earlier line is kept instead, and gets the place of the removed line.
/// `file` is the open lock file, and `order` has the jobs of its last lines.
pub(super) fn tidy(
    mut file: File,
    path: &Path,
    form: Form,
    had_lines: bool,
    order: &[JobId],
) -> io::Result<()> {
    if !had_lines && order.is_sorted() {
        return Ok(());
    }
    file.seek(SeekFrom::Start(0))?;
    let total = rows(&mut file, form).try_fold(0, |total, row| row.map(|_| total + 1))?;
    let first = total - order.len().min(total);
    let Dropped { lines: dropped, instead } =
        if had_lines { dropped(&mut file, form, (first, total))? } else { Dropped::default() };
    if dropped.is_empty() && order.is_sorted() {
        return Ok(());
    }
    let mut kept = None;
    platform::replace_with(path, platform::FOR_ALL, |to| {
        file.seek(SeekFrom::Start(0))?;
        let (mut at, mut last) = (0, Vec::new());
        for (number, row) in rows(&mut file, form).enumerate() {
            let row = row?;
            let is_kept = !dropped.has(number as u64);
            let number = instead.get(&(number as u64)).map_or(number, |later| *later as usize);
            match number.checked_sub(first).and_then(|place| order.get(place)) {
                Some(job) if is_kept => last.push((*job, at, row.len())),
                None if is_kept => to.write_all(&row)?,
                _ => {}
            }
            at += row.len() as u64;
        }
        last.sort_unstable();
        for (_, at, length) in last {
            let mut row = vec![0; length];
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut row)?;
            to.write_all(&row)?;
        }
        kept = platform::keep_while_replaced(file);
        Ok(())
    })?;
    drop(kept);
    Ok(())
}

/// The lines that are removed.
#[derive(Default)]
struct Dropped {
    lines: Bits,
    /// Each key is the number of an earlier line that is kept instead of lines of the last run. The value is
    /// the number of the last one of these removed lines.
    instead: HashMap<u64, u64>,
}

/// Returns the lines that are removed. `first` is the first line of the last run, and `total` is the number
/// of lines.
fn dropped(file: &mut File, form: Form, (first, total): (usize, usize)) -> io::Result<Dropped> {
    let (hasher, mut dropped) = (RandomState::new(), Dropped::default());
    let passes = (total / AT_ONCE + 1) as u64;
    for pass in 0..passes {
        file.seek(SeekFrom::Start(0))?;
        let mut counting = Counting { first: first as u64, ..Counting::default() };
        for (number, row) in rows(&mut *file, form).enumerate() {
            let Some(entry) = form.read(&String::from_utf8_lossy(&row?)) else { continue };
            let of_this_pass = |text: &str| Some(hasher.hash_one(text)).filter(|hash| hash % passes == pass);
            let name = of_this_pass(&entry.out);
            let out = Some(&entry.out).filter(|out| !out.is_empty()).map(|out| hasher.hash_one(out));
            if let Some(url) = of_this_pass(&entry.url) {
                counting.add_url(number as u64, url, out, entry.line(), &mut dropped);
            }
            if let Some(name) = name.filter(|_| entry.line() != Line::Failed) {
                counting.add_file(number as u64, name, entry.line(), &mut dropped);
            }
        }
        dropped.instead.retain(|_, later| *later >= first as u64);
    }
    Ok(dropped)
}

/// The lines that are kept, among the lines that were read so far.
#[derive(Default)]
struct Counting {
    /// For each hash of a name, the number of the kept line about the file of this name, and what the line
    /// states. Lines about failed jobs are not among them.
    files: HashMap<u64, (u64, Line)>,
    /// For each hash of a URL, the lines about failures that are kept: their numbers, and the hashes of the
    /// names of their files, if they have names.
    failed: HashMap<u64, Vec<(u64, Option<u64>)>>,
    /// The number of the first line of the last run.
    first: u64,
}

impl Counting {
    /// Marks the lines about failures that a line about the same URL replaces. `out` is the hash of the name
    /// of the file, if the line has one.
    fn add_url(&mut self, number: u64, url: u64, out: Option<u64>, line: Line, dropped: &mut Dropped) {
        let failed = self.failed.entry(url).or_default();
        // A list may have a URL twice, with two names. If the server names the file, a later run may save it
        // under another name than that of the failure.
        let is_same = |name: Option<u64>| name.is_none() || out.is_none() || name == out;
        let has_same = failed.iter().any(|(_, name)| is_same(*name));
        let is_later_run = number >= self.first;
        failed.retain(|&(earlier, name)| {
            let is_replaced = match has_same {
                true => is_same(name),
                false => is_later_run && earlier < self.first,
            };
            if is_replaced {
                dropped.lines.set(earlier);
            }
            !is_replaced
        });
        match line {
            Line::Failed => {
                if failed.len() == FAILED_MOST {
                    dropped.lines.set(failed.remove(0).0);
                }
                failed.push((number, out));
            }
            _ if failed.is_empty() => drop(self.failed.remove(&url)),
            _ => {}
        }
    }

    /// Compares a line about a file with the kept line about the file of the same name. Marks the older line,
    /// or the new line if it adds nothing to the older line.
    fn add_file(&mut self, number: u64, name: u64, line: Line, dropped: &mut Dropped) {
        match self.files.get(&name) {
            Some((earlier, known)) if line.adds_nothing_to(*known) => {
                dropped.lines.set(number);
                dropped.instead.insert(*earlier, number);
            }
            earlier => {
                earlier.into_iter().for_each(|(earlier, _)| dropped.lines.set(*earlier));
                self.files.insert(name, (number, line));
            }
        }
    }
}

/// A set of numbers. Each number takes one bit.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn place(number: u64) -> (usize, u64) {
        (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
    }

    fn set(&mut self, number: u64) {
        let (at, bit) = Bits::place(number);
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= bit;
    }

    fn has(&self, number: u64) -> bool {
        let (at, bit) = Bits::place(number);
        self.0.get(at).is_some_and(|bits| bits & bit != 0)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the numbers of the lines that are kept. Each line has the hash of its name (0 stands for no
    /// name), the hash of its URL, and its content. `first` is the first line of the last run.
    fn kept_of(first: u64, lines: &[(u64, u64, Line)]) -> Vec<usize> {
        let (mut counting, mut dropped) = (Counting { first, ..Counting::default() }, Dropped::default());
        for (number, (name, url, line)) in (0..).zip(lines) {
            counting.add_url(number, *url, Some(*name).filter(|name| *name != 0), *line, &mut dropped);
            if *line != Line::Failed {
                counting.add_file(number, *name, *line, &mut dropped);
            }
        }
        (0..lines.len()).filter(|number| !dropped.lines.has(*number as u64)).collect()
    }

    fn kept(lines: &[(u64, u64, Line)]) -> Vec<usize> {
        kept_of(0, lines)
    }

    #[test]
    fn a_failure_is_kept_if_another_file_with_the_same_url_is_downloaded() {
        let (known, failed) = (Line::Known(Some(5)), Line::Failed);
        // Both files failed in the first run. In the second run, one of them fails again.
        let lines = [(1, 7, failed), (2, 7, failed), (1, 7, failed), (2, 7, known)];
        assert_eq!(kept_of(2, &lines), [2, 3]);
        // The second run was stopped before it tried one of them.
        assert_eq!(kept_of(2, &[(1, 7, failed), (2, 7, failed), (2, 7, known)]), [0, 2]);
        // A later run saves the file under a name that the server gives it.
        assert_eq!(kept_of(1, &[(1, 7, failed), (3, 7, known)]), [1]);
        assert_eq!(kept_of(0, &[(0, 7, failed), (3, 7, known)]), [1]);
        // Lines that an earlier run has kept are kept again.
        assert_eq!(kept_of(2, &[(1, 7, failed), (2, 7, known), (4, 8, known)]), [0, 1, 2]);
    }

    #[test]
    fn the_last_line_of_a_file_counts_unless_it_knows_less() {
        let (known, unknown) = (Line::Known(Some(5)), Line::Unknown(Some(5)));
        assert_eq!(kept(&[(1, 1, known), (2, 2, known), (1, 1, known)]), [1, 2]);
        assert_eq!(kept(&[(1, 1, known), (1, 1, unknown), (1, 1, unknown)]), [0]);
        assert_eq!(kept(&[(1, 1, known), (1, 1, Line::Unknown(Some(6)))]), [1]);
        assert_eq!(kept(&[(1, 1, Line::Failed), (1, 1, Line::Failed), (1, 1, known)]), [2]);
        assert_eq!(
            kept(&[(1, 1, known), (1, 1, Line::Failed)]),
            [0, 1],
            "a failure says nothing about the file on the disk"
        );
        assert_eq!(kept(&[(0, 1, Line::Failed), (0, 2, Line::Failed)]), [0, 1]);
    }
}
