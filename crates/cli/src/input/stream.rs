//! Reads lists that can be read only once: standard input, pipes and devices.
//!
//! Invariant: the input is opened once, and each job is returned as soon as its line has arrived.

use super::list::{Jobs, read_document, read_list};
use crate::words;
use downhaul_engine::core::list::{metalink, text::Text};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::path::Path;

/// A list that can be read only once.
#[derive(Debug)]
pub struct Stream {
    /// `None` is standard input.
    file: Option<File>,
    shown: String,
}

impl Stream {
    /// Opens a list if it can be read only once. Returns `None` for a list that can be read twice, and for
    /// one that does not exist.
    ///
    /// # Errors
    /// Returns an error if the list cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Option<Stream>> {
        if path.as_os_str() == "-" {
            return Ok(Some(Stream { file: None, shown: "on standard input".into() }));
        }
        // On some systems, a reader of these paths continues where the previous reader stopped, even in a
        // regular file.
        let is_open_already = path == "/dev/stdin" || path.starts_with("/dev/fd");
        let is_special = |found: fs::Metadata| !found.is_file() && !found.is_dir();
        if !is_open_already && !fs::metadata(path).is_ok_and(is_special) {
            return Ok(None);
        }
        let shown = words::path(path);
        Ok(Some(Stream { file: Some(File::open(path)?), shown }))
    }

    /// Returns the jobs of the list, each with its line number. The list is a document if it begins with `<`,
    /// as no URL does.
    ///
    /// # Errors
    /// Returns an error if the list cannot be read.
    pub fn jobs(self) -> io::Result<Jobs> {
        let reader: Box<dyn Read> = match self.file {
            Some(file) => Box::new(file),
            None => Box::new(io::stdin()),
        };
        let mut text = Text::new(reader);
        // This reads only the bytes that have arrived, so that the first lines are used immediately.
        if !text.fill_buf()?.trim_ascii_start().starts_with(b"<") {
            return Ok(Jobs { of_a_document: false, all: Box::new(read_list(text)) });
        }
        let mut document = Vec::new();
        text.take(metalink::LONGEST as u64 + 1).read_to_end(&mut document)?;
        Ok(Jobs { of_a_document: true, all: Box::new(read_document(document)) })
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
