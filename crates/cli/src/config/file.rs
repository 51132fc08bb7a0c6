//! Reads a configuration file into sections with keys, values and their line numbers. Other files decide what
//! the keys mean.
//!
//! Invariant: an error is one line, which names the file and, for a mistake in the file, the number of the
//! line. An error shows no value.

use crate::given;
use crate::platform;
use crate::words;
use downhaul_engine::core::show;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest configuration file, in bytes. A person writes it, so a longer file is a mistake.
const LONGEST: usize = 1 << 20;

const SECTIONS: [&str; 2] = ["host", "profile"];

#[derive(Debug, Default)]
pub(super) struct File {
    /// The keys above all sections.
    pub(super) top: Vec<Entry>,
    /// The sections `[profile.NAME]`.
    pub(super) profiles: Vec<Section>,
    /// The sections `[host."NAME"]`.
    pub(super) hosts: Vec<Section>,
}

#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", words::path(&self.path), self.line)
    }
}

/// The value of a key. Numbers are kept as text, without underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(String),
    Flag(bool),
    List(Vec<Value>),
    /// A value that no key can have, with the name of its type.
    Other(&'static str),
}

/// Reads a file, if it exists. Also returns a warning for the user, if there is one. `is_named` is true if
/// the user named the file.
///
/// The file decides which proxy and which certificates are used, so another user must not be able to change
/// it. If another user can change the default file, the file is refused. A file that the user named is used
/// with a warning, because on some disks every file looks writable.
///
/// # Errors
/// Returns what is wrong with the file, in one line.
pub(super) fn read(path: &Path, is_named: bool) -> Result<(Option<File>, Option<String>), String> {
    let shown = words::path(path);
    let note = platform::who_else_may_write(path).map(|who| format!("{shown}: {who}"));
    if let Some(note) = note.as_ref().filter(|_| !is_named) {
        return Err(format!("{note}; --config {shown} uses it nevertheless"));
    }
    let bytes = match given::read(path, LONGEST) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((None, None)),
        Err(e) => return Err(format!("the configuration {shown} cannot be read: {e}")),
    };
    let text = String::from_utf8(bytes).map_err(|e| {
        format!("{shown}:{}: the line is not UTF-8", line_of(e.as_bytes(), e.utf8_error().valid_up_to()))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok((Some(Reader { path, text }.file()?), note))
}

/// Returns the number of the line that contains the byte at this offset.
fn line_of(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|byte| **byte == b'\n').count()
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn file(&self) -> Result<File, String> {
        let table = DeTable::parse(self.text).map_err(|e| {
            // The rest of the parser's error is not used, because it shows the line, which may contain a
            // secret.
            let at = e.span().map_or(0, |span| span.start);
            format!("{}: {}", self.place(at), e.message().replace('\n', " "))
        })?;
        let mut file = File::default();
        for (key, value) in table.get_ref() {
            let place = self.place(key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("host", DeValue::Table(hosts)) => file.hosts = self.sections("host", hosts)?,
                ("profile", DeValue::Table(profiles)) => {
                    file.profiles = self.sections("profile", profiles)?
                }
                ("host", _) => return Err(no_section(&place, "host")),
                (name, DeValue::Table(_)) => {
                    let meant =
                        words::corrected(name, SECTIONS).map(|name| format!("; did you mean {name}?"));
                    return Err(format!(
                        "{place}: there is no section [{}]{}",
                        show::escaped(name),
                        meant.unwrap_or_else(|| r#": sections are [host."NAME"] and [profile.NAME]"#.into())
                    ));
                }
                (name, value) => file.top.push(Entry { key: name.into(), value: read_value(value), place }),
            }
        }
        // The parser sorts keys by name. Sorting them by line restores their order in the file.
        file.top.sort_by_key(|entry| entry.place.line);
        Ok(file)
    }

    /// Reads all sections `[kind.NAME]`.
    fn sections(&self, kind: &str, table: &DeTable<'_>) -> Result<Vec<Section>, String> {
        let mut sections = Vec::new();
        for (name, content) in table {
            let place = self.place(name.span().start);
            let DeValue::Table(content) = content.get_ref() else { return Err(no_section(&place, kind)) };
            let entries = content.iter().map(|(key, value)| self.entry(kind, name.get_ref(), key, value));
            let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
            entries.sort_by_key(|entry| entry.place.line);
            sections.push(Section { name: name.get_ref().to_string(), place, entries });
        }
        sections.sort_by_key(|section| section.place.line);
        Ok(sections)
    }

    fn entry(
        &self,
        kind: &str,
        section: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Entry, String> {
        let place = self.place(key.span().start);
        match value.get_ref() {
            DeValue::Table(_) => Err(format!(
                "{place}: there is no section within [{kind}.{}]; a name with dots is written in quotes, as in \
                 [{kind}.\"example.org\"]",
                show::escaped(&show::not_a_url(section))
            )),
            value => Ok(Entry { key: key.get_ref().to_string(), value: read_value(value), place }),
        }
    }

    fn place(&self, at: usize) -> Place {
        Place { path: self.path.to_path_buf(), line: line_of(self.text.as_bytes(), at) }
    }
}

fn no_section(place: &Place, kind: &str) -> String {
    format!("{place}: {kind} is a kind of section: write [{kind}.\"NAME\"], and the keys below it")
}

fn read_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Value::Number(number.as_str().replace('_', "")),
        DeValue::Integer(_) => Value::Other("a number that is not decimal"),
        DeValue::Float(number) => Value::Number(number.as_str().replace('_', "")),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(values) => Value::List(values.iter().map(|one| read_value(one.get_ref())).collect()),
        DeValue::Table(_) => Value::Other("a table"),
    }
}
