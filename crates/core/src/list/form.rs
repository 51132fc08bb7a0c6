//! Recognises the form of a list by its content and its name, and reads its jobs.
//!
//! Invariant: a list in the form of lines is recognised as soon as the first line that is neither blank nor a
//! comment was read. So if a list comes from a pipe, its jobs can start as its lines arrive.

use super::addresses::Addresses;
use super::columns::Columns;
use super::table::{self, Table};
use super::text::Lines;
use super::{AtLine, aria2, array, bagit, curl, described, left_over, line_with, metalink, unread};
use crate::error::{Error, ErrorKind};
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use url::Url;

/// The form of a list is recognised by at most this many bytes at its beginning. Comments of several KiB,
/// such as a licence, may come before the root element of a Metalink document.
pub const BEGINNING: usize = 8 * 1024;

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines with URLs and names, and JSON lines.
    Lines,
    /// A JSON array.
    Array,
    /// A table. The value is the character that separates its cells.
    Table(u8),
    /// An input file of aria2.
    Aria2,
    /// A configuration file of curl.
    Curl,
    /// `fetch.txt` of BagIt.
    BagIt,
    /// A data package, or an RO-Crate.
    Described,
    /// A Metalink document.
    Metalink,
}

/// A form that the user stated (`--list-format`). If it stands for several forms, the content of the list
/// decides which of them the list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stated {
    /// Lines, and JSON lines.
    Lines,
    /// JSON lines, or an array.
    Json,
    /// A table. If its first row does not show the separator, the separator is a comma.
    Csv,
    /// A table whose cells are separated by tabs.
    Tsv,
    /// An input file of aria2.
    Aria2,
    /// A configuration file of curl.
    Curl,
    /// `fetch.txt` of BagIt.
    BagIt,
    /// A data package or an RO-Crate.
    DataPackage,
    /// A Metalink document.
    Metalink,
}

impl Stated {
    /// All forms that the user can state, each with its name in `--list-format`.
    pub const NAMES: [(&'static str, Stated); 9] = [
        ("lines", Stated::Lines),
        ("json", Stated::Json),
        ("csv", Stated::Csv),
        ("tsv", Stated::Tsv),
        ("aria2", Stated::Aria2),
        ("curl", Stated::Curl),
        ("bagit", Stated::BagIt),
        ("datapackage", Stated::DataPackage),
        ("metalink", Stated::Metalink),
    ];

    /// Returns the form with this name, or `None` if no form has this name.
    pub fn from_name(name: &str) -> Option<Stated> {
        Stated::NAMES.iter().find(|(other, _)| *other == name).map(|(_, form)| *form)
    }
}

/// Facts about a list, besides its text.
#[derive(Debug, Default, Clone)]
pub struct Facts {
    /// The form, if the user stated one.
    pub form: Option<Stated>,
    /// The file name of the list. It is empty if the list has no file name.
    pub name: String,
    /// The meanings that the user gave to the columns of a table (`--columns`).
    pub columns: Columns,
    /// The rules for the addresses in the list.
    pub addresses: Addresses,
    /// The URL of a list that was fetched. Relative paths in a data package or an RO-Crate are relative to
    /// this URL, unless the user gave a base (`--base`).
    pub url: Option<Url>,
    /// The number of rows of a table that were left out because they have no URL. The reader of the table
    /// increases this number.
    pub without_url: Arc<AtomicU64>,
}

impl Facts {
    /// Returns the form of a list that begins with these bytes.
    pub fn form(&self, beginning: &[u8]) -> Form {
        let text = String::from_utf8_lossy(beginning);
        if left_over::begins(&text) {
            return Form::Lines;
        }
        let separator = |otherwise| table::separator(&text, &self.columns).unwrap_or(otherwise);
        if let Some(stated) = self.form {
            return match stated {
                Stated::Json if text.trim_start().starts_with('[') => Form::Array,
                Stated::Lines | Stated::Json => Form::Lines,
                Stated::Csv => Form::Table(separator(b',')),
                Stated::Tsv => Form::Table(b'\t'),
                Stated::Aria2 => Form::Aria2,
                Stated::Curl => Form::Curl,
                Stated::BagIt => Form::BagIt,
                Stated::DataPackage => Form::Described,
                Stated::Metalink => Form::Metalink,
            };
        }
        let name = self.name.to_ascii_lowercase();
        match (&*name, name.rsplit_once('.').map_or("", |(_, ending)| ending)) {
            ("datapackage.json" | "ro-crate-metadata.json", _) => return Form::Described,
            ("fetch.txt", _) => return Form::BagIt,
            (_, "meta4" | "metalink") => return Form::Metalink,
            (_, "csv") => return Form::Table(separator(b',')),
            (_, "tsv" | "tab") => return Form::Table(separator(b'\t')),
            _ => {}
        }
        // If the user named columns, the list is a table, unless it begins like a Metalink document, a JSON
        // array, a data package or an RO-Crate.
        let table = table::separator(&text, &self.columns);
        let named = Some(b',').filter(|_| self.columns != Columns::default());
        match table.or(named) {
            _ if metalink::begins(beginning) => Form::Metalink,
            _ if array::begins(&text) => Form::Array,
            _ if described::begins(&text) => Form::Described,
            Some(separator) => Form::Table(separator),
            None if curl::begins(&text) => Form::Curl,
            None if bagit::begins(&text) => Form::BagIt,
            None if aria2::begins(&text) => Form::Aria2,
            None => Form::Lines,
        }
    }
}

impl Form {
    /// Returns true if the bytes at the beginning of a list are enough to recognise its form. If the result
    /// is false, the caller must read more bytes first. `is_all` is true if the list has no more bytes.
    pub fn is_recognised_by(beginning: &[u8], is_all: bool) -> bool {
        let text = String::from_utf8_lossy(beginning);
        let first = text.split_inclusive(['\n', '\r']).find(|line| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        });
        let is_begun = match first.map(str::trim_start) {
            None => false,
            Some(first) if first.starts_with('<') => metalink::begins(beginning),
            Some(first) if first.starts_with('[') => {
                text.split_once('[').is_some_and(|(_, inside)| !inside.trim().is_empty())
            }
            // The keys of a data package or an RO-Crate may follow in later lines.
            Some(first) if first.trim_end() == "{" => described::begins(&text),
            Some(first) => first.ends_with(['\n', '\r']),
        };
        is_all || is_begun || beginning.len() >= BEGINNING
    }

    /// Returns true for the form of a document, which the user usually did not write. A mistake in the
    /// description of one file is no reason to refuse the other files of a document.
    pub fn is_document(self) -> bool {
        matches!(self, Form::Metalink | Form::Described | Form::BagIt)
    }

    /// Returns the jobs of a list, each with the number of its line, or with 0 if it has no line of its own.
    ///
    /// # Errors
    /// Returns an error if the form requires that the whole list is read first, and the list cannot be read.
    /// In all other forms, an error of the reader is the last item of the iterator. Also returns an error if
    /// a configuration file of curl, a data package or an RO-Crate is too long.
    pub fn jobs<'r>(
        self,
        text: impl BufRead + Send + 'r,
        facts: &Facts,
    ) -> io::Result<Box<dyn Iterator<Item = AtLine> + Send + 'r>> {
        let addresses = facts.addresses.clone();
        Ok(match self {
            Form::Lines => Box::new(lines(text, addresses)),
            Form::Array => Box::new(array::Array::new(text, addresses)),
            Form::Table(separator) => match Table::new(text, separator, facts) {
                Ok(table) => Box::new(table),
                Err(error) => Box::new([(0, Err(error))].into_iter()),
            },
            Form::Aria2 => Box::new(aria2::Entries::new(text, addresses)),
            Form::BagIt => Box::new(bagit::jobs(text, addresses)),
            Form::Curl => {
                let jobs = curl::jobs(&document(text, curl::LONGEST)?, &addresses);
                Box::new(whole(jobs).into_iter())
            }
            Form::Described => {
                let jobs = described::jobs(
                    &document(text, described::LONGEST)?,
                    &addresses.or_base(facts.url.as_ref()),
                );
                Box::new(
                    whole(jobs.map(|jobs| jobs.into_iter().map(|job| (0, job.map(Box::new))).collect()))
                        .into_iter(),
                )
            }
            // If the document is too long, `Metalink` returns an error.
            Form::Metalink => {
                let mut all = Vec::new();
                text.take(metalink::LONGEST as u64 + 1).read_to_end(&mut all)?;
                Box::new(metalink::Metalink::new(all).with_addresses(addresses))
            }
        })
    }
}

/// Returns the jobs of a list in the form of lines. For a line with a mistake, the item is an error.
fn lines(text: impl Read, addresses: Addresses) -> impl Iterator<Item = AtLine> {
    (1..).zip(Lines::new(text)).filter_map(move |(number, bytes)| {
        let job = bytes.map_err(unread).and_then(|bytes| line_with(&bytes, &addresses));
        job.transpose().map(|job| (number, job))
    })
}

/// Reads the whole text of a list. Returns an error if the text has more than `longest` bytes.
fn document(text: impl Read, longest: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    text.take(longest as u64 + 1).read_to_end(&mut all)?;
    if all.len() > longest {
        let why = format!("it is longer than {} MiB", longest >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(all)
}

/// Returns the jobs of a list that was read as a whole, or one error if the list cannot be read.
fn whole(jobs: Result<Vec<AtLine>, Error>) -> Vec<AtLine> {
    jobs.unwrap_or_else(|error| vec![(0, Err(Error { kind: ErrorKind::ListUnreadable, ..error }))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_recognised_by_their_content_and_their_name() {
        for (name, text, form) in [
            ("", "http://h/a x\n", Form::Lines),
            ("", "{\"url\":\"http://h/a\"}\n", Form::Lines),
            ("", "[::1]:80/a\n", Form::Lines),
            ("", "", Form::Lines),
            ("a.txt", "# note\nurl.example/a b,c\n", Form::Lines),
            ("", "[{\"url\":\"http://h/a\"}]", Form::Array),
            ("", "url\tname\nhttp://h/a\tx", Form::Table(b'\t')),
            ("", "\"Name\";\"Link\"\nx;http://h/a", Form::Table(b';')),
            ("list.CSV", "a,b\n1,2\n", Form::Table(b',')),
            ("", "http://h/a\n  out=b\n", Form::Aria2),
            ("", "url = \"http://h/a\"\noutput = \"b\"\n", Form::Curl),
            ("fetch.txt", "http://h/a 12 data/a\n", Form::BagIt),
            ("", "{\n \"resources\": [{\"path\": \"http://h/a\"}]\n}", Form::Described),
            ("", "<?xml version=\"1.0\"?><metalink/>", Form::Metalink),
            ("a.meta4", "", Form::Metalink),
        ] {
            let facts = Facts { name: name.into(), ..Facts::default() };
            assert_eq!(facts.form(text.as_bytes()), form, "{name} {text}");
        }
        let named = |(name, _)| Facts { form: Stated::from_name(name), ..Facts::default() }.form(b"[]");
        let forms = Stated::NAMES.map(named);
        assert_eq!(forms.iter().filter(|form| **form == Form::Lines).count(), 1, "{forms:?}");
        let facts = Facts { columns: Columns::read("url=a").expect("columns"), ..Facts::default() };
        assert_eq!(facts.form(b"b\ta\n1\thttp://h/a"), Form::Table(b'\t'));
    }

    #[test]
    fn the_jobs_of_each_form_are_read() {
        for text in [
            "http://h/a",
            "[\"http://h/a\"]",
            "url,x\nhttp://h/a,1",
            "http://h/a\n  gid=1",
            "url=http://h/a",
            "http://h/a - data/a",
            "{\"resources\":[{\"path\":\"http://h/a\"}]}",
        ] {
            let facts = Facts::default();
            let form = facts.form(text.as_bytes());
            let jobs: Vec<AtLine> = form.jobs(text.as_bytes(), &facts).expect("a list").collect();
            assert!(matches!(&jobs[..], [(_, Ok(job))] if job.urls[0].as_str() == "http://h/a"), "{form:?}");
        }
    }
}
