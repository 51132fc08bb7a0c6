//! Reads tables: CSV and TSV files whose first row has the names of the columns.
//!
//! Each row is read like a JSON line (`jsonl`): the names of the columns are the keys. Common names of
//! columns, such as `link` and `filename`, stand for the keys `url` and `out`. If the cell with the URL has
//! several URLs (`a;b`), the row has several jobs, and its other cells have one value for each of them. The
//! reports of the European Nucleotide Archive have this form.
//!
//! Invariant: the memory in use is limited to one row, whose length is limited.

use super::text::LONGEST_LINE;
use super::{AtLine, bare, jsonl};
use crate::error::{Error, ErrorKind};
use crate::job;
use csv::{ByteRecord, ReaderBuilder, StringRecord};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// The characters that may separate cells. Spreadsheet programs write semicolons in countries where a comma
/// is the decimal mark.
const SEPARATORS: [u8; 4] = *b"\t,;|";

/// Separates the values of one cell.
const VALUES: char = ';';

const URL: &str = "url";
const OUT: &str = "out";
const SIZE: &str = "size";

/// The keys, each with the names of columns (see [`form`]) that stand for it. Of the names of a key, the
/// first one in this list that the table has is used. A column with another of these names is read like any
/// other column.
const NAMES: &[(&str, &[&str])] = &[
    (URL, &["url", "urls", "uri", "downloadurl", "fileurl", "link", "downloadlink", "href"]),
    (OUT, &["out", "filename", "file", "path", "name"]),
    (SIZE, &["size", "bytes", "filesize"]),
];

/// The columns that the user named (`--columns`), each with the key that it stands for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Columns(Vec<(String, String)>);

impl Columns {
    /// Reads pairs of a key and the name of a column, such as `url=fastq_ftp,md5=fastq_md5`.
    ///
    /// # Errors
    /// Returns what is wrong, in words for the user.
    pub fn read(text: &str) -> Result<Columns, String> {
        let mut columns = Columns::default();
        for pair in text.split(',') {
            let (key, column) = pair.split_once('=').ok_or("the form is KEY=COLUMN,KEY=COLUMN")?;
            let (key, column) = (key.trim(), column.trim());
            if key.is_empty() || column.is_empty() {
                return Err(format!("`{pair}` lacks a key or a column"));
            }
            let key = key_of(key).unwrap_or(key);
            if columns.0.iter().any(|(other, name)| other == key || name == column) {
                return Err(format!("`{pair}`: the key or the column is given twice"));
            }
            columns.0.push((key.into(), column.into()));
        }
        Ok(columns)
    }

    /// Returns the key of each column of a table, and the first column of `--columns` that the table does not
    /// have. `names` are the names of the columns.
    fn keys(&self, names: &StringRecord) -> (Vec<String>, Option<&str>) {
        let mut keys: Vec<String> = names.iter().map(|name| plain_name(name).to_string()).collect();
        let mut is_known = vec![false; keys.len()];
        let mut lacking = None;
        for (key, column) in &self.0 {
            let is_it = |name: &&str| plain_name(name).eq_ignore_ascii_case(column);
            match names.iter().position(|name| is_it(&name)) {
                Some(at) => (keys[at], is_known[at]) = (key.clone(), true),
                None => lacking = lacking.or(Some(column.as_str())),
            }
        }
        for (key, forms) in NAMES {
            let is_given = self.0.iter().any(|(given, _)| given == key);
            let column = |name: &&str| (0..keys.len()).find(|&at| !is_known[at] && form(&keys[at]) == *name);
            if let Some(at) = forms.iter().find_map(column).filter(|_| !is_given) {
                (keys[at], is_known[at]) = ((*key).into(), true);
            }
        }
        (keys, lacking)
    }
}

/// Returns the key that a name of a column stands for.
fn key_of(name: &str) -> Option<&'static str> {
    let form = form(name);
    NAMES.iter().find(|(_, forms)| forms.contains(&form.as_str())).map(|(key, _)| *key)
}

/// Returns a form of the name of a column that is the same for `Download URL` and `download_url`.
fn form(name: &str) -> String {
    bare(name).replace(' ', "")
}

/// Returns the name of a column without blanks around it and without `#` before it, as in `#accession`.
fn plain_name(name: &str) -> &str {
    name.trim().trim_start_matches('#').trim_start()
}

/// Returns the character that separates the cells, if a text begins with the first row of a table that has a
/// column for URLs.
pub fn separator(beginning: &str, columns: &Columns) -> Option<u8> {
    let first = beginning.lines().find(|line| !line.trim().is_empty())?;
    let number = |separator: &u8| {
        let mut row = StringRecord::new();
        let is_read = reader(first.as_bytes(), *separator).read_record(&mut row).is_ok();
        let has_url = is_read && columns.keys(&row).0.iter().any(|key| key == URL);
        // Such a line is a comment, and not the first row of a table.
        let is_comment = row.len() == 1 && first.starts_with('#');
        (has_url && !is_comment).then_some((row.len(), *separator))
    };
    // The separator that gives the most cells is used. If the row has only one cell, all of them give the
    // same result.
    SEPARATORS.iter().filter_map(number).max_by_key(|(cells, _)| *cells).map(|(_, separator)| separator)
}

fn reader<R: Read>(text: R, separator: u8) -> csv::Reader<R> {
    ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(text)
}

/// The number of the line in which a row begins, and the object of each of its jobs.
type Row = (u64, Result<Vec<Map<String, Value>>, Error>);

/// The jobs of a table, each with the number of the line in which its row begins.
pub struct Table<R> {
    rows: csv::Reader<Limited<R>>,
    /// The bytes that were read since the last row.
    since: Rc<Cell<usize>>,
    /// The key of each column.
    keys: Vec<String>,
    /// The jobs of the last row that were not returned yet.
    waiting: VecDeque<AtLine>,
    over: bool,
}

impl<R: Read> Table<R> {
    /// Reads the first row.
    ///
    /// # Errors
    /// Returns `list.line` if the row cannot be read, if no column has URLs, or if a column of `--columns` is
    /// missing.
    pub fn new(text: R, separator: u8, columns: &Columns) -> Result<Table<R>, Error> {
        let since = Rc::<Cell<usize>>::default();
        let mut rows =
            reader(Limited { text, since: since.clone(), after_cr: false, within_line: false }, separator);
        let mut names = StringRecord::new();
        rows.read_record(&mut names).map_err(|e| bad(unreadable(&e)))?;
        let (keys, lacking) = columns.keys(&names);
        let found = names.iter().collect::<Vec<_>>().join(", ");
        if let Some(lacking) = lacking {
            return Err(bad(format!("line 1: there is no column `{lacking}`. The columns are: {found}")));
        }
        if !keys.iter().any(|key| key == URL) {
            return Err(bad(format!(
                "line 1: no column has the URLs. Name it with --columns url=COLUMN. The columns are: {found}"
            )));
        }
        Ok(Table { rows, since, keys, waiting: VecDeque::new(), over: false })
    }

    /// Reads a row. Returns `None` at the end of the table.
    fn read_row(&mut self) -> Option<Row> {
        let mut row = ByteRecord::new();
        self.since.set(0);
        let read = self.rows.read_byte_record(&mut row);
        // Blank lines before the row do not belong to it, but line ends within its cells do.
        let within = row.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        let line = self.rows.position().line().saturating_sub(1 + within);
        match read {
            Ok(false) => None,
            Ok(true) => {
                let row = StringRecord::from_byte_record(row).map_err(|_| bad("it is not UTF-8"));
                Some((line, row.and_then(|row| self.objects(row))))
            }
            Err(e) => {
                self.over = true;
                Some((line, Err(bad(unreadable(&e)))))
            }
        }
    }

    /// Returns the objects of a row, one for each of its URLs. A row without content and a comment have none.
    fn objects(&self, mut row: StringRecord) -> Result<Vec<Map<String, Value>>, Error> {
        row.trim();
        let is_comment = row.len() == 1 && row.iter().all(|cell| cell.starts_with('#'));
        if is_comment || row.iter().all(str::is_empty) {
            return Ok(Vec::new());
        }
        if row.iter().skip(self.keys.len()).any(|cell| !cell.is_empty()) {
            return Err(bad(format!(
                "it has {} cells, and the table has {} columns",
                row.len(),
                self.keys.len()
            )));
        }
        let cells = || self.keys.iter().zip(row.iter()).filter(|(key, _)| !key.is_empty());
        let url = cells().find(|(key, _)| *key == URL).map_or("", |(_, cell)| cell);
        if url.is_empty() {
            return Err(bad("it has no URL"));
        }
        let number = urls(url).len();
        let mut objects = vec![Map::new(); number];
        for (key, cell) in cells().filter(|(_, cell)| !cell.is_empty()) {
            let several = if key == URL { urls(cell) } else { values(cell) };
            let is_read = matches!(&**key, URL | OUT | SIZE) || jsonl::is_digest(key);
            if number > 1 && several.len() != number && is_read {
                return Err(bad(format!("`{key}` has {} values, and `{URL}` has {number}", several.len())));
            }
            let is_split = several.len() == number && (number > 1 || is_read);
            for (at, object) in objects.iter_mut().enumerate() {
                let text = several.get(at).filter(|_| is_split).unwrap_or(&cell);
                let value = match text.parse::<u64>() {
                    Ok(size) if key == SIZE => size.into(),
                    _ => Value::from(*text),
                };
                object.insert(key.clone(), value);
            }
        }
        Ok(objects)
    }
}

impl<R: Read> Iterator for Table<R> {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        while self.waiting.is_empty() && !self.over {
            let (line, objects) = self.read_row()?;
            match objects {
                Ok(objects) => self.waiting.extend(objects.into_iter().map(|keys| (line, jsonl::job(keys)))),
                Err(error) => self.waiting.push_back((line, Err(error))),
            }
        }
        self.waiting.pop_front()
    }
}

/// Returns the values of a cell. A separator at its end is ignored.
fn values(cell: &str) -> Vec<&str> {
    cell.strip_suffix(VALUES).unwrap_or(cell).split(VALUES).map(str::trim).collect()
}

/// Returns the URLs of a cell. If one of its values is no URL, the whole cell is one URL that has semicolons.
fn urls(cell: &str) -> Vec<&str> {
    let values = values(cell);
    let is_url = |text: &&str| job::has_scheme(text) || job::without_scheme(text).is_some();
    if values.iter().all(is_url) { values } else { vec![cell] }
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::ListLine, "", why.into())
}

fn unreadable(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(e) => e.to_string(),
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".into(),
        _ => error.to_string(),
    }
}

/// Passes a text on with LF as the only line end, and with a line end after the last line, because the reader
/// of rows counts only such lines. Fails if a row is too long.
struct Limited<R> {
    text: R,
    since: Rc<Cell<usize>>,
    /// True if the last byte was CR. An LF that follows belongs to the same line end.
    after_cr: bool,
    /// True if the last line has no end yet.
    within_line: bool,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.since.get() > LONGEST_LINE {
            let why = "the row is longer than 1 MiB. Is the end of a quotation missing?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        loop {
            let read = self.text.read(into)?;
            let mut kept = 0;
            for at in 0..read {
                let byte = into[at];
                if !(std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n') {
                    into[kept] = if byte == b'\r' { b'\n' } else { byte };
                    kept += 1;
                }
            }
            self.since.set(self.since.get() + kept);
            if read == 0 && std::mem::replace(&mut self.within_line, false) && !into.is_empty() {
                into[0] = b'\n';
                return Ok(1);
            }
            // Zero bytes would mean the end of the text.
            if kept > 0 || read == 0 {
                self.within_line = kept > 0 && into[kept - 1] != b'\n';
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Destination, Job};
    use proptest::prelude::*;

    /// Returns the jobs of a table, with the numbers of their lines.
    fn read(text: &str, columns: &str) -> Vec<(u64, Result<Job, String>)> {
        let columns =
            if columns.is_empty() { Columns::default() } else { Columns::read(columns).expect("columns") };
        let separator = separator(text, &columns).expect("a table");
        let table = Table::new(text.as_bytes(), separator, &columns).expect("a first row");
        table.map(|(line, job)| (line, job.map_err(|e| e.to_string()))).collect()
    }

    /// Returns the line, the URL and the name of each job.
    fn jobs(text: &str, columns: &str) -> Vec<(u64, String, String)> {
        let shown = |job: Job| match job.destination {
            Destination::Name(name) => (job.urls[0].to_string(), name.to_string()),
            _ => (job.urls[0].to_string(), String::new()),
        };
        let jobs = read(text, columns).into_iter().map(|(line, job)| (line, shown(job.expect("a job"))));
        jobs.map(|(line, (url, name))| (line, url, name)).collect()
    }

    fn of(line: u64, url: &str, name: &str) -> (u64, String, String) {
        (line, url.into(), name.into())
    }

    #[test]
    fn columns_are_found_by_common_names() {
        for text in [
            "url,name\nhttp://h/a,x\nhttp://h/b,\n",
            "Name;Download URL\r\nx;http://h/a\r\n;http://h/b\r\n",
            "url,name\rhttp://h/a,x\rhttp://h/b,",
            "#id\tfile_name\tLINK\n1\tx\thttp://h/a\n2\t\thttp://h/b",
            "\"url\"|\"file\"\n\"http://h/a\"|\" x \"\n\"http://h/b\"\n",
        ] {
            assert_eq!(jobs(text, ""), [of(2, "http://h/a", "x"), of(3, "http://h/b", "")], "{text}");
        }
        assert_eq!(
            jobs("url\nhttp://h/a,b\n\nhttp://h/c\n", ""),
            [of(2, "http://h/a,b", ""), of(4, "http://h/c", "")]
        );
        // The other columns are copied.
        let (_, job) = read("url,sample,bytes\nhttp://h/a,s 1,12\n", "").remove(0);
        let extra = job.expect("a job").extra;
        assert_eq!((extra.get("sample"), extra.get("size")), (Some(&"s 1".into()), Some(&12.into())));
    }

    #[test]
    fn a_report_of_the_european_nucleotide_archive_has_several_files_in_a_row() {
        let (one, other) = ("0a".repeat(16), "0b".repeat(16));
        let text = format!(
            "run_accession\tfastq_ftp\tfastq_md5\tfastq_bytes\n\
             E1\tftp.h.uk/v/E1_1.gz;ftp.h.uk/v/E1_2.gz\t{one};{other}\t10;20\n\
             E2\tftp.h.uk/v/E2.gz;\t{one};\t30;\n"
        );
        let columns = "url=fastq_ftp,md5=fastq_md5,size=fastq_bytes";
        let all: Vec<Job> = read(&text, columns).into_iter().map(|(_, job)| job.expect("a job")).collect();
        let urls: Vec<&str> = all.iter().map(|job| job.urls[0].as_str()).collect();
        assert_eq!(
            urls,
            ["https://ftp.h.uk/v/E1_1.gz", "https://ftp.h.uk/v/E1_2.gz", "https://ftp.h.uk/v/E2.gz"]
        );
        let digests: Vec<String> = all.iter().map(|job| job.expected[0].digest.to_string()).collect();
        assert!(digests[0].ends_with(&one) && digests[1].ends_with(&other) && digests[2].ends_with(&one));
        assert_eq!(all[1].extra.get("size"), Some(&20.into()));
        let few = text.replace(&format!("{one};{other}"), &one);
        let error = read(&few, columns)[0].1.clone().expect_err("too few");
        assert!(error.contains("`md5` has 1 values, and `url` has 2"), "{error}");
    }

    #[test]
    fn a_semicolon_within_a_url_stays() {
        assert_eq!(jobs("url,x\nhttp://h/a;v=1,\n", ""), [of(2, "http://h/a;v=1", "")]);
    }

    #[test]
    fn rows_with_mistakes_are_errors_and_the_others_are_read() {
        let text =
            "url,md5\nhttp://h/a,zz\n,\n,x\nhttp://h/b,,,\nhttp://h/c,,,d\n# note\nftp://h/d,\nhttp://h/e,\n";
        let says = [
            (2, "32 hexadecimal digits"),
            (4, "it has no URL"),
            (5, ""),
            (6, "it has 4 cells, and the table has 2 columns"),
            (8, "ftp"),
            (9, ""),
        ];
        let all = read(text, "");
        assert_eq!(all.iter().map(|(line, _)| *line).collect::<Vec<_>>(), says.map(|(line, _)| line));
        for ((_, job), (line, says)) in all.iter().zip(says) {
            match job {
                Ok(_) => assert_eq!(says, "", "{line}"),
                Err(error) => assert!(!says.is_empty() && error.contains(says), "{line}: {error}"),
            }
        }
    }

    #[test]
    fn a_quotation_without_an_end_does_not_fill_the_memory() {
        let text = format!("url\nhttp://h/a\n\"http://h/b\n{}", "http://h/c\n".repeat(300_000));
        let all = read(&text, "");
        assert_eq!(all.len(), 2);
        assert!(all[1].1.as_ref().is_err_and(|error| error.contains("Is the end of a quotation missing?")));
    }

    #[test]
    fn lists_of_other_forms_are_no_tables() {
        for text in [
            "",
            "http://h/url,name",
            "{\"url\":\"http://h/a\"}",
            "# url",
            "# url list\nhttp://h/a",
            "a,b\n1,2",
        ] {
            assert_eq!(separator(text, &Columns::default()), None, "{text}");
        }
        let error = Table::new("a,b\n1,2".as_bytes(), b',', &Columns::default()).err().expect("no URL");
        assert!(error.to_string().contains("--columns url=COLUMN"), "{error}");
        let columns = Columns::read("url=c").expect("columns");
        let error = Table::new("a,url\n1,2".as_bytes(), b',', &columns).err().expect("no column");
        assert!(error.to_string().contains("no column `c`. The columns are: a, url"), "{error}");
        for bad in ["", "url", "url=", "url=a,link=b", "url=a,md5=a"] {
            assert!(Columns::read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "(url|[a,;\t\"\n#:/]|http://h/){0,60}") {
            for one in SEPARATORS {
                if let Ok(table) = Table::new(text.as_bytes(), one, &Columns::default()) {
                    prop_assert!(table.count() <= text.len());
                }
            }
        }
    }
}
