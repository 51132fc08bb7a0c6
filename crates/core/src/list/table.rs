//! Reads tables: CSV and TSV files whose first row has the names of the columns. Also finds the character
//! that separates the columns ([`separator`]).
//!
//! Each row is read like a JSON line (`jsonl`): the names of the columns are the keys. Common names of
//! columns, such as `link` and `filename`, stand for the keys `url` and `out`. If the cell with the URL has
//! several URLs (`a;b`), the row has several jobs, and its cells with names, sizes and digests have one value
//! for each job. The reports of the European Nucleotide Archive have this form.
//!
//! Invariant: every row with content gives jobs or an error, or it has no URL and is counted as a row without
//! a URL. Exceptions are comments, and rows of a lock file about a job that failed. If a lock file ends
//! within a row, this is an error, because the missing rest of the row may have a digest.

use super::addresses::Addresses;
use super::columns::{Column, Columns, OUT, SIZE, URL};
use super::form::Facts;
use super::rows::{self, Rows};
use super::{AtLine, bad, jsonl, required_keys};
use crate::error::{Error, ErrorKind};
use crate::job::Job;
use crate::lock_file;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The characters that may separate cells. Spreadsheet programs write semicolons in countries where a comma
/// is the decimal mark.
const SEPARATORS: [u8; 4] = *b"\t,;|";

/// The character that separates the values of one cell.
const VALUES: char = ';';

/// The longest name of a column in bytes. Longer texts in a first row are data.
const NAME_MOST: usize = 100;

/// Returns the character that separates the cells of a table. It follows `sep=` at the beginning of the text,
/// or it is found in the names of the columns. Returns `None` if the text begins neither with `sep=` nor like
/// a table with URLs.
pub fn separator(beginning: &str, columns: &Columns) -> Option<u8> {
    if let Some([separator]) =
        beginning.lines().next().and_then(|line| line.strip_prefix("sep=")).map(str::as_bytes)
    {
        return Some(*separator);
    }
    let number = |separator: &u8| {
        let rows = Rows::new(beginning.as_bytes(), *separator).filter_map(|(_, row)| row.ok());
        let row = rows.filter(|row| !is_comment(row)).find(|row| !is_of_excel(row))?;
        let has_url = columns.of(&row).0.iter().any(|column| column.key == URL);
        (has_url && row.iter().all(|cell| is_name(cell))).then_some((row.len(), *separator))
    };
    // The separator that gives the most cells is used. If several separators give the same highest number of
    // cells, the last one in [`SEPARATORS`] is used. So in a table with a single column, a comma does not
    // separate cells.
    SEPARATORS.iter().filter_map(number).max_by_key(|(cells, _)| *cells).map(|(_, separator)| separator)
}

/// Returns true for a row that consists of one cell with a comment.
fn is_comment(row: &[String]) -> bool {
    matches!(row, [only] if only.starts_with('#'))
}

/// Returns true for the row by which Excel learns the separator of a table (`sep=;`).
fn is_of_excel(row: &[String]) -> bool {
    matches!(row, [first] | [first, _] if first.starts_with("sep="))
}

/// Returns true if a cell may be the name of a column. Names are shown in messages, so a cell that may have a
/// secret, such as a URL or a header, is not accepted as a name.
fn is_name(cell: &str) -> bool {
    cell.len() <= NAME_MOST && !cell.contains([':', '=', '@', '{', '/'])
}

/// The meanings of the columns of a table, and the rules for its rows.
#[derive(Debug)]
pub struct Header {
    columns: Vec<Column>,
    /// True if the table is a lock file.
    is_recorded: bool,
    addresses: Addresses,
    /// The number of rows without a URL, which are left out.
    without_url: Arc<AtomicU64>,
}

impl Header {
    /// Reads the names of the columns.
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong with the names.
    pub fn read(names: &[String], facts: &Facts) -> Result<Header, String> {
        if !names.iter().all(|name| is_name(name)) {
            return Err("the first row of a table must have the names of its columns".into());
        }
        let (columns, lacking) = facts.columns.of(names);
        let found = names.join(", ");
        if let Some(lacking) = lacking {
            return Err(format!("there is no column `{lacking}`. The columns are: {found}"));
        }
        if !columns.iter().any(|column| column.key == URL) {
            let why = "no column has the URLs. Name a column with --columns url=COLUMN. The columns are";
            return Err(format!("{why}: {found}"));
        }
        let is_again = |(at, column): &(usize, &Column)| {
            is_read(&column.key) && columns[..*at].iter().any(|other| other.key == column.key)
        };
        if let Some((_, Column { key, .. })) = columns.iter().enumerate().find(is_again) {
            return Err(format!(
                "two columns stand for `{key}`. Rename one of them. The columns are: {found}"
            ));
        }
        let (addresses, without_url) = (facts.addresses.clone(), facts.without_url.clone());
        let keys: Vec<&str> = columns.iter().map(|column| column.key.as_str()).collect();
        let is_recorded = lock_file::is_table(&keys);
        Ok(Header { columns, is_recorded, addresses, without_url })
    }

    /// Returns true if a column has URLs, names, sizes, digests, chunk hashes or options. `column` is its
    /// index.
    pub fn is_read(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|column| is_read(&column.key) || column.is_option)
    }

    /// Returns the job of a row whose cells are JSON values, or the error if these values cannot be used.
    /// Returns `None` if the row has no URL.
    pub fn job(&self, cells: impl IntoIterator<Item = Value>) -> Option<Result<Job, Error>> {
        let (mut keys, mut options) = (Map::new(), Map::new());
        let cells = self.columns.iter().zip(cells);
        for (column, value) in cells.filter(|(column, value)| !column.key.is_empty() && !value.is_null()) {
            let object = if column.is_option { &mut options } else { &mut keys };
            object.insert(column.key.clone(), value);
        }
        if keys.get(URL).is_none_or(|url| url == "") {
            self.without_url.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(jsonl::job_with(keys, options, &self.addresses))
    }

    /// Returns the jobs of a row, one for each of its URLs. Comments, rows without a URL, and rows of a lock
    /// file about a job that failed have no jobs.
    fn jobs(&self, row: &[String]) -> Result<Vec<Result<Job, Error>>, Error> {
        if is_comment(row) || row.iter().all(String::is_empty) {
            return Ok(Vec::new());
        }
        if row.iter().skip(self.columns.len()).any(|cell| !cell.is_empty()) {
            return Err(bad(format!(
                "it has {} cells, and the table has {} columns",
                row.len(),
                self.columns.len()
            )));
        }
        let cells = || self.columns.iter().zip(row).filter(|(column, _)| !column.key.is_empty());
        let url = cells().find(|(column, _)| column.key == URL).map_or("", |(_, cell)| cell);
        if url.is_empty() {
            // In some reports, a row without a URL is about files that do not exist yet.
            self.without_url.fetch_add(1, Ordering::Relaxed);
            return Ok(Vec::new());
        }
        let number = self.urls(url).len();
        let mut objects = vec![(Map::new(), Map::new()); number];
        for (Column { key, is_option }, cell) in cells().filter(|(_, cell)| !cell.is_empty()) {
            let several = if key == URL { self.urls(cell) } else { values(cell) };
            if number > 1 && several.len() != number && is_read(key) {
                let values = match several.len() {
                    1 => "1 value".to_string(),
                    n => format!("{n} values"),
                };
                return Err(bad(format!("`{key}` has {values}, and `{URL}` has {number}")));
            }
            let is_split = several.len() == number && (number > 1 || (is_read(key) && key != OUT));
            for (at, (keys, options)) in objects.iter_mut().enumerate() {
                let text = several.get(at).filter(|_| is_split).map_or(cell.as_str(), |text| *text);
                let value = match text.parse::<u64>() {
                    Ok(size) if key == SIZE => size.into(),
                    _ => Value::from(text),
                };
                let object = if *is_option { options } else { keys };
                object.insert(key.clone(), value);
            }
        }
        let objects = objects.into_iter().filter(|(keys, _)| !jsonl::has_failed(keys));
        let job = |(keys, options)| jsonl::job_with(keys, options, &self.addresses);
        Ok(objects.map(job).collect())
    }

    /// Returns the URLs of a cell. If one of the values in the cell is not an address, the whole cell is one
    /// URL that contains semicolons.
    fn urls<'c>(&self, cell: &'c str) -> Vec<&'c str> {
        let values = values(cell);
        if self.addresses.are_addresses(&values) { values } else { vec![cell] }
    }
}

/// The jobs of a table, each with the number of the line in which its row begins.
pub struct Table<R> {
    rows: Rows<R>,
    header: Header,
    /// The jobs of the last row that were not returned yet.
    waiting: VecDeque<AtLine>,
}

impl<R: BufRead> Table<R> {
    /// Reads the first row.
    ///
    /// # Errors
    /// Returns `list.unreadable` if the table is empty, if the row cannot be read, or if [`Header::read`]
    /// refuses its names.
    pub fn new(text: R, separator: u8, facts: &Facts) -> Result<Table<R>, Error> {
        let mut rows = Rows::new(text, separator);
        let unusable =
            |line, why: String| Error::new(ErrorKind::ListUnreadable, "", format!("line {line}: {why}"));
        let (line, names) = loop {
            match rows.next() {
                None => return Err(unusable(1, "the table is empty".into())),
                Some((_, Err(error))) => return Err(Error { kind: ErrorKind::ListUnreadable, ..error }),
                Some((_, Ok(row))) if is_comment(&row) || is_of_excel(&row) => {}
                Some((line, Ok(row))) => break (line, row),
            }
        };
        let header = Header::read(&names, facts).map_err(|why| unusable(line, why))?;
        if header.is_recorded {
            rows.keep_blanks();
        }
        Ok(Table { rows, header, waiting: VecDeque::new() })
    }
}

impl<R: BufRead> Iterator for Table<R> {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        while self.waiting.is_empty() {
            let (line, row) = self.rows.next()?;
            let is_short = |row: &Vec<String>| row.len() < self.header.columns.len() && !is_comment(row);
            let is_cut = self.header.is_recorded && self.rows.lacks_line_end();
            if is_cut && row.as_ref().is_ok_and(is_short) {
                return Some((0, Err(rows::unreadable(line, "the table ends within a row".into()))));
            }
            match row.and_then(|row| self.header.jobs(&row)) {
                Ok(jobs) => self.waiting.extend(jobs.into_iter().map(|job| (line, job.map(Box::new)))),
                Err(error) => self.waiting.push_back((line, Err(error))),
            }
        }
        self.waiting.pop_front()
    }
}

/// Returns true if a key is for the URL, the name, the size, a digest or the chunk hashes of a file. If a row
/// has several jobs, such a key has one value for each job.
fn is_read(key: &str) -> bool {
    matches!(key, URL | OUT | SIZE) || jsonl::is_digest(key) || required_keys::is_key(key)
}

/// Returns the values of a cell, which semicolons separate. A semicolon at the end of the cell is ignored.
fn values(cell: &str) -> Vec<&str> {
    cell.strip_suffix(VALUES).unwrap_or(cell).split(VALUES).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Destination;
    use proptest::prelude::*;

    /// Returns the jobs of a table, with the numbers of their lines.
    fn read(text: &str, columns: &str) -> Vec<(u64, Result<Job, String>)> {
        let columns =
            if columns.is_empty() { Columns::default() } else { Columns::read(columns).expect("columns") };
        let separator = separator(text, &columns).expect("a table");
        let facts = Facts { columns, ..Facts::default() };
        let table = Table::new(text.as_bytes(), separator, &facts).expect("a first row");
        table.map(|(line, job)| (line, job.map(|job| *job).map_err(|e| e.to_string()))).collect()
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
            "url,name\n\u{feff}http://h/a,x\n\u{feff}\"http://h/b\",\n",
        ] {
            assert_eq!(jobs(text, ""), [of(2, "http://h/a", "x"), of(3, "http://h/b", "")], "{text}");
        }
        assert_eq!(
            jobs("url\nhttp://h/a,b\n\nhttp://h/c\n", ""),
            [of(2, "http://h/a,b", ""), of(4, "http://h/c", "")]
        );
        // Options are used only if the user names their columns.
        let (_, job) = read("url,priority,p\nhttp://h/a,high,3\n", "priority=p").remove(0);
        let job = job.expect("a job");
        assert_eq!((job.priority, job.extra.get("priority")), (3, Some(&"high".into())));
        // The values of columns that are not read are copied to the events.
        let (_, job) = read("url,tag_hash_x,a\nhttp://h/a,1,2\n", "").remove(0);
        assert!(job.expect("a job").extra.contains_key("tag_hash_x"), "its name stays");
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
        assert!(error.contains("`md5` has 1 value, and `url` has 2"), "{error}");
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
        assert!(
            all[1]
                .1
                .as_ref()
                .is_err_and(|error| error.contains("line 3: a quotation begins here and has no end"))
        );
    }

    #[test]
    fn no_row_is_lost_by_quotation_marks() {
        let text = "url,out\nhttp://h/a,\"a\" \nhttp://h/b,\"b\"x\nhttp://h/c,5\" disk\nhttp://h/d,\"d\"\"\n1\"\nhttp://h/e,\"e\n";
        let says: Vec<(u64, Result<String, String>)> = read(text, "")
            .into_iter()
            .map(|(line, job)| (line, job.map(|job| job.urls[0].to_string())))
            .collect();
        let [(2, Ok(_)), (3, Err(after)), (4, Ok(_)), (5, Ok(_)), (0, Err(open))] = &says[..] else {
            panic!("{says:?}");
        };
        assert!(after.contains("text follows the end of a quotation"), "{after}");
        assert!(open.contains("line 7: a quotation begins here and has no end"), "{open}");
        // Many programs do not quote the cells of tables with tabs.
        let text = "url\tout\ttitle\nhttp://h/a\ta\t\"Effect of x\nhttp://h/b\t\"b\"\t\"\"\"y\"\"\"\n";
        assert_eq!(jobs(text, ""), [of(2, "http://h/a", "a"), of(3, "http://h/b", "b")]);
    }

    #[test]
    fn digests_are_compared_however_their_column_is_spelled() {
        for name in
            ["SHA 256", "sha256 checksum", "SHA-256 (hex)", "Checksum (SHA256)", "file_sha256", "Sha256Sum"]
        {
            let text = format!("url,{name}\nhttp://h/a,{}\n", "ab".repeat(32));
            let (_, job) = read(&text, "").remove(0);
            assert_eq!(job.expect(name).expected.len(), 1, "{name}");
        }
    }

    #[test]
    fn what_stands_before_the_names_of_the_columns_is_skipped() {
        for text in ["sep=;\nurl;x\nhttp://h/a;1\n", "# a note\n\nurl,x\nhttp://h/a,1\n"] {
            let all = jobs(text, "");
            assert_eq!((all.len(), all[0].1.as_str()), (1, "http://h/a"), "{text}");
        }
    }

    #[test]
    fn a_first_row_without_names_is_not_shown() {
        for text in [
            "http://h/a?token=hush,a.bin\n",
            "http://u:hush@h/b,b\n",
            "{\"url\":\"http://h/a\",\"headers\":{\"Authorization\":\"hush\"}}\n",
            "Authorization: Bearer hush,x\n",
        ] {
            assert_eq!(separator(text, &Columns::default()), None);
            let error = Table::new(text.as_bytes(), b',', &Facts::default()).err().expect("no names");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
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
        let error = Table::new("a,b\n1,2".as_bytes(), b',', &Facts::default()).err().expect("no URL");
        assert!(error.to_string().contains("--columns url=COLUMN"), "{error}");
        let facts = |text| Facts { columns: Columns::read(text).expect("columns"), ..Facts::default() };
        let error = Table::new("a,url\n1,2".as_bytes(), b',', &facts("url=c")).err().expect("no column");
        assert!(error.to_string().contains("no column `c`. The columns are: a, url"), "{error}");
        // Two columns may not stand for the same key, because one of the two digests would be lost.
        let error = Table::new("url,MD5,md5 (hex),x\n".as_bytes(), b',', &Facts::default());
        assert!(error.is_ok(), "they have different keys");
        let error = Table::new("url,md5,MD5 \n".as_bytes(), b',', &facts("md5=MD5"));
        assert!(error.is_err_and(|error| error.to_string().contains("two columns stand for `md5`")));
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "(url|[a,;\t\"\n#:/]|http://h/){0,60}") {
            for one in SEPARATORS {
                if let Ok(table) = Table::new(text.as_bytes(), one, &Facts::default()) {
                    prop_assert!(table.count() <= text.len());
                }
            }
        }
    }
}
