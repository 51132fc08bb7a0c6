//! Templates of names (`--name-template`), such as `{host}/{path[-2:]}/{sha256:.2}/{name}`.
//!
//! Invariant: each component of a name is made safe like the name that a server chooses, whatever the values
//! are. Only a component that is `{name}` is kept unchanged, because it is safe already. Only a `/` of the
//! template itself, and the folders of a component that is `{path}`, begin a new component. A component that
//! is too long is cut and gets a hash.

use super::{SafeName, endings, text};
use crate::digest::Algorithm;
use crate::job::Job;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use url::Url;

/// A template for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    components: Vec<Vec<Piece>>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field, Form),
}

/// The value that a field stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Scheme,
    Host,
    Port,
    /// Some of the folders in the path of the URL.
    Path(Slice),
    /// The name that the file would have if there were no template. Its folders are left out.
    Name,
    /// The name without its extension.
    Stem,
    /// The extension with its dot.
    Ext,
    /// A parameter of the query.
    Query(String),
    /// The number of the line in the list, or of the URL in the arguments.
    Line,
    /// A digest that the list or the URL states.
    Digest(Algorithm),
    /// A column of a table, or a key of a JSON line.
    Column(String),
}

/// The form in which the value of a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    /// Only the first characters of the value, up to this number, as in `:.2`.
    First(usize),
    /// Zeros are put before the value until it has this number of characters, as in `:05`.
    Padded(usize),
}

/// A selection of folders in the notation of Python, such as `[-2:]`, `[0]` or `[1:3]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slice {
    from: Option<isize>,
    to: Option<isize>,
    /// True for an index without a colon.
    is_one: bool,
}

/// The highest number of columns of a list that a message names.
const COLUMNS_MOST: usize = 20;

/// The highest number that a [`Form`] may have. A name cannot have more characters.
const PADDED_MOST: usize = super::LONGEST;

impl Template {
    /// Returns true if the names depend on the names that servers choose.
    pub fn needs_name(&self) -> bool {
        let needs = |piece: &Piece| matches!(piece, Piece::Field(Field::Name | Field::Stem | Field::Ext, _));
        self.components.iter().flatten().any(needs)
    }

    /// Returns the name of the file of a job. `file` is the name that the file would have without a template.
    ///
    /// # Errors
    /// Returns a message for the user if the job has no URL or lacks a value, if a part of the name cannot be
    /// used, or if the name would be empty.
    pub fn name(&self, job: &Job, file: &SafeName) -> Result<SafeName, String> {
        let url = job.urls.first().ok_or("the job has no URL")?;
        let mut all = Vec::new();
        for pieces in &self.components {
            match pieces.as_slice() {
                [Piece::Field(Field::Path(slice), Form::Whole)] if !slice.is_one => {
                    all.extend(
                        slice.of(&folders(url)).iter().filter_map(|folder| SafeName::from_server(folder)),
                    );
                }
                [Piece::Field(Field::Name, Form::Whole)] => all.push(file.without_folders()),
                pieces => {
                    let values = pieces.iter().map(|piece| piece.value(job, url, file));
                    let value: String = values.collect::<Result<_, _>>()?;
                    let safe = SafeName::from_server(&value);
                    all.push(
                        safe.ok_or_else(|| {
                            format!("a part of the name has no usable characters: `{value}`")
                        })?,
                    );
                }
            }
        }
        let last = all.pop().ok_or("the name would be empty")?;
        Ok(last.below(&all))
    }
}

impl Piece {
    fn value(&self, job: &Job, url: &Url, file: &SafeName) -> Result<String, String> {
        let (field, form) = match self {
            Piece::Text(text) => return Ok(text.clone()),
            Piece::Field(field, form) => (field, form),
        };
        let value = field.value(job, url, file).ok_or_else(|| {
            format!("the template needs `{field}`, and the file has no value for it{}", field.others(job))
        })?;
        Ok(match form {
            Form::Whole => value,
            Form::First(most) => value.chars().take(*most).collect(),
            Form::Padded(width) => format!("{value:0>width$}"),
        })
    }
}

impl Field {
    fn value(&self, job: &Job, url: &Url, file: &SafeName) -> Option<String> {
        let file = file.as_str().rsplit('/').next().unwrap_or_default();
        let (stem, extension) = endings::split_extension(file);
        Some(match self {
            Field::Scheme => url.scheme().into(),
            Field::Host => url.host_str()?.into(),
            Field::Port => url.port_or_known_default()?.to_string(),
            Field::Path(slice) if slice.is_one => slice.of(&folders(url)).first()?.clone(),
            Field::Path(slice) => slice.of(&folders(url)).join("/"),
            Field::Name => file.into(),
            Field::Stem => stem.into(),
            Field::Ext => extension.into(),
            Field::Query(key) => url.query_pairs().find(|(name, _)| name == key)?.1.into_owned(),
            Field::Line => job.line.to_string(),
            Field::Digest(algorithm) => {
                job.expected.iter().find(|one| one.digest.algorithm == *algorithm)?.digest.to_string()
            }
            Field::Column(key) => match job.extra.get(key)? {
                Value::String(text) if !text.is_empty() => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(is_true) => is_true.to_string(),
                _ => return None,
            },
        })
    }

    /// Returns the end of the error message about a field without a value. If the field is a column of a
    /// list, this end names the fields that exist. Otherwise it is empty.
    fn others(&self, job: &Job) -> String {
        let Field::Column(_) = self else { return String::new() };
        let fields =
            "scheme, host, port, path, query[KEY], name, stem, ext, line, and digests such as sha256";
        let columns: Vec<&str> = job.extra.keys().take(COLUMNS_MOST).map(String::as_str).collect();
        match columns.is_empty() {
            true => format!(". The fields are {fields}"),
            false => format!(". The fields are {fields}, and in this list also {}", columns.join(", ")),
        }
    }

    /// Reads the name of a field, and the brackets after the name. `text` ends before the colon and the
    /// form.
    fn read(text: &str) -> Result<Field, String> {
        let (name, index) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((name, index)) => (name, Some(index)),
            None => (text, None),
        };
        let key = |index: &str| Some(index.to_string()).filter(|key| !key.is_empty());
        match (name, index) {
            ("path", index) => Slice::read(index.unwrap_or(":")).map(Field::Path),
            ("query", Some(index)) => {
                key(index).map(Field::Query).ok_or_else(|| "`query[]` needs the name of a parameter".into())
            }
            ("column", Some(index)) => {
                key(index).map(Field::Column).ok_or_else(|| "`column[]` needs the name of a column".into())
            }
            (_, Some(_)) => Err(format!("`{name}` cannot have brackets; only path, query and column can")),
            ("", None) => Err("a field has no name".into()),
            ("scheme", None) => Ok(Field::Scheme),
            ("host", None) => Ok(Field::Host),
            ("port", None) => Ok(Field::Port),
            ("name", None) => Ok(Field::Name),
            ("stem", None) => Ok(Field::Stem),
            ("ext", None) => Ok(Field::Ext),
            ("line", None) => Ok(Field::Line),
            (name, None) => {
                Ok(Algorithm::from_name(name).map_or_else(|| Field::Column(name.into()), Field::Digest))
            }
        }
    }
}

impl Form {
    /// Reads a form without its colon, such as `.8`.
    fn read(text: &str) -> Result<Form, String> {
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| (1..=PADDED_MOST).contains(n));
        let form = match text.strip_prefix('.') {
            Some(most) => number(most).map(Form::First),
            None => text.strip_prefix('0').and_then(number).map(Form::Padded),
        };
        form.ok_or_else(|| {
            format!("`:{text}` is not a form; `:.2` keeps two characters, and `:05` adds zeros")
        })
    }
}

impl Slice {
    fn read(text: &str) -> Result<Slice, String> {
        let bad = || format!("`path[{text}]` must have the form path[1], path[-2:] or path[1:3]");
        let number = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| bad()),
        };
        match text.split_once(':') {
            Some((from, to)) => Ok(Slice { from: number(from)?, to: number(to)?, is_one: false }),
            None => match number(text)? {
                Some(at) => Ok(Slice { from: Some(at), to: None, is_one: true }),
                None => Err(bad()),
            },
        }
    }

    fn of<'f>(&self, folders: &'f [String]) -> &'f [String] {
        let length = folders.len();
        let place =
            |at: isize| if at < 0 { length.saturating_sub(at.unsigned_abs()) } else { at.unsigned_abs() };
        if self.is_one {
            let at = self.from.unwrap_or_default();
            let is_there = at >= 0 || at.unsigned_abs() <= length;
            return folders.get(place(at)..=place(at)).filter(|_| is_there).unwrap_or_default();
        }
        let (from, to) = (self.from.map_or(0, place), self.to.map_or(length, place).min(length));
        folders.get(from..to).unwrap_or_default()
    }
}

/// Returns the folders in the path of a URL, percent-decoded once.
fn folders(url: &Url) -> Vec<String> {
    let mut all: Vec<&str> = url.path_segments().map(Iterator::collect).unwrap_or_default();
    all.pop();
    all.into_iter().filter(|folder| !folder.is_empty()).map(|folder| text::segment(url, folder)).collect()
}

/// Reads a template. `{{` and `}}` stand for braces. The error is a message for the user.
impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Template, String> {
        let (mut components, mut rest) = (vec![Vec::new()], text);
        let push = |components: &mut Vec<Vec<Piece>>, piece| {
            if let Some(last) = components.last_mut() {
                last.push(piece);
            }
        };
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            rest = match c {
                '{' | '}' if after.starts_with(c) => {
                    push(&mut components, Piece::Text(c.into()));
                    &after[1..]
                }
                '{' => {
                    let (field, after) = after.split_once('}').ok_or("a `{` has no `}`")?;
                    let (field, form) = match field.rsplit_once(':').filter(|(_, form)| !form.ends_with(']'))
                    {
                        Some((field, form)) => (field, Form::read(form)?),
                        None => (field, Form::Whole),
                    };
                    push(&mut components, Piece::Field(Field::read(field.trim())?, form));
                    after
                }
                '}' => return Err("a `}` has no `{`".into()),
                '/' => {
                    components.push(Vec::new());
                    after
                }
                c => {
                    push(&mut components, Piece::Text(c.into()));
                    after
                }
            };
        }
        let text_of = |pieces: &[Piece]| -> Option<String> {
            let text = |piece: &Piece| match piece {
                Piece::Text(text) => Some(text.clone()),
                Piece::Field(..) => None,
            };
            pieces.iter().map(text).collect()
        };
        let is_unusable = |pieces: &Vec<Piece>| {
            text_of(pieces).is_some_and(|text| text.chars().all(|c| c == '.' || c.is_whitespace()))
        };
        if components.iter().any(is_unusable) {
            return Err("it must be a relative path that ends in a name, without `.` and `..`".into());
        }
        if matches!(components.last().map(Vec::as_slice), Some([Piece::Field(Field::Path(_), Form::Whole)])) {
            return Err("it must end in a name, and `path` has the folders only".into());
        }
        Ok(Template { components, text: text.into() })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Scheme => f.write_str("scheme"),
            Field::Host => f.write_str("host"),
            Field::Port => f.write_str("port"),
            Field::Path(slice) => write!(f, "path{slice}"),
            Field::Name => f.write_str("name"),
            Field::Stem => f.write_str("stem"),
            Field::Ext => f.write_str("ext"),
            Field::Query(key) => write!(f, "query[{key}]"),
            Field::Line => f.write_str("line"),
            Field::Digest(algorithm) => f.write_str(algorithm.name()),
            Field::Column(key) => f.write_str(key),
        }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |at: Option<isize>| at.map(|at| at.to_string()).unwrap_or_default();
        match self.is_one {
            true => write!(f, "[{}]", number(self.from)),
            false => write!(f, "[{}:{}]", number(self.from), number(self.to)),
        }
    }
}

/// Writes the template as it was given.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::LONGEST;
    use super::*;
    use proptest::prelude::*;

    fn job() -> Job {
        let url =
            format!("https://h.example:8443/a/b%2Fc/d/f.tar.gz?id=7&x=%2e%2e#sha256={}", "ab".repeat(32));
        let mut job = Job::given(&url).expect("a URL");
        job.line = 42;
        for (key, value) in [("run", Value::from("SRR/1")), ("lane", 3.into()), ("evil", "..".into())] {
            job.extra.insert(key.into(), value);
        }
        job.extra.insert("Sample name".into(), "s 1".into());
        job
    }

    fn name(template: &str) -> Result<String, String> {
        let file = SafeName::from_url(&job().urls[0]);
        template
            .parse::<Template>()
            .and_then(|template| template.name(&job(), &file))
            .map(|name| name.to_string())
    }

    #[test]
    fn fields_stand_for_parts_of_the_url_columns_and_the_line() {
        for (template, expected) in [
            ("{host}/{path[-2:]}/{sha256:.2}/{name}", "h.example/b_c/d/ab/f.tar.gz"),
            ("{path}/{name}", "a/b_c/d/f.tar.gz"),
            ("{path[0]}/{path[-1]}/{stem}-{line:06}{ext}", "a/d/f-000042.tar.gz"),
            ("{path[:2]}/{path[5:]}/x", "a/b_c/x"),
            ("x{path}", "xa_b_c_d"),
            ("{scheme}-{port}/{run}/{lane:03}.fq", "https-8443/SRR_1/003.fq"),
            ("{column[Sample name]}/{query[id]}", "s 1/7"),
            ("{{{line}}}", "{42}"),
            ("{sha-256:.8}", "abababab"),
        ] {
            assert_eq!(name(template), Ok(expected.into()), "{template}");
        }
    }

    #[test]
    fn errors_of_a_template_name_the_missing_value_or_the_mistake() {
        for (template, says) in [
            ("{md5}", "the template needs `md5`"),
            ("{missing}/x", "the template needs `missing`"),
            ("{path[5]}/x", "the template needs `path[5]`"),
            ("x-{path[-4]}", "the template needs `path[-4]`"),
            ("{evil}/x", "no usable characters"),
            ("x/{query[x]}", "no usable characters"),
            ("{query[y]}", "the template needs `query[y]`"),
            ("", "a relative path"),
            ("/x", "a relative path"),
            ("a/../x", "a relative path"),
            ("x/", "a relative path"),
            ("{name", "has no `}`"),
            ("name}", "has no `{`"),
            ("{}", "has no name"),
            ("{name:5}", "is not a form"),
            ("{host[0]}", "cannot have brackets"),
            ("{path[x]}", "must have the form"),
            ("x/{path}", "the folders only"),
        ] {
            let error = name(template).expect_err(template);
            assert!(error.contains(says), "{template}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_component_is_safe_whatever_the_values_are(value in any::<String>(), host in "[a-z]{1,8}") {
            let mut job = Job::given(&format!("http://{host}/a/")).expect("a URL");
            job.extra.insert("v".into(), Value::from(value.as_str()));
            let file = SafeName::from_url(&job.urls[0]);
            for template in ["{v}/{name}", "a/{v}", "{v}{v}/x-{v:.250}"] {
                let template: Template = template.parse().expect("a template");
                if let Ok(name) = template.name(&job, &file) {
                    for part in name.as_str().split('/') {
                        prop_assert!(!part.is_empty() && part != ".." && part.len() <= LONGEST, "{}", name);
                        prop_assert!(!part.starts_with(['.', '-']), "{}", name);
                    }
                    prop_assert_eq!(name.as_str().split('/').count(), template.components.len());
                }
            }
        }

        #[test]
        fn no_template_causes_a_panic(text in "[a-z{}\\[\\]:./0-9-]{0,30}") {
            let _ = name(&text);
        }

        #[test]
        fn long_values_that_differ_give_names_that_differ(one in "[a-z]{300,400}", other in "[a-z]{300,400}") {
            let named = |value: &str| {
                let mut job = Job::given("http://h/f").expect("a URL");
                job.extra.insert("v".into(), value.into());
                let file = SafeName::from_url(&job.urls[0]);
                "{v}.bin".parse::<Template>().and_then(|template| template.name(&job, &file))
            };
            prop_assert!(one == other || named(&one) != named(&other));
        }
    }
}
