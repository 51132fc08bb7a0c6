//! [`Columns`] decides what each column of a table stands for (`--columns`).
//!
//! Invariant: a column sets an option of the jobs only if the user named this column in `--columns`, because
//! a table may have a column with the name of an option by chance.

use super::option_keys;
use super::{bare, jsonl};

pub(super) const URL: &str = "url";
pub(super) const OUT: &str = "out";
pub(super) const SIZE: &str = "size";

/// Keys of JSON lines, each with the names of columns that stand for the key. The names have the form that
/// [`form`] returns. If a table has columns with several of these names, only the column whose name comes
/// first here stands for the key. The columns with the other names are read like any column with an unknown
/// name. But a column `urls` among them is ignored, because a JSON line cannot have both `url` and `urls`.
const NAMES: &[(&str, &[&str])] = &[
    (URL, &["url", "urls", "uri", "downloadurl", "fileurl", "link", "downloadlink", "downloadpath", "href"]),
    (OUT, &["out", "filename", "file", "path", "name"]),
    (SIZE, &["size", "bytes", "filesize"]),
];

/// The pairs of a key and the name of a column that the user gave. The column stands for the key. If the name
/// is empty, no column stands for the key.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Columns(Vec<(String, String)>);

/// The meaning of a column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// The key of a JSON line that the column stands for. It is empty if the column is ignored.
    pub(super) key: String,
    /// True if the column sets an option of the jobs.
    pub(super) is_option: bool,
}

impl Columns {
    /// Reads pairs of a key and the name of a column, such as `url=fastq_ftp,md5=fastq_md5`. The name of a
    /// column may be in quotation marks.
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong with the text.
    pub fn read(text: &str) -> Result<Columns, String> {
        let mut columns = Columns::default();
        let mut rest = text;
        loop {
            let (key, after) = rest.split_once('=').ok_or("the form is KEY=COLUMN,KEY=COLUMN")?;
            let (column, after) = next_column(after.trim_start())?;
            let key = key.trim();
            if key.is_empty() || key.contains(',') {
                return Err(format!("`{key}={column}` lacks a key"));
            }
            let key = key_of(key).unwrap_or(key);
            if column.is_empty() && key == URL {
                return Err("a table needs a column with the URLs".into());
            }
            if columns.0.iter().any(|(other, name)| other == key || *name == column && !column.is_empty()) {
                return Err(format!("`{key}={column}`: the key or the column is given twice"));
            }
            columns.0.push((key.into(), column));
            match after {
                Some(after) => rest = after,
                None => return Ok(columns),
            }
        }
    }

    /// Returns the meanings of the columns of a table. `names` are the names in its first row. Also returns
    /// the first column that the user named and the table does not have, if there is such a column.
    pub(super) fn of(&self, names: &[String]) -> (Vec<Column>, Option<&str>) {
        let mut keys: Vec<String> = names.iter().map(|name| key_of_digest(plain_name(name))).collect();
        let mut is_known = vec![false; keys.len()];
        let mut lacking = None;
        for (key, column) in self.0.iter().filter(|(_, column)| !column.is_empty()) {
            let is_it = |name: &String| form(plain_name(name)) == form(column);
            match names.iter().position(is_it) {
                Some(at) => (keys[at], is_known[at]) = (key.clone(), true),
                None => lacking = lacking.or(Some(column.as_str())),
            }
        }
        let given: Vec<bool> = is_known.clone();
        for (key, forms) in NAMES {
            let is_given = self.0.iter().any(|(given, _)| given == key);
            let column = |name: &&str| (0..keys.len()).find(|&at| !is_known[at] && form(&keys[at]) == *name);
            if let Some(at) = forms.iter().find_map(column).filter(|_| !is_given) {
                (keys[at], is_known[at]) = ((*key).into(), true);
            }
        }
        let is_unused = |key: &str| self.0.iter().any(|(unused, column)| column.is_empty() && unused == key);
        let column = |(key, is_given): (String, bool)| match is_given {
            true => Column { is_option: option_keys::is_option(&key), key },
            false if is_unused(&key) || key == jsonl::URLS => Column { key: String::new(), is_option: false },
            false => Column { key, is_option: false },
        };
        (keys.into_iter().zip(given).map(column).collect(), lacking)
    }
}

/// Returns the name of a column at the beginning of a text, without its quotation marks. Also returns the
/// text after the comma that follows this name, or `None` if the text ends with the name.
fn next_column(text: &str) -> Result<(String, Option<&str>), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (column, after) =
            text.split_once(',').map_or((text, None), |(column, rest)| (column, Some(rest)));
        return Ok((column.trim().into(), after));
    };
    let mut column = String::new();
    let mut rest = quoted;
    loop {
        let (some, after) = rest.split_once('"').ok_or("a quotation mark is missing")?;
        column.push_str(some);
        let Some(beyond) = after.strip_prefix('"') else {
            let after = after.trim_start();
            return match after.strip_prefix(',') {
                None if after.is_empty() => Ok((column, None)),
                None => Err("a comma must follow the quotation".into()),
                more => Ok((column, more)),
            };
        };
        column.push('"');
        rest = beyond;
    }
}

/// Returns the key that the name of a column stands for. Returns `None` if the name is not in [`NAMES`].
fn key_of(name: &str) -> Option<&'static str> {
    let form = form(name);
    NAMES.iter().find(|(_, forms)| forms.contains(&form.as_str())).map(|(key, _)| *key)
}

/// Returns a form of the name of a column that is the same for `Download URL` and `download_url`.
fn form(name: &str) -> String {
    bare(name).replace(' ', "")
}

/// Returns the key for a column with digests, such as `sha256` for `SHA 256` and `md5hex` for `MD5 (hex)`.
/// The name of any other column is returned unchanged.
fn key_of_digest(name: &str) -> String {
    let letters: String = form(name).chars().filter(char::is_ascii_alphanumeric).collect();
    if jsonl::is_readable_digest(&letters) { letters } else { name.to_string() }
}

/// Returns the name of a column without `#` at its beginning. Some programs write this mark of a comment
/// before the names in the first row, such as `#accession`.
fn plain_name(name: &str) -> &str {
    name.trim().trim_start_matches('#').trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(columns: &str, names: &[&str]) -> Vec<(String, bool)> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let read = Columns::read(columns).expect(columns);
        let (found, lacking) = read.of(&names);
        assert_eq!(lacking, None, "{columns}");
        found.into_iter().map(|column| (column.key, column.is_option)).collect()
    }

    #[test]
    fn a_column_with_a_comma_is_named_in_quotation_marks() {
        let found = keys("url = \"Link, \"\"raw\"\"\" , md5=sum", &["Link, \"raw\"", "sum", "x"]);
        assert_eq!(found, [("url".into(), false), ("md5".into(), false), ("x".into(), false)]);
        for bad in
            ["", "url", "url=", "=a", "url=a,link=b", "url=a,md5=a", "url=\"a", "url=\"a\"b", "url=a,b"]
        {
            assert!(Columns::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_column_stands_for_a_key_without_a_column() {
        let found = keys("url=u,name=", &["u", "name", "out"]);
        assert_eq!(found, [("url".into(), false), ("name".into(), false), (String::new(), false)]);
    }

    /// A JSON line must not have both `url` and `urls`.
    #[test]
    fn a_column_urls_beside_the_column_of_the_urls_is_ignored() {
        let found = keys("size=s", &["url", "urls", "s"]);
        assert_eq!(found, [("url".into(), false), (String::new(), false), ("size".into(), false)]);
        assert_eq!(keys("size=s", &["urls", "s"])[0], ("url".into(), false));
    }

    #[test]
    fn a_column_is_an_option_only_if_it_is_named() {
        let names = ["url", "priority", "p"];
        assert_eq!(keys("size=url", &["url"]).len(), 1);
        assert_eq!(keys("md5=p", &names)[1], ("priority".into(), false));
        assert_eq!(keys("priority=p", &names)[2], ("priority".into(), true));
    }
}
