//! Reads lists that can be read only once: standard input, pipes and devices.
//!
//! Invariant: the input is opened once. If it has the form of lines, each job is returned as soon as its line
//! has arrived, except that the first URL may wait for [`AFTER_THE_URL`].

use super::check::left_out;
use super::list::{Jobs, at_line, distinct, facts, named};
use super::packed::unpacked;
use crate::args::Lists;
use crate::platform;
use crate::printer;
use crate::run::warn;
use crate::words;
use downhaul_engine::core::list::{
    AtLine,
    form::{Facts, Form},
    text::Text,
};
use downhaul_engine::core::name::Naming;
use downhaul_engine::core::shard::Shard;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::iter;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest time that the program waits for the line after the first URL. That line may have an option of
/// aria2. A program that writes such a list writes both lines at almost the same time.
const AFTER_THE_URL: Duration = Duration::from_millis(200);

/// A list that can be read only once.
#[derive(Debug)]
pub struct Stream {
    /// The pipe or the device, or `None` for standard input.
    file: Option<File>,
    shown: String,
    facts: Facts,
    skips: bool,
    /// The part of the jobs that is for this run (`--shard`).
    shard: Option<Shard>,
    naming: Naming,
}

impl Stream {
    /// Opens a list if it can be read only once. Returns `None` for a list that can be read twice, and for
    /// one that does not exist.
    pub(super) fn open(
        path: &Path,
        options: &Lists,
        naming: Naming,
        shard: Option<Shard>,
    ) -> io::Result<Option<Stream>> {
        let (facts, skips) = (facts(options, String::new()), options.skip_bad_lines);
        if path.as_os_str() == "-" {
            let shown = "on standard input".into();
            return Ok(Some(Stream { file: None, shown, facts, skips, naming, shard }));
        }
        // On some systems, a reader of these paths continues where the previous reader stopped, even in a
        // regular file.
        let is_open_already = path == "/dev/stdin" || path.starts_with("/dev/fd");
        let is_special = |found: fs::Metadata| !found.is_file() && !found.is_dir();
        if !is_open_already && !fs::metadata(path).is_ok_and(is_special) {
            return Ok(None);
        }
        let shown = words::path(path);
        Ok(Some(Stream { file: Some(File::open(path)?), shown, facts, skips, naming, shard }))
    }

    /// Returns the jobs of the list, each with its line number.
    ///
    /// # Errors
    /// Returns an error if the beginning of the list cannot be read.
    pub fn jobs(self) -> io::Result<Jobs> {
        let waits = self.file.as_ref().map(File::try_clone).transpose()?;
        let reader: Box<dyn Read + Send> = match self.file {
            Some(file) => Box::new(file),
            None => {
                printer::ask_for_input(&format!(
                    "Enter one URL per line, then press {}.",
                    printer::END_OF_INPUT
                ));
                Box::new(io::stdin())
            }
        };
        let (text, is_packed) = unpacked(reader)?;
        let mut text = Text::new(text);
        // Only the bytes that are needed to recognise the form are read here, so that the first lines are
        // used immediately.
        let mut beginning = Vec::new();
        loop {
            let some = text.fill_buf()?;
            beginning.extend_from_slice(some);
            let (number, is_all) = (some.len(), some.is_empty());
            text.consume(number);
            let may_be_aria2 = || !is_all && !is_packed && is_one_url(&beginning);
            if Form::is_recognised_by(&beginning, is_all)
                && !(may_be_aria2() && platform::has_input_within(waits.as_ref(), AFTER_THE_URL))
            {
                break;
            }
        }
        let form = self.facts.form(&beginning);
        let jobs = form.jobs(io::Cursor::new(beginning).chain(text), &self.facts)?;
        let jobs = jobs.map(move |job| named(&self.naming, job));
        let all: Box<dyn Iterator<Item = AtLine> + Send> =
            if form.is_document() { Box::new(distinct(jobs)) } else { Box::new(jobs) };
        let (shown, without_url) = (self.shown, self.facts.without_url.clone());
        let end = iter::from_fn(move || {
            let note = left_out(without_url.swap(0, Ordering::Relaxed), &shown);
            note.iter().for_each(|note| warn(note));
            None
        });
        let all = all.map(|(number, job)| (number, job.map_err(|error| at_line(number, error))));
        let all = Box::new(all.chain(end));
        Ok(Jobs { of_a_document: form.is_document(), warns: true, all, ..Jobs::new(self.skips, self.shard) })
    }
}

/// Returns true if a text has exactly one line, apart from comments and blank lines, and if this line may be
/// the URL of an input file of aria2. `text` is the beginning of a list.
fn is_one_url(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.next().is_some_and(|line| !line.starts_with(['{', '[', ' ', '\t'])) && lines.next().is_none()
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
