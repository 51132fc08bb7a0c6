//! Reads configuration files of curl (`-K`) as lists: their URLs, the names and the folder of the files, the
//! headers, and the highest rate.
//!
//! The option `next` divides a configuration file into sections. curl sends the headers of a section with
//! each request of the section, even if a header comes after the URL. The first name in a section is for the
//! first URL, and so on. So a section is read as a whole.
//!
//! An option is ignored without a note if downhaul always does what the option requests, or if the option has
//! no effect on a file. A note names the other options that are ignored. An option that is not supported is
//! an error if it may change which file is downloaded, or through which servers the file is downloaded.
//!
//! If a section has more names than URLs, the last names are ignored with a note. If a section has no URL,
//! all its options are ignored with a note.

use super::addresses::Addresses;
use super::{AtLine, bad, folder};
use crate::curl_options::{self, To};
use crate::error::{Error, ErrorKind};
use crate::job::{self, Destination, Headers, Job};
use crate::name::SafeName;
use crate::rate;

/// The longest configuration file that is read, in bytes. A URL and its name take about a hundred bytes, so a
/// configuration file may have 600,000 URLs.
pub const LONGEST: usize = 64 * 1024 * 1024;

/// Returns true if a text seems to be the beginning of a configuration file of curl. The first line that is
/// neither blank nor a comment must not be a URL, and some line must have the option `url` with a URL.
pub fn begins(beginning: &str) -> bool {
    let lines = || beginning.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_url = |text: &str| job::has_scheme(text) || job::without_scheme(text).is_some();
    let has_url = |line| options(line).iter().any(|(name, value)| name == "url" && is_url(value));
    lines().next().is_some_and(|first| !is_url(first)) && lines().any(has_url)
}

/// Returns the names and the values of the options in a line. A line has one option. Options of one letter
/// that have no value may come before this option, as in `-sSo NAME`.
fn options(line: &str) -> Vec<(String, String)> {
    let line = line.trim();
    let dashes = line.bytes().take_while(|byte| *byte == b'-').count();
    let text = &line[dashes.min(2)..];
    if dashes == 1 {
        return letters(text);
    }
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '=' | ':' | '"')).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    // A colon alone is the short name of `next`.
    let name = if name.is_empty() && text == ":" { text } else { name };
    (!name.is_empty()).then(|| (name.into(), value_after(after))).into_iter().collect()
}

/// Returns the options in a text such as `sSo NAME`, in which each letter is an option. Only the last option
/// may have a value.
fn letters(text: &str) -> Vec<(String, String)> {
    let mut options = Vec::new();
    for (at, letter) in text.char_indices().take_while(|(_, letter)| !letter.is_whitespace()) {
        let has_value = curl_options::row(letter.encode_utf8(&mut [0; 4])).is_none_or(|row| row.2);
        let value = has_value.then(|| value_after(&text[at + letter.len_utf8()..]));
        options.push((letter.to_string(), value.unwrap_or_default()));
        if has_value {
            break;
        }
    }
    options
}

fn value_after(rest: &str) -> String {
    let rest = rest.trim_start();
    value(rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

/// Returns a value without its quotation marks, and decodes the escapes between them. A value that has no
/// quotation marks ends at the first blank.
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

/// The way in which the reader of a list treats an option of curl.
enum Use {
    /// The option is ignored, since downhaul always does what the option requests, or since the option has no
    /// effect on a file.
    Silent,
    /// The option is ignored, and a note names it. The option changes neither which file is downloaded nor
    /// through which servers the file is downloaded.
    Noted,
    /// The option is an error. If it were ignored, a wrong file could be saved, or a file could be fetched
    /// without the proxy.
    Mistake,
}

/// Returns the way in which the reader treats an option that [`Section::add`] does not read.
fn use_of(name: &str) -> Use {
    let positive = || name.strip_prefix("no-").and_then(curl_options::row);
    match curl_options::row(name).map(|row| row.3) {
        // The options `--decode=auto` and `--parallel` of downhaul do not change which file is downloaded.
        Some(To::Anyway | To::Words(["--decode=auto"]) | To::Option("parallel")) => Use::Silent,
        Some(To::LeftOut | To::Flag(_) | To::Words(_)) => Use::Noted,
        Some(To::Option(
            "max-time" | "connect-timeout" | "timeout" | "min-speed" | "retries" | "max-redirects",
        )) => Use::Noted,
        None if positive().is_some() => Use::Noted,
        _ => Use::Mistake,
    }
}

/// The options of one section that were read already.
#[derive(Default)]
struct Section {
    urls: Vec<(u64, String)>,
    /// The names of the files, in order, each with the number of its line. `None` stands for the option
    /// `remote-name`. With this option, the name comes from the server or the URL.
    names: Vec<(u64, Option<String>)>,
    headers: Headers,
    folder: Option<SafeName>,
    /// The highest rate for each file, in bytes a second.
    rate: Option<u64>,
    /// True if brackets and braces in URLs are not patterns.
    has_no_patterns: bool,
    /// The number of the line with the first option that a note must name if the section has no URL.
    first_line: Option<u64>,
    unused: Vec<String>,
    mistake: Option<Error>,
}

/// Returns the jobs of a configuration file, each with the number of the line of its URL.
///
/// # Errors
/// Returns `list.line` if the text is not UTF-8.
pub fn jobs(text: &[u8], addresses: &Addresses) -> Result<Vec<AtLine>, Error> {
    let text = str::from_utf8(text).map_err(|_| bad("it is not UTF-8"))?;
    let mut jobs: Vec<AtLine> = Vec::new();
    let (mut section, mut notes) = (Section::default(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if job::has_scheme(line) {
            jobs.push((number, Err(bad("a URL needs the option `url`"))));
            continue;
        }
        let options = options(line);
        if options.is_empty() {
            section.mistake = Some(bad(format!("line {number} has no option")));
        }
        for (name, value) in options {
            match &*name {
                "next" | ":" => jobs.extend(std::mem::take(&mut section).end(addresses, &mut notes)),
                name => section.add(number, name, value),
            }
        }
    }
    jobs.extend(section.end(addresses, &mut notes));
    if let Some(first) = jobs.iter_mut().find_map(|(_, job)| job.as_mut().ok()) {
        first.notes.append(&mut notes);
    }
    Ok(jobs)
}

impl Section {
    /// Adds an option from the line `number`.
    fn add(&mut self, number: u64, name: &str, value: String) {
        let header = |header: Result<(String, String), String>, headers: &mut Headers| {
            header.map(|(name, value)| headers.add(name, value)).map_err(bad)
        };
        let read = match curl_options::row(name).map(|row| row.3) {
            Some(To::GivenUrl) => {
                self.urls.push((number, value));
                Ok(())
            }
            Some(To::Output) => {
                self.names.push((number, Some(value)));
                Ok(())
            }
            Some(To::RemoteName) => {
                self.names.push((number, None));
                Ok(())
            }
            Some(To::NoPatterns) => {
                self.has_no_patterns = true;
                Ok(())
            }
            Some(To::Header) => header(Headers::read(&value), &mut self.headers),
            Some(To::Referer) => {
                header(Headers::referer(&value).map(|value| ("Referer".into(), value)), &mut self.headers)
            }
            Some(To::Option("user-agent")) => header(Headers::check("User-Agent", &value), &mut self.headers),
            Some(To::Option("limit-rate")) => {
                rate::read(&value).map(|rate| self.rate = Some(rate)).map_err(bad)
            }
            // `output-dir` names the folder of the files.
            Some(To::Option("output")) => folder(&value).map(|folder| self.folder = folder),
            _ => {
                self.add_unread(number, name);
                return;
            }
        };
        self.first_line.get_or_insert(number);
        if let Err(error) = read {
            let why = format!("`{name}` in line {number}: {}", error.detail);
            self.mistake = Some(Error { detail: why, ..error });
        }
    }

    /// Records an option that [`Section::add`] does not read, if the option needs a note or is a mistake.
    fn add_unread(&mut self, number: u64, name: &str) {
        match use_of(name) {
            Use::Silent => {}
            Use::Noted => {
                self.first_line.get_or_insert(number);
                if !self.unused.iter().any(|one| one == name) {
                    self.unused.push(name.into());
                }
            }
            Use::Mistake => {
                let why = format!("a list cannot have the option `{name}` of curl (in line {number})");
                self.mistake =
                    Some(bad(format!("{why}. Download each file with `downhaul 'curl ...'` instead")));
            }
        }
    }

    /// Returns the jobs of the section. If the section has a mistake, an error takes the place of each of its
    /// jobs. If such a section has no URL, the error is the only item. If a section without a mistake has no
    /// URL, a note about its options is added to `notes`, because the section has no job for the note.
    fn end(mut self, addresses: &Addresses, notes: &mut Vec<String>) -> Vec<AtLine> {
        let urls = std::mem::take(&mut self.urls);
        if urls.is_empty() {
            if let (None, Some(line)) = (&self.mistake, self.first_line) {
                notes.push(format!(
                    "the section from line {line} of the list on has no URL, so its options are ignored"
                ));
            }
            return self.mistake.into_iter().map(|mistake| (0, Err(mistake))).collect();
        }
        let mut names = std::mem::take(&mut self.names).into_iter();
        let mut jobs = Vec::new();
        for (line, url) in urls {
            let name = names.next().and_then(|(_, name)| name);
            let job = match &self.mistake {
                Some(mistake) => Err(mistake.clone()),
                None => self.job(&url, name.as_deref(), addresses).map(Box::new),
            };
            jobs.push((line, job));
        }
        if let Some(first) = jobs.iter_mut().find_map(|(_, job)| job.as_mut().ok()) {
            if !self.unused.is_empty() {
                let shown = self.unused.join("`, `");
                first.notes.push(format!("ignored options of curl in the list: `{shown}`"));
            }
            if let Some((line, _)) = names.next() {
                first.notes.push(format!(
                    "a section of the list has more names than URLs, so its names from line {line} on are ignored"
                ));
            }
        }
        jobs
    }

    fn job(&self, url: &str, name: Option<&str>, addresses: &Addresses) -> Result<Job, Error> {
        let path = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = path.find('/').map_or("", |start| &path[start..]);
        if !self.has_no_patterns && path.contains(['{', '[']) {
            return Err(bad("curl expands patterns in URLs, and a list cannot have patterns"));
        }
        let mut job = addresses.job(url)?;
        if let Some(name) = name {
            let safe = SafeName::from_person(name);
            let safe = safe.map_err(|why| Error::new(ErrorKind::NameUnsafe, name, why))?;
            let below = self.folder.as_ref().map(|folder| safe.below(std::slice::from_ref(folder)));
            job.destination = Destination::Name(below.unwrap_or(safe));
        } else {
            job.folder = self.folder.clone();
        }
        job.headers = self.headers.clone();
        // In curl, the limit 0 means that there is no limit.
        job.limit_rate = self.rate.filter(|rate| *rate > 0);
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The line, the URL, the name and the number of headers of a job.
    type Shown = (u64, Result<(String, String, usize), String>);

    fn read(text: &str) -> Vec<Shown> {
        let shown = |job: Box<Job>| {
            let name = match &job.destination {
                Destination::Name(name) => name.to_string(),
                _ => String::new(),
            };
            (job.urls[0].to_string(), name, job.headers.iter().count())
        };
        let jobs = jobs(text.as_bytes(), &Addresses::default()).expect("UTF-8").into_iter();
        jobs.map(|(line, job)| (line, job.map(shown).map_err(|e| e.to_string()))).collect()
    }

    fn of(line: u64, url: &str, name: &str, headers: usize) -> Shown {
        (line, Ok((url.into(), name.into(), headers)))
    }

    #[test]
    fn urls_get_their_names_in_order_and_the_headers_of_their_section() {
        let text = "# by a script\nurl = \"http://h/a?x=\\\"1\"\noutput=\"a \\\" b\"\n--url http://h/b # note\n-O\n\
                    header: \"X-A: 1\"\nuser-agent me\nnext\nurl=h.example/c\no c\n";
        assert!(begins(text));
        assert_eq!(
            read(text),
            [
                of(2, "http://h/a?x=%221", "a \" b", 2),
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
    fn the_first_job_that_is_no_mistake_has_the_note_about_ignored_options() {
        let text = "url=ftp://h/a\nurl=http://h/b\nurl=http://h/c\nretry=3\n";
        let all = jobs(text.as_bytes(), &Addresses::default()).expect("UTF-8");
        let [(1, Err(_)), (2, Ok(second)), (3, Ok(third))] = &all[..] else { panic!("{all:?}") };
        assert_eq!((second.notes.len(), third.notes.len()), (1, 0));
        assert!(second.notes[0].contains("`retry`"), "{:?}", second.notes);
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
    fn the_folder_the_rate_and_letters_in_one_word_are_read() {
        let text = "url=http://h/{a}\n-gso x\noutput-dir = /sub/\nurl=http://h/b\nlimit-rate 2M\n";
        let all = jobs(text.as_bytes(), &Addresses::default()).expect("UTF-8");
        let jobs: Vec<&Job> = all.iter().map(|(_, job)| &**job.as_ref().expect("a job")).collect();
        assert_eq!(jobs[0].destination.given_name().as_deref(), Some("sub/x"));
        assert_eq!(jobs[1].folder.as_ref().map(SafeName::as_str), Some("sub"));
        assert_eq!((jobs[0].limit_rate, jobs[0].notes.len()), (Some(2 << 20), 0));
    }

    #[test]
    fn options_that_change_the_file_are_mistakes() {
        for option in
            ["request = POST", "--data x=1", "user = a:b", "range 0-3", "-sr 0-3", "proxy = p:1", "new-one"]
        {
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
            let _ = jobs(text.as_bytes(), &Addresses::default());
        }
    }
}
