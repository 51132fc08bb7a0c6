//! Reads configuration files of curl (`-K`) as lists: their URLs, the names of the files, and the headers.
//!
//! curl sends the headers of a section with each request of the section, and gives the first name to the
//! first URL. So a section is read as a whole. `next` ends a section. Notes name the options that are
//! not used.

use super::AtLine;
use crate::error::{Error, ErrorKind};
use crate::job::{self, Destination, Headers, Job};
use crate::name::SafeName;

/// The longest file that is read, in bytes. A URL and its name take about a hundred bytes, so it may have
/// 600,000 files.
pub const LONGEST: usize = 64 * 1024 * 1024;

/// Returns true if a text begins as such a file does: its first line is no URL, and one of its lines has the
/// option `url`.
pub fn begins(beginning: &str) -> bool {
    let lines = || beginning.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_url = |text: &str| job::has_scheme(text) || job::without_scheme(text).is_some();
    let has_url = |line| option(line).is_some_and(|(name, value)| name == "url" && is_url(&value));
    lines().next().is_some_and(|first| !is_url(first)) && lines().any(has_url)
}

/// Returns the name and the value of the option in a line. A line has one option.
fn option(line: &str) -> Option<(&str, String)> {
    let line = line.trim();
    let dashes = line.bytes().take_while(|byte| *byte == b'-').count();
    let line = &line[dashes.min(2)..];
    let is_short = dashes == 1;
    let end = match is_short {
        true => line.chars().next()?.len_utf8(),
        false => line.find(|c: char| c.is_whitespace() || matches!(c, '=' | ':' | '"')).unwrap_or(line.len()),
    };
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    (!name.is_empty()).then(|| (name, value(rest)))
}

/// Returns a value without its quotation marks. A value without them ends at the first blank.
fn value(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split_whitespace().next().unwrap_or_default().into();
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => match characters.next() {
                Some('t') => value.push('\t'),
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('v') => value.push('\u{b}'),
                Some(other) => value.push(other),
                None => {}
            },
            c => value.push(c),
        }
    }
    value
}

/// Options that change neither which file is downloaded nor through which servers, and that downhaul does not
/// read. A note names them. Every other option that is not read is a mistake: without it, another file could
/// be saved as if it were the right one, or a proxy could be passed by.
const HARMLESS: &[&str] = &[
    "connect-timeout",
    "fail-early",
    "globoff",
    "g",
    "http1.1",
    "http2",
    "insecure",
    "k",
    "keepalive-time",
    "limit-rate",
    "max-redirs",
    "max-time",
    "m",
    "no-progress-meter",
    "parallel-immediate",
    "progress-bar",
    "retry",
    "retry-all-errors",
    "retry-connrefused",
    "retry-delay",
    "retry-max-time",
    "speed-limit",
    "Y",
    "speed-time",
    "y",
    "tcp-nodelay",
    "tlsv1.2",
    "tlsv1.3",
    "verbose",
    "v",
    "write-out",
    "w",
];

/// The options of one section so far.
#[derive(Default)]
struct Section {
    urls: Vec<(u64, String)>,
    /// The names, in order. `None` stands for `remote-name`, so that the name comes from the server or the
    /// URL.
    names: Vec<Option<String>>,
    headers: Headers,
    unused: Vec<String>,
    mistake: Option<Error>,
}

/// Returns the jobs of a file, each with the number of the line of its URL.
///
/// # Errors
/// Returns `list.line` if the text is not UTF-8.
pub fn jobs(text: &[u8]) -> Result<Vec<AtLine>, Error> {
    let text = str::from_utf8(text).map_err(|_| bad("it is not UTF-8"))?;
    let (mut jobs, mut section) = (Vec::new(), Section::default());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match option(line) {
            _ if job::has_scheme(line) => {
                jobs.push((number, Err(bad("a URL needs the option `url`"))));
            }
            Some(("next" | ":", _)) => jobs.extend(std::mem::take(&mut section).end()),
            Some((name, value)) => section.add(number, name, value),
            None => section.mistake = Some(bad(format!("line {number} has no option"))),
        }
    }
    jobs.extend(section.end());
    Ok(jobs)
}

impl Section {
    fn add(&mut self, number: u64, name: &str, value: String) {
        let read = match name {
            "url" => {
                self.urls.push((number, value));
                return;
            }
            "output" | "o" => {
                self.names.push(Some(value));
                return;
            }
            "remote-name" | "O" => {
                self.names.push(None);
                return;
            }
            "header" | "H" => Headers::read(&value),
            "referer" | "e" => Headers::referer(&value).map(|value| ("Referer".into(), value)),
            "user-agent" | "A" => Headers::check("User-Agent", &value),
            // downhaul always does what these options request, or they do not change which bytes are saved.
            "remote-name-all" | "parallel" | "Z" | "location" | "L" | "silent" | "s" | "show-error" | "S"
            | "fail" | "f" | "create-dirs" | "parallel-max" | "compressed" | "remote-time" | "R" => return,
            other if HARMLESS.contains(&other) => {
                if !self.unused.iter().any(|one| one == other) {
                    self.unused.push(other.into());
                }
                return;
            }
            other => {
                let why = format!("a list cannot have the option `{other}` of curl (in line {number})");
                self.mistake = Some(bad(format!("{why}. Use `downhaul 'curl ...'` for each of these files")));
                return;
            }
        };
        match read {
            Ok((name, value)) => self.headers.add(name, value),
            Err(why) => self.mistake = Some(bad(format!("`{name}` in line {number}: {why}"))),
        }
    }

    /// Returns the jobs of the section. A mistake in the section is the error of each of them, or the only
    /// item if the section has no URL.
    fn end(self) -> Vec<AtLine> {
        let Section { urls, names, headers, unused, mistake } = self;
        if urls.is_empty() {
            return mistake.into_iter().map(|mistake| (0, Err(mistake))).collect();
        }
        let mut names = names.into_iter();
        let mut jobs = Vec::new();
        for (line, url) in urls {
            let name = names.next().flatten();
            let job = match &mistake {
                Some(mistake) => Err(mistake.clone()),
                None => job(&url, name.as_deref(), &headers),
            };
            jobs.push((line, job));
        }
        if let Some((_, Ok(first))) = jobs.first_mut()
            && !unused.is_empty()
        {
            let shown = unused.join("`, `");
            first.notes.push(format!("the options `{shown}` of curl in the list are ignored"));
        }
        jobs
    }
}

fn job(url: &str, name: Option<&str>, headers: &Headers) -> Result<Job, Error> {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.find('/').map_or("", |start| &path[start..]);
    if path.contains(['{', '[']) {
        return Err(bad("curl expands patterns in URLs, and a list cannot have patterns"));
    }
    let mut job = Job::given(url)?;
    if let Some(name) = name {
        let safe = SafeName::from_person(name).map_err(|why| Error::new(ErrorKind::NameUnsafe, name, why))?;
        job.destination = Destination::Name(safe);
    }
    job.headers = headers.clone();
    Ok(job)
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::ListLine, "", why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The line, the URL, the name and the number of headers of a job.
    type Shown = (u64, Result<(String, String, usize), String>);

    fn read(text: &str) -> Vec<Shown> {
        let shown = |job: Job| {
            let name = match &job.destination {
                Destination::Name(name) => name.to_string(),
                _ => String::new(),
            };
            (job.urls[0].to_string(), name, job.headers.iter().count())
        };
        let jobs = jobs(text.as_bytes()).expect("UTF-8").into_iter();
        jobs.map(|(line, job)| (line, job.map(shown).map_err(|e| e.to_string()))).collect()
    }

    fn of(line: u64, url: &str, name: &str, headers: usize) -> Shown {
        (line, Ok((url.into(), name.into(), headers)))
    }

    #[test]
    fn urls_get_their_names_in_order_and_the_headers_of_their_section() {
        let text = "# by a script\nurl = \"http://h/a?x=\\\"1\"\noutput=\"a \\\\ b\"\n--url http://h/b # note\n-O\n\
                    header: \"X-A: 1\"\nuser-agent me\nnext\nurl=h.example/c\no c\n";
        assert!(begins(text));
        assert_eq!(
            read(text),
            [
                of(2, "http://h/a?x=%221", "a \\ b", 2),
                of(4, "http://h/b", "", 2),
                of(9, "https://h.example/c", "c", 0),
            ]
        );
        assert_eq!(read("-O\nurl http://h/a\nverbose\n"), [of(2, "http://h/a", "", 0)]);
    }

    #[test]
    fn mistakes_are_errors_of_their_section() {
        let text = "url=http://h/a\nheader=\"no colon\"\nnext\nurl=http://h/b\nurl=ftp://h/c\n";
        let all = read(text);
        assert!(all[0].1.as_ref().is_err_and(|error| error.contains("`header` in line 2")), "{all:?}");
        assert!(all[1].1.is_ok() && all[2].1.is_err(), "{all:?}");
    }

    #[test]
    fn other_lists_are_no_configurations() {
        for text in
            ["", "url,md5\nhttp://h/a,", "url\nhttp://h/a", "http://h/a\nurl=http://h/b", "-O", "{\"url\":1}"]
        {
            assert!(!begins(text), "{text}");
        }
        for text in [
            "url http://h/a",
            "fail\nlocation\nurl=h.example/a",
            "-k\n--url http://h/a",
            "\n# x\nurl: h.example/a",
        ] {
            assert!(begins(text), "{text}");
        }
    }

    #[test]
    fn options_that_change_the_file_are_mistakes() {
        for option in [
            "request = POST",
            "--data x=1",
            "user = a:b",
            "range 0-3",
            "output-dir = sub",
            "proxy = p:1",
            "new-one",
        ] {
            let all = read(&format!("url=http://h/a\n{option}\nnext\nurl=http://h/b\n"));
            let says = all[0].1.as_ref().expect_err(option);
            assert!(
                says.contains("a list cannot have the option") && !says.contains("a:b") && all[1].1.is_ok(),
                "{says}"
            );
        }
        assert!(
            read("url = \"http://h/{a,b}\"\n")[0].1.is_err() && read("url=http://[::1]/a\n")[0].1.is_ok()
        );
        assert!(read("user = a:b\n").iter().all(|(_, job)| job.is_err()) && read("user = a:b\n").len() == 1);
        assert!(read("url=http://h/a\nretry = 3\n")[0].1.is_ok());
        assert!(read("url=http://h/a\nhttp://h/b\n").iter().any(|(line, job)| *line == 2 && job.is_err()));
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "(url|output|next|http://h/|[-=: \"\\\\\na#]){0,40}") {
            begins(&text);
            let _ = jobs(text.as_bytes());
        }
    }
}
